// SPDX-License-Identifier: Apache-2.0
/** @file
 * From chunks to sectors: every sector of real bundles in every order, damage anywhere, and memory.
 */
#include "test/support/api_support.h"

#include "bundle/sr_decoder.h"

#include "format/sr_digest.h"
#include "make/bundle_writer.h"
#include "make/dummy_image.h"
#include "sim/chip/sim_state.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR  SR_SECTOR_SIZE
#define SECTORS 40u
#define REGION  API_OTA_0

/** Sectors of every kind, the bundle of them in flash, and a decoder on it. */
typedef struct fixture {
    api_chip_t chip;
    uint8_t data[SECTORS * SECTOR];
    uint8_t *manifest;
    uint32_t size;
    sr_bundle_t bundle;
    sr_source_t source;
    sr_decoder_t decoder;
} fixture_t;

static fixture_t fixture;

/* Text, zeroes, noise, blank ones in between and at the ends of chunks. */
static void make_data(uint8_t *data)
{
    uint64_t random = 7;
    memset(data, 0xFF, SECTORS * SECTOR);
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint8_t *sector = data + i * SECTOR;
        switch (i % 5) {
        case 0:
            for (uint32_t k = 0; k < SECTOR; k++) {
                sector[k] = (uint8_t) "the same words again and again "[(k + i) % 31];
            }
            break;
        case 1:
            for (uint32_t k = 0; k < SECTOR; k++) {
                sector[k] = (uint8_t)api_random(&random);
            }
            break;
        case 2:
            memset(sector, 0, SECTOR);
            sector[i] = 1;
            break;
        case 3:
            break; /* Blank. */
        default:
            memcpy(sector, sector - 4 * SECTOR, SECTOR); /* Equal to another one, further back than the window. */
            sector[0] ^= 1;
            break;
        }
    }
    /* One chunk of nothing but noise, which is stored. */
    for (uint32_t k = 16 * SECTOR; k < 32 * SECTOR; k++) {
        data[k] = (uint8_t)api_random(&random);
    }
}

static void open_decoder(void)
{
    fixture.source = (sr_source_t){.flash = {.size = API_FLASH_SIZE}, .region = {API_DATA, fixture.size}};
    assert_int_equal(sr_source_open(&fixture.source), ESP_OK);
    assert_int_equal(sr_decoder_open(&fixture.decoder, &fixture.bundle, &fixture.source), ESP_OK);
}

static void close_decoder(void)
{
    sr_decoder_close(&fixture.decoder);
    sr_source_close(&fixture.source);
}

static int setup(void **state)
{
    (void)state;
    size_t size = 0;
    fixture = (fixture_t){.size = 0};
    make_data(fixture.data);
    const bundle_region_t region = {
        .place = {REGION, SECTORS * SECTOR}, .data = fixture.data, .length = sizeof(fixture.data)};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = &region,
                                .region_count = 1};
    assert_int_equal(bundle_write(&spec, &fixture.manifest, &size), BUNDLE_WRITE_OK);
    fixture.size = (uint32_t)size;
    assert_int_equal(sr_bundle_parse(fixture.manifest, fixture.size, &fixture.bundle), SR_BUNDLE_OK);
    api_chip_open(&fixture.chip, NULL);
    api_chip_put(&fixture.chip, API_DATA, fixture.manifest, size);
    open_decoder();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_decoder();
    free(fixture.manifest);
    api_chip_close(&fixture.chip);
    return 0;
}

static bool is_blank(uint32_t index)
{
    return sr_bundle_is_blank(sr_bundle_digest(&fixture.bundle, index));
}

static void check(uint32_t index)
{
    uint8_t *sector = NULL;
    assert_int_equal(sr_decoder_get(&fixture.decoder, index, 0, &sector), ESP_OK);
    assert_memory_equal(sector, fixture.data + index * SECTOR, SECTOR);
}

static void bundle_has_chunks_of_both_kinds_and_blank_sectors(void **state)
{
    (void)state;
    unsigned stored = 0;
    unsigned blank = 0;
    for (uint32_t i = 0; i < fixture.bundle.chunk_count; i++) {
        stored += sr_bundle_chunk(&fixture.bundle, i).encoding == SR_BUNDLE_STORED;
    }
    for (uint32_t i = 0; i < SECTORS; i++) {
        blank += is_blank(i);
    }
    assert_int_equal(fixture.bundle.digest_count, SECTORS);
    assert_true(stored > 0 && stored < fixture.bundle.chunk_count);
    assert_true(blank >= 4);
}

static void sectors_come_in_any_order(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (uint32_t i = 0; i < SECTORS; i++) {
        if (!is_blank(i)) {
            check(i);
        }
    }
    for (uint32_t i = SECTORS; i > 0; i--) {
        if (!is_blank(i - 1)) {
            check(i - 1);
        }
    }
    for (unsigned i = 0; i < 300; i++) {
        const uint32_t index = (uint32_t)(api_random(&random) % SECTORS);
        if (!is_blank(index)) {
            check(index);
        }
    }
}

/* In order, each byte is read once, and the same sector again costs nothing. */
static void ascending_order_reads_every_byte_once(void **state)
{
    (void)state;
    uint32_t chunks = 0;
    for (uint32_t i = 0; i < fixture.bundle.chunk_count; i++) {
        chunks += sr_bundle_chunk(&fixture.bundle, i).length;
    }
    nor_flash_reset_stats(fixture.chip.flash);
    for (uint32_t i = 0; i < SECTORS; i++) {
        for (unsigned again = 0; again < 3 && !is_blank(i); again++) {
            check(i);
        }
    }
    assert_int_equal(nor_flash_stats(fixture.chip.flash).bytes_read, chunks);
}

static void damage_is_never_handed_out(void **state)
{
    (void)state;
    const sr_bundle_chunk_t first = sr_bundle_chunk(&fixture.bundle, 0);
    uint8_t *bytes = nor_flash_bytes(fixture.chip.flash) + API_DATA;
    unsigned noticed = 0;
    for (uint32_t offset = first.offset; offset < fixture.size; offset += 97) {
        unsigned wrong = 0;
        bytes[offset] ^= (uint8_t)(1u << offset % 8);
        for (uint32_t i = 0; i < SECTORS; i++) {
            uint8_t *sector = NULL;
            if (is_blank(i)) {
                continue;
            }
            const esp_err_t err = sr_decoder_get(&fixture.decoder, i, 0, &sector);
            if (err == ESP_OK) {
                assert_memory_equal(sector, fixture.data + i * SECTOR, SECTOR);
            } else {
                assert_int_equal(err, ESP_ERR_SELF_REFLASHER_CHUNK);
                wrong++;
            }
        }
        bytes[offset] ^= (uint8_t)(1u << offset % 8);
        assert_true(wrong <= SR_BUNDLE_CHUNK_SECTORS);
        noticed += wrong > 0;
    }
    assert_true(noticed > 0);
    /* No damage stays: the same decoder goes on. */
    for (uint32_t i = 0; i < SECTORS; i++) {
        if (!is_blank(i)) {
            check(i);
        }
    }
}

/* Every byte of the chunks counts: either some sector differs, or the chunk does not end where it must. */
static void every_damaged_byte_is_noticed(void **state)
{
    (void)state;
    uint8_t *bytes = nor_flash_bytes(fixture.chip.flash) + API_DATA;
    for (uint32_t c = 0; c < fixture.bundle.chunk_count; c++) {
        const sr_bundle_chunk_t chunk = sr_bundle_chunk(&fixture.bundle, c);
        for (uint32_t k = 0; k < chunk.length; k += 61) {
            bool failed = false;
            bytes[chunk.offset + k] ^= 0xFF;
            for (uint32_t i = chunk.first_digest; i < chunk.first_digest + chunk.sector_count && !failed; i++) {
                uint8_t *sector = NULL;
                failed = !is_blank(i) && sr_decoder_get(&fixture.decoder, i, 0, &sector) != ESP_OK;
            }
            bytes[chunk.offset + k] ^= 0xFF;
            if (!failed) {
                fail_msg("byte %u of chunk %u", k, c);
            }
        }
    }
}

/* A chunk that is shorter or longer than its content, as no writer makes it. */
static void chunk_must_end_where_its_last_sector_ends(void **state)
{
    (void)state;
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(&fixture.bundle, 0);
    uint8_t *manifest = fixture.manifest;
    uint32_t last = chunk.first_digest + chunk.sector_count - 1;
    uint8_t *sector = NULL;
    while (is_blank(last)) {
        last--;
    }
    assert_int_equal(chunk.encoding, SR_BUNDLE_DEFLATE);
    /* In the row, which starts with the offset, the length comes next. */
    uint8_t *row = NULL;
    for (uint8_t *at = manifest; row == NULL && at < manifest + fixture.bundle.manifest_size; at += 4) {
        uint32_t words[2];
        memcpy(words, at, sizeof(words));
        row = words[0] == chunk.offset && words[1] == chunk.length ? at : NULL;
    }
    assert_non_null(row);
    for (int change = -1; change <= 1; change += 2) {
        const uint32_t length = (uint32_t)((int)chunk.length + change);
        memcpy(row + 4, &length, sizeof(length));
        assert_int_equal(sr_bundle_chunk(&fixture.bundle, 0).length, length);
        assert_int_equal(sr_decoder_get(&fixture.decoder, last, 0, &sector), ESP_ERR_SELF_REFLASHER_CHUNK);
    }
    memcpy(row + 4, &chunk.length, sizeof(chunk.length));
    check(last);
}

/* Damage in transit, not at the source: the chunk is fetched once more. */

typedef struct damage {
    uint32_t address;
    uint32_t times;
} damage_t;

static damage_t damage;
static uint32_t reads_to_failure; /**< The read with this number fails, from 1; 0: none. */
esp_err_t __real_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);
esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length);

esp_err_t __wrap_esp_flash_read(esp_flash_t *flash, void *buffer, uint32_t address, uint32_t length)
{
    if (reads_to_failure > 0 && --reads_to_failure == 0) {
        return ESP_ERR_TIMEOUT;
    }
    const esp_err_t err = __real_esp_flash_read(flash, buffer, address, length);
    if (damage.times > 0 && damage.address >= address && damage.address < address + length) {
        ((uint8_t *)buffer)[damage.address - address] ^= 0x40;
        damage.times--;
    }
    return err;
}

static void chunk_that_was_damaged_on_the_way_is_fetched_once_more(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < fixture.bundle.chunk_count; c++) {
        const sr_bundle_chunk_t chunk = sr_bundle_chunk(&fixture.bundle, c);
        const uint32_t address = API_DATA + chunk.offset + chunk.length / 2;
        uint32_t last = chunk.first_digest + chunk.sector_count - 1;
        uint8_t *sector = NULL;
        while (is_blank(last)) {
            last--;
        }
        damage = (damage_t){address, 1};
        check(last);
        assert_int_equal(damage.times, 0);
        check(chunk.first_digest); /* So that the next call starts the chunk again. */
        damage = (damage_t){address, 2};
        assert_int_equal(sr_decoder_get(&fixture.decoder, last, 0, &sector), ESP_ERR_SELF_REFLASHER_CHUNK);
        assert_int_equal(damage.times, 0);
        check(last);
    }
}

static void error_of_the_source_is_handed_up(void **state)
{
    (void)state;
    uint8_t *sector = NULL;
    const sr_bundle_chunk_t last = sr_bundle_chunk(&fixture.bundle, fixture.bundle.chunk_count - 1);
    fixture.source.region.size = last.offset + last.length - 1;
    assert_int_equal(sr_decoder_get(&fixture.decoder, last.first_digest, 0, &sector), ESP_ERR_INVALID_SIZE);
    fixture.source.region.size++;
    check(last.first_digest);
}

/* In a stored chunk and in one that is not. */
static void error_of_a_read_is_handed_up(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SECTORS; i++) {
        uint8_t *sector = NULL;
        if (is_blank(i)) {
            continue;
        }
        close_decoder();
        open_decoder();
        reads_to_failure = 1;
        assert_int_equal(sr_decoder_get(&fixture.decoder, i, 0, &sector), ESP_ERR_TIMEOUT);
        reads_to_failure = 0;
        check(i);
    }
}

static uint8_t heap_fill; /**< What memory holds that was allocated. */

static void nothing_is_kept_at_first_whatever_memory_holds(void **state)
{
    (void)state;
    close_decoder();
    heap_fill = 1;
    open_decoder();
    heap_fill = 0;
    check(0);
    check(16);
    sr_decoder_drop(&fixture.decoder);
    check(SECTORS - 1);
}

static void memory_is_limited_and_may_be_missing(void **state)
{
    (void)state;
    close_decoder();
    sim_heap_fail_at(1);
    assert_int_equal(sr_decoder_open(&fixture.decoder, &fixture.bundle, &fixture.source), ESP_ERR_NO_MEM);
    sim_heap_fail_at(0);
    sr_decoder_close(&fixture.decoder);
    api_assert_no_leak(0);
    open_decoder();
    /* Pointers are wider here than on the chip. */
    assert_true(sim_counters()->heap_now <= SR_DECODER_MAX_HEAP + 1024);
}

/* Adjacent chunks travel in one request. */
static void fetch_end_saves_requests(void **state)
{
    (void)state;
    api_server_t server;
    esp_http_client_config_t http = {.timeout_ms = 5000, .keep_alive_enable = true};
    size_t requests[2];
    close_decoder();
    api_server_start(&server);
    api_server_put(&server, "b.srb", (api_image_t){fixture.manifest, fixture.size});
    http.url = api_server_url(&server, "/b.srb");
    for (unsigned together = 0; together < 2; together++) {
        fixture.source = (sr_source_t){.http = &http};
        assert_int_equal(sr_source_open(&fixture.source), ESP_OK);
        assert_int_equal(sr_decoder_open(&fixture.decoder, &fixture.bundle, &fixture.source), ESP_OK);
        const size_t before = http_server_requests(&server.http);
        for (uint32_t i = 0; i < SECTORS; i++) {
            uint8_t *sector = NULL;
            if (!is_blank(i)) {
                assert_int_equal(sr_decoder_get(&fixture.decoder, i, together ? fixture.size : 0, &sector), ESP_OK);
                assert_memory_equal(sector, fixture.data + i * SECTOR, SECTOR);
            }
        }
        requests[together] = http_server_requests(&server.http) - before;
        close_decoder();
    }
    assert_int_equal(requests[0], fixture.bundle.chunk_count);
    assert_int_equal(requests[1], 1);
    api_server_stop(&server);
    open_decoder();
}

/* Bundles of one region. */

static void replace_bundle(const uint8_t *data, uint32_t sectors)
{
    size_t size = 0;
    close_decoder();
    free(fixture.manifest);
    const bundle_region_t region = {
        .place = {REGION, sectors * SECTOR}, .data = data, .length = (size_t)sectors * SECTOR};
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = &region,
                                .region_count = 1};
    assert_int_equal(bundle_write(&spec, &fixture.manifest, &size), BUNDLE_WRITE_OK);
    fixture.size = (uint32_t)size;
    assert_int_equal(sr_bundle_parse(fixture.manifest, fixture.size, &fixture.bundle), SR_BUNDLE_OK);
    memcpy(nor_flash_bytes(fixture.chip.flash) + API_DATA, fixture.manifest, size);
    open_decoder();
}

/* Also one byte more than what is read at once, and fewer than that. */
static void chunks_of_any_length(void **state)
{
    (void)state;
    static uint8_t data[2 * SECTOR];
    uint64_t random = 11;
    bool seen[3] = {false};
    for (unsigned i = 0; i < 1000; i++) {
        memset(data, 0, sizeof(data));
        for (unsigned k = 0; k < 20 + i % 10; k++) {
            data[api_random(&random) % sizeof(data)] = (uint8_t)api_random(&random);
        }
        data[sizeof(data) - 1] = (uint8_t)(i + 1); /* Something that the last byte is for. */
        data[sizeof(data) - 2] = (uint8_t)(i >> 3);
        replace_bundle(data, 2);
        const uint32_t length = sr_bundle_chunk(&fixture.bundle, 0).length;
        assert_int_equal(sr_bundle_chunk(&fixture.bundle, 0).encoding, SR_BUNDLE_DEFLATE);
        if (length < 127 || length > 129) {
            continue;
        }
        seen[length - 127] = true;
        for (uint32_t k = 0; k < 2; k++) {
            uint8_t *sector = NULL;
            assert_int_equal(sr_decoder_get(&fixture.decoder, k, 0, &sector), ESP_OK);
            assert_memory_equal(sector, data + k * SECTOR, SECTOR);
        }
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

/* Where its length stands in the row of a chunk. */
static uint8_t *length_in_row(const sr_bundle_chunk_t *chunk)
{
    for (uint8_t *at = fixture.manifest; at < fixture.manifest + fixture.bundle.manifest_size; at += 4) {
        uint32_t words[2];
        memcpy(words, at, sizeof(words));
        if (words[0] == chunk->offset && words[1] == chunk->length) {
            return at + 4;
        }
    }
    fail();
    return NULL;
}

/* The first digest after it is that of a blank sector. */
static void chunk_ends_in_front_of_a_blank_sector(void **state)
{
    (void)state;
    static uint8_t data[18 * SECTOR];
    uint8_t *sector = NULL;
    memset(data, 0x33, sizeof(data));
    memset(data + 16 * SECTOR, 0xFF, SECTOR);
    replace_bundle(data, 18);
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(&fixture.bundle, 0);
    assert_int_equal(chunk.sector_count, 16);
    assert_int_equal(sr_decoder_get(&fixture.decoder, 15, 0, &sector), ESP_OK);
    const uint32_t length = chunk.length + 1;
    memcpy(length_in_row(&chunk), &length, sizeof(length));
    assert_int_equal(sr_decoder_get(&fixture.decoder, 14, 0, &sector), ESP_OK);
    assert_int_equal(sr_decoder_get(&fixture.decoder, 15, 0, &sector), ESP_ERR_SELF_REFLASHER_CHUNK);
}

/* What the source is told, and the idle task's turn. */

static uint32_t seek_offset, seek_end, yielded;

void __real_sr_source_seek(sr_source_t *source, uint32_t offset, uint32_t end);
void __wrap_sr_source_seek(sr_source_t *source, uint32_t offset, uint32_t end);

void __wrap_sr_source_seek(sr_source_t *source, uint32_t offset, uint32_t end)
{
    seek_offset = offset;
    seek_end = end;
    __real_sr_source_seek(source, offset, end);
}

void __real_sr_yield(uint32_t bytes);
void __wrap_sr_yield(uint32_t bytes);

void __wrap_sr_yield(uint32_t bytes)
{
    yielded += bytes;
    __real_sr_yield(bytes);
}

/* Up to the hint, if that covers what is read now; otherwise up to the end of the chunk. */
static void request_ends_where_the_hint_says(void **state)
{
    (void)state;
    static uint8_t data[4 * SECTOR];
    uint64_t random = 5;
    for (uint32_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)api_random(&random);
    }
    replace_bundle(data, 4);
    const sr_bundle_chunk_t chunk = sr_bundle_chunk(&fixture.bundle, 0);
    assert_int_equal(chunk.encoding, SR_BUNDLE_STORED);
    fixture.source.region.size += SECTOR; /* More follows. */
    const uint32_t first = chunk.offset + SECTOR, last = chunk.offset + 4 * SECTOR;
    const uint32_t hints[][2] = {
        {0, last},    {1, last},           {first - 1, last}, {first, first}, {first + 1, first + 1},
        {last, last}, {last + 1, last + 1}};
    for (unsigned i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        uint8_t *sector = NULL;
        uint32_t length = 0;
        assert_int_equal(sr_decoder_get(&fixture.decoder, 3, 0, &sector), ESP_OK);
        yielded = 0;
        assert_int_equal(sr_decoder_get(&fixture.decoder, 0, hints[i][0], &sector), ESP_OK);
        assert_int_equal(seek_offset, chunk.offset);
        assert_int_equal(seek_end, hints[i][1]);
        assert_int_equal(yielded, 2 * SECTOR); /* What is read, and what is decoded. */
        assert_int_equal(sr_decoder_keep(&fixture.decoder, 0, SECTOR, hints[i][0], NULL, &length), ESP_OK);
        assert_int_equal(seek_offset, chunk.offset);
        assert_int_equal(seek_end, hints[i][0] > first ? hints[i][0] : first);
        sr_decoder_drop(&fixture.decoder);
    }
}

/* By its address in the flash; and nothing is logged of one that is right. */
static void sector_that_does_not_match_is_logged(void **state)
{
    (void)state;
    uint8_t *sector = NULL;
    sim_state.config.quiet = false;
    api_log_start();
    const esp_err_t right = sr_decoder_get(&fixture.decoder, 1, 0, &sector);
    char *log = api_log_stop();
    assert_int_equal(right, ESP_OK);
    assert_null(strstr(log, "E ("));
    free(log);
    damage = (damage_t){API_DATA + sr_bundle_chunk(&fixture.bundle, 1).offset + 10, UINT32_MAX};
    api_log_start();
    const esp_err_t wrong = sr_decoder_get(&fixture.decoder, 16, 0, &sector);
    log = api_log_stop();
    damage.times = 0;
    assert_int_equal(wrong, ESP_ERR_SELF_REFLASHER_CHUNK);
    api_assert_error_line(log, "0x20000", NULL);
    free(log);
}

/* What is kept. */

#define PLACES 4u /**< For so many chunks. */
#define CHUNKS (PLACES + 1u)

void *__real_heap_caps_malloc(size_t size, uint32_t caps);
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps);

/* So that what lies past the last place looks like a free one. */
void *__wrap_heap_caps_malloc(size_t size, uint32_t caps)
{
    void *memory = __real_heap_caps_malloc(size, caps);
    return memory != NULL ? memset(memory, heap_fill, size) : NULL;
}

/* The last chunk is deflated, the others are stored. */
static const uint8_t *data_of(uint32_t chunk)
{
    return fixture.data + (chunk < PLACES ? 16 + 2 * chunk : 0) * SECTOR;
}

/* A region in each block, of two sectors: a chunk each. */
static int setup_many(void **state)
{
    (void)state;
    bundle_region_t regions[CHUNKS];
    size_t size = 0;
    fixture = (fixture_t){.size = 0};
    make_data(fixture.data);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        regions[i] = (bundle_region_t){
            .place = {REGION + i * SR_BLOCK_SIZE, 2 * SECTOR}, .data = data_of(i), .length = 2 * SECTOR};
    }
    const bundle_spec_t spec = {.min_flash_size = API_FLASH_SIZE,
                                .partition_table_offset = SR_BUNDLE_NO_TABLE,
                                .regions = regions,
                                .region_count = CHUNKS};
    assert_int_equal(bundle_write(&spec, &fixture.manifest, &size), BUNDLE_WRITE_OK);
    fixture.size = (uint32_t)size;
    assert_int_equal(sr_bundle_parse(fixture.manifest, fixture.size, &fixture.bundle), SR_BUNDLE_OK);
    assert_int_equal(fixture.bundle.chunk_count, CHUNKS);
    api_chip_open(&fixture.chip, NULL);
    api_chip_put(&fixture.chip, API_DATA, fixture.manifest, size);
    open_decoder();
    return 0;
}

static uint32_t keep(uint32_t chunk, uint32_t most, uint8_t *lent)
{
    uint32_t length = UINT32_MAX;
    assert_int_equal(sr_decoder_keep(&fixture.decoder, chunk, most, 0, lent, &length), ESP_OK);
    return length;
}

static uint32_t length_of(uint32_t chunk)
{
    return sr_bundle_chunk(&fixture.bundle, chunk).length;
}

/* Decodes the chunk from its start on. @return bytes that were read for that */
static uint64_t read_for(uint32_t chunk)
{
    const uint64_t before = nor_flash_stats(fixture.chip.flash).bytes_read;
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *sector = NULL;
        assert_int_equal(sr_decoder_get(&fixture.decoder, 2 * chunk + i, 0, &sector), ESP_OK);
        assert_memory_equal(sector, data_of(chunk) + i * SECTOR, SECTOR);
    }
    return nor_flash_stats(fixture.chip.flash).bytes_read - before;
}

static void expect_kept(unsigned set)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        assert_int_equal(read_for(i), (set >> i & 1u) != 0 ? 0 : length_of(i));
    }
}

static void so_many_chunks_are_kept_and_no_more(void **state)
{
    (void)state;
    const uint32_t heap = sim_counters()->heap_now;
    for (uint32_t first = 0; first < CHUNKS; first++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < PLACES; i++) {
            const uint32_t chunk = (first + i) % CHUNKS;
            assert_int_equal(keep(chunk, UINT32_MAX, NULL), length_of(chunk));
            assert_int_equal(keep(chunk, UINT32_MAX, NULL), 0); /* It is there already. */
            kept += length_of(chunk);
            assert_int_equal(sim_counters()->heap_now, heap + kept);
        }
        const uint32_t last = (first + PLACES) % CHUNKS;
        assert_int_equal(keep(last, UINT32_MAX, NULL), 0);
        assert_int_equal(sim_counters()->heap_now, heap + kept);
        expect_kept(((1u << CHUNKS) - 1u) & ~(1u << last));
        sr_decoder_drop(&fixture.decoder);
        assert_int_equal(sim_counters()->heap_now, heap);
        expect_kept(0);
    }
}

/* Whichever place it has, and the others stay. */
static void what_is_kept_in_lent_memory_goes_when_that_is_given_back(void **state)
{
    (void)state;
    uint8_t lent[SECTOR];
    const uint32_t heap = sim_counters()->heap_now;
    for (uint32_t mine = 0; mine < PLACES; mine++) {
        for (uint32_t i = 0; i < PLACES; i++) {
            assert_int_equal(keep(i, UINT32_MAX, i == mine ? lent : NULL), length_of(i));
        }
        expect_kept((1u << PLACES) - 1u);
        sr_decoder_give_back(&fixture.decoder);
        expect_kept(((1u << PLACES) - 1u) & ~(1u << mine));
        assert_int_equal(keep(PLACES, UINT32_MAX, NULL), length_of(PLACES)); /* There is a place again. */
        sr_decoder_drop(&fixture.decoder);
        assert_int_equal(sim_counters()->heap_now, heap);
    }
}

/* The place is free again, as often as it happens: for want of memory, or with an error of the source in either part.
 */
static void what_cannot_be_kept_takes_no_place(void **state)
{
    (void)state;
    uint8_t lent[SECTOR];
    const uint32_t heap = sim_counters()->heap_now;
    for (unsigned i = 0; i < 3 * CHUNKS; i++) {
        uint32_t length = UINT32_MAX;
        sim_heap_fail_at(i % 3 == 0 ? 1 : 0);
        reads_to_failure = i % 3;
        const esp_err_t err = sr_decoder_keep(&fixture.decoder, 0, UINT32_MAX, 0, lent, &length);
        sim_heap_fail_at(0);
        assert_int_equal(reads_to_failure, 0);
        assert_int_equal(err, i % 3 == 0 ? ESP_OK : ESP_ERR_TIMEOUT);
        assert_int_equal(length, 0);
        assert_int_equal(sim_counters()->heap_now, heap);
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        assert_int_equal(keep(i, UINT32_MAX, NULL), length_of(i));
    }
    expect_kept((1u << PLACES) - 1u);
}

/* Damage in transit, again: what is kept of a chunk is fetched once more, too. */
static void damage_is_not_kept(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint8_t *sector = NULL;
        damage = (damage_t){API_DATA + sr_bundle_chunk(&fixture.bundle, i).offset + 5, 1};
        assert_int_equal(keep(i, UINT32_MAX, NULL), length_of(i));
        assert_int_equal(damage.times, 0);
        assert_int_equal(sr_decoder_get(&fixture.decoder, 2 * i, 0, &sector), ESP_OK);
        assert_memory_equal(sector, data_of(i), SECTOR);
        sr_decoder_drop(&fixture.decoder);
    }
}

/* As many of its first bytes as there is room for, some of them in lent memory or all. */
static void beginning_of_a_chunk_is_kept(void **state)
{
    (void)state;
    uint8_t lent[SECTOR];
    static const uint32_t lengths[] = {0, 1, 2, SECTOR - 1, SECTOR, SECTOR + 1, 2 * SECTOR - 1, 2 * SECTOR};
    assert_int_equal(length_of(0), 2 * SECTOR); /* Noise, which is stored. */
    for (unsigned i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t length = lengths[i / 2];
        memset(lent, (uint8_t)~data_of(0)[0], sizeof(lent));
        assert_int_equal(keep(0, length, i % 2 != 0 ? lent : NULL), length);
        assert_int_equal(read_for(0), 2 * SECTOR - length);
        if (i % 2 != 0) { /* All of it goes with what was lent. */
            (void)read_for(1);
            sr_decoder_give_back(&fixture.decoder);
            assert_int_equal(read_for(0), 2 * SECTOR);
        }
        sr_decoder_drop(&fixture.decoder);
        (void)read_for(1);
    }
}

#define TEST(test)      cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_MANY(test) cmocka_unit_test_setup_teardown(test, setup_many, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bundle_has_chunks_of_both_kinds_and_blank_sectors),
        TEST(sectors_come_in_any_order),
        TEST(ascending_order_reads_every_byte_once),
        TEST(damage_is_never_handed_out),
        TEST(every_damaged_byte_is_noticed),
        TEST(chunk_must_end_where_its_last_sector_ends),
        TEST(chunk_that_was_damaged_on_the_way_is_fetched_once_more),
        TEST(error_of_the_source_is_handed_up),
        TEST(error_of_a_read_is_handed_up),
        TEST(nothing_is_kept_at_first_whatever_memory_holds),
        TEST(memory_is_limited_and_may_be_missing),
        TEST(fetch_end_saves_requests),
        TEST(chunks_of_any_length),
        TEST(chunk_ends_in_front_of_a_blank_sector),
        TEST(request_ends_where_the_hint_says),
        TEST(sector_that_does_not_match_is_logged),
        WITH_MANY(so_many_chunks_are_kept_and_no_more),
        WITH_MANY(what_is_kept_in_lent_memory_goes_when_that_is_given_back),
        WITH_MANY(what_cannot_be_kept_takes_no_place),
        WITH_MANY(damage_is_not_kept),
        WITH_MANY(beginning_of_a_chunk_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
