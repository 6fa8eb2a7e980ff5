// SPDX-License-Identifier: Apache-2.0
/** @file
 * Numbers as people write them: addresses and sizes on the command line, sizes in the output.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Reads "65536", "0x10000", "64K" or "1M". @return false if @p text is no such number or exceeds 32 bits. */
bool number_parse(const char *text, uint32_t *value);

/** Reads a number like number_parse(), but stops at the first character that cannot belong to it, and tells where that
 * is. */
bool number_parse_prefix(const char *text, uint32_t *value, const char **end);

#define NUMBER_TEXT_SIZE 32

/** "28 KiB", "1.5 MiB", "17 B": exact where that is short, else rounded to one decimal. @return @p out. */
const char *number_size(uint64_t bytes, char out[NUMBER_TEXT_SIZE]);

/** "1,325,744". @return @p out. */
const char *number_grouped(uint64_t value, char out[NUMBER_TEXT_SIZE]);

/** "0f3a": two digits for each byte. @param[out] out 2 * @p count + 1 bytes. @return @p out. */
const char *number_hex(const uint8_t *bytes, size_t count, char *out);

#define NUMBER_COUNT_SIZE 64
/** "1 request", "20 requests". @param what Takes an s (es after an s) in the plural, 24 bytes at most. @return @p out.
 */
const char *number_count(uint64_t value, const char *what, char out[NUMBER_COUNT_SIZE]);
