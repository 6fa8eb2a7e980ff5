// SPDX-License-Identifier: Apache-2.0
/** @file
 * The otadata partition: two entries, one in each sector, of which the valid one with the higher sequence counts.
 *
 * Format: `esp_ota_select_entry_t` in ESP-IDF's esp_flash_partitions.h; rules: bootloader_common.c.
 */
#pragma once

#include "format/sr_reader.h"

#include <stdbool.h>
#include <stdint.h>

#define SR_OTADATA_ENTRY_SIZE 32u

typedef enum sr_otadata_state {
    SR_OTA_NEW = 0,
    SR_OTA_PENDING_VERIFY = 1,
    SR_OTA_VALID = 2,
    SR_OTA_INVALID = 3,
    SR_OTA_ABORTED = 4,
} sr_otadata_state_t;

/** Erased state: boots like VALID. No member of the enum, in which it would have no portable value. */
#define SR_OTA_UNDEFINED 0xFFFFFFFFu

/** Erased sequence: selects nothing. */
#define SR_OTADATA_NO_SEQUENCE 0xFFFFFFFFu

typedef struct sr_otadata_entry {
    uint32_t sequence;
    uint32_t state; /**< As stored. */
    uint32_t crc;   /**< As stored. */
} sr_otadata_entry_t;

typedef struct sr_otadata {
    sr_otadata_entry_t entries[2];
} sr_otadata_t;

/** CRC-32 over a sequence number, as stored after it. */
uint32_t sr_otadata_crc(uint32_t sequence);

/** True if the bootloader considers this entry: sequence not erased, CRC right, state neither INVALID nor ABORTED. */
bool sr_otadata_entry_valid(const sr_otadata_entry_t *entry);

/** True for the states NEW and PENDING_VERIFY: a bootloader with rollback skips the entry at one of the next starts,
 * unless the app confirms itself; one without takes no notice of them. */
bool sr_otadata_on_probation(const sr_otadata_entry_t *entry);

/**
 * Reads both entries.
 * @param reader Window over the otadata partition: two sectors.
 * @return 0, or the reader's error, or -1 if the window is too small.
 */
int sr_otadata_read(const sr_reader_t *reader, sr_otadata_t *otadata);

/** Index (0 or 1) of the entry that the bootloader obeys, or -1 if none. */
int sr_otadata_active(const sr_otadata_t *otadata);

/** Encodes an entry with this sequence and state into 32 bytes, CRC included. */
void sr_otadata_encode(uint32_t sequence, uint32_t state, uint8_t out[SR_OTADATA_ENTRY_SIZE]);
