// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_report.h"

#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/html/html_parts.h"
#include "tool/report/boot_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/** What boots, or that nothing does, or that this is not known. */
static void write_system(FILE *out, const contents_t *contents)
{
    const bool boots = boot_succeeds(&contents->boot);
    const bool named = contents->boot_app_name[0] != '\0';
    fputs("<bdi>", out);
    const char *why_not = contents->boot.outcome == BOOT_NOT_KNOWN ? "not known whether it boots" : "does not boot";
    html_text(out, !boots ? why_not : named ? contents->boot_app_name : "an app without a name");
    fputs("</bdi>", out);
}

static void write_head(FILE *out, const html_report_t *report)
{
    // the policy keeps the page from fetching or running anything, whatever a label holds
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    html_text(out, report->path);
    fprintf(out, ": %s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n",
            report->explored != NULL ? "power losses" : "migration", html_style);
}

static void write_title(FILE *out, const html_report_t *report)
{
    char size[NUMBER_TEXT_SIZE];
    fputs("<header><h1>", out);
    write_system(out, report->before);
    fputs(" <i>\xE2\x86\x92</i> ", out);
    write_system(out, report->after);
    fputs("</h1>\n<p class=\"about\">", out);
    html_text(out, report->path);
    fprintf(out, ": %s, %s of flash, timed as %s</p></header>\n", report->before->chip.chip->family,
            number_size(report->before->size, size), report->flash_chip);
    fprintf(out, "<p class=\"verdict%s\" id=\"verdict\"><b>%s</b> ", report->good ? "" : " bad",
            report->good ? "\xE2\x9C\x93" : "\xE2\x9C\x97");
    html_text(out, report->verdict);
    fputs("</p>\n", out);
}

static const cJSON *item(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static uint64_t count_of(const cJSON *figures, const char *name)
{
    return (uint64_t)item(figures, name)->valuedouble;
}

static uint64_t microseconds(const cJSON *milliseconds)
{
    return (uint64_t)(milliseconds->valuedouble * 1e3 + .5);
}

static void write_time_card(FILE *out, const char *name, const cJSON *typical, const cJSON *maximum)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    html_time(out, microseconds(typical));
    fputs("</dd><dd>at most ", out);
    html_time(out, microseconds(maximum));
    fputs("</dd></div>\n", out);
}

static void write_count_card(FILE *out, const char *name, uint64_t count, const char *about)
{
    char text[NUMBER_TEXT_SIZE];
    fprintf(out, "<div><dt>%s</dt><dd>%s</dd><dd>%s</dd></div>\n", name, number_grouped(count, text), about);
}

/** The most important figures. */
static void write_cards(FILE *out, const html_report_t *report)
{
    const cJSON *figures = report->figures;
    const cJSON *window = item(figures, "window_ms");
    fputs("<dl class=\"cards\">\n", out);
    if (report->explored != NULL) {
        const cJSON *lower_bound = item(figures, "window_lower_bound_ms");
        write_count_card(out, "failures", report->explored->failures,
                         "does not boot outside the commit, or never finishes");
        write_count_card(out, "states tried", report->explored->state_count, "each a flash as a power loss leaves it");
        write_time_card(out, "commit window", item(window, "typical"), item(window, "maximum"));
        write_time_card(out, "shortest possible", item(lower_bound, "typical"), item(lower_bound, "maximum"));
    } else {
        write_time_card(out, "commit window", window, item(figures, "window_ms_maximum"));
        write_time_card(out, "flash time", item(figures, "flash_ms"), item(figures, "flash_ms_maximum"));
        write_count_card(out, "erases", count_of(figures, "erases"), "of sectors and blocks");
        write_count_card(out, "bytes downloaded", count_of(figures, "bytes_downloaded"), "bodies of all answers");
    }
    fputs("</dl>\n", out);
}

static void write_page(FILE *out, const html_report_t *report)
{
    write_head(out, report);
    write_title(out, report);
    write_cards(out, report);
    html_map(out, report);
    html_timeline(out, report);
    if (report->explored != NULL) {
        html_outcomes(out, report->explored);
    }
    html_figures(out, report->figures);
    fputs("<footer>" PROGRAM_NAME " " PROGRAM_VERSION ". The commit window is the time in which a power loss leaves a "
                                                      "chip that does not boot. All times are modelled "
          "by the datasheet of the flash chip.</footer>\n</main>\n</body>\n</html>\n",
          out);
}

int html_report_write(const char *path, const html_report_t *report)
{
    char *page = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&page, &size);
    if (out == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
    }
    write_page(out, report);
    const bool failed = ferror(out) != 0;
    const int status = fclose(out) != 0 || failed ? complain(STATUS_BAD_INPUT, "%s: out of memory", path)
                                                  : output_file_write(path, page, size);
    free(page);
    return status;
}
