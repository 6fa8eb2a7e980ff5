// SPDX-License-Identifier: Apache-2.0
// explore: lose the power at every flash operation of a migration, and check how it ends.
#include "format/sr_bundle.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/base/terminal.h"
#include "tool/html/html_report.h"
#include "tool/report/boot_report.h"
#include "tool/report/explore_report.h"
#include "tool/report/first_encryption_report.h"
#include "tool/run/field_app.h"
#include "tool/run/migration_options.h"
#include "tool/run/simulate_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SAMPLE 200u /**< Operations. A small migration has fewer. */

enum { KEY_CUTS = 0x300, KEY_SAMPLE, KEY_FULL, KEY_TORN, KEY_JOBS, KEY_HTML };

typedef struct explore_arguments {
    migration_options_t migration;
    uint32_t losses, sample, torn, jobs;
    const char *html_path;
    const char *command; /**< As it was typed. */
    bool json;
} explore_arguments_t;

static uint32_t parse_count(const char *text, uint32_t most, const char *what, struct argp_state *state)
{
    uint32_t count = 0;
    if (!number_parse(text, &count) || count == 0 || count > most) {
        argp_error(state, "bad number of %s '%s': 1 to %" PRIu32 " expected", what, text, most);
    }
    return count;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    explore_arguments_t *arguments = state->input;
    switch (key) {
    case KEY_CUTS:
        arguments->losses = parse_count(argument, EXPLORE_MAX_POWER_LOSSES, "power losses", state);
        return 0;
    case KEY_SAMPLE:
        arguments->sample = parse_count(argument, UINT32_MAX, "operations", state);
        return 0;
    case KEY_FULL:
        arguments->sample = 0;
        return 0;
    case KEY_TORN:
        arguments->torn = parse_count(argument, 1000, "torn states", state);
        return 0;
    case KEY_JOBS:
        arguments->jobs = parse_count(argument, 256, "processes", state);
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_HTML:
        arguments->html_path = argument;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->migration;
        return 0;
    case ARGP_KEY_END:
        if (arguments->migration.bundle.url != NULL) {
            argp_error(state, "explore fetches the bundle thousands of times: give it as --bundle FILE");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"cuts", KEY_CUTS, "N", 0, "Up to N power losses, the further ones after the restart; default: 1", 0},
    {"sample", KEY_SAMPLE, "N", 0,
     "A power loss in N operations, evenly spread, and in those of the commit; default: 200", 0},
    {"full", KEY_FULL, NULL, 0, "A power loss in every operation", 0},
    {"torn", KEY_TORN, "N", 0,
     "Torn states that are tried for each operation; default: 4; 12 show each way in each phase of an erase", 0},
    {"jobs", KEY_JOBS, "N", 0, "Processes; default: as many as there are processors", 0},
    {"json", 'j', NULL, 0, "Print JSON, times in milliseconds", 0},
    {"html", KEY_HTML, "FILE", 0, "Write a page with flash maps, a timeline, all outcomes and figures", 0},
    {0}};

static void show_progress(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    terminal_draws_on_stderr();
    fprintf(stderr, "\r%3u %% of %" PRIu32 " states%s", (unsigned)(100ull * done / (total + !total)), total,
            done == total ? "\r\033[K" : "");
    fflush(stderr);
}

/** What the bundle describes, and where data moves to. @return how many regions; 0 if it is no bundle, which the
 * component refuses. */
static unsigned bundle_regions(const migration_input_t *input, sr_region_t *regions)
{
    sr_bundle_t bundle;
    if (!migration_bundle_manifest(input, &bundle)) {
        return 0;
    }
    for (uint32_t i = 0; i < bundle.region_count; i++) {
        regions[i] = sr_bundle_region(&bundle, i).place;
    }
    for (uint32_t i = 0; i < bundle.move_count; i++) {
        regions[bundle.region_count + i] = sr_bundle_move(&bundle, i).destination;
    }
    return (unsigned)bundle.region_count + bundle.move_count;
}

static unsigned step_regions(const migration_t *migration, sr_region_t *regions)
{
    for (size_t i = 0; i < migration->step_count; i++) {
        const addr_region_t place = migration->steps[i].destination;
        regions[i] = (sr_region_t){place.region_address, (uint32_t)place.region_size};
    }
    return (unsigned)migration->step_count;
}

static int complain_status(const migration_input_t *input, explore_status_t status, const explore_result_t *result)
{
    const char *path = input->flash.path;
    const sim_report_t *run = &result->run;
    if (status == EXPLORE_NO_START) {
        return complain(STATUS_BAD_INPUT, "%s: boots no app that could run the migration (%s)", path,
                        run->before.reason);
    }
    if (status == EXPLORE_UNFINISHED) {
        return complain(STATUS_NO, "%s: the migration does not end well even without a power loss (%s): see simulate",
                        path, run->after.reason);
    }
    return complain(STATUS_BAD_INPUT, "%s: out of memory, or a process ended too early", path);
}

static int write_page(const explore_arguments_t *arguments, const explore_result_t *result, const contents_t *before,
                      const contents_t *after, const given_up_t *given_up)
{
    char verdict[EXPLORE_VERDICT_SIZE];
    char key[MIGRATION_KEY_TEXT_SIZE];
    cJSON *figures = explore_report_json(result);
    const html_report_t page = {
        .path = arguments->migration.flash_path,
        .flash_chip = arguments->migration.flash_chip->name,
        .before = before,
        .after = after,
        .given_up = given_up,
        .command = arguments->command,
        .bundle = migration_bundle_name(&arguments->migration),
        .key = migration_key_text(&arguments->migration, key),
        .run = &result->run,
        .stats = &result->stats,
        .window_us = result->window_typical_us,
        .window_maximum_us = result->window_maximum_us,
        .operations = result->operations,
        .operation_count = result->operation_count,
        .explored = result,
        .figures = figures,
        .good = result->failures == 0,
        .end = HTML_EXPLORED,
        .verdict = explore_verdict(result, verdict),
    };
    const int status = html_report_write(arguments->html_path, &page);
    cJSON_Delete(figures);
    return status;
}

/** Loses the power in what the new bootloader does afterwards, too. @return NULL without memory, or if it does nothing.
 */
static first_encryption_report_t *explore_first(const explore_arguments_t *arguments, const migration_input_t *input,
                                                const explore_result_t *result)
{
    const boot_chip_t *chip = &input->migration.chip;
    const first_encryption_losses_t losses = {.torn_states = arguments->torn, .sample = arguments->sample};
    return chip->first_encryption == NULL ? NULL
                                          : first_encryption_report_make(chip, result->flash, result->size,
                                                                         arguments->migration.flash_chip, &losses);
}

static int write_html(const explore_arguments_t *arguments, const migration_input_t *input,
                      const explore_result_t *result)
{
    const image_file_t *flash = &input->cells;
    contents_t *before = contents_of_flash(flash->bytes, flash->size, &input->migration.chip);
    contents_t *after = contents_of_flash(result->flash, flash->size, &input->migration.chip);
    given_up_t given_up;
    migration_given_up(input, &given_up);
    const int status = before != NULL && after != NULL ? write_page(arguments, result, before, after, &given_up)
                                                       : complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    contents_free(before);
    contents_free(after);
    return status;
}

static int report(const explore_arguments_t *arguments, const migration_input_t *input, const explore_result_t *result)
{
    const int written = arguments->html_path != NULL ? write_html(arguments, input, result) : STATUS_OK;
    if (written != STATUS_OK) {
        return written;
    }
    first_encryption_report_warn(&input->migration.chip, result->flash, result->size);
    first_encryption_report_t *first = explore_first(arguments, input, result);
    if (first == NULL && input->migration.chip.first_encryption != NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", input->flash.path);
    }
    if (arguments->json) {
        cJSON *json = explore_report_json(result);
        cJSON_AddItemToObject(json, "first_encryption", first_encryption_report_json(first));
        json_print(json);
    } else {
        explore_report_print(result);
        if (first != NULL) {
            first_encryption_report_print(first);
        }
    }
    const bool good = result->failures == 0 && (first == NULL || first->good);
    first_encryption_report_free(first);
    return good ? STATUS_OK : STATUS_NO;
}

/** What the images leave boots, and is the old app: nothing of that is a failure of a power loss. */
static int check_new_app(const migration_input_t *input, const explore_result_t *result)
{
    const migration_t *migration = &input->migration;
    const uint32_t app = result->run.after.app_offset;
    return migration_misses_new_app(migration, result->flash, result->size, app)
               ? complain(STATUS_NO,
                          "the images bring an app, and without any power loss the one at 0x%" PRIx32
                          " starts in the end: " SIMULATE_OLD_APP_WAY_OUT,
                          app)
               : STATUS_OK;
}

static int explore(const explore_arguments_t *arguments, const migration_input_t *input)
{
    const migration_t *migration = &input->migration;
    if (migration->carries && migration->bundle->embedded.region_size == 0) {
        return complain(STATUS_BAD_INPUT, "%s: carries no bundle, and explore would have it fetched thousands of times",
                        arguments->migration.upload_path);
    }
    sr_region_t *regions =
        calloc(migration->step_count + SR_BUNDLE_MAX_REGIONS + SR_BUNDLE_MAX_MOVES, sizeof(*regions));
    if (regions == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", input->flash.path);
    }
    given_up_t given_up;
    migration_given_up(input, &given_up);
    const explore_config_t config = {
        .given_up = given_up.regions,
        .given_up_count = given_up.count,
        .chip = migration->chip,
        .flash = input->cells.bytes,
        .size = input->flash.size,
        .running_app = migration->running_app,
        .timing = arguments->migration.flash_chip,
        .app_main = field_app_main,
        .targets = regions,
        .target_count = migration->bundle != NULL ? bundle_regions(input, regions) : step_regions(migration, regions),
        .torn_states = arguments->torn,
        .losses = arguments->losses,
        .sample = arguments->sample,
        .workers = arguments->jobs,
        .progress = !arguments->json && isatty(STDERR_FILENO) ? show_progress : NULL,
    };
    explore_result_t result;
    field_app_set(migration);
    const explore_status_t found = explore_run(&config, &result);
    int status = found == EXPLORE_OK ? report(arguments, input, &result) : complain_status(input, found, &result);
    if (found == EXPLORE_OK && status == STATUS_OK) {
        status = check_new_app(input, &result);
    }
    explore_result_free(&result);
    free(regions);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&migration_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = MIGRATION_ARGS_DOC,
        .doc =
            "Loses the power at the flash operations of a migration, before and inside each, and lets the chip go on "
            "from there: it must boot, and end as it does without a power loss.\v" MIGRATION_SOURCE_DOC "\n\n"
            "The app is the one that boots, or the one that --running names until a reset or power loss; then what "
            "boots goes "
            "on. It calls esp_self_reflasher_resume() first and remembers nothing.\n\n"
            "Exit status 0: no failure; 1: there are some, and 'simulate --cut' with the same arguments shows each.\n\n"
            "Example: " PROGRAM_NAME " explore -f dump.bin --bundle out.srb --public-key pub.pem --cuts 3",
        .children = children,
    };
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    explore_arguments_t arguments = {.migration = {.flash_chip = nor_timing_find(NULL), .running_app = UINT32_MAX},
                                     .losses = 1,
                                     .sample = DEFAULT_SAMPLE,
                                     .torn = NOR_TORN_KINDS,
                                     .jobs = processors > 0 ? (uint32_t)processors : 1};
    char *command = command_text(argc, argv);
    arguments.command = command;
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        free(command);
        return STATUS_USAGE;
    }
    terminal_setup();
    migration_input_t input;
    int status = migration_input_open(&arguments.migration, &input);
    if (status == STATUS_OK) {
        status = html_report_check(arguments.html_path);
    }
    if (status == STATUS_OK) {
        status = explore(&arguments, &input);
    }
    migration_input_close(&input);
    free(command);
    return status;
}

const command_t command_explore = {"explore", "lose the power at every flash operation of a migration", run};
