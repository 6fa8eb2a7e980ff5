// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_result.h"

#include "format/sr_reader.h"

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "preflight/sr_preflight.h"
#include "sim/boot/boot_model.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/way_out.h"
#include "tool/pack/pack_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t bit;
} checks[] = {{"bootloader", SR_PREFLIGHT_BOOTLOADER}, {"flash-size", SR_PREFLIGHT_FLASH_SIZE},
              {"flash-mode", SR_PREFLIGHT_FLASH_MODE}, {"revision", SR_PREFLIGHT_REVISION},
              {"table", SR_PREFLIGHT_TABLE},           {"app", SR_PREFLIGHT_APP},
              {"secure-version", SR_PREFLIGHT_VERSION}};
#define CHECK_COUNT (sizeof(checks) / sizeof(checks[0]))

uint32_t pack_check_bit(const char *name)
{
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (strcmp(checks[i].name, name) == 0) {
            return checks[i].bit;
        }
    }
    return 0;
}

/** What is packed boots in the model. */
typedef struct trial {
    const flash_layout_t *layout;
    sr_region_t watched;
    bool saw_kept;    /**< The result depends on flash that is kept. */
    bool saw_watched; /**< The result depends on this region. */
    boot_result_t boot;
} trial_t;

static void note_read(void *context, uint32_t address, uint32_t length)
{
    trial_t *trial = context;
    const uint64_t end = (uint64_t)address + length;
    trial->saw_watched |= sr_region_overlaps(trial->watched, (sr_region_t){address, length});
    for (uint64_t at = address - address % SR_SECTOR_SIZE; at < end; at += SR_SECTOR_SIZE) {
        trial->saw_kept |= flash_layout_want(trial->layout, (uint32_t)at) == SR_BUNDLE_KEEP;
    }
}

/** @return false without memory. */
static bool try_boot_as(trial_t *trial, const boot_chip_t *chip, uint32_t size)
{
    uint8_t *aside = flash_memory_new(size);
    if (aside == NULL) {
        return false;
    }
    (void)boot_run_aside(chip, trial->layout->bytes, aside, size, note_read, trial, &trial->boot);
    free(aside);
    return true;
}

static bool try_boot(trial_t *trial, const sr_chip_t *chip, uint32_t table_offset, uint32_t size)
{
    const boot_chip_t any = {.chip = chip, .partition_table = table_offset};
    return try_boot_as(trial, &any, size);
}

bool pack_result_is_mcuboot(const flash_layout_t *layout, const sr_chip_t *chip, uint32_t table_offset)
{
    trial_t trial = {.layout = layout};
    return flash_layout_want(layout, chip->bootloader_offset) == SR_BUNDLE_CONTENT &&
           try_boot(&trial, chip, table_offset, FLASH_LIMIT) && trial.boot.loader == BOOT_LOADER_MCUBOOT;
}

bool pack_result_boot_reads(const pack_result_t *result, sr_region_t region)
{
    trial_t trial = {.layout = result->layout, .watched = region};
    const uint32_t table = result->table_offset == SR_BUNDLE_NO_TABLE ? 0 : result->table_offset;
    return try_boot(&trial, result->chip, table, FLASH_LIMIT) && trial.saw_watched;
}

bool pack_result_app(const pack_result_t *result, uint32_t *address)
{
    trial_t trial = {.layout = result->layout};
    const uint32_t table = result->table_offset == SR_BUNDLE_NO_TABLE ? 0 : result->table_offset;
    const bool boots = try_boot(&trial, result->chip, table, FLASH_LIMIT) && boot_succeeds(&trial.boot);
    *address = trial.boot.app_offset;
    return boots;
}

void pack_result_read_table(pack_result_t *result)
{
    result->table = (sr_partition_table_t){0};
    if (flash_layout_want(result->layout, result->table_offset) == SR_BUNDLE_CONTENT) {
        chip_read_table(result->layout->bytes, FLASH_LIMIT, result->table_offset, &result->table);
    }
}

/** Header of a packed image, intact or not, for this chip. */
static bool packed_image(const pack_result_t *result, uint32_t address, sr_image_t *image)
{
    if (flash_layout_want(result->layout, address) != SR_BUNDLE_CONTENT) {
        return false;
    }
    const sr_reader_t reader = sr_reader_memory(result->layout->bytes + address, FLASH_LIMIT - address);
    return sr_image_parse(&reader, image) == SR_IMAGE_OK && image->chip_id == result->chip->image_chip_id;
}

static void demand_revision(pack_result_t *result, uint32_t address)
{
    sr_image_t image;
    if (!packed_image(result, address, &image)) {
        return;
    }
    const uint16_t revision = sr_chip_minimum_revision(result->chip, image.min_chip_rev, image.min_chip_rev_full);
    result->min_revision = revision > result->min_revision ? revision : result->min_revision;
}

static uint32_t power_of_two(uint64_t size)
{
    uint32_t power = SR_SECTOR_SIZE;
    while (power < size && power < 1u << 31) {
        power <<= 1;
    }
    return power;
}

void pack_result_find_demands(pack_result_t *result, uint32_t flash_size)
{
    uint64_t end = flash_layout_end(result->layout);
    end = result->moved_end > end ? result->moved_end : end;
    if (result->table_offset != SR_BUNDLE_NO_TABLE && result->table_offset + SR_SECTOR_SIZE > end) {
        end = result->table_offset + SR_SECTOR_SIZE;
    }
    demand_revision(result, result->chip->bootloader_offset);
    for (unsigned i = 0; i < result->table.count; i++) {
        const sr_partition_table_entry_t *entry = &result->table.entries[i];
        const uint64_t entry_end = (uint64_t)entry->address + entry->size;
        end = entry_end > end ? entry_end : end;
        if (entry->type == SR_PARTITION_TYPE_APP) {
            demand_revision(result, entry->address);
        }
    }
    for (size_t i = 0; i < result->parts->count; i++) {
        demand_revision(result, result->parts->list[i].address);
    }
    sr_image_t bootloader;
    if (packed_image(result, result->chip->bootloader_offset, &bootloader) && bootloader.spi_size < 8 &&
        0x100000u << bootloader.spi_size > end) {
        end = 0x100000u << bootloader.spi_size; // an app refuses to start in a flash smaller than its header says
    }
    result->flash_size = flash_size != 0 ? flash_size : power_of_two(end);
}

static int read_future(void *context, uint32_t offset, void *buffer, size_t length)
{
    const pack_future_t *future = context;
    const uint64_t end = (uint64_t)offset + length;
    for (uint64_t at = offset - offset % SR_SECTOR_SIZE; at < end && !future->kept_is_blank; at += SR_SECTOR_SIZE) {
        if (flash_layout_want(future->layout, (uint32_t)at) == SR_BUNDLE_KEEP) {
            return -1;
        }
    }
    memset(buffer, 0xFF, length);
    if (offset < FLASH_LIMIT) {
        memcpy(buffer, future->layout->bytes + offset, end <= FLASH_LIMIT ? length : FLASH_LIMIT - offset);
    }
    return 0;
}

sr_reader_t pack_result_reader(pack_future_t *future, uint32_t size)
{
    return (sr_reader_t){.context = future, .read = read_future, .size = size};
}

static const char *check_name(uint32_t bit)
{
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (checks[i].bit == bit) {
            return checks[i].name;
        }
    }
    return "?";
}

typedef struct verdict {
    uint32_t failed; /**< 0, or the check that did. */
    char text[192];
} verdict_t;

/** What is packed is plaintext: whether a chip encrypts it is known by its eFuses. */
static bool is_for_plain(const pack_result_t *result)
{
    return result->device != NULL && !efuse_set_encrypts(&result->device->chip.burnt);
}

static void run_chip_checks(const pack_result_t *result, uint32_t skip, bool kept_is_blank, void *workspace,
                            verdict_t *verdict)
{
    pack_future_t future = {.layout = result->layout, .kept_is_blank = kept_is_blank};
    const sr_reader_t flash = pack_result_reader(&future, result->flash_size);
    const sr_preflight_t what = {
        .flash = &flash,
        .chip = result->chip,
        .chip_revision = result->device != NULL ? result->device->chip.revision : UINT16_MAX,
        .efuses = result->device != NULL ? &result->device->chip.efuses : NULL,
        .table_offset = result->table_offset,
        .is_plain = is_for_plain(result),
        .skip = skip,
    };
    verdict->failed = sr_preflight_check(&what, workspace, verdict->text, sizeof(verdict->text));
}

/**
 * Runs the chip's checks. One whose failure depends on what the kept flash holds cannot be made here. @param[out]
 * unknown The checks that cannot be made.
 */
static int run_checks(const pack_result_t *result, uint32_t skip, void *workspace, uint32_t *unknown)
{
    verdict_t verdict;
    verdict_t other;
    for (*unknown = 0;; *unknown |= verdict.failed) {
        run_chip_checks(result, skip | *unknown, false, workspace, &verdict);
        if (verdict.failed == 0) {
            return STATUS_OK;
        }
        run_chip_checks(result, skip | *unknown, true, workspace, &other);
        if (other.failed == verdict.failed && strcmp(other.text, verdict.text) == 0) {
            const char *way_out = way_out_of_check(verdict.failed);
            return complain(STATUS_NO, "check '%s' failed: %s%s%s", check_name(verdict.failed), verdict.text,
                            way_out != NULL ? "; " : "", way_out != NULL ? way_out : "");
        }
    }
}

static void warn_of_unknown(uint32_t unknown)
{
    char names[96] = "";
    size_t used = 0;
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (unknown & checks[i].bit) {
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used == 0 ? "" : ", ", checks[i].name);
        }
    }
    if (used != 0) {
        complain(STATUS_OK, "warning: only the chip can check this, because it depends on flash that is kept: %s",
                 names);
    }
}

/** The boot model checks more than these checks, and supports MCUboot. */
static int check_boot(const pack_result_t *result, uint32_t *unknown)
{
    trial_t trial = {.layout = result->layout};
    const uint32_t size = result->flash_size < FLASH_LIMIT ? result->flash_size : FLASH_LIMIT;
    boot_chip_t chip = result->device != NULL ? result->device->chip : (boot_chip_t){.chip = result->chip};
    chip.partition_table = result->table_offset == SR_BUNDLE_NO_TABLE ? 0 : result->table_offset;
    chip.may_encrypt = !is_for_plain(result);
    boot_believe(&chip, result->layout->bytes, size); // without the key, pack_device_check() tells what is not known
    if (!try_boot_as(&trial, &chip, size)) {
        return complain(STATUS_BAD_INPUT, "out of memory");
    }
    if (trial.saw_kept) {
        *unknown |= SR_PREFLIGHT_APP;
        return STATUS_OK;
    }
    if (boot_succeeds(&trial.boot)) {
        return STATUS_OK;
    }
    if (trial.boot.outcome == BOOT_NOT_KNOWN) {
        return complain(STATUS_OK, "warning: not known whether the chip boots this: %s; try it on a chip first",
                        trial.boot.reason);
    }
    return complain(STATUS_NO, "check 'app' failed: the chip would not boot: %s", trial.boot.reason);
}

/** A chip that does not encrypt yet would do so for good. */
static void warn_of_first_encryption(const pack_result_t *result)
{
    const uint32_t start = result->chip->bootloader_offset;
    const uint32_t end = result->table_offset < FLASH_LIMIT ? result->table_offset : FLASH_LIMIT;
    const bool encrypted_already = result->device != NULL && !is_for_plain(result);
    if (!encrypted_already && start < end &&
        memmem(result->layout->bytes + start, end - start, SR_CHIP_SAYS_ENCRYPTS, strlen(SR_CHIP_SAYS_ENCRYPTS)) !=
            NULL) {
        complain(STATUS_OK, "warning: the bootloader was built with Flash Encryption: at its first start it encrypts "
                            "the flash of a chip that does not encrypt yet, for good; docs/encrypted.md tells more");
    }
}

int pack_result_check(const pack_result_t *result, uint32_t skip)
{
    uint32_t unknown = 0;
    void *workspace = malloc(sr_preflight_workspace_size());
    if (workspace == NULL) {
        return complain(STATUS_BAD_INPUT, "out of memory");
    }
    int status = run_checks(result, skip, workspace, &unknown);
    free(workspace);
    if (status == STATUS_OK && result->device != NULL) {
        status = pack_device_check(result);
    }
    if (status == STATUS_OK && skip == 0) { // what a check that is switched off would find may also stop the boot
        status = check_boot(result, &unknown);
    }
    if (status == STATUS_OK) {
        warn_of_unknown(unknown);
        warn_of_first_encryption(result);
    }
    return status;
}
