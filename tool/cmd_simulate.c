// SPDX-License-Identifier: Apache-2.0
// simulate: rehearse a migration on a copy of a flash.
#include "boot_report.h"
#include "bundle_source.h"
#include "chip_options.h"
#include "command.h"
#include "image_file.h"
#include "key_file.h"
#include "number.h"
#include "simulate_report.h"
#include "sr_image.h"
#include "steps.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_FLASH_CHIP = 0x200,
    KEY_SHA,
    KEY_SKIP_IMAGE_CHECK,
    KEY_URL,
    KEY_PUBLIC_KEY,
    KEY_ALLOW_UNSIGNED,
    KEY_SKIP_CHECK,
    KEY_CA,
};

typedef struct simulate_arguments {
    boot_chip_t chip;
    const char *flash_path, *out_path, *ca_path;
    const nor_timing_t *flash_chip;
    uint32_t running_app;
    uint32_t flags;
    bundle_options_t bundle;
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

static bool has_bundle(const simulate_arguments_t *arguments)
{
    return arguments->bundle.bundle != NULL || arguments->bundle.url != NULL;
}

static void check_arguments(const simulate_arguments_t *arguments, struct argp_state *state)
{
    const bundle_options_t *bundle = &arguments->bundle;
    if (arguments->flash_path == NULL) {
        argp_error(state, "no flash given: --flash FILE is needed");
    }
    if (!has_bundle(arguments)) {
        if (arguments->word_count == 0) {
            argp_error(state, "no OFFSET SOURCE pair and no --bundle given");
        }
        if (bundle->public_key != NULL || bundle->allow_unsigned || bundle->skip_checks != 0) {
            argp_error(state, "--public-key, --allow-unsigned and --skip-check go with --bundle or --url");
        }
        return;
    }
    if (arguments->word_count != 0 || arguments->digests || arguments->flags != 0) {
        argp_error(state, "a bundle comes without OFFSET SOURCE pairs, --sha and --skip-image-check");
    }
    if (bundle->public_key == NULL && !bundle->allow_unsigned) {
        argp_error(state, "what may the bundle be signed with? --public-key FILE or --allow-unsigned is needed");
    }
}

static error_t parse_bundle_option(int key, char *argument, struct argp_state *state)
{
    simulate_arguments_t *arguments = state->input;
    switch (key) {
    case 'b':
        arguments->bundle.bundle = argument;
        return 0;
    case KEY_URL:
        arguments->bundle.url = argument;
        return 0;
    case KEY_PUBLIC_KEY:
        arguments->bundle.public_key = argument;
        return 0;
    case KEY_ALLOW_UNSIGNED:
        arguments->bundle.allow_unsigned = true;
        return 0;
    case KEY_SKIP_CHECK:
        arguments->bundle.skip_checks |= bundle_check_bit(argument);
        if (bundle_check_bit(argument) == 0) {
            argp_error(state, "unknown check '%s' (known: " BUNDLE_CHECK_NAMES ")", argument);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
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
    case KEY_CA:
        arguments->ca_path = argument;
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
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return parse_bundle_option(key, argument, state);
    }
}

static const struct argp_option options[] = {
    {"flash", 'f', "FILE", 0, "Content of the flash at the start (needed); is not changed", 0},
    {"out", 'o', "FILE", 0, "Write the flash as it is after the migration", 0},
    {"running", 'r', "OFFSET", 0, "The app that does the migration; default: the one that boots", 0},
    {"flash-chip", KEY_FLASH_CHIP, "NAME", 0, "Flash chip whose times are modelled; default: W25Q32JV", 0},
    {"ca", KEY_CA, "FILE", 0, "Certificate (PEM) to trust for https; default: those of this system", 0},
    {"sha", KEY_SHA, NULL, 0, "Hand the SHA-256 of each image to the component", 0},
    {"skip-image-check", KEY_SKIP_IMAGE_CHECK, NULL, 0, "Accept anything in the bootloader's place", 0},
    {"json", 'j', NULL, 0, "Print JSON, times in milliseconds", 0},
    {"verbose", 'v', NULL, 0, "Show the log of the app", 0},
    {"bundle", 'b', "FILE", 0, "Apply this bundle, a file or flash:ADDRESS+SIZE, instead of writing SOURCEs", 1},
    {"url", KEY_URL, "URL", 0, "Fetch the bundle from there", 1},
    {"public-key", KEY_PUBLIC_KEY, "FILE", 0, "Key (PEM) that the bundle must be signed with", 1},
    {"allow-unsigned", KEY_ALLOW_UNSIGNED, NULL, 0, "Accept a bundle without signature", 1},
    {"skip-check", KEY_SKIP_CHECK, "NAME", 0, "Switch a check of the result off: " BUNDLE_CHECK_NAMES, 1},
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

static int migrate(const simulate_arguments_t *arguments, const image_file_t *flash, const migration_t *migration)
{
    nor_flash_t *nor = migration->flash;
    memcpy(nor_flash_bytes(nor), flash->bytes, flash->size);
    if (!arguments->json) {
        print_title(arguments, migration);
    }
    migration_result_t result;
    if (!migration_run(migration, &result)) {
        return complain(STATUS_BAD_INPUT, "%s: boots no app that could do it (%s); name one with --running",
                        flash->path, result.report.after.reason);
    }
    int status = report(arguments, flash, migration, &result);
    if (arguments->out_path != NULL) {
        int written = image_file_write(arguments->out_path, nor_flash_view(nor), flash->size);
        status = written != STATUS_OK ? written : status;
    }
    return status;
}

static int migrate_by_steps(const simulate_arguments_t *arguments, const image_file_t *flash, migration_t *migration)
{
    steps_t steps = {0};
    int status = steps_prepare(arguments->words, arguments->word_count, flash, arguments->digests, &steps);
    if (status == STATUS_OK) {
        migration->steps = steps.list;
        migration->step_count = steps.count;
        migration->flags = arguments->flags;
        status = migrate(arguments, flash, migration);
    }
    steps_free(&steps);
    return status;
}

static int migrate_by_bundle(const simulate_arguments_t *arguments, const image_file_t *flash, migration_t *migration)
{
    bundle_source_t source;
    int status = bundle_source_prepare(&arguments->bundle, migration->ca, &source);
    if (status == STATUS_OK) {
        migration->bundle = &source.config;
        status = migrate(arguments, flash, migration);
    }
    bundle_source_free(&source);
    return status;
}

static int prepare(const simulate_arguments_t *arguments, const image_file_t *flash, migration_t *migration, char **ca)
{
    migration->flash = nor_flash_new(flash->size, arguments->flash_chip);
    if (migration->flash == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    if (arguments->ca_path != NULL) {
        *ca = key_file_load_text(arguments->ca_path);
        migration->ca = *ca;
        if (*ca == NULL) {
            return STATUS_BAD_INPUT;
        }
    }
    return check_running(arguments, flash);
}

static int simulate(simulate_arguments_t *arguments)
{
    image_file_t flash;
    char *ca = NULL;
    int status = image_file_load_flash(arguments->flash_path, &flash);
    if (status != STATUS_OK) {
        return status;
    }
    if (arguments->chip.chip == NULL) {
        arguments->chip.chip = chip_detect(flash.bytes, flash.size, arguments->chip.partition_table);
    }
    migration_t migration = {
        .chip = arguments->chip,
        .running_app = arguments->running_app,
        .show_progress = !arguments->json,
        .show_log = arguments->verbose,
    };
    status = prepare(arguments, &flash, &migration, &ca);
    if (status == STATUS_OK) {
        status = has_bundle(arguments) ? migrate_by_bundle(arguments, &flash, &migration)
                                       : migrate_by_steps(arguments, &flash, &migration);
    }
    nor_flash_delete(migration.flash);
    free(ca);
    image_file_free(&flash);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&chip_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "OFFSET[+SIZE] SOURCE [OFFSET[+SIZE] SOURCE...]\n--bundle FILE --public-key FILE",
        .doc = "Rehearses a migration: an app on a simulated chip writes each SOURCE to its OFFSET, in this order, or "
               "applies a bundle, and restarts.\v"
               "SOURCE is an http:// or https:// URL, a FILE (served on the loopback and downloaded), or "
               "flash:ADDRESS+SIZE (an image that is in the flash already). SIZE of the destination is erased; "
               "default: that of the image in whole sectors.\n\n"
               "Example: " PROGRAM_NAME " simulate -f dump.bin 0x110000+1M app.bin 0x1000+0xf000 mcuboot.bin\n"
               "Example: " PROGRAM_NAME " simulate -f dump.bin --bundle out.srb --public-key pub.pem",
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
