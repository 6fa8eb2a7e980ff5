// SPDX-License-Identifier: Apache-2.0
#include "tool/report/flash_map.h"

#include "sim/nor/nor_flash.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GRID_CELLS     64u /**< Of one grid alone; two beside each other have half of it. */
#define BAR_CELLS      20u
#define LABEL_COLUMNS  30u /**< What is left of 80. */
#define SMALLEST_CELL  0x1000u
#define MOST_GRID_ROWS 8u

void flash_map_count_pages(const contents_t *contents, sr_region_t region, uint32_t *used, uint32_t *total)
{
    *used = 0;
    *total = 0;
    uint64_t end = (uint64_t)region.address + region.size;
    if (end > contents->size) {
        end = contents->size;
    }
    for (uint64_t page = region.address; page < end; page += SR_PAGE_SIZE) {
        *used += !nor_is_erased(contents->bytes + page, end - page < SR_PAGE_SIZE ? end - page : SR_PAGE_SIZE);
        (*total)++;
    }
}

static const char *cell_glyph(const contents_t *contents, sr_region_t region)
{
    static const char *const unicode[] = {"\u00b7", "\u2591", "\u2592", "\u2593", "\u2588"};
    static const char *const ascii[] = {".", "-", "+", "*", "#"};
    uint32_t used = 0;
    uint32_t total = 0;
    flash_map_count_pages(contents, region, &used, &total);
    unsigned level = 0;
    if (used > 0 && total > 0) {
        level = 1 + used * 3 / total; // the full block for all pages only
    }
    return terminal_has_unicode() ? unicode[level] : ascii[level];
}

const map_region_t *flash_map_region_in(const contents_t *contents, sr_region_t cell)
{
    const map_region_t *found = NULL;
    for (size_t i = 0; i < contents->region_count; i++) {
        const map_region_t *region = &contents->regions[i];
        // of several regions the one with a label: a bootloader is smaller than a cell of a large flash
        if (sr_region_overlaps(region->region, cell) && (found == NULL || found->kind == REGION_FREE)) {
            found = region;
        }
    }
    return found;
}

bool flash_map_is_other_app(const contents_t *contents, const map_region_t *region)
{
    unsigned apps_before = 0;
    for (const map_region_t *other = contents->regions; other < region; other++) {
        apps_before += other->kind == REGION_APP;
    }
    return region->kind == REGION_APP && apps_before % 2 == 1;
}

static terminal_style_t region_style(const contents_t *contents, const map_region_t *region)
{
    static const terminal_style_t styles[] = {
        [REGION_FREE] = STYLE_DIM,    [REGION_BOOTLOADER] = STYLE_BOOTLOADER,
        [REGION_TABLE] = STYLE_TABLE, [REGION_OTADATA] = STYLE_TABLE,
        [REGION_APP] = STYLE_APP,     [REGION_DATA] = STYLE_DATA,
    };
    if (region == NULL) {
        return STYLE_DIM;
    }
    return flash_map_is_other_app(contents, region) ? STYLE_OTHER_APP : styles[region->kind];
}

static uint32_t grid_end(const contents_t *contents)
{
    return contents->present.address + contents->present.size;
}

static void print_grid_row(const contents_t *contents, uint64_t address, uint32_t cell, unsigned cells)
{
    terminal_style_t style = STYLE_PLAIN;
    for (unsigned i = 0; i < cells; i++) {
        sr_region_t region = {(uint32_t)(address + (uint64_t)i * cell), cell};
        if (address + (uint64_t)i * cell >= grid_end(contents)) {
            break; // the last row of a file that is no whole flash
        }
        terminal_style_t next = region_style(contents, flash_map_region_in(contents, region));
        if (next != style) {
            printf("%s%s", terminal_reset(), terminal_style(next));
            style = next;
        }
        fputs(cell_glyph(contents, region), stdout);
    }
    fputs(terminal_reset(), stdout);
}

/** Bytes of one cell, so that the grid has few rows. */
static uint32_t cell_size(uint32_t size, unsigned cells)
{
    uint32_t cell = SMALLEST_CELL;
    while (size / cell > cells * MOST_GRID_ROWS) {
        cell <<= 1;
    }
    return cell;
}

static void print_legend(uint32_t cell)
{
    char text[NUMBER_TEXT_SIZE];
    printf("  %sone cell is %s: %s%s\n", terminal_style(STYLE_DIM), number_size(cell, text),
           terminal_has_unicode() ? "\u2588 used, \u2593\u2592\u2591 in part, \u00b7 blank"
                                  : "# used, *+- in part, . blank",
           terminal_reset());
}

static void print_region(const contents_t *contents, const map_region_t *region)
{
    char size[NUMBER_TEXT_SIZE];
    uint32_t used = 0;
    uint32_t total = 0;
    flash_map_count_pages(contents, region->region, &used, &total);
    uint32_t percent = total == 0 ? 0 : (used * 100 + total / 2) / total;
    if (used > 0 && percent == 0) {
        percent = 1;
    }
    printf("  0x%06" PRIx32 " %9s %4" PRIu32 "%%  ", region->region.address, number_size(region->region.size, size),
           percent);
    terminal_style_t style = region_style(contents, region);
    fputs(terminal_style(style), stdout);
    uint32_t pages = region->region.size / SR_PAGE_SIZE;
    for (uint32_t i = 0; i < BAR_CELLS; i++) {
        uint32_t from = (uint32_t)((uint64_t)pages * i / BAR_CELLS);
        uint32_t to = (uint32_t)((uint64_t)pages * (i + 1) / BAR_CELLS);
        uint32_t count = to > from ? to - from : 1; // a region may have fewer pages than the bar has cells
        sr_region_t part = {region->region.address + from * SR_PAGE_SIZE, count * SR_PAGE_SIZE};
        fputs(cell_glyph(contents, part), stdout);
    }
    bool named = region->kind != REGION_FREE;
    printf("%s%s", terminal_reset(), named ? "  " : "");
    terminal_clip(named ? region->label : "", LABEL_COLUMNS);
    putchar('\n');
}

static void print_regions(const contents_t *contents)
{
    putchar('\n');
    for (size_t i = 0; i < contents->region_count; i++) {
        print_region(contents, &contents->regions[i]);
    }
}

void flash_map_print(const contents_t *contents)
{
    uint32_t cell = cell_size(grid_end(contents), GRID_CELLS);
    uint64_t row = (uint64_t)cell * GRID_CELLS;
    for (uint64_t address = 0; address < grid_end(contents); address += row) {
        printf("  0x%06" PRIx64 "  ", address);
        print_grid_row(contents, address, cell, GRID_CELLS);
        putchar('\n');
    }
    print_legend(cell);
    print_regions(contents);
}

void flash_map_print_change(const contents_t *before, const contents_t *after)
{
    unsigned cells = GRID_CELLS / 2;
    uint32_t cell = cell_size(grid_end(after), cells);
    uint64_t row = (uint64_t)cell * cells;
    printf("  %10s%s%-*s  %s%s\n", "", terminal_style(STYLE_DIM), (int)cells, "before", "after", terminal_reset());
    for (uint64_t address = 0; address < grid_end(after); address += row) {
        printf("  0x%06" PRIx64 "  ", address);
        print_grid_row(before, address, cell, cells);
        fputs("  ", stdout);
        print_grid_row(after, address, cell, cells);
        putchar('\n');
    }
    print_legend(cell);
    print_regions(after);
}
