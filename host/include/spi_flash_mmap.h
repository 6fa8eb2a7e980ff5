// SPDX-License-Identifier: Apache-2.0
/** @file Where something that is linked into the app lies in flash. */
#pragma once

#include "esp_err.h"
#include "sdkconfig.h"

#include <stddef.h>
#include <stdint.h>

#define ESP_ERR_FLASH_OP_FAIL    (ESP_ERR_FLASH_BASE + 1)
#define ESP_ERR_FLASH_OP_TIMEOUT (ESP_ERR_FLASH_BASE + 2)

#define SPI_FLASH_SEC_SIZE        4096
#define SPI_FLASH_MMU_PAGE_SIZE   CONFIG_MMU_PAGE_SIZE
#define SPI_FLASH_CACHE2PHYS_FAIL UINT32_MAX

/**
 * Flash address of what @p cached points to.
 *
 * A process has no MMU that would know, so the bytes at @p cached are looked for in the running app's partition: the
 * simulated app's image must hold the same data as this program. Several places that agree: the first one.
 * @return SPI_FLASH_CACHE2PHYS_FAIL if the bytes are not there.
 */
size_t spi_flash_cache2phys(const void *cached);
