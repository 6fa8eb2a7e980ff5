// SPDX-License-Identifier: Apache-2.0
/** @file What the component's sources need of lwIP's header, to compile them for RISC-V without ESP-IDF. */
#pragma once

#define AF_UNSPEC 0
#define AF_INET   2
#define AF_INET6  10
