// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/manifest_offset.h"

#include "format/sr_region.h"
#include "tool/base/image_file.h"
#include "tool/base/json_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A number, or a text that is all digits with one point between them. */
static bool read_decimal(const cJSON *item, double *value)
{
    if (cJSON_IsNumber(item)) {
        *value = item->valuedouble;
        return true;
    }
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || text[strspn(text, "0123456789.")] != '\0') {
        return false;
    }
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

manifest_offset_t manifest_offset_read(const cJSON *item, uint32_t *offset)
{
    double value = 0;
    if (json_offset(item, offset)) {
        return MANIFEST_OFFSET_GOOD;
    }
    if (!read_decimal(item, &value) || !(value > 0 && value * 1000 < FLASH_LIMIT)) {
        return MANIFEST_OFFSET_BAD;
    }
    const double meant = round(value * 1000);
    // 32.768 is no binary fraction: the product is off by less than this
    if (fabs(value * 1000 - meant) > 1e-6 || (uint32_t)meant % SR_SECTOR_SIZE != 0) {
        return MANIFEST_OFFSET_BAD;
    }
    *offset = (uint32_t)meant;
    return MANIFEST_OFFSET_THOUSANDS;
}

const char *manifest_offset_text(const cJSON *item, char out[MANIFEST_OFFSET_TEXT_SIZE])
{
    char *printed = item == NULL ? NULL : cJSON_PrintUnformatted(item);
    const int length = snprintf(out, MANIFEST_OFFSET_TEXT_SIZE, "%s", printed == NULL ? "missing" : printed);
    if (length >= MANIFEST_OFFSET_TEXT_SIZE) {
        memcpy(out + MANIFEST_OFFSET_TEXT_SIZE - 4, "...", 4);
    }
    cJSON_free(printed);
    return out;
}
