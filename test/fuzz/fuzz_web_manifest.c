// SPDX-License-Identifier: Apache-2.0
// Any bytes as a manifest of ESP Web Tools, in a file and on a server. The files that it lists are neither opened nor
// fetched: a substitute for the file system returns the input, and notes what was asked for. A second reading of the
// JSON must give the same.
#include "tool/base/command.h"
#include "fuzz_input.h"
#include "tool/base/json_file.h"
#include "tool/pack/inputs.h"
#include "tool/pack/web_address.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#define MANIFEST        "web/manifest.json"
#define SERVED_MANIFEST "https://host/web/manifest.json"
#define CACHED          "cache/" /**< Stands before the URL of what would be fetched. */

static fuzz_input_t input;
static const char *manifest; /**< As it is given. */
static unsigned complaints;

int complain(int status, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    CHECK(vsnprintf(text, sizeof(text), format, arguments) > 0);
    va_end(arguments);
    CHECK(status == STATUS_BAD_INPUT || status == STATUS_USAGE);
    // a line of the JSON is told with the name of the file that it was read from
    CHECK(strncmp(text, CACHED, strlen(CACHED)) == 0 ||
          (strncmp(text, manifest, strlen(manifest)) == 0 && text[strlen(manifest)] == ':'));
    complaints++;
    return status;
}

/** At its exact size, without a zero after it. */
int image_file_load(const char *path, image_file_t *file)
{
    CHECK(strcmp(path, MANIFEST) == 0 || strcmp(path, CACHED SERVED_MANIFEST) == 0);
    *file = (image_file_t){.path = path, .bytes = malloc(input.size), .size = (uint32_t)input.size};
    CHECK(file->bytes != NULL);
    memcpy(file->bytes, input.data, input.size);
    return STATUS_OK;
}

void image_file_free(image_file_t *file)
{
    free(file->bytes);
    file->bytes = NULL;
}

int flash_parts_add(flash_parts_t *parts, uint32_t address, const char *path)
{
    flash_part_t *grown = realloc(parts->list, (parts->count + 1) * sizeof(*grown));
    char *name = strdup(path);
    CHECK(grown != NULL && name != NULL);
    parts->list = grown;
    parts->list[parts->count++] = (flash_part_t){.address = address, .name = name};
    return STATUS_OK;
}

int fetch_cache_get(fetch_cache_t *cache, const char *url, const char **path)
{
    char *again = NULL;
    CHECK(web_address_resolve(NULL, url, &again) == NULL && strcmp(again, url) == 0); // http or https, and whole
    free(again);
    fetched_file_t *grown = realloc(cache->list, (cache->count + 1) * sizeof(*grown));
    CHECK(grown != NULL);
    cache->list = grown;
    fetched_file_t *entry = &grown[cache->count++];
    *entry = (fetched_file_t){0};
    CHECK(asprintf(&entry->path, CACHED "%s", url) > 0);
    *path = entry->path;
    return STATUS_OK;
}

static void free_cache(fetch_cache_t *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        free(cache->list[i].path);
    }
    free(cache->list);
}

static void free_parts(flash_parts_t *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        free(parts->list[i].name);
    }
    free(parts->list);
}

/** What a number says, or a text such as "0x1000" or "64K", to the C library. */
static double value_of(const cJSON *offset)
{
    if (cJSON_IsNumber(offset)) {
        return offset->valuedouble;
    }
    char *rest = NULL;
    const double value = strtod(cJSON_GetStringValue(offset), &rest);
    const bool kilo = *rest == 'K' || *rest == 'k';
    const bool mega = *rest == 'M' || *rest == 'm';
    CHECK(rest[kilo || mega] == '\0');
    return value * (mega ? 1048576 : kilo ? 1024 : 1);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static void check_parts(const inputs_t *inputs, const cJSON *parts)
{
    CHECK(inputs->parts.count > 0 && cJSON_GetArraySize(parts) == (int)inputs->parts.count);
    for (size_t i = 0; i < inputs->parts.count; i++) {
        const cJSON *part = cJSON_GetArrayItem(parts, (int)i);
        const char *path = json_text(part, "path");
        const char *name = inputs->parts.list[i].name;
        CHECK(path != NULL);
        CHECK(web_address_is(manifest) || web_address_is(path)
                  ? strncmp(name, CACHED "http", strlen(CACHED "http")) == 0
                  : strncmp(name, CACHED, strlen(CACHED)) != 0 && ends_with(name, path));
        const double value = value_of(cJSON_GetObjectItemCaseSensitive(part, "offset"));
        CHECK(value == (double)inputs->parts.list[i].address);
    }
}

/** The first build for the chip is the one that was taken. */
static void check_taken(const inputs_t *inputs)
{
    cJSON *json = cJSON_ParseWithLength((const char *)input.data, input.size);
    const cJSON *build = NULL;
    const cJSON *taken = NULL;
    cJSON_ArrayForEach(build, cJSON_GetObjectItemCaseSensitive(json, "builds"))
    {
        const char *family = json_text(build, "chipFamily");
        if (taken == NULL && family != NULL && sr_chip_by_name(family) == inputs->chip) {
            taken = build;
        }
    }
    CHECK(inputs->chip != NULL && taken != NULL);
    check_parts(inputs, cJSON_GetObjectItemCaseSensitive(taken, "parts"));
    cJSON_Delete(json);
}

static void fuzz_manifest(const char *path, const char *chip)
{
    inputs_t inputs = {.chip = chip != NULL ? sr_chip_by_name(chip) : NULL};
    complaints = 0;
    manifest = path;
    const int status = input_manifest(&inputs, path);
    CHECK(status == STATUS_OK ? complaints == 0 : status != STATUS_OK && complaints == 1);
    CHECK(chip == NULL || inputs.chip == sr_chip_by_name(chip));
    if (status == STATUS_OK) {
        check_taken(&inputs);
    }
    free_parts(&inputs.parts);
    free_cache(&inputs.cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (fuzz_input_t){data, size};
    if (size > 0) { // like all files that get this far
        fuzz_manifest(MANIFEST, NULL);
        fuzz_manifest(MANIFEST, "esp32c3");
        fuzz_manifest(SERVED_MANIFEST, NULL);
    }
    return 0;
}
