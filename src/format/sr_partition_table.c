// SPDX-License-Identifier: Apache-2.0
#include "format/sr_partition_table.h"

#include "format/sr_bytes.h"
#include "format/sr_md5.h"
#include "format/sr_region.h"

#include <string.h>

#define MD5_MAGIC     0xEBEBu
#define END_MAGIC     0xFFFFu
#define END_TYPE      0xFFu
#define ENTRY_TYPE    2u
#define ENTRY_ADDRESS 4u
#define ENTRY_SIZE    8u
#define ENTRY_LABEL   12u
#define ENTRY_FLAGS   28u
#define ENTRY_MD5     16u
#define LABEL_LENGTH  16u

/** A table on its way from bytes to entries. */
typedef struct table_parse {
    sr_partition_table_t *table;
    uint32_t flash_size;
    sr_md5_t md5; /**< Over all raw entries so far, until the MD5 entry is met. */
    bool md5_is_last;
    bool at_end;
} table_parse_t;

static void decode_entry(const uint8_t *raw, sr_partition_table_entry_t *entry)
{
    entry->type = raw[ENTRY_TYPE];
    entry->subtype = raw[3];
    entry->address = sr_bytes_get_le32(raw + ENTRY_ADDRESS);
    entry->size = sr_bytes_get_le32(raw + ENTRY_SIZE);
    entry->flags = sr_bytes_get_le32(raw + ENTRY_FLAGS);
    memcpy(entry->label, raw + ENTRY_LABEL, LABEL_LENGTH);
    entry->label[LABEL_LENGTH] = '\0';
}

static sr_partition_table_status_t add_entry(table_parse_t *parse, const uint8_t *raw)
{
    sr_partition_table_t *table = parse->table;
    if (table->count == SR_PARTITION_MAX_ENTRIES) {
        return SR_PARTITION_TABLE_TOO_MANY;
    }
    sr_partition_table_entry_t *entry = &table->entries[table->count];
    decode_entry(raw, entry);
    if (!sr_region_fits((sr_region_t){entry->address, entry->size}, parse->flash_size)) {
        return SR_PARTITION_TABLE_PAST_END;
    }
    table->count++;
    parse->md5_is_last = false;
    return SR_PARTITION_TABLE_OK;
}

static sr_partition_table_status_t check_md5(table_parse_t *parse, const uint8_t *raw)
{
    uint8_t digest[SR_MD5_SIZE];
    if (parse->table->has_md5) {
        return SR_PARTITION_TABLE_BAD_MD5;
    }
    parse->table->has_md5 = true;
    parse->md5_is_last = true;
    if (sr_md5_finish(&parse->md5, digest) != 0 || memcmp(digest, raw + ENTRY_MD5, SR_MD5_SIZE) != 0) {
        return SR_PARTITION_TABLE_BAD_MD5;
    }
    return SR_PARTITION_TABLE_OK;
}

static sr_partition_table_status_t parse_entry(table_parse_t *parse, const uint8_t *raw)
{
    switch (sr_bytes_get_le16(raw)) {
    case SR_PARTITION_ENTRY_MAGIC:
        return add_entry(parse, raw);
    case MD5_MAGIC:
        return check_md5(parse, raw);
    case END_MAGIC:
        parse->at_end = raw[2] == END_TYPE && raw[3] == END_TYPE;
        return parse->at_end ? SR_PARTITION_TABLE_OK : SR_PARTITION_TABLE_BAD_MAGIC;
    default:
        return SR_PARTITION_TABLE_BAD_MAGIC;
    }
}

static sr_partition_table_status_t parse_entries(const sr_reader_t *reader, table_parse_t *parse)
{
    for (uint32_t i = 0; i <= SR_PARTITION_MAX_ENTRIES; i++) {
        uint8_t raw[SR_PARTITION_ENTRY_SIZE];
        parse->table->bad_entry = (uint8_t)i;
        if (reader->read(reader->context, i * SR_PARTITION_ENTRY_SIZE, raw, sizeof(raw)) != 0) {
            return SR_PARTITION_TABLE_READ_FAILED;
        }
        sr_partition_table_status_t status = parse_entry(parse, raw);
        if (status != SR_PARTITION_TABLE_OK || parse->at_end) {
            return status;
        }
        if (!parse->table->has_md5) {
            sr_md5_update(&parse->md5, raw, sizeof(raw));
        }
    }
    return SR_PARTITION_TABLE_TOO_MANY;
}

sr_partition_table_status_t sr_partition_table_parse(const sr_reader_t *reader, uint32_t flash_size,
                                                     sr_partition_table_t *table)
{
    memset(table, 0, sizeof(*table));
    if (reader->size < SR_PARTITION_TABLE_SIZE) {
        return SR_PARTITION_TABLE_READ_FAILED;
    }

    table_parse_t parse = {.table = table, .flash_size = flash_size != 0 ? flash_size : UINT32_MAX};
    sr_md5_start(&parse.md5);
    sr_partition_table_status_t status = parse_entries(reader, &parse);
    if (!table->has_md5) {
        uint8_t unused[SR_MD5_SIZE];
        (void)sr_md5_finish(&parse.md5, unused);
    }
    if (status == SR_PARTITION_TABLE_OK) {
        table->bad_entry = 0;
        // The bootloader subtracts the MD5 entry from its count, wherever it stands, and so never looks at the last
        // entry.
        if (table->has_md5 && !parse.md5_is_last) {
            table->count--;
        }
    }
    return status;
}

/* Gives the app's entry another place if it starts at @p from. Any other entry that lies at the new place is cut short
 * in front of it. */
static bool move_entry(uint8_t *raw, uint32_t from, sr_region_t to)
{
    const sr_region_t place = {sr_bytes_get_le32(raw + ENTRY_ADDRESS), sr_bytes_get_le32(raw + ENTRY_SIZE)};
    if (raw[ENTRY_TYPE] == SR_PARTITION_TYPE_APP && place.address == from) {
        sr_bytes_put_le32(raw + ENTRY_ADDRESS, to.address);
        sr_bytes_put_le32(raw + ENTRY_SIZE, to.size);
        return true;
    }
    if (sr_region_overlaps(place, to)) {
        sr_bytes_put_le32(raw + ENTRY_SIZE, place.address < to.address ? to.address - place.address : 0);
    }
    return false;
}

bool sr_partition_table_move_app(uint8_t bytes[SR_PARTITION_TABLE_SIZE], uint32_t from, sr_region_t to)
{
    sr_md5_t md5;
    uint8_t digest[SR_MD5_SIZE];
    uint8_t *md5_entry = NULL;
    bool moved = false;
    sr_md5_start(&md5);
    for (uint32_t i = 0; i <= SR_PARTITION_MAX_ENTRIES; i++) {
        uint8_t *raw = bytes + i * SR_PARTITION_ENTRY_SIZE;
        const uint16_t magic = sr_bytes_get_le16(raw);
        if (magic == MD5_MAGIC) {
            md5_entry = raw;
        } else if (magic == SR_PARTITION_ENTRY_MAGIC) {
            moved |= move_entry(raw, from, to);
        } else {
            break;
        }
        if (md5_entry == NULL) {
            sr_md5_update(&md5, raw, SR_PARTITION_ENTRY_SIZE);
        }
    }
    const bool hashed = sr_md5_finish(&md5, digest) == 0;
    if (hashed && md5_entry != NULL) {
        memcpy(md5_entry + ENTRY_MD5, digest, SR_MD5_SIZE);
    }
    return moved && (hashed || md5_entry == NULL);
}

const sr_partition_table_entry_t *sr_partition_table_find(const sr_partition_table_t *table, uint8_t type,
                                                          uint8_t subtype)
{
    for (uint8_t i = 0; i < table->count; i++) {
        if (table->entries[i].type == type && table->entries[i].subtype == subtype) {
            return &table->entries[i];
        }
    }
    return NULL;
}

const sr_partition_table_entry_t *sr_partition_table_find_label(const sr_partition_table_t *table, const char *label)
{
    for (uint8_t i = 0; i < table->count; i++) {
        if (strcmp(table->entries[i].label, label) == 0) {
            return &table->entries[i];
        }
    }
    return NULL;
}

bool sr_partition_table_encrypts(const sr_partition_table_entry_t *entry)
{
    const bool data = entry->type == SR_PARTITION_TYPE_DATA;
    return (entry->flags & SR_PARTITION_FLAG_ENCRYPTED) != 0 || entry->type == SR_PARTITION_TYPE_APP ||
           sr_partition_table_is_boot_path(entry) ||
           (data && (entry->subtype == SR_PARTITION_DATA_NVS_KEYS || entry->subtype == SR_PARTITION_DATA_TEE_OTA));
}

unsigned sr_partition_table_ota_slots(const sr_partition_table_t *table)
{
    unsigned slots = 0;
    for (uint8_t i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        slots += entry->type == SR_PARTITION_TYPE_APP && entry->subtype >= SR_PARTITION_APP_OTA_0 &&
                 entry->subtype <= SR_PARTITION_APP_OTA_LAST;
    }
    return slots;
}

const char *sr_partition_table_status_text(sr_partition_table_status_t status)
{
    switch (status) {
    case SR_PARTITION_TABLE_OK:
        return "partition table is valid";
    case SR_PARTITION_TABLE_READ_FAILED:
        return "partition table cannot be read";
    case SR_PARTITION_TABLE_BAD_MAGIC:
        return "partition table entry has a bad magic number";
    case SR_PARTITION_TABLE_BAD_MD5:
        return "partition table MD5 differs";
    case SR_PARTITION_TABLE_PAST_END:
        return "partition extends past the end of flash size";
    case SR_PARTITION_TABLE_TOO_MANY:
        return "partition table has no end marker";
    }
    return "unknown partition table status";
}
