// SPDX-License-Identifier: Apache-2.0
/** @file
 * The staged record: all that is left to write, in free flash, as one object that validates itself.
 *
 * Written before the commit, so that after a power cut the commit can be finished without network, NVS or server.
 *
 * Layout: a mark, a list, and the data, each in sectors of their own. The mark says that here is a record and how long
 * it is; it is written first and erased last, so that an unfinished record can be found and cleaned up. The list has up
 * to 112 entries of 32 bytes and ends in the seal, a SHA-256 over the rest of it; it is written last and erased first.
 * Data sectors are confirmed by the digest in their entry.
 *
 * Internal to one device and one version of this component; not an exchange format.
 */
#pragma once

#include "sr_bundle.h"
#include "sr_hold.h"
#include "sr_writer.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_STAGE_MAX_ENTRIES 112u
#define SR_STAGE_VERSION     2u

/** When an entry is written. */
typedef enum sr_stage_group {
    SR_STAGE_DATA = 0,       /**< Data partitions of the system that is replaced, one after another. */
    SR_STAGE_NEIGHBOURS = 1, /**< From here on as sr_hold_group_t. */
    SR_STAGE_BOOTLOADER = 2,
    SR_STAGE_TABLE = 3,
    SR_STAGE_OTADATA = 4,
} sr_stage_group_t;

/** Sectors that are left to be written. */
typedef struct sr_stage_entry {
    uint32_t address;
    uint32_t sectors; /**< Adjacent ones. 1 for content of the boot path. */
    sr_stage_group_t group;
    bool blank;                            /**< Nothing but 0xFF. */
    uint32_t data_index;                   /**< For content: which data sector of the record holds its first one. */
    uint8_t digest[SR_BUNDLE_DIGEST_SIZE]; /**< For content: over all of its sectors. */
} sr_stage_entry_t;

/** A record in work. */
typedef struct sr_stage {
    const sr_flash_t *flash;
    uint32_t address;      /**< Of the mark, which is the first sector. */
    uint32_t data_sectors; /**< Behind mark and list. */
    uint32_t count;        /**< Entries. */
    /** Digest of the first sector of the app that wrote the record. Only the same app may go on with it: whatever else
     *  runs here by now, the record knows nothing of. */
    uint8_t app_id[SR_BUNDLE_DIGEST_SIZE];
    bool guarded;  /**< A recovery bootloader stands in for the one that the commit writes. */
    uint8_t *list; /**< SR_SECTOR_SIZE bytes of internal RAM, owned by the caller. */
} sr_stage_t;

#define SR_STAGE_OVERHEAD 2u /**< Sectors of a record beside its data. */

/** Starts an empty list of entries in RAM. Changes no flash. */
void sr_stage_start(sr_stage_t *stage);

/**
 * Adds an entry; data_index is assigned in order. Changes no flash.
 * @return ESP_OK, or ESP_ERR_INVALID_SIZE if the list is full.
 */
esp_err_t sr_stage_add(sr_stage_t *stage, const sr_stage_entry_t *entry);

/**
 * Lets the last entry cover one sector more, if @p address is the next one and the entry is of this group and kind. On
 * the boot path only neighbours are joined: each other sector waits in RAM by itself. Changes no flash.
 * @return true if it does.
 */
bool sr_stage_extend(sr_stage_t *stage, sr_stage_group_t group, uint32_t address, bool blank);

/** Entry number @p index, below count. */
sr_stage_entry_t sr_stage_entry(const sr_stage_t *stage, uint32_t index);

/** Sets the digest of entry number @p index, once its content is known. Changes no flash. */
void sr_stage_set_digest(sr_stage_t *stage, uint32_t index, const uint8_t digest[SR_BUNDLE_DIGEST_SIZE]);

/** Marks the place in flash as a record that is not finished.
 *  @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_stage_open(sr_stage_t *stage, sr_writer_t *writer, uint32_t address, uint8_t *scratch);

/** Writes one data sector. @param data SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_stage_put(const sr_stage_t *stage, sr_writer_t *writer, uint32_t data_index, uint8_t *data);

/** Writes the list with its seal: from here on the record is valid. @return ESP_OK; ESP_FAIL if it can not be hashed;
 * or as sr_writer_put(). */
esp_err_t sr_stage_seal(sr_stage_t *stage, sr_writer_t *writer);

/**
 * Looks for the mark of a record, finished or not.
 * @param[in,out] stage flash and address set: where to start. On success: where it is, and data_sectors.
 * @return ESP_OK, ESP_ERR_NOT_FOUND, or an error of the flash.
 */
esp_err_t sr_stage_find(sr_stage_t *stage);

/**
 * Reads the list of the record at stage->address, checks its seal and every data sector.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK; ESP_ERR_NOT_FINISHED if the record is not sealed or a data sector differs; or an error of the flash.
 */
esp_err_t sr_stage_load(sr_stage_t *stage, uint8_t *scratch);

/**
 * Reads one data sector of an entry. If it is the only one, it is confirmed by its digest; several are confirmed
 * together, by sr_stage_load().
 * @param index Of the sector in the entry.
 * @param data SR_SECTOR_SIZE bytes.
 * @return ESP_OK; ESP_ERR_NOT_FINISHED if it differs; ESP_FAIL if it can not be hashed; or an error of the flash.
 */
esp_err_t sr_stage_read(const sr_stage_t *stage, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data);

/** Erases the record, the seal first and the mark last. @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as
 * sr_writer_put(). */
esp_err_t sr_stage_discard(const sr_stage_t *stage, sr_writer_t *writer, uint8_t *scratch);
