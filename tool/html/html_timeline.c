// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include <inttypes.h>

#define HEIGHT     400u
#define SMALLEST   3u /**< Of a mark, so that it is seen. */
#define TICKS      5u
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

static uint32_t scale(uint64_t value, uint64_t from, uint64_t to, uint32_t units)
{
    const uint64_t inside = value < from ? from : value > to ? to : value;
    return to == from ? 0 : (uint32_t)((inside - from) * units / (to - from));
}

static uint64_t end_us(const nor_op_t *op)
{
    return op->start_us + op->typical_us;
}

static bool is_in_view(const view_t *view, const nor_op_t *op)
{
    return end_us(op) > view->from_us && op->start_us < view->to_us && op->address < view->to &&
           (uint64_t)op->address + op->length > view->from;
}

static uint32_t at_least(uint32_t length, uint32_t smallest)
{
    return length < smallest ? smallest : length;
}

static mark_t mark_of(const view_t *view, const nor_op_t *op)
{
    const uint32_t x = scale(op->start_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t y = scale(op->address, view->from, view->to, HEIGHT);
    const uint32_t right = scale(end_us(op), view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t bottom = scale((uint64_t)op->address + op->length, view->from, view->to, HEIGHT);
    return (mark_t){x, y, at_least(right - x, SMALLEST), at_least(bottom - y, SMALLEST)};
}

static bool is_program(const nor_op_t *op)
{
    return op->kind == NOR_OP_PROGRAM;
}

static void draw_operations(FILE *out, const html_report_t *report, const view_t *view, bool programs)
{
    mark_t last = {0};
    fprintf(out, "<path class=\"%s\" d=\"", programs ? "program" : "erase");
    for (uint32_t i = 0; i < report->operation_count; i++) {
        const nor_op_t *op = &report->operations[i].op;
        if (is_program(op) != programs || !is_in_view(view, op)) {
            continue;
        }
        const mark_t mark = mark_of(view, op);
        const bool seen = mark.x == last.x && mark.y == last.y && mark.width == last.width &&
                          mark.height == last.height; // page after page falls on the same spot
        if (!seen) {
            fprintf(out, "M%" PRIu32 " %" PRIu32 "h%" PRIu32 "v%" PRIu32 "h-%" PRIu32 "z", mark.x, mark.y, mark.width,
                    mark.height, mark.width);
        }
        last = mark;
    }
    fputs("\"/>\n", out);
}

static void draw_bands(FILE *out, const contents_t *contents, const view_t *view)
{
    for (size_t i = 0; i < contents->region_count; i++) {
        const map_region_t *region = &contents->regions[i];
        const uint32_t y = scale(region->region.address, view->from, view->to, HEIGHT);
        const uint32_t bottom =
            scale((uint64_t)region->region.address + region->region.size, view->from, view->to, HEIGHT);
        if (bottom > y && region->kind != REGION_FREE) {
            fprintf(out, "<rect class=\"band %s\" y=\"%" PRIu32 "\" width=\"%u\" height=\"%" PRIu32 "\"/>",
                    html_region_class(contents, region), y, HTML_CHART_WIDTH, bottom - y);
        }
    }
    fputc('\n', out);
}

static void draw_window_part(FILE *out, const view_t *view, uint64_t from_us, uint64_t to_us)
{
    const uint32_t x = scale(from_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
    const uint32_t right = scale(to_us, view->from_us, view->to_us, HTML_CHART_WIDTH);
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
        to = end_us(op);
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
                    scale(operation->op.start_us, view->from_us, view->to_us, HTML_CHART_WIDTH), HEIGHT);
        }
    }
}

/** Names of the regions at their height, as far as there is room. */
static void write_labels(FILE *out, const contents_t *contents, const view_t *view)
{
    uint32_t next = 0;
    fputs("<ol>", out);
    for (size_t i = 0; i < contents->region_count; i++) {
        const map_region_t *region = &contents->regions[i];
        const uint64_t end = (uint64_t)region->region.address + region->region.size;
        if (region->kind == REGION_FREE || end <= view->from || region->region.address >= view->to) {
            continue;
        }
        const uint32_t top = scale(region->region.address, view->from, view->to, 1000);
        const uint32_t middle = at_least((top + scale(end, view->from, view->to, 1000)) / 2, LABEL_STEP / 2);
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

static void write_chart(FILE *out, const html_report_t *report, const view_t *view, const char *class, const char *what)
{
    fprintf(out, "<div class=\"chart %s\">", class);
    write_labels(out, report->after, view);
    fprintf(out,
            "<svg viewBox=\"0 0 %u %u\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s, address over "
            "modelled time\">\n",
            HTML_CHART_WIDTH, HEIGHT, what);
    draw_bands(out, report->after, view);
    draw_window(out, report, view);
    draw_operations(out, report, view, false);
    draw_operations(out, report, view, true);
    draw_restarts(out, report, view);
    fputs("</svg>\n<div class=\"times\">", out);
    for (unsigned i = 0; i < TICKS; i++) {
        fputs("<span>", out);
        html_time(out, view->from_us + (view->to_us - view->from_us) * i / (TICKS - 1));
        fputs("</span>", out);
    }
    fputs("</div></div>\n", out);
}

/** What the window covers and a bit around it. @return false if there is none, or if that is most of the run. */
static bool find_window(const html_report_t *report, const view_t *whole, view_t *view)
{
    *view = (view_t){UINT64_MAX, 0, UINT64_MAX, 0};
    for (uint32_t i = 0; i < report->operation_count; i++) {
        const nor_op_t *op = &report->operations[i].op;
        const uint64_t end = (uint64_t)op->address + op->length;
        if (report->operations[i].in_window) {
            view->from_us = op->start_us < view->from_us ? op->start_us : view->from_us;
            view->to_us = end_us(op);
            view->from = op->address < view->from ? op->address : view->from;
            view->to = end > view->to ? end : view->to;
        }
    }
    if (view->to_us <= view->from_us || (view->to_us - view->from_us) * 2 > whole->to_us) {
        return false;
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
    for (uint32_t i = 0; i < report->operation_count; i++) {
        window = window || report->operations[i].in_window;
        restart = restart || (i > 0 && report->operations[i].first_of_boot);
    }
    fputs("<ul class=\"legend\"><li class=\"erase\"><span class=\"swatch\"></span>erase</li>"
          "<li class=\"program\"><span class=\"swatch\"></span>program</li>",
          out);
    fputs(window ? "<li class=\"window\"><span class=\"swatch part\"></span>commit window</li>"
                 : "<li>no commit window: after a power loss at any time the chip boots</li>",
          out);
    fputs(restart ? "<li>\xE2\x94\x82 restart</li></ul>\n" : "</ul>\n", out);
}

void html_timeline(FILE *out, const html_report_t *report)
{
    fputs("<section id=\"timeline\"><h2>Flash operations</h2>\n", out);
    if (report->operation_count == 0) {
        fputs("<p class=\"about\">None.</p></section>\n", out);
        return;
    }
    const nor_op_t *last = &report->operations[report->operation_count - 1].op;
    const view_t whole = {0, end_us(last), 0, report->after->size};
    write_chart(out, report, &whole, "whole", "All flash operations");
    write_legend(out, report);
    view_t window;
    if (find_window(report, &whole, &window)) {
        fputs("<h3>around the commit window</h3>\n", out);
        write_chart(out, report, &window, "zoom", "Flash operations around the commit window");
    }
    fputs("</section>\n", out);
}
