// SPDX-License-Identifier: Apache-2.0
#include "relocate/sr_relocation.h"

#include "preflight/sr_text.h"
#include "relocate/sr_relocation_methods.h"
#include "system/sr_partition.h"

#include <inttypes.h>
#include <stdio.h>

/* The first that is open is taken: what costs least comes first. */
static const sr_relocation_method_t *const methods[] = {
    &sr_relocation_slot,     &sr_relocation_stay, &sr_relocation_slot_over_blanks, &sr_relocation_temporary_table,
    &sr_relocation_in_place,
};

static const char *objection(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    const sr_relocation_method_t *method = proposal->method;
    const char *text = method->why_not != NULL ? method->why_not(request, proposal) : NULL;
    return text == NULL && request->object != NULL ? request->object(request->context, method, proposal->address)
                                                   : text;
}

/** A sector, and where to put the name of whoever it belongs to. */
typedef struct owner {
    uint32_t address;
    char *name;
} owner_t;

static void find_owner(void *context, const esp_partition_t *partition)
{
    owner_t *owner = context;
    const sr_region_t sector = {owner->address, SR_SECTOR_SIZE};
    if (sr_region_overlaps(sr_partition_region(partition), sector)) {
        (void)snprintf(owner->name, SR_RELOCATION_OWNER_SIZE, "%s", partition->label);
    }
}

const char *sr_relocation_running_owner(uint32_t address, char name[SR_RELOCATION_OWNER_SIZE])
{
    owner_t owner = {.address = address, .name = name};
    name[0] = '\0';
    (void)sr_partition_visit(find_owner, &owner);
    return name;
}

static void start_text(sr_text_t *words, const sr_relocation_request_t *request)
{
    const sr_region_t app = request->system->boot_path.running_app;
    sr_text_add(words, "running app at 0x%" PRIx32 " is in the way: %" PRIu32 " bytes", app.address, app.size);
}

/* What ends the room that there is; and if that is the end of the flash, what begins it. */
static void add_obstacle(sr_text_t *words, const sr_relocation_request_t *request, sr_region_t room)
{
    char name[SR_RELOCATION_OWNER_SIZE];
    const uint32_t end = room.address + room.size;
    const bool at_end = end >= request->system->flash.size;
    if (room.address == 0 && (room.size == 0 || at_end)) {
        return; /* Nothing that could be named. */
    }
    const uint32_t address = at_end ? room.address - SR_SECTOR_SIZE : end;
    const char *owner = request->owner != NULL ? request->owner(request->context, address, name)
                                               : sr_relocation_running_owner(address, name);
    const char *side = at_end ? "after" : "before";
    if (owner[0] != '\0') {
        sr_text_add(words, " %s %s", side, owner);
    } else {
        sr_text_add(words, " %s 0x%" PRIx32, side, at_end ? room.address : end);
    }
}

static void add_method(sr_text_t *words, const sr_relocation_request_t *request, const sr_relocation_t *proposal,
                       const char *against)
{
    if (proposal->method->name == NULL) {
        return;
    }
    sr_text_add(words, "; %s", proposal->method->name);
    if (proposal->missing != UINT32_MAX) {
        sr_text_add(words, ": %" PRIu32 " bytes missing", proposal->missing);
    }
    if (proposal->missing != UINT32_MAX && proposal->missing > 0) {
        if (proposal->needs != 0) {
            sr_text_add(words, " of %" PRIu32, proposal->needs);
        }
        add_obstacle(words, request, proposal->room);
    }
    sr_text_add(words, "%s", against != NULL ? against : "");
}

/* Flash is read only for a method that nothing else stands against. */
static esp_err_t try_method(const sr_relocation_request_t *request, sr_relocation_t *proposal, bool *open)
{
    esp_err_t err = ESP_OK;
    *open = objection(request, proposal) == NULL;
    if (*open) {
        err = proposal->method->propose(proposal->method, request, proposal);
        *open = err == ESP_OK && proposal->missing == 0 && objection(request, proposal) == NULL;
    }
    return err;
}

static esp_err_t tell_all(const sr_relocation_request_t *request, sr_relocation_t *none, char *text, size_t size)
{
    sr_text_t words = {.buffer = text, .size = size};
    start_text(&words, request);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        sr_relocation_t proposal = {.method = methods[i], .address = UINT32_MAX};
        const esp_err_t err = methods[i]->propose(methods[i], request, &proposal);
        if (err != ESP_OK) {
            return err;
        }
        add_method(&words, request, &proposal, objection(request, &proposal));
        none->missing = proposal.missing < none->missing ? proposal.missing : none->missing;
    }
    return ESP_OK;
}

esp_err_t sr_relocation_find(const sr_relocation_request_t *request, sr_relocation_t *relocation, char *text,
                             size_t size)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        bool open = false;
        sr_relocation_t proposal = {.method = methods[i], .address = UINT32_MAX};
        const esp_err_t err = try_method(request, &proposal, &open);
        if (err != ESP_OK || open) {
            *relocation = proposal;
            return err;
        }
    }
    *relocation = (sr_relocation_t){.method = NULL, .address = UINT32_MAX, .missing = UINT32_MAX};
    return tell_all(request, relocation, text, size);
}

esp_err_t sr_relocation_execute(const sr_relocation_request_t *request, const sr_relocation_t *relocation)
{
    return relocation->method->execute(request, relocation);
}
