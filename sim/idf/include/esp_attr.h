// SPDX-License-Identifier: Apache-2.0
/** @file
 * ESP-IDF's placement attributes: a Linux process has one kind of memory. What a chip keeps over a restart in RTC
 * memory is lost here with everything else: each boot is a process.
 */
#pragma once

#include "sdkconfig.h"

#define IRAM_ATTR
#define IRAM_DATA_ATTR
#define IRAM_BSS_ATTR
#define DRAM_ATTR
#define DMA_ATTR          __attribute__((aligned(4)))
#define WORD_ALIGNED_ATTR __attribute__((aligned(4)))
#define RTC_IRAM_ATTR
#define RTC_DATA_ATTR
#define RTC_RODATA_ATTR
#define RTC_SLOW_ATTR
#define RTC_FAST_ATTR
#define RTC_NOINIT_ATTR
#define __NOINIT_ATTR
#define EXT_RAM_BSS_ATTR
#define EXT_RAM_NOINIT_ATTR
#define COREDUMP_IRAM_ATTR
#define DRAM_STR(text)    (text)
#define NOINLINE_ATTR     __attribute__((noinline))
#define FORCE_INLINE_ATTR static inline __attribute__((always_inline))
