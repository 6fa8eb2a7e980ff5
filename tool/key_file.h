// SPDX-License-Identifier: Apache-2.0
/** @file
 * Keys in files.
 */
#pragma once

#include "sr_signature.h"

#include <stdint.h>

/** Reads a text file, such as PEM, whole. @return For explicit_bzero() if it is secret, and free(); NULL after
 *  complaining. */
char *key_file_load_text(const char *path);

/** Reads a public key. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int key_file_load_public(const char *path, sr_public_key_t *key);

/** Signs a bundle with the private key in a file. @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int key_file_sign(const char *path, uint8_t *bundle, uint32_t size);
