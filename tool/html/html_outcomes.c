// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/base/number.h"
#include "tool/report/explore_report.h"

#include <inttypes.h>
#include <stdlib.h>

#define ROW_HEIGHT     14u
#define MOST_ROWS      16u
#define TICKS          5u
#define FAILURES_SHOWN 100u

/** What a cell shows; a higher value is a worse outcome. Where several cuts fall on one cell, it shows the worst. */
enum { NOT_TRIED, OUTCOME, FAILED = OUTCOME + EXPLORE_OUTCOMES, COMMIT };

/** Columns of cuts: those before and inside an operation, or the one after it. */
typedef struct strip {
    const explore_result_t *explored;
    uint32_t *columns; /**< Of each state. Owned. */
    uint32_t count;    /**< Of columns. */
    unsigned rows;     /**< Before, inside; and the commit below them. */
} strip_t;

static unsigned row_of(const explore_power_loss_t *loss)
{
    return loss->when == NOR_POWER_LOSS_INSIDE ? 1 + loss->seed % (MOST_ROWS - 1) : 0;
}

static bool strip_open(strip_t *strip, const explore_result_t *explored)
{
    *strip = (strip_t){.explored = explored, .columns = malloc((explored->state_count + 1u) * sizeof(uint32_t))};
    for (uint32_t i = 0; i < explored->state_count && strip->columns != NULL; i++) {
        const explore_power_loss_t *loss = &explored->states[i].loss;
        const explore_power_loss_t *last = i > 0 ? &explored->states[i - 1].loss : NULL;
        if (last == NULL || loss->operation != last->operation ||
            (loss->when == NOR_POWER_LOSS_AFTER) != (last->when == NOR_POWER_LOSS_AFTER)) {
            strip->count++;
        }
        strip->columns[i] = strip->count - 1;
        strip->rows = row_of(loss) + 1 > strip->rows ? row_of(loss) + 1 : strip->rows;
    }
    return strip->columns != NULL;
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

/** Fills the cells of columns [from, to), drawn in @p width of them. */
static void fill_cells(const strip_t *strip, uint32_t from, uint32_t to, uint32_t width, uint8_t *cells)
{
    for (uint32_t i = 0; i < strip->explored->state_count; i++) {
        const explore_state_t *state = &strip->explored->states[i];
        const uint32_t column = strip->columns[i];
        if (column >= from && column < to) {
            const uint32_t x = (uint32_t)((uint64_t)(column - from) * width / (to - from));
            worsen(&cells[row_of(&state->loss) * width + x], state->failed ? FAILED : OUTCOME + state->outcome);
            worsen(&cells[strip->rows * width + x], state->in_commit ? COMMIT : NOT_TRIED);
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

static uint32_t operation_of(const strip_t *strip, uint32_t column)
{
    uint32_t operation = 0;
    for (uint32_t i = 0; i < strip->explored->state_count && strip->columns[i] <= column; i++) {
        operation = strip->explored->states[i].loss.operation;
    }
    return operation;
}

static void write_frame(FILE *out, const strip_t *strip)
{
    fputs("<div class=\"chart strip\"><ol class=\"rows\"><li>before</li>", out);
    for (unsigned row = 1; row < strip->rows; row++) {
        fprintf(out, "<li>inside %u</li>", row);
    }
    fputs("<li>commit</li></ol>\n", out);
}

static void write_ticks(FILE *out, const strip_t *strip, uint32_t from, uint32_t to)
{
    fputs("<div class=\"times\">", out);
    for (uint32_t i = 0; i < TICKS; i++) {
        fprintf(out, "<span>%" PRIu32 "</span>",
                operation_of(strip, from + (uint32_t)((uint64_t)(to - from - 1) * i / (TICKS - 1))));
    }
    fputs("</div></div>\n", out);
}

static void draw_strip(FILE *out, const strip_t *strip, uint32_t from, uint32_t to)
{
    const uint32_t width = to - from < HTML_CHART_WIDTH ? to - from : HTML_CHART_WIDTH;
    uint8_t *cells = calloc((size_t)width * (strip->rows + 1u), 1);
    if (cells == NULL) {
        return;
    }
    fill_cells(strip, from, to, width, cells);
    write_frame(out, strip);
    fprintf(out,
            "<svg viewBox=\"0 0 %" PRIu32 " %u\" preserveAspectRatio=\"none\" shape-rendering=\"crispEdges\" "
            "style=\"height:%upx\" role=\"img\" aria-label=\"Outcome of each power loss, by operation\">\n",
            width, strip->rows + 1, (strip->rows + 1) * ROW_HEIGHT);
    for (unsigned row = 0; row <= strip->rows; row++) {
        draw_row(out, cells + (size_t)row * width, width, row);
    }
    fputs("</svg>\n", out);
    write_ticks(out, strip, from, to);
    free(cells);
}

/** Columns of the commit and a few around them. @return false if there are none, or if they are most of all. */
static bool find_commit(const strip_t *strip, uint32_t *from, uint32_t *to)
{
    *from = UINT32_MAX;
    *to = 0;
    for (uint32_t i = 0; i < strip->explored->state_count; i++) {
        if (strip->explored->states[i].in_commit) {
            *from = strip->columns[i] < *from ? strip->columns[i] : *from;
            *to = strip->columns[i] + 1;
        }
    }
    if (*to == 0 || (*to - *from) * 2 > strip->count) {
        return false;
    }
    const uint32_t around = (*to - *from) / 10 + 1;
    *from = *from > around ? *from - around : 0;
    *to = *to + around < strip->count ? *to + around : strip->count;
    return true;
}

static void write_legend(FILE *out, const explore_result_t *explored)
{
    char text[NUMBER_TEXT_SIZE];
    fputs("<ul class=\"legend\">", out);
    for (unsigned i = 0; i < EXPLORE_OUTCOMES; i++) {
        const explore_outcome_t outcome = (explore_outcome_t)i;
        if (explored->outcomes[i] > 0) {
            fprintf(out, "<li class=\"%s\"><span class=\"swatch\"></span>%s: %s</li>", explore_outcome_name(outcome),
                    explore_outcome_text(outcome), number_grouped(explored->outcomes[i], text));
        }
    }
    if (explored->failures > 0) {
        fprintf(out, "<li class=\"failed\"><span class=\"swatch\"></span>failure: %s</li>",
                number_grouped(explored->failures, text));
    }
    fputs("<li class=\"commit\"><span class=\"swatch\"></span>commit: may fail to boot</li></ul>\n", out);
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
    strip_t strip;
    uint32_t from = 0;
    uint32_t to = 0;
    fputs("<section id=\"outcomes\"><h2>Power losses</h2>\n", out);
    if (strip_open(&strip, explored) && strip.count > 0) {
        fputs("<h3>outcome of each power loss, by operation</h3>\n", out);
        draw_strip(out, &strip, 0, strip.count);
        write_legend(out, explored);
        if (find_commit(&strip, &from, &to)) {
            fputs("<h3>around the commit</h3>\n", out);
            draw_strip(out, &strip, from, to);
        }
    } else {
        fputs("<p class=\"about\">None: there is no flash operation.</p>\n", out);
    }
    free(strip.columns);
    if (explored->failures > 0) {
        list_failures(out, explored);
    }
    fputs("</section>\n", out);
}
