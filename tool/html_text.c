// SPDX-License-Identifier: Apache-2.0
#include "html_parts.h"

#include <inttypes.h>
#include <string.h>

/** Bytes of the UTF-8 sequence at @p text, and its code point; 0 if it is malformed. */
static size_t decode(const unsigned char *text, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char lead = text[0];
    const size_t length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    if (length < 2) {
        *code = lead;
        return length;
    }
    *code = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (text[i] & 0x3F);
    }
    const bool surrogate = *code >= 0xD800 && *code < 0xE000;
    return *code >= smallest[length] && *code <= 0x10FFFF && !surrogate ? length : 0;
}

/** False for what would not be seen, or change how its surroundings are seen. */
static bool is_visible(uint32_t code)
{
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    const bool mark = code == 0x061C || (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                      (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code & 0xFFFE) == 0xFFFE;
    return !control && !mark;
}

void html_text(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        uint32_t code = 0;
        const size_t length = decode(at, &code);
        if (length == 0 || !is_visible(code)) {
            fputs("\xEF\xBF\xBD", out);
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
