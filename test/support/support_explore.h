// SPDX-License-Identifier: Apache-2.0
/** @file
 * How much explorations try; and they report it. Include after cmocka.h.
 */
#pragma once

#include "sim/explore/explore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EXPLORE_SAMPLE 8u /**< Operations beside those of the commit. */

/** What the environment says in SELF_REFLASHER_EXPLORE: see docs/testing.md. */
static inline bool explore_is(const char *wanted)
{
    const char *said = getenv("SELF_REFLASHER_EXPLORE");
    return said != NULL && strcmp(said, wanted) == 0;
}

/** True if a sample has to do: a build with sanitizers only shows whether memory is misused, and each start of an app
 * takes much longer there. */
static inline bool explore_samples(void)
{
    return explore_is("sample");
}

/** Operations to try beside those of the commit, where there is time for @p operations; 0: all. */
static inline uint32_t explore_sample(uint32_t operations)
{
    return explore_samples() ? EXPLORE_SAMPLE : operations;
}

/** The same for what goes nearly the same way as another exploration, of which only each night tries all. */
static inline uint32_t explore_sample_of_alike(uint32_t operations)
{
    return explore_is("all") ? operations : EXPLORE_SAMPLE;
}

/** Torn states of each. */
static inline uint32_t explore_torn(void)
{
    return explore_samples() ? 1u : NOR_TORN_KINDS;
}

/** explore_run(), and a line that summary.py adds up. */
static inline explore_status_t explore_and_tell(const explore_config_t *config, explore_result_t *result)
{
    const explore_status_t status = explore_run(config, result);
    print_message("explored: %" PRIu32 " states, %" PRIu32 " further power losses\n", result->state_count,
                  result->nested_count);
    return status;
}
