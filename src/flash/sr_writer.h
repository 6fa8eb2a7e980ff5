// SPDX-License-Identifier: Apache-2.0
/** @file
 * The flash writer: compare, erase, program, read back. The only module that erases flash.
 *
 * Works on sectors whose whole content is in RAM. A sector that is right already is not touched, an erased one is not
 * erased again, blank pages are not programmed, and nothing counts as written before it was read back and compared.
 */
#pragma once

#include "self_reflasher_err.h"
#include "flash/sr_flash.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_WRITER_READBACK_SIZE 256u /**< Bytes of buffer that a writer needs for reading back. */

/** How often a sector is erased and programmed before a call gives up, where the old system is whole. On the boot path
 *  it is SR_BOOT_PATH_BUFFER_ATTEMPTS. */
#define SR_WRITER_ATTEMPTS 4u

typedef struct sr_writer {
    const sr_flash_t *flash;
    uint8_t *readback; /**< SR_WRITER_READBACK_SIZE bytes of internal RAM, owned by the caller. */
    uint32_t attempts; /**< How often a sector is erased and programmed before giving up; at least 1. */
    bool program_only; /**< A sector that needs no bit set is programmed without an erase, so that what a
                          power loss left of a first attempt is finished without being anything else in between. Not
                          where flash is encrypted. */
    /** Lets the idle task run, now and then: sr_writer_clear() calls it with what it counts. NULL: not at all, as in
     * the window, and while the scheduler is suspended. */
    void (*yield)(uint32_t bytes);
    uint32_t failed_address; /**< Address of the sector at which the last call failed. */
} sr_writer_t;

/** Sectors that need an erase from which on erasing their whole block is quicker: a 64 KiB erase takes as long as 3.3
 *  sector erases (W25Q32JV: 150 ms and 45 ms typical). */
#define SR_WRITER_WORTH_A_BLOCK 4u

/** What one sector must hold. */
typedef struct sr_writer_sector {
    uint32_t address;
    uint32_t used; /**< Bytes that come from an image; what follows must be erased flash. 0 to SR_SECTOR_SIZE. */
    uint8_t *data; /**< SR_SECTOR_SIZE bytes, owned by the caller: `used` bytes of image, then 0xFF. */
} sr_writer_sector_t;

/** What one sector holds now. */
typedef struct sr_writer_comparison {
    bool right; /**< Exactly what it must hold. */
    bool blank; /**< Erased: can be programmed as it is. */
    bool fits;  /**< No bit must be set: could be programmed as it is. */
} sr_writer_comparison_t;

/** Compares a sector with what it must hold. @return ESP_OK or an error of the flash. */
esp_err_t sr_writer_compare(sr_writer_t *writer, const sr_writer_sector_t *sector, sr_writer_comparison_t *comparison);

/** Tells whether every byte of a sector is erased. @return ESP_OK or an error of the flash. */
esp_err_t sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);

/** Counts the sectors of a run that hold anything but 0xFF. @return ESP_OK or an error of the flash. */
esp_err_t sr_writer_count_dirty(sr_writer_t *writer, uint32_t address, uint32_t sectors, uint32_t *dirty);

/** Erases one aligned 64 KiB block, with the writer's number of attempts. @return ESP_OK or an error of the flash. */
esp_err_t sr_writer_erase_block(sr_writer_t *writer, uint32_t address);

/**
 * Makes one sector hold what it must: compares, erases and programs only as far as needed, reads back, retries.
 * @return ESP_OK; ESP_ERR_SELF_REFLASHER_VERIFY if it holds something else after the last attempt; or the last error of
 * the flash
 */
esp_err_t sr_writer_put(sr_writer_t *writer, const sr_writer_sector_t *sector);

/**
 * Makes a run of sectors blank, with 64 KiB erases where that is quicker.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return as sr_writer_put()
 */
esp_err_t sr_writer_clear(sr_writer_t *writer, uint32_t address, uint32_t sectors, uint8_t *scratch);

/**
 * Makes several sectors of one boot image hold what they must, in the shortest time.
 *
 * First all of them are erased from the lowest address on, then programmed from the highest address down. So the first
 * page of a bootloader, which holds the magic byte, goes first and comes back last: in between the mask ROM sees no
 * bootloader at all, instead of a torn one that its one-byte checksum lets pass one time in 256.
 *
 * @param sectors Ascending addresses. Those that are right already are left alone.
 * @return as sr_writer_put()
 */
esp_err_t sr_writer_put_group(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count);

/**
 * Makes the sectors of a bootloader hold what they must while a recovery bootloader stands in for it: at no moment is
 * there anything with a magic byte but the whole old image or the whole new one, however the power goes.
 *
 * The magic byte is cleared by a program operation of its own before anything else is touched, and programmed by one of
 * its own after all the rest was read back. So nothing depends on how the mask ROM would treat a torn image.
 *
 * Not for encrypted flash, of which no single byte can be programmed.
 *
 * @param sectors Ascending addresses; those that are right already are left alone. The first one starts with the magic
 * byte; its data are changed and restored meanwhile.
 * @return as sr_writer_put()
 */
esp_err_t sr_writer_put_guarded(sr_writer_t *writer, const sr_writer_sector_t *sectors, uint32_t count);
