# SPDX-License-Identifier: Apache-2.0
# What runs on the chip, as one list for both builds: ESP-IDF's and the host's.
set(SR_SOURCES
    src/self_reflasher.c
    src/sr_boot_path.c
    src/sr_check.c
    src/sr_chip.c
    src/sr_copy.c
    src/sr_download_esp_idf.c
    src/sr_flash_esp_idf.c
    src/sr_image.c
    src/sr_in_place_esp_idf.c
    src/sr_mcuboot.c
    src/sr_otadata.c
    src/sr_partition_table.c
    src/sr_sha256.c
    src/sr_system_esp_idf.c
    src/sr_writer.c)
