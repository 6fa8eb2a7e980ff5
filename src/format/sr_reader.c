// SPDX-License-Identifier: Apache-2.0
#include "format/sr_reader.h"

#include <string.h>

static int memory_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    memcpy(buffer, (const uint8_t *)context + offset, length);
    return 0;
}

sr_reader_t sr_reader_memory(const uint8_t *bytes, uint32_t size)
{
    /* The context is not const because other readers change theirs; this one only reads. */
    return (sr_reader_t){.context = (void *)(uintptr_t)bytes, .read = memory_read, .size = size};
}

static int window_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    const sr_reader_window_t *window = context;
    return window->base->read(window->base->context, window->offset + offset, buffer, length);
}

sr_reader_t sr_reader_window(sr_reader_window_t *window, const sr_reader_t *base, uint32_t offset, uint32_t size)
{
    const uint32_t start = offset < base->size ? offset : base->size;
    const uint32_t room = base->size - start;
    *window = (sr_reader_window_t){.base = base, .offset = start};
    return (sr_reader_t){.context = window, .read = window_read, .size = size < room ? size : room};
}

/* Length of the run from @p address on that comes from one source, and which one. */
typedef enum source { FROM_FLASH, FROM_IMAGE, FROM_BLANK } source_t;

static source_t source_at(const sr_reader_overlay_t *overlay, uint32_t address, size_t *run)
{
    const uint32_t start = overlay->destination.address;
    const uint64_t image_end = (uint64_t)start + overlay->image->size;
    const uint64_t end = (uint64_t)start + overlay->destination.size;
    uint64_t stop = UINT64_MAX;
    source_t source = FROM_FLASH;

    if (address < start) {
        stop = start;
    } else if (address < image_end) {
        source = FROM_IMAGE;
        stop = image_end;
    } else if (address < end) {
        source = FROM_BLANK;
        stop = end;
    }
    if (stop - address < *run) {
        *run = (size_t)(stop - address);
    }
    return source;
}

static int overlay_read(void *context, uint32_t address, void *buffer, size_t length)
{
    const sr_reader_overlay_t *overlay = context;
    uint8_t *out = buffer;
    while (length > 0) {
        size_t run = length;
        int err = 0;
        switch (source_at(overlay, address, &run)) {
        case FROM_IMAGE:
            err = overlay->image->read(overlay->image->context, address - overlay->destination.address, out, run);
            break;
        case FROM_BLANK:
            memset(out, 0xFF, run);
            break;
        case FROM_FLASH:
            err = overlay->flash->read(overlay->flash->context, address, out, run);
            break;
        }
        if (err != 0) {
            return err;
        }
        out += run;
        address += (uint32_t)run;
        length -= run;
    }
    return 0;
}

sr_reader_t sr_reader_overlay(sr_reader_overlay_t *overlay)
{
    return (sr_reader_t){.context = overlay, .read = overlay_read, .size = overlay->flash->size};
}
