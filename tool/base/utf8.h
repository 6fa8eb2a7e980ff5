// SPDX-License-Identifier: Apache-2.0
/** @file
 * UTF-8, for names that come from a flash and may be any bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /**< U+FFFD, for what is not UTF-8. */

/** Bytes of the sequence at @p text, which is zero-terminated, and its code point; 0 if it is malformed. */
size_t utf8_decode(const char *text, uint32_t *code);

/** False for characters that are not visible, or that change how the text around them is shown. */
bool utf8_is_visible(uint32_t code);

/**
 * Replaces by '?' each byte of what is not visible, or no UTF-8: in a name from somebody's file it would steer the
 * terminal.
 * @return @p text.
 */
char *utf8_tame(char *text);

/** Writes text, with U+FFFD for each byte that belongs to no sequence. */
void utf8_write(FILE *out, const char *text);
