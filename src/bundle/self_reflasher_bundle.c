// SPDX-License-Identifier: Apache-2.0
#include "self_reflasher_bundle.h"

#include "bundle/sr_migration_internal.h"
#include "flash/sr_flash_size.h"
#include "journal/sr_resume.h"

#include "esp_check.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/* A copy of the config: a callback may write to its caller's config at any time. */
typedef struct own_config {
    esp_self_reflasher_bundle_config_t config;
    esp_http_client_config_t http;
} own_config_t;

/* A plan of its own, too, because it says what is done. All of this is too large for a task's stack. */
typedef struct job {
    esp_self_reflasher_plan_t plan;
    sr_migration_t migration;
} job_t;

/* One call at a time, callbacks included: the first one would not know what a second one changes. */
static bool busy;

static esp_err_t enter(void)
{
    ESP_RETURN_ON_FALSE(!__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE), ESP_ERR_INVALID_STATE, TAG,
                        "refused: another call of this API has not returned yet");
    return ESP_OK;
}

static void leave(void)
{
    sr_flash_size_restore();
    __atomic_clear(&busy, __ATOMIC_RELEASE);
}

static const esp_self_reflasher_plan_t nothing_known = {.relocate_to = UINT32_MAX,
                                                        .staging_address = UINT32_MAX,
                                                        .recovery_address = UINT32_MAX,
                                                        .app_address = UINT32_MAX};

static void copy_config(own_config_t *own, const esp_self_reflasher_bundle_config_t *config)
{
    own->config = *config;
    if (config->http_config != NULL) {
        own->http = *config->http_config;
        own->config.http_config = &own->http;
    }
}

static esp_err_t new_job(job_t **job)
{
    *job = heap_caps_malloc(sizeof(**job), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    ESP_RETURN_ON_FALSE(*job != NULL, ESP_ERR_NO_MEM, TAG, "no memory for a migration");
    (*job)->plan = nothing_known;
    return ESP_OK;
}

static esp_err_t look(job_t *job, const own_config_t *own)
{
    const esp_err_t err = sr_migration_open(&job->migration, &own->config, &job->plan);
    return err == ESP_OK ? sr_migration_check(&job->migration) : err;
}

static void tell_plan(const job_t *job, esp_self_reflasher_plan_t *plan)
{
    if (plan != NULL) {
        *plan = job->plan;
    }
}

/* The app comes up again from its new place, and whoever called here calls again; or it stays where it is. */
static esp_err_t relocate(job_t *job)
{
    const bool restarts = job->migration.choice.relocation.method->restarts;
    if (restarts) {
        sr_decoder_drop(&job->migration.input.decoder); /* The copy needs the memory. */
    }
    const esp_err_t err = sr_migration_relocate(&job->migration);
    if (err == ESP_OK && restarts) {
        sr_migration_close(&job->migration);
        heap_caps_free(job);
        esp_restart();
    }
    return err;
}

esp_err_t esp_self_reflasher_plan_bundle(const esp_self_reflasher_bundle_config_t *config,
                                         esp_self_reflasher_plan_t *plan)
{
    job_t *job = NULL;
    if (plan != NULL) {
        *plan = nothing_known;
    }
    ESP_RETURN_ON_FALSE(config != NULL && plan != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config or plan is NULL");
    own_config_t own;
    copy_config(&own, config);
    esp_err_t err = enter();
    if (err != ESP_OK) {
        return err;
    }
    err = new_job(&job);
    if (err == ESP_OK) {
        err = look(job, &own);
        tell_plan(job, plan);
        sr_migration_close(&job->migration);
    }
    heap_caps_free(job);
    leave();
    return err;
}

static esp_err_t apply(job_t *job, const own_config_t *own, esp_self_reflasher_plan_t *plan)
{
    esp_err_t err = look(job, own);
    tell_plan(job, plan);
    if (err == ESP_OK && job->plan.sectors_to_write > 0) {
        ESP_LOGI(TAG, "%" PRIu32 " of %" PRIu32 " sectors to write, %" PRIu32 " of them on the boot path",
                 job->plan.sectors_to_write, job->plan.sectors_total, job->plan.sectors_boot_path);
        err = job->migration.choice.relocation.method != NULL ? relocate(job) : sr_migration_run(&job->migration);
    } else if (err == ESP_OK) {
        err = sr_migration_clear_mark(&job->migration); /* An earlier call did all but the restart. */
    }
    job->migration.run.progress.error = err;
    sr_migration_tell(&job->migration, err == ESP_OK ? ESP_SELF_REFLASHER_EVENT_DONE : ESP_SELF_REFLASHER_EVENT_FAILED);
    tell_plan(job, plan);
    sr_migration_close(&job->migration);
    return err;
}

esp_err_t esp_self_reflasher_apply_bundle(const esp_self_reflasher_bundle_config_t *config,
                                          esp_self_reflasher_plan_t *plan)
{
    job_t *job = NULL;
    if (plan != NULL) {
        *plan = nothing_known;
    }
    ESP_RETURN_ON_FALSE(config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config is NULL");
    own_config_t own;
    copy_config(&own, config);
    esp_err_t err = enter();
    if (err != ESP_OK) {
        return err;
    }
    /* A record that is sealed may hold the only copy of data that moves: it is finished, never started afresh. */
    bool stuck;
    err = sr_resume(&own.config, &stuck);
    if (err == ESP_OK || stuck) {
        err = new_job(&job);
    }
    if (err == ESP_OK) {
        err = apply(job, &own, plan);
    }
    heap_caps_free(job);
    leave();
    return err;
}

esp_err_t esp_self_reflasher_resume(const esp_self_reflasher_bundle_config_t *config)
{
    bool stuck;
    ESP_RETURN_ON_FALSE(config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config is NULL");
    ESP_RETURN_ON_FALSE(config->public_key != NULL || (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) != 0,
                        ESP_ERR_INVALID_ARG, TAG,
                        "refused: neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED");
    esp_err_t err = enter();
    if (err == ESP_OK) {
        err = sr_resume(config, &stuck);
        leave();
    }
    return err;
}
