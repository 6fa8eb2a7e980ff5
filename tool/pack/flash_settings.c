// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/flash_settings.h"

#include "format/sr_reader.h"

#include "format/sr_digest.h"
#include "tool/base/image_file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEADER_MODE       2u
#define HEADER_SIZE_CLOCK 3u

typedef struct setting {
    const char *name;
    uint8_t value;
} setting_t;

static const setting_t sizes[] = {{"1MB", 0},  {"2MB", 1},  {"4MB", 2},   {"8MB", 3}, {"16MB", 4},
                                  {"32MB", 5}, {"64MB", 6}, {"128MB", 7}, {NULL, 0}};
static const setting_t modes[] = {{"qio", 0}, {"qout", 1}, {"dio", 2}, {"dout", 3}, {NULL, 0}};

/** esptool's table FLASH_FREQUENCY of this chip. */
static const setting_t *clocks_of(const sr_chip_t *chip)
{
    static const setting_t usual[] = {{"80m", 0xF}, {"40m", 0}, {"26m", 1}, {"20m", 2}, {NULL, 0}};
    static const setting_t c2[] = {{"60m", 0xF}, {"30m", 0}, {"20m", 1}, {"15m", 2}, {NULL, 0}};
    static const setting_t h2[] = {{"48m", 0xF}, {"24m", 0}, {"16m", 1}, {"12m", 2}, {NULL, 0}};
    // its ROM divides wrongly: what a header calls 40 MHz may run at 80 MHz
    static const setting_t c6[] = {{"80m", 0}, {"40m", 0}, {"20m", 2}, {NULL, 0}};
    static const setting_t no_26[] = {{"80m", 0xF}, {"40m", 0}, {"20m", 2}, {NULL, 0}};
    static const struct {
        const char *chip;
        const setting_t *clocks;
    } others[] = {{"esp32c2", c2}, {"esp32h2", h2}, {"esp32c6", c6}, {"esp32c5", no_26}, {"esp32c61", no_26}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].chip, chip->name) == 0) {
            return others[i].clocks;
        }
    }
    return usual;
}

static const setting_t *find(const setting_t *table, const char *name)
{
    for (; table->name != NULL; table++) {
        if (strcasecmp(table->name, name) == 0) {
            return table;
        }
    }
    return NULL;
}

bool flash_setting_set(char setting[8], const char *value)
{
    if (strcmp(value, "keep") == 0 || strcmp(value, "detect") == 0) {
        value = "";
    }
    return (unsigned)snprintf(setting, 8, "%s", value) < 8;
}

static const char *list(const char *what, const setting_t *table, char out[FLASH_SETTINGS_TEXT_SIZE])
{
    size_t used = (size_t)snprintf(out, FLASH_SETTINGS_TEXT_SIZE, "%s (known: ", what);
    for (const setting_t *known = table; known->name != NULL && used < FLASH_SETTINGS_TEXT_SIZE; known++) {
        used += (size_t)snprintf(out + used, FLASH_SETTINGS_TEXT_SIZE - used, "%s%s", known->name,
                                 known[1].name != NULL ? ", " : ")");
    }
    return out;
}

const char *flash_settings_problem(const flash_settings_t *settings, const sr_chip_t *chip,
                                   char out[FLASH_SETTINGS_TEXT_SIZE])
{
    if (settings->size[0] != '\0' && find(sizes, settings->size) == NULL) {
        return list("unknown flash size", sizes, out);
    }
    if (settings->mode[0] != '\0' && find(modes, settings->mode) == NULL) {
        return list("unknown flash mode", modes, out);
    }
    if (settings->freq[0] != '\0' && find(clocks_of(chip), settings->freq) == NULL) {
        return list("the chip does not support this flash frequency", clocks_of(chip), out);
    }
    return NULL;
}

uint32_t flash_settings_bytes(const flash_settings_t *settings)
{
    return settings->size[0] == '\0' ? 0 : 0x100000u << find(sizes, settings->size)->value;
}

/** The header's two bytes as they must become. */
static void wanted(const flash_settings_t *settings, const sr_chip_t *chip, const uint8_t *header, uint8_t out[2])
{
    unsigned clock = header[HEADER_SIZE_CLOCK] & 0x0Fu;
    unsigned size = header[HEADER_SIZE_CLOCK] >> 4;
    if (settings->freq[0] != '\0') {
        clock = find(clocks_of(chip), settings->freq)->value;
    }
    if (settings->size[0] != '\0') {
        size = find(sizes, settings->size)->value;
    }
    out[0] = settings->mode[0] == '\0' ? header[HEADER_MODE] : find(modes, settings->mode)->value;
    out[1] = (uint8_t)(size << 4 | clock);
}

const char *flash_settings_apply(const flash_settings_t *settings, const sr_chip_t *chip, uint8_t *image, uint32_t room)
{
    uint8_t bytes[2];
    wanted(settings, chip, image, bytes);
    if (memcmp(image + HEADER_MODE, bytes, sizeof(bytes)) == 0) {
        return NULL;
    }
    const sr_reader_t reader = sr_reader_memory(image, room);
    sr_image_t parsed;
    if (sr_image_parse(&reader, &parsed) != SR_IMAGE_OK || sr_image_verify(&reader, &parsed, NULL) != SR_IMAGE_OK ||
        parsed.chip_id != chip->image_chip_id) {
        return "flash settings can only be changed in an intact bootloader for the chip";
    }
    if (sr_image_has_signature_block(&reader, &parsed, SR_IMAGE_SECURE_BOOT_OFF)) {
        return "changed flash settings would break the bootloader's Secure Boot signature";
    }
    memcpy(image + HEADER_MODE, bytes, sizeof(bytes));
    const uint32_t hashed = parsed.checksum_offset + 1;
    if (parsed.hash_appended && !sr_digest(image, hashed, image + hashed)) {
        return "the crypto library failed";
    }
    return NULL;
}
