// SPDX-License-Identifier: Apache-2.0
/** @file
 * The steps of a migration as given on the command line: pairs of OFFSET[+SIZE] and SOURCE.
 */
#pragma once

#include "tool/base/image_file.h"
#include "tool/run/local_server.h"
#include "tool/run/migration.h"

#include <stdbool.h>

/** The steps, and what must live as long as they do. */
typedef struct steps {
    migration_step_t *list;
    size_t count;
    image_file_t *files;    /**< One for each step that downloads a local file; the others are empty. */
    local_server_t *server; /**< NULL if nothing is served. */
    char (*urls)[LOCAL_SERVER_URL_SIZE];
} steps_t;

/** What the arguments refer to. */
typedef struct steps_setting {
    const image_file_t *flash; /**< Content of the flash, for digests of sources in it. */
    const char *ca;            /**< PEM to trust for https, or NULL. */
    bool digests;              /**< Give the component the SHA-256 of every image. */
} steps_setting_t;

/** True for a source that is in the flash already: "flash:ADDRESS+SIZE". */
bool steps_is_flash_source(const char *source);

/** Reads such a source. @return STATUS_OK, or STATUS_USAGE after complaining. */
int steps_parse_flash_source(const char *source, addr_region_t *region);

/**
 * Reads the steps, loads the files and starts to serve them.
 *
 * @param words OFFSET[+SIZE], SOURCE, OFFSET[+SIZE], SOURCE, ...
 * @param setting Is not needed afterwards.
 * @return STATUS_OK, or STATUS_USAGE or STATUS_BAD_INPUT after complaining; in any case steps_free() is due.
 */
int steps_prepare(char *const *words, size_t word_count, const steps_setting_t *setting, steps_t *steps);
void steps_free(steps_t *steps);
