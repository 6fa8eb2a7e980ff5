// SPDX-License-Identifier: Apache-2.0
#include "explore_internal.h"

#include <stdlib.h>
#include <string.h>

const char *explore_outcome_name(explore_outcome_t outcome)
{
    static const char *const names[EXPLORE_OUTCOMES] = {
        [EXPLORE_OLD_FINISHES] = "old_finishes",       [EXPLORE_NEW_COMPLETE] = "new_complete",
        [EXPLORE_NEW_LEFT_TO_NEW] = "new_left_to_new", [EXPLORE_NEW_LEFT_TO_NOBODY] = "new_left_to_nobody",
        [EXPLORE_DOES_NOT_BOOT] = "does_not_boot",     [EXPLORE_OLD_STUCK] = "old_stuck",
    };
    return (unsigned)outcome < EXPLORE_OUTCOMES ? names[outcome] : "?";
}

static bool mark_window(const explore_config_t *config, const explore_trail_t *trail, explore_result_t *result)
{
    boot_window_t window = {0};
    const bool measured =
        explore_mark_window(trail->record, &config->chip, &trail->report.app, trail->operations, trail->count, &window);
    result->window_typical_us = window.typical_us;
    result->window_maximum_us = window.maximum_us;
    return measured;
}

static bool explore_trail(const explore_config_t *config, explore_trail_t *trail, explore_result_t *result)
{
    if (!explore_mark_commits(config, trail, result->flash) || !mark_window(config, trail, result) ||
        !explore_floor(config, trail, result->flash, result) || !explore_list_states(config, trail, result) ||
        !explore_states(config, trail, result)) {
        return false;
    }
    result->operations = trail->operations;
    result->operation_count = trail->count;
    trail->operations = NULL;
    return true;
}

/** The uncut run is what all others are compared with, so it has to end well. */
static bool is_finished(const sim_report_t *run)
{
    return boot_succeeds(&run->after) && (run->other_app || run->last_end == SIM_END_RETURNED);
}

static explore_status_t explore_flash(const explore_config_t *config, nor_flash_t *flash, explore_trail_t *trail,
                                      explore_result_t *result)
{
    memcpy(nor_flash_bytes(flash), config->flash, config->size);
    const bool ran = explore_trail_run(config, flash, config->running_app, trail);
    result->run = trail->report;
    result->stats = nor_flash_stats(flash);
    result->flash = malloc(config->size);
    if (trail->record != NULL && (trail->report.boots == 0 || !boot_succeeds(&trail->report.before))) {
        return EXPLORE_NO_START;
    }
    if (!ran || result->flash == NULL) {
        return EXPLORE_NO_MEMORY;
    }
    memcpy(result->flash, nor_flash_view(flash), config->size);
    if (!is_finished(&trail->report)) {
        return EXPLORE_UNFINISHED;
    }
    return explore_trail(config, trail, result) ? EXPLORE_OK : EXPLORE_NO_MEMORY;
}

explore_status_t explore_run(const explore_config_t *config, explore_result_t *result)
{
    explore_trail_t trail = {0};
    *result = (explore_result_t){0};
    nor_flash_t *flash = nor_flash_new(config->size, config->timing);
    const explore_status_t status = flash != NULL ? explore_flash(config, flash, &trail, result) : EXPLORE_NO_MEMORY;
    explore_trail_free(&trail);
    nor_flash_delete(flash);
    return status;
}

void explore_result_free(explore_result_t *result)
{
    free(result->flash);
    free(result->operations);
    free(result->states);
    *result = (explore_result_t){0};
}
