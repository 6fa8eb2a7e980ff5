// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/base/number.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_TIME, UNIT_ADDRESS } unit_t;

typedef struct figure {
    const char *name; /**< In JSON; "a.b": b in the object a. */
    const char *text;
    unit_t unit;
} figure_t;

/** Ends with a figure without a name. */
typedef struct group {
    const char *caption;
    figure_t figures[20];
} group_t;

static const group_t groups[] = {
    {"commit window",
     {{"window_ms", "typical", UNIT_TIME},
      {"window_ms_maximum", "maximum", UNIT_TIME},
      {"window_operations", "operations", UNIT_COUNT},
      {"window_ms.typical", "typical", UNIT_TIME},
      {"window_ms.maximum", "maximum", UNIT_TIME},
      {"window_lower_bound_ms.typical", "shortest possible, typical", UNIT_TIME},
      {"window_lower_bound_ms.maximum", "shortest possible, maximum", UNIT_TIME}}},
    {"flash",
     {{"flash_ms", "time, typical", UNIT_TIME},
      {"flash_ms_maximum", "time, maximum", UNIT_TIME},
      {"sector_erases", "erases of 4 KiB", UNIT_COUNT},
      {"block_erases", "erases of 64 KiB", UNIT_COUNT},
      {"erases", "erases in all", UNIT_COUNT},
      {"programs", "pages programmed", UNIT_COUNT},
      {"sectors_written", "sectors programmed", UNIT_COUNT},
      {"bytes_programmed", "programmed", UNIT_BYTES}}},
    {"network and memory",
     {{"bytes_downloaded", "downloaded", UNIT_BYTES},
      {"http_requests", "requests", UNIT_COUNT},
      {"retries", "connections made again", UNIT_COUNT},
      {"peak_heap", "peak heap", UNIT_BYTES}}},
    {"plan",
     {{"plan.sectors_total", "sectors", UNIT_COUNT},
      {"plan.sectors_right", "right already", UNIT_COUNT},
      {"plan.sectors_to_write", "to write", UNIT_COUNT},
      {"plan.sectors_boot_path", "on the boot path", UNIT_COUNT},
      {"plan.sectors_moved", "from elsewhere in the flash", UNIT_COUNT},
      {"plan.sectors_given_up", "given up of the old system", UNIT_COUNT},
      {"plan.bytes_to_download", "to download", UNIT_BYTES},
      {"plan.flash_ms_typical", "flash time, typical", UNIT_TIME},
      {"plan.flash_ms_maximum", "flash time, maximum", UNIT_TIME},
      {"plan.window_ms_typical", "window, typical", UNIT_TIME},
      {"plan.window_ms_maximum", "window, maximum", UNIT_TIME},
      {"plan.relocate_to", "the app moves to", UNIT_ADDRESS},
      {"plan.relocation_ms_typical", "window for the app's move, typical", UNIT_TIME},
      {"plan.relocation_ms_maximum", "window for the app's move, maximum", UNIT_TIME},
      {"plan.sectors_left", "left under the app", UNIT_COUNT},
      {"plan.bytes_missing", "free flash that is missing", UNIT_BYTES},
      {"plan.sequence", "sequence number of the bundle", UNIT_COUNT},
      {"plan.staging_address", "staging", UNIT_ADDRESS},
      {"plan.app_address", "the app that starts in the end", UNIT_ADDRESS}}},
    {"power losses",
     {{"operations", "operations", UNIT_COUNT},
      {"operations_tried", "of which with a power loss", UNIT_COUNT},
      {"states", "states tried", UNIT_COUNT},
      {"nested_power_losses", "further ones after a restart", UNIT_COUNT}}},
    {"outcomes",
     {{"outcomes.old_finishes", "old system boots and finishes", UNIT_COUNT},
      {"outcomes.new_complete", "new system boots, complete", UNIT_COUNT},
      {"outcomes.new_left_to_new", "new system boots, and finishes what is left", UNIT_COUNT},
      {"outcomes.new_left_to_nobody", "new system boots, something is left", UNIT_COUNT},
      {"outcomes.does_not_boot", "does not boot", UNIT_COUNT},
      {"outcomes.old_stuck", "old system boots and is stuck", UNIT_COUNT},
      {"outcomes.went_back", "app before boots again, nothing changed", UNIT_COUNT}}},
};

static const cJSON *find_number(const cJSON *figures, const char *name)
{
    char key[64];
    const cJSON *object = figures;
    const char *dot = strchr(name, '.');
    if (dot != NULL) {
        snprintf(key, sizeof(key), "%.*s", (int)(dot - name), name);
        object = cJSON_GetObjectItemCaseSensitive(figures, key);
        name = dot + 1;
    }
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item : NULL;
}

static void write_value(FILE *out, double value, unit_t unit)
{
    char text[NUMBER_TEXT_SIZE];
    const uint64_t whole = (uint64_t)value;
    switch (unit) {
    case UNIT_TIME:
        html_time(out, (uint64_t)llround(value * 1e3));
        return;
    case UNIT_ADDRESS:
        fprintf(out, "0x%06" PRIx64, whole);
        return;
    case UNIT_BYTES:
        fputs(number_size(whole, text), out);
        return;
    default:
        fputs(number_grouped(whole, text), out);
    }
}

static void write_figure(FILE *out, const figure_t *figure, const cJSON *number)
{
    // as in the JSON, to the last digit
    char *exact = cJSON_PrintUnformatted(number);
    fprintf(out, "<tr><th scope=\"row\">%s</th><td class=\"number\"><data id=\"%s\" value=\"%s\">", figure->text,
            figure->name, exact != NULL ? exact : "");
    write_value(out, number->valuedouble, figure->unit);
    fputs("</data></td></tr>\n", out);
    cJSON_free(exact);
}

static void write_group(FILE *out, const group_t *group, const cJSON *figures)
{
    bool any = false;
    for (const figure_t *figure = group->figures; figure->name != NULL; figure++) {
        const cJSON *number = find_number(figures, figure->name);
        if (number == NULL) {
            continue;
        }
        if (!any) {
            fprintf(out, "<table><caption>%s</caption>\n", group->caption);
            any = true;
        }
        write_figure(out, figure, number);
    }
    fputs(any ? "</table>\n" : "", out);
}

void html_figures(FILE *out, const cJSON *figures)
{
    fputs("<section id=\"figures\"><h2>Figures</h2>\n<div class=\"figures\">\n", out);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        write_group(out, &groups[i], figures);
    }
    fputs("</div></section>\n", out);
}
