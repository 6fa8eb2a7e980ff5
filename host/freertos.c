// SPDX-License-Identifier: Apache-2.0
#include "sim_state.h"

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <pthread.h>

#define MAX_TASKS 16u
/* A chip that waited this long, without touching flash or network, will not do anything any more. */
#define IDLE_TICKS ((uint64_t)600 * configTICK_RATE_HZ)

struct sim_task {
    TaskFunction_t code;
    void *parameters;
    bool runs; /* False: ended, or waits forever. */
};

/* Task 0 is the main task. Exactly one task has the turn, so only passing the turn on needs the lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t turn_passed;
    struct sim_task tasks[MAX_TASKS];
    unsigned count;
    unsigned turn;
    uint64_t idle_ticks;
    uint64_t activity; /* At the last delay. */
} scheduler = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{.runs = true}}, 1, 0, 0, 0};

/* Hands the turn to the next task that runs, in the order of their creation; ends the boot if there is none. */
static void pass_turn(void)
{
    for (unsigned step = 1; step <= scheduler.count; step++) {
        const unsigned candidate = (scheduler.turn + step) % scheduler.count;
        if (scheduler.tasks[candidate].runs) {
            scheduler.turn = candidate;
            pthread_cond_broadcast(&scheduler.turn_passed);
            return;
        }
    }
    sim_end_boot(SIM_END_RETURNED);
}

static void wait_for_turn(unsigned self)
{
    while (scheduler.turn != self) {
        pthread_cond_wait(&scheduler.turn_passed, &scheduler.lock);
    }
}

static void let_others_run(void)
{
    pthread_mutex_lock(&scheduler.lock);
    const unsigned self = scheduler.turn;
    pass_turn();
    wait_for_turn(self);
    pthread_mutex_unlock(&scheduler.lock);
}

/* For the thread of a task that will never run again: it stays until the process ends. */
static void stop_here(void)
{
    pthread_mutex_lock(&scheduler.lock);
    const unsigned self = scheduler.turn;
    scheduler.tasks[self].runs = false;
    pass_turn();
    wait_for_turn(self);
    pthread_mutex_unlock(&scheduler.lock);
}

static void *task_thread(void *context)
{
    struct sim_task *task = context;
    pthread_mutex_lock(&scheduler.lock);
    wait_for_turn((unsigned)(task - scheduler.tasks));
    pthread_mutex_unlock(&scheduler.lock);
    task->code(task->parameters);
    sim_panic("a FreeRTOS task returned instead of deleting itself");
}

BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                       UBaseType_t priority, TaskHandle_t *created_task)
{
    sim_flash_code(__func__);
    (void)name;
    (void)stack_depth;
    (void)priority;
    if (scheduler.count == MAX_TASKS) {
        return pdFAIL;
    }
    struct sim_task *task = &scheduler.tasks[scheduler.count];
    *task = (struct sim_task){.code = code, .parameters = parameters, .runs = true};
    pthread_t thread;
    if (pthread_create(&thread, NULL, task_thread, task) != 0) {
        return pdFAIL;
    }
    pthread_detach(thread);
    scheduler.count++;
    if (created_task != NULL) {
        *created_task = task;
    }
    return pdPASS;
}

void vTaskDelete(TaskHandle_t task)
{
    sim_flash_code(__func__);
    if (task != NULL && task != &scheduler.tasks[scheduler.turn]) {
        sim_panic("vTaskDelete() of another task is not simulated");
    }
    stop_here();
}

/* Grows with everything that an app does to the outside. */
static uint64_t activity(void)
{
    const sim_counters_t *counters = sim_counters();
    const uint64_t network = counters->bytes_downloaded + counters->http_requests;
    if (!sim_state.attached) {
        return network;
    }
    const nor_stats_t stats = nor_flash_stats(sim_state.config.flash);
    return network + stats.operations + stats.bytes_read;
}

static bool chip_idles(TickType_t ticks)
{
    const uint64_t now = activity();
    scheduler.idle_ticks = now == scheduler.activity ? scheduler.idle_ticks + ticks : ticks;
    scheduler.activity = now;
    return scheduler.idle_ticks >= IDLE_TICKS;
}

void vTaskDelay(TickType_t ticks)
{
    sim_flash_code(__func__);
    if (sim_state.suspended > 0) {
        sim_panic("vTaskDelay() while the scheduler is suspended");
    }
    sim_rest();
    sim_timers();
    if (ticks == portMAX_DELAY) {
        stop_here();
    } else if (chip_idles(ticks)) {
        sim_end_boot(SIM_END_RETURNED);
    }
    let_others_run();
}

void vTaskSuspendAll(void)
{
    sim_flash_code(__func__);
    sim_state.suspended++;
}

BaseType_t xTaskResumeAll(void)
{
    sim_flash_code(__func__);
    if (sim_state.suspended == 0) {
        sim_panic("xTaskResumeAll() without vTaskSuspendAll()");
    }
    sim_state.suspended--;
    return pdFALSE;
}

void sim_tasks_run_out(void)
{
    bool others = false;
    for (unsigned i = 1; i < scheduler.count; i++) {
        others = others || scheduler.tasks[i].runs;
    }
    if (others) {
        stop_here();
    }
}
