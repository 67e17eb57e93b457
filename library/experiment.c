/* SPDX-License-Identifier: Apache-2.0 */
/*
 * experiment.c: an experiment by calls. Each call changes the tree that a file would give, so there
 * is one set of names, defaults and checks: that of the experiment file.
 */
#include "experiment.h"
#include "session.h"

#include <hd/os.h>

#include <math.h>
#include <string.h>

#define NAME "experiment" /* what messages call a text without a file */
#define PATH_MAX_BYTES 1024
#define SNIPPET_BYTES_MAX (256u * 1024u)

static enum hyperdock_code refuse(struct hyperdock_experiment *experiment, const char *text)
{
    return library_code(hd_fail(&experiment->err, HD_E_INVALID, "%s", text));
}

enum hyperdock_code hyperdock_experiment_new(struct hyperdock_experiment **ret_experiment)
{
    if (ret_experiment == NULL)
        return HYPERDOCK_E_INVALID;
    struct hyperdock_experiment *experiment = hd_calloc(1, sizeof(*experiment));
    if (experiment == NULL)
        return HYPERDOCK_E_NOMEM;
    hd_buf_init(&experiment->text, HD_EXPERIMENT_BYTES_MAX);
    *ret_experiment = experiment;
    return HYPERDOCK_OK;
}

static void clear(struct hyperdock_experiment *experiment)
{
    hd_value_free(experiment->root);
    hd_free(experiment->file_name);
    hd_free(experiment->base_dir);
    experiment->root = NULL;
    experiment->file_name = experiment->base_dir = NULL;
    experiment->has_seed = false;
}

void hyperdock_experiment_free(struct hyperdock_experiment *experiment)
{
    if (experiment == NULL)
        return;
    clear(experiment);
    hd_buf_release(&experiment->text);
    hd_free(experiment);
}

const char *hyperdock_experiment_error(const struct hyperdock_experiment *experiment)
{
    return experiment != NULL ? experiment->err.text : "there is no experiment: it is NULL";
}

/* ---- files and texts ------------------------------------------------------------------------ */

static enum hd_code take_text(struct hyperdock_experiment *experiment, const char *text,
                              size_t size, const char *name, struct hd_value **ret_root)
{
    struct hd_value_limits limits = hd_value_limits_file;
    struct hd_value *root = NULL;
    limits.bytes_max = HD_EXPERIMENT_BYTES_MAX;
    enum hd_code code = hd_yaml_parse(text, size, name, &limits, &root, &experiment->err);
    if (code == HD_OK && root->kind != HD_VALUE_OBJECT) {
        code = hd_fail(&experiment->err, HD_E_INVALID, "%s: an experiment is a map, this is a %s",
                       name, hd_value_kind_name(root->kind));
        hd_value_free(root);
    } else if (code == HD_OK) {
        *ret_root = root;
    }
    return code;
}

enum hyperdock_code hyperdock_experiment_parse(struct hyperdock_experiment *experiment,
                                               const char *text, size_t size)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (text == NULL)
        return refuse(experiment, "the text is NULL");
    struct hd_value *root = NULL;
    enum hd_code code = take_text(experiment, text, size, NAME, &root);
    if (code != HD_OK)
        return library_code(code);
    clear(experiment);
    experiment->root = root;
    return HYPERDOCK_OK;
}

static enum hd_code read_file(const char *path, struct hd_buf *text, char **ret_base_dir,
                              struct hd_err *err)
{
    enum hd_code code = hd_file_read(path, HD_EXPERIMENT_BYTES_MAX, false, text, err);
    if (code == HD_OK)
        code = hd_path_absolute(NULL, path, ret_base_dir, err);
    if (code != HD_OK)
        return code;
    char *slash = strrchr(*ret_base_dir, '/');
    slash[slash == *ret_base_dir ? 1 : 0] = '\0';
    return HD_OK;
}

enum hyperdock_code hyperdock_experiment_read(struct hyperdock_experiment *experiment,
                                              const char *path)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (path == NULL)
        return refuse(experiment, "the path is NULL");
    struct hd_buf text;
    struct hd_value *root = NULL;
    char *base_dir = NULL;
    char *file_name = hd_strdup(path);
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = file_name == NULL
                            ? hd_fail(&experiment->err, HD_E_NOMEM, "no memory for a path")
                            : read_file(path, &text, &base_dir, &experiment->err);
    if (code == HD_OK)
        code = take_text(experiment, hd_buf_text(&text), text.size, path, &root);
    hd_buf_release(&text);
    if (code != HD_OK) {
        hd_free(file_name);
        hd_free(base_dir);
        return library_code(code);
    }
    clear(experiment);
    experiment->root = root;
    experiment->file_name = file_name;
    experiment->base_dir = base_dir;
    return HYPERDOCK_OK;
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* A line of a piece says nothing of the whole. */
static void forget_lines(struct hd_value *value)
{
    value->line = value->column = 0;
    if (value->kind == HD_VALUE_ARRAY)
        for (size_t i = 0; i < value->as.array.count; i++)
            forget_lines(value->as.array.items[i]);
    if (value->kind == HD_VALUE_OBJECT)
        for (size_t i = 0; i < value->as.object.count; i++)
            forget_lines(value->as.object.items[i]);
}

static enum hd_code parse_piece(struct hyperdock_experiment *experiment, const char *what,
                                const char *text, struct hd_value **ret_value)
{
    struct hd_value_limits limits = hd_value_limits_file;
    limits.bytes_max = SNIPPET_BYTES_MAX;
    if (text == NULL)
        return hd_fail(&experiment->err, HD_E_INVALID, "%s: the text is NULL", what);
    enum hd_code code =
        hd_yaml_parse(text, strlen(text), what, &limits, ret_value, &experiment->err);
    if (code == HD_OK)
        forget_lines(*ret_value);
    return code;
}

/* A text of the caller's as a value. Trees hold UTF-8 only: other bytes do not survive this. */
static enum hd_code text_value(struct hyperdock_experiment *experiment, const char *what,
                               const char *text, struct hd_value **ret_value)
{
    if (text == NULL)
        return hd_fail(&experiment->err, HD_E_INVALID, "%s: a text is NULL", what);
    struct hd_buf json;
    struct hd_value *value = NULL;
    hd_buf_init(&json, SNIPPET_BYTES_MAX);
    enum hd_code code = hd_json_write_string(text, &json, &experiment->err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&json), json.size, what, &hd_value_limits_file, &value,
                             &experiment->err);
    hd_buf_release(&json);
    if (code == HD_OK && !hd_streq(value->as.string, text)) {
        hd_value_free(value);
        return hd_fail(&experiment->err, HD_E_INVALID, "%s: a text is not UTF-8", what);
    }
    if (code == HD_OK) {
        forget_lines(value);
        *ret_value = value;
    }
    return code;
}

/* The map at `key`, made when it is missing. */
static enum hd_code map_at(struct hyperdock_experiment *experiment, struct hd_value *object,
                           const char *key, struct hd_value **ret_map)
{
    struct hd_value *map = hd_value_get(object, key);
    if (map == NULL) {
        map = hd_value_new_object();
        if (hd_value_set(object, key, map) != HD_OK)
            return hd_fail(&experiment->err, HD_E_NOMEM, "no memory for %s", key);
    }
    if (map->kind != HD_VALUE_OBJECT)
        return hd_fail(&experiment->err, HD_E_INVALID, "%s is a %s, not a map", key,
                       hd_value_kind_name(map->kind));
    *ret_map = map;
    return HD_OK;
}

static enum hd_code root_of(struct hyperdock_experiment *experiment, struct hd_value **ret_root)
{
    if (experiment->root == NULL)
        experiment->root = hd_value_new_object();
    if (experiment->root == NULL)
        return hd_fail(&experiment->err, HD_E_NOMEM, "no memory for an experiment");
    *ret_root = experiment->root;
    return HD_OK;
}

/* Takes item, also when it fails. */
static enum hd_code put(struct hyperdock_experiment *experiment, struct hd_value *object,
                        const char *key, struct hd_value *item)
{
    enum hd_code code = hd_value_set(object, key, item);
    return code == HD_OK ? HD_OK : hd_fail(&experiment->err, code, "no memory for %s", key);
}

/* Puts item at "a.b.c"; takes it, also when it fails. */
static enum hd_code put_at(struct hyperdock_experiment *experiment, const char *path,
                           struct hd_value *item)
{
    char key[PATH_MAX_BYTES];
    struct hd_value *object = NULL;
    enum hd_code code = root_of(experiment, &object);
    while (code == HD_OK) {
        size_t size = strcspn(path, ".");
        if (size == 0 || size >= sizeof(key)) {
            code = hd_fail(&experiment->err, HD_E_INVALID,
                           "a path is keys with dots between them, such as stop.configs");
            break;
        }
        hd_copy_text(key, size + 1, path);
        if (path[size] == '\0')
            return put(experiment, object, key, item);
        code = map_at(experiment, object, key, &object);
        path += size + 1;
    }
    hd_value_free(item);
    return code;
}

enum hyperdock_code hyperdock_experiment_set(struct hyperdock_experiment *experiment,
                                             const char *path, const char *text)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (path == NULL)
        return refuse(experiment, "the path is NULL");
    struct hd_value *item = NULL, *key = NULL;
    enum hd_code code = text_value(experiment, "the path", path, &key);
    hd_value_free(key);
    if (code == HD_OK)
        code = parse_piece(experiment, path, text, &item);
    return library_code(code == HD_OK ? put_at(experiment, path, item) : code);
}

/* ---- params --------------------------------------------------------------------------------- */

/* The one param alone, so that a wrong bound is refused where it is given. */
static enum hd_code check_alone(struct hyperdock_experiment *experiment, const char *name,
                                const struct hd_value *param)
{
    struct hd_value *alone = hd_value_new_object(), *copy = NULL;
    struct hd_space *space = NULL;
    enum hd_code code = alone == NULL ? HD_E_NOMEM : hd_value_copy(param, &copy, &experiment->err);
    if (code == HD_OK)
        code = hd_value_set(alone, name, copy);
    if (code != HD_OK)
        code = hd_fail(&experiment->err, code, "no memory for param %s", name);
    else
        code = hd_space_parse(alone, NAME, "space", &space, &experiment->err);
    hd_space_free(space);
    hd_value_free(alone);
    return code;
}

/* Takes param, also when it fails. */
static enum hyperdock_code add(struct hyperdock_experiment *experiment, const char *name,
                               struct hd_value *param, bool whole)
{
    struct hd_value *root = NULL, *space = NULL, *key = NULL;
    enum hd_code code = param == NULL
                            ? hd_fail(&experiment->err, HD_E_NOMEM, "no memory for a param")
                            : text_value(experiment, "the name of a param", name, &key);
    hd_value_free(key);
    if (code == HD_OK)
        code = root_of(experiment, &root);
    if (code == HD_OK)
        code = map_at(experiment, root, "space", &space);
    if (code == HD_OK && hd_value_get(space, name) != NULL)
        code = hd_fail(&experiment->err, HD_E_EXISTS, "there is a param %.100s already", name);
    if (code == HD_OK && whole)
        code = check_alone(experiment, name, param);
    if (code != HD_OK) {
        hd_value_free(param);
        return library_code(code);
    }
    return library_code(put(experiment, space, name, param));
}

/* NULL: no memory; as after any of these. */
static struct hd_value *param_of(const char *type)
{
    struct hd_value *param = hd_value_new_object();
    if (param != NULL && hd_value_set(param, "type", hd_value_new_string(type)) == HD_OK)
        return param;
    hd_value_free(param);
    return NULL;
}

static struct hd_value *with(struct hd_value *param, const char *key, struct hd_value *item)
{
    if (param != NULL && hd_value_set(param, key, item) == HD_OK)
        return param;
    if (param == NULL)
        hd_value_free(item);
    hd_value_free(param);
    return NULL;
}

static bool known_flags(unsigned flags)
{
    return (flags & ~HYPERDOCK_LOG) == 0;
}

enum hyperdock_code hyperdock_experiment_add_float(struct hyperdock_experiment *experiment,
                                                   const char *name, double low, double high,
                                                   double step, unsigned flags)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (!isfinite(low) || !isfinite(high) || !isfinite(step))
        return refuse(experiment, "low, high and step must be finite numbers");
    if (!known_flags(flags))
        return refuse(experiment, "unknown flags: there is HYPERDOCK_LOG");
    struct hd_value *param = with(param_of("float"), "low", hd_value_new_double(low));
    param = with(param, "high", hd_value_new_double(high));
    if (step != 0)
        param = with(param, "step", hd_value_new_double(step));
    if (flags & HYPERDOCK_LOG)
        param = with(param, "log", hd_value_new_bool(true));
    return add(experiment, name, param, true);
}

enum hyperdock_code hyperdock_experiment_add_int(struct hyperdock_experiment *experiment,
                                                 const char *name, int64_t low, int64_t high,
                                                 int64_t step, unsigned flags)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (!known_flags(flags))
        return refuse(experiment, "unknown flags: there is HYPERDOCK_LOG");
    struct hd_value *param = with(param_of("int"), "low", hd_value_new_int(low));
    param = with(param, "high", hd_value_new_int(high));
    if (step != 0)
        param = with(param, "step", hd_value_new_int(step));
    if (flags & HYPERDOCK_LOG)
        param = with(param, "log", hd_value_new_bool(true));
    return add(experiment, name, param, true);
}

static enum hyperdock_code add_choices(struct hyperdock_experiment *experiment, const char *type,
                                       const char *name, const char *const *choices, size_t count)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (choices == NULL || count == 0)
        return refuse(experiment, "there are no choices");
    if (count > HD_PARAM_CHOICES_MAX)
        return library_code(hd_fail(&experiment->err, HD_E_LIMIT, "a param has at most %d choices",
                                    HD_PARAM_CHOICES_MAX));
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = list == NULL ? hd_fail(&experiment->err, HD_E_NOMEM, "no memory") : HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++) {
        struct hd_value *choice = NULL;
        code = text_value(experiment, "choices", choices[i], &choice);
        if (code == HD_OK && hd_value_append(list, choice) != HD_OK)
            code = hd_fail(&experiment->err, HD_E_NOMEM, "no memory for the choices");
    }
    if (code != HD_OK) {
        hd_value_free(list);
        return library_code(code);
    }
    return add(experiment, name, with(param_of(type), "choices", list), true);
}

enum hyperdock_code hyperdock_experiment_add_categorical(struct hyperdock_experiment *experiment,
                                                         const char *name,
                                                         const char *const *choices,
                                                         size_t choice_count)
{
    return add_choices(experiment, "categorical", name, choices, choice_count);
}

enum hyperdock_code hyperdock_experiment_add_ordinal(struct hyperdock_experiment *experiment,
                                                     const char *name, const char *const *choices,
                                                     size_t choice_count)
{
    return add_choices(experiment, "ordinal", name, choices, choice_count);
}

enum hyperdock_code hyperdock_experiment_add_bool(struct hyperdock_experiment *experiment,
                                                  const char *name)
{
    return experiment == NULL ? HYPERDOCK_E_INVALID : add(experiment, name, param_of("bool"), true);
}

enum hyperdock_code hyperdock_experiment_add_constant(struct hyperdock_experiment *experiment,
                                                      const char *name, const char *value)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    struct hd_value *item = NULL;
    enum hd_code code = parse_piece(experiment, "the constant", value, &item);
    if (code != HD_OK)
        return library_code(code);
    return add(experiment, name, with(param_of("constant"), "value", item), true);
}

enum hyperdock_code hyperdock_experiment_add_param(struct hyperdock_experiment *experiment,
                                                   const char *name, const char *text)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    struct hd_value *param = NULL;
    enum hd_code code = parse_piece(experiment, "the param", text, &param);
    return code == HD_OK ? add(experiment, name, param, false) : library_code(code);
}

enum hyperdock_code hyperdock_experiment_set_param(struct hyperdock_experiment *experiment,
                                                   const char *name, const char *key,
                                                   const char *text)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (name == NULL || key == NULL)
        return refuse(experiment, "the name or the key is NULL");
    struct hd_value *item = NULL, *checked = NULL, *param;
    param = hd_value_get(hd_value_get(experiment->root, "space"), name);
    if (param == NULL)
        return library_code(
            hd_fail(&experiment->err, HD_E_NOTFOUND, "there is no param %.100s", name));
    if (param->kind != HD_VALUE_OBJECT)
        return refuse(experiment, "a constant has no keys");
    enum hd_code code = text_value(experiment, "the key", key, &checked);
    hd_value_free(checked);
    if (code == HD_OK)
        code = parse_piece(experiment, key, text, &item);
    return library_code(code == HD_OK ? put(experiment, param, key, item) : code);
}

/* ---- the rest ------------------------------------------------------------------------------- */

enum hyperdock_code hyperdock_experiment_set_direction(struct hyperdock_experiment *experiment,
                                                       enum hyperdock_direction direction)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (direction != HYPERDOCK_MINIMIZE && direction != HYPERDOCK_MAXIMIZE)
        return refuse(experiment, "the direction is HYPERDOCK_MINIMIZE or HYPERDOCK_MAXIMIZE");
    struct hd_value *item =
        hd_value_new_string(direction == HYPERDOCK_MAXIMIZE ? "maximize" : "minimize");
    if (item == NULL)
        return library_code(hd_fail(&experiment->err, HD_E_NOMEM, "no memory"));
    return library_code(put_at(experiment, "objective.direction", item));
}

enum hyperdock_code hyperdock_experiment_set_budgets(struct hyperdock_experiment *experiment,
                                                     double budget_min, double budget_max)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (!isfinite(budget_min) || !isfinite(budget_max) || budget_min <= 0 ||
        budget_max < budget_min)
        return refuse(experiment,
                      "budgets are finite, above 0, and the least is not above the greatest");
    struct hd_value *low = hd_value_new_double(budget_min);
    struct hd_value *high = hd_value_new_double(budget_max);
    if (low == NULL || high == NULL) {
        hd_value_free(low);
        hd_value_free(high);
        return library_code(hd_fail(&experiment->err, HD_E_NOMEM, "no memory"));
    }
    enum hd_code code = put_at(experiment, "budget.min", low);
    if (code != HD_OK)
        hd_value_free(high);
    return library_code(code == HD_OK ? put_at(experiment, "budget.max", high) : code);
}

enum hyperdock_code hyperdock_experiment_set_seed(struct hyperdock_experiment *experiment,
                                                  uint64_t seed)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    experiment->has_seed = true;
    experiment->seed = seed;
    return HYPERDOCK_OK;
}

/* {name: ..., the settings} at `key`. */
static enum hyperdock_code set_named(struct hyperdock_experiment *experiment, const char *key,
                                     const char *name, const char *settings)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    struct hd_value *named = NULL, *map = NULL;
    enum hd_code code = text_value(experiment, key, name, &named);
    if (code == HD_OK)
        code = parse_piece(experiment, key, settings != NULL ? settings : "{}", &map);
    if (code == HD_OK && map->kind != HD_VALUE_OBJECT)
        code = hd_fail(&experiment->err, HD_E_INVALID, "%s: settings are a map, this is a %s", key,
                       hd_value_kind_name(map->kind));
    if (code != HD_OK) {
        hd_value_free(named);
        hd_value_free(map);
        return library_code(code);
    }
    code = put(experiment, map, "name", named);
    if (code != HD_OK) {
        hd_value_free(map);
        return library_code(code);
    }
    return library_code(put_at(experiment, key, map));
}

enum hyperdock_code hyperdock_experiment_set_sampler(struct hyperdock_experiment *experiment,
                                                     const char *name, const char *settings)
{
    return set_named(experiment, "sampler", name, settings);
}

enum hyperdock_code
hyperdock_experiment_set_iteration_generator(struct hyperdock_experiment *experiment,
                                             const char *name, const char *settings)
{
    return set_named(experiment, "iteration_generator", name, settings);
}

/* ---- finishing ------------------------------------------------------------------------------ */

/* Only a worker needs a target; the caller is its own. */
static enum hd_code add_target(struct hyperdock_experiment *experiment)
{
    struct hd_value *target = NULL;
    if (hd_value_get(experiment->root, "target") != NULL)
        return HD_OK;
    enum hd_code code = parse_piece(experiment, "target", "{command: [none]}", &target);
    return code == HD_OK ? put(experiment, experiment->root, "target", target) : code;
}

enum hd_code experiment_finish(struct hyperdock_experiment *experiment,
                               struct hd_experiment **ret_checked, struct hd_err *err)
{
    struct hd_value *root = NULL;
    enum hd_code code = root_of(experiment, &root);
    if (code == HD_OK)
        code = add_target(experiment);
    struct hd_experiment_overrides overrides = {.budget_min = NAN,
                                                .budget_max = NAN,
                                                .eta = NAN,
                                                .base_dir = experiment->base_dir,
                                                .has_seed = experiment->has_seed,
                                                .seed = experiment->seed};
    const char *name = experiment->file_name != NULL ? experiment->file_name : NAME;
    if (code == HD_OK)
        return hd_experiment_parse(root, name, &overrides, ret_checked, err);
    *err = experiment->err;
    return code;
}

enum hyperdock_code hyperdock_experiment_json(struct hyperdock_experiment *experiment,
                                              const char **ret_json)
{
    if (experiment == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_json == NULL)
        return refuse(experiment, "there is nowhere to put the answer");
    struct hd_experiment *checked = NULL;
    struct hd_err err;
    enum hd_code code = experiment_finish(experiment, &checked, &err);
    hd_buf_clear(&experiment->text);
    if (code == HD_OK)
        code = hd_experiment_to_json(checked, &experiment->text, &err);
    hd_experiment_free(checked);
    if (code != HD_OK) {
        experiment->err = err;
        return library_code(code);
    }
    *ret_json = hd_buf_text(&experiment->text);
    return HYPERDOCK_OK;
}
