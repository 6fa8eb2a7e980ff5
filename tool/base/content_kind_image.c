// SPDX-License-Identifier: Apache-2.0
#include "tool/base/content_kind_finders.h"

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "format/sr_mcuboot.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"

#include <stdio.h>

#define SMALLEST_FLASH    0x100000u
#define OLD_LOADER_OFFSET 0x1000u

#define ESP8266_MAGIC_2 0xEAu
#define ESP8266_ENTRY   4u
#define ESP8266_SEGMENT 8u /**< The first segment follows here: its header has no second half. */

static bool is_in(uint32_t value, uint32_t first, uint32_t end)
{
    return value >= first && value < end;
}

/** Its code is in RAM from 0x40100000 on, or mapped from 0x40200000 on, which an ESP32 does not start at. */
static bool is_esp8266_code(uint32_t address)
{
    return is_in(address, 0x40100000, 0x40110000) || is_in(address, 0x40200000, 0x40400000);
}

/** Starts as an image for an ESP32 does. What would be pins of the flash there, is an address here. */
static bool find_esp8266(const content_kind_input_t *input, content_t *content)
{
    const uint8_t *bytes = input->bytes;
    if (input->size < ESP8266_SEGMENT + 8 || (bytes[0] != SR_IMAGE_MAGIC && bytes[0] != ESP8266_MAGIC_2)) {
        return false;
    }
    const uint32_t address = sr_bytes_get_le32(bytes + ESP8266_SEGMENT);
    const bool data = is_in(address, 0x3FFE8000, 0x40000000) || (address == 0 && bytes[0] == ESP8266_MAGIC_2);
    if (!is_esp8266_code(sr_bytes_get_le32(bytes + ESP8266_ENTRY)) || !(data || is_esp8266_code(address))) {
        return false;
    }
    content->kind = CONTENT_KIND_ESP8266;
    return true;
}

bool content_kind_has_table(const uint8_t *bytes, uint32_t size, uint32_t offset)
{
    return sr_region_fits((sr_region_t){offset, SR_PARTITION_ENTRY_SIZE}, size) &&
           sr_bytes_get_le16(bytes + offset) == SR_PARTITION_ENTRY_MAGIC;
}

/** Starts with an entry; or has the size of a table, and an entry further on: then the first ones are damaged. */
static bool is_table(const content_kind_input_t *input)
{
    const bool alone = input->size == SR_PARTITION_TABLE_SIZE || input->size == SR_SECTOR_SIZE;
    for (uint32_t at = 0; alone && at < SR_PARTITION_TABLE_SIZE; at += SR_PARTITION_ENTRY_SIZE) {
        if (content_kind_has_table(input->bytes, input->size, at)) {
            return true;
        }
    }
    return content_kind_has_table(input->bytes, input->size, 0);
}

/** One that starts with an ESP image: an app, a bootloader, or a bootloader and more. */
static bool find_esp_image(const content_kind_input_t *input, content_t *content)
{
    const sr_reader_t reader = sr_reader_memory(input->bytes, input->size);
    sr_image_t image = {0};
    sr_image_app_desc_t desc;
    if (input->size < SR_IMAGE_HEADER_SIZE || input->bytes[0] != SR_IMAGE_MAGIC) {
        return false;
    }
    const sr_image_status_t status = sr_image_parse(&reader, &image);
    content->chip = sr_chip_by_id(image.chip_id);
    if (sr_image_app_desc(&reader, &image, &desc)) {
        content->kind = CONTENT_KIND_APP;
        return true;
    }
    const sr_chip_t *chip = input->chip != NULL ? input->chip : content->chip;
    content->base = chip != NULL ? chip->bootloader_offset : sr_chip_at(0)->bootloader_offset;
    const bool more = status == SR_IMAGE_OK && input->size > sr_region_align_up(image.length, SR_SECTOR_SIZE);
    content->kind = more ? CONTENT_KIND_MERGED : CONTENT_KIND_BOOTLOADER;
    return true;
}

static bool is_flash_size(uint32_t size)
{
    return size >= SMALLEST_FLASH && (size & (size - 1)) == 0;
}

bool content_kind_image(const content_kind_input_t *input, content_t *content)
{
    if (input->size >= 32 && sr_bytes_get_le32(input->bytes) == SR_MCUBOOT_IMAGE_MAGIC) {
        content->kind = CONTENT_KIND_MCUBOOT_SLOT;
    } else if (is_table(input)) {
        content->kind = CONTENT_KIND_TABLE;
    } else if (content_kind_has_table(input->bytes, input->size, input->table)) {
        content->kind = is_flash_size(input->size) ? CONTENT_KIND_FLASH : CONTENT_KIND_MERGED;
    } else if (find_esp8266(input, content) || find_esp_image(input, content)) {
        return true;
    } else if (!is_flash_size(input->size) && input->size > OLD_LOADER_OFFSET &&
               input->bytes[OLD_LOADER_OFFSET] == SR_IMAGE_MAGIC) {
        content->kind = CONTENT_KIND_MERGED;
    } else if (is_flash_size(input->size)) {
        content->kind = CONTENT_KIND_FLASH;
    } else {
        return false;
    }
    return true;
}
