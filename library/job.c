/* SPDX-License-Identifier: Apache-2.0 */
/* job.c: reading jobs and the params of their configs. */
#include "session.h"

#include <math.h>
#include <string.h>

#define NO_ANSWER "there is nowhere to put the answer"

static enum hd_code find_job(struct hyperdock_session *session, uint32_t number,
                             struct hd_job_view *ret_job)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (number >= run.job_count)
        return hd_fail(&session->err, HD_E_NOTFOUND, "there is no job %u (%u so far)", number,
                       run.job_count);
    hd_core_view_job(session->core, session->run, number, ret_job);
    return HD_OK;
}

static const struct hd_space *space_of(const struct hyperdock_session *session)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.experiment->space;
}

enum hyperdock_code hyperdock_job_budget(struct hyperdock_session *session, uint32_t job,
                                         double *ret_budget, double *ret_previous)
{
    struct hd_job_view view;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_budget == NULL)
        return library_code(hd_fail(&session->err, HD_E_INVALID, NO_ANSWER));
    enum hd_code code = find_job(session, job, &view);
    if (code != HD_OK)
        return library_code(code);
    *ret_budget = view.budget;
    if (ret_previous != NULL)
        *ret_previous = view.budget_previous;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_job_config_id(struct hyperdock_session *session, uint32_t job,
                                            uint32_t ret_id[3])
{
    struct hd_job_view view;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_id == NULL)
        return library_code(hd_fail(&session->err, HD_E_INVALID, NO_ANSWER));
    enum hd_code code = find_job(session, job, &view);
    if (code != HD_OK)
        return library_code(code);
    ret_id[0] = view.config_id.iteration;
    ret_id[1] = view.config_id.budget_index;
    ret_id[2] = view.config_id.running_index;
    return HYPERDOCK_OK;
}

static bool is_noisy(const struct hyperdock_session *session)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    return run.experiment->noise.repeats > 1;
}

enum hyperdock_code hyperdock_job_repeat(struct hyperdock_session *session, uint32_t job,
                                         uint32_t *ret_repeat, uint32_t *ret_seed)
{
    struct hd_job_view view;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_repeat == NULL)
        return library_code(hd_fail(&session->err, HD_E_INVALID, NO_ANSWER));
    enum hd_code code = find_job(session, job, &view);
    if (code != HD_OK)
        return library_code(code);
    *ret_repeat = view.repeat;
    if (ret_seed != NULL)
        *ret_seed = view.seed;
    return HYPERDOCK_OK;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static enum hd_code write_config(struct hyperdock_session *session, const struct hd_job_view *job)
{
    return hd_config_to_json(space_of(session),
                             hd_core_config_values(session->core, session->run, job->config),
                             &session->text, &session->err);
}

static enum hd_code write_job(struct hyperdock_session *session, uint32_t number,
                              const struct hd_job_view *job)
{
    struct hd_buf *out = &session->text;
    struct hd_err *err = &session->err;
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_assert(job->config < session->info_count);
    const struct hd_proposal_info *info = &session->infos[job->config];
    enum hd_code code = hd_buf_printf(
        out, err, "{\"job\":%u,\"config_id\":[%u,%u,%u],\"config\":", number,
        job->config_id.iteration, job->config_id.budget_index, job->config_id.running_index);
    if (code == HD_OK)
        code = write_config(session, job);
    hd_format_double(text, sizeof(text), job->budget);
    if (code == HD_OK)
        code = hd_buf_printf(out, err,
                             ",\"config_info\":{\"sampler\":\"%s\",\"model\":%s},\"budget\":%s,"
                             "\"budget_previous\":",
                             info->sampler, info->model ? "true" : "false", text);
    hd_format_double(text, sizeof(text), job->budget_previous);
    if (code == HD_OK)
        code = hd_buf_printf(out, err, "%s", isnan(job->budget_previous) ? "null" : text);
    if (code == HD_OK && is_noisy(session))
        code = hd_buf_printf(out, err, ",\"repeat\":%u,\"seed\":%u", job->repeat, job->seed);
    if (code == HD_OK)
        code = hd_buf_puts(out, "}", err);
    return code;
}

static enum hyperdock_code as_text(struct hyperdock_session *session, uint32_t job, bool whole,
                                   const char **ret_json)
{
    struct hd_job_view view;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (ret_json == NULL)
        return library_code(hd_fail(&session->err, HD_E_INVALID, NO_ANSWER));
    enum hd_code code = find_job(session, job, &view);
    hd_buf_clear(&session->text);
    if (code == HD_OK)
        code = whole ? write_job(session, job, &view) : write_config(session, &view);
    if (code == HD_OK)
        *ret_json = hd_buf_text(&session->text);
    return library_code(code);
}

enum hyperdock_code hyperdock_job_config(struct hyperdock_session *session, uint32_t job,
                                         const char **ret_json)
{
    return as_text(session, job, false, ret_json);
}

enum hyperdock_code hyperdock_job_json(struct hyperdock_session *session, uint32_t job,
                                       const char **ret_json)
{
    return as_text(session, job, true, ret_json);
}

/* ---- params --------------------------------------------------------------------------------- */

static enum hyperdock_code no_param(struct hyperdock_session *session, const char *name)
{
    const struct hd_space *space = space_of(session);
    const char *names[HD_SPACE_PARAMS_MAX];
    size_t count = space->param_count < HD_COUNT(names) ? space->param_count : HD_COUNT(names);
    for (size_t i = 0; i < count; i++)
        names[i] = space->params[i].name;
    const char *near = hd_nearest(name, names, count);
    if (near == NULL)
        (void)hd_fail(&session->err, HD_E_NOTFOUND, "there is no param %.100s", name);
    else
        (void)hd_fail(&session->err, HD_E_NOTFOUND, "there is no param %.100s; is it %s?", name,
                      near);
    return HYPERDOCK_E_NOT_FOUND;
}

/* Finds the param and the number that stands for its value. */
static enum hyperdock_code find_param(struct hyperdock_session *session, uint32_t job,
                                      const char *name, const void *answer,
                                      const struct hd_param **ret_param, double *ret_number)
{
    struct hd_job_view view;
    if (session == NULL)
        return HYPERDOCK_E_INVALID;
    if (answer == NULL || name == NULL)
        return library_code(hd_fail(&session->err, HD_E_INVALID,
                                    answer == NULL ? NO_ANSWER : "the name of a param is NULL"));
    enum hd_code code = find_job(session, job, &view);
    if (code != HD_OK)
        return library_code(code);
    const struct hd_space *space = space_of(session);
    size_t index = 0;
    while (index < space->param_count && !hd_streq(space->params[index].name, name))
        index++;
    if (index == space->param_count)
        return no_param(session, name);
    double number = hd_core_config_values(session->core, session->run, view.config)[index];
    if (isnan(number)) {
        (void)hd_fail(&session->err, HD_E_NOTFOUND,
                      "param %s is not active in the config of job %u", name, job);
        return HYPERDOCK_E_INACTIVE;
    }
    *ret_param = &space->params[index];
    *ret_number = number;
    return HYPERDOCK_OK;
}

/* The scalar behind a choice or a constant; NULL for floats and ints. */
static const struct hd_value *choice_of(const struct hd_param *param, double number)
{
    switch (param->kind) {
    case HD_PARAM_CATEGORICAL:
    case HD_PARAM_ORDINAL:
    case HD_PARAM_BOOL:
    case HD_PARAM_CONSTANT:
        hd_assert(number >= 0 && number < (double)param->choice_count);
        return param->choices[(size_t)number];
    case HD_PARAM_FLOAT:
    case HD_PARAM_INT:
        return NULL;
    }
    return NULL;
}

static enum hyperdock_code wrong_type(struct hyperdock_session *session,
                                      const struct hd_param *param, const struct hd_value *choice,
                                      const char *wanted)
{
    const char *type = choice != NULL                  ? hd_value_kind_name(choice->kind)
                       : param->kind == HD_PARAM_FLOAT ? "number"
                                                       : "integer";
    return library_code(hd_fail(&session->err, HD_E_INVALID, "param %s holds %s %s here, not %s",
                                param->name, type[0] == 'i' ? "an" : "a", type, wanted));
}

enum hyperdock_code hyperdock_get_double(struct hyperdock_session *session, uint32_t job,
                                         const char *name, double *ret_value)
{
    const struct hd_param *param;
    double number;
    enum hyperdock_code code = find_param(session, job, name, ret_value, &param, &number);
    if (code != HYPERDOCK_OK)
        return code;
    const struct hd_value *choice = choice_of(param, number);
    if (choice != NULL && !hd_value_is_number(choice))
        return wrong_type(session, param, choice, "a number");
    *ret_value = choice != NULL ? hd_value_number(choice) : number;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_get_int(struct hyperdock_session *session, uint32_t job,
                                      const char *name, int64_t *ret_value)
{
    const struct hd_param *param;
    double number;
    enum hyperdock_code code = find_param(session, job, name, ret_value, &param, &number);
    if (code != HYPERDOCK_OK)
        return code;
    const struct hd_value *choice = choice_of(param, number);
    if (choice != NULL ? choice->kind != HD_VALUE_INT : param->kind != HD_PARAM_INT)
        return wrong_type(session, param, choice, "an integer");
    *ret_value = choice != NULL ? choice->as.integer : (int64_t)number;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_get_bool(struct hyperdock_session *session, uint32_t job,
                                       const char *name, int *ret_value)
{
    const struct hd_param *param;
    double number;
    enum hyperdock_code code = find_param(session, job, name, ret_value, &param, &number);
    if (code != HYPERDOCK_OK)
        return code;
    const struct hd_value *choice = choice_of(param, number);
    if (choice == NULL || choice->kind != HD_VALUE_BOOL)
        return wrong_type(session, param, choice, "true or false");
    *ret_value = choice->as.boolean ? 1 : 0;
    return HYPERDOCK_OK;
}

enum hyperdock_code hyperdock_get_text(struct hyperdock_session *session, uint32_t job,
                                       const char *name, const char **ret_value)
{
    const struct hd_param *param;
    double number;
    enum hyperdock_code code = find_param(session, job, name, ret_value, &param, &number);
    if (code != HYPERDOCK_OK)
        return code;
    const struct hd_value *choice = choice_of(param, number);
    if (choice == NULL || choice->kind != HD_VALUE_STRING)
        return wrong_type(session, param, choice, "a text");
    *ret_value = choice->as.string;
    return HYPERDOCK_OK;
}
