// SPDX-License-Identifier: Apache-2.0
/** @file
 * A station of the Wi-Fi access that the cargo names. NVS is left alone: what is in there is the old system's, and may
 * be meant for the new one.
 */
#pragma once

#include <stdbool.h>

/**
 * Connects, and keeps the connection.
 * @param password NULL: the access has none.
 * @return false if there was no connection within a minute; the log says why.
 */
bool online_start(const char *ssid, const char *password);
