/* SPDX-License-Identifier: Apache-2.0 */
/* problem.c: the suites by name, and the files they are read from. */
#include "bench.h"

#include <hd/os.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct suite {
    const char *name;
    enum hd_code (*open)(struct bench_problem *problem, const char *data_dir, struct hd_err *err);
    enum hd_code (*tasks)(const char *data_dir, struct hd_buf *out, struct hd_err *err);
};

static const struct suite suites[] = {
    {"lcbench", bench_lcbench_open, bench_lcbench_tasks},
    {"taskset", bench_taskset_open, bench_taskset_tasks},
    {"counting_ones", bench_counting_open, bench_counting_tasks},
    {"functions", bench_functions_open, bench_functions_tasks},
    {"noisy", bench_noisy_open, bench_noisy_tasks},
    {"conditional", bench_conditional_open, bench_conditional_tasks},
    {"objectives", bench_objectives_open, bench_objectives_tasks},
};

const char *const *bench_suites(void)
{
    static const char *names[HD_COUNT(suites) + 1];
    for (size_t i = 0; i < HD_COUNT(suites); i++)
        names[i] = suites[i].name;
    return names;
}

static const struct suite *find_suite(const char *name, struct hd_err *err)
{
    for (size_t i = 0; i < HD_COUNT(suites); i++)
        if (hd_streq(suites[i].name, name))
            return &suites[i];
    const char *nearest = hd_nearest(name, bench_suites(), HD_COUNT(suites));
    (void)hd_fail(err, HD_E_NOTFOUND, "there is no suite %s%s%s%s", name,
                  nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                  nearest != NULL ? "?" : "; hd-bench tasks lists them");
    return NULL;
}

enum hd_code bench_tasks(const char *suite, const char *data_dir, struct hd_buf *out,
                         struct hd_err *err)
{
    const struct suite *found = find_suite(suite, err);
    return found == NULL ? HD_E_NOTFOUND : found->tasks(data_dir, out, err);
}

enum hd_code bench_list(const char *const *names, size_t count, struct hd_buf *out,
                        struct hd_err *err)
{
    for (size_t i = 0; i < count; i++) {
        enum hd_code code = hd_buf_printf(out, err, "%s%s", i > 0 ? " " : "", names[i]);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

enum hd_code bench_problem_open(const char *suite, const char *task, const char *data_dir,
                                struct bench_problem **ret_problem, struct hd_err *err)
{
    const struct suite *found = find_suite(suite, err);
    if (found == NULL)
        return HD_E_NOTFOUND;
    struct bench_problem *problem = calloc(1, sizeof(*problem));
    if (problem == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a problem");
    problem->best = NAN;
    enum hd_code code = HD_OK;
    if (!hd_copy_text(problem->suite, sizeof(problem->suite), suite) ||
        !hd_copy_text(problem->task, sizeof(problem->task), task))
        code = hd_fail(err, HD_E_LIMIT, "a task's name has at most %d bytes", BENCH_NAME_MAX - 1);
    if (code == HD_OK)
        code = found->open(problem, data_dir, err);
    if (code != HD_OK) {
        bench_problem_free(problem);
        return code;
    }
    *ret_problem = problem;
    return HD_OK;
}

enum hd_code bench_parse_space(struct bench_problem *problem, const char *json, struct hd_err *err)
{
    struct hd_value *space = NULL;
    enum hd_code code =
        hd_json_parse(json, strlen(json), problem->task, &hd_value_limits_file, &space, err);
    if (code == HD_OK)
        code = hd_space_parse(space, problem->task, "space", &problem->space, err);
    hd_value_free(space);
    return code;
}

void bench_problem_free(struct bench_problem *problem)
{
    if (problem == NULL)
        return;
    if (problem->ops != NULL && problem->ops->free != NULL)
        problem->ops->free(problem->state);
    hd_space_free(problem->space);
    free(problem);
}

enum hd_code bench_read_file(const char *data_dir, const char *name, struct hd_buf *out,
                             struct hd_err *err)
{
    char *path = hd_path_join(data_dir, name);
    if (path == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    enum hd_code code = hd_file_read(path, BENCH_FILE_BYTES_MAX, false, out, err);
    hd_free(path);
    return code == HD_OK ? code : hd_fail_in(err, "benchmark data (--data DIR)");
}

enum hd_code bench_read_json(const char *data_dir, const char *name, struct hd_value **ret_value,
                             struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, BENCH_FILE_BYTES_MAX);
    enum hd_code code = bench_read_file(data_dir, name, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, name, &hd_value_limits_file, ret_value,
                             err);
    hd_buf_release(&text);
    return code;
}
