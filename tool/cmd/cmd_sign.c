// SPDX-License-Identifier: Apache-2.0
// sign: with a key in a file, or in two steps with a key that is elsewhere.
#include "make/bundle_signer.h"
#include "tool/base/command.h"
#include "tool/base/image_file.h"
#include "tool/base/key_file.h"
#include "tool/base/output_file.h"
#include "tool/pack/bundle_file.h"

#include <errno.h>
#include <stdio.h>

enum { KEY_KEY = 0x200, KEY_DIGEST_OUT, KEY_SIGNATURE, KEY_PUBLIC_KEY };

typedef struct sign_arguments {
    const char *path, *out_path;
    const char *key_path;                         /**< Signs here. */
    const char *digest_path;                      /**< Asks for a signature elsewhere. */
    const char *signature_path, *public_key_path; /**< Takes one from elsewhere. */
} sign_arguments_t;

static void check_arguments(sign_arguments_t *arguments, struct argp_state *state)
{
    const int ways =
        (arguments->key_path != NULL) + (arguments->digest_path != NULL) + (arguments->signature_path != NULL);
    if (arguments->path == NULL) {
        argp_error(state, "no bundle given");
    }
    if (ways != 1) {
        argp_error(state, "one of --key, --digest-out and --signature is needed");
    }
    if ((arguments->signature_path != NULL) != (arguments->public_key_path != NULL)) {
        argp_error(state, "--signature and --public-key go together");
    }
    if (arguments->digest_path != NULL && arguments->out_path != NULL) {
        argp_error(state, "--digest-out does not change the bundle: leave out --out");
    }
    if (arguments->out_path == NULL) {
        arguments->out_path = arguments->path;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    sign_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->out_path = argument;
        return 0;
    case KEY_KEY:
        arguments->key_path = argument;
        return 0;
    case KEY_DIGEST_OUT:
        arguments->digest_path = argument;
        return 0;
    case KEY_SIGNATURE:
        arguments->signature_path = argument;
        return 0;
    case KEY_PUBLIC_KEY:
        arguments->public_key_path = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->path != NULL) {
            argp_error(state, "one bundle only, not also '%s'", argument);
        }
        arguments->path = argument;
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int write_digest(const sign_arguments_t *arguments, const image_file_t *file)
{
    uint8_t digest[SR_SHA256_SIZE];
    const sr_bundle_status_t status = bundle_digest(file->bytes, file->size, digest);
    if (status != SR_BUNDLE_OK) {
        return complain(STATUS_BAD_INPUT, "%s: %s", file->path, sr_bundle_status_text(status));
    }
    return output_file_write(arguments->digest_path, digest, sizeof(digest));
}

static int take_signature(const sign_arguments_t *arguments, const image_file_t *file)
{
    sr_signature_public_key_t key;
    image_file_t signature;
    int status = key_file_load_public(arguments->public_key_path, &key);
    if (status == STATUS_OK) {
        status = image_file_load(arguments->signature_path, &signature);
    }
    if (status != STATUS_OK) {
        return status;
    }
    const sr_bundle_status_t set = bundle_set_signature(file->bytes, file->size, &key, signature.bytes, signature.size);
    image_file_free(&signature);
    if (set == SR_BUNDLE_BAD_SIGNATURE) {
        return complain(STATUS_NO, "%s: not a signature over %s by the key in %s", arguments->signature_path,
                        file->path, arguments->public_key_path);
    }
    return set == SR_BUNDLE_OK ? STATUS_OK
                               : complain(STATUS_BAD_INPUT, "%s: %s", file->path, sr_bundle_status_text(set));
}

static int sign(const sign_arguments_t *arguments, const image_file_t *file)
{
    if (arguments->digest_path != NULL) {
        return write_digest(arguments, file);
    }
    int status = STATUS_OK;
    if (arguments->key_path != NULL) {
        // checked first, so that an error of the bundle is not blamed on the key
        const sr_bundle_status_t whole = bundle_verify(file->bytes, file->size, NULL);
        status = whole == SR_BUNDLE_OK ? key_file_sign(arguments->key_path, file->bytes, file->size)
                                       : complain(STATUS_BAD_INPUT, "%s: %s", file->path, sr_bundle_status_text(whole));
    } else {
        status = take_signature(arguments, file);
    }
    if (status != STATUS_OK) {
        return status;
    }
    output_file_allow(file->path); // the output is this bundle with its signature
    return output_file_write(arguments->out_path, file->bytes, file->size);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"key", KEY_KEY, "FILE", 0, "Sign with the private key in this file (PEM)", 0},
        {"out", 'o', "FILE", 0, "Where to write the signed bundle; default: over the one given", 0},
        {"digest-out", KEY_DIGEST_OUT, "FILE", 0,
         "Write what is to be signed elsewhere, for example in an HSM: the SHA-256 of the manifest, 32 bytes", 1},
        {"signature", KEY_SIGNATURE, "FILE", 0,
         "Take a signature from elsewhere: DER, or r and s of 32 bytes each. It is verified first", 1},
        {"public-key", KEY_PUBLIC_KEY, "FILE", 0, "The key that made this signature (PEM)", 1},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "BUNDLE",
        .doc = "Signs a bundle: ECDSA on P-256 with SHA-256. A signature that it has is replaced.",
    };
    sign_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    image_file_t file;
    int status = image_file_load(arguments.path, &file);
    if (status == STATUS_OK) {
        status = bundle_file_has_magic(&file) ? sign(&arguments, &file) : bundle_file_complain_kind(&file);
        image_file_free(&file);
    }
    return status;
}

const command_t command_sign = {"sign", "sign a bundle, here or in an HSM", run};
