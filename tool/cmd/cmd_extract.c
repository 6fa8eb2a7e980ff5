// SPDX-License-Identifier: Apache-2.0
// extract: the flash that a bundle makes.
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/crypt_options.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/pack/bundle_file.h"
#include "tool/pack/moves.h"
#include "tool/report/boot_report.h"
#include "tool/report/contents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BASE = 0x200 };

typedef struct extract_arguments {
    const char *path, *out_path, *base_path;
    crypt_options_t crypt;
    bool json;
} extract_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    extract_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->out_path = argument;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->crypt;
        return 0;
    case KEY_BASE:
        arguments->base_path = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path != NULL) {
            argp_error(state, "one bundle only, not also '%s'", argument);
        }
        arguments->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL) {
            argp_error(state, "no bundle given");
        }
        if (arguments->out_path == NULL) {
            argp_error(state, "no output given: --out FILE is needed");
        }
        if (arguments->base_path == NULL && crypt_options_given(&arguments->crypt)) {
            argp_error(state, "--efuses, --flash-key and --secure-boot-key go with --base");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** Gets the flash as it is before. @param[out] flash Owned by the caller. */
static int make_base(const extract_arguments_t *arguments, const sr_bundle_t *bundle, image_file_t *flash)
{
    const uint32_t least = bundle->min_flash_size;
    if (arguments->base_path == NULL) {
        *flash = (image_file_t){.path = arguments->out_path, .bytes = flash_memory_new(least), .size = least};
        if (flash->bytes == NULL) {
            return complain(STATUS_BAD_INPUT, "%s: %s", arguments->path, strerror(errno));
        }
        memset(flash->bytes, 0xFF, least);
        return STATUS_OK;
    }
    int status = image_file_load_flash(arguments->base_path, flash);
    if (status != STATUS_OK) {
        return status;
    }
    status = bundle_file_check_size(bundle, flash);
    if (status != STATUS_OK) {
        image_file_free(flash);
    }
    return status;
}

static void report(const extract_arguments_t *arguments, uint32_t size)
{
    char text[NUMBER_TEXT_SIZE];
    if (!arguments->json) {
        printf("%s: %s of flash%s\n", arguments->out_path, number_size(size, text),
               arguments->base_path == NULL ? ", 0xFF where the bundle keeps or moves what is there" : "");
        return;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", arguments->out_path);
    cJSON_AddNumberToObject(json, "size", size);
    json_print(json);
}

static int apply_to_blank(const bundle_file_t *bundle, image_file_t *flash)
{
    if (bundle->bundle.move_count != 0) {
        complain(STATUS_OK, "warning: without --base what the bundle moves is not known, and 0xFF is written for it");
    }
    return bundle_file_apply(bundle, flash->bytes);
}

/** @param flash What its cells hold. */
static int apply_to_device(const bundle_file_t *bundle, const boot_chip_t *chip, image_file_t *flash)
{
    image_file_t view;
    image_file_t after = {0};
    moves_t moves;
    boot_plain_layout_t layout;
    int status = contents_view_for(bundle, chip, flash, &layout, &view);
    if (status == STATUS_OK) {
        status = moves_apply(bundle, &view, &after, &moves);
    }
    if (status == STATUS_OK) {
        boot_plain_write(chip, &layout, view.bytes, after.bytes, flash->size, flash->bytes);
    }
    image_file_free(&view);
    image_file_free(&after);
    return status;
}

static int apply_to_base(extract_arguments_t *arguments, const bundle_file_t *bundle, image_file_t *flash)
{
    boot_chip_t chip = {0};
    int status = crypt_options_open(&arguments->crypt, &chip, flash);
    if (status == STATUS_OK && chip.cipher != NULL) {
        status = chip_settle(&chip, flash->bytes, flash->size);
    }
    return status == STATUS_OK ? apply_to_device(bundle, &chip, flash) : status;
}

static int extract(extract_arguments_t *arguments, const bundle_file_t *bundle)
{
    image_file_t flash;
    int status = make_base(arguments, &bundle->bundle, &flash);
    if (status != STATUS_OK) {
        return status;
    }
    status = output_file_check(arguments->out_path);
    if (status != STATUS_OK) {
        image_file_free(&flash);
        return status;
    }
    status = arguments->base_path == NULL ? apply_to_blank(bundle, &flash) : apply_to_base(arguments, bundle, &flash);
    if (status == STATUS_OK) {
        status = output_file_write(arguments->out_path, flash.bytes, flash.size);
    }
    if (status == STATUS_OK) {
        report(arguments, flash.size);
    }
    image_file_free(&flash);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", 'o', "FILE", 0, "Where to write the flash (needed)", 0},
        {"base", KEY_BASE, "FILE", 0, "Flash of a device, for what the bundle keeps and moves; default: 0xFF", 0},
        {"json", 'j', NULL, 0, "Print JSON: file, size", 0},
        {0}};
    static const struct argp_child children[] = {{&crypt_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "BUNDLE",
        .doc = "Writes the flash that a bundle makes. Each sector is compared with its digest; the signature is not "
               "verified.",
        .children = children,
    };
    extract_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    bundle_file_t bundle;
    int status = bundle_file_load(arguments.path, &bundle);
    if (status == STATUS_OK) {
        status = extract(&arguments, &bundle);
    }
    bundle_file_free(&bundle);
    crypt_options_close(&arguments.crypt);
    return status;
}

const command_t command_extract = {"extract", "the flash image that a bundle makes", run};
