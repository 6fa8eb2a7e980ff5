// SPDX-License-Identifier: Apache-2.0
// What the courier's page shows and takes, without a web server: texts of anyone, and what is offered when.
#include "examples/courier/main/status.h"
#include "test/support/support_chip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include <string.h>

static const char *network = "";

const char *online_name(void)
{
    return network;
}

static int set_up(void **state)
{
    static sim_config_t config;
    config = (sim_config_t){.chip = {.chip = sr_chip_by_name("esp32")},
                            .flash = chip_flash_new(),
                            .running_app = CHIP_SLOT_0,
                            .quiet = true};
    chip_put_app(config.flash, CHIP_SLOT_0, "1.0", NULL, 0);
    *state = &config;
    return sim_chip_attach(&config) && status_init() ? 0 : 1;
}

static int tear_down(void **state)
{
    const sim_config_t *config = *state;
    sim_chip_detach();
    nor_flash_delete(config->flash);
    return 0;
}

static cJSON *look(void)
{
    static char json[STATUS_JSON_SIZE];
    const size_t length = status_json(json, sizeof(json), "token");
    assert_int_equal(length, strlen(json));
    assert_true(length < sizeof(json) - 1);
    cJSON *parsed = cJSON_Parse(json);
    assert_non_null(parsed);
    return parsed;
}

static void assert_reason(const char *reason, const char *shown)
{
    status_set_reason(reason);
    cJSON *json = look();
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "reason")), shown);
    cJSON_Delete(json);
}

static void texts_of_anyone(void **state)
{
    (void)state;
    assert_reason("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_reason("\"\\</script>&'\n\x1b\x7f", "\"\\</script>&'\n\x1b\x7f");
    assert_reason("a\xff"
                  "b\xc3",
                  "a\xef\xbf\xbd"
                  "b\xef\xbf\xbd");
    assert_reason("\xc0\xaf\xed\xa0\x80",
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");         /* "/", a surrogate */
    assert_reason("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* past the last one */
}

/* Whatever the texts are, all of it fits. */
static void longest_texts_fit(void **state)
{
    (void)state;
    static char reason[1000];
    static char name[33];
    memset(reason, '\x01', sizeof(reason) - 1);
    memset(name, '<', sizeof(name) - 1);
    network = name;
    status_set_reason(reason);
    const esp_self_reflasher_event_data_t most = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0};
    esp_self_reflasher_plan_t plan;
    memset(&plan, 0xFF, sizeof(plan));
    plan.must_relocate = false;
    status_set_plan(&plan);
    status_set_event(ESP_SELF_REFLASHER_EVENT_PREPARE, &most);
    cJSON *json = look();
    assert_int_equal(strlen(cJSON_GetStringValue(cJSON_GetObjectItem(json, "reason"))), 319);
    cJSON_Delete(json);
    network = "";
    status_set_reason("");
}

static void assert_possible(bool begin, bool back, bool restart, bool upload)
{
    assert_int_equal(status_begin_upload(), upload);
    if (upload) {
        assert_false(status_wish(STATUS_BEGIN) || status_wish(STATUS_GO_BACK) || status_wish(STATUS_RESTART));
        assert_false(status_begin_upload());
        status_end_upload(false);
    }
    if (!begin) {
        assert_false(status_wish(STATUS_BEGIN));
    }
    if (!back) {
        assert_false(status_wish(STATUS_GO_BACK));
    }
    if (!restart) {
        assert_false(status_wish(STATUS_RESTART));
    }
}

static void nothing_is_taken_but_what_is_offered(void **state)
{
    (void)state;
    status_set_stage(STATUS_STARTS);
    assert_possible(false, false, false, false);
    status_set_stage(STATUS_WORKS);
    assert_possible(false, false, false, false);
    status_set_stage(STATUS_ENDS);
    assert_possible(false, false, false, false);
    status_set_stage(STATUS_ASKS);
    assert_possible(true, false, false, true);
    status_set_stage(STATUS_STAYS);
    assert_possible(false, false, true, true);
    assert_true(status_wish(STATUS_RESTART));
    assert_possible(false, false, false, false); /* One wish is enough. */
    assert_false(status_wish(STATUS_RESTART));
}

static void nobody_comes(void **state)
{
    (void)state;
    assert_int_equal(status_offer(STATUS_STAYS, NULL, 60000), STATUS_NOTHING);
    assert_possible(false, false, false, false); /* It has ended. */
}

/* The other half of a boot path that is half written is here, and in no other app. */
static void no_other_app_once_the_boot_path_was_touched(void **state)
{
    (void)state;
    const esp_self_reflasher_event_data_t none = {0};
    status_end_upload(false);
    status_set_event(ESP_SELF_REFLASHER_EVENT_COMMIT, &none);
    status_set_event(ESP_SELF_REFLASHER_EVENT_FAILED, &none);
    status_set_stage(STATUS_STAYS);
    assert_possible(false, false, true, false);
    cJSON *json = look();
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "room")), 0);
    cJSON_Delete(json);
    assert_true(status_wish(STATUS_RESTART));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_anyone),
        cmocka_unit_test(longest_texts_fit),
        cmocka_unit_test(nothing_is_taken_but_what_is_offered),
        cmocka_unit_test(nobody_comes),
        cmocka_unit_test(no_other_app_once_the_boot_path_was_touched),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
