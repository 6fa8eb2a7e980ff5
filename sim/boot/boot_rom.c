// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_internal.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"
#include "sim/boot/boot_digest_v1.h"
#include "sim/boot/boot_signature.h"

#include <inttypes.h>
#include <string.h>

#define CHECKSUM_SEED  0xEFu
#define ENTRY_OPCODE   0x36u // the instruction ENTRY,
#define ENTRY_STACK    1u    // on the stack pointer a1
#define CHIP_ID_OFFSET 12u
#define TELLING_LENGTH 1024u   // a data segment of this length is referred to,
#define TELLING_COUNT  32u     // if the code refers to data memory this often
#define STACK_BELOW    0x2000u // of the start of the ROM's stack: the stack
#define STACK_ABOVE    0x400u  // and variables
#define DESC_MAGIC     0x50u   // esp_bootloader_desc_t
#define VERSION_OFFSET 3u

/** What became of loading a bootloader. */
typedef enum load_outcome {
    LOADED,
    NOT_LOADED, /**< The ROM found something wrong. */
    HANGS,      /**< It stopped. */
} load_outcome_t;

/**
 * True if the ROM can store the segment where its header wants it.
 *
 * The ROM reads flash straight to the load address, in words. It trusts the header: an address outside RAM, or a length
 * that leads out of it, ends in a processor exception, at which the ROM can only stop.
 */
static bool can_load(const boot_t *boot, const boot_segment_t *segment)
{
    if (segment->length == 0) {
        return true; // nothing is stored: zero padding reads as such segments
    }
    sr_region_t own = {boot_rom_stack(boot) - STACK_BELOW, STACK_BELOW + STACK_ABOVE};
    sr_region_t target = {segment->load_address, segment->length};
    return sr_region_is_aligned(segment->load_address, 4) &&
           boot_memory_stores(boot->memory, segment->load_address, segment->length) &&
           !boot_memory_overlaps(boot->memory, target, own);
}

/** Loads the segments. Returns where the last one ends, from the start of the image, or 0 after ending the boot. */
static uint32_t load_segments(boot_t *boot, uint8_t *checksum)
{
    boot_loader_t *loader = &boot->loader;
    uint32_t position = sizeof(loader->header);
    for (unsigned i = 0; i < loader->segment_count; i++) {
        uint8_t raw[8];
        boot_read(boot, loader->offset + position, raw, sizeof(raw));
        boot_segment_t *segment = &loader->segments[i];
        *segment = (boot_segment_t){sr_bytes_get_le32(raw), sr_bytes_get_le32(raw + 4), position + sizeof(raw)};
        if (!can_load(boot, segment)) {
            boot_end(boot, BOOT_ROM_REJECTS,
                     "ROM hangs at bootloader segment %u: %" PRIu32 " bytes to 0x%" PRIx32 " is not RAM", i,
                     segment->length, segment->load_address);
            return 0;
        }
        boot_traced(boot, loader->offset + segment->data_offset, segment->length);
        *checksum ^= boot_xor(boot, loader->offset + segment->data_offset, segment->length);
        position = segment->data_offset + segment->length; // at most 32 times the size of RAM
    }
    return position;
}

/** Header checks of the ROM, in its order. */
static bool header_fits(boot_t *boot)
{
    const uint8_t *header = boot->loader.header;
    if (boot->cipher != NULL && header[0] != SR_IMAGE_MAGIC) {
        boot_end(boot, BOOT_ROM_REJECTS, "the bootloader at 0x%" PRIx32 " %s", boot->loader.offset,
                 boot_magic_fault(boot, boot->loader.offset, SR_IMAGE_MAGIC));
        return false;
    }
    if (header[0] != SR_IMAGE_MAGIC || header[1] > BOOT_ROM_MAX_SEGMENTS) {
        boot_end(boot, BOOT_ROM_REJECTS, "invalid bootloader header 0x%08" PRIx32 " at 0x%" PRIx32,
                 sr_bytes_get_le32(header), boot->loader.offset);
        return false;
    }
    // The first ESP32s, before revision 3, have a ROM from before there were chip ids.
    bool checks_chip = boot->memory->chip_id != 0 || boot->revision >= 300;
    uint16_t chip_id = sr_bytes_get_le16(header + CHIP_ID_OFFSET);
    if (checks_chip && chip_id != boot->chip->image_chip_id) {
        boot_end(boot, BOOT_ROM_REJECTS, "bootloader is for chip id 0x%04x, this chip is 0x%04x", chip_id,
                 boot->chip->image_chip_id);
        return false;
    }
    return true;
}

/**
 * True if there is code at the entry point. The ROM jumps there unchecked; on chips with register windows it does so
 * by a windowed call, whose target must be the instruction ENTRY.
 */
static bool entry_is_code(boot_t *boot)
{
    const boot_loader_t *loader = &boot->loader;
    uint32_t entry = sr_bytes_get_le32(loader->header + 4);
    for (unsigned i = 0; i < loader->segment_count; i++) {
        const boot_segment_t *segment = &loader->segments[i];
        uint32_t inside = entry - segment->load_address;
        if (entry >= segment->load_address && inside < segment->length) {
            uint8_t code[2];
            boot_read(boot, loader->offset + segment->data_offset + inside, code, sizeof(code));
            return !boot->memory->windowed || (code[0] == ENTRY_OPCODE && (code[1] & 0x0F) == ENTRY_STACK);
        }
    }
    return false;
}

/** True if the digest after the bootloader matches all of it, headers included. The ROM does not check it. */
static bool digest_matches(const boot_t *boot)
{
    const boot_loader_t *loader = &boot->loader;
    uint8_t stored[SR_SHA256_SIZE], actual[SR_SHA256_SIZE];
    if (loader->header[BOOT_HASH_APPENDED] == 0) {
        return false;
    }
    uint32_t hashed = loader->length - SR_SHA256_SIZE;
    boot_read(boot, loader->offset + hashed, stored, sizeof(stored));
    return boot_digest(boot, loader->offset, hashed, actual) && memcmp(stored, actual, sizeof(stored)) == 0;
}

/** How many words of the image are addresses in the range: Xtensa code keeps addresses as words beside it. */
static unsigned count_references(const boot_t *boot, boot_range_t range)
{
    uint32_t room = boot->loader.length;
    const uint8_t *image = boot_view(boot, boot->loader.offset, &room);
    unsigned count = 0;
    for (uint32_t i = sizeof(boot->loader.header); i + 4 <= room; i += 4) {
        count += boot_range_has(range, sr_bytes_get_le32(image + i)) ? 1 : 0;
    }
    return count;
}

/**
 * Looks for data that was loaded where the code does not expect it. Load addresses are not under the checksum, so the
 * ROM starts such a bootloader, which then works on memory without its data.
 * @return Index of the segment, or -1.
 */
static int misplaced_data(const boot_t *boot)
{
    boot_range_t dram = boot->memory->dram;
    if (!boot->memory->windowed || digest_matches(boot) || count_references(boot, dram) < TELLING_COUNT) {
        return -1;
    }
    for (unsigned i = 0; i < boot->loader.segment_count; i++) {
        const boot_segment_t *segment = &boot->loader.segments[i];
        boot_range_t range = {segment->load_address, segment->load_address + segment->length};
        // The segment's own header is one reference.
        if (boot_range_has(dram, range.low) && segment->length >= TELLING_LENGTH &&
            count_references(boot, range) <= 1) {
            return (int)i;
        }
    }
    return -1;
}

/**
 * Anti-rollback of bootloaders: ESP-IDF, docs/en/api-guides/bootloader.rst. The version is a field of the descriptor
 * with which the first segment starts.
 */
static bool version_fits(boot_t *boot)
{
    const boot_loader_t *loader = &boot->loader;
    uint8_t desc[VERSION_OFFSET + 1] = {0};
    if (boot->efuses.bootloader_version == 0 || !boot->chip->rom_checks_version) {
        return true;
    }
    boot_read(boot, loader->offset + loader->segments[0].data_offset, desc, sizeof(desc));
    const unsigned version = loader->segment_count != 0 && desc[0] == DESC_MAGIC ? desc[VERSION_OFFSET] : 0;
    if (version < boot->efuses.bootloader_version) {
        boot_end(boot, BOOT_ROM_REJECTS, "bootloader at 0x%" PRIx32 " has the secure version %u, the eFuse demands %u",
                 loader->offset, version, boot->efuses.bootloader_version);
        return false;
    }
    return true;
}

/** Secure Boot V2; and version 1, which the ESP32 alone has. */
static bool signature_fits(boot_t *boot)
{
    char why[BOOT_SIGNATURE_WHY_SIZE];
    const uint32_t offset = boot->loader.offset;
    if (!boot_signature_good(boot, BOOT_BY_ROM, offset, boot->loader.length, why)) {
        boot_end(boot, BOOT_ROM_REJECTS, "Secure Boot V2: the bootloader at 0x%" PRIx32 " %s", offset, why);
        return false;
    }
    switch (boot_digest_v1_check(boot)) {
    case BOOT_DIGEST_RIGHT:
        return true;
    case BOOT_DIGEST_NOT_KNOWN:
        boot->doubtful = true;
        return true;
    default:
        boot_end(boot, BOOT_ROM_REJECTS,
                 "Secure Boot V1: the digest at 0x0 is not that of the bootloader at 0x%" PRIx32, offset);
        return false;
    }
}

/** Loads the bootloader at @p offset and checks its checksum; ends the boot if that fails. */
static load_outcome_t load(boot_t *boot, uint32_t offset)
{
    boot_loader_t *loader = &boot->loader;
    *loader = (boot_loader_t){.offset = offset};
    boot_read(boot, loader->offset, loader->header, sizeof(loader->header));
    if (!header_fits(boot)) {
        return NOT_LOADED;
    }
    loader->segment_count = loader->header[1];
    uint8_t checksum = CHECKSUM_SEED;
    uint32_t end = load_segments(boot, &checksum);
    if (end == 0) {
        return HANGS;
    }
    loader->length = (uint32_t)sr_region_align_up(end + 1, 16);
    uint8_t stored;
    boot_read(boot, loader->offset + loader->length - 1, &stored, 1);
    if (stored != checksum) {
        boot_end(boot, BOOT_ROM_REJECTS, "bootloader checksum 0x%02x, stored 0x%02x at 0x%" PRIx32, checksum, stored,
                 loader->offset + loader->length - 1);
        return NOT_LOADED;
    }
    if (loader->header[BOOT_HASH_APPENDED] != 0) {
        loader->length += SR_SHA256_SIZE; // part of the image, although this ROM never reads it
    }
    if (!version_fits(boot) || !signature_fits(boot)) {
        return NOT_LOADED;
    }
    boot_code_t *code = &boot->result->bootloader;
    *code = (boot_code_t){.address = loader->offset, .length = loader->length};
    (void)boot_digest(boot, code->address, code->length, code->sha256);
    return LOADED;
}

/**
 * Loads the primary bootloader, or else the recovery bootloader.
 *
 * ESP-IDF, docs/en/api-guides/bootloader.rst, "Recovery Bootloader": if the primary bootloader fails to load, the ROM
 * attempts to load the one at the sector that is burnt into the eFuse. The log shown there is that of an erased
 * primary. That a wrong checksum counts as such a failure, too, follows from the text only. A ROM that hangs does not
 * fall back.
 */
static bool load_one(boot_t *boot)
{
    char reason[sizeof(boot->result->reason)];
    const load_outcome_t primary = load(boot, boot->chip->bootloader_offset);
    if (primary != NOT_LOADED || boot->recovery == 0) {
        return primary == LOADED;
    }
    memcpy(reason, boot->result->reason, sizeof(reason));
    boot->result->recovered = load(boot, boot->recovery) == LOADED;
    if (!boot->result->recovered) {
        boot_end(boot, BOOT_ROM_REJECTS, "no recovery bootloader at 0x%" PRIx32 ", and %s", boot->recovery, reason);
    }
    return boot->result->recovered;
}

/** True if the bootloader that was loaded can run. What it needs for that is not under the ROM's checksum. */
static bool can_run(boot_t *boot)
{
    const boot_loader_t *loader = &boot->loader;
    if (!entry_is_code(boot)) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "the bootloader's entry point 0x%" PRIx32 " is not the start of code",
                 sr_bytes_get_le32(loader->header + 4));
        return false;
    }
    int misplaced = misplaced_data(boot);
    if (misplaced >= 0) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "the bootloader's code does not expect its data at 0x%" PRIx32,
                 loader->segments[misplaced].load_address);
        return false;
    }
    return true;
}

bool boot_rom(boot_t *boot)
{
    return load_one(boot) && can_run(boot);
}
