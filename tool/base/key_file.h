// SPDX-License-Identifier: Apache-2.0
/** @file
 * Keys in files.
 */
#pragma once

#include "format/sr_signature.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_ID_TEXT_SIZE (2 * SR_SIGNATURE_KEY_ID_SIZE + 1)

/** Reads a text file, such as PEM, whole. @return For explicit_bzero() if it is secret, and free(); NULL after
 *  complaining. */
char *key_file_load_text(const char *path);

/** Reads a public key. @return STATUS_OK, or STATUS_BAD_INPUT after complaining what the file is instead. */
int key_file_load_public(const char *path, sr_signature_public_key_t *key);

/**
 * Reads the public key of either half of a pair.
 * @param[out] is_private Which half the file holds.
 * @param[out] public_pem BUNDLE_PEM_SIZE bytes: the public half in PEM.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int key_file_load_half(const char *path, sr_signature_public_key_t *key, bool *is_private, char *public_pem);

/** Signs a bundle with the private key in a file. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int key_file_sign(const char *path, uint8_t *bundle, uint32_t size);

/** An id as it is shown, and stands in bundles: 16 hexadecimal digits. @return @p out. */
const char *key_id_text(const uint8_t id[SR_SIGNATURE_KEY_ID_SIZE], char out[KEY_ID_TEXT_SIZE]);
