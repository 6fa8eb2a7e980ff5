// SPDX-License-Identifier: Apache-2.0
#include "tool/run/steps.h"

#include "format/sr_region.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/number.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define FLASH_PREFIX    "flash:"
#define HEAD_TIMEOUT_MS 20000L

/** Reads "ADDRESS+SIZE", or "ADDRESS" alone; then the size is 0. */
static bool parse_region(const char *text, addr_region_t *region)
{
    const char *end = NULL;
    uint32_t size = 0;
    if (!number_parse_prefix(text, &region->region_address, &end)) {
        return false;
    }
    if (*end == '+') {
        if (!number_parse(end + 1, &size) || size == 0) {
            return false;
        }
    } else if (*end != '\0') {
        return false;
    }
    region->region_size = size;
    return true;
}

static int digest_bytes(const uint8_t *bytes, size_t size, migration_step_t *step)
{
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, bytes, size);
    step->has_sha256 = true;
    if (sr_sha256_finish(&sha, step->sha256) != 0) {
        return complain(STATUS_BAD_INPUT, "%s: the crypto library failed", step->name);
    }
    return STATUS_OK;
}

/**
 * Asks the server how long the image is.
 * @param[out] length 0 if the server does not tell.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining that there is nothing to download.
 */
static int ask_length(const char *url, const char *ca, curl_off_t *length)
{
    long answer = 0;
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", url);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, HEAD_TIMEOUT_MS);
    struct curl_blob blob = {.data = (void *)(uintptr_t)ca, .len = ca != NULL ? strlen(ca) : 0};
    if (ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    }
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, length);
    }
    curl_easy_cleanup(curl);
    if (code != CURLE_OK) {
        return complain(STATUS_BAD_INPUT, "%s: %s: is the server running, and the address right?", url,
                        curl_easy_strerror(code));
    }
    // some servers do not support HEAD; those that do and have the file answer 200
    const bool unknown_method = answer == 405 || answer == 501;
    if (answer >= 400 && !unknown_method) {
        return complain(STATUS_BAD_INPUT, "%s: the server answers %ld%s", url, answer,
                        answer == 404 ? " (not found): is the path right?" : "");
    }
    *length = *length < 0 || unknown_method ? 0 : *length;
    return STATUS_OK;
}

static bool is_url(const char *source)
{
    return strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0;
}

static int prepare_url(migration_step_t *step, const steps_setting_t *setting, uint64_t *image_size)
{
    step->url = step->name;
    if (setting->digests) {
        return complain(STATUS_USAGE, "%s: --sha needs files or flash: sources, whose content is known", step->name);
    }
    if (step->destination.region_size == 0) {
        curl_off_t length = 0;
        const int status = ask_length(step->name, setting->ca, &length);
        if (status != STATUS_OK) {
            return status;
        }
        if (length == 0) {
            return complain(STATUS_USAGE, "%s: the server does not tell the length; give the size: OFFSET+SIZE",
                            step->name);
        }
        *image_size = (uint64_t)length;
    }
    return STATUS_OK;
}

bool steps_is_flash_source(const char *source)
{
    return strncmp(source, FLASH_PREFIX, strlen(FLASH_PREFIX)) == 0;
}

int steps_parse_flash_source(const char *source, addr_region_t *region)
{
    if (!parse_region(source + strlen(FLASH_PREFIX), region) || region->region_size == 0) {
        return complain(STATUS_USAGE, "bad source '%s': flash:ADDRESS+SIZE expected", source);
    }
    return STATUS_OK;
}

static int prepare_flash(migration_step_t *step, const steps_setting_t *setting, uint64_t *image_size)
{
    const int status = steps_parse_flash_source(step->name, &step->source);
    if (status != STATUS_OK) {
        return status;
    }
    *image_size = step->source.region_size;
    sr_region_t region = {step->source.region_address, (uint32_t)step->source.region_size};
    // the component refuses a source past the end; there is nothing to digest then
    if (setting->digests && sr_region_fits(region, setting->flash->size)) {
        return digest_bytes(setting->flash->bytes + region.address, region.size, step);
    }
    return STATUS_OK;
}

static int prepare_file(migration_step_t *step, image_file_t *file, bool digests, uint64_t *image_size)
{
    int status = image_file_load(step->name, file);
    if (status != STATUS_OK) {
        return status;
    }
    file_kind_warn(file);
    *image_size = file->size;
    const char *slash = strrchr(step->name, '/');
    step->name = slash != NULL ? slash + 1 : step->name;
    return digests ? digest_bytes(file->bytes, file->size, step) : STATUS_OK;
}

static int prepare_step(const char *where, const char *source, const steps_setting_t *setting, migration_step_t *step,
                        image_file_t *file)
{
    if (!parse_region(where, &step->destination)) {
        return complain(STATUS_USAGE, "bad destination '%s': OFFSET or OFFSET+SIZE expected, as 0x10000+0x100000",
                        where);
    }
    step->name = source;
    uint64_t size = 0;
    int status = STATUS_OK;
    if (is_url(source)) {
        status = prepare_url(step, setting, &size);
    } else if (steps_is_flash_source(source)) {
        status = prepare_flash(step, setting, &size);
    } else {
        status = prepare_file(step, file, setting->digests, &size);
    }
    if (status == STATUS_OK && step->destination.region_size == 0) {
        if (size > UINT32_MAX - SR_SECTOR_SIZE) {
            return complain(STATUS_BAD_INPUT, "%s: larger than any flash", source);
        }
        step->destination.region_size = (size_t)sr_region_align_up((uint32_t)size, SR_SECTOR_SIZE);
    }
    return status;
}

static int serve_files(steps_t *steps)
{
    bool any = false;
    for (size_t i = 0; i < steps->count; i++) {
        any = any || steps->files[i].bytes != NULL;
    }
    if (!any) {
        return STATUS_OK;
    }
    steps->server = local_server_start(steps->files, steps->count);
    if (steps->server == NULL) {
        return complain(STATUS_BAD_INPUT, "cannot listen on the loopback interface");
    }
    for (size_t i = 0; i < steps->count; i++) {
        if (steps->files[i].bytes != NULL) {
            steps->list[i].url = local_server_url(steps->server, i, steps->urls[i]);
        }
    }
    return STATUS_OK;
}

int steps_prepare(char *const *words, size_t word_count, const steps_setting_t *setting, steps_t *steps)
{
    *steps = (steps_t){.count = word_count / 2};
    steps->list = calloc(steps->count, sizeof(*steps->list));
    steps->files = calloc(steps->count, sizeof(*steps->files));
    steps->urls = calloc(steps->count, sizeof(*steps->urls));
    if (steps->list == NULL || steps->files == NULL || steps->urls == NULL) {
        return complain(STATUS_BAD_INPUT, "out of memory");
    }
    for (size_t i = 0; i < steps->count; i++) {
        int status = prepare_step(words[2 * i], words[2 * i + 1], setting, &steps->list[i], &steps->files[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return serve_files(steps);
}

void steps_free(steps_t *steps)
{
    local_server_stop(steps->server);
    for (size_t i = 0; steps->files != NULL && i < steps->count; i++) {
        image_file_free(&steps->files[i]);
    }
    free(steps->list);
    free(steps->files);
    free(steps->urls);
}
