// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/flash_record.h"

#include "sim/nor/flash_buffer.h"

#include "format/sr_region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

struct flash_record {
    nor_flash_t *flash;
    int log;       /**< Memory file with an entry for each operation; its offset is shared with forked processes. */
    pid_t process; /**< Which wrote last, as far as this process knows. */
    uint32_t size;
    uint8_t *before;
};

/** What the log has before each operation's bytes, and before the sectors that the bootloader changed. */
typedef struct log_entry {
    nor_op_t op;
    bool erased; /**< The range: its bytes are not in the log. */
    bool first_of_boot;
    uint32_t changed;
} log_entry_t;

/** A sector that changed, in the log: its index, and its content. */
#define CHANGE_SIZE (sizeof(uint32_t) + SR_SECTOR_SIZE)

/** What an erase leaves, as long as the longest. */
static const uint8_t *erased_block(void)
{
    static uint8_t block[SR_BLOCK_SIZE];
    if (block[0] == 0) {
        memset(block, 0xFF, sizeof(block));
    }
    return block;
}

/** In one piece, because each call takes longer than to copy the bytes. */
static void append(int log, const void *head, size_t head_length, const void *bytes, size_t length)
{
    const struct iovec parts[] = {{(void *)(uintptr_t)head, head_length}, {(void *)(uintptr_t)bytes, length}};
    if (writev(log, parts, 2) != (ssize_t)(head_length + length)) {
        abort(); // no memory: a record with holes would describe another run
    }
}

static uint32_t count_loaded(const flash_record_t *record)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->size / SR_SECTOR_SIZE; i++) {
        count += nor_flash_is_loaded(record->flash, i);
    }
    return count;
}

static void append_loaded(const flash_record_t *record, const uint8_t *flash)
{
    for (uint32_t i = 0; i < record->size / SR_SECTOR_SIZE; i++) {
        if (nor_flash_is_loaded(record->flash, i)) {
            append(record->log, &i, sizeof(i), flash + (size_t)i * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
        }
    }
    nor_flash_forget_loaded(record->flash);
}

static void observe(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    flash_record_t *record = context;
    const uint8_t *bytes = nor_flash_view(flash);
    log_entry_t entry = {.op = *op, .first_of_boot = getpid() != record->process};
    record->process = getpid();
    // the first operation of a boot includes what the bootloader itself wrote, which is not recorded as operations
    entry.changed = entry.first_of_boot ? count_loaded(record) : 0;
    entry.erased = op->kind != NOR_OP_PROGRAM && nor_is_erased(bytes + op->address, op->length);
    append(record->log, &entry, sizeof(entry), bytes + op->address, entry.erased ? 0 : op->length);
    if (entry.changed > 0) {
        append_loaded(record, bytes);
    }
}

static void delete (flash_record_t *record)
{
    flash_buffer_delete(record->before, record->size);
    if (record->log >= 0) {
        close(record->log);
    }
    free(record);
}

flash_record_t *flash_record_new(nor_flash_t *flash)
{
    uint32_t size = nor_flash_size(flash);
    flash_record_t *record = calloc(1, sizeof(*record));
    if (record == NULL) {
        return NULL;
    }
    record->before = flash_buffer_new(size);
    record->flash = flash;
    record->size = size;
    record->process = getpid();
    record->log = memfd_create("flash-operations", MFD_CLOEXEC);
    if (record->before == NULL || record->log < 0) {
        delete (record);
        return NULL;
    }
    flash_buffer_copy(record->before, nor_flash_view(flash), size);
    nor_flash_forget_loaded(flash);
    nor_flash_set_observer(flash, observe, record);
    return record;
}

void flash_record_delete(flash_record_t *record)
{
    if (record != NULL) {
        nor_flash_set_observer(record->flash, NULL, NULL);
        delete (record);
    }
}

uint32_t flash_record_size(const flash_record_t *record)
{
    return record->size;
}

const uint8_t *flash_record_before(const flash_record_t *record)
{
    return record->before;
}

bool flash_replay_open(const flash_record_t *record, flash_replay_t *replay)
{
    *replay = (flash_replay_t){0};
    const off_t length = lseek(record->log, 0, SEEK_END);
    if (length <= 0) {
        return length == 0; // an empty file cannot be mapped
    }
    void *log = mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, record->log, 0);
    if (log == MAP_FAILED) {
        return false;
    }
    replay->log = log;
    replay->at = replay->log;
    replay->end = replay->log + length;
    return true;
}

void flash_replay_close(flash_replay_t *replay)
{
    if (replay->log != NULL) {
        munmap((void *)replay->log, (size_t)(replay->end - replay->log));
    }
    *replay = (flash_replay_t){0};
}

bool flash_replay_next(flash_replay_t *replay, flash_step_t *step)
{
    if (replay->at == replay->end) {
        return false;
    }
    log_entry_t entry;
    memcpy(&entry, replay->at, sizeof(entry));
    replay->at += sizeof(entry);
    const uint32_t logged = entry.erased ? 0 : entry.op.length;
    *step = (flash_step_t){.op = entry.op,
                           .after = entry.erased ? erased_block() : replay->at,
                           .first_of_boot = entry.first_of_boot,
                           .changed = entry.changed,
                           .changes = replay->at + logged};
    replay->at += logged + (size_t)entry.changed * CHANGE_SIZE;
    return true;
}

void flash_step_apply(const flash_step_t *step, uint8_t *flash)
{
    for (uint32_t i = 0; i < step->changed; i++) {
        const uint8_t *change = step->changes + (size_t)i * CHANGE_SIZE;
        uint32_t sector;
        memcpy(&sector, change, sizeof(sector));
        memcpy(flash + (size_t)sector * SR_SECTOR_SIZE, change + sizeof(sector), SR_SECTOR_SIZE);
    }
    memcpy(flash + step->op.address, step->after, step->op.length);
}
