// SPDX-License-Identifier: Apache-2.0
#include "tool/base/terminal.h"

#include "tool/base/utf8.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS 80u

static struct {
    volatile bool live, stderr_drawn;
    bool colour, unicode;
} terminal;

void terminal_setup(void)
{
    const char *kind = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR"); // https://no-color.org
    terminal.live = isatty(STDOUT_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0;
    terminal.colour = terminal.live && (no_colour == NULL || no_colour[0] == '\0');
    terminal.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_draws_on_stderr(void)
{
    terminal.stderr_drawn = true;
}

void terminal_interrupted(void)
{
    static const char plain[] = "\x1b[0m\r\x1b[K";
    // by write(), since the interrupted thread may hold the locks of stdio
    if (terminal.stderr_drawn && write(STDERR_FILENO, plain, sizeof(plain) - 1) < 0) {
        return;
    }
    if (terminal.live && write(STDOUT_FILENO, plain, sizeof(plain) - 1) < 0) {
        return;
    }
}

bool terminal_is_live(void)
{
    return terminal.live;
}

bool terminal_has_unicode(void)
{
    return terminal.unicode;
}

const char *terminal_style(terminal_style_t style)
{
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "",         [STYLE_HEADING] = "\x1b[1m", [STYLE_DIM] = "\x1b[2m",
        [STYLE_GOOD] = "\x1b[32m",  [STYLE_BAD] = "\x1b[1;31m",  [STYLE_BOOTLOADER] = "\x1b[35m",
        [STYLE_TABLE] = "\x1b[33m", [STYLE_APP] = "\x1b[32m",    [STYLE_OTHER_APP] = "\x1b[36m",
        [STYLE_DATA] = "\x1b[34m",
    };
    return terminal.colour ? sequences[style] : "";
}

const char *terminal_reset(void)
{
    return terminal.colour ? "\x1b[0m" : "";
}

const char *terminal_dot(void)
{
    return terminal.unicode ? " \u00b7 " : " - ";
}

void terminal_key(const char *key)
{
    printf("  %s%-13s%s", terminal_style(STYLE_DIM), key, terminal_reset());
}

void terminal_clip(const char *text, unsigned columns)
{
    const char *ellipsis = terminal.unicode ? "\u2026" : "...";
    const unsigned width = terminal.unicode ? 1 : 3;
    const size_t most = strlen(text) < (size_t)4 * columns ? strlen(text) : (size_t)4 * columns;
    size_t loss = 0; // where the ellipsis would be
    unsigned used = 0;
    size_t at = 0;
    while (at < most && used < columns) {
        uint32_t code = 0;
        const size_t length = utf8_decode(text + at, &code);
        at += length != 0 ? length : 1;
        used++;
        loss = used == columns - width ? at : loss;
    }
    const bool whole = text[at] == '\0';
    char *shown = strndup(text, whole ? at : loss);
    fputs(shown != NULL ? utf8_tame(shown) : "", stdout);
    fputs(whole ? "" : ellipsis, stdout);
    free(shown);
}

void terminal_tame(const char *text)
{
    char *shown = strdup(text);
    fputs(shown != NULL ? utf8_tame(shown) : "", stdout);
    free(shown);
}

void terminal_print(terminal_style_t style, const char *text)
{
    const char *sequence = terminal_style(style);
    printf("%s%s%s", sequence, text, sequence[0] == '\0' ? "" : terminal_reset());
}

void terminal_bar(size_t eighths)
{
    static const char *const parts[] = {"", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589"};
    const size_t full = eighths / 8;
    size_t cells = full;
    fputs(terminal_style(STYLE_GOOD), stdout);
    for (size_t i = 0; i < full; i++) {
        fputs(terminal.unicode ? "\u2588" : "#", stdout);
    }
    if (terminal.unicode && eighths % 8 != 0) {
        fputs(parts[eighths % 8], stdout);
        cells++;
    }
    printf("%s%s", terminal_reset(), terminal_style(STYLE_DIM));
    for (; cells < TERMINAL_BAR_CELLS; cells++) {
        fputs(terminal.unicode ? "\u2591" : ".", stdout);
    }
    fputs(terminal_reset(), stdout);
}

void terminal_wrap(const char *text, unsigned column, unsigned indent)
{
    bool at_start = true;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (!at_start && column + 1 + word > COLUMNS) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (!at_start) {
            putchar(' ');
            column++;
        }
        fwrite(text, 1, word, stdout);
        column += (unsigned)word;
        at_start = false;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void terminal_heading(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("\n%s", terminal_style(STYLE_HEADING));
    vprintf(format, arguments);
    printf("%s\n", terminal_reset());
    va_end(arguments);
}
