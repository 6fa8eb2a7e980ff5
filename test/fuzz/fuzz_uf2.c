// SPDX-License-Identifier: Apache-2.0
// Any bytes as a UF2 file. Every other input gets the blocks' magic numbers first, which no fuzzer finds by itself in
// each block. What comes out is sorted, with gaps between, within the largest flash, and no more than went in.
#include "fuzz_complain.h"
#include "tool/base/uf2_block.h"
#include "tool/pack/uf2_file.h"

static void put(uint8_t *at, const char *magic)
{
    memcpy(at, magic, 4);
}

static void mend(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at + UF2_BLOCK_SIZE <= size; at += UF2_BLOCK_SIZE) {
        put(bytes + at, "UF2\n");
        put(bytes + at + 4, "\x57\x51\x5d\x9e");
        put(bytes + at + 508, "\x30\x6f\xb1\x0a");
    }
}

static void check(const uf2_run_t *runs, size_t count, size_t size)
{
    uint64_t end = 0;
    uint64_t total = 0;
    uint32_t sum = 0;
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(runs[i].size > 0 && (i == 0 || runs[i].address > end));
        end = (uint64_t)runs[i].address + runs[i].size;
        total += runs[i].size;
        for (uint32_t k = 0; k < runs[i].size; k++) {
            sum += runs[i].bytes[k]; // a sanitizer sees what was not filled in
        }
    }
    CHECK(end <= FLASH_LIMIT && total < size && sum <= total * 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    image_file_t file = {.path = "fuzz.uf2", .bytes = malloc(size), .size = (uint32_t)size};
    CHECK(file.bytes != NULL);
    memcpy(file.bytes, data, size);
    if (data[size - 1] % 2 == 0) {
        mend(file.bytes, size);
    }
    uf2_run_t *runs;
    size_t count = 0;
    complaints = 0;
    const int status = uf2_file_split(&file, &runs, &count);
    CHECK((status == STATUS_OK) == (complaints == 0) && (status == STATUS_OK) == (runs != NULL));
    if (status == STATUS_OK) {
        check(runs, count, size);
    }
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        free(runs[i].bytes);
    }
    free(runs);
    free(file.bytes);
    return 0;
}
