// SPDX-License-Identifier: Apache-2.0
// The manifest of ESP Web Tools, with which projects publish what a browser is to install.
#include "tool/pack/inputs.h"

#include "tool/base/chip_names.h"
#include "tool/base/command.h"
#include "tool/base/json_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const sr_chip_t *chip_of(const cJSON *build)
{
    const char *family = json_text(build, "chipFamily");
    return family == NULL ? NULL : sr_chip_by_name(family);
}

static const cJSON *build_for(const cJSON *builds, const sr_chip_t *chip)
{
    const cJSON *build = NULL;
    cJSON_ArrayForEach(build, builds)
    {
        if (chip_of(build) == chip) {
            return build;
        }
    }
    return NULL;
}

/** The build for the chip that was asked for; else the only one, else the one for the ESP32. */
static const cJSON *choose_build(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *builds = cJSON_GetObjectItemCaseSensitive(json, "builds");
    if (!cJSON_IsArray(builds) || builds->child == NULL) {
        complain(STATUS_BAD_INPUT, "%s: lists no \"builds\"", path);
        return NULL;
    }
    if (inputs->chip == NULL) {
        inputs->chip = cJSON_GetArraySize(builds) == 1 ? chip_of(builds->child) : sr_chip_by_name("esp32");
    }
    const cJSON *build = inputs->chip == NULL ? NULL : build_for(builds, inputs->chip);
    if (build == NULL) {
        char names[CHIP_NAMES_SIZE];
        complain(STATUS_BAD_INPUT, "%s: has no build for %s (known: %s)", path,
                 inputs->chip != NULL ? inputs->chip->family : "a known chip", chip_names(names));
    }
    return build;
}

static int take_part(inputs_t *inputs, const cJSON *part, int number, const char *path)
{
    uint32_t address = 0;
    const char *file = json_text(part, "path");
    if (file == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: part %d has no \"path\"", path, number);
    }
    if (strstr(file, "://") != NULL) {
        return complain(STATUS_BAD_INPUT, "%s: part %d is on a server: download %s, and name it here", path, number,
                        file);
    }
    if (!json_offset(cJSON_GetObjectItemCaseSensitive(part, "offset"), &address)) {
        return complain(STATUS_BAD_INPUT, "%s: part %d (%s) has a bad \"offset\"", path, number, file);
    }
    char *place = path_beside(path, file);
    if (place == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    const int status = flash_parts_add(&inputs->parts, address, place);
    free(place);
    return status;
}

static int take_build(inputs_t *inputs, const cJSON *build, const char *path)
{
    const cJSON *parts = cJSON_GetObjectItemCaseSensitive(build, "parts");
    if (!cJSON_IsArray(parts) || parts->child == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: the build for %s has no \"parts\"", path, inputs->chip->family);
    }
    const cJSON *part = NULL;
    int number = 0;
    cJSON_ArrayForEach(part, parts)
    {
        const int status = take_part(inputs, part, ++number, path);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

int input_manifest(inputs_t *inputs, const char *path)
{
    cJSON *json = NULL;
    int status = json_file_load(path, &json);
    if (status == STATUS_OK) {
        const cJSON *build = choose_build(inputs, json, path);
        status = build == NULL ? STATUS_BAD_INPUT : take_build(inputs, build, path);
    }
    cJSON_Delete(json);
    return status;
}
