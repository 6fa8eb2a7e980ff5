// SPDX-License-Identifier: Apache-2.0
#include "tool/report/cargo_report.h"

#include "format/sr_signature.h"
#include "tool/base/command.h"
#include "tool/base/key_file.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/report/boot_report.h"
#include "tool/report/bundle_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC_KEY "public_key"
#define HIDDEN     "(not shown)"

cargo_info_t cargo_info(const uint8_t *app, uint32_t room, const sr_image_t *image)
{
    cargo_info_t info = {0};
    const sr_reader_t reader = sr_reader_memory(app, room);
    info.status = sr_cargo_find(&reader, image, &info.cargo);
    if (info.status == SR_CARGO_OK) {
        info.settings = (const char *)app + info.cargo.settings.address;
        info.status = sr_cargo_check_settings(info.settings, info.cargo.settings.size);
    }
    if (info.status == SR_CARGO_OK && info.cargo.bundle.size > 0) {
        info.bundle = app + info.cargo.bundle.address;
        info.trust = bundle_file_trust(info.bundle, info.cargo.bundle.size,
                                       sr_cargo_setting(info.settings, info.cargo.settings.size, PUBLIC_KEY));
    }
    return info;
}

/** What is shown of a setting: a key by its id, and no password. @param out For an id. */
static const char *value_text(const sr_cargo_setting_t *setting, char out[KEY_ID_TEXT_SIZE])
{
    static const char password[] = "password";
    sr_signature_public_key_t key;
    const size_t length = strlen(setting->name);
    if (length >= sizeof(password) - 1 && strcmp(setting->name + length - (sizeof(password) - 1), password) == 0) {
        return HIDDEN;
    }
    if (strcmp(setting->name, PUBLIC_KEY) != 0) {
        return setting->value;
    }
    return sr_signature_public_key_read(setting->value, &key) == SR_BUNDLE_OK ? key_id_text(key.id, out)
                                                                              : "not a key on P-256";
}

static void print_bundle(const cargo_info_t *info)
{
    char size[NUMBER_TEXT_SIZE];
    terminal_key("cargo");
    if (info->bundle == NULL) {
        puts("no bundle");
        return;
    }
    printf("bundle of %s bytes, ", number_grouped(info->cargo.bundle.size, size));
    if (info->trust == SR_BUNDLE_OK) {
        terminal_print(STYLE_GOOD, "signed with the key in it");
    } else {
        terminal_print(STYLE_BAD, sr_bundle_status_text(info->trust));
    }
    putchar('\n');
}

void cargo_report_print(const cargo_info_t *info)
{
    sr_cargo_setting_t setting;
    char id[KEY_ID_TEXT_SIZE];
    if (info->status == SR_CARGO_NONE) {
        return;
    }
    if (info->status != SR_CARGO_OK) {
        terminal_key("cargo");
        terminal_print(STYLE_BAD, sr_cargo_status_text(info->status));
        putchar('\n');
        return;
    }
    print_bundle(info);
    for (uint32_t at = 0; sr_cargo_next_setting(info->settings, info->cargo.settings.size, &at, &setting);) {
        terminal_key("setting");
        printf("%s: %s\n", setting.name, value_text(&setting, id));
    }
}

/** The bundle alone, in memory of its own. @return NULL without memory. */
static uint8_t *copy_bundle(const cargo_info_t *info)
{
    uint8_t *bytes = malloc(info->cargo.bundle.size);
    if (bytes != NULL) {
        memcpy(bytes, info->bundle, info->cargo.bundle.size);
    }
    return bytes;
}

static cJSON *bundle_json(const cargo_info_t *info)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "offset", info->cargo.bundle.address);
    cJSON_AddNumberToObject(json, "size", info->cargo.bundle.size);
    cJSON_AddBoolToObject(json, "verified", info->trust == SR_BUNDLE_OK);
    cJSON_AddStringToObject(json, "status", sr_bundle_status_text(info->trust));
    return json;
}

cJSON *cargo_report_json(const cargo_info_t *info)
{
    sr_cargo_setting_t setting;
    char id[KEY_ID_TEXT_SIZE];
    if (info->status == SR_CARGO_NONE) {
        return cJSON_CreateNull();
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "status", sr_cargo_status_text(info->status));
    cJSON *settings = cJSON_AddObjectToObject(json, "settings");
    for (uint32_t at = 0; info->status == SR_CARGO_OK &&
                          sr_cargo_next_setting(info->settings, info->cargo.settings.size, &at, &setting);) {
        cJSON_AddStringToObject(settings, setting.name, value_text(&setting, id));
    }
    cJSON_AddItemToObject(json, "bundle", info->bundle != NULL ? bundle_json(info) : cJSON_CreateNull());
    return json;
}

int cargo_report_print_bundle(const cargo_info_t *info, const char *path)
{
    char name[512];
    bundle_file_t bundle;
    if (info->bundle == NULL) {
        return STATUS_OK;
    }
    (void)snprintf(name, sizeof(name), "%s, in its cargo", path);
    const image_file_t file = {.path = name, .bytes = copy_bundle(info), .size = info->cargo.bundle.size};
    if (file.bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", path);
    }
    int status = bundle_file_open(&file, &bundle);
    if (status == STATUS_OK) {
        putchar('\n');
        status = bundle_report_print(&bundle);
    }
    bundle_file_free(&bundle);
    return status;
}
