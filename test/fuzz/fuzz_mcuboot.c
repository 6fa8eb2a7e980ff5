// SPDX-License-Identifier: Apache-2.0
// Any bytes as a slot of MCUboot's.
#include "fuzz_input.h"
#include "format/sr_mcuboot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t input = {data, size};
    const sr_reader_t reader = fuzz_reader(&input);
    sr_mcuboot_image_t image;
    if (sr_mcuboot_parse(&reader, &image) == SR_MCUBOOT_OK) {
        CHECK(image.length <= size);
        CHECK((uint64_t)image.header_size + image.payload_size + image.protected_tlv_size < image.length);
        (void)sr_mcuboot_verify(&reader, &image);
    }
    return 0;
}
