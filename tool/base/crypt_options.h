// SPDX-License-Identifier: Apache-2.0
/** @file
 * The options that say what is burnt and with which keys, the same for all subcommands that take a dump of one.
 */
#pragma once

#include "sim/boot/boot_model.h"
#include "tool/base/image_file.h"

#include <argp.h>

typedef struct crypt_options {
    const char *efuses_path, *key_path, *boot_key_path; /**< NULL: not given. */
    flash_cipher_t *cipher;                             /**< Owned, after crypt_options_apply(). */
} crypt_options_t;

/** Options --efuses, --flash-key and --secure-boot-key, as an argp child whose input is a crypt_options_t. */
extern const struct argp crypt_options_argp;

/** True if any of them is. */
bool crypt_options_given(const crypt_options_t *options);

/** What can be told of a dump that the chip has encrypted. */
typedef enum crypt_state {
    CRYPT_PLAIN,  /**< It is not encrypted. */
    CRYPT_OPENED, /**< It is, and the key opens it: chip->cipher is set. */
    CRYPT_LOCKED, /**< It is, and no key was given. */
} crypt_state_t;

#define CRYPT_TEXT_SIZE 400

/**
 * Finds out whether a dump is encrypted, and with what.
 * @param[in,out] chip As far as options tell; becomes what the eFuses tell, with the cipher of the key.
 * @param[out] why Why it is taken for encrypted, and what is needed, if it is LOCKED.
 * @return STATUS_OK; or after complaining STATUS_USAGE for options that contradict each other, STATUS_BAD_INPUT for a
 * file that is not what it has to be, or a key that does not open the dump. crypt_options_close() is due in any case.
 */
int crypt_options_apply(crypt_options_t *options, boot_chip_t *chip, const image_file_t *flash, crypt_state_t *state,
                        char why[CRYPT_TEXT_SIZE]);

/** The same for those who need what is in the dump: one without its key is complained of, too. */
int crypt_options_open(crypt_options_t *options, boot_chip_t *chip, const image_file_t *flash);

/**
 * Loads a key with which a chip that does not encrypt yet is to do so.
 * @param[out] cipher Owned by the caller.
 * @return STATUS_OK; or STATUS_USAGE after complaining of a chip that encrypts already, STATUS_BAD_INPUT of a file that
 * is no key for this chip.
 */
int crypt_first_key_load(const char *path, const boot_chip_t *chip, flash_cipher_t **cipher);

/** Forgets the key. */
void crypt_options_close(crypt_options_t *options);

/** True if bytes are as evenly spread as ciphertext is; erased cells among them do not count. */
bool crypt_is_noise(const uint8_t *bytes, uint32_t length);

/** "AES-256", "XTS-AES-128" or "XTS-AES-256". */
const char *crypt_scheme_name(flash_cipher_scheme_t scheme);

#define CRYPT_SCHEME_SIZE 80
/** The same by what is burnt, with the length of the key in its file. @return @p out. */
const char *crypt_scheme_text(const efuse_set_t *burnt, char out[CRYPT_SCHEME_SIZE]);
