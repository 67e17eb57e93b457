/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: one optimizer on one problem, in virtual time, with W workers that never wait for one
 * another. The next thing that happens is always the earliest step a worker reaches; of two at the
 * same moment that of the lower worker. Only the optimizer takes real time.
 */
#include "tuner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What is known of one config. */
struct config {
    double *values;
    double *losses, *costs; /* curves: [step_count], the first `known` of them */
    uint32_t known;
    uint32_t reached; /* steps paid for */
    size_t row;
};

struct worker {
    bool busy;
    uint32_t job, config;
    double budget;
    uint32_t step_first, step_next, step_last; /* curves */
    double started, next_at;
};

struct state {
    const struct bench_run_spec *spec;
    const struct bench_problem *problem;
    const struct hd_space *space; /* the experiment's */
    struct bench_tuner *tuner;
    struct worker *workers;
    struct config *configs;
    size_t config_count, config_capacity;
    uint8_t *used; /* rows of a table */
    double now, spent;
    double seen;                          /* curves: the lowest loss at any step */
    double best_budget, best_loss, exact; /* functions: the incumbent */
    double *front;                        /* several objectives: losses of the feasible results */
    size_t front_count, front_capacity;
    struct bench_trace *trace;
    struct hd_err *err;
};

static double cpu_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- configs --------------------------------------------------------------------------------- */

static enum hd_code make_config(struct state *state, struct config *config, const double *values)
{
    const struct bench_problem *problem = state->problem;
    size_t params = problem->space->param_count, steps = problem->step_count;
    config->values = malloc((params + 2 * steps) * sizeof(double));
    if (config->values == NULL)
        return hd_fail(state->err, HD_E_NOMEM, "no memory for a config");
    memcpy(config->values, values, params * sizeof(double));
    config->losses = config->values + params;
    config->costs = config->losses + steps;
    if (problem->row_count > 0) {
        config->row = problem->ops->nearest(problem, values, state->used);
        state->used[config->row] = 1;
    }
    return HD_OK;
}

/* Config numbers rise by one. */
static enum hd_code get_config(struct state *state, uint32_t number, const double *values)
{
    if (number < state->config_count)
        return HD_OK;
    hd_assert(number == state->config_count);
    if (state->config_count == state->config_capacity) {
        size_t capacity = state->config_capacity * 2 + 64;
        struct config *configs = realloc(state->configs, capacity * sizeof(*configs));
        if (configs == NULL)
            return hd_fail(state->err, HD_E_NOMEM, "no memory for a config");
        state->configs = configs;
        state->config_capacity = capacity;
    }
    struct config *config = &state->configs[number];
    *config = (struct config){0};
    enum hd_code code = make_config(state, config, values);
    if (code == HD_OK)
        state->config_count++;
    return code;
}

/* Up to `step`, and a few more steps of the way to `last` where they cost little together. */
static void know(const struct state *state, struct config *config, uint32_t step, uint32_t last)
{
    if (step <= config->known)
        return;
    if (last > config->known + BENCH_STEPS_TOGETHER)
        last = config->known + BENCH_STEPS_TOGETHER;
    if (last < step)
        last = step;
    state->problem->ops->curve(state->problem, config->values, config->row, config->known + 1, last,
                               config->losses, config->costs);
    config->known = last;
}

/* ---- what was found -------------------------------------------------------------------------- */

static double regret(const struct state *state)
{
    return (state->problem->step_count > 0 ? state->seen : state->exact) - state->problem->best;
}

/* Called when time, spent or regret may have changed. When there is no room left, the steps are
 * thinned: every other one of the older half goes. */
static void note(struct state *state)
{
    struct bench_trace *trace = state->trace;
    double now = regret(state);
    if (!isfinite(now))
        return;
    if (trace->step_count > 0) {
        const struct bench_step *last = &trace->steps[trace->step_count - 1];
        if (last->regret == now)
            return;
    }
    if (trace->step_count == BENCH_TRACE_MAX) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < BENCH_TRACE_MAX; i++)
            if (i >= BENCH_TRACE_MAX / 2 || i % 2 == 0)
                trace->steps[kept++] = trace->steps[i];
        trace->step_count = kept;
    }
    trace->steps[trace->step_count++] = (struct bench_step){state->spent, state->now, now};
}

double bench_trace_at(const struct bench_trace *trace, double spent)
{
    double found = NAN;
    for (uint32_t i = 0; i < trace->step_count && trace->steps[i].spent <= spent + 1e-9; i++)
        found = trace->steps[i].regret;
    return found;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static uint32_t step_of(const struct bench_problem *problem, double budget)
{
    double step = floor(budget + 0.5);
    return step < 1 ? 1 : step > problem->step_count ? problem->step_count : (uint32_t)step;
}

static enum hd_code start(struct state *state, struct worker *worker,
                          const struct hd_optimizer_job *job)
{
    enum hd_code code = get_config(state, job->config_number, job->values);
    if (code != HD_OK)
        return code;
    struct config *config = &state->configs[job->config_number];
    *worker = (struct worker){
        .busy = true,
        .job = job->job_number,
        .config = job->config_number,
        .budget = job->budget,
        .started = state->now,
        .next_at = state->now + job->budget,
    };
    if (state->problem->step_count > 0) {
        worker->step_first = config->reached;
        worker->step_last = step_of(state->problem, job->budget);
        worker->step_next = config->reached + 1;
        know(state, config, worker->step_next, worker->step_last);
        double before = config->reached > 0 ? config->costs[config->reached - 1] : 0;
        worker->next_at = worker->step_next > worker->step_last
                              ? state->now
                              : state->now + config->costs[worker->step_next - 1] - before;
    }
    state->trace->jobs++;
    return HD_OK;
}

static uint32_t number_of(const struct state *state, const struct worker *worker)
{
    return (uint32_t)(worker - state->workers);
}

static enum hd_code tell(struct state *state, struct worker *worker, double loss, bool stopped)
{
    double before = cpu_s();
    worker->busy = false;
    if (stopped)
        state->trace->stopped++;
    else if (!isfinite(loss))
        state->trace->failed++;
    enum hd_code code = state->tuner->ops->tell(state->tuner, number_of(state, worker), worker->job,
                                                state->now, loss, stopped, state->err);
    state->trace->optimizer_s += cpu_s() - before;
    return code;
}

static void see(struct state *state, double loss)
{
    if (loss < state->seen)
        state->seen = loss;
}

/* A job is over after these steps; whether by itself or because it was told to stop. */
static enum hd_code end_curve(struct state *state, struct worker *worker, uint32_t last,
                              bool stopped)
{
    struct config *config = &state->configs[worker->config];
    uint32_t steps = last > worker->step_first ? last - worker->step_first : 0;
    if (state->spec->accounting == BENCH_ACCOUNTING_ENDED)
        for (uint32_t step = worker->step_first; step < last; step++)
            see(state, config->losses[step]);
    if (state->spec->accounting != BENCH_ACCOUNTING_STEPS)
        state->spent += (double)steps / state->problem->step_count;
    if (steps > 0)
        config->reached = last;
    note(state);
    return tell(state, worker, config->losses[last - 1], stopped);
}

static enum hd_code report(struct state *state, const struct worker *worker, uint32_t step,
                           bool *ret_stop)
{
    double before = cpu_s();
    double loss = state->configs[worker->config].losses[step - 1];
    enum hd_code code =
        state->tuner->ops->report(state->tuner, number_of(state, worker), worker->job, state->now,
                                  step, loss, ret_stop, state->err);
    state->trace->optimizer_s += cpu_s() - before;
    return code;
}

/* A worker has reached its next step. */
static enum hd_code reach(struct state *state, struct worker *worker)
{
    struct config *config = &state->configs[worker->config];
    uint32_t step = worker->step_next;
    bool stop = false;
    if (step > worker->step_last) /* it was there already */
        return end_curve(state, worker, worker->step_last, false);
    if (state->spec->accounting == BENCH_ACCOUNTING_STEPS)
        state->spent += 1.0 / state->problem->step_count;
    if (state->spec->accounting != BENCH_ACCOUNTING_ENDED) {
        see(state, config->losses[step - 1]);
        note(state);
    }
    if (step == worker->step_last)
        return end_curve(state, worker, step, false);
    enum hd_code code = report(state, worker, step, &stop);
    if (code != HD_OK || stop)
        return code != HD_OK ? code : end_curve(state, worker, step, true);
    know(state, config, step + 1, worker->step_last);
    worker->step_next++;
    worker->next_at += config->costs[step] - config->costs[step - 1];
    return HD_OK;
}

static enum hd_code end_function(struct state *state, struct worker *worker)
{
    const struct bench_problem *problem = state->problem;
    const struct config *config = &state->configs[worker->config];
    struct hd_rng rng;
    hd_rng_fork(state->spec->seed, "noise", worker->job, &rng);
    double loss = problem->ops->value(problem, config->values, worker->budget, &rng);
    state->spent += worker->budget / problem->budget_max;
    bool noisy = state->spec->experiment->noise.repeats > 1;
    if (noisy) { /* the core says what it believes */
        enum hd_code code = tell(state, worker, loss, false);
        uint32_t best;
        if (code == HD_OK && state->tuner->ops->best(state->tuner, &best))
            state->exact = problem->ops->exact(problem, state->configs[best].values);
        note(state);
        return code;
    }
    if (isfinite(loss) && (worker->budget > state->best_budget ||
                           (worker->budget == state->best_budget && loss < state->best_loss))) {
        state->best_budget = worker->budget;
        state->best_loss = loss;
        state->exact = problem->ops->exact(problem, config->values);
    }
    note(state);
    return tell(state, worker, loss, false);
}

static enum hd_code keep_losses(struct state *state, const struct hd_score *score)
{
    size_t objectives = state->problem->objective_count;
    if (state->front_count == state->front_capacity) {
        size_t capacity = 2 * state->front_capacity + 64;
        double *front = realloc(state->front, capacity * objectives * sizeof(double));
        if (front == NULL)
            return hd_fail(state->err, HD_E_NOMEM, "no memory for a front");
        state->front = front;
        state->front_capacity = capacity;
    }
    memcpy(state->front + state->front_count * objectives, score->losses,
           objectives * sizeof(double));
    state->front_count++;
    return HD_OK;
}

/* The loss is the part of the volume that is dominated, negative. */
static enum hd_code end_scored(struct state *state, struct worker *worker)
{
    const struct bench_problem *problem = state->problem;
    struct hd_score score;
    double part;
    problem->ops->score(problem, state->configs[worker->config].values, &score);
    state->spent += 1;
    enum hd_code code = score.violation > 0 ? HD_OK : keep_losses(state, &score);
    if (code == HD_OK)
        code = problem->ops->volume(problem, state->front, state->front_count, &part, state->err);
    if (code != HD_OK)
        return code;
    state->exact = -part;
    note(state);
    double before = cpu_s();
    worker->busy = false;
    code = state->tuner->ops->tell_score(state->tuner, worker->job, &score, state->err);
    state->trace->optimizer_s += cpu_s() - before;
    return code;
}

static enum hd_code end_job(struct state *state, struct worker *worker)
{
    if (state->problem->step_count > 0)
        return reach(state, worker);
    return state->problem->objective_count > 0 ? end_scored(state, worker)
                                               : end_function(state, worker);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Gives every free worker a job, while there are any. */
static enum hd_code hand_out(struct state *state, bool *ret_done)
{
    for (uint32_t i = 0; i < state->spec->workers; i++) {
        struct hd_optimizer_job job;
        enum hd_ask_answer answer;
        if (state->workers[i].busy)
            continue;
        double before = cpu_s();
        enum hd_code code =
            state->tuner->ops->ask(state->tuner, i, state->now, &answer, &job, state->err);
        state->trace->optimizer_s += cpu_s() - before;
        if (code != HD_OK)
            return code;
        *ret_done = answer == HD_ASK_ANSWER_DONE;
        if (*ret_done)
            return HD_OK;
        if (answer == HD_ASK_ANSWER_WAIT)
            continue;
        code = start(state, &state->workers[i], &job);
        if (code != HD_OK)
            return code;
        bool used_up =
            state->problem->row_count > 0 && state->config_count >= state->problem->row_count;
        if (used_up) {
            *ret_done = true;
            return HD_OK;
        }
    }
    return HD_OK;
}

static struct worker *next_worker(struct state *state)
{
    struct worker *next = NULL;
    for (uint32_t i = 0; i < state->spec->workers; i++) {
        struct worker *worker = &state->workers[i];
        if (worker->busy && (next == NULL || worker->next_at < next->next_at))
            next = worker;
    }
    return next;
}

static enum hd_code loop(struct state *state)
{
    bool done = false;
    while (state->spent < state->spec->full_evaluations - 1e-9) {
        enum hd_code code = done ? HD_OK : hand_out(state, &done);
        if (code != HD_OK)
            return code;
        struct worker *worker = next_worker(state);
        if (worker == NULL) {
            state->trace->exhausted = true;
            break;
        }
        state->now = worker->next_at;
        code = end_job(state, worker);
        if (code != HD_OK)
            return code;
    }
    state->trace->configs = (uint32_t)state->config_count;
    state->trace->spent = state->spent;
    state->trace->time = state->now;
    return HD_OK;
}

static enum hd_code prepare(struct state *state)
{
    const struct bench_run_spec *spec = state->spec;
    state->workers = calloc(spec->workers, sizeof(*state->workers));
    state->used = calloc(spec->problem->row_count + 1, 1);
    if (state->workers == NULL || state->used == NULL)
        return hd_fail(state->err, HD_E_NOMEM, "no memory for a run");
    return bench_tuner_new(spec, &state->tuner, state->err);
}

enum hd_code bench_run(const struct bench_run_spec *spec, struct bench_trace *ret_trace,
                       struct hd_err *err)
{
    struct state state = {
        .spec = spec,
        .problem = spec->problem,
        .seen = INFINITY,
        .best_budget = -1,
        .best_loss = INFINITY,
        .exact = spec->problem->objective_count > 0 ? 0 : INFINITY,
        .trace = ret_trace,
        .err = err,
    };
    *ret_trace = (struct bench_trace){0};
    enum hd_code code = prepare(&state);
    if (code == HD_OK)
        code = loop(&state);
    for (size_t i = 0; i < state.config_count; i++)
        free(state.configs[i].values);
    bench_tuner_free(state.tuner);
    free(state.front);
    free(state.configs);
    free(state.workers);
    free(state.used);
    return code;
}
