// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/fetch_cache.h"

#include "format/sr_digest.h"
#include "tool/base/command.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/pack/http_fetch.h"
#include "tool/pack/web_address.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAG_NAME "/CACHEDIR.TAG"
/** A file's name has these of the URL's digest, and so many characters of the URL. */
#define DIGEST_DIGITS 32u
#define NAME_LENGTH   60

// https://bford.info/cachedir/
static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                          "# Files that " PROGRAM_NAME " pack has fetched. All of this folder can be removed.\n";

static int complain_errno(const char *path)
{
    return complain(STATUS_BAD_INPUT, "%s: %s", path, strerror(errno));
}

/** "new.srb.cache", or a file in it. @param end What follows. @return Owned by the caller; NULL without memory. */
static char *path_in(const fetch_cache_t *cache, const char *end)
{
    char *path = NULL;
    return asprintf(&path, "%s.cache%s", cache->out_path, end) < 0 ? NULL : path;
}

static bool is_empty(const char *folder)
{
    DIR *entries = opendir(folder);
    unsigned count = 0;
    while (entries != NULL && count <= 2 && readdir(entries) != NULL) {
        count++; // "." and ".." among them
    }
    const bool empty = entries != NULL && count <= 2;
    if (entries != NULL) {
        closedir(entries);
    }
    return empty;
}

/** Complains about a folder that pack has not made. One that is empty may be another pack's, which begins just now. */
static int check_folder(const fetch_cache_t *cache, const char *folder)
{
    struct stat status;
    char *path = path_in(cache, TAG_NAME);
    if (path == NULL || stat(folder, &status) != 0) {
        free(path);
        return complain_errno(folder);
    }
    // asked once more at the end: the other pack may have put its tag there meanwhile
    const bool own =
        S_ISDIR(status.st_mode) && (access(path, F_OK) == 0 || is_empty(folder) || access(path, F_OK) == 0);
    free(path);
    if (!own) {
        return complain(STATUS_BAD_INPUT,
                        "%s: is %s, and what is fetched would go there: move it away, or name another output", folder,
                        S_ISDIR(status.st_mode) ? "a folder that pack has not made" : "no folder");
    }
    return access(folder, W_OK | X_OK) == 0 ? STATUS_OK : complain_errno(folder);
}

/** @param[out] made True if there was no folder. */
static int make_folder(const fetch_cache_t *cache, const char *folder, bool *made)
{
    struct stat status;
    *made = false;
    if (cache->out_path[0] == '\0' || (stat(cache->out_path, &status) == 0 && !S_ISREG(status.st_mode))) {
        return complain(STATUS_BAD_INPUT, "'%s' is no file, and what is fetched has no place beside it",
                        cache->out_path);
    }
    *made = mkdir(folder, 0777) == 0;
    if (!*made && errno != EEXIST) {
        return complain(STATUS_BAD_INPUT, "%s: no folder can be made there for what is fetched: %s", folder,
                        strerror(errno));
    }
    return check_folder(cache, folder);
}

/** In one step for those who look: the folder is empty before, and has the tag after it. */
static int put_tag(const fetch_cache_t *cache)
{
    char *path = path_in(cache, TAG_NAME);
    if (path == NULL) {
        return complain_errno(cache->out_path);
    }
    FILE *out = fopen(path, "wxe");
    bool good = out != NULL || errno == EEXIST;
    if (out != NULL) {
        good = fputs(tag, out) >= 0;
        good = fclose(out) == 0 && good;
    }
    const int status = good ? STATUS_OK : complain_errno(path);
    if (!good && out != NULL) {
        (void)unlink(path);
    }
    free(path);
    return status;
}

static bool holds(const char *path, const image_file_t *file)
{
    FILE *in = fopen(path, "rbe");
    uint8_t bytes[4096];
    size_t done = 0;
    size_t got = 0;
    bool same = in != NULL;
    while (same && (got = fread(bytes, 1, sizeof(bytes), in)) > 0) {
        same = got <= file->size - done && memcmp(bytes, file->bytes + done, got) == 0;
        done += got;
    }
    if (in != NULL) {
        fclose(in);
    }
    return same && done == file->size;
}

static int store(const fetch_cache_t *cache, const char *folder, const char *path, const image_file_t *file)
{
    bool made;
    int status = make_folder(cache, folder, &made); // another pack that failed may have removed it
    if (status == STATUS_OK) {
        status = put_tag(cache);
    }
    // of several packs at once, the first one writes: a file that another one reads is replaced by a new version only
    const int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock >= 0) {
        (void)flock(lock, LOCK_EX); // a file system may not have it
    }
    if (status == STATUS_OK && !holds(path, file)) {
        status = output_file_write(path, file->bytes, file->size);
    }
    if (lock >= 0) {
        close(lock);
    }
    return status;
}

static void warn_of_plain_http(fetch_cache_t *cache, const char *url)
{
    if (!cache->warned && !web_address_is_https(url)) {
        complain(STATUS_OK, "warning: %s is plain http: anybody on the way can change what it brings", url);
        cache->warned = true;
    }
}

static int fetch_into(const fetch_cache_t *cache, const fetched_file_t *entry, image_file_t *file)
{
    char *folder = path_in(cache, "");
    bool made = false;
    if (folder == NULL) {
        return complain_errno(cache->out_path);
    }
    int status = make_folder(cache, folder, &made);
    if (status == STATUS_OK) {
        const char *name = entry->path + strlen(folder) + 1 + DIGEST_DIGITS;
        const http_fetch_t fetch = {.url = entry->url, .ca = cache->ca, .name = name[0] == '-' ? name + 1 : "file"};
        status = http_fetch(&fetch, file);
    }
    if (status == STATUS_OK) {
        status = store(cache, folder, entry->path, file);
    }
    if (status != STATUS_OK && made) {
        (void)rmdir(folder); // unless there is something in it meanwhile
    }
    free(folder);
    return status;
}

/** "/DIGEST-NAME": the URL's digest, and the last part of its path for people, harmless characters only. */
static char *name_of(const char *url)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    uint8_t digest[SR_SHA256_SIZE];
    char digits[DIGEST_DIGITS + 1];
    if (!sr_digest((const uint8_t *)url, strlen(url), digest)) {
        return NULL;
    }
    (void)number_hex(digest, DIGEST_DIGITS / 2, digits);
    const int length = (int)strcspn(url, "?#");
    int start = length;
    while (start > 0 && url[start - 1] != '/') {
        start--;
    }
    char *name = NULL;
    const int shown = length - start < NAME_LENGTH ? length - start : NAME_LENGTH;
    if (asprintf(&name, "/%s%s%.*s", digits, shown > 0 ? "-" : "", shown, url + start) < 0) {
        return NULL;
    }
    for (char *at = name + 1; *at != '\0'; at++) {
        *at = strchr(harmless, *at) != NULL ? *at : '_';
    }
    return name;
}

static bool name_entry(const fetch_cache_t *cache, const char *url, fetched_file_t *entry)
{
    char *name = name_of(url);
    *entry = (fetched_file_t){.url = strdup(url), .path = name == NULL ? NULL : path_in(cache, name)};
    free(name);
    return entry->url != NULL && entry->path != NULL;
}

static void free_entry(fetched_file_t *entry)
{
    free(entry->url);
    free(entry->path);
}

static int get(fetch_cache_t *cache, fetched_file_t *entry)
{
    image_file_t file = {0};
    warn_of_plain_http(cache, entry->url);
    entry->was_there = !cache->again && access(entry->path, F_OK) == 0;
    cache->was_used |= entry->was_there;
    int status = entry->was_there ? image_file_load(entry->path, &file) : fetch_into(cache, entry, &file);
    entry->size = file.size;
    if (status == STATUS_OK && !sr_digest(file.bytes, file.size, entry->sha256)) {
        status = complain(STATUS_BAD_INPUT, "%s: no SHA-256 can be made", entry->path);
    }
    image_file_free(&file);
    return status;
}

static int add(fetch_cache_t *cache, const char *url)
{
    fetched_file_t *grown = realloc(cache->list, (cache->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return complain_errno(url);
    }
    cache->list = grown;
    fetched_file_t *entry = &grown[cache->count];
    const int status = name_entry(cache, url, entry) ? get(cache, entry) : complain_errno(url);
    if (status != STATUS_OK) {
        free_entry(entry);
        return status;
    }
    cache->count++;
    return STATUS_OK;
}

int fetch_cache_get(fetch_cache_t *cache, const char *url, const char **path)
{
    size_t found = 0;
    while (found < cache->count && strcmp(cache->list[found].url, url) != 0) {
        found++;
    }
    const int status = found == cache->count ? add(cache, url) : STATUS_OK;
    *path = status == STATUS_OK ? cache->list[found].path : NULL;
    return status;
}

void fetch_cache_free(fetch_cache_t *cache)
{
    for (size_t i = 0; i < cache->count; i++) {
        free_entry(&cache->list[i]);
    }
    free(cache->list);
    *cache = (fetch_cache_t){0};
}
