// SPDX-License-Identifier: Apache-2.0
#include "preflight/sr_preflight.h"

#include "format/sr_reader.h"
#include "preflight/sr_preflight_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool sr_preflight_refuse(sr_preflight_work_t *work, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(work->text, work->text_size, format, arguments);
    va_end(arguments);
    return false;
}

bool sr_preflight_refuse_bootloader(sr_preflight_work_t *work, sr_image_status_t status)
{
    return sr_preflight_refuse(work, "Bootloader at 0x%" PRIx32 ": %s", work->request->chip->bootloader_offset,
                               sr_image_status_text(status));
}

static bool check_bootloader(sr_preflight_work_t *work)
{
    const sr_preflight_t *request = work->request;
    const sr_preflight_image_t *loader = &work->bootloader;
    const uint32_t start = request->chip->bootloader_offset;
    if (loader->has_header && loader->image.chip_id != request->chip->image_chip_id) {
        return sr_preflight_refuse(work, "Bootloader at 0x%" PRIx32 " is for chip id 0x%04x, this %s has 0x%04x", start,
                                   loader->image.chip_id, request->chip->name, request->chip->image_chip_id);
    }
    sr_reader_window_t window;
    const sr_reader_t reader = sr_reader_window(&window, request->flash, start, UINT32_MAX);
    const sr_image_status_t status =
        loader->status == SR_IMAGE_OK ? sr_image_verify(&reader, &loader->image, NULL) : loader->status;
    if (status != SR_IMAGE_OK) {
        return sr_preflight_refuse_bootloader(work, status);
    }
    // No overflow: the image is inside the flash.
    if (sr_preflight_has_table(work) && start + loader->image.length > request->table_offset) {
        return sr_preflight_refuse(work,
                                   "Bootloader at 0x%" PRIx32 " ends at 0x%" PRIx32
                                   ", past the start of the partition table at 0x%" PRIx32,
                                   start, start + loader->image.length, request->table_offset);
    }
    if (request->is_plain && !sr_preflight_find_traits(work)) {
        return sr_preflight_refuse_bootloader(work, SR_IMAGE_READ_FAILED);
    }
    return !request->is_plain || (work->traits & SR_PREFLIGHT_WANTS_ENCRYPTED) == 0 ||
           sr_preflight_refuse(work,
                               "Bootloader at 0x%" PRIx32 " starts apps only on a chip that encrypts its flash already "
                               "(CONFIG_SECURE_FLASH_REQUIRE_ALREADY_ENABLED), and this one does not",
                               start);
}

/** @param room Bytes that are at hand; the demands on the eFuses lie in the first sector, which is. */
static void parse_image(const sr_preflight_t *request, sr_region_t place, uint32_t room, sr_preflight_image_t *out)
{
    sr_reader_window_t window;
    sr_reader_t reader = sr_reader_window(&window, request->flash, place.address, room);
    out->status = sr_image_parse(&reader, &out->image);
    out->has_header =
        reader.size >= SR_IMAGE_HEADER_SIZE && out->status != SR_IMAGE_BAD_MAGIC && out->status != SR_IMAGE_READ_FAILED;
    reader = sr_reader_window(&window, request->flash, place.address, place.size);
    out->has_demands = out->has_header && request->efuses != NULL && sr_image_read_demands(&reader, &out->demands);
}

static void read_parts(sr_preflight_work_t *work)
{
    const sr_preflight_t *request = work->request;
    if (!request->app_alone) {
        parse_image(request, (sr_region_t){request->chip->bootloader_offset, UINT32_MAX}, UINT32_MAX,
                    &work->bootloader);
    }
    if (!sr_preflight_has_table(work)) {
        return;
    }
    sr_reader_window_t window;
    const sr_reader_t reader =
        sr_reader_window(&window, request->flash, request->table_offset, SR_PARTITION_TABLE_SIZE);
    work->table_status = sr_partition_table_parse(&reader, 0, &work->table);
    if (work->table_status != SR_PARTITION_TABLE_OK) {
        return;
    }
    work->choice_status = sr_boot_choice_make(request->flash, &work->table, &work->choice);
    if (work->choice_status == SR_BOOT_CHOICE_OK) {
        if (!sr_boot_choice_skip_empty(request->flash, &work->table, &work->choice)) {
            work->app.status = SR_IMAGE_READ_FAILED;
            return;
        }
        const sr_partition_table_entry_t *app = work->choice.app;
        const uint32_t room =
            request->app_follows && app->size > SR_IMAGE_HEADER_SIZE ? SR_IMAGE_HEADER_SIZE : app->size;
        parse_image(request, (sr_region_t){app->address, app->size}, room, &work->app);
    }
}

uint32_t sr_preflight_check(const sr_preflight_t *request, void *workspace, char *text, size_t text_size)
{
    static const struct {
        uint32_t bit;
        bool (*passes)(sr_preflight_work_t *work);
    } checks[] = {
        {SR_PREFLIGHT_BOOTLOADER, check_bootloader},
        {SR_PREFLIGHT_FLASH_SIZE, sr_preflight_check_flash_size},
        {SR_PREFLIGHT_FLASH_MODE, sr_preflight_check_flash_mode},
        {SR_PREFLIGHT_REVISION, sr_preflight_check_revision},
        {SR_PREFLIGHT_TABLE, sr_preflight_check_table},
        {SR_PREFLIGHT_APP, sr_preflight_check_app},
        {SR_PREFLIGHT_VERSION, sr_preflight_check_version},
    };
    sr_preflight_work_t *work = workspace;
    memset(work, 0, sizeof(*work));
    work->request = request;
    work->text = text;
    work->text_size = text_size;
    (void)snprintf(text, text_size, "%s", "");
    read_parts(work);
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if ((request->skip & checks[i].bit) == 0 && !checks[i].passes(work)) {
            return checks[i].bit;
        }
    }
    return 0;
}

size_t sr_preflight_workspace_size(void)
{
    return sizeof(sr_preflight_work_t);
}
