// SPDX-License-Identifier: Apache-2.0
#include "self_reflasher_err.h"

#include <stddef.h>

typedef struct error_name {
    esp_err_t code;
    const char *name;
} error_name_t;

#define NAMED(code)                                                                                                    \
    {                                                                                                                  \
        code, #code                                                                                                    \
    }

static const error_name_t names[] = {
    NAMED(ESP_ERR_SELF_REFLASHER_PAST_END),   NAMED(ESP_ERR_SELF_REFLASHER_UNALIGNED),
    NAMED(ESP_ERR_SELF_REFLASHER_TOO_LARGE),  NAMED(ESP_ERR_SELF_REFLASHER_STAGING_SMALL),
    NAMED(ESP_ERR_SELF_REFLASHER_OVERLAP),    NAMED(ESP_ERR_SELF_REFLASHER_RUNNING_APP),
    NAMED(ESP_ERR_SELF_REFLASHER_NO_STAGING), NAMED(ESP_ERR_SELF_REFLASHER_HTTP_STATUS),
    NAMED(ESP_ERR_SELF_REFLASHER_SHORT_BODY), NAMED(ESP_ERR_SELF_REFLASHER_EMPTY_BODY),
    NAMED(ESP_ERR_SELF_REFLASHER_SHA256),     NAMED(ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER),
    NAMED(ESP_ERR_SELF_REFLASHER_WRONG_CHIP), NAMED(ESP_ERR_SELF_REFLASHER_CHECKSUM),
    NAMED(ESP_ERR_SELF_REFLASHER_DIGEST),     NAMED(ESP_ERR_SELF_REFLASHER_NOT_SIGNED),
    NAMED(ESP_ERR_SELF_REFLASHER_VERIFY),     NAMED(ESP_ERR_SELF_REFLASHER_REFUSED),
    NAMED(ESP_ERR_SELF_REFLASHER_CHUNK),      NAMED(ESP_ERR_SELF_REFLASHER_NOT_NOW),
    NAMED(ESP_ERR_SELF_REFLASHER_FLASH_SIZE), NAMED(ESP_ERR_SELF_REFLASHER_DOWNGRADE),
    NAMED(ESP_ERR_SELF_REFLASHER_TOO_SLOW),   NAMED(ESP_ERR_SELF_REFLASHER_REVISION),
    NAMED(ESP_ERR_SELF_REFLASHER_READ_ONLY),  NAMED(ESP_ERR_SELF_REFLASHER_CARGO),
};

const char *esp_self_reflasher_err_to_name(esp_err_t code)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].code == code) {
            return names[i].name;
        }
    }
    return esp_err_to_name(code);
}
