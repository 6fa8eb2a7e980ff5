// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the parts of the boot model share: one boot in progress, and the flash as the chip sees it.
 */
#pragma once

#include "format/sr_region.h"
#include "sim/boot/boot_memory.h"
#include "sim/boot/boot_model.h"

#include <stddef.h>

typedef struct boot_segment {
    uint32_t load_address, length, data_offset; /**< Offset of the data from the start of the image. */
} boot_segment_t;

#define BOOT_ROM_MAX_SEGMENTS 32u

#define BOOT_ENCRYPTION_UNIT 32u /**< What a bootloader writes encrypted. */
#define BOOT_HASH_APPENDED   23u /**< Offset in an image's header. */

/** A second-stage bootloader that the ROM has loaded. */
typedef struct boot_loader {
    uint32_t offset, length; /**< In flash; the length includes an appended digest. */
    uint8_t header[24];
    unsigned segment_count;
    boot_segment_t segments[BOOT_ROM_MAX_SEGMENTS];
    bool full_revision;    /**< Reads the 16 bit revision fields, not the old one of 8 bits. */
    bool checks_block;     /**< Compares the eFuse block's revision with what lies where an app has its descriptor. */
    bool checks_ranges;    /**< Refuses a segment that it cannot load, in place of crashing on it. */
    bool described;        /**< Has the descriptor that there is since ESP-IDF v5.2. */
    bool since_v5_3;       /**< And says that it is v5.3 or later. */
    bool wants_encryption; /**< Starts no app unless the chip encrypts its flash already. */
} boot_loader_t;

/** One boot in progress. */
typedef struct boot {
    const sr_chip_t *chip;
    const boot_memory_t *memory;
    const flash_cipher_t *cipher; /**< NULL: the flash is not encrypted. */
    bool may_encrypt;             /**< As in boot_chip_t. */
    uint16_t revision;
    bool any_revision; /**< The chip's revision is not known: every image's demand counts as met. */
    uint32_t table_offset;
    uint32_t recovery; /**< Offset of the recovery bootloader; 0: none. */
    sr_chip_efuses_t efuses;
    const efuse_set_t *burnt; /**< For Secure Boot. */
    const uint8_t *taken;     /**< Of boot_chip_t. */
    bool doubtful;            /**< With Secure Boot V1: it is not known whether the ROM takes this bootloader. */
    bool rollback;
    const uint8_t *flash;
    uint8_t *writable; /**< The same memory as `flash`, or what is to take its place before the first write. */
    uint32_t size;
    boot_trace_t trace;
    void *context;
    boot_loader_t loader;
    boot_result_t *result;
} boot_t;

/** Where the stack of ROM and bootloader starts on this chip. */
uint32_t boot_rom_stack(const boot_t *boot);

/**
 * A piece of flash, as far as it is contiguous, decrypted if the chip encrypts: as its cache shows all of flash.
 * Addresses past the end wrap: the chip ignores address bits that it does not have.
 * @param[in,out] length Wanted; not more than that is returned, and at least 1 byte.
 */
const uint8_t *boot_view(const boot_t *boot, uint32_t address, uint32_t *length);
/** Reads and reports the read to the trace. */
void boot_read(const boot_t *boot, uint32_t address, void *out, uint32_t length);
/** Reports a read. */
void boot_traced(const boot_t *boot, uint32_t address, uint32_t length);
/** SHA-256 over a range of flash; reports the read. False if the crypto library failed. */
bool boot_digest(const boot_t *boot, uint32_t address, uint32_t length, uint8_t sha256[SR_SHA256_SIZE]);
/** What to say of a place where something starts with another byte than it must: in the words of the cipher, if the
 * chip encrypts. @param magic The byte that it must start with. */
const char *boot_magic_fault(const boot_t *boot, uint32_t address, uint8_t magic);
/** XOR over a range of flash. */
uint8_t boot_xor(const boot_t *boot, uint32_t address, uint32_t length);
/** Erases the sectors that hold the range. */
void boot_erase(boot_t *boot, uint32_t address, uint32_t length);
/** Programs: only clears bits. Encrypts if the chip does; then address and length are multiples of
 * BOOT_ENCRYPTION_UNIT. */
void boot_program(boot_t *boot, uint32_t address, const void *data, uint32_t length);

/** Sets outcome and reason; the reason is cut to what fits. */
void boot_end(boot_t *boot, boot_outcome_t outcome, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** Fills result->app and app_offset. */
void boot_enter_app(boot_t *boot, uint32_t address, uint32_t length);

/** What the bootloader's messages tell about the flash size with this code. */
sr_chip_size_message_t boot_loader_size_message(const boot_t *boot, uint8_t code);
/** True if the header's demands on the chip's revision are met, as this bootloader reads them. */
bool boot_revision_fits(const boot_t *boot, const uint8_t header[24], bool check_maximum);

/**
 * The mask ROM: loads the bootloader, or ends the boot.
 * @return True if boot->loader is loaded and entered.
 */
bool boot_rom(boot_t *boot);
/**
 * A boot up to the second-stage bootloader: loaded, and looked at.
 * @param[out] boot Valid as long as the other parameters, which are those of boot_run_aside().
 * @return false if the boot has ended.
 */
bool boot_start(const boot_chip_t *chip, const uint8_t *flash, uint8_t *aside, uint32_t size, boot_trace_t trace,
                void *context, boot_result_t *result, boot_t *boot);
/** ESP-IDF's bootloader, to the end of the boot. */
void boot_idf(boot_t *boot);
/** True if ESP-IDF's bootloader finds an intact image in an app partition, which it does not start. @param[out] length
 * Of the image. */
bool boot_idf_verifies(const boot_t *boot, sr_region_t partition, uint32_t *length);
/** Espressif's port of MCUboot, to the end of the boot. */
void boot_mcuboot(boot_t *boot);
