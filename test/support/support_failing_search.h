// SPDX-License-Identifier: Apache-2.0
/** @file
 * A partition table of which one search, or all of them, find nothing, as without memory for an iterator: for programs
 * linked with --wrap=esp_partition_find.
 */
#pragma once

#include "esp_partition.h"

#include <stdint.h>

#define ALL_SEARCHES UINT32_MAX

static uint32_t searches;       /**< So far. */
static uint32_t failing_search; /**< Number of the one that finds nothing, from 1, or ALL_SEARCHES; 0: none. */

esp_partition_iterator_t __real_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label);
esp_partition_iterator_t __wrap_esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                   const char *label)
{
    const bool fails = ++searches == failing_search || failing_search == ALL_SEARCHES;
    return fails ? NULL : __real_esp_partition_find(type, subtype, label);
}
