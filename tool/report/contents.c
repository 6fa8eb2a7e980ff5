// SPDX-License-Identifier: Apache-2.0
#include "tool/report/contents.h"

#include "format/sr_boot_choice.h"
#include "format/sr_bytes.h"
#include "format/sr_reader.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_VIEW 0x100000u

// esp_bootloader_desc_t in ESP-IDF's esp_bootloader_desc.h
#define BOOTLOADER_DESC_SIZE    80u
#define BOOTLOADER_DESC_MAGIC   0x50u
#define BOOTLOADER_DESC_VERSION 8u
#define BOOTLOADER_DESC_BUILT   40u

// from the end of the slot, for flash that is written in units of 8 bytes or less; MCUboot's docs/design.md
#define TRAILER_IMAGE_OK  24u
#define TRAILER_COPY_DONE 32u

static sr_reader_t window(const contents_t *contents, uint32_t address, uint32_t size)
{
    return sr_reader_memory(contents->bytes + address, size);
}

/** Adds an element to a growing array. @return The new element, zeroed; memory that runs out ends the program. */
static void *append(void **array, size_t *count, size_t element_size)
{
    char *grown = realloc(*array, (*count + 1) * element_size);
    if (grown == NULL) {
        perror(PROGRAM_NAME);
        abort();
    }
    *array = grown;
    void *element = grown + *count * element_size;
    (*count)++;
    return memset(element, 0, element_size);
}

static void check_esp_image(const contents_t *contents, esp_image_info_t *info)
{
    sr_reader_t reader = window(contents, info->address, info->room);
    info->checksum = CHECK_UNKNOWN;
    info->digest = CHECK_UNKNOWN;
    info->status = sr_image_parse(&reader, &info->image);
    info->described = sr_image_app_desc(&reader, &info->image, &info->desc);
    if (info->status != SR_IMAGE_OK) {
        return;
    }
    info->status = sr_image_verify(&reader, &info->image, info->sha256);
    info->checksum = info->status == SR_IMAGE_BAD_CHECKSUM ? CHECK_WRONG : CHECK_GOOD;
    // checked here, because the status names only the first error
    const uint8_t *stored = contents->bytes + info->address + info->image.checksum_offset + 1;
    if (!info->image.hash_appended) {
        info->digest = CHECK_ABSENT;
    } else {
        info->digest = memcmp(stored, info->sha256, SR_SHA256_SIZE) == 0 ? CHECK_GOOD : CHECK_WRONG;
    }
}

static void read_bootloader_desc(const contents_t *contents, bootloader_info_t *bootloader)
{
    const sr_image_t *image = &bootloader->esp.image;
    if (image->segment_count == 0 || image->segments[0].length < BOOTLOADER_DESC_SIZE) {
        return;
    }
    const uint8_t *desc = contents->bytes + bootloader->esp.address + image->segments[0].data_offset;
    if (desc[0] != BOOTLOADER_DESC_MAGIC || desc[BOOTLOADER_DESC_VERSION] != 'v') {
        return;
    }
    memcpy(bootloader->version, desc + BOOTLOADER_DESC_VERSION, sizeof(bootloader->version) - 1);
    memcpy(bootloader->built, desc + BOOTLOADER_DESC_BUILT, sizeof(bootloader->built) - 1);
}

static void find_bootloader(contents_t *contents, uint32_t address)
{
    bootloader_info_t *bootloader = &contents->bootloader;
    sr_region_t header = {address, SR_IMAGE_HEADER_SIZE};
    if (!sr_region_contains(contents->present, header) || contents->bytes[address] != SR_IMAGE_MAGIC) {
        return;
    }
    bootloader->present = true;
    bootloader->kind = contents->boot.loader;
    bootloader->esp.address = address;
    bootloader->esp.room = contents->size - address;
    check_esp_image(contents, &bootloader->esp);
    read_bootloader_desc(contents, bootloader);
}

static void find_table(contents_t *contents, uint32_t address)
{
    contents->table_address = address;
    sr_region_t place = {address, SR_PARTITION_TABLE_SIZE};
    const bool is_table = contents->kind == CONTENTS_PARTITION_TABLE || // known to be one, if damaged
                          content_kind_has_table(contents->bytes, contents->size, address);
    if (!sr_region_contains(contents->present, place) || !is_table) {
        return;
    }
    contents->table_present = true;
    uint32_t flash_size = 0;
    if (contents->bootloader.present && contents->bootloader.esp.image.spi_size < 12) {
        flash_size = 0x100000u << contents->bootloader.esp.image.spi_size;
    }
    sr_reader_t reader = window(contents, address, SR_PARTITION_TABLE_SIZE);
    contents->table_status = sr_partition_table_parse(&reader, flash_size, &contents->table);
    const sr_partition_table_entry_t *otadata = sr_boot_choice_otadata(&contents->table);
    if (otadata != NULL && sr_region_contains(contents->present, (sr_region_t){otadata->address, otadata->size})) {
        reader = window(contents, otadata->address, otadata->size);
        if (sr_otadata_read(&reader, &contents->otadata) == 0) {
            contents->otadata_partition = otadata;
        }
    }
}

static bool has_mcuboot_magic(const contents_t *contents, uint32_t address)
{
    return sr_region_contains(contents->present, (sr_region_t){address, 32}) &&
           sr_bytes_get_le32(contents->bytes + address) == SR_MCUBOOT_IMAGE_MAGIC;
}

static void add_app(contents_t *contents, uint32_t address, uint32_t room, const char *label)
{
    esp_image_info_t *app = append((void **)&contents->apps, &contents->app_count, sizeof(*app));
    app->address = address;
    app->room = room;
    snprintf(app->label, sizeof(app->label), "%s", label);
    check_esp_image(contents, app);
}

static void find_apps_in_partitions(contents_t *contents)
{
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        sr_region_t header = {entry->address, SR_IMAGE_HEADER_SIZE};
        if (entry->type == SR_PARTITION_TYPE_APP && entry->size >= SR_IMAGE_HEADER_SIZE &&
            sr_region_contains(contents->present, header) && contents->bytes[entry->address] == SR_IMAGE_MAGIC) {
            uint32_t rest = contents->size - entry->address;
            add_app(contents, entry->address, entry->size < rest ? entry->size : rest, entry->label);
        }
    }
}

static bool is_in_a_partition(const contents_t *contents, uint32_t address)
{
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        if (sr_region_contains((sr_region_t){entry->address, entry->size}, (sr_region_t){address, 1})) {
            return true;
        }
    }
    return false;
}

/** Apps that no partition names: only where one is intact, since the magic is one byte. */
static void find_apps_elsewhere(contents_t *contents)
{
    bool mcuboot = contents->bootloader.kind == BOOT_LOADER_MCUBOOT; // which uses no partitions
    for (uint32_t address = 0; address < contents->size; address += SR_BLOCK_SIZE) {
        bool is_bootloader = contents->bootloader.present && contents->bootloader.esp.address == address;
        if (contents->bytes[address] != SR_IMAGE_MAGIC || is_bootloader ||
            (!mcuboot && is_in_a_partition(contents, address))) {
            continue;
        }
        sr_reader_t reader = window(contents, address, contents->size - address);
        sr_image_t image;
        if (sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK) {
            add_app(contents, address, contents->size - address, "");
        }
    }
}

/** Where the slot ends: after the first trailer that follows the image. */
static void find_trailer(const contents_t *contents, mcuboot_info_t *info)
{
    for (uint32_t end = info->address + SR_SECTOR_SIZE; end <= contents->size; end += SR_SECTOR_SIZE) {
        const uint8_t *trailer = contents->bytes + end;
        if (memcmp(trailer - SR_MCUBOOT_TRAILER_MAGIC_SIZE, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE) ==
            0) {
            info->slot_size = end - info->address;
            info->image_ok = *(trailer - TRAILER_IMAGE_OK) == 1;
            info->copy_done = *(trailer - TRAILER_COPY_DONE) == 1;
            return;
        }
        if (has_mcuboot_magic(contents, end)) {
            return;
        }
    }
}

static void find_mcuboot_images(contents_t *contents)
{
    for (uint32_t address = 0; address < contents->size; address += SR_SECTOR_SIZE) {
        if (!has_mcuboot_magic(contents, address)) {
            continue;
        }
        mcuboot_info_t *info = append((void **)&contents->mcuboot, &contents->mcuboot_count, sizeof(*info));
        info->address = address;
        find_trailer(contents, info);
        sr_reader_t reader =
            window(contents, address, info->slot_size != 0 ? info->slot_size : contents->size - address);
        info->status = sr_mcuboot_parse(&reader, &info->image);
        if (info->status == SR_MCUBOOT_OK) {
            info->status = sr_mcuboot_verify(&reader, &info->image);
        }
        for (unsigned i = 0; i < contents->table.count; i++) {
            if (contents->table.entries[i].address == address) {
                memcpy(info->label, contents->table.entries[i].label, sizeof(info->label));
            }
        }
    }
}

static map_region_t *add_region(contents_t *contents, uint32_t address, uint32_t size, region_kind_t kind)
{
    map_region_t *region = append((void **)&contents->regions, &contents->region_count, sizeof(*region));
    region->region = (sr_region_t){address, size};
    region->kind = kind;
    return region;
}

static uint32_t whole_sectors(uint32_t size)
{
    return (uint32_t)sr_region_align_up(size, SR_SECTOR_SIZE);
}

static void describe_app(const contents_t *contents, uint32_t address, const char *label, map_region_t *region)
{
    char name[CONTENTS_NAME_SIZE];
    contents_app_name(contents->bytes, contents->size, address, name, sizeof(name));
    bool both = label[0] != '\0' && name[0] != '\0';
    snprintf(region->label, sizeof(region->label), "%.16s%s%s", label, both ? ": " : "", name);
}

static void add_partition_regions(contents_t *contents)
{
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        if (!sr_region_overlaps(contents->present, (sr_region_t){entry->address, entry->size})) {
            continue;
        }
        uint32_t rest = contents->present.address + contents->present.size - entry->address;
        bool is_app = entry->type == SR_PARTITION_TYPE_APP;
        region_kind_t kind = is_app ? REGION_APP : REGION_DATA;
        if (entry == contents->otadata_partition) {
            kind = REGION_OTADATA;
        }
        map_region_t *region = add_region(contents, entry->address, entry->size < rest ? entry->size : rest, kind);
        snprintf(region->label, sizeof(region->label), "%s", entry->label);
        if (is_app) {
            describe_app(contents, entry->address, entry->label, region);
        }
    }
}

static bool is_inside_a_region(const contents_t *contents, uint32_t address)
{
    for (size_t i = 0; i < contents->region_count; i++) {
        if (sr_region_contains(contents->regions[i].region, (sr_region_t){address, 1})) {
            return true;
        }
    }
    return false;
}

static void add_image_regions(contents_t *contents)
{
    for (size_t i = 0; i < contents->app_count; i++) {
        const esp_image_info_t *app = &contents->apps[i];
        if (!is_inside_a_region(contents, app->address)) {
            uint32_t size = whole_sectors(app->image.length);
            map_region_t *region = add_region(contents, app->address, size, REGION_APP);
            describe_app(contents, app->address, "", region);
        }
    }
    for (size_t i = 0; i < contents->mcuboot_count; i++) {
        const mcuboot_info_t *info = &contents->mcuboot[i];
        if (!is_inside_a_region(contents, info->address)) {
            uint32_t length = info->status == SR_MCUBOOT_OK ? info->image.length : 1;
            uint32_t size = info->slot_size != 0 ? info->slot_size : whole_sectors(length);
            map_region_t *region = add_region(contents, info->address, size, REGION_APP);
            describe_app(contents, info->address, "", region);
        }
    }
}

static int compare_regions(const void *a, const void *b)
{
    const map_region_t *left = a;
    const map_region_t *right = b;
    return (left->region.address > right->region.address) - (left->region.address < right->region.address);
}

static void sort_regions(contents_t *contents)
{
    if (contents->region_count > 0) {
        qsort(contents->regions, contents->region_count, sizeof(*contents->regions), compare_regions);
    }
}

static void fill_gaps(contents_t *contents)
{
    sort_regions(contents);
    uint64_t reached = contents->present.address;
    uint64_t end = sr_region_align_up(contents->present.address + contents->present.size, SR_SECTOR_SIZE);
    size_t count = contents->region_count; // those added here are not examined
    for (size_t i = 0; i < count; i++) {
        sr_region_t next = contents->regions[i].region;
        if (next.address > reached) {
            add_region(contents, (uint32_t)reached, next.address - (uint32_t)reached, REGION_FREE);
        }
        uint64_t next_end = (uint64_t)next.address + next.size;
        reached = next_end > reached ? next_end : reached;
    }
    if (reached < end) {
        add_region(contents, (uint32_t)reached, (uint32_t)(end - reached), REGION_FREE);
    }
    sort_regions(contents);
}

static void find_regions(contents_t *contents)
{
    bool mcuboot = contents->bootloader.kind == BOOT_LOADER_MCUBOOT;
    if (contents->bootloader.present) {
        uint32_t address = contents->bootloader.esp.address;
        uint32_t length = contents->bootloader.esp.image.length;
        bool parsed = contents->bootloader.esp.checksum != CHECK_UNKNOWN;
        map_region_t *region =
            add_region(contents, address, parsed ? whole_sectors(length) : SR_SECTOR_SIZE, REGION_BOOTLOADER);
        snprintf(region->label, sizeof(region->label), "bootloader%s", mcuboot ? ": MCUboot" : "");
    }
    if (contents->table_present) {
        map_region_t *region = add_region(contents, contents->table_address, SR_SECTOR_SIZE, REGION_TABLE);
        snprintf(region->label, sizeof(region->label), "partition table%s", mcuboot ? " (unused)" : "");
    }
    if (!mcuboot) {
        add_partition_regions(contents);
    }
    add_image_regions(contents);
    fill_gaps(contents);
}

/** Boots it, and finds the name of the app. */
static bool try_boot(contents_t *contents)
{
    uint8_t *aside = flash_memory_new(contents->size);
    if (aside == NULL) {
        return false;
    }
    const uint8_t *booted =
        boot_run_aside(&contents->chip, contents->bytes, aside, contents->size, NULL, NULL, &contents->boot);
    if (boot_succeeds(&contents->boot)) {
        contents_app_name(boot_plain(&contents->chip, booted, contents->size, 0, contents->size), contents->size,
                          contents->boot.app_offset, contents->boot_app_name, sizeof(contents->boot_app_name));
    }
    free(aside);
    return true;
}

/** From here on the bytes are those that the chip reads. */
static bool decrypt(contents_t *contents)
{
    if (contents->chip.cipher == NULL) {
        return true;
    }
    uint8_t *plain = flash_memory_new(contents->size);
    if (plain == NULL) {
        return false;
    }
    boot_plain_view(&contents->chip, contents->bytes, contents->size, plain);
    free(contents->bytes);
    contents->bytes = plain;
    contents->encrypted = true;
    contents->scheme = flash_cipher_scheme(contents->chip.cipher);
    contents->chip.cipher = NULL;
    return true;
}

static bool look_into(contents_t *contents)
{
    const uint32_t table = boot_table_offset(&contents->chip, contents->bytes, contents->size);
    if (!try_boot(contents) || !decrypt(contents)) {
        return false;
    }
    find_bootloader(contents, contents->chip.chip->bootloader_offset);
    find_table(contents, table);
    if (contents->bootloader.kind != BOOT_LOADER_MCUBOOT) {
        find_apps_in_partitions(contents);
    }
    find_apps_elsewhere(contents);
    find_mcuboot_images(contents);
    find_regions(contents);
    return true;
}

/** Puts the bytes at @p base into an otherwise blank flash. */
static contents_t *place(contents_kind_t kind, const uint8_t *bytes, uint32_t size, uint32_t base,
                         const boot_chip_t *chip)
{
    contents_t *contents = calloc(1, sizeof(*contents));
    if (contents == NULL) {
        return NULL;
    }
    contents->kind = kind;
    contents->present = (sr_region_t){base, size};
    contents->chip = *chip;
    contents->size = SMALLEST_VIEW;
    while (contents->size < base + size) {
        contents->size <<= 1;
    }
    contents->bytes = flash_memory_new(contents->size);
    if (contents->bytes == NULL) {
        free(contents);
        return NULL;
    }
    memset(contents->bytes, 0xFF, contents->size);
    memcpy(contents->bytes + base, bytes, size);
    const uint8_t *seen = boot_plain(&contents->chip, contents->bytes, contents->size, 0, contents->size);
    if (contents->chip.partition_table == 0) {
        contents->chip.partition_table = chip_find_table(seen, contents->size);
    }
    if (contents->chip.chip == NULL) {
        contents->chip.chip = chip_detect(seen, contents->size, contents->chip.partition_table);
    }
    return contents;
}

contents_t *contents_of_flash(const uint8_t *flash, uint32_t size, const boot_chip_t *chip)
{
    contents_t *contents = place(CONTENTS_FLASH, flash, size, 0, chip);
    if (contents != NULL && !look_into(contents)) {
        contents_free(contents);
        return NULL;
    }
    return contents;
}

int contents_view(const boot_chip_t *chip, const image_file_t *cells, image_file_t *view)
{
    *view = (image_file_t){.path = cells->path, .bytes = flash_memory_new(cells->size), .size = cells->size};
    if (view->bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", cells->path);
    }
    boot_plain_view(chip, cells->bytes, cells->size, view->bytes);
    return STATUS_OK;
}

/** What is encrypted once a bundle is in a flash. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
static int find_layout(const bundle_file_t *bundle, const boot_chip_t *chip, const image_file_t *view,
                       boot_plain_layout_t *layout)
{
    const uint32_t offset = bundle->bundle.partition_table_offset;
    uint8_t *after = flash_memory_new(view->size);
    if (after == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", view->path);
    }
    memcpy(after, view->bytes, view->size);
    const int status = bundle->bundle.min_flash_size <= view->size ? bundle_file_apply(bundle, after) : STATUS_OK;
    layout->table_offset = offset != SR_BUNDLE_NO_TABLE ? offset : chip->partition_table;
    chip_read_table(after, view->size, layout->table_offset, &layout->table);
    free(after);
    return status;
}

int contents_view_for(const bundle_file_t *bundle, const boot_chip_t *chip, const image_file_t *cells,
                      boot_plain_layout_t *layout, image_file_t *view)
{
    int status = contents_view(chip, cells, view);
    *layout = (boot_plain_layout_t){0};
    if (status == STATUS_OK && chip->cipher != NULL) {
        status = find_layout(bundle, chip, view, layout);
    }
    for (uint32_t i = 0; status == STATUS_OK && i < bundle->bundle.region_count; i++) {
        const sr_region_t place = sr_bundle_region(&bundle->bundle, i).place;
        boot_plain_show(chip, layout, cells->bytes, cells->size, place, view->bytes);
    }
    return status;
}

/** @return false for what is not looked into: data, other files, nothing known. */
static bool kind_of(content_kind_t content, contents_kind_t *kind)
{
    static const struct {
        content_kind_t content;
        contents_kind_t kind;
    } kinds[] = {
        {CONTENT_KIND_FLASH, CONTENTS_FLASH},
        {CONTENT_KIND_MERGED, CONTENTS_PART},
        {CONTENT_KIND_BOOTLOADER, CONTENTS_BOOTLOADER},
        {CONTENT_KIND_APP, CONTENTS_APP},
        {CONTENT_KIND_MCUBOOT_SLOT, CONTENTS_MCUBOOT_SLOT},
        {CONTENT_KIND_TABLE, CONTENTS_PARTITION_TABLE},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].content == content) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static void look_into_single(contents_t *contents)
{
    contents->boot.outcome = BOOT_ROM_REJECTS; // nothing to boot from
    if (contents->kind == CONTENTS_APP) {
        add_app(contents, 0, contents->present.size, "");
        const sr_chip_t *chip = sr_chip_by_id(contents->apps[0].image.chip_id);
        contents->chip.chip = chip != NULL ? chip : contents->chip.chip;
    } else if (contents->kind == CONTENTS_MCUBOOT_SLOT) {
        find_mcuboot_images(contents);
    } else {
        contents->present.size = SR_PARTITION_TABLE_SIZE; // a table may be stored without the blank bytes after it
        find_table(contents, 0);
    }
}

contents_t *contents_of_file(const image_file_t *file, const content_t *content, const boot_chip_t *chip)
{
    contents_kind_t kind = CONTENTS_PART;
    const uint32_t base = content->base;
    if (!kind_of(content->kind, &kind)) {
        const char *mistaken = file_kind_mistaken(file);
        mistaken != NULL
            ? complain(STATUS_BAD_INPUT, "%s %s", file->path, mistaken)
            : complain(STATUS_BAD_INPUT,
                       "%s: nothing known at offset 0x0 (0x%02x), 0x1000 or 0x8000; if it is part of a flash, say "
                       "where it belongs with --offset",
                       file->path, file->bytes[0]);
        return NULL;
    }
    if ((uint64_t)base + file->size > 0x80000000u) {
        complain(STATUS_BAD_INPUT, "%s: would end past offset 0x80000000 of the flash", file->path);
        return NULL;
    }
    contents_t *contents = place(kind, file->bytes, file->size, base, chip);
    bool single = kind == CONTENTS_APP || kind == CONTENTS_MCUBOOT_SLOT || kind == CONTENTS_PARTITION_TABLE;
    if (contents == NULL || (!single && !look_into(contents))) {
        contents_free(contents);
        complain(STATUS_BAD_INPUT, "%s: out of memory", file->path);
        return NULL;
    }
    if (single) {
        look_into_single(contents);
    }
    return contents;
}

void contents_free(contents_t *contents)
{
    if (contents != NULL) {
        free(contents->bytes);
        free(contents->apps);
        free(contents->mcuboot);
        free(contents->regions);
        free(contents);
    }
}

sr_reader_t contents_reader(const contents_t *contents, const esp_image_info_t *info)
{
    return window(contents, info->address, info->room);
}

const sr_partition_table_entry_t *contents_selected_slot(const contents_t *contents, const sr_otadata_entry_t *entry)
{
    unsigned slots = sr_partition_table_ota_slots(&contents->table);
    if (slots == 0 || entry->sequence == UINT32_MAX) {
        return NULL;
    }
    // as the bootloader computes it: unsigned, so that sequence 0 selects a slot as well
    uint8_t subtype = (uint8_t)(SR_PARTITION_APP_OTA_0 + (entry->sequence - 1u) % slots);
    return sr_partition_table_find(&contents->table, SR_PARTITION_TYPE_APP, subtype);
}

void contents_app_name(const uint8_t *flash, uint32_t size, uint32_t address, char *out, size_t capacity)
{
    sr_reader_t reader = sr_reader_memory(flash + address, size - address);
    sr_image_t image;
    sr_image_app_desc_t desc;
    sr_mcuboot_image_t mcuboot;
    out[0] = '\0';
    if (sr_image_parse(&reader, &image) == SR_IMAGE_OK) {
        if (sr_image_app_desc(&reader, &image, &desc)) {
            const bool named = desc.project_name[0] != '\0';
            snprintf(out, capacity, "%s%s%s", named ? desc.project_name : "app without a name",
                     desc.version[0] != '\0' ? " " : "", desc.version);
        } else {
            snprintf(out, capacity, "image without a name");
        }
    } else if (sr_mcuboot_parse(&reader, &mcuboot) == SR_MCUBOOT_OK) {
        snprintf(out, capacity, "MCUboot image %u.%u.%u", mcuboot.version_major, mcuboot.version_minor,
                 mcuboot.version_revision);
    }
}

const char *contents_kind_name(contents_kind_t kind)
{
    static const char *const names[] = {
        [CONTENTS_FLASH] = "flash",
        [CONTENTS_PART] = "part",
        [CONTENTS_BOOTLOADER] = "bootloader",
        [CONTENTS_APP] = "app",
        [CONTENTS_MCUBOOT_SLOT] = "mcuboot_slot",
        [CONTENTS_PARTITION_TABLE] = "partition_table",
    };
    return names[kind];
}

const char *contents_kind_text(contents_kind_t kind)
{
    static const char *const texts[] = {
        [CONTENTS_FLASH] = "whole flash",
        [CONTENTS_PART] = "part of a flash",
        [CONTENTS_BOOTLOADER] = "second-stage bootloader",
        [CONTENTS_APP] = "app image",
        [CONTENTS_MCUBOOT_SLOT] = "MCUboot image",
        [CONTENTS_PARTITION_TABLE] = "partition table",
    };
    return texts[kind];
}
