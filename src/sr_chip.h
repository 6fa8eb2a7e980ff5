// SPDX-License-Identifier: Apache-2.0
/** @file
 * What differs between the chips of the ESP32 family, as far as the boot path goes.
 *
 * Chip ids: `esp_chip_id_t` in ESP-IDF's esp_app_format.h. Bootloader offsets: `CONFIG_BOOTLOADER_OFFSET_IN_FLASH`.
 */
#pragma once

#include <stdint.h>

typedef struct sr_chip {
    const char *name;           /**< As esptool and `IDF_TARGET` spell it: "esp32", "esp32s3", ... */
    const char *family;         /**< As ESP Web Tools spells it in `chipFamily`: "ESP32", "ESP32-S3", ... */
    uint16_t image_chip_id;     /**< Field chip_id of the image header. */
    uint32_t bootloader_offset; /**< Where the mask ROM looks for the second-stage bootloader. */
} sr_chip_t;

#define SR_PARTITION_TABLE_OFFSET 0x8000u /**< Default of CONFIG_PARTITION_TABLE_OFFSET. */

/** The chip with this image chip id, or NULL. */
const sr_chip_t *sr_chip_by_id(uint16_t image_chip_id);

/** The chip with this name ("esp32c3") or family ("ESP32-C3"), case ignored; or NULL. */
const sr_chip_t *sr_chip_by_name(const char *name);

/** The chips one after another, to list them: NULL behind the last. */
const sr_chip_t *sr_chip_at(unsigned index);

/**
 * The flash clock that a number in the image header means on this chip, in kHz.
 * @param spi_speed As in sr_image_t.
 * @return 0 if it means nothing there.
 */
uint32_t sr_chip_flash_khz(const sr_chip_t *chip, uint8_t spi_speed);
