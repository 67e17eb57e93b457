/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grid.c: every config of a finite space, or of a grid laid over an infinite one, once.
 *
 * The proposal is the first config in the order of the grid that is not used yet. Used configs only
 * ever become more, so the search goes on where the last one ended. The shuffled order is a
 * permutation by number: a Feistel network over the next even power of two, walked along its cycle
 * until it hits a number of the grid (Black and Rogaway 2002).
 */
#include "sampler_priv.h"

#define ROUNDS 6
#define DRAWS_MAX 64
/* Beyond, configs are drawn: nobody will see such a grid to its end. */
#define SHUFFLED_MAX (UINT64_C(1) << 62)

struct grid_sampler {
    struct hd_sampler base;
    struct hd_grid *grid;
    bool shuffled;
    uint64_t place;     /* all before are used */
    uint64_t half_mask; /* of the two halves of a number */
    unsigned half_bits;
};

static enum hd_code grid_prepare(struct hd_sampler *base, const struct hd_value *settings,
                                 struct hd_err *err)
{
    static const char *const orders[] = {"shuffled", "file", NULL};
    struct grid_sampler *sampler = (struct grid_sampler *)base;
    double points = 10;
    size_t order = 0;
    const struct hd_setting table[] = {
        {.name = "points", .low = 1, .high = HD_GRID_POINTS_MAX, .whole = true, .value = &points},
        {.name = "order"},
    };
    enum hd_code code = hd_settings_read("grid", settings, table, HD_COUNT(table), err);
    if (code == HD_OK)
        code = hd_settings_choice(settings, "order", orders, &order, err);
    if (code == HD_OK)
        code = hd_grid_new(base->space, (uint32_t)points, &sampler->grid, err);
    if (code != HD_OK)
        return code;
    sampler->shuffled = order == 0;
    sampler->half_bits = 1;
    while (sampler->half_bits < 31 &&
           UINT64_C(1) << (2 * sampler->half_bits) < hd_grid_size(sampler->grid))
        sampler->half_bits++;
    sampler->half_mask = (UINT64_C(1) << sampler->half_bits) - 1;
    return HD_OK;
}

static void grid_release(struct hd_sampler *base)
{
    hd_grid_free(((struct grid_sampler *)base)->grid);
}

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return hash ^ (hash >> 31);
}

static uint64_t permute_once(const struct grid_sampler *sampler, uint64_t number)
{
    uint64_t left = number >> sampler->half_bits, right = number & sampler->half_mask;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint64_t key = mix(sampler->base.seed + round * UINT64_C(0x9e3779b97f4a7c15));
        uint64_t next = left ^ (mix(right ^ key) & sampler->half_mask);
        left = right;
        right = next;
    }
    return left << sampler->half_bits | right;
}

/* The cycle comes back to the number it began with, so the walk ends; four steps on the average at
 * most. */
static uint64_t shuffled_place(const struct grid_sampler *sampler, uint64_t place)
{
    uint64_t size = hd_grid_size(sampler->grid);
    do
        place = permute_once(sampler, place);
    while (place >= size);
    return place;
}

static enum hd_code draw(const struct grid_sampler *sampler, uint32_t config_number,
                         double *ret_values)
{
    struct hd_rng rng;
    hd_rng_fork(sampler->base.seed, "grid", config_number, &rng);
    for (int i = 0; i < DRAWS_MAX; i++) {
        hd_grid_sample(sampler->grid, &rng, ret_values);
        if (!hd_history_has(sampler->base.history, ret_values))
            break;
    }
    return HD_OK;
}

static enum hd_code grid_suggest(struct hd_sampler *base, uint32_t config_number, double budget,
                                 double *ret_values, struct hd_proposal_info *ret_info,
                                 struct hd_err *err)
{
    struct grid_sampler *sampler = (struct grid_sampler *)base;
    double values[HD_SPACE_PARAMS_MAX];
    uint64_t size = hd_grid_size(sampler->grid);
    (void)budget;
    (void)ret_info;
    if (sampler->shuffled && size > SHUFFLED_MAX)
        return draw(sampler, config_number, ret_values);
    for (; sampler->place < size; sampler->place++) {
        uint64_t place =
            sampler->shuffled ? shuffled_place(sampler, sampler->place) : sampler->place;
        hd_grid_config(sampler->grid, place, values);
        if (hd_history_has(base->history, values))
            continue;
        for (size_t i = 0; i < base->space->param_count; i++)
            ret_values[i] = values[i];
        return HD_OK;
    }
    return hd_fail(err, HD_E_LIMIT, "all configs of the grid are used");
}

const struct hd_sampler_ops hd_sampler_grid_ops = {
    .name = "grid",
    .size = sizeof(struct grid_sampler),
    .prepare = grid_prepare,
    .release = grid_release,
    .suggest = grid_suggest,
};
