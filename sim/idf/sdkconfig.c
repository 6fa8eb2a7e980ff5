// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "sdkconfig.h"

#include <stdlib.h>

const char *sim_config_string(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value != NULL ? value : fallback;
}

uint32_t sim_config_number(const char *name, uint32_t fallback)
{
    const char *value = getenv(name);
    return value != NULL ? (uint32_t)strtoul(value, NULL, 0) : fallback;
}

static const sr_chip_t *chip(void)
{
    const sim_config_t *config = sim_chip();
    return config != NULL ? config->chip.chip : sr_chip_by_name("esp32");
}

const char *sim_config_target(void)
{
    return chip()->name;
}

uint16_t sim_config_chip_id(void)
{
    return chip()->image_chip_id;
}

uint32_t sim_config_bootloader_offset(void)
{
    return chip()->bootloader_offset;
}

uint32_t sim_config_partition_table_offset(void)
{
    return sim_state.attached ? sim_state.table_offset : SR_PARTITION_TABLE_OFFSET;
}
