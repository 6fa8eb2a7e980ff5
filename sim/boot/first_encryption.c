// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/first_encryption.h"

#include "sim/boot/boot_internal.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"
#include "format/sr_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SIXTEEN_MIB  0x1000000u
#define CRYPT_CONFIG 0xFu /**< What ESP-IDF burns into an ESP32. */

static void set_fault(first_encryption_plan_t *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The first one counts. */
static void set_fault(first_encryption_plan_t *plan, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (plan->fault[0] == '\0') {
        (void)vsnprintf(plan->fault, sizeof(plan->fault), format, arguments);
    }
    va_end(arguments);
}

static void add_part(first_encryption_plan_t *plan, const char *label, uint32_t address, uint32_t size, bool encrypted)
{
    first_encryption_part_t *part = &plan->parts[plan->count++];
    *part = (first_encryption_part_t){{address, (uint32_t)sr_region_align_up(size, SR_SECTOR_SIZE)}, encrypted, ""};
    (void)snprintf(part->label, sizeof(part->label), "%s", label);
}

/** With the sector of its signature blocks, if there is one. */
static uint32_t signed_length(const boot_t *boot, uint32_t address, uint32_t length)
{
    sr_secure_boot_block_t block;
    const sr_image_t image = {.length = length};
    const sr_reader_t reader = sr_reader_memory(boot->flash + address, boot->size - address);
    const bool is_signed = sr_secure_boot_read(&reader, &image, 0, &block) == SR_SECURE_BOOT_OK;
    return is_signed ? (uint32_t)sr_secure_boot_offset(&image) + SR_SECTOR_SIZE : length;
}

static void add_boot_path(const boot_t *boot, first_encryption_plan_t *plan)
{
    const uint32_t start = boot->chip->bootloader_offset;
    add_part(plan, "bootloader", start, signed_length(boot, start, boot->loader.length), true);
    add_part(plan, "table", boot->table_offset, SR_SECTOR_SIZE, true);
}

static bool holds_table(const boot_t *boot, uint32_t address)
{
    sr_partition_table_t table;
    const sr_reader_t reader = sr_reader_memory(boot->flash + address, SR_PARTITION_TABLE_SIZE);
    return sr_partition_table_parse(&reader, 0, &table) == SR_PARTITION_TABLE_OK && table.count > 0;
}

/** Of primary bootloader and table, which a table may name since v5.4, has been taken care of. */
static void add_partition(const boot_t *boot, const sr_partition_table_entry_t *entry, first_encryption_plan_t *plan)
{
    uint32_t length = 0;
    const sr_region_t region = {entry->address, entry->size};
    const bool is_app = entry->type == SR_PARTITION_TYPE_APP;
    if (sr_region_overlaps(region, plan->parts[0].region) || sr_region_overlaps(region, plan->parts[1].region)) {
        return;
    }
    if (entry->type == SR_PARTITION_TYPE_TABLE) {
        add_part(plan, entry->label, entry->address, entry->size, holds_table(boot, entry->address));
    } else if (is_app || entry->type == SR_PARTITION_TYPE_BOOTLOADER) {
        const bool intact = boot_idf_verifies(boot, region, &length);
        const bool only_image = is_app && plan->images_only && intact;
        add_part(plan, entry->label, entry->address,
                 only_image ? signed_length(boot, entry->address, length) : entry->size, intact);
    } else if (sr_partition_table_encrypts(entry)) {
        add_part(plan, entry->label, entry->address, entry->size, true);
    }
}

/** @return another partition, not encrypted or encrypted already, in a sector that is encrypted with this part; or
 * NULL.
 */
static const sr_partition_table_entry_t *find_victim(const sr_partition_table_t *table,
                                                     const first_encryption_part_t *part)
{
    for (unsigned i = 0; i < table->count; i++) {
        const sr_partition_table_entry_t *entry = &table->entries[i];
        if (entry->address != part->region.address &&
            sr_region_overlaps((sr_region_t){entry->address, entry->size}, part->region)) {
            return entry;
        }
    }
    return NULL;
}

static void check_part(const sr_partition_table_t *table, const first_encryption_part_t *part,
                       first_encryption_plan_t *plan)
{
    const uint32_t start = part->region.address;
    const sr_partition_table_entry_t *victim = find_victim(table, part);
    if (!sr_region_is_aligned(start, SR_SECTOR_SIZE)) {
        set_fault(plan,
                  "partition '%s' starts at 0x%" PRIx32 ", which is no multiple of 0x1000: the bootloader stops "
                  "there, half-way",
                  part->label, start);
    } else if (victim != NULL) {
        set_fault(plan, "partition '%s' is encrypted in whole sectors, and with it the start of '%s' at 0x%" PRIx32,
                  part->label, victim->label, victim->address);
    } else if ((uint64_t)start + part->region.size > SIXTEEN_MIB) {
        set_fault(plan,
                  "partition '%s' at 0x%" PRIx32 " ends past 16 MB: bootloaders write with 24 address bits, and would "
                  "encrypt something else",
                  part->label, start);
    }
}

/** What the eFuses say, as far as they are known. */
static void check_efuses(const boot_chip_t *chip, first_encryption_plan_t *plan)
{
    static const efuse_purpose_t purposes[] = {EFUSE_PURPOSE_AES_256, EFUSE_PURPOSE_XTS_128,
                                               EFUSE_PURPOSE_XTS_128_SHORT, EFUSE_PURPOSE_XTS_256_1,
                                               EFUSE_PURPOSE_XTS_256_2};
    const efuse_set_t *burnt = &chip->burnt;
    if (burnt->crypt_count_locked) {
        set_fault(plan, "the eFuse that counts is write-protected: Flash Encryption cannot be switched on");
    }
    for (unsigned i = 0; i < sizeof(purposes) / sizeof(purposes[0]) && burnt->crypt_count == 0; i++) {
        const efuse_key_t *key = efuse_set_key(burnt, purposes[i]);
        if (key != NULL && key->readable) {
            set_fault(plan, "the key of Flash Encryption that is burnt can be read: the bootloader refuses it");
        }
    }
}

void first_encryption_find(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, first_encryption_plan_t *plan)
{
    boot_t boot;
    boot_result_t result;
    sr_partition_table_t table;
    *plan = (first_encryption_plan_t){0};
    if (!boot_start(chip, flash, NULL, size, NULL, NULL, &result, &boot)) {
        set_fault(plan, "the mask ROM starts no bootloader");
        return;
    }
    const sr_reader_t reader = sr_reader_memory(flash + boot.table_offset, SR_PARTITION_TABLE_SIZE);
    (void)sr_partition_table_parse(&reader, 0, &table); // the flash boots, so the table is good
    plan->images_only = boot.loader.since_v5_3;
    check_efuses(chip, plan);
    add_boot_path(&boot, plan);
    for (unsigned i = 0; i < table.count; i++) {
        add_partition(&boot, &table.entries[i], plan);
    }
    for (unsigned i = 0; i < plan->count; i++) {
        if (plan->parts[i].encrypted) {
            check_part(&table, &plan->parts[i], plan);
        }
    }
}

boot_chip_t first_encryption_chip(const boot_chip_t *chip)
{
    boot_chip_t after = *chip;
    after.cipher = chip->first_encryption;
    after.first_encryption = NULL;
    after.burnt.crypt_count = (uint8_t)((unsigned)chip->burnt.crypt_count << 1 | 1u);
    after.burnt.crypt_config = CRYPT_CONFIG;
    return after;
}

/** Power losses that are tried while the bootloader works. */
typedef struct survey {
    const boot_chip_t *chip;
    const first_encryption_plan_t *plan;
    const first_encryption_losses_t *losses;
    first_encryption_result_t *result;
    uint8_t *flash, *aside; /**< Owned. As it was before the operation; and for boots. */
    uint32_t size;
    uint32_t done, step; /**< Operations; and of how many behind the bootloader one is tried. */
} survey_t;

/** The counter is not burnt: for the ROM the flash is not encrypted. */
static void try_state(const survey_t *survey)
{
    boot_result_t boot;
    first_encryption_result_t *result = survey->result;
    (void)boot_run_aside(survey->chip, survey->flash, survey->aside, survey->size, NULL, NULL, &boot);
    result->states++;
    if (boot_succeeds(&boot) && boot.encrypts && !boot.recovered) {
        result->starts_over++;
    } else if (boot_succeeds(&boot) && !boot.encrypts) {
        result->recovers++;
    } else {
        result->does_not_boot++; // a recovery bootloader that encrypts wants the primary one to be whole
    }
}

static void try_torn(const survey_t *survey, const nor_op_t *op, const uint8_t *after)
{
    uint8_t before[SR_SECTOR_SIZE];
    uint8_t *place = survey->flash + op->address;
    memcpy(before, place, op->length);
    for (unsigned seed = 0; seed < survey->losses->torn_states; seed++) {
        nor_tear(op, seed, place, after);
        try_state(survey);
        memcpy(place, before, op->length);
    }
}

static void observe(void *context, const nor_op_t *op, const nor_flash_t *flash)
{
    survey_t *survey = context;
    const uint8_t *after = nor_flash_view(flash) + op->address;
    const bool tried = sr_region_overlaps((sr_region_t){op->address, op->length}, survey->plan->parts[0].region) ||
                       survey->done % survey->step == 0;
    survey->done++;
    if (tried) {
        try_torn(survey, op, after);
    }
    memcpy(survey->flash + op->address, after, op->length);
    if (tried) {
        try_state(survey);
    }
}

static nor_status_t encrypt_sector(const boot_chip_t *chip, uint32_t row, uint32_t address, nor_flash_t *flash)
{
    uint8_t sector[SR_SECTOR_SIZE];
    nor_status_t status = nor_read(flash, address, sector, sizeof(sector));
    flash_cipher_encrypt(chip->first_encryption, address, sector, sizeof(sector));
    if (status == NOR_OK) {
        status = nor_erase(flash, address, sizeof(sector));
    }
    for (uint32_t at = 0; at < sizeof(sector) && status == NOR_OK; at += row) {
        status = nor_program(flash, address + at, sector + at, row);
    }
    return status;
}

static uint32_t count_sectors(const first_encryption_plan_t *plan)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < plan->count; i++) {
        count += plan->parts[i].encrypted ? plan->parts[i].region.size / SR_SECTOR_SIZE : 0;
    }
    return count;
}

static bool encrypt_all(const boot_chip_t *chip, const first_encryption_plan_t *plan, uint32_t row, nor_flash_t *flash)
{
    for (unsigned i = 0; i < plan->count; i++) {
        const sr_region_t region = plan->parts[i].region;
        for (uint32_t at = 0; plan->parts[i].encrypted && at < region.size; at += SR_SECTOR_SIZE) {
            if (encrypt_sector(chip, row, region.address + at, flash) != NOR_OK) {
                return false;
            }
        }
    }
    return true;
}

/** What the bootloader writes to otadata before it encrypts. */
static void start_app(const survey_t *survey, nor_flash_t *flash)
{
    boot_result_t boot;
    const uint8_t *booted =
        boot_run_aside(survey->chip, nor_flash_view(flash), survey->aside, survey->size, NULL, NULL, &boot);
    nor_flash_load(flash, booted);
}

static void begin_survey(survey_t *survey, uint32_t operations, nor_flash_t *flash)
{
    const uint32_t sample = survey->losses->sample;
    survey->step = sample > 0 ? (operations + sample - 1) / sample : 1;
    if (survey->losses->torn_states > 0) {
        flash_buffer_copy(survey->flash, nor_flash_view(flash), survey->size);
        try_state(survey); // before the first operation
        nor_flash_set_observer(flash, observe, survey);
    }
}

bool first_encryption_run(const boot_chip_t *chip, const first_encryption_plan_t *plan,
                          const first_encryption_losses_t *losses, nor_flash_t *flash,
                          first_encryption_result_t *result)
{
    const boot_chip_t encrypting = first_encryption_chip(chip);
    const uint32_t row = boot_plain_unit(&encrypting), size = nor_flash_size(flash);
    survey_t survey = {.chip = chip, .plan = plan, .losses = losses, .result = result, .size = size};
    survey.flash = flash_buffer_new(size);
    survey.aside = flash_buffer_new(size);
    bool done = survey.flash != NULL && survey.aside != NULL;
    *result = (first_encryption_result_t){0};
    if (done) {
        start_app(&survey, flash);
        begin_survey(&survey, count_sectors(plan) * (1 + SR_SECTOR_SIZE / row), flash);
        done = encrypt_all(chip, plan, row, flash);
        nor_flash_set_observer(flash, NULL, NULL);
        result->stats = nor_flash_stats(flash);
    }
    flash_buffer_delete(survey.flash, size);
    flash_buffer_delete(survey.aside, size);
    return done;
}
