// SPDX-License-Identifier: Apache-2.0
/** @file
 * Staged records made by hand, right ones and hostile ones, byte by byte as docs/record-format.md has them. Include
 * after cmocka.h.
 */
#pragma once

#include "make/bundle_signer.h"
#include "make/bundle_writer.h"

#include "format/sr_digest.h"
#include "format/sr_record.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_MAX_DATA 64u

/** A record that is being made. Fields may be changed before record_put(). */
typedef struct record {
    uint8_t list[SR_SECTOR_SIZE];
    sr_record_header_t header;
    const uint8_t *manifest; /**< header.manifest_size bytes. */
    uint8_t data[RECORD_MAX_DATA][SR_SECTOR_SIZE];
    uint32_t data_count;
} record_t;

/** A bundle for a small chip, signed if there is a key. The caller frees it. */
static inline uint8_t *record_bundle(const bundle_spec_t *spec, const char *private_pem, size_t *size)
{
    uint8_t *bundle = NULL;
    assert_int_equal(bundle_write(spec, &bundle, size), BUNDLE_WRITE_OK);
    if (private_pem != NULL) {
        assert_int_equal(bundle_sign(bundle, *size, private_pem), SR_BUNDLE_OK);
    }
    return bundle;
}

/** Starts a record for the manifest of a bundle. @param app The first sector of the app that wrote it. */
static inline void record_start(record_t *record, const uint8_t *bundle, size_t size, const uint8_t *app)
{
    sr_bundle_t parsed;
    uint8_t id[SR_SHA256_SIZE];
    memset(record, 0, sizeof(*record));
    memset(record->list, 0xFF, sizeof(record->list));
    assert_int_equal(sr_bundle_parse(bundle, (uint32_t)size, &parsed), SR_BUNDLE_OK);
    record->manifest = bundle;
    record->header.manifest_size = parsed.manifest_size + SR_BUNDLE_SIGNATURE_SIZE;
    record->header.sectors = sr_record_manifest_sectors(record->header.manifest_size);
    assert_true(sr_digest(app, SR_SECTOR_SIZE, id));
    memcpy(record->header.app_id, id, sizeof(record->header.app_id));
}

/** Adds an entry. @param content Its sectors; NULL: they are to be blank. */
static inline void record_add(record_t *record, sr_record_group_t group, uint32_t address, uint32_t sectors,
                              const uint8_t *content)
{
    const sr_record_entry_t entry = {.address = address,
                                     .sectors = sectors,
                                     .group = group,
                                     .blank = content == NULL,
                                     .data_index = record->data_count};
    sr_record_write_entry(record->list, record->header.count++, &entry);
    for (uint32_t i = 0; i < sectors && content != NULL; i++) {
        assert_true(record->data_count < RECORD_MAX_DATA);
        memcpy(record->data[record->data_count++], content + i * SR_SECTOR_SIZE, SR_SECTOR_SIZE);
        record->header.sectors++;
    }
}

/** Gives the last entry the digest that moved content needs. */
static inline void record_vouch(record_t *record)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_record_entry_t entry = sr_record_read_entry(record->list, record->header.count - 1);
    assert_true(sr_digest(record->data[entry.data_index], entry.sectors * (size_t)SR_SECTOR_SIZE, digest));
    memcpy(entry.digest, digest, sizeof(entry.digest));
    sr_record_write_entry(record->list, record->header.count - 1, &entry);
}

/** Notes what the flash holds where the commit will begin to change the boot path. */
static inline void record_note_boot_path(record_t *record, const uint8_t *flash)
{
    sr_sha256_t sha;
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < record->header.count; i++) {
        const sr_record_entry_t entry = sr_record_read_entry(record->list, i);
        if (sr_record_is_first_part(record->list, record->header.count, &entry)) {
            sr_sha256_update(&sha, flash + entry.address, SR_SECTOR_SIZE);
        }
    }
    assert_int_equal(sr_sha256_finish(&sha, digest), 0);
    memcpy(record->header.before, digest, sizeof(record->header.before));
}

/** Sectors of the whole record. */
static inline uint32_t record_sectors(const record_t *record)
{
    return sr_record_sectors(record->header.sectors);
}

/** Puts it into a flash. */
static inline void record_put(record_t *record, uint8_t *flash, uint32_t address, bool sealed)
{
    uint8_t *at = flash + address;
    const uint32_t manifest_sectors = sr_record_manifest_sectors(record->header.manifest_size);
    memset(at, 0xFF, (SR_RECORD_OVERHEAD + manifest_sectors + record->data_count) * SR_SECTOR_SIZE);
    sr_record_write_mark(at, record->header.sectors);
    memcpy(at + SR_RECORD_OVERHEAD * SR_SECTOR_SIZE, record->manifest, record->header.manifest_size);
    memcpy(at + (SR_RECORD_OVERHEAD + manifest_sectors) * SR_SECTOR_SIZE, record->data,
           record->data_count * (size_t)SR_SECTOR_SIZE);
    if (sealed) {
        assert_true(sr_record_write_header(record->list, &record->header));
        memcpy(at + SR_SECTOR_SIZE, record->list, SR_SECTOR_SIZE);
    }
}

/** True if a sealed record begins there. */
static inline bool record_is_sealed(const uint8_t *flash, uint32_t size, uint32_t address)
{
    uint32_t sectors = 0;
    sr_record_header_t header;
    return sr_record_read_mark(flash + address, address, size, &sectors) && sectors > 0 &&
           sr_record_read_header(flash + address + SR_SECTOR_SIZE, sectors, &header) == SR_RECORD_OK;
}

/** True if one begins anywhere. */
static inline bool record_is_somewhere(const uint8_t *flash, uint32_t size)
{
    for (uint32_t at = 0; at < size; at += SR_SECTOR_SIZE) {
        if (record_is_sealed(flash, size, at)) {
            return true;
        }
    }
    return false;
}
