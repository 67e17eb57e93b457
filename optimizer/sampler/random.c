/* SPDX-License-Identifier: Apache-2.0 */
/* random.c: the two samplers without a model: uniform, and a scrambled Sobol sequence. */
#include "sampler_priv.h"

static enum hd_code random_suggest(struct hd_sampler *sampler, uint32_t config_number,
                                   double budget, double *ret_values,
                                   struct hd_proposal_info *ret_info, struct hd_err *err)
{
    struct hd_rng rng;
    (void)budget;
    (void)ret_info;
    hd_rng_fork(sampler->seed, "random", config_number, &rng);
    return hd_history_draw_unused(sampler->history, &rng, ret_values, err);
}

const struct hd_sampler_ops hd_sampler_random_ops = {
    .name = "random",
    .size = sizeof(struct hd_sampler),
    .light = true,
    .suggest = random_suggest,
};

/* ---- sobol --------------------------------------------------------------------------------- */

struct sobol_sampler {
    struct hd_sampler base;
    struct hd_sobol *sobol;
};

enum hd_code hd_suggest_sobol(const struct hd_history *history, const struct hd_sobol *sobol,
                              struct hd_rng *rng, uint32_t config_number, double *ret_values,
                              struct hd_proposal_info *ret_info, struct hd_err *err)
{
    double cube[HD_SPACE_PARAMS_MAX];
    hd_sobol_point(sobol, config_number, cube);
    hd_space_from_cube(history->space, cube, history->scratch);
    if (!hd_space_finish(history->space, history->scratch) ||
        hd_history_has(history, history->scratch)) {
        hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "random");
        return hd_history_draw_unused(history, rng, ret_values, err);
    }
    hd_copy_text(ret_info->sampler, sizeof(ret_info->sampler), "sobol");
    for (size_t i = 0; i < history->space->param_count; i++)
        ret_values[i] = history->scratch[i];
    return HD_OK;
}

static enum hd_code sobol_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                  struct hd_err *err)
{
    struct sobol_sampler *sampler = (struct sobol_sampler *)base;
    enum hd_code code = hd_settings_read("sobol", settings, NULL, 0, err);
    if (code == HD_OK)
        code = hd_sobol_new(base->seed, base->space->free_count, &sampler->sobol, err);
    return code;
}

static void sobol_release(struct hd_sampler *base)
{
    hd_sobol_free(((struct sobol_sampler *)base)->sobol);
}

static enum hd_code sobol_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                  double *ret_values, struct hd_proposal_info *ret_info,
                                  struct hd_err *err)
{
    const struct sobol_sampler *sampler = (const struct sobol_sampler *)base;
    struct hd_rng rng;
    (void)budget;
    hd_rng_fork(base->seed, "sobol", config_number, &rng);
    /* The sequence begins after what is known and the initial configs. */
    uint32_t first = (uint32_t)base->initial_count + base->known_count;
    uint32_t index = config_number >= first ? config_number - first : config_number;
    return hd_suggest_sobol(base->history, sampler->sobol, &rng, index, ret_values, ret_info, err);
}

const struct hd_sampler_ops hd_sampler_sobol_ops = {
    .name = "sobol",
    .size = sizeof(struct sobol_sampler),
    .light = true,
    .prepare = sobol_prepare,
    .release = sobol_release,
    .suggest = sobol_suggest,
};
