/* SPDX-License-Identifier: Apache-2.0 */
/* test_library.c: libhyperdock, as a program sees it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testlib.h"

#include <hyperdock.h>

#define DEFAULT_SEED 7

/* ---- helpers -------------------------------------------------------------------------------- */

#define assert_e(call)                                                                             \
    do {                                                                                           \
        if ((call) != HYPERDOCK_OK)                                                                \
            fail_msg("%s: %s", #call, hyperdock_experiment_error(experiment));                     \
    } while (0)
#define assert_s(call)                                                                             \
    do {                                                                                           \
        if ((call) != HYPERDOCK_OK)                                                                \
            fail_msg("%s: %s", #call, hyperdock_error(session));                                   \
    } while (0)
#define assert_refused(call, code, said, part)                                                     \
    do {                                                                                           \
        assert_string_equal(hyperdock_code_name(call), hyperdock_code_name(code));                 \
        if (strstr(said, part) == NULL)                                                            \
            fail_msg("%s: \"%s\" does not hold \"%s\"", #call, said, part);                        \
    } while (0)

static const char *const kinds[] = {"relu", "tanh", "gelu"};

static struct hyperdock_experiment *small_experiment(void)
{
    struct hyperdock_experiment *experiment = NULL;
    assert_int_equal(hyperdock_experiment_new(&experiment), HYPERDOCK_OK);
    assert_e(hyperdock_experiment_add_float(experiment, "lr", 1e-4, 1, 0, HYPERDOCK_LOG));
    assert_e(hyperdock_experiment_add_int(experiment, "units", 16, 256, 16, 0));
    assert_e(hyperdock_experiment_add_categorical(experiment, "kind", kinds, 3));
    assert_e(hyperdock_experiment_add_ordinal(experiment, "size", kinds, 2));
    assert_e(hyperdock_experiment_add_bool(experiment, "nesterov"));
    assert_e(hyperdock_experiment_add_constant(experiment, "epochs", "64"));
    assert_e(hyperdock_experiment_set_budgets(experiment, 1, 9));
    assert_e(hyperdock_experiment_set(experiment, "stop.iterations", "12"));
    assert_e(hyperdock_experiment_set_seed(experiment, DEFAULT_SEED));
    return experiment;
}

static struct hyperdock_session *small_session(const char *path)
{
    struct hyperdock_experiment *experiment = small_experiment();
    struct hyperdock_session *session = NULL;
    assert_e(hyperdock_open(experiment, path, &session));
    hyperdock_experiment_free(experiment);
    return session;
}

static uint32_t ask(struct hyperdock_session *session)
{
    enum hyperdock_answer answer;
    uint32_t job;
    assert_s(hyperdock_ask(session, &answer, &job));
    assert_int_equal(answer, HYPERDOCK_ASK_JOB);
    return job;
}

static double value_of(struct hyperdock_session *session, uint32_t job)
{
    double rate, budget;
    assert_s(hyperdock_get_double(session, job, "lr", &rate));
    assert_s(hyperdock_job_budget(session, job, &budget, NULL));
    return fabs(log(rate)) + 1 / budget;
}

/* ---- experiments ---------------------------------------------------------------------------- */

/* What is built by calls is what the file with the same content gives. */
static void calls_and_a_file_are_the_same(void **state)
{
    (void)state;
    static const char text[] = "space:\n"
                               "  lr: {type: float, low: 1.0e-4, high: 1, log: true}\n"
                               "  units: {type: int, low: 16, high: 256, step: 16}\n"
                               "  kind: {type: categorical, choices: [relu, tanh, gelu]}\n"
                               "  size: {type: ordinal, choices: [relu, tanh]}\n"
                               "  nesterov: {type: bool, default: true}\n"
                               "  epochs: 64\n"
                               "objective: {name: loss, direction: maximize}\n"
                               "sampler: {name: random}\n"
                               "iteration_generator: {name: successive_halving, eta: 4}\n"
                               "budget: {min: 1, max: 9}\n"
                               "stop: {iterations: 12}\n"
                               "seed: 7\n";
    struct hyperdock_experiment *experiment = small_experiment(), *file = NULL;
    const char *by_calls, *by_text;
    assert_e(hyperdock_experiment_set_direction(experiment, HYPERDOCK_MAXIMIZE));
    assert_e(hyperdock_experiment_set_param(experiment, "nesterov", "default", "true"));
    assert_e(hyperdock_experiment_set_sampler(experiment, "random", NULL));
    assert_e(
        hyperdock_experiment_set_iteration_generator(experiment, "successive_halving", "{eta: 4}"));
    assert_e(hyperdock_experiment_json(experiment, &by_calls));
    assert_int_equal(hyperdock_experiment_new(&file), HYPERDOCK_OK);
    assert_int_equal(hyperdock_experiment_parse(file, text, strlen(text)), HYPERDOCK_OK);
    assert_int_equal(hyperdock_experiment_json(file, &by_text), HYPERDOCK_OK);
    assert_string_equal(by_calls, by_text);
    hyperdock_experiment_free(experiment);
    hyperdock_experiment_free(file);
}

/* A wrong piece is refused where it is given, with words, and leaves no trace. */
static void wrong_pieces_are_refused(void **state)
{
    (void)state;
    struct hyperdock_experiment *experiment = small_experiment();
    const char *before, *after;
    static const char *const holes[] = {"a", NULL};
    assert_e(hyperdock_experiment_json(experiment, &before));
    char *kept = strdup(before);
#define REFUSED(call, code, part)                                                                  \
    assert_refused(call, code, hyperdock_experiment_error(experiment), part)
    REFUSED(hyperdock_experiment_add_float(experiment, "x", NAN, 1, 0, 0), HYPERDOCK_E_INVALID,
            "finite");
    REFUSED(hyperdock_experiment_add_float(experiment, "x", 2, 1, 0, 0), HYPERDOCK_E_INVALID,
            "space.x");
    REFUSED(hyperdock_experiment_add_float(experiment, "x", 0, 1, 0, HYPERDOCK_LOG),
            HYPERDOCK_E_INVALID, "space.x");
    REFUSED(hyperdock_experiment_add_float(experiment, "x", 0, 1, 0, 64), HYPERDOCK_E_INVALID,
            "flags");
    REFUSED(hyperdock_experiment_add_float(experiment, NULL, 0, 1, 0, 0), HYPERDOCK_E_INVALID,
            "NULL");
    REFUSED(hyperdock_experiment_add_float(experiment, "\xff", 0, 1, 0, 0), HYPERDOCK_E_INVALID,
            "UTF-8");
    REFUSED(hyperdock_experiment_add_float(experiment, "lr", 0, 1, 0, 0), HYPERDOCK_E_EXISTS, "lr");
    REFUSED(hyperdock_experiment_add_int(experiment, "x", 1, 2, -1, 0), HYPERDOCK_E_INVALID,
            "space.x");
    REFUSED(hyperdock_experiment_add_int(experiment, "x", 1, 2, 0, 2), HYPERDOCK_E_INVALID,
            "flags");
    REFUSED(hyperdock_experiment_add_categorical(experiment, "x", NULL, 3), HYPERDOCK_E_INVALID,
            "choices");
    REFUSED(hyperdock_experiment_add_categorical(experiment, "x", holes, 2), HYPERDOCK_E_INVALID,
            "NULL");
    REFUSED(hyperdock_experiment_add_ordinal(experiment, "x", kinds, SIZE_MAX), HYPERDOCK_E_LIMIT,
            "choices");
    REFUSED(hyperdock_experiment_add_bool(experiment, ""), HYPERDOCK_E_INVALID, "");
    REFUSED(hyperdock_experiment_add_constant(experiment, "x", "[1, 2"), HYPERDOCK_E_INVALID, "");
    REFUSED(hyperdock_experiment_add_constant(experiment, "x", NULL), HYPERDOCK_E_INVALID, "NULL");
    REFUSED(hyperdock_experiment_add_param(experiment, "x", "{"), HYPERDOCK_E_INVALID, "");
    REFUSED(hyperdock_experiment_set_param(experiment, "nobody", "default", "1"),
            HYPERDOCK_E_NOT_FOUND, "nobody");
    REFUSED(hyperdock_experiment_set_param(experiment, NULL, "default", "1"), HYPERDOCK_E_INVALID,
            "NULL");
    REFUSED(hyperdock_experiment_set(experiment, "stop..jobs", "1"), HYPERDOCK_E_INVALID, "path");
    REFUSED(hyperdock_experiment_set(experiment, "", "1"), HYPERDOCK_E_INVALID, "path");
    REFUSED(hyperdock_experiment_set(experiment, "stop.iterations.x", "1"), HYPERDOCK_E_INVALID,
            "not a map");
    REFUSED(hyperdock_experiment_set_direction(experiment, (enum hyperdock_direction)5),
            HYPERDOCK_E_INVALID, "direction");
    REFUSED(hyperdock_experiment_set_budgets(experiment, 3, 1), HYPERDOCK_E_INVALID, "budgets");
    REFUSED(hyperdock_experiment_set_budgets(experiment, NAN, 1), HYPERDOCK_E_INVALID, "budgets");
    REFUSED(hyperdock_experiment_set_sampler(experiment, "tpe", "[1]"), HYPERDOCK_E_INVALID, "map");
    REFUSED(hyperdock_experiment_set_sampler(experiment, NULL, NULL), HYPERDOCK_E_INVALID, "NULL");
    REFUSED(hyperdock_experiment_parse(experiment, "[]", 2), HYPERDOCK_E_INVALID, "map");
    REFUSED(hyperdock_experiment_parse(experiment, NULL, 2), HYPERDOCK_E_INVALID, "NULL");
    REFUSED(hyperdock_experiment_read(experiment, "/nowhere/e.yaml"), HYPERDOCK_E_NOT_FOUND,
            "/nowhere/e.yaml");
    assert_e(hyperdock_experiment_json(experiment, &after));
    assert_string_equal(kept, after);
    free(kept);
    /* What only the whole can tell is told by the whole. */
    struct hyperdock_session *session = NULL;
    assert_e(hyperdock_experiment_set_sampler(experiment, "tpee", NULL));
    REFUSED(hyperdock_open(experiment, NULL, &session), HYPERDOCK_E_INVALID, "tpe");
    assert_null(session);
    hyperdock_experiment_free(experiment);
}

/* ---- sessions ------------------------------------------------------------------------------- */

static void every_type_is_got_and_no_other(void **state)
{
    (void)state;
    struct hyperdock_session *session = small_session(NULL);
    uint32_t job = ask(session), id[3] = {9, 9, 9};
    double real, budget, previous;
    int64_t whole;
    int flag;
    const char *text;
    assert_s(hyperdock_get_double(session, job, "lr", &real));
    assert_true(real >= 1e-4 && real <= 1);
    assert_s(hyperdock_get_int(session, job, "units", &whole));
    assert_true(whole >= 16 && whole <= 256 && whole % 16 == 0);
    assert_s(hyperdock_get_double(session, job, "units", &real));
    assert_true(real == (double)whole);
    assert_s(hyperdock_get_int(session, job, "epochs", &whole));
    assert_int_equal(whole, 64);
    assert_s(hyperdock_get_bool(session, job, "nesterov", &flag));
    assert_true(flag == 0 || flag == 1);
    assert_s(hyperdock_get_text(session, job, "kind", &text));
    assert_true(strcmp(text, "relu") == 0 || strcmp(text, "tanh") == 0 ||
                strcmp(text, "gelu") == 0);
    assert_s(hyperdock_job_budget(session, job, &budget, &previous));
    assert_true(budget == 1 && isnan(previous));
    assert_s(hyperdock_job_config_id(session, job, id));
    assert_true(id[0] == 0 && id[1] == 0 && id[2] == 0);
#define SAID(call, code, part) assert_refused(call, code, hyperdock_error(session), part)
    SAID(hyperdock_get_int(session, job, "lr", &whole), HYPERDOCK_E_INVALID, "number");
    SAID(hyperdock_get_text(session, job, "lr", &text), HYPERDOCK_E_INVALID, "number");
    SAID(hyperdock_get_double(session, job, "kind", &real), HYPERDOCK_E_INVALID, "string");
    SAID(hyperdock_get_bool(session, job, "units", &flag), HYPERDOCK_E_INVALID, "integer");
    SAID(hyperdock_get_text(session, job, "knd", &text), HYPERDOCK_E_NOT_FOUND, "kind");
    SAID(hyperdock_get_text(session, job, NULL, &text), HYPERDOCK_E_INVALID, "NULL");
    SAID(hyperdock_get_text(session, job, "kind", NULL), HYPERDOCK_E_INVALID, "answer");
    SAID(hyperdock_get_text(session, 99, "kind", &text), HYPERDOCK_E_NOT_FOUND, "job 99");
    SAID(hyperdock_job_budget(session, 99, &budget, NULL), HYPERDOCK_E_NOT_FOUND, "job 99");
    SAID(hyperdock_job_config(session, 99, &text), HYPERDOCK_E_NOT_FOUND, "job 99");
    SAID(hyperdock_job_json(session, job, NULL), HYPERDOCK_E_INVALID, "answer");
    SAID(hyperdock_job_config_id(session, 99, id), HYPERDOCK_E_NOT_FOUND, "job 99");
    hyperdock_close(session);
}

/* Nobody's handle is an answer, never a crash. */
static void null_is_refused_everywhere(void **state)
{
    (void)state;
    struct hyperdock_session *session = NULL;
    enum hyperdock_answer answer;
    enum hyperdock_decision decision;
    uint32_t job;
    size_t count;
    double number;
    const char *text;
    hyperdock_close(NULL);
    hyperdock_experiment_free(NULL);
    assert_int_equal(hyperdock_experiment_new(NULL), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_experiment_json(NULL, &text), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_experiment_set_seed(NULL, 1), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_experiment_add_bool(NULL, "x"), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_experiment_add_ordinal(NULL, "x", kinds, 3), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_experiment_set_sampler(NULL, "tpe", NULL), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_open(NULL, NULL, &session), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_load(NULL, "x", &session), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_save(NULL, "x"), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_ask(NULL, &answer, &job), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_tell(NULL, 0, 1), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_report(NULL, 0, 1, 1, &decision), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_best(NULL, &job, NULL), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_pending(NULL, NULL, 0, &count), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_get_double(NULL, 0, "x", &number), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_job_count(NULL), 0);
    assert_string_equal(hyperdock_done_reason(NULL), "");
    assert_non_null(strstr(hyperdock_error(NULL), "NULL"));
    assert_non_null(strstr(hyperdock_experiment_error(NULL), "NULL"));
    assert_string_equal(hyperdock_code_name((enum hyperdock_code)999), "unknown");
    session = small_session(NULL);
    assert_int_equal(hyperdock_ask(session, NULL, &job), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_pending(session, NULL, 3, &count), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_best(session, NULL, NULL), HYPERDOCK_E_INVALID);
    assert_int_equal(hyperdock_save(session, NULL), HYPERDOCK_E_INVALID);
    hyperdock_close(session);
}

static void telling_is_checked(void **state)
{
    (void)state;
    struct hyperdock_session *session = small_session(NULL);
    enum hyperdock_decision decision = HYPERDOCK_STOP;
    uint32_t job, best, pending[4];
    size_t count;
    double value;
    SAID(hyperdock_best(session, &best, NULL), HYPERDOCK_E_NOT_FOUND, "yet");
    job = ask(session);
    SAID(hyperdock_tell(session, 7, 1), HYPERDOCK_E_NOT_FOUND, "job 7");
    SAID(hyperdock_tell_outcome(session, job, (enum hyperdock_outcome)77, 1), HYPERDOCK_E_INVALID,
         "outcome");
    SAID(hyperdock_report(session, job, NAN, 1, &decision), HYPERDOCK_E_INVALID, "budget");
    SAID(hyperdock_report(session, job, 0, 1, &decision), HYPERDOCK_E_INVALID, "budget");
    SAID(hyperdock_report(session, job, 1, INFINITY, &decision), HYPERDOCK_E_INVALID, "finite");
    SAID(hyperdock_report(session, 7, 1, 1, &decision), HYPERDOCK_E_NOT_FOUND, "job 7");
    assert_int_equal(decision, HYPERDOCK_STOP); /* untouched by what failed */
    assert_s(hyperdock_report(session, job, 0.5, 3, &decision));
    assert_int_equal(decision, HYPERDOCK_CONTINUE); /* nothing to compare it with */
    assert_s(hyperdock_tell(session, job, 2.5));
    SAID(hyperdock_tell(session, job, 2), HYPERDOCK_E_CONFLICT, "told already");
    SAID(hyperdock_report(session, job, 1, 2, &decision), HYPERDOCK_E_CONFLICT, "told already");
    assert_s(hyperdock_best(session, &best, &value));
    assert_true(best == job && value == 2.5);
    /* A value that is none is an outcome, and no better than any. */
    assert_s(hyperdock_tell(session, ask(session), NAN));
    assert_s(hyperdock_tell(session, ask(session), -INFINITY));
    assert_s(hyperdock_tell_outcome(session, ask(session), HYPERDOCK_OUTCOME_FAILED, NAN));
    assert_s(hyperdock_best(session, &best, &value));
    assert_true(best == job && value == 2.5);
    uint32_t first = ask(session), second = ask(session);
    assert_s(hyperdock_pending(session, pending, 1, &count));
    assert_true(count == 2 && pending[0] == first);
    assert_s(hyperdock_pending(session, pending, 4, &count));
    assert_true(count == 2 && pending[1] == second);
    hyperdock_close(session);
}

/* The value is in the direction of the experiment, both ways. */
static void maximizing_turns_the_value(void **state)
{
    (void)state;
    struct hyperdock_experiment *experiment = small_experiment();
    struct hyperdock_session *session = NULL;
    uint32_t best;
    double value;
    assert_e(hyperdock_experiment_set_direction(experiment, HYPERDOCK_MAXIMIZE));
    assert_e(hyperdock_open(experiment, NULL, &session));
    assert_int_equal(hyperdock_direction(session), HYPERDOCK_MAXIMIZE);
    uint32_t low = ask(session), high = ask(session);
    assert_s(hyperdock_tell(session, high, 0.9));
    assert_s(hyperdock_tell(session, low, 0.1));
    assert_s(hyperdock_best(session, &best, &value));
    assert_true(best == high && value == 0.9);
    hyperdock_close(session);
    hyperdock_experiment_free(experiment);
}

/* ---- whole runs ----------------------------------------------------------------------------- */

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
        cmocka_unit_test(calls_and_a_file_are_the_same),
        cmocka_unit_test(wrong_pieces_are_refused),
        cmocka_unit_test(every_type_is_got_and_no_other),
        cmocka_unit_test(null_is_refused_everywhere),
        cmocka_unit_test(telling_is_checked),
        cmocka_unit_test(maximizing_turns_the_value),
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
