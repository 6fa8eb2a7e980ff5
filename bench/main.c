// SPDX-License-Identifier: Apache-2.0
/** @file
 * Measures what migrations cost: this component, the classic way, and the least that is possible, on the same simulated
 * flash and with the same images.
 */
#include "tool/base/command.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAMES 16u

typedef struct arguments {
    const char *fixtures;
    const nor_timing_t *timing;
    bool json, list;
    const char *names[MAX_NAMES];
    unsigned name_count;
} arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    arguments_t *arguments = state->input;
    switch (key) {
    case 'f':
        arguments->fixtures = argument[0] != '\0' ? argument : NULL;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'l':
        arguments->list = true;
        return 0;
    case 'c':
        arguments->timing = nor_timing_find(argument);
        if (arguments->timing == NULL) {
            argp_error(state, "unknown flash chip '%s'", argument);
        }
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->name_count == MAX_NAMES) {
            argp_error(state, "too many scenarios");
        } else {
            arguments->names[arguments->name_count++] = argument;
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"fixtures", 'f', "DIR", 0, "Published firmware to work with; default: dummy images", 0},
    {"flash-chip", 'c', "NAME", 0, "Flash chip whose times are modelled; default: W25Q32JV", 0},
    {"list", 'l', NULL, 0, "List the scenarios", 0},
    {"json", 'j', NULL, 0, "Print JSON, times in milliseconds", 0},
    {0}};

static bool run_scenario(const arguments_t *arguments, const char *name, cJSON *list)
{
    scenario_t scenario;
    measurement_t results[METHOD_COUNT];
    const bool made = scenario_make(name, arguments->fixtures, &scenario);
    for (method_t method = METHOD_LOWER_BOUND; made && method < METHOD_COUNT; method++) {
        measure(&scenario, method, arguments->timing, &results[method]);
    }
    if (made && arguments->json) {
        cJSON_AddItemToArray(list, report_json(&scenario, results));
    } else if (made) {
        report_print(&scenario, results);
        (void)fflush(stdout);
    }
    scenario_free(&scenario);
    return made;
}

static bool run_all(const arguments_t *arguments, cJSON *list)
{
    bool good = true;
    for (unsigned i = 0; arguments->name_count == 0 && scenario_name(i) != NULL; i++) {
        good = run_scenario(arguments, scenario_name(i), list) && good;
    }
    for (unsigned i = 0; i < arguments->name_count; i++) {
        good = run_scenario(arguments, arguments->names[i], list) && good;
    }
    return good;
}

static int run(const arguments_t *arguments)
{
    cJSON *list = cJSON_CreateArray();
    if (!arguments->json) {
        printf("Modelled on %s. Ratios are typical times to the floor's.\n\n", arguments->timing->name);
    }
    const bool good = run_all(arguments, list);
    if (arguments->json) {
        char *text = cJSON_Print(list);
        (void)puts(text != NULL ? text : "[]");
        cJSON_free(text);
    }
    cJSON_Delete(list);
    return good ? STATUS_OK : STATUS_BAD_INPUT;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "[SCENARIO...]",
        .doc = "Measures flash time, wear, traffic, heap and the window in which a power loss would brick, of each "
               "scenario, by each method.",
    };
    arguments_t arguments = {.timing = nor_timing_find(NULL)};
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0) {
        return STATUS_USAGE;
    }
    for (unsigned i = 0; arguments.list && scenario_name(i) != NULL; i++) {
        (void)puts(scenario_name(i));
    }
    return arguments.list ? STATUS_OK : run(&arguments);
}
