// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_signatures.h"

#include "tool/base/command.h"
#include "tool/base/image_signature.h"

#include <inttypes.h>

/** A packed image. */
typedef struct packed {
    const pack_result_t *result;
    uint32_t address, room;
    const char *what; /**< For messages. */
    const char *label;
} packed_t;

/** The best that its blocks are, whatever their keys: OK, OTHER_IMAGE, TORN_BLOCK or NO_BLOCK. */
static sr_secure_boot_status_t best_block(const sr_reader_t *reader, const sr_image_t *image)
{
    sr_secure_boot_status_t best = SR_SECURE_BOOT_NO_BLOCK;
    for (uint32_t i = 0; i < SR_SECURE_BOOT_MAX_BLOCKS && best != SR_SECURE_BOOT_OK; i++) {
        sr_secure_boot_block_t block;
        const sr_secure_boot_status_t status = image_signature_read(reader, image, i, &block);
        best = status == SR_SECURE_BOOT_OK || status > best ? status : best;
    }
    return best;
}

/** @return false if no image is packed there. */
static bool look_at(const packed_t *packed, sr_secure_boot_status_t *status)
{
    sr_image_t image;
    const sr_reader_t reader = sr_reader_memory(packed->result->layout->bytes + packed->address, packed->room);
    const bool found = packed->address < FLASH_LIMIT && packed->room <= FLASH_LIMIT - packed->address &&
                       flash_layout_want(packed->result->layout, packed->address) == SR_BUNDLE_CONTENT &&
                       sr_image_parse(&reader, &image) == SR_IMAGE_OK;
    if (found) {
        *status = best_block(&reader, &image);
    }
    return found;
}

static packed_t packed_at(const pack_result_t *result, unsigned number)
{
    if (number == 0) {
        const uint32_t start = result->chip->bootloader_offset;
        return (packed_t){result, start, FLASH_LIMIT - start, "the bootloader", ""};
    }
    const sr_partition_table_entry_t *entry = &result->table.entries[number - 1];
    const bool is_app = entry->type == SR_PARTITION_TYPE_APP;
    return (packed_t){result, is_app ? entry->address : FLASH_LIMIT, entry->size, "the app in ", entry->label};
}

static void warn(const packed_t *packed, sr_secure_boot_status_t status, bool others_are_signed)
{
    if (status == SR_SECURE_BOOT_OK || (status == SR_SECURE_BOOT_NO_BLOCK && !others_are_signed)) {
        return;
    }
    complain(STATUS_OK, "warning: %s%s, at 0x%" PRIx32 ", %s%s: a chip with Secure Boot V2 refuses it", packed->what,
             packed->label, packed->address, sr_secure_boot_status_text(status),
             status == SR_SECURE_BOOT_NO_BLOCK ? ", and others of the bundle do" : "");
}

void pack_signatures_warn(const pack_result_t *result)
{
    packed_t packed[1 + SR_PARTITION_MAX_ENTRIES]; // the bootloader, and a partition each
    sr_secure_boot_status_t statuses[1 + SR_PARTITION_MAX_ENTRIES];
    unsigned count = 0;
    bool any = false;
    for (unsigned i = 0; i <= result->table.count; i++) {
        packed[count] = packed_at(result, i);
        if (look_at(&packed[count], &statuses[count])) {
            any = any || statuses[count] != SR_SECURE_BOOT_NO_BLOCK;
            count++;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        warn(&packed[i], statuses[i], any);
    }
}
