// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"

#include "driver/gpio.h"

static struct {
    gpio_mode_t mode;
    bool pulled_up;
    bool level;
} pins[GPIO_NUM_MAX];

static bool is_pin(gpio_num_t gpio_num)
{
    sim_flash_code(__func__);
    return gpio_num >= 0 && gpio_num < GPIO_NUM_MAX;
}

esp_err_t gpio_set_direction(gpio_num_t gpio_num, gpio_mode_t mode)
{
    if (!is_pin(gpio_num)) {
        return ESP_ERR_INVALID_ARG;
    }
    pins[gpio_num].mode = mode;
    return ESP_OK;
}

esp_err_t gpio_set_pull_mode(gpio_num_t gpio_num, gpio_pull_mode_t pull)
{
    if (!is_pin(gpio_num)) {
        return ESP_ERR_INVALID_ARG;
    }
    pins[gpio_num].pulled_up = pull == GPIO_PULLUP_ONLY || pull == GPIO_PULLUP_PULLDOWN;
    return ESP_OK;
}

esp_err_t gpio_config(const gpio_config_t *config)
{
    if (config == NULL || config->pin_bit_mask == 0) {
        return ESP_ERR_INVALID_ARG;
    }
    if (config->intr_type != GPIO_INTR_DISABLE) {
        return ESP_ERR_NOT_SUPPORTED;
    }
    const bool up = config->pull_up_en == GPIO_PULLUP_ENABLE;
    for (gpio_num_t pin = 0; pin < GPIO_NUM_MAX; pin++) {
        if ((config->pin_bit_mask >> pin & 1) != 0) {
            (void)gpio_set_direction(pin, config->mode);
            (void)gpio_set_pull_mode(pin, up ? GPIO_PULLUP_ONLY : GPIO_FLOATING);
        }
    }
    return ESP_OK;
}

esp_err_t gpio_reset_pin(gpio_num_t gpio_num)
{
    const esp_err_t err = gpio_set_direction(gpio_num, GPIO_MODE_DISABLE);
    return err == ESP_OK ? gpio_set_pull_mode(gpio_num, GPIO_PULLUP_ONLY) : err;
}

esp_err_t gpio_set_level(gpio_num_t gpio_num, uint32_t level)
{
    if (!is_pin(gpio_num)) {
        return ESP_ERR_INVALID_ARG;
    }
    pins[gpio_num].level = level != 0;
    return ESP_OK;
}

int gpio_get_level(gpio_num_t gpio_num)
{
    if (!is_pin(gpio_num) || (pins[gpio_num].mode & GPIO_MODE_INPUT) == 0) {
        return 0;
    }
    return (pins[gpio_num].mode & GPIO_MODE_OUTPUT) != 0 ? pins[gpio_num].level : pins[gpio_num].pulled_up;
}
