// SPDX-License-Identifier: Apache-2.0
#include "test/support/http_server.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT TEST_SOURCE_DIR "/program/http_server.py"

static void exec_server(const char *root, const char *cert, const char *key, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    if (cert != NULL) {
        execl(TEST_PYTHON, TEST_PYTHON, SCRIPT, root, "--cert", cert, "--key", key, (char *)NULL);
    } else {
        execl(TEST_PYTHON, TEST_PYTHON, SCRIPT, root, (char *)NULL);
    }
    _exit(127);
}

/* 0 if the server said none. */
static uint16_t read_port(int fd)
{
    char line[16] = "";
    FILE *stream = fdopen(fd, "r");
    bool good = stream != NULL && fgets(line, sizeof(line), stream) != NULL;
    if (stream != NULL) {
        fclose(stream);
    }
    return good ? (uint16_t)strtoul(line, NULL, 10) : 0;
}

bool http_server_start(http_server_t *server, const char *root, const char *cert, const char *key)
{
    int in[2];
    int out[2];
    curl_global_init(CURL_GLOBAL_DEFAULT); /* Here once, instead of in each app that is started. */
    /* Close-on-exec: another server must not hold this one's stdin open. */
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        return false;
    }
    server->pid = fork();
    if (server->pid == 0) {
        exec_server(root, cert, key, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    server->keep_running = in[1];
    server->tls = cert != NULL;
    server->port = read_port(out[0]);
    if (server->pid < 0 || server->port == 0) {
        http_server_stop(server);
        return false;
    }
    return true;
}

void http_server_stop(http_server_t *server)
{
    close(server->keep_running);
    if (server->pid > 0) {
        waitpid(server->pid, NULL, 0);
    }
}

const char *http_server_url(const http_server_t *server, const char *path)
{
    static char urls[4][1024];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, sizeof(urls[0]), "%s://127.0.0.1:%u%s", server->tls ? "https" : "http", server->port, path);
    return url;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock >= 0 && connect(sock, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(sock);
        return -1;
    }
    return sock;
}

/* What the server answers, head and body, for free(); NULL if it does not. */
static char *ask(const http_server_t *server, const char *path)
{
    char request[64];
    const int length = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", path);
    int sock = connect_to(server->port);
    FILE *stream = sock >= 0 ? fdopen(sock, "r") : NULL;
    if (stream == NULL) {
        return NULL;
    }
    char *response = NULL;
    size_t size = 0;
    if (send(sock, request, (size_t)length, MSG_NOSIGNAL) != length || getdelim(&response, &size, '\0', stream) <= 0) {
        free(response);
        response = NULL;
    }
    fclose(stream);
    return response;
}

cJSON *http_server_log(const http_server_t *server)
{
    char *response = ask(server, "/__log");
    const char *body = response != NULL ? strstr(response, "\r\n\r\n") : NULL;
    cJSON *log = body != NULL ? cJSON_Parse(body) : NULL;
    free(response);
    return log;
}

bool http_server_forget(const http_server_t *server)
{
    char *response = ask(server, "/__forget");
    const bool good = response != NULL;
    free(response);
    return good;
}

size_t http_server_requests(const http_server_t *server)
{
    cJSON *log = http_server_log(server);
    size_t count = (size_t)cJSON_GetArraySize(log);
    cJSON_Delete(log);
    return count;
}

static int connection_of(const cJSON *entry)
{
    return cJSON_GetObjectItem(entry, "connection")->valueint;
}

size_t http_server_connections(const http_server_t *server)
{
    cJSON *log = http_server_log(server);
    const cJSON *entry;
    size_t count = 0;
    cJSON_ArrayForEach(entry, log)
    {
        const cJSON *earlier = log->child;
        while (earlier != entry && connection_of(earlier) != connection_of(entry)) {
            earlier = earlier->next;
        }
        count += earlier == entry;
    }
    cJSON_Delete(log);
    return count;
}

bool http_server_make_certificates(const char *dir, const char *name)
{
    static const char FORMAT[] =
        "cd '%1$s' && exec 2>openssl.log && "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=%2$s-ca' "
        "-keyout '%2$s-ca.key' -out '%2$s-ca.pem' && "
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=%2$s' "
        "-addext 'subjectAltName=DNS:localhost,DNS:other.example,IP:127.0.0.1' "
        "-addext 'basicConstraints=critical,CA:FALSE' "
        "-CA '%2$s-ca.pem' -CAkey '%2$s-ca.key' -keyout '%2$s.key' -out '%2$s.pem'";
    char command[2048];
    snprintf(command, sizeof(command), FORMAT, dir, name);
    return system(command) == 0;
}
