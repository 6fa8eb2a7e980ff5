// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a power-on does with a flash content: mask ROM, second-stage bootloader (ESP-IDF's or MCUboot), app.
 *
 * A model of the documented behaviour and formats; it executes no code of the image. Checked against what the real
 * mask ROM and real bootloaders did (test/sim/test_oracle.c).
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_secure_boot.h"
#include "sim/crypt/flash_cipher.h"
#include "sim/efuse/efuse_set.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum boot_outcome {
    BOOT_BOOTS,              /**< An app was entered. */
    BOOT_SWAPS_THEN_BOOTS,   /**< MCUboot swapped the slots, then entered the app. */
    BOOT_ROM_REJECTS,        /**< The mask ROM found no bootloader to start (or hangs loading it). */
    BOOT_BOOTLOADER_REJECTS, /**< The second-stage bootloader ran, and entered no app. */
    BOOT_NOT_KNOWN,          /**< Whether an app is entered depends on what no file tells. */
} boot_outcome_t;

typedef enum boot_loader_kind { BOOT_LOADER_NONE, BOOT_LOADER_IDF, BOOT_LOADER_MCUBOOT } boot_loader_kind_t;

/** The chip that boots, and what cannot be read from the flash. Zero members mean the defaults. */
typedef struct boot_chip {
    const sr_chip_t *chip;
    uint16_t revision;        /**< major * 100 + minor; 0: 300 for esp32 (as in the oracle); for the others it means not
                                   known, and every image's demand on the revision counts as met. */
    bool revision_told;       /**< 0 does not mean that, but v0.0. */
    uint32_t partition_table; /**< Where the bootloader looks for the table, as it was built; 0: 0x8000. */
    uint32_t new_partition_table;       /**< The same for any bootloader but `old_loader`; 0: as for that one. */
    uint8_t old_loader[SR_SHA256_SIZE]; /**< Digest of the bootloader for which `partition_table` holds, boot_code_t. */
    bool rollback;                      /**< The ESP-IDF bootloader has CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE. */
    bool confirms;                      /**< The app that runs first writes its entry of otadata anew, as
                                             esp_ota_mark_app_valid_cancel_rollback() does: a power loss in it may select another app. Means
                                             nothing to a boot, but to what it is taken for. */
    uint32_t recovery; /**< Offset of the recovery bootloader as burnt into the eFuse, a multiple of 0x1000; 0: not
                            burnt. Means nothing where boot_rom_knows_recovery() says no. */
    sr_chip_efuses_t efuses;       /**< What the eFuses demand of images. A block revision of 0 means not known: every
                                   image's demand counts as met. The bootloader is assumed to check an app's secure version,
                                   as one with CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK does: no file tells. */
    efuse_set_t burnt;             /**< What is burnt for Flash Encryption and Secure Boot. */
    uint8_t taken[SR_SHA256_SIZE]; /**< With Secure Boot V1, from boot_believe(); zero: nothing is known. */
    const flash_cipher_t *cipher;  /**< The chip encrypts its flash with this; NULL: it does not. */
    bool may_encrypt;              /**< The flash is given as plaintext, and the chip may encrypt it all the same. */
    const flash_cipher_t *first_encryption; /**< It does not yet, and any bootloader but `old_loader` was built with
                                                 Flash Encryption: it encrypts the flash with this at its first start.
                                                 NULL: none was. */
} boot_chip_t;

/** A range of flash that executes, and a digest of its bytes. */
typedef struct boot_code {
    uint32_t address;
    uint32_t length;                /**< 0: none. */
    uint8_t sha256[SR_SHA256_SIZE]; /**< Over all `length` bytes. */
} boot_code_t;

typedef struct boot_result {
    boot_outcome_t outcome;
    boot_loader_kind_t loader;
    uint32_t app_offset;    /**< Flash offset of the app that is entered; valid if it boots. */
    boot_code_t bootloader; /**< Valid unless the ROM rejects. */
    boot_code_t app;        /**< Valid if it boots. Image at its true length. */
    bool recovered;         /**< The mask ROM took the recovery bootloader, not the primary one. */
    bool flash_changed;     /**< The boot itself wrote to flash (otadata, a swap). */
    bool encrypts;    /**< The bootloader encrypts the flash in place of starting the app, which starts after that:
                           first_encryption.h. */
    uint8_t revoked;  /**< The ROM has revoked these key digests of Secure Boot V2 in this boot: bit 0 to 2. */
    char reason[160]; /**< One sentence: why this app, or why not. */
} boot_result_t;

/** The key digests of Secure Boot V2 that are burnt, as software reads them. @return false if no key block is for one:
 * it is not known which keys are burnt. */
bool boot_burnt_keys(const sr_chip_t *chip, const efuse_set_t *burnt, sr_secure_boot_keys_t *keys);

/** The last value of the eFuse field, in sectors: like 0 it means that there is no recovery bootloader. */
#define BOOT_RECOVERY_OFF 0xFFFu

/** True if the ROM of this chip, from this revision on, looks for a recovery bootloader. A chip whose revision is not
 * known is assumed to. */
bool boot_rom_knows_recovery(const boot_chip_t *chip);

/** True if the ROM of this chip compares the bootloader's secure version with an eFuse. */
bool boot_rom_knows_version(const boot_chip_t *chip);

/** Called for each range that the boot read, so that callers know on which bytes the outcome depends. */
typedef void (*boot_trace_t)(void *context, uint32_t address, uint32_t length);

/**
 * Boots once.
 *
 * @param[in,out] flash Content; what the bootloader writes is written here.
 * @param size Bytes.
 * @param trace May be NULL.
 */
void boot_run(const boot_chip_t *chip, uint8_t *flash, uint32_t size, boot_trace_t trace, void *context,
              boot_result_t *result);

/**
 * Boots once and leaves the flash as it is: few boots write to it, and only then it is copied.
 *
 * @param aside As large: what the flash is copied to before the first write.
 * @return the flash after the boot: @p flash itself, or @p aside.
 */
const uint8_t *boot_run_aside(const boot_chip_t *chip, const uint8_t *flash, uint8_t *aside, uint32_t size,
                              boot_trace_t trace, void *context, boot_result_t *result);

/**
 * Takes a flash for that of a device that runs: with Secure Boot V1 the ROM takes its bootloader with its digest. Of
 * any others it is not known, unless the key is.
 */
void boot_believe(boot_chip_t *chip, const uint8_t *flash, uint32_t size);

/** Burns what a boot has revoked. */
void boot_revoke(efuse_set_t *burnt, uint8_t revoked);

/** Where the bootloader that lies in this flash looks for the partition table. */
uint32_t boot_table_offset(const boot_chip_t *chip, const uint8_t *flash, uint32_t size);

/** "boots", "swaps_then_boots", "rom_rejects", "bootloader_rejects" or "not_known". */
const char *boot_outcome_name(boot_outcome_t outcome);

/** True for BOOTS and SWAPS_THEN_BOOTS. */
static inline bool boot_succeeds(const boot_result_t *result)
{
    return result->outcome == BOOT_BOOTS || result->outcome == BOOT_SWAPS_THEN_BOOTS;
}
