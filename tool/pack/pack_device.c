// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/pack_device.h"

#include "format/sr_boot_choice.h"
#include "format/sr_image.h"
#include "format/sr_reader.h"
#include "format/sr_secure_boot_v1.h"
#include "preflight/sr_preflight_signature.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/command.h"

#include <stdio.h>

#define TEXT_SIZE 320u

static int refuse(const pack_result_t *result, const char *text)
{
    return complain(STATUS_NO, "a chip with the eFuses of %s refuses this: %s", result->device->path, text);
}

/* Signatures: */

typedef enum answer {
    ANSWER_NONE, /**< No image is packed there. */
    ANSWER_GOOD,
    ANSWER_BAD,
    ANSWER_NOT_KNOWN, /**< Flash that is kept lies within the image. */
} answer_t;

/** What is being asked about. */
typedef struct question {
    const pack_result_t *result;
    sr_image_secure_boot_t secure_boot;
    sr_secure_boot_keys_t keys;
    char text[TEXT_SIZE]; /**< Why the last BAD one is bad. */
} question_t;

static sr_image_secure_boot_t secure_boot_of(const efuse_set_t *burnt)
{
    return burnt->secure_boot_v2   ? SR_IMAGE_SECURE_BOOT_V2
           : burnt->secure_boot_v1 ? SR_IMAGE_SECURE_BOOT_V1
                                   : SR_IMAGE_SECURE_BOOT_OFF;
}

static bool has_kept(const flash_layout_t *layout, uint32_t address, uint64_t length)
{
    for (uint64_t at = address; at < address + length; at += SR_SECTOR_SIZE) {
        if (flash_layout_want(layout, (uint32_t)at) == SR_BUNDLE_KEEP) {
            return true;
        }
    }
    return false;
}

/** A block that is kept, past the end of what is packed, signs what the device has today: there is none. */
static answer_t ask(question_t *question, const char *what, sr_region_t place)
{
    const flash_layout_t *layout = question->result->layout;
    const sr_preflight_signature_part_t part = {what, place, true};
    pack_future_t future = {.layout = layout, .kept_is_blank = true};
    const sr_reader_t flash = pack_result_reader(&future, FLASH_LIMIT);
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, &flash, place.address, place.size);
    sr_image_t image;
    if (flash_layout_want(layout, place.address) != SR_BUNDLE_CONTENT) {
        return ANSWER_NONE;
    }
    if (sr_image_parse(&reader, &image) == SR_IMAGE_OK &&
        has_kept(layout, place.address, sr_secure_boot_offset(&image))) {
        return ANSWER_NOT_KNOWN;
    }
    return sr_preflight_signature_check_part(&flash, &part, question->secure_boot, &question->keys, question->text,
                                             sizeof(question->text))
               ? ANSWER_GOOD
               : ANSWER_BAD;
}

/** The app that will start, if this is known. */
static bool find_app(const pack_result_t *result, sr_region_t *place)
{
    sr_boot_choice_t choice;
    sr_partition_table_t table;
    pack_future_t future = {.layout = result->layout};
    const sr_reader_t flash = pack_result_reader(&future, FLASH_LIMIT);
    const bool found = sr_boot_choice_make_at(&flash, result->table_offset, &table, &choice) &&
                       sr_boot_choice_skip_empty(&flash, &table, &choice);
    *place = found ? (sr_region_t){choice.app->address, choice.app->size} : (sr_region_t){0};
    return found;
}

/** An app that may start: one in the table that is packed, or, where the table is kept, an input that is an image. */
static bool candidate_at(const pack_result_t *result, size_t number, sr_region_t *place)
{
    *place = (sr_region_t){FLASH_LIMIT, 0};
    if (result->table.count > 0) {
        const sr_partition_table_entry_t *entry = &result->table.entries[number];
        if (number < result->table.count && entry->type == SR_PARTITION_TYPE_APP) {
            *place = (sr_region_t){entry->address, entry->size};
        }
        return number < result->table.count;
    }
    if (number < result->parts->count) {
        const uint32_t address = result->parts->list[number].address;
        const bool is_app = result->layout->bytes[address] == SR_IMAGE_MAGIC && address >= result->table_offset &&
                            address != result->chip->bootloader_offset;
        *place = is_app ? (sr_region_t){address, FLASH_LIMIT - address} : *place;
    }
    return number < result->parts->count;
}

/** A chip starts one of the apps that are brought, or refuses the bundle. */
static answer_t ask_all_apps(question_t *question)
{
    sr_region_t place;
    unsigned counts[ANSWER_NOT_KNOWN + 1u] = {0};
    for (size_t i = 0; candidate_at(question->result, i, &place); i++) {
        counts[ask(question, "app", place)]++;
    }
    if (counts[ANSWER_BAD] == 0) {
        return counts[ANSWER_NOT_KNOWN] != 0 ? ANSWER_NOT_KNOWN : ANSWER_GOOD;
    }
    return counts[ANSWER_GOOD] + counts[ANSWER_NOT_KNOWN] == 0 ? ANSWER_BAD : ANSWER_NOT_KNOWN;
}

static answer_t ask_app(question_t *question)
{
    sr_region_t place;
    if (question->result->table_offset == SR_BUNDLE_NO_TABLE) {
        return ANSWER_NONE; // MCUboot verifies what it boots itself
    }
    return find_app(question->result, &place) ? ask(question, "app", place) : ask_all_apps(question);
}

static int check_answer(const question_t *question, const char *what, answer_t answer)
{
    if (answer == ANSWER_NOT_KNOWN) {
        complain(STATUS_OK,
                 "warning: only the chip can check this, because it depends on flash that is kept: signature of %s",
                 what);
    }
    return answer == ANSWER_BAD ? refuse(question->result, question->text) : STATUS_OK;
}

static int check_signatures(const pack_result_t *result)
{
    const efuse_set_t *burnt = &result->device->chip.burnt;
    const uint32_t start = result->chip->bootloader_offset;
    question_t question = {.result = result, .secure_boot = secure_boot_of(burnt)};
    int status = STATUS_OK;
    (void)boot_burnt_keys(result->chip, burnt, &question.keys);
    if (question.secure_boot == SR_IMAGE_SECURE_BOOT_OFF) {
        return STATUS_OK;
    }
    if (question.secure_boot == SR_IMAGE_SECURE_BOOT_V2) {
        status = check_answer(&question, "the bootloader",
                              ask(&question, "bootloader", (sr_region_t){start, FLASH_LIMIT - start}));
    }
    return status == STATUS_OK ? check_answer(&question, "the app", ask_app(&question)) : status;
}

/* The rest: */

/** With Secure Boot V1, what a chip makes of one without the other depends on what it has; and without the key nobody
 * knows whether they go together, sr_secure_boot_v1_check(). */
static void warn_of_digest(const pack_result_t *result, bool bootloader, bool digest)
{
    const efuse_key_t *key = efuse_set_key(&result->device->chip.burnt, EFUSE_PURPOSE_SECURE_BOOT_V1);
    const char *text = NULL;
    if (bootloader && !digest) {
        text = "a chip refuses this unless it has this very bootloader already: bring its digest for 0x0, too, or "
               "--keep-bootloader";
    } else if (!bootloader && digest) {
        text = "a chip refuses this unless it has this very digest at 0x0 already: --keep-bootloader leaves it alone";
    } else if (bootloader && (key == NULL || !key->readable)) {
        text = "whether the digest at 0x0 is right for a chip only its key tells: --secure-boot-key FILE";
    }
    if (text != NULL) {
        complain(STATUS_OK, "warning: Secure Boot V1 is on: %s", text);
    }
}

static int check_digest(const pack_result_t *result)
{
    char text[TEXT_SIZE];
    const flash_layout_t *layout = result->layout;
    const sr_bundle_want_t digest = flash_layout_want(layout, 0);
    const bool erased = digest == SR_BUNDLE_BLANK ||
                        (digest == SR_BUNDLE_CONTENT && nor_is_erased(layout->bytes, SR_SECURE_BOOT_V1_DIGEST_SIZE));
    if (secure_boot_of(&result->device->chip.burnt) != SR_IMAGE_SECURE_BOOT_V1) {
        return STATUS_OK;
    }
    if (erased) {
        (void)snprintf(text, sizeof(text), "Secure Boot V1 is on: %s",
                       sr_secure_boot_v1_text(SR_SECURE_BOOT_V1_ERASED));
        return refuse(result, text);
    }
    warn_of_digest(result, flash_layout_want(layout, result->chip->bootloader_offset) != SR_BUNDLE_KEEP,
                   digest != SR_BUNDLE_KEEP);
    return STATUS_OK;
}

static int check_encryption(const pack_result_t *result)
{
    return !efuse_set_encrypts(&result->device->chip.burnt) || result->table_offset != SR_BUNDLE_NO_TABLE
               ? STATUS_OK
               : refuse(result, "flash encryption is on, and the bundle's system has no partition table: it is not "
                                "known what the chip would decrypt");
}

/** All images count here, also those that do not start: the bundle tells the highest of their demands. */
static int check_revision(const pack_result_t *result)
{
    char text[TEXT_SIZE];
    const uint16_t least = result->min_revision;
    const uint16_t is = result->device->chip.revision;
    (void)snprintf(text, sizeof(text), "bundle is for chip revision v%u.%u or later, this one is v%u.%u", least / 100u,
                   least % 100u, is / 100u, is % 100u);
    return least > is ? refuse(result, text) : STATUS_OK;
}

int pack_device_check(const pack_result_t *result)
{
    int status = check_revision(result);
    if (status == STATUS_OK) {
        status = check_encryption(result);
    }
    if (status == STATUS_OK) {
        status = check_signatures(result);
    }
    return status == STATUS_OK ? check_digest(result) : status;
}
