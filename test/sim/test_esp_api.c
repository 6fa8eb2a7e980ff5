// SPDX-License-Identifier: Apache-2.0
#include "test/support/support_chip.h"
#include "test/support/support_cipher.h"

#include "esp_app_desc.h"
#include "esp_check.h"
#include "esp_chip_info.h"
#include "esp_efuse_table.h"
#include "esp_event.h"
#include "esp_flash.h"
#include "esp_flash_encrypt.h"
#include "esp_heap_caps.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_rom_sys.h"
#include "esp_secure_boot.h"
#include "esp_system.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"
#include "sdkconfig.h"
#include "spi_flash_mmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct fixture {
    nor_flash_t *flash;
    sim_config_t config;
} fixture_t;

static int set_up(void **state)
{
    static fixture_t fixture;
    fixture.flash = chip_flash_new();
    chip_put_app(fixture.flash, CHIP_SLOT_0, "1.0", NULL, 0);
    fixture.config = (sim_config_t){
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = fixture.flash, .running_app = CHIP_SLOT_0, .quiet = true};
    *state = &fixture;
    return sim_chip_attach(&fixture.config) ? 0 : 1;
}

static int tear_down(void **state)
{
    const fixture_t *fixture = *state;
    sim_chip_detach();
    nor_flash_delete(fixture->flash);
    return 0;
}

static void attach_again(fixture_t *fixture)
{
    assert_true(sim_chip_attach(&fixture->config));
}

static const esp_partition_t *slot(uint32_t index)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_APP, ESP_PARTITION_SUBTYPE_OTA(index), NULL);
}

static void flash_reads_what_was_written(void **state)
{
    const fixture_t *fixture = *state;
    const uint8_t data[5] = {1, 2, 3, 4, 5};
    uint8_t back[5];
    assert_int_equal(esp_flash_write(NULL, data, CHIP_SLOT_1 + 3, 5), ESP_OK);
    assert_int_equal(esp_flash_read(esp_flash_default_chip, back, CHIP_SLOT_1 + 3, 5), ESP_OK);
    assert_memory_equal(back, data, 5);
    assert_int_equal(esp_flash_erase_region(NULL, CHIP_SLOT_1, 0x1000), ESP_OK);
    assert_int_equal(nor_flash_view(fixture->flash)[CHIP_SLOT_1 + 3], 0xFF);
}

static void flash_arguments_are_checked_as_by_esp_idf(void **state)
{
    const fixture_t *fixture = *state;
    uint8_t byte = 0;
    esp_flash_t other = {.size = CHIP_FLASH_SIZE};
    assert_int_equal(esp_flash_read(NULL, &byte, CHIP_FLASH_SIZE, 1), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_read(NULL, NULL, 0, 1), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_read(NULL, &byte, UINT32_MAX, 2), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_read(NULL, &byte, CHIP_FLASH_SIZE, 0), ESP_OK);
    assert_int_equal(esp_flash_read(&other, &byte, 0, 1), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_write(NULL, &byte, CHIP_FLASH_SIZE - 1, 2), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_erase_region(NULL, 0x1100, 0x1000), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_erase_region(NULL, 0x1000, 0x1100), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_erase_region(NULL, CHIP_FLASH_SIZE, 0x1000), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_flash_erase_region(NULL, 0x1000, 0), ESP_OK);
    assert_int_equal(esp_flash_read_encrypted(NULL, CHIP_FLASH_SIZE, &byte, 1), ESP_ERR_INVALID_SIZE);
    assert_int_equal(nor_flash_stats(fixture->flash).operations, 0);
    byte = 0xFF;
    assert_int_equal(esp_flash_write(NULL, &byte, CHIP_SLOT_0, 1), ESP_FAIL);
    assert_int_equal(nor_flash_stats(fixture->flash).bad_programs, 1);
}

static void flash_faults_come_through(void **state)
{
    const fixture_t *fixture = *state;
    const nor_faults_t faults = {.erase_per_million = 1, .single = true, .address = CHIP_SLOT_1};
    nor_flash_set_faults(fixture->flash, faults);
    assert_int_equal(esp_flash_erase_region(NULL, CHIP_SLOT_1, 0x1000), ESP_ERR_TIMEOUT);
}

static void flash_size_is_what_the_bootloader_says(void **state)
{
    fixture_t *fixture = *state;
    uint32_t size = 0;
    assert_int_equal(esp_flash_get_size(NULL, &size), ESP_OK);
    assert_int_equal(size, CHIP_FLASH_SIZE);
    assert_int_equal(esp_flash_get_size(NULL, NULL), ESP_ERR_INVALID_ARG);

    /* 4 MiB by its header on a chip of 8 MiB. */
    nor_flash_t *larger = nor_flash_new(2 * CHIP_FLASH_SIZE, nor_timing_find(NULL));
    memcpy(nor_flash_bytes(larger), nor_flash_view(fixture->flash), CHIP_FLASH_SIZE);
    fixture->config.flash = larger;
    attach_again(fixture);
    assert_int_equal(esp_flash_get_size(NULL, &size), ESP_OK);
    assert_int_equal(size, CHIP_FLASH_SIZE);
    assert_int_equal(esp_flash_get_physical_size(NULL, &size), ESP_OK);
    assert_int_equal(size, 2 * CHIP_FLASH_SIZE);
    uint8_t byte = 0;
    assert_int_equal(esp_flash_write(NULL, &byte, CHIP_FLASH_SIZE, 1), ESP_ERR_INVALID_ARG);
    sim_chip_detach();
    nor_flash_delete(larger);
}

static void partitions_are_found_by_type_and_label(void **state)
{
    (void)state;
    const esp_partition_t *nvs = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "nvs");
    assert_non_null(nvs);
    assert_int_equal(nvs->address, CHIP_NVS);
    assert_int_equal(nvs->size, 0x5000);
    assert_int_equal(nvs->erase_size, 0x1000);
    assert_ptr_equal(nvs->flash_chip, esp_flash_default_chip);
    assert_false(nvs->encrypted);
    assert_null(esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_DATA_NVS, NULL));
    assert_null(slot(2));
    unsigned count = 0;
    esp_partition_iterator_t it = esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    for (; it != NULL; it = esp_partition_next(it)) {
        count++;
    }
    assert_int_equal(count, 6);
    esp_partition_t copy = *nvs;
    assert_ptr_equal(esp_partition_verify(&copy), nvs);
    copy.size++;
    assert_null(esp_partition_verify(&copy));
}

/* A power loss while the entry of the second slot was programmed: its end wraps, so that the bootloader lets it pass,
 * and ESP-IDF takes each entry for what it says. What follows was not programmed yet. */
static void half_an_entry_is_there_as_it_says(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *table = nor_flash_bytes(fixture->flash) + SR_PARTITION_TABLE_OFFSET;
    memset(table + 3 * SR_PARTITION_ENTRY_SIZE + 10, 0xFF, SR_SECTOR_SIZE - 3 * SR_PARTITION_ENTRY_SIZE - 10);
    attach_again(fixture);
    assert_non_null(slot(0));
    assert_non_null(slot(1));
    assert_int_equal(slot(1)->address, CHIP_SLOT_1);
    assert_int_equal(slot(1)->size, 0xFFFF0000u | (CHIP_SLOT_SIZE & 0xFFFFu));
    assert_null(esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, "readonly"));
}

static void table_with_a_wrong_md5_starts_nothing(void **state)
{
    fixture_t *fixture = *state;
    nor_flash_bytes(fixture->flash)[SR_PARTITION_TABLE_OFFSET + 12] ^= 1u;
    assert_false(sim_chip_attach(&fixture->config));
}

static void the_table_is_read_once(void **state)
{
    const fixture_t *fixture = *state;
    memset(nor_flash_bytes(fixture->flash) + 0x8000, 0xFF, 0x1000);
    assert_non_null(slot(0));
}

static void partition_accesses_stay_inside(void **state)
{
    (void)state;
    const esp_partition_t *p = slot(1);
    uint8_t data[4] = {1, 2, 3, 4}, back[4];
    assert_int_equal(esp_partition_write(p, p->size - 4, data, 4), ESP_OK);
    assert_int_equal(esp_partition_read(p, p->size - 4, back, 4), ESP_OK);
    assert_memory_equal(back, data, 4);
    assert_int_equal(esp_partition_write(p, p->size - 3, data, 4), ESP_ERR_INVALID_SIZE);
    assert_int_equal(esp_partition_read(p, p->size + 1, back, 0), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_partition_erase_range(p, 0, 0x1001), ESP_ERR_INVALID_SIZE);
    assert_int_equal(esp_partition_erase_range(p, 1, 0x1000), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_partition_erase_range(p, p->size - 0x1000, 0x1000), ESP_OK);
    const esp_partition_t *readonly =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "readonly");
    assert_int_equal(esp_partition_write(readonly, 0, data, 4), ESP_ERR_NOT_ALLOWED);
    assert_int_equal(esp_partition_erase_range(readonly, 0, 0x1000), ESP_ERR_NOT_ALLOWED);
}

static void encrypted_partitions_hold_something_else(void **state)
{
    fixture_t *fixture = *state;
    assert_false(esp_flash_encryption_enabled());
    assert_int_equal(esp_flash_write_encrypted(NULL, CHIP_SLOT_1, "0123456789abcdef", 16), ESP_ERR_NOT_SUPPORTED);
    support_encrypt(nor_flash_bytes(fixture->flash), 0, CHIP_FLASH_SIZE);
    fixture->config.chip.cipher = support_cipher();
    attach_again(fixture);
    assert_true(esp_flash_encryption_enabled());

    const esp_partition_t *secret =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "secret");
    const esp_partition_t *nvs = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "nvs");
    assert_true(secret->encrypted);
    assert_true(slot(0)->encrypted);
    assert_false(nvs->encrypted);
    const char plain[] = "a sentence of thirty-two bytes..";
    char back[32];
    assert_int_equal(esp_partition_erase_range(secret, 0, 0x1000), ESP_OK);
    assert_int_equal(esp_partition_write(secret, 32, plain, 32), ESP_OK);
    assert_int_equal(esp_partition_read(secret, 32, back, 32), ESP_OK);
    assert_memory_equal(back, plain, 32);
    assert_int_equal(esp_partition_read_raw(secret, 32, back, 32), ESP_OK);
    assert_memory_not_equal(back, plain, 32);
    assert_int_equal(esp_partition_write(secret, 64, plain, 8), ESP_ERR_INVALID_SIZE);
    assert_int_equal(esp_partition_write(secret, 72, plain, 16), ESP_ERR_INVALID_ARG);
}

/* The hardware takes 16, 32 or 64 bytes at a time, at a multiple of that. */
static void encrypted_writes_are_programmed_in_rows(void **state)
{
    static const struct {
        const char *chip;
        uint32_t offset, length, programs;
    } cases[] = {
        {"esp32", 0, 64, 2},    {"esp32", 16, 48, 2},   {"esp32c3", 0, 256, 8}, {"esp32c3", 16, 64, 3},
        {"esp32s3", 0, 256, 4}, {"esp32s3", 16, 64, 3}, {"esp32c2", 32, 32, 1}, {"esp32c6", 48, 80, 2},
    };
    static const uint8_t data[256] = {1, 2, 3};
    fixture_t *fixture = *state;
    support_encrypt(nor_flash_bytes(fixture->flash), 0, CHIP_FLASH_SIZE);
    fixture->config.chip.cipher = support_cipher();
    attach_again(fixture);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fixture->config.chip.chip = sr_chip_by_name(cases[i].chip);
        attach_again(fixture);
        memset(nor_flash_bytes(fixture->flash) + CHIP_SLOT_1, 0xFF, 0x1000);
        nor_flash_reset_stats(fixture->flash);
        assert_int_equal(esp_flash_write_encrypted(NULL, CHIP_SLOT_1 + cases[i].offset, data, cases[i].length), ESP_OK);
        assert_int_equal(nor_flash_stats(fixture->flash).page_programs, cases[i].programs);
    }
}

static void mappings_show_plaintext(void **state)
{
    fixture_t *fixture = *state;
    const void *map;
    const void *plain_map;
    spi_flash_mmap_handle_t handle;
    esp_partition_mmap_handle_t plain_handle;
    uint8_t app[32];
    memcpy(app, nor_flash_view(fixture->flash) + CHIP_SLOT_0, sizeof(app));
    support_encrypt(nor_flash_bytes(fixture->flash), 0, CHIP_FLASH_SIZE);
    fixture->config.chip.cipher = support_cipher();
    attach_again(fixture);
    assert_int_equal(spi_flash_mmap(CHIP_SLOT_1, 0x10000, SPI_FLASH_MMAP_DATA, &map, &handle), ESP_OK);
    assert_int_equal(esp_partition_mmap(slot(0), 0, 0x10000, ESP_PARTITION_MMAP_DATA, &plain_map, &plain_handle),
                     ESP_OK);
    assert_memory_equal(plain_map, app, sizeof(app));
    /* What is written is seen at once, and erased cells are not blank. */
    assert_int_equal(esp_flash_erase_region(NULL, CHIP_SLOT_1, 0x1000), ESP_OK);
    assert_memory_not_equal(map, nor_flash_view(fixture->flash) + CHIP_SLOT_1, 32);
    assert_int_equal(esp_flash_write_encrypted(NULL, CHIP_SLOT_1, app, sizeof(app)), ESP_OK);
    assert_memory_equal(map, app, sizeof(app));
    spi_flash_munmap(handle);
    esp_partition_munmap(plain_handle);
}

static void slots_are_chosen_by_otadata(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(esp_ota_get_app_partition_count(), 2);
    assert_ptr_equal(esp_ota_get_running_partition(), slot(0));
    assert_ptr_equal(esp_ota_get_boot_partition(), slot(0));
    assert_ptr_equal(esp_ota_get_next_update_partition(NULL), slot(1));
    assert_ptr_equal(esp_ota_get_next_update_partition(slot(1)), slot(0));

    assert_int_equal(esp_ota_set_boot_partition(NULL), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_ota_set_boot_partition(slot(1)), ESP_ERR_OTA_VALIDATE_FAILED);
    assert_int_equal(nor_flash_stats(fixture->flash).operations, 0);
    chip_put_app(fixture->flash, CHIP_SLOT_1, "2.0", NULL, 0);
    /* Back and forth, so that both sectors of otadata have been the newer one. */
    for (unsigned i = 1; i < 6; i++) {
        const uint8_t *selected = nor_flash_view(fixture->flash) + CHIP_OTADATA + (i % 2 == 0 ? 0x1000 : 0);
        uint8_t before[SR_OTADATA_ENTRY_SIZE];
        memcpy(before, selected, sizeof(before));
        assert_int_equal(esp_ota_set_boot_partition(slot(i % 2)), ESP_OK);
        /* The entry that counted until then stays, should the power go while the other one is written. */
        assert_memory_equal(selected, before, sizeof(before));
        assert_ptr_equal(esp_ota_get_boot_partition(), slot(i % 2));
        boot_result_t result;
        uint8_t *copy = malloc(CHIP_FLASH_SIZE);
        memcpy(copy, nor_flash_view(fixture->flash), CHIP_FLASH_SIZE);
        boot_run(&fixture->config.chip, copy, CHIP_FLASH_SIZE, NULL, NULL, &result);
        free(copy);
        assert_int_equal(result.app_offset, slot(i % 2)->address);
    }
    assert_ptr_equal(esp_ota_get_running_partition(), slot(0));
}

static void otadata_without_entries_is_written_from_its_start(void **state)
{
    fixture_t *fixture = *state;
    memset(nor_flash_bytes(fixture->flash) + CHIP_OTADATA, 0xFF, 0x2000);
    chip_put_app(fixture->flash, CHIP_SLOT_1, "2.0", NULL, 0);
    assert_ptr_equal(esp_ota_get_boot_partition(), slot(0));
    assert_int_equal(esp_ota_mark_app_valid_cancel_rollback(), ESP_FAIL);
    assert_int_equal(esp_ota_set_boot_partition(slot(1)), ESP_OK);
    assert_int_equal(nor_flash_view(fixture->flash)[CHIP_OTADATA], 2);
    assert_ptr_equal(esp_ota_get_boot_partition(), slot(1));
}

static void an_app_can_be_marked_as_valid(void **state)
{
    fixture_t *fixture = *state;
    esp_ota_img_states_t ota_state;
    image_write_otadata(1, SR_OTA_PENDING_VERIFY, nor_flash_bytes(fixture->flash) + CHIP_OTADATA);
    assert_int_equal(esp_ota_get_state_partition(slot(0), &ota_state), ESP_OK);
    assert_int_equal(ota_state, ESP_OTA_IMG_PENDING_VERIFY);
    assert_int_equal(esp_ota_mark_app_valid_cancel_rollback(), ESP_OK);
    assert_int_equal(esp_ota_get_state_partition(slot(0), &ota_state), ESP_OK);
    assert_int_equal(ota_state, ESP_OTA_IMG_VALID);
    const uint32_t operations = nor_flash_stats(fixture->flash).operations;
    assert_int_equal(esp_ota_mark_app_valid_cancel_rollback(), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture->flash).operations, operations);
    assert_int_equal(esp_ota_get_state_partition(slot(1), &ota_state), ESP_ERR_NOT_FOUND);
}

static void embedded_data_is_found_in_the_image(void **state)
{
    fixture_t *fixture = *state;
    uint8_t blob[5000];
    dummy_image_fill(blob, sizeof(blob), 42);
    /* Two other places start like the blob. */
    memcpy(blob + 1000, blob, 64);
    memcpy(blob + 4900, blob, 64);
    assert_int_equal(spi_flash_cache2phys(blob), SPI_FLASH_CACHE2PHYS_FAIL);
    assert_int_equal(spi_flash_cache2phys(NULL), SPI_FLASH_CACHE2PHYS_FAIL);
    chip_put_app(fixture->flash, CHIP_SLOT_0, "1.0", blob, sizeof(blob));
    attach_again(fixture);
    assert_int_equal(spi_flash_cache2phys(blob), CHIP_SLOT_0 + dummy_image_embedded_offset());
    assert_int_equal(spi_flash_cache2phys(blob + 100), CHIP_SLOT_0 + dummy_image_embedded_offset() + 100);
    assert_string_equal(esp_app_get_description()->version, "1.0");
}

static void heap_is_counted_and_limited(void **state)
{
    fixture_t *fixture = *state;
    fixture->config.heap_limit = 1000;
    attach_again(fixture);
    void *a = heap_caps_malloc(600, MALLOC_CAP_8BIT);
    assert_non_null(a);
    assert_null(heap_caps_malloc(401, MALLOC_CAP_8BIT));
    assert_null(heap_caps_malloc(1, MALLOC_CAP_SPIRAM));
    assert_null(heap_caps_calloc(SIZE_MAX / 2, 3, MALLOC_CAP_8BIT));
    uint8_t *b = heap_caps_calloc(4, 100, MALLOC_CAP_8BIT);
    assert_non_null(b);
    assert_int_equal(b[399], 0);
    assert_int_equal(esp_get_free_heap_size(), 0);
    heap_caps_free(a);
    heap_caps_free(b);
    heap_caps_free(NULL);
    assert_int_equal(sim_counters()->heap_now, 0);
    assert_int_equal(sim_counters()->heap_peak, 1000);
    assert_int_equal(heap_caps_get_free_size(MALLOC_CAP_8BIT), 1000);
    assert_int_equal(heap_caps_get_minimum_free_size(MALLOC_CAP_8BIT), 0);
}

static void nvs_wants_a_blank_page(void **state)
{
    fixture_t *fixture = *state;
    assert_int_equal(nvs_flash_init(), ESP_OK);
    memset(nor_flash_bytes(fixture->flash) + CHIP_NVS, 0, 0x4000);
    assert_int_equal(nvs_flash_init(), ESP_OK);
    memset(nor_flash_bytes(fixture->flash) + CHIP_NVS, 0, 0x5000);
    assert_int_equal(nvs_flash_init(), ESP_ERR_NVS_NO_FREE_PAGES);
    assert_int_equal(nvs_flash_erase(), ESP_OK);
    assert_int_equal(nvs_flash_init(), ESP_OK);
    assert_int_equal(nor_flash_stats(fixture->flash).sector_erases, 5);
}

static void the_network_comes_up_in_order(void **state)
{
    (void)state;
    assert_int_equal(example_connect(), ESP_ERR_INVALID_STATE);
    assert_int_equal(esp_netif_init(), ESP_OK);
    assert_int_equal(esp_event_loop_create_default(), ESP_OK);
    assert_int_equal(esp_event_loop_create_default(), ESP_ERR_INVALID_STATE);
    assert_int_equal(example_connect(), ESP_OK);
    assert_int_equal(example_disconnect(), ESP_OK);
}

static void the_chip_tells_what_it_is(void **state)
{
    fixture_t *fixture = *state;
    esp_chip_info_t info;
    esp_chip_info(&info);
    assert_int_equal(info.model, CHIP_ESP32);
    assert_int_equal(info.revision, 300);
    assert_int_equal(CONFIG_BOOTLOADER_OFFSET_IN_FLASH, 0x1000);
    assert_false(esp_secure_boot_enabled());
    fixture->config.chip =
        (boot_chip_t){.chip = sr_chip_by_name("esp32c5"), .revision = 102, .burnt.secure_boot_v2 = true};
    attach_again(fixture);
    esp_chip_info(&info);
    assert_int_equal(info.model, CHIP_ESP32C5);
    assert_int_equal(info.revision, 102);
    assert_string_equal(CONFIG_IDF_TARGET, "esp32c5");
    assert_int_equal(CONFIG_IDF_FIRMWARE_CHIP_ID, 23);
    assert_int_equal(CONFIG_BOOTLOADER_OFFSET_IN_FLASH, 0x2000);
    assert_true(esp_secure_boot_enabled());
    /* If no revision is given, it is not known: no image's demand is refused. */
    fixture->config.chip.revision = 0;
    attach_again(fixture);
    esp_chip_info(&info);
    assert_int_equal(info.revision, UINT16_MAX);
    fixture->config.chip.revision_told = true; /* v0.0 */
    attach_again(fixture);
    esp_chip_info(&info);
    assert_int_equal(info.revision, 0);
}

static uint32_t burnt_sector(void)
{
    uint32_t sector = 0xFFFFFFFF;
    assert_int_equal(esp_efuse_read_field_blob(ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR, &sector, 12), ESP_OK);
    return sector;
}

static void the_chip_tells_where_its_recovery_bootloader_is(void **state)
{
    fixture_t *fixture = *state;
    uint8_t low = 0;
    assert_int_equal(burnt_sector() & 0xFFFF, 0);
    assert_int_equal(esp_rom_get_bootloader_offset(), 0x1000);
    fixture->config.chip = (boot_chip_t){.chip = sr_chip_by_name("esp32c5"), .recovery = 0x3F0000};
    attach_again(fixture);
    assert_int_equal(burnt_sector() & 0xFFFF, 0x3F0);
    assert_int_equal(esp_efuse_read_field_blob(ESP_EFUSE_RECOVERY_BOOTLOADER_FLASH_SECTOR, &low, 5), ESP_OK);
    assert_int_equal(low, 0x10);
    assert_int_equal(esp_efuse_read_field_blob(NULL, &low, 5), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_rom_get_bootloader_offset(), 0x2000);
    fixture->config.recovered = true;
    attach_again(fixture);
    assert_int_equal(esp_rom_get_bootloader_offset(), 0x3F0000);
    fixture->config.recovered = false;
    fixture->config.chip.revision = 2; /* Before its ROM knew of it. */
    attach_again(fixture);
    assert_int_equal(burnt_sector() & 0xFFFF, 0);
}

static void options_come_from_the_environment(void **state)
{
    (void)state;
    unsetenv("TEST_OPTION");
    assert_string_equal(sim_config_string("TEST_OPTION", "none"), "none");
    assert_int_equal(sim_config_number("TEST_OPTION", 7), 7);
    setenv("TEST_OPTION", "0x110000", 1);
    assert_string_equal(sim_config_string("TEST_OPTION", "none"), "0x110000");
    assert_int_equal(sim_config_number("TEST_OPTION", 7), 0x110000);
}

static esp_err_t hands_up(esp_err_t err)
{
    ESP_RETURN_ON_ERROR(err, "test", "number %d", 1);
    ESP_RETURN_ON_FALSE(err != ESP_OK, ESP_ERR_TIMEOUT, "test", "no arguments");
    return ESP_FAIL;
}

static void check_macros_hand_errors_up(void **state)
{
    (void)state;
    assert_int_equal(hands_up(ESP_ERR_NO_MEM), ESP_ERR_NO_MEM);
    assert_int_equal(hands_up(ESP_OK), ESP_ERR_TIMEOUT);
    assert_string_equal(esp_err_to_name(ESP_ERR_OTA_VALIDATE_FAILED), "ESP_ERR_OTA_VALIDATE_FAILED");
    assert_string_equal(esp_err_to_name(12345), "UNKNOWN ERROR");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(flash_reads_what_was_written),
        TEST(flash_arguments_are_checked_as_by_esp_idf),
        TEST(flash_faults_come_through),
        TEST(flash_size_is_what_the_bootloader_says),
        TEST(partitions_are_found_by_type_and_label),
        TEST(half_an_entry_is_there_as_it_says),
        TEST(table_with_a_wrong_md5_starts_nothing),
        TEST(the_table_is_read_once),
        TEST(partition_accesses_stay_inside),
        TEST(encrypted_partitions_hold_something_else),
        TEST(encrypted_writes_are_programmed_in_rows),
        TEST(mappings_show_plaintext),
        TEST(slots_are_chosen_by_otadata),
        TEST(otadata_without_entries_is_written_from_its_start),
        TEST(an_app_can_be_marked_as_valid),
        TEST(embedded_data_is_found_in_the_image),
        TEST(heap_is_counted_and_limited),
        TEST(nvs_wants_a_blank_page),
        TEST(the_network_comes_up_in_order),
        TEST(the_chip_tells_what_it_is),
        TEST(the_chip_tells_where_its_recovery_bootloader_is),
        TEST(options_come_from_the_environment),
        TEST(check_macros_hand_errors_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
