// SPDX-License-Identifier: Apache-2.0
#include "boot_judge.h"

#include "flash_buffer.h"
#include "sr_region.h"

#include <stdlib.h>
#include <string.h>

static void mark_read(void *context, uint32_t address, uint32_t length)
{
    boot_judge_t *judge = context;
    const uint32_t pages = judge->size / SR_PAGE_SIZE;
    const uint64_t end = (uint64_t)address + length;
    for (uint64_t page = address / SR_PAGE_SIZE; page * SR_PAGE_SIZE < end && page < pages; page++) {
        judge->read[page] = 1;
    }
}

static void boot(boot_judge_t *judge, const uint8_t *flash, boot_result_t *result)
{
    flash_buffer_copy(judge->scratch, flash, judge->size);
    memset(judge->read, 0, judge->size / SR_PAGE_SIZE);
    boot_run(judge->chip, judge->scratch, judge->size, mark_read, judge, result);
    judge->boots++;
}

/** Boots one of the two systems; @return a copy of its bootloader, NULL without memory. */
static uint8_t *boot_system(boot_judge_t *judge, const uint8_t *flash, boot_result_t *system)
{
    boot(judge, flash, system);
    const boot_code_t *code = &system->bootloader;
    uint8_t *loader = malloc(code->length + 1u);
    if (loader != NULL && boot_succeeds(system)) {
        memcpy(loader, judge->scratch + code->address, code->length);
    }
    return loader;
}

bool boot_judge_open(boot_judge_t *judge, const boot_chip_t *chip, uint32_t size, const uint8_t *before,
                     const uint8_t *after)
{
    *judge = (boot_judge_t){.chip = chip, .size = size};
    judge->scratch = flash_buffer_new(size);
    judge->looked_at = flash_buffer_new(size);
    judge->read = malloc(size / SR_PAGE_SIZE);
    if (judge->scratch == NULL || judge->looked_at == NULL || judge->read == NULL) {
        return false;
    }
    judge->old_loader = boot_system(judge, before, &judge->old_system);
    judge->new_loader = boot_system(judge, after, &judge->new_system);
    return judge->old_loader != NULL && judge->new_loader != NULL;
}

void boot_judge_close(boot_judge_t *judge)
{
    flash_buffer_delete(judge->scratch, judge->size);
    flash_buffer_delete(judge->looked_at, judge->size);
    free(judge->old_loader);
    free(judge->new_loader);
    free(judge->read);
    *judge = (boot_judge_t){0};
}

void boot_judge_accept(boot_judge_t *judge, const boot_code_t *app)
{
    judge->other_app = app != NULL ? *app : (boot_code_t){0};
}

bool boot_same_code(const boot_code_t *a, const boot_code_t *b)
{
    return a->length == b->length && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

static bool holds_loader_at(const boot_judge_t *judge, const uint8_t *flash, uint32_t address, uint32_t length,
                            const uint8_t *loader)
{
    return sr_region_fits((sr_region_t){address, length}, judge->size) && memcmp(flash + address, loader, length) == 0;
}

/** A cheap question that settles most states in the middle of a rewrite: is this bootloader there at all? */
static bool holds_loader(const boot_judge_t *judge, const uint8_t *flash, const boot_result_t *system,
                         const uint8_t *loader)
{
    const uint32_t length = system->bootloader.length;
    return boot_succeeds(system) &&
           (holds_loader_at(judge, flash, judge->chip->chip->bootloader_offset, length, loader) ||
            (judge->chip->recovery != 0 && holds_loader_at(judge, flash, judge->chip->recovery, length, loader)));
}

/** In whichever of the places where the ROM looks. */
static bool is_loader_of(const boot_result_t *result, const boot_result_t *system)
{
    return boot_succeeds(system) && boot_same_code(&result->bootloader, &system->bootloader);
}

static boot_verdict_t verdict_on(const boot_judge_t *judge, const boot_result_t *result)
{
    const boot_result_t *old_system = &judge->old_system;
    const boot_result_t *new_system = &judge->new_system;
    if (!boot_succeeds(result) || !(is_loader_of(result, old_system) || is_loader_of(result, new_system))) {
        return BOOT_NEITHER;
    }
    if (boot_succeeds(old_system) &&
        (boot_same_code(&result->app, &old_system->app) ||
         (judge->other_app.length > 0 && boot_same_code(&result->app, &judge->other_app)))) {
        return BOOT_OLD;
    }
    return boot_succeeds(new_system) && boot_same_code(&result->app, &new_system->app) ? BOOT_NEW : BOOT_NEITHER;
}

static bool reads_the_same(const boot_judge_t *judge, const uint8_t *flash)
{
    for (uint32_t page = 0; page < judge->size / SR_PAGE_SIZE; page++) {
        const uint32_t address = page * SR_PAGE_SIZE;
        if (judge->read[page] && memcmp(flash + address, judge->looked_at + address, SR_PAGE_SIZE) != 0) {
            return false;
        }
    }
    return true;
}

boot_verdict_t boot_judge_look(boot_judge_t *judge, const uint8_t *flash, boot_result_t *result)
{
    if (!holds_loader(judge, flash, &judge->old_system, judge->old_loader) &&
        !holds_loader(judge, flash, &judge->new_system, judge->new_loader)) {
        judge->has_looked = false; // any operation may be the one that repairs it
        return BOOT_NEITHER;
    }
    if (!judge->has_looked || !reads_the_same(judge, flash)) {
        flash_buffer_copy(judge->looked_at, flash, judge->size);
        boot(judge, flash, &judge->last);
        judge->last_verdict = verdict_on(judge, &judge->last);
        judge->has_looked = true;
    }
    if (result != NULL) {
        *result = judge->last;
    }
    return judge->last_verdict;
}

bool boot_judge_depends_on(const boot_judge_t *judge, uint32_t address, uint32_t length)
{
    if (!judge->has_looked || length == 0) {
        return !judge->has_looked;
    }
    const uint32_t first = address / SR_PAGE_SIZE;
    const uint32_t last = (address + length - 1) / SR_PAGE_SIZE;
    return memchr(judge->read + first, 1, last - first + 1) != NULL;
}
