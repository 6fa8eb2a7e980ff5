// SPDX-License-Identifier: Apache-2.0
#include "self_reflasher_bundle.h"

#include "sr_migration_internal.h"

#include "esp_check.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/* A migration is too large for a task's stack. */
static esp_err_t start(const esp_self_reflasher_bundle_config_t *config, esp_self_reflasher_plan_t *plan,
                       sr_migration_t **migration)
{
    *migration = heap_caps_malloc(sizeof(**migration), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    ESP_RETURN_ON_FALSE(*migration != NULL, ESP_ERR_NO_MEM, TAG, "no memory for a migration");
    const esp_err_t err = sr_migration_open(*migration, config, plan);
    return err == ESP_OK ? sr_migration_check(*migration) : err;
}

static void finish(sr_migration_t *migration)
{
    if (migration != NULL) {
        sr_migration_close(migration);
        heap_caps_free(migration);
    }
}

static bool moves(const esp_self_reflasher_plan_t *plan)
{
    return plan->relocation == ESP_SELF_REFLASHER_RELOCATION_SLOT ||
           plan->relocation == ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE;
}

/* The app comes up again from its new place, and whoever called here calls again. */
static esp_err_t relocate(sr_migration_t *migration)
{
    const esp_err_t err = sr_migration_make_way(migration);
    if (err == ESP_OK) {
        finish(migration);
        esp_restart();
    }
    return err;
}

esp_err_t esp_self_reflasher_plan_bundle(const esp_self_reflasher_bundle_config_t *config,
                                         esp_self_reflasher_plan_t *plan)
{
    sr_migration_t *migration = NULL;
    ESP_RETURN_ON_FALSE(config != NULL && plan != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config or plan is NULL");
    const esp_err_t err = start(config, plan, &migration);
    finish(migration);
    return err;
}

esp_err_t esp_self_reflasher_apply_bundle(const esp_self_reflasher_bundle_config_t *config,
                                          esp_self_reflasher_plan_t *plan)
{
    sr_migration_t *migration = NULL;
    esp_self_reflasher_plan_t own_plan;
    ESP_RETURN_ON_FALSE(config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config is NULL");
    if (plan == NULL) {
        plan = &own_plan;
    }
    *plan = (esp_self_reflasher_plan_t){
        .relocate_to = UINT32_MAX, .staging_address = UINT32_MAX, .recovery_address = UINT32_MAX};
    /* A record that is sealed may hold the only copy of data that moves: it is finished, never begun anew. */
    esp_err_t err = esp_self_reflasher_resume(config);
    if (err == ESP_OK) {
        err = start(config, plan, &migration);
    }
    if (err == ESP_OK && plan->sectors_to_write > 0) {
        ESP_LOGI(TAG, "%" PRIu32 " of %" PRIu32 " sectors to write, %" PRIu32 " of them on the boot path",
                 plan->sectors_to_write, plan->sectors_total, plan->sectors_boot_path);
        err = moves(plan) ? relocate(migration) : sr_migration_run(migration);
    }
    if (migration != NULL) {
        migration->progress.error = err;
        sr_migration_tell(migration, err == ESP_OK ? ESP_SELF_REFLASHER_EVENT_DONE : ESP_SELF_REFLASHER_EVENT_FAILED);
    }
    finish(migration);
    return err;
}
