// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_window.h"

#include "format/sr_region.h"
#include "sim/boot/boot_classifier.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

typedef struct replay {
    boot_classifier_t classifier;
    flash_replay_t log;
    uint32_t size;
    uint8_t *flash;     /**< Before the operation that is examined. */
    uint8_t *next;      /**< After it. */
    uint8_t *torn;      /**< As `flash`, but for the moment in which a torn state is looked at. */
    bool safe;          /**< The state `flash`. */
    boot_result_t last; /**< What it boots; valid if it is safe. */
    boot_window_t *window;
    bool *inside; /**< For each operation, or NULL. */
} replay_t;

/** Asks whether `next` is safe. */
static void boot_next(replay_t *replay)
{
    replay->safe = boot_classifier_classify(&replay->classifier, replay->next, &replay->last) != BOOT_NEITHER;
}

static bool torn_is_unsafe(replay_t *replay, const nor_op_t *op)
{
    bool safe = true;
    for (uint32_t seed = 0; safe && seed < NOR_TORN_STATES; seed++) {
        nor_tear(op, seed, replay->torn + op->address, replay->next + op->address);
        safe = boot_classifier_classify(&replay->classifier, replay->torn, NULL) != BOOT_NEITHER;
        memcpy(replay->torn + op->address, replay->flash + op->address, op->length);
    }
    return !safe;
}

static bool changes_range(const replay_t *replay, const nor_op_t *op, const boot_code_t *code)
{
    uint64_t code_end = (uint64_t)code->address + code->length;
    uint64_t op_end = (uint64_t)op->address + op->length;
    uint64_t from = code->address > op->address ? code->address : op->address;
    uint64_t to = code_end < op_end ? code_end : op_end;
    return from < to && memcmp(replay->flash + from, replay->next + from, to - from) != 0;
}

/** True if the operation changes only the magic byte of the primary bootloader, and the recovery bootloader runs
 * without it: then in each torn state the primary one is either whole or absent, whatever else the ROM checks. */
static bool falls_back(replay_t *replay, const nor_op_t *op, const boot_code_t *loader)
{
    const boot_code_t rest = {.address = loader->address + 1, .length = loader->length - 1};
    if (replay->classifier.chip->recovery == 0 || loader->address == replay->classifier.chip->recovery ||
        changes_range(replay, op, &rest)) {
        return false;
    }
    flash_buffer_copy(replay->torn, replay->next, replay->size);
    replay->torn[loader->address] = 0;
    const bool boots = boot_classifier_classify(&replay->classifier, replay->torn, NULL) != BOOT_NEITHER;
    flash_buffer_copy(replay->torn, replay->flash, replay->size);
    return boots;
}

/** True if the operation changes bytes that @p result executes where they are. */
static bool changes_code(replay_t *replay, const nor_op_t *op, const boot_result_t *result)
{
    return (changes_range(replay, op, &result->bootloader) && !falls_back(replay, op, &result->bootloader)) ||
           (result->outcome == BOOT_BOOTS && changes_range(replay, op, &result->app));
}

static void count_operation(replay_t *replay, uint32_t index, const nor_op_t *op)
{
    boot_window_t *window = replay->window;
    if (window->operations == 0) {
        window->first_operation = op->number;
    }
    window->operations++;
    window->typical_us += op->typical_us;
    window->maximum_us += op->maximum_us;
    if (replay->inside != NULL) {
        replay->inside[index] = true;
    }
}

/** Examines the operation between `flash` and `next`. */
static void classify_step(replay_t *replay, uint32_t index, const flash_step_t *step)
{
    const nor_op_t *op = &step->op;
    bool in_window = !replay->safe;
    // blank sectors change, too, if their erase is cut short
    bool may_change =
        op->kind != NOR_OP_PROGRAM || memcmp(replay->flash + op->address, replay->next + op->address, op->length) != 0;
    if (step->first_of_boot ||
        (may_change && boot_classifier_depends_on(&replay->classifier, op->address, op->length))) {
        in_window = in_window || changes_code(replay, op, &replay->last) || torn_is_unsafe(replay, op);
        boot_next(replay);
        in_window = in_window || !replay->safe || changes_code(replay, op, &replay->last);
    }
    if (in_window) {
        count_operation(replay, index, op);
    }
}

/** First pass: where the run ends, and which sectors it programmed. @return false without memory. */
static bool find_final(const replay_t *replay, uint8_t *final)
{
    uint32_t sectors = replay->size / SR_SECTOR_SIZE;
    uint8_t *programmed = calloc(sectors, 1);
    if (programmed == NULL) {
        return false;
    }
    flash_replay_t log = replay->log;
    flash_step_t step;
    while (flash_replay_next(&log, &step)) {
        flash_step_apply(&step, final);
        programmed[step.op.address / SR_SECTOR_SIZE] |= step.op.kind == NOR_OP_PROGRAM;
    }
    for (uint32_t i = 0; i < sectors; i++) {
        replay->window->sectors_programmed += programmed[i];
    }
    free(programmed);
    return true;
}

static void replay_all(replay_t *replay, const uint8_t *before)
{
    memcpy(replay->flash, before, replay->size);
    memcpy(replay->next, before, replay->size);
    memcpy(replay->torn, before, replay->size);
    boot_next(replay);
    flash_step_t step;
    for (uint32_t index = 0; flash_replay_next(&replay->log, &step); index++) {
        flash_step_apply(&step, replay->next);
        classify_step(replay, index, &step);
        flash_step_apply(&step, replay->flash);
        flash_step_apply(&step, replay->torn);
    }
}

static bool measure(replay_t *replay, const flash_record_t *record, const boot_chip_t *chip, const boot_code_t *running)
{
    const uint8_t *before = flash_record_before(record);
    memcpy(replay->next, before, replay->size);
    bool measured = find_final(replay, replay->next) &&
                    boot_classifier_open(&replay->classifier, chip, replay->size, before, replay->next);
    if (measured) {
        boot_classifier_accept(&replay->classifier, running);
        replay_all(replay, before);
        replay->window->states_booted = replay->classifier.boots;
    }
    boot_classifier_close(&replay->classifier);
    return measured;
}

bool boot_window_measure(const flash_record_t *record, const boot_chip_t *chip, const boot_code_t *running,
                         boot_window_t *window, bool *inside)
{
    *window = (boot_window_t){0};
    const uint32_t size = flash_record_size(record);
    replay_t replay = {
        .size = size,
        .flash = flash_buffer_new(size),
        .next = flash_buffer_new(size),
        .torn = flash_buffer_new(size),
        .window = window,
        .inside = inside,
    };
    bool measured =
        replay.flash != NULL && replay.next != NULL && replay.torn != NULL && flash_replay_open(record, &replay.log);
    if (measured) {
        flash_replay_t opened = replay.log;
        measured = measure(&replay, record, chip, running);
        flash_replay_close(&opened);
    }
    flash_buffer_delete(replay.flash, size);
    flash_buffer_delete(replay.next, size);
    flash_buffer_delete(replay.torn, size);
    return measured;
}
