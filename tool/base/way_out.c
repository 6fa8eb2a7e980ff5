// SPDX-License-Identifier: Apache-2.0
#include "tool/base/way_out.h"

#include "esp_http_client.h"
#include "self_reflasher_err.h"
#include "preflight/sr_preflight.h"

#include <stddef.h>

#define ANOTHER_SIZE                                                                                                   \
    "set the size in the bootloader's header: pack --flash-size 4MB (or what the flash has), or build it that way"
#define ANOTHER_MODE                                                                                                   \
    "take those that work today: pack --flash-mode dio, pack --flash-freq 40m (or what inspect shows of the flash)"
#define ANOTHER_SERVER                                                                                                 \
    "is the server running, and the address right, port and path included? https needs --ca of its certificate"
#define WHOLE_FILE  "serve the whole file, with its length in Content-Length, and without a proxy that changes it"
#define ANOTHER_WAY "allow --allow-temporary-table, or free an OTA slot"

const char *way_out_of_refusal(esp_self_reflasher_refusal_t refusal)
{
    switch (refusal) { // no default: the compiler finds the one that is missing
    case ESP_SELF_REFLASHER_REFUSED_NOT:
        return NULL;
    case ESP_SELF_REFLASHER_REFUSED_FORMAT:
        return "make it with pack, and look at it with inspect";
    case ESP_SELF_REFLASHER_REFUSED_SIGNATURE:
        return "sign it with the private half of --public-key: sign --key; key shows which is which";
    case ESP_SELF_REFLASHER_REFUSED_CHIP:
        return "pack for this chip: pack --chip; or say which chip the dump is from: --chip, --revision";
    case ESP_SELF_REFLASHER_REFUSED_FLASH_SIZE:
        return "if the chip has that much, take a dump of all of it: esptool read-flash 0 ALL; if not, pack less, or "
               "for a "
               "smaller flash: pack --flash-size";
    case ESP_SELF_REFLASHER_REFUSED_BOOTLOADER:
        return "pack an intact bootloader for this chip, at the chip's offset; inspect tells what a file is";
    case ESP_SELF_REFLASHER_REFUSED_BOOTLOADER_SIZE:
        return ANOTHER_SIZE;
    case ESP_SELF_REFLASHER_REFUSED_FLASH_MODE:
        return ANOTHER_MODE;
    case ESP_SELF_REFLASHER_REFUSED_REVISION:
        return "build for this revision, or say which one the device has: --revision";
    case ESP_SELF_REFLASHER_REFUSED_TABLE:
        return "mend the partition table, and pack again; inspect shows the one of the dump";
    case ESP_SELF_REFLASHER_REFUSED_APP:
        return "pack an intact app for this chip where the table of the new system looks for it, and otadata that "
               "selects it";
    case ESP_SELF_REFLASHER_REFUSED_ROLLBACK:
        return "mark the running app valid first: esp_ota_mark_app_valid_cancel_rollback()";
    case ESP_SELF_REFLASHER_REFUSED_RUNNING_APP:
        return ANOTHER_WAY "; --allow-in-place overwrites the app from RAM, in a long window";
    case ESP_SELF_REFLASHER_REFUSED_SECURITY:
        return "pack what the chip's eFuses allow: signed images, a secure version that is high enough, with Secure "
               "Boot "
               "V1 a bootloader with its digest; --efuse and --efuses say what they hold";
    case ESP_SELF_REFLASHER_REFUSED_SOURCE:
        return "put the bundle where nothing is written, or fetch it: --bundle FILE";
    case ESP_SELF_REFLASHER_REFUSED_MOVE:
        return "see what the old system has: inspect; and check when packing: pack --old-layout";
    case ESP_SELF_REFLASHER_REFUSED_READ_ONLY:
        return "clear the flag readonly of that partition, in the table of the running system";
    case ESP_SELF_REFLASHER_REFUSED_SEQUENCE:
        return "take the newer bundle; a number is given when packing: pack --sequence";
    case ESP_SELF_REFLASHER_REFUSED_NO_ROOM:
        return "pack --keep, or --always, what inspect shows as initial: a bundle without initial regions needs no "
               "note";
    }
    return NULL;
}

const char *way_out_of_error(esp_err_t error)
{
    switch (error) {
    case ESP_ERR_HTTP_CONNECT:
    case ESP_ERR_HTTP_MAX_REDIRECT:
    case ESP_ERR_HTTP_FETCH_HEADER:
        return ANOTHER_SERVER;
    case ESP_ERR_HTTP_EAGAIN:
        return "the server is busy or silent: try again later, or take another one";
    case ESP_ERR_SELF_REFLASHER_HTTP_STATUS:
        return "is the path right, and may anybody fetch it? The server's own log says more";
    case ESP_ERR_SELF_REFLASHER_SHORT_BODY:
    case ESP_ERR_SELF_REFLASHER_EMPTY_BODY:
        return WHOLE_FILE;
    case ESP_ERR_SELF_REFLASHER_DOWNGRADE:
        return "serve it at https itself: the redirect leads to what anybody on the way can change";
    case ESP_ERR_SELF_REFLASHER_TOO_SLOW:
        return "take a faster server, or one that is nearer";
    case ESP_ERR_SELF_REFLASHER_TOO_LARGE:
    case ESP_ERR_SELF_REFLASHER_STAGING_SMALL:
        return "look at the image with inspect, and at the partitions of the dump: is it the right file, without "
               "padding?";
    case ESP_ERR_SELF_REFLASHER_FLASH_SIZE:
        return "set the size in the bootloader's header: esptool elf2image --flash-size, or pack --flash-size in a "
               "bundle";
    case ESP_ERR_SELF_REFLASHER_NOT_BOOTLOADER:
        return "look at the image with inspect: it must be a bootloader at this chip's offset; --skip-image-check lets "
               "anything pass";
    case ESP_ERR_SELF_REFLASHER_WRONG_CHIP:
        return "take the image for this chip, or say which chip the dump is from: --chip";
    case ESP_ERR_SELF_REFLASHER_RUNNING_APP:
        return ANOTHER_WAY;
    case ESP_ERR_SELF_REFLASHER_NO_STAGING:
        return "a bundle needs no slot to stage in: pack, then simulate --bundle";
    case ESP_ERR_SELF_REFLASHER_READ_ONLY:
        return "clear the flag readonly of that partition, in the table of the running system";
    case ESP_ERR_SELF_REFLASHER_REVISION:
        return "build for this revision, or say which one the device has: --revision";
    default:
        return NULL;
    }
}

const char *way_out_of_check(uint32_t check)
{
    switch (check) {
    case SR_PREFLIGHT_FLASH_SIZE:
        return ANOTHER_SIZE;
    case SR_PREFLIGHT_FLASH_MODE:
        return ANOTHER_MODE;
    default:
        return NULL;
    }
}
