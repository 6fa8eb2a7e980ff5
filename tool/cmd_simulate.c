// SPDX-License-Identifier: Apache-2.0
// simulate: rehearse a migration on a copy of a flash.
#include "boot_report.h"
#include "chip_options.h"
#include "command.h"
#include "image_file.h"
#include "number.h"
#include "simulate_report.h"
#include "sr_image.h"
#include "steps.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY_FLASH_CHIP = 0x200, KEY_SHA, KEY_SKIP_IMAGE_CHECK };

typedef struct simulate_arguments {
    boot_chip_t chip;
    const char *flash_path, *out_path;
    const nor_timing_t *flash_chip;
    uint32_t running_app;
    uint32_t flags;
    bool json, digests, verbose;
    char **words;
    size_t word_count;
} simulate_arguments_t;

static void parse_flash_chip(simulate_arguments_t *arguments, const char *name, struct argp_state *state)
{
    arguments->flash_chip = nor_timing_find(name);
    if (arguments->flash_chip == NULL) {
        char known[256];
        size_t used = 0;
        known[0] = '\0';
        for (unsigned i = 0; nor_timing_at(i) != NULL && used < sizeof(known); i++) {
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ",
                                     nor_timing_at(i)->name);
        }
        argp_error(state, "unknown flash chip '%s' (known: %s)", name, known);
    }
}

static void take_steps(simulate_arguments_t *arguments, struct argp_state *state)
{
    arguments->words = state->argv + state->next;
    arguments->word_count = (size_t)(state->argc - state->next);
    if (arguments->word_count % 2 != 0) {
        argp_error(state, "'%s' has no SOURCE: each OFFSET takes one", state->argv[state->argc - 1]);
    }
    state->next = state->argc;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    simulate_arguments_t *arguments = state->input;
    switch (key) {
    case 'f':
        arguments->flash_path = argument;
        return 0;
    case 'r':
        if (!number_parse(argument, &arguments->running_app)) {
            argp_error(state, "bad place of the running app '%s': a number such as 0x190000 expected", argument);
        }
        return 0;
    case 'o':
        arguments->out_path = argument;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case 'v':
        arguments->verbose = true;
        return 0;
    case KEY_SHA:
        arguments->digests = true;
        return 0;
    case KEY_SKIP_IMAGE_CHECK:
        arguments->flags |= ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
        return 0;
    case KEY_FLASH_CHIP:
        parse_flash_chip(arguments, argument, state);
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->chip;
        return 0;
    case ARGP_KEY_ARGS:
        take_steps(arguments, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no OFFSET SOURCE pair given");
        return EINVAL;
    case ARGP_KEY_END:
        if (arguments->flash_path == NULL) {
            argp_error(state, "no flash given: --flash FILE is needed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"flash", 'f', "FILE", 0, "Content of the flash at the start (needed); is not changed", 0},
    {"out", 'o', "FILE", 0, "Write the flash as it is after the migration", 0},
    {"running", 'r', "OFFSET", 0, "The app that does the migration; default: the one that boots", 0},
    {"flash-chip", KEY_FLASH_CHIP, "NAME", 0, "Flash chip whose times are modelled; default: W25Q32JV", 0},
    {"sha", KEY_SHA, NULL, 0, "Hand the SHA-256 of each image to the component", 0},
    {"skip-image-check", KEY_SKIP_IMAGE_CHECK, NULL, 0, "Accept anything in the bootloader's place", 0},
    {"json", 'j', NULL, 0, "Print JSON, times in milliseconds", 0},
    {"verbose", 'v', NULL, 0, "Show the log of the app", 0},
    {0}};

/** An app runs where a partition is. */
static int check_running(const simulate_arguments_t *arguments, const image_file_t *flash)
{
    uint32_t address = arguments->running_app;
    if (address == UINT32_MAX) {
        return STATUS_OK;
    }
    sr_table_t table;
    chip_read_table(flash->bytes, flash->size, arguments->chip.partition_table, &table);
    for (unsigned i = 0; i < table.count; i++) {
        const sr_partition_t *entry = &table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_APP && entry->address == address && address < flash->size &&
            flash->bytes[address] == SR_IMAGE_MAGIC) {
            return STATUS_OK;
        }
    }
    return complain(STATUS_BAD_INPUT, "%s: no partition with an app starts at offset 0x%" PRIx32, flash->path, address);
}

static void print_title(const simulate_arguments_t *arguments, const migration_t *migration)
{
    char size[NUMBER_TEXT_SIZE];
    printf("%s%s%s: %s, %s of flash, timed as %s\n\n", terminal_style(STYLE_HEADING), arguments->flash_path,
           terminal_reset(), migration->chip.chip->family, number_size(nor_flash_size(migration->flash), size),
           arguments->flash_chip->name);
}

static int report(const simulate_arguments_t *arguments, const image_file_t *flash, const migration_t *migration,
                  const migration_result_t *result)
{
    simulate_report_t what = {
        .migration = migration,
        .result = result,
        .before = contents_of_flash(flash->bytes, flash->size, &migration->chip),
        .after = contents_of_flash(nor_flash_view(migration->flash), flash->size, &migration->chip),
    };
    if (what.before == NULL || what.after == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    if (arguments->json) {
        json_print(simulate_report_json(&what));
    } else {
        simulate_report_print(&what);
    }
    bool good = result->error == ESP_OK && boot_succeeds(&what.after->boot);
    contents_free((contents_t *)what.before);
    contents_free((contents_t *)what.after);
    return good ? STATUS_OK : STATUS_NO;
}

static int migrate(const simulate_arguments_t *arguments, const image_file_t *flash, const steps_t *steps,
                   nor_flash_t *nor)
{
    memcpy(nor_flash_bytes(nor), flash->bytes, flash->size);
    migration_t migration = {
        .flash = nor,
        .chip = arguments->chip,
        .running_app = arguments->running_app,
        .steps = steps->list,
        .step_count = steps->count,
        .flags = arguments->flags,
        .show_progress = !arguments->json,
        .show_log = arguments->verbose,
    };
    if (!arguments->json) {
        print_title(arguments, &migration);
    }
    migration_result_t result;
    if (!migration_run(&migration, &result)) {
        return complain(STATUS_BAD_INPUT, "%s: boots no app that could do it (%s); name one with --running",
                        flash->path, result.report.after.reason);
    }
    int status = report(arguments, flash, &migration, &result);
    if (arguments->out_path != NULL) {
        int written = image_file_write(arguments->out_path, nor_flash_view(nor), flash->size);
        status = written != STATUS_OK ? written : status;
    }
    return status;
}

static int simulate(simulate_arguments_t *arguments)
{
    image_file_t flash;
    int status = image_file_load_flash(arguments->flash_path, &flash);
    if (status != STATUS_OK) {
        return status;
    }
    if (arguments->chip.chip == NULL) {
        arguments->chip.chip = chip_detect(flash.bytes, flash.size, arguments->chip.partition_table);
    }
    steps_t steps = {0};
    nor_flash_t *nor = nor_flash_new(flash.size, arguments->flash_chip);
    status =
        nor == NULL ? complain(STATUS_BAD_INPUT, "%s: out of memory", flash.path) : check_running(arguments, &flash);
    if (status == STATUS_OK) {
        status = steps_prepare(arguments->words, arguments->word_count, &flash, arguments->digests, &steps);
    }
    if (status == STATUS_OK) {
        status = migrate(arguments, &flash, &steps, nor);
    }
    steps_free(&steps);
    nor_flash_delete(nor);
    image_file_free(&flash);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&chip_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "OFFSET[+SIZE] SOURCE [OFFSET[+SIZE] SOURCE...]",
        .doc = "Rehearses a migration: an app on a simulated chip writes each SOURCE to its OFFSET, in this order, and "
               "restarts.\v"
               "SOURCE is an http:// or https:// URL, a FILE (served on the loopback and downloaded), or "
               "flash:ADDRESS+SIZE (an image that is in the flash already). SIZE of the destination is erased; "
               "default: that of the image in whole sectors.\n\n"
               "Example: " PROGRAM_NAME " simulate -f dump.bin 0x110000+1M app.bin 0x1000+0xf000 mcuboot.bin",
        .children = children,
    };
    simulate_arguments_t arguments = {.running_app = UINT32_MAX, .flash_chip = nor_timing_find(NULL)};
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0) {
        return STATUS_USAGE;
    }
    terminal_setup();
    return simulate(&arguments);
}

const command_t command_simulate = {"simulate", "rehearse a migration on a copy of a flash", run};
