/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c: what a target is given: params.json, job.json and the rest of its files. */
#include "plan_internal.h"

#include <hd/os.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_BYTES_MAX (8u * 1024u * 1024u)

const char *plan_data_dir(const struct making *making)
{
    return making->input->mounts != NULL ? making->input->mounts->data_dir : NULL;
}

enum hd_code plan_nomem(struct making *making)
{
    return hd_fail(making->err, HD_E_NOMEM, "no memory to prepare job %u",
                   making->input->lease->attempt.job);
}

/* ---- files ---------------------------------------------------------------------------------- */

static enum hd_code write_file(struct making *making, const char *name, const char *text)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", making->input->workspace->run_dir, name))
        return hd_fail(making->err, HD_E_LIMIT, "the path of %s is too long", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    size_t size = strlen(text);
    bool done = fd >= 0 && fchmod(fd, hd_open_file_mode()) == 0 &&
                (size == 0 || write(fd, text, size) == (ssize_t)size);
    int failed = errno;
    if (fd >= 0)
        close(fd);
    return done ? HD_OK
                : hd_fail(making->err, failed == ENOSPC ? HD_E_FULL : HD_E_IO,
                          "cannot write %s: %s", path, strerror(failed));
}

static enum hd_code make_folder(struct making *making, const char *name)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", making->input->workspace->run_dir, name))
        return hd_fail(making->err, HD_E_LIMIT, "the path of %s is too long", name);
    return hd_make_open_dir(path, making->err);
}

static enum hd_code write_value(struct making *making, const char *name,
                                const struct hd_value *value)
{
    struct hd_buf buf;
    hd_buf_init(&buf, PLAN_WORD_MAX);
    enum hd_code code = hd_json_write(value, HD_JSON_PRETTY, &buf, making->err);
    if (code == HD_OK)
        code = hd_buf_puts(&buf, "\n", making->err);
    if (code == HD_OK)
        code = write_file(making, name, hd_buf_text(&buf));
    hd_buf_release(&buf);
    return code;
}

/* ---- job.json ------------------------------------------------------------------------------- */

static void set(struct hd_value *object, const char *key, struct hd_value *item, enum hd_code *code)
{
    enum hd_code set_code = hd_value_set(object, key, item);
    if (*code == HD_OK)
        *code = set_code;
}

static struct hd_value *number_or_null(double number)
{
    return isnan(number) ? hd_value_new_null() : hd_value_new_double(number);
}

static struct hd_value *config_id_value(struct hd_config_id id, enum hd_code *code)
{
    struct hd_value *array = hd_value_new_array();
    const uint32_t parts[] = {id.iteration, id.budget_index, id.running_index};
    for (size_t i = 0; array != NULL && i < HD_COUNT(parts); i++) {
        enum hd_code append_code = hd_value_append(array, hd_value_new_int(parts[i]));
        if (*code == HD_OK)
            *code = append_code;
    }
    return array;
}

static struct hd_value *pair_value(const char *key_a, struct hd_value *a, const char *key_b,
                                   struct hd_value *b, enum hd_code *code)
{
    struct hd_value *object = hd_value_new_object();
    if (object == NULL) {
        hd_value_free(a);
        hd_value_free(b);
        return NULL;
    }
    set(object, key_a, a, code);
    set(object, key_b, b, code);
    return object;
}

/* Whatever comes first: the end of its time, or of its worker's. */
static struct hd_value *deadline_value(const struct hd_plan_input *input, int64_t timeout_ms)
{
    int64_t at_ms = timeout_ms > 0 ? input->now_wall_ms + timeout_ms : HD_NEVER_MS;
    if (input->stop_wall_ms > 0 && input->stop_wall_ms < at_ms)
        at_ms = input->stop_wall_ms;
    return at_ms == HD_NEVER_MS ? hd_value_new_null() : hd_value_new_int(at_ms / 1000);
}

/* What is asked for: [{"name":"error","direction":"minimize"}, ..] */
static struct hd_value *objectives_value(const struct hd_experiment *experiment, enum hd_code *code)
{
    struct hd_value *list = hd_value_new_array();
    for (size_t i = 0; i < experiment->objective_count && *code == HD_OK; i++) {
        const struct hd_objective *objective = hd_experiment_objective(experiment, i);
        struct hd_value *pair =
            pair_value("name", hd_value_new_string(objective->name), "direction",
                       hd_value_new_string(objective->maximize ? "maximize" : "minimize"), code);
        *code = list == NULL || hd_value_append(list, pair) != HD_OK ? HD_E_NOMEM : *code;
    }
    return list;
}

/* [{"name":"memory","min":null,"max":512}, ..] */
static struct hd_value *constraints_value(const struct hd_experiment *experiment,
                                          enum hd_code *code)
{
    struct hd_value *list = hd_value_new_array();
    for (size_t i = 0; i < experiment->constraint_count && *code == HD_OK; i++) {
        const struct hd_constraint *constraint = &experiment->constraints[i];
        struct hd_value *bounds =
            pair_value("name", hd_value_new_string(constraint->name), "min",
                       number_or_null(isfinite(constraint->min) ? constraint->min : NAN), code);
        if (bounds != NULL)
            set(bounds, "max", number_or_null(isfinite(constraint->max) ? constraint->max : NAN),
                code);
        *code = list == NULL || hd_value_append(list, bounds) != HD_OK ? HD_E_NOMEM : *code;
    }
    return list;
}

/* A list of UUIDs. */
static struct hd_value *gpus_value(const char *gpus, enum hd_code *code)
{
    struct hd_value *list = hd_value_new_array();
    while (list != NULL && gpus != NULL && *gpus != '\0') {
        char uuid[HD_PATH_MAX];
        size_t size = strcspn(gpus, ",");
        (void)hd_format(uuid, sizeof(uuid), "%.*s", (int)size, gpus);
        if (hd_value_append(list, hd_value_new_string(uuid)) != HD_OK)
            *code = HD_E_NOMEM;
        gpus += size + (gpus[size] == ',' ? 1 : 0);
    }
    return list;
}

/* The job and its params as one object, without where its directory is: the engine that hands it
 * over knows that. */
static enum hd_code make_warm_line(struct making *making, const struct hd_value *job)
{
    struct hd_buf line;
    hd_buf_init(&line, 2 * PLAN_WORD_MAX);
    enum hd_code code = hd_json_write(job, HD_JSON_COMPACT, &line, making->err);
    if (code == HD_OK) {
        line.data[--line.size] = '\0'; /* the closing brace */
        code = hd_buf_puts(&line, ",\"params\":", making->err);
    }
    if (code == HD_OK)
        code = hd_json_write(making->params, HD_JSON_COMPACT, &line, making->err);
    if (code == HD_OK)
        code = hd_buf_puts(&line, "}", making->err);
    if (code == HD_OK)
        making->warm_line = hd_arena_strdup(making->arena, hd_buf_text(&line));
    hd_buf_release(&line);
    return code == HD_OK && making->warm_line == NULL ? plan_nomem(making) : code;
}

static enum hd_code write_job(struct making *making)
{
    const struct hd_plan_input *input = making->input;
    const struct hd_lease *lease = input->lease;
    const struct hd_experiment *experiment = input->experiment;
    int64_t timeout_ms = hd_experiment_timeout_ms(experiment, lease->budget);
    struct hd_value *job = hd_value_new_object();
    if (job == NULL)
        return plan_nomem(making);
    enum hd_code code = HD_OK;
    set(job, "version", hd_value_new_int(1), &code);
    set(job, "run_id", hd_value_new_string(lease->run_id), &code);
    set(job, "config_id", config_id_value(lease->config_id, &code), &code);
    set(job, "config_info",
        pair_value("config", hd_value_new_int(lease->config), "rung", hd_value_new_int(lease->rung),
                   &code),
        &code);
    set(job, "job", hd_value_new_int(lease->attempt.job), &code);
    set(job, "attempt", hd_value_new_int(lease->attempt.attempt), &code);
    set(job, "budget", hd_value_new_double(lease->budget), &code);
    set(job, "budget_previous", number_or_null(input->workspace->budget_previous), &code);
    set(job, "min_budget", hd_value_new_double(experiment->iter_gen.budget_min), &code);
    set(job, "max_budget", hd_value_new_double(experiment->iter_gen.budget_max), &code);
    set(job, "budget_unit",
        hd_value_new_string(experiment->budget_unit != NULL ? experiment->budget_unit : ""), &code);
    set(job, "seed", hd_value_new_int(lease->seed), &code);
    if (experiment->noise.repeats > 1)
        set(job, "repeat", hd_value_new_int(lease->repeat), &code);
    set(job, "objective",
        pair_value("name",
                   hd_value_new_string(
                       experiment->objective.name != NULL ? experiment->objective.name : "loss"),
                   "direction",
                   hd_value_new_string(experiment->objective.maximize ? "maximize" : "minimize"),
                   &code),
        &code);
    if (hd_experiment_measure_count(experiment) > 0) {
        set(job, "objectives", objectives_value(experiment, &code), &code);
        set(job, "constraints", constraints_value(experiment, &code), &code);
    }
    set(job, "deadline", deadline_value(input, timeout_ms), &code);
    set(job, "gpus", gpus_value(input->gpus, &code), &code);
    set(job, "cpus", number_or_null(experiment->target.cpus > 0 ? experiment->target.cpus : NAN),
        &code);
    set(job, "memory",
        experiment->target.memory_bytes > 0
            ? hd_value_new_int((int64_t)experiment->target.memory_bytes)
            : hd_value_new_null(),
        &code);
    set(job, "resume", hd_value_new_bool(input->workspace->start != HD_START_FRESH), &code);
    if (code != HD_OK)
        (void)!plan_nomem(making);
    else if (experiment->target.warm.on || experiment->target.warm.by_label)
        code = make_warm_line(making, job);
    if (code == HD_OK) {
        set(job, "work_dir", hd_value_new_string(making->work_dir_seen), &code);
        code = code == HD_OK ? write_value(making, "job.json", job) : plan_nomem(making);
    }
    hd_value_free(job);
    return code;
}

static enum hd_code link_folder(struct making *making, const char *name, const char *to)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", making->input->workspace->run_dir, name))
        return hd_fail(making->err, HD_E_LIMIT, "the path of %s is too long", name);
    return symlink(to, path) == 0 ? HD_OK
                                  : hd_fail(making->err, HD_E_IO, "cannot make the link %s: %s",
                                            path, strerror(errno));
}

/* data/NAME for each data set. */
static enum hd_code link_data_sets(struct making *making)
{
    const struct hd_mounts *mounts = making->input->mounts;
    enum hd_code code = make_folder(making, "data");
    for (size_t i = 0; i < mounts->count && code == HD_OK; i++) {
        char name[HD_ID_MAX + 8];
        if (mounts->items[i].data == NULL)
            continue;
        (void)hd_format(name, sizeof(name), "data/%s", mounts->items[i].data);
        code = link_folder(making, name, mounts->items[i].source);
    }
    return code;
}

/* work and data below run_dir. In a container they are mount points, which must be ours: the
 * Docker daemon would make them as root; its engine makes those of data sets. */
static enum hd_code make_inner(struct making *making)
{
    const struct hd_plan_input *input = making->input;
    const char *data = plan_data_dir(making);
    if (input->container) {
        enum hd_code code = make_folder(making, "work");
        if (code == HD_OK && input->code_dir != NULL)
            code = make_folder(making, "code");
        return code == HD_OK && data != NULL ? make_folder(making, "data") : code;
    }
    enum hd_code code = link_folder(making, "work", input->workspace->work_dir);
    if (code == HD_OK && input->code_dir != NULL)
        code = link_folder(making, "code", input->code_dir);
    if (code != HD_OK || data != NULL)
        return code == HD_OK ? link_folder(making, "data", data) : code;
    return input->mounts != NULL && input->mounts->count > 0 ? link_data_sets(making) : HD_OK;
}

static enum hd_code write_files(struct making *making)
{
    enum hd_code code = write_value(making, "params.json", making->params);
    if (code == HD_OK)
        code = write_job(making);
    if (code == HD_OK)
        code = make_folder(making, "out");
    if (code != HD_OK || making->input->experiment->target.warm.on)
        return code; /* it sees none of the others */
    code = write_file(making, "loss.json", "");
    if (code == HD_OK)
        code = make_folder(making, "control");
    return code == HD_OK ? make_inner(making) : code;
}

/* ---- all ------------------------------------------------------------------------------------ */

static enum hd_code read_params(struct making *making)
{
    const struct hd_plan_input *input = making->input;
    const struct hd_space *space = input->experiment->space;
    const char *json = input->lease->params_json;
    enum hd_code code = hd_json_parse(json, strlen(json), "params", &hd_value_limits_file,
                                      &making->params, making->err);
    if (code == HD_OK && making->params->kind != HD_VALUE_OBJECT)
        code = hd_fail(making->err, HD_E_INVALID, "params must be an object");
    making->values = hd_arena_alloc(making->arena, (space->param_count + 1) * sizeof(double));
    if (code == HD_OK && making->values == NULL)
        code = plan_nomem(making);
    return code == HD_OK ? hd_config_from_value(space, making->params, making->values, making->err)
                         : code;
}

static bool add_mount(struct making *making, struct hd_mount *mounts, size_t *count,
                      const struct hd_found_mount *found, const char *directory)
{
    char target[HD_VOLUME_PATH_MAX];
    bool fits = found->at != NULL
                    ? hd_copy_text(target, sizeof(target), found->at)
                    : hd_format(target, sizeof(target), "%s/%s", directory, found->data);
    struct hd_mount *mount = &mounts[(*count)++];
    *mount = (struct hd_mount){.source = hd_arena_strdup(making->arena, found->source),
                               .target = hd_arena_strdup(making->arena, target),
                               .read_only = found->read_only};
    return fits && mount->source != NULL && mount->target != NULL;
}

/* A data set of `data` is in both places that the data directory is in. */
static enum hd_code fill_mounts(struct making *making, struct hd_engine_job *job)
{
    const struct hd_mounts *found = making->input->mounts;
    size_t count = 0;
    if (found == NULL || found->count == 0 || !making->input->container)
        return HD_OK;
    struct hd_mount *mounts = hd_arena_alloc(making->arena, 2 * found->count * sizeof(*mounts));
    bool good = mounts != NULL;
    for (size_t i = 0; good && i < found->count; i++) {
        good = add_mount(making, mounts, &count, &found->items[i], "/data");
        if (good && found->items[i].at == NULL)
            good = add_mount(making, mounts, &count, &found->items[i], HD_RUN_DIR_INSIDE "/data");
    }
    job->mounts = mounts;
    job->mount_count = count;
    return good ? HD_OK : plan_nomem(making);
}

/* What stays after the job: how, and its place. */
static enum hd_code fill_warm(struct making *making, const char *cwd, struct hd_engine_job *job)
{
    const struct hd_warm_spec *spec = &making->input->experiment->target.warm;
    if (!spec->on && !spec->by_label)
        return HD_OK;
    struct hd_warm_job *warm = hd_arena_alloc(making->arena, sizeof(*warm));
    if (warm == NULL)
        return plan_nomem(making);
    *warm = (struct hd_warm_job){.line = making->warm_line,
                                 .jobs = spec->jobs,
                                 .idle_ms = spec->idle_ms,
                                 .heartbeat_ms = spec->heartbeat_ms,
                                 .by_label = spec->by_label};
    job->warm = making->warm = warm;
    if (spec->on && cwd == making->input->workspace->work_dir)
        job->cwd = NULL; /* it is one job's: the engine has a place for the target itself */
    return HD_OK;
}

/* NULL: there is none, or *good is false. */
static char *keep_text(struct making *making, const char *text, bool *good)
{
    char *copy = text != NULL ? hd_arena_strdup(making->arena, text) : NULL;
    *good = *good && (text == NULL || copy != NULL);
    return copy;
}

static enum hd_code fill_job(struct making *making, struct hd_engine_job *job)
{
    const struct hd_plan_input *input = making->input;
    const struct hd_target *target = &input->experiment->target;
    const struct hd_workspace *workspace = input->workspace;
    char log_path[HD_PATH_MAX];
    if (!hd_format(log_path, sizeof(log_path), "%s/log.txt", workspace->run_dir))
        return hd_fail(making->err, HD_E_LIMIT, "the path of the log is too long");
    bool has_base = target->base_dir != NULL && hd_path_exists(target->base_dir);
    const char *cwd = has_base ? target->base_dir : workspace->work_dir;
    if (input->code_dir != NULL)
        cwd = input->code_dir;
    bool good = true;
    *job = (struct hd_engine_job){
        .attempt = input->lease->attempt,
        .worker = keep_text(making, input->worker, &good),
        .run_id = keep_text(making, input->lease->run_id, &good),
        .config_id = keep_text(making, making->config_id, &good),
        .run_dir = keep_text(making, workspace->run_dir, &good),
        .work_dir = keep_text(making, workspace->work_dir, &good),
        .log_path = keep_text(making, log_path, &good),
        .cwd = keep_text(making, cwd, &good),
        .data_dir = keep_text(making, plan_data_dir(making), &good),
        .code_dir = keep_text(making, input->code_dir, &good),
        .gpus = keep_text(making, input->gpus, &good),
        .image = keep_text(making, target->image, &good),
        .image_id = input->lease->image_id,
        .pull = target->pull,
        .strict = target->strict,
        .timeout_ms = hd_experiment_timeout_ms(input->experiment, input->lease->budget),
        .stop_grace_ms = target->stop_grace_ms,
        .cpus = target->cpus,
        .memory_bytes = target->memory_bytes,
        .pids = target->pids,
        .container = target->image != NULL ? &target->container : NULL,
        .ahead = target->ahead,
    };
    if (!good)
        return plan_nomem(making);
    enum hd_code code = fill_warm(making, cwd, job);
    return code == HD_OK ? fill_mounts(making, job) : code;
}

enum hd_code hd_plan_make(const struct hd_plan_input *input, struct hd_plan *ret_plan,
                          struct hd_err *err)
{
    const struct hd_lease *lease = input->lease;
    struct making making = {
        .input = input,
        .run_dir_seen = input->container ? HD_RUN_DIR_INSIDE : input->workspace->run_dir,
        .work_dir_seen = input->container ? HD_WORK_DIR_INSIDE : input->workspace->work_dir,
        .err = err,
    };
    struct hd_engine_job job;
    hd_format(making.config_id, sizeof(making.config_id), "[%u,%u,%u]", lease->config_id.iteration,
              lease->config_id.budget_index, lease->config_id.running_index);
    hd_format(making.uuid, sizeof(making.uuid), "%016llx",
              (unsigned long long)lease->attempt.run_uid);
    if (input->container && input->experiment->target.warm.on) {
        /* As worker/engine/warm.h lays it out. */
        (void)hd_format(making.warm_work_dir, sizeof(making.warm_work_dir),
                        HD_RUN_DIR_INSIDE "/%u-%u/work", lease->attempt.job,
                        lease->attempt.attempt);
        making.work_dir_seen = making.warm_work_dir;
    }
    enum hd_code code = hd_arena_new(PLAN_BYTES_MAX, &making.arena, err);
    if (code == HD_OK)
        code = read_params(&making);
    if (code == HD_OK)
        code = write_files(&making);
    if (code == HD_OK)
        code = fill_job(&making, &job);
    if (code == HD_OK)
        code = plan_make_argv(&making, &job);
    if (code == HD_OK)
        code = plan_make_envs(&making, &job);
    hd_value_free(making.params);
    if (code != HD_OK) {
        hd_arena_free(making.arena);
        return code;
    }
    *ret_plan = (struct hd_plan){.job = job, .arena = making.arena};
    return HD_OK;
}

void hd_plan_release(struct hd_plan *plan)
{
    if (plan == NULL)
        return;
    hd_arena_free(plan->arena);
    plan->arena = NULL;
}
