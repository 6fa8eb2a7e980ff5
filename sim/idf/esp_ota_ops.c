// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_log.h"
#include "esp_image_format.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "format/sr_image.h"
#include "format/sr_otadata.h"

#include <stdio.h>
#include <string.h>

static const char *const TAG = "esp_ota_ops";

static const esp_partition_t *find_app(uint32_t subtype)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_APP, (esp_partition_subtype_t)subtype, NULL);
}

static const esp_partition_t *find_otadata(void)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_OTA, NULL);
}

static bool is_ota_slot(const esp_partition_t *partition)
{
    return partition->type == ESP_PARTITION_TYPE_APP && partition->subtype >= ESP_PARTITION_SUBTYPE_APP_OTA_MIN &&
           partition->subtype < ESP_PARTITION_SUBTYPE_APP_OTA_MAX;
}

/* Reads through the partition API, so that it is decrypted and counted as on the chip. */
static int read_partition(void *context, uint32_t offset, void *buffer, size_t length)
{
    return esp_partition_read(context, offset, buffer, length);
}

static sr_reader_t partition_reader(const esp_partition_t *partition)
{
    return (sr_reader_t){.context = (void *)(uintptr_t)partition, .read = read_partition, .size = partition->size};
}

static const esp_partition_t *read_otadata(sr_otadata_t *otadata)
{
    const esp_partition_t *partition = find_otadata();
    if (partition == NULL) {
        return NULL;
    }
    const sr_reader_t reader = partition_reader(partition);
    return sr_otadata_read(&reader, otadata) == 0 ? partition : NULL;
}

uint8_t esp_ota_get_app_partition_count(void)
{
    uint8_t count = 0;
    while (count < 16 && find_app(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + count) != NULL) {
        count++;
    }
    return count;
}

const esp_partition_t *esp_ota_get_running_partition(void)
{
    sim_flash_code(__func__);
    for (uint32_t i = 0; i < sim_state.partition_count; i++) {
        const esp_partition_t *p = &sim_state.partitions[i];
        if (p->type == ESP_PARTITION_TYPE_APP &&
            sr_region_contains((sr_region_t){p->address, p->size}, (sr_region_t){sim_state.app.address, 1})) {
            return p;
        }
    }
    return NULL;
}

static const esp_partition_t *default_boot_partition(void)
{
    const esp_partition_t *found = find_app(ESP_PARTITION_SUBTYPE_APP_FACTORY);
    for (uint32_t i = 0; found == NULL && i < 16; i++) {
        found = find_app(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + i);
    }
    return found != NULL ? found : find_app(ESP_PARTITION_SUBTYPE_APP_TEST);
}

const esp_partition_t *esp_ota_get_boot_partition(void)
{
    sr_otadata_t otadata;
    if (read_otadata(&otadata) == NULL) {
        return NULL;
    }
    const uint8_t slots = esp_ota_get_app_partition_count();
    const int active = sr_otadata_active(&otadata);
    if (slots == 0 || active < 0) {
        return default_boot_partition();
    }
    return find_app(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + (otadata.entries[active].sequence - 1u) % slots);
}

const esp_partition_t *esp_ota_get_next_update_partition(const esp_partition_t *start_from)
{
    const esp_partition_t *start =
        start_from == NULL ? esp_ota_get_running_partition() : esp_partition_verify(start_from);
    const esp_partition_t *first = NULL;
    bool next_is_result = false;
    for (uint32_t i = 0; i < 16; i++) {
        const esp_partition_t *p = find_app(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + i);
        if (p != NULL && next_is_result) {
            return p;
        }
        first = first == NULL ? p : first;
        next_is_result = next_is_result || (p != NULL && p == start);
    }
    return first;
}

static esp_err_t write_entry(const esp_partition_t *partition, int index, uint32_t sequence, uint32_t state)
{
    const size_t offset = (size_t)index * partition->erase_size;
    uint8_t entry[SR_OTADATA_ENTRY_SIZE];
    sr_otadata_encode(sequence, state, entry);
    const esp_err_t err = esp_partition_erase_range(partition, offset, partition->erase_size);
    return err == ESP_OK ? esp_partition_write(partition, offset, entry, sizeof(entry)) : err;
}

static bool image_is_intact(const esp_partition_t *partition)
{
    sr_image_t image;
    const sr_reader_t reader = partition_reader(partition);
    return sr_image_parse(&reader, &image) == SR_IMAGE_OK && sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK;
}

esp_err_t esp_image_verify(esp_image_load_mode_t mode, const esp_partition_pos_t *part, esp_image_metadata_t *data)
{
    (void)mode;
    sim_flash_code(__func__);
    if (part == NULL || data == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    sr_image_t image;
    sim_window_t window;
    const sr_reader_t reader = sim_reader(&window, part->offset, part->size);
    const bool good = sr_image_parse(&reader, &image) == SR_IMAGE_OK &&
                      image.chip_id == sim_state.config.chip.chip->image_chip_id &&
                      sr_image_verify(&reader, &image, NULL) == SR_IMAGE_OK;
    *data = (esp_image_metadata_t){.start_addr = part->offset, .image_len = good ? image.length : 0};
    return good ? ESP_OK : ESP_ERR_IMAGE_INVALID;
}

/* The lowest sequence number that is not below the active one and selects this slot, into the other sector. */
static esp_err_t select_slot(uint32_t slot)
{
    sr_otadata_t otadata;
    const esp_partition_t *partition = read_otadata(&otadata);
    const uint8_t slots = esp_ota_get_app_partition_count();
    if (partition == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    if (slot >= slots) {
        return ESP_ERR_INVALID_ARG;
    }
    const uint32_t state = sim_state.config.chip.rollback ? SR_OTA_NEW : UINT32_MAX;
    const int active = sr_otadata_active(&otadata);
    if (active < 0) {
        return write_entry(partition, 0, slot + 1, state);
    }
    uint32_t sequence = slot + 1;
    while (sequence < otadata.entries[active].sequence) {
        sequence += slots;
    }
    return write_entry(partition, 1 - active, sequence, state);
}

esp_err_t esp_ota_set_boot_partition(const esp_partition_t *partition)
{
    if (partition == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (!image_is_intact(partition)) {
        return ESP_ERR_OTA_VALIDATE_FAILED;
    }
    if (partition->type != ESP_PARTITION_TYPE_APP) {
        return ESP_ERR_INVALID_ARG;
    }
    if (partition->subtype != ESP_PARTITION_SUBTYPE_APP_FACTORY) {
        return select_slot(partition->subtype & 0x0fu);
    }
    const esp_partition_t *otadata = find_otadata();
    return otadata == NULL ? ESP_ERR_NOT_FOUND : esp_partition_erase_range(otadata, 0, otadata->size);
}

esp_err_t esp_ota_get_state_partition(const esp_partition_t *partition, esp_ota_img_states_t *ota_state)
{
    if (partition == NULL || ota_state == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (!is_ota_slot(partition)) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    sr_otadata_t otadata;
    const uint8_t slots = esp_ota_get_app_partition_count();
    if (read_otadata(&otadata) == NULL || slots == 0) {
        return ESP_ERR_NOT_FOUND;
    }
    for (int i = 0; i < 2; i++) {
        const sr_otadata_entry_t *entry = &otadata.entries[i];
        if ((entry->sequence - 1u) % slots == (partition->subtype & 0x0fu) &&
            entry->crc == sr_otadata_crc(entry->sequence)) {
            *ota_state = (esp_ota_img_states_t)entry->state;
            return ESP_OK;
        }
    }
    return ESP_ERR_NOT_FOUND;
}

esp_err_t esp_ota_mark_app_valid_cancel_rollback(void)
{
    sr_otadata_t otadata;
    const esp_partition_t *partition = read_otadata(&otadata);
    if (partition == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    const int active = sr_otadata_active(&otadata);
    if (active < 0 || esp_ota_get_app_partition_count() == 0) {
        ESP_LOGE(TAG, "the running app was not selected by otadata");
        return ESP_FAIL;
    }
    if (otadata.entries[active].state == SR_OTA_VALID) {
        return ESP_OK;
    }
    return write_entry(partition, active, otadata.entries[active].sequence, SR_OTA_VALID);
}

const esp_app_desc_t *esp_app_get_description(void)
{
    sim_flash_code(__func__);
    return &sim_state.app_desc;
}

int esp_app_get_elf_sha256(char *dst, size_t size)
{
    sim_flash_code(__func__);
    char text[2 * sizeof(sim_state.app_desc.app_elf_sha256) + 1];
    for (size_t i = 0; i < sizeof(sim_state.app_desc.app_elf_sha256); i++) {
        snprintf(text + 2 * i, 3, "%02x", sim_state.app_desc.app_elf_sha256[i]);
    }
    if (size == 0) {
        return 0;
    }
    snprintf(dst, size, "%s", text);
    return (int)strlen(dst) + 1;
}

const esp_app_desc_t *esp_ota_get_app_description(void)
{
    return esp_app_get_description();
}

/* The first thing in the first segment. */
esp_err_t esp_ota_get_partition_description(const esp_partition_t *partition, esp_app_desc_t *app_desc)
{
    if (partition == NULL || app_desc == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (partition->type != ESP_PARTITION_TYPE_APP) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    const esp_err_t err = esp_partition_read(partition, sizeof(esp_image_header_t) + sizeof(esp_image_segment_header_t),
                                             app_desc, sizeof(*app_desc));
    return err == ESP_OK && app_desc->magic_word != ESP_APP_DESC_MAGIC_WORD ? ESP_ERR_NOT_FOUND : err;
}

static const esp_partition_t *slot_of(const sr_otadata_entry_t *entry)
{
    const uint8_t slots = esp_ota_get_app_partition_count();
    return slots > 0 && sr_otadata_entry_valid(entry)
               ? find_app(ESP_PARTITION_SUBTYPE_APP_OTA_MIN + (entry->sequence - 1u) % slots)
               : NULL;
}

const esp_partition_t *esp_ota_get_last_invalid_partition(void)
{
    sr_otadata_t otadata;
    const sr_otadata_entry_t *found = NULL;
    if (read_otadata(&otadata) == NULL) {
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        const sr_otadata_entry_t *entry = &otadata.entries[i];
        const bool refused = entry->state == SR_OTA_INVALID || entry->state == SR_OTA_ABORTED;
        found = refused && (found == NULL || entry->sequence > found->sequence) ? entry : found;
    }
    return found != NULL ? slot_of(found) : NULL;
}

bool esp_ota_check_rollback_is_possible(void)
{
    sr_otadata_t otadata;
    if (read_otadata(&otadata) == NULL) {
        return false;
    }
    const int active = sr_otadata_active(&otadata);
    const sr_otadata_entry_t *other = &otadata.entries[active == 0 ? 1 : 0];
    if (active < 0 || other->state == SR_OTA_INVALID || other->state == SR_OTA_ABORTED) {
        return false;
    }
    const esp_partition_t *slot = slot_of(other);
    return slot != NULL && slot != esp_ota_get_running_partition() && image_is_intact(slot);
}

esp_err_t esp_ota_mark_app_invalid_rollback_and_reboot(void)
{
    sr_otadata_t otadata;
    const esp_partition_t *partition = read_otadata(&otadata);
    if (partition == NULL || !esp_ota_check_rollback_is_possible()) {
        return ESP_ERR_OTA_ROLLBACK_FAILED;
    }
    const int active = sr_otadata_active(&otadata);
    const esp_err_t err = write_entry(partition, active, otadata.entries[active].sequence, SR_OTA_INVALID);
    if (err == ESP_OK) {
        esp_restart();
    }
    return err;
}

/* Updates in progress. */

#define MAX_UPDATES 4u

typedef struct update {
    const esp_partition_t *partition; /* NULL: free. */
    esp_ota_handle_t handle;
    size_t written;
    size_t erased;   /* Bytes of the partition. */
    bool sequential; /* Erased as it is written. */
} update_t;

static update_t updates[MAX_UPDATES];

static update_t *find_update(esp_ota_handle_t handle)
{
    sim_flash_code(__func__);
    for (unsigned i = 0; i < MAX_UPDATES; i++) {
        if (updates[i].partition != NULL && updates[i].handle == handle) {
            return &updates[i];
        }
    }
    return NULL;
}

static esp_err_t check_begin(const esp_partition_t *partition)
{
    esp_ota_img_states_t state;
    if (!is_ota_slot(partition)) {
        return ESP_ERR_INVALID_ARG;
    }
    const esp_partition_t *running = esp_ota_get_running_partition();
    if (partition == running) {
        return ESP_ERR_OTA_PARTITION_CONFLICT;
    }
    const bool waits = sim_state.config.chip.rollback && running != NULL &&
                       esp_ota_get_state_partition(running, &state) == ESP_OK && state == ESP_OTA_IMG_PENDING_VERIFY;
    return waits ? ESP_ERR_OTA_ROLLBACK_INVALID_STATE : ESP_OK;
}

static size_t in_sectors(size_t size)
{
    return (size + SR_SECTOR_SIZE - 1) & ~(size_t)(SR_SECTOR_SIZE - 1);
}

esp_err_t esp_ota_begin(const esp_partition_t *partition, size_t image_size, esp_ota_handle_t *out_handle)
{
    static esp_ota_handle_t last;
    sim_flash_code(__func__);
    partition = partition != NULL ? esp_partition_verify(partition) : NULL;
    if (partition == NULL || out_handle == NULL) {
        return partition == NULL && out_handle != NULL ? ESP_ERR_NOT_FOUND : ESP_ERR_INVALID_ARG;
    }
    const bool sequential = image_size == OTA_WITH_SEQUENTIAL_WRITES;
    const bool unknown = image_size == OTA_SIZE_UNKNOWN || image_size == 0;
    const size_t erased = sequential ? 0 : unknown ? partition->size : in_sectors(image_size);
    esp_err_t err = check_begin(partition);
    if (err == ESP_OK) {
        err = esp_partition_erase_range(partition, 0, erased);
    }
    for (unsigned i = 0; i < MAX_UPDATES && err == ESP_OK; i++) {
        if (updates[i].partition == NULL) {
            updates[i] = (update_t){partition, ++last, 0, erased, sequential};
            *out_handle = last;
            return ESP_OK;
        }
    }
    return err != ESP_OK ? err : ESP_ERR_NO_MEM;
}

esp_err_t esp_ota_write(esp_ota_handle_t handle, const void *data, size_t size)
{
    update_t *update = find_update(handle);
    if (update == NULL || data == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    if (size == 0) {
        return ESP_OK;
    }
    if (update->written == 0 && *(const uint8_t *)data != ESP_IMAGE_HEADER_MAGIC) {
        return ESP_ERR_OTA_VALIDATE_FAILED;
    }
    const size_t needed = in_sectors(update->written + size);
    if (needed > update->partition->size) {
        return ESP_ERR_INVALID_SIZE;
    }
    esp_err_t err = ESP_OK;
    if (update->sequential && needed > update->erased) {
        err = esp_partition_erase_range(update->partition, update->erased, needed - update->erased);
        update->erased = err == ESP_OK ? needed : update->erased;
    }
    if (err == ESP_OK && update->partition->encrypted && (update->written % 16 != 0 || size % 16 != 0)) {
        return ESP_ERR_NOT_SUPPORTED; /* The chip collects what does not fill its unit; not simulated here. */
    }
    if (err == ESP_OK) {
        err = esp_partition_write(update->partition, update->written, data, size);
    }
    update->written += err == ESP_OK ? size : 0;
    return err;
}

esp_err_t esp_ota_abort(esp_ota_handle_t handle)
{
    update_t *update = find_update(handle);
    if (update == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    *update = (update_t){0};
    return ESP_OK;
}

esp_err_t esp_ota_end(esp_ota_handle_t handle)
{
    const update_t *update = find_update(handle);
    if (update == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    const update_t ended = *update;
    (void)esp_ota_abort(handle);
    if (ended.written == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    return image_is_intact(ended.partition) ? ESP_OK : ESP_ERR_OTA_VALIDATE_FAILED;
}
