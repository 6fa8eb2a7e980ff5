// SPDX-License-Identifier: Apache-2.0
/** @file The host's sockets. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>
