/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_hyperdock.c: a trial of Hyperdock 0.19, or a param space alone.
 *
 * Its space is a grid: lists and drawn samples are crossed, keys in the order of the alphabet, the
 * last one fastest, everything else is a constant. A list of spaces is expanded one after another.
 */
#include "import.h"

#include <hd/os.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RETRIES_MAX 100

static enum hd_code note(const struct importer *importer, const char *text)
{
    struct hd_buf *notes = &importer->import->notes;
    return hd_buf_printf(notes, importer->err, "%s\n", text);
}

/* ---- drawn samples -------------------------------------------------------------------------- */

static bool whole_number(const struct hd_value *value, int64_t low, int64_t high, int64_t *ret)
{
    if (value == NULL || value->kind != HD_VALUE_INT || value->as.integer < low ||
        value->as.integer > high)
        return false;
    *ret = value->as.integer;
    return true;
}

static enum hd_code read_kwargs(const struct importer *importer, const char *name,
                                const struct hd_value *block, struct import_distribution *of)
{
    const struct hd_value *kwargs = hd_value_get(block, "hdock_distr_kwargs");
    const char *const *shapes = import_distribution_shapes(of->name);
    if (kwargs != NULL && kwargs->kind != HD_VALUE_OBJECT)
        return import_fail(importer, kwargs, name, "hdock_distr_kwargs is no map");
    for (size_t i = 0; kwargs != NULL && i < kwargs->as.object.count; i++) {
        const char *key = kwargs->as.object.keys[i];
        const struct hd_value *value = kwargs->as.object.items[i];
        double *place = hd_streq(key, "loc")     ? &of->loc
                        : hd_streq(key, "scale") ? &of->scale
                                                 : NULL;
        for (size_t s = 0; shapes[s] != NULL; s++)
            if (hd_streq(key, shapes[s]))
                place = &of->shape[s];
        if (place == NULL || !hd_value_is_number(value) || !isfinite(hd_value_number(value)))
            return import_fail(importer, value, name,
                               "hdock_distr_kwargs may have loc, scale and the shapes of the "
                               "distribution, all finite numbers");
        *place = hd_value_number(value);
    }
    for (size_t s = 0; shapes[s] != NULL; s++)
        if (isnan(of->shape[s]))
            return import_fail(importer, block, name,
                               "hdock_distr_kwargs lacks a shape of the distribution");
    return HD_OK;
}

struct samples {
    struct import_distribution of;
    int64_t count, seed;
};

static enum hd_code read_block(const struct importer *importer, const char *name,
                               const struct hd_value *block, struct samples *ret)
{
    const struct hd_value *distr = hd_value_get(block, "hdock_distr");
    *ret = (struct samples){.of = {.loc = 0, .scale = 1, .shape = {NAN, NAN}}};
    if (distr->kind != HD_VALUE_STRING || import_distribution_shapes(distr->as.string) == NULL)
        return import_fail(importer, distr, name,
                           "hdock_distr is none of uniform, norm, expon, lognorm, loguniform, "
                           "reciprocal, randint; write its values as a list");
    ret->of.name = distr->as.string;
    if (!whole_number(hd_value_get(block, "hdock_samples"), 1, IMPORT_VALUES_MAX, &ret->count))
        return import_fail(importer, block, name, "hdock_samples is no number from 1 to 10000");
    const struct hd_value *seed = hd_value_get(block, "hdock_seed");
    if (seed != NULL && !whole_number(seed, 0, UINT32_MAX, &ret->seed))
        return import_fail(importer, seed, name, "hdock_seed is no number from 0 to 2^32 - 1");
    return read_kwargs(importer, name, block, &ret->of);
}

static enum hd_code list_samples(const struct importer *importer, const char *name,
                                 const struct hd_value *block, const struct samples *samples,
                                 struct hd_value *list)
{
    struct hd_err why;
    bool whole = import_distribution_is_whole(samples->of.name);
    double *values = hd_malloc((size_t)samples->count * sizeof(*values));
    if (values == NULL)
        return import_nomem(importer);
    enum hd_code code =
        import_draw(&samples->of, (uint32_t)samples->seed, values, (size_t)samples->count, &why);
    if (code != HD_OK)
        code = import_fail(importer, block, name, why.text);
    for (int64_t i = 0; i < samples->count && code == HD_OK; i++)
        if (hd_value_append(list, whole ? hd_value_new_int((int64_t)values[i])
                                        : hd_value_new_double(values[i])) != HD_OK)
            code = import_nomem(importer);
    hd_free(values);
    return code;
}

static enum hd_code draw_choices(const struct importer *importer, const char *name,
                                 const struct hd_value *block, const struct samples *samples,
                                 struct hd_value **ret_definition)
{
    struct hd_value *list = hd_value_new_array();
    if (list == NULL)
        return import_nomem(importer);
    list->line = block->line;
    enum hd_code code = list_samples(importer, name, block, samples, list);
    if (code == HD_OK)
        code = import_choices(importer, name, list, ret_definition);
    hd_value_free(list);
    return code;
}

/* ---- ranges --------------------------------------------------------------------------------- */

static enum hd_code put_number(const struct importer *importer, struct hd_value *map,
                               const char *key, double number, bool whole)
{
    return import_put(importer, map, key,
                      whole ? hd_value_new_int((int64_t)number) : hd_value_new_double(number));
}

static enum hd_code put_normal(const struct importer *importer, struct hd_value *map, double mean,
                               double sd)
{
    struct hd_value *normal = hd_value_new_object();
    if (normal == NULL)
        return import_nomem(importer);
    enum hd_code code = put_number(importer, normal, "mean", mean, false);
    if (code == HD_OK)
        code = put_number(importer, normal, "sd", sd, false);
    if (code == HD_OK)
        return import_put(importer, map, "normal", normal);
    hd_value_free(normal);
    return code;
}

static enum hd_code fill_range(const struct importer *importer,
                               const struct import_distribution *of, struct hd_value *map)
{
    bool whole = import_distribution_is_whole(of->name);
    bool normal = hd_streq(of->name, "norm"), lognormal = hd_streq(of->name, "lognorm");
    enum hd_code code =
        import_put(importer, map, "type", hd_value_new_string(whole ? "int" : "float"));
    double low = of->loc, high = of->loc + of->scale;
    if (whole) {
        low = of->shape[0] + of->loc;
        high = of->shape[1] - 1 + of->loc;
    } else if (!isnan(of->shape[1])) {
        low = of->shape[0] * of->scale;
        high = of->shape[1] * of->scale;
    }
    if (code == HD_OK && normal)
        return put_normal(importer, map, of->loc, of->scale);
    if (code == HD_OK && (lognormal || (!whole && !isnan(of->shape[1]))))
        code = import_put(importer, map, "log", hd_value_new_bool(true));
    if (code == HD_OK && lognormal)
        return put_normal(importer, map, of->scale, of->shape[0]);
    if (code == HD_OK)
        code = put_number(importer, map, "low", low, whole);
    return code == HD_OK ? put_number(importer, map, "high", high, whole) : code;
}

/* What an optimizer may choose from where Hyperdock drew a few values. */
static enum hd_code define_range(const struct importer *importer, const char *name,
                                 const struct hd_value *block, const struct samples *samples,
                                 struct hd_value **ret_definition)
{
    const struct import_distribution *of = &samples->of;
    struct hd_err why;
    double ignored;
    bool shifted_log = (hd_streq(of->name, "lognorm") ||
                        (!isnan(of->shape[1]) && !import_distribution_is_whole(of->name))) &&
                       of->loc != 0;
    if (hd_streq(of->name, "expon") || shifted_log)
        return draw_choices(importer, name, block, samples, ret_definition);
    if (import_draw(of, 0, &ignored, 1, &why) != HD_OK)
        return import_fail(importer, block, name, why.text);
    struct hd_value *map = hd_value_new_object();
    if (map == NULL)
        return import_nomem(importer);
    enum hd_code code = fill_range(importer, of, map);
    if (code != HD_OK)
        hd_value_free(map);
    else
        *ret_definition = map;
    return code;
}

/* ---- the space ------------------------------------------------------------------------------ */

static enum hd_code define_param(const struct importer *importer, const char *name,
                                 const struct hd_value *value, struct hd_value **ret_definition)
{
    struct samples samples;
    if (value->kind == HD_VALUE_ARRAY)
        return import_choices(importer, name, value, ret_definition);
    if (value->kind == HD_VALUE_NULL)
        return import_fail(importer, value, name, "null: leave the param out");
    if (value->kind != HD_VALUE_OBJECT)
        return hd_value_copy(value, ret_definition, importer->err);
    if (hd_value_get(value, "hdock_distr") == NULL)
        return import_fail(importer, value, name,
                           "a map as a constant: params are texts, numbers and booleans; give "
                           "its members names of their own");
    enum hd_code code = read_block(importer, name, value, &samples);
    if (code != HD_OK)
        return code;
    return importer->options->optimize
               ? define_range(importer, name, value, &samples, ret_definition)
               : draw_choices(importer, name, value, &samples, ret_definition);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum hd_code define_params(const struct importer *importer, const struct hd_value *spec,
                                  struct hd_value *space)
{
    size_t count = spec->as.object.count;
    const char **names = hd_malloc((count + 1) * sizeof(*names));
    enum hd_code code = names != NULL ? HD_OK : import_nomem(importer);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        names[i] = spec->as.object.keys[i];
    if (code == HD_OK)
        qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        struct hd_value *definition = NULL;
        code = define_param(importer, names[i], hd_value_get(spec, names[i]), &definition);
        if (code == HD_OK)
            code = import_put(importer, space, names[i], definition);
    }
    hd_free(names);
    return code;
}

/* One space of several: their expansions follow one another there, here they are runs. */
static enum hd_code choose_spec(const struct importer *importer, const struct hd_value *spaces,
                                const struct hd_value **ret_spec)
{
    int64_t wanted = importer->options->spec;
    *ret_spec = spaces;
    if (spaces->kind == HD_VALUE_ARRAY) {
        size_t count = spaces->as.array.count;
        if (count == 0)
            return import_fail(importer, spaces, "param_space", "an empty list");
        if ((wanted == 0 && count > 1) || wanted > (int64_t)count)
            return hd_fail(importer->err, HD_E_INVALID,
                           "%s: it holds %zu param spaces, which Hyperdock expands one after "
                           "another: import each as a run of its own, with --spec 1 to --spec %zu",
                           importer->options->file, count, count);
        *ret_spec = spaces->as.array.items[wanted > 0 ? wanted - 1 : 0];
    } else if (wanted > 1) {
        return hd_fail(importer->err, HD_E_INVALID, "%s: it holds one param space, not %lld",
                       importer->options->file, (long long)wanted);
    }
    if ((*ret_spec)->kind != HD_VALUE_OBJECT || (*ret_spec)->as.object.count == 0)
        return import_fail(importer, *ret_spec, "param_space", "no map of params");
    return HD_OK;
}

/* ---- the target ----------------------------------------------------------------------------- */

static const char *text_of(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind == HD_VALUE_STRING && value->as.string[0] != '\0'
               ? value->as.string
               : NULL;
}

/* A trial as the form sends it, or as the database keeps it. */
struct trial {
    const char *name, *image, *runtime, *results, *data;
    const struct hd_value *environment, *retries, *priority, *space;
};

static struct trial read_trial(const struct hd_value *document)
{
    const struct hd_value *data = hd_value_get(document, "data");
    const struct hd_value *docker = hd_value_get(data, "docker");
    const struct hd_value *volumes = hd_value_get(data, "volumes");
    bool kept = docker != NULL;
    return (struct trial){
        .name = text_of(document, "name"),
        .image = kept ? text_of(docker, "image") : text_of(document, "docker_image"),
        .runtime = kept ? text_of(docker, "runtime") : text_of(document, "docker_runtime"),
        .results = kept ? text_of(volumes, "results") : text_of(document, "results_path"),
        .data = kept ? text_of(volumes, "data") : text_of(document, "data_path"),
        .environment = kept ? hd_value_get(docker, "environment")
                            : hd_value_get(document, "docker_environment"),
        .retries = hd_value_get(document, "retries"),
        .priority = hd_value_get(document, "priority"),
        .space = hd_value_get(document, "param_space"),
    };
}

static enum hd_code put_text(const struct importer *importer, struct hd_value *map, const char *key,
                             const char *text)
{
    return text != NULL ? import_put(importer, map, key, hd_value_new_string(text)) : HD_OK;
}

static enum hd_code fill_runtime(const struct importer *importer, const struct trial *trial,
                                 struct hd_value *target)
{
    if (trial->runtime == NULL)
        return HD_OK;
    struct hd_value *container = hd_value_new_object();
    if (container == NULL)
        return import_nomem(importer);
    enum hd_code code = put_text(importer, container, "runtime", trial->runtime);
    if (code == HD_OK)
        return import_put(importer, target, "container", container);
    hd_value_free(container);
    return code;
}

static enum hd_code fill_retries(const struct importer *importer, const struct trial *trial,
                                 struct hd_value *target)
{
    int64_t count;
    if (!whole_number(trial->retries, 0, INT64_MAX, &count))
        return HD_OK;
    struct hd_value *retries = hd_value_new_object();
    if (retries == NULL)
        return import_nomem(importer);
    enum hd_code code = put_number(importer, retries, "infra",
                                   (double)(count < RETRIES_MAX ? count : RETRIES_MAX), true);
    if (code == HD_OK)
        return import_put(importer, target, "retries", retries);
    hd_value_free(retries);
    return code;
}

static enum hd_code fill_target(const struct importer *importer, const struct trial *trial,
                                struct hd_value *target)
{
    const struct import_options *options = importer->options;
    const char *image = options->image != NULL ? options->image : trial->image;
    struct hd_value *environment = NULL;
    if (image == NULL && options->command == NULL)
        return hd_fail(importer->err, HD_E_INVALID, "%s: it names no image; add --image NAME",
                       options->file);
    enum hd_code code = put_text(importer, target, "image", image);
    if (code == HD_OK)
        code = put_text(importer, target, "command", options->command);
    if (code == HD_OK && trial->environment != NULL && trial->environment->kind != HD_VALUE_NULL) {
        code = hd_value_copy(trial->environment, &environment, importer->err);
        if (code == HD_OK)
            code = import_put(importer, target, "env", environment);
    }
    if (code == HD_OK)
        code = put_text(importer, target, "contract", "hyperdock");
    if (code == HD_OK)
        code = put_text(importer, target, "data", trial->data);
    if (code == HD_OK)
        code = fill_runtime(importer, trial, target);
    return code == HD_OK ? fill_retries(importer, trial, target) : code;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum hd_code build(const struct importer *importer, const struct trial *trial,
                          const struct hd_value *spec)
{
    char name[HD_ID_MAX + 1];
    int64_t priority;
    const struct import_options *options = importer->options;
    import_name(options, trial->name, name, sizeof(name));
    struct hd_value *target = hd_value_new_object(), *space = hd_value_new_object();
    enum hd_code code = target != NULL && space != NULL ? HD_OK : import_nomem(importer);
    if (code == HD_OK)
        code = fill_target(importer, trial, target);
    if (code == HD_OK)
        code = define_params(importer, spec, space);
    if (code != HD_OK) {
        hd_value_free(target);
        hd_value_free(space);
        return code;
    }
    code = import_frame(importer, name, target, space);
    if (code == HD_OK)
        code = put_text(importer, importer->import->experiment, "objective", "loss");
    if (code == HD_OK && whole_number(trial->priority, INT32_MIN, INT32_MAX, &priority))
        code =
            put_number(importer, importer->import->experiment, "priority", (double)priority, true);
    if (code == HD_OK)
        code = note(importer, "Imported from Hyperdock 0.19.");
    if (code == HD_OK && !options->optimize)
        code = note(importer, "Every combination once, in Hyperdock's order; "
                              "`hd import --optimize` lets the optimizer choose.");
    if (code == HD_OK && trial->results != NULL)
        code = note(importer, "results_path: each worker keeps the results below its --work-dir.");
    return code;
}

static bool is_config_space(const struct hd_value *document)
{
    const struct hd_value *list = hd_value_get(document, "hyperparameters");
    return list != NULL && list->kind == HD_VALUE_ARRAY &&
           hd_value_get(document, "conditions") != NULL;
}

enum hd_code import_hyperdock(const struct hd_value *document, const struct import_options *options,
                              struct import *ret_import, struct hd_err *err)
{
    struct import import = {.experiment = hd_value_new_object()};
    struct importer importer = {.options = options, .import = &import, .err = err};
    struct hd_value *parsed = NULL;
    const struct hd_value *spec;
    hd_buf_init(&import.notes, IMPORT_NOTES_MAX);
    struct trial trial = read_trial(document);
    bool alone = trial.space == NULL && trial.image == NULL;
    const struct hd_value *spaces = alone ? document : trial.space;
    enum hd_code code = import.experiment != NULL ? HD_OK : import_nomem(&importer);
    if (code == HD_OK && is_config_space(document))
        code = import_fail(&importer, document, "hyperparameters",
                           "this is a file of ConfigSpace, which is not read; write its params "
                           "under `space:` of an experiment (hd init makes one)");
    if (code == HD_OK && spaces == NULL)
        code = import_fail(&importer, document, "param_space", "it is missing");
    if (code == HD_OK && spaces->kind == HD_VALUE_STRING) {
        code = hd_json_parse(spaces->as.string, strlen(spaces->as.string), "param_space",
                             &hd_value_limits_file, &parsed, err);
        spaces = parsed;
    }
    if (code == HD_OK)
        code = choose_spec(&importer, spaces, &spec);
    if (code == HD_OK)
        code = build(&importer, &trial, spec);
    hd_value_free(parsed);
    if (code != HD_OK)
        import_release(&import);
    else
        *ret_import = import;
    return code;
}
