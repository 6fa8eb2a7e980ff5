// SPDX-License-Identifier: Apache-2.0
/** @file
 * Receives an image as a stream and puts it, sector by sector, into the staging partition.
 */
#pragma once

#include "self_reflasher.h"
#include "sr_download_esp_idf.h"
#include "sr_system_esp_idf.h"
#include "sr_writer.h"

/** A stream on its way into staging. Lives for one download. */
typedef struct sr_staging {
    const sr_system_t *system;
    const esp_self_reflasher_config_t *config;
    sr_region_t destination; /**< Where the image goes in the end. */
    sr_region_t room;        /**< Where it is staged; starts at a sector boundary. */

    struct sr_staging_buffers *buffers; /**< Set by sr_staging_open(). */
    sr_writer_t writer;
    int64_t announced; /**< Bytes that the source said would come, or -1. */
    uint32_t received; /**< Bytes so far. */
} sr_staging_t;

/** Allocates buffers. @return ESP_OK or ESP_ERR_NO_MEM. */
esp_err_t sr_staging_open(sr_staging_t *staging);

/** The stream's sink. Errors: ESP_ERR_SELF_REFLASHER_TOO_LARGE, _STAGING_SMALL, _NOT_BOOTLOADER, _WRONG_CHIP, _VERIFY,
 *  or one of esp_flash. */
sr_download_sink_t sr_staging_sink(sr_staging_t *staging);

/** Writes what is still in the buffer, after the last byte. @return as the sink. */
esp_err_t sr_staging_finish(sr_staging_t *staging);

/** Frees the buffers. */
void sr_staging_close(sr_staging_t *staging);
