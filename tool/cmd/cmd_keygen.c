// SPDX-License-Identifier: Apache-2.0
// keygen: a key pair to sign bundles with.
#include "make/bundle_signer.h"
#include "tool/base/command.h"
#include "tool/base/key_file.h"
#include "tool/base/output_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_PUBLIC = 0x200 };

typedef struct keygen_arguments {
    const char *private_path, *public_path;
} keygen_arguments_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    keygen_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->private_path = argument;
        return 0;
    case KEY_PUBLIC:
        arguments->public_path = argument;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", argument);
        return EINVAL;
    case ARGP_KEY_END:
        if (arguments->private_path == NULL) {
            argp_error(state, "no place for the key: --out FILE is needed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** A key that is overwritten is lost, and no device can be updated any more: both files must be new. */
static int write_keys(const keygen_arguments_t *arguments, const char *private_pem, const char *public_pem)
{
    int status = output_file_create(arguments->private_path, private_pem, strlen(private_pem), 0600);
    if (status != STATUS_OK) {
        return status;
    }
    if (arguments->public_path != NULL) {
        status = output_file_create(arguments->public_path, public_pem, strlen(public_pem), 0644);
    } else if (fputs(public_pem, stdout) < 0 || fflush(stdout) != 0) {
        status = STATUS_BAD_INPUT; // main() reports errors of standard output
    }
    if (status != STATUS_OK) {
        (void)unlink(arguments->private_path);
    }
    return status;
}

/** On stderr if the public key itself is on stdout. */
static void report(const keygen_arguments_t *arguments, const sr_signature_public_key_t *key)
{
    char id[KEY_ID_TEXT_SIZE];
    FILE *out = arguments->public_path != NULL ? stdout : stderr;
    fprintf(out, "key pair %s on P-256\n", key_id_text(key->id, id));
    fprintf(out, "  private      %s: signs bundles. Keep it secret, and keep a copy\n", arguments->private_path);
    fprintf(out, "  public       %s: for apps, verify and simulate. Not secret\n",
            arguments->public_path != NULL ? arguments->public_path : "standard output");
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", 'o', "FILE", 0, "Where to write the private key (needed)", 0},
        {"public", KEY_PUBLIC, "FILE", 0, "Where to write the public key, for apps; default: standard output", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Makes a key pair on P-256, in PEM. The private key is readable by its owner alone, and not encrypted. "
               "Files that exist are never overwritten.",
    };
    keygen_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    char private_pem[BUNDLE_PEM_SIZE];
    char public_pem[BUNDLE_PEM_SIZE];
    sr_signature_public_key_t key;
    if (bundle_keygen(private_pem, public_pem) != SR_BUNDLE_OK ||
        sr_signature_public_key_read(public_pem, &key) != SR_BUNDLE_OK) {
        return complain(STATUS_BAD_INPUT, "the crypto library failed");
    }
    int status = write_keys(&arguments, private_pem, public_pem);
    explicit_bzero(private_pem, sizeof(private_pem));
    if (status == STATUS_OK) {
        report(&arguments, &key);
    }
    return status;
}

const command_t command_keygen = {"keygen", "a key pair to sign bundles with", run};
