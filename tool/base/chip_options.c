// SPDX-License-Identifier: Apache-2.0
#include "tool/base/chip_options.h"

#include "format/sr_reader.h"

#include "format/sr_bytes.h"
#include "format/sr_region.h"
#include "sim/boot/boot_plain.h"
#include "tool/base/chip_names.h"
#include "tool/base/command.h"
#include "tool/base/content_kind.h"
#include "tool/base/image_file.h"
#include "tool/base/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_REVISION = 0x100, KEY_PARTITION_TABLE, KEY_ROLLBACK, KEY_RECOVERY, KEY_EFUSES };

static const struct argp_option options[] = {
    {"chip", 'c', "CHIP", 0, "Chip: esp32, esp32s3, ...; default: by the image headers in the flash", 10},
    {"revision", KEY_REVISION, "MAJOR.MINOR", 0,
     "Silicon revision; default: v3.0 for esp32; of others it is not known, and no image is refused for it", 10},
    {"partition-table", KEY_PARTITION_TABLE, "OFFSET", 0,
     "Where the bootloader looks for the partition table; default: 0x8000, or the only other place with an intact one",
     10},
    {"rollback", KEY_ROLLBACK, NULL, 0, "The ESP-IDF bootloader was built with app rollback", 10},
    {"recovery-bootloader", KEY_RECOVERY, "OFFSET", 0,
     "Offset of the recovery bootloader, as burnt into the eFuse; default: not burnt", 10},
    {"efuse", KEY_EFUSES, "NAME=VALUE", 0,
     "Value of an eFuse; may be repeated. block-revision=MAJOR.MINOR (default: not known, refuses no image); "
     "secure-version=N (default: 0): apps below are rejected; bootloader-version=N (default: 0): the same for "
     "bootloaders; ignore-max-revision=1, ignore-max-block=1: no image's maximum counts",
     10},
    {0}};

#define LAST_TABLE 0x40000u /**< Past any offset that bootloaders are built with. */

static void parse_chip(boot_chip_t *chip, const char *argument, struct argp_state *state)
{
    chip->chip = sr_chip_by_name(argument);
    if (chip->chip == NULL) {
        char names[CHIP_NAMES_SIZE];
        argp_error(state, "unknown chip '%s' (known: %s)", argument, chip_names(names));
    }
}

static uint16_t parse_revision(const char *argument, struct argp_state *state)
{
    uint32_t major = 0;
    uint32_t minor = 0;
    const char *end = NULL;
    const char *digits = argument[0] == 'v' ? argument + 1 : argument; // as messages write it
    if (!number_parse_prefix(digits, &major, &end) || *end != '.' || !number_parse(end + 1, &minor) || major > 99 ||
        minor > 99) {
        argp_error(state, "bad revision '%s': MAJOR.MINOR expected, for example 3.1", argument);
    }
    return (uint16_t)(major * 100 + minor);
}

/** The number after "NAME=", from 0 to @p last. */
static uint8_t parse_efuse_number(const char *value, uint32_t last, struct argp_state *state)
{
    uint32_t number = 0;
    if (!number_parse(value, &number) || number > last) {
        argp_error(state, "bad value of an eFuse '%s': a number from 0 to %u expected", value, (unsigned)last);
    }
    return (uint8_t)number;
}

static void parse_efuse(sr_chip_efuses_t *efuses, const char *argument, struct argp_state *state)
{
    const char *equals = strchr(argument, '=');
    const size_t length = equals != NULL ? (size_t)(equals - argument) : 0;
    const char *value = equals != NULL ? equals + 1 : "";
    if (length == 14 && strncmp(argument, "block-revision", length) == 0) {
        efuses->block_revision = parse_revision(value, state);
    } else if (length == 14 && strncmp(argument, "secure-version", length) == 0) {
        efuses->secure_version = parse_efuse_number(value, 16, state);
    } else if (length == 18 && strncmp(argument, "bootloader-version", length) == 0) {
        efuses->bootloader_version = parse_efuse_number(value, 4, state);
    } else if (length == 19 && strncmp(argument, "ignore-max-revision", length) == 0) {
        efuses->ignores_max_revision = parse_efuse_number(value, 1, state) != 0;
    } else if (length == 16 && strncmp(argument, "ignore-max-block", length) == 0) {
        efuses->ignores_max_block = parse_efuse_number(value, 1, state) != 0;
    } else {
        argp_error(state, "unknown eFuse '%s': see --help", argument);
    }
}

uint32_t chip_parse_table_place(const char *argument, struct argp_state *state)
{
    uint32_t place = 0;
    if (!number_parse(argument, &place) || !sr_region_is_aligned(place, SR_SECTOR_SIZE) || place == 0) {
        argp_error(state, "bad place for a partition table '%s': a multiple of 0x1000 expected", argument);
    }
    return place;
}

/** What the eFuse can hold: a sector, and neither of the two values that mean "none". */
static void parse_recovery(boot_chip_t *chip, const char *argument, struct argp_state *state)
{
    if (!number_parse(argument, &chip->recovery) || !sr_region_is_aligned(chip->recovery, SR_SECTOR_SIZE) ||
        chip->recovery == 0 || chip->recovery / SR_SECTOR_SIZE >= BOOT_RECOVERY_OFF) {
        argp_error(state, "bad place for a recovery bootloader '%s': a multiple of 0x1000 below 0xfff000 expected",
                   argument);
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    boot_chip_t *chip = state->input;
    switch (key) {
    case 'c':
        parse_chip(chip, argument, state);
        return 0;
    case KEY_REVISION:
        chip->revision = parse_revision(argument, state);
        chip->revision_told = true;
        return 0;
    case KEY_PARTITION_TABLE:
        chip->partition_table = chip_parse_table_place(argument, state);
        return 0;
    case KEY_ROLLBACK:
        chip->rollback = true;
        return 0;
    case KEY_EFUSES:
        parse_efuse(&chip->efuses, argument, state);
        return 0;
    case KEY_RECOVERY:
        parse_recovery(chip, argument, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp chip_options_argp = {.options = options, .parser = parse_option};

/** True if an intact table with an app lies here, which no other data looks like. */
static bool is_table(const uint8_t *flash, uint32_t size, uint32_t offset)
{
    sr_partition_table_t table;
    const sr_reader_t reader = sr_reader_memory(flash + offset, size - offset);
    if (sr_partition_table_parse(&reader, 0, &table) != SR_PARTITION_TABLE_OK || !table.has_md5) {
        return false;
    }
    for (unsigned i = 0; i < table.count; i++) {
        if (table.entries[i].type == SR_PARTITION_TYPE_APP) {
            return true;
        }
    }
    return false;
}

/** The next place of an intact table from @p at on, of which @p but is left out; 0: there are no more. */
static uint32_t next_table(const uint8_t *flash, uint32_t size, uint32_t at, uint32_t but)
{
    for (; at < LAST_TABLE && at + SR_PARTITION_TABLE_SIZE <= size; at += SR_SECTOR_SIZE) {
        if (at != but && is_table(flash, size, at)) {
            return at;
        }
    }
    return 0;
}

uint32_t chip_find_table(const uint8_t *flash, uint32_t size)
{
    if (content_kind_has_table(flash, size, SR_PARTITION_TABLE_OFFSET)) {
        return SR_PARTITION_TABLE_OFFSET;
    }
    const uint32_t found = next_table(flash, size, SR_PARTITION_TABLE_OFFSET, 0);
    const bool only = found != 0 && next_table(flash, size, found + SR_SECTOR_SIZE, 0) == 0;
    return only ? found : SR_PARTITION_TABLE_OFFSET;
}

/** With two of them only the bootloader knows which one counts. */
static void warn_of_second_table(const uint8_t *flash, uint32_t size, uint32_t taken)
{
    const uint32_t other = next_table(flash, size, SR_PARTITION_TABLE_OFFSET, taken);
    if (other != 0) {
        complain(STATUS_OK,
                 "warning: intact partition tables lie at 0x%" PRIx32 " and 0x%" PRIx32
                 ": the first is taken; if the bootloader was built for the other one, say so with "
                 "--partition-table 0x%" PRIx32,
                 taken, other, other);
    }
}

int chip_settle(boot_chip_t *chip, const uint8_t *flash, uint32_t size)
{
    flash = boot_plain(chip, flash, size, 0, size);
    if (chip->partition_table == 0) {
        chip->partition_table = chip_find_table(flash, size);
        warn_of_second_table(flash, size, chip->partition_table);
    }
    if (chip->chip == NULL) {
        chip->chip = chip_detect(flash, size, chip->partition_table);
    }
    if (chip->recovery != 0 && !boot_rom_knows_recovery(chip)) {
        return complain(STATUS_USAGE,
                        "the ROM of this %s supports no recovery bootloader: leave out --recovery-bootloader",
                        chip->chip->name);
    }
    if (chip->efuses.bootloader_version != 0 && !boot_rom_knows_version(chip)) {
        return complain(STATUS_USAGE, "the ROM of this %s checks no bootloader's version: leave out bootloader-version",
                        chip->chip->name);
    }
    return STATUS_OK;
}

/** Chip named by an ESP image header at @p offset, or NULL. */
static const sr_chip_t *chip_of_header(const uint8_t *flash, uint32_t size, uint32_t offset)
{
    sr_region_t header = {offset, SR_IMAGE_HEADER_SIZE};
    if (!sr_region_fits(header, size) || flash[offset] != SR_IMAGE_MAGIC) {
        return NULL;
    }
    return sr_chip_by_id(sr_bytes_get_le16(flash + offset + 12));
}

static unsigned count_votes(const uint8_t *flash, uint32_t size, const sr_partition_table_t *table,
                            const sr_chip_t *chip)
{
    if (!sr_region_fits((sr_region_t){chip->bootloader_offset, SR_IMAGE_HEADER_SIZE}, size) ||
        flash[chip->bootloader_offset] != SR_IMAGE_MAGIC) {
        return 0;
    }
    unsigned votes = chip_of_header(flash, size, chip->bootloader_offset) == chip;
    for (unsigned i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        votes += entry->type == SR_PARTITION_TYPE_APP && chip_of_header(flash, size, entry->address) == chip;
    }
    return votes;
}

void chip_read_table(const uint8_t *flash, uint32_t size, uint32_t partition_table, sr_partition_table_t *table)
{
    uint32_t place = partition_table == 0 ? SR_PARTITION_TABLE_OFFSET : partition_table;
    *table = (sr_partition_table_t){0};
    if (sr_region_fits((sr_region_t){place, SR_PARTITION_TABLE_SIZE}, size)) {
        sr_reader_t reader = sr_reader_memory(flash + place, size - place);
        sr_partition_table_parse(&reader, 0, table); // its status does not count: see the header
    }
}

const sr_chip_t *chip_detect(const uint8_t *flash, uint32_t size, uint32_t partition_table)
{
    sr_partition_table_t table;
    chip_read_table(flash, size, partition_table, &table);
    const sr_chip_t *best = sr_chip_at(0);
    unsigned most = 0;
    for (unsigned i = 0; sr_chip_at(i) != NULL; i++) {
        unsigned votes = count_votes(flash, size, &table, sr_chip_at(i));
        if (votes > most) {
            most = votes;
            best = sr_chip_at(i);
        }
    }
    return best;
}
