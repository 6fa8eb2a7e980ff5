// SPDX-License-Identifier: Apache-2.0
// key: which key is in a file, as bundles name it.
#include "make/bundle_signer.h"
#include "tool/base/command.h"
#include "tool/base/key_file.h"
#include "tool/base/output_file.h"
#include "tool/report/boot_report.h"

#include <stdio.h>
#include <string.h>

enum { KEY_PUBLIC = 0x200 };

typedef struct key_arguments {
    const char *path, *public_path;
    bool json;
} key_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    key_arguments_t *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_PUBLIC:
        arguments->public_path = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path != NULL) {
            argp_error(state, "one key only, not also '%s'", argument);
        }
        arguments->path = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->path == NULL) {
            argp_error(state, "no key given");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void report(const key_arguments_t *arguments, const sr_signature_public_key_t *key, bool is_private)
{
    char id[KEY_ID_TEXT_SIZE];
    const char *half = is_private ? "private" : "public";
    key_id_text(key->id, id);
    if (!arguments->json) {
        printf("%s: %s key %s%s\n", arguments->path, half, id, is_private ? ", to be kept secret" : "");
        return;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", arguments->path);
    cJSON_AddStringToObject(json, "half", half);
    cJSON_AddStringToObject(json, "key_id", id);
    json_print(json);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"public", KEY_PUBLIC, "FILE", 0, "Write the public half there, a new file", 0},
        {"json", 'j', NULL, 0, "Print JSON: file, half, key_id", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "FILE",
        .doc = "Tells which key on P-256 is in a PEM file, the private or the public half of it, by the id that "
               "'inspect' shows of a bundle. Both halves of a pair have the same id.",
    };
    key_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    sr_signature_public_key_t key;
    bool is_private = false;
    char public_pem[BUNDLE_PEM_SIZE];
    int status = key_file_load_half(arguments.path, &key, &is_private, public_pem);
    if (status == STATUS_OK && arguments.public_path != NULL) {
        status = output_file_create(arguments.public_path, public_pem, strlen(public_pem), 0644);
    }
    if (status == STATUS_OK) {
        report(&arguments, &key, is_private);
    }
    return status;
}

const command_t command_key = {"key", "which key is in a file", run};
