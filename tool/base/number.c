// SPDX-License-Identifier: Apache-2.0
#include "tool/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool number_parse_prefix(const char *text, uint32_t *value, const char **end)
{
    if (!isdigit((unsigned char)text[0])) {
        return false; // strtoull() would take blanks and signs
    }
    // no octal: people mean a number with a leading zero as decimal
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    char *rest = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, base);
    unsigned shift = 0;
    if (*rest == 'K' || *rest == 'k') {
        shift = 10;
    } else if (*rest == 'M' || *rest == 'm') {
        shift = 20;
    }
    if (errno != 0 || number > UINT32_MAX >> shift) {
        return false;
    }
    *value = (uint32_t)(number << shift);
    *end = shift == 0 ? rest : rest + 1;
    return true;
}

bool number_parse(const char *text, uint32_t *value)
{
    const char *end = NULL;
    return number_parse_prefix(text, value, &end) && *end == '\0';
}

const char *number_size(uint64_t bytes, char out[NUMBER_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    unsigned unit = 0;
    double scaled = (double)bytes;
    while (scaled >= 1024 && unit < 3) {
        scaled /= 1024;
        unit++;
    }
    bool whole = (uint64_t)scaled << (10 * unit) == bytes;
    snprintf(out, NUMBER_TEXT_SIZE, whole ? "%.0f %s" : "%.1f %s", scaled, units[unit]);
    return out;
}

const char *number_grouped(uint64_t value, char out[NUMBER_TEXT_SIZE])
{
    char digits[NUMBER_TEXT_SIZE];
    int count = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    char *to = out;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

const char *number_count(uint64_t value, const char *what, char out[NUMBER_COUNT_SIZE])
{
    char digits[NUMBER_TEXT_SIZE];
    const size_t length = strlen(what);
    const char *plural = length > 0 && what[length - 1] == 's' ? "es" : "s";
    snprintf(out, NUMBER_COUNT_SIZE, "%s %s%s", number_grouped(value, digits), what, value == 1 ? "" : plural);
    return out;
}

const char *number_hex(const uint8_t *bytes, size_t count, char *out)
{
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
    return out;
}
