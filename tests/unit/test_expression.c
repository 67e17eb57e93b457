/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas over params: what they are worth, and what is said of those that are none. */
#include "testlib.h"

#include <hd/experiment.h>
#include <hd/expression.h>

#include <math.h>
#include <string.h>

static struct hd_err err;

/* x 3, y 0.5, kind "rbf", a.b 2 */
static bool look_up(void *context, const char *name, struct hd_expression_value *ret_value)
{
    (void)context;
    static const struct {
        const char *name, *text;
        double number;
    } rows[] = {{"x", NULL, 3}, {"y", NULL, 0.5}, {"kind", "rbf", 0}, {"a.b", NULL, 2}};
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0) {
            *ret_value = (struct hd_expression_value){rows[i].text, rows[i].number};
            return true;
        }
    return false;
}

static enum hd_code compute(const char *text, double *ret_number)
{
    struct hd_expression *expression;
    enum hd_code code = hd_expression_parse(text, &expression, &err);
    if (code != HD_OK)
        return code;
    code = hd_expression_evaluate(expression, look_up, NULL, ret_number, &err);
    hd_expression_free(expression);
    return code;
}

/* Operators bind and group as the header says; functions, constants, texts and choices have their
 * values. */
static void formulas_have_their_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double number;
    } rows[] = {
        {"x + y", 3.5},
        {" 2*x - 10/4 % 2 ", 5.5},
        {"-x^2", -9},
        {"2^-1", 0.5},
        {"2^3^2", 512},
        {"2**3", 8},
        {"(x + 1) * a.b", 8},
        {"10 - 4 - 3", 3},
        {"1e-3 + .5 + 1E+2", 100.501},
        {"max(1, x, 2) + min(x, y)", 3.5},
        {"sqrt(16) + abs(-2) + floor(2.7) + ceil(2.1) + round(2.5)", 14},
        {"log(e) + log10(100) + log2(8) + exp(0)", 7},
        {"sin(0) + cos(0) + tan(0) + asin(0) + acos(1) + atan(0) + tanh(0)", 1},
        {"pi > 3.14 and pi < 3.15", 1},
        {"x < 3 or not x >= 3", 0},
        {"x <= 3 and x != 4 and 1 == 1", 1},
        {"kind == \"rbf\" ? 1 : 2", 1},
        {"kind != 'rbf' ? 1 : x > 2 ? 5 : 6", 5},
        {"kind == 3", 0},
        {"x > 5 ? missing : 1", 1},
        {"x < 5 or missing", 1},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double number = NAN;
        if (compute(rows[i].text, &number) != HD_OK)
            fail_msg("%s: %s", rows[i].text, err.text);
        if (!(fabs(number - rows[i].number) < 1e-12))
            fail_msg("%s is %g", rows[i].text, number);
    }
}

/* Each mistake is told with its column. */
static void mistakes_have_their_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "column 1: expected a number, a name or \"(\""},
        {"x +", "column 4: expected a number"},
        {"x y", "column 3: expected an operator or the end"},
        {"(x", "column 3: expected \")\""},
        {"x $ 2", "column 3: expected an operator"},
        {"1.2.3", "column 1: expected a number"},
        {"0x10", "column 1: expected a number"},
        {"foo(x)", "column 1: no such function; there are abs, acos,"},
        {"sin(x, y)", "column 1: this function takes one argument"},
        {"max(1,2,3,4,5,6,7,8,9)", "a function takes 8 arguments at most"},
        {"x ? 1", "column 6: expected \":\""},
        {"\"rbf", "column 1: this text has no end"},
        {"\"rbf\"", "a text can only be compared"},
        {"\"rbf\" + 1", "column 1: a text can only be compared"},
        {"kind + 1", "column 1: a text can only be compared"},
        {"x + missing", "column 5: missing has no value"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double number = 7;
        if (compute(rows[i].text, &number) == HD_OK)
            fail_msg("%s was taken", rows[i].text);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_true(number == 7);
    }
}

/* Long, wide and deep ones are refused, not followed. */
static void limits_hold(void **state)
{
    (void)state;
    static char text[HD_EXPRESSION_BYTES_MAX + 2];
    double number;
    memset(text, '(', 100);
    assert_hd_fails(compute(text, &number), HD_E_LIMIT, "nested deeper than 64");
    memset(text, '-', 100);
    assert_hd_fails(compute(text, &number), HD_E_LIMIT, "nested deeper than 64");
    for (size_t i = 0; i < 3000; i++)
        text[i] = i % 2 == 0 ? '1' : '+';
    text[2999] = '\0';
    assert_hd_fails(compute(text, &number), HD_E_LIMIT, "more than 1024 numbers, names and signs");
    memset(text, 'x', HD_EXPRESSION_BYTES_MAX + 1);
    assert_hd_fails(compute(text, &number), HD_E_LIMIT, "longer than 4096 bytes");
    text[300] = '\0';
    assert_hd_fails(compute(text, &number), HD_E_INVALID, "longer than a name or a text may be");
}

/* In an experiment its names are params or the budget, and nothing else says what to run. */
static void an_experiment_checks_its_names(void **state)
{
    (void)state;
    static const struct {
        const char *target, *error;
    } rows[] = {
        {"{expression: x + budget * pi}", NULL},
        {"{expression: x + z}", "target.expression: z is no param; there are the params, budget"},
        {"{expression: 'x +'}", "target.expression: column 4: expected a number"},
        {"{expression: [x]}", "target.expression: expected a text"},
        {"{expression: x, image: demo}", "target.expression: is a target by itself"},
        {"{expression: x, command: [./t]}", "target.expression: is a target by itself"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[512];
        struct hd_experiment *experiment = NULL;
        assert_true(hd_format(text, sizeof(text),
                              "target: %s\nspace: {x: {type: float, low: 0, high: 1}}\n",
                              rows[i].target));
        enum hd_code code =
            hd_experiment_parse_text(text, strlen(text), "exp.yaml", NULL, &experiment, &err);
        if (rows[i].error != NULL && (code == HD_OK || strstr(err.text, rows[i].error) == NULL))
            fail_msg("%s: %s", rows[i].target, code == HD_OK ? "taken" : err.text);
        if (rows[i].error == NULL) {
            assert_hd_ok(code);
            assert_string_equal(experiment->target.command[0], HD_EXPRESSION_PROGRAM);
            assert_string_equal(experiment->target.command[1], "x + budget * pi");
        }
        hd_experiment_free(experiment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_have_their_values),
        cmocka_unit_test(mistakes_have_their_column),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(an_experiment_checks_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
