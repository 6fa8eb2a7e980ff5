// SPDX-License-Identifier: Apache-2.0
// CRC-32, MD5, and SHA-256 of a part of something: what they give, and what becomes of errors of the library.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_crc32.h"
#include "format/sr_digest.h"
#include "format/sr_md5.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_reader.h"

psa_status_t __real_psa_crypto_init(void);
psa_status_t __wrap_psa_crypto_init(void);
psa_status_t __real_psa_hash_abort(psa_hash_operation_t *operation);
psa_status_t __wrap_psa_hash_abort(psa_hash_operation_t *operation);

static bool library_cannot_start;
static unsigned aborted;

psa_status_t __wrap_psa_crypto_init(void)
{
    return library_cannot_start ? PSA_ERROR_INSUFFICIENT_ENTROPY : __real_psa_crypto_init();
}

psa_status_t __wrap_psa_hash_abort(psa_hash_operation_t *operation)
{
    aborted++;
    return __real_psa_hash_abort(operation);
}

static const uint8_t zeros[SR_MD5_SIZE];

/* The check value that catalogues of CRCs give for CRC-32/ISO-HDLC. */
static void crc32_is_that_of_the_standard_however_cut(void **state)
{
    (void)state;
    const uint8_t *digits = (const uint8_t *)"123456789";
    for (size_t first = 0; first <= 9; first++) {
        assert_int_equal(sr_crc32(sr_crc32(0, digits, first), digits + first, 9 - first), 0xCBF43926);
    }
    assert_int_equal(sr_crc32(0, digits, 0), 0);
    assert_int_equal(sr_crc32(0, zeros, 4), 0x2144DF1C);
}

static int md5_of(const void *bytes, size_t length, uint8_t digest[SR_MD5_SIZE])
{
    sr_md5_t md5;
    memset(digest, 0xAA, SR_MD5_SIZE);
    sr_md5_start(&md5);
    sr_md5_update(&md5, bytes, length);
    return sr_md5_finish(&md5, digest);
}

static void md5_frees_what_the_library_holds(void **state)
{
    (void)state;
    uint8_t digest[SR_MD5_SIZE];
    uint8_t expected[SR_MD5_SIZE];
    aborted = 0;
    assert_int_equal(md5_of("abc", 3, digest), 0);
    assert_int_equal(aborted, 1);
    library_digest(PSA_ALG_MD5, (const uint8_t *)"abc", 3, expected);
    assert_memory_equal(digest, expected, sizeof(digest));
    aborted = 0;
    hash_fails = true;
    assert_int_equal(md5_of("abc", 3, digest), PSA_ERROR_HARDWARE_FAILURE);
    hash_fails = false;
    assert_true(aborted >= 1);
    assert_memory_equal(digest, zeros, sizeof(digest));
}

static void md5_tells_that_the_library_cannot_start(void **state)
{
    (void)state;
    uint8_t digest[SR_MD5_SIZE];
    library_cannot_start = true;
    assert_int_equal(md5_of("abc", 3, digest), PSA_ERROR_INSUFFICIENT_ENTROPY);
    library_cannot_start = false;
    assert_memory_equal(digest, zeros, sizeof(digest));
}

static void md5_keeps_its_first_error_whatever_follows(void **state)
{
    (void)state;
    sr_md5_t md5;
    uint8_t digest[SR_MD5_SIZE];
    library_cannot_start = true;
    sr_md5_start(&md5);
    library_cannot_start = false;
    hash_fails = true;
    sr_md5_update(&md5, "abc", 3);
    hash_fails = false;
    assert_int_equal(sr_md5_finish(&md5, digest), PSA_ERROR_INSUFFICIENT_ENTROPY);
}

static uint8_t bytes[0x400];

static void fill_bytes(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

static void digest_of_a_range_is_that_of_its_bytes(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 1, 127, 128, 129, 255, 256, 257, 0x200, 0x3F0};
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    fill_bytes();
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (uint32_t offset = 0; offset <= 0x10; offset += 0x10) {
            uint8_t digest[SR_SHA256_SIZE];
            uint8_t expected[SR_SHA256_SIZE];
            assert_int_equal(sr_digest_range(&reader, offset, lengths[i], digest), SR_DIGEST_OK);
            library_digest(PSA_ALG_SHA_256, bytes + offset, lengths[i], expected);
            assert_memory_equal(digest, expected, sizeof(digest));
            assert_true(sr_digest(bytes + offset, lengths[i], digest));
            assert_memory_equal(digest, expected, sizeof(digest));
        }
    }
}

static void digest_of_a_range_tells_each_failing_read(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    memory_t memory;
    for (unsigned fail = 1; fail <= 4; fail++) {
        const sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
        memory.fail_read = fail;
        assert_int_equal(sr_digest_range(&reader, 0, 384, digest), fail <= 3 ? SR_DIGEST_READ_FAILED : SR_DIGEST_OK);
        assert_int_equal(memory.reads, fail <= 3 ? fail : 3); // nothing is read any more
    }
}

static void digest_of_a_range_ends_with_what_is_read(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, bytes, 300);
    assert_int_equal(sr_digest_range(&reader, 100, 200, digest), SR_DIGEST_OK);
    memory.reads = 0;
    assert_int_equal(sr_digest_range(&reader, 100, 201, digest), SR_DIGEST_READ_FAILED);
    assert_int_equal(sr_digest_range(&reader, 301, 0, digest), SR_DIGEST_READ_FAILED);
    assert_int_equal(sr_digest_range(&reader, UINT32_MAX, 2, digest), SR_DIGEST_READ_FAILED);
    assert_int_equal(memory.reads, 0);
}

static void failing_crypto_is_told(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    hash_fails = true;
    assert_int_equal(sr_digest_range(&reader, 0, 300, digest), SR_DIGEST_CRYPTO_FAILED);
    assert_false(sr_digest(bytes, sizeof(bytes), digest));
    hash_fails = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32_is_that_of_the_standard_however_cut),
        cmocka_unit_test(md5_frees_what_the_library_holds),
        cmocka_unit_test(md5_tells_that_the_library_cannot_start),
        cmocka_unit_test(md5_keeps_its_first_error_whatever_follows),
        cmocka_unit_test(digest_of_a_range_is_that_of_its_bytes),
        cmocka_unit_test(digest_of_a_range_tells_each_failing_read),
        cmocka_unit_test(digest_of_a_range_ends_with_what_is_read),
        cmocka_unit_test(failing_crypto_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
