/* SPDX-License-Identifier: Apache-2.0 */
/* What a target only prints: the last number of each name is its result, each line with a loss a
 * point of its curve, whatever else is in the log. */
#include "testlib.h"

#include "contract.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;
static char *dir;

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char path[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/%s", dir, name));
    return path;
}

static void log_is(const void *bytes, size_t size, const char *mode)
{
    FILE *file = fopen(in_dir("log.txt"), mode);
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static enum hd_code parse(const char *from_output, const char *more,
                          struct hd_experiment **ret_experiment)
{
    char text[4096];
    assert_true(hd_format(text, sizeof(text),
                          "target: {command: [./t], %s}\n%s\n"
                          "space: {x: {type: float, low: 0, high: 1}}\n",
                          from_output, more));
    return hd_experiment_parse_text(text, strlen(text), "exp.yaml", NULL, ret_experiment, &err);
}

static struct hd_experiment *experiment_of(const char *from_output, const char *more)
{
    struct hd_experiment *experiment = NULL;
    if (parse(from_output, more, &experiment) != HD_OK)
        fail_msg("%s", err.text);
    return experiment;
}

#define LOSS                                                                                       \
    "from_output: {loss: 'loss[=:] *([^ ]+)', step: 'epoch ([0-9]+)', acc: 'acc=([0-9.]+)'}"

static void the_last_number_is_the_result(void **state)
{
    (void)state;
    static const struct {
        const char *log, *loss_json;
        bool present;
        double loss;
        const char *message, *info;
    } rows[] = {
        {"epoch 1 loss=0.5\nepoch 2 loss: 0.25 acc=0.9\nbye\n", "", true, 0.25, "",
         "{\"step\":2.0,\"acc\":0.9}"},
        {"loss=1\nloss=0.5", " \n", true, 0.5, "", ""}, /* a last line without its end */
        {"loss=0.5\nloss=oops\n", "", true, 0.5, "", ""},
        {"loss=0.5\r\n", "", true, 0.5, "", ""},
        {"loss=0.5\rloss=0.25\rloss=0.125\ndone\n", "", true, 0.125, "",
         ""}, /* a bar of progress */
        {"loss=nan\n", "", true, NAN, "", ""},
        {"loss=0.5\n", "{\"loss\": 2}", true, 2, "", ""}, /* who writes a loss.json means it */
        {"nothing\n", "", false, NAN,
         "no line of the end of its output matches target.from_output.loss", ""},
        {"", "", false, NAN, "target.from_output.loss", ""},
    };
    struct hd_experiment *experiment = experiment_of(LOSS, "objective: loss");
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_loss loss;
        log_is(rows[i].log, strlen(rows[i].log), "w");
        test_file_write(in_dir("loss.json"), rows[i].loss_json);
        hd_loss_read(dir, experiment, &loss);
        if (loss.present != rows[i].present || strstr(loss.message, rows[i].message) == NULL ||
            (isnan(rows[i].loss) ? !isnan(loss.loss) : loss.loss != rows[i].loss) ||
            (rows[i].info[0] != '\0' && !hd_streq(loss.info_json, rows[i].info)))
            fail_msg("row %zu: %g \"%s\" %s", i, loss.loss, loss.message, loss.info_json);
    }
    hd_experiment_free(experiment);
}

static void all_measures_must_be_printed(void **state)
{
    (void)state;
    struct hd_experiment *experiment =
        experiment_of("from_output: {error: 'err=([^ ]+)', size: 'mb=([^ ]+)'}",
                      "objective: error\nconstraints: [{name: size, max: 5}]");
    struct hd_loss loss;
    test_file_write(in_dir("loss.json"), "");
    log_is("err=0.5\nmb=3\n", 13, "w");
    hd_loss_read(dir, experiment, &loss);
    assert_int_equal(loss.measure_count, 2);
    assert_true(loss.measures[0] == 0.5 && loss.measures[1] == 3);
    log_is("err=0.5\n", 8, "w");
    hd_loss_read(dir, experiment, &loss);
    assert_false(loss.present);
    assert_non_null(strstr(loss.message, "target.from_output.size"));
    hd_experiment_free(experiment);
}

/* Of a log that is longer than what is looked at, the end counts; NULs and endless lines are text
 * like any other. */
static void only_the_end_of_a_long_log_is_read(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(LOSS, "objective: loss");
    struct hd_loss loss;
    size_t size = HD_OUTPUT_TAIL_BYTES + 1000;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 0, size);
    memcpy(bytes, "loss=1\n", 7);
    test_file_write(in_dir("loss.json"), "");
    log_is(bytes, size, "w");
    hd_loss_read(dir, experiment, &loss);
    assert_false(loss.present);
    memcpy(bytes + size - 9, "\nloss=2\n", 8);
    log_is(bytes, size, "w");
    hd_loss_read(dir, experiment, &loss);
    assert_true(loss.present && loss.loss == 2);
    free(bytes);
    hd_experiment_free(experiment);
}

#define SLOW_LINES 250
#define SLOW_LINE ".*([0-9]).*=" /* costs the square of a line of digits alone */

static void write_slow_log(size_t lines)
{
    char *bytes = malloc(lines * HD_LOG_LINE_MAX + 4);
    assert_non_null(bytes);
    memset(bytes, '1', lines * HD_LOG_LINE_MAX);
    for (size_t i = 1; i <= lines; i++)
        bytes[i * HD_LOG_LINE_MAX - 1] = '\n';
    memcpy(bytes + lines * HD_LOG_LINE_MAX, "7=;\n", 4);
    log_is(bytes, lines * HD_LOG_LINE_MAX + 4, "w");
    free(bytes);
}

/* The result is looked for from the end on: what was printed before takes no time, however slow
 * the patterns are. From the beginning this took minutes. */
static void what_was_printed_before_costs_nothing(void **state)
{
    (void)state;
    char from_output[2048] = "from_output: {loss: '" SLOW_LINE "'";
    for (int i = 1; i < HD_OUTPUT_VALUES_MAX; i++) {
        size_t used = strlen(from_output);
        assert_true(
            hd_format(from_output + used, sizeof(from_output) - used, ", v%d: '" SLOW_LINE "'", i));
    }
    assert_true(hd_format(from_output + strlen(from_output), 2, "}"));
    struct hd_experiment *experiment = experiment_of(from_output, "objective: loss");
    struct hd_loss loss;
    write_slow_log(SLOW_LINES);
    test_file_write(in_dir("loss.json"), "");
    hd_loss_read(dir, experiment, &loss);
    assert_true(loss.present && loss.loss == 7);
    hd_experiment_free(experiment);
}

#define POINTS 2

static size_t read_points(struct hd_output *output, const struct hd_experiment *experiment,
                          struct hd_point *points)
{
    return hd_output_read(output, dir, experiment, (struct hd_attempt_ref){.job = 3}, points,
                          POINTS);
}

/* What one poll has no time for is read in those after it. */
static void a_slow_curve_is_followed(void **state)
{
    (void)state;
    struct hd_experiment *experiment =
        experiment_of("from_output: {loss: '" SLOW_LINE "'}", "objective: loss");
    struct hd_output output = {0};
    struct hd_point points[POINTS];
    int64_t before = -1;
    size_t count = 0;
    write_slow_log(20);
    while (count == 0 && output.offset > before) {
        before = output.offset;
        count = read_points(&output, experiment, points);
    }
    assert_int_equal(count, 1);
    assert_true(points[0].loss == 7 && points[0].step == 1);
    hd_experiment_free(experiment);
}

static void the_curve_is_followed(void **state)
{
    (void)state;
    struct hd_experiment *experiment =
        experiment_of(LOSS, "objective: {name: loss, direction: maximize}");
    struct hd_output output = {0};
    struct hd_point points[POINTS];
    assert_int_equal(read_points(&output, experiment, points), 0); /* no log yet */
    static const char begin[] = "hello\nepoch 1\nloss=1\nepoch 2 loss=2\nloss=3\nepoch 9 loss=";
    log_is(begin, strlen(begin), "w");
    assert_int_equal(read_points(&output, experiment, points), 2);
    assert_true(points[0].step == 1 && points[0].loss == -1 && points[0].attempt.job == 3);
    assert_true(points[1].step == 2 && points[1].loss == -2);
    assert_int_equal(read_points(&output, experiment, points), 1);
    assert_true(points[0].step == 2 && points[0].loss == -3);
    assert_int_equal(read_points(&output, experiment, points), 0); /* the line is not whole */
    log_is("7\n", 2, "a");
    assert_int_equal(read_points(&output, experiment, points), 1);
    assert_true(points[0].step == 9 && points[0].loss == -7);
    /* It was cut: what was moved is not read again. */
    log_is("epoch 1\nloss=5\n", 15, "w");
    assert_int_equal(read_points(&output, experiment, points), 0);
    log_is("loss=6\n", 7, "a");
    assert_int_equal(read_points(&output, experiment, points), 1);
    assert_true(points[0].step == 9 && points[0].loss == -6);
    hd_experiment_free(experiment);
    /* Without a printed step the points are counted. */
    experiment = experiment_of("from_output: {loss: 'loss=([^ ]+)'}", "objective: loss");
    output = (struct hd_output){0};
    log_is("loss=1\nloss=inf\nloss=2\n", 23, "w");
    assert_int_equal(read_points(&output, experiment, points), 2);
    assert_true(points[1].step == 2 && points[1].loss == 2);
    hd_experiment_free(experiment);
}

static void an_endless_line_is_passed_over(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(LOSS, "objective: loss");
    struct hd_output output = {0};
    struct hd_point points[POINTS];
    char *bytes = malloc(HD_OUTPUT_POLL_BYTES_MAX);
    assert_non_null(bytes);
    memset(bytes, 'x', HD_OUTPUT_POLL_BYTES_MAX);
    log_is(bytes, HD_OUTPUT_POLL_BYTES_MAX, "w");
    log_is("\nloss=4\n", 8, "a");
    assert_int_equal(read_points(&output, experiment, points), 0);
    assert_int_equal(read_points(&output, experiment, points), 1);
    assert_true(points[0].loss == 4);
    free(bytes);
    hd_experiment_free(experiment);
}

/* A link, a directory or a FIFO in the log's place is no log. */
static void what_is_no_file_is_not_read(void **state)
{
    (void)state;
    struct hd_experiment *experiment = experiment_of(LOSS, "objective: loss");
    struct hd_output output = {0};
    struct hd_point points[POINTS];
    test_file_write(in_dir("other"), "loss=1\n");
    assert_int_equal(symlink("other", in_dir("log.txt")), 0);
    assert_int_equal(read_points(&output, experiment, points), 0);
    assert_int_equal(unlink(in_dir("log.txt")), 0);
    assert_int_equal(mkfifo(in_dir("log.txt"), 0600), 0);
    assert_int_equal(read_points(&output, experiment, points), 0);
    hd_experiment_free(experiment);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *from_output, *error;
    } rows[] = {
        {"from_output: loss", "target.from_output: expected a map of names"},
        {"from_output: {loss: 3}",
         "target.from_output.loss: expected a regular expression with a group"},
        {"from_output: {loss: 'loss=.*'}", "no group: put brackets around the number"},
        {"from_output: {loss: '('}", "not a regular expression"},
        {"from_output: {loss: '(a)\\1'}", "back references"},
        {"from_output: {'': '(a)'}", "a name has 1 to 256 bytes"},
        {"warm: true, from_output: {loss: '(a)'}", "a warm target has one output for many jobs"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *experiment = NULL;
        assert_int_not_equal(parse(rows[i].from_output, "objective: loss", &experiment), HD_OK);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("row %zu: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(the_last_number_is_the_result),
        T(all_measures_must_be_printed),
        T(only_the_end_of_a_long_log_is_read),
        T(what_was_printed_before_costs_nothing),
        T(a_slow_curve_is_followed),
        T(the_curve_is_followed),
        T(an_endless_line_is_passed_over),
        T(what_is_no_file_is_not_read),
        T(mistakes_are_told),
#undef T
    };
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
