// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the chips that a bundle is for make of it, by their eFuses: Secure Boot, Flash Encryption, their revision.
 */
#pragma once

#include "tool/pack/pack_result.h"

/**
 * Makes the checks of the component that depend on eFuses, in its words; those of sr_preflight_check() excepted. What
 * depends on flash that is kept is a warning.
 * @param result With a device.
 * @return STATUS_OK, or STATUS_NO after complaining.
 */
int pack_device_check(const pack_result_t *result);
