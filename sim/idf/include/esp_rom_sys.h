// SPDX-License-Identifier: Apache-2.0
/** @file Functions in the chip's ROM: they work when nothing in flash does. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Ends this boot. */
void esp_rom_software_reset_system(void) __attribute__((__noreturn__));
/** Flash offset of the bootloader that started this boot: that of the chip's place for it, or of the recovery one. */
uint32_t esp_rom_get_bootloader_offset(void);
void esp_rom_delay_us(uint32_t us);
int esp_rom_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif
