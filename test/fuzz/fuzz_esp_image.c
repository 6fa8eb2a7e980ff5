// SPDX-License-Identifier: Apache-2.0
// Any bytes as a bootloader or app.
#include "fuzz_input.h"
#include "format/sr_image.h"

static void check_segments(const sr_image_t *image, uint32_t room)
{
    CHECK(image->segment_count >= 1 && image->segment_count <= SR_IMAGE_MAX_SEGMENTS);
    CHECK(image->length <= room && image->checksum_offset < image->length);
    for (uint8_t i = 0; i < image->segment_count; i++) {
        const sr_image_segment_t *segment = &image->segments[i];
        CHECK((uint64_t)segment->data_offset + segment->length <= image->checksum_offset);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t input = {data, size};
    const sr_reader_t reader = fuzz_reader(&input);
    sr_image_t image;
    if (sr_image_parse(&reader, &image) != SR_IMAGE_OK) {
        CHECK(image.segment_count <= SR_IMAGE_MAX_SEGMENTS);
        return 0;
    }
    check_segments(&image, reader.size);
    uint8_t digest[SR_SHA256_SIZE];
    (void)sr_image_verify(&reader, &image, digest);
    (void)sr_image_has_signature_block(&reader, &image, SR_IMAGE_SECURE_BOOT_OFF);
    sr_image_demands_t demands;
    (void)sr_image_read_demands(&reader, &demands);
    sr_image_app_desc_t desc;
    if (sr_image_app_desc(&reader, &image, &desc)) {
        CHECK(strnlen(desc.version, sizeof(desc.version)) < sizeof(desc.version));
        CHECK(strnlen(desc.project_name, sizeof(desc.project_name)) < sizeof(desc.project_name));
        CHECK(strnlen(desc.idf_ver, sizeof(desc.idf_ver)) < sizeof(desc.idf_ver));
    }
    return 0;
}
