// SPDX-License-Identifier: Apache-2.0
#include "make/image_writer.h"

#include "format/sr_bytes.h"
#include "format/sr_md5.h"

#include <string.h>

#define LOAD_HEADER_MAGIC     0xACE637D3u
#define MCUBOOT_TLV_INFO      0x6907u
#define MCUBOOT_TLV_SHA256    0x10u
#define MCUBOOT_MAX_ALIGN     8u
#define BOOTLOADER_DESC_MAGIC 0x50u
#define CHECKSUM_SEED         0xEFu

/** Where the next byte goes. What does not fit is dropped, and `full` is set. */
typedef struct sink {
    uint8_t *out;
    size_t capacity;
    size_t length;
    bool full;
} sink_t;

static void put_fill(sink_t *sink, uint8_t value, size_t count)
{
    if (sink->full || count > sink->capacity - sink->length) {
        sink->full = true;
        return;
    }
    memset(sink->out + sink->length, value, count);
    sink->length += count;
}

static void put_bytes(sink_t *sink, const void *data, size_t count)
{
    if (sink->full || count > sink->capacity - sink->length) {
        sink->full = true;
        return;
    }
    if (count != 0) {
        memcpy(sink->out + sink->length, data, count);
    }
    sink->length += count;
}

static void put_u8(sink_t *sink, uint8_t value)
{
    put_bytes(sink, &value, 1);
}

static void put_u16(sink_t *sink, uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    put_bytes(sink, bytes, sizeof(bytes));
}

static void put_u32(sink_t *sink, uint32_t value)
{
    uint8_t bytes[4];
    sr_bytes_put_le32(bytes, value);
    put_bytes(sink, bytes, sizeof(bytes));
}

/** Puts a string into a field, which must have room for at least one terminating zero. */
static bool put_string(sink_t *sink, const char *text, size_t field)
{
    size_t length = strlen(text);
    if (length >= field) {
        return false;
    }
    put_bytes(sink, text, length);
    put_fill(sink, 0, field - length);
    return true;
}

/** Puts the SHA-256 over the first @p hashed bytes of what is there. */
static image_write_status_t put_sha256(sink_t *sink, size_t hashed)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, sink->out, hashed);
    if (sr_sha256_finish(&sha, digest) != 0) {
        return IMAGE_WRITE_CRYPTO_FAILED;
    }
    put_bytes(sink, digest, sizeof(digest));
    return IMAGE_WRITE_OK;
}

const char *image_write_status_text(image_write_status_t status)
{
    switch (status) {
    case IMAGE_WRITE_OK:
        return "written";
    case IMAGE_WRITE_NO_ROOM:
        return "it does not fit";
    case IMAGE_WRITE_BAD_ARGUMENT:
        return "the format cannot hold it";
    case IMAGE_WRITE_NO_MEMORY:
        return "out of memory";
    case IMAGE_WRITE_CRYPTO_FAILED:
        return "the crypto library failed";
    }
    return "unknown status";
}

static void put_esp_header(sink_t *sink, const image_write_esp_t *spec)
{
    put_u8(sink, SR_IMAGE_MAGIC);
    put_u8(sink, 0); // number of segments: known at the end
    put_u8(sink, spec->spi_mode);
    put_u8(sink, (uint8_t)(spec->spi_size << 4 | spec->spi_speed));
    put_u32(sink, spec->entry);
    put_u8(sink, 0xEE); // write protect pin: not set
    put_fill(sink, 0, 3);
    put_u16(sink, spec->chip_id);
    put_u8(sink, (uint8_t)(spec->min_chip_rev_full / 100u));
    put_u16(sink, spec->min_chip_rev_full);
    put_u16(sink, spec->max_chip_rev_full);
    put_fill(sink, 0, 4);
    put_u8(sink, spec->append_hash ? 1 : 0);
}

/** Puts one segment, and in front of it the padding segment that its mapping may need; counts both. */
static void put_segment(sink_t *sink, const image_write_segment_t *segment, unsigned *count, uint8_t *checksum)
{
    const size_t header = 8;
    if (segment->mapped) {
        size_t distance = (segment->load_address - (sink->length + header)) % IMAGE_WRITE_MMU_PAGE_SIZE;
        if (distance != 0) {
            put_u32(sink, 0);
            size_t padding = (distance - header) % IMAGE_WRITE_MMU_PAGE_SIZE;
            put_u32(sink, (uint32_t)padding);
            put_fill(sink, 0, padding);
            (*count)++;
        }
    }
    put_u32(sink, segment->load_address);
    put_u32(sink, segment->length);
    put_bytes(sink, segment->data, segment->length);
    (*count)++;
    for (uint32_t i = 0; i < segment->length; i++) {
        *checksum ^= segment->data[i];
    }
}

static bool esp_spec_is_possible(const image_write_esp_t *spec)
{
    if (spec->segment_count == 0 || spec->spi_speed > 0xF || spec->spi_size > 0xF) {
        return false;
    }
    for (unsigned i = 0; i < spec->segment_count; i++) {
        const image_write_segment_t *segment = &spec->segments[i];
        if (segment->length % 4 != 0 || (segment->mapped && segment->load_address % 4 != 0)) {
            return false;
        }
    }
    return true;
}

image_write_status_t image_write_esp(const image_write_esp_t *spec, uint8_t *out, size_t capacity, size_t *length)
{
    *length = 0;
    if (!esp_spec_is_possible(spec)) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    sink_t sink = {.out = out, .capacity = capacity};
    unsigned count = 0;
    uint8_t checksum = CHECKSUM_SEED;
    put_esp_header(&sink, spec);
    for (unsigned i = 0; i < spec->segment_count; i++) {
        put_segment(&sink, &spec->segments[i], &count, &checksum);
    }
    put_fill(&sink, 0, 15 - sink.length % 16);
    put_u8(&sink, checksum);
    if (sink.full) {
        return IMAGE_WRITE_NO_ROOM;
    }
    if (count > SR_IMAGE_MAX_SEGMENTS) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    out[1] = (uint8_t)count;
    if (spec->append_hash && put_sha256(&sink, sink.length) != IMAGE_WRITE_OK) {
        return IMAGE_WRITE_CRYPTO_FAILED;
    }
    if (sink.full) {
        return IMAGE_WRITE_NO_ROOM;
    }
    *length = sink.length;
    return IMAGE_WRITE_OK;
}

image_write_status_t image_write_app_desc(const char *project_name, const char *version, const char *idf_version,
                                          uint8_t out[IMAGE_WRITE_APP_DESC_SIZE])
{
    sink_t sink = {.out = out, .capacity = IMAGE_WRITE_APP_DESC_SIZE};
    put_u32(&sink, SR_APP_DESC_MAGIC);
    put_fill(&sink, 0, 12);
    // A fixed date: the same arguments give the same bytes.
    if (!put_string(&sink, version, 32) || !put_string(&sink, project_name, 32) || !put_string(&sink, "00:00:00", 16) ||
        !put_string(&sink, "Jan  1 2024", 16) || !put_string(&sink, idf_version, 32)) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    put_fill(&sink, 0, SR_SHA256_SIZE); // digest of the ELF file: there is none
    put_u16(&sink, 0);                  // eFuse block revisions: any
    put_u16(&sink, 99);
    put_u8(&sink, 16); // MMU page size 1 << 16
    put_fill(&sink, 0, IMAGE_WRITE_APP_DESC_SIZE - sink.length);
    return IMAGE_WRITE_OK;
}

image_write_status_t image_write_bootloader_desc(const char *idf_version, uint32_t version,
                                                 uint8_t out[IMAGE_WRITE_BOOTLOADER_DESC_SIZE])
{
    sink_t sink = {.out = out, .capacity = IMAGE_WRITE_BOOTLOADER_DESC_SIZE};
    put_u8(&sink, BOOTLOADER_DESC_MAGIC);
    put_fill(&sink, 0, 3);
    put_u32(&sink, version);
    if (!put_string(&sink, idf_version, 32) || !put_string(&sink, "Jan  1 2024 00:00:00", 24)) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    put_fill(&sink, 0, IMAGE_WRITE_BOOTLOADER_DESC_SIZE - sink.length);
    return IMAGE_WRITE_OK;
}

static void put_partition(sink_t *sink, const sr_partition_table_entry_t *entry)
{
    size_t label = strnlen(entry->label, 16);
    put_bytes(sink, "\xAA\x50", 2);
    put_u8(sink, entry->type);
    put_u8(sink, entry->subtype);
    put_u32(sink, entry->address);
    put_u32(sink, entry->size);
    put_bytes(sink, entry->label, label);
    put_fill(sink, 0, 16 - label);
    put_u32(sink, entry->flags);
}

image_write_status_t image_write_partition_table(const sr_partition_table_entry_t *entries, unsigned count,
                                                 uint8_t out[SR_PARTITION_TABLE_SIZE])
{
    // The MD5 takes an entry too, and one blank entry ends the table.
    if (count > SR_PARTITION_MAX_ENTRIES - 1) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    sink_t sink = {.out = out, .capacity = SR_PARTITION_TABLE_SIZE};
    for (unsigned i = 0; i < count; i++) {
        put_partition(&sink, &entries[i]);
    }
    uint8_t digest[SR_MD5_SIZE];
    sr_md5_t md5;
    sr_md5_start(&md5);
    sr_md5_update(&md5, out, sink.length);
    if (sr_md5_finish(&md5, digest) != 0) {
        return IMAGE_WRITE_CRYPTO_FAILED;
    }
    put_bytes(&sink, "\xEB\xEB", 2);
    put_fill(&sink, 0xFF, 14);
    put_bytes(&sink, digest, sizeof(digest));
    put_fill(&sink, 0xFF, SR_PARTITION_TABLE_SIZE - sink.length);
    return IMAGE_WRITE_OK;
}

void image_write_otadata(uint32_t sequence, uint32_t state, uint8_t out[IMAGE_WRITE_OTADATA_SIZE])
{
    memset(out, 0xFF, IMAGE_WRITE_OTADATA_SIZE);
    sr_otadata_encode(sequence, state, out);
}

void image_write_load_header(const image_write_load_header_t *header, uint8_t out[IMAGE_WRITE_LOAD_HEADER_SIZE])
{
    sink_t sink = {.out = out, .capacity = IMAGE_WRITE_LOAD_HEADER_SIZE};
    put_u32(&sink, LOAD_HEADER_MAGIC);
    put_u32(&sink, header->entry);
    put_u32(&sink, header->iram_address);
    put_u32(&sink, header->iram_offset);
    put_u32(&sink, header->iram_size);
    put_u32(&sink, header->dram_address);
    put_u32(&sink, header->dram_offset);
    put_u32(&sink, header->dram_size);
    put_fill(&sink, 0, 24); // memory of the low-power domain: not used
    put_u32(&sink, header->irom_address);
    put_u32(&sink, header->irom_offset);
    put_u32(&sink, header->irom_size);
    put_u32(&sink, header->drom_address);
    put_u32(&sink, header->drom_offset);
    put_u32(&sink, header->drom_size);
    put_fill(&sink, 0, IMAGE_WRITE_LOAD_HEADER_SIZE - sink.length);
}

/** The last bytes of a slot: image_ok in an aligned field of its own, then the magic. */
static void put_trailer(sink_t *sink, uint32_t slot_size, image_write_trailer_t trailer)
{
    size_t trailer_size = SR_MCUBOOT_TRAILER_MAGIC_SIZE + MCUBOOT_MAX_ALIGN;
    if (trailer == IMAGE_WRITE_TRAILER_NONE) {
        put_fill(sink, 0xFF, slot_size - sink->length);
        return;
    }
    if (sink->length + trailer_size > slot_size) {
        sink->full = true;
        return;
    }
    put_fill(sink, 0xFF, slot_size - trailer_size - sink->length);
    put_u8(sink, trailer == IMAGE_WRITE_TRAILER_CONFIRMED ? 1 : 0xFF);
    put_fill(sink, 0xFF, MCUBOOT_MAX_ALIGN - 1);
    put_bytes(sink, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
}

image_write_status_t image_write_mcuboot(const image_write_mcuboot_t *spec, uint8_t *out, size_t capacity)
{
    if (spec->slot_size > capacity) {
        return IMAGE_WRITE_NO_ROOM;
    }
    sink_t sink = {.out = out, .capacity = spec->slot_size};
    put_u32(&sink, SR_MCUBOOT_IMAGE_MAGIC);
    put_u32(&sink, 0); // load address: executed in place
    put_u16(&sink, IMAGE_WRITE_MCUBOOT_HEADER_SIZE);
    put_u16(&sink, 0); // protected TLVs: none
    put_u32(&sink, spec->payload_size);
    put_u32(&sink, 0); // flags
    put_u8(&sink, spec->version_major);
    put_u8(&sink, spec->version_minor);
    put_u16(&sink, spec->version_revision);
    put_u32(&sink, spec->version_build);
    put_u32(&sink, 0);
    put_bytes(&sink, spec->payload, spec->payload_size);
    if (sink.full) {
        return IMAGE_WRITE_NO_ROOM;
    }
    const size_t hashed = sink.length;
    put_u16(&sink, MCUBOOT_TLV_INFO);
    put_u16(&sink, 4 + 4 + SR_SHA256_SIZE);
    put_u16(&sink, MCUBOOT_TLV_SHA256);
    put_u16(&sink, SR_SHA256_SIZE);
    image_write_status_t status = put_sha256(&sink, hashed);
    if (status != IMAGE_WRITE_OK) {
        return status;
    }
    put_trailer(&sink, spec->slot_size, spec->trailer);
    return sink.full ? IMAGE_WRITE_NO_ROOM : IMAGE_WRITE_OK;
}

static image_write_status_t put_part(const image_write_part_t *parts, unsigned index, uint32_t base, uint8_t *out,
                                     size_t capacity, size_t *length)
{
    const image_write_part_t *part = &parts[index];
    if (part->address < base) {
        return IMAGE_WRITE_BAD_ARGUMENT;
    }
    size_t start = part->address - base;
    if (start > capacity || part->length > capacity - start) {
        return IMAGE_WRITE_NO_ROOM;
    }
    for (unsigned i = 0; i < index; i++) {
        sr_region_t other = {parts[i].address, (uint32_t)parts[i].length};
        if (sr_region_overlaps(other, (sr_region_t){part->address, (uint32_t)part->length})) {
            return IMAGE_WRITE_BAD_ARGUMENT;
        }
    }
    size_t end = start + part->length;
    if (end > *length) {
        memset(out + *length, 0xFF, end - *length);
        *length = end;
    }
    if (part->length != 0) {
        memcpy(out + start, part->data, part->length);
    }
    return IMAGE_WRITE_OK;
}

image_write_status_t image_write_merged(const image_write_part_t *parts, unsigned count, uint32_t base, uint8_t *out,
                                        size_t capacity, size_t *length)
{
    *length = 0;
    size_t end = 0;
    for (unsigned i = 0; i < count; i++) {
        image_write_status_t status = put_part(parts, i, base, out, capacity, &end);
        if (status != IMAGE_WRITE_OK) {
            return status;
        }
    }
    *length = end;
    return IMAGE_WRITE_OK;
}
