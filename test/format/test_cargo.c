// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_bytes.h"
#include "format/sr_cargo.h"
#include "make/cargo_writer.h"
#include "make/dummy_image.h"
#include "test/support/support_reader.h"

#define HEADER_VERSION  8u
#define HEADER_SIZE     10u
#define HEADER_FEATURES 12u
#define HEADER_SETTINGS 16u
#define HEADER_BUNDLE   20u
#define HEADER_RESERVED 24u

static const uint8_t bundle[] = "bytes of a bundle, whatever they are";
static const sr_cargo_setting_t settings[] = {{"allow_in_place", "1"}, {"empty", ""}, {"public_key", "-----BEGIN"}};

static uint8_t app[0x60000];
static size_t app_size;

static int make_app(void **state)
{
    (void)state;
    const dummy_image_app_t what = {.chip = sr_chip_by_name("esp32"),
                                    .spi_size = 2,
                                    .project_name = "carrier",
                                    .version = "1",
                                    .code_size = 0x8000};
    return dummy_image_app(&what, app, sizeof(app), &app_size) == IMAGE_WRITE_OK ? 0 : -1;
}

static cargo_spec_t whole_spec(void)
{
    return (cargo_spec_t){.app = app,
                          .app_size = (uint32_t)app_size,
                          .settings = settings,
                          .setting_count = 3,
                          .bundle = bundle,
                          .bundle_size = sizeof(bundle)};
}

static uint8_t *write_cargo(const cargo_spec_t *spec, size_t *size)
{
    uint8_t *image = NULL;
    assert_int_equal(cargo_write(spec, &image, size), IMAGE_WRITE_OK);
    return image;
}

/** The parts of an image with cargo that was just written. */
typedef struct carrier {
    uint8_t *bytes;
    size_t size;
    memory_t memory;
    sr_reader_t reader;
    sr_image_t image;
    sr_cargo_t cargo;
    uint8_t *header; /**< Of the cargo. */
} carrier_t;

static void carrier_open(carrier_t *carrier, const cargo_spec_t *spec)
{
    carrier->bytes = write_cargo(spec, &carrier->size);
    carrier->reader = memory_reader(&carrier->memory, carrier->bytes, carrier->size);
    assert_int_equal(sr_image_parse(&carrier->reader, &carrier->image), SR_IMAGE_OK);
    assert_int_equal(sr_cargo_find(&carrier->reader, &carrier->image, &carrier->cargo), SR_CARGO_OK);
    carrier->header = carrier->bytes + carrier->cargo.settings.address - SR_CARGO_HEADER_SIZE;
}

static sr_cargo_status_t find(carrier_t *carrier)
{
    sr_cargo_t cargo;
    return sr_cargo_find(&carrier->reader, &carrier->image, &cargo);
}

static void what_was_put_in_is_found(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    const char *texts = (const char *)carrier.bytes + carrier.cargo.settings.address;
    const uint32_t size = carrier.cargo.settings.size;
    assert_int_equal(sr_image_verify(&carrier.reader, &carrier.image, NULL), SR_IMAGE_OK);
    assert_true(carrier.image.hash_appended);
    assert_int_equal(carrier.image.length, carrier.size);
    assert_int_equal(carrier.cargo.bundle.size, sizeof(bundle));
    assert_int_equal(carrier.cargo.bundle.address % SR_CARGO_ALIGNMENT, 0);
    assert_memory_equal(carrier.bytes + carrier.cargo.bundle.address, bundle, sizeof(bundle));
    assert_int_equal(sr_cargo_check_settings(texts, size), SR_CARGO_OK);
    assert_string_equal(sr_cargo_setting(texts, size, "allow_in_place"), "1");
    assert_string_equal(sr_cargo_setting(texts, size, "empty"), "");
    assert_string_equal(sr_cargo_setting(texts, size, "public_key"), "-----BEGIN");
    assert_null(sr_cargo_setting(texts, size, "public"));
    assert_null(sr_cargo_setting(texts, size, "public_key_2"));
    free(carrier.bytes);
}

static void app_is_the_same_but_for_its_header(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    const sr_image_segment_t *last = &carrier.image.segments[carrier.image.segment_count - 1];
    assert_int_equal(carrier.bytes[1], app[1] + 1);
    carrier.bytes[1]--;
    carrier.bytes[23] = app[23];
    assert_memory_equal(carrier.bytes, app, last->data_offset - 8);
    free(carrier.bytes);
}

static void settings_or_bundle_may_be_left_out(void **state)
{
    (void)state;
    carrier_t carrier;
    cargo_spec_t spec = whole_spec();
    spec.setting_count = 0;
    carrier_open(&carrier, &spec);
    assert_int_equal(carrier.cargo.settings.size, 0);
    assert_int_equal(sr_cargo_check_settings("", 0), SR_CARGO_OK);
    assert_null(sr_cargo_setting("", 0, "public_key"));
    free(carrier.bytes);
    spec = whole_spec();
    spec.bundle_size = 0;
    carrier_open(&carrier, &spec);
    assert_int_equal(carrier.cargo.bundle.size, 0);
    free(carrier.bytes);
}

static void image_without_digest_gets_one(void **state)
{
    (void)state;
    carrier_t carrier;
    cargo_spec_t spec = whole_spec();
    app[23] = 0; // the digest is none any more, but bytes after the image
    carrier_open(&carrier, &spec);
    app[23] = 1;
    assert_true(carrier.image.hash_appended);
    assert_int_equal(sr_image_verify(&carrier.reader, &carrier.image, NULL), SR_IMAGE_OK);
    free(carrier.bytes);
}

static void every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    const size_t first = carrier.image.segments[carrier.image.segment_count - 1].data_offset - 8;
    for (size_t at = first; at < carrier.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            sr_image_t image;
            carrier.bytes[at] ^= (uint8_t)(1u << bit);
            const bool intact = sr_image_parse(&carrier.reader, &image) == SR_IMAGE_OK && image.hash_appended &&
                                sr_image_verify(&carrier.reader, &image, NULL) == SR_IMAGE_OK;
            assert_false(intact);
            carrier.bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t size = first; size < carrier.size; size++) {
        sr_image_t image;
        carrier.reader.size = (uint32_t)size;
        assert_int_equal(sr_image_parse(&carrier.reader, &image), SR_IMAGE_TRUNCATED);
    }
    free(carrier.bytes);
}

static void other_segments_are_no_cargo(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    sr_image_segment_t *last = &carrier.image.segments[carrier.image.segment_count - 1];
    const sr_image_segment_t good = *last;
    last->load_address = 4;
    assert_int_equal(find(&carrier), SR_CARGO_NONE);
    *last = good;
    last->length = SR_CARGO_HEADER_SIZE - 4;
    assert_int_equal(find(&carrier), SR_CARGO_NONE);
    *last = good;
    for (unsigned i = 0; i < SR_CARGO_MAGIC_SIZE; i++) {
        carrier.header[i] ^= 0x20;
        assert_int_equal(find(&carrier), SR_CARGO_NONE);
        carrier.header[i] ^= 0x20;
    }
    carrier.image.segment_count--;
    assert_int_equal(find(&carrier), SR_CARGO_NONE);
    carrier.image.segments[0] = good;
    carrier.image.segment_count = 1;
    assert_int_equal(find(&carrier), SR_CARGO_NONE);
    carrier.image.segment_count = 0;
    assert_int_equal(find(&carrier), SR_CARGO_NONE);
    free(carrier.bytes);
}

static void read_error_is_told(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    carrier.memory.fail_read = carrier.memory.reads + 1;
    assert_int_equal(find(&carrier), SR_CARGO_READ_FAILED);
    free(carrier.bytes);
}

static void header_of_another_version_is_rejected(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    for (unsigned at = HEADER_VERSION; at < HEADER_SETTINGS; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            carrier.header[at] ^= (uint8_t)(1u << bit);
            assert_int_equal(find(&carrier), SR_CARGO_BAD_VERSION);
            carrier.header[at] ^= (uint8_t)(1u << bit);
        }
    }
    free(carrier.bytes);
}

static void sizes_that_do_not_add_up_are_rejected(void **state)
{
    (void)state;
    carrier_t carrier;
    const cargo_spec_t spec = whole_spec();
    carrier_open(&carrier, &spec);
    for (unsigned at = HEADER_RESERVED; at < SR_CARGO_HEADER_SIZE; at++) {
        carrier.header[at] = 1;
        assert_int_equal(find(&carrier), SR_CARGO_BAD_HEADER);
        carrier.header[at] = 0;
    }
    static const uint32_t sizes[] = {0, 4, 0x100, 0x801, 0x7FFFFFFF, 0xFFFFFFFC, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t good[8];
        memcpy(good, carrier.header + HEADER_SETTINGS, sizeof(good));
        for (unsigned at = HEADER_SETTINGS; at <= HEADER_BUNDLE; at += 4) {
            memcpy(carrier.header + at, &sizes[i], 4);
            assert_int_equal(find(&carrier), SR_CARGO_BAD_HEADER);
            memcpy(carrier.header + HEADER_SETTINGS, good, sizeof(good));
        }
    }
    /* Two that wrap around to the right sum in 32 bits. */
    const uint32_t total = carrier.image.segments[carrier.image.segment_count - 1].length - SR_CARGO_HEADER_SIZE;
    const uint32_t wrapping[] = {0x80000000, 0x80000000 + total};
    memcpy(carrier.header + HEADER_SETTINGS, wrapping, sizeof(wrapping));
    assert_int_equal(find(&carrier), SR_CARGO_BAD_HEADER);
    free(carrier.bytes);
}

/** Looks at a cargo of these sizes in a segment of this length, the second one of its image: only its header is read.
 */
static sr_cargo_status_t find_sizes(uint32_t settings_size, uint32_t bundle_size, uint32_t length, sr_cargo_t *cargo)
{
    uint8_t header[SR_CARGO_HEADER_SIZE + 8] = {0}; // the cargo starts at offset 8
    memcpy(header + 8, SR_CARGO_MAGIC, SR_CARGO_MAGIC_SIZE);
    header[8 + HEADER_VERSION] = SR_CARGO_VERSION;
    header[8 + HEADER_SIZE] = SR_CARGO_HEADER_SIZE;
    sr_bytes_put_le32(header + 8 + HEADER_SETTINGS, settings_size);
    sr_bytes_put_le32(header + 8 + HEADER_BUNDLE, bundle_size);
    memory_t memory;
    const sr_reader_t reader = memory_reader(&memory, header, sizeof(header));
    const sr_image_t image = {
        .segment_count = 2,
        .segments = {{.length = 4}, {.load_address = SR_CARGO_LOAD_ADDRESS, .length = length, .data_offset = 8}}};
    memset(cargo, 0x55, sizeof(*cargo));
    return sr_cargo_find(&reader, &image, cargo);
}

static void sizes_have_limits_even_where_they_add_up(void **state)
{
    (void)state;
    const uint32_t room = SR_CARGO_MAX_SIZE - SR_CARGO_HEADER_SIZE;
    const struct {
        uint32_t settings_size;
        uint32_t bundle_size;
        uint32_t padded; /**< Of both. */
        sr_cargo_status_t status;
    } cases[] = {
        {0, 0, 0, SR_CARGO_OK},
        {1, 1, 2 * SR_CARGO_ALIGNMENT, SR_CARGO_OK},
        {SR_CARGO_ALIGNMENT, SR_CARGO_ALIGNMENT, 2 * SR_CARGO_ALIGNMENT, SR_CARGO_OK},
        {SR_CARGO_ALIGNMENT + 1, 0, 2 * SR_CARGO_ALIGNMENT, SR_CARGO_OK},
        {SR_CARGO_ALIGNMENT + 1, 0, SR_CARGO_ALIGNMENT, SR_CARGO_BAD_HEADER},
        {1, 1, 3 * SR_CARGO_ALIGNMENT, SR_CARGO_BAD_HEADER},
        {SR_CARGO_MAX_SETTINGS, 100, SR_CARGO_MAX_SETTINGS + 100, SR_CARGO_OK},
        {SR_CARGO_MAX_SETTINGS + 1, 100, SR_CARGO_MAX_SETTINGS + SR_CARGO_ALIGNMENT + 100, SR_CARGO_BAD_HEADER},
        {SR_CARGO_MAX_SETTINGS, room - SR_CARGO_MAX_SETTINGS, room, SR_CARGO_OK},
        {SR_CARGO_MAX_SETTINGS, room - SR_CARGO_MAX_SETTINGS + 1, room + SR_CARGO_ALIGNMENT, SR_CARGO_BAD_HEADER},
        {0, room, room, SR_CARGO_OK},
        {0, room + 1, room + SR_CARGO_ALIGNMENT, SR_CARGO_BAD_HEADER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t settings_size = cases[i].settings_size;
        sr_cargo_t cargo;
        assert_int_equal(
            find_sizes(settings_size, cases[i].bundle_size, SR_CARGO_HEADER_SIZE + cases[i].padded, &cargo),
            cases[i].status);
        if (cases[i].status == SR_CARGO_OK) {
            const uint32_t first = 8 + SR_CARGO_HEADER_SIZE;
            assert_int_equal(cargo.settings.address, first);
            assert_int_equal(cargo.settings.size, settings_size);
            assert_int_equal(cargo.bundle.address, first + (settings_size + 3) / 4 * 4);
            assert_int_equal(cargo.bundle.size, cases[i].bundle_size);
        }
    }
}

static void assert_settings(const char *texts, size_t size, sr_cargo_status_t expected)
{
    char *exact = malloc(size + (size == 0)); // so that the sanitizer sees each byte behind
    assert_non_null(exact);
    memcpy(exact, texts, size);
    assert_int_equal(sr_cargo_check_settings(exact, (uint32_t)size), expected);
    free(exact);
}

#define ASSERT_SETTINGS(texts, expected) assert_settings(texts, sizeof(texts) - 1, expected)

static void only_settings_in_order_are_taken(void **state)
{
    (void)state;
    ASSERT_SETTINGS("a\0\0", SR_CARGO_OK);
    ASSERT_SETTINGS("a\0x\0a_1\0y\0b\0\0", SR_CARGO_OK);
    ASSERT_SETTINGS("abcdefghijklmnopqrstuvwxyz01234\0x\0", SR_CARGO_OK);
    static const char bad[][40] = {"a", "a\0", "a\0x", "\0", "\0x\0", "A\0x\0", "a b\0x\0", "a=x\0"};
    static const size_t sizes[] = {1, 2, 3, 1, 3, 4, 6, 4};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_settings(bad[i], sizes[i], SR_CARGO_BAD_SETTINGS);
    }
    ASSERT_SETTINGS("a\0x\0a\0y\0", SR_CARGO_BAD_SETTINGS);
    ASSERT_SETTINGS("b\0x\0a\0y\0", SR_CARGO_BAD_SETTINGS);
    ASSERT_SETTINGS("a\0x\0\0", SR_CARGO_BAD_SETTINGS);
    ASSERT_SETTINGS("a\0x\0b", SR_CARGO_BAD_SETTINGS);
    ASSERT_SETTINGS("abcdefghijklmnopqrstuvwxyz012345\0x\0", SR_CARGO_BAD_SETTINGS);
}

static void names_are_of_lowercase_letters_digits_and_underlines(void **state)
{
    (void)state;
    for (unsigned c = 1; c < 256; c++) {
        const char text[] = {'a', (char)c, '\0', 'x', '\0'};
        const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        assert_settings(text, sizeof(text), good ? SR_CARGO_OK : SR_CARGO_BAD_SETTINGS);
    }
}

static void settings_are_listed_one_after_another(void **state)
{
    (void)state;
    static const char texts[] = "a\0x\0b\0\0c\0"; // more follows than belongs to them
    sr_cargo_setting_t setting = {NULL, NULL};
    uint32_t offset = 0;
    assert_true(sr_cargo_next_setting(texts, 7, &offset, &setting));
    assert_string_equal(setting.name, "a");
    assert_string_equal(setting.value, "x");
    assert_int_equal(offset, 4);
    assert_true(sr_cargo_next_setting(texts, 7, &offset, &setting));
    assert_string_equal(setting.name, "b");
    assert_string_equal(setting.value, "");
    assert_int_equal(offset, 7);
    assert_false(sr_cargo_next_setting(texts, 7, &offset, &setting));
    assert_int_equal(offset, 7);
    assert_null(sr_cargo_setting(texts, 7, "c"));
}

static void writer_refuses_what_the_format_cannot_hold(void **state)
{
    (void)state;
    uint8_t *image = NULL;
    size_t size = 0;
    cargo_spec_t spec = whole_spec();
    spec.app_size = 100;
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_BAD_ARGUMENT);
    const sr_cargo_setting_t twice[] = {{"a", "1"}, {"a", "2"}};
    spec = whole_spec();
    spec.settings = twice;
    spec.setting_count = 2;
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_BAD_ARGUMENT);
    static char long_value[SR_CARGO_MAX_SETTINGS];
    memset(long_value, 'x', sizeof(long_value) - 1);
    const sr_cargo_setting_t too_long = {"a", long_value};
    spec.settings = &too_long;
    spec.setting_count = 1;
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_BAD_ARGUMENT);
    assert_null(image);
    long_value[sizeof(long_value) - 4] = '\0';
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_OK);
    free(image);
}

static void cargo_has_at_most_fifty_pages(void **state)
{
    (void)state;
    static uint8_t large[SR_CARGO_MAX_SIZE];
    uint8_t *image = NULL;
    size_t size = 0;
    cargo_spec_t spec = whole_spec();
    spec.setting_count = 0;
    spec.bundle = large;
    spec.bundle_size = sizeof(large) - SR_CARGO_HEADER_SIZE;
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_OK);
    free(image);
    spec.bundle_size++;
    assert_int_equal(cargo_write(&spec, &image, &size), IMAGE_WRITE_BAD_ARGUMENT);
}

static void sixteen_segments_are_the_limit(void **state)
{
    (void)state;
    static const uint8_t word[4];
    static uint8_t image[0x1000];
    image_write_segment_t segments[SR_IMAGE_MAX_SEGMENTS];
    for (unsigned i = 0; i < SR_IMAGE_MAX_SEGMENTS; i++) {
        segments[i] = (image_write_segment_t){.load_address = 0x40080000, .data = word, .length = 4};
    }
    for (unsigned count = SR_IMAGE_MAX_SEGMENTS - 1; count <= SR_IMAGE_MAX_SEGMENTS; count++) {
        const image_write_esp_t esp = {.entry = 0x40080000, .segments = segments, .segment_count = count};
        size_t length = 0;
        uint8_t *out = NULL;
        assert_int_equal(image_write_esp(&esp, image, sizeof(image), &length), IMAGE_WRITE_OK);
        const cargo_spec_t spec = {.app = image, .app_size = (uint32_t)length};
        assert_int_equal(cargo_write(&spec, &out, &length),
                         count < SR_IMAGE_MAX_SEGMENTS ? IMAGE_WRITE_OK : IMAGE_WRITE_BAD_ARGUMENT);
        free(out);
    }
}

static void each_status_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = SR_CARGO_OK; i <= SR_CARGO_BAD_SETTINGS; i++) {
        for (int k = SR_CARGO_OK; k < i; k++) {
            assert_string_not_equal(sr_cargo_status_text((sr_cargo_status_t)i),
                                    sr_cargo_status_text((sr_cargo_status_t)k));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_is_found),
        cmocka_unit_test(app_is_the_same_but_for_its_header),
        cmocka_unit_test(settings_or_bundle_may_be_left_out),
        cmocka_unit_test(image_without_digest_gets_one),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(other_segments_are_no_cargo),
        cmocka_unit_test(read_error_is_told),
        cmocka_unit_test(header_of_another_version_is_rejected),
        cmocka_unit_test(sizes_that_do_not_add_up_are_rejected),
        cmocka_unit_test(only_settings_in_order_are_taken),
        cmocka_unit_test(sizes_have_limits_even_where_they_add_up),
        cmocka_unit_test(names_are_of_lowercase_letters_digits_and_underlines),
        cmocka_unit_test(settings_are_listed_one_after_another),
        cmocka_unit_test(writer_refuses_what_the_format_cannot_hold),
        cmocka_unit_test(cargo_has_at_most_fifty_pages),
        cmocka_unit_test(sixteen_segments_are_the_limit),
        cmocka_unit_test(each_status_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, make_app, NULL);
}
