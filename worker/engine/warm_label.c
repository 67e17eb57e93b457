/* SPDX-License-Identifier: Apache-2.0 */
/* warm_label.c: jobs whose image says whether their target stays; see warm.h. The inner engine
 * looks at the image when it is there, which may take a pull: until then the job is kept here. */
#include "warm.h"

#define JOB_BYTES_MAX (16u * 1024u * 1024u)

static struct hd_warm_known name_of(const struct hd_engine_job *job)
{
    return (struct hd_warm_known){.run_uid = job->attempt.run_uid,
                                  .image = hd_hash_text(0, job->image)};
}

bool hd_warm_is_known(const struct hd_warm *warm, const struct hd_engine_job *job)
{
    const struct hd_warm_known name = name_of(job);
    for (size_t i = 0; i < HD_WARM_KNOWN_MAX; i++)
        if (warm->known[i].run_uid == name.run_uid && warm->known[i].image == name.image)
            return true;
    return false;
}

static void note_known(struct hd_warm *warm, const struct hd_engine_job *job)
{
    if (hd_warm_is_known(warm, job))
        return;
    warm->known[warm->known_next] = name_of(job);
    warm->known_next = (warm->known_next + 1) % HD_WARM_KNOWN_MAX;
}

struct hd_engine_job hd_warm_as_warm(const struct hd_engine_job *job, struct hd_warm_job *ret_warm)
{
    struct hd_engine_job own = *job;
    *ret_warm = *job->warm;
    ret_warm->by_label = false;
    own.warm = ret_warm;
    own.env = job->warm->env;
    own.cwd = NULL;
    return own;
}

/* HD_HELD_MAX: it is not there. */
static size_t find(const struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    size_t i = 0;
    while (i < HD_HELD_MAX && (warm->waiting[i] == NULL ||
                               !hd_attempt_ref_equal(warm->waiting[i]->job.attempt, attempt)))
        i++;
    return i;
}

bool hd_warm_waits(const struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    return find(warm, attempt) < HD_HELD_MAX;
}

static void free_waiting(struct hd_warm_waiting *waiting)
{
    if (waiting != NULL)
        hd_arena_free(waiting->arena);
    hd_free(waiting);
}

void hd_warm_forget_waiting(struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    size_t place = find(warm, attempt);
    if (place == HD_HELD_MAX)
        return;
    free_waiting(warm->waiting[place]);
    warm->waiting[place] = NULL;
}

enum hd_code hd_warm_wait_for_label(struct hd_warm *warm, const struct hd_engine_job *job,
                                    struct hd_err *err)
{
    size_t place = 0;
    while (place < HD_HELD_MAX && warm->waiting[place] != NULL)
        place++;
    if (place == HD_HELD_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d jobs wait for their image", HD_HELD_MAX);
    struct hd_warm_waiting *waiting = hd_calloc(1, sizeof(*waiting));
    if (waiting == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a job that waits for its image");
    enum hd_code code = hd_arena_new(JOB_BYTES_MAX, &waiting->arena, err);
    if (code == HD_OK && !hd_engine_copy_job(waiting->arena, job, &waiting->job))
        code = hd_fail(err, HD_E_LIMIT,
                       "the job's command and environment are longer than %u bytes", JOB_BYTES_MAX);
    if (code != HD_OK) {
        free_waiting(waiting);
        return code;
    }
    warm->waiting[place] = waiting;
    return HD_OK;
}

static enum hd_code start_waiting(struct hd_warm *warm, const struct hd_engine_job *job,
                                  struct hd_err *err)
{
    struct hd_warm_job its;
    const struct hd_engine_job own = hd_warm_as_warm(job, &its);
    note_known(warm, job);
    return hd_warm_start_job(warm, &own, err);
}

void hd_warm_take_label(struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    struct hd_err err;
    size_t place = find(warm, attempt);
    if (place == HD_HELD_MAX)
        return; /* dropped meanwhile */
    struct hd_warm_waiting *waiting = warm->waiting[place];
    warm->waiting[place] = NULL;
    hd_engine_begin(warm->news, attempt, true);
    enum hd_code code = start_waiting(warm, &waiting->job, &err);
    if (code != HD_OK) {
        struct hd_engine_end end = {.kind = HD_END_NOT_STARTED,
                                    .config_error =
                                        code == HD_E_INVALID || code == HD_E_UNSUPPORTED};
        (void)hd_copy_text(end.message, sizeof(end.message), err.text);
        hd_engine_tell(warm->news, attempt, &end);
    }
    free_waiting(waiting);
}
