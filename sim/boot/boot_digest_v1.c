// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_digest_v1.h"

#include "format/sr_digest.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_secure_boot_v1.h"
#include "psa/crypto.h"
#include "sim/nor/nor_flash.h"

#include <mbedtls/aes.h>
#include <string.h>

#define BLOCK       16u
#define WORD        4u
#define KEY_SIZE    32u
#define SHORT_KEY   24u // with 3/4 coding
#define SHA512_SIZE 64u
#define LOADER_ROOM 0x100000u // more than an ESP32 has RAM for
#define IV_SIZE     SR_SECURE_BOOT_V1_IV_SIZE

/** What the ROM reads: IV and digest, then a bootloader in whole units. */
typedef struct subject {
    uint32_t address, length; /**< Of the bootloader, as far as the hardware takes it. */
    uint8_t stored[SR_SECURE_BOOT_V1_DIGEST_SIZE];
} subject_t;

static subject_t find_subject(const boot_t *boot, uint32_t address, const sr_image_t *image)
{
    subject_t subject = {.address = address, .length = sr_secure_boot_v1_length(image)};
    boot_read(boot, 0, subject.stored, sizeof(subject.stored));
    return subject;
}

/** The hardware makes a short key longer. */
static void expand_key(const efuse_key_t *burnt, uint8_t key[KEY_SIZE])
{
    efuse_key_reverse(burnt->bytes, burnt->length, key);
    if (burnt->length == SHORT_KEY) {
        memcpy(key + SHORT_KEY, key + 8, KEY_SIZE - SHORT_KEY);
    }
}

/** AES over each block with its bytes in reverse; then SHA-512 over words with theirs in reverse. */
static bool encrypt(mbedtls_aes_context *aes, const uint8_t in[IV_SIZE], uint8_t out[IV_SIZE])
{
    for (unsigned start = 0; start < IV_SIZE; start += BLOCK) {
        uint8_t block[BLOCK];
        uint8_t cipher[BLOCK];
        for (unsigned i = 0; i < BLOCK; i++) {
            block[i] = in[start + BLOCK - 1 - i];
        }
        if (mbedtls_aes_crypt_ecb(aes, MBEDTLS_AES_ENCRYPT, block, cipher) != 0) {
            return false;
        }
        for (unsigned i = 0; i < BLOCK; i++) {
            out[start + i] = cipher[BLOCK - WORD - i / WORD * WORD + i % WORD];
        }
    }
    return true;
}

static bool add(const subject_t *subject, const boot_t *boot, mbedtls_aes_context *aes, psa_hash_operation_t *hash)
{
    uint8_t unit[IV_SIZE];
    uint8_t cipher[IV_SIZE];
    bool fine = encrypt(aes, subject->stored, cipher) && psa_hash_update(hash, cipher, sizeof(cipher)) == PSA_SUCCESS;
    for (uint32_t done = 0; done < subject->length && fine; done += IV_SIZE) {
        boot_read(boot, subject->address + done, unit, sizeof(unit));
        fine = encrypt(aes, unit, cipher) && psa_hash_update(hash, cipher, sizeof(cipher)) == PSA_SUCCESS;
    }
    return fine;
}

static bool has_digest(const boot_t *boot, const subject_t *subject, const efuse_key_t *burnt)
{
    uint8_t key[KEY_SIZE];
    uint8_t digest[SHA512_SIZE];
    size_t length;
    mbedtls_aes_context aes;
    psa_hash_operation_t hash = PSA_HASH_OPERATION_INIT;
    expand_key(burnt, key);
    mbedtls_aes_init(&aes);
    bool right = psa_crypto_init() == PSA_SUCCESS && mbedtls_aes_setkey_enc(&aes, key, KEY_SIZE * 8) == 0 &&
                 psa_hash_setup(&hash, PSA_ALG_SHA_512) == PSA_SUCCESS && add(subject, boot, &aes, &hash) &&
                 psa_hash_finish(&hash, digest, sizeof(digest), &length) == PSA_SUCCESS;
    for (unsigned i = 0; i < SHA512_SIZE && right; i++) {
        right = subject->stored[IV_SIZE + (i & ~(WORD - 1u)) + WORD - 1u - i % WORD] == digest[i];
    }
    (void)psa_hash_abort(&hash);
    mbedtls_aes_free(&aes);
    explicit_bzero(key, sizeof(key));
    return right;
}

static bool fingerprint(const boot_t *boot, const subject_t *subject, uint8_t sha256[SR_SHA256_SIZE])
{
    uint8_t digests[SR_SECURE_BOOT_V1_DIGEST_SIZE + SR_SHA256_SIZE];
    memcpy(digests, subject->stored, sizeof(subject->stored));
    return boot_digest(boot, subject->address, subject->length, digests + sizeof(subject->stored)) &&
           sr_digest(digests, sizeof(digests), sha256);
}

boot_digest_t boot_digest_v1_check(const boot_t *boot)
{
    uint8_t sha256[SR_SHA256_SIZE];
    const efuse_set_t *burnt = boot->burnt;
    if (!burnt->secure_boot_v1 || burnt->secure_boot_v2) {
        return BOOT_DIGEST_RIGHT;
    }
    const boot_loader_t *loader = &boot->loader;
    const sr_image_t image = {.length = loader->length, .hash_appended = loader->header[BOOT_HASH_APPENDED] != 0};
    const subject_t subject = find_subject(boot, loader->offset, &image);
    const efuse_key_t *key = efuse_set_key(burnt, EFUSE_PURPOSE_SECURE_BOOT_V1);
    if (nor_is_erased(subject.stored, sizeof(subject.stored))) {
        return BOOT_DIGEST_WRONG;
    }
    if (key != NULL && key->readable) {
        return has_digest(boot, &subject, key) ? BOOT_DIGEST_RIGHT : BOOT_DIGEST_WRONG;
    }
    return fingerprint(boot, &subject, sha256) && memcmp(sha256, boot->taken, sizeof(sha256)) == 0
               ? BOOT_DIGEST_RIGHT
               : BOOT_DIGEST_NOT_KNOWN;
}

void boot_believe(boot_chip_t *chip, const uint8_t *flash, uint32_t size)
{
    sr_image_t image;
    boot_t boot = {.chip = chip->chip, .cipher = chip->cipher, .flash = flash, .size = size};
    const uint32_t offset = chip->chip->bootloader_offset;
    if (!chip->burnt.secure_boot_v1 || size <= offset) {
        return;
    }
    uint32_t room = size - offset < LOADER_ROOM ? size - offset : LOADER_ROOM;
    const uint8_t *bytes = boot_view(&boot, offset, &room);
    const sr_reader_t reader = sr_reader_memory(bytes, room);
    if (sr_image_parse(&reader, &image) == SR_IMAGE_OK) {
        const subject_t subject = find_subject(&boot, offset, &image);
        (void)fingerprint(&boot, &subject, chip->taken);
    }
}
