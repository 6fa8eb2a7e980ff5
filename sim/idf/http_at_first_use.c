// SPDX-License-Identifier: Apache-2.0
/** @file
 * libcurl and libmicrohttpd, loaded when the first of their functions is called: with the thirty libraries that they
 * need they take longer to load than most commands of the program take, and each start of a simulated app is a fork(),
 * which copies what is loaded. What is not here is not linked: another function of theirs needs a line.
 */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <microhttpd.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define MISSING 127 /* The exit status of a program whose libraries are not all there. */

static void *find(_Atomic(void *) *found, const char *library, const char *name)
{
    void *known = *found;
    if (known != NULL) {
        return known;
    }
    void *handle = dlopen(library, RTLD_NOW); /* The same one each time. */
    void *function = handle != NULL ? dlsym(handle, name) : NULL;
    if (function == NULL) {
        fprintf(stderr, "HTTP needs %s, which cannot be loaded: %s\n", library, dlerror());
        _exit(MISSING);
    }
    *found = function;
    return function;
}

/* FORWARD(library, result, name, (parameters), (arguments)): a function that calls the library's of the same name. */
#define FUNCTION(library, name) find(&found, library, #name)
#define FORWARD(library, result, name, parameters, arguments)                                                          \
    result(name) parameters                                                                                            \
    {                                                                                                                  \
        static _Atomic(void *) found;                                                                                  \
        return ((__typeof__(&(name)))FUNCTION(library, name))arguments;                                                \
    }

/* Later versions of libcurl say const. */
typedef __typeof__(_Generic(&(curl_url_dup), CURLU *(*)(CURLU *) : (CURLU *)NULL, default : (const CURLU *)NULL)) url_t;

/* One line for each function. */
// clang-format off
FORWARD(LIBCURL, CURLcode, curl_global_init, (long flags), (flags))
FORWARD(LIBCURL, void, curl_free, (void *memory), (memory))
FORWARD(LIBCURL, struct curl_slist *, curl_slist_append, (struct curl_slist *list, const char *text), (list, text))
FORWARD(LIBCURL, void, curl_slist_free_all, (struct curl_slist *list), (list))

FORWARD(LIBCURL, CURL *, curl_easy_init, (void), ())
FORWARD(LIBCURL, void, curl_easy_cleanup, (CURL *easy), (easy))
FORWARD(LIBCURL, CURLcode, curl_easy_perform, (CURL *easy), (easy))
FORWARD(LIBCURL, CURLcode, curl_easy_pause, (CURL *easy, int directions), (easy, directions))
FORWARD(LIBCURL, const char *, curl_easy_strerror, (CURLcode code), (code))

FORWARD(LIBCURL, CURLM *, curl_multi_init, (void), ())
FORWARD(LIBCURL, CURLMcode, curl_multi_cleanup, (CURLM *multi), (multi))
FORWARD(LIBCURL, CURLMcode, curl_multi_add_handle, (CURLM *multi, CURL *easy), (multi, easy))
FORWARD(LIBCURL, CURLMcode, curl_multi_remove_handle, (CURLM *multi, CURL *easy), (multi, easy))
FORWARD(LIBCURL, CURLMcode, curl_multi_perform, (CURLM *multi, int *running), (multi, running))
FORWARD(LIBCURL, CURLMsg *, curl_multi_info_read, (CURLM *multi, int *left), (multi, left))
FORWARD(LIBCURL, CURLMcode, curl_multi_poll,
        (CURLM *multi, struct curl_waitfd more[], unsigned count, int ms, int *active), (multi, more, count, ms, active))

FORWARD(LIBCURL, CURLU *, curl_url, (void), ())
FORWARD(LIBCURL, void, curl_url_cleanup, (CURLU *url), (url))
FORWARD(LIBCURL, CURLU *, curl_url_dup, (url_t url), (url))
FORWARD(LIBCURL, CURLUcode, curl_url_get, (url_t url, CURLUPart part, char **text, unsigned flags), (url, part, text, flags))
FORWARD(LIBCURL, CURLUcode, curl_url_set,
        (CURLU *url, CURLUPart part, const char *text, unsigned flags), (url, part, text, flags))
FORWARD(LIBCURL, const char *, curl_url_strerror, (CURLUcode code), (code))

FORWARD(LIBMICROHTTPD, void, MHD_stop_daemon, (struct MHD_Daemon *daemon), (daemon))
FORWARD(LIBMICROHTTPD, enum MHD_Result, MHD_run_wait, (struct MHD_Daemon *daemon, int32_t ms), (daemon, ms))
FORWARD(LIBMICROHTTPD, const char *, MHD_lookup_connection_value,
        (struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key), (connection, kind, key))
FORWARD(LIBMICROHTTPD, struct MHD_Response *, MHD_create_response_from_buffer,
        (size_t size, void *bytes, enum MHD_ResponseMemoryMode mode), (size, bytes, mode))
FORWARD(LIBMICROHTTPD, enum MHD_Result, MHD_add_response_header,
        (struct MHD_Response *response, const char *header, const char *content), (response, header, content))
FORWARD(LIBMICROHTTPD, enum MHD_Result, MHD_queue_response,
        (struct MHD_Connection *connection, unsigned status, struct MHD_Response *response), (connection, status, response))
FORWARD(LIBMICROHTTPD, void, MHD_destroy_response, (struct MHD_Response *response), (response))
FORWARD(LIBMICROHTTPD, const union MHD_DaemonInfo *, MHD_get_daemon_info,
        (struct MHD_Daemon *daemon, enum MHD_DaemonInfoType type, ...), (daemon, type))
// clang-format on

/* The third argument: a number of 64 bits where its option says so, else something that fits a pointer. */
CURLcode(curl_easy_setopt)(CURL *easy, CURLoption option, ...)
{
    static _Atomic(void *) found;
    __typeof__(&(curl_easy_setopt)) function = FUNCTION(LIBCURL, curl_easy_setopt);
    va_list arguments;
    va_start(arguments, option);
    const int is_wide = option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB;
    const curl_off_t number = is_wide ? va_arg(arguments, curl_off_t) : 0;
    void *other = is_wide ? NULL : va_arg(arguments, void *);
    const CURLcode code = is_wide ? function(easy, option, number) : function(easy, option, other);
    va_end(arguments);
    return code;
}

CURLcode(curl_easy_getinfo)(CURL *easy, CURLINFO info, ...)
{
    static _Atomic(void *) found;
    va_list arguments;
    va_start(arguments, info);
    const CURLcode code =
        ((__typeof__(&(curl_easy_getinfo)))FUNCTION(LIBCURL, curl_easy_getinfo))(easy, info, va_arg(arguments, void *));
    va_end(arguments);
    return code;
}

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accepts,
                                    void *accept_context, MHD_AccessHandlerCallback answers, void *answer_context, ...)
{
    static _Atomic(void *) found;
    va_list options;
    va_start(options, answer_context);
    struct MHD_Daemon *daemon = ((__typeof__(&(MHD_start_daemon_va)))FUNCTION(LIBMICROHTTPD, MHD_start_daemon_va))(
        flags, port, accepts, accept_context, answers, answer_context, options);
    va_end(options);
    return daemon;
}
