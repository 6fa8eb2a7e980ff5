// SPDX-License-Identifier: Apache-2.0
#include "image/sr_handle.h"

#include <stddef.h>

#define FIRST_VALUE 0x5F5E0001u /* Not small: a counter or an error code is not taken for a handle either. */

static sr_handle_t *live;
static uint32_t next_value = FIRST_VALUE;

void *sr_handle_open(sr_handle_t *handle)
{
    /* After 2^31 handles the numbers start over. */
    do {
        handle->value = next_value;
        next_value += 2u;
    } while (sr_handle_find((const void *)handle->value) != NULL);
    handle->next = live;
    live = handle;
    return (void *)handle->value;
}

sr_handle_t *sr_handle_find(const void *value)
{
    sr_handle_t *handle = live;
    while (handle != NULL && handle->value != (uintptr_t)value) {
        handle = handle->next;
    }
    return handle;
}

void sr_handle_close(sr_handle_t *handle)
{
    for (sr_handle_t **link = &live; *link != NULL; link = &(*link)->next) {
        if (*link == handle) {
            *link = handle->next;
            return;
        }
    }
}
