// SPDX-License-Identifier: Apache-2.0
/* What images demand of the chip, and its eFuses of images: revisions and secure versions. */
#include "preflight/sr_preflight_internal.h"

#include <inttypes.h>

#define REVISION_NOT_KNOWN UINT16_MAX

static uint16_t minimum_revision(const sr_chip_t *chip, const sr_image_t *image)
{
    return sr_chip_minimum_revision(chip, image->min_chip_rev, image->min_chip_rev_full);
}

static bool check_range(sr_preflight_work_t *work, const char *what, const char *of, unsigned is, unsigned minimum,
                        unsigned maximum)
{
    if (is < minimum) {
        return sr_preflight_refuse(work, "%s needs at least revision v%u.%u of %s, this one is v%u.%u", what,
                                   minimum / 100u, minimum % 100u, of, is / 100u, is % 100u);
    }
    if (is > maximum) {
        return sr_preflight_refuse(work, "%s runs up to revision v%u.%u of %s, this one is v%u.%u", what,
                                   maximum / 100u, maximum % 100u, of, is / 100u, is % 100u);
    }
    return true;
}

/* No later stage checks a bootloader's maximum, but it says that the bootloader was not made for this chip. */
static bool check_revision_of(sr_preflight_work_t *work, const char *what, const sr_preflight_image_t *image)
{
    const sr_preflight_t *request = work->request;
    if (request->chip_revision == REVISION_NOT_KNOWN) {
        return true;
    }
    if (!image->has_header) {
        // A bad header is a matter for the other checks.
        return image->status != SR_IMAGE_READ_FAILED ||
               sr_preflight_refuse(work, "%s's demand on the revision v%u.%u of the chip cannot be read", what,
                                   request->chip_revision / 100u, request->chip_revision % 100u);
    }
    const uint16_t told = image->image.max_chip_rev_full;
    const bool no_maximum = told == 0 || (request->efuses != NULL && request->efuses->ignores_max_revision);
    return check_range(work, what, "the chip", request->chip_revision, minimum_revision(request->chip, &image->image),
                       no_maximum ? UINT16_MAX : told);
}

/** An app that is not found is a matter for the other checks, unless the search could not be done. */
static bool find_app(sr_preflight_work_t *work, bool *found)
{
    *found = false;
    if (!sr_preflight_has_table(work)) {
        return true;
    }
    if (work->table_status == SR_PARTITION_TABLE_READ_FAILED) {
        return sr_preflight_refuse_table(work);
    }
    if (work->table_status == SR_PARTITION_TABLE_OK && work->choice_status == SR_BOOT_CHOICE_READ_FAILED) {
        return sr_preflight_refuse_choice(work);
    }
    *found = work->table_status == SR_PARTITION_TABLE_OK && work->choice_status == SR_BOOT_CHOICE_OK;
    return true;
}

/** What is not an image is a matter for the other checks. */
static bool check_readable(sr_preflight_work_t *work, const char *what, const sr_preflight_image_t *image)
{
    const bool no_image = image->status == SR_IMAGE_BAD_MAGIC || image->status == SR_IMAGE_BAD_SEGMENTS;
    return image->has_demands || no_image ||
           sr_preflight_refuse(work, "%s's demands on the eFuses cannot be read", what);
}

/**
 * The eFuse block revision that the app was built for: bootloaders check it since v5.1.7, v5.2.3 and v5.4, apps
 * themselves when they start. Those bootloaders do not check whether there is a descriptor, and take whatever lies in
 * its place.
 */
static bool check_block_revision(sr_preflight_work_t *work)
{
    const sr_chip_efuses_t *efuses = work->request->efuses;
    const sr_image_demands_t *demands = &work->app.demands;
    if (efuses == NULL || efuses->block_revision == REVISION_NOT_KNOWN || !work->request->chip->has_block_revision) {
        return true;
    }
    if (!work->app.has_demands) {
        return check_readable(work, "App", &work->app);
    }
    const bool maximum_counts = demands->max_block != 0 && !efuses->ignores_max_block;
    const unsigned minimum = demands->min_block != UINT16_MAX ? demands->min_block : 0;
    const unsigned maximum = maximum_counts ? demands->max_block : UINT16_MAX;
    const bool met = efuses->block_revision >= minimum && efuses->block_revision <= maximum;
    if (!met && !demands->has_descriptor && sr_preflight_find_traits(work) &&
        (work->traits & SR_PREFLIGHT_CHECKS_BLOCK) == 0) {
        return true;
    }
    return check_range(work, "App", "the eFuse block", efuses->block_revision, minimum, maximum);
}

bool sr_preflight_check_revision(sr_preflight_work_t *work)
{
    bool found = false;
    if (work->request->chip_revision == REVISION_NOT_KNOWN && work->request->efuses == NULL) {
        return true;
    }
    return check_revision_of(work, "Bootloader", &work->bootloader) && find_app(work, &found) &&
           (!found || (check_revision_of(work, "App", &work->app) && check_block_revision(work)));
}

static bool check_version_of(sr_preflight_work_t *work, const char *what, const sr_preflight_image_t *image,
                             uint32_t version, uint32_t lowest)
{
    if (lowest == 0) {
        return true;
    }
    if (!image->has_demands) {
        return check_readable(work, what, image);
    }
    return version >= lowest ||
           sr_preflight_refuse(work,
                               "%s has the secure version %" PRIu32 ", the chip's eFuse demands %" PRIu32
                               ": anti-rollback would reject it",
                               what, version, lowest);
}

bool sr_preflight_check_version(sr_preflight_work_t *work)
{
    bool found = false;
    const sr_chip_efuses_t *efuses = work->request->efuses;
    if (efuses == NULL) {
        return true;
    }
    if (!check_version_of(work, "Bootloader", &work->bootloader, work->bootloader.demands.bootloader_version,
                          efuses->bootloader_version)) {
        return false;
    }
    if (efuses->secure_version == 0) {
        return true;
    }
    return find_app(work, &found) &&
           (!found ||
            check_version_of(work, "App", &work->app, work->app.demands.secure_version, efuses->secure_version));
}
