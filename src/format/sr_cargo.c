// SPDX-License-Identifier: Apache-2.0
#include "format/sr_cargo.h"

#include "format/sr_bytes.h"

#include <string.h>

/* Volatile, so that no compiler makes numbers in the code of it: who looks for these bytes in an app has to find them.
 */
static const volatile char magic[SR_CARGO_MAGIC_SIZE] = SR_CARGO_MAGIC;

static bool has_magic(const uint8_t *header)
{
    for (uint32_t i = 0; i < SR_CARGO_MAGIC_SIZE; i++) {
        if (header[i] != (uint8_t)magic[i]) {
            return false;
        }
    }
    return true;
}

static uint64_t padded(uint32_t size)
{
    return sr_region_align_up(size, SR_CARGO_ALIGNMENT);
}

/* Sizes are hostile until they add up to that of the segment, which lies inside the image. */
static sr_cargo_status_t read_header(const uint8_t *header, const sr_image_segment_t *segment, sr_cargo_t *cargo)
{
    const uint32_t settings_size = sr_bytes_get_le32(header + 16);
    const uint32_t bundle_size = sr_bytes_get_le32(header + 20);
    if (sr_bytes_get_le16(header + 8) != SR_CARGO_VERSION || sr_bytes_get_le16(header + 10) != SR_CARGO_HEADER_SIZE ||
        sr_bytes_get_le32(header + 12) != 0) {
        return SR_CARGO_BAD_VERSION;
    }
    if (!sr_bytes_are_zero(header + 24, SR_CARGO_HEADER_SIZE - 24) || settings_size > SR_CARGO_MAX_SETTINGS ||
        segment->length > SR_CARGO_MAX_SIZE ||
        SR_CARGO_HEADER_SIZE + padded(settings_size) + padded(bundle_size) != segment->length) {
        return SR_CARGO_BAD_HEADER;
    }
    cargo->settings = (sr_region_t){segment->data_offset + SR_CARGO_HEADER_SIZE, settings_size};
    cargo->bundle = (sr_region_t){cargo->settings.address + (uint32_t)padded(settings_size), bundle_size};
    return SR_CARGO_OK;
}

sr_cargo_status_t sr_cargo_find(const sr_reader_t *reader, const sr_image_t *image, sr_cargo_t *cargo)
{
    uint8_t header[SR_CARGO_HEADER_SIZE];
    if (image->segment_count < 2) {
        return SR_CARGO_NONE; /* The first segment is the app's. */
    }
    const sr_image_segment_t *last = &image->segments[image->segment_count - 1];
    if (last->load_address != SR_CARGO_LOAD_ADDRESS || last->length < sizeof(header)) {
        return SR_CARGO_NONE;
    }
    if (reader->read(reader->context, last->data_offset, header, sizeof(header)) != 0) {
        return SR_CARGO_READ_FAILED;
    }
    return has_magic(header) ? read_header(header, last, cargo) : SR_CARGO_NONE;
}

/* Length of the text at an offset, or size - offset if no zero ends it. */
static uint32_t length_at(const char *settings, uint32_t size, uint32_t offset)
{
    uint32_t length = 0;
    while (offset + length < size && settings[offset + length] != '\0') {
        length++;
    }
    return length;
}

static bool is_name(const char *name, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if ((name[i] < 'a' || name[i] > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '_') {
            return false;
        }
    }
    return length >= 1 && length <= SR_CARGO_MAX_NAME;
}

sr_cargo_status_t sr_cargo_check_settings(const char *settings, uint32_t size)
{
    const char *previous = NULL;
    for (uint32_t offset = 0; offset < size;) {
        const char *name = settings + offset;
        const uint32_t name_length = length_at(settings, size, offset);
        const uint32_t value = offset + name_length + 1;
        if (!is_name(name, name_length) || value >= size || (previous != NULL && strcmp(previous, name) >= 0)) {
            return SR_CARGO_BAD_SETTINGS;
        }
        const uint32_t end = value + length_at(settings, size, value);
        if (end == size) {
            return SR_CARGO_BAD_SETTINGS;
        }
        previous = name;
        offset = end + 1;
    }
    return SR_CARGO_OK;
}

bool sr_cargo_next_setting(const char *settings, uint32_t size, uint32_t *offset, sr_cargo_setting_t *setting)
{
    if (*offset >= size) {
        return false;
    }
    setting->name = settings + *offset;
    setting->value = setting->name + length_at(settings, size, *offset) + 1;
    const uint32_t value = (uint32_t)(setting->value - settings);
    *offset = value + length_at(settings, size, value) + 1;
    return true;
}

const char *sr_cargo_setting(const char *settings, uint32_t size, const char *name)
{
    sr_cargo_setting_t setting;
    for (uint32_t offset = 0; sr_cargo_next_setting(settings, size, &offset, &setting);) {
        if (strcmp(setting.name, name) == 0) {
            return setting.value;
        }
    }
    return NULL;
}

const char *sr_cargo_status_text(sr_cargo_status_t status)
{
    switch (status) {
    case SR_CARGO_OK:
        return "cargo is well-formed";
    case SR_CARGO_NONE:
        return "no cargo in this image";
    case SR_CARGO_READ_FAILED:
        return "cargo cannot be read";
    case SR_CARGO_BAD_VERSION:
        return "cargo of a version or with a feature that is not known here";
    case SR_CARGO_BAD_HEADER:
        return "cargo with sizes that do not add up, or with reserved bytes set";
    case SR_CARGO_BAD_SETTINGS:
        return "cargo with bad settings";
    }
    return "unknown cargo status";
}
