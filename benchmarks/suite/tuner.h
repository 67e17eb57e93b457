/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tuner.h: what a run in virtual time asks for jobs and tells of results. Two ways through one
 * interface: the optimizer object alone, and the master's core with its W workers, as a master's
 * driver and its workers use it (hellos, polls, pings with curve points, reports; one sampler that
 * learns from facts), without wire and disk.
 *
 * A worker holds at most one job. Times are virtual, in seconds, and never fall.
 */
#ifndef HD_BENCH_TUNER_H
#define HD_BENCH_TUNER_H

#include "bench.h"

struct bench_tuner;

struct bench_tuner_ops {
    /* What the worker should do now. WAIT: ask again after another job has ended. ret_job->values
     * are of the tuner until the next call. */
    enum hd_code (*ask)(struct bench_tuner *tuner, uint32_t worker, double now,
                        enum hd_ask_answer *ret_answer, struct hd_optimizer_job *ret_job,
                        struct hd_err *err);
    /* A job on a learning curve has reached this step and goes on unless *ret_stop. */
    enum hd_code (*report)(struct bench_tuner *tuner, uint32_t worker, uint32_t job, double now,
                           double step, double loss, bool *ret_stop, struct hd_err *err);
    /* The worker's job is over; loss NaN or infinite: it failed. stopped: it was told to. */
    enum hd_code (*tell)(struct bench_tuner *tuner, uint32_t worker, uint32_t job, double now,
                         double loss, bool stopped, struct hd_err *err);
    /* The config that a person would be told now, where repeats are evaluated; NULL: the one of the
     * lowest loss at the highest budget. false: none yet. */
    bool (*best)(struct bench_tuner *tuner, uint32_t *ret_config);
    /* The same of a problem with several objectives; NULL: this tuner takes one loss. */
    enum hd_code (*tell_score)(struct bench_tuner *tuner, uint32_t job,
                               const struct hd_score *score, struct hd_err *err);
    void (*free)(struct bench_tuner *tuner);
};

struct bench_tuner {
    const struct bench_tuner_ops *ops;
};

/* The one that spec->core chooses. The experiment is borrowed. Free with bench_tuner_free. */
HD_NODISCARD enum hd_code bench_tuner_new(const struct bench_run_spec *spec,
                                          struct bench_tuner **ret_tuner, struct hd_err *err);
HD_NODISCARD enum hd_code bench_tuner_core_new(const struct bench_run_spec *spec,
                                               struct bench_tuner **ret_tuner, struct hd_err *err);
void bench_tuner_free(struct bench_tuner *tuner);

#endif
