/* SPDX-License-Identifier: Apache-2.0 */
/* job_copy.c: a job that outlives the call it came with. */
#include "engine_ops.h"

static bool copy_text(struct hd_arena *arena, const char *text, const char **ret_copy)
{
    *ret_copy = text != NULL ? hd_arena_strdup(arena, text) : NULL;
    return text == NULL || *ret_copy != NULL;
}

static bool copy_list(struct hd_arena *arena, char *const *list, char *const **ret_copy)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **copy = hd_arena_alloc(arena, (count + 1) * sizeof(*copy));
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        copy[i] = hd_arena_strdup(arena, list[i]);
        if (copy[i] == NULL)
            return false;
    }
    *ret_copy = list != NULL ? copy : NULL;
    return true;
}

static bool copy_own(struct hd_arena *arena, const char *text, char **ret_copy)
{
    *ret_copy = text != NULL ? hd_arena_strdup(arena, text) : NULL;
    return text == NULL || *ret_copy != NULL;
}

static bool copy_words(struct hd_arena *arena, char *const *list, char ***ret_copy)
{
    char *const *copy = NULL;
    bool good = copy_list(arena, list, &copy);
    *ret_copy = (char **)(uintptr_t)copy; /* ours: nobody else has it */
    return good;
}

static bool copy_container(struct hd_arena *arena, const struct hd_container *container,
                           const struct hd_container **ret_container)
{
    *ret_container = NULL;
    if (container == NULL)
        return true;
    struct hd_container *copy = hd_arena_alloc(arena, sizeof(*copy));
    if (copy == NULL)
        return false;
    *copy = *container;
    *ret_container = copy;
    return copy_own(arena, container->cpuset, &copy->cpuset) &&
           copy_own(arena, container->user, &copy->user) &&
           copy_own(arena, container->network, &copy->network) &&
           copy_own(arena, container->runtime, &copy->runtime) &&
           copy_words(arena, container->networks, &copy->networks) &&
           copy_words(arena, container->ports, &copy->ports) &&
           copy_words(arena, container->ulimits, &copy->ulimits) &&
           copy_words(arena, container->tmpfs, &copy->tmpfs) &&
           copy_words(arena, container->cap_add, &copy->cap_add) &&
           copy_words(arena, container->cap_drop, &copy->cap_drop);
}

static bool copy_mounts(struct hd_arena *arena, const struct hd_engine_job *job,
                        const struct hd_mount **ret_mounts)
{
    if (job->mount_count == 0)
        return true;
    struct hd_mount *mounts = hd_arena_alloc(arena, job->mount_count * sizeof(*mounts));
    bool good = mounts != NULL;
    for (size_t i = 0; good && i < job->mount_count; i++) {
        mounts[i] = job->mounts[i];
        good = copy_text(arena, job->mounts[i].source, &mounts[i].source) &&
               copy_text(arena, job->mounts[i].target, &mounts[i].target);
    }
    *ret_mounts = mounts;
    return good;
}

static bool copy_warm(struct hd_arena *arena, const struct hd_warm_job *warm,
                      const struct hd_warm_job **ret_warm)
{
    *ret_warm = NULL;
    if (warm == NULL)
        return true;
    struct hd_warm_job *copy = hd_arena_alloc(arena, sizeof(*copy));
    if (copy == NULL)
        return false;
    *copy = *warm;
    *ret_warm = copy;
    return copy_text(arena, warm->line, &copy->line) && copy_list(arena, warm->env, &copy->env);
}

bool hd_engine_copy_job(struct hd_arena *arena, const struct hd_engine_job *job,
                        struct hd_engine_job *ret_job)
{
    *ret_job = *job;
    return copy_text(arena, job->worker, &ret_job->worker) &&
           copy_text(arena, job->run_id, &ret_job->run_id) &&
           copy_text(arena, job->config_id, &ret_job->config_id) &&
           copy_text(arena, job->run_dir, &ret_job->run_dir) &&
           copy_text(arena, job->work_dir, &ret_job->work_dir) &&
           copy_text(arena, job->data_dir, &ret_job->data_dir) &&
           copy_text(arena, job->code_dir, &ret_job->code_dir) &&
           copy_text(arena, job->log_path, &ret_job->log_path) &&
           copy_text(arena, job->image, &ret_job->image) &&
           copy_text(arena, job->gpus, &ret_job->gpus) &&
           copy_text(arena, job->image_id, &ret_job->image_id) &&
           copy_text(arena, job->handed_by, &ret_job->handed_by) &&
           copy_list(arena, job->argv, &ret_job->argv) &&
           copy_list(arena, job->env, &ret_job->env) && copy_mounts(arena, job, &ret_job->mounts) &&
           copy_text(arena, job->cwd, &ret_job->cwd) &&
           copy_text(arena, job->program, &ret_job->program) &&
           copy_text(arena, job->engine, &ret_job->engine) &&
           copy_warm(arena, job->warm, &ret_job->warm) &&
           copy_container(arena, job->container, &ret_job->container);
}
