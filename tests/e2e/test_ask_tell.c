/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd ask-tell, driven by a script of some hundred asks and tells: out of order, with failures,
 * with bad lines, and killed in the middle. HD is the program.
 */
#include "cluster.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 2000
#define OUTSTANDING_MAX 8
#define ITERATIONS 33 /* of hyperband 1..9: 220 jobs when none fails */
#define LINE_MAX_BYTES (1u << 20)

/* ---- a session ------------------------------------------------------------------------------ */

struct talk {
    pid_t pid;
    int in, out;
    char *line; /* LINE_MAX_BYTES; what has been read */
    size_t size;
};

static struct cluster cluster;
static char *experiment;

static void talk_start(struct talk *talk, const char *const argv[])
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    talk->pid = fork();
    assert_true(talk->pid >= 0);
    if (talk->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    talk->in = in[1];
    talk->out = out[0];
    talk->size = 0;
    talk->line = malloc(LINE_MAX_BYTES);
    assert_non_null(talk->line);
}

static int talk_close(struct talk *talk)
{
    int status;
    close(talk->in);
    close(talk->out);
    assert_int_equal(waitpid(talk->pid, &status, 0), talk->pid);
    free(talk->line);
    *talk = (struct talk){0};
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void say(const struct talk *talk, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(write(talk->in, text, size), size);
    assert_int_equal(write(talk->in, "\n", 1), 1);
}

/* One line, which must come before the deadline. */
static struct hd_value *hear(struct talk *talk)
{
    char *end;
    while ((end = memchr(talk->line, '\n', talk->size)) == NULL) {
        struct pollfd fd = {.fd = talk->out, .events = POLLIN};
        if (poll(&fd, 1, CLUSTER_DEADLINE_MS) != 1)
            fail_msg("no answer");
        ssize_t got = read(talk->out, talk->line + talk->size, LINE_MAX_BYTES - talk->size);
        if (got <= 0)
            fail_msg("the session ended instead of answering");
        talk->size += (size_t)got;
    }
    *end = '\0';
    struct hd_value *value = cluster_json(talk->line);
    size_t used = (size_t)(end - talk->line) + 1;
    memmove(talk->line, talk->line + used, talk->size - used);
    talk->size -= used;
    return value;
}

static struct hd_value *ask_for(struct talk *talk, const char *text)
{
    say(talk, text);
    return hear(talk);
}

static const char *error_of(const struct hd_value *answer)
{
    const struct hd_value *error = hd_value_get(answer, "error");
    return error != NULL && error->kind == HD_VALUE_STRING ? error->as.string : NULL;
}

static bool says(const struct hd_value *answer, const char *key)
{
    const struct hd_value *value = hd_value_get(answer, key);
    return value != NULL && value->kind == HD_VALUE_BOOL && value->as.boolean;
}

static double number(const struct hd_value *object, const char *key)
{
    return hd_value_number(hd_value_get(object, key));
}

/* ---- what the person's program knows -------------------------------------------------------- */

struct known_job {
    uint32_t config[3];
    double x, y, budget, budget_previous, loss;
    bool asked, told, failed;
};

struct script {
    struct talk talk;
    struct hd_rng rng;
    struct known_job *jobs;
    uint32_t asked, told, failed, waits;
    uint32_t outstanding[OUTSTANDING_MAX + 1]; /* one more by an answer that was lost */
    uint32_t outstanding_count;
    bool done;
};

static const char *name_of(const struct known_job *job)
{
    static char text[64];
    snprintf(text, sizeof(text), "[%u,%u,%u]", job->config[0], job->config[1], job->config[2]);
    return text;
}

static bool same_config(const struct known_job *a, const struct known_job *b)
{
    return memcmp(a->config, b->config, sizeof(a->config)) == 0;
}

static void read_job(const struct hd_value *answer, uint32_t *ret_number, struct known_job *ret_job)
{
    const struct hd_value *id = hd_value_get(answer, "config_id");
    const struct hd_value *config = hd_value_get(answer, "config");
    const struct hd_value *previous = hd_value_get(answer, "budget_previous");
    const struct hd_value *info = hd_value_get(answer, "config_info");
    struct known_job job = {.asked = true};
    assert_true(hd_value_get(answer, "job") != NULL && id != NULL && config != NULL &&
                previous != NULL && info != NULL);
    assert_int_equal(id->kind, HD_VALUE_ARRAY);
    assert_int_equal(id->as.array.count, 3);
    for (size_t i = 0; i < 3; i++)
        job.config[i] = (uint32_t)hd_value_number(id->as.array.items[i]);
    job.x = number(config, "x");
    job.y = number(config, "y");
    job.budget = number(answer, "budget");
    job.budget_previous = previous->kind == HD_VALUE_NULL ? NAN : hd_value_number(previous);
    assert_true(job.x >= 0 && job.x <= 1 && job.y >= 1 && job.y <= 100);
    assert_int_equal(hd_value_get(info, "sampler")->kind, HD_VALUE_STRING);
    assert_int_equal(hd_value_get(info, "model")->kind, HD_VALUE_BOOL);
    *ret_number = (uint32_t)number(answer, "job");
    *ret_job = job;
}

/* A promoted config has succeeded at its previous budget; a new one has not been seen. */
static void check_promotion(const struct script *script, uint32_t number_of,
                            const struct known_job *job)
{
    const struct known_job *last = NULL;
    for (uint32_t i = 0; i < number_of; i++)
        if (script->jobs[i].asked && same_config(&script->jobs[i], job))
            last = &script->jobs[i];
    if (last == NULL) {
        if (!isnan(job->budget_previous))
            fail_msg("job %u: %s is new and has a previous budget", number_of, name_of(job));
        return;
    }
    if (!last->told || last->failed)
        fail_msg("job %u: %s goes on without a result", number_of, name_of(job));
    assert_true(last->budget == job->budget_previous && job->budget > last->budget);
    assert_true(last->x == job->x && last->y == job->y);
}

static void take_job(struct script *script, const struct hd_value *answer)
{
    uint32_t number_of;
    struct known_job job;
    read_job(answer, &number_of, &job);
    assert_true(number_of < JOBS_MAX && !script->jobs[number_of].asked);
    assert_true(job.budget == 1 || job.budget == 3 || job.budget == 9);
    check_promotion(script, number_of, &job);
    script->jobs[number_of] = job;
    assert_true(script->outstanding_count <= OUTSTANDING_MAX);
    script->outstanding[script->outstanding_count++] = number_of;
    script->asked++;
}

/* ---- one step ------------------------------------------------------------------------------- */

static void step_ask(struct script *script)
{
    struct hd_value *answer = ask_for(&script->talk, "{\"op\":\"ask\"}");
    if (error_of(answer) != NULL)
        fail_msg("ask: %s", error_of(answer));
    if (says(answer, "wait")) {
        assert_true(script->outstanding_count > 0);
        script->waits++;
    } else if (says(answer, "done")) {
        assert_int_equal(script->outstanding_count, 0);
        script->done = true;
    } else {
        take_job(script, answer);
    }
    hd_value_free(answer);
}

static double loss_of(const struct known_job *job)
{
    return (job->x - 0.3) * (job->x - 0.3) + (job->y - 20) * (job->y - 20) / 1e4 + 1 / job->budget;
}

/* What to tell of a job is decided by the job, so that a repeated tell says the same. */
static void tell_text(const struct script *script, uint32_t number_of, char *text, size_t size)
{
    const struct known_job *job = &script->jobs[number_of];
    static const char *const states[] = {"failed", "diverged", "timeout", "oom"};
    if (number_of % 9 == 4)
        snprintf(text, size, "{\"op\":\"tell\",\"job\":%u,\"state\":\"%s\"}", number_of,
                 states[number_of / 9 % HD_COUNT(states)]);
    else
        snprintf(text, size, "{\"op\":\"tell\",\"job\":%u,\"loss\":%.17g}", number_of,
                 loss_of(job));
}

static void note_tell(struct script *script, uint32_t place)
{
    uint32_t number_of = script->outstanding[place];
    struct known_job *job = &script->jobs[number_of];
    job->told = true;
    job->failed = number_of % 9 == 4;
    job->loss = loss_of(job);
    script->told++;
    script->failed += job->failed ? 1 : 0;
    script->outstanding[place] = script->outstanding[--script->outstanding_count];
}

static void step_tell(struct script *script, uint32_t place)
{
    char text[160];
    tell_text(script, script->outstanding[place], text, sizeof(text));
    struct hd_value *answer = ask_for(&script->talk, text);
    if (!says(answer, "ok"))
        fail_msg("%s: %s", text, error_of(answer));
    hd_value_free(answer);
    note_tell(script, place);
}

static void step(struct script *script)
{
    bool may_ask = script->outstanding_count < OUTSTANDING_MAX;
    bool tell = script->outstanding_count > 0 && (!may_ask || hd_rng_below(&script->rng, 5) < 2);
    if (tell)
        step_tell(script, (uint32_t)hd_rng_below(&script->rng, script->outstanding_count));
    else
        step_ask(script);
    if (script->waits > 0 && script->outstanding_count > 0 && hd_rng_below(&script->rng, 3) == 0)
        step_tell(script, 0);
}

/* ---- checks --------------------------------------------------------------------------------- */

static void check_best(struct script *script)
{
    const struct known_job *best = NULL;
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        const struct known_job *job = &script->jobs[i];
        if (job->told && !job->failed &&
            (best == NULL || job->budget > best->budget ||
             (job->budget == best->budget && job->loss < best->loss)))
            best = job;
    }
    struct hd_value *answer = ask_for(&script->talk, "{\"op\":\"best\"}");
    if (best == NULL) {
        assert_int_equal(hd_value_get(answer, "config")->kind, HD_VALUE_NULL);
    } else {
        assert_true(number(answer, "budget") == best->budget);
        assert_true(number(answer, "loss") == best->loss);
        assert_true(number(hd_value_get(answer, "config"), "x") == best->x);
    }
    hd_value_free(answer);
}

/* What is pending is what was asked for and not told; jobs of a lost answer are learned here. */
static void check_pending(struct script *script, bool learn)
{
    struct hd_value *answer = ask_for(&script->talk, "{\"op\":\"pending\"}");
    const struct hd_value *pending = hd_value_get(answer, "pending");
    assert_non_null(pending);
    for (size_t i = 0; i < pending->as.array.count; i++) {
        uint32_t number_of;
        struct known_job job;
        read_job(pending->as.array.items[i], &number_of, &job);
        if (learn && !script->jobs[number_of].asked) {
            take_job(script, pending->as.array.items[i]);
            continue;
        }
        const struct known_job *known = &script->jobs[number_of];
        assert_true(known->asked && !known->told);
        assert_true(same_config(known, &job) && known->x == job.x && known->y == job.y &&
                    known->budget == job.budget);
        assert_true(known->budget_previous == job.budget_previous ||
                    (isnan(known->budget_previous) && isnan(job.budget_previous)));
    }
    assert_int_equal(pending->as.array.count, script->outstanding_count);
    hd_value_free(answer);
}

static const char *const bad_lines[] = {
    "",
    "nonsense",
    "{",
    "[]",
    "{\"op\":\"tell\"}",
    "{\"op\":\"dance\"}",
    "{\"op\":7}",
    "{\"op\":\"tell\",\"job\":-1,\"loss\":1}",
    "{\"op\":\"tell\",\"job\":99999,\"loss\":1}",
    "{\"op\":\"tell\",\"job\":0.5,\"loss\":1}",
    "{\"op\":\"tell\",\"job\":\"0\",\"loss\":1}",
    "{\"op\":\"tell\",\"job\":18446744073709551616,\"loss\":1}",
    "{\"op\":\"tell\",\"job\":0,\"loss\":\"low\"}",
    "{\"op\":\"tell\",\"job\":0,\"state\":\"tired\"}",
    "{\"op\":\"tell\",\"job\":0,\"state\":\"ok\"}",
    "{\"op\":\"ask\"} {\"op\":\"ask\"}",
    "{\"op\":\"ask\",\"op\":\"ask\"}",
};

static void bad_lines_change_nothing(struct script *script)
{
    for (size_t i = 0; i < HD_COUNT(bad_lines); i++) {
        if (bad_lines[i][0] == '\0')
            continue; /* an empty line is none */
        struct hd_value *answer = ask_for(&script->talk, bad_lines[i]);
        if (error_of(answer) == NULL)
            fail_msg("%s got no error", bad_lines[i]);
        hd_value_free(answer);
    }
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        if (!script->jobs[i].told)
            continue;
        char text[160];
        snprintf(text, sizeof(text), "{\"op\":\"tell\",\"job\":%u,\"loss\":-1}", i);
        struct hd_value *answer = ask_for(&script->talk, text);
        assert_non_null(error_of(answer));
        assert_non_null(strstr(error_of(answer), "told already"));
        hd_value_free(answer);
        break;
    }
    check_pending(script, false);
    check_best(script);
}

/* ---- the script ----------------------------------------------------------------------------- */

static void script_open(struct script *script, const char *seed, const char *state)
{
    *script = (struct script){.jobs = calloc(JOBS_MAX, sizeof(struct known_job))};
    assert_non_null(script->jobs);
    hd_rng_seed(&script->rng, 5);
    talk_start(&script->talk,
               (const char *const[]){cluster_program("HD"), "ask-tell", experiment, "--seed", seed,
                                     state != NULL ? "--state" : NULL, state, NULL});
}

static void script_close(struct script *script)
{
    assert_int_equal(talk_close(&script->talk), 0);
    free(script->jobs);
}

static void assert_same_story(const struct script *a, const struct script *b)
{
    assert_int_equal(a->asked, b->asked);
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        const struct known_job *one = &a->jobs[i], *other = &b->jobs[i];
        if (one->asked != other->asked || !same_config(one, other) || one->x != other->x ||
            one->y != other->y || one->budget != other->budget || one->failed != other->failed)
            fail_msg("job %u differs: %s x %.17g, x %.17g", i, name_of(one), one->x, other->x);
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void two_hundred_asks_and_tells(void **state)
{
    (void)state;
    struct script script;
    script_open(&script, "3", NULL);
    check_best(&script);
    for (unsigned i = 0; !script.done; i++) {
        step(&script);
        if (i % 50 == 20)
            bad_lines_change_nothing(&script);
        if (i % 10 == 0)
            check_best(&script);
    }
    assert_true(script.asked >= 200 && script.told == script.asked);
    assert_true(script.failed > 10 && script.waits > 0);
    bad_lines_change_nothing(&script);
    struct hd_value *answer = ask_for(&script.talk, "{\"op\":\"ask\"}");
    assert_true(says(answer, "done"));
    hd_value_free(answer);
    script_close(&script);
}

static void the_same_seed_asks_the_same(void **state)
{
    (void)state;
    struct script first, second, other;
    script_open(&first, "11", NULL);
    script_open(&second, "11", NULL);
    script_open(&other, "12", NULL);
    while (!first.done)
        step(&first);
    while (!second.done) {
        step(&second);
        check_best(&second); /* looking changes nothing */
    }
    step(&other);
    assert_same_story(&first, &second);
    assert_true(other.jobs[0].x != first.jobs[0].x);
    script_close(&first);
    script_close(&second);
    script_close(&other);
}

static void kill_and_resume(struct script *script, const char *seed, const char *path)
{
    kill(script->talk.pid, SIGKILL);
    assert_int_equal(talk_close(&script->talk), 128 + SIGKILL);
    talk_start(&script->talk, (const char *const[]){cluster_program("HD"), "ask-tell", experiment,
                                                    "--seed", seed, "--state", path, NULL});
}

static void a_killed_session_goes_on_where_it_was(void **state)
{
    (void)state;
    struct script whole, killed;
    const char *path = cluster_path(&cluster, "session.db");
    script_open(&whole, "21", NULL);
    script_open(&killed, "21", path);
    while (!whole.done)
        step(&whole);
    for (unsigned i = 0; !killed.done; i++) {
        step(&killed);
        if (i % 40 != 25)
            continue;
        kill_and_resume(&killed, "21", path);
        check_pending(&killed, false);
        check_best(&killed);
    }
    assert_same_story(&whole, &killed);
    check_best(&killed);
    script_close(&whole);
    script_close(&killed);
}

/* Killed while a line is on its way: it was either done or not, and pending says which. */
static void a_session_killed_in_the_middle_of_a_line_loses_nothing(void **state)
{
    (void)state;
    struct script script;
    const char *path = cluster_path(&cluster, "session.db");
    script_open(&script, "31", path);
    for (unsigned i = 0; !script.done; i++) {
        step(&script);
        if (i % 25 != 10 || script.done)
            continue;
        uint32_t told = script.outstanding_count > 0 ? script.outstanding[0] : JOBS_MAX;
        char text[160];
        if (told < JOBS_MAX && i % 2 == 0)
            tell_text(&script, told, text, sizeof(text));
        else
            snprintf(text, sizeof(text), "{\"op\":\"ask\"}");
        bool tells = strstr(text, "tell") != NULL;
        say(&script.talk, text);
        kill_and_resume(&script, "31", path);
        if (tells) {
            struct hd_value *answer = ask_for(&script.talk, text);
            if (!says(answer, "ok"))
                assert_non_null(strstr(error_of(answer), "told already"));
            hd_value_free(answer);
            note_tell(&script, 0);
        }
        check_pending(&script, true);
        check_best(&script);
        while (script.outstanding_count >= OUTSTANDING_MAX)
            step_tell(&script, 0);
    }
    assert_int_equal(script.told, script.asked);
    script_close(&script);
}

static void the_state_of_another_experiment_is_refused(void **state)
{
    (void)state;
    struct script script;
    const char *path = cluster_path(&cluster, "session.db");
    script_open(&script, "1", path);
    step(&script);
    script_close(&script);
    char *text = test_file_read(experiment, NULL);
    char *high = strstr(text, "high: 1.0");
    assert_non_null(high);
    memcpy(high, "high: 2.0", strlen("high: 2.0"));
    const char *other = cluster_path(&cluster, "other.yaml");
    test_file_write(other, text);
    free(text);
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD"), "ask-tell", other, "--seed", "1",
                               "--state", path),
                   2, "space: x: changed");
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD"), "ask-tell", experiment, "--seed",
                               "2", "--state", path),
                   2, "seed");
}

static bool decides(struct talk *talk, const char *report, const char *decision)
{
    struct hd_value *answer = ask_for(talk, report);
    const struct hd_value *word = hd_value_get(answer, "decision");
    bool same =
        word != NULL && word->kind == HD_VALUE_STRING && hd_streq(word->as.string, decision);
    hd_value_free(answer);
    return same;
}

/* A job whose curve is among the worse is told to stop, by a killed session's successor too. */
static void a_report_may_stop_a_job(void **state)
{
    (void)state;
    struct talk talk = {0};
    const char *file = cluster_path(&cluster, "stopping.yaml");
    const char *path = cluster_path(&cluster, "stopping.db");
    test_file_write(file, "name: st\ntarget: {command: [none]}\nobjective: loss\n"
                          "space: {x: {type: float, low: 0, high: 1}}\n"
                          "iteration_generator: {name: asha, eta: 2, type: stopping}\n"
                          "budget: {min: 1, max: 4}\n");
    const char *const argv[] = {cluster_program("HD"), "ask-tell", file, "--state", path, NULL};
    talk_start(&talk, argv);
    for (int i = 0; i < 2; i++)
        hd_value_free(ask_for(&talk, "{\"op\":\"ask\"}"));
    assert_true(
        decides(&talk, "{\"op\":\"report\",\"job\":0,\"budget\":1,\"loss\":0.3}", "continue"));
    assert_true(decides(&talk, "{\"op\":\"report\",\"job\":1,\"budget\":1,\"loss\":0.5}", "stop"));
    kill(talk.pid, SIGKILL);
    assert_int_equal(talk_close(&talk), 128 + SIGKILL);
    talk_start(&talk, argv);
    assert_true(decides(&talk, "{\"op\":\"report\",\"job\":1,\"budget\":2,\"loss\":0.4}", "stop"));
    assert_true(
        decides(&talk, "{\"op\":\"report\",\"job\":0,\"budget\":2,\"loss\":0.2}", "continue"));
    struct hd_value *answer =
        ask_for(&talk, "{\"op\":\"tell\",\"job\":1,\"state\":\"stopped\",\"loss\":0.4}");
    assert_true(says(answer, "ok"));
    hd_value_free(answer);
    answer = ask_for(&talk, "{\"op\":\"report\",\"job\":1,\"budget\":3,\"loss\":0.4}");
    assert_non_null(strstr(error_of(answer), "told already"));
    hd_value_free(answer);
    assert_int_equal(talk_close(&talk), 0);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    cluster_open(&cluster);
    experiment = cluster_path(&cluster, "experiment.yaml");
    test_file_write(experiment, cluster_text(&cluster,
                                             "name: at\n"
                                             "target: {command: [none]}\n"
                                             "objective: loss\n"
                                             "space:\n"
                                             "  x: {type: float, low: 0.0, high: 1.0}\n"
                                             "  y: {type: int, low: 1, high: 100, log: true}\n"
                                             "sampler: tpe\n"
                                             "iteration_generator: {name: hyperband, eta: 3}\n"
                                             "budget: {min: 1, max: 9}\n"
                                             "stop: {iterations: %d}\n",
                                             ITERATIONS));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    return 0;
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(two_hundred_asks_and_tells),
        WITH_CLUSTER(the_same_seed_asks_the_same),
        WITH_CLUSTER(a_killed_session_goes_on_where_it_was),
        WITH_CLUSTER(a_session_killed_in_the_middle_of_a_line_loses_nothing),
        WITH_CLUSTER(the_state_of_another_experiment_is_refused),
        WITH_CLUSTER(a_report_may_stop_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
