// SPDX-License-Identifier: Apache-2.0
#include "tool/base/content_kind.h"

#include "sim/nor/nor_flash.h"
#include "tool/base/content_kind_finders.h"

#include <stdio.h>
#include <string.h>

/** What is told of each kind. */
static const struct {
    const char *name, *text, *mistaken;
} kinds[] = {
    [CONTENT_KIND_UNKNOWN] = {"unknown", "nothing known", NULL},
    [CONTENT_KIND_BLANK] = {"blank", "erased flash", NULL},
    [CONTENT_KIND_APP] = {"app", "app image", NULL},
    [CONTENT_KIND_BOOTLOADER] = {"bootloader", "second-stage bootloader", NULL},
    [CONTENT_KIND_MERGED] = {"part", "part of a flash", NULL},
    [CONTENT_KIND_FLASH] = {"flash", "whole flash", NULL},
    [CONTENT_KIND_MCUBOOT_SLOT] = {"mcuboot_slot", "MCUboot image", NULL},
    [CONTENT_KIND_TABLE] = {"partition_table", "partition table", NULL},
    [CONTENT_KIND_OTADATA] = {"otadata", "OTA data", NULL},
    [CONTENT_KIND_NVS] = {"nvs", "NVS", NULL},
    [CONTENT_KIND_SPIFFS] = {"spiffs", "SPIFFS file system", NULL},
    [CONTENT_KIND_LITTLEFS] = {"littlefs", "littlefs file system", NULL},
    [CONTENT_KIND_FAT] = {"fat", "FAT file system", NULL},
    [CONTENT_KIND_ELF] = {"elf", "ELF file",
                          "is an ELF file, which no chip boots: esptool elf2image makes an image of it"},
    [CONTENT_KIND_UF2] = {"uf2", "UF2 file",
                          "is UF2, which pack takes, and other commands do not: take the .bin file of the same build"},
    [CONTENT_KIND_GZIP] = {"gzip", "gzip file", "is compressed: unpack it first (gzip -d)"},
    [CONTENT_KIND_ESP8266] = {"esp8266", "image for the ESP8266",
                              "is an image for the ESP8266, which has another ROM and is not supported: take the "
                              "build for your ESP32"},
};

const char *content_kind_name(content_kind_t kind)
{
    return kinds[kind].name;
}

const char *content_kind_text(content_kind_t kind)
{
    return kinds[kind].text;
}

const char *content_kind_mistaken(content_kind_t kind)
{
    return kinds[kind].mistaken;
}

bool content_kind_is_blank(const content_kind_input_t *input, uint32_t offset, uint32_t length)
{
    return offset <= input->size && length <= input->size - offset &&
           (length == 0 || nor_is_erased(input->bytes + offset, length));
}

void content_kind_text_of(const uint8_t *bytes, size_t length, char *out, size_t capacity)
{
    size_t used = 0;
    for (; used < length && used + 1 < capacity && bytes[used] != '\0'; used++) {
        out[used] = (char)(bytes[used] >= ' ' && bytes[used] <= '~' ? bytes[used] : '?');
    }
    out[used] = '\0';
}

void content_kind_find(const uint8_t *bytes, uint32_t size, const sr_chip_t *chip, uint32_t table, content_t *content)
{
    const content_kind_input_t input = {.bytes = bytes, .size = size, .chip = chip, .table = table};
    memset(content, 0, sizeof(*content));
    // Long signatures first: an image is told by one byte, a table by two, and a file system may hold either.
    if (content_kind_nvs(&input, content) || content_kind_file_system(&input, content) ||
        content_kind_container(&input, content) || content_kind_image(&input, content) ||
        content_kind_otadata(&input, content)) {
        return;
    }
    if (size > 0 && content_kind_is_blank(&input, 0, size)) {
        content->kind = CONTENT_KIND_BLANK;
        (void)snprintf(content->facts, sizeof(content->facts), "%s", "nothing but 0xff");
    }
}
