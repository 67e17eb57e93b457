/* SPDX-License-Identifier: Apache-2.0 */
/* test_library.c: libhyperdock, as a program sees it. */
#include "library_checks.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_a_file_are_the_same),
        cmocka_unit_test(wrong_pieces_are_refused),
        cmocka_unit_test(every_type_is_got_and_no_other),
        cmocka_unit_test(null_is_refused_everywhere),
        cmocka_unit_test(telling_is_checked),
        cmocka_unit_test(maximizing_turns_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
