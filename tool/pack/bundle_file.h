// SPDX-License-Identifier: Apache-2.0
/** @file
 * A bundle in memory, and what is in its chunks.
 */
#pragma once

#include "format/sr_bundle.h"
#include "format/sr_signature.h"
#include "make/bundle_writer.h"
#include "tool/base/image_file.h"

#include <stdbool.h>

typedef struct bundle_file {
    image_file_t file;
    sr_bundle_t bundle; /**< Points into the file. */
    sr_signature_t signature;
} bundle_file_t;

/** True if a file starts as a bundle does. */
bool bundle_file_has_magic(const image_file_t *file);

/** Complains that a file does not start as a bundle does, and tells what it is. @return STATUS_BAD_INPUT. */
int bundle_file_complain_kind(const image_file_t *file);

/**
 * Makes a bundle of a file that was loaded: checks all but signature and chunks.
 * @param file Owned by @p bundle from then on, also if it is refused: bundle_file_free() is due.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int bundle_file_open(const image_file_t *file, bundle_file_t *bundle);

/** Loads a file and opens it with bundle_file_open(). @return STATUS_OK, or STATUS_BAD_INPUT after complaining. */
int bundle_file_load(const char *path, bundle_file_t *bundle);

void bundle_file_free(bundle_file_t *bundle);

/** What a device with this key says of a bundle whose chunks are right. @param public_pem NULL: it has none. */
sr_bundle_status_t bundle_file_trust(const uint8_t *bytes, uint32_t size, const char *public_pem);

/**
 * Makes a bundle of another one with something changed, which is not signed.
 * @param bundle A manifest with the rest of its file behind it.
 * @param[out] file image_file_free() is due, whatever the result.
 * @return false without memory, or if a bundle cannot hold it.
 */
bool bundle_file_rewrite(const sr_bundle_t *bundle, const bundle_change_t *change, image_file_t *file);

/** Checks that a bundle describes no more than a flash has. @return STATUS_OK, or STATUS_NO after complaining. */
int bundle_file_check_size(const sr_bundle_t *bundle, const image_file_t *flash);

/**
 * Makes a flash hold what the bundle says. Every sector is compared with its digest.
 * @param[in,out] flash min_flash_size bytes at least; kept sectors are left alone.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int bundle_file_apply(const bundle_file_t *bundle, uint8_t *flash);
