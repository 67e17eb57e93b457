/* SPDX-License-Identifier: Apache-2.0 */
/* preset.c: see preset.h and the table in docs/optimizers.md. */
#include "preset.h"

#include <math.h>

#define FORGETTING_FROM 25u /* newest results of full weight (optuna, hyperopt) */
#define WEIGHT_MIN 1e-12
#define ETPE_FACTOR_FALL 0.96 /* a proposal */

const char *const hd_preset_names[HD_PRESET_COUNT + 1] = {
    "default", "optuna", "hyperopt", "watanabe", "bohb", "etpe", NULL};

enum counting { COUNT_PART, COUNT_ROOT, COUNT_FLOOR };
enum weights { WEIGHTS_EQUAL, WEIGHTS_RECENT, WEIGHTS_IMPROVEMENT };

/* What a preset is made of, beside its settings. */
struct recipe {
    struct hd_mixture_rule rule;
    enum counting counting; /* of good: ceil(gamma n), ceil(gamma sqrt n), floor(gamma n) */
    enum weights good_weights, bad_weights;
    bool pending_is_bad;
};

static const struct recipe recipes[HD_PRESET_COUNT] = {
    [HD_PRESET_OPTUNA] = {{.bandwidth = HD_BANDWIDTH_GAPS,
                           .ends = HD_GAP_ENDS_NONE,
                           .joint = true,
                           .prior = true,
                           .sigma_fall = 1,
                           .sigma_fall_to = 0.01},
                          COUNT_PART,
                          WEIGHTS_RECENT,
                          WEIGHTS_RECENT,
                          true},
    [HD_PRESET_HYPEROPT] = {{.bandwidth = HD_BANDWIDTH_GAPS,
                             .ends = HD_GAP_ENDS_PRIOR,
                             .prior = true,
                             .sigma_fall = 1,
                             .sigma_fall_to = 0.01},
                            COUNT_ROOT,
                            WEIGHTS_RECENT,
                            WEIGHTS_RECENT,
                            false},
    [HD_PRESET_WATANABE] = {{.bandwidth = HD_BANDWIDTH_GAPS,
                             .ends = HD_GAP_ENDS_RANGE,
                             .joint = true,
                             .prior = true,
                             .sigma_fall = 2},
                            COUNT_PART,
                            WEIGHTS_IMPROVEMENT,
                            WEIGHTS_EQUAL,
                            false},
    [HD_PRESET_BOHB] = {{.bandwidth = HD_BANDWIDTH_REFERENCE, .joint = true},
                        COUNT_FLOOR,
                        WEIGHTS_EQUAL,
                        WEIGHTS_EQUAL,
                        false},
    [HD_PRESET_ETPE] = {{.bandwidth = HD_BANDWIDTH_ISOTROPIC, .joint = true},
                        COUNT_FLOOR,
                        WEIGHTS_EQUAL,
                        WEIGHTS_EQUAL,
                        false},
};

void hd_preset_defaults(enum hd_preset_kind kind, size_t dimension,
                        struct hd_preset_settings *ret_settings)
{
    double d = (double)dimension;
    *ret_settings = (struct hd_preset_settings){.kind = kind,
                                                .n_startup = 10,
                                                .n_candidates = 24,
                                                .gamma = 0.15,
                                                .gamma_max = 25,
                                                .prior_weight = 1,
                                                .bandwidth_factor = 1};
    switch (kind) {
    case HD_PRESET_DEFAULT:
    case HD_PRESET_COUNT:
        ret_settings->random_fraction = 0.05;
        ret_settings->gamma = 0.2;
        break;
    case HD_PRESET_OPTUNA:
        ret_settings->gamma = 0.1;
        break;
    case HD_PRESET_HYPEROPT:
        ret_settings->n_startup = 20;
        ret_settings->gamma = 0.25;
        break;
    case HD_PRESET_WATANABE:
        ret_settings->bandwidth_min = 0.03;
        break;
    case HD_PRESET_BOHB:
        ret_settings->n_startup = 2 * d + 2;
        ret_settings->n_candidates = 64;
        ret_settings->random_fraction = 1.0 / 3;
        ret_settings->gamma_max = HD_HISTORY_BEST_MAX - 1;
        ret_settings->bandwidth_min = 1e-3;
        ret_settings->bandwidth_factor = 3;
        break;
    case HD_PRESET_ETPE:
        ret_settings->n_startup = 20;
        ret_settings->n_candidates = 4 * d > 8 ? 4 * d : 8;
        ret_settings->gamma_max = HD_HISTORY_BEST_MAX - 1;
        ret_settings->bandwidth_factor = 4;
        break;
    }
}

enum hd_code hd_preset_init(struct hd_preset *preset, const struct hd_preset_settings *settings,
                            const struct hd_history *history, struct hd_err *err)
{
    size_t dimension = history->dimension;
    *preset = (struct hd_preset){.history = history, .settings = *settings};
    preset->axes = hd_calloc(dimension + 1, sizeof(*preset->axes));
    preset->items = hd_calloc(HD_PRESET_BAD_MAX + HD_PRESET_PENDING_MAX, sizeof(*preset->items));
    if (preset->axes == NULL || preset->items == NULL) {
        hd_preset_release(preset);
        return hd_fail(err, HD_E_NOMEM, "no memory for a model of %zu dimensions", dimension);
    }
    for (size_t d = 0; d < dimension; d++)
        hd_axis_init(&preset->axes[d], &history->space->params[history->params[d]]);
    hd_mixture_init(&preset->good, history, preset->axes);
    hd_mixture_init(&preset->bad, history, preset->axes);
    return HD_OK;
}

void hd_preset_release(struct hd_preset *preset)
{
    hd_mixture_release(&preset->good);
    hd_mixture_release(&preset->bad);
    hd_free(preset->axes);
    hd_free(preset->items);
    *preset = (struct hd_preset){0};
}

/* ---- the split ------------------------------------------------------------------------------- */

static size_t count_good(const struct hd_preset *preset, const struct hd_history_rung *rung)
{
    const struct hd_preset_settings *settings = &preset->settings;
    double n = (double)rung->told_count, wanted = 0;
    switch (recipes[settings->kind].counting) {
    case COUNT_PART:
        wanted = ceil(settings->gamma * n);
        break;
    case COUNT_ROOT:
        wanted = ceil(settings->gamma * sqrt(n));
        break;
    case COUNT_FLOOR: {
        double least =
            settings->kind == HD_PRESET_BOHB ? (double)preset->history->dimension + 1 : 2;
        wanted = floor(settings->gamma * n);
        wanted = wanted > least ? wanted : least;
        break;
    }
    }
    wanted = wanted < settings->gamma_max ? wanted : settings->gamma_max;
    /* At least one result stays bad, and only finite ones are good. */
    double most =
        rung->told_count > rung->finite_count ? rung->finite_count : (double)rung->finite_count - 1;
    most = most < HD_HISTORY_BEST_MAX - 1 ? most : HD_HISTORY_BEST_MAX - 1;
    return (size_t)(wanted < most ? wanted : most);
}

/* 1 for the newest, falling linearly to 1 / n for the oldest. place: 0 .. count - 1 by age. */
static double recent_weight(size_t place, size_t count)
{
    if (count < FORGETTING_FROM || place + FORGETTING_FROM >= count)
        return 1;
    double ramp = (double)(count - FORGETTING_FROM), least = 1 / (double)count;
    return ramp > 1 ? least + (1 - least) * (double)place / (ramp - 1) : least;
}

static double weight_of(enum weights weights, size_t place, size_t count)
{
    return weights == WEIGHTS_RECENT ? recent_weight(place, count) : 1;
}

/* Good results are sorted by loss; how many of them arrived before this one? */
static size_t place_by_age(const struct hd_history_rung *rung, size_t count, size_t k)
{
    size_t place = 0;
    for (size_t i = 0; i < count; i++)
        place += rung->best[i] < rung->best[k] ? 1 : 0;
    return place;
}

static double improvement(const struct hd_history_rung *rung, size_t count, size_t k)
{
    size_t bound = count < rung->best_count ? count : count - 1;
    double by = rung->told[rung->best[bound]].loss - rung->told[rung->best[k]].loss;
    return by > WEIGHT_MIN && isfinite(by) ? by : WEIGHT_MIN;
}

static enum hd_code build_good(struct hd_preset *preset, const struct hd_mixture_rule *rule,
                               const struct hd_history_rung *rung, size_t count, struct hd_err *err)
{
    enum weights weights = recipes[preset->settings.kind].good_weights;
    double sum = 0;
    for (size_t k = 0; k < count; k++) {
        double weight = weights == WEIGHTS_IMPROVEMENT
                            ? improvement(rung, count, k)
                            : weight_of(weights, place_by_age(rung, count, k), count);
        preset->items[k] =
            (struct hd_mixture_item){rung->told[rung->best[k]].config_number, weight};
        sum += weight;
    }
    double prior = preset->settings.prior_weight;
    if (weights == WEIGHTS_IMPROVEMENT)
        prior *= sum / (double)count;
    return hd_mixture_fit(&preset->good, rule, preset->items, count, prior, err);
}

static bool is_good(const struct hd_history_rung *rung, size_t good_count, uint32_t index)
{
    for (size_t i = 0; i < good_count; i++) {
        if (rung->best[i] == index)
            return true;
    }
    return false;
}

/* Each block of results in the order of arrival stands by one of them, with their weight. */
static size_t list_bad(struct hd_preset *preset, const struct hd_history_rung *rung,
                       size_t good_count)
{
    const struct recipe *recipe = &recipes[preset->settings.kind];
    size_t told = rung->told_count, bad_total = told - good_count, count = 0;
    size_t block = (told + HD_PRESET_BAD_MAX - 1) / HD_PRESET_BAD_MAX;
    for (size_t first = 0; first < told; first += block) {
        size_t size = told - first < block ? told - first : block;
        uint64_t hash = hd_hash_u64(HD_HASH_INIT, first);
        uint32_t index = (uint32_t)(first + (hash >> 24) % size);
        if (is_good(rung, good_count, index))
            continue;
        size_t place = first < bad_total ? first : bad_total - 1;
        double weight = weight_of(recipe->bad_weights, place, bad_total) * (double)size;
        preset->items[count++] = (struct hd_mixture_item){rung->told[index].config_number, weight};
    }
    const struct hd_history *history = preset->history;
    size_t pending = history->pending_count;
    pending = pending < HD_PRESET_PENDING_MAX ? pending : HD_PRESET_PENDING_MAX;
    for (size_t i = 0; recipe->pending_is_bad && i < pending; i++)
        preset->items[count++] =
            (struct hd_mixture_item){history->pending[history->pending_count - pending + i], 1};
    return count;
}

enum hd_code hd_preset_build(struct hd_preset *preset, const struct hd_history_rung *rung,
                             struct hd_err *err)
{
    const struct hd_preset_settings *settings = &preset->settings;
    struct hd_mixture_rule rule = recipes[settings->kind].rule;
    size_t good_count = count_good(preset, rung);
    hd_assert(good_count > 0 && settings->kind != HD_PRESET_DEFAULT);
    rule.sigma_min = settings->bandwidth_min;
    preset->factor = settings->bandwidth_factor;
    if (settings->kind == HD_PRESET_ETPE) {
        /* UltraOpt counts its picks; here the configs since the first model could be had. */
        double picks = (double)preset->history->config_count - settings->n_startup;
        preset->factor =
            1 + (settings->bandwidth_factor - 1) * pow(ETPE_FACTOR_FALL, picks > 0 ? picks : 0);
    }
    enum hd_code code = build_good(preset, &rule, rung, good_count, err);
    if (code != HD_OK)
        return code;
    size_t bad_count = list_bad(preset, rung, good_count);
    if (bad_count == 0 && !rule.prior) /* every block's representative is a good one */
        preset->items[bad_count++] =
            (struct hd_mixture_item){rung->told[rung->told_count - 1].config_number, 1};
    return hd_mixture_fit(&preset->bad, &rule, preset->items, bad_count, settings->prior_weight,
                          err);
}

/* ---- candidates ------------------------------------------------------------------------------ */

/* hyperopt: every coordinate is chosen by itself, from candidates of its own. */
static double best_of_coordinate(const struct hd_preset *preset, size_t d, struct hd_rng *rng)
{
    double best = 0.5, best_score = -INFINITY;
    for (size_t i = 0; i < (size_t)preset->settings.n_candidates; i++) {
        size_t component = hd_mixture_pick_at(&preset->good, d, rng);
        double x = hd_mixture_draw(&preset->good, component, d, preset->factor, rng);
        x = hd_axis_snap(&preset->axes[d], x);
        double score =
            hd_mixture_log_at(&preset->good, d, x) - hd_mixture_log_at(&preset->bad, d, x);
        if (score > best_score) {
            best = x;
            best_score = score;
        }
    }
    return best;
}

void hd_preset_draw(const struct hd_preset *preset, struct hd_rng *rng, double *ret_point)
{
    size_t dimension = preset->history->dimension;
    bool joint = preset->good.rule.joint;
    size_t component = joint ? hd_mixture_pick(&preset->good, rng) : 0;
    for (size_t d = 0; d < dimension; d++) {
        ret_point[d] = joint ? hd_mixture_draw(&preset->good, component, d, preset->factor, rng)
                             : best_of_coordinate(preset, d, rng);
    }
    /* etpe: what falls beside the cube is put on its edge, where UltraOpt's space puts it. */
    for (size_t d = 0; d < dimension; d++)
        ret_point[d] = hd_axis_snap(&preset->axes[d], fmin(fmax(ret_point[d], 0), 1));
}

double hd_preset_score(const struct hd_preset *preset, const float *point)
{
    if (!preset->good.rule.joint)
        return 0;
    return hd_mixture_log(&preset->good, point) - hd_mixture_log(&preset->bad, point);
}
