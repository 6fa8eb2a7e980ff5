// SPDX-License-Identifier: Apache-2.0
// The manifest of ESP Web Tools, with which projects publish what a browser is to install.
#include "tool/pack/inputs.h"

#include "tool/base/chip_names.h"
#include "tool/base/command.h"
#include "tool/base/json_file.h"
#include "tool/pack/manifest_offset.h"
#include "tool/pack/web_address.h"

#include <errno.h>
#include <inttypes.h>
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

#define FAMILIES_SIZE 160

/** "ESP32, ESP8266 (not supported)": what there are builds for. */
static const char *list_families(const cJSON *builds, char out[FAMILIES_SIZE])
{
    const cJSON *build = NULL;
    size_t used = 0;
    out[0] = '\0';
    cJSON_ArrayForEach(build, builds)
    {
        const char *family = json_text(build, "chipFamily");
        if (used < FAMILIES_SIZE) {
            used += (size_t)snprintf(out + used, FAMILIES_SIZE - used, "%s%.20s%s", used == 0 ? "" : ", ",
                                     family == NULL ? "no \"chipFamily\"" : family,
                                     chip_of(build) == NULL ? " (not supported)" : "");
        }
    }
    return out;
}

/** The chip that all builds for supported chips are for. */
static int choose_chip(inputs_t *inputs, const cJSON *builds, const char *path)
{
    const cJSON *build = NULL;
    char families[FAMILIES_SIZE];
    char names[CHIP_NAMES_SIZE];
    cJSON_ArrayForEach(build, builds)
    {
        const sr_chip_t *chip = chip_of(build);
        if (chip != NULL && inputs->chip != NULL && chip != inputs->chip) {
            const char *name = inputs->chip->name;
            inputs->chip = NULL;
            return complain(STATUS_USAGE, "%s: has builds for %s: say which chip it is, for example --chip %s", path,
                            list_families(builds, families), name);
        }
        inputs->chip = chip != NULL ? chip : inputs->chip;
    }
    return inputs->chip != NULL
               ? STATUS_OK
               : complain(STATUS_BAD_INPUT, "%s: has no build for a supported chip, only for %s (supported: %s)", path,
                          list_families(builds, families), chip_names(names));
}

/** The build for the chip that was asked for, else for the only supported one. */
static int choose_build(inputs_t *inputs, const cJSON *json, const char *path, const cJSON **build)
{
    const cJSON *builds = cJSON_GetObjectItemCaseSensitive(json, "builds");
    if (!cJSON_IsArray(builds) || builds->child == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: lists no \"builds\"", path);
    }
    const int status = inputs->chip == NULL ? choose_chip(inputs, builds, path) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    *build = build_for(builds, inputs->chip);
    if (*build == NULL) {
        char families[FAMILIES_SIZE];
        return complain(STATUS_BAD_INPUT, "%s: has no build for %s, only for %s", path, inputs->chip->family,
                        list_families(builds, families));
    }
    return STATUS_OK;
}

static int take_offset(const inputs_t *inputs, const cJSON *part, int number, const char *path, uint32_t *address)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(part, "offset");
    const char *file = json_text(part, "path");
    char text[MANIFEST_OFFSET_TEXT_SIZE];
    switch (manifest_offset_read(item, address)) {
    case MANIFEST_OFFSET_GOOD:
        return STATUS_OK;
    case MANIFEST_OFFSET_THOUSANDS:
        if (inputs->fix_offsets) {
            return STATUS_OK;
        }
        return complain(STATUS_BAD_INPUT,
                        "%s: part %d (%s) has the bad \"offset\" %s; probably %" PRIu32 " (0x%" PRIx32
                        ") was meant: --fix-offsets takes it so",
                        path, number, file, manifest_offset_text(item, text), *address, *address);
    case MANIFEST_OFFSET_BAD:
        break;
    }
    return complain(STATUS_BAD_INPUT,
                    "%s: part %d (%s) has a bad \"offset\": %s; a number such as 65536 is needed, or "
                    "a text such as \"0x10000\"",
                    path, number, file, manifest_offset_text(item, text));
}

/** Checks what a part says, before anything is fetched. */
static int check_part(const inputs_t *inputs, const cJSON *part, int number, const char *path)
{
    uint32_t address = 0;
    return json_text(part, "path") == NULL ? complain(STATUS_BAD_INPUT, "%s: part %d has no \"path\"", path, number)
                                           : take_offset(inputs, part, number, path, &address);
}

/** A file on a server. */
static int take_fetched(inputs_t *inputs, uint32_t address, const char *url)
{
    const char *cached = NULL;
    const int status = fetch_cache_get(&inputs->cache, url, &cached);
    return status == STATUS_OK ? flash_parts_add(&inputs->parts, address, cached) : status;
}

static int take_part(inputs_t *inputs, const cJSON *part, int number, const char *path)
{
    uint32_t address = 0;
    char *place = NULL;
    const char *file = json_text(part, "path");
    int status = take_offset(inputs, part, number, path, &address);
    if (status != STATUS_OK) {
        return status;
    }
    if (web_address_is(path) || web_address_is(file)) {
        const char *problem = web_address_resolve(web_address_is(path) ? path : NULL, file, &place);
        status = problem == NULL ? take_fetched(inputs, address, place)
                                 : complain(STATUS_BAD_INPUT, "%s: part %d (%s): %s", path, number, file, problem);
    } else {
        place = path_beside(path, file);
        status = place == NULL ? complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno))
                               : flash_parts_add(&inputs->parts, address, place);
    }
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
    int status = STATUS_OK;
    int number = 0;
    for (part = parts->child; part != NULL && status == STATUS_OK; part = part->next) {
        status = check_part(inputs, part, ++number, path);
    }
    number = 0;
    for (part = parts->child; part != NULL && status == STATUS_OK; part = part->next) {
        status = take_part(inputs, part, ++number, path);
    }
    return status;
}

/** @param path For messages, and to find the parts: as given, or its URL. @param file Where it lies. */
static int take_manifest(inputs_t *inputs, const char *path, const char *file)
{
    cJSON *json = NULL;
    int status = json_file_load(file, &json);
    if (status == STATUS_OK) {
        const cJSON *build = NULL;
        status = choose_build(inputs, json, path, &build);
        if (status == STATUS_OK) {
            status = take_build(inputs, build, path);
        }
    }
    cJSON_Delete(json);
    return status;
}

int input_manifest(inputs_t *inputs, const char *path)
{
    if (!web_address_is(path)) {
        return take_manifest(inputs, path, path);
    }
    char *url = NULL;
    const char *cached = NULL;
    const char *problem = web_address_resolve(NULL, path, &url);
    int status = problem == NULL ? fetch_cache_get(&inputs->cache, url, &cached)
                                 : complain(STATUS_USAGE, "--manifest %s: %s", path, problem);
    if (status == STATUS_OK) {
        status = take_manifest(inputs, url, cached);
    }
    free(url);
    return status;
}
