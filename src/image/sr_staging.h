// SPDX-License-Identifier: Apache-2.0
/** @file
 * Receives an image as a stream and puts it, sector by sector, into the staging partition.
 */
#pragma once

#include "self_reflasher.h"
#include "flash/sr_writer.h"
#include "net/sr_download.h"
#include "system/sr_system.h"

#include <stdbool.h>

/** A stream that is being staged. Lives for one download. */
typedef struct sr_staging {
    const sr_system_t *system;
    const esp_self_reflasher_config_t *config;
    sr_region_t destination; /**< Where the image goes in the end. */
    sr_region_t room;        /**< Where it is staged; starts at a sector boundary. */

    struct sr_staging_buffers *buffers; /**< Set by sr_staging_open(). */
    sr_writer_t writer;
    int64_t announced; /**< Bytes that the source announced, or -1. */
    uint32_t received; /**< Bytes so far. */
    uint32_t written;  /**< Bytes of `room` that have some of the image, whoever put them there; whole sectors. */
} sr_staging_t;

/** Allocates buffers. @return ESP_OK or ESP_ERR_NO_MEM. */
esp_err_t sr_staging_open(sr_staging_t *staging);

/** The stream's sink. Errors: ESP_ERR_SELF_REFLASHER_TOO_LARGE, _STAGING_SMALL, _NOT_BOOTLOADER, _WRONG_CHIP, _VERIFY,
 *  or one of esp_flash. */
sr_download_sink_t sr_staging_sink(sr_staging_t *staging);

/** Writes what is still in the buffer, after the last byte. @return as the sink. */
esp_err_t sr_staging_finish(sr_staging_t *staging);

/**
 * Makes what is staged unusable, because the image was refused or the download broke off.
 *
 * All of an image that is refused is erased. Where the image is not to blame, what has arrived stays as a start for the
 * next attempt, but for its first sector, so that no bootloader takes it for an app, and for the marks of staged
 * records. Sectors that cannot be erased are logged; the others are erased nevertheless.
 *
 * @param why The error that the call is about to return.
 */
void sr_staging_give_up(sr_staging_t *staging, esp_err_t why);

/** True for the errors that mean that the image is refused, and would be refused again. */
bool sr_staging_is_refusal(esp_err_t err);

/** Frees the buffers. */
void sr_staging_close(sr_staging_t *staging);
