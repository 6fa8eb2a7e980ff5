// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

typedef struct esp_ip4_addr {
    uint32_t addr; /**< In network order. */
} esp_ip4_addr_t;

typedef struct esp_ip6_addr {
    uint32_t addr[4];
    uint8_t zone;
} esp_ip6_addr_t;

typedef struct _ip_addr {
    union {
        esp_ip6_addr_t ip6;
        esp_ip4_addr_t ip4;
    } u_addr;
    uint8_t type; /**< ESP_IPADDR_TYPE_... */
} esp_ip_addr_t;

#define ESP_IPADDR_TYPE_V4 0U
#define ESP_IPADDR_TYPE_V6 6U

#define IPSTR "%d.%d.%d.%d"

#define esp_ip4_addr_get_byte(ipaddr, idx) (((const uint8_t *)(&(ipaddr)->addr))[idx])
#define IP2STR(ipaddr)                                                                                                 \
    esp_ip4_addr_get_byte(ipaddr, 0), esp_ip4_addr_get_byte(ipaddr, 1), esp_ip4_addr_get_byte(ipaddr, 2),              \
        esp_ip4_addr_get_byte(ipaddr, 3)
#define ESP_IP4TOADDR(a, b, c, d)                                                                                      \
    ((uint32_t)(d) << 24 | (uint32_t)(c) << 16 | (uint32_t)(b) << 8 | (uint32_t)(a)) /* Little-endian hosts. */
