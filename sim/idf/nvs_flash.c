// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "esp_rom_crc.h"
#include "nvs_flash.h"
#include "format/sr_bytes.h"

#include <string.h>

#define PAGE_SIZE  4096u
#define ENTRY_SIZE 32u
#define ENTRIES    126u
#define AT_BITMAP  32u
#define AT_ENTRIES 64u
#define MAX_VALUE  4000u

#define PAGE_BLANK   UINT32_MAX
#define PAGE_ACTIVE  0xFFFFFFFEu
#define PAGE_FULL    0xFFFFFFFCu
#define PAGE_FREEING 0xFFFFFFF8u
#define PAGE_VERSION 0xFEu /**< 2. */

#define ENTRY_EMPTY   3u
#define ENTRY_WRITTEN 2u
#define ENTRY_ERASED  0u

#define TYPE_U8        0x01u
#define TYPE_STRING    0x21u
#define TYPE_BLOB_DATA 0x42u
#define TYPE_BLOB      0x48u /**< The index of a blob, which tells its length. */
#define TYPE_ANY       0xFFu
#define NO_CHUNK       0xFFu

#define MAX_HANDLES    16u
#define MAX_PARTITIONS 4u

typedef struct open_handle {
    const esp_partition_t *partition; /* NULL: free. */
    uint8_t space;
    bool writes;
} open_handle_t;

static const esp_partition_t *started[MAX_PARTITIONS];
static open_handle_t handles[MAX_HANDLES];

/** An entry that was found. */
typedef struct item {
    uint32_t page;  /**< Offset in the partition. */
    uint32_t index; /**< In the page. */
    uint8_t bytes[ENTRY_SIZE];
} item_t;

static const esp_partition_t *find_partition(const char *label)
{
    return esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_NVS, label);
}

static uint32_t read_word(const esp_partition_t *nvs, uint32_t offset)
{
    uint8_t word[4] = {0};
    (void)esp_partition_read_raw(nvs, offset, word, sizeof(word));
    return sr_bytes_get_le32(word);
}

static esp_err_t write_word(const esp_partition_t *nvs, uint32_t offset, uint32_t value)
{
    uint8_t word[4];
    sr_bytes_put_le32(word, value);
    return esp_partition_write_raw(nvs, offset, word, sizeof(word));
}

/* Start and end. */

static const esp_partition_t **slot_for(const esp_partition_t *partition)
{
    for (unsigned i = 0; i < MAX_PARTITIONS; i++) {
        if (started[i] == partition) {
            return &started[i];
        }
    }
    return NULL;
}

/* A page starts with its state, of which all bits are set until it is used first. NVS wants one such page in reserve.
 */
esp_err_t nvs_flash_init_partition(const char *partition_label)
{
    sim_flash_code(__func__);
    const esp_partition_t *nvs = find_partition(partition_label);
    if (nvs == NULL) {
        return ESP_ERR_NOT_FOUND;
    }
    for (uint32_t page = 0; page < nvs->size; page += nvs->erase_size) {
        uint32_t page_state = 0;
        const esp_err_t err = esp_partition_read_raw(nvs, page, &page_state, sizeof(page_state));
        if (err != ESP_OK) {
            return err;
        }
        if (page_state == PAGE_BLANK) {
            const esp_partition_t **slot = slot_for(nvs) != NULL ? slot_for(nvs) : slot_for(NULL);
            if (slot == NULL) {
                return ESP_ERR_NO_MEM;
            }
            *slot = nvs;
            return ESP_OK;
        }
    }
    return ESP_ERR_NVS_NO_FREE_PAGES;
}

esp_err_t nvs_flash_init(void)
{
    return nvs_flash_init_partition(NVS_DEFAULT_PART_NAME);
}

esp_err_t nvs_flash_deinit_partition(const char *partition_label)
{
    sim_flash_code(__func__);
    const esp_partition_t *nvs = find_partition(partition_label);
    const esp_partition_t **slot = nvs != NULL ? slot_for(nvs) : NULL;
    if (slot == NULL) {
        return ESP_ERR_NVS_NOT_INITIALIZED;
    }
    for (unsigned i = 0; i < MAX_HANDLES; i++) {
        handles[i].partition = handles[i].partition == nvs ? NULL : handles[i].partition;
    }
    *slot = NULL;
    return ESP_OK;
}

esp_err_t nvs_flash_deinit(void)
{
    return nvs_flash_deinit_partition(NVS_DEFAULT_PART_NAME);
}

esp_err_t nvs_flash_erase_partition(const char *part_name)
{
    const esp_partition_t *nvs = find_partition(part_name);
    (void)nvs_flash_deinit_partition(part_name);
    return nvs == NULL ? ESP_ERR_NOT_FOUND : esp_partition_erase_range(nvs, 0, nvs->size);
}

esp_err_t nvs_flash_erase(void)
{
    return nvs_flash_erase_partition(NVS_DEFAULT_PART_NAME);
}

/* Reading. */

static uint32_t entry_state(const esp_partition_t *nvs, uint32_t page, uint32_t index)
{
    return read_word(nvs, page + AT_BITMAP + index / 16 * 4) >> (index % 16 * 2) & 3u;
}

static uint32_t entry_crc(const uint8_t bytes[ENTRY_SIZE])
{
    return esp_rom_crc32_le(esp_rom_crc32_le(UINT32_MAX, bytes, 4), bytes + 8, ENTRY_SIZE - 8);
}

static bool is_in_use(const esp_partition_t *nvs, uint32_t page)
{
    const uint32_t state = read_word(nvs, page);
    return state == PAGE_ACTIVE || state == PAGE_FULL || state == PAGE_FREEING;
}

static uint32_t entry_offset(uint32_t page, uint32_t index)
{
    return page + AT_ENTRIES + index * ENTRY_SIZE;
}

/* Goes on to the next entry that holds something, from item->page and item->index on. */
static bool next_item(const esp_partition_t *nvs, item_t *item)
{
    for (; item->page < nvs->size; item->page += PAGE_SIZE, item->index = 0) {
        for (; is_in_use(nvs, item->page) && item->index < ENTRIES; item->index++) {
            if (entry_state(nvs, item->page, item->index) == ENTRY_WRITTEN &&
                esp_partition_read_raw(nvs, entry_offset(item->page, item->index), item->bytes, ENTRY_SIZE) == ESP_OK &&
                sr_bytes_get_le32(item->bytes + 4) == entry_crc(item->bytes)) {
                return true;
            }
        }
    }
    return false;
}

static uint32_t span(const item_t *item)
{
    return item->bytes[2] > 0 ? item->bytes[2] : 1;
}

static bool find_item(const esp_partition_t *nvs, uint8_t space, uint8_t type, const char *key, item_t *item)
{
    *item = (item_t){0};
    for (; next_item(nvs, item); item->index += span(item)) {
        const uint8_t found = item->bytes[1];
        const bool type_fits = type == TYPE_ANY ? found != TYPE_BLOB_DATA : found == type;
        if (item->bytes[0] == space && type_fits && strncmp((const char *)item->bytes + 8, key, 16) == 0) {
            return true;
        }
    }
    return false;
}

/* Writing. */

static esp_err_t set_states(const esp_partition_t *nvs, uint32_t page, uint32_t index, uint32_t count, uint32_t state)
{
    esp_err_t err = ESP_OK;
    for (uint32_t i = index; i < index + count && err == ESP_OK; i++) {
        const uint32_t offset = page + AT_BITMAP + i / 16 * 4;
        const uint32_t shift = i % 16 * 2;
        err = write_word(nvs, offset, read_word(nvs, offset) & (~(3u << shift) | state << shift));
    }
    return err;
}

static uint32_t first_empty(const esp_partition_t *nvs, uint32_t page)
{
    uint32_t index = ENTRIES;
    while (index > 0 && entry_state(nvs, page, index - 1) == ENTRY_EMPTY) {
        index--;
    }
    return index;
}

static esp_err_t open_page(const esp_partition_t *nvs, uint32_t page, uint32_t sequence)
{
    uint8_t header[32];
    memset(header, 0xFF, sizeof(header));
    sr_bytes_put_le32(header, PAGE_ACTIVE);
    sr_bytes_put_le32(header + 4, sequence);
    header[8] = PAGE_VERSION;
    sr_bytes_put_le32(header + 28, esp_rom_crc32_le(UINT32_MAX, header + 4, 24));
    return esp_partition_write_raw(nvs, page, header, sizeof(header));
}

/* Finds or makes room for so many entries in one page; one page stays blank. */
static esp_err_t find_room(const esp_partition_t *nvs, uint32_t count, uint32_t *page, uint32_t *index)
{
    uint32_t sequence = 0;
    uint32_t blank_pages = 0;
    uint32_t blank = 0;
    for (uint32_t at = 0; at < nvs->size; at += PAGE_SIZE) {
        const uint32_t state = read_word(nvs, at);
        if (state == PAGE_ACTIVE) {
            *page = at;
            *index = first_empty(nvs, at);
            if (*index + count <= ENTRIES) {
                return ESP_OK;
            }
        }
        if (state == PAGE_BLANK && blank_pages++ == 0) {
            blank = at;
        } else if (state != PAGE_BLANK && is_in_use(nvs, at) && read_word(nvs, at + 4) >= sequence) {
            sequence = read_word(nvs, at + 4) + 1;
        }
    }
    if (blank_pages < 2) {
        return ESP_ERR_NVS_NOT_ENOUGH_SPACE;
    }
    for (uint32_t at = 0; at < nvs->size; at += PAGE_SIZE) {
        if (read_word(nvs, at) == PAGE_ACTIVE) {
            (void)write_word(nvs, at, PAGE_FULL);
        }
    }
    *page = blank;
    *index = 0;
    return open_page(nvs, blank, sequence);
}

/** Where an entry was written. */
typedef struct place {
    uint32_t page, index;
} place_t;

/** What an entry is made of. */
typedef struct value {
    uint8_t space;
    uint8_t type;
    uint8_t chunk;
    const char *key;
    uint8_t bytes[8];
    const void *data; /**< In the entries after it. NULL: none. */
    uint32_t length;
} value_t;

static esp_err_t write_item(const esp_partition_t *nvs, const value_t *value, place_t *place)
{
    const uint32_t data_entries = (value->length + ENTRY_SIZE - 1) / ENTRY_SIZE;
    uint8_t bytes[ENTRY_SIZE] = {value->space, value->type, (uint8_t)(1 + data_entries), value->chunk};
    uint32_t page;
    uint32_t index;
    esp_err_t err = find_room(nvs, 1 + data_entries, &page, &index);
    if (err != ESP_OK) {
        return err;
    }
    *place = (place_t){page, index};
    memcpy(bytes + 8, value->key, strlen(value->key));
    memcpy(bytes + 24, value->bytes, 8);
    sr_bytes_put_le32(bytes + 4, entry_crc(bytes));
    err = esp_partition_write_raw(nvs, entry_offset(page, index), bytes, ENTRY_SIZE);
    if (err == ESP_OK && value->length > 0) {
        err = esp_partition_write_raw(nvs, entry_offset(page, index + 1), value->data, value->length);
    }
    return err == ESP_OK ? set_states(nvs, page, index, 1 + data_entries, ENTRY_WRITTEN) : err;
}

static bool is_at(const item_t *item, const place_t *place)
{
    return place != NULL && item->page == place->page && item->index == place->index;
}

static esp_err_t erase_item(const esp_partition_t *nvs, const item_t *item)
{
    return set_states(nvs, item->page, item->index, span(item), ENTRY_ERASED);
}

/* Erases all that the key has, the data of a blob included, except what was just written. NULL as key: all of the
 * namespace. */
static esp_err_t erase_key(const esp_partition_t *nvs, uint8_t space, const char *key, const place_t *data,
                           const place_t *head)
{
    esp_err_t err = ESP_OK;
    item_t item = {0};
    for (; err == ESP_OK && next_item(nvs, &item); item.index += span(&item)) {
        if (item.bytes[0] == space && !is_at(&item, data) && !is_at(&item, head) &&
            (key == NULL || strncmp((const char *)item.bytes + 8, key, 16) == 0)) {
            err = erase_item(nvs, &item);
        }
    }
    return err;
}

/* Handles. */

static esp_err_t check_name(const char *name)
{
    if (name == NULL || name[0] == '\0') {
        return ESP_ERR_NVS_INVALID_NAME;
    }
    return strlen(name) < NVS_KEY_NAME_MAX_SIZE ? ESP_OK : ESP_ERR_NVS_KEY_TOO_LONG;
}

/* The number of a namespace; a new one if it may be made. */
static esp_err_t find_space(const esp_partition_t *nvs, const char *name, bool make, uint8_t *space)
{
    item_t item;
    if (find_item(nvs, 0, TYPE_U8, name, &item)) {
        *space = item.bytes[24];
        return ESP_OK;
    }
    uint8_t last = 0;
    for (item = (item_t){0}; next_item(nvs, &item); item.index += span(&item)) {
        last = item.bytes[0] == 0 && item.bytes[24] > last ? item.bytes[24] : last;
    }
    if (!make || last >= 254) {
        return make ? ESP_ERR_NVS_NOT_ENOUGH_SPACE : ESP_ERR_NVS_NOT_FOUND;
    }
    *space = (uint8_t)(last + 1);
    value_t value = {.type = TYPE_U8, .chunk = NO_CHUNK, .key = name};
    memset(value.bytes, 0xFF, sizeof(value.bytes));
    value.bytes[0] = *space;
    place_t place;
    return write_item(nvs, &value, &place);
}

esp_err_t nvs_open_from_partition(const char *part_name, const char *namespace_name, nvs_open_mode_t open_mode,
                                  nvs_handle_t *out_handle)
{
    sim_flash_code(__func__);
    const esp_partition_t *nvs = part_name != NULL ? find_partition(part_name) : NULL;
    if (nvs == NULL || slot_for(nvs) == NULL) {
        return nvs == NULL ? ESP_ERR_NVS_PART_NOT_FOUND : ESP_ERR_NVS_NOT_INITIALIZED;
    }
    uint8_t space = 0;
    esp_err_t err = check_name(namespace_name);
    if (err == ESP_OK) {
        err = find_space(nvs, namespace_name, open_mode == NVS_READWRITE, &space);
    }
    for (unsigned i = 0; i < MAX_HANDLES && err == ESP_OK; i++) {
        if (handles[i].partition == NULL) {
            handles[i] = (open_handle_t){nvs, space, open_mode == NVS_READWRITE};
            *out_handle = i + 1;
            return ESP_OK;
        }
    }
    return err != ESP_OK ? err : ESP_ERR_NO_MEM;
}

esp_err_t nvs_open(const char *namespace_name, nvs_open_mode_t open_mode, nvs_handle_t *out_handle)
{
    return nvs_open_from_partition(NVS_DEFAULT_PART_NAME, namespace_name, open_mode, out_handle);
}

static open_handle_t *find_handle(nvs_handle_t handle)
{
    sim_flash_code(__func__);
    return handle > 0 && handle <= MAX_HANDLES && handles[handle - 1].partition != NULL ? &handles[handle - 1] : NULL;
}

void nvs_close(nvs_handle_t handle)
{
    open_handle_t *open = find_handle(handle);
    if (open != NULL) {
        open->partition = NULL;
    }
}

esp_err_t nvs_commit(nvs_handle_t handle)
{
    return find_handle(handle) != NULL ? ESP_OK : ESP_ERR_NVS_INVALID_HANDLE;
}

static esp_err_t check_writes(const open_handle_t *open, const char *key)
{
    if (open == NULL) {
        return ESP_ERR_NVS_INVALID_HANDLE;
    }
    return open->writes ? check_name(key) : ESP_ERR_NVS_READ_ONLY;
}

esp_err_t nvs_erase_key(nvs_handle_t handle, const char *key)
{
    item_t item;
    const open_handle_t *open = find_handle(handle);
    const esp_err_t err = check_writes(open, key);
    if (err != ESP_OK || !find_item(open->partition, open->space, TYPE_ANY, key, &item)) {
        return err != ESP_OK ? err : ESP_ERR_NVS_NOT_FOUND;
    }
    return erase_key(open->partition, open->space, key, NULL, NULL);
}

esp_err_t nvs_erase_all(nvs_handle_t handle)
{
    const open_handle_t *open = find_handle(handle);
    const esp_err_t err = check_writes(open, "all");
    return err == ESP_OK ? erase_key(open->partition, open->space, NULL, NULL, NULL) : err;
}

esp_err_t nvs_find_key(nvs_handle_t handle, const char *key, nvs_type_t *out_type)
{
    item_t item;
    const open_handle_t *open = find_handle(handle);
    if (open == NULL) {
        return ESP_ERR_NVS_INVALID_HANDLE;
    }
    if (check_name(key) != ESP_OK || !find_item(open->partition, open->space, TYPE_ANY, key, &item)) {
        return check_name(key) != ESP_OK ? check_name(key) : ESP_ERR_NVS_NOT_FOUND;
    }
    if (out_type != NULL) {
        *out_type = item.bytes[1] == TYPE_BLOB ? NVS_TYPE_BLOB : (nvs_type_t)item.bytes[1];
    }
    return ESP_OK;
}

/* Numbers. Their type is their size, and 0x10 if they have a sign. */

static esp_err_t set_number(nvs_handle_t handle, const char *key, uint8_t type, const void *number)
{
    item_t item;
    const open_handle_t *open = find_handle(handle);
    esp_err_t err = check_writes(open, key);
    if (err != ESP_OK) {
        return err;
    }
    value_t value = {.space = open->space, .type = type, .chunk = NO_CHUNK, .key = key};
    memset(value.bytes, 0xFF, sizeof(value.bytes));
    memcpy(value.bytes, number, type & 0x0Fu);
    if (find_item(open->partition, open->space, type, key, &item) && memcmp(item.bytes + 24, value.bytes, 8) == 0) {
        return ESP_OK;
    }
    place_t place;
    err = write_item(open->partition, &value, &place);
    return err == ESP_OK ? erase_key(open->partition, open->space, key, &place, NULL) : err;
}

static esp_err_t find_value(nvs_handle_t handle, const char *key, uint8_t type, const esp_partition_t **nvs,
                            item_t *item)
{
    const open_handle_t *open = find_handle(handle);
    if (open == NULL) {
        return ESP_ERR_NVS_INVALID_HANDLE;
    }
    *nvs = open->partition;
    if (check_name(key) != ESP_OK || !find_item(open->partition, open->space, TYPE_ANY, key, item)) {
        return check_name(key) != ESP_OK ? check_name(key) : ESP_ERR_NVS_NOT_FOUND;
    }
    return item->bytes[1] == type ? ESP_OK : ESP_ERR_NVS_TYPE_MISMATCH;
}

static esp_err_t get_number(nvs_handle_t handle, const char *key, uint8_t type, void *number)
{
    item_t item;
    const esp_partition_t *nvs;
    const esp_err_t err = find_value(handle, key, type, &nvs, &item);
    if (err == ESP_OK) {
        memcpy(number, item.bytes + 24, type & 0x0Fu);
    }
    return err;
}

#define NUMBER(name, c_type, type)                                                                                     \
    esp_err_t nvs_set_##name(nvs_handle_t handle, const char *key, c_type value)                                       \
    {                                                                                                                  \
        return set_number(handle, key, type, &value);                                                                  \
    }                                                                                                                  \
    esp_err_t nvs_get_##name(nvs_handle_t handle, const char *key, c_type *out_value)                                  \
    {                                                                                                                  \
        return get_number(handle, key, type, out_value);                                                               \
    }

NUMBER(u8, uint8_t, 0x01u)
NUMBER(i8, int8_t, 0x11u)
NUMBER(u16, uint16_t, 0x02u)
NUMBER(i16, int16_t, 0x12u)
NUMBER(u32, uint32_t, 0x04u)
NUMBER(i32, int32_t, 0x14u)
NUMBER(u64, uint64_t, 0x08u)
NUMBER(i64, int64_t, 0x18u)

/* Strings, and blobs as one chunk with an index. */

static esp_err_t write_data(const open_handle_t *open, const value_t *head, const void *data, size_t length,
                            place_t *place)
{
    value_t value = *head;
    value.data = data;
    value.length = (uint32_t)length;
    value.bytes[0] = (uint8_t)length;
    value.bytes[1] = (uint8_t)(length >> 8);
    value.bytes[2] = value.bytes[3] = 0xFF;
    sr_bytes_put_le32(value.bytes + 4, esp_rom_crc32_le(UINT32_MAX, data, (uint32_t)length));
    return write_item(open->partition, &value, place);
}

static esp_err_t check_data(const open_handle_t *open, const char *key, size_t length)
{
    const esp_err_t err = check_writes(open, key);
    return err == ESP_OK && length > MAX_VALUE ? ESP_ERR_NVS_VALUE_TOO_LONG : err;
}

/* The new value is written before the old one is removed. */
static esp_err_t set_string(const open_handle_t *open, const char *key, const char *string)
{
    place_t place;
    const size_t length = strlen(string) + 1;
    const value_t head = {.space = open->space, .type = TYPE_STRING, .chunk = NO_CHUNK, .key = key};
    const esp_err_t err = write_data(open, &head, string, length, &place);
    return err == ESP_OK ? erase_key(open->partition, open->space, key, &place, NULL) : err;
}

/* The numbers of chunks tell the new one from the old. */
static esp_err_t set_blob(const open_handle_t *open, const char *key, const void *data, size_t length)
{
    item_t old;
    place_t data_place;
    place_t place;
    const bool was = find_item(open->partition, open->space, TYPE_BLOB, key, &old);
    const uint8_t chunk = was && old.bytes[29] == 0 ? 0x80 : 0;
    const value_t head = {.space = open->space, .type = TYPE_BLOB_DATA, .chunk = chunk, .key = key};
    esp_err_t err = write_data(open, &head, data, length, &data_place);
    value_t index = {.space = open->space, .type = TYPE_BLOB, .chunk = NO_CHUNK, .key = key};
    sr_bytes_put_le32(index.bytes, (uint32_t)length);
    index.bytes[4] = 1; /* Chunks. */
    index.bytes[5] = chunk;
    index.bytes[6] = index.bytes[7] = 0xFF;
    if (err == ESP_OK) {
        err = write_item(open->partition, &index, &place);
    }
    return err == ESP_OK ? erase_key(open->partition, open->space, key, &data_place, &place) : err;
}

esp_err_t nvs_set_str(nvs_handle_t handle, const char *key, const char *value)
{
    const open_handle_t *open = find_handle(handle);
    const esp_err_t err = check_data(open, key, value != NULL ? strlen(value) + 1 : 0);
    if (err != ESP_OK) {
        return err;
    }
    return value != NULL ? set_string(open, key, value) : ESP_ERR_INVALID_ARG;
}

esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t length)
{
    const open_handle_t *open = find_handle(handle);
    const esp_err_t err = check_data(open, key, length);
    if (err != ESP_OK) {
        return err;
    }
    return value != NULL ? set_blob(open, key, value, length) : ESP_ERR_INVALID_ARG;
}

static uint32_t data_length(const item_t *item)
{
    return item->bytes[24] | (uint32_t)item->bytes[25] << 8;
}

/* After their entry, and checked by its CRC. */
static esp_err_t read_data(const esp_partition_t *nvs, const item_t *item, uint8_t *out)
{
    const uint32_t length = data_length(item);
    const esp_err_t err = esp_partition_read_raw(nvs, entry_offset(item->page, item->index + 1), out, length);
    return err == ESP_OK && esp_rom_crc32_le(UINT32_MAX, out, length) != sr_bytes_get_le32(item->bytes + 28)
               ? ESP_ERR_NVS_NOT_FOUND
               : err;
}

static esp_err_t check_length(uint32_t bytes, const void *out_value, size_t *length)
{
    if (length == NULL || (out_value != NULL && *length < bytes)) {
        return ESP_ERR_NVS_INVALID_LENGTH;
    }
    *length = bytes;
    return ESP_OK;
}

esp_err_t nvs_get_str(nvs_handle_t handle, const char *key, char *out_value, size_t *length)
{
    item_t item;
    const esp_partition_t *nvs;
    esp_err_t err = find_value(handle, key, TYPE_STRING, &nvs, &item);
    if (err == ESP_OK) {
        err = check_length(data_length(&item), out_value, length);
    }
    return err == ESP_OK && out_value != NULL ? read_data(nvs, &item, (uint8_t *)out_value) : err;
}

/* A blob may be in several chunks, which count from the index' number on. */
esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *out_value, size_t *length)
{
    item_t index;
    const esp_partition_t *nvs;
    esp_err_t err = find_value(handle, key, TYPE_BLOB, &nvs, &index);
    if (err == ESP_OK) {
        err = check_length(sr_bytes_get_le32(index.bytes + 24), out_value, length);
    }
    uint32_t done = 0;
    for (uint8_t chunk = 0; err == ESP_OK && out_value != NULL && chunk < index.bytes[28]; chunk++) {
        item_t item = {0};
        bool found = false;
        for (; !found && next_item(nvs, &item); item.index += found ? 0 : span(&item)) {
            found = item.bytes[0] == index.bytes[0] && item.bytes[1] == TYPE_BLOB_DATA &&
                    item.bytes[3] == (uint8_t)(index.bytes[29] + chunk) &&
                    memcmp(item.bytes + 8, index.bytes + 8, 16) == 0;
        }
        if (!found || done + data_length(&item) > *length) {
            return ESP_ERR_NVS_NOT_FOUND;
        }
        err = read_data(nvs, &item, (uint8_t *)out_value + done);
        done += data_length(&item);
    }
    return err;
}
