// SPDX-License-Identifier: Apache-2.0
/** @file
 * Bundles: one signed file says what the flash must hold, and the chip makes itself hold exactly that.
 *
 * esp_self_reflasher_plan_bundle() looks and changes nothing. esp_self_reflasher_apply_bundle() does what is left to
 * do: called at every start of the app it goes on where the power was cut, and costs only reads when nothing is left.
 *
 * The functions run in the caller's task, one at a time: a call from a callback, or from another task, is refused. They
 * need about 4 KiB of its stack.
 * Format of a bundle: docs/bundle-format.md. How bundles are made: `self-reflasher pack`.
 */
#pragma once

#include "self_reflasher.h"

#include <stdbool.h>

#include "esp_event_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Event base of the events that esp_self_reflasher_apply_bundle() posts to the default event loop, if there is one.
 *  The id is an esp_self_reflasher_event_t, the data an esp_self_reflasher_event_data_t. */
ESP_EVENT_DECLARE_BASE(ESP_SELF_REFLASHER_EVENT);

/** What happens, for events and callback. */
typedef enum {
    ESP_SELF_REFLASHER_EVENT_CHECK,   /**< The flash is compared with the manifest. */
    ESP_SELF_REFLASHER_EVENT_PREPARE, /**< Sectors that the running system does not need are written. */
    ESP_SELF_REFLASHER_EVENT_STAGE,   /**< What is left is staged in free flash. */
    ESP_SELF_REFLASHER_EVENT_COMMIT,  /**< The boot path is written. Posted before the first and after the last sector.
                                       */
    ESP_SELF_REFLASHER_EVENT_RETRY,   /**< The connection broke and is made again. */
    ESP_SELF_REFLASHER_EVENT_DONE,    /**< The flash holds what the bundle says. */
    ESP_SELF_REFLASHER_EVENT_FAILED,  /**< It does not, and `error` says why. */
} esp_self_reflasher_event_t;

/** Numbers of an event. */
typedef struct {
    uint32_t sectors_done;     /**< Of this phase. */
    uint32_t sectors_total;    /**< Of this phase. */
    uint32_t bytes_downloaded; /**< So far. */
    uint32_t retries;          /**< Connections made again so far. */
    esp_err_t error;           /**< For FAILED. */
} esp_self_reflasher_event_data_t;

/** Called for each event from the calling task, also where there is no event loop; never between the sectors of the
 *  boot path. */
typedef void (*esp_self_reflasher_event_cb_t)(void *user_ctx, esp_self_reflasher_event_t event,
                                              const esp_self_reflasher_event_data_t *data);

/** Asked before the last step, in which a power cut leaves a chip that does not boot: is the battery charged, the
 * supply steady? @return false to put it off. */
typedef bool (*esp_self_reflasher_may_commit_t)(void *user_ctx);

/** Accept a bundle without signature. Without this flag a bundle must be signed with `public_key`. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED (1u << 0)

/** Where the running app is in the way and no OTA slot takes it: it may be copied to free flash, and a partition table
 * in which its entry lies there may be written until the bundle's own table replaces it. That costs a second, short
 * window in which a power cut leaves a chip that does not boot: the plan's relocation_ms. Only if the bundle describes
 * the sector of the table; not with flash encryption or Secure Boot. Should the bundle not be applied to its end, the
 * app goes on with this table: its partition is as small as the app then. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE (1u << 1)

/** Where that is not possible either: the running app may be overwritten from RAM, if there is free flash that holds
 * what goes to its place. The chip does not boot if the power is cut while that lasts: the plan's relocation_ms, which
 * are seconds. Needs CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP, and ends in a reset. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE (1u << 2)

/** A redirect may lead from https to http. What comes is verified all the same, but anyone on the way sees it, and can
 *  keep the device from getting it. Without this flag such a redirect ends the call. */
#define ESP_SELF_REFLASHER_BUNDLE_ALLOW_HTTP_REDIRECT (1u << 3)

/** Checks of the result, that is of what the chip would boot afterwards. Each can be switched off by name. */
#define ESP_SELF_REFLASHER_CHECK_BOOTLOADER (1u << 0) /**< Bootloader for this chip, checksum and digest right. */
#define ESP_SELF_REFLASHER_CHECK_FLASH_SIZE (1u << 1) /**< Size in its header covers the table and fits the chip. */
#define ESP_SELF_REFLASHER_CHECK_FLASH_MODE                                                                            \
    (1u << 2) /**< Flash mode and clock no bolder than those that work today.                                          \
               */
#define ESP_SELF_REFLASHER_CHECK_REVISION                                                                              \
    (1u << 3) /**< Bootloader and app run on this chip's revision, and on that of its eFuse block. */
#define ESP_SELF_REFLASHER_CHECK_TABLE    (1u << 4) /**< Table: MD5, bounds, alignment, overlaps. */
#define ESP_SELF_REFLASHER_CHECK_APP      (1u << 5) /**< The app that will boot is for this chip, in its partition. */
#define ESP_SELF_REFLASHER_CHECK_ROLLBACK (1u << 6) /**< The running app is not waiting for a rollback verdict. */
/** Secure versions of bootloader and app are not below what the chip's eFuses demand (anti-rollback). */
#define ESP_SELF_REFLASHER_CHECK_SECURE_VERSION (1u << 7)

/** Why a bundle is refused. */
typedef enum {
    ESP_SELF_REFLASHER_REFUSED_NOT = 0,
    ESP_SELF_REFLASHER_REFUSED_FORMAT,          /**< No bundle, damaged, or of a version or feature not known here. */
    ESP_SELF_REFLASHER_REFUSED_SIGNATURE,       /**< Not signed, signed with another key, or the signature is wrong. */
    ESP_SELF_REFLASHER_REFUSED_CHIP,            /**< Made for another chip, or for a later revision. */
    ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE,      /**< The flash is too small. */
    ESP_SELF_REFLASHER_REFUSED_BOOTLOADER,      /**< ESP_SELF_REFLASHER_CHECK_BOOTLOADER failed. */
    ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE, /**< ESP_SELF_REFLASHER_CHECK_FLASH_SIZE failed. */
    ESP_SELF_REFLASHER_REFUSED_FLASH_MODE,
    ESP_SELF_REFLASHER_REFUSED_REVISION,
    ESP_SELF_REFLASHER_REFUSED_TABLE,
    ESP_SELF_REFLASHER_REFUSED_APP,
    ESP_SELF_REFLASHER_REFUSED_ROLLBACK,    /**< Call esp_ota_mark_app_valid_cancel_rollback() first. */
    ESP_SELF_REFLASHER_REFUSED_RUNNING_APP, /**< The running app lies where other content must go; or the bootloader
                                                 would start another one after a power cut, and otadata cannot change
                                                 that: a test app that a pin has started. */
    ESP_SELF_REFLASHER_REFUSED_SECURITY,    /**< Flash encryption, Secure Boot or anti-rollback forbids it. */
    ESP_SELF_REFLASHER_REFUSED_SOURCE,      /**< The embedded bundle lies where other content must go. */
    ESP_SELF_REFLASHER_REFUSED_MOVE,        /**< What shall move is not there, does not fit, or cannot be staged. */
    ESP_SELF_REFLASHER_REFUSED_READ_ONLY,   /**< A partition that is flagged `readonly` would have to be written. */
    ESP_SELF_REFLASHER_REFUSED_SEQUENCE,    /**< Older than `min_sequence` allows. */
    ESP_SELF_REFLASHER_REFUSED_NO_ROOM, /**< No sector of flash is free to note that the installation is not done. */
} esp_self_reflasher_refusal_t;

/** How the running app gets out of the way. */
typedef enum {
    ESP_SELF_REFLASHER_RELOCATION_NONE = 0,        /**< It is not in the way. */
    ESP_SELF_REFLASHER_RELOCATION_SLOT,            /**< To an OTA slot, and a restart. */
    ESP_SELF_REFLASHER_RELOCATION_TEMPORARY_TABLE, /**< To free flash, and a restart with a temporary table. */
    ESP_SELF_REFLASHER_RELOCATION_IN_PLACE,        /**< It is overwritten from RAM, and a reset. */
} esp_self_reflasher_relocation_t;

/**
 * Where a bundle comes from, and what is allowed.
 *
 * The struct and what http_config points to are copied when a call starts: what a callback changes in them makes no
 * difference to this call. Texts, and what else they point to, stay the caller's, and must not change until it returns.
 */
typedef struct {
    const esp_http_client_config_t *http_config; /**< HTTP(S) source; NULL: `embedded` is the source. */
    addr_region_t embedded;                      /**< Region of flash that starts with the bundle. */
    const char *public_key;                      /**< PEM, "BEGIN PUBLIC KEY", P-256. */
    uint32_t flags;                              /**< ESP_SELF_REFLASHER_BUNDLE_... */
    uint32_t skip_checks;                        /**< ESP_SELF_REFLASHER_CHECK_... that are switched off. */
    uint32_t max_retries;                        /**< Connections made again before giving up; 0: 8. */
    esp_self_reflasher_event_cb_t event_cb;      /**< Optional. */
    esp_self_reflasher_may_commit_t may_commit;  /**< Optional; without it the commit is put off after a brownout. */
    void *user_ctx;                              /**< Handed to event_cb and may_commit. */
    uint32_t stall_timeout_ms; /**< Milliseconds that the server may take for the headers of an answer, and for every
                                    4 KiB of the body, before the connection counts as broken; 0: 60000. What
                                    http_config says as timeout_ms goes for each single wait, and is cut to this. */
    /**
     * Least sequence number that is taken; 0: any. A signature does not get old: whoever has kept a bundle that was
     * signed once can bring it again, with all the faults that a later one has mended. A number that is signed with it,
     * `pack --sequence`, tells which is older.
     *
     * What an app has to keep is the number of the bundle that brought it. A constant that is compiled into it is
     * enough, and is the safest place: it is the app's own, comes and goes with it, and no power cut, erased NVS or
     * bundle changes it without the key. Only if bundles come without a new app is it the larger one of the constant
     * and of a number in NVS, which is written when all is done: after ESP_OK with plan->installed. To keep a bundle
     * from a device for good, also where an older app was put back, raise the secure version in the eFuse
     * (CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK).
     */
    uint32_t min_sequence;
} esp_self_reflasher_bundle_config_t;

/** What applying a bundle would take. Times are estimates from a W25Q32JV's datasheet. */
typedef struct {
    esp_self_reflasher_refusal_t refusal;
    char refusal_text[256];                        /**< For a log or a user; empty if it is not refused. */
    uint32_t sectors_total;                        /**< That the bundle describes. */
    uint32_t sectors_right;                        /**< That hold what they must already. */
    uint32_t sectors_to_write;                     /**< That do not. */
    uint32_t sectors_boot_path;                    /**< Of those: on the boot path of the running system, or erased with
                                                        it. */
    uint32_t bytes_to_download;                    /**< Over HTTP: the manifest with its signature, and each chunk that
                                                        carries a sector to write, once; the chunk of the bootloader
                                                        twice where a long manifest leaves no room to keep it until the
                                                        commit; and where the app moves and the chip restarts, what was
                                                        fetched until then, which the next start fetches again. What a
                                                        broken connection costs, headers and TLS come on top. */
    uint32_t flash_ms_typical, flash_ms_maximum;   /**< Erasing and programming, all of it. */
    uint32_t window_ms_typical, window_ms_maximum; /**< The part of it in which a power cut leaves a chip that does not
                                                        boot. */
    bool must_relocate;                            /**< The running app lies where other content must go. */
    uint32_t relocate_to;                          /**< Address that it could move to; UINT32_MAX: there is none. */
    uint32_t staging_address;  /**< Free flash where the last step would be staged; UINT32_MAX: RAM only. */
    uint32_t recovery_address; /**< Recovery bootloader that boots the chip while the bootloader is written, so that
                                  this is no part of the window; UINT32_MAX: none. */
    uint32_t sectors_moved;    /**< Of sectors_to_write: with content that the flash has elsewhere. */
    esp_self_reflasher_relocation_t relocation;            /**< How it gets out of the way; NONE also if it cannot. */
    uint32_t relocation_ms_typical, relocation_ms_maximum; /**< What that adds to the window. */
    uint32_t sectors_left; /**< To be blank, but under the running app, where it is or will go, as no slot is free for
                              it: they stay as they are, and are erased when an app elsewhere applies the bundle again.
                              Counted neither as right nor as to be written once the app lies there. */
    uint32_t sequence;     /**< Sequence number of the bundle; 0 also if none was read. */
    bool installed; /**< The bundle's system is in place. What it owns (docs/bundle-format.md, "Installed") is not
                       looked at any more, counts as right, and nothing moves. */
} esp_self_reflasher_plan_t;

/**
 * @brief Read and verify a bundle, look at the flash, and tell what applying it would take. Changes no flash.
 *
 * @param[out] plan Filled also for a refusal, as far as it is known by then, and defined after every error: without
 *        numbers, UINT32_MAX for addresses. Written only when all is known: nothing that is put there meanwhile counts.
 * @return
 *  - ESP_OK: it can be applied
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: plan->refusal and plan->refusal_text say why not
 *  - ESP_ERR_INVALID_ARG: config or plan is NULL, no source is named, the embedded region is not inside the flash, or
 *    there is neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
 *  - ESP_ERR_SELF_REFLASHER_HTTP_STATUS, _SHORT_BODY, _TOO_SLOW or an error of esp_http_client, after all retries
 *  - ESP_ERR_SELF_REFLASHER_DOWNGRADE: a redirect leads from https to something else
 *  - ESP_ERR_SELF_REFLASHER_CHUNK: a chunk does not decode to what the manifest says, twice
 *  - ESP_ERR_INVALID_STATE: another call of this API has not returned yet: of another task, or a callback calls
 *  - ESP_ERR_NO_MEM, or an error of esp_flash
 */
esp_err_t esp_self_reflasher_plan_bundle(const esp_self_reflasher_bundle_config_t *config,
                                         esp_self_reflasher_plan_t *plan);

/**
 * @brief Make the flash hold what a bundle says. Idempotent.
 *
 * What an earlier call has staged and could not finish is finished first, as by esp_self_reflasher_resume(), restart
 * included, but with may_commit() asked.
 *
 * What a bundle moves is data of the running app. Nothing may write to it meanwhile: call nvs_flash_deinit(), unmount
 * the file system, and so on, at the latest in may_commit().
 *
 * After ESP_OK with `plan->sectors_to_write` other than 0 the caller restarts the chip. If the running app is in the
 * way, it is copied to a free OTA slot, or, if that is allowed, to other free flash, and the function restarts the chip
 * by itself: the app comes up from there, and its next call goes on. If it is overwritten in place, which needs to be
 * allowed, too, the chip resets into the new system.
 *
 * @param[out] plan What it took, as esp_self_reflasher_plan_bundle() tells it; may be NULL. Written when all is known
 *        and before anything is changed, so that callbacks can read it then, and at the end; what a callback puts there
 *        makes no difference.
 * @return
 *  - ESP_OK: every sector holds what it must, read back and compared with its digest; all but plan->sectors_left
 *  - ESP_ERR_SELF_REFLASHER_REFUSED: nothing was changed, with one exception: over HTTP the app that will boot is read
 *    as a whole only when it is in place, and may be refused then; the old system boots
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: all but the last step is done, which was put off
 *  - ESP_ERR_INVALID_STATE: another call has not returned yet; or the running app has moved already, but the bootloader
 * does not start it from there; or it tries another app first, and otadata cannot make it try the running one; or data
 * that moves was written to by another task while it was copied
 *  - ESP_ERR_SELF_REFLASHER_VERIFY, or an error of esp_flash: a sector does not hold what was written, after all
 * retries; the log names it
 *  - else as esp_self_reflasher_plan_bundle(), at any time up to the last step; the same call goes on from there
 */
esp_err_t esp_self_reflasher_apply_bundle(const esp_self_reflasher_bundle_config_t *config,
                                          esp_self_reflasher_plan_t *plan);

/**
 * @brief Finish what a power cut interrupted, without network, NVS or server. The first call in app_main().
 *
 * The last step of esp_self_reflasher_apply_bundle() is staged in free flash before it begins, together with the signed
 * manifest. If it lies there complete, this function does it, and restarts the chip: then it does not return. It looks
 * at one small piece of each sector, and so takes some milliseconds where there is nothing to do.
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
 * @param[in] config As for esp_self_reflasher_apply_bundle(), of which it uses public_key, flags, min_sequence,
 * skip_checks, may_commit and user_ctx. No source needs to be named.
 * @return
 *  - ESP_OK: nothing is left to be finished
 *  - ESP_ERR_INVALID_ARG: config is NULL, or there is neither a public key nor ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED
 *  - ESP_ERR_INVALID_STATE: another call of this API has not returned yet
 *  - ESP_ERR_SELF_REFLASHER_NOT_NOW: may_commit() said no, or, without it, the last reset was a brownout; the next
 * start will do it. What is written until then to data that moves is lost: the staged copy is what counts
 *  - ESP_ERR_SELF_REFLASHER_VERIFY or an error of esp_flash: the step could not be finished; the log names the sector,
 *    and whether the step was given up
 *  - ESP_ERR_NO_MEM, or ESP_FAIL if the crypto library failed: nothing was changed; call again
 */
esp_err_t esp_self_reflasher_resume(const esp_self_reflasher_bundle_config_t *config);

#ifdef __cplusplus
}
#endif
