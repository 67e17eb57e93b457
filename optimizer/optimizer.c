/* SPDX-License-Identifier: Apache-2.0 */
/* optimizer.c: asks the iteration generator what is next and the sampler what to try there. */
#include <hd/optimizer.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct config {
    struct hd_config_id id;
    struct hd_proposal_info info;
};

struct job {
    uint32_t config_number;
    uint32_t iteration;
    uint32_t rung;
    bool ended;
    bool stopped; /* a report was answered so */
    bool taught;  /* and the sampler was told of it */
    double budget, budget_previous;
    double budget_reached; /* of the last rung that it passed; NaN: none */
    bool has_score;        /* it ended well */
};

struct hd_optimizer {
    const struct hd_space *space; /* borrowed */
    struct hd_sampler *sampler;
    struct hd_iter_gen *gen;
    struct config *configs;
    double *values; /* [config][param_count] */
    uint32_t config_count, config_capacity;
    struct job *jobs;
    uint32_t *pending; /* numbers of outstanding jobs, rising */
    uint32_t job_count, job_capacity, pending_count;
    uint32_t objective_count;
    bool has_vectors;
    struct hd_score *scores; /* [job]; with several objectives or constraints, else NULL */
    bool has_best;
    uint32_t best_job;
    struct hd_score best_score;
    double best_budget;
};

enum hd_code hd_optimizer_new(const struct hd_space *space,
                              const struct hd_sampler_spec *sampler_spec,
                              const struct hd_iter_gen_spec *iter_gen_spec,
                              struct hd_optimizer **ret_optimizer, struct hd_err *err)
{
    struct hd_optimizer *optimizer = hd_calloc(1, sizeof(*optimizer));
    if (optimizer == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an optimizer");
    optimizer->space = space;
    optimizer->objective_count =
        sampler_spec->objective_count > 0 ? sampler_spec->objective_count : 1;
    optimizer->has_vectors = optimizer->objective_count > 1 || sampler_spec->constrained;
    enum hd_code code = hd_sampler_new(sampler_spec, space, &optimizer->sampler, err);
    if (code == HD_OK)
        code = hd_iter_gen_new(iter_gen_spec, &optimizer->gen, err);
    if (code != HD_OK) {
        hd_optimizer_free(optimizer);
        return code;
    }
    *ret_optimizer = optimizer;
    return HD_OK;
}

void hd_optimizer_free(struct hd_optimizer *optimizer)
{
    if (optimizer == NULL)
        return;
    hd_sampler_free(optimizer->sampler);
    hd_iter_gen_free(optimizer->gen);
    hd_free(optimizer->configs);
    hd_free(optimizer->values);
    hd_free(optimizer->jobs);
    hd_free(optimizer->scores);
    hd_free(optimizer->pending);
    hd_free(optimizer);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static double *values_of(const struct hd_optimizer *optimizer, uint32_t config_number)
{
    return optimizer->values + (size_t)config_number * optimizer->space->param_count;
}

/* Room for one more config and one more job. An array that grew before a failure is merely larger
 * than its capacity says. */
static enum hd_code reserve(struct hd_optimizer *optimizer, struct hd_err *err)
{
    if (optimizer->job_count >= HD_OPTIMIZER_JOBS_MAX)
        return hd_fail(err, HD_E_LIMIT, "an optimizer has at most %u jobs", HD_OPTIMIZER_JOBS_MAX);
    if (optimizer->config_count == optimizer->config_capacity) {
        size_t capacity = (size_t)optimizer->config_capacity * 2 + 64;
        size_t row = optimizer->space->param_count * sizeof(double);
        struct config *configs = hd_realloc(optimizer->configs, capacity * sizeof(*configs));
        optimizer->configs = configs != NULL ? configs : optimizer->configs;
        double *values = hd_realloc(optimizer->values, capacity * row);
        optimizer->values = values != NULL ? values : optimizer->values;
        if (configs == NULL || values == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory for another config");
        optimizer->config_capacity = (uint32_t)capacity;
    }
    if (optimizer->job_count == optimizer->job_capacity) {
        size_t capacity = (size_t)optimizer->job_capacity * 2 + 64;
        struct job *jobs = hd_realloc(optimizer->jobs, capacity * sizeof(*jobs));
        optimizer->jobs = jobs != NULL ? jobs : optimizer->jobs;
        uint32_t *pending = hd_realloc(optimizer->pending, capacity * sizeof(*pending));
        optimizer->pending = pending != NULL ? pending : optimizer->pending;
        struct hd_score *scores = NULL;
        if (optimizer->has_vectors) {
            scores = hd_realloc(optimizer->scores, capacity * sizeof(*scores));
            optimizer->scores = scores != NULL ? scores : optimizer->scores;
        }
        if (jobs == NULL || pending == NULL || (optimizer->has_vectors && scores == NULL))
            return hd_fail(err, HD_E_NOMEM, "no memory for another job");
        optimizer->job_capacity = (uint32_t)capacity;
    }
    return hd_iter_gen_reserve(optimizer->gen, err);
}

/* A new config for this slot. Until the sampler has it, it is nothing but bytes after the last. */
static enum hd_code propose(struct hd_optimizer *optimizer, const struct hd_slot *slot,
                            struct hd_err *err)
{
    uint32_t number = optimizer->config_count;
    struct config *config = &optimizer->configs[number];
    config->id = slot->id;
    enum hd_code code = hd_sampler_suggest(optimizer->sampler, number, slot->budget,
                                           values_of(optimizer, number), &config->info, err);
    if (code == HD_OK)
        code = hd_sampler_credit(optimizer->sampler, number, config->info.sampler, err);
    if (code == HD_OK)
        code = hd_sampler_add(optimizer->sampler, number, values_of(optimizer, number), err);
    if (code == HD_OK)
        optimizer->config_count++;
    return code;
}

static void describe_job(const struct hd_optimizer *optimizer, uint32_t job_number,
                         struct hd_optimizer_job *ret_job)
{
    const struct job *job = &optimizer->jobs[job_number];
    const struct config *config = &optimizer->configs[job->config_number];
    *ret_job = (struct hd_optimizer_job){
        .job_number = job_number,
        .config_number = job->config_number,
        .config_id = config->id,
        .values = values_of(optimizer, job->config_number),
        .budget = job->budget,
        .budget_previous = job->budget_previous,
        .info = config->info,
    };
}

static void queue(struct hd_optimizer *optimizer, const struct hd_slot *slot,
                  uint32_t config_number)
{
    uint32_t job_number = optimizer->job_count++;
    optimizer->jobs[job_number] = (struct job){
        .config_number = config_number,
        .iteration = slot->iteration,
        .rung = slot->rung,
        .budget = slot->budget,
        .budget_previous = slot->kind == HD_SLOT_PROMOTE ? slot->budget_previous : NAN,
        .budget_reached = NAN,
    };
    optimizer->pending[optimizer->pending_count++] = job_number;
    hd_iter_gen_queued(optimizer->gen, slot, config_number);
}

/* What is next; a slot for a new config of a used-up space makes the generator do without. */
static enum hd_code next_slot(struct hd_optimizer *optimizer, struct hd_slot *ret_slot,
                              uint32_t *ret_config_number, struct hd_err *err)
{
    hd_iter_gen_next(optimizer->gen, true, ret_slot);
    if (ret_slot->kind == HD_SLOT_NEW) {
        enum hd_code code = propose(optimizer, ret_slot, err);
        *ret_config_number = optimizer->config_count - 1;
        if (code != HD_E_LIMIT)
            return code;
        hd_iter_gen_close_new(optimizer->gen);
        hd_iter_gen_next(optimizer->gen, true, ret_slot);
        hd_assert(ret_slot->kind != HD_SLOT_NEW);
    }
    if (ret_slot->kind == HD_SLOT_PROMOTE)
        *ret_config_number = ret_slot->config_number;
    return HD_OK;
}

enum hd_code hd_optimizer_ask(struct hd_optimizer *optimizer, enum hd_ask_answer *ret_answer,
                              struct hd_optimizer_job *ret_job, struct hd_err *err)
{
    struct hd_slot slot;
    uint32_t config_number = 0;
    enum hd_code code = reserve(optimizer, err);
    if (code == HD_OK)
        code = next_slot(optimizer, &slot, &config_number, err);
    if (code != HD_OK)
        return code;
    switch (slot.kind) {
    case HD_SLOT_WAIT:
        *ret_answer = HD_ASK_ANSWER_WAIT;
        return HD_OK;
    case HD_SLOT_DONE:
        *ret_answer = HD_ASK_ANSWER_DONE;
        return HD_OK;
    case HD_SLOT_NEW:
    case HD_SLOT_PROMOTE:
        queue(optimizer, &slot, config_number);
        describe_job(optimizer, optimizer->job_count - 1, ret_job);
        *ret_answer = HD_ASK_ANSWER_JOB;
        return HD_OK;
    }
    hd_assert(!"slot");
    return HD_E_INVALID;
}

/* ---- telling --------------------------------------------------------------------------------- */

static int compare_ids(struct hd_config_id a, struct hd_config_id b)
{
    if (a.iteration != b.iteration)
        return a.iteration < b.iteration ? -1 : 1;
    if (a.budget_index != b.budget_index)
        return a.budget_index < b.budget_index ? -1 : 1;
    return a.running_index < b.running_index ? -1 : a.running_index > b.running_index ? 1 : 0;
}

static bool is_better(const struct hd_optimizer *optimizer, const struct job *job, double budget,
                      const struct hd_score *score)
{
    if (!optimizer->has_best)
        return true;
    const struct job *best = &optimizer->jobs[optimizer->best_job];
    if (budget != optimizer->best_budget)
        return budget > optimizer->best_budget;
    int order = hd_score_compare(score, &optimizer->best_score, optimizer->objective_count);
    if (order != 0)
        return order < 0;
    return compare_ids(optimizer->configs[job->config_number].id,
                       optimizer->configs[best->config_number].id) < 0;
}

static void note_result(struct hd_optimizer *optimizer, uint32_t job_number, double budget,
                        const struct hd_score *score)
{
    if (!is_better(optimizer, &optimizer->jobs[job_number], budget, score))
        return;
    optimizer->has_best = true;
    optimizer->best_job = job_number;
    optimizer->best_score = *score;
    optimizer->best_budget = budget;
}

static void end_pending(struct hd_optimizer *optimizer, uint32_t job_number)
{
    uint32_t low = 0, high = optimizer->pending_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (optimizer->pending[middle] < job_number)
            low = middle + 1;
        else
            high = middle;
    }
    hd_assert(low < optimizer->pending_count && optimizer->pending[low] == job_number);
    optimizer->pending_count--;
    memmove(&optimizer->pending[low], &optimizer->pending[low + 1],
            (optimizer->pending_count - low) * sizeof(*optimizer->pending));
}

static enum hd_code find_open(const struct hd_optimizer *optimizer, uint32_t job_number,
                              struct hd_err *err)
{
    if (job_number >= optimizer->job_count)
        return hd_fail(err, HD_E_NOTFOUND, "there is no job %u; the last one asked for is %" PRId64,
                       job_number, (int64_t)optimizer->job_count - 1);
    if (optimizer->jobs[job_number].ended)
        return hd_fail(err, HD_E_CONFLICT, "the result of job %u was told before", job_number);
    return HD_OK;
}

/* The sampler hears of the end of a job, unless the report that stopped it was the lesson. */
static enum hd_code teach_end(struct hd_optimizer *optimizer, const struct job *job,
                              const struct hd_score *score, struct hd_err *err)
{
    static const struct hd_score failed = {.losses = {NAN}};
    if (job->stopped && job->taught)
        return HD_OK;
    double budget =
        job->stopped && isfinite(job->budget_reached) ? job->budget_reached : job->budget;
    return hd_sampler_tell_score(optimizer->sampler, job->config_number, budget,
                                 job->stopped || score == NULL ? &failed : score, err);
}

static void end_job(struct hd_optimizer *optimizer, uint32_t job_number, bool ok,
                    const struct hd_score *score)
{
    struct job *job = &optimizer->jobs[job_number];
    hd_iter_gen_ended_score(optimizer->gen, job->iteration, job->rung, job->config_number,
                            ok && !job->stopped, score);
    job->ended = true;
    job->has_score = ok;
    if (ok && optimizer->scores != NULL)
        optimizer->scores[job_number] = *score;
    end_pending(optimizer, job_number);
}

enum hd_code hd_optimizer_tell_score(struct hd_optimizer *optimizer, uint32_t job_number, bool ok,
                                     const struct hd_score *score, struct hd_err *err)
{
    enum hd_code code = find_open(optimizer, job_number, err);
    if (code != HD_OK)
        return code;
    const struct job *job = &optimizer->jobs[job_number];
    ok = ok && hd_score_is_finite(score, optimizer->objective_count);
    code = teach_end(optimizer, job, ok ? score : NULL, err);
    if (code != HD_OK)
        return code;
    end_job(optimizer, job_number, ok, score);
    if (ok)
        note_result(optimizer, job_number, job->budget, score);
    return HD_OK;
}

enum hd_code hd_optimizer_tell(struct hd_optimizer *optimizer, uint32_t job_number, bool ok,
                               double loss, struct hd_err *err)
{
    struct hd_score score = hd_score_of(loss);
    return hd_optimizer_tell_score(optimizer, job_number, ok, &score, err);
}

enum hd_code hd_optimizer_tell_stopped(struct hd_optimizer *optimizer, uint32_t job_number,
                                       double loss, struct hd_err *err)
{
    enum hd_code code = find_open(optimizer, job_number, err);
    if (code != HD_OK)
        return code;
    const struct job *job = &optimizer->jobs[job_number];
    if (!job->stopped)
        return hd_fail(err, HD_E_CONFLICT, "job %u was not told to stop: tell its result",
                       job_number);
    double budget = isnan(job->budget_reached) ? job->budget : job->budget_reached;
    code = teach_end(optimizer, job, NULL, err);
    if (code != HD_OK)
        return code;
    struct hd_score score = hd_score_of(loss);
    end_job(optimizer, job_number, false, &score);
    if (isfinite(loss))
        note_result(optimizer, job_number, budget, &score);
    return HD_OK;
}

/* ---- reports --------------------------------------------------------------------------------- */

enum hd_code hd_optimizer_report(struct hd_optimizer *optimizer, uint32_t job_number, double step,
                                 double loss, enum hd_decision *ret_decision, struct hd_err *err)
{
    enum hd_code code = find_open(optimizer, job_number, err);
    if (code != HD_OK)
        return code;
    if (!(isfinite(step) && step > 0.0))
        return hd_fail(err, HD_E_INVALID, "a step of job %u is not a number above 0", job_number);
    struct job *job = &optimizer->jobs[job_number];
    struct hd_report_answer answer;
    hd_iter_gen_report(optimizer->gen, job->iteration, job->rung, job->config_number, step, loss,
                       &answer);
    bool fresh = answer.decision == HD_DECISION_STOP && !job->stopped;
    job->stopped = answer.decision == HD_DECISION_STOP;
    job->budget_reached = answer.budget;
    *ret_decision = answer.decision;
    if (!answer.milestone || !isfinite(loss))
        return HD_OK;
    struct hd_score score = hd_score_of(loss);
    job->taught = job->taught || fresh;
    note_result(optimizer, job_number, answer.budget, &score);
    /* The sampler's memory failing must not undo what the generator has seen: it merely learns
     * less. */
    code = hd_sampler_tell(optimizer->sampler, job->config_number, answer.budget, loss, err);
    return code == HD_E_NOMEM ? HD_OK : code;
}

/* ---- looking --------------------------------------------------------------------------------- */

size_t hd_optimizer_pending_count(const struct hd_optimizer *optimizer)
{
    return optimizer->pending_count;
}

void hd_optimizer_pending(const struct hd_optimizer *optimizer, size_t index,
                          struct hd_optimizer_job *ret_job)
{
    hd_assert(index < optimizer->pending_count);
    describe_job(optimizer, optimizer->pending[index], ret_job);
}

static struct hd_optimizer_best describe_best(const struct hd_optimizer *optimizer,
                                              uint32_t job_number, double budget,
                                              const struct hd_score *score)
{
    const struct job *job = &optimizer->jobs[job_number];
    return (struct hd_optimizer_best){
        .job_number = job_number,
        .config_number = job->config_number,
        .config_id = optimizer->configs[job->config_number].id,
        .values = values_of(optimizer, job->config_number),
        .budget = budget,
        .loss = score->losses[0],
        .score = *score,
    };
}

bool hd_optimizer_best(const struct hd_optimizer *optimizer, struct hd_optimizer_best *ret_best)
{
    if (!optimizer->has_best)
        return false;
    *ret_best = describe_best(optimizer, optimizer->best_job, optimizer->best_budget,
                              &optimizer->best_score);
    return true;
}

static int compare_jobs(const void *a, const void *b)
{
    const struct hd_optimizer_best *x = a, *y = b;
    return (x->job_number > y->job_number) - (x->job_number < y->job_number);
}

/* The jobs of the highest budget as rows; the number of them. */
static size_t gather_rows(const struct hd_optimizer *optimizer, struct hd_pareto_row *rows,
                          uint32_t *job_numbers)
{
    size_t count = 0;
    for (uint32_t i = 0; i < optimizer->job_count; i++) {
        if (!optimizer->jobs[i].has_score || optimizer->jobs[i].budget != optimizer->best_budget)
            continue;
        rows[count] = (struct hd_pareto_row){.losses = optimizer->scores[i].losses,
                                             .violation = optimizer->scores[i].violation};
        job_numbers[count++] = i;
    }
    return count;
}

enum hd_code hd_optimizer_front(const struct hd_optimizer *optimizer,
                                struct hd_optimizer_best **ret_front, size_t *ret_count,
                                struct hd_err *err)
{
    size_t most = optimizer->objective_count > 1 ? optimizer->job_count : 1, count = 0;
    if (!optimizer->has_best) {
        *ret_front = NULL;
        *ret_count = 0;
        return HD_OK;
    }
    struct hd_optimizer_best *front = hd_calloc(most, sizeof(*front));
    struct hd_pareto_row *rows = hd_calloc(most, sizeof(*rows));
    uint32_t *job_numbers = hd_calloc(most, sizeof(*job_numbers));
    if (front == NULL || rows == NULL || job_numbers == NULL) {
        hd_free(front);
        front = NULL;
    } else if (optimizer->objective_count == 1) {
        (void)hd_optimizer_best(optimizer, &front[count++]);
    } else {
        size_t row_count = gather_rows(optimizer, rows, job_numbers);
        hd_pareto_order(rows, row_count, optimizer->objective_count);
        for (; count < row_count && rows[count].rank == 0; count++) {
            uint32_t job_number = job_numbers[rows[count].index];
            front[count] = describe_best(optimizer, job_number, optimizer->best_budget,
                                         &optimizer->scores[job_number]);
        }
        qsort(front, count, sizeof(*front), compare_jobs);
    }
    hd_free(rows);
    hd_free(job_numbers);
    if (front == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a front of %zu results", most);
    *ret_front = front;
    *ret_count = count;
    return HD_OK;
}
