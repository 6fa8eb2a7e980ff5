// SPDX-License-Identifier: Apache-2.0
#include "sim/efuse/efuse_set.h"

#include <stddef.h>

bool efuse_set_encrypts(const efuse_set_t *set)
{
    return __builtin_popcount(set->crypt_count) % 2 != 0;
}

bool efuse_set_is_release(const efuse_set_t *set)
{
    return efuse_set_encrypts(set) && set->crypt_count_locked && !set->download_open;
}

void efuse_key_reverse(const uint8_t *in, unsigned length, uint8_t *out)
{
    for (unsigned i = 0; i < length; i++) {
        out[i] = in[length - 1u - i];
    }
}

const efuse_key_t *efuse_set_key(const efuse_set_t *set, efuse_purpose_t purpose)
{
    for (unsigned i = 0; i < EFUSE_KEY_COUNT; i++) {
        if (set->keys[i].purpose == purpose) {
            return &set->keys[i];
        }
    }
    return NULL;
}

const efuse_key_t *efuse_set_digest(const efuse_set_t *set, unsigned number)
{
    static const efuse_purpose_t purposes[] = {EFUSE_PURPOSE_DIGEST_0, EFUSE_PURPOSE_DIGEST_1, EFUSE_PURPOSE_DIGEST_2};
    const efuse_key_t *key = number < EFUSE_DIGEST_COUNT ? efuse_set_key(set, purposes[number]) : NULL;
    return key != NULL && key->readable && !set->revoked[number] ? key : NULL;
}
