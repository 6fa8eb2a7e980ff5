// SPDX-License-Identifier: Apache-2.0
/* The last resort: the app is overwritten where it runs, by code in RAM, alone on the chip. A power loss meanwhile
 * leaves a chip that does not boot. What is written is the caller's business. */
#include "relocate/sr_relocation_methods.h"

#include "sdkconfig.h"

#if CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP
static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    (void)method;
    proposal->needs = request->in_place_needs;
    proposal->room = request->longest_free;
    proposal->missing = proposal->needs > proposal->room.size ? proposal->needs - proposal->room.size : 0;
    return ESP_OK;
}

/* Code in RAM cannot use the encrypted calls: they read through the cache, which is off. */
static const char *why_not(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)proposal;
    if (request->system->flash.encryption) {
        return ", not with flash encryption";
    }
    return request->allows_in_place ? NULL : ", not allowed";
}
#else
static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    (void)method;
    (void)request;
    proposal->missing = UINT32_MAX;
    return ESP_OK;
}

static const char *why_not(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)request;
    (void)proposal;
    return ": CONFIG_SELF_REFLASHER_OVERWRITE_RUNNING_APP is off";
}
#endif

static esp_err_t execute(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)proposal;
    return request->write(request->context);
}

const sr_relocation_method_t sr_relocation_in_place = {
    .name = "in place",
    .kind = ESP_SELF_REFLASHER_RELOCATION_IN_PLACE,
    .propose = propose,
    .why_not = why_not,
    .execute = execute,
};
