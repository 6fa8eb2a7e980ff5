// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_digest.h"
#include "format/sr_md5.h"
#include "format/sr_sha256.h"
#include "sim/boot/digest_memo.h"
#include "test/support/support_counted_hash.h"
#include "test/support/support_failing_hash.h"

#include <dlfcn.h>
#include <mbedtls/sha256.h>
#include <string.h>

/** FIPS 180-2, appendix B.2. */
static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
static const uint8_t sha_of_two_blocks[SR_SHA256_SIZE] = {
    0x24, 0x8D, 0x6A, 0x61, 0xD2, 0x06, 0x38, 0xB8, 0xE5, 0xC0, 0x26, 0x93, 0x0C, 0x3E, 0x60, 0x39,
    0xA3, 0x3C, 0xE4, 0x59, 0x64, 0xFF, 0x21, 0x67, 0xF6, 0xEC, 0xED, 0xD4, 0x19, 0xDB, 0x06, 0xC1,
};
static const uint8_t sha_of_nothing[SR_SHA256_SIZE] = {
    0xE3, 0xB0, 0xC4, 0x42, 0x98, 0xFC, 0x1C, 0x14, 0x9A, 0xFB, 0xF4, 0xC8, 0x99, 0x6F, 0xB9, 0x24,
    0x27, 0xAE, 0x41, 0xE4, 0x64, 0x9B, 0x93, 0x4C, 0xA4, 0x95, 0x99, 0x1B, 0x78, 0x52, 0xB8, 0x55,
};
/** RFC 1321, appendix A.5: of "message digest". */
static const uint8_t md5_of_message_digest[SR_MD5_SIZE] = {
    0xF9, 0x6B, 0x69, 0x7D, 0x7C, 0xB7, 0x93, 0x8D, 0x52, 0x5A, 0x2F, 0x31, 0xAA, 0xF1, 0x61, 0xD0,
};
static const uint8_t zeros[SR_SHA256_SIZE];

static void sha256_is_that_of_the_standard_however_cut(void **state)
{
    (void)state;
    const size_t length = strlen(two_blocks);
    for (size_t loss = 0; loss <= length; loss++) {
        sr_sha256_t sha;
        uint8_t digest[SR_SHA256_SIZE];
        sr_sha256_start(&sha);
        sr_sha256_update(&sha, two_blocks, loss);
        sr_sha256_update(&sha, two_blocks + loss, length - loss);
        assert_int_equal(sr_sha256_finish(&sha, digest), 0);
        assert_memory_equal(digest, sha_of_two_blocks, sizeof(digest));
    }
}

static void sha256_of_nothing_needs_no_data(void **state)
{
    (void)state;
    sr_sha256_t sha;
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, NULL, 0);
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
    assert_memory_equal(digest, sha_of_nothing, sizeof(digest));
}

/* On a PC the simulator's function takes the place of the library's, whose own has to give the same. */
static void sha256_is_that_of_the_library_for_any_block(void **state)
{
    (void)state;
    int (*library)(mbedtls_sha256_context * context, const unsigned char block[64]);
    *(void **)&library = dlsym(RTLD_NEXT, "mbedtls_internal_sha256_process");
    assert_non_null(library);
    mbedtls_sha256_context ours;
    mbedtls_sha256_context theirs;
    memset(&ours, 0, sizeof(ours));
    for (uint32_t round = 0; round < 1000; round++) {
        unsigned char block[65];
        for (uint32_t i = 0; i < sizeof(block); i++) {
            block[i] = (unsigned char)((round * 65 + i) * 0x9E3779B1u >> 24);
        }
        theirs = ours; // any state is a start
        const unsigned char *unaligned = block + round % 2;
        assert_int_equal(mbedtls_internal_sha256_process(&ours, unaligned), 0);
        assert_int_equal(library(&theirs, unaligned), 0);
        assert_memory_equal(&ours, &theirs, sizeof(ours));
    }
}

static void sha256_can_be_abandoned(void **state)
{
    (void)state;
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, two_blocks, 10);
    assert_int_equal(sr_sha256_finish(&sha, NULL), 0);
}

static void sha256_keeps_the_first_error(void **state)
{
    (void)state;
    sr_sha256_t sha;
    uint8_t digest[SR_SHA256_SIZE];
    memset(digest, 0xAA, sizeof(digest));
    sr_sha256_start(&sha);
    hash_fails = true;
    sr_sha256_update(&sha, two_blocks, 10);
    hash_fails = false;
    sr_sha256_update(&sha, two_blocks, 10);
    assert_int_equal(sr_sha256_finish(&sha, digest), PSA_ERROR_HARDWARE_FAILURE);
    assert_memory_equal(digest, zeros, sizeof(digest));
}

static void md5_is_that_of_the_standard_however_cut(void **state)
{
    (void)state;
    static const char message[] = "message digest";
    const size_t length = strlen(message);
    for (size_t loss = 0; loss <= length; loss++) {
        sr_md5_t md5;
        uint8_t digest[SR_MD5_SIZE];
        sr_md5_start(&md5);
        sr_md5_update(&md5, message, loss);
        sr_md5_update(&md5, message + loss, length - loss);
        assert_int_equal(sr_md5_finish(&md5, digest), 0);
        assert_memory_equal(digest, md5_of_message_digest, sizeof(digest));
    }
}

static void md5_keeps_the_first_error(void **state)
{
    (void)state;
    sr_md5_t md5;
    uint8_t digest[SR_MD5_SIZE];
    memset(digest, 0xAA, sizeof(digest));
    sr_md5_start(&md5);
    hash_fails = true;
    sr_md5_update(&md5, two_blocks, 10);
    hash_fails = false;
    assert_int_equal(sr_md5_finish(&md5, digest), PSA_ERROR_HARDWARE_FAILURE);
    assert_memory_equal(digest, zeros, sizeof(digest));
}

/* More ranges than it keeps, each asked for twice in a row and again later, with one bit changed in between. */
static void a_digest_from_memory_is_that_of_the_bytes(void **state)
{
    (void)state;
    static uint8_t bytes[5000];
    for (unsigned round = 0; round < 200; round++) {
        const size_t length = round % 40 * 120;
        uint8_t expected[SR_SHA256_SIZE];
        uint8_t digest[SR_SHA256_SIZE];
        bytes[round * 7 % sizeof(bytes)] ^= (uint8_t)(1u << round % 8);
        assert_true(sr_digest(bytes, length, expected));
        for (unsigned again = 0; again < 2; again++) {
            memset(digest, 0, sizeof(digest));
            assert_true(digest_memo(bytes, length, digest));
            assert_memory_equal(digest, expected, sizeof(digest));
        }
    }
}

/* However a digest ended: made, abandoned or failed. */
static int nothing_is_left_open(void **state)
{
    (void)state;
    return hashes_open;
}

#define TEST(test) cmocka_unit_test_teardown(test, nothing_is_left_open)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sha256_is_that_of_the_standard_however_cut),
        TEST(sha256_of_nothing_needs_no_data),
        TEST(sha256_is_that_of_the_library_for_any_block),
        TEST(sha256_can_be_abandoned),
        TEST(sha256_keeps_the_first_error),
        TEST(md5_is_that_of_the_standard_however_cut),
        TEST(a_digest_from_memory_is_that_of_the_bytes),
        TEST(md5_keeps_the_first_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
