// SPDX-License-Identifier: Apache-2.0
/** @file
 * The openssl program, in a folder of its own that is gone afterwards. Include after cmocka.h.
 */
#pragma once

#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char openssl_folder[64];

static inline int openssl_setup(void **state)
{
    (void)state;
    (void)snprintf(openssl_folder, sizeof(openssl_folder), "/tmp/self-reflasher-XXXXXX");
    return mkdtemp(openssl_folder) != NULL ? 0 : -1;
}

static inline int openssl_remove(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline int openssl_teardown(void **state)
{
    (void)state;
    return nftw(openssl_folder, openssl_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/** Runs a shell command with the folder as working directory. @return true if it succeeded. */
__attribute__((format(printf, 1, 2))) static inline bool shell(const char *format, ...)
{
    char command[1024];
    char whole[1200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    (void)snprintf(whole, sizeof(whole), "cd %s && { %s; } >/dev/null 2>&1", openssl_folder, command);
    return system(whole) == 0; // NOLINT(cert-env33-c): the commands are those of the tests
}

static inline FILE *open_in_folder(const char *name, const char *mode)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", openssl_folder, name);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static inline void save(const char *name, const void *bytes, size_t size)
{
    FILE *file = open_in_folder(name, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/** Reads a file whole, and puts a zero after it. */
static inline size_t load(const char *name, void *bytes, size_t capacity)
{
    FILE *file = open_in_folder(name, "rb");
    const size_t size = fread(bytes, 1, capacity, file);
    assert_true(size < capacity);
    ((char *)bytes)[size] = '\0';
    (void)fclose(file);
    return size;
}
