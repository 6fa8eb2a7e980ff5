// SPDX-License-Identifier: Apache-2.0
#include "job.h"

#include "esp_flash.h"
#include "sdkconfig.h"

#include <stdlib.h>
#include <string.h>

static void split(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        const bool escaped = in[0] == '\\' && in[1] == 'n';
        *out++ = *in == '\n' ? '\0' : escaped ? '\n' : *in;
        in += escaped;
    }
    *out++ = '\0';
    *out = '\0'; /* at most where the text ended: its last line has an end, too */
}

esp_err_t job_read(job_t *job)
{
    const esp_err_t err = esp_flash_read(NULL, job->text, CONFIG_TEST_JOB_ADDRESS, sizeof(job->text) - 2);
    if (err == ESP_OK) {
        split(job->text);
    }
    return err;
}

bool job_is_first_time(void)
{
    const uint32_t mark = CONFIG_TEST_JOB_ADDRESS + sizeof(((job_t *)NULL)->text) - 1;
    uint8_t byte = 0;
    ESP_ERROR_CHECK(esp_flash_read(NULL, &byte, mark, sizeof(byte)));
    if (byte == 0) {
        return false;
    }
    byte = 0;
    ESP_ERROR_CHECK(esp_flash_write(NULL, &byte, mark, sizeof(byte)));
    return true;
}

const char *job_value(const job_t *job, const char *name)
{
    const size_t length = strlen(name);
    for (const char *line = job->text; *line != '\0'; line += strlen(line) + 1) {
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            return line + length + 1;
        }
    }
    return NULL;
}

bool job_is(const job_t *job, const char *name, const char *value)
{
    const char *found = job_value(job, name);
    return found != NULL && strcmp(found, value) == 0;
}

addr_region_t job_region(const job_t *job, const char *name)
{
    const char *value = job_value(job, name);
    if (value == NULL) {
        return (addr_region_t){0};
    }
    char *end;
    const uint32_t address = strtoul(value, &end, 0);
    return (addr_region_t){address, *end == '+' ? strtoul(end + 1, NULL, 0) : 0};
}
