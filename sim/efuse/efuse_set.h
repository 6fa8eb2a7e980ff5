// SPDX-License-Identifier: Apache-2.0
/** @file
 * The eFuses of a chip that have to do with Flash Encryption and Secure Boot: counter, keys and their purposes, what is
 * revoked, and what is locked. Zero: nothing is burnt.
 *
 * Names are those of espefuse. Where the ESP32 has blocks with a fixed purpose, they are keys with that purpose here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define EFUSE_KEY_COUNT    6u
#define EFUSE_KEY_SIZE     32u
#define EFUSE_DIGEST_COUNT 3u

/** What a key block is for. */
typedef enum efuse_purpose {
    EFUSE_PURPOSE_NONE,           /**< Not burnt, or for something that no boot asks about. */
    EFUSE_PURPOSE_AES_256,        /**< Flash Encryption of the ESP32. */
    EFUSE_PURPOSE_XTS_128,        /**< Flash Encryption, XTS-AES-128. */
    EFUSE_PURPOSE_XTS_128_SHORT,  /**< The same on the ESP32-C2, from 128 burnt bits. */
    EFUSE_PURPOSE_XTS_256_1,      /**< Flash Encryption, XTS-AES-256: first half, */
    EFUSE_PURPOSE_XTS_256_2,      /**< and second. */
    EFUSE_PURPOSE_SECURE_BOOT_V1, /**< Secure Boot V1 of the ESP32: a secret key. */
    EFUSE_PURPOSE_DIGEST_0,       /**< Secure Boot V2: SHA-256 of a public key, of which the ESP32-C2 has 16 bytes. */
    EFUSE_PURPOSE_DIGEST_1,
    EFUSE_PURPOSE_DIGEST_2,
} efuse_purpose_t;

typedef struct efuse_key {
    efuse_purpose_t purpose;
    bool readable;                 /**< By software: `bytes` are known. */
    uint8_t length;                /**< Of what is burnt: 16, 24 (ESP32 with 3/4 coding) or 32 bytes. */
    uint8_t bytes[EFUSE_KEY_SIZE]; /**< In the order of the block. */
} efuse_key_t;

typedef struct efuse_set {
    uint8_t crypt_count;     /**< Value of FLASH_CRYPT_CNT or SPI_BOOT_CRYPT_CNT. */
    bool crypt_count_locked; /**< Write-protected, or all of it burnt: encryption stays as it is. */
    uint8_t crypt_config;    /**< FLASH_CRYPT_CONFIG of the ESP32: to which bits of the key the tweak applies. */
    bool download_open;      /**< Download mode can still encrypt, or read what is decrypted. */
    bool secure_boot_v1;     /**< ABS_DONE_0. */
    bool secure_boot_v2;     /**< ABS_DONE_1 or SECURE_BOOT_EN. */
    bool aggressive_revoke;  /**< SECURE_BOOT_AGGRESSIVE_REVOKE: a key that fails is revoked at once. */
    bool revoked[EFUSE_DIGEST_COUNT]; /**< SECURE_BOOT_KEY_REVOKE0 to 2. */
    efuse_key_t keys[EFUSE_KEY_COUNT];
} efuse_set_t;

/** True if the chip encrypts its flash: an odd number of the counter's bits is burnt. */
bool efuse_set_encrypts(const efuse_set_t *set);

/** True if an encrypting chip is in release mode: encryption can neither be switched off nor be used over a cable. */
bool efuse_set_is_release(const efuse_set_t *set);

/** espefuse burns the bytes of a key file in reverse: from the order of a block to that of the file, or back. */
void efuse_key_reverse(const uint8_t *in, unsigned length, uint8_t *out);

/** The key with this purpose. @return NULL if none has it. */
const efuse_key_t *efuse_set_key(const efuse_set_t *set, efuse_purpose_t purpose);

/**
 * The digest of Secure Boot V2 with this number, from 0.
 * @return NULL if it is not burnt, not readable, or revoked.
 */
const efuse_key_t *efuse_set_digest(const efuse_set_t *set, unsigned number);
