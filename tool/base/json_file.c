// SPDX-License-Identifier: Apache-2.0
#include "tool/base/json_file.h"

#include "tool/base/command.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"
#include "tool/base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned line_of(const char *text, const char *place)
{
    unsigned line = 1;
    for (const char *at = text; at < place; at++) {
        line += *at == '\n';
    }
    return line;
}

/** What cJSON would take as it is, or cut off without a word. @param[out] at Where. @return NULL: nothing. */
static const char *find_problem(const char *text, size_t size, const char **at)
{
    static const char escaped_zero[] = "\\u0000";
    for (*at = text; **at != '\0';) {
        uint32_t code = 0;
        const size_t length = strncmp(*at, "\\\\", 2) == 0 ? 2 : utf8_decode(*at, &code);
        if (length == 0) {
            return "not UTF-8";
        }
        if (strncmp(*at, escaped_zero, sizeof(escaped_zero) - 1) == 0) {
            return "\\u0000 in a text, which would end there";
        }
        *at += length;
    }
    return *at == text + size ? NULL : "not valid JSON: a zero byte";
}

/** @param start Where in @p text the JSON starts. */
static int parse(const char *path, const char *text, size_t size, const char *start, cJSON **json)
{
    const char *at = text;
    const char *problem = find_problem(text, size, &at);
    if (problem == NULL) {
        *json = cJSON_ParseWithOpts(start, &at, true);
        problem = *json == NULL ? "not valid JSON" : NULL;
    }
    return problem == NULL ? STATUS_OK
                           : complain(STATUS_BAD_INPUT, "%s: line %u: %s", path, line_of(text, at), problem);
}

/** The first line that starts with a brace; all of it without one. */
static const char *skip_to_brace(const char *text)
{
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (*line == '{') {
            return line;
        }
    }
    return text;
}

static int load(const char *path, bool printed, cJSON **json)
{
    image_file_t file;
    *json = NULL;
    int status = image_file_load(path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    char *text = strndup((const char *)file.bytes, file.size);
    status = text != NULL ? parse(path, text, file.size, printed ? skip_to_brace(text) : text, json)
                          : complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    free(text);
    image_file_free(&file);
    return status;
}

int json_file_load(const char *path, cJSON **json)
{
    return load(path, false, json);
}

int json_file_load_printed(const char *path, cJSON **json)
{
    return load(path, true, json);
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
