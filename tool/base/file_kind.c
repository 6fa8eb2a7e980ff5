// SPDX-License-Identifier: Apache-2.0
#include "tool/base/file_kind.h"

#include "format/sr_bundle.h"
#include "tool/base/command.h"

#include <stddef.h>
#include <string.h>

#define UNPACK "is compressed: unpack it first"

static const struct {
    const char *magic;
    size_t length;
    const char *what;
} kinds[] = {
    {"PK\x03\x04", 4, UNPACK " (unzip)"},
    {"\xfd"
     "7zXZ",
     5, UNPACK " (xz -d)"},
    {"BZh", 3, UNPACK " (bzip2 -d)"},
    {"\x28\xb5\x2f\xfd", 4, UNPACK " (zstd -d)"},
    {"-----BEGIN ", 11, "is PEM, a key or certificate, and no image"},
    {":020000", 7, "is Intel HEX: objcopy -I ihex -O binary makes an image of it"},
    {":10", 3, "is Intel HEX: objcopy -I ihex -O binary makes an image of it"},
    {"<!DOCTYPE", 9, "is a page of HTML: the download went wrong"},
    {"<html", 5, "is a page of HTML: the download went wrong"},
};

static bool is_bundle(const image_file_t *file)
{
    return file->size >= sizeof(sr_bundle_magic) && memcmp(file->bytes, sr_bundle_magic, sizeof(sr_bundle_magic)) == 0;
}

const char *file_kind_mistaken_given(const image_file_t *file, content_kind_t content)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (file->size >= kinds[i].length && memcmp(file->bytes, kinds[i].magic, kinds[i].length) == 0) {
            return kinds[i].what;
        }
    }
    if (content_kind_mistaken(content) != NULL) {
        return content_kind_mistaken(content);
    }
    if (is_bundle(file)) {
        return "is a bundle: inspect, extract and simulate --bundle take it";
    }
    return NULL;
}

const char *file_kind_mistaken(const image_file_t *file)
{
    content_t content;
    content_kind_find(file->bytes, file->size, NULL, SR_PARTITION_TABLE_OFFSET, &content);
    return file_kind_mistaken_given(file, content.kind);
}

bool file_kind_mistaken_for_bundle(const image_file_t *file)
{
    return file_kind_mistaken(file) != NULL && !is_bundle(file);
}

void file_kind_warn(const image_file_t *file)
{
    const char *what = file_kind_mistaken(file);
    if (what != NULL) {
        complain(STATUS_OK, "warning: %s %s", file->path, what);
    }
}
