// SPDX-License-Identifier: Apache-2.0
#include "tool/report/fetch_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <stdio.h>

#define DIGEST_TEXT_SIZE (2 * SR_SHA256_SIZE + 1)

static void print_file(const fetched_file_t *file)
{
    char size[NUMBER_TEXT_SIZE];
    char digest[DIGEST_TEXT_SIZE];
    fputs("  ", stdout);
    terminal_tame(file->url); // the name of a host may be any characters
    printf(", %s bytes%s\n", number_grouped(file->size, size), file->was_there ? ", from the cache" : "");
    printf("    SHA-256 %s\n", number_hex(file->sha256, SR_SHA256_SIZE, digest));
}

void fetch_report_print(const fetch_cache_t *cache)
{
    if (cache->count != 0) {
        terminal_heading("Fetched");
    }
    for (size_t i = 0; i < cache->count; i++) {
        print_file(&cache->list[i]);
    }
    if (cache->was_used) {
        puts("  --fetch-again fetches what was in the cache, too");
    }
}

cJSON *fetch_report_json(const fetch_cache_t *cache)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < cache->count; i++) {
        const fetched_file_t *file = &cache->list[i];
        char digest[DIGEST_TEXT_SIZE];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "url", file->url);
        cJSON_AddStringToObject(item, "file", file->path);
        cJSON_AddNumberToObject(item, "size", file->size);
        cJSON_AddStringToObject(item, "sha256", number_hex(file->sha256, SR_SHA256_SIZE, digest));
        cJSON_AddBoolToObject(item, "from_cache", file->was_there);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}
