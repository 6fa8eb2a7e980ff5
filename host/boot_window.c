// SPDX-License-Identifier: Apache-2.0
#include "boot_window.h"

#include "sr_region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TORN_STATES 4u

struct boot_window_record {
    nor_flash_t *flash;
    int log;       /**< Memory file with an entry for each operation; its offset is shared with forked processes. */
    pid_t process; /**< Which wrote last, as far as this process knows. */
    uint32_t size;
    uint8_t before[]; /**< The flash when the record began. */
};

/** In the log before each operation's bytes: those of its range, or of the whole flash. */
typedef struct log_entry {
    nor_op_t op;
    bool whole_flash;
} log_entry_t;

static void append(int log, const void *data, size_t length)
{
    if (write(log, data, length) != (ssize_t)length) {
        abort(); // no memory: a record with holes would measure a window that is too short
    }
}

static void observe(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    boot_window_record_t *record = context;
    // the first operation of a boot brings along what the bootloader itself wrote, which is no operation here
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

boot_window_record_t *boot_window_record_new(nor_flash_t *flash)
{
    uint32_t size = nor_flash_size(flash);
    boot_window_record_t *record = malloc(sizeof(*record) + size);
    if (record == NULL) {
        return NULL;
    }
    record->flash = flash;
    record->size = size;
    record->process = getpid();
    record->log = memfd_create("flash-operations", MFD_CLOEXEC);
    if (record->log < 0) {
        free(record);
        return NULL;
    }
    memcpy(record->before, nor_flash_view(flash), size);
    nor_flash_set_observer(flash, observe, record);
    return record;
}

void boot_window_record_delete(boot_window_record_t *record)
{
    if (record != NULL) {
        nor_flash_set_observer(record->flash, NULL, NULL);
        close(record->log);
        free(record);
    }
}

/** A system before or after the run: what executes, and the flash after it booted, to compare other flashes with. */
typedef struct boot_system {
    boot_result_t result;
    uint8_t *flash;
} boot_system_t;

typedef struct replay {
    const boot_chip_t *chip;
    uint32_t size;
    uint8_t *flash;   /**< Before the operation that is looked at. */
    uint8_t *next;    /**< After it. */
    uint8_t *scratch; /**< What a trial boot may write to. */
    uint8_t *read;    /**< A flag for each page: the answer for `flash` depends on it. */
    boot_system_t old, final;
    bool safe;          /**< The state `flash`. */
    boot_result_t last; /**< What it boots; valid if it is safe. */
    boot_window_t *window;
} replay_t;

static void mark_read(void *context, uint32_t address, uint32_t length)
{
    replay_t *replay = context;
    uint64_t end = (uint64_t)address + length;
    for (uint64_t page = address / SR_PAGE_SIZE; page * SR_PAGE_SIZE < end && page < replay->size / SR_PAGE_SIZE;
         page++) {
        replay->read[page] = 1;
    }
}

static bool was_read(const replay_t *replay, const nor_op_t *op)
{
    uint32_t first = op->address / SR_PAGE_SIZE;
    uint32_t last = (op->address + op->length - 1) / SR_PAGE_SIZE;
    return memchr(replay->read + first, 1, last - first + 1) != NULL;
}

/** A cheap question that settles most states in the middle of a rewrite: are these bytes there at all? */
static bool holds(const uint8_t *flash, const boot_system_t *system, const boot_code_t *code)
{
    return boot_succeeds(&system->result) &&
           memcmp(flash + code->address, system->flash + code->address, code->length) == 0;
}

static bool can_be_safe(const replay_t *replay, const uint8_t *flash)
{
    const boot_system_t *old = &replay->old;
    const boot_system_t *final = &replay->final;
    bool bootloader = holds(flash, old, &old->result.bootloader) || holds(flash, final, &final->result.bootloader);
    // an app that the boot swaps in stands elsewhere before it
    bool swaps = old->result.outcome == BOOT_SWAPS_THEN_BOOTS || final->result.outcome == BOOT_SWAPS_THEN_BOOTS;
    return bootloader && (swaps || holds(flash, old, &old->result.app) || holds(flash, final, &final->result.app));
}

static bool is_same_code(const boot_code_t *a, const boot_code_t *b)
{
    return a->address == b->address && a->length == b->length && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

static bool runs_bootloader_of(const boot_result_t *result, const boot_system_t *system)
{
    return boot_succeeds(&system->result) && is_same_code(&result->bootloader, &system->result.bootloader);
}

static bool runs_app_of(const boot_result_t *result, const boot_system_t *system)
{
    return boot_succeeds(&system->result) && is_same_code(&result->app, &system->result.app);
}

/** Boots @p flash, or answers without where that is possible. */
static bool is_safe(replay_t *replay, const uint8_t *flash, boot_trace_t trace, boot_result_t *result)
{
    if (!can_be_safe(replay, flash)) {
        return false;
    }
    if (flash != replay->scratch) {
        memcpy(replay->scratch, flash, replay->size);
    }
    boot_run(replay->chip, replay->scratch, replay->size, trace, replay, result);
    replay->window->states_booted++;
    return boot_succeeds(result) &&
           (runs_bootloader_of(result, &replay->old) || runs_bootloader_of(result, &replay->final)) &&
           (runs_app_of(result, &replay->old) || runs_app_of(result, &replay->final));
}

/** Asks whether `next` is safe, and notes on which pages the answer depends. */
static void boot_next(replay_t *replay)
{
    uint32_t pages = replay->size / SR_PAGE_SIZE;
    memset(replay->read, 0, pages);
    replay->safe = is_safe(replay, replay->next, mark_read, &replay->last);
    if (!replay->safe) {
        memset(replay->read, 1, pages); // any operation may be the one that repairs it
    }
}

/** The first half of the bytes is new, or the second, or a seeded mix of old and new bits. */
static void tear(uint8_t *to, const uint8_t *old, const uint8_t *new, uint32_t length, unsigned variant)
{
    uint32_t random = 0x9E3779B9u * (variant + 1);
    for (uint32_t i = 0; i < length; i++) {
        random ^= random << 13; // xorshift32
        random ^= random >> 17;
        random ^= random << 5;
        uint8_t mask = (uint8_t)(random >> 11);
        if (variant < 2) {
            mask = (i < length / 2) == (variant == 0) ? 0xFF : 0x00;
        }
        to[i] = (uint8_t)((old[i] & ~mask) | (new[i] & mask));
    }
}

static bool torn_is_unsafe(replay_t *replay, const nor_op_t *op)
{
    for (unsigned variant = 0; variant < TORN_STATES; variant++) {
        boot_result_t result;
        memcpy(replay->scratch, replay->flash, replay->size);
        tear(replay->scratch + op->address, replay->flash + op->address, replay->next + op->address, op->length,
             variant);
        if (!is_safe(replay, replay->scratch, NULL, &result)) {
            return true;
        }
    }
    return false;
}

static bool changes_range(const replay_t *replay, const nor_op_t *op, const boot_code_t *code)
{
    uint64_t code_end = (uint64_t)code->address + code->length;
    uint64_t op_end = (uint64_t)op->address + op->length;
    uint64_t from = code->address > op->address ? code->address : op->address;
    uint64_t to = code_end < op_end ? code_end : op_end;
    return from < to && memcmp(replay->flash + from, replay->next + from, to - from) != 0;
}

/** True if the operation changes bytes that @p result executes where they are. */
static bool changes_code(const replay_t *replay, const nor_op_t *op, const boot_result_t *result)
{
    return changes_range(replay, op, &result->bootloader) ||
           (result->outcome == BOOT_BOOTS && changes_range(replay, op, &result->app));
}

static void count_operation(boot_window_t *window, const nor_op_t *op)
{
    if (window->operations == 0) {
        window->first_operation = op->number;
    }
    window->operations++;
    window->typical_us += op->typical_us;
    window->maximum_us += op->maximum_us;
}

/** Looks at the operation between `flash` and `next`. */
static void judge(replay_t *replay, const nor_op_t *op, bool whole_flash)
{
    bool in_window = !replay->safe;
    bool changed = memcmp(replay->flash + op->address, replay->next + op->address, op->length) != 0;
    if (whole_flash || (changed && was_read(replay, op))) {
        in_window = in_window || changes_code(replay, op, &replay->last) || torn_is_unsafe(replay, op);
        boot_next(replay);
        in_window = in_window || !replay->safe || changes_code(replay, op, &replay->last);
    }
    if (in_window) {
        count_operation(replay->window, op);
    }
}

/** The log, mapped. */
typedef struct log_view {
    const uint8_t *at, *end;
} log_view_t;

/** Takes the next operation from the log and applies it to @p flash. @return false at the end. */
static bool next_operation(log_view_t *log, uint8_t *flash, uint32_t size, log_entry_t *entry)
{
    if (log->at == log->end) {
        return false;
    }
    memcpy(entry, log->at, sizeof(*entry));
    log->at += sizeof(*entry);
    uint32_t address = entry->whole_flash ? 0 : entry->op.address;
    uint32_t length = entry->whole_flash ? size : entry->op.length;
    memcpy(flash + address, log->at, length);
    log->at += length;
    return true;
}

/** Boots @p flash and keeps what it became. */
static void boot_system(replay_t *replay, const uint8_t *flash, boot_system_t *system)
{
    memcpy(system->flash, flash, replay->size);
    boot_run(replay->chip, system->flash, replay->size, NULL, NULL, &system->result);
    replay->window->states_booted++;
}

/** First pass: where the run ends, and which sectors it programmed. */
static bool find_final(replay_t *replay, log_view_t log)
{
    uint32_t sectors = replay->size / SR_SECTOR_SIZE;
    uint8_t *programmed = calloc(sectors, 1);
    if (programmed == NULL) {
        return false;
    }
    log_entry_t entry;
    while (next_operation(&log, replay->next, replay->size, &entry)) {
        programmed[entry.op.address / SR_SECTOR_SIZE] |= entry.op.kind == NOR_OP_PROGRAM;
    }
    for (uint32_t i = 0; i < sectors; i++) {
        replay->window->sectors_programmed += programmed[i];
    }
    free(programmed);
    boot_system(replay, replay->next, &replay->final);
    return true;
}

static void replay_all(replay_t *replay, const uint8_t *before, log_view_t log)
{
    memcpy(replay->flash, before, replay->size);
    memcpy(replay->next, before, replay->size);
    boot_next(replay);
    log_entry_t entry;
    while (next_operation(&log, replay->next, replay->size, &entry)) {
        judge(replay, &entry.op, entry.whole_flash);
        uint32_t address = entry.whole_flash ? 0 : entry.op.address;
        uint32_t length = entry.whole_flash ? replay->size : entry.op.length;
        memcpy(replay->flash + address, replay->next + address, length);
    }
}

static bool measure(const boot_window_record_t *record, replay_t *replay, log_view_t log)
{
    memcpy(replay->next, record->before, record->size);
    boot_system(replay, record->before, &replay->old);
    if (!find_final(replay, log)) {
        return false;
    }
    replay_all(replay, record->before, log);
    return true;
}

bool boot_window_measure(const boot_window_record_t *record, const boot_chip_t *chip, boot_window_t *window)
{
    *window = (boot_window_t){0};
    uint32_t size = record->size;
    off_t log_size = lseek(record->log, 0, SEEK_END);
    uint8_t *memory = malloc((size_t)size * 5 + size / SR_PAGE_SIZE);
    // an empty file can't be mapped
    void *log = log_size > 0 ? mmap(NULL, (size_t)log_size, PROT_READ, MAP_PRIVATE, record->log, 0) : NULL;
    bool measured = false;
    if (memory != NULL && log != MAP_FAILED) {
        replay_t replay = {
            .chip = chip,
            .size = size,
            .flash = memory,
            .next = memory + size,
            .scratch = memory + (size_t)size * 2,
            .old.flash = memory + (size_t)size * 3,
            .final.flash = memory + (size_t)size * 4,
            .read = memory + (size_t)size * 5,
            .window = window,
        };
        const uint8_t *start = log;
        measured = measure(record, &replay, (log_view_t){start, start + (log_size > 0 ? log_size : 0)});
    }
    if (log != NULL && log != MAP_FAILED) {
        munmap(log, (size_t)log_size);
    }
    free(memory);
    return measured;
}
