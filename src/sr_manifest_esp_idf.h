// SPDX-License-Identifier: Apache-2.0
/** @file
 * Brings the manifest of a bundle into RAM and makes sure that the right key signed it.
 */
#pragma once

#include "sr_bundle.h"
#include "sr_signature.h"
#include "sr_source_esp_idf.h"

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
 * @param allow_unsigned Accept a bundle without signature. A signature that is there must be right even then, if there
 *        is a key to tell.
 * @return
 *  - ESP_OK
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: see manifest->status
 *  - ESP_ERR_NO_MEM, or an error of the source
 *  sr_manifest_free() is due in all cases.
 */
esp_err_t sr_manifest_load(sr_manifest_t *manifest, sr_source_t *source, const char *public_key, bool allow_unsigned);

/** Frees the manifest. */
void sr_manifest_free(sr_manifest_t *manifest);
