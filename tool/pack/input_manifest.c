// SPDX-License-Identifier: Apache-2.0
// The manifest of ESP Web Tools, with which projects publish what a browser is to install.
#include "tool/pack/inputs.h"

#include "tool/base/chip_names.h"
#include "tool/base/command.h"
#include "tool/base/json_file.h"

#include <errno.h>
#include <stdio.h>
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

/** The families that have a build and are supported, for people; and the chip of the first. @return how many. */
static unsigned known_builds(const cJSON *builds, const sr_chip_t **first, char out[CHIP_NAMES_SIZE])
{
    size_t used = 0;
    unsigned count = 0;
    const cJSON *build = NULL;
    out[0] = '\0';
    cJSON_ArrayForEach(build, builds)
    {
        const sr_chip_t *chip = chip_of(build);
        if (chip != NULL && build_for(builds, chip) == build && used < CHIP_NAMES_SIZE) {
            *first = count == 0 ? chip : *first;
            used += (size_t)snprintf(out + used, CHIP_NAMES_SIZE - used, "%s%s", count == 0 ? "" : ", ", chip->name);
            count++;
        }
    }
    return count;
}

/** The build for the chip that was asked for; else the only one that is supported. */
static const cJSON *choose_build(inputs_t *inputs, const cJSON *json, const char *path)
{
    const cJSON *builds = cJSON_GetObjectItemCaseSensitive(json, "builds");
    if (!cJSON_IsArray(builds) || builds->child == NULL) {
        complain(STATUS_BAD_INPUT, "%s: lists no \"builds\"", path);
        return NULL;
    }
    char names[CHIP_NAMES_SIZE];
    const sr_chip_t *only = NULL;
    const unsigned count = known_builds(builds, &only, names);
    if (count == 0) {
        complain(STATUS_BAD_INPUT, "%s: has no build for a chip that is supported (%s)", path, chip_names(names));
        return NULL;
    }
    if (inputs->chip == NULL && count > 1) {
        complain(STATUS_BAD_INPUT, "%s: has builds for several chips (%s): say which with --chip", path, names);
        return NULL;
    }
    inputs->chip = inputs->chip != NULL ? inputs->chip : only;
    const cJSON *build = build_for(builds, inputs->chip);
    if (build == NULL) {
        complain(STATUS_BAD_INPUT, "%s: has no build for %s, but for %s", path, inputs->chip->family, names);
    }
    return build;
}

/** An offset as it stands, and what was probably meant: published manifests have 32.768 for 32768. */
static int refuse_offset(const cJSON *offset, const char *path, int number, const char *file)
{
    char *text = offset != NULL ? cJSON_PrintUnformatted(offset) : NULL;
    const double thousands = cJSON_IsNumber(offset) ? offset->valuedouble * 1000 : 0;
    const uint32_t meant = thousands >= 1 && thousands < FLASH_LIMIT ? (uint32_t)(thousands + 0.5) : 0;
    int status;
    if (meant != 0 && meant % SR_SECTOR_SIZE == 0) {
        status = complain(
            STATUS_BAD_INPUT,
            "%s: part %d (%s) has the \"offset\" %s, probably for %u, 0x%x: correct it in the manifest, or give "
            "the files one by one, 0x%x FILE",
            path, number, file, text != NULL ? text : "?", (unsigned)meant, (unsigned)meant, (unsigned)meant);
    } else {
        status = complain(STATUS_BAD_INPUT, "%s: part %d (%s) has a bad \"offset\": %s", path, number, file,
                          text != NULL ? text : "none");
    }
    free(text);
    return status;
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
    const cJSON *offset = cJSON_GetObjectItemCaseSensitive(part, "offset");
    if (!json_offset(offset, &address)) {
        return refuse_offset(offset, path, number, file);
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
