/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: the section `target`: what runs, with what, for how long. */
#include "read.h"

#include <hd/expression.h>

#include <string.h>

#define PATH "target"
#define CPUS_MAX 100000.0
#define COUNT_MAX 1000000
#define STOP_GRACE_MS_MAX 3600000

const char *const hd_pull_names[HD_PULL_COUNT] = {"missing", "always", "never"};

void hd_target_release(struct hd_target *target)
{
    hd_free(target->image);
    hd_free(target->build);
    hd_free(target->dockerfile);
    hd_words_free(target->command);
    for (size_t i = 0; i < target->env_count; i++) {
        hd_free(target->env[i].key);
        hd_free(target->env[i].value);
    }
    hd_free(target->env);
    hd_volumes_release(target);
    hd_code_release(target);
    hd_free(target->base_dir);
    hd_container_release(&target->container);
    hd_from_output_release(target);
    *target = (struct hd_target){0};
}

/* ---- image and command ---- */

/* A path below the directory, so that it is part of what is sent. */
static bool is_below(const char *path)
{
    if (path[0] == '\0' || path[0] == '/' || path[0] == '-')
        return false;
    for (const char *at = path; *at != '\0'; at += strcspn(at, "/"), at += *at == '/')
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return false;
    return true;
}

/* {build: DIR, dockerfile: NAME}; name is what a description adds once it is known. */
static enum hd_code parse_build(const struct hd_reader *reader, const struct hd_value *object,
                                struct hd_target *target)
{
    static const char *const names[] = {"build", "dockerfile", "name"};
    static const char path[] = PATH ".image";
    const struct hd_value *image = hd_read_member(object, "image");
    enum hd_code code = hd_read_keys(reader, image, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_text(reader, image, path, "build", &target->build);
    if (code == HD_OK)
        code = hd_read_text(reader, image, path, "dockerfile", &target->dockerfile);
    if (code == HD_OK)
        code = hd_read_text(reader, image, path, "name", &target->image);
    if (code != HD_OK)
        return code;
    if (target->build == NULL || target->build[0] == '\0')
        return hd_read_fail(reader, HD_E_INVALID, image, path, "build",
                            "missing; give the directory of a Dockerfile, or write the name of an "
                            "image as image: NAME");
    if (target->dockerfile == NULL)
        target->dockerfile = hd_strdup("Dockerfile");
    if (target->image == NULL)
        target->image = hd_strdup(HD_IMAGE_UNBUILT);
    if (target->dockerfile == NULL || target->image == NULL)
        return hd_read_nomem(reader);
    if (!is_below(target->dockerfile))
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(image, "dockerfile"), path,
                            "dockerfile", "must be a path inside the directory that is built");
    if (strncmp(target->image, HD_IMAGE_UNBUILT, sizeof(HD_IMAGE_UNBUILT) - 1) != 0 ||
        strpbrk(target->image, " \t\r\n/") != NULL)
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(image, "name"), path, "name",
                            "is made from the content of the directory and cannot be chosen");
    return HD_OK;
}

static enum hd_code parse_image(const struct hd_reader *reader, const struct hd_value *object,
                                struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "image");
    if (value != NULL && value->kind == HD_VALUE_OBJECT)
        return parse_build(reader, object, target);
    return hd_read_image(reader, object, PATH, &target->image);
}

static enum hd_code parse_pull(const struct hd_reader *reader, const struct hd_value *object,
                               struct hd_target *target)
{
    size_t pull = HD_PULL_MISSING;
    enum hd_code code =
        hd_read_choice(reader, object, PATH, "pull", hd_pull_names, HD_PULL_COUNT, &pull);
    if (code == HD_OK)
        code = hd_read_bool(reader, object, PATH, "strict", &target->strict);
    target->pull = (enum hd_pull)pull;
    if (code == HD_OK && target->image == NULL && (pull != HD_PULL_MISSING || target->strict))
        code = hd_read_fail(reader, HD_E_INVALID, object, PATH, target->strict ? "strict" : "pull",
                            "needs an image: a command is not pulled");
    return code;
}

static enum hd_code word_of(const struct hd_reader *reader, const struct hd_value *item,
                            const char *key, char **ret_word)
{
    struct hd_buf text;
    enum hd_code code = HD_OK;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    if (!hd_scalar_text(item, &text, &code, NULL))
        code = hd_read_wrong_type(reader, item, PATH, key, "a text or a number");
    else if (code != HD_OK)
        code = hd_read_nomem(reader);
    char *word = code == HD_OK ? hd_strdup(hd_buf_text(&text)) : NULL;
    hd_buf_release(&text);
    if (code != HD_OK)
        return code;
    if (word == NULL)
        return hd_read_nomem(reader);
    *ret_word = word;
    return HD_OK;
}

static enum hd_code parse_word_list(const struct hd_reader *reader, const struct hd_value *list,
                                    struct hd_target *target)
{
    size_t count = list->as.array.count;
    if (count > HD_COMMAND_WORDS_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, list, PATH, "command", "more than %d words",
                            HD_COMMAND_WORDS_MAX);
    target->command = hd_calloc(count + 1, sizeof(*target->command));
    if (target->command == NULL)
        return hd_read_nomem(reader);
    for (size_t i = 0; i < count; i++) {
        char key[40];
        hd_format(key, sizeof(key), "command[%zu]", i);
        enum hd_code code = word_of(reader, list->as.array.items[i], key, &target->command[i]);
        if (code != HD_OK)
            return code;
    }
    target->command_count = count;
    return HD_OK;
}

static enum hd_code parse_words(const struct hd_reader *reader, const struct hd_value *value,
                                struct hd_target *target)
{
    if (value->kind == HD_VALUE_ARRAY)
        return parse_word_list(reader, value, target);
    if (value->kind != HD_VALUE_STRING)
        return hd_read_wrong_type(reader, value, PATH, "command", "a list of words or a text");
    enum hd_code code =
        hd_words_split(value->as.string, &target->command, &target->command_count, reader->err);
    return code == HD_OK ? code : hd_read_wrap(reader, value, PATH, "command");
}

static enum hd_code parse_command(const struct hd_reader *reader, const struct hd_value *object,
                                  const struct hd_space *space, struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "command");
    if (value == NULL)
        return HD_OK;
    enum hd_code code = parse_words(reader, value, target);
    for (size_t i = 0; code == HD_OK && i < target->command_count; i++) {
        code = hd_template_check(target->command[i], space, reader->err);
        if (code != HD_OK)
            return hd_read_wrap(reader, value, PATH, "command");
    }
    if (code == HD_OK && target->command_count == 0) {
        hd_words_free(target->command); /* an empty list is the image's own command */
        target->command = NULL;
    }
    return code;
}

/* ---- expression ---- */

static bool is_known_name(const struct hd_space *space, const char *name)
{
    for (size_t i = 0; i < space->param_count; i++)
        if (strcmp(space->params[i].name, name) == 0)
            return true;
    return strcmp(name, "budget") == 0 || strcmp(name, "pi") == 0 || strcmp(name, "e") == 0;
}

static enum hd_code check_names(const struct hd_expression *expression,
                                const struct hd_space *space, struct hd_err *err)
{
    const char *name;
    for (size_t i = 0; (name = hd_expression_name(expression, i)) != NULL; i++)
        if (!is_known_name(space, name))
            return hd_fail(err, HD_E_INVALID,
                           "%.60s is no param; there are the params, budget, pi and e", name);
    return HD_OK;
}

static enum hd_code check_expression(const char *text, const struct hd_space *space,
                                     struct hd_err *err)
{
    struct hd_expression *expression;
    enum hd_code code = hd_expression_parse(text, &expression, err);
    if (code != HD_OK)
        return code;
    code = check_names(expression, space, err);
    hd_expression_free(expression);
    return code;
}

/* It becomes the command of a program of ours. */
static enum hd_code parse_expression(const struct hd_reader *reader, const struct hd_value *object,
                                     const struct hd_space *space, struct hd_target *target)
{
    const struct hd_value *value = hd_read_member(object, "expression");
    if (value == NULL)
        return HD_OK;
    if (target->image != NULL || target->command != NULL)
        return hd_read_fail(reader, HD_E_INVALID, value, PATH, "expression",
                            "is a target by itself: without image and command");
    target->command = hd_calloc(3, sizeof(*target->command));
    if (target->command == NULL || (target->command[0] = hd_strdup(HD_EXPRESSION_PROGRAM)) == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = hd_read_text(reader, object, PATH, "expression", &target->command[1]);
    if (code != HD_OK)
        return code;
    target->command_count = 2;
    code = check_expression(target->command[1], space, reader->err);
    return code == HD_OK ? code : hd_read_wrap(reader, value, PATH, "expression");
}

/* ---- environment ---- */

static enum hd_code check_env_key(const struct hd_reader *reader, const struct hd_value *at,
                                  const char *key)
{
    size_t size = strlen(key);
    if (size == 0 || size > 200 || strpbrk(key, "= \t\r\n") != NULL)
        return hd_read_fail(reader, HD_E_INVALID, at, PATH, "env",
                            "\"%.60s\" is not the name of a variable", key);
    return HD_OK;
}

/* Takes ownership of value, which may be NULL. */
static enum hd_code add_env(const struct hd_reader *reader, const struct hd_value *at,
                            const char *key, char *value, const struct hd_space *space,
                            struct hd_target *target)
{
    enum hd_code code = check_env_key(reader, at, key);
    for (size_t i = 0; code == HD_OK && i < target->env_count; i++)
        if (hd_streq(target->env[i].key, key))
            code = hd_read_fail(reader, HD_E_INVALID, at, PATH, "env", "%.60s is given twice", key);
    if (code == HD_OK && hd_template_check(value, space, reader->err) != HD_OK) {
        char path[80];
        hd_format(path, sizeof(path), "env.%s", key);
        code = hd_read_wrap(reader, at, PATH, path);
    }
    char *own_key = code == HD_OK ? hd_strdup(key) : NULL;
    if (own_key == NULL) {
        hd_free(value);
        return code != HD_OK ? code : hd_read_nomem(reader);
    }
    target->env[target->env_count++] = (struct hd_key_value){own_key, value};
    return HD_OK;
}

static enum hd_code parse_env_item(const struct hd_reader *reader, const struct hd_value *env,
                                   size_t index, const struct hd_space *space,
                                   struct hd_target *target)
{
    if (env->kind == HD_VALUE_OBJECT) {
        char path[80], *value;
        const char *key = env->as.object.keys[index];
        const struct hd_value *item = env->as.object.items[index];
        hd_format(path, sizeof(path), "env.%s", key);
        enum hd_code code = word_of(reader, item, path, &value);
        return code == HD_OK ? add_env(reader, item, key, value, space, target) : code;
    }
    const struct hd_value *item = env->as.array.items[index];
    const char *equals = item->kind == HD_VALUE_STRING ? strchr(item->as.string, '=') : NULL;
    if (equals == NULL)
        return hd_read_wrong_type(reader, item, PATH, "env", "NAME=VALUE");
    char *key = hd_strdup(item->as.string), *value = hd_strdup(equals + 1);
    enum hd_code code = HD_OK;
    if (key == NULL || value == NULL) {
        hd_free(value);
        code = hd_read_nomem(reader);
    } else {
        key[equals - item->as.string] = '\0';
        code = add_env(reader, item, key, value, space, target);
    }
    hd_free(key);
    return code;
}

static enum hd_code parse_env(const struct hd_reader *reader, const struct hd_value *object,
                              const struct hd_space *space, struct hd_target *target)
{
    const struct hd_value *env = hd_read_member(object, "env");
    if (env == NULL)
        return HD_OK;
    if (env->kind != HD_VALUE_OBJECT && env->kind != HD_VALUE_ARRAY)
        return hd_read_wrong_type(reader, env, PATH, "env", "a map of variables");
    size_t count = env->kind == HD_VALUE_OBJECT ? env->as.object.count : env->as.array.count;
    if (count > HD_ENV_MAX)
        return hd_read_fail(reader, HD_E_LIMIT, env, PATH, "env", "more than %d variables",
                            HD_ENV_MAX);
    target->env = hd_calloc(count, sizeof(*target->env));
    if (target->env == NULL)
        return hd_read_nomem(reader);
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < count; i++)
        code = parse_env_item(reader, env, i, space, target);
    return code;
}

/* ---- data ---- */

/* Where relative paths begin: told, or the directory of an absolute file name, or unknown. */
static enum hd_code parse_base_dir(const struct hd_reader *reader, const struct hd_value *object,
                                   struct hd_target *target)
{
    enum hd_code code = hd_read_text(reader, object, PATH, "base_dir", &target->base_dir);
    if (code != HD_OK)
        return code;
    if (target->base_dir != NULL && target->base_dir[0] != '/')
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "base_dir"), PATH,
                            "base_dir", "must be an absolute path, got \"%.100s\"",
                            target->base_dir);
    if (target->base_dir != NULL)
        return HD_OK;
    target->base_dir = hd_strdup(reader->file[0] == '/' ? reader->file : "");
    if (target->base_dir == NULL)
        return hd_read_nomem(reader);
    char *slash = strrchr(target->base_dir, '/');
    if (slash != NULL)
        slash[slash == target->base_dir ? 1 : 0] = '\0';
    return HD_OK;
}

static enum hd_code parse_data(const struct hd_reader *reader, const struct hd_value *object,
                               struct hd_target *target)
{
    enum hd_code code = parse_base_dir(reader, object, target);
    if (code == HD_OK)
        code = hd_data_parse(reader, object, target);
    if (code == HD_OK)
        code = hd_code_parse(reader, object, target);
    return code == HD_OK ? hd_volumes_parse(reader, object, target) : code;
}

/* ---- limits ---- */

static enum hd_code parse_resources(const struct hd_reader *reader, const struct hd_value *object,
                                    struct hd_target *target)
{
    static const char *const names[] = {"cpus", "memory", "pids",   "gpus",
                                        "shm",  "cpuset", "ulimits"};
    static const char path[] = PATH ".resources";
    const struct hd_value *resources;
    enum hd_code code = hd_read_object(reader, object, PATH, "resources", &resources);
    if (code != HD_OK || resources == NULL)
        return code;
    code = hd_read_keys(reader, resources, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_double(reader, resources, path, "cpus", &target->cpus);
    if (code == HD_OK && (target->cpus < 0 || target->cpus > CPUS_MAX))
        code = hd_read_fail(reader, HD_E_INVALID, hd_value_get(resources, "cpus"), path, "cpus",
                            "must be above 0 and at most %.0f (0: no limit)", CPUS_MAX);
    if (code == HD_OK)
        code = hd_read_bytes(reader, resources, path, "memory", &target->memory_bytes);
    if (code == HD_OK)
        code = hd_read_i64(reader, resources, path, "pids", 0, COUNT_MAX, &target->pids);
    if (code == HD_OK)
        code = hd_read_i64(reader, resources, path, "gpus", 0, COUNT_MAX, &target->gpus);
    if (code == HD_OK)
        code = hd_container_parse_resources(reader, resources, &target->container);
    return code;
}

static enum hd_code parse_container(const struct hd_reader *reader, const struct hd_value *object,
                                    struct hd_target *target)
{
    static const char *const ways[] = {"template", "cli"};
    size_t way = 0;
    const struct hd_container *container = &target->container;
    enum hd_code code = hd_container_parse(reader, object, &target->container);
    if (code == HD_OK)
        code = hd_read_choice(reader, object, PATH, "args", ways, HD_COUNT(ways), &way);
    target->args_cli = way == 1;
    if (code != HD_OK || target->image != NULL)
        return code;
    if (container->user != NULL || container->network != NULL || container->runtime != NULL ||
        container->read_only || container->privileged || container->tmpfs != NULL ||
        container->cap_add != NULL || container->cap_drop != NULL)
        return hd_read_fail(reader, HD_E_INVALID, hd_value_get(object, "container"), PATH,
                            "container", "needs an image: a command runs in no container");
    return HD_OK;
}

static enum hd_code parse_contract(const struct hd_reader *reader, const struct hd_value *object,
                                   struct hd_target *target)
{
    static const char *const contracts[] = {"v1", "hyperdock"};
    size_t contract = 0;
    enum hd_code code =
        hd_read_choice(reader, object, PATH, "contract", contracts, HD_COUNT(contracts), &contract);
    target->as_hyperdock = contract == 1;
    return code;
}

static enum hd_code parse_timeout(const struct hd_reader *reader, const struct hd_value *object,
                                  struct hd_target *target)
{
    static const char *const names[] = {"base", "per_budget"};
    static const char path[] = PATH ".timeout";
    const struct hd_value *timeout = hd_read_member(object, "timeout");
    if (timeout == NULL || timeout->kind != HD_VALUE_OBJECT)
        return hd_read_ms(reader, object, PATH, "timeout", 0, HD_DURATION_MS_MAX,
                          &target->timeout_base_ms);
    int64_t per_budget_ms = 0;
    enum hd_code code = hd_read_keys(reader, timeout, path, names, HD_COUNT(names));
    if (code == HD_OK)
        code = hd_read_ms(reader, timeout, path, "base", 0, HD_DURATION_MS_MAX,
                          &target->timeout_base_ms);
    if (code == HD_OK)
        code =
            hd_read_ms(reader, timeout, path, "per_budget", 0, HD_DURATION_MS_MAX, &per_budget_ms);
    if (code == HD_OK)
        target->timeout_per_budget_ms = (double)per_budget_ms;
    return code;
}

static enum hd_code parse_retries(const struct hd_reader *reader, const struct hd_value *object,
                                  struct hd_target *target)
{
    static const char *const names[] = {"infra", "failed"};
    static const char path[] = PATH ".retries";
    const struct hd_value *retries = hd_read_member(object, "retries");
    enum hd_code code;
    if (retries != NULL && retries->kind == HD_VALUE_OBJECT) {
        code = hd_read_keys(reader, retries, path, names, HD_COUNT(names));
        if (code == HD_OK)
            code = hd_read_u32(reader, retries, path, "infra", 0, HD_RETRIES_MAX,
                               &target->retries_infra);
        if (code == HD_OK)
            code = hd_read_u32(reader, retries, path, "failed", 0, HD_RETRIES_MAX,
                               &target->retries_failed);
        return code;
    }
    code = hd_read_u32(reader, object, PATH, "retries", 0, HD_RETRIES_MAX, &target->retries_infra);
    if (code == HD_OK && retries != NULL)
        target->retries_failed = target->retries_infra;
    return code;
}

enum hd_code hd_target_parse(const struct hd_reader *reader, const struct hd_value *root,
                             const struct hd_space *space, struct hd_target *target)
{
    static const char *const names[] = {
        "image",      "command",    "env",         "data",     "base_dir",  "resources",
        "timeout",    "stop_grace", "checkpoint",  "retries",  "container", "args",
        "warm",       "contract",   "from_output", "pull",     "strict",    "volumes",
        "expression", "ahead",      "code",        "networks", "ports"};
    const struct hd_value *object;
    enum hd_code code = hd_read_object(reader, root, "", PATH, &object);
    if (code == HD_OK && object == NULL)
        return hd_read_fail(reader, HD_E_INVALID, NULL, PATH, "",
                            "missing; give target: {image: ...} or target: {command: ...}");
    target->stop_grace_ms = 10000;
    target->retries_infra = 2;
    if (code == HD_OK)
        code = hd_read_keys(reader, object, PATH, names, HD_COUNT(names));
    if (code == HD_OK)
        code = parse_image(reader, object, target);
    if (code == HD_OK)
        code = parse_pull(reader, object, target);
    if (code == HD_OK)
        code = parse_command(reader, object, space, target);
    if (code == HD_OK)
        code = parse_expression(reader, object, space, target);
    if (code == HD_OK && target->image == NULL && target->command == NULL)
        code = hd_read_fail(reader, HD_E_INVALID, object, PATH, "",
                            "needs an image (for docker) or a command (for the process engine); an "
                            "expression is enough to try things");
    if (code == HD_OK)
        code = parse_env(reader, object, space, target);
    if (code == HD_OK)
        code = parse_data(reader, object, target);
    if (code == HD_OK)
        code = parse_resources(reader, object, target);
    if (code == HD_OK)
        code = parse_container(reader, object, target);
    if (code == HD_OK)
        code = hd_networks_parse(reader, object, target);
    if (code == HD_OK)
        code = parse_contract(reader, object, target);
    if (code == HD_OK)
        code = parse_timeout(reader, object, target);
    if (code == HD_OK)
        code = hd_read_ms(reader, object, PATH, "stop_grace", 0, STOP_GRACE_MS_MAX,
                          &target->stop_grace_ms);
    if (code == HD_OK)
        code = hd_read_bool(reader, object, PATH, "checkpoint", &target->checkpoint);
    if (code == HD_OK)
        code = parse_retries(reader, object, target);
    if (code == HD_OK)
        code = hd_warm_parse(reader, object, target);
    if (code == HD_OK)
        code = hd_ahead_parse(reader, object, target);
    if (code == HD_OK)
        code = hd_from_output_parse(reader, object, target);
    return code;
}
