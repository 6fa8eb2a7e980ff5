// SPDX-License-Identifier: Apache-2.0
#include "key_file.h"

#include "bundle_signer.h"
#include "command.h"
#include "image_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int key_file_load_public(const char *path, sr_public_key_t *key)
{
    char *text = key_file_load_text(path);
    if (text == NULL) {
        return STATUS_BAD_INPUT;
    }
    const sr_bundle_status_t status = sr_public_key_read(text, key);
    free(text);
    return status == SR_BUNDLE_OK ? STATUS_OK
                                  : complain(STATUS_BAD_INPUT, "%s: %s", path, sr_bundle_status_text(status));
}

int key_file_sign(const char *path, uint8_t *bundle, uint32_t size)
{
    char *text = key_file_load_text(path);
    if (text == NULL) {
        return STATUS_BAD_INPUT;
    }
    const sr_bundle_status_t status = bundle_sign(bundle, size, text);
    explicit_bzero(text, strlen(text));
    free(text);
    return status == SR_BUNDLE_OK
               ? STATUS_OK
               : complain(STATUS_BAD_INPUT, "%s: %s", path,
                          status == SR_BUNDLE_BAD_KEY ? "no private key on P-256 (PEM, not encrypted)"
                                                      : sr_bundle_status_text(status));
}
