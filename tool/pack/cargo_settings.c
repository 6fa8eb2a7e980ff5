// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/cargo_settings.h"

#include "tool/base/command.h"
#include "tool/base/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum setting_kind {
    KIND_SWITCH,       /**< True or false, in the file. */
    KIND_TEXT,         /**< A text, in the file. */
    KIND_NUMBER,       /**< A number, in the file; in a cargo its decimal digits. */
    KIND_WHEN,         /**< One of two words, in the file. */
    KIND_COMMAND_LINE, /**< Given by an option of the command line. */
} setting_kind_t;

/** What there is, in the order of a cargo. */
typedef struct known {
    const char *name;
    setting_kind_t kind;
    const char *option;       /**< Of the command line. */
    size_t shortest, longest; /**< Bytes of a text. */
} known_t;

#define NAMES "allow_in_place, allow_temporary_table, ap_password, min_sequence, when, wifi_password, wifi_ssid"
static const known_t known[CARGO_SETTINGS_MAX] = {
    {.name = "allow_in_place", .kind = KIND_SWITCH},
    {.name = "allow_temporary_table", .kind = KIND_SWITCH},
    {.name = "ap_password", .kind = KIND_TEXT, .shortest = 8, .longest = 63},
    {.name = "min_sequence", .kind = KIND_NUMBER},
    {.name = "public_key", .kind = KIND_COMMAND_LINE, .option = "--public-key FILE"},
    {.name = "url", .kind = KIND_COMMAND_LINE, .option = "--url URL"},
    {.name = "when", .kind = KIND_WHEN},
    {.name = "wifi_password", .kind = KIND_TEXT, .shortest = 8, .longest = 64},
    {.name = "wifi_ssid", .kind = KIND_TEXT, .shortest = 1, .longest = 32},
};

/** What `when` can be. The first is how it is without. */
#define AT_ONCE     "now"
#define ON_A_BUTTON "button"

static const known_t *find_known(const char *name)
{
    for (size_t i = 0; i < CARGO_SETTINGS_MAX; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static bool is_number(const cJSON *item)
{
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= UINT32_MAX &&
           item->valuedouble == (uint32_t)item->valuedouble;
}

static int check_value(const char *path, const known_t *setting, const cJSON *item)
{
    const char *text = cJSON_GetStringValue(item);
    switch (setting->kind) {
    case KIND_SWITCH:
        return cJSON_IsBool(item) ? STATUS_OK
                                  : complain(STATUS_BAD_INPUT, "%s: %s: true or false is needed", path, setting->name);
    case KIND_TEXT:
        return text != NULL && strlen(text) >= setting->shortest && strlen(text) <= setting->longest
                   ? STATUS_OK
                   : complain(STATUS_BAD_INPUT, "%s: %s: a text of %zu to %zu bytes is needed", path, setting->name,
                              setting->shortest, setting->longest);
    case KIND_NUMBER:
        return is_number(item) ? STATUS_OK
                               : complain(STATUS_BAD_INPUT, "%s: %s: a whole number from 0 to 4294967295 is needed",
                                          path, setting->name);
    case KIND_WHEN:
        return text != NULL && (strcmp(text, AT_ONCE) == 0 || strcmp(text, ON_A_BUTTON) == 0)
                   ? STATUS_OK
                   : complain(STATUS_BAD_INPUT, "%s: %s: \"" AT_ONCE "\" or \"" ON_A_BUTTON "\" is needed", path,
                              setting->name);
    case KIND_COMMAND_LINE:
        break;
    }
    return complain(STATUS_BAD_INPUT, "%s: %s is given on the command line: %s", path, setting->name, setting->option);
}

/** Each member is known, is there once, and of the right type. */
static int check(const char *path, const cJSON *json)
{
    if (!cJSON_IsObject(json)) {
        return complain(STATUS_BAD_INPUT, "%s: an object is needed, such as {\"%s\": true}", path, known[1].name);
    }
    for (const cJSON *item = json->child; item != NULL; item = item->next) {
        const known_t *setting = find_known(item->string);
        if (setting == NULL) {
            return complain(STATUS_BAD_INPUT, "%s: unknown setting '%s' (known: " NAMES ")", path, item->string);
        }
        if (cJSON_GetObjectItemCaseSensitive(json, item->string) != item) {
            return complain(STATUS_BAD_INPUT, "%s: %s is there twice", path, item->string);
        }
        const int status = check_value(path, setting, item);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/** What a cargo has for a member of the file; NULL: nothing, as if it were not there. */
static const char *value_of(cargo_settings_t *settings, const known_t *setting, const cargo_given_t *given)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(settings->json, setting->name);
    switch (setting->kind) {
    case KIND_SWITCH:
        return cJSON_IsTrue(item) ? "1" : NULL;
    case KIND_TEXT:
        return item == NULL && strcmp(setting->name, "ap_password") == 0 ? given->ap_password
                                                                         : cJSON_GetStringValue(item);
    case KIND_NUMBER:
        if (item == NULL || item->valuedouble == 0) {
            return NULL;
        }
        snprintf(settings->number, sizeof(settings->number), "%.0f", item->valuedouble);
        return settings->number;
    case KIND_WHEN:
        return item != NULL && strcmp(cJSON_GetStringValue(item), ON_A_BUTTON) == 0 ? ON_A_BUTTON : NULL;
    case KIND_COMMAND_LINE:
        break;
    }
    return strcmp(setting->name, "url") == 0 ? given->url : given->public_key;
}

static int check_access(const char *path, const cargo_settings_t *settings)
{
    return cargo_settings_get(settings, "wifi_password") != NULL && cargo_settings_get(settings, "wifi_ssid") == NULL
               ? complain(STATUS_BAD_INPUT, "%s: wifi_password without wifi_ssid", path)
               : STATUS_OK;
}

int cargo_settings_read(const char *path, const cargo_given_t *given, cargo_settings_t *settings)
{
    *settings = (cargo_settings_t){0};
    int status = path != NULL ? json_file_load(path, &settings->json) : STATUS_OK;
    if (status == STATUS_OK && path != NULL) {
        status = check(path, settings->json);
    }
    for (size_t i = 0; i < CARGO_SETTINGS_MAX && status == STATUS_OK; i++) {
        const char *value = value_of(settings, &known[i], given);
        if (value != NULL) {
            settings->list[settings->count++] = (sr_cargo_setting_t){.name = known[i].name, .value = value};
        }
    }
    return status == STATUS_OK ? check_access(path, settings) : status;
}

void cargo_settings_free(cargo_settings_t *settings)
{
    cJSON_Delete(settings->json);
    settings->json = NULL;
}

const char *cargo_settings_get(const cargo_settings_t *settings, const char *name)
{
    for (unsigned i = 0; i < settings->count; i++) {
        if (strcmp(settings->list[i].name, name) == 0) {
            return settings->list[i].value;
        }
    }
    return NULL;
}
