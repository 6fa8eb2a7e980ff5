// SPDX-License-Identifier: Apache-2.0
#include "sim/crypt/flash_cipher.h"

#include "format/sr_bytes.h"
#include "format/sr_digest.h"

#include <endian.h>
#include <mbedtls/aes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK        FLASH_CIPHER_BLOCK
#define AES_KEY_SIZE 32u
#define ROW_SIZE     32u  /**< AES-256: bytes with the same key. */
#define FIRST_BIT    5u   /**< AES-256: the lowest bit of an address that changes the key, */
#define BIT_COUNT    19u  /**< and how many do. */
#define UNIT_SIZE    128u /**< XTS: bytes with the same tweak. */
#define UNIT_BLOCKS  (UNIT_SIZE / BLOCK)
#define POLYNOMIAL   0x87u

struct flash_cipher {
    unsigned serial;
    flash_cipher_scheme_t scheme;
    uint8_t key[FLASH_CIPHER_KEY_SIZE];             /**< At its full length. */
    uint8_t changes[BIT_COUNT][AES_KEY_SIZE];       /**< AES-256: what each bit of an address changes in the key. */
    mbedtls_aes_context encrypts, decrypts, tweaks; /**< XTS. */
};

/** What the blocks of a row or unit are encrypted with. */
typedef struct schedule {
    uint32_t address;                   /**< Of the row or unit; 1: none yet. */
    mbedtls_aes_context row;            /**< AES-256. */
    uint32_t key_address;               /**< AES-256: the row whose key is there. */
    uint8_t key[AES_KEY_SIZE];          /**< AES-256. */
    uint8_t tweaks[UNIT_BLOCKS][BLOCK]; /**< XTS: for each block, in the order of flash. */
} schedule_t;

/**
 * FLASH_CRYPT_CONFIG has a bit for each of four parts of the key, most significant bit first. In a part, the bits of
 * the address are taken from the highest to the lowest, again and again; the last round is short, and ends with the
 * lowest.
 */
static void set_changes(flash_cipher_t *cipher, uint8_t crypt_config)
{
    static const unsigned parts[] = {0, 67, 132, 195, 256};
    for (unsigned part = 0; part < 4; part++) {
        const unsigned length = ((unsigned)crypt_config >> part & 1u) != 0 ? parts[part + 1] - parts[part] : 0;
        const unsigned rounds = length / BIT_COUNT * BIT_COUNT;
        for (unsigned i = 0; i < length; i++) {
            const unsigned bit = i < rounds ? BIT_COUNT - 1 - i % BIT_COUNT : length - 1 - i;
            const unsigned place = parts[part] + i;
            cipher->changes[bit][place / 8] |= (uint8_t)(0x80u >> place % 8);
        }
    }
}

/** Brings the key to its full length, as the chips do. */
static bool set_key(flash_cipher_t *cipher, const uint8_t *key, size_t length)
{
    const size_t full = cipher->scheme == FLASH_CIPHER_XTS_256 ? 64 : 32;
    if (cipher->scheme == FLASH_CIPHER_XTS_128 && length == 16) {
        return sr_digest(key, length, cipher->key);
    }
    if (cipher->scheme == FLASH_CIPHER_AES_256 && length == 24) {
        memcpy(cipher->key, key, 24);
        memcpy(cipher->key + 24, key + 8, 8);
        return true;
    }
    memcpy(cipher->key, key, length == full ? full : 0);
    return length == full;
}

/** Of XTS: the first half of the key is for the data, the second for the tweak. */
static bool expand_key(flash_cipher_t *cipher)
{
    const unsigned half = cipher->scheme == FLASH_CIPHER_XTS_256 ? 32 : 16;
    return cipher->scheme == FLASH_CIPHER_AES_256 ||
           (mbedtls_aes_setkey_enc(&cipher->encrypts, cipher->key, half * 8) == 0 &&
            mbedtls_aes_setkey_dec(&cipher->decrypts, cipher->key, half * 8) == 0 &&
            mbedtls_aes_setkey_enc(&cipher->tweaks, cipher->key + half, half * 8) == 0);
}

flash_cipher_t *flash_cipher_new(flash_cipher_scheme_t scheme, const uint8_t *key, size_t length, uint8_t crypt_config)
{
    static unsigned serial;
    flash_cipher_t *cipher = calloc(1, sizeof(*cipher));
    if (cipher == NULL) {
        return NULL;
    }
    cipher->serial = ++serial;
    cipher->scheme = scheme;
    mbedtls_aes_init(&cipher->encrypts);
    mbedtls_aes_init(&cipher->decrypts);
    mbedtls_aes_init(&cipher->tweaks);
    set_changes(cipher, scheme == FLASH_CIPHER_AES_256 ? crypt_config : 0);
    if (!set_key(cipher, key, length) || !expand_key(cipher)) {
        flash_cipher_delete(cipher);
        return NULL;
    }
    return cipher;
}

void flash_cipher_delete(flash_cipher_t *cipher)
{
    if (cipher != NULL) {
        mbedtls_aes_free(&cipher->encrypts);
        mbedtls_aes_free(&cipher->decrypts);
        mbedtls_aes_free(&cipher->tweaks);
        explicit_bzero(cipher, sizeof(*cipher));
        free(cipher);
    }
}

flash_cipher_scheme_t flash_cipher_scheme(const flash_cipher_t *cipher)
{
    return cipher->scheme;
}

unsigned flash_cipher_serial(const flash_cipher_t *cipher)
{
    return cipher->serial;
}

/** The crypto library has nothing that could fail here: what it needs is in the contexts. */
static void must(int error)
{
    if (error != 0) {
        abort();
    }
}

/** Eight bytes at once: in an exploration all of the flash goes through these functions. */
static uint64_t load(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static void store(uint64_t word, uint8_t *bytes)
{
    memcpy(bytes, &word, sizeof(word));
}

/** @param length A multiple of eight. */
static void exclusive_or(uint8_t *bytes, const uint8_t *other, size_t length)
{
    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        store(load(bytes + i) ^ load(other + i), bytes + i);
    }
}

/** The chips have a block's last byte first. */
static void reverse(const uint8_t from[BLOCK], uint8_t to[BLOCK])
{
    const uint64_t first = load(from);
    const uint64_t second = load(from + BLOCK / 2);
    store(__builtin_bswap64(second), to);
    store(__builtin_bswap64(first), to + BLOCK / 2);
}

/** AES-256: encrypting flash is AES' decryption. The key is made from that of the row before, from which few bits of
 * the address differ. */
static void set_row(const flash_cipher_t *cipher, bool encrypt, uint32_t address, schedule_t *schedule)
{
    const uint32_t differing = (address ^ schedule->key_address) >> FIRST_BIT;
    for (unsigned bit = 0; bit < BIT_COUNT; bit++) {
        if ((differing >> bit & 1u) != 0) {
            exclusive_or(schedule->key, cipher->changes[bit], AES_KEY_SIZE);
        }
    }
    schedule->key_address = address;
    must(encrypt ? mbedtls_aes_setkey_dec(&schedule->row, schedule->key, AES_KEY_SIZE * 8)
                 : mbedtls_aes_setkey_enc(&schedule->row, schedule->key, AES_KEY_SIZE * 8));
}

/** Multiplies by x in GF(2^128), the lowest byte first. */
static void next_tweak(uint8_t tweak[BLOCK])
{
    const uint64_t low = le64toh(load(tweak));
    const uint64_t high = le64toh(load(tweak + BLOCK / 2));
    store(htole64(low << 1 ^ (high >> 63 != 0 ? POLYNOMIAL : 0)), tweak);
    store(htole64(high << 1 | low >> 63), tweak + BLOCK / 2);
}

/** XTS: the last block of a unit is the first for the chip. */
static void set_unit(const flash_cipher_t *cipher, uint32_t address, schedule_t *schedule)
{
    uint8_t tweak[BLOCK] = {0};
    sr_bytes_put_le32(tweak, address);
    must(mbedtls_aes_crypt_ecb((mbedtls_aes_context *)&cipher->tweaks, MBEDTLS_AES_ENCRYPT, tweak, tweak));
    for (unsigned i = UNIT_BLOCKS; i-- > 0;) {
        memcpy(schedule->tweaks[i], tweak, BLOCK);
        next_tweak(tweak);
    }
}

static void set_schedule(const flash_cipher_t *cipher, bool encrypt, uint32_t address, schedule_t *schedule)
{
    const bool is_aes = cipher->scheme == FLASH_CIPHER_AES_256;
    const uint32_t start = address & ~((is_aes ? ROW_SIZE : UNIT_SIZE) - 1u);
    if (schedule->address != start) {
        schedule->address = start;
        is_aes ? set_row(cipher, encrypt, start, schedule) : set_unit(cipher, start, schedule);
    }
}

static void crypt_block(const flash_cipher_t *cipher, bool encrypt, uint32_t address, schedule_t *schedule,
                        uint8_t *bytes)
{
    uint8_t block[BLOCK];
    reverse(bytes, block);
    if (cipher->scheme == FLASH_CIPHER_AES_256) {
        must(mbedtls_aes_crypt_ecb(&schedule->row, encrypt ? MBEDTLS_AES_DECRYPT : MBEDTLS_AES_ENCRYPT, block, block));
    } else {
        const uint8_t *tweak = schedule->tweaks[address / BLOCK % UNIT_BLOCKS];
        const mbedtls_aes_context *context = encrypt ? &cipher->encrypts : &cipher->decrypts;
        exclusive_or(block, tweak, BLOCK);
        must(mbedtls_aes_crypt_ecb((mbedtls_aes_context *)context, encrypt ? MBEDTLS_AES_ENCRYPT : MBEDTLS_AES_DECRYPT,
                                   block, block));
        exclusive_or(block, tweak, BLOCK);
    }
    reverse(block, bytes);
}

static void crypt(const flash_cipher_t *cipher, bool encrypt, uint32_t address, uint8_t *bytes, size_t length)
{
    schedule_t schedule = {.address = 1};
    memcpy(schedule.key, cipher->key, sizeof(schedule.key));
    mbedtls_aes_init(&schedule.row);
    for (size_t i = 0; i + BLOCK <= length; i += BLOCK) {
        set_schedule(cipher, encrypt, address + (uint32_t)i, &schedule);
        crypt_block(cipher, encrypt, address + (uint32_t)i, &schedule, bytes + i);
    }
    mbedtls_aes_free(&schedule.row);
}

void flash_cipher_encrypt(const flash_cipher_t *cipher, uint32_t address, uint8_t *bytes, size_t length)
{
    crypt(cipher, true, address, bytes, length);
}

void flash_cipher_decrypt(const flash_cipher_t *cipher, uint32_t address, uint8_t *bytes, size_t length)
{
    crypt(cipher, false, address, bytes, length);
}

void flash_cipher_read(const flash_cipher_t *cipher, const uint8_t *flash, uint32_t address, void *out, size_t length)
{
    uint8_t *to = out;
    while (length > 0) {
        uint8_t unit[UNIT_SIZE];
        const uint32_t start = address / BLOCK * BLOCK;
        const uint32_t skipped = address - start;
        const size_t here = length < UNIT_SIZE - skipped ? length : UNIT_SIZE - skipped;
        const size_t whole = (skipped + here + BLOCK - 1) / BLOCK * BLOCK;
        memcpy(unit, flash + start, whole);
        flash_cipher_decrypt(cipher, start, unit, whole);
        memcpy(to, unit + skipped, here);
        to += here;
        address += (uint32_t)here;
        length -= here;
    }
}
