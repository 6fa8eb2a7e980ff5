// SPDX-License-Identifier: Apache-2.0
/** @file
 * A text for people that is put together from parts.
 */
#pragma once

#include <stddef.h>

/** A text that grows in a buffer of the caller's. */
typedef struct sr_text {
    char *buffer;
    size_t size; /**< Of the buffer, at least 1. */
    size_t used; /**< Characters so far, the zero after them not counted. */
} sr_text_t;

/** Appends as printf() does. What has no room is left out. */
void sr_text_add(sr_text_t *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
