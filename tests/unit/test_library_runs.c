/* SPDX-License-Identifier: Apache-2.0 */
/* test_library_runs.c: whole runs through libhyperdock: files, reports, ends, memory. */
#include "library_checks.h"

/* ---- whole runs ----------------------------------------------------------------------------- */

static double value_of(struct hyperdock_session *session, uint32_t job)
{
    double rate, budget;
    assert_s(hyperdock_get_double(session, job, "lr", &rate));
    assert_s(hyperdock_job_budget(session, job, &budget, NULL));
    return fabs(log(rate)) + 1 / budget;
}

#define STORY_MAX 400
struct story {
    char *configs[STORY_MAX];
    double budgets[STORY_MAX];
    uint32_t count;
    char reason[200];
};

static void story_free(struct story *story)
{
    for (uint32_t i = 0; i < story->count; i++)
        free(story->configs[i]);
}

/* Up to three jobs outstanding, told last first, every seventh failed, to the end; at job `pause`
 * the session is replaced by what `swap` makes of it. */
typedef struct hyperdock_session *(*swap_fn)(struct hyperdock_session *session, const char *path);
static struct hyperdock_session *tell_story(struct hyperdock_session *session, uint32_t pause,
                                            swap_fn swap, const char *path, struct story *story)
{
    enum hyperdock_answer answer;
    uint32_t job, pending[8];
    size_t count;
    memset(story, 0, sizeof(*story));
    for (;;) {
        assert_s(hyperdock_ask(session, &answer, &job));
        assert_s(hyperdock_pending(session, pending, 8, &count));
        if (answer == HYPERDOCK_ASK_DONE)
            break;
        if (answer == HYPERDOCK_ASK_JOB) {
            const char *json;
            assert_true(job == story->count && job < STORY_MAX);
            assert_s(hyperdock_job_json(session, job, &json));
            story->configs[story->count] = strdup(json);
            assert_s(hyperdock_job_budget(session, job, &story->budgets[story->count++], NULL));
        }
        if (answer == HYPERDOCK_ASK_JOB && count < 3)
            continue;
        assert_true(count > 0);
        job = pending[count - 1];
        if (job % 7 == 3)
            assert_s(hyperdock_tell_outcome(session, job, HYPERDOCK_OUTCOME_OOM, NAN));
        else
            assert_s(hyperdock_tell(session, job, value_of(session, job)));
        if (swap != NULL && story->count > pause) {
            session = swap(session, path);
            swap = NULL;
        }
    }
    assert_int_equal(count, 0);
    hd_copy_text(story->reason, sizeof(story->reason), hyperdock_done_reason(session));
    return session;
}

static void assert_same_story(const struct story *a, const struct story *b)
{
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        assert_string_equal(a->configs[i], b->configs[i]);
    assert_string_equal(a->reason, b->reason);
}

static struct hyperdock_session *close_and_open(struct hyperdock_session *session, const char *path)
{
    hyperdock_close(session);
    return small_session(path);
}

static struct hyperdock_session *save_and_load(struct hyperdock_session *session, const char *path)
{
    struct hyperdock_experiment *experiment = NULL;
    struct hyperdock_session *loaded = NULL;
    assert_int_equal(hyperdock_experiment_new(&experiment), HYPERDOCK_OK);
    assert_s(hyperdock_save(session, path));
    assert_s(hyperdock_save(session, path)); /* a file of ours is replaced */
    assert_e(hyperdock_load(experiment, path, &loaded));
    hyperdock_experiment_free(experiment);
    hyperdock_close(session);
    remove(path);
    return loaded;
}

/* A session goes on the same whether it is whole, resumed from its file, or saved and loaded. */
static void a_session_survives_files(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    char path[500], copy[500];
    struct story whole, resumed, loaded;
    hd_format(path, sizeof(path), "%s/session.db", dir);
    hd_format(copy, sizeof(copy), "%s/copy.db", dir);
    hyperdock_close(tell_story(small_session(NULL), 0, NULL, NULL, &whole));
    assert_true(whole.count > 50 && whole.reason[0] != '\0');
    hyperdock_close(tell_story(small_session(path), 40, close_and_open, path, &resumed));
    hyperdock_close(tell_story(small_session(NULL), 40, save_and_load, copy, &loaded));
    assert_same_story(&whole, &resumed);
    assert_same_story(&whole, &loaded);
    story_free(&whole);
    story_free(&resumed);
    story_free(&loaded);
    test_dir_remove(dir);
}

static void files_of_others_are_refused(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    char path[500], other[500];
    hd_format(path, sizeof(path), "%s/session.db", dir);
    hd_format(other, sizeof(other), "%s/notes.txt", dir);
    struct hyperdock_session *session = small_session(path), *second = NULL;
    struct hyperdock_experiment *experiment = small_experiment();
    test_file_write(other, "not a database, but somebody's notes that must stay as they are\n");
    SAID(hyperdock_save(session, other), HYPERDOCK_E_CORRUPT, "notes.txt");
    char *kept = test_file_read(other, NULL);
    assert_non_null(strstr(kept, "somebody's notes"));
    free(kept);
    SAID(hyperdock_save(session, path), HYPERDOCK_E_BUSY, "session.db");
    assert_refused(hyperdock_open(experiment, path, &second), HYPERDOCK_E_BUSY,
                   hyperdock_experiment_error(experiment), "session.db");
    hyperdock_close(session);
    assert_e(hyperdock_experiment_set_seed(experiment, DEFAULT_SEED + 1));
    assert_refused(hyperdock_open(experiment, path, &second), HYPERDOCK_E_CONFLICT,
                   hyperdock_experiment_error(experiment), "seed");
    assert_refused(hyperdock_load(experiment, "/nowhere/x", &second), HYPERDOCK_E_NOT_FOUND,
                   hyperdock_experiment_error(experiment), "/nowhere/x");
    assert_null(second);
    hyperdock_experiment_free(experiment);
    test_dir_remove(dir);
}

/* ---- reports -------------------------------------------------------------------------------- */

static struct hyperdock_session *stopping_session(void)
{
    struct hyperdock_experiment *experiment = NULL;
    struct hyperdock_session *session = NULL;
    assert_int_equal(hyperdock_experiment_new(&experiment), HYPERDOCK_OK);
    assert_e(hyperdock_experiment_add_float(experiment, "x", 0, 1, 0, 0));
    assert_e(hyperdock_experiment_set_budgets(experiment, 1, 9));
    assert_e(hyperdock_experiment_set_iteration_generator(experiment, "asha",
                                                          "{eta: 3, type: stopping}"));
    assert_e(hyperdock_experiment_set(experiment, "stop.configs", "30"));
    assert_e(hyperdock_experiment_set_seed(experiment, DEFAULT_SEED));
    assert_e(hyperdock_open(experiment, NULL, &session));
    hyperdock_experiment_free(experiment);
    return session;
}

/* Job after job, each reporting after every unit of its budget until it is told to stop. */
static struct hyperdock_session *tell_with_reports(struct hyperdock_session *session,
                                                   uint32_t pause, const char *path,
                                                   struct story *story, uint32_t *ret_stopped)
{
    enum hyperdock_answer answer;
    uint32_t job;
    memset(story, 0, sizeof(*story));
    *ret_stopped = 0;
    for (;;) {
        assert_s(hyperdock_ask(session, &answer, &job));
        if (answer != HYPERDOCK_ASK_JOB)
            break;
        double x, budget, loss = NAN, step = 1;
        const char *json;
        enum hyperdock_decision decision = HYPERDOCK_CONTINUE;
        assert_s(hyperdock_job_json(session, job, &json));
        story->configs[story->count++] = strdup(json);
        assert_s(hyperdock_get_double(session, job, "x", &x));
        assert_s(hyperdock_job_budget(session, job, &budget, NULL));
        for (; step < budget && decision == HYPERDOCK_CONTINUE; step++) {
            loss = x + 1 / step;
            assert_s(hyperdock_report(session, job, step, loss, &decision));
            if (job == pause && step == 2)
                session = save_and_load(session, path);
        }
        *ret_stopped += decision == HYPERDOCK_STOP ? 1 : 0;
        if (decision == HYPERDOCK_STOP)
            assert_s(hyperdock_tell_outcome(session, job, HYPERDOCK_OUTCOME_STOPPED, loss));
        else
            assert_s(hyperdock_tell(session, job, x + 1 / budget));
    }
    assert_int_equal(answer, HYPERDOCK_ASK_DONE);
    hd_copy_text(story->reason, sizeof(story->reason), hyperdock_done_reason(session));
    return session;
}

/* Bad jobs are stopped on the way and good ones are not; the best is one that went to the end; and
 * all of it is the same when the session was saved and loaded between two reports. */
static void reports_stop_bad_jobs(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    char path[500];
    struct story whole, loaded;
    uint32_t stopped, stopped_again, best;
    double value, budget;
    hd_format(path, sizeof(path), "%s/copy.db", dir);
    struct hyperdock_session *session =
        tell_with_reports(stopping_session(), UINT32_MAX, NULL, &whole, &stopped);
    assert_int_equal(whole.count, 30);
    assert_true(stopped > 5 && stopped < 30);
    assert_s(hyperdock_best(session, &best, &value));
    assert_s(hyperdock_job_budget(session, best, &budget, NULL));
    assert_true(budget == 9 && value < 1 + 1.0 / 9);
    hyperdock_close(session);
    hyperdock_close(tell_with_reports(stopping_session(), 0, path, &loaded, &stopped_again));
    assert_int_equal(stopped, stopped_again);
    assert_same_story(&whole, &loaded);
    story_free(&whole);
    story_free(&loaded);
    test_dir_remove(dir);
}

/* A goal or a limit that ends the run ends what is outstanding: nobody waits for it, and telling it
 * is a conflict with words. */
static void an_end_takes_back_what_is_outstanding(void **state)
{
    (void)state;
    static const char *const limits[][2] = {{"objective.goal", "0.5"}, {"stop.jobs", "3"}};
    for (size_t i = 0; i < HD_COUNT(limits); i++) {
        struct hyperdock_experiment *experiment = small_experiment();
        struct hyperdock_session *session = NULL;
        enum hyperdock_answer answer;
        enum hyperdock_decision decision;
        uint32_t jobs[3], pending[8], none;
        size_t count;
        assert_e(hyperdock_experiment_set(experiment, limits[i][0], limits[i][1]));
        assert_e(hyperdock_open(experiment, NULL, &session));
        hyperdock_experiment_free(experiment);
        for (int k = 0; k < 3; k++)
            jobs[k] = ask(session);
        assert_s(hyperdock_tell(session, jobs[1], 0.1));
        if (i == 1)
            assert_s(hyperdock_tell(session, jobs[0], 0.1));
        assert_s(hyperdock_pending(session, pending, 8, &count));
        assert_int_equal(count, i == 0 ? 0 : 1);
        if (i == 0)
            assert_refused(hyperdock_report(session, jobs[2], 1, 0.3, &decision),
                           HYPERDOCK_E_CONFLICT, hyperdock_error(session), "told already");
        else
            assert_s(hyperdock_report(session, jobs[2], 0.5, 0.3, &decision));
        if (i == 1)
            assert_s(hyperdock_tell(session, jobs[2], 0.3));
        assert_s(hyperdock_ask(session, &answer, &none));
        assert_int_equal(answer, HYPERDOCK_ASK_DONE);
        assert_s(hyperdock_pending(session, pending, 8, &count));
        assert_int_equal(count, 0);
        hyperdock_close(session);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Every allocation fails once, in each of the first calls: the call says so and can be repeated,
 * and the story is the same as without. */
static void no_memory_is_an_answer(void **state)
{
    (void)state;
    struct hyperdock_session *calm = small_session(NULL), *torn = small_session(NULL);
    for (int round = 0; round < 12; round++) {
        enum hyperdock_answer answer;
        const char *json;
        uint32_t job = ask(calm), torn_job = UINT32_MAX;
        enum hyperdock_code code = HYPERDOCK_E_NOMEM;
        int failures = 0;
        for (int countdown = 0; code == HYPERDOCK_E_NOMEM; countdown++) {
            hd_test_fail_alloc_after(countdown);
            code = hyperdock_ask(torn, &answer, &torn_job);
            hd_test_fail_alloc_after(-1);
            failures += code == HYPERDOCK_E_NOMEM ? 1 : 0;
        }
        assert_int_equal(code, HYPERDOCK_OK);
        assert_int_equal(answer, HYPERDOCK_ASK_JOB);
        assert_int_equal(job, torn_job);
        assert_true(failures > 0);
        assert_int_equal(hyperdock_job_json(calm, job, &json), HYPERDOCK_OK);
        char *expected = strdup(json);
        assert_int_equal(hyperdock_job_json(torn, job, &json), HYPERDOCK_OK);
        assert_string_equal(expected, json);
        free(expected);
        double value = value_of(calm, job);
        assert_int_equal(hyperdock_tell(calm, job, value), HYPERDOCK_OK);
        code = HYPERDOCK_E_NOMEM;
        for (int countdown = 0; code == HYPERDOCK_E_NOMEM; countdown++) {
            hd_test_fail_alloc_after(countdown);
            code = hyperdock_tell(torn, job, value);
            hd_test_fail_alloc_after(-1);
        }
        assert_int_equal(code, HYPERDOCK_OK);
    }
    hyperdock_close(calm);
    hyperdock_close(torn);
}

static void opening_without_memory_fails_cleanly(void **state)
{
    (void)state;
    enum hyperdock_code code = HYPERDOCK_E_NOMEM;
    int failures = 0;
    for (int countdown = 0; code == HYPERDOCK_E_NOMEM; countdown++) {
        struct hyperdock_experiment *experiment = NULL;
        struct hyperdock_session *session = NULL;
        hd_test_fail_alloc_after(countdown);
        code = hyperdock_experiment_new(&experiment);
        if (code == HYPERDOCK_OK)
            code = hyperdock_experiment_add_float(experiment, "x", 0, 1, 0, 0);
        if (code == HYPERDOCK_OK)
            code = hyperdock_experiment_add_categorical(experiment, "k", kinds, 3);
        if (code == HYPERDOCK_OK)
            code = hyperdock_experiment_set(experiment, "stop.configs", "3");
        if (code == HYPERDOCK_OK)
            code = hyperdock_open(experiment, NULL, &session);
        hd_test_fail_alloc_after(-1);
        failures += code == HYPERDOCK_E_NOMEM ? 1 : 0;
        hyperdock_close(session);
        hyperdock_experiment_free(experiment);
    }
    assert_int_equal(code, HYPERDOCK_OK);
    assert_true(failures > 20);
}

static void the_version_is_that_of_the_header(void **state)
{
    (void)state;
    char text[40];
    snprintf(text, sizeof(text), "%d.%d.%d", HYPERDOCK_VERSION_MAJOR, HYPERDOCK_VERSION_MINOR,
             HYPERDOCK_VERSION_PATCH);
    assert_string_equal(hyperdock_version(), text);
    assert_string_equal(getenv("HD_PROJECT_VERSION"), text);
}

/* With several objectives and a constraint all values are told at once, in the directions of the
 * experiment; the front, the values and the feasibility are the same after a restart; a wrong
 * number of values changes nothing. */
static void several_objectives_have_a_front(void **state)
{
    (void)state;
    static const double told[][3] = {
        {0.5, 2, 10}, {0.2, 1, 10}, {0.9, 9, 11}, {0.6, 1, 0}, {0.1, 0.5, -5}};
    static const uint32_t front[] = {0, 1, 4};
    struct hyperdock_experiment *experiment = small_experiment();
    struct hyperdock_session *session = NULL;
    char *dir = test_dir_make(), path[600];
    assert_true(hd_format(path, sizeof(path), "%s/s.db", dir));
    assert_e(hyperdock_experiment_set(experiment, "objective",
                                      "[error, {name: speed, direction: maximize}]"));
    assert_e(hyperdock_experiment_set(experiment, "constraints", "[{name: memory, max: 10}]"));
    assert_e(hyperdock_experiment_set(experiment, "sampler", "random"));
    assert_e(hyperdock_experiment_set(experiment, "iteration_generator", "full"));
    assert_e(hyperdock_open(experiment, path, &session));
    assert_int_equal(hyperdock_measure_count(session), 3);
    assert_string_equal(hyperdock_measure_name(session, 2), "memory");
    assert_null(hyperdock_measure_name(session, 3));
    for (uint32_t i = 0; i < HD_COUNT(told); i++) {
        uint32_t job = ask(session);
        assert_refused(hyperdock_tell(session, job, 1), HYPERDOCK_E_INVALID,
                       hyperdock_error(session), "3 objectives and constraints");
        assert_refused(hyperdock_tell_values(session, job, told[i], 2), HYPERDOCK_E_INVALID,
                       hyperdock_error(session), "2 values");
        assert_s(hyperdock_tell_values(session, job, told[i], 3));
    }
    for (int round = 0; round < 2; round++) {
        uint32_t jobs[8], best;
        size_t count;
        double values[3];
        int feasible;
        assert_s(hyperdock_front(session, jobs, HD_COUNT(jobs), &count));
        assert_int_equal(count, HD_COUNT(front));
        assert_memory_equal(jobs, front, sizeof(front));
        assert_s(hyperdock_best(session, &best, NULL));
        assert_int_equal(best, 4);
        assert_s(hyperdock_job_values(session, 2, values, 3, &count, &feasible));
        assert_true(count == 3 && values[1] == 9 && values[2] == 11 && feasible == 0);
        assert_refused(hyperdock_job_values(session, 5, values, 3, &count, NULL),
                       HYPERDOCK_E_NOT_FOUND, hyperdock_error(session), "no value");
        hyperdock_close(session);
        assert_e(hyperdock_open(experiment, path, &session));
    }
    hyperdock_close(session);
    hyperdock_experiment_free(experiment);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_survives_files),
        cmocka_unit_test(several_objectives_have_a_front),
        cmocka_unit_test(files_of_others_are_refused),
        cmocka_unit_test(reports_stop_bad_jobs),
        cmocka_unit_test(an_end_takes_back_what_is_outstanding),
        cmocka_unit_test(no_memory_is_an_answer),
        cmocka_unit_test(opening_without_memory_fails_cleanly),
        cmocka_unit_test(the_version_is_that_of_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
