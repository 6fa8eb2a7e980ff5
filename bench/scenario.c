// SPDX-License-Identifier: Apache-2.0
#include "scenario.h"

#include "make/bundle_writer.h"
#include "make/dummy_image.h"
#include "make/image_writer.h"
#include "tool/base/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOTLOADER   0x1000u
#define NVS          0x9000u
#define APP_CODE     0x90000u
#define USED_OF_SLOT 0xE0000u /* What an earlier app takes of a slot of 1 MiB. */

/* Where MCUboot's second slot lies between the two slots of the old system. */
static const sr_partition_table_entry_t idf_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_PHY, 0xF000, 0x1000, 0, "phy_init"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x10000, 0x100000, 0, "ota_1"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x210000, 0x1F0000, 0, "ota_0"},
};

/* That layout with a file system in what the running app does not need. */
static const sr_partition_table_entry_t idf_table_with_storage[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_PHY, 0xF000, 0x1000, 0, "phy_init"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x10000, 0x100000, 0, "ota_1"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x210000, 0x100000, 0, "ota_0"},
    {SR_PARTITION_TYPE_DATA, 0x82, 0x310000, 0xF0000, 0, "storage"},
};

/* The app that carries the new system runs from past the end of the new one. */
static const sr_partition_table_entry_t embedded_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x4000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xD000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_PHY, 0xF000, 0x1000, 0, "phy_init"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x10000, 0x100000, 0, "ota_0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x110000, 0x2F0000, 0, "ota_1"},
};

/* As published for ESPHome 2022.3 and WLED 0.14. */
static const sr_partition_table_entry_t esphome_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x5000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xE000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x10000, 0x1C0000, 0, "app0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x1D0000, 0x1C0000, 0, "app1"},
    {SR_PARTITION_TYPE_DATA, 0x82, 0x391000, 0xF000, 0, "spiffs"},
};
static const sr_partition_table_entry_t wled_table[] = {
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_NVS, NVS, 0x5000, 0, "nvs"},
    {SR_PARTITION_TYPE_DATA, SR_PARTITION_DATA_OTA, 0xE000, 0x2000, 0, "otadata"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0, 0x10000, 0x180000, 0, "app0"},
    {SR_PARTITION_TYPE_APP, SR_PARTITION_APP_OTA_0 + 1, 0x190000, 0x180000, 0, "app1"},
    {SR_PARTITION_TYPE_DATA, 0x82, 0x310000, 0xF0000, 0, "spiffs"},
};

#define COUNT(array) ((unsigned)(sizeof(array) / sizeof((array)[0])))

static bool fails(const char *what)
{
    complain(STATUS_BAD_INPUT, "bench: %s could not be made", what);
    return false;
}

static uint8_t *blank(size_t size)
{
    uint8_t *bytes = malloc(size);
    if (bytes != NULL) {
        memset(bytes, 0xFF, size);
    }
    return bytes;
}

/* What the parts are made of. */

static bool load(const char *fixtures, const char *name, image_file_t *file)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", fixtures, name);
    bool loaded = image_file_load(path, file) == STATUS_OK;
    file->path = NULL; /* The buffer is gone. */
    return loaded;
}

/* Room for a dummy image of up to @p capacity bytes. */
static bool allocate(image_file_t *file, uint32_t capacity)
{
    file->bytes = blank(capacity);
    file->size = capacity;
    return file->bytes != NULL || fails("a dummy image");
}

static bool finish(image_file_t *file, image_write_status_t status, size_t length)
{
    file->size = (uint32_t)length;
    return status == IMAGE_WRITE_OK || fails(image_write_status_text(status));
}

static bool make_dummy_mcuboot(image_file_t *mcuboot, image_file_t *app)
{
    size_t length = 0;
    if (!allocate(mcuboot, 0xF000) || !allocate(app, DUMMY_IMAGE_SLOT_SIZE)) {
        return false;
    }
    image_write_status_t status = dummy_image_mcuboot(mcuboot->bytes, mcuboot->size, &length);
    return finish(mcuboot, status, length) &&
           finish(app, dummy_image_mcuboot_app(IMAGE_WRITE_TRAILER_CONFIRMED, app->bytes, app->size), app->size);
}

static image_write_status_t put_app(uint8_t *out, size_t capacity, const char *name, const uint8_t *embedded,
                                    uint32_t embedded_size, size_t *length)
{
    const dummy_image_app_t app = {.chip = sr_chip_by_name("esp32"),
                                   .spi_size = 2,
                                   .project_name = name,
                                   .version = "1.0.0",
                                   .code_size = APP_CODE,
                                   .embedded = embedded,
                                   .embedded_size = embedded_size};
    return dummy_image_app(&app, out, capacity, length);
}

static bool make_dummy_app(const char *name, uint32_t padding, image_file_t *file)
{
    size_t length = 0;
    if (!allocate(file, 0x180000)) {
        return false;
    }
    uint8_t *data = malloc(padding);
    if (data == NULL) {
        return fails("an app");
    }
    dummy_image_fill(data, padding, 9);
    image_write_status_t status = put_app(file->bytes, file->size, name, data, padding, &length);
    free(data);
    return finish(file, status, length);
}

/* A bootloader of ESP-IDF's kind, of which every sector is another than in dummy_image_bootloader(). */
static bool make_other_bootloader(image_file_t *file)
{
    enum { DATA = 0x1800, CODE = 0x3C00 };
    size_t length = 0;
    uint8_t *bytes = malloc(DATA + CODE);
    if (bytes == NULL || !allocate(file, 0x7000)) {
        free(bytes);
        return false;
    }
    dummy_image_fill(bytes, DATA + CODE, 10);
    static const uint8_t loop[] = {0x36, 0x41, 0x00, 0x06, 0xFF, 0xFF}; /* entry a1, 32; j . */
    memcpy(bytes + DATA, loop, sizeof(loop));
    image_write_status_t status = image_write_bootloader_desc("v6.0.2", 2, bytes);
    const image_write_segment_t segments[] = {
        {.load_address = 0x3FFF0030, .data = bytes, .length = DATA},
        {.load_address = 0x40078000, .data = bytes + DATA, .length = CODE},
    };
    const image_write_esp_t spec = {.spi_mode = 2,
                                    .spi_size = 2,
                                    .entry = 0x40078000,
                                    .max_chip_rev_full = 0xFFFF,
                                    .append_hash = true,
                                    .segments = segments,
                                    .segment_count = COUNT(segments)};
    if (status == IMAGE_WRITE_OK) {
        status = image_write_esp(&spec, file->bytes, file->size, &length);
    }
    free(bytes);
    return finish(file, status, length);
}

/* The first 64 KiB of a system: bootloader, table, otadata that selects the first slot. */
static bool make_dummy_system(const sr_partition_table_entry_t *table, unsigned count, bool other, image_file_t *file)
{
    image_file_t loader = {0};
    size_t length = 0;
    bool made = allocate(file, 0x10000);
    if (made && other) {
        made = make_other_bootloader(&loader);
        if (made) {
            memcpy(file->bytes + BOOTLOADER, loader.bytes, loader.size);
        }
        free(loader.bytes);
    } else if (made) {
        made = dummy_image_bootloader(sr_chip_by_name("esp32"), 2, file->bytes + BOOTLOADER, 0x7000, &length) ==
               IMAGE_WRITE_OK;
    }
    made = made && image_write_partition_table(table, count, file->bytes + SR_PARTITION_TABLE_OFFSET) == IMAGE_WRITE_OK;
    for (unsigned i = 0; made && i < count; i++) {
        if (table[i].type == SR_PARTITION_TYPE_DATA && table[i].subtype == SR_PARTITION_DATA_OTA) {
            image_write_otadata(1, SR_OTA_VALID, file->bytes + table[i].address);
        }
    }
    return made || fails("a system");
}

/* The old systems. */

static void use_slot(uint8_t *flash, uint32_t address, uint32_t seed)
{
    dummy_image_fill(flash + address, USED_OF_SLOT, seed);
}

/* Bootloader, table, NVS, PHY data, otadata of a dummy system, with the app that carries @p embedded at @p running. */
static uint8_t *idf_flash(const sr_partition_table_entry_t *table, unsigned count, uint32_t running, uint32_t sequence,
                          const uint8_t *embedded, uint32_t embedded_size)
{
    image_file_t system = {0};
    size_t length = 0;
    uint8_t *flash = blank(SCENARIO_FLASH_SIZE);
    bool made = flash != NULL && make_dummy_system(table, count, false, &system);
    if (made) {
        memcpy(flash, system.bytes, system.size);
        dummy_image_fill(flash + NVS, 0x2000, 0x100);
        dummy_image_fill(flash + 0xF000, 0x100, 0x101);
        image_write_otadata(sequence, SR_OTA_VALID, flash + 0xD000);
        made = put_app(flash + running, SCENARIO_FLASH_SIZE - running, "old", embedded, embedded_size, &length) ==
               IMAGE_WRITE_OK;
    }
    free(system.bytes);
    if (!made) {
        free(flash);
        (void)fails("the old system");
        return NULL;
    }
    return flash;
}

/* One part that is the whole of a file. */
static scenario_part_t part_of(const image_file_t *file, uint32_t address, uint32_t size)
{
    return (scenario_part_t){.place = {address, size}, .data = file->bytes, .length = file->size};
}

static bool make_mcuboot_download(const char *fixtures, scenario_t *scenario)
{
    image_file_t *app = &scenario->files[0];
    image_file_t *mcuboot = &scenario->files[1];
    bool made = fixtures == NULL ? make_dummy_mcuboot(mcuboot, app)
                                 : load(fixtures, "mcuboot-nuttx/app_upd.bin", app) &&
                                       load(fixtures, "mcuboot-nuttx/mcuboot-esp32.bin", mcuboot);
    scenario->flash = idf_flash(idf_table, COUNT(idf_table), 0x210000, 1, NULL, 0);
    if (!made || scenario->flash == NULL) {
        return false;
    }
    use_slot(scenario->flash, 0x10000, 21);
    use_slot(scenario->flash, 0x110000, 22);
    scenario->parts[0] = part_of(app, DUMMY_IMAGE_SECONDARY, DUMMY_IMAGE_SLOT_SIZE);
    scenario->parts[1] = part_of(mcuboot, BOOTLOADER, 0xF000);
    scenario->part_count = 2;
    return true;
}

static bool make_merged(const char *fixtures, image_file_t *file)
{
    if (fixtures != NULL) {
        return load(fixtures, "mcuboot-nuttx/app_upd.merged.bin", file);
    }
    image_file_t mcuboot = {0};
    image_file_t app = {0};
    size_t length = 0;
    bool made = make_dummy_mcuboot(&mcuboot, &app) && allocate(file, 0x10F000);
    if (made) {
        const image_write_part_t parts[] = {{BOOTLOADER, mcuboot.bytes, mcuboot.size},
                                            {DUMMY_IMAGE_PRIMARY, app.bytes, app.size}};
        image_write_status_t status = image_write_merged(parts, 2, BOOTLOADER, file->bytes, file->size, &length);
        made = finish(file, status, length);
    }
    free(mcuboot.bytes);
    free(app.bytes);
    return made;
}

static bool make_mcuboot_embedded(const char *fixtures, scenario_t *scenario)
{
    image_file_t *merged = &scenario->files[0];
    const uint32_t running = 0x110000;
    if (!make_merged(fixtures, merged)) {
        return false;
    }
    scenario->flash = idf_flash(embedded_table, COUNT(embedded_table), running, 2, merged->bytes, merged->size);
    if (scenario->flash == NULL) {
        return false;
    }
    use_slot(scenario->flash, 0x10000, 21);
    scenario->embedded = true;
    scenario->source = (sr_region_t){running + dummy_image_embedded_offset(), merged->size};
    scenario->parts[0] = part_of(merged, BOOTLOADER, 0x10F000);
    scenario->part_count = 1;
    return true;
}

/* Puts the bundle where the image is. */
static bool embed_bundle(scenario_t *scenario)
{
    const uint32_t running = 0x110000;
    scenario->flash_with_bundle =
        idf_flash(embedded_table, COUNT(embedded_table), running, 2, scenario->bundle, scenario->bundle_size);
    if (scenario->flash_with_bundle == NULL) {
        return false;
    }
    use_slot(scenario->flash_with_bundle, 0x10000, 21);
    scenario->bundle_source = (sr_region_t){running + dummy_image_embedded_offset(), scenario->bundle_size};
    return true;
}

/** A published system, or a dummy one. */
typedef struct system_files {
    image_file_t system, app;
} system_files_t;

static bool load_esphome(const char *fixtures, system_files_t *files)
{
    if (fixtures == NULL) {
        return make_dummy_system(esphome_table, COUNT(esphome_table), false, &files->system) &&
               make_dummy_app("esphome", 0x90000, &files->app);
    }
    image_file_t merged = {0};
    if (!load(fixtures, "esphome/esp32.bin", &merged)) {
        return false;
    }
    bool made = allocate(&files->system, 0x10000) && allocate(&files->app, merged.size - 0x10000);
    if (made) {
        memcpy(files->system.bytes, merged.bytes, 0x10000);
        memcpy(files->app.bytes, merged.bytes + 0x10000, files->app.size);
    }
    free(merged.bytes);
    return made;
}

static bool load_wled(const char *fixtures, system_files_t *files)
{
    if (fixtures == NULL) {
        return make_dummy_system(wled_table, COUNT(wled_table), true, &files->system) &&
               make_dummy_app("wled", 0x50000, &files->app);
    }
    return load(fixtures, "wled/binaries/esp32_bootloader_v4.bin", &files->system) &&
           load(fixtures, "wled/binaries/WLED_0.14.2_Dig-Uno-V3.bin", &files->app);
}

/* The system with its app in the running slot, and an earlier app in the other. */
static uint8_t *two_slots(const system_files_t *files, uint32_t second, unsigned running)
{
    const uint32_t slots[] = {0x10000, second};
    uint8_t *flash = blank(SCENARIO_FLASH_SIZE);
    if (flash != NULL) {
        memcpy(flash, files->system.bytes, files->system.size);
        memcpy(flash + slots[running], files->app.bytes, files->app.size);
        dummy_image_fill(flash + slots[1 - running], files->app.size, 23);
        dummy_image_fill(flash + NVS, 0x3000, 0x100);
        image_write_otadata(running + 1, UINT32_MAX, flash + 0xE000);
    }
    return flash;
}

/* The new system takes the place of the first slot; what the old one has there does not matter unless it runs. */
static bool make_swap(system_files_t *old, system_files_t *new, uint32_t second, uint32_t slot_size, bool first_runs,
                      sr_region_t free_room, scenario_t *scenario)
{
    scenario->flash = two_slots(old, second, first_runs ? 0 : 1);
    if (first_runs) {
        scenario->flash_relocated = two_slots(old, second, 1);
    }
    scenario->files[0] = new->app;
    scenario->files[1] = new->system;
    new->app.bytes = new->system.bytes = NULL;
    if (scenario->flash == NULL || (first_runs && scenario->flash_relocated == NULL)) {
        return false;
    }
    scenario->parts[0] = part_of(&scenario->files[0], 0x10000, slot_size);
    scenario->parts[0].ordinary_update = true;
    scenario->parts[1] = part_of(&scenario->files[1], 0, 0x10000);
    scenario->parts[1].staging = free_room;
    scenario->part_count = 2;
    scenario->has_table = true;
    return true;
}

static void free_system(system_files_t *files)
{
    free(files->system.bytes);
    free(files->app.bytes);
}

static bool make_to_wled(const char *fixtures, bool first_runs, scenario_t *scenario)
{
    system_files_t esphome = {0};
    system_files_t wled = {0};
    const sr_region_t behind_the_last_partition = {0x3A0000, 0x10000};
    bool made = load_esphome(fixtures, &esphome) && load_wled(fixtures, &wled) &&
                make_swap(&esphome, &wled, 0x1D0000, 0x180000, first_runs, behind_the_last_partition, scenario);
    free_system(&esphome);
    free_system(&wled);
    return made;
}

static bool make_esphome_to_wled(const char *fixtures, scenario_t *scenario)
{
    return make_to_wled(fixtures, false, scenario);
}

static bool make_esphome_to_wled_first_slot(const char *fixtures, scenario_t *scenario)
{
    return make_to_wled(fixtures, true, scenario);
}

static bool make_wled_to_esphome(const char *fixtures, scenario_t *scenario)
{
    system_files_t esphome = {0};
    system_files_t wled = {0};
    const sr_region_t behind_the_running_app = {0x2F0000, 0x10000};
    bool made = load_esphome(fixtures, &esphome) && load_wled(fixtures, &wled) &&
                make_swap(&wled, &esphome, 0x190000, 0x17A000, false, behind_the_running_app, scenario);
    free_system(&esphome);
    free_system(&wled);
    return made;
}

static bool make_table_only(const char *fixtures, scenario_t *scenario)
{
    (void)fixtures;
    image_file_t *table = &scenario->files[0];
    scenario->flash = idf_flash(idf_table, COUNT(idf_table), 0x210000, 1, NULL, 0);
    if (scenario->flash == NULL || !allocate(table, SR_PARTITION_TABLE_SIZE) ||
        image_write_partition_table(idf_table_with_storage, COUNT(idf_table_with_storage), table->bytes) !=
            IMAGE_WRITE_OK) {
        return fails("the table");
    }
    use_slot(scenario->flash, 0x10000, 21);
    scenario->parts[0] = part_of(table, SR_PARTITION_TABLE_OFFSET, SR_SECTOR_SIZE);
    scenario->part_count = 1;
    scenario->has_table = true;
    return true;
}

static bool make_bootloader_only(const char *fixtures, scenario_t *scenario)
{
    (void)fixtures;
    scenario->flash = idf_flash(idf_table, COUNT(idf_table), 0x210000, 1, NULL, 0);
    if (scenario->flash == NULL || !make_other_bootloader(&scenario->files[0])) {
        return false;
    }
    use_slot(scenario->flash, 0x10000, 21);
    scenario->parts[0] = part_of(&scenario->files[0], BOOTLOADER, 0x7000);
    scenario->part_count = 1;
    scenario->has_table = true;
    return true;
}

static bool make_app_only(const char *fixtures, scenario_t *scenario)
{
    (void)fixtures;
    scenario->flash = idf_flash(idf_table, COUNT(idf_table), 0x210000, 1, NULL, 0);
    image_file_t *otadata = &scenario->files[1];
    if (scenario->flash == NULL || !make_dummy_app("new", 0x1234, &scenario->files[0]) ||
        !allocate(otadata, IMAGE_WRITE_OTADATA_SIZE)) {
        return false;
    }
    image_write_otadata(2, SR_OTA_VALID, otadata->bytes); // the second slot, which is the first in the flash
    use_slot(scenario->flash, 0x10000, 21);
    use_slot(scenario->flash, 0x110000, 22);
    scenario->parts[0] = part_of(&scenario->files[0], 0x10000, 0x100000);
    scenario->parts[0].ordinary_update = true;
    scenario->parts[0].staging = (sr_region_t){0x110000, 0x100000};
    scenario->parts[1] = part_of(otadata, 0xD000, IMAGE_WRITE_OTADATA_SIZE);
    scenario->parts[1].staging = scenario->parts[0].staging;
    scenario->part_count = 2;
    scenario->has_table = true;
    return true;
}

/** How the scenarios are made. */
typedef struct recipe {
    const char *name;
    const char *title;
    bool published; /**< Uses published firmware where it is at hand. */
    bool (*make)(const char *fixtures, scenario_t *scenario);
} recipe_t;

static const recipe_t recipes[] = {
    {"mcuboot-download", "ESP-IDF -> MCUboot + NuttX, two images by download", true, make_mcuboot_download},
    {"mcuboot-embedded", "ESP-IDF -> MCUboot + NuttX, merged image in the running app", true, make_mcuboot_embedded},
    {"esphome-wled", "ESPHome (running from the second slot) -> WLED", true, make_esphome_to_wled},
    {"esphome-wled-first", "ESPHome (running from the first slot: it must move) -> WLED", true,
     make_esphome_to_wled_first_slot},
    {"wled-esphome", "WLED (running from the second slot) -> ESPHome", true, make_wled_to_esphome},
    {"table", "New partition table only", false, make_table_only},
    {"bootloader", "New bootloader only", false, make_bootloader_only},
    {"app", "App only", false, make_app_only},
};

const char *scenario_name(unsigned index)
{
    return index < COUNT(recipes) ? recipes[index].name : NULL;
}

static int by_address(const void *a, const void *b)
{
    const bundle_region_t *left = a;
    const bundle_region_t *right = b;
    return left->place.address < right->place.address ? -1 : 1;
}

static bool make_bundle(scenario_t *scenario)
{
    bundle_region_t regions[SCENARIO_MAX_PARTS];
    for (unsigned i = 0; i < scenario->part_count; i++) {
        const scenario_part_t *part = &scenario->parts[i];
        regions[i] = (bundle_region_t){.place = part->place, .data = part->data, .length = part->length};
    }
    qsort(regions, scenario->part_count, sizeof(regions[0]), by_address);
    const bundle_spec_t spec = {
        .chip_id = scenario->chip.chip->image_chip_id,
        .min_flash_size = SCENARIO_FLASH_SIZE,
        .partition_table_offset = scenario->has_table ? SR_PARTITION_TABLE_OFFSET : SR_BUNDLE_NO_TABLE,
        .regions = regions,
        .region_count = scenario->part_count,
    };
    size_t size = 0;
    bundle_write_status_t status = bundle_write(&spec, &scenario->bundle, &size);
    scenario->bundle_size = (uint32_t)size;
    return status == BUNDLE_WRITE_OK || fails(bundle_write_status_text(status));
}

bool scenario_make(const char *name, const char *fixtures, scenario_t *scenario)
{
    *scenario = (scenario_t){.chip = {.chip = sr_chip_by_name("esp32")}};
    for (unsigned i = 0; i < COUNT(recipes); i++) {
        const recipe_t *recipe = &recipes[i];
        if (strcmp(recipe->name, name) == 0) {
            scenario->name = recipe->name;
            scenario->title = recipe->title;
            scenario->firmware = recipe->published && fixtures != NULL ? "published firmware" : "dummy images";
            return recipe->make(fixtures, scenario) && make_bundle(scenario) &&
                   (!scenario->embedded || embed_bundle(scenario));
        }
    }
    complain(STATUS_USAGE, "bench: no scenario has the name '%s'", name);
    return false;
}

void scenario_free(scenario_t *scenario)
{
    for (unsigned i = 0; i < SCENARIO_MAX_PARTS; i++) {
        free(scenario->files[i].bytes);
    }
    free(scenario->flash);
    free(scenario->flash_with_bundle);
    free(scenario->flash_relocated);
    free(scenario->bundle);
}

void scenario_apply(const scenario_t *scenario, uint8_t *flash)
{
    for (unsigned i = 0; i < scenario->part_count; i++) {
        const scenario_part_t *part = &scenario->parts[i];
        memset(flash + part->place.address, 0xFF, part->place.size);
        memcpy(flash + part->place.address, part->data, part->length);
    }
}
