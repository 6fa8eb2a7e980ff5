// SPDX-License-Identifier: Apache-2.0
/** @file
 * Copies inside the flash: overlaps of every kind against memmove(), the order of the boot path, the running app
 * overwritten in place, flash that fails, flash encryption, and memory that runs out.
 */
#include "test/support/api_support.h"
#include "test/support/support_cipher.h"

#include "esp_flash.h"
#include "esp_task_wdt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR SR_SECTOR_SIZE
#define BLOCK  SR_BLOCK_SIZE

static api_chip_t chip;

static int open_chip(void **state)
{
    (void)state;
    api_chip_open(&chip, NULL);
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    api_chip_close(&chip);
    return 0;
}

static void reopen(api_options_t options)
{
    api_chip_close(&chip);
    api_chip_open(&chip, &options);
}

static esp_err_t copy_region(uint32_t source, size_t length, uint32_t address, size_t size)
{
    const esp_self_reflasher_config_t config = api_embedded(source, length, address, size);
    return esp_self_reflasher_directly_copy_to_region(&config);
}

/* Flash as a caller sees it: what the chip encrypts is plain, by the layout of api_support.h. */
static bool is_encrypted(uint32_t sector)
{
    return chip.config.chip.cipher != NULL && (sector < API_NVS || (sector >= API_OTADATA && sector < 0xF000) ||
                                               (sector >= API_OTA_0 && sector < API_DATA));
}

static uint8_t *as_seen(const uint8_t *raw, uint32_t address, size_t length)
{
    uint8_t *seen = malloc(length);
    assert_non_null(seen);
    memcpy(seen, raw + address, length);
    for (uint32_t at = 0; at < length;) {
        const uint32_t room = SECTOR - (address + at) % SECTOR;
        const uint32_t piece = length - at < room ? (uint32_t)length - at : room;
        if (is_encrypted((address + at) & ~(SECTOR - 1))) {
            flash_cipher_read(support_cipher(), raw, address + at, seen + at, piece);
        }
        at += piece;
    }
    return seen;
}

static void assert_erased(const uint8_t *bytes, uint32_t address, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0xFF) {
            fail_msg("byte at 0x%zx past the image is 0x%02x, should be blank", address + i, bytes[i]);
        }
    }
}

/* The destination holds what memmove() would have put there, and is erased past it; nothing else changed. */
static void assert_copied(uint32_t source, size_t length, uint32_t address, size_t size)
{
    const sr_region_t region = {address, (uint32_t)size};
    uint8_t *before = as_seen(chip.before, source, length);
    uint8_t *after = as_seen(nor_flash_view(chip.flash), address, size);
    for (size_t i = 0; memcmp(before, after, length) != 0; i++) {
        if (after[i] != before[i]) {
            fail_msg("0x%zx bytes from 0x%x to 0x%x: byte at 0x%zx is 0x%02x, should be 0x%02x", length, source,
                     address, address + i, after[i], before[i]);
        }
    }
    /* In encrypted flash the rest of the last encryption unit is 0xFF in plaintext; erased cells follow. */
    const size_t units = is_encrypted(address) ? (size_t)sr_region_align_up((uint32_t)length, 32) : length;
    assert_erased(after + length, address + (uint32_t)length, units - length);
    assert_erased(nor_flash_view(chip.flash) + address + units, address + (uint32_t)units, size - units);
    free(before);
    free(after);
    api_assert_same_outside(&chip, &region, 1);
    assert_int_equal(nor_flash_stats(chip.flash).bad_programs, 0);
    api_assert_no_leak(0);
}

static void check_copy(uint32_t source, size_t length, uint32_t address, size_t size)
{
    api_chip_snapshot(&chip);
    const esp_err_t err = copy_region(source, length, address, size);
    if (err != ESP_OK) {
        fail_msg("0x%zx bytes from 0x%x to 0x%x: %s", length, source, address, esp_self_reflasher_err_to_name(err));
    }
    assert_copied(source, length, address, size);
}

/* Overlaps. */

typedef struct copy_case {
    uint32_t source, length, address, size;
} copy_case_t;

/* Area for random copies: [low, high). */
static copy_case_t random_copy(uint64_t *random, uint32_t low, uint32_t high)
{
    static const uint32_t distances[] = {1, 32, SECTOR, BLOCK, 4 * BLOCK, 8 * BLOCK};
    for (;;) {
        copy_case_t copy;
        const uint32_t room = (high - low) / SECTOR;
        const uint32_t most = distances[api_random(random) % (sizeof(distances) / sizeof(distances[0]))] * 2;
        const uint32_t distance = (uint32_t)(api_random(random) % most);
        copy.address = low + (uint32_t)(api_random(random) % room) * SECTOR;
        copy.source = api_random(random) % 2 == 0 ? copy.address + distance : copy.address - distance;
        copy.length = 1 + (uint32_t)(api_random(random) % (api_random(random) % 2 == 0 ? 8 * BLOCK : 3 * SECTOR));
        if (api_random(random) % 4 == 0) {
            copy.source &= ~(SECTOR - 1);
        }
        copy.size =
            (uint32_t)sr_region_align_up(copy.length, SECTOR) + (uint32_t)(api_random(random) % 4) / 3 * 5 * SECTOR;
        const sr_region_t area = {low, high - low};
        if (sr_region_contains(area, (sr_region_t){copy.address, copy.size}) &&
            sr_region_contains(area, (sr_region_t){copy.source, copy.length})) {
            return copy;
        }
    }
}

/* Other bytes for each seed: a part of the same noise that starts elsewhere. */
static void fill(uint32_t low, uint32_t high, uint32_t seed)
{
    static api_image_t noise;
    const uint32_t start = seed * 2654435761u % BLOCK;
    if (noise.bytes == NULL) {
        noise = api_noise(API_FLASH_SIZE + BLOCK, 1);
    }
    api_chip_put(&chip, low, noise.bytes + start, high - low);
}

static void random_copies(uint32_t count, uint64_t seed, uint32_t low, uint32_t high)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t random = seed + i;
        const copy_case_t copy = random_copy(&random, low, high);
        if (i % 4 == 0) {
            fill(low, high, (uint32_t)api_random(&random));
        }
        check_copy(copy.source, copy.length, copy.address, copy.size);
    }
}

static void overlapping_copies_are_as_memmove(void **state)
{
    (void)state;
    random_copies(400, 1000, API_OTA_0, API_OTA_2);
}

static void overlaps_at_the_edges_of_block_erases(void **state)
{
    (void)state;
    static const int32_t distances[] = {1,          31,        255,   256,       SECTOR - 1,     SECTOR,
                                        SECTOR + 1, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + SECTOR, 2 * BLOCK};
    static const uint32_t lengths[] = {1, SECTOR, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 5 * BLOCK};
    for (size_t d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
        for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
            for (int sign = -1; sign <= 1; sign += 2) {
                /* The destination starts on a block boundary, and in the middle of a block. */
                for (uint32_t shift = 0; shift <= 7 * SECTOR; shift += 7 * SECTOR) {
                    const uint32_t address = API_OTA_1 + shift;
                    const uint32_t source = (uint32_t)((int32_t)address + sign * distances[d]);
                    fill(API_OTA_1 - 4 * BLOCK, API_OTA_1 + 9 * BLOCK, (uint32_t)(d * 100 + l));
                    check_copy(source, lengths[l], address, (size_t)sr_region_align_up(lengths[l], SECTOR));
                }
            }
        }
    }
}

static void copy_to_itself_erases_only_what_is_past_the_image(void **state)
{
    (void)state;
    fill(API_OTA_0, API_OTA_2, 5);
    check_copy(API_OTA_1, 0x12345, API_OTA_1, 0x20000);
    const nor_stats_t stats = nor_flash_stats(chip.flash);
    /* The sector of the last byte is written again, those after it are erased, none in front is touched. */
    assert_int_equal(nor_flash_wear(chip.flash, API_OTA_1 / SECTOR), 0);
    assert_int_equal(nor_flash_wear(chip.flash, API_OTA_1 / SECTOR + 0x11), 0);
    assert_true(stats.page_programs <= SECTOR / SR_PAGE_SIZE);
    api_chip_snapshot(&chip);
    assert_int_equal(copy_region(API_OTA_1, 0x12345, API_OTA_1, 0x20000), ESP_OK);
    api_assert_untouched(&chip);
}

/* What is right is left alone, what is blank is not programmed, what is aligned is erased as a block. */

static void second_copy_changes_nothing(void **state)
{
    (void)state;
    fill(API_OTA_0, API_OTA_1, 6);
    check_copy(API_OTA_0 + 77, 0x54321, API_OTA_1, 0x80000);
    assert_true(nor_flash_stats(chip.flash).operations > 0);
    api_chip_snapshot(&chip);
    assert_int_equal(copy_region(API_OTA_0 + 77, 0x54321, API_OTA_1, 0x80000), ESP_OK);
    api_assert_untouched(&chip);
}

static void one_wrong_sector_is_all_that_is_written(void **state)
{
    (void)state;
    fill(API_OTA_0, API_OTA_1, 7);
    check_copy(API_OTA_0, 0x40000, API_OTA_1, 0x40000);
    api_chip_snapshot(&chip);
    nor_flash_bytes(chip.flash)[API_OTA_1 + 0x21234] ^= 0x10;
    memcpy(chip.before, nor_flash_view(chip.flash), API_FLASH_SIZE);
    assert_int_equal(copy_region(API_OTA_0, 0x40000, API_OTA_1, 0x40000), ESP_OK);
    const sr_region_t wrong = {API_OTA_1 + 0x21000, SECTOR};
    const nor_stats_t stats = nor_flash_stats(chip.flash);
    assert_int_equal(stats.sector_erases, 1);
    assert_int_equal(stats.block_erases, 0);
    assert_true(stats.page_programs <= SECTOR / SR_PAGE_SIZE);
    api_assert_same_outside(&chip, &wrong, 1);
    assert_memory_equal(nor_flash_view(chip.flash) + API_OTA_1, nor_flash_view(chip.flash) + API_OTA_0, 0x40000);
}

static void blocks_are_erased_at_once_and_blank_pages_not_programmed(void **state)
{
    (void)state;
    fill(API_OTA_0, API_OTA_2, 8);
    uint32_t pages = 0;
    for (uint32_t page = API_OTA_0; page < API_OTA_0 + 0x40000; page += SR_PAGE_SIZE) {
        uint32_t used = 0;
        for (uint32_t i = 0; i < SR_PAGE_SIZE; i++) {
            used += nor_flash_view(chip.flash)[page + i] != 0xFF;
        }
        pages += used > 0;
    }
    assert_true(pages < 0x40000 / SR_PAGE_SIZE);
    /* One sector in front of four blocks, and one after them. */
    check_copy(API_OTA_0, 0x40000, API_OTA_1 - SECTOR, 0x42000);
    const nor_stats_t stats = nor_flash_stats(chip.flash);
    assert_int_equal(stats.block_erases, 4);
    assert_int_equal(stats.sector_erases, 2);
    assert_int_equal(stats.page_programs, pages);
}

static void blank_flash_is_not_erased(void **state)
{
    (void)state;
    memset(nor_flash_bytes(chip.flash) + API_OTA_1, 0xFF, API_SLOT_SIZE);
    check_copy(API_OTA_0, 0x23456, API_OTA_1, 0x40000);
    assert_int_equal(nor_flash_stats(chip.flash).sector_erases, 0);
    assert_int_equal(nor_flash_stats(chip.flash).block_erases, 0);
}

static void source_may_be_larger_than_the_image(void **state)
{
    (void)state;
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0 + 1, API_SLOT_SIZE, API_OTA_1, 2 * SECTOR);
    config.src_bin_size = SECTOR + 1;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    assert_copied(API_OTA_0 + 1, SECTOR + 1, API_OTA_1, 2 * SECTOR);
}

typedef struct progress {
    size_t first[3], done[3], total[3];
    unsigned calls[3];
    bool went_back, went_over;
    uint32_t operations; /**< At the last call. */
} progress_t;

static void on_progress(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done, size_t total)
{
    progress_t *progress = user_ctx;
    progress->went_back = progress->went_back || done < progress->done[phase];
    progress->went_over = progress->went_over || done > total;
    progress->first[phase] = progress->calls[phase] == 0 ? done : progress->first[phase];
    progress->done[phase] = done;
    progress->total[phase] = total;
    progress->calls[phase]++;
    progress->operations = nor_flash_stats(chip.flash).operations;
}

static void progress_grows_to_the_total(void **state)
{
    (void)state;
    progress_t progress = {0};
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 0x23456, API_OTA_1, 0x40000);
    config.progress_cb = on_progress;
    config.user_ctx = &progress;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    assert_false(progress.went_back);
    assert_false(progress.went_over);
    assert_int_equal(progress.calls[ESP_SELF_REFLASHER_PHASE_DOWNLOAD], 0);
    assert_int_equal(progress.first[ESP_SELF_REFLASHER_PHASE_CHECK], 0);
    assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_CHECK], 0x23456);
    assert_int_equal(progress.total[ESP_SELF_REFLASHER_PHASE_CHECK], 0x23456);
    assert_true(progress.calls[ESP_SELF_REFLASHER_PHASE_COPY] >= 4);
    assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_COPY], 0x40000);
    assert_int_equal(progress.total[ESP_SELF_REFLASHER_PHASE_COPY], 0x40000);
}

/* Boot path. */

#define MAX_OPERATIONS 8192u

typedef struct record {
    nor_op_t operations[MAX_OPERATIONS];
    uint32_t count;
} record_t;

static void on_operation(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    (void)flash;
    record_t *record = context;
    if (record->count < MAX_OPERATIONS) {
        record->operations[record->count++] = *op;
    }
}

static const sr_region_t boot_path[] = {
    {API_BOOTLOADER, 0x6000}, /* A dummy image of 23,600 bytes. */
    {API_TABLE, SECTOR},
    {API_OTADATA, 2 * SECTOR},
};

/* Which part of the boot path an operation is in; -1: none. */
static int part_of(const nor_op_t *op)
{
    for (int i = 0; i < 3; i++) {
        if (sr_region_overlaps(boot_path[i], (sr_region_t){op->address, op->length})) {
            return i;
        }
    }
    return -1;
}

/* First all that is not boot path; then bootloader, table, otadata, one after the other. Returns the number of the
 * first operation on the boot path. */
static uint32_t assert_boot_path_is_last(const record_t *record)
{
    int part = -1;
    uint32_t first = 0;
    assert_true(record->count > 0 && record->count < MAX_OPERATIONS);
    for (uint32_t i = 0; i < record->count; i++) {
        const int now = part_of(&record->operations[i]);
        if (now < part) {
            fail_msg("operation %u at 0x%x comes after those on part %d of the boot path", i,
                     record->operations[i].address, part);
        }
        first = part < 0 && now >= 0 ? record->operations[i].number : first;
        part = now;
    }
    assert_int_equal(part, 2);
    return first;
}

static void assert_first_page_goes_first_and_comes_last(const record_t *record)
{
    const nor_op_t *first_erase = NULL;
    const nor_op_t *last_program = NULL;
    for (uint32_t i = 0; i < record->count; i++) {
        const nor_op_t *op = &record->operations[i];
        if (part_of(op) != 0) {
            continue;
        }
        if (op->kind == NOR_OP_PROGRAM) {
            last_program = op;
        } else {
            assert_null(last_program);
            first_erase = first_erase != NULL ? first_erase : op;
        }
    }
    assert_non_null(first_erase);
    assert_non_null(last_program);
    assert_int_equal(first_erase->kind, NOR_OP_ERASE_SECTOR);
    assert_int_equal(first_erase->address, API_BOOTLOADER);
    assert_int_equal(last_program->address, API_BOOTLOADER);
}

/* A bootloader, and after it noise for all that follows. */
static api_image_t system_image(size_t length)
{
    api_image_t image = api_noise(length, 11);
    api_image_t boot = api_mcuboot();
    memcpy(image.bytes, boot.bytes, boot.length);
    api_image_free(&boot);
    return image;
}

static void boot_path_comes_last_and_bootloader_magic_very_last(void **state)
{
    (void)state;
    static record_t record;
    progress_t progress = {0};
    api_image_t image = system_image(0x50000);
    api_chip_put(&chip, API_OTA_1 + 0x45, image.bytes, image.length);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_1 + 0x45, image.length, API_BOOTLOADER, 0x5F000);
    config.progress_cb = on_progress;
    config.user_ctx = &progress;
    record.count = 0;
    nor_flash_set_observer(chip.flash, on_operation, &record);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    nor_flash_set_observer(chip.flash, NULL, NULL);
    assert_copied(API_OTA_1 + 0x45, image.length, API_BOOTLOADER, 0x5F000);
    const uint32_t first = assert_boot_path_is_last(&record);
    assert_first_page_goes_first_and_comes_last(&record);
    /* No callback, which may take its time, while the boot path is not whole. */
    assert_true(progress.operations <= first || progress.operations == record.count);
    assert_int_equal(progress.done[ESP_SELF_REFLASHER_PHASE_COPY], 0x5F000);
    api_image_free(&image);
}

/* The image covers the block of the boot path as a whole, and wants all of it to change: what is erased early is gone
 * until the very end. */
static void block_of_the_boot_path_is_not_erased_with_the_rest(void **state)
{
    (void)state;
    static record_t record;
    api_image_t system = system_image(0x4F000);
    api_image_t image = api_noise(0x50000, 12);
    memcpy(image.bytes + API_BOOTLOADER, system.bytes, system.length);
    api_chip_put(&chip, API_OTA_1, image.bytes, image.length);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_1, image.length, 0, image.length);
    record.count = 0;
    nor_flash_set_observer(chip.flash, on_operation, &record);
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_OK);
    nor_flash_set_observer(chip.flash, NULL, NULL);
    assert_copied(API_OTA_1, image.length, 0, image.length);
    (void)assert_boot_path_is_last(&record);
    for (uint32_t i = 0; i < record.count; i++) {
        assert_true(record.operations[i].kind != NOR_OP_ERASE_BLOCK || record.operations[i].address >= BLOCK);
    }
    api_image_free(&system);
    api_image_free(&image);
}

/* The image lies where part of the boot path was: it has to be read before that is written. */
static void boot_path_may_be_part_of_the_source(void **state)
{
    (void)state;
    api_image_t boot = api_mcuboot();
    api_chip_put(&chip, API_NVS + 0x10, boot.bytes, boot.length); /* Up to 0xEC40: over otadata. */
    check_copy(API_NVS + 0x10, boot.length, API_BOOTLOADER, 0xF000);
    api_image_free(&boot);
}

/* In place. */

typedef struct in_place {
    esp_self_reflasher_config_t config;
    esp_err_t err;
    bool returned;
} in_place_t;

static void copy_in_child(void *context)
{
    in_place_t *in_place = context;
    in_place->err = esp_self_reflasher_directly_copy_to_region(&in_place->config);
    in_place->returned = true;
}

/* A chip on which the running app cannot move out of the way. */
static void reopen_lone_slot(uint32_t running_app)
{
    reopen((api_options_t){.running_app = running_app, .lone_slot = true});
}

static void check_in_place(uint32_t source, size_t length, uint32_t address, size_t size)
{
    in_place_t *in_place = api_shared(sizeof(*in_place));
    in_place->config = api_embedded(source, length, address, size);
    api_chip_snapshot(&chip);
    const sim_end_t end = sim_call(copy_in_child, in_place);
    if (in_place->returned) {
        fail_msg("returned with %s", esp_self_reflasher_err_to_name(in_place->err));
    }
    assert_int_equal(end, SIM_END_RESTART);
    api_shared_free(in_place, sizeof(*in_place));
    /* The heap of the child process is gone with it. */
    sim_counters()->heap_now = 0;
    assert_copied(source, length, address, size);
}

static void running_app_is_overwritten_in_place(void **state)
{
    (void)state;
    reopen_lone_slot(API_OTA_2);
    api_image_t noise = api_noise(0x60000, 21);
    api_chip_put(&chip, API_OTA_0 + 3, noise.bytes, noise.length);
    check_in_place(API_OTA_0 + 3, noise.length, API_OTA_2, 0x80000);
    api_image_free(&noise);
}

static void copy_in_watched_child(void *context)
{
    (void)esp_task_wdt_add(NULL);
    copy_in_child(context);
}

/* Whoever subscribed to the watchdog: the function that feeds it lies in the app that is being overwritten. */
static void watchdog_is_not_fed_while_the_app_is_overwritten(void **state)
{
    (void)state;
    reopen_lone_slot(API_OTA_2);
    in_place_t *in_place = api_shared(sizeof(*in_place));
    in_place->config = api_embedded(API_OTA_0, 0x10000, API_OTA_2, 0x10000);
    api_chip_snapshot(&chip);
    assert_int_equal(sim_call(copy_in_watched_child, in_place), SIM_END_RESTART);
    api_shared_free(in_place, sizeof(*in_place));
    sim_counters()->heap_now = 0;
    assert_copied(API_OTA_0, 0x10000, API_OTA_2, 0x10000);
}

static void only_the_end_of_the_running_app_is_overwritten_in_place(void **state)
{
    (void)state;
    reopen_lone_slot(API_OTA_2);
    api_image_t app = api_app(0x30000);
    const uint32_t last = API_OTA_2 + ((uint32_t)app.length - 1) / SECTOR * SECTOR;
    check_in_place(API_OTA_0, SECTOR, last, SECTOR);
    api_image_free(&app);
}

static void past_the_end_of_the_running_app_the_copy_returns(void **state)
{
    (void)state;
    api_image_t app = api_app(0x30000);
    const uint32_t after = API_OTA_2 + (uint32_t)sr_region_align_up((uint32_t)app.length, SECTOR);
    check_copy(API_OTA_0, SECTOR, after, SECTOR);
    api_image_free(&app);
}

/* Sectors that are right already are not in the way. */
static bool changes(const copy_case_t *copy, sr_region_t app)
{
    const uint8_t *flash = nor_flash_view(chip.flash);
    for (uint32_t at = copy->address; at < copy->address + copy->size; at++) {
        const uint32_t offset = at - copy->address;
        const uint8_t wanted = offset < copy->length ? flash[copy->source + offset] : 0xFF;
        if (sr_region_overlaps(app, (sr_region_t){at, 1}) && flash[at] != wanted) {
            return true;
        }
    }
    return false;
}

static void what_is_right_under_the_running_app_is_not_in_the_way(void **state)
{
    (void)state;
    reopen_lone_slot(API_OTA_1);
    check_copy(API_OTA_1, API_SLOT_SIZE, API_OTA_1, API_SLOT_SIZE);
    assert_int_equal(nor_flash_stats(chip.flash).operations, 0);
}

/* Source and destination inside the running app, in both directions. */
static void image_inside_the_running_app_is_copied_over_it(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t random = 7000 + i;
        reopen_lone_slot(API_OTA_1);
        const copy_case_t copy = random_copy(&random, API_OTA_0, API_OTA_2);
        api_image_t app = api_app(0x30000);
        const sr_region_t running = {API_OTA_1, (uint32_t)sr_region_align_up((uint32_t)app.length, SECTOR)};
        api_image_free(&app);
        if (changes(&copy, running)) {
            check_in_place(copy.source, copy.length, copy.address, copy.size);
        } else {
            check_copy(copy.source, copy.length, copy.address, copy.size);
        }
    }
}

static void in_place_copy_writes_the_boot_path_last(void **state)
{
    (void)state;
    record_t *record = api_shared(sizeof(*record));
    reopen_lone_slot(API_OTA_0);
    api_image_t image = system_image(0x50000);
    api_chip_put(&chip, API_OTA_1 + 0x45, image.bytes, image.length);
    nor_flash_set_observer(chip.flash, on_operation, record);
    check_in_place(API_OTA_1 + 0x45, image.length, API_BOOTLOADER, 0x5F000);
    nor_flash_set_observer(chip.flash, NULL, NULL);
    assert_boot_path_is_last(record);
    assert_first_page_goes_first_and_comes_last(record);
    api_image_free(&image);
    api_shared_free(record, sizeof(*record));
}

/* Flash that fails. */

static esp_err_t copy_with_log(const esp_self_reflasher_config_t *config, char **log)
{
    api_log_start();
    const esp_err_t err = esp_self_reflasher_directly_copy_to_region(config);
    *log = api_log_stop();
    return err;
}

static void failures_that_heal_are_retried(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 40; seed++) {
        fill(API_OTA_0, API_OTA_2, seed);
        nor_flash_set_faults(chip.flash, (nor_faults_t){.seed = seed,
                                                        .program_per_million = seed % 2 == 0 ? 300000 : 50000,
                                                        .erase_per_million = seed % 3 == 0 ? 0 : 100000,
                                                        .heal_after = 1 + seed % 3});
        check_copy(API_OTA_0 + seed, 0x23456, API_OTA_1 + seed % 16 * SECTOR, 0x30000);
    }
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
}

static void failures_that_stay_never_pass_for_success(void **state)
{
    (void)state;
    unsigned failed = 0;
    reopen((api_options_t){.logs = true});
    for (uint32_t seed = 0; seed < 60; seed++) {
        fill(API_OTA_0, API_OTA_2, seed);
        nor_flash_set_faults(chip.flash, (nor_faults_t){.seed = seed,
                                                        .program_per_million = seed % 2 == 0 ? 20000 : 0,
                                                        .erase_per_million = seed % 3 == 0 ? 0 : 20000});
        const sr_region_t to = {API_OTA_1 + seed % 16 * SECTOR, 0x30000};
        const esp_self_reflasher_config_t config = api_embedded(API_OTA_0 + seed, 0x23456, to.address, to.size);
        char *log;
        const esp_err_t err = copy_with_log(&config, &log);
        if (err == ESP_OK) {
            assert_copied(API_OTA_0 + seed, 0x23456, to.address, to.size);
        } else {
            assert_true(err == ESP_ERR_SELF_REFLASHER_VERIFY || err == ESP_ERR_TIMEOUT);
            api_assert_error_line(log, "sector 0x", NULL);
            api_assert_same_outside(&chip, &to, 1);
            failed++;
        }
        free(log);
        nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    }
    assert_true(failed > 10);
    assert_true(failed < 60);
}

static void expect_failure_at(const esp_self_reflasher_config_t *config, nor_faults_t faults, esp_err_t expected,
                              uint32_t named)
{
    char address[16];
    char *log;
    snprintf(address, sizeof(address), "0x%x", named);
    faults.single = true;
    nor_flash_set_faults(chip.flash, faults);
    const esp_err_t err = copy_with_log(config, &log);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    assert_int_equal(err, expected);
    api_assert_error_line(log, address, NULL);
    free(log);
    api_assert_no_leak(0);
}

static void error_names_the_sector_that_failed(void **state)
{
    (void)state;
    const uint32_t all = 1000000;
    reopen((api_options_t){.logs = true});
    fill(API_OTA_0, API_OTA_2, 1);
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 0x40000, API_OTA_1, 0x40000);
    expect_failure_at(&config, (nor_faults_t){.program_per_million = all, .address = API_OTA_1 + 0x23456},
                      ESP_ERR_SELF_REFLASHER_VERIFY, API_OTA_1 + 0x23000);
    fill(API_OTA_1, API_OTA_2, 4);
    expect_failure_at(&config, (nor_faults_t){.program_per_million = all, .address = API_OTA_1 + 0x3F000},
                      ESP_ERR_SELF_REFLASHER_VERIFY, API_OTA_1 + 0x3F000);
    /* The same call again, on flash that works again, makes it good. */
    char *log;
    assert_int_equal(copy_with_log(&config, &log), ESP_OK);
    free(log);
    assert_copied(API_OTA_0, 0x40000, API_OTA_1, 0x40000);

    fill(API_OTA_0, API_OTA_2, 2);
    config = api_embedded(API_OTA_0, 2 * SECTOR, API_OTA_1 + SECTOR, 2 * SECTOR);
    expect_failure_at(&config, (nor_faults_t){.erase_per_million = all, .address = API_OTA_1 + 2 * SECTOR + 5},
                      ESP_ERR_TIMEOUT, API_OTA_1 + 2 * SECTOR);
}

/* A chip that cannot erase blocks any more may still erase sectors; one that can do neither must not pass. */
static void failing_sector_of_a_block_erase_is_reported(void **state)
{
    (void)state;
    reopen((api_options_t){.logs = true});
    fill(API_OTA_0, API_OTA_2, 3);
    const esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 0x40000, API_OTA_1, 0x40000);
    char *log;
    nor_flash_set_faults(chip.flash,
                         (nor_faults_t){.erase_per_million = 1000000, .single = true, .address = API_OTA_1 + 0x15000});
    const esp_err_t err = copy_with_log(&config, &log);
    assert_int_equal(err, ESP_ERR_TIMEOUT);
    api_assert_error_line(log, "0x12", NULL);
    free(log);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
}

static void boot_path_is_retried_longer(void **state)
{
    (void)state;
    api_image_t boot = api_mcuboot();
    api_chip_put(&chip, API_OTA_0, boot.bytes, boot.length);
    nor_flash_set_faults(chip.flash, (nor_faults_t){.program_per_million = 1000000, .heal_after = 80});
    check_copy(API_OTA_0, boot.length, API_BOOTLOADER, 0x6000);
    nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    api_image_free(&boot);
}

static void in_place_copy_never_gives_up(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 8; seed++) {
        reopen_lone_slot(API_OTA_2);
        fill(API_OTA_0, API_OTA_1, seed);
        nor_flash_set_faults(
            chip.flash,
            (nor_faults_t){.seed = seed, .program_per_million = 100000, .erase_per_million = 100000, .heal_after = 60});
        check_in_place(API_OTA_0 + 9, 0x23456, API_OTA_2, 0x30000);
        nor_flash_set_faults(chip.flash, (nor_faults_t){0});
    }
}

/** One of so many reads fails: a sector is compared in 16 of them. */
#define FEW_READS 120u

/* Reading fails, too: each read of the engine with probability 1 in `failing_reads`, 0: none. */
static uint32_t failing_reads;
static uint64_t failing_reads_random;
esp_err_t __real_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length)
{
    if (failing_reads > 0 && api_random(&failing_reads_random) % failing_reads == 0) {
        return ESP_ERR_TIMEOUT;
    }
    return __real_esp_flash_read(flash, buffer, address, length);
}

static void reads_that_fail_now_and_then_are_retried(void **state)
{
    (void)state;
    unsigned good = 0;
    for (uint32_t i = 0; i < 40; i++) {
        fill(API_OTA_0, API_OTA_2, i);
        api_chip_snapshot(&chip);
        failing_reads = FEW_READS;
        failing_reads_random = i;
        const esp_err_t err = copy_region(API_OTA_1 + 0x1234, 0x23456, API_OTA_1, 0x30000);
        failing_reads = 0;
        if (err == ESP_OK) {
            assert_copied(API_OTA_1 + 0x1234, 0x23456, API_OTA_1, 0x30000);
            good++;
        } else {
            assert_int_equal(err, ESP_ERR_TIMEOUT);
        }
    }
    assert_true(good > 35);
}

static void flash_that_cannot_be_read_is_told_with_its_cause(void **state)
{
    (void)state;
    const uint8_t digest[32] = {0};
    esp_self_reflasher_config_t config = api_embedded(API_OTA_0, 0x1000, API_OTA_1, 0x1000);
    failing_reads = 1;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_ERR_TIMEOUT);
    config.sha256 = digest;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_ERR_TIMEOUT);
    config.dest_region.region_address = API_BOOTLOADER;
    config.sha256 = NULL;
    assert_int_equal(esp_self_reflasher_directly_copy_to_region(&config), ESP_ERR_TIMEOUT);
    failing_reads = 0;
    api_assert_untouched(&chip);
    api_assert_no_leak(0);
}

/* Starting again from the beginning would read what has been overwritten. */
static void in_place_copy_survives_failing_reads_over_its_own_source(void **state)
{
    (void)state;
    unsigned good = 0;
    for (uint32_t i = 0; i < 10; i++) {
        reopen_lone_slot(API_OTA_2);
        in_place_t *in_place = api_shared(sizeof(*in_place));
        const uint32_t source = API_OTA_2 + 0x23456 - i * 0x5000;
        in_place->config = api_embedded(source, 0x30001, API_OTA_2 + i % 2 * 0x20000, 0x31000);
        /* Before it starts, it may return an error. */
        failing_reads = FEW_READS;
        failing_reads_random = i;
        const sim_end_t end = sim_call(copy_in_child, in_place);
        failing_reads = 0;
        sim_counters()->heap_now = 0;
        if (in_place->returned) {
            assert_int_equal(in_place->err, ESP_ERR_TIMEOUT);
            api_assert_untouched(&chip);
        } else {
            assert_int_equal(end, SIM_END_RESTART);
            assert_copied(source, 0x30001, API_OTA_2 + i % 2 * 0x20000, 0x31000);
            good++;
        }
        api_shared_free(in_place, sizeof(*in_place));
    }
    assert_true(good > 5);
}

/* Flash encryption. */

static void encrypted_regions_are_read_and_written_as_plaintext(void **state)
{
    (void)state;
    static const copy_case_t cases[] = {
        {API_OTA_0, 0x23456, API_OTA_1, 0x30000},           /* Encrypted to encrypted. */
        {API_OTA_0 + 1, 0x12345, API_OTA_1, 0x13000},       /* Odd address, odd length. */
        {API_OTA_0 + 5, 1, API_OTA_1, SECTOR},              /* Less than an encryption unit. */
        {API_OTA_0 + 5, 33, API_OTA_1, SECTOR},             /* Little more than one. */
        {API_OTA_0, 0x5001, API_DATA, 0x6000},              /* To a partition that is not encrypted. */
        {API_DATA + 7, 0x5001, API_OTA_1, 0x6000},          /* From one that is not encrypted. */
        {API_DATA + 7, 0x5001, API_DATA + 0x20000, 0x6000}, /* Inside one. */
        {API_OTA_0, 0x20000, API_OTA_3, 0x20000},           /* Half of the destination is encrypted. */
        {API_DATA - 0x1234, 0x3456, API_OTA_1, 0x4000},     /* Half of the source is. */
        {API_OTA_1 + 0x1001, 0x30003, API_OTA_1, 0x31000},  /* Overlapping, downwards. */
        {API_OTA_1 + 0x1001, 0x30003, API_OTA_1 + 0x2000, 0x31000},
        {API_OTA_1 + 0x1001, 0x30003, API_OTA_1 + 0x20000, 0x31000},
    };
    reopen((api_options_t){.flash_encryption = true});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_copy(cases[i].source, cases[i].length, cases[i].address, cases[i].size);
        const bool overlap = sr_region_overlaps((sr_region_t){cases[i].source, cases[i].length},
                                                (sr_region_t){cases[i].address, cases[i].size});
        if (!overlap) {
            api_chip_snapshot(&chip);
            assert_int_equal(copy_region(cases[i].source, cases[i].length, cases[i].address, cases[i].size), ESP_OK);
            api_assert_untouched(&chip);
        }
    }
}

static void encrypted_bytes_differ_from_the_plain_ones(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true});
    api_image_t boot = api_mcuboot();
    api_chip_put(&chip, API_OTA_0 + 0x11, boot.bytes, boot.length);
    check_copy(API_OTA_0 + 0x11, boot.length, API_BOOTLOADER, 0x7000);
    assert_memory_not_equal(nor_flash_view(chip.flash) + API_BOOTLOADER, boot.bytes, 16);
    uint8_t *plain = api_chip_plain(&chip);
    assert_memory_equal(plain + API_BOOTLOADER, boot.bytes, boot.length);
    free(plain);
    api_image_free(&boot);
}

static void encrypted_overlapping_copies_are_as_memmove(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true});
    random_copies(60, 5000, API_OTA_0, API_OTA_2);
}

/* Memory that runs out. */

static void every_failing_allocation_is_told_and_changes_nothing(void **state)
{
    (void)state;
    api_image_t image = system_image(0x50000);
    api_chip_put(&chip, API_OTA_1 + 0x45, image.bytes, image.length);
    uint32_t failures = 0;
    for (;; failures++) {
        sim_heap_fail_at(failures + 1);
        const esp_err_t err = copy_region(API_OTA_1 + 0x45, image.length, API_BOOTLOADER, 0x5F000);
        sim_heap_fail_at(0);
        if (err == ESP_OK) {
            break;
        }
        assert_int_equal(err, ESP_ERR_NO_MEM);
        api_assert_untouched(&chip);
        api_assert_no_leak(0);
    }
    /* The sectors of the boot path at least, each of which waits in RAM. */
    assert_true(failures >= 9);
    assert_copied(API_OTA_1 + 0x45, image.length, API_BOOTLOADER, 0x5F000);
    api_image_free(&image);
}

static void boot_path_that_does_not_fit_into_ram_is_refused(void **state)
{
    (void)state;
    reopen((api_options_t){.heap_limit = 30 * 1024});
    api_image_t image = system_image(0x50000);
    api_chip_put(&chip, API_OTA_1, image.bytes, image.length);
    assert_int_equal(copy_region(API_OTA_1, image.length, API_BOOTLOADER, 0x5F000), ESP_ERR_NO_MEM);
    api_assert_untouched(&chip);
    api_assert_no_leak(0);
    /* Outside the boot path it needs little. */
    assert_int_equal(copy_region(API_OTA_1, image.length, API_OTA_0, 0x50000), ESP_OK);
    api_image_free(&image);
}

static void in_place_copy_without_memory_changes_nothing(void **state)
{
    (void)state;
    reopen_lone_slot(API_OTA_2);
    sim_heap_fail_at(1);
    assert_int_equal(copy_region(API_OTA_0, 0x20000, API_OTA_2, 0x20000), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    api_assert_untouched(&chip);
}

/* ESP-IDF allocates an iterator for each search in the table. */
static uint32_t finds_until_failure;
static uint32_t failing_finds;
esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);

esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    if (finds_until_failure > 0) {
        finds_until_failure--;
    } else if (failing_finds > 0) {
        failing_finds--;
        return NULL;
    }
    return __real_esp_partition_find(type, subtype, label);
}

/* What is encrypted is looked up for each access: without memory for that, nothing may be taken for plain. */
static void table_that_cannot_be_searched_never_passes_for_plain_flash(void **state)
{
    (void)state;
    reopen((api_options_t){.flash_encryption = true});
    const uint32_t outages[] = {1, 2, 5, 40, 1000000};
    unsigned failed = 0;
    for (uint32_t i = 0; i < 300; i++) {
        fill(API_OTA_0, API_OTA_0 + 0x4000, i);
        fill(API_OTA_1, API_OTA_1 + 0x4000, i + 1000);
        finds_until_failure = i * 3;
        failing_finds = outages[i % 5];
        const esp_err_t err = copy_region(API_OTA_0 + i, 0x2345, API_OTA_1, 0x4000);
        const bool happened = finds_until_failure == 0 && failing_finds < outages[i % 5];
        finds_until_failure = 0;
        failing_finds = 0;
        if (err == ESP_OK) {
            assert_copied(API_OTA_0 + i, 0x2345, API_OTA_1, 0x4000);
        } else {
            assert_true(happened);
            failed++;
        }
    }
    assert_true(failed > 0);
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CHIP(overlapping_copies_are_as_memmove),
        ON_CHIP(overlaps_at_the_edges_of_block_erases),
        ON_CHIP(copy_to_itself_erases_only_what_is_past_the_image),
        ON_CHIP(second_copy_changes_nothing),
        ON_CHIP(one_wrong_sector_is_all_that_is_written),
        ON_CHIP(blocks_are_erased_at_once_and_blank_pages_not_programmed),
        ON_CHIP(blank_flash_is_not_erased),
        ON_CHIP(source_may_be_larger_than_the_image),
        ON_CHIP(progress_grows_to_the_total),
        ON_CHIP(boot_path_comes_last_and_bootloader_magic_very_last),
        ON_CHIP(block_of_the_boot_path_is_not_erased_with_the_rest),
        ON_CHIP(boot_path_may_be_part_of_the_source),
        ON_CHIP(running_app_is_overwritten_in_place),
        ON_CHIP(what_is_right_under_the_running_app_is_not_in_the_way),
        ON_CHIP(watchdog_is_not_fed_while_the_app_is_overwritten),
        ON_CHIP(only_the_end_of_the_running_app_is_overwritten_in_place),
        ON_CHIP(past_the_end_of_the_running_app_the_copy_returns),
        ON_CHIP(image_inside_the_running_app_is_copied_over_it),
        ON_CHIP(in_place_copy_writes_the_boot_path_last),
        ON_CHIP(failures_that_heal_are_retried),
        ON_CHIP(failures_that_stay_never_pass_for_success),
        ON_CHIP(error_names_the_sector_that_failed),
        ON_CHIP(failing_sector_of_a_block_erase_is_reported),
        ON_CHIP(boot_path_is_retried_longer),
        ON_CHIP(in_place_copy_never_gives_up),
        ON_CHIP(reads_that_fail_now_and_then_are_retried),
        ON_CHIP(flash_that_cannot_be_read_is_told_with_its_cause),
        ON_CHIP(in_place_copy_survives_failing_reads_over_its_own_source),
        ON_CHIP(encrypted_regions_are_read_and_written_as_plaintext),
        ON_CHIP(encrypted_bytes_differ_from_the_plain_ones),
        ON_CHIP(encrypted_overlapping_copies_are_as_memmove),
        ON_CHIP(every_failing_allocation_is_told_and_changes_nothing),
        ON_CHIP(boot_path_that_does_not_fit_into_ram_is_refused),
        ON_CHIP(in_place_copy_without_memory_changes_nothing),
        ON_CHIP(table_that_cannot_be_searched_never_passes_for_plain_flash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
