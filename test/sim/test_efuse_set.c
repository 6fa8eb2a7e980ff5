// SPDX-License-Identifier: Apache-2.0
/* What a set of eFuses says as a whole: whether the chip encrypts, in which mode, and which digests count. */
#include "sim/efuse/efuse_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_odd_counter_encrypts(void **state)
{
    static const uint8_t on[] = {1, 2, 7, 0x1F, 0x7F};
    static const uint8_t off[] = {0, 3, 6, 0xF};
    (void)state;
    for (unsigned i = 0; i < sizeof(on); i++) {
        assert_true(efuse_set_encrypts(&(efuse_set_t){.crypt_count = on[i]}));
    }
    for (unsigned i = 0; i < sizeof(off); i++) {
        assert_false(efuse_set_encrypts(&(efuse_set_t){.crypt_count = off[i], .crypt_count_locked = true}));
    }
}

static void release_is_locked_and_closed(void **state)
{
    (void)state;
    assert_true(efuse_set_is_release(&(efuse_set_t){.crypt_count = 7, .crypt_count_locked = true}));
    assert_false(efuse_set_is_release(&(efuse_set_t){.crypt_count = 1}));
    assert_false(efuse_set_is_release(&(efuse_set_t){.crypt_count = 3, .crypt_count_locked = true}));
    assert_false(
        efuse_set_is_release(&(efuse_set_t){.crypt_count = 7, .crypt_count_locked = true, .download_open = true}));
}

static void digests_count_unless_revoked(void **state)
{
    (void)state;
    efuse_set_t set = {.keys = {{.purpose = EFUSE_PURPOSE_XTS_128, .length = 32},
                                {.purpose = EFUSE_PURPOSE_DIGEST_1, .length = 32, .readable = true},
                                {.purpose = EFUSE_PURPOSE_DIGEST_2, .length = 32}}};
    assert_ptr_equal(efuse_set_key(&set, EFUSE_PURPOSE_XTS_128), &set.keys[0]);
    assert_null(efuse_set_key(&set, EFUSE_PURPOSE_XTS_256_1));
    assert_null(efuse_set_digest(&set, 0));
    assert_ptr_equal(efuse_set_digest(&set, 1), &set.keys[1]);
    assert_null(efuse_set_digest(&set, 2)); /* Not readable: the ROM cannot compare with it either. */
    assert_null(efuse_set_digest(&set, EFUSE_DIGEST_COUNT));
    set.revoked[1] = true;
    assert_null(efuse_set_digest(&set, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_odd_counter_encrypts),
        cmocka_unit_test(release_is_locked_and_closed),
        cmocka_unit_test(digests_count_unless_revoked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
