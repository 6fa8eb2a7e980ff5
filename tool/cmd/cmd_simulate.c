// SPDX-License-Identifier: Apache-2.0
// simulate: rehearse a migration on a copy of a flash.
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/html/html_report.h"
#include "tool/report/boot_report.h"
#include "tool/report/power_loss_report.h"
#include "tool/run/field_app.h"
#include "tool/run/migration_options.h"
#include "self_reflasher_err.h"
#include "tool/base/terminal.h"
#include "tool/run/simulate_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_CUT = 0x300, KEY_HTML };

typedef struct simulate_arguments {
    migration_options_t migration;
    const char *out_path, *html_path;
    const char *command; /**< As it was typed. */
    explore_power_loss_t losses[EXPLORE_MAX_POWER_LOSSES];
    unsigned cut_count;
    bool json;
} simulate_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    simulate_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->out_path = argument;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_CUT:
        if (!power_loss_parse_parse(argument, arguments->losses, &arguments->cut_count)) {
            argp_error(state, "bad power loss '%s': N, N:SEED or N:after expected, for example 120:3", argument);
        }
        return 0;
    case KEY_HTML:
        arguments->html_path = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->html_path != NULL && arguments->cut_count > 0) {
            argp_error(state, "--html shows a whole run: leave out --cut");
        }
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->migration;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0, "Write the flash as it is after the migration, or at the power loss", 0},
    {"json", 'j', NULL, 0, "Print JSON, times in milliseconds", 0},
    {"html", KEY_HTML, "FILE", 0, "Write a page with flash maps, a timeline and all figures", 0},
    {"cut", KEY_CUT, "N[:SEED][,...]", 0,
     "Lose the power before flash operation N, or inside it; each further time comes after the restart. As told by "
     "explore",
     0},
    {0}};

static void print_title(const simulate_arguments_t *arguments, const migration_input_t *input)
{
    static const char *const complete[] = {
        [DUMP_COMPLETE] = ", complete", [DUMP_NOT_COMPLETE] = ", not complete", [DUMP_NOT_KNOWN] = ""};
    const migration_t *migration = &input->migration;
    char size[NUMBER_TEXT_SIZE];
    printf("%s%s%s: %s, %s of flash%s, timed as %s\n\n", terminal_style(STYLE_HEADING), arguments->migration.flash_path,
           terminal_reset(), migration->chip.chip->family, number_size(nor_flash_size(migration->flash), size),
           complete[input->extent.complete], arguments->migration.flash_chip->name);
}

/** Errors of the network that say nothing about what was to be written. */
static bool is_refusal(esp_err_t error)
{
    switch (error) {
    case ESP_ERR_SELF_REFLASHER_HTTP_STATUS:
    case ESP_ERR_SELF_REFLASHER_SHORT_BODY:
    case ESP_ERR_SELF_REFLASHER_EMPTY_BODY:
    case ESP_ERR_SELF_REFLASHER_TOO_SLOW:
        return false;
    default:
        return error >= ESP_ERR_SELF_REFLASHER_BASE && error < ESP_ERR_SELF_REFLASHER_BASE + 0x100;
    }
}

static html_end_t find_end(const simulate_report_t *what)
{
    const migration_result_t *result = what->result;
    if (result->error != ESP_OK) {
        return result->operation_count > 0 ? HTML_FAILED : is_refusal(result->error) ? HTML_REFUSED : HTML_STOPPED;
    }
    if (!boot_succeeds(&what->after->boot)) {
        return HTML_NO_BOOT;
    }
    if (simulate_report_end(what) == SIMULATE_OLD_APP) {
        return HTML_OLD_APP;
    }
    return result->operation_count > 0 ? HTML_DONE : HTML_UNCHANGED;
}

static int write_html(const simulate_arguments_t *arguments, const simulate_report_t *what, bool good)
{
    char verdict[512];
    char way_out[ROOM_TEXT_SIZE];
    const migration_result_t *result = what->result;
    if (result->error != ESP_OK) {
        snprintf(verdict, sizeof(verdict), "%s: %s", esp_self_reflasher_err_to_name(result->error), result->message);
    } else if (what->first != NULL && !what->first->good) {
        const char *fault = what->first->plan.fault;
        snprintf(verdict, sizeof(verdict), "first encryption: %s", fault[0] != '\0' ? fault : what->first->boot.reason);
    } else {
        snprintf(verdict, sizeof(verdict), "%s", what->after->boot.reason);
    }
    char key[MIGRATION_KEY_TEXT_SIZE];
    cJSON *figures = simulate_report_json(what);
    const html_report_t page = {
        .path = arguments->migration.flash_path,
        .flash_chip = arguments->migration.flash_chip->name,
        .before = what->before,
        .after = what->after,
        .given_up = &what->given_up,
        .command = arguments->command,
        .bundle = migration_bundle_name(&arguments->migration),
        .key = migration_key_text(&arguments->migration, key),
        .run = &result->report,
        .stats = &result->stats,
        .window_us = result->window.typical_us,
        .window_maximum_us = result->window.maximum_us,
        .operations = result->operations,
        .operation_count = result->operation_count,
        .figures = figures,
        .good = good,
        .end = find_end(what),
        .verdict = verdict,
        .way_out = simulate_report_way_out(what, way_out),
    };
    const int status = html_report_write(arguments->html_path, &page);
    cJSON_Delete(figures);
    return status;
}

/** Lets the new bootloader encrypt what the migration has left. @return false without memory. */
static bool encrypt_first(const simulate_arguments_t *arguments, const migration_t *migration, simulate_report_t *what)
{
    static const first_encryption_losses_t no_losses = {0};
    if (migration->chip.first_encryption == NULL || what->result->error != ESP_OK) {
        return true;
    }
    what->first =
        first_encryption_report_make(&migration->chip, nor_flash_view(migration->flash),
                                     nor_flash_size(migration->flash), arguments->migration.flash_chip, &no_losses);
    return what->first != NULL;
}

/** What --out writes is the flash after it. */
static void take_encrypted(const migration_t *migration, first_encryption_report_t *first)
{
    if (first != NULL) {
        memcpy(nor_flash_bytes(migration->flash), nor_flash_view(first->flash), nor_flash_size(first->flash));
    }
    first_encryption_report_free(first);
}

/** Looks for a way out of a refusal for want of room, or for a shorter window. What an app carries is as it was made.
 * @param[out] what Its room, NULL without one or without memory, for room_free(); and its advice. */
static void find_other_ways(const simulate_arguments_t *arguments, const migration_input_t *input,
                            simulate_report_t *what)
{
    const migration_result_t *result = what->result;
    if (input->migration.bundle == NULL || input->migration.carries) {
        return;
    }
    sr_bundle_t bundle;
    const uint32_t running = input->migration.running_app;
    const bool at_hand = input->source.file.bytes != NULL && migration_bundle_manifest(input, &bundle);
    const trial_t trial = {.migration = &input->migration,
                           .flash = &input->cells,
                           .timing = arguments->migration.flash_chip,
                           .bundle = at_hand ? &bundle : NULL,
                           .running_app = running != UINT32_MAX ? running : input->boot.app_offset};
    if (result->error == ESP_ERR_SELF_REFLASHER_REFUSED && room_is_short(&result->plan)) {
        what->room = room_find(&trial);
    } else if (at_hand && input->migration.chip.first_encryption == NULL &&
               simulate_report_end(what) == SIMULATE_GOOD) { // a server of theirs is not asked once more
        keep_bootloader_find(&trial, &result->plan, nor_flash_view(input->migration.flash), &what->keep);
    }
}

static int report(const simulate_arguments_t *arguments, const migration_input_t *input,
                  const migration_result_t *result)
{
    const image_file_t *flash = &input->cells;
    const migration_t *migration = &input->migration;
    simulate_report_t what = {
        .migration = migration,
        .result = result,
        .before = contents_of_flash(flash->bytes, flash->size, &migration->chip),
        .after = contents_of_flash(nor_flash_view(migration->flash), flash->size, &migration->chip),
    };
    migration_given_up(input, &what.given_up);
    if (what.before == NULL || what.after == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    find_other_ways(arguments, input, &what);
    first_encryption_report_warn(&migration->chip, nor_flash_view(migration->flash), flash->size);
    if (!encrypt_first(arguments, migration, &what)) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    if (arguments->json) {
        json_print(simulate_report_json(&what));
    } else {
        simulate_report_print(&what);
    }
    const bool good = simulate_report_end(&what) == SIMULATE_GOOD;
    const int written = arguments->html_path != NULL ? write_html(arguments, &what, good) : STATUS_OK;
    contents_free((contents_t *)what.before);
    contents_free((contents_t *)what.after);
    room_free(what.room);
    take_encrypted(migration, what.first);
    if (written != STATUS_OK) {
        return written;
    }
    return good ? STATUS_OK : STATUS_NO;
}

static int migrate(const simulate_arguments_t *arguments, const migration_input_t *input)
{
    const migration_t *migration = &input->migration;
    if (!arguments->json) {
        print_title(arguments, input);
    }
    migration_result_t result;
    const int status =
        migration_run(migration, &result)
            ? report(arguments, input, &result)
            : complain(STATUS_BAD_INPUT, "%s: boots no app that could run the migration (%s); name one with --running",
                       input->flash.path, result.report.after.reason);
    migration_result_free(&result);
    return status;
}

/** Ends at the last cut, with the flash as it is then. */
static int migrate_cut(const simulate_arguments_t *arguments, const migration_input_t *input)
{
    const migration_t *migration = &input->migration;
    power_loss_report_t what = {.losses = arguments->losses, .cut_count = arguments->cut_count};
    field_app_set(migration);
    if (!explore_power_loss_run(&migration->chip, migration->flash, migration->running_app, field_app_main,
                                arguments->losses, arguments->cut_count, &what.made)) {
        return complain(STATUS_USAGE, "--cut: the migration is done before power loss number %u", what.made + 1);
    }
    const uint32_t size = input->flash.size;
    what.before = contents_of_flash(input->cells.bytes, size, &migration->chip);
    what.after = contents_of_flash(nor_flash_view(migration->flash), size, &migration->chip);
    if (what.before == NULL || what.after == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", input->flash.path);
    }
    if (arguments->json) {
        json_print(power_loss_report_json(&what));
    } else {
        print_title(arguments, input);
        power_loss_report_print(&what);
    }
    const bool boots = boot_succeeds(&what.after->boot);
    contents_free((contents_t *)what.before);
    contents_free((contents_t *)what.after);
    return boots ? STATUS_OK : STATUS_NO;
}

static int simulate_input(const simulate_arguments_t *arguments, migration_input_t *input)
{
    input->migration.show_progress = !arguments->json && arguments->cut_count == 0;
    int status = arguments->cut_count > 0 ? migrate_cut(arguments, input) : migrate(arguments, input);
    if (arguments->out_path != NULL && status != STATUS_BAD_INPUT) {
        int written = output_file_write(arguments->out_path, nor_flash_view(input->migration.flash), input->flash.size);
        status = written != STATUS_OK ? written : status;
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&migration_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = MIGRATION_ARGS_DOC,
        .doc = "Rehearses a migration: an app on a simulated chip writes each SOURCE to its OFFSET, in this order, or "
               "applies a bundle, and restarts.\v" MIGRATION_SOURCE_DOC "\n\n"
               "Example: " PROGRAM_NAME " simulate -f dump.bin 0x110000+1M app.bin 0x1000+0xf000 mcuboot.bin\n"
               "Example: " PROGRAM_NAME " simulate -f dump.bin --bundle out.srb --public-key pub.pem",
        .children = children,
    };
    simulate_arguments_t arguments = {.migration = {.flash_chip = nor_timing_find(NULL), .running_app = UINT32_MAX}};
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
        status = output_file_check(arguments.out_path);
    }
    if (status == STATUS_OK) {
        status = html_report_check(arguments.html_path);
    }
    if (status == STATUS_OK) {
        status = simulate_input(&arguments, &input);
    }
    migration_input_close(&input);
    free(command);
    return status;
}

const command_t command_simulate = {"simulate", "rehearse a migration on a copy of a flash", run};
