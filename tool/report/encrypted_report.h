// SPDX-License-Identifier: Apache-2.0
/** @file
 * What can be told of a dump that the chip has encrypted, with the key and without.
 */
#pragma once

#include "tool/base/crypt_options.h"
#include "tool/base/image_file.h"
#include "tool/report/contents.h"

#include <cjson/cJSON.h>

/** The lines "encryption" and "mode" of a dump that was opened; none if it is not encrypted. */
void encrypted_report_print_opened(const contents_t *contents);
/** The same. @return null if it is not encrypted. */
cJSON *encrypted_report_opened_json(const contents_t *contents);

/** Of a dump that nobody can open: why it is taken for encrypted, what the eFuses say, and what lies where.
 * @param chip With what eFuses told; chip->chip NULL: none were given. @param why From crypt_options_apply(). */
void encrypted_report_print_locked(const image_file_t *file, const boot_chip_t *chip, const char *why);
cJSON *encrypted_report_locked_json(const image_file_t *file, const boot_chip_t *chip, const char *why);
