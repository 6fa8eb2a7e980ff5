// SPDX-License-Identifier: Apache-2.0
#include "format/sr_md5.h"

#include <string.h>

#ifdef ESP_PLATFORM

static int library_start(sr_md5_state_t *state)
{
    esp_rom_md5_init(state);
    return 0;
}

static int library_update(sr_md5_state_t *state, const void *data, size_t length)
{
    esp_rom_md5_update(state, data, (uint32_t)length);
    return 0;
}

static int library_finish(sr_md5_state_t *state, uint8_t digest[SR_MD5_SIZE])
{
    esp_rom_md5_final(digest, state);
    return 0;
}

static void library_free(sr_md5_state_t *state)
{
    (void)state; // The ROM keeps nothing outside the context.
}

#else

static int library_start(sr_md5_state_t *state)
{
    *state = psa_hash_operation_init();
    psa_status_t status = psa_crypto_init();
    return status != PSA_SUCCESS ? status : psa_hash_setup(state, PSA_ALG_MD5);
}

static int library_update(sr_md5_state_t *state, const void *data, size_t length)
{
    return psa_hash_update(state, data, length);
}

static int library_finish(sr_md5_state_t *state, uint8_t digest[SR_MD5_SIZE])
{
    size_t length = 0;
    return psa_hash_finish(state, digest, SR_MD5_SIZE, &length);
}

static void library_free(sr_md5_state_t *state)
{
    (void)psa_hash_abort(state);
}

#endif

void sr_md5_start(sr_md5_t *md5)
{
    md5->error = library_start(&md5->state);
}

void sr_md5_update(sr_md5_t *md5, const void *data, size_t length)
{
    if (md5->error == 0) {
        md5->error = library_update(&md5->state, data, length);
    }
}

int sr_md5_finish(sr_md5_t *md5, uint8_t digest[SR_MD5_SIZE])
{
    if (md5->error == 0) {
        md5->error = library_finish(&md5->state, digest);
    }
    if (md5->error != 0) {
        memset(digest, 0, SR_MD5_SIZE);
    }
    library_free(&md5->state);
    return md5->error;
}
