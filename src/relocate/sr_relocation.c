// SPDX-License-Identifier: Apache-2.0
#include "relocate/sr_relocation.h"

#include "relocate/sr_relocation_methods.h"

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

static size_t start_text(const sr_relocation_request_t *request, char *text, size_t size)
{
    const sr_region_t app = request->system->boot_path.running_app;
    const int length =
        snprintf(text, size, "running app at 0x%" PRIx32 " is in the way: no OTA slot takes its %" PRIu32 " bytes",
                 app.address, app.size);
    return length > 0 ? (size_t)length : 0;
}

/* Of what is left of the text, for one method. */
static size_t add_text(char *text, size_t size, const sr_relocation_t *proposal, const char *against)
{
    int length = 0;
    against = against != NULL ? against : "";
    if (proposal->method->name != NULL && proposal->missing != UINT32_MAX) {
        length = snprintf(text, size, "; %s: %" PRIu32 " bytes missing%s", proposal->method->name, proposal->missing,
                          against);
    } else if (proposal->method->name != NULL) {
        length = snprintf(text, size, "; %s%s", proposal->method->name, against);
    }
    return length > 0 ? (size_t)length : 0;
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

static esp_err_t tell_all(const sr_relocation_request_t *request, char *text, size_t size)
{
    size_t used = start_text(request, text, size);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]) && used < size; i++) {
        sr_relocation_t proposal = {.method = methods[i], .address = UINT32_MAX};
        const esp_err_t err = methods[i]->propose(methods[i], request, &proposal);
        if (err != ESP_OK) {
            return err;
        }
        used += add_text(text + used, size - used, &proposal, objection(request, &proposal));
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
    *relocation = (sr_relocation_t){.method = NULL, .address = UINT32_MAX};
    return tell_all(request, text, size);
}

esp_err_t sr_relocation_execute(const sr_relocation_request_t *request, const sr_relocation_t *relocation)
{
    return relocation->method->execute(request, relocation);
}
