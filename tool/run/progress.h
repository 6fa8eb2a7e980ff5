// SPDX-License-Identifier: Apache-2.0
/** @file
 * How far a migration is: a bar that grows on a terminal, a line for each finished phase elsewhere.
 */
#pragma once

#include "self_reflasher.h"
#include "self_reflasher_bundle.h"

/** Announces a step. */
void progress_step(unsigned number, unsigned count, const char *source, uint32_t address, uint32_t size);

/** Tells that the app starts again from its new place. */
void progress_restarted(void);

/** An esp_self_reflasher_progress_cb_t; the context is not used. */
void progress_update(void *context, esp_self_reflasher_phase_t phase, size_t done, size_t total);

/** An esp_self_reflasher_event_cb_t; the context is not used. */
void progress_event(void *context, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data);
