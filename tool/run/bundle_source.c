// SPDX-License-Identifier: Apache-2.0
#include "tool/run/bundle_source.h"

#include "tool/base/command.h"
#include "tool/base/file_kind.h"
#include "tool/base/key_file.h"
#include "tool/pack/bundle_file.h"
#include "tool/pack/pack_result.h"
#include "tool/run/migration.h"
#include "tool/run/steps.h"

#include <stdlib.h>
#include <string.h>

uint32_t bundle_check_bit(const char *name)
{
    // what pack has no switch for depends on the device
    return strcmp(name, "rollback") == 0 ? ESP_SELF_REFLASHER_CHECK_ROLLBACK : pack_check_bit(name);
}

static int serve_file(const char *path, bundle_source_t *source)
{
    const int status = image_file_load(path, &source->file);
    if (status != STATUS_OK) {
        return status;
    }
    if (file_kind_mistaken_for_bundle(&source->file)) {
        return bundle_file_complain_kind(&source->file); // says more than the component's error would
    }
    source->server = local_server_start(&source->file, 1);
    return source->server != NULL ? STATUS_OK : complain(STATUS_BAD_INPUT, "cannot listen on the loopback interface");
}

static int find_source(const bundle_options_t *options, const char *ca, bundle_source_t *source)
{
    const char *url = options->url;
    if (url == NULL && steps_is_flash_source(options->bundle)) {
        return steps_parse_flash_source(options->bundle, &source->config.embedded);
    }
    if (url == NULL) {
        const int status = serve_file(options->bundle, source);
        if (status != STATUS_OK) {
            return status;
        }
        url = local_server_url(source->server, 0, source->url);
    }
    source->http = migration_http(url, ca);
    source->config.http_config = &source->http;
    return STATUS_OK;
}

static int load_key(const char *path, bundle_source_t *source)
{
    sr_signature_public_key_t key;
    const int status = key_file_load_public(path, &key); // a key file without a key is not a refusal of the bundle
    if (status != STATUS_OK) {
        return status;
    }
    source->public_key = key_file_load_text(path);
    source->config.public_key = source->public_key;
    return source->public_key != NULL ? STATUS_OK : STATUS_BAD_INPUT;
}

int bundle_source_prepare(const bundle_options_t *options, const char *ca, bundle_source_t *source)
{
    *source = (bundle_source_t){.config = {.flags = options->flags,
                                           .skip_checks = options->skip_checks,
                                           .min_sequence = options->min_sequence}};
    const int status = options->public_key != NULL ? load_key(options->public_key, source) : STATUS_OK;
    return status == STATUS_OK ? find_source(options, ca, source) : status;
}

void bundle_source_free(bundle_source_t *source)
{
    local_server_stop(source->server);
    image_file_free(&source->file);
    free(source->public_key);
}
