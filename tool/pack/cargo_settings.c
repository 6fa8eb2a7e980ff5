// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/cargo_settings.h"

#include "tool/base/command.h"
#include "tool/base/json_file.h"

#include <string.h>

#define PUBLIC_KEY "public_key"

/** What may be in a file: all are true or false. In the order of a cargo, in front of the key. */
static const char *const switches[] = {"allow_in_place", "allow_temporary_table"};
#define SWITCH_COUNT (sizeof(switches) / sizeof(switches[0]))

static bool is_switch(const char *name)
{
    for (size_t i = 0; i < SWITCH_COUNT; i++) {
        if (strcmp(switches[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/** Each member is known, is there once, and of the right type. */
static int check(const char *path, const cJSON *json)
{
    if (!cJSON_IsObject(json)) {
        return complain(STATUS_BAD_INPUT, "%s: an object is needed, such as {\"%s\": true}", path, switches[1]);
    }
    for (const cJSON *item = json->child; item != NULL; item = item->next) {
        if (strcmp(item->string, PUBLIC_KEY) == 0) {
            return complain(STATUS_BAD_INPUT, "%s: " PUBLIC_KEY ": the key is given as --public-key FILE", path);
        }
        if (!is_switch(item->string)) {
            return complain(STATUS_BAD_INPUT, "%s: unknown setting '%s' (known: %s, %s)", path, item->string,
                            switches[0], switches[1]);
        }
        if (!cJSON_IsBool(item)) {
            return complain(STATUS_BAD_INPUT, "%s: %s: true or false is needed", path, item->string);
        }
        if (cJSON_GetObjectItemCaseSensitive(json, item->string) != item) {
            return complain(STATUS_BAD_INPUT, "%s: %s is there twice", path, item->string);
        }
    }
    return STATUS_OK;
}

static void add(cargo_settings_t *settings, const char *name, const char *value)
{
    settings->list[settings->count++] = (sr_cargo_setting_t){.name = name, .value = value};
}

static int read_file(const char *path, cargo_settings_t *settings)
{
    cJSON *json = NULL;
    int status = json_file_load(path, &json);
    if (status == STATUS_OK) {
        status = check(path, json);
    }
    for (size_t i = 0; i < SWITCH_COUNT && status == STATUS_OK; i++) {
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, switches[i]))) {
            add(settings, switches[i], "1");
        }
    }
    cJSON_Delete(json);
    return status;
}

int cargo_settings_read(const char *path, const char *public_key, cargo_settings_t *settings)
{
    *settings = (cargo_settings_t){0};
    const int status = path != NULL ? read_file(path, settings) : STATUS_OK;
    if (status == STATUS_OK) {
        add(settings, PUBLIC_KEY, public_key);
    }
    return status;
}
