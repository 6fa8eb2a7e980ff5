// SPDX-License-Identifier: Apache-2.0
#include "tool/base/process.h"

#include "tool/base/command.h"
#include "tool/base/output_file.h"
#include "tool/base/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pid_t program; /**< The process that main() runs in: forked ones have no terminal to reset. */

/** Gives each closed standard stream a file that cannot be written to: writes to it fail, as before. */
static void fill_streams(void)
{
    int file;
    do {
        file = open("/dev/null", O_RDONLY);
    } while (file >= 0 && file <= STDERR_FILENO);
    if (file >= 0) {
        close(file);
    }
}

/** At exit: checks that everything printed was written. */
static void check_output(void)
{
    const bool failed = ferror(stdout) != 0; // of an earlier write, whose errno is lost
    const int error = fflush(stdout) != 0 ? errno : 0;
    if ((error != 0 || failed) && getpid() == program) {
        complain(STATUS_OK, "standard output: %s", error != 0 ? strerror(error) : "not all of it could be written");
        _exit(STATUS_BAD_INPUT);
    }
}

static void clean_up(int number)
{
    if (getpid() == program) {
        terminal_interrupted();
        output_file_abandon();
    }
    raise(number); // SA_RESETHAND: ends the program as if there were no handler
}

static void handle_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = clean_up, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction old;
        // a signal that was ignored at the start (nohup, a background job) stays ignored
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            (void)sigaction(numbers[i], &action, NULL);
        }
    }
    (void)signal(SIGXFSZ, SIG_IGN);
}

void process_setup(void)
{
    program = getpid();
    fill_streams();
    handle_signals();
    (void)atexit(check_output);
}
