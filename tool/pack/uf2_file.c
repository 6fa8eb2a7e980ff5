// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/uf2_file.h"

#include "format/sr_region.h"
#include "tool/base/command.h"
#include "tool/base/uf2_block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/** The file, and those of its blocks that are for flash. */
typedef struct uf2 {
    const image_file_t *file;
    uf2_block_t *blocks;
    size_t count;
    uint32_t family, previous, announced;
    bool any; /**< A block was read: the three above count. */
} uf2_t;

static int refuse_damaged(const uf2_t *uf2, uint32_t offset)
{
    return complain(STATUS_BAD_INPUT, "%s: no block of UF2 at 0x%" PRIx32 ": damaged, or cut short; download it again",
                    uf2->file->path, offset);
}

/** Numbers go up one by one. Who writes several files into one, as ESP-IDF does, begins each of them at 0. */
static bool follows(const uf2_t *uf2, const uf2_block_t *block)
{
    const bool complete = !uf2->any || uf2->previous + 1 == uf2->announced;
    return complete ? block->index == 0 : block->index == uf2->previous + 1 && block->count == uf2->announced;
}

static int refuse_family(const uf2_t *uf2, const uf2_block_t *block)
{
    if (uf2->any && block->family != uf2->family) {
        return complain(STATUS_BAD_INPUT, "%s: is for several chips: take the file for yours", uf2->file->path);
    }
    return complain(STATUS_BAD_INPUT, "%s: is for family 0x%08" PRIx32 ", which is no ESP32", uf2->file->path,
                    block->family);
}

static int take_block(uf2_t *uf2, uint32_t offset)
{
    uf2_block_t block;
    if (!uf2_block_read(uf2->file->bytes + offset, uf2->file->size - offset, &block)) {
        return refuse_damaged(uf2, offset);
    }
    if (!follows(uf2, &block)) {
        return complain(STATUS_BAD_INPUT,
                        "%s: block %" PRIu32 " of %" PRIu32 " is not where it belongs, at 0x%" PRIx32
                        ": blocks are missing; download it again",
                        uf2->file->path, block.index, block.count, offset);
    }
    if ((uf2->any && block.family != uf2->family) ||
        (block.family != UF2_NO_FAMILY && uf2_block_chip(block.family) == NULL)) {
        return refuse_family(uf2, &block);
    }
    if (!sr_region_fits((sr_region_t){block.target, block.length}, FLASH_LIMIT)) {
        return complain(STATUS_BAD_INPUT, "%s: a block is for 0x%" PRIx32 ", past the end of any flash (32 MiB)",
                        uf2->file->path, block.target);
    }
    uf2->any = true;
    uf2->family = block.family;
    uf2->previous = block.index;
    uf2->announced = block.count;
    if (!block.not_flash && block.length != 0) {
        uf2->blocks[uf2->count++] = block;
    }
    return STATUS_OK;
}

static int by_target(const void *a, const void *b)
{
    const uf2_block_t *left = a;
    const uf2_block_t *right = b;
    return (left->target > right->target) - (left->target < right->target);
}

static int read_blocks(uf2_t *uf2)
{
    int status = STATUS_OK;
    for (uint32_t at = 0; status == STATUS_OK && at < uf2->file->size; at += UF2_BLOCK_SIZE) {
        status = take_block(uf2, at);
    }
    if (status == STATUS_OK && uf2->previous + 1 != uf2->announced) {
        return refuse_damaged(uf2, uf2->file->size);
    }
    if (status == STATUS_OK && uf2->count == 0) {
        return complain(STATUS_BAD_INPUT, "%s: nothing in it is for flash", uf2->file->path);
    }
    qsort(uf2->blocks, uf2->count, sizeof(*uf2->blocks), by_target);
    for (size_t i = 1; status == STATUS_OK && i < uf2->count; i++) {
        if (uf2->blocks[i].target < uf2->blocks[i - 1].target + uf2->blocks[i - 1].length) {
            status =
                complain(STATUS_BAD_INPUT, "%s: two blocks are for 0x%" PRIx32, uf2->file->path, uf2->blocks[i].target);
        }
    }
    return status;
}

/** Copies the blocks from one on that lie without a gap. @return How many; 0: out of memory. */
static size_t join(const uf2_t *uf2, size_t first, uf2_run_t *run)
{
    const uf2_block_t *blocks = uf2->blocks;
    size_t end = first + 1;
    while (end < uf2->count && blocks[end].target == blocks[end - 1].target + blocks[end - 1].length) {
        end++;
    }
    run->address = blocks[first].target;
    run->size = blocks[end - 1].target + blocks[end - 1].length - run->address;
    run->bytes = malloc(run->size);
    for (size_t i = first; i < end && run->bytes != NULL; i++) {
        memcpy(run->bytes + (blocks[i].target - run->address), blocks[i].data, blocks[i].length);
    }
    return run->bytes != NULL ? end - first : 0;
}

static int join_all(const uf2_t *uf2, uf2_run_t **runs, size_t *count)
{
    *runs = calloc(uf2->count, sizeof(**runs));
    *count = 0;
    size_t joined = *runs != NULL ? 1 : 0;
    for (size_t i = 0; joined != 0 && i < uf2->count; i += joined) {
        joined = join(uf2, i, &(*runs)[*count]);
        *count += joined != 0;
    }
    if (joined != 0) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < *count; i++) {
        free((*runs)[i].bytes);
    }
    free(*runs);
    *runs = NULL;
    return complain(STATUS_BAD_INPUT, "%s: %s", uf2->file->path, strerror(ENOMEM));
}

int uf2_file_split(const image_file_t *file, uf2_run_t **runs, size_t *count)
{
    uf2_t uf2 = {.file = file, .blocks = calloc(file->size / UF2_BLOCK_SIZE + 1, sizeof(uf2_block_t))};
    *runs = NULL;
    int status =
        uf2.blocks != NULL ? read_blocks(&uf2) : complain(STATUS_BAD_INPUT, "%s: %s", file->path, strerror(ENOMEM));
    if (status == STATUS_OK) {
        status = join_all(&uf2, runs, count);
    }
    free(uf2.blocks);
    return status;
}
