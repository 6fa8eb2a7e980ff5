// SPDX-License-Identifier: Apache-2.0
/** @file
 * Writes the flash contents and images that the demonstration works with into a folder. All of them are dummies: valid
 * by format, with an endless loop for a program (see dummy_image.h). The same program always writes the same bytes.
 */
#include "make/dummy_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FLASH_SIZE        0x400000u
#define FLASH_SPI_SIZE    2u // 1 MiB << 2
#define BOOTLOADER_OFFSET 0x1000u
#define APP_CODE_SIZE     0x90000u

/** An old system: what is in flash before anything was reflashed. */
typedef struct old_system {
    const char *app_name;
    uint32_t app_offset;
    uint32_t otadata_sequence;
    const sr_partition_table_entry_t *table;
    unsigned table_count;
} old_system_t;

/** As in examples/boot_swap_download_example/partitions.csv: MCUboot's second slot is between the two of this system.
 */
static const sr_partition_table_entry_t download_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x9000, 0x4000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_PHY, 0xF000, 0x1000, 0, "phy_init"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x10000, 0x100000, 0, "ota_1"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x210000, 0x1F0000, 0, "ota_0"},
};

/** As in examples/boot_swap_embedded_example/partitions.csv: the app that carries the new system is in its way, and
 * moves to the second slot first. */
static const sr_partition_table_entry_t embedded_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, 0x9000, 0x4000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_PHY, 0xF000, 0x1000, 0, "phy_init"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x10000, 0x1F0000, 0, "ota_0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x210000, 0x1F0000, 0, "ota_1"},
};

static const old_system_t download_system = {
    .app_name = "boot_swap_download_example",
    .app_offset = 0x210000,
    .otadata_sequence = 1,
    .table = download_table,
    .table_count = sizeof(download_table) / sizeof(download_table[0]),
};

static const old_system_t embedded_system = {
    .app_name = "boot_swap_embedded_example",
    .app_offset = 0x10000,
    .otadata_sequence = 1,
    .table = embedded_table,
    .table_count = sizeof(embedded_table) / sizeof(embedded_table[0]),
};

/** The new system, as files and as buffers that the embedded example needs again. */
typedef struct new_system {
    uint8_t mcuboot[0x10000];
    size_t mcuboot_length;
    uint8_t app[DUMMY_IMAGE_SLOT_SIZE];
    uint8_t merged[DUMMY_IMAGE_PRIMARY - BOOTLOADER_OFFSET + DUMMY_IMAGE_SLOT_SIZE];
    size_t merged_length;
} new_system_t;

static image_write_status_t make_new_system(new_system_t *system)
{
    image_write_status_t status =
        dummy_image_mcuboot(system->mcuboot, sizeof(system->mcuboot), &system->mcuboot_length);
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    status = dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_CONFIRMED, system->app, sizeof(system->app));
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    const image_write_part_t parts[] = {
        {BOOTLOADER_OFFSET, system->mcuboot, system->mcuboot_length},
        {DUMMY_IMAGE_PRIMARY, system->app, sizeof(system->app)},
    };
    return image_write_merged(parts, 2, BOOTLOADER_OFFSET, system->merged, sizeof(system->merged),
                              &system->merged_length);
}

/** Data that an old system has written by itself: none of it may be lost by accident. */
static void fill_data_partitions(const old_system_t *system, uint8_t *flash)
{
    for (unsigned i = 0; i < system->table_count; i++) {
        const sr_partition_table_entry_t *entry = &system->table[i];
        if (entry->type != SR_PARTITION_TYPE_DATA) {
            continue;
        }
        if (entry->subtype == SR_PARTITION_DATA_OTA) {
            image_write_otadata(system->otadata_sequence, SR_OTA_VALID, flash + entry->address);
        } else {
            dummy_image_fill(flash + entry->address, entry->size / 2, 0x100 + i);
        }
    }
}

static image_write_status_t make_old_system(const old_system_t *system, const uint8_t *embedded, size_t embedded_size,
                                            uint8_t *flash)
{
    const sr_chip_t *chip = sr_chip_by_name("esp32");
    size_t length = 0;
    memset(flash, 0xFF, FLASH_SIZE);
    image_write_status_t status = dummy_image_bootloader(chip, FLASH_SPI_SIZE, flash + BOOTLOADER_OFFSET,
                                                         SR_PARTITION_TABLE_OFFSET - BOOTLOADER_OFFSET, &length);
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    status = image_write_partition_table(system->table, system->table_count, flash + SR_PARTITION_TABLE_OFFSET);
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    fill_data_partitions(system, flash);
    const dummy_image_app_t app = {
        .chip = chip,
        .spi_size = FLASH_SPI_SIZE,
        .project_name = system->app_name,
        .version = "1.0.0",
        .code_size = APP_CODE_SIZE,
        .embedded = embedded,
        .embedded_size = (uint32_t)embedded_size,
    };
    return dummy_image_app(&app, flash + system->app_offset, FLASH_SIZE - system->app_offset, &length);
}

static bool write_file(const char *folder, const char *name, const char *what, const uint8_t *data, size_t length)
{
    char path[4096];
    int path_length = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (path_length < 0 || (size_t)path_length >= sizeof(path)) {
        fprintf(stderr, "demo-images: %s: path too long\n", folder);
        return false;
    }
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && fwrite(data, 1, length, file) == length;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    if (!written) {
        fprintf(stderr, "demo-images: %s: %s\n", path, strerror(errno));
        return false;
    }
    printf("  %-22s %8zu bytes  %s\n", name, length, what);
    return true;
}

static bool made(image_write_status_t status, const char *what)
{
    if (status != IMAGE_WRITE_OK) {
        fprintf(stderr, "demo-images: %s: %s\n", what, image_write_status_text(status));
    }
    return status == IMAGE_WRITE_OK;
}

static bool write_new_system(const new_system_t *system, const char *folder)
{
    return write_file(folder, "mcuboot.bin", "MCUboot, for 0x1000", system->mcuboot, system->mcuboot_length) &&
           write_file(folder, "app_upd.bin", "app in a MCUboot slot that asks to be swapped in, for 0x110000",
                      system->app, sizeof(system->app)) &&
           write_file(folder, "app_upd.merged.bin", "both in one, app in the primary slot, for 0x1000", system->merged,
                      system->merged_length);
}

/** Reads an image to be embedded in place of the dummy. */
static bool read_image(const char *path, uint8_t *out, size_t capacity, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "demo-images: %s: %s\n", path, strerror(errno));
        return false;
    }
    *length = fread(out, 1, capacity, file);
    bool whole = !ferror(file) && fgetc(file) == EOF;
    fclose(file);
    if (!whole) {
        fprintf(stderr, "demo-images: %s: cannot be read, or has more than %zu bytes\n", path, capacity);
    }
    return whole;
}

static bool write_all(const char *folder, const char *image, new_system_t *system, uint8_t *flash)
{
    printf("dummy images, valid by format, with an endless loop for a program:\n");
    return made(make_new_system(system), "new system") && write_new_system(system, folder) &&
           (image == NULL || read_image(image, system->merged, sizeof(system->merged), &system->merged_length)) &&
           made(make_old_system(&download_system, NULL, 0, flash), "old system") &&
           write_file(folder, "old-flash.bin", "4 MB ESP32: ESP-IDF bootloader, two OTA slots, app in ota_0", flash,
                      FLASH_SIZE) &&
           made(make_old_system(&embedded_system, system->merged, system->merged_length, flash), "embedded system") &&
           write_file(folder, "embedded-flash.bin", "4 MB ESP32: its app has the new system inside", flash, FLASH_SIZE);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        fprintf(stderr,
                "usage: demo-images DIR [IMAGE]\n"
                "Writes the images of the demonstration into the folder DIR. The app in embedded-flash.bin carries\n"
                "IMAGE (default: app_upd.merged.bin, as written).\n");
        return 2;
    }
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "demo-images: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    new_system_t *system = calloc(1, sizeof(*system));
    uint8_t *flash = malloc(FLASH_SIZE);
    bool done = system != NULL && flash != NULL && write_all(argv[1], argv[2], system, flash);
    free(flash);
    free(system);
    return done ? 0 : 1;
}
