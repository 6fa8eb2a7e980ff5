// SPDX-License-Identifier: Apache-2.0
#include "format/sr_otadata.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_region.h"

#include <string.h>

#define STATE_OFFSET 24u
#define CRC_OFFSET   28u

uint32_t sr_otadata_crc(uint32_t sequence)
{
    uint8_t bytes[4];
    sr_bytes_put_le32(bytes, sequence);
    return sr_crc32(UINT32_MAX, bytes, sizeof(bytes));
}

bool sr_otadata_entry_valid(const sr_otadata_entry_t *entry)
{
    return entry->sequence != SR_OTADATA_NO_SEQUENCE && entry->state != SR_OTA_INVALID &&
           entry->state != SR_OTA_ABORTED && entry->crc == sr_otadata_crc(entry->sequence);
}

bool sr_otadata_on_probation(const sr_otadata_entry_t *entry)
{
    return entry->state == SR_OTA_NEW || entry->state == SR_OTA_PENDING_VERIFY;
}

int sr_otadata_read(const sr_reader_t *reader, sr_otadata_t *otadata)
{
    if (reader->size < 2 * SR_SECTOR_SIZE) {
        return -1;
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t raw[SR_OTADATA_ENTRY_SIZE];
        int error = reader->read(reader->context, i * SR_SECTOR_SIZE, raw, sizeof(raw));
        if (error != 0) {
            return error;
        }
        otadata->entries[i] = (sr_otadata_entry_t){
            .sequence = sr_bytes_get_le32(raw),
            .state = sr_bytes_get_le32(raw + STATE_OFFSET),
            .crc = sr_bytes_get_le32(raw + CRC_OFFSET),
        };
    }
    return 0;
}

int sr_otadata_active(const sr_otadata_t *otadata)
{
    const sr_otadata_entry_t *entries = otadata->entries;
    bool valid[2] = {sr_otadata_entry_valid(&entries[0]), sr_otadata_entry_valid(&entries[1])};
    if (valid[0] && valid[1]) {
        return entries[1].sequence > entries[0].sequence ? 1 : 0;
    }
    if (!valid[0] && !valid[1]) {
        return -1;
    }
    return valid[0] ? 0 : 1;
}

void sr_otadata_encode(uint32_t sequence, uint32_t state, uint8_t out[SR_OTADATA_ENTRY_SIZE])
{
    // The label between sequence and state is unused and left erased, as ESP-IDF does.
    memset(out, 0xFF, SR_OTADATA_ENTRY_SIZE);
    sr_bytes_put_le32(out, sequence);
    sr_bytes_put_le32(out + STATE_OFFSET, state);
    sr_bytes_put_le32(out + CRC_OFFSET, sr_otadata_crc(sequence));
}
