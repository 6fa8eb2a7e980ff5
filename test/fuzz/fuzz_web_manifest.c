// SPDX-License-Identifier: Apache-2.0
// Any bytes as a manifest of ESP Web Tools. The files that it lists are not opened: a substitute for the file system
// returns the input, and notes what was asked for. A second reading of the JSON must give the same.
#include "tool/base/command.h"
#include "fuzz_input.h"
#include "tool/base/json_file.h"
#include "tool/pack/inputs.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#define MANIFEST "web/manifest.json"

static fuzz_input_t input;
static unsigned complaints;

int complain(int status, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    CHECK(vsnprintf(text, sizeof(text), format, arguments) > 0);
    va_end(arguments);
    CHECK(status == STATUS_BAD_INPUT || status == STATUS_USAGE);
    CHECK(strncmp(text, MANIFEST ": ", strlen(MANIFEST ": ")) == 0);
    complaints++;
    return status;
}

/** At its exact size, without a zero after it. */
int image_file_load(const char *path, image_file_t *file)
{
    CHECK(strcmp(path, MANIFEST) == 0);
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
        CHECK(path != NULL && strstr(path, "://") == NULL && ends_with(inputs->parts.list[i].name, path));
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

static void fuzz_manifest(const char *chip)
{
    inputs_t inputs = {.chip = chip != NULL ? sr_chip_by_name(chip) : NULL};
    complaints = 0;
    const int status = input_manifest(&inputs, MANIFEST);
    CHECK(status == STATUS_OK ? complaints == 0 : status != STATUS_OK && complaints == 1);
    CHECK(chip == NULL || inputs.chip == sr_chip_by_name(chip));
    if (status == STATUS_OK) {
        check_taken(&inputs);
    }
    free_parts(&inputs.parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (fuzz_input_t){data, size};
    if (size > 0) { // like all files that get this far
        fuzz_manifest(NULL);
        fuzz_manifest("esp32c3");
    }
    return 0;
}
