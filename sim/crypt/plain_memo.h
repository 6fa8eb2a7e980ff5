// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a flash decrypts to, kept from call to call: most of it is the same from boot to boot.
 */
#pragma once

#include "sim/crypt/flash_cipher.h"

/**
 * Decrypts a range of a flash, whatever lies there.
 * @param size Of the flash, whole sectors; the range lies in it.
 * @return The range as the chip's cache shows it, valid until the flash changes or the next call is for another flash.
 */
const uint8_t *plain_memo(const flash_cipher_t *cipher, const uint8_t *flash, uint32_t size, uint32_t address,
                          uint32_t length);
