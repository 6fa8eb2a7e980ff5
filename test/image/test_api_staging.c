// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is left in staging of an image that was refused, or of which only a part came: nothing that boots, and no record
 * that a later start would go on from. For every refusal that comes after the first staged byte, in a first attempt and
 * after one that broke off.
 */
#include "test/support/api_support.h"

#include "make/bundle_writer.h"
#include "self_reflasher_bundle.h"
#include "format/sr_digest.h"
#include "format/sr_image.h"
#include "format/sr_otadata.h"
#include "image/sr_staging.h"
#include "journal/sr_journal.h"
#include "make/dummy_image.h"
#include "system/sr_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR SR_SECTOR_SIZE
#define LIMIT  0x10000u /**< Of ota_3. */

static esp_err_t search_error = ESP_OK; /**< What each search for a record gives; ESP_OK: what it finds. */

esp_err_t __real_sr_journal_find(sr_journal_t *journal);
esp_err_t __wrap_sr_journal_find(sr_journal_t *journal);

esp_err_t __wrap_sr_journal_find(sr_journal_t *journal)
{
    return search_error != ESP_OK ? search_error : __real_sr_journal_find(journal);
}

static api_server_t server;
static api_chip_t chip;
static const uint8_t wrong_sha256[SR_SHA256_SIZE];

/** An image that is refused, or that breaks off. */
typedef struct image_case {
    const char *path;
    const char *file; /**< What the server sends, or starts to. */
    esp_err_t expected;
    sr_region_t destination;
    bool small_staging; /**< ota_3 instead of ota_0. */
    bool wrong_sha256;
    bool secure_boot;
} image_case_t;

#define AT_DATA   .destination = {API_DATA, 0x80000}
#define AT_LOADER .destination = {API_BOOTLOADER, 0x7000}

static const image_case_t refused[] = {
    {"/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_SHA256, AT_DATA, .wrong_sha256 = true},
    {"/chunked/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_SHA256, AT_DATA, .wrong_sha256 = true},
    {"/nolength/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_TOO_LARGE, .destination = {API_DATA, LIMIT}},
    {"/chunked/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_TOO_LARGE, .destination = {API_DATA, LIMIT + SECTOR}},
    {"/nolength/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, AT_DATA, .small_staging = true},
    {"/chunked/app.bin?n=100000", "app.bin", ESP_ERR_SELF_REFLASHER_STAGING_SMALL, AT_DATA, .small_staging = true},
    {"/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_NOT_SIGNED, AT_DATA, .secure_boot = true},
    {"/noise.bin", "noise.bin", ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, .destination = {0, 0x8000}},
    {"/checksum.bin", "checksum.bin", ESP_ERR_SELF_REFLASHER_CHECKSUM, AT_LOADER},
    {"/digest.bin", "digest.bin", ESP_ERR_SELF_REFLASHER_DIGEST, AT_LOADER},
    {"/size.bin", "size.bin", ESP_ERR_SELF_REFLASHER_FLASH_SIZE, AT_LOADER},
    {"/revision.bin", "revision.bin", ESP_ERR_SELF_REFLASHER_REVISION, AT_LOADER},
    {"/boot.bin", "boot.bin", ESP_ERR_SELF_REFLASHER_NOT_SIGNED, AT_LOADER, .secure_boot = true},
    {"/boot.bin", "boot.bin", ESP_ERR_SELF_REFLASHER_SHA256, AT_LOADER, .wrong_sha256 = true},
    {"/chip.bin", "chip.bin", ESP_ERR_SELF_REFLASHER_WRONG_CHIP, .destination = {0, 0x8000}},
};

static const image_case_t broken[] = {
    {"/short/app.bin?n=98595", "app.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY, AT_DATA},
    {"/drop/app.bin?after=98595", "app.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY, AT_DATA},
    {"/chunked-short/app.bin", "app.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY, AT_DATA},
    {"/stall/app.bin?after=98595", "app.bin", ESP_ERR_HTTP_EAGAIN, AT_DATA},
    {"/short/boot.bin?n=8192", "boot.bin", ESP_ERR_SELF_REFLASHER_SHORT_BODY, AT_LOADER},
};

static api_image_t read_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", server.folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    api_image_t image = {.bytes = malloc(API_SLOT_SIZE)};
    assert_non_null(image.bytes);
    image.length = fread(image.bytes, 1, API_SLOT_SIZE, file);
    fclose(file);
    return image;
}

static void serve(const char *name, api_image_t image)
{
    api_server_put(&server, name, image);
    api_image_free(&image);
}

static api_image_t damaged(size_t at)
{
    api_image_t image = api_mcuboot();
    image.bytes[at] ^= 0x20;
    return image;
}

static api_image_t for_a_later_revision(void)
{
    api_image_t image = api_mcuboot();
    const size_t hashed = image.length - SR_SHA256_SIZE;
    image.bytes[16] = 0x7F; /* Of the chip, in hundreds. */
    assert_true(sr_digest(image.bytes, hashed, image.bytes + hashed));
    return image;
}

/* One that would be finished by a start of the app that runs, which trusts what is not signed: a blank sector for the
 * bootloader's place. */
static void put_record(sr_writer_t *writer, uint32_t address)
{
    static uint8_t list[SECTOR];
    static uint8_t scratch[SECTOR];
    sr_system_t system;
    const bundle_region_t region = {.place = {API_BOOTLOADER, SECTOR}};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = &region,
                                .region_count = 1};
    api_image_t manifest = {0};
    assert_int_equal(bundle_write(&spec, &manifest.bytes, &manifest.length), BUNDLE_WRITE_OK);
    sr_journal_t journal = {.flash = writer->flash, .list = list};
    assert_int_equal(sr_system_read(&system), ESP_OK);
    uint8_t id[SR_SHA256_SIZE];
    assert_int_equal(sr_system_app_id(&system, scratch, id), ESP_OK);
    sr_journal_start(&journal, (uint32_t)manifest.length);
    memcpy(journal.header.app_id, id, sizeof(journal.header.app_id));
    const sr_record_entry_t entry = {
        .address = API_BOOTLOADER, .sectors = 1, .group = SR_RECORD_BOOTLOADER, .blank = true};
    assert_int_equal(sr_journal_add(&journal, &entry), ESP_OK);
    assert_int_equal(sr_journal_digest_first_part(&journal, scratch, journal.header.before), ESP_OK);
    assert_int_equal(sr_journal_open(&journal, writer, address, scratch), ESP_OK);
    assert_int_equal(sr_journal_put_manifest(&journal, writer, manifest.bytes, scratch), ESP_OK);
    assert_int_equal(sr_journal_seal(&journal, writer), ESP_OK);
    api_image_free(&manifest);
}

/* An app that boots, full of records: in front of the end, in the middle, where a body breaks off. */
static api_image_t app_with_records(void)
{
    uint8_t readback[SR_WRITER_READBACK_SIZE];
    sr_flash_t flash;
    api_chip_open(&chip, NULL);
    assert_int_equal(sr_flash_open(&flash), ESP_OK);
    sr_writer_t writer = {.flash = &flash, .readback = readback, .attempts = 4};
    api_image_t image = api_app(0x30000);
    const uint32_t last = (uint32_t)image.length & ~(SECTOR - 1u);
    api_chip_put(&chip, API_OTA_0, image.bytes, image.length);
    static const uint32_t offsets[] = {0x5000, 0x9000, 0x17000};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        put_record(&writer, API_OTA_0 + offsets[i]);
    }
    put_record(&writer, API_OTA_0 + last + SECTOR);
    image.length = last + 4 * SECTOR; /* Its mark, its list, its manifest. */
    image.bytes = realloc(image.bytes, image.length);
    assert_non_null(image.bytes);
    memcpy(image.bytes, nor_flash_view(chip.flash) + API_OTA_0, image.length);
    api_chip_close(&chip);
    return image;
}

static int start_server(void **state)
{
    (void)state;
    api_server_start(&server);
    api_image_t boot = api_mcuboot();
    api_image_t other = {.bytes = calloc(1, 0x8000)};
    size_t length;
    assert_non_null(other.bytes);
    assert_int_equal(
        dummy_image_bootloader(sr_chip_by_name("esp32s3"), 2, other.bytes + API_BOOTLOADER, 0x6000, &length),
        IMAGE_WRITE_OK);
    other.length = API_BOOTLOADER + length;
    serve("chip.bin", other);
    api_image_t two_megabytes = {.bytes = calloc(1, 0x8000)};
    assert_non_null(two_megabytes.bytes);
    assert_int_equal(
        dummy_image_bootloader(sr_chip_by_name("esp32"), 1, two_megabytes.bytes, 0x7000, &two_megabytes.length),
        IMAGE_WRITE_OK);
    serve("size.bin", two_megabytes);
    serve("noise.bin", api_noise(0x3210, 1));
    serve("revision.bin", for_a_later_revision());
    serve("checksum.bin", damaged(0x1800));
    serve("digest.bin", damaged(boot.length - 1));
    serve("boot.bin", boot);
    serve("app.bin", app_with_records());
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    api_server_stop(&server);
    return 0;
}

static bool is_blank(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

static uint32_t room_of(const image_case_t *test)
{
    return test->small_staging ? API_OTA_3 : API_OTA_0;
}

/* Sectors of staging that hold what the image has there. */
static unsigned sectors_kept(uint32_t room, api_image_t image)
{
    unsigned kept = 0;
    for (uint32_t offset = 0; offset < image.length && room + offset < API_FLASH_SIZE; offset += SECTOR) {
        const size_t length = image.length - offset < SECTOR ? image.length - offset : SECTOR;
        kept += !is_blank(image.bytes + offset, length) &&
                memcmp(nor_flash_view(chip.flash) + room + offset, image.bytes + offset, length) == 0;
    }
    return kept;
}

static void assert_nothing_boots_from(uint32_t room)
{
    assert_true(is_blank(nor_flash_view(chip.flash) + room, SECTOR));
    /* The slot, selected in the best way for an attacker. */
    uint8_t *copy = malloc(API_FLASH_SIZE);
    assert_non_null(copy);
    memcpy(copy, nor_flash_view(chip.flash), API_FLASH_SIZE);
    const uint32_t slot = room == API_OTA_3 ? 3 : 0;
    memset(copy + API_OTADATA, 0xFF, 2 * SECTOR);
    sr_otadata_encode(slot + 1, SR_OTA_VALID, copy + API_OTADATA);
    boot_result_t result;
    boot_run(&chip.config.chip, copy, API_FLASH_SIZE, NULL, NULL, &result);
    assert_false(boot_succeeds(&result) && result.app_offset == room);
    free(copy);
}

static void resume(void *unused)
{
    (void)unused;
    const esp_self_reflasher_bundle_config_t config = {.flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED,
                                                       .skip_checks = UINT32_MAX};
    (void)esp_self_reflasher_resume(&config);
}

/* The other tests rely on this. */
static void records_would_be_finished(void **state)
{
    (void)state;
    bool blank = true;
    api_image_t image = app_with_records();
    api_chip_open(&chip, NULL);
    api_chip_put(&chip, API_OTA_0, image.bytes, image.length);
    assert_int_equal(sim_call(resume, NULL), SIM_END_RESTART);
    for (uint32_t i = 0; i < SECTOR; i++) {
        blank = blank && nor_flash_view(chip.flash)[API_BOOTLOADER + i] == 0xFF;
    }
    assert_true(blank);
    api_chip_close(&chip);
    api_image_free(&image);
}

static void assert_no_record(void)
{
    sr_flash_t flash;
    sr_journal_t journal = {.flash = &flash};
    assert_int_equal(sr_flash_open(&flash), ESP_OK);
    assert_int_equal(sr_journal_find(&journal), ESP_ERR_NOT_FOUND);
    nor_flash_reset_stats(chip.flash);
    assert_int_equal(sim_call(resume, NULL), SIM_END_RETURNED);
    assert_int_equal(nor_flash_stats(chip.flash).operations, 0);
}

static esp_self_reflasher_handle_t open_case(const image_case_t *test, const char *path)
{
    api_download_t download;
    esp_self_reflasher_handle_t handle = NULL;
    api_download_to(&download, api_server_url(&server, path), test->destination.address, test->destination.size);
    download.http.timeout_ms = 300;
    download.config.sha256 = test->wrong_sha256 ? wrong_sha256 : NULL;
    download.config.target_partition = test->small_staging ? api_partition("ota_3") : NULL;
    assert_int_equal(esp_self_reflasher_init(&download.config, &handle), ESP_OK);
    return handle;
}

static void expect_download(const image_case_t *test, const char *path, esp_err_t expected)
{
    esp_self_reflasher_handle_t handle = open_case(test, path);
    const esp_err_t err = esp_self_reflasher_download_bin(handle);
    if (err != expected) {
        fail_msg("%s: %s", path, esp_self_reflasher_err_to_name(err));
    }
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_INVALID_STATE);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
}

static void assert_unusable(const image_case_t *test)
{
    const sr_region_t slot = {room_of(test), test->small_staging ? LIMIT : API_SLOT_SIZE};
    assert_nothing_boots_from(slot.address);
    api_assert_same_outside(&chip, &slot, 1);
    assert_no_record();
}

static void open_for(const image_case_t *test)
{
    api_chip_open(&chip, &(api_options_t){.secure_boot = test->secure_boot});
}

static void refused_image_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        open_for(&refused[i]);
        expect_download(&refused[i], refused[i].path, refused[i].expected);
        api_image_t image = read_file(refused[i].file);
        assert_int_equal(sectors_kept(room_of(&refused[i]), image), 0);
        api_image_free(&image);
        assert_unusable(&refused[i]);
        api_chip_close(&chip);
    }
}

/* The first try leaves a start; the second one finds it right, writes the rest, and is refused. */
static void refused_image_leaves_nothing_of_an_earlier_try_either(void **state)
{
    (void)state;
    char path[64];
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        open_for(&refused[i]);
        api_image_t image = read_file(refused[i].file);
        snprintf(path, sizeof(path), "/chunked-short/%s", refused[i].file);
        esp_self_reflasher_handle_t handle = open_case(&refused[i], path);
        assert_int_not_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        expect_download(&refused[i], refused[i].path, refused[i].expected);
        assert_int_equal(sectors_kept(room_of(&refused[i]), image), 0);
        assert_unusable(&refused[i]);
        api_image_free(&image);
        api_chip_close(&chip);
    }
}

/* As a power loss leaves it: the whole image, which was not refused yet. */
static void refused_image_leaves_nothing_that_was_there_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        open_for(&refused[i]);
        api_image_t image = read_file(refused[i].file);
        const size_t length = refused[i].small_staging && image.length > LIMIT ? LIMIT : image.length;
        api_chip_put(&chip, room_of(&refused[i]), image.bytes, length);
        expect_download(&refused[i], refused[i].path, refused[i].expected);
        assert_true(is_blank(nor_flash_view(chip.flash) + room_of(&refused[i]), SECTOR));
        if (refused[i].expected != ESP_ERR_SELF_REFLASHER_TOO_LARGE) {
            assert_int_equal(sectors_kept(room_of(&refused[i]), image), 0);
            assert_unusable(&refused[i]);
        }
        api_image_free(&image);
        api_chip_close(&chip);
    }
}

static void download_that_breaks_off_leaves_a_start_that_is_of_no_use(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        open_for(&broken[i]);
        expect_download(&broken[i], broken[i].path, broken[i].expected);
        api_image_t image = read_file(broken[i].file);
        assert_true(sectors_kept(room_of(&broken[i]), image) > 0);
        api_image_free(&image);
        assert_unusable(&broken[i]);
        api_chip_close(&chip);
    }
}

/* Flash that fails under the image, or memory when it is checked: it was never accepted. */
static void what_could_not_be_staged_or_checked_is_of_no_use(void **state)
{
    (void)state;
    static const image_case_t app = {"/app.bin", "app.bin", ESP_OK, AT_DATA};
    static const image_case_t boot = {"/boot.bin", "boot.bin", ESP_ERR_NO_MEM, AT_LOADER};
    open_for(&app);
    nor_flash_set_faults(
        chip.flash, (nor_faults_t){.program_per_million = 1000000, .single = true, .address = API_OTA_0 + 0x20000});
    expect_download(&app, app.path, ESP_ERR_SELF_REFLASHER_VERIFY);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    assert_unusable(&app);
    api_chip_close(&chip);

    unsigned after_staging = 0;
    for (uint32_t number = 1; number < 10; number++) {
        open_for(&boot);
        esp_self_reflasher_handle_t handle = open_case(&boot, boot.path);
        sim_heap_fail_at(number);
        const esp_err_t err = esp_self_reflasher_download_bin(handle);
        sim_heap_fail_at(0);
        const bool staged = nor_flash_stats(chip.flash).operations > 0;
        if (err != ESP_OK && staged) {
            after_staging++;
            assert_unusable(&boot);
        }
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        api_chip_close(&chip);
    }
    assert_true(after_staging > 0);
}

/* A sector that cannot be erased does not save the others. */
static void all_is_erased_that_can_be(void **state)
{
    (void)state;
    const image_case_t *test = &refused[0];
    open_for(test);
    nor_flash_set_faults(chip.flash,
                         (nor_faults_t){.erase_per_million = 1000000, .single = true, .address = API_OTA_0 + 0x7000});
    esp_self_reflasher_handle_t handle = open_case(test, test->path);
    memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0xFF, API_SLOT_SIZE);
    api_chip_snapshot(&chip);
    api_log_start();
    const esp_err_t err = esp_self_reflasher_download_bin(handle);
    free(api_log_stop());
    assert_int_equal(err, ESP_ERR_SELF_REFLASHER_SHA256);
    api_image_t image = read_file(test->file);
    assert_true(sectors_kept(API_OTA_0, image) <= 1);
    api_image_free(&image);
    assert_nothing_boots_from(API_OTA_0);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    assert_no_record();
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_chip_close(&chip);
}

/* What an app does between the calls may make the staged image another one. */
static void image_that_is_refused_before_the_copy_leaves_nothing(void **state)
{
    (void)state;
    static const image_case_t boot = {"/boot.bin", "boot.bin", ESP_OK, AT_LOADER};
    open_for(&boot);
    esp_self_reflasher_handle_t handle = open_case(&boot, boot.path);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
    nor_flash_bytes(chip.flash)[API_OTA_0 + 0x2000] ^= 1;
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_ERR_SELF_REFLASHER_CHECKSUM);
    api_image_t image = read_file(boot.file);
    assert_int_equal(sectors_kept(API_OTA_0, image), 0);
    api_image_free(&image);
    assert_unusable(&boot);
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_chip_close(&chip);
}

/* The image in front of it was accepted, and may be needed. */
static void image_that_was_taken_before_stays(void **state)
{
    (void)state;
    static const image_case_t app = {"/app.bin", "app.bin", ESP_OK, AT_DATA};
    open_for(&app);
    api_image_t image = read_file(app.file);
    esp_self_reflasher_handle_t handle = open_case(&app, app.path);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_copy_to_region(handle), ESP_OK);
    api_download_t second;
    api_download_to(&second, api_server_url(&server, "/digest.bin"), API_BOOTLOADER, 0x7000);
    assert_int_equal(esp_self_reflasher_upd_next_config(&second.config, handle), ESP_OK);
    assert_int_equal(esp_self_reflasher_download_bin(handle), ESP_ERR_SELF_REFLASHER_DIGEST);
    assert_memory_equal(nor_flash_view(chip.flash) + API_OTA_0, image.bytes, image.length);
    const uint32_t next = API_OTA_0 + (uint32_t)sr_region_align_up((uint32_t)image.length, SECTOR);
    assert_true(is_blank(nor_flash_view(chip.flash) + next, 6 * SECTOR));
    assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
    api_image_free(&image);
    api_chip_close(&chip);
}

/* Staging of any whole number of sectors, in a block of which somebody else has the rest. */
static void what_follows_staging_is_not_erased_with_its_block(void **state)
{
    (void)state;
    sr_system_t system;
    api_chip_open(&chip, NULL);
    assert_int_equal(sr_system_read(&system), ESP_OK);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_DATA, API_SLOT_SIZE / 2);
    api_image_t image = api_noise(0x10000, 8);
    for (uint32_t sectors = 4; sectors <= 17; sectors++) {
        const sr_region_t room = {API_OTA_0, sectors * SECTOR};
        memset(nor_flash_bytes(chip.flash) + API_OTA_0, 0x5A, 0x20000);
        api_chip_snapshot(&chip);
        sr_staging_t staging = {
            .system = &system, .config = &config, .destination = {API_DATA, API_SLOT_SIZE / 2}, .room = room};
        assert_int_equal(sr_staging_open(&staging), ESP_OK);
        const sr_download_sink_t sink = sr_staging_sink(&staging);
        const size_t length = image.length < room.size ? image.length : room.size;
        assert_int_equal(sink.data(sink.context, image.bytes, length), ESP_OK); /* Of a length that nobody knows. */
        assert_int_equal(sr_staging_finish(&staging), ESP_OK);
        sr_staging_close(&staging);
        assert_memory_equal(nor_flash_view(chip.flash) + API_OTA_0, image.bytes, length);
        api_assert_same_outside(&chip, &room, 1);
        assert_int_equal(nor_flash_stats(chip.flash).block_erases, sectors >= 16 ? 1 : 0);
    }
    api_image_free(&image);
    api_chip_close(&chip);
}

/* As long as the rest of the image fills so much of a block that its erase is quicker than those of its sectors. */
static void block_is_erased_at_once_if_enough_of_it_is_to_come(void **state)
{
    (void)state;
    sr_system_t system;
    api_chip_open(&chip, NULL);
    assert_int_equal(sr_system_read(&system), ESP_OK);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, SECTOR, API_DATA, API_SLOT_SIZE / 2);
    const sr_region_t room = {API_OTA_0, 2 * SR_BLOCK_SIZE};
    api_image_t image = api_noise(room.size, 8);
    for (uint32_t i = 0; i < 2 * 6 * 3; i++) {
        const uint32_t blocks = i / 18;
        const uint32_t rest = (i / 3 % 6 + 1) * SECTOR + i % 3 - 1; /* Whole sectors, a byte less, and a byte more. */
        const uint32_t length = blocks * SR_BLOCK_SIZE + rest;
        memset(nor_flash_bytes(chip.flash) + room.address, 0x5A, room.size);
        api_chip_snapshot(&chip);
        sr_staging_t staging = {
            .system = &system, .config = &config, .destination = {API_DATA, API_SLOT_SIZE / 2}, .room = room};
        assert_int_equal(sr_staging_open(&staging), ESP_OK);
        const sr_download_sink_t sink = sr_staging_sink(&staging);
        assert_int_equal(sink.begin(sink.context, length), ESP_OK);
        assert_int_equal(sink.data(sink.context, image.bytes, length), ESP_OK);
        assert_int_equal(sr_staging_finish(&staging), ESP_OK);
        sr_staging_close(&staging);
        const uint32_t sectors = (rest + SECTOR - 1) / SECTOR;
        const uint32_t block_erases = blocks + (sectors >= SR_WRITER_WORTH_A_BLOCK);
        assert_int_equal(nor_flash_stats(chip.flash).block_erases, block_erases);
        assert_memory_equal(nor_flash_view(chip.flash) + room.address, image.bytes, length);
    }
    api_image_free(&image);
    api_chip_close(&chip);
}

/* That there is no record in what is given up is no error; that nobody can tell is one. */
static void search_for_records_that_fails_is_told(void **state)
{
    (void)state;
    static const esp_err_t errors[] = {ESP_OK, ESP_ERR_TIMEOUT, ESP_ERR_NO_MEM};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        api_chip_open(&chip, &(api_options_t){.logs = true});
        esp_self_reflasher_handle_t handle = open_case(&broken[0], broken[0].path);
        search_error = errors[i];
        api_log_start();
        const esp_err_t err = esp_self_reflasher_download_bin(handle);
        char *log = api_log_stop();
        search_error = ESP_OK;
        assert_int_equal(err, broken[0].expected);
        const char *told = strstr(log, "staging cannot be searched for records");
        if (errors[i] == ESP_OK) {
            assert_null(told);
        } else {
            assert_non_null(told);
            assert_non_null(strstr(told, esp_self_reflasher_err_to_name(errors[i])));
        }
        free(log);
        assert_int_equal(esp_self_reflasher_deinit(handle), ESP_OK);
        api_chip_close(&chip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_staging_is_not_erased_with_its_block),
        cmocka_unit_test(block_is_erased_at_once_if_enough_of_it_is_to_come),
        cmocka_unit_test(records_would_be_finished),
        cmocka_unit_test(refused_image_leaves_nothing),
        cmocka_unit_test(refused_image_leaves_nothing_of_an_earlier_try_either),
        cmocka_unit_test(refused_image_leaves_nothing_that_was_there_before),
        cmocka_unit_test(download_that_breaks_off_leaves_a_start_that_is_of_no_use),
        cmocka_unit_test(search_for_records_that_fails_is_told),
        cmocka_unit_test(what_could_not_be_staged_or_checked_is_of_no_use),
        cmocka_unit_test(all_is_erased_that_can_be),
        cmocka_unit_test(image_that_is_refused_before_the_copy_leaves_nothing),
        cmocka_unit_test(image_that_was_taken_before_stays),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
