// SPDX-License-Identifier: Apache-2.0
/** @file
 * Brings the manifest of a bundle into RAM and makes sure that the right key signed it.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_signature.h"
#include "net/sr_source.h"

#include "esp_err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct sr_manifest {
    uint8_t *bytes; /**< Manifest and signature block. */
    sr_bundle_t bundle;
    sr_bundle_status_t status; /**< Why it is refused, if sr_manifest_load() says so. */
} sr_manifest_t;

/**
 * Loads, checks and verifies a manifest.
 *
 * @param source Open.
 * @param public_key PEM; NULL: none.
 * @param allow_unsigned Accept a bundle without signature. Even then a signature that is there must be right, if there
 * is a key to check it with.
 * @return
 *  - ESP_OK
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: see manifest->status
 *  - ESP_ERR_NO_MEM, or an error of the source
 *  sr_manifest_free() is due in all cases.
 */
esp_err_t sr_manifest_load(sr_manifest_t *manifest, sr_source_t *source, const char *public_key, bool allow_unsigned);

/**
 * Tells whether a manifest may be trusted: the one place where that is decided.
 * @param digest SHA-256 over the manifest.
 * @param block Its signature block.
 * @param public_key, allow_unsigned As for sr_manifest_load().
 * @return OK, NOT_SIGNED, OTHER_KEY, BAD_SIGNATURE, BAD_KEY or CRYPTO_FAILED.
 */
sr_bundle_status_t sr_manifest_trust(const uint8_t digest[SR_SHA256_SIZE],
                                     const uint8_t block[SR_BUNDLE_SIGNATURE_SIZE], const char *public_key,
                                     bool allow_unsigned);

/**
 * Loads, verifies and checks a manifest that lies in flash, as a staged record has it. Takes memory for it only after
 * its signature was verified.
 * @param place Manifest and signature block: more than the latter, and inside the flash.
 * @return as sr_manifest_load(); ESP_FAIL if it cannot be hashed. sr_manifest_free() is due in all cases.
 */
esp_err_t sr_manifest_load_record(sr_manifest_t *manifest, const sr_flash_t *flash, sr_region_t place,
                                  const char *public_key, bool allow_unsigned);

/** Frees the manifest. */
void sr_manifest_free(sr_manifest_t *manifest);
