/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c: what all samplers share: creation by name, the history, settings. */
#include "sampler_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAMES_TEXT_MAX 200

static const struct hd_sampler_ops *const all_ops[] = {
    &hd_sampler_random_ops, &hd_sampler_sobol_ops,     &hd_sampler_tpe_ops,
    &hd_sampler_grid_ops,   &hd_sampler_de_ops,        &hd_sampler_cmaes_ops,
    &hd_sampler_gp_ops,     &hd_sampler_forest_ops,    &hd_sampler_cqr_ops,
    &hd_sampler_auto_ops,   &hd_sampler_priorband_ops, &hd_sampler_nsga2_ops,
};

static const char *const all_names[] = {"random",    "sobol", "tpe",    "grid", "de",
                                        "cmaes",     "gp",    "forest", "cqr",  "auto",
                                        "priorband", "nsga2", NULL};

const char *const *hd_sampler_names(void)
{
    return all_names;
}

static const struct hd_sampler_ops *find_ops(const char *name)
{
    for (size_t i = 0; i < HD_COUNT(all_ops); i++) {
        if (hd_streq(all_ops[i]->name, name))
            return all_ops[i];
    }
    return NULL;
}

static enum hd_code refuse_name(const char *name, struct hd_err *err)
{
    const char *nearest = hd_nearest(name, all_names, HD_COUNT(all_names) - 1);
    if (nearest != NULL)
        return hd_fail(err, HD_E_INVALID, "unknown sampler \"%s\"; did you mean %s", name, nearest);
    char known[NAMES_TEXT_MAX] = "";
    size_t used = 0;
    for (size_t i = 0; all_names[i] != NULL && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 all_names[i]);
    return hd_fail(err, HD_E_INVALID, "unknown sampler \"%s\"; known are %s", name, known);
}

static enum hd_code find_checked(const struct hd_sampler_spec *spec,
                                 const struct hd_sampler_ops **ret_ops, struct hd_err *err)
{
    *ret_ops = find_ops(spec->name);
    if (*ret_ops == NULL)
        return refuse_name(spec->name, err);
    if (spec->settings != NULL && spec->settings->kind != HD_VALUE_OBJECT)
        return hd_fail(err, HD_E_INVALID, "the settings of a sampler are an object");
    return HD_OK;
}

static enum hd_code make(const struct hd_sampler_ops *ops, const struct hd_sampler_spec *spec,
                         struct hd_history *history, struct hd_sampler **ret_sampler,
                         struct hd_err *err)
{
    struct hd_sampler *sampler = hd_calloc(1, ops->size);
    if (sampler == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for sampler %s", ops->name);
    sampler->ops = ops;
    sampler->space = history->space;
    sampler->seed = spec->seed;
    sampler->history = history;
    enum hd_code code = ops->prepare != NULL
                            ? ops->prepare(sampler, spec->settings, err)
                            : hd_settings_read(ops->name, spec->settings, NULL, 0, err);
    if (code != HD_OK) {
        hd_sampler_free(sampler);
        return code;
    }
    *ret_sampler = sampler;
    return HD_OK;
}

static enum hd_code copy_initial(struct hd_sampler *sampler, const struct hd_sampler_spec *spec,
                                 struct hd_err *err)
{
    size_t width = sampler->space->param_count;
    if (spec->initial_count > HD_INITIAL_MAX)
        return hd_fail(err, HD_E_LIMIT, "at most %d initial configs are allowed", HD_INITIAL_MAX);
    for (size_t i = 0; i < spec->initial_count; i++) {
        enum hd_code code = hd_space_check(sampler->space, spec->initial + i * width, err);
        if (code != HD_OK) {
            if (err != NULL)
                hd_fail_in(err, "initial config %zu", i);
            return code;
        }
    }
    if (spec->initial_count == 0)
        return HD_OK;
    sampler->initial = hd_calloc(spec->initial_count, width * sizeof(double));
    if (sampler->initial == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the initial configs");
    memcpy(sampler->initial, spec->initial, spec->initial_count * width * sizeof(double));
    sampler->initial_count = spec->initial_count;
    return HD_OK;
}

static enum hd_code take_known(struct hd_sampler *sampler, const struct hd_known *known,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (known == NULL)
        return HD_OK;
    if (known->result_count > HD_KNOWN_RESULTS_MAX || known->config_count > known->result_count)
        return hd_fail(err, HD_E_LIMIT, "at most %u known results are allowed",
                       HD_KNOWN_RESULTS_MAX);
    for (uint32_t i = 0; i < known->config_count && code == HD_OK; i++)
        code = hd_history_add_known(sampler->history, i,
                                    known->values + i * sampler->space->param_count, err);
    for (uint32_t i = 0; i < known->result_count && code == HD_OK; i++) {
        const struct hd_known_result *result = &known->results[i];
        code = hd_history_tell_score(sampler->history, result->config, result->budget,
                                     &result->score, err);
    }
    sampler->known_count = known->config_count;
    return code;
}

enum hd_code hd_sampler_new(const struct hd_sampler_spec *spec, const struct hd_space *space,
                            struct hd_sampler **ret_sampler, struct hd_err *err)
{
    const struct hd_sampler_ops *ops;
    enum hd_code code = find_checked(spec, &ops, err);
    if (code != HD_OK)
        return code;
    struct hd_history *history = hd_calloc(1, sizeof(*history));
    if (history == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a history");
    code = hd_history_init(history, space, err);
    if (code == HD_OK)
        code = hd_history_set_objectives(history, spec->objective_count, spec->constrained, err);
    struct hd_sampler *sampler = NULL;
    if (code == HD_OK)
        code = make(ops, spec, history, &sampler, err);
    if (code == HD_OK)
        code = copy_initial(sampler, spec, err);
    if (code == HD_OK)
        code = take_known(sampler, spec->known, err);
    if (code != HD_OK) {
        hd_sampler_free(sampler);
        hd_history_release(history);
        hd_free(history);
        return code;
    }
    sampler->owns_history = true;
    *ret_sampler = sampler;
    return HD_OK;
}

enum hd_code hd_sampler_new_arm(const struct hd_sampler_spec *spec, struct hd_history *history,
                                struct hd_sampler **ret_sampler, struct hd_err *err)
{
    const struct hd_sampler_ops *ops;
    enum hd_code code = find_checked(spec, &ops, err);
    return code != HD_OK ? code : make(ops, spec, history, ret_sampler, err);
}

void hd_sampler_free(struct hd_sampler *sampler)
{
    if (sampler == NULL)
        return;
    if (sampler->ops->release != NULL)
        sampler->ops->release(sampler);
    hd_free(sampler->initial);
    if (sampler->owns_history) {
        hd_history_release(sampler->history);
        hd_free(sampler->history);
    }
    hd_free(sampler);
}

enum hd_code hd_sampler_add(struct hd_sampler *sampler, uint32_t config_number,
                            const double *values, struct hd_err *err)
{
    return hd_history_add(sampler->history, config_number + sampler->known_count, values, err);
}

enum hd_code hd_sampler_credit(struct hd_sampler *sampler, uint32_t config_number, const char *name,
                               struct hd_err *err)
{
    config_number += sampler->known_count;
    return sampler->ops->credit != NULL ? sampler->ops->credit(sampler, config_number, name, err)
                                        : HD_OK;
}

enum hd_code hd_sampler_tell(struct hd_sampler *sampler, uint32_t config_number, double budget,
                             double loss, struct hd_err *err)
{
    return hd_history_tell(sampler->history, config_number + sampler->known_count, budget, loss,
                           err);
}

enum hd_code hd_sampler_tell_score(struct hd_sampler *sampler, uint32_t config_number,
                                   double budget, const struct hd_score *score, struct hd_err *err)
{
    return hd_history_tell_score(sampler->history, config_number + sampler->known_count, budget,
                                 score, err);
}

enum hd_code hd_sampler_ask_arm(struct hd_sampler *arm, uint32_t config_number, double budget,
                                double *ret_values, struct hd_proposal_info *ret_info,
                                struct hd_err *err)
{
    enum hd_code code =
        hd_history_scale(arm->history, arm->ops->scale, arm->seed, config_number, err);
    return code != HD_OK ? code
                         : arm->ops->suggest(arm, config_number, budget, ret_values, ret_info, err);
}

/* The initial config of this number, when there is one that no config equals. */
static const double *initial_of(const struct hd_sampler *sampler, uint32_t config_number)
{
    if (config_number >= sampler->initial_count)
        return NULL;
    const double *values = sampler->initial + config_number * sampler->space->param_count;
    return hd_history_has(sampler->history, values) ? NULL : values;
}

bool hd_sampler_is_light(const struct hd_sampler *sampler)
{
    return sampler->ops->light;
}

enum hd_code hd_sampler_suggest(struct hd_sampler *sampler, uint32_t config_number, double budget,
                                double *ret_values, struct hd_proposal_info *ret_info,
                                struct hd_err *err)
{
    struct hd_proposal_info info = {.model_budget = NAN};
    uint32_t number = config_number + sampler->known_count;
    if (number < sampler->history->config_count)
        return hd_fail(err, HD_E_CONFLICT, "config number %u exists already", config_number);
    enum hd_code code = hd_history_check_left(sampler->history, err);
    if (code != HD_OK)
        return code;
    const double *initial = initial_of(sampler, config_number);
    hd_copy_text(info.sampler, sizeof(info.sampler),
                 initial != NULL ? "initial" : sampler->ops->name);
    if (initial != NULL)
        memcpy(ret_values, initial, sampler->space->param_count * sizeof(*initial));
    else
        code = hd_sampler_ask_arm(sampler, number, budget, ret_values, &info, err);
    if (code == HD_OK && ret_info != NULL)
        *ret_info = info;
    return code;
}

/* ---- settings ------------------------------------------------------------------------------ */

#define SETTINGS_MAX 32
#define CHOICES_TEXT_MAX 256

static enum hd_code refuse_key(const char *sampler_name, const char *key,
                               const struct hd_setting *table, size_t count, struct hd_err *err)
{
    const char *names[SETTINGS_MAX];
    hd_assert(count <= SETTINGS_MAX);
    for (size_t i = 0; i < count; i++)
        names[i] = table[i].name;
    const char *nearest = hd_nearest(key, names, count);
    return hd_fail(err, HD_E_INVALID, "sampler.%s: sampler %s has no such setting%s%s%s", key,
                   sampler_name, nearest != NULL ? "; did you mean \"" : "",
                   nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

static enum hd_code read_setting(const struct hd_setting *setting, const struct hd_value *item,
                                 struct hd_err *err)
{
    double number = hd_value_number(item);
    if (item->kind == HD_VALUE_NULL || setting->value == NULL)
        return HD_OK; /* null: as if it were not there */
    bool good = hd_value_is_number(item) && number >= setting->low && number <= setting->high;
    if (good && setting->whole)
        good = number == floor(number);
    if (good) {
        *setting->value = number;
        return HD_OK;
    }
    char low[HD_DOUBLE_TEXT_SIZE], high[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(low, sizeof(low), setting->low);
    hd_format_double(high, sizeof(high), setting->high);
    return hd_fail(err, HD_E_INVALID, "sampler.%s: must be a %snumber from %s to %s", setting->name,
                   setting->whole ? "whole " : "", low, high);
}

enum hd_code hd_settings_read(const char *sampler_name, const struct hd_value *settings,
                              const struct hd_setting *table, size_t count, struct hd_err *err)
{
    for (size_t i = 0; settings != NULL && i < settings->as.object.count; i++) {
        const char *key = settings->as.object.keys[i];
        const struct hd_setting *setting = NULL;
        for (size_t j = 0; j < count && setting == NULL; j++)
            setting = hd_streq(key, table[j].name) ? &table[j] : NULL;
        if (setting == NULL && hd_streq(key, "name"))
            continue;
        const struct hd_value *item = settings->as.object.items[i];
        enum hd_code code = setting != NULL ? read_setting(setting, item, err)
                                            : refuse_key(sampler_name, key, table, count, err);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

enum hd_code hd_settings_choice(const struct hd_value *settings, const char *name,
                                const char *const *choices, size_t *choice, struct hd_err *err)
{
    const struct hd_value *item = settings != NULL ? hd_value_get(settings, name) : NULL;
    if (item == NULL || item->kind == HD_VALUE_NULL)
        return HD_OK;
    char known[CHOICES_TEXT_MAX] = "";
    for (size_t i = 0; choices[i] != NULL; i++) {
        if (item->kind == HD_VALUE_STRING && hd_streq(item->as.string, choices[i])) {
            *choice = i;
            return HD_OK;
        }
        size_t used = strlen(known);
        (void)hd_format(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return hd_fail(err, HD_E_INVALID, "sampler.%s: must be one of %s", name, known);
}
