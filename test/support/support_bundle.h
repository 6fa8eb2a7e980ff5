// SPDX-License-Identifier: Apache-2.0
/** @file
 * The worked example of docs/bundle-format.md: its bytes and keys from the page, and the input that must give them.
 * Include after cmocka.h.
 */
#pragma once

#include "make/bundle_writer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE_MAX_SIZE 1024u

/** A text file, zero-terminated. The caller frees it. */
static inline char *load_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long end = ftell(file);
    assert_true(end >= 0);
    rewind(file);
    char *text = malloc((size_t)end + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)end, file), (size_t)end);
    text[end] = '\0';
    (void)fclose(file);
    return text;
}

/** The page. The caller frees it. */
static inline char *load_format_page(void)
{
    return load_text(TEST_SOURCE_DIR "/../docs/bundle-format.md");
}

/** The block of PEM with this name that stands in a text. The caller frees it. */
static inline char *cut_pem(const char *text, const char *name)
{
    char begin[64];
    char end[64];
    (void)snprintf(begin, sizeof(begin), "\n-----BEGIN %s-----\n", name);
    (void)snprintf(end, sizeof(end), "\n-----END %s-----\n", name);
    const char *start = strstr(text, begin);
    assert_non_null(start);
    const char *last = strstr(start, end);
    assert_non_null(last);
    char *pem = strndup(start + 1, (size_t)(last - start) + strlen(end) - 1);
    assert_non_null(pem);
    return pem;
}

/** The bytes in the page's table of hex, each row of which must start where the previous one ended. */
static inline size_t read_example(const char *page, uint8_t bytes[EXAMPLE_MAX_SIZE])
{
    size_t size = 0;
    for (const char *line = strstr(page, "\n| 0x"); line != NULL; line = strstr(line + 1, "\n| 0x")) {
        char *next = NULL;
        assert_int_equal(strtoul(line + 3, &next, 16), size);
        next = strchr(next, '`');
        assert_non_null(next);
        for (next++; *next != '`';) {
            assert_true(size < EXAMPLE_MAX_SIZE);
            bytes[size++] = (uint8_t)strtoul(next, &next, 16);
        }
    }
    assert_true(size > 0);
    return size;
}

/** Builds the bundle that the page describes in words, without signature. The caller frees it. */
static inline uint8_t *build_example(size_t *size)
{
    uint8_t app[3 * 4096];
    memset(app, 0xFF, sizeof(app));
    for (size_t i = 0; i < 4096; i += 16) {
        memcpy(app + i, "self-reflasher\r\n", 16);
    }
    memcpy(app + 2 * 4096, "end\n", 4);
    const bundle_region_t regions[] = {
        {.place = {0x0, 0x1000}, .data = (const uint8_t *)"bootloader\n", .length = 11},
        {.place = {0x9000, 0x5000}, .initial = true},
        {.place = {0x10000, 0x3000}, .data = app, .length = sizeof(app)},
    };
    const bundle_spec_t spec = {
        .chip_id = 5,
        .min_chip_revision = 3,
        .min_flash_size = 0x400000,
        .partition_table_offset = SR_BUNDLE_NO_TABLE,
        .regions = regions,
        .region_count = 3,
        .sequence = 7,
    };
    uint8_t *bundle = NULL;
    assert_int_equal(bundle_write(&spec, &bundle, size), BUNDLE_WRITE_OK);
    return bundle;
}
