// SPDX-License-Identifier: Apache-2.0
// verify: whether a bundle is whole, and signed with this key.
#include "make/bundle_signer.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/key_file.h"
#include "tool/pack/bundle_file.h"
#include "tool/report/boot_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_PUBLIC_KEY = 0x200 };

typedef struct verify_arguments {
    const char *path, *key_path;
    bool json;
} verify_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    verify_arguments_t *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_PUBLIC_KEY:
        arguments->key_path = argument;
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
        if (arguments->key_path == NULL) {
            argp_error(state, "no key given: --public-key FILE is needed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** Complains about what is wrong with the bundle. @param[out] sequence Set if nothing is.
 *  @return STATUS_OK or STATUS_NO, or STATUS_BAD_INPUT if there is no memory to tell. */
static int verify(const image_file_t *file, const sr_signature_public_key_t *key, uint32_t *sequence)
{
    const sr_bundle_status_t status = bundle_verify(file->bytes, file->size, key);
    if (status != SR_BUNDLE_OK) {
        return complain(STATUS_NO, "%s: %s", file->path, sr_bundle_status_text(status));
    }
    bundle_file_t bundle;
    if (bundle_file_open(file, &bundle) != STATUS_OK) {
        return STATUS_NO;
    }
    *sequence = bundle.bundle.sequence;
    uint8_t *flash = flash_memory_new(bundle.bundle.min_flash_size);
    if (flash == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", file->path);
    }
    const int applied = bundle_file_apply(&bundle, flash);
    free(flash);
    return applied == STATUS_OK ? STATUS_OK : STATUS_NO;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"public-key", KEY_PUBLIC_KEY, "FILE", 0, "Key that the devices have, in PEM (needed)", 0},
        {"json", 'j', NULL, 0, "Print JSON: file, verified, sequence", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "BUNDLE",
        .doc = "Checks all of a bundle: its manifest, its signature, and that every chunk decodes to what the manifest "
               "says. Exit status: 0 good, 1 not, 3 if there is no bundle or no key to check.",
    };
    verify_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    sr_signature_public_key_t key;
    image_file_t file;
    int status = key_file_load_public(arguments.key_path, &key);
    if (status == STATUS_OK) {
        status = image_file_load(arguments.path, &file);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (file_kind_mistaken_for_bundle(&file)) {
        status = bundle_file_complain_kind(&file);
        image_file_free(&file);
        return status;
    }
    uint32_t sequence = 0;
    status = verify(&file, &key, &sequence);
    image_file_free(&file);
    if (arguments.json) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "file", arguments.path);
        cJSON_AddBoolToObject(json, "verified", status == STATUS_OK);
        cJSON_AddItemToObject(json, "sequence",
                              status == STATUS_OK ? cJSON_CreateNumber(sequence) : cJSON_CreateNull());
        json_print(json);
    } else if (status == STATUS_OK) {
        printf("%s: good, and signed with %s; sequence %" PRIu32 "\n", arguments.path, arguments.key_path, sequence);
    }
    return status;
}

const command_t command_verify = {"verify", "whether a bundle is whole and signed with a key", run};
