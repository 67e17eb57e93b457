/* SPDX-License-Identifier: Apache-2.0 */
/* source.c: where answers come from: the store of a state directory, or a live master. */
#include "cli.h"

#include <hd/store.h>
#include <hd/view.h>

#include <stdlib.h>

#define POSITIONALS_MAX 4

struct cli_source {
    struct hd_view *view; /* NULL: a live master is asked */
    struct cli_master master;
    const char *run;
};

const char *cli_state_dir(const char *given)
{
    if (given != NULL)
        return given;
    const char *environment = getenv("HYPERDOCK_STATE_DIR");
    return environment != NULL && environment[0] != '\0' ? environment : CLI_STATE_DIR_DEFAULT;
}

enum hd_parse_answer cli_parse(const struct hd_program *program, int argc, char **argv,
                               struct cli_common *common, const char **ret_positionals,
                               size_t run_index)
{
    const char *positionals[POSITIONALS_MAX] = {NULL};
    size_t count = 0;
    hd_assert(program->positional_max <= POSITIONALS_MAX);
    enum hd_parse_answer answer = hd_options_parse(program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer;
    for (size_t i = 0; i < run_index; i++)
        ret_positionals[i] = positionals[i];
    if (count > run_index && common->run == NULL)
        common->run = positionals[run_index];
    return HD_PARSE_GO;
}

static enum hd_code open_state(const struct cli_common *common, struct cli_source *source,
                               struct hd_err *err)
{
    const char *state_dir = cli_state_dir(common->state_dir);
    enum hd_code code = hd_view_open(state_dir, &source->view, err);
    if (code == HD_E_NOTFOUND)
        (void)hd_fail(err, code,
                      "there is no state at %s; name a state directory with --state-dir or "
                      "$HYPERDOCK_STATE_DIR, or a live master with --nameserver",
                      state_dir);
    return code;
}

enum hd_code cli_open(const struct cli_common *common, struct cli_source **ret_source,
                      struct hd_err *err)
{
    bool remote = false;
    enum hd_code code = cli_remote_check(&common->remote, common->state_dir, &remote, err);
    if (code != HD_OK)
        return code;
    struct cli_source *source = hd_calloc(1, sizeof(*source));
    if (source == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    code = remote ? cli_master_find(&common->remote, common->run != NULL ? common->run : "",
                                    &source->master, err)
                  : open_state(common, source, err);
    if (code != HD_OK) {
        hd_free(source);
        return code;
    }
    source->run = common->run;
    *ret_source = source;
    return HD_OK;
}

void cli_close(struct cli_source *source)
{
    if (source == NULL)
        return;
    hd_view_close(source->view);
    hd_free(source);
}

enum hd_code cli_argument(struct hd_value **arguments, const char *key, struct hd_value *item,
                          struct hd_err *err)
{
    if (*arguments == NULL)
        *arguments = hd_value_new_object();
    if (*arguments == NULL) {
        hd_value_free(item);
        return hd_fail(err, HD_E_NOMEM, "no memory");
    }
    if (hd_value_set(*arguments, key, item) != HD_OK)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    return HD_OK;
}

static enum hd_code read_remote(struct cli_source *source, const char *view,
                                const struct hd_value *arguments, struct hd_value **ret_answer,
                                struct hd_err *err)
{
    struct hd_buf json;
    hd_buf_init(&json, HD_VIEW_JSON_MAX);
    enum hd_code code = hd_json_write(arguments, HD_JSON_COMPACT, &json, err);
    struct hd_request request = {.kind = HD_REQUEST_VIEW, .run_id = source->run, .view = view};
    request.view_json = hd_buf_text(&json);
    if (code == HD_OK)
        code = cli_master_call(&source->master, &request, ret_answer, err);
    hd_buf_release(&json);
    return code;
}

static enum hd_code name_best(struct cli_source *source, struct hd_value *arguments,
                              struct hd_err *err)
{
    const struct hd_value *job = hd_value_get(arguments, "job");
    if (job == NULL || job->kind != HD_VALUE_INT || job->as.integer != CLI_JOB_BEST)
        return HD_OK;
    struct hd_value *question = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&question, "limit", hd_value_new_int(1), err);
    if (code == HD_OK)
        code = cli_read(source, "best", question, &answer, err);
    const struct hd_value *best = hd_value_get(answer, "best");
    if (code == HD_OK && (best == NULL || best->as.array.count == 0))
        code = hd_fail(err, HD_E_NOTFOUND, "no job has a result yet");
    if (code == HD_OK)
        code = cli_argument(&arguments, "job",
                            hd_value_new_int(cli_integer(best->as.array.items[0], "job")), err);
    hd_value_free(question);
    hd_value_free(answer);
    return code;
}

enum hd_code cli_read(struct cli_source *source, const char *view, struct hd_value *arguments,
                      struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_value *own = NULL;
    if (arguments == NULL)
        arguments = own = hd_value_new_object();
    enum hd_code code = name_best(source, arguments, err);
    if (code == HD_OK && source->run != NULL)
        code = cli_argument(&arguments, "run", hd_value_new_string(source->run), err);
    if (code == HD_OK)
        code = source->view != NULL ? hd_view_read(source->view, view, arguments, ret_answer, err)
                                    : read_remote(source, view, arguments, ret_answer, err);
    hd_value_free(own);
    return code;
}

enum hd_code cli_parse_job(const char *text, int64_t *ret_job, struct hd_err *err)
{
    int64_t job = CLI_JOB_BEST;
    if (!hd_streq(text, "best") && (!hd_parse_i64(text, &job) || job < 0 || job > UINT32_MAX))
        return hd_fail(err, HD_E_INVALID,
                       "\"%s\" is not the number of a job: 0, 1, 2 ..., nor \"best\"", text);
    *ret_job = job;
    return HD_OK;
}

int cli_run_view(const struct cli_common *common, const char *view, struct hd_value *arguments,
                 cli_print_fn print)
{
    struct hd_err err;
    struct cli_source *source = NULL;
    struct hd_value *answer = NULL;
    enum hd_code code = cli_open(common, &source, &err);
    if (code == HD_OK)
        code = cli_read(source, view, arguments, &answer, &err);
    if (code == HD_OK && common->json)
        code = cli_print_json(answer, HD_JSON_PRETTY, &err);
    else if (code == HD_OK)
        print(answer);
    hd_value_free(arguments);
    hd_value_free(answer);
    cli_close(source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
