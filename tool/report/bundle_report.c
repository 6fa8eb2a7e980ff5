// SPDX-License-Identifier: Apache-2.0
#include "tool/report/bundle_report.h"

#include "format/sr_boot_choice.h"
#include "format/sr_reader.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/command.h"
#include "tool/base/key_file.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/report/boot_report.h"
#include "tool/report/contents_report.h"
#include "tool/report/signature_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct totals {
    uint32_t sectors, blank; /**< Sectors described, and those of them that are to be blank. */
    uint32_t chunk_bytes;
} totals_t;

static totals_t count(const sr_bundle_t *bundle)
{
    totals_t totals = {0};
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        totals.sectors += region.place.size / SR_SECTOR_SIZE;
        totals.blank += region.kind == SR_BUNDLE_ERASED ? region.place.size / SR_SECTOR_SIZE : 0;
    }
    for (uint32_t i = 0; i < bundle->digest_count; i++) {
        totals.blank += sr_bundle_is_blank(sr_bundle_digest(bundle, i));
    }
    for (uint32_t i = 0; i < bundle->chunk_count; i++) {
        totals.chunk_bytes += sr_bundle_chunk(bundle, i).length;
    }
    return totals;
}

/** The flash as it will be, 0xFF where it is kept. @return NULL after complaining. */
static contents_t *look_into(const bundle_file_t *bundle)
{
    const sr_bundle_t *manifest = &bundle->bundle;
    uint8_t *flash = flash_memory_new(manifest->min_flash_size);
    contents_t *contents = NULL;
    if (flash == NULL) {
        perror(bundle->file.path);
        return NULL;
    }
    memset(flash, 0xFF, manifest->min_flash_size);
    if (bundle_file_apply(bundle, flash) == STATUS_OK) {
        const bool table = manifest->partition_table_offset != SR_BUNDLE_NO_TABLE;
        const boot_chip_t chip = {
            .chip = sr_chip_by_id(manifest->chip_id),
            .partition_table = table ? manifest->partition_table_offset : 0,
        };
        contents = contents_of_flash(flash, manifest->min_flash_size, &chip);
    }
    free(flash);
    return contents;
}

static bool is_described(const sr_bundle_t *bundle, sr_region_t region)
{
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        if (sr_region_overlaps(sr_bundle_region(bundle, i).place, region)) {
            return true;
        }
    }
    return false;
}

/** Finds the app that starts when all is done. @return NULL if what the device has decides, or no table does. */
static const sr_partition_table_entry_t *find_start(const sr_bundle_t *bundle, const contents_t *contents)
{
    sr_boot_choice_t choice;
    const sr_reader_t flash = sr_reader_memory(contents->bytes, contents->size);
    const bool knows = bundle->partition_table_offset != SR_BUNDLE_NO_TABLE && contents->table_present &&
                       sr_boot_choice_make(&flash, &contents->table, &choice) == SR_BOOT_CHOICE_OK;
    if (!knows || (choice.otadata != NULL &&
                   (sr_bundle_want(bundle, choice.otadata->address, NULL) == SR_BUNDLE_KEEP ||
                    sr_bundle_want(bundle, choice.otadata->address + SR_SECTOR_SIZE, NULL) == SR_BUNDLE_KEEP))) {
        return NULL;
    }
    const sr_partition_table_entry_t *app = choice.app;
    for (unsigned skipped = 1; app != NULL && sr_bundle_want(bundle, app->address, NULL) == SR_BUNDLE_BLANK;
         skipped++) {
        app = sr_boot_choice_tried(&contents->table, &choice, skipped);
    }
    return app != NULL && sr_bundle_want(bundle, app->address, NULL) == SR_BUNDLE_CONTENT ? app : NULL;
}

static void print_start(const sr_bundle_t *bundle, const contents_t *contents)
{
    const sr_partition_table_entry_t *app = find_start(bundle, contents);
    terminal_key("starts");
    if (app != NULL) {
        printf("%s at 0x%06" PRIx32 "\n", app->label, app->address);
    } else if (bundle->partition_table_offset == SR_BUNDLE_NO_TABLE) {
        puts("what its bootloader finds, without a partition table");
    } else {
        puts("what otadata and apps on the device decide");
    }
}

static void print_numbers(const bundle_file_t *bundle)
{
    const sr_bundle_t *manifest = &bundle->bundle;
    const totals_t totals = count(manifest);
    const uint32_t content = (totals.sectors - totals.blank) * SR_SECTOR_SIZE;
    char first[NUMBER_TEXT_SIZE];
    char second[NUMBER_TEXT_SIZE];
    char counted[NUMBER_COUNT_SIZE];
    char key[KEY_ID_TEXT_SIZE];
    terminal_key("needs");
    printf("%s of flash, revision v%u.%u or later\n", number_size(manifest->min_flash_size, first),
           manifest->min_chip_revision / 100, manifest->min_chip_revision % 100);
    terminal_key("describes");
    printf("%s (%s), %" PRIu32 " of them blank\n", number_count(totals.sectors, "sector", counted),
           number_size((uint64_t)totals.sectors * SR_SECTOR_SIZE, second), totals.blank);
    terminal_key("carries");
    printf("%s, %s bytes", number_count(manifest->chunk_count, "chunk", counted),
           number_grouped(totals.chunk_bytes, first));
    if (content != 0) {
        printf(": %.1f %% of %s", 100.0 * totals.chunk_bytes / content, number_grouped(content, second));
    }
    putchar('\n');
    terminal_key("table");
    if (manifest->partition_table_offset == SR_BUNDLE_NO_TABLE) {
        puts("none");
    } else {
        printf("at 0x%06" PRIx32 "\n", manifest->partition_table_offset);
    }
    terminal_key("sequence");
    printf("%" PRIu32 "\n", manifest->sequence);
    terminal_key("signature");
    if (bundle->signature.is_signed) {
        printf("by key %s\n", key_id_text(bundle->signature.key_id, key));
    } else {
        terminal_print(STYLE_BAD, "not signed\n");
    }
}

static void print_regions(const bundle_file_t *bundle)
{
    terminal_heading("Regions");
    for (uint32_t i = 0; i < bundle->bundle.region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(&bundle->bundle, i);
        char size[NUMBER_TEXT_SIZE];
        printf("  0x%06" PRIx32 "  %-9s%-11s%s\n", region.place.address,
               region.kind == SR_BUNDLE_ERASED ? "erased" : "written", number_size(region.place.size, size),
               region.initial ? "initial" : "");
    }
}

const char *bundle_report_source(const sr_bundle_move_t *move, char out[BUNDLE_SOURCE_TEXT_SIZE])
{
    if (move->label[0] != '\0') {
        return move->label;
    }
    snprintf(out, BUNDLE_SOURCE_TEXT_SIZE, "0x%06" PRIx32 "+0x%" PRIx32, move->source.address, move->source.size);
    return out;
}

static void print_moves(const bundle_file_t *bundle)
{
    if (bundle->bundle.move_count != 0) {
        terminal_heading("Moves");
    }
    for (uint32_t i = 0; i < bundle->bundle.move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(&bundle->bundle, i);
        char size[NUMBER_TEXT_SIZE];
        char source[BUNDLE_SOURCE_TEXT_SIZE];
        printf("  0x%06" PRIx32 "  %-9s%-11sfrom %s\n", move.destination.address, "moved",
               number_size(move.destination.size, size), bundle_report_source(&move, source));
    }
}

static void print_given_up(const bundle_file_t *bundle)
{
    if (bundle->bundle.given_up_count != 0) {
        terminal_heading("Given up of the old system");
    }
    for (uint32_t i = 0; i < bundle->bundle.given_up_count; i++) {
        const sr_bundle_given_up_t row = sr_bundle_given_up(&bundle->bundle, i);
        char size[NUMBER_TEXT_SIZE];
        if (row.label[0] != '\0') {
            printf("  %s\n", row.label);
        } else {
            printf("  0x%06" PRIx32 "  %s\n", row.place.address, number_size(row.place.size, size));
        }
    }
}

static void print_contents(const bundle_file_t *bundle, const contents_t *contents)
{
    terminal_heading("Contents");
    for (size_t i = 0; i < contents->region_count; i++) {
        const map_region_t *region = &contents->regions[i];
        char size[NUMBER_TEXT_SIZE];
        if (region->kind != REGION_FREE && is_described(&bundle->bundle, region->region)) {
            printf("  0x%06" PRIx32 "  %-11s%s\n", region->region.address, number_size(region->region.size, size),
                   region->label);
        }
    }
}

static void print_signature(const contents_t *contents, const esp_image_info_t *info)
{
    const sr_reader_t reader = contents_reader(contents, info);
    if (info->checksum != CHECK_UNKNOWN &&
        sr_image_has_signature_block(&reader, &info->image, SR_IMAGE_SECURE_BOOT_OFF)) {
        terminal_heading("Secure Boot, image at 0x%06" PRIx32, info->address);
        signature_report_print(&reader, &info->image);
    }
}

static void print_signatures(const contents_t *contents)
{
    if (contents->bootloader.present) {
        print_signature(contents, &contents->bootloader.esp);
    }
    for (size_t i = 0; i < contents->app_count; i++) {
        print_signature(contents, &contents->apps[i]);
    }
}

int bundle_report_print(const bundle_file_t *bundle)
{
    contents_t *contents = look_into(bundle);
    if (contents == NULL) {
        return STATUS_BAD_INPUT;
    }
    char size[NUMBER_TEXT_SIZE];
    const sr_chip_t *chip = sr_chip_by_id(bundle->bundle.chip_id);
    printf("%s%s%s: bundle for %s, %s bytes\n", terminal_style(STYLE_HEADING), bundle->file.path, terminal_reset(),
           chip != NULL ? chip->family : "an unknown chip", number_grouped(bundle->bundle.bundle_size, size));
    print_numbers(bundle);
    print_start(&bundle->bundle, contents);
    print_regions(bundle);
    print_moves(bundle);
    print_given_up(bundle);
    print_contents(bundle, contents);
    print_signatures(contents);
    contents_free(contents);
    return STATUS_OK;
}

static void add_regions(cJSON *json, const sr_bundle_t *bundle)
{
    cJSON *regions = cJSON_AddArrayToObject(json, "regions");
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "offset", region.place.address);
        cJSON_AddNumberToObject(item, "size", region.place.size);
        cJSON_AddStringToObject(item, "kind", region.kind == SR_BUNDLE_ERASED ? "erased" : "written");
        cJSON_AddBoolToObject(item, "initial", region.initial);
        cJSON_AddItemToArray(regions, item);
    }
}

cJSON *bundle_report_move_json(const sr_bundle_move_t *move)
{
    const bool label = move->label[0] != '\0';
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "label", label ? cJSON_CreateString(move->label) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "source_offset", label ? cJSON_CreateNull() : cJSON_CreateNumber(move->source.address));
    cJSON_AddItemToObject(json, "source_size", label ? cJSON_CreateNull() : cJSON_CreateNumber(move->source.size));
    cJSON_AddNumberToObject(json, "offset", move->destination.address);
    cJSON_AddNumberToObject(json, "size", move->destination.size);
    return json;
}

static void add_given_up(cJSON *json, const sr_bundle_t *bundle)
{
    cJSON *list = cJSON_AddArrayToObject(json, "given_up");
    for (uint32_t i = 0; i < bundle->given_up_count; i++) {
        const sr_bundle_given_up_t row = sr_bundle_given_up(bundle, i);
        const bool label = row.label[0] != '\0';
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToObject(item, "label", label ? cJSON_CreateString(row.label) : cJSON_CreateNull());
        cJSON_AddItemToObject(item, "offset", label ? cJSON_CreateNull() : cJSON_CreateNumber(row.place.address));
        cJSON_AddItemToObject(item, "size", label ? cJSON_CreateNull() : cJSON_CreateNumber(row.place.size));
        cJSON_AddItemToArray(list, item);
    }
}

static void add_moves(cJSON *json, const sr_bundle_t *bundle)
{
    cJSON *moves = cJSON_AddArrayToObject(json, "moves");
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(bundle, i);
        cJSON_AddItemToArray(moves, bundle_report_move_json(&move));
    }
}

static void add_numbers(cJSON *json, const bundle_file_t *bundle)
{
    const sr_bundle_t *manifest = &bundle->bundle;
    const totals_t totals = count(manifest);
    const sr_chip_t *chip = sr_chip_by_id(manifest->chip_id);
    const bool table = manifest->partition_table_offset != SR_BUNDLE_NO_TABLE;
    char key[KEY_ID_TEXT_SIZE];
    cJSON_AddNumberToObject(json, "size", manifest->bundle_size);
    cJSON_AddNumberToObject(json, "manifest_size", manifest->manifest_size);
    cJSON_AddItemToObject(json, "chip", chip != NULL ? cJSON_CreateString(chip->name) : cJSON_CreateNull());
    cJSON_AddNumberToObject(json, "chip_id", manifest->chip_id);
    cJSON_AddNumberToObject(json, "min_chip_revision", manifest->min_chip_revision);
    cJSON_AddNumberToObject(json, "min_flash_size", manifest->min_flash_size);
    cJSON_AddItemToObject(json, "partition_table_offset",
                          table ? cJSON_CreateNumber(manifest->partition_table_offset) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "key_id",
                          bundle->signature.is_signed ? cJSON_CreateString(key_id_text(bundle->signature.key_id, key))
                                                      : cJSON_CreateNull());
    cJSON_AddNumberToObject(json, "sequence", manifest->sequence);
    cJSON_AddNumberToObject(json, "sectors", totals.sectors);
    cJSON_AddNumberToObject(json, "sectors_blank", totals.blank);
    cJSON_AddNumberToObject(json, "chunks", manifest->chunk_count);
    cJSON_AddNumberToObject(json, "chunk_bytes", totals.chunk_bytes);
}

cJSON *bundle_report_json(const bundle_file_t *bundle)
{
    contents_t *contents = look_into(bundle);
    if (contents == NULL) {
        return NULL;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", bundle->file.path);
    cJSON_AddStringToObject(json, "kind", "bundle");
    add_numbers(json, bundle);
    add_regions(json, &bundle->bundle);
    add_moves(json, &bundle->bundle);
    add_given_up(json, &bundle->bundle);
    const sr_partition_table_entry_t *app = find_start(&bundle->bundle, contents);
    cJSON_AddItemToObject(json, "starts", app != NULL ? cJSON_CreateNumber(app->address) : cJSON_CreateNull());
    cJSON *inside = contents_report_json(contents, bundle->file.path);
    cJSON_DeleteItemFromObject(inside, "boot"); // what boots may depend on flash that is kept
    cJSON_AddItemToObject(json, "contents", inside);
    contents_free(contents);
    return json;
}

int bundle_report_print_json(const bundle_file_t *bundle)
{
    cJSON *json = bundle_report_json(bundle);
    if (json == NULL) {
        return STATUS_BAD_INPUT;
    }
    json_print(json);
    return STATUS_OK;
}
