/* SPDX-License-Identifier: Apache-2.0 */
/* open.c: sessions begin, resume, are copied to files, and end. */
#include "session.h"

#include <hd/os.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOT "ask-tell"
#define BATCH 256 /* facts a commit of a copy */
#define PATH_BYTES_MAX 4096

/* ---- restoring ------------------------------------------------------------------------------ */

/* A session that resumes is newer than all before it, also when the clock was set back. */
static void see_incarnation(struct hyperdock_session *session, uint64_t incarnation)
{
    if (session->incarnation <= incarnation)
        session->incarnation = incarnation + 1;
}

static enum hd_code open_sampler(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    struct hd_sampler_spec spec = {.name = run.experiment->sampler_name,
                                   .settings = run.experiment->sampler_settings,
                                   .seed = run.seed,
                                   .initial = run.experiment->initial,
                                   .initial_count = run.experiment->initial_count,
                                   .objective_count = run.experiment->objective_count,
                                   .constrained = run.experiment->constraint_count > 0};
    session->values = hd_calloc(run.experiment->space->param_count, sizeof(*session->values));
    if (session->values == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a config");
    return hd_sampler_new(&spec, run.experiment->space, &session->sampler, err);
}

/* The sampler hears of a fact right after the core, as it did when the fact was new. */
static enum hd_code restore(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct hyperdock_session *session = context;
    if (fact->run != session->run)
        return hd_fail(err, HD_E_CONFLICT, "the file holds several runs: it is a master's");
    if (fact->kind == HD_FACT_ATTEMPT_LEASED)
        see_incarnation(session, fact->as.attempt_leased.incarnation);
    enum hd_code code = hd_core_apply(session->core, fact, err);
    if (code == HD_OK && fact->kind == HD_FACT_RUN_CREATED)
        code = open_sampler(session, err);
    return code == HD_OK ? session_learn(session, fact, err) : code;
}

static enum hd_code find_held(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    enum hd_code code = HD_OK;
    for (uint32_t i = 0; code == HD_OK && i < run.job_count; i++) {
        struct hd_job_view job;
        hd_core_view_job(session->core, session->run, i, &job);
        if (!job.running)
            continue;
        code = session_reserve_held(session, err);
        if (code == HD_OK)
            session_hold_job(session, i);
    }
    return code;
}

static enum hd_code hello(struct hyperdock_session *session, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    struct hd_attempt_ref *held = hd_calloc(session->held_count + 1, sizeof(*held));
    if (held == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for %zu outstanding jobs", session->held_count);
    for (size_t i = 0; i < session->held_count; i++) {
        struct hd_job_view job;
        hd_core_view_job(session->core, session->run, session->held[i], &job);
        held[i] = (struct hd_attempt_ref){run.run_uid, session->held[i], job.attempt};
    }
    struct hd_request hello = {.kind = HD_REQUEST_HELLO,
                               .lane = HD_LANE_CONTROL,
                               .sequence = ++session->control_sequence,
                               .held = held,
                               .held_count = session->held_count,
                               .slots = UINT32_MAX,
                               .root = ROOT,
                               .host = ROOT};
    enum hd_code code = session_request(session, &hello, err);
    hd_free(held);
    return code;
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* What only a dispatcher needs is switched off: here the caller's program decides. */
static void adapt(struct hd_experiment *experiment)
{
    experiment->lease_ms = SESSION_LEASE_MS;
    experiment->pause_after_failures = 0;
    experiment->target.retries_infra = 0;
    experiment->target.retries_failed = 0;
}

static enum hd_code submit(struct hyperdock_session *session,
                           const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_buf json;
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_to_json(experiment, &json, err);
    struct hd_request submit = {
        .kind = HD_REQUEST_SUBMIT,
        .run_id = experiment->name,
        .experiment_json = hd_buf_text(&json),
        .seed = experiment->has_seed ? experiment->seed : hd_os_random_u64() >> 32,
        .run_uid = hd_os_random_u64(),
    };
    if (code == HD_OK)
        code = session_request(session, &submit, err);
    hd_buf_release(&json);
    return code;
}

/* A session keeps its seed; only another one is a difference. */
static enum hd_code compare(const struct hyperdock_session *session,
                            struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(session->core, session->run, &run);
    if (!experiment->has_seed) {
        experiment->has_seed = run.experiment->has_seed;
        experiment->seed = run.experiment->seed;
    }
    struct hd_buf diff;
    hd_buf_init(&diff, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = hd_experiment_diff(run.experiment, experiment, &diff, err);
    if (code == HD_OK && diff.size > 0)
        code = hd_fail(err, HD_E_CONFLICT,
                       "the state file belongs to another experiment; this is what differs:\n%s",
                       hd_buf_text(&diff));
    hd_buf_release(&diff);
    return code;
}

/* ---- stores --------------------------------------------------------------------------------- */

struct copying {
    struct hd_store *to;
    struct hd_fact facts[BATCH]; /* their texts lie in copies */
    struct hd_fact *copies[BATCH];
    size_t count;
};

static enum hd_code flush_copies(struct copying *copying, struct hd_err *err)
{
    enum hd_code code = copying->count > 0
                            ? hd_store_append(copying->to, copying->facts, copying->count, err)
                            : HD_OK;
    for (size_t i = 0; i < copying->count; i++)
        hd_free(copying->copies[i]);
    copying->count = 0;
    return code;
}

static enum hd_code copy_fact(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct copying *copying = context;
    enum hd_code code = hd_facts_copy(fact, 1, &copying->copies[copying->count], err);
    if (code != HD_OK)
        return code;
    copying->facts[copying->count] = *copying->copies[copying->count];
    copying->count++;
    return copying->count == BATCH ? flush_copies(copying, err) : HD_OK;
}

static enum hd_code copy_store(struct hd_store *from, struct hd_store *to, struct hd_err *err)
{
    struct copying *copying = hd_calloc(1, sizeof(*copying));
    if (copying == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to copy a session");
    copying->to = to;
    enum hd_code code = hd_store_load(from, copy_fact, copying, err);
    struct hd_err ignored;
    enum hd_code flushed = flush_copies(copying, code == HD_OK ? err : &ignored);
    hd_free(copying);
    return code == HD_OK ? flushed : code;
}

static enum hd_code open_store(const char *path, bool keep, struct hd_store **ret_store,
                               struct hd_err *err)
{
    if (path == NULL)
        return hd_store_open_memory(ret_store, err);
    if (keep)
        return hd_store_open_sqlite(path, ret_store, err);
    struct hd_store *file = NULL, *memory = NULL;
    enum hd_code code = hd_store_open_sqlite(path, &file, err);
    if (code == HD_OK)
        code = hd_store_open_memory(&memory, err);
    if (code == HD_OK)
        code = copy_store(file, memory, err);
    hd_store_close(file);
    if (code == HD_OK)
        *ret_store = memory;
    else
        hd_store_close(memory);
    return code;
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum hd_code open_core(struct hyperdock_session *session, struct hd_experiment *experiment,
                              struct hd_err *err)
{
    struct hd_core_options options = {.ping_ms = SESSION_LEASE_MS / 2};
    enum hd_code code = hd_core_new(&options, &session->core, err);
    if (code == HD_OK)
        code = hd_store_load(session->store, restore, session, err);
    if (code != HD_OK)
        return code;
    if (hd_core_run_count(session->core) > 0)
        return experiment != NULL ? compare(session, experiment, err) : HD_OK;
    if (experiment == NULL)
        return hd_fail(err, HD_E_INVALID, "the experiment is empty, and the file has none");
    code = submit(session, experiment, err);
    return code == HD_OK ? open_sampler(session, err) : code;
}

enum hd_code session_open(struct hd_experiment *experiment, const char *path, bool keep,
                          struct hyperdock_session **ret_session, struct hd_err *err)
{
    struct hyperdock_session *session = hd_calloc(1, sizeof(*session));
    if (session == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a session");
    hd_buf_init(&session->text, SESSION_TEXT_BYTES_MAX);
    see_incarnation(session, (uint64_t)hd_clock_wall_ms());
    if (experiment != NULL)
        adapt(experiment);
    session->update = hd_malloc(sizeof(*session->update));
    enum hd_code code = session->update == NULL ? hd_fail(err, HD_E_NOMEM, "no memory") : HD_OK;
    if (code == HD_OK && path != NULL && (!keep || experiment == NULL) && !hd_path_exists(path))
        code = hd_fail(err, HD_E_NOTFOUND, "there is no file %s", path);
    if (code == HD_OK)
        code = open_store(path, keep, &session->store, err);
    if (code == HD_OK)
        code = open_core(session, experiment, err);
    if (code == HD_OK)
        code = find_held(session, err);
    if (code == HD_OK)
        code = hello(session, err);
    if (code == HD_OK)
        *ret_session = session;
    else
        session_close(session);
    return code;
}

void session_close(struct hyperdock_session *session)
{
    if (session == NULL)
        return;
    hd_sampler_free(session->sampler);
    hd_store_close(session->store);
    hd_core_free(session->core);
    hd_buf_release(&session->text);
    hd_free(session->update);
    hd_free(session->values);
    hd_free(session->infos);
    hd_free(session->measures);
    hd_free(session->held);
    hd_free(session);
}

/* ---- saving --------------------------------------------------------------------------------- */

static void remove_draft(const char *draft)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    char name[PATH_BYTES_MAX + 32];
    for (size_t i = 0; i < HD_COUNT(ends); i++)
        if (hd_format(name, sizeof(name), "%s%s", draft, ends[i]))
            (void)unlink(name);
}

/* A file of ours may be replaced. Opening it also empties its write-ahead log, which would be
 * applied to the new file otherwise. */
static enum hd_code may_replace(const char *path, struct hd_err *err)
{
    if (!hd_path_exists(path))
        return HD_OK;
    struct hd_store *store = NULL;
    enum hd_code code = hd_store_open_sqlite(path, &store, err);
    hd_store_close(store);
    return code;
}

/* The rename is on disk only when its directory is. */
static enum hd_code put_in_place(const char *draft, const char *path, struct hd_err *err)
{
    char directory[PATH_BYTES_MAX + 32];
    if (rename(draft, path) != 0)
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    hd_copy_text(directory, sizeof(directory), path);
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        hd_copy_text(directory, sizeof(directory), ".");
    else
        slash[slash == directory ? 1 : 0] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 ? fsync(fd) : -1;
    int reason = errno;
    if (fd >= 0)
        close(fd);
    return result == 0 ? HD_OK : hd_fail(err, HD_E_IO, "%s: %s", directory, strerror(reason));
}

enum hd_code session_save(struct hyperdock_session *session, const char *path, struct hd_err *err)
{
    char draft[PATH_BYTES_MAX + 16];
    if (strlen(path) > PATH_BYTES_MAX)
        return hd_fail(err, HD_E_LIMIT, "a path has at most %d bytes", PATH_BYTES_MAX);
    hd_assert(hd_format(draft, sizeof(draft), "%s.draft", path));
    struct hd_store *store = NULL;
    enum hd_code code = may_replace(path, err);
    if (code != HD_OK)
        return code;
    remove_draft(draft);
    code = hd_store_open_sqlite(draft, &store, err);
    if (code == HD_OK)
        code = copy_store(session->store, store, err);
    hd_store_close(store);
    if (code == HD_OK)
        code = put_in_place(draft, path, err);
    remove_draft(draft);
    return code;
}
