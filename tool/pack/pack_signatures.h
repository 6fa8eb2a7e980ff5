// SPDX-License-Identifier: Apache-2.0
/** @file
 * Signature blocks of Secure Boot V2 in what is packed.
 */
#pragma once

#include "tool/pack/pack_result.h"

/** Warns of a bootloader and of apps that a chip with Secure Boot would not start: one without a block beside others
 * that have one, and one whose blocks are damaged or of another image. Whether the keys are the chip's only the chip
 * knows. */
void pack_signatures_warn(const pack_result_t *result);
