// SPDX-License-Identifier: Apache-2.0
#include "cut_text.h"

#include "boot_report.h"
#include "dump_extent.h"
#include "flash_map.h"
#include "number.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AFTER "after"

static bool parse_cut(const char **text, explore_cut_t *cut)
{
    *cut = (explore_cut_t){.when = NOR_CUT_BEFORE};
    if (!number_parse_prefix(*text, &cut->operation, text)) {
        return false;
    }
    if (**text != ':') {
        return true;
    }
    (*text)++;
    if (strncmp(*text, AFTER, strlen(AFTER)) == 0) {
        *text += strlen(AFTER);
        cut->when = NOR_CUT_AFTER;
        return true;
    }
    cut->when = NOR_CUT_INSIDE;
    return number_parse_prefix(*text, &cut->seed, text);
}

bool cut_text_parse(const char *text, explore_cut_t cuts[EXPLORE_MAX_CUTS], unsigned *count)
{
    *count = 0;
    do {
        text += *count > 0; // the comma
        if (*count == EXPLORE_MAX_CUTS || !parse_cut(&text, &cuts[*count])) {
            return false;
        }
        (*count)++;
    } while (*text == ',');
    return *text == '\0';
}

const char *cut_text(const explore_cut_t *cuts, unsigned count, char out[CUT_TEXT_SIZE])
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < count && used < CUT_TEXT_SIZE; i++) {
        const explore_cut_t *cut = &cuts[i];
        used += (size_t)snprintf(out + used, CUT_TEXT_SIZE - used, "%s%" PRIu32, i == 0 ? "" : ",", cut->operation);
        if (cut->when == NOR_CUT_AFTER && used < CUT_TEXT_SIZE) {
            used += (size_t)snprintf(out + used, CUT_TEXT_SIZE - used, ":" AFTER);
        } else if (cut->when == NOR_CUT_INSIDE && used < CUT_TEXT_SIZE) {
            used += (size_t)snprintf(out + used, CUT_TEXT_SIZE - used, ":%" PRIu32, cut->seed);
        }
    }
    return out;
}

void cut_report_print(const cut_report_t *report)
{
    char text[CUT_TEXT_SIZE];
    terminal_heading("Flash map");
    flash_map_print_change(report->before, report->after);
    terminal_heading("Migration");
    terminal_key("power cut");
    printf("%s\n\n", cut_text(report->cuts, report->cut_count, text));
    boot_report_print(&report->after->boot, report->after->boot_app_name);
}

cJSON *cut_report_json(const cut_report_t *report)
{
    char text[CUT_TEXT_SIZE];
    const contents_t *before = report->before;
    const contents_t *after = report->after;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "cut", cut_text(report->cuts, report->cut_count, text));
    cJSON_AddItemToObject(json, "boot_before", dump_boot_json(before));
    cJSON_AddItemToObject(json, "boot", dump_boot_json(after));
    return json;
}
