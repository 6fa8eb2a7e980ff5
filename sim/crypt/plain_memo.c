// SPDX-License-Identifier: Apache-2.0
#include "sim/crypt/plain_memo.h"

#include "format/sr_region.h"

#include <stdlib.h>
#include <string.h>

/** Of memory that fork() copies where it is written: an app that starts knows what was decrypted before it. */
static struct {
    unsigned cipher; /**< Serial number; 0: nothing is known. */
    uint32_t size;
    uint8_t *cells, *plain; /**< What was decrypted last, and what to; owned. */
    bool *known;            /**< For each sector; owned. */
} memo;

static void forget(void)
{
    free(memo.cells);
    free(memo.plain);
    free(memo.known);
    memset(&memo, 0, sizeof(memo));
}

static void start(const flash_cipher_t *cipher, uint32_t size)
{
    forget();
    memo.cells = calloc(size, 1);
    memo.plain = calloc(size, 1);
    memo.known = calloc(size / SR_SECTOR_SIZE, sizeof(*memo.known));
    memo.cipher = flash_cipher_serial(cipher);
    memo.size = size;
    if (memo.cells == NULL || memo.plain == NULL || memo.known == NULL) {
        abort(); // a few megabytes
    }
}

static void look_at(const flash_cipher_t *cipher, const uint8_t *flash, uint32_t sector)
{
    const uint32_t at = sector * SR_SECTOR_SIZE;
    if (!memo.known[sector] || memcmp(memo.cells + at, flash + at, SR_SECTOR_SIZE) != 0) {
        memcpy(memo.cells + at, flash + at, SR_SECTOR_SIZE);
        memcpy(memo.plain + at, flash + at, SR_SECTOR_SIZE);
        flash_cipher_decrypt(cipher, at, memo.plain + at, SR_SECTOR_SIZE);
        memo.known[sector] = true;
    }
}

const uint8_t *plain_memo(const flash_cipher_t *cipher, const uint8_t *flash, uint32_t size, uint32_t address,
                          uint32_t length)
{
    if (memo.cipher != flash_cipher_serial(cipher) || memo.size != size) {
        start(cipher, size);
    }
    for (uint32_t sector = address / SR_SECTOR_SIZE; length > 0 && sector <= (address + length - 1) / SR_SECTOR_SIZE;
         sector++) {
        look_at(cipher, flash, sector);
    }
    return memo.plain + address;
}
