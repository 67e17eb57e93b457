/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c: the process engine: a target is a command on this machine, behind a shim.
 *
 * One thread watches the shims (pidfd, child or not) and tells their ends. A shim is identified by
 * pid and start time. Limits: see shim.c.
 */
#include "cgroup.h"
#include "engine_ops.h"
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHES_MAX (2 * HD_HELD_MAX)
#define DROP_WAIT_MS 5000
#define USER_MAX 64
#define POLL_MS 100 /* where the kernel has no pidfd */
#define ARENA_BYTES_MAX (64u * 1024u * 1024u)

/* A shim whose end is waited for. */
struct watch {
    struct hd_attempt_ref attempt;
    struct hd_record_owner shim; /* pid 0: not running, its end is in the record or lost */
    int pidfd;                   /* -1: none */
    uint64_t turn;               /* of its record */
};

struct process_engine {
    struct hd_engine engine;
    char directory[HD_RECORD_PATH_MAX]; /* of the records */
    char cgroup[HD_CGROUP_PATH_MAX];    /* of the targets' control groups; "" none */
    char user[USER_MAX + 1];            /* that targets run as; "" ours */
    char *shim_path;
    struct hd_queue *queue;
    pthread_t thread;
    pthread_mutex_t lock;
    int wake_fd;
    bool closing;
    struct watch watches[WATCHES_MAX];
    size_t watch_count;
};

static struct process_engine *of(struct hd_engine *engine)
{
    return (struct process_engine *)engine;
}

/* ---- records and shims ---------------------------------------------------------------------- */

static bool record_of(const struct process_engine *self, struct hd_attempt_ref attempt,
                      char *ret_record)
{
    return hd_format(ret_record, HD_RECORD_PATH_MAX, "%s/%016" PRIx64 "-%" PRIu32 "-%" PRIu32,
                     self->directory, attempt.run_uid, attempt.job, attempt.attempt);
}

static bool is_alive(struct hd_record_owner shim)
{
    return shim.pid > 0 && shim.ticks > 0 && hd_process_start_ticks(shim.pid) == shim.ticks;
}

/* The control group of a target, which its shim makes; "" none. */
static void cgroup_of(const struct process_engine *self, struct hd_attempt_ref attempt,
                      char ret_path[HD_CGROUP_PATH_MAX])
{
    bool fits = self->cgroup[0] != '\0' &&
                hd_format(ret_path, HD_CGROUP_PATH_MAX, "%s/%016" PRIx64 "-%" PRIu32 "-%" PRIu32,
                          self->cgroup, attempt.run_uid, attempt.job, attempt.attempt);
    if (!fits)
        ret_path[0] = '\0';
}

/* What a killed shim left in it ends too. */
static void end_cgroup(const struct process_engine *self, struct hd_attempt_ref attempt)
{
    char path[HD_CGROUP_PATH_MAX];
    cgroup_of(self, attempt, path);
    if (path[0] != '\0')
        hd_cgroup_end(path);
}

/* The shim of a record, or pid 0. Taken for dead, it is kept from starting late. */
static struct hd_record_owner shim_of(const char *record)
{
    struct hd_record_owner owner = {0, 0};
    struct hd_err ignored;
    if (hd_record_claim(record, owner, &owner, &ignored) != HD_OK || !is_alive(owner))
        owner = (struct hd_record_owner){0, 0};
    return owner;
}

static void read_end_or_lost(const char *record, struct hd_engine_end *end)
{
    struct hd_err err;
    if (hd_record_read_end(record, end, &err) == HD_OK)
        return;
    *end = (struct hd_engine_end){.kind = HD_END_ENGINE_LOST, .exit_code = -1};
    hd_format(end->message, sizeof(end->message),
              "the target's shim ended without saying how (killed, or the machine restarted)");
}

/* ---- the watching thread -------------------------------------------------------------------- */

static void wake(struct process_engine *self)
{
    (void)eventfd_write(self->wake_fd, 1);
}

static bool has_ended(const struct watch *watch, short revents)
{
    return watch->pidfd >= 0 ? revents != 0 : !is_alive(watch->shim);
}

static void finish(struct process_engine *self, const struct watch *watch)
{
    char record[HD_RECORD_PATH_MAX];
    struct hd_engine_end end;
    if (watch->shim.pid > 0)
        (void)waitpid(watch->shim.pid, NULL, WNOHANG); /* when it is a child of ours */
    if (watch->pidfd >= 0)
        close(watch->pidfd);
    if (!record_of(self, watch->attempt, record))
        return;
    end_cgroup(self, watch->attempt);
    read_end_or_lost(record, &end);
    hd_engine_tell(self->queue, watch->attempt, &end);
}

/* Fills fds (the first is the wake-up) and says how long to wait at most. */
static int prepare_poll(const struct process_engine *self, struct pollfd *fds, size_t *ret_count)
{
    int timeout = -1;
    fds[0] = (struct pollfd){.fd = self->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < self->watch_count; i++) {
        const struct watch *watch = &self->watches[i];
        fds[i + 1] = (struct pollfd){.fd = watch->pidfd, .events = POLLIN};
        if (watch->pidfd < 0)
            timeout = is_alive(watch->shim) ? POLL_MS : 0;
    }
    *ret_count = self->watch_count;
    return timeout;
}

static void *watch_shims(void *argument)
{
    struct process_engine *self = argument;
    struct pollfd fds[WATCHES_MAX + 1];
    for (;;) {
        struct watch ended[WATCHES_MAX];
        size_t count, ended_count = 0;
        eventfd_t ignored;
        pthread_mutex_lock(&self->lock);
        bool closing = self->closing;
        int timeout = prepare_poll(self, fds, &count);
        pthread_mutex_unlock(&self->lock);
        if (closing)
            return NULL;
        (void)poll(fds, (nfds_t)count + 1, timeout);
        if (fds[0].revents != 0)
            (void)eventfd_read(self->wake_fd, &ignored);
        pthread_mutex_lock(&self->lock);
        /* drop() may have taken one away meanwhile: then the order is not the polled one. */
        for (size_t i = 0; i < self->watch_count;) {
            struct pollfd again = {.fd = self->watches[i].pidfd, .events = POLLIN};
            (void)poll(&again, 1, 0);
            if (!has_ended(&self->watches[i], again.revents)) {
                i++;
                continue;
            }
            ended[ended_count++] = self->watches[i];
            self->watches[i] = self->watches[--self->watch_count];
        }
        pthread_mutex_unlock(&self->lock);
        for (size_t i = 0; i < ended_count; i++)
            finish(self, &ended[i]);
    }
}

static enum hd_code add_watch(struct process_engine *self, struct hd_attempt_ref attempt,
                              struct hd_record_owner shim, uint64_t turn, struct hd_err *err)
{
    struct watch watch = {.attempt = attempt, .shim = shim, .pidfd = -1, .turn = turn};
    if (shim.pid > 0) {
        watch.pidfd = pidfd_open(shim.pid, 0);
        if (watch.pidfd >= 0 && !is_alive(shim)) { /* another process may have the number */
            close(watch.pidfd);
            watch.pidfd = -1;
        }
    }
    enum hd_code code = HD_OK;
    bool known = false;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->watch_count; i++)
        known = known || hd_attempt_ref_equal(self->watches[i].attempt, attempt);
    if (!known && self->watch_count == WATCHES_MAX)
        code = hd_fail(err, HD_E_LIMIT, "more than %d targets at a time", WATCHES_MAX);
    else if (!known)
        self->watches[self->watch_count++] = watch;
    pthread_mutex_unlock(&self->lock);
    if ((known || code != HD_OK) && watch.pidfd >= 0)
        close(watch.pidfd);
    wake(self);
    return code;
}

static void remove_watch(struct process_engine *self, struct hd_attempt_ref attempt)
{
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->watch_count; i++)
        if (hd_attempt_ref_equal(self->watches[i].attempt, attempt)) {
            if (self->watches[i].pidfd >= 0)
                close(self->watches[i].pidfd);
            self->watches[i] = self->watches[--self->watch_count];
            break;
        }
    pthread_mutex_unlock(&self->lock);
    wake(self);
}

/* ---- start ---------------------------------------------------------------------------------- */

static bool is_kept_from_targets(const char *item)
{
    static const char *const secrets[] = {
        "HYPERDOCK_TOKEN_FILE=", "SLACK_API_TOKEN=", "PUSHOVER_API_TOKEN=", "PUSHOVER_USER_KEY="};
    for (size_t i = 0; i < HD_COUNT(secrets); i++)
        if (strncmp(item, secrets[i], strlen(secrets[i])) == 0)
            return true;
    return false;
}

static bool is_overridden(const char *item, char *const *env)
{
    size_t name_size = strcspn(item, "=") + 1;
    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, item, name_size) == 0)
            return true;
    return false;
}

/* The worker's environment below the job's. */
static char **merge_env(struct hd_arena *arena, char *const *env)
{
    size_t own = 0, job = 0, count = 0;
    while (environ[own] != NULL)
        own++;
    while (env != NULL && env[job] != NULL)
        job++;
    char **merged = hd_arena_alloc(arena, (own + job + 1) * sizeof(*merged));
    if (merged == NULL)
        return NULL;
    for (size_t i = 0; i < own; i++)
        if (!is_kept_from_targets(environ[i]) && !is_overridden(environ[i], env))
            merged[count++] = environ[i];
    for (size_t i = 0; i < job; i++)
        merged[count++] = env[i];
    return merged;
}

static enum hd_code write_spec(const struct process_engine *self, const char *record,
                               const struct hd_engine_job *job, uint64_t turn, struct hd_err *err)
{
    struct hd_arena *arena = NULL;
    char cgroup[HD_CGROUP_PATH_MAX];
    cgroup_of(self, job->attempt, cgroup);
    enum hd_code code = hd_arena_new(ARENA_BYTES_MAX, &arena, err);
    if (code != HD_OK)
        return code;
    const struct hd_record_spec spec = {
        .run_dir = job->run_dir,
        .log_path = job->log_path,
        .cwd = job->cwd != NULL ? job->cwd : job->work_dir,
        .timeout_ms = job->timeout_ms,
        .grace_ms = job->stop_grace_ms,
        .memory_bytes = job->memory_bytes,
        .pids = job->pids > 0 ? (uint64_t)job->pids : 0,
        .cpus = job->cpus > 0 ? (uint64_t)ceil(job->cpus) : 0,
        .turn = turn,
        .cgroup = cgroup,
        .user = self->user,
        .cpu_millis = job->cpus > 0 ? (uint64_t)ceil(job->cpus * 1000) : 0,
        .program = job->program != NULL ? job->program : "",
        .argv = (char **)(uintptr_t)job->argv, /* only read */
        .env = merge_env(arena, job->env),
    };
    code = spec.env == NULL ? hd_fail(err, HD_E_NOMEM, "no memory for an environment")
                            : hd_record_write_spec(record, &spec, err);
    hd_arena_free(arena);
    return code;
}

/* What goes wrong here is told like any other end. */
static void note_not_started(const char *record, bool config_error, const char *why)
{
    struct hd_engine_end end = {.kind = HD_END_NOT_STARTED, .config_error = config_error};
    struct hd_err ignored;
    end.started_wall_ms = end.finished_wall_ms = hd_clock_wall_ms();
    (void)hd_copy_text(end.message, sizeof(end.message), why);
    (void)!hd_record_write_end(record, &end, &ignored);
}

static struct hd_record_owner spawn_shim(struct process_engine *self, const char *record,
                                         const struct hd_engine_job *job, uint64_t turn)
{
    struct hd_record_owner shim = {0, 0};
    struct hd_err err;
    char log[HD_RECORD_PATH_MAX];
    if (job->argv == NULL || job->argv[0] == NULL) {
        note_not_started(record, true,
                         "the process engine needs target.command; an image needs --engine docker");
        return shim;
    }
    enum hd_code code = write_spec(self, record, job, turn, &err);
    if (code == HD_OK && !hd_record_path(record, "shim.log", log))
        code = hd_fail(&err, HD_E_LIMIT, "the path of %s is too long", record);
    const char *const argv[] = {self->shim_path, record, NULL};
    if (code == HD_OK)
        code = hd_spawn(argv, log, true, &shim.pid, &err);
    if (code != HD_OK) {
        note_not_started(record, false, err.text);
        return (struct hd_record_owner){0, 0};
    }
    shim.ticks = hd_process_start_ticks(shim.pid); /* 0 when it has ended already */
    return shim;
}

/* A shim of ours that has just started may not have claimed its record yet: the watch knows it. */
static struct hd_record_owner running_shim(struct process_engine *self,
                                           struct hd_attempt_ref attempt, const char *record)
{
    struct hd_record_owner shim = {0, 0};
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->watch_count; i++)
        if (hd_attempt_ref_equal(self->watches[i].attempt, attempt))
            shim = self->watches[i].shim;
    pthread_mutex_unlock(&self->lock);
    return shim.pid > 0 ? shim : shim_of(record);
}

/* The lowest that no target here has: few targets share CPUs only when there are too few. */
static uint64_t free_turn(struct process_engine *self)
{
    bool taken[WATCHES_MAX + 1] = {false};
    uint64_t turn = 0;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->watch_count; i++)
        if (self->watches[i].turn < WATCHES_MAX && self->watches[i].shim.pid > 0)
            taken[self->watches[i].turn] = true;
    pthread_mutex_unlock(&self->lock);
    while (taken[turn])
        turn++;
    return turn;
}

static uint64_t turn_of(const char *record)
{
    struct hd_arena *arena = NULL;
    struct hd_record_spec spec = {0};
    struct hd_err ignored;
    if (hd_arena_new(ARENA_BYTES_MAX, &arena, &ignored) != HD_OK)
        return 0;
    (void)!hd_record_read_spec(record, arena, &spec, &ignored);
    hd_arena_free(arena);
    return spec.turn;
}

/* Nobody has started its target, and since its shim is taken for dead nobody will. Looked at only
 * after a claim, which shuts out a late shim. */
static bool never_started(const char *record)
{
    char begun[HD_RECORD_PATH_MAX];
    struct hd_engine_end end;
    struct hd_err ignored;
    return hd_record_path(record, "begun", begun) && !hd_path_exists(begun) &&
           hd_record_read_end(record, &end, &ignored) != HD_OK;
}

static enum hd_code watch_found(struct process_engine *self, struct hd_attempt_ref attempt,
                                const char *record, struct hd_err *err)
{
    struct hd_engine_end end;
    struct hd_err ignored;
    struct hd_record_owner shim = {0, 0};
    if (hd_record_read_end(record, &end, &ignored) != HD_OK)
        shim = running_shim(self, attempt, record);
    return add_watch(self, attempt, shim, shim.pid > 0 ? turn_of(record) : 0, err);
}

static enum hd_code process_start(struct hd_engine *engine, const struct hd_engine_job *job,
                                  struct hd_err *err)
{
    struct process_engine *self = of(engine);
    char record[HD_RECORD_PATH_MAX];
    if (!record_of(self, job->attempt, record))
        return hd_fail(err, HD_E_LIMIT, "the path of %s is too long", self->directory);
    if (hd_path_exists(record))
        return watch_found(self, job->attempt, record, err);
    enum hd_code code = hd_mkdirs(record, 0700, err);
    if (code != HD_OK)
        return code;
    uint64_t turn = free_turn(self);
    struct hd_record_owner shim = spawn_shim(self, record, job, turn);
    return add_watch(self, job->attempt, shim, turn, err);
}

static enum hd_code process_adopt(struct hd_engine *engine, struct hd_attempt_ref attempt,
                                  const struct hd_engine_job *job, struct hd_err *err)
{
    (void)job;
    struct process_engine *self = of(engine);
    char record[HD_RECORD_PATH_MAX];
    if (!record_of(self, attempt, record) || !hd_path_exists(record))
        return hd_fail(err, HD_E_NOTFOUND,
                       "job %u, attempt %u: the process engine does not know it", attempt.job,
                       attempt.attempt);
    struct hd_engine_end end;
    struct hd_err ignored;
    if (hd_record_read_end(record, &end, &ignored) != HD_OK &&
        running_shim(self, attempt, record).pid == 0 && never_started(record))
        return hd_fail(err, HD_E_NOTFOUND, "job %u, attempt %u: its target was never started",
                       attempt.job, attempt.attempt);
    return watch_found(self, attempt, record, err);
}

/* ---- stop, drop, remove --------------------------------------------------------------------- */

static void process_stop(struct hd_engine *engine, struct hd_attempt_ref attempt, int64_t grace_ms)
{
    struct process_engine *self = of(engine);
    char record[HD_RECORD_PATH_MAX];
    struct hd_err ignored;
    if (!record_of(self, attempt, record) || !hd_path_exists(record))
        return;
    struct hd_record_owner shim = running_shim(self, attempt, record);
    (void)!hd_record_write_number(record, "grace", grace_ms, &ignored);
    /* Before it owns its record a shim cannot take signals; it looks for the grace then. */
    char owner[HD_RECORD_PATH_MAX];
    if (hd_record_path(record, "owner", owner) && hd_path_exists(owner) && is_alive(shim))
        (void)kill(shim.pid, SIGTERM);
}

static bool wait_gone(struct hd_record_owner shim, int64_t wait_ms)
{
    int64_t until_ms = hd_clock_ms() + wait_ms;
    int pidfd = pidfd_open(shim.pid, 0);
    while (is_alive(shim) && hd_clock_ms() < until_ms) {
        struct pollfd poller = {.fd = pidfd, .events = POLLIN};
        int left_ms = (int)(until_ms - hd_clock_ms());
        (void)poll(&poller, 1, pidfd >= 0 ? left_ms : POLL_MS < left_ms ? POLL_MS : left_ms);
    }
    if (pidfd >= 0)
        close(pidfd);
    return !is_alive(shim);
}

static void process_drop(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    struct process_engine *self = of(engine);
    char record[HD_RECORD_PATH_MAX];
    struct hd_err ignored;
    if (!record_of(self, attempt, record) || !hd_path_exists(record))
        return;
    struct hd_record_owner shim = running_shim(self, attempt, record);
    remove_watch(self, attempt);
    if (is_alive(shim)) {
        (void)kill(shim.pid, SIGUSR1);
        if (!wait_gone(shim, DROP_WAIT_MS)) {
            (void)kill(shim.pid, SIGKILL); /* its target dies with it */
            (void)wait_gone(shim, DROP_WAIT_MS);
        }
    }
    if (shim.pid > 0)
        (void)waitpid(shim.pid, NULL, WNOHANG);
    end_cgroup(self, attempt);
    (void)!hd_remove_tree(record, &ignored);
}

static void process_remove(struct hd_engine *engine, struct hd_attempt_ref attempt)
{
    char record[HD_RECORD_PATH_MAX];
    struct hd_err ignored;
    if (record_of(of(engine), attempt, record))
        (void)!hd_remove_tree(record, &ignored);
}

/* ---- what there is -------------------------------------------------------------------------- */

static bool read_name(const char *name, struct hd_attempt_ref *ret_attempt)
{
    struct hd_attempt_ref attempt = {0}; /* a name holds no stamp */
    int used = 0;
    if (sscanf(name, "%16" SCNx64 "-%" SCNu32 "-%" SCNu32 "%n", &attempt.run_uid, &attempt.job,
               &attempt.attempt, &used) != 3 ||
        name[used] != '\0')
        return false;
    *ret_attempt = attempt;
    return true;
}

static void describe(struct process_engine *self, const char *record, struct hd_attempt_ref attempt,
                     struct hd_engine_found *found)
{
    struct hd_arena *arena = NULL;
    struct hd_record_spec spec;
    struct hd_engine_end end;
    struct hd_err ignored;
    memset(found, 0, sizeof(*found));
    found->attempt = attempt;
    found->running = hd_record_read_end(record, &end, &ignored) != HD_OK &&
                     is_alive(running_shim(self, attempt, record));
    if (hd_arena_new(ARENA_BYTES_MAX, &arena, &ignored) != HD_OK)
        return;
    if (hd_record_read_spec(record, arena, &spec, &ignored) == HD_OK)
        (void)hd_copy_text(found->run_dir, sizeof(found->run_dir), spec.run_dir);
    hd_arena_free(arena);
}

static enum hd_code process_list(struct hd_engine *engine, struct hd_engine_found *found,
                                 size_t found_max, size_t *ret_count, struct hd_err *err)
{
    struct process_engine *self = of(engine);
    DIR *directory = opendir(self->directory);
    size_t count = 0;
    struct dirent *entry;
    if (directory == NULL)
        return hd_fail(err, HD_E_IO, "cannot read %s: %s", self->directory, strerror(errno));
    while (count < found_max && (entry = readdir(directory)) != NULL) {
        char record[HD_RECORD_PATH_MAX];
        struct hd_attempt_ref attempt;
        if (read_name(entry->d_name, &attempt) && record_of(self, attempt, record))
            describe(self, record, attempt, &found[count++]);
    }
    closedir(directory);
    *ret_count = count;
    return HD_OK;
}

static enum hd_code process_answers(struct hd_engine *engine, struct hd_err *err)
{
    struct hd_engine_found found;
    size_t count = 0;
    return process_list(engine, &found, 1, &count, err);
}

static enum hd_code process_command_line(const struct hd_engine *engine,
                                         const struct hd_engine_job *job, struct hd_buf *out,
                                         struct hd_err *err)
{
    (void)engine;
    enum hd_code code = hd_buf_puts(out, "cd ", err);
    if (code == HD_OK)
        code = hd_engine_quote(job->cwd != NULL ? job->cwd : job->work_dir, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, " && env", err);
    char *const *words[] = {job->env, job->argv};
    for (size_t list = 0; list < HD_COUNT(words); list++)
        for (char *const *word = words[list]; word != NULL && *word != NULL && code == HD_OK;
             word++) {
            code = hd_buf_puts(out, " ", err);
            if (code == HD_OK)
                code = hd_engine_quote(*word, out, err);
        }
    return code;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void process_close(struct hd_engine *engine)
{
    struct process_engine *self = of(engine);
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    pthread_mutex_unlock(&self->lock);
    wake(self);
    pthread_join(self->thread, NULL);
    for (size_t i = 0; i < self->watch_count; i++)
        if (self->watches[i].pidfd >= 0)
            close(self->watches[i].pidfd);
    pthread_mutex_destroy(&self->lock);
    close(self->wake_fd);
    hd_free(self->shim_path);
    hd_free(self);
}

static const struct hd_engine_ops process_ops = {
    .name = "process",
    .start = process_start,
    .stop = process_stop,
    .drop = process_drop,
    .remove = process_remove,
    .list = process_list,
    .answers = process_answers,
    .adopt = process_adopt,
    .command_line = process_command_line,
    .close = process_close,
};

static enum hd_code take_user(struct process_engine *self, const char *name, struct hd_err *err)
{
    if (geteuid() != 0)
        return hd_fail(err, HD_E_INVALID,
                       "--target-user %s: only root may start targets as another user", name);
    if (getpwnam(name) == NULL || !hd_copy_text(self->user, sizeof(self->user), name))
        return hd_fail(err, HD_E_INVALID, "--target-user %s: there is no such user", name);
    return HD_OK;
}

static enum hd_code open_cgroup(struct process_engine *self, const char *directory,
                                struct hd_err *err)
{
    struct hd_cgroup_kinds kinds;
    enum hd_code code = hd_cgroup_prepare(directory, &kinds, err);
    if (code != HD_OK)
        return hd_fail_in(err, "--cgroup");
    if (!hd_copy_text(self->cgroup, sizeof(self->cgroup), directory))
        return hd_fail(err, HD_E_LIMIT, "--cgroup: the path is too long");
    bool any = kinds.memory || kinds.pids || kinds.cpus;
    hd_log(HD_LOG_INFO, "targets have control groups in %s; the kernel limits%s%s%s%s", directory,
           any ? "" : " nothing there (no controller is delegated), and all is watched",
           kinds.memory ? " memory" : "", kinds.pids ? " processes" : "",
           kinds.cpus ? " CPUs" : "");
    return HD_OK;
}

enum hd_code hd_engine_open_process(const struct hd_engine_options *options,
                                    struct hd_engine **ret_engine, struct hd_err *err)
{
    struct process_engine *self = hd_calloc(1, sizeof(*self));
    if (self == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the process engine");
    self->engine.ops = &process_ops;
    self->queue = options->queue;
    self->wake_fd = -1;
    enum hd_code code = HD_OK;
    if (options->state_dir[0] != '/' ||
        !hd_format(self->directory, sizeof(self->directory), "%s/process", options->state_dir))
        code = hd_fail(err, HD_E_INVALID, "the worker's directory %s must be an absolute path",
                       options->state_dir);
    if (code == HD_OK)
        code = hd_mkdirs(self->directory, 0700, err);
    if (code == HD_OK && options->user != NULL)
        code = take_user(self, options->user, err);
    if (code == HD_OK && options->cgroup != NULL)
        code = open_cgroup(self, options->cgroup, err);
    if (code == HD_OK)
        code = hd_sibling_program(HD_SHIM_NAME, &self->shim_path, err);
    if (code == HD_OK && (self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        code = hd_fail(err, HD_E_IO, "no event descriptor: %s", strerror(errno));
    if (code == HD_OK) {
        hd_assert(pthread_mutex_init(&self->lock, NULL) == 0);
        if (pthread_create(&self->thread, NULL, watch_shims, self) != 0) {
            pthread_mutex_destroy(&self->lock);
            code = hd_fail(err, HD_E_NOMEM, "cannot start the process engine's thread");
        }
    }
    if (code != HD_OK) {
        if (self->wake_fd >= 0)
            close(self->wake_fd);
        hd_free(self->shim_path);
        hd_free(self);
        return code;
    }
    *ret_engine = &self->engine;
    return HD_OK;
}
