/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gp.c: Bayesian optimization with a Gaussian process (Jones, Schonlau and Welch 1998; Snoek,
 * Larochelle and Adams 2012), with the budget as an input (Swersky, Snoek and Adams 2013; Klein et
 * al., "Model-based asynchronous hyperparameter and neural architecture search", 2020). gp_data.c
 * chooses the observations, gp_code.c makes them numbers, gp_search.c finds the best candidate.
 *
 * Hyperparameters are those that fit what was known at the last checkpoint, a number of results
 * told; so they, like the factor, which is kept up from proposal to proposal, are functions of the
 * history, and when one was asked does not matter. Of several objectives each proposal minimises
 * another mixture; the hyperparameters are those that fit a few such mixtures together, drawn for
 * the checkpoint, as independent functions with one kernel. So they and the factor last as long as
 * those of one objective. (Fitted to the objectives themselves they are too smooth for a mixture,
 * which has edges.)
 */
#include "gp_data.h"
#include "gp_search.h"
#include "sampler_priv.h"

#include <math.h>
#include <string.h>

#define POOL_MAX 576u
#define PENDING_MAX 128u
#define BASES_MAX 8u
#define POINTS_MOST 1500.0
#define CHECKPOINT_FIRST 4u
#define FIT_STEPS_MAX 30u
/* Multiplications a proposal may take: about 2 ms; more results take more. */
#define WORK_LEAST 12e6
#define WORK_MOST 60e6

struct gp_sampler {
    struct hd_sampler base;
    double n_startup, start_default, kappa, points_max, fit_points, budget_fraction;
    size_t acquisition;
    struct hd_sobol *sobol;
    struct hd_gp_code code;
    struct hd_gp_search search;
    struct hd_gp *gp;
    struct hd_gp_seen_list seen;
    double *features, *fidelities, *targets, *means; /* of the observations */
    /* What is kept between proposals. */
    double *hyper;
    uint32_t fit_until; /* the checkpoint of hyper; 0: none yet */
    uint64_t fit_changes;
    uint32_t *rows; /* config number of each row of the factor */
    double *row_fidelities;
    uint32_t row_count;
};

static uint32_t weighing_count(const struct hd_history *history)
{
    return history->objective_count > 1 ? HD_HISTORY_WEIGHINGS : 1;
}

static uint32_t startup_of(const struct gp_sampler *gp)
{
    double dimension = (double)gp->base.history->dimension;
    if (gp->n_startup > 0)
        return (uint32_t)gp->n_startup;
    return (uint32_t)fmin(fmax(4, dimension + 1), 10);
}

static enum hd_code read_settings(struct gp_sampler *gp, const struct hd_value *settings,
                                  struct hd_err *err)
{
    static const char *const acquisitions[] = {"ei", "ucb", NULL};
    gp->start_default = 1;
    gp->kappa = 1.8;
    gp->points_max = 400;
    gp->fit_points = 150;
    gp->budget_fraction = 0.1;
    const struct hd_setting table[] = {
        {"n_startup", 0, 1e6, true, &gp->n_startup},
        {"start_default", 0, 1, true, &gp->start_default},
        {"acquisition", 0, 0, false, NULL},
        {"kappa", 0, 100, false, &gp->kappa},
        {"points_max", 20, POINTS_MOST, true, &gp->points_max},
        {"fit_points", 10, POINTS_MOST, true, &gp->fit_points},
        {"budget_fraction", 0, 1, false, &gp->budget_fraction},
    };
    enum hd_code code =
        hd_settings_choice(settings, "acquisition", acquisitions, &gp->acquisition, err);
    return code != HD_OK ? code : hd_settings_read("gp", settings, table, HD_COUNT(table), err);
}

static enum hd_code get_memory(struct gp_sampler *gp, struct hd_err *err)
{
    size_t rows = (size_t)fmax(gp->points_max, gp->fit_points) + PENDING_MAX + HD_GP_SEEN_STEP;
    size_t width = gp->code.shape.feature_count;
    gp->features = hd_calloc(rows * width + 1, sizeof(double));
    gp->fidelities = hd_calloc(rows, sizeof(double));
    gp->targets = hd_calloc(rows * weighing_count(gp->base.history), sizeof(double));
    gp->means = hd_calloc(rows, sizeof(double));
    gp->rows = hd_calloc(rows, sizeof(*gp->rows));
    gp->row_fidelities = hd_calloc(rows, sizeof(double));
    gp->hyper = hd_calloc(HD_GP_HYPER_COUNT(&gp->code.shape), sizeof(double));
    if (gp->features == NULL || gp->fidelities == NULL || gp->targets == NULL ||
        gp->means == NULL || gp->rows == NULL || gp->row_fidelities == NULL || gp->hyper == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for sampler gp");
    return hd_gp_new(&gp->code.shape, (uint32_t)rows, &gp->gp, err);
}

static enum hd_code gp_prepare(struct hd_sampler *base, const struct hd_value *settings,
                               struct hd_err *err)
{
    struct gp_sampler *gp = (struct gp_sampler *)base;
    enum hd_code code = read_settings(gp, settings, err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->history->dimension, &gp->sobol, err);
    if (code == HD_OK)
        code = hd_gp_code_init(&gp->code, base->history, err);
    if (code == HD_OK)
        code = hd_gp_search_init(&gp->search, &gp->code, POOL_MAX, err);
    return code == HD_OK ? get_memory(gp, err) : code;
}

static void gp_release(struct hd_sampler *base)
{
    struct gp_sampler *gp = (struct gp_sampler *)base;
    hd_sobol_free(gp->sobol);
    hd_gp_search_release(&gp->search);
    hd_gp_code_release(&gp->code);
    hd_gp_free(gp->gp);
    hd_gp_seen_release(&gp->seen);
    hd_free(gp->features);
    hd_free(gp->fidelities);
    hd_free(gp->targets);
    hd_free(gp->means);
    hd_free(gp->rows);
    hd_free(gp->row_fidelities);
    hd_free(gp->hyper);
}

/* ---- the model ----------------------------------------------------------------------------- */

static enum hd_code gather(struct gp_sampler *gp, struct hd_err *err)
{
    return hd_gp_seen_gather(&gp->seen, gp->base.history, HD_GP_LOSSES_NOW,
                             gp->base.history->tell_count, gp->budget_fraction, startup_of(gp),
                             (uint32_t)gp->points_max, err);
}

/* The features and fidelities of what was gathered. */
static void encode_seen(struct gp_sampler *gp)
{
    for (uint32_t i = 0; i < gp->seen.count; i++) {
        const struct hd_gp_seen *seen = &gp->seen.items[i];
        hd_gp_code_row(&gp->code, hd_history_units(gp->base.history, seen->config_number),
                       gp->features + (size_t)i * gp->code.shape.feature_count);
        gp->fidelities[i] = hd_gp_seen_fidelity(&gp->seen, seen->budget);
    }
}

/* The last of 4, 6, 8, ... (steps of a tenth, at least 2) that is not beyond count. */
static uint32_t checkpoint_of(uint32_t count)
{
    uint32_t checkpoint = CHECKPOINT_FIRST;
    for (;;) {
        uint32_t next = checkpoint + (checkpoint / 10 > 2 ? checkpoint / 10 : 2);
        if (next > count || next < checkpoint)
            return checkpoint;
        checkpoint = next;
    }
}

/* Features, fidelities and targets, of several weights where there are such, as they were at a
 * checkpoint. */
static enum hd_code gather_fit(struct gp_sampler *gp, uint32_t until, struct hd_err *err)
{
    struct hd_history *history = gp->base.history;
    enum hd_code code =
        hd_gp_seen_gather(&gp->seen, history, HD_GP_LOSSES_THEN, until, gp->budget_fraction,
                          startup_of(gp), (uint32_t)gp->fit_points, err);
    if (code != HD_OK)
        return code;
    encode_seen(gp);
    for (uint32_t k = 0; k < weighing_count(history); k++) {
        if (k > 0)
            code = hd_gp_seen_weigh(&gp->seen, history, until, gp->base.seed, k, err);
        if (code != HD_OK)
            return code;
        hd_gp_seen_targets(&gp->seen, gp->targets + (size_t)k * gp->seen.count);
    }
    return HD_OK;
}

static enum hd_code refit(struct gp_sampler *gp, struct hd_err *err)
{
    const struct hd_history *history = gp->base.history;
    uint32_t until = checkpoint_of(history->tell_count);
    uint64_t changes = hd_history_changes(history);
    if (gp->fit_until == until && gp->fit_changes == changes)
        return HD_OK;
    enum hd_code code = gather_fit(gp, until, err);
    if (code != HD_OK)
        return code;
    struct hd_gp_data data = {gp->features, gp->fidelities, gp->targets, gp->seen.count,
                              weighing_count(history)};
    code = hd_gp_fit(&gp->code.shape, &data, FIT_STEPS_MAX, gp->hyper, err);
    gp->fit_until = code == HD_OK ? until : 0;
    gp->fit_changes = changes;
    return code;
}

/* Keeps the rows of the factor that stay, appends the others. */
static void follow(struct gp_sampler *gp)
{
    hd_gp_set_hyper(gp->gp, gp->hyper);
    uint32_t kept = hd_gp_count(gp->gp) < gp->row_count ? hd_gp_count(gp->gp) : gp->row_count;
    uint32_t same = 0;
    while (same < kept && same < gp->seen.count &&
           gp->rows[same] == gp->seen.items[same].config_number &&
           gp->row_fidelities[same] == gp->fidelities[same])
        same++;
    hd_gp_truncate(gp->gp, same);
    for (uint32_t i = same; i < gp->seen.count; i++) {
        gp->rows[i] = gp->seen.items[i].config_number;
        gp->row_fidelities[i] = gp->fidelities[i];
    }
    gp->row_count = gp->seen.count;
    hd_gp_append(gp->gp, gp->features + (size_t)same * gp->code.shape.feature_count,
                 gp->fidelities + same, gp->seen.count - same);
}

/* The newest pending configs, as if each had just the result that is expected of it. */
static void append_pending(struct gp_sampler *gp)
{
    const struct hd_history *history = gp->base.history;
    uint32_t pending = history->pending_count;
    uint32_t count = pending < PENDING_MAX ? pending : PENDING_MAX;
    size_t width = gp->code.shape.feature_count;
    double *features = gp->features + (size_t)gp->seen.count * width;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = history->pending[pending - 1 - i]; /* the newest first */
        hd_gp_code_row(&gp->code, hd_history_units(history, number), features + i * width);
        gp->fidelities[gp->seen.count + i] = 1;
    }
    hd_gp_append(gp->gp, features, gp->fidelities + gp->seen.count, count);
}

/* The configs with the lowest means, best first; the lowest mean is what is to be improved on. */
static uint32_t find_bases(struct gp_sampler *gp, uint32_t *ret_bases, double *ret_best)
{
    uint32_t indexes[BASES_MAX], count = 0;
    hd_gp_own_means(gp->gp, gp->features, gp->means);
    for (uint32_t i = 0; i < gp->seen.count; i++) {
        if (count == BASES_MAX && !(gp->means[i] < gp->means[indexes[count - 1]]))
            continue;
        uint32_t at = count < BASES_MAX ? count++ : count - 1;
        for (; at > 0 && gp->means[i] < gp->means[indexes[at - 1]]; at--)
            indexes[at] = indexes[at - 1];
        indexes[at] = i;
    }
    for (uint32_t i = 0; i < count; i++)
        ret_bases[i] = gp->seen.items[indexes[i]].config_number;
    *ret_best = gp->means[indexes[0]];
    return count;
}

/* ---- proposals ----------------------------------------------------------------------------- */

static enum hd_code suggest_start(struct gp_sampler *gp, struct hd_rng *rng, uint32_t config_number,
                                  double *ret_values, struct hd_proposal_info *ret_info,
                                  struct hd_err *err)
{
    const struct hd_history *history = gp->base.history;
    if (config_number == 0 && gp->start_default != 0) {
        hd_space_default(history->space, gp->code.values);
        if (hd_space_finish(history->space, gp->code.values) &&
            !hd_history_has(history, gp->code.values)) {
            memcpy(ret_values, gp->code.values, history->space->param_count * sizeof(double));
            return HD_OK;
        }
    }
    return hd_suggest_sobol(history, gp->sobol, rng, config_number, ret_values, ret_info, err);
}

static enum hd_code gp_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                               double *ret_values, struct hd_proposal_info *ret_info,
                               struct hd_err *err)
{
    struct gp_sampler *gp = (struct gp_sampler *)base;
    struct hd_rng rng;
    (void)budget; /* the aim is the highest budget, whatever this config begins with */
    hd_rng_fork(base->seed, "gp", config_number, &rng);
    enum hd_code code = gather(gp, err);
    if (code != HD_OK)
        return code;
    if (gp->seen.count < startup_of(gp) || gp->seen.finite_count < 2 ||
        base->history->dimension == 0)
        return suggest_start(gp, &rng, config_number, ret_values, ret_info, err);
    code = refit(gp, err);
    if (code == HD_OK)
        code = gather(gp, err);
    if (code != HD_OK)
        return code;
    encode_seen(gp);
    hd_gp_seen_targets(&gp->seen, gp->targets);
    follow(gp);
    append_pending(gp);
    hd_gp_set_targets(gp->gp, gp->targets, gp->seen.count);
    uint32_t bases[BASES_MAX];
    struct hd_gp_goal goal = {(enum hd_gp_acquisition)gp->acquisition, 0, gp->kappa};
    uint32_t base_count = find_bases(gp, bases, &goal.best);
    double n = hd_gp_count(gp->gp);
    hd_gp_search_run(&gp->search, gp->gp, &goal, bases, base_count,
                     fmin(WORK_LEAST + 200 * n * n, WORK_MOST), &rng);
    if (!hd_gp_search_take(&gp->search, ret_values)) {
        hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
        return hd_history_draw_unused(base->history, &rng, ret_values, err);
    }
    ret_info->model = true;
    ret_info->model_budget = gp->seen.budget_high;
    ret_info->model_count = gp->seen.count;
    return HD_OK;
}

const struct hd_sampler_ops hd_sampler_gp_ops = {
    .name = "gp",
    .size = sizeof(struct gp_sampler),
    .scale = HD_SCALE_CHEBYSHEV,
    .prepare = gp_prepare,
    .release = gp_release,
    .suggest = gp_suggest,
};
