// SPDX-License-Identifier: Apache-2.0
/** @file
 * Taking over the chip: the flash driver is told to do without an OS, or nothing is changed; and the way back is a
 * reset by the ROM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "esp_flash.h"
#include "esp_flash_internal.h"
#include "port/sr_in_place.h"

static unsigned told;
static esp_err_t answer;
static jmp_buf reset;

esp_err_t __wrap_esp_flash_app_disable_os_functions(esp_flash_t *chip);

esp_err_t __wrap_esp_flash_app_disable_os_functions(esp_flash_t *chip)
{
    assert_ptr_equal(chip, esp_flash_default_chip);
    told++;
    return answer;
}

void __wrap_esp_rom_software_reset_system(void) __attribute__((noreturn));

void __wrap_esp_rom_software_reset_system(void)
{
    longjmp(reset, 1);
}

static void driver_is_told_and_may_refuse(void **state)
{
    (void)state;
    static const esp_err_t answers[] = {ESP_OK, ESP_ERR_INVALID_STATE};
    for (unsigned i = 0; i < 2; i++) {
        told = 0;
        answer = answers[i];
        assert_int_equal(sr_in_place_enter(), answers[i]);
        assert_int_equal(told, 1);
    }
}

static void way_back_is_a_reset(void **state)
{
    (void)state;
    if (setjmp(reset) == 0) {
        sr_in_place_restart();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_is_told_and_may_refuse),
        cmocka_unit_test(way_back_is_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
