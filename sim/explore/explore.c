// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

const char *explore_outcome_name(explore_outcome_t outcome)
{
    static const char *const names[EXPLORE_OUTCOMES] = {
        [EXPLORE_OLD_FINISHES] = "old_finishes",
        [EXPLORE_NEW_COMPLETE] = "new_complete",
        [EXPLORE_NEW_LEFT_TO_NEW] = "new_left_to_new",
        [EXPLORE_NEW_LEFT_TO_NOBODY] = "new_left_to_nobody",
        [EXPLORE_DOES_NOT_BOOT] = "does_not_boot",
        [EXPLORE_OLD_STUCK] = "old_stuck",
        [EXPLORE_WENT_BACK] = "went_back",
    };
    return (unsigned)outcome < EXPLORE_OUTCOMES ? names[outcome] : "?";
}

static bool mark_window(const explore_config_t *config, const explore_trace_t *trace, explore_result_t *result)
{
    boot_window_t window = {0};
    const bool measured =
        explore_mark_window(trace->record, &config->chip, &trace->report.app, trace->operations, trace->count, &window);
    result->window_typical_us = window.typical_us;
    result->window_maximum_us = window.maximum_us;
    return measured;
}

static bool explore_trace(const explore_config_t *config, explore_trace_t *trace, explore_result_t *result)
{
    if (!explore_mark_commits(config, trace, result->flash, UINT32_MAX) || !mark_window(config, trace, result) ||
        !explore_lower_bound(config, trace, result->flash, result) || !explore_list_states(config, trace, result) ||
        !explore_states(config, trace, result)) {
        return false;
    }
    result->operations = trace->operations;
    result->operation_count = trace->count;
    trace->operations = NULL;
    return true;
}

/** The uncut run is what all others are compared with, so it has to end well. */
static bool is_finished(const sim_report_t *run)
{
    return boot_succeeds(&run->after) && (run->other_app || run->last_end == SIM_END_RETURNED);
}

static explore_status_t explore_flash(const explore_config_t *config, nor_flash_t *flash, explore_trace_t *trace,
                                      explore_result_t *result)
{
    memcpy(nor_flash_bytes(flash), config->flash, config->size);
    const bool ran = explore_trace_run(config, flash, config->running_app, trace);
    result->run = trace->report;
    result->stats = nor_flash_stats(flash);
    result->size = config->size;
    result->flash = flash_buffer_new(config->size);
    if (trace->record != NULL && (trace->report.boots == 0 || !boot_succeeds(&trace->report.before))) {
        return EXPLORE_NO_START;
    }
    if (!ran || result->flash == NULL) {
        return EXPLORE_NO_MEMORY;
    }
    memcpy(result->flash, nor_flash_view(flash), config->size);
    if (!is_finished(&trace->report)) {
        return EXPLORE_UNFINISHED;
    }
    return explore_trace(config, trace, result) ? EXPLORE_OK : EXPLORE_NO_MEMORY;
}

explore_status_t explore_run(const explore_config_t *config, explore_result_t *result)
{
    explore_trace_t trace = {0};
    *result = (explore_result_t){0};
    nor_flash_t *flash = nor_flash_new(config->size, config->timing);
    const explore_status_t status = flash != NULL ? explore_flash(config, flash, &trace, result) : EXPLORE_NO_MEMORY;
    explore_trace_free(&trace);
    nor_flash_delete(flash);
    return status;
}

void explore_result_free(explore_result_t *result)
{
    flash_buffer_delete(result->flash, result->size);
    free(result->operations);
    free(result->states);
    *result = (explore_result_t){0};
}
