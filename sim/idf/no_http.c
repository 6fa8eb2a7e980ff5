// SPDX-License-Identifier: Apache-2.0
/** @file
 * A chip without HTTP, linked in place of esp_http_client.c by programs that use the component but no server: libcurl
 * and its thirty libraries would be copied by each of their forks, of which an exploration makes thousands, and one
 * with them takes four times as long. A call of any of its functions is a mistake of the program, and ends it.
 */
#include "esp_http_client.h"

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void no_http(const char *function)
{
    fprintf(stderr, "%s(): this program is linked without HTTP\n", function);
    abort();
}

// NOLINTBEGIN(misc-unused-parameters)
#pragma GCC diagnostic ignored "-Wunused-parameter"

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config)
{
    no_http(__func__);
}

esp_err_t esp_http_client_perform(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_url(esp_http_client_handle_t client, const char *url)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value)
{
    no_http(__func__);
}

esp_err_t esp_http_client_get_header(esp_http_client_handle_t client, const char *key, char **value)
{
    no_http(__func__);
}

esp_err_t esp_http_client_delete_header(esp_http_client_handle_t client, const char *key)
{
    no_http(__func__);
}

esp_err_t esp_http_client_get_user_data(esp_http_client_handle_t client, void **data)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_user_data(esp_http_client_handle_t client, void *data)
{
    no_http(__func__);
}

int esp_http_client_get_errno(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_method(esp_http_client_handle_t client, esp_http_client_method_t method)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_timeout_ms(esp_http_client_handle_t client, int timeout_ms)
{
    no_http(__func__);
}

esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len)
{
    no_http(__func__);
}

int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client)
{
    no_http(__func__);
}

bool esp_http_client_is_chunked_response(esp_http_client_handle_t client)
{
    no_http(__func__);
}

int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len)
{
    no_http(__func__);
}

int esp_http_client_get_status_code(esp_http_client_handle_t client)
{
    no_http(__func__);
}

int64_t esp_http_client_get_content_length(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_close(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_set_redirection(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_reset_redirect_counter(esp_http_client_handle_t client)
{
    no_http(__func__);
}

esp_err_t esp_http_client_add_auth(esp_http_client_handle_t client)
{
    no_http(__func__);
}

bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client)
{
    no_http(__func__);
}

int esp_http_client_read_response(esp_http_client_handle_t client, char *buffer, int len)
{
    no_http(__func__);
}

esp_err_t esp_http_client_flush_response(esp_http_client_handle_t client, int *len)
{
    no_http(__func__);
}

esp_err_t esp_http_client_get_url(esp_http_client_handle_t client, char *url, const int len)
{
    no_http(__func__);
}
// NOLINTEND(misc-unused-parameters)
