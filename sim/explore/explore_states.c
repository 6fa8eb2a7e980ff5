// SPDX-License-Identifier: Apache-2.0
#include "sim/explore/explore_internal.h"

#include "format/sr_boot_choice.h"
#include "format/sr_partition_table.h"
#include "sim/boot/boot_plain.h"
#include "sim/nor/flash_buffer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** Operations are given out in portions, small enough that all processes end at about the same time. */
#define PORTION 16u

/** What the processes share. */
typedef struct board {
    unsigned next; /**< First state that no process works on yet. */
    unsigned done;
    unsigned nested;
    explore_state_t states[];
} board_t;

typedef struct worker {
    const explore_config_t *config;
    const explore_trace_t *trace;
    const uint8_t *final;
    board_t *board;
    explore_starts_t starts;           /**< Of the uncut run. */
    explore_boot_writes_t boot_writes; /**< Of the flash before and of the one in the end. */
    uint8_t *role;                     /**< For each sector: an explore_role_t. */
    boot_classifier_t classifier;
    explore_cursor_t cursor;
    nor_flash_t *flash;
    uint8_t *state;
} worker_t;

/** How far a flash is from the target. */
typedef enum rest {
    REST_NOTHING,
    REST_ERASE, /**< Sectors that must be blank are not: a staged record, after its commit. */
    REST_CONTENT,
} rest_t;

/** @param[out] where The first sector that does not have the target's content. */
static rest_t what_is_left(const worker_t *worker, const uint8_t *flash, uint32_t *where)
{
    rest_t rest = REST_NOTHING;
    for (uint32_t at = 0; at < worker->config->size; at += SR_SECTOR_SIZE) {
        const uint8_t *now = flash + at;
        const explore_role_t role = (explore_role_t)worker->role[at / SR_SECTOR_SIZE];
        const uint8_t *wanted = role == EXPLORE_ROLE_KEPT ? worker->config->flash : worker->final;
        if (role == EXPLORE_ROLE_FREE || memcmp(now, wanted + at, SR_SECTOR_SIZE) == 0 ||
            explore_is_boot_write(&worker->boot_writes, at, now)) {
            continue;
        }
        *where = rest == REST_NOTHING ? at : *where;
        if (role == EXPLORE_ROLE_KEPT || !nor_is_erased(worker->final + at, SR_SECTOR_SIZE)) {
            return REST_CONTENT;
        }
        rest = REST_ERASE;
    }
    return rest;
}

static bool is_new_system(const worker_t *worker, const boot_result_t *boot)
{
    const boot_result_t *wanted = &worker->classifier.new_system;
    return boot_succeeds(boot) && boot_same_code(&boot->bootloader, &wanted->bootloader) &&
           boot_same_code(&boot->app, &wanted->app);
}

static const char *end_text(const sim_report_t *report)
{
    static const char *const texts[] = {"restarts without end", "returns", "loses its power", "crashes"};
    return texts[report->last_end];
}

/** Classifies a run that went on after a power loss. */
static bool has_converged(const worker_t *worker, const sim_report_t *report, explore_state_t *state)
{
    uint32_t where = 0;
    if (report->stopped) {
        return true; // an app starts from scratch: from here on it does what it did in the uncut run
    }
    if (what_is_left(worker, nor_flash_view(worker->flash), &where) != REST_NOTHING) {
        snprintf(state->reason, sizeof(state->reason),
                 "the app %s after %u boots, and the sector at 0x%" PRIx32 " is not right", end_text(report),
                 report->boots, where);
        return false;
    }
    if (!is_new_system(worker, &report->after) || (!report->other_app && report->last_end != SIM_END_RETURNED)) {
        snprintf(state->reason, sizeof(state->reason), "the flash is complete, but the app %s after %u boots: %s",
                 end_text(report), report->boots, report->after.reason);
        return false;
    }
    return true;
}

static void tell_why_not(const worker_t *worker, explore_state_t *state)
{
    const boot_classifier_t *classifier = &worker->classifier;
    const bool known = !classifier->has_looked || classifier->last.outcome != BOOT_NOT_KNOWN;
    snprintf(state->reason, sizeof(state->reason), "%s: %s",
             known ? "neither the old nor the new system boots" : "not known whether the old or the new system boots",
             classifier->has_looked ? classifier->last.reason : "none of their bootloaders is there");
}

static void look(worker_t *worker, const uint8_t *flash, bool in_commit, unsigned losses, explore_state_t *state);

static uint32_t scatter(uint32_t value)
{
    value = (value ^ (value >> 16)) * 0x7FEB352Du;
    value = (value ^ (value >> 15)) * 0x846CA68Bu;
    return value ^ (value >> 16);
}

/** A cut in a run that goes on after another cut, drawn by where that one was. */
static explore_power_loss_t draw_cut(const explore_state_t *state, const explore_trace_t *trace)
{
    uint32_t random = scatter(state->loss.operation * 31u + state->loss.seed * 7u + (uint32_t)state->loss.when);
    for (unsigned i = 0; i < state->nested_count; i++) {
        random = scatter(random + state->nested[i].operation);
    }
    const uint32_t kind = scatter(random) % (NOR_TORN_STATES + 1);
    const explore_power_loss_t before = {.operation = random % trace->count, .when = NOR_POWER_LOSS_BEFORE};
    const explore_power_loss_t inside = {
        .operation = random % trace->count, .when = NOR_POWER_LOSS_INSIDE, .seed = kind - 1};
    return kind == 0 ? before : inside;
}

// NOLINTBEGIN(misc-no-recursion): as deep as there are power losses in one trace, a few.
/** Cuts the run that went on. What the cut leaves takes the place of the state that it started from, which nobody needs
 * any more: memory for a flash is costly to get. */
static void cut_again(worker_t *worker, explore_trace_t *trace, unsigned losses, explore_state_t *state)
{
    const explore_power_loss_t loss = draw_cut(state, trace);
    if (!explore_mark_commits(worker->config, trace, worker->final, loss.operation)) {
        abort(); // the parent finds out
    }
    if (!explore_make_state(trace, &worker->config->chip, &loss, worker->state)) {
        abort();
    }
    explore_state_t next = *state;
    next.nested[next.nested_count++] = loss;
    (void)__atomic_fetch_add(&worker->board->nested, 1, __ATOMIC_SEQ_CST);
    look(worker, worker->state, explore_power_loss_in_commit(trace, &loss), losses - 1, &next);
    if (next.failed) {
        *state = next;
    }
}

/** Lets the app that boots go on. @return true if it finishes */
static bool go_on(worker_t *worker, const uint8_t *flash, unsigned losses, explore_state_t *state)
{
    nor_flash_load(worker->flash, flash);
    if (losses <= 1) { // its state before this is not needed any more
        sim_report_t report;
        return explore_run_on(worker->config, worker->flash, &worker->starts, &report) &&
               has_converged(worker, &report, state);
    }
    explore_trace_t trace;
    const bool ran = explore_trace_run(worker->config, worker->flash, UINT32_MAX, &trace);
    const bool converged = ran && has_converged(worker, &trace.report, state);
    if (converged && trace.count > 0) {
        cut_again(worker, &trace, losses, state);
    }
    explore_trace_free(&trace);
    return converged;
}

static void look_at_new(worker_t *worker, const uint8_t *flash, rest_t rest, bool in_commit, explore_state_t *state)
{
    if (rest == REST_NOTHING) {
        state->outcome = EXPLORE_NEW_COMPLETE;
        return;
    }
    // only what ESP-IDF's bootloader starts can be an app with this component
    const bool finishes = worker->classifier.new_system.loader == BOOT_LOADER_IDF && go_on(worker, flash, 1, state);
    state->outcome = finishes ? EXPLORE_NEW_LEFT_TO_NEW : EXPLORE_NEW_LEFT_TO_NOBODY;
    state->failed = rest == REST_CONTENT && !in_commit;
}

static bool table_has_md5(const worker_t *worker, const uint8_t *flash)
{
    const explore_config_t *config = worker->config;
    sr_partition_table_t table;
    uint32_t offset = 0;
    return boot_plain_table(&config->chip, flash, config->size, &offset, &table) && table.has_md5;
}

/** Bootloaders take a table that was torn between two entries, before its MD5. An app's ESP-IDF takes it for none, and
 * the app finds no partition. Where one of the systems has no MD5, it was built not to ask. */
static bool app_finds_partitions(const worker_t *worker, const uint8_t *flash)
{
    return table_has_md5(worker, flash) || !table_has_md5(worker, worker->config->flash) ||
           !table_has_md5(worker, worker->final);
}

/** What selects an app may differ from the flash before; nothing else. */
static bool is_untouched(const worker_t *worker, const uint8_t *flash, uint32_t *where)
{
    const explore_config_t *config = worker->config;
    uint32_t offset = 0;
    sr_partition_table_t table;
    (void)boot_plain_table(&config->chip, config->flash, config->size, &offset, &table);
    const sr_partition_table_entry_t *otadata = sr_boot_choice_otadata(&table);
    const sr_region_t may_differ = otadata != NULL ? (sr_region_t){otadata->address, otadata->size} : (sr_region_t){0};
    for (*where = 0; *where < config->size; *where += SR_SECTOR_SIZE) {
        if (!sr_region_overlaps((sr_region_t){*where, SR_SECTOR_SIZE}, may_differ) &&
            memcmp(flash + *where, config->flash + *where, SR_SECTOR_SIZE) != 0) {
            return false;
        }
    }
    return true;
}

/** The bootloader that starts encrypts the flash, whatever is in it; and nobody finds a record there afterwards. */
static void look_at_first_start(rest_t rest, uint32_t where, explore_state_t *state)
{
    state->outcome = rest == REST_NOTHING ? EXPLORE_NEW_COMPLETE
                     : rest == REST_ERASE ? EXPLORE_NEW_LEFT_TO_NOBODY
                                          : EXPLORE_OLD_STUCK;
    state->failed = rest == REST_CONTENT;
    if (state->failed) {
        snprintf(state->reason, sizeof(state->reason),
                 "the new bootloader starts and encrypts the flash, and the sector at 0x%" PRIx32
                 " is not right: afterwards nobody goes on",
                 where);
    }
}

/** Boots what a power loss left, and lets it go on. */
static void look(worker_t *worker, const uint8_t *flash, bool in_commit, unsigned losses, explore_state_t *state)
{
    uint32_t where = 0;
    boot_result_t boot;
    const boot_verdict_t verdict = boot_classifier_classify(&worker->classifier, flash, &boot);
    const rest_t rest = what_is_left(worker, flash, &where);
    state->in_commit = in_commit;
    state->reason[0] = '\0';
    if (verdict != BOOT_NEITHER && !app_finds_partitions(worker, flash)) {
        state->outcome = EXPLORE_DOES_NOT_BOOT;
        state->failed = !in_commit;
        snprintf(state->reason, sizeof(state->reason),
                 "the app starts, and finds no partition: the table lost its MD5");
        return;
    }
    uint32_t changed = 0;
    if (verdict != BOOT_NEITHER && boot_classifier_is_back(&worker->classifier, &boot) &&
        is_untouched(worker, flash, &changed)) {
        state->outcome = EXPLORE_WENT_BACK; // also if that app is the new one: only otadata is different
        return;
    }
    if (verdict != BOOT_NEITHER && boot.encrypts) {
        look_at_first_start(rest, where, state);
        return;
    }
    switch (verdict) {
    case BOOT_NEITHER:
        state->outcome = EXPLORE_DOES_NOT_BOOT;
        state->failed = !in_commit;
        tell_why_not(worker, state);
        return;
    case BOOT_BACK:
        state->outcome = EXPLORE_WENT_BACK;
        state->failed = true;
        snprintf(state->reason, sizeof(state->reason),
                 "the app before boots again, but the sector at 0x%" PRIx32 " is not as it was", changed);
        return;
    case BOOT_NEW:
        look_at_new(worker, flash, rest, in_commit, state);
        if (state->failed) {
            snprintf(state->reason, sizeof(state->reason),
                     "the new system boots, but the sector at 0x%" PRIx32 " is not right", where);
        }
        return;
    case BOOT_OLD:
        state->outcome = rest == REST_NOTHING ? EXPLORE_NEW_COMPLETE : EXPLORE_OLD_FINISHES;
        if (!go_on(worker, flash, losses, state)) {
            state->outcome = EXPLORE_OLD_STUCK;
            state->failed = true;
        }
        return;
    }
}
// NOLINTEND(misc-no-recursion)

static void work(worker_t *worker, uint32_t count)
{
    for (uint32_t first; (first = __atomic_fetch_add(&worker->board->next, PORTION, __ATOMIC_SEQ_CST)) < count;) {
        for (uint32_t i = first; i < first + PORTION && i < count; i++) {
            explore_state_t *state = &worker->board->states[i];
            if (state->same_as == EXPLORE_NOT_SHARED) {
                const uint8_t *flash = explore_cursor_at(&worker->cursor, &state->loss);
                look(worker, flash, state->in_commit, worker->config->losses, state);
            }
            (void)__atomic_fetch_add(&worker->board->done, 1, __ATOMIC_SEQ_CST);
        }
    }
}

/** A process of its own: never returns. */
static void run_worker(worker_t *worker, uint32_t count)
{
    const explore_config_t *config = worker->config;
    worker->flash = nor_flash_new(config->size, config->timing);
    worker->state = flash_buffer_new(config->size);
    if (worker->flash == NULL || worker->state == NULL ||
        !explore_find_starts(worker->trace, &config->chip, &worker->starts) ||
        !boot_classifier_open(&worker->classifier, &config->chip, config->size, config->flash, worker->final) ||
        !explore_cursor_open(&worker->cursor, worker->trace, &config->chip)) {
        _exit(EXIT_FAILURE);
    }
    boot_classifier_accept(&worker->classifier, &worker->trace->report.app);
    work(worker, count);
    fflush(NULL);
    _exit(EXIT_SUCCESS);
}

/** Waits for a process and tells how far all of them are. @return true if it did its work */
static bool wait_for(pid_t process, const worker_t *worker, uint32_t count)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(process, &status, WNOHANG)) == 0) {
        if (worker->config->progress != NULL) {
            worker->config->progress(worker->config->progress_context,
                                     __atomic_load_n(&worker->board->done, __ATOMIC_SEQ_CST), count);
        }
        nanosleep(&pause, NULL);
    }
    return ended == process && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool run_workers(worker_t *worker, uint32_t count)
{
    const unsigned wanted = worker->config->workers > 0 ? worker->config->workers : 1;
    pid_t *processes = calloc(wanted, sizeof(*processes));
    bool done = processes != NULL;
    unsigned started = 0;
    fflush(NULL);
    while (done && started < wanted) {
        processes[started] = fork();
        if (processes[started] == 0) {
            run_worker(worker, count);
        }
        done = processes[started] > 0;
        started += done;
    }
    for (unsigned i = 0; i < started; i++) {
        done = wait_for(processes[i], worker, count) && done;
    }
    free(processes);
    return done;
}

static void count_outcomes(explore_result_t *result)
{
    for (uint32_t i = 0; i < result->state_count; i++) {
        explore_state_t *state = &result->states[i];
        if (state->same_as != EXPLORE_NOT_SHARED) {
            const explore_power_loss_t loss = state->loss;
            const uint32_t same_as = state->same_as;
            *state = result->states[same_as];
            state->loss = loss;
            state->same_as = same_as;
        }
        result->outcomes[state->outcome]++;
        result->failures += state->failed;
    }
}

bool explore_states(const explore_config_t *config, const explore_trace_t *trace, explore_result_t *result)
{
    const size_t states_size = result->state_count * sizeof(explore_state_t);
    const size_t board_size = sizeof(board_t) + states_size;
    void *shared = mmap(NULL, board_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return false;
    }
    worker_t worker = {.config = config, .trace = trace, .final = result->flash, .board = shared};
    worker.role = explore_roles(config, trace, result->flash);
    memcpy(worker.board->states, result->states, states_size);
    const bool done = worker.role != NULL && explore_find_boot_writes(config, config->flash, &worker.boot_writes) &&
                      explore_find_boot_writes(config, result->flash, &worker.boot_writes) &&
                      run_workers(&worker, result->state_count);
    if (done) {
        memcpy(result->states, worker.board->states, states_size);
        result->nested_count = __atomic_load_n(&worker.board->nested, __ATOMIC_SEQ_CST);
        count_outcomes(result);
    }
    explore_boot_writes_free(&worker.boot_writes);
    free(worker.role);
    munmap(shared, board_size);
    return done;
}
