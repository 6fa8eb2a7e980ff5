// SPDX-License-Identifier: Apache-2.0
#include "flash/sr_flash_reader.h"

#include "port/sr_yield.h"

static int flash_window_read(void *context, uint32_t offset, void *buffer, size_t length)
{
    sr_flash_reader_window_t *window = context;
    sr_yield((uint32_t)length);
    const esp_err_t err = sr_flash_read(window->flash, window->address + offset, buffer, (uint32_t)length);
    window->err = err != ESP_OK ? err : window->err;
    return err;
}

sr_reader_t sr_flash_reader(sr_flash_reader_window_t *window, const sr_flash_t *flash, uint32_t address, uint32_t size)
{
    *window = (sr_flash_reader_window_t){.flash = flash, .address = address};
    return (sr_reader_t){.context = window, .read = flash_window_read, .size = size};
}
