// SPDX-License-Identifier: Apache-2.0
/** @file
 * main() for an ESP-IDF app on Linux: runs its app_main() on a simulated chip whose flash is a file.
 */
#include "sim/chip/sim_chip.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_BAD_USAGE 2
#define STATUS_BAD_INPUT 3

extern void app_main(void);

const char *argp_program_version = "simulated ESP32 app";
error_t argp_err_exit_status = STATUS_BAD_USAGE;

typedef struct options {
    const char *flash;
    const char *out;
    const sr_chip_t *chip;
    uint32_t running;
    unsigned max_boots;
    bool rollback;
    bool quiet;
} options_t;

static const struct argp_option option_table[] = {
    {"flash", 'f', "FILE", 0, "Content of the flash chip; what the app leaves is written back to it", 0},
    {"out", 'o', "FILE", 0, "Write there instead, and leave the flash file as it is", 0},
    {"chip", 'c', "NAME", 0, "Chip: esp32 (default), esp32s3, ...", 0},
    {"running", 'r', "OFFSET", 0, "Flash offset of the app that runs first; default: the one that boots", 0},
    {"rollback", 'R', NULL, 0, "The bootloader has rollback on", 0},
    {"max-boots", 'b', "N", 0, "Stop after this many boots of the app (default 10)", 0},
    {"quiet", 'q', NULL, 0, "No log lines of the app", 0},
    {0},
};

static uint32_t parse_number(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || value > UINT32_MAX) {
        argp_error(state, "'%s' is not a number", text);
    }
    return (uint32_t)value;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    options_t *options = state->input;
    switch (key) {
    case 'f':
        options->flash = value;
        return 0;
    case 'o':
        options->out = value;
        return 0;
    case 'c':
        options->chip = sr_chip_by_name(value);
        if (options->chip == NULL) {
            argp_error(state, "unknown chip '%s'", value);
        }
        return 0;
    case 'r':
        options->running = parse_number(value, state);
        return 0;
    case 'R':
        options->rollback = true;
        return 0;
    case 'b':
        options->max_boots = parse_number(value, state);
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    case ARGP_KEY_END:
        if (options->flash == NULL) {
            argp_error(state, "--flash is missing");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static nor_flash_t *load_flash(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    nor_flash_t *flash = size > 0 && size <= INT32_MAX ? nor_flash_new((uint32_t)size, nor_timing_find(NULL)) : NULL;
    if (flash == NULL) {
        fprintf(stderr, "%s: %ld bytes is not the size of a flash chip (a power of two from 1 MiB to 32 MiB)\n", path,
                size);
    } else if (fread(nor_flash_bytes(flash), 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        nor_flash_delete(flash);
        flash = NULL;
    }
    fclose(file);
    return flash;
}

static bool save_flash(const char *path, const nor_flash_t *flash)
{
    FILE *file = fopen(path, "wb");
    bool saved = file != NULL && fwrite(nor_flash_view(flash), 1, nor_flash_size(flash), file) == nor_flash_size(flash);
    if (file != NULL && fclose(file) != 0) {
        saved = false;
    }
    if (!saved) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    }
    return saved;
}

static void print_boot(const char *when, const boot_result_t *result)
{
    printf("%s: %s", when, boot_outcome_name(result->outcome));
    if (boot_succeeds(result)) {
        printf(", app at 0x%" PRIx32, result->app_offset);
    }
    printf("%s (%s)\n", result->recovered ? ", started by the recovery bootloader" : "", result->reason);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void print_report(const nor_flash_t *flash, const sim_report_t *report)
{
    static const char *const ends[] = {"it restarted", "it returned", "the power was lost", "it crashed"};
    const nor_stats_t stats = nor_flash_stats(flash);
    print_boot("Before", &report->before);
    printf("The app ran %u time%s; in the end %s\n", report->boots, plural(report->boots), ends[report->last_end]);
    printf("Downloaded %" PRIu64 " bytes in %" PRIu32 " request%s; heap at most %" PRIu32 " bytes\n",
           report->counters.bytes_downloaded, report->counters.http_requests, plural(report->counters.http_requests),
           report->counters.heap_peak);
    printf("Flash: %" PRIu32 " sector%s and %" PRIu32 " block%s erased, %" PRIu32 " page%s programmed, %" PRIu64
           " ms (at most %" PRIu64 " ms)\n",
           stats.sector_erases, plural(stats.sector_erases), stats.block_erases, plural(stats.block_erases),
           stats.page_programs, plural(stats.page_programs), stats.typical_us / 1000, stats.maximum_us / 1000);
    print_boot("After", &report->after);
}

int main(int argc, char **argv)
{
    const struct argp parser = {.options = option_table,
                                .parser = parse_option,
                                .doc = "Runs an ESP-IDF app on a simulated chip. Exit status 0: what the app leaves "
                                       "boots; 1: it does not."};
    options_t options = {.chip = sr_chip_by_name("esp32"), .running = UINT32_MAX, .max_boots = 10};
    argp_parse(&parser, argc, argv, 0, NULL, &options);

    nor_flash_t *flash = load_flash(options.flash);
    if (flash == NULL) {
        return STATUS_BAD_INPUT;
    }
    const sim_config_t config = {.chip = {.chip = options.chip, .rollback = options.rollback},
                                 .flash = flash,
                                 .running_app = options.running,
                                 .quiet = options.quiet};
    sim_report_t report;
    int status = STATUS_BAD_INPUT;
    if (!sim_run(&config, app_main, options.max_boots, &report)) {
        fprintf(stderr, "%s: no app starts from this flash: %s\n", options.flash, report.before.reason);
    } else if (save_flash(options.out != NULL ? options.out : options.flash, flash)) {
        print_report(flash, &report);
        status = boot_succeeds(&report.after) ? 0 : 1;
    }
    nor_flash_delete(flash);
    return status;
}
