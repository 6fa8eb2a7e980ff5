// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/report/boot_report.h"

#include <inttypes.h>

#define HEIGHT     400u
#define LANE_WIDTH 12u
#define SMALLEST   3u  /**< Of a mark, so that it is seen. */
#define LABEL_STEP 60u /**< In thousandths of the height: room of a line of text. */

/** What a chart shows. */
typedef struct view {
    uint64_t from_us, to_us;
    uint64_t from, to; /**< Addresses. */
} view_t;

/** A mark in units of the drawing. */
typedef struct mark {
    uint32_t x, y, width, height;
} mark_t;

static bool is_in_view(const view_t *view, const nor_op_t *op)
{
    return html_end_us(op) > view->from_us && op->start_us < view->to_us && op->address < view->to &&
           (uint64_t)op->address + op->length > view->from;
}

static uint32_t at_least(uint32_t length, uint32_t smallest)
{
    return length < smallest ? smallest : length;
}

static mark_t mark_of(const view_t *view, const nor_op_t *op)
{
    const uint32_t x = html_scale(op->start_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t y = html_scale(op->address, view->from, view->to, HEIGHT);
    const uint32_t right = html_scale(html_end_us(op), view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t bottom = html_scale((uint64_t)op->address + op->length, view->from, view->to, HEIGHT);
    return (mark_t){x, y, at_least(right - x, SMALLEST), at_least(bottom - y, SMALLEST)};
}

static bool is_program(const nor_op_t *op)
{
    return op->kind == NOR_OP_PROGRAM;
}

static void draw_operations(FILE *out, const html_report_t *report, const view_t *view, bool programs)
{
    mark_t last = {0};
    bool any = false;
    for (uint32_t i = 0; i < report->operation_count; i++) {
        const nor_op_t *op = &report->operations[i].op;
        if (is_program(op) != programs || !is_in_view(view, op)) {
            continue;
        }
        const mark_t mark = mark_of(view, op);
        const bool seen = mark.x == last.x && mark.y == last.y && mark.width == last.width &&
                          mark.height == last.height; // page after page falls on the same spot
        if (!any) {
            fprintf(out, "<path class=\"%s\" d=\"", programs ? "program" : "erase");
            any = true;
        }
        if (!seen) {
            fprintf(out, "M%" PRIu32 " %" PRIu32 "h%" PRIu32 "v%" PRIu32 "h-%" PRIu32 "z", mark.x, mark.y, mark.width,
                    mark.height, mark.width);
        }
        last = mark;
    }
    fputs(any ? "\"/>\n" : "", out);
}

/** A layout as a lane: its regions at their height, and the app that boots with a frame around it. */
static void draw_lane(FILE *out, const contents_t *contents, const view_t *view, const char *what)
{
    const bool boots = boot_succeeds(&contents->boot);
    fprintf(out,
            "<svg class=\"lane\" viewBox=\"0 0 %u %u\" preserveAspectRatio=\"none\" role=\"img\" "
            "aria-label=\"Layout %s\">",
            LANE_WIDTH, HEIGHT, what);
    for (size_t i = 0; i < contents->region_count; i++) {
        const sr_region_t place = contents->regions[i].region;
        const uint32_t y = html_scale(place.address, view->from, view->to, HEIGHT);
        const uint32_t bottom = html_scale((uint64_t)place.address + place.size, view->from, view->to, HEIGHT);
        if (bottom <= y || contents->regions[i].kind == REGION_FREE) {
            continue;
        }
        fprintf(out, "<rect class=\"%s\" y=\"%" PRIu32 "\" width=\"%u\" height=\"%" PRIu32 "\"/>",
                html_region_class(contents, &contents->regions[i]), y, LANE_WIDTH, bottom - y);
        const uint32_t inside = contents->boot.app_offset - place.address;
        if (boots && contents->boot.app_offset >= place.address && inside < place.size) {
            fprintf(out, "<rect class=\"boots\" y=\"%" PRIu32 "\" width=\"%u\" height=\"%" PRIu32 "\"/>", y, LANE_WIDTH,
                    bottom - y);
        }
    }
    fputs("</svg>\n", out);
}

static void draw_window_part(FILE *out, const view_t *view, uint64_t from_us, uint64_t to_us)
{
    const uint32_t x = html_scale(from_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t right = html_scale(to_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
    fprintf(out, "<rect x=\"%" PRIu32 "\" width=\"%" PRIu32 "\" height=\"%u\"/>", x, at_least(right - x, 3), HEIGHT);
}

/** Operations without a visible gap in between are one part. */
static void draw_window(FILE *out, const html_report_t *report, const view_t *view)
{
    const uint64_t gap = (view->to_us - view->from_us) * 3 / HTML_CHART_WIDTH;
    uint64_t from = 0;
    uint64_t to = 0;
    bool any = false;
    fputs("<g class=\"window\"><title>commit window: a power loss here leaves a chip that does not boot</title>", out);
    for (uint32_t i = 0; i < report->operation_count; i++) {
        const nor_op_t *op = &report->operations[i].op;
        if (!report->operations[i].in_window) {
            continue;
        }
        if (any && op->start_us > to + gap) {
            draw_window_part(out, view, from, to);
            any = false;
        }
        from = any ? from : op->start_us;
        to = html_end_us(op);
        any = true;
    }
    if (any) {
        draw_window_part(out, view, from, to);
    }
    fputs("</g>\n", out);
}

static void draw_restarts(FILE *out, const html_report_t *report, const view_t *view)
{
    for (uint32_t i = 1; i < report->operation_count; i++) {
        const explore_operation_t *operation = &report->operations[i];
        if (operation->first_of_boot && is_in_view(view, &operation->op)) {
            fprintf(out,
                    "<rect class=\"restart\" x=\"%" PRIu32 "\" width=\"2\" height=\"%u\"><title>restart</title></rect>",
                    html_scale(operation->op.start_us, view->from_us, view->to_us, HTML_CHART_WIDTH), HEIGHT);
        }
    }
}

/** Names of the regions at their height, as far as there is room. */
static void write_labels(FILE *out, const contents_t *contents, const view_t *view, const char *class)
{
    uint32_t next = 0;
    fprintf(out, "<ol class=\"%s\">", class);
    for (size_t i = 0; i < contents->region_count; i++) {
        const map_region_t *region = &contents->regions[i];
        const uint64_t end = (uint64_t)region->region.address + region->region.size;
        if (region->kind == REGION_FREE || end <= view->from || region->region.address >= view->to) {
            continue;
        }
        const uint32_t top = html_scale(region->region.address, view->from, view->to, 1000);
        const uint32_t middle = at_least((top + html_scale(end, view->from, view->to, 1000)) / 2, LABEL_STEP / 2);
        if (middle < next) {
            continue;
        }
        fprintf(out, "<li style=\"top:%" PRIu32 ".%" PRIu32 "%%\"><b>0x%06" PRIx32 "</b> <bdi>", middle / 10,
                middle % 10, region->region.address);
        html_text(out, region->label);
        fputs("</bdi></li>", out);
        next = middle + LABEL_STEP;
    }
    fputs("</ol>\n", out);
}

/** The old layout, all operations, and the new layout, side by side. */
static void write_chart(FILE *out, const html_report_t *report, const view_t *view, const char *class, const char *what)
{
    fprintf(out,
            "<div class=\"chart lanes %s\"><span class=\"old\">before</span><span class=\"time\">time</span>"
            "<span class=\"new\">after</span>\n",
            class);
    write_labels(out, report->before, view, "old");
    draw_lane(out, report->before, view, "before");
    fprintf(
        out,
        "<svg class=\"plot\" viewBox=\"0 0 %u %u\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s, address "
        "over modelled time\">\n",
        HTML_CHART_WIDTH, HEIGHT, what);
    html_grid(out, view->from_us, view->to_us, HEIGHT);
    draw_window(out, report, view);
    draw_operations(out, report, view, false);
    draw_operations(out, report, view, true);
    draw_restarts(out, report, view);
    fputs("</svg>\n", out);
    draw_lane(out, report->after, view, "after");
    write_labels(out, report->after, view, "new");
    html_ticks(out, view->from_us, view->to_us);
    fputs("</div>\n", out);
}

/** What the window covers and a bit around it. @return false if there is none, or if that is most of the run. */
static bool find_window(const html_report_t *report, const view_t *whole, view_t *view)
{
    html_part_t part;
    if (!html_find_part(report->operations, report->operation_count, false, &part) ||
        (part.to_us - part.from_us) * 2 > whole->to_us) {
        return false;
    }
    *view = (view_t){part.from_us, part.to_us, UINT64_MAX, 0};
    for (uint32_t i = part.first; i <= part.last; i++) {
        const nor_op_t *op = &report->operations[i].op;
        const uint64_t end = (uint64_t)op->address + op->length;
        if (report->operations[i].in_window) {
            view->from = op->address < view->from ? op->address : view->from;
            view->to = end > view->to ? end : view->to;
        }
    }
    const uint64_t time = (view->to_us - view->from_us) / 10;
    const uint64_t room = (view->to - view->from) / 10;
    view->from_us = view->from_us > time ? view->from_us - time : 0;
    view->to_us = view->to_us + time < whole->to_us ? view->to_us + time : whole->to_us;
    view->from = view->from > room ? view->from - room : 0;
    view->to = view->to + room < whole->to ? view->to + room : whole->to;
    return true;
}

static void write_legend(FILE *out, const html_report_t *report)
{
    bool window = false;
    bool restart = false;
    bool erase = false;
    bool program = false;
    for (uint32_t i = 0; i < report->operation_count; i++) {
        window = window || report->operations[i].in_window;
        restart = restart || (i > 0 && report->operations[i].first_of_boot);
        program = program || is_program(&report->operations[i].op);
        erase = erase || !is_program(&report->operations[i].op);
    }
    fputs("<ul class=\"legend\">", out);
    if (erase) {
        html_legend(out, "erase", "erase");
    }
    if (program) {
        html_legend(out, "program", "program");
    }
    if (window) {
        html_legend(out, "window", "commit window: a power loss is fatal");
    } else {
        fputs("<li>no commit window: after a power loss at any time the chip boots</li>", out);
    }
    if (restart) {
        html_legend(out, "restart", "restart");
    }
    html_region_legend(out, report->before, report->after);
    if (boot_succeeds(&report->before->boot) || boot_succeeds(&report->after->boot)) {
        html_legend(out, "boots", "framed: the app that boots");
    }
    fputs("</ul>\n", out);
}

void html_timeline(FILE *out, const html_report_t *report)
{
    fputs("<section id=\"timeline\"><h2>Flash operations</h2>\n", out);
    if (report->operation_count == 0) {
        fputs("<p class=\"about\">None: nothing was erased, nothing programmed.</p></section>\n", out);
        return;
    }
    const nor_op_t *last = &report->operations[report->operation_count - 1].op;
    const view_t whole = {0, html_end_us(last), 0, report->after->size};
    write_chart(out, report, &whole, "whole", "All flash operations");
    write_legend(out, report);
    view_t window;
    if (find_window(report, &whole, &window)) {
        fputs("<h3>The commit window, enlarged</h3>\n", out);
        write_chart(out, report, &window, "zoom", "Flash operations around the commit window");
    }
    fputs("</section>\n", out);
}
