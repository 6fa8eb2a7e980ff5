// SPDX-License-Identifier: Apache-2.0
// ELF: elf.h. UF2: its specification, and the families of esptool. gzip: RFC 1952.
#include "tool/base/content_kind_finders.h"

#include "format/sr_bytes.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UF2_BLOCK      512u
#define UF2_MAGIC      0x0A324655u
#define UF2_MAGIC_2    0x9E5D5157u
#define UF2_MAGIC_END  0x0AB16F30u
#define UF2_FLAGS      8u
#define UF2_TARGET     12u
#define UF2_COUNT      24u
#define UF2_FAMILY     28u
#define UF2_HAS_FAMILY 0x2000u
#define UF2_END        508u

#define GZIP_FLAGS 3u
#define GZIP_EXTRA 4u
#define GZIP_NAME  8u
#define GZIP_START 10u /**< Where the name is, if there is no extra field. */

static const struct {
    uint32_t family;
    const char *chip;
} families[] = {
    {0x1C5F21B0, "esp32"},   {0xBFDD4EEE, "esp32s2"}, {0xC47E5767, "esp32s3"}, {0x2B88D29C, "esp32c2"},
    {0xD42BA06C, "esp32c3"}, {0xF71C0343, "esp32c5"}, {0x540DDF62, "esp32c6"}, {0x77D850C4, "esp32c61"},
    {0x332726F6, "esp32h2"}, {0x3D308E94, "esp32p4"},
};

static const sr_chip_t *chip_of_family(uint32_t family)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (families[i].family == family) {
            return sr_chip_by_name(families[i].chip);
        }
    }
    return NULL;
}

static bool find_elf(const content_kind_input_t *input, content_t *content)
{
    if (input->size < SELFMAG || memcmp(input->bytes, ELFMAG, SELFMAG) != 0) {
        return false;
    }
    content->kind = CONTENT_KIND_ELF;
    if (input->size < sizeof(Elf32_Ehdr)) {
        (void)snprintf(content->facts, sizeof(content->facts), "%s", "cut short");
        return true;
    }
    const uint16_t machine = sr_bytes_get_le16(input->bytes + offsetof(Elf32_Ehdr, e_machine));
    const char *names = machine == EM_XTENSA ? "for Xtensa" : machine == EM_RISCV ? "for RISC-V" : NULL;
    if (names != NULL) {
        (void)snprintf(content->facts, sizeof(content->facts), "%s", names);
    } else {
        (void)snprintf(content->facts, sizeof(content->facts), "for machine %u, which is that of no ESP32",
                       (unsigned)machine);
    }
    return true;
}

static bool find_uf2(const content_kind_input_t *input, content_t *content)
{
    const uint8_t *block = input->bytes;
    if (input->size < 4 || sr_bytes_get_le32(block) != UF2_MAGIC) {
        return false;
    }
    content->kind = CONTENT_KIND_UF2;
    if (input->size < UF2_BLOCK || sr_bytes_get_le32(block + 4) != UF2_MAGIC_2 ||
        sr_bytes_get_le32(block + UF2_END) != UF2_MAGIC_END) {
        (void)snprintf(content->facts, sizeof(content->facts), "%s", "its first block is damaged");
        return true;
    }
    const bool told = (sr_bytes_get_le32(block + UF2_FLAGS) & UF2_HAS_FAMILY) != 0;
    const uint32_t family = sr_bytes_get_le32(block + UF2_FAMILY);
    const uint32_t count = sr_bytes_get_le32(block + UF2_COUNT);
    const uint64_t needs = (uint64_t)count * UF2_BLOCK;
    char whose[48] = "for no family";
    content->needs = needs <= UINT32_MAX ? (uint32_t)needs : UINT32_MAX;
    content->chip = told ? chip_of_family(family) : NULL;
    if (content->chip != NULL) {
        (void)snprintf(whose, sizeof(whose), "for %s", content->chip->family);
    } else if (told) {
        (void)snprintf(whose, sizeof(whose), "for family 0x%08" PRIx32 ", which is no ESP32", family);
    }
    (void)snprintf(content->facts, sizeof(content->facts), "%s, %" PRIu32 " blocks, first one for 0x%" PRIx32 "%s",
                   whose, count, sr_bytes_get_le32(block + UF2_TARGET), needs > input->size ? "; cut short" : "");
    return true;
}

static bool find_gzip(const content_kind_input_t *input, content_t *content)
{
    static const uint8_t magic[] = {0x1F, 0x8B};
    if (input->size < sizeof(magic) || memcmp(input->bytes, magic, sizeof(magic)) != 0) {
        return false;
    }
    content->kind = CONTENT_KIND_GZIP;
    if (input->size < GZIP_START + 8) {
        (void)snprintf(content->facts, sizeof(content->facts), "%s", "cut short");
        return true;
    }
    char name[64] = "";
    const uint8_t flags = input->bytes[GZIP_FLAGS];
    if ((flags & GZIP_NAME) != 0 && (flags & GZIP_EXTRA) == 0) {
        content_kind_text_of(input->bytes + GZIP_START, input->size - GZIP_START, name, sizeof(name));
    }
    (void)snprintf(content->facts, sizeof(content->facts), "%s%sunpacked %" PRIu32 " bytes, as it says", name,
                   name[0] != '\0' ? ", " : "", sr_bytes_get_le32(input->bytes + input->size - 4));
    return true;
}

bool content_kind_container(const content_kind_input_t *input, content_t *content)
{
    return find_elf(input, content) || find_uf2(input, content) || find_gzip(input, content);
}
