// SPDX-License-Identifier: Apache-2.0
/** @file
 * The status page: a web server of the device itself, at http://ADDRESS/. Whoever sees it may be anyone in the network.
 * So it shows no password, takes requests that change something from itself only, and an app only where nothing else is
 * going on.
 */
#pragma once

#include <stdbool.h>

/** After status_init(). @return false: there is no page; the log says why */
bool page_start(void);
