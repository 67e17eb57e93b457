/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd fetch: what an attempt left, brought home from where it is: the work root of a local worker,
 * STATE_DIR/work/WORKER/RUN/run/JOB-ATTEMPT/, the master, the store that workers ship artifacts to,
 * or, by the way of the master, its worker.
 */
#include "fetch.h"
#include "commands.h"
#include "common/cli.h"

#include <hd/artifacts.h>
#include <hd/checkpoint.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE_MAX 4096
#define WAIT_MS 60000

struct fetch {
    struct cli_common common;
    struct cli_source *source;
    const char *to, *url, *credentials, *wait;
    int64_t wait_ms;
    char run_id[HD_ID_MAX + 1];
    char run_uid[17];
    char config_id[48];
    char worker[256];
    int64_t job;
    int64_t attempt; /* 0: the last one */
};

/* ---- which attempt -------------------------------------------------------------------------- */

static const struct hd_value *find_attempt(const struct hd_value *attempts, int64_t number)
{
    for (size_t i = 0; i < attempts->as.array.count; i++)
        if (cli_integer(attempts->as.array.items[i], "attempt") == number)
            return attempts->as.array.items[i];
    return NULL;
}

/* "[0,0,3]" is 0-0-3 in the names of a store. */
static void name_config(const struct hd_value *answer, char *ret_name, size_t size)
{
    char cell[CLI_CELL_MAX];
    size_t used = 0;
    for (const char *at = cli_cell(answer, "config_id", cell); *at != '\0' && used + 1 < size; at++)
        if (strchr("[] ", *at) == NULL)
            ret_name[used++] = (char)(*at == ',' ? '-' : *at);
    ret_name[used] = '\0';
}

static enum hd_code take_job(struct fetch *fetch, const struct hd_value *answer, struct hd_err *err)
{
    int64_t last = cli_integer(answer, "attempt");
    if (last == 0)
        return hd_fail(err, HD_E_NOTFOUND, "job %" PRId64 " has not been started", fetch->job);
    if (fetch->attempt == 0)
        fetch->attempt = last;
    const struct hd_value *attempt = find_attempt(hd_value_get(answer, "attempts"), fetch->attempt);
    if (attempt == NULL)
        return hd_fail(err, HD_E_NOTFOUND,
                       "job %" PRId64 " has no attempt %" PRId64 "; the last one is %" PRId64,
                       fetch->job, fetch->attempt, last);
    if (cli_text(attempt, "outcome")[0] == '\0')
        return hd_fail(err, HD_E_CONFLICT,
                       "job %" PRId64 ", attempt %" PRId64 ", still runs on worker %s: what it "
                       "leaves is not whole yet",
                       fetch->job, fetch->attempt, cli_text(attempt, "worker"));
    (void)hd_copy_text(fetch->run_id, sizeof(fetch->run_id), cli_text(answer, "run_id"));
    (void)hd_copy_text(fetch->run_uid, sizeof(fetch->run_uid), cli_text(answer, "run_uid"));
    (void)hd_copy_text(fetch->worker, sizeof(fetch->worker), cli_text(attempt, "worker"));
    name_config(answer, fetch->config_id, sizeof(fetch->config_id));
    return HD_OK;
}

static enum hd_code read_job(struct fetch *fetch, struct hd_err *err)
{
    struct hd_value *arguments = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&arguments, "job", hd_value_new_int(fetch->job), err);
    if (code == HD_OK)
        code = cli_read(fetch->source, "job", arguments, &answer, err);
    if (code == HD_OK) {
        fetch->job = cli_integer(answer, "job");
        code = take_job(fetch, answer, err);
    }
    hd_value_free(arguments);
    hd_value_free(answer);
    return code;
}

/* ---- a local worker's ----------------------------------------------------------------------- */

/* A run id may have been used by another store: the marker tells. */
static bool is_of_run(const char *home, const char *run_uid)
{
    char path[PATH_SIZE_MAX];
    struct hd_buf line;
    struct hd_err ignored;
    hd_buf_init(&line, 64);
    bool same = hd_format(path, sizeof(path), "%s/.hyperdock-run", home) &&
                hd_file_read(path, 63, true, &line, &ignored) == HD_OK &&
                strncmp(hd_buf_text(&line), run_uid, strlen(run_uid)) == 0;
    hd_buf_release(&line);
    return same;
}

static bool look_in(const struct fetch *fetch, const char *root, char *path)
{
    char home[PATH_SIZE_MAX];
    for (int second = 0; second < 2; second++)
        if (hd_format(home, sizeof(home), second ? "%s/%s.%s" : "%s/%s", root, fetch->run_id,
                      fetch->run_uid) &&
            is_of_run(home, fetch->run_uid) &&
            hd_format(path, PATH_SIZE_MAX, "%s/run/%" PRId64 "-%" PRId64, home, fetch->job,
                      fetch->attempt) &&
            hd_path_exists(path))
            return true;
    return false;
}

static bool find_local(const struct fetch *fetch, char *path)
{
    char work[PATH_SIZE_MAX], root[PATH_SIZE_MAX];
    if (!hd_format(work, sizeof(work), "%s/work", cli_state_dir(fetch->common.state_dir)))
        return false;
    DIR *directory = opendir(work);
    struct dirent *entry;
    bool found = false;
    while (directory != NULL && !found && (entry = readdir(directory)) != NULL)
        found = entry->d_name[0] != '.' &&
                hd_format(root, sizeof(root), "%s/%s", work, entry->d_name) &&
                look_in(fetch, root, path);
    if (directory != NULL)
        closedir(directory);
    return found;
}

static enum hd_code copy_file(const char *from, const char *to, struct hd_err *err)
{
    char bytes[65536];
    int in = -1;
    enum hd_code code = hd_file_open_regular(from, &in, err);
    if (code != HD_OK)
        return code;
    FILE *out = fopen(to, "wbxe");
    bool good = out != NULL;
    for (ssize_t got = 1; good && got > 0;) {
        got = read(in, bytes, sizeof(bytes));
        good = got >= 0 && fwrite(bytes, 1, (size_t)got, out) == (size_t)got;
    }
    good = (out == NULL || fclose(out) == 0) && good;
    close(in);
    return good ? HD_OK
                : hd_fail(err, HD_E_IO, "cannot copy %s to %s: %s", from, to, strerror(errno));
}

/* Links are copied as links. What is not there was not left. */
static enum hd_code copy_local(const struct fetch *fetch, const char *from, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < HD_FILES_NAMES && code == HD_OK; i++) {
        char source[PATH_SIZE_MAX], target[PATH_SIZE_MAX];
        struct stat st;
        if (!hd_format(source, sizeof(source), "%s/%s", from, hd_files_names[i]) ||
            !hd_format(target, sizeof(target), "%s/%s", fetch->to, hd_files_names[i]))
            return hd_fail(err, HD_E_LIMIT, "a path below %s is too long", fetch->to);
        bool wanted =
            lstat(source, &st) == 0 && (i == 0 ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
        if (wanted)
            code = i == 0 ? hd_copy_tree(source, target, UINT64_MAX, err)
                          : copy_file(source, target, err);
    }
    if (code == HD_OK)
        printf("job %" PRId64 ", attempt %" PRId64 ": from %s to %s\n", fetch->job, fetch->attempt,
               from, fetch->to);
    return code;
}

static struct hd_attempt_ref ref_of(const struct fetch *fetch)
{
    return (struct hd_attempt_ref){.run_uid = strtoull(fetch->run_uid, NULL, 16),
                                   .job = (uint32_t)fetch->job,
                                   .attempt = (uint32_t)fetch->attempt};
}

/* ---- the store ------------------------------------------------------------------------------ */

static enum hd_code fetch_shipped(const struct fetch *fetch, struct hd_err *err)
{
    struct hd_artifact_place place;
    struct hd_artifact_access *access = NULL;
    struct hd_artifact_store *store = NULL;
    char base[256];
    size_t files = 0;
    uint64_t bytes = 0;
    struct hd_attempt_ref attempt = ref_of(fetch);
    enum hd_code code = hd_artifact_place_parse(fetch->url, &place, err);
    if (code == HD_OK && place.s3)
        code = hd_artifact_access_load(fetch->credentials, &access, err);
    if (code == HD_OK)
        code = hd_artifact_store_open(&place, access, &store, err);
    if (code == HD_OK)
        code = hd_artifact_base(fetch->run_id, attempt, fetch->config_id, base, sizeof(base), err);
    if (code == HD_OK)
        code = hd_artifacts_fetch(store, base, fetch->to, &files, &bytes, err);
    if (code == HD_OK)
        printf("job %" PRId64 ", attempt %" PRId64 ": %zu files, %" PRIu64
               " bytes, from %s to %s\n",
               fetch->job, fetch->attempt, files, bytes, place.url, fetch->to);
    else if (code == HD_E_NOTFOUND && store != NULL)
        code = hd_fail_in(err,
                          "job %" PRId64 ", attempt %" PRId64 ", is not among the artifacts "
                          "(still being shipped, or not kept)",
                          fetch->job, fetch->attempt);
    hd_artifact_store_close(store);
    hd_artifact_access_free(access);
    return code;
}

/* ---- the command ---------------------------------------------------------------------------- */

/* Nothing that is there is overwritten. */
static enum hd_code make_target(const char *to, struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(to, 0777, err);
    DIR *directory = code == HD_OK ? opendir(to) : NULL;
    struct dirent *entry;
    if (code == HD_OK && directory == NULL)
        return hd_fail(err, HD_E_IO, "%s: %s", to, strerror(errno));
    while (code == HD_OK && (entry = readdir(directory)) != NULL)
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            code = hd_fail(err, HD_E_EXISTS,
                           "%s is not empty: name a directory that is, or is not there", to);
    if (directory != NULL)
        closedir(directory);
    return code;
}

static enum hd_code ask_for(const struct fetch *fetch, const struct fetch_home *home,
                            struct hd_err *err)
{
    struct hd_err why = {0};
    enum hd_code code = fetch->wait_ms > 0 ? fetch_home_ask(home, &why)
                                           : hd_fail(&why, HD_E_NOTFOUND, "it was not asked");
    if (code == HD_OK)
        return HD_OK;
    return hd_fail(err, code,
                   "job %" PRId64 ", attempt %" PRId64
                   ", left nothing on this machine or at its master (%.300s): worker %s has it, in "
                   "%s/run/%" PRId64 "-%" PRId64 " under its work directory; if workers ship "
                   "artifacts, say where to with --artifacts URL",
                   fetch->job, fetch->attempt, why.text, fetch->worker, fetch->run_id, fetch->job,
                   fetch->attempt);
}

static enum hd_code fetch_from_afar(const struct fetch *fetch, const struct fetch_home *home,
                                    struct hd_err *err)
{
    struct hd_err why;
    bool ships = fetch->url != NULL && !hd_artifacts_are_off(fetch->url);
    enum hd_code shipped = ships ? fetch_shipped(fetch, err) : HD_E_NOTFOUND;
    if (shipped != HD_E_NOTFOUND)
        return shipped;
    enum hd_code code = fetch_home_take(home, &why);
    if (code == HD_E_NOTFOUND)
        return ships ? shipped : ask_for(fetch, home, err);
    if (code != HD_OK)
        *err = why;
    return code;
}

static enum hd_code bring_home(struct fetch *fetch, struct hd_err *err)
{
    char from[PATH_SIZE_MAX];
    enum hd_code code = make_target(fetch->to, err);
    if (code != HD_OK)
        return code;
    const struct fetch_home home = {.common = &fetch->common,
                                    .run_id = fetch->run_id,
                                    .attempt = ref_of(fetch),
                                    .worker = fetch->worker,
                                    .to = fetch->to,
                                    .wait_ms = fetch->wait_ms};
    code =
        find_local(fetch, from) ? copy_local(fetch, from, err) : fetch_from_afar(fetch, &home, err);
    if (code != HD_OK)
        (void)rmdir(fetch->to); /* only when it is empty */
    return code;
}

int cmd_fetch(int argc, char **argv)
{
    struct fetch fetch = {.url = getenv("HYPERDOCK_ARTIFACTS"),
                          .credentials = getenv("HYPERDOCK_ARTIFACTS_CREDENTIALS")};
    struct hd_err err;
    const char *words[2];
    const struct hd_option options[] = {
        CLI_RUN_OPTION(fetch.common),
        CLI_STATE_DIR_OPTION(fetch.common),
        {.name = "attempt",
         .kind = HD_OPTION_INT,
         .value = &fetch.attempt,
         .hint = "N",
         .int_min = 1,
         .int_max = UINT32_MAX,
         .help = "which attempt; otherwise the last"},
        {.name = "artifacts",
         .kind = HD_OPTION_TEXT,
         .value = &fetch.url,
         .hint = "URL",
         .help = "where workers ship to ($HYPERDOCK_ARTIFACTS)"},
        {.name = "artifacts-credentials",
         .kind = HD_OPTION_TEXT,
         .value = &fetch.credentials,
         .hint = "FILE",
         .help = "lines NAME=VALUE, over AWS_ACCESS_KEY_ID and the like of the environment"},
        {.name = "wait",
         .kind = HD_OPTION_TEXT,
         .value = &fetch.wait,
         .hint = "TIME",
         .help = "for a worker to send something; 0: ask none (default: 1m)"},
        CLI_REMOTE_OPTIONS(fetch.common.remote),
    };
    const struct hd_program program = {
        .name = "hd fetch",
        .summary = "bring home what a job left",
        .usage = "hd fetch JOB|best DIR [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 2,
        .positional_max = 3,
        .epilogue = "From a worker of this machine, the master, the store that workers ship to, or "
                    "by the master from its worker.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &fetch.common, words, 2);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    fetch.to = words[1];
    enum hd_code code = cli_parse_job(words[0], &fetch.job, &err);
    fetch.wait_ms = WAIT_MS;
    if (code == HD_OK && fetch.wait != NULL &&
        (code = hd_parse_duration(fetch.wait, &fetch.wait_ms, &err)) != HD_OK)
        code = hd_fail_in(&err, "--wait");
    if (code == HD_OK)
        code = cli_open(&fetch.common, &fetch.source, &err);
    if (code == HD_OK)
        code = read_job(&fetch, &err);
    if (code == HD_OK)
        code = bring_home(&fetch, &err);
    cli_close(fetch.source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
