// SPDX-License-Identifier: Apache-2.0
/** @file
 * The first start of a bootloader that was built with Flash Encryption, after a migration: what it encrypts, how long
 * that takes, and what a power loss does.
 */
#pragma once

#include "sim/boot/first_encryption.h"

#include <cjson/cJSON.h>

typedef struct first_encryption_report {
    first_encryption_plan_t plan;
    first_encryption_result_t result; /**< Zero if the plan has a fault. */
    boot_result_t boot;               /**< What boots afterwards; of the flash before, if the plan has a fault. */
    bool good;                        /**< The same app as without encryption. */
    nor_flash_t *flash;               /**< As it is then. */
} first_encryption_report_t;

/**
 * Lets the bootloader encrypt a copy of a flash, if nothing is in its way.
 * @param chip With `first_encryption`.
 * @param flash As a migration has left it.
 * @return NULL without memory. Freed with first_encryption_report_free().
 */
first_encryption_report_t *first_encryption_report_make(const boot_chip_t *chip, const uint8_t *flash, uint32_t size,
                                                        const nor_timing_t *timing,
                                                        const first_encryption_losses_t *losses);
/** @param report May be NULL. */
void first_encryption_report_free(first_encryption_report_t *report);

/** Warns of a new bootloader that says it would do so, on a chip of which nobody has told. */
void first_encryption_report_warn(const boot_chip_t *chip, const uint8_t *flash, uint32_t size);

void first_encryption_report_print(const first_encryption_report_t *report);

/** Times in milliseconds. @param report May be NULL: gives null. */
cJSON *first_encryption_report_json(const first_encryption_report_t *report);
