/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimizer.h: a sampler and an iteration generator as one thing that is asked and told. Pure.
 *
 * It is what `hd ask-tell`, the benchmarks and the library use: no workers, no retries, no clock.
 * Any number of jobs may be outstanding, results may come in any order, and the same calls in the
 * same order give the same answers, so a log of calls is a checkpoint. The master's core does
 * not use it: it has facts instead.
 */
#ifndef HD_OPTIMIZER_H
#define HD_OPTIMIZER_H

#include <hd/iter_gen.h>
#include <hd/sampler.h>

#define HD_OPTIMIZER_JOBS_MAX 100000000u

enum hd_ask_answer {
    HD_ASK_ANSWER_JOB,  /* run this */
    HD_ASK_ANSWER_WAIT, /* nothing until a result is told */
    HD_ASK_ANSWER_DONE, /* nothing ever again; outstanding jobs may still be told */
};

/* One job: a config at a budget. Jobs are numbered from 0 in the order they were asked for. */
struct hd_optimizer_job {
    uint32_t job_number;
    uint32_t config_number;
    struct hd_config_id config_id;
    const double *values; /* [space->param_count]; of the optimizer, until the next ask */
    double budget;
    double budget_previous;       /* NaN: the config is new */
    struct hd_proposal_info info; /* of the config, from when it was proposed */
};

struct hd_optimizer_best {
    uint32_t job_number;
    uint32_t config_number;
    struct hd_config_id config_id;
    const double *values; /* as above */
    double budget;        /* that the loss belongs to: of the job, or of a rung on its way */
    double loss;          /* the first one, where there are several */
    struct hd_score score;
};

struct hd_optimizer;

/* How many objectives there are and whether there are constraints, both specs say alike. `space` is
 * borrowed and outlives the optimizer; the specs are only read here. */
HD_NODISCARD enum hd_code hd_optimizer_new(const struct hd_space *space,
                                           const struct hd_sampler_spec *sampler_spec,
                                           const struct hd_iter_gen_spec *iter_gen_spec,
                                           struct hd_optimizer **ret_optimizer, struct hd_err *err);
void hd_optimizer_free(struct hd_optimizer *optimizer);

/* ret_job is set for HD_ASK_ANSWER_JOB only. A finite space without an unused config is no error:
 * no further new configs are handed out, those that exist are promoted. On failure (memory) nothing
 * has changed and the call can be repeated. */
HD_NODISCARD enum hd_code hd_optimizer_ask(struct hd_optimizer *optimizer,
                                           enum hd_ask_answer *ret_answer,
                                           struct hd_optimizer_job *ret_job, struct hd_err *err);
/* A job ended for good. ok with a NaN or infinite loss counts as failed. HD_E_NOTFOUND: no such
 * job; HD_E_CONFLICT: it was told before. On failure nothing has changed. */
HD_NODISCARD enum hd_code hd_optimizer_tell(struct hd_optimizer *optimizer, uint32_t job_number,
                                            bool ok, double loss, struct hd_err *err);

/* The same with all losses and the violation of constraints. */
HD_NODISCARD enum hd_code hd_optimizer_tell_score(struct hd_optimizer *optimizer,
                                                  uint32_t job_number, bool ok,
                                                  const struct hd_score *score, struct hd_err *err);

/*
 * A running job says how it stands after `step` of its budget. ret_decision: go on, or end it and
 * say so with hd_optimizer_tell_stopped(). At a rung of the generator the sampler is told and the
 * value may be the best so far. A loss that is not finite is never told, and may be a reason to
 * stop. HD_E_NOTFOUND, HD_E_CONFLICT: as above; HD_E_INVALID: the step is not above 0. A step that
 * is not above the last one changes nothing.
 */
HD_NODISCARD enum hd_code hd_optimizer_report(struct hd_optimizer *optimizer, uint32_t job_number,
                                              double step, double loss,
                                              enum hd_decision *ret_decision, struct hd_err *err);
/* The job was told to stop and did: `loss` is its last one and may be the best at the budget of
 * the rung that it had reached; the sampler learned of the report that decided it. A job that ended
 * by itself meanwhile is told with hd_optimizer_tell(): its result may be the best as well, and
 * changes nothing else.
 * HD_E_CONFLICT also when nobody told it to stop. */
HD_NODISCARD enum hd_code hd_optimizer_tell_stopped(struct hd_optimizer *optimizer,
                                                    uint32_t job_number, double loss,
                                                    struct hd_err *err);

/* Outstanding jobs, rising by number; index < hd_optimizer_pending_count(). */
size_t hd_optimizer_pending_count(const struct hd_optimizer *optimizer);
void hd_optimizer_pending(const struct hd_optimizer *optimizer, size_t index,
                          struct hd_optimizer_job *ret_job);
/* The incumbent: the lowest loss at the highest budget that has a result, ties by config id. With
 * several objectives that of hd_score_compare(): an end of the front. false while there is none. */
bool hd_optimizer_best(const struct hd_optimizer *optimizer, struct hd_optimizer_best *ret_best);
/* Every feasible result at the highest budget that has one, which no other dominates (where none is
 * feasible: the least infeasible), in the order of their jobs; one objective: the best alone. The
 * caller frees ret_front with hd_free(); NULL when there is none. HD_E_NOMEM. */
HD_NODISCARD enum hd_code hd_optimizer_front(const struct hd_optimizer *optimizer,
                                             struct hd_optimizer_best **ret_front,
                                             size_t *ret_count, struct hd_err *err);

#endif
