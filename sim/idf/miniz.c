// SPDX-License-Identifier: Apache-2.0
#include "miniz.h"

#include "sim/chip/sim_state.h"

#include <limits.h>
#include <stdbool.h>

#define WINDOW_BITS 12 /**< A ring of 4 KiB holds no more. */

enum { STATE_START, STATE_AT_WORK, STATE_DONE };

/* The ROM's decompressor needs no heap, so neither does this one: zlib gets pieces of the caller's struct. */
static voidpf arena_alloc(voidpf opaque, uInt items, uInt size)
{
    tinfl_decompressor *r = opaque;
    const size_t align = sizeof(max_align_t);
    const size_t wanted = ((size_t)items * size + align - 1) / align * align;
    if (wanted > TINFL_ARENA_SIZE - r->arena_used) {
        return Z_NULL;
    }
    void *piece = r->arena.bytes + r->arena_used;
    r->arena_used += wanted;
    return piece;
}

static void arena_free(voidpf opaque, voidpf address)
{
    (void)opaque, (void)address;
}

static tinfl_status to_status(tinfl_decompressor *r, int result, mz_uint32 flags)
{
    if (result == Z_STREAM_END) {
        r->m_state = STATE_DONE;
        return TINFL_STATUS_DONE;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) {
        return TINFL_STATUS_FAILED;
    }
    if (r->stream.avail_out == 0) {
        return TINFL_STATUS_HAS_MORE_OUTPUT;
    }
    return (flags & TINFL_FLAG_HAS_MORE_INPUT) != 0 ? TINFL_STATUS_NEEDS_MORE_INPUT : TINFL_STATUS_FAILED;
}

tinfl_status tinfl_decompress(tinfl_decompressor *r, const mz_uint8 *pIn_buf_next, size_t *pIn_buf_size,
                              mz_uint8 *pOut_buf_start, mz_uint8 *pOut_buf_next, size_t *pOut_buf_size,
                              const mz_uint32 decomp_flags)
{
    const size_t ring = (size_t)(pOut_buf_next - pOut_buf_start) + *pOut_buf_size;
    sim_flash_code(__func__);
    const bool unknown = (decomp_flags & ~(mz_uint32)TINFL_FLAG_HAS_MORE_INPUT) != 0; /* What others ask for. */
    if (ring == 0 || (ring & (ring - 1)) != 0 || *pIn_buf_size > UINT_MAX || unknown) {
        *pIn_buf_size = *pOut_buf_size = 0;
        return TINFL_STATUS_BAD_PARAM;
    }
    if (r->m_state == STATE_START) {
        r->arena_used = 0;
        r->stream = (z_stream){.zalloc = arena_alloc, .zfree = arena_free, .opaque = r};
        if (inflateInit2(&r->stream, -WINDOW_BITS) != Z_OK) {
            return TINFL_STATUS_FAILED;
        }
        r->m_state = STATE_AT_WORK;
    }
    const uInt room = (uInt)*pOut_buf_size;
    r->stream.next_in = (Bytef *)(uintptr_t)pIn_buf_next;
    r->stream.avail_in = (uInt)*pIn_buf_size;
    r->stream.next_out = pOut_buf_next;
    r->stream.avail_out = room;
    const int result = r->m_state == STATE_DONE ? Z_STREAM_END : inflate(&r->stream, Z_NO_FLUSH);
    *pIn_buf_size -= r->stream.avail_in;
    *pOut_buf_size = room - r->stream.avail_out;
    sim_work(*pOut_buf_size);
    return to_status(r, result, decomp_flags);
}
