// SPDX-License-Identifier: Apache-2.0
/** @file
 * Flash Encryption as the chips do it: what is in flash for which plaintext. Compared byte by byte with espsecure in
 * test/program/test_ciphers_external.py.
 *
 * All schemes work in blocks of 16 bytes, each by itself: a byte of plaintext that changes changes one block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_CIPHER_BLOCK    16u
#define FLASH_CIPHER_KEY_SIZE 64u /**< The longest key. */

typedef enum flash_cipher_scheme {
    FLASH_CIPHER_AES_256, /**< ESP32: AES-256, whose key is changed by the address of each 32 bytes. */
    FLASH_CIPHER_XTS_128,
    FLASH_CIPHER_XTS_256,
} flash_cipher_scheme_t;

typedef struct flash_cipher flash_cipher_t;

/**
 * Makes a cipher.
 * @param key As a key file has it, and espsecure takes it: 24 (ESP32 with 3/4 coding), 32 bytes for AES-256; 16 (the
 * ESP32-C2's short key) or 32 for XTS-AES-128; 64 for XTS-AES-256.
 * @param crypt_config FLASH_CRYPT_CONFIG; only the ESP32 has it.
 * @return NULL for another length, or without memory. Owned by the caller.
 */
flash_cipher_t *flash_cipher_new(flash_cipher_scheme_t scheme, const uint8_t *key, size_t length, uint8_t crypt_config);
/** Forgets the key, too. */
void flash_cipher_delete(flash_cipher_t *cipher);

flash_cipher_scheme_t flash_cipher_scheme(const flash_cipher_t *cipher);

/** A number that no other cipher of this process and its children has. */
unsigned flash_cipher_serial(const flash_cipher_t *cipher);

/** Encrypts or decrypts in place. @param address, length Multiples of FLASH_CIPHER_BLOCK. */
void flash_cipher_encrypt(const flash_cipher_t *cipher, uint32_t address, uint8_t *bytes, size_t length);
void flash_cipher_decrypt(const flash_cipher_t *cipher, uint32_t address, uint8_t *bytes, size_t length);

/** Decrypts any range of a flash. @param flash Its content, from address 0 on; whole blocks of it are read. */
void flash_cipher_read(const flash_cipher_t *cipher, const uint8_t *flash, uint32_t address, void *out, size_t length);
