// SPDX-License-Identifier: Apache-2.0
#include "tool/base/key_file.h"

#include "make/bundle_signer.h"
#include "tool/base/command.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TO_DECRYPT "; openssl pkey -in FILE -out KEY decrypts it"
#define TO_PUBLIC  "; " PROGRAM_NAME " key FILE --public PUBLIC writes its public half"

/** What a text may hold, by a marker in it: the first one found counts. */
static const struct {
    const char *mark, *what;
    const char *way_out;
    bool private_half; /**< Could be a private key on P-256. */
} kinds[] = {
    {"-----BEGIN ENCRYPTED PRIVATE KEY-----", "an encrypted private key", TO_DECRYPT, false},
    {"Proc-Type: 4,ENCRYPTED", "an encrypted private key", TO_DECRYPT, false},
    {"-----BEGIN EC PRIVATE KEY-----", "a private key", TO_PUBLIC, true},
    {"-----BEGIN PRIVATE KEY-----", "a private key", TO_PUBLIC, true},
    {"-----BEGIN PUBLIC KEY-----", "a public key", "; the other file of the pair is needed", false},
    {"-----BEGIN RSA ", "an RSA key", "; " PROGRAM_NAME " keygen makes a pair", false},
    {"-----BEGIN DSA ", "a DSA key", "; " PROGRAM_NAME " keygen makes a pair", false},
    {"-----BEGIN OPENSSH PRIVATE KEY-----", "a key of OpenSSH", "; " PROGRAM_NAME " keygen makes a pair", false},
    {"-----BEGIN CERTIFICATE REQUEST-----", "a certificate request", "", false},
    {"-----BEGIN CERTIFICATE-----", "a certificate", "; openssl x509 -pubkey -noout -in FILE shows its key", false},
    {"-----BEGIN EC PARAMETERS-----", "parameters of a curve, without a key", "", false},
    {"-----BEGIN ", "PEM of another kind", "", false},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/** @return Index, or KIND_COUNT if it is no PEM. */
static size_t kind_of(const char *text)
{
    size_t kind = 0;
    while (kind < KIND_COUNT && strstr(text, kinds[kind].mark) == NULL) {
        kind++;
    }
    return kind;
}

static bool is_private(const char *text)
{
    const size_t kind = kind_of(text);
    return kind < KIND_COUNT && kinds[kind].private_half;
}

/** @param wanted "public key" or the like. */
static int complain_kind(const char *path, const char *text, const char *wanted)
{
    const size_t kind = kind_of(text);
    if (kind == KIND_COUNT) {
        return complain(STATUS_BAD_INPUT, "%s: no PEM, where a %s on P-256 is needed%s", path, wanted,
                        text[0] == 0x30 ? "; from DER: openssl pkey -inform DER" : "");
    }
    const char *what = kinds[kind].what;
    if (strncmp(what + 2, wanted, strlen(wanted)) == 0) {
        return complain(STATUS_BAD_INPUT, "%s: a %s, but not one on P-256 (or damaged)", path, wanted);
    }
    return complain(STATUS_BAD_INPUT, "%s: %s, where a %s on P-256 is needed%s", path, what, wanted,
                    kinds[kind].way_out);
}

char *key_file_load_text(const char *path)
{
    image_file_t file;
    if (image_file_load(path, &file) != STATUS_OK) {
        return NULL;
    }
    char *text = strndup((const char *)file.bytes, file.size);
    if (text == NULL) {
        complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    explicit_bzero(file.bytes, file.size); // it may be a private key
    image_file_free(&file);
    return text;
}

static void forget(char *text)
{
    explicit_bzero(text, strlen(text));
    free(text);
}

static int complain_status(const char *path, const char *text, const char *wanted, sr_bundle_status_t status)
{
    if (status == SR_BUNDLE_OK) {
        return STATUS_OK;
    }
    return status == SR_BUNDLE_BAD_KEY ? complain_kind(path, text, wanted)
                                       : complain(STATUS_BAD_INPUT, "%s: %s", path, sr_bundle_status_text(status));
}

int key_file_load_public(const char *path, sr_signature_public_key_t *key)
{
    char *text = key_file_load_text(path);
    if (text == NULL) {
        return STATUS_BAD_INPUT;
    }
    const int status = complain_status(path, text, "public key", sr_signature_public_key_read(text, key));
    forget(text);
    return status;
}

int key_file_load_half(const char *path, sr_signature_public_key_t *key, bool *private_half, char *public_pem)
{
    char *text = key_file_load_text(path);
    if (text == NULL) {
        return STATUS_BAD_INPUT;
    }
    *private_half = is_private(text);
    const char *wanted = *private_half ? "private key" : "public key";
    sr_bundle_status_t made = SR_BUNDLE_OK;
    if (*private_half) {
        made = bundle_public_half(text, public_pem);
    } else {
        const char *begin = strstr(text, "-----BEGIN PUBLIC KEY-----");
        (void)snprintf(public_pem, BUNDLE_PEM_SIZE, "%s", begin != NULL ? begin : "");
    }
    if (made == SR_BUNDLE_OK) {
        made = sr_signature_public_key_read(public_pem, key);
    }
    const int status = complain_status(path, text, wanted, made);
    forget(text);
    return status;
}

int key_file_sign(const char *path, uint8_t *bundle, uint32_t size)
{
    char *text = key_file_load_text(path);
    if (text == NULL) {
        return STATUS_BAD_INPUT;
    }
    const int status = complain_status(path, text, "private key", bundle_sign(bundle, size, text));
    forget(text);
    return status;
}

const char *key_id_text(const uint8_t id[SR_SIGNATURE_KEY_ID_SIZE], char out[KEY_ID_TEXT_SIZE])
{
    return number_hex(id, SR_SIGNATURE_KEY_ID_SIZE, out);
}
