// SPDX-License-Identifier: Apache-2.0
#include "tool/base/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CHILDREN 3u

// argp's own have no -h, and cannot be given one
static const struct argp_option common_options[] = {
    {"help", 'h', NULL, 0, "Show this help", -1},
    {"usage", 'u', NULL, OPTION_HIDDEN, "Show the options in short", -1},
    {"version", 'V', NULL, 0, "Show the version", -1},
    {0}};

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    switch (key) {
    case 'h':
        argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
        return 0;
    case 'u':
        argp_state_help(state, state->out_stream, ARGP_HELP_USAGE | ARGP_HELP_EXIT_OK);
        return 0;
    case 'V':
        fputs(PROGRAM_NAME " " PROGRAM_VERSION "\nbundle format " BUNDLE_FORMAT_VERSION "\n", state->out_stream);
        exit(STATUS_OK);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

bool command_parse(const struct argp *argp, int argc, char **argv, unsigned flags, void *input)
{
    static const struct argp common = {.options = common_options, .parser = parse_common};
    struct argp_child children[MOST_CHILDREN + 1] = {0};
    unsigned count = 0;
    for (; argp->children != NULL && argp->children[count].argp != NULL; count++) {
        if (count + 1 == MOST_CHILDREN) {
            abort(); // names a command of this program, and not input
        }
        children[count] = argp->children[count];
    }
    children[count].argp = &common; // the last one, so that the inputs of the others keep their positions
    struct argp with_common = *argp;
    with_common.children = children;
    return argp_parse(&with_common, argc, argv, flags | ARGP_NO_HELP, NULL, input) == 0;
}

static void write_quoted(FILE *out, const char *word)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
    if (word[0] != '\0' && word[strspn(word, harmless)] == '\0') {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word != '\0'; word++) {
        *word == '\'' ? fputs("'\\''", out) : fputc(*word, out);
    }
    fputc('\'', out);
}

char *command_text(int argc, char *const *argv)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    fputs(argc > 0 ? argv[0] : "", out); // "self-reflasher NAME"
    for (int i = 1; i < argc; i++) {
        fputc(' ', out);
        write_quoted(out, argv[i]);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
