// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/flash_parts.h"

#include "format/sr_region.h"
#include "tool/base/command.h"
#include "tool/base/uf2_block.h"
#include "tool/pack/gzip_file.h"
#include "tool/pack/uf2_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/** @param bytes Owned by the part from then on, or freed. */
static int append(flash_parts_t *parts, uint32_t address, const char *path, uint8_t *bytes, uint32_t size)
{
    flash_part_t *grown = realloc(parts->list, (parts->count + 1) * sizeof(*grown));
    char *name = strdup(path);
    if (grown != NULL) {
        parts->list = grown;
    }
    if (grown == NULL || name == NULL) {
        free(bytes);
        free(name);
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(ENOMEM));
    }
    const image_file_t file = {.path = name, .bytes = bytes, .size = size};
    parts->list[parts->count++] = (flash_part_t){.address = address, .file = file, .name = name};
    return STATUS_OK;
}

/** @param start Where the first byte goes; NULL: where the file says. */
static int append_uf2(flash_parts_t *parts, const uint32_t *start, const image_file_t *file)
{
    uf2_run_t *runs;
    size_t count;
    int status = uf2_file_split(file, &runs, &count);
    if (status != STATUS_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t address = start != NULL ? *start + (runs[i].address - runs[0].address) : runs[i].address;
        if (status == STATUS_OK) {
            status = append(parts, address, file->path, runs[i].bytes, runs[i].size);
        } else {
            free(runs[i].bytes);
        }
    }
    free(runs);
    return status;
}

/** @param start As above; what is not UF2 does not say, and starts at 0. */
static int add(flash_parts_t *parts, const uint32_t *start, const char *path)
{
    image_file_t file;
    int status = image_file_load(path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    if (uf2_block_starts(file.bytes, file.size)) {
        status = append_uf2(parts, start, &file);
        image_file_free(&file);
        return status;
    }
    status = gzip_file_is(&file) ? gzip_file_unpack(&file) : STATUS_OK;
    if (status != STATUS_OK) {
        image_file_free(&file);
        return status;
    }
    return append(parts, start != NULL ? *start : 0, path, file.bytes, file.size);
}

int flash_parts_add(flash_parts_t *parts, uint32_t address, const char *path)
{
    return add(parts, &address, path);
}

int flash_parts_add_merged(flash_parts_t *parts, const char *path)
{
    return add(parts, NULL, path);
}

static int by_address(const void *a, const void *b)
{
    const flash_part_t *left = a;
    const flash_part_t *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

static int check_next(const flash_part_t *before, const flash_part_t *part)
{
    const uint32_t end = before != NULL ? before->address + before->file.size : 0;
    const uint32_t into_sector = part->address % SR_SECTOR_SIZE;
    if (before != NULL && part->address < end) {
        return complain(STATUS_BAD_INPUT, "%s at 0x%" PRIx32 " overlaps %s, which ends at 0x%" PRIx32, part->name,
                        part->address, before->name, end);
    }
    if (into_sector != 0 && end <= part->address - into_sector) {
        return complain(STATUS_BAD_INPUT,
                        "%s: offset 0x%" PRIx32 " is no multiple of 0x1000, and no other part has the bytes in front "
                        "of it",
                        part->name, part->address);
    }
    return STATUS_OK;
}

int flash_parts_arrange(flash_parts_t *parts, uint32_t limit)
{
    if (parts->count != 0) {
        qsort(parts->list, parts->count, sizeof(*parts->list), by_address);
    }
    for (size_t i = 0; i < parts->count; i++) {
        const flash_part_t *part = &parts->list[i];
        if (!sr_region_fits((sr_region_t){part->address, part->file.size}, limit)) {
            return complain(STATUS_BAD_INPUT,
                            "%s: %" PRIu32 " bytes at offset 0x%" PRIx32
                            " end past the flash of %u MB: a larger one is "
                            "--flash-size",
                            part->name, part->file.size, part->address, limit >> 20);
        }
        const int status = check_next(i == 0 ? NULL : part - 1, part);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

const char *flash_parts_name_at(const flash_parts_t *parts, uint32_t address)
{
    for (size_t i = 0; i < parts->count; i++) {
        const flash_part_t *part = &parts->list[i];
        if (sr_region_contains((sr_region_t){part->address, part->file.size}, (sr_region_t){address, 1})) {
            return part->name;
        }
    }
    return "the inputs";
}

void flash_parts_free(flash_parts_t *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        image_file_free(&parts->list[i].file);
        free(parts->list[i].name);
    }
    free(parts->list);
    *parts = (flash_parts_t){0};
}
