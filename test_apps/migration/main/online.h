// SPDX-License-Identifier: Apache-2.0
/** @file
 * The network of an emulated chip.
 */
#pragma once

/** Returns as soon as there is an address. */
void go_online(void);
