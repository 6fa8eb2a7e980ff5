// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/flash_record.h"

#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct flash_record {
    nor_flash_t *flash;
    int log;       /**< Memory file with an entry for each operation; its offset is shared with forked processes. */
    pid_t process; /**< Which wrote last, as far as this process knows. */
    uint32_t size;
    uint8_t *before;
};

/** What the log has before each operation's bytes. */
typedef struct log_entry {
    nor_op_t op;
    bool whole_flash;
} log_entry_t;

static void append(int log, const void *data, size_t length)
{
    if (write(log, data, length) != (ssize_t)length) {
        abort(); // no memory: a record with holes would describe another run
    }
}

static void observe(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    flash_record_t *record = context;
    // the first operation of a boot includes what the bootloader itself wrote, which is not recorded as operations
    log_entry_t entry = {.op = *op, .whole_flash = getpid() != record->process};
    record->process = getpid();
    append(record->log, &entry, sizeof(entry));
    const uint8_t *bytes = nor_flash_view(flash);
    if (entry.whole_flash) {
        append(record->log, bytes, record->size);
    } else {
        append(record->log, bytes + op->address, op->length);
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
    *replay = (flash_replay_t){.size = record->size};
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
    *step = (flash_step_t){.op = entry.op, .first_of_boot = entry.whole_flash, .after = replay->at};
    replay->at += entry.whole_flash ? replay->size : entry.op.length;
    return true;
}

void flash_step_apply(const flash_step_t *step, uint8_t *flash, uint32_t size)
{
    if (step->first_of_boot) {
        memcpy(flash, step->after, size);
    } else {
        memcpy(flash + step->op.address, step->after, step->op.length);
    }
}
