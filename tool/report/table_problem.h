// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is wrong with a partition in a table that a bootloader accepts: most look at magic numbers and the MD5 only.
 */
#pragma once

#include "format/sr_partition_table.h"

#include <stdbool.h>

#define TABLE_PROBLEM_SIZE 128

/**
 * Looks at one partition of a table: size, alignment, overlaps with and names of those in front of it.
 * @param index Less than the table's count.
 * @param[out] out The first problem found, printable.
 * @return false if there is none.
 */
bool table_problem(const sr_partition_table_t *table, unsigned index, char out[TABLE_PROBLEM_SIZE]);
