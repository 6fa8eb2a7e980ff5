// SPDX-License-Identifier: Apache-2.0
/** @file
 * Options of bundle_example on the simulated chip: from the environment.
 */
#pragma once

#define CONFIG_EXAMPLE_BUNDLE_URL   sim_config_string("EXAMPLE_BUNDLE_URL", "http://127.0.0.1:8070/system.srb")
#define CONFIG_EXAMPLE_MIN_SEQUENCE 0
