// SPDX-License-Identifier: Apache-2.0
/** @file
 * What fuzz targets share: input as a reader, and a check that stops the fuzzer.
 */
#pragma once

#include "format/sr_reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Stops if a promise of the code under test is broken, also where assert() is compiled away. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef struct fuzz_input {
    const uint8_t *data;
    size_t size;
} fuzz_input_t;

static inline int fuzz_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    const fuzz_input_t *input = context;
    CHECK(offset <= input->size && length <= input->size - offset);
    memcpy(buffer, input->data + offset, length);
    return 0;
}

/** A reader over the input that stops the fuzzer if it is asked for bytes outside. */
static inline sr_reader_t fuzz_reader(fuzz_input_t *input)
{
    return (sr_reader_t){.context = input, .read = fuzz_read, .size = (uint32_t)input->size};
}
