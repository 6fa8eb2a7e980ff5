// SPDX-License-Identifier: Apache-2.0
/** @file
 * Bundles: one signed file says what the flash must hold, and the chip makes itself hold exactly that.
 *
 * esp_self_reflasher_plan_bundle() looks and changes nothing. esp_self_reflasher_apply_bundle() does what is left to
 * do: called at every start of the app it goes on where the power was lost, and costs only reads when nothing is left.
 * esp_self_reflasher_resume() finishes the last step without network.
 *
 * The functions run in the caller's task, one at a time: a call from a callback, or from another task, is refused. They
 * need about 4 KiB of the task's stack.
 * Format of a bundle: docs/bundle-format.md. How bundles are made: `self-reflasher pack`.
 */
#pragma once

#include "self_reflasher.h"

#include <stdbool.h>

#include "esp_event_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @defgroup self_reflasher_bundle Bundles
 * @brief Replace the whole system at once.
 *
 * A sector has 4 KiB. The boot path is what the running system boots by: the sectors of its bootloader, of its
 * partition table and of otadata.
 * @{
 */

/**
 * @defgroup self_reflasher_bundle_events Events
 * @brief What a call tells while it works.
 * @{
 */

/** Event base of the events that esp_self_reflasher_plan_bundle() and esp_self_reflasher_apply_bundle() post to the
 *  default event loop, if there is one and it has room. The id is an esp_self_reflasher_event_t, the data an
 *  esp_self_reflasher_event_data_t. */
ESP_EVENT_DECLARE_BASE(ESP_SELF_REFLASHER_EVENT);

/** What happens, for events and callback. A plan tells only CHECK and RETRY. */
typedef enum {
    ESP_SELF_REFLASHER_EVENT_CHECK,   /**< The flash is compared with the manifest. */
    ESP_SELF_REFLASHER_EVENT_PREPARE, /**< Sectors outside the boot path are written. */
    ESP_SELF_REFLASHER_EVENT_STAGE,   /**< What is left is staged in free flash. */
    ESP_SELF_REFLASHER_EVENT_COMMIT,  /**< The boot path, or a temporary partition table, is written. Told before its
                                         first and after its last sector. */
    ESP_SELF_REFLASHER_EVENT_RETRY,   /**< The connection broke and is made again. */
    ESP_SELF_REFLASHER_EVENT_DONE,    /**< The flash holds what the bundle says. */
    ESP_SELF_REFLASHER_EVENT_FAILED,  /**< The call fails, and `error` says why. */
} esp_self_reflasher_event_t;

/** Numbers of an event. */
typedef struct {
    uint32_t sectors_done;     /**< Sectors done of what is going on. */
    uint32_t sectors_total;    /**< Sectors of what is going on; 0 before it is known. */
    uint32_t bytes_downloaded; /**< Bytes of HTTP bodies that came in this call so far; 0 for an embedded bundle. */
    uint32_t retries;          /**< Connections made again in this call so far. */
    esp_err_t error;           /**< For ESP_SELF_REFLASHER_EVENT_FAILED what the call returns; otherwise ESP_OK. */
} esp_self_reflasher_event_data_t;

/**
 * @brief Called for each event from the calling task, also where there is no event loop; never between the sectors of
 * the boot path.
 *
 * @param[in] user_ctx `user_ctx` of the configuration.
 * @param[in] event What happens.
 * @param[in] data Its numbers, valid during the call.
 */
typedef void (*esp_self_reflasher_event_cb_t)(void *user_ctx, esp_self_reflasher_event_t event,
                                              const esp_self_reflasher_event_data_t *data);

/**
 * @brief Asked whether now is a good time: is the battery charged, the supply steady?
 *
 * Asked from the calling task before a step in which a power loss leaves a chip that does not boot: the commit, writing
 * a temporary partition table, and overwriting the running app in place. All take place in
 * esp_self_reflasher_apply_bundle(), and the commit also in esp_self_reflasher_resume().
 *
 * @param[in] user_ctx `user_ctx` of the configuration.
 * @return true to go on; false to put the step off, and the call returns ESP_ERR_SELF_REFLASHER_NOT_NOW.
 */
typedef bool (*esp_self_reflasher_may_commit_t)(void *user_ctx);

/** @} */

/**
 * @defgroup self_reflasher_bundle_flags Flags of a configuration
 * @brief What is allowed, for `flags` of esp_self_reflasher_bundle_config_t. Each makes something possible that costs
 * safety.
 * @{
 */

/** A bundle without signature is accepted. Without this flag a bundle must be signed with `public_key`. A signature
 * that is there must be right even with this flag, if there is a `public_key` to tell. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED (1u << 0)

/** Where the running app is in the way and no OTA slot takes it: it may be copied to free flash, and a partition table
 *  in which its entry lies there may be written until the bundle's own table replaces it. That costs a second, short
 *  window in which a power loss leaves a chip that does not boot: `relocation_ms_maximum` of the plan. Has no effect
 *  unless the bundle describes the sector of the table, and none with flash encryption or Secure Boot. Should the
 * bundle not be applied to its end, the app goes on with this table, in which its partition is as small as the app. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE (1u << 1)

/** Where the running app is in the way, no OTA slot takes it, and it does not move with a temporary partition table: it
 *  may be overwritten from RAM, if there is free flash that holds what goes to its place. A power loss while that lasts
 *  leaves a chip that does not boot: `relocation_ms_maximum` of the plan, which is seconds. Needs
 *  CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP, and ends in a reset. Has no effect with flash encryption, nor for a
 *  bundle that moves data. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE (1u << 2)

/** A redirect may lead from https to http. What comes is verified all the same, but anyone on the way sees it, and can
 *  keep the device from getting it. Without this flag such a redirect ends the call. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT (1u << 3)

/** @} */

/**
 * @defgroup self_reflasher_bundle_checks Checks of the result
 * @brief Checks of what the chip would boot afterwards. All are made, but for those that are named in `skip_checks` of
 * esp_self_reflasher_bundle_config_t.
 * @{
 */

/** The bootloader is for this chip, and its checksum and digest are right. */
#define ESP_SELF_REFLASHER_CHECK_BOOTLOADER (1u << 0)
/** The flash size in the bootloader's header covers the partition table and fits the chip. */
#define ESP_SELF_REFLASHER_CHECK_FLASH_SIZE (1u << 1)
/** Flash mode and clock in the bootloader's header are no bolder than those that work today. */
#define ESP_SELF_REFLASHER_CHECK_FLASH_MODE (1u << 2)
/** Bootloader and app run on this chip's revision, and on that of its eFuse block. */
#define ESP_SELF_REFLASHER_CHECK_REVISION (1u << 3)
/** The partition table is intact: MD5, bounds, alignment, overlaps. */
#define ESP_SELF_REFLASHER_CHECK_TABLE (1u << 4)
/** The app that will boot is for this chip, and intact, and in its partition. */
#define ESP_SELF_REFLASHER_CHECK_APP (1u << 5)
/** The running app is not waiting for a rollback verdict: the next reset would start another one. */
#define ESP_SELF_REFLASHER_CHECK_ROLLBACK (1u << 6)
/** The secure versions of bootloader and app are not below what the chip's eFuses demand (anti-rollback). */
#define ESP_SELF_REFLASHER_CHECK_SECURE_VERSION (1u << 7)

/** @} */

/** Why a bundle is refused. `refusal_text` of the plan says more, with numbers. */
typedef enum {
    ESP_SELF_REFLASHER_REFUSED_NOT = 0,         /**< It is not. */
    ESP_SELF_REFLASHER_REFUSED_FORMAT,          /**< No bundle, damaged, or of a version or feature not known here. */
    ESP_SELF_REFLASHER_REFUSED_SIGNATURE,       /**< Not signed, signed with another key, or the signature is wrong; or
                                                     it could not be verified, or `public_key` not be read. */
    ESP_SELF_REFLASHER_REFUSED_CHIP,            /**< Made for another chip, or for a later revision. */
    ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE,      /**< The flash is too small. */
    ESP_SELF_REFLASHER_REFUSED_BOOTLOADER,      /**< ESP_SELF_REFLASHER_CHECK_BOOTLOADER failed, or the recovery
                                                     bootloader that started the chip would be overwritten. */
    ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE, /**< ESP_SELF_REFLASHER_CHECK_FLASH_SIZE failed. */
    ESP_SELF_REFLASHER_REFUSED_FLASH_MODE,      /**< ESP_SELF_REFLASHER_CHECK_FLASH_MODE failed. */
    ESP_SELF_REFLASHER_REFUSED_REVISION,        /**< ESP_SELF_REFLASHER_CHECK_REVISION failed. */
    ESP_SELF_REFLASHER_REFUSED_TABLE,           /**< ESP_SELF_REFLASHER_CHECK_TABLE failed. */
    ESP_SELF_REFLASHER_REFUSED_APP,             /**< ESP_SELF_REFLASHER_CHECK_APP failed. */
    ESP_SELF_REFLASHER_REFUSED_ROLLBACK,        /**< ESP_SELF_REFLASHER_CHECK_ROLLBACK failed: call
                                                     esp_ota_mark_app_valid_cancel_rollback() first. */
    ESP_SELF_REFLASHER_REFUSED_RUNNING_APP,     /**< The running app lies where other content must go; or the bootloader
                                                     would start another one after a power loss, and otadata cannot
                                                     change that: a test app that a pin has started. */
    ESP_SELF_REFLASHER_REFUSED_SECURITY,        /**< Flash encryption, Secure Boot or anti-rollback forbids it;
                                                     ESP_SELF_REFLASHER_CHECK_SECURE_VERSION is part of it. */
    ESP_SELF_REFLASHER_REFUSED_SOURCE,          /**< The embedded bundle lies where other content must go. */
    ESP_SELF_REFLASHER_REFUSED_MOVE,            /**< What is to move is not there, does not fit, or cannot be staged. */
    ESP_SELF_REFLASHER_REFUSED_READ_ONLY,       /**< A partition that is flagged `readonly` would have to be written. */
    ESP_SELF_REFLASHER_REFUSED_SEQUENCE,        /**< Older than `min_sequence` allows. */
    ESP_SELF_REFLASHER_REFUSED_NO_ROOM,         /**< No sector of flash is free to note that the installation is not
                                                     done. */
} esp_self_reflasher_refusal_t;

/** How the running app gets out of the way. */
typedef enum {
    ESP_SELF_REFLASHER_RELOCATION_NONE = 0,        /**< It stays: it is not in the way, or it cannot move. */
    ESP_SELF_REFLASHER_RELOCATION_SLOT,            /**< To an OTA slot, and the chip restarts. */
    ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, /**< To free flash, and the chip restarts with a temporary table. */
    ESP_SELF_REFLASHER_RELOCATION_IN_PLACE,        /**< It is overwritten from RAM, and the chip is reset. */
} esp_self_reflasher_relocation_t;

/**
 * Where a bundle comes from, and what is allowed. Zero all of it first: fields that are not set then mean what is said
 * of 0 or NULL.
 *
 * The struct and what http_config points to are copied when a call starts: what a callback changes in them makes no
 * difference to this call. Texts, and what else they point to, stay the caller's, and must not change until it returns.
 */
typedef struct {
    const esp_http_client_config_t *http_config; /**< HTTP(S) source; NULL: `embedded` is the source. */
    addr_region_t embedded;                      /**< Region of flash, at any address, that starts with the bundle.
                                                      Not used if http_config is set. */
    const char *public_key;                      /**< PEM text, "BEGIN PUBLIC KEY", of a key on P-256. NULL: none, only
                                                      with ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED. */
    uint32_t flags;                              /**< ESP_SELF_REFLASHER_BUNDLE_..., or-ed; 0: none. */
    uint32_t skip_checks;                        /**< ESP_SELF_REFLASHER_CHECK_... that are switched off, or-ed; 0: all
                                                      checks are made. */
    uint32_t max_retries;                        /**< How often in a row a connection is made again, with less than
                                                      4 KiB received in between, before giving up; 0: 8. */
    esp_self_reflasher_event_cb_t event_cb;      /**< Called for each event; NULL: nobody is. */
    esp_self_reflasher_may_commit_t may_commit;  /**< Asked before a step that a power loss must not meet; NULL: such a
                                                      step is put off after a brownout, and done otherwise. */
    void *user_ctx;                              /**< Handed to event_cb and may_commit; may be NULL. */
    uint32_t stall_timeout_ms; /**< Milliseconds that the server may take for the headers of an answer, and for every
                                    4 KiB of the body, before the connection counts as broken; 0: 60000. `timeout_ms` of
                                    http_config is the limit of each single wait, and is reduced to this if it is
                                    longer. */
    /**
     * Least sequence number that is taken; 0: any. A signature does not expire: whoever has kept a bundle that was once
     * signed can offer it again, with all the faults that later ones have mended. The number, which is signed with the
     * rest (`pack --sequence`), tells which is older.
     *
     * What an app has to keep is the number of the bundle that brought it. A constant that is compiled into it is
     * enough, and is the safest place: it comes and goes with the app, and no power loss, erased NVS or bundle changes
     * it without the key. Only if bundles come without a new app is it the larger one of the constant and of a number
     * in NVS, which is written when all is done: after ESP_OK with plan->installed. To keep a bundle from a device for
     * good, even where an older app was put back, raise the secure version in the eFuse
     * (CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK).
     */
    uint32_t min_sequence;
} esp_self_reflasher_bundle_config_t;

/** What applying a bundle would take. Times are estimates from a W25Q32JV's datasheet, in milliseconds. */
typedef struct {
    esp_self_reflasher_refusal_t refusal; /**< Why the bundle is refused; ESP_SELF_REFLASHER_REFUSED_NOT (0) if it is
                                               not. */
    char refusal_text[256];               /**< The same for a log or a user, in English; empty if it is not refused. */
    uint32_t sectors_total;               /**< Sectors that the bundle describes. */
    uint32_t sectors_right;               /**< Those that hold what they must already. */
    uint32_t sectors_to_write;            /**< Those that do not; 0: nothing is left to do. */
    uint32_t sectors_boot_path; /**< Of sectors_to_write: those on the boot path of the running system, or in a block
                                   that is erased with it. */
    uint32_t bytes_to_download; /**< Bytes of HTTP bodies; 0 for an embedded bundle. Counted are the manifest
                                     with its signature, and each chunk that carries a sector to write, once.
                                     The chunk of the bootloader counts twice where a long manifest leaves no
                                     room to keep it until the commit. Where the app moves and the chip
                                     restarts, what was fetched until then counts twice, too. What a broken
                                     connection costs, headers and TLS are not counted. */
    uint32_t flash_ms_typical;  /**< All erasing and programming, if each operation takes its typical time. */
    uint32_t flash_ms_maximum;  /**< All erasing and programming, if each operation takes its longest time. */
    uint32_t window_ms_typical; /**< Of flash_ms_typical: the part in which a power loss leaves a chip that does
                                     not boot; 0: there is none. */
    uint32_t window_ms_maximum; /**< Of flash_ms_maximum: the part in which a power loss leaves a chip that does
                                     not boot; 0: there is none. */
    bool must_relocate;         /**< The running app lies where other content must go. */
    bool installed;             /**< The bundle's system is in place. What that system owns (docs/bundle-format.md,
                                     "Installed") is not looked at any more, counts as right, and nothing moves. */
    uint32_t relocate_to;       /**< Address that the running app moves to; UINT32_MAX: it does not move. */
    uint32_t staging_address;  /**< Address of the free flash where the last step would be staged; UINT32_MAX: it is not
                                    staged, but held in RAM. */
    uint32_t recovery_address; /**< Address of the recovery bootloader that boots the chip while the bootloader is
                                    written, so that this is no part of the window; UINT32_MAX: there is none. */
    uint32_t sectors_moved;    /**< Of sectors_to_write: those whose content is elsewhere in the flash, and moves. */
    esp_self_reflasher_relocation_t relocation; /**< How the running app gets out of the way. */
    uint32_t relocation_ms_typical;             /**< What that adds to window_ms_typical; 0: nothing. */
    uint32_t relocation_ms_maximum;             /**< What that adds to window_ms_maximum; 0: nothing. */
    uint32_t sectors_left; /**< Sectors that are to be blank and stay as they are, because the running app lies there,
                                now or after it has moved, and no slot is free for it. An app that runs elsewhere erases
                                them when it applies the bundle again. They count neither as right nor as to be written
                                once the app lies there. */
    uint32_t sequence;     /**< Sequence number of the bundle; 0 also if none was read. */
    uint32_t app_address;  /**< Address of the app that the chip will start when all is done. If the bundle brings an
                                app, it is one of the bundle's, or the bundle is refused. UINT32_MAX: not known, as
                                there is no partition table, or nothing is left to do. */
    uint32_t sectors_given_up; /**< Sectors of the running system that the bundle gives up (`pack --give-up`): what they
                                    hold may be overwritten as soon as anything is, so if it is not 0, nothing may
                                    write there from apply() on until the restart: unmount file systems first. 0 once
                                    its system is in place. */
    uint32_t bytes_missing; /**< If the bundle is refused for want of free flash: bytes that are missing in the way that
                                 needs least; 0 if something else stands against that one, which refusal_text names,
                                 and if it is not refused for that. Giving up data of the running system (`pack
                                 --give-up`) makes room. */
} esp_self_reflasher_plan_t;

/**
 * @brief Read and verify a bundle, look at the flash, and tell what applying it would take. Changes no flash.
 *
 * @param[in] config Copied when the call starts; see esp_self_reflasher_bundle_config_t.
 * @param[out] plan The caller's. Filled also for a refusal, as far as it is known by then, and defined after every
 *        error: 0 for numbers, UINT32_MAX for addresses. Written only when all is known: nothing that is put there
 *        meanwhile counts.
 * @return
 *  - ESP_OK: the bundle can be applied
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: it cannot; plan->refusal and plan->refusal_text say why
 *  - ESP_ERR_INVALID_ARG: config or plan is NULL, the embedded region is empty or not inside the flash, or there is
 *    neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
 *  - ESP_ERR_INVALID_STATE: another call of this API has not returned yet; it may be the one whose callback this is
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: the server answered with a status that is no success, and not one of the next
 *    line
 *  - ESP_ERR_HTTP_EAGAIN: nothing came within `timeout_ms` of http_config, or the server answered with status 429 or
 *    one from 500 on, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_SHORT_BODY: the connection broke, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_TOO_SLOW: the server took longer than `stall_timeout_ms`, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads from https to something else
 *  - ESP_ERR_INVALID_SIZE: the server's file ends before the bundle does
 *  - ESP_ERR_SELF_REFLASHER_CHUNK: a chunk does not decode to what the manifest says, and neither when fetched again
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip, or http_config is set and CONFIG_SELF_REFLASHER_HTTP
 *    is off
 *  - ESP_ERR_NO_MEM: no memory for manifest, map or buffers
 *  - ESP_FAIL: something could not be hashed
 *  - another error of esp_http_client, after all retries, or of esp_flash, unchanged
 */
esp_err_t esp_self_reflasher_plan_bundle(const esp_self_reflasher_bundle_config_t *config,
                                         esp_self_reflasher_plan_t *plan);

/**
 * @brief Make the flash hold what a bundle says. Idempotent.
 *
 * What an earlier call has staged and could not finish is finished first, as esp_self_reflasher_resume() does it,
 * which ends in a restart of the chip.
 *
 * What a bundle moves is data of the running app. Nothing may write to it meanwhile: call nvs_flash_deinit(), unmount
 * the file system, and so on, at the latest in may_commit().
 *
 * After ESP_OK with `plan->sectors_to_write` other than 0 the caller restarts the chip. If the running app is in the
 * way, it is copied to a free OTA slot, or, if that is allowed, to other free flash, and the function restarts the chip
 * by itself: the app comes up from there, and its next call goes on. If it is overwritten in place, which also needs to
 * be allowed, the chip resets into the new system.
 *
 * @param[in] config Copied when the call starts; see esp_self_reflasher_bundle_config_t.
 * @param[out] plan What it took, in the terms of esp_self_reflasher_plan_t; may be NULL. The caller's. Written when all
 *        is known and before anything is changed, so that callbacks can read it then, and at the end; what a callback
 *        puts there makes no difference.
 * @return
 *  - ESP_OK: every sector holds what it must, read back and compared with its digest; all but plan->sectors_left
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: the bundle cannot be applied; plan->refusal and plan->refusal_text say why.
 *    Nothing was changed, with one exception: over HTTP the app that will boot is read as a whole only when it is in
 *    place, and may be refused then; the old system boots
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: what is left is put off, the commit or the writing of a temporary partition table:
 *    may_commit() returned false, or, without it, the last reset was a brownout
 *  - ESP_ERR_INVALID_ARG: config is NULL, the embedded region is empty or not inside the flash, or there is neither a
 *    public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
 *  - ESP_ERR_INVALID_STATE: another call of this API has not returned yet; or the bootloader would not start the
 *    running app where it moves, or has not started it where it moved already; or the bootloader tries another app
 *    first, and otadata cannot make it try the running one; or data that moves was written to by another task while it
 *    was copied; or the free flash for what has to be staged cannot be used
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS: the server answered with a status that is no success, and not one of the next
 *    line
 *  - ESP_ERR_HTTP_EAGAIN: nothing came within `timeout_ms` of http_config, or the server answered with status 429 or
 *    one from 500 on, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_SHORT_BODY: the connection broke, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_TOO_SLOW: the server took longer than `stall_timeout_ms`, and again at each retry
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads from https to something else
 *  - ESP_ERR_INVALID_SIZE: the server's file ends before the bundle does, or the boot path that changes is in more
 *    pieces than a record can list
 *  - ESP_ERR_SELF_REFLASHER_CHUNK: a chunk does not decode to what the manifest says, and neither when fetched again
 *  - ESP_ERR_SELF_REFLASHER_VERIFY: a sector does not hold what was written, after all retries; the log names it
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip, or http_config is set and CONFIG_SELF_REFLASHER_HTTP
 *    is off
 *  - ESP_ERR_NO_MEM: no memory for manifest, map or buffers, or to hold the boot path
 *  - ESP_FAIL: something could not be hashed, or otadata could not be read
 *  - another error of esp_http_client, after all retries, or of esp_flash, unchanged
 *
 *  After any error but a refusal the same call goes on from where it was.
 */
esp_err_t esp_self_reflasher_apply_bundle(const esp_self_reflasher_bundle_config_t *config,
                                          esp_self_reflasher_plan_t *plan);

/**
 * @brief Finish what a power loss interrupted, without network, NVS or server. The first call in app_main().
 *
 * The last step of esp_self_reflasher_apply_bundle() is staged in free flash before it begins, together with the signed
 * manifest. If it lies there complete, this function does it, and restarts the chip: then it does not return. It looks
 * at one small piece of each sector, and so takes some milliseconds where there is nothing to do. It tells no events.
 *
 * Free flash is full of bytes that strangers put there, as any OTA upload does before it is verified. So what lies
 * there has to prove itself: with a signature of `public_key` over the manifest, and with the manifest's digest for
 * every sector; only where the signed manifest moves data is the list's own digest enough. What does not is left alone,
 * with a line in the log, and is no error.
 *
 * With ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED and no key, none of this protects: whoever can write to free flash, by
 * an OTA upload that is refused for instance, can have anything written anywhere at the next start, the bootloader
 * included.
 *
 * A step that fails although the old system is whole is given up: the call returns the cause, and the next call of
 * esp_self_reflasher_apply_bundle() starts anew. With the boot path half written, or with the only copy of data that
 * moves in flash, it is tried again at each start.
 *
 * @param[in] config The one that esp_self_reflasher_apply_bundle() gets. Used are public_key, flags, min_sequence,
 *        skip_checks, may_commit and user_ctx; no source needs to be named. Must not change until the call returns.
 * @return
 *  - ESP_OK: nothing is left to be finished
 *  - ESP_ERR_INVALID_ARG: config is NULL, or there is neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
 *  - ESP_ERR_INVALID_STATE: another call of this API has not returned yet; it may be the one whose callback this is
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: may_commit() returned false, or, without it, the last reset was a brownout; the
 *    next start will do it. What is written until then to data that moves is lost: the staged copy is what counts
 *  - ESP_ERR_SELF_REFLASHER_VERIFY or an error of esp_flash: the step could not be finished; the log names the sector,
 *    and whether the step was given up
 *  - ESP_ERR_NOT_SUPPORTED: this component does not know the chip; nothing was changed
 *  - ESP_ERR_NO_MEM: nothing was changed; call again
 *  - ESP_FAIL: something could not be hashed; call again. If the step was given up, the log says so
 */
esp_err_t esp_self_reflasher_resume(const esp_self_reflasher_bundle_config_t *config);

/** @} */

#ifdef __cplusplus
}
#endif
