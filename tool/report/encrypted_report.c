// SPDX-License-Identifier: Apache-2.0
#include "tool/report/encrypted_report.h"

#include "format/sr_region.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/content_kind.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VALUE_COLUMN 15u /**< The column where terminal_key() ends. */

/** What a stretch of a locked dump looks like. */
typedef enum look { LOOK_ERASED, LOOK_NOISE, LOOK_PLAIN } look_t;

typedef struct stretch {
    sr_region_t place;
    look_t look;
    content_t content; /**< Of PLAIN. */
} stretch_t;

static look_t look_at(const uint8_t *sector)
{
    return nor_is_erased(sector, SR_SECTOR_SIZE)    ? LOOK_ERASED
           : crypt_is_noise(sector, SR_SECTOR_SIZE) ? LOOK_NOISE
                                                    : LOOK_PLAIN;
}

/** The stretch that starts at an address. @return false past the end. */
static bool find_stretch(const image_file_t *file, uint32_t address, stretch_t *stretch)
{
    if (address >= file->size) {
        return false;
    }
    uint32_t end = address;
    *stretch = (stretch_t){.look = look_at(file->bytes + address)};
    while (end < file->size && look_at(file->bytes + end) == stretch->look) {
        end += SR_SECTOR_SIZE;
    }
    stretch->place = (sr_region_t){address, end - address};
    if (stretch->look == LOOK_PLAIN) {
        content_kind_find(file->bytes + address, end - address, NULL, 0, &stretch->content);
    }
    return true;
}

static const char *mode_name(const efuse_set_t *burnt)
{
    return efuse_set_is_release(burnt) ? "release" : "development";
}

static const char *stretch_name(const stretch_t *stretch)
{
    static const char *const names[] = {[LOOK_ERASED] = "erased", [LOOK_NOISE] = "noise", [LOOK_PLAIN] = "unknown"};
    const bool known = stretch->look == LOOK_PLAIN && stretch->content.kind == CONTENT_KIND_NVS;
    return known ? content_kind_name(stretch->content.kind) : names[stretch->look];
}

static const char *stretch_text(const stretch_t *stretch)
{
    static const char *const texts[] = {
        [LOOK_ERASED] = "erased", [LOOK_NOISE] = "noise: encrypted, or compressed", [LOOK_PLAIN] = "not encrypted"};
    return texts[stretch->look];
}

static void print_efuses(const boot_chip_t *chip)
{
    char scheme[CRYPT_SCHEME_SIZE];
    terminal_key("chip");
    printf("%s, revision v%u.%u\n", chip->chip->family, chip->revision / 100u, chip->revision % 100u);
    terminal_key("scheme");
    puts(crypt_scheme_text(&chip->burnt, scheme));
    terminal_key("mode");
    puts(mode_name(&chip->burnt));
    terminal_key("secure boot");
    puts(chip->burnt.secure_boot_v2 ? "V2" : chip->burnt.secure_boot_v1 ? "V1" : "off");
}

void encrypted_report_print_locked(const image_file_t *file, const boot_chip_t *chip, const char *why)
{
    char size[NUMBER_TEXT_SIZE];
    stretch_t stretch;
    printf("%s%s%s\n", terminal_style(STYLE_HEADING), file->path, terminal_reset());
    printf("  whole flash, %s\n", number_size(file->size, size));
    terminal_key("encryption");
    terminal_wrap(why, VALUE_COLUMN, VALUE_COLUMN);
    if (efuse_set_encrypts(&chip->burnt)) {
        print_efuses(chip);
    }
    terminal_heading("What lies where");
    for (uint32_t at = 0; find_stretch(file, at, &stretch); at += stretch.place.size) {
        const bool nvs = stretch.look == LOOK_PLAIN && stretch.content.kind == CONTENT_KIND_NVS;
        printf("  0x%06" PRIx32 "  %-11s%s%s\n", stretch.place.address, number_size(stretch.place.size, size),
               stretch_text(&stretch), nvs ? ": NVS" : "");
    }
}

cJSON *encrypted_report_locked_json(const image_file_t *file, const boot_chip_t *chip, const char *why)
{
    char scheme[CRYPT_SCHEME_SIZE];
    stretch_t stretch;
    const bool told = efuse_set_encrypts(&chip->burnt);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "file", file->path);
    cJSON_AddStringToObject(json, "kind", "encrypted_flash");
    cJSON_AddNumberToObject(json, "size", file->size);
    cJSON_AddStringToObject(json, "chip", told ? chip->chip->name : "");
    cJSON *encryption = cJSON_AddObjectToObject(json, "encryption");
    cJSON_AddBoolToObject(encryption, "opened", false);
    cJSON_AddItemToObject(encryption, "scheme",
                          told ? cJSON_CreateString(crypt_scheme_text(&chip->burnt, scheme)) : cJSON_CreateNull());
    cJSON_AddItemToObject(encryption, "mode", told ? cJSON_CreateString(mode_name(&chip->burnt)) : cJSON_CreateNull());
    cJSON_AddStringToObject(encryption, "text", why);
    cJSON *list = cJSON_AddArrayToObject(json, "stretches");
    for (uint32_t at = 0; find_stretch(file, at, &stretch); at += stretch.place.size) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "offset", stretch.place.address);
        cJSON_AddNumberToObject(item, "size", stretch.place.size);
        cJSON_AddStringToObject(item, "content", stretch_name(&stretch));
        cJSON_AddItemToArray(list, item);
    }
    return json;
}

void encrypted_report_print_opened(const contents_t *contents)
{
    if (!contents->encrypted) {
        return;
    }
    const efuse_set_t *burnt = &contents->chip.burnt;
    terminal_key("encryption");
    printf("%s, shown as the chip reads it", crypt_scheme_name(contents->scheme));
    printf("%s%s\n", efuse_set_encrypts(burnt) ? ", mode: " : "", efuse_set_encrypts(burnt) ? mode_name(burnt) : "");
}

cJSON *encrypted_report_opened_json(const contents_t *contents)
{
    if (!contents->encrypted) {
        return cJSON_CreateNull();
    }
    const efuse_set_t *burnt = &contents->chip.burnt;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "opened", true);
    cJSON_AddStringToObject(json, "scheme", crypt_scheme_name(contents->scheme));
    cJSON_AddItemToObject(json, "mode",
                          efuse_set_encrypts(burnt) ? cJSON_CreateString(mode_name(burnt)) : cJSON_CreateNull());
    return json;
}
