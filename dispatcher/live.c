/* SPDX-License-Identifier: Apache-2.0 */
/* Views of what the master knows and its store does not. */
#include "driver_internal.h"

#include <inttypes.h>
#include <string.h>

#include <hd/os.h>

/* One answer takes no more, and its `next` says where the following begins. */
#define TEST_ROWS_MAX 1000
#define TEST_BYTES_MAX (HD_VIEW_JSON_MAX / 2)

bool hd_is_live_view(const char *view)
{
    return hd_streq(view, "waits") || hd_streq(view, "test");
}

static enum hd_code put_text(const char *key, const char *text, struct hd_buf *json,
                             struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(json, err, ",\"%s\":", key);
    return code == HD_OK ? hd_json_write_string(text, json, err) : code;
}

/* ---- why a run waits ------------------------------------------------------------------------- */

/* The run that is named, or the only one. */
static enum hd_code find_run(const struct hd_core *core, const char *run_id, uint32_t *ret_run,
                             struct hd_err *err)
{
    if (run_id[0] == '\0' && hd_core_run_count(core) == 1) {
        *ret_run = 0;
        return HD_OK;
    }
    if (run_id[0] == '\0')
        return hd_fail(err, HD_E_INVALID, "this master has %u runs: name one",
                       hd_core_run_count(core));
    return hd_core_find_run(core, run_id, ret_run)
               ? HD_OK
               : hd_fail(err, HD_E_NOTFOUND, "there is no run named %s here", run_id);
}

static enum hd_code read_waits(const struct hd_core *core, const struct hd_request *request,
                               int64_t now_ms, int64_t wall_ms, struct hd_buf *json,
                               struct hd_err *err)
{
    uint32_t run = 0;
    struct hd_run_view view;
    struct hd_waits waits;
    enum hd_code code = find_run(core, request->run_id, &run, err);
    if (code != HD_OK)
        return code;
    hd_core_view_run(core, run, &view);
    hd_core_waits(core, run, now_ms, wall_ms, &waits);
    code = hd_buf_printf(json, err, "{\"running\":%s", waits.running ? "true" : "false");
    if (code == HD_OK)
        code = put_text("run_id", view.run_id, json, err);
    if (code == HD_OK)
        code = put_text("text", waits.text, json, err);
    if (code == HD_OK && waits.running)
        code = hd_buf_printf(
            json, err, ",\"job\":%" PRIu32 ",\"since_ms\":%" PRId64 ",\"lease_left_ms\":%" PRId64,
            waits.job, waits.since_ms, waits.lease_left_ms);
    if (code == HD_OK && waits.running)
        code = put_text("worker", waits.worker, json, err);
    return code == HD_OK ? hd_buf_puts(json, "}", err) : code;
}

/* ---- which workers answered ------------------------------------------------------------------ */

struct test_arguments {
    uint64_t echo;
    uint64_t from; /* index of the first worker to look at */
};

static enum hd_code read_arguments(const char *text, struct test_arguments *ret_arguments,
                                   struct hd_err *err)
{
    struct hd_value *value = NULL;
    *ret_arguments = (struct test_arguments){0};
    enum hd_code code =
        hd_json_parse(text[0] != '\0' ? text : "{}", text[0] != '\0' ? strlen(text) : 2,
                      "arguments", &hd_value_limits_target, &value, err);
    if (code != HD_OK)
        return code;
    const struct hd_value *echo = hd_value_get(value, "echo"), *from = hd_value_get(value, "from");
    if (echo == NULL || echo->kind != HD_VALUE_INT || echo->as.integer <= 0 ||
        (from != NULL && (from->kind != HD_VALUE_INT || from->as.integer < 0)))
        code = hd_fail(err, HD_E_INVALID, "a test is asked for by its number");
    else
        *ret_arguments = (struct test_arguments){(uint64_t)echo->as.integer,
                                                 from != NULL ? (uint64_t)from->as.integer : 0};
    hd_value_free(value);
    return code;
}

static enum hd_code put_worker(const struct hd_worker_view *view, const struct hd_test_view *test,
                               bool first, struct hd_buf *json, struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(
        json, err,
        "%s{\"answered\":%s,\"fit\":%s,\"ms\":%" PRId64 ",\"reachable\":%s,\"slots\":%" PRIu32
        ",\"running\":%" PRIu32,
        first ? "" : ",", test->answered ? "true" : "false", test->unfit ? "false" : "true",
        test->took_ms, view->reachable ? "true" : "false", view->slots, view->running);
    if (code == HD_OK)
        code = put_text("worker", view->id, json, err);
    if (code == HD_OK)
        code = put_text("host", view->host, json, err);
    if (code == HD_OK)
        code = put_text("state", hd_worker_state_name(view->state), json, err);
    if (code == HD_OK)
        code = put_text("about", test->about, json, err);
    return code == HD_OK ? hd_buf_puts(json, "}", err) : code;
}

static enum hd_code read_test(const struct hd_core *core, const struct hd_request *request,
                              struct hd_buf *json, struct hd_err *err)
{
    struct test_arguments arguments;
    enum hd_code code = read_arguments(request->view_json, &arguments, err);
    uint64_t index = arguments.from, rows = 0, count = hd_core_worker_count(core);
    if (code == HD_OK)
        code = hd_buf_puts(json, "{\"workers\":[", err);
    for (; index < count && rows < TEST_ROWS_MAX && json->size < TEST_BYTES_MAX && code == HD_OK;
         index++) {
        struct hd_worker_view view;
        struct hd_test_view test;
        if (!hd_core_view_worker(core, (uint32_t)index, &view) ||
            !hd_core_view_test(core, (uint32_t)index, arguments.echo, &test))
            continue;
        code = put_worker(&view, &test, rows++ == 0, json, err);
    }
    if (code == HD_OK && index < count)
        return hd_buf_printf(json, err, "],\"next\":%" PRIu64 "}", index);
    return code == HD_OK ? hd_buf_puts(json, "]}", err) : code;
}

enum hd_code hd_read_live_view(const struct hd_core *core, const struct hd_request *request,
                               int64_t now_ms, int64_t wall_ms, struct hd_buf *json,
                               struct hd_err *err)
{
    return hd_streq(request->view, "waits") ? read_waits(core, request, now_ms, wall_ms, json, err)
                                            : read_test(core, request, json, err);
}
