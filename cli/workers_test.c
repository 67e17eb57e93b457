/* SPDX-License-Identifier: Apache-2.0 */
/* hd workers test: has every worker answer through the master, and says who does and who does not.
 */
#include "commands.h"
#include "common/cli.h"
#include "workers.h"

#include <hd/base.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 50
#define ECHO_MAX INT64_MAX /* a JSON number */

struct test {
    struct cli_master master;
    const char *run_id;
    uint64_t echo;
    struct hd_value *rows; /* of the last look, an array */
};

static enum hd_code ask(const struct test *test, const char *worker, struct hd_err *err)
{
    struct hd_request request = {
        .kind = HD_REQUEST_TEST, .run_id = "", .subject = worker, .echo = test->echo, .about = ""};
    return cli_master_call(&test->master, &request, NULL, err);
}

/* Moves the rows of one answer behind those that are there. */
static enum hd_code take_rows(struct hd_value *rows, const struct hd_value *answer,
                              struct hd_err *err)
{
    const struct hd_value *workers = hd_value_get(answer, "workers");
    size_t count = workers != NULL && workers->kind == HD_VALUE_ARRAY ? workers->as.array.count : 0;
    for (size_t i = 0; i < count; i++) {
        struct hd_value *copy = NULL;
        enum hd_code code = hd_value_copy(workers->as.array.items[i], &copy, err);
        if (code == HD_OK && hd_value_append(rows, copy) != HD_OK)
            code = hd_fail(err, HD_E_NOMEM, "no memory");
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

/* All rows of the test now, in as many answers as it takes. */
static enum hd_code look(struct test *test, struct hd_err *err)
{
    struct hd_value *rows = hd_value_new_array();
    enum hd_code code = rows != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory");
    int64_t from = 0;
    while (code == HD_OK && from >= 0) {
        struct hd_value *answer = NULL;
        char arguments[96];
        hd_format(arguments, sizeof(arguments), "{\"echo\":%" PRIu64 ",\"from\":%" PRId64 "}",
                  test->echo, from);
        code = cli_live_view(&test->master, test->run_id, "test", arguments, &answer, err);
        if (code == HD_OK)
            code = take_rows(rows, answer, err);
        const struct hd_value *next = hd_value_get(answer, "next");
        from = next != NULL && next->kind == HD_VALUE_INT && next->as.integer > from
                   ? next->as.integer
                   : -1;
        hd_value_free(answer);
    }
    if (code != HD_OK) {
        hd_value_free(rows);
        return code;
    }
    hd_value_free(test->rows);
    test->rows = rows;
    return HD_OK;
}

static size_t count_rows(const struct test *test, const char *key)
{
    size_t count = 0;
    for (size_t i = 0; i < test->rows->as.array.count; i++)
        count += cli_is_true(test->rows->as.array.items[i], key) ? 1 : 0;
    return count;
}

static size_t count_good(const struct test *test)
{
    size_t count = 0;
    for (size_t i = 0; i < test->rows->as.array.count; i++) {
        const struct hd_value *row = test->rows->as.array.items[i];
        count += cli_is_true(row, "answered") && cli_is_true(row, "fit") ? 1 : 0;
    }
    return count;
}

static enum hd_code wait_for_answers(struct test *test, int64_t timeout_ms, struct hd_err *err)
{
    int64_t until_ms = hd_clock_ms() + timeout_ms;
    for (;;) {
        enum hd_code code = look(test, err);
        if (code != HD_OK || count_rows(test, "answered") == test->rows->as.array.count ||
            hd_clock_ms() >= until_ms)
            return code;
        const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

static const char *verdict(const struct hd_value *row)
{
    if (!cli_is_true(row, "answered"))
        return cli_is_true(row, "reachable") ? "no answer" : "not here";
    return cli_is_true(row, "fit") ? "ok" : "not fit";
}

static void print_rows(const struct test *test)
{
    static const char *const titles[] = {
        "WORKER", "TEST", "MS", "STATE", "RUNNING", "HOST", "WHAT IT COULD DO"};
    struct cli_table *table = cli_table_new(titles, "llrlrll", HD_COUNT(titles));
    for (size_t i = 0; i < test->rows->as.array.count; i++) {
        const struct hd_value *row = test->rows->as.array.items[i];
        char cells[5][CLI_CELL_MAX];
        const char *line[] = {
            cli_cell(row, "worker", cells[0]),
            verdict(row),
            cli_is_true(row, "answered") ? cli_cell(row, "ms", cells[1]) : "",
            cli_cell(row, "state", cells[2]),
            cli_cell(row, "running", cells[3]),
            cli_cell(row, "host", cells[4]),
            cli_text(row, "about"),
        };
        cli_table_row(table, line);
    }
    cli_table_end(table);
    printf("%zu of %zu workers answered and could run a target\n", count_good(test),
           test->rows->as.array.count);
}

static enum hd_code run_test(const struct cli_common *common, const char *const *workers,
                             size_t count, int64_t timeout_ms, struct test *test,
                             struct hd_err *err)
{
    enum hd_code code = cli_live_master(common, test->run_id, &test->master, err);
    if (code == HD_OK && count == 0)
        code = ask(test, "", err);
    for (size_t i = 0; i < count && code == HD_OK; i++)
        code = ask(test, workers[i], err);
    return code == HD_OK ? wait_for_answers(test, timeout_ms, err) : code;
}

int workers_test(const struct cli_common *common, const char *const *workers, size_t count,
                 int64_t timeout_ms)
{
    struct hd_err err;
    struct test test = {.run_id = common->run != NULL ? common->run : "",
                        .echo = hd_os_random_u64() % ECHO_MAX + 1};
    enum hd_code code = run_test(common, workers, count, timeout_ms, &test, &err);
    size_t rows = test.rows != NULL ? test.rows->as.array.count : 0;
    bool good = code == HD_OK && rows > 0 && count_good(&test) == rows;
    if (code == HD_OK && common->json)
        code = cli_print_json(test.rows, HD_JSON_PRETTY, &err);
    else if (code == HD_OK && rows > 0)
        print_rows(&test);
    else if (code == HD_OK)
        printf("no worker is here\n");
    hd_value_free(test.rows);
    if (code != HD_OK)
        return cli_fail(&err);
    return good ? HD_EXIT_OK : HD_EXIT_FAILED;
}
