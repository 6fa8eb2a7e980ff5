// SPDX-License-Identifier: Apache-2.0
#include "tool/report/explore_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FAILURES_SHOWN 10u

const char *explore_outcome_text(explore_outcome_t outcome)
{
    static const char *const texts[EXPLORE_OUTCOMES] = {
        [EXPLORE_OLD_FINISHES] = "the old system boots and finishes",
        [EXPLORE_NEW_COMPLETE] = "the new system boots and is complete",
        [EXPLORE_NEW_LEFT_TO_NEW] = "the new system boots, and can finish what is left",
        [EXPLORE_NEW_LEFT_TO_NOBODY] = "the new system boots, and something is left that nobody finishes",
        [EXPLORE_DOES_NOT_BOOT] = "does not boot",
        [EXPLORE_OLD_STUCK] = "the old system boots and does not finish",
        [EXPLORE_WENT_BACK] = "the app before boots again, and nothing has changed",
    };
    return texts[outcome];
}

static uint32_t tried_operations(const explore_result_t *result)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < result->state_count; i++) {
        count += i == 0 || result->states[i].loss.operation != result->states[i - 1].loss.operation;
    }
    return count;
}

const char *explore_state_text(const explore_state_t *state, char out[POWER_LOSS_TEXT_SIZE])
{
    explore_power_loss_t losses[EXPLORE_MAX_POWER_LOSSES] = {state->loss};
    memcpy(losses + 1, state->nested, state->nested_count * sizeof(losses[0]));
    return power_loss_report(losses, state->nested_count + 1u, out);
}

static void print_time(const char *key, uint64_t typical_us, uint64_t maximum_us)
{
    terminal_key(key);
    printf("%.3f s, at most %.3f s\n", (double)typical_us / 1e6, (double)maximum_us / 1e6);
}

/** "never fatal", or how long of how much. */
static const char *fatal_text(const explore_result_t *result, char *out, size_t size)
{
    const double window = (double)result->window_typical_us / 1e6;
    const double all = (double)result->stats.typical_us / 1e6;
    if (result->window_typical_us == 0) {
        snprintf(out, size, "a power loss is never fatal");
    } else {
        snprintf(out, size, "a power loss is fatal in %.3f s of %.3f s, %.1f %%", window, all,
                 all > 0 ? 100.0 * window / all : 0.0);
    }
    return out;
}

const char *explore_verdict(const explore_result_t *result, char out[EXPLORE_VERDICT_SIZE])
{
    char fatal[96];
    char failures[NUMBER_COUNT_SIZE];
    char states[NUMBER_COUNT_SIZE];
    snprintf(out, EXPLORE_VERDICT_SIZE, "%s in %s; %s",
             result->failures == 0 ? "no failure" : number_count(result->failures, "failure", failures),
             number_count(result->state_count, "state", states), fatal_text(result, fatal, sizeof(fatal)));
    return out;
}

static void print_outcomes(const explore_result_t *result)
{
    char text[NUMBER_TEXT_SIZE];
    for (unsigned i = 0; i < EXPLORE_OUTCOMES; i++) {
        if (result->outcomes[i] > 0) {
            printf("  %9s  %s\n", number_grouped(result->outcomes[i], text),
                   explore_outcome_text((explore_outcome_t)i));
        }
    }
}

static void print_failures(const explore_result_t *result)
{
    uint32_t shown = 0;
    char text[POWER_LOSS_TEXT_SIZE];
    char count[NUMBER_COUNT_SIZE];
    terminal_heading("%s", number_count(result->failures, "failure", count));
    for (uint32_t i = 0; i < result->state_count && shown < FAILURES_SHOWN; i++) {
        const explore_state_t *state = &result->states[i];
        if (state->failed) {
            printf("  --cut %-12s %s\n", explore_state_text(state, text), state->reason);
            shown++;
        }
    }
    if (result->failures > shown) {
        printf("  and %" PRIu32 " more\n", result->failures - shown);
    }
}

void explore_report_print(const explore_result_t *result)
{
    char a[NUMBER_TEXT_SIZE];
    char b[NUMBER_TEXT_SIZE];
    terminal_heading("Power losses");
    terminal_key("operations");
    printf("%s, a power loss in %s of them\n", number_grouped(result->operation_count, a),
           number_grouped(tried_operations(result), b));
    terminal_key("states");
    printf("%s tried", number_grouped(result->state_count, a));
    if (result->nested_count > 0) {
        char losses[NUMBER_COUNT_SIZE];
        printf(", %s while going on", number_count(result->nested_count, "further power loss", losses));
    }
    putchar('\n');
    print_time("window", result->window_typical_us, result->window_maximum_us);
    print_time("shortest", result->lower_bound_typical_us, result->lower_bound_maximum_us);
    terminal_heading("Outcomes");
    print_outcomes(result);
    if (result->failures > 0) {
        print_failures(result);
    }
    char verdict[EXPLORE_VERDICT_SIZE];
    putchar('\n');
    terminal_print(result->failures == 0 ? STYLE_GOOD : STYLE_BAD, explore_verdict(result, verdict));
    putchar('\n');
}

static void add_times(cJSON *json, const char *name, uint64_t typical_us, uint64_t maximum_us)
{
    cJSON *times = cJSON_AddObjectToObject(json, name);
    cJSON_AddNumberToObject(times, "typical", (double)typical_us / 1e3);
    cJSON_AddNumberToObject(times, "maximum", (double)maximum_us / 1e3);
}

static cJSON *cut_json(const explore_power_loss_t *loss)
{
    static const char *const when[] = {"before", "inside", "after"};
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "cut", loss->operation);
    cJSON_AddStringToObject(json, "when", when[loss->when]);
    cJSON_AddItemToObject(json, "seed",
                          loss->when == NOR_POWER_LOSS_INSIDE ? cJSON_CreateNumber(loss->seed) : cJSON_CreateNull());
    return json;
}

static cJSON *failure_json(const explore_state_t *state)
{
    char text[POWER_LOSS_TEXT_SIZE];
    cJSON *json = cut_json(&state->loss);
    cJSON *nested = cJSON_AddArrayToObject(json, "nested");
    for (unsigned i = 0; i < state->nested_count; i++) {
        cJSON_AddItemToArray(nested, cut_json(&state->nested[i]));
    }
    cJSON_AddStringToObject(json, "argument", explore_state_text(state, text));
    cJSON_AddStringToObject(json, "outcome", explore_outcome_name(state->outcome));
    cJSON_AddStringToObject(json, "reason", state->reason);
    return json;
}

cJSON *explore_report_json(const explore_result_t *result)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "operations", result->operation_count);
    cJSON_AddNumberToObject(json, "operations_tried", tried_operations(result));
    cJSON_AddNumberToObject(json, "states", result->state_count);
    cJSON_AddNumberToObject(json, "nested_power_losses", result->nested_count);
    cJSON *outcomes = cJSON_AddObjectToObject(json, "outcomes");
    for (unsigned i = 0; i < EXPLORE_OUTCOMES; i++) {
        cJSON_AddNumberToObject(outcomes, explore_outcome_name((explore_outcome_t)i), result->outcomes[i]);
    }
    add_times(json, "window_ms", result->window_typical_us, result->window_maximum_us);
    add_times(json, "window_lower_bound_ms", result->lower_bound_typical_us, result->lower_bound_maximum_us);
    cJSON *failures = cJSON_AddArrayToObject(json, "failures");
    for (uint32_t i = 0; i < result->state_count; i++) {
        if (result->states[i].failed) {
            cJSON_AddItemToArray(failures, failure_json(&result->states[i]));
        }
    }
    return json;
}
