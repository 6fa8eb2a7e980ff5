// SPDX-License-Identifier: Apache-2.0
// keygen: a key pair to sign bundles with.
#include "bundle_signer.h"
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
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
        argp_error(state, "what is '%s' for?", argument);
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

/** Writes a file that must not exist: a key that is overwritten is gone, and with it the way to all devices. */
static int write_new(const char *path, const char *text, mode_t mode)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0) {
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    const size_t length = strlen(text);
    const bool written = write(file, text, length) == (ssize_t)length;
    if (close(file) != 0 || !written) {
        complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
        (void)unlink(path);
        return STATUS_BAD_INPUT;
    }
    return STATUS_OK;
}

static int write_keys(const keygen_arguments_t *arguments, const char *private_pem, const char *public_pem)
{
    int status = write_new(arguments->private_path, private_pem, 0600);
    if (status != STATUS_OK) {
        return status;
    }
    if (arguments->public_path == NULL) {
        fputs(public_pem, stdout);
        return STATUS_OK;
    }
    status = write_new(arguments->public_path, public_pem, 0644);
    if (status != STATUS_OK) {
        (void)unlink(arguments->private_path);
    }
    return status;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", 'o', "FILE", 0, "Where to write the private key (needed)", 0},
        {"public", KEY_PUBLIC, "FILE", 0, "Where to write the public key; default: standard output", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Makes a key pair on P-256, in PEM. The private key is readable by its owner alone, and not encrypted. "
               "Files that exist are never overwritten.",
    };
    keygen_arguments_t arguments = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0) {
        return STATUS_USAGE;
    }
    char private_pem[BUNDLE_PEM_SIZE];
    char public_pem[BUNDLE_PEM_SIZE];
    if (bundle_keygen(private_pem, public_pem) != SR_BUNDLE_OK) {
        return complain(STATUS_NO, "the crypto library failed");
    }
    const int status = write_keys(&arguments, private_pem, public_pem);
    explicit_bzero(private_pem, sizeof(private_pem));
    return status;
}

const command_t command_keygen = {"keygen", "a key pair to sign bundles with", run};
