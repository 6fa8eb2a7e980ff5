// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_mapping.h"

#include "sim/chip/sim_state.h"

#include <stdlib.h>

typedef struct mapping {
    struct mapping *next;
    uint32_t handle;
    sr_region_t place;
    uint8_t bytes[]; /**< Plaintext. */
} mapping_t;

static mapping_t *mappings;

bool sim_mapping_new(uint32_t address, uint32_t size, const void **out, uint32_t *handle)
{
    static uint32_t last_handle;
    *handle = ++last_handle;
    if (sim_state.config.chip.cipher == NULL) {
        *out = nor_flash_view(sim_state.config.flash) + address;
        return true;
    }
    mapping_t *mapping = malloc(sizeof(*mapping) + size);
    if (mapping == NULL) {
        return false;
    }
    *mapping = (mapping_t){.next = mappings, .handle = *handle, .place = {address, size}};
    sim_read_plain(address, mapping->bytes, size);
    mappings = mapping;
    *out = mapping->bytes;
    return true;
}

void sim_mapping_delete(uint32_t handle)
{
    for (mapping_t **at = &mappings; *at != NULL; at = &(*at)->next) {
        if ((*at)->handle == handle) {
            mapping_t *mapping = *at;
            *at = mapping->next;
            free(mapping);
            return;
        }
    }
}

void sim_mapping_update(uint32_t address, uint32_t length)
{
    for (mapping_t *mapping = mappings; mapping != NULL; mapping = mapping->next) {
        if (sr_region_overlaps(mapping->place, (sr_region_t){address, length})) {
            sim_read_plain(mapping->place.address, mapping->bytes, mapping->place.size);
        }
    }
}

void sim_mapping_delete_all(void)
{
    while (mappings != NULL) {
        sim_mapping_delete(mappings->handle);
    }
}
