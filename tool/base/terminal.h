// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the output can show: colour, Unicode, a line that is redrawn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum terminal_style {
    STYLE_PLAIN,
    STYLE_HEADING,
    STYLE_DIM,
    STYLE_GOOD,
    STYLE_BAD,
    STYLE_BOOTLOADER,
    STYLE_TABLE,
    STYLE_APP,
    STYLE_OTHER_APP,
    STYLE_DATA,
} terminal_style_t;

/** Checks stdout, the locale and NO_COLOR. Call once, before any output. */
void terminal_setup(void);

/** Tells that something is drawn on stderr, which must be gone if the program is interrupted. */
void terminal_draws_on_stderr(void);

/** Leaves plain, empty lines on the terminals that were drawn on. Only for a signal handler. */
void terminal_interrupted(void);

/** True if stdout is a terminal on which a line can be redrawn. */
bool terminal_is_live(void);

/** True if stdout's locale takes UTF-8. */
bool terminal_has_unicode(void);

/** Escape sequence that starts the style ("" without colour). */
const char *terminal_style(terminal_style_t style);

/** Escape sequence that ends any style ("" without colour). */
const char *terminal_reset(void);

/** " · ", or " - " in ASCII. */
const char *terminal_dot(void);

/** "  key          value" lines: prints the indented key, padded, without newline. */
void terminal_key(const char *key);

/** Prints text in at most @p columns columns; where it is cut off, an ellipsis says so. */
void terminal_clip(const char *text, unsigned columns);

/** Prints text of somebody else, from a file or the command line, so that it does not steer the terminal. */
void terminal_tame(const char *text);

/** Prints @p text in a style. */
void terminal_print(terminal_style_t style, const char *text);

#define TERMINAL_BAR_CELLS 32u
/** Prints a bar of TERMINAL_BAR_CELLS columns. @param eighths How much of it is full, in eighths of a column. */
void terminal_bar(size_t eighths);

/** Prints text wrapped at 80 columns, the lines indented by @p indent columns; the first one continues a line that
 *  has @p column columns already. Ends with a newline. */
void terminal_wrap(const char *text, unsigned column, unsigned indent);

/** A section's heading after a blank line. */
void terminal_heading(const char *format, ...) __attribute__((format(printf, 1, 2)));
