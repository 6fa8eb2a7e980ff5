// SPDX-License-Identifier: Apache-2.0
#include "tool/base/utf8.h"
#include "tool/html/html_parts.h"

#include <inttypes.h>
#include <string.h>

/** False for characters that are not visible, or that change how the text around them is shown. */
static bool is_visible(uint32_t code)
{
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    const bool mark = code == 0x061C || (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                      (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code & 0xFFFE) == 0xFFFE;
    return !control && !mark;
}

void html_text(FILE *out, const char *text)
{
    const char *at = text;
    while (*at != '\0') {
        uint32_t code = 0;
        const size_t length = utf8_decode(at, &code);
        if (length == 0 || !is_visible(code)) {
            fputs(UTF8_REPLACEMENT, out);
        } else if (strchr("<>&\"'", (int)code) != NULL) {
            fprintf(out, "&#%" PRIu32 ";", code);
        } else {
            fwrite(at, 1, length, out);
        }
        at += length != 0 ? length : 1;
    }
}

void html_time(FILE *out, uint64_t microseconds)
{
    const double milliseconds = (double)microseconds / 1e3;
    if (milliseconds >= 1000) {
        fprintf(out, "%.3f s", milliseconds / 1e3);
    } else {
        fprintf(out, milliseconds == (double)(uint64_t)milliseconds ? "%.0f ms" : "%.1f ms", milliseconds);
    }
}
