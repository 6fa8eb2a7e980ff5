// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the test wants of the app: text in a sector of flash, a line `name=value` for each, and the public key at the
 * end.
 */
#pragma once

#include "self_reflasher.h"

#include <stdbool.h>

typedef struct {
    char text[4096]; /* lines end with '\0' here, and those of a value with '\n' */
} job_t;

esp_err_t job_read(job_t *job);

/** True once in the life of a flash: the last byte of the sector, which is no text, says so. */
bool job_is_first_time(void);

/** @return the value, or NULL if the job has none of that name. */
const char *job_value(const job_t *job, const char *name);

bool job_is(const job_t *job, const char *name, const char *value);

/** "0x110000+0x1000"; an empty region if there is none of that name. */
addr_region_t job_region(const job_t *job, const char *name);
