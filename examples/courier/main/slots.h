// SPDX-License-Identifier: Apache-2.0
/** @file
 * The other apps in flash: the old one, which the device goes back to where the new system is refused.
 */
#pragma once

#include "esp_ota_ops.h"
#include "esp_partition.h"

#include <stdbool.h>
#include <stddef.h>

/** Another app than this one that is whole, the one that took the upload first; NULL: there is none. Reads all of it.
 */
const esp_partition_t *slots_find_old_app(void);

/** What the app calls itself, whoever that is. @param size Of @p name; 72 bytes hold every name. */
void slots_name(const esp_partition_t *partition, char *name, size_t size);

/** The newest entry of otadata for this app says so. */
bool slots_is_in_state(esp_ota_img_states_t expected);

/** Restarts into an app. Returns if it is not whole, or cannot be selected. */
void slots_start(const esp_partition_t *partition);
