// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/sr_region.h"

static sr_region_t region(uint32_t address, uint32_t size)
{
    return (sr_region_t){address, size};
}

static void region_fits_up_to_the_last_byte(void **state)
{
    (void)state;
    assert_true(sr_region_fits(region(0, 0x400000), 0x400000));
    assert_true(sr_region_fits(region(0x3FFFFF, 1), 0x400000));
    assert_true(sr_region_fits(region(0x400000, 0), 0x400000));
    assert_false(sr_region_fits(region(0x3FFFFF, 2), 0x400000));
    assert_false(sr_region_fits(region(0x400001, 0), 0x400000));
    assert_true(sr_region_fits(region(0, 0), 0));
}

static void region_that_wraps_does_not_fit(void **state)
{
    (void)state;
    assert_false(sr_region_fits(region(0x10000, 0xFFFFFFFF), 0x400000));
    assert_false(sr_region_fits(region(0xFFFFFFFF, 2), UINT32_MAX));
    assert_true(sr_region_fits(region(0xFFFFFFFE, 1), UINT32_MAX));
}

static void neighbours_do_not_overlap(void **state)
{
    (void)state;
    assert_false(sr_region_overlaps(region(0x1000, 0x1000), region(0x2000, 0x1000)));
    assert_false(sr_region_overlaps(region(0x2000, 0x1000), region(0x1000, 0x1000)));
    assert_true(sr_region_overlaps(region(0x1000, 0x1001), region(0x2000, 0x1000)));
    assert_true(sr_region_overlaps(region(0x2000, 0x1000), region(0x1000, 0x1001)));
}

static void inner_and_equal_regions_overlap(void **state)
{
    (void)state;
    assert_true(sr_region_overlaps(region(0x1000, 0x1000), region(0x1000, 0x1000)));
    assert_true(sr_region_overlaps(region(0x1000, 0x4000), region(0x2000, 1)));
    assert_true(sr_region_overlaps(region(0x2000, 1), region(0x1000, 0x4000)));
}

static void empty_region_overlaps_nothing(void **state)
{
    (void)state;
    assert_false(sr_region_overlaps(region(0x1800, 0), region(0x1000, 0x1000)));
    assert_false(sr_region_overlaps(region(0x1000, 0x1000), region(0x1800, 0)));
    assert_false(sr_region_overlaps(region(0, 0), region(0, 0)));
}

static void regions_at_the_top_overlap(void **state)
{
    (void)state;
    assert_true(sr_region_overlaps(region(0xFFFFF000, 0x1000), region(0xFFFFFFFF, 1)));
    assert_true(sr_region_overlaps(region(0xFFFFF000, 0xFFFFFFFF), region(0xFFFFFFFF, 0xFFFFFFFF)));
    assert_false(sr_region_overlaps(region(0xFFFFF000, 0x1000), region(0, 0x1000)));
}

static void outer_contains_inner(void **state)
{
    (void)state;
    assert_true(sr_region_contains(region(0x1000, 0x1000), region(0x1000, 0x1000)));
    assert_true(sr_region_contains(region(0x1000, 0x1000), region(0x1FFF, 1)));
    assert_false(sr_region_contains(region(0x1000, 0x1000), region(0x1FFF, 2)));
    assert_false(sr_region_contains(region(0x1000, 0x1000), region(0xFFF, 2)));
    assert_false(sr_region_contains(region(0x1000, 0x1000), region(0x1800, 0xFFFFFFFF)));
}

static void align_up_does_not_wrap(void **state)
{
    (void)state;
    assert_int_equal(sr_region_align_up(0, SR_SECTOR_SIZE), 0);
    assert_int_equal(sr_region_align_up(1, SR_SECTOR_SIZE), 0x1000);
    assert_int_equal(sr_region_align_up(0x1000, SR_SECTOR_SIZE), 0x1000);
    assert_int_equal(sr_region_align_up(0x1001, SR_BLOCK_SIZE), 0x10000);
    assert_true(sr_region_align_up(0xFFFFFFFF, SR_SECTOR_SIZE) == UINT64_C(0x100000000));
}

static void alignment_looks_at_all_low_bits(void **state)
{
    (void)state;
    assert_true(sr_region_is_aligned(0, SR_PAGE_SIZE));
    assert_true(sr_region_is_aligned(0xFFFFFF00, SR_PAGE_SIZE));
    assert_false(sr_region_is_aligned(0x101, SR_PAGE_SIZE));
    assert_false(sr_region_is_aligned(0x180, SR_PAGE_SIZE));
    assert_true(sr_region_is_aligned(7, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region_fits_up_to_the_last_byte),
        cmocka_unit_test(region_that_wraps_does_not_fit),
        cmocka_unit_test(neighbours_do_not_overlap),
        cmocka_unit_test(inner_and_equal_regions_overlap),
        cmocka_unit_test(empty_region_overlaps_nothing),
        cmocka_unit_test(regions_at_the_top_overlap),
        cmocka_unit_test(outer_contains_inner),
        cmocka_unit_test(align_up_does_not_wrap),
        cmocka_unit_test(alignment_looks_at_all_low_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
