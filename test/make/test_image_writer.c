// SPDX-License-Identifier: Apache-2.0
// What the writers of images and dummy images make is accepted by the parsers and boots; what other people's tools say
// about the same bytes is in test_images_external.py.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_mcuboot.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "sim/boot/boot_model.h"
#include "test/support/support_reader.h"

#include <errno.h>
#include <sys/stat.h>

#define FLASH_SIZE 0x400000u
#define SPI_4_MIB  2u

static uint8_t flash[FLASH_SIZE];

static const uint8_t words[64] = {0x11, 0x22, 0x33, 0x44, 0x55};

static const image_write_segment_t three_segments[] = {
    {.load_address = 0x3F400020, .data = words, .length = 64, .mapped = true},
    {.load_address = 0x3FFB0000, .data = words, .length = 8},
    {.load_address = 0x400D0018, .data = words, .length = 32, .mapped = true},
};

static image_write_esp_t esp_spec(const image_write_segment_t *segments, unsigned count)
{
    return (image_write_esp_t){
        .chip_id = 0x0009,
        .spi_mode = 2,
        .spi_speed = 0xF,
        .spi_size = 4,
        .entry = 0x40080010,
        .min_chip_rev_full = 302,
        .max_chip_rev_full = 399,
        .append_hash = true,
        .segments = segments,
        .segment_count = count,
    };
}

static void parser_reads_back_what_was_asked_for(void **state)
{
    (void)state;
    image_write_esp_t spec = esp_spec(three_segments, 3);
    size_t length = 0;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_OK);

    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, flash, length);
    sr_image_t image;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    assert_int_equal(sr_image_verify(&reader, &image, NULL), SR_IMAGE_OK);
    assert_int_equal(image.length, length);
    assert_int_equal(image.chip_id, 0x0009);
    assert_int_equal(image.spi_mode, 2);
    assert_int_equal(image.spi_speed, 0xF);
    assert_int_equal(image.spi_size, 4);
    assert_int_equal(image.entry, 0x40080010);
    assert_int_equal(image.min_chip_rev_full, 302);
    assert_int_equal(image.max_chip_rev_full, 399);
    assert_true(image.hash_appended);
}

static void mapped_segments_lie_where_the_mmu_can_map_them(void **state)
{
    (void)state;
    image_write_esp_t spec = esp_spec(three_segments, 3);
    size_t length = 0;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_OK);

    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, flash, length);
    sr_image_t image;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    assert_int_equal(image.segment_count, 4);
    assert_int_equal(image.segments[0].data_offset, 0x20);
    assert_int_equal(image.segments[2].load_address, 0);
    assert_int_equal(image.segments[3].load_address, 0x400D0018);
    assert_int_equal(image.segments[3].data_offset, 0x10018);
    assert_memory_equal(flash + image.segments[3].data_offset, words, 32);
}

static void image_without_digest_ends_with_its_checksum(void **state)
{
    (void)state;
    image_write_esp_t spec = esp_spec(&three_segments[1], 1);
    spec.append_hash = false;
    size_t length = 0;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_OK);
    assert_int_equal(length % 16, 0);
    assert_int_equal(flash[length - 1], 0xEF ^ 0x11 ^ 0x22 ^ 0x33 ^ 0x44 ^ 0x55);
}

/** Every smaller buffer is refused; the sanitizer sees a byte written after it. */
static void buffers_that_are_too_small_are_refused(void **state)
{
    (void)state;
    image_write_esp_t spec = esp_spec(&three_segments[1], 1);
    size_t length = 0;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_OK);
    for (size_t capacity = 1; capacity < length; capacity++) {
        uint8_t *out = malloc(capacity);
        size_t written = 1;
        assert_non_null(out);
        assert_int_equal(image_write_esp(&spec, out, capacity, &written), IMAGE_WRITE_NO_ROOM);
        assert_int_equal(written, 0);
        free(out);
    }
}

static void images_that_the_format_cannot_hold_are_refused(void **state)
{
    (void)state;
    image_write_segment_t many[SR_IMAGE_MAX_SEGMENTS + 1];
    for (unsigned i = 0; i <= SR_IMAGE_MAX_SEGMENTS; i++) {
        many[i] = three_segments[1];
    }
    size_t length = 0;
    image_write_esp_t spec = esp_spec(many, SR_IMAGE_MAX_SEGMENTS);
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_OK);
    spec.segment_count++;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_BAD_ARGUMENT);
    spec.segment_count = 0;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_BAD_ARGUMENT);
    many[0].length = 6;
    spec.segment_count = 1;
    assert_int_equal(image_write_esp(&spec, flash, FLASH_SIZE, &length), IMAGE_WRITE_BAD_ARGUMENT);

    uint8_t desc[IMAGE_WRITE_APP_DESC_SIZE];
    const char *longest = "1234567890123456789012345678901";
    const char *too_long = "12345678901234567890123456789012";
    assert_int_equal(image_write_app_desc(longest, longest, longest, desc), IMAGE_WRITE_OK);
    assert_int_equal(image_write_app_desc(too_long, "1", "1", desc), IMAGE_WRITE_BAD_ARGUMENT);
}

static void table_is_what_was_asked_for(void **state)
{
    (void)state;
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x9000, 0x6000, 0, "nvs"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_FACTORY, 0x10000, 0x100000, SR_PARTITION_FLAG_ENCRYPTED,
         "sixteen_letters_"},
    };
    uint8_t bytes[SR_PARTITION_TABLE_SIZE];
    assert_int_equal(image_write_partition_table(entries, 2, bytes), IMAGE_WRITE_OK);

    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    static sr_partition_table_t table;
    assert_int_equal(sr_partition_table_parse(&reader, FLASH_SIZE, &table), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, 2);
    assert_true(table.has_md5);
    assert_string_equal(table.entries[1].label, "sixteen_letters_");
    assert_int_equal(table.entries[1].address, 0x10000);
    assert_int_equal(table.entries[1].size, 0x100000);
    assert_int_equal(table.entries[1].flags, SR_PARTITION_FLAG_ENCRYPTED);
}

static void largest_table_is_accepted_and_a_larger_one_refused(void **state)
{
    (void)state;
    sr_partition_table_entry_t entries[SR_PARTITION_MAX_ENTRIES];
    for (unsigned i = 0; i < SR_PARTITION_MAX_ENTRIES; i++) {
        entries[i] = (sr_partition_table_entry_t){SR_PARTITION_TYPE_DATA, 0x99, 0x10000 + i * 0x1000, 0x1000, 0, "x"};
    }
    uint8_t bytes[SR_PARTITION_TABLE_SIZE];
    assert_int_equal(image_write_partition_table(entries, SR_PARTITION_MAX_ENTRIES - 1, bytes), IMAGE_WRITE_OK);

    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, bytes, sizeof(bytes));
    static sr_partition_table_t table;
    assert_int_equal(sr_partition_table_parse(&reader, FLASH_SIZE, &table), SR_PARTITION_TABLE_OK);
    assert_int_equal(table.count, SR_PARTITION_MAX_ENTRIES - 1);
    assert_int_equal(image_write_partition_table(entries, SR_PARTITION_MAX_ENTRIES, bytes), IMAGE_WRITE_BAD_ARGUMENT);
}

static void merged_parts_have_blank_between_them(void **state)
{
    (void)state;
    const image_write_part_t parts[] = {{0x1010, words, 4}, {0x1000, words, 8}};
    uint8_t out[20];
    const uint8_t expected[20] = {0x11, 0x22, 0x33, 0x44, 0x55, 0,    0,    0,    0xFF, 0xFF,
                                  0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x11, 0x22, 0x33, 0x44};
    size_t length = 0;
    assert_int_equal(image_write_merged(parts, 2, 0x1000, out, sizeof(out), &length), IMAGE_WRITE_OK);
    assert_int_equal(length, sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));

    assert_int_equal(image_write_merged(parts, 2, 0x1000, out, sizeof(out) - 1, &length), IMAGE_WRITE_NO_ROOM);
    assert_int_equal(image_write_merged(parts, 2, 0x1001, out, sizeof(out), &length), IMAGE_WRITE_BAD_ARGUMENT);
    const image_write_part_t overlapping[] = {{0x1000, words, 8}, {0x1007, words, 4}};
    assert_int_equal(image_write_merged(overlapping, 2, 0x1000, out, sizeof(out), &length), IMAGE_WRITE_BAD_ARGUMENT);
}

static void mcuboot_slot_is_accepted_and_must_have_room(void **state)
{
    (void)state;
    image_write_mcuboot_t spec = {
        .version_major = 1,
        .version_minor = 2,
        .version_revision = 3,
        .version_build = 4,
        .payload = words,
        .payload_size = sizeof(words),
        .slot_size = 0x1000,
        .trailer = IMAGE_WRITE_TRAILER_TEST,
    };
    assert_int_equal(image_write_mcuboot(&spec, flash, FLASH_SIZE), IMAGE_WRITE_OK);
    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, flash, spec.slot_size);
    sr_mcuboot_image_t image;
    assert_int_equal(sr_mcuboot_parse(&reader, &image), SR_MCUBOOT_OK);
    assert_int_equal(sr_mcuboot_verify(&reader, &image), SR_MCUBOOT_OK);
    assert_int_equal(image.version_build, 4);
    assert_int_equal(image.length, 32 + sizeof(words) + 40);
    assert_memory_equal(flash + 0x1000 - 16, sr_mcuboot_trailer_magic, 16);
    assert_int_equal(flash[0x1000 - 24], 0xFF);

    assert_int_equal(image_write_mcuboot(&spec, flash, spec.slot_size - 1), IMAGE_WRITE_NO_ROOM);
    spec.slot_size = image.length + 24;
    assert_int_equal(image_write_mcuboot(&spec, flash, FLASH_SIZE), IMAGE_WRITE_OK);
    spec.slot_size--;
    assert_int_equal(image_write_mcuboot(&spec, flash, FLASH_SIZE), IMAGE_WRITE_NO_ROOM);
}

static boot_result_t boot(const sr_chip_t *chip)
{
    const boot_chip_t power_on = {.chip = chip};
    boot_result_t result;
    boot_run(&power_on, flash, FLASH_SIZE, NULL, NULL, &result);
    print_message("%s: %s, %s\n", chip->name, boot_outcome_name(result.outcome), result.reason);
    return result;
}

static void put_bootloader_and_table(const sr_chip_t *chip, unsigned ota_slots)
{
    const sr_partition_table_entry_t entries[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x10000, 0x100000, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x110000, 0x100000, 0, "ota_1"},
    };
    size_t length = 0;
    uint32_t room = SR_PARTITION_TABLE_OFFSET - chip->bootloader_offset;
    memset(flash, 0xFF, FLASH_SIZE);
    assert_int_equal(dummy_image_bootloader(chip, SPI_4_MIB, flash + chip->bootloader_offset, room, &length),
                     IMAGE_WRITE_OK);
    assert_int_equal(image_write_partition_table(entries, 1 + ota_slots, flash + SR_PARTITION_TABLE_OFFSET),
                     IMAGE_WRITE_OK);
}

static void put_app(const sr_chip_t *chip, uint32_t offset)
{
    const dummy_image_app_t app = {
        .chip = chip, .spi_size = SPI_4_MIB, .project_name = "name", .version = "7.8", .code_size = 0x20000};
    size_t length = 0;
    assert_int_equal(dummy_image_app(&app, flash + offset, 0x100000, &length), IMAGE_WRITE_OK);

    memory_t memory;
    sr_reader_t reader = memory_reader(&memory, flash + offset, length);
    sr_image_t image;
    sr_image_app_desc_t desc;
    assert_int_equal(sr_image_parse(&reader, &image), SR_IMAGE_OK);
    assert_int_equal(sr_image_verify(&reader, &image, NULL), SR_IMAGE_OK);
    assert_true(sr_image_app_desc(&reader, &image, &desc));
    assert_string_equal(desc.project_name, "name");
    assert_string_equal(desc.version, "7.8");
}

/** For test_images_external.py: what esptool thinks of the same bytes. */
static void leave_flash_for_esptool(const sr_chip_t *chip)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/dummy-images/%s.bin", TEST_BINARY_DIR, chip->name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(flash, 1, 0x110000, file), 0x110000);
    assert_int_equal(fclose(file), 0);
}

static void esp_idf_system_boots_on_every_chip(void **state)
{
    (void)state;
    const sr_chip_t *chip = NULL;
    assert_true(mkdir(TEST_BINARY_DIR "/dummy-images", 0777) == 0 || errno == EEXIST);
    for (unsigned i = 0; (chip = sr_chip_at(i)) != NULL; i++) {
        put_bootloader_and_table(chip, 1);
        put_app(chip, 0x10000);
        leave_flash_for_esptool(chip);
        boot_result_t result = boot(chip);
        assert_int_equal(result.outcome, BOOT_BOOTS);
        assert_int_equal(result.loader, BOOT_LOADER_IDF);
        assert_int_equal(result.app_offset, 0x10000);
    }
}

static void otadata_selects_the_slot(void **state)
{
    (void)state;
    const sr_chip_t *chip = sr_chip_by_name("esp32c3");
    put_bootloader_and_table(chip, 2);
    put_app(chip, 0x10000);
    put_app(chip, 0x110000);
    image_write_otadata(2, SR_OTA_VALID, flash + 0xD000);
    assert_int_equal(boot(chip).app_offset, 0x110000);
    image_write_otadata(3, SR_OTA_VALID, flash + 0xD000);
    assert_int_equal(boot(chip).app_offset, 0x10000);
}

static void app_with_another_system_inside_still_boots(void **state)
{
    (void)state;
    const sr_chip_t *chip = sr_chip_by_name("esp32");
    put_bootloader_and_table(chip, 1);
    dummy_image_app_t app = {
        .chip = chip, .spi_size = SPI_4_MIB, .project_name = "name", .version = "1", .code_size = 0x1000};
    app.embedded = words;
    app.embedded_size = 61;
    size_t length = 0;
    assert_int_equal(dummy_image_app(&app, flash + 0x10000, 0x100000, &length), IMAGE_WRITE_OK);
    assert_memory_equal(flash + 0x10000 + dummy_image_embedded_offset(), words, 61);
    assert_int_equal(boot(chip).app_offset, 0x10000);
}

static void put_mcuboot(void)
{
    size_t length = 0;
    memset(flash, 0xFF, FLASH_SIZE);
    assert_int_equal(dummy_image_mcuboot(flash + 0x1000, 0xF000, &length), IMAGE_WRITE_OK);
}

static void mcuboot_boots_its_primary_slot(void **state)
{
    (void)state;
    put_mcuboot();
    assert_int_equal(
        dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_NONE, flash + DUMMY_IMAGE_PRIMARY, DUMMY_IMAGE_SLOT_SIZE),
        IMAGE_WRITE_OK);
    boot_result_t result = boot(sr_chip_by_name("esp32"));
    assert_int_equal(result.outcome, BOOT_BOOTS);
    assert_int_equal(result.loader, BOOT_LOADER_MCUBOOT);
    assert_int_equal(result.app_offset, DUMMY_IMAGE_PRIMARY);
}

static void mcuboot_swaps_in_what_asks_for_it(void **state)
{
    (void)state;
    put_mcuboot();
    assert_int_equal(
        dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_CONFIRMED, flash + DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE),
        IMAGE_WRITE_OK);
    boot_result_t result = boot(sr_chip_by_name("esp32"));
    assert_int_equal(result.outcome, BOOT_SWAPS_THEN_BOOTS);
    assert_int_equal(result.app_offset, DUMMY_IMAGE_PRIMARY);
    assert_int_equal(boot(sr_chip_by_name("esp32")).outcome, BOOT_BOOTS);
}

static void mcuboot_leaves_alone_what_does_not_ask(void **state)
{
    (void)state;
    put_mcuboot();
    assert_int_equal(
        dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_NONE, flash + DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE),
        IMAGE_WRITE_OK);
    assert_int_equal(boot(sr_chip_by_name("esp32")).outcome, BOOT_BOOTLOADER_REJECTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parser_reads_back_what_was_asked_for),
        cmocka_unit_test(mapped_segments_lie_where_the_mmu_can_map_them),
        cmocka_unit_test(image_without_digest_ends_with_its_checksum),
        cmocka_unit_test(buffers_that_are_too_small_are_refused),
        cmocka_unit_test(images_that_the_format_cannot_hold_are_refused),
        cmocka_unit_test(table_is_what_was_asked_for),
        cmocka_unit_test(largest_table_is_accepted_and_a_larger_one_refused),
        cmocka_unit_test(merged_parts_have_blank_between_them),
        cmocka_unit_test(mcuboot_slot_is_accepted_and_must_have_room),
        cmocka_unit_test(esp_idf_system_boots_on_every_chip),
        cmocka_unit_test(otadata_selects_the_slot),
        cmocka_unit_test(app_with_another_system_inside_still_boots),
        cmocka_unit_test(mcuboot_boots_its_primary_slot),
        cmocka_unit_test(mcuboot_swaps_in_what_asks_for_it),
        cmocka_unit_test(mcuboot_leaves_alone_what_does_not_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
