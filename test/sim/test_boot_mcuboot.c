// SPDX-License-Identifier: Apache-2.0
/** @file
 * MCUboot in the boot model, with small slots: what it writes, how it goes on after a power loss at each of its writes,
 * which trailers ask for which swap, which images are valid, and where it finds its slots.
 *
 * Rules: MCUboot 1.10, docs/design.md; Espressif's port. Numbers are written down here once more.
 */
#include "format/sr_bytes.h"
#include "format/sr_mcuboot.h"
#include "make/image_writer.h"
#include "sim/boot/boot_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FLASH_SIZE   0x40000u
#define LOADER       0x1000u
#define MAP          0x40u /* Of the slots, in the bootloader. */
#define PRIMARY      0x10000u
#define SECONDARY    0x18000u
#define SLOT         0x8000u
#define SCRATCH      0x20000u
#define SCRATCH_SIZE 0x3000u
#define SECTOR       0x1000u
#define TRAILER      6192u /* 512 sectors with 3 states of 4 bytes, and 48 bytes. */
#define HEADER       32u
#define TLVS         40u /* One area, with one SHA-256. */
#define MAGIC_AT     16u /* Before the end. */
#define IMAGE_OK_AT  24u
#define DONE_AT      32u
#define INFO_AT      40u
#define SIZE_AT      48u
#define NEW          2u /* Versions. */
#define OLD          1u

typedef enum swap { NONE = 1, TEST, PERMANENT, REVERT } swap_t;

static uint8_t flash[8u << 20], before[FLASH_SIZE], expected[FLASH_SIZE];
static uint32_t flash_size, scratch_size = SCRATCH_SIZE;
static efuse_set_t burnt;
static boot_result_t result;
static boot_trace_t trace;

/* What the model does to the flash. The power is lost before the operation with this number; 0: never. */
static unsigned lose_before, operations;
static jmp_buf power_loss;

void __real_boot_program(boot_t *boot, uint32_t address, const void *data, uint32_t length);
void __wrap_boot_program(boot_t *boot, uint32_t address, const void *data, uint32_t length);
void __real_boot_erase(boot_t *boot, uint32_t address, uint32_t length);
void __wrap_boot_erase(boot_t *boot, uint32_t address, uint32_t length);

static void count_operation(void)
{
    if (++operations == lose_before) {
        longjmp(power_loss, 1);
    }
}

void __wrap_boot_program(boot_t *boot, uint32_t address, const void *data, uint32_t length)
{
    count_operation();
    __real_boot_program(boot, address, data, length);
}

void __wrap_boot_erase(boot_t *boot, uint32_t address, uint32_t length)
{
    count_operation();
    __real_boot_erase(boot, address, length);
}

static bool boot_until(unsigned operation)
{
    boot_t boot = {.chip = sr_chip_by_name("esp32"),
                   .memory = boot_memory_of(0),
                   .burnt = &burnt,
                   .flash = flash,
                   .writable = flash,
                   .size = flash_size,
                   .trace = trace,
                   .loader = {.offset = LOADER, .length = 0x100},
                   .result = &result};
    result = (boot_result_t){.outcome = BOOT_ROM_REJECTS};
    operations = 0;
    lose_before = operation;
    if (setjmp(power_loss) != 0) {
        return false;
    }
    boot_mcuboot(&boot);
    return true;
}

static void boot(void)
{
    assert_true(boot_until(0));
}

static void expect(boot_outcome_t outcome, const char *reason)
{
    boot();
    if (result.outcome != outcome || strstr(result.reason, reason) == NULL) {
        fail_msg("expected %s, \"%s\": %s (%s)", boot_outcome_name(outcome), reason, boot_outcome_name(result.outcome),
                 result.reason);
    }
}

/** One constant of the bootloader's map of areas. */
static void put_area(unsigned place, uint32_t id, uint32_t address, uint32_t size)
{
    uint8_t *out = flash + LOADER + MAP + 12 * place;
    sr_bytes_put_le32(out, id);
    sr_bytes_put_le32(out + 4, address);
    sr_bytes_put_le32(out + 8, size);
}

static uint32_t tlv_offset(uint32_t slot)
{
    return sr_bytes_get_le16(flash + slot + 8) + sr_bytes_get_le32(flash + slot + 12);
}

/** Makes the digest right, that of the first TLV in the area after the protected one. */
static void seal(uint32_t slot)
{
    sr_sha256_t sha;
    const uint32_t hashed = tlv_offset(slot) + sr_bytes_get_le16(flash + slot + 10);
    sr_sha256_start(&sha);
    sr_sha256_update(&sha, flash + slot, hashed);
    assert_int_equal(sr_sha256_finish(&sha, flash + slot + hashed + 8), 0);
}

static void put_tlv(uint8_t *out, uint16_t type, uint16_t length)
{
    sr_bytes_put_le32(out, type | (uint32_t)length << 16);
}

static const image_write_load_header_t good_load = {.entry = 0x40080000,
                                                    .iram_address = 0x40080000,
                                                    .iram_size = 0x100,
                                                    .dram_address = 0x3FFB0000,
                                                    .dram_size = 0x100};

/** An image that ends with its TLVs at this length. */
static void put_image(uint32_t slot, uint8_t version, uint32_t length, uint16_t protected_size)
{
    uint8_t *image = flash + slot;
    const uint32_t payload = length - HEADER - TLVS - protected_size;
    memset(image, 0, HEADER);
    sr_bytes_put_le32(image, SR_MCUBOOT_IMAGE_MAGIC);
    sr_bytes_put_le32(image + 8, HEADER | (uint32_t)protected_size << 16);
    sr_bytes_put_le32(image + 12, payload);
    image[20] = version;
    for (uint32_t i = 0; i < payload; i++) {
        image[HEADER + i] = (uint8_t)(i * version + i / 251);
    }
    image_write_load_header(&good_load, image + HEADER);
    uint8_t *tlvs = image + HEADER + payload;
    if (protected_size != 0) {
        put_tlv(tlvs, 0x6908, protected_size);
        put_tlv(tlvs + 4, 0x50, (uint16_t)(protected_size - 8));
        memset(tlvs + 8, 0x5A, protected_size - 8u);
    }
    put_tlv(tlvs + protected_size, 0x6907, TLVS);
    put_tlv(tlvs + protected_size + 4, 0x10, SR_SHA256_SIZE);
    seal(slot);
}

static uint8_t *from_end(uint32_t slot, uint32_t size, uint32_t distance)
{
    return flash + slot + size - distance;
}

static void put_magic(uint32_t slot, uint32_t size)
{
    memcpy(from_end(slot, size, MAGIC_AT), sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
}

/** A bootloader that knows the slots, and two images of these lengths. */
static void put_system(uint32_t old_length, uint32_t new_length)
{
    flash_size = FLASH_SIZE;
    memset(flash, 0xFF, flash_size);
    put_area(0, 3, SCRATCH, scratch_size);
    put_area(1, 1, PRIMARY, SLOT);
    put_area(2, 2, SECONDARY, SLOT);
    put_image(PRIMARY, OLD, old_length, 0);
    put_image(SECONDARY, NEW, new_length, 0);
    flash[PRIMARY - 1] = flash[SCRATCH + scratch_size] = 0x5A; /* What is nobody's stays. */
}

static void ask_for(swap_t type)
{
    put_magic(SECONDARY, SLOT);
    if (type == PERMANENT) {
        *from_end(SECONDARY, SLOT, IMAGE_OK_AT) = 1;
    }
}

/** What lies in the trailer of the primary slot after the swap. */
static void expect_trailer(swap_t type, uint32_t groups, uint32_t length)
{
    uint8_t *end = expected + PRIMARY + SLOT;
    for (uint32_t i = 0; i < 3 * groups; i++) {
        (end - TRAILER)[4 * i] = (uint8_t)(i % 3 + 1);
    }
    *(end - INFO_AT) = (uint8_t)type;
    sr_bytes_put_le32(end - SIZE_AT, length);
    memcpy(end - MAGIC_AT, sr_mcuboot_trailer_magic, SR_MCUBOOT_TRAILER_MAGIC_SIZE);
    *(end - DONE_AT) = 1;
    if (type == PERMANENT || type == REVERT) {
        *(end - IMAGE_OK_AT) = 1;
    }
}

/** Slots whose content has changed places sector by sector, of images that do not reach the trailer's sectors. */
static void expect_swap(swap_t type, uint32_t length)
{
    const uint32_t end = (length + SECTOR - 1) / SECTOR * SECTOR;
    const uint32_t groups = (end + SCRATCH_SIZE - 1) / SCRATCH_SIZE;
    const uint32_t last = end - (groups - 1) * SCRATCH_SIZE;
    memcpy(expected, flash, FLASH_SIZE);
    memcpy(expected + PRIMARY, flash + SECONDARY, end);
    memcpy(expected + SECONDARY, flash + PRIMARY, end);
    memset(expected + PRIMARY + SLOT - 2 * SECTOR, 0xFF, 2 * SECTOR);
    memset(expected + SECONDARY + SLOT - 2 * SECTOR, 0xFF, 2 * SECTOR);
    memset(expected + SCRATCH, 0xFF, SCRATCH_SIZE);
    memcpy(expected + SCRATCH, flash + SECONDARY, last);
    expect_trailer(type, groups, length);
}

static void assert_as_expected(const char *what, unsigned number)
{
    const bool same = memcmp(flash, expected, FLASH_SIZE) == 0; /* Which is quicker than the loop. */
    for (uint32_t i = 0; !same; i++) {
        if (flash[i] != expected[i]) {
            fail_msg("%s, %u: at 0x%x is 0x%02x, expected 0x%02x (%s)", what, number, (unsigned)i, flash[i],
                     expected[i], result.reason);
        }
    }
}

static void expect_booted(bool swapped, uint8_t version)
{
    const uint32_t length = tlv_offset(PRIMARY) + TLVS;
    if (result.outcome != (swapped ? BOOT_SWAPS_THEN_BOOTS : BOOT_BOOTS) || flash[PRIMARY + 20] != version ||
        result.app_offset != PRIMARY || result.app.length != length) {
        fail_msg("expected version %u: %s, version %u, %u bytes (%s)", version, boot_outcome_name(result.outcome),
                 flash[PRIMARY + 20], (unsigned)result.app.length, result.reason);
    }
}

/* Where images end: in the first sector or with it, in one group of sectors as large as scratch, after it, and with the
 * last sector before the trailer's two. */
static const uint32_t lengths[][2] = {{0x0800, 0x0900}, {0x1000, 0x0400}, {0x0F00, 0x1001}, {0x2FFF, 0x3000},
                                      {0x3001, 0x1000}, {0x1234, 0x4567}, {0x6000, 0x5FFF}, {0x0400, 0x5001}};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static uint32_t longer(size_t i)
{
    return lengths[i][0] > lengths[i][1] ? lengths[i][0] : lengths[i][1];
}

static void a_swap_exchanges_sectors_and_notes_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * LENGTHS; i++) {
        const swap_t type = i < LENGTHS ? TEST : PERMANENT;
        put_system(lengths[i % LENGTHS][0], lengths[i % LENGTHS][1]);
        ask_for(type);
        expect_swap(type, longer(i % LENGTHS));
        boot();
        expect_booted(true, NEW);
        assert_true(result.flash_changed);
        assert_as_expected("swap", (unsigned)i);
        /* The next boot takes a test back, and leaves the other one. */
        if (type == TEST) {
            expect_swap(REVERT, longer(i % LENGTHS));
        }
        boot();
        expect_booted(type == TEST, type == TEST ? OLD : NEW);
        assert_as_expected("next boot", (unsigned)i);
    }
}

/** Whatever of a swap was done, the next boot ends it as if the power had stayed. */
static void a_power_loss_at_each_write_changes_nothing(void **state)
{
    (void)state;
    unsigned losses = 0;
    for (size_t i = 0; i < 2 * LENGTHS; i++) {
        const swap_t type = i < LENGTHS ? TEST : PERMANENT;
        put_system(lengths[i % LENGTHS][0], lengths[i % LENGTHS][1]);
        ask_for(type);
        memcpy(before, flash, FLASH_SIZE);
        expect_swap(type, longer(i % LENGTHS));
        for (unsigned number = 1;; number++) {
            memcpy(flash, before, FLASH_SIZE);
            if (boot_until(number)) {
                break;
            }
            boot();
            expect_booted(operations > 0, NEW);
            assert_as_expected("power loss", number);
            losses++;
        }
    }
    assert_in_range(losses, 300, 2000);
}

/**
 * The longer image ends in the first of the two sectors that the trailer touches. MCUboot 1.10 then keeps the status of
 * the first group in scratch, copies the group less the length of a trailer, and erases no trailer.
 */
static void expect_long_swap(swap_t type, uint32_t length)
{
    const uint32_t end = SLOT - SECTOR, first = scratch_size < end ? scratch_size : end;
    const uint32_t copied = end - TRAILER, start = end - first;
    memcpy(expected, flash, FLASH_SIZE);
    memcpy(expected + PRIMARY, flash + SECONDARY, copied);
    memcpy(expected + SECONDARY, flash + PRIMARY, copied);
    memset(expected + PRIMARY + copied, 0xFF, end - copied);
    memset(expected + SECONDARY + copied, 0xFF, end - copied);
    memset(expected + SCRATCH, 0xFF, scratch_size);
    memcpy(expected + SCRATCH, flash + SECONDARY, start % scratch_size);
    expect_trailer(type, (end + scratch_size - 1) / scratch_size, length);
    /* The status that was copied lies a sector too low. */
    uint8_t *status = expected + PRIMARY + SLOT - TRAILER;
    status[0] = status[4] = 0xFF;
    *(status - SECTOR) = 1;
    *(status - SECTOR + 4) = 2;
}

static void put_long_system(swap_t type, uint32_t length)
{
    put_system(length, 0x2000);
    if (type == REVERT) {
        put_magic(PRIMARY, SLOT);
        *from_end(PRIMARY, SLOT, DONE_AT) = 1;
    } else {
        ask_for(type);
    }
}

static void a_long_image_has_its_first_status_in_scratch(void **state)
{
    (void)state;
    const uint32_t length = SLOT - TRAILER; /* The longest that is valid. */
    for (unsigned i = 0; i < 6; i++) {
        const swap_t type = i % 3 == 0 ? TEST : i % 3 == 1 ? PERMANENT : REVERT;
        unsigned number = 1;
        bool in_scratch = false;
        scratch_size = i < 3 ? SCRATCH_SIZE : SLOT - SECTOR; /* All of it in one group. */
        put_long_system(type, length);
        memcpy(before, flash, FLASH_SIZE);
        expect_long_swap(type, length);
        /* The way back is not open to a power loss: copy_done of the way there is not erased. */
        for (bool lost = true; lost; number++) {
            memcpy(flash, before, FLASH_SIZE);
            lost = !boot_until(type == REVERT ? 0 : number);
            in_scratch |= *from_end(SCRATCH, scratch_size, 60) == 1; /* Three states of 4 bytes, and 48 bytes. */
            if (lost) {
                boot();
            }
            expect_booted(operations > 0, NEW);
            assert_as_expected("long image", number);
        }
        assert_int_equal(in_scratch, type != REVERT);
        assert_in_range(number, type == REVERT ? 2 : 10, 200);
        /* What was there asks to be swapped in again, and is no valid image any more. */
        boot();
        expect_booted(false, NEW);
        if (type != REVERT) {
            for (uint32_t at = 0; at < SLOT; at++) {
                assert_int_equal(flash[SECONDARY + at], 0xFF);
            }
        }
    }
    scratch_size = SCRATCH_SIZE;
}

/** What scratch notes is taken from it as far as it means something: two states, and a kind of swap that there is. */
static void what_scratch_notes_is_checked(void **state)
{
    (void)state;
    static const uint8_t infos[] = {TEST, 0xA0 | REVERT, 5, 0xAF, 0xFF};
    for (size_t i = 0; i < sizeof(infos); i++) {
        put_long_system(TEST, SLOT - TRAILER);
        memcpy(before, flash, FLASH_SIZE);
        uint8_t *status = from_end(SCRATCH, SCRATCH_SIZE, 60);
        for (unsigned number = 1; status[4] != 2; number++) { /* The first two states are done. */
            memcpy(flash, before, FLASH_SIZE);
            assert_false(boot_until(number));
        }
        *from_end(SCRATCH, SCRATCH_SIZE, INFO_AT) = infos[i];
        status[9] = 0;
        boot();
        const uint8_t *copied = flash + PRIMARY + SLOT - SECTOR - TRAILER;
        assert_int_equal(copied[0], 1);
        assert_int_equal(copied[4], 2);
        assert_int_equal(copied[9], 0xFF);
        const uint8_t type = infos[i] & 0x0F;
        assert_int_equal(*from_end(PRIMARY, SLOT, INFO_AT), type <= REVERT ? type : 0xFF);
        assert_int_equal(*from_end(PRIMARY, SLOT, DONE_AT), type <= REVERT ? 1 : 0xFF);
    }
}

typedef enum mark { SET, BAD, UNSET } mark_t;

static void put_mark(uint8_t *flag, mark_t mark)
{
    *flag = mark == SET ? 1 : mark == BAD ? 2 : 0xFF;
}

static void put_trailer_magic(uint32_t slot, uint32_t size, mark_t mark)
{
    if (mark != UNSET) {
        put_magic(slot, size);
    }
    if (mark == BAD) {
        *from_end(slot, size, 1) ^= 1;
    }
}

/** docs/design.md, "Boot swap types": what two trailers ask for, if no swap is open. */
static swap_t asked(mark_t primary, mark_t primary_ok, mark_t done, mark_t secondary, mark_t secondary_ok)
{
    if (secondary == SET && secondary_ok != BAD) {
        return secondary_ok == SET ? PERMANENT : TEST;
    }
    const bool revert = primary == SET && secondary == UNSET && primary_ok == UNSET && done == SET;
    return revert ? REVERT : NONE;
}

static void trailers_ask_for_a_swap(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 243; i++) {
        const mark_t marks[] = {(mark_t)(i % 3), (mark_t)(i / 3 % 3), (mark_t)(i / 9 % 3), (mark_t)(i / 27 % 3),
                                (mark_t)(i / 81)};
        put_system(0x800, 0x900);
        put_trailer_magic(PRIMARY, SLOT, marks[0]);
        put_mark(from_end(PRIMARY, SLOT, IMAGE_OK_AT), marks[1]);
        put_mark(from_end(PRIMARY, SLOT, DONE_AT), marks[2]);
        put_trailer_magic(SECONDARY, SLOT, marks[3]);
        put_mark(from_end(SECONDARY, SLOT, IMAGE_OK_AT), marks[4]);
        const swap_t wanted = asked(marks[0], marks[1], marks[2], marks[3], marks[4]);
        if (wanted == NONE) {
            memcpy(expected, flash, FLASH_SIZE);
        } else {
            expect_swap(wanted, 0x900);
        }
        boot();
        expect_booted(wanted != NONE, wanted != NONE ? NEW : OLD);
        assert_as_expected("trailers", i);
    }
}

/** A kind of swap that the primary trailer notes, of which nothing is done yet, counts before what is asked. */
static void a_noted_swap_is_begun_again(void **state)
{
    (void)state;
    for (unsigned type = 0; type <= 16; type++) {
        put_system(0x800, 0x900);
        *from_end(PRIMARY, SLOT, INFO_AT) = (uint8_t)(type == 16 ? 0xFF : 0xA0 | type); /* The image's number, too. */
        if (type == NONE || type == 16) {
            memcpy(expected, flash, FLASH_SIZE);
        } else if (type == TEST || type == PERMANENT || type == REVERT) {
            expect_swap((swap_t)type, 0x900);
        } else {
            memcpy(expected, flash, FLASH_SIZE);
            if (type == 5) { /* One that has failed: the old system stays. */
                *(expected + PRIMARY + SLOT - IMAGE_OK_AT) = 1;
            } else {
                expect(BOOT_BOOTLOADER_REJECTS, "a kind of swap that does not exist");
                assert_as_expected("noted", type);
                continue;
            }
        }
        boot();
        const bool swaps = type >= TEST && type <= REVERT;
        expect_booted(swaps, swaps ? NEW : OLD);
        assert_as_expected("noted", type);
    }
    /* What is confirmed in the secondary slot already stays so. */
    put_system(0x800, 0x900);
    *from_end(PRIMARY, SLOT, INFO_AT) = TEST;
    *from_end(SECONDARY, SLOT, IMAGE_OK_AT) = 1;
    expect_swap(TEST, 0x900);
    *(expected + PRIMARY + SLOT - IMAGE_OK_AT) = 1;
    boot();
    assert_as_expected("confirmed", 0);
    /* Unless copy_done says that it is none of today, or the magic is another. */
    for (unsigned i = 0; i < 2; i++) {
        put_system(0x800, 0x900);
        *from_end(PRIMARY, SLOT, INFO_AT) = PERMANENT;
        if (i == 0) {
            *from_end(PRIMARY, SLOT, DONE_AT) = 1;
        } else {
            put_trailer_magic(PRIMARY, SLOT, BAD);
        }
        boot();
        expect_booted(false, OLD);
    }
}

/** An image that is not valid is not swapped in: if there is one it is erased, else its trailer. A noted swap has
 * failed. */
static void what_is_not_valid_is_erased(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t byte;
        bool all;
    } faults[] = {{0, 0xFF, false},  {0, 0x3C, true},  {16, 0x10, false},
                  {16, 0x30, false}, {16, 0x01, true}, {200, 0xEE, true}};
    for (size_t i = 0; i < 2 * sizeof(faults) / sizeof(faults[0]); i++) {
        const size_t fault = i / 2;
        put_system(0x800, 0x900);
        if (faults[fault].at == 0 && faults[fault].byte == 0xFF) {
            memset(flash + SECONDARY, 0xFF, 4);
        } else {
            flash[SECONDARY + faults[fault].at] = faults[fault].byte;
        }
        if (i % 2 == 0) {
            ask_for(TEST);
        } else {
            *from_end(PRIMARY, SLOT, INFO_AT) = PERMANENT;
        }
        flash[SECONDARY + SLOT - 2 * SECTOR - 1] = flash[SECONDARY + SLOT] = 0;
        memcpy(expected, flash, FLASH_SIZE);
        const uint32_t kept = faults[fault].all ? 0 : SLOT - 2 * SECTOR;
        memset(expected + SECONDARY + kept, 0xFF, SLOT - kept);
        if (i % 2 != 0) {
            *(expected + PRIMARY + SLOT - IMAGE_OK_AT) = 1;
        }
        boot();
        expect_booted(false, OLD);
        assert_as_expected("not valid", (unsigned)i);
    }
    /* A flag that was written once is not written again. */
    put_system(0x800, 0x900);
    *from_end(PRIMARY, SLOT, INFO_AT) = 5;
    *from_end(PRIMARY, SLOT, IMAGE_OK_AT) = 3;
    boot();
    assert_int_equal(*from_end(PRIMARY, SLOT, IMAGE_OK_AT), 3);
}

/** The bootloader stops rather than swap what has no length. */
static void lengths_that_stop_it(void **state)
{
    (void)state;
    /* A primary image without TLVs. */
    put_system(0x800, 0x900);
    ask_for(TEST);
    flash[PRIMARY + tlv_offset(PRIMARY)] ^= 1;
    memcpy(expected, flash, FLASH_SIZE);
    expect(BOOT_BOOTLOADER_REJECTS, "has an image header but no TLV area");
    assert_as_expected("no TLVs", 0);
    /* A primary slot without an image has no length: what is swapped in tells it. */
    put_system(0x800, 0x1900);
    ask_for(TEST);
    memset(flash + PRIMARY, 0xFF, 0x800);
    expect_swap(TEST, 0x1900);
    boot();
    expect_booted(true, NEW);
    assert_as_expected("empty primary", 0);
    /* And an open swap has the length that it has noted: 0 is one sector. */
    static const struct {
        uint32_t size, end;
    } noted[] = {{0, SECTOR}, {1, SECTOR}, {SLOT, SLOT}, {SLOT + 1, 0}};
    for (size_t i = 0; i < 4; i++) {
        put_system(0x800, 0x900);
        put_magic(PRIMARY, SLOT);
        *from_end(PRIMARY, SLOT, INFO_AT) = TEST;
        sr_bytes_put_le32(from_end(PRIMARY, SLOT, SIZE_AT), noted[i].size);
        *from_end(PRIMARY, SLOT, TRAILER) = 1;
        memcpy(before, flash, FLASH_SIZE);
        boot();
        if (noted[i].end == 0) {
            assert_int_equal(result.outcome, BOOT_BOOTLOADER_REJECTS);
            assert_non_null(strstr(result.reason, "claims to be longer than the slot"));
            assert_memory_equal(flash, before, FLASH_SIZE);
        } else if (noted[i].end == SECTOR) {
            /* The first state is done, they say: scratch has what comes into the primary slot. */
            assert_memory_equal(flash + SECONDARY, before + PRIMARY, SECTOR);
            assert_memory_equal(flash + PRIMARY, before + SCRATCH, SECTOR);
            assert_memory_equal(flash + PRIMARY + SECTOR, before + PRIMARY + SECTOR, SECTOR);
        } else {
            assert_null(strstr(result.reason, "claims to be longer"));
        }
    }
}

/** A table in which each row spoils the image in one way; it is verified as it then is, sealed again or not. */
typedef struct image_row {
    const char *what;
    uint16_t protected_size;
    uint32_t at; /**< From the start of the image; with `of_tlvs` from the first TLV area. */
    bool of_tlvs, sealed, good;
    uint8_t size, bytes[4];
} image_row_t;

static const image_row_t image_rows[] = {
    {"as it is", 0, 0, false, true, true, 0, {0}},
    {"with protected TLVs", 12, 0, false, true, true, 0, {0}},
    {"another magic", 0, 1, false, true, false, 1, {0}},
    {"not bootable", 0, 16, false, true, false, 1, {0x10}},
    {"other flags", 0, 16, false, true, true, 1, {0x2F}},
    {"a byte of the payload", 0, 200, false, false, false, 1, {0xEE}},
    {"a byte of the protected TLVs", 12, 8, true, false, false, 1, {0}},
    {"a byte of the digest", 0, 8 + 31, true, false, false, 1, {0}},
    {"no TLV area", 0, 0, true, true, false, 2, {0x08, 0x69}},
    {"protected TLVs that the header does not have", 12, 10, false, false, false, 2, {0, 0}},
    {"protected TLVs of another size", 12, 2, true, true, false, 2, {11, 0}},
    {"no protected TLVs where the header has them", 12, 0, true, true, false, 2, {0x07, 0x69}},
    {"no area after the protected one", 12, 12, true, true, false, 2, {0x08, 0x69}},
    {"a TLV of another kind only", 0, 4, true, true, false, 2, {0x11, 0}},
    {"a digest that is too short", 0, 6, true, true, false, 2, {31, 0}},
    {"a digest that is too long", 0, 6, true, true, false, 2, {33, 0}},
    {"an empty area", 0, 2, true, true, false, 2, {4, 0}},
    {"a payload past the slot", 0, 12, false, false, false, 4, {0, 0x80, 0, 0}},
    {"a payload whose end wraps", 0, 12, false, false, false, 4, {0xE1, 0xFF, 0xFF, 0xFF}},
};

static void images_that_are_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(image_rows) / sizeof(image_rows[0]); i++) {
        const image_row_t *row = &image_rows[i];
        put_system(0x800, 0x900);
        memset(flash + PRIMARY, 0xFF, 0x1000);
        put_image(PRIMARY, OLD, 0x800, row->protected_size);
        memcpy(flash + PRIMARY + row->at + (row->of_tlvs ? tlv_offset(PRIMARY) : 0), row->bytes, row->size);
        if (row->sealed) {
            seal(PRIMARY);
        }
        boot();
        if (boot_succeeds(&result) != row->good ||
            (!row->good && strstr(result.reason, "primary slot at 0x10000 is not valid") == NULL)) {
            fail_msg("%s: %s", row->what, result.reason);
        }
        if (row->good) {
            assert_int_equal(result.app.length, 0x800);
        }
    }
}

/** Each SHA-256 has to be right, wherever in the list. */
static void all_digests_are_compared(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        put_system(0x800, 0x900);
        uint8_t *tlvs = flash + PRIMARY + tlv_offset(PRIMARY);
        uint8_t digest[SR_SHA256_SIZE];
        memcpy(digest, tlvs + 8, sizeof(digest));
        put_tlv(tlvs, 0x6907, 4 + 9 + 2 * 36);
        put_tlv(tlvs + 4, 0x22, 5);
        memset(tlvs + 8, 0x77, 5);
        put_tlv(tlvs + 13, 0x10, SR_SHA256_SIZE);
        memcpy(tlvs + 17, digest, sizeof(digest));
        put_tlv(tlvs + 49, 0x10, SR_SHA256_SIZE);
        memcpy(tlvs + 53, digest, sizeof(digest));
        if (i > 0) {
            (i == 1 ? tlvs + 17 : i == 2 ? tlvs + 53 : tlvs + 53 + 31)[0] ^= 1;
        }
        boot();
        assert_int_equal(boot_succeeds(&result), i == 0);
        if (i == 0) {
            assert_int_equal(result.app.length, tlv_offset(PRIMARY) + 4 + 9 + 2 * 36);
        }
    }
}

/** An image may end where the trailer begins. */
static void an_image_ends_before_the_trailer(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        put_system(SLOT - TRAILER + i, 0x900);
        boot();
        assert_int_equal(boot_succeeds(&result), i == 0);
        put_system(0x800, SLOT - TRAILER + i);
        ask_for(TEST);
        boot();
        assert_int_equal(flash[SECONDARY] == 0xFF, i != 0); /* It was erased. */
    }
}

/** All of the status is written: nothing is left to be swapped. */
static void a_full_status_is_a_swap_that_is_done(void **state)
{
    (void)state;
    put_system(0x800, 0x900);
    put_magic(PRIMARY, SLOT);
    *from_end(PRIMARY, SLOT, INFO_AT) = TEST;
    sr_bytes_put_le32(from_end(PRIMARY, SLOT, SIZE_AT), 0x900);
    memset(from_end(PRIMARY, SLOT, TRAILER), 1, TRAILER - SIZE_AT);
    memcpy(expected, flash, FLASH_SIZE);
    *(expected + PRIMARY + SLOT - DONE_AT) = 1;
    boot();
    expect_booted(true, OLD);
    assert_as_expected("full status", 0);
}

/** What the port's loader says of its header. */
static void headers_of_the_loader(void **state)
{
    (void)state;
    static const struct {
        uint32_t entry, iram, iram_size, dram, dram_size;
        boot_outcome_t outcome;
        const char *reason;
    } rows[] = {
        {0x40080000, 0x40080000, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTS, "had nothing to swap"},
        {0x400800FF, 0x40080000, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTS, ""},
        {0x40080100, 0x40080000, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS,
         "entry point is not in the loaded code"},
        {0x4007FFFF, 0x40080000, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "entry point"},
        {0x40080100, 0x40080100, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTS, ""},
        {0x400800FF, 0x40080100, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "entry point"},
        {0x40080000, 0x40080000, 0x1FFFF, 0x3FFB0000, 0x100, BOOT_BOOTS, ""},
        {0x40080000, 0x40080000, 0x20000, 0x3FFB0000, 0x100, BOOT_NOT_KNOWN, "not all builds"},
        {0x400A0100, 0x40080000, 0x20000, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "entry point"},
        {0x400A0000, 0x400A0000, 0x100, 0x3FFB0000, 0x100, BOOT_NOT_KNOWN, "not all builds"},
        {0x40080000, 0x40080000, 0x2A000, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
        {0x3FFB0000, 0x3FFB0000, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
        {0x40077FFF, 0x40077FFF, 0x100, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
        {0x40080000, 0x40080000, 0x100, 0x3FFADFFF, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
        {0x40080000, 0x40080000, 0x100, 0x3FFAE000, 0x100, BOOT_BOOTS, ""},
        {0x40080000, 0x40080000, 0x100, 0x3FFFFFFF, 0, BOOT_BOOTS, ""},
        {0x40080000, 0x40080000, 0x100, 0x3FFFFF00, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
        {0x40080000, 0x40080000, 0x100, 0x3FFB0000, 0x4FFFF, BOOT_BOOTS, ""},
        {0x400A9FFF, 0x400A9FFF, 0, 0x3FFB0000, 0x100, BOOT_BOOTLOADER_REJECTS, "entry point"},
        {0x400A0000, 0x400A0000, 0x100, 0x3FFADFFF, 0x100, BOOT_BOOTLOADER_REJECTS, "addresses are not in RAM"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const image_write_load_header_t load = {.entry = rows[i].entry,
                                                .iram_address = rows[i].iram,
                                                .iram_size = rows[i].iram_size,
                                                .dram_address = rows[i].dram,
                                                .dram_size = rows[i].dram_size,
                                                .iram_offset = 0x11,
                                                .dram_offset = 0x22};
        put_system(0x800, 0x900);
        image_write_load_header(&load, flash + PRIMARY + HEADER);
        seal(PRIMARY);
        expect(rows[i].outcome, rows[i].reason);
    }
    put_system(0x800, 0x900);
    flash[PRIMARY + HEADER] ^= 1;
    seal(PRIMARY);
    expect(BOOT_BOOTLOADER_REJECTS, "no load header");
    /* An image of nothing but TLVs is valid. */
    put_system(HEADER + TLVS, 0x900);
    expect(BOOT_BOOTLOADER_REJECTS, "no load header");
}

static uint8_t was_read[FLASH_SIZE];

static void note_read(void *context, uint32_t address, uint32_t length)
{
    (void)context;
    assert_true(address + length <= FLASH_SIZE);
    memset(was_read + address, 1, length);
}

/** The outcome depends on these bytes of the trailers, and on no other ones. */
static void what_is_read_of_trailers(void **state)
{
    (void)state;
    put_system(0x800, 0x900);
    trace = note_read;
    memset(was_read, 0, sizeof(was_read));
    boot();
    trace = NULL;
    expect_booted(false, OLD);
    static const uint32_t ends[] = {PRIMARY + SLOT, SECONDARY + SLOT, SCRATCH + SCRATCH_SIZE};
    for (unsigned i = 0; i < 3; i++) {
        for (uint32_t distance = 1; distance <= TRAILER; distance++) {
            const bool status = i == 0 && distance > SIZE_AT && distance % 4 == 0;
            const bool read =
                distance <= MAGIC_AT || distance == IMAGE_OK_AT || distance == DONE_AT || distance == INFO_AT || status;
            if (was_read[ends[i] - distance] != read) {
                fail_msg("area %u, %u bytes before its end: %s", i, (unsigned)distance, read ? "not read" : "read");
            }
        }
    }
}

/** Slots of different sizes, or of more than 512 sectors, are never swapped. */
static void slots_that_are_not_swapped(void **state)
{
    (void)state;
    for (uint32_t sectors = 512; sectors <= 513; sectors++) {
        const uint32_t size = sectors * SECTOR;
        flash_size = sizeof(flash);
        memset(flash, 0xFF, sizeof(flash));
        put_area(0, 1, PRIMARY, size);
        put_area(1, 2, PRIMARY + size, size);
        put_area(2, 3, PRIMARY + 2 * size, SCRATCH_SIZE);
        put_image(PRIMARY, OLD, 0x800, 0);
        put_image(PRIMARY + size, NEW, 0x900, 0);
        put_magic(PRIMARY + size, size);
        boot();
        expect_booted(sectors == 512, sectors == 512 ? NEW : OLD);
        assert_int_equal(result.flash_changed, sectors == 512);
    }
}

/** What the constants say, and whether the bootloader goes by them. */
typedef struct map_row {
    const char *what;
    uint32_t areas[4][3]; /**< Id, address, size. */
    bool known;
} map_row_t;

#define P                                                                                                              \
    {                                                                                                                  \
        1, PRIMARY, SLOT                                                                                               \
    }
#define S                                                                                                              \
    {                                                                                                                  \
        2, SECONDARY, SLOT                                                                                             \
    }
#define C                                                                                                              \
    {                                                                                                                  \
        3, SCRATCH, SCRATCH_SIZE                                                                                       \
    }

static const map_row_t map_rows[] = {
    {"all three", {P, S, C, {0}}, true},
    {"in another order", {{0}, C, S, P}, true},
    {"no primary slot", {S, C, {0}, {0}}, false},
    {"no secondary slot", {P, C, {0}, {0}}, false},
    {"no scratch", {P, S, {0}, {0}}, false},
    {"the first of two counts", {P, S, C, {1, 0x30000, SLOT}}, true},
    {"ids of other areas", {{0, 0x30000, SLOT}, P, S, C}, true},
    {"an id too many", {{4, 0x30000, SLOT}, P, S, C}, true},
    {"only scratch", {C, {0}, {0}, {0}}, false},
    {"no slots, and scratch of no size", {{0}, {0}, {0}, {0}}, false},
    {"slots of different sizes", {P, {2, SECONDARY, SLOT - SECTOR}, C, {0}}, false},
    {"two sectors are no slot", {{1, PRIMARY, 2 * SECTOR}, P, S, C}, true},
    {"three sectors are one", {{1, PRIMARY, 3 * SECTOR}, P, S, C}, false},
    {"not on a sector", {{1, PRIMARY + 4, SLOT}, P, S, C}, true},
    {"not of whole sectors", {{1, PRIMARY, SLOT + 4}, P, S, C}, true},
    {"at 0", {{1, 0, SLOT}, P, S, C}, true},
    {"past the flash", {{3, FLASH_SIZE - SCRATCH_SIZE + SECTOR, SCRATCH_SIZE}, P, S, C}, true},
    {"at the end of the flash", {{3, FLASH_SIZE - SCRATCH_SIZE, SCRATCH_SIZE}, P, S, {0}}, true},
    {"slots that overlap", {P, {2, SECONDARY - SECTOR, SLOT}, C, {0}}, false},
    {"scratch in the primary slot", {P, S, {3, PRIMARY, SCRATCH_SIZE}, {0}}, false},
    {"scratch in the secondary slot", {P, S, {3, SECONDARY, SCRATCH_SIZE}, {0}}, false},
};

/** Defaults of NuttX' and Espressif's builds, for a flash that has them; the new image takes more than scratch has. */
static void put_default_system(void)
{
    flash_size = 4u << 20;
    memset(flash, 0xFF, flash_size);
    put_image(0x10000, OLD, 0x800, 0);
    put_image(0x110000, NEW, 0x41000, 0);
    put_magic(0x110000, 0x100000);
}

static void put_map(const map_row_t *row)
{
    memset(flash + LOADER + MAP, 0xFF, 48);
    for (unsigned k = 0; k < 4; k++) {
        put_area(k, row->areas[k][0], row->areas[k][1], row->areas[k][2]);
    }
}

static void slots_are_where_the_map_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(map_rows) / sizeof(map_rows[0]); i++) {
        const map_row_t *row = &map_rows[i];
        put_system(0x800, 0x900);
        ask_for(TEST);
        put_map(row);
        boot();
        const bool known = result.outcome == BOOT_SWAPS_THEN_BOOTS && flash[PRIMARY + 20] == NEW;
        if (known != row->known) {
            fail_msg("%s: %s", row->what, result.reason);
        }
        if (!row->known) { /* Then the defaults count. */
            put_default_system();
            put_map(row);
            boot();
            if (result.outcome != BOOT_SWAPS_THEN_BOOTS || flash[0x10000 + 20] != NEW) {
                fail_msg("%s: %s", row->what, result.reason);
            }
        }
    }
}

static void without_a_map_slots_are_where_nuttx_has_them(void **state)
{
    (void)state;
    static uint8_t image[0x41000];
    put_default_system();
    memcpy(image, flash + 0x110000, sizeof(image));
    memset(flash + 0x210000, 0x11, 0x40000 - SECTOR);
    flash[0x250000] = 0x22;
    boot();
    assert_int_equal(result.outcome, BOOT_SWAPS_THEN_BOOTS);
    assert_int_equal(result.app_offset, 0x10000);
    assert_memory_equal(flash + 0x10000, image, sizeof(image));
    assert_int_equal(flash[0x110000 + 20], OLD);
    /* Scratch was erased as a whole, and has what was swapped last; nothing else but the slots has changed. */
    assert_memory_equal(flash + 0x210000, image, SECTOR);
    for (uint32_t at = 0x210000 + SECTOR; at < 0x250000; at++) {
        assert_int_equal(flash[at], 0xFF);
    }
    assert_int_equal(flash[0x250000], 0x22);
    assert_int_equal(*(flash + 0x10000 + 0x100000 - DONE_AT), 1);
}

/** The bootloader's last word counts, and what comes after it does not. */
static void the_map_ends_with_the_bootloader(void **state)
{
    (void)state;
    for (uint32_t shift = 0; shift <= 4; shift += 4) {
        put_default_system();
        const uint32_t place = 0x100 - 36 + shift;
        const uint32_t areas[3][3] = {P, S, C};
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned w = 0; w < 3; w++) {
                sr_bytes_put_le32(flash + LOADER + place + 12 * k + 4 * w, areas[k][w]);
            }
        }
        memset(flash + 0x110000, 0xFF, 0x100000);
        put_image(SECONDARY, NEW, 0x900, 0);
        put_magic(SECONDARY, SLOT);
        boot();
        assert_int_equal(result.outcome, shift == 0 ? BOOT_SWAPS_THEN_BOOTS : BOOT_BOOTS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swap_exchanges_sectors_and_notes_it),
        cmocka_unit_test(a_power_loss_at_each_write_changes_nothing),
        cmocka_unit_test(a_long_image_has_its_first_status_in_scratch),
        cmocka_unit_test(what_scratch_notes_is_checked),
        cmocka_unit_test(trailers_ask_for_a_swap),
        cmocka_unit_test(a_noted_swap_is_begun_again),
        cmocka_unit_test(what_is_not_valid_is_erased),
        cmocka_unit_test(lengths_that_stop_it),
        cmocka_unit_test(images_that_are_valid),
        cmocka_unit_test(all_digests_are_compared),
        cmocka_unit_test(an_image_ends_before_the_trailer),
        cmocka_unit_test(a_full_status_is_a_swap_that_is_done),
        cmocka_unit_test(headers_of_the_loader),
        cmocka_unit_test(what_is_read_of_trailers),
        cmocka_unit_test(slots_that_are_not_swapped),
        cmocka_unit_test(slots_are_where_the_map_says),
        cmocka_unit_test(without_a_map_slots_are_where_nuttx_has_them),
        cmocka_unit_test(the_map_ends_with_the_bootloader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
