// SPDX-License-Identifier: Apache-2.0
#include "journal/sr_resume.h"

#include "flash/sr_flash_size.h"
#include "journal/sr_abandon.h"
#include "journal/sr_commit.h"
#include "journal/sr_install_mark.h"
#include "journal/sr_journal.h"
#include "journal/sr_verification.h"
#include "port/sr_yield.h"
#include "system/sr_system.h"

#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"

#include <inttypes.h>
#include <stddef.h>

static const char *TAG = "self_reflasher";

/** All that finishing a record needs, in internal RAM. */
typedef struct resume {
    sr_system_t system;
    sr_journal_t journal;
    sr_writer_t writer;
    sr_verification_t verification;
    bool finished; /**< The chip has to be restarted. */
    bool stuck;
    uint8_t list[SR_SECTOR_SIZE];
    _Alignas(max_align_t) uint8_t scratch[SR_SECTOR_SIZE];
    uint8_t readback[SR_WRITER_READBACK_SIZE];
} resume_t;

static esp_err_t fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data)
{
    const resume_t *resume = context;
    return sr_journal_read(&resume->journal, entry, index, data);
}

static void free_proof(resume_t *resume)
{
    heap_caps_free(resume->journal.digests);
    heap_caps_free(resume->verification.moves.list);
    sr_flash_layout_free(resume->verification.target.layout);
    resume->verification.target.layout = NULL;
    resume->journal.digests = NULL;
    resume->verification.moves = (sr_moves_t){0};
}

static esp_err_t prove(resume_t *resume, sr_record_status_t *status)
{
    const esp_err_t err = sr_verification_check(&resume->verification, status);
    sr_verification_release(&resume->verification);
    if (err == ESP_OK && *status != SR_RECORD_OK) {
        ESP_LOGW(TAG, "record at 0x%" PRIx32 " is not believed: it %s%s%s", resume->journal.address,
                 sr_record_status_text(*status), resume->verification.reason[0] != '\0' ? ": " : "",
                 resume->verification.reason);
    }
    if (err != ESP_OK || *status != SR_RECORD_OK) {
        free_proof(resume);
    }
    return err;
}

/* Finds a record that can be believed. */
static esp_err_t find_record(resume_t *resume)
{
    sr_record_status_t status = SR_RECORD_NOT_SEALED;
    esp_err_t err = sr_system_app_id(&resume->system, resume->scratch, resume->verification.app_id);
    if (err == ESP_OK) {
        err = sr_journal_find(&resume->journal);
    }
    while (err == ESP_OK) {
        err = prove(resume, &status);
        if (err != ESP_OK || status == SR_RECORD_OK) {
            return err;
        }
        resume->journal.address += SR_SECTOR_SIZE;
        err = sr_journal_find(&resume->journal);
    }
    return err;
}

static esp_err_t commit(resume_t *resume)
{
    sr_commit_t commit = {.journal = &resume->journal,
                          .flash = &resume->verification.target,
                          .fetch = fetch,
                          .fetch_context = resume,
                          .scratch = resume->scratch,
                          .readback = resume->readback};
    esp_err_t err = sr_commit_prepare(&commit);
    if (err == ESP_OK) {
        err = sr_commit_execute(&commit);
    }
    sr_commit_release(&commit);
    if (err == ESP_OK) {
        return ESP_OK;
    }
    const sr_abandon_t abandon = {.journal = &resume->journal,
                                  .writer = &resume->writer,
                                  .scratch = resume->scratch,
                                  .moves = &resume->verification.moves,
                                  .moves_are_known = resume->verification.moves_are_known,
                                  .cause = err,
                                  .failed_address = commit.failed_address};
    return sr_abandon(&abandon, &resume->stuck);
}

static esp_err_t tell(const resume_t *resume, const char *what, esp_err_t err)
{
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "%s, sector 0x%" PRIx32 ": %s", what, resume->writer.failed_address,
                 esp_self_reflasher_err_to_name(err));
    }
    return err;
}

/* What is still not as it must be, as another app has changed it since, the mark brings with the next apply. */
static void settle_mark(resume_t *resume)
{
    static const uint8_t nobody[SR_BUNDLE_DIGEST_SIZE] = {0};
    const uint8_t *const ids[] = {nobody, resume->verification.mark.id};
    for (unsigned i = 0; i < (resume->verification.initial_is_right ? 2u : 1u); i++) {
        (void)tell(resume, "mark of the installation",
                   sr_install_mark_remove(&resume->system, &resume->writer, ids[i], resume->scratch));
    }
}

/* A record that cannot be erased was finished all the same. At the next start nothing of it is left to do, and it is
 * no reason to restart again. Nor is a mark that stays one to write all of it again. */
static esp_err_t finish_record(resume_t *resume, bool done)
{
    const esp_err_t err = done ? ESP_OK : commit(resume);
    if (err != ESP_OK) {
        return err;
    }
    settle_mark(resume);
    const esp_err_t discarded =
        tell(resume, "staging", sr_journal_discard(&resume->journal, &resume->writer, resume->scratch));
    resume->finished = !done || discarded == ESP_OK;
    return ESP_OK;
}

/* Only what changes the boot path needs a steady supply: a record of which nothing is left to do would undo, at the
 * next start, what the app writes until then. */
static esp_err_t ask(const esp_self_reflasher_bundle_config_t *config, bool done)
{
    const bool may =
        done || (config->may_commit != NULL ? config->may_commit(config->user_ctx) : sr_system_supply_is_steady());
    return may ? ESP_OK : ESP_ERR_SELF_REFLASHER_NOT_NOW;
}

static esp_err_t take_record(resume_t *resume, const esp_self_reflasher_bundle_config_t *config)
{
    bool done = resume->verification.is_over;
    esp_err_t err = done ? ESP_OK : sr_verification_is_done(&resume->verification, &done);
    if (err == ESP_OK) {
        err = ask(config, done);
    }
    if (err == ESP_OK) {
        ESP_LOGW(TAG, "finishing what was interrupted, from the record at 0x%" PRIx32, resume->journal.address);
        err = finish_record(resume, done);
    }
    return err;
}

static esp_err_t run(resume_t *resume, const esp_self_reflasher_bundle_config_t *config)
{
    resume->finished = false;
    resume->stuck = false;
    esp_err_t err = sr_system_read(&resume->system);
    if (err != ESP_OK) {
        return err;
    }
    sr_flash_size_extend(&resume->system.flash); /* The record may lie past what today's bootloader knows of. */
    resume->journal = (sr_journal_t){.flash = &resume->system.flash, .list = resume->list};
    resume->writer = (sr_writer_t){.flash = &resume->verification.target,
                                   .readback = resume->readback,
                                   .attempts = SR_WRITER_ATTEMPTS,
                                   .yield = sr_yield};
    resume->verification = (sr_verification_t){.config = config,
                                               .system = &resume->system,
                                               .target = resume->system.flash,
                                               .journal = &resume->journal,
                                               .writer = &resume->writer,
                                               .scratch = resume->scratch};
    do {
        err = find_record(resume);
        if (err == ESP_OK) {
            err = take_record(resume, config);
        }
        free_proof(resume);
        resume->journal.address += SR_SECTOR_SIZE;
    } while (err == ESP_OK && !resume->finished);
    return err == ESP_ERR_NOT_FOUND ? ESP_OK : err;
}

esp_err_t sr_resume(const esp_self_reflasher_bundle_config_t *config, bool *stuck)
{
    *stuck = false;
    resume_t *resume = heap_caps_malloc(sizeof(*resume), MALLOC_CAP_INTERNAL | MALLOC_CAP_8BIT);
    if (resume == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_err_t err = run(resume, config);
    const bool finished = resume->finished;
    *stuck = resume->stuck;
    heap_caps_free(resume);
    sr_flash_size_restore();
    if (finished) {
        esp_restart(); /* Table and otadata are others now: what the app knows of them is stale. */
    }
    return err;
}
