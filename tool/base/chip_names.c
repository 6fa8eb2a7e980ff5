// SPDX-License-Identifier: Apache-2.0
#include "tool/base/chip_names.h"

#include "format/sr_chip.h"

#include <stdio.h>

const char *chip_names(char out[CHIP_NAMES_SIZE])
{
    size_t used = 0;
    for (unsigned i = 0; sr_chip_at(i) != NULL && used < CHIP_NAMES_SIZE; i++) {
        used += (size_t)snprintf(out + used, CHIP_NAMES_SIZE - used, "%s%s", i == 0 ? "" : ", ", sr_chip_at(i)->name);
    }
    return out;
}
