// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_mcuboot.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_reader.h"

#define BUFFER_SIZE  0x2000u
#define HEADER_SIZE  0x40u
#define PAYLOAD_SIZE 0x150u
#define PAYLOAD_END  (HEADER_SIZE + PAYLOAD_SIZE)

/** An image under construction, written by the rules of MCUboot's design document. */
static uint8_t draft[BUFFER_SIZE];
static uint32_t draft_length;
static uint32_t area_start;

static void put_le16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static void draft_start(void)
{
    memset(draft, 0xFF, sizeof(draft));
    memset(draft, 0, HEADER_SIZE);
    sr_bytes_put_le32(draft, SR_MCUBOOT_IMAGE_MAGIC);
    sr_bytes_put_le32(draft + 4, 0x20001000);
    put_le16(draft + 8, HEADER_SIZE);
    sr_bytes_put_le32(draft + 12, PAYLOAD_SIZE);
    sr_bytes_put_le32(draft + 16, 0x10);
    draft[20] = 1;
    draft[21] = 2;
    put_le16(draft + 22, 0x345);
    sr_bytes_put_le32(draft + 24, 0x6789ABCD);
    for (uint32_t i = HEADER_SIZE; i < PAYLOAD_END; i++) {
        draft[i] = (uint8_t)(3 * i);
    }
    draft_length = PAYLOAD_END;
}

static void draft_area(uint16_t magic)
{
    area_start = draft_length;
    put_le16(draft + draft_length, magic);
    draft_length += 4;
    put_le16(draft + area_start + 2, 4);
}

static uint8_t *draft_tlv(uint16_t type, uint16_t length)
{
    put_le16(draft + draft_length, type);
    put_le16(draft + draft_length + 2, length);
    uint8_t *value = draft + draft_length + 4;
    memset(value, 0x77, length);
    draft_length += 4u + length;
    put_le16(draft + area_start + 2, draft_length - area_start);
    return value;
}

/** Appends the protected area: a security counter. Its size is part of the header, which the digest covers. */
static void draft_protected(void)
{
    draft_area(0x6908);
    draft_tlv(0x50, 4);
    put_le16(draft + 10, draft_length - area_start);
}

static void draft_digest(void)
{
    const uint32_t digested = draft_length;
    draft_area(0x6907);
    library_digest(PSA_ALG_SHA_256, draft, digested, draft_tlv(0x10, 32));
}

/** Protected TLVs, digest, key hash and signature. */
static void draft_usual(void)
{
    draft_start();
    draft_protected();
    draft_digest();
    draft_tlv(0x01, 32);
    draft_tlv(0x22, 71);
}

static sr_mcuboot_status_t parse(uint32_t size, sr_mcuboot_image_t *image)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft, size);
    return sr_mcuboot_parse(&reader, image);
}

static sr_mcuboot_status_t check(void)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft, draft_length);
    sr_mcuboot_image_t image;
    sr_mcuboot_status_t status = sr_mcuboot_parse(&reader, &image);
    return status == SR_MCUBOOT_OK ? sr_mcuboot_verify(&reader, &image) : status;
}

static void header_and_length_are_read(void **state)
{
    (void)state;
    draft_usual();
    sr_mcuboot_image_t image;
    assert_int_equal(parse(BUFFER_SIZE, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.load_address, 0x20001000);
    assert_int_equal(image.header_size, HEADER_SIZE);
    assert_int_equal(image.protected_tlv_size, 12);
    assert_int_equal(image.payload_size, PAYLOAD_SIZE);
    assert_int_equal(image.flags, 0x10);
    assert_int_equal(image.version_major, 1);
    assert_int_equal(image.version_minor, 2);
    assert_int_equal(image.version_revision, 0x345);
    assert_int_equal(image.version_build, 0x6789ABCD);
    assert_int_equal(image.length, draft_length);
    assert_true(image.has_signature);
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void digest_alone_is_enough(void **state)
{
    (void)state;
    draft_start();
    draft_digest();
    sr_mcuboot_image_t image;
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.length, draft_length);
    assert_int_equal(image.protected_tlv_size, 0);
    assert_false(image.has_signature);
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void signatures_are_told_by_their_type(void **state)
{
    (void)state;
    for (uint16_t type = 0; type <= 0x60; type++) {
        draft_start();
        draft_digest();
        draft_tlv(type, type == 0x10 ? 32 : 8);
        sr_mcuboot_image_t image;
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_OK);
        assert_int_equal(image.has_signature, type >= 0x20 && type <= 0x24);
    }
}

static void other_headers_are_refused(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    for (unsigned i = 0; i < 4; i++) {
        draft_usual();
        draft[i] ^= 1;
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_MAGIC);
    }
    draft_usual();
    put_le16(draft + 8, 31);
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_MAGIC);
    memset(draft, 0xFF, sizeof(draft));
    assert_int_equal(parse(BUFFER_SIZE, &image), SR_MCUBOOT_BAD_MAGIC);
}

static void image_is_truncated_in_every_smaller_slot(void **state)
{
    (void)state;
    draft_usual();
    sr_mcuboot_image_t image;
    for (uint32_t size = 0; size < draft_length; size++) {
        assert_int_equal(parse(size, &image), SR_MCUBOOT_TRUNCATED);
    }
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_OK);
}

static void hostile_payload_sizes_do_not_wrap(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0xFFFFFFFF, 0xFFFFFFC0, 0xFFFFFFF0, 0x80000000, BUFFER_SIZE};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        draft_usual();
        sr_bytes_put_le32(draft + 12, sizes[i]);
        sr_mcuboot_image_t image;
        assert_int_equal(parse(BUFFER_SIZE, &image), SR_MCUBOOT_TRUNCATED);
    }
}

static void areas_need_their_magic(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    for (unsigned i = 0; i < 2; i++) {
        draft_usual();
        draft[PAYLOAD_END + i] ^= 0x40;
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
        draft_usual();
        draft[PAYLOAD_END + 12 + i] ^= 0x40;
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    }
}

static void protected_size_must_match_the_header(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    static const uint16_t sizes[] = {0, 4, 11, 13, 0xFFFF};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        draft_usual();
        put_le16(draft + 10, sizes[i]);
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    }
}

static void area_must_hold_its_own_header(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    for (uint16_t size = 0; size < 4; size++) {
        draft_start();
        draft_digest();
        put_le16(draft + area_start + 2, size);
        assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    }
}

static void tlv_must_end_inside_its_area(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    draft_usual();
    put_le16(draft + PAYLOAD_END + 4 + 2, 5); // the security counter reaches into the next area
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    draft_usual();
    put_le16(draft + draft_length - 71 - 2, 72);
    assert_int_equal(parse(BUFFER_SIZE, &image), SR_MCUBOOT_BAD_TLV);
    for (uint16_t rest = 1; rest < 4; rest++) {
        draft_start();
        draft_digest();
        put_le16(draft + area_start + 2, 4 + 36u + rest);
        assert_int_equal(parse(BUFFER_SIZE, &image), SR_MCUBOOT_BAD_TLV);
    }
}

static void tlv_may_be_empty(void **state)
{
    (void)state;
    draft_usual();
    draft_tlv(0x70, 0); // as the last one, which ends with the area
    sr_mcuboot_image_t image;
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.length, draft_length);
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void area_may_be_empty(void **state)
{
    (void)state;
    draft_start();
    draft_area(0x6908);
    put_le16(draft + 10, 4);
    draft_digest();
    sr_mcuboot_image_t image;
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.protected_tlv_size, 4);
    assert_int_equal(image.length, draft_length);
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void nothing_is_told_of_what_is_no_image(void **state)
{
    (void)state;
    static const sr_mcuboot_image_t none;
    sr_mcuboot_image_t image;
    for (uint32_t size = 31; size <= 32; size++) {
        draft_usual();
        draft[0] ^= 1;
        memset(&image, 0x55, sizeof(image));
        assert_int_equal(parse(size, &image), size < 32 ? SR_MCUBOOT_TRUNCATED : SR_MCUBOOT_BAD_MAGIC);
        assert_memory_equal(&image, &none, sizeof(none));
    }
}

static void image_without_sha256_is_refused(void **state)
{
    (void)state;
    sr_mcuboot_image_t image;
    draft_start();
    draft_area(0x6907);
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    draft_tlv(0x11, 48);
    draft_tlv(0x22, 71);
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
    draft_start();
    draft_area(0x6907);
    draft_tlv(0x10, 31);
    assert_int_equal(parse(draft_length, &image), SR_MCUBOOT_BAD_TLV);
}

static void every_sha256_has_to_match(void **state)
{
    (void)state;
    draft_start();
    draft_digest();
    draft_tlv(0x10, 32);
    assert_int_equal(check(), SR_MCUBOOT_BAD_DIGEST);
}

static void digest_covers_header_payload_and_protected_tlvs(void **state)
{
    (void)state;
    draft_usual();
    const uint32_t digested = PAYLOAD_END + 12;
    const uint32_t digest_value = digested + 8;
    for (uint32_t i = 0; i < draft_length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            draft[i] ^= (uint8_t)(1u << bit);
            sr_mcuboot_status_t status = check();
            if (i < digested || (i >= digest_value && i < digest_value + 32)) {
                assert_int_not_equal(status, SR_MCUBOOT_OK);
            }
            draft[i] ^= (uint8_t)(1u << bit);
        }
    }
    draft[HEADER_SIZE] ^= 1;
    assert_int_equal(check(), SR_MCUBOOT_BAD_DIGEST);
    draft[HEADER_SIZE] ^= 1;
    draft[digest_value] ^= 1;
    assert_int_equal(check(), SR_MCUBOOT_BAD_DIGEST);
    draft[digest_value] ^= 1;
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void every_failing_read_is_reported(void **state)
{
    (void)state;
    draft_usual();
    memory_t memory;
    sr_mcuboot_image_t image;
    sr_reader_t reader = memory_reader(&memory, draft, draft_length);
    assert_int_equal(sr_mcuboot_parse(&reader, &image), SR_MCUBOOT_OK);
    const unsigned parse_reads = memory.reads;
    assert_int_equal(sr_mcuboot_verify(&reader, &image), SR_MCUBOOT_OK);
    const unsigned all_reads = memory.reads;
    assert_true(parse_reads == 8 && all_reads > 15);
    for (unsigned fail = 1; fail <= all_reads; fail++) {
        reader = memory_reader(&memory, draft, draft_length);
        memory.fail_read = fail;
        sr_mcuboot_status_t status = sr_mcuboot_parse(&reader, &image);
        assert_int_equal(status, fail <= parse_reads ? SR_MCUBOOT_READ_FAILED : SR_MCUBOOT_OK);
        if (fail > parse_reads) {
            assert_int_equal(sr_mcuboot_verify(&reader, &image), SR_MCUBOOT_READ_FAILED);
        }
    }
}

static void failing_crypto_is_reported(void **state)
{
    (void)state;
    draft_usual();
    hash_fails = true;
    assert_int_equal(check(), SR_MCUBOOT_CRYPTO_FAILED);
    hash_fails = false;
    assert_int_equal(check(), SR_MCUBOOT_OK);
}

static void every_status_has_words_of_its_own(void **state)
{
    (void)state;
    for (int a = SR_MCUBOOT_OK; a <= SR_MCUBOOT_CRYPTO_FAILED + 1; a++) {
        assert_non_null(sr_mcuboot_status_text((sr_mcuboot_status_t)a));
        for (int b = SR_MCUBOOT_OK; b < a; b++) {
            assert_string_not_equal(sr_mcuboot_status_text((sr_mcuboot_status_t)a),
                                    sr_mcuboot_status_text((sr_mcuboot_status_t)b));
        }
    }
}

/** What `imgtool dumpinfo` and `imgtool verify` say about the published slot. */
static void compare_published_slot(const uint8_t *slot)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, slot, 0x100000);
    sr_mcuboot_image_t image;
    assert_int_equal(sr_mcuboot_parse(&reader, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.header_size, 0x20);
    assert_int_equal(image.protected_tlv_size, 0xC);
    assert_int_equal(image.payload_size, 0x24940);
    assert_int_equal(image.flags, 0);
    assert_int_equal(image.length, 0x2496C + 0x28);
    assert_false(image.has_signature);
    assert_int_equal(sr_mcuboot_verify(&reader, &image), SR_MCUBOOT_OK);
}

static void published_slots_are_what_imgtool_says(void **state)
{
    (void)state;
    size_t size;
    uint8_t *slot = load_fixture("mcuboot-nuttx/app_upd.bin", &size);
    assert_int_equal(size, 0x100000);
    compare_published_slot(slot);
    assert_memory_equal(slot + size - SR_MCUBOOT_TRAILER_MAGIC_SIZE, sr_mcuboot_trailer_magic,
                        SR_MCUBOOT_TRAILER_MAGIC_SIZE);
    free(slot);
    uint8_t *merged = load_fixture("mcuboot-nuttx/app_upd.merged.bin", &size);
    assert_int_equal(size, 0x10F000);
    compare_published_slot(merged + 0xF000);
    free(merged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_and_length_are_read),
        cmocka_unit_test(digest_alone_is_enough),
        cmocka_unit_test(signatures_are_told_by_their_type),
        cmocka_unit_test(other_headers_are_refused),
        cmocka_unit_test(image_is_truncated_in_every_smaller_slot),
        cmocka_unit_test(hostile_payload_sizes_do_not_wrap),
        cmocka_unit_test(areas_need_their_magic),
        cmocka_unit_test(protected_size_must_match_the_header),
        cmocka_unit_test(area_must_hold_its_own_header),
        cmocka_unit_test(tlv_must_end_inside_its_area),
        cmocka_unit_test(tlv_may_be_empty),
        cmocka_unit_test(area_may_be_empty),
        cmocka_unit_test(nothing_is_told_of_what_is_no_image),
        cmocka_unit_test(image_without_sha256_is_refused),
        cmocka_unit_test(every_sha256_has_to_match),
        cmocka_unit_test(digest_covers_header_payload_and_protected_tlvs),
        cmocka_unit_test(every_failing_read_is_reported),
        cmocka_unit_test(failing_crypto_is_reported),
        cmocka_unit_test(every_status_has_words_of_its_own),
        cmocka_unit_test(published_slots_are_what_imgtool_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
