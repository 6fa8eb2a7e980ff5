// SPDX-License-Identifier: Apache-2.0
/** @file
 * The flash as the chip sees it: where it encrypts, what is in the cells is not what it reads.
 */
#pragma once

#include "format/sr_partition_table.h"
#include "sim/boot/boot_model.h"

/**
 * A range of flash as the chip's cache shows it: decrypted, whatever lies there, if the chip encrypts its flash.
 * @param size Of the flash; the range lies in it.
 * @return Valid until the flash changes or the next call is for another flash.
 */
const uint8_t *boot_plain(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint32_t address,
                          uint32_t length);

/** Reads the partition table where the bootloader of this flash looks for it.
 *  @param[out] offset Where that is. @return false unless it is intact. */
bool boot_plain_table(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint32_t *offset,
                      sr_partition_table_t *table);

/** How many bytes ESP-IDF's driver programs at once where the chip encrypts; a whole page if it does not encrypt. */
uint32_t boot_plain_unit(const boot_chip_t *chip);

/**
 * A flash as its system and its tools think of it: what the chip encrypts as plaintext, the rest as it is. That is the
 * boot path up to the table, and the partitions for which sr_partition_table_encrypts() holds. Erased cells stay 0xFF.
 * @param out As large as the flash; may not be the flash.
 */
void boot_plain_view(const boot_chip_t *chip, const uint8_t *flash, uint32_t size, uint8_t *out);

/** What is encrypted under a system. */
typedef struct boot_plain_layout {
    sr_partition_table_t table;
    uint32_t table_offset;
} boot_plain_layout_t;

/** Shows a region as a system with another layout reads it: erased cells as noise, but for those of a slot after its
 *  image, which nobody reads. @param[in,out] view From boot_plain_view() of @p flash. */
void boot_plain_show(const boot_chip_t *chip, const boot_plain_layout_t *layout, const uint8_t *flash, uint32_t size,
                     sr_region_t region, uint8_t *view);

/**
 * What the cells hold once another content was written: what has not changed stays. Of what changes, the rest of a slot
 * after its image is erased where it is blank, and whatever else the chip encrypts is encrypted, as the component does.
 * @param layout Of the system that is written.
 * @param before What is read before, by that layout where anything may be written.
 * @param after What is to be read.
 * @param[in,out] cells The flash.
 */
void boot_plain_write(const boot_chip_t *chip, const boot_plain_layout_t *layout, const uint8_t *before,
                      const uint8_t *after, uint32_t size, uint8_t *cells);
