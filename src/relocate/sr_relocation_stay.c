// SPDX-License-Identifier: Apache-2.0
/* Where all that should go over the app is to be blank, it may as well stay as it is: nothing moves, and the caller
 * leaves these sectors out. */
#include "relocate/sr_relocation_methods.h"

static esp_err_t propose(const sr_relocation_method_t *method, const sr_relocation_request_t *request,
                         sr_relocation_t *proposal)
{
    (void)method;
    proposal->missing = request->blanks_only ? 0 : UINT32_MAX;
    return ESP_OK;
}

static esp_err_t execute(const sr_relocation_request_t *request, const sr_relocation_t *proposal)
{
    (void)proposal;
    return request->write(request->context);
}

const sr_relocation_method_t sr_relocation_stay = {
    .kind = ESP_SELF_REFLASHER_RELOCATION_NONE,
    .propose = propose,
    .execute = execute,
};
