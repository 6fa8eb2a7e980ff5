// SPDX-License-Identifier: Apache-2.0
// Pages and entries: nvs_page.hpp and nvs_types.hpp in ESP-IDF's nvs_flash.
#include "tool/base/content_kind_finders.h"

#include "format/sr_bytes.h"
#include "format/sr_crc32.h"
#include "format/sr_nvs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_HEADER   4u  /**< From here on the checksum counts, */
#define PAGE_CHECKSUM 28u /**< up to here, where it is stored. */
#define TYPE_U8       0x01u
#define KEY_OFFSET    8u
#define KEY_SIZE      16u
#define MOST_NAMES    6u

/** What was counted. */
typedef struct nvs_pages {
    uint32_t pages, used, damaged;
    uint32_t namespaces;
    char names[120];
} nvs_pages_t;

static bool is_page(const uint8_t *page)
{
    const uint32_t state = sr_bytes_get_le32(page);
    const bool known = state == 0xFFFFFFFE || state == 0xFFFFFFFC || state == 0xFFFFFFF8 || state == 0xFFFFFFF0;
    return known && sr_crc32(UINT32_MAX, page + PAGE_HEADER, PAGE_CHECKSUM - PAGE_HEADER) ==
                        sr_bytes_get_le32(page + PAGE_CHECKSUM);
}

static void note_namespace(const uint8_t *entry, nvs_pages_t *pages)
{
    char name[KEY_SIZE + 1];
    content_kind_text_of(entry + KEY_OFFSET, KEY_SIZE, name, sizeof(name));
    const size_t used = strlen(pages->names);
    if (pages->namespaces < MOST_NAMES) {
        (void)snprintf(pages->names + used, sizeof(pages->names) - used, "%s%s", used == 0 ? "" : ", ", name);
    }
    pages->namespaces++;
}

/** Names of namespaces are entries of namespace 0. Where NVS is encrypted, no entry looks like one. */
static void find_namespaces(const uint8_t *page, nvs_pages_t *pages)
{
    for (uint32_t i = 0; i < SR_NVS_ENTRIES;) {
        const uint8_t *entry = page + SR_NVS_AT_ENTRIES + (size_t)i * SR_NVS_ENTRY_SIZE;
        const bool written = sr_nvs_is_written(page, i);
        const bool names = written && entry[0] == 0 && entry[1] == TYPE_U8 && entry[2] == 1;
        if (names) {
            note_namespace(entry, pages);
        }
        const uint32_t span =
            written && entry[2] > 0 && entry[2] <= SR_NVS_ENTRIES ? entry[2] : 1; // else not one of NVS
        i += span;
    }
}

bool content_kind_nvs(const content_kind_input_t *input, content_t *content)
{
    nvs_pages_t pages = {0};
    for (uint32_t at = 0; at + SR_SECTOR_SIZE <= input->size; at += SR_SECTOR_SIZE, pages.pages++) {
        if (is_page(input->bytes + at)) {
            pages.used++;
            find_namespaces(input->bytes + at, &pages);
        } else if (!content_kind_is_blank(input, at, SR_SECTOR_SIZE)) {
            pages.damaged++;
        }
    }
    if (pages.damaged >= pages.used) {
        return false; // no page, or NVS in front of something else
    }
    content->kind = CONTENT_KIND_NVS;
    (void)snprintf(content->facts, sizeof(content->facts), "%" PRIu32 " of %" PRIu32 " pages in use%s%s%s%s",
                   pages.used, pages.pages, pages.damaged == 0 ? "" : ", others damaged",
                   pages.namespaces == 0 ? "" : "; namespaces: ", pages.names,
                   pages.namespaces > MOST_NAMES ? ", ..." : "");
    return true;
}
