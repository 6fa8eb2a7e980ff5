// SPDX-License-Identifier: Apache-2.0
/** @file
 * JSON files of other tools.
 */
#pragma once

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stdint.h>

/**
 * Reads a JSON file: UTF-8, with one value and nothing after it. No text in it has a zero, so none is shorter than it
 * was written.
 * @param[out] json Freed by the caller.
 * @return STATUS_OK, or STATUS_BAD_INPUT after complaining.
 */
int json_file_load(const char *path, cJSON **json);

/** The same for JSON that a tool printed with lines in front of it: what comes before the first line that starts with a
 *  brace is skipped. */
int json_file_load_printed(const char *path, cJSON **json);

/** A member's text, or NULL if there is no such member or it is no text. */
const char *json_text(const cJSON *object, const char *name);

/** An offset as a number, or as text such as "0x1000" or "4096". @return false if it is neither. */
bool json_offset(const cJSON *item, uint32_t *offset);

/** The place of @p path as seen from the folder that @p file is in. @return Owned by the caller; NULL without memory.
 */
char *path_beside(const char *file, const char *path);
