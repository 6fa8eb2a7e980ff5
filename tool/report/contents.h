// SPDX-License-Identifier: Apache-2.0
/** @file
 * What is in a flash, or in a file that is made for one: bootloader, partition table, otadata, apps, MCUboot images.
 */
#pragma once

#include "format/sr_mcuboot.h"
#include "format/sr_otadata.h"
#include "format/sr_partition_table.h"
#include "format/sr_region.h"
#include "sim/boot/boot_model.h"
#include "sim/boot/boot_plain.h"
#include "tool/base/content_kind.h"
#include "tool/base/image_file.h"
#include "tool/pack/bundle_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum contents_kind {
    CONTENTS_FLASH,           /**< A whole flash. */
    CONTENTS_PART,            /**< Part of a flash, from a known offset on: a merged image. */
    CONTENTS_BOOTLOADER,      /**< One ESP image, a second-stage bootloader. */
    CONTENTS_APP,             /**< One ESP image, an app. */
    CONTENTS_MCUBOOT_SLOT,    /**< One MCUboot image, perhaps padded to its slot with a trailer. */
    CONTENTS_PARTITION_TABLE, /**< A partition table alone. */
} contents_kind_t;

/** "flash", "part", ... as in JSON; and in words. */
const char *contents_kind_name(contents_kind_t kind);
const char *contents_kind_text(contents_kind_t kind);

typedef enum check_state { CHECK_GOOD, CHECK_WRONG, CHECK_ABSENT, CHECK_UNKNOWN } check_state_t;

/** An ESP image and what is known about it. */
typedef struct esp_image_info {
    uint32_t address; /**< Of its header. */
    uint32_t room;    /**< Bytes it may take: its partition, or up to the end of the file. */
    char label[17];   /**< Of its partition, or "". */
    sr_image_status_t status;
    sr_image_t image;
    check_state_t checksum, digest;
    uint8_t sha256[SR_SHA256_SIZE]; /**< Over the image; valid unless `checksum` is UNKNOWN. */
    bool described;                 /**< `desc` is valid. */
    sr_image_app_desc_t desc;
} esp_image_info_t;

typedef struct bootloader_info {
    bool present; /**< Something with the magic byte stands where the chip looks for it. */
    esp_image_info_t esp;
    boot_loader_kind_t kind; /**< NONE: the mask ROM does not start it. */
    char version[33];        /**< What esp_bootloader_desc_t tells, or "". */
    char built[25];          /**< Date and time, or "". */
} bootloader_info_t;

typedef struct mcuboot_info {
    uint32_t address;
    uint32_t slot_size; /**< Up to the end of its trailer; 0: no trailer found. */
    char label[17];     /**< Of the partition that starts here, or "". */
    sr_mcuboot_status_t status;
    sr_mcuboot_image_t image;
    bool image_ok, copy_done; /**< Flags in the trailer. */
} mcuboot_info_t;

typedef enum region_kind {
    REGION_FREE,
    REGION_BOOTLOADER,
    REGION_TABLE,
    REGION_OTADATA,
    REGION_APP,
    REGION_DATA,
} region_kind_t;

#define CONTENTS_NAME_SIZE 80 /**< Enough for the two names of 32 bytes in an app. */

/** A labelled range of the flash, for the map. */
typedef struct map_region {
    sr_region_t region;
    region_kind_t kind;
    char label[CONTENTS_NAME_SIZE + 20]; /**< Of the partition, and what is in it. */
} map_region_t;

typedef struct contents {
    contents_kind_t kind;
    sr_region_t present;                    /**< What the file covers, as flash addresses. */
    uint8_t *bytes;                         /**< By flash address, blank outside `present`; owned. */
    uint32_t size;                          /**< Of `bytes`: a power of two, 1 MiB or more. */
    boot_chip_t chip;                       /**< Without its cipher: `bytes` is what it reads. */
    bool encrypted;                         /**< The flash is, and `bytes` as boot_plain_view() shows it. */
    flash_cipher_scheme_t scheme;           /**< Valid if it is. */
    boot_result_t boot;                     /**< What a chip with exactly this flash would do. */
    char boot_app_name[CONTENTS_NAME_SIZE]; /**< contents_app_name() of what boots. */

    bootloader_info_t bootloader;
    uint32_t table_address;
    bool table_present;
    sr_partition_table_status_t table_status;
    sr_partition_table_t table;
    const sr_partition_table_entry_t *otadata_partition; /**< NULL: none. */
    sr_otadata_t otadata;

    esp_image_info_t *apps;
    size_t app_count;
    mcuboot_info_t *mcuboot;
    size_t mcuboot_count;
    map_region_t *regions; /**< By address, without gaps. */
    size_t region_count;
} contents_t;

/**
 * Finds out what is in a file.
 *
 * @param content What the file is: `kind` and `base` count. For a part of a flash from a known offset on MERGED, and
 * that.
 * @param chip What is known of the chip; `chip->chip` NULL: told by the headers.
 * @return NULL after complaining, if the file is nothing that can be looked into. Freed with contents_free().
 */
contents_t *contents_of_file(const image_file_t *file, const content_t *content, const boot_chip_t *chip);

/** Finds out what is in a whole flash, as its cells hold it; copies it. @return NULL only without memory. */
contents_t *contents_of_flash(const uint8_t *flash, uint32_t size, const boot_chip_t *chip);

/** Shows a flash as boot_plain_view() does. @param[out] view Owned by the caller. @return STATUS_OK, or
 * STATUS_BAD_INPUT after complaining. */
int contents_view(const boot_chip_t *chip, const image_file_t *cells, image_file_t *view);

/** The same to compare it with a bundle: its regions are shown as the system reads them that it makes.
 *  @param[out] layout Of that system. */
int contents_view_for(const bundle_file_t *bundle, const boot_chip_t *chip, const image_file_t *cells,
                      boot_plain_layout_t *layout, image_file_t *view);

void contents_free(contents_t *contents);

/** Window that starts with an image. */
sr_reader_t contents_reader(const contents_t *contents, const esp_image_info_t *info);

/** Which of the OTA slots this otadata entry selects, or NULL. */
const sr_partition_table_entry_t *contents_selected_slot(const contents_t *contents, const sr_otadata_entry_t *entry);

/** "WLED 0.14.2", "MCUboot image 1.2.3", or "": the app at this address of a flash. */
void contents_app_name(const uint8_t *flash, uint32_t size, uint32_t address, char *out, size_t capacity);
