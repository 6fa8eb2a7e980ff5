// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the tests of the public API share: a simulated chip with a known layout, images, a server that serves them, and
 * assertions about the whole flash.
 *
 * The layout leaves no byte of the flash blank that a test might want to find untouched:
 *
 *     0x001000 bootloader    0x00d000 otadata    0x110000 ota_1 1 MiB    0x310000 ota_3  64 KiB
 *     0x008000 table         0x010000 ota_0      0x210000 ota_2 1 MiB    0x320000 data   896 KiB, to the end
 *     0x009000 nvs           (1 MiB)
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/support/http_server.h"
#include "self_reflasher.h"
#include "format/sr_region.h"
#include "sim/chip/sim_chip.h"

#define API_FLASH_SIZE 0x400000u
#define API_BOOTLOADER 0x1000u
#define API_TABLE      0x8000u
#define API_NVS        0x9000u
#define API_OTADATA    0xD000u
#define API_OTA_0      0x10000u
#define API_OTA_1      0x110000u
#define API_OTA_2      0x210000u
#define API_OTA_3      0x310000u
#define API_DATA       0x320000u
#define API_SLOT_SIZE  0x100000u

/** Bytes on the heap. */
typedef struct api_image {
    uint8_t *bytes;
    size_t length;
} api_image_t;

/** Bootloader that is valid for this chip: "esp32", ... */
api_image_t api_bootloader(const char *chip);
/** MCUboot for the ESP32; its length does not matter, but its bytes differ from those of api_bootloader(). */
api_image_t api_mcuboot(void);
/** ESP-IDF app for the ESP32 of about @p code_size bytes and 200 KiB. */
api_image_t api_app(uint32_t code_size);
/** Not an image of any kind: firmware-like bytes with blank pages in between, other ones for each seed. */
api_image_t api_noise(size_t length, uint32_t seed);
api_image_t api_copy(api_image_t image);
/** A file of the real firmware; skips the test where it is missing. */
api_image_t api_fixture(const char *name);
void api_image_free(api_image_t *image);

/** The partitions in the order of the table, for api_options_t. */
enum {
    API_READONLY_NVS = 1,
    API_READONLY_OTADATA = 2,
    API_READONLY_OTA_0 = 4,
    API_READONLY_OTA_1 = 8,
    API_READONLY_OTA_2 = 16,
    API_READONLY_OTA_3 = 32,
    API_READONLY_DATA = 64
};

/** What a test wants of its chip. */
typedef struct api_options {
    uint32_t running_app; /**< 0: ota_2. */
    bool flash_encryption;
    bool secure_boot;
    bool secure_boot_v1;
    sr_chip_efuses_t efuses;
    bool before_v5_2;
    unsigned readonly;   /**< Partitions that are flagged so in the table: bit N for API_READONLY_... */
    uint32_t heap_limit; /**< 0: the chip's default. */
    uint32_t flash_size; /**< Of the flash chip; 0: 4 MiB, which is what the bootloader's header says in any case. */
    bool logs;           /**< Log lines go to stderr. */
    bool lone_slot;      /**< The running app's slot is the only one, so that it cannot move: the others are data. */
} api_options_t;

typedef struct api_chip {
    nor_flash_t *flash;
    sim_config_t config;
    uint8_t *before; /**< Content at the last api_chip_snapshot(). */
} api_chip_t;

/** A chip with the layout above, attached, with a snapshot taken. */
void api_chip_open(api_chip_t *chip, const api_options_t *options);
/** Attaches a chip that holds what the caller put on @p flash, with a snapshot taken. */
void api_chip_attach(api_chip_t *chip, nor_flash_t *flash, uint32_t running_app);
/** Detaches; fails the test if heap or HTTP clients are left, or if a program asked for a 1 where flash held a 0. */
void api_chip_close(api_chip_t *chip);
/** What the flash holds from now on is "before"; the operations are counted anew. */
void api_chip_snapshot(api_chip_t *chip);
/** Puts bytes on the flash as if they had always been there, scrambled if the chip encrypts. */
void api_chip_put(api_chip_t *chip, uint32_t address, const uint8_t *bytes, size_t length);
/** The flash as the chip sees it, decrypted at every address. Freed by the caller. */
uint8_t *api_chip_plain(const api_chip_t *chip);
const esp_partition_t *api_partition(const char *label);
/** Everything that a body in a child process wants to tell: zeroed memory that it shares with its parent. */
void *api_shared(size_t size);
void api_shared_free(void *memory, size_t size);

/** Not one erase or program happened, nothing is left allocated or open. */
void api_assert_untouched(const api_chip_t *chip);
/** Nothing changed but inside of these regions. */
void api_assert_same_outside(const api_chip_t *chip, const sr_region_t *regions, unsigned count);
/** The region holds the image, and 0xFF after it. */
void api_assert_holds(const api_chip_t *chip, sr_region_t region, api_image_t image);
/** No byte of heap and no HTTP client more than these are left. */
void api_assert_no_leak(uint32_t heap_expected);

/** Bytes of heap that one handle takes. */
uint32_t api_handle_size(void);

/** A download config, by value: `http` belongs to it. */
typedef struct api_download {
    esp_http_client_config_t http;
    esp_self_reflasher_config_t config;
} api_download_t;

void api_download_to(api_download_t *download, const char *url, uint32_t address, size_t size);
/** init, download_bin, copy_to_region, deinit: the first error, or ESP_OK. Leaks are the caller's to check. */
esp_err_t api_run_download(const esp_self_reflasher_config_t *config);
/** Config for an image in flash that is copied to a region. */
esp_self_reflasher_config_t api_embedded(uint32_t source, size_t length, uint32_t address, size_t size);

/** A folder of its own with a server that serves it. */
typedef struct api_server {
    http_server_t http;
    char folder[32];
} api_server_t;

/** One at a time, as new and with an empty folder. */
void api_server_start(api_server_t *server);
void api_server_stop(api_server_t *server);
/** Puts a file into the folder. */
void api_server_put(const api_server_t *server, const char *name, api_image_t image);
const char *api_server_url(const api_server_t *server, const char *path);

/** Collects what is logged to stderr from here on. Not nested. */
void api_log_start(void);
/** The collected text, for free(). */
char *api_log_stop(void);
/** Fails unless the text has at least one error line, and the pieces are in error lines. NULL ends the list. */
void api_assert_error_line(const char *log, ...);

/** SplitMix64. */
uint64_t api_random(uint64_t *state);
