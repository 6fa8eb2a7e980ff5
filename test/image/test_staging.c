// SPDX-License-Identifier: Apache-2.0
/** @file
 * What a stream does to the place where it is staged: which sectors are erased ahead, which are written and with what,
 * what is refused before, and what is left when it is given up. The writer works on a simulated flash, and fails on
 * demand.
 */
#include "test/support/api_support.h"

#include "image/sr_staging.h"
#include "journal/sr_journal.h"
#include "port/sr_yield.h"
#include "preflight/sr_image_check.h"
#include "self_reflasher_err.h"
#include "test/support/support_small.h"
#include "test/support/support_trace.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECTOR       SR_SECTOR_SIZE
#define BLOCK        SR_BLOCK_SIZE
#define ROOM         0x30000u
#define ROOM_SIZE    (2u * BLOCK)

static struct {
    esp_err_t compare, dirty, erase_block, put, clear; /**< ESP_OK: what the writer returns. */
    uint32_t fails_at;                                 /**< Where put and clear do; 0: everywhere. */
    sr_image_check_status_t start;
    uint32_t found[4]; /**< Records. */
    esp_err_t find;    /**< When there are no more of them. */
} fake;

static esp_err_t failure(esp_err_t err, sr_writer_t *writer, uint32_t address)
{
    if (err == ESP_OK || (fake.fails_at != 0 && fake.fails_at != address)) {
        return ESP_OK;
    }
    writer->failed_address = address;
    return err;
}

WRAP(esp_err_t, sr_writer_compare, sr_writer_t *writer, const sr_writer_sector_t *sector, sr_writer_comparison_t *is)
{
    note("compare=%x ", (unsigned)sector->address);
    return fake.compare != ESP_OK ? failure(fake.compare, writer, sector->address)
                                  : __real_sr_writer_compare(writer, sector, is);
}

WRAP(esp_err_t, sr_writer_count_dirty, sr_writer_t *writer, uint32_t address, uint32_t sectors, uint32_t *dirty)
{
    note("dirty=%x+%u ", (unsigned)address, (unsigned)sectors);
    const esp_err_t err = __real_sr_writer_count_dirty(writer, address, sectors, dirty);
    return fake.dirty != ESP_OK ? failure(fake.dirty, writer, address) : err;
}

WRAP(esp_err_t, sr_writer_erase_block, sr_writer_t *writer, uint32_t address)
{
    note("erase=%x ", (unsigned)address);
    return fake.erase_block != ESP_OK ? failure(fake.erase_block, writer, address)
                                      : __real_sr_writer_erase_block(writer, address);
}

WRAP(esp_err_t, sr_writer_put, sr_writer_t *writer, const sr_writer_sector_t *sector)
{
    note("put=%x+%u ", (unsigned)sector->address, (unsigned)sector->used);
    const esp_err_t err = failure(fake.put, writer, sector->address);
    return err != ESP_OK ? err : __real_sr_writer_put(writer, sector);
}

WRAP(esp_err_t, sr_writer_clear, sr_writer_t *writer, uint32_t address, uint32_t sectors, uint8_t *scratch)
{
    note("clear=%x+%u ", (unsigned)address, (unsigned)sectors);
    const bool hit = fake.fails_at == 0 || (fake.fails_at >= address && fake.fails_at < address + sectors * SECTOR);
    if (fake.clear != ESP_OK && hit) {
        return fake.clear;
    }
    return __real_sr_writer_clear(writer, address, sectors, scratch);
}

static sr_system_t systems;

static struct {
    uint32_t length;
    unsigned calls;
} started;

WRAP(sr_image_check_status_t, sr_image_check_start, const uint8_t *start, uint32_t length, sr_region_t destination,
     const sr_chip_t *chip, sr_image_check_detail_t *detail)
{
    (void)start;
    (void)destination;
    assert_ptr_equal(chip, systems.chip);
    *detail = (sr_image_check_detail_t){0};
    started.length = length;
    started.calls++;
    return fake.start;
}

WRAP(esp_err_t, sr_journal_find, sr_journal_t *journal)
{
    note("find=%x ", (unsigned)journal->address);
    for (size_t i = 0; i < COUNT(fake.found); i++) {
        if (fake.found[i] != 0 && fake.found[i] >= journal->address) {
            journal->address = fake.found[i];
            return ESP_OK;
        }
    }
    return fake.find;
}

static uint32_t yielded;

WRAP(void, sr_yield, uint32_t bytes)
{
    yielded += bytes;
}

/* What the tests share. */

static struct {
    size_t done, total;
    unsigned calls;
} progress;

static void on_progress(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done, size_t total)
{
    assert_ptr_equal(user_ctx, &progress);
    assert_int_equal(phase, ESP_SELF_REFLASHER_PHASE_DOWNLOAD);
    progress.done = done;
    progress.total = total;
    progress.calls++;
}

static nor_flash_t *flash;
static esp_self_reflasher_config_t config;
static sr_staging_t staging;
static uint8_t image[3 * BLOCK];
static uint32_t heap_before;

static int open_chip(void **state)
{
    (void)state;
    flash = small_flash_new(&(small_layout_t){.slots = 2, .sequences = {1, 0}});
    small_app("1", nor_flash_bytes(flash) + SMALL_SLOTS);
    const sim_config_t chip = {.chip = {.chip = sr_chip_by_name("esp32")}, .flash = flash, .running_app = SMALL_SLOTS};
    assert_true(sim_chip_attach(&chip));
    memset(&fake, 0, sizeof(fake));
    clear_trace();
    memset(&progress, 0, sizeof(progress));
    memset(&started, 0, sizeof(started));
    for (size_t i = 0; i < sizeof(image); i++) {
        image[i] = (uint8_t)(i * 31 + i / 255);
    }
    assert_int_equal(sr_system_read(&systems), ESP_OK);
    config = (esp_self_reflasher_config_t){
        .flags = ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK, .progress_cb = on_progress, .user_ctx = &progress};
    memset(&staging, 0x5A, sizeof(staging)); /* Nothing but what the caller sets counts. */
    staging.system = &systems;
    staging.config = &config;
    staging.destination = (sr_region_t){0x60000, 0x40000};
    staging.room = (sr_region_t){ROOM, ROOM_SIZE};
    heap_before = sim_counters()->heap_now;
    assert_int_equal(sr_staging_open(&staging), ESP_OK);
    yielded = 0;
    return 0;
}

static int close_chip(void **state)
{
    (void)state;
    sr_staging_close(&staging);
    assert_int_equal(sim_counters()->heap_now, heap_before);
    sim_chip_detach();
    nor_flash_delete(flash);
    return 0;
}

static void reopen(void)
{
    close_chip(NULL);
    open_chip(NULL);
}

static esp_err_t begin(int64_t length)
{
    const sr_download_sink_t sink = sr_staging_sink(&staging);
    return sink.begin(sink.context, length);
}

static esp_err_t data(uint32_t offset, uint32_t length)
{
    const sr_download_sink_t sink = sr_staging_sink(&staging);
    return sink.data(sink.context, image + offset, length);
}

/** Nothing is blank, and nothing is right. */
static void fill_room(void)
{
    memset(nor_flash_bytes(flash) + ROOM - BLOCK + SECTOR, 0x42, 5u * BLOCK - SECTOR);
}

/** What is logged meanwhile. */
static char *log_of(esp_err_t (*call)(void), esp_err_t *err)
{
    api_log_start();
    *err = call();
    return api_log_stop();
}

/* Opened. */

static void staging_begins_with_nothing(void **state)
{
    (void)state;
    assert_int_equal(staging.received, 0);
    assert_int_equal(staging.written, 0);
    assert_int_equal(staging.announced, -1);
    assert_non_null(staging.buffers);
    sr_staging_close(&staging);
    assert_null(staging.buffers);
    sim_heap_fail_at(1);
    assert_int_equal(sr_staging_open(&staging), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    expect_trace("");
}

/* Lengths. */

static void length_that_does_not_fit_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    static const struct {
        uint32_t destination, room;
        uint32_t length;
        esp_err_t expected;
    } cases[] = {
        {3 * SECTOR, 4 * SECTOR, 3 * SECTOR - 1, ESP_OK},
        {3 * SECTOR, 4 * SECTOR, 3 * SECTOR, ESP_OK},
        {3 * SECTOR, 4 * SECTOR, 3 * SECTOR + 1, ESP_ERR_SELF_REFLASHER_TOO_LARGE},
        {4 * SECTOR, 3 * SECTOR, 3 * SECTOR - 1, ESP_OK},
        {4 * SECTOR, 3 * SECTOR, 3 * SECTOR, ESP_OK},
        {4 * SECTOR, 3 * SECTOR, 3 * SECTOR + 1, ESP_ERR_SELF_REFLASHER_STAGING_SMALL},
        {3 * SECTOR, 3 * SECTOR, 3 * SECTOR + 1, ESP_ERR_SELF_REFLASHER_TOO_LARGE},
        {0, 3 * SECTOR, 1, ESP_ERR_SELF_REFLASHER_TOO_LARGE},
        {1, 3 * SECTOR, 1, ESP_OK},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (unsigned announced = 0; announced < 2; announced++) {
            reopen();
            staging.destination.size = cases[i].destination;
            staging.room.size = cases[i].room;
            const esp_err_t err = announced != 0 ? begin(cases[i].length) : data(0, cases[i].length);
            assert_int_equal(err, cases[i].expected);
            if (err != ESP_OK) {
                expect_trace("");
                assert_int_equal(staging.received, 0);
            } else if (announced == 0) {
                assert_int_equal(staging.received, cases[i].length);
                /* And not one byte more, which comes alone. */
                const uint32_t most = cases[i].destination < cases[i].room ? cases[i].destination : cases[i].room;
                assert_int_equal(data(0, most - cases[i].length), ESP_OK);
                assert_int_not_equal(data(0, 1), ESP_OK);
            }
        }
    }
    assert_int_equal(begin(-1), ESP_OK);
    assert_int_equal(staging.announced, -1);
    assert_int_equal(begin(0), ESP_OK);
}

/* Data. */

/* In pieces of any size; what follows the last byte is blank. */
static void stream_is_written_sector_by_sector(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {1, SECTOR - 1, SECTOR, SECTOR + 1, 2 * SECTOR, 2 * SECTOR + 1, BLOCK + 77};
    static const uint32_t pieces[] = {1000, SECTOR - 1, SECTOR, SECTOR + 1, 3 * SECTOR};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (size_t k = 0; k < COUNT(pieces); k++) {
            const uint32_t length = lengths[i];
            reopen();
            fill_room();
            assert_int_equal(begin(-1), ESP_OK);
            for (uint32_t at = 0; at < length; at += pieces[k]) {
                assert_int_equal(data(at, length - at < pieces[k] ? length - at : pieces[k]), ESP_OK);
                /* Each sector when it is whole. */
                assert_int_equal(staging.written, staging.received / SECTOR * SECTOR);
                assert_int_equal(progress.calls, staging.received / SECTOR);
            }
            assert_int_equal(data(0, 0), ESP_OK);
            assert_int_equal(staging.received, length);
            assert_int_equal(sr_staging_finish(&staging), ESP_OK);
            assert_int_equal(staging.received, length);
            const uint32_t end = (length + SECTOR - 1) / SECTOR * SECTOR;
            assert_int_equal(staging.written, end);
            assert_int_equal(progress.done, length);
            assert_int_equal(progress.total, length);
            const uint8_t *is = nor_flash_view(flash) + ROOM;
            assert_memory_equal(is, image, length);
            for (uint32_t at = length; at < end; at++) {
                assert_int_equal(is[at], 0xFF);
            }
            assert_int_equal(yielded, end / SECTOR * SR_YIELD_WRITE);
            assert_int_equal(started.calls, 0);
        }
    }
}

static void each_sector_is_put_once(void **state)
{
    (void)state;
    staging.room.address += SECTOR; /* No block of its own. */
    staging.room.size = 4 * SECTOR;
    assert_int_equal(data(0, 2 * SECTOR + 5), ESP_OK);
    expect_trace("put=31000+4096 put=32000+4096 ");
    assert_int_equal(sr_staging_finish(&staging), ESP_OK);
    expect_trace("put=33000+5 ");
    reopen();
    staging.room.address += SECTOR;
    staging.room.size = 4 * SECTOR;
    assert_int_equal(data(0, SECTOR), ESP_OK);
    assert_int_equal(sr_staging_finish(&staging), ESP_OK);
    expect_trace("put=31000+4096 ");
    reopen();
    assert_int_equal(sr_staging_finish(&staging), ESP_OK); /* Of nothing. */
    expect_trace("");
}

static void progress_tells_the_announced_length(void **state)
{
    (void)state;
    static const struct {
        int64_t announced;
        size_t total;
    } cases[] = {{-1, 0}, {0, 0}, {1, 1}, {2, 2}, {2 * SECTOR, 2 * SECTOR}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        reopen();
        assert_int_equal(begin(cases[i].announced), ESP_OK);
        assert_int_equal(data(0, SECTOR), ESP_OK);
        assert_int_equal(progress.calls, 1);
        assert_int_equal(progress.done, SECTOR);
        assert_int_equal(progress.total, cases[i].total);
        assert_int_equal(sr_staging_finish(&staging), ESP_OK);
        assert_int_equal(progress.calls, 2);
        assert_int_equal(progress.total, SECTOR);
    }
}

static void first_sector_is_checked_before_it_is_written(void **state)
{
    (void)state;
    static const struct {
        sr_image_check_status_t status;
        esp_err_t expected;
    } cases[] = {{SR_IMAGE_CHECK_OK, ESP_OK},
                 {SR_IMAGE_CHECK_NOT_BOOTLOADER, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER},
                 {SR_IMAGE_CHECK_WRONG_CHIP, ESP_ERR_SELF_REFLASHER_WRONG_CHIP}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (uint32_t length = 5; length <= 2 * SECTOR + 5; length += SECTOR) {
            reopen();
            config.flags = 0;
            fake.start = cases[i].status;
            esp_err_t err = data(0, length);
            if (err == ESP_OK) {
                err = sr_staging_finish(&staging);
            }
            assert_int_equal(err, cases[i].expected);
            assert_int_equal(started.calls, 1);
            assert_int_equal(started.length, length < SECTOR ? length : SECTOR);
            assert_int_equal(strstr(traced, "put=") != NULL, err == ESP_OK);
            assert_int_equal(staging.written, err == ESP_OK ? (length + SECTOR - 1) / SECTOR * SECTOR : 0);
            assert_int_equal(progress.calls, err == ESP_OK ? (length + SECTOR - 1) / SECTOR + 1 : 0);
        }
    }
}

/* Erasing ahead. */

/* A block that is part of the room, whose first sector is wrong and holds something, with enough like it. */
static void block_is_erased_ahead_if_that_is_quicker(void **state)
{
    (void)state;
    enum { WRONG, RIGHT, BLANK };
    static const struct {
        uint32_t shift, size; /* Of the room. */
        int64_t announced;
        int first;
        uint32_t dirty; /* Sectors of the block that hold anything, the first one included. */
        const char *trace;
    } cases[] = {
        {0, BLOCK, -1, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, BLOCK - SECTOR, -1, WRONG, 16, "put=30000+4096 "},
        {SECTOR, BLOCK, -1, WRONG, 16, "put=31000+4096 "},
        {SECTOR, 2 * BLOCK, -1, WRONG, 16, "put=31000+4096 "},
        {0, BLOCK, -1, RIGHT, 16, "compare=30000 put=30000+4096 "},
        {0, BLOCK, -1, BLANK, 16, "compare=30000 put=30000+4096 "},
        {0, BLOCK, -1, WRONG, 5, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, BLOCK, -1, WRONG, 4, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, BLOCK, -1, WRONG, 3, "compare=30000 dirty=30000+16 put=30000+4096 "},
        {0, BLOCK, 3 * SECTOR, WRONG, 16, "compare=30000 dirty=30000+3 put=30000+4096 "},
        {0, BLOCK, 3 * SECTOR + 1, WRONG, 16, "compare=30000 dirty=30000+4 erase=30000 put=30000+4096 "},
        {0, BLOCK, 1, WRONG, 16, "compare=30000 dirty=30000+1 put=30000+4096 "},
        {0, BLOCK, 2, WRONG, 16, "compare=30000 dirty=30000+1 put=30000+4096 "},
        {0, BLOCK, SECTOR, WRONG, 16, "compare=30000 dirty=30000+1 put=30000+4096 "},
        {0, BLOCK, SECTOR + 1, WRONG, 16, "compare=30000 dirty=30000+2 put=30000+4096 "},
        {0, BLOCK, BLOCK - SECTOR, WRONG, 16, "compare=30000 dirty=30000+15 erase=30000 put=30000+4096 "},
        {0, BLOCK, BLOCK - SECTOR + 1, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, BLOCK, BLOCK - 1, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, BLOCK, BLOCK, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, 3 * BLOCK, BLOCK + 1, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
        {0, 3 * BLOCK, 3 * BLOCK, WRONG, 16, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        reopen();
        fill_room();
        staging.room = (sr_region_t){ROOM + cases[i].shift, cases[i].size};
        uint8_t *at = nor_flash_bytes(flash) + ROOM;
        memset(at + cases[i].dirty * SECTOR, 0xFF, BLOCK - cases[i].dirty * SECTOR);
        if (cases[i].first == RIGHT) {
            memcpy(at, image, SECTOR);
        } else if (cases[i].first == BLANK) {
            memset(at, 0xFF, SECTOR);
        }
        assert_int_equal(begin(cases[i].announced), ESP_OK);
        assert_int_equal(data(0, SECTOR), ESP_OK);
        expect_trace(cases[i].trace);
    }
}

/* What is left of the image counts, not all of it. */
static void rest_of_the_image_fills_the_last_block(void **state)
{
    (void)state;
    fill_room();
    assert_int_equal(begin(BLOCK + 2 * SECTOR), ESP_OK);
    assert_int_equal(data(0, BLOCK), ESP_OK);
    clear_trace();
    assert_int_equal(data(BLOCK, SECTOR), ESP_OK);
    expect_trace("compare=40000 dirty=40000+2 put=40000+4096 ");
}

static esp_err_t put_one(void)
{
    return data(0, SECTOR);
}

static void each_error_of_the_writer_ends_the_stream(void **state)
{
    (void)state;
    static const struct {
        esp_err_t compare, dirty, erase_block, put;
        const char *trace;
    } cases[] = {
        {0x101, 0, 0, 0, "compare=30000 "},
        {0, 0x101, 0, 0, "compare=30000 dirty=30000+16 "},
        {0, 0, 0x101, 0, "compare=30000 dirty=30000+16 erase=30000 "},
        {0, 0, 0, 0x101, "compare=30000 dirty=30000+16 erase=30000 put=30000+4096 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        esp_err_t err;
        reopen();
        fill_room();
        fake.compare = cases[i].compare;
        fake.dirty = cases[i].dirty;
        fake.erase_block = cases[i].erase_block;
        fake.put = cases[i].put;
        char *log = log_of(put_one, &err);
        assert_int_equal(err, 0x101);
        expect_trace(cases[i].trace);
        api_assert_error_line(log, "staging, sector 0x30000: ESP_ERR_NO_MEM", NULL);
        free(log);
        assert_int_equal(progress.calls, 0);
        assert_int_equal(staging.written, SECTOR); /* It may hold some of it. */
        assert_int_equal(staging.received, SECTOR);
    }
    reopen();
    esp_err_t err;
    char *log = log_of(put_one, &err);
    assert_int_equal(err, ESP_OK);
    assert_null(strstr(log, "staging, sector"));
    free(log);
    /* The last one, that is not whole. */
    assert_int_equal(data(0, 5), ESP_OK);
    fake.put = ESP_ERR_SELF_REFLASHER_VERIFY;
    const unsigned calls = progress.calls;
    assert_int_equal(sr_staging_finish(&staging), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(progress.calls, calls);
    /* And one in the middle of a piece: the rest of that is not taken any more. */
    reopen();
    fake.put = ESP_ERR_SELF_REFLASHER_VERIFY;
    fake.fails_at = ROOM + SECTOR;
    assert_int_equal(data(0, 4 * SECTOR), ESP_ERR_SELF_REFLASHER_VERIFY);
    assert_int_equal(staging.received, 2 * SECTOR);
}

/* Given up. */

static void refusals_are_those_that_another_download_would_meet(void **state)
{
    (void)state;
    static const esp_err_t refusals[] = {
        ESP_ERR_SELF_REFLASHER_TOO_LARGE,      ESP_ERR_SELF_REFLASHER_STAGING_SMALL, ESP_ERR_SELF_REFLASHER_SHA256,
        ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, ESP_ERR_SELF_REFLASHER_WRONG_CHIP,    ESP_ERR_SELF_REFLASHER_CHECKSUM,
        ESP_ERR_SELF_REFLASHER_DIGEST,         ESP_ERR_SELF_REFLASHER_FLASH_SIZE,    ESP_ERR_SELF_REFLASHER_REVISION,
        ESP_ERR_SELF_REFLASHER_NOT_SIGNED,
    };
    static const esp_err_t others[] = {ESP_OK,
                                       ESP_FAIL,
                                       ESP_ERR_NO_MEM,
                                       ESP_ERR_HTTP_EAGAIN,
                                       ESP_ERR_SELF_REFLASHER_SHORT_BODY,
                                       ESP_ERR_SELF_REFLASHER_EMPTY_BODY,
                                       ESP_ERR_SELF_REFLASHER_HTTP_STATUS,
                                       ESP_ERR_SELF_REFLASHER_VERIFY,
                                       ESP_ERR_SELF_REFLASHER_TOO_SLOW,
                                       ESP_ERR_SELF_REFLASHER_DOWNGRADE};
    for (size_t i = 0; i < COUNT(refusals); i++) {
        assert_true(sr_staging_is_refusal(refusals[i]));
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_false(sr_staging_is_refusal(others[i]));
    }
}

static void assert_blank(uint32_t address, uint32_t end)
{
    for (uint32_t at = address; at < end; at++) {
        if (nor_flash_view(flash)[at] != 0xFF) {
            fail_msg("0x%x is not blank", at);
        }
    }
    assert_int_equal(nor_flash_view(flash)[end], 0x42);
}

/* From its start to its end, a block at a time, and not a sector more. */
static void refused_image_is_erased(void **state)
{
    (void)state;
    static const struct {
        uint32_t address, written;
        const char *clears;
    } cases[] = {
        {ROOM, 0, ""},
        {ROOM, SECTOR, "clear=30000+1 "},
        {ROOM, BLOCK, "clear=30000+16 "},
        {ROOM, BLOCK + SECTOR, "clear=30000+16 clear=40000+1 "},
        {ROOM + SECTOR, BLOCK, "clear=31000+15 clear=40000+1 "},
        {ROOM + 15 * SECTOR, SECTOR, "clear=3f000+1 "},
        {ROOM + 15 * SECTOR, 2 * SECTOR, "clear=3f000+1 clear=40000+1 "},
        {0x40000, 2 * BLOCK, "clear=40000+16 clear=50000+16 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        reopen();
        fill_room();
        staging.room.address = cases[i].address;
        staging.written = cases[i].written;
        sr_staging_give_up(&staging, ESP_ERR_SELF_REFLASHER_SHA256);
        unsigned blocks = 0;
        for (const char *at = cases[i].clears; (at = strstr(at, "clear=")) != NULL; at++) {
            blocks++;
        }
        assert_int_equal(yielded, blocks * SR_YIELD_BYTES);
        expect_trace(cases[i].clears);
        assert_blank(cases[i].address, cases[i].address + cases[i].written);
        assert_int_equal(nor_flash_view(flash)[cases[i].address - 1], 0x42);
    }
}

static esp_err_t give_up_refused(void)
{
    sr_staging_give_up(&staging, ESP_ERR_SELF_REFLASHER_SHA256);
    return ESP_OK;
}

static esp_err_t give_up_broken(void)
{
    sr_staging_give_up(&staging, ESP_ERR_HTTP_EAGAIN);
    return ESP_OK;
}

/* One by one, where it does not go as a whole; each that cannot be erased is told, and only those. */
static void what_can_be_erased_of_a_refused_image_is(void **state)
{
    (void)state;
    esp_err_t err;
    fill_room();
    staging.written = BLOCK + 2 * SECTOR;
    fake.clear = ESP_ERR_SELF_REFLASHER_VERIFY;
    fake.fails_at = 0x41000;
    char *log = log_of(give_up_refused, &err);
    expect_trace("clear=30000+16 clear=40000+2 clear=40000+1 clear=41000+1 ");
    api_assert_error_line(log, "staging, sector 0x41000 cannot be erased: ESP_ERR_SELF_REFLASHER_VERIFY", NULL);
    assert_null(strstr(log, "0x40000"));
    assert_null(strstr(log, "0x42000"));
    free(log);
    assert_int_equal(yielded, 2 * SR_YIELD_BYTES + 2 * SR_YIELD_WRITE);
    assert_blank(ROOM, 0x41000);
    /* The first of several blocks. */
    reopen();
    fill_room();
    staging.room.address = 0x3E000;
    staging.written = 3 * SECTOR;
    fake.clear = ESP_ERR_SELF_REFLASHER_VERIFY;
    fake.fails_at = 0x3E000;
    free(log_of(give_up_refused, &err));
    expect_trace("clear=3e000+2 clear=3e000+1 clear=3f000+1 clear=40000+1 ");
    assert_blank(0x3F000, 0x41000);
}

/* What has arrived is a start for the next attempt, but no bootloader takes it for an app, and nobody for a record. */
static void download_that_broke_off_leaves_all_but_its_first_sector_and_marks(void **state)
{
    (void)state;
    static const struct {
        uint32_t written;
        uint32_t found[4];
        const char *clears;
    } cases[] = {
        {0, {ROOM}, ""},
        {SECTOR, {0}, "clear=30000+1 find=30000 "},
        {4 * SECTOR, {0x33000, 0}, "clear=30000+1 find=30000 clear=33000+1 find=34000 "},
        {4 * SECTOR, {0x31000, 0x32000}, "clear=30000+1 find=30000 clear=31000+1 find=32000 clear=32000+1 find=33000 "},
        {4 * SECTOR, {0x34000}, "clear=30000+1 find=30000 "}, /* Just past what was written. */
        {4 * SECTOR, {0x32000, 0x38000}, "clear=30000+1 find=30000 clear=32000+1 find=33000 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        esp_err_t err;
        reopen();
        fill_room();
        staging.written = cases[i].written;
        memcpy(fake.found, cases[i].found, sizeof(fake.found));
        fake.find = ESP_ERR_NOT_FOUND;
        char *log = log_of(give_up_broken, &err);
        expect_trace(cases[i].clears);
        assert_null(strstr(log, "cannot be"));
        free(log);
        assert_int_equal(nor_flash_view(flash)[ROOM], cases[i].written > 0 ? 0xFF : 0x42);
    }
}

static void search_for_marks_that_fails_is_told(void **state)
{
    (void)state;
    esp_err_t err;
    staging.written = SECTOR;
    fake.find = ESP_ERR_INVALID_CRC;
    char *log = log_of(give_up_broken, &err);
    api_assert_error_line(log, "staging cannot be searched for records: ESP_ERR_INVALID_CRC", NULL);
    free(log);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_chip, close_chip)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(staging_begins_with_nothing),
        TEST(length_that_does_not_fit_is_refused_before_anything_is_written),
        TEST(stream_is_written_sector_by_sector),
        TEST(each_sector_is_put_once),
        TEST(progress_tells_the_announced_length),
        TEST(first_sector_is_checked_before_it_is_written),
        TEST(block_is_erased_ahead_if_that_is_quicker),
        TEST(rest_of_the_image_fills_the_last_block),
        TEST(each_error_of_the_writer_ends_the_stream),
        TEST(refusals_are_those_that_another_download_would_meet),
        TEST(refused_image_is_erased),
        TEST(what_can_be_erased_of_a_refused_image_is),
        TEST(download_that_broke_off_leaves_all_but_its_first_sector_and_marks),
        TEST(search_for_marks_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
