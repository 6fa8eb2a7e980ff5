// SPDX-License-Identifier: Apache-2.0
#include "tool/report/boot_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

static const char *outcome_words(boot_outcome_t outcome)
{
    static const char *const words[] = {
        [BOOT_BOOTS] = "boots",
        [BOOT_SWAPS_THEN_BOOTS] = "swaps, then boots",
        [BOOT_ROM_REJECTS] = "does not boot: the mask ROM starts no bootloader",
        [BOOT_BOOTLOADER_REJECTS] = "does not boot: the bootloader enters no app",
        [BOOT_NOT_KNOWN] = "not known whether it boots",
    };
    return words[outcome];
}

void boot_report_print(const boot_result_t *result, const char *app_name)
{
    terminal_print(boot_succeeds(result) ? STYLE_GOOD : STYLE_BAD, outcome_words(result->outcome));
    if (result->encrypts) {
        fputs(", once the bootloader has encrypted the flash", stdout);
    }
    if (boot_succeeds(result)) {
        fputs(": ", stdout);
        terminal_tame(app_name);
        printf(" at 0x%" PRIx32, result->app_offset);
    }
    fputs("\n  ", stdout);
    terminal_wrap(result->reason, 2, 2);
    if (result->recovered) {
        printf("  started by the recovery bootloader at 0x%" PRIx32 "\n", result->bootloader.address);
    }
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        if ((result->revoked >> i & 1u) != 0) {
            printf("  the ROM revokes key digest %u of Secure Boot V2, for good\n", i);
        }
    }
}

const char *boot_loader_text(boot_loader_kind_t loader)
{
    static const char *const texts[] = {
        [BOOT_LOADER_NONE] = "none", [BOOT_LOADER_IDF] = "ESP-IDF", [BOOT_LOADER_MCUBOOT] = "MCUboot"};
    return texts[loader];
}

static cJSON *code_json(const boot_code_t *code)
{
    char digest[2 * SR_SHA256_SIZE + 1];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "offset", code->address);
    cJSON_AddNumberToObject(json, "length", code->length);
    cJSON_AddStringToObject(json, "sha256", number_hex(code->sha256, SR_SHA256_SIZE, digest));
    return json;
}

cJSON *boot_report_json(const boot_chip_t *chip, const boot_result_t *result, const char *app_name)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "outcome", boot_outcome_name(result->outcome));
    if (boot_succeeds(result)) {
        cJSON_AddNumberToObject(json, "app_offset", result->app_offset);
    } else {
        cJSON_AddNullToObject(json, "app_offset");
    }
    cJSON_AddStringToObject(json, "reason", result->reason);
    cJSON_AddStringToObject(json, "chip", chip->chip->name);
    cJSON_AddStringToObject(json, "loader", boot_loader_text(result->loader));
    cJSON_AddBoolToObject(json, "recovered", result->recovered);
    cJSON_AddBoolToObject(json, "flash_changed", result->flash_changed);
    cJSON *revoked = cJSON_AddArrayToObject(json, "revoked");
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        if ((result->revoked >> i & 1u) != 0) {
            cJSON_AddItemToArray(revoked, cJSON_CreateNumber(i));
        }
    }
    if (result->outcome != BOOT_ROM_REJECTS) {
        cJSON_AddItemToObject(json, "bootloader", code_json(&result->bootloader));
    }
    if (boot_succeeds(result)) {
        cJSON *app = code_json(&result->app);
        cJSON_AddStringToObject(app, "name", app_name);
        cJSON_AddItemToObject(json, "app", app);
    }
    return json;
}

void json_print(cJSON *json)
{
    char *text = cJSON_Print(json);
    if (text != NULL) {
        utf8_write(stdout, text); // names in a flash may be any bytes
        putchar('\n');
        cJSON_free(text);
    }
    cJSON_Delete(json);
}
