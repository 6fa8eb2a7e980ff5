// SPDX-License-Identifier: Apache-2.0
/** @file
 * The way to a network: as a station of the access that the cargo names, or that the old system has left in NVS; or as
 * an access point that is the device's own. Nothing is kept in NVS: what is in there is the old system's, and may be
 * meant for the new one.
 */
#pragma once

#include <stdbool.h>

/**
 * Begins to connect, and keeps the connection.
 * @param ssid NULL: the access that ESP-IDF's driver has kept in NVS.
 * @param password NULL: the access has none.
 * @return false if there is no access, or no Wi-Fi; the log says why.
 */
bool online_start(const char *ssid, const char *password);

/** @return false if there is no connection within a minute; the log says so. */
bool online_wait(void);

/**
 * Opens an access point instead, whose name ends with the device's address.
 * @param password Of 8 bytes or more. NULL: none is opened, since whoever is near could take the device.
 * @return false if there is none; the log says why.
 */
bool online_open_access_point(const char *password);

/** Name of the network that the device is in, or has opened; empty if there is none. Not who gave that name decides
 *  what is in it. */
const char *online_name(void);
