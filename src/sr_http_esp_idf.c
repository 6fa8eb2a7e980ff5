// SPDX-License-Identifier: Apache-2.0
#include "sr_http_esp_idf.h"

#include "self_reflasher_err.h"

#include "esp_log.h"

#include <stdbool.h>

#define DEFAULT_MAX_REDIRECTS 10 /**< As esp_http_client, for a config that says 0. */
#define DEFAULT_MAX_AUTH      2  /**< The second one is for a digest whose nonce has expired. */

static const char *TAG = "self_reflasher";

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int limit(int configured, int fallback)
{
    return configured == 0 ? fallback : configured;
}

static esp_err_t request_once(esp_http_client_handle_t client, sr_http_answer_t *answer)
{
    const esp_err_t err = esp_http_client_open(client, 0);
    if (err != ESP_OK) {
        return err;
    }
    const int64_t announced = esp_http_client_fetch_headers(client);
    if (announced == -ESP_ERR_HTTP_EAGAIN) {
        return ESP_ERR_HTTP_EAGAIN;
    }
    if (announced < 0) {
        return ESP_ERR_HTTP_FETCH_HEADER;
    }
    /* 0 stands for both: chunked, and no length given. An empty body is noticed when it has been read. */
    answer->length = announced > 0 ? announced : -1;
    answer->status = esp_http_client_get_status_code(client);
    return ESP_OK;
}

esp_err_t sr_http_request(esp_http_client_handle_t client, const esp_http_client_config_t *config,
                          sr_http_answer_t *answer)
{
    int redirects = limit(config->max_redirection_count, DEFAULT_MAX_REDIRECTS);
    int authorizations = limit(config->max_authorization_retries, DEFAULT_MAX_AUTH);
    *answer = (sr_http_answer_t){.length = -1};
    for (;;) {
        esp_err_t err = request_once(client, answer);
        if (err != ESP_OK || answer->status == 200 || answer->status == 206) {
            return err;
        }
        if (is_redirect(answer->status) && !config->disable_auto_redirect) {
            if (redirects-- <= 0) {
                ESP_LOGE(TAG, "too many redirects");
                return ESP_ERR_HTTP_MAX_REDIRECT;
            }
            err = esp_http_client_set_redirection(client);
        } else if (answer->status == 401 && authorizations-- > 0) {
            esp_http_client_add_auth(client);
        } else {
            err = ESP_ERR_SELF_REFLASHER_HTTP_STATUS;
        }
        if (err != ESP_OK) {
            ESP_LOGE(TAG, "server answered with status %d", answer->status);
            return ESP_ERR_SELF_REFLASHER_HTTP_STATUS;
        }
        (void)esp_http_client_close(client);
    }
}
