// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_preflight_internal.h"

#include "format/sr_mcuboot.h"
#include "format/sr_reader.h"

#include <inttypes.h>
#include <string.h>

#define SCAN_STEP           128u
#define SAYS_BLOCK_REVISION "efuse blk rev"

/** Bytes that are searched for: 1 to SCAN_STEP. */
typedef struct needle {
    const void *bytes;
    size_t length;
} needle_t;

/** Most places differ in the first byte, which memchr() finds in several bytes at once. */
static bool contains(const uint8_t *bytes, size_t length, const needle_t *needle)
{
    const uint8_t first = *(const uint8_t *)needle->bytes;
    const uint8_t *at = bytes;
    const uint8_t *const end = length < needle->length ? bytes : bytes + length - needle->length + 1;
    while (at < end && (at = memchr(at, first, (size_t)(end - at))) != NULL) {
        if (memcmp(at, needle->bytes, needle->length) == 0) {
            return true;
        }
        at++;
    }
    return false;
}

/** @return a set of those that lie in these bytes: bit N for needle N. */
static unsigned find_needles(const uint8_t *bytes, size_t length, const needle_t *needles, unsigned count)
{
    unsigned found = 0;
    for (unsigned n = 0; n < count; n++) {
        found |= contains(bytes, length, &needles[n]) ? 1u << n : 0;
    }
    return found;
}

/* Two halves of a buffer, so that what lies across the border of two steps is found. */
static bool search_bootloader(const sr_preflight_work_t *work, const needle_t *needles, unsigned count, unsigned *found)
{
    uint8_t buffer[2 * SCAN_STEP];
    *found = 0;
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, work->request->flash, work->request->chip->bootloader_offset,
                                                work->bootloader.image.length);
    memset(buffer, 0xFF, sizeof(buffer));
    for (uint32_t offset = 0; offset < reader.size; offset += SCAN_STEP) {
        const uint32_t left = reader.size - offset;
        const uint32_t step = left < SCAN_STEP ? left : SCAN_STEP;
        memmove(buffer, buffer + SCAN_STEP, SCAN_STEP);
        if (reader.read(reader.context, offset, buffer + SCAN_STEP, step) != 0) {
            return false;
        }
        *found |= find_needles(buffer, SCAN_STEP + step, needles, count);
    }
    return true;
}

bool sr_preflight_find_traits(sr_preflight_work_t *work)
{
    static const needle_t needles[] = {
        {sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE},
        {SR_CHIP_SAYS_ONLY_ENCRYPTED, sizeof(SR_CHIP_SAYS_ONLY_ENCRYPTED) - 1},
        {SR_CHIP_SAYS_ENCRYPTS, sizeof(SR_CHIP_SAYS_ENCRYPTS) - 1},
        {SAYS_BLOCK_REVISION, sizeof(SAYS_BLOCK_REVISION) - 1},
    };
    if (!work->has_traits) {
        work->has_traits = search_bootloader(work, needles, sizeof(needles) / sizeof(needles[0]), &work->traits);
    }
    return work->has_traits;
}

/**
 * The flash size that the bootloader goes by: the code in its header, if it knows that one. Most do not know those past
 * 16 MB, and take the flash for 2 MB. Those that know more can say so when they start.
 *
 * @return 0 if the bootloader cannot be read.
 */
static uint32_t believed_size(const sr_preflight_work_t *work)
{
    const sr_chip_t *chip = work->request->chip;
    const uint8_t code = work->bootloader.image.spi_size;
    const char *name = sr_chip_size_name(code);
    if (code <= SR_CHIP_SIZE_CODE_ALL_KNOW || name == NULL) {
        return sr_chip_flash_size(chip, code, SR_CHIP_SIZE_NOT_NAMED);
    }
    const char *known = sr_chip_size_name(SR_CHIP_SIZE_CODE_ALL_KNOW);
    const needle_t names[] = {{name, strlen(name) + 1}, {known, strlen(known) + 1}};
    unsigned found;
    if (!search_bootloader(work, names, 2, &found)) {
        return 0;
    }
    return sr_chip_flash_size(chip, code,
                              (found & 1u) != 0   ? SR_CHIP_SIZE_NAMED
                              : (found & 2u) != 0 ? SR_CHIP_SIZE_NOT_NAMED
                                                  : SR_CHIP_SIZE_NO_WORD);
}

static bool check_covers_table(sr_preflight_work_t *work, uint32_t size)
{
    if (work->table_status == SR_PARTITION_TABLE_READ_FAILED) {
        return sr_preflight_refuse_table(work);
    }
    // Anything else that is wrong with a table is a matter for the table's own check.
    for (uint8_t i = 0; work->table_status == SR_PARTITION_TABLE_OK && i < work->table.count; i++) {
        const sr_partition_table_entry_t *entry = &work->table.entries[i];
        if (!sr_region_fits((sr_region_t){entry->address, entry->size}, size)) {
            return sr_preflight_refuse(work,
                                       "Bootloader takes the flash for 0x%" PRIx32
                                       " bytes (size code %u in its header), partition %u ends at 0x%" PRIx32,
                                       size, work->bootloader.image.spi_size, i, entry->address + entry->size);
        }
    }
    return true;
}

bool sr_preflight_check_flash_size(sr_preflight_work_t *work)
{
    const uint32_t flash_size = work->request->flash_size;
    if (!work->bootloader.has_header) {
        return sr_preflight_refuse_bootloader(work, work->bootloader.status);
    }
    const uint8_t code = work->bootloader.image.spi_size;
    const uint32_t said = sr_chip_flash_size(work->request->chip, code, SR_CHIP_SIZE_NAMED);
    if (flash_size != 0 && said > flash_size) {
        return sr_preflight_refuse(
            work, "Bootloader's header (size code %u) says 0x%" PRIx32 " bytes of flash, the chip has 0x%" PRIx32, code,
            said, flash_size);
    }
    const uint32_t believed = believed_size(work);
    if (believed == 0) {
        return sr_preflight_refuse_bootloader(work, SR_IMAGE_READ_FAILED);
    }
    return !sr_preflight_has_table(work) || check_covers_table(work, believed);
}

static const char *mode_name(uint8_t mode)
{
    static const char *const names[] = {"QIO", "QOUT", "DIO", "DOUT", "fast read", "slow read"};
    return mode < sizeof(names) / sizeof(names[0]) ? names[mode] : NULL;
}

/** Data lines that a mode needs; 0 for one that is not known. DIO and DOUT differ in how the address travels, not in
 * what has to be wired, and so do QIO and QOUT. */
static unsigned data_lines(uint8_t mode)
{
    static const uint8_t lines[] = {4, 4, 2, 2, 1, 1};
    return mode < sizeof(lines) ? lines[mode] : 0;
}

/** A mode that is not known is refused, unless it is today's. */
static bool check_mode(sr_preflight_work_t *work, uint8_t mode, uint8_t today)
{
    const char *name = mode_name(mode), *name_today = mode_name(today);
    const bool safe = data_lines(mode) != 0 && data_lines(mode) <= data_lines(today);
    return mode == today || safe ||
           sr_preflight_refuse(work, "Bootloader's flash mode %u (%s) may not work here: %u (%s) works today", mode,
                               name != NULL ? name : "unknown", today, name_today != NULL ? name_today : "unknown");
}

/** A clock that is not known is refused, unless it is today's. */
static bool check_clock(sr_preflight_work_t *work, uint8_t speed, uint8_t today)
{
    const uint32_t khz = sr_chip_flash_khz(work->request->chip, speed);
    const uint32_t khz_today = sr_chip_flash_khz(work->request->chip, today);
    const bool safe = khz != 0 && khz_today != 0 && khz <= khz_today;
    return speed == today || safe ||
           sr_preflight_refuse(work,
                               "Bootloader's flash clock %u (%" PRIu32
                               " kHz, 0: unknown) may not work here: %u (%" PRIu32 " kHz) works today",
                               speed, khz, today, khz_today);
}

bool sr_preflight_check_flash_mode(sr_preflight_work_t *work)
{
    const sr_image_t *today = work->request->today;
    const sr_image_t *loader = &work->bootloader.image;
    if (today == NULL) {
        return true;
    }
    if (!work->bootloader.has_header) {
        return sr_preflight_refuse_bootloader(work, work->bootloader.status);
    }
    return check_mode(work, loader->spi_mode, today->spi_mode) &&
           check_clock(work, loader->spi_speed, today->spi_speed);
}
