// SPDX-License-Identifier: Apache-2.0
/** @file
 * The boot model against what the real mask ROM and real bootloaders did with the same flash.
 */
#include "format/sr_sha256.h"
#include "sim/boot/boot_model.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE (4u << 20)
#define MAX_FILES  64
#define MAX_SIZE   (32u << 20)

typedef struct base_file {
    char name[128];
    uint8_t *bytes;
    size_t length;
} base_file_t;

static base_file_t files[MAX_FILES];
static unsigned file_count;
static uint8_t flash[FLASH_SIZE];

static const char *folder(const char *variable, const char *fallback)
{
    const char *set = getenv(variable);
    return set != NULL && set[0] != '\0' ? set : fallback;
}

/** The whole file with a zero after it, or NULL. The caller frees. */
static uint8_t *read_file(const char *directory, const char *name, size_t *length)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    uint8_t *bytes = size >= 0 ? malloc((size_t)size + 1) : NULL;
    rewind(file);
    if (bytes != NULL && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    (void)fclose(file);
    if (bytes != NULL) {
        bytes[size] = 0;
        *length = (size_t)size;
    }
    return bytes;
}

static const base_file_t *base_file(const char *name)
{
    for (unsigned i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    if (file_count == MAX_FILES) {
        return NULL;
    }
    base_file_t *file = &files[file_count];
    file->bytes = read_file(folder("SELF_REFLASHER_FIXTURES", TEST_FIXTURES_DEFAULT), name, &file->length);
    if (file->bytes == NULL) {
        return NULL;
    }
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    file_count++;
    return file;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text != NULL ? text : "";
}

static size_t number_of(const cJSON *step, const char *name, size_t fallback)
{
    const char *text = text_of(step, name);
    return text[0] != '\0' ? strtoul(text, NULL, 16) : fallback;
}

static bool in_flash(size_t from, size_t length)
{
    return length != 0 && from <= FLASH_SIZE && length <= FLASH_SIZE - from;
}

static bool put_file(const cJSON *step, size_t at)
{
    const base_file_t *file = base_file(text_of(step, "file"));
    if (file == NULL) {
        return false;
    }
    size_t from = number_of(step, "from", 0), to = number_of(step, "to", file->length);
    if (from >= to || to > file->length || !in_flash(at, to - from)) {
        return false;
    }
    memcpy(flash + at, file->bytes + from, to - from);
    return true;
}

static bool put_hex(const cJSON *step, size_t at)
{
    const char *hex = text_of(step, "hex");
    size_t length = strlen(hex) / 2;
    if (!in_flash(at, length)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        flash[at + i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool apply_step(const cJSON *step)
{
    const char *op = text_of(step, "op");
    size_t at = number_of(step, "at", 0);
    if (strcmp(op, "put") == 0) {
        return put_file(step, at);
    }
    if (strcmp(op, "bytes") == 0) {
        return put_hex(step, at);
    }
    if (strcmp(op, "xor") == 0 && in_flash(at, 1)) {
        flash[at] ^= (uint8_t)number_of(step, "mask", 0);
        return true;
    }
    size_t from = number_of(step, "from", 0), to = number_of(step, "to", 0);
    if (strcmp(op, "fill") != 0 || from >= to || !in_flash(from, to - from)) {
        return false;
    }
    memset(flash + from, (int)number_of(step, "byte", 0), to - from);
    return true;
}

static bool flash_is(const char *sha256)
{
    sr_sha256_t sha;
    uint8_t digest[SR_SHA256_SIZE];
    char hex[2 * SR_SHA256_SIZE + 1];
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, flash, sizeof(flash));
    if (sr_sha256_finish(&sha, digest) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(digest); i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return strcmp(hex, sha256) == 0;
}

/** The result in the oracle's terms, in which a ROM that hangs has not booted either. */
static void describe(const boot_result_t *result, char *out, size_t size)
{
    if (boot_succeeds(result)) {
        (void)snprintf(out, size, "%s:0x%" PRIx32, boot_outcome_name(result->outcome), result->app_offset);
    } else {
        (void)snprintf(out, size, "%s", boot_outcome_name(result->outcome));
    }
}

/** Boots once and compares with one boot of the oracle. @return Number of differences, printed. */
static unsigned compare_boot(const char *id, unsigned number, const cJSON *expected)
{
    const boot_chip_t chip = {.chip = sr_chip_by_name("esp32")};
    boot_result_t result;
    char actual[64];
    unsigned faults = 0;
    boot_run(&chip, flash, sizeof(flash), NULL, NULL, &result);
    describe(&result, actual, sizeof(actual));
    const char *outcome = text_of(expected, "outcome");
    if (strcmp(outcome, "rom_stuck") == 0) {
        outcome = "rom_rejects";
    }
    if (strcmp(outcome, actual) != 0) {
        print_error("%s, boot %u: real %s, model %s (%s)\n", id, number, outcome, actual, result.reason);
        faults++;
    }
    const cJSON *after = cJSON_GetObjectItemCaseSensitive(expected, "flash_after");
    if (result.flash_changed != (after != NULL)) {
        print_error("%s, boot %u: model says flash %s (%s)\n", id, number,
                    result.flash_changed ? "changed" : "did not change", result.reason);
        faults++;
    }
    if (after != NULL && !flash_is(text_of(after, "sha256"))) {
        print_error("%s, boot %u: flash is not what the real boot left (%s)\n", id, number, result.reason);
        faults++;
    }
    return faults;
}

static unsigned compare_case(const cJSON *one)
{
    const char *id = text_of(one, "id");
    memset(flash, 0xFF, sizeof(flash));
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(one, "steps"))
    {
        if (!apply_step(item)) {
            print_error("%s: cannot apply a step \"%s\"\n", id, text_of(item, "op"));
            return 1;
        }
    }
    if (!flash_is(text_of(one, "sha256"))) {
        print_error("%s: the flash that was built is not the one of the oracle\n", id);
        return 1;
    }
    unsigned number = 1;
    unsigned faults = compare_boot(id, number, one);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(one, "later_boots"))
    {
        faults += compare_boot(id, ++number, item);
    }
    return faults;
}

static bool put_part(const cJSON *part, uint8_t *system, size_t size)
{
    const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(part, 0));
    const char *at_text = cJSON_GetStringValue(cJSON_GetArrayItem(part, 1));
    const base_file_t *file = name != NULL && at_text != NULL ? base_file(name) : NULL;
    const size_t at = file != NULL ? strtoul(at_text, NULL, 16) : 0;
    const bool fits = file != NULL && at <= size && file->length <= size - at;
    if (fits) {
        memcpy(system + at, file->bytes, file->length);
    }
    return fits;
}

/** A whole system as its project publishes it. @return Number of differences, printed. */
static unsigned compare_system(const cJSON *one)
{
    const size_t size = strtoul(text_of(one, "flash_size"), NULL, 10) << 20; /* "4MB" */
    const boot_chip_t chip = {.chip = sr_chip_by_name(text_of(one, "chip"))};
    uint8_t *system = chip.chip != NULL && size != 0 && size <= MAX_SIZE ? malloc(size) : NULL;
    if (system == NULL) {
        print_error("%s: no such chip or size\n", text_of(one, "id"));
        return 1;
    }
    memset(system, 0xFF, size);
    bool placed = true;
    const cJSON *part;
    cJSON_ArrayForEach(part, cJSON_GetObjectItemCaseSensitive(one, "parts"))
    {
        placed = placed && put_part(part, system, size);
    }
    boot_result_t result;
    char actual[64];
    boot_run(&chip, system, (uint32_t)size, NULL, NULL, &result);
    describe(&result, actual, sizeof(actual));
    free(system);
    const bool same = placed && strcmp(text_of(one, "outcome"), actual) == 0;
    if (!same) {
        print_error("%s: real %s, model %s (%s)\n", text_of(one, "id"), text_of(one, "outcome"),
                    placed ? actual : "has no such parts", result.reason);
    }
    return same ? 0 : 1;
}

/** Compares each entry of a list of the oracle, or skips. */
static void compare_all(const char *name, unsigned (*compare)(const cJSON *one))
{
    size_t length = 0;
    uint8_t *text = read_file(folder("SELF_REFLASHER_ORACLE", TEST_ORACLE_DEFAULT), name, &length);
    if (text == NULL || base_file("idf/bootloader_esp32_v5_2.bin") == NULL) {
        print_message("skipped: no %s in SELF_REFLASHER_ORACLE, or no SELF_REFLASHER_FIXTURES\n", name);
        free(text);
        skip();
    }
    cJSON *cases = cJSON_ParseWithLength((const char *)text, length);
    free(text);
    assert_non_null(cases);
    unsigned count = 0, faults = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, cases)
    {
        faults += compare(one);
        count++;
    }
    cJSON_Delete(cases);
    print_message("%u cases of the oracle, %u differences\n", count, faults);
    assert_int_not_equal(count, 0);
    assert_int_equal(faults, 0);
}

static void every_case_boots_as_the_real_chip_did(void **state)
{
    (void)state;
    compare_all("cases.json", compare_case);
}

static void every_published_system_boots_as_on_the_real_chip(void **state)
{
    (void)state;
    compare_all("real.json", compare_system);
}

static int free_files(void **state)
{
    (void)state;
    while (file_count != 0) {
        free(files[--file_count].bytes);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_boots_as_the_real_chip_did),
        cmocka_unit_test(every_published_system_boots_as_on_the_real_chip),
    };
    return cmocka_run_group_tests(tests, NULL, free_files);
}
