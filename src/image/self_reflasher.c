// SPDX-License-Identifier: Apache-2.0
#include "self_reflasher.h"

#include "flash/sr_flash_size.h"
#include "format/sr_region.h"
#include "image/sr_handle.h"
#include "image/sr_staging.h"
#include "image/sr_transfer.h"
#include "net/sr_download.h"
#include "relocate/sr_relocation.h"
#include "system/sr_partition.h"
#include "system/sr_slots.h"
#include "system/sr_system.h"

#include "esp_check.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"
#include "sdkconfig.h"

#include <inttypes.h>

static const char *TAG = "self_reflasher";

/** Which call may come next. */
typedef enum state {
    STATE_READY,  /**< Configured: download_bin. */
    STATE_STAGED, /**< Image staged and checked: copy_to_region. */
    STATE_COPIED, /**< Image in place: upd_next_config. */
} state_t;

typedef struct reflasher {
    sr_handle_t handle; /**< First, so that who finds it has found all. */
    esp_self_reflasher_config_t config;
    esp_http_client_config_t http;    /**< The caller's may be gone by the time of the download. */
    const esp_partition_t *partition; /**< Staging. */
    uint32_t image_offset;            /**< Where in it the current image starts, a multiple of the sector size. */
    uint32_t image_length;            /**< Bytes, once staged. */
    uint16_t filled_slots;            /**< OTA slots that images of this handle were copied to: no place for staging. */
    state_t state;
} reflasher_t;

/* Addresses and sizes of the chip's flash are 32 bit; a larger size_t on the host must not be cut off silently. */
static esp_err_t to_region(addr_region_t from, uint32_t flash_size, const char *what, sr_region_t *region)
{
    *region = (sr_region_t){from.region_address, (uint32_t)from.region_size};
    if (from.region_size == 0) {
        ESP_LOGE(TAG, "refused: %s at 0x%" PRIx32 " is empty", what, from.region_address);
        return ESP_ERR_INVALID_ARG;
    }
    if (from.region_size > flash_size || !sr_region_fits(*region, flash_size)) {
        ESP_LOGE(TAG, "refused: %s at 0x%" PRIx32 " of %zu bytes extends past the end of flash of 0x%" PRIx32, what,
                 from.region_address, from.region_size, flash_size);
        return ESP_ERR_SELF_REFLASHER_PAST_END;
    }
    return ESP_OK;
}

/* The flag counts by the table that the app was started with. */
static esp_err_t refuse_read_only(sr_region_t region, const char *what)
{
    const esp_partition_t *partition;
    ESP_RETURN_ON_ERROR(sr_partition_find_read_only(region, &partition), TAG, "partition table cannot be searched");
    if (partition == NULL) {
        return ESP_OK;
    }
    ESP_LOGE(TAG,
             "refused: %s 0x%" PRIx32 "..0x%" PRIx32
             " touches partition '%s', which is flagged readonly: the flash driver writes there with no table but one "
             "without the flag",
             what, region.address, region.address + region.size, partition->label);
    return ESP_ERR_SELF_REFLASHER_READ_ONLY;
}

static esp_err_t to_destination(addr_region_t from, uint32_t flash_size, sr_region_t *region)
{
    if (!sr_region_is_aligned(from.region_address, SR_SECTOR_SIZE) || from.region_size % SR_SECTOR_SIZE != 0) {
        ESP_LOGE(TAG, "refused: destination 0x%" PRIx32 " of 0x%zx bytes is not in whole sectors of 0x%x",
                 from.region_address, from.region_size, SR_SECTOR_SIZE);
        return ESP_ERR_SELF_REFLASHER_UNALIGNED;
    }
    const esp_err_t err = to_region(from, flash_size, "destination", region);
    return err == ESP_OK ? refuse_read_only(*region, "destination") : err;
}

static esp_err_t refuse_running_app(const sr_system_t *system, sr_region_t region, const char *what)
{
    const sr_region_t running = system->running_partition;
    if (!sr_region_overlaps(region, running)) {
        return ESP_OK;
    }
    ESP_LOGE(TAG,
             "refused: %s 0x%" PRIx32 "..0x%" PRIx32 " covers the running app's partition 0x%" PRIx32 "..0x%" PRIx32,
             what, region.address, region.address + region.size, running.address, running.address + running.size);
    return ESP_ERR_SELF_REFLASHER_RUNNING_APP;
}

/* Nobody has vouched for an image when it is staged. */
static bool boots_by(const sr_system_t *system, sr_region_t region)
{
    const sr_boot_path_t *path = &system->boot_path;
    return sr_region_overlaps(region, path->bootloader) || sr_region_overlaps(region, path->digest) ||
           sr_region_overlaps(region, path->table) || sr_region_overlaps(region, path->otadata);
}

static esp_err_t check_partition(const sr_system_t *system, const esp_partition_t *partition, sr_region_t destination)
{
    const sr_region_t staging = sr_partition_region(partition);
    if (!sr_partition_is_on_main_chip(partition)) {
        ESP_LOGE(TAG, "refused: staging partition '%s' is not on the main flash chip", partition->label);
        return ESP_ERR_INVALID_ARG;
    }
    if (!sr_region_is_aligned(staging.address, SR_SECTOR_SIZE) || staging.size < SR_SECTOR_SIZE) {
        ESP_LOGE(TAG, "refused: staging partition '%s' at 0x%" PRIx32 " of 0x%" PRIx32 " bytes is not in whole sectors",
                 partition->label, staging.address, staging.size);
        return ESP_ERR_SELF_REFLASHER_UNALIGNED;
    }
    if (!sr_region_fits(staging, system->flash.size)) {
        ESP_LOGE(TAG, "refused: staging partition '%s' extends past the end of flash of 0x%" PRIx32, partition->label,
                 system->flash.size);
        return ESP_ERR_SELF_REFLASHER_PAST_END;
    }
    if (sr_region_overlaps(staging, destination)) {
        ESP_LOGE(TAG, "refused: staging 0x%" PRIx32 "..0x%" PRIx32 " overlaps destination 0x%" PRIx32 "..0x%" PRIx32,
                 staging.address, staging.address + staging.size, destination.address,
                 destination.address + destination.size);
        return ESP_ERR_SELF_REFLASHER_OVERLAP;
    }
    if (sr_region_overlaps(staging, system->boot_path.recovery)) {
        ESP_LOGE(TAG, "refused: staging partition '%s' covers the bootloader that started the chip, at 0x%" PRIx32,
                 partition->label, system->recovery);
        return ESP_ERR_SELF_REFLASHER_OVERLAP;
    }
    if (boots_by(system, staging)) {
        ESP_LOGE(TAG, "refused: staging partition '%s' at 0x%" PRIx32 " holds what the running system boots by",
                 partition->label, staging.address);
        return ESP_ERR_SELF_REFLASHER_OVERLAP;
    }
    const esp_err_t err = refuse_read_only(staging, "staging partition");
    return err == ESP_OK ? refuse_running_app(system, staging, "staging partition") : err;
}

/* Whole sectors of a partition: a table may say any size. */
static uint32_t staging_size(const esp_partition_t *partition)
{
    return partition->size & ~(SR_SECTOR_SIZE - 1u);
}

/* Room after the previous image, in whole sectors. */
static uint32_t next_offset(const reflasher_t *reflasher)
{
    return (uint32_t)sr_region_align_up(reflasher->image_offset + reflasher->image_length, SR_SECTOR_SIZE);
}

/* Stays in the partition that is in use where it will do: after the previous image, or from its start. */
static bool reuse_staging(const sr_system_t *system, const reflasher_t *previous, sr_region_t destination,
                          uint32_t *offset)
{
    const sr_region_t staging = sr_partition_region(previous->partition);
    if (sr_region_overlaps(staging, destination) || sr_region_overlaps(staging, system->running_partition) ||
        destination.size > staging_size(previous->partition)) {
        return false;
    }
    const uint32_t after = next_offset(previous);
    *offset = destination.size <= staging_size(previous->partition) - after ? after : 0;
    return true;
}

/* Decides where the next image is staged. @p previous is NULL for the first one. */
static esp_err_t choose_staging(const sr_system_t *system, const esp_self_reflasher_config_t *config,
                                sr_region_t destination, const reflasher_t *previous, reflasher_t *next)
{
    const esp_partition_t *wanted = config->target_partition;
    next->image_offset = 0;
    next->partition = wanted;
    if (wanted != NULL) {
        const esp_err_t err = check_partition(system, wanted, destination);
        if (err != ESP_OK) {
            return err;
        }
    }
    if (previous != NULL && (wanted == NULL || wanted == previous->partition) &&
        reuse_staging(system, previous, destination, &next->image_offset)) {
        next->partition = previous->partition;
        return ESP_OK;
    }
    if (wanted == NULL) {
        sr_slots_t slots;
        ESP_RETURN_ON_ERROR(sr_slots_find(&slots), TAG, "partition table cannot be searched");
        next->partition = sr_slots_find_staging(system, &slots, next->filled_slots | sr_slots_in(&slots, destination),
                                                destination.size);
    }
    if (next->partition == NULL) {
        ESP_LOGE(TAG,
                 "refused: no OTA partition is clear of destination 0x%" PRIx32 "..0x%" PRIx32
                 ", of those before and of the running app",
                 destination.address, destination.address + destination.size);
        return ESP_ERR_SELF_REFLASHER_NO_STAGING;
    }
    return ESP_OK;
}

/* A destination may lie past what today's bootloader knows of the flash. Whoever calls this calls
 * sr_flash_size_restore().
 */
static esp_err_t read_system(const esp_self_reflasher_config_t *config, sr_system_t *system)
{
    const addr_region_t destination = config->dest_region;
    ESP_RETURN_ON_ERROR(sr_system_read(system), TAG, "running system cannot be read");
    if ((uint64_t)destination.region_address + destination.region_size > system->flash.size) {
        sr_flash_size_extend(&system->flash);
    }
    return ESP_OK;
}

/* Checks a configuration for download mode and fills a handle's state from it; changes nothing else. */
static esp_err_t configure(const esp_self_reflasher_config_t *config, const reflasher_t *previous, reflasher_t *next)
{
    sr_system_t system;
    sr_region_t destination;
    ESP_RETURN_ON_FALSE(config->http_config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: http_config is NULL");
    esp_err_t err = read_system(config, &system);
    if (err == ESP_OK) {
        err = to_destination(config->dest_region, system.flash.size, &destination);
    }
    if (err == ESP_OK) {
        err = refuse_running_app(&system, destination, "destination");
    }
    if (err != ESP_OK) {
        return err;
    }
    *next = (reflasher_t){.handle = previous != NULL ? previous->handle : (sr_handle_t){0},
                          .config = *config,
                          .http = *config->http_config,
                          .filled_slots = previous != NULL ? previous->filled_slots : 0,
                          .state = STATE_READY};
    err = choose_staging(&system, config, destination, previous, next);
    if (err == ESP_OK) {
        ESP_LOGI(TAG, "image for 0x%" PRIx32 " is staged in '%s' at 0x%" PRIx32, destination.address,
                 next->partition->label, next->partition->address + next->image_offset);
    }
    return err;
}

esp_err_t esp_self_reflasher_init(const esp_self_reflasher_config_t *config, esp_self_reflasher_handle_t *handle)
{
    ESP_RETURN_ON_FALSE(config != NULL && handle != NULL, ESP_ERR_INVALID_ARG, TAG,
                        "refused: config or handle is NULL");
    reflasher_t *reflasher = heap_caps_malloc(sizeof(*reflasher), MALLOC_CAP_8BIT);
    ESP_RETURN_ON_FALSE(reflasher != NULL, ESP_ERR_NO_MEM, TAG, "no memory for a handle");

    const esp_err_t err = configure(config, NULL, reflasher);
    sr_flash_size_restore();
    if (err != ESP_OK) {
        heap_caps_free(reflasher);
        return err;
    }
    *handle = sr_handle_open(&reflasher->handle);
    return ESP_OK;
}

/* Logs why if it is not live: NULL, given back, the address of a handle instead of the handle, or anything else. */
static reflasher_t *find(esp_self_reflasher_handle_t handle)
{
    reflasher_t *reflasher = (reflasher_t *)sr_handle_find(handle);
    if (reflasher == NULL) {
        ESP_LOGE(TAG, "refused: handle is %s",
                 handle == NULL ? "NULL" : "none that esp_self_reflasher_init() gave out");
    }
    return reflasher;
}

esp_err_t esp_self_reflasher_upd_next_config(const esp_self_reflasher_config_t *config,
                                             esp_self_reflasher_handle_t handle)
{
    reflasher_t next;
    reflasher_t *reflasher = find(handle);
    if (reflasher == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    ESP_RETURN_ON_FALSE(config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config is NULL");
    const esp_err_t err = configure(config, reflasher, &next);
    sr_flash_size_restore();
    if (err == ESP_OK) {
        *reflasher = next;
    }
    return err;
}

esp_err_t esp_self_reflasher_deinit(esp_self_reflasher_handle_t handle)
{
    reflasher_t *reflasher = find(handle);
    if (reflasher == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    sr_handle_close(&reflasher->handle);
    heap_caps_free(reflasher);
    return ESP_OK;
}

/* The checked destination of a handle: init refused everything that does not fit. */
static sr_region_t handle_destination(const reflasher_t *reflasher)
{
    return (sr_region_t){reflasher->config.dest_region.region_address,
                         (uint32_t)reflasher->config.dest_region.region_size};
}

static sr_transfer_t handle_transfer(const reflasher_t *reflasher, const sr_system_t *system)
{
    return (sr_transfer_t){.system = system,
                           .config = &reflasher->config,
                           .source = reflasher->partition->address + reflasher->image_offset,
                           .length = reflasher->image_length,
                           .destination = handle_destination(reflasher)};
}

static sr_staging_t handle_staging(const reflasher_t *reflasher, const sr_system_t *system)
{
    const uint32_t address = reflasher->partition->address + reflasher->image_offset;
    return (sr_staging_t){.system = system,
                          .config = &reflasher->config,
                          .destination = handle_destination(reflasher),
                          .room = {address, staging_size(reflasher->partition) - reflasher->image_offset}};
}

static esp_err_t check(const reflasher_t *reflasher, const sr_system_t *system)
{
    const sr_transfer_t transfer = handle_transfer(reflasher, system);
    return sr_transfer_check(&transfer);
}

/* Streams the body into staging and checks it there; on success the handle knows the image's length. */
static esp_err_t stage(reflasher_t *reflasher, const sr_system_t *system)
{
    sr_staging_t staging = handle_staging(reflasher, system);
    esp_err_t err = sr_staging_open(&staging);
    if (err != ESP_OK) {
        return err;
    }
    const sr_download_sink_t sink = sr_staging_sink(&staging);
    sr_http_t http = {.config = &reflasher->http,
                      .stall_ms = reflasher->config.stall_timeout_ms,
                      .allow_http = (reflasher->config.flags & ESP_SELF_REFLASHER_FLAG_ALLOW_HTTP_REDIRECT) != 0};
    err = sr_download(&http, &sink);
    if (err == ESP_OK) {
        err = sr_staging_finish(&staging);
    }
    reflasher->image_length = staging.received;
    if (err == ESP_OK) {
        err = check(reflasher, system);
    }
    if (err != ESP_OK) {
        sr_staging_give_up(&staging, err);
        reflasher->image_length = 0;
    }
    sr_staging_close(&staging);
    return err;
}

/* Checks what is staged once more; an app can do other things between the calls. */
static esp_err_t check_again(reflasher_t *reflasher, const sr_system_t *system)
{
    sr_staging_t staging = handle_staging(reflasher, system);
    esp_err_t err = sr_staging_open(&staging);
    if (err != ESP_OK) {
        return err;
    }
    err = check(reflasher, system);
    if (sr_staging_is_refusal(err)) {
        staging.written = (uint32_t)sr_region_align_up(reflasher->image_length, SR_SECTOR_SIZE);
        sr_staging_give_up(&staging, err);
        reflasher->image_length = 0;
        reflasher->state = STATE_READY; /* Only another download can help. */
    }
    sr_staging_close(&staging);
    return err;
}

esp_err_t esp_self_reflasher_download_bin(esp_self_reflasher_handle_t handle)
{
    sr_system_t system;
    reflasher_t *reflasher = find(handle);
    if (reflasher == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    ESP_RETURN_ON_FALSE(reflasher->state == STATE_READY, ESP_ERR_INVALID_STATE, TAG,
                        "refused: the image is staged already");
    esp_err_t err = read_system(&reflasher->config, &system);
    if (err == ESP_OK) {
        err = stage(reflasher, &system);
    }
    sr_flash_size_restore();
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "download: %s", esp_self_reflasher_err_to_name(err));
        return err;
    }
    ESP_LOGI(TAG, "%" PRIu32 " bytes staged and checked", reflasher->image_length);
    reflasher->state = STATE_STAGED;
    return ESP_OK;
}

static esp_err_t copy_staged(reflasher_t *reflasher)
{
    sr_system_t system;
    ESP_RETURN_ON_FALSE(reflasher->state == STATE_STAGED, ESP_ERR_INVALID_STATE, TAG,
                        "refused: no image is waiting to be copied");
    esp_err_t err = read_system(&reflasher->config, &system);
    if (err == ESP_OK) {
        err = check_again(reflasher, &system);
    }
    sr_slots_t slots;
    if (err == ESP_OK) {
        err = sr_slots_find(&slots);
    }
    if (err != ESP_OK) {
        return err;
    }
    const sr_transfer_t transfer = handle_transfer(reflasher, &system);
    reflasher->filled_slots |= sr_slots_in(&slots, transfer.destination);
    err = sr_transfer_copy(&transfer);
    if (err == ESP_OK) {
        reflasher->state = STATE_COPIED;
    }
    return err;
}

esp_err_t esp_self_reflasher_copy_to_region(esp_self_reflasher_handle_t handle)
{
    reflasher_t *reflasher = find(handle);
    if (reflasher == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    const esp_err_t err = copy_staged(reflasher);
    sr_flash_size_restore();
    return err;
}

static esp_err_t check_embedded(const esp_self_reflasher_config_t *config, const sr_system_t *system,
                                sr_transfer_t *transfer)
{
    sr_region_t source;
    esp_err_t err = to_region(config->src_region, system->flash.size, "source", &source);
    if (err == ESP_OK) {
        err = to_destination(config->dest_region, system->flash.size, &transfer->destination);
    }
    if (err != ESP_OK) {
        return err;
    }
    if (config->src_bin_size == 0 || config->src_bin_size > source.size) {
        ESP_LOGE(TAG, "refused: image of %zu bytes in a source region of %" PRIu32, config->src_bin_size, source.size);
        return ESP_ERR_INVALID_ARG;
    }
    if (config->src_bin_size > transfer->destination.size) {
        ESP_LOGE(TAG, "refused: image of %zu bytes, destination holds %" PRIu32, config->src_bin_size,
                 transfer->destination.size);
        return ESP_ERR_SELF_REFLASHER_TOO_LARGE;
    }
    transfer->source = source.address;
    transfer->length = (uint32_t)config->src_bin_size;
    return ESP_OK;
}

static unsigned classify_room(void *context, uint32_t address)
{
    return sr_transfer_leaves_alone(context, (sr_region_t){address, SR_SECTOR_SIZE})
               ? SR_RELOCATION_ROOM_UNWANTED | SR_RELOCATION_ROOM_OVERWRITABLE | SR_RELOCATION_ROOM_LASTING
               : 0;
}

static bool may_commit(void *context)
{
    (void)context;
    return sr_system_supply_is_steady();
}

static esp_err_t overwrite(void *context)
{
    sr_transfer_t *transfer = context;
    transfer->over_app = true;
    return sr_transfer_copy(transfer);
}

/* The image replaces a temporary table in the end only where it brings one. */
static sr_relocation_request_t request_of(sr_transfer_t *transfer)
{
    const bool flag = (transfer->config->flags & ESP_SELF_REFLASHER_FLAG_ALLOW_TEMPORARY_TABLE) != 0;
    return (sr_relocation_request_t){
        .system = transfer->system,
        .context = transfer,
        .classify = classify_room,
        .brings_table = sr_region_contains(transfer->destination, transfer->system->boot_path.table),
        .allows_temporary_table = flag,
        .allows_in_place = true,
        .may_commit = may_commit,
        .write = overwrite,
    };
}

/* The running app is in the way: it moves and starts again from there, or, if it cannot, is overwritten from RAM. */
static esp_err_t make_way(sr_transfer_t *transfer)
{
    char text[320];
    sr_relocation_t relocation;
    const sr_relocation_request_t request = request_of(transfer);
    esp_err_t err = sr_relocation_find(&request, &relocation, text, sizeof(text));
    if (err == ESP_OK && relocation.method == NULL) {
        ESP_LOGE(TAG, "refused: %s; destination is 0x%" PRIx32 "..0x%" PRIx32, text, transfer->destination.address,
                 transfer->destination.address + transfer->destination.size);
        return transfer->system->flash.encryption ? ESP_ERR_NOT_SUPPORTED : ESP_ERR_SELF_REFLASHER_RUNNING_APP;
    }
    if (err == ESP_OK) {
        err = sr_relocation_execute(&request, &relocation);
    }
    if (err == ESP_OK && relocation.method->restarts) {
        esp_restart();
    }
    return err;
}

static esp_err_t copy_embedded(const esp_self_reflasher_config_t *config)
{
    sr_system_t system;
    bool in_the_way = false;
    sr_transfer_t transfer = {.system = &system, .config = config};
    esp_err_t err = read_system(config, &system);
    if (err == ESP_OK) {
        err = check_embedded(config, &system, &transfer);
    }
    if (err == ESP_OK) {
        err = sr_transfer_check(&transfer);
    }
    if (err == ESP_OK) {
        err = sr_transfer_changes_app(&transfer, &in_the_way);
    }
    if (err != ESP_OK) {
        return err;
    }
    return in_the_way ? make_way(&transfer) : sr_transfer_copy(&transfer);
}

esp_err_t esp_self_reflasher_directly_copy_to_region(const esp_self_reflasher_config_t *config)
{
    ESP_RETURN_ON_FALSE(config != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: config is NULL");
    const esp_err_t err = copy_embedded(config);
    sr_flash_size_restore();
    return err;
}
