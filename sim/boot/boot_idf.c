// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_internal.h"

#include "format/sr_bytes.h"
#include "format/sr_md5.h"
#include "format/sr_otadata.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"
#include "sim/boot/boot_signature.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_MAGIC    0x50AAu
#define MD5_MAGIC      0xEBEBu
#define MD5_OFFSET     16u
#define OTA_SLOTS      16u
#define FACTORY        (-1) // the index below ota_0, as the bootloader counts
#define SIXTEEN_MIB    0x1000000u
#define PAST_REACH     "ends past 16 MB, which this chip does not map"
#define FIRST_RAM      0x10000000u // segments with lower load addresses, such as padding, are skipped
#define STACK_HEADROOM 0x8000u     // below the stack pointer, which is
#define STACK_SIZE     0x2000u     // this far below the stack's start at most
#define BSS_UNIT       0x1000u     // a bootloader's memory for data starts at a multiple of it or later
#define CHECKSUM_SEED  0xEFu
#define HEADER_SIZE    24u
#define CHIP_ID        12u
#define HASH_APPENDED  23u
#define DESC_PAGE_SIZE 180u // offset in the app descriptor of log2 of the MMU's page size
#define MMU_PAGE_SIZE  0x10000u
#define DESC_SECURE    4u // further offsets in the app descriptor
#define DESC_MIN_BLOCK 176u
#define DESC_MAX_BLOCK 178u
#define DESC_USED      180u

typedef struct partition {
    uint32_t offset, size; // size 0: there is none
} partition_t;

/** What the bootloader keeps of a partition table. */
typedef struct layout {
    partition_t factory, test, otadata;
    partition_t ota[OTA_SLOTS];
    unsigned ota_count;
} layout_t;

/** How an attempt to load an app ends. */
typedef enum load_result {
    LOADED,
    REFUSED, // the bootloader tries the next slot
    CRASHED, // the bootloader never returns
} load_result_t;

/** An attempt to load an app. */
typedef struct app {
    partition_t partition;
    uint8_t header[HEADER_SIZE];
    uint32_t page_size;
    uint32_t length; // as far as the image has been read
    uint8_t checksum;
    bool entry_found;
    bool empty;        // there is no image
    bool stays;        // it is verified, and not loaded
    const char *doubt; // why it is not known whether the bootloader loads it; NULL: it is known
    char why[100];
} app_t;

/** What of a bootloader's own memory is needed until the app is loaded. */
typedef enum role { NOT_NEEDED, LOADER_CODE, LOADER_DATA } role_t;

/** Whether a segment meets what the bootloader needs, as far as the bootloader checks that. */
typedef enum overlap { APART, PERHAPS, OVERLAPS } overlap_t;

/** What the bootloader starts with. */
typedef struct selection {
    int index;
    bool write_sequence; // otadata is to be written once an app is loaded
    bool stop;           // the bootloader gives up at once
    char why[64];
} selection_t;

/** The flash size that the bootloader believes in: its header's field. */
static uint32_t believed_size(const boot_t *boot)
{
    const uint8_t code = boot->loader.header[3] >> 4;
    return sr_chip_flash_size(boot->chip, code, boot_loader_size_message(boot, code));
}

static bool md5_matches(const uint8_t *table, unsigned entry)
{
    sr_md5_t md5;
    uint8_t digest[SR_MD5_SIZE];
    sr_md5_start(&md5);
    sr_md5_update(&md5, table, (size_t)entry * SR_PARTITION_ENTRY_SIZE);
    return sr_md5_finish(&md5, digest) == 0 &&
           memcmp(digest, table + entry * SR_PARTITION_ENTRY_SIZE + MD5_OFFSET, SR_MD5_SIZE) == 0;
}

/**
 * Counts the entries as the bootloader does, 32 bit overflow included. It is more lenient than
 * sr_partition_table_parse(): that one says which tables are good, this one which tables pass.
 *
 * @return Entries, without the one that holds the MD5; or -1 after ending the boot.
 */
static int verify_table(boot_t *boot, const uint8_t *table)
{
    uint32_t size = believed_size(boot);
    bool md5_seen = false;
    for (unsigned i = 0; i < SR_PARTITION_TABLE_SIZE / SR_PARTITION_ENTRY_SIZE; i++) {
        const uint8_t *entry = table + i * SR_PARTITION_ENTRY_SIZE;
        uint16_t magic = sr_bytes_get_le16(entry);
        uint32_t offset = sr_bytes_get_le32(entry + 4);
        uint32_t end = offset + sr_bytes_get_le32(entry + 8);
        if (magic == ENTRY_MAGIC) {
            if (offset > size || end > size) {
                boot_end(boot, BOOT_BOOTLOADER_REJECTS,
                         "partition %u ends at 0x%" PRIx32 ", past the %u MB of the bootloader's header", i, end,
                         (unsigned)(size >> 20));
                return -1;
            }
        } else if (magic == MD5_MAGIC) {
            if (md5_seen || !md5_matches(table, i)) {
                boot_end(boot, BOOT_BOOTLOADER_REJECTS, "partition table: MD5 in entry %u is wrong", i);
                return -1;
            }
            md5_seen = true;
        } else if (magic == 0xFFFF && entry[2] == 0xFF && entry[3] == 0xFF) {
            return (int)i - (md5_seen ? 1 : 0);
        } else if (boot->cipher != NULL && i == 0) {
            boot_end(boot, BOOT_BOOTLOADER_REJECTS, "the partition table at 0x%" PRIx32 " %s", boot->table_offset,
                     boot_magic_fault(boot, boot->table_offset, ENTRY_MAGIC & 0xFF));
            return -1;
        } else {
            boot_end(boot, BOOT_BOOTLOADER_REJECTS, "partition table: entry %u has the magic 0x%04x", i, magic);
            return -1;
        }
    }
    boot_end(boot, BOOT_BOOTLOADER_REJECTS, "partition table has no end marker");
    return -1;
}

static bool read_table(boot_t *boot, layout_t *layout)
{
    uint8_t table[SR_PARTITION_TABLE_SIZE];
    boot_read(boot, boot->table_offset, table, sizeof(table));
    int count = verify_table(boot, table);
    for (int i = 0; i < count; i++) {
        const uint8_t *entry = table + (unsigned)i * SR_PARTITION_ENTRY_SIZE;
        const partition_t partition = {sr_bytes_get_le32(entry + 4), sr_bytes_get_le32(entry + 8)};
        uint8_t subtype = entry[3];
        if (entry[2] == SR_PARTITION_TYPE_DATA && subtype == SR_PARTITION_DATA_OTA) {
            layout->otadata = partition;
        } else if (entry[2] != SR_PARTITION_TYPE_APP) {
            continue;
        } else if (subtype == SR_PARTITION_APP_FACTORY) {
            layout->factory = partition;
        } else if (subtype == SR_PARTITION_APP_TEST) {
            layout->test = partition;
        } else if (subtype >= SR_PARTITION_APP_OTA_0 && subtype <= SR_PARTITION_APP_OTA_LAST) {
            layout->ota[subtype - SR_PARTITION_APP_OTA_0] = partition;
            layout->ota_count++; // counts entries, not slots: with a gap between them the last slots are out of reach
        }
    }
    return count >= 0;
}

static bool not_selectable(const sr_otadata_entry_t *entry)
{
    return entry->sequence == UINT32_MAX || entry->state == SR_OTA_INVALID || entry->state == SR_OTA_ABORTED;
}

static bool no_sequence(const sr_otadata_entry_t *entry)
{
    return entry->sequence == UINT32_MAX || entry->crc != sr_otadata_crc(entry->sequence);
}

/** Erases a sector of otadata and programs an entry. Flash is programmed in words, or encrypted in units: elsewhere the
 *  entry stays erased. */
static void write_entry(boot_t *boot, uint32_t address, const uint8_t raw[SR_OTADATA_ENTRY_SIZE])
{
    boot_erase(boot, address, 1);
    if (sr_region_is_aligned(address, boot->cipher != NULL ? BOOT_ENCRYPTION_UNIT : 4)) {
        boot_program(boot, address, raw, SR_OTADATA_ENTRY_SIZE);
    }
}

/** Writes an entry as it is, with another state. */
static void write_state(boot_t *boot, uint32_t address, sr_otadata_entry_t *entry, uint32_t state)
{
    uint8_t raw[SR_OTADATA_ENTRY_SIZE];
    boot_read(boot, address, raw, sizeof(raw));
    sr_bytes_put_le32(raw + 24, state);
    entry->state = state;
    write_entry(boot, address, raw);
}

static void read_otadata(boot_t *boot, uint32_t address, sr_otadata_t *otadata)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t raw[SR_OTADATA_ENTRY_SIZE];
        boot_read(boot, address + i * SR_SECTOR_SIZE, raw, sizeof(raw));
        otadata->entries[i] =
            (sr_otadata_entry_t){sr_bytes_get_le32(raw), sr_bytes_get_le32(raw + 24), sr_bytes_get_le32(raw + 28)};
    }
}

/** An app that did not confirm itself in its first run is not started again. */
static void abort_unconfirmed(boot_t *boot, uint32_t address, sr_otadata_t *otadata)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (otadata->entries[i].state == SR_OTA_PENDING_VERIFY) {
            write_state(boot, address + i * SR_SECTOR_SIZE, &otadata->entries[i], SR_OTA_ABORTED);
        }
    }
}

static selection_t select_active(boot_t *boot, const layout_t *layout, sr_otadata_t *otadata)
{
    selection_t selection = {.index = FACTORY, .why = "otadata has no valid entry"};
    int active = sr_otadata_active(otadata);
    if (active >= 0) {
        sr_otadata_entry_t *entry = &otadata->entries[active];
        selection.index = (int)((entry->sequence - 1u) % layout->ota_count);
        (void)snprintf(selection.why, sizeof(selection.why), "otadata selects slot %d (sequence %" PRIu32 ")",
                       selection.index, entry->sequence);
        if (boot->rollback && entry->state == SR_OTA_NEW) {
            write_state(boot, layout->otadata.offset + (uint32_t)active * SR_SECTOR_SIZE, entry, SR_OTA_PENDING_VERIFY);
        }
    }
    return selection;
}

static selection_t select_app(boot_t *boot, const layout_t *layout)
{
    if (layout->otadata.offset == 0) {
        return (selection_t){.index = FACTORY, .why = "no otadata partition"};
    }
    if (layout->otadata.size < 2 * SR_SECTOR_SIZE) {
        return (selection_t){.stop = true, .why = "otadata partition is smaller than two sectors"};
    }
    if (sr_chip_out_of_reach(boot->chip, layout->otadata.offset, 2 * SR_SECTOR_SIZE)) {
        return (selection_t){.stop = true, .why = "otadata lies past 16 MB, where this chip reads nothing"};
    }
    sr_otadata_t otadata;
    read_otadata(boot, layout->otadata.offset, &otadata);
    if (boot->rollback) {
        abort_unconfirmed(boot, layout->otadata.offset, &otadata);
    }
    const sr_otadata_entry_t *entries = otadata.entries;
    if (layout->ota_count != 0 && !(not_selectable(&entries[0]) && not_selectable(&entries[1]))) {
        return select_active(boot, layout, &otadata);
    }
    if (layout->factory.offset != 0) {
        return (selection_t){.index = FACTORY, .why = "otadata selects nothing: factory"};
    }
    return (selection_t){.index = 0,
                         .write_sequence = no_sequence(&entries[0]) && no_sequence(&entries[1]),
                         .why = "otadata selects nothing, no factory: slot 0"};
}

static load_result_t refuse(app_t *app, load_result_t how, const char *why)
{
    (void)snprintf(app->why, sizeof(app->why), "app at 0x%" PRIx32 ": %s", app->partition.offset, why);
    return how;
}

/**
 * The bootloader's data, and that part of its code that loads the app, are needed; the code that only starts the chip
 * may be overwritten. Linked in this order from low to high: start-up, loader, data. Only the ESP32 has its loader
 * elsewhere: below the instruction RAM of most apps.
 */
static role_t role_of(const boot_t *boot, const boot_segment_t *segment)
{
    const boot_memory_t *memory = boot->memory;
    const bool one_bus = memory->dram.low == memory->iram.low;
    if (!one_bus && boot_range_has(memory->dram, segment->load_address)) {
        return LOADER_DATA;
    }
    if (memory->iram_wide.high != 0) {
        const bool below = boot_range_has(memory->iram_wide, segment->load_address) &&
                           !boot_range_has(memory->iram, segment->load_address);
        return below ? LOADER_CODE : NOT_NEEDED;
    }
    unsigned higher = 0;
    for (unsigned i = 0; i < boot->loader.segment_count; i++) {
        const boot_segment_t *other = &boot->loader.segments[i];
        bool counts = other->length != 0 && boot_range_has(memory->iram, other->load_address);
        higher += counts && other->load_address > segment->load_address ? 1 : 0;
    }
    if (one_bus && higher == 0) {
        return LOADER_DATA;
    }
    return higher == (one_bus ? 1u : 0u) ? LOADER_CODE : NOT_NEEDED;
}

/** About one segment of the bootloader. */
static overlap_t overlap_with(const boot_t *boot, const boot_segment_t *segment, sr_region_t target)
{
    const boot_memory_t *memory = boot->memory;
    const role_t role = role_of(boot, segment);
    if (role == NOT_NEEDED || segment->length == 0) {
        return APART;
    }
    if (boot_memory_overlaps(memory, target, (sr_region_t){segment->load_address, segment->length})) {
        // With one bus for both, an address is looked up as data alone. Old bootloaders look for their loader alone.
        const bool checked = role == LOADER_CODE ? memory->dram.low != memory->iram.low : boot->loader.checks_ranges;
        return checked ? OVERLAPS : PERHAPS;
    }
    // Variables that start as zero are not in the image. They lie below those that are.
    const uint32_t unit = segment->load_address & (BSS_UNIT - 1);
    const sr_region_t bss = {segment->load_address - unit, role == LOADER_DATA ? unit : 0};
    return boot_memory_overlaps(memory, target, bss) ? PERHAPS : APART;
}

/** About the bootloader's stack. Where exactly it ends while the app is loaded, no file tells. */
static overlap_t overlap_with_stack(const boot_t *boot, sr_region_t target)
{
    const uint32_t start = boot_rom_stack(boot);
    const sr_region_t stack = {start - STACK_HEADROOM, STACK_HEADROOM};
    const sr_region_t below = {start - STACK_HEADROOM - STACK_SIZE, STACK_SIZE};
    const uint64_t end = (uint64_t)target.address + target.size;
    const bool checks_ranges = boot->loader.checks_ranges;
    if (!checks_ranges && end <= boot->memory->dram.high) { // the old check: nothing of the stack or above it
        return end > stack.address ? OVERLAPS : end > below.address ? PERHAPS : APART;
    }
    if (!checks_ranges) { // by its other address it is overwritten unchecked
        const sr_region_t used = {start - STACK_SIZE, STACK_SIZE};
        return boot_memory_overlaps(boot->memory, target, used) ? PERHAPS : APART;
    }
    if (boot_memory_overlaps(boot->memory, target, stack)) {
        return OVERLAPS;
    }
    return boot_memory_overlaps(boot->memory, target, below) ? PERHAPS : APART;
}

/** Whether the app's segment would overwrite what the bootloader still needs: its data, its stack, its loader. */
static overlap_t overlap_with_bootloader(const boot_t *boot, sr_region_t target)
{
    overlap_t overlap = overlap_with_stack(boot, target);
    for (unsigned i = 0; i < boot->loader.segment_count; i++) {
        const overlap_t other = overlap_with(boot, &boot->loader.segments[i], target);
        overlap = other > overlap ? other : overlap;
    }
    return overlap;
}

static boot_place_t place_of(const boot_t *boot, const app_t *app, const boot_segment_t *segment)
{
    const boot_build_t build = {
        .since_v5_2 = boot->loader.described,
        .ends_inside = !boot->loader.full_revision,
        .page_size = app->page_size,
    };
    return boot_memory_place(boot->memory, &build, segment->load_address, segment->length);
}

/** Loads a segment to RAM, if it is one for RAM. */
static load_result_t load_segment(const boot_t *boot, app_t *app, const boot_segment_t *segment, boot_place_t place)
{
    const uint32_t address = segment->load_address;
    if (segment->length == 0 || address < FIRST_RAM || place == BOOT_PLACE_MAPPED) {
        return LOADED;
    }
    if (boot->loader.checks_ranges && place == BOOT_PLACE_NONE) {
        return refuse(app, REFUSED, "a segment's load address is not in RAM");
    }
    const overlap_t overlap = overlap_with_bootloader(boot, (sr_region_t){address, segment->length});
    if (overlap == OVERLAPS) {
        return refuse(app, REFUSED, "a segment overlaps the bootloader in RAM");
    }
    // Old bootloaders store wherever the header says.
    if (!boot->loader.checks_ranges && !boot_memory_stores(boot->memory, address, segment->length)) {
        return refuse(app, CRASHED, "loading a segment to an address outside RAM crashes the bootloader");
    }
    if (boot->loader.checks_ranges && place == BOOT_PLACE_NOT_KNOWN) {
        app->doubt = "not all builds of this bootloader load a segment to where one goes";
    } else if (overlap == PERHAPS) {
        app->doubt = "a segment goes to where the bootloader may have its stack, variables or code";
    }
    return LOADED;
}

/** The size of the MMU's pages that the app was linked for. */
static uint32_t page_size_of(const boot_t *boot, uint32_t first_data)
{
    uint8_t magic[4], log2_size;
    boot_read(boot, first_data, magic, sizeof(magic));
    boot_read(boot, first_data + DESC_PAGE_SIZE, &log2_size, 1);
    bool told = boot->memory->page_variable && sr_bytes_get_le32(magic) == SR_APP_DESC_MAGIC;
    return told && log2_size >= 13 && log2_size <= 16 ? 1u << log2_size : MMU_PAGE_SIZE;
}

/**
 * What the start of the first segment demands of the eFuses. Bootloaders that check the block's revision do so whatever
 * lies there; where they do not, the app checks it when it starts, if it has a descriptor.
 */
static const char *demand_fault(const boot_t *boot, const app_t *app)
{
    const sr_chip_efuses_t *efuses = &boot->efuses;
    uint8_t desc[DESC_USED];
    boot_read(boot, app->partition.offset + HEADER_SIZE + 8, desc, sizeof(desc));
    const bool descriptor = sr_bytes_get_le32(desc) == SR_APP_DESC_MAGIC;
    const unsigned minimum = sr_bytes_get_le16(desc + DESC_MIN_BLOCK),
                   maximum = sr_bytes_get_le16(desc + DESC_MAX_BLOCK);
    const unsigned block = efuses->block_revision;
    const bool compared = boot->memory->chip_id != 0 && block != 0 && (descriptor || boot->loader.checks_block);
    const bool below = minimum != 0xFFFF && block < minimum;
    const bool above = maximum != 0 && maximum != 0xFFFF && block > maximum && !efuses->ignores_max_block;
    if (compared && (below || above)) {
        return "built for another revision of the eFuse block";
    }
    const uint32_t version = descriptor ? sr_bytes_get_le32(desc + DESC_SECURE) : 0;
    return version < efuses->secure_version ? "secure version is below that of the eFuse" : NULL;
}

/** Reads one segment, and advances the image's length past it. */
static load_result_t read_segment(const boot_t *boot, app_t *app, bool first)
{
    uint8_t raw[8];
    uint32_t base = app->partition.offset;
    boot_read(boot, base + app->length, raw, sizeof(raw));
    const boot_segment_t segment = {sr_bytes_get_le32(raw), sr_bytes_get_le32(raw + 4), app->length + sizeof(raw)};
    if (!sr_region_is_aligned(segment.length, 4) || segment.length >= SIXTEEN_MIB) {
        return refuse(app, REFUSED, "invalid segment length");
    }
    const char *fault = first ? demand_fault(boot, app) : NULL;
    if (fault != NULL) {
        return refuse(app, REFUSED, fault);
    }
    if (first) {
        app->page_size = page_size_of(boot, base + segment.data_offset);
    }
    const boot_place_t place = place_of(boot, app, &segment);
    if (place == BOOT_PLACE_MAPPED &&
        ((segment.load_address ^ (base + segment.data_offset)) & (app->page_size - 1)) != 0) {
        return refuse(app, REFUSED, "a mapped segment's address does not match its place in flash");
    }
    if (segment.data_offset > app->partition.size || segment.length > app->partition.size - segment.data_offset) {
        return refuse(app, REFUSED, "image is longer than its partition");
    }
    load_result_t result = app->stays ? LOADED : load_segment(boot, app, &segment, place);
    if (result == LOADED) {
        boot_traced(boot, base + segment.data_offset, segment.length);
        app->checksum ^= boot_xor(boot, base + segment.data_offset, segment.length);
        app->length = segment.data_offset + segment.length;
        uint32_t entry = sr_bytes_get_le32(app->header + 4);
        app->entry_found |= entry >= segment.load_address && entry - segment.load_address < segment.length;
    }
    return result;
}

/** The checks on the header alone. */
static const char *header_fault(const boot_t *boot, const app_t *app)
{
    if (app->header[0] != SR_IMAGE_MAGIC) {
        return boot_magic_fault(boot, app->partition.offset, SR_IMAGE_MAGIC);
    }
    if (sr_bytes_get_le16(app->header + CHIP_ID) != boot->chip->image_chip_id) {
        return "built for another chip";
    }
    if (!boot_revision_fits(boot, app->header, true)) {
        return "built for another revision of the chip";
    }
    return app->header[1] > SR_IMAGE_MAX_SEGMENTS ? "too many segments" : NULL;
}

/** Checksum, appended digest and length; the image's length becomes final. */
static const char *end_fault(const boot_t *boot, app_t *app)
{
    uint32_t base = app->partition.offset;
    app->length = (uint32_t)sr_region_align_up(app->length + 1, 16);
    uint8_t stored;
    boot_read(boot, base + app->length - 1, &stored, 1);
    if (stored != app->checksum) {
        return "checksum does not match";
    }
    // No digest is checked of an app at the bootloader's own place: tools patch the size field there.
    bool has_digest = app->header[HASH_APPENDED] != 0;
    if (has_digest && base != boot->chip->bootloader_offset) {
        uint8_t expected[SR_SHA256_SIZE], actual[SR_SHA256_SIZE];
        boot_read(boot, base + app->length, expected, sizeof(expected));
        if (!boot_digest(boot, base, app->length, actual) || memcmp(expected, actual, sizeof(actual)) != 0) {
            return "SHA-256 does not match";
        }
    }
    app->length += has_digest ? SR_SHA256_SIZE : 0;
    if (sr_chip_out_of_reach(boot->chip, base, app->length)) {
        return PAST_REACH;
    }
    return app->length > app->partition.size ? "image is longer than its partition" : NULL;
}

static load_result_t load_app(const boot_t *boot, app_t *app)
{
    if (app->partition.size > SIXTEEN_MIB) {
        return refuse(app, REFUSED, "partition is larger than 16 MB");
    }
    if (!sr_region_is_aligned(app->partition.offset, 4)) {
        return refuse(app, REFUSED, "partition does not start at a whole word"); // flash is read in words
    }
    // With 24 address bits the chip reads something else instead; this model does not follow it there.
    if (sr_chip_out_of_reach(boot->chip, app->partition.offset, HEADER_SIZE)) {
        return refuse(app, REFUSED, PAST_REACH);
    }
    boot_read(boot, app->partition.offset, app->header, HEADER_SIZE);
    app->empty = app->header[0] != SR_IMAGE_MAGIC;
    const char *fault = header_fault(boot, app);
    if (fault != NULL) {
        return refuse(app, REFUSED, fault);
    }
    app->length = HEADER_SIZE;
    app->checksum = CHECKSUM_SEED;
    for (unsigned i = 0; i < app->header[1]; i++) {
        load_result_t result = read_segment(boot, app, i == 0);
        if (result != LOADED) {
            return result;
        }
    }
    char why[BOOT_SIGNATURE_WHY_SIZE];
    fault = end_fault(boot, app);
    if (fault == NULL && !boot_signature_good(boot, BOOT_BY_LOADER, app->partition.offset, app->length, why)) {
        fault = why;
    }
    return fault != NULL ? refuse(app, REFUSED, fault) : LOADED;
}

bool boot_idf_verifies(const boot_t *boot, sr_region_t partition, uint32_t *length)
{
    boot_t any_version = *boot; // that of the app counts where one is started
    any_version.efuses.secure_version = 0;
    app_t app = {.partition = {partition.address, partition.size}, .stays = true};
    const bool good = load_app(&any_version, &app) == LOADED;
    *length = app.length;
    return good;
}

/** Writes the first sequence number for an app that was found without any. */
static void write_first_sequence(boot_t *boot, const layout_t *layout, int index)
{
    uint8_t raw[SR_OTADATA_ENTRY_SIZE];
    sr_otadata_encode((uint32_t)index + 1, SR_OTA_VALID, raw);
    write_entry(boot, layout->otadata.offset, raw);
}

/** Tries one partition. @return True if the boot ends here, for good or bad. */
static bool try_app(boot_t *boot, const layout_t *layout, const selection_t *selection, partition_t partition,
                    int index, char why[100])
{
    if (partition.size == 0) {
        return false;
    }
    app_t app = {.partition = partition};
    load_result_t result = load_app(boot, &app);
    if (result == REFUSED) {
        // That a slot is empty says less than what is wrong with an app.
        if (why[0] == '\0' || !app.empty) {
            memcpy(why, app.why, sizeof(app.why));
        }
        return false;
    }
    if (result == LOADED && app.doubt == NULL && index > FACTORY && selection->write_sequence) {
        write_first_sequence(boot, layout, index);
    }
    if (result == LOADED && !app.entry_found) {
        // Nobody checks the entry point before jumping there.
        result = refuse(&app, CRASHED, "its entry point is not in the image");
    }
    if (result == CRASHED) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "%s", app.why);
        return true;
    }
    if (boot->loader.wants_encryption && boot->cipher == NULL && !boot->may_encrypt) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS,
                 "the bootloader was built to start apps only on a chip that encrypts its flash already");
        return true;
    }
    if (app.doubt != NULL) {
        boot_end(boot, BOOT_NOT_KNOWN, "app at 0x%" PRIx32 ": %s", partition.offset, app.doubt);
        return true;
    }
    boot_enter_app(boot, partition.offset, app.length);
    boot_end(boot, BOOT_BOOTS, "%s; %s%sapp at 0x%" PRIx32 " verified", selection->why, why, why[0] != '\0' ? "; " : "",
             partition.offset);
    return true;
}

static partition_t partition_at(const layout_t *layout, int index)
{
    if (index == FACTORY) {
        return layout->factory;
    }
    bool exists = index < (int)OTA_SLOTS && index < (int)layout->ota_count;
    return exists ? layout->ota[index] : (partition_t){0};
}

void boot_idf(boot_t *boot)
{
    layout_t layout = {0};
    if (!read_table(boot, &layout)) {
        return;
    }
    const selection_t selection = select_app(boot, &layout);
    if (selection.stop) {
        boot_end(boot, BOOT_BOOTLOADER_REJECTS, "%s", selection.why);
        return;
    }
    char why[100] = "";
    for (int index = selection.index; index >= FACTORY; index--) {
        if (try_app(boot, &layout, &selection, partition_at(&layout, index), index, why)) {
            return;
        }
    }
    for (int index = selection.index + 1; index < (int)layout.ota_count; index++) {
        if (try_app(boot, &layout, &selection, partition_at(&layout, index), index, why)) {
            return;
        }
    }
    if (try_app(boot, &layout, &selection, layout.test, FACTORY, why)) {
        return;
    }
    boot_end(boot, BOOT_BOOTLOADER_REJECTS, "no bootable app: %s", why[0] != '\0' ? why : "the table has none");
}
