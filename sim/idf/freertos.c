// SPDX-License-Identifier: Apache-2.0
#include "sim/chip/sim_state.h"
#include "sim/chip/sim_task.h"

#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include <pthread.h>
#include <string.h>

#define MAX_TASKS 16u
#define NAME_SIZE 16u
#define NEVER     UINT64_MAX
/* A chip that waited this long, without touching flash or network, will not do anything any more. */
#define IDLE_TICKS ((uint64_t)600 * configTICK_RATE_HZ)

struct sim_task {
    TaskFunction_t code;
    void *parameters;
    char name[NAME_SIZE];
    uint32_t stack_depth;
    UBaseType_t priority;
    bool runs;                 /* False: ended. */
    bool suspended;            /* By vTaskSuspend(). */
    uint64_t wake;             /* In ticks: when it is due at the latest, whatever it waits for. */
    sim_condition_t condition; /* NULL: it waits for the time only. */
    void *context;
    uint32_t notified; /* Its notification. */
    bool notification_pending;
};

/* Task 0 is the main task. Exactly one task runs, so only switching tasks needs the lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t turn_passed;
    struct sim_task tasks[MAX_TASKS];
    unsigned count;
    unsigned turn;
    uint64_t now;      /* Ticks that were waited. */
    uint64_t active;   /* `now` when something happened last. */
    uint64_t activity; /* The value of that counter then. */
} scheduler = {PTHREAD_MUTEX_INITIALIZER,
               PTHREAD_COND_INITIALIZER,
               {{.name = "main", .priority = 1, .runs = true}},
               1,
               0,
               0,
               0,
               0};

static struct sim_task *current(void)
{
    return &scheduler.tasks[scheduler.turn];
}

static bool is_due(const struct sim_task *task)
{
    return task->runs && !task->suspended &&
           (task->wake <= scheduler.now || (task->condition != NULL && task->condition(task->context)));
}

/* Grows with everything that an app does to flash or network. */
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

/* Nobody is due now: goes to the time when the first one is. Ends the boot if that is never, or if nothing but waiting
 * has happened for so long. */
static void pass_time(void)
{
    uint64_t first = NEVER;
    for (unsigned i = 0; i < scheduler.count; i++) {
        const struct sim_task *task = &scheduler.tasks[i];
        if (task->runs && !task->suspended && task->wake < first) {
            first = task->wake;
        }
    }
    const uint64_t timer = sim_next_timer();
    if (timer != NEVER && scheduler.now + timer < first) {
        first = scheduler.now + timer;
    }
    const uint64_t seen = activity();
    if (seen != scheduler.activity) {
        scheduler.activity = seen;
        scheduler.active = scheduler.now;
    }
    if (first == NEVER || first - scheduler.active >= IDLE_TICKS) {
        sim_end_boot(SIM_END_RETURNED);
    }
    scheduler.now = first;
    sim_timers();
}

/* Switches to the next task that is due, in the order of their creation. */
static void pass_turn(void)
{
    for (;;) {
        for (unsigned step = 1; step <= scheduler.count; step++) {
            const unsigned candidate = (scheduler.turn + step) % scheduler.count;
            if (is_due(&scheduler.tasks[candidate])) {
                scheduler.turn = candidate;
                pthread_cond_broadcast(&scheduler.turn_passed);
                return;
            }
        }
        pass_time();
    }
}

static void wait_for_turn(unsigned self)
{
    while (scheduler.turn != self) {
        pthread_cond_wait(&scheduler.turn_passed, &scheduler.lock);
    }
}

/* The calling task goes on when it is due. */
static void block(sim_condition_t condition, void *context, TickType_t ticks)
{
    if (sim_state.suspended > 0) {
        sim_panic("a task waits while the scheduler is suspended");
    }
    sim_rest();
    sim_timers();
    pthread_mutex_lock(&scheduler.lock);
    const unsigned self = scheduler.turn;
    struct sim_task *task = &scheduler.tasks[self];
    task->condition = condition;
    task->context = context;
    task->wake = ticks == portMAX_DELAY ? NEVER : scheduler.now + ticks;
    pass_turn();
    wait_for_turn(self);
    task->condition = NULL;
    task->wake = scheduler.now;
    pthread_mutex_unlock(&scheduler.lock);
}

bool sim_wait(sim_condition_t condition, void *context, TickType_t ticks)
{
    if (!condition(context) && ticks > 0) {
        block(condition, context, ticks);
    }
    return condition(context);
}

/* For the thread of a task that will never run again: it stays until the process ends. */
static void stop_here(void)
{
    current()->runs = false;
    block(NULL, NULL, portMAX_DELAY);
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

/* The thread of a task that ended waits for ever, so its place is not used again. */
BaseType_t xTaskCreate(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                       UBaseType_t priority, TaskHandle_t *created_task)
{
    sim_flash_code(__func__);
    if (scheduler.count == MAX_TASKS) {
        return pdFAIL;
    }
    struct sim_task *task = &scheduler.tasks[scheduler.count];
    *task = (struct sim_task){.code = code,
                              .parameters = parameters,
                              .stack_depth = stack_depth,
                              .priority = priority,
                              .runs = true,
                              .wake = scheduler.now};
    strncpy(task->name, name != NULL ? name : "", NAME_SIZE - 1);
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

BaseType_t xTaskCreatePinnedToCore(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                                   UBaseType_t priority, TaskHandle_t *created_task, BaseType_t core_id)
{
    (void)core_id;
    return xTaskCreate(code, name, stack_depth, parameters, priority, created_task);
}

static struct sim_task *or_current(TaskHandle_t task)
{
    sim_flash_code(__func__);
    return task != NULL ? task : current();
}

void vTaskDelete(TaskHandle_t task)
{
    if (or_current(task) == current()) {
        stop_here();
    }
    task->runs = false;
}

void vTaskDelay(TickType_t ticks)
{
    sim_flash_code(__func__);
    block(NULL, NULL, ticks > 0 ? ticks : 1);
}

BaseType_t xTaskDelayUntil(TickType_t *previous_wake_time, TickType_t time_increment)
{
    *previous_wake_time += time_increment;
    const TickType_t left = *previous_wake_time - xTaskGetTickCount();
    if (left == 0 || left > time_increment) {
        return pdFALSE; /* The time has passed already. */
    }
    vTaskDelay(left);
    return pdTRUE;
}

uint64_t sim_waited_us(void)
{
    return scheduler.now * (1000000u / configTICK_RATE_HZ);
}

TickType_t xTaskGetTickCount(void)
{
    sim_flash_code(__func__);
    const uint64_t flash_us = sim_state.attached ? nor_flash_stats(sim_state.config.flash).typical_us : 0;
    return (TickType_t)((sim_waited_us() + flash_us) / (1000000u / configTICK_RATE_HZ));
}

TaskHandle_t xTaskGetCurrentTaskHandle(void)
{
    return or_current(NULL);
}

char *pcTaskGetName(TaskHandle_t task)
{
    return or_current(task)->name;
}

UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task)
{
    return or_current(task)->stack_depth;
}

UBaseType_t uxTaskPriorityGet(TaskHandle_t task)
{
    return or_current(task)->priority;
}

eTaskState eTaskGetState(TaskHandle_t task)
{
    const struct sim_task *asked = or_current(task);
    if (asked == current()) {
        return eRunning;
    }
    if (!asked->runs) {
        return eDeleted;
    }
    return asked->suspended ? eSuspended : asked->wake > scheduler.now ? eBlocked : eReady;
}

void vTaskSuspend(TaskHandle_t task)
{
    struct sim_task *suspended = or_current(task);
    suspended->suspended = true;
    if (suspended == current()) {
        block(NULL, NULL, 0);
    }
}

void vTaskResume(TaskHandle_t task)
{
    or_current(task)->suspended = false;
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

/* Notifications: index 0 only. */

BaseType_t xTaskNotify(TaskHandle_t task, uint32_t value, eNotifyAction action)
{
    sim_flash_code(__func__);
    const bool taken = action != eSetValueWithoutOverwrite || !task->notification_pending;
    switch (taken ? action : eNoAction) {
    case eSetBits:
        task->notified |= value;
        break;
    case eIncrement:
        task->notified++;
        break;
    case eSetValueWithOverwrite:
    case eSetValueWithoutOverwrite:
        task->notified = value;
        break;
    case eNoAction:
        break;
    }
    task->notification_pending = true;
    return taken ? pdPASS : pdFAIL;
}

static bool is_notified(void *context)
{
    const struct sim_task *task = context;
    return task->notified != 0;
}

static bool is_pending(void *context)
{
    const struct sim_task *task = context;
    return task->notification_pending;
}

uint32_t ulTaskNotifyTake(BaseType_t clear_count_on_exit, TickType_t ticks_to_wait)
{
    struct sim_task *task = or_current(NULL);
    (void)sim_wait(is_notified, task, ticks_to_wait);
    const uint32_t value = task->notified;
    task->notified = clear_count_on_exit != pdFALSE || value == 0 ? 0 : value - 1;
    task->notification_pending = false;
    return value;
}

BaseType_t xTaskNotifyWait(uint32_t clear_on_entry, uint32_t clear_on_exit, uint32_t *value, TickType_t ticks_to_wait)
{
    struct sim_task *task = or_current(NULL);
    if (!task->notification_pending) {
        task->notified &= ~clear_on_entry;
    }
    const bool came = sim_wait(is_pending, task, ticks_to_wait);
    if (value != NULL) {
        *value = task->notified;
    }
    if (came) {
        task->notified &= ~clear_on_exit;
    }
    task->notification_pending = false;
    return came ? pdTRUE : pdFALSE;
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
