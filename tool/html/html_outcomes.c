// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/base/number.h"
#include "tool/report/explore_report.h"

#include <inttypes.h>
#include <stdlib.h>

#define ROW_HEIGHT     14u
#define MOST_ROWS      16u
#define SMALLEST       2u /**< Cells of a power loss, so that it is seen. */
#define FAILURES_SHOWN 100u

/** What a cell shows; a higher value is a worse outcome. Where several fall on one cell, it shows the worst. */
enum { NOT_TRIED, OUTCOME, FAILED = OUTCOME + EXPLORE_OUTCOMES, COMMIT };

/** A part of the time, as cells: power losses before and inside an operation, or after the last one, and the commit
 * below. */
typedef struct strip {
    const explore_result_t *explored;
    uint64_t from_us, to_us;
    unsigned rows; /**< Before, inside; without the commit. */
} strip_t;

static unsigned row_of(const explore_power_loss_t *loss)
{
    return loss->when == NOR_POWER_LOSS_INSIDE ? 1 + loss->seed % (MOST_ROWS - 1) : 0;
}

static strip_t whole_strip(const explore_result_t *explored)
{
    strip_t strip = {.explored = explored};
    for (uint32_t i = 0; i < explored->state_count; i++) {
        const unsigned rows = row_of(&explored->states[i].loss) + 1;
        strip.rows = rows > strip.rows ? rows : strip.rows;
    }
    strip.to_us = html_end_us(&explored->operations[explored->operation_count - 1].op);
    return strip;
}

static const char *cell_class(unsigned cell)
{
    if (cell == NOT_TRIED) {
        return "not_tried";
    }
    if (cell == COMMIT) {
        return "commit";
    }
    return cell == FAILED ? "failed" : explore_outcome_name((explore_outcome_t)(cell - OUTCOME));
}

static void worsen(uint8_t *cell, unsigned value)
{
    *cell = value > *cell ? (uint8_t)value : *cell;
}

/** Cells for a time; the last ones for what is at the very end. */
static void fill(const strip_t *strip, uint64_t from_us, uint64_t to_us, uint8_t *row, unsigned value)
{
    if (to_us < strip->from_us || from_us > strip->to_us) {
        return;
    }
    uint32_t from = html_scale(from_us, strip->from_us, strip->to_us, HTML_CHART_WIDTH);
    uint32_t to = html_scale(to_us, strip->from_us, strip->to_us, HTML_CHART_WIDTH);
    from = from > HTML_CHART_WIDTH - SMALLEST ? HTML_CHART_WIDTH - SMALLEST : from;
    to = to < from + SMALLEST ? from + SMALLEST : to;
    for (uint32_t x = from; x < to; x++) {
        worsen(&row[x], value);
    }
}

static void fill_cells(const strip_t *strip, uint8_t *cells)
{
    const explore_result_t *explored = strip->explored;
    for (uint32_t i = 0; i < explored->state_count; i++) {
        const explore_state_t *state = &explored->states[i];
        const nor_op_t *op = &explored->operations[state->loss.operation].op;
        const bool after = state->loss.when == NOR_POWER_LOSS_AFTER;
        fill(strip, after ? html_end_us(op) : op->start_us, html_end_us(op),
             cells + (size_t)row_of(&state->loss) * HTML_CHART_WIDTH,
             state->failed ? FAILED : OUTCOME + state->outcome);
    }
    for (uint32_t i = 0; i < explored->operation_count; i++) {
        const nor_op_t *op = &explored->operations[i].op;
        if (explored->operations[i].in_commit) {
            fill(strip, op->start_us, html_end_us(op), cells + (size_t)strip->rows * HTML_CHART_WIDTH, COMMIT);
        }
    }
}

static void draw_row(FILE *out, const uint8_t *cells, uint32_t width, unsigned row)
{
    uint32_t start = 0;
    for (uint32_t x = 1; x <= width; x++) {
        if (x == width || cells[x] != cells[start]) {
            fprintf(out, "<rect class=\"%s\" x=\"%" PRIu32 "\" y=\"%u\" width=\"%" PRIu32 "\" height=\"%s\"/>",
                    cell_class(cells[start]), start, row, x - start, cells[start] == COMMIT ? ".4" : ".9");
            start = x;
        }
    }
    fputc('\n', out);
}

static void write_frame(FILE *out, const strip_t *strip, const char *class)
{
    fprintf(out, "<div class=\"chart strip %s\"><ol class=\"rows\"><li>before</li>", class);
    for (unsigned row = 1; row < strip->rows; row++) {
        fprintf(out, "<li>inside %u</li>", row);
    }
    fputs("<li>commit</li></ol>\n", out);
}

static void draw_strip(FILE *out, const strip_t *strip, const char *class)
{
    uint8_t *cells = calloc((size_t)HTML_CHART_WIDTH * (strip->rows + 1u), 1);
    if (cells == NULL) {
        return;
    }
    fill_cells(strip, cells);
    write_frame(out, strip, class);
    fprintf(out,
            "<svg viewBox=\"0 0 %u %u\" preserveAspectRatio=\"none\" shape-rendering=\"crispEdges\" "
            "style=\"height:%upx\" role=\"img\" aria-label=\"Outcome of each power loss, by modelled time\">\n",
            HTML_CHART_WIDTH, strip->rows + 1, (strip->rows + 1) * ROW_HEIGHT);
    for (unsigned row = 0; row <= strip->rows; row++) {
        draw_row(out, cells + (size_t)row * HTML_CHART_WIDTH, HTML_CHART_WIDTH, row);
    }
    fputs("</svg>\n", out);
    html_ticks(out, strip->from_us, strip->to_us);
    fputs("</div>\n", out);
    free(cells);
}

/** The commit and a bit around it. @return false if there is none, or if it is most of the run. */
static bool find_commit(const strip_t *whole, strip_t *part)
{
    const explore_result_t *explored = whole->explored;
    html_part_t commit;
    if (!html_find_part(explored->operations, explored->operation_count, true, &commit) ||
        (commit.to_us - commit.from_us) * 2 > whole->to_us) {
        return false;
    }
    *part = *whole;
    part->from_us = commit.from_us;
    part->to_us = commit.to_us;
    const uint64_t around = (part->to_us - part->from_us) / 10;
    part->from_us = part->from_us > around ? part->from_us - around : 0;
    part->to_us = part->to_us + around < whole->to_us ? part->to_us + around : whole->to_us;
    return true;
}

static void write_share(FILE *out, const char *class, const char *text, uint64_t part_us, uint64_t all_us)
{
    fprintf(out, "<li class=\"%s\"><span class=\"swatch\"></span>%s: ", class, text);
    html_time(out, part_us);
    fprintf(out, ", %.1f %%</li>\n", 100.0 * (double)part_us / (double)all_us);
}

/** How much of the time a power loss is fatal: to scale, as the count of states is not. */
static void draw_share(FILE *out, const explore_result_t *explored)
{
    const uint64_t all = explored->stats.typical_us;
    const uint64_t fatal = explored->window_typical_us;
    const double width = HTML_CHART_WIDTH * (double)fatal / (double)all;
    fprintf(out,
            "<h3>Share of the time</h3>\n<svg class=\"share\" viewBox=\"0 0 %u 10\" preserveAspectRatio=\"none\" "
            "role=\"img\" aria-label=\"Share of the time in which a power loss is fatal\"><rect class=\"bootable\" "
            "width=\"%.2f\" height=\"10\"/><rect class=\"does_not_boot\" x=\"%.2f\" width=\"%.2f\" height=\"10\"/>"
            "</svg>\n<ul class=\"legend\">",
            HTML_CHART_WIDTH, HTML_CHART_WIDTH - width, HTML_CHART_WIDTH - width, width);
    write_share(out, "bootable", "a power loss leaves a chip that boots", all - fatal, all);
    write_share(out, "does_not_boot", "a power loss is fatal", fatal, all);
    fputs("</ul>\n", out);
}

static void write_count(FILE *out, const char *class, const char *text, uint32_t count, uint32_t all)
{
    char number[NUMBER_TEXT_SIZE];
    fprintf(out,
            "<tr class=\"%s\"><td><span class=\"swatch\"></span>%s</td><td class=\"number\">%s</td>"
            "<td class=\"number\">%.1f %%</td></tr>\n",
            class, text, number_grouped(count, number), 100.0 * count / all);
}

/** The legend of the strip, and how many states there are of each. */
static void list_outcomes(FILE *out, const explore_result_t *explored)
{
    fputs("<table class=\"outcomes legend-table\"><thead><tr><th>outcome</th><th class=\"number\">states</th>"
          "<th class=\"number\">of the states</th></tr></thead><tbody>\n",
          out);
    for (unsigned i = 0; i < EXPLORE_OUTCOMES; i++) {
        const explore_outcome_t outcome = (explore_outcome_t)i;
        if (explored->outcomes[i] > 0) {
            write_count(out, explore_outcome_name(outcome), explore_outcome_text(outcome), explored->outcomes[i],
                        explored->state_count);
        }
    }
    if (explored->failures > 0) {
        write_count(out, "failed", "of these a failure", explored->failures, explored->state_count);
    }
    fputs("</tbody></table>\n<ul class=\"legend\">", out);
    html_legend(out, "commit", "commit: may fail to boot");
    html_legend(out, "not_tried", "not tried, or nothing is written then");
    fputs("</ul>\n<p class=\"about\">Where the boot path is written each operation is tried, elsewhere a sample: so "
          "states "
          "are no measure of time.</p>\n",
          out);
}

static void list_failures(FILE *out, const explore_result_t *explored)
{
    uint32_t shown = 0;
    char text[POWER_LOSS_TEXT_SIZE];
    fputs("<table class=\"failures\"><thead><tr><th>--cut</th><th>failure</th></tr></thead><tbody>\n", out);
    for (uint32_t i = 0; i < explored->state_count && shown < FAILURES_SHOWN; i++) {
        const explore_state_t *state = &explored->states[i];
        if (state->failed) {
            fprintf(out, "<tr><td class=\"mono\">%s</td><td>", explore_state_text(state, text));
            html_text(out, state->reason);
            fputs("</td></tr>\n", out);
            shown++;
        }
    }
    if (explored->failures > shown) {
        fprintf(out, "<tr><td></td><td>and %" PRIu32 " more</td></tr>\n", explored->failures - shown);
    }
    fputs("</tbody></table>\n", out);
}

void html_outcomes(FILE *out, const explore_result_t *explored)
{
    fputs("<section id=\"outcomes\"><h2>Power losses</h2>\n", out);
    if (explored->state_count > 0 && explored->operation_count > 0) {
        const strip_t strip = whole_strip(explored);
        strip_t commit;
        draw_share(out, explored);
        fputs("<h3>Outcome of each power loss, by time</h3>\n", out);
        draw_strip(out, &strip, "all");
        if (find_commit(&strip, &commit)) {
            fputs("<h3>The commit, enlarged</h3>\n", out);
            draw_strip(out, &commit, "part");
        }
        list_outcomes(out, explored);
    } else {
        fputs("<p class=\"about\">None: there is no flash operation.</p>\n", out);
    }
    if (explored->failures > 0) {
        list_failures(out, explored);
    }
    fputs("</section>\n", out);
}
