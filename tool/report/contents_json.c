// SPDX-License-Identifier: Apache-2.0
// The report as JSON. Addresses are numbers; what is absent is null.
#include "tool/report/contents_report.h"

#include "tool/base/number.h"
#include "tool/report/boot_report.h"
#include "tool/report/cargo_report.h"
#include "tool/report/contents_names.h"
#include "tool/report/dump_extent.h"
#include "tool/report/encrypted_report.h"
#include "tool/report/signature_report.h"
#include "tool/report/table_problem.h"

#include <stdio.h>

static void add_hex(cJSON *json, const char *name, const uint8_t *bytes, size_t count)
{
    char text[2 * SR_SHA256_SIZE + 1];
    cJSON_AddStringToObject(json, name, number_hex(bytes, count < SR_SHA256_SIZE ? count : SR_SHA256_SIZE, text));
}

static void add_revision(cJSON *json, const char *name, uint16_t revision)
{
    char text[16];
    snprintf(text, sizeof(text), "%u.%u", revision / 100u, revision % 100u);
    cJSON_AddStringToObject(json, name, text);
}

static cJSON *signatures_json(const contents_t *contents, const esp_image_info_t *info)
{
    const sr_reader_t reader = contents_reader(contents, info);
    return info->checksum != CHECK_UNKNOWN ? signature_report_json(&reader, &info->image) : cJSON_CreateArray();
}

static cJSON *esp_image_json(const contents_t *contents, const esp_image_info_t *info)
{
    cJSON *json = cJSON_CreateObject();
    const sr_chip_t *chip = sr_chip_by_id(info->image.chip_id);
    cJSON_AddNumberToObject(json, "offset", info->address);
    cJSON_AddStringToObject(json, "status", sr_image_status_text(info->status));
    cJSON_AddBoolToObject(json, "intact", info->status == SR_IMAGE_OK);
    cJSON_AddItemToObject(json, "chip", chip != NULL ? cJSON_CreateString(chip->name) : cJSON_CreateNull());
    cJSON_AddNumberToObject(json, "chip_id", info->image.chip_id);
    add_revision(json, "min_revision", info->image.min_chip_rev_full);
    add_revision(json, "max_revision", info->image.max_chip_rev_full);
    cJSON_AddNumberToObject(json, "segments", info->image.segment_count);
    cJSON_AddStringToObject(json, "checksum", check_state_name(info->checksum));
    cJSON_AddStringToObject(json, "digest", check_state_name(info->digest));
    if (info->checksum != CHECK_UNKNOWN) {
        cJSON_AddNumberToObject(json, "length", info->image.length);
        add_hex(json, "sha256", info->sha256, SR_SHA256_SIZE);
    }
    cJSON_AddItemToObject(json, "signatures", signatures_json(contents, info));
    return json;
}

static cJSON *bootloader_json(const contents_t *contents)
{
    const bootloader_info_t *bootloader = &contents->bootloader;
    char text[NAME_SIZE];
    cJSON *json = esp_image_json(contents, &bootloader->esp);
    cJSON_AddStringToObject(json, "kind", boot_loader_text(bootloader->kind));
    cJSON_AddStringToObject(json, "version", bootloader->version);
    cJSON_AddStringToObject(json, "built", bootloader->built);
    cJSON_AddStringToObject(json, "flash_size", flash_size_name(&bootloader->esp.image, text));
    cJSON_AddStringToObject(json, "flash_mode", flash_mode_name(&bootloader->esp.image, text));
    cJSON_AddStringToObject(json, "flash_clock", flash_clock_name(contents->chip.chip, &bootloader->esp.image, text));
    return json;
}

static cJSON *table_json(const contents_t *contents)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "offset", contents->table_address);
    cJSON_AddStringToObject(json, "status", sr_partition_table_status_text(contents->table_status));
    cJSON_AddBoolToObject(json, "valid", contents->table_status == SR_PARTITION_TABLE_OK);
    cJSON_AddBoolToObject(json, "md5", contents->table.has_md5);
    cJSON *problems = cJSON_AddArrayToObject(json, "problems");
    for (unsigned i = 0; i < contents->table.count; i++) {
        char problem[TABLE_PROBLEM_SIZE];
        if (table_problem(&contents->table, i, problem)) {
            cJSON_AddItemToArray(problems, cJSON_CreateString(problem));
        }
    }
    cJSON *entries = cJSON_AddArrayToObject(json, "entries");
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        char text[NAME_SIZE];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", entry->label);
        cJSON_AddStringToObject(item, "type", partition_type_name(entry, text));
        cJSON_AddStringToObject(item, "subtype", partition_subtype_name(entry, text));
        cJSON_AddNumberToObject(item, "offset", entry->address);
        cJSON_AddNumberToObject(item, "size", entry->size);
        cJSON_AddBoolToObject(item, "encrypted", (entry->flags & SR_PARTITION_FLAG_ENCRYPTED) != 0);
        cJSON_AddItemToArray(entries, item);
    }
    return json;
}

static cJSON *otadata_json(const contents_t *contents)
{
    int active = sr_otadata_active(&contents->otadata);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "offset", contents->otadata_partition->address);
    cJSON_AddItemToObject(json, "active", active < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(active));
    cJSON *entries = cJSON_AddArrayToObject(json, "entries");
    for (unsigned i = 0; i < 2; i++) {
        const sr_otadata_entry_t *entry = &contents->otadata.entries[i];
        const sr_partition_table_entry_t *slot = contents_selected_slot(contents, entry);
        char state[NAME_SIZE];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "sequence", entry->sequence);
        cJSON_AddStringToObject(item, "state", ota_state_name(entry->state, state));
        cJSON_AddBoolToObject(item, "crc_good", entry->crc == sr_otadata_crc(entry->sequence));
        cJSON_AddItemToObject(item, "slot", slot != NULL ? cJSON_CreateString(slot->label) : cJSON_CreateNull());
        cJSON_AddItemToArray(entries, item);
    }
    return json;
}

static cJSON *cargo_json(const contents_t *contents, const esp_image_info_t *app)
{
    cargo_info_t cargo = {.status = SR_CARGO_NONE};
    if (app->checksum != CHECK_UNKNOWN) {
        cargo = cargo_info(contents->bytes + app->address, app->image.length, &app->image);
    }
    return cargo_report_json(&cargo);
}

static cJSON *app_json(const contents_t *contents, const esp_image_info_t *app)
{
    cJSON *json = esp_image_json(contents, app);
    cJSON_AddStringToObject(json, "partition", app->label);
    cJSON_AddItemToObject(json, "cargo", cargo_json(contents, app));
    if (app->described) {
        cJSON_AddStringToObject(json, "name", app->desc.project_name);
        cJSON_AddStringToObject(json, "version", app->desc.version);
        cJSON_AddStringToObject(json, "idf_version", app->desc.idf_ver);
        cJSON_AddStringToObject(json, "date", app->desc.date);
        cJSON_AddStringToObject(json, "time", app->desc.time);
        add_hex(json, "elf_sha256", app->desc.elf_sha256, SR_SHA256_SIZE);
    }
    return json;
}

static cJSON *mcuboot_json(const mcuboot_info_t *info)
{
    char version[40];
    const sr_mcuboot_image_t *image = &info->image;
    snprintf(version, sizeof(version), "%u.%u.%u+%u", image->version_major, image->version_minor,
             image->version_revision, (unsigned)image->version_build);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "offset", info->address);
    cJSON_AddStringToObject(json, "status", sr_mcuboot_status_text(info->status));
    cJSON_AddBoolToObject(json, "intact", info->status == SR_MCUBOOT_OK);
    cJSON_AddStringToObject(json, "version", version);
    cJSON_AddNumberToObject(json, "length", image->length);
    cJSON_AddBoolToObject(json, "signed", image->has_signature);
    if (info->slot_size == 0) {
        cJSON_AddNullToObject(json, "trailer");
        return json;
    }
    cJSON_AddNumberToObject(json, "slot_size", info->slot_size);
    cJSON *trailer = cJSON_AddObjectToObject(json, "trailer");
    cJSON_AddBoolToObject(trailer, "confirmed", info->image_ok);
    cJSON_AddBoolToObject(trailer, "copy_done", info->copy_done);
    return json;
}

cJSON *contents_report_json(const contents_t *contents, const char *path)
{
    bool otadata = contents->otadata_partition != NULL && contents->bootloader.kind != BOOT_LOADER_MCUBOOT;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", path);
    cJSON_AddStringToObject(json, "kind", contents_kind_name(contents->kind));
    cJSON_AddNumberToObject(json, "offset", contents->present.address);
    cJSON_AddNumberToObject(json, "size", contents->present.size);
    cJSON_AddStringToObject(json, "chip", contents->chip.chip != NULL ? contents->chip.chip->name : "");
    cJSON_AddItemToObject(json, "encryption", encrypted_report_opened_json(contents));
    cJSON_AddItemToObject(json, "bootloader",
                          contents->bootloader.present ? bootloader_json(contents) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "partition_table", contents->table_present ? table_json(contents) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "otadata", otadata ? otadata_json(contents) : cJSON_CreateNull());
    cJSON *apps = cJSON_AddArrayToObject(json, "apps");
    for (size_t i = 0; i < contents->app_count; i++) {
        cJSON_AddItemToArray(apps, app_json(contents, &contents->apps[i]));
    }
    cJSON *mcuboot = cJSON_AddArrayToObject(json, "mcuboot_images");
    for (size_t i = 0; i < contents->mcuboot_count; i++) {
        cJSON_AddItemToArray(mcuboot, mcuboot_json(&contents->mcuboot[i]));
    }
    if (contents->kind == CONTENTS_FLASH) {
        cJSON_AddItemToObject(json, "boot", dump_boot_json(contents));
    }
    return json;
}
