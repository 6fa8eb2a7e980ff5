// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the status page shows and what its reader may do, between the main task, which tells and offers, and the task of
 * the web server, which looks and asks. Each function may be called from both.
 */
#pragma once

#include "self_reflasher_bundle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_JSON_SIZE 4096 /**< Holds every status. */

/** Where the courier is. */
typedef enum status_stage {
    STATUS_STARTS, /**< It looks at cargo and flash. */
    STATUS_ASKS,   /**< It waits for its reader to begin. */
    STATUS_WORKS,  /**< It replaces the system: neither app may be touched. */
    STATUS_STAYS,  /**< Refused, or failed: what is left is offered. */
    STATUS_ENDS,   /**< It restarts, into whatever. */
} status_stage_t;

/** What a reader asks for. */
typedef enum status_wish {
    STATUS_NOTHING,
    STATUS_BEGIN,   /**< The replacement; only in STATUS_ASKS. */
    STATUS_GO_BACK, /**< To the old app; only while one is offered. */
    STATUS_RESTART, /**< To try again, only in STATUS_STAYS; or into the app that was uploaded. */
} status_wish_t;

/** False: no memory, and nothing works. */
bool status_init(void);

/** @name The main task tells and offers
 * @{ */
void status_set_stage(status_stage_t stage);
void status_set_plan(const esp_self_reflasher_plan_t *plan);
void status_set_event(esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data);
/** Why it stays. */
void status_set_reason(const char *reason);
/** Somebody has looked in the last seconds, and will look again. */
bool status_is_watched(void);
/**
 * Waits for a wish, and at most until nobody has looked for so long; no longer while an app is being uploaded.
 * @param stage STATUS_ASKS or STATUS_STAYS; it is STATUS_ENDS when this returns, so that nothing is accepted any more.
 * @param old_app What the reader may go back to; NULL: nothing.
 * @param patience_ms UINT32_MAX: for ever.
 */
status_wish_t status_offer(status_stage_t stage, const esp_partition_t *old_app, uint32_t patience_ms);
/** @} */

/** @name The web server's task looks and asks
 * @{ */
/** Notes that somebody looks. @param token Goes into the text. @return bytes written */
size_t status_json(char *json, size_t size, const char *token);
/** False: not now. */
bool status_wish(status_wish_t wish);
/** From here on, until status_end_upload(), nothing else happens. False: not now. */
bool status_begin_upload(void);
/** The partition is overwritten: if the old app was there, it is no longer offered. */
void status_lose(const esp_partition_t *partition);
/** @param good The uploaded app is selected, and is started. */
void status_end_upload(bool good);
/** @} */
