// SPDX-License-Identifier: Apache-2.0
/** @file
 * esp-self-reflasher: replace any region of the flash, the bootloader included, from inside the running firmware.
 *
 * Two modes:
 * - download: init -> download_bin -> copy_to_region [-> upd_next_config -> download_bin -> copy_to_region ...] ->
 * deinit
 * - embedded: directly_copy_to_region, for an image that is already in flash, for example linked into the app.
 *
 * All functions run in the caller's task, and change the destination only after every check has passed. They are not
 * thread-safe, even with different handles: make one call at a time. None of them marks the running app as valid or
 * restarts the chip, with one exception that is documented at esp_self_reflasher_directly_copy_to_region().
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
#include "self_reflasher_version.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup self_reflasher_image Single images
 * @brief Download an image and copy it to its place, or copy one that is in flash already.
 * @{
 */

/** A range of flash. */
typedef struct {
    uint32_t region_address; /**< First byte, counted from the start of the flash. */
    size_t region_size;      /**< Bytes; 0 is an empty region, which is refused wherever one is used. */
} addr_region_t;

/** What the component is doing, for the progress callback. */
typedef enum {
    ESP_SELF_REFLASHER_PHASE_DOWNLOAD, /**< Bytes received and staged; total is 0 where the server tells no length,
                                            until the last byte has come. */
    ESP_SELF_REFLASHER_PHASE_CHECK,    /**< Bytes of the image read and checked. */
    ESP_SELF_REFLASHER_PHASE_COPY,     /**< Bytes of the destination region that are as they must be. */
} esp_self_reflasher_phase_t;

/**
 * @brief Progress callback. Called from the task that called the component, between flash operations, and neither while
 * the boot path is written nor while the running app is overwritten.
 *
 * @param[in] user_ctx `user_ctx` of the configuration.
 * @param[in] phase What is being done.
 * @param[in] done Bytes done of this phase.
 * @param[in] total Bytes of this phase; 0: not known.
 */
typedef void (*esp_self_reflasher_progress_cb_t)(void *user_ctx, esp_self_reflasher_phase_t phase, size_t done,
                                                 size_t total);

/** @name Flags of a configuration
 * For `flags` of esp_self_reflasher_config_t.
 * @{ */

/** Do not check what the flash would boot by. Left out are the checks that the bootloader's place would hold an intact
 *  bootloader for this chip and its revision, whose header says a flash that is large enough for the partition table;
 *  and, with Secure Boot on, that the image is signed for this chip. What `sha256`, the regions and flash encryption
 *  demand is checked all the same, and so is that a recovery bootloader that started the chip stays as it is. */
#define ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK (1u << 0)

/** Embedded mode: where the destination covers the running app and no OTA slot takes it, the app may be copied to free
 *  flash, and a partition table in which its entry lies there may be written until the image replaces it. A power loss
 *  while the table's sector is written, some 50 ms, leaves a chip that does not boot. Has no effect unless the
 *  destination covers that sector, and none with flash encryption or Secure Boot. */
#define ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE (1u << 1)

/** Download mode: a redirect may lead from https to http, where anyone on the way can change what comes. Meant for an
 *  image whose `sha256` is given. Without this flag such a redirect ends the download; one from http to https, and from
 *  https to https, is always followed. */
#define ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT (1u << 2)

/** @} */

/** One image: where it comes from and where it goes. Zero all of it first: fields that are not set then mean what is
 *  said of 0 or NULL. */
typedef struct {
    const esp_http_client_config_t *http_config; /**< Download mode: URL, certificates and so on; the struct is copied,
                                                      and what it points to must stay until the download has ended.
                                                      NULL is refused. Embedded mode: not used. */
    const esp_partition_t *target_partition;     /**< Download mode: where the image is staged. NULL: an OTA app
                                                      partition is chosen. Any partition of the main flash chip will do,
                                                      a data partition, too: up to the image's length its content is
                                                      lost, whatever it is (a file system, settings), even if the image
                                                      is refused. Must be unmounted, and outlive the handle. Embedded
                                                      mode: not used. */
    addr_region_t src_region;                    /**< Embedded mode: where in flash the image is; at any address.
                                                      Download mode: not used. */
    addr_region_t dest_region;                   /**< Final destination, in whole sectors of 4 KiB. The bytes of it
                                                      after the end of the image are erased. */
    size_t src_bin_size;                         /**< Embedded mode: bytes to copy from the start of src_region, 1 to
                                                      src_region.region_size. Download mode: not used. */

    const uint8_t *sha256; /**< SHA-256 over the whole image, 32 bytes, which must stay until the copy has ended. NULL:
                                the image is taken as it comes; esp_self_reflasher_download_bin() says what that
                                means. */
    esp_self_reflasher_progress_cb_t progress_cb; /**< Called as the work goes on; NULL: nobody is told. */
    void *user_ctx;                               /**< Handed to progress_cb; may be NULL. */
    uint32_t flags;                               /**< ESP_SELF_REFLASHER_FLAG_..., or-ed; 0: none. */
    uint32_t stall_timeout_ms; /**< Download mode: milliseconds that the server may take for the headers of an answer,
                                    and for every 4 KiB of the body; 0: 60000. `timeout_ms` of http_config is the limit
                                    of each single wait, and is reduced to this if it is longer. Embedded mode: not
                                    used. */
} esp_self_reflasher_config_t;

/** A download in several steps. Made by esp_self_reflasher_init(), freed by esp_self_reflasher_deinit(), and handed in
 *  by value. It points to nothing: whatever is no live handle (NULL, one that was given back, the address of a handle)
 *  is refused with ESP_ERR_INVALID_ARG. A handle stays valid when a call fails. */
typedef void *esp_self_reflasher_handle_t;

/**
 * @brief Start download mode: check the configuration and find the place where the image is staged.
 *
 * Changes no flash: staging sectors are erased as the image arrives, and only those that hold something else, so that
 * a download that is repeated after a power loss costs only what is missing.
 *
 * @param[in] config Copied; what it points to must stay as its fields say.
 * @param[out] handle Set on success only: start with NULL, which every call refuses. Free it with
 *        esp_self_reflasher_deinit().
 * @return
 *  - ESP_OK: the image can be downloaded
 *  - ESP_ERR_INVALID_ARG: config, handle or http_config is NULL; the destination is empty; or target_partition is not
 *    on the main flash chip
 *  - ESP_ERR_SELF_REFLASHER_UNALIGNED: the destination is not in whole sectors; or target_partition does not start at a
 *    sector boundary, or is smaller than a sector
 *  - ESP_ERR_SELF_REFLASHER_PAST_END: the destination or target_partition extends past the end of the flash
 *  - ESP_ERR_SELF_REFLASHER_RUNNING_APP: the partition of the running app overlaps the destination or target_partition
 *  - ESP_ERR_SELF_REFLASHER_READ_ONLY: the destination or target_partition touches a partition that is flagged
 *    `readonly`
 *  - ESP_ERR_SELF_REFLASHER_OVERLAP: target_partition overlaps the destination, or what the running system boots by:
 *    bootloader, partition table, otadata, and the recovery bootloader if that started the chip
 *  - ESP_ERR_SELF_REFLASHER_NO_STAGING: target_partition is NULL, and no OTA app partition is clear of the destination
 *    and of the running app
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip
 *  - ESP_ERR_NO_MEM: no memory for the handle, or to search the partition table
 *  - an error of esp_flash: the flash could not be read
 */
esp_err_t esp_self_reflasher_init(const esp_self_reflasher_config_t *config, esp_self_reflasher_handle_t *handle);

/**
 * @brief Download the image into the staging partition and check it there.
 *
 * Uses the caller's esp_http_client configuration as it is. Redirects are followed unless it forbids them, but not from
 * https to http unless ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT is set. Where the target of a redirect answers with
 * a status of 400 to 499, the download starts once more from the first URL. User name, password and headers of the
 * configuration go to wherever a redirect leads, as always with esp_http_client. The client is closed on every path.
 * After an error the same call may be repeated.
 *
 * Without `sha256` nothing vouches for the image. Over plain http whoever controls the network, and in any case whoever
 * controls the server, then decides what runs on the device, and with which bootloader: an image that is intact is
 * taken, whoever made it. There is no signature here; bundles (self_reflasher_bundle.h) have one.
 *
 * If the image is refused, that is with one of the errors from ESP_ERR_SELF_REFLASHER_TOO_LARGE to
 * ESP_ERR_SELF_REFLASHER_NOT_SIGNED in the list of this function, all that was staged of it is erased before the call
 * returns. After any other error what came stays, so that the next try writes only the rest; but its first sector is
 * erased, and so is each sector that starts as a record of esp_self_reflasher_resume(): no bootloader starts it, and
 * nothing goes on from it. Where a sector cannot be erased, the log says which. After a power loss all that came is
 * still there.
 *
 * @param[in] handle From esp_self_reflasher_init(), by value.
 * @return
 *  - ESP_OK: the image is staged and checked; esp_self_reflasher_copy_to_region() comes next
 *  - ESP_ERR_INVALID_ARG: handle is not live
 *  - ESP_ERR_INVALID_STATE: the image of this configuration is staged or copied already
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: the server answered with another status than 200
 *  - ESP_ERR_SELF_REFLASHER_EMPTY_BODY: the body is empty
 *  - ESP_ERR_SELF_REFLASHER_SHORT_BODY: the body ended before the announced length, or the connection broke
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads from https to something else
 *  - ESP_ERR_SELF_REFLASHER_TOO_SLOW: the server took longer than `stall_timeout_ms`
 *  - ESP_ERR_HTTP_EAGAIN: nothing came within `timeout_ms` of http_config
 *  - ESP_ERR_SELF_REFLASHER_TOO_LARGE: the image is larger than the destination
 *  - ESP_ERR_SELF_REFLASHER_STAGING_SMALL: the image is larger than the room in the staging partition
 *  - ESP_ERR_SELF_REFLASHER_SHA256: its SHA-256 is not `sha256`
 *  - ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER: the bootloader's place would hold no bootloader, or the recovery bootloader
 *    that started the chip would be overwritten
 *  - ESP_ERR_SELF_REFLASHER_WRONG_CHIP: the bootloader is for another chip
 *  - ESP_ERR_SELF_REFLASHER_CHECKSUM, ESP_ERR_SELF_REFLASHER_DIGEST: the bootloader is damaged
 *  - ESP_ERR_SELF_REFLASHER_FLASH_SIZE: the bootloader's header says a smaller flash than the partition table needs
 *  - ESP_ERR_SELF_REFLASHER_REVISION: anti-rollback forbids the bootloader, or it does not run on this revision of the
 *    chip
 *  - ESP_ERR_SELF_REFLASHER_NOT_SIGNED: Secure Boot is on, and the image is not signed for this chip
 *  - ESP_ERR_NOT_SUPPORTED: the chip encrypts its flash, and the partition table would change; or this component does
 *    not know the chip; or CONFIG_SELF_REFLASHER_HTTP is off
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: staging holds something else than was written, after all retries
 *  - ESP_ERR_NO_MEM: no memory for buffers or for the HTTP client
 *  - ESP_FAIL: the image could not be hashed
 *  - another error of esp_http_client or of esp_flash, unchanged
 */
esp_err_t esp_self_reflasher_download_bin(esp_self_reflasher_handle_t handle);

/**
 * @brief Check the staged image once more and make the destination region hold it, blank (0xFF) after its end.
 *
 * Sectors that are right already are not touched. Sectors of the boot path come last, without pause. After an error
 * that is not a refusal the same call may be repeated, and should be: the destination may be half written.
 *
 * @param[in] handle From esp_self_reflasher_init(), by value.
 * @return
 *  - ESP_OK: every sector of the region was read back and is right
 *  - ESP_ERR_INVALID_ARG: handle is not live
 *  - ESP_ERR_INVALID_STATE: nothing is staged, or the image was copied already
 *  - ESP_ERR_SELF_REFLASHER_SHA256, ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER, ESP_ERR_SELF_REFLASHER_WRONG_CHIP,
 *    ESP_ERR_SELF_REFLASHER_CHECKSUM, ESP_ERR_SELF_REFLASHER_DIGEST, ESP_ERR_SELF_REFLASHER_FLASH_SIZE,
 *    ESP_ERR_SELF_REFLASHER_REVISION, ESP_ERR_SELF_REFLASHER_NOT_SIGNED: what is staged is not what it was, or no
 *    longer fits what is in flash around the destination. The destination was not touched, what was staged is erased,
 *    and the image must be downloaded again
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: a sector does not hold what was written, after all retries; the log names it
 *  - ESP_ERR_NOT_SUPPORTED: the chip encrypts its flash, and the partition table would change; or this component does
 *    not know the chip. The destination was not touched
 *  - ESP_ERR_NO_MEM, or ESP_FAIL if the image could not be hashed: the destination was not touched
 *  - an error of esp_flash, unchanged
 */
esp_err_t esp_self_reflasher_copy_to_region(esp_self_reflasher_handle_t handle);

/**
 * @brief Go on with the next image on the same handle.
 *
 * Changes no flash. May be called at any time: what is staged and was not copied is given up. The staging partition
 * goes on being used, after the previous image, where there is room and target_partition is NULL or the same; if not,
 * from its start, or another partition is chosen. On error the handle is as it was.
 *
 * @param[in] config Copied; what it points to must stay as its fields say.
 * @param[in] handle From esp_self_reflasher_init(), by value.
 * @return
 *  - ESP_OK: the image can be downloaded
 *  - ESP_ERR_INVALID_ARG: handle is not live; config or http_config is NULL; the destination is empty; or
 *    target_partition is not on the main flash chip
 *  - ESP_ERR_SELF_REFLASHER_UNALIGNED: the destination is not in whole sectors; or target_partition does not start at a
 *    sector boundary, or is smaller than a sector
 *  - ESP_ERR_SELF_REFLASHER_PAST_END: the destination or target_partition extends past the end of the flash
 *  - ESP_ERR_SELF_REFLASHER_RUNNING_APP: the partition of the running app overlaps the destination or target_partition
 *  - ESP_ERR_SELF_REFLASHER_READ_ONLY: the destination or target_partition touches a partition that is flagged
 *    `readonly`
 *  - ESP_ERR_SELF_REFLASHER_OVERLAP: target_partition overlaps the destination, or what the running system boots by:
 *    bootloader, partition table, otadata, and the recovery bootloader if that started the chip
 *  - ESP_ERR_SELF_REFLASHER_NO_STAGING: target_partition is NULL, and no OTA app partition is clear of the destination,
 *    of the destinations of earlier images of this handle, and of the running app
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip
 *  - ESP_ERR_NO_MEM: no memory to search the partition table
 *  - an error of esp_flash: the flash could not be read
 */
esp_err_t esp_self_reflasher_upd_next_config(const esp_self_reflasher_config_t *config,
                                             esp_self_reflasher_handle_t handle);

/**
 * @brief Free a handle. What is staged stays in flash.
 *
 * @param[in] handle From esp_self_reflasher_init(), by value; not live afterwards.
 * @return
 *  - ESP_OK: the handle was freed
 *  - ESP_ERR_INVALID_ARG: handle is not live
 */
esp_err_t esp_self_reflasher_deinit(esp_self_reflasher_handle_t handle);

/**
 * @brief Embedded mode: copy an image from one place in flash to another, blank (0xFF) after its end.
 *
 * Source and destination may overlap in either direction. Sectors that are right already are not touched. Sectors of
 * the boot path come last, without pause.
 *
 * If the destination covers sectors of the running app that must change, the app first moves out of the way: it is
 * copied to an OTA slot that neither the image nor the destination touches, selected there as a valid app, and the chip
 * restarts. The same call after that start does the rest. Where there is no such slot, it moves to other free flash,
 * if ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE is set. Where that is impossible as well, the copy runs from RAM
 * with the scheduler stopped, and ends in a chip reset instead of a return, because there is nothing left to return to.
 * This needs CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP, and a power loss during such a copy leaves a chip that does
 * not boot.
 *
 * @param[in] config Read during the call only.
 * @return
 *  - ESP_OK: every sector of the region was read back and is right
 *  - ESP_ERR_INVALID_ARG: config is NULL, a region is empty, src_bin_size is 0 or larger than src_region
 *  - ESP_ERR_SELF_REFLASHER_UNALIGNED: the destination is not in whole sectors
 *  - ESP_ERR_SELF_REFLASHER_PAST_END: source or destination extends past the end of the flash
 *  - ESP_ERR_SELF_REFLASHER_READ_ONLY: the destination touches a partition that is flagged `readonly`
 *  - ESP_ERR_SELF_REFLASHER_TOO_LARGE: src_bin_size is larger than the destination
 *  - ESP_ERR_SELF_REFLASHER_SHA256: the SHA-256 of the image is not `sha256`
 *  - ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER: the bootloader's place would hold no bootloader, or the recovery bootloader
 *    that started the chip would be overwritten
 *  - ESP_ERR_SELF_REFLASHER_WRONG_CHIP: the bootloader is for another chip
 *  - ESP_ERR_SELF_REFLASHER_CHECKSUM, ESP_ERR_SELF_REFLASHER_DIGEST: the bootloader is damaged
 *  - ESP_ERR_SELF_REFLASHER_FLASH_SIZE: the bootloader's header says a smaller flash than the partition table needs
 *  - ESP_ERR_SELF_REFLASHER_REVISION: anti-rollback forbids the bootloader, or it does not run on this revision of the
 *    chip
 *  - ESP_ERR_SELF_REFLASHER_NOT_SIGNED: Secure Boot is on, and the image is not signed for this chip
 *  - ESP_ERR_SELF_REFLASHER_RUNNING_APP: the destination covers the running app, nothing takes it, and
 *    CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP is off; the log tells how many bytes of free flash are missing
 *  - ESP_ERR_NOT_SUPPORTED: the chip encrypts its flash, and the partition table would change, or the destination
 *    covers the running app and no slot takes it; or this component does not know the chip. Nothing was touched
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: the app would move with a temporary table, but the last reset was a brownout; call
 *    again after the next start
 *  - ESP_ERR_INVALID_STATE: the bootloader would not start the running app where it moves, has not started it where it
 *    moved already, or tries another app first, which otadata cannot change; the destination was not touched
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: a sector does not hold what was written, after all retries; the log names it
 *  - ESP_ERR_NO_MEM: nothing was touched but free flash or a slot that takes the running app
 *  - ESP_FAIL: the image could not be hashed, or otadata could not be read; the destination was not touched
 *  - an error of esp_flash, unchanged
 */
esp_err_t esp_self_reflasher_directly_copy_to_region(const esp_self_reflasher_config_t *config);

/** @} */

#ifdef __cplusplus
}
#endif
