// SPDX-License-Identifier: Apache-2.0
// Any bytes as the pages of NVS, of each of which only the beginning is not blank, that close up in a smaller
// partition.
#include "fuzz_input.h"
#include "format/sr_nvs.h"

#include <stdbool.h>

#define MOST_PAGES 32u
#define BEGINNING  256u /**< Header, states, and six entries. */
#define PLACE      0x100000u

static uint8_t flash[MOST_PAGES * SR_SECTOR_SIZE];

/** Runs of pages that ascend, each behind the one before, and what is blank up to the end. */
static void check_moves(const sr_moves_t *moves, sr_region_t source, sr_region_t destination, uint32_t used)
{
    uint32_t from = 0;
    uint32_t to = destination.address;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < moves->count; i++) {
        const struct sr_move *move = &moves->list[i];
        const bool last = i + 1 == moves->count;
        CHECK(move->destination.address == to && move->destination.size > 0);
        CHECK(last ? move->source.size == 0 : move->source.size == move->destination.size);
        CHECK(last || (move->source.address >= from && sr_region_fits(move->source, source.size)));
        from = move->source.address + move->source.size;
        to += move->destination.size;
        taken += move->source.size;
    }
    CHECK(to == destination.address + destination.size);
    CHECK(taken == used * SR_SECTOR_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || (size - 1) / BEGINNING > MOST_PAGES) {
        return 0;
    }
    const uint32_t count = (uint32_t)((size - 1) / BEGINNING);
    const uint32_t room = data[0] % MOST_PAGES;
    const sr_region_t source = {0, count * SR_SECTOR_SIZE};
    const sr_region_t destination = {PLACE, room * SR_SECTOR_SIZE};
    memset(flash, 0xFF, sizeof(flash));
    for (uint32_t i = 0; i < count; i++) {
        memcpy(flash + i * SR_SECTOR_SIZE, data + 1 + i * BEGINNING, BEGINNING);
    }
    fuzz_input_t input = {flash, source.size};
    const sr_reader_t reader = fuzz_reader(&input);
    struct sr_move *list = malloc(sr_nvs_max_moves(destination) * sizeof(*list) + 1); /* So that it is not empty. */
    CHECK(list != NULL);
    sr_moves_t moves = {.list = list};
    sr_nvs_pages_t pages;
    const sr_nvs_status_t status = sr_nvs_close_up(&reader, source, destination, &moves, &pages);
    CHECK(status != SR_NVS_READ_FAILED && pages.used <= count && pages.needed > pages.used);
    CHECK((status == SR_NVS_TOO_MANY_PAGES) == (pages.needed > room));
    CHECK(moves.count <= sr_nvs_max_moves(destination));
    CHECK(status != SR_NVS_BOUND_TO_ITS_PLACE || pages.bound % SR_SECTOR_SIZE == 0);
    if (status == SR_NVS_FITS) {
        check_moves(&moves, source, destination, pages.used);
    }
    free(list);
    return 0;
}
