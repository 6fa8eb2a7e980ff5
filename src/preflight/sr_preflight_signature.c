// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_preflight_signature.h"

#include "preflight/sr_text.h"

#include <inttypes.h>
#include <stdio.h>

#define DIGITS_SHOWN 16 /**< Of a digest: enough to tell keys from each other. */

static bool any_is_burnt(const sr_secure_boot_keys_t *keys)
{
    bool any = false;
    for (uint8_t i = 0; i < keys->count; i++) {
        any = any || keys->list[i].burnt;
    }
    return any;
}

bool sr_preflight_signature_check(const sr_reader_t *reader, const sr_image_t *image,
                                  sr_image_secure_boot_t secure_boot, const sr_secure_boot_keys_t *keys, bool whole,
                                  sr_secure_boot_result_t *result)
{
    *result = (sr_secure_boot_result_t){.status = SR_SECURE_BOOT_OK};
    if (secure_boot == SR_IMAGE_SECURE_BOOT_V2 && any_is_burnt(keys)) {
        return sr_secure_boot_check(reader, image, keys, whole, result) == SR_SECURE_BOOT_OK;
    }
    if (secure_boot != SR_IMAGE_SECURE_BOOT_OFF && !sr_image_has_signature_block(reader, image, secure_boot)) {
        result->status = SR_SECURE_BOOT_NO_BLOCK;
    }
    return result->status == SR_SECURE_BOOT_OK;
}

static void add_digest(sr_text_t *text, const char *before, const uint8_t digest[SR_SHA256_SIZE])
{
    sr_text_add(text, "%s", before);
    for (unsigned i = 0; i < DIGITS_SHOWN / 2; i++) {
        sr_text_add(text, "%02x", digest[i]);
    }
}

const char *sr_preflight_signature_text(const sr_secure_boot_keys_t *keys, const sr_secure_boot_result_t *result,
                                        char out[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE])
{
    sr_text_t text = {.buffer = out, .size = SR_PREFLIGHT_SIGNATURE_TEXT_SIZE};
    const bool key_matters = result->status == SR_SECURE_BOOT_OTHER_KEY || result->status == SR_SECURE_BOOT_REVOKED_KEY;
    const char *before = "; burnt are ";
    sr_text_add(&text, "%s", sr_secure_boot_status_text(result->status));
    if (key_matters) {
        add_digest(&text, ": ", result->key_digest);
    }
    for (uint8_t i = 0; i < keys->count && result->status == SR_SECURE_BOOT_OTHER_KEY; i++) {
        if (keys->list[i].burnt) {
            add_digest(&text, before, keys->list[i].digest);
            sr_text_add(&text, "%s", keys->list[i].revoked ? " (revoked)" : "");
            before = ", ";
        }
    }
    return out;
}

bool sr_preflight_signature_check_part(const sr_reader_t *flash, const sr_preflight_signature_part_t *part,
                                       sr_image_secure_boot_t secure_boot, const sr_secure_boot_keys_t *keys,
                                       char *text, size_t text_size)
{
    char why[SR_PREFLIGHT_SIGNATURE_TEXT_SIZE];
    sr_image_t image;
    sr_secure_boot_result_t result = {.status = SR_SECURE_BOOT_NO_BLOCK};
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, flash, part->place.address, part->place.size);
    if (secure_boot == SR_IMAGE_SECURE_BOOT_OFF ||
        (sr_image_parse(&reader, &image) == SR_IMAGE_OK &&
         sr_preflight_signature_check(&reader, &image, secure_boot, keys, part->whole, &result))) {
        return true;
    }
    (void)snprintf(text, text_size, "Secure Boot %s is on, and the %s at 0x%" PRIx32 " %s",
                   secure_boot == SR_IMAGE_SECURE_BOOT_V1 ? "V1" : "V2", part->what, part->place.address,
                   sr_preflight_signature_text(keys, &result, why));
    return false;
}
