// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/gzip_file.h"

#include "tool/base/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LARGEST_FLASH  (32u << 20)
#define FIRST_ROOM     (1u << 20)
#define GZIP_ONLY      (16 + MAX_WBITS)
#define IMAGE_MAGIC    0xe9
#define LATER_OFFSET_1 0x1000u /**< Where a merged image from offset 0 has the bootloader of some chips, ... */
#define LATER_OFFSET_2 0x2000u /**< ... or of others. */

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
        if (room - stream->avail_out > LARGEST_FLASH) {
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

static bool holds_image(const uint8_t *bytes, size_t size)
{
    static const size_t starts[] = {0, LATER_OFFSET_1, LATER_OFFSET_2};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (starts[i] < size && bytes[starts[i]] == IMAGE_MAGIC) {
            return true;
        }
    }
    return false;
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
