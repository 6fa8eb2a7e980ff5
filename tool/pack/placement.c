// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/placement.h"

#include "format/sr_boot_choice.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "tool/base/command.h"
#include "tool/base/content_kind.h"
#include "tool/base/file_kind.h"

#include <inttypes.h>
#include <stdio.h>

#define LARGEST_LOADER 0x10000u /**< No bootloader of an ESP32 is as long: its code lies in RAM. */
#define SMALLEST_FLASH 0x100000u
#define ANYWAY         "; if you mean it, --skip-check " PLACEMENT_CHECK_NAME

/** Where a merged image may start, or have its bootloader: the start of the flash, and where the chips look for one. */
static const uint32_t bases[] = {0, 0x1000, 0x2000};

/** A part, what it is, and what is checked against. */
typedef struct placement {
    const flash_part_t *part;
    content_t content;
    const char *mistaken; /**< What it is instead of an image; NULL: it may be one. */
    const pack_result_t *result;
} placement_t;

/** An ESP image that starts at an offset of a file. @return false if none does, or it is for no known chip. */
static bool find_image(const image_file_t *file, uint32_t offset, sr_image_t *image, bool *is_app)
{
    if (offset >= file->size || file->bytes[offset] != SR_IMAGE_MAGIC) {
        return false;
    }
    sr_image_app_desc_t desc;
    const sr_reader_t reader = sr_reader_memory(file->bytes + offset, file->size - offset);
    const sr_image_status_t status = sr_image_parse(&reader, image);
    *is_app = sr_image_app_desc(&reader, image, &desc);
    return (status == SR_IMAGE_OK || status == SR_IMAGE_TRUNCATED) && sr_chip_by_id(image->chip_id) != NULL;
}

/** A bootloader and a table, each at its distance from where the image was made to start. */
static bool is_merged(const placement_t *what)
{
    const content_t *content = &what->content;
    const image_file_t *file = &what->part->file;
    return (content->kind == CONTENT_KIND_MERGED || content->kind == CONTENT_KIND_FLASH) &&
           content_kind_has_table(file->bytes, file->size, SR_PARTITION_TABLE_OFFSET - content->base);
}

static int refuse_bootloader(const placement_t *what, uint32_t address, const sr_chip_t *chip)
{
    return complain(STATUS_NO,
                    "%s: the bootloader at 0x%" PRIx32 " is for %s, which looks for it at 0x%" PRIx32
                    ": put it there" ANYWAY,
                    what->part->name, address, chip->family, chip->bootloader_offset);
}

static int check_chip(const placement_t *what, uint32_t address, const sr_image_t *image)
{
    const sr_chip_t *own = sr_chip_by_id(image->chip_id);
    return own == what->result->chip
               ? STATUS_OK
               : complain(STATUS_NO,
                          "%s: the image at 0x%" PRIx32 " is for %s, and this bundle for %s: --chip %s" ANYWAY,
                          what->part->name, address, own->family, what->result->chip->family, own->name);
}

static const sr_partition_table_entry_t *partition_at(const pack_result_t *result, uint32_t address)
{
    for (unsigned i = 0; i < result->table.count; i++) {
        const sr_partition_table_entry_t *entry = &result->table.entries[i];
        if (address >= entry->address && address - entry->address < entry->size) {
            return entry;
        }
    }
    return NULL;
}

/** Bootloaders also lie where a partition for one is, and, as a second system, in an app's place: MCUboot, tinyuf2. */
static int check_bootloader(const placement_t *what, uint32_t address)
{
    const sr_chip_t *chip = what->result->chip;
    const sr_partition_table_entry_t *entry = partition_at(what->result, address);
    const bool has_partition = entry != NULL && entry->address == address &&
                               (entry->type == SR_PARTITION_TYPE_BOOTLOADER || entry->type == SR_PARTITION_TYPE_APP);
    return address == chip->bootloader_offset || has_partition ? STATUS_OK : refuse_bootloader(what, address, chip);
}

/** Names the app partitions, for people. */
static const char *app_places(const pack_result_t *result, char out[160])
{
    size_t used = 0;
    (void)snprintf(out, 160, "%s", "the table has no place for an app");
    for (unsigned i = 0; i < result->table.count && used < 120; i++) {
        const sr_partition_table_entry_t *entry = &result->table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_APP) {
            used += (size_t)snprintf(out + used, 160 - used, "%s%s at 0x%" PRIx32, used == 0 ? "apps go to " : ", ",
                                     entry->label, entry->address);
        }
    }
    return out;
}

static int check_app(const placement_t *what, uint32_t address, const sr_image_t *image)
{
    char places[160];
    const sr_partition_table_entry_t *entry = partition_at(what->result, address);
    if (address < SR_PARTITION_TABLE_OFFSET) {
        return complain(STATUS_NO, "%s: is an app, and 0x%" PRIx32 " is no place for one: %s" ANYWAY, what->part->name,
                        address, app_places(what->result, places));
    }
    if (what->result->table.count == 0) {
        return STATUS_OK; // the device has the table
    }
    if (entry == NULL || entry->type != SR_PARTITION_TYPE_APP || entry->address != address) {
        return complain(STATUS_NO, "%s: is an app, and no partition for one starts at 0x%" PRIx32 ": %s" ANYWAY,
                        what->part->name, address, app_places(what->result, places));
    }
    return image->length <= entry->size
               ? STATUS_OK
               : complain(STATUS_NO,
                          "%s: the app has %" PRIu32 " bytes, and its partition %s at 0x%" PRIx32 " has %" PRIu32
                          ": %" PRIu32 " too many; take a table with larger slots" ANYWAY,
                          what->part->name, image->length, entry->label, address, entry->size,
                          image->length - entry->size);
}

/** An ESP image at an offset of the part. */
static int check_image(const placement_t *what, uint32_t offset)
{
    sr_image_t image;
    bool is_app = false;
    if (!find_image(&what->part->file, offset, &image, &is_app)) {
        return STATUS_OK;
    }
    const uint32_t address = what->part->address + offset;
    const int status = check_chip(what, address, &image);
    if (status != STATUS_OK) {
        return status;
    }
    if (is_app) {
        return check_app(what, address, &image);
    }
    return image.length <= LARGEST_LOADER ? check_bootloader(what, address) : STATUS_OK;
}

/** Merged images, and dumps: what is inside. */
static int check_merged(const placement_t *what)
{
    const flash_part_t *part = what->part;
    const uint32_t base = what->content.base;
    if (part->address != base) {
        return complain(STATUS_NO,
                        "%s: is a merged image, bootloader and table included, which starts at 0x%" PRIx32
                        " and not at 0x%" PRIx32 ": --merged FILE@0x%" PRIx32 "; for the app alone take the file that "
                        "is made for updates" ANYWAY,
                        part->name, base, part->address, base);
    }
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        const int status = bases[i] >= base ? check_image(what, bases[i] - base) : STATUS_OK;
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/** A dump has the size of a flash. One that is smaller than its own bootloader says was not read to the end. */
static int check_whole(const placement_t *what)
{
    const flash_part_t *part = what->part;
    const uint32_t size = part->file.size;
    sr_image_t image;
    bool is_app;
    if (part->address != 0 || size < SMALLEST_FLASH || (size & (size - 1)) != 0 ||
        !find_image(&part->file, what->result->chip->bootloader_offset, &image, &is_app)) {
        return STATUS_OK;
    }
    const uint32_t said = SMALLEST_FLASH << image.spi_size;
    return image.spi_size > 7 || size >= said
               ? STATUS_OK
               : complain(
                     STATUS_NO,
                     "%s: was cut short: %u MB of a flash that has %u MB by its bootloader; read all of it, esptool "
                     "read-flash 0 ALL" ANYWAY,
                     part->name, size >> 20, said >> 20);
}

static int check_table(const placement_t *what)
{
    const flash_part_t *part = what->part;
    return part->address == what->result->table_offset
               ? STATUS_OK
               : complain(STATUS_NO,
                          "%s: is a partition table, at 0x%" PRIx32
                          ", and the bootloader looks for one at 0x%x: put it "
                          "there, or say --partition-table 0x%" PRIx32 ANYWAY,
                          part->name, part->address,
                          what->result->table_offset != SR_BUNDLE_NO_TABLE ? (unsigned)what->result->table_offset
                                                                           : SR_PARTITION_TABLE_OFFSET,
                          part->address);
}

static int check_otadata(const placement_t *what)
{
    const flash_part_t *part = what->part;
    const sr_partition_table_entry_t *own = sr_boot_choice_otadata(&what->result->table);
    if (what->result->table.count == 0 || (own != NULL && own->address == part->address)) {
        return STATUS_OK;
    }
    return own == NULL ? complain(STATUS_NO, "%s: is otadata, and the table has none: leave it out" ANYWAY, part->name)
                       : complain(STATUS_NO,
                                  "%s: is otadata, at 0x%" PRIx32 ", and the table has it at 0x%" PRIx32
                                  ": put it there" ANYWAY,
                                  part->name, part->address, own->address);
}

/** What is no image may be data, where the new system has data. */
static int check_mistaken(const placement_t *what)
{
    const image_file_t *file = &what->part->file;
    const pack_result_t *result = what->result;
    const sr_partition_table_entry_t *entry = partition_at(result, what->part->address);
    if (result->table.count != 0 && what->part->address > result->table_offset &&
        (entry == NULL || entry->type != SR_PARTITION_TYPE_APP)) {
        file_kind_warn(file);
        return STATUS_OK;
    }
    return complain(STATUS_NO, "%s %s" ANYWAY, file->path, what->mistaken);
}

static int check_part(const placement_t *what)
{
    if (what->mistaken != NULL) {
        return check_mistaken(what);
    }
    if (what->content.kind == CONTENT_KIND_TABLE) {
        return check_table(what);
    }
    if (what->content.kind == CONTENT_KIND_OTADATA) {
        return check_otadata(what);
    }
    if (is_merged(what)) {
        const int status = check_merged(what);
        return status == STATUS_OK ? check_whole(what) : status;
    }
    return check_image(what, 0);
}

int placement_check(const flash_parts_t *parts, const pack_result_t *result)
{
    for (size_t i = 0; i < parts->count; i++) {
        placement_t what = {.part = &parts->list[i], .result = result};
        const image_file_t *file = &what.part->file;
        content_kind_find(file->bytes, file->size, NULL, SR_PARTITION_TABLE_OFFSET, &what.content);
        what.mistaken = file_kind_mistaken_given(file, what.content.kind);
        const int status = check_part(&what);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}
