/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cqr.c: conformalised quantile regression with boosted trees, and Thompson draws (Salinas,
 * Golebiowski, Klein, Seeger and Archambeau, "Optimizing hyperparameters with conformal quantile
 * regression", 2023). Where we differ is written in docs/optimizers.md.
 */
#include "sampler_priv.h"
#include "tree_search.h"

#include <math.h>
#include <string.h>

#define QUANTILES_MAX 15
#define TREE_ROWS 400.0 /* a tree sees at most so many, drawn anew (Friedman 2002) */
#define HELD_OUT_PART 0.1
#define HELD_OUT_MIN 5 /* fewer say nothing about a tail: no correction then */

struct cqr {
    struct hd_sampler base;
    double n_startup, n_candidates, n_trees, n_quantiles, n_starts;
    struct hd_sobol *sobol;
    struct hd_rows rows;
    struct hd_search search;
    struct hd_trees trees[QUANTILES_MAX];
    double shifts[QUANTILES_MAX];
    double *predictions; /* [2][HD_ROWS_MAX] */
    float *scores;       /* [HD_ROWS_MAX]: of the held-out rows */
    size_t held_out, trained;
    bool fitted;
    uint64_t draw; /* of the proposal at work */
};

static enum hd_code read_settings(struct cqr *cqr, const struct hd_value *settings,
                                  struct hd_err *err)
{
    cqr->n_startup = 10;
    cqr->n_candidates = 1000;
    cqr->n_trees = 50;
    cqr->n_quantiles = 5;
    cqr->n_starts = 2;
    const struct hd_setting table[] = {
        {"n_startup", 2, 1e6, true, &cqr->n_startup},
        {"n_candidates", HD_SEARCH_NEIGHBOURS, 1e4, true, &cqr->n_candidates},
        {"n_trees", 1, HD_TREE_COUNT_MAX, true, &cqr->n_trees},
        {"n_quantiles", 1, QUANTILES_MAX, true, &cqr->n_quantiles},
        {"n_starts", 0, 100, true, &cqr->n_starts},
    };
    return hd_settings_read("cqr", settings, table, HD_COUNT(table), err);
}

static double level_of(const struct cqr *cqr, size_t quantile)
{
    return ((double)quantile + 1) / (cqr->n_quantiles + 1);
}

static struct hd_tree_settings tree_settings(const struct cqr *cqr)
{
    return (struct hd_tree_settings){.tree_count = (uint32_t)cqr->n_trees,
                                     .leaf_rows_min = 1,
                                     .split_rows_min = 4,
                                     .depth_max = 4,
                                     .rate = 0.1,
                                     .row_fraction = 1};
}

/* Each candidate has a quantile of its own: a hash of its row and of the proposal. */
static void score_rows(void *context, const float *rows, size_t count, double *ret_scores)
{
    struct cqr *cqr = context;
    size_t width = cqr->rows.width, quantiles = (size_t)cqr->n_quantiles;
    for (size_t i = 0; i < count; i++) {
        const float *row = rows + i * width;
        struct hd_rng rng;
        hd_rng_seed(&rng, hd_hash_bytes(cqr->draw, row, width * sizeof(*row)));
        size_t quantile = (size_t)hd_rng_below(&rng, quantiles);
        hd_boost_predict(&cqr->trees[quantile], row, 1, &ret_scores[i]);
        ret_scores[i] = -(ret_scores[i] + cqr->shifts[quantile]);
    }
}

static enum hd_code cqr_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                struct hd_err *err)
{
    struct cqr *cqr = (struct cqr *)base;
    for (int i = 0; i < QUANTILES_MAX; i++)
        hd_trees_init(&cqr->trees[i]);
    enum hd_code code = read_settings(cqr, settings, err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->history->dimension, &cqr->sobol, err);
    if (code == HD_OK)
        code = hd_rows_init(&cqr->rows, base->history, err);
    if (code != HD_OK)
        return code;
    cqr->search = (struct hd_search){.rows = &cqr->rows,
                                     .random_count = (size_t)cqr->n_candidates,
                                     .start_count = (size_t)cqr->n_starts,
                                     .score = score_rows,
                                     .context = cqr};
    struct hd_tree_settings trees = tree_settings(cqr);
    for (size_t q = 0; q < (size_t)cqr->n_quantiles && code == HD_OK; q++)
        code = hd_trees_reserve(&cqr->trees[q], &cqr->rows.data, &trees, err);
    if (code == HD_OK)
        code = hd_search_prepare(&cqr->search, err);
    if (code != HD_OK)
        return code;
    cqr->predictions = hd_calloc(2 * (size_t)HD_ROWS_MAX, sizeof(double));
    cqr->scores = hd_calloc(HD_ROWS_MAX, sizeof(float));
    if (cqr->predictions == NULL || cqr->scores == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %u predictions", HD_ROWS_MAX);
    return HD_OK;
}

static void cqr_release(struct hd_sampler *base)
{
    struct cqr *cqr = (struct cqr *)base;
    hd_sobol_free(cqr->sobol);
    hd_rows_release(&cqr->rows);
    hd_search_release(&cqr->search);
    for (int i = 0; i < QUANTILES_MAX; i++)
        hd_trees_release(&cqr->trees[i]);
    hd_free(cqr->predictions);
    hd_free(cqr->scores);
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Symmetric pairs of quantiles are moved apart (or together) by what the held-out rows say: the
 * score of a row is how far it lies outside of the pair. */
static void correct(struct cqr *cqr)
{
    const struct hd_tree_data *data = &cqr->rows.data;
    size_t quantiles = (size_t)cqr->n_quantiles;
    const float *rows = data->values + cqr->trained * data->feature_count;
    const float *targets = data->targets + cqr->trained;
    double *low = cqr->predictions, *high = low + HD_ROWS_MAX;
    for (size_t q = 0; q < quantiles; q++)
        cqr->shifts[q] = 0;
    for (size_t q = 0; q < quantiles / 2 && cqr->held_out > 0; q++) {
        size_t mirror = quantiles - 1 - q;
        hd_boost_predict(&cqr->trees[q], rows, cqr->held_out, low);
        hd_boost_predict(&cqr->trees[mirror], rows, cqr->held_out, high);
        for (size_t i = 0; i < cqr->held_out; i++)
            cqr->scores[i] = (float)fmax(low[i] - (double)targets[i], (double)targets[i] - high[i]);
        double inside =
            (level_of(cqr, mirror) - level_of(cqr, q)) * (1 + 1 / (double)cqr->held_out);
        double shift = (double)hd_select_quantile(cqr->scores, cqr->held_out, inside);
        cqr->shifts[q] = -shift;
        cqr->shifts[mirror] = shift;
    }
}

static enum hd_code fit(struct cqr *cqr, struct hd_err *err)
{
    struct hd_rng rng;
    enum hd_code code = HD_OK;
    cqr->held_out = cqr->rows.held_out_count;
    cqr->trained = cqr->rows.data.row_count - cqr->held_out;
    if (cqr->held_out < HELD_OUT_MIN || cqr->trained == 0) {
        cqr->trained += cqr->held_out;
        cqr->held_out = 0;
    }
    struct hd_tree_settings settings = tree_settings(cqr);
    settings.row_count = (uint32_t)cqr->trained;
    settings.row_fraction = fmin(1, TREE_ROWS / (double)cqr->trained);
    hd_rng_fork(cqr->base.seed, "cqr fit", cqr->rows.data.row_count, &rng);
    for (size_t q = 0; q < (size_t)cqr->n_quantiles && code == HD_OK; q++) {
        settings.quantile = level_of(cqr, q);
        code = hd_boost_fit(&cqr->trees[q], &cqr->rows.data, &settings, &rng, err);
    }
    if (code == HD_OK)
        correct(cqr);
    return code;
}

static enum hd_code keep_up(struct cqr *cqr, struct hd_err *err)
{
    if (!hd_rows_current(&cqr->rows)) {
        cqr->fitted = false;
        hd_rows_collect(&cqr->rows, HD_ROWS_RANK, HELD_OUT_PART);
    }
    if (cqr->fitted)
        return HD_OK;
    enum hd_code code = fit(cqr, err);
    cqr->fitted = code == HD_OK;
    return code;
}

/* ---- proposals ----------------------------------------------------------------------------- */

static enum hd_code cqr_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                double *ret_values, struct hd_proposal_info *ret_info,
                                struct hd_err *err)
{
    struct cqr *cqr = (struct cqr *)base;
    struct hd_rng rng;
    (void)budget; /* what is good at the highest budget is wanted */
    hd_rng_fork(base->seed, "cqr", config_number, &rng);
    if (!hd_rows_enough(base->history, cqr->n_startup))
        return hd_suggest_sobol(base->history, cqr->sobol, &rng, config_number, ret_values,
                                ret_info, err);
    enum hd_code code = keep_up(cqr, err);
    cqr->draw = hd_rng_u64(&rng);
    if (code != HD_OK)
        return code;
    if (!hd_search_run(&cqr->search, &rng, ret_values)) {
        hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
        return hd_history_draw_unused(base->history, &rng, ret_values, err);
    }
    ret_info->model = true;
    ret_info->model_budget = cqr->rows.budget;
    ret_info->model_count = (uint32_t)cqr->rows.data.row_count;
    return HD_OK;
}

const struct hd_sampler_ops hd_sampler_cqr_ops = {
    .name = "cqr",
    .size = sizeof(struct cqr),
    .scale = HD_SCALE_CHEBYSHEV,
    .prepare = cqr_prepare,
    .release = cqr_release,
    .suggest = cqr_suggest,
};
