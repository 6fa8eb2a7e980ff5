// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_mapping.h"
#include "sim/chip/sim_state.h"

#include "format/sr_bytes.h"
#include "format/sr_image.h"
#include "format/sr_md5.h"
#include "sim/boot/boot_plain.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Offset in an entry of the partition table. */
#define ENTRY_MAGIC   0x50AAu
#define ENTRY_TYPE    2u
#define ENTRY_SUBTYPE 3u
#define ENTRY_ADDRESS 4u
#define ENTRY_SIZE    8u
#define ENTRY_LABEL   12u
#define ENTRY_FLAGS   28u
#define MD5_MAGIC     0xEBEBu
#define MD5_OFFSET    16u

static sim_counters_t unattached_counters;
sim_state_t sim_state = {.counters = &unattached_counters};

esp_flash_t *esp_flash_default_chip = &sim_state.main_flash;

void sim_read_plain(uint32_t address, void *out, size_t length)
{
    const uint8_t *flash = nor_flash_view(sim_state.config.flash);
    const flash_cipher_t *cipher = sim_state.config.chip.cipher;
    if (cipher == NULL) {
        memcpy(out, flash + address, length);
    } else {
        flash_cipher_read(cipher, flash, address, out, length);
    }
}

static int window_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    const sim_window_t *window = context;
    sim_read_plain(window->address + offset, buffer, length);
    return 0;
}

sr_reader_t sim_reader(sim_window_t *window, uint32_t address, uint32_t size)
{
    window->address = address;
    return (sr_reader_t){.context = window, .read = window_read, .size = size};
}

sim_counters_t *sim_counters_new(void)
{
    void *memory = mmap(NULL, sizeof(sim_counters_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void sim_counters_delete(sim_counters_t *counters)
{
    if (counters != NULL) {
        munmap(counters, sizeof(*counters));
    }
}

void sim_work(size_t bytes)
{
    sim_state.work += (uint32_t)bytes;
    if (sim_state.work > sim_state.counters->longest_work) {
        sim_state.counters->longest_work = sim_state.work;
    }
}

void sim_rest(void)
{
    sim_state.work = 0;
}

const sim_config_t *sim_chip(void)
{
    return sim_state.attached ? &sim_state.config : NULL;
}

sim_counters_t *sim_counters(void)
{
    return sim_state.counters;
}

uint32_t sim_bootloader_offset(void)
{
    const sim_config_t *config = &sim_state.config;
    return config->recovered ? config->chip.recovery : config->chip.chip->bootloader_offset;
}

/* The size that the bootloader passes on: that of its own header, or the flash's where there is no bootloader. */
static uint32_t flash_size_in_use(const sim_config_t *config)
{
    const uint32_t physical = nor_flash_size(config->flash);
    sim_window_t window;
    sr_image_t image;
    const uint32_t offset = sim_bootloader_offset();
    const sr_reader_t reader = sim_reader(&window, offset, physical - offset);
    const sr_image_status_t status = sr_image_parse(&reader, &image);
    if (status == SR_IMAGE_READ_FAILED || status == SR_IMAGE_BAD_MAGIC || image.spi_size > 7) {
        return physical;
    }
    const uint32_t told = (1u << 20) << image.spi_size;
    return told < physical ? told : physical;
}

static void add_partition(const sim_config_t *config, const uint8_t raw[SR_PARTITION_ENTRY_SIZE])
{
    const uint32_t flags = sr_bytes_get_le32(raw + ENTRY_FLAGS);
    esp_partition_t *partition = &sim_state.partitions[sim_state.partition_count++];
    *partition = (esp_partition_t){
        .flash_chip = esp_flash_default_chip,
        .type = (esp_partition_type_t)raw[ENTRY_TYPE],
        .subtype = (esp_partition_subtype_t)raw[ENTRY_SUBTYPE],
        .address = sr_bytes_get_le32(raw + ENTRY_ADDRESS),
        .size = sr_bytes_get_le32(raw + ENTRY_SIZE),
        .erase_size = SR_SECTOR_SIZE,
        .readonly = !config->before_v5_2 && (flags & SR_PARTITION_FLAG_READ_ONLY) != 0,
    };
    const sr_partition_table_entry_t entry = {.type = raw[ENTRY_TYPE], .subtype = raw[ENTRY_SUBTYPE], .flags = flags};
    partition->encrypted = config->chip.cipher != NULL && sr_partition_table_encrypts(&entry);
    memcpy(partition->label, raw + ENTRY_LABEL, sizeof(partition->label) - 1);
}

/* Reads as esp_partition does: each entry up to the first that is none, whatever it says. The app, too, sees what the
 * bootloader lets pass, such as an entry that ends past the flash because its programming was cut short. */
static bool add_partitions(const sim_config_t *config, const sr_reader_t *table)
{
    sr_md5_t md5;
    uint8_t raw[SR_PARTITION_ENTRY_SIZE];
    uint8_t digest[SR_MD5_SIZE];
    sr_md5_start(&md5);
    for (uint32_t i = 0; i <= SR_PARTITION_MAX_ENTRIES; i++) {
        table->read(table->context, i * SR_PARTITION_ENTRY_SIZE, raw, sizeof(raw));
        if (sr_bytes_get_le16(raw) != ENTRY_MAGIC || i == SR_PARTITION_MAX_ENTRIES) {
            break;
        }
        sr_md5_update(&md5, raw, sizeof(raw));
        add_partition(config, raw);
    }
    const bool hashed = sr_md5_finish(&md5, digest) == 0;
    return hashed && (sr_bytes_get_le16(raw) != MD5_MAGIC || memcmp(digest, raw + MD5_OFFSET, sizeof(digest)) == 0);
}

static bool read_partition_table(const sim_config_t *config)
{
    const uint32_t offset = sim_state.table_offset;
    if (!sr_region_fits((sr_region_t){offset, SR_SECTOR_SIZE}, sim_state.main_flash.size)) {
        return false;
    }
    sim_window_t window;
    const sr_reader_t reader = sim_reader(&window, offset, SR_SECTOR_SIZE);
    return add_partitions(config, &reader) && sim_state.partition_count > 0;
}

static uint32_t partition_end(uint32_t address)
{
    for (uint32_t i = 0; i < sim_state.partition_count; i++) {
        const esp_partition_t *p = &sim_state.partitions[i];
        if (sr_region_contains((sr_region_t){p->address, p->size}, (sr_region_t){address, 1})) {
            return p->address + p->size;
        }
    }
    return sim_state.main_flash.size;
}

/* Finds out how long the running app is, and keeps its bytes to notice when they change. Where there is no image (a
 * test without one), the whole partition counts. */
static bool remember_app(uint32_t address)
{
    const uint32_t room = partition_end(address) - address;
    sim_window_t window;
    const sr_reader_t reader = sim_reader(&window, address, room);
    sr_image_t image;
    const bool found = sr_image_parse(&reader, &image) == SR_IMAGE_OK;
    sim_state.app = (sr_region_t){address, found ? image.length : room};
    if (found && image.segments[0].length >= sizeof(sim_state.app_desc)) {
        reader.read(reader.context, image.segments[0].data_offset, &sim_state.app_desc, sizeof(sim_state.app_desc));
    }
    if (sim_state.app_desc.magic_word != ESP_APP_DESC_MAGIC_WORD) {
        sim_state.app_desc = (esp_app_desc_t){0};
    }
    sim_state.app_copy = malloc(sim_state.app.size);
    sim_state.sector_changed = calloc(sim_state.app.size / SR_SECTOR_SIZE + 2, sizeof(bool));
    if (sim_state.app_copy == NULL || sim_state.sector_changed == NULL) {
        return false;
    }
    memcpy(sim_state.app_copy, nor_flash_view(sim_state.config.flash) + address, sim_state.app.size);
    return true;
}

bool sim_attach_with(const sim_config_t *config, sim_counters_t *counters)
{
    sim_chip_detach();
    if (counters == NULL || config->flash == NULL || config->chip.chip == NULL ||
        config->running_app >= nor_flash_size(config->flash)) {
        sim_counters_delete(counters);
        return false;
    }
    counters->heap_now = 0;
    counters->open_clients = 0;
    sim_state = (sim_state_t){.attached = true, .config = *config, .counters = counters};
    sim_state.main_flash.size = sim_state.rom_size = flash_size_in_use(config);
    sim_state.table_offset =
        boot_table_offset(&config->chip, nor_flash_view(config->flash), nor_flash_size(config->flash));
    if (config->running_app >= sim_state.main_flash.size || !read_partition_table(config) ||
        !remember_app(config->running_app)) {
        sim_chip_detach();
        return false;
    }
    return true;
}

bool sim_chip_attach(const sim_config_t *config)
{
    return sim_attach_with(config, sim_counters_new());
}

void sim_chip_detach(void)
{
    if (sim_state.attached) {
        free(sim_state.app_copy);
        free(sim_state.sector_changed);
        sim_counters_delete(sim_state.counters);
    }
    sim_mapping_delete_all();
    sim_state = (sim_state_t){.counters = &unattached_counters};
}

/* The part of one sector that the app covers, compared with what was there when it started. */
static bool sector_differs(uint32_t sector)
{
    const uint32_t app_end = sim_state.app.address + sim_state.app.size;
    const uint32_t start = sector > sim_state.app.address ? sector : sim_state.app.address;
    const uint32_t end = sector + SR_SECTOR_SIZE < app_end ? sector + SR_SECTOR_SIZE : app_end;
    const uint8_t *now = nor_flash_view(sim_state.config.flash) + start;
    return memcmp(now, sim_state.app_copy + (start - sim_state.app.address), end - start) != 0;
}

void sim_flash_changed(uint32_t address, uint32_t length)
{
    sim_mapping_update(address, length);
    const uint32_t first = sim_state.app.address & ~(SR_SECTOR_SIZE - 1u);
    const uint32_t begin = address & ~(SR_SECTOR_SIZE - 1u);
    for (uint32_t sector = begin; sector < address + length; sector += SR_SECTOR_SIZE) {
        if (!sr_region_overlaps((sr_region_t){sector, SR_SECTOR_SIZE}, sim_state.app)) {
            continue;
        }
        bool *changed = &sim_state.sector_changed[(sector - first) / SR_SECTOR_SIZE];
        const bool differs = sector_differs(sector);
        sim_state.changed_sectors += (differs ? 1u : 0u) - (*changed ? 1u : 0u);
        *changed = differs;
    }
}

void sim_flash_code(const char *function)
{
    if (sim_state.changed_sectors > 0) {
        sim_panic("%s runs from flash, but %u sectors of the running app at 0x%x were changed", function,
                  sim_state.changed_sectors, sim_state.app.address);
    }
    if (sim_state.without_os) {
        sim_panic("%s runs from flash, but only code in RAM may run without the OS", function);
    }
}
