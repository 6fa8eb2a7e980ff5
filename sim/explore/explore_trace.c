// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

static bool is_known_start(void *context)
{
    const explore_starts_t *starts = context;
    const uint32_t size = nor_flash_size(starts->flash);
    for (uint32_t i = 0; i < starts->count; i++) {
        if (memcmp(nor_flash_view(starts->flash), starts->flashes[i], size) == 0) {
            return true;
        }
    }
    return false;
}

static bool run_from(const explore_config_t *config, const sim_config_t *sim, sim_report_t *report)
{
    nor_flash_power_on(sim->flash);
    nor_flash_reset_stats(sim->flash);
    return sim_run(sim, config->app_main, EXPLORE_MAX_BOOTS, report);
}

bool explore_run_on(const explore_config_t *config, nor_flash_t *flash, explore_starts_t *starts, sim_report_t *report)
{
    const sim_config_t sim = {.chip = config->chip,
                              .flash = flash,
                              .running_app = UINT32_MAX,
                              .quiet = true,
                              .stop = is_known_start,
                              .stop_context = starts};
    starts->flash = flash;
    return run_from(config, &sim, report);
}

bool explore_trace_run(const explore_config_t *config, nor_flash_t *flash, uint32_t running_app, explore_trace_t *trace)
{
    const sim_config_t sim = {.chip = config->chip, .flash = flash, .running_app = running_app, .quiet = true};
    *trace = (explore_trace_t){.record = flash_record_new(flash)};
    return trace->record != NULL && run_from(config, &sim, &trace->report) &&
           explore_operations(trace->record, &trace->operations, &trace->count);
}

bool explore_power_loss_run(const boot_chip_t *chip, nor_flash_t *flash, uint32_t running_app, void (*app_main)(void),
                            const explore_power_loss_t *losses, unsigned count, unsigned *made)
{
    for (*made = 0; *made < count; (*made)++) {
        const explore_power_loss_t *loss = &losses[*made];
        const sim_config_t sim = {.chip = *chip, .flash = flash, .running_app = *made == 0 ? running_app : UINT32_MAX};
        sim_report_t report;
        nor_flash_power_on(flash);
        nor_flash_reset_stats(flash);
        nor_flash_set_power_loss(flash, (nor_power_loss_t){true, loss->operation, loss->when, loss->seed});
        if (!sim_run(&sim, app_main, EXPLORE_MAX_BOOTS, &report) || !nor_flash_power_is_lost(flash)) {
            return false;
        }
    }
    return true;
}

void explore_trace_free(explore_trace_t *trace)
{
    flash_record_delete(trace->record);
    free(trace->operations);
    *trace = (explore_trace_t){0};
}

static void take_step(explore_cursor_t *cursor)
{
    if (!flash_replay_next(&cursor->replay, &cursor->step)) {
        cursor->step = (flash_step_t){0};
    }
    cursor->booted = false;
}

/** @param flash The cursor's to work on. @return false without memory. */
static bool start(explore_cursor_t *cursor, const explore_trace_t *trace, const boot_chip_t *chip, uint8_t *flash)
{
    const uint32_t size = flash_record_size(trace->record);
    *cursor = (explore_cursor_t){.trace = trace, .chip = chip, .flash = flash, .size = size};
    if (flash == NULL || !flash_replay_open(trace->record, &cursor->replay)) {
        return false;
    }
    flash_buffer_copy(flash, flash_record_before(trace->record), size);
    take_step(cursor);
    return true;
}

bool explore_cursor_open(explore_cursor_t *cursor, const explore_trace_t *trace, const boot_chip_t *chip)
{
    return start(cursor, trace, chip, flash_buffer_new(flash_record_size(trace->record)));
}

void explore_cursor_close(explore_cursor_t *cursor)
{
    flash_replay_close(&cursor->replay);
    flash_buffer_delete(cursor->flash, cursor->size);
    *cursor = (explore_cursor_t){0};
}

/** A cut at the next operation comes after what the boot before it wrote to flash. */
static void boot_before_next(explore_cursor_t *cursor)
{
    if (cursor->next < cursor->trace->count && cursor->trace->operations[cursor->next].first_of_boot &&
        !cursor->booted) {
        boot_result_t result;
        boot_run(cursor->chip, cursor->flash, cursor->size, NULL, NULL, &result);
    }
    cursor->booted = true;
}

static void seek(explore_cursor_t *cursor, uint32_t operation)
{
    for (; cursor->next < operation && cursor->next < cursor->trace->count; cursor->next++) {
        flash_step_apply(&cursor->step, cursor->flash);
        take_step(cursor);
    }
}

/** Goes to a cut. */
static void go_to(explore_cursor_t *cursor, const explore_power_loss_t *loss)
{
    seek(cursor, loss->when == NOR_POWER_LOSS_AFTER ? loss->operation + 1 : loss->operation);
    if (loss->when != NOR_POWER_LOSS_AFTER) {
        boot_before_next(cursor);
    }
}

/** Tears the operation that the cursor is at. */
static void tear(const explore_cursor_t *cursor, const explore_power_loss_t *loss, uint8_t *flash)
{
    if (loss->when == NOR_POWER_LOSS_INSIDE) {
        const nor_op_t *op = &cursor->step.op;
        nor_tear(op, loss->seed, flash + op->address, cursor->step.after);
    }
}

const uint8_t *explore_cursor_at(explore_cursor_t *cursor, const explore_power_loss_t *loss)
{
    memcpy(cursor->flash + cursor->torn.address, cursor->whole, cursor->torn.length);
    go_to(cursor, loss);
    cursor->torn = loss->when == NOR_POWER_LOSS_INSIDE ? cursor->step.op : (nor_op_t){0};
    memcpy(cursor->whole, cursor->flash + cursor->torn.address, cursor->torn.length);
    tear(cursor, loss, cursor->flash);
    return cursor->flash;
}

void explore_cursor_make(explore_cursor_t *cursor, const explore_power_loss_t *loss, uint8_t *flash)
{
    flash_buffer_copy(flash, explore_cursor_at(cursor, loss), cursor->size);
}

bool explore_make_state(const explore_trace_t *trace, const boot_chip_t *chip, const explore_power_loss_t *loss,
                        uint8_t *flash)
{
    explore_cursor_t cursor;
    if (!start(&cursor, trace, chip, flash)) {
        return false;
    }
    go_to(&cursor, loss);
    tear(&cursor, loss, flash);
    flash_replay_close(&cursor.replay);
    return true;
}

void explore_starts_free(explore_starts_t *starts, uint32_t size)
{
    for (uint32_t i = 0; i < starts->count; i++) {
        flash_buffer_delete(starts->flashes[i], size);
    }
    free(starts->flashes);
    *starts = (explore_starts_t){0};
}

bool explore_find_starts(const explore_trace_t *trace, const boot_chip_t *chip, explore_starts_t *starts)
{
    const uint32_t size = flash_record_size(trace->record);
    explore_cursor_t cursor;
    *starts = (explore_starts_t){0};
    bool enough = explore_cursor_open(&cursor, trace, chip);
    for (uint32_t i = 1; i < trace->count && enough; i++) {
        if (!trace->operations[i].first_of_boot) {
            continue;
        }
        const explore_power_loss_t before = {.operation = i - 1, .when = NOR_POWER_LOSS_AFTER};
        uint8_t **flashes = realloc(starts->flashes, (starts->count + 1) * sizeof(*flashes));
        uint8_t *flash = flash_buffer_new(size);
        starts->flashes = flashes != NULL ? flashes : starts->flashes;
        enough = flashes != NULL && flash != NULL;
        if (enough) {
            explore_cursor_make(&cursor, &before, flash);
            flashes[starts->count++] = flash;
        }
    }
    explore_cursor_close(&cursor);
    return enough;
}
