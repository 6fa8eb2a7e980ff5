// SPDX-License-Identifier: Apache-2.0
// Keys and signatures, against OpenSSL in both directions. Built once for each crypto API that a device may have.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "make/bundle_signer.h"
#include "test/support/support_bundle.h"
#include "test/support/support_failing_crypto.h"
#include "test/support/support_openssl.h"

#include <ctype.h>

#define TEXT_SIZE     2048u
#define MANIFEST_SIZE 208u // of the example
#define DER_SIZE      91u
#define POINT_OFFSET  26u

#ifndef OBJECTS_IN_USE
/** Keys that were imported and not destroyed. */
static int keys;

#define OBJECTS_IN_USE() (keys != 0)

psa_status_t __real_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *data, size_t length,
                                   psa_key_id_t *key);
psa_status_t __wrap_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *data, size_t length,
                                   psa_key_id_t *key);
psa_status_t __wrap_psa_import_key(const psa_key_attributes_t *attributes, const uint8_t *data, size_t length,
                                   psa_key_id_t *key)
{
    const psa_status_t status =
        crypto_call_fails() ? PSA_ERROR_HARDWARE_FAILURE : __real_psa_import_key(attributes, data, length, key);
    keys += status == PSA_SUCCESS;
    return status;
}

/* The key of nobody else, such as one that an app keeps under number 1. */
psa_status_t __real_psa_destroy_key(psa_key_id_t key);
psa_status_t __wrap_psa_destroy_key(psa_key_id_t key);
psa_status_t __wrap_psa_destroy_key(psa_key_id_t key)
{
    keys -= key != 0;
    return __real_psa_destroy_key(key);
}

psa_status_t __real_psa_verify_hash(psa_key_id_t key, psa_algorithm_t algorithm, const uint8_t *hash, size_t length,
                                    const uint8_t *signature, size_t size);
psa_status_t __wrap_psa_verify_hash(psa_key_id_t key, psa_algorithm_t algorithm, const uint8_t *hash, size_t length,
                                    const uint8_t *signature, size_t size);
psa_status_t __wrap_psa_verify_hash(psa_key_id_t key, psa_algorithm_t algorithm, const uint8_t *hash, size_t length,
                                    const uint8_t *signature, size_t size)
{
    return crypto_call_fails() ? PSA_ERROR_HARDWARE_FAILURE
                               : __real_psa_verify_hash(key, algorithm, hash, length, signature, size);
}
#endif

static char public_pem[TEXT_SIZE];
static char private_pem[TEXT_SIZE];
static uint8_t *example;
static size_t example_size;

/** A key pair of OpenSSL's, and the example to sign with it. */
static int setup(void **state)
{
    if (openssl_setup(state) != 0) {
        return -1;
    }
    assert_true(shell("openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
                      "openssl ec -in key.pem -pubout -out public.pem && "
                      "openssl ec -in key.pem -pubout -outform DER -out public.der"));
    (void)load("key.pem", private_pem, sizeof(private_pem));
    (void)load("public.pem", public_pem, sizeof(public_pem));
    example = build_example(&example_size);
    save("manifest", example, MANIFEST_SIZE);
    return 0;
}

static int teardown(void **state)
{
    free(example);
    return openssl_teardown(state);
}

static sr_signature_public_key_t read_key(const char *pem)
{
    sr_signature_public_key_t key;
    assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_OK);
    return key;
}

static void key_and_its_id_are_those_of_openssl(void **state)
{
    (void)state;
    uint8_t der[TEXT_SIZE];
    uint8_t id[TEXT_SIZE];
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(load("public.der", der, sizeof(der)), DER_SIZE);
    assert_memory_equal(key.point, der + POINT_OFFSET, sizeof(key.point));
    assert_true(shell("tail -c 65 public.der | openssl dgst -sha256 -binary -out id"));
    assert_int_equal(load("id", id, sizeof(id)), 32);
    assert_memory_equal(key.id, id, sizeof(key.id));
}

/** Encodes one half of a signature as OpenSSL wants it; returns the bytes. */
static size_t put_integer(const uint8_t *number, uint8_t *out)
{
    size_t skip = 0;
    while (skip < 31 && number[skip] == 0) {
        skip++;
    }
    const size_t sign = number[skip] >> 7;
    out[0] = 0x02;
    out[1] = (uint8_t)(32 - skip + sign);
    out[2] = 0;
    memcpy(out + 2 + sign, number + skip, 32 - skip);
    return 2 + sign + 32 - skip;
}

static size_t encode_der(const uint8_t *rs, uint8_t der[80])
{
    size_t size = put_integer(rs, der + 2);
    size += put_integer(rs + 32, der + 2 + size);
    der[0] = 0x30;
    der[1] = (uint8_t)size;
    return size + 2;
}

static void openssl_verifies_what_we_sign(void **state)
{
    (void)state;
    const sr_signature_public_key_t key = read_key(public_pem);
    for (unsigned i = 0; i < 8; i++) {
        // Another chip revision each time: other digests, other signatures.
        example[26] = (uint8_t)i;
        assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_OK);
        assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_OK);
        uint8_t der[80];
        save("ours", der, encode_der(example + MANIFEST_SIZE + 16, der));
        save("signed", example, MANIFEST_SIZE);
        assert_true(shell("openssl dgst -sha256 -verify public.pem -signature ours signed"));
        save("signed", example, MANIFEST_SIZE - 1);
        assert_false(shell("openssl dgst -sha256 -verify public.pem -signature ours signed"));
    }
    example[26] = 3;
}

static void we_verify_what_openssl_signs(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t theirs[TEXT_SIZE];
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(bundle_digest(example, example_size, digest), SR_BUNDLE_OK);
    assert_true(shell("openssl dgst -sha256 -binary -out digest manifest"));
    assert_int_equal(load("digest", theirs, sizeof(theirs)), 32);
    assert_memory_equal(digest, theirs, 32);
    for (unsigned i = 0; i < 8; i++) { // each time with another nonce
        assert_true(shell("openssl dgst -sha256 -sign key.pem -out theirs manifest"));
        const size_t length = load("theirs", theirs, sizeof(theirs));
        memset(example + MANIFEST_SIZE, 0, SR_BUNDLE_SIGNATURE_SIZE);
        assert_int_equal(bundle_set_signature(example, example_size, &key, theirs, length), SR_BUNDLE_OK);
        assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_OK);
    }
}

static void signature_from_elsewhere_may_be_raw(void **state)
{
    (void)state;
    uint8_t rs[64];
    uint8_t before[SR_BUNDLE_SIGNATURE_SIZE];
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_OK);
    memcpy(rs, example + MANIFEST_SIZE + 16, sizeof(rs));
    memcpy(before, example + MANIFEST_SIZE, sizeof(before));
    memset(example + MANIFEST_SIZE, 0, SR_BUNDLE_SIGNATURE_SIZE);
    assert_int_equal(bundle_set_signature(example, example_size, &key, rs, sizeof(rs)), SR_BUNDLE_OK);
    assert_memory_equal(example + MANIFEST_SIZE, before, sizeof(before));

    // What does not verify leaves the bundle as it is.
    uint8_t der[81];
    const size_t length = encode_der(rs, der);
    rs[63] ^= 1;
    assert_int_equal(bundle_set_signature(example, example_size, &key, rs, sizeof(rs)), SR_BUNDLE_BAD_SIGNATURE);
    for (size_t loss = 0; loss < length; loss++) {
        assert_int_equal(bundle_set_signature(example, example_size, &key, der, loss), SR_BUNDLE_BAD_SIGNATURE);
    }
    der[length] = 0;
    assert_int_equal(bundle_set_signature(example, example_size, &key, der, length + 1), SR_BUNDLE_BAD_SIGNATURE);
    assert_memory_equal(example + MANIFEST_SIZE, before, sizeof(before));
    assert_int_equal(bundle_set_signature(example, example_size, &key, der, length), SR_BUNDLE_OK);
}

static void signing_again_gives_the_same_bytes(void **state)
{
    (void)state;
    uint8_t first[SR_BUNDLE_SIGNATURE_SIZE];
    assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_OK);
    memcpy(first, example + MANIFEST_SIZE, sizeof(first));
    assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_OK);
    assert_memory_equal(example + MANIFEST_SIZE, first, sizeof(first));
}

static void private_keys_come_in_all_forms_of_openssl(void **state)
{
    (void)state;
    const sr_signature_public_key_t key = read_key(public_pem);
    char pem[TEXT_SIZE];
    assert_true(shell("openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem && "
                      "(openssl ecparam -name prime256v1; cat key.pem) > parameters.pem"));
    (void)load("pkcs8.pem", pem, sizeof(pem));
    assert_int_equal(bundle_sign(example, example_size, pem), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_OK);
    (void)load("parameters.pem", pem, sizeof(pem));
    assert_int_equal(bundle_sign(example, example_size, pem), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_OK);
}

static void what_is_no_private_key_for_p256_does_not_sign(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "openssl ecparam -name secp384r1 -genkey -noout",
        "openssl ecparam -name secp256k1 -genkey -noout",
        "openssl ecparam -name brainpoolP256r1 -genkey -noout",
        "openssl genrsa 2048",
        "openssl genpkey -algorithm ed25519",
        "openssl ec -in key.pem -aes128 -passout pass:secret",
        "cat public.pem",
        "head -c 100 key.pem",
        "true",
    };
    uint8_t before[SR_BUNDLE_SIGNATURE_SIZE];
    memcpy(before, example + MANIFEST_SIZE, sizeof(before));
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char pem[TEXT_SIZE];
        assert_true(shell("{ %s; } > other.pem", commands[i]));
        (void)load("other.pem", pem, sizeof(pem));
        assert_int_equal(bundle_sign(example, example_size, pem), SR_BUNDLE_BAD_KEY);
        assert_memory_equal(example + MANIFEST_SIZE, before, sizeof(before));
    }
}

static void made_keys_work_here_and_in_openssl(void **state)
{
    (void)state;
    char ours_private[BUNDLE_PEM_SIZE];
    char ours_public[BUNDLE_PEM_SIZE];
    assert_int_equal(bundle_keygen(ours_private, ours_public), SR_BUNDLE_OK);
    save("ours.pem", ours_private, strlen(ours_private));
    assert_true(shell("openssl ec -in ours.pem -check && openssl ec -in ours.pem -pubout -out theirs.pem"));
    char theirs_public[TEXT_SIZE];
    (void)load("theirs.pem", theirs_public, sizeof(theirs_public));
    assert_string_equal(ours_public, theirs_public);

    const sr_signature_public_key_t key = read_key(ours_public);
    const sr_signature_public_key_t other = read_key(public_pem);
    assert_int_equal(bundle_sign(example, example_size, ours_private), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(example, example_size, &other), SR_BUNDLE_OTHER_KEY);

    char again[BUNDLE_PEM_SIZE];
    assert_int_equal(bundle_keygen(again, ours_public), SR_BUNDLE_OK);
    assert_string_not_equal(ours_private, again);
}

static void wrong_signatures_are_refused(void **state)
{
    (void)state;
    // The order of the group: r and s are from 1 to one less.
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                      0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_OK);
    uint8_t digest[SR_SHA256_SIZE];
    assert_int_equal(bundle_digest(example, example_size, digest), SR_BUNDLE_OK);
    sr_signature_t right;
    assert_int_equal(sr_signature_parse(example + MANIFEST_SIZE, &right), SR_BUNDLE_OK);
    assert_int_equal(sr_signature_verify(digest, &right, &key), SR_BUNDLE_OK);

    for (unsigned half = 0; half < 2; half++) {
        sr_signature_t wrong = right;
        memset(wrong.rs + 32 * half, 0, 32);
        assert_int_equal(sr_signature_verify(digest, &wrong, &key), SR_BUNDLE_BAD_SIGNATURE);
        memcpy(wrong.rs + 32 * half, order, 32);
        assert_int_equal(sr_signature_verify(digest, &wrong, &key), SR_BUNDLE_BAD_SIGNATURE);
        memset(wrong.rs + 32 * half, 0xFF, 32);
        assert_int_equal(sr_signature_verify(digest, &wrong, &key), SR_BUNDLE_BAD_SIGNATURE);
    }
    sr_signature_t wrong = right;
    wrong.key_id[7] ^= 1;
    assert_int_equal(sr_signature_verify(digest, &wrong, &key), SR_BUNDLE_OTHER_KEY);
    wrong = right;
    wrong.is_signed = false;
    assert_int_equal(sr_signature_verify(digest, &wrong, &key), SR_BUNDLE_NOT_SIGNED);
    digest[31] ^= 1;
    assert_int_equal(sr_signature_verify(digest, &right, &key), SR_BUNDLE_BAD_SIGNATURE);
}

static void another_key_with_the_same_id_does_not_help(void **state)
{
    (void)state;
    // The signer's id in the block is only a claim: the reader's own key counts.
    char ours_private[BUNDLE_PEM_SIZE];
    char ours_public[BUNDLE_PEM_SIZE];
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(bundle_keygen(ours_private, ours_public), SR_BUNDLE_OK);
    assert_int_equal(bundle_sign(example, example_size, ours_private), SR_BUNDLE_OK);
    memcpy(example + MANIFEST_SIZE + 8, key.id, sizeof(key.id));
    assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_BAD_SIGNATURE);
}

static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "openssl ecparam -name secp384r1 -genkey -noout | openssl ec -pubout",
        "openssl ecparam -name secp256k1 -genkey -noout | openssl ec -pubout",
        "openssl ecparam -name brainpoolP256r1 -genkey -noout | openssl ec -pubout",
        "openssl ec -in key.pem -pubout -conv_form compressed",
        "openssl ec -in key.pem -pubout -conv_form hybrid",
        "openssl ec -in key.pem -pubout -param_enc explicit",
        "openssl genrsa 2048 | openssl rsa -pubout",
        "openssl genpkey -algorithm ed25519 | openssl pkey -pubout",
        "cat key.pem",
        "true",
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char pem[TEXT_SIZE];
        sr_signature_public_key_t key;
        assert_true(shell("{ %s; } > other.pem", commands[i]));
        (void)load("other.pem", pem, sizeof(pem));
        assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
    }
}

static void layout_of_the_pem_does_not_matter(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "sed 's/$/\\r/' public.pem",                               // line ends of Windows
        "printf %s \"$(cat public.pem)\"",                         // no line end at the end
        "tr -d '\\n' < public.pem",                                // one line
        "sed 's/^/  /; s/$/ \\t/' public.pem",                     // indented
        "(echo 'read this first'; cat public.pem; echo and that)", // text around it
        "(openssl ec -in key.pem -pubout -text)",                  // as OpenSSL puts text around it
        "(cat key.pem public.pem)",                                // the private key first
        "(head -n 1 public.pem; sed '1d;$d' public.pem | tr -d '\\n' | fold -w 7; echo; tail -n 1 public.pem)",
    };
    const sr_signature_public_key_t right = read_key(public_pem);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char pem[TEXT_SIZE];
        assert_true(shell("%s > other.pem", commands[i]));
        (void)load("other.pem", pem, sizeof(pem));
        const sr_signature_public_key_t key = read_key(pem);
        assert_memory_equal(&key, &right, sizeof(key));
    }
}

/** Puts DER into PEM with one long line, with code of this file's own. */
static void encode_pem(const uint8_t der[DER_SIZE], char pem[TEXT_SIZE])
{
    static const char symbols[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    strcpy(pem, "-----BEGIN PUBLIC KEY-----\n");
    char *out = pem + strlen(pem);
    for (size_t bit = 0; bit < 8 * DER_SIZE; bit += 6) {
        unsigned value = 0;
        for (size_t i = bit; i < bit + 6; i++) {
            const unsigned byte = i < 8 * DER_SIZE ? der[i / 8] : 0;
            value = value << 1 | (byte >> (7 - i % 8) & 1u);
        }
        *out++ = symbols[value];
    }
    strcpy(out, "==\n-----END PUBLIC KEY-----\n");
}

static void points_off_the_curve_are_refused(void **state)
{
    (void)state;
    uint8_t der[TEXT_SIZE];
    char pem[TEXT_SIZE];
    assert_int_equal(load("public.der", der, sizeof(der)), DER_SIZE);
    encode_pem(der, pem);
    (void)read_key(pem);
    // Any one bit of the 728: another structure, another form, or a point that is not on the curve.
    for (unsigned bit = 0; bit < 8 * DER_SIZE; bit++) {
        sr_signature_public_key_t key;
        der[bit / 8] ^= (uint8_t)(1u << bit % 8);
        encode_pem(der, pem);
        assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
        der[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (int fill = 0; fill <= 0xFF; fill += 0xFF) {
        sr_signature_public_key_t key;
        memset(der + POINT_OFFSET + 1, fill, 64);
        encode_pem(der, pem);
        assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
    }
}

static void malformed_pem_is_refused(void **state)
{
    (void)state;
    // Every character but line ends: replaced by ones that are wrong there, left out, doubled.
    static const char replacements[] = {'\0', '=', '-', '*', '\x80'};
    sr_signature_public_key_t key;
    const size_t size = strlen(public_pem);
    for (size_t i = 0; i + 1 < size; i++) {
        if (public_pem[i] == '\n') {
            continue;
        }
        char pem[TEXT_SIZE];
        for (size_t k = 0; k < sizeof(replacements); k++) {
            strcpy(pem, public_pem);
            if (pem[i] == replacements[k]) {
                continue;
            }
            pem[i] = replacements[k];
            assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
        }
        strcpy(pem, public_pem);
        memmove(pem + i, pem + i + 1, size - i);
        assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
        strcpy(pem, public_pem);
        memmove(pem + i + 1, pem + i, size + 1 - i);
        if (pem[i] != '-') { // an extra minus next to a marker is text around it
            assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
        }
    }
}

static void more_padding_than_needed_is_refused(void **state)
{
    (void)state;
    char pem[TEXT_SIZE];
    const size_t until = (size_t)(strstr(public_pem, "==") - public_pem);
    for (int more = 1; more < 400; more++) {
        sr_signature_public_key_t key;
        memcpy(pem, public_pem, until);
        memset(pem + until, '=', 2 + (size_t)more);
        strcpy(pem + until + 2 + more, public_pem + until + 2);
        assert_int_equal(sr_signature_public_key_read(pem, &key), SR_BUNDLE_BAD_KEY);
    }
}

static void unused_bits_after_the_key_are_zero(void **state)
{
    (void)state;
    sr_signature_public_key_t key;
    char *last = strstr(public_pem, "==");
    assert_non_null(last);
    const char kept = last[-1];
    for (char symbol = 'A'; symbol <= 'z'; symbol++) {
        // Of the last symbol two bits belong to the key: four of the symbols have no others.
        last[-1] = symbol;
        if (isalpha((unsigned char)symbol) && strchr("AQgw", symbol) == NULL) {
            assert_int_equal(sr_signature_public_key_read(public_pem, &key), SR_BUNDLE_BAD_KEY);
        }
    }
    last[-1] = kept;
    (void)read_key(public_pem);
}

static void what_is_no_bundle_is_not_signed(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    uint8_t rs[64] = {1};
    const sr_signature_public_key_t key = read_key(public_pem);
    example[0] ^= 1;
    assert_int_equal(bundle_digest(example, example_size, digest), SR_BUNDLE_BAD_MAGIC);
    assert_int_equal(bundle_sign(example, example_size, private_pem), SR_BUNDLE_BAD_MAGIC);
    assert_int_equal(bundle_set_signature(example, example_size, &key, rs, 64), SR_BUNDLE_BAD_MAGIC);
    assert_int_equal(bundle_verify(example, example_size, &key), SR_BUNDLE_BAD_MAGIC);
    example[0] ^= 1;
    assert_int_equal(bundle_sign(example, example_size - 1, private_pem), SR_BUNDLE_TRUNCATED);
}

static void unsigned_bundles_say_so(void **state)
{
    (void)state;
    size_t size = 0;
    uint8_t *bundle = build_example(&size);
    const sr_signature_public_key_t key = read_key(public_pem);
    assert_int_equal(bundle_verify(bundle, size, NULL), SR_BUNDLE_OK);
    assert_int_equal(bundle_verify(bundle, size, &key), SR_BUNDLE_NOT_SIGNED);
    bundle[MANIFEST_SIZE + 79] = 1;
    assert_int_equal(bundle_verify(bundle, size, NULL), SR_BUNDLE_BAD_SIGNATURE);
    free(bundle);
}

/* A device that lives on after a bundle was refused needs its memory. Other libraries than Mbed TLS have few places for
 * keys, and a key that stays in one shows soon enough. */
static void nothing_of_the_library_stays_in_use(void **state)
{
    (void)state;
    const sr_signature_public_key_t key = read_key(public_pem);
    for (unsigned i = 0; i < 40; i++) {
        sr_signature_public_key_t other;
        size_t size = 0;
        uint8_t *bundle = build_example(&size);
        assert_int_equal(bundle_sign(bundle, size, private_pem), SR_BUNDLE_OK);
        assert_int_equal(bundle_verify(bundle, size, &key), SR_BUNDLE_OK);
        bundle[MANIFEST_SIZE + 20] ^= 1;
        assert_int_equal(bundle_verify(bundle, size, &key), SR_BUNDLE_BAD_SIGNATURE);
        assert_int_equal(sr_signature_public_key_read("no key", &other), SR_BUNDLE_BAD_KEY);
        free(bundle);
    }
    assert_false(OBJECTS_IN_USE());
}

/* What the library cannot do says nothing about the key or the signature, and it keeps nothing then either. */
static void a_library_that_fails_gives_no_verdict(void **state)
{
    (void)state;
    uint8_t digest[SR_SHA256_SIZE];
    sr_signature_t signature;
    sr_signature_public_key_t key;
    size_t size = 0;
    uint8_t *bundle = build_example(&size);
    assert_int_equal(bundle_sign(bundle, size, private_pem), SR_BUNDLE_OK);
    assert_int_equal(bundle_digest(bundle, size, digest), SR_BUNDLE_OK);
    assert_int_equal(sr_signature_parse(bundle + MANIFEST_SIZE, &signature), SR_BUNDLE_OK);
    free(bundle);
    crypto_calls = 0;
    key = read_key(public_pem);
    const unsigned calls_to_read = crypto_calls;
    crypto_calls = 0;
    assert_int_equal(sr_signature_verify(digest, &signature, &key), SR_BUNDLE_OK);
    const unsigned calls_to_verify = crypto_calls;
    assert_true(calls_to_read > 3 && calls_to_verify > 2);
    for (unsigned i = 1; i <= calls_to_read; i++) {
        sr_signature_public_key_t other;
        crypto_calls = 0;
        crypto_fails_at = i;
        assert_int_equal(sr_signature_public_key_read(public_pem, &other), SR_BUNDLE_CRYPTO_FAILED);
        assert_false(OBJECTS_IN_USE());
    }
    for (unsigned i = 1; i <= calls_to_verify; i++) {
        crypto_calls = 0;
        crypto_fails_at = i;
        assert_int_equal(sr_signature_verify(digest, &signature, &key), SR_BUNDLE_CRYPTO_FAILED);
        assert_false(OBJECTS_IN_USE());
    }
    crypto_fails_at = 0;
}

/* Of a block without signature all bytes are zero, and of one that has one the reserved ones. */
static void a_block_is_of_a_kind_that_is_known(void **state)
{
    (void)state;
    static const sr_signature_t none;
    for (unsigned kind = 0; kind <= UINT16_MAX; kind++) {
        const uint8_t block[SR_BUNDLE_SIGNATURE_SIZE] = {(uint8_t)kind, (uint8_t)(kind >> 8)};
        sr_signature_t signature;
        memset(&signature, 0xFF, sizeof(signature));
        assert_int_equal(sr_signature_parse(block, &signature), kind <= 1 ? SR_BUNDLE_OK : SR_BUNDLE_BAD_SIGNATURE);
        assert_int_equal(signature.is_signed, kind == 1);
        assert_true(kind == 1 || memcmp(&signature, &none, sizeof(none)) == 0);
    }
    for (uint8_t kind = 0; kind <= 1; kind++) {
        for (unsigned i = 2; i < SR_BUNDLE_SIGNATURE_SIZE; i++) {
            uint8_t block[SR_BUNDLE_SIGNATURE_SIZE] = {kind};
            sr_signature_t signature;
            block[i] = 0x80;
            const bool good = kind == 1 && i >= 8;
            assert_int_equal(sr_signature_parse(block, &signature), good ? SR_BUNDLE_OK : SR_BUNDLE_BAD_SIGNATURE);
            assert_true(!good || (i < 16 ? signature.key_id[i - 8] : signature.rs[i - 16]) == 0x80);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_and_its_id_are_those_of_openssl),
        cmocka_unit_test(openssl_verifies_what_we_sign),
        cmocka_unit_test(we_verify_what_openssl_signs),
        cmocka_unit_test(signature_from_elsewhere_may_be_raw),
        cmocka_unit_test(signing_again_gives_the_same_bytes),
        cmocka_unit_test(private_keys_come_in_all_forms_of_openssl),
        cmocka_unit_test(what_is_no_private_key_for_p256_does_not_sign),
        cmocka_unit_test(made_keys_work_here_and_in_openssl),
        cmocka_unit_test(wrong_signatures_are_refused),
        cmocka_unit_test(another_key_with_the_same_id_does_not_help),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(layout_of_the_pem_does_not_matter),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(malformed_pem_is_refused),
        cmocka_unit_test(more_padding_than_needed_is_refused),
        cmocka_unit_test(unused_bits_after_the_key_are_zero),
        cmocka_unit_test(what_is_no_bundle_is_not_signed),
        cmocka_unit_test(unsigned_bundles_say_so),
        cmocka_unit_test(nothing_of_the_library_stays_in_use),
        cmocka_unit_test(a_library_that_fails_gives_no_verdict),
        cmocka_unit_test(a_block_is_of_a_kind_that_is_known),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
