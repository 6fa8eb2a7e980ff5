// SPDX-License-Identifier: Apache-2.0
#include "tool/report/first_encryption_report.h"

#include "sim/nor/flash_buffer.h"
#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TODAYS_BOOTLOADER "the bootloader that starts is today's, or none of ESP-IDF, which alone is modelled"
#define NOT_OURS                                                                                                       \
    "done by the new bootloader at its first start, not by the migration. All of it is a window of that bootloader: "  \
    "it keeps no record of how far it has come, so a power loss in it leaves a chip that does not boot, until "        \
    "somebody writes bootloader, table and apps again over a cable"

/** @return false without memory. */
static bool boot_aside(const boot_chip_t *chip, const nor_flash_t *flash, boot_result_t *boot)
{
    const uint32_t size = nor_flash_size(flash);
    uint8_t *aside = flash_memory_new(size);
    if (aside != NULL) {
        (void)boot_run_aside(chip, nor_flash_view(flash), aside, size, NULL, NULL, boot);
    }
    free(aside);
    return aside != NULL;
}

static bool encrypt(const boot_chip_t *chip, const first_encryption_losses_t *losses, first_encryption_report_t *report)
{
    const boot_chip_t after = first_encryption_chip(chip);
    const boot_code_t app = report->boot.app;
    if (!first_encryption_run(chip, &report->plan, losses, report->flash, &report->result) ||
        !boot_aside(&after, report->flash, &report->boot)) {
        return false;
    }
    report->good = boot_succeeds(&report->boot) && report->boot.app.length == app.length &&
                   memcmp(report->boot.app.sha256, app.sha256, sizeof(app.sha256)) == 0;
    return true;
}

static bool start(const boot_chip_t *chip, const first_encryption_losses_t *losses, first_encryption_report_t *report)
{
    const nor_flash_t *flash = report->flash;
    first_encryption_plan_t *plan = &report->plan;
    if (!boot_aside(chip, flash, &report->boot)) {
        return false;
    }
    if (report->boot.encrypts) {
        first_encryption_find(chip, nor_flash_view(flash), nor_flash_size(flash), plan);
        return plan->fault[0] != '\0' || encrypt(chip, losses, report);
    }
    snprintf(plan->fault, sizeof(plan->fault), "%s",
             boot_succeeds(&report->boot) ? TODAYS_BOOTLOADER : report->boot.reason);
    return true;
}

first_encryption_report_t *first_encryption_report_make(const boot_chip_t *chip, const uint8_t *flash, uint32_t size,
                                                        const nor_timing_t *timing,
                                                        const first_encryption_losses_t *losses)
{
    first_encryption_report_t *report = calloc(1, sizeof(*report));
    if (report == NULL) {
        return NULL;
    }
    report->flash = nor_flash_new(size, timing);
    if (report->flash != NULL) {
        memcpy(nor_flash_bytes(report->flash), flash, size);
    }
    if (report->flash == NULL || !start(chip, losses, report)) {
        first_encryption_report_free(report);
        return NULL;
    }
    return report;
}

void first_encryption_report_free(first_encryption_report_t *report)
{
    if (report != NULL) {
        nor_flash_delete(report->flash);
        free(report);
    }
}

void first_encryption_report_warn(const boot_chip_t *chip, const uint8_t *flash, uint32_t size)
{
    boot_result_t boot;
    uint8_t *aside = flash_memory_new(size);
    if (aside != NULL && chip->cipher == NULL && chip->first_encryption == NULL) {
        (void)boot_run_aside(chip, flash, aside, size, NULL, NULL, &boot);
        const boot_code_t *loader = &boot.bootloader;
        if (boot.outcome != BOOT_ROM_REJECTS && memcmp(loader->sha256, chip->old_loader, SR_SHA256_SIZE) != 0 &&
            memmem(flash + loader->address, loader->length, SR_CHIP_SAYS_ENCRYPTS, strlen(SR_CHIP_SAYS_ENCRYPTS)) !=
                NULL) {
            complain(STATUS_OK, "warning: the new bootloader was built with Flash Encryption, and would encrypt the "
                                "flash at its first start: --first-encryption rehearses that, too");
        }
    }
    free(aside);
}

static void print_parts(const first_encryption_plan_t *plan, bool encrypted)
{
    const char *key = encrypted ? "encrypts" : "passes over";
    for (unsigned i = 0; i < plan->count; i++) {
        const first_encryption_part_t *part = &plan->parts[i];
        char size[NUMBER_TEXT_SIZE];
        if (part->encrypted == encrypted) {
            terminal_key(key);
            terminal_tame(part->label);
            printf(" at 0x%06" PRIx32 ", %s%s\n", part->region.address, number_size(part->region.size, size),
                   encrypted ? "" : ": no intact image");
            key = "";
        }
    }
}

static void print_losses(const first_encryption_result_t *result)
{
    static const char *const texts[] = {"the bootloader starts over", "a recovery bootloader starts the app",
                                        "does not boot"};
    const uint32_t counts[] = {result->starts_over, result->recovers, result->does_not_boot};
    char text[NUMBER_TEXT_SIZE];
    if (result->states == 0) {
        return;
    }
    terminal_key("states");
    printf("%s tried\n", number_grouped(result->states, text));
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (counts[i] > 0) {
            terminal_key("");
            printf("%s: %s\n", number_grouped(counts[i], text), texts[i]);
        }
    }
}

void first_encryption_report_print(const first_encryption_report_t *report)
{
    const first_encryption_plan_t *plan = &report->plan;
    terminal_heading("First encryption");
    if (plan->fault[0] != '\0') {
        terminal_print(STYLE_BAD, "would fail");
        fputs("\n  ", stdout);
        terminal_wrap(plan->fault, 2, 2);
        return;
    }
    fputs("  ", stdout);
    terminal_wrap(NOT_OURS, 2, 2);
    print_parts(plan, true);
    print_parts(plan, false);
    terminal_key("apps");
    puts(plan->images_only ? "their images, as since ESP-IDF v5.3" : "their whole partitions, as before ESP-IDF v5.3");
    terminal_key("window");
    printf("%.3f s, at most %.3f s\n", (double)report->result.stats.typical_us / 1e6,
           (double)report->result.stats.maximum_us / 1e6);
    print_losses(&report->result);
    terminal_key("eFuses");
    puts("a key and its locks before it, the counter after it");
    terminal_print(report->good ? STYLE_GOOD : STYLE_BAD, report->good                   ? "then the app starts"
                                                          : boot_succeeds(&report->boot) ? "then another app starts"
                                                                                         : "then nothing boots");
    fputs("\n  ", stdout);
    terminal_wrap(report->boot.reason, 2, 2);
}

static void add_times(cJSON *json, uint64_t typical_us, uint64_t maximum_us)
{
    cJSON *times = cJSON_AddObjectToObject(json, "window_ms");
    cJSON_AddNumberToObject(times, "typical", (double)typical_us / 1e3);
    cJSON_AddNumberToObject(times, "maximum", (double)maximum_us / 1e3);
}

static cJSON *parts_json(const first_encryption_plan_t *plan)
{
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < plan->count; i++) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "name", plan->parts[i].label);
        cJSON_AddNumberToObject(json, "offset", plan->parts[i].region.address);
        cJSON_AddNumberToObject(json, "size", plan->parts[i].region.size);
        cJSON_AddBoolToObject(json, "encrypted", plan->parts[i].encrypted);
        cJSON_AddItemToArray(list, json);
    }
    return list;
}

cJSON *first_encryption_report_json(const first_encryption_report_t *report)
{
    if (report == NULL) {
        return cJSON_CreateNull();
    }
    const first_encryption_result_t *result = &report->result;
    const char *fault = report->plan.fault;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "fault", fault[0] != '\0' ? cJSON_CreateString(fault) : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "parts", parts_json(&report->plan));
    cJSON_AddBoolToObject(json, "images_only", report->plan.images_only);
    cJSON_AddNumberToObject(json, "operations", result->stats.operations);
    add_times(json, result->stats.typical_us, result->stats.maximum_us);
    cJSON *states = cJSON_AddObjectToObject(json, "states");
    cJSON_AddNumberToObject(states, "starts_over", result->starts_over);
    cJSON_AddNumberToObject(states, "recovers", result->recovers);
    cJSON_AddNumberToObject(states, "does_not_boot", result->does_not_boot);
    cJSON_AddBoolToObject(json, "app_starts", report->good);
    cJSON_AddStringToObject(json, "reason", report->boot.reason);
    return json;
}
