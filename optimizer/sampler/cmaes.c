/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmaes.c: CMA-ES with margin for ints, restarts with growing populations, and choices from the
 * elite (Hansen, "The CMA evolution strategy: a tutorial", 2016; Hamano et al., "CMA-ES with
 * margin", 2022; Auger and Hansen, "A restart CMA evolution strategy with increasing population
 * size", 2005; Nomura et al., "Warm starting CMA-ES", 2021). cma.c has the distribution; here is
 * how results become generations and points become configs.
 *
 * The distribution is a fold over the results of one budget in the order of arrival: every lambda
 * of them are a generation, whenever they were proposed and by whom. So it is a function of the
 * history alone; what is kept between proposals is a cache. A fold never begins earlier than the
 * last multiple of fold_max results, where it starts anew from the best configs, so that a sampler
 * that is asked for the first time late has a bounded work to do.
 *
 * Where we differ is written in docs/optimizers.md.
 */
#include "cma.h"
#include "sampler_priv.h"

#include <math.h>
#include <string.h>

/* Results, and coordinates of results, that a fold replays at most. */
#define FOLD_MAX 8192u
#define FOLD_COORDINATES_MAX (1u << 20)
#define LAMBDA_MAX 512
#define RESTARTS_GROWING 4 /* so often a restart doubles the population */
#define FINITE_MIN 4u      /* losses that a start needs */
#define ELITE_MAX 25u
#define ATTEMPTS_MAX 16
#define DEVIATION_START 0.25
#define DEVIATION_RESTART 0.3
#define DEVIATION_CONVERGED 1e-6 /* of the unit cube */
#define CONDITION_MAX 1e7
/* Results at one budget, for each dimension and one more, that give it a distribution of its own.
 */
#define RESULTS_PER_DIMENSION 4

/* Where the state after `folded` results of a rung comes from. */
struct fold {
    const struct hd_history_rung *rung;
    uint32_t folded, replaced_count;
    bool started;
    uint32_t restart_count;
    uint32_t finite_count; /* since the start of the fold, until started */
    double best_loss;      /* since the last start */
    uint32_t stale;        /* generations since best_loss fell */
    size_t gathered;       /* results of the generation that is not full yet */
};

struct cmaes {
    struct hd_sampler base;
    double lambda, n_startup;
    uint32_t fold_max;
    struct hd_sobol *sobol;
    struct hd_cma cma;
    struct fold fold;
    size_t number_count, choice_count;
    size_t *numbers, *choices; /* [dimension] which dimensions are which */
    double *rows;              /* [lambda_max][number_count]: the generation that is gathered */
    double *losses;            /* [lambda_max] */
    uint32_t *config_numbers;  /* [lambda_max] */
    const double **ranked;     /* [lambda_max] */
    size_t *order;             /* [lambda_max] */
    double *mean, *deviations; /* [number_count] */
    double *point;             /* [dimension] */
};

static const struct hd_param *param_of(const struct cmaes *cmaes, size_t d)
{
    const struct hd_history *history = cmaes->base.history;
    return &history->space->params[history->params[d]];
}

/* ---- preparation --------------------------------------------------------------------------- */

/* The population after so many restarts. */
static size_t lambda_after(const struct cmaes *cmaes, uint32_t restart_count)
{
    size_t lambda = (size_t)cmaes->lambda;
    for (uint32_t i = 0; i < restart_count && i < RESTARTS_GROWING && lambda * 2 <= LAMBDA_MAX; i++)
        lambda *= 2;
    return lambda;
}

static enum hd_code allocate(struct cmaes *cmaes, struct hd_err *err)
{
    size_t dimension = cmaes->base.history->dimension, n = cmaes->number_count;
    size_t lambda_max = lambda_after(cmaes, UINT32_MAX);
    cmaes->rows = hd_calloc(lambda_max * (n + 1), sizeof(double));
    cmaes->losses = hd_calloc(lambda_max, sizeof(double));
    cmaes->config_numbers = hd_calloc(lambda_max, sizeof(uint32_t));
    cmaes->ranked = hd_calloc(lambda_max, sizeof(double *));
    cmaes->order = hd_calloc(lambda_max, sizeof(size_t));
    cmaes->mean = hd_calloc(n + 1, sizeof(double));
    cmaes->deviations = hd_calloc(n + 1, sizeof(double));
    cmaes->point = hd_calloc(dimension + 1, sizeof(double));
    if (cmaes->rows == NULL || cmaes->losses == NULL || cmaes->config_numbers == NULL ||
        cmaes->ranked == NULL || cmaes->order == NULL || cmaes->mean == NULL ||
        cmaes->deviations == NULL || cmaes->point == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a population of %g", cmaes->lambda);
    return n > 0 ? hd_cma_init(&cmaes->cma, n, lambda_max, err) : HD_OK;
}

static enum hd_code split_dimensions(struct cmaes *cmaes, struct hd_err *err)
{
    size_t dimension = cmaes->base.history->dimension;
    cmaes->numbers = hd_calloc(dimension + 1, sizeof(size_t));
    cmaes->choices = hd_calloc(dimension + 1, sizeof(size_t));
    if (cmaes->numbers == NULL || cmaes->choices == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu dimensions", dimension);
    for (size_t d = 0; d < dimension; d++) {
        enum hd_param_kind kind = param_of(cmaes, d)->kind;
        if (kind == HD_PARAM_CATEGORICAL || kind == HD_PARAM_BOOL)
            cmaes->choices[cmaes->choice_count++] = d;
        else
            cmaes->numbers[cmaes->number_count++] = d;
    }
    return HD_OK;
}

static enum hd_code cmaes_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                  struct hd_err *err)
{
    struct cmaes *cmaes = (struct cmaes *)base;
    enum hd_code code = split_dimensions(cmaes, err);
    if (code != HD_OK)
        return code;
    double n = (double)cmaes->number_count;
    cmaes->lambda = 4 + floor(3 * log(n > 1 ? n : 1));
    cmaes->n_startup = 10;
    uint32_t coordinates_max = FOLD_COORDINATES_MAX / (uint32_t)(cmaes->number_count + 1);
    cmaes->fold_max = coordinates_max < FOLD_MAX ? coordinates_max : FOLD_MAX;
    const struct hd_setting table[] = {
        {"population", 4, LAMBDA_MAX, true, &cmaes->lambda},
        {"n_startup", FINITE_MIN, 1e6, true, &cmaes->n_startup},
    };
    code = hd_settings_read("cmaes", settings, table, HD_COUNT(table), err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->history->dimension, &cmaes->sobol, err);
    return code == HD_OK ? allocate(cmaes, err) : code;
}

static void cmaes_release(struct hd_sampler *base)
{
    struct cmaes *cmaes = (struct cmaes *)base;
    hd_sobol_free(cmaes->sobol);
    hd_cma_release(&cmaes->cma);
    hd_free(cmaes->numbers);
    hd_free(cmaes->choices);
    hd_free(cmaes->rows);
    hd_free(cmaes->losses);
    hd_free(cmaes->config_numbers);
    hd_free(cmaes->ranked);
    hd_free(cmaes->order);
    hd_free(cmaes->mean);
    hd_free(cmaes->deviations);
    hd_free(cmaes->point);
}

/* ---- starts -------------------------------------------------------------------------------- */

/* The best of the first `count` results, rising by (loss, order of arrival). */
static size_t find_elite(const struct hd_history_rung *rung, uint32_t count,
                         uint32_t ret_elite[ELITE_MAX])
{
    size_t want = count / 5, found = 0;
    want = want < 1 ? 1 : want > ELITE_MAX ? ELITE_MAX : want;
    for (uint32_t i = 0; i < count; i++) {
        double loss = rung->told[i].loss;
        if (!isfinite(loss) || (found == want && loss >= rung->told[ret_elite[found - 1]].loss))
            continue;
        size_t at = found < want ? found++ : found - 1;
        for (; at > 0 && loss < rung->told[ret_elite[at - 1]].loss; at--)
            ret_elite[at] = ret_elite[at - 1];
        ret_elite[at] = i;
    }
    return found;
}

/* Mean and deviation of one coordinate of the elite: weighted by rank, and shrunk towards a start
 * from nothing, which is the narrower the more results the elite was chosen from. */
static void start_coordinate(struct cmaes *cmaes, size_t j, const uint32_t *elite,
                             size_t elite_count, double start)
{
    const struct hd_history *history = cmaes->base.history;
    double weights = 0, sum = 0, square = 0, active = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < elite_count; i++) {
            uint32_t number = cmaes->fold.rung->told[elite[i]].config_number;
            double unit = (double)hd_history_units(history, number)[cmaes->numbers[j]];
            double weight = log((double)elite_count + 1) - log((double)i + 1);
            if (isnan(unit))
                continue;
            weights += pass == 0 ? weight : 0;
            sum += pass == 0 ? weight * unit : 0;
            active += pass == 0 ? 1 : 0;
            square += pass == 1 ? (unit - sum / weights) * (unit - sum / weights) : 0;
        }
    }
    cmaes->mean[j] = weights > 0 ? sum / weights : 0.5;
    cmaes->deviations[j] = sqrt((4 * start * start + square) / (4 + active));
}

/* From the best of the first `count` results of the rung. */
static void start_from_elite(struct cmaes *cmaes, uint32_t count)
{
    struct fold *fold = &cmaes->fold;
    uint32_t elite[ELITE_MAX];
    size_t elite_count = find_elite(fold->rung, count, elite);
    double start = DEVIATION_START * pow(count > 10 ? count / 10.0 : 1, -0.2);
    for (size_t j = 0; j < cmaes->number_count; j++)
        start_coordinate(cmaes, j, elite, elite_count, start);
    hd_cma_start(&cmaes->cma, (size_t)cmaes->lambda, cmaes->mean, cmaes->deviations);
    fold->started = true;
    fold->restart_count = 0;
    fold->gathered = 0;
    fold->stale = 0;
    fold->best_loss = INFINITY;
}

/* Anywhere, with a larger population. */
static void restart(struct cmaes *cmaes)
{
    struct fold *fold = &cmaes->fold;
    struct hd_rng rng;
    hd_rng_fork(cmaes->base.seed, "cmaes restart", fold->folded, &rng);
    fold->restart_count++;
    for (size_t j = 0; j < cmaes->number_count; j++) {
        cmaes->mean[j] = hd_rng_double(&rng);
        cmaes->deviations[j] = DEVIATION_RESTART;
    }
    hd_cma_start(&cmaes->cma, lambda_after(cmaes, fold->restart_count), cmaes->mean,
                 cmaes->deviations);
    fold->stale = 0;
    fold->best_loss = INFINITY;
}

/* ---- the fold ------------------------------------------------------------------------------ */

/* The part of the axis that stands for the level of unit; the first and last level are open. */
static void level_range(const struct hd_param *param, double unit, double *ret_low,
                        double *ret_high)
{
    hd_param_level_range(param, hd_param_from_unit(param, unit), ret_low, ret_high);
    *ret_low = *ret_low <= 0 ? -INFINITY : *ret_low;
    *ret_high = *ret_high >= 1 ? INFINITY : *ret_high;
}

/* The point that a config's row stands for: where a level or an inactive param leaves it open, it
 * is drawn from the distribution (and always the same for a config and a distribution). */
static void point_of(const struct cmaes *cmaes, uint32_t config_number, double *ret_point)
{
    const float *row = hd_history_units(cmaes->base.history, config_number);
    struct hd_rng rng;
    hd_rng_fork(cmaes->base.seed, "cmaes point", config_number, &rng);
    for (size_t j = 0; j < cmaes->number_count; j++) {
        const struct hd_param *param = param_of(cmaes, cmaes->numbers[j]);
        double unit = (double)row[cmaes->numbers[j]], low = -INFINITY, high = INFINITY;
        bool open = isnan(unit) || !isinf(hd_param_levels(param));
        if (!isnan(unit) && open)
            level_range(param, unit, &low, &high);
        double quantile = hd_rng_double(&rng);
        ret_point[j] = open ? hd_cma_draw_within(&cmaes->cma, j, low, high, quantile) : unit;
    }
}

static void keep_inside(struct cmaes *cmaes)
{
    struct hd_cma *cma = &cmaes->cma;
    double alpha = 1 / ((double)cma->dimension * (double)cma->lambda);
    for (size_t j = 0; j < cmaes->number_count; j++) {
        const struct hd_param *param = param_of(cmaes, cmaes->numbers[j]);
        cma->mean[j] = cma->mean[j] < 0 ? 0 : cma->mean[j] > 1 ? 1 : cma->mean[j];
        if (isinf(hd_param_levels(param)))
            continue;
        double low, high;
        level_range(param, cma->mean[j], &low, &high);
        hd_cma_keep_margin(cma, j, low, high, alpha);
    }
}

static bool is_before(const struct cmaes *cmaes, size_t a, size_t b)
{
    if (cmaes->losses[a] != cmaes->losses[b])
        return cmaes->losses[a] < cmaes->losses[b];
    return cmaes->config_numbers[a] < cmaes->config_numbers[b];
}

static void rank(struct cmaes *cmaes)
{
    for (size_t i = 0; i < cmaes->cma.lambda; i++) {
        size_t at = i;
        for (; at > 0 && is_before(cmaes, i, cmaes->order[at - 1]); at--)
            cmaes->order[at] = cmaes->order[at - 1];
        cmaes->order[at] = i;
    }
    for (size_t i = 0; i < cmaes->cma.lambda; i++)
        cmaes->ranked[i] = cmaes->rows + cmaes->order[i] * cmaes->number_count;
}

/* Nothing more is to be found here: the distribution is a point, is degenerate, or has not brought
 * a better config for long. */
static bool has_converged(const struct cmaes *cmaes)
{
    const struct hd_cma *cma = &cmaes->cma;
    double widest = 0;
    for (size_t j = 0; j < cma->dimension; j++) {
        double deviation = hd_cma_deviation(cma, j);
        widest = deviation > widest ? deviation : widest;
    }
    double patience = 20 + 30 * (double)cma->dimension / (double)cma->lambda;
    return widest < DEVIATION_CONVERGED || hd_cma_condition(cma) > CONDITION_MAX ||
           cmaes->fold.stale > patience;
}

static void end_generation(struct cmaes *cmaes)
{
    struct fold *fold = &cmaes->fold;
    fold->gathered = 0;
    rank(cmaes);
    double best = cmaes->losses[cmaes->order[0]];
    if (!isfinite(best))
        return; /* only failures tell no direction */
    fold->stale = best < fold->best_loss ? 0 : fold->stale + 1;
    fold->best_loss = best < fold->best_loss ? best : fold->best_loss;
    hd_cma_update(&cmaes->cma, cmaes->ranked);
    keep_inside(cmaes);
    if (has_converged(cmaes))
        restart(cmaes);
}

/* Results far from the distribution say little about it, unless they are better than all it
 * brought. */
static void gather(struct cmaes *cmaes, const struct hd_told *told)
{
    struct fold *fold = &cmaes->fold;
    double *point = cmaes->rows + fold->gathered * cmaes->number_count;
    point_of(cmaes, told->config_number, point);
    if (hd_cma_distance(&cmaes->cma, point) > 2 * hd_cma_distance_max(&cmaes->cma) &&
        !(told->loss < fold->best_loss))
        return;
    cmaes->losses[fold->gathered] = told->loss;
    cmaes->config_numbers[fold->gathered] = told->config_number;
    if (++fold->gathered == cmaes->cma.lambda)
        end_generation(cmaes);
}

static void fold_begin(struct cmaes *cmaes, const struct hd_history_rung *rung)
{
    cmaes->fold = (struct fold){.rung = rung, .replaced_count = rung->replaced_count};
    cmaes->fold.folded = rung->told_count - rung->told_count % cmaes->fold_max;
    for (uint32_t i = 0; i < cmaes->fold.folded; i++)
        cmaes->fold.finite_count += isfinite(rung->told[i].loss) ? 1 : 0;
}

/* Brings the distribution up to date with the rung. */
static void fold_results(struct cmaes *cmaes, const struct hd_history_rung *rung)
{
    struct fold *fold = &cmaes->fold;
    if (fold->rung != rung || fold->replaced_count != rung->replaced_count ||
        rung->told_count - rung->told_count % cmaes->fold_max > fold->folded)
        fold_begin(cmaes, rung);
    for (;; fold->folded++) {
        bool ready = (double)fold->folded >= cmaes->n_startup && fold->finite_count >= FINITE_MIN;
        if (ready && (!fold->started || fold->folded % cmaes->fold_max == 0))
            start_from_elite(cmaes, fold->folded);
        if (fold->folded == rung->told_count)
            return;
        const struct hd_told *told = &rung->told[fold->folded];
        if (fold->started)
            gather(cmaes, told);
        fold->finite_count += isfinite(told->loss) ? 1 : 0;
    }
}

/* ---- proposals ----------------------------------------------------------------------------- */

/* The highest budget with results enough for its own distribution, or the budget with the most
 * results, or NULL while no budget has enough to begin. */
static const struct hd_history_rung *choose_rung(const struct cmaes *cmaes)
{
    const struct hd_history *history = cmaes->base.history;
    double enough = RESULTS_PER_DIMENSION * ((double)history->dimension + 1);
    const struct hd_history_rung *fullest = NULL;
    for (uint32_t i = history->rung_count; i > 0; i--) {
        const struct hd_history_rung *rung = history->rungs[i - 1];
        if ((double)rung->told_count < cmaes->n_startup || rung->finite_count < FINITE_MIN)
            continue;
        if ((double)rung->told_count >= enough)
            return rung;
        if (fullest == NULL || rung->told_count > fullest->told_count)
            fullest = rung;
    }
    return fullest;
}

/* Into [0, 1] by reflection, as often as it takes. */
static double reflect(double x)
{
    x = fmod(fabs(x), 2);
    return x > 1 ? 2 - x : x;
}

static void draw_numbers(struct cmaes *cmaes, double factor, struct hd_rng *rng)
{
    if (cmaes->number_count == 0)
        return;
    hd_cma_draw(&cmaes->cma, factor, rng, cmaes->mean);
    for (size_t j = 0; j < cmaes->number_count; j++) {
        double x = cmaes->mean[j];
        bool levels = !isinf(hd_param_levels(param_of(cmaes, cmaes->numbers[j])));
        cmaes->point[cmaes->numbers[j]] = levels ? (x < 0 ? 0 : x > 1 ? 1 : x) : reflect(x);
    }
}

/* Each from one of the best configs, sometimes from anywhere. */
static void draw_choices(struct cmaes *cmaes, const struct hd_history_rung *rung, double factor,
                         struct hd_rng *rng)
{
    uint32_t count = rung->finite_count / 5;
    count = count < 3 ? 3 : count > ELITE_MAX ? ELITE_MAX : count;
    count = count < rung->best_count ? count : rung->best_count;
    double anywhere = factor * 0.5 / (double)(cmaes->choice_count + 1);
    for (size_t i = 0; i < cmaes->choice_count; i++) {
        size_t d = cmaes->choices[i];
        const struct hd_told *told = &rung->told[rung->best[hd_rng_below(rng, count)]];
        double unit = (double)hd_history_units(cmaes->base.history, told->config_number)[d];
        bool drawn = hd_rng_double(rng) < anywhere || isnan(unit);
        double other = hd_rng_double(rng);
        cmaes->point[d] = drawn ? other : unit;
    }
}

static enum hd_code cmaes_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                  double *ret_values, struct hd_proposal_info *ret_info,
                                  struct hd_err *err)
{
    struct cmaes *cmaes = (struct cmaes *)base;
    struct hd_rng rng;
    (void)budget; /* a config that is good at the distribution's budget is meant for any */
    hd_rng_fork(base->seed, "cmaes", config_number, &rng);
    const struct hd_history_rung *rung = choose_rung(cmaes);
    if (rung == NULL || base->history->dimension == 0)
        return hd_suggest_sobol(base->history, cmaes->sobol, &rng, config_number, ret_values,
                                ret_info, err);
    if (cmaes->number_count > 0)
        fold_results(cmaes, rung);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        double factor = 1 + attempt / 2.0; /* a small space whose best part is used */
        draw_numbers(cmaes, factor, &rng);
        draw_choices(cmaes, rung, factor, &rng);
        if (!hd_history_take_unused(base->history, cmaes->point, ret_values))
            continue;
        ret_info->model = true;
        ret_info->model_budget = rung->budget;
        ret_info->model_count = rung->told_count;
        return HD_OK;
    }
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
    return hd_history_draw_unused(base->history, &rng, ret_values, err);
}

const struct hd_sampler_ops hd_sampler_cmaes_ops = {
    .name = "cmaes",
    .size = sizeof(struct cmaes),
    .scale = HD_SCALE_CHEBYSHEV,
    .prepare = cmaes_prepare,
    .release = cmaes_release,
    .suggest = cmaes_suggest,
};
