// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a chip that encrypts its flash reads as blank, and what may not change for it, sector by sector: all that
 * these rules look at is made up here, and there is no chip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bundle/sr_migration_internal.h"
#include "flash/sr_flash_layout.h"
#include "system/sr_partition.h"

#include <string.h>

#define SECTOR SR_SECTOR_SIZE
#define COUNT  64u /**< Sectors of the flash; those with this number lie past it. */
#define TABLE  8u
#define APP    16u /**< An app partition of a block. */
#define DATA   40u /**< A data partition of four sectors. */

static struct {
    sr_moves_wanted_kind_t wanted[COUNT + 1];
    bool encrypted_now[COUNT + 1], encrypted_then[COUNT + 1];
    bool right[COUNT + 1], compared[COUNT + 1];
    bool in_group[COUNT + 1];
    sr_record_group_t group[COUNT + 1];
    bool cells_blank;
    esp_err_t visit_err, cells_err, read_err, compare_err;
    uint32_t visits, cells_asked, reads;
    uint8_t content[SECTOR];
    const sr_partition_table_t *table;
    bool no_memory;
} is;

static sr_map_flags_t flags[COUNT + 1];
static struct sr_migration_buffers buffers;
static esp_self_reflasher_plan_t plan;
static sr_migration_t migration;
static sr_partition_table_t new_table;

static struct {
    sr_flash_layout_t layout;
    sr_flash_layout_part_t parts[2];
} then;

static int setup(void **state)
{
    (void)state;
    memset(&is, 0, sizeof(is));
    memset(flags, 0, sizeof(flags));
    memset(&plan, 0, sizeof(plan));
    memset(&buffers, 0, sizeof(buffers)); /* What follows a sector in memory is not blank. */
    memset(is.content, 0xFF, sizeof(is.content));
    memset(is.encrypted_now, true, sizeof(is.encrypted_now));
    memset(is.encrypted_then, true, sizeof(is.encrypted_then));
    memset(is.right, true, sizeof(is.right));
    is.table = &new_table;
    then.layout = (sr_flash_layout_t){.front = (TABLE + 1) * SECTOR, .count = 2};
    then.layout.parts[0] = (sr_flash_layout_part_t){{APP * SECTOR, 16 * SECTOR}, true};
    then.layout.parts[1] = (sr_flash_layout_part_t){{DATA * SECTOR, 4 * SECTOR}, false};
    migration = (sr_migration_t){
        .plan = &plan,
        .buffers = &buffers,
        .system = {.flash = {.encryption = true}, .boot_path = {.table = {TABLE * SECTOR, SECTOR}}},
        .scan = {.map = {.flags = flags, .count = COUNT}},
    };
    return 0;
}

/* What the rules ask. */

sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address);
sr_moves_wanted_t __wrap_sr_migration_wanted(const sr_migration_t *of, uint32_t address)
{
    assert_ptr_equal(of, &migration);
    return (sr_moves_wanted_t){.kind = is.wanted[address / SECTOR]};
}

bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group);
bool __wrap_sr_migration_group_of(const sr_migration_t *of, uint32_t address, sr_record_group_t *group)
{
    assert_ptr_equal(of, &migration);
    *group = is.group[address / SECTOR];
    return is.in_group[address / SECTOR];
}

esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right);
esp_err_t __wrap_sr_migration_sector_is_right(sr_migration_t *of, uint32_t address, bool *right)
{
    assert_ptr_equal(of, &migration);
    is.compared[address / SECTOR] = true;
    *right = is.right[address / SECTOR];
    return is.compare_err;
}

const sr_partition_table_t *__wrap_sr_migration_new_table(sr_migration_t *of);
const sr_partition_table_t *__wrap_sr_migration_new_table(sr_migration_t *of)
{
    assert_ptr_equal(of, &migration);
    return is.table;
}

const sr_flash_layout_t *__wrap_sr_flash_layout_of(const sr_partition_table_t *table, uint32_t front);
const sr_flash_layout_t *__wrap_sr_flash_layout_of(const sr_partition_table_t *table, uint32_t front)
{
    assert_ptr_equal(table, &new_table);
    assert_int_equal(front, (TABLE + 1) * SECTOR);
    return is.no_memory ? NULL : &then.layout;
}

bool __wrap_sr_flash_encrypts(const sr_flash_t *flash, uint32_t address);
bool __wrap_sr_flash_encrypts(const sr_flash_t *flash, uint32_t address)
{
    return (flash == &migration.target ? is.encrypted_then : is.encrypted_now)[address / SECTOR];
}

esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length);
esp_err_t __wrap_sr_flash_read(const sr_flash_t *flash, uint32_t address, void *out, uint32_t length)
{
    assert_ptr_equal(flash, &migration.target);
    assert_int_equal(address % SECTOR, 0);
    assert_int_equal(length, SECTOR);
    is.reads++;
    memcpy(out, is.content, SECTOR);
    return is.read_err;
}

esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank);
esp_err_t __wrap_sr_writer_is_blank(sr_writer_t *writer, uint32_t address, bool *blank)
{
    assert_ptr_equal(writer, &migration.writer);
    assert_int_equal(address % SECTOR, 0);
    is.cells_asked++;
    *blank = is.cells_blank;
    return is.cells_err;
}

esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context);
esp_err_t __wrap_sr_partition_visit(sr_partition_visit_t visit, void *context)
{
    const esp_partition_t partitions[] = {
        {.type = ESP_PARTITION_TYPE_APP, .address = APP * SECTOR, .size = 16 * SECTOR},
        {.type = ESP_PARTITION_TYPE_DATA, .address = DATA * SECTOR, .size = 4 * SECTOR},
    };
    is.visits++;
    for (unsigned i = 0; i < 2 && is.visit_err == ESP_OK; i++) {
        visit(context, &partitions[i]);
    }
    return is.visit_err;
}

/* What is read as blank. */

static bool is_read(uint32_t sector)
{
    bool yes = true;
    assert_int_equal(sr_migration_blank_is_read(&migration, sector * SECTOR, &yes), ESP_OK);
    return yes;
}

/* By today's table, and by the new one. */
static void blank_sector_is_read_where_the_chip_decrypts_it_for_somebody(void **state)
{
    (void)state;
    for (unsigned new = 0; new < 2; new ++) {
        setup(NULL);
        migration.target.layout = new != 0 ? &then.layout : NULL;
        for (uint32_t i = 0; i < COUNT; i++) {
            const bool read = i <= TABLE || (i >= DATA && i < DATA + 4);
            assert_int_equal(is_read(i), read); /* An app without content is read by nobody. */
        }
        for (uint32_t last = APP; last <= APP + 16; last++) {
            memset(is.wanted, 0, sizeof(is.wanted));
            is.wanted[last] = SR_MOVES_WANTED_CONTENT;
            for (uint32_t i = APP; i < APP + 16; i++) {
                assert_int_equal(is_read(i), i < last && last < APP + 16);
            }
        }
        memset(is.encrypted_then, false, sizeof(is.encrypted_then));
        assert_false(is_read(DATA));
        assert_false(is_read(APP));
        assert_true(is_read(TABLE)); /* Whatever a table says. */
        assert_int_equal(is.visits > 0, new == 0);
    }
}

static void blank_sector_of_a_chip_that_does_not_encrypt_is_erased(void **state)
{
    (void)state;
    migration.system.flash.encryption = false;
    is.visit_err = ESP_ERR_NO_MEM;
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_false(is_read(i));
    }
    assert_int_equal(is.visits, 0);
}

static void search_for_the_partition_that_fails_is_told(void **state)
{
    (void)state;
    bool yes = true;
    is.visit_err = ESP_ERR_NO_MEM;
    assert_int_equal(sr_migration_blank_is_read(&migration, DATA * SECTOR, &yes), ESP_ERR_NO_MEM);
    assert_false(yes);
    yes = true;
    assert_int_equal(sr_migration_is_blank(&migration, DATA * SECTOR, &yes), ESP_ERR_NO_MEM);
    assert_false(yes);
    assert_int_equal(is.cells_asked + is.reads, 0);
}

/* In cells, or as the chip reads it, but where it is read only so. */
static void sector_is_blank_as_its_reader_sees_it(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        const bool read = (i & 1) != 0, cells = (i & 2) != 0, decrypted = (i & 4) != 0, encrypted = (i & 8) != 0;
        const uint32_t sector = read ? DATA : APP;
        bool right = !cells;
        setup(NULL);
        is.cells_blank = cells;
        is.content[SECTOR - 1] = decrypted ? 0xFF : 0xFE;
        is.encrypted_then[APP] = encrypted;
        if (read && !encrypted) {
            continue;
        }
        assert_int_equal(sr_migration_is_blank(&migration, sector * SECTOR, &right), ESP_OK);
        assert_int_equal(right, (!read && cells) || (encrypted && decrypted));
    }
}

static void each_byte_of_a_blank_sector_counts(void **state)
{
    (void)state;
    static const uint32_t offsets[] = {0, 1, SECTOR / 2, SECTOR - 1};
    bool right = false;
    assert_int_equal(sr_migration_is_blank(&migration, DATA * SECTOR, &right), ESP_OK);
    assert_true(right);
    for (unsigned i = 0; i < 4; i++) {
        memset(is.content, 0xFF, SECTOR);
        is.content[offsets[i]] = 0x7F;
        assert_int_equal(sr_migration_is_blank(&migration, DATA * SECTOR, &right), ESP_OK);
        assert_false(right);
    }
}

static void errors_of_the_flash_are_told(void **state)
{
    (void)state;
    bool right = true;
    is.cells_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_is_blank(&migration, APP * SECTOR, &right), ESP_ERR_TIMEOUT);
    assert_false(right);
    assert_int_equal(is.reads, 0);
    is.cells_err = ESP_OK;
    is.read_err = ESP_ERR_INVALID_SIZE;
    right = true;
    assert_int_equal(sr_migration_is_blank(&migration, APP * SECTOR, &right), ESP_ERR_INVALID_SIZE);
    assert_false(right);
    assert_int_equal(sr_migration_is_blank(&migration, DATA * SECTOR, &right), ESP_ERR_INVALID_SIZE);
    assert_false(right);
}

/* The new table. */

static void expect_refused(esp_err_t err, const char *words)
{
    assert_int_equal(err, ESP_ERR_SELF_REFLASHER_REFUSED);
    assert_int_equal(plan.refusal, ESP_SELF_REFLASHER_REFUSED_SECURITY);
    if (strstr(plan.refusal_text, words) == NULL) {
        fail_msg("refused with '%s', should be '%s'", plan.refusal_text, words);
    }
}

static void new_system_has_its_table_where_todays_is(void **state)
{
    (void)state;
    uint32_t *const offset = &migration.input.manifest.bundle.partition_table_offset;
    static const uint32_t others[] = {0, TABLE * SECTOR - SECTOR, TABLE * SECTOR + SECTOR};
    *offset = TABLE * SECTOR;
    assert_int_equal(sr_migration_check_encryption(&migration), ESP_OK);
    for (unsigned i = 0; i < 3; i++) {
        *offset = others[i];
        expect_refused(sr_migration_check_encryption(&migration), "cannot go from 0x8000 to 0x");
    }
    *offset = SR_BUNDLE_NO_TABLE;
    expect_refused(sr_migration_check_encryption(&migration), "no partition table");
    migration.system.flash.encryption = false;
    assert_int_equal(sr_migration_check_encryption(&migration), ESP_OK);
    *offset = 0;
    assert_int_equal(sr_migration_check_encryption(&migration), ESP_OK);
}

static void new_table_counts_only_where_there_is_one(void **state)
{
    (void)state;
    flags[20] = SR_MAP_TARGET;
    assert_int_equal(sr_migration_adopt_layout(&migration), ESP_OK); /* The table stays. */
    assert_null(migration.target.layout);
    flags[TABLE] = SR_MAP_TARGET | SR_MAP_CONTENT | SR_MAP_WRONG;
    migration.system.flash.encryption = false;
    assert_int_equal(sr_migration_adopt_layout(&migration), ESP_OK);
    assert_null(migration.target.layout);
    assert_false(is.compared[20]);
    migration.system.flash.encryption = true;
    is.table = NULL;
    expect_refused(sr_migration_adopt_layout(&migration), "the new partition table at 0x8000 cannot be read");
    assert_null(migration.target.layout);
    is.table = &new_table;
    is.no_memory = true;
    assert_int_equal(sr_migration_adopt_layout(&migration), ESP_ERR_NO_MEM);
    assert_false(is.compared[20]);
    is.no_memory = false;
    assert_int_equal(sr_migration_adopt_layout(&migration), ESP_OK);
    assert_ptr_equal(migration.target.layout, &then.layout);
    assert_true(is.compared[20]);
}

/* What a sector is to hold is compared once more, if it is to be blank, or is encrypted otherwise by the new table. */
static void sector_is_compared_as_the_new_table_says(void **state)
{
    (void)state;
    static const sr_map_flags_t kinds[] = {0, SR_MAP_TARGET, SR_MAP_CONTENT, SR_MAP_TARGET | SR_MAP_CONTENT};
    for (unsigned i = 0; i < 32; i++) {
        const sr_map_flags_t kind = kinds[i % 4];
        const bool other = (i & 4) != 0, right = (i & 8) != 0, was_wrong = (i & 16) != 0;
        for (uint32_t sector = 0; sector < COUNT; sector += COUNT - 1) {
            setup(NULL);
            flags[TABLE] = SR_MAP_CONTENT | SR_MAP_WRONG;
            flags[sector] = (sr_map_flags_t)(kind | SR_MAP_DATA | (was_wrong ? SR_MAP_WRONG : 0u));
            flags[COUNT] = SR_MAP_TARGET;
            is.right[sector] = is.right[COUNT] = right;
            is.encrypted_then[sector] = is.encrypted_then[COUNT] = !other;
            const bool compared = kind == SR_MAP_TARGET || (other && (kind & SR_MAP_CONTENT) != 0);
            const bool wrong = was_wrong || (compared && !right);
            assert_int_equal(sr_migration_adopt_layout(&migration), ESP_OK);
            assert_int_equal(is.compared[sector], compared);
            assert_int_equal(flags[sector],
                             kind | SR_MAP_DATA | (wrong ? SR_MAP_WRONG : 0u) | (other ? SR_MAP_CLOSED_THEN : 0u));
            assert_int_equal(flags[COUNT], SR_MAP_TARGET);
            assert_false(is.compared[COUNT]);
        }
    }
}

static void comparison_that_fails_ends_it(void **state)
{
    (void)state;
    flags[TABLE] = SR_MAP_CONTENT | SR_MAP_WRONG;
    flags[30] = flags[31] = SR_MAP_TARGET;
    is.compare_err = ESP_ERR_TIMEOUT;
    assert_int_equal(sr_migration_adopt_layout(&migration), ESP_ERR_TIMEOUT);
    assert_true(is.compared[30]);
    assert_false(is.compared[31]);
}

/* Data that both systems have, and read in other ways. */
static void data_that_stays_is_read_as_before(void **state)
{
    (void)state;
    const sr_map_flags_t both = SR_MAP_DATA | SR_MAP_NEW_DATA;
    static const sr_map_flags_t harmless[] = {
        0,
        SR_MAP_DATA,
        SR_MAP_NEW_DATA,
        SR_MAP_DATA | SR_MAP_NEW_DATA | SR_MAP_BLANK,
        SR_MAP_DATA | SR_MAP_NEW_DATA | SR_MAP_RELEASED,
        SR_MAP_DATA | SR_MAP_NEW_DATA | SR_MAP_TARGET,
        SR_MAP_DATA | SR_MAP_NEW_DATA | SR_MAP_CONTENT,
        SR_MAP_DATA | SR_MAP_NEW_DATA | SR_MAP_TARGET | SR_MAP_CONTENT,
    };
    for (uint32_t sector = 0; sector < COUNT; sector += COUNT - 1) {
        for (unsigned i = 0; i < 8; i++) {
            setup(NULL);
            migration.target.layout = &then.layout;
            flags[COUNT] = both; /* Past the end of the flash. */
            is.encrypted_then[sector] = is.encrypted_then[COUNT] = false;
            flags[sector] = harmless[i];
            assert_int_equal(sr_migration_check_kept(&migration), ESP_OK);
            flags[sector] = both;
            is.encrypted_then[sector] = true;
            assert_int_equal(sr_migration_check_kept(&migration), ESP_OK); /* As today. */
        }
        is.encrypted_then[sector] = false;
        expect_refused(sr_migration_check_kept(&migration), "is encrypted today, and would be plain ");
        is.encrypted_then[sector] = true;
        is.encrypted_now[sector] = false;
        expect_refused(sr_migration_check_kept(&migration), "is plain today, and would be encrypted ");
        migration.target.layout = NULL; /* The table stays. */
        assert_int_equal(sr_migration_check_kept(&migration), ESP_OK);
    }
}

/* The first bootloader that encrypts. */

static void set_group(uint32_t sector, sr_record_group_t group)
{
    is.in_group[sector] = true;
    is.group[sector] = group;
}

static void bootloader_that_encrypts_is_the_last_that_is_written(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= COUNT; i++) { /* What does not belong to the commit has no group. */
        is.group[i] = i % 2 != 0 ? SR_RECORD_BOOTLOADER : SR_RECORD_TABLE;
    }
    set_group(COUNT, SR_RECORD_BOOTLOADER);
    set_group(TABLE, SR_RECORD_TABLE);
    set_group(TABLE + 1, SR_RECORD_OTADATA);
    plan.relocation = ESP_SELF_REFLASHER_RELOCATION_SLOT;
    assert_int_equal(sr_migration_check_first_encryption(&migration), ESP_OK); /* It stays. */
    set_group(0, SR_RECORD_BOOTLOADER);
    expect_refused(sr_migration_check_first_encryption(&migration), "the running app is in the way");
    plan.relocation = ESP_SELF_REFLASHER_RELOCATION_NONE;
    expect_refused(sr_migration_check_first_encryption(&migration), "before 0x8000 is written");
    is.in_group[TABLE] = false;
    expect_refused(sr_migration_check_first_encryption(&migration), "before 0x9000 is written");
    is.in_group[TABLE + 1] = false;
    set_group(COUNT, SR_RECORD_TABLE);
    set_group(20, SR_RECORD_DATA); /* Written before it. */
    set_group(21, SR_RECORD_NEIGHBOURS);
    assert_int_equal(sr_migration_check_first_encryption(&migration), ESP_OK);
    set_group(COUNT - 1, SR_RECORD_OTADATA);
    expect_refused(sr_migration_check_first_encryption(&migration), "before 0x3f000 is written");
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blank_sector_is_read_where_the_chip_decrypts_it_for_somebody),
        TEST(blank_sector_of_a_chip_that_does_not_encrypt_is_erased),
        TEST(search_for_the_partition_that_fails_is_told),
        TEST(sector_is_blank_as_its_reader_sees_it),
        TEST(each_byte_of_a_blank_sector_counts),
        TEST(errors_of_the_flash_are_told),
        TEST(new_system_has_its_table_where_todays_is),
        TEST(new_table_counts_only_where_there_is_one),
        TEST(sector_is_compared_as_the_new_table_says),
        TEST(comparison_that_fails_ends_it),
        TEST(data_that_stays_is_read_as_before),
        TEST(bootloader_that_encrypts_is_the_last_that_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
