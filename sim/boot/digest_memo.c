// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/digest_memo.h"

#include "sim/nor/flash_buffer.h"
#include "format/sr_digest.h"

#include <string.h>
#include <unistd.h>

/** Two systems, each with bootloader and app, with and without the digest after the image, and the torn ones in
 * between.
 */
#define ENTRIES 16u

typedef struct entry {
    uint8_t *bytes; /**< A copy; NULL: free. */
    size_t length;
    uint64_t used; /**< When it was asked for last. */
    uint8_t digest[SR_SHA256_SIZE];
} entry_t;

static entry_t entries[ENTRIES];
static uint64_t now;
static pid_t owner; /**< Of the copies, which forked processes would share. */

static void forget_those_of_another_process(void)
{
    if (owner != getpid()) {
        for (entry_t *entry = entries; entry < entries + ENTRIES; entry++) {
            flash_buffer_delete(entry->bytes, (uint32_t)entry->length);
            *entry = (entry_t){0};
        }
        owner = getpid();
    }
}

static entry_t *find(const uint8_t *bytes, size_t length)
{
    for (entry_t *entry = entries; entry < entries + ENTRIES; entry++) {
        if (entry->bytes != NULL && entry->length == length && memcmp(entry->bytes, bytes, length) == 0) {
            return entry;
        }
    }
    return NULL;
}

/** Replaces what has not been asked for the longest; without memory nothing is kept. */
static void keep(const uint8_t *bytes, size_t length, const uint8_t digest[SR_SHA256_SIZE])
{
    entry_t *oldest = entries;
    for (entry_t *entry = entries; entry < entries + ENTRIES; entry++) {
        oldest = entry->used < oldest->used ? entry : oldest;
    }
    uint8_t *copy = oldest->bytes;
    if (oldest->length != length) {
        flash_buffer_delete(oldest->bytes, (uint32_t)oldest->length);
        *oldest = (entry_t){0};
        copy = flash_buffer_new((uint32_t)length);
        if (copy == NULL) {
            return;
        }
    }
    memcpy(copy, bytes, length);
    *oldest = (entry_t){.bytes = copy, .length = length, .used = ++now};
    memcpy(oldest->digest, digest, SR_SHA256_SIZE);
}

bool digest_memo(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE])
{
    forget_those_of_another_process();
    entry_t *known = length > 0 ? find(bytes, length) : NULL;
    if (known != NULL) {
        known->used = ++now;
        memcpy(digest, known->digest, SR_SHA256_SIZE);
        return true;
    }
    const bool done = sr_digest(bytes, length, digest);
    if (done && length > 0) {
        keep(bytes, length, digest);
    }
    return done;
}
