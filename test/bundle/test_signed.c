// SPDX-License-Identifier: Apache-2.0
/** @file
 * Secure Boot V2 with keys in the eFuses: what the component says of an image before the first erase, and what ROM and
 * bootloader say of the same one in flash. Where the chip would not start it, the component has to refuse it.
 */
#include "test/support/api_support.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "make/bundle_writer.h"
#include "make/dummy_image.h"
#include "make/signature_block.h"
#include "self_reflasher_bundle.h"
#include "test/support/support_openssl.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 0x1000u
#define PLACE  (API_FLASH_SIZE - 0x80000u)
#define ROOM   0x60000u
#define KEYS   4u

static api_chip_t chip;
static esp_self_reflasher_plan_t plan;
static uint32_t keys[KEYS];
static uint8_t loader[ROOM], app[ROOM], otadata[IMAGE_WRITE_OTADATA_SIZE];

/** Which key signs, by its number; the digests of keys 0 to 2 are burnt, that of key 2 is revoked, key 3 is a
 * stranger's. */
typedef struct row {
    const char *what;
    unsigned loader_blocks, app_blocks;
    signature_block_t loader[3], app[3];
    const char *component; /**< Words of its refusal; NULL: it takes it. */
    const char *model;     /**< Words of why it does not start; NULL: it does. */
} row_t;

#define BY(number)                                                                                                     \
    {                                                                                                                  \
        .key = number                                                                                                  \
    }

static const row_t rows[] = {
    {"both by the first key", 1, 1, {BY(0)}, {BY(0)}, NULL, NULL},
    {"each by another key of the chip", 1, 1, {BY(0)}, {BY(1)}, NULL, NULL},
    {"app by a stranger's key",
     1,
     1,
     {BY(0)},
     {BY(3)},
     "the app at 0x10000 is signed with a key that is not in",
     "is signed with a key that is not in the eFuses"},
    {"bootloader by a stranger's key",
     1,
     1,
     {BY(3)},
     {BY(0)},
     "and the bootloader at 0x",
     "is signed with a key that is not in"},
    {"app by a revoked key",
     1,
     1,
     {BY(0)},
     {BY(2)},
     "the app at 0x10000 is signed with a key that is revoked",
     "is signed with a key that is revoked"},
    {"bootloader by a revoked key",
     1,
     1,
     {BY(2)},
     {BY(0)},
     "and the bootloader at 0x",
     "is signed with a key that is revoked"},
    {"app that is not signed",
     1,
     0,
     {BY(0)},
     {BY(0)},
     "the app at 0x10000 carries no signature block",
     "carries no signature block"},
    {"bootloader that is not signed", 0, 1, {BY(0)}, {BY(0)}, "and the bootloader at 0x", "carries no signature block"},
    {"app by the second of three keys", 1, 3, {BY(0)}, {BY(3), BY(1), BY(2)}, NULL, NULL},
    {"bootloader by the last of three keys", 3, 1, {BY(3), BY(2), BY(1)}, {BY(0)}, NULL, NULL},
    {"app by three keys that are none",
     1,
     3,
     {BY(0)},
     {BY(3), BY(2), BY(3)},
     "is signed with a key that is revoked",
     "is signed with a key that is revoked"},
    {"app with a torn block",
     1,
     1,
     {BY(0)},
     {{.key = 0, .torn = true}},
     "carries a signature block that is damaged",
     "carries a signature block that is damaged"},
    {"bootloader with a torn block",
     1,
     1,
     {{.key = 0, .torn = true}},
     {BY(0)},
     "carries a signature block that is damaged",
     "carries a signature block that is damaged"},
    {"app whose first block of two is torn", 1, 2, {BY(0)}, {{.key = 0, .torn = true}, BY(1)}, NULL, NULL},
    {"app with the block of another image",
     1,
     1,
     {BY(0)},
     {{.key = 0, .other_image = true}},
     "carries the signature block of another image",
     "carries the signature block of another image"},
    {"bootloader with the block of another image",
     1,
     1,
     {{.key = 0, .other_image = true}},
     {BY(0)},
     "carries the signature block of another image",
     "carries the signature block of another image"},
    /* No hash tells that: the one row in which the chip asks more than the component. */
    {"app with a forged signature",
     1,
     1,
     {BY(0)},
     {{.key = 0, .forged = true}},
     NULL,
     "carries a signature that is wrong"},
};

static const sr_chip_t *kind;
#define BOOTLOADER (kind->bootloader_offset)
static sr_secure_boot_scheme_t scheme;

/** Images, with the keys of this run in place of their numbers. */
static size_t sign(uint8_t *image, size_t length, const signature_block_t *wanted, unsigned count)
{
    signature_block_t blocks[3];
    for (unsigned i = 0; i < count; i++) {
        blocks[i] = wanted[i];
        blocks[i].scheme = scheme;
        blocks[i].private = keys[wanted[i].key];
    }
    if (count > 0) {
        assert_int_equal(signature_block_append(image, &length, ROOM, blocks, count), IMAGE_WRITE_OK);
    }
    return length;
}

static size_t make_loader(const signature_block_t *blocks, unsigned count)
{
    size_t length;
    assert_int_equal(dummy_image_bootloader(kind, 2, loader, API_TABLE - BOOTLOADER, &length), IMAGE_WRITE_OK);
    return sign(loader, length, blocks, count);
}

static size_t make_app(const signature_block_t *blocks, unsigned count)
{
    const dummy_image_app_t spec = {
        .chip = kind, .spi_size = 2, .project_name = "new", .version = "2.0", .code_size = 0x4000};
    size_t length;
    assert_int_equal(dummy_image_app(&spec, app, ROOM, &length), IMAGE_WRITE_OK);
    return sign(app, length, blocks, count);
}

static void burn(efuse_set_t *set)
{
    *set = (efuse_set_t){.secure_boot_v2 = true, .revoked = {false, false, true}};
    for (unsigned i = 0; i < EFUSE_DIGEST_COUNT; i++) {
        efuse_key_t *key = &set->keys[5 - i]; /* In any order. */
        *key = (efuse_key_t){
            .purpose = (efuse_purpose_t)(EFUSE_PURPOSE_DIGEST_0 + i), .readable = true, .length = EFUSE_KEY_SIZE};
        const signature_block_t block = {.scheme = scheme, .private = keys[i]};
        assert_true(signature_block_key(&block, key->bytes));
    }
}

/** A chip that runs an app of its own, signed like its bootloader by the first key. */
static void open_chip(void)
{
    const signature_block_t first = BY(0);
    api_chip_open(&chip, &(api_options_t){0});
    chip.config.chip.chip = kind;
    burn(&chip.config.chip.burnt);
    size_t length = make_app(&first, 1);
    api_chip_put(&chip, API_OTA_2, app, length);
    length = make_loader(&first, 1);
    api_chip_put(&chip, BOOTLOADER, loader, length);
    assert_true(sim_chip_attach(&chip.config));
}

static void put_bundle(const bundle_region_t *regions, unsigned count, size_t *size)
{
    uint8_t *bytes;
    const bundle_spec_t spec = {.chip_id = kind->image_chip_id,
                                .min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = API_TABLE,
                                .regions = regions,
                                .region_count = count};
    assert_int_equal(bundle_write(&spec, &bytes, size), BUNDLE_WRITE_OK);
    assert_true(*size < API_FLASH_SIZE - PLACE);
    api_chip_put(&chip, PLACE, bytes, *size);
    free(bytes);
}

/* Of P-384 only the key is asked, not the SHA-384 of the image. */
static const char *refusal_of(const row_t *row)
{
    const bool other_image = row->loader[0].other_image || row->app[0].other_image;
    return other_image && scheme == SR_SECURE_BOOT_ECDSA_P384 ? NULL : row->component;
}

static void ask_component(const row_t *row, const bundle_region_t *regions)
{
    size_t size;
    put_bundle(regions, 3, &size);
    const char *refusal = refusal_of(row);
    const esp_self_reflasher_bundle_config_t config = {.embedded = {PLACE, size},
                                                       .flags = ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED};
    const esp_err_t err = refusal == NULL ? esp_self_reflasher_plan_bundle(&config, &plan)
                                          : esp_self_reflasher_apply_bundle(&config, &plan);
    const bool told = refusal == NULL || (plan.refusal == ESP_SELF_REFLASHER_REFUSED_SECURITY &&
                                          strstr(plan.refusal_text, refusal) != NULL);
    if (err != (refusal == NULL ? ESP_OK : ESP_ERR_SELF_REFLASHER_REFUSED) || !told) {
        fail_msg("%s: %s, %s", row->what, esp_self_reflasher_err_to_name(err), plan.refusal_text);
    }
    api_assert_untouched(&chip);
}

static void ask_model(const row_t *row, const bundle_region_t *regions)
{
    uint8_t *flash = api_chip_plain(&chip);
    boot_result_t result;
    for (unsigned i = 0; i < 3; i++) {
        memset(flash + regions[i].place.address, 0xFF, regions[i].place.size);
        memcpy(flash + regions[i].place.address, regions[i].data, regions[i].length);
    }
    memset(flash + API_OTA_2, 0xFF, SECTOR); /* There is no other app to fall back to. */
    boot_run(&chip.config.chip, flash, API_FLASH_SIZE, NULL, NULL, &result);
    free(flash);
    if (boot_succeeds(&result) != (row->model == NULL) ||
        (row->model != NULL && strstr(result.reason, row->model) == NULL)) {
        fail_msg("%s: %s", row->what, result.reason);
    }
}

static void walk(const char *name, sr_secure_boot_scheme_t wanted)
{
    kind = sr_chip_by_name(name);
    scheme = wanted;
    for (unsigned i = 0; i < KEYS; i++) {
        keys[i] = signature_block_new_key(scheme);
        assert_int_not_equal(keys[i], 0);
    }
    image_write_otadata(1, SR_OTA_VALID, otadata);
    open_chip();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const row_t *row = &rows[i];
        const bundle_region_t regions[] = {
            {.place = {BOOTLOADER, API_TABLE}, .data = loader, .length = make_loader(row->loader, row->loader_blocks)},
            {.place = {API_OTADATA, 2 * SECTOR}, .data = otadata, .length = sizeof(otadata)},
            {.place = {API_OTA_0, ROOM}, .data = app, .length = make_app(row->app, row->app_blocks)},
        };
        ask_component(row, regions);
        ask_model(row, regions);
    }
    api_chip_close(&chip);
}

static void ecdsa_p192(void **state)
{
    (void)state;
    walk("esp32h2", SR_SECURE_BOOT_ECDSA_P192);
}

static void ecdsa_p384(void **state)
{
    (void)state;
    walk("esp32c6", SR_SECURE_BOOT_ECDSA_P384); /* An ESP32-C5 has no room for a dummy bootloader with its blocks. */
}

static void ecdsa_p256(void **state)
{
    (void)state;
    walk("esp32c6", SR_SECURE_BOOT_ECDSA_P256);
}

/** What a boot revokes of a chip whose eFuses ask for that, and what it starts then. */
typedef struct revoking_row {
    const char *what;
    unsigned loader_blocks;
    signature_block_t loader[3], recovery;
    uint8_t revoked;
    bool boots;
} revoking_row_t;

static const revoking_row_t revoking_rows[] = {
    {"bootloader by the first key", 1, {BY(0)}, BY(1), 0, true},
    {"one that is not signed", 0, {BY(0)}, BY(0), 0, true},
    {"one whose block is torn", 1, {{.key = 0, .torn = true}}, BY(0), 0, true},
    {"one with the block of another image", 1, {{.key = 0, .other_image = true}}, BY(0), 0, true},
    {"one by a stranger's key", 1, {{.key = 3, .forged = true}}, BY(0), 0, true},
    {"one by a revoked key", 1, {{.key = 2, .forged = true}}, BY(0), 0, true},
    {"one with a forged signature", 1, {{.key = 0, .forged = true}}, BY(1), 1, true},
    {"the same, and the recovery bootloader is by that key", 1, {{.key = 0, .forged = true}}, BY(0), 1, false},
    {"one with two forged ones", 2, {{.key = 0, .forged = true}, {.key = 1, .forged = true}}, BY(1), 3, false},
    {"one whose second signature is good", 2, {{.key = 0, .forged = true}, BY(1)}, BY(0), 1, true},
};

/* The app is by the second key, so that what a boot revokes for the first one does not matter to it. */
static void boot_row(const revoking_row_t *row, bool aggressive, boot_result_t *result)
{
    enum { RECOVERY = 0x200000 };
    boot_chip_t boot_chip = {.chip = kind, .revision = kind->recovery_revision, .recovery = RECOVERY};
    const signature_block_t second = BY(1);
    const sr_partition_table_entry_t entry = {
        .type = 0, .subtype = 0, .address = API_OTA_0, .size = API_SLOT_SIZE, .label = "app"};
    uint8_t *flash = malloc(API_FLASH_SIZE);
    assert_non_null(flash);
    memset(flash, 0xFF, API_FLASH_SIZE);
    burn(&boot_chip.burnt);
    boot_chip.burnt.aggressive_revoke = aggressive;
    assert_int_equal(image_write_partition_table(&entry, 1, flash + API_TABLE), IMAGE_WRITE_OK);
    size_t length = make_app(&second, 1);
    memcpy(flash + API_OTA_0, app, length);
    length = make_loader(&row->recovery, 1);
    memcpy(flash + RECOVERY, loader, length);
    length = make_loader(row->loader, row->loader_blocks);
    memcpy(flash + BOOTLOADER, loader, length);
    boot_run(&boot_chip, flash, API_FLASH_SIZE, NULL, NULL, result);
    free(flash);
}

static void boot_torn(const boot_chip_t *boot_chip, uint8_t *flash, const nor_op_t *op, const uint8_t *next)
{
    for (uint32_t seed = 0; seed < NOR_TORN_STATES; seed++) {
        uint8_t sector[SECTOR];
        boot_result_t result;
        memcpy(sector, flash + op->address, SECTOR);
        nor_tear(op, seed, flash + op->address, next);
        boot_run(boot_chip, flash, API_FLASH_SIZE, NULL, NULL, &result);
        assert_int_equal(result.revoked, 0);
        memcpy(flash + op->address, sector, SECTOR);
    }
}

/* A power loss in the middle of a bootloader leaves a block that is torn, or one of another image: no key is lost by
 * that. */
static void power_losses_revoke_nothing(void)
{
    static uint8_t old_loader[API_TABLE], new_loader[API_TABLE], blank[SECTOR];
    const signature_block_t blocks[] = {BY(0), BY(1)};
    boot_chip_t boot_chip = {.chip = kind};
    uint8_t *flash = malloc(API_FLASH_SIZE);
    assert_non_null(flash);
    memset(blank, 0xFF, sizeof(blank));
    memset(flash, 0xFF, API_FLASH_SIZE);
    memset(old_loader, 0xFF, sizeof(old_loader));
    burn(&boot_chip.burnt);
    boot_chip.burnt.aggressive_revoke = true;
    memcpy(old_loader, loader, make_loader(blocks, 1));
    memset(new_loader, 0xFF, sizeof(new_loader));
    memcpy(new_loader, loader, make_loader(blocks + 1, 1)); /* Another signature of the same image. */
    memcpy(flash + BOOTLOADER, old_loader, sizeof(old_loader));
    for (uint32_t at = 0; at < sizeof(new_loader); at += SECTOR) {
        const nor_op_t erase = {
            .number = at, .kind = NOR_OP_ERASE_SECTOR, .address = BOOTLOADER + at, .length = SECTOR};
        const nor_op_t program = {.number = at, .kind = NOR_OP_PROGRAM, .address = BOOTLOADER + at, .length = SECTOR};
        boot_torn(&boot_chip, flash, &erase, blank);
        memset(flash + BOOTLOADER + at, 0xFF, SECTOR);
        boot_torn(&boot_chip, flash, &program, new_loader + at);
        memcpy(flash + BOOTLOADER + at, new_loader + at, SECTOR);
    }
    free(flash);
}

static void aggressive_revocation(void **state)
{
    (void)state;
    kind = sr_chip_by_name("esp32c61");
    scheme = SR_SECURE_BOOT_ECDSA_P256;
    for (unsigned i = 0; i < KEYS; i++) {
        keys[i] = signature_block_new_key(scheme);
        assert_int_not_equal(keys[i], 0);
    }
    for (size_t i = 0; i < sizeof(revoking_rows) / sizeof(revoking_rows[0]); i++) {
        const revoking_row_t *row = &revoking_rows[i];
        boot_result_t result;
        boot_row(row, true, &result);
        if (result.revoked != row->revoked || boot_succeeds(&result) != row->boots) {
            fail_msg("%s: revoked %u, %s", row->what, result.revoked, result.reason);
        }
        boot_row(row, false, &result);
        assert_int_equal(result.revoked, 0);
    }
    power_losses_revoke_nothing();
    efuse_set_t burnt = {.revoked = {false, true, false}};
    boot_revoke(&burnt, 1);
    assert_true(burnt.revoked[0] && burnt.revoked[1] && !burnt.revoked[2]);
}

static bool boots(efuse_set_t *burnt, size_t app_length, size_t loader_length)
{
    uint8_t *flash = malloc(API_FLASH_SIZE);
    boot_result_t result;
    const boot_chip_t boot_chip = {.chip = kind, .burnt = *burnt};
    const sr_partition_table_entry_t entry = {
        .type = 0, .subtype = 0, .address = API_OTA_0, .size = API_SLOT_SIZE, .label = "app"};
    assert_non_null(flash);
    memset(flash, 0xFF, API_FLASH_SIZE);
    assert_int_equal(image_write_partition_table(&entry, 1, flash + API_TABLE), IMAGE_WRITE_OK);
    memcpy(flash + BOOTLOADER, loader, loader_length);
    memcpy(flash + API_OTA_0, app, app_length);
    boot_run(&boot_chip, flash, API_FLASH_SIZE, NULL, NULL, &result);
    free(flash);
    return boot_succeeds(&result);
}

/* A file of a scheme's folder. */
static const char *of(const char *folder, const char *name)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void boot_verifies(const char *name, uint32_t signature)
{
    uint8_t digest[SR_SHA256_SIZE + 1];
    efuse_set_t burnt = {.secure_boot_v2 = true,
                         .keys = {{.purpose = EFUSE_PURPOSE_DIGEST_2, .readable = true, .length = EFUSE_KEY_SIZE}}};
    assert_int_equal(load(of(name, "digest"), digest, sizeof(digest)), SR_SHA256_SIZE);
    memcpy(burnt.keys[0].bytes, digest, SR_SHA256_SIZE);
    const size_t app_length = load(of(name, "app.signed"), app, sizeof(app));
    const size_t loader_length = load(of(name, "loader.signed"), loader, sizeof(loader));
    assert_true(boots(&burnt, app_length, loader_length));
    burnt.keys[0].bytes[0] ^= 1;
    assert_false(boots(&burnt, app_length, loader_length));
    burnt.keys[0].bytes[0] ^= 1;
    uint8_t *const sectors[] = {app + app_length - SECTOR, loader + loader_length - SECTOR};
    for (unsigned i = 0; i < 2; i++) {
        sectors[i][signature] ^= 1;
        sr_bytes_put_le32(sectors[i] + 1196, sr_crc32(0, sectors[i], 1196));
        assert_false(boots(&burnt, app_length, loader_length));
        sectors[i][signature] ^= 1;
        sr_bytes_put_le32(sectors[i] + 1196, sr_crc32(0, sectors[i], 1196));
        assert_true(boots(&burnt, app_length, loader_length));
    }
}

/* What espsecure has signed, and with one bit less of its signature. */
static void images_that_espsecure_has_signed(void **state)
{
    (void)state;
    static const struct {
        const char *chip, *scheme;
        uint32_t signature;
    } cases[] = {
        {"esp32c3", "rsa3072", 812},
        {"esp32h2", "ecdsa192", 101},
        {"esp32c6", "ecdsa256", 101},
        {"esp32c6", "ecdsa384", 149},
    };
    const size_t count = sizeof(cases) / sizeof(cases[0]);
    for (size_t i = 0; i < count; i++) {
        kind = sr_chip_by_name(cases[i].chip);
        assert_true(shell("mkdir %s", cases[i].scheme));
        save(of(cases[i].scheme, "app.bin"), app, make_app(NULL, 0));
        save(of(cases[i].scheme, "loader.bin"), loader, make_loader(NULL, 0));
    }
    if (!shell(
            "'%s' '%s/program/espsecure_signs.py' *; status=$?; [ $status = 0 ] || { [ $status = 77 ] && touch none; }",
            TEST_PYTHON, TEST_SOURCE_DIR)) {
        fail_msg("espsecure does not sign");
    }
    if (shell("[ -e none ]")) {
        print_message("skipped: no espsecure\n");
        skip();
    }
    for (size_t i = 0; i < count; i++) {
        kind = sr_chip_by_name(cases[i].chip);
        boot_verifies(cases[i].scheme, cases[i].signature);
    }
}

static void rsa(void **state)
{
    (void)state;
    walk("esp32c3", SR_SECURE_BOOT_RSA_3072);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecdsa_p192),
        cmocka_unit_test(ecdsa_p256),
        cmocka_unit_test(ecdsa_p384),
        cmocka_unit_test(rsa),
        cmocka_unit_test(aggressive_revocation),
        cmocka_unit_test_setup_teardown(images_that_espsecure_has_signed, openssl_setup, openssl_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
