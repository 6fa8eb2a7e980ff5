// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the checks of sr_preflight_check() share: the parts of the flash, read once, and how a check fails.
 */
#pragma once

#include "format/sr_boot_choice.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"
#include "preflight/sr_preflight.h"

#define SR_PREFLIGHT_NO_TABLE UINT32_MAX

/** An image, as far as it can be read. */
typedef struct sr_preflight_image {
    sr_image_t image;
    sr_image_status_t status; /**< Of sr_image_parse(). */
    bool has_header;          /**< The fields of its header are valid, whatever the status. */
    bool has_demands;         /**< The start of its first segment could be read. */
    sr_image_demands_t demands;
} sr_preflight_image_t;

/** What a bootloader tells of itself, by what its binary contains. */
typedef enum sr_preflight_trait {
    SR_PREFLIGHT_IS_MCUBOOT = 1,      /**< Boots nothing by the table. */
    SR_PREFLIGHT_WANTS_ENCRYPTED = 2, /**< Starts apps only on a chip that encrypts its flash already. */
    SR_PREFLIGHT_ENCRYPTS = 4,        /**< Encrypts the flash of a chip that does not encrypt yet. */
    SR_PREFLIGHT_CHECKS_BLOCK = 8,    /**< Compares the revision of the eFuse block with what it loads. */
} sr_preflight_trait_t;

/** The caller's workspace. */
typedef struct sr_preflight_work {
    const sr_preflight_t *request;
    char *text;
    size_t text_size;
    sr_preflight_image_t bootloader;
    bool has_traits;                          /**< Those of the bootloader have been looked for. */
    unsigned traits;                          /**< A set of sr_preflight_trait_t. */
    sr_partition_table_status_t table_status; /**< Valid if there is to be a table, like all below. */
    sr_partition_table_t table;
    sr_boot_choice_status_t choice_status; /**< Valid if the table is. */
    sr_boot_choice_t choice;
    sr_preflight_image_t app; /**< Valid if the choice is. */
} sr_preflight_work_t;

/** Writes the sentence for a check that failed. @return false, as the check does. */
__attribute__((format(printf, 2, 3))) bool sr_preflight_refuse(sr_preflight_work_t *work, const char *format, ...);

/** sr_preflight_refuse() for a bootloader that cannot be used. */
bool sr_preflight_refuse_bootloader(sr_preflight_work_t *work, sr_image_status_t status);

/** sr_preflight_refuse() for a table that cannot be used. */
bool sr_preflight_refuse_table(sr_preflight_work_t *work);

/** Tells why it is not known which app will boot. */
bool sr_preflight_refuse_choice(sr_preflight_work_t *work);

/** Looks for the traits of the bootloader: work->traits. Reads it once. @return false if it cannot be read. */
bool sr_preflight_find_traits(sr_preflight_work_t *work);

static inline bool sr_preflight_has_table(const sr_preflight_work_t *work)
{
    return work->request->table_offset != SR_PREFLIGHT_NO_TABLE;
}

bool sr_preflight_check_flash_size(sr_preflight_work_t *work);
bool sr_preflight_check_flash_mode(sr_preflight_work_t *work);
bool sr_preflight_check_table(sr_preflight_work_t *work);
bool sr_preflight_check_app(sr_preflight_work_t *work);
bool sr_preflight_check_revision(sr_preflight_work_t *work);
bool sr_preflight_check_version(sr_preflight_work_t *work);
