// SPDX-License-Identifier: Apache-2.0
/** @file
 * The simulated chip that the ESP-IDF functions of this folder act on: one per process.
 *
 * Two ways to use it. Tests call sim_chip_attach() and then the component, in sim_call() where the chip may restart,
 * crash or lose its power: outside of it there is no boot that could end, and abort() is called. Programs made of an
 * unchanged `app_main()` call sim_run(): each boot is a child process, so that RAM is as empty after a restart as it
 * is on a chip, and what the app leaves is the flash alone.
 */
#pragma once

#include "sim/boot/boot_model.h"
#include "sim/nor/nor_flash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sim_config {
    boot_chip_t chip;     /**< Kind and revision. */
    nor_flash_t *flash;   /**< Owned by the caller. */
    uint32_t running_app; /**< Flash offset of the app that runs; sim_run() finds it by booting if UINT32_MAX. */
    bool recovered;       /**< The recovery bootloader started that app; sim_run() finds out by booting. */
    bool before_v5_2;     /**< The app was built with an ESP-IDF before v5.2, whose flash driver takes no notice of the
                               flag `readonly` of a partition. */
    uint32_t heap_limit;  /**< Bytes that heap_caps_malloc() gives out at most; 0: 200 KiB. */
    bool after_brownout;  /**< The first boot of a run comes after a brownout, not after power-on. */
    bool quiet;           /**< No ESP_LOG output. */
    /** May be NULL. sim_run() asks before each boot but the first; true: there it ends. */
    bool (*stop)(void *context);
    void *stop_context;
} sim_config_t;

/** Counters of a run, shared by all of its boots. */
typedef struct sim_counters {
    uint64_t bytes_downloaded; /**< Body bytes that esp_http_client handed out or discarded. */
    uint32_t http_requests;
    uint32_t heap_peak; /**< Most bytes that heap_caps_malloc() had given out at any time of any boot. */
    uint32_t heap_now;  /**< Bytes not freed yet. */
    uint32_t restarts;
    uint32_t open_clients; /**< esp_http_client handles that were not cleaned up. */
    uint32_t longest_work; /**< Bytes read from flash, inflated and received in the longest stretch in which the idle
                                task could not run. */
} sim_counters_t;

/** Attaches this process to a chip and reads its partition table, as a boot does before app_main().
 *  @return false if the configuration makes no sense (running app outside the flash, no table). */
bool sim_chip_attach(const sim_config_t *config);
void sim_chip_detach(void);
/** The configuration in force, or NULL. */
const sim_config_t *sim_chip(void);
/** Never NULL; those of the attached chip, if there is one. */
sim_counters_t *sim_counters(void);

/** The heap_caps_malloc() with this number, counted from 1 and from now on, gives NULL; 0: none does. */
void sim_heap_fail_at(uint32_t number);

/** Why a boot of the app ended. */
typedef enum sim_end {
    SIM_END_RESTART,  /**< esp_restart() or a reset from RAM. */
    SIM_END_RETURNED, /**< All tasks ended or do nothing but wait: the chip idles. */
    SIM_END_POWER_LOSS,
    SIM_END_PANIC, /**< abort(), failed ESP_ERROR_CHECK, a fault, or code ran from flash that is overwritten. */
} sim_end_t;

/**
 * Runs @p body in a child process with the chip that is attached, so that a test survives a restart or a crash in it.
 *
 * Flash content and counters are shared with the child, everything else that it changes is lost. It must not use the
 * test framework's assertions, which would go on with the other tests in the child.
 * Built with AddressSanitizer, a leak in a body that returns counts as SIM_END_PANIC.
 */
sim_end_t sim_call(void (*body)(void *context), void *context);

typedef struct sim_report {
    unsigned boots; /**< How often the app was started. */
    sim_end_t last_end;
    boot_code_t app;      /**< The app that ran. */
    boot_result_t before; /**< What booted first. */
    boot_result_t after;  /**< What boots at the end. */
    bool other_app;       /**< The app that boots at the end is another one than the one that ran. */
    bool stopped; /**< The run was ended by sim_config_t's stop(); `after` and `other_app` are of the boot before. */
    sim_counters_t counters;
} sim_report_t;

/**
 * Boots the flash and runs @p app_main as the app that boots, again after each restart, until another app boots,
 * nothing boots, app_main returns, the power is cut, or @p max_boots is reached.
 *
 * "The same app" is told by the digest of the app image that ran first. What the boot itself writes to flash, for
 * example an MCUboot swap, is kept for boots whose app is then run; of the boot at the end only the result is kept, so
 * that the flash stays as the app left it.
 * @return true if the run could be made at all (the flash boots at the start, or running_app is given).
 */
bool sim_run(const sim_config_t *config, void (*app_main)(void), unsigned max_boots, sim_report_t *report);

/**
 * Marks that code in flash is about to execute. Every simulated ESP-IDF function that lives in flash on the chip calls
 * this: if the running app's bytes have been changed, or the flash driver was told that the app runs from RAM without
 * the OS, the chip would crash here, and so does the simulation (SIM_END_PANIC).
 */
void sim_flash_code(const char *function);
