// SPDX-License-Identifier: Apache-2.0
// Any bytes as a gzip file: it is unpacked, left as it is, or refused; and never becomes more than the largest flash.
#include "fuzz_complain.h"
#include "tool/pack/gzip_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    image_file_t file = {.path = "fuzz.gz", .bytes = malloc(size + 2), .size = (uint32_t)size + 2};
    CHECK(file.bytes != NULL);
    memcpy(file.bytes, "\x1f\x8b", 2);
    memcpy(file.bytes + 2, data, size);
    const uint8_t *before = file.bytes;
    complaints = 0;
    const int status = gzip_file_unpack(&file);
    CHECK((status == STATUS_OK) == (complaints == 0));
    CHECK(file.size > 0 && file.size <= FLASH_LIMIT);
    CHECK(status == STATUS_OK || (file.bytes == before && file.size == size + 2));
    free(file.bytes);
    return 0;
}
