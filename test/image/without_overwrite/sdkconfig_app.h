// SPDX-License-Identifier: Apache-2.0
/** @file The build option that test_api_without_overwrite is about, as menuconfig leaves it: off. */
#pragma once

#undef CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
