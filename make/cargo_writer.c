// SPDX-License-Identifier: Apache-2.0
#include "make/cargo_writer.h"

#include "format/sr_bytes.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENT_HEADER_SIZE 8u
#define SEGMENT_COUNT       1u // offsets in the image's header
#define HASH_APPENDED       23u
#define FOOTER_SIZE         (16u + SR_SHA256_SIZE) // at most

/** The new image, as far as it is written. */
typedef struct output {
    uint8_t *bytes;
    uint32_t length;
} output_t;

static void put(output_t *output, const void *bytes, uint32_t size)
{
    if (size != 0) {
        memcpy(output->bytes + output->length, bytes, size);
    }
    output->length += size;
}

static void put_le32(output_t *output, uint32_t value)
{
    sr_bytes_put_le32(output->bytes + output->length, value);
    output->length += 4;
}

/** Zeros, of which all of the output was made, up to a multiple of @p unit from @p start on. */
static void pad(output_t *output, uint32_t start, uint32_t unit)
{
    output->length = start + (uint32_t)sr_region_align_up(output->length - start, unit);
}

static uint64_t settings_size(const cargo_spec_t *spec)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < spec->setting_count; i++) {
        size += strlen(spec->settings[i].name) + 1 + strlen(spec->settings[i].value) + 1;
    }
    return size;
}

static uint64_t cargo_size(const cargo_spec_t *spec)
{
    const uint64_t settings = settings_size(spec);
    return settings > SR_CARGO_MAX_SETTINGS
               ? UINT64_MAX
               : SR_CARGO_HEADER_SIZE + sr_region_align_up((uint32_t)settings, SR_CARGO_ALIGNMENT) +
                     sr_region_align_up(spec->bundle_size, SR_CARGO_ALIGNMENT);
}

static void put_cargo(output_t *output, const cargo_spec_t *spec)
{
    const uint32_t start = output->length;
    put(output, SR_CARGO_MAGIC, SR_CARGO_MAGIC_SIZE);
    put_le32(output, SR_CARGO_VERSION | SR_CARGO_HEADER_SIZE << 16);
    put_le32(output, 0); // features
    put_le32(output, (uint32_t)settings_size(spec));
    put_le32(output, spec->bundle_size);
    output->length = start + SR_CARGO_HEADER_SIZE;
    for (unsigned i = 0; i < spec->setting_count; i++) {
        put(output, spec->settings[i].name, (uint32_t)strlen(spec->settings[i].name) + 1);
        put(output, spec->settings[i].value, (uint32_t)strlen(spec->settings[i].value) + 1);
    }
    pad(output, start, SR_CARGO_ALIGNMENT);
    put(output, spec->bundle, spec->bundle_size);
    pad(output, start, SR_CARGO_ALIGNMENT);
}

/** Checksum byte and SHA-256 of the image, as its header and segments are now. */
static image_write_status_t put_footer(output_t *output, const sr_image_t *app)
{
    uint8_t checksum = 0xEF;
    uint32_t at = SR_IMAGE_HEADER_SIZE;
    for (unsigned i = 0; i < app->segment_count + 1u; i++) {
        const uint32_t length = sr_bytes_get_le32(output->bytes + at + 4);
        at += SEGMENT_HEADER_SIZE;
        for (uint32_t k = 0; k < length; k++) {
            checksum ^= output->bytes[at + k];
        }
        at += length;
    }
    output->length += 1;
    pad(output, 0, 16);
    output->bytes[output->length - 1] = checksum;
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, output->bytes, output->length);
    const int error = sr_sha256_finish(&sha, output->bytes + output->length);
    output->length += SR_SHA256_SIZE;
    return error == 0 ? IMAGE_WRITE_OK : IMAGE_WRITE_CRYPTO_FAILED;
}

/** True if what was written is what a reader takes. */
static bool is_good(const output_t *output)
{
    sr_image_t image;
    sr_cargo_t cargo;
    const sr_reader_t reader = sr_reader_memory(output->bytes, output->length);
    return sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_cargo_find(&reader, &image, &cargo) == SR_CARGO_OK &&
           sr_cargo_check_settings((const char *)output->bytes + cargo.settings.address, cargo.settings.size) ==
               SR_CARGO_OK;
}

image_write_status_t cargo_write(const cargo_spec_t *spec, uint8_t **image, size_t *size)
{
    sr_image_t app;
    const sr_reader_t reader = sr_reader_memory(spec->app, spec->app_size);
    *image = NULL;
    *size = 0;
    if (sr_image_parse(&reader, &app) != SR_IMAGE_OK || app.segment_count >= SR_IMAGE_MAX_SEGMENTS ||
        cargo_size(spec) > SR_CARGO_MAX_SIZE) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    const sr_image_segment_t *last = &app.segments[app.segment_count - 1];
    const uint32_t end = last->data_offset + last->length;
    output_t output = {.bytes =
                           calloc(1, (size_t)end + SEGMENT_HEADER_SIZE + (uint32_t)cargo_size(spec) + FOOTER_SIZE)};
    if (output.bytes == NULL) {
        return IMAGE_WRITE_NO_MEMORY;
    }
    put(&output, spec->app, end);
    output.bytes[SEGMENT_COUNT]++;
    output.bytes[HASH_APPENDED] = 1;
    put_le32(&output, SR_CARGO_LOAD_ADDRESS);
    put_le32(&output, (uint32_t)cargo_size(spec));
    put_cargo(&output, spec);
    image_write_status_t status = put_footer(&output, &app);
    if (status == IMAGE_WRITE_OK && !is_good(&output)) {
        status = IMAGE_WRITE_BAD_ARGUMENT; // names of settings that are none, or out of order
    }
    if (status != IMAGE_WRITE_OK) {
        free(output.bytes);
        return status;
    }
    *image = output.bytes;
    *size = output.length;
    return IMAGE_WRITE_OK;
}
