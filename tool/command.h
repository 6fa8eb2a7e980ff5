// SPDX-License-Identifier: Apache-2.0
/** @file
 * What all subcommands share: the table they stand in, exit statuses, and how they complain.
 */
#pragma once

#include <argp.h>

#define PROGRAM_NAME "self-reflasher"

/** Exit statuses of the program; scripts depend on them. */
enum {
    STATUS_OK = 0,        /**< Done; what was asked about boots. */
    STATUS_NO = 1,        /**< Does not boot, does not verify, or was refused. */
    STATUS_USAGE = 2,     /**< Bad arguments. */
    STATUS_BAD_INPUT = 3, /**< A file that is missing or is not what it has to be. */
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
extern const command_t command_keygen;
extern const command_t command_sign;
extern const command_t command_verify;
extern const command_t command_extract;
extern const command_t command_diff;

/** Writes "self-reflasher: ..." and a newline to stderr. @return @p status, to be handed up. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
