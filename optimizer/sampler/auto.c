/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auto.c: a portfolio: each proposal comes from one of several samplers (arms), which read one
 * history. Rules about the space say which arms there are and how often each is asked to begin with
 * (no sampler is the best everywhere: Benjamins et al., "carps", 2025); the run's own results
 * re-weight them: an arm whose recent configs are often among the best quarter of their rung is
 * asked more often.
 *
 * Weights depend on the history alone, and the choice on the weights and the config's number.
 */
#include "sampler_priv.h"

#include <math.h>
#include <stdlib.h>

#define ARMS_MAX 6
#define NO_ARM 255
/* The last results of the rung that arms are compared at, and how many there must be. */
#define RECENT_MAX 64u
#define RECENT_MIN 16u
/* Results in favour of the weights by rule. */
#define PRIOR_RESULTS 8.0
#define GP_DIMENSION_MAX 100
#define CMAES_RESULTS_MIN 300
/* Before so many results only a Gaussian process has a model worth asking. */
#define GP_ALONE_RESULTS 24

struct arm {
    const char *name;
    struct hd_sampler *sampler;
    double weight; /* by rule */
};

struct portfolio {
    struct hd_sampler base;
    struct arm arms[ARMS_MAX];
    size_t arm_count;
    unsigned char *origins; /* of each config: its arm, or NO_ARM */
    uint32_t origin_count, origin_capacity;
};

/* ---- which arms ---------------------------------------------------------------------------- */

static enum hd_code add_arm(struct portfolio *portfolio, const char *name,
                            const struct hd_value *settings, double weight, struct hd_err *err)
{
    struct hd_sampler_spec spec = {
        .name = name, .settings = settings, .seed = portfolio->base.seed};
    struct arm *arm = &portfolio->arms[portfolio->arm_count];
    enum hd_code code = hd_sampler_new_arm(&spec, portfolio->base.history, &arm->sampler, err);
    if (code != HD_OK)
        return code;
    arm->name = arm->sampler->ops->name;
    arm->weight = weight;
    portfolio->arm_count++;
    return HD_OK;
}

static bool is_numeric(const struct hd_space *space)
{
    for (size_t i = 0; i < space->param_count; i++) {
        const struct hd_param *param = &space->params[i];
        bool number = param->kind == HD_PARAM_FLOAT || param->kind == HD_PARAM_INT;
        if (hd_param_is_free(param) && !number)
            return false;
    }
    return true;
}

/* Over numbers the estimator of UltraOpt does best late: it shares one bandwidth and narrows
 * slowly. Elsewhere our own. */
static enum hd_code add_tpe(struct portfolio *portfolio, double weight, struct hd_err *err)
{
    if (!is_numeric(portfolio->base.space))
        return add_arm(portfolio, "tpe", NULL, weight, err);
    struct hd_value *settings = hd_value_new_object();
    enum hd_code code = HD_E_NOMEM;
    if (settings != NULL)
        code = hd_value_set(settings, "preset", hd_value_new_string("etpe"));
    code = code == HD_OK ? add_arm(portfolio, "tpe", settings, weight, err)
                         : hd_fail(err, HD_E_NOMEM, "no memory for sampler auto");
    hd_value_free(settings);
    return code;
}

/* Several objectives: a front wants many results that are good in different ways. */
static enum hd_code add_arms_of_fronts(struct portfolio *portfolio, bool small, struct hd_err *err)
{
    enum hd_code code = small ? add_arm(portfolio, "gp", NULL, 0.4, err) : HD_OK;
    if (code == HD_OK)
        code = add_arm(portfolio, "tpe", NULL, 0.3, err);
    return code == HD_OK ? add_arm(portfolio, "nsga2", NULL, small ? 0.3 : 0.7, err) : code;
}

static enum hd_code auto_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                 struct hd_err *err)
{
    struct portfolio *portfolio = (struct portfolio *)base;
    enum hd_code code = hd_settings_read("auto", settings, NULL, 0, err);
    bool small = base->history->dimension <= GP_DIMENSION_MAX;
    if (code == HD_OK && base->history->objective_count > 1)
        return add_arms_of_fronts(portfolio, small, err);
    if (code == HD_OK && small)
        code = add_arm(portfolio, "gp", NULL, 0.4, err);
    if (code == HD_OK)
        code = add_tpe(portfolio, small ? 0.6 : 1, err);
    if (code == HD_OK && is_numeric(base->space) && base->history->dimension > 1)
        code = add_arm(portfolio, "cmaes", NULL, 0, err);
    return code;
}

static void auto_release(struct hd_sampler *base)
{
    struct portfolio *portfolio = (struct portfolio *)base;
    for (size_t i = 0; i < portfolio->arm_count; i++)
        hd_sampler_free(portfolio->arms[i].sampler);
    hd_free(portfolio->origins);
}

static enum hd_code auto_credit(struct hd_sampler *base, uint32_t config_number, const char *name,
                                struct hd_err *err)
{
    struct portfolio *portfolio = (struct portfolio *)base;
    if (config_number >= portfolio->origin_capacity) {
        uint32_t capacity = config_number + config_number / 2 + 64;
        unsigned char *origins = hd_realloc(portfolio->origins, capacity);
        if (origins == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for another config");
        portfolio->origins = origins;
        portfolio->origin_capacity = capacity;
    }
    while (portfolio->origin_count <= config_number)
        portfolio->origins[portfolio->origin_count++] = NO_ARM;
    portfolio->origins[config_number] = NO_ARM; /* also when an add() failed before */
    for (size_t i = 0; i < portfolio->arm_count; i++) {
        if (hd_streq(portfolio->arms[i].name, name))
            portfolio->origins[config_number] = (unsigned char)i;
    }
    return HD_OK;
}

/* ---- the choice ---------------------------------------------------------------------------- */

/* The highest budget that has results enough to compare arms by. */
static const struct hd_history_rung *rung_to_compare(const struct hd_history *history)
{
    for (uint32_t i = history->rung_count; i > 0; i--) {
        if (history->rungs[i - 1]->told_count >= RECENT_MIN)
            return history->rungs[i - 1];
    }
    return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Multiplies the weights by how often an arm's recent configs were in the best quarter, relative
 * to all. */
static void reweight(const struct portfolio *portfolio, double *weights)
{
    const struct hd_history_rung *rung = rung_to_compare(portfolio->base.history);
    if (rung == NULL)
        return;
    double sorted[RECENT_MAX];
    uint32_t count = rung->told_count < RECENT_MAX ? rung->told_count : RECENT_MAX;
    const struct hd_told *recent = rung->told + rung->told_count - count;
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = recent[i].loss;
    qsort(sorted, count, sizeof(sorted[0]), compare_doubles);
    double good = sorted[count / 4];
    double hits[ARMS_MAX] = {0}, tries[ARMS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = recent[i].config_number;
        unsigned char arm = number < portfolio->origin_count ? portfolio->origins[number] : NO_ARM;
        if (arm == NO_ARM)
            continue;
        tries[arm] += 1;
        hits[arm] += recent[i].loss < good ? 1 : 0;
    }
    for (size_t i = 0; i < portfolio->arm_count; i++)
        weights[i] *= (hits[i] + PRIOR_RESULTS / 4) / ((tries[i] + PRIOR_RESULTS) / 4);
}

static size_t choose_arm(const struct portfolio *portfolio, struct hd_rng *rng)
{
    double weights[ARMS_MAX], sum = 0;
    if (hd_streq(portfolio->arms[0].name, "gp") &&
        portfolio->base.history->tell_count < GP_ALONE_RESULTS)
        return 0;
    for (size_t i = 0; i < portfolio->arm_count; i++) {
        weights[i] = portfolio->arms[i].weight;
        /* An evolution of covariances pays off late. */
        if (hd_streq(portfolio->arms[i].name, "cmaes") &&
            portfolio->base.history->config_count >= CMAES_RESULTS_MIN)
            weights[i] = 0.3;
    }
    reweight(portfolio, weights);
    for (size_t i = 0; i < portfolio->arm_count; i++)
        sum += weights[i];
    double at = hd_rng_double(rng) * sum;
    for (size_t i = 0; i < portfolio->arm_count; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return 0;
}

static enum hd_code auto_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                 double *ret_values, struct hd_proposal_info *ret_info,
                                 struct hd_err *err)
{
    struct portfolio *portfolio = (struct portfolio *)base;
    struct hd_rng rng;
    hd_rng_fork(base->seed, "auto", config_number, &rng);
    size_t arm = choose_arm(portfolio, &rng);
    return hd_sampler_suggest(portfolio->arms[arm].sampler, config_number, budget, ret_values,
                              ret_info, err);
}

const struct hd_sampler_ops hd_sampler_auto_ops = {
    .name = "auto",
    .size = sizeof(struct portfolio),
    .scale = HD_SCALE_ORDER,
    .prepare = auto_prepare,
    .release = auto_release,
    .credit = auto_credit,
    .suggest = auto_suggest,
};
