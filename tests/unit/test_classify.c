/* SPDX-License-Identifier: Apache-2.0 */
/* What targets write, and how attempts end, becomes exactly one outcome with a text that helps. */
#include "testlib.h"

#include <hd/engine.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static char name_loss[] = "loss";
static char name_accuracy[] = "accuracy";

static struct hd_experiment experiment_of(char *name, bool maximize, bool exit_code_only)
{
    struct hd_experiment experiment = {0};
    experiment.objective.name = name;
    experiment.objective.maximize = maximize;
    experiment.objective.exit_code_only = exit_code_only;
    return experiment;
}

/* ---- loss.json ------------------------------------------------------------------------------ */

struct loss_row {
    const char *text;
    bool maximize_accuracy; /* objective {name: accuracy, direction: maximize}; else loss */
    bool present, failed;
    double loss;
    const char *message; /* a part of it; NULL: must be empty */
    const char *info;    /* exact; NULL: must be empty */
};

static const struct loss_row loss_rows[] = {
    /* the forms of the contract */
    {"{\"loss\": 0.25, \"state\": \"ok\"}", false, true, false, 0.25, NULL, NULL},
    {"{\"loss\": 0.25, \"status\": \"ok\"}", false, true, false, 0.25, NULL, NULL},
    {"{\"loss\": 3}", false, true, false, 3.0, NULL, NULL},
    {"{\"value\": -2e-3}", false, true, false, -0.002, NULL, NULL},
    {"0.5", false, true, false, 0.5, NULL, NULL},
    {"  1e3\n", false, true, false, 1000.0, NULL, NULL},
    {"+.5", false, true, false, 0.5, NULL, NULL},
    {"{\"loss\": 1, \"state\": \"success\"}", false, true, false, 1.0, NULL, NULL},
    {"{\"loss\": \"0.125\"}", false, true, false, 0.125, NULL, NULL},
    /* failures the target reports */
    {"{\"state\": \"fail\", \"msg\": \"no data\"}", false, true, true, NAN, "no data", NULL},
    {"{\"status\": \"FAILED\", \"message\": \"x\"}", false, true, true, NAN, "x", NULL},
    {"{\"loss\": 1, \"state\": \"fail\"}", false, true, true, 1.0, NULL, NULL},
    /* not a number, in the spellings of Python, C, MATLAB and Visual C */
    {"{\"loss\": NaN, \"state\": \"ok\"}", false, true, false, NAN, NULL, NULL},
    {"{\"loss\": Infinity}", false, true, false, INFINITY, NULL, NULL},
    {"{\"loss\": -Infinity}", false, true, false, -INFINITY, NULL, NULL},
    {"{\"loss\": nan, \"state\": \"ok\"}", false, true, false, NAN, NULL, NULL},
    {"{\"loss\": -nan}", false, true, false, NAN, NULL, NULL},
    {"{\"loss\": -nan(ind)}", false, true, false, NAN, NULL, NULL},
    {"{\"loss\": inf}", false, true, false, INFINITY, NULL, NULL},
    {"{\"loss\": Inf, \"ep\": 3}", false, true, false, INFINITY, NULL, "{\"ep\":3}"},
    {"{\"loss\": -INF}", false, true, false, -INFINITY, NULL, NULL},
    {"{\"loss\": inf, \"note\": \"nan \\\" inf\"}", false, true, false, INFINITY, NULL,
     "{\"note\":\"nan \\\" inf\"}"},
    {"nan", false, true, false, NAN, NULL, NULL},
    /* A message in Latin-1 does not cost the loss; elsewhere such bytes are no JSON. */
    {"{\"loss\": 0.5, \"msg\": \"Speicher gel\xf6scht\"}", false, true, false, 0.5,
     "Speicher gel\xef\xbf\xbdscht", NULL},
    {"{\"loss\": \xf6}", false, false, false, NAN, "cannot be read", NULL},
    {"-inf", false, true, false, -INFINITY, NULL, NULL},
    {"{\"loss\": \"NaN\"}", false, true, false, NAN, NULL, NULL},
    /* the objective's own name and direction */
    {"{\"accuracy\": 0.75}", true, true, false, -0.75, NULL, NULL},
    {"{\"loss\": 9, \"accuracy\": 0.75}", true, true, false, -0.75, NULL, NULL},
    {"{\"loss\": 0.5}", true, true, false, -0.5, NULL, NULL},
    {"{\"metrics\": {\"accuracy\": 0.5}}", true, true, false, -0.5, NULL,
     "{\"metrics\":{\"accuracy\":0.5}}"},
    {"0.5", true, true, false, -0.5, NULL, NULL},
    /* unknown keys are kept */
    {"{\"loss\": 1, \"epochs\": 7, \"info\": {\"a\": [1, null]}}", false, true, false, 1.0, NULL,
     "{\"epochs\":7,\"info\":{\"a\":[1,null]}}"},
    /* nothing that can be used, and the text says why */
    {"", false, false, false, NAN, "empty", NULL},
    {" \n\t ", false, false, false, NAN, "empty", NULL},
    {"{\"loss\": }", false, false, false, NAN, "begins with '{\"loss\": }'", NULL},
    {"{\"loss\": 1", false, false, false, NAN, "cannot be read", NULL},
    {"{\"loss\": null}", false, false, false, NAN, "without a number named \"loss\"", NULL},
    {"{\"lost\": 1}", true, false, false, NAN, "named \"accuracy\" or \"loss\"", "{\"lost\":1}"},
    {"[1]", false, false, false, NAN, "not a number or an object", NULL},
    {"true", false, false, false, NAN, "not a number or an object", NULL},
    {"\001\377garbage", false, false, false, NAN, "'??garbage'", NULL},
    {"{\"loss\": nano}", false, false, false, NAN, "cannot be read", NULL},
};

static void check_loss_row(const struct loss_row *row)
{
    struct hd_experiment plain = experiment_of(name_loss, false, false);
    struct hd_experiment accuracy = experiment_of(name_accuracy, true, false);
    struct hd_loss loss;
    hd_loss_parse(row->text, strlen(row->text), row->maximize_accuracy ? &accuracy : &plain, &loss);
    bool same = loss.present == row->present && loss.failed == row->failed &&
                (isnan(row->loss) ? isnan(loss.loss) : loss.loss == row->loss);
    if (!same)
        fail_msg("%s: present %d failed %d loss %g", row->text, loss.present, loss.failed,
                 loss.loss);
    if (row->message == NULL ? loss.message[0] != '\0' : strstr(loss.message, row->message) == NULL)
        fail_msg("%s: message \"%s\"", row->text, loss.message);
    if (!hd_streq(loss.info_json, row->info == NULL ? "" : row->info))
        fail_msg("%s: info %s", row->text, loss.info_json);
}

/* Every accepted form gives its number; everything else says what is wrong with it. */
static void test_loss_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(loss_rows); i++)
        check_loss_row(&loss_rows[i]);
}

/* An experiment with two objectives, the second maximized, and two constraints. */
static struct hd_experiment experiment_of_many(void)
{
    static char error[] = "error", speed[] = "speed", memory[] = "memory", fair[] = "fair";
    struct hd_experiment experiment = experiment_of(error, false, false);
    experiment.objective_count = 2;
    experiment.further[0] = (struct hd_objective){.name = speed, .maximize = true};
    experiment.constraint_count = 2;
    experiment.constraints[0] =
        (struct hd_constraint){.name = memory, .min = -INFINITY, .max = 512};
    experiment.constraints[1] = (struct hd_constraint){.name = fair, .min = -1, .max = 0};
    return experiment;
}

/* Several objectives and constraints are all there, in order and minimized, or it is said which one
 * is missing. */
static void test_loss_of_many(void **state)
{
    static const struct {
        const char *text;
        bool present;
        double measures[4];
        const char *message; /* a part of it; NULL: must be empty */
        const char *info;
    } rows[] = {
        {"{\"error\": 0.5, \"speed\": 3, \"memory\": 600, \"fair\": -2, \"note\": 1}",
         true,
         {0.5, -3, 600, -2},
         NULL,
         "{\"note\":1}"},
        {"{\"loss\": 0.5, \"metrics\": {\"speed\": 3, \"memory\": 1, \"fair\": \"0\"}}",
         true,
         {0.5, -3, 1, 0},
         NULL,
         "{\"metrics\":{\"speed\":3,\"memory\":1,\"fair\":\"0\"}}"},
        {"[0.5, 3, 600, nan]", true, {0.5, -3, 600, NAN}, NULL, ""},
        {"[0.5, 3]", false, {0}, "not the 4 numbers", ""},
        {"[0.5, 3, \"x\", 1]", false, {0}, "not the 4 numbers", ""},
        {"0.5", false, {0}, "one number; the experiment has 4", ""},
        {"{\"error\": 0.5, \"speed\": 3, \"fair\": 0}",
         false,
         {0},
         "named \"memory\", which is a constraint",
         ""},
        {"{\"error\": 0.5, \"memory\": 3, \"fair\": 0}",
         false,
         {0},
         "named \"speed\", which is an objective",
         ""},
        {"{\"value\": {\"error\": 0.5}}", false, {0}, "named \"error\"", ""},
    };
    (void)state;
    struct hd_experiment experiment = experiment_of_many();
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_loss loss;
        hd_loss_parse(rows[i].text, strlen(rows[i].text), &experiment, &loss);
        if (loss.present != rows[i].present ||
            loss.measure_count != (rows[i].present ? HD_COUNT(rows[i].measures) : 0))
            fail_msg("%s: present %d, %zu measures", rows[i].text, loss.present,
                     loss.measure_count);
        for (size_t k = 0; k < loss.measure_count; k++)
            assert_true(isnan(rows[i].measures[k]) ? isnan(loss.measures[k])
                                                   : loss.measures[k] == rows[i].measures[k]);
        if (rows[i].message == NULL ? loss.message[0] != '\0'
                                    : strstr(loss.message, rows[i].message) == NULL)
            fail_msg("%s: message \"%s\"", rows[i].text, loss.message);
        if (rows[i].present && !hd_streq(loss.info_json, rows[i].info))
            fail_msg("%s: info %s", rows[i].text, loss.info_json);
    }
    struct hd_engine_end end = {.kind = HD_END_EXITED};
    struct hd_loss loss;
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_loss_parse("[1, 2, 3, 4]", 12, &experiment, &loss);
    hd_classify(&end, &loss, &experiment, HD_OUTCOME_STOPPED, &result, message, sizeof(message));
    assert_int_equal(result.outcome, HD_OUTCOME_OK);
    assert_int_equal(result.measure_count, 4);
    assert_true(result.loss == 1 && result.measures[1] == -2 && result.measures[3] == 4);
    hd_loss_parse("[1, 2, inf, 4]", 14, &experiment, &loss);
    hd_classify(&end, &loss, &experiment, HD_OUTCOME_STOPPED, &result, message, sizeof(message));
    assert_int_equal(result.outcome, HD_OUTCOME_DIVERGED);
    assert_int_equal(result.measure_count, 0);
    assert_non_null(strstr(message, "memory is infinite"));
}

/* A violation is what is beyond the bounds, relative to them; a huge one stays a number. */
static void test_score(void **state)
{
    (void)state;
    struct hd_experiment experiment = experiment_of_many();
    struct hd_score score;
    static const double feasible[] = {1, -2, 512, -1}, not [] = {1, -2, 768, 0.25},
                        huge[] = {1, -2, 1e308, 1e308};
    hd_experiment_score(&experiment, feasible, &score);
    assert_true(score.losses[0] == 1 && score.losses[1] == -2 && score.violation == 0);
    hd_experiment_score(&experiment, not, &score);
    assert_true(score.violation == 0.75);
    experiment.constraints[1].max = 1e-200;
    hd_experiment_score(&experiment, huge, &score);
    assert_true(isfinite(score.violation));
}

/* A target that writes more than there is room for loses extras, never the loss or valid JSON. */
static void test_loss_large_info(void **state)
{
    (void)state;
    static char text[3 * HD_INFO_JSON_MAX];
    static char filler[2 * HD_INFO_JSON_MAX];
    memset(filler, 'x', sizeof(filler) - 1);
    snprintf(text, sizeof(text), "{\"big\": \"%s\", \"loss\": 2, \"small\": 1}", filler);
    struct hd_loss loss;
    hd_loss_parse(text, strlen(text), NULL, &loss);
    assert_true(loss.present);
    assert_true(loss.loss == 2.0);
    assert_string_equal(loss.info_json, "{\"small\":1}");
}

/* A long message is cut, not overrun. */
static void test_loss_long_message(void **state)
{
    (void)state;
    static char text[2 * HD_MESSAGE_MAX];
    static char filler[HD_MESSAGE_MAX + 100];
    memset(filler, 'm', sizeof(filler) - 1);
    snprintf(text, sizeof(text), "{\"state\": \"fail\", \"msg\": \"%s\"}", filler);
    struct hd_loss loss;
    hd_loss_parse(text, strlen(text), NULL, &loss);
    assert_true(loss.failed);
    assert_int_equal(strlen(loss.message), HD_MESSAGE_MAX - 1);
}

/* ---- outcomes ------------------------------------------------------------------------------- */

struct end_row {
    struct hd_engine_end end;
    const char *loss; /* loss.json; NULL: absent */
    bool exit_code_only;
    enum hd_outcome stop_outcome;
    enum hd_outcome outcome;
    double result; /* loss */
    const char *message;
};

#define EXITED(code)                                                                               \
    {                                                                                              \
        .kind = HD_END_EXITED, .exit_code = (code)                                                 \
    }
#define GOOD "{\"loss\": 0.5}"

static const struct end_row end_rows[] = {
    /* the good end */
    {EXITED(0), GOOD, false, HD_OUTCOME_STOPPED, HD_OUTCOME_OK, 0.5, ""},
    {EXITED(0), "7", false, HD_OUTCOME_STOPPED, HD_OUTCOME_OK, 7.0, ""},
    {EXITED(0), NULL, true, HD_OUTCOME_STOPPED, HD_OUTCOME_OK, 0.0, ""},
    {EXITED(0), "3", true, HD_OUTCOME_STOPPED, HD_OUTCOME_OK, 0.0, ""},
    /* exit 0 without a usable loss */
    {EXITED(0), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_NO_RESULT, NAN, "was not written"},
    {EXITED(0), "", false, HD_OUTCOME_STOPPED, HD_OUTCOME_NO_RESULT, NAN, "is empty"},
    {EXITED(0), "{oops", false, HD_OUTCOME_STOPPED, HD_OUTCOME_NO_RESULT, NAN, "cannot be read"},
    {EXITED(0), "NaN", false, HD_OUTCOME_STOPPED, HD_OUTCOME_DIVERGED, NAN, "is NaN"},
    {EXITED(0), "{\"loss\":-Infinity}", false, HD_OUTCOME_STOPPED, HD_OUTCOME_DIVERGED, NAN,
     "infinite"},
    {EXITED(0), "{\"state\":\"fail\",\"msg\":\"bad mix\"}", false, HD_OUTCOME_STOPPED,
     HD_OUTCOME_FAILED, NAN, "bad mix"},
    {EXITED(0), "{\"state\":\"fail\"}", true, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN,
     "reported a failure"},
    /* exit codes */
    {EXITED(1), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN,
     "exit code 1; see its log"},
    {EXITED(1), NULL, true, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "exit code 1"},
    {EXITED(42), GOOD, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN,
     "although it wrote a loss"},
    {EXITED(3), "{\"state\":\"fail\",\"msg\":\"no data\"}", false, HD_OUTCOME_STOPPED,
     HD_OUTCOME_FAILED, NAN, "no data (exit code 3)"},
    {EXITED(139), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "SIGSEGV"},
    {EXITED(134), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "SIGABRT"},
    {EXITED(143), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "SIGTERM"},
    {EXITED(127), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "not found"},
    {EXITED(126), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_FAILED, NAN, "could not be executed"},
    {EXITED(137), NULL, false, HD_OUTCOME_STOPPED, HD_OUTCOME_INFRA, NAN, "neither Hyperdock"},
    {EXITED(137), GOOD, false, HD_OUTCOME_STOPPED, HD_OUTCOME_INFRA, NAN, "SIGKILL"},
    /* memory: whatever the exit code, and whatever was written before */
    {{.kind = HD_END_EXITED, .exit_code = 137, .oom_killed = true},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_OOM,
     NAN,
     "killed for passing its memory limit"},
    {{.kind = HD_END_EXITED, .exit_code = 7, .oom_killed = true},
     NULL,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_OOM,
     NAN,
     "then ended with exit code 7"},
    /* never started */
    {{.kind = HD_END_NOT_STARTED, .config_error = true, .message = "image x does not exist"},
     NULL,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_CONFIG_ERROR,
     NAN,
     "image x does not exist"},
    {{.kind = HD_END_NOT_STARTED, .message = "no space left"},
     NULL,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_INFRA,
     NAN,
     "no space left"},
    {{.kind = HD_END_NOT_STARTED},
     NULL,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_INFRA,
     NAN,
     "could not be started"},
    {{.kind = HD_END_ENGINE_LOST, .exit_code = 137, .message = "restarted"},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_INFRA,
     NAN,
     "restarted"},
    /* what we did goes before everything else */
    {{.kind = HD_END_EXITED, .exit_code = 137, .timed_out = true, .oom_killed = true},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_TIMEOUT,
     NAN,
     "time limit"},
    {{.kind = HD_END_EXITED, .exit_code = 0, .timed_out = true},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_TIMEOUT,
     NAN,
     "time limit"},
    {{.kind = HD_END_EXITED, .exit_code = 143, .stopped = true},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_STOPPED,
     0.5,
     "ended on request (stopped)"},
    {{.kind = HD_END_EXITED, .exit_code = 143, .stopped = true},
     NULL,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_STOPPED,
     NAN,
     "ended on request"},
    {{.kind = HD_END_EXITED, .exit_code = 0, .stopped = true},
     GOOD,
     false,
     HD_OUTCOME_CANCELLED,
     HD_OUTCOME_CANCELLED,
     NAN,
     "cancelled"},
    {{.kind = HD_END_EXITED, .exit_code = 137, .stopped = true},
     NULL,
     false,
     HD_OUTCOME_PREEMPTED,
     HD_OUTCOME_PREEMPTED,
     NAN,
     "preempted"},
    {{.kind = HD_END_EXITED,
      .exit_code = 3,
      .oom_killed = true,
      .uncharged = true,
      .message = "it had done others before"},
     GOOD,
     false,
     HD_OUTCOME_STOPPED,
     HD_OUTCOME_PREEMPTED,
     NAN,
     "it had done others before"},
    {{.kind = HD_END_NOT_STARTED, .stopped = true},
     NULL,
     false,
     HD_OUTCOME_PREEMPTED,
     HD_OUTCOME_PREEMPTED,
     NAN,
     "preempted"},
};

static void check_end_row(size_t number, const struct end_row *row,
                          const struct hd_experiment *experiment)
{
    struct hd_loss loss = {.loss = (double)NAN};
    if (row->loss != NULL)
        hd_loss_parse(row->loss, strlen(row->loss), experiment, &loss);
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_classify(&row->end, &loss, experiment, row->stop_outcome, &result, message, sizeof(message));
    if (result.outcome != row->outcome)
        fail_msg("row %zu: %s, not %s (%s)", number, hd_outcome_name(result.outcome),
                 hd_outcome_name(row->outcome), message);
    if (isnan(row->result) ? !isnan(result.loss) : result.loss != row->result)
        fail_msg("row %zu: loss %g", number, result.loss);
    if (row->message[0] == '\0' ? message[0] != '\0' : strstr(message, row->message) == NULL)
        fail_msg("row %zu: message \"%s\"", number, message);
    assert_ptr_equal(result.message, message);
    assert_int_equal(result.exit_code, row->end.kind == HD_END_EXITED ? row->end.exit_code : -1);
}

/* First match wins: we stopped it; not started; memory; exit code; loss. */
static void test_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(end_rows); i++) {
        struct hd_experiment experiment =
            experiment_of(name_loss, false, end_rows[i].exit_code_only);
        check_end_row(i, &end_rows[i], &experiment);
    }
}

/* Targets made for Hyperdock: what they wrote counts, and only without it how they ended. */
static void test_hyperdock_looks_at_the_file(void **state)
{
    (void)state;
    static const struct end_row rows[] = {
        {EXITED(3), GOOD, .outcome = HD_OUTCOME_OK, .result = 0.5, .message = ""},
        {EXITED(137), GOOD, .outcome = HD_OUTCOME_OK, .result = 0.5, .message = ""},
        {{.kind = HD_END_EXITED, .exit_code = 137, .oom_killed = true},
         GOOD,
         .outcome = HD_OUTCOME_OK,
         .result = 0.5,
         .message = ""},
        {EXITED(1), "{\"state\": \"fail\", \"msg\": \"no\"}", .outcome = HD_OUTCOME_FAILED,
         .result = NAN, .message = "no"},
        {EXITED(1), "", .outcome = HD_OUTCOME_FAILED, .result = NAN, .message = "exit code 1"},
        {{.kind = HD_END_EXITED, .exit_code = 0, .timed_out = true},
         GOOD,
         .outcome = HD_OUTCOME_TIMEOUT,
         .result = NAN,
         .message = "longer than its time limit"},
    };
    struct hd_experiment experiment = experiment_of(name_loss, false, false);
    experiment.target.as_hyperdock = true;
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        check_end_row(i, &rows[i], &experiment);
}

/* An engine's clock that jumps back never gives a job that ended before it began. */
static void test_times_are_clamped(void **state)
{
    (void)state;
    struct hd_engine_end end = {.started_wall_ms = 2000, .finished_wall_ms = 1999};
    struct hd_loss loss = {.present = true, .loss = 1.0};
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_classify(&end, &loss, NULL, HD_OUTCOME_STOPPED, &result, message, sizeof(message));
    assert_int_equal(result.outcome, HD_OUTCOME_OK);
    assert_int_equal(result.started_wall_ms, 2000);
    assert_int_equal(result.finished_wall_ms, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_forms),
        cmocka_unit_test(test_loss_of_many),
        cmocka_unit_test(test_score),
        cmocka_unit_test(test_loss_large_info),
        cmocka_unit_test(test_loss_long_message),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_hyperdock_looks_at_the_file),
        cmocka_unit_test(test_times_are_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
