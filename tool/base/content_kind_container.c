// SPDX-License-Identifier: Apache-2.0
// ELF: elf.h. UF2: uf2_block.h. gzip: RFC 1952.
#include "tool/base/content_kind_finders.h"

#include "format/sr_bytes.h"
#include "tool/base/uf2_block.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GZIP_FLAGS 3u
#define GZIP_EXTRA 4u
#define GZIP_NAME  8u
#define GZIP_START 10u /**< Where the name is, if there is no extra field. */

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
    uf2_block_t block;
    if (!uf2_block_starts(input->bytes, input->size)) {
        return false;
    }
    content->kind = CONTENT_KIND_UF2;
    if (!uf2_block_read(input->bytes, input->size, &block)) {
        (void)snprintf(content->facts, sizeof(content->facts), "%s", "its first block is damaged");
        return true;
    }
    const uint64_t needs = (uint64_t)block.count * UF2_BLOCK_SIZE;
    char whose[48] = "for no family";
    content->needs = needs <= UINT32_MAX ? (uint32_t)needs : UINT32_MAX;
    content->chip = uf2_block_chip(block.family);
    if (content->chip != NULL) {
        (void)snprintf(whose, sizeof(whose), "for %s", content->chip->family);
    } else if (block.family != UF2_NO_FAMILY) {
        (void)snprintf(whose, sizeof(whose), "for family 0x%08" PRIx32 ", which is no ESP32", block.family);
    }
    (void)snprintf(content->facts, sizeof(content->facts), "%s, %" PRIu32 " blocks, first one for 0x%" PRIx32 "%s",
                   whose, block.count, block.target, needs > input->size ? "; cut short" : "");
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
