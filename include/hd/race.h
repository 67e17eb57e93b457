/* SPDX-License-Identifier: Apache-2.0 */
/*
 * race.h: what a noisy target's results say of its configs, and which config is worth another look.
 * Pure and deterministic: a fold over what was queued and what ended.
 *
 * A race knows every config that has a result at the largest budget, and how many. What it says of
 * a config is the mean of a normal posterior: the noise has one variance for all of them, pooled
 * from the configs with several results; the prior is the normal distribution that the better half
 * of the first results comes from (its quantiles at 1/2 and 1/8; the other half may lie anywhere),
 * less the noise. That is the estimator of Efron and Morris (1975, "Data analysis using Stein's
 * estimator and its generalizations") with unequal counts; quantiles stand for moments, since
 * losses have a long tail to the right. With few configs there is no prior and the mean of the
 * results is all.
 *
 * The rule of repeats is LUCB (Kalyanakrishnan, Tewari, Auer and Stone 2012, "PAC subset selection
 * in stochastic multi-armed bandits") with bounds from the posterior: of the incumbent and the
 * challenger with the lowest lower bound, the one with fewer results is evaluated again, as long as
 * the two are not told apart. Repeats under way count as results, so that many workers spread over
 * several challengers. Repeats take at most a share of all that is spent.
 */
#ifndef HD_RACE_H
#define HD_RACE_H

#include <hd/base.h>

#define HD_REPEATS_MAX 1000

struct hd_race_spec {
    uint32_t repeats; /* most evaluations of a config at the largest budget, >= 1; 1: none again */
    double share;     /* of the budget of all jobs, that repeats may take; in (0, 1) */
};

/* How an evaluation at the largest budget ended. */
enum hd_race_end {
    HD_RACE_END_OK,     /* with a finite loss */
    HD_RACE_END_FAILED, /* the target's own failure: a config that fails now and then comes after
                         * all others */
    HD_RACE_END_LOST,   /* nothing is learned: a person, a lost worker */
};

struct hd_race_estimate {
    uint32_t config;
    uint32_t job;     /* that brought the first result */
    uint32_t results; /* that were ok */
    bool failed;      /* another evaluation of it failed */
    double mean;      /* of the results */
    double loss;      /* posterior mean */
    double error;     /* posterior standard deviation; NaN until the noise is known */
};

struct hd_race;
/* HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_race_new(const struct hd_race_spec *spec, struct hd_race **ret_race,
                                      struct hd_err *err);
void hd_race_free(struct hd_race *race);

/* Memory for one more result; the only fallible change. */
HD_NODISCARD enum hd_code hd_race_reserve(struct hd_race *race, struct hd_err *err);
/* A job was queued. repeat: 0 for what the iteration generator asked for, whatever its budget; from
 * 1 on for an evaluation that hd_race_next() named. */
void hd_race_queued(struct hd_race *race, uint32_t config, uint32_t repeat, double budget);
/* A job at the largest budget ended for good. O(configs with a result). */
void hd_race_ended(struct hd_race *race, uint32_t config, uint32_t job, bool repeated,
                   enum hd_race_end end, double loss);

/* Only what the result tells, where it does not matter what is under way. */
void hd_race_result(struct hd_race *race, uint32_t config, uint32_t job, enum hd_race_end end,
                    double loss);

/* The config to evaluate again, which has a result, and the number of this repeat of it. false:
 * none now. `budget` is the largest one. closed: no other config will have a result there, so that
 * few are raced too. Only looks; O(configs with a result) after a change. */
bool hd_race_next(struct hd_race *race, double budget, bool closed,
                  struct hd_race_estimate *ret_estimate, uint32_t *ret_repeat);
/* The incumbent: of those that never failed the lowest posterior mean, ties by config number.
 * false: nothing has a result. O(configs with a result). */
bool hd_race_best(const struct hd_race *race, struct hd_race_estimate *ret_estimate);
/* What is known of one config. false: it has no result. */
bool hd_race_find(const struct hd_race *race, uint32_t config,
                  struct hd_race_estimate *ret_estimate);
/* Everyone, rising by config number: ret_estimates[hd_race_count()]. */
size_t hd_race_count(const struct hd_race *race);
void hd_race_all(const struct hd_race *race, struct hd_race_estimate *ret_estimates);
/* Which of two estimates goes first. */
int hd_race_compare(const struct hd_race_estimate *a, const struct hd_race_estimate *b);
/* Pooled variance of one result; NaN: no config has two. */
double hd_race_noise(const struct hd_race *race);
/* Over everything that decides the future. */
uint64_t hd_race_digest(const struct hd_race *race);

#endif
