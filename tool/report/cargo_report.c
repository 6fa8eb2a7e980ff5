// SPDX-License-Identifier: Apache-2.0
#include "tool/report/cargo_report.h"

#include "format/sr_signature.h"
#include "sim/nor/flash_buffer.h"
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

static bool is_secret(const char *name)
{
    static const char *const words[] = {"password", "psk", "secret", "token", "key"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(name, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/** The password of a URL, between the first ':' and the last '@' of what stands in front of its path. Other values have
 *  none. @param[out] length Of the password; 0: there is none. */
static const char *find_password(const char *value, int *length)
{
    const char *scheme = strstr(value, "://");
    const char *authority = scheme != NULL ? scheme + strlen("://") : value;
    const char *colon = authority + strcspn(authority, ":/?#");
    const char *at = authority + strcspn(authority, "/?#");
    while (at > colon && *at != '@') {
        at--;
    }
    *length = scheme != NULL && at > colon ? (int)(at - colon - 1) : 0;
    return colon + 1;
}

const char *cargo_value_text(const sr_cargo_setting_t *setting, char out[CARGO_VALUE_SIZE])
{
    sr_signature_public_key_t key;
    int length = 0;
    if (strcmp(setting->name, PUBLIC_KEY) == 0) {
        return sr_signature_public_key_read(setting->value, &key) == SR_BUNDLE_OK ? key_id_text(key.id, out)
                                                                                  : "not a key on P-256";
    }
    if (is_secret(setting->name)) {
        return HIDDEN;
    }
    const char *password = find_password(setting->value, &length);
    if (length == 0) {
        return setting->value;
    }
    (void)snprintf(out, CARGO_VALUE_SIZE, "%.*s***%s", (int)(password - setting->value), setting->value,
                   password + length);
    return out;
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
    char text[CARGO_VALUE_SIZE];
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
        printf("%s: ", setting.name);
        terminal_tame(cargo_value_text(&setting, text));
        putchar('\n');
    }
}

/** The bundle alone, in memory of its own. @return NULL without memory. */
static uint8_t *copy_bundle(const cargo_info_t *info)
{
    uint8_t *bytes = flash_memory_new(info->cargo.bundle.size);
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
    char text[CARGO_VALUE_SIZE];
    if (info->status == SR_CARGO_NONE) {
        return cJSON_CreateNull();
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "status", sr_cargo_status_text(info->status));
    cJSON *settings = cJSON_AddObjectToObject(json, "settings");
    for (uint32_t at = 0; info->status == SR_CARGO_OK &&
                          sr_cargo_next_setting(info->settings, info->cargo.settings.size, &at, &setting);) {
        cJSON_AddStringToObject(settings, setting.name, cargo_value_text(&setting, text));
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
