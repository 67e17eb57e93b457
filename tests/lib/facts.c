/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#define RUNS_MAX 4
#define JOBS_MAX 512

struct job_state {
    uint32_t attempt;
    bool closed;
};

struct run_state {
    uint32_t config_count;
    uint32_t job_count;
    struct job_state jobs[JOBS_MAX];
};

struct story {
    struct hd_rng rng;
    struct hd_arena *arena;
    struct run_state runs[RUNS_MAX];
    uint32_t run_count;
};

static uint32_t below(struct story *story, uint64_t bound)
{
    return (uint32_t)hd_rng_below(&story->rng, bound);
}

static const char *some_text(struct story *story)
{
    static const char *const texts[] = {
        "",
        "a",
        "ok",
        "it's \"quoted\", with commas; and\nlines\t",
        "\xc5\xbelu\xc5\xa5ou\xc4\x8dk\xc3\xbd k\xc5\xaf\xc5\x88",
        "\xe6\x95\xb0 \xf0\x9f\x9a\x80",
        NULL,
        "{\"a\":[1,2,NaN]}",
        "\x01",
        "' OR 1=1; --",
    };
    uint32_t choice = below(story, HD_COUNT(texts) + 1);
    if (choice < HD_COUNT(texts))
        return texts[choice];
    size_t size = below(story, 20000);
    char *text = hd_arena_alloc(story->arena, size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    return text;
}

static double some_number(struct story *story)
{
    static const double numbers[] = {0.0,       1.0,     -1.0,      0.1,     1e-320,
                                     1e308,     -1e-308, 3.0,       27.0,    INFINITY,
                                     -INFINITY, NAN,     1.0 / 3.0, 1048576, 9007199254740993.0};
    uint32_t choice = below(story, HD_COUNT(numbers) + 3);
    return choice < HD_COUNT(numbers) ? numbers[choice] : hd_rng_normal(&story->rng);
}

static uint64_t some_u64(struct story *story)
{
    uint64_t number = hd_rng_u64(&story->rng);
    return below(story, 3) == 0 ? number : number >> below(story, 64);
}

static enum hd_outcome some_outcome(struct story *story)
{
    return (enum hd_outcome)below(story, HD_OUTCOME_COUNT);
}

static void make_run(struct story *story, struct hd_fact *fact)
{
    char *run_id = hd_arena_alloc(story->arena, 32);
    assert_non_null(run_id);
    assert_true(hd_format(run_id, 32, "run-%u", story->run_count));
    fact->kind = HD_FACT_RUN_CREATED;
    fact->run = story->run_count++;
    fact->as.run_created = (struct hd_fact_run_created){
        .run_id = run_id,
        .run_uid = hd_rng_u64(&story->rng),
        .seed = some_u64(story),
        .experiment_json = some_text(story),
        .known_json = some_text(story),
    };
}

static void make_config(struct story *story, struct run_state *run, struct hd_fact *fact)
{
    size_t count = below(story, 5) == 0 ? below(story, 1000) : below(story, 6);
    double *values = hd_arena_alloc(story->arena, (count + 1) * sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = below(story, 8) == 0 ? -0.0 : some_number(story);
    fact->kind = HD_FACT_CONFIG_PROPOSED;
    fact->as.config_proposed = (struct hd_fact_config_proposed){
        .config = run->config_count++,
        .id = {below(story, 100), below(story, 5), below(story, UINT32_MAX)},
        .values = values,
        .value_count = count,
        .params_json = some_text(story),
        .info = {.sampler = "tpe",
                 .model = below(story, 2) == 1,
                 .model_budget = some_number(story),
                 .model_count = below(story, 1000)},
        .cut = fact->seq - 1,
    };
}

static void make_job(struct story *story, struct run_state *run, struct hd_fact *fact)
{
    fact->kind = HD_FACT_JOB_QUEUED;
    fact->as.job_queued = (struct hd_fact_job_queued){
        .job = run->job_count++,
        .config = below(story, run->config_count),
        .iteration = below(story, 10),
        .rung = below(story, 4),
        .budget = some_number(story),
        .budget_previous = some_number(story),
        .repeat = below(story, 3),
        .again = below(story, 3) == 0 ? 1 + below(story, 1000) : 0,
    };
}

static void make_lease(struct story *story, struct run_state *run, uint32_t job,
                       struct hd_fact *fact)
{
    fact->kind = HD_FACT_ATTEMPT_LEASED;
    fact->as.attempt_leased = (struct hd_fact_attempt_leased){
        .job = job,
        .attempt = ++run->jobs[job].attempt,
        .worker = some_text(story),
        .incarnation = some_u64(story),
        .sequence = some_u64(story),
        .root = some_text(story),
        .directory = some_text(story),
        .budget_previous = some_number(story),
    };
}

static void make_end(struct story *story, struct run_state *run, uint32_t job, struct hd_fact *fact)
{
    fact->kind = HD_FACT_ATTEMPT_ENDED;
    fact->as.attempt_ended = (struct hd_fact_attempt_ended){
        .job = job,
        .attempt = run->jobs[job].attempt,
        .outcome = some_outcome(story),
        .requeued = below(story, 3) == 0,
        .charged = below(story, 2) == 1,
        .loss = some_number(story),
        .by_report = below(story, 2) == 1,
        .worker = some_text(story),
        .incarnation = some_u64(story),
        .sequence = some_u64(story),
        .started_wall_ms = (int64_t)some_u64(story) / 2,
        .finished_wall_ms = (int64_t)below(story, 3) - 1,
        .exit_code = (int32_t)below(story, 260) - 1,
        .message = some_text(story),
        .info_json = some_text(story),
        .root = some_text(story),
        .directory = some_text(story),
        .rule = below(story, 3),
        .label = some_text(story),
        .image_id = some_text(story),
        .graphs_json = some_text(story),
    };
    size_t count = below(story, 3) == 0 ? below(story, 40 + 1) : 0;
    double *measures = hd_arena_alloc(story->arena, (count + 1) * sizeof(*measures));
    for (size_t i = 0; i < count; i++) {
        double number = some_number(story);
        measures[i] = isinf(number) ? (double)NAN : number;
    }
    fact->as.attempt_ended.measures = measures;
    fact->as.attempt_ended.measure_count = count;
    fact->as.attempt_ended.violation = (double)below(story, 3) / 2;
    run->jobs[job].closed = !fact->as.attempt_ended.requeued;
}

static void make_curve_point(struct story *story, struct run_state *run, uint32_t job,
                             struct hd_fact *fact)
{
    fact->kind = HD_FACT_CURVE_POINT;
    fact->as.curve_point = (struct hd_fact_curve_point){
        .job = job,
        .attempt = 1 + below(story, run->jobs[job].attempt),
        .step = some_number(story),
        .loss = some_number(story),
    };
}

static void make_refusal(struct story *story, struct hd_fact *fact)
{
    fact->kind = HD_FACT_REPORT_REFUSED;
    fact->as.report_refused = (struct hd_fact_report_refused){
        .job = below(story, UINT32_MAX),
        .attempt = below(story, 10),
        .outcome = some_outcome(story),
        .loss = some_number(story),
        .worker = some_text(story),
        .incarnation = some_u64(story),
        .sequence = some_u64(story),
        .reason = some_text(story),
    };
}

/* Those that are facts of a run. */
static const enum hd_command_op run_ops[] = {
    HD_COMMAND_PAUSE_RUN, HD_COMMAND_RESUME_RUN,  HD_COMMAND_CANCEL_RUN, HD_COMMAND_CANCEL_JOB,
    HD_COMMAND_SET_LIMIT, HD_COMMAND_REQUEUE_JOB, HD_COMMAND_SET_IMAGE};

static void make_command(struct story *story, struct hd_fact *fact)
{
    fact->kind = HD_FACT_COMMAND_GIVEN;
    fact->as.command_given = (struct hd_fact_command_given){
        .op = run_ops[below(story, HD_COUNT(run_ops))],
        .job = below(story, 100),
        .reason = some_text(story),
        .limit = (enum hd_limit)below(story, HD_LIMIT_COUNT),
        .value = below(story, 5) == 0 ? (double)NAN : below(story, 1000),
        .image = some_text(story),
    };
}

static void make_state(struct story *story, struct hd_fact *fact)
{
    fact->kind = HD_FACT_RUN_STATE;
    fact->as.run_state = (struct hd_fact_run_state){
        .state = (enum hd_run_state)below(story, HD_RUN_STATE_COUNT),
        .reason = some_text(story),
    };
}

static void make_worker_state(struct story *story, struct hd_fact *fact)
{
    fact->run = HD_RUN_NONE;
    fact->kind = HD_FACT_WORKER_STATE;
    fact->as.worker_state = (struct hd_fact_worker_state){
        .worker = some_text(story),
        .state = (enum hd_worker_state)below(story, HD_WORKER_STATE_COUNT),
        .reason = some_text(story),
    };
}

/* Draws a kind until one is drawn that the story allows now. */
static void make_any(struct story *story, struct hd_fact *fact)
{
    if (story->run_count == 0 || (story->run_count < RUNS_MAX && below(story, 40) == 0)) {
        make_run(story, fact);
        return;
    }
    fact->run = below(story, story->run_count);
    struct run_state *run = &story->runs[fact->run];
    uint32_t job = run->job_count > 0 ? below(story, run->job_count) : 0;
    bool has_job = run->job_count > 0;
    bool leased = has_job && run->jobs[job].attempt > 0;
    bool open = has_job && !run->jobs[job].closed;
    if (below(story, 20) == 0) {
        make_worker_state(story, fact);
        return;
    }
    switch (below(story, 10)) {
    case 0:
        make_refusal(story, fact);
        return;
    case 1:
        make_command(story, fact);
        return;
    case 2:
        make_state(story, fact);
        return;
    case 3:
    case 4:
        if (leased) {
            make_curve_point(story, run, job, fact);
            return;
        }
        break;
    case 5:
    case 6:
        if (open) {
            make_lease(story, run, job, fact);
            return;
        }
        break;
    case 7:
    case 8:
        if (open) {
            make_end(story, run, job, fact);
            return;
        }
        break;
    default:
        break;
    }
    if (run->config_count > 0 && run->job_count < JOBS_MAX && below(story, 2) == 0)
        make_job(story, run, fact);
    else
        make_config(story, run, fact);
}

void test_facts_random(struct test_facts *facts, uint64_t seed, size_t count)
{
    struct hd_err err;
    assert_true(count <= TEST_FACTS_MAX);
    assert_hd_ok(hd_arena_new((size_t)256 << 20, &facts->arena, &err));
    struct story *story = calloc(1, sizeof(*story));
    assert_non_null(story);
    story->arena = facts->arena;
    hd_rng_seed(&story->rng, seed);
    for (size_t i = 0; i < count; i++) {
        facts->items[i] = (struct hd_fact){
            .seq = i + 1,
            .wall_ms = INT64_C(1700000000000) + (int64_t)i,
        };
        make_any(story, &facts->items[i]);
    }
    facts->count = count;
    free(story);
}

void test_facts_release(struct test_facts *facts)
{
    hd_arena_free(facts->arena);
    facts->arena = NULL;
    facts->count = 0;
}

/* ---- comparison ---- */

static void text_equal(const char *a, const char *b)
{
    assert_string_equal(a != NULL ? a : "", b != NULL ? b : "");
}

static void double_equal(double a, double b)
{
    if (isnan(a) || isnan(b))
        assert_true(isnan(a) && isnan(b));
    else
        assert_true(!(a < b) && !(b < a));
}

#define EQ(field) assert_true(x->field == y->field)
#define EQ_TEXT(field) text_equal(x->field, y->field)
#define EQ_DOUBLE(field) double_equal(x->field, y->field)
#define BOTH(part)                                                                                 \
    const __typeof__(a->as.part) *x = &a->as.part;                                                 \
    const __typeof__(b->as.part) *y = &b->as.part

static void run_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(run_created);
    EQ_TEXT(run_id);
    EQ(run_uid);
    EQ(seed);
    EQ_TEXT(experiment_json);
    EQ_TEXT(known_json);
}

static void config_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(config_proposed);
    EQ(config);
    EQ(id.iteration);
    EQ(id.budget_index);
    EQ(id.running_index);
    EQ(value_count);
    for (size_t i = 0; i < x->value_count; i++) {
        EQ_DOUBLE(values[i]);
        assert_int_equal(signbit(x->values[i]) != 0, signbit(y->values[i]) != 0);
    }
    EQ_TEXT(params_json);
    EQ_TEXT(info.sampler);
    EQ(info.model);
    EQ_DOUBLE(info.model_budget);
    EQ(info.model_count);
    EQ(cut);
}

static void lease_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(attempt_leased);
    EQ(job);
    EQ(attempt);
    EQ_TEXT(worker);
    EQ(incarnation);
    EQ(sequence);
    EQ_TEXT(root);
    EQ_TEXT(directory);
    EQ_DOUBLE(budget_previous);
}

static void end_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(attempt_ended);
    EQ(job);
    EQ(attempt);
    EQ(outcome);
    EQ(requeued);
    EQ(charged);
    EQ_DOUBLE(loss);
    EQ(measure_count);
    for (size_t i = 0; i < x->measure_count; i++)
        EQ_DOUBLE(measures[i]);
    EQ_DOUBLE(violation);
    EQ(by_report);
    EQ_TEXT(worker);
    EQ(incarnation);
    EQ(sequence);
    EQ(started_wall_ms);
    EQ(finished_wall_ms);
    EQ(exit_code);
    EQ_TEXT(message);
    EQ_TEXT(info_json);
    EQ_TEXT(root);
    EQ_TEXT(directory);
    EQ(rule);
    EQ_TEXT(label);
    EQ_TEXT(image_id);
    EQ_TEXT(graphs_json);
}

static void refusal_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(report_refused);
    EQ(job);
    EQ(attempt);
    EQ(outcome);
    EQ_DOUBLE(loss);
    EQ_TEXT(worker);
    EQ(incarnation);
    EQ(sequence);
    EQ_TEXT(reason);
}

static void job_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(job_queued);
    EQ(job);
    EQ(config);
    EQ(iteration);
    EQ(rung);
    EQ_DOUBLE(budget);
    EQ_DOUBLE(budget_previous);
    EQ(repeat);
    EQ(again);
}

static void point_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(curve_point);
    EQ(job);
    EQ(attempt);
    EQ_DOUBLE(step);
    EQ_DOUBLE(loss);
}

static void command_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(command_given);
    EQ(op);
    EQ(job);
    EQ_TEXT(reason);
    EQ(limit);
    EQ_DOUBLE(value);
    EQ_TEXT(image);
}

static void state_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(run_state);
    EQ(state);
    EQ_TEXT(reason);
}

static void worker_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    BOTH(worker_state);
    EQ_TEXT(worker);
    EQ(state);
    EQ_TEXT(reason);
}

void test_fact_assert_equal(const struct hd_fact *a, const struct hd_fact *b)
{
    static void (*const equal[HD_FACT_KIND_COUNT])(const struct hd_fact *,
                                                   const struct hd_fact *) = {
        [HD_FACT_RUN_CREATED] = run_equal,        [HD_FACT_CONFIG_PROPOSED] = config_equal,
        [HD_FACT_JOB_QUEUED] = job_equal,         [HD_FACT_ATTEMPT_LEASED] = lease_equal,
        [HD_FACT_CURVE_POINT] = point_equal,      [HD_FACT_ATTEMPT_ENDED] = end_equal,
        [HD_FACT_REPORT_REFUSED] = refusal_equal, [HD_FACT_COMMAND_GIVEN] = command_equal,
        [HD_FACT_RUN_STATE] = state_equal,        [HD_FACT_WORKER_STATE] = worker_equal,
    };
    assert_int_equal(a->kind, b->kind);
    assert_true(a->seq == b->seq);
    assert_true(a->wall_ms == b->wall_ms);
    assert_int_equal(a->run, b->run);
    assert_true((unsigned)a->kind < HD_FACT_KIND_COUNT);
    equal[a->kind](a, b);
}
