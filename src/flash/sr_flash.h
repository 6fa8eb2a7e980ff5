// SPDX-License-Identifier: Apache-2.0
/** @file
 * The flash as the engine sees it: read, write, erase, size. The only way from here to a flash chip.
 *
 * Implemented on esp_flash (sr_flash.c). Where the chip encrypts its flash, read and write speak plaintext and
 * pick the encrypted calls by address; only sr_flash_read_raw() shows what the cells hold, which is how an erased
 * sector can be told from one that holds data.
 *
 * No function here logs, and none allocates unless the chip encrypts its flash: then ESP-IDF does, to search the table.
 * Without flash encryption all of them may run from RAM while the app in flash is being overwritten.
 */
#pragma once

#include "flash/sr_flash_layout.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

/** Smallest unit that the encrypted calls write, in bytes: 16 or 32, depending on the chip. */
#define SR_FLASH_ENCRYPTION_UNIT 32u

typedef struct sr_flash {
    uint32_t size;   /**< Bytes that the flash driver gives access to. */
    bool encryption; /**< The chip encrypts its flash: some regions, see sr_flash_encrypts(). */
    bool everywhere; /**< If so, every address counts as encrypted, whatever the table says. For what is put into
                        free flash: whoever reads the chip must not find it in the clear. */
    /** The table that says what is encrypted; NULL: the one that the running app was started with. */
    const sr_flash_layout_t *layout;
    void (*feed)(void); /**< Called before each operation, for the task watchdog; NULL: it does not watch
                           this task, or code in flash must not run any more. */
} sr_flash_t;

/**
 * Opens the main flash chip. If the task watchdog watches the calling task, each operation feeds it.
 * @return ESP_OK, or the error of esp_flash_get_size().
 */
esp_err_t sr_flash_open(sr_flash_t *flash);

/** True if the chip decrypts what it executes or reads at this address: bootloader, partition table, app partitions,
 *  otadata, NVS keys, and partitions flagged `encrypted`, all by the table that the running app was started with, or by
 * flash->layout; or everything, if flash->everywhere. True also if there is no memory to find out: then read and write
 * fail. */
bool sr_flash_encrypts(const sr_flash_t *flash, uint32_t address);

/** Reads plaintext. @return ESP_OK, ESP_ERR_NO_MEM with flash encryption, or the error of esp_flash. */
esp_err_t sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);

/** Reads what the cells hold. @return ESP_OK or the error of esp_flash. */
esp_err_t sr_flash_read_raw(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);

/** Programs plaintext into erased flash. Where sr_flash_encrypts(), address and length must be multiples of
 * SR_FLASH_ENCRYPTION_UNIT, and inside one sector. @return ESP_OK, ESP_ERR_NO_MEM with flash encryption, or the error
 * of esp_flash. */
esp_err_t sr_flash_write(const sr_flash_t *flash, uint32_t address, const void *data, uint32_t length);

/** Erases whole sectors, in 64 KiB blocks where aligned. Only the writer calls this. @return ESP_OK or the error of
 *  esp_flash. */
esp_err_t sr_flash_erase(const sr_flash_t *flash, uint32_t address, uint32_t length);
