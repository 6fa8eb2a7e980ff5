// SPDX-License-Identifier: Apache-2.0
/** @file ESP-IDF's placement attributes: a Linux process has one kind of memory. */
#pragma once

#define IRAM_ATTR
#define DRAM_ATTR
#define DRAM_STR(text)    (text)
#define NOINLINE_ATTR     __attribute__((noinline))
#define FORCE_INLINE_ATTR static inline __attribute__((always_inline))
