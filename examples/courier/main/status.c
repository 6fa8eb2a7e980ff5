// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include "online.h"
#include "slots.h"

#include "esp_ota_ops.h"
#include "freertos/FreeRTOS.h"
#include "freertos/semphr.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS     5000u /* The page asks each second. */
#define INTERVAL_MS 200u
#define NAME_SIZE   72u

static struct {
    SemaphoreHandle_t lock;
    status_stage_t stage;
    char reason[320];
    bool has_plan, has_event, looked, uploads;
    bool at_boot_path; /* Half of it may be written: only this app puts that right. */
    esp_self_reflasher_plan_t plan;
    esp_self_reflasher_event_t event;
    esp_self_reflasher_event_data_t numbers;
    const esp_partition_t *old_app; /* NULL: none is offered. */
    char old_name[NAME_SIZE];
    status_wish_t wish;
    TickType_t last; /* When somebody looked, or the offer began. */
} status;

static void lock(void)
{
    (void)xSemaphoreTake(status.lock, portMAX_DELAY);
}

static void unlock(void)
{
    (void)xSemaphoreGive(status.lock);
}

bool status_init(void)
{
    status.lock = xSemaphoreCreateMutex();
    return status.lock != NULL;
}

/* What the main task tells. */

void status_set_stage(status_stage_t stage)
{
    lock();
    status.stage = stage;
    unlock();
}

void status_set_plan(const esp_self_reflasher_plan_t *plan)
{
    lock();
    status.plan = *plan;
    status.has_plan = true;
    unlock();
}

void status_set_event(esp_self_reflasher_event_t event, const esp_self_reflasher_event_data_t *data)
{
    lock();
    status.event = event;
    status.numbers = *data;
    status.has_event = true;
    status.at_boot_path = status.at_boot_path || event == ESP_SELF_REFLASHER_EVENT_COMMIT;
    unlock();
}

void status_set_reason(const char *reason)
{
    lock();
    snprintf(status.reason, sizeof(status.reason), "%s", reason);
    unlock();
}

static uint32_t ms_since_last(void)
{
    return (uint32_t)(xTaskGetTickCount() - status.last) * portTICK_PERIOD_MS;
}

bool status_is_watched(void)
{
    lock();
    const bool watched = status.looked && ms_since_last() < LOOK_MS;
    unlock();
    return watched;
}

static void offer(status_stage_t stage, const esp_partition_t *old_app)
{
    char name[NAME_SIZE] = "";
    if (old_app != NULL) {
        slots_name(old_app, name, sizeof(name));
    }
    lock();
    status.stage = stage;
    status.old_app = old_app;
    memcpy(status.old_name, name, sizeof(name));
    status.wish = STATUS_NOTHING;
    status.last = xTaskGetTickCount();
    unlock();
}

/* The decision and the end of the offer are one: what is accepted is done. */
static bool is_over(uint32_t patience_ms, status_wish_t *wish)
{
    lock();
    *wish = status.wish;
    const bool over =
        !status.uploads && (*wish != STATUS_NOTHING || (patience_ms != UINT32_MAX && ms_since_last() >= patience_ms));
    if (over) {
        status.stage = STATUS_ENDS;
    }
    unlock();
    return over;
}

status_wish_t status_offer(status_stage_t stage, const esp_partition_t *old_app, uint32_t patience_ms)
{
    status_wish_t wish;
    offer(stage, old_app);
    while (!is_over(patience_ms, &wish)) {
        vTaskDelay(pdMS_TO_TICKS(INTERVAL_MS));
    }
    return wish;
}

/* What the web server's task asks. */

static bool is_possible(status_wish_t wish)
{
    const bool offers = (status.stage == STATUS_ASKS || status.stage == STATUS_STAYS) && !status.uploads &&
                        status.wish == STATUS_NOTHING;
    switch (wish) {
    case STATUS_BEGIN:
        return offers && status.stage == STATUS_ASKS;
    case STATUS_GO_BACK:
        return offers && status.old_app != NULL;
    case STATUS_RESTART:
        return offers && status.stage == STATUS_STAYS;
    case STATUS_NOTHING:
        break;
    }
    return offers;
}

bool status_wish(status_wish_t wish)
{
    lock();
    const bool possible = is_possible(wish);
    if (possible) {
        status.wish = wish;
    }
    unlock();
    return possible;
}

bool status_begin_upload(void)
{
    lock();
    const bool possible = is_possible(STATUS_NOTHING) && !status.at_boot_path;
    status.uploads = status.uploads || possible;
    unlock();
    return possible;
}

void status_lose(const esp_partition_t *partition)
{
    lock();
    if (status.old_app == partition) {
        status.old_app = NULL;
    }
    unlock();
}

void status_end_upload(bool good)
{
    lock();
    status.uploads = false;
    status.wish = good ? STATUS_RESTART : STATUS_NOTHING;
    status.last = xTaskGetTickCount();
    unlock();
}

/* The same as text. */

/** JSON that grows. */
typedef struct text {
    char *bytes;
    size_t size, length;
} text_t;

__attribute__((format(printf, 2, 3))) static void put(text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text->bytes + text->length, text->size - text->length, format, arguments);
    va_end(arguments);
    const size_t room = text->size - text->length - 1;
    text->length += length > 0 && (size_t)length < room ? (size_t)length : room;
}

/* Bytes of the character that starts here; 0: this is no UTF-8. */
static unsigned utf8_length(const char *text)
{
    const uint8_t first = (uint8_t)text[0];
    const unsigned length = first < 0x80   ? 1
                            : first < 0xC2 ? 0
                            : first < 0xE0 ? 2
                            : first < 0xF0 ? 3
                            : first < 0xF5 ? 4
                                           : 0;
    for (unsigned i = 1; i < length; i++) {
        if (((uint8_t)text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    const uint8_t second = length > 1 ? (uint8_t)text[1] : 0;
    const bool out_of_range = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                              (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return out_of_range ? 0 : length;
}

/* Names come from whoever made them. What means something in JSON or HTML is escaped, and what is no text replaced. */
static void put_string(text_t *text, const char *name, const char *value)
{
    put(text, "\"%s\":\"", name);
    while (*value != '\0') {
        const unsigned length = utf8_length(value);
        if (length > 1) {
            put(text, "%.*s", (int)length, value);
        } else if (length == 0) {
            put(text, "\\ufffd");
        } else if (*value < ' ' || strchr("\"\\<>&'\x7f", *value) != NULL) {
            put(text, "\\u%04x", (unsigned)*value);
        } else {
            put(text, "%c", *value);
        }
        value += length > 0 ? length : 1;
    }
    put(text, "\",");
}

static void put_plan(text_t *text)
{
    const esp_self_reflasher_plan_t *plan = &status.plan;
    put(text,
        "\"plan\":{\"total\":%" PRIu32 ",\"write\":%" PRIu32 ",\"download\":%" PRIu32 ",\"flash_ms\":%" PRIu32
        ",\"window_ms\":%" PRIu32 ",\"window_ms_maximum\":%" PRIu32 ",\"moves\":%s},",
        plan->sectors_total, plan->sectors_to_write, plan->bytes_to_download, plan->flash_ms_typical,
        plan->window_ms_typical + plan->relocation_ms_typical, plan->window_ms_maximum + plan->relocation_ms_maximum,
        plan->must_relocate ? "true" : "false");
}

static void put_progress(text_t *text)
{
    static const char *const phases[] = {
        [ESP_SELF_REFLASHER_EVENT_CHECK] = "check",   [ESP_SELF_REFLASHER_EVENT_PREPARE] = "prepare",
        [ESP_SELF_REFLASHER_EVENT_STAGE] = "stage",   [ESP_SELF_REFLASHER_EVENT_COMMIT] = "commit",
        [ESP_SELF_REFLASHER_EVENT_RETRY] = "retry",   [ESP_SELF_REFLASHER_EVENT_DONE] = "done",
        [ESP_SELF_REFLASHER_EVENT_FAILED] = "failed",
    };
    put(text, "\"phase\":\"%s\",\"done\":%" PRIu32 ",\"of\":%" PRIu32 ",\"downloaded\":%" PRIu32 ",",
        phases[status.event], status.numbers.sectors_done, status.numbers.sectors_total,
        status.numbers.bytes_downloaded);
}

size_t status_json(char *json, size_t size, const char *token)
{
    static const char *const stages[] = {[STATUS_STARTS] = "starts",
                                         [STATUS_ASKS] = "asks",
                                         [STATUS_WORKS] = "works",
                                         [STATUS_STAYS] = "stays",
                                         [STATUS_ENDS] = "ends"};
    text_t text = {.bytes = json, .size = size};
    const esp_partition_t *slot = esp_ota_get_next_update_partition(NULL);
    lock();
    status.looked = true;
    status.last = xTaskGetTickCount();
    put(&text, "{");
    put_string(&text, "reason", status.reason);
    put_string(&text, "old_app", status.old_app != NULL ? status.old_name : "");
    put_string(&text, "network", online_name());
    if (status.has_plan) {
        put_plan(&text);
    }
    if (status.has_event) {
        put_progress(&text);
    }
    put(&text, "\"stage\":\"%s\",\"room\":%" PRIu32 ",\"chip\":\"%s\",\"token\":\"%s\"}", stages[status.stage],
        slot != NULL && slot != esp_ota_get_running_partition() && !status.at_boot_path ? slot->size : 0,
        CONFIG_IDF_TARGET, token);
    unlock();
    return text.length;
}
