/* SPDX-License-Identifier: Apache-2.0 */
/* known.c: the text in which a run keeps what was known before it. */
#include <hd/known.h>

#include <math.h>
#include <string.h>

#define NODES_MAX 200000
#define NAME "known results"

void hd_known_free(struct hd_known *known)
{
    if (known == NULL)
        return;
    hd_free(known->values);
    hd_free(known->results);
    hd_free(known);
}

static enum hd_code wrong(struct hd_err *err, uint32_t config, const char *what)
{
    return hd_fail(err, HD_E_INVALID, NAME ": config %u: %s", config, what);
}

static bool is_list(const struct hd_value *value)
{
    return value != NULL && value->kind == HD_VALUE_ARRAY;
}

static enum hd_code parse_losses(const struct hd_experiment *experiment,
                                 const struct hd_value *value, uint32_t config,
                                 struct hd_score *score, struct hd_err *err)
{
    const struct hd_value *losses = hd_value_get(value, "losses");
    const struct hd_value *violation = hd_value_get(value, "violation");
    score->violation = violation == NULL ? 0 : hd_value_number(violation);
    if (!is_list(losses))
        return wrong(err, config, "the losses of a result are a list");
    if (losses->as.array.count == 0) {
        for (size_t i = 0; i < HD_OBJECTIVES_MAX; i++)
            score->losses[i] = NAN;
        return HD_OK;
    }
    if (losses->as.array.count != experiment->objective_count)
        return wrong(err, config, "a result has one loss for each objective, or none");
    for (size_t i = 0; i < losses->as.array.count; i++)
        score->losses[i] = hd_value_number(losses->as.array.items[i]);
    if (!hd_score_is_finite(score, experiment->objective_count) || !(score->violation >= 0))
        return wrong(err, config, "losses and violation are finite numbers");
    return HD_OK;
}

static enum hd_code parse_results(const struct hd_experiment *experiment,
                                  const struct hd_value *list, struct hd_known *known,
                                  struct hd_err *err)
{
    uint32_t config = known->config_count, first = known->result_count;
    if (!is_list(list) || list->as.array.count == 0)
        return wrong(err, config, "results are missing");
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        if (known->result_count >= HD_KNOWN_RESULTS_MAX)
            return hd_fail(err, HD_E_LIMIT, NAME ": at most %u are allowed", HD_KNOWN_RESULTS_MAX);
        struct hd_known_result *result = &known->results[known->result_count];
        *result = (struct hd_known_result){.config = config,
                                           .budget = hd_value_number(hd_value_get(item, "budget"))};
        if (!(isfinite(result->budget) && result->budget > 0))
            return wrong(err, config, "a budget is a number above 0");
        for (uint32_t k = first; k < known->result_count; k++)
            if (known->results[k].budget == result->budget)
                return wrong(err, config, "two results at one budget");
        enum hd_code code = parse_losses(experiment, item, config, &result->score, err);
        if (code != HD_OK)
            return code;
        known->result_count++;
    }
    return HD_OK;
}

static enum hd_code parse_configs(const struct hd_experiment *experiment,
                                  const struct hd_value *list, struct hd_known *known,
                                  struct hd_err *err)
{
    size_t width = experiment->space->param_count;
    for (size_t i = 0; i < list->as.array.count; i++) {
        const struct hd_value *item = list->as.array.items[i];
        double *values = known->values + i * width;
        enum hd_code code =
            hd_config_from_value(experiment->space, hd_value_get(item, "params"), values, err);
        if (code == HD_OK)
            code = hd_space_check(experiment->space, values, err);
        if (code != HD_OK)
            return hd_fail_in(err, NAME ": config %u", known->config_count);
        code = parse_results(experiment, hd_value_get(item, "results"), known, err);
        if (code != HD_OK)
            return code;
        known->config_count++;
    }
    return HD_OK;
}

static enum hd_code build(const struct hd_experiment *experiment, const struct hd_value *list,
                          struct hd_known **ret_known, struct hd_err *err)
{
    if (!is_list(list) || list->as.array.count == 0)
        return hd_fail(err, HD_E_INVALID, NAME ": not a list of configs");
    if (list->as.array.count > HD_KNOWN_RESULTS_MAX)
        return hd_fail(err, HD_E_LIMIT, NAME ": at most %u are allowed", HD_KNOWN_RESULTS_MAX);
    struct hd_known *known = hd_calloc(1, sizeof(*known));
    if (known == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for known results");
    known->values =
        hd_calloc(list->as.array.count, (experiment->space->param_count + 1) * sizeof(double));
    known->results = hd_calloc(HD_KNOWN_RESULTS_MAX, sizeof(*known->results));
    enum hd_code code = known->values != NULL && known->results != NULL
                            ? parse_configs(experiment, list, known, err)
                            : hd_fail(err, HD_E_NOMEM, "no memory for known results");
    if (code != HD_OK) {
        hd_known_free(known);
        return code;
    }
    *ret_known = known;
    return HD_OK;
}

enum hd_code hd_known_parse(const char *text, const struct hd_experiment *experiment,
                            struct hd_known **ret_known, struct hd_err *err)
{
    const struct hd_value_limits limits = {
        .bytes_max = HD_KNOWN_BYTES_MAX, .nodes_max = NODES_MAX, .depth_max = 8};
    struct hd_value *list = NULL;
    if (text[0] == '\0') {
        *ret_known = NULL;
        return HD_OK;
    }
    enum hd_code code = hd_json_parse(text, strlen(text), NAME, &limits, &list, err);
    if (code != HD_OK)
        return code;
    code = build(experiment, list, ret_known, err);
    hd_value_free(list);
    return code;
}
