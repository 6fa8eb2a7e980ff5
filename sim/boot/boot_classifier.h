// SPDX-License-Identifier: Apache-2.0
/** @file
 * Tells of a flash content whether it boots the system before a migration, the one after it, or neither.
 *
 * What counts is the code that executes: a bootloader and an app that are those of one of the two systems, byte for
 * byte. Where they lie does not matter: the app may have moved out of the way, the bootloader be the recovery one.
 */
#pragma once

#include "sim/boot/boot_model.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum boot_verdict {
    BOOT_NEITHER, /**< Nothing boots, or code that is neither the old nor the new one. */
    BOOT_OLD,     /**< An old app runs, which may be the new one as well. */
    BOOT_NEW,     /**< The new app runs. */
} boot_verdict_t;

typedef struct boot_classifier {
    const boot_chip_t *chip;
    uint32_t size;
    boot_result_t old_system, new_system;
    boot_code_t other_app; /**< Also of the old system; of length 0: none. */
    uint8_t *scratch;      /**< What a trial boot may write to. After a look: the flash as that boot left it. */
    uint8_t *looked_at;    /**< The flash of the last look that booted, before it booted. */
    uint8_t *old_loader;   /**< Their code, since to compare it is cheaper than to boot. */
    uint8_t *new_loader;
    uint8_t *read; /**< A flag for each page: the last boot depends on it. */
    bool has_looked;
    boot_verdict_t last_verdict;
    boot_result_t last;
    uint32_t boots; /**< How often the boot model was asked. */
} boot_classifier_t;

/** Boots both systems. @return false without memory; boot_classifier_close() is due in both cases. */
bool boot_classifier_open(boot_classifier_t *classifier, const boot_chip_t *chip, uint32_t size, const uint8_t *before,
                          const uint8_t *after);
void boot_classifier_close(boot_classifier_t *classifier);

/** Takes an app for one of the old system though the old flash boots another: the one that runs, until a reset.
 *  @param app NULL: there is none. */
void boot_classifier_accept(boot_classifier_t *classifier, const boot_code_t *app);

/**
 * Boots a copy of a flash, or answers without where that is possible: because the code of neither bootloader is there,
 * or because nothing differs of what the last boot read.
 * @param[out] result What boots, valid unless the verdict is BOOT_NEITHER; may be NULL.
 */
boot_verdict_t boot_classifier_classify(boot_classifier_t *classifier, const uint8_t *flash, boot_result_t *result);

/** True if the last verdict may change with bytes of this range. */
bool boot_classifier_depends_on(const boot_classifier_t *classifier, uint32_t address, uint32_t length);

/** True if a and b are the same bytes, wherever they lie. */
bool boot_same_code(const boot_code_t *a, const boot_code_t *b);
