// SPDX-License-Identifier: Apache-2.0
/** @file
 * Classifies a flash content: does it boot the system before a migration, the one after it, or neither?
 *
 * What counts is the code that executes: a bootloader and an app that are those of one of the two systems, byte for
 * byte. Where they lie does not matter: the app may have moved out of the way, the bootloader be the recovery one.
 */
#pragma once

#include "sim/boot/boot_model.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum boot_verdict {
    BOOT_NEITHER, /**< Nothing boots, or code that is part of neither the old nor the new system. */
    BOOT_OLD,     /**< An old app runs, which may be the new one as well. */
    BOOT_NEW,     /**< The new app runs. */
    BOOT_BACK,    /**< The app runs that the old bootloader goes back to, as the old app has not confirmed itself, or
                       is about to. */
} boot_verdict_t;

typedef struct boot_classifier {
    const boot_chip_t *chip;
    uint32_t size;
    boot_result_t old_system, new_system;
    boot_code_t other_app; /**< An app that also counts as of the old system; of length 0: none. */
    boot_code_t back_app;  /**< What that is, if it is another than the old app; of length 0: none. */
    uint8_t *scratch;      /**< What a trial boot may write to. */
    uint8_t *looked_at;    /**< The flash that was classified last and booted, as it was before that boot. */
    uint8_t *old_loader;   /**< Their code: comparing is cheaper than booting. */
    uint8_t *new_loader;
    uint8_t *read; /**< A flag for each page: the last boot depends on it. */
    bool has_looked;
    boot_verdict_t last_verdict;
    boot_result_t last;
    uint32_t boots; /**< Number of boots of the boot model. */
} boot_classifier_t;

/** Boots both systems. @return false without memory; boot_classifier_close() is due in both cases. */
bool boot_classifier_open(boot_classifier_t *classifier, const boot_chip_t *chip, uint32_t size, const uint8_t *before,
                          const uint8_t *after);
void boot_classifier_close(boot_classifier_t *classifier);

/** Lets an app count as one of the old system, although the old flash boots another: the app that runs until a reset.
 *  @param app NULL: there is none. */
void boot_classifier_accept(boot_classifier_t *classifier, const boot_code_t *app);

/**
 * Boots a copy of a flash, or answers without a boot where that is possible: if the code of neither bootloader is
 * there, or if nothing that the last boot read has changed.
 * @param[out] result What boots, valid unless the verdict is BOOT_NEITHER; may be NULL.
 */
boot_verdict_t boot_classifier_classify(boot_classifier_t *classifier, const uint8_t *flash, boot_result_t *result);

/** True if the last verdict may change when bytes of this range do. */
bool boot_classifier_depends_on(const boot_classifier_t *classifier, uint32_t address, uint32_t length);

/** True if the app is the one that the old bootloader goes back to, which may be the new one as well. */
bool boot_classifier_is_back(const boot_classifier_t *classifier, const boot_result_t *result);

/** True if a and b are the same bytes, wherever they lie. */
bool boot_same_code(const boot_code_t *a, const boot_code_t *b);
