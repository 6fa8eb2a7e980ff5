// SPDX-License-Identifier: Apache-2.0
#include "tool/run/progress.h"

#include "format/sr_region.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"

#include <inttypes.h>
#include <stdio.h>

static struct {
    bool begun, finished;
    const char *phase;
    size_t total; /**< Of this phase. */
    size_t drawn; /**< Eighths of cells, so that a line is drawn only if it changes. */
} state;

void progress_step(unsigned number, unsigned count, const char *source, uint32_t address, uint32_t size)
{
    state.begun = false;
    printf("  %u/%u  %s%s%s to 0x%" PRIx32 "+0x%" PRIx32 "\n", number, count, terminal_style(STYLE_HEADING), source,
           terminal_reset(), address, size);
    fflush(stdout);
}

void progress_restarted(void)
{
    puts("       the app has been relocated, and starts again");
    fflush(stdout);
}

static void draw_line(size_t done, size_t total, size_t eighths)
{
    char done_text[NUMBER_TEXT_SIZE];
    char total_text[NUMBER_TEXT_SIZE];
    bool live = terminal_is_live();
    printf("%s       %-9s ", live ? "\r" : "", state.phase);
    if (live && total > 0) {
        terminal_bar(eighths);
        putchar(' ');
    }
    printf("%10s", number_size(done, done_text));
    if (live && total > 0 && done < total) {
        printf(" of %s", number_size(total, total_text));
    }
    if (live) {
        fputs("\x1b[K", stdout); // what is left of a longer line
    }
    if (state.finished) {
        putchar('\n');
    }
    fflush(stdout);
}

/** The next phase begins only when the one before is complete, even if its last bytes were not reported. */
static void finish_phase(size_t done)
{
    if (state.begun && !state.finished) {
        state.finished = true;
        draw_line(done, state.total, TERMINAL_BAR_CELLS * 8);
    }
}

static void update(const char *phase, size_t done, size_t total)
{
    if (!state.begun || state.phase != phase) {
        finish_phase(state.total);
        state.begun = true;
        state.finished = false;
        state.phase = phase;
        state.drawn = SIZE_MAX;
    }
    state.total = total > 0 ? total : done;
    size_t eighths = total > 0 ? (size_t)((uint64_t)done * TERMINAL_BAR_CELLS * 8 / total) : done >> 12;
    if (state.finished || eighths == state.drawn) {
        return;
    }
    state.drawn = eighths;
    if (total > 0 && done == total) {
        finish_phase(done);
    } else if (terminal_is_live()) {
        draw_line(done, total, eighths);
    }
}

void progress_update(void *context, esp_self_reflasher_phase_t phase, size_t done, size_t total)
{
    static const char *const names[] = {
        [ESP_SELF_REFLASHER_PHASE_DOWNLOAD] = "download",
        [ESP_SELF_REFLASHER_PHASE_CHECK] = "check",
        [ESP_SELF_REFLASHER_PHASE_COPY] = "copy",
    };
    (void)context;
    update(names[phase], done, total);
}

void progress_event(void *context, esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    static const char *const names[] = {
        [ESP_SELF_REFLASHER_EVENT_CHECK] = "check",
        [ESP_SELF_REFLASHER_EVENT_PREPARE] = "write",
        [ESP_SELF_REFLASHER_EVENT_STAGE] = "stage",
        [ESP_SELF_REFLASHER_EVENT_COMMIT] = "commit",
    };
    (void)context;
    if (event <= ESP_SELF_REFLASHER_EVENT_COMMIT) {
        update(names[event], (size_t)data->sectors_done * SR_SECTOR_SIZE, (size_t)data->sectors_total * SR_SECTOR_SIZE);
    }
}
