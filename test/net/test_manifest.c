// SPDX-License-Identifier: Apache-2.0
/** @file
 * How a manifest comes into RAM and is trusted: what is read of which place, in which order it is verified and parsed,
 * and what becomes of each result. Source, parsers and crypto library are made up.
 */
#include "test/support/api_support.h"
#include "test/support/support_trace.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_digest.h"
#include "net/sr_manifest.h"
#include "self_reflasher_err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADER       SR_BUNDLE_HEADER_SIZE
#define SIGNATURE    SR_BUNDLE_SIGNATURE_SIZE
#define PLACE        0x30000u
#define KEY          "the key"

static struct {
    uint32_t size;        /**< Of the manifest, as its header says. */
    uint32_t parsed_size; /**< And as it is parsed; 0: as above. */
    uint32_t bundle_size;
    sr_bundle_status_t peek, parse, block, key, verify;
    bool is_signed;
    unsigned read_fails; /**< The number of the read that fails; 0: none. */
    esp_err_t read;
    unsigned digest_fails; /**< As for reads. */
    int range;             /**< What a digest over flash returns. */
    unsigned reads, digests;
    int other_digest; /**< Byte in which the one of what is in RAM differs; -1: none. */
} fake;

static uint8_t content[0x20000];
static uint32_t position;
static esp_http_client_config_t http;
static sr_source_t source;
static sr_manifest_t manifest;
static sr_flash_t flash;

static esp_err_t read_of(uint32_t at, void *out, uint32_t length)
{
    if (++fake.reads == fake.read_fails) {
        return fake.read;
    }
    memcpy(out, content + at, length);
    return ESP_OK;
}

WRAP(void, sr_source_seek, sr_source_t *of, uint32_t offset, uint32_t end)
{
    assert_ptr_equal(of, &source);
    note("seek=%u..%u ", (unsigned)offset, (unsigned)end);
    position = offset;
}

WRAP(esp_err_t, sr_source_read, sr_source_t *of, void *out, uint32_t length)
{
    assert_ptr_equal(of, &source);
    note("read=%u ", (unsigned)length);
    const esp_err_t err = read_of(position, out, length);
    position += length;
    return err;
}

WRAP(esp_err_t, sr_flash_read, const sr_flash_t *of, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(of, &flash);
    note("flash=%u+%u ", (unsigned)(address - PLACE), (unsigned)length);
    return read_of(address - PLACE, out, length);
}

WRAP(sr_bundle_status_t, sr_bundle_peek, const uint8_t header[HEADER], uint32_t *manifest_size)
{
    note("peek ");
    assert_memory_equal(header, content, HEADER);
    *manifest_size = fake.size;
    return fake.peek;
}

WRAP(sr_bundle_status_t, sr_bundle_parse, const uint8_t *bytes, uint32_t length, sr_bundle_t *bundle)
{
    note("parse ");
    assert_int_equal(length, fake.size);
    assert_memory_equal(bytes, content, length);
    memset(bundle, 0, sizeof(*bundle));
    bundle->manifest_size = fake.parsed_size != 0 ? fake.parsed_size : fake.size;
    bundle->bundle_size = fake.bundle_size;
    return fake.parse;
}

WRAP(bool, sr_digest, const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    note("digest ");
    assert_int_equal(length, fake.size);
    assert_memory_equal(bytes, content, length);
    memset(digest, 0xD1, SR_SHA256_SIZE);
    if (fake.other_digest >= 0) {
        digest[fake.other_digest]++;
    }
    return ++fake.digests != fake.digest_fails;
}

WRAP(sr_digest_status_t, sr_digest_range, const sr_reader_t *reader, uint32_t offset, uint32_t length,
     uint8_t digest[SR_SHA256_SIZE])
{
    uint8_t byte;
    note("range=%u+%u ", (unsigned)offset, (unsigned)length);
    assert_int_equal(reader->size, length);
    memset(digest, 0xD1, SR_SHA256_SIZE);
    if (fake.range == SR_DIGEST_READ_FAILED) {
        assert_int_not_equal(reader->read(reader->context, 0, &byte, 1), 0);
    }
    return (sr_digest_status_t)fake.range;
}

WRAP(sr_bundle_status_t, sr_signature_parse, const uint8_t block[SIGNATURE], sr_signature_t *signature)
{
    note("block ");
    assert_memory_equal(block, content + fake.size, SIGNATURE);
    memset(signature, 0, sizeof(*signature));
    signature->is_signed = fake.is_signed;
    return fake.block;
}

WRAP(sr_bundle_status_t, sr_signature_public_key_read, const char *pem, sr_signature_public_key_t *key)
{
    note("key ");
    assert_string_equal(pem, KEY);
    memset(key, 0x77, sizeof(*key));
    return fake.key;
}

WRAP(sr_bundle_status_t, sr_signature_verify, const uint8_t digest[SR_SHA256_SIZE], const sr_signature_t *signature,
     const sr_signature_public_key_t *key)
{
    note("verify ");
    assert_int_equal(digest[0], 0xD1);
    assert_true(signature->is_signed);
    assert_int_equal(key->id[0], 0x77);
    return fake.verify;
}

/* What the tests share. */

static void restart(uint32_t size)
{
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    fake.size = size;
    fake.is_signed = true;
    fake.other_digest = -1;
    fake.bundle_size = 5000;
    source = (sr_source_t){.region = {PLACE, 6000}};
    memset(&manifest, 0x5A, sizeof(manifest));
    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(i * 13 + i / 256);
    }
}

static int start(void **state)
{
    (void)state;
    restart(1000);
    return 0;
}

static void expect(esp_err_t is, uint32_t heap, esp_err_t expected, sr_bundle_status_t status)
{
    assert_int_equal(is, expected);
    assert_int_equal(manifest.status, status);
    sr_manifest_free(&manifest);
    assert_null(manifest.bytes);
    assert_int_equal(sim_counters()->heap_now, heap);
}

static void expect_load(esp_err_t expected, sr_bundle_status_t status)
{
    const uint32_t heap = sim_counters()->heap_now;
    expect(sr_manifest_load(&manifest, &source, KEY, false), heap, expected, status);
}

static void expect_record(esp_err_t expected, sr_bundle_status_t status)
{
    const uint32_t heap = sim_counters()->heap_now;
    const sr_region_t place = {PLACE, fake.size + SIGNATURE};
    expect(sr_manifest_load_record(&manifest, &flash, place, KEY, false), heap, expected, status);
}

/* From a source. */

/* One request brings most of them; a larger one takes a second. Of flash no more is read than there is. */
static void manifest_is_read_with_as_few_requests_as_can_be(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        bool http;
        const char *seeks;
    } cases[] = {
        {1000, false, "seek=0..6000 read=64 peek seek=64..1080 read=1016 "},
        {1000, true, "seek=0..8192 read=64 peek seek=64..8192 read=1016 "},
        {8192 - SIGNATURE - 1, true, "seek=0..8192 read=64 peek seek=64..8192 read=8127 "},
        {8192 - SIGNATURE, true, "seek=0..8192 read=64 peek seek=64..8192 read=8128 "},
        {8192 - SIGNATURE + 1, true, "seek=0..8192 read=64 peek seek=64..8193 read=8129 "},
        {20000, true, "seek=0..8192 read=64 peek seek=64..20080 read=20016 "},
        {20000, false, "seek=0..6000 read=64 peek seek=64..20080 read=20016 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char expected[256];
        restart(cases[i].size);
        source.http = cases[i].http ? &http : NULL;
        expect_load(ESP_OK, SR_BUNDLE_OK);
        (void)snprintf(expected, sizeof(expected), "%sparse digest block key verify ", cases[i].seeks);
        expect_trace(expected);
    }
}

static void each_refusal_of_a_manifest_is_told(void **state)
{
    (void)state;
    fake.peek = SR_BUNDLE_BAD_MAGIC;
    expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_MAGIC);
    expect_trace("seek=0..6000 read=64 peek ");
    restart(1000);
    fake.parse = SR_BUNDLE_BAD_REGION;
    fake.bundle_size = 7000; /* What it says does not count then. */
    expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_REGION);
    expect_trace("seek=0..6000 read=64 peek seek=64..1080 read=1016 parse ");
    restart(1000);
    fake.digest_fails = 1;
    expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_CRYPTO_FAILED);
    restart(1000);
    fake.verify = SR_BUNDLE_OTHER_KEY;
    expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_OTHER_KEY);
}

/* In flash the end is known: else it would end half-way. */
static void bundle_that_is_longer_than_its_region_is_refused(void **state)
{
    (void)state;
    for (uint32_t size = 5999; size <= 6001; size++) {
        for (unsigned from_http = 0; from_http < 2; from_http++) {
            restart(1000);
            source.http = from_http != 0 ? &http : NULL;
            fake.bundle_size = size;
            if (size > 6000 && from_http == 0) {
                expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_TRUNCATED);
            } else {
                expect_load(ESP_OK, SR_BUNDLE_OK);
            }
        }
    }
}

static void each_read_of_a_source_may_fail(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        restart(1000);
        fake.read_fails = i;
        fake.read = ESP_ERR_INVALID_CRC;
        expect_load(ESP_ERR_INVALID_CRC, SR_BUNDLE_OK);
        assert_null(strstr(traced, "parse"));
        restart(1000);
        fake.read_fails = i;
        fake.read = ESP_ERR_INVALID_SIZE;
        expect_load(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_TRUNCATED);
        assert_null(strstr(traced, "parse"));
    }
    restart(1000);
    sim_heap_fail_at(1);
    expect_load(ESP_ERR_NO_MEM, SR_BUNDLE_OK);
    sim_heap_fail_at(0);
    expect_trace("seek=0..6000 read=64 peek ");
}

/* Trust. */

static void manifest_is_trusted_by_its_signature_alone(void **state)
{
    (void)state;
    static const struct {
        sr_bundle_status_t block, key, verify;
        bool is_signed, with_key, allow_unsigned;
        sr_bundle_status_t expected;
        const char *trace;
    } cases[] = {
        {0, 0, 0, true, true, false, SR_BUNDLE_OK, "block key verify "},
        {0, 0, 0, true, true, true, SR_BUNDLE_OK, "block key verify "},
        {SR_BUNDLE_BAD_SIGNATURE, 0, 0, true, true, true, SR_BUNDLE_BAD_SIGNATURE, "block "},
        {0, SR_BUNDLE_BAD_KEY, 0, true, true, true, SR_BUNDLE_BAD_KEY, "block key "},
        {0, 0, SR_BUNDLE_OTHER_KEY, true, true, false, SR_BUNDLE_OTHER_KEY, "block key verify "},
        {0, 0, SR_BUNDLE_BAD_SIGNATURE, true, true, true, SR_BUNDLE_BAD_SIGNATURE, "block key verify "},
        {0, 0, 0, true, false, false, SR_BUNDLE_NOT_SIGNED, "block "},
        {0, 0, 0, true, false, true, SR_BUNDLE_OK, "block "},
        {0, 0, 0, false, true, false, SR_BUNDLE_NOT_SIGNED, "block "},
        {0, 0, 0, false, true, true, SR_BUNDLE_OK, "block "},
        {0, 0, 0, false, false, false, SR_BUNDLE_NOT_SIGNED, "block "},
        {0, 0, 0, false, false, true, SR_BUNDLE_OK, "block "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t digest[SR_SHA256_SIZE];
        restart(1000);
        memset(digest, 0xD1, sizeof(digest));
        fake.block = cases[i].block;
        fake.key = cases[i].key;
        fake.verify = cases[i].verify;
        fake.is_signed = cases[i].is_signed;
        assert_int_equal(
            sr_manifest_trust(digest, content + 1000, cases[i].with_key ? KEY : NULL, cases[i].allow_unsigned),
            cases[i].expected);
        expect_trace(cases[i].trace);
    }
}

/* Of a record. */

/* No memory for what is not trusted; and what was verified is what is used. */
static void record_is_verified_before_it_is_loaded(void **state)
{
    (void)state;
    expect_record(ESP_OK, SR_BUNDLE_OK);
    expect_trace("range=0+1000 flash=1000+80 block key verify flash=0+1080 digest parse ");
    for (int at = 0; at < (int)SR_SHA256_SIZE; at += (int)SR_SHA256_SIZE - 1) {
        restart(1000);
        fake.other_digest = at;
        expect_record(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_SIGNATURE);
        assert_null(strstr(traced, "parse"));
    }
}

static void each_refusal_of_a_record_is_told(void **state)
{
    (void)state;
    fake.verify = SR_BUNDLE_OTHER_KEY;
    expect_record(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_OTHER_KEY);
    expect_trace("range=0+1000 flash=1000+80 block key verify ");
    restart(1000);
    fake.parse = SR_BUNDLE_BAD_CHUNK;
    expect_record(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_CHUNK);
    restart(1000);
    fake.parse = SR_BUNDLE_BAD_CHUNK;
    fake.parsed_size = 999;
    expect_record(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_CHUNK);
    for (uint32_t size = 999; size <= 1001; size += 2) {
        restart(1000);
        fake.parsed_size = size;
        expect_record(ESP_ERR_SELF_REFLASHER_REFUSED, SR_BUNDLE_BAD_HEADER);
    }
}

/* That says nothing about the record, which may be a valuable one. */
static void record_that_cannot_be_read_or_hashed_is_not_refused(void **state)
{
    (void)state;
    fake.range = SR_DIGEST_READ_FAILED;
    fake.read_fails = 1;
    fake.read = ESP_ERR_INVALID_CRC;
    expect_record(ESP_ERR_INVALID_CRC, SR_BUNDLE_OK);
    assert_null(strstr(traced, "block"));
    restart(1000);
    fake.range = SR_DIGEST_CRYPTO_FAILED;
    expect_record(ESP_FAIL, SR_BUNDLE_OK);
    expect_trace("range=0+1000 ");
    for (unsigned i = 1; i <= 2; i++) {
        restart(1000);
        fake.read_fails = i;
        fake.read = ESP_ERR_INVALID_CRC;
        expect_record(ESP_ERR_INVALID_CRC, SR_BUNDLE_OK);
        expect_trace(i == 1 ? "range=0+1000 flash=1000+80 "
                            : "range=0+1000 flash=1000+80 block key verify flash=0+1080 ");
    }
    restart(1000);
    fake.verify = SR_BUNDLE_CRYPTO_FAILED;
    expect_record(ESP_FAIL, SR_BUNDLE_CRYPTO_FAILED);
    restart(1000);
    fake.digest_fails = 1;
    expect_record(ESP_FAIL, SR_BUNDLE_OK);
    restart(1000);
    sim_heap_fail_at(1);
    expect_record(ESP_ERR_NO_MEM, SR_BUNDLE_OK);
    sim_heap_fail_at(0);
    expect_trace("range=0+1000 flash=1000+80 block key verify ");
}

#define TEST(test) cmocka_unit_test_setup(test, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(manifest_is_read_with_as_few_requests_as_can_be),
        TEST(each_refusal_of_a_manifest_is_told),
        TEST(bundle_that_is_longer_than_its_region_is_refused),
        TEST(each_read_of_a_source_may_fail),
        TEST(manifest_is_trusted_by_its_signature_alone),
        TEST(record_is_verified_before_it_is_loaded),
        TEST(each_refusal_of_a_record_is_told),
        TEST(record_that_cannot_be_read_or_hashed_is_not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
