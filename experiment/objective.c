/* SPDX-License-Identifier: Apache-2.0 */
/* objective.c: objectives and constraints: reading, describing, and what a result scores by them.
 */
#include "describe.h"

#include <hd/expression.h>

#include <float.h>
#include <math.h>
#include <string.h>

#define NOISE_SHARE 0.25 /* of the budget, unless the file says otherwise */

void hd_objectives_release(struct hd_experiment *experiment)
{
    hd_free(experiment->objective.name);
    for (size_t i = 0; i + 1 < HD_OBJECTIVES_MAX; i++)
        hd_free(experiment->further[i].name);
    for (size_t i = 0; i < HD_CONSTRAINTS_MAX; i++)
        hd_free(experiment->constraints[i].name);
}

/* ---- measures ---- */

size_t hd_experiment_measure_count(const struct hd_experiment *experiment)
{
    bool loss_alone = experiment->objective_count <= 1 && experiment->constraint_count == 0;
    return loss_alone ? 0 : (size_t)experiment->objective_count + experiment->constraint_count;
}

const char *hd_experiment_measure_name(const struct hd_experiment *experiment, size_t index)
{
    if (index < experiment->objective_count)
        return hd_experiment_objective(experiment, index)->name;
    hd_assert(index - experiment->objective_count < experiment->constraint_count);
    return experiment->constraints[index - experiment->objective_count].name;
}

static double violation_of(const struct hd_constraint *constraint, double value)
{
    double over = value - constraint->max, under = constraint->min - value;
    double bound = over > 0 ? constraint->max : constraint->min;
    double by = over > 0 ? over : under > 0 ? under : 0;
    return by > 0 && bound != 0 ? by / fabs(bound) : by;
}

void hd_experiment_score(const struct hd_experiment *experiment, const double *measures,
                         struct hd_score *ret_score)
{
    struct hd_score score = {.violation = 0};
    for (size_t i = 0; i < experiment->objective_count; i++)
        score.losses[i] = measures[i];
    for (size_t i = 0; i < experiment->constraint_count; i++)
        score.violation +=
            violation_of(&experiment->constraints[i], measures[experiment->objective_count + i]);
    if (!(score.violation < DBL_MAX))
        score.violation = DBL_MAX; /* a sum that a double cannot hold */
    *ret_score = score;
}

/* ---- reading ---- */

static enum hd_code read_name(const struct hd_reader *reader, const struct hd_value *object,
                              const char *path, char **name)
{
    enum hd_code code = hd_read_text(reader, object, path, "name", name);
    if (code == HD_OK && *name != NULL && strlen(*name) >= HD_OBJECTIVE_NAME_MAX)
        code = hd_read_fail(reader, HD_E_LIMIT, hd_value_get(object, "name"), path, "name",
                            "is longer than %d bytes", HD_OBJECTIVE_NAME_MAX - 1);
    return code;
}

static enum hd_code parse_objective(const struct hd_reader *reader, const struct hd_value *object,
                                    const char *path, struct hd_objective *objective)
{
    static const char *const names[] = {"name", "direction", "goal", "reference"};
    static const char *const directions[] = {"minimize", "maximize", "min", "max"};
    size_t direction = 0;
    enum hd_code code = hd_read_keys(reader, object, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = read_name(reader, object, path, &objective->name);
    if (code == HD_OK)
        code = hd_read_choice(reader, object, path, "direction", directions, HD_COUNT(directions),
                              &direction);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "goal", &objective->goal);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "reference", &objective->reference);
    objective->maximize = direction % 2 == 1;
    objective->has_goal = hd_read_member(object, "goal") != NULL;
    objective->has_reference = hd_read_member(object, "reference") != NULL;
    return code;
}

/* Two things of one name could not be told apart in loss.json. */
static enum hd_code check_new_name(const struct hd_reader *reader,
                                   const struct hd_experiment *experiment,
                                   const struct hd_value *at, const char *path, const char *name)
{
    for (size_t i = 0; i < experiment->objective_count; i++)
        if (hd_streq(hd_experiment_objective(experiment, i)->name, name))
            return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                                "\"%s\" is an objective already", name);
    for (size_t i = 0; i < experiment->constraint_count; i++)
        if (hd_streq(experiment->constraints[i].name, name))
            return hd_read_fail(reader, HD_E_INVALID, at, path, "",
                                "\"%s\" is a constraint already: one with min and max has both "
                                "bounds",
                                name);
    return HD_OK;
}

static enum hd_code parse_listed_objective(const struct hd_reader *reader,
                                           const struct hd_value *item,
                                           struct hd_experiment *experiment)
{
    char path[READ_PATH_MAX];
    struct hd_objective objective = {0};
    uint32_t index = experiment->objective_count;
    (void)hd_format(path, sizeof(path), "objective[%u]", index);
    enum hd_code code = HD_OK;
    if (item->kind == HD_VALUE_STRING) {
        objective.name = hd_strdup(item->as.string);
        code = objective.name != NULL ? HD_OK : hd_read_nomem(reader);
    } else if (item->kind != HD_VALUE_OBJECT) {
        code = hd_read_wrong_type(reader, item, path, "",
                                  "a name, or a map such as {name: error, direction: minimize}");
    } else {
        code = parse_objective(reader, item, path, &objective);
    }
    if (code == HD_OK && (objective.name == NULL || objective.name[0] == '\0'))
        code = hd_read_fail(reader, HD_E_INVALID, item, path, "name",
                            "missing: each of several objectives has a name");
    if (code == HD_OK)
        code = check_new_name(reader, experiment, item, path, objective.name);
    if (code != HD_OK) {
        hd_free(objective.name);
        return code;
    }
    if (index == 0)
        experiment->objective = objective;
    else
        experiment->further[index - 1] = objective;
    experiment->objective_count++;
    return HD_OK;
}

static enum hd_code parse_list(const struct hd_reader *reader, const struct hd_value *list,
                               struct hd_experiment *experiment)
{
    size_t count = list->as.array.count;
    if (count == 0)
        return hd_read_fail(reader, HD_E_INVALID, list, "objective", "",
                            "the list is empty; leave the key out when exit code 0 is all");
    if (count > HD_OBJECTIVES_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, "objective", "",
                            "%zu objectives; at most %u are allowed", count, HD_OBJECTIVES_MAX);
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = parse_listed_objective(reader, list->as.array.items[i], experiment);
    return code;
}

static enum hd_code parse_objectives(const struct hd_reader *reader, const struct hd_value *root,
                                     struct hd_experiment *experiment)
{
    const struct hd_value *value = hd_read_member(root, "objective");
    if (value != NULL && value->kind == HD_VALUE_ARRAY)
        return parse_list(reader, value, experiment);
    struct hd_objective *objective = &experiment->objective;
    objective->name = hd_strdup("loss");
    if (objective->name == NULL)
        return hd_read_nomem(reader);
    experiment->objective_count = 1;
    const struct hd_target *target = &experiment->target;
    bool formula = target->command != NULL && hd_streq(target->command[0], HD_EXPRESSION_PROGRAM);
    objective->exit_code_only = value == NULL && !formula;
    const struct hd_value *object = NULL;
    enum hd_code code = hd_read_object(reader, root, "", "objective", &object);
    return code == HD_OK && object != NULL ? parse_objective(reader, object, "objective", objective)
                                           : code;
}

static enum hd_code parse_bounds(const struct hd_reader *reader, const struct hd_value *object,
                                 const char *path, struct hd_constraint *constraint)
{
    static const char *const names[] = {"name", "min", "max"};
    enum hd_code code = hd_read_keys(reader, object, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = read_name(reader, object, path, &constraint->name);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "min", &constraint->min);
    if (code == HD_OK)
        code = hd_read_double(reader, object, path, "max", &constraint->max);
    bool bounded = hd_read_member(object, "min") != NULL || hd_read_member(object, "max") != NULL;
    if (code == HD_OK && !bounded)
        constraint->max = 0;
    if (code == HD_OK && constraint->min > constraint->max)
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "min"), path, "min",
                            "is above max: nothing would be feasible");
    return code;
}

static enum hd_code parse_constraint(const struct hd_reader *reader, const struct hd_value *item,
                                     struct hd_experiment *experiment)
{
    char path[READ_PATH_MAX];
    struct hd_constraint constraint = {.min = -INFINITY, .max = INFINITY};
    (void)hd_format(path, sizeof(path), "constraints[%u]", experiment->constraint_count);
    enum hd_code code = HD_OK;
    if (item->kind == HD_VALUE_STRING) {
        constraint.name = hd_strdup(item->as.string);
        constraint.max = 0;
        code = constraint.name != NULL ? HD_OK : hd_read_nomem(reader);
    } else if (item->kind != HD_VALUE_OBJECT) {
        code = hd_read_wrong_type(reader, item, path, "",
                                  "a name, or a map such as {name: memory, max: 512}");
    } else {
        code = parse_bounds(reader, item, path, &constraint);
    }
    if (code == HD_OK && (constraint.name == NULL || constraint.name[0] == '\0'))
        code = hd_read_fail(reader, HD_E_INVALID, item, path, "name",
                            "missing; give the name under which the target reports the value");
    if (code == HD_OK)
        code = check_new_name(reader, experiment, item, path, constraint.name);
    if (code != HD_OK) {
        hd_free(constraint.name);
        return code;
    }
    experiment->constraints[experiment->constraint_count++] = constraint;
    return HD_OK;
}

static enum hd_code parse_constraints(const struct hd_reader *reader, const struct hd_value *root,
                                      struct hd_experiment *experiment)
{
    const struct hd_value *list = hd_read_member(root, "constraints");
    if (list == NULL)
        return HD_OK;
    if (list->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, list, "constraints", "",
                                  "a list, such as [{name: memory, max: 512}]");
    if (list->as.array.count > HD_CONSTRAINTS_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, "constraints", "",
                            "%zu constraints; at most %d are allowed", list->as.array.count,
                            HD_CONSTRAINTS_MAX);
    if (experiment->objective.exit_code_only && list->as.array.count > 0)
        return hd_read_fail(reader, HD_E_INVALID, list, "constraints", "",
                            "there is no objective that they could constrain");
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < list->as.array.count && code == HD_OK; i++)
        code = parse_constraint(reader, list->as.array.items[i], experiment);
    return code;
}

static enum hd_code parse_noise(const struct hd_reader *reader, const struct hd_value *root,
                                struct hd_experiment *experiment)
{
    static const char *const names[] = {"repeats", "share"};
    struct hd_race_spec *noise = &experiment->noise;
    const struct hd_value *object;
    *noise = (struct hd_race_spec){.repeats = 1, .share = NOISE_SHARE};
    enum hd_code code = hd_read_object(reader, root, "", "noise", &object);
    if (code != HD_OK || object == NULL)
        return code;
    code = hd_read_keys(reader, object, "noise", names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_u32(reader, object, "noise", "repeats", 1, HD_REPEATS_MAX, &noise->repeats);
    if (code == HD_OK)
        code = hd_read_double(reader, object, "noise", "share", &noise->share);
    if (code == HD_OK && !(noise->share > 0 && noise->share < 1))
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "share"), "noise", "share",
                            "must be above 0 and below 1: the part of the budget that repeats may "
                            "take");
    if (code != HD_OK || noise->repeats == 1)
        return code;
    const struct hd_value *repeats = hd_value_get(object, "repeats");
    if (experiment->objective.exit_code_only)
        return hd_read_fail(reader, HD_E_INVALID, repeats, "noise", "repeats",
                            "there is no objective that could be noisy");
    if (hd_experiment_measure_count(experiment) > 0)
        return hd_read_fail(reader, HD_E_INVALID, repeats, "noise", "repeats",
                            "above 1 it needs one objective and no constraints");
    return HD_OK;
}

enum hd_code hd_objectives_parse(const struct hd_reader *reader, const struct hd_value *root,
                                 struct hd_experiment *experiment)
{
    enum hd_code code = parse_objectives(reader, root, experiment);
    if (code == HD_OK)
        code = parse_constraints(reader, root, experiment);
    if (code == HD_OK)
        code = parse_noise(reader, root, experiment);
    experiment->iter_gen.objective_count = experiment->objective_count;
    experiment->iter_gen.constrained = experiment->constraint_count > 0;
    return code;
}

/* ---- describing ---- */

static struct hd_value *new_number(bool has, double number)
{
    return has ? hd_value_new_double(number) : hd_value_new_null();
}

static struct hd_value *describe_objective(const struct hd_objective *objective)
{
    struct hd_value *map = hd_value_new_object();
    bool good =
        map != NULL && put(map, "name", hd_value_new_string(objective->name)) &&
        put(map, "direction", hd_value_new_string(objective->maximize ? "maximize" : "minimize")) &&
        put(map, "goal", new_number(objective->has_goal, objective->goal));
    if (good && objective->has_reference)
        good = put(map, "reference", hd_value_new_double(objective->reference));
    return finish(map, good);
}

struct hd_value *hd_objectives_describe(const struct hd_experiment *experiment)
{
    if (experiment->objective.exit_code_only)
        return hd_value_new_null();
    if (experiment->objective_count == 1)
        return describe_objective(&experiment->objective);
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; i < experiment->objective_count && good; i++)
        good = hd_value_append(list, describe_objective(hd_experiment_objective(experiment, i))) ==
               HD_OK;
    return finish(list, good);
}

struct hd_value *hd_constraints_describe(const struct hd_experiment *experiment)
{
    struct hd_value *list = hd_value_new_array();
    bool good = list != NULL;
    for (size_t i = 0; i < experiment->constraint_count && good; i++) {
        const struct hd_constraint *constraint = &experiment->constraints[i];
        struct hd_value *map = hd_value_new_object();
        good = hd_value_append(list, map) == HD_OK &&
               put(map, "name", hd_value_new_string(constraint->name)) &&
               put(map, "min", new_number(isfinite(constraint->min), constraint->min)) &&
               put(map, "max", new_number(isfinite(constraint->max), constraint->max));
    }
    return finish(list, good);
}

struct hd_value *hd_noise_describe(const struct hd_experiment *experiment)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "repeats", hd_value_new_int(experiment->noise.repeats)) &&
                put(map, "share", hd_value_new_double(experiment->noise.share));
    return finish(map, good);
}
