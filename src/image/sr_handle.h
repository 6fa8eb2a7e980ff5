// SPDX-License-Identifier: Apache-2.0
/** @file
 * Values that stand for an object in an API with `void *` handles, and which of them are live.
 *
 * C converts any pointer to `void *` without a warning, so a caller can hand in the address of its handle, a handle
 * that it has closed, or anything else. None of that may be dereferenced to find out. So a handle is no address but an
 * odd number, which no address of an object is, and no number is given out a second time.
 */
#pragma once

#include <stdint.h>

/** Part of an object that has a handle. Owned by the object. */
typedef struct sr_handle {
    struct sr_handle *next; /**< In the list of the live ones. */
    uintptr_t value;        /**< What the caller holds. */
} sr_handle_t;

/** Makes a handle live. @return The value for the caller; never NULL. */
void *sr_handle_open(sr_handle_t *handle);

/** @return The live handle with this value; NULL if there is none. Reads no memory that @p value might point to. */
sr_handle_t *sr_handle_find(const void *value);

/** Ends a live handle. Its value will not be found again. */
void sr_handle_close(sr_handle_t *handle);
