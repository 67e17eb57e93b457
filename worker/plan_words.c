/* SPDX-License-Identifier: Apache-2.0 */
/* plan_words.c: what a target is given: its command and its environment. */
#include "plan_internal.h"

#include <hd/expression.h>
#include <hd/os.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PLAN_OWN_ENV_MAX (20 + HD_MOUNTS_MAX) /* HYPERDOCK_... */

static enum hd_code expand(struct making *making, const char *prefix, const char *text,
                           char **ret_word)
{
    const struct hd_lease *lease = making->input->lease;
    const struct hd_template_values values = {
        .space = making->input->experiment->space,
        .values = making->values,
        .budget = lease->budget,
        .seed = lease->seed,
        .run_id = lease->run_id,
        .config_id = lease->config_id,
        .job = lease->attempt.job,
        .work_dir = making->work_dir_seen,
        .uuid = making->uuid,
    };
    struct hd_buf buf;
    hd_buf_init(&buf, PLAN_WORD_MAX);
    enum hd_code code = hd_buf_puts(&buf, prefix, making->err);
    if (code == HD_OK)
        code = hd_template_expand(text, &values, &buf, making->err);
    char *word = code == HD_OK ? hd_arena_strdup(making->arena, hd_buf_text(&buf)) : NULL;
    hd_buf_release(&buf);
    if (code == HD_OK && word == NULL)
        return plan_nomem(making);
    if (code == HD_OK)
        *ret_word = word;
    return code;
}

/* --lr=0.1 for each param that is there; an inactive one is not. */
static enum hd_code add_cli_args(struct making *making, char **argv)
{
    const struct hd_value *params = making->params;
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < params->as.object.count && code == HD_OK; i++) {
        const struct hd_value *value = params->as.object.items[i];
        struct hd_buf buf;
        hd_buf_init(&buf, PLAN_WORD_MAX);
        code = hd_buf_printf(&buf, making->err, "--%s=", params->as.object.keys[i]);
        if (code == HD_OK)
            code = value->kind == HD_VALUE_STRING
                       ? hd_buf_puts(&buf, value->as.string, making->err)
                       : hd_json_write(value, HD_JSON_COMPACT, &buf, making->err);
        if (code == HD_OK && (argv[i] = hd_arena_strdup(making->arena, hd_buf_text(&buf))) == NULL)
            code = plan_nomem(making);
        hd_buf_release(&buf);
    }
    return code;
}

/* It is installed with the worker, and not on PATH. */
static enum hd_code find_expression(struct making *making, char **ret_word)
{
    char *path;
    enum hd_code code = hd_sibling_program(HD_EXPRESSION_PROGRAM, &path, making->err);
    if (code != HD_OK)
        return code;
    *ret_word = hd_arena_strdup(making->arena, path);
    hd_free(path);
    return *ret_word != NULL ? HD_OK : plan_nomem(making);
}

enum hd_code plan_make_argv(struct making *making, struct hd_engine_job *job)
{
    const struct hd_target *target = &making->input->experiment->target;
    size_t words = target->command_count + making->params->as.object.count + 1;
    char **argv = hd_arena_alloc(making->arena, words * sizeof(*argv));
    if (argv == NULL)
        return plan_nomem(making);
    memset(argv, 0, words * sizeof(*argv));
    for (size_t i = 0; i < target->command_count; i++) {
        enum hd_code code = expand(making, "", target->command[i], &argv[i]);
        if (code != HD_OK)
            return code;
    }
    job->argv = argv;
    if (target->image == NULL && hd_streq(argv[0], HD_EXPRESSION_PROGRAM)) {
        enum hd_code code = find_expression(making, &argv[0]);
        if (code != HD_OK)
            return code;
    }
    return target->args_cli ? add_cli_args(making, argv + target->command_count) : HD_OK;
}

/* ---- environment ------------------------------------------------------------------------------
 */

struct env {
    struct making *making;
    bool of_run; /* for a target that is started before its job is known */
    char **items;
    size_t count, max;
    enum hd_code code; /* of the first failure; later calls do nothing */
};

/* A later value of a name replaces the earlier one. */
static void put_env(struct env *env, char *item)
{
    if (env->code != HD_OK)
        return;
    if (item == NULL) {
        env->code = plan_nomem(env->making);
        return;
    }
    size_t name_size = strcspn(item, "=") + 1;
    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->items[i], item, name_size) == 0) {
            env->items[i] = item;
            return;
        }
    hd_assert(env->count < env->max);
    env->items[env->count++] = item;
}

static void put_env_format(struct env *env, const char *fmt, ...) HD_PRINTF(2, 3);
static void put_env_format(struct env *env, const char *fmt, ...)
{
    char text[2 * HD_PATH_MAX]; /* a path, or the UUIDs of all GPUs */
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    put_env(env, size >= 0 && (size_t)size < sizeof(text)
                     ? hd_arena_strdup(env->making->arena, text)
                     : NULL);
}

/* HYPERDOCK_DATA_NAME, and the directory with all of them where there is one: a warm target that is
 * no container has none. */
static void put_data_set_env(struct env *env)
{
    const struct making *making = env->making;
    const struct hd_mounts *mounts = making->input->mounts;
    bool container = making->input->container, listed = false;
    for (size_t i = 0; mounts != NULL && i < mounts->count; i++) {
        const struct hd_found_mount *mount = &mounts->items[i];
        char name[HD_ID_MAX + 1];
        size_t size = 0;
        if (mount->data == NULL)
            continue;
        for (const char *c = mount->data; *c != '\0' && size + 1 < sizeof(name); c++)
            name[size++] = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
        name[size] = '\0';
        listed = listed || mount->at == NULL;
        if (!container)
            put_env_format(env, "HYPERDOCK_DATA_%s=%s", name, mount->source);
        else if (mount->at != NULL)
            put_env_format(env, "HYPERDOCK_DATA_%s=%s", name, mount->at);
        else
            put_env_format(env, "HYPERDOCK_DATA_%s=/data/%s", name, mount->data);
    }
    if (listed && container)
        put_env_format(env, "HYPERDOCK_DATA_DIR=/data");
    else if (listed && !env->of_run)
        put_env_format(env, "HYPERDOCK_DATA_DIR=%s/data", making->run_dir_seen);
}

/* What all jobs of a run have in common. */
static void put_run_env(struct env *env)
{
    const struct making *making = env->making;
    if (plan_data_dir(making) != NULL)
        put_env_format(env, "HYPERDOCK_DATA_DIR=%s",
                       making->input->container ? "/data" : plan_data_dir(making));
    put_data_set_env(env);
    if (making->input->code_dir != NULL)
        put_env_format(env, "HYPERDOCK_CODE_DIR=%s",
                       making->input->container ? HD_CODE_DIR_INSIDE : making->input->code_dir);
    put_env_format(env, "HYPERDOCK_RUN_ID=%s", making->input->lease->run_id);
    /* Many images say `all`, which an engine with NVIDIA's runtime obeys although nobody leased a
     * GPU. Who names the runtime or the variable in the experiment wants it so. */
    if (making->input->gpus == NULL && making->input->container &&
        making->input->experiment->target.container.runtime == NULL)
        put_env_format(env, "NVIDIA_VISIBLE_DEVICES=void");
}

/* Where its files are, whichever job it is. */
static void put_place_env(struct env *env)
{
    const struct making *making = env->making;
    put_env_format(env, "HYPERDOCK_DIR=%s", making->run_dir_seen);
    put_env_format(env, "HYPERDOCK_WORK_DIR=%s", making->work_dir_seen);
    put_env_format(env, "HYPERDOCK_PARAMS_FILE=%s/params.json", making->run_dir_seen);
}

static void put_job_env(struct env *env)
{
    const struct making *making = env->making;
    const struct hd_lease *lease = making->input->lease;
    char number[HD_DOUBLE_TEXT_SIZE];
    put_env_format(env, "HYPERDOCK_CONFIG_ID=%s", making->config_id);
    put_env_format(env, "HYPERDOCK_JOB=%u", lease->attempt.job);
    put_env_format(env, "HYPERDOCK_ATTEMPT=%u", lease->attempt.attempt);
    hd_format_double(number, sizeof(number), lease->budget);
    put_env_format(env, "HYPERDOCK_BUDGET=%s", number);
    double previous = making->input->workspace->budget_previous;
    if (!isnan(previous)) {
        hd_format_double(number, sizeof(number), previous);
        put_env_format(env, "HYPERDOCK_BUDGET_PREVIOUS=%s", number);
    }
    put_env_format(env, "HYPERDOCK_SEED=%u", lease->seed);
    if (making->input->experiment->noise.repeats > 1)
        put_env_format(env, "HYPERDOCK_REPEAT=%u", lease->repeat);
}

/* HP_LEARNING_RATE=0.1: letters upper case, what no shell takes in a name becomes '_'. */
static void put_param_env(struct env *env, const char *name, const struct hd_value *value)
{
    struct hd_buf buf;
    struct hd_err *err = env->making->err;
    hd_buf_init(&buf, PLAN_WORD_MAX);
    enum hd_code code = hd_buf_puts(&buf, "HP_", err);
    for (const char *c = name; *c != '\0' && code == HD_OK; c++) {
        char upper = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
        code = hd_buf_append(&buf, &upper, 1, err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(&buf, "=", err);
    if (code == HD_OK)
        code = value->kind == HD_VALUE_STRING ? hd_buf_puts(&buf, value->as.string, err)
                                              : hd_json_write(value, HD_JSON_COMPACT, &buf, err);
    if (code == HD_OK)
        put_env(env, hd_arena_strdup(env->making->arena, hd_buf_text(&buf)));
    else if (env->code == HD_OK)
        env->code = code;
    hd_buf_release(&buf);
}

/* Those it was given, or `void`: what it has not been given it does not see, whatever the image or
 * the experiment says. In a container CUDA counts those that are there. */
static void put_gpu_env(struct env *env)
{
    const struct hd_plan_input *input = env->making->input;
    if (input->gpus == NULL)
        return;
    const char *seen = input->gpus[0] != '\0' ? input->gpus : "void";
    put_env_format(env, "NVIDIA_VISIBLE_DEVICES=%s", seen);
    if (!input->container || input->gpus[0] == '\0')
        put_env_format(env, "CUDA_VISIBLE_DEVICES=%s", seen);
}

/* Ours, then the experiment's, then the worker's: who runs the machine has the last word. */
static enum hd_code make_env(struct making *making, bool of_run, char *const **ret_env)
{
    const struct hd_plan_input *input = making->input;
    const struct hd_target *target = &input->experiment->target;
    struct env env = {.making = making, .of_run = of_run};
    env.max = PLAN_OWN_ENV_MAX + making->params->as.object.count + target->env_count +
              input->extra_env_count;
    env.items = hd_arena_alloc(making->arena, (env.max + 1) * sizeof(*env.items));
    if (env.items == NULL)
        return plan_nomem(making);
    put_run_env(&env);
    if (!of_run)
        put_place_env(&env);
    if (!of_run && !target->ahead)
        put_job_env(&env);
    for (size_t i = 0; !of_run && !target->ahead && i < making->params->as.object.count; i++)
        put_param_env(&env, making->params->as.object.keys[i], making->params->as.object.items[i]);
    for (size_t i = 0; i < target->env_count && env.code == HD_OK; i++) {
        char *item = NULL;
        char key[HD_PATH_MAX];
        env.code = hd_format(key, sizeof(key), "%s=", target->env[i].key)
                       ? expand(making, key, target->env[i].value, &item)
                       : hd_fail(making->err, HD_E_LIMIT, "the name of a variable is too long");
        put_env(&env, item);
    }
    put_gpu_env(&env);
    for (size_t i = 0; i < input->extra_env_count; i++)
        put_env(&env, hd_arena_strdup(making->arena, input->extra_env[i]));
    env.items[env.count] = NULL;
    *ret_env = env.items;
    return env.code;
}

/* A target that stays is started with what all jobs have in common; where its image decides, both
 * are there. */
enum hd_code plan_make_envs(struct making *making, struct hd_engine_job *job)
{
    const struct hd_warm_spec *warm = &making->input->experiment->target.warm;
    enum hd_code code = make_env(making, warm->on, &job->env);
    return code == HD_OK && warm->by_label ? make_env(making, true, &making->warm->env) : code;
}
