// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_internal.h"

#include "format/sr_bytes.h"
#include "format/sr_mcuboot.h"
#include "format/sr_region.h"

#include <inttypes.h>
#include <string.h>

// Layout of Espressif's port, unless encrypted: status and flags in units of 4 and 8 bytes, room for 512 sectors.
#define MAX_SECTORS       512u
#define MIN_SECTORS       3u // two of them hold the trailer
#define STATUS_UNIT       4u
#define STATES            3u // of the swap of one group of sectors
#define INFO_SIZE         48u
#define TRAILER_SIZE      (MAX_SECTORS * STATES * STATUS_UNIT + INFO_SIZE)
#define SCRATCH_TRAILER   (STATES * STATUS_UNIT + INFO_SIZE)
#define FROM_END_MAGIC    16u
#define FROM_END_IMAGE_OK 24u
#define FROM_END_DONE     32u
#define FROM_END_INFO     40u
#define FROM_END_SIZE     48u

#define HEADER_SIZE       32u
#define FLAG_NON_BOOTABLE 0x10u
#define TLV_MAGIC         0x6907u
#define TLV_PROTECTED     0x6908u
#define TLV_SHA256        0x10u
#define LOAD_MAGIC        0xACE637D3u
#define LOAD_HEADER_SIZE  32u

typedef enum flag { FLAG_SET, FLAG_BAD, FLAG_UNSET } flag_t;
typedef enum swap { SWAP_NONE = 1, SWAP_TEST, SWAP_PERMANENT, SWAP_REVERT, SWAP_FAILED } swap_t;

typedef struct area {
    uint32_t address, size;
    uint32_t trailer; // bytes at its end
} area_t;

/** Trailer of an area. */
typedef struct trailer {
    flag_t magic, copy_done, image_ok;
    unsigned swap_type; // SWAP_NONE if no swap is noted
} trailer_t;

/** How far a swap is. Groups count from 1, states too: as stored. */
typedef struct progress {
    uint32_t group;
    uint8_t state;
    bool in_scratch; // the status of the first group, if its sectors are those of the trailer
    unsigned swap_type;
    uint32_t size; // of the larger image
} progress_t;

typedef struct mcuboot {
    boot_t *boot;
    area_t primary, secondary, scratch;
    uint8_t primary_header[HEADER_SIZE], secondary_header[HEADER_SIZE];
    bool swapped;
    const char *stuck; // not NULL: the bootloader has stopped for this reason
} mcuboot_t;

/** What a header says; sizes are not checked. */
typedef struct image {
    uint32_t magic, header_size, protected_size, payload_size, flags;
    uint32_t tlv_offset; // wraps if the sizes are nonsense
    bool wraps;
} image_t;

static image_t image_of(const uint8_t header[HEADER_SIZE])
{
    image_t image = {
        .magic = sr_bytes_get_le32(header),
        .header_size = sr_bytes_get_le16(header + 8),
        .protected_size = sr_bytes_get_le16(header + 10),
        .payload_size = sr_bytes_get_le32(header + 12),
        .flags = sr_bytes_get_le32(header + 16),
    };
    image.tlv_offset = image.header_size + image.payload_size;
    image.wraps = image.tlv_offset < image.header_size;
    return image;
}

/** Reads inside an area; false if the range is not inside it. */
static bool read_area(const mcuboot_t *m, const area_t *area, uint32_t offset, void *out, uint32_t length)
{
    if (!sr_region_fits((sr_region_t){offset, length}, area->size)) {
        return false;
    }
    boot_read(m->boot, area->address + offset, out, length);
    return true;
}

static void program_area(mcuboot_t *m, const area_t *area, uint32_t offset, const void *data, uint32_t length)
{
    boot_program(m->boot, area->address + offset, data, length);
}

static void erase_area(mcuboot_t *m, const area_t *area, uint32_t offset, uint32_t length)
{
    boot_erase(m->boot, area->address + offset, length);
}

/** Copies between areas, sector by sector; the destination was erased before. */
static void copy_area(mcuboot_t *m, const area_t *from, uint32_t source, const area_t *to, uint32_t target,
                      uint32_t length)
{
    uint8_t buffer[SR_SECTOR_SIZE];
    for (uint32_t done = 0; done < length;) {
        uint32_t part = length - done < sizeof(buffer) ? length - done : (uint32_t)sizeof(buffer);
        boot_read(m->boot, from->address + source + done, buffer, part);
        program_area(m, to, target + done, buffer, part);
        done += part;
    }
}

static void set_flag(mcuboot_t *m, const area_t *area, uint32_t from_end, uint8_t value)
{
    program_area(m, area, area->size - from_end, &value, 1);
}

static flag_t read_flag(const mcuboot_t *m, const area_t *area, uint32_t from_end)
{
    uint8_t value = 0;
    (void)read_area(m, area, area->size - from_end, &value, 1);
    return value == 1 ? FLAG_SET : value == 0xFF ? FLAG_UNSET : FLAG_BAD;
}

static trailer_t read_trailer(const mcuboot_t *m, const area_t *area)
{
    static const uint8_t blank[SR_MCUBOOT_TRAILER_MAGIC_SIZE] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                                                 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    uint8_t magic[SR_MCUBOOT_TRAILER_MAGIC_SIZE] = {0}, info = 0;
    (void)read_area(m, area, area->size - FROM_END_MAGIC, magic, sizeof(magic));
    (void)read_area(m, area, area->size - FROM_END_INFO, &info, 1);
    unsigned type = info & 0x0Fu;
    return (trailer_t){
        .magic = memcmp(magic, sr_mcuboot_trailer_magic, sizeof(magic)) == 0 ? FLAG_SET
                 : memcmp(magic, blank, sizeof(magic)) == 0                  ? FLAG_UNSET
                                                                             : FLAG_BAD,
        .copy_done = read_flag(m, area, FROM_END_DONE),
        .image_ok = read_flag(m, area, FROM_END_IMAGE_OK),
        .swap_type = info == 0xFF || type > SWAP_REVERT ? SWAP_NONE : type,
    };
}

/** The sectors at the end of a slot that its trailer touches. */
static uint32_t trailer_sectors(const area_t *area)
{
    return area->size - (uint32_t)sr_region_align_up(TRAILER_SIZE, SR_SECTOR_SIZE);
}

static void erase_trailer(mcuboot_t *m, const area_t *area)
{
    erase_area(m, area, trailer_sectors(area), area->size - trailer_sectors(area));
}

static void read_headers(mcuboot_t *m)
{
    (void)read_area(m, &m->primary, 0, m->primary_header, HEADER_SIZE);
    (void)read_area(m, &m->secondary, 0, m->secondary_header, HEADER_SIZE);
}

/**
 * Where the image ends, by the TLV area after the payload.
 * @return False if there is no such area, or a part of it that is read lies outside the slot.
 */
static bool image_end(const mcuboot_t *m, const area_t *area, const image_t *image, uint32_t *end)
{
    uint8_t info[4];
    uint32_t offset = image->tlv_offset;
    if (!read_area(m, area, offset, info, sizeof(info))) {
        return false;
    }
    if (sr_bytes_get_le16(info) == TLV_PROTECTED) {
        if (sr_bytes_get_le16(info + 2) != image->protected_size ||
            !read_area(m, area, offset + image->protected_size, info, sizeof(info))) {
            return false;
        }
    } else if (image->protected_size != 0) {
        return false;
    }
    *end = offset + image->protected_size + sr_bytes_get_le16(info + 2);
    return sr_bytes_get_le16(info) == TLV_MAGIC;
}

/** True if all SHA-256 TLVs, and at least one, hold this digest. No signature is asked for: keys are not known here. */
static bool tlvs_vouch_for(const mcuboot_t *m, const area_t *area, const image_t *image, uint32_t end,
                           const uint8_t digest[SR_SHA256_SIZE])
{
    bool found = false;
    uint32_t protected_end = image->tlv_offset + image->protected_size;
    for (uint32_t offset = image->tlv_offset + 4; offset < end;) {
        if (image->protected_size != 0 && offset == protected_end) {
            offset += 4; // the second area's own header
        }
        uint8_t tlv[4], stored[SR_SHA256_SIZE];
        if (!read_area(m, area, offset, tlv, sizeof(tlv))) {
            return false;
        }
        uint32_t length = sr_bytes_get_le16(tlv + 2);
        if (sr_bytes_get_le16(tlv) == TLV_SHA256) {
            found = length == sizeof(stored) && read_area(m, area, offset + 4, stored, sizeof(stored)) &&
                    memcmp(stored, digest, sizeof(stored)) == 0;
            if (!found) {
                return false;
            }
        }
        offset += 4 + length;
    }
    return found;
}

static bool image_valid(const mcuboot_t *m, const area_t *area, const image_t *image)
{
    uint32_t end = 0;
    uint8_t digest[SR_SHA256_SIZE];
    uint32_t hashed = image->tlv_offset + image->protected_size;
    return image->magic == SR_MCUBOOT_IMAGE_MAGIC && !image->wraps && image->tlv_offset < area->size &&
           hashed <= area->size && image_end(m, area, image, &end) && end <= area->size - area->trailer &&
           boot_digest(m->boot, area->address, hashed, digest) && tlvs_vouch_for(m, area, image, end, digest);
}

/** Validates the secondary slot. An image that does not pass is erased, so that it is not tried again and again. */
static bool validate_secondary(mcuboot_t *m)
{
    image_t image = image_of(m->secondary_header);
    if (image.magic == UINT32_MAX || (image.flags & FLAG_NON_BOOTABLE) != 0) {
        erase_trailer(m, &m->secondary);
        return false;
    }
    if (!image_valid(m, &m->secondary, &image)) {
        erase_area(m, &m->secondary, 0, m->secondary.size);
        return false;
    }
    return true;
}

static bool validate_primary(const mcuboot_t *m)
{
    image_t image = image_of(m->primary_header);
    return (image.flags & FLAG_NON_BOOTABLE) == 0 && image_valid(m, &m->primary, &image);
}

/** Which area holds the status of a swap that was not finished, or NULL. */
static const area_t *status_source(const mcuboot_t *m)
{
    trailer_t primary = read_trailer(m, &m->primary);
    trailer_t scratch = read_trailer(m, &m->scratch);
    if (scratch.magic == FLAG_SET) {
        return &m->scratch;
    }
    bool may_be_open = primary.magic == FLAG_SET || primary.magic == FLAG_UNSET;
    return may_be_open && primary.copy_done == FLAG_UNSET ? &m->primary : NULL;
}

/** Offset of the status byte of a state in its area. */
static uint32_t status_offset(const area_t *area, const progress_t *progress)
{
    return area->size - area->trailer + ((progress->group - 1) * STATES + progress->state - 1u) * STATUS_UNIT;
}

/** Finds out how far an unfinished swap came: the first status byte that is still blank after one that is not. */
static progress_t read_progress(const mcuboot_t *m, const area_t *source)
{
    progress_t progress = {.group = 1, .state = 1, .swap_type = SWAP_NONE};
    if (source == NULL) {
        return progress;
    }
    uint32_t entries = (source->trailer - INFO_SIZE) / STATUS_UNIT;
    uint32_t written = 0; // entries up to the first blank one after a written one
    bool found = false;
    for (uint32_t i = 0; i < entries; i++) {
        uint8_t status = 0xFF;
        (void)read_area(m, source, source->size - source->trailer + i * STATUS_UNIT, &status, 1);
        if (status != 0xFF) {
            found = true;
        } else if (found) {
            written = i;
            break;
        }
    }
    if (found) {
        written = written != 0 ? written : entries;
        progress.group = written / STATES + 1;
        progress.state = (uint8_t)(written % STATES + 1);
    }
    uint8_t info = 0xFF;
    (void)read_area(m, source, source->size - FROM_END_INFO, &info, 1);
    progress.swap_type = info == 0xFF ? SWAP_NONE : info & 0x0Fu;
    return progress;
}

static bool swap_was_open(const progress_t *progress)
{
    return progress->group != 1 || progress->state != 1;
}

static void write_status(mcuboot_t *m, const progress_t *progress)
{
    const area_t *area = progress->in_scratch ? &m->scratch : &m->primary;
    program_area(m, area, status_offset(area, progress), &progress->state, 1);
}

/** Writes the trailer that says which swap is going on. */
static void write_trailer(mcuboot_t *m, const area_t *area, unsigned swap_type, bool image_ok, uint32_t size)
{
    if (swap_type != SWAP_NONE) {
        set_flag(m, area, FROM_END_INFO, (uint8_t)swap_type);
    }
    if (image_ok) {
        set_flag(m, area, FROM_END_IMAGE_OK, 1);
    }
    uint8_t raw[4];
    sr_bytes_put_le32(raw, size);
    program_area(m, area, area->size - FROM_END_SIZE, raw, sizeof(raw));
    program_area(m, area, area->size - FROM_END_MAGIC, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
}

/** State 1: new content to scratch. Before the first group, the swap is noted where a power loss does not lose it. */
static void swap_to_scratch(mcuboot_t *m, progress_t *progress, uint32_t offset, uint32_t length)
{
    erase_area(m, &m->scratch, 0, m->scratch.size);
    if (progress->group == 1) {
        bool image_ok = read_trailer(m, &m->secondary).image_ok == FLAG_SET;
        write_trailer(m, &m->scratch, progress->swap_type, image_ok, progress->size);
        if (!progress->in_scratch) {
            erase_trailer(m, &m->primary);
            image_ok = read_trailer(m, &m->secondary).image_ok == FLAG_SET;
            write_trailer(m, &m->primary, progress->swap_type, image_ok, progress->size);
            erase_area(m, &m->scratch, 0, m->scratch.size);
        }
    }
    copy_area(m, &m->secondary, offset, &m->scratch, 0, length);
    write_status(m, progress);
    progress->state = 2;
}

/** State 2: old content to the secondary slot. */
static void swap_to_secondary(mcuboot_t *m, progress_t *progress, uint32_t offset, uint32_t size, uint32_t length)
{
    erase_area(m, &m->secondary, offset, size);
    copy_area(m, &m->primary, offset, &m->secondary, offset, length);
    if (progress->group == 1 && !progress->in_scratch) {
        erase_trailer(m, &m->secondary);
    }
    write_status(m, progress);
    progress->state = 3;
}

/** State 3: new content from scratch to the primary slot, and the status with it. */
static void swap_to_primary(mcuboot_t *m, progress_t *progress, uint32_t offset, uint32_t size, uint32_t length)
{
    erase_area(m, &m->primary, offset, size);
    copy_area(m, &m->scratch, 0, &m->primary, offset, length);
    bool in_scratch = progress->in_scratch;
    if (in_scratch) {
        copy_area(m, &m->scratch, m->scratch.size - m->scratch.trailer, &m->primary, offset + length,
                  (STATES - 1) * STATUS_UNIT);
        trailer_t trailer = read_trailer(m, &m->scratch);
        write_trailer(m, &m->primary, trailer.swap_type, trailer.image_ok == FLAG_SET, progress->size);
    }
    progress->in_scratch = false;
    write_status(m, progress);
    progress->group++;
    progress->state = 1;
    if (in_scratch) {
        erase_area(m, &m->scratch, 0, m->scratch.size);
    }
}

/** Swaps one group of sectors, from the state that it was left in. */
static void swap_group(mcuboot_t *m, progress_t *progress, uint32_t offset, uint32_t size)
{
    bool last = offset + size > trailer_sectors(&m->primary);
    uint32_t length = last ? size - TRAILER_SIZE : size;
    progress->in_scratch = progress->group == 1 && last;
    if (progress->state == 1) {
        swap_to_scratch(m, progress, offset, length);
    }
    if (progress->state == 2) {
        swap_to_secondary(m, progress, offset, size, length);
    }
    if (progress->state == 3) {
        swap_to_primary(m, progress, offset, size, length);
    }
}

/** Swaps the slots up to progress->size, in groups as large as scratch, the last one first. */
static void swap_slots(mcuboot_t *m, progress_t *progress)
{
    if (progress->size > m->primary.size) {
        m->stuck = "the image in one of the slots claims to be longer than the slot";
        return;
    }
    uint32_t end = progress->size == 0 ? SR_SECTOR_SIZE : (uint32_t)sr_region_align_up(progress->size, SR_SECTOR_SIZE);
    for (uint32_t group = 1; end != 0; group++) {
        uint32_t size = end < m->scratch.size ? end : m->scratch.size;
        if (group >= progress->group) {
            swap_group(m, progress, end - size, size);
        }
        end -= size;
    }
    m->swapped = true;
}

/** Ends a swap and marks it as done. A permanent one, or one that goes back, needs no confirmation. */
static void finish_swap(mcuboot_t *m, unsigned swap_type)
{
    bool confirmed = swap_type == SWAP_PERMANENT || swap_type == SWAP_REVERT;
    if (confirmed && read_flag(m, &m->primary, FROM_END_IMAGE_OK) == FLAG_UNSET) {
        set_flag(m, &m->primary, FROM_END_IMAGE_OK, 1);
    }
    if (confirmed || swap_type == SWAP_TEST) {
        set_flag(m, &m->primary, FROM_END_DONE, 1);
    }
}

static void resume_swap(mcuboot_t *m, progress_t *progress)
{
    const area_t *area = read_trailer(m, &m->scratch).magic == FLAG_SET ? &m->scratch : &m->primary;
    uint8_t raw[4] = {0};
    (void)read_area(m, area, area->size - FROM_END_SIZE, raw, sizeof(raw));
    progress->size = sr_bytes_get_le32(raw);
    swap_slots(m, progress);
    if (m->stuck == NULL) {
        finish_swap(m, progress->swap_type);
    }
}

/** Length of the image in a slot, if its header is one; stops the bootloader, as an assertion does, if it has no end.
 */
static uint32_t length_to_swap(mcuboot_t *m, const area_t *area, const uint8_t header[HEADER_SIZE])
{
    image_t image = image_of(header);
    uint32_t end = 0;
    if (image.magic == SR_MCUBOOT_IMAGE_MAGIC && !image_end(m, area, &image, &end)) {
        m->stuck = "a slot to be swapped has an image header but no TLV area";
    }
    return image.magic == SR_MCUBOOT_IMAGE_MAGIC ? end : 0;
}

static void start_swap(mcuboot_t *m, unsigned swap_type)
{
    uint32_t primary = length_to_swap(m, &m->primary, m->primary_header);
    uint32_t secondary = length_to_swap(m, &m->secondary, m->secondary_header);
    if (m->stuck != NULL) {
        return;
    }
    progress_t progress = {.group = 1, .state = 1, .swap_type = swap_type};
    progress.size = primary > secondary ? primary : secondary;
    swap_slots(m, &progress);
    if (m->stuck == NULL) {
        finish_swap(m, swap_type);
    }
}

/** What the trailers ask for. The secondary slot's request counts before the primary's history. */
static unsigned wanted_swap(const mcuboot_t *m)
{
    trailer_t primary = read_trailer(m, &m->primary);
    trailer_t secondary = read_trailer(m, &m->secondary);
    if (secondary.magic == FLAG_SET && secondary.image_ok != FLAG_BAD) {
        return secondary.image_ok == FLAG_SET ? SWAP_PERMANENT : SWAP_TEST;
    }
    bool unconfirmed = primary.magic == FLAG_SET && secondary.magic == FLAG_UNSET && primary.image_ok == FLAG_UNSET &&
                       primary.copy_done == FLAG_SET;
    return unconfirmed ? SWAP_REVERT : SWAP_NONE;
}

/** Decides what to swap, when no unfinished swap was found. */
static unsigned validated_swap(mcuboot_t *m, const progress_t *noted)
{
    if (noted->swap_type != SWAP_NONE) {
        return validate_secondary(m) ? noted->swap_type : SWAP_FAILED;
    }
    unsigned swap_type = wanted_swap(m);
    return swap_type != SWAP_NONE && !validate_secondary(m) ? SWAP_NONE : swap_type;
}

static bool slots_compatible(const mcuboot_t *m)
{
    return m->primary.size == m->secondary.size && m->primary.size / SR_SECTOR_SIZE <= MAX_SECTORS;
}

/** Everything that may change flash. */
static void update(mcuboot_t *m)
{
    read_headers(m);
    if (!slots_compatible(m)) {
        return;
    }
    progress_t progress = read_progress(m, status_source(m));
    if (swap_was_open(&progress)) {
        resume_swap(m, &progress);
        read_headers(m);
        return;
    }
    unsigned swap_type = validated_swap(m, &progress);
    if (swap_type == SWAP_TEST || swap_type == SWAP_PERMANENT || swap_type == SWAP_REVERT) {
        start_swap(m, swap_type);
    } else if (swap_type == SWAP_FAILED) {
        if (read_flag(m, &m->primary, FROM_END_IMAGE_OK) == FLAG_UNSET) {
            set_flag(m, &m->primary, FROM_END_IMAGE_OK, 1);
        }
    } else if (swap_type != SWAP_NONE) {
        m->stuck = "the trailer notes a kind of swap that does not exist";
    }
    read_headers(m);
}

/**
 * Checks of the port's loader on the header in front of the app; the reason why not, or NULL. The end of what is loaded
 * must lie in the same memory.
 * @param[out] known False if the reason applies to some builds only.
 */
static const char *load_fault(const mcuboot_t *m, uint32_t offset, bool *known)
{
    uint8_t header[LOAD_HEADER_SIZE];
    const boot_memory_t *memory = m->boot->memory;
    const boot_build_t build = {.since_v5_2 = false};
    boot_read(m->boot, m->primary.address + offset, header, sizeof(header));
    uint32_t entry = sr_bytes_get_le32(header + 4);
    uint32_t iram = sr_bytes_get_le32(header + 8), iram_size = sr_bytes_get_le32(header + 16);
    uint32_t dram = sr_bytes_get_le32(header + 20), dram_size = sr_bytes_get_le32(header + 28);
    if (sr_bytes_get_le32(header) != LOAD_MAGIC) {
        return "the app has no load header";
    }
    const boot_place_t start = boot_memory_iram(memory, &build, iram, 1);
    const boot_place_t end = boot_memory_iram(memory, &build, iram + iram_size, 1);
    *known = start != BOOT_PLACE_NOT_KNOWN && end != BOOT_PLACE_NOT_KNOWN;
    if (start == BOOT_PLACE_NONE || end == BOOT_PLACE_NONE || !boot_range_has(memory->dram, dram) ||
        !boot_range_has(memory->dram, dram + dram_size)) {
        *known = true;
        return "the load header's addresses are not in RAM";
    }
    // The loader accepts any entry point in IRAM; outside the loaded part there is nothing to enter.
    if (entry < iram || entry - iram >= iram_size) {
        *known = true;
        return "the entry point is not in the loaded code";
    }
    return *known ? NULL : "not all builds of it load code to where this goes";
}

/** True if the areas make a map: all of them found, slots of one size, none overlapping. */
static bool is_map(const area_t found[3])
{
    sr_region_t regions[3];
    for (unsigned i = 0; i < 3; i++) {
        regions[i] = (sr_region_t){found[i].address, found[i].size};
    }
    return found[0].size != 0 && found[0].size == found[1].size && found[2].size != 0 &&
           !sr_region_overlaps(regions[0], regions[1]) && !sr_region_overlaps(regions[0], regions[2]) &&
           !sr_region_overlaps(regions[1], regions[2]);
}

/**
 * The map of flash areas, from the bootloader itself: it keeps one constant per area, an id (1 primary, 2 secondary,
 * 3 scratch), offset and size in 12 bytes. Where they are not found, the defaults of NuttX' and Espressif's builds.
 */
static void find_areas(mcuboot_t *m)
{
    area_t *areas[] = {&m->primary, &m->secondary, &m->scratch};
    const boot_t *boot = m->boot;
    *areas[0] = (area_t){.address = 0x10000, .size = 0x100000};
    *areas[1] = (area_t){.address = 0x110000, .size = 0x100000};
    *areas[2] = (area_t){.address = 0x210000, .size = 0x40000};
    area_t found[3] = {{0}};
    uint32_t room = boot->loader.length;
    const uint8_t *image = boot_view(boot, boot->loader.offset, &room);
    for (uint32_t i = 0; i + 12 <= room; i += 4) {
        uint32_t id = sr_bytes_get_le32(image + i);
        sr_region_t region = {sr_bytes_get_le32(image + i + 4), sr_bytes_get_le32(image + i + 8)};
        bool plausible = id >= 1 && id <= 3 && region.address != 0 && region.size >= MIN_SECTORS * SR_SECTOR_SIZE &&
                         sr_region_is_aligned(region.address | region.size, SR_SECTOR_SIZE) &&
                         sr_region_fits(region, boot->size);
        if (plausible && found[id - 1].size == 0) {
            found[id - 1] = (area_t){.address = region.address, .size = region.size};
        }
    }
    bool use_found = is_map(found);
    for (unsigned i = 0; i < 3; i++) {
        if (use_found) {
            *areas[i] = found[i];
        }
        areas[i]->trailer = i < 2 ? TRAILER_SIZE : SCRATCH_TRAILER;
    }
}

void boot_mcuboot(boot_t *boot)
{
    mcuboot_t m = {.boot = boot};
    find_areas(&m);
    update(&m);
    if (m.stuck != NULL) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "MCUboot stops: %s", m.stuck);
        return;
    }
    if (!validate_primary(&m)) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "MCUboot: the image in the primary slot at 0x%" PRIx32 " is not valid",
                 m.primary.address);
        return;
    }
    image_t image = image_of(m.primary_header);
    bool known = true;
    const char *fault = load_fault(&m, image.header_size, &known);
    if (fault != NULL) {
        boot_end(boot, known ? BOOT_BOOTLOADER_REJECTS : BOOT_NOT_KNOWN,
                 "MCUboot verified the primary slot at 0x%" PRIx32 ", but %s", m.primary.address, fault);
        return;
    }
    uint32_t end = 0;
    (void)image_end(&m, &m.primary, &image, &end);
    boot_enter_app(boot, m.primary.address, end);
    boot_end(boot, m.swapped ? BOOT_SWAPS_THEN_BOOTS : BOOT_BOOTS, "MCUboot %s; primary slot at 0x%" PRIx32 " verified",
             m.swapped ? "swapped the slots" : "had nothing to swap", m.primary.address);
}
