// SPDX-License-Identifier: Apache-2.0
/** @file
 * What the files of the simulated chip share: RAM contents of the boot that runs. Private to them.
 */
#pragma once

#include "sim/chip/sim_chip.h"

#include "esp_app_desc.h"
#include "esp_flash.h"
#include "esp_partition.h"
#include "format/sr_partition_table.h"
#include "format/sr_reader.h"
#include "format/sr_region.h"

#define SIM_DEFAULT_HEAP_LIMIT (200u * 1024u)

typedef struct sim_state {
    bool attached;
    sim_config_t config;
    sim_counters_t *counters; /**< Shared with the other boots of a run; never NULL. */
    esp_flash_t main_flash;
    uint32_t rom_size;     /**< g_rom_flashchip.chip_size: what the bootloader's header says. */
    uint32_t table_offset; /**< Of the partition table, as the running app was built. */
    sr_region_t app;       /**< The running app's image at its true length. */
    uint8_t *app_copy;     /**< Its bytes when it started, as flash holds them. */
    bool *sector_changed;  /**< For each sector that the app touches. */
    uint32_t changed_sectors;
    bool without_os;    /**< The flash driver was told that the scheduler is gone. */
    unsigned suspended; /**< Depth of vTaskSuspendAll(). */
    esp_partition_t partitions[SR_PARTITION_MAX_ENTRIES];
    uint32_t partition_count;
    esp_app_desc_t app_desc;
    bool netif_ready;
    bool event_loop_ready;
    bool watched;    /**< The main task is subscribed to the task watchdog. */
    uint64_t fed_us; /**< When it was fed last. */
    uint32_t work;   /**< Bytes since the idle task could run. */
} sim_state_t;

extern sim_state_t sim_state;

/** sim_chip_attach() with counters that outlive the process. */
bool sim_attach_with(const sim_config_t *config, sim_counters_t *counters);
sim_counters_t *sim_counters_new(void);
void sim_counters_delete(sim_counters_t *counters);

/** Tells that flash was changed, so that the running app's bytes are compared with those that started. */
void sim_flash_changed(uint32_t address, uint32_t length);

/** Panics if the task watchdog was not fed for too long. Called when time has passed. */
void sim_watch(void);

/** Reads flash as the chip's cache shows it: decrypted if the chip encrypts its flash. */
void sim_read_plain(uint32_t address, void *out, size_t length);

/** Counts bytes that were read, inflated or received: work that the chip does without waiting for anything. */
void sim_work(size_t bytes);

/** Calls back for the timers that are due. */
void sim_timers(void);
/** Ticks until the first timer is due; UINT64_MAX: none runs. */
uint64_t sim_next_timer(void);

/** The task waits, and the idle task runs. */
void sim_rest(void);

/** Ends the boot that runs, and with it the process; outside of sim_call() and sim_run() that is a mistake of the
 *  caller, and ends in abort(). */
void sim_end_boot(sim_end_t end) __attribute__((noreturn));
/** Says why on stderr, then ends the boot. */
void sim_panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** Time that all tasks waited, together, in this boot. */
uint64_t sim_waited_us(void);

/** Runs the other tasks until each has ended or waits forever; called when the main task has ended. */
void sim_tasks_run_out(void);

/** Flash offset of the bootloader that started the app. */
uint32_t sim_bootloader_offset(void);

/** Window over the flash as the chip's cache sees it: decrypted if flash encryption is on. */
typedef struct sim_window {
    uint32_t address;
} sim_window_t;
sr_reader_t sim_reader(sim_window_t *window, uint32_t address, uint32_t size);
