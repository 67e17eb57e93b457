/* SPDX-License-Identifier: Apache-2.0 */
/* method.c: a method is a piece of an experiment file; the rest of the file is the problem's. */
#include "bench.h"

/* Takes item; keeps what is there. */
static enum hd_code set_missing(struct hd_value *object, const char *key, struct hd_value *item)
{
    if (hd_value_get(object, key) != NULL) {
        hd_value_free(item);
        return HD_OK;
    }
    return hd_value_set(object, key, item);
}

/* objective: [f1, f2, ..], and constraints: [violation] where there are any. */
static enum hd_code set_objectives(const struct bench_problem *problem, struct hd_value *root)
{
    struct hd_value *names = hd_value_new_array(), *bounds = hd_value_new_array();
    enum hd_code code = names != NULL && bounds != NULL ? HD_OK : HD_E_NOMEM;
    for (uint32_t k = 0; k < problem->objective_count && code == HD_OK; k++) {
        char name[16];
        (void)hd_format(name, sizeof(name), "f%u", k + 1);
        code = hd_value_append(names, hd_value_new_string(name));
    }
    if (code == HD_OK)
        code = hd_value_append(bounds, hd_value_new_string("violation"));
    if (code != HD_OK || !problem->constrained)
        hd_value_free(bounds);
    else
        code = hd_value_set(root, "constraints", bounds);
    if (code == HD_OK)
        return hd_value_set(root, "objective", names);
    hd_value_free(names);
    return code;
}

static enum hd_code fill(const struct bench_problem *problem, struct hd_value *root,
                         struct hd_err *err)
{
    struct hd_value *space = NULL, *target = hd_value_new_object(), *command = hd_value_new_array();
    struct hd_value *budget = hd_value_get(root, "budget");
    if (command != NULL)
        if (hd_value_append(command, hd_value_new_string("true")) != HD_OK)
            return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    if (hd_value_set(target, "command", command) != HD_OK ||
        hd_value_set(root, "name", hd_value_new_string("bench")) != HD_OK ||
        hd_value_set(root, "target", target) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    if (budget == NULL) {
        if (hd_value_set(root, "budget", hd_value_new_object()) != HD_OK)
            return hd_fail(err, HD_E_NOMEM, "no memory for a method");
        budget = hd_value_get(root, "budget");
    }
    if (budget->kind == HD_VALUE_OBJECT &&
        (set_missing(budget, "min", hd_value_new_double(problem->budget_min)) != HD_OK ||
         set_missing(budget, "max", hd_value_new_double(problem->budget_max)) != HD_OK ||
         set_missing(budget, "integer", hd_value_new_bool(problem->step_count > 0)) != HD_OK))
        return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    if (hd_value_get(root, "noise") != NULL && /* exit codes alone have none */
        set_missing(root, "objective", hd_value_new_string("loss")) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    if (problem->objective_count > 0 && set_objectives(problem, root) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    enum hd_code code = hd_space_describe(problem->space, &space, err);
    if (code == HD_OK && hd_value_set(root, "space", space) != HD_OK)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a method");
    return code;
}

enum hd_code bench_method_make(const struct bench_problem *problem, const struct hd_value *method,
                               struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_value *root = NULL;
    if (method == NULL || method->kind != HD_VALUE_OBJECT)
        return hd_fail(err, HD_E_INVALID,
                       "a method is a map with sampler: and iteration_generator:");
    enum hd_code code = hd_value_copy(method, &root, err);
    if (code == HD_OK)
        code = fill(problem, root, err);
    if (code == HD_OK)
        code = hd_experiment_parse(root, "method", NULL, ret_experiment, err);
    hd_value_free(root);
    return code;
}
