// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/image_signer.h"

#include "format/sr_image.h"
#include "tool/base/command.h"
#include "tool/base/image_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_THERE 127 // exit status, as a shell has it
#define PATH_SIZE 32u

/** Files in memory that both processes have open. */
typedef struct files {
    int in, out, log;
} files_t;

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t written = write(file, bytes + done, size - done);
        if (written <= 0) {
            return false;
        }
        done += (size_t)written;
    }
    return true;
}

/** @return all of it, to be freed; NULL: it is empty, or there is no memory. */
static uint8_t *read_all(int file, size_t *size)
{
    struct stat status;
    if (fstat(file, &status) != 0 || status.st_size <= 0) {
        return NULL;
    }
    uint8_t *bytes = malloc((size_t)status.st_size);
    if (bytes != NULL && pread(file, bytes, (size_t)status.st_size, 0) != status.st_size) {
        free(bytes);
        return NULL;
    }
    *size = (size_t)status.st_size;
    return bytes;
}

static void name_file(int file, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "/proc/self/fd/%d", file);
}

/** The child: becomes espsecure, under its name of today or of before esptool 5. */
static _Noreturn void become_espsecure(const char *key, const files_t *files)
{
    char in[PATH_SIZE];
    char out[PATH_SIZE];
    name_file(files->in, in);
    name_file(files->out, out);
    dup2(files->log, STDOUT_FILENO);
    dup2(files->log, STDERR_FILENO);
    execlp("espsecure", "espsecure", "sign-data", "--version", "2", "--keyfile", key, "--output", out, in,
           (char *)NULL);
    execlp("espsecure.py", "espsecure.py", "sign_data", "--version", "2", "--keyfile", key, "--output", out, in,
           (char *)NULL);
    _exit(NOT_THERE);
}

/** @return its exit status; negative: it did not come to one. */
static int run_espsecure(const char *key, const files_t *files)
{
    int status = 0;
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        become_espsecure(key, files);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/** The last line that is not empty: what it complains of. */
static int tell_failure(const char *key, int log)
{
    size_t size = 0;
    char *text = (char *)read_all(log, &size);
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' ')) {
        size--;
    }
    const char *last = size > 0 ? memrchr(text, '\n', size) : NULL;
    last = last != NULL ? last + 1 : text;
    const int length = size > 0 ? (int)(text + size - last) : 0;
    const int status =
        complain(STATUS_BAD_INPUT, "%s: espsecure does not sign with it: %.*s", key, length, length > 0 ? last : "");
    free(text);
    return status;
}

/** The image is as it was, and a signature follows. */
static bool is_signed(const uint8_t *image, size_t size, const uint8_t *made, size_t made_size)
{
    sr_image_t parsed;
    const sr_reader_t reader = sr_reader_memory(made, (uint32_t)made_size);
    return made_size > size && made_size <= FLASH_LIMIT && memcmp(made, image, size) == 0 &&
           sr_image_parse(&reader, &parsed) == SR_IMAGE_OK &&
           sr_image_has_signature_block(&reader, &parsed, SR_IMAGE_SECURE_BOOT_V2);
}

static int sign(const char *key, const files_t *files, uint8_t **image, size_t *size)
{
    if (!write_all(files->in, *image, *size) || lseek(files->in, 0, SEEK_SET) != 0) {
        return complain(STATUS_BAD_INPUT, "--sign-image: %s", strerror(errno));
    }
    const int ended = run_espsecure(key, files);
    if (ended == NOT_THERE) {
        return complain(STATUS_BAD_INPUT, "--sign-image: espsecure is not in PATH: it comes with esptool, pip install "
                                          "esptool; or sign the upload yourself, without this option");
    }
    size_t made_size = 0;
    uint8_t *made = ended == 0 ? read_all(files->out, &made_size) : NULL;
    if (made == NULL) {
        return tell_failure(key, files->log);
    }
    if (!is_signed(*image, *size, made, made_size)) {
        free(made);
        return complain(STATUS_BAD_INPUT, "--sign-image: what espsecure made is not this image with a signature");
    }
    free(*image);
    *image = made;
    *size = made_size;
    return STATUS_OK;
}

int image_signer_sign(const char *key, uint8_t **image, size_t *size)
{
    image_file_t file;
    const int loaded = image_file_load(key, &file); // so that no output overwrites it
    if (loaded != STATUS_OK) {
        return loaded;
    }
    explicit_bzero(file.bytes, file.size);
    image_file_free(&file);
    const files_t files = {
        .in = memfd_create("image", 0), .out = memfd_create("signed", 0), .log = memfd_create("log", 0)};
    const bool open = files.in >= 0 && files.out >= 0 && files.log >= 0;
    const int status =
        open ? sign(key, &files, image, size) : complain(STATUS_BAD_INPUT, "--sign-image: %s", strerror(errno));
    const int all[] = {files.in, files.out, files.log};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] >= 0) {
            close(all[i]);
        }
    }
    return status;
}
