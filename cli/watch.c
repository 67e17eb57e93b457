/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: looking at a run; hd attach, which does nothing else. */
#include "watch.h"

#include "act.h"
#include "commands.h"

#include <hd/experiment.h>

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define TICK_MS 100
#define STATUS_PERIOD_MS 500
#define STATUS_SHARE 10 /* ... or so many times as long as the last look took */
#define DISK_BYTES_MIN (64u * 1024u)
#define WAITS_PERIOD_MS 5000  /* how often a live master is asked what a run waits for */
#define MASTER_MISSED_MS 5000 /* longer than it takes to start one again */

static volatile sig_atomic_t interrupts;
volatile bool watch_hurry;

static void on_signal(int number)
{
    (void)number;
    if (++interrupts > 1)
        watch_hurry = true;
}

void watch_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGHUP, SIG_IGN); /* the processes live on; --resume finds them */
    signal(SIGPIPE, SIG_IGN);
}

static enum hd_code read_view(const struct run_arguments *arguments, const char *run_id,
                              const char *view, struct hd_value **ret_answer, struct hd_err *err)
{
    struct cli_common where = {
        .state_dir = arguments->state_dir, .run = run_id, .remote = arguments->remote};
    struct cli_source *source = NULL;
    enum hd_code code = cli_open(&where, &source, err);
    if (code == HD_OK)
        code = cli_read(source, view, NULL, ret_answer, err);
    cli_close(source);
    return code;
}

enum hd_code watch_status(const struct run_arguments *arguments, const char *run_id,
                          struct hd_value **ret_status, struct hd_err *err)
{
    return read_view(arguments, run_id, "status", ret_status, err);
}

static bool state_is(const struct hd_value *status, const char *state)
{
    const struct hd_value *value = hd_value_get(status, "state");
    return value != NULL && value->kind == HD_VALUE_STRING && hd_streq(value->as.string, state);
}

enum hd_code watch_refuse_difference(const struct run_arguments *arguments, const char *run_id,
                                     const struct hd_experiment *experiment, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    struct hd_experiment *recorded = NULL;
    struct hd_buf diff;
    hd_buf_init(&diff, HD_EXPERIMENT_BYTES_MAX);
    enum hd_code code = read_view(arguments, run_id, "experiment", &answer, err);
    if (code == HD_OK)
        code = hd_experiment_parse(hd_value_get(answer, "experiment"), "the recorded experiment",
                                   NULL, &recorded, err);
    if (code == HD_OK)
        code = hd_experiment_diff(recorded, experiment, &diff, err);
    if (code == HD_OK && diff.size > 0)
        code = hd_fail(err, HD_E_CONFLICT,
                       "run %s was started with another experiment; this is what differs:\n%s"
                       "give the old experiment to resume it, or --run-id OTHER to start anew",
                       run_id, hd_buf_text(&diff));
    hd_experiment_free(recorded);
    hd_value_free(answer);
    hd_buf_release(&diff);
    return code;
}

enum hd_code watch_resume_paused(const struct run_arguments *arguments, const char *run_id,
                                 struct hd_err *err)
{
    struct cli_common where = {.state_dir = arguments->state_dir};
    struct hd_value *status = NULL;
    struct hd_err ignored; /* the run may not be there yet */
    if (run_id == NULL || !arguments->resume ||
        watch_status(arguments, run_id, &status, &ignored) != HD_OK)
        return HD_OK;
    bool told, paused = state_is(status, "paused");
    hd_value_free(status);
    enum hd_code code =
        paused ? cli_order_live(&where,
                                &(struct cli_order){.op = HD_COMMAND_RESUME_RUN, .run_id = run_id},
                                &told, err)
               : HD_OK;
    /* It went on in the meantime. */
    return code == HD_E_CONFLICT ? HD_OK : code;
}

bool watch_is_over(const struct hd_value *status)
{
    return state_is(status, "finished") || state_is(status, "cancelled");
}

int watch_exit_of(const struct hd_value *status)
{
    if (state_is(status, "finished"))
        return HD_EXIT_OK;
    return state_is(status, "paused") ? HD_EXIT_PAUSED : HD_EXIT_INTERRUPTED;
}

bool watch_interrupted(void)
{
    return interrupts > 0;
}

void watch_name_state_dir(const struct run_arguments *arguments, char *text, size_t text_size)
{
    struct cli_quoted quoted;
    if (hd_streq(arguments->state_dir, cli_state_dir(NULL)) ||
        !hd_format(text, text_size, " --state-dir %s", cli_quote(arguments->state_dir, &quoted)))
        text[0] = '\0';
}

/* ---- watching
 * ---------------------------------------------------------------------------------------------- */

static void tick(void)
{
    struct timespec pause = {.tv_nsec = TICK_MS * 1000000L};
    nanosleep(&pause, NULL);
}

static void say_how_to_resume(const struct run_arguments *arguments, const char *run_id,
                              const char *file)
{
    if (arguments->json)
        return;
    if (arguments->state_dir == NULL) {
        printf("To go on: hd resume %s %s %s\n", run_id,
               arguments->remote.master != NULL ? "--master" : "--nameserver",
               arguments->remote.master != NULL ? arguments->remote.master
                                                : arguments->remote.nameserver);
        return;
    }
    char where[CLI_PATH_MAX];
    struct cli_quoted quoted;
    watch_name_state_dir(arguments, where, sizeof(where));
    if (file != NULL)
        printf("To go on: hd run %s --run-id %s --resume%s\n", cli_quote(file, &quoted), run_id,
               where);
    else
        printf("To go on: hd resume %s%s\n", run_id, where);
}

void watch_show_log_tail(const char *state_dir)
{
    char path[4096], line[1024], last[8][1024];
    unsigned count = 0;
    if (!hd_format(path, sizeof(path), "%s/logs/master.log", state_dir))
        return;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL)
        (void)hd_copy_text(last[count++ % 8], sizeof(last[0]), line);
    fclose(file);
    for (unsigned i = count > 8 ? count - 8 : 0; i < count; i++)
        fprintf(stderr, "  %s", last[i % 8]);
}

/* Who only looks on must not wait for ever for a master that has left: *since_ms is when it was
 * first missed. `read` is how the last reading ended. */
static enum hd_code look_for_master(const struct run_arguments *arguments, const char *run_id,
                                    enum hd_code read, int64_t *since_ms, struct hd_err *err)
{
    struct cli_master master;
    bool here = arguments->state_dir == NULL
                    ? read == HD_OK
                    : cli_master_of_state(arguments->state_dir, &master, err) == HD_OK;
    if (here) {
        *since_ms = HD_NEVER_MS;
        return HD_OK;
    }
    if (*since_ms == HD_NEVER_MS)
        *since_ms = hd_clock_ms();
    if (hd_clock_ms() - *since_ms < MASTER_MISSED_MS)
        return HD_OK;
    if (arguments->state_dir == NULL)
        return hd_fail_in(err, "the master has left");
    char where[CLI_PATH_MAX];
    watch_name_state_dir(arguments, where, sizeof(where));
    return hd_fail(err, HD_E_NOTFOUND,
                   "no master serves %s now; to go on with the run: hd resume %s%s",
                   arguments->state_dir, run_id != NULL ? run_id : "RUN", where);
}

/* What the whole run will cost, for those who did not read its file. */
static void plan_total(const struct run_arguments *arguments, const char *run_id,
                       struct progress *progress)
{
    struct hd_experiment_overrides none = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    struct hd_value *answer = NULL;
    struct hd_experiment *experiment = NULL;
    struct hd_err ignored; /* the line is shorter then */
    if (isnan(progress->budget_total) &&
        read_view(arguments, run_id, "experiment", &answer, &ignored) == HD_OK &&
        hd_experiment_parse(hd_value_get(answer, "experiment"), "experiment", &none, &experiment,
                            &ignored) == HD_OK)
        progress->budget_total = progress_planned_budget(experiment);
    hd_experiment_free(experiment);
    hd_value_free(answer);
}

bool watch_is_served(const struct run_arguments *arguments)
{
    struct cli_master master;
    struct hd_err ignored;
    return cli_master_of_state(arguments->state_dir, &master, &ignored) == HD_OK;
}

/* Nothing has ended for a while: the live master says why. */
static void look_why(const struct run_arguments *arguments, const struct hd_value *status,
                     struct progress *progress, int64_t *next_ms)
{
    const struct cli_common where = {.state_dir = arguments->state_dir,
                                     .remote = arguments->remote};
    struct hd_value *waits = NULL;
    struct hd_err ignored; /* looked at again */
    if (!progress_stands(progress) || progress->quiet || hd_clock_ms() < *next_ms)
        return;
    if (cli_waits(&where, cli_text(status, "run_id"), &waits, &ignored) == HD_OK)
        progress_set_waits(progress, cli_text(waits, "text"));
    hd_value_free(waits);
    *next_ms = hd_clock_ms() + WAITS_PERIOD_MS;
}

/* A master stays for as long as one of its runs is not over; with runs that are paused it would
 * stay until somebody resumes them. False also when it cannot be told. */
static bool waits_for_paused_only(const struct run_arguments *arguments)
{
    struct hd_value *answer = NULL;
    struct hd_err ignored;
    bool paused = false, others = false;
    if (read_view(arguments, NULL, "runs", &answer, &ignored) != HD_OK)
        return false;
    const struct hd_value *runs = hd_value_get(answer, "runs");
    for (size_t i = 0; runs != NULL && i < runs->as.array.count; i++) {
        const struct hd_value *run = runs->as.array.items[i];
        paused = paused || state_is(run, "paused");
        others = others || (!state_is(run, "paused") && !watch_is_over(run));
    }
    hd_value_free(answer);
    return paused && !others;
}

bool watch_all_is_over(const struct run_arguments *arguments)
{
    struct hd_value *answer = NULL;
    struct hd_err ignored;
    if (watch_is_served(arguments) ||
        read_view(arguments, NULL, "runs", &answer, &ignored) != HD_OK)
        return false;
    const struct hd_value *runs = hd_value_get(answer, "runs");
    bool over = runs != NULL;
    for (size_t i = 0; over && i < runs->as.array.count; i++)
        over = watch_is_over(runs->as.array.items[i]);
    hd_value_free(answer);
    return over;
}

/* One look. *ret_ended: there is nothing more to wait for. */
static enum hd_code look(const struct run_arguments *arguments, const char *run_id,
                         struct progress *progress, int64_t *why_ms, bool *ret_ended, int *ret_exit,
                         struct hd_err *err)
{
    struct hd_value *status = NULL;
    enum hd_code code = watch_status(arguments, run_id, &status, err);
    if (code != HD_OK)
        return code;
    look_why(arguments, status, progress, why_ms);
    progress_show(progress, status);
    *ret_ended = watch_is_over(status) || state_is(status, "paused");
    *ret_exit = watch_exit_of(status);
    hd_value_free(status);
    return HD_OK;
}

/* The disk below a run of our own. Programs wait for room and say so in their logs only; a
 * directory that is gone does not come back: one of that name that a worker has made since is
 * another one. `home` is the directory as it was before anything was shown of it. */
static enum hd_code look_at_disk(const char *state_dir, struct stat *home,
                                 struct progress *progress, bool *full, struct hd_err *err)
{
    struct stat now;
    struct statvfs disk;
    bool here = stat(state_dir, &now) == 0;
    if (here ? now.st_ino != home->st_ino || now.st_dev != home->st_dev : errno == ENOENT)
        return hd_fail(err, HD_E_NOTFOUND,
                       "the state directory %s has been removed: the run is stopped", state_dir);
    if (statvfs(state_dir, &disk) != 0)
        return HD_OK;
    bool now_full = disk.f_blocks > 0 && disk.f_bavail * disk.f_frsize < DISK_BYTES_MIN;
    if (now_full != *full)
        progress_note(progress, now_full ? "the disk of the state directory is full: jobs and "
                                           "results wait until there is room"
                                         : "there is room on the disk again");
    *full = now_full;
    return HD_OK;
}

/* A look at a run of a million jobs takes seconds of a processor that targets need. */
static int64_t next_look_ms(int64_t began_ms, int64_t ended_ms)
{
    int64_t pause_ms = STATUS_SHARE * (ended_ms - began_ms);
    return ended_ms + (pause_ms > STATUS_PERIOD_MS ? pause_ms : STATUS_PERIOD_MS);
}

enum hd_code watch(struct cluster *cluster, const struct run_arguments *arguments,
                   const char *run_id, struct progress *progress, void (*seen)(void), int *ret_exit,
                   struct hd_err *err)
{
    int64_t next_ms = 0, why_ms = 0, missed_ms = HD_NEVER_MS;
    bool ended = false, over = false, first = true, full = false;
    struct stat home = {.st_ino = 0};
    if (cluster != NULL && stat(arguments->state_dir, &home) != 0)
        return hd_fail(err, HD_E_IO, "cannot look at the state directory %s: %s",
                       arguments->state_dir, strerror(errno));
    plan_total(arguments, run_id, progress);
    while (interrupts == 0 && !over) {
        tick();
        if (cluster != NULL) {
            enum hd_code code = cluster_tend(cluster, &over, ret_exit, err);
            struct hd_err reason;
            /* Programs that fail because their directory is gone are not the reason. */
            if (code != HD_OK && look_at_disk(arguments->state_dir, &home, progress, &full,
                                              &reason) == HD_E_NOTFOUND)
                *err = reason;
            if (code != HD_OK)
                return code;
        }
        if (hd_clock_ms() < next_ms && !over)
            continue;
        int64_t began_ms = hd_clock_ms();
        int exit_code;
        /* Asked first: before the master has taken up the run, "paused" is how it was left. */
        bool taken_up = cluster == NULL || watch_is_served(arguments);
        /* An error is nothing yet: until the master has made its file, or while it is busy. */
        enum hd_code code = look(arguments, run_id, progress, &why_ms, &ended, &exit_code, err);
        next_ms = next_look_ms(began_ms, hd_clock_ms());
        if (code == HD_OK && first) {
            plan_total(arguments, run_id, progress);
            if (seen != NULL)
                seen();
            first = false;
        }
        /* A master whose runs are all over is about to leave by itself. */
        if (code == HD_OK && ended && !over && taken_up &&
            (cluster == NULL || exit_code == HD_EXIT_PAUSED || waits_for_paused_only(arguments))) {
            *ret_exit = exit_code;
            return HD_OK;
        }
        code = cluster == NULL ? look_for_master(arguments, run_id, code, &missed_ms, err)
                               : look_at_disk(arguments->state_dir, &home, progress, &full, err);
        if (code != HD_OK)
            return code;
    }
    if (!over)
        *ret_exit = HD_EXIT_INTERRUPTED;
    return HD_OK;
}

void watch_print_end(const struct run_arguments *arguments, const char *run_id, const char *file)
{
    struct hd_value *status = NULL;
    struct hd_err err;
    if (watch_status(arguments, run_id, &status, &err) != HD_OK) {
        fprintf(stderr, "hd: %s\n", err.text);
        if (arguments->state_dir != NULL)
            watch_show_log_tail(arguments->state_dir);
        return;
    }
    progress_print_end(status, arguments->state_dir, arguments->json);
    if (!watch_is_over(status))
        say_how_to_resume(arguments, cli_text(status, "run_id"), file);
    hd_value_free(status);
}

int cmd_attach(int argc, char **argv)
{
    struct run_arguments arguments = {.json = false};
    const struct hd_option options[] = {
        {.name = "state-dir",
         .kind = HD_OPTION_TEXT,
         .value = &arguments.state_dir,
         .hint = "DIR",
         .help = "where runs are kept (default: hyperdock-state)"},
        {.name = "json",
         .kind = HD_OPTION_FLAG,
         .value = &arguments.json,
         .help = "print the result as one JSON object, and no progress"},
        CLI_REMOTE_OPTIONS(arguments.remote),
    };
    const struct hd_program program = {
        .name = "hd attach",
        .summary = "shows a run's progress until it is over; Ctrl-C leaves it alone",
        .usage = "hd attach [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 0,
        .positional_max = 1,
    };
    const char *run_id = NULL;
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &run_id, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    struct hd_err err;
    struct hd_value *status = NULL;
    bool remote = false;
    enum hd_code code = cli_remote_check(&arguments.remote, arguments.state_dir, &remote, &err);
    if (code == HD_OK && !remote)
        arguments.state_dir = cli_state_dir(arguments.state_dir);
    if (code == HD_OK)
        code = watch_status(&arguments, run_id, &status, &err);
    hd_value_free(status);
    if (code != HD_OK)
        return cli_fail(&err);
    struct progress progress;
    int exit_code = HD_EXIT_FAILED;
    progress_init(&progress, arguments.json);
    watch_catch_signals();
    code = watch(NULL, &arguments, run_id, &progress, NULL, &exit_code, &err);
    progress_end(&progress);
    if (code == HD_OK && !watch_interrupted())
        watch_print_end(&arguments, run_id, NULL);
    return code == HD_OK ? exit_code : cli_fail(&err);
}
