// SPDX-License-Identifier: Apache-2.0
#include "job.h"

#include "esp_flash.h"
#include "sdkconfig.h"

#include <stdlib.h>
#include <string.h>

static const char LAST_NAME[] = "public_key=";

esp_err_t job_read(job_t *job)
{
    const esp_err_t err = esp_flash_read(NULL, job->text, CONFIG_TEST_JOB_ADDRESS, sizeof(job->text));
    if (err != ESP_OK) {
        return err;
    }
    job->text[sizeof(job->text) - 1] = '\0';
    for (char *c = job->text; *c != '\0' && strncmp(c, LAST_NAME, strlen(LAST_NAME)) != 0; c++) {
        c += strcspn(c, "\n");
        if (*c == '\0') {
            break;
        }
        *c = '\0';
    }
    return ESP_OK;
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
