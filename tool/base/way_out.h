// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a user of the program can do about a refusal. The component names causes; the program knows which option helps.
 */
#pragma once

#include "self_reflasher_bundle.h"

/** For a bundle that was refused. @return A sentence without its period, or NULL if the cause says enough. */
const char *way_out_of_refusal(esp_self_reflasher_refusal_t refusal);

/** For a single image, by the component's error. @return A sentence without its period, or NULL. */
const char *way_out_of_error(esp_err_t error);

/** For one of pack's checks that failed, SR_PREFLIGHT_... @return A sentence without its period, or NULL. */
const char *way_out_of_check(uint32_t check);
