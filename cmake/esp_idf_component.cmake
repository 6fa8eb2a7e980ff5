# SPDX-License-Identifier: Apache-2.0
# This repository as a component of an ESP-IDF project.
include(${CMAKE_CURRENT_LIST_DIR}/sources.cmake)

set(private_requires
    app_update
    bootloader_support
    efuse
    esp_hw_support
    esp_rom
    esp_system
    esp_timer
    hal
    mbedtls
    spi_flash)
set(SPI_FLASH_HAL_COMPONENT hal)
if(IDF_VERSION_MAJOR GREATER_EQUAL 6)
    list(APPEND private_requires esp_hal_wdt)
    set(SPI_FLASH_HAL_COMPONENT esp_hal_mspi)
elseif(IDF_VERSION_MINOR LESS 3)
    list(APPEND private_requires driver) # for a header that esp_flash_internal.h includes
endif()

# A library is named after the folder that this repository is checked out to, and the fragment has to name it. The first
# time that ESP-IDF reads this file it only collects requirements, and has no build folder yet.
if(NOT CMAKE_BUILD_EARLY_EXPANSION)
    configure_file(${COMPONENT_DIR}/linker.lf.in ${CMAKE_CURRENT_BINARY_DIR}/linker.lf @ONLY)
endif()

idf_component_register(
    SRCS ${SR_SOURCES}
    INCLUDE_DIRS ${COMPONENT_DIR}/include
    PRIV_INCLUDE_DIRS ${COMPONENT_DIR}/src
    REQUIRES esp_event esp_http_client esp_partition
    PRIV_REQUIRES ${private_requires}
    LDFRAGMENTS ${CMAKE_CURRENT_BINARY_DIR}/linker.lf)

# Fails at build time, not while configuring: menuconfig, which can set the option, has to work.
if(NOT CONFIG_SPI_FLASH_DANGEROUS_WRITE_ALLOWED)
    fail_at_build_time(self_reflasher_dangerous_write
        "The self reflasher writes to the bootloader and to the partition table, which ESP-IDF forbids by default."
        "Set CONFIG_SPI_FLASH_DANGEROUS_WRITE_ALLOWED=y in sdkconfig.defaults, or in menuconfig:"
        "Component config > SPI Flash driver > Writing to dangerous flash regions > Allowed")
endif()
