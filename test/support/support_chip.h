// SPDX-License-Identifier: Apache-2.0
/** @file
 * A simulated ESP32 with 4 MiB of flash and an ESP-IDF system of dummy images on it: bootloader, table, two OTA slots.
 */
#pragma once

#include "make/dummy_image.h"
#include "sim/chip/sim_chip.h"

#include "format/sr_region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHIP_FLASH_SIZE 0x400000u
#define CHIP_NVS        0x9000u
#define CHIP_OTADATA    0xE000u
#define CHIP_SLOT_0     0x10000u
#define CHIP_SLOT_1     0x110000u
#define CHIP_SLOT_SIZE  0x100000u
#define CHIP_READONLY   0x210000u

/* No assert(): release builds leave it out. */
static inline void chip_must(bool succeeded)
{
    if (!succeeded) {
        abort();
    }
}

/** Puts an app that is told apart by @p version into the slot at @p offset; returns the length of its image. */
static inline uint32_t chip_put_app(nor_flash_t *flash, uint32_t offset, const char *version, const uint8_t *embedded,
                                    uint32_t embedded_size)
{
    const dummy_image_app_t app = {.chip = sr_chip_by_name("esp32"),
                                   .spi_size = 2,
                                   .project_name = "app",
                                   .version = version,
                                   .code_size = 0x8000,
                                   .embedded = embedded,
                                   .embedded_size = embedded_size};
    size_t length = 0;
    chip_must(dummy_image_app(&app, nor_flash_bytes(flash) + offset, CHIP_SLOT_SIZE, &length) == IMAGE_WRITE_OK);
    return (uint32_t)length;
}

/** A flash whose otadata selects slot 0; nothing is in the slots. Owned by the caller. */
static inline nor_flash_t *chip_flash_new(void)
{
    static const sr_partition_table_entry_t table[] = {
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, CHIP_NVS, 0x5000, 0, "nvs"},
        {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, CHIP_OTADATA, 0x2000, 0, "otadata"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, CHIP_SLOT_0, CHIP_SLOT_SIZE, 0, "ota_0"},
        {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, CHIP_SLOT_1, CHIP_SLOT_SIZE, 0, "ota_1"},
        {SR_PARTITION_TYPE_DATA, 0x82, CHIP_READONLY, 0x10000, 2, "readonly"},
        {SR_PARTITION_TYPE_DATA, 0x82, 0x220000, 0x10000, SR_PARTITION_FLAG_ENCRYPTED, "secret"},
    };
    nor_flash_t *flash = nor_flash_new(CHIP_FLASH_SIZE, nor_timing_find(NULL));
    chip_must(flash != NULL);
    uint8_t *bytes = nor_flash_bytes(flash);
    size_t length;
    chip_must(dummy_image_bootloader(sr_chip_by_name("esp32"), 2, bytes + 0x1000, 0x7000, &length) == IMAGE_WRITE_OK);
    chip_must(image_write_partition_table(table, sizeof(table) / sizeof(table[0]), bytes + SR_PARTITION_TABLE_OFFSET) ==
              IMAGE_WRITE_OK);
    image_write_otadata(1, UINT32_MAX, bytes + CHIP_OTADATA);
    return flash;
}

/** Memory in which a child process of sim_call() or sim_run() leaves results. Freed with the process. */
static inline void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    chip_must(memory != MAP_FAILED);
    return memory;
}
