// SPDX-License-Identifier: Apache-2.0
// pack: make a bundle from what other tools have made.
#include "make/bundle_writer.h"
#include "tool/base/boot_key.h"
#include "tool/base/chip_names.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/efuse_file.h"
#include "tool/base/key_file.h"
#include "tool/base/number.h"
#include "tool/base/output_file.h"
#include "tool/base/terminal.h"
#include "tool/pack/inputs.h"
#include "tool/pack/moves.h"
#include "tool/pack/pack_given_up.h"
#include "tool/pack/pack_initial.h"
#include "tool/pack/pack_moves.h"
#include "tool/pack/pack_otadata.h"
#include "tool/pack/pack_result.h"
#include "tool/pack/pack_signatures.h"
#include "tool/pack/placement.h"
#include "tool/report/boot_report.h"
#include "tool/report/bundle_report.h"
#include "tool/report/data_loss.h"
#include "tool/report/fetch_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 256u

enum {
    KEY_FLASH_SIZE = 0x200,
    KEY_FLASH_MODE,
    KEY_FLASH_FREQ,
    KEY_SIGN,
    KEY_BUILD_DIR,
    KEY_MANIFEST,
    KEY_MERGED,
    KEY_ERASE,
    KEY_KEEP,
    KEY_KEEP_BOOTLOADER,
    KEY_MOVE,
    KEY_GIVE_UP,
    KEY_OLD_LAYOUT,
    KEY_PARTITION_TABLE,
    KEY_SKIP_CHECK,
    KEY_SEQUENCE,
    KEY_INITIAL,
    KEY_ALWAYS,
    KEY_FIX_OFFSETS,
    KEY_CA,
    KEY_FETCH_AGAIN,
    KEY_EFUSES,
    KEY_BOOT_KEY,
};

/** An argument that may be given more than once. */
typedef struct word {
    int key; /**< KEY_..., or 0 for an OFFSET FILE pair. */
    const char *text;
    uint32_t offset; /**< Of a pair. */
} word_t;

typedef struct pack_arguments {
    const char *out_path, *key_path, *ca_path;
    const char *old_path;      /**< Dump or partition table of the old system. */
    const char *efuses_path;   /**< Of the chips that the bundle is for. */
    const char *boot_key_path; /**< Their key of Secure Boot V1. */
    const sr_chip_t *chip;
    flash_settings_t settings;
    uint32_t partition_table; /**< 0: default; SR_BUNDLE_NO_TABLE: none. */
    uint32_t skip;
    uint32_t sequence;
    bool keep_bootloader, fix_offsets, fetch_again, json, has_offset;
    bool any_place;  /**< Inputs may lie where the chip does not look for them. */
    uint32_t offset; /**< Of a pair whose file comes next. */
    word_t words[MAX_WORDS];
    size_t word_count;
} pack_arguments_t;

static void add_word(pack_arguments_t *arguments, int key, const char *text, struct argp_state *state)
{
    if (arguments->word_count == MAX_WORDS) {
        argp_error(state, "more than %u inputs and regions", MAX_WORDS);
    }
    arguments->words[arguments->word_count] = (word_t){.key = key, .text = text, .offset = arguments->offset};
    arguments->word_count++;
}

static void take_argument(pack_arguments_t *arguments, const char *argument, struct argp_state *state)
{
    if (arguments->has_offset) {
        add_word(arguments, 0, argument, state);
    } else if (!number_parse(argument, &arguments->offset)) {
        argp_error(state, "bad offset '%s': files are given as OFFSET FILE, for example 0x1000 bootloader.bin",
                   argument);
    }
    arguments->has_offset = !arguments->has_offset;
}

static void set_setting(char setting[8], const char *value, struct argp_state *state)
{
    if (!flash_setting_set(setting, value)) {
        argp_error(state, "no such flash setting: '%s' (4MB, dio and 40m are some)", value);
    }
}

static void set_table(pack_arguments_t *arguments, const char *value, struct argp_state *state)
{
    arguments->partition_table = SR_BUNDLE_NO_TABLE;
    if (strcmp(value, "none") != 0 && (!number_parse(value, &arguments->partition_table) ||
                                       arguments->partition_table == 0 || arguments->partition_table >= FLASH_LIMIT ||
                                       !sr_region_is_aligned(arguments->partition_table, SR_SECTOR_SIZE))) {
        argp_error(state, "bad place for a partition table '%s': a multiple of 0x1000 or 'none' expected", value);
    }
}

static bool has_word(const pack_arguments_t *arguments, int key)
{
    for (size_t i = 0; i < arguments->word_count; i++) {
        if (arguments->words[i].key == key) {
            return true;
        }
    }
    return false;
}

static void check_arguments(const pack_arguments_t *arguments, struct argp_state *state)
{
    if (arguments->has_offset) {
        argp_error(state, "offset 0x%" PRIx32 " has no FILE", arguments->offset);
    }
    if (arguments->out_path == NULL) {
        argp_error(state, "no output given: --out FILE is needed");
    }
    if (arguments->word_count == 0) {
        argp_error(state, "nothing to pack: no input given");
    }
    if ((arguments->fix_offsets || arguments->fetch_again || arguments->ca_path != NULL) &&
        !has_word(arguments, KEY_MANIFEST)) {
        argp_error(state, "--fix-offsets, --fetch-again and --ca are about a manifest, but there is no --manifest");
    }
    if (arguments->keep_bootloader && (arguments->settings.mode[0] != '\0' || arguments->settings.freq[0] != '\0')) {
        argp_error(state, "--flash-mode and --flash-freq change a bootloader, but it is kept");
    }
}

static void skip_check(pack_arguments_t *arguments, const char *name, struct argp_state *state)
{
    const bool place = strcmp(name, PLACEMENT_CHECK_NAME) == 0;
    arguments->any_place |= place;
    arguments->skip |= pack_check_bit(name);
    if (!place && pack_check_bit(name) == 0) {
        argp_error(state, "unknown check '%s' (known: " PACK_CHECK_NAMES ", " PLACEMENT_CHECK_NAME ")", name);
    }
}

static error_t parse_word_option(int key, char *argument, struct argp_state *state)
{
    pack_arguments_t *arguments = state->input;
    switch (key) {
    case KEY_BUILD_DIR:
    case KEY_MANIFEST:
    case KEY_MERGED:
    case KEY_ERASE:
    case KEY_KEEP:
    case KEY_MOVE:
    case KEY_GIVE_UP:
    case KEY_INITIAL:
    case KEY_ALWAYS:
        add_word(arguments, key, argument, state);
        return 0;
    case KEY_SEQUENCE:
        if (!number_parse(argument, &arguments->sequence)) {
            argp_error(state, "bad sequence number '%s': 0 to 4294967295 expected", argument);
        }
        return 0;
    case KEY_SKIP_CHECK:
        skip_check(arguments, argument, state);
        return 0;
    case ARGP_KEY_ARG:
        take_argument(arguments, argument, state);
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    pack_arguments_t *arguments = state->input;
    switch (key) {
    case 'o':
        arguments->out_path = argument;
        return 0;
    case 'c':
        arguments->chip = sr_chip_by_name(argument);
        if (arguments->chip == NULL) {
            char names[CHIP_NAMES_SIZE];
            argp_error(state, "unknown chip '%s' (known: %s)", argument, chip_names(names));
        }
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_FLASH_SIZE:
        set_setting(arguments->settings.size, argument, state);
        return 0;
    case KEY_FLASH_MODE:
        set_setting(arguments->settings.mode, argument, state);
        return 0;
    case KEY_FLASH_FREQ:
        set_setting(arguments->settings.freq, argument, state);
        return 0;
    case KEY_SIGN:
        arguments->key_path = argument;
        return 0;
    case KEY_KEEP_BOOTLOADER:
        arguments->keep_bootloader = true;
        return 0;
    case KEY_FIX_OFFSETS:
        arguments->fix_offsets = true;
        return 0;
    case KEY_FETCH_AGAIN:
        arguments->fetch_again = true;
        return 0;
    case KEY_CA:
        arguments->ca_path = argument;
        return 0;
    case KEY_OLD_LAYOUT:
        arguments->old_path = argument;
        return 0;
    case KEY_EFUSES:
        arguments->efuses_path = argument;
        return 0;
    case KEY_BOOT_KEY:
        arguments->boot_key_path = argument;
        return 0;
    case KEY_PARTITION_TABLE:
        set_table(arguments, argument, state);
        return 0;
    default:
        return parse_word_option(key, argument, state);
    }
}

static const struct argp_option options[] = {
    {"out", 'o', "FILE", 0, "Where to write the bundle (needed)", 0},
    {"chip", 'c', "CHIP", 0, "Chip: esp32, esp32s3, ...; default: that of a build folder or a manifest", 0},
    {"sign", KEY_SIGN, "FILE", 0, "Sign with the private key in this file (PEM)", 0},
    {"sequence", KEY_SEQUENCE, "N", 0,
     "Number of this bundle, larger than the previous one's: apps refuse lower ones than they ask for; default: 0", 0},
    {"json", 'j', NULL, 0, "Print JSON, as inspect does, and what was fetched", 0},
    {"build-dir", KEY_BUILD_DIR, "DIR", 0, "Input: a build of ESP-IDF, all that 'idf.py flash' would write", 1},
    {"manifest", KEY_MANIFEST, "FILE|URL", 0,
     "Input: a manifest of ESP Web Tools, with the files that it lists; what has a URL is fetched into a cache beside "
     "the bundle",
     1},
    {"fetch-again", KEY_FETCH_AGAIN, NULL, 0, "Fetch also what is in the cache already", 1},
    {"ca", KEY_CA, "FILE", 0, "Certificate (PEM) to trust for https; default: those of this system", 1},
    {"fix-offsets", KEY_FIX_OFFSETS, NULL, 0, "Take an offset such as 32.768 in a manifest as 32768 (0x8000)", 1},
    {"merged", KEY_MERGED, "FILE[@OFFSET]", 0, "Input: a merged image or a whole flash; default offset: 0", 1},
    {"flash-size", KEY_FLASH_SIZE, "SIZE", 0, "Change the bootloader's header: 4MB, ... as esptool does", 2},
    {"flash-mode", KEY_FLASH_MODE, "MODE", 0, "Change the bootloader's header: qio, qout, dio or dout", 2},
    {"flash-freq", KEY_FLASH_FREQ, "FREQ", 0, "Change the bootloader's header: 40m, 80m, ... as the chip supports", 2},
    {"erase", KEY_ERASE, "REGION", 0, "Erase this region where no input lies", 3},
    {"keep", KEY_KEEP, "REGION", 0, "Keep what the device has in this region, whatever the inputs say", 3},
    {"always", KEY_ALWAYS, "REGION", 0, "Compare this region at every start, though the new system may write to it", 3},
    {"initial", KEY_INITIAL, "REGION", 0,
     "Write this region only with the change to the new system, which owns it then", 3},
    {"keep-bootloader", KEY_KEEP_BOOTLOADER, NULL, 0, "Keep everything in front of the partition table", 3},
    {"move", KEY_MOVE, "WHAT", 0, "Move data of the old system to its new place: LABEL, OLD=NEW or REGION=REGION", 3},
    {"give-up", KEY_GIVE_UP, "REGION", 0,
     "Make room: what the old system has in this region may be overwritten from the first moment on", 3},
    {"old-layout", KEY_OLD_LAYOUT, "FILE", 0,
     "Dump of the old flash, or its partition table: check that what moves is there and fits, and that what is given "
     "up is there; with a dump, tell what data is lost",
     3},
    {"partition-table", KEY_PARTITION_TABLE, "OFFSET", 0,
     "Place of the partition table afterwards, or 'none'; default: 0x8000, and none for MCUboot", 3},
    {"efuses", KEY_EFUSES, "FILE", 0,
     "eFuses of the chips that the bundle is for, as 'espefuse summary --format json' prints them: refuse what they "
     "would refuse",
     4},
    {"secure-boot-key", KEY_BOOT_KEY, "FILE", 0,
     "Their key of Secure Boot V1, as 'espsecure digest-secure-bootloader' takes it: the digest at 0x0 is verified", 4},
    {"skip-check", KEY_SKIP_CHECK, "NAME", 0,
     "Switch a check off: " PACK_CHECK_NAMES "; or " PLACEMENT_CHECK_NAME
     ", whether each input is where the chip looks for it",
     4},
    {0}};

static const struct argp pack_argp = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[OFFSET FILE]...",
    .doc = "Makes a bundle, which says what a flash must hold. What no input covers is kept as it is on the device; "
           "blank sectors of an input are erased there."
           "\vREGION is ADDR+SIZE, ADDR..END, or the name of a partition in the table that is packed, for example nvs. "
           "What moves is named as in the table of the old system, which the device looks up; inputs do not count at "
           "its new place, and the rest of that is blank. Data moves once: with the bundle's bootloader and table. "
           "Data partitions, app partitions other than the one that boots, and MCUboot's slots are initial, unless "
           "nothing else is packed: their content is written once. "
           "The bundle is checked as the chip will check it, and not written if the chip would not boot.",
};

static int read_inputs(const pack_arguments_t *arguments, const char *ca, inputs_t *inputs)
{
    int status = STATUS_OK;
    inputs->chip = arguments->chip;
    inputs->fix_offsets = arguments->fix_offsets;
    inputs->cache = (fetch_cache_t){.out_path = arguments->out_path, .ca = ca, .again = arguments->fetch_again};
    for (size_t i = 0; i < arguments->word_count && status == STATUS_OK; i++) {
        const word_t *word = &arguments->words[i];
        switch (word->key) {
        case 0:
            status = input_file(inputs, word->offset, word->text);
            break;
        case KEY_BUILD_DIR:
            status = input_build_dir(inputs, word->text);
            break;
        case KEY_MANIFEST:
            status = input_manifest(inputs, word->text);
            break;
        case KEY_MERGED:
            status = input_merged(inputs, word->text);
            break;
        default:
            break; // a region, which may need the table
        }
    }
    if (status == STATUS_OK && inputs->chip == NULL) {
        status = complain(STATUS_USAGE, "no chip given: --chip CHIP is needed without --build-dir or --manifest");
    }
    return status;
}

/** Reads what --old-layout names, which has a partition table. */
static int read_old(const char *path, image_file_t *old)
{
    sr_partition_table_t table;
    const int status = image_file_load(path, old);
    return status == STATUS_OK ? moves_read_table(old, &table) : status;
}

static int read_efuses(const pack_arguments_t *arguments, pack_device_t *device)
{
    device->path = arguments->efuses_path;
    int status = device->path != NULL ? efuse_file_load(device->path, &device->chip) : STATUS_OK;
    if (status == STATUS_OK && arguments->boot_key_path != NULL) {
        status = boot_key_load(arguments->boot_key_path, device->path, &device->chip);
    }
    return status;
}

static int check_efuses(const pack_device_t *device, const sr_chip_t *chip)
{
    return device->chip.chip == chip ? STATUS_OK
                                     : complain(STATUS_BAD_INPUT, "%s: eFuses of an %s, and the bundle is for an %s",
                                                device->path, device->chip.chip->family, chip->family);
}

/** The system that is replaced; NULL: not known. */
static const image_file_t *old_system(const inputs_t *inputs)
{
    return inputs->old.bytes != NULL ? &inputs->old : NULL;
}

/** Settings on the command line take precedence over those of an input. */
static int settle_settings(const pack_arguments_t *arguments, inputs_t *inputs)
{
    char text[FLASH_SETTINGS_TEXT_SIZE];
    const char *problem = flash_settings_problem(&arguments->settings, inputs->chip, text);
    if (problem != NULL) {
        return complain(STATUS_USAGE, "%s: %s", inputs->chip->name, problem);
    }
    const flash_settings_t *given = &arguments->settings;
    flash_settings_t *settings = &inputs->settings;
    memcpy(settings->size, given->size[0] != '\0' ? given->size : settings->size, sizeof(settings->size));
    memcpy(settings->mode, given->mode[0] != '\0' ? given->mode : settings->mode, sizeof(settings->mode));
    memcpy(settings->freq, given->freq[0] != '\0' ? given->freq : settings->freq, sizeof(settings->freq));
    return STATUS_OK;
}

/** The settings of a build are those of its own bootloader: without that they say nothing. */
static int patch_bootloader(const pack_arguments_t *arguments, const inputs_t *inputs, flash_layout_t *layout)
{
    const uint32_t address = inputs->chip->bootloader_offset;
    const bool packed = flash_layout_want(layout, address) == SR_BUNDLE_CONTENT;
    if (inputs->bootloader_is_extra) {
        complain(STATUS_OK,
                 "note: flasher_args.json leaves out the bootloader, as ESP-IDF does with Secure Boot: %s is packed; "
                 "--keep-bootloader leaves it out, too",
                 flash_parts_name_at(&inputs->parts, address));
    }
    if (!packed && (arguments->settings.mode[0] != '\0' || arguments->settings.freq[0] != '\0')) {
        return complain(STATUS_BAD_INPUT, "no input has a bootloader whose flash mode or frequency could be changed");
    }
    const char *problem =
        packed ? flash_settings_apply(&inputs->settings, inputs->chip, layout->bytes + address, FLASH_LIMIT - address)
               : NULL;
    return problem == NULL ? STATUS_OK
                           : complain(STATUS_BAD_INPUT, "%s: at 0x%" PRIx32 ": %s",
                                      flash_parts_name_at(&inputs->parts, address), address, problem);
}

/** Finds out where the table is, and reads it. */
static int find_table(const pack_arguments_t *arguments, const inputs_t *inputs, pack_result_t *result)
{
    const uint32_t told = inputs->partition_table != 0 ? inputs->partition_table : SR_PARTITION_TABLE_OFFSET;
    result->table_offset = arguments->partition_table != 0 ? arguments->partition_table : told;
    if (!sr_region_is_aligned(told, SR_SECTOR_SIZE) || told >= FLASH_LIMIT) {
        return complain(STATUS_BAD_INPUT, "bad place of the partition table in the build: 0x%" PRIx32, told);
    }
    if (arguments->partition_table == 0 && !arguments->keep_bootloader &&
        pack_result_is_mcuboot(result->layout, result->chip, result->table_offset)) {
        result->table_offset = SR_BUNDLE_NO_TABLE;
    }
    pack_result_read_table(result);
    return STATUS_OK;
}

/** Applies --erase, then --keep. */
static int set_regions(const pack_arguments_t *arguments, const pack_result_t *result, flash_layout_t *layout)
{
    static const int order[] = {KEY_ERASE, KEY_KEEP};
    for (size_t i = 0; i < 2 * arguments->word_count; i++) {
        const int key = order[i / arguments->word_count];
        const word_t *word = &arguments->words[i % arguments->word_count];
        sr_region_t region;
        if (word->key != key) {
            continue;
        }
        const int status = flash_region_parse(word->text, &result->table, &region);
        if (status != STATUS_OK) {
            return status;
        }
        if (key == KEY_ERASE) {
            flash_layout_erase(layout, region);
        } else {
            flash_layout_set(layout, region, SR_BUNDLE_KEEP);
        }
    }
    return STATUS_OK;
}

/** Finds what the new system owns: by where it lies, then by --initial, then by --always. */
static int set_initial(const pack_arguments_t *arguments, const pack_result_t *result, flash_layout_t *layout)
{
    static const int order[] = {KEY_INITIAL, KEY_ALWAYS};
    int status = STATUS_OK;
    pack_initial_find(result, layout);
    for (size_t i = 0; i < 2 * arguments->word_count && status == STATUS_OK; i++) {
        const int key = order[i / arguments->word_count];
        const word_t *word = &arguments->words[i % arguments->word_count];
        if (word->key == key) {
            status = pack_initial_set(result, layout, word->text, key == KEY_INITIAL);
        }
    }
    return status == STATUS_OK ? pack_initial_check(layout) : status;
}

static int check_not_kept(const pack_arguments_t *arguments, const pack_result_t *result, sr_region_t destination)
{
    for (size_t i = 0; i < arguments->word_count; i++) {
        sr_region_t kept;
        if (arguments->words[i].key == KEY_KEEP &&
            flash_region_parse(arguments->words[i].text, &result->table, &kept) == STATUS_OK &&
            sr_region_overlaps(kept, destination)) {
            return complain(STATUS_USAGE, "--keep %s: data moves to 0x%06" PRIx32 "+0x%" PRIx32,
                            arguments->words[i].text, destination.address, destination.size);
        }
    }
    return STATUS_OK;
}

/** Applies --move. Where data moves to, the bundle describes nothing. */
static int set_moves(const pack_arguments_t *arguments, const image_file_t *old, pack_result_t *result,
                     flash_layout_t *layout, pack_moves_t *moves)
{
    int status = STATUS_OK;
    for (size_t i = 0; i < arguments->word_count && status == STATUS_OK; i++) {
        if (arguments->words[i].key == KEY_MOVE) {
            status = pack_moves_add(moves, arguments->words[i].text, result);
        }
    }
    if (status == STATUS_OK && moves->count != 0) {
        status = pack_moves_check(moves, result, old);
    }
    for (unsigned i = 0; i < moves->count && status == STATUS_OK; i++) {
        status = check_not_kept(arguments, result, moves->list[i].destination);
        flash_layout_set(layout, moves->list[i].destination, SR_BUNDLE_KEEP);
    }
    result->moved_end = pack_moves_end(moves);
    return status;
}

/** True if the user keeps a place, or something moves there. */
static bool is_reserved(const pack_arguments_t *arguments, const pack_result_t *result, const pack_moves_t *moves,
                        sr_region_t place)
{
    bool reserved = false;
    for (size_t i = 0; i < arguments->word_count; i++) {
        sr_region_t kept;
        reserved |= arguments->words[i].key == KEY_KEEP &&
                    flash_region_parse(arguments->words[i].text, &result->table, &kept) == STATUS_OK &&
                    sr_region_overlaps(kept, place);
    }
    for (unsigned i = 0; i < moves->count; i++) {
        reserved |= sr_region_overlaps(moves->list[i].destination, place);
    }
    return reserved;
}

/** What a device has in otadata selects one of its old apps: the new one is made to start. */
static void settle_otadata(const pack_arguments_t *arguments, const pack_result_t *result, const pack_moves_t *moves,
                           flash_layout_t *layout)
{
    const bool reserved = is_reserved(arguments, result, moves, pack_otadata_place(result));
    const pack_otadata_t done = pack_otadata_settle(result, layout, reserved);
    switch (done.kind) {
    case PACK_OTADATA_LEFT:
        return;
    case PACK_OTADATA_ERASED:
    case PACK_OTADATA_WRITTEN:
        complain(STATUS_OK, "note: no input brings otadata, at 0x%" PRIx32 ": it is %s, so that %s starts",
                 done.place.address, done.kind == PACK_OTADATA_ERASED ? "erased" : "written", done.label);
        return;
    case PACK_OTADATA_OTHER:
        complain(STATUS_OK,
                 "warning: otadata at 0x%" PRIx32
                 " may select an app%s%s that stays on the device: the bundle is refused "
                 "there, unless it selects one that is packed",
                 done.place.address, done.label[0] != '\0' ? " in " : "", done.label);
        return;
    }
}

static int keep_bootloader(const pack_result_t *result, flash_layout_t *layout)
{
    if (result->table_offset == SR_BUNDLE_NO_TABLE) {
        return complain(STATUS_USAGE, "--keep-bootloader goes up to the partition table: without one, use --keep");
    }
    flash_layout_set(layout, (sr_region_t){0, result->table_offset}, SR_BUNDLE_KEEP);
    return STATUS_OK;
}

/** Makes a layout of the flash from the files, and finds what it requires of a chip. */
static int lay_out(const pack_arguments_t *arguments, inputs_t *inputs, const pack_device_t *device,
                   flash_layout_t **layout, pack_result_t *result, pack_moves_t *moves)
{
    int status = settle_settings(arguments, inputs);
    if (status != STATUS_OK) {
        return status;
    }
    const uint32_t flash_size = flash_settings_bytes(&inputs->settings);
    const uint32_t limit = flash_size != 0 && flash_size < FLASH_LIMIT ? flash_size : FLASH_LIMIT;
    status = flash_parts_arrange(&inputs->parts, limit);
    if (status != STATUS_OK) {
        return status;
    }
    *layout = flash_layout_of(&inputs->parts);
    if (*layout == NULL) {
        complain(STATUS_BAD_INPUT, "%s", strerror(errno));
        return STATUS_BAD_INPUT;
    }
    *result = (pack_result_t){.chip = inputs->chip, .layout = *layout, .parts = &inputs->parts, .device = device};
    status = find_table(arguments, inputs, result);
    if (status == STATUS_OK && !arguments->any_place) {
        status = placement_check(&inputs->parts, result);
    }
    if (status == STATUS_OK && arguments->keep_bootloader) {
        status = keep_bootloader(result, *layout);
    } else if (status == STATUS_OK) {
        status = patch_bootloader(arguments, inputs, *layout);
    }
    if (status == STATUS_OK) {
        status = set_regions(arguments, result, *layout);
    }
    if (status == STATUS_OK) {
        status = set_moves(arguments, old_system(inputs), result, *layout, moves);
    }
    if (status == STATUS_OK) {
        settle_otadata(arguments, result, moves, *layout);
    }
    if (status == STATUS_OK) {
        status = set_initial(arguments, result, *layout);
    }
    if (status == STATUS_OK) {
        pack_result_find_demands(result, flash_size);
    }
    if (status == STATUS_OK &&
        (flash_layout_end(*layout) > result->flash_size || result->moved_end > result->flash_size)) {
        status = complain(STATUS_USAGE, "a region extends past the end of flash of %s: a larger one is --flash-size",
                          inputs->settings.size);
    }
    return status;
}

/** Reads --give-up, in which names are those of the old system's table. */
static int find_given_up(const pack_arguments_t *arguments, const image_file_t *old, const pack_result_t *result,
                         sr_bundle_given_up_t *list, unsigned *count)
{
    int status = STATUS_OK;
    for (size_t i = 0; i < arguments->word_count && status == STATUS_OK; i++) {
        if (arguments->words[i].key != KEY_GIVE_UP) {
            continue;
        }
        if (*count == SR_BUNDLE_MAX_GIVEN_UP) {
            return complain(STATUS_USAGE, "--give-up: a bundle gives up %u regions, and no more",
                            SR_BUNDLE_MAX_GIVEN_UP);
        }
        status = pack_given_up_read(arguments->words[i].text, &list[*count]);
        ++*count;
    }
    if (status == STATUS_OK && *count != 0) {
        status = pack_given_up_check(list, *count, result);
    }
    return status == STATUS_OK && *count != 0 ? pack_given_up_check_old(list, *count, old) : status;
}

static int write_bundle(const pack_arguments_t *arguments, const image_file_t *old, const pack_result_t *result,
                        const pack_moves_t *moves, uint8_t **bytes, size_t *size)
{
    sr_bundle_given_up_t given_up[SR_BUNDLE_MAX_GIVEN_UP];
    unsigned given_up_count = 0;
    const int read = find_given_up(arguments, old, result, given_up, &given_up_count);
    if (read != STATUS_OK) {
        return read;
    }
    bundle_region_t regions[SR_BUNDLE_MAX_REGIONS];
    const bundle_spec_t spec = {
        .chip_id = result->chip->image_chip_id,
        .min_chip_revision = result->min_revision,
        .min_flash_size = result->flash_size,
        .partition_table_offset = result->table_offset,
        .regions = regions,
        .region_count = flash_layout_regions(result->layout, regions),
        .moves = moves->list,
        .move_count = moves->count,
        .given_up = given_up,
        .given_up_count = given_up_count,
        .sequence = arguments->sequence,
    };
    if (spec.region_count == 0) {
        return complain(STATUS_NO, flash_layout_end(result->layout) == 0
                                       ? "all of the flash is kept: there is nothing to pack"
                                       : "the inputs lie in more places than a bundle has regions (64)");
    }
    const bundle_write_status_t status = bundle_write(&spec, bytes, size);
    return status == BUNDLE_WRITE_OK ? STATUS_OK : complain(STATUS_NO, "%s", bundle_write_status_text(status));
}

static int print_json(const bundle_file_t *bundle, const fetch_cache_t *cache)
{
    cJSON *json = bundle_report_json(bundle);
    if (json == NULL) {
        return STATUS_BAD_INPUT;
    }
    cJSON_AddItemToObject(json, "fetched", fetch_report_json(cache));
    json_print(json);
    return STATUS_OK;
}

static int report(const pack_arguments_t *arguments, const inputs_t *inputs, const image_file_t *file)
{
    bundle_file_t bundle;
    int status = bundle_file_open(file, &bundle);
    if (status == STATUS_OK && arguments->json) {
        status = print_json(&bundle, &inputs->cache);
    } else if (status == STATUS_OK) {
        status = bundle_report_print(&bundle);
        fetch_report_print(&inputs->cache);
    }
    if (status == STATUS_OK && old_system(inputs) != NULL) {
        data_losses_warn(&bundle, old_system(inputs));
    }
    return status;
}

static int make_bundle(const pack_arguments_t *arguments, const inputs_t *inputs, const pack_result_t *result,
                       const pack_moves_t *moves)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = pack_result_check(result, arguments->skip);
    if (status == STATUS_OK) {
        status = write_bundle(arguments, old_system(inputs), result, moves, &bytes, &size);
    }
    if (status != STATUS_OK) {
        return status;
    }
    pack_signatures_warn(result);
    image_file_t file = {.path = arguments->out_path, .bytes = bytes, .size = (uint32_t)size};
    if (arguments->key_path != NULL) {
        status = key_file_sign(arguments->key_path, file.bytes, file.size);
    }
    if (status == STATUS_OK) {
        status = output_file_write(arguments->out_path, file.bytes, file.size);
    }
    if (status == STATUS_OK) {
        status = report(arguments, inputs, &file);
    }
    image_file_free(&file);
    return status;
}

static int pack(const pack_arguments_t *arguments, const char *ca)
{
    inputs_t inputs = {0};
    flash_layout_t *layout = NULL;
    pack_result_t result;
    pack_moves_t moves = {0};
    pack_device_t device = {0};
    const bool told = arguments->efuses_path != NULL;
    int status = read_efuses(arguments, &device);
    if (status == STATUS_OK) {
        status = read_inputs(arguments, ca, &inputs);
    }
    if (status == STATUS_OK && told) {
        status = check_efuses(&device, inputs.chip);
    }
    if (status == STATUS_OK) {
        status = output_file_check(arguments->out_path);
    }
    if (status == STATUS_OK && arguments->old_path != NULL) {
        status = read_old(arguments->old_path, &inputs.old);
    }
    if (status == STATUS_OK) {
        status = lay_out(arguments, &inputs, told ? &device : NULL, &layout, &result, &moves);
    }
    if (status == STATUS_OK) {
        status = make_bundle(arguments, &inputs, &result, &moves);
    }
    if (status != STATUS_OK && status != STATUS_USAGE && inputs.cache.was_used) {
        complain(STATUS_OK,
                 "note: not all was fetched just now, some files come from %s.cache: --fetch-again fetches all",
                 arguments->out_path);
    }
    flash_layout_free(layout);
    flash_parts_free(&inputs.parts);
    fetch_cache_free(&inputs.cache);
    image_file_free(&inputs.old);
    return status;
}

static int run(int argc, char **argv)
{
    pack_arguments_t arguments = {0};
    if (!command_parse(&pack_argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    if (!arguments.json) {
        terminal_setup(); // JSON comes alone, without a bar
    }
    char *ca = arguments.ca_path != NULL ? key_file_load_text(arguments.ca_path) : NULL;
    const int status = arguments.ca_path == NULL || ca != NULL ? pack(&arguments, ca) : STATUS_BAD_INPUT;
    free(ca);
    return status;
}

const command_t command_pack = {"pack", "make a bundle from files, a build or a manifest", run};
