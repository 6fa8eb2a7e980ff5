// SPDX-License-Identifier: Apache-2.0
// diff: what a bundle would change on a device with this flash.
#include "format/sr_digest.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"
#include "sim/nor/nor_flash.h"
#include "tool/base/chip_options.h"
#include "tool/base/command.h"
#include "tool/base/crypt_options.h"
#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/pack/moves.h"
#include "tool/report/boot_report.h"
#include "tool/report/bundle_report.h"
#include "tool/report/contents.h"
#include "tool/report/data_loss.h"
#include "tool/run/prospect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct diff_arguments {
    const char *bundle_path, *flash_path;
    crypt_options_t crypt;
    bool json;
} diff_arguments_t;

/** What has to be done, in a region or in all of them. */
typedef struct work {
    uint32_t right, wrong; /**< Sectors. */
    uint32_t blank;        /**< Wrong sectors that are only erased. */
    uint32_t chunks;       /**< Chunks that carry a wrong sector. */
    uint32_t bytes;        /**< Encoded bytes of these chunks. */
} work_t;

typedef struct diff {
    work_t regions[SR_BUNDLE_MAX_REGIONS];
    work_t moved[SR_BUNDLE_MAX_MOVES]; /**< What has to be done at the destinations of pending moves. */
    moves_t moves;
    work_t all;
    bool installed; /**< The bundle is installed: what the new system owns is not compared. */
    data_losses_t losses;
    prospect_t prospect;
} diff_t;

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    diff_arguments_t *arguments = state->input;
    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->crypt;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->flash_path != NULL) {
            argp_error(state, "one BUNDLE and one FLASH only, not also '%s'", argument);
        }
        *(arguments->bundle_path == NULL ? &arguments->bundle_path : &arguments->flash_path) = argument;
        return 0;
    case ARGP_KEY_END:
        if (arguments->flash_path == NULL) {
            argp_error(state, "a BUNDLE and a FLASH are needed");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/** Adds one sector to the work. @param last_chunk Number of the chunk that was counted last. */
static bool add_sector(const sr_bundle_t *bundle, const uint8_t *sector, uint32_t address, work_t *work,
                       uint32_t *last_chunk)
{
    uint8_t digest[SR_SHA256_SIZE];
    uint32_t index = 0;
    if (!sr_digest(sector, SR_SECTOR_SIZE, digest)) {
        return false;
    }
    const bool blank = sr_bundle_want(bundle, address, &index) == SR_BUNDLE_BLANK;
    const uint8_t *wanted = blank ? sr_bundle_blank_digest : sr_bundle_digest(bundle, index);
    if (memcmp(digest, wanted, SR_BUNDLE_DIGEST_SIZE) == 0) {
        work->right++;
        return true;
    }
    work->wrong++;
    if (blank) {
        work->blank++;
        return true;
    }
    const uint32_t chunk = sr_bundle_chunk_of(bundle, index);
    if (chunk != *last_chunk) {
        *last_chunk = chunk;
        work->chunks++;
        work->bytes += sr_bundle_chunk(bundle, chunk).length;
    }
    return true;
}

static void sum_up(work_t *all, const work_t *work)
{
    all->right += work->right;
    all->wrong += work->wrong;
    all->blank += work->blank;
    all->chunks += work->chunks;
    all->bytes += work->bytes;
}

static bool has_content(const sr_bundle_t *bundle, sr_region_t place)
{
    for (uint32_t at = 0; at < place.size; at += SR_SECTOR_SIZE) {
        if (sr_bundle_want(bundle, place.address + at, NULL) == SR_BUNDLE_CONTENT) {
            return true;
        }
    }
    return false;
}

/** As the component finds out, but without a mark of an unfinished installation. */
static void find_installed(const sr_bundle_t *bundle, diff_t *diff)
{
    bool content = false;
    uint32_t wrong = 0; // with content
    uint32_t blank = 0;
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(bundle, i);
        if (!region.initial) {
            content |= has_content(bundle, region.place);
            wrong += diff->regions[i].wrong - diff->regions[i].blank;
            blank += diff->regions[i].blank;
        }
    }
    diff->installed = wrong == 0 && (content || blank == 0);
    diff->all = (work_t){0};
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        work_t *work = &diff->regions[i];
        if (diff->installed && sr_bundle_region(bundle, i).initial) {
            *work = (work_t){.right = work->right + work->wrong};
        }
        sum_up(&diff->all, work);
    }
}

static bool compare_regions(const sr_bundle_t *bundle, const uint8_t *flash, diff_t *diff)
{
    uint32_t last_chunk = UINT32_MAX;
    for (uint32_t i = 0; i < bundle->region_count; i++) {
        const sr_region_t place = sr_bundle_region(bundle, i).place;
        work_t *work = &diff->regions[i];
        for (uint32_t at = 0; at < place.size; at += SR_SECTOR_SIZE) {
            const uint32_t address = place.address + at;
            if (!add_sector(bundle, flash + address, address, work, &last_chunk)) {
                return false;
            }
        }
    }
    find_installed(bundle, diff);
    return true;
}

/** What has moved already belongs to the new system, and is not compared. */
static void compare_moves(const sr_bundle_t *bundle, const uint8_t *before, const uint8_t *after, diff_t *diff)
{
    for (uint32_t i = 0; i < bundle->move_count && diff->moves.pending; i++) {
        const sr_region_t place = sr_bundle_move(bundle, i).destination;
        work_t *work = &diff->moved[i];
        for (uint32_t at = place.address; at < place.address + place.size; at += SR_SECTOR_SIZE) {
            const bool right = memcmp(before + at, after + at, SR_SECTOR_SIZE) == 0;
            work->right += right;
            work->wrong += !right;
            work->blank += !right && nor_is_erased(after + at, SR_SECTOR_SIZE);
        }
        sum_up(&diff->all, work);
    }
}

static void add_work(cJSON *json, const work_t *work)
{
    cJSON_AddNumberToObject(json, "sectors_right", work->right);
    cJSON_AddNumberToObject(json, "sectors_wrong", work->wrong);
    cJSON_AddNumberToObject(json, "sectors_to_program", work->wrong - work->blank);
    cJSON_AddNumberToObject(json, "chunks", work->chunks);
    cJSON_AddNumberToObject(json, "chunk_bytes", work->bytes);
}

static void add_moves(cJSON *json, const bundle_file_t *bundle, const diff_t *diff)
{
    cJSON_AddBoolToObject(json, "moves_pending", diff->moves.pending);
    cJSON *list = cJSON_AddArrayToObject(json, "moves");
    for (uint32_t i = 0; i < bundle->bundle.move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(&bundle->bundle, i);
        cJSON *item = bundle_report_move_json(&move);
        if (diff->moves.pending) {
            cJSON_ReplaceItemInObject(item, "source_offset", cJSON_CreateNumber(diff->moves.sources[i].address));
            cJSON_ReplaceItemInObject(item, "source_size", cJSON_CreateNumber(diff->moves.sources[i].size));
        }
        cJSON_AddItemToObject(item, "pages_in_use",
                              moves_closes_up(&move, diff->moves.sources[i]) ? cJSON_CreateNumber(diff->moves.pages[i])
                                                                             : cJSON_CreateNull());
        add_work(item, &diff->moved[i]);
        cJSON_AddItemToArray(list, item);
    }
}

static void print_json(const bundle_file_t *bundle, const diff_t *diff, uint32_t download)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "same", diff->all.wrong == 0);
    cJSON_AddBoolToObject(json, "installed", diff->installed);
    add_work(json, &diff->all);
    cJSON_AddNumberToObject(json, "bytes_to_download", download);
    cJSON_AddNumberToObject(json, "bundle_size", bundle->bundle.bundle_size);
    cJSON *list = cJSON_AddArrayToObject(json, "regions");
    for (uint32_t i = 0; i < bundle->bundle.region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(&bundle->bundle, i);
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "offset", region.place.address);
        cJSON_AddNumberToObject(item, "size", region.place.size);
        cJSON_AddStringToObject(item, "kind", region.kind == SR_BUNDLE_ERASED ? "erased" : "written");
        cJSON_AddBoolToObject(item, "initial", region.initial);
        add_work(item, &diff->regions[i]);
        cJSON_AddItemToArray(list, item);
    }
    add_moves(json, bundle, diff);
    cJSON_AddItemToObject(json, "data_lost", data_losses_json(&diff->losses));
    cJSON_AddItemToObject(json, "refusal_text",
                          diff->prospect.room != NULL ? cJSON_CreateString(diff->prospect.plan.refusal_text)
                                                      : cJSON_CreateNull());
    cJSON_AddItemToObject(json, "room", room_json(diff->prospect.room));
    cJSON_AddItemToObject(json, "keep_bootloader", keep_bootloader_json(&diff->prospect.keep));
    json_print(json);
}

static void print_moves(const bundle_file_t *bundle, const diff_t *diff)
{
    if (bundle->bundle.move_count != 0) {
        terminal_heading(diff->moves.pending ? "Moves" : "Moves, made already");
    }
    for (uint32_t i = 0; i < bundle->bundle.move_count; i++) {
        const sr_bundle_move_t move = sr_bundle_move(&bundle->bundle, i);
        const sr_region_t source = diff->moves.sources[i];
        char size[NUMBER_TEXT_SIZE];
        char text[BUNDLE_SOURCE_TEXT_SIZE];
        printf("  0x%06" PRIx32 "  %-9s%-11s", move.destination.address, "moved",
               number_size(move.destination.size, size));
        if (diff->moves.pending) {
            printf("%" PRIu32 " right, %" PRIu32 " wrong, ", diff->moved[i].right, diff->moved[i].wrong);
        }
        printf("from %s", bundle_report_source(&move, text));
        if (diff->moves.pending && move.label[0] != '\0') {
            printf(", %s at 0x%06" PRIx32, number_size(source.size, size), source.address);
        }
        if (moves_closes_up(&move, source)) {
            printf(", %" PRIu32 " of %" PRIu32 " pages in use", diff->moves.pages[i], source.size / SR_SECTOR_SIZE);
        }
        putchar('\n');
    }
}

/** What the device would say to it, if that is no. */
static void print_prospect(const prospect_t *prospect)
{
    if (prospect->room != NULL) {
        terminal_key("refused");
        terminal_wrap(prospect->plan.refusal_text, 15, 15);
        room_print(prospect->room);
    }
}

static void print_text(const bundle_file_t *bundle, const diff_t *diff, uint32_t download)
{
    const work_t *all = &diff->all;
    char first[NUMBER_TEXT_SIZE];
    char second[NUMBER_TEXT_SIZE];
    char chunks[NUMBER_COUNT_SIZE];
    terminal_key("sectors");
    printf("%" PRIu32 " right, %" PRIu32 " to erase, %" PRIu32 " of these to program\n", all->right, all->wrong,
           all->wrong - all->blank);
    terminal_key("download");
    printf("%s of %s bytes: manifest, signature and %" PRIu32 " of %s\n", number_grouped(download, first),
           number_grouped(bundle->bundle.bundle_size, second), all->chunks,
           number_count(bundle->bundle.chunk_count, "chunk", chunks));
    print_prospect(&diff->prospect);
    data_losses_print(&diff->losses);
    keep_bootloader_print(&diff->prospect.keep);
    terminal_heading("Regions");
    for (uint32_t i = 0; i < bundle->bundle.region_count; i++) {
        const sr_bundle_region_t region = sr_bundle_region(&bundle->bundle, i);
        const work_t *work = &diff->regions[i];
        printf("  0x%06" PRIx32 "  %-9s%-11s%" PRIu32 " right, %" PRIu32 " wrong", region.place.address,
               region.kind == SR_BUNDLE_ERASED ? "erased" : "written", number_size(region.place.size, first),
               work->right, work->wrong);
        if (work->chunks != 0) {
            printf(", %s of %s bytes", number_count(work->chunks, "chunk", chunks),
                   number_grouped(work->bytes, second));
        }
        puts(!region.initial ? "" : diff->installed ? ", initial: owned by the new system by now" : ", initial");
    }
    print_moves(bundle, diff);
}

/** A device's flash: what its cells hold, and what is read there. */
typedef struct device {
    boot_chip_t chip;
    image_file_t cells, view;
    boot_plain_layout_t layout; /**< Of the system that the bundle makes. */
} device_t;

/** Asks the component. @param after What is read once the bundle is applied; becomes what the cells hold. */
static int ask(const bundle_file_t *bundle, const device_t *device, image_file_t *after, diff_t *diff)
{
    image_file_t cells = {.path = after->path, .bytes = flash_memory_new(after->size), .size = after->size};
    if (cells.bytes == NULL) {
        return complain(STATUS_BAD_INPUT, "%s: %s", after->path, strerror(errno));
    }
    memcpy(cells.bytes, device->cells.bytes, cells.size);
    boot_plain_write(&device->chip, &device->layout, device->view.bytes, after->bytes, cells.size, cells.bytes);
    const prospect_flash_t flash = {.cells = &device->cells, .view = &device->view, .after = &cells};
    const int status = prospect_find(bundle, &device->chip, &flash, &diff->prospect);
    image_file_free(&cells);
    return status;
}

/** Applies the bundle to a copy, and asks the component.
 * @return STATUS_OK, or the status after complaining of what the chip would refuse. */
static int look_ahead(const bundle_file_t *bundle, const device_t *device, diff_t *diff)
{
    image_file_t after;
    const image_file_t *flash = &device->view;
    int status = moves_apply(bundle, flash, &after, &diff->moves);
    if (status == STATUS_OK && bundle->bundle.move_count != 0) {
        compare_moves(&bundle->bundle, flash->bytes, after.bytes, diff);
    }
    if (status == STATUS_OK && !diff->installed) {
        data_losses_of_bundle(&bundle->bundle, flash, &after, &diff->losses);
    }
    if (status == STATUS_OK) {
        status = ask(bundle, device, &after, diff);
    }
    image_file_free(&after);
    return status;
}

static int show(const bundle_file_t *bundle, const diff_t *diff, bool json)
{
    const uint32_t download = bundle->bundle.manifest_size + SR_BUNDLE_SIGNATURE_SIZE + diff->all.bytes;
    if (json) {
        print_json(bundle, diff, download);
    } else {
        terminal_setup();
        print_text(bundle, diff, download);
    }
    return prospect_is_refused(&diff->prospect) ? STATUS_NO : STATUS_OK;
}

static int show_diff(const bundle_file_t *bundle, const device_t *device, bool json)
{
    diff_t diff = {0};
    const image_file_t *flash = &device->view;
    int status = bundle_file_check_size(&bundle->bundle, flash);
    if (status != STATUS_OK) {
        return status;
    }
    if (!compare_regions(&bundle->bundle, flash->bytes, &diff)) {
        return complain(STATUS_BAD_INPUT, "the crypto library failed");
    }
    status = look_ahead(bundle, device, &diff);
    if (status == STATUS_OK) {
        status = show(bundle, &diff, json);
    }
    prospect_free(&diff.prospect);
    return status;
}

/** @return STATUS_OK, or a status after complaining; close_device() is due in both cases. */
static int open_device(diff_arguments_t *arguments, const bundle_file_t *bundle, device_t *device)
{
    *device = (device_t){0};
    int status = image_file_load_flash(arguments->flash_path, &device->cells);
    if (status == STATUS_OK) {
        status = crypt_options_open(&arguments->crypt, &device->chip, &device->cells);
    }
    if (status == STATUS_OK) {
        status = chip_settle(&device->chip, device->cells.bytes, device->cells.size);
    }
    return status == STATUS_OK
               ? contents_view_for(bundle, &device->chip, &device->cells, &device->layout, &device->view)
               : status;
}

static void close_device(diff_arguments_t *arguments, device_t *device)
{
    image_file_free(&device->cells);
    image_file_free(&device->view);
    crypt_options_close(&arguments->crypt);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "Print JSON", 0}, {0}};
    static const struct argp_child children[] = {{&crypt_options_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "BUNDLE FLASH",
        .doc = "Tells what a device whose flash holds FLASH would download and write to apply BUNDLE; and, if it would "
               "refuse that for want of room, what would make room.",
        .children = children,
    };
    diff_arguments_t arguments = {0};
    if (!command_parse(&argp, argc, argv, 0, &arguments)) {
        return STATUS_USAGE;
    }
    bundle_file_t bundle;
    int status = bundle_file_load(arguments.bundle_path, &bundle);
    if (status == STATUS_OK) {
        device_t device;
        status = open_device(&arguments, &bundle, &device);
        if (status == STATUS_OK) {
            status = show_diff(&bundle, &device, arguments.json);
        }
        close_device(&arguments, &device);
    }
    bundle_file_free(&bundle);
    return status;
}

const command_t command_diff = {"diff", "what a bundle would change in a flash", run};
