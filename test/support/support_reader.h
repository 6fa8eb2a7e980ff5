// SPDX-License-Identifier: Apache-2.0
/** @file
 * Readers over memory for parser tests: they fail the test on a read outside the window, and fail on demand.
 * Include after cmocka.h.
 */
#pragma once

#include "format/sr_reader.h"
#include "psa/crypto.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_READ_ERROR 0x107

typedef struct memory {
    const uint8_t *bytes;
    uint32_t size;
    unsigned reads;     /**< So far. */
    unsigned fail_read; /**< Number of the read that fails, from 1; 0 for none. */
} memory_t;

static inline int memory_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    memory_t *memory = context;
    assert_true(offset <= memory->size && length <= memory->size - offset);
    memory->reads++;
    if (memory->reads == memory->fail_read) {
        return MEMORY_READ_ERROR;
    }
    memcpy(buffer, memory->bytes + offset, length);
    return 0;
}

static inline sr_reader_t memory_reader(memory_t *memory, const uint8_t *bytes, size_t size)
{
    *memory = (memory_t){.bytes = bytes, .size = (uint32_t)size};
    return (sr_reader_t){.context = memory, .read = memory_read, .size = (uint32_t)size};
}

/** The digest of the crypto library, asked without the code under test. */
static inline void library_digest(psa_algorithm_t algorithm, const uint8_t *bytes, size_t size, uint8_t *digest)
{
    size_t length = 0;
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
    assert_int_equal(psa_hash_compute(algorithm, bytes, size, digest, PSA_HASH_LENGTH(algorithm), &length),
                     PSA_SUCCESS);
}

/** A published firmware file; skips the test where the folder is missing. The caller frees it. */
static inline uint8_t *load_fixture(const char *name, size_t *size)
{
    const char *folder = getenv("SELF_REFLASHER_FIXTURES");
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : TEST_FIXTURES_DEFAULT, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("skipped: no %s\n", path);
        skip();
        return NULL;
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    assert_true(end > 0);
    rewind(file);
    *size = (size_t)end;
    uint8_t *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    (void)fclose(file);
    return bytes;
}
