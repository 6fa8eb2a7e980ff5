// SPDX-License-Identifier: Apache-2.0
#include "tool/report/content_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <stdio.h>

#define VALUE_COLUMN 15u /**< The column where terminal_key() ends. */

void content_report_print(const content_t *content, const image_file_t *file)
{
    char size[NUMBER_TEXT_SIZE];
    const char *mistaken = content_kind_mistaken(content->kind);
    printf("%s%s%s\n", terminal_style(STYLE_HEADING), file->path, terminal_reset());
    printf("  %s, %s\n", content_kind_text(content->kind), number_size(file->size, size));
    if (content->facts[0] != '\0') {
        terminal_key("holds");
        terminal_wrap(content->facts, VALUE_COLUMN, VALUE_COLUMN);
    }
    if (mistaken != NULL) {
        terminal_key("note");
        terminal_wrap(mistaken, VALUE_COLUMN, VALUE_COLUMN);
    }
}

cJSON *content_report_json(const content_t *content, const image_file_t *file)
{
    const char *mistaken = content_kind_mistaken(content->kind);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", file->path);
    cJSON_AddStringToObject(json, "kind", content_kind_name(content->kind));
    cJSON_AddNumberToObject(json, "size", file->size);
    cJSON_AddStringToObject(json, "chip", content->chip != NULL ? content->chip->name : "");
    cJSON_AddStringToObject(json, "facts", content->facts);
    cJSON_AddItemToObject(json, "way_out", mistaken != NULL ? cJSON_CreateString(mistaken) : cJSON_CreateNull());
    return json;
}
