// SPDX-License-Identifier: Apache-2.0
#include "tool/base/efuse_file.h"

#include "format/sr_region.h"
#include "tool/base/command.h"
#include "tool/base/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_C2 16u /**< Bytes of a digest that the ESP32-C2 keeps. */
#define NAME_SIZE 24u

/** Where a field lies: no tool gives the chip's name, but no two chips have all of their fields at the same places. */
typedef struct place {
    int block, word, position;
} place_t;

static const struct {
    const char *chip;
    place_t secure_version, package;
    const char *also; /**< A field that it has, too; NULL: those two tell. */
} chips[] = {
    {"esp32", {3, 4, 0}, {-1, -1, -1}, "FLASH_CRYPT_CNT"},
    {"esp32s2", {0, 4, 11}, {1, 4, 0}, NULL},
    {"esp32s3", {0, 4, 14}, {1, 3, 21}, "DIS_DOWNLOAD_DCACHE"},
    {"esp32c3", {0, 4, 14}, {1, 3, 21}, NULL},
    {"esp32c2", {0, 1, 22}, {2, 1, 22}, NULL},
    {"esp32c6", {0, 4, 14}, {1, 3, 24}, NULL},
    {"esp32h2", {0, 4, 9}, {1, 4, 0}, NULL},
    {"esp32p4", {0, 4, 9}, {1, 2, 20}, NULL},
    {"esp32c61", {0, 3, 8}, {1, 2, 26}, NULL},
    {"esp32c5", {0, 4, 9}, {1, 2, 26}, NULL},
};

/** Summaries of esptool 4 have texts in place of some numbers; those of esptool 5 have both. Of SPI_BOOT_CRYPT_CNT only
 *  whether it is odd can be told from the text. */
static const struct {
    const char *text;
    uint32_t value;
} texts[] = {
    {"Disable", 0},
    {"Enable", 1},
    {"No calib", 0},
    {"No calibration", 0},
    {"With calib", 1},
    {"With calibration", 1},
    {"ADC calib V1", 1},
    {"ADC calib V2", 2},
    {"128 bits key", 0},
    {"256 bits key", 1},
    {"NONE (BLK1-3 len=256 bits)", 0},
    {"3/4 (BLK1-3 len=192 bits)", 1},
    {"REPEAT (BLK1-3 len=128 bits) not supported", 2},
};

static const struct {
    const char *text;
    efuse_purpose_t purpose;
} purposes[] = {
    {"XTS_AES_128_KEY", EFUSE_PURPOSE_XTS_128},      {"XTS_AES_256_KEY_1", EFUSE_PURPOSE_XTS_256_1},
    {"XTS_AES_256_KEY_2", EFUSE_PURPOSE_XTS_256_2},  {"SECURE_BOOT_DIGEST0", EFUSE_PURPOSE_DIGEST_0},
    {"SECURE_BOOT_DIGEST1", EFUSE_PURPOSE_DIGEST_1}, {"SECURE_BOOT_DIGEST2", EFUSE_PURPOSE_DIGEST_2},
};

/** A summary that is being read. */
typedef struct summary {
    const cJSON *json;
    const char *problem; /**< Name of the first field that is not as it should be; NULL: none. */
} summary_t;

static const cJSON *field(const summary_t *summary, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(summary->json, name);
}

static bool number_of_text(const char *text, uint32_t *value)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].text, text) == 0) {
            *value = texts[i].value;
            return true;
        }
    }
    return false;
}

static bool number_of(const cJSON *item, uint32_t *value)
{
    const cJSON *shown = cJSON_GetObjectItemCaseSensitive(item, "value");
    if (json_offset(cJSON_GetObjectItemCaseSensitive(item, "raw_value"), value) || json_offset(shown, value)) {
        return true;
    }
    *value = cJSON_IsTrue(shown) ? 1 : 0;
    return cJSON_IsBool(shown) || (cJSON_IsString(shown) && number_of_text(shown->valuestring, value));
}

/** Value of a field that the chip need not have. @return 0 without it. */
static uint32_t optional(summary_t *summary, const char *name)
{
    uint32_t value = 0;
    const cJSON *item = field(summary, name);
    if (item != NULL && !number_of(item, &value)) {
        summary->problem = summary->problem != NULL ? summary->problem : name;
        value = 0;
    }
    return value;
}

/** Value of a field that each such chip has. */
static uint32_t needed(summary_t *summary, const char *name)
{
    if (field(summary, name) == NULL && summary->problem == NULL) {
        summary->problem = name;
    }
    return optional(summary, name);
}

static bool is_writeable(const summary_t *summary, const char *name)
{
    return !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(field(summary, name), "writeable"));
}

static bool lies_at(const summary_t *summary, const char *name, place_t place)
{
    const cJSON *item = field(summary, name);
    uint32_t block = UINT32_MAX;
    uint32_t word = UINT32_MAX;
    uint32_t position = UINT32_MAX;
    return place.block < 0 ||
           (json_offset(cJSON_GetObjectItemCaseSensitive(item, "block"), &block) &&
            json_offset(cJSON_GetObjectItemCaseSensitive(item, "word"), &word) &&
            json_offset(cJSON_GetObjectItemCaseSensitive(item, "pos"), &position) && block == (uint32_t)place.block &&
            word == (uint32_t)place.word && position == (uint32_t)place.position);
}

/** @return NULL if it is none that is known. */
static const sr_chip_t *find_chip(const summary_t *summary)
{
    for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
        if (lies_at(summary, "SECURE_VERSION", chips[i].secure_version) &&
            lies_at(summary, "PKG_VERSION", chips[i].package) &&
            (chips[i].also == NULL || field(summary, chips[i].also) != NULL)) {
            return sr_chip_by_name(chips[i].chip);
        }
    }
    return NULL;
}

/** "00 ff ..." @return false if they are not shown, or not so many. */
static bool read_bytes(const char *text, uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned byte = 0;
        int used = 0;
        if (sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2 || (text[2] != ' ' && text[2] != '\0')) {
            return false;
        }
        bytes[i] = (uint8_t)byte;
        text += text[2] == ' ' ? 3 : 2;
    }
    return *text == '\0';
}

/** Reads a key block. @param name Of the field with its bytes. */
static void read_key(summary_t *summary, const char *name, efuse_purpose_t purpose, unsigned length, efuse_key_t *key)
{
    const cJSON *item = field(summary, name);
    const char *text = json_text(item, "value");
    *key = (efuse_key_t){.purpose = purpose, .length = (uint8_t)length};
    if (text == NULL) {
        summary->problem = summary->problem != NULL ? summary->problem : name;
        return;
    }
    key->readable =
        !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item, "readable")) && read_bytes(text, key->bytes, length);
    if (!key->readable) {
        memset(key->bytes, 0, sizeof(key->bytes));
    }
}

static void read_esp32_keys(summary_t *summary, efuse_set_t *burnt)
{
    const unsigned length = needed(summary, "CODING_SCHEME") == 1 ? 24 : 32;
    if (efuse_set_encrypts(burnt)) {
        read_key(summary, "BLOCK1", EFUSE_PURPOSE_AES_256, length, &burnt->keys[0]);
    }
    if (burnt->secure_boot_v1 || burnt->secure_boot_v2) {
        read_key(summary, "BLOCK2", burnt->secure_boot_v2 ? EFUSE_PURPOSE_DIGEST_0 : EFUSE_PURPOSE_SECURE_BOOT_V1,
                 length, &burnt->keys[1]);
    }
}

/** It has one block for both. */
static void read_c2_keys(summary_t *summary, efuse_set_t *burnt)
{
    const bool whole = needed(summary, "XTS_KEY_LENGTH_256") != 0;
    if (efuse_set_encrypts(burnt)) {
        read_key(summary, whole ? "BLOCK_KEY0" : "BLOCK_KEY0_LOW_128",
                 whole ? EFUSE_PURPOSE_XTS_128 : EFUSE_PURPOSE_XTS_128_SHORT, whole ? 32 : 16, &burnt->keys[0]);
    }
    if (burnt->secure_boot_v2) {
        read_key(summary, "BLOCK_KEY0_HI_128", EFUSE_PURPOSE_DIGEST_0, DIGEST_C2, &burnt->keys[1]);
    }
}

static void read_keys(summary_t *summary, efuse_set_t *burnt)
{
    for (unsigned i = 0; i < EFUSE_KEY_COUNT; i++) {
        char name[NAME_SIZE];
        (void)snprintf(name, sizeof(name), "KEY_PURPOSE_%u", i);
        const char *text = json_text(field(summary, name), "value");
        (void)snprintf(name, sizeof(name), "BLOCK_KEY%u", i);
        for (size_t k = 0; text != NULL && k < sizeof(purposes) / sizeof(purposes[0]); k++) {
            if (strcmp(text, purposes[k].text) == 0) {
                read_key(summary, name, purposes[k].purpose, EFUSE_KEY_SIZE, &burnt->keys[i]);
            }
        }
    }
}

/** True if the chip has this field, and it is not burnt. */
static bool is_open(summary_t *summary, const char *name)
{
    return field(summary, name) != NULL && optional(summary, name) == 0;
}

static void read_encryption(summary_t *summary, const char *counter, efuse_set_t *burnt)
{
    uint32_t bits = 0;
    burnt->crypt_count = (uint8_t)needed(summary, counter);
    (void)json_offset(cJSON_GetObjectItemCaseSensitive(field(summary, counter), "bit_len"), &bits);
    burnt->crypt_count_locked =
        !is_writeable(summary, counter) || (bits > 0 && bits < 8 && burnt->crypt_count == (1u << bits) - 1);
    burnt->crypt_config = (uint8_t)optional(summary, "FLASH_CRYPT_CONFIG");
    burnt->download_open = is_open(summary, "DISABLE_DL_ENCRYPT") || is_open(summary, "DISABLE_DL_DECRYPT") ||
                           is_open(summary, "DISABLE_DL_CACHE") || is_open(summary, "DIS_DOWNLOAD_MANUAL_ENCRYPT") ||
                           is_open(summary, "DIS_DOWNLOAD_ICACHE") || is_open(summary, "DIS_DOWNLOAD_DCACHE") ||
                           is_open(summary, "SPI_DOWNLOAD_MSPI_DIS");
}

static void read_security(summary_t *summary, const sr_chip_t *chip, efuse_set_t *burnt)
{
    const bool is_esp32 = strcmp(chip->name, "esp32") == 0;
    const bool is_c2 = strcmp(chip->name, "esp32c2") == 0;
    *burnt = (efuse_set_t){0};
    read_encryption(summary, is_esp32 ? "FLASH_CRYPT_CNT" : "SPI_BOOT_CRYPT_CNT", burnt);
    burnt->secure_boot_v1 = optional(summary, "ABS_DONE_0") != 0;
    burnt->secure_boot_v2 = needed(summary, is_esp32 ? "ABS_DONE_1" : "SECURE_BOOT_EN") != 0;
    burnt->aggressive_revoke = optional(summary, "SECURE_BOOT_AGGRESSIVE_REVOKE") != 0;
    burnt->revoked[0] = optional(summary, "SECURE_BOOT_KEY_REVOKE0") != 0;
    burnt->revoked[1] = optional(summary, "SECURE_BOOT_KEY_REVOKE1") != 0;
    burnt->revoked[2] = optional(summary, "SECURE_BOOT_KEY_REVOKE2") != 0;
    is_esp32 ? read_esp32_keys(summary, burnt) : is_c2 ? read_c2_keys(summary, burnt) : read_keys(summary, burnt);
}

static uint8_t count_bits(uint32_t value)
{
    return (uint8_t)__builtin_popcount(value);
}

static void read_demands(summary_t *summary, boot_chip_t *chip)
{
    const uint32_t sector = optional(summary, "RECOVERY_BOOTLOADER_FLASH_SECTOR");
    chip->revision = (uint16_t)(needed(summary, "WAFER_VERSION_MAJOR") * 100 + needed(summary, "WAFER_VERSION_MINOR"));
    chip->revision_told = true;
    chip->recovery = sector < BOOT_RECOVERY_OFF && boot_rom_knows_recovery(chip) ? sector * SR_SECTOR_SIZE : 0;
    chip->efuses = (sr_chip_efuses_t){
        .ignores_max_revision = optional(summary, "DISABLE_WAFER_VERSION_MAJOR") != 0,
        .ignores_max_block = optional(summary, "DISABLE_BLK_VERSION_MAJOR") != 0,
        .secure_version = count_bits(needed(summary, "SECURE_VERSION")),
    };
    if (chip->chip->has_block_revision) {
        chip->efuses.block_revision =
            (uint16_t)(needed(summary, "BLK_VERSION_MAJOR") * 100 + needed(summary, "BLK_VERSION_MINOR"));
    }
    if (boot_rom_knows_version(chip) && optional(summary, "BOOTLOADER_ANTI_ROLLBACK_EN") != 0) {
        chip->efuses.bootloader_version = count_bits(needed(summary, "BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION"));
    }
}

static int read_summary(const char *path, summary_t *summary, boot_chip_t *chip)
{
    const sr_chip_t *found = find_chip(summary);
    if (found == NULL) {
        return complain(STATUS_BAD_INPUT,
                        "%s: no eFuses of a chip that is known; the whole of what 'espefuse summary --format json' "
                        "prints is needed",
                        path);
    }
    if (chip->chip != NULL && chip->chip != found) {
        return complain(STATUS_BAD_INPUT, "%s: eFuses of an %s, and --chip says %s", path, found->family,
                        chip->chip->family);
    }
    chip->chip = found;
    read_demands(summary, chip);
    read_security(summary, found, &chip->burnt);
    return summary->problem == NULL
               ? STATUS_OK
               : complain(STATUS_BAD_INPUT, "%s: eFuses of an %s, whose field %s is missing or has an unknown value",
                          path, found->family, summary->problem);
}

int efuse_file_load(const char *path, boot_chip_t *chip)
{
    cJSON *json = NULL;
    int status = json_file_load_printed(path, &json);
    if (status == STATUS_OK) {
        summary_t summary = {.json = json};
        status = read_summary(path, &summary, chip);
    }
    cJSON_Delete(json);
    return status;
}
