// SPDX-License-Identifier: Apache-2.0
/** @file
 * SHA-256 of long ranges that are asked for again and again: an exploration boots the same few images thousands of
 * times. Bytes that were digested are kept, and compared in full, so that an answer from memory is as good as a digest.
 */
#pragma once

#include "format/sr_sha256.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Gives what sr_digest() gives. Keeps copies of the last few ranges until the process ends; not for threads. */
bool digest_memo(const uint8_t *bytes, size_t length, uint8_t digest[SR_SHA256_SIZE]);
