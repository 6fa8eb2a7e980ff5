// SPDX-License-Identifier: Apache-2.0
/** @file
 * Power losses on a chip that encrypts its flash: what is staged is believed from its seal on and is never in the
 * clear, and what the new table encrypts is right in the end.
 */
#include "test/support/support_encrypted.h"

static const sr_region_t free_plain = {API_DATA, 0x40000}; /**< Not encrypted, and given up by the bundle. */

static uint8_t new_otadata[IMAGE_WRITE_OTADATA_SIZE];

/* Bootloader, both sectors of otadata, of which one is blank, and an app with a gap. Noise is all that is left beside
 * what the bundle gives up, so that the record can lie nowhere else. */
static void write_staged_bundle(bundle_region_t regions[4])
{
    static uint8_t app[4 * SECTOR];
    memcpy(app, content, sizeof(app));
    memset(app + SECTOR, 0xFF, SECTOR);
    image_write_otadata(1, SR_OTA_VALID, new_otadata);
    regions[0] = (bundle_region_t){.place = {API_BOOTLOADER, 3 * SECTOR}, .data = content + 0x7000, .length = SECTOR};
    regions[1] = (bundle_region_t){.place = {API_NVS, SECTOR}, .data = content + 0x8000, .length = SECTOR};
    regions[2] =
        (bundle_region_t){.place = {API_OTADATA, 2 * SECTOR}, .data = new_otadata, .length = sizeof(new_otadata)};
    regions[3] = (bundle_region_t){.place = {API_OTA_0, 4 * SECTOR}, .data = app, .length = sizeof(app)};
    const sr_bundle_given_up_t given_up = {.place = free_plain};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = API_TABLE,
                                .regions = regions,
                                .region_count = 4,
                                .given_up = &given_up,
                                .given_up_count = 1};
    api_image_free(&bundle);
    assert_int_equal(bundle_write(&spec, &bundle.bytes, &bundle.length), BUNDLE_WRITE_OK);
    memcpy(nor_flash_bytes(chip.flash) + PLACE, bundle.bytes, bundle.length);
    api_chip_snapshot(&chip);
}

static void call_apply(void *context)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    *(esp_err_t *)context = esp_self_reflasher_apply_bundle(&config, NULL);
}

static void call_resume(void *context)
{
    const esp_self_reflasher_bundle_config_t config = config_of();
    *(esp_err_t *)context = esp_self_reflasher_resume(&config);
}

/* Nothing of what is staged can be read in the cells, beside the bundle itself, which lies there as it came. */
static void assert_not_in_the_clear(const bundle_region_t *regions)
{
    const uint8_t *cells = nor_flash_view(chip.flash);
    assert_true(regions[0].data[1] != 0xFF && regions[1].data[1] != 0xFF);
    assert_null(memmem(cells, PLACE, bundle.bytes, 64));
    assert_null(memmem(cells, PLACE, regions[0].data, 64));
    for (uint32_t at = free_plain.address; at < free_plain.address + free_plain.size; at += SECTOR) {
        assert_int_not_equal(memcmp(cells + at, regions[1].data, 64), 0);
        assert_int_not_equal(memcmp(cells + at, new_otadata, 32), 0);
    }
}

static uint32_t applied_with_power_loss(uint32_t operation, bundle_region_t *regions, esp_err_t *result)
{
    reopen((api_options_t){.flash_encryption = true});
    write_staged_bundle(regions);
    const nor_power_loss_t loss = {
        .armed = true, .operation = operation, .when = NOR_POWER_LOSS_INSIDE, .seed = operation};
    nor_flash_set_power_loss(chip.flash, loss);
    (void)sim_call(call_apply, result);
    const uint32_t operations = nor_flash_stats(chip.flash).operations;
    nor_flash_power_on(chip.flash);
    assert_true(sim_chip_attach(&chip.config));
    return operations;
}

/* From the seal on the record is believed, also by an app that knows only what the cells hold; before it, the next call
 * does all of it. */
static void power_loss_while_a_record_counts(void **state)
{
    (void)state;
    esp_err_t *result = api_shared(sizeof(*result));
    bundle_region_t regions[4];
    const uint32_t operations = applied_with_power_loss(UINT32_MAX, regions, result);
    assert_int_equal(*result, ESP_OK);
    bool sealed = false, done = false;
    unsigned resumed = 0;
    for (uint32_t cut = 0; cut < operations; cut += operations / 100 + 1) {
        (void)applied_with_power_loss(cut, regions, result);
        assert_not_in_the_clear(regions);
        nor_flash_reset_stats(chip.flash);
        const sim_end_t end = sim_call(call_resume, result);
        const bool finishes = end == SIM_END_RESTART;
        done = done || (sealed && !finishes);
        if (done && nor_flash_stats(chip.flash).operations > 0) {
            fail_msg("cut at %u: resumed once more", cut);
        }
        sealed = sealed || finishes;
        resumed += finishes;
        assert_true(sim_chip_attach(&chip.config));
        expect_planned();
        assert_true(!sealed || plan.sectors_to_write == 0);
        expect_applied(regions, 4);
    }
    print_message("%u operations, %u power losses with a record that counts\n", operations, resumed);
    assert_true(resumed > 5);
    api_shared_free(result, sizeof(*result));
}

/* The table is written in one page with its MD5: torn, it may leave the app without partitions. That is the window. */
static bool attach_again(void)
{
    sim_chip_detach();
    return sim_chip_attach(&chip.config);
}

static void power_loss_while_other_regions_become_encrypted(void **state)
{
    (void)state;
    static uint8_t nvs[0x4000];
    esp_err_t *result = api_shared(sizeof(*result));
    bundle_region_t regions[OTHERS];
    uint32_t operations = 1, step = 1;
    unsigned tried = 0, resumed = 0, in_window = 0;
    for (uint32_t cut = UINT32_MAX; cut == UINT32_MAX || cut < operations; cut = cut == UINT32_MAX ? 0 : cut + step) {
        reopen((api_options_t){.flash_encryption = true});
        memcpy(nvs, nor_flash_view(chip.flash) + API_NVS, sizeof(nvs));
        write_other_layout(regions, true);
        if (cut == UINT32_MAX) {
            expect_planned();
        }
        const nor_power_loss_t loss = {.armed = true, .operation = cut, .when = NOR_POWER_LOSS_INSIDE, .seed = cut};
        nor_flash_set_power_loss(chip.flash, loss);
        const sim_end_t end = sim_call(call_apply, result);
        if (cut == UINT32_MAX) {
            operations = nor_flash_stats(chip.flash).operations;
            step = operations / 60 + 1;
        }
        nor_flash_power_on(chip.flash);
        if (!attach_again()) {
            in_window++;
            nor_flash_delete(chip.flash);
            free(chip.before);
            chip = (api_chip_t){0};
            continue;
        }
        tried++;
        if (end == SIM_END_POWER_LOSS) {
            resumed += sim_call(call_resume, result) == SIM_END_RESTART;
            assert_true(attach_again());
            (void)sim_call(call_apply, result);
        }
        if (*result != ESP_OK || !is_seen(regions, nvs)) {
            fail_msg("cut at %u: %s", cut, esp_self_reflasher_err_to_name(*result));
        }
        assert_true(attach_again());
    }
    print_message("%u operations: %u power losses, %u resumed, %u in the window\n", operations, tried, resumed,
                  in_window);
    assert_true(resumed > 5);
    api_shared_free(result, sizeof(*result));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_loss_while_a_record_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(power_loss_while_other_regions_become_encrypted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
