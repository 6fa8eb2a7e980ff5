// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/base/number.h"
#include "tool/report/boot_report.h"

#include <inttypes.h>

static void open_card(FILE *out, const char *id, const char *name)
{
    fprintf(out, "<div id=\"card-%s\"><dt>%s</dt><dd>", id, name);
}

static void close_card(FILE *out, const char *about)
{
    fprintf(out, "</dd><dd>%s</dd></div>\n", about);
}

static void write_boots(FILE *out, const html_report_t *report)
{
    open_card(out, "boots", "What boots?");
    html_system(out, report->after);
    close_card(out, !boot_succeeds(&report->after->boot) ? "this chip needs a cable"
                    : report->run->other_app             ? "another app than the one that ran"
                                                         : "the app that ran");
}

/** What the power losses have told; without them nothing is known. */
static void write_tried(FILE *out, const explore_result_t *explored)
{
    char count[NUMBER_COUNT_SIZE];
    char about[NUMBER_COUNT_SIZE + 64];
    const uint32_t dead = explored->outcomes[EXPLORE_DOES_NOT_BOOT];
    if (explored->state_count == 0) {
        fputs("nothing to finish", out);
        close_card(out, "there was no flash operation");
    } else if (explored->failures > 0) {
        fputs("no", out);
        snprintf(about, sizeof(about), "%s, listed below", number_count(explored->failures, "failure", count));
        close_card(out, about);
    } else {
        fputs(dead > 0 ? "yes, except in the window" : "yes", out);
        snprintf(about, sizeof(about), "after each of %s%s",
                 number_count(explored->state_count - dead, "power loss", count), dead > 0 ? " outside of it" : "");
        close_card(out, about);
    }
}

static void write_finishes(FILE *out, const html_report_t *report)
{
    open_card(out, "finishes", "Does it finish by itself after a power loss?");
    switch (report->end) {
    case HTML_EXPLORED:
        write_tried(out, report->explored);
        return;
    case HTML_UNCHANGED:
    case HTML_REFUSED:
    case HTML_STOPPED:
        fputs("nothing to finish", out);
        close_card(out, "nothing was written");
        return;
    default:
        fputs("not tried", out);
        close_card(out, "explore, with the same arguments, tries power losses and tells");
    }
}

static void write_fatal(FILE *out, const html_report_t *report)
{
    open_card(out, "fatal", "How long is a power loss fatal?");
    if (report->window_us == 0) {
        fputs("never", out);
        close_card(out, report->operation_count == 0 ? "nothing was written"
                                                     : "after a power loss at any time the chip boots");
        return;
    }
    html_time(out, report->window_us);
    fprintf(out, "</dd><dd>%.1f %% of ", 100.0 * (double)report->window_us / (double)report->stats->typical_us);
    html_time(out, report->stats->typical_us);
    fputs("</dd><dd>at most ", out);
    html_time(out, report->window_maximum_us);
    fputs("</dd></div>\n", out);
}

static void write_travels(FILE *out, const html_report_t *report)
{
    const sim_counters_t *counters = &report->run->counters;
    char text[NUMBER_TEXT_SIZE];
    char requests[NUMBER_COUNT_SIZE];
    char about[NUMBER_TEXT_SIZE + NUMBER_COUNT_SIZE + 16];
    open_card(out, "travels", "How much travels?");
    if (counters->http_requests == 0) {
        fputs("nothing", out);
        close_card(out, "there was no download");
        return;
    }
    fputs(number_size(counters->bytes_downloaded, text), out);
    snprintf(about, sizeof(about), "%s bytes in %s", number_grouped(counters->bytes_downloaded, text),
             number_count(counters->http_requests, "request", requests));
    close_card(out, about);
}

static void write_time_card(FILE *out, const char *id, const char *name, uint64_t typical_us, uint64_t maximum_us)
{
    open_card(out, id, name);
    html_time(out, typical_us);
    fputs("</dd><dd>at most ", out);
    html_time(out, maximum_us);
    fputs("</dd></div>\n", out);
}

void html_cards(FILE *out, const html_report_t *report)
{
    fputs("<dl class=\"cards\">\n", out);
    write_boots(out, report);
    write_finishes(out, report);
    write_fatal(out, report);
    if (report->explored != NULL) {
        write_time_card(out, "shortest", "Shortest possible window", report->explored->lower_bound_typical_us,
                        report->explored->lower_bound_maximum_us);
    }
    write_travels(out, report);
    write_time_card(out, "time", "Flash time", report->stats->typical_us, report->stats->maximum_us);
    fputs("</dl>\n", out);
}
