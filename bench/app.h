// SPDX-License-Identifier: Apache-2.0
/** @file
 * The apps that are measured: each is what a device would run, on ESP-IDF's API.
 */
#pragma once

#include "esp_err.h"
#include "tool/run/local_server.h"
#include "scenario.h"

/** What app_main(), which has no parameters, works on. */
typedef struct app_job {
    const scenario_t *scenario;
    char part_urls[SCENARIO_MAX_PARTS][LOCAL_SERVER_URL_SIZE];
    char bundle_url[LOCAL_SERVER_URL_SIZE];
} app_job_t;

/** Writes the images one after another, with the component's image API. */
esp_err_t app_images(const app_job_t *job);
/** Writes everything at once, with the component's bundle API. */
esp_err_t app_bundle(const app_job_t *job);
/**
 * The usual script: the start of a download erases the whole staging partition, the image is written
 * there as it comes, then the whole destination is erased and the image copied in pieces of 1 KiB. An image that is in
 * flash already is copied the same way.
 */
esp_err_t app_classic(const app_job_t *job);
