// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

typedef int8_t err_t;

#define ERR_OK 0
