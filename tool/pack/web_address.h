// SPDX-License-Identifier: Apache-2.0
/** @file
 * URLs of files on web servers, read by libcurl: RFC 3986. Nothing is sent from here.
 */
#pragma once

#include <stdbool.h>

/** True if the text is a URL and no path: it begins with a scheme and "://". */
bool web_address_is(const char *text);

/** True for a URL from web_address_resolve() whose scheme is https. */
bool web_address_is_https(const char *url);

/**
 * Tells why a URL is none that a client on a device can be given: http or https, with a host, in ASCII.
 * @return NULL, or the problem.
 */
const char *web_address_problem(const char *url);

/**
 * Finds what a reference means in a file that has a URL itself, as a browser does: spaces are encoded, a fragment
 * is dropped.
 * @param base URL of that file; NULL: @p reference is a whole URL.
 * @param[out] url An http or https URL, owned by the caller; NULL if there is a problem.
 * @return NULL, or the problem: not http or https, a password, not a URL.
 */
const char *web_address_resolve(const char *base, const char *reference, char **url);
