/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h: what a sampler knows: every config that exists and every result. Private to
 * optimizer/sampler.
 *
 * Configs are kept as rows of unit coordinates (float: seven digits are more than a density
 * needs) and as a set of hashes; results are kept by budget, in the order they were told, with the
 * best few of each budget sorted. Memory is linear: 4 bytes a config and free param, about 40 a
 * config, about 30 a result. add() and tell() take amortised O(1) plus at most
 * HD_HISTORY_BEST_MAX moves and a memmove of the pending configs' numbers; only a result that
 * replaces another one scans its budget.
 */
#ifndef HD_HISTORY_H
#define HD_HISTORY_H

#include <hd/pareto.h>
#include <hd/space.h>

#define HD_HISTORY_RUNGS_MAX 1024u /* different budgets */
#define HD_HISTORY_BEST_MAX 128u
#define HD_HISTORY_CONFIGS_MAX 100000000u

struct hd_told {
    uint32_t config_number;
    uint32_t
        sequence; /* how many results were told before it, at any budget; rises within a rung */
    double loss;  /* finite, or INFINITY for everything else; of vectors see scalar.h */
};

/* The results at one budget. */
struct hd_history_rung {
    double budget;
    struct hd_told *told; /* in the order of arrival */
    uint32_t told_count, told_capacity;
    uint32_t finite_count;
    uint32_t replaced_count; /* results that changed in place: a fold over told begins again */
    uint32_t *slots;         /* open addressing by config number: 1 + index into told; 0 is empty */
    uint32_t slot_count;
    uint32_t best[HD_HISTORY_BEST_MAX]; /* indexes into told, by (loss, config number) */
    uint32_t best_count;                /* min(finite_count, HD_HISTORY_BEST_MAX) */
    /* [told][hd_history_width()] in the order of told: the losses, then the violation. Not with one
     * loss alone. */
    double *vectors;
    uint32_t scaled_count;   /* of told, whose loss is that of the scale below */
    uint32_t scaled_changes; /* changed_count of the rung then */
    uint64_t scale;          /* which one; see scalar.c */
    uint32_t changed_count;  /* vectors that changed in place */
};

struct hd_history {
    const struct hd_space *space; /* borrowed */
    size_t dimension;             /* = space->free_count */
    size_t *params;               /* the param of each dimension */
    float *units;                 /* [config][dimension]; NaN where inactive */
    uint32_t config_count, config_capacity;
    uint64_t *hashes; /* open addressing; 0 is empty */
    size_t hash_slots, distinct_count;
    /* Configs with no result at any budget, by rising number: in which order configs were added and
     * results told does not show, since a master that was restarted hears of both in another one.
     */
    uint32_t *pending;
    uint32_t pending_count;
    struct hd_history_rung **rungs; /* by budget, rising */
    uint32_t rung_count, rung_capacity;
    uint32_t tell_count;      /* results told, replacements not counted */
    uint32_t replace_count;   /* results that a later one replaced: what was folded is void */
    double *scratch;          /* twice param_count values */
    uint32_t objective_count; /* 1 .. HD_OBJECTIVES_MAX */
    bool constrained;
    struct hd_pareto_row *rows; /* [row_capacity] scratch of scalar.c */
    double *scaled;             /* [row_capacity] */
    uint32_t row_capacity;
    /* All configs, where they are few: for the last unused ones. NULL: many. */
    struct hd_grid *grid;
};
#define HD_HISTORY_GRID_MAX 1000000.0

/* One objective. */
HD_NODISCARD enum hd_code hd_history_init(struct hd_history *history, const struct hd_space *space,
                                          struct hd_err *err);
/* Before the first tell(). */
HD_NODISCARD enum hd_code hd_history_set_objectives(struct hd_history *history,
                                                    uint32_t objective_count, bool constrained,
                                                    struct hd_err *err);
/* Do results have more to them than one loss? */
static inline bool hd_history_has_vectors(const struct hd_history *history)
{
    return history->objective_count > 1 || history->constrained;
}
static inline size_t hd_history_width(const struct hd_history *history)
{
    return history->objective_count + 1;
}
static inline const double *hd_history_vector(const struct hd_history *history,
                                              const struct hd_history_rung *rung, uint32_t index)
{
    return rung->vectors + (size_t)index * hd_history_width(history);
}
void hd_history_release(struct hd_history *history); /* also of a zeroed struct */
/* See hd_sampler_add() and hd_sampler_tell(). Nothing changes on failure. */
HD_NODISCARD enum hd_code hd_history_add(struct hd_history *history, uint32_t config_number,
                                         const double *values, struct hd_err *err);
/* A config that has results from elsewhere: it is told about like another one, but is not used. */
HD_NODISCARD enum hd_code hd_history_add_known(struct hd_history *history, uint32_t config_number,
                                               const double *values, struct hd_err *err);
HD_NODISCARD enum hd_code hd_history_tell(struct hd_history *history, uint32_t config_number,
                                          double budget, double loss, struct hd_err *err);
HD_NODISCARD enum hd_code hd_history_tell_score(struct hd_history *history, uint32_t config_number,
                                                double budget, const struct hd_score *score,
                                                struct hd_err *err);
/* The result of a config at this budget, or NULL. */
const struct hd_told *hd_history_find(const struct hd_history_rung *rung, uint32_t config_number);
/* The rung of this budget, or NULL. */
const struct hd_history_rung *hd_history_rung_at(const struct hd_history *history, double budget);
/* The losses of the told results have been set anew: their best ones are found again. */
void hd_history_sort_best(struct hd_history_rung *rung);
/* Was a config equal to this one added? (By 64-bit hash: a false yes costs one redraw.) */
bool hd_history_has(const struct hd_history *history, const double *values);
const float *hd_history_units(const struct hd_history *history, uint32_t config_number);
/* The config that a point of the unit cube (one coordinate a dimension) stands for, inactive params
 * NaN. false when a forbidden clause holds. */
bool hd_history_values_of(const struct hd_history *history, const double *point,
                          double *ret_values);
/* The same, and false also when that config is used; ret_values is then untouched. */
bool hd_history_take_unused(const struct hd_history *history, const double *point,
                            double *ret_values);
/* An unused config drawn from the space; in finite spaces, when draws keep hitting used ones, the
 * next unused one after a random place in the enumeration. HD_E_LIMIT: every config is used. A
 * space with nothing to choose gives its only config once. */
HD_NODISCARD enum hd_code hd_history_draw_unused(const struct hd_history *history,
                                                 struct hd_rng *rng, double *ret_values,
                                                 struct hd_err *err);
/* HD_E_LIMIT when the space is finite and used up, so that samplers need not look further. */
HD_NODISCARD enum hd_code hd_history_check_left(const struct hd_history *history,
                                                struct hd_err *err);

#endif
