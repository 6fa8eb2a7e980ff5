// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_classifier.h"

#include "format/sr_boot_choice.h"
#include "format/sr_otadata.h"
#include "format/sr_region.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"

#include <stdlib.h>
#include <string.h>

#define OTADATA_SIZE (2u * SR_SECTOR_SIZE)

static void mark_read(void *context, uint32_t address, uint32_t length)
{
    boot_classifier_t *classifier = context;
    const uint32_t pages = classifier->size / SR_PAGE_SIZE;
    const uint64_t end = (uint64_t)address + length;
    for (uint64_t page = address / SR_PAGE_SIZE; page * SR_PAGE_SIZE < end && page < pages; page++) {
        classifier->read[page] = 1;
    }
}

/** @return the flash as the boot left it. */
static const uint8_t *boot(boot_classifier_t *classifier, const uint8_t *flash, boot_result_t *result)
{
    memset(classifier->read, 0, classifier->size / SR_PAGE_SIZE);
    classifier->boots++;
    return boot_run_aside(classifier->chip, flash, classifier->scratch, classifier->size, mark_read, classifier,
                          result);
}

bool boot_same_code(const boot_code_t *a, const boot_code_t *b)
{
    return a->length == b->length && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

/** Boots one of the two systems. @param booted The flash as that left it. @return a copy of its bootloader, NULL
 * without memory. */
static uint8_t *boot_system(boot_classifier_t *classifier, const uint8_t *flash, boot_result_t *system,
                            const uint8_t **booted)
{
    *booted = boot(classifier, flash, system);
    const boot_code_t *code = &system->bootloader;
    uint8_t *loader = malloc(code->length + 1u);
    if (loader != NULL && boot_succeeds(system)) {
        memcpy(loader, boot_plain(classifier->chip, *booted, classifier->size, code->address, code->length),
               code->length);
    }
    return loader;
}

/** Erases the entry of otadata that selects the app. */
static void lose_selection(const boot_classifier_t *classifier, uint8_t *flash)
{
    const boot_chip_t *chip = classifier->chip;
    uint32_t offset;
    sr_partition_table_t table;
    sr_otadata_t otadata;
    const sr_partition_table_entry_t *place =
        boot_plain_table(chip, flash, classifier->size, &offset, &table) ? sr_boot_choice_otadata(&table) : NULL;
    if (place == NULL || place->size < OTADATA_SIZE) {
        return;
    }
    const sr_reader_t reader =
        sr_reader_memory(boot_plain(chip, flash, classifier->size, place->address, OTADATA_SIZE), OTADATA_SIZE);
    const int active = sr_otadata_read(&reader, &otadata) == 0 ? sr_otadata_active(&otadata) : -1;
    if (active >= 0) {
        memset(flash + place->address + (uint32_t)active * SR_SECTOR_SIZE, 0xFF, SR_SECTOR_SIZE);
    }
}

/** With rollback an app that does not confirm itself runs once, and while one confirms itself, nothing selects it.
 * @param booted The old flash, as its first start left it. */
static void find_way_back(boot_classifier_t *classifier, const uint8_t *booted)
{
    const boot_chip_t *chip = classifier->chip;
    boot_result_t again;
    if (!(chip->rollback || chip->confirms) || !boot_succeeds(&classifier->old_system)) {
        return;
    }
    flash_buffer_copy(classifier->looked_at, booted, classifier->size);
    if (!chip->rollback) {
        lose_selection(classifier, classifier->looked_at);
    }
    (void)boot(classifier, classifier->looked_at, &again);
    if (boot_succeeds(&again) && boot_same_code(&again.bootloader, &classifier->old_system.bootloader) &&
        !boot_same_code(&again.app, &classifier->old_system.app)) {
        classifier->back_app = again.app;
    }
}

bool boot_classifier_open(boot_classifier_t *classifier, const boot_chip_t *chip, uint32_t size, const uint8_t *before,
                          const uint8_t *after)
{
    *classifier = (boot_classifier_t){.chip = chip, .size = size};
    classifier->scratch = flash_buffer_new(size);
    classifier->looked_at = flash_buffer_new(size);
    classifier->read = malloc(size / SR_PAGE_SIZE);
    if (classifier->scratch == NULL || classifier->looked_at == NULL || classifier->read == NULL) {
        return false;
    }
    const uint8_t *booted;
    classifier->old_loader = boot_system(classifier, before, &classifier->old_system, &booted);
    find_way_back(classifier, booted);
    classifier->new_loader = boot_system(classifier, after, &classifier->new_system, &booted);
    return classifier->old_loader != NULL && classifier->new_loader != NULL;
}

void boot_classifier_close(boot_classifier_t *classifier)
{
    flash_buffer_delete(classifier->scratch, classifier->size);
    flash_buffer_delete(classifier->looked_at, classifier->size);
    free(classifier->old_loader);
    free(classifier->new_loader);
    free(classifier->read);
    *classifier = (boot_classifier_t){0};
}

void boot_classifier_accept(boot_classifier_t *classifier, const boot_code_t *app)
{
    classifier->other_app = app != NULL ? *app : (boot_code_t){0};
}

bool boot_classifier_is_back(const boot_classifier_t *classifier, const boot_result_t *result)
{
    return classifier->back_app.length > 0 && boot_same_code(&result->app, &classifier->back_app);
}

static bool holds_loader_at(const boot_classifier_t *classifier, const uint8_t *flash, uint32_t address,
                            uint32_t length, const uint8_t *loader)
{
    return sr_region_fits((sr_region_t){address, length}, classifier->size) &&
           memcmp(boot_plain(classifier->chip, flash, classifier->size, address, length), loader, length) == 0;
}

/** A cheap test that settles most states in the middle of a rewrite: true if this bootloader is there at all. */
static bool holds_loader(const boot_classifier_t *classifier, const uint8_t *flash, const boot_result_t *system,
                         const uint8_t *loader)
{
    const uint32_t length = system->bootloader.length;
    return boot_succeeds(system) &&
           (holds_loader_at(classifier, flash, classifier->chip->chip->bootloader_offset, length, loader) ||
            (classifier->chip->recovery != 0 &&
             holds_loader_at(classifier, flash, classifier->chip->recovery, length, loader)));
}

/** True if it is in one of the places where the ROM looks. */
static bool is_loader_of(const boot_result_t *result, const boot_result_t *system)
{
    return boot_succeeds(system) && boot_same_code(&result->bootloader, &system->bootloader);
}

static boot_verdict_t verdict_on(const boot_classifier_t *classifier, const boot_result_t *result)
{
    const boot_result_t *old_system = &classifier->old_system;
    const boot_result_t *new_system = &classifier->new_system;
    if (!boot_succeeds(result) || !(is_loader_of(result, old_system) || is_loader_of(result, new_system))) {
        return BOOT_NEITHER;
    }
    if (boot_succeeds(old_system) &&
        (boot_same_code(&result->app, &old_system->app) ||
         (classifier->other_app.length > 0 && boot_same_code(&result->app, &classifier->other_app)))) {
        return BOOT_OLD;
    }
    if (boot_succeeds(new_system) && boot_same_code(&result->app, &new_system->app)) {
        return BOOT_NEW;
    }
    return boot_classifier_is_back(classifier, result) ? BOOT_BACK : BOOT_NEITHER;
}

static bool reads_the_same(const boot_classifier_t *classifier, const uint8_t *flash)
{
    for (uint32_t page = 0; page < classifier->size / SR_PAGE_SIZE; page++) {
        const uint32_t address = page * SR_PAGE_SIZE;
        if (classifier->read[page] && memcmp(flash + address, classifier->looked_at + address, SR_PAGE_SIZE) != 0) {
            return false;
        }
    }
    return true;
}

static void remember_what_was_read(boot_classifier_t *classifier, const uint8_t *flash)
{
    for (uint32_t page = 0; page < classifier->size / SR_PAGE_SIZE; page++) {
        if (classifier->read[page]) {
            memcpy(classifier->looked_at + page * SR_PAGE_SIZE, flash + page * SR_PAGE_SIZE, SR_PAGE_SIZE);
        }
    }
}

boot_verdict_t boot_classifier_classify(boot_classifier_t *classifier, const uint8_t *flash, boot_result_t *result)
{
    if (!holds_loader(classifier, flash, &classifier->old_system, classifier->old_loader) &&
        !holds_loader(classifier, flash, &classifier->new_system, classifier->new_loader)) {
        classifier->has_looked = false; // any operation may be the one that repairs it
        return BOOT_NEITHER;
    }
    if (!classifier->has_looked || !reads_the_same(classifier, flash)) {
        (void)boot(classifier, flash, &classifier->last);
        remember_what_was_read(classifier, flash);
        classifier->last_verdict = verdict_on(classifier, &classifier->last);
        classifier->has_looked = true;
    }
    if (result != NULL) {
        *result = classifier->last;
    }
    return classifier->last_verdict;
}

bool boot_classifier_depends_on(const boot_classifier_t *classifier, uint32_t address, uint32_t length)
{
    if (!classifier->has_looked || length == 0) {
        return !classifier->has_looked;
    }
    const uint32_t first = address / SR_PAGE_SIZE;
    const uint32_t last = (address + length - 1) / SR_PAGE_SIZE;
    return memchr(classifier->read + first, 1, last - first + 1) != NULL;
}
