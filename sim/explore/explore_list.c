// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct list {
    const explore_config_t *config;
    const explore_trace_t *trace;
    explore_result_t *result;
    uint32_t waiting; /**< First torn state of the operation before that may be the same as the state after it. */
    bool *is_after;   /**< For each state of that operation: its flash is that after the operation. */
} list_t;

static bool is_sampled(const list_t *list, uint32_t operation)
{
    const uint32_t sample = list->config->sample;
    const uint32_t count = list->trace->count;
    if (sample == 0 || sample >= count || operation == 0 || operation + 1 == count ||
        list->trace->operations[operation].in_commit) {
        return true;
    }
    return (uint64_t)operation * sample / count != (uint64_t)(operation - 1) * sample / count;
}

static uint32_t add(list_t *list, explore_power_loss_t loss)
{
    explore_result_t *result = list->result;
    const uint32_t index = result->state_count++;
    result->states[index] = (explore_state_t){
        .loss = loss, .same_as = EXPLORE_NOT_SHARED, .in_commit = explore_power_loss_in_commit(list->trace, &loss)};
    return index;
}

/** Tries one state in the place of both, unless different things are asked of them. */
static void share(list_t *list, uint32_t index, uint32_t with)
{
    explore_state_t *states = list->result->states;
    const uint32_t same_as = states[with].same_as != EXPLORE_NOT_SHARED ? states[with].same_as : with;
    if (states[index].in_commit == states[same_as].in_commit) {
        states[index].same_as = same_as;
    }
}

/** The torn states of the operation before may be the same as a state that follows it at once. */
static void share_waiting(list_t *list, uint32_t with)
{
    for (uint32_t i = list->waiting; i < with; i++) {
        if (list->is_after[i] && list->result->states[i].same_as == EXPLORE_NOT_SHARED) {
            share(list, i, with);
        }
    }
}

static void add_torn(list_t *list, const flash_step_t *step, const uint8_t *flash, uint32_t before)
{
    const nor_op_t *op = &step->op;
    const uint8_t *now = flash + op->address;
    const uint8_t *after = step->after;
    uint8_t torn[SR_BLOCK_SIZE];
    for (uint32_t seed = 0; seed < list->config->torn_states; seed++) {
        const explore_power_loss_t loss = {.operation = op->number, .when = NOR_POWER_LOSS_INSIDE, .seed = seed};
        const uint32_t index = add(list, loss);
        memcpy(torn, now, op->length);
        nor_tear(op, seed, torn, after);
        list->is_after[index] = memcmp(torn, after, op->length) == 0;
        if (memcmp(torn, now, op->length) == 0) {
            share(list, index, before);
        }
    }
}

/** Adds the states of one operation: before it, and inside it. @p last is the one before it, if that was added. */
static uint32_t add_operation(list_t *list, explore_cursor_t *cursor, uint32_t operation, uint32_t last)
{
    const explore_operation_t *operations = list->trace->operations;
    const explore_power_loss_t loss = {.operation = operation, .when = NOR_POWER_LOSS_BEFORE};
    const uint8_t *flash = explore_cursor_at(cursor, &loss);
    const uint32_t before = add(list, loss);
    if (last != EXPLORE_NOT_SHARED && !operations[operation].first_of_boot) {
        share_waiting(list, before);
        if (!operations[operation - 1].op.changed) {
            share(list, before, last);
        }
    }
    list->waiting = before;
    add_torn(list, &cursor->step, flash, before);
    return before;
}

static void add_all(list_t *list, explore_cursor_t *cursor)
{
    const explore_operation_t *operations = list->trace->operations;
    uint32_t last = EXPLORE_NOT_SHARED;
    for (uint32_t i = 0; i < list->trace->count; i++) {
        const bool sampled = is_sampled(list, i);
        last = sampled ? add_operation(list, cursor, i, last) : EXPLORE_NOT_SHARED;
        // the next boot writes to flash first, so this state is not one before an operation
        if (sampled && (i + 1 == list->trace->count || operations[i + 1].first_of_boot)) {
            share_waiting(list, add(list, (explore_power_loss_t){.operation = i, .when = NOR_POWER_LOSS_AFTER}));
        }
    }
}

bool explore_list_states(const explore_config_t *config, const explore_trace_t *trace, explore_result_t *result)
{
    const size_t capacity = (size_t)trace->count * (config->torn_states + 2u) + 1u;
    list_t list = {.config = config, .trace = trace, .result = result};
    explore_cursor_t cursor;
    result->states = calloc(capacity, sizeof(*result->states));
    list.is_after = calloc(capacity, sizeof(*list.is_after));
    const bool enough =
        explore_cursor_open(&cursor, trace, &config->chip) && result->states != NULL && list.is_after != NULL;
    if (enough) {
        add_all(&list, &cursor);
    }
    explore_cursor_close(&cursor);
    free(list.is_after);
    return enough;
}
