// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore.h"

#include <stdlib.h>

bool explore_operations(const flash_record_t *record, explore_operation_t **operations, uint32_t *count)
{
    flash_replay_t replay;
    flash_step_t step;
    uint32_t total = 0;
    *operations = NULL;
    *count = 0;
    if (!flash_replay_open(record, &replay)) {
        return false;
    }
    for (flash_replay_t again = replay; flash_replay_next(&again, &step);) {
        total++;
    }
    *operations = calloc(total + 1u, sizeof(**operations));
    for (flash_replay_t again = replay; *operations != NULL && flash_replay_next(&again, &step); (*count)++) {
        (*operations)[*count] =
            (explore_operation_t){.op = step.op, .first_of_boot = step.first_of_boot || *count == 0};
    }
    flash_replay_close(&replay);
    return *operations != NULL;
}

bool explore_mark_window(const flash_record_t *record, const boot_chip_t *chip, const boot_code_t *running,
                         explore_operation_t *operations, uint32_t count, boot_window_t *window)
{
    bool *inside = calloc(count + 1u, sizeof(*inside));
    const bool measured = inside != NULL && boot_window_measure(record, chip, running, window, inside);
    for (uint32_t i = 0; i < count && measured; i++) {
        operations[i].in_window = inside[i];
    }
    free(inside);
    return measured;
}
