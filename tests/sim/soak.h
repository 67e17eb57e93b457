/* SPDX-License-Identifier: Apache-2.0 */
/* soak.h: very many seeds on all processors, and what is left of a failing one. */
#ifndef HD_SIM_SOAK_H
#define HD_SIM_SOAK_H

#include "sim.h"

#define SIM_DIED "alive" /* in the place of a checker: an assertion failed, or worse */
#define SIM_JOBS_MAX 256

/* What is taken away from a drawn plan; nothing is added. All zero: the plan as drawn. */
struct sim_ease {
    bool without[SIM_FAULT_COUNT];
    uint32_t runs_max, workers_max; /* 0: as drawn */
    int64_t storm_max_ms;           /* 0: as drawn */
};
void sim_plan_ease(struct sim_plan *plan, const struct sim_ease *ease);
/* What failed, who was there, what went wrong, and the command that repeats it: three lines. */
void sim_failure_print(uint64_t seed, const struct sim_result *result, const struct sim_ease *ease,
                       const struct sim_options *options);

/* One seed in a process of its own; a process that dies is a failure of SIM_DIED. */
struct sim_result sim_try(uint64_t seed, const struct sim_ease *ease,
                          const struct sim_options *options);
/* The least that still fails by this checker. Returns how many tries that took. */
uint32_t sim_shrink(uint64_t seed, const struct sim_options *options, const char *checker,
                    struct sim_ease *ret_ease);

struct sim_soak {
    uint64_t seed, count;
    uint32_t jobs; /* processes; 0: one a processor */
    const struct sim_options *options;
};
/* Prints progress on a terminal (or a line a minute), each failure shrunk with the command that
 * repeats it, and what was covered. Returns how many seeds failed. */
uint64_t sim_soak(const struct sim_soak *soak, struct sim_cover *ret_cover);

#endif
