// SPDX-License-Identifier: Apache-2.0
#include "format/sr_moves.h"

static sr_moves_wanted_t moved(const struct sr_move *move, uint32_t offset)
{
    if (offset >= move->source.size) {
        return (sr_moves_wanted_t){.kind = SR_MOVES_WANTED_BLANK};
    }
    if (move->source.address == move->destination.address && !move->is_copied) {
        return (sr_moves_wanted_t){.kind = SR_MOVES_WANTED_AS_IT_IS};
    }
    return (sr_moves_wanted_t){.kind = SR_MOVES_WANTED_MOVED, .source = move->source.address + offset};
}

sr_moves_wanted_t sr_moves_wanted(const sr_moves_t *moves, const sr_bundle_t *bundle, uint32_t address)
{
    for (uint32_t i = 0; i < moves->count; i++) {
        const struct sr_move *move = &moves->list[i];
        const uint32_t offset = address - move->destination.address;
        if (address >= move->destination.address && offset < move->destination.size) {
            return moved(move, offset);
        }
    }
    sr_moves_wanted_t wanted = {.kind = SR_MOVES_WANTED_AS_IT_IS};
    switch (sr_bundle_want(bundle, address, &wanted.digest_index)) {
    case SR_BUNDLE_KEEP:
        break;
    case SR_BUNDLE_BLANK:
        wanted.kind = SR_MOVES_WANTED_BLANK;
        break;
    case SR_BUNDLE_CONTENT:
        wanted.kind = SR_MOVES_WANTED_CONTENT;
        break;
    }
    return wanted;
}
