// SPDX-License-Identifier: Apache-2.0
// The report for people. Lines of "key value" under a heading for each thing that was found.
#include "tool/report/contents_report.h"

#include "tool/base/number.h"
#include "tool/base/terminal.h"
#include "tool/base/utf8.h"
#include "tool/report/boot_report.h"
#include "tool/report/cargo_report.h"
#include "tool/report/contents_names.h"
#include "tool/report/dump_extent.h"
#include "tool/report/encrypted_report.h"
#include "tool/report/flash_map.h"
#include "tool/report/signature_report.h"
#include "tool/report/table_problem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VALUE_COLUMN 15u /**< The column where terminal_key() ends. */

#define SHOWN_SIZE 40

/** A name as it can be shown: it may be empty, and hold any bytes. */
static const char *shown(const char *name, char out[SHOWN_SIZE])
{
    (void)snprintf(out, SHOWN_SIZE, "%s", name[0] != '\0' ? name : "(no name)");
    return utf8_tame(out);
}

static void print_check(const char *what, check_state_t state)
{
    printf("%s ", what);
    bool bad = state == CHECK_WRONG;
    terminal_print(bad ? STYLE_BAD : state == CHECK_GOOD ? STYLE_GOOD : STYLE_DIM, check_state_name(state));
}

static void print_integrity(const contents_t *contents, const esp_image_info_t *info)
{
    terminal_key("integrity");
    if (info->checksum == CHECK_UNKNOWN) {
        terminal_print(STYLE_BAD, sr_image_status_text(info->status));
        putchar('\n');
        return;
    }
    print_check("checksum", info->checksum);
    fputs(terminal_dot(), stdout);
    print_check("SHA-256", info->digest);
    putchar('\n');
    const sr_reader_t reader = contents_reader(contents, info);
    signature_report_print(&reader, &info->image);
}

static void print_length(const esp_image_info_t *info, uint32_t room)
{
    char length[NUMBER_TEXT_SIZE];
    char room_text[NUMBER_TEXT_SIZE];
    char segments[NUMBER_COUNT_SIZE];
    if (info->checksum == CHECK_UNKNOWN) {
        return;
    }
    terminal_key("length");
    printf("%s bytes in %s", number_grouped(info->image.length, length),
           number_count(info->image.segment_count, "segment", segments));
    if (room != 0) {
        printf(", of %s", number_size(room, room_text));
    }
    putchar('\n');
}

static void print_chip(const sr_image_t *image)
{
    const sr_chip_t *chip = sr_chip_by_id(image->chip_id);
    terminal_key("chip");
    printf("%s", chip != NULL ? chip->family : "unknown");
    if (chip == NULL) {
        printf(" (chip id 0x%04" PRIx16 ")", image->chip_id);
    }
    printf(", revision v%u.%u", image->min_chip_rev_full / 100u, image->min_chip_rev_full % 100u);
    if (image->max_chip_rev_full == 0 || image->max_chip_rev_full == UINT16_MAX) {
        puts(" or later");
    } else {
        printf(" to v%u.%u\n", image->max_chip_rev_full / 100u, image->max_chip_rev_full % 100u);
    }
}

static void print_bootloader(const contents_t *contents)
{
    const bootloader_info_t *bootloader = &contents->bootloader;
    const sr_image_t *image = &bootloader->esp.image;
    char mode[NAME_SIZE];
    char clock[NAME_SIZE];
    char size[NAME_SIZE];
    terminal_heading("Bootloader at 0x%06" PRIx32, bootloader->esp.address);
    terminal_key("kind");
    bool started = bootloader->kind != BOOT_LOADER_NONE;
    terminal_print(started ? STYLE_PLAIN : STYLE_BAD, started ? boot_loader_text(bootloader->kind) : "does not start");
    if (bootloader->version[0] != '\0') {
        char text[2][SHOWN_SIZE];
        printf(" %s, built %s", shown(bootloader->version, text[0]), shown(bootloader->built, text[1]));
    }
    putchar('\n');
    print_chip(image);
    terminal_key("flash");
    printf("%s, %s, %s\n", flash_size_name(image, size), flash_mode_name(image, mode),
           flash_clock_name(contents->chip.chip, image, clock));
    print_length(&bootloader->esp, 0);
    print_integrity(contents, &bootloader->esp);
}

static void print_table_problems(const contents_t *contents)
{
    for (unsigned i = 0; i < contents->table.count; i++) {
        char problem[TABLE_PROBLEM_SIZE];
        if (table_problem(&contents->table, i, problem)) {
            terminal_key("problem");
            terminal_wrap(problem, VALUE_COLUMN, VALUE_COLUMN);
        }
    }
}

static void print_table(const contents_t *contents)
{
    terminal_heading("Partition table at 0x%06" PRIx32, contents->table_address);
    printf("  %s  %-17s%-6s%-11s%-12s%s%s\n", terminal_style(STYLE_DIM), "name", "type", "subtype", "offset", "size",
           terminal_reset());
    for (unsigned i = 0; i < contents->table.count; i++) {
        const sr_partition_table_entry_t *entry = &contents->table.entries[i];
        char type[NAME_SIZE];
        char subtype[NAME_SIZE];
        char size[NUMBER_TEXT_SIZE];
        char name[SHOWN_SIZE];
        printf("    %-17s%-6s%-11s0x%06" PRIx32 "    %s%s\n", shown(entry->label, name),
               partition_type_name(entry, type), partition_subtype_name(entry, subtype), entry->address,
               number_size(entry->size, size), entry->flags & SR_PARTITION_FLAG_ENCRYPTED ? ", encrypted" : "");
    }
    print_table_problems(contents);
    terminal_key("integrity");
    if (contents->table_status == SR_PARTITION_TABLE_OK) {
        print_check("MD5", contents->table.has_md5 ? CHECK_GOOD : CHECK_ABSENT);
    } else {
        terminal_print(STYLE_BAD, sr_partition_table_status_text(contents->table_status));
        printf(", entry %u at 0x%" PRIx32, contents->table.bad_entry,
               contents->table_address + contents->table.bad_entry * SR_PARTITION_ENTRY_SIZE);
    }
    putchar('\n');
}

static bool is_erased(const sr_otadata_entry_t *entry)
{
    return entry->sequence == UINT32_MAX && entry->state == UINT32_MAX && entry->crc == UINT32_MAX;
}

static void print_otadata(const contents_t *contents)
{
    int active = sr_otadata_active(&contents->otadata);
    terminal_heading("OTA data at 0x%06" PRIx32, contents->otadata_partition->address);
    for (int i = 0; i < 2; i++) {
        const sr_otadata_entry_t *entry = &contents->otadata.entries[i];
        char state[NAME_SIZE];
        char name[SHOWN_SIZE];
        terminal_key(i == 0 ? "entry 0" : "entry 1");
        if (is_erased(entry)) {
            terminal_print(STYLE_DIM, "blank\n");
            continue;
        }
        const sr_partition_table_entry_t *slot = contents_selected_slot(contents, entry);
        bool crc = entry->crc == sr_otadata_crc(entry->sequence);
        printf("sequence %" PRIu32 ", state %s, slot %s, ", entry->sequence, ota_state_name(entry->state, state),
               slot != NULL ? shown(slot->label, name) : "unknown");
        print_check("CRC", crc ? CHECK_GOOD : CHECK_WRONG);
        puts(i == active ? ", in force" : "");
    }
}

static void print_place(const char *what, const char *label, uint32_t address)
{
    char name[SHOWN_SIZE];
    if (label[0] != '\0') {
        terminal_heading("%s in %s at 0x%06" PRIx32, what, shown(label, name), address);
    } else {
        terminal_heading("%s at 0x%06" PRIx32, what, address);
    }
}

static void print_app(const contents_t *contents, const esp_image_info_t *app)
{
    print_place("App", app->label, app->address);
    if (app->described) {
        terminal_key("name");
        char text[3][SHOWN_SIZE];
        printf("%s %s\n", shown(app->desc.project_name, text[0]),
               app->desc.version[0] != '\0' ? shown(app->desc.version, text[1]) : "(no version)");
        terminal_key("built");
        printf("%s %s with ESP-IDF %s\n", shown(app->desc.date, text[0]), shown(app->desc.time, text[1]),
               shown(app->desc.idf_ver, text[2]));
    }
    print_chip(&app->image);
    print_length(app, app->room);
    print_integrity(contents, app);
    if (app->checksum != CHECK_UNKNOWN) {
        const cargo_info_t cargo = cargo_info(contents->bytes + app->address, app->image.length, &app->image);
        cargo_report_print(&cargo);
    }
}

static void print_mcuboot_image(const mcuboot_info_t *info)
{
    char text[NUMBER_TEXT_SIZE];
    print_place("MCUboot image", info->label, info->address);
    terminal_key("version");
    printf("%u.%u.%u", info->image.version_major, info->image.version_minor, info->image.version_revision);
    printf(info->image.version_build != 0 ? "+%" PRIu32 "\n" : "\n", info->image.version_build);
    terminal_key("length");
    printf("%s bytes", number_grouped(info->image.length, text));
    if (info->slot_size != 0) {
        printf(", of %s", number_size(info->slot_size, text));
    }
    putchar('\n');
    terminal_key("integrity");
    if (info->status == SR_MCUBOOT_OK) {
        print_check("SHA-256", CHECK_GOOD);
        puts(info->image.has_signature ? ", signed (not verified here)" : ", not signed");
    } else {
        terminal_print(STYLE_BAD, sr_mcuboot_status_text(info->status));
        putchar('\n');
    }
    terminal_key("trailer");
    const char *wish = info->image_ok ? "asks for a swap for good" : "asks for a swap on trial";
    if (info->slot_size == 0) {
        puts("none: asks for nothing");
    } else if (info->copy_done) {
        puts(info->image_ok ? "swapped in, confirmed" : "swapped in on trial");
    } else {
        printf("%s, if in the secondary slot\n", wish);
    }
}

static void print_title(const contents_t *contents, const char *path)
{
    char size[NUMBER_TEXT_SIZE];
    bool has_chip = contents->kind != CONTENTS_MCUBOOT_SLOT && contents->kind != CONTENTS_PARTITION_TABLE;
    printf("%s%s%s\n", terminal_style(STYLE_HEADING), path, terminal_reset());
    printf("  %s", contents_kind_text(contents->kind));
    if (has_chip) {
        printf(" for %s", contents->chip.chip->family);
    }
    printf(", %s", number_size(contents->present.size, size));
    if (contents->kind == CONTENTS_PART) {
        printf(", from 0x%" PRIx32 " on", contents->present.address);
    }
    putchar('\n');
    encrypted_report_print_opened(contents);
}

void contents_report_print(const contents_t *contents, const char *path)
{
    print_title(contents, path);
    if (contents->bootloader.present) {
        print_bootloader(contents);
    }
    if (contents->table_present) {
        print_table(contents);
    }
    if (contents->otadata_partition != NULL && contents->bootloader.kind != BOOT_LOADER_MCUBOOT) {
        print_otadata(contents);
    }
    for (size_t i = 0; i < contents->app_count; i++) {
        print_app(contents, &contents->apps[i]);
    }
    for (size_t i = 0; i < contents->mcuboot_count; i++) {
        print_mcuboot_image(&contents->mcuboot[i]);
    }
    if (contents->region_count > 0) {
        terminal_heading("Flash map");
        flash_map_print(contents);
    }
    if (contents->kind == CONTENTS_FLASH) {
        putchar('\n');
        boot_report_print(&contents->boot, contents->boot_app_name);
        dump_extent_t extent;
        dump_extent_find(contents, &extent);
        dump_extent_print(&extent);
    }
}
