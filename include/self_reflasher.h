// SPDX-License-Identifier: Apache-2.0
/** @file
 * esp-self-reflasher: replace any region of the flash, the bootloader included, from inside the running firmware.
 *
 * Two modes:
 * - download: init -> download_bin -> copy_to_region [-> upd_next_config -> download_bin -> copy_to_region ...] ->
 * deinit
 * - embedded: directly_copy_to_region, for an image that is already in flash, for example linked into the app.
 *
 * All functions run in the caller's task, and change flash only after every check has passed. They are not thread-safe,
 * also with different handles: one call at a time. None of them marks the running app as valid or restarts the chip,
 * with one exception that is documented at esp_self_reflasher_directly_copy_to_region().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* This file needs neither, but apps of the field get both through it. */
#include "esp_attr.h"
#include "sdkconfig.h"

#include "esp_err.h"
#include "esp_http_client.h"
#include "esp_partition.h"

#include "self_reflasher_err.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A range of flash. */
typedef struct {
    uint32_t region_address; /**< First byte, from the start of the flash. */
    size_t region_size;      /**< Bytes. */
} addr_region_t;

/** What the component is doing, for the progress callback. */
typedef enum {
    ESP_SELF_REFLASHER_PHASE_DOWNLOAD, /**< Bytes received and staged; total is 0 where the server tells no length,
                                            until the last byte has come. */
    ESP_SELF_REFLASHER_PHASE_CHECK,    /**< Bytes of the image read and checked. */
    ESP_SELF_REFLASHER_PHASE_COPY,     /**< Bytes of the destination region that are as they must be. */
} esp_self_reflasher_phase_t;

/**
 * Progress callback, called from the task that called the component, between flash operations.
 * @param user_ctx From the config.
 * @param done Bytes done of this phase.
 * @param total Bytes of this phase; 0: not known.
 */
typedef void (*esp_self_reflasher_progress_cb_t)(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done,
                                                 size_t total);

/** Config flag: do not check that an image for the bootloader's place is an intact bootloader for this chip, nor, with
 *  Secure Boot on, that it carries a signature block. */
#define ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK (1u << 0)

/** Config flag, embedded mode: where the destination covers the running app and no OTA slot takes it, the app may be
 * copied to free flash, and a partition table in which its entry lies there may be written until the image replaces it.
 * A power cut while the table's sector is written, some 50 ms, leaves a chip that does not boot. Only if the
 * destination covers that sector; not with flash encryption or Secure Boot. */
#define ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE (1u << 1)

/** Config flag, download mode: a redirect may lead from https to http, where anyone on the way can change what comes.
 *  Only for an image whose `sha256` is given. Without this flag such a redirect ends the download; one from http to
 *  https, and on to https, is always followed. */
#define ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT (1u << 2)

/** One image: where it comes from and where it goes. */
typedef struct {
    const esp_http_client_config_t *http_config; /**< Download mode: copied; strings in it must live until the
                                                      download ended. Embedded mode: NULL. */
    const esp_partition_t *target_partition;     /**< Download mode: where the image is staged. NULL: an OTA app
                                                      partition is chosen. Any partition of the main flash chip will do,
                                                      a data partition, too: up to the image's length its content is
                                                      lost, whatever it is (a file system, settings), also if the image
                                                      is refused. Must be unmounted, and outlive the handle. */
    addr_region_t src_region;                    /**< Embedded mode: where in flash the image is; any address. */
    addr_region_t dest_region;                   /**< Final destination, sector aligned. Bytes of it behind the image
                                                      are erased. */
    size_t src_bin_size;                         /**< Embedded mode: bytes to copy, 1 to src_region.region_size. */

    const uint8_t *sha256; /**< Optional: 32 bytes, SHA-256 over the whole image. Must live until the copy ended. NULL:
                                the image is taken as it comes; see esp_self_reflasher_download_bin(). */
    esp_self_reflasher_progress_cb_t progress_cb; /**< Optional. */
    void *user_ctx;                               /**< Handed to progress_cb. */
    uint32_t flags;                               /**< ESP_SELF_REFLASHER_FLAG_... */
    uint32_t stall_timeout_ms; /**< Download mode: milliseconds that the server may take for the headers of an answer,
                                    and for every 4 KiB of the body; 0: 60000. What http_config says as timeout_ms
                                    goes for each single wait, and is cut to this. */
} esp_self_reflasher_config_t;

/** A download in several steps. Made by esp_self_reflasher_init(), freed by esp_self_reflasher_deinit(), and handed in
 *  by value. No pointer to anything: whatever is no live handle (NULL, one that was given back, the address of a
 * handle) is refused with ESP_ERR_INVALID_ARG. A handle stays valid when a call fails. */
typedef void *esp_self_reflasher_handle_t;

/**
 * @brief Start download mode: check the configuration and find the place where the image is staged.
 *
 * Changes no flash: staging sectors are erased as the image arrives, and only those that hold something else, so that
 * a download that is repeated after a cut costs only what is missing.
 *
 * @param[in]  config Copied.
 * @param[out] handle Set on success only: start with NULL, which every call refuses. Free with
 * esp_self_reflasher_deinit().
 * @return
 *  - ESP_OK
 *  - ESP_ERR_INVALID_ARG: config, handle or http_config is NULL; the region is empty; the staging partition is not on
 *    the main flash chip
 *  - ESP_ERR_SELF_REFLASHER_UNALIGNED, _PAST_END: the destination region or target_partition
 *  - ESP_ERR_SELF_REFLASHER_RUNNING_APP: the running app lies in the destination or in target_partition
 *  - ESP_ERR_SELF_REFLASHER_READ_ONLY: the destination or target_partition touches a partition that is flagged
 * `readonly`
 *  - ESP_ERR_SELF_REFLASHER_OVERLAP: target_partition overlaps the destination, or what the running system boots by:
 *    bootloader, partition table, otadata, and the recovery bootloader if that started the chip
 *  - ESP_ERR_SELF_REFLASHER_NO_STAGING: no OTA app partition is clear of the destination, of those of earlier images of
 *    the handle, and of the running app
 *  - ESP_ERR_NO_MEM, or an error of esp_flash
 */
esp_err_t esp_self_reflasher_init(const esp_self_reflasher_config_t *config, esp_self_reflasher_handle_t *handle);

/**
 * @brief Download the image into the staging partition and check it there.
 *
 * Uses the caller's esp_http_client configuration as it is. Redirects are followed unless it forbids them, but not from
 * https to http. What a redirect led to and is refused there (every 4xx) is asked for once more from the first URL on.
 * User name, password and headers of the configuration go to wherever a redirect leads, as always with
 * esp_http_client. The client is closed on every path. After an error the same call may be repeated.
 *
 * Without `sha256` nothing vouches for the image. Over plain http whoever controls the network, and in any case whoever
 * controls the server, then decides what runs on the device, and with which bootloader: an image that is intact is
 * taken, whoever made it. There is no signature here; bundles (self_reflasher_bundle.h) have one.
 *
 * What was staged of an image that is refused (_TOO_LARGE to _NOT_SIGNED below) is erased before the call returns. If
 * the download broke off, or memory or flash failed, what came stays, so that the next try writes only the rest; but
 * its first sector is erased, and so is each that starts as a record of esp_self_reflasher_resume(): no bootloader
 * starts it, and nothing goes on from it. If even that fails, the log says where. After a power cut all of it is still
 * there.
 *
 * @return
 *  - ESP_OK: the image is staged and checked; esp_self_reflasher_copy_to_region() comes next
 *  - ESP_ERR_INVALID_ARG: handle is not live
 *  - ESP_ERR_INVALID_STATE: an image is already staged or copied
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS, _EMPTY_BODY, _SHORT_BODY, _DOWNGRADE, _TOO_SLOW: the server
 *  - ESP_ERR_SELF_REFLASHER_TOO_LARGE, _STAGING_SMALL: the image
 *  - ESP_ERR_SELF_REFLASHER_SHA256, _NOT_BOOTLOADER, _WRONG_CHIP, _CHECKSUM, _DIGEST, _FLASH_SIZE, _REVISION,
 *    _NOT_SIGNED: the image
 *  - ESP_ERR_NOT_SUPPORTED: the chip encrypts its flash, and the partition table would change
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: staging holds something else than was written, after all retries
 *  - ESP_ERR_NO_MEM, or an error of esp_http_client or esp_flash, handed up unchanged
 */
esp_err_t esp_self_reflasher_download_bin(esp_self_reflasher_handle_t handle);

/**
 * @brief Check the staged image once more and make the destination region hold it, blank (0xFF) past its end.
 *
 * Sectors that are right already are not touched. Sectors of the boot path come last, without pause. After an error
 * the same call may be repeated, and should be: the destination may be half written.
 *
 * @return
 *  - ESP_OK: every sector of the region was read back and is right
 *  - ESP_ERR_INVALID_ARG: handle is not live
 *  - ESP_ERR_INVALID_STATE: nothing is staged, or the image was copied already
 *  - ESP_ERR_SELF_REFLASHER_SHA256, _NOT_BOOTLOADER, _WRONG_CHIP, _CHECKSUM, _DIGEST, _FLASH_SIZE, _REVISION,
 *    _NOT_SIGNED: the staged image;
 *    the destination was not touched, what was staged is erased, and the image must be downloaded again
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: a sector does not hold what was written, after all retries
 *  - ESP_ERR_NO_MEM: nothing was touched
 *  - an error of esp_flash, handed up unchanged
 */
esp_err_t esp_self_reflasher_copy_to_region(esp_self_reflasher_handle_t handle);

/**
 * @brief Go on with the next image on the same handle.
 *
 * The staging partition goes on being used behind the previous image where there is room and target_partition is NULL
 * or the same; if not, from its start, or another partition is chosen. On error the handle is as it was.
 *
 * @param[in] config Copied.
 * @param[in] handle From esp_self_reflasher_init(), by value.
 * @return as esp_self_reflasher_init(); ESP_ERR_INVALID_ARG also if handle is not live
 */
esp_err_t esp_self_reflasher_upd_next_config(const esp_self_reflasher_config_t *config,
                                             esp_self_reflasher_handle_t handle);

/**
 * @brief Free a handle. What is staged stays in flash.
 * @return ESP_OK, or ESP_ERR_INVALID_ARG if handle is not live
 */
esp_err_t esp_self_reflasher_deinit(esp_self_reflasher_handle_t handle);

/**
 * @brief Embedded mode: copy an image from one place in flash to another.
 *
 * Source and destination may overlap in either direction.
 *
 * If the destination covers sectors of the running app that must change, the app first moves out of the way: it is
 * copied to an OTA slot that neither the image nor the destination touches, selected there as a valid app, and the chip
 * restarts. The same call of its next start does the rest. Where there is no such slot, it moves to other free flash,
 * if ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE is set. Where that cannot be, the copy runs from RAM with the
 * scheduler stopped, and ends in a chip reset instead of a return, because there is nothing left to return to. This
 * needs CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP, and a power cut during such a copy leaves a chip that does not
 * boot.
 *
 * @return
 *  - ESP_OK: every sector of the region was read back and is right
 *  - ESP_ERR_INVALID_ARG: config is NULL, a region is empty, src_bin_size is 0 or larger than src_region
 *  - ESP_ERR_SELF_REFLASHER_UNALIGNED: the destination region
 *  - ESP_ERR_SELF_REFLASHER_READ_ONLY: the destination touches a partition that is flagged `readonly`
 *  - ESP_ERR_SELF_REFLASHER_PAST_END: source or destination
 *  - ESP_ERR_SELF_REFLASHER_TOO_LARGE: src_bin_size is larger than the destination
 *  - ESP_ERR_SELF_REFLASHER_RUNNING_APP: the destination covers the running app, nothing takes it, and the option above
 *    is off; the log tells how many bytes of free flash are missing
 *  - ESP_ERR_SELF_REFLASHER_SHA256, _NOT_BOOTLOADER, _WRONG_CHIP, _CHECKSUM, _DIGEST, _FLASH_SIZE, _REVISION,
 *    _NOT_SIGNED: the image
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: a sector does not hold what was written, after all retries
 *  - ESP_ERR_NOT_SUPPORTED: the chip encrypts its flash, and the partition table would change, or the destination
 * covers the running app and no slot takes it; nothing was touched
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: the app would move with a temporary table, but the last reset was a brownout; the
 *    next start will do it
 *  - ESP_ERR_INVALID_STATE: the running app has moved already, but the bootloader does not start it from there; nothing
 *    was touched
 *  - ESP_ERR_NO_MEM: nothing was touched, but for free flash that takes the running app
 *  - an error of esp_flash, handed up unchanged
 */
esp_err_t esp_self_reflasher_directly_copy_to_region(const esp_self_reflasher_config_t *config);

#ifdef __cplusplus
}
#endif
