// SPDX-License-Identifier: Apache-2.0
#include "format/sr_chip.h"

#include <stddef.h>

#define KNOWS_16_MIB  SR_CHIP_SIZE_CODE_ALL_KNOW
#define KNOWS_128_MIB 7u

/* Flash sizes: update_flash_config() in ESP-IDF's bootloader_support. From v4.4 on the code of ESP32-S2 and S3 knows
 * all of them, that of the ESP32-P4 from v5.4 on, of the ESP32-C5 32 MB from v5.5 on, and of every chip all from v5.5.2
 * and v6.0 on. So past 16 MB it is the binary that tells, and only one without messages goes by the table. Past 16 MiB:
 * SOC_SPI_MEM_SUPPORT_CACHE_32BIT_ADDR_MAP. Clocks: CONFIG_ESPTOOLPY_FLASHFREQ of each chip; the ROM of the ESP32-C6
 * goes wrong with code 0xF, so tools write 0 also for 80 MHz. Revisions that know a recovery bootloader: comments in
 * sdkconfig.ci.recovery_bootloader.* of ESP-IDF's examples/system/ota/partitions_ota. Secure versions in the ROM:
 * SOC_BOOTLOADER_ANTI_ROLLBACK_SUPPORTED. Keys of Secure Boot V2: SOC_EFUSE_SECURE_BOOT_KEY_DIGESTS,
 * SECURE_BOOT_NUM_BLOCKS and ESP_SECURE_BOOT_KEY_DIGEST_LEN. Encrypted rows: SOC_FLASH_ENCRYPTED_XTS_AES_BLOCK_MAX; the
 * ESP32 has 32 bytes. */
static const sr_chip_t chips[] = {
    {.name = "esp32",
     .family = "ESP32",
     .image_chip_id = 0x0000,
     .bootloader_offset = 0x1000,
     .last_size_code = KNOWS_16_MIB,
     .flash_clock_khz = 80000,
     .encryption_row = 32,
     .one_boot_key = true},
    {.name = "esp32s2",
     .family = "ESP32-S2",
     .image_chip_id = 0x0002,
     .bootloader_offset = 0x1000,
     .last_size_code = KNOWS_128_MIB,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .has_block_revision = true},
    {.name = "esp32c3",
     .family = "ESP32-C3",
     .image_chip_id = 0x0005,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_16_MIB,
     .flash_clock_khz = 80000,
     .encryption_row = 32,
     .old_revision_is_minor = true,
     .has_block_revision = true},
    {.name = "esp32s3",
     .family = "ESP32-S3",
     .image_chip_id = 0x0009,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_128_MIB,
     .maps_past_16_mib = true,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .old_revision_is_minor = true,
     .has_block_revision = true},
    {.name = "esp32c2",
     .family = "ESP32-C2",
     .image_chip_id = 0x000C,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_16_MIB,
     .flash_clock_khz = 60000,
     .encryption_row = 32,
     .has_block_revision = true,
     .one_boot_key = true,
     .half_boot_key = true},
    {.name = "esp32c6",
     .family = "ESP32-C6",
     .image_chip_id = 0x000D,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_16_MIB,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .clock_code_0_is_full = true,
     .has_block_revision = true},
    {.name = "esp32h2",
     .family = "ESP32-H2",
     .image_chip_id = 0x0010,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_16_MIB,
     .flash_clock_khz = 48000,
     .encryption_row = 64,
     .has_block_revision = true},
    {.name = "esp32p4",
     .family = "ESP32-P4",
     .image_chip_id = 0x0012,
     .bootloader_offset = 0x2000,
     .last_size_code = KNOWS_16_MIB,
     .maps_past_16_mib = true,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .has_block_revision = true,
     .recovery_revision = 300},
    {.name = "esp32c61",
     .family = "ESP32-C61",
     .image_chip_id = 0x0014,
     .bootloader_offset = 0x0,
     .last_size_code = KNOWS_16_MIB,
     .maps_past_16_mib = true,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .has_block_revision = true,
     .recovery_revision = 100,
     .rom_checks_version = true},
    {.name = "esp32c5",
     .family = "ESP32-C5",
     .image_chip_id = 0x0017,
     .bootloader_offset = 0x2000,
     .last_size_code = KNOWS_16_MIB,
     .maps_past_16_mib = true,
     .flash_clock_khz = 80000,
     .encryption_row = 64,
     .has_block_revision = true,
     .recovery_revision = 100,
     .rom_checks_version = true},
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

uint16_t sr_chip_minimum_revision(const sr_chip_t *chip, uint8_t old, uint16_t full)
{
    return full != 0 ? full : (uint16_t)(old * (chip->old_revision_is_minor ? 1u : 100u));
}

uint32_t sr_chip_flash_khz(const sr_chip_t *chip, uint8_t spi_speed)
{
    const uint32_t clock = chip->flash_clock_khz;
    switch (spi_speed) {
    case 0x0: /* May mean as much on a chip where tools write it for the undivided clock, too. */
        return chip->clock_code_0_is_full ? clock : clock / 2;
    case 0x1:
        return clock / 3;
    case 0x2:
        return clock / 4;
    case 0xF:
        return chip->clock_code_0_is_full ? 0 : clock;
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
