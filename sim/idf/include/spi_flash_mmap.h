// SPDX-License-Identifier: Apache-2.0
/** @file Where something that is linked into the app lies in flash. */
#pragma once

#include "esp_err.h"
#include "sdkconfig.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_ERR_FLASH_OP_FAIL    (ESP_ERR_FLASH_BASE + 1)
#define ESP_ERR_FLASH_OP_TIMEOUT (ESP_ERR_FLASH_BASE + 2)

#define SPI_FLASH_SEC_SIZE        4096
#define SPI_FLASH_MMU_PAGE_SIZE   CONFIG_MMU_PAGE_SIZE
#define SPI_FLASH_CACHE2PHYS_FAIL UINT32_MAX

typedef enum { SPI_FLASH_MMAP_DATA, SPI_FLASH_MMAP_INST } spi_flash_mmap_memory_t;
typedef uint32_t spi_flash_mmap_handle_t;

/** Shows the flash as the cache does: decrypted where the chip encrypts its flash. @return ESP_ERR_INVALID_ARG if
 *  @p src_addr is in the middle of a page; ESP_ERR_INVALID_SIZE past the end of the flash; ESP_ERR_NO_MEM */
esp_err_t spi_flash_mmap(size_t src_addr, size_t size, spi_flash_mmap_memory_t memory, const void **out_ptr,
                         spi_flash_mmap_handle_t *out_handle);
void spi_flash_munmap(spi_flash_mmap_handle_t handle);

/**
 * Flash address of what @p cached points to.
 *
 * A process has no MMU that would know, so the bytes at @p cached are looked for in the running app's partition: the
 * simulated app's image must hold the same data as this program. Several places that agree: the first one.
 * @return SPI_FLASH_CACHE2PHYS_FAIL if the bytes are not there.
 */
size_t spi_flash_cache2phys(const void *cached);

#ifdef __cplusplus
}
#endif
