// SPDX-License-Identifier: Apache-2.0
#include "tool/base/output_file.h"

#include "tool/base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY_NAME "/.self-reflasher-XXXXXX"
#define MOST_LINKS     40u /**< Device and inode. */

/** A file that was read. */
typedef struct input {
    dev_t device;
    ino_t inode;
    const char *path;
    bool replaceable;
} input_t;

static struct {
    input_t *list;
    size_t count;
} inputs;

#define MOST_OUTPUTS 4u
/** Outputs that were checked, with all links followed, and as they were given. */
static struct {
    char *places[MOST_OUTPUTS];
    const char *paths[MOST_OUTPUTS];
    size_t count;
} outputs;

/** The temporary file that a signal would leave; read by its handler. */
static char temporary[PATH_MAX];
static volatile bool has_temporary;

static int complain_errno(const char *path)
{
    return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
}

static bool is_same(const struct stat *a, dev_t device, ino_t inode)
{
    return a->st_dev == device && a->st_ino == inode;
}

/** True if standard output is this regular file. */
static bool is_standard_output(const struct stat *status)
{
    struct stat out;
    return fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(out.st_mode) && is_same(status, out.st_dev, out.st_ino);
}

int output_file_note_input(const char *path, const struct stat *status)
{
    if (!S_ISREG(status->st_mode)) {
        return STATUS_OK;
    }
    if (is_standard_output(status)) {
        return complain(STATUS_BAD_INPUT, "%s: standard output goes into this file, which is an input", path);
    }
    input_t *grown = realloc(inputs.list, (inputs.count + 1) * sizeof(*grown));
    char *name = strdup(path); // the caller's may be gone when an output is written
    if (grown != NULL) {
        inputs.list = grown;
    }
    if (grown == NULL || name == NULL) {
        free(name);
        return complain_errno(path);
    }
    inputs.list[inputs.count++] = (input_t){.device = status->st_dev, .inode = status->st_ino, .path = name};
    return STATUS_OK;
}

void output_file_allow(const char *path)
{
    struct stat status;
    for (size_t i = 0; stat(path, &status) == 0 && i < inputs.count; i++) {
        input_t *input = &inputs.list[i];
        input->replaceable |= is_same(&status, input->device, input->inode) && strcmp(input->path, path) == 0;
    }
}

/** The path without its last part: "." if it has one only. @return Owned by the caller; NULL without memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return strdup(".");
    }
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/** Puts @p name, as seen from the folder that @p path is in, into its place. @return false without memory. */
static bool follow(char **path, const char *name)
{
    char *joined = NULL;
    char *folder = folder_of(*path);
    if (folder == NULL ||
        (name[0] == '/' ? asprintf(&joined, "%s", name) : asprintf(&joined, "%s/%s", folder, name)) < 0) {
        free(folder);
        return false;
    }
    free(folder);
    free(*path);
    *path = joined;
    return true;
}

/** Resolves the folders of a path whose last part is no link. */
static char *resolve_folder(const char *path)
{
    char *folder = folder_of(path);
    char *real = folder == NULL ? NULL : realpath(folder, NULL);
    char *place = NULL;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    if (real != NULL && name[0] == '\0') {
        errno = ENOENT;
    } else if (real != NULL && asprintf(&place, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0) {
        place = NULL;
    }
    free(folder);
    free(real);
    return place;
}

/**
 * Where a file of this name is, or will be: links are followed, also a last one whose target does not exist yet.
 * @return Owned by the caller; NULL with errno.
 */
static char *resolve(const char *path)
{
    char *at = strdup(path);
    char target[PATH_MAX];
    for (unsigned i = 0; at != NULL && i < MOST_LINKS; i++) {
        const ssize_t length = readlink(at, target, sizeof(target) - 1);
        if (length < 0) {
            char *place = resolve_folder(at);
            free(at);
            return place;
        }
        target[length] = '\0';
        if (!follow(&at, target)) {
            break;
        }
    }
    free(at);
    errno = at == NULL ? ENOMEM : ELOOP;
    return NULL;
}

/** Complains if this existing file must not be replaced. */
static int check_existing(const char *path, const struct stat *status)
{
    if (S_ISDIR(status->st_mode)) {
        return complain(STATUS_BAD_INPUT, "%s: is a folder, where a file is to be written", path);
    }
    if (is_standard_output(status)) {
        return complain(STATUS_BAD_INPUT, "%s: standard output goes into this file: name another one", path);
    }
    // rename() would replace it nevertheless, and root may write everything
    if (access(path, W_OK) != 0 || (S_ISREG(status->st_mode) && (status->st_mode & 0222) == 0)) {
        return complain(STATUS_BAD_INPUT, "%s: is write-protected: name another file", path);
    }
    for (size_t i = 0; i < inputs.count; i++) {
        const input_t *input = &inputs.list[i];
        if (!input->replaceable && is_same(status, input->device, input->inode)) {
            return complain(STATUS_BAD_INPUT,
                            "%s: is the same file as the input %s, which would be lost: name another one", path,
                            input->path);
        }
    }
    return STATUS_OK;
}

/** Complains if another output goes to this place; else remembers it. */
static int check_others(const char *path, char *place)
{
    for (size_t i = 0; i < outputs.count; i++) {
        if (strcmp(outputs.places[i], place) == 0) {
            free(place);
            return complain(STATUS_BAD_INPUT, "%s: %s is written there already: name another one", path,
                            outputs.paths[i]);
        }
    }
    if (outputs.count < MOST_OUTPUTS) {
        outputs.paths[outputs.count] = path;
        outputs.places[outputs.count++] = place;
    } else {
        free(place);
    }
    return STATUS_OK;
}

static int check_folder(const char *path, const char *place)
{
    char *folder = folder_of(place);
    if (folder == NULL || access(folder, W_OK | X_OK) != 0) {
        const int status = complain(STATUS_BAD_INPUT, "%s: no file can be made in %s: %s", path,
                                    folder != NULL ? folder : "its folder", strerror(errno));
        free(folder);
        return status;
    }
    free(folder);
    return STATUS_OK;
}

int output_file_check(const char *path)
{
    struct stat status;
    if (path == NULL) {
        return STATUS_OK;
    }
    const bool exists = stat(path, &status) == 0;
    const int checked = exists ? check_existing(path, &status) : STATUS_OK;
    if (checked != STATUS_OK || (exists && !S_ISREG(status.st_mode))) {
        return checked;
    }
    char *place = resolve(path);
    if (place == NULL) {
        return complain_errno(path);
    }
    const int folder = check_folder(path, place);
    if (folder != STATUS_OK) {
        free(place);
        return folder;
    }
    return check_others(path, place);
}

static bool write_all(int file, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0) {
        const ssize_t put = write(file, next, size);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        next += put > 0 ? put : 0;
        size -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

/** Writes to what is not a regular file. */
static int write_through(const char *path, const void *bytes, size_t size)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) {
        return complain_errno(path);
    }
    const bool written = write_all(file, bytes, size);
    const int error = errno;
    if (close(file) != 0 || !written) {
        errno = written ? errno : error;
        return complain_errno(path);
    }
    return STATUS_OK;
}

/** Makes the temporary file beside @p place. @return Its descriptor, or -1 with errno. */
static int open_temporary(const char *place)
{
    char *folder = folder_of(place);
    const int length = folder == NULL ? -1 : snprintf(temporary, sizeof(temporary), "%s" TEMPORARY_NAME, folder);
    free(folder);
    if (length < 0 || (size_t)length >= sizeof(temporary)) {
        errno = length < 0 ? ENOMEM : ENAMETOOLONG;
        return -1;
    }
    const int file = mkostemp(temporary, O_CLOEXEC);
    has_temporary = file >= 0;
    return file;
}

/** The folder's entry has to reach the disk, too. File systems that cannot do this say EINVAL. */
static bool sync_folder(const char *place)
{
    char *folder = folder_of(place);
    const int file = folder == NULL ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (file < 0) {
        return errno == EACCES; // a folder may be writable and not readable
    }
    const bool synced = fsync(file) == 0 || errno == EINVAL;
    close(file);
    return synced;
}

static mode_t default_mode(void)
{
    const mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/** Puts the temporary file under its name. */
static bool settle(const char *place, bool replace)
{
    if (replace) {
        return rename(temporary, place) == 0;
    }
    // neither replaces a file that has come meanwhile; which of both works depends on the file system
    return renameat2(AT_FDCWD, temporary, AT_FDCWD, place, RENAME_NOREPLACE) == 0 ||
           (errno == EINVAL && link(temporary, place) == 0 && unlink(temporary) == 0);
}

/** @param old Of the file that is replaced; NULL: there is none, and none may come. */
static bool write_place(const char *place, const void *bytes, size_t size, mode_t mode, const struct stat *old,
                        bool replace)
{
    const int file = open_temporary(place);
    if (file < 0) {
        return false;
    }
    // with sudo the file remains the user's; where that is not allowed, it becomes the writer's
    const bool kept = old == NULL || fchown(file, old->st_uid, old->st_gid) == 0 || errno == EPERM;
    bool written = kept && fchmod(file, mode) == 0 && write_all(file, bytes, size) && fsync(file) == 0;
    int error = errno;
    if (close(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (!written || !settle(place, replace)) {
        error = written ? errno : error;
        output_file_abandon();
        errno = error;
        return false;
    }
    has_temporary = false;
    return sync_folder(place);
}

int output_file_write(const char *path, const void *bytes, size_t size)
{
    struct stat old;
    const bool exists = stat(path, &old) == 0;
    const int checked = exists ? check_existing(path, &old) : STATUS_OK;
    if (checked != STATUS_OK) {
        return checked;
    }
    if (exists && !S_ISREG(old.st_mode)) {
        return write_through(path, bytes, size);
    }
    char *place = resolve(path);
    const mode_t mode = exists ? old.st_mode & 07777 : default_mode();
    const bool written = place != NULL && write_place(place, bytes, size, mode, exists ? &old : NULL, true);
    const int error = errno;
    free(place);
    return written ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s: not written: %s", path, strerror(error));
}

int output_file_create(const char *path, const void *bytes, size_t size, mode_t mode)
{
    struct stat old;
    if (lstat(path, &old) == 0) {
        return complain(STATUS_BAD_INPUT, "%s: exists, and is not overwritten: move it away, or name another one",
                        path);
    }
    char *place = resolve(path);
    const bool written = place != NULL && write_place(place, bytes, size, mode, NULL, false);
    const int error = errno;
    free(place);
    return written ? STATUS_OK : complain(STATUS_BAD_INPUT, "%s: not written: %s", path, strerror(error));
}

void output_file_abandon(void)
{
    if (has_temporary) {
        has_temporary = false;
        (void)unlink(temporary);
    }
}
