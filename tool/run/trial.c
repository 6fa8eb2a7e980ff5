// SPDX-License-Identifier: Apache-2.0
#include "tool/run/trial.h"

#include "tool/pack/bundle_file.h"
#include "tool/run/local_server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/** A migration of its own, and what must live as long as it does. */
typedef struct attempt {
    migration_t migration;
    esp_self_reflasher_bundle_config_t config;
    esp_http_client_config_t http;
    image_file_t file; /**< The bundle that is packed anew. */
    local_server_t *server;
    char url[LOCAL_SERVER_URL_SIZE];
} attempt_t;

/** What the app tells, in shared memory. */
typedef struct answer {
    bool given;
    esp_err_t error;
    esp_self_reflasher_plan_t plan;
} answer_t;

// app_main() has no parameters, on the chip as here
static const migration_t *asked;
static answer_t *answer;

static void close_attempt(attempt_t *attempt)
{
    local_server_stop(attempt->server);
    nor_flash_delete(attempt->migration.flash);
    image_file_free(&attempt->file);
}

/** The key is not at hand that would have to sign it. */
static bool serve_anew(const trial_t *trial, const trial_way_t *way, attempt_t *attempt)
{
    if (trial->bundle == NULL || !bundle_file_rewrite(trial->bundle, &way->bundle, &attempt->file)) {
        return false;
    }
    attempt->server = local_server_start(&attempt->file, 1);
    if (attempt->server == NULL) {
        return false;
    }
    attempt->http = migration_http(local_server_url(attempt->server, 0, attempt->url), NULL);
    attempt->config.http_config = &attempt->http;
    attempt->config.public_key = NULL;
    attempt->config.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED;
    return true;
}

/** @return false without memory or server; in any case close_attempt() is due. */
static bool open_attempt(const trial_t *trial, const trial_way_t *way, attempt_t *attempt)
{
    const image_file_t *flash = trial->flash;
    *attempt = (attempt_t){.migration = *trial->migration, .config = *trial->migration->bundle};
    attempt->config.flags |= way->flags;
    attempt->migration.bundle = &attempt->config;
    attempt->migration.show_progress = attempt->migration.show_log = false;
    attempt->migration.flash = nor_flash_new(flash->size, trial->timing);
    if (attempt->migration.flash == NULL) {
        return false;
    }
    memcpy(nor_flash_bytes(attempt->migration.flash), flash->bytes, flash->size);
    const bool as_it_is = way->bundle.given_up_count == 0 && !way->bundle.compare_all;
    return as_it_is || serve_anew(trial, way, attempt);
}

/** The app. */
static void tell_plan(void)
{
    const int silence = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (silence >= 0) {
        dup2(silence, STDERR_FILENO);
    }
    esp_self_reflasher_bundle_config_t config;
    answer->error = migration_bundle_now(asked, &config);
    if (answer->error == ESP_OK) {
        migration_confirm(asked, &config);
        answer->error = esp_self_reflasher_plan_bundle(&config, &answer->plan);
    }
    answer->given = true;
}

static bool ask(const attempt_t *attempt, esp_self_reflasher_plan_t *plan, esp_err_t *error)
{
    const sim_config_t config = {.chip = attempt->migration.chip,
                                 .flash = attempt->migration.flash,
                                 .running_app = attempt->migration.running_app};
    sim_report_t report;
    void *shared = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return false;
    }
    asked = &attempt->migration;
    answer = shared;
    const bool given = sim_run(&config, tell_plan, 1, &report) && answer->given;
    *plan = answer->plan;
    *error = answer->error;
    munmap(shared, sizeof(*answer));
    return given;
}

bool trial_plan(const trial_t *trial, const trial_way_t *way, esp_self_reflasher_plan_t *plan, esp_err_t *error)
{
    attempt_t attempt;
    const bool given = open_attempt(trial, way, &attempt) && ask(&attempt, plan, error);
    close_attempt(&attempt);
    return given;
}

bool trial_run(const trial_t *trial, const trial_way_t *way, boot_window_t *window)
{
    attempt_t attempt;
    bool good = false;
    if (open_attempt(trial, way, &attempt)) {
        migration_result_t result;
        const bool ran = migration_run(&attempt.migration, &result);
        const boot_result_t *after = &result.report.after;
        const uint32_t planned = result.plan.app_address;
        good = ran && result.error == ESP_OK && boot_succeeds(after) &&
               (planned == UINT32_MAX || planned == after->app_offset);
        *window = result.window;
        migration_result_free(&result);
    }
    close_attempt(&attempt);
    return good;
}
