/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cases.h: the configs of a space, sorted into cases. Private to optimizer/space.
 *
 * A param is *looked at* when a condition or a forbidden clause mentions it. Its values fall into
 * ranges that no expression tells apart. Params that expressions join form a component; components
 * are independent of one another, so that the number of configs is a product over them. A *case* of
 * a component gives each active param that is looked at one range; within a case all combinations
 * of the values are legal, and it is the same params that are active.
 */
#ifndef HD_SPACE_CASES_H
#define HD_SPACE_CASES_H

#include "space_priv.h"

#define HD_CASE_INACTIVE UINT32_MAX

/* Levels low .. high (whole numbers), or of a float without levels the values between. */
struct hd_range {
    double low, high;
    double count;          /* of values; INFINITY: a part of a float without levels */
    double representative; /* a value, in config representation */
};

struct hd_dimension {
    double levels;    /* INFINITY: none */
    bool grid;        /* a float without step that is cut into levels */
    size_t component; /* number of it */
    size_t weight;    /* of its conditions */
    bool looked_at;
    struct hd_range *ranges; /* when looked at */
    size_t range_count;
};

struct hd_component {
    size_t *params; /* in the order of the file */
    size_t param_count;
    size_t *looked_at; /* parents first */
    size_t looked_at_count;
    size_t *clauses; /* forbidden ones */
    size_t clause_count;
    /* What was found; cases are kept on demand only. */
    double count;         /* configs */
    uint64_t count_whole; /* the same, at most UINT64_MAX */
    bool cut_off;         /* a limit was reached: count is not below the exact number */
    uint32_t *cases;      /* [case][looked_at_count]: index of the range, or HD_CASE_INACTIVE */
    double *case_ends;    /* rising: the number of configs in this case and those before it */
    size_t case_count, case_capacity;
};

struct hd_cases {
    const struct hd_space *space;
    struct hd_dimension *dimensions; /* [param_count] */
    struct hd_component *components;
    size_t component_count;
    size_t *clause_weights; /* [forbidden_count] */
    uint32_t points;
    uint64_t work; /* of all walks so far: values and groups of the expressions looked at */
};

/* The structure only; points as for hd_grid_new(), 0: floats without step stay whole. */
HD_NODISCARD enum hd_code hd_cases_init(struct hd_cases *cases, const struct hd_space *space,
                                        uint32_t points, struct hd_err *err);
void hd_cases_release(struct hd_cases *cases); /* also of a zeroed struct */

/* Runs through the cases of one component; at visits_max cases, and when all walks together have
 * done HD_SPACE_WORK_MAX, it is cut off. values[param_count] is scratch; when a case is found
 * and ret_example is not NULL, the first one is written there (params of this component). keep:
 * cases are stored. ignored: clauses that do not count, or NULL. HD_E_LIMIT: too many to keep. */
struct hd_case_walk {
    struct hd_cases *cases;
    struct hd_component *component;
    double *values;
    double *ret_example;
    const bool *ignored;
    bool keep;
    bool first_only; /* stop at the first case */
    bool found;
    size_t visits, visits_max;
    uint32_t chosen[HD_SPACE_PARAMS_MAX];
};
HD_NODISCARD enum hd_code hd_cases_walk(struct hd_case_walk *walk, struct hd_err *err);

/* The value of a level of a param, also of one that is cut into points. */
double hd_cases_level_value(const struct hd_cases *cases, size_t param_index, double level);

#endif
