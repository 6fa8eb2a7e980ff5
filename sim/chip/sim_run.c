// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "format/sr_digest.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* How a child tells its parent why it ended: no other way to end gives these exit statuses. */
#define EXIT_STATUS_BASE 64

static bool in_child;

/* Present if the program was built with AddressSanitizer. */
void __lsan_do_leak_check(void) __attribute__((weak));
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

void sim_end_boot(sim_end_t end)
{
    if (!in_child) {
        fprintf(stderr, "The simulated chip stopped outside of sim_call() and sim_run()\n");
        abort();
    }
    if (end == SIM_END_RESTART) {
        sim_state.counters->restarts++;
    }
    fflush(NULL);
    _exit(EXIT_STATUS_BASE + (int)end);
}

void sim_panic(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("Panic: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    sim_end_boot(SIM_END_PANIC);
}

static sim_end_t wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return SIM_END_PANIC;
        }
    }
    const int told = WIFEXITED(status) ? WEXITSTATUS(status) - EXIT_STATUS_BASE : SIM_END_PANIC;
    return told >= SIM_END_RESTART && told <= SIM_END_PANIC ? (sim_end_t)told : SIM_END_PANIC;
}

/* A crash is a result: it must end the child, whatever handlers a test framework has set, and needs no core dump. */
static void let_crashes_end_the_process(void)
{
    static const int crashes[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        signal(crashes[i], SIG_DFL);
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

/* Forks; true in the child. */
static bool start_child(pid_t *child)
{
    fflush(NULL);
    *child = fork();
    if (*child != 0) {
        return false;
    }
    in_child = true;
    /* What an app printed before it crashed is not lost. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    let_crashes_end_the_process();
    return true;
}

/* 0 without AddressSanitizer. */
static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL ? __sanitizer_get_current_allocated_bytes() : 0;
}

sim_end_t sim_call(void (*body)(void *context), void *context)
{
    pid_t child;
    if (start_child(&child)) {
        const size_t before = allocated();
        body(context);
        sim_tasks_run_out();
        /* It goes through all memory, so not where nothing more is allocated than before. */
        if (__lsan_do_leak_check != NULL && allocated() > before) {
            __lsan_do_leak_check();
        }
        sim_end_boot(SIM_END_RETURNED);
    }
    return child < 0 ? SIM_END_PANIC : wait_for(child);
}

/* Memory that each boot needs for a moment, kept because there are so many of them. Not shared with other processes,
 * which run boots of their own. */
static uint8_t *boot_buffer(uint32_t size)
{
    static uint8_t *buffer;
    static uint32_t buffer_size;
    static pid_t owner;
    if (size != buffer_size || owner != getpid()) {
        flash_buffer_delete(buffer, buffer_size);
        buffer = flash_buffer_new(size);
        buffer_size = buffer != NULL ? size : 0;
        owner = getpid();
    }
    return buffer;
}

/* Boots and leaves the flash as it is; NULL if there is no memory. What is returned holds what the boot wrote, and is
 * valid until the next boot: the flash itself if it wrote nothing. */
static const uint8_t *boot_aside(const sim_config_t *config, boot_result_t *result)
{
    const uint32_t size = nor_flash_size(config->flash);
    const uint8_t *flash = nor_flash_view(config->flash);
    uint8_t *copy = boot_buffer(size);
    return copy != NULL ? boot_run_aside(&config->chip, flash, copy, size, NULL, NULL, result) : NULL;
}

static bool same_app(const boot_code_t *a, const boot_code_t *b)
{
    return a->length == b->length && memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0;
}

/* The image at an offset, as the boot model describes one that boots; of length 0 if there is none. */
static boot_code_t image_at(const sim_config_t *config, uint32_t address)
{
    boot_code_t code = {.address = address};
    const uint32_t size = nor_flash_size(config->flash);
    if (address >= size) {
        return code;
    }
    sr_image_t image;
    const uint8_t *plain = boot_plain(&config->chip, nor_flash_view(config->flash), size, address, size - address);
    const sr_reader_t reader = sr_reader_memory(plain, size - address);
    if (sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_digest(plain, image.length, code.sha256)) {
        code.length = image.length;
    }
    return code;
}

static sim_end_t run_app(const sim_config_t *config, uint32_t app, bool recovered, sim_counters_t *counters,
                         void (*app_main)(void))
{
    pid_t child;
    if (start_child(&child)) {
        sim_config_t running = *config;
        running.running_app = app;
        running.recovered = recovered;
        if (!sim_attach_with(&running, counters)) {
            sim_panic("the app at 0x%x cannot start: no valid partition table", app);
        }
        app_main();
        sim_tasks_run_out();
        sim_end_boot(SIM_END_RETURNED);
    }
    return child < 0 ? SIM_END_PANIC : wait_for(child);
}

/* One boot, and the app if it is the right one. False: the run is over. */
static bool boot_once(const sim_config_t *config, void (*app_main)(void), unsigned max_boots, sim_counters_t *counters,
                      sim_report_t *report)
{
    boot_result_t result;
    report->stopped = report->boots > 0 && report->last_end == SIM_END_RESTART && config->stop != NULL &&
                      config->stop(config->stop_context);
    const uint8_t *booted = report->stopped ? NULL : boot_aside(config, &result);
    const bool forced = report->boots == 0 && config->running_app != UINT32_MAX;
    if (booted == NULL) {
        return false;
    }
    if (report->boots == 0) {
        report->before = result;
        report->app = forced ? image_at(config, config->running_app) : result.app;
    }
    report->after = result;
    const bool boots = boot_succeeds(&result);
    /* An app that starts once the flash is encrypted is one on another chip. */
    report->other_app = boots && !forced && (result.encrypts || !same_app(&report->app, &result.app));
    const bool runs = (boots || forced) && !report->other_app && report->boots < max_boots;
    if (!runs) {
        return false;
    }
    if (booted != nor_flash_view(config->flash)) {
        nor_flash_load(config->flash, booted);
    }
    report->last_end =
        run_app(config, forced ? config->running_app : result.app_offset, result.recovered, counters, app_main);
    report->boots++;
    return true;
}

bool sim_run(const sim_config_t *config, void (*app_main)(void), unsigned max_boots, sim_report_t *report)
{
    sim_config_t current = *config;
    *report = (sim_report_t){0};
    sim_counters_t *counters = sim_counters_new();
    if (counters == NULL) {
        return false;
    }
    while (boot_once(&current, app_main, max_boots, counters, report)) {
        boot_revoke(&current.chip.burnt, report->after.revoked);
        /* Only a restart is followed by the next boot; of the last one only the result is kept. */
        max_boots = report->last_end == SIM_END_RESTART ? max_boots : 0;
    }
    report->counters = *counters;
    sim_counters_delete(counters);
    return report->boots > 0;
}
