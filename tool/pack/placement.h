// SPDX-License-Identifier: Apache-2.0
/** @file
 * What an input is, and whether it is at a place where the chip looks for it. A file at a wrong offset makes a bundle
 * that is signed, whole, and bricks.
 */
#pragma once

#include "tool/pack/pack_result.h"

/** For --skip-check. */
#define PLACEMENT_CHECK_NAME "place"

/**
 * Checks each part: files that are no image of an ESP32; images for another chip; bootloaders, tables, otadata and apps
 * at a place where the new system does not look for them; merged images that start elsewhere than they were made for;
 * apps larger than their partition; dumps that were cut short.
 * @param result Chip, layout and table are set.
 * @return STATUS_OK, or STATUS_NO after complaining of the first that is wrong, with the way out.
 */
int placement_check(const flash_parts_t *parts, const pack_result_t *result);
