// SPDX-License-Identifier: Apache-2.0
#include "tool/report/signature_report.h"

#include "tool/base/image_signature.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <stdio.h>

#define DIGEST_TEXT_SIZE (2 * SR_SHA256_SIZE + 1)

static void print_block(sr_secure_boot_status_t status, const sr_secure_boot_block_t *block)
{
    char text[DIGEST_TEXT_SIZE];
    terminal_key("signature");
    if (status == SR_SECURE_BOOT_TORN_BLOCK) {
        terminal_print(STYLE_BAD, "a block of Secure Boot V2 that is damaged\n");
        return;
    }
    printf("%s, key digest %s", sr_secure_boot_scheme_name(block->scheme),
           number_hex(block->key_digest, SR_SHA256_SIZE, text));
    if (status != SR_SECURE_BOOT_OK) {
        terminal_print(STYLE_BAD, ", of another image");
    }
    putchar('\n');
}

void signature_report_print(const sr_reader_t *reader, const sr_image_t *image)
{
    bool found = false;
    for (unsigned i = 0; i < SR_SECURE_BOOT_MAX_BLOCKS; i++) {
        sr_secure_boot_block_t block;
        const sr_secure_boot_status_t status = image_signature_read(reader, image, i, &block);
        if (status != SR_SECURE_BOOT_NO_BLOCK) {
            print_block(status, &block);
            found = true;
        }
    }
    if (!found && sr_image_has_signature_block(reader, image, SR_IMAGE_SECURE_BOOT_V1)) {
        terminal_key("signature");
        puts("of Secure Boot V1 (not verified here)");
    }
}

static cJSON *block_json(unsigned number, sr_secure_boot_status_t status, const sr_secure_boot_block_t *block)
{
    char text[DIGEST_TEXT_SIZE];
    cJSON *json = cJSON_CreateObject();
    const bool intact = status != SR_SECURE_BOOT_TORN_BLOCK;
    cJSON_AddNumberToObject(json, "secure_boot", 2);
    cJSON_AddNumberToObject(json, "block", number);
    cJSON_AddBoolToObject(json, "intact", intact);
    if (intact) {
        cJSON_AddStringToObject(json, "scheme", sr_secure_boot_scheme_name(block->scheme));
        cJSON_AddStringToObject(json, "key_digest", number_hex(block->key_digest, SR_SHA256_SIZE, text));
        cJSON_AddBoolToObject(json, "of_this_image", status == SR_SECURE_BOOT_OK);
    }
    return json;
}

cJSON *signature_report_json(const sr_reader_t *reader, const sr_image_t *image)
{
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < SR_SECURE_BOOT_MAX_BLOCKS; i++) {
        sr_secure_boot_block_t block;
        const sr_secure_boot_status_t status = image_signature_read(reader, image, i, &block);
        if (status != SR_SECURE_BOOT_NO_BLOCK) {
            cJSON_AddItemToArray(list, block_json(i, status, &block));
        }
    }
    if (cJSON_GetArraySize(list) == 0 && sr_image_has_signature_block(reader, image, SR_IMAGE_SECURE_BOOT_V1)) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddNumberToObject(json, "secure_boot", 1);
        cJSON_AddItemToArray(list, json);
    }
    return list;
}
