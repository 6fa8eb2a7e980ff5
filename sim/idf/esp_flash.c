// SPDX-License-Identifier: Apache-2.0
#include "sim/boot/boot_plain.h"
#include "sim/chip/sim_mapping.h"
#include "sim/chip/sim_state.h"

#include "esp_flash_encrypt.h"
#include "esp_flash_internal.h"
#include "esp_secure_boot.h"
#include "spi_flash_mmap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE    4096u
#define MOST_ROW 64u

/* The driver itself is in RAM, but with the OS running the next tick may enter a task whose code is gone. */
static void check_caller(const char *function)
{
    if (!sim_state.without_os) {
        sim_flash_code(function);
    }
}

static bool usable(const esp_flash_t *chip)
{
    return sim_state.attached && (chip == NULL || chip == esp_flash_default_chip);
}

static bool in_range(uint32_t address, uint32_t length)
{
    return sr_region_fits((sr_region_t){address, length}, sim_state.main_flash.size);
}

static esp_err_t to_esp_err(nor_status_t status, uint32_t address)
{
    sim_watch();
    switch (status) {
    case NOR_OK:
        return ESP_OK;
    case NOR_POWER_LOST:
        sim_end_boot(SIM_END_POWER_LOSS);
    case NOR_TIMEOUT:
        return ESP_ERR_TIMEOUT;
    case NOR_PROGRAM_SETS_BITS:
        fprintf(stderr, "Flash at 0x%" PRIx32 ": %s\n", address, nor_status_text(status));
        return ESP_FAIL;
    default:
        return ESP_ERR_INVALID_ARG;
    }
}

/* main_flash_region_protected() of ESP-IDF's spi_flash_os_func_app.c: since v5.2 the driver asks the table that the app
 * was started with. The driver without the OS has no such check. */
static bool is_protected(uint32_t address, uint32_t length)
{
    for (uint32_t i = 0; i < sim_state.partition_count && !sim_state.without_os; i++) {
        const esp_partition_t *p = &sim_state.partitions[i];
        const bool inside = address >= p->address && address < p->address + p->size;
        const bool across = address < p->address && address + length > p->address;
        if (p->readonly && (inside || across)) {
            return true;
        }
    }
    return false;
}

esp_err_t esp_flash_get_size(esp_flash_t *chip, uint32_t *out_size)
{
    check_caller(__func__);
    if (!usable(chip) || out_size == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *out_size = sim_state.main_flash.size;
    return ESP_OK;
}

esp_err_t esp_flash_get_physical_size(esp_flash_t *chip, uint32_t *flash_size)
{
    check_caller(__func__);
    if (!usable(chip) || flash_size == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    *flash_size = nor_flash_size(sim_state.config.flash);
    return ESP_OK;
}

esp_err_t esp_flash_erase_region(esp_flash_t *chip, uint32_t start, uint32_t len)
{
    check_caller(__func__);
    if (!usable(chip) || !in_range(start, len) || start % SR_SECTOR_SIZE != 0 || len % SR_SECTOR_SIZE != 0) {
        return ESP_ERR_INVALID_ARG;
    }
    if (is_protected(start, len)) {
        return ESP_ERR_NOT_ALLOWED;
    }
    const nor_status_t status = nor_erase(sim_state.config.flash, start, len);
    sim_rest(); /* The driver waits for the chip. */
    sim_flash_changed(start, len);
    return to_esp_err(status, start);
}

esp_err_t esp_flash_read(esp_flash_t *chip, void *buffer, uint32_t address, uint32_t length)
{
    check_caller(__func__);
    if (!usable(chip) || buffer == NULL || !in_range(address, length)) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_work(length);
    return to_esp_err(nor_read(sim_state.config.flash, address, buffer, length), address);
}

esp_err_t esp_flash_write(esp_flash_t *chip, const void *buffer, uint32_t address, uint32_t length)
{
    check_caller(__func__);
    if (!usable(chip) || buffer == NULL || !in_range(address, length)) {
        return ESP_ERR_INVALID_ARG;
    }
    if (is_protected(address, length)) {
        return ESP_ERR_NOT_ALLOWED;
    }
    const nor_status_t status = nor_program(sim_state.config.flash, address, buffer, length);
    sim_flash_changed(address, length);
    return to_esp_err(status, address);
}

/* The hardware encrypts one row at a time, aligned to its size, and each is a program of its own. A row that begins or
 * ends with 16 bytes alone leaves the other ones as they are: the ESP32 programs those once more with what they hold.
 */
static uint32_t row_at(uint32_t address, uint32_t length)
{
    for (uint32_t row = boot_plain_unit(&sim_state.config.chip); row > FLASH_CIPHER_BLOCK; row /= 2) {
        if (address % row == 0 && length >= row) {
            return row;
        }
    }
    return FLASH_CIPHER_BLOCK;
}

esp_err_t esp_flash_write_encrypted(esp_flash_t *chip, uint32_t address, const void *buffer, uint32_t length)
{
    check_caller(__func__);
    if (!usable(chip) || buffer == NULL || !in_range(address, length) || address % 16 != 0) {
        return ESP_ERR_INVALID_ARG;
    }
    if (length % 16 != 0) {
        return ESP_ERR_INVALID_SIZE;
    }
    const flash_cipher_t *cipher = sim_state.config.chip.cipher;
    if (cipher == NULL) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    for (uint32_t done = 0; done < length;) {
        uint8_t row[MOST_ROW];
        const uint32_t here = row_at(address + done, length - done);
        memcpy(row, (const uint8_t *)buffer + done, here);
        flash_cipher_encrypt(cipher, address + done, row, here);
        const esp_err_t err = esp_flash_write(chip, row, address + done, here);
        if (err != ESP_OK) {
            return err;
        }
        done += here;
    }
    return ESP_OK;
}

/* ESP-IDF reads through a mapping that it makes with code from flash, so code in RAM must not call this. */
esp_err_t esp_flash_read_encrypted(esp_flash_t *chip, uint32_t address, void *out_buffer, uint32_t length)
{
    sim_flash_code(__func__);
    if (!usable(chip)) {
        return ESP_ERR_INVALID_ARG;
    }
    if (!sr_region_fits((sr_region_t){address, length}, sim_state.rom_size)) { /* Not what the driver's handle says. */
        return ESP_ERR_INVALID_SIZE;
    }
    if (length == 0) {
        return ESP_OK;
    }
    if (out_buffer == NULL) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_work(length);
    const nor_status_t status = nor_read(sim_state.config.flash, address, out_buffer, length);
    if (status == NOR_OK) {
        sim_read_plain(address, out_buffer, length);
    }
    return to_esp_err(status, address);
}

esp_err_t esp_flash_app_disable_os_functions(esp_flash_t *chip)
{
    check_caller(__func__);
    if (!usable(chip)) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_state.without_os = true;
    return ESP_OK;
}

esp_err_t esp_flash_app_enable_os_functions(esp_flash_t *chip)
{
    if (!usable(chip)) {
        return ESP_ERR_INVALID_ARG;
    }
    sim_state.without_os = false;
    check_caller(__func__);
    return ESP_OK;
}

bool esp_flash_encryption_enabled(void)
{
    sim_flash_code(__func__);
    return sim_state.config.chip.cipher != NULL;
}

bool esp_secure_boot_enabled(void)
{
    sim_flash_code(__func__);
    const efuse_set_t *burnt = &sim_state.config.chip.burnt;
    return burnt->secure_boot_v1 || burnt->secure_boot_v2;
}

/* Bytes of this process from an address on, up to the end of what is mapped: read through the kernel, because it is not
 * known where the caller's object ends. */
static size_t bytes_in_memory(const void *from, uint8_t *out, size_t length)
{
    const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (memory < 0) {
        return 0;
    }
    const ssize_t got = pread(memory, out, length, (off_t)(uintptr_t)from);
    close(memory);
    return got > 0 ? (size_t)got : 0;
}

static size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t length)
{
    size_t i = 0;
    while (i < length && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* Offset of the place that agrees longest with what is wanted. */
static size_t longest_match(const uint8_t *image, size_t size, const uint8_t *wanted, size_t length)
{
    const size_t enough = length < 16 ? length : 16;
    size_t best = SPI_FLASH_CACHE2PHYS_FAIL;
    size_t best_length = enough - 1;
    for (size_t i = 0; i + enough <= size; i++) {
        const size_t same = common_prefix(image + i, wanted, size - i < length ? size - i : length);
        if (same > best_length) {
            best = i;
            best_length = same;
        }
    }
    return best;
}

esp_err_t spi_flash_mmap(size_t src_addr, size_t size, spi_flash_mmap_memory_t memory, const void **out_ptr,
                         spi_flash_mmap_handle_t *out_handle)
{
    (void)memory;
    sim_flash_code(__func__);
    if (src_addr % SPI_FLASH_MMU_PAGE_SIZE != 0) {
        return ESP_ERR_INVALID_ARG;
    }
    if (src_addr > sim_state.rom_size || size > sim_state.rom_size - src_addr) {
        return ESP_ERR_INVALID_SIZE;
    }
    return sim_mapping_new((uint32_t)src_addr, (uint32_t)size, out_ptr, out_handle) ? ESP_OK : ESP_ERR_NO_MEM;
}

void spi_flash_munmap(spi_flash_mmap_handle_t handle)
{
    sim_flash_code(__func__);
    sim_mapping_delete(handle);
}

size_t spi_flash_cache2phys(const void *cached)
{
    sim_flash_code(__func__);
    uint8_t wanted[PIECE];
    const size_t length = cached != NULL && sim_state.attached ? bytes_in_memory(cached, wanted, sizeof(wanted)) : 0;
    uint8_t *image = length > 0 ? malloc(sim_state.app.size) : NULL;
    if (image == NULL) {
        return SPI_FLASH_CACHE2PHYS_FAIL;
    }
    sim_window_t window;
    const sr_reader_t reader = sim_reader(&window, sim_state.app.address, sim_state.app.size);
    reader.read(reader.context, 0, image, sim_state.app.size);
    const size_t offset = longest_match(image, sim_state.app.size, wanted, length);
    free(image);
    return offset == SPI_FLASH_CACHE2PHYS_FAIL ? offset : sim_state.app.address + offset;
}
