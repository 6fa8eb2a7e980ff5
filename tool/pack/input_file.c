// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/inputs.h"

#include "tool/base/command.h"
#include "tool/base/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int input_file(inputs_t *inputs, uint32_t address, const char *path)
{
    return flash_parts_add(&inputs->parts, address, path);
}

int input_merged(inputs_t *inputs, const char *argument)
{
    char *path = strdup(argument);
    if (path == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", argument, strerror(errno));
    }
    uint32_t address = 0;
    char *at = strrchr(path, '@');
    const bool has_offset = at != NULL && number_parse(at + 1, &address); // else the '@' belongs to the name
    if (has_offset) {
        *at = '\0';
    }
    const int status =
        has_offset ? flash_parts_add(&inputs->parts, address, path) : flash_parts_add_merged(&inputs->parts, path);
    free(path);
    return status;
}
