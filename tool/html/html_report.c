// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_report.h"

#include "tool/base/command.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/html/html_parts.h"
#include "tool/report/boot_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void html_system(FILE *out, const contents_t *contents)
{
    const bool boots = boot_succeeds(&contents->boot);
    const bool named = contents->boot_app_name[0] != '\0';
    fputs("<bdi>", out);
    const char *why_not = contents->boot.outcome == BOOT_NOT_KNOWN ? "not known" : "nothing";
    html_text(out, !boots ? why_not : named ? contents->boot_app_name : "an app without a name");
    fputs("</bdi>", out);
}

bool html_date_find(time_t *date)
{
    const char *text = getenv("SOURCE_DATE_EPOCH");
    if (text == NULL || text[0] == '\0') {
        *date = time(NULL);
        return true;
    }
    char *end = NULL;
    struct tm parts;
    errno = 0;
    const long long seconds = strtoll(text, &end, 10);
    *date = (time_t)seconds;
    return errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' && gmtime_r(date, &parts) != NULL;
}

void html_date(FILE *out)
{
    time_t date = 0;
    struct tm parts = {0};
    char text[64] = "";
    if (html_date_find(&date) && gmtime_r(&date, &parts) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &parts);
    }
    fputs(text, out);
}

/** In a word, for the browser's tab and the verdict. */
static const char *end_word(const html_report_t *report)
{
    static const char *const words[] = {
        [HTML_DONE] = "Done",
        [HTML_UNCHANGED] = "Nothing to do",
        [HTML_REFUSED] = "Refused",
        [HTML_STOPPED] = "Stopped",
        [HTML_FAILED] = "Failed",
        [HTML_NO_BOOT] = "Does not boot",
        [HTML_OLD_APP] = "Old app starts",
    };
    if (report->end == HTML_EXPLORED) {
        return report->good ? "No failure" : "Failures";
    }
    return words[report->end];
}

/** What that means for the chip; NULL: the verdict says it. */
static const char *end_meaning(const html_report_t *report)
{
    switch (report->end) {
    case HTML_UNCHANGED:
        return "Everything is right already: nothing was erased, nothing programmed.";
    case HTML_REFUSED:
    case HTML_STOPPED:
        return "Nothing was erased, nothing programmed: the flash is as it was.";
    case HTML_FAILED:
        return boot_succeeds(&report->after->boot) ? "It ended half-way. The chip still boots."
                                                   : "It ended half-way, and the chip does not boot any more.";
    case HTML_NO_BOOT:
        return "All was written, and what was written does not boot.";
    case HTML_OLD_APP:
        return "All was written, and the new app does not start.";
    default:
        return NULL;
    }
}

static void write_head(FILE *out, const html_report_t *report)
{
    // the policy keeps the page from fetching or running anything, whatever a label holds
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    fprintf(out, "%s: ", end_word(report));
    if (report->bundle != NULL) {
        html_text(out, report->bundle);
        fputs(" on ", out);
    }
    html_text(out, report->path);
    fprintf(out, ", %s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n",
            report->explored != NULL ? "power losses" : "migration", html_style);
}

static void write_fact(FILE *out, const char *id, const char *name, const char *text)
{
    if (text != NULL) {
        fprintf(out, "<dt>%s</dt><dd id=\"%s\">", name, id);
        html_text(out, text);
        fputs("</dd>\n", out);
    }
}

/** From what, with what, when. */
static void write_facts(FILE *out, const html_report_t *report)
{
    char size[NUMBER_TEXT_SIZE];
    fputs("<dl class=\"facts\"><dt>flash</dt><dd id=\"flash\">", out);
    html_text(out, report->path);
    fprintf(out, ": %s, %s, timed as %s</dd>\n", report->before->chip.chip->family,
            number_size(report->before->size, size), report->flash_chip);
    write_fact(out, "bundle", "bundle", report->bundle);
    write_fact(out, "key", "key", report->key);
    write_fact(out, "command", "command", report->command);
    fputs("<dt>made</dt><dd id=\"date\">", out);
    html_date(out);
    fputs("</dd></dl>\n", out);
}

static void write_title(FILE *out, const html_report_t *report)
{
    fputs("<header><h1>", out);
    html_system(out, report->before);
    if (report->operation_count == 0) {
        fputs(" <i>stays as it is</i>", out);
    } else if (report->end == HTML_FAILED) {
        fputs(" <i>\xE2\x86\x92 failed half-way</i>", out);
    } else {
        fputs(" <i>\xE2\x86\x92</i> ", out);
        html_system(out, report->after);
    }
    fputs("</h1>\n", out);
    write_facts(out, report);
    fprintf(out, "</header>\n<div class=\"verdict%s\" id=\"verdict\"><p><b>%s", report->good ? "" : " bad",
            report->good ? "\xE2\x9C\x93" : "\xE2\x9C\x97");
    if (report->end != HTML_EXPLORED) {
        fprintf(out, " %s.", end_word(report)); // the verdict of an exploration begins with it
    }
    fputs("</b> ", out);
    html_text(out, report->verdict);
    fputs("</p>\n", out);
    const char *meaning = end_meaning(report);
    if (meaning != NULL) {
        fprintf(out, "<p>%s</p>\n", meaning);
    }
    if (report->way_out != NULL) {
        fputs("<p>Way out: ", out);
        html_text(out, report->way_out);
        fputs(".</p>\n", out);
    }
    fputs("</div>\n", out);
}

static void write_page(FILE *out, const html_report_t *report)
{
    write_head(out, report);
    write_title(out, report);
    html_cards(out, report);
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

int html_report_check(const char *path)
{
    time_t date;
    const int status = output_file_check(path);
    if (status != STATUS_OK || path == NULL || html_date_find(&date)) {
        return status;
    }
    return complain(STATUS_BAD_INPUT, "SOURCE_DATE_EPOCH='%s' is no time: seconds since 1970 expected, or unset it",
                    getenv("SOURCE_DATE_EPOCH"));
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
