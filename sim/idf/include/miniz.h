// SPDX-License-Identifier: Apache-2.0
/** @file
 * The decompressor in the mask ROM (miniz' tinfl), as far as the component uses it: raw deflate into a ring of output
 * that is a power of two long and serves as the window. Here it runs on zlib, in memory of its own, as in the ROM.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

typedef uint8_t mz_uint8;
typedef uint32_t mz_uint32;

/** More input follows what this call gets. */
#define TINFL_FLAG_HAS_MORE_INPUT 2

typedef enum {
    TINFL_STATUS_BAD_PARAM = -3,
    TINFL_STATUS_ADLER32_MISMATCH = -2,
    TINFL_STATUS_FAILED = -1,
    TINFL_STATUS_DONE = 0,
    TINFL_STATUS_NEEDS_MORE_INPUT = 1,
    TINFL_STATUS_HAS_MORE_OUTPUT = 2,
} tinfl_status;

/** For zlib's state and a window of 4 KiB. The struct is 400 bytes larger than the real one, which has 10,992. */
#define TINFL_ARENA_SIZE 11264u

typedef struct tinfl_decompressor_tag {
    mz_uint32 m_state; /**< 0: start; 1: at work; 2: done. */
    z_stream stream;
    size_t arena_used;
    union {
        max_align_t align;
        uint8_t bytes[TINFL_ARENA_SIZE];
    } arena;
} tinfl_decompressor;

#define tinfl_init(r)                                                                                                  \
    do {                                                                                                               \
        (r)->m_state = 0;                                                                                              \
    } while (0)

/**
 * Decompresses as far as input and room reach.
 *
 * @param[in,out] pIn_buf_size Bytes of input; on return: used up.
 * @param pOut_buf_start Start of the ring.
 * @param pOut_buf_next Where in the ring to go on; with *pOut_buf_size bytes up to the end of the ring.
 * @param[in,out] pOut_buf_size Room; on return: filled.
 */
tinfl_status tinfl_decompress(tinfl_decompressor *r, const mz_uint8 *pIn_buf_next, size_t *pIn_buf_size,
                              mz_uint8 *pOut_buf_start, mz_uint8 *pOut_buf_next, size_t *pOut_buf_size,
                              const mz_uint32 decomp_flags);
