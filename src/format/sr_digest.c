// SPDX-License-Identifier: Apache-2.0
#include "format/sr_digest.h"

#define PIECE 128u

bool sr_digest(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bytes, length);
    return sr_sha256_finish(&sha, digest) == 0;
}

sr_digest_status_t sr_digest_range(const sr_reader_t *reader, uint32_t offset, uint32_t length,
                                   uint8_t digest[SR_SHA256_SIZE])
{
    uint8_t piece[PIECE];
    bool read = sr_region_fits((sr_region_t){offset, length}, reader->size);
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    for (uint32_t done = 0; done < length && read; done += PIECE) {
        const uint32_t step = length - done < PIECE ? length - done : PIECE;
        read = reader->read(reader->context, offset + done, piece, step) == 0;
        sr_sha256_update(&sha, piece, read ? step : 0);
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    return !read ? SR_DIGEST_READ_FAILED : hashed ? SR_DIGEST_OK : SR_DIGEST_CRYPTO_FAILED;
}
