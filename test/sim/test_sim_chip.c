// SPDX-License-Identifier: Apache-2.0
#include "test/support/support_chip.h"
#include "test/support/support_cipher.h"

#include "format/sr_otadata.h"
#include "make/image_writer.h"
#include "sim/boot/boot_plain.h"

#include "esp_flash.h"
#include "esp_flash_internal.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_rom_sys.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* What the boots of the app leave for the test, in shared memory. */
typedef struct trace {
    unsigned count;
    uint32_t values[32];
} trace_t;

static trace_t *trace;

static void note(uint32_t value)
{
    trace->values[trace->count++] = value;
}

typedef struct fixture {
    nor_flash_t *flash;
    sim_config_t config;
    sim_report_t report;
} fixture_t;

static int set_up(void **state)
{
    static fixture_t fixture;
    fixture = (fixture_t){.flash = chip_flash_new()};
    chip_put_app(fixture.flash, CHIP_SLOT_0, "1.0", NULL, 0);
    fixture.config = (sim_config_t){
        .chip = {.chip = sr_chip_by_name("esp32")}, .flash = fixture.flash, .running_app = UINT32_MAX, .quiet = true};
    *trace = (trace_t){0};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const fixture_t *fixture = *state;
    sim_chip_detach();
    nor_flash_delete(fixture->flash);
    return 0;
}

static void attach(fixture_t *fixture)
{
    fixture->config.running_app = CHIP_SLOT_0;
    assert_true(sim_chip_attach(&fixture->config));
}

static void restart(void *context)
{
    (void)context;
    esp_restart();
}

static void reset_from_rom(void *context)
{
    (void)context;
    esp_rom_software_reset_system();
}

static void do_nothing(void *context)
{
    (void)context;
}

static void crash(void *context)
{
    (void)context;
    raise(SIGSEGV);
}

static void leave(void *context)
{
    (void)context;
    _exit(0);
}

static void fail_check(void *context)
{
    (void)context;
    ESP_ERROR_CHECK(ESP_ERR_NO_MEM);
}

static void call_tells_how_a_body_ended(void **state)
{
    attach(*state);
    assert_int_equal(sim_call(do_nothing, NULL), SIM_END_RETURNED);
    assert_int_equal(sim_counters()->restarts, 0);
    assert_int_equal(sim_call(restart, NULL), SIM_END_RESTART);
    assert_int_equal(sim_call(reset_from_rom, NULL), SIM_END_RESTART);
    assert_int_equal(sim_counters()->restarts, 2);
    assert_int_equal(sim_call(crash, NULL), SIM_END_PANIC);
    assert_int_equal(sim_call(fail_check, NULL), SIM_END_PANIC);
    assert_int_equal(sim_call(leave, NULL), SIM_END_PANIC);
}

#ifdef __SANITIZE_ADDRESS__
static void lose_memory(void *context)
{
    void *volatile *lost = context;
    *lost = malloc(100);
    *lost = NULL;
}

static void use_memory(void *context)
{
    (void)context;
    free(malloc(100));
}

static void a_leak_is_told(void **state)
{
    (void)state;
    void *volatile lost;
    assert_int_equal(sim_call(use_memory, NULL), SIM_END_RETURNED);
    assert_int_equal(sim_call(lose_memory, (void *)&lost), SIM_END_PANIC);
}
#endif

static void attach_refuses_nonsense(void **state)
{
    fixture_t *fixture = *state;
    assert_null(sim_chip());
    fixture->config.running_app = CHIP_FLASH_SIZE;
    assert_false(sim_chip_attach(&fixture->config));
    fixture->config.running_app = CHIP_SLOT_0;
    nor_flash_bytes(fixture->flash)[0x8002] ^= 1;
    assert_false(sim_chip_attach(&fixture->config));
    nor_flash_bytes(fixture->flash)[0x8002] ^= 1;
    assert_true(sim_chip_attach(&fixture->config));
    assert_ptr_equal(sim_chip()->flash, fixture->flash);
    sim_chip_detach();
    assert_null(sim_chip());
}

static void app_returns(void)
{
    note((uint32_t)esp_reset_reason());
    printf("printed by the app\n");
}

static void a_run_ends_when_the_app_returns(void **state)
{
    fixture_t *fixture = *state;
    assert_true(sim_run(&fixture->config, app_returns, 5, &fixture->report));
    assert_int_equal(fixture->report.boots, 1);
    assert_int_equal(fixture->report.last_end, SIM_END_RETURNED);
    assert_false(fixture->report.other_app);
    assert_int_equal(fixture->report.before.app_offset, CHIP_SLOT_0);
    assert_true(boot_succeeds(&fixture->report.after));
    assert_int_equal(trace->count, 1);
    assert_int_equal(trace->values[0], ESP_RST_POWERON);
}

static uint32_t forgotten_by_a_restart = 5;

static void app_restarts(void)
{
    note(forgotten_by_a_restart++);
    note((uint32_t)esp_reset_reason());
    (void)heap_caps_malloc(1000 * (forgotten_by_a_restart - 5), MALLOC_CAP_DEFAULT);
    note(sim_counters()->heap_now);
    esp_restart();
}

static void a_restart_empties_ram_and_boots_again(void **state)
{
    fixture_t *fixture = *state;
    assert_true(sim_run(&fixture->config, app_restarts, 3, &fixture->report));
    assert_int_equal(fixture->report.boots, 3);
    assert_int_equal(fixture->report.last_end, SIM_END_RESTART);
    assert_int_equal(fixture->report.counters.restarts, 3);
    assert_int_equal(fixture->report.counters.heap_peak, 1000);
    const uint32_t expected[] = {5, ESP_RST_POWERON, 1000, 5, ESP_RST_SW, 1000, 5, ESP_RST_SW, 1000};
    assert_int_equal(trace->count, 9);
    assert_memory_equal(trace->values, expected, sizeof(expected));
}

static bool stop_when_asked_twice(void *context)
{
    unsigned *asked = context;
    return ++*asked == 2;
}

static void a_run_stops_where_it_is_told_to(void **state)
{
    fixture_t *fixture = *state;
    unsigned asked = 0;
    fixture->config.stop = stop_when_asked_twice;
    fixture->config.stop_context = &asked;
    assert_true(sim_run(&fixture->config, app_restarts, 5, &fixture->report));
    assert_int_equal(asked, 2);
    assert_int_equal(fixture->report.boots, 2);
    assert_true(fixture->report.stopped);

    /* If the run ends by itself, stop() is not called. */
    assert_true(sim_run(&fixture->config, app_returns, 5, &fixture->report));
    assert_int_equal(asked, 2);
    assert_false(fixture->report.stopped);
}

static void app_selects_slot_1(void)
{
    note(esp_ota_get_running_partition()->address);
    ESP_ERROR_CHECK(esp_ota_set_boot_partition(
        esp_partition_find_first(ESP_PARTITION_TYPE_APP, ESP_PARTITION_SUBTYPE_APP_OTA_1, NULL)));
    esp_restart();
}

static void a_run_ends_when_another_app_boots(void **state)
{
    fixture_t *fixture = *state;
    chip_put_app(fixture->flash, CHIP_SLOT_1, "2.0", NULL, 0);
    assert_true(sim_run(&fixture->config, app_selects_slot_1, 5, &fixture->report));
    assert_int_equal(fixture->report.boots, 1);
    assert_true(fixture->report.other_app);
    assert_int_equal(fixture->report.after.app_offset, CHIP_SLOT_1);
}

static void the_same_app_in_another_slot_goes_on(void **state)
{
    fixture_t *fixture = *state;
    chip_put_app(fixture->flash, CHIP_SLOT_1, "1.0", NULL, 0);
    assert_true(sim_run(&fixture->config, app_selects_slot_1, 2, &fixture->report));
    assert_int_equal(fixture->report.boots, 2);
    assert_false(fixture->report.other_app);
    assert_int_equal(trace->values[0], CHIP_SLOT_0);
    assert_int_equal(trace->values[1], CHIP_SLOT_1);
}

static void app_on_probation(void)
{
    esp_ota_img_states_t ota_state;
    ESP_ERROR_CHECK(esp_ota_get_state_partition(esp_ota_get_running_partition(), &ota_state));
    note(ota_state);
    esp_restart();
}

static void what_a_boot_writes_is_kept_if_its_app_runs(void **state)
{
    fixture_t *fixture = *state;
    fixture->config.chip.rollback = true;
    chip_put_app(fixture->flash, CHIP_SLOT_1, "2.0", NULL, 0);
    image_write_otadata(3, SR_OTA_NEW, nor_flash_bytes(fixture->flash) + CHIP_OTADATA);
    sr_otadata_encode(2, SR_OTA_VALID, nor_flash_bytes(fixture->flash) + CHIP_OTADATA + 0x1000);
    assert_true(sim_run(&fixture->config, app_on_probation, 5, &fixture->report));
    /* The first boot puts the app on probation; the second would end that, and only its result is kept. */
    assert_int_equal(trace->count, 1);
    assert_int_equal(trace->values[0], ESP_OTA_IMG_PENDING_VERIFY);
    assert_true(fixture->report.other_app);
    assert_true(fixture->report.after.flash_changed);
    assert_int_equal(nor_flash_view(fixture->flash)[CHIP_OTADATA + 24], SR_OTA_PENDING_VERIFY);
}

static void app_erases_bootloader(void)
{
    ESP_ERROR_CHECK(esp_flash_erase_region(NULL, 0x1000, 0x1000));
    esp_restart();
}

static void a_run_ends_when_nothing_boots(void **state)
{
    fixture_t *fixture = *state;
    assert_true(sim_run(&fixture->config, app_erases_bootloader, 5, &fixture->report));
    assert_int_equal(fixture->report.boots, 1);
    assert_int_equal(fixture->report.after.outcome, BOOT_ROM_REJECTS);
    assert_false(fixture->report.other_app);
    assert_false(sim_run(&fixture->config, app_erases_bootloader, 5, &fixture->report));
    assert_int_equal(fixture->report.before.outcome, BOOT_ROM_REJECTS);
}

static void app_writes(void)
{
    const uint8_t data[1024] = {0};
    note(esp_flash_write(NULL, data, CHIP_SLOT_1, sizeof(data)) == ESP_OK);
}

static void a_power_cut_ends_the_run(void **state)
{
    fixture_t *fixture = *state;
    nor_flash_set_power_loss(fixture->flash,
                             (nor_power_loss_t){.armed = true, .operation = 2, .when = NOR_POWER_LOSS_BEFORE});
    assert_true(sim_run(&fixture->config, app_writes, 5, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_POWER_LOSS);
    assert_int_equal(fixture->report.boots, 1);
    assert_int_equal(trace->count, 0);
    assert_true(boot_succeeds(&fixture->report.after));
    assert_int_equal(nor_flash_view(fixture->flash)[CHIP_SLOT_1 + 511], 0);
    assert_int_equal(nor_flash_view(fixture->flash)[CHIP_SLOT_1 + 512], 0xFF);
    nor_flash_power_on(fixture->flash);
    assert_true(sim_run(&fixture->config, app_writes, 5, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_RETURNED);
    assert_int_equal(trace->values[0], true);
}

static void log_a_line(void *context)
{
    (void)context;
    ESP_LOGI("test", "line");
}

static void overwrite_and_log(void *context)
{
    const uint32_t *address = context;
    const uint8_t zero = 0;
    ESP_ERROR_CHECK(esp_flash_write(NULL, &zero, *address, 1));
    log_a_line(NULL);
}

static void code_in_overwritten_flash_panics(void **state)
{
    fixture_t *fixture = *state;
    const uint32_t length = chip_put_app(fixture->flash, CHIP_SLOT_0, "1.0", NULL, 0);
    attach(fixture);
    /* What lies past the image is not part of the app; the last byte of it is. */
    uint32_t address = CHIP_SLOT_0 + length;
    assert_int_equal(sim_call(overwrite_and_log, &address), SIM_END_RETURNED);
    address = CHIP_SLOT_0 + length - 1;
    assert_int_equal(sim_call(overwrite_and_log, &address), SIM_END_PANIC);
}

static void restore_and_log(void *context)
{
    const uint8_t *first = context;
    const uint8_t zero = 0;
    esp_flash_app_disable_os_functions(NULL);
    for (unsigned round = 0; round < 2; round++) {
        esp_flash_write(NULL, &zero, CHIP_SLOT_0, 1);
        esp_flash_erase_region(NULL, CHIP_SLOT_0, 0x1000);
        esp_flash_write(NULL, first, CHIP_SLOT_0, 0x1000);
    }
    esp_flash_app_enable_os_functions(NULL);
    log_a_line(NULL);
}

static void code_runs_again_once_its_bytes_are_back(void **state)
{
    fixture_t *fixture = *state;
    attach(fixture);
    uint8_t first[0x1000];
    memcpy(first, nor_flash_view(fixture->flash) + CHIP_SLOT_0, sizeof(first));
    assert_int_equal(sim_call(restore_and_log, first), SIM_END_RETURNED);
    first[0x800] ^= 1;
    assert_int_equal(sim_call(restore_and_log, first), SIM_END_PANIC);
}

static void overwrite_from_ram(void *context)
{
    uint8_t byte = 0;
    esp_flash_app_disable_os_functions(esp_flash_default_chip);
    esp_flash_erase_region(NULL, CHIP_SLOT_0, CHIP_SLOT_SIZE);
    esp_flash_write(NULL, &byte, CHIP_SLOT_0, 1);
    esp_flash_read(NULL, &byte, CHIP_SLOT_0, 1);
    if (context != NULL) {
        heap_caps_free(heap_caps_malloc(1, MALLOC_CAP_DEFAULT));
    }
    esp_rom_software_reset_system();
}

static void overwrite_with_os(void *context)
{
    (void)context;
    esp_flash_erase_region(NULL, CHIP_SLOT_0, 0x1000);
    esp_flash_erase_region(NULL, CHIP_SLOT_0, 0x1000);
}

static void only_the_flash_driver_and_rom_work_without_os(void **state)
{
    fixture_t *fixture = *state;
    attach(fixture);
    assert_int_equal(sim_call(overwrite_from_ram, NULL), SIM_END_RESTART);
    chip_put_app(fixture->flash, CHIP_SLOT_0, "1.0", NULL, 0);
    assert_int_equal(sim_call(overwrite_from_ram, fixture), SIM_END_PANIC);
    chip_put_app(fixture->flash, CHIP_SLOT_0, "1.0", NULL, 0);
    assert_int_equal(sim_call(overwrite_with_os, NULL), SIM_END_PANIC);
}

static void task_a(void *parameter)
{
    for (unsigned i = 0; i < 3; i++) {
        note(*(uint32_t *)parameter + i);
        vTaskDelay(1);
    }
    vTaskDelete(NULL);
}

static void app_with_tasks(void)
{
    static uint32_t ten = 10, twenty = 20;
    xTaskCreate(task_a, "a", 4096, &ten, 5, NULL);
    xTaskCreate(task_a, "b", 4096, &twenty, 5, NULL);
    note(1);
}

static void tasks_take_turns_after_the_main_task(void **state)
{
    fixture_t *fixture = *state;
    assert_true(sim_run(&fixture->config, app_with_tasks, 1, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_RETURNED);
    const uint32_t expected[] = {1, 10, 20, 11, 21, 12, 22};
    assert_int_equal(trace->count, 7);
    assert_memory_equal(trace->values, expected, sizeof(expected));
}

static void restarting_task(void *parameter)
{
    (void)parameter;
    vTaskDelay(pdMS_TO_TICKS(100));
    esp_restart();
}

static void app_that_waits_for_its_task(void)
{
    xTaskCreate(restarting_task, "restart", 4096, NULL, 5, NULL);
    while (true) {
        vTaskDelay(portMAX_DELAY);
    }
}

static void app_that_idles(void)
{
    while (true) {
        vTaskDelay(pdMS_TO_TICKS(1000));
    }
}

static void app_that_delays_while_suspended(void)
{
    vTaskSuspendAll();
    vTaskDelay(1);
}

static void waiting_is_told_from_idling(void **state)
{
    fixture_t *fixture = *state;
    assert_true(sim_run(&fixture->config, app_that_waits_for_its_task, 1, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_RESTART);
    assert_true(sim_run(&fixture->config, app_that_idles, 1, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_RETURNED);
    assert_true(sim_run(&fixture->config, app_that_delays_while_suspended, 1, &fixture->report));
    assert_int_equal(fixture->report.last_end, SIM_END_PANIC);
}

static void an_encrypted_chip_boots_and_runs(void **state)
{
    fixture_t *fixture = *state;
    chip_put_app(fixture->flash, CHIP_SLOT_1, "2.0", NULL, 0);
    support_encrypt(nor_flash_bytes(fixture->flash), 0, CHIP_FLASH_SIZE);
    assert_false(sim_run(&fixture->config, app_selects_slot_1, 5, &fixture->report));
    fixture->config.chip.cipher = support_cipher();
    assert_true(sim_run(&fixture->config, app_selects_slot_1, 5, &fixture->report));
    assert_true(fixture->report.other_app);
    assert_int_equal(fixture->report.after.app_offset, CHIP_SLOT_1);
}

/* Each part of the boot path in the clear, and erased: the answer has the words of the chip. */
static void what_is_not_encrypted_is_nonsense(void **state)
{
    static const struct {
        uint32_t address;
        uint32_t other; /* Made the same. */
        const char *what;
    } parts[] = {
        {0x1000, 0x1000, "the bootloader at 0x1000"},
        {SR_PARTITION_TABLE_OFFSET, SR_PARTITION_TABLE_OFFSET, "the partition table at 0x8000"},
        {CHIP_SLOT_0, CHIP_SLOT_1, "app at 0x1"},
    };
    fixture_t *fixture = *state;
    uint8_t *flash = nor_flash_bytes(fixture->flash);
    uint8_t plain[SR_SECTOR_SIZE];
    uint8_t cells[SR_SECTOR_SIZE];
    boot_result_t result;
    support_encrypt(flash, 0, CHIP_FLASH_SIZE);
    fixture->config.chip.cipher = support_cipher();
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint8_t *sector = flash + parts[i].address;
        memcpy(cells, sector, sizeof(cells));
        flash_cipher_read(support_cipher(), flash, parts[i].address, plain, sizeof(plain));
        const struct {
            const char *words;
            uint8_t bytes[2];
        } cases[] = {{"is not encrypted, and the chip decrypts it to nonsense", {plain[0], plain[1]}},
                     {"is erased, and the chip decrypts that to nonsense", {0xFF, 0xFF}},
                     {"decrypts to nonsense", {(uint8_t)(cells[0] ^ 1), cells[1]}}};
        for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
            memcpy(sector, cases[k].bytes, sizeof(cases[k].bytes));
            memcpy(flash + parts[i].other, cases[k].bytes, sizeof(cases[k].bytes));
            boot_run(&fixture->config.chip, flash, CHIP_FLASH_SIZE, NULL, NULL, &result);
            assert_true(result.outcome == BOOT_ROM_REJECTS || result.outcome == BOOT_BOOTLOADER_REJECTS);
            if (strstr(result.reason, parts[i].what) == NULL || strstr(result.reason, cases[k].words) == NULL) {
                fail_msg("%s, %s: %s", parts[i].what, cases[k].words, result.reason);
            }
        }
        memcpy(sector, cells, sizeof(cells));
    }
}

/* What the bootloader itself writes is encrypted, too. */
static void an_encrypted_chip_keeps_its_otadata(void **state)
{
    fixture_t *fixture = *state;
    uint8_t *flash = nor_flash_bytes(fixture->flash);
    uint8_t *plain = malloc(CHIP_FLASH_SIZE);
    sr_otadata_t otadata;
    boot_result_t result;
    assert_non_null(plain);
    image_write_otadata(1, SR_OTA_NEW, flash + CHIP_OTADATA);
    support_encrypt(flash, 0, CHIP_FLASH_SIZE);
    fixture->config.chip.cipher = support_cipher();
    fixture->config.chip.rollback = true;
    boot_run(&fixture->config.chip, flash, CHIP_FLASH_SIZE, NULL, NULL, &result);
    assert_int_equal(result.outcome, BOOT_BOOTS);
    assert_true(result.flash_changed);
    boot_plain_view(&fixture->config.chip, flash, CHIP_FLASH_SIZE, plain);
    const sr_reader_t reader = sr_reader_memory(plain + CHIP_OTADATA, 2 * SR_SECTOR_SIZE);
    assert_int_equal(sr_otadata_read(&reader, &otadata), 0);
    assert_int_equal(sr_otadata_active(&otadata), 0);
    assert_int_equal(otadata.entries[0].state, SR_OTA_PENDING_VERIFY);
    /* The app that did not confirm itself is not started again: the entry is read back, and written once more. */
    boot_run(&fixture->config.chip, flash, CHIP_FLASH_SIZE, NULL, NULL, &result);
    boot_plain_view(&fixture->config.chip, flash, CHIP_FLASH_SIZE, plain);
    assert_int_equal(sr_otadata_read(&reader, &otadata), 0);
    assert_int_equal(otadata.entries[0].state, SR_OTA_ABORTED);
    free(plain);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    trace = shared_memory(sizeof(*trace));
    const struct CMUnitTest tests[] = {
        TEST(call_tells_how_a_body_ended),
#ifdef __SANITIZE_ADDRESS__
        TEST(a_leak_is_told),
#endif
        TEST(attach_refuses_nonsense),
        TEST(a_run_ends_when_the_app_returns),
        TEST(a_restart_empties_ram_and_boots_again),
        TEST(a_run_stops_where_it_is_told_to),
        TEST(a_run_ends_when_another_app_boots),
        TEST(the_same_app_in_another_slot_goes_on),
        TEST(what_a_boot_writes_is_kept_if_its_app_runs),
        TEST(a_run_ends_when_nothing_boots),
        TEST(a_power_cut_ends_the_run),
        TEST(code_in_overwritten_flash_panics),
        TEST(code_runs_again_once_its_bytes_are_back),
        TEST(only_the_flash_driver_and_rom_work_without_os),
        TEST(tasks_take_turns_after_the_main_task),
        TEST(waiting_is_told_from_idling),
        TEST(an_encrypted_chip_boots_and_runs),
        TEST(what_is_not_encrypted_is_nonsense),
        TEST(an_encrypted_chip_keeps_its_otadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
