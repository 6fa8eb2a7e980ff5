// SPDX-License-Identifier: Apache-2.0
/** @file
 * Shared between the files of the migration only.
 */
#pragma once

#include "bundle/sr_migration.h"
#include "flash/sr_copy.h"
#include "format/sr_partition_table.h"

#include <stddef.h>

#define SR_NO_ADDRESS UINT32_MAX

struct sr_migration_buffers {
    uint8_t list[SR_SECTOR_SIZE];                          /**< Entries of the commit. */
    _Alignas(max_align_t) uint8_t scratch[SR_SECTOR_SIZE]; /**< Sector being worked on, or the checks' workspace. */
    uint8_t readback[SR_WRITER_READBACK_SIZE];
};

/** Compares the flash with the manifest and marks what the running system needs.
 *  @return ESP_OK or an error of the flash. */
esp_err_t sr_migration_scan(sr_migration_t *migration);

/** Compares whole sectors that were written since with the manifest once more. @return ESP_OK or an error of the flash.
 */
esp_err_t sr_migration_rescan(sr_migration_t *migration, sr_region_t region);

/**
 * Makes what the bundle gives up of the old system free to be overwritten. Nothing is given up any more once the boot
 * path is that of the bundle.
 * @return ESP_OK, or ESP_ERR_SELF_REFLASHER_REFUSED: the chip boots from there.
 */
esp_err_t sr_migration_give_up(sr_migration_t *migration);

/**
 * Finds the sources of the bundle's moves, and scans their destinations. Nothing moves any more once the boot path is
 * that of the bundle: then what lies at the old places is the new system's.
 * @return ESP_OK, ESP_ERR_SELF_REFLASHER_REFUSED, or an error of the flash.
 */
esp_err_t sr_migration_find_moves(sr_migration_t *migration);

/**
 * Finds out from the sectors that were compared whether the bundle is installed. If so, what the new system owns is
 * taken out of the map. If not, and an earlier attempt has left its mark, that is kept from use.
 * @return ESP_OK, ESP_FAIL if the manifest cannot be hashed, or an error of the flash.
 */
esp_err_t sr_migration_find_installed(sr_migration_t *migration);

/** True if a mark has to say that the installation is not done yet. Valid after the scan. */
bool sr_migration_needs_mark(const sr_migration_t *migration);

/** Tells the map where the mark of the unfinished installation will lie, if one is needed. Changes no flash.
 *  @return ESP_OK or ESP_ERR_SELF_REFLASHER_REFUSED: there is no room. */
esp_err_t sr_migration_reserve_mark(sr_migration_t *migration);

/** Writes the mark, and erases those of other attempts. Comes before anything else is written that decides whether the
 * bundle is installed.
 *  @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_migration_put_mark(sr_migration_t *migration);

/** Voids the mark: all is done. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_migration_void_mark(sr_migration_t *migration);

/** Erases the mark. @return ESP_OK or as sr_writer_put(). */
esp_err_t sr_migration_clear_mark(sr_migration_t *migration);

/** Tells the map that the sectors of old records are free: sr_migration_discard_records() comes before anything else.
 *  @return ESP_OK or an error of the flash. */
esp_err_t sr_migration_mark_records(sr_migration_t *migration);

/** Logs which sector of free flash failed under a record. @return @p err */
esp_err_t sr_migration_tell_record(const sr_migration_t *migration, esp_err_t err);

/** Tells what one sector must hold, and where that comes from. */
sr_moves_wanted_t sr_migration_wanted(const sr_migration_t *migration, uint32_t address);

/**
 * Tells the part of the commit that a sector belongs to.
 * @param[out] group Set if it belongs to one.
 * @return false for a sector that does not belong to the commit.
 */
bool sr_migration_group_of(const sr_migration_t *migration, uint32_t address, sr_record_group_t *group);

/** Lists what the commit has to write, from this group on. Changes no flash.
 *  @return ESP_OK; or ESP_ERR_INVALID_SIZE if the list is full. */
esp_err_t sr_migration_list_groups(sr_migration_t *migration, sr_record_group_t first);

/**
 * Gets one sector of an entry from where it is now, the bundle or another place in flash; an sr_commit_fetch_t.
 * @param context sr_migration_t
 * @return as sr_decoder_get(), or an error of the flash.
 */
esp_err_t sr_migration_fetch(void *context, const sr_record_entry_t *entry, uint32_t index, uint8_t *data);

/**
 * Puts the manifest and the data of all entries into free flash, at plan->staging_address. The record does not count
 * before it is sealed.
 * @return ESP_OK; ESP_ERR_SELF_REFLASHER_CHUNK or an error of the source; ESP_FAIL if it cannot be hashed;
 * ESP_ERR_NO_MEM; ESP_ERR_SELF_REFLASHER_VERIFY or an error of the flash.
 */
esp_err_t sr_migration_stage_data(sr_migration_t *migration);

/** Hashes the sources of what moves once more. @return ESP_OK; ESP_ERR_INVALID_STATE if one was written to since it was
 *  staged; or an error of the flash. */
esp_err_t sr_migration_check_moved(sr_migration_t *migration);

/**
 * Lists what the commit has to write: data first, then the boot path in its order. Changes no flash.
 * @param[out] data_is_staged Whether list and free flash have room for all of it. If not, data is not in the list: it
 * is written straight from the bundle, after the rest and before the boot path.
 * @return ESP_OK; or ESP_ERR_INVALID_SIZE if the list is full.
 */
esp_err_t sr_migration_list_entries(sr_migration_t *migration, bool *data_is_staged);

/** Free flash in one piece. */
typedef struct sr_migration_room {
    uint32_t needed;     /**< Bytes. */
    sr_region_t longest; /**< The longest piece that there is. */
} sr_migration_room_t;

/** True if all that the commit writes can be staged, whatever is in otadata by then, also once the running app lies at
 * @p address; UINT32_MAX: it stays where it is. Changes no flash, but the list of entries.
 * @param[out] room If not: what that takes, and what there is. May be NULL. */
bool sr_migration_stages_beside(sr_migration_t *migration, uint32_t address, sr_migration_room_t *room);

/** How far the mark of a record counts, for the search for its place. Valid as long as the migration. */
sr_map_reach_t sr_migration_reach(const sr_migration_t *migration);

/** Bytes of the manifest and its signature block, as a record carries them. */
uint32_t sr_migration_manifest_size(const sr_migration_t *migration);

/** Finds a place for the record. @param[in,out] sectors After mark and list: those that it needs, manifest included,
 *  and those that it takes. @return Its address, or UINT32_MAX. */
uint32_t sr_migration_find_place(const sr_migration_t *migration, uint32_t *sectors);

/** Compares one sector with what the bundle wants there. @return ESP_OK or an error of the flash. */
esp_err_t sr_migration_sector_is_right(sr_migration_t *migration, uint32_t address, bool *right);

/** Fetches what the checks read more than once, and the commit then writes, and keeps it in RAM as long as there is
 *  room: bootloader, table, otadata. @return ESP_OK or an error of the source. */
esp_err_t sr_migration_keep(sr_migration_t *migration);

/** The checks are over: frees what is kept if there is no room for it any more. */
void sr_migration_end_keeping(sr_migration_t *migration);

/** The flash as it will be, as a reader for checks. */
sr_reader_t sr_migration_target(sr_migration_t *migration);

/** The partition table of the new system, in the buffer of the sector that is worked on; NULL: it has none. */
const sr_partition_table_t *sr_migration_new_table(sr_migration_t *migration);

/** True if a region is free for something else: the target wants nothing there, and the bundle does not lie there.
 * @param context sr_migration_t */
bool sr_migration_leaves_alone(void *context, sr_region_t room);

/** Looks for a recovery bootloader that can stand in while the bootloader is written, and notes it in map, plan and
 * record. Changes no flash. @return ESP_OK, also without one; or ESP_ERR_SELF_REFLASHER_REFUSED */
esp_err_t sr_migration_find_recovery(sr_migration_t *migration);

/** With flash encryption: refuses a system without a table, or with one elsewhere.
 *  @return ESP_OK or ESP_ERR_SELF_REFLASHER_REFUSED */
esp_err_t sr_migration_check_encryption(sr_migration_t *migration);

/** With flash encryption: what the bundle wants is from here on compared and written as its own table says, if that is
 * another one. @return ESP_OK, ESP_ERR_SELF_REFLASHER_REFUSED, ESP_ERR_NO_MEM, or an error of source or flash. */
esp_err_t sr_migration_adopt_layout(sr_migration_t *migration);

/** With flash encryption: refuses data that stays and that the new system would take for encrypted while today's does
 * not, or the other way round. @return ESP_OK or ESP_ERR_SELF_REFLASHER_REFUSED */
esp_err_t sr_migration_check_kept(sr_migration_t *migration);

/** On a chip that does not encrypt its flash: refuses a bootloader that encrypts it at its first start, unless it is
 * the last that is written. Power loss after it would have the chip encrypt half a migration, and nobody would go on.
 * @return ESP_OK or ESP_ERR_SELF_REFLASHER_REFUSED */
esp_err_t sr_migration_check_first_encryption(sr_migration_t *migration);

/** Tells whether the chip decrypts a sector that is to be blank when it reads it: then erased cells will not do, and
 * 0xFF must be written like any other content. @return ESP_OK or ESP_ERR_NO_MEM */
esp_err_t sr_migration_blank_is_read(const sr_migration_t *migration, uint32_t address, bool *is_read);

/** Tells whether a sector that is to be blank is blank. @return ESP_OK, ESP_ERR_NO_MEM, or an error of the flash. */
esp_err_t sr_migration_is_blank(sr_migration_t *migration, uint32_t address, bool *right);

/** Looks for what must be written in a partition that is flagged `readonly`.
 *  @return ESP_OK; ESP_ERR_SELF_REFLASHER_REFUSED; ESP_ERR_NO_MEM; or an error of the flash. */
esp_err_t sr_migration_check_read_only(sr_migration_t *migration);

/** Reads the whole app that will boot, if the first check saw only its header. @return ESP_OK,
 * ESP_ERR_SELF_REFLASHER_REFUSED, or an error of source or flash. */
esp_err_t sr_migration_check_app(sr_migration_t *migration);

/**
 * Finds out whether the bootloader will start the running app again until the commit, also while a new app is written
 * to the slot that it tries first. Where otadata has to select the running app for that, its sectors count as wrong.
 * @return ESP_OK; ESP_ERR_SELF_REFLASHER_REFUSED if no otadata selects it; ESP_ERR_NO_MEM; or an error of the flash.
 */
esp_err_t sr_migration_check_start(sr_migration_t *migration);

/** Finds how the running app can get out of the way, and fills the plan with it.
 *  @return ESP_OK, ESP_ERR_SELF_REFLASHER_REFUSED, ESP_ERR_NO_MEM, or an error of the flash. */
esp_err_t sr_migration_find_relocation(sr_migration_t *migration);

/** Carries out the relocation that was found: copies the running app and selects the copy, and the caller restarts the
 *  chip; or, where the app stays or is overwritten in place, runs the migration.
 *  @return ESP_OK; an error of sr_migration_discard_records(); or as sr_relocation_execute(). */
esp_err_t sr_migration_relocate(sr_migration_t *migration);

/** True if the commit may begin: asks the caller, or checks the reset reason. */
bool sr_migration_may_commit(const sr_migration_t *migration);

/** Bytes of free flash in one piece that it takes to overwrite the running app in place. */
uint32_t sr_migration_in_place_needs(const sr_migration_t *migration);

/** Plans to overwrite it in place: what of the app, from where, and how long that takes. */
void sr_migration_in_place_plan(sr_migration_t *migration);

/** Puts what goes over the running app into free flash, and confirms it there.
 * @return ESP_OK; ESP_ERR_INVALID_STATE without room for it; ESP_ERR_SELF_REFLASHER_CHUNK or an error of the source;
 * ESP_ERR_SELF_REFLASHER_VERIFY or an error of the flash. */
esp_err_t sr_migration_in_place_stage(sr_migration_t *migration);

/** Copies it from there over the app, then writes the boot path from RAM, cleans up, and resets the chip. All of that
 * code runs from RAM.
 *  @param workspace Owned by the caller, who has it before anything is changed that the running system needs.
 *  @return only if it cannot start: ESP_ERR_NOT_SUPPORTED or ESP_ERR_INVALID_STATE. */
esp_err_t sr_migration_in_place_execute(sr_migration_t *migration, const sr_boot_path_buffer_t *buffer,
                                        sr_copy_workspace_t *workspace);
