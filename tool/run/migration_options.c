// SPDX-License-Identifier: Apache-2.0
#include "tool/run/migration_options.h"

#include "format/sr_cargo.h"
#include "format/sr_image.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/key_file.h"
#include "tool/base/number.h"
#include "tool/pack/pack_given_up.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_FLASH_CHIP = 0x200,
    KEY_NEW_TABLE,
    KEY_CHIP_SIZE,
    KEY_SHA,
    KEY_SKIP_IMAGE_CHECK,
    KEY_URL,
    KEY_PUBLIC_KEY,
    KEY_ALLOW_UNSIGNED,
    KEY_SKIP_CHECK,
    KEY_CA,
    KEY_ALLOW_TEMPORARY_TABLE,
    KEY_ALLOW_IN_PLACE,
    KEY_MIN_SEQUENCE,
    KEY_UPLOAD,
    KEY_FIRST_ENCRYPTION,
};

static const struct argp_option argp_options[] = {
    {"flash", 'f', "FILE", 0, "Content of the flash at the start (needed); not changed", 0},
    {"running", 'r', "OFFSET", 0, "The app that runs the migration; default: the one that boots", 0},
    {"new-partition-table", KEY_NEW_TABLE, "OFFSET", 0,
     "Where the new bootloader looks for the partition table; default: as the bundle says, or as the old one does", 0},
    {"chip-size", KEY_CHIP_SIZE, "SIZE", 0,
     "Size of the flash chip, for example 16M, if the dump is shorter: the rest is taken for erased", 0},
    {"first-encryption", KEY_FIRST_ENCRYPTION, "FILE", 0,
     "The new bootloader was built with Flash Encryption, and encrypts the flash with this key at its first start (a "
     "chip makes its own: any will do)",
     0},
    {"flash-chip", KEY_FLASH_CHIP, "NAME", 0, "Flash chip whose times are modelled; default: W25Q32JV", 0},
    {"ca", KEY_CA, "FILE", 0, "Certificate (PEM) to trust for https; default: those of this system", 0},
    {"sha", KEY_SHA, NULL, 0, "Hand the SHA-256 of each image to the component", 0},
    {"skip-image-check", KEY_SKIP_IMAGE_CHECK, NULL, 0, "Accept anything in the bootloader's place", 0},
    {"allow-temporary-table", KEY_ALLOW_TEMPORARY_TABLE, NULL, 0,
     "The running app may be relocated with a partition table that lasts until the new one is written", 0},
    {"verbose", 'v', NULL, 0, "Show the log of the app", 0},
    {"bundle", 'b', "FILE", 0, "Apply this bundle, a file or flash:ADDRESS+SIZE, instead of writing SOURCEs", 1},
    {"url", KEY_URL, "URL", 0, "Fetch the bundle from there", 1},
    {"public-key", KEY_PUBLIC_KEY, "FILE", 0, "Key (PEM) that the bundle must be signed with", 1},
    {"allow-unsigned", KEY_ALLOW_UNSIGNED, NULL, 0, "Accept a bundle without signature", 1},
    {"min-sequence", KEY_MIN_SEQUENCE, "N", 0, "Lowest sequence number that the app accepts; default: 0, any", 1},
    {"allow-in-place", KEY_ALLOW_IN_PLACE, NULL, 0,
     "The running app may be overwritten from RAM, if it cannot be relocated", 1},
    {"skip-check", KEY_SKIP_CHECK, "NAME", 0, "Switch a check of the result off: " BUNDLE_CHECK_NAMES, 1},
    {"upload", KEY_UPLOAD, "FILE", 0,
     "Start with this app in the slot that an update goes to, selected; it applies the bundle that it carries", 1},
    {0}};

bool migration_has_bundle(const migration_options_t *options)
{
    return options->bundle.bundle != NULL || options->bundle.url != NULL || options->upload_path != NULL;
}

const char *migration_bundle_name(const migration_options_t *options)
{
    const char *given = options->bundle.url != NULL ? options->bundle.url : options->bundle.bundle;
    return options->upload_path != NULL ? options->upload_path : given;
}

const char *migration_key_text(const migration_options_t *options, char out[MIGRATION_KEY_TEXT_SIZE])
{
    if (!migration_has_bundle(options)) {
        return NULL;
    }
    sr_signature_public_key_t key;
    char id[KEY_ID_TEXT_SIZE];
    const char *path = options->bundle.public_key;
    if (options->upload_path != NULL) {
        snprintf(out, MIGRATION_KEY_TEXT_SIZE, "the one that %s carries", options->upload_path);
        return out;
    }
    if (path == NULL || key_file_load_public(path, &key) != STATUS_OK) {
        snprintf(out, MIGRATION_KEY_TEXT_SIZE, "none: a bundle without signature is accepted");
        return out;
    }
    snprintf(out, MIGRATION_KEY_TEXT_SIZE, "%s (%s)", key_id_text(key.id, id), path);
    return out;
}

static void parse_flash_chip(migration_options_t *options, const char *name, struct argp_state *state)
{
    options->flash_chip = nor_timing_find(name);
    if (options->flash_chip == NULL) {
        char known[256];
        size_t used = 0;
        known[0] = '\0';
        for (unsigned i = 0; nor_timing_at(i) != NULL && used < sizeof(known); i++) {
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ",
                                     nor_timing_at(i)->name);
        }
        argp_error(state, "unknown flash chip '%s' (known: %s)", name, known);
    }
}

static void take_steps(migration_options_t *options, struct argp_state *state)
{
    options->words = state->argv + state->next;
    options->word_count = (size_t)(state->argc - state->next);
    if (options->word_count % 2 != 0) {
        argp_error(state, "'%s' has no SOURCE: each OFFSET takes one", state->argv[state->argc - 1]);
    }
    state->next = state->argc;
}

/** What is uploaded says all that itself. */
static void check_upload(const migration_options_t *options, struct argp_state *state)
{
    const bundle_options_t *bundle = &options->bundle;
    if (bundle->bundle != NULL || bundle->url != NULL || bundle->public_key != NULL || bundle->flags != 0 ||
        bundle->skip_checks != 0 || bundle->min_sequence != 0 || options->allow_temporary_table) {
        argp_error(state, "--upload says itself what is applied and what is allowed: no other option of a bundle goes "
                          "with it");
    }
}

static void check_options(const migration_options_t *options, struct argp_state *state)
{
    const bundle_options_t *bundle = &options->bundle;
    if (options->flash_path == NULL) {
        argp_error(state, "no flash given: --flash FILE is needed");
    }
    if (!migration_has_bundle(options)) {
        if (options->word_count == 0) {
            argp_error(state, "no OFFSET SOURCE pair and no --bundle given");
        }
        if (bundle->public_key != NULL || bundle->flags != 0 || bundle->skip_checks != 0 || bundle->min_sequence != 0) {
            argp_error(state,
                       "--public-key, --allow-unsigned, --min-sequence, --allow-in-place and --skip-check go with "
                       "--bundle or --url");
        }
        return;
    }
    if (options->word_count != 0 || options->digests || options->flags != 0) {
        argp_error(state, "a bundle comes without OFFSET SOURCE pairs, --sha and --skip-image-check");
    }
    if (options->upload_path != NULL) {
        check_upload(options, state);
        return;
    }
    if (bundle->public_key == NULL && (bundle->flags & ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED) == 0) {
        argp_error(state, "no key given: --public-key FILE or --allow-unsigned is needed");
    }
}

static error_t parse_bundle_option(int key, char *argument, struct argp_state *state)
{
    migration_options_t *options = state->input;
    switch (key) {
    case 'b':
        if (strstr(argument, "://") != NULL) {
            argp_error(state, "--bundle takes a file: a URL is given as --url %s", argument);
        }
        options->bundle.bundle = argument;
        return 0;
    case KEY_URL:
        if (strncmp(argument, "http://", 7) != 0 && strncmp(argument, "https://", 8) != 0) {
            argp_error(state, "--url takes http:// or https://: a file is given as --bundle %s", argument);
        }
        options->bundle.url = argument;
        return 0;
    case KEY_UPLOAD:
        options->upload_path = argument;
        return 0;
    case KEY_PUBLIC_KEY:
        options->bundle.public_key = argument;
        return 0;
    case KEY_ALLOW_UNSIGNED:
        options->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_UNSIGNED;
        return 0;
    case KEY_ALLOW_IN_PLACE:
        options->bundle.flags |= ESP_SELF_REFLASHER_BUNDLE_ALLOW_IN_PLACE;
        return 0;
    case KEY_MIN_SEQUENCE:
        if (!number_parse(argument, &options->bundle.min_sequence)) {
            argp_error(state, "bad sequence number '%s': 0 to 4294967295 expected", argument);
        }
        return 0;
    case KEY_SKIP_CHECK:
        options->bundle.skip_checks |= bundle_check_bit(argument);
        if (bundle_check_bit(argument) == 0) {
            argp_error(state, "unknown check '%s' (known: " BUNDLE_CHECK_NAMES ")", argument);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    migration_options_t *options = state->input;
    switch (key) {
    case 'f':
        options->flash_path = argument;
        return 0;
    case 'r':
        if (!number_parse(argument, &options->running_app)) {
            argp_error(state, "bad place of the running app '%s': a number such as 0x190000 expected", argument);
        }
        return 0;
    case KEY_CHIP_SIZE:
        if (!number_parse(argument, &options->chip_size) || options->chip_size == 0 ||
            options->chip_size > FLASH_LIMIT || (options->chip_size & (options->chip_size - 1)) != 0) {
            argp_error(state, "bad size of a flash chip '%s': 4M, 8M, 16M or the like expected", argument);
        }
        return 0;
    case KEY_NEW_TABLE:
        options->new_partition_table = chip_parse_table_place(argument, state);
        return 0;
    case 'v':
        options->verbose = true;
        return 0;
    case KEY_SHA:
        options->digests = true;
        return 0;
    case KEY_SKIP_IMAGE_CHECK:
        options->flags |= ESP_SELF_REFLASHER_FLAG_SKIP_IMAGE_CHECK;
        return 0;
    case KEY_ALLOW_TEMPORARY_TABLE:
        options->allow_temporary_table = true;
        return 0;
    case KEY_FIRST_ENCRYPTION:
        options->first_key_path = argument;
        return 0;
    case KEY_CA:
        options->ca_path = argument;
        return 0;
    case KEY_FLASH_CHIP:
        parse_flash_chip(options, argument, state);
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->chip;
        state->child_inputs[1] = &options->crypt;
        return 0;
    case ARGP_KEY_ARGS:
        take_steps(options, state);
        return 0;
    case ARGP_KEY_END:
        check_options(options, state);
        return 0;
    default:
        return parse_bundle_option(key, argument, state);
    }
}

static const struct argp_child children[] = {{&chip_options_argp, 0, NULL, 0}, {&crypt_options_argp, 0, NULL, 0}, {0}};
const struct argp migration_options_argp = {.options = argp_options, .parser = parse_option, .children = children};

bool migration_bundle_manifest(const migration_input_t *input, sr_bundle_t *bundle)
{
    if (input->migration.bundle == NULL) {
        return false;
    }
    const addr_region_t place = input->migration.bundle->embedded;
    const image_file_t *flash = &input->flash;
    const uint8_t *bytes = input->source.file.bytes;
    uint32_t size = input->source.file.size;
    if (bytes == NULL && place.region_size > 0 && place.region_size <= flash->size &&
        place.region_address <= flash->size - place.region_size) {
        bytes = flash->bytes + place.region_address;
        size = (uint32_t)place.region_size;
    }
    return bytes != NULL && sr_bundle_parse(bytes, size, bundle) == SR_BUNDLE_OK;
}

void migration_given_up(const migration_input_t *input, given_up_t *given_up)
{
    sr_bundle_t bundle;
    sr_partition_table_t table;
    given_up->count = 0;
    if (migration_bundle_manifest(input, &bundle)) {
        chip_read_table(input->flash.bytes, input->flash.size, input->migration.chip.partition_table, &table);
        given_up_find(&bundle, &table, given_up);
    }
}

/** A bundle says where its bootloader looks for the table. */
static void find_new_table(migration_input_t *input)
{
    boot_chip_t *chip = &input->migration.chip;
    sr_bundle_t bundle;
    if (chip->new_partition_table == 0 && migration_bundle_manifest(input, &bundle) &&
        bundle.partition_table_offset != SR_BUNDLE_NO_TABLE) {
        chip->new_partition_table = bundle.partition_table_offset;
    }
}

/** What no partition of the old system answers to is not given up. */
static void warn_of_given_up(const migration_input_t *input)
{
    sr_bundle_t bundle;
    if (migration_bundle_manifest(input, &bundle)) {
        pack_given_up_warn(&bundle, &input->flash, input->migration.chip.partition_table);
    }
}

static int open_source(const migration_options_t *options, migration_input_t *input)
{
    migration_t *migration = &input->migration;
    if (options->upload_path != NULL) {
        migration->bundle = &input->source.config;
        migration->carries = migration->chip.confirms = true;
        find_new_table(input);
        return STATUS_OK;
    }
    if (options->allow_temporary_table) {
        migration->flags |= ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE;
    }
    if (migration_has_bundle(options)) {
        bundle_options_t bundle = options->bundle;
        bundle.flags |= options->allow_temporary_table ? ESP_SELF_REFLASHER_BUNDLE_ALLOW_TEMPORARY_TABLE : 0;
        migration->bundle = &input->source.config;
        const int status = bundle_source_prepare(&bundle, migration->ca, &input->source);
        find_new_table(input);
        warn_of_given_up(input);
        return status;
    }
    const steps_setting_t setting = {.flash = &input->flash, .ca = migration->ca, .digests = options->digests};
    const int status = steps_prepare(options->words, options->word_count, &setting, &input->steps);
    migration->steps = input->steps.list;
    migration->step_count = input->steps.count;
    return status;
}

static int load_ca(const migration_options_t *options, migration_input_t *input)
{
    if (options->ca_path == NULL) {
        return STATUS_OK;
    }
    input->ca = key_file_load_text(options->ca_path);
    input->migration.ca = input->ca;
    return input->ca != NULL ? STATUS_OK : STATUS_BAD_INPUT;
}

/** Finds the app that runs the migration: the one that boots, or the one that is named, which a partition must hold. */
static int check_running(const migration_input_t *input)
{
    const uint32_t address = input->migration.running_app;
    const image_file_t *flash = &input->flash;
    if (address == UINT32_MAX) {
        return boot_succeeds(&input->boot)
                   ? STATUS_OK
                   : complain(STATUS_BAD_INPUT,
                              "%s: %s no app that could run the migration (%s); name one with --running", flash->path,
                              input->boot.outcome == BOOT_NOT_KNOWN ? "for certain boots" : "boots",
                              input->boot.reason);
    }
    sr_partition_table_t table;
    chip_read_table(flash->bytes, flash->size, input->migration.chip.partition_table, &table);
    for (unsigned i = 0; i < table.count; i++) {
        const sr_partition_table_entry_t *entry = &table.entries[i];
        if (entry->type == SR_PARTITION_TYPE_APP && entry->address == address && address < flash->size &&
            flash->bytes[address] == SR_IMAGE_MAGIC) {
            return STATUS_OK;
        }
    }
    return complain(STATUS_USAGE,
                    "--running: no partition with an app starts at offset 0x%" PRIx32 " of %s; inspect shows them",
                    address, flash->path);
}

/** What is linked into the app is what lies in its image. */
static void measure_running(migration_input_t *input)
{
    migration_t *migration = &input->migration;
    const image_file_t *flash = &input->flash;
    const uint32_t address = migration->running_app != UINT32_MAX ? migration->running_app : input->boot.app_offset;
    if (address < flash->size) {
        sr_image_t image;
        const sr_reader_t reader = sr_reader_memory(flash->bytes + address, (uint32_t)flash->size - address);
        if (sr_image_parse(&reader, &image) == SR_IMAGE_OK) {
            migration->app_image = (sr_region_t){address, image.length};
        }
    }
}

/** What is rehearsed on a part of a flash may not hold for all of it. */
static int look_into(migration_input_t *input)
{
    const image_file_t *cells = &input->cells;
    boot_believe(&input->migration.chip, cells->bytes, cells->size);
    contents_t *contents = contents_of_flash(cells->bytes, cells->size, &input->migration.chip);
    if (contents == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", cells->path);
    }
    dump_extent_find(contents, &input->extent);
    input->boot = contents->boot;
    /* Only from here on are there two bootloaders. */
    memcpy(input->migration.chip.old_loader, contents->boot.bootloader.sha256, SR_SHA256_SIZE);
    contents_free(contents);
    image_file_free(&input->flash);
    return contents_view(&input->migration.chip, cells, &input->flash);
}

/** Where in the flash the bundle lies that the upload carries. @return an empty region if there is none, which the
 * component tells. */
static addr_region_t find_carried(const image_file_t *upload, uint32_t address)
{
    sr_image_t image;
    sr_cargo_t cargo;
    const sr_reader_t reader = sr_reader_memory(upload->bytes, upload->size);
    if (sr_image_parse(&reader, &image) != SR_IMAGE_OK || sr_cargo_find(&reader, &image, &cargo) != SR_CARGO_OK) {
        return (addr_region_t){0};
    }
    return (addr_region_t){address + cargo.bundle.address, cargo.bundle.size};
}

/** The app that runs takes the upload, and the next start is the upload's. */
static int take_upload(const migration_options_t *options, migration_input_t *input)
{
    migration_t *migration = &input->migration;
    const uint32_t running = migration->running_app != UINT32_MAX ? migration->running_app : input->boot.app_offset;
    int status = image_file_load(options->upload_path, &input->upload);
    const char *mistaken = status == STATUS_OK ? file_kind_mistaken(&input->upload) : NULL;
    if (mistaken != NULL) {
        return complain(STATUS_BAD_INPUT, "%s %s; what the courier command makes is needed here", options->upload_path,
                        mistaken);
    }
    if (status == STATUS_OK) {
        status = upload_find_slot(&input->flash, migration->chip.partition_table, running, &input->slot);
    }
    if (status == STATUS_OK) {
        status = upload_store(&input->upload, &input->slot, &migration->chip, &input->cells);
    }
    if (status != STATUS_OK) {
        return status;
    }
    migration->running_app = UINT32_MAX;
    status = look_into(input);
    if (status == STATUS_OK && (!boot_succeeds(&input->boot) || input->boot.app_offset != input->slot.entry.address)) {
        return complain(STATUS_NO, "%s: would not start from slot %s at 0x%" PRIx32 ": %s", options->upload_path,
                        input->slot.entry.label, input->slot.entry.address, input->boot.reason);
    }
    input->source.config.embedded = find_carried(&input->upload, input->slot.entry.address);
    return status;
}

/** A dump of what the old system uses of a larger chip. */
static int extend_flash(image_file_t *flash, uint32_t size)
{
    if (size < flash->size) {
        return complain(STATUS_USAGE, "--chip-size: %s is larger, 0x%" PRIx32 " bytes", flash->path, flash->size);
    }
    uint8_t *bytes = realloc(flash->bytes, size);
    if (bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", flash->path);
    }
    memset(bytes + flash->size, 0xFF, size - flash->size);
    flash->bytes = bytes;
    flash->size = size;
    return STATUS_OK;
}

/** Loads the flash, finds out what it boots, and has that take the upload. */
static int open_flash(const migration_options_t *options, migration_input_t *input)
{
    migration_t *migration = &input->migration;
    const image_file_t *cells = &input->cells;
    int status = image_file_load_flash(options->flash_path, &input->cells);
    if (status == STATUS_OK && options->chip_size != 0) {
        status = extend_flash(&input->cells, options->chip_size);
    }
    if (status == STATUS_OK) {
        status = crypt_options_open(&input->crypt, &migration->chip, cells);
    }
    if (status == STATUS_OK) {
        status = chip_settle(&migration->chip, cells->bytes, cells->size);
    }
    if (status == STATUS_OK) {
        status = look_into(input);
    }
    if (status == STATUS_OK && input->extent.complete == DUMP_NOT_COMPLETE) {
        complain(STATUS_OK, "warning: %s: %s", cells->path, input->extent.text);
    }
    if (status == STATUS_OK) {
        status = check_running(input);
    }
    return status == STATUS_OK && options->upload_path != NULL ? take_upload(options, input) : status;
}

int migration_input_open(const migration_options_t *options, migration_input_t *input)
{
    *input = (migration_input_t){.crypt = options->crypt,
                                 .migration = {.chip = options->chip,
                                               .running_app = options->running_app,
                                               .flags = options->flags,
                                               .show_log = options->verbose}};
    migration_t *migration = &input->migration;
    const image_file_t *cells = &input->cells;
    int status = open_flash(options, input);
    if (status != STATUS_OK) {
        return status;
    }
    if (options->first_key_path != NULL) {
        status = crypt_first_key_load(options->first_key_path, &migration->chip, &input->first_cipher);
    }
    if (status != STATUS_OK) {
        return status;
    }
    migration->chip.first_encryption = input->first_cipher;
    migration->chip.new_partition_table = options->new_partition_table;
    migration->flash = nor_flash_new(cells->size, options->flash_chip);
    if (migration->flash == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: out of memory", cells->path);
    }
    memcpy(nor_flash_bytes(migration->flash), cells->bytes, cells->size);
    measure_running(input);
    status = load_ca(options, input);
    return status == STATUS_OK ? open_source(options, input) : status;
}

void migration_input_close(migration_input_t *input)
{
    steps_free(&input->steps);
    bundle_source_free(&input->source);
    image_file_free(&input->upload);
    nor_flash_delete(input->migration.flash);
    free(input->ca);
    image_file_free(&input->flash);
    image_file_free(&input->cells);
    flash_cipher_delete(input->first_cipher);
    crypt_options_close(&input->crypt);
}
