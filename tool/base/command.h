// SPDX-License-Identifier: Apache-2.0
/** @file
 * What all subcommands share: the table they stand in, exit statuses, and how they complain.
 */
#pragma once

#include "self_reflasher_version.h"

#include <argp.h>
#include <stdbool.h>

#define PROGRAM_NAME "self-reflasher"

/** As texts: the version of the program, which is that of the component, and of the bundles that it makes and reads. */
#define PROGRAM_VERSION                                                                                                \
    TEXT_OF(ESP_SELF_REFLASHER_VERSION_MAJOR)                                                                          \
    "." TEXT_OF(ESP_SELF_REFLASHER_VERSION_MINOR) "." TEXT_OF(ESP_SELF_REFLASHER_VERSION_PATCH)
#define BUNDLE_FORMAT_VERSION TEXT_OF(ESP_SELF_REFLASHER_BUNDLE_VERSION)
#define TEXT_OF(macro)        LITERALLY(macro)
#define LITERALLY(text)       #text

/** Exit statuses of the program; scripts depend on them. What belongs to which: docs/program.md. */
enum {
    STATUS_OK = 0,    /**< Done; what was checked boots, verifies or was applied. */
    STATUS_NO = 1,    /**< The answer is no: does not boot, does not verify, was refused. */
    STATUS_USAGE = 2, /**< The command line is wrong. */
    STATUS_BAD_INPUT =
        3, /**< No answer: a file is missing, is not what it has to be, or cannot be written; no memory. */
};

/** One subcommand. */
typedef struct command {
    const char *name;
    const char *summary; /**< One line for the list in the program's help. */
    /** Parses its own arguments (argv[0] is "self-reflasher NAME") and does the work. @return The exit status. */
    int (*run)(int argc, char **argv);
} command_t;

extern const command_t command_inspect;
extern const command_t command_boot;
extern const command_t command_simulate;
extern const command_t command_explore;
extern const command_t command_pack;
extern const command_t command_courier;
extern const command_t command_keygen;
extern const command_t command_key;
extern const command_t command_sign;
extern const command_t command_verify;
extern const command_t command_extract;
extern const command_t command_diff;

/**
 * argp_parse() with the options that all commands have: --help, --usage and --version.
 * @param argp With two children at most.
 * @return false if argp has failed.
 */
bool command_parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);

/**
 * The command line as one would type it in a shell, words with other than harmless characters in quotes. Before argp
 * sorts it.
 * @return free() is due; NULL without memory.
 */
char *command_text(int argc, char *const *argv);

/** Writes "self-reflasher: ..." and a newline to stderr. @return @p status, to be handed up. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
