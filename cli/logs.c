/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd logs: what an attempt wrote, from where it lies on this machine:
 *   STATE_DIR/runs/RUN/logs/JOB-ATTEMPT.log, kept by the master, or
 *   STATE_DIR/work/WORKER/RUN/run/JOB-ATTEMPT/log.txt, in the work root of a local worker.
 */
#include "logs.h"

#include "commands.h"
#include "common/safe_text.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE_MAX LOGS_PATH_MAX
#define POLL_MS 300

struct logs {
    struct cli_source *source;
    const char *state_dir;
    char run_id[HD_ID_MAX + 1];
    char worker[256];
    int64_t job;
    int64_t attempt; /* 0: the last one */
    bool running;
    bool unstarted; /* as far as its outcome tells */
};

/* ---- which attempt -------------------------------------------------------------------------- */

static const struct hd_value *find_attempt(const struct hd_value *attempts, int64_t number)
{
    for (size_t i = 0; i < attempts->as.array.count; i++)
        if (cli_integer(attempts->as.array.items[i], "attempt") == number)
            return attempts->as.array.items[i];
    return NULL;
}

static enum hd_code read_job(struct logs *logs, struct hd_err *err)
{
    struct hd_value *arguments = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&arguments, "job", hd_value_new_int(logs->job), err);
    if (code == HD_OK)
        code = cli_read(logs->source, "job", arguments, &answer, err);
    hd_value_free(arguments);
    if (code != HD_OK)
        return code;
    int64_t last = cli_integer(answer, "attempt");
    logs->job = cli_integer(answer, "job");
    if (logs->attempt == 0)
        logs->attempt = last;
    const struct hd_value *attempt = find_attempt(hd_value_get(answer, "attempts"), logs->attempt);
    if (last == 0)
        code = hd_fail(err, HD_E_NOTFOUND, "job %lld has not been started", (long long)logs->job);
    else if (attempt == NULL)
        code = hd_fail(err, HD_E_NOTFOUND, "job %lld has no attempt %lld; the last one is %lld",
                       (long long)logs->job, (long long)logs->attempt, (long long)last);
    if (code == HD_OK) {
        (void)hd_copy_text(logs->run_id, sizeof(logs->run_id), cli_text(answer, "run_id"));
        (void)hd_copy_text(logs->worker, sizeof(logs->worker), cli_text(attempt, "worker"));
        logs->running = cli_text(attempt, "outcome")[0] == '\0';
        logs->unstarted = hd_streq(cli_text(attempt, "outcome"), "config-error");
    }
    hd_value_free(answer);
    return code;
}

/* ---- which file ----------------------------------------------------------------------------- */

/* Some local worker's; true when one of them has it. */
static bool search_work_roots(const char *state_dir, const char *run_id, int64_t job,
                              int64_t attempt, char *path)
{
    char work[PATH_SIZE_MAX];
    if (!hd_format(work, sizeof(work), "%s/work", state_dir))
        return false;
    DIR *directory = opendir(work);
    bool found = false;
    for (struct dirent *entry = NULL;
         directory != NULL && !found && (entry = readdir(directory)) != NULL;)
        found = entry->d_name[0] != '.' &&
                hd_format(path, PATH_SIZE_MAX, "%s/%s/%s/run/%lld-%lld/log.txt", work,
                          entry->d_name, run_id, (long long)job, (long long)attempt) &&
                hd_path_exists(path);
    if (directory != NULL)
        closedir(directory);
    return found;
}

bool logs_find(const char *state_dir, const char *run_id, int64_t job, int64_t attempt, char *path)
{
    return (hd_format(path, PATH_SIZE_MAX, "%s/runs/%s/logs/%lld-%lld.log", state_dir, run_id,
                      (long long)job, (long long)attempt) &&
            hd_path_exists(path)) ||
           search_work_roots(state_dir, run_id, job, attempt, path);
}

static enum hd_code find_log(const struct logs *logs, char *path, struct hd_err *err)
{
    if (logs_find(logs->state_dir, logs->run_id, logs->job, logs->attempt, path))
        return HD_OK;
    return hd_fail(err, HD_E_NOTFOUND,
                   "no log of job %lld, attempt %lld, on this machine: %sworker %s has it, in "
                   "%s/run/%lld-%lld/log.txt under its work directory",
                   (long long)logs->job, (long long)logs->attempt,
                   logs->unstarted ? "it could not be started (hd show says why); if it wrote one, "
                                   : "",
                   logs->worker, logs->run_id, (long long)logs->job, (long long)logs->attempt);
}

/* ---- printing ------------------------------------------------------------------------------- */

/* safe: NULL when no terminal reads it. */
static bool copy_rest(FILE *file, struct cli_safe_text *safe)
{
    char bytes[16384], shown[sizeof(bytes) + CLI_SAFE_HELD_MAX];
    bool any = false;
    size_t size;
    clearerr(file); /* at the end of a file that grows */
    while ((size = fread(bytes, 1, sizeof(bytes), file)) > 0) {
        any = true;
        if (safe != NULL)
            size = cli_safe_text(safe, bytes, size, shown);
        if (fwrite(safe != NULL ? shown : bytes, 1, size, stdout) != size)
            return false;
    }
    fflush(stdout);
    return any;
}

/* Until the attempt has ended and the file has been read to its end. */
static enum hd_code print_log(struct logs *logs, bool follow, const char *path, struct hd_err *err)
{
    int fd = -1;
    enum hd_code code = hd_file_open_regular(path, &fd, err);
    if (code != HD_OK)
        return code;
    FILE *file = fdopen(fd, "rb");
    if (file == NULL) {
        close(fd);
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    }
    struct cli_safe_text terminal = {0}, *safe = isatty(STDOUT_FILENO) ? &terminal : NULL;
    bool any = copy_rest(file, safe);
    while (follow && logs->running && code == HD_OK && ferror(stdout) == 0) {
        if (!any)
            (void)poll(NULL, 0, POLL_MS);
        code = read_job(logs, err);
        any = copy_rest(file, safe);
    }
    if (terminal.coloured)
        fputs("\033[0m", stdout);
    if (code == HD_OK && ferror(file) != 0)
        code = hd_fail(err, HD_E_IO, "%s cannot be read", path);
    fclose(file);
    return code;
}

int cmd_logs(int argc, char **argv)
{
    struct cli_common common = {0};
    struct logs logs = {0};
    struct hd_err err;
    const char *words[2] = {NULL};
    bool follow = false, only_path = false, all = false;
    char path[PATH_SIZE_MAX];
    const struct hd_option options[] = {
        CLI_RUN_OPTION(common),
        CLI_STATE_DIR_OPTION(common),
        {.name = "attempt",
         .kind = HD_OPTION_INT,
         .value = &logs.attempt,
         .hint = "N",
         .int_min = 1,
         .int_max = UINT32_MAX,
         .help = "which attempt; otherwise the last"},
        {.name = "follow",
         .kind = HD_OPTION_FLAG,
         .value = &follow,
         .help = "go on until the attempt ends; with --all until the run is over"},
        {.name = "all",
         .kind = HD_OPTION_FLAG,
         .value = &all,
         .help = "of all jobs of the run, each line with JOB-ATTEMPT before it"},
        {.name = "path",
         .kind = HD_OPTION_FLAG,
         .value = &only_path,
         .help = "print where the log is instead"},
    };
    const struct hd_program program = {
        .name = "hd logs",
        .summary = "what a job wrote",
        .usage = "hd logs JOB|best [RUN] | --all [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 2,
        .epilogue = "Standard output and error of the target, as far as they are on this machine.",
    };
    size_t count = 0;
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, words, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    logs.state_dir = cli_state_dir(common.state_dir);
    enum hd_code code = HD_OK;
    if (count != (all ? 0 : 1) && count != (all ? 1 : 2))
        code = hd_fail(&err, HD_E_INVALID, "give a JOB, or --all");
    else if (all && (only_path || logs.attempt != 0))
        code = hd_fail(&err, HD_E_INVALID, "--all goes with --follow alone");
    if (code == HD_OK && count > (all ? 0 : 1) && common.run == NULL)
        common.run = words[all ? 0 : 1];
    if (code == HD_OK && !all)
        code = cli_parse_job(words[0], &logs.job, &err);
    if (code == HD_OK)
        code = cli_open(&common, &logs.source, &err);
    if (code == HD_OK && all) {
        code = logs_print_all(logs.source, logs.state_dir, follow, &err);
        cli_close(logs.source);
        return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
    }
    if (code == HD_OK)
        code = read_job(&logs, &err);
    if (code == HD_OK)
        code = find_log(&logs, path, &err);
    if (code == HD_OK && only_path)
        printf("%s\n", path);
    else if (code == HD_OK)
        code = print_log(&logs, follow, path, &err);
    cli_close(logs.source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
