// SPDX-License-Identifier: Apache-2.0
/** @file The descriptor that every ESP-IDF app carries in its image. */
#pragma once

#include "esp_attr.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ESP_APP_DESC_MAGIC_WORD 0xABCD5432

typedef struct {
    uint32_t magic_word;
    uint32_t secure_version;
    uint32_t reserv1[2];
    char version[32];
    char project_name[32];
    char time[16];
    char date[16];
    char idf_ver[32];
    uint8_t app_elf_sha256[32];
    uint16_t min_efuse_blk_rev_full;
    uint16_t max_efuse_blk_rev_full;
    uint8_t mmu_page_size;
    uint8_t reserv3[3];
    uint32_t reserv2[18];
} esp_app_desc_t;

static_assert(sizeof(esp_app_desc_t) == 256, "layout as in flash");

/** Descriptor of the running app, read from its image when the chip started; all zero if it carries none. */
const esp_app_desc_t *esp_app_get_description(void);
/** Hexadecimal, cut to @p size including the terminating zero. @return bytes written, including that zero */
int esp_app_get_elf_sha256(char *dst, size_t size);

#ifdef __cplusplus
}
#endif
