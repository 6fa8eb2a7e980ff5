// SPDX-License-Identifier: Apache-2.0
#include "tool/run/local_server.h"

#include "tool/base/number.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct local_server {
    pid_t process; /**< A process of its own: a thread would make it unsafe to fork the simulated chip. */
    int lifeline;  /**< Pipe: tells the port; the server ends when the other end is closed. */
    uint16_t port;
};

/** What is served. */
typedef struct file_list {
    const image_file_t *files;
    size_t count;
} file_list_t;

static const image_file_t *find_file(const file_list_t *list, const char *url)
{
    uint32_t index = 0;
    bool found = url[0] == '/' && number_parse(url + 1, &index) && index < list->count;
    return found && list->files[index].bytes != NULL ? &list->files[index] : NULL;
}

/** The part of a file that a request asks for. @return the response's status */
static unsigned find_range(const char *header, uint32_t size, uint32_t *first, uint32_t *length)
{
    char *rest = NULL;
    *first = 0;
    *length = size;
    // a server may ignore a range that it does not accept
    if (header == NULL || strncmp(header, "bytes=", 6) != 0 || !isdigit((unsigned char)header[6])) {
        return MHD_HTTP_OK;
    }
    unsigned long long start = strtoull(header + 6, &rest, 10);
    unsigned long long last = *rest == '-' && rest[1] != '\0' ? strtoull(rest + 1, &rest, 10) : size - 1u;
    if (start >= size || last < start) {
        *length = 0;
        return MHD_HTTP_RANGE_NOT_SATISFIABLE;
    }
    *first = (uint32_t)start;
    *length = (uint32_t)((last < size ? last + 1 : size) - start);
    return MHD_HTTP_PARTIAL_CONTENT;
}

static struct MHD_Response *part_of_file(const image_file_t *file, const char *range, unsigned *status)
{
    uint32_t first;
    uint32_t length;
    char content_range[64];
    *status = find_range(range, file->size, &first, &length);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, file->bytes + first, MHD_RESPMEM_PERSISTENT);
    if (response != NULL && *status == MHD_HTTP_PARTIAL_CONTENT) {
        snprintf(content_range, sizeof(content_range), "bytes %" PRIu32 "-%" PRIu32 "/%" PRIu32, first,
                 first + length - 1, file->size);
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, content_range);
    }
    return response;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *upload, size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    static char seen;
    if (*state == NULL) {
        *state = &seen; // a response to the first call, which brings the headers alone, would end the connection
        return MHD_YES;
    }
    const image_file_t *file = find_file(context, url);
    bool reads = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    unsigned status = reads ? MHD_HTTP_NOT_FOUND : MHD_HTTP_METHOD_NOT_ALLOWED;
    struct MHD_Response *response;
    if (reads && file != NULL) {
        const char *range = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_RANGE);
        response = part_of_file(file, range, &status);
    } else {
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/** The server process: never returns. */
static void serve(file_list_t list, int lifeline)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, &list,
                         MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = daemon == NULL ? NULL : MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (info != NULL && write(lifeline, &info->port, sizeof(info->port)) == (ssize_t)sizeof(info->port)) {
        char nothing;
        while (read(lifeline, &nothing, 1) < 0 && errno == EINTR) {
        }
    }
    if (daemon != NULL) {
        MHD_stop_daemon(daemon);
    }
    _exit(0);
}

local_server_t *local_server_start(const image_file_t *files, size_t count)
{
    int ends[2];
    local_server_t *server = calloc(1, sizeof(*server));
    if (server == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        free(server);
        return NULL;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT); // here once, instead of in each app that asks this server
    fflush(NULL);
    server->lifeline = ends[0];
    server->process = fork();
    if (server->process == 0) {
        close(ends[0]);
        serve((file_list_t){files, count}, ends[1]);
    }
    close(ends[1]);
    if (server->process < 0 || read(ends[0], &server->port, sizeof(server->port)) != (ssize_t)sizeof(server->port)) {
        local_server_stop(server);
        return NULL;
    }
    return server;
}

void local_server_stop(local_server_t *server)
{
    if (server == NULL) {
        return;
    }
    close(server->lifeline);
    if (server->process > 0) {
        waitpid(server->process, NULL, 0);
    }
    free(server);
}

const char *local_server_url(const local_server_t *server, size_t index, char out[LOCAL_SERVER_URL_SIZE])
{
    snprintf(out, LOCAL_SERVER_URL_SIZE, "http://127.0.0.1:%u/%zu", (unsigned)server->port, index);
    return out;
}
