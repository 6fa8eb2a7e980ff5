// SPDX-License-Identifier: Apache-2.0
#include "tool/html/html_parts.h"

#include "tool/base/number.h"
#include "tool/report/flash_map.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS     64u
#define MOST_CELLS  1024u
#define CELL_WIDTH  10u
#define CELL_HEIGHT 14u
#define LEVELS      5u
#define MARK_HEIGHT 2u
#define LABEL_ROWS  4u /**< Every so many rows the address is shown beside one. */

static const struct {
    region_kind_t kind;
    const char *class, *text;
} kinds[] = {
    {REGION_BOOTLOADER, "bootloader", "bootloader"},
    {REGION_TABLE, "table", "table, otadata"},
    {REGION_APP, "app", "app"},
    {REGION_APP, "other-app", "another app"},
    {REGION_DATA, "data", "data"},
    {REGION_FREE, "free", "free"},
};

const char *html_region_class(const contents_t *contents, const map_region_t *region)
{
    if (flash_map_is_other_app(contents, region)) {
        return "other-app";
    }
    const region_kind_t kind = region->kind == REGION_OTADATA ? REGION_TABLE : region->kind;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].kind == kind) {
            return kinds[i].class;
        }
    }
    return "free";
}

static uint32_t cell_size(uint32_t size)
{
    uint32_t cell = SR_SECTOR_SIZE;
    while (size / cell > MOST_CELLS) {
        cell *= 2;
    }
    return cell;
}

static unsigned cell_level(const contents_t *contents, sr_region_t cell)
{
    uint32_t used = 0;
    uint32_t total = 0;
    flash_map_count_pages(contents, cell, &used, &total);
    return used == 0 ? 0 : 1 + used * (LEVELS - 2) / total;
}

static void draw_cells(FILE *out, const contents_t *contents, const map_region_t *region, unsigned level)
{
    const uint32_t size = cell_size(contents->size);
    const uint64_t end = (uint64_t)region->region.address + region->region.size;
    bool any = false;
    for (uint64_t address = region->region.address & ~(size - 1u); address < end; address += size) {
        const sr_region_t cell = {(uint32_t)address, size};
        if (flash_map_region_in(contents, cell) != region || cell_level(contents, cell) != level) {
            continue;
        }
        const uint32_t index = (uint32_t)(address / size);
        fprintf(out, "%sM%" PRIu32 " %" PRIu32 "h9v13h-9z", any ? "" : "<path d=\"", index % COLUMNS * CELL_WIDTH,
                index / COLUMNS * CELL_HEIGHT);
        any = true;
    }
    if (any) {
        fprintf(out, "\" class=\"l%u\"/>", level);
    }
}

static void draw_region(FILE *out, const contents_t *contents, const map_region_t *region)
{
    char size[NUMBER_TEXT_SIZE];
    fprintf(out, "<g class=\"%s\"><title>0x%06" PRIx32 ", %s: ", html_region_class(contents, region),
            region->region.address, number_size(region->region.size, size));
    html_text(out, region->kind == REGION_FREE ? "free" : region->label);
    fputs("</title>", out);
    for (unsigned level = 0; level < LEVELS; level++) {
        draw_cells(out, contents, region, level);
    }
    fputs("</g>\n", out);
}

/** Marks the cells that differ by a line below, or veils those that do not. Blank ones are pale enough. */
static void draw_marks(FILE *out, const contents_t *before, const contents_t *after, bool changed)
{
    const uint32_t size = cell_size(after->size);
    bool any = false;
    for (uint32_t i = 0; i < after->size / size; i++) {
        const size_t at = (size_t)i * size;
        const bool differs = memcmp(before->bytes + at, after->bytes + at, size) != 0;
        if (differs != changed || (!differs && cell_level(after, (sr_region_t){(uint32_t)at, size}) == 0)) {
            continue;
        }
        fputs(any ? "" : changed ? "<path class=\"changed\" d=\"" : "<path class=\"stays\" d=\"", out);
        fprintf(out, "M%" PRIu32 " %" PRIu32 "h%uv%uh-%uz", i % COLUMNS * CELL_WIDTH,
                i / COLUMNS * CELL_HEIGHT + (changed ? CELL_HEIGHT - MARK_HEIGHT - 1 : 0), CELL_WIDTH - 1,
                changed ? MARK_HEIGHT : CELL_HEIGHT - 1, CELL_WIDTH - 1);
        any = true;
    }
    fputs(any ? "\"/>" : "", out);
}

/** Marks the cells that are given up by a line above: beside it there is room for the one below. */
static void draw_given_up(FILE *out, const contents_t *contents, const given_up_t *given_up)
{
    const uint32_t size = cell_size(contents->size);
    if (given_up->count == 0) {
        return;
    }
    fputs("<path class=\"given-up\" d=\"", out);
    for (uint32_t i = 0; i < contents->size / size; i++) {
        if (given_up_touches(given_up, (sr_region_t){i * size, size})) {
            fprintf(out, "M%" PRIu32 " %" PRIu32 "h%uv%uh-%uz", i % COLUMNS * CELL_WIDTH, i / COLUMNS * CELL_HEIGHT,
                    CELL_WIDTH - 1, MARK_HEIGHT, CELL_WIDTH - 1);
        }
    }
    fputs("\"/>", out);
}

/** @param before NULL: nothing to compare with. @param given_up NULL: nothing of it is. */
static void draw_grid(FILE *out, const contents_t *contents, const contents_t *before, const given_up_t *given_up,
                      const char *what)
{
    const uint32_t size = cell_size(contents->size);
    const uint32_t rows = contents->size / size / COLUMNS;
    fputs("<div class=\"map\"><ol>", out);
    for (uint32_t row = 0; row < rows; row += LABEL_ROWS) {
        fprintf(out, "<li>0x%06" PRIx32 "</li>", row * COLUMNS * size);
    }
    fprintf(out, "</ol>\n<svg viewBox=\"0 0 %u %" PRIu32 "\" role=\"img\" aria-label=\"Flash map %s\">\n",
            COLUMNS * CELL_WIDTH - 1, rows * CELL_HEIGHT - 1, what);
    for (size_t i = 0; i < contents->region_count; i++) {
        draw_region(out, contents, &contents->regions[i]);
    }
    if (before != NULL) {
        draw_marks(out, before, contents, false);
        draw_marks(out, before, contents, true);
    }
    if (given_up != NULL) {
        draw_given_up(out, contents, given_up);
    }
    fputs("</svg></div>\n", out);
}

static const char *given_up_word(const given_up_t *given_up, sr_region_t region)
{
    bool whole = false;
    for (unsigned i = 0; i < given_up->count; i++) {
        whole |= sr_region_contains(given_up->regions[i], region);
    }
    return whole ? ", given up" : given_up_touches(given_up, region) ? ", given up in part" : "";
}

/** @param given_up NULL: nothing of it is. */
static void list_region(FILE *out, const contents_t *contents, const map_region_t *region, const given_up_t *given_up)
{
    char size[NUMBER_TEXT_SIZE];
    uint32_t used = 0;
    uint32_t total = 0;
    flash_map_count_pages(contents, region->region, &used, &total);
    const uint32_t percent = total == 0 ? 0 : (used * 100 + total / 2) / total;
    const char *class = html_region_class(contents, region);
    fprintf(out,
            "<tr class=\"%s\"><td class=\"mono\"><span class=\"swatch\"></span>0x%06" PRIx32
            "</td><td class=\"number\">%s</td><td class=\"number\">%" PRIu32 "%%</td><td><bdi>",
            class, region->region.address, number_size(region->region.size, size),
            used > 0 && percent == 0 ? 1 : percent);
    html_text(out, region->kind == REGION_FREE ? "free" : region->label);
    fprintf(out, "</bdi>%s</td></tr>\n", given_up != NULL ? given_up_word(given_up, region->region) : "");
}

/** @param given_up NULL: nothing of it is. */
static void list_regions(FILE *out, const contents_t *contents, const given_up_t *given_up)
{
    fputs("<table><thead><tr><th>address</th><th class=\"number\">size</th><th class=\"number\">used</th>"
          "<th>content</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < contents->region_count; i++) {
        list_region(out, contents, &contents->regions[i], given_up);
    }
    fputs("</tbody></table>\n", out);
}

void html_legend(FILE *out, const char *class, const char *text)
{
    fprintf(out, "<li class=\"%s\"><span class=\"swatch\"></span>%s</li>\n", class, text);
}

static bool has_class(const contents_t *contents, const char *class)
{
    for (size_t i = 0; contents != NULL && i < contents->region_count; i++) {
        if (strcmp(html_region_class(contents, &contents->regions[i]), class) == 0) {
            return true;
        }
    }
    return false;
}

void html_region_legend(FILE *out, const contents_t *contents, const contents_t *other)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (has_class(contents, kinds[i].class) || has_class(other, kinds[i].class)) {
            html_legend(out, kinds[i].class, kinds[i].text);
        }
    }
}

static void write_legend(FILE *out, const html_report_t *report)
{
    char size[NUMBER_TEXT_SIZE];
    fputs("<ul class=\"legend\">", out);
    html_region_legend(out, report->before, report->after);
    fprintf(out,
            "<li class=\"l3\"><span class=\"swatch\"></span>the paler, the less of it is used</li>"
            "<li class=\"l0\"><span class=\"swatch\"></span>blank</li>"
            "<li class=\"changed\"><span class=\"swatch\"></span>underlined: changed</li>"
            "<li class=\"stays\"><span class=\"swatch\"></span>without line, and veiled: stays</li>"
            "%s<li>one cell is %s</li></ul>\n",
            report->given_up->count > 0
                ? "<li class=\"given-up\"><span class=\"swatch\"></span>line above: given up, may be "
                  "overwritten from the first moment on</li>"
                : "",
            number_size(cell_size(report->after->size), size));
}

void html_map(FILE *out, const html_report_t *report)
{
    fputs("<section id=\"map\"><h2>Flash map</h2>\n<div class=\"pair\"><figure id=\"map-before\"><h3>before</h3>\n",
          out);
    draw_grid(out, report->before, NULL, report->given_up, "before");
    list_regions(out, report->before, report->given_up);
    fputs("</figure><figure id=\"map-after\"><h3>after</h3>\n", out);
    draw_grid(out, report->after, report->before, NULL, "after");
    list_regions(out, report->after, NULL);
    fputs("</figure></div>\n", out);
    write_legend(out, report);
    fputs("</section>\n", out);
}
