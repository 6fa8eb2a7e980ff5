// SPDX-License-Identifier: Apache-2.0
/** @file
 * The staged record: all that is left to write, in free flash, as one object that proves itself with the app's key.
 *
 * Written before the commit, so that after a power loss the commit can be finished without network, NVS or server.
 *
 * Layout: a mark, a list, the signed manifest, and the data, each in sectors of their own. The mark says that here is a
 * record and how long it is; it is written first and erased last, so that an unfinished record can be found and cleaned
 * up. The list ends in the seal, a SHA-256 over the rest of it; it is written last and erased first. The seal tells a
 * whole record from one that was cut short, and nothing else: sr_record.h says what may be believed.
 *
 * Where the chip encrypts its flash, all of the record is encrypted, wherever it lies.
 *
 * Byte by byte: docs/record-format.md.
 */
#pragma once

#include "flash/sr_boot_path_buffer.h"
#include "flash/sr_writer.h"
#include "format/sr_bundle.h"
#include "format/sr_record.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** A record that is being written or read. */
typedef struct sr_journal {
    const sr_flash_t *flash;
    uint32_t address;          /**< Of the mark, which is the first sector. */
    uint32_t data_sectors;     /**< Of all entries. */
    sr_record_header_t header; /**< Header of the list; its count and sectors are kept up to date. */
    uint8_t *list;             /**< SR_SECTOR_SIZE bytes of internal RAM, owned by the caller. */
    /** SR_BUNDLE_DIGEST_SIZE bytes for each data sector, owned by the caller: what it must hold to be written. */
    uint8_t *digests;
} sr_journal_t;

/** Starts an empty list of entries in RAM. @param manifest_size Bytes of manifest and signature block; 0: the record
 * will not be sealed, and has none. Changes no flash. */
void sr_journal_start(sr_journal_t *journal, uint32_t manifest_size);

/**
 * Adds an entry; data_index is assigned in order. Changes no flash.
 * @return ESP_OK, or ESP_ERR_INVALID_SIZE if the list is full.
 */
esp_err_t sr_journal_add(sr_journal_t *journal, const sr_record_entry_t *entry);

/**
 * Lets the last entry cover one sector more, if @p address is the next one and the entry is of this group and kind. On
 * the boot path only neighbours are joined: each other sector waits in RAM by itself. Changes no flash.
 * @return true if the entry covers it now.
 */
bool sr_journal_extend(sr_journal_t *journal, sr_record_group_t group, uint32_t address, bool blank);

/** Entry number @p index, below header.count. */
sr_record_entry_t sr_journal_entry(const sr_journal_t *journal, uint32_t index);

/** Sets the digest of entry number @p index, once its content is known. Changes no flash. */
void sr_journal_set_digest(sr_journal_t *journal, uint32_t index, const uint8_t digest[SR_BUNDLE_DIGEST_SIZE]);

/** The whole record in flash. */
sr_region_t sr_journal_place(const sr_journal_t *journal);

/** The flash as the record is read and written: not in the clear, wherever it lies, if the chip encrypts its flash.
 * journal->flash is for all else. */
sr_flash_t sr_journal_flash(const sr_journal_t *journal);

/** Flash address of the manifest, with its signature block right after it. */
uint32_t sr_journal_manifest_address(const sr_journal_t *journal);

/** Flash address of a data sector. */
uint32_t sr_journal_data_address(const sr_journal_t *journal, uint32_t data_index);

/** Writes the mark: a record that is not finished lies here.
 *  @param scratch SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_journal_open(sr_journal_t *journal, sr_writer_t *writer, uint32_t address, uint8_t *scratch);

/** Writes the manifest. @param manifest header.manifest_size bytes. @param scratch SR_SECTOR_SIZE bytes.
 *  @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_journal_put_manifest(const sr_journal_t *journal, sr_writer_t *writer, const uint8_t *manifest,
                                  uint8_t *scratch);

/** Writes one data sector. @param data SR_SECTOR_SIZE bytes. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_journal_put(const sr_journal_t *journal, sr_writer_t *writer, uint32_t data_index, uint8_t *data);

/** Erases what fills up the record's last block: where data was given up, it need not be blank. @return as
 * sr_writer_put(). */
esp_err_t sr_journal_clear_fill(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);

/** Writes the list with its seal: from here on the record is valid. @return ESP_OK; ESP_FAIL if it cannot be hashed;
 * or as sr_writer_put(). */
esp_err_t sr_journal_seal(sr_journal_t *journal, sr_writer_t *writer);

/**
 * Looks for the mark of a record, finished or not.
 * @param[in,out] journal flash and address set: where to start. On success: where it is, and header.sectors.
 * @return ESP_OK, ESP_ERR_NOT_FOUND, or an error of the flash.
 */
esp_err_t sr_journal_find(sr_journal_t *journal);

/**
 * Reads the list of the record at journal->address, and its header. Nothing of it is to be believed yet.
 * @param[out] status SR_RECORD_OK, SR_RECORD_NOT_SEALED, SR_RECORD_NOT_HASHED or SR_RECORD_BAD_HEADER.
 * @return ESP_OK, also if status is bad; ESP_FAIL if it cannot be hashed; or an error of the flash.
 */
esp_err_t sr_journal_load(sr_journal_t *journal, sr_record_status_t *status);

/**
 * Reads one data sector of an entry, and confirms it by its digest in journal->digests.
 * @param index Of the sector in the entry.
 * @param data SR_SECTOR_SIZE bytes.
 * @return ESP_OK; ESP_ERR_NOT_FINISHED if it differs; ESP_FAIL if it cannot be hashed; or an error of the flash.
 */
esp_err_t sr_journal_read(const sr_journal_t *journal, const sr_record_entry_t *entry, uint32_t index, uint8_t *data);

/**
 * Digest of what the flash holds where the commit begins to change the boot path, sr_record_is_first_part(): the same
 * as before the commit as long as that is whole.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK, ESP_FAIL if it cannot be hashed, or an error of the flash.
 */
esp_err_t sr_journal_digest_first_part(const sr_journal_t *journal, uint8_t *scratch,
                                       uint8_t digest[SR_BUNDLE_DIGEST_SIZE]);

/**
 * Erases the record, the seal first and the mark last. Where the list cannot be erased, erasing another of the record's
 * sectors does as well: without mark or manifest it is no record any more.
 * @param scratch SR_SECTOR_SIZE bytes.
 * @return ESP_OK; or as sr_writer_put(): then it may still count, and sr_journal_find() finds it.
 */
esp_err_t sr_journal_discard(const sr_journal_t *journal, sr_writer_t *writer, uint8_t *scratch);
