// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/carrier.h"

#include "format/sr_cargo.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"

#include <inttypes.h>
#include <string.h>

static sr_reader_t reader_of(const carrier_t *carrier)
{
    return sr_reader_memory(carrier->file.bytes, carrier->file.size);
}

static int read_image(carrier_t *carrier)
{
    const char *path = carrier->file.path;
    const sr_reader_t reader = reader_of(carrier);
    sr_image_status_t status = sr_image_parse(&reader, &carrier->image);
    if (status == SR_IMAGE_OK) {
        status = sr_image_verify(&reader, &carrier->image, NULL);
    }
    const char *mistaken = status == SR_IMAGE_BAD_MAGIC ? file_kind_mistaken(&carrier->file) : NULL;
    if (mistaken != NULL) {
        return complain(STATUS_BAD_INPUT, "%s %s; an app is needed here", path, mistaken);
    }
    if (status != SR_IMAGE_OK) {
        return complain(STATUS_BAD_INPUT, "%s: %s; an app as ESP-IDF builds it is needed here, build/NAME.bin", path,
                        sr_image_status_text(status));
    }
    if (!sr_image_app_desc(&reader, &carrier->image, &carrier->desc)) {
        return complain(STATUS_BAD_INPUT, "%s: an image, but no app: it has no descriptor of one", path);
    }
    carrier->chip = sr_chip_by_id(carrier->image.chip_id);
    return carrier->chip != NULL ? STATUS_OK
                                 : complain(STATUS_BAD_INPUT, "%s: for a chip that is not known here (id %u)", path,
                                            carrier->image.chip_id);
}

/** Signatures belong to the old bytes, blank padding to nobody: anything else would be lost without a word. */
static int check_rest(carrier_t *carrier)
{
    const sr_reader_t reader = reader_of(carrier);
    const uint32_t length = carrier->image.length;
    carrier->was_signed = sr_image_has_signature_block(&reader, &carrier->image, SR_IMAGE_SECURE_BOOT_OFF);
    for (uint32_t at = length; at < carrier->file.size && !carrier->was_signed; at++) {
        if (carrier->file.bytes[at] != 0xFF) {
            return complain(STATUS_BAD_INPUT,
                            "%s: the app ends at offset 0x%" PRIx32 ", and something follows that is no signature: "
                            "a merged image? The app alone is needed here",
                            carrier->file.path, length);
        }
    }
    return STATUS_OK;
}

static bool has_parser(const carrier_t *carrier)
{
    return memmem(carrier->file.bytes, carrier->image.length, SR_CARGO_MAGIC, SR_CARGO_MAGIC_SIZE) != NULL;
}

static int check_room(const carrier_t *carrier)
{
    sr_cargo_t cargo;
    const sr_reader_t reader = reader_of(carrier);
    if (sr_cargo_find(&reader, &carrier->image, &cargo) != SR_CARGO_NONE) {
        return complain(STATUS_BAD_INPUT, "%s: carries a cargo already; the app without one is needed here",
                        carrier->file.path);
    }
    if (carrier->image.segment_count >= SR_IMAGE_MAX_SEGMENTS) {
        return complain(STATUS_NO, "%s: has %u segments, which is all that an image can have: none is left for a cargo",
                        carrier->file.path, carrier->image.segment_count);
    }
    return has_parser(carrier)
               ? STATUS_OK
               : complain(STATUS_NO,
                          "%s: nothing in it looks for a cargo, so the device would run it for ever: an app that calls "
                          "esp_self_reflasher_find_cargo() is needed, such as examples/courier",
                          carrier->file.path);
}

int carrier_load(const char *path, carrier_t *carrier)
{
    *carrier = (carrier_t){0};
    int status = image_file_load(path, &carrier->file);
    if (status == STATUS_OK) {
        status = read_image(carrier);
    }
    if (status == STATUS_OK) {
        status = check_rest(carrier);
    }
    return status == STATUS_OK ? check_room(carrier) : status;
}

bool carrier_knows_setting(const carrier_t *carrier, const char *name)
{
    return memmem(carrier->file.bytes, carrier->image.length, name, strlen(name) + 1) != NULL;
}

void carrier_free(carrier_t *carrier)
{
    image_file_free(&carrier->file);
}
