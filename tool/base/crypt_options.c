// SPDX-License-Identifier: Apache-2.0
#include "tool/base/crypt_options.h"

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/boot_key.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/content_kind.h"
#include "tool/base/efuse_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_EFUSES = 0x180, KEY_FLASH_KEY, KEY_BOOT_KEY };

#define CHIP_ID_OFFSET 12u
#define MOST_SEGMENTS  16u
#define ESP32_CONFIG   0xFu /**< What ESP-IDF burns as FLASH_CRYPT_CONFIG. */
#define WAY_OUT        "docs/encrypted.md tells more"

/* Of N bytes of noise each value is there N / 256 times: the sum of the squares of these counts is N * N / 256 + N on
 * average, with a deviation of N / 11; and N * N / 256 + 2 * N where the ESP32 has encrypted rows of twice the same.
 * Code and data have values that are far more frequent. */
#define LEAST_NOISE 512u

static const struct argp_option options_list[] = {
    {"efuses", KEY_EFUSES, "FILE", 0,
     "eFuses of the chip, as 'espefuse summary --format json' prints them: what they say counts", 11},
    {"flash-key", KEY_FLASH_KEY, "FILE", 0,
     "Key with which the chip encrypts its flash, as 'espsecure generate-flash-encryption-key' makes it", 11},
    {"secure-boot-key", KEY_BOOT_KEY, "FILE", 0,
     "Key of Secure Boot V1, as 'espsecure digest-secure-bootloader' takes it: the digest at 0x0 is verified", 11},
    {0}};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    crypt_options_t *options = state->input;
    switch (key) {
    case KEY_EFUSES:
        options->efuses_path = argument;
        return 0;
    case KEY_FLASH_KEY:
        options->key_path = argument;
        return 0;
    case KEY_BOOT_KEY:
        options->boot_key_path = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp crypt_options_argp = {.options = options_list, .parser = parse_option};

bool crypt_options_given(const crypt_options_t *options)
{
    return options->efuses_path != NULL || options->key_path != NULL || options->boot_key_path != NULL;
}

const char *crypt_scheme_name(flash_cipher_scheme_t scheme)
{
    static const char *const names[] = {[FLASH_CIPHER_AES_256] = "AES-256",
                                        [FLASH_CIPHER_XTS_128] = "XTS-AES-128",
                                        [FLASH_CIPHER_XTS_256] = "XTS-AES-256"};
    return names[scheme];
}

/* What is in the dump: */

/** True if a bootloader's header for this chip starts with these bytes. */
static bool is_header(const sr_chip_t *chip, const uint8_t *header)
{
    return header[0] == SR_IMAGE_MAGIC && header[1] != 0 && header[1] <= MOST_SEGMENTS &&
           sr_bytes_get_le16(header + CHIP_ID_OFFSET) == chip->image_chip_id;
}

static bool has_header(const sr_chip_t *chip, const image_file_t *flash, const flash_cipher_t *cipher)
{
    uint8_t header[SR_IMAGE_HEADER_SIZE];
    if (!sr_region_fits((sr_region_t){chip->bootloader_offset, sizeof(header)}, flash->size)) {
        return false;
    }
    if (cipher != NULL) {
        flash_cipher_read(cipher, flash->bytes, chip->bootloader_offset, header, sizeof(header));
    } else {
        memcpy(header, flash->bytes + chip->bootloader_offset, sizeof(header));
    }
    return is_header(chip, header);
}

bool crypt_is_noise(const uint8_t *bytes, uint32_t length)
{
    uint32_t counts[256] = {0};
    uint32_t total = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i + FLASH_CIPHER_BLOCK <= length; i += FLASH_CIPHER_BLOCK) {
        if (!nor_is_erased(bytes + i, FLASH_CIPHER_BLOCK)) {
            for (uint32_t k = i; k < i + FLASH_CIPHER_BLOCK; k++) {
                counts[bytes[k]]++;
            }
            total += FLASH_CIPHER_BLOCK;
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        sum += (uint64_t)counts[i] * counts[i];
    }
    return total >= LEAST_NOISE && sum < (uint64_t)total * total / 256 + 4 * total;
}

static bool is_noise(const image_file_t *flash, uint32_t offset)
{
    return sr_region_fits((sr_region_t){offset, SR_SECTOR_SIZE}, flash->size) &&
           crypt_is_noise(flash->bytes + offset, SR_SECTOR_SIZE);
}

/** Where a chip has its bootloader, and the dump has noise. @param chip NULL: any chip. @return NULL: nowhere, or one
 * of them has a bootloader, or there is a table. */
static const sr_chip_t *find_noise(const sr_chip_t *chip, const image_file_t *flash)
{
    const sr_chip_t *found = NULL;
    if (content_kind_has_table(flash->bytes, flash->size, SR_PARTITION_TABLE_OFFSET)) {
        return NULL;
    }
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        const sr_chip_t *candidate = sr_chip_at(i);
        if (chip != NULL && candidate != chip) {
            continue;
        }
        if (has_header(candidate, flash, NULL)) {
            return NULL;
        }
        const bool first = found == NULL || candidate->bootloader_offset < found->bootloader_offset;
        found = first && is_noise(flash, candidate->bootloader_offset) ? candidate : found;
    }
    return found;
}

/* The key: */

/** A key file's content. */
typedef struct key {
    uint8_t bytes[FLASH_CIPHER_KEY_SIZE];
    size_t length;
} key_text_t;

static int load_key(const char *path, key_text_t *key)
{
    image_file_t file;
    int status = image_file_load(path, &file);
    if (status != STATUS_OK) {
        return status;
    }
    key->length = file.size;
    if (file.size == 16 || file.size == 24 || file.size == 32 || file.size == 64) {
        memcpy(key->bytes, file.bytes, file.size);
    } else {
        status = complain(STATUS_BAD_INPUT,
                          "%s: %" PRIu32 " bytes: no key of Flash Encryption, which has 16, 24, 32 or 64; "
                          "'espsecure generate-flash-encryption-key' makes one",
                          path, file.size);
    }
    explicit_bzero(file.bytes, file.size);
    image_file_free(&file);
    return status;
}

/** What is left to know a key by after a power loss that took the bootloader: an intact partition table. */
static bool has_table(const image_file_t *flash, const flash_cipher_t *cipher)
{
    uint8_t bytes[SR_PARTITION_TABLE_SIZE];
    sr_partition_table_t table;
    bool found = false;
    for (uint32_t at = 0; !found && sr_region_fits((sr_region_t){at, sizeof(bytes)}, flash->size);
         at += SR_SECTOR_SIZE) {
        flash_cipher_read(cipher, flash->bytes, at, bytes, sizeof(bytes));
        const sr_reader_t reader = sr_reader_memory(bytes, sizeof(bytes));
        found = sr_partition_table_parse(&reader, 0, &table) == SR_PARTITION_TABLE_OK && table.has_md5;
    }
    return found;
}

static bool try_cipher(flash_cipher_scheme_t scheme, const key_text_t *key, uint8_t config, const sr_chip_t *chip,
                       const image_file_t *flash, flash_cipher_t **cipher)
{
    *cipher = flash_cipher_new(scheme, key->bytes, key->length, config);
    if (*cipher != NULL && has_header(chip, flash, *cipher)) {
        return true;
    }
    flash_cipher_delete(*cipher);
    *cipher = NULL;
    return false;
}

static flash_cipher_scheme_t scheme_of(const sr_chip_t *chip, const key_text_t *key)
{
    return chip->image_chip_id == 0 ? FLASH_CIPHER_AES_256
           : key->length == 64      ? FLASH_CIPHER_XTS_256
                                    : FLASH_CIPHER_XTS_128;
}

/** Without eFuses: the first chip, of those that may be meant, whose bootloader the key opens. */
static const sr_chip_t *find_opened(const boot_chip_t *chip, const key_text_t *key, const image_file_t *flash,
                                    flash_cipher_t **cipher)
{
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        const sr_chip_t *candidate = sr_chip_at(i);
        if (chip->chip != NULL && candidate != chip->chip) {
            continue;
        }
        if (try_cipher(scheme_of(candidate, key), key, ESP32_CONFIG, candidate, flash, cipher)) {
            return candidate;
        }
    }
    return NULL;
}

/** What the eFuses say a key is like. */
typedef struct wanted {
    flash_cipher_scheme_t scheme;
    size_t length;
} wanted_t;

/** @return false if no key block is for Flash Encryption. */
static bool find_wanted(const efuse_set_t *burnt, wanted_t *wanted)
{
    static const struct {
        efuse_purpose_t purpose;
        flash_cipher_scheme_t scheme;
    } kinds[] = {
        {EFUSE_PURPOSE_AES_256, FLASH_CIPHER_AES_256},
        {EFUSE_PURPOSE_XTS_256_1, FLASH_CIPHER_XTS_256},
        {EFUSE_PURPOSE_XTS_128, FLASH_CIPHER_XTS_128},
        {EFUSE_PURPOSE_XTS_128_SHORT, FLASH_CIPHER_XTS_128},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const efuse_key_t *key = efuse_set_key(burnt, kinds[i].purpose);
        if (key != NULL) {
            const bool halves = kinds[i].purpose == EFUSE_PURPOSE_XTS_256_1;
            *wanted = (wanted_t){kinds[i].scheme, halves ? 2u * key->length : key->length};
            return true;
        }
    }
    return false;
}

const char *crypt_scheme_text(const efuse_set_t *burnt, char out[CRYPT_SCHEME_SIZE])
{
    wanted_t wanted;
    if (find_wanted(burnt, &wanted)) {
        (void)snprintf(out, CRYPT_SCHEME_SIZE, "%s, key of %zu bytes", crypt_scheme_name(wanted.scheme), wanted.length);
    } else {
        (void)snprintf(out, CRYPT_SCHEME_SIZE, "not known: no key block is for Flash Encryption");
    }
    return out;
}

static int complain_not_opened(const crypt_options_t *options, const sr_chip_t *chip, const image_file_t *flash)
{
    if (chip != NULL) {
        return complain(STATUS_BAD_INPUT,
                        "%s: does not open %s: no bootloader of an %s is at 0x%" PRIx32
                        ", nor a partition table anywhere, when it is decrypted with this key; is it the key of this "
                        "device?",
                        options->key_path, flash->path, chip->family, chip->bootloader_offset);
    }
    return complain(
        STATUS_BAD_INPUT,
        "%s: does not open %s: decrypted with this key, no chip's bootloader is where it belongs; is it the "
        "key of this device?",
        options->key_path, flash->path);
}

static int open_by_efuses(crypt_options_t *options, const boot_chip_t *chip, const key_text_t *key,
                          const image_file_t *flash)
{
    wanted_t wanted;
    if (!find_wanted(&chip->burnt, &wanted)) {
        return complain(STATUS_BAD_INPUT,
                        "%s: Flash Encryption is on, and no key block is for it: keys in the Key Manager are not "
                        "supported",
                        options->efuses_path);
    }
    if (key->length != wanted.length) {
        return complain(STATUS_BAD_INPUT, "%s: %zu bytes, where the eFuses of %s have a key of %s with %zu",
                        options->key_path, key->length, options->efuses_path, crypt_scheme_name(wanted.scheme),
                        wanted.length);
    }
    options->cipher = flash_cipher_new(wanted.scheme, key->bytes, key->length, chip->burnt.crypt_config);
    if (options->cipher != NULL &&
        (has_header(chip->chip, flash, options->cipher) || has_table(flash, options->cipher))) {
        return STATUS_OK;
    }
    flash_cipher_delete(options->cipher);
    options->cipher = NULL;
    return complain_not_opened(options, chip->chip, flash);
}

static int open_with_key(crypt_options_t *options, boot_chip_t *chip, const image_file_t *flash)
{
    key_text_t key;
    int status = load_key(options->key_path, &key);
    if (status == STATUS_OK && options->efuses_path != NULL) {
        status = open_by_efuses(options, chip, &key, flash);
    } else if (status == STATUS_OK) {
        const sr_chip_t *opened = find_opened(chip, &key, flash, &options->cipher);
        status = opened != NULL ? STATUS_OK : complain_not_opened(options, chip->chip, flash);
        chip->chip = opened != NULL ? opened : chip->chip;
    }
    explicit_bzero(&key, sizeof(key));
    chip->cipher = options->cipher;
    return status;
}

/** As espsecure makes them: for each chip one length or two. */
static bool has_length_of(const sr_chip_t *chip, size_t length)
{
    switch (chip->image_chip_id) {
    case 0x0000: // ESP32; 24 with 3/4 coding
        return length == 32 || length == 24;
    case 0x000C: // ESP32-C2
        return length == 32 || length == 16;
    case 0x0002: // ESP32-S2, S3, P4
    case 0x0009:
    case 0x0012:
        return length == 32 || length == 64;
    default:
        return length == 32;
    }
}

int crypt_first_key_load(const char *path, const boot_chip_t *chip, flash_cipher_t **cipher)
{
    key_text_t key;
    *cipher = NULL;
    if (chip->cipher != NULL) {
        return complain(STATUS_USAGE, "--first-encryption: this chip encrypts its flash already");
    }
    int status = load_key(path, &key);
    if (status == STATUS_OK && !has_length_of(chip->chip, key.length)) {
        status = complain(STATUS_BAD_INPUT, "%s: %zu bytes: no key of an %s", path, key.length, chip->chip->family);
    }
    if (status == STATUS_OK) {
        *cipher = flash_cipher_new(scheme_of(chip->chip, &key), key.bytes, key.length, ESP32_CONFIG);
        status = *cipher != NULL ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s: out of memory", path);
    }
    explicit_bzero(&key, sizeof(key));
    return status;
}

/* All of it: */

static int load_efuses(const crypt_options_t *options, boot_chip_t *chip)
{
    const sr_chip_efuses_t none = {0};
    if (chip->revision_told || chip->recovery != 0 || memcmp(&chip->efuses, &none, sizeof(none)) != 0) {
        return complain(STATUS_USAGE,
                        "--efuses tells what is burnt: leave out --revision, --recovery-bootloader and --efuse");
    }
    return efuse_file_load(options->efuses_path, chip);
}

/** Another chip whose bootloader is there, in the clear. @return NULL: none. */
static const sr_chip_t *find_other(const sr_chip_t *chip, const image_file_t *flash)
{
    for (unsigned i = 0; sr_chip_at(i) != NULL && !has_header(chip, flash, NULL); i++) {
        if (has_header(sr_chip_at(i), flash, NULL)) {
            return sr_chip_at(i);
        }
    }
    return NULL;
}

/** A dump and eFuses that do not go together. */
static int check_dump(const crypt_options_t *options, const boot_chip_t *chip, const image_file_t *flash)
{
    const bool on = efuse_set_encrypts(&chip->burnt);
    const sr_chip_t *other = find_other(chip->chip, flash);
    if (other != NULL) {
        return complain(STATUS_BAD_INPUT, "%s: eFuses of an %s, and %s has the bootloader of an %s",
                        options->efuses_path, chip->chip->family, flash->path, other->family);
    }
    if (on && has_header(chip->chip, flash, NULL)) {
        return complain(
            STATUS_BAD_INPUT,
            "%s: says that the chip encrypts its flash, and the bootloader in %s is not encrypted: not of the "
            "same device",
            options->efuses_path, flash->path);
    }
    if (!on && options->key_path != NULL) {
        return complain(STATUS_USAGE, "%s says that the chip does not encrypt its flash: leave out --flash-key",
                        options->efuses_path);
    }
    const sr_chip_t *noise = on ? NULL : find_noise(chip->chip, flash);
    return noise == NULL ? STATUS_OK
                         : complain(STATUS_BAD_INPUT,
                                    "%s: says that the chip does not encrypt its flash, and %s has noise where the "
                                    "bootloader belongs, as Flash Encryption leaves it: not of the same device",
                                    options->efuses_path, flash->path);
}

static void explain(const crypt_options_t *options, const sr_chip_t *noise, char why[CRYPT_TEXT_SIZE])
{
    if (options->efuses_path != NULL) {
        (void)snprintf(why, CRYPT_TEXT_SIZE,
                       "encrypted, as %s says; --flash-key FILE opens it, if somebody has the key: " WAY_OUT,
                       options->efuses_path);
    } else {
        (void)snprintf(why, CRYPT_TEXT_SIZE,
                       "looks encrypted: noise at 0x%" PRIx32
                       ", where a bootloader belongs, as Flash Encryption leaves "
                       "it; --flash-key FILE opens it, if somebody has the key: " WAY_OUT,
                       noise->bootloader_offset);
    }
}

int crypt_options_apply(crypt_options_t *options, boot_chip_t *chip, const image_file_t *flash, crypt_state_t *state,
                        char why[CRYPT_TEXT_SIZE])
{
    int status = options->efuses_path != NULL ? load_efuses(options, chip) : STATUS_OK;
    if (status == STATUS_OK && options->efuses_path != NULL) {
        status = check_dump(options, chip, flash);
    }
    if (status == STATUS_OK && options->boot_key_path != NULL) {
        status = boot_key_load(options->boot_key_path, options->efuses_path, chip);
    }
    if (status == STATUS_OK && options->key_path != NULL) {
        status = open_with_key(options, chip, flash);
    }
    const bool told = options->efuses_path != NULL;
    const sr_chip_t *noise = told || options->key_path != NULL ? NULL : find_noise(chip->chip, flash);
    const bool locked = (told && efuse_set_encrypts(&chip->burnt)) || noise != NULL;
    *state = chip->cipher != NULL ? CRYPT_OPENED : locked ? CRYPT_LOCKED : CRYPT_PLAIN;
    why[0] = '\0';
    if (*state == CRYPT_LOCKED) {
        explain(options, noise, why);
    }
    return status;
}

int crypt_options_open(crypt_options_t *options, boot_chip_t *chip, const image_file_t *flash)
{
    crypt_state_t state;
    char why[CRYPT_TEXT_SIZE];
    const int status = crypt_options_apply(options, chip, flash, &state, why);
    return status != STATUS_OK || state != CRYPT_LOCKED ? status
                                                        : complain(STATUS_BAD_INPUT, "%s: %s", flash->path, why);
}

void crypt_options_close(crypt_options_t *options)
{
    flash_cipher_delete(options->cipher);
    options->cipher = NULL;
}
