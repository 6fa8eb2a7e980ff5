// SPDX-License-Identifier: Apache-2.0
// boot: what a chip with this flash would do at power-on.
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/crypt_options.h"
#include "tool/base/image_file.h"
#include "tool/base/terminal.h"
#include "tool/report/boot_report.h"
#include "tool/report/contents.h"
#include "tool/report/dump_extent.h"

typedef struct boot_arguments {
    boot_chip_t chip;
    crypt_options_t crypt;
    const char *path;
    bool json;
} boot_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    boot_arguments_t *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->chip;
        state->child_inputs[1] = &arguments->crypt;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path != NULL) {
            argp_error(state, "one file only, not also '%s'", argument);
        }
        arguments->path = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no file given");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void report(const contents_t *contents, bool json)
{
    if (json) {
        json_print(dump_boot_json(contents));
        return;
    }
    dump_extent_t extent;
    dump_extent_find(contents, &extent);
    terminal_setup();
    boot_report_print(&contents->boot, contents->boot_app_name);
    dump_extent_print(&extent);
}

static int boot(const boot_arguments_t *arguments, const image_file_t *file)
{
    contents_t *contents = contents_of_flash(file->bytes, file->size, &arguments->chip);
    if (contents == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", arguments->path);
    }
    report(contents, arguments->json);
    const int status = boot_succeeds(&contents->boot)             ? STATUS_OK
                       : contents->boot.outcome == BOOT_NOT_KNOWN ? STATUS_BAD_INPUT
                                                                  : STATUS_NO;
    contents_free(contents);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "Print JSON: outcome, app_offset, reason and more", 0}, {0}};
    static const struct argp_child children[] = {
        {&chip_options_argp, 0, NULL, 0}, {&crypt_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "FILE",
        .doc = "Tells what a chip with the whole flash in FILE boots, and why, or why not.",
        .children = children,
    };
    boot_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    image_file_t file;
    int status = image_file_load_flash(arguments.path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    boot_chip_t *chip = &arguments.chip;
    status = crypt_options_open(&arguments.crypt, chip, &file);
    if (status == STATUS_OK) {
        status = chip_settle(chip, file.bytes, file.size);
    }
    if (status == STATUS_OK) {
        status = boot(&arguments, &file);
    }
    crypt_options_close(&arguments.crypt);
    image_file_free(&file);
    return status;
}

const command_t command_boot = {"boot", "what a chip with this flash boots, and why", run};
