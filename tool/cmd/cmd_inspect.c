// SPDX-License-Identifier: Apache-2.0
// inspect: what is in an image or in a whole flash.
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/crypt_options.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/report/boot_report.h"
#include "tool/report/bundle_report.h"
#include "tool/report/cargo_report.h"
#include "tool/report/content_report.h"
#include "tool/report/contents_report.h"
#include "tool/report/encrypted_report.h"

enum { KEY_OFFSET = 0x200 };

typedef struct inspect_arguments {
    boot_chip_t chip;
    crypt_options_t crypt;
    const char *path;
    bool json, has_offset;
    uint32_t offset;
} inspect_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    inspect_arguments_t *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_OFFSET:
        if (!number_parse(argument, &arguments->offset)) {
            argp_error(state, "bad offset '%s': a number such as 0x1000 expected", argument);
        }
        arguments->has_offset = true;
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

/** @param file Is freed. */
static int show_bundle(const image_file_t *file, bool json)
{
    bundle_file_t bundle;
    int status = bundle_file_open(file, &bundle);
    if (status == STATUS_OK && !json) {
        terminal_setup();
        status = bundle_report_print(&bundle);
    } else if (status == STATUS_OK) {
        status = bundle_report_print_json(&bundle);
    }
    bundle_file_free(&bundle);
    return status;
}

/** Of an app alone, the bundle that it carries is shown, too. */
static int show_cargo(const contents_t *contents, const char *path)
{
    if (contents->kind != CONTENTS_APP || contents->app_count == 0 || contents->apps[0].checksum == CHECK_UNKNOWN) {
        return STATUS_OK;
    }
    const esp_image_info_t *app = &contents->apps[0];
    const cargo_info_t cargo = cargo_info(contents->bytes + app->address, app->image.length, &app->image);
    return cargo_report_print_bundle(&cargo, path);
}

static bool is_to_be_described(const content_t *content)
{
    return content->facts[0] != '\0' || content_kind_mistaken(content->kind) != NULL;
}

/** What has no images in it: data, or another kind of file. @param file Is freed. */
static int show_described(image_file_t *file, const content_t *content, bool json)
{
    if (json) {
        json_print(content_report_json(content, file));
    } else {
        terminal_setup();
        content_report_print(content, file);
    }
    image_file_free(file);
    return STATUS_OK;
}

static int show_contents(image_file_t *file, const content_t *content, const inspect_arguments_t *arguments)
{
    contents_t *contents = contents_of_file(file, content, &arguments->chip);
    image_file_free(file);
    if (contents == NULL) {
        return STATUS_BAD_INPUT;
    }
    int status = chip_settle(&contents->chip, contents->bytes, contents->size);
    if (status == STATUS_OK && arguments->json) {
        json_print(contents_report_json(contents, arguments->path));
    } else if (status == STATUS_OK) {
        terminal_setup();
        contents_report_print(contents, arguments->path);
        status = show_cargo(contents, arguments->path);
    }
    contents_free(contents);
    return status;
}

/** @param file Is freed. */
static int show_locked(image_file_t *file, const inspect_arguments_t *arguments, const char *why)
{
    if (arguments->json) {
        json_print(encrypted_report_locked_json(file, &arguments->chip, why));
    } else {
        terminal_setup();
        encrypted_report_print_locked(file, &arguments->chip, why);
    }
    image_file_free(file);
    return STATUS_OK;
}

/** @param file Is freed. */
static int show_flash(image_file_t *file, content_t *content, inspect_arguments_t *arguments)
{
    crypt_state_t state = CRYPT_PLAIN;
    char why[CRYPT_TEXT_SIZE];
    const int status = crypt_options_apply(&arguments->crypt, &arguments->chip, file, &state, why);
    if (status != STATUS_OK) {
        image_file_free(file);
        return status;
    }
    return state == CRYPT_LOCKED ? show_locked(file, arguments, why) : show_contents(file, content, arguments);
}

/** @param file Is freed. */
static int show_file(image_file_t *file, inspect_arguments_t *arguments)
{
    content_t content = {.kind = CONTENT_KIND_MERGED, .base = arguments->offset};
    if (!arguments->has_offset) {
        const uint32_t table = arguments->chip.partition_table;
        content_kind_find(file->bytes, file->size, arguments->chip.chip, table != 0 ? table : SR_PARTITION_TABLE_OFFSET,
                          &content);
    }
    if (content.kind == CONTENT_KIND_FLASH) {
        return show_flash(file, &content, arguments);
    }
    if (crypt_options_given(&arguments->crypt)) {
        complain(STATUS_BAD_INPUT, "%s: not a whole flash, and --efuses, --flash-key and --secure-boot-key go with one",
                 arguments->path);
        image_file_free(file);
        return STATUS_BAD_INPUT;
    }
    return is_to_be_described(&content) ? show_described(file, &content, arguments->json)
                                        : show_contents(file, &content, arguments);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "Print JSON", 0},
        {"offset", KEY_OFFSET, "OFFSET", 0, "Flash offset for which the file is made; default: told by what is in it",
         0},
        {0}};
    static const struct argp_child children[] = {
        {&chip_options_argp, 0, NULL, 0}, {&crypt_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "FILE",
        .doc = "Shows what is in FILE: a whole flash, a merged image, a bootloader, an app, an MCUboot image, a "
               "partition table or a bundle; and tells otadata, NVS, file systems, ELF, UF2 and gzip files.",
        .children = children,
    };
    inspect_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    image_file_t file;
    int status = image_file_load(arguments.path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    if (bundle_file_has_magic(&file)) {
        return show_bundle(&file, arguments.json);
    }
    status = show_file(&file, &arguments);
    crypt_options_close(&arguments.crypt);
    return status;
}

const command_t command_inspect = {"inspect", "what is in an image, a whole flash or a bundle", run};
