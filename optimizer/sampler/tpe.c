/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpe.c: the tree-structured Parzen estimator, multivariate (Bergstra et al., "Algorithms for
 * hyper-parameter optimization", 2011; Falkner et al., "BOHB", 2018; Watanabe, "Tree-structured
 * Parzen estimator: understanding its algorithm components", 2023). parzen.c has our model,
 * preset.c those of other systems; here are the settings, the budget the model is built on, and the
 * choice among candidates.
 *
 * Where we differ is written in docs/optimizers.md.
 */
#include "parzen.h"
#include "preset.h"
#include "sampler_priv.h"

#include <math.h>

#define CANDIDATES_MAX 1024
/* When all candidates are used configs (small discrete spaces), so many times more are drawn. */
#define ROUNDS_MAX 3
#define ROUNDS_OF_ONE_MAX 24 /* where a round makes one candidate (hyperopt) */
/* A draw that meets a forbidden clause is repeated so many times. */
#define LEGAL_DRAWS_MAX 16
/* A budget with this many results a dimension (and one more dimension) has a model of its own;
 * before that the budget with the most results has one. */
#define RESULTS_PER_DIMENSION 3

struct tpe {
    struct hd_sampler base;
    struct hd_preset_settings settings;
    size_t candidate_count;  /* of a round */
    struct hd_sobol *sobol;  /* default */
    struct hd_parzen parzen; /* default */
    struct hd_preset preset; /* the others */
    bool has_rules; /* conditions or forbidden clauses: not every point is a config as it stands */
    double *points; /* [candidate_count][dimension] */
    double *scores; /* [candidate_count] */
    float *point;   /* [dimension] */
    double *values; /* [param_count] */
};

#define COMMON_SETTINGS 7

static enum hd_code read_settings(struct tpe *tpe, const struct hd_value *values,
                                  struct hd_err *err)
{
    struct hd_preset_settings *settings = &tpe->settings;
    size_t kind = HD_PRESET_DEFAULT, count = COMMON_SETTINGS;
    enum hd_code code = hd_settings_choice(values, "preset", hd_preset_names, &kind, err);
    if (code != HD_OK)
        return code;
    hd_preset_defaults((enum hd_preset_kind)kind, tpe->base.history->dimension, settings);
    struct hd_setting table[COMMON_SETTINGS + 2] = {
        {"preset", 0, 0, false, NULL},
        {"n_startup", 2, 1e6, true, &settings->n_startup},
        {"n_candidates", 1, CANDIDATES_MAX, true, &settings->n_candidates},
        {"random_fraction", 0, 1, false, &settings->random_fraction},
        {"gamma", 0.01, 0.5, false, &settings->gamma},
        {"gamma_max", 1, HD_HISTORY_BEST_MAX - 1, true, &settings->gamma_max},
        {"prior_weight", 0.01, 100, false, &settings->prior_weight},
    };
    if (kind == HD_PRESET_WATANABE || kind == HD_PRESET_BOHB)
        table[count++] =
            (struct hd_setting){"bandwidth_min", 1e-4, 1, false, &settings->bandwidth_min};
    if (kind == HD_PRESET_BOHB || kind == HD_PRESET_ETPE)
        table[count++] =
            (struct hd_setting){"bandwidth_factor", 1, 100, false, &settings->bandwidth_factor};
    settings->n_candidates =
        settings->n_candidates < CANDIDATES_MAX ? settings->n_candidates : CANDIDATES_MAX;
    return hd_settings_read("tpe", values, table, count, err);
}

static enum hd_code prepare_model(struct tpe *tpe, struct hd_err *err)
{
    const struct hd_history *history = tpe->base.history;
    tpe->candidate_count = (size_t)tpe->settings.n_candidates;
    if (tpe->settings.kind != HD_PRESET_DEFAULT) {
        if (tpe->settings.kind == HD_PRESET_HYPEROPT)
            tpe->candidate_count = 1;
        return hd_preset_init(&tpe->preset, &tpe->settings, history, err);
    }
    enum hd_code code = hd_sobol_new(tpe->base.seed, history->dimension, &tpe->sobol, err);
    return code != HD_OK ? code : hd_parzen_init(&tpe->parzen, history, err);
}

static enum hd_code tpe_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                struct hd_err *err)
{
    struct tpe *tpe = (struct tpe *)base;
    size_t dimension = base->history->dimension;
    enum hd_code code = read_settings(tpe, settings, err);
    if (code == HD_OK)
        code = prepare_model(tpe, err);
    if (code != HD_OK)
        return code;
    tpe->has_rules = base->space->forbidden_count > 0;
    for (size_t i = 0; i < base->space->param_count; i++)
        tpe->has_rules = tpe->has_rules || base->space->params[i].condition_count > 0;
    tpe->points = hd_calloc(tpe->candidate_count * (dimension + 1), sizeof(double));
    tpe->scores = hd_calloc(tpe->candidate_count, sizeof(double));
    tpe->point = hd_calloc(dimension + 1, sizeof(float));
    tpe->values = hd_calloc(base->space->param_count + 1, sizeof(double));
    if (tpe->points == NULL || tpe->scores == NULL || tpe->point == NULL || tpe->values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu candidates", tpe->candidate_count);
    return HD_OK;
}

static void tpe_release(struct hd_sampler *base)
{
    struct tpe *tpe = (struct tpe *)base;
    hd_sobol_free(tpe->sobol);
    hd_parzen_release(&tpe->parzen);
    hd_preset_release(&tpe->preset);
    hd_free(tpe->points);
    hd_free(tpe->scores);
    hd_free(tpe->point);
    hd_free(tpe->values);
}

/* The highest budget with results enough for its own model, or the budget with the most results, or
 * NULL while no budget has enough to begin. Only two finite losses can be told apart. */
static const struct hd_history_rung *choose_rung(const struct tpe *tpe)
{
    const struct hd_history *history = tpe->base.history;
    double enough = RESULTS_PER_DIMENSION * ((double)history->dimension + 1);
    if (tpe->settings.kind != HD_PRESET_DEFAULT)
        enough = tpe->settings.n_startup;
    const struct hd_history_rung *fullest = NULL;
    for (uint32_t i = history->rung_count; i > 0; i--) {
        const struct hd_history_rung *rung = history->rungs[i - 1];
        if ((double)rung->told_count < tpe->settings.n_startup || rung->finite_count < 2)
            continue;
        if ((double)rung->told_count >= enough)
            return rung;
        if (fullest == NULL || rung->told_count > fullest->told_count)
            fullest = rung;
    }
    return fullest;
}

/* Fills tpe->point with what the model sees of a point: no coordinate where a param is inactive.
 * false when the config is forbidden. */
static bool see_point(struct tpe *tpe, const double *point)
{
    const struct hd_history *history = tpe->base.history;
    if (tpe->has_rules && !hd_history_values_of(history, point, tpe->values))
        return false;
    for (size_t d = 0; d < history->dimension; d++) {
        bool inactive = tpe->has_rules && isnan(tpe->values[history->params[d]]);
        tpe->point[d] = inactive ? NAN : (float)point[d];
    }
    return true;
}

static void draw(const struct tpe *tpe, struct hd_rng *rng, double *ret_point)
{
    if (tpe->settings.kind == HD_PRESET_DEFAULT)
        hd_parzen_draw(&tpe->parzen, rng, ret_point);
    else
        hd_preset_draw(&tpe->preset, rng, ret_point);
}

static double score(const struct tpe *tpe)
{
    return tpe->settings.kind == HD_PRESET_DEFAULT ? hd_parzen_score(&tpe->parzen, tpe->point)
                                                   : hd_preset_score(&tpe->preset, tpe->point);
}

static void score_candidates(struct tpe *tpe, struct hd_rng *rng)
{
    for (size_t i = 0; i < tpe->candidate_count; i++) {
        double *point = tpe->points + i * tpe->base.history->dimension;
        tpe->scores[i] = -INFINITY;
        for (int k = 0; k < LEGAL_DRAWS_MAX && isinf(tpe->scores[i]); k++) {
            draw(tpe, rng, point);
            if (see_point(tpe, point))
                tpe->scores[i] = score(tpe);
        }
    }
}

/* The best candidate that is no used config; false when all are. */
static bool take_best_unused(struct tpe *tpe, double *ret_values)
{
    const struct hd_history *history = tpe->base.history;
    for (size_t attempt = 0; attempt < tpe->candidate_count; attempt++) {
        size_t best = 0;
        for (size_t i = 1; i < tpe->candidate_count; i++)
            best = tpe->scores[i] > tpe->scores[best] ? i : best;
        bool legal =
            hd_history_values_of(history, tpe->points + best * history->dimension, tpe->values);
        if (legal && !hd_history_has(history, tpe->values)) {
            for (size_t i = 0; i < history->space->param_count; i++)
                ret_values[i] = tpe->values[i];
            return true;
        }
        tpe->scores[best] = -INFINITY;
    }
    return false;
}

static enum hd_code suggest_random(struct tpe *tpe, struct hd_rng *rng, double *ret_values,
                                   struct hd_proposal_info *ret_info, struct hd_err *err)
{
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
    return hd_history_draw_unused(tpe->base.history, rng, ret_values, err);
}

static enum hd_code suggest_by_model(struct tpe *tpe, const struct hd_history_rung *rung,
                                     struct hd_rng *rng, double *ret_values,
                                     struct hd_proposal_info *ret_info, struct hd_err *err)
{
    const struct hd_preset_settings *settings = &tpe->settings;
    struct hd_parzen_settings parzen = {.gamma = settings->gamma,
                                        .gamma_max = settings->gamma_max,
                                        .prior_weight = settings->prior_weight};
    enum hd_code code = settings->kind == HD_PRESET_DEFAULT
                            ? hd_parzen_build(&tpe->parzen, &parzen, rung, err)
                            : hd_preset_build(&tpe->preset, rung, err);
    if (code != HD_OK)
        return code;
    int rounds = tpe->candidate_count > 1 ? ROUNDS_MAX : ROUNDS_OF_ONE_MAX;
    for (int round = 0; round < rounds; round++) {
        score_candidates(tpe, rng);
        if (!take_best_unused(tpe, ret_values))
            continue;
        ret_info->model = true;
        ret_info->model_budget = rung->budget;
        ret_info->model_count = rung->told_count;
        return HD_OK;
    }
    return suggest_random(tpe, rng, ret_values, ret_info, err);
}

static enum hd_code tpe_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                double *ret_values, struct hd_proposal_info *ret_info,
                                struct hd_err *err)
{
    struct tpe *tpe = (struct tpe *)base;
    struct hd_rng rng;
    (void)budget; /* a config that is good at the model's budget is meant for any */
    hd_rng_fork(base->seed, "tpe", config_number, &rng);
    const struct hd_history_rung *rung = choose_rung(tpe);
    if (rung == NULL && tpe->sobol != NULL)
        return hd_suggest_sobol(base->history, tpe->sobol, &rng, config_number, ret_values,
                                ret_info, err);
    if (rung == NULL || hd_rng_double(&rng) < tpe->settings.random_fraction)
        return suggest_random(tpe, &rng, ret_values, ret_info, err);
    return suggest_by_model(tpe, rung, &rng, ret_values, ret_info, err);
}

const struct hd_sampler_ops hd_sampler_tpe_ops = {
    .name = "tpe",
    .size = sizeof(struct tpe),
    .scale = HD_SCALE_ORDER,
    .prepare = tpe_prepare,
    .release = tpe_release,
    .suggest = tpe_suggest,
};
