// SPDX-License-Identifier: Apache-2.0
/** @file
 * What differs between the chips of the ESP32 family, as far as the boot path goes.
 *
 * Chip ids: `esp_chip_id_t` in ESP-IDF's esp_app_format.h. Bootloader offsets: `CONFIG_BOOTLOADER_OFFSET_IN_FLASH`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** A row for each chip: a new chip is a new row in sr_chip.c, and its memory map in sim/boot/boot_memory.c. */
typedef struct sr_chip {
    const char *name;           /**< As esptool and `IDF_TARGET` spell it: "esp32", "esp32s3", ... */
    const char *family;         /**< As ESP Web Tools spells it in `chipFamily`: "ESP32", "ESP32-S3", ... */
    uint16_t image_chip_id;     /**< Field chip_id of the image header. */
    uint32_t bootloader_offset; /**< Where the mask ROM looks for the second-stage bootloader. */
    uint8_t last_size_code;     /**< Largest flash size (1 MiB << code) that is known to every bootloader for it that
                                     does not name sizes in its messages. */
    bool maps_past_16_mib;      /**< Its MMU and its flash controller can map flash past 16 MiB. */
    uint32_t flash_clock_khz;   /**< What the clock codes of an image header divide. */
    bool clock_code_0_is_full;  /**< Tools write code 0 also for the undivided clock. */
    bool old_revision_is_minor; /**< The old field min_chip_rev counts minor revisions, else major ones. */
    bool has_block_revision;    /**< Its eFuses tell a block revision, which images may make demands on. */
    uint16_t recovery_revision; /**< Lowest chip revision, major * 100 + minor, whose ROM knows a recovery bootloader;
                                     0: none does. */
    bool rom_checks_version;    /**< Its ROM compares the bootloader's secure version with the eFuses. */
    uint8_t encryption_row;     /**< Most bytes that its hardware encrypts and programs at once. */
    bool one_boot_key;  /**< Its eFuses hold one key digest for Secure Boot V2, and one block of an image counts; else
                             three. */
    bool half_boot_key; /**< They hold the first half of that digest only. */
} sr_chip_t;

#define SR_FLASH_24_BIT 0x1000000u /**< What 24 address bits reach: 16 MiB. */

/** What a bootloader's messages tell about one flash size. */
typedef enum sr_chip_size_message {
    SR_CHIP_SIZE_NAMED,     /**< They name this size. */
    SR_CHIP_SIZE_NOT_NAMED, /**< They name other sizes. */
    SR_CHIP_SIZE_NO_WORD,   /**< They name none: it was built without messages. */
} sr_chip_size_message_t;

/** What the eFuses of a chip demand of images. */
typedef struct sr_chip_efuses {
    uint16_t block_revision;   /**< major * 100 + minor; UINT16_MAX: not known, or the chip has none (ESP32). */
    bool ignores_max_revision; /**< DISABLE_WAFER_VERSION_MAJOR is burnt: no image's maximum counts. */
    bool ignores_max_block; /**< DISABLE_BLK_VERSION_MAJOR is burnt: no image's maximum for the eFuse block counts. */
    uint8_t secure_version; /**< Anti-rollback: the lowest secure version that an app may have; 0: any. */
    uint8_t bootloader_version; /**< The lowest that a bootloader may have, if the ROM checks that; else 0: any. */
} sr_chip_efuses_t;

#define SR_PARTITION_TABLE_OFFSET 0x8000u /**< Default of CONFIG_PARTITION_TABLE_OFFSET. */

/** The chip with this image chip id, or NULL. */
const sr_chip_t *sr_chip_by_id(uint16_t image_chip_id);

/** The chip with this name ("esp32c3") or family ("ESP32-C3"), case ignored; or NULL. */
const sr_chip_t *sr_chip_by_name(const char *name);

/** The chips one after another, to list them: NULL past the last. */
const sr_chip_t *sr_chip_at(unsigned index);

/**
 * The lowest chip revision that an image runs on, major * 100 + minor.
 * @param old Field min_chip_rev of its header, which images from before ESP-IDF 4.4.3 have alone.
 * @param full Field min_chip_rev_full.
 */
uint16_t sr_chip_minimum_revision(const sr_chip_t *chip, uint8_t old, uint16_t full);

/**
 * The flash clock that a code in the image header means on this chip, in kHz.
 * @param spi_speed As in sr_image_t.
 * @return 0 if it means nothing there.
 */
uint32_t sr_chip_flash_khz(const sr_chip_t *chip, uint8_t spi_speed);

/**
 * The flash size that a bootloader goes by.
 * @param code Of its image header, as in sr_image_t.
 * @param message About this code's size, see sr_chip_size_name(); ignored up to code 4, which all know.
 * @return Bytes; 2 MiB for a code that the bootloader does not know.
 */
uint32_t sr_chip_flash_size(const sr_chip_t *chip, uint8_t code, sr_chip_size_message_t message);

/** The size as bootloaders name it in their messages, "16MB" for code 4; NULL for a code that means nothing. Searched
 *  with its terminating zero: "2MB" is also the end of "32MB". */
const char *sr_chip_size_name(uint8_t code);

#define SR_CHIP_SIZE_CODE_ALL_KNOW                                                                                     \
    4u /**< The largest flash size that every bootloader for every chip knows: 16 MiB.                                 \
        */

/** Of what a bootloader that was built with Flash Encryption says, unless it was built without messages: why it starts
 * no app on a chip that does not encrypt yet, */
#define SR_CHIP_SAYS_ONLY_ENCRYPTED "SECURE_FLASH_REQUIRE_ALREADY_ENABLED is set"
/** or what can go wrong while it encrypts the flash of such a chip. */
#define SR_CHIP_SAYS_ENCRYPTS "esp_flash_encrypt_region bad src_addr"

/**
 * True if an app in [address, address + length) is out of the chip's reach: it ends past 16 MiB, and the chip cannot
 * map that. On a chip that can, it depends on an option of the bootloader that no file tells.
 */
bool sr_chip_out_of_reach(const sr_chip_t *chip, uint32_t address, uint32_t length);
