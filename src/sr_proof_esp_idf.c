// SPDX-License-Identifier: Apache-2.0
#include "sr_proof_esp_idf.h"

#include "sr_admit_esp_idf.h"
#include "sr_digest.h"
#include "sr_verdict_esp_idf.h"
#include "sr_yield_esp_idf.h"

#include "esp_heap_caps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_in(sr_region_t region, uint32_t address)
{
    return sr_region_overlaps(region, (sr_region_t){address, SR_SECTOR_SIZE});
}

static esp_err_t digest_of(sr_proof_t *proof, uint32_t address, uint8_t digest[SR_SHA256_SIZE])
{
    sr_yield(SR_SECTOR_SIZE);
    const esp_err_t err = sr_flash_read(&proof->system->flash, address, proof->scratch, SR_SECTOR_SIZE);
    if (err != ESP_OK) {
        return err;
    }
    return sr_digest(proof->scratch, SR_SECTOR_SIZE, digest) ? ESP_OK : ESP_FAIL;
}

/* Compares a sector of the flash with half a SHA-256; NULL: is it blank? */
static esp_err_t is_right(sr_proof_t *proof, uint32_t address, const uint8_t *wanted, bool *right)
{
    uint8_t digest[SR_SHA256_SIZE];
    if (wanted == NULL) {
        sr_yield(SR_SECTOR_SIZE);
        return sr_writer_is_blank(proof->writer, address, right);
    }
    const esp_err_t err = digest_of(proof, address, digest);
    *right = err == ESP_OK && memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0;
    return err;
}

/** A record, and whether a data partition has part of it. */
typedef struct place {
    sr_region_t region;
    bool is_data;
} place_t;

static void look_at_partition(void *context, const esp_partition_t *partition)
{
    place_t *place = context;
    place->is_data |=
        sr_partition_is_data(partition) && sr_region_overlaps(sr_partition_region(partition), place->region);
}

/* Nothing is staged in a data partition of the running system: what looks like a record there, somebody has stored. */
static esp_err_t check_place(sr_proof_t *proof, sr_stage_status_t *status)
{
    place_t place = {.region = sr_stage_place(proof->stage)};
    const esp_err_t err = sr_system_visit_partitions(look_at_partition, &place);
    *status = place.is_data ? SR_STAGE_IN_DATA : proof->stage->header.sectors == 0 ? SR_STAGE_NOT_SEALED : SR_STAGE_OK;
    return err;
}

static esp_err_t load_list(sr_proof_t *proof, sr_stage_status_t *status)
{
    return sr_stage_load(proof->stage, status);
}

static esp_err_t check_app(sr_proof_t *proof, sr_stage_status_t *status)
{
    const sr_stage_header_t *header = &proof->stage->header;
    *status = memcmp(header->app_id, proof->app_id, sizeof(header->app_id)) == 0 ? SR_STAGE_OK : SR_STAGE_OTHER_APP;
    return ESP_OK;
}

/* Rows for each sector that this flash has: one for another device could ask for all memory. */
static uint32_t largest_manifest(const sr_proof_t *proof)
{
    const uint32_t rows = SR_BUNDLE_MAX_REGIONS + 2u * (proof->system->flash.size / SR_SECTOR_SIZE);
    return SR_BUNDLE_HEADER_SIZE + rows * SR_BUNDLE_ROW_SIZE + SR_BUNDLE_MAX_MOVES * SR_BUNDLE_MOVE_SIZE +
           SR_BUNDLE_SIGNATURE_SIZE;
}

static esp_err_t load_manifest(sr_proof_t *proof, sr_stage_status_t *status)
{
    if (proof->stage->header.manifest_size > largest_manifest(proof)) {
        (void)snprintf(proof->reason, sizeof(proof->reason), "more than this flash has sectors for");
        *status = SR_STAGE_BAD_MANIFEST;
        return ESP_OK;
    }
    sr_yield(SR_YIELD_BYTES); /* A signature takes as long to verify, and there may be many such records. */
    const esp_self_reflasher_bundle_config_t *config = proof->config;
    const bool unsigned_ok = (config->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) != 0;
    const sr_region_t place = {sr_stage_manifest_address(proof->stage), proof->stage->header.manifest_size};
    esp_err_t err =
        sr_manifest_load_record(&proof->manifest, &proof->system->flash, place, config->public_key, unsigned_ok);
    if (err == ESP_ERR_SELF_REFLASHER_REFUSED) {
        (void)snprintf(proof->reason, sizeof(proof->reason), "%s", sr_bundle_status_text(proof->manifest.status));
        *status = SR_STAGE_BAD_MANIFEST;
        err = ESP_OK;
    }
    return err;
}

static esp_err_t check_device(sr_proof_t *proof, sr_stage_status_t *status)
{
    const esp_self_reflasher_refusal_t refusal = sr_admit(
        &proof->manifest.bundle, proof->system, proof->config->min_sequence, proof->reason, sizeof(proof->reason));
    *status = refusal == ESP_SELF_REFLASHER_REFUSED_NOT ? SR_STAGE_OK : SR_STAGE_NOT_ADMITTED;
    return ESP_OK;
}

static esp_err_t check_list(sr_proof_t *proof, sr_stage_status_t *status)
{
    const sr_system_t *system = proof->system;
    const sr_stage_limits_t limits = {.flash_size = system->flash.size,
                                      .record = sr_stage_place(proof->stage),
                                      .bootloader = system->chip->bootloader_offset,
                                      .table = system->boot_path.table.address,
                                      .recovery = system->boot_path.recovery,
                                      .can_be_guarded = system->recovery != UINT32_MAX && !system->flash.encryption};
    *status = sr_stage_check(proof->stage->list, &proof->stage->header, &proof->manifest.bundle, &limits);
    return ESP_OK;
}

/* As in a plan: which regions are encrypted says the table, and what moves would have to be encrypted anew; and with
 * Secure Boot V1 nobody can tell whether the ROM takes another bootloader. */
static esp_err_t check_security(sr_proof_t *proof, sr_stage_status_t *status)
{
    const char *forbidden = NULL;
    const sr_region_t v1 = sr_verdict_v1_place(proof->system);
    for (uint32_t i = 0; i < proof->stage->header.count && forbidden == NULL; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(proof->stage, i);
        const bool encrypted = proof->system->flash.encryption;
        if (encrypted && (entry.group == SR_STAGE_TABLE || sr_stage_moves_to(&proof->manifest.bundle, entry.address))) {
            forbidden = "flash encryption is on";
        } else if (sr_region_overlaps(v1, (sr_region_t){entry.address, entry.sectors * SR_SECTOR_SIZE})) {
            forbidden = "Secure Boot V1 is on";
        }
    }
    if (forbidden != NULL) {
        (void)snprintf(proof->reason, sizeof(proof->reason), "%s", forbidden);
        *status = SR_STAGE_REFUSED;
    }
    return ESP_OK;
}

/* What the manifest says a data sector must be; NULL for one that moves. */
static const uint8_t *signed_digest(const sr_proof_t *proof, uint32_t address)
{
    uint32_t index = 0;
    const sr_bundle_t *bundle = &proof->manifest.bundle;
    return sr_bundle_want(bundle, address, &index) == SR_BUNDLE_CONTENT ? sr_bundle_digest(bundle, index) : NULL;
}

/* Digests each data sector of an entry, and compares: with the manifest, or, where that moves something to, all of them
 * together with the list. */
static esp_err_t confirm_entry(sr_proof_t *proof, const sr_stage_entry_t *entry, bool *confirmed)
{
    uint8_t digest[SR_SHA256_SIZE];
    sr_sha256_t sha;
    esp_err_t err = ESP_OK;
    const bool moves = sr_stage_moves_to(&proof->manifest.bundle, entry->address);
    *confirmed = true;
    sr_sha256_start(&sha);
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK && *confirmed; i++) {
        const uint32_t data_index = entry->data_index + i;
        err = digest_of(proof, sr_stage_data_address(proof->stage, data_index), digest);
        sr_sha256_update(&sha, proof->scratch, SR_SECTOR_SIZE);
        memcpy(proof->stage->digests + data_index * SR_BUNDLE_DIGEST_SIZE, digest, SR_BUNDLE_DIGEST_SIZE);
        const uint8_t *wanted = signed_digest(proof, entry->address + i * SR_SECTOR_SIZE);
        *confirmed = moves || (wanted != NULL && memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0);
    }
    const bool hashed = sr_sha256_finish(&sha, digest) == 0;
    *confirmed = *confirmed && (!moves || memcmp(digest, entry->digest, SR_BUNDLE_DIGEST_SIZE) == 0);
    return err == ESP_OK && !hashed ? ESP_FAIL : err;
}

/* What fills up a block was blank when the record was written: if it is not, it is somebody else's. */
static esp_err_t fill_is_blank(sr_proof_t *proof, uint32_t data_sectors, bool *blank)
{
    const sr_stage_header_t *header = &proof->stage->header;
    const uint32_t used = sr_stage_manifest_sectors(header->manifest_size) + data_sectors;
    esp_err_t err = ESP_OK;
    *blank = true;
    for (uint32_t i = 0; i < header->sectors - used && err == ESP_OK && *blank; i++) {
        err = sr_writer_is_blank(proof->writer, sr_stage_data_address(proof->stage, data_sectors + i), blank);
    }
    return err;
}

static esp_err_t confirm_data(sr_proof_t *proof, sr_stage_status_t *status)
{
    sr_stage_t *stage = proof->stage;
    esp_err_t err = ESP_OK;
    bool confirmed = true;
    stage->data_sectors = 0;
    for (uint32_t i = 0; i < stage->header.count; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(stage, i);
        stage->data_sectors += entry.blank ? 0 : entry.sectors;
    }
    /* One more, as nothing is no size. No overflow: there are fewer than the flash has. */
    stage->digests = heap_caps_malloc((stage->data_sectors + 1u) * SR_BUNDLE_DIGEST_SIZE, MALLOC_CAP_8BIT);
    if (stage->digests == NULL) {
        return ESP_ERR_NO_MEM;
    }
    for (uint32_t i = 0; i < stage->header.count && err == ESP_OK && confirmed; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(stage, i);
        if (!entry.blank) {
            err = confirm_entry(proof, &entry, &confirmed);
        }
    }
    if (err == ESP_OK && confirmed) {
        err = fill_is_blank(proof, stage->data_sectors, &confirmed);
    }
    *status = confirmed ? SR_STAGE_OK : SR_STAGE_BAD_DATA;
    return err;
}

static const uint8_t *digest_in_stage(const sr_proof_t *proof, const sr_stage_entry_t *entry, uint32_t index)
{
    return entry->blank ? NULL : proof->stage->digests + (entry->data_index + index) * SR_BUNDLE_DIGEST_SIZE;
}

/* Compares all sectors of an entry with the flash, or only those of a region. */
static esp_err_t entry_is_done(sr_proof_t *proof, const sr_stage_entry_t *entry, sr_region_t where, bool *done)
{
    esp_err_t err = ESP_OK;
    *done = true;
    for (uint32_t i = 0; i < entry->sectors && err == ESP_OK && *done; i++) {
        const uint32_t address = entry->address + i * SR_SECTOR_SIZE;
        if (is_in(where, address)) {
            err = is_right(proof, address, digest_in_stage(proof, entry, i), done);
        }
    }
    return err;
}

static esp_err_t list_is_done(sr_proof_t *proof, sr_region_t where, bool *done)
{
    esp_err_t err = ESP_OK;
    *done = true;
    for (uint32_t i = 0; i < proof->stage->header.count && err == ESP_OK && *done; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(proof->stage, i);
        err = entry_is_done(proof, &entry, where, done);
    }
    return err;
}

/* No record writes over the app that runs. Once the new system does, it may be the same app at a place that has been
 * written. */
static esp_err_t spares_running_app(sr_proof_t *proof, sr_stage_status_t *status)
{
    bool spared = true;
    const esp_err_t err = list_is_done(proof, proof->system->boot_path.running_app, &spared);
    *status = spared ? SR_STAGE_OK : SR_STAGE_FORBIDDEN;
    return err;
}

/* Moves are over when bootloader and table are those of the bundle. */
static esp_err_t moves_are_over(sr_proof_t *proof, bool *over)
{
    const sr_bundle_t *bundle = &proof->manifest.bundle;
    const uint32_t table = proof->system->boot_path.table.address;
    esp_err_t err = ESP_OK;
    *over = true;
    for (uint32_t at = proof->system->chip->bootloader_offset; at <= table && err == ESP_OK && *over;
         at += SR_SECTOR_SIZE) {
        if (sr_bundle_want(bundle, at, NULL) != SR_BUNDLE_KEEP) {
            err = is_right(proof, at, signed_digest(proof, at), over);
        }
    }
    return err;
}

/* What has moved is the new system's by now, and is not put back. */
static void drop_moved(sr_proof_t *proof)
{
    sr_stage_t *stage = proof->stage;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stage->header.count; i++) {
        const sr_stage_entry_t entry = sr_stage_entry(stage, i);
        if (!sr_stage_moves_to(&proof->manifest.bundle, entry.address)) {
            sr_stage_write_entry(stage->list, kept++, &entry);
        }
    }
    stage->header.count = kept;
}

/* Where what moves comes from, if the running system still tells. */
static void find_sources(sr_proof_t *proof)
{
    const sr_bundle_t *bundle = &proof->manifest.bundle;
    for (uint32_t i = 0; i < bundle->move_count; i++) {
        const sr_bundle_move_t row = sr_bundle_move(bundle, i);
        struct sr_move *move = &proof->moves.list[i];
        *move = (struct sr_move){.source = row.source, .destination = row.destination};
        if (row.label[0] != '\0') {
            move->source = sr_partition_region(
                esp_partition_find_first(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, row.label));
            move->source.size = (uint32_t)sr_align_up(move->source.size, SR_SECTOR_SIZE);
        }
        proof->moves_are_known = proof->moves_are_known && move->source.size > 0 &&
                                 move->source.size <= move->destination.size &&
                                 sr_is_aligned(move->source.address, SR_SECTOR_SIZE) &&
                                 sr_region_fits(move->source, proof->system->flash.size);
    }
    proof->moves.count = bundle->move_count;
}

static esp_err_t check_moves(sr_proof_t *proof, sr_stage_status_t *status)
{
    bool over = true;
    (void)status;
    proof->moves = (sr_moves_t){0};
    proof->moves_are_known = true;
    const esp_err_t err = moves_are_over(proof, &over);
    if (over) {
        drop_moved(proof);
    } else {
        find_sources(proof);
    }
    return err;
}

/* What the list does not have must be right by itself, or a record could leave half of a system. Blank sectors may wait
 * under the app that runs, and the record itself will be gone. */
static esp_err_t check_sector(sr_proof_t *proof, uint32_t address, bool *right)
{
    const sr_stage_t *stage = proof->stage;
    const uint8_t *digest = signed_digest(proof, address);
    *right = sr_stage_entry_at(stage->list, stage->header.count, address) < SR_STAGE_MAX_ENTRIES ||
             (digest == NULL &&
              (is_in(sr_stage_place(stage), address) || is_in(proof->system->boot_path.running_app, address)));
    return *right ? ESP_OK : is_right(proof, address, digest, right);
}

static esp_err_t check_region(sr_proof_t *proof, const sr_bundle_region_t *region, sr_stage_status_t *status)
{
    for (uint32_t offset = 0; offset < region->place.size; offset += SR_SECTOR_SIZE) {
        bool right = true;
        const uint32_t address = region->place.address + offset;
        /* What the new system owns from the step on may change at any time, but not what decides on who boots. */
        const esp_err_t err = !region->initial || is_in(proof->system->boot_path.otadata, address)
                                  ? check_sector(proof, address, &right)
                                  : ESP_OK;
        if (err != ESP_OK) {
            return err;
        }
        if (!right) {
            (void)snprintf(proof->reason, sizeof(proof->reason), "sector 0x%" PRIx32, address);
            *status = SR_STAGE_INCOMPLETE;
            return ESP_OK;
        }
    }
    return ESP_OK;
}

static esp_err_t check_rest(sr_proof_t *proof, sr_stage_status_t *status)
{
    esp_err_t err = ESP_OK;
    for (uint32_t i = 0; i < proof->manifest.bundle.region_count && err == ESP_OK && *status == SR_STAGE_OK; i++) {
        const sr_bundle_region_t region = sr_bundle_region(&proof->manifest.bundle, i);
        err = check_region(proof, &region, status);
    }
    return err;
}

/* One piece inside one sector of the flash as it will be. */
static esp_err_t read_piece(sr_proof_t *proof, uint32_t address, uint8_t *out, uint32_t length)
{
    const sr_stage_t *stage = proof->stage;
    const uint32_t sector = address & ~(SR_SECTOR_SIZE - 1u);
    const uint32_t index = sr_stage_entry_at(stage->list, stage->header.count, sector);
    const sr_stage_entry_t entry =
        index < SR_STAGE_MAX_ENTRIES ? sr_stage_entry(stage, index) : (sr_stage_entry_t){.blank = true};
    if (!entry.blank) {
        const uint32_t data_index = entry.data_index + (sector - entry.address) / SR_SECTOR_SIZE;
        return sr_flash_read(stage->flash, sr_stage_data_address(stage, data_index) + (address - sector), out, length);
    }
    if (entry.sectors > 0 || sr_bundle_want(&proof->manifest.bundle, sector, NULL) == SR_BUNDLE_BLANK) {
        memset(out, 0xFF, length);
        return ESP_OK;
    }
    return sr_flash_read(stage->flash, address, out, length);
}

static int result_read(void *context, uint32_t address, void *buffer, size_t length)
{
    sr_proof_t *proof = context;
    uint8_t *out = buffer;
    while (length > 0) {
        const uint32_t room = SR_SECTOR_SIZE - address % SR_SECTOR_SIZE;
        const uint32_t step = length < room ? (uint32_t)length : room;
        sr_yield(step);
        const esp_err_t err = read_piece(proof, address, out, step);
        if (err != ESP_OK) {
            proof->read_err = proof->read_err == ESP_OK ? err : proof->read_err;
            return err;
        }
        out += step;
        address += step;
        length -= step;
    }
    return 0;
}

/* A record with a good signature may still be another board's. */
static esp_err_t check_result(sr_proof_t *proof, sr_stage_status_t *status)
{
    uint32_t failed = 0;
    const sr_verdict_t verdict = {.system = proof->system,
                                  .flash = {.context = proof, .read = result_read, .size = proof->system->flash.size},
                                  .table_offset = proof->manifest.bundle.partition_table_offset,
                                  .workspace = proof->scratch};
    const esp_err_t err = sr_verdict_check(&verdict, proof->config->skip_checks, false, false, &failed, proof->reason,
                                           sizeof(proof->reason));
    const bool passed = err == ESP_OK && failed == 0 && sr_verdict_is_signed(&verdict);
    *status = err == ESP_OK && !passed ? SR_STAGE_REFUSED : SR_STAGE_OK;
    return err == ESP_OK ? proof->read_err : err; /* What can not be read is no fault of the record. */
}

esp_err_t sr_proof_check(sr_proof_t *proof, sr_stage_status_t *status)
{
    /* From what costs little to what costs much; nothing of a step is believed before those above it have passed. */
    static const struct {
        esp_err_t (*prove)(sr_proof_t *proof, sr_stage_status_t *status);
    } steps[] = {
        {check_place},    {load_list},    {check_app},          {load_manifest}, {check_device}, {check_list},
        {check_security}, {confirm_data}, {spares_running_app}, {check_moves},   {check_rest},   {check_result},
    };
    esp_err_t err = ESP_OK;
    *status = SR_STAGE_OK;
    proof->reason[0] = '\0';
    proof->read_err = ESP_OK;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && err == ESP_OK && *status == SR_STAGE_OK; i++) {
        err = steps[i].prove(proof, status);
    }
    return err;
}

void sr_proof_release(sr_proof_t *proof)
{
    sr_manifest_free(&proof->manifest);
}

esp_err_t sr_proof_is_done(sr_proof_t *proof, bool *done)
{
    return list_is_done(proof, (sr_region_t){0, proof->system->flash.size}, done);
}
