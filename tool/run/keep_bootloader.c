// SPDX-License-Identifier: Apache-2.0
#include "tool/run/keep_bootloader.h"

#include "sim/nor/flash_buffer.h"
#include "tool/base/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A copy of a flash, with what another one has in front of the table. @return NULL without memory. */
static uint8_t *splice(const uint8_t *flash, const uint8_t *front, uint32_t table, uint32_t size)
{
    uint8_t *copy = flash_memory_new(size);
    if (copy != NULL) {
        memcpy(copy, flash, size);
        memcpy(copy, front, table);
    }
    return copy;
}

static bool starts(const trial_t *trial, const uint8_t *after, uint32_t table, uint32_t app)
{
    boot_result_t boot = {0};
    uint8_t *kept = splice(after, trial->flash->bytes, table, trial->flash->size);
    if (kept == NULL) {
        return false;
    }
    boot_run(&trial->migration->chip, kept, trial->flash->size, NULL, NULL, &boot);
    free(kept);
    return boot_succeeds(&boot) && boot.app_offset == app;
}

/** The plan for a device that has the bundle's bootloader already: what is right is not written. */
static bool plan_without(const trial_t *trial, const uint8_t *after, uint32_t table, esp_self_reflasher_plan_t *plan)
{
    const trial_way_t as_it_is = {0};
    image_file_t flash = *trial->flash;
    migration_t migration = *trial->migration;
    trial_t without = *trial;
    esp_err_t error = ESP_FAIL;
    flash.bytes = splice(trial->flash->bytes, after, table, flash.size);
    migration.running_app = trial->running_app; // that bootloader need not start it
    without.flash = &flash;
    without.migration = &migration;
    const bool asked = flash.bytes != NULL && trial_plan(&without, &as_it_is, plan, &error);
    free(flash.bytes);
    return asked && error == ESP_OK;
}

void keep_bootloader_find(const trial_t *trial, const esp_self_reflasher_plan_t *plan, const uint8_t *after,
                          keep_bootloader_t *advice)
{
    const boot_chip_t *chip = &trial->migration->chip;
    const image_file_t *flash = trial->flash;
    const uint32_t table = boot_table_offset(chip, flash->bytes, flash->size);
    esp_self_reflasher_plan_t without;
    *advice = (keep_bootloader_t){.now_ms_typical = plan->window_ms_typical, .now_ms_maximum = plan->window_ms_maximum};
    if (table >= flash->size || table != boot_table_offset(chip, after, flash->size) ||
        plan->app_address == UINT32_MAX || memcmp(flash->bytes, after, table) == 0 ||
        !starts(trial, after, table, plan->app_address) || !plan_without(trial, after, table, &without)) {
        return;
    }
    advice->window_ms_typical = without.window_ms_typical;
    advice->window_ms_maximum = without.window_ms_maximum;
    advice->helps = without.window_ms_maximum < plan->window_ms_maximum;
}

void keep_bootloader_print(const keep_bootloader_t *advice)
{
    if (!advice->helps) {
        return;
    }
    char text[240];
    snprintf(
        text, sizeof(text),
        "the device's bootloader boots the new system, too: with pack --keep-bootloader the last step takes %.3f s, "
        "at most %.3f s, instead of %.3f s, at most %.3f s",
        advice->window_ms_typical / 1e3, advice->window_ms_maximum / 1e3, advice->now_ms_typical / 1e3,
        advice->now_ms_maximum / 1e3);
    terminal_key("advice");
    terminal_wrap(text, 15, 15);
}

cJSON *keep_bootloader_json(const keep_bootloader_t *advice)
{
    if (!advice->helps) {
        return cJSON_CreateNull();
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "window_ms_typical", advice->window_ms_typical);
    cJSON_AddNumberToObject(json, "window_ms_maximum", advice->window_ms_maximum);
    return json;
}
