// SPDX-License-Identifier: Apache-2.0
/** @file
 * Finishing what a power cut interrupted, from the record that was staged before.
 */
#pragma once

#include "self_reflasher_bundle.h"

/**
 * Does what esp_self_reflasher_resume() does.
 * @param may_commit Asked if there is something to finish; NULL: whether the last reset was a brownout is asked.
 * @return as esp_self_reflasher_resume()
 */
esp_err_t sr_resume(esp_self_reflasher_may_commit_t may_commit, void *user_ctx);
