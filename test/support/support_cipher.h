// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash Encryption of a test's ESP32.
 */
#pragma once

#include "sim/crypt/flash_cipher.h"

#include <stdlib.h>

/** The same one for all of a program. */
static inline const flash_cipher_t *support_cipher(void)
{
    static flash_cipher_t *cipher;
    static const uint8_t key[32] = {0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6};
    if (cipher == NULL) {
        cipher = flash_cipher_new(FLASH_CIPHER_AES_256, key, sizeof(key), 0xF);
    }
    if (cipher == NULL) {
        abort();
    }
    return cipher;
}

/** Encrypts a range of a flash. @param address, length Multiples of FLASH_CIPHER_BLOCK. */
static inline void support_encrypt(uint8_t *flash, uint32_t address, size_t length)
{
    flash_cipher_encrypt(support_cipher(), address, flash + address, length);
}
