// SPDX-License-Identifier: Apache-2.0
#include "tool/base/json_file.h"

#include "tool/base/command.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"

#include <stdio.h>
#include <string.h>

static unsigned line_of(const char *text, const char *place)
{
    unsigned line = 1;
    for (const char *at = text; at < place; at++) {
        line += *at == '\n';
    }
    return line;
}

int json_file_load(const char *path, cJSON **json)
{
    image_file_t file;
    int status = image_file_load(path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    const char *text = (const char *)file.bytes;
    const char *stopped = text;
    *json = cJSON_ParseWithLengthOpts(text, file.size, &stopped, false);
    if (*json == NULL) {
        status = complain(STATUS_BAD_INPUT, "%s: line %u: not valid JSON", path, line_of(text, stopped));
    }
    image_file_free(&file);
    return status;
}

const char *json_text(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

bool json_offset(const cJSON *item, uint32_t *offset)
{
    if (cJSON_IsString(item)) {
        return number_parse(item->valuestring, offset);
    }
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= UINT32_MAX)) {
        return false;
    }
    *offset = (uint32_t)item->valuedouble;
    return (double)*offset == item->valuedouble;
}

char *path_beside(const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL || path[0] == '/') {
        return strdup(path);
    }
    char *joined = NULL;
    return asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) < 0 ? NULL : joined;
}
