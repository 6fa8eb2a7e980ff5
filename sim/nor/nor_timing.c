// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/nor_flash.h"

#include <string.h>

/* 4 clocks a byte at 40 MHz are 102 us a KiB; the rest is command, address and driver. */
#define READ_US_PER_KIB 130

/* Winbond's JV series shares one process: tPP, tSE and tBE2 (64 KiB) are the same for all sizes. */
#define WINBOND_JV                                                                                                     \
    .page_program_typical_us = 400, .page_program_maximum_us = 3000, .sector_erase_typical_us = 45000,                 \
    .sector_erase_maximum_us = 400000, .block_erase_typical_us = 150000, .block_erase_maximum_us = 2000000,            \
    .read_us_per_kib = READ_US_PER_KIB

static const nor_timing_t chips[] = {
    {.name = "W25Q32JV",
     .source = "Winbond W25Q32JV datasheet, revision G (2018-03-27), 9.6 AC Electrical Characteristics: tPP, tSE, tBE2",
     WINBOND_JV},
    {.name = "W25Q64JV",
     .source = "Winbond W25Q64JV datasheet, revision J (2018-03-27), 9.6 AC Electrical Characteristics: tPP, tSE, tBE2",
     WINBOND_JV},
    {.name = "W25Q128JV",
     .source =
         "Winbond W25Q128JV datasheet, revision F (2018-03-27), 9.6 AC Electrical Characteristics: tPP, tSE, tBE2",
     WINBOND_JV},
};

const nor_timing_t *nor_timing_at(unsigned index)
{
    return index < sizeof(chips) / sizeof(chips[0]) ? &chips[index] : NULL;
}

const nor_timing_t *nor_timing_find(const char *name)
{
    if (name == NULL) {
        return &chips[0];
    }
    for (unsigned i = 0; nor_timing_at(i) != NULL; i++) {
        if (strcmp(chips[i].name, name) == 0) {
            return &chips[i];
        }
    }
    return NULL;
}
