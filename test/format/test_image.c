// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "test/support/support_failing_hash.h"
#include "test/support/support_reader.h"

#define BUFFER_SIZE   0x4000u
#define HASH_APPENDED 23u /**< Offset of the header field. */
#define DESC_OFFSET   (SR_IMAGE_HEADER_SIZE + 8u)

/** An image under construction, written by the rules of the format's documentation, not with the code under test. */
typedef struct draft {
    uint8_t bytes[BUFFER_SIZE];
    uint32_t length;
} draft_t;

static draft_t draft;

static void draft_start(uint8_t hash_appended)
{
    static const uint8_t header[SR_IMAGE_HEADER_SIZE] = {
        0xE9, 0,    2,    0x4F,          // magic, segments, DIO, 16 MiB at speed 0xF
        0x34, 0x12, 0x08, 0x40,          // entry
        0xEE, 0,    0,    0,    5,    0, // WP pin, drive strengths, chip id
        3,    0x2D, 0x01, 0x8F, 0x01,    // revisions: major 3, 301 to 399
    };
    memset(draft.bytes, 0xFF, sizeof(draft.bytes));
    memcpy(draft.bytes, header, sizeof(header));
    draft.bytes[HASH_APPENDED] = hash_appended;
    draft.length = sizeof(header);
}

static void draft_segment(uint32_t address, uint32_t length, uint8_t seed)
{
    draft.bytes[1]++;
    sr_bytes_put_le32(draft.bytes + draft.length, address);
    sr_bytes_put_le32(draft.bytes + draft.length + 4, length);
    draft.length += 8;
    for (uint32_t i = 0; i < length; i++) {
        draft.bytes[draft.length++] = (uint8_t)(seed + 7 * i);
    }
}

static uint8_t draft_checksum(void)
{
    uint8_t checksum = 0xEF;
    uint32_t offset = SR_IMAGE_HEADER_SIZE;
    for (unsigned segment = 0; segment < draft.bytes[1]; segment++) {
        uint32_t length = sr_bytes_get_le32(draft.bytes + offset + 4);
        offset += 8;
        for (uint32_t end = offset + length; offset < end; offset++) {
            checksum ^= draft.bytes[offset];
        }
    }
    return checksum;
}

static void draft_finish(void)
{
    uint8_t checksum = draft_checksum();
    while (draft.length % 16 != 15) {
        draft.bytes[draft.length++] = 0;
    }
    draft.bytes[draft.length++] = checksum;
    if (draft.bytes[HASH_APPENDED] != 0) {
        library_digest(PSA_ALG_SHA_256, draft.bytes, draft.length, draft.bytes + draft.length);
        draft.length += SR_SHA256_SIZE;
    }
}

/** Two segments, of which the first is longer than a read of the code under test. */
static void draft_usual(uint8_t hash_appended)
{
    draft_start(hash_appended);
    draft_segment(0x3F400020, 0x244, 1);
    draft_segment(0x40080000, 0x30, 99);
    draft_finish();
}

static sr_image_status_t parse(uint32_t size, sr_image_t *image)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, size);
    return sr_image_parse(&reader, image);
}

/** Status of parsing and, if that works, verifying the draft in a window of its own length. */
static sr_image_status_t check(void)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, draft.length);
    sr_image_t image;
    sr_image_status_t status = sr_image_parse(&reader, &image);
    return status == SR_IMAGE_OK ? sr_image_verify(&reader, &image, NULL) : status;
}

static void header_fields_are_read(void **state)
{
    (void)state;
    draft_usual(1);
    sr_image_t image;
    assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
    assert_int_equal(image.segment_count, 2);
    assert_int_equal(image.spi_mode, 2);
    assert_int_equal(image.spi_speed, 0xF);
    assert_int_equal(image.spi_size, 4);
    assert_int_equal(image.entry, 0x40081234);
    assert_int_equal(image.chip_id, 5);
    assert_int_equal(image.min_chip_rev, 3);
    assert_int_equal(image.min_chip_rev_full, 301);
    assert_int_equal(image.max_chip_rev_full, 399);
    assert_true(image.hash_appended);
}

static void segments_and_footer_are_located(void **state)
{
    (void)state;
    draft_usual(1);
    sr_image_t image;
    assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
    assert_int_equal(image.segments[0].load_address, 0x3F400020);
    assert_int_equal(image.segments[0].length, 0x244);
    assert_int_equal(image.segments[0].data_offset, 32);
    assert_int_equal(image.segments[1].load_address, 0x40080000);
    assert_int_equal(image.segments[1].length, 0x30);
    assert_int_equal(image.segments[1].data_offset, 32 + 0x244 + 8);
    assert_int_equal(image.length, draft.length);
    assert_int_equal(image.checksum_offset, draft.length - SR_SHA256_SIZE - 1);
    draft_usual(0);
    assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
    assert_false(image.hash_appended);
    assert_int_equal(image.length, draft.length);
    assert_int_equal(image.checksum_offset, draft.length - 1);
}

static void checksum_has_its_place_at_each_alignment(void **state)
{
    (void)state;
    for (uint32_t length = 0; length <= 64; length += 4) {
        draft_start(1);
        draft_segment(0x40080000, length, 3);
        draft_finish();
        sr_image_t image;
        assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
        assert_int_equal(image.length, draft.length);
        assert_int_equal(check(), SR_IMAGE_OK);
    }
}

static void up_to_16_segments_are_accepted(void **state)
{
    (void)state;
    sr_image_t image;
    for (unsigned count = 0; count <= 18; count++) {
        draft_start(0);
        for (unsigned i = 0; i < count; i++) {
            draft_segment(0x40080000, 4, (uint8_t)i);
        }
        draft_finish();
        bool good = count >= 1 && count <= SR_IMAGE_MAX_SEGMENTS;
        assert_int_equal(check(), good ? SR_IMAGE_OK : SR_IMAGE_BAD_SEGMENTS);
        (void)parse(draft.length, &image);
        assert_int_equal(image.segment_count, good ? count : 0);
    }
}

static void foreign_bytes_are_no_image(void **state)
{
    (void)state;
    sr_image_t image;
    draft_usual(1);
    for (unsigned byte = 0; byte <= 0xFF; byte++) {
        draft.bytes[0] = (uint8_t)byte;
        assert_int_equal(parse(draft.length, &image), byte == SR_IMAGE_MAGIC ? SR_IMAGE_OK : SR_IMAGE_BAD_MAGIC);
    }
}

static void segment_length_must_be_whole_words(void **state)
{
    (void)state;
    for (uint32_t rest = 1; rest <= 3; rest++) {
        draft_usual(1);
        sr_bytes_put_le32(draft.bytes + 32 + 0x244 + 4, 0x2C + rest);
        sr_image_t image;
        assert_int_equal(parse(draft.length, &image), SR_IMAGE_BAD_SEGMENTS);
        assert_int_equal(image.segment_count, 1);
    }
}

static void hostile_segment_lengths_end_past_the_window(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {
        0x80000000, 0xFFFFFFFC, 0xFFFFFFE0, // wraps to the image's own first byte
        0xFFFFFFE4, 0xFFFFFFF8, 0x7FFFFFFC,
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        draft_usual(1);
        sr_bytes_put_le32(draft.bytes + SR_IMAGE_HEADER_SIZE + 4, lengths[i]);
        assert_int_equal(check(), SR_IMAGE_TRUNCATED);
    }
}

static void image_is_truncated_in_every_smaller_window(void **state)
{
    (void)state;
    sr_image_t image;
    for (uint8_t hash_appended = 0; hash_appended <= 1; hash_appended++) {
        draft_usual(hash_appended);
        for (uint32_t size = 0; size < draft.length; size++) {
            assert_int_equal(parse(size, &image), SR_IMAGE_TRUNCATED);
        }
        assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
        assert_int_equal(parse(draft.length + 1, &image), SR_IMAGE_OK);
        assert_int_equal(image.length, draft.length);
    }
}

/** A window of almost 4 GiB: one image header, and zeros everywhere else, except one segment length. */
static int read_huge(void *context, uint32_t offset, void *buffer, size_t length)
{
    const uint32_t *segment_length = context;
    memset(buffer, 0, length);
    if (offset == 0) {
        memcpy(buffer, draft.bytes, length);
    } else if (offset == SR_IMAGE_HEADER_SIZE && length == 8) {
        sr_bytes_put_le32((uint8_t *)buffer + 4, *segment_length);
    }
    return 0;
}

static void footer_does_not_wrap_at_4_gib(void **state)
{
    (void)state;
    for (uint8_t hash_appended = 0; hash_appended <= 1; hash_appended++) {
        draft_start(hash_appended);
        draft.bytes[1] = 1;
        const uint32_t footer = hash_appended ? 16 + SR_SHA256_SIZE : 16;
        uint32_t segment_length = 0xFFFFFFF0 - DESC_OFFSET;
        sr_reader_t reader = {.context = &segment_length, .read = read_huge, .size = UINT32_MAX};
        sr_image_t image;
        assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_TRUNCATED);
        segment_length -= footer;
        assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
        assert_int_equal(image.length, 0xFFFFFFF0);
    }
}

static void every_failing_read_is_reported(void **state)
{
    (void)state;
    draft_usual(1);
    memory_t memory;
    sr_image_t image;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, draft.length);
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    const unsigned parse_reads = memory.reads;
    assert_int_equal(sr_image_verify(&reader, &image, NULL), SR_IMAGE_OK);
    const unsigned all_reads = memory.reads;
    assert_true(parse_reads == 3 && all_reads > 6);
    for (unsigned fail = 1; fail <= all_reads; fail++) {
        reader = memory_reader(&memory, draft.bytes, draft.length);
        memory.fail_read = fail;
        sr_image_status_t status = sr_image_parse(&reader, &image);
        assert_int_equal(status, fail <= parse_reads ? SR_IMAGE_READ_FAILED : SR_IMAGE_OK);
        if (fail > parse_reads) {
            assert_int_equal(sr_image_verify(&reader, &image, NULL), SR_IMAGE_READ_FAILED);
        }
    }
}

static void shrunk_window_is_truncated_at_verification(void **state)
{
    (void)state;
    draft_usual(1);
    sr_image_t image;
    assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
    for (uint32_t size = 0; size < draft.length; size++) {
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, draft.bytes, size);
        assert_int_equal(sr_image_verify(&reader, &image, NULL), SR_IMAGE_TRUNCATED);
    }
}

static void digest_is_given_also_for_a_damaged_image(void **state)
{
    (void)state;
    for (uint8_t damage = 0; damage <= 1; damage++) {
        for (uint8_t hash_appended = 0; hash_appended <= 1; hash_appended++) {
            draft_usual(hash_appended);
            draft.bytes[DESC_OFFSET] ^= damage;
            memory_t memory;
            sr_reader_t reader = memory_reader(&memory, draft.bytes, draft.length);
            sr_image_t image;
            uint8_t digest[SR_SHA256_SIZE];
            uint8_t expected[SR_SHA256_SIZE];
            assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
            assert_int_equal(sr_image_verify(&reader, &image, digest), damage ? SR_IMAGE_BAD_CHECKSUM : SR_IMAGE_OK);
            library_digest(PSA_ALG_SHA_256, draft.bytes, image.checksum_offset + 1, expected);
            assert_memory_equal(digest, expected, sizeof(digest));
        }
    }
}

static void two_flips_pass_the_checksum_but_not_the_digest(void **state)
{
    (void)state;
    draft_usual(1);
    draft.bytes[DESC_OFFSET] ^= 0x10;
    draft.bytes[DESC_OFFSET + 1] ^= 0x10;
    assert_int_equal(check(), SR_IMAGE_BAD_DIGEST);
    draft_usual(0);
    draft.bytes[DESC_OFFSET] ^= 0x10;
    draft.bytes[DESC_OFFSET + 1] ^= 0x10;
    assert_int_equal(check(), SR_IMAGE_OK);
}

static void digest_covers_every_byte(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 8; bit++) {
        draft_usual(1);
        for (uint32_t i = 0; i < draft.length; i++) {
            draft.bytes[i] ^= (uint8_t)(1u << bit);
            // The only flip that cannot be noticed: it says that there is no digest.
            bool unnoticed = i == HASH_APPENDED && bit == 0;
            assert_int_equal(check() == SR_IMAGE_OK, unnoticed);
            draft.bytes[i] ^= (uint8_t)(1u << bit);
        }
        assert_int_equal(check(), SR_IMAGE_OK);
    }
}

static void checksum_covers_segment_data_only(void **state)
{
    (void)state;
    draft_usual(0);
    sr_image_t image;
    assert_int_equal(parse(draft.length, &image), SR_IMAGE_OK);
    for (uint32_t i = 0; i < draft.length; i++) {
        bool is_data = i == image.checksum_offset;
        for (unsigned s = 0; s < image.segment_count; s++) {
            const sr_image_segment_t *segment = &image.segments[s];
            is_data |= i >= segment->data_offset && i < segment->data_offset + segment->length;
        }
        draft.bytes[i] ^= 0xFF;
        if (is_data) {
            assert_int_equal(check(), SR_IMAGE_BAD_CHECKSUM);
        } else {
            (void)check(); // Must not read outside the window, whatever the headers say.
        }
        draft.bytes[i] ^= 0xFF;
    }
}

/** The random numbers of a test must be the same on every run. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void random_headers_never_leave_the_window(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (unsigned round = 0; round < 20000; round++) {
        draft_usual(1);
        for (unsigned i = 0; i < 6; i++) {
            draft.bytes[1 + next_random(&seed) % 47] = (uint8_t)next_random(&seed);
        }
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, draft.bytes, next_random(&seed) % BUFFER_SIZE);
        sr_image_t image;
        sr_image_app_desc_t desc;
        if (sr_image_parse(&reader, &image) == SR_IMAGE_OK) {
            assert_true(image.length <= reader.size);
            (void)sr_image_verify(&reader, &image, NULL);
            (void)sr_image_has_signature_block(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF);
        }
        (void)sr_image_app_desc(&reader, &image, &desc);
        assert_true(image.segment_count <= SR_IMAGE_MAX_SEGMENTS);
    }
}

static void failing_crypto_is_reported(void **state)
{
    (void)state;
    draft_usual(1);
    hash_fails = true;
    assert_int_equal(check(), SR_IMAGE_CRYPTO_FAILED);
    draft_usual(0);
    assert_int_equal(check(), SR_IMAGE_CRYPTO_FAILED);
    hash_fails = false;
    assert_int_equal(check(), SR_IMAGE_OK);
}

static void put_text(uint32_t offset, size_t field, const char *text)
{
    memset(draft.bytes + DESC_OFFSET + offset, 0, field);
    memcpy(draft.bytes + DESC_OFFSET + offset, text, strlen(text));
}

static bool app_desc(unsigned fail_read, sr_image_app_desc_t *desc)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, draft.length);
    sr_image_t image;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    memory.reads = 0;
    memory.fail_read = fail_read;
    return sr_image_app_desc(&reader, &image, desc);
}

static void draft_app(uint32_t desc_room)
{
    draft_start(0);
    draft_segment(0x3F400020, desc_room, 0);
    sr_bytes_put_le32(draft.bytes + DESC_OFFSET, SR_APP_DESC_MAGIC);
    put_text(16, 32, "v1.2.3-4-gabcdef");
    put_text(48, 32, "a project name of 32 characters!"); // no room for a terminating zero
    put_text(80, 16, "12:34:56");
    put_text(96, 16, "Jan  2 2024");
    put_text(112, 32, "v5.5.1");
    draft_finish();
}

static void app_descriptor_is_read(void **state)
{
    (void)state;
    draft_app(256);
    sr_image_app_desc_t desc;
    assert_true(app_desc(0, &desc));
    assert_string_equal(desc.version, "v1.2.3-4-gabcdef");
    assert_string_equal(desc.project_name, "a project name of 32 characters!");
    assert_string_equal(desc.time, "12:34:56");
    assert_string_equal(desc.date, "Jan  2 2024");
    assert_string_equal(desc.idf_ver, "v5.5.1");
    assert_memory_equal(desc.elf_sha256, draft.bytes + DESC_OFFSET + 144, SR_SHA256_SIZE);
}

static void app_descriptor_without_terminating_zeros_is_read(void **state)
{
    (void)state;
    static const char text[] = "0123456789abcdefghijklmnopqrstuv";
    sr_image_app_desc_t desc;
    draft_app(256);
    for (uint32_t at = 16; at < 144; at += 16) {
        memcpy(draft.bytes + DESC_OFFSET + at, text + (at == 32 || at == 64 || at == 128 ? 16 : 0), 16);
    }
    draft_finish();
    assert_true(app_desc(0, &desc));
    assert_string_equal(desc.version, text);
    assert_string_equal(desc.project_name, text);
    assert_string_equal(desc.time, "0123456789abcdef");
    assert_string_equal(desc.date, "0123456789abcdef");
    assert_string_equal(desc.idf_ver, text);
}

static void missing_app_descriptor_is_told(void **state)
{
    (void)state;
    sr_image_app_desc_t desc;
    draft_app(256);
    assert_false(app_desc(1, &desc));
    draft_app(252);
    assert_false(app_desc(0, &desc));
    draft_usual(1);
    assert_false(app_desc(0, &desc));
    sr_image_t none = {.segment_count = 0};
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, draft.length);
    assert_false(sr_image_app_desc(&reader, &none, &desc));
}

/* The start of the first segment: of an app, of a bootloader, of neither; and as much of it as there is. */
static void demands_on_the_efuses(void **state)
{
    (void)state;
    uint8_t bytes[SR_IMAGE_DEMANDS_END] = {0};
    sr_image_demands_t demands;
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    bytes[32 + 4] = 7;
    bytes[32 + 176] = 0x01;
    bytes[32 + 177] = 0x02;
    bytes[32 + 178] = 0x03;
    bytes[32 + 179] = 0x04;
    bytes[32 + 3] = 5;
    assert_true(sr_image_read_demands(&reader, &demands));
    assert_false(demands.has_descriptor);
    assert_int_equal(demands.secure_version, 0);
    assert_int_equal(demands.bootloader_version, 0);
    assert_int_equal(demands.min_block, 0x0201);
    assert_int_equal(demands.max_block, 0x0403);
    bytes[32] = 0x50;
    assert_true(sr_image_read_demands(&reader, &demands));
    assert_int_equal(demands.bootloader_version, 5);
    memcpy(bytes + 32, "\x32\x54\xCD\xAB", 4);
    assert_true(sr_image_read_demands(&reader, &demands));
    assert_true(demands.has_descriptor);
    assert_int_equal(demands.secure_version, 7);
    assert_int_equal(demands.bootloader_version, 0);
    reader = memory_reader(&memory, bytes, sizeof(bytes) - 1);
    assert_false(sr_image_read_demands(&reader, &demands));
    reader = memory_reader(&memory, bytes, sizeof(bytes));
    memory.fail_read = 1;
    assert_false(sr_image_read_demands(&reader, &demands));
}

static bool has_signature_for(uint32_t size, sr_image_secure_boot_t secure_boot)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, size);
    sr_image_t image;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    return sr_image_has_signature_block(&reader, &image, secure_boot);
}

static bool has_signature(uint32_t size, unsigned fail_read)
{
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, draft.bytes, size);
    sr_image_t image;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    memory.reads = 0;
    memory.fail_read = fail_read;
    return sr_image_has_signature_block(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF);
}

static void erased_and_zero_flash_is_no_signature(void **state)
{
    (void)state;
    draft_usual(1);
    assert_false(has_signature(draft.length, 0));
    assert_false(has_signature(BUFFER_SIZE, 0));
    memset(draft.bytes + draft.length, 0, BUFFER_SIZE - draft.length);
    assert_false(has_signature(BUFFER_SIZE, 0));
}

static void signature_block_version_1_follows_the_image(void **state)
{
    (void)state;
    draft_usual(1);
    memset(draft.bytes + draft.length, 0, 4);
    memset(draft.bytes + draft.length + 4, 0x5A, 64);
    assert_true(has_signature(draft.length + 68, 0));
    assert_true(has_signature_for(draft.length + 68, SR_IMAGE_SECURE_BOOT_V1));
    assert_false(has_signature_for(draft.length + 68, SR_IMAGE_SECURE_BOOT_V2));
    assert_false(has_signature(draft.length + 67, 0));
    assert_false(has_signature(draft.length + 68, 1));
    for (uint32_t only = 0; only < 68; only++) { // one byte that is not zero: of the version, or of the signature
        memset(draft.bytes + draft.length, 0, 68);
        draft.bytes[draft.length + only] = 1;
        assert_int_equal(has_signature(draft.length + 68, 0), only >= 4);
    }
}

static void signature_block_version_2_starts_at_the_next_sector(void **state)
{
    (void)state;
    draft_usual(1);
    for (unsigned version = 0; version <= 4; version++) {
        draft.bytes[0x1000] = 0xE7;
        draft.bytes[0x1001] = (uint8_t)version;
        bool known = version == 2 || version == 3;
        assert_int_equal(has_signature(0x2000, 0), known);
        assert_int_equal(has_signature(0x1000 + 1216, 0), known);
        assert_false(has_signature(0x1000 + 1215, 0));
        assert_false(has_signature(0x2000, 2));
    }
    draft.bytes[0x1000] = 0xE8;
    draft.bytes[0x1001] = 2;
    assert_false(has_signature(0x2000, 0));
}

static void every_status_has_words_of_its_own(void **state)
{
    (void)state;
    for (int a = SR_IMAGE_OK; a <= SR_IMAGE_CRYPTO_FAILED + 1; a++) {
        assert_non_null(sr_image_status_text((sr_image_status_t)a));
        for (int b = SR_IMAGE_OK; b < a; b++) {
            assert_string_not_equal(sr_image_status_text((sr_image_status_t)a),
                                    sr_image_status_text((sr_image_status_t)b));
        }
    }
}

/** What `esptool image-info` says about published firmware. */
typedef struct known_image {
    const char *file;
    uint32_t offset;
    uint32_t room;
    uint32_t entry;
    uint32_t length;
    uint32_t last_load_address;
    uint32_t last_length;
    uint32_t last_data_offset;
    uint8_t segment_count;
    uint8_t spi_mode;
    uint8_t spi_size;
    uint8_t min_chip_rev;
    uint16_t max_chip_rev_full;
    uint8_t checksum;
    uint8_t digest_start[4];
    const char *version; /**< Of the app; NULL for bootloaders. */
} known_image_t;

#define WLED_BOOTLOADER "wled/binaries/esp32_bootloader_v4.bin"
#define WLED_APP        "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin"

// clang-format off
static const known_image_t known_images[] = {
    {"mcuboot-nuttx/mcuboot-esp32.bin", 0, 0x6AF0, 0x4007B3B0, 0x6AF0, 0x40090000, 0x1E7C, 0x4C50, 3, 2, 2, 3, 65535,
     0x99, {0x30, 0x7A, 0x15, 0x11}, NULL},
    {"idf/bootloader_esp32_v5_2.bin", 0, 0x6890, 0x40080650, 0x6890, 0x40080404, 0xF2C, 0x5938, 4, 3, 1, 0, 399,
     0xBE, {0x10, 0xCE, 0xC8, 0xCF}, NULL},
    {WLED_BOOTLOADER, 0x1000, 0x7000, 0x400806A8, 0x42D0, 0x40080400, 0x16C4, 0x2BDC, 4, 3, 2, 0, 0,
     0xE0, {0xB9, 0x7D, 0x15, 0x47}, NULL},
    {WLED_APP, 0, 0x143AB0, 0x40083FE0, 0x143AB0, 0x4008A460, 0x76D4, 0x13C3B0, 5, 3, 2, 0, 0,
     0xA5, {0xD4, 0x04, 0xCD, 0xC1}, "b1c75d1-dirty"},
    {"esphome/esp32.bin", 0x1000, 0x7000, 0x400806A8, 0x42D0, 0x40080400, 0x16C4, 0x2BDC, 4, 2, 2, 0, 0,
     0xE0, {0x0B, 0xF6, 0x68, 0x4A}, NULL},
    {"esphome/esp32.bin", 0x10000, 0x1796E0, 0x40084A74, 0x1796E0, 0x40089E5C, 0xC99C, 0x16CD1C, 5, 2, 2, 0, 0,
     0x9C, {0xB5, 0x37, 0x98, 0x80}, "9036908-dirty"},
};
// clang-format on

static void compare_layout(const sr_image_t *image, const known_image_t *known)
{
    assert_int_equal(image->entry, known->entry);
    assert_int_equal(image->length, known->length);
    assert_int_equal(image->segment_count, known->segment_count);
    const sr_image_segment_t *last = &image->segments[image->segment_count - 1];
    assert_int_equal(last->load_address, known->last_load_address);
    assert_int_equal(last->length, known->last_length);
    assert_int_equal(last->data_offset, known->last_data_offset);
}

static void compare_header(const sr_image_t *image, const known_image_t *known)
{
    assert_int_equal(image->spi_mode, known->spi_mode);
    assert_int_equal(image->spi_size, known->spi_size);
    assert_int_equal(image->chip_id, 0);
    assert_int_equal(image->min_chip_rev, known->min_chip_rev);
    assert_int_equal(image->min_chip_rev_full, 0);
    assert_int_equal(image->max_chip_rev_full, known->max_chip_rev_full);
    assert_true(image->hash_appended);
}

static void compare_app_desc(const sr_reader_t *reader, const sr_image_t *image, const char *version)
{
    sr_image_app_desc_t desc;
    assert_int_equal(sr_image_app_desc(reader, image, &desc), version != NULL);
    if (version != NULL) {
        assert_string_equal(desc.version, version);
        assert_string_equal(desc.project_name, "esp32-arduino-lib-builder");
    }
}

static void published_images_are_what_esptool_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(known_images) / sizeof(known_images[0]); i++) {
        const known_image_t *known = &known_images[i];
        size_t size;
        uint8_t *bytes = load_fixture(known->file, &size);
        assert_true(known->offset + known->room <= size);
        memory_t memory;
        sr_reader_t reader = memory_reader(&memory, bytes + known->offset, known->room);
        sr_image_t image;
        uint8_t digest[SR_SHA256_SIZE];
        assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
        assert_int_equal(sr_image_verify(&reader, &image, digest), SR_IMAGE_OK);
        assert_memory_equal(digest, known->digest_start, sizeof(known->digest_start));
        assert_int_equal(bytes[known->offset + image.checksum_offset], known->checksum);
        assert_false(sr_image_has_signature_block(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF));
        compare_layout(&image, known);
        compare_header(&image, known);
        compare_app_desc(&reader, &image, known->version);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_fields_are_read),
        cmocka_unit_test(segments_and_footer_are_located),
        cmocka_unit_test(checksum_has_its_place_at_each_alignment),
        cmocka_unit_test(up_to_16_segments_are_accepted),
        cmocka_unit_test(foreign_bytes_are_no_image),
        cmocka_unit_test(segment_length_must_be_whole_words),
        cmocka_unit_test(hostile_segment_lengths_end_past_the_window),
        cmocka_unit_test(image_is_truncated_in_every_smaller_window),
        cmocka_unit_test(footer_does_not_wrap_at_4_gib),
        cmocka_unit_test(every_failing_read_is_reported),
        cmocka_unit_test(shrunk_window_is_truncated_at_verification),
        cmocka_unit_test(digest_is_given_also_for_a_damaged_image),
        cmocka_unit_test(two_flips_pass_the_checksum_but_not_the_digest),
        cmocka_unit_test(digest_covers_every_byte),
        cmocka_unit_test(checksum_covers_segment_data_only),
        cmocka_unit_test(random_headers_never_leave_the_window),
        cmocka_unit_test(failing_crypto_is_reported),
        cmocka_unit_test(app_descriptor_is_read),
        cmocka_unit_test(app_descriptor_without_terminating_zeros_is_read),
        cmocka_unit_test(missing_app_descriptor_is_told),
        cmocka_unit_test(demands_on_the_efuses),
        cmocka_unit_test(erased_and_zero_flash_is_no_signature),
        cmocka_unit_test(signature_block_version_1_follows_the_image),
        cmocka_unit_test(signature_block_version_2_starts_at_the_next_sector),
        cmocka_unit_test(every_status_has_words_of_its_own),
        cmocka_unit_test(published_images_are_what_esptool_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
