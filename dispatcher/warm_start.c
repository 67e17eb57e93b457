/* SPDX-License-Identifier: Apache-2.0 */
#include <hd/warm_start.h>

#include <hd/os.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE 1000

struct warm {
    struct hd_known_taker *taker;
    const struct hd_experiment *experiment;
    const char *name; /* of the source */
    hd_warm_view_fn read;
    void *context;
};

/* ---- runs ---------------------------------------------------------------------------------- */

static enum hd_code ask(const struct warm *warm, const char *view, const char *run, int64_t after,
                        struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_value *arguments = hd_value_new_object();
    bool good = arguments != NULL;
    if (good && run != NULL)
        good = hd_value_set(arguments, "run", hd_value_new_string(run)) == HD_OK;
    if (good && after >= -1)
        good = hd_value_set(arguments, "after", hd_value_new_int(after)) == HD_OK &&
               hd_value_set(arguments, "limit", hd_value_new_int(PAGE)) == HD_OK;
    enum hd_code code = good ? warm->read(warm->context, view, arguments, ret_answer, err)
                             : hd_fail(err, HD_E_NOMEM, "no memory for a question");
    hd_value_free(arguments);
    return code;
}

static enum hd_code check_run(const struct warm *warm, const struct hd_value *description,
                              struct hd_err *err)
{
    struct hd_experiment *before = NULL;
    enum hd_code code = hd_experiment_parse(description, "experiment", NULL, &before, err);
    if (code == HD_OK)
        code = hd_known_check_objectives(before, warm->experiment, err);
    hd_experiment_free(before);
    return code;
}

static enum hd_code take_page(const struct warm *warm, const struct hd_value *page,
                              int64_t *ret_next, struct hd_err *err)
{
    const struct hd_value *jobs = hd_value_get(page, "jobs"), *next = hd_value_get(page, "next");
    enum hd_code code = HD_OK;
    if (jobs == NULL || jobs->kind != HD_VALUE_ARRAY)
        return hd_fail(err, HD_E_INVALID, "an answer without jobs");
    for (size_t i = 0; i < jobs->as.array.count && code == HD_OK; i++)
        code = hd_known_take_row(warm->taker, jobs->as.array.items[i], "a job", err);
    *ret_next = next != NULL && next->kind == HD_VALUE_INT ? next->as.integer : -1;
    return code;
}

/* All jobs of a run. */
static enum hd_code take_run(const struct warm *warm, const char *run, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    enum hd_code code = ask(warm, "experiment", run, -2, &answer, err);
    if (code != HD_OK)
        return code;
    code = check_run(warm, hd_value_get(answer, "experiment"), err);
    hd_value_free(answer);
    int64_t after = -1;
    do {
        int64_t next = -1;
        answer = NULL;
        if (code == HD_OK)
            code = ask(warm, "export", run, after, &answer, err);
        if (code == HD_OK)
            code = take_page(warm, answer, &next, err);
        hd_value_free(answer);
        after = next;
    } while (code == HD_OK && after >= 0);
    return code == HD_E_NOTFOUND ? hd_fail(err, HD_E_IO, "the run is gone") : code;
}

/* ---- files --------------------------------------------------------------------------------- */

static enum hd_code read_view(void *context, const char *view, struct hd_value *arguments,
                              struct hd_value **ret_answer, struct hd_err *err)
{
    return hd_view_read(context, view, arguments, ret_answer, err);
}

static enum hd_code take_checkpoint(const struct warm *warm, const char *path, const char *run,
                                    struct hd_err *err)
{
    struct hd_view *view = NULL;
    enum hd_code code = hd_view_open(path, &view, err);
    struct warm there = *warm;
    there.read = read_view;
    there.context = view;
    if (code == HD_OK)
        code = take_run(&there, run, err);
    hd_view_close(view);
    if (code == HD_E_CONFLICT && run == NULL)
        (void)hd_fail_in(err, "%.160s (one run of it is named %.160s:RUN)", path, path);
    return code;
}

static enum hd_code read_file(const char *directory, const char *name, struct hd_buf *text,
                              struct hd_err *err)
{
    char *path = hd_path_join(directory, name);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    hd_buf_init(text, HD_KNOWN_ROWS_BYTES_MAX);
    enum hd_code code = hd_file_read(path, HD_KNOWN_ROWS_BYTES_MAX, false, text, err);
    hd_free(path);
    return code;
}

static enum hd_code take_hpbandster(const struct warm *warm, const char *directory,
                                    struct hd_err *err)
{
    struct hd_buf configs, results;
    hd_buf_init(&results, HD_KNOWN_ROWS_BYTES_MAX);
    enum hd_code code = read_file(directory, "configs.json", &configs, err);
    if (code == HD_OK)
        code = read_file(directory, "results.json", &results, err);
    if (code == HD_OK)
        code = hd_known_take_hpbandster(warm->taker, hd_buf_text(&configs), configs.size,
                                        hd_buf_text(&results), results.size, err);
    hd_buf_release(&configs);
    hd_buf_release(&results);
    return code;
}

static bool has_file(const char *directory, const char *name)
{
    char *path = hd_path_join(directory, name);
    bool there = path != NULL && hd_path_exists(path);
    hd_free(path);
    return there;
}

/* One that cannot be read is no SQLite file: reading it as rows says why. */
static bool is_sqlite(const char *path)
{
    static const char magic[] = "SQLite format 3";
    char head[sizeof(magic)] = "";
    FILE *file = fopen(path, "rbe");
    bool is = file != NULL && fread(head, 1, sizeof(head), file) == sizeof(head) &&
              memcmp(head, magic, sizeof(magic)) == 0;
    if (file != NULL)
        fclose(file);
    return is;
}

static enum hd_code take_file(const struct warm *warm, const char *path, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_KNOWN_ROWS_BYTES_MAX);
    if (is_sqlite(path))
        return take_checkpoint(warm, path, NULL, err);
    enum hd_code code = hd_file_read(path, HD_KNOWN_ROWS_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_known_take_text(warm->taker, hd_buf_text(&text), text.size, path, err);
    hd_buf_release(&text);
    return code;
}

static enum hd_code take_path(const struct warm *warm, const char *path, struct hd_err *err)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return take_file(warm, path, err);
        if (has_file(path, "configs.json") && has_file(path, "results.json"))
            return take_hpbandster(warm, path, err);
        return take_checkpoint(warm, path, NULL, err);
    }
    /* FILE:RUN */
    const char *colon = strrchr(path, ':');
    char file[4096];
    if (colon != NULL && colon[1] != '\0' &&
        hd_format(file, sizeof(file), "%.*s", (int)(colon - path), path) && stat(file, &st) == 0)
        return take_checkpoint(warm, file, colon + 1, err);
    return hd_fail(err, HD_E_NOTFOUND, "there is no run and no file of that name");
}

/* ---- all of it ----------------------------------------------------------------------------- */

static enum hd_code take_source(const struct warm *warm, struct hd_err *err)
{
    enum hd_code code = HD_E_NOTFOUND;
    if (warm->read != NULL && hd_check_id("run id", warm->name, NULL) == HD_OK)
        code = take_run(warm, warm->name, err);
    if (code == HD_E_NOTFOUND)
        code = take_path(warm, warm->name, err);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "--warm-start %.160s", warm->name);
}

enum hd_code hd_warm_start(const char *const *sources, size_t source_count,
                           const struct hd_experiment *experiment, hd_warm_view_fn read,
                           void *context, struct hd_buf *out, char *ret_report, struct hd_err *err)
{
    struct warm warm = {.experiment = experiment, .read = read, .context = context};
    if (source_count > HD_WARM_SOURCES_MAX)
        return hd_fail(err, HD_E_LIMIT, "--warm-start can be given %d times", HD_WARM_SOURCES_MAX);
    enum hd_code code = hd_known_taker_new(experiment, &warm.taker, err);
    for (size_t i = 0; i < source_count && code == HD_OK; i++) {
        warm.name = sources[i];
        code = take_source(&warm, err);
    }
    if (code == HD_OK && (code = hd_known_taker_finish(warm.taker, out, ret_report, err)) != HD_OK)
        (void)hd_fail_in(err, "--warm-start");
    hd_known_taker_free(warm.taker);
    return code;
}
