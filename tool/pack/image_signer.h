// SPDX-License-Identifier: Apache-2.0
/** @file
 * Signs an app for Secure Boot V2, by Espressif's program espsecure, which knows all its kinds of keys.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/**
 * Runs espsecure, which has to be in PATH. It gets the image and gives back its own through memory: nothing is left
 * behind in a folder.
 * @param key Path of the private key (PEM).
 * @param[in,out] image An intact ESP image, which free() is due for; on success the signed one.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining, and the image is as it was.
 */
int image_signer_sign(const char *key, uint8_t **image, size_t *size);
