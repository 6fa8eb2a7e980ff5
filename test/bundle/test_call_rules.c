// SPDX-License-Identifier: Apache-2.0
/** @file
 * The calls of the API for bundles: one at a time, on copies of what the caller gives, and with a plan that is defined
 * whatever happens. The migration itself is made up here, and there is no chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "self_reflasher_bundle.h"

#include "bundle/sr_migration_internal.h"
#include "flash/sr_flash_size.h"
#include "journal/sr_resume.h"

#include "esp_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_self_reflasher_bundle_config_t config;
static esp_http_client_config_t http;
static esp_self_reflasher_plan_t plan;

static struct {
    esp_err_t resume_err, open_err, check_err, run_err, relocate_err, clear_err;
    bool stuck, relocates, restarts, no_memory;
    uint32_t sectors_to_write;
    bool calls_again;
    char trace[200]; /**< What was called, a letter for each. */
    esp_self_reflasher_event_t event;
    esp_err_t told;
    uint32_t sequence_at_run; /**< Of the caller's plan. */
    uint32_t live;
    sr_relocation_method_t method;
    jmp_buf restart;
} fake;

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    memset(&plan, 0x5A, sizeof(plan));
    config =
        (esp_self_reflasher_bundle_config_t){.http_config = &http, .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    fake.sectors_to_write = 1;
    return 0;
}

static void note(char letter)
{
    const size_t length = strlen(fake.trace);
    assert_true(length + 1 < sizeof(fake.trace));
    fake.trace[length] = letter;
}

static void expect_trace(const char *expected)
{
    assert_string_equal(fake.trace, expected);
    assert_int_equal(fake.live, 0);
    memset(fake.trace, 0, sizeof(fake.trace));
}

/* What comes from a callback. */
static void call_again(void)
{
    esp_self_reflasher_plan_t other;
    if (fake.calls_again) {
        char before[sizeof(fake.trace)];
        memcpy(before, fake.trace, sizeof(before));
        assert_int_equal(esp_self_reflasher_plan_bundle(&config, &other), ESP_ERR_INVALID_STATE);
        assert_int_equal(esp_self_reflasher_apply_bundle(&config, NULL), ESP_ERR_INVALID_STATE);
        assert_int_equal(esp_self_reflasher_resume(&config), ESP_ERR_INVALID_STATE);
        assert_string_equal(fake.trace, before);
    }
}

void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    (void)caps;
    if (fake.no_memory) {
        return NULL;
    }
    fake.live++;
    void *memory = malloc(size);
    return memory != NULL ? memset(memory, 0x5A, size) : NULL;
}

void __wrap_heap_caps_free(void *memory);
void __wrap_heap_caps_free(void *memory)
{
    fake.live -= memory != NULL;
    free(memory);
}

esp_err_t __wrap_sr_resume(const esp_self_reflasher_bundle_config_t *of, bool *stuck);
esp_err_t __wrap_sr_resume(const esp_self_reflasher_bundle_config_t *of, bool *stuck)
{
    assert_int_equal(of->flags, config.flags);
    note('r');
    call_again();
    *stuck = fake.stuck;
    return fake.resume_err;
}

esp_err_t __wrap_sr_migration_open(sr_migration_t *migration, const esp_self_reflasher_bundle_config_t *of,
                                   esp_self_reflasher_plan_t *own);
esp_err_t __wrap_sr_migration_open(sr_migration_t *migration, const esp_self_reflasher_bundle_config_t *of,
                                   esp_self_reflasher_plan_t *own)
{
    note('o');
    assert_ptr_not_equal(of, &config); /* A callback may write to the caller's. */
    assert_int_equal(of->flags, config.flags);
    assert_int_equal(of->http_config != NULL, config.http_config != NULL);
    if (of->http_config != NULL) {
        assert_ptr_not_equal(of->http_config, &http);
        assert_ptr_equal(of->http_config->url, http.url);
    }
    assert_ptr_not_equal(own, &plan);
    assert_int_equal(own->relocate_to, UINT32_MAX);
    assert_int_equal(own->sectors_to_write, 0);
    *migration = (sr_migration_t){.config = of, .plan = own};
    own->sequence = 5;
    call_again();
    return fake.open_err;
}

esp_err_t __wrap_sr_migration_check(sr_migration_t *migration);
esp_err_t __wrap_sr_migration_check(sr_migration_t *migration)
{
    note('c');
    migration->plan->sectors_to_write = fake.sectors_to_write;
    fake.method.restarts = fake.restarts;
    migration->choice.relocation.method = fake.relocates ? &fake.method : NULL;
    return fake.check_err;
}

static esp_err_t go(sr_migration_t *migration, esp_err_t err)
{
    fake.sequence_at_run = plan.sequence;
    migration->plan->staging_address = 0x1000;
    return err;
}

esp_err_t __wrap_sr_migration_run(sr_migration_t *migration);
esp_err_t __wrap_sr_migration_run(sr_migration_t *migration)
{
    note('R');
    return go(migration, fake.run_err);
}

esp_err_t __wrap_sr_migration_relocate(sr_migration_t *migration);
esp_err_t __wrap_sr_migration_relocate(sr_migration_t *migration)
{
    note('m');
    return go(migration, fake.relocate_err);
}

esp_err_t __wrap_sr_migration_clear_mark(sr_migration_t *migration);
esp_err_t __wrap_sr_migration_clear_mark(sr_migration_t *migration)
{
    (void)migration;
    note('k');
    return fake.clear_err;
}

void __wrap_sr_migration_tell(sr_migration_t *migration, esp_self_reflasher_event_t event);
void __wrap_sr_migration_tell(sr_migration_t *migration, esp_self_reflasher_event_t event)
{
    note('t');
    fake.event = event;
    fake.told = migration->run.progress.error;
}

void __wrap_sr_migration_close(sr_migration_t *migration);
void __wrap_sr_migration_close(sr_migration_t *migration)
{
    assert_int_equal(migration->plan->sequence, 5);
    note('x');
}

void __wrap_sr_decoder_drop(sr_decoder_t *decoder);
void __wrap_sr_decoder_drop(sr_decoder_t *decoder)
{
    assert_non_null(decoder);
    note('d');
}

void __wrap_sr_flash_size_restore(void);
void __wrap_sr_flash_size_restore(void)
{
    note('z');
}

void __wrap_esp_restart(void) __attribute__((noreturn));
void __wrap_esp_restart(void)
{
    note('!');
    longjmp(fake.restart, 1);
}

static void expect_nothing_known(void)
{
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_NOT);
    assert_string_equal(plan.refusal_text, "");
    assert_int_equal(plan.sequence, 0);
    assert_int_equal(plan.sectors_to_write, 0);
    assert_int_equal(plan.relocate_to, UINT32_MAX);
    assert_int_equal(plan.staging_address, UINT32_MAX);
    assert_int_equal(plan.recovery_address, UINT32_MAX);
    assert_int_equal(plan.app_address, UINT32_MAX);
    memset(&plan, 0x5A, sizeof(plan));
}

static esp_err_t plan_bundle(void)
{
    return esp_self_reflasher_plan_bundle(&config, &plan);
}

static esp_err_t apply(void)
{
    return esp_self_reflasher_apply_bundle(&config, &plan);
}

static void null_is_refused(void **state)
{
    (void)state;
    assert_int_equal(esp_self_reflasher_plan_bundle(NULL, &plan), ESP_ERR_INVALID_ARG);
    expect_nothing_known();
    assert_int_equal(esp_self_reflasher_plan_bundle(&config, NULL), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_plan_bundle(NULL, NULL), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_apply_bundle(NULL, &plan), ESP_ERR_INVALID_ARG);
    expect_nothing_known();
    assert_int_equal(esp_self_reflasher_apply_bundle(NULL, NULL), ESP_ERR_INVALID_ARG);
    assert_int_equal(esp_self_reflasher_resume(NULL), ESP_ERR_INVALID_ARG);
    expect_trace("");
}

static void one_call_at_a_time(void **state)
{
    (void)state;
    fake.calls_again = true;
    assert_int_equal(plan_bundle(), ESP_OK);
    expect_trace("ocxz");
    assert_int_equal(apply(), ESP_OK);
    expect_trace("rocRtxz");
    assert_int_equal(esp_self_reflasher_resume(&config), ESP_OK);
    expect_trace("rz");
    fake.calls_again = false;
    assert_int_equal(plan_bundle(), ESP_OK); /* After each of them another one may come. */
    expect_trace("ocxz");
}

static void plan_says_what_was_found(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        fake.open_err = i == 1 ? ESP_ERR_TIMEOUT : ESP_OK;
        fake.check_err = i == 2 ? ESP_ERR_SELF_REFLASHER_REFUSED : ESP_OK;
        memset(&plan, 0x5A, sizeof(plan));
        assert_int_equal(plan_bundle(), i == 0 ? ESP_OK : i == 1 ? ESP_ERR_TIMEOUT : ESP_ERR_SELF_REFLASHER_REFUSED);
        expect_trace(i == 1 ? "oxz" : "ocxz");
        assert_int_equal(plan.sequence, 5);
        assert_int_equal(plan.sectors_to_write, i == 1 ? 0 : 1);
    }
    config.http_config = NULL; /* Nor without a server. */
    fake.check_err = ESP_OK;
    assert_int_equal(plan_bundle(), ESP_OK);
}

static void without_memory_nothing_is_known(void **state)
{
    (void)state;
    fake.no_memory = true;
    assert_int_equal(plan_bundle(), ESP_ERR_NO_MEM);
    expect_nothing_known();
    expect_trace("z");
    assert_int_equal(apply(), ESP_ERR_NO_MEM);
    expect_nothing_known();
    expect_trace("rz");
}

/* What is sealed may hold the only copy of data that moves, unless it is given up. */
static void record_is_finished_first(void **state)
{
    (void)state;
    fake.resume_err = ESP_ERR_TIMEOUT;
    assert_int_equal(apply(), ESP_ERR_TIMEOUT);
    expect_nothing_known();
    expect_trace("rz");
    fake.stuck = true;
    assert_int_equal(apply(), ESP_OK);
    expect_trace("rocRtxz");
}

static void what_is_applied_is_told_and_planned(void **state)
{
    (void)state;
    assert_int_equal(apply(), ESP_OK);
    assert_int_equal(fake.event, ESP_SELF_REFLASHER_EVENT_DONE);
    assert_int_equal(fake.told, ESP_OK);
    assert_int_equal(fake.sequence_at_run, 5); /* Known before anything is written, and after it. */
    assert_int_equal(plan.staging_address, 0x1000);
    assert_int_equal(esp_self_reflasher_apply_bundle(&config, NULL), ESP_OK);
    fake.run_err = ESP_ERR_SELF_REFLASHER_VERIFY;
    assert_int_equal(apply(), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(fake.event, ESP_SELF_REFLASHER_EVENT_FAILED);
    assert_int_equal(fake.told, ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(plan.staging_address, 0x1000);
    expect_trace("rocRtxzrocRtxzrocRtxz");
    fake.check_err = ESP_ERR_SELF_REFLASHER_REFUSED;
    assert_int_equal(apply(), ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(fake.told, ESP_ERR_SELF_REFLASHER_REFUSED);
    expect_trace("roctxz");
    fake.open_err = ESP_ERR_TIMEOUT;
    assert_int_equal(apply(), ESP_ERR_TIMEOUT);
    expect_trace("rotxz");
}

/* An earlier call did all but the restart. */
static void with_nothing_to_write_the_mark_goes(void **state)
{
    (void)state;
    fake.sectors_to_write = 0;
    assert_int_equal(apply(), ESP_OK);
    assert_int_equal(fake.event, ESP_SELF_REFLASHER_EVENT_DONE);
    fake.clear_err = ESP_ERR_TIMEOUT;
    assert_int_equal(apply(), ESP_ERR_TIMEOUT);
    assert_int_equal(fake.event, ESP_SELF_REFLASHER_EVENT_FAILED);
    expect_trace("rocktxzrocktxz");
    fake.sectors_to_write = 2;
    assert_int_equal(apply(), ESP_OK);
    expect_trace("rocRtxz");
}

static void app_in_the_way_moves_and_the_chip_restarts(void **state)
{
    (void)state;
    fake.relocates = true;
    assert_int_equal(apply(), ESP_OK); /* It stays where it is. */
    expect_trace("rocmtxz");
    fake.relocate_err = ESP_ERR_TIMEOUT;
    assert_int_equal(apply(), ESP_ERR_TIMEOUT);
    expect_trace("rocmtxz");
    fake.restarts = true; /* What is kept of chunks goes first: the copy needs the memory. */
    assert_int_equal(apply(), ESP_ERR_TIMEOUT);
    expect_trace("rocdmtxz");
    fake.relocate_err = ESP_OK;
    if (setjmp(fake.restart) == 0) {
        (void)apply();
        fail();
    }
    expect_trace("rocdmx!");
}

static void resume_takes_what_is_signed_or_said_to_be_not(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        const bool key = (i & 1) != 0, allowed = (i & 2) != 0;
        config.public_key = key ? "a key" : NULL;
        config.flags = (allowed ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED : 0) |
                       ((i & 4) != 0 ? ~ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED : 0);
        assert_int_equal(esp_self_reflasher_resume(&config), key || allowed ? ESP_OK : ESP_ERR_INVALID_ARG);
        expect_trace(key || allowed ? "rz" : "");
    }
    fake.resume_err = ESP_ERR_TIMEOUT;
    assert_int_equal(esp_self_reflasher_resume(&config), ESP_ERR_TIMEOUT);
    expect_trace("rz");
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_is_refused),
        TEST(one_call_at_a_time),
        TEST(plan_says_what_was_found),
        TEST(without_memory_nothing_is_known),
        TEST(record_is_finished_first),
        TEST(what_is_applied_is_told_and_planned),
        TEST(with_nothing_to_write_the_mark_goes),
        TEST(resume_takes_what_is_signed_or_said_to_be_not),
        TEST(app_in_the_way_moves_and_the_chip_restarts), /* The last one: a call that ended in a restart is under way.
                                                           */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
