/* SPDX-License-Identifier: Apache-2.0 */
/* tuner.c: the optimizer object as a tuner: it knows neither workers nor time. */
#include "tuner.h"

#include <math.h>
#include <stdlib.h>

struct optimizer_tuner {
    struct bench_tuner base;
    struct hd_optimizer *optimizer;
};

static struct hd_optimizer *optimizer_of(struct bench_tuner *tuner)
{
    return ((struct optimizer_tuner *)(void *)tuner)->optimizer;
}

static enum hd_code ask(struct bench_tuner *tuner, uint32_t worker, double now,
                        enum hd_ask_answer *ret_answer, struct hd_optimizer_job *ret_job,
                        struct hd_err *err)
{
    (void)worker;
    (void)now;
    return hd_optimizer_ask(optimizer_of(tuner), ret_answer, ret_job, err);
}

static enum hd_code report(struct bench_tuner *tuner, uint32_t worker, uint32_t job, double now,
                           double step, double loss, bool *ret_stop, struct hd_err *err)
{
    enum hd_decision decision = HD_DECISION_CONTINUE;
    (void)worker;
    (void)now;
    enum hd_code code = hd_optimizer_report(optimizer_of(tuner), job, step, loss, &decision, err);
    if (code == HD_OK)
        *ret_stop = decision == HD_DECISION_STOP;
    return code;
}

static enum hd_code tell(struct bench_tuner *tuner, uint32_t worker, uint32_t job, double now,
                         double loss, bool stopped, struct hd_err *err)
{
    (void)worker;
    (void)now;
    return stopped ? hd_optimizer_tell_stopped(optimizer_of(tuner), job, loss, err)
                   : hd_optimizer_tell(optimizer_of(tuner), job, isfinite(loss), loss, err);
}

static enum hd_code tell_score(struct bench_tuner *tuner, uint32_t job,
                               const struct hd_score *score, struct hd_err *err)
{
    return hd_optimizer_tell_score(optimizer_of(tuner), job, true, score, err);
}

static void release(struct bench_tuner *tuner)
{
    hd_optimizer_free(optimizer_of(tuner));
    free(tuner);
}

static const struct bench_tuner_ops ops = {
    .ask = ask, .report = report, .tell = tell, .tell_score = tell_score, .free = release};

enum hd_code bench_tuner_new(const struct bench_run_spec *spec, struct bench_tuner **ret_tuner,
                             struct hd_err *err)
{
    const struct hd_experiment *experiment = spec->experiment;
    bool core = spec->core || experiment->noise.repeats > 1;
    if (core && spec->problem->objective_count > 0)
        return hd_fail(err, HD_E_UNSUPPORTED,
                       "--core and noise: measure problems with one loss; leave them out for %s",
                       spec->problem->task);
    if (core)
        return bench_tuner_core_new(spec, ret_tuner, err);
    struct hd_sampler_spec sampler = {
        .name = experiment->sampler_name,
        .settings = experiment->sampler_settings,
        .initial = experiment->initial,
        .initial_count = experiment->initial_count,
        .objective_count = experiment->objective_count,
        .constrained = experiment->constraint_count > 0,
        .seed = spec->seed,
    };
    struct optimizer_tuner *tuner = calloc(1, sizeof(*tuner));
    if (tuner == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an optimizer");
    tuner->base.ops = &ops;
    enum hd_code code = hd_optimizer_new(experiment->space, &sampler, &experiment->iter_gen,
                                         &tuner->optimizer, err);
    if (code != HD_OK) {
        free(tuner);
        return code;
    }
    *ret_tuner = &tuner->base;
    return HD_OK;
}

void bench_tuner_free(struct bench_tuner *tuner)
{
    if (tuner != NULL)
        tuner->ops->free(tuner);
}
