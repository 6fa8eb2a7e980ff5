// SPDX-License-Identifier: Apache-2.0
/** @file
 * Finishing what a power loss interrupted, from the record that was staged before.
 */
#pragma once

#include "self_reflasher_bundle.h"

#include <stdbool.h>

/**
 * Implements esp_self_reflasher_resume() for a config that was checked.
 * @param config Not NULL, with a key or unsigned bundles allowed.
 * @param[out] stuck A commit was given up whose record cannot be made unusable: a caller that has something else to do
 * may go on.
 * @return as esp_self_reflasher_resume()
 */
esp_err_t sr_resume(const esp_self_reflasher_bundle_config_t *config, bool *stuck);
