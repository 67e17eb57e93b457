/* SPDX-License-Identifier: Apache-2.0 */
/* describe_target.c: the section `target` written out. Absent things are null. */
#include "describe.h"

static struct hd_value *describe_command(const struct hd_target *target)
{
    struct hd_value *list = target->command != NULL ? hd_value_new_array() : hd_value_new_null();
    for (size_t i = 0; list != NULL && i < target->command_count; i++)
        if (hd_value_append(list, hd_value_new_string(target->command[i])) != HD_OK) {
            hd_value_free(list);
            list = NULL;
        }
    return list;
}

static struct hd_value *describe_image(const struct hd_target *target)
{
    if (target->build == NULL)
        return new_text(target->image);
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "build", new_text(target->build)) &&
                put(map, "dockerfile", new_text(target->dockerfile)) &&
                put(map, "name", new_text(target->image));
    return finish(map, good);
}

static struct hd_value *describe_env(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL;
    for (size_t i = 0; good && i < target->env_count; i++)
        good = put(map, target->env[i].key, hd_value_new_string(target->env[i].value));
    return finish(map, good);
}

static struct hd_value *describe_from_output(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL;
    for (size_t i = 0; good && i < target->from_output_count; i++)
        good = put(map, target->from_output[i].name,
                   hd_value_new_string(target->from_output[i].match));
    return finish(map, good);
}

static struct hd_value *describe_resources(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "cpus", hd_value_new_double(target->cpus)) &&
                put(map, "memory", hd_value_new_int((int64_t)target->memory_bytes)) &&
                put(map, "pids", hd_value_new_int(target->pids)) &&
                put(map, "gpus", hd_value_new_int(target->gpus)) &&
                put(map, "shm", hd_value_new_int((int64_t)target->container.shm_bytes)) &&
                put(map, "cpuset", new_text(target->container.cpuset)) &&
                put(map, "ulimits", hd_container_describe_ulimits(&target->container));
    return finish(map, good);
}

static struct hd_value *describe_timeout(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "base", new_ms(target->timeout_base_ms)) &&
                put(map, "per_budget", new_ms((int64_t)target->timeout_per_budget_ms));
    return finish(map, good);
}

static struct hd_value *describe_retries(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    bool good = map != NULL && put(map, "infra", hd_value_new_int(target->retries_infra)) &&
                put(map, "failed", hd_value_new_int(target->retries_failed));
    return finish(map, good);
}

struct hd_value *hd_target_describe(const struct hd_target *target)
{
    struct hd_value *map = hd_value_new_object();
    const char *base_dir = target->base_dir[0] != '\0' ? target->base_dir : NULL;
    bool good =
        map != NULL && put(map, "image", describe_image(target)) &&
        put(map, "pull", hd_value_new_string(hd_pull_names[target->pull])) &&
        put(map, "strict", hd_value_new_bool(target->strict)) &&
        put(map, "command", describe_command(target)) && put(map, "env", describe_env(target)) &&
        put(map, "data", hd_data_describe(target)) && put(map, "base_dir", new_text(base_dir)) &&
        put(map, "resources", describe_resources(target)) &&
        put(map, "container", hd_container_describe(&target->container)) &&
        put(map, "args", hd_value_new_string(target->args_cli ? "cli" : "template")) &&
        put(map, "timeout", describe_timeout(target)) &&
        put(map, "stop_grace", new_ms(target->stop_grace_ms)) &&
        put(map, "checkpoint", hd_value_new_bool(target->checkpoint)) &&
        put(map, "retries", describe_retries(target)) &&
        put(map, "warm", hd_warm_describe(&target->warm)) &&
        (!target->ahead || put(map, "ahead", hd_value_new_bool(true))) &&
        (target->container.networks == NULL ||
         put(map, "networks", hd_words_describe(target->container.networks))) &&
        (target->container.ports == NULL ||
         put(map, "ports", hd_words_describe(target->container.ports))) &&
        (target->code == NULL || put(map, "code", hd_code_describe(target))) &&
        (target->volume_count == 0 || put(map, "volumes", hd_volumes_describe(target))) &&
        (!target->as_hyperdock || put(map, "contract", hd_value_new_string("hyperdock"))) &&
        (target->from_output_count == 0 || put(map, "from_output", describe_from_output(target)));
    return finish(map, good);
}
