// SPDX-License-Identifier: Apache-2.0
#include "format/sr_chip.h"

#include <stddef.h>

#define ESP32C2 0x000Cu
#define ESP32C6 0x000Du
#define ESP32H2 0x0010u

#define KNOWS_16_MIB  SR_CHIP_SIZE_CODE_ALL_KNOW
#define KNOWS_128_MIB 7u

// Flash sizes: update_flash_config() in ESP-IDF's bootloader_support. From v4.4 on the code of ESP32-S2 and S3 knows
// all of them, that of the ESP32-P4 from v5.4 on, of the ESP32-C5 32 MB from v5.5 on, and of every chip all from v5.5.2
// and v6.0 on. So past 16 MB the binary tells, and the table counts only for one without messages. Past 16 MiB:
// SOC_SPI_MEM_SUPPORT_CACHE_32BIT_ADDR_MAP.
static const sr_chip_t chips[] = {
    {"esp32", "ESP32", 0x0000, 0x1000, KNOWS_16_MIB, false},
    {"esp32s2", "ESP32-S2", 0x0002, 0x1000, KNOWS_128_MIB, false},
    {"esp32c3", "ESP32-C3", 0x0005, 0x0, KNOWS_16_MIB, false},
    {"esp32s3", "ESP32-S3", 0x0009, 0x0, KNOWS_128_MIB, true},
    {"esp32c2", "ESP32-C2", 0x000C, 0x0, KNOWS_16_MIB, false},
    {"esp32c6", "ESP32-C6", 0x000D, 0x0, KNOWS_16_MIB, false},
    {"esp32h2", "ESP32-H2", 0x0010, 0x0, KNOWS_16_MIB, false},
    {"esp32p4", "ESP32-P4", 0x0012, 0x2000, KNOWS_16_MIB, true},
    {"esp32c61", "ESP32-C61", 0x0014, 0x0, KNOWS_16_MIB, true},
    {"esp32c5", "ESP32-C5", 0x0017, 0x2000, KNOWS_16_MIB, true},
};

/** ASCII only: tolower() would ask the locale. */
static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool equal_ignoring_case(const char *a, const char *b)
{
    while (*a != '\0' && to_lower(*a) == to_lower(*b)) {
        a++;
        b++;
    }
    return to_lower(*a) == to_lower(*b);
}

const sr_chip_t *sr_chip_by_id(uint16_t image_chip_id)
{
    for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
        if (chips[i].image_chip_id == image_chip_id) {
            return &chips[i];
        }
    }
    return NULL;
}

const sr_chip_t *sr_chip_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
        if (equal_ignoring_case(name, chips[i].name) || equal_ignoring_case(name, chips[i].family)) {
            return &chips[i];
        }
    }
    return NULL;
}

const sr_chip_t *sr_chip_at(unsigned index)
{
    return index < sizeof(chips) / sizeof(chips[0]) ? &chips[index] : NULL;
}

uint32_t sr_chip_flash_khz(const sr_chip_t *chip, uint8_t spi_speed)
{
    const uint16_t id = chip->image_chip_id;
    const uint32_t source = id == ESP32C2 ? 60000u : id == ESP32H2 ? 48000u : 80000u;
    switch (spi_speed) {
    case 0x0:
        // The ROM of the ESP32-C6 goes wrong with 0xF, so tools write 0 for 80 MHz, too: it may mean 80 MHz.
        return id == ESP32C6 ? source : source / 2;
    case 0x1:
        return source / 3;
    case 0x2:
        return source / 4;
    case 0xF:
        return id == ESP32C6 ? 0 : source;
    default:
        return 0;
    }
}

static const char *const size_names[] = {"1MB", "2MB", "4MB", "8MB", "16MB", "32MB", "64MB", "128MB"};

const char *sr_chip_size_name(uint8_t code)
{
    return code < sizeof(size_names) / sizeof(size_names[0]) ? size_names[code] : NULL;
}

uint32_t sr_chip_flash_size(const sr_chip_t *chip, uint8_t code, sr_chip_size_message_t message)
{
    const bool silent = message == SR_CHIP_SIZE_NO_WORD && code <= chip->last_size_code;
    const bool known = code <= SR_CHIP_SIZE_CODE_ALL_KNOW || silent || message == SR_CHIP_SIZE_NAMED;
    return known && sr_chip_size_name(code) != NULL ? 0x100000u << code : 0x200000u;
}

bool sr_chip_out_of_reach(const sr_chip_t *chip, uint32_t address, uint32_t length)
{
    return !chip->maps_past_16_mib && (uint64_t)address + length > SR_FLASH_24_BIT;
}
