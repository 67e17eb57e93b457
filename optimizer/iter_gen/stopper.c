/* SPDX-License-Identifier: Apache-2.0 */
/* stopper.c: the median rule on heaps, the curve rule on two earlier points of each config. */
#include "stopper.h"

#include "rung.h"

#include <math.h>

#define GRACE_SHARE 0.1
#define CURVES_MIN_DEFAULT 5
#define OPTIMISM_DEFAULT 1.5
#define CURVE_FACTOR 1.4142135623730951 /* of one milestone to the next, for the curve rule */
#define OCTAVE_MIN 1.9                  /* a bit less than a doubling: steps are seldom exact */
#define STEP_SLACK 1e-9

struct point {
    double step, best;
};

struct curve {
    double job_budget;
    double step_last;
    double best;
    double reached;         /* last milestone; NaN: none */
    struct point points[2]; /* at the last two milestones, the later one first; step NaN: none */
    uint8_t next;           /* milestone */
    bool stopped;
};

struct hd_stopper {
    struct hd_early_stopping settings;
    double budget_max;
    uint32_t milestone_count;
    double milestones[HD_RUNGS_MAX];
    struct hd_rung rungs[HD_RUNGS_MAX]; /* median: the losses at each milestone */
    struct curve *curves;               /* by config number */
    uint32_t curve_count, curve_capacity;
    uint32_t running_count;
    double incumbent; /* best loss at budget_max; NaN: none */
    uint64_t history;
};

static void find_milestones(struct hd_stopper *stopper, const struct hd_iter_gen_spec *spec)
{
    double grace = stopper->settings.grace;
    bool curve = stopper->settings.rule == HD_STOPPING_RULE_CURVE;
    double factor = curve || !(spec->eta >= CURVE_FACTOR) ? CURVE_FACTOR : spec->eta;
    double end = spec->budget_max * (1.0 - STEP_SLACK);
    if (spec->rung_count > 0 && !curve) {
        for (uint32_t k = 0; k < spec->rung_count; k++)
            if (spec->rungs[k] >= grace && spec->rungs[k] < end)
                stopper->milestones[stopper->milestone_count++] = spec->rungs[k];
        return;
    }
    for (double budget = grace; budget < end && stopper->milestone_count < HD_RUNGS_MAX;
         budget *= factor)
        stopper->milestones[stopper->milestone_count++] = budget;
}

enum hd_code hd_stopper_new(const struct hd_iter_gen_spec *spec, struct hd_stopper **ret_stopper,
                            struct hd_err *err)
{
    struct hd_stopper *stopper = hd_calloc(1, sizeof(*stopper));
    if (stopper == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for early stopping");
    stopper->settings = spec->early_stopping;
    stopper->budget_max = spec->budget_max;
    if (stopper->settings.grace == 0.0) {
        double share = spec->budget_max * GRACE_SHARE;
        stopper->settings.grace = share > spec->budget_min ? share : spec->budget_min;
    }
    if (stopper->settings.curves_min == 0)
        stopper->settings.curves_min = CURVES_MIN_DEFAULT;
    if (stopper->settings.optimism == 0.0)
        stopper->settings.optimism = OPTIMISM_DEFAULT;
    find_milestones(stopper, spec);
    stopper->incumbent = NAN;
    stopper->history = HD_HASH_INIT;
    *ret_stopper = stopper;
    return HD_OK;
}

void hd_stopper_free(struct hd_stopper *stopper)
{
    if (stopper == NULL)
        return;
    for (uint32_t j = 0; j < stopper->milestone_count; j++)
        hd_rung_release(&stopper->rungs[j]);
    hd_free(stopper->curves);
    hd_free(stopper);
}

enum hd_code hd_stopper_reserve(struct hd_stopper *stopper, struct hd_err *err)
{
    if (stopper->curve_count == stopper->curve_capacity) {
        uint32_t capacity = stopper->curve_capacity == 0 ? 16 : stopper->curve_capacity * 2;
        struct curve *curves = hd_realloc(stopper->curves, capacity * sizeof(*curves));
        if (curves == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for %u learning curves", capacity);
        stopper->curves = curves;
        stopper->curve_capacity = capacity;
    }
    if (stopper->settings.rule != HD_STOPPING_RULE_MEDIAN)
        return HD_OK;
    enum hd_code code = HD_OK;
    for (uint32_t j = 0; j < stopper->milestone_count && code == HD_OK; j++)
        code = hd_rung_reserve(&stopper->rungs[j],
                               stopper->rungs[j].count + stopper->running_count + 1, err);
    return code;
}

static struct curve *curve_of(const struct hd_stopper *stopper, uint32_t config_number)
{
    hd_assert(config_number < stopper->curve_count);
    return &stopper->curves[config_number];
}

static void remember(struct hd_stopper *stopper, uint32_t config_number, double a, double b)
{
    stopper->history = hd_hash_u64(stopper->history, config_number);
    stopper->history = hd_hash_double(stopper->history, a);
    stopper->history = hd_hash_double(stopper->history, b);
}

void hd_stopper_started(struct hd_stopper *stopper, uint32_t config_number, double budget)
{
    hd_assert(config_number <= stopper->curve_count);
    if (config_number == stopper->curve_count) {
        hd_assert(stopper->curve_count < stopper->curve_capacity);
        stopper->curves[stopper->curve_count++] =
            (struct curve){.best = INFINITY, .reached = NAN, .points = {{NAN, NAN}, {NAN, NAN}}};
    }
    struct curve *curve = curve_of(stopper, config_number);
    curve->job_budget = budget;
    curve->stopped = false;
    stopper->running_count++;
}

/* ---- the rules ------------------------------------------------------------------------------- */

static bool worse_than_median(struct hd_stopper *stopper, uint32_t milestone,
                              uint32_t config_number, double best)
{
    struct hd_rung *rung = &stopper->rungs[milestone];
    bool worse = false;
    if (rung->count >= stopper->settings.curves_min) {
        hd_assert(rung->size[HD_RUNG_TOP] > 0);
        worse = best > rung->results[rung->results[0].heap[HD_RUNG_TOP]].loss;
    }
    struct hd_score score = hd_score_of(best);
    (void)hd_rung_add(rung, config_number, &score, HD_RUNG_NONE);
    hd_rung_set_quota(rung, (rung->count + 1) / 2);
    return worse;
}

static bool beaten_even_if_lucky(const struct hd_stopper *stopper, const struct curve *curve,
                                 double step)
{
    const struct point *from = &curve->points[0];
    if (!(step >= from->step * OCTAVE_MIN))
        from = &curve->points[1];
    if (isnan(stopper->incumbent) || !(step >= from->step * OCTAVE_MIN))
        return false;
    double gain = (from->best - curve->best) / log2(step / from->step);
    double bound =
        curve->best - stopper->settings.optimism * gain * log2(stopper->budget_max / step);
    return bound > stopper->incumbent;
}

static bool judge(struct hd_stopper *stopper, struct curve *curve, uint32_t config_number,
                  double step, double loss)
{
    if (!isfinite(loss) || !isfinite(curve->best))
        return true;
    switch (stopper->settings.rule) {
    case HD_STOPPING_RULE_NONE:
        return false;
    case HD_STOPPING_RULE_MEDIAN:
        return worse_than_median(stopper, curve->next - 1u, config_number, curve->best);
    case HD_STOPPING_RULE_CURVE:
        return beaten_even_if_lucky(stopper, curve, step);
    }
    return false;
}

enum hd_decision hd_stopper_report(struct hd_stopper *stopper, uint32_t config_number, double step,
                                   double loss, bool *ret_fresh)
{
    struct curve *curve = curve_of(stopper, config_number);
    *ret_fresh = false;
    if (curve->stopped) /* what it still says depends on how fast the stop travels */
        return HD_DECISION_STOP;
    if (step > curve->step_last) {
        curve->step_last = step;
        if (isfinite(loss) && loss < curve->best)
            curve->best = loss;
        remember(stopper, config_number, step, loss);
        uint32_t next = curve->next;
        while (next < stopper->milestone_count &&
               stopper->milestones[next] <= step * (1.0 + STEP_SLACK))
            next++;
        if (next > curve->next) {
            curve->next = (uint8_t)next;
            curve->reached = stopper->milestones[next - 1];
            if (judge(stopper, curve, config_number, step, loss))
                curve->stopped = true;
            curve->points[1] = curve->points[0];
            curve->points[0] = (struct point){step, curve->best};
        }
    }
    *ret_fresh = curve->stopped;
    return curve->stopped ? HD_DECISION_STOP : HD_DECISION_CONTINUE;
}

double hd_stopper_budget(const struct hd_stopper *stopper, uint32_t config_number)
{
    return curve_of(stopper, config_number)->reached;
}

void hd_stopper_ended(struct hd_stopper *stopper, uint32_t config_number, bool ok, double loss)
{
    struct curve *curve = curve_of(stopper, config_number);
    stopper->running_count--;
    if (!ok)
        return;
    if (loss < curve->best)
        curve->best = loss;
    if (curve->step_last < curve->job_budget)
        curve->step_last = curve->job_budget;
    if (curve->job_budget >= stopper->budget_max &&
        (isnan(stopper->incumbent) || loss < stopper->incumbent))
        stopper->incumbent = loss;
}

void hd_stopper_reopened(struct hd_stopper *stopper, uint32_t config_number)
{
    curve_of(stopper, config_number)->stopped = false;
    stopper->running_count++;
}

uint64_t hd_stopper_digest(const struct hd_stopper *stopper, uint64_t hash)
{
    hash = hd_hash_u64(hash, stopper->history);
    hash = hd_hash_u64(hash, stopper->running_count);
    return hd_hash_double(hash, stopper->incumbent);
}
