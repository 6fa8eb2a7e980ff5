// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/gzip_file.h"

#include "format/sr_chip.h"
#include "format/sr_image.h"
#include "tool/base/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FIRST_ROOM (1u << 20)
#define GZIP_ONLY  (16 + MAX_WBITS)

bool gzip_file_is(const image_file_t *file)
{
    return file->size >= 2 && file->bytes[0] == 0x1f && file->bytes[1] == 0x8b;
}

static bool grow(z_stream *stream, uint8_t **out, size_t *room)
{
    const size_t wanted = *room == 0 ? FIRST_ROOM : 2 * *room;
    uint8_t *grown = realloc(*out, wanted);
    if (grown == NULL) {
        return false;
    }
    stream->next_out = grown + *room;
    stream->avail_out = (uInt)(wanted - *room);
    *out = grown;
    *room = wanted;
    return true;
}

/** Inflates all members. @return NULL, or what is wrong. */
static const char *inflate_all(z_stream *stream, uint8_t **out, size_t *size)
{
    size_t room = 0;
    int result = Z_OK;
    while (result == Z_OK) {
        if (stream->avail_out == 0 && !grow(stream, out, &room)) {
            return strerror(errno);
        }
        result = inflate(stream, Z_NO_FLUSH);
        if (room - stream->avail_out > FLASH_LIMIT) {
            return "unpacks to more than any flash has (32 MiB)";
        }
        if (result == Z_STREAM_END && stream->avail_in != 0) {
            result = inflateReset(stream); // gzip files may be joined
        }
    }
    *size = room - stream->avail_out;
    if (result == Z_BUF_ERROR) {
        return "is a gzip file that is cut short: download it again";
    }
    return result == Z_STREAM_END ? NULL : "is a damaged gzip file: download it again";
}

/** An app, or a merged image from offset 0 with a bootloader where one of the chips looks for it. */
static bool holds_image(const uint8_t *bytes, size_t size)
{
    bool found = bytes[0] == SR_IMAGE_MAGIC;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        const uint32_t start = sr_chip_at(i)->bootloader_offset;
        found |= start < size && bytes[start] == SR_IMAGE_MAGIC;
    }
    return found;
}

int gzip_file_unpack(image_file_t *file)
{
    z_stream stream = {.next_in = file->bytes, .avail_in = file->size};
    uint8_t *out = NULL;
    size_t size = 0;
    if (inflateInit2(&stream, GZIP_ONLY) != Z_OK) {
        return complain(STATUS_BAD_INPUT, "%s: %s", file->path, strerror(ENOMEM));
    }
    const char *problem = inflate_all(&stream, &out, &size);
    inflateEnd(&stream);
    if (problem == NULL && holds_image(out, size)) {
        free(file->bytes);
        file->bytes = out;
        file->size = (uint32_t)size;
        return STATUS_OK;
    }
    free(out);
    return problem == NULL ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s %s", file->path, problem);
}
