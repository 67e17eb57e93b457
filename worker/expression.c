/* SPDX-License-Identifier: Apache-2.0 */
/* expression.c: hd-expression FORMULA: the target of experiments with target.expression. The loss
 * of a job is the value of the formula for its params and its budget. */
#include <hd/expression.h>
#include <hd/os.h>
#include <hd/value.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const struct hd_value *params;
    double budget;
};

/* A bool is 1 or 0. An inactive param is not among them. */
static bool look_up(void *context, const char *name, struct hd_expression_value *ret_value)
{
    const struct job *job = context;
    const struct hd_value *value = hd_value_get(job->params, name);
    if (value == NULL) {
        ret_value->number = job->budget;
        return strcmp(name, "budget") == 0;
    }
    switch (value->kind) {
    case HD_VALUE_STRING:
        ret_value->text = value->as.string;
        return true;
    case HD_VALUE_BOOL:
        ret_value->number = value->as.boolean ? 1 : 0;
        return true;
    case HD_VALUE_INT:
        ret_value->number = (double)value->as.integer;
        return true;
    case HD_VALUE_DOUBLE:
        ret_value->number = value->as.number;
        return true;
    case HD_VALUE_NULL:
    case HD_VALUE_ARRAY:
    case HD_VALUE_OBJECT:
        break;
    }
    return false;
}

static enum hd_code read_params(struct hd_value **ret_params, struct hd_err *err)
{
    struct hd_buf text;
    const char *path = getenv("HYPERDOCK_PARAMS_FILE");
    if (path == NULL)
        return hd_fail(err, HD_E_INVALID,
                       "HYPERDOCK_PARAMS_FILE is not set: hd-expression is started by hd-worker");
    hd_buf_init(&text, hd_value_limits_target.bytes_max);
    enum hd_code code = hd_file_read(path, hd_value_limits_target.bytes_max, false, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, path, &hd_value_limits_target,
                             ret_params, err);
    hd_buf_release(&text);
    return code;
}

static enum hd_code evaluate(const char *formula, const struct hd_value *params, double *ret_loss,
                             struct hd_err *err)
{
    struct hd_expression *expression;
    struct job job = {.params = params, .budget = 1};
    const char *budget = getenv("HYPERDOCK_BUDGET");
    if (budget != NULL && !hd_parse_double(budget, &job.budget))
        return hd_fail(err, HD_E_INVALID, "HYPERDOCK_BUDGET=%.40s is no number", budget);
    enum hd_code code = hd_expression_parse(formula, &expression, err);
    if (code != HD_OK)
        return code;
    code = hd_expression_evaluate(expression, look_up, &job, ret_loss, err);
    hd_expression_free(expression);
    if (code == HD_OK && !isfinite(*ret_loss))
        code = hd_fail(err, HD_E_INVALID, "the formula is no finite number here");
    return code;
}

/* A number alone is a result, whatever the objective is called. */
static enum hd_code write_loss(double loss, struct hd_err *err)
{
    char number[HD_DOUBLE_TEXT_SIZE], path[4096];
    const char *directory = getenv("HYPERDOCK_DIR");
    if (directory == NULL || !hd_format(path, sizeof(path), "%s/loss.json", directory))
        return hd_fail(err, HD_E_INVALID, "HYPERDOCK_DIR is not set");
    hd_format_double(number, sizeof(number), loss);
    return hd_file_replace(path, number, strlen(number), 0644, err);
}

int main(int argc, char **argv)
{
    struct hd_err err;
    struct hd_value *params = NULL;
    double loss = NAN;
    if (argc != 2) {
        fprintf(stderr, "hd-expression is started by hd-worker, not by hand\n");
        return HD_EXIT_USAGE;
    }
    enum hd_code code = read_params(&params, &err);
    if (code == HD_OK)
        code = evaluate(argv[1], params, &loss, &err);
    if (code == HD_OK)
        code = write_loss(loss, &err);
    hd_value_free(params);
    if (code != HD_OK)
        fprintf(stderr, "%s: %s\n", argv[1], err.text);
    return code == HD_OK ? HD_EXIT_OK : HD_EXIT_FAILED;
}
