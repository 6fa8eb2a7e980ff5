// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a device with a flash like this would say to a bundle, without a rehearsal of all of it.
 */
#pragma once

#include "tool/base/image_file.h"
#include "tool/pack/bundle_file.h"
#include "tool/run/keep_bootloader.h"
#include "tool/run/room.h"

typedef struct prospect {
    esp_self_reflasher_plan_t plan; /**< If `room` is not NULL: the refusal. */
    room_t *room;                   /**< Ways out, if it is refused for want of room; else NULL. */
    keep_bootloader_t keep;         /**< If it is not refused. */
} prospect_t;

/** The flash of a device. */
typedef struct prospect_flash {
    const image_file_t *cells; /**< What it holds. */
    const image_file_t *view;  /**< The same as boot_plain_view() shows it. */
    const image_file_t *after; /**< What it would hold with the bundle in it. */
} prospect_flash_t;

/**
 * Asks the component, in the app that boots, which allows nothing; the signature is not looked at. Where no app boots
 * for certain nobody can be asked, and nothing is told.
 * @param settled By chip_settle().
 * @param[out] prospect prospect_free() is due, whatever the result.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int prospect_find(const bundle_file_t *bundle, const boot_chip_t *settled, const prospect_flash_t *flash,
                  prospect_t *prospect);
void prospect_free(prospect_t *prospect);

/** True if it is refused, whatever the app allows. */
bool prospect_is_refused(const prospect_t *prospect);
