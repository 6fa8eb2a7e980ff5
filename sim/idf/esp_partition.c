// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_mapping.h"
#include "sim/chip/sim_state.h"

#include "esp_image_format.h"
#include "esp_partition.h"
#include "format/sr_image.h"
#include "format/sr_sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct esp_partition_iterator_opaque_ {
    esp_partition_type_t type;
    esp_partition_subtype_t subtype;
    const char *label;
    uint32_t next;
};

static bool matches(const esp_partition_t *p, esp_partition_iterator_t it)
{
    return (it->type == ESP_PARTITION_TYPE_ANY || it->type == p->type) &&
           (it->subtype == ESP_PARTITION_SUBTYPE_ANY || it->subtype == p->subtype) &&
           (it->label == NULL || strcmp(it->label, p->label) == 0);
}

esp_partition_iterator_t esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                            const char *label)
{
    sim_flash_code(__func__);
    if (type == ESP_PARTITION_TYPE_ANY && subtype != ESP_PARTITION_SUBTYPE_ANY) {
        return NULL;
    }
    esp_partition_iterator_t it = malloc(sizeof(*it));
    if (it == NULL) {
        return NULL;
    }
    *it = (struct esp_partition_iterator_opaque_){.type = type, .subtype = subtype, .label = label};
    return esp_partition_next(it);
}

esp_partition_iterator_t esp_partition_next(esp_partition_iterator_t iterator)
{
    sim_flash_code(__func__);
    assert(iterator != NULL);
    while (iterator->next < sim_state.partition_count) {
        if (matches(&sim_state.partitions[iterator->next++], iterator)) {
            return iterator;
        }
    }
    esp_partition_iterator_release(iterator);
    return NULL;
}

const esp_partition_t *esp_partition_get(esp_partition_iterator_t iterator)
{
    assert(iterator != NULL && iterator->next > 0);
    return &sim_state.partitions[iterator->next - 1];
}

void esp_partition_iterator_release(esp_partition_iterator_t iterator)
{
    free(iterator);
}

const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                const char *label)
{
    esp_partition_iterator_t it = esp_partition_find(type, subtype, label);
    const esp_partition_t *partition = it != NULL ? esp_partition_get(it) : NULL;
    esp_partition_iterator_release(it);
    return partition;
}

const esp_partition_t *esp_partition_verify(const esp_partition_t *partition)
{
    sim_flash_code(__func__);
    assert(partition != NULL);
    for (uint32_t i = 0; i < sim_state.partition_count; i++) {
        const esp_partition_t *p = &sim_state.partitions[i];
        if (p->type == partition->type && p->subtype == partition->subtype && p->address == partition->address &&
            p->size == partition->size && p->encrypted == partition->encrypted &&
            p->flash_chip == partition->flash_chip &&
            (partition->label[0] == '\0' || strcmp(p->label, partition->label) == 0)) {
            return p;
        }
    }
    return NULL;
}

static int read_flash(void *context, uint32_t offset, void *buffer, size_t length)
{
    const esp_partition_t *partition = context;
    return sim_state.config.chip.cipher != NULL && partition->type == ESP_PARTITION_TYPE_APP
               ? esp_flash_read_encrypted(NULL, partition->address + offset, buffer, (uint32_t)length)
               : esp_flash_read(NULL, buffer, partition->address + offset, (uint32_t)length);
}

/* Of an image with a digest appended, that is what the digest covers. */
esp_err_t esp_partition_get_sha256(const esp_partition_t *partition, uint8_t *sha_256)
{
    sim_flash_code(__func__);
    if (partition == NULL || sha_256 == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    const sr_reader_t reader = {.context = (void *)(uintptr_t)partition, .read = read_flash, .size = partition->size};
    uint32_t length = partition->size;
    sr_image_t image;
    if (partition->type == ESP_PARTITION_TYPE_APP) {
        if (sr_image_parse(&reader, &image) != SR_IMAGE_OK) {
            return ESP_ERR_IMAGE_INVALID;
        }
        length = image.length - (image.hash_appended ? SR_SHA256_SIZE : 0);
    }
    sr_sha256_t sha;
    sr_sha256_start(&sha);
    esp_err_t err = ESP_OK;
    for (uint32_t offset = 0; offset < length && err == ESP_OK; offset += 256) {
        uint8_t piece[256];
        const uint32_t size = length - offset < sizeof(piece) ? length - offset : (uint32_t)sizeof(piece);
        err = reader.read(reader.context, offset, piece, size);
        sr_sha256_update(&sha, piece, size);
    }
    const int finished = sr_sha256_finish(&sha, sha_256);
    return err != ESP_OK ? err : finished == 0 ? ESP_OK : ESP_FAIL;
}

static esp_err_t check_range(const esp_partition_t *partition, size_t offset, size_t size)
{
    sim_flash_code(__func__);
    assert(partition != NULL);
    if (offset > partition->size) {
        return ESP_ERR_INVALID_ARG;
    }
    return size > partition->size - offset ? ESP_ERR_INVALID_SIZE : ESP_OK;
}

esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size,
                             esp_partition_mmap_memory_t memory, const void **out_ptr,
                             esp_partition_mmap_handle_t *out_handle)
{
    (void)memory;
    const esp_err_t err = check_range(partition, offset, size);
    if (err != ESP_OK) {
        return err;
    }
    return sim_mapping_new(partition->address + (uint32_t)offset, (uint32_t)size, out_ptr, out_handle) ? ESP_OK
                                                                                                       : ESP_ERR_NO_MEM;
}

void esp_partition_munmap(esp_partition_mmap_handle_t handle)
{
    sim_flash_code(__func__);
    sim_mapping_delete(handle);
}

static esp_err_t check_writable(const esp_partition_t *partition, size_t offset, size_t size)
{
    return partition->readonly ? ESP_ERR_NOT_ALLOWED : check_range(partition, offset, size);
}

esp_err_t esp_partition_read_raw(const esp_partition_t *partition, size_t src_offset, void *dst, size_t size)
{
    const esp_err_t err = check_range(partition, src_offset, size);
    if (err != ESP_OK) {
        return err;
    }
    return esp_flash_read(partition->flash_chip, dst, partition->address + (uint32_t)src_offset, (uint32_t)size);
}

esp_err_t esp_partition_read(const esp_partition_t *partition, size_t src_offset, void *dst, size_t size)
{
    if (!partition->encrypted) {
        return esp_partition_read_raw(partition, src_offset, dst, size);
    }
    const esp_err_t err = check_range(partition, src_offset, size);
    if (err != ESP_OK) {
        return err;
    }
    return esp_flash_read_encrypted(partition->flash_chip, partition->address + (uint32_t)src_offset, dst,
                                    (uint32_t)size);
}

esp_err_t esp_partition_write_raw(const esp_partition_t *partition, size_t dst_offset, const void *src, size_t size)
{
    const esp_err_t err = check_writable(partition, dst_offset, size);
    if (err != ESP_OK) {
        return err;
    }
    return esp_flash_write(partition->flash_chip, src, partition->address + (uint32_t)dst_offset, (uint32_t)size);
}

esp_err_t esp_partition_write(const esp_partition_t *partition, size_t dst_offset, const void *src, size_t size)
{
    if (!partition->encrypted) {
        return esp_partition_write_raw(partition, dst_offset, src, size);
    }
    const esp_err_t err = check_writable(partition, dst_offset, size);
    if (err != ESP_OK) {
        return err;
    }
    return esp_flash_write_encrypted(partition->flash_chip, partition->address + (uint32_t)dst_offset, src,
                                     (uint32_t)size);
}

esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t size)
{
    const esp_err_t err = check_writable(partition, offset, size);
    if (err != ESP_OK) {
        return err;
    }
    if (size % partition->erase_size != 0) {
        return ESP_ERR_INVALID_SIZE;
    }
    if (offset % partition->erase_size != 0) {
        return ESP_ERR_INVALID_ARG;
    }
    return esp_flash_erase_region(partition->flash_chip, partition->address + (uint32_t)offset, (uint32_t)size);
}
