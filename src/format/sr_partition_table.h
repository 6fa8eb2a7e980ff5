// SPDX-License-Identifier: Apache-2.0
/** @file
 * ESP-IDF's partition table: 32 byte entries in one 0xC00 byte table, an MD5 entry, an end marker.
 *
 * Format: `esp_partition_info_t` in ESP-IDF's esp_flash_partitions.h, and "Partition Tables" in its documentation.
 * The rules for accepting a table are those of esp_partition_table_verify() in bootloader_support.
 */
#pragma once

#include "format/sr_reader.h"
#include "format/sr_region.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_PARTITION_ENTRY_SIZE  32u
#define SR_PARTITION_ENTRY_MAGIC 0x50AAu /**< Its first two bytes, little-endian. */
#define SR_PARTITION_TABLE_SIZE  0xC00u
#define SR_PARTITION_MAX_ENTRIES (SR_PARTITION_TABLE_SIZE / SR_PARTITION_ENTRY_SIZE - 1u)

#define SR_PARTITION_TYPE_APP        0x00u
#define SR_PARTITION_TYPE_DATA       0x01u
#define SR_PARTITION_TYPE_BOOTLOADER 0x02u /**< Since ESP-IDF 5.4 tables may name the bootloader, */
#define SR_PARTITION_TYPE_TABLE      0x03u /**< and themselves. */
#define SR_PARTITION_APP_FACTORY     0x00u
#define SR_PARTITION_APP_OTA_0       0x10u
#define SR_PARTITION_APP_OTA_LAST    0x1Fu
#define SR_PARTITION_APP_TEST        0x20u
#define SR_PARTITION_DATA_OTA        0x00u
#define SR_PARTITION_DATA_PHY        0x01u
#define SR_PARTITION_DATA_NVS        0x02u
#define SR_PARTITION_DATA_NVS_KEYS   0x04u
#define SR_PARTITION_DATA_TEE_OTA    0x90u
#define SR_PARTITION_FLAG_ENCRYPTED  0x1u
#define SR_PARTITION_FLAG_READ_ONLY  0x2u /**< Since ESP-IDF 5.2 the flash driver obeys it. */

typedef struct sr_partition_table_entry {
    uint8_t type;
    uint8_t subtype;
    uint32_t address;
    uint32_t size;
    uint32_t flags;
    char label[17]; /**< Zero-terminated. */
} sr_partition_table_entry_t;

typedef enum sr_partition_table_status {
    SR_PARTITION_TABLE_OK = 0,
    SR_PARTITION_TABLE_READ_FAILED,
    SR_PARTITION_TABLE_BAD_MAGIC, /**< An entry starts with neither 0x50AA, the MD5 magic nor 0xFFFF. */
    SR_PARTITION_TABLE_BAD_MD5,   /**< The MD5 entry does not match the entries before it, or there are two. */
    SR_PARTITION_TABLE_PAST_END,  /**< An entry extends past the end of flash size. */
    SR_PARTITION_TABLE_TOO_MANY,  /**< No end marker inside the table. */
} sr_partition_table_status_t;

typedef struct sr_partition_table {
    sr_partition_table_entry_t entries[SR_PARTITION_MAX_ENTRIES];
    uint8_t count;     /**< Entries that are valid; 0 for an erased table: empty, and valid for bootloaders up to
                          ESP-IDF 5.1. */
    uint8_t bad_entry; /**< Index of the entry that is at fault, if the status is not OK. */
    bool has_md5;
} sr_partition_table_t;

/**
 * Reads and verifies a table as the bootloader does.
 *
 * @param reader Window that starts with the table, at least SR_PARTITION_TABLE_SIZE bytes.
 * @param flash_size Bytes that the bootloader believes the flash to have (its header's field); 0 if unknown: then
 *        only entries that end past 4 GiB are past the end.
 * @param[out] table Entries read so far, also on failure. About 3.5 KiB: not for a small stack.
 */
sr_partition_table_status_t sr_partition_table_parse(const sr_reader_t *reader, uint32_t flash_size,
                                                     sr_partition_table_t *table);

/** First entry with this type and subtype, or NULL. */
const sr_partition_table_entry_t *sr_partition_table_find(const sr_partition_table_t *table, uint8_t type,
                                                          uint8_t subtype);

/** First entry with this label, or NULL. */
const sr_partition_table_entry_t *sr_partition_table_find_label(const sr_partition_table_t *table, const char *label);

/** True for what a boot reads besides an app: otadata, the bootloader, a table. */
static inline bool sr_partition_table_is_boot_path(const sr_partition_table_entry_t *entry)
{
    return entry->type == SR_PARTITION_TYPE_BOOTLOADER || entry->type == SR_PARTITION_TYPE_TABLE ||
           (entry->type == SR_PARTITION_TYPE_DATA && entry->subtype == SR_PARTITION_DATA_OTA);
}

/** True for what a chip that encrypts its flash encrypts: apps and the rest of the boot path, otadata, keys of NVS, and
 * what has the flag. */
bool sr_partition_table_encrypts(const sr_partition_table_entry_t *entry);

/**
 * Number of OTA app slots as the bootloader counts them: entries with an OTA subtype. Look up each slot before its use:
 * in a table that skips a number, one of the slots 0 ... count - 1 does not exist.
 */
unsigned sr_partition_table_ota_slots(const sr_partition_table_t *table);

/**
 * Edits the bytes of a table: the app partition that starts at @p from gets another place. Another partition that lies
 * over this place is cut short in front of it, down to nothing, so that no byte of flash belongs to two of them: who
 * mounts or formats it does not write over the app.
 * The MD5 is computed again if the table has one; all else stays as it is.
 * @param[in,out] bytes A table that sr_partition_table_parse() accepts.
 * @return false if no app partition starts at @p from, or if it cannot be hashed.
 */
bool sr_partition_table_move_app(uint8_t bytes[SR_PARTITION_TABLE_SIZE], uint32_t from, sr_region_t to);

const char *sr_partition_table_status_text(sr_partition_table_status_t status);
