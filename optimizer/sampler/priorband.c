/* SPDX-License-Identifier: Apache-2.0 */
/*
 * priorband.c: proposals from what an expert believes, from the neighbourhood of the incumbent, and
 * from another sampler, mixed by how well the first two explain the best results so far (Mallik,
 * Bergman, Hvarfner, Stoll, Janowski, Lindauer, Nardi, Hutter: "PriorBand", 2023).
 *
 * The base sampler has the part 1 / (1 + eta^rung), rung being the number of lower budgets: much of
 * the lowest one and little above, where a job is dear. The rest is shared by prior and incumbent
 * in proportion to sum_k weight_k density(x_k) over the best 1 / eta of the highest budget that has
 * eta results; weights fall linearly with the rank. Before that the whole rest is the prior's.
 *
 * Where we differ is written in docs/optimizers.md.
 */
#include "density.h"
#include "sampler_priv.h"

#include <math.h>

/* Attempts to make a config that is not used yet. */
#define ATTEMPTS_MAX 32
#define DRAWS_MAX 32
#define SQRT_TWO_PI_LOG 0.91893853320467274178

struct priorband {
    struct hd_sampler base;
    double eta, perturbation, deviation;
    struct hd_sampler *arm; /* the base sampler, over our history */
    struct hd_axis *axes;
    double *point; /* [dimension] */
};

/* ---- settings -------------------------------------------------------------------------------- */

static enum hd_code make_arm(struct priorband *band, const struct hd_value *settings,
                             struct hd_err *err)
{
    const struct hd_value *base = settings != NULL ? hd_value_get(settings, "base") : NULL;
    struct hd_sampler_spec spec = {.name = "random", .seed = band->base.seed};
    const struct hd_value *name = base;
    if (base != NULL && base->kind == HD_VALUE_OBJECT) {
        name = hd_value_get(base, "name");
        spec.settings = base;
    }
    if (base != NULL && base->kind != HD_VALUE_NULL) {
        if (name == NULL || name->kind != HD_VALUE_STRING)
            return hd_fail(err, HD_E_INVALID,
                           "sampler.base: must be the name of a sampler or a map with one");
        spec.name = name->as.string;
    }
    if (hd_streq(spec.name, "priorband"))
        return hd_fail(err, HD_E_INVALID, "sampler.base: priorband has another base");
    return hd_sampler_new_arm(&spec, band->base.history, &band->arm, err);
}

static enum hd_code priorband_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                      struct hd_err *err)
{
    struct priorband *band = (struct priorband *)base;
    const struct hd_history *history = base->history;
    band->eta = 3;
    band->perturbation = 0.5;
    band->deviation = 0.25;
    const struct hd_setting table[] = {
        {"base", 0, 0, false, NULL},
        {"eta", 2, 100, false, &band->eta},
        {"perturbation", 0.01, 1, false, &band->perturbation},
        {"deviation", 0.001, 1, false, &band->deviation},
    };
    enum hd_code code = hd_settings_read("priorband", settings, table, HD_COUNT(table), err);
    if (code == HD_OK)
        code = make_arm(band, settings, err);
    if (code != HD_OK)
        return code;
    band->axes = hd_calloc(history->dimension + 1, sizeof(*band->axes));
    band->point = hd_calloc(history->dimension + 1, sizeof(*band->point));
    if (band->axes == NULL || band->point == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for sampler priorband");
    for (size_t d = 0; d < history->dimension; d++)
        hd_axis_init(&band->axes[d], &history->space->params[history->params[d]]);
    return HD_OK;
}

static void priorband_release(struct hd_sampler *base)
{
    struct priorband *band = (struct priorband *)base;
    hd_sampler_free(band->arm);
    hd_free(band->axes);
    hd_free(band->point);
}

/* ---- the shares ------------------------------------------------------------------------------ */

/* The highest budget with enough finite results, or NULL. */
static const struct hd_history_rung *highest_rung(const struct hd_history *history, double enough)
{
    for (uint32_t i = history->rung_count; i > 0; i--) {
        if ((double)history->rungs[i - 1]->finite_count >= enough)
            return history->rungs[i - 1];
    }
    return NULL;
}

/* Both are log densities against the uniform one; what is inactive has no factor. */
static double log_prior(const struct priorband *band, const float *units)
{
    double sum = 0;
    for (size_t d = 0; d < band->base.history->dimension; d++) {
        if (!isnan(units[d]))
            sum += log(hd_param_prior_density(band->axes[d].param, (double)units[d]));
    }
    return sum;
}

static double log_near(const struct priorband *band, const float *incumbent, const float *units)
{
    double sum = 0;
    for (size_t d = 0; d < band->base.history->dimension; d++) {
        const struct hd_axis *axis = &band->axes[d];
        if (isnan(units[d]) || isnan(incumbent[d]))
            continue;
        if (axis->choice) {
            double keep = units[d] == incumbent[d] ? 1 - band->perturbation : 0;
            sum += log(keep * axis->levels + band->perturbation);
        } else {
            double z = ((double)units[d] - (double)incumbent[d]) / band->deviation;
            sum -= 0.5 * z * z + hd_axis_log_norm(axis, (double)incumbent[d], band->deviation);
        }
    }
    return sum;
}

/* What part of what is not the base's belongs to the prior. */
static double share_of_prior(const struct priorband *band)
{
    const struct hd_history *history = band->base.history;
    const struct hd_history_rung *rung = highest_rung(history, band->eta);
    if (rung == NULL)
        return 1;
    const float *incumbent = hd_history_units(history, rung->told[rung->best[0]].config_number);
    double logs[2][HD_HISTORY_BEST_MAX], most = -INFINITY, sums[2] = {0, 0};
    size_t count = (size_t)((double)rung->told_count / band->eta);
    count = count < 1 ? 1 : count < rung->best_count ? count : rung->best_count;
    for (size_t k = 0; k < count; k++) {
        const float *units = hd_history_units(history, rung->told[rung->best[k]].config_number);
        logs[0][k] = log_prior(band, units);
        logs[1][k] = log_near(band, incumbent, units);
        most = fmax(most, fmax(logs[0][k], logs[1][k]));
    }
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; i < 2; i++)
            sums[i] += (double)(count - k) * exp(logs[i][k] - most);
    }
    return sums[0] / (sums[0] + sums[1]);
}

/* ---- proposals ------------------------------------------------------------------------------- */

static bool sample_prior(struct priorband *band, struct hd_rng *rng, double *ret_values)
{
    const struct hd_history *history = band->base.history;
    double values[HD_SPACE_PARAMS_MAX];
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        hd_space_prior_sample(history->space, rng, values);
        if (!hd_space_finish(history->space, values) || hd_history_has(history, values))
            continue;
        for (size_t i = 0; i < history->space->param_count; i++)
            ret_values[i] = values[i];
        return true;
    }
    return false;
}

static double perturb(const struct priorband *band, size_t d, double unit, struct hd_rng *rng)
{
    if (isnan(unit) || band->axes[d].choice)
        return hd_rng_double(rng);
    for (int draw = 0; draw < DRAWS_MAX; draw++) {
        double x = unit + band->deviation * hd_rng_normal(rng);
        if (x >= 0 && x < 1)
            return x;
    }
    return hd_rng_double(rng);
}

static bool perturb_incumbent(struct priorband *band, struct hd_rng *rng, double *ret_values)
{
    const struct hd_history *history = band->base.history;
    const struct hd_history_rung *rung = highest_rung(history, 1);
    const float *incumbent = hd_history_units(history, rung->told[rung->best[0]].config_number);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        for (size_t d = 0; d < history->dimension; d++) {
            double unit = (double)incumbent[d];
            bool changes = isnan(unit) || hd_rng_double(rng) < band->perturbation;
            band->point[d] = changes ? perturb(band, d, unit, rng) : unit;
        }
        if (hd_history_take_unused(history, band->point, ret_values))
            return true;
    }
    return false;
}

static enum hd_code priorband_suggest(struct hd_sampler *base, uint32_t config_number,
                                      double budget, double *ret_values,
                                      struct hd_proposal_info *ret_info, struct hd_err *err)
{
    struct priorband *band = (struct priorband *)base;
    const struct hd_history *history = base->history;
    struct hd_rng rng;
    double rung = 0;
    hd_rng_fork(base->seed, "priorband", config_number, &rng);
    for (uint32_t i = 0; i < history->rung_count; i++)
        rung += history->rungs[i]->finite_count > 0 && history->rungs[i]->budget < budget ? 1 : 0;
    bool done = false;
    if (hd_rng_double(&rng) >= 1 / (1 + pow(band->eta, rung))) {
        done = hd_rng_double(&rng) < share_of_prior(band)
                   ? sample_prior(band, &rng, ret_values)
                   : perturb_incumbent(band, &rng, ret_values);
    }
    if (done)
        return HD_OK;
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), band->arm->ops->name);
    return hd_sampler_ask_arm(band->arm, config_number, budget, ret_values, ret_info, err);
}

const struct hd_sampler_ops hd_sampler_priorband_ops = {
    .name = "priorband",
    .size = sizeof(struct priorband),
    .scale = HD_SCALE_ORDER,
    .prepare = priorband_prepare,
    .release = priorband_release,
    .suggest = priorband_suggest,
};
