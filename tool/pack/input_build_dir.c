// SPDX-License-Identifier: Apache-2.0
// ESP-IDF's flasher_args.json, which is all that `idf.py flash` goes by.
#include "tool/pack/inputs.h"

#include "tool/base/chip_names.h"
#include "tool/base/command.h"
#include "tool/base/json_file.h"
#include "tool/base/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int take_chip(inputs_t *inputs, const cJSON *json, const char *path)
{
    const char *name = json_text(cJSON_GetObjectItemCaseSensitive(json, "extra_esptool_args"), "chip");
    const sr_chip_t *chip = name == NULL ? NULL : sr_chip_by_name(name);
    if (chip == NULL) {
        char names[CHIP_NAMES_SIZE];
        return complain(STATUS_BAD_INPUT, "%s: names no known chip in \"extra_esptool_args\" (known: %s)", path,
                        chip_names(names));
    }
    if (inputs->chip != NULL && inputs->chip != chip) {
        return complain(STATUS_BAD_INPUT, "%s: a build for %s, not for %s", path, chip->name, inputs->chip->name);
    }
    inputs->chip = chip;
    return STATUS_OK;
}

static int take_settings(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(json, "flash_settings");
    const struct {
        const char *name;
        char *setting;
    } fields[] = {{"flash_size", inputs->settings.size},
                  {"flash_mode", inputs->settings.mode},
                  {"flash_freq", inputs->settings.freq}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *value = json_text(settings, fields[i].name);
        if (value == NULL || !flash_setting_set(fields[i].setting, value)) {
            return complain(STATUS_BAD_INPUT, "%s: no usable \"%s\" in \"flash_settings\"", path, fields[i].name);
        }
    }
    char text[FLASH_SETTINGS_TEXT_SIZE];
    const char *problem = flash_settings_problem(&inputs->settings, inputs->chip, text);
    return problem == NULL ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s: %s", path, problem);
}

static int take_files(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(json, "flash_files");
    if (!cJSON_IsObject(files) || files->child == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: lists no \"flash_files\"", path);
    }
    const cJSON *file = NULL;
    cJSON_ArrayForEach(file, files)
    {
        uint32_t address = 0;
        if (!number_parse(file->string, &address) || !cJSON_IsString(file)) {
            return complain(STATUS_BAD_INPUT, "%s: bad offset or file at \"%s\" in \"flash_files\"", path,
                            file->string);
        }
        char *place = path_beside(path, file->valuestring);
        const int status = place == NULL ? complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno))
                                         : flash_parts_add(&inputs->parts, address, place);
        free(place);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/** With Secure Boot, ESP-IDF leaves it to people to flash the bootloader, and lists the rest. */
static int take_bootloader(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(json, "flash_files");
    const cJSON *file = NULL;
    cJSON_ArrayForEach(file, files)
    {
        uint32_t address = 0;
        if (number_parse(file->string, &address) && address == inputs->chip->bootloader_offset) {
            return STATUS_OK;
        }
    }
    char *place = path_beside(path, "bootloader/bootloader.bin");
    if (place == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    inputs->bootloader_is_extra = access(place, F_OK) == 0;
    const int status = inputs->bootloader_is_extra
                           ? flash_parts_add(&inputs->parts, inputs->chip->bootloader_offset, place)
                           : STATUS_OK;
    free(place);
    return status;
}

/** The table's offset is configurable in ESP-IDF; it is listed here under the name of its build target. */
static int take_table(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *table = cJSON_GetObjectItemCaseSensitive(json, "partition-table");
    if (table != NULL && !json_offset(cJSON_GetObjectItemCaseSensitive(table, "offset"), &inputs->partition_table)) {
        return complain(STATUS_BAD_INPUT, "%s: bad offset of \"partition-table\"", path);
    }
    return STATUS_OK;
}

int input_build_dir(inputs_t *inputs, const char *folder)
{
    cJSON *json = NULL;
    char *path = NULL;
    if (asprintf(&path, "%s/flasher_args.json", folder) < 0) {
        return complain(STATUS_BAD_INPUT, "%s: %s", folder, strerror(errno));
    }
    int status = json_file_load(path, &json);
    if (status == STATUS_OK) {
        status = take_chip(inputs, json, path);
    }
    if (status == STATUS_OK) {
        status = take_settings(inputs, json, path);
    }
    if (status == STATUS_OK) {
        status = take_table(inputs, json, path);
    }
    if (status == STATUS_OK) {
        status = take_files(inputs, json, path);
    }
    if (status == STATUS_OK) {
        status = take_bootloader(inputs, json, path);
    }
    cJSON_Delete(json);
    free(path);
    return status;
}
