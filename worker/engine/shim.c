/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.c: hd-shim RECORD: stands between a worker and one target of the process engine. It outlives
 * the worker, keeps the target's limits and its log, and writes down how it ended.
 *
 * Limits: time is exact. In a control group of its own (cgroup.h) the kernel keeps the others.
 * Otherwise memory and the number of processes are looked at ten times a second, so that a burst
 * between two looks is not seen; CPUs are whole ones of the machine that others may use too.
 *
 * Signals from the engine: TERM asks the target to stop (grace from the record, then KILL), USR1
 * kills it at once. Whatever the target leaves running is killed when its first process ends.
 */
#include "cgroup.h"
#include "family.h"
#include "log_sink.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (64u * 1024u * 1024u)
#define CHUNK_BYTES 65536
#define USE_SAMPLE_MS 100
#define RECORD_RETRY_MS 1000
#define RECORD_TRIES 3600 /* a full disk may be cleared within the hour */
#define ROOM_BYTES 16384  /* kept free for the end, and for what the worker notes of it */

struct shim {
    const char *record;
    struct hd_record_spec spec;
    bool grouped;                /* it has a control group */
    struct hd_cgroup_kinds kept; /* by the kernel */
    struct hd_log_sink log;
    int signal_fd;
    int output_fd; /* what the target prints; -1 at its end */
    pid_t target;
    bool target_ended;
    int status;
    bool stopping;
    int64_t timeout_at_ms, kill_at_ms, sample_at_ms; /* HD_NEVER_MS: not */
    uint64_t tasks; /* that it had when they were too many; 0 never */
    struct hd_engine_end end;
};

/* ---- the target ----------------------------------------------------------------------------- */

enum stage { STAGE_DIRECTORY = 1, STAGE_FORK_SETUP, STAGE_USER, STAGE_EXEC };
struct child_report {
    enum stage stage;
    int number;
};

static _Noreturn void fail_child(int fd, enum stage stage)
{
    struct child_report report = {stage, errno};
    (void)!write(fd, &report, sizeof(report));
    _exit(127);
}

/* Some of the CPUs that this worker may use, others for its neighbours while there are enough. */
static void choose_cpus(const struct hd_record_spec *spec)
{
    cpu_set_t ours, chosen;
    if (spec->cpus == 0 || sched_getaffinity(0, sizeof(ours), &ours) != 0 ||
        (uint64_t)CPU_COUNT(&ours) <= spec->cpus)
        return;
    uint64_t count = (uint64_t)CPU_COUNT(&ours), first = spec->turn * spec->cpus % count, seen = 0;
    CPU_ZERO(&chosen);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &ours) && (seen++ + count - first) % count < spec->cpus)
            CPU_SET(cpu, &chosen);
    (void)sched_setaffinity(0, sizeof(chosen), &chosen);
}

/* For good, with that user's groups, name and home. */
static bool become(const char *user)
{
    if (user[0] == '\0')
        return true;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        errno = ENOENT;
        return false;
    }
    uid_t uid = entry->pw_uid;
    gid_t gid = entry->pw_gid;
    return setenv("HOME", entry->pw_dir, 1) == 0 && setenv("USER", user, 1) == 0 &&
           setenv("LOGNAME", user, 1) == 0 && initgroups(user, gid) == 0 &&
           setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

/* In the child, before exec. The parent is single-threaded, so every call is allowed. */
static _Noreturn void run_target(const struct shim *shim, int output, int report_fd)
{
    const struct hd_record_spec *spec = &shim->spec;
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (empty < 0 || dup2(empty, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        fail_child(report_fd, STAGE_FORK_SETUP);
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    /* The sum of all processes is watched; this stops a single one from growing between looks. */
    const struct rlimit data = {2 * spec->memory_bytes, 2 * spec->memory_bytes};
    if (spec->memory_bytes > 0 && !shim->kept.memory && setrlimit(RLIMIT_DATA, &data) != 0)
        fail_child(report_fd, STAGE_FORK_SETUP);
    if (!shim->kept.cpus)
        choose_cpus(spec);
    if (shim->grouped && !hd_cgroup_enter(spec->cgroup))
        fail_child(report_fd, STAGE_FORK_SETUP);
    environ = spec->env;
    if (!become(spec->user))
        fail_child(report_fd, STAGE_USER);
    /* A killed shim takes its target along. After the change of user, which would undo it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(spec->cwd) != 0)
        fail_child(report_fd, STAGE_DIRECTORY);
    if (spec->program[0] != '\0')
        execv(spec->program, spec->argv);
    else
        execvp(spec->argv[0], spec->argv);
    fail_child(report_fd, STAGE_EXEC);
}

/* A target without one is watched as on machines that have none. */
static void make_group(struct shim *shim)
{
    struct hd_err err;
    const struct hd_record_spec *spec = &shim->spec;
    const struct hd_cgroup_limits limits = {
        .memory_bytes = spec->memory_bytes, .pids = spec->pids, .cpu_millis = spec->cpu_millis};
    if (spec->cgroup[0] == '\0')
        return;
    if (hd_cgroup_make(spec->cgroup, &limits, &shim->kept, &err) == HD_OK)
        shim->grouped = true;
    else
        fprintf(stderr, "hd-shim: %s\n", err.text);
}

static void note_not_started(struct shim *shim, const struct child_report *report)
{
    const struct hd_record_spec *spec = &shim->spec;
    struct hd_engine_end *end = &shim->end;
    end->kind = HD_END_NOT_STARTED;
    end->config_error = report->stage != STAGE_FORK_SETUP && report->stage != STAGE_USER &&
                        report->number != EAGAIN && report->number != ENOMEM &&
                        report->number != ENOSPC;
    const char *reason = strerror(report->number);
    if (report->stage == STAGE_DIRECTORY)
        hd_format(end->message, sizeof(end->message), "cannot enter the directory %.300s: %s",
                  spec->cwd, reason);
    else if (report->stage == STAGE_USER)
        hd_format(end->message, sizeof(end->message), "cannot become user %.100s: %s", spec->user,
                  reason);
    else if (report->stage == STAGE_EXEC)
        hd_format(end->message, sizeof(end->message), "cannot run %.300s (in %.100s): %s",
                  spec->argv[0], spec->cwd, reason);
    else
        hd_format(end->message, sizeof(end->message), "cannot prepare the target's process: %s",
                  reason);
}

/* True when the target runs. */
static bool start_target(struct shim *shim)
{
    int output[2], report_pipe[2];
    make_group(shim);
    struct child_report report = {STAGE_FORK_SETUP, 0};
    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(report_pipe, O_CLOEXEC) != 0 ||
        (shim->target = fork()) < 0) {
        report.number = errno;
        note_not_started(shim, &report);
        return false;
    }
    if (shim->target == 0)
        run_target(shim, output[1], report_pipe[1]);
    close(output[1]);
    close(report_pipe[1]);
    ssize_t got;
    do
        got = read(report_pipe[0], &report, sizeof(report));
    while (got < 0 && errno == EINTR);
    close(report_pipe[0]);
    if (got == (ssize_t)sizeof(report)) {
        (void)waitpid(shim->target, NULL, 0);
        close(output[0]);
        note_not_started(shim, &report);
        return false;
    }
    shim->output_fd = output[0];
    (void)fcntl(shim->output_fd, F_SETFL, O_NONBLOCK);
    (void)setpgid(shim->target, shim->target);
    return true;
}

/* ---- ending it ------------------------------------------------------------------------------ */

static void kill_target(struct shim *shim)
{
    shim->kill_at_ms = HD_NEVER_MS;
    if (shim->grouped)
        hd_cgroup_kill(shim->spec.cgroup);
    (void)hd_family_signal(SIGKILL);
}

static void ask_target(struct shim *shim, int64_t grace_ms)
{
    if (shim->stopping)
        return;
    shim->stopping = true;
    shim->kill_at_ms = hd_clock_ms() + (grace_ms > 0 ? grace_ms : 0);
    (void)kill(-shim->target, SIGTERM);
    (void)kill(-shim->target, SIGCONT); /* a stopped target could not obey */
}

static void stop_for_worker(struct shim *shim)
{
    int64_t grace_ms = shim->spec.grace_ms;
    struct hd_err ignored;
    (void)!hd_record_read_number(shim->record, "grace", &grace_ms, &ignored);
    if (!shim->end.timed_out)
        shim->end.stopped = true;
    ask_target(shim, grace_ms);
}

static void reap(struct shim *shim)
{
    int status;
    pid_t pid;
    while (!shim->target_ended && (pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == shim->target) {
            shim->target_ended = true;
            shim->status = status;
        }
}

static void take_signals(struct shim *shim)
{
    struct signalfd_siginfo info;
    while (read(shim->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM)
            stop_for_worker(shim);
        else if (info.ssi_signo == SIGUSR1)
            kill_target(shim);
    }
    reap(shim);
}

/* ---- while it runs -------------------------------------------------------------------------- */

/* One chunk, so that a target that prints without end does not keep us from its limits. */
static bool take_output(struct shim *shim)
{
    char chunk[CHUNK_BYTES];
    ssize_t got = read(shim->output_fd, chunk, sizeof(chunk));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        close(shim->output_fd);
        shim->output_fd = -1;
        return false;
    }
    hd_log_sink_write(&shim->log, chunk, (size_t)got);
    return true;
}

static void keep_limits(struct shim *shim)
{
    int64_t now_ms = hd_clock_ms();
    if (now_ms >= shim->timeout_at_ms) {
        shim->timeout_at_ms = HD_NEVER_MS;
        if (!shim->stopping)
            shim->end.timed_out = true;
        ask_target(shim, shim->spec.grace_ms);
    }
    if (now_ms >= shim->sample_at_ms) {
        shim->sample_at_ms = now_ms + USE_SAMPLE_MS;
        const struct hd_record_spec *spec = &shim->spec;
        struct hd_family_use use = hd_family_use();
        if (spec->memory_bytes > 0 && !shim->kept.memory && use.memory_bytes > spec->memory_bytes)
            shim->end.oom_killed = true;
        else if (spec->pids > 0 && !shim->kept.pids && use.tasks > spec->pids)
            shim->tasks = use.tasks;
        if (shim->end.oom_killed || shim->tasks > 0)
            kill_target(shim);
    }
    if (now_ms >= shim->kill_at_ms)
        kill_target(shim);
}

static int wait_ms(const struct shim *shim)
{
    int64_t at_ms = shim->timeout_at_ms;
    if (shim->kill_at_ms < at_ms)
        at_ms = shim->kill_at_ms;
    if (shim->sample_at_ms < at_ms)
        at_ms = shim->sample_at_ms;
    if (at_ms == HD_NEVER_MS)
        return -1;
    int64_t left_ms = at_ms - hd_clock_ms();
    return left_ms < 0 ? 0 : left_ms > 3600000 ? 3600000 : (int)left_ms;
}

static void watch_target(struct shim *shim)
{
    while (!shim->target_ended) {
        struct pollfd fds[2] = {{.fd = shim->signal_fd, .events = POLLIN},
                                {.fd = shim->output_fd, .events = POLLIN}};
        (void)poll(fds, 2, wait_ms(shim)); /* a negative descriptor is passed over */
        take_signals(shim);
        if (shim->output_fd >= 0 && fds[1].revents != 0)
            (void)take_output(shim);
        keep_limits(shim);
    }
}

static void note_group(struct shim *shim)
{
    struct hd_engine_end *end = &shim->end;
    uint64_t oom_kills, refused;
    hd_cgroup_count(shim->spec.cgroup, &oom_kills, &refused);
    end->oom_killed = end->oom_killed || oom_kills > 0;
    if (refused > 0 && end->exit_code != 0 && end->message[0] == '\0')
        hd_format(end->message, sizeof(end->message),
                  "it was refused processes or threads, resources.pids allows %llu",
                  (unsigned long long)shim->spec.pids);
}

static void note_end(struct shim *shim)
{
    struct hd_engine_end *end = &shim->end;
    struct rusage usage;
    end->kind = HD_END_EXITED;
    end->exit_code =
        WIFEXITED(shim->status) ? WEXITSTATUS(shim->status) : 128 + WTERMSIG(shim->status);
    if (shim->grouped)
        note_group(shim);
    /* It may have died of the limit between two looks. */
    if (shim->spec.memory_bytes > 0 && !shim->kept.memory && end->exit_code != 0 &&
        !shim->stopping && getrusage(RUSAGE_CHILDREN, &usage) == 0 &&
        (uint64_t)usage.ru_maxrss * 1024 > shim->spec.memory_bytes)
        end->oom_killed = true;
    if (shim->tasks > 0) { /* its own doing, and no KILL from elsewhere */
        end->exit_code = 1;
        hd_format(end->message, sizeof(end->message),
                  "it had %llu processes and threads, resources.pids allows %llu",
                  (unsigned long long)shim->tasks, (unsigned long long)shim->spec.pids);
    }
    if (!hd_family_end())
        hd_format(end->message, sizeof(end->message),
                  "some processes that the target started could not be ended");
    while (shim->output_fd >= 0 && take_output(shim))
        continue;
}

/* With whatever is still in it. */
static void leave_group(struct shim *shim)
{
    if (shim->grouped)
        hd_cgroup_end(shim->spec.cgroup);
}

/* ---- life ----------------------------------------------------------------------------------- */

/* A target that fills the disk would otherwise seem to run until somebody makes room. */
static void keep_room(const struct shim *shim)
{
    static const char zeros[ROOM_BYTES];
    char path[HD_RECORD_PATH_MAX];
    struct hd_err ignored;
    if (hd_record_path(shim->record, "room", path))
        (void)!hd_file_replace(path, zeros, sizeof(zeros), 0600, &ignored);
}

static void use_room(const struct shim *shim)
{
    char path[HD_RECORD_PATH_MAX];
    if (hd_record_path(shim->record, "room", path))
        (void)unlink(path);
}

static void write_end(struct shim *shim)
{
    struct hd_err err;
    shim->end.finished_wall_ms = hd_clock_wall_ms();
    use_room(shim);
    for (int i = 0; i < RECORD_TRIES; i++) {
        if (hd_record_write_end(shim->record, &shim->end, &err) == HD_OK)
            return;
        if (!hd_path_exists(shim->record))
            return; /* dropped: nobody wants to know */
        fprintf(stderr, "hd-shim: %s\n", err.text);
        const struct timespec pause = {.tv_sec = RECORD_RETRY_MS / 1000};
        (void)nanosleep(&pause, NULL);
    }
}

static int prepare_signals(void)
{
    static const int ours[] = {SIGTERM, SIGUSR1, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < HD_COUNT(ours); i++)
        sigaddset(&set, ours[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < HD_COUNT(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The engine signals only shims that own their record: an earlier wish is in the record alone. */
static bool asked_to_stop(const struct shim *shim)
{
    int64_t grace_ms;
    struct hd_err ignored;
    return hd_record_read_number(shim->record, "grace", &grace_ms, &ignored) == HD_OK;
}

static void run(struct shim *shim)
{
    struct hd_err err;
    shim->end.started_wall_ms = hd_clock_wall_ms();
    if (hd_log_sink_open(&shim->log, shim->spec.log_path, HD_LOG_BYTES_MAX, &err) != HD_OK) {
        shim->end.kind = HD_END_NOT_STARTED;
        (void)hd_copy_text(shim->end.message, sizeof(shim->end.message), err.text);
        return;
    }
    if (asked_to_stop(shim)) {
        shim->end.kind = HD_END_EXITED;
        shim->end.stopped = true;
        shim->end.exit_code = 128 + SIGTERM;
        (void)hd_copy_text(shim->end.message, sizeof(shim->end.message), "stopped before it began");
    } else if (hd_record_write_number(shim->record, "begun", shim->end.started_wall_ms, &err) !=
               HD_OK) {
        shim->end.kind = HD_END_NOT_STARTED;
        (void)hd_copy_text(shim->end.message, sizeof(shim->end.message), err.text);
    } else if (start_target(shim)) {
        int64_t now_ms = hd_clock_ms();
        if (shim->spec.timeout_ms > 0)
            shim->timeout_at_ms = now_ms + shim->spec.timeout_ms;
        if ((shim->spec.memory_bytes > 0 && !shim->kept.memory) ||
            (shim->spec.pids > 0 && !shim->kept.pids))
            shim->sample_at_ms = now_ms;
        watch_target(shim);
        note_end(shim);
    }
    leave_group(shim);
    hd_log_sink_close(&shim->log);
}

int main(int argc, char **argv)
{
    struct hd_err err;
    struct hd_arena *arena = NULL;
    struct shim shim = {
        .signal_fd = -1,
        .output_fd = -1,
        .log.fd = -1,
        .timeout_at_ms = HD_NEVER_MS,
        .kill_at_ms = HD_NEVER_MS,
        .sample_at_ms = HD_NEVER_MS,
    };
    if (argc != 2 || argv[1][0] != '/') {
        fprintf(stderr, "hd-shim is started by hd-worker, not by hand\n");
        return HD_EXIT_USAGE;
    }
    shim.record = argv[1];
    const struct hd_record_owner self = {getpid(), hd_process_start_ticks(getpid())};
    struct hd_record_owner owner;
    shim.signal_fd = prepare_signals();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (shim.signal_fd < 0 || hd_arena_new(ARENA_BYTES_MAX, &arena, &err) != HD_OK ||
        hd_record_read_spec(shim.record, arena, &shim.spec, &err) != HD_OK ||
        hd_record_claim(shim.record, self, &owner, &err) != HD_OK) {
        fprintf(stderr, "hd-shim: %s\n", err.text);
        hd_arena_free(arena);
        return HD_EXIT_FAILED;
    }
    if (owner.pid == self.pid && owner.ticks == self.ticks) {
        keep_room(&shim);
        run(&shim);
        write_end(&shim);
    }
    hd_arena_free(arena);
    return HD_EXIT_OK;
}
