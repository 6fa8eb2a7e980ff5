// SPDX-License-Identifier: Apache-2.0
/** @file
 * Otadata that no input brings. What a device has there selects one of its old apps, and would go on doing so.
 */
#pragma once

#include "tool/pack/pack_result.h"

/** What was done about otadata. */
typedef enum pack_otadata_kind {
    PACK_OTADATA_LEFT,    /**< Nothing: there is none, no app is packed, or what is packed starts one. */
    PACK_OTADATA_ERASED,  /**< Erased: then an app that is packed is the first one that the bootloader tries. */
    PACK_OTADATA_WRITTEN, /**< An entry that selects such an app was written. */
    PACK_OTADATA_OTHER, /**< Nothing: what is packed, or kept on purpose, may start an app that stays on the device. */
} pack_otadata_kind_t;

typedef struct pack_otadata {
    pack_otadata_kind_t kind;
    sr_region_t place; /**< Of otadata, unless it was LEFT. */
    char label[17];    /**< Of the partition of the app that starts; OTHER: of the one that stays, or "". */
} pack_otadata_t;

/**
 * Makes an app that is packed start, whatever a device has in otadata. Where the table that is packed has otadata, and
 * no input brings all of it, it is erased, or an entry is written that selects the app.
 * @param is_reserved The user wants otadata as it is on the device, or something moves there: it is not touched.
 */
pack_otadata_t pack_otadata_settle(const pack_result_t *result, flash_layout_t *layout, bool is_reserved);

/** Place of otadata in the table that is packed; empty if it has none. */
sr_region_t pack_otadata_place(const pack_result_t *result);
