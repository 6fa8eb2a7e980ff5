// SPDX-License-Identifier: Apache-2.0
/** @file
 * Files that are written: each appears whole or not at all, and none overwrites an input.
 *
 * A dump is often the only backup of a device, so whatever is loaded is remembered here, and an output
 * that is the same file, under whatever name, is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/**
 * Remembers a file that is read.
 * @param status Of the open file, by fstat(). Files that are not regular are not remembered.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining that standard output goes into this very file.
 */
int output_file_note_input(const char *path, const struct stat *status);

/** Lets an output replace this input, for commands that change a file in place. @param path Of a file that was read. */
void output_file_allow(const char *path);

/**
 * Checks before the work whether an output can be written: it is not one of the inputs, not another output, and in a
 * folder that exists. What cannot be known beforehand, such as a full disk, is reported by output_file_write().
 * @param path Must stay valid until the program ends. NULL: no output is asked for, which is fine.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int output_file_check(const char *path);

/**
 * Writes a file in one step: into a temporary file of the same folder, to the disk, then under its name. An old file of
 * that name is replaced, its mode kept; links are followed. After an error the old one is as it was. What is not a
 * regular file, such as a pipe, is written to directly.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining, also where output_file_check() would.
 */
int output_file_write(const char *path, const void *bytes, size_t size);

/**
 * Writes a file that must not exist yet, in one step like output_file_write().
 * @param mode Permissions, whatever the umask allows beyond them.
 */
int output_file_create(const char *path, const void *bytes, size_t size, mode_t mode);

/** Removes the temporary file, if one is being written. May be called by a signal handler. */
void output_file_abandon(void);
