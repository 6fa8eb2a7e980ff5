// SPDX-License-Identifier: Apache-2.0
/** @file
 * Checks of a flash as it will be, before anything is changed: would the chip boot it?
 *
 * Shared by the chip, before it applies a bundle, and by the host, before it makes one. Pure: sees the flash through a
 * reader, which may be an overlay over what is there now.
 */
#pragma once

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Checks that can be switched off by name; the bits of ESP_SELF_REFLASHER_CHECK_... */
#define SR_PREFLIGHT_BOOTLOADER (1u << 0)
#define SR_PREFLIGHT_FLASH_SIZE (1u << 1)
#define SR_PREFLIGHT_FLASH_MODE (1u << 2)
#define SR_PREFLIGHT_REVISION   (1u << 3)
#define SR_PREFLIGHT_TABLE      (1u << 4)
#define SR_PREFLIGHT_APP        (1u << 5)
#define SR_PREFLIGHT_VERSION    (1u << 7)

/** What the bootloader will do with a flash as it will be, as far as that was found out. */
typedef struct sr_preflight_start {
    uint32_t app;     /**< Address of the app that starts; UINT32_MAX: not known. */
    uint32_t otadata; /**< Address of the otadata by which it is chosen; UINT32_MAX: there is none, or not known. */
    bool is_new;      /**< The app is one that is brought. */
    bool encrypts;    /**< Before that, it encrypts the flash: the chip does not yet, and it was built to do so. */
} sr_preflight_start_t;

/** A flash as it will be, and the chip that it is for. */
typedef struct sr_preflight {
    const sr_reader_t *flash; /**< The whole flash as it will be, as plaintext. */
    uint32_t flash_size;      /**< Bytes that the chip's flash really has; 0: not known (host). */
    const sr_chip_t *chip;
    uint16_t chip_revision;         /**< major * 100 + minor; UINT16_MAX: not known (never on a chip). */
    const sr_chip_efuses_t *efuses; /**< What they demand of images; NULL: not known (host). */
    uint32_t table_offset;   /**< Of the ESP-IDF partition table; UINT32_MAX: the flash as it will be has none, and its
                                bootloader   looks for apps by other rules, which are not checked here. */
    const sr_image_t *today; /**< Header of the bootloader of today; NULL: not known (host). */
    bool is_plain;           /**< The chip does not encrypt its flash yet, as far as is known. */
    bool app_alone;   /**< Bootloader and table have passed before: only the app is checked, and `skip` names all other
                         checks. */
    bool app_follows; /**< The content of the app is not available yet: only its header is read. */
    uint32_t skip;    /**< SR_PREFLIGHT_... that are switched off. */
    /** Tells whether anything of what will be in this partition is brought, and not there today. NULL: not asked. */
    bool (*brings)(void *context, sr_region_t partition);
    void *brings_context;
    sr_preflight_start_t *start; /**< [out] Filled in by the check of the app; may be NULL. */
} sr_preflight_t;

/**
 * Runs the checks in the order of their bits.
 *
 * - BOOTLOADER: at the chip's offset lies an image for this chip, intact, that ends before the table. It does not say
 * that it starts apps only on a chip that encrypts its flash already, where this one does not.
 * - FLASH_SIZE: the size in its header covers the end of every partition, and is not more than the flash has.
 * - FLASH_MODE: its flash mode needs no more data lines than today's (QIO and QOUT 4, DIO and DOUT 2, the others 1),
 * and its clock is no faster.
 * - REVISION: the bootloader's and the app's revision range includes the chip's, and the app's range of eFuse block
 *   revisions that of the chip. A maximum does not count where an eFuse says so.
 * - TABLE: magic, MD5 if there is one, every partition inside the flash, none over another one, over the bootloader or
 *   over the table, apps at multiples of 64 KiB, data at multiples of 4 KiB, at least one app. If the
 * bootloader says that it encrypts the flash, whole sectors of what it encrypts.
 * - APP: the app that will boot (by otadata, else factory, else the first OTA slot, as the bootloader chooses) is an
 * intact image for this chip, fits its partition, and lies, like otadata, where the chip reaches it. Partitions in
 * which no image starts are passed over, as the bootloader does. If any app is brought, it is one of those. The
 * bootloader is not one that ignores the table, as MCUboot does.
 * - VERSION: the secure versions of bootloader and app are not below what the eFuses demand. Whether a bootloader
 * checks that of the app is a build option that no file tells; but only a bootloader that does burns the eFuse.
 *
 * Needs about 4 KiB of memory for the table, which the caller provides: allocates nothing.
 *
 * @param workspace sr_preflight_workspace_size() bytes, aligned for any type.
 * @param[out] text One sentence with the numbers, for a check that failed; empty otherwise.
 * @return 0 if all checks passed, else the bit of the first one that failed. A reader that fails fails the check that
 *         needed it.
 */
uint32_t sr_preflight_check(const sr_preflight_t *request, void *workspace, char *text, size_t text_size);

/** Bytes of workspace that sr_preflight_check() needs. */
size_t sr_preflight_workspace_size(void);
