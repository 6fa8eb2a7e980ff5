// SPDX-License-Identifier: Apache-2.0
/** @file
 * Dummy images: firmware that is valid by format and does nothing.
 *
 * Bootloaders, apps and slots that every parser, checksum and digest accepts. Where a real image has its program, they
 * have an endless loop at the entry point, and bytes from a seeded generator. A simulated chip "boots" them, because
 * its boot model checks formats and executes nothing. The same arguments always give the same bytes.
 */
#pragma once

#include "make/image_writer.h"

/** Where the dummy MCUboot has its slots: the layout of NuttX' MCUboot builds for ESP32. */
#define DUMMY_IMAGE_PRIMARY   0x10000u
#define DUMMY_IMAGE_SECONDARY 0x110000u
#define DUMMY_IMAGE_SLOT_SIZE 0x100000u
#define DUMMY_IMAGE_SCRATCH   0x210000u

typedef struct dummy_image_app {
    const sr_chip_t *chip;
    uint8_t spi_size; /**< Header field: flash is 1 MiB << spi_size. */
    const char *project_name;
    const char *version;
    uint32_t code_size;      /**< Bytes of code that is executed in place; a multiple of 4. */
    const uint8_t *embedded; /**< Put into the read-only data, as ESP-IDF's EMBED_FILES does; may be NULL. */
    uint32_t embedded_size;
} dummy_image_app_t;

/** Fills a buffer as firmware does: incompressible pages, zero pages and blank ones. */
void dummy_image_fill(uint8_t *out, size_t length, uint32_t seed);

/** ESP-IDF's second-stage bootloader. */
image_write_status_t dummy_image_bootloader(const sr_chip_t *chip, uint8_t spi_size, uint8_t *out, size_t capacity,
                                            size_t *length);

/** Espressif's port of MCUboot, for an ESP32 with 4 MiB of flash: carries the trailer magic and the map of its slots.
 */
image_write_status_t dummy_image_mcuboot(uint8_t *out, size_t capacity, size_t *length);

/** An ESP-IDF app. */
image_write_status_t dummy_image_app(const dummy_image_app_t *app, uint8_t *out, size_t capacity, size_t *length);

/** Where in the file of an app its embedded bytes start. */
uint32_t dummy_image_embedded_offset(void);

/** An app for MCUboot on an ESP32, as a whole slot of DUMMY_IMAGE_SLOT_SIZE bytes. */
image_write_status_t dummy_image_mcuboot_app(image_write_trailer_t trailer, uint8_t *out, size_t capacity);
