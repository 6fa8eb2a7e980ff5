// SPDX-License-Identifier: Apache-2.0
#include "tool/base/utf8.h"
#include "tool/html/html_parts.h"

#include <inttypes.h>
#include <string.h>

void html_text(FILE *out, const char *text)
{
    const char *at = text;
    while (*at != '\0') {
        uint32_t code = 0;
        const size_t length = utf8_decode(at, &code);
        if (length == 0 || !utf8_is_visible(code)) {
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
