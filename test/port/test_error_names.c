// SPDX-License-Identifier: Apache-2.0
/** @file Each error of the component has its own name, and those of ESP-IDF keep theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "self_reflasher_err.h"

static void each_error_has_its_name(void **state)
{
    (void)state;
    static const struct {
        esp_err_t code;
        const char *name;
    } names[] = {
#define NAMED(code) {code, #code}
        NAMED(ESP_ERR_SELF_REFLASHER_PAST_END),       NAMED(ESP_ERR_SELF_REFLASHER_UNALIGNED),
        NAMED(ESP_ERR_SELF_REFLASHER_OVERLAP),        NAMED(ESP_ERR_SELF_REFLASHER_RUNNING_APP),
        NAMED(ESP_ERR_SELF_REFLASHER_NO_STAGING),     NAMED(ESP_ERR_SELF_REFLASHER_READ_ONLY),
        NAMED(ESP_ERR_SELF_REFLASHER_HTTP_STATUS),    NAMED(ESP_ERR_SELF_REFLASHER_SHORT_BODY),
        NAMED(ESP_ERR_SELF_REFLASHER_EMPTY_BODY),     NAMED(ESP_ERR_SELF_REFLASHER_DOWNGRADE),
        NAMED(ESP_ERR_SELF_REFLASHER_TOO_SLOW),       NAMED(ESP_ERR_SELF_REFLASHER_TOO_LARGE),
        NAMED(ESP_ERR_SELF_REFLASHER_STAGING_SMALL),  NAMED(ESP_ERR_SELF_REFLASHER_SHA256),
        NAMED(ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER), NAMED(ESP_ERR_SELF_REFLASHER_WRONG_CHIP),
        NAMED(ESP_ERR_SELF_REFLASHER_CHECKSUM),       NAMED(ESP_ERR_SELF_REFLASHER_DIGEST),
        NAMED(ESP_ERR_SELF_REFLASHER_NOT_SIGNED),     NAMED(ESP_ERR_SELF_REFLASHER_FLASH_SIZE),
        NAMED(ESP_ERR_SELF_REFLASHER_REVISION),       NAMED(ESP_ERR_SELF_REFLASHER_REFUSED),
        NAMED(ESP_ERR_SELF_REFLASHER_CHUNK),          NAMED(ESP_ERR_SELF_REFLASHER_CARGO),
        NAMED(ESP_ERR_SELF_REFLASHER_VERIFY),         NAMED(ESP_ERR_SELF_REFLASHER_NOT_NOW),
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_string_equal(esp_self_reflasher_err_to_name(names[i].code), names[i].name);
    }
    assert_string_equal(esp_self_reflasher_err_to_name(ESP_ERR_NO_MEM), esp_err_to_name(ESP_ERR_NO_MEM));
    assert_string_equal(esp_self_reflasher_err_to_name(ESP_ERR_SELF_REFLASHER_CARGO + 1),
                        esp_err_to_name(ESP_ERR_SELF_REFLASHER_CARGO + 1));
    assert_string_equal(esp_self_reflasher_err_to_name(0), "ESP_OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_error_has_its_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
