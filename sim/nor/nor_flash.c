// SPDX-License-Identifier: Apache-2.0
#include "sim/nor/nor_flash.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE        256u
#define SECTOR      4096u
#define BLOCK       65536u
#define MAX_SIZE    (32u << 20)
#define MAX_SECTORS (MAX_SIZE / SECTOR)

struct nor_flash {
    uint32_t size;
    const nor_timing_t *timing; /* Static data, at the same address in every forked process. */
    nor_stats_t stats;          /* Times of reads are not in it. */
    uint64_t read_ns;
    nor_power_loss_t loss;
    bool power_is_lost;
    nor_faults_t faults;
    nor_observer_t observer;
    void *observer_context;
    bool loaded[MAX_SECTORS]; /* By nor_flash_load(). */
    uint32_t wear[MAX_SECTORS];
    uint32_t failures[MAX_SECTORS];
    uint8_t bytes[]; /* `size` of them. */
};

/* SplitMix64: small, and good enough that neighbouring seeds give unrelated states. */
static uint64_t nth_random(uint64_t state, uint64_t n)
{
    uint64_t z = state + n * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t next_random(uint64_t *state)
{
    const uint64_t number = nth_random(*state, 1);
    *state += 0x9E3779B97F4A7C15u;
    return number;
}

static uint64_t random_state(uint32_t seed, uint32_t place)
{
    uint64_t state = ((uint64_t)seed << 32) | place;
    return next_random(&state);
}

nor_flash_t *nor_flash_new(uint32_t size, const nor_timing_t *timing)
{
    if (timing == NULL || size < (1u << 20) || size > MAX_SIZE || (size & (size - 1)) != 0) {
        return NULL;
    }
    void *memory = mmap(NULL, sizeof(nor_flash_t) + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    nor_flash_t *flash = memory;
    flash->size = size;
    flash->timing = timing;
    memset(flash->bytes, 0xFF, size);
    return flash;
}

void nor_flash_delete(nor_flash_t *flash)
{
    if (flash != NULL) {
        munmap(flash, sizeof(nor_flash_t) + flash->size);
    }
}

uint32_t nor_flash_size(const nor_flash_t *flash)
{
    return flash->size;
}

uint8_t *nor_flash_bytes(nor_flash_t *flash)
{
    return flash->bytes;
}

void nor_flash_load(nor_flash_t *flash, const uint8_t *content)
{
    for (uint32_t at = 0; at < flash->size; at += SECTOR) {
        if (memcmp(flash->bytes + at, content + at, SECTOR) != 0) {
            memcpy(flash->bytes + at, content + at, SECTOR);
            flash->loaded[at / SECTOR] = true;
        }
    }
}

bool nor_flash_is_loaded(const nor_flash_t *flash, uint32_t sector)
{
    return flash->loaded[sector];
}

void nor_flash_forget_loaded(nor_flash_t *flash)
{
    memset(flash->loaded, 0, sizeof(flash->loaded));
}

const uint8_t *nor_flash_view(const nor_flash_t *flash)
{
    return flash->bytes;
}

static bool fits(const nor_flash_t *flash, uint32_t address, size_t length)
{
    return address <= flash->size && length <= flash->size - address;
}

bool nor_is_erased(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0xFF && memcmp(bytes, bytes + 1, length - 1) == 0;
}

nor_status_t nor_read(nor_flash_t *flash, uint32_t address, void *out, size_t length)
{
    if (flash->power_is_lost) {
        return NOR_POWER_LOST;
    }
    if (!fits(flash, address, length)) {
        return NOR_OUT_OF_BOUNDS;
    }
    memcpy(out, flash->bytes + address, length);
    flash->stats.bytes_read += length;
    flash->read_ns += length * flash->timing->read_us_per_kib * 1000u / 1024u;
    return NOR_OK;
}

/* How far a torn operation got, over its bytes. */
typedef enum torn_kind { TORN_PREFIX, TORN_BITS, TORN_PIECES, TORN_WEAK_BITS, TORN_KINDS = NOR_TORN_KINDS } torn_kind_t;

/* What the chip was doing when an erase was torn. */
typedef enum torn_phase {
    PHASE_ZEROING, /* All cells are programmed to 0 first, blank ones too. */
    PHASE_ERASING, /* All cells were 0 and become 1. */
    PHASE_DIRECT,  /* A chip that does both piece by piece: what it reached is done, the rest is as it was. */
    TORN_PHASES = NOR_TORN_PHASES,
} torn_phase_t;

/* Which bits of byte `i` got their new value. */
static uint8_t torn_mask(torn_kind_t kind, uint32_t i, uint32_t progress, uint32_t length, uint64_t *random)
{
    switch (kind) {
    case TORN_PREFIX:
        return i < progress ? 0xFF : 0x00;
    case TORN_WEAK_BITS:
        /* Nearly done: one byte in 16 still has a bit that did not change. */
        return (uint8_t)(next_random(random) % 16 != 0 ? 0xFFu : ~(1u << (next_random(random) % 8)));
    case TORN_PIECES:
        /* Each sixteenth by itself: done, half done, or not begun. */
        switch ((*random >> (i * 16u / length * 2u)) & 3) {
        case 0:
            return 0x00;
        case 1:
            return (uint8_t)(i * 0x9Du) ^ (uint8_t)(*random >> 7);
        default:
            return 0xFF;
        }
    default:
        return 0xFF;
    }
}

/* Each bit by itself, with a random number of its own: those that are what they become need none. */
static void move_each_bit(uint8_t *now, const uint8_t *then, uint32_t length, uint32_t progress, uint64_t random)
{
    const uint64_t mask = (length & (length - 1)) == 0 ? length - 1 : 0; /* Quicker than a division. */
    for (uint32_t i = 0; i < length; i++) {
        unsigned moved = 0;
        for (unsigned left = now[i] ^ then[i]; left != 0; left &= left - 1) {
            const unsigned bit = (unsigned)__builtin_ctz(left);
            const uint64_t number = nth_random(random, 8u * i + bit + 1);
            moved |= ((mask != 0 ? number & mask : number % length) < progress ? 1u : 0u) << bit;
        }
        now[i] = (uint8_t)(now[i] ^ moved);
    }
}

/* Moves bytes part of the way from `now` to `then`: every bit is the old or the new one. */
static void move_bits(torn_kind_t kind, uint8_t *now, const uint8_t *then, uint32_t length, uint64_t random)
{
    const uint32_t progress = (uint32_t)(next_random(&random) % (length + 1));
    if (kind == TORN_BITS) {
        move_each_bit(now, then, length, progress, random);
        return;
    }
    for (uint32_t i = 0; i < length; i++) {
        const uint8_t mask = torn_mask(kind, i, progress, length, &random);
        now[i] = (uint8_t)((now[i] & ~mask) | (then[i] & mask));
    }
}

/* Leaves an operation half done; `seed` chooses the way, `random` the rest. */
static void tear(const nor_op_t *op, uint32_t seed, uint64_t random, uint8_t *now, const uint8_t *then)
{
    static const uint8_t zeroes[BLOCK];
    const torn_kind_t kind = (torn_kind_t)(seed % TORN_KINDS);
    /* Skewed, so that the first few seeds show all ways and all phases, if not in all combinations. */
    const torn_phase_t phase = (torn_phase_t)((seed / TORN_KINDS + kind) % TORN_PHASES);
    if (op->kind != NOR_OP_PROGRAM && phase == PHASE_ZEROING) {
        then = zeroes;
    } else if (op->kind != NOR_OP_PROGRAM && phase == PHASE_ERASING) {
        memset(now, 0, op->length);
    }
    move_bits(kind, now, then, op->length, random);
}

/* True if this sector fails, and has not recovered yet. */
static bool sector_fails(nor_flash_t *flash, uint32_t per_million, uint32_t salt, uint32_t address, uint32_t length)
{
    const nor_faults_t *faults = &flash->faults;
    const uint32_t sector = address / SECTOR;
    if (per_million == 0 || (faults->heal_after != 0 && flash->failures[sector] >= faults->heal_after)) {
        return false;
    }
    const bool hit = faults->single ? faults->address / SECTOR >= sector && faults->address < address + length
                                    : random_state(faults->seed ^ salt, sector) % 1000000u < per_million;
    flash->failures[sector] += hit ? 1 : 0;
    return hit;
}

typedef struct operation {
    nor_op_t op;
    const uint8_t *target; /* What the bytes become. */
    nor_status_t status;   /* For an operation that is not cut by a power loss. */
    bool torn;             /* It fails half way. */
    uint32_t torn_seed;
    uint64_t random;
} operation_t;

static void change_bytes(nor_flash_t *flash, operation_t *operation)
{
    nor_op_t *op = &operation->op;
    uint8_t *now = flash->bytes + op->address;
    if (operation->torn) {
        uint8_t before[BLOCK];
        memcpy(before, now, op->length);
        tear(op, operation->torn_seed, operation->random, now, operation->target);
        op->changed = memcmp(before, now, op->length) != 0;
        return;
    }
    op->changed = memcmp(now, operation->target, op->length) != 0;
    if (op->changed) {
        memcpy(now, operation->target, op->length);
    }
}

void nor_tear(const nor_op_t *op, uint32_t seed, uint8_t *bytes, const uint8_t *after)
{
    tear(op, seed, random_state(seed, op->number), bytes, after);
}

static void count(nor_flash_t *flash, const nor_op_t *op)
{
    nor_stats_t *stats = &flash->stats;
    stats->operations++;
    stats->sector_erases += op->kind == NOR_OP_ERASE_SECTOR;
    stats->block_erases += op->kind == NOR_OP_ERASE_BLOCK;
    stats->page_programs += op->kind == NOR_OP_PROGRAM;
    stats->bytes_programmed += op->kind == NOR_OP_PROGRAM ? op->length : 0;
    stats->typical_us += op->typical_us;
    stats->maximum_us += op->maximum_us;
    if (op->kind != NOR_OP_PROGRAM) {
        for (uint32_t i = 0; i < op->length / SECTOR; i++) {
            flash->wear[op->address / SECTOR + i]++;
        }
    }
}

/* One erase or page program: decides whether the power goes, performs it, counts it, tells the observer. */
static nor_status_t run(nor_flash_t *flash, operation_t *operation)
{
    nor_op_t *op = &operation->op;
    op->number = flash->stats.operations;
    op->start_us = nor_flash_stats(flash).typical_us;
    const bool loss = flash->loss.armed && flash->loss.operation == op->number;
    if (loss) {
        flash->power_is_lost = true;
        if (flash->loss.when == NOR_POWER_LOSS_BEFORE) {
            return NOR_POWER_LOST;
        }
        if (flash->loss.when == NOR_POWER_LOSS_INSIDE) {
            operation->torn = true;
            operation->torn_seed = flash->loss.seed;
            operation->random = random_state(flash->loss.seed, op->number);
        }
    }
    change_bytes(flash, operation);
    count(flash, op);
    if (flash->observer != NULL) {
        flash->observer(flash->observer_context, op, flash);
    }
    return loss ? NOR_POWER_LOST : operation->status;
}

/* The bits that one page may clear; the flash keeps zeroes that the data has too. */
static nor_status_t program_page(nor_flash_t *flash, uint32_t address, const uint8_t *data, uint32_t length)
{
    operation_t operation = {
        .op = {.kind = NOR_OP_PROGRAM,
               .address = address,
               .length = length,
               .typical_us = flash->timing->page_program_typical_us,
               .maximum_us = flash->timing->page_program_maximum_us},
        .target = data,
    };
    uint8_t stuck[PAGE];
    if (sector_fails(flash, flash->faults.program_per_million, 0, address & ~(SECTOR - 1), SECTOR)) {
        /* A failure that the chip does not report: half of the bits, and always the last one that should have cleared,
         * stay. */
        uint64_t random = random_state(flash->faults.seed, address);
        const uint8_t *now = flash->bytes + address;
        uint32_t last = 0;
        for (uint32_t i = 0; i < length; i++) {
            stuck[i] = (uint8_t)(data[i] | (now[i] & next_random(&random)));
            last = data[i] != now[i] ? i : last;
        }
        stuck[last] = now[last];
        operation.target = stuck;
    }
    return run(flash, &operation);
}

static bool sets_bits(const uint8_t *now, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((data[i] & ~now[i]) != 0) {
            return true;
        }
    }
    return false;
}

nor_status_t nor_program(nor_flash_t *flash, uint32_t address, const void *data, size_t length)
{
    if (flash->power_is_lost) {
        return NOR_POWER_LOST;
    }
    if (!fits(flash, address, length)) {
        return NOR_OUT_OF_BOUNDS;
    }
    if (sets_bits(flash->bytes + address, data, length)) {
        flash->stats.bad_programs++;
        return NOR_PROGRAM_SETS_BITS;
    }
    const uint8_t *next = data;
    const uint32_t end = address + (uint32_t)length;
    while (address < end) {
        const uint32_t room = PAGE - address % PAGE;
        const uint32_t here = end - address < room ? end - address : room;
        const nor_status_t status = program_page(flash, address, next, here);
        if (status != NOR_OK) {
            return status;
        }
        address += here;
        next += here;
    }
    return NOR_OK;
}

static nor_status_t erase_unit(nor_flash_t *flash, uint32_t address, uint32_t length)
{
    const nor_timing_t *timing = flash->timing;
    const bool block = length == BLOCK;
    /* Not on the stack, of which each process of an app would have to be given pages. */
    static const uint8_t blank[BLOCK] = {[0 ... BLOCK - 1] = 0xFF};
    operation_t operation = {
        .op = {.kind = block ? NOR_OP_ERASE_BLOCK : NOR_OP_ERASE_SECTOR,
               .address = address,
               .length = length,
               .typical_us = block ? timing->block_erase_typical_us : timing->sector_erase_typical_us,
               .maximum_us = block ? timing->block_erase_maximum_us : timing->sector_erase_maximum_us},
        .target = blank,
    };
    if (sector_fails(flash, flash->faults.erase_per_million, block ? 0xB10Cu : 0xE4A5Eu, address, length)) {
        operation.status = NOR_TIMEOUT;
        operation.torn = true;
        operation.random = random_state(flash->faults.seed, address);
        operation.torn_seed = (uint32_t)(operation.random % NOR_TORN_STATES);
        operation.op.typical_us = operation.op.maximum_us;
    }
    return run(flash, &operation);
}

nor_status_t nor_erase(nor_flash_t *flash, uint32_t address, size_t length)
{
    if (flash->power_is_lost) {
        return NOR_POWER_LOST;
    }
    if (!fits(flash, address, length)) {
        return NOR_OUT_OF_BOUNDS;
    }
    if (address % SECTOR != 0 || length % SECTOR != 0) {
        return NOR_UNALIGNED;
    }
    const uint32_t end = address + (uint32_t)length;
    while (address < end) {
        const uint32_t unit = address % BLOCK == 0 && end - address >= BLOCK ? BLOCK : SECTOR;
        const nor_status_t status = erase_unit(flash, address, unit);
        if (status != NOR_OK) {
            return status;
        }
        address += unit;
    }
    return NOR_OK;
}

nor_stats_t nor_flash_stats(const nor_flash_t *flash)
{
    nor_stats_t stats = flash->stats;
    stats.typical_us += flash->read_ns / 1000u;
    stats.maximum_us += flash->read_ns / 1000u;
    return stats;
}

void nor_flash_reset_stats(nor_flash_t *flash)
{
    flash->stats = (nor_stats_t){0};
    flash->read_ns = 0;
    memset(flash->wear, 0, sizeof(flash->wear));
}

uint32_t nor_flash_wear(const nor_flash_t *flash, uint32_t sector)
{
    return sector < flash->size / SECTOR ? flash->wear[sector] : 0;
}

uint32_t nor_flash_failures(const nor_flash_t *flash, uint32_t sector)
{
    return sector < flash->size / SECTOR ? flash->failures[sector] : 0;
}

void nor_flash_set_power_loss(nor_flash_t *flash, nor_power_loss_t loss)
{
    flash->loss = loss;
}

bool nor_flash_power_is_lost(const nor_flash_t *flash)
{
    return flash->power_is_lost;
}

void nor_flash_power_on(nor_flash_t *flash)
{
    flash->loss = (nor_power_loss_t){0};
    flash->power_is_lost = false;
}

void nor_flash_set_faults(nor_flash_t *flash, nor_faults_t faults)
{
    flash->faults = faults;
    memset(flash->failures, 0, sizeof(flash->failures));
}

void nor_flash_set_observer(nor_flash_t *flash, nor_observer_t observer, void *context)
{
    flash->observer = observer;
    flash->observer_context = context;
}

const char *nor_status_text(nor_status_t status)
{
    switch (status) {
    case NOR_OK:
        return "ok";
    case NOR_OUT_OF_BOUNDS:
        return "range past the end of the flash";
    case NOR_UNALIGNED:
        return "erase not aligned to a sector";
    case NOR_PROGRAM_SETS_BITS:
        return "program would turn a 0 into a 1";
    case NOR_TIMEOUT:
        return "erase timed out";
    case NOR_POWER_LOST:
        return "power loss";
    }
    return "unknown status";
}
