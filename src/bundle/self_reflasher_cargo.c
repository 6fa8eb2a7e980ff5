// SPDX-License-Identifier: Apache-2.0
#include "self_reflasher_cargo.h"

#include "flash/sr_flash_reader.h"
#include "format/sr_cargo.h"
#include "format/sr_image.h"
#include "system/sr_system.h"

#include "esp_check.h"
#include "esp_log.h"

#include <inttypes.h>
#include <string.h>

_Static_assert(ESP_SELF_REFLASHER_CARGO_SETTINGS_SIZE == SR_CARGO_MAX_SETTINGS, "all settings find room");

static const char *TAG = "self_reflasher";

/* The image vouches for its cargo, so it has to be intact, and to say so with more than a checksum of one byte. */
static esp_err_t check_image(const sr_reader_t *app, sr_image_t *image)
{
    sr_image_status_t status = sr_image_parse(app, image);
    if (status == SR_IMAGE_OK) {
        status = sr_image_verify(app, image, NULL);
    }
    if (status == SR_IMAGE_CRYPTO_FAILED) {
        return ESP_FAIL;
    }
    ESP_RETURN_ON_FALSE(status == SR_IMAGE_OK, ESP_ERR_SELF_REFLASHER_CARGO, TAG, "running app: %s",
                        sr_image_status_text(status));
    ESP_RETURN_ON_FALSE(image->hash_appended, ESP_ERR_SELF_REFLASHER_CARGO, TAG,
                        "running app: no SHA-256 vouches for its cargo");
    return ESP_OK;
}

/* Whether there is a cargo comes first: an app without one is read as a whole by nobody. */
static esp_err_t find(const sr_reader_t *app, sr_cargo_t *cargo)
{
    sr_image_t image;
    if (sr_image_parse(app, &image) == SR_IMAGE_OK && sr_cargo_find(app, &image, cargo) == SR_CARGO_NONE) {
        return ESP_ERR_NOT_FOUND;
    }
    const esp_err_t err = check_image(app, &image);
    if (err != ESP_OK) {
        return err;
    }
    const sr_cargo_status_t status = sr_cargo_find(app, &image, cargo);
    ESP_RETURN_ON_FALSE(status == SR_CARGO_OK, ESP_ERR_SELF_REFLASHER_CARGO, TAG, "running app: %s",
                        sr_cargo_status_text(status));
    return ESP_OK;
}

static esp_err_t read_settings(const sr_reader_t *app, sr_region_t place, esp_self_reflasher_cargo_t *cargo)
{
    if (app->read(app->context, place.address, cargo->settings, place.size) != 0) {
        return ESP_ERR_SELF_REFLASHER_CARGO; /* The caller knows the cause. */
    }
    const sr_cargo_status_t status = sr_cargo_check_settings(cargo->settings, place.size);
    ESP_RETURN_ON_FALSE(status == SR_CARGO_OK, ESP_ERR_SELF_REFLASHER_CARGO, TAG, "running app: %s",
                        sr_cargo_status_text(status));
    cargo->settings_size = place.size;
    return ESP_OK;
}

static esp_err_t read_cargo(const sr_system_t *system, esp_self_reflasher_cargo_t *cargo)
{
    sr_flash_reader_window_t window;
    sr_cargo_t found = {0};
    const sr_region_t place = system->running_partition;
    const sr_reader_t app = sr_flash_reader(&window, &system->flash, place.address, place.size);
    esp_err_t err = find(&app, &found);
    if (err == ESP_OK) {
        err = read_settings(&app, found.settings, cargo);
    }
    if (err == ESP_OK && found.bundle.size > 0) {
        cargo->bundle = (addr_region_t){place.address + found.bundle.address, found.bundle.size};
    }
    return window.err != ESP_OK ? window.err : err;
}

esp_err_t esp_self_reflasher_find_cargo(esp_self_reflasher_cargo_t *cargo)
{
    sr_system_t system;
    ESP_RETURN_ON_FALSE(cargo != NULL, ESP_ERR_INVALID_ARG, TAG, "refused: cargo is NULL");
    memset(cargo, 0, sizeof(*cargo));
    esp_err_t err = sr_system_read(&system);
    if (err == ESP_OK) {
        err = system.running_partition.size > 0 ? read_cargo(&system, cargo) : ESP_ERR_NOT_FOUND;
    }
    if (err != ESP_OK) {
        memset(cargo, 0, sizeof(*cargo));
        return err;
    }
    ESP_LOGI(TAG, "cargo: %" PRIu32 " bytes of settings, bundle of %u bytes at 0x%" PRIx32, cargo->settings_size,
             (unsigned)cargo->bundle.region_size, cargo->bundle.region_address);
    return ESP_OK;
}

const char *esp_self_reflasher_cargo_setting(const esp_self_reflasher_cargo_t *cargo, const char *name)
{
    if (cargo == NULL || name == NULL) {
        return NULL;
    }
    return sr_cargo_setting(cargo->settings, cargo->settings_size, name);
}
