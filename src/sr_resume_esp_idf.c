// SPDX-License-Identifier: Apache-2.0
#include "sr_resume_esp_idf.h"

#include "sr_commit.h"
#include "sr_stage.h"
#include "sr_system_esp_idf.h"
#include "sr_unfinished_esp_idf.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"

#include <inttypes.h>
#include <string.h>

#define ATTEMPTS 4u

static const char *TAG = "self_reflasher";

/** All that finishing a record needs, in internal RAM. */
typedef struct resume {
    sr_system_t system;
    sr_stage_t stage;
    sr_writer_t writer;
    uint8_t list[SR_SECTOR_SIZE];
    uint8_t scratch[SR_SECTOR_SIZE];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} resume_t;

static esp_err_t fetch(void *context, const sr_stage_entry_t *entry, uint32_t index, uint8_t *data)
{
    const resume_t *resume = context;
    return sr_stage_read(&resume->stage, entry, index, data);
}

/** A record, and whether a data partition has part of it. */
typedef struct place {
    sr_region_t region;
    bool is_data;
} place_t;

static void look_at_partition(void *context, const esp_partition_t *partition)
{
    place_t *place = context;
    place->is_data |=
        sr_partition_is_data(partition) && sr_region_overlaps(sr_partition_region(partition), place->region);
}

/* Nothing is staged in a data partition of the running system. What looks like a record there may come from anyone who
 * can store a file, and would write the bootloader. */
static esp_err_t load(resume_t *resume)
{
    const sr_stage_t *stage = &resume->stage;
    place_t place = {.region = {stage->address, (SR_STAGE_OVERHEAD + stage->data_sectors) * SR_SECTOR_SIZE}};
    const esp_err_t err = sr_system_visit_partitions(look_at_partition, &place);
    if (err != ESP_OK) {
        return err;
    }
    return place.is_data ? ESP_ERR_NOT_FINISHED : sr_stage_load(&resume->stage, resume->scratch);
}

/* Finds a record that is complete, and that this very app has written. */
static esp_err_t find_record(resume_t *resume)
{
    uint8_t app_id[SR_SHA256_SIZE];
    esp_err_t err = sr_system_app_id(&resume->system, resume->scratch, app_id);
    if (err == ESP_OK) {
        err = sr_stage_find(&resume->stage);
    }
    while (err == ESP_OK) {
        err = load(resume);
        if (err == ESP_OK && memcmp(resume->stage.app_id, app_id, sizeof(resume->stage.app_id)) == 0) {
            return ESP_OK;
        }
        if (err == ESP_OK || err == ESP_ERR_NOT_FINISHED) {
            resume->stage.address += SR_SECTOR_SIZE;
            err = sr_stage_find(&resume->stage);
        }
    }
    return err;
}

static esp_err_t discard(resume_t *resume)
{
    const esp_err_t err = sr_stage_discard(&resume->stage, &resume->writer, resume->scratch);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "staging, sector 0x%" PRIx32 ": %s", resume->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

static esp_err_t finish_record(resume_t *resume)
{
    sr_commit_t commit = {.stage = &resume->stage,
                          .fetch = fetch,
                          .fetch_context = resume,
                          .scratch = resume->scratch,
                          .readback = resume->readback};
    esp_err_t err = sr_commit_prepare(&commit);
    if (err == ESP_OK) {
        err = sr_commit_execute(&commit);
    }
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "resume, sector 0x%" PRIx32 ": %s", commit.failed_address, esp_self_reflasher_err_to_name(err));
    }
    sr_commit_release(&commit);
    if (err == ESP_OK) {
        err = sr_unfinished_settle(&resume->system, &resume->writer, resume->scratch);
    }
    return err == ESP_OK ? discard(resume) : err;
}

static esp_err_t run(resume_t *resume, esp_self_reflasher_may_commit_t may_commit, void *user_ctx, bool *finished)
{
    *finished = false;
    esp_err_t err = sr_system_look(&resume->system);
    if (err != ESP_OK) {
        return err;
    }
    resume->stage = (sr_stage_t){.flash = &resume->system.flash, .list = resume->list};
    resume->writer = (sr_writer_t){.flash = &resume->system.flash, .readback = resume->readback, .attempts = ATTEMPTS};
    err = find_record(resume);
    if (err == ESP_ERR_NOT_FOUND) {
        return ESP_OK;
    }
    if (err == ESP_OK && !(may_commit != NULL ? may_commit(user_ctx) : sr_system_supply_is_steady())) {
        return ESP_ERR_SELF_REFLASHER_NOT_NOW;
    }
    if (err == ESP_OK) {
        ESP_LOGW(TAG, "finishing what was interrupted, from the record at 0x%" PRIx32, resume->stage.address);
        err = finish_record(resume);
        *finished = err == ESP_OK;
    }
    return err;
}

esp_err_t sr_resume(esp_self_reflasher_may_commit_t may_commit, void *user_ctx)
{
    resume_t *resume = heap_caps_malloc(sizeof(*resume), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (resume == NULL) {
        return ESP_ERR_NO_MEM;
    }
    bool finished;
    const esp_err_t err = run(resume, may_commit, user_ctx, &finished);
    heap_caps_free(resume);
    if (finished) {
        esp_restart(); /* Table and otadata are others now: what the app knows of them is stale. */
    }
    return err;
}

esp_err_t esp_self_reflasher_resume(void)
{
    return sr_resume(NULL, NULL);
}
