// SPDX-License-Identifier: Apache-2.0
#include "tool/pack/web_address.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stddef.h>
#include <string.h>

#define LENIENT (CURLU_URLENCODE | CURLU_ALLOW_SPACE)

bool web_address_is(const char *text)
{
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    return isalpha((unsigned char)text[0]) && strncmp(text + strspn(text, scheme), "://", 3) == 0;
}

bool web_address_is_https(const char *url)
{
    return strncmp(url, "https:", strlen("https:")) == 0;
}

static const char *resolve(CURLU *handle, const char *base, const char *reference, char **url)
{
    CURLUcode code = base == NULL ? CURLUE_OK : curl_url_set(handle, CURLUPART_URL, base, LENIENT);
    if (code == CURLUE_OK) {
        code = curl_url_set(handle, CURLUPART_URL, reference, LENIENT | CURLU_DISALLOW_USER);
    }
    if (code == CURLUE_OK) {
        code = curl_url_set(handle, CURLUPART_FRAGMENT, NULL, 0);
    }
    char *whole = NULL;
    if (code == CURLUE_OK) {
        code = curl_url_get(handle, CURLUPART_URL, &whole, 0);
    }
    if (code == CURLUE_OK && strncmp(whole, "http:", strlen("http:")) != 0 && !web_address_is_https(whole)) {
        code = CURLUE_UNSUPPORTED_SCHEME;
    }
    *url = code == CURLUE_OK ? strdup(whole) : NULL;
    curl_free(whole);
    switch (code) {
    case CURLUE_OK:
        return *url == NULL ? curl_url_strerror(CURLUE_OUT_OF_MEMORY) : NULL;
    case CURLUE_UNSUPPORTED_SCHEME:
        return "is not fetched: only http and https are";
    case CURLUE_USER_NOT_ALLOWED:
        return "is not fetched: no user name or password is sent; download it in another way, and name the file "
               "instead of the URL";
    default:
        return curl_url_strerror(code);
    }
}

/** A client on a device sends a URL as it is: nothing in it may need encoding. */
static bool is_plain(const char *url)
{
    while (*url > ' ' && *url < 0x7F) {
        url++;
    }
    return *url == '\0';
}

const char *web_address_problem(const char *url)
{
    if (strncmp(url, "http://", strlen("http://")) != 0 && strncmp(url, "https://", strlen("https://")) != 0) {
        return "begins with neither http:// nor https://";
    }
    if (!is_plain(url)) {
        return "only visible characters of ASCII are sent: others are written as %XX, a space as %20";
    }
    if (strcspn(strchr(url, '/') + 2, "/?#") == 0) { // curl would take http:///x for http://x
        return curl_url_strerror(CURLUE_NO_HOST);
    }
    CURLU *handle = curl_url();
    const CURLUcode code = handle != NULL ? curl_url_set(handle, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    curl_url_cleanup(handle);
    return code == CURLUE_OK ? NULL : curl_url_strerror(code);
}

const char *web_address_resolve(const char *base, const char *reference, char **url)
{
    CURLU *handle = curl_url();
    *url = NULL;
    if (handle == NULL) {
        return curl_url_strerror(CURLUE_OUT_OF_MEMORY);
    }
    const char *problem = resolve(handle, base, reference, url);
    curl_url_cleanup(handle);
    return problem;
}
