// SPDX-License-Identifier: Apache-2.0
/* Flash Encryption. Leaves keys and bytes in a folder, from which test/program/test_ciphers_external.py has espsecure
 * make the same. */
#include "sim/crypt/flash_cipher.h"
#include "sim/crypt/plain_memo.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define SIZE 0x2000u

static uint8_t flash[SIZE], cells[SIZE];

static const struct {
    flash_cipher_scheme_t scheme;
    size_t length;
} keys[] = {
    {FLASH_CIPHER_AES_256, 24}, {FLASH_CIPHER_AES_256, 32}, {FLASH_CIPHER_XTS_128, 16},
    {FLASH_CIPHER_XTS_128, 32}, {FLASH_CIPHER_XTS_256, 64},
};

static flash_cipher_t *cipher_of(unsigned index, uint8_t first)
{
    uint8_t key[FLASH_CIPHER_KEY_SIZE] = {first, 2, 3};
    flash_cipher_t *cipher = flash_cipher_new(keys[index].scheme, key, keys[index].length, 0xF);
    assert_non_null(cipher);
    return cipher;
}

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SIZE; i++) {
        flash[i] = (uint8_t)(i * 31 + i / 256);
    }
    return 0;
}

static void what_was_encrypted_is_read_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        flash_cipher_t *cipher = cipher_of(i, 1);
        uint8_t back[SIZE];
        memcpy(cells, flash, SIZE);
        flash_cipher_encrypt(cipher, 0, cells, SIZE);
        assert_memory_not_equal(cells, flash, SIZE);
        for (uint32_t address = 0; address < 300; address += 7) {
            for (uint32_t length = 1; length < 300; length += 23) {
                flash_cipher_read(cipher, cells, address, back, length);
                assert_memory_equal(back, flash + address, length);
            }
        }
        memcpy(back, cells, SIZE);
        flash_cipher_decrypt(cipher, 0, back, SIZE);
        assert_memory_equal(back, flash, SIZE);
        flash_cipher_delete(cipher);
    }
}

/* A block is encrypted by itself, in parts of any size, and elsewhere to something else. */
static void blocks_stand_alone(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        flash_cipher_t *cipher = cipher_of(i, 1);
        uint8_t block[FLASH_CIPHER_BLOCK];
        memcpy(cells, flash, SIZE);
        flash_cipher_encrypt(cipher, 0, cells, SIZE);
        for (uint32_t at = 0; at < SIZE; at += sizeof(block)) {
            memcpy(block, flash + at, sizeof(block));
            flash_cipher_encrypt(cipher, at, block, sizeof(block));
            assert_memory_equal(block, cells + at, sizeof(block));
        }
        memcpy(block, flash, sizeof(block));
        flash_cipher_encrypt(cipher, 0x1000, block, sizeof(block));
        assert_memory_not_equal(block, cells, sizeof(block));
        flash_cipher_delete(cipher);
    }
}

static void keys_have_the_length_of_their_scheme(void **state)
{
    static const uint8_t key[FLASH_CIPHER_KEY_SIZE];
    static const uint8_t right[][2] = {{24, 32}, {16, 32}, {64, 64}};
    (void)state;
    for (unsigned scheme = 0; scheme < 3; scheme++) {
        for (size_t length = 0; length <= sizeof(key); length++) {
            flash_cipher_t *cipher = flash_cipher_new((flash_cipher_scheme_t)scheme, key, length, 0xF);
            const bool wanted = length == right[scheme][0] || length == right[scheme][1];
            assert_int_equal(cipher != NULL, wanted);
            flash_cipher_delete(cipher);
        }
    }
}

static void leave(const char *folder, const char *name, const uint8_t *bytes, size_t length)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* One folder for each key and FLASH_CRYPT_CONFIG: the key, the plaintext, and what it becomes at some addresses. */
static void leave_encrypted(unsigned index, uint8_t config)
{
    static const uint32_t addresses[] = {0, 0x10, 0x50, 0x1000, 0x8000, 0x7FFFE0, 0x123450, 0xFFE000};
    static const uint32_t lengths[] = {16, 32, 48, 0x80, 0x1230};
    uint8_t key[FLASH_CIPHER_KEY_SIZE];
    char folder[256];
    for (uint8_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(i * 37 + index);
    }
    (void)snprintf(folder, sizeof(folder), TEST_BINARY_DIR "/ciphers/%u-%u-%x", keys[index].scheme,
                   (unsigned)keys[index].length, config);
    assert_true(mkdir(folder, 0777) == 0 || errno == EEXIST);
    leave(folder, "key", key, keys[index].length);
    leave(folder, "plain", flash, 0x1230);
    flash_cipher_t *cipher = flash_cipher_new(keys[index].scheme, key, keys[index].length, config);
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        for (unsigned k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "%x-%x", (unsigned)addresses[i], (unsigned)lengths[k]);
            memcpy(cells, flash, lengths[k]);
            flash_cipher_encrypt(cipher, addresses[i], cells, lengths[k]);
            leave(folder, name, cells, lengths[k]);
        }
    }
    flash_cipher_delete(cipher);
}

static void what_espsecure_shall_make_is_left(void **state)
{
    static const uint8_t configs[] = {0xF, 0, 1, 2, 4, 8, 5};
    (void)state;
    assert_true(mkdir(TEST_BINARY_DIR "/ciphers", 0777) == 0 || errno == EEXIST);
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const size_t count = keys[i].scheme == FLASH_CIPHER_AES_256 ? sizeof(configs) : 1;
        for (size_t k = 0; k < count; k++) {
            leave_encrypted(i, configs[k]);
        }
    }
}

/* The memo follows the flash, and the cipher. */
static void a_memo_shows_what_is_there_now(void **state)
{
    (void)state;
    for (uint8_t first = 1; first < 3; first++) {
        flash_cipher_t *cipher = cipher_of(3, first);
        memcpy(cells, flash, SIZE);
        flash_cipher_encrypt(cipher, 0, cells, SIZE);
        assert_memory_equal(plain_memo(cipher, cells, SIZE, 0xF00, 0x200), flash + 0xF00, 0x200);
        uint8_t other[FLASH_CIPHER_BLOCK] = "another block .";
        memcpy(cells + 0x1010, other, sizeof(other));
        flash_cipher_encrypt(cipher, 0x1010, cells + 0x1010, sizeof(other));
        assert_memory_equal(plain_memo(cipher, cells, SIZE, 0x1010, sizeof(other)), other, sizeof(other));
        assert_memory_equal(plain_memo(cipher, cells, SIZE, 0, 0x1000), flash, 0x1000);
        flash_cipher_delete(cipher);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_encrypted_is_read_back, setup),
        cmocka_unit_test_setup(blocks_stand_alone, setup),
        cmocka_unit_test(keys_have_the_length_of_their_scheme),
        cmocka_unit_test_setup(what_espsecure_shall_make_is_left, setup),
        cmocka_unit_test_setup(a_memo_shows_what_is_there_now, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
