// SPDX-License-Identifier: Apache-2.0
#include "tool/run/field_app.h"

#include "esp_system.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// app_main() has no parameters, on the chip as here
static const migration_t *chosen;

void field_app_set(const migration_t *migration)
{
    chosen = migration;
}

/** A digest of all destinations. What downloads leave in staging does not count as a change. */
static bool digest_destinations(uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    for (size_t i = 0; i < chosen->step_count; i++) {
        const addr_region_t place = chosen->steps[i].destination;
        const uint32_t size = nor_flash_size(sim_chip()->flash);
        if (place.region_size <= size && place.region_address <= size - place.region_size) {
            sr_sha256_update(&sha, nor_flash_view(sim_chip()->flash) + place.region_address, place.region_size);
        }
    }
    return sr_sha256_finish(&sha, digest) == 0;
}

/** Does what ESP_ERROR_CHECK() does, without a message. */
static void must(bool good)
{
    if (!good) {
        abort();
    }
}

/** @return true if something was changed */
static bool run_steps(void)
{
    uint8_t before[SR_SHA256_SIZE];
    uint8_t after[SR_SHA256_SIZE];
    esp_self_reflasher_handle_t handle = NULL;
    must(digest_destinations(before));
    for (size_t i = 0; i < chosen->step_count; i++) {
        must(migration_step(chosen, &chosen->steps[i], &handle) == ESP_OK);
    }
    if (handle != NULL) {
        esp_self_reflasher_deinit(handle);
    }
    must(digest_destinations(after));
    return memcmp(before, after, sizeof(after)) != 0;
}

/** @return true if something was changed */
static bool apply_bundle(void)
{
    esp_self_reflasher_plan_t plan;
    esp_self_reflasher_bundle_config_t config;
    must(migration_bundle_now(chosen, &config) == ESP_OK);
    must(esp_self_reflasher_resume(&config) == ESP_OK);
    migration_confirm(chosen, &config);
    must(esp_self_reflasher_apply_bundle(&config, &plan) == ESP_OK);
    return plan.sectors_to_write > 0;
}

void field_app_main(void)
{
    const int silence = chosen->show_log ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (silence >= 0) {
        dup2(silence, STDERR_FILENO);
    }
    if (chosen->bundle != NULL ? apply_bundle() : run_steps()) {
        esp_restart();
    }
}
