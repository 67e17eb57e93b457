/* SPDX-License-Identifier: Apache-2.0 */
#include "startup.h"

#include <hd/code.h>
#include <hd/image.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- reading what the person gave
 * ---------------------------------------------------------------- */

/* A file that holds only the space, for --image I --space S. */
static enum hd_code parse_space(const struct hd_startup *startup,
                                struct hd_experiment **ret_experiment, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    struct hd_value *space = NULL;
    struct hd_value *root = hd_value_new_object();
    enum hd_code code =
        hd_file_read(startup->space_file, HD_EXPERIMENT_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_yaml_parse(hd_buf_text(&text), text.size, startup->space_file,
                             &hd_value_limits_file, &space, err);
    if (code == HD_OK && hd_value_get(space, "space") != NULL) {
        code = hd_fail(err, HD_E_INVALID,
                       "%s is a whole experiment: give it as EXPERIMENT instead of --space",
                       startup->space_file);
        hd_value_free(space);
        space = NULL;
    }
    if (code == HD_OK && (root == NULL || hd_value_set(root, "space", space) != HD_OK))
        code = hd_fail(err, HD_E_NOMEM, "no memory for the space");
    if (code == HD_OK)
        code = hd_experiment_parse(root, startup->space_file, &startup->overrides, ret_experiment,
                                   err);
    hd_value_free(root);
    hd_buf_release(&text);
    return code;
}

static enum hd_code read_experiment(const struct hd_startup *startup,
                                    struct hd_experiment **ret_experiment, struct hd_err *err)
{
    *ret_experiment = NULL;
    if (startup->experiment_file != NULL)
        return hd_experiment_read(startup->experiment_file, &startup->overrides, ret_experiment,
                                  err);
    if (startup->space_file != NULL)
        return parse_space(startup, ret_experiment, err);
    return HD_OK;
}

/* ---- an existing run
 * ----------------------------------------------------------------------------- */

static enum hd_code refuse_difference(const struct hd_run_view *run,
                                      const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_buf diff;
    struct hd_experiment *now = NULL;
    hd_buf_init(&diff, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_diff(run->experiment, experiment, &diff, err);
    /* A file that people brought up to the image they have set is as good. */
    if (code == HD_OK && diff.size > 0 && !hd_streq(run->target_json, run->experiment_json)) {
        hd_buf_clear(&diff);
        code = hd_experiment_parse_text(run->target_json, strlen(run->target_json), "run", NULL,
                                        &now, err);
        if (code == HD_OK)
            code = hd_experiment_diff(now, experiment, &diff, err);
        hd_experiment_free(now);
    }
    if (code == HD_OK && diff.size > 0)
        code = hd_fail(err, HD_E_CONFLICT,
                       "run %s was started with another experiment; this is what differs:\n%s"
                       "give the old experiment to resume it, or another --run-id to start anew",
                       run->run_id, hd_buf_text(&diff));
    hd_buf_release(&diff);
    return code;
}

static enum hd_code take_up(struct hd_driver *driver, uint32_t run_number,
                            const struct hd_startup *startup,
                            const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(hd_driver_core(driver), run_number, &run);
    if (experiment != NULL) {
        enum hd_code code = refuse_difference(&run, experiment, err);
        if (code == HD_OK) /* a store that was moved may have left it behind */
            code = hd_code_keep(startup->store_path, &experiment->target, err);
        if (code != HD_OK)
            return code;
    }
    bool over = hd_core_is_over(hd_driver_core(driver), run_number);
    if (over || startup->resume) {
        bool may_extend = run.state == HD_RUN_FINISHED && startup->resume;
        if (run.state != HD_RUN_PAUSED && !may_extend)
            return HD_OK;
        struct hd_request request = {.kind = HD_REQUEST_COMMAND,
                                     .token = "",
                                     .worker = "",
                                     .run_id = run.run_id,
                                     .command = HD_COMMAND_RESUME_RUN,
                                     .reason = "resumed at start"};
        enum hd_code code = hd_driver_request(driver, &request, err);
        /* A finished run goes on when larger limits gave it more to do. */
        return code == HD_E_CONFLICT && over ? HD_OK : code;
    }
    return hd_fail(err, HD_E_EXISTS,
                   "run %s exists and is %s (%u jobs so far): add --resume to go on with it, or "
                   "--run-id OTHER to start another one",
                   run.run_id, hd_run_state_name(run.state), run.job_count);
}

/* ---- a new run
 * ------------------------------------------------------------------------------------ */

static void say_build(void *context, const char *line)
{
    (void)context;
    hd_log(HD_LOG_INFO, "build: %s", line);
}

/* The image that workers will ask for; hd run has built it already. */
static enum hd_code build_image(const struct hd_experiment *experiment, struct hd_err *err)
{
    if (experiment->target.build == NULL)
        return HD_OK;
    return hd_image_ensure(&experiment->target, say_build, NULL, err) == HD_OK
               ? HD_OK
               : hd_fail_in(err, "target.image.build");
}

static enum hd_code read_view(void *context, const char *view, struct hd_value *arguments,
                              struct hd_value **ret_answer, struct hd_err *err)
{
    return hd_view_read(context, view, arguments, ret_answer, err);
}

/* What earlier runs know, those of this store included. */
static enum hd_code warm_start(const struct hd_startup *startup,
                               const struct hd_experiment *experiment, struct hd_buf *known,
                               struct hd_err *err)
{
    struct hd_view *view = NULL;
    char report[HD_KNOWN_REPORT_MAX];
    if (startup->warm_start == NULL || startup->warm_start->count == 0)
        return HD_OK;
    enum hd_code code = hd_view_open(startup->store_path, &view, err);
    if (code == HD_OK)
        code = hd_warm_start(startup->warm_start->items, startup->warm_start->count, experiment,
                             read_view, view, known, report, err);
    if (code == HD_OK)
        hd_log(HD_LOG_INFO, "warm start: %s", report);
    hd_view_close(view);
    return code;
}

static enum hd_code create(struct hd_driver *driver, const char *run_id,
                           const struct hd_startup *startup, const struct hd_experiment *experiment,
                           struct hd_err *err)
{
    struct hd_buf json, known;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&known, HD_KNOWN_BYTES_MAX);
    enum hd_code code = build_image(experiment, err);
    if (code == HD_OK)
        code = hd_code_keep(startup->store_path, &experiment->target, err);
    if (code == HD_OK)
        code = hd_experiment_to_json(experiment, &json, err);
    if (code == HD_OK)
        code = warm_start(startup, experiment, &known, err);
    if (code == HD_OK) {
        struct hd_request request = {
            .kind = HD_REQUEST_SUBMIT,
            .token = "",
            .worker = "",
            .run_id = run_id,
            .experiment_json = hd_buf_text(&json),
            .known_json = hd_buf_text(&known),
            .seed = experiment->has_seed ? experiment->seed : hd_os_random_u64() >> 32,
            .run_uid = hd_os_random_u64(),
        };
        code = hd_driver_request(driver, &request, err);
    }
    hd_buf_release(&json);
    hd_buf_release(&known);
    return code;
}

enum hd_code hd_startup_run(struct hd_driver *driver, const struct hd_startup *startup,
                            char *ret_run_id, struct hd_err *err)
{
    const struct hd_core *core = hd_driver_core(driver);
    struct hd_experiment *experiment = NULL;
    enum hd_code code = read_experiment(startup, &experiment, err);
    if (code != HD_OK)
        return code;
    char run_id[HD_ID_MAX + 1] = "";
    if (startup->run_id != NULL)
        (void)hd_copy_text(run_id, sizeof(run_id), startup->run_id);
    else if (experiment != NULL)
        (void)hd_copy_text(run_id, sizeof(run_id), experiment->name);
    uint32_t run_number;
    if (run_id[0] == '\0') {
        if (!startup->resume || hd_core_run_count(core) == 0)
            code = hd_fail(err, HD_E_INVALID,
                           "give an EXPERIMENT file (or --image and --space), "
                           "or --resume with a state directory that holds runs");
    } else if (hd_core_find_run(core, run_id, &run_number)) {
        code = take_up(driver, run_number, startup, experiment, err);
    } else if (experiment == NULL) {
        code = hd_fail(err, HD_E_NOTFOUND,
                       "there is no run %s here to resume: give its EXPERIMENT file to start it",
                       run_id);
    } else {
        code = create(driver, run_id, startup, experiment, err);
    }
    hd_experiment_free(experiment);
    if (code == HD_OK)
        (void)hd_copy_text(ret_run_id, HD_ID_MAX + 1, run_id);
    return code;
}

enum hd_code hd_startup_master_id(const char *store_path, char **ret_id, struct hd_err *err)
{
    char path[4096];
    if (!hd_format(path, sizeof(path), "%s.master-id", store_path))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", store_path);
    struct hd_buf text;
    hd_buf_init(&text, HD_WORKER_ID_MAX);
    if (hd_path_exists(path)) {
        enum hd_code code = hd_file_read(path, HD_WORKER_ID_MAX - 1, true, &text, err);
        if (code == HD_OK && hd_check_id("master id", hd_buf_text(&text), err) == HD_OK) {
            *ret_id = hd_strdup(hd_buf_text(&text));
            hd_buf_release(&text);
            return *ret_id != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory");
        }
        hd_buf_clear(&text);
    }
    enum hd_code code = hd_buf_printf(&text, err, "master-%016" PRIx64, hd_os_random_u64());
    if (code == HD_OK)
        code = hd_file_write_atomic(path, hd_buf_text(&text), text.size, 0600, err);
    if (code == HD_OK && (*ret_id = hd_strdup(hd_buf_text(&text))) == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory");
    hd_buf_release(&text);
    return code;
}
