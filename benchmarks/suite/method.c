/* SPDX-License-Identifier: Apache-2.0 */
/* method.c: a method is a piece of an experiment file; the rest of the file is the problem's. */
#include "bench.h"

static enum hd_code set_number(struct hd_value *object, const char *key, double number)
{
    if (hd_value_get(object, key) != NULL)
        return HD_OK;
    return hd_value_set(object, key, hd_value_new_double(number));
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
        (set_number(budget, "min", problem->budget_min) != HD_OK ||
         set_number(budget, "max", problem->budget_max) != HD_OK))
        return hd_fail(err, HD_E_NOMEM, "no memory for a method");
    enum hd_code code = hd_space_describe(problem->space, &space, err);
    if (code == HD_OK && hd_value_set(root, "space", space) != HD_OK)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a method");
    return code;
}

/* Settings of the asynchronous generators are taken as they are, beside the experiment file, so
 * that whatever the generator can do can be measured. False: no such setting, or not of its type.
 */
static bool take_setting(struct hd_iter_gen_spec *spec, const char *key,
                         const struct hd_value *value)
{
    struct {
        const char *key;
        bool *flag;
    } flags[] = {{"delayed", &spec->delayed},
                 {"learned_brackets", &spec->learned_brackets},
                 {"raise_uninformative", &spec->raise_uninformative}};
    for (size_t i = 0; i < HD_COUNT(flags); i++)
        if (hd_streq(key, flags[i].key) && value->kind == HD_VALUE_BOOL) {
            *flags[i].flag = value->as.boolean;
            return true;
        }
    if (hd_streq(key, "type") && value->kind == HD_VALUE_STRING) {
        spec->type =
            hd_streq(value->as.string, "stopping") ? HD_ASHA_TYPE_STOPPING : HD_ASHA_TYPE_PROMOTION;
        return hd_streq(value->as.string, "stopping") || hd_streq(value->as.string, "promotion");
    }
    if (hd_streq(key, "brackets") && value->kind == HD_VALUE_INT && value->as.integer >= 0) {
        spec->brackets = (uint32_t)value->as.integer;
        return value->as.integer <= HD_RUNGS_MAX;
    }
    if (hd_streq(key, "promote_fraction") && hd_value_is_number(value)) {
        spec->promote_fraction = hd_value_number(value);
        return true;
    }
    return false;
}

/* Moves those settings out of the tree. */
static enum hd_code take_settings(struct hd_value *root, struct hd_iter_gen_spec *spec,
                                  struct hd_err *err)
{
    const struct hd_value *given = hd_value_get(root, "iteration_generator");
    if (given == NULL || given->kind != HD_VALUE_OBJECT)
        return HD_OK;
    struct hd_value *rest = hd_value_new_object(), *copy = NULL;
    for (size_t i = 0; i < given->as.object.count; i++) {
        const char *key = given->as.object.keys[i];
        if (take_setting(spec, key, given->as.object.items[i]))
            continue;
        enum hd_code code = hd_value_copy(given->as.object.items[i], &copy, err);
        if (code == HD_OK && hd_value_set(rest, key, copy) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory for a method");
        if (code != HD_OK) {
            hd_value_free(rest);
            return code;
        }
    }
    return hd_value_set(root, "iteration_generator", rest) == HD_OK
               ? HD_OK
               : hd_fail(err, HD_E_NOMEM, "no memory for a method");
}

/* The file's part of the generator and what stood beside it. */
static enum hd_code join(struct hd_experiment *experiment, const struct hd_iter_gen_spec *taken,
                         struct hd_err *err)
{
    struct hd_iter_gen_spec *spec = &experiment->iter_gen;
    spec->type = taken->type;
    spec->brackets = taken->brackets;
    spec->delayed = taken->delayed;
    spec->learned_brackets = taken->learned_brackets;
    spec->raise_uninformative = taken->raise_uninformative;
    spec->promote_fraction = taken->promote_fraction;
    return hd_iter_gen_spec_check(spec, err);
}

enum hd_code bench_method_make(const struct bench_problem *problem, const struct hd_value *method,
                               struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_value *root = NULL;
    struct hd_experiment *experiment = NULL;
    struct hd_iter_gen_spec taken = {0};
    if (method == NULL || method->kind != HD_VALUE_OBJECT)
        return hd_fail(err, HD_E_INVALID,
                       "a method is a map with sampler: and iteration_generator:");
    enum hd_code code = hd_value_copy(method, &root, err);
    if (code == HD_OK)
        code = take_settings(root, &taken, err);
    if (code == HD_OK)
        code = fill(problem, root, err);
    if (code == HD_OK)
        code = hd_experiment_parse(root, "method", NULL, &experiment, err);
    if (code == HD_OK)
        code = join(experiment, &taken, err);
    hd_value_free(root);
    if (code == HD_OK)
        *ret_experiment = experiment;
    else
        hd_experiment_free(experiment);
    return code;
}
