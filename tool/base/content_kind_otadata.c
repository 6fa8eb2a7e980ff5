// SPDX-License-Identifier: Apache-2.0
#include "tool/base/content_kind_finders.h"

#include "format/sr_otadata.h"
#include "format/sr_region.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OTADATA_SIZE (2 * SR_SECTOR_SIZE)

static const char *state_text(uint32_t state)
{
    static const char *const names[] = {"new", "pending verify", "valid", "invalid", "aborted"};
    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "undefined";
}

static void describe(const sr_otadata_entry_t *entry, unsigned index, char *out, size_t capacity)
{
    if (entry->sequence == SR_OTADATA_NO_SEQUENCE) {
        (void)snprintf(out, capacity, "entry %u blank", index);
    } else {
        (void)snprintf(out, capacity, "entry %u: sequence %" PRIu32 ", state %s, CRC %s", index, entry->sequence,
                       state_text(entry->state), entry->crc == sr_otadata_crc(entry->sequence) ? "good" : "wrong");
    }
}

/** Two sectors, of which only the first bytes are written, as bootloaders and apps write them. */
bool content_kind_otadata(const content_kind_input_t *input, content_t *content)
{
    sr_otadata_t otadata;
    const sr_reader_t reader = sr_reader_memory(input->bytes, input->size);
    const uint32_t rest = SR_SECTOR_SIZE - SR_OTADATA_ENTRY_SIZE;
    if (input->size != OTADATA_SIZE || sr_otadata_read(&reader, &otadata) != 0 ||
        content_kind_is_blank(input, 0, OTADATA_SIZE) || !content_kind_is_blank(input, SR_OTADATA_ENTRY_SIZE, rest) ||
        !content_kind_is_blank(input, SR_SECTOR_SIZE + SR_OTADATA_ENTRY_SIZE, rest)) {
        return false;
    }
    char first[80];
    char second[80];
    const int active = sr_otadata_active(&otadata);
    describe(&otadata.entries[0], 0, first, sizeof(first));
    describe(&otadata.entries[1], 1, second, sizeof(second));
    content->kind = CONTENT_KIND_OTADATA;
    (void)snprintf(content->facts, sizeof(content->facts), "%s; %s; %s", first, second,
                   active < 0    ? "none in force"
                   : active == 0 ? "entry 0 in force"
                                 : "entry 1 in force");
    return true;
}
