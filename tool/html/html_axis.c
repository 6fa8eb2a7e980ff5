// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include <inttypes.h>

#define MOST_STEPS 6u

uint32_t html_scale(uint64_t value, uint64_t from, uint64_t to, uint32_t units)
{
    const uint64_t inside = value < from ? from : value > to ? to : value;
    return to <= from ? 0 : (uint32_t)((inside - from) * units / (to - from));
}

uint64_t html_end_us(const nor_op_t *op)
{
    return op->start_us + op->typical_us;
}

/** 1, 2 or 5 times a power of ten, so that few of them fill the range. */
static uint64_t step_of(uint64_t range_us)
{
    for (uint64_t power = 1;; power *= 10) {
        for (uint64_t step = power; step <= 5 * power; step = step == power ? 2 * power : step + 3 * power) {
            if (range_us / step <= MOST_STEPS) {
                return step;
            }
        }
    }
}

static uint64_t first_tick(uint64_t from_us, uint64_t step)
{
    return (from_us + step - 1) / step * step;
}

void html_grid(FILE *out, uint64_t from_us, uint64_t to_us, uint32_t height)
{
    const uint64_t step = step_of(to_us - from_us);
    fputs("<path class=\"grid\" d=\"", out);
    for (uint64_t at = first_tick(from_us, step); at <= to_us; at += step) {
        fprintf(out, "M%" PRIu32 " 0h1v%" PRIu32 "h-1z", html_scale(at, from_us, to_us, HTML_CHART_WIDTH), height);
    }
    fputs("\"/>\n", out);
}

void html_ticks(FILE *out, uint64_t from_us, uint64_t to_us)
{
    const uint64_t step = step_of(to_us - from_us);
    const bool seconds = to_us >= 1000000;
    const uint64_t unit = seconds ? 1000000 : 1000;
    int decimals = 0;
    for (uint64_t part = step; part % unit != 0; part *= 10) {
        decimals++;
    }
    fputs("<div class=\"times\">", out);
    for (uint64_t at = first_tick(from_us, step); at <= to_us; at += step) {
        const uint32_t place = html_scale(at, from_us, to_us, 1000);
        fprintf(out, "<span%s style=\"left:%" PRIu32 ".%" PRIu32 "%%\">%.*f %s</span>",
                place > 950 ? " class=\"last\"" : "", place / 10, place % 10, decimals, (double)at / (double)unit,
                seconds ? "s" : "ms");
    }
    fputs("</div>\n", out);
}

/** The same for one start of the app. @param[in,out] first Of its operations; then of those of the next start.
 *  @return how long its window is, or -1 if there is nothing. */
static int64_t next_part(const explore_operation_t *operations, uint32_t count, bool commit, uint32_t *first,
                         html_part_t *part)
{
    int64_t window_us = -1;
    uint32_t i = *first;
    do {
        const explore_operation_t *operation = &operations[i];
        if (commit ? operation->in_commit : operation->in_window) {
            if (window_us < 0) {
                *part = (html_part_t){.first = i, .from_us = operation->op.start_us};
                window_us = 0;
            }
            part->last = i;
            part->to_us = html_end_us(&operation->op);
            window_us += operation->in_window ? operation->op.typical_us : 0;
        }
        i++;
    } while (i < count && !operations[i].first_of_boot);
    *first = i;
    return window_us;
}

bool html_find_part(const explore_operation_t *operations, uint32_t count, bool commit, html_part_t *part)
{
    int64_t longest = -1;
    for (uint32_t i = 0; i < count;) {
        html_part_t found = {0};
        const int64_t window_us = next_part(operations, count, commit, &i, &found);
        if (window_us >= 0 && window_us >= longest) {
            longest = window_us;
            *part = found;
        }
    }
    return longest >= 0;
}
