// SPDX-License-Identifier: Apache-2.0
#include "tool/base/image_file.h"

#include "format/sr_region.h"
#include "sim/nor/flash_buffer.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SMALLEST_FLASH (1u << 20)

static int read_all(FILE *in, image_file_t *file)
{
    struct stat status;
    if (fstat(fileno(in), &status) != 0) {
        return complain(STATUS_BAD_INPUT, "%s: %s", file->path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return complain(STATUS_BAD_INPUT, "%s: not a regular file", file->path);
    }
    const int noted = output_file_note_input(file->path, &status);
    if (noted != STATUS_OK) {
        return noted;
    }
    if (status.st_size == 0 || status.st_size > (off_t)FLASH_LIMIT) {
        return complain(STATUS_BAD_INPUT, "%s: %" PRIu64 " bytes: %s", file->path, (uint64_t)status.st_size,
                        status.st_size == 0 ? "the file is empty" : "larger than any flash (32 MiB)");
    }
    file->size = (uint32_t)status.st_size;
    file->bytes = flash_memory_new(file->size);
    if (file->bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", file->path, strerror(errno));
    }
    size_t got = fread(file->bytes, 1, file->size, in);
    if (got != file->size) {
        image_file_free(file);
        return complain(STATUS_BAD_INPUT, "%s: reading stopped at offset 0x%zx", file->path, got);
    }
    return STATUS_OK;
}

int image_file_load(const char *path, image_file_t *file)
{
    *file = (image_file_t){.path = path};
    FILE *in = fopen(path, "rbe");
    if (in == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    int status = read_all(in, file);
    fclose(in);
    return status;
}

int image_file_load_flash(const char *path, image_file_t *file)
{
    int status = image_file_load(path, file);
    if (status != STATUS_OK) {
        return status;
    }
    bool power_of_two = (file->size & (file->size - 1)) == 0;
    if (!power_of_two || file->size < SMALLEST_FLASH) {
        char digits[NUMBER_TEXT_SIZE];
        const char *mistaken = file_kind_mistaken(file);
        mistaken != NULL ? complain(STATUS_BAD_INPUT, "%s %s; a whole flash is needed here", path, mistaken)
                         : complain(STATUS_BAD_INPUT,
                                    "%s: ends at offset 0x%" PRIx32
                                    " (%s bytes): not a whole flash, whose size is a power of two from "
                                    "1 MiB to 32 MiB; esptool read-flash 0 ALL reads all of one",
                                    path, file->size, number_grouped(file->size, digits));
        image_file_free(file);
        return STATUS_BAD_INPUT;
    }
    return STATUS_OK;
}

void image_file_free(image_file_t *file)
{
    free(file->bytes);
    file->bytes = NULL;
}
