// SPDX-License-Identifier: Apache-2.0
#include "tool/report/power_loss_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/report/boot_report.h"
#include "tool/report/dump_extent.h"
#include "tool/report/flash_map.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AFTER "after"

static bool parse_cut(const char **text, explore_power_loss_t *loss)
{
    *loss = (explore_power_loss_t){.when = NOR_POWER_LOSS_BEFORE};
    if (!number_parse_prefix(*text, &loss->operation, text)) {
        return false;
    }
    if (**text != ':') {
        return true;
    }
    (*text)++;
    if (strncmp(*text, AFTER, strlen(AFTER)) == 0) {
        *text += strlen(AFTER);
        loss->when = NOR_POWER_LOSS_AFTER;
        return true;
    }
    loss->when = NOR_POWER_LOSS_INSIDE;
    return number_parse_prefix(*text, &loss->seed, text);
}

bool power_loss_parse_parse(const char *text, explore_power_loss_t losses[EXPLORE_MAX_POWER_LOSSES], unsigned *count)
{
    *count = 0;
    do {
        text += *count > 0; // the comma
        if (*count == EXPLORE_MAX_POWER_LOSSES || !parse_cut(&text, &losses[*count])) {
            return false;
        }
        (*count)++;
    } while (*text == ',');
    return *text == '\0';
}

const char *power_loss_report(const explore_power_loss_t *losses, unsigned count, char out[POWER_LOSS_TEXT_SIZE])
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < count && used < POWER_LOSS_TEXT_SIZE; i++) {
        const explore_power_loss_t *loss = &losses[i];
        used +=
            (size_t)snprintf(out + used, POWER_LOSS_TEXT_SIZE - used, "%s%" PRIu32, i == 0 ? "" : ",", loss->operation);
        if (loss->when == NOR_POWER_LOSS_AFTER && used < POWER_LOSS_TEXT_SIZE) {
            used += (size_t)snprintf(out + used, POWER_LOSS_TEXT_SIZE - used, ":" AFTER);
        } else if (loss->when == NOR_POWER_LOSS_INSIDE && used < POWER_LOSS_TEXT_SIZE) {
            used += (size_t)snprintf(out + used, POWER_LOSS_TEXT_SIZE - used, ":%" PRIu32, loss->seed);
        }
    }
    return out;
}

void power_loss_report_print(const power_loss_report_t *report)
{
    char text[POWER_LOSS_TEXT_SIZE];
    terminal_heading("Flash map");
    flash_map_print_change(report->before, report->after);
    terminal_heading("Migration");
    terminal_key("power loss");
    printf("%s\n\n", power_loss_report(report->losses, report->cut_count, text));
    boot_report_print(&report->after->boot, report->after->boot_app_name);
}

cJSON *power_loss_report_json(const power_loss_report_t *report)
{
    char text[POWER_LOSS_TEXT_SIZE];
    const contents_t *before = report->before;
    const contents_t *after = report->after;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "cut", power_loss_report(report->losses, report->cut_count, text));
    cJSON_AddItemToObject(json, "boot_before", dump_boot_json(before));
    cJSON_AddItemToObject(json, "boot", dump_boot_json(after));
    return json;
}
