// SPDX-License-Identifier: Apache-2.0
#include "tool/base/utf8.h"

#include <string.h>

size_t utf8_decode(const char *text, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char lead = (unsigned char)text[0];
    const size_t length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    if (length < 2) {
        *code = lead;
        return length;
    }
    *code = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        const unsigned char next = (unsigned char)text[i]; // the terminating zero is not a continuation byte
        if ((next & 0xC0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (next & 0x3F);
    }
    const bool surrogate = *code >= 0xD800 && *code < 0xE000;
    return *code >= smallest[length] && *code <= 0x10FFFF && !surrogate ? length : 0;
}

bool utf8_is_visible(uint32_t code)
{
    const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
    const bool mark = code == 0x061C || (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                      (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code & 0xFFFE) == 0xFFFE;
    return !control && !mark;
}

char *utf8_tame(char *text)
{
    for (char *at = text; *at != '\0';) {
        uint32_t code = 0;
        const size_t decoded = utf8_decode(at, &code);
        const size_t length = decoded != 0 ? decoded : 1;
        if (decoded == 0 || !utf8_is_visible(code)) {
            memset(at, '?', length);
        }
        at += length;
    }
    return text;
}

void utf8_write(FILE *out, const char *text)
{
    while (*text != '\0') {
        uint32_t code = 0;
        const size_t length = utf8_decode(text, &code);
        if (length == 0) {
            fputs(UTF8_REPLACEMENT, out);
        } else {
            fwrite(text, 1, length, out);
        }
        text += length != 0 ? length : 1;
    }
}
