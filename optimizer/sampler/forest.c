/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forest.c: Bayesian optimisation with trees as the model: a random forest (Hutter et al. 2011,
 * Lindauer et al. 2022), extra trees (Geurts et al. 2006) or three boosted quantiles, expected
 * improvement, and a local search. Where we differ is written in docs/optimizers.md.
 */
#include "sampler_priv.h"
#include "tree_search.h"

#include <math.h>

#define LOG_SQRT_TWO_PI 0.91893853320467274178
#define SQRT_HALF 0.70710678118654752440
#define DEVIATION_MIN 1e-5
#define FEATURES_TRIED_MAX 48u
#define FULL_ROWS 300.0
#define FEWEST_TREES 0.3
#define BOOSTS 3 /* quantiles at the median and one deviation to both sides */

enum kind { EXTRA_TREES, RANDOM_FOREST, BOOSTED };
static const char *const kind_names[] = {"et", "rf", "gbrt", NULL};

struct forest {
    struct hd_sampler base;
    size_t kind;
    double n_startup, n_candidates, n_trees, min_leaf, random_fraction, n_starts, reach;
    struct hd_sobol *sobol;
    struct hd_rows rows;
    struct hd_search search;
    struct hd_trees trees[BOOSTS];
    bool fitted; /* to the rows */
    double incumbent;
    double *means, *spare; /* [capacity] */
    size_t capacity;
};

static enum hd_code read_settings(struct forest *forest, const struct hd_value *settings,
                                  struct hd_err *err)
{
    enum hd_code code = hd_settings_choice(settings, "kind", kind_names, &forest->kind, err);
    if (code != HD_OK)
        return code;
    forest->n_startup = 10;
    forest->n_candidates = 500;
    forest->n_trees = forest->kind == BOOSTED ? 60 : 30;
    forest->min_leaf = forest->kind == BOOSTED ? 5 : 1;
    forest->random_fraction = 0.1;
    forest->n_starts = 5;
    forest->reach = 0.1;
    const struct hd_setting table[] = {
        {"kind", 0, 0, false, NULL},
        {"n_startup", 2, 1e6, true, &forest->n_startup},
        {"n_candidates", HD_SEARCH_NEIGHBOURS, 1e4, true, &forest->n_candidates},
        {"n_trees", 1, HD_TREE_COUNT_MAX, true, &forest->n_trees},
        {"min_leaf", 1, 1000, true, &forest->min_leaf},
        {"random_fraction", 0, 1, false, &forest->random_fraction},
        {"n_starts", 0, 100, true, &forest->n_starts},
        {"reach", 0, 1, false, &forest->reach},
    };
    return hd_settings_read("forest", settings, table, HD_COUNT(table), err);
}

static void score_rows(void *context, const float *rows, size_t count, double *ret_scores);
static enum hd_code reserve_trees(struct forest *forest, struct hd_err *err);

static enum hd_code forest_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                   struct hd_err *err)
{
    struct forest *forest = (struct forest *)base;
    enum hd_code code = read_settings(forest, settings, err);
    for (int i = 0; i < BOOSTS; i++)
        hd_trees_init(&forest->trees[i]);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->history->dimension, &forest->sobol, err);
    if (code == HD_OK)
        code = hd_rows_init(&forest->rows, base->history, err);
    forest->search = (struct hd_search){.rows = &forest->rows,
                                        .random_count = (size_t)forest->n_candidates,
                                        .start_count = (size_t)forest->n_starts,
                                        .reach = forest->reach,
                                        .score = score_rows,
                                        .context = forest};
    if (code == HD_OK)
        code = reserve_trees(forest, err);
    if (code == HD_OK)
        code = hd_search_prepare(&forest->search, err);
    if (code != HD_OK)
        return code;
    forest->capacity = (size_t)forest->n_candidates + HD_ROWS_MAX;
    forest->means = hd_calloc(forest->capacity, sizeof(double));
    forest->spare = hd_calloc(forest->capacity, sizeof(double));
    if (forest->means == NULL || forest->spare == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu predictions", forest->capacity);
    return HD_OK;
}

static void forest_release(struct hd_sampler *base)
{
    struct forest *forest = (struct forest *)base;
    hd_sobol_free(forest->sobol);
    hd_rows_release(&forest->rows);
    hd_search_release(&forest->search);
    for (int i = 0; i < BOOSTS; i++)
        hd_trees_release(&forest->trees[i]);
    hd_free(forest->means);
    hd_free(forest->spare);
}

/* ---- the model ----------------------------------------------------------------------------- */

/* With many rows fewer trees are as smooth, and they cost more each. */
static uint32_t count_trees(const struct forest *forest)
{
    double rows = (double)forest->rows.data.row_count;
    double part = rows > FULL_ROWS ? FULL_ROWS / rows : 1;
    return (uint32_t)ceil(forest->n_trees * fmax(part, FEWEST_TREES));
}

static struct hd_tree_settings tree_settings(const struct forest *forest, uint32_t tree_count)
{
    uint32_t tried = (uint32_t)((forest->rows.width * 5 + 5) / 6);
    return (struct hd_tree_settings){
        .tree_count = tree_count,
        .leaf_rows_min = (uint32_t)forest->min_leaf,
        .split_rows_min = 2,
        .depth_max = forest->kind == BOOSTED ? 4 : 64,
        .features_tried = tried < FEATURES_TRIED_MAX ? tried : FEATURES_TRIED_MAX,
        .bootstrap = forest->kind == RANDOM_FOREST,
        .random_splits = forest->kind == EXTRA_TREES,
        .rate = 0.1,
        .row_fraction = 0.8,
    };
}

static enum hd_code reserve_trees(struct forest *forest, struct hd_err *err)
{
    struct hd_tree_settings settings = tree_settings(forest, (uint32_t)forest->n_trees);
    enum hd_code code = HD_OK;
    for (int i = 0; i < (forest->kind == BOOSTED ? BOOSTS : 1) && code == HD_OK; i++)
        code = hd_trees_reserve(&forest->trees[i], &forest->rows.data, &settings, err);
    return code;
}

static enum hd_code fit(struct forest *forest, struct hd_err *err)
{
    struct hd_rng rng;
    struct hd_tree_settings settings = tree_settings(forest, count_trees(forest));
    /* The same whoever asks first: from the rows, not from the number of the config. */
    hd_rng_fork(forest->base.seed, "forest fit", forest->rows.data.row_count, &rng);
    if (forest->kind != BOOSTED)
        return hd_forest_fit(&forest->trees[0], &forest->rows.data, &settings, &rng, err);
    static const double quantiles[BOOSTS] = {0.5, 0.16, 0.84};
    enum hd_code code = HD_OK;
    for (int i = 0; i < BOOSTS && code == HD_OK; i++) {
        settings.quantile = quantiles[i];
        code = hd_boost_fit(&forest->trees[i], &forest->rows.data, &settings, &rng, err);
    }
    return code;
}

static void set_incumbent(struct forest *forest)
{
    const struct hd_tree_data *data = &forest->rows.data;
    forest->incumbent = INFINITY;
    for (size_t i = 0; i < data->row_count; i++)
        forest->incumbent = fmin(forest->incumbent, (double)data->targets[i]);
}

static enum hd_code keep_up(struct forest *forest, struct hd_err *err)
{
    if (!hd_rows_current(&forest->rows)) {
        forest->fitted = false;
        hd_rows_collect(&forest->rows, HD_ROWS_LOG, 0);
    }
    if (forest->fitted)
        return HD_OK;
    enum hd_code code = fit(forest, err);
    set_incumbent(forest);
    forest->fitted = code == HD_OK;
    return code;
}

/* log of E[max(0, z + N(0, 1))]: the logarithm of expected improvement in deviations. */
static double log_improvement(double z)
{
    double log_density = -z * z / 2 - LOG_SQRT_TWO_PI;
    if (z < -30) /* the two terms below would cancel */
        return log_density - 2 * log(-z);
    return log(exp(log_density) + z * erfc(-z * SQRT_HALF) / 2);
}

static void score_rows(void *context, const float *rows, size_t count, double *ret_scores)
{
    struct forest *forest = context;
    double *deviations = ret_scores;
    hd_assert(count <= forest->capacity);
    if (forest->kind == BOOSTED) {
        hd_boost_predict(&forest->trees[0], rows, count, forest->means);
        hd_boost_predict(&forest->trees[1], rows, count, forest->spare);
        hd_boost_predict(&forest->trees[2], rows, count, deviations);
        for (size_t i = 0; i < count; i++)
            deviations[i] = (deviations[i] - forest->spare[i]) / 2;
    } else {
        hd_forest_predict(&forest->trees[0], rows, count, forest->means, deviations);
        for (size_t i = 0; i < count; i++)
            deviations[i] = sqrt(deviations[i]);
    }
    for (size_t i = 0; i < count; i++) {
        double deviation = fmax(deviations[i], DEVIATION_MIN);
        ret_scores[i] =
            log(deviation) + log_improvement((forest->incumbent - forest->means[i]) / deviation);
    }
}

/* ---- proposals ----------------------------------------------------------------------------- */

static enum hd_code suggest_random(struct forest *forest, struct hd_rng *rng, double *ret_values,
                                   struct hd_proposal_info *ret_info, struct hd_err *err)
{
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
    return hd_history_draw_unused(forest->base.history, rng, ret_values, err);
}

static enum hd_code forest_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                   double *ret_values, struct hd_proposal_info *ret_info,
                                   struct hd_err *err)
{
    struct forest *forest = (struct forest *)base;
    struct hd_rng rng;
    (void)budget; /* what is good at the highest budget is wanted */
    hd_rng_fork(base->seed, "forest", config_number, &rng);
    if (!hd_rows_enough(base->history, forest->n_startup))
        return hd_suggest_sobol(base->history, forest->sobol, &rng, config_number, ret_values,
                                ret_info, err);
    if (hd_rng_double(&rng) < forest->random_fraction)
        return suggest_random(forest, &rng, ret_values, ret_info, err);
    enum hd_code code = keep_up(forest, err);
    if (code != HD_OK)
        return code;
    if (!hd_search_run(&forest->search, &rng, ret_values))
        return suggest_random(forest, &rng, ret_values, ret_info, err);
    ret_info->model = true;
    ret_info->model_budget = forest->rows.budget;
    ret_info->model_count = (uint32_t)forest->rows.data.row_count;
    return HD_OK;
}

const struct hd_sampler_ops hd_sampler_forest_ops = {
    .name = "forest",
    .size = sizeof(struct forest),
    .scale = HD_SCALE_CHEBYSHEV,
    .prepare = forest_prepare,
    .release = forest_release,
    .suggest = forest_suggest,
};
