// SPDX-License-Identifier: Apache-2.0
// Any bytes as the cargo of an app, and as its settings. What passes is walked through, and must lie inside.
#include "fuzz_input.h"
#include "format/sr_cargo.h"

static void fuzz_settings(const uint8_t *data, size_t size)
{
    const char *settings = (const char *)data;
    sr_cargo_setting_t setting;
    uint32_t offset = 0;
    if (sr_cargo_check_settings(settings, (uint32_t)size) != SR_CARGO_OK) {
        return;
    }
    while (sr_cargo_next_setting(settings, (uint32_t)size, &offset, &setting)) {
        const char *end = setting.value + strlen(setting.value) + 1;
        CHECK(strlen(setting.name) <= SR_CARGO_MAX_NAME && end == settings + offset && offset <= size);
        CHECK(sr_cargo_setting(settings, (uint32_t)size, setting.name) == setting.value);
    }
    CHECK(offset == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input_t input = {data, size};
    const sr_reader_t reader = fuzz_reader(&input);
    sr_image_t image = {.segment_count = 2};
    sr_cargo_t cargo;
    fuzz_settings(data, size);
    // As the segment of an image, so that the fuzzer need not find out what one looks like.
    image.segments[1] = (sr_image_segment_t){.length = (uint32_t)size};
    if (sr_cargo_find(&reader, &image, &cargo) != SR_CARGO_OK) {
        return 0;
    }
    CHECK(sr_region_fits(cargo.settings, (uint32_t)size) && sr_region_fits(cargo.bundle, (uint32_t)size));
    CHECK(cargo.settings.size <= SR_CARGO_MAX_SETTINGS && !sr_region_overlaps(cargo.settings, cargo.bundle));
    fuzz_settings(data + cargo.settings.address, cargo.settings.size);
    return 0;
}
