// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file that somebody has: what is told of it is printable, and in bounds.
#include "fuzz_input.h"
#include "format/sr_chip.h"
#include "tool/base/content_kind.h"

#define LARGEST_FLASH 0x2000000u

static void check(const content_t *content)
{
    CHECK(content->kind <= CONTENT_KIND_ESP8266);
    CHECK(content_kind_name(content->kind) != NULL && content_kind_text(content->kind) != NULL);
    CHECK(content->base < LARGEST_FLASH);
    size_t length = 0;
    for (; content->facts[length] != '\0'; length++) {
        CHECK(length + 1 < CONTENT_KIND_FACTS_SIZE);
        CHECK(content->facts[length] >= ' ' && content->facts[length] <= '~');
    }
    CHECK(content->kind != CONTENT_KIND_UNKNOWN || (length == 0 && content->chip == NULL && content->base == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size); // so that a byte too many is noticed
    if (copy == NULL || size == 0 || size > LARGEST_FLASH) {
        free(copy);
        return 0;
    }
    memcpy(copy, data, size);
    for (unsigned i = 0; i < 2; i++) {
        content_t content;
        content_kind_find(copy, (uint32_t)size, sr_chip_at(i == 0 ? UINT32_MAX : 3),
                          i == 0 ? SR_PARTITION_TABLE_OFFSET : 0x1000, &content);
        check(&content);
    }
    free(copy);
    return 0;
}
