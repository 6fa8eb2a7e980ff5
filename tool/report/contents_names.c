// SPDX-License-Identifier: Apache-2.0
#include "tool/report/contents_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct named_number {
    uint32_t number;
    const char *name;
} named_number_t;

static const char *find_name(const named_number_t *names, uint32_t number)
{
    for (; names->name != NULL; names++) {
        if (names->number == number) {
            return names->name;
        }
    }
    return NULL;
}

static const char *name_or(const char *name, const char *format, uint32_t number, char *out)
{
    if (name != NULL) {
        snprintf(out, NAME_SIZE, "%s", name);
    } else {
        snprintf(out, NAME_SIZE, "%s%" PRIx32, format, number);
    }
    return out;
}

const char *partition_type_name(const sr_partition_table_entry_t *entry, char out[NAME_SIZE])
{
    static const named_number_t types[] = {{SR_PARTITION_TYPE_APP, "app"}, {SR_PARTITION_TYPE_DATA, "data"}, {0, NULL}};
    return name_or(find_name(types, entry->type), "0x", entry->type, out);
}

const char *partition_subtype_name(const sr_partition_table_entry_t *entry, char out[NAME_SIZE])
{
    static const named_number_t data[] = {{0x00, "ota"},      {0x01, "phy"},    {0x02, "nvs"},       {0x03, "coredump"},
                                          {0x04, "nvs_keys"}, {0x05, "efuse"},  {0x06, "undefined"}, {0x80, "esphttpd"},
                                          {0x81, "fat"},      {0x82, "spiffs"}, {0x83, "littlefs"},  {0, NULL}};
    static const named_number_t app[] = {
        {SR_PARTITION_APP_FACTORY, "factory"}, {SR_PARTITION_APP_TEST, "test"}, {0, NULL}};
    const char *name = NULL;
    if (entry->type == SR_PARTITION_TYPE_DATA) {
        name = find_name(data, entry->subtype);
    } else if (entry->type == SR_PARTITION_TYPE_APP) {
        name = find_name(app, entry->subtype);
        if (entry->subtype >= SR_PARTITION_APP_OTA_0 && entry->subtype <= SR_PARTITION_APP_OTA_LAST) {
            snprintf(out, NAME_SIZE, "ota_%u", entry->subtype - SR_PARTITION_APP_OTA_0);
            return out;
        }
    }
    return name_or(name, "0x", entry->subtype, out);
}

const char *ota_state_name(uint32_t state, char out[NAME_SIZE])
{
    static const named_number_t states[] = {{SR_OTA_NEW, "new"},
                                            {SR_OTA_PENDING_VERIFY, "pending verify"},
                                            {SR_OTA_VALID, "valid"},
                                            {SR_OTA_INVALID, "invalid"},
                                            {SR_OTA_ABORTED, "aborted"},
                                            {UINT32_MAX, "undefined"},
                                            {0, NULL}};
    return name_or(find_name(states, state), "0x", state, out);
}

const char *flash_mode_name(const sr_image_t *image, char out[NAME_SIZE])
{
    static const named_number_t modes[] = {{0, "QIO"}, {1, "QOUT"}, {2, "DIO"}, {3, "DOUT"}, {0, NULL}};
    return name_or(find_name(modes, image->spi_mode), "mode 0x", image->spi_mode, out);
}

const char *flash_clock_name(const sr_chip_t *chip, const sr_image_t *image, char out[NAME_SIZE])
{
    const uint8_t mhz = (uint8_t)(sr_chip_flash_khz(chip, image->spi_speed) / 1000u); // at most 80
    if (mhz == 0) {
        return name_or(NULL, "clock 0x", image->spi_speed, out);
    }
    if (chip->clock_code_0_is_full && image->spi_speed == 0) {
        snprintf(out, NAME_SIZE, "%u or %u MHz", (unsigned)mhz / 2, (unsigned)mhz);
    } else {
        snprintf(out, NAME_SIZE, "%u MHz", (unsigned)mhz);
    }
    return out;
}

const char *flash_size_name(const sr_image_t *image, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "%uMB", 1u << image->spi_size); // a nibble: at most 32768
    return out;
}

const char *check_state_name(check_state_t state)
{
    static const char *const names[] = {
        [CHECK_GOOD] = "good", [CHECK_WRONG] = "wrong", [CHECK_ABSENT] = "none", [CHECK_UNKNOWN] = "not checked"};
    return names[state];
}
