// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/carrier.h"

#include "format/sr_cargo.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"

#include <inttypes.h>
#include <string.h>

/** Of Secure Boot: what a signature takes, and how many blocks a chip looks at. */
#define SIGNATURE_V1_SIZE  68u
#define SIGNATURE_V2_SIZE  1216u
#define SIGNATURE_V2_START 2u /**< Bytes: magic and version. */
#define SIGNATURE_V2_MOST  3u

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
    const char *mistaken = status != SR_IMAGE_OK ? file_kind_mistaken(&carrier->file) : NULL;
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

/** Where blank bytes end. */
static uint32_t skip_blank(const image_file_t *file, uint32_t at)
{
    while (at < file->size && file->bytes[at] == 0xFF) {
        at++;
    }
    return at;
}

/** Where the blocks of Secure Boot V2 end that start here: up to three, each with magic and version of the first. */
static uint32_t skip_blocks(const image_file_t *file, uint32_t first)
{
    uint32_t at = first;
    for (unsigned i = 0; i < SIGNATURE_V2_MOST && file->size - at >= SIGNATURE_V2_SIZE; i++) {
        if (memcmp(file->bytes + at, file->bytes + first, SIGNATURE_V2_START) != 0) {
            break;
        }
        at += SIGNATURE_V2_SIZE;
    }
    return at;
}

/** Signatures belong to the old bytes, blank padding to nobody: anything else would be lost without a word. */
static int check_rest(carrier_t *carrier)
{
    const sr_reader_t reader = reader_of(carrier);
    const image_file_t *file = &carrier->file;
    const bool has_v1 = sr_image_has_signature_block(&reader, &carrier->image, SR_IMAGE_SECURE_BOOT_V1);
    const bool has_v2 = sr_image_has_signature_block(&reader, &carrier->image, SR_IMAGE_SECURE_BOOT_V2);
    uint32_t at = skip_blank(file, carrier->image.length + (has_v1 ? SIGNATURE_V1_SIZE : 0));
    if (has_v2 && at == sr_region_align_up(carrier->image.length, SR_SECTOR_SIZE)) {
        at = skip_blank(file, skip_blocks(file, at));
    }
    carrier->was_signed = has_v1 || has_v2;
    return at == file->size
               ? STATUS_OK
               : complain(STATUS_BAD_INPUT,
                          "%s: the app ends at offset 0x%" PRIx32 ", and at 0x%" PRIx32 " something follows that is no "
                          "signature: a merged image? The app alone is needed here",
                          file->path, carrier->image.length, at);
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
