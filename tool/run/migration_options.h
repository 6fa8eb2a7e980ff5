// SPDX-License-Identifier: Apache-2.0
/** @file
 * The options that say what is migrated, the same for all subcommands that run a migration; and what they open.
 */
#pragma once

#include "format/sr_bundle.h"
#include "tool/base/crypt_options.h"
#include "tool/base/image_file.h"
#include "tool/report/dump_extent.h"
#include "tool/report/given_up.h"
#include "tool/run/bundle_source.h"
#include "tool/run/migration.h"
#include "tool/run/steps.h"
#include "tool/run/upload.h"

#include <argp.h>
#include <stdbool.h>

/** As on the command line. */
typedef struct migration_options {
    boot_chip_t chip;
    crypt_options_t crypt;
    const char *flash_path, *ca_path;
    const char *first_key_path;     /**< Of the first encryption; or NULL. */
    const char *upload_path;        /**< An app with a cargo, which the old system takes as an update; or NULL. */
    const nor_timing_t *flash_chip; /**< Set before parsing. */
    uint32_t flags;
    uint32_t running_app;         /**< Set to UINT32_MAX before parsing: the one that boots. */
    uint32_t chip_size;           /**< Bytes; 0: as large as the dump. */
    uint32_t new_partition_table; /**< Where the new bootloader looks for it; 0: not told. */
    bundle_options_t bundle;
    bool digests, verbose, allow_temporary_table;
    char **words;
    size_t word_count;
} migration_options_t;

/** An argp child whose input is a migration_options_t. Takes the arguments that are not options. */
extern const struct argp migration_options_argp;

/** For the description of a command's arguments. */
#define MIGRATION_ARGS_DOC                                                                                             \
    "OFFSET[+SIZE] SOURCE [OFFSET[+SIZE] SOURCE...]\n--bundle FILE --public-key FILE\n--upload FILE"
#define MIGRATION_SOURCE_DOC                                                                                           \
    "SOURCE is an http:// or https:// URL, a FILE (served on the loopback and downloaded), or flash:ADDRESS+SIZE (an " \
    "image that is in the flash already). SIZE of the destination is erased; default: that of the image in whole "     \
    "sectors."

/** True if a bundle is applied, false if steps are run. */
bool migration_has_bundle(const migration_options_t *options);

/** Name of the bundle, as it was given. @return NULL if steps are run. */
const char *migration_bundle_name(const migration_options_t *options);

#define MIGRATION_KEY_TEXT_SIZE 320
/** "0123456789abcdef (pub.pem)", or that none is wanted. @return @p out; NULL if steps are run. */
const char *migration_key_text(const migration_options_t *options, char out[MIGRATION_KEY_TEXT_SIZE]);

/** A migration, and what must live as long as it does. */
typedef struct migration_input {
    image_file_t cells; /**< Content at the start: with --upload once that is stored. */
    image_file_t flash; /**< The same as boot_plain_view() shows it. */
    image_file_t upload;
    upload_slot_t slot;   /**< Where it went. */
    dump_extent_t extent; /**< Whether that is all of it. */
    boot_result_t boot;   /**< What it boots. */
    migration_t migration;
    steps_t steps;
    bundle_source_t source;
    char *ca;
    crypt_options_t crypt;        /**< The chip's cipher. */
    flash_cipher_t *first_cipher; /**< The one that it gets by its first encryption; or NULL. */
} migration_input_t;

/**
 * The bundle's manifest where its bytes are at hand, in a file or in the flash; its signature is not looked at.
 * @param[out] bundle Points into the input.
 * @return false for a URL, if steps are run, or if it is not valid: the component tells why.
 */
bool migration_bundle_manifest(const migration_input_t *input, sr_bundle_t *bundle);

/** What the bundle gives up of the flash that the device has: nothing, without a bundle. */
void migration_given_up(const migration_input_t *input, given_up_t *given_up);

/**
 * Loads the flash, makes a chip with it, and starts to serve what is downloaded.
 * @return STATUS_OK, or STATUS_USAGE or STATUS_BAD_INPUT after complaining; in any case migration_input_close() is due.
 */
int migration_input_open(const migration_options_t *options, migration_input_t *input);
void migration_input_close(migration_input_t *input);
