// SPDX-License-Identifier: Apache-2.0
// The program: finds the subcommand and hands over.
#include "tool/base/command.h"
#include "tool/base/process.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const command_t *const commands[] = {&command_inspect, &command_boot,    &command_simulate, &command_explore,
                                            &command_pack,    &command_courier, &command_keygen,   &command_key,
                                            &command_sign,    &command_verify,  &command_extract,  &command_diff};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

typedef struct choice {
    const command_t *command;
    int first; /**< Index of its name in argv. */
} choice_t;

static const command_t *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    choice_t *choice = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        choice->command = find_command(argument);
        if (choice->command == NULL) {
            argp_error(state, "unknown command '%s'", argument);
        }
        choice->first = state->next - 1;
        state->next = state->argc; // the rest belongs to the subcommand
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "no command given");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** Puts the list of subcommands into the help, so that it cannot differ from the table. */
static char *filter_help(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        return (char *)text;
    }
    char *list = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&list, &size);
    if (out == NULL) {
        return NULL;
    }
    fputs("Commands:\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\n'" PROGRAM_NAME " COMMAND --help' tells more about each.\n"
                 "Exit status: 0 done (and boots); 1 no: does not boot, does not verify or was\n"
                 "refused; 2 bad usage; 3 a file is missing, not what it has to be or cannot be\n"
                 "written.\n");
    fclose(out);
    return list;
}

static int run_command(const command_t *command, int argc, char **argv)
{
    char name[64];
    snprintf(name, sizeof(name), PROGRAM_NAME " %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

int main(int argc, char **argv)
{
    process_setup();
    // only character types: numbers in JSON and on the terminal keep their decimal point everywhere
    setlocale(LC_CTYPE, "");
    argp_err_exit_status = STATUS_USAGE;
    static const struct argp argp = {
        .parser = parse_option,
        .args_doc = "COMMAND [ARGUMENT...]",
        .doc = "Shows what is in flash images of ESP32 chips and what they boot, rehearses the replacement of a whole "
               "system on a simulated chip, and makes and checks the bundles that describe one.\v-",
        .help_filter = filter_help,
    };
    choice_t choice = {0};
    char program[] = PROGRAM_NAME;
    argv[0] = program;
    if (!command_parse(&argp, argc, argv, ARGP_IN_ORDER, &choice) || choice.command == NULL) {
        return STATUS_USAGE;
    }
    return run_command(choice.command, argc - choice.first, argv + choice.first);
}
