/* SPDX-License-Identifier: Apache-2.0 */
/* json.c: the raw results, one object: what was asked for, and each run with its trace. */
#include "report.h"

static enum hd_code put_number(struct hd_buf *out, const char *before, double number,
                               struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    hd_format_double(text, sizeof(text), number);
    return hd_buf_printf(out, err, "%s%s", before, number != number ? "null" : text);
}

/* Without braces. */
static enum hd_code put_run(const struct bench_plan *plan, const struct bench_unit *unit,
                            const struct bench_trace *trace, struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(
        out, err,
        "\"task\":\"%s\",\"method\":\"%s\",\"seed\":%llu,\"jobs\":%u,\"configs\":%u,"
        "\"stopped\":%u,\"failed\":%u,\"exhausted\":%s",
        plan->problems[unit->problem_index]->task, plan->method_names[unit->method_index],
        (unsigned long long)unit->seed, trace->jobs, trace->configs, trace->stopped, trace->failed,
        trace->exhausted ? "true" : "false");
    if (code == HD_OK)
        code = put_number(out, ",\"spent\":", trace->spent, err);
    if (code == HD_OK)
        code = put_number(out, ",\"time\":", trace->time, err);
    if (code == HD_OK)
        code = put_number(out, ",\"optimizer_s\":", trace->optimizer_s, err);
    for (size_t i = 0; code == HD_OK && i < plan->checkpoint_count; i++)
        code = put_number(out, i == 0 ? ",\"regret\":[" : ",",
                          bench_trace_at(trace, plan->checkpoints[i]), err);
    if (code == HD_OK)
        code = hd_buf_puts(out, "],\"trace\":[", err);
    for (uint32_t i = 0; code == HD_OK && i < trace->step_count; i++) {
        code = put_number(out, i == 0 ? "[" : ",[", trace->steps[i].spent, err);
        if (code == HD_OK)
            code = put_number(out, ",", trace->steps[i].time, err);
        if (code == HD_OK)
            code = put_number(out, ",", trace->steps[i].regret, err);
        if (code == HD_OK)
            code = hd_buf_puts(out, "]", err);
    }
    return code == HD_OK ? hd_buf_puts(out, "]", err) : code;
}

/* What all runs share, without a brace at the end. */
static enum hd_code put_plan(const struct bench_plan *plan, struct hd_buf *out, struct hd_err *err)
{
    static const char *const accountings[] = {"ended", "running", "steps"};
    enum hd_code code = hd_buf_printf(
        out, err, "{\"suite\":\"%s\",\"workers\":%u,\"accounting\":\"%s\",\"core\":%s",
        plan->problems[0]->suite, plan->workers, accountings[plan->accounting],
        plan->core ? "true" : "false");
    if (code == HD_OK)
        code = put_number(out, ",\"full_evaluations\":", plan->full_evaluations, err);
    for (size_t i = 0; code == HD_OK && i < plan->checkpoint_count; i++)
        code = put_number(out, i == 0 ? ",\"checkpoints\":[" : ",", plan->checkpoints[i], err);
    return code == HD_OK ? hd_buf_puts(out, "]", err) : code;
}

enum hd_code bench_json_line(const struct bench_plan *plan, const struct bench_unit *unit,
                             const struct bench_trace *trace, struct hd_buf *out,
                             struct hd_err *err)
{
    enum hd_code code = put_plan(plan, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, ",", err);
    if (code == HD_OK)
        code = put_run(plan, unit, trace, out, err);
    return code == HD_OK ? hd_buf_puts(out, "}\n", err) : code;
}

enum hd_code bench_json_write(const struct bench_plan *plan, const struct bench_result *results,
                              struct hd_buf *out, struct hd_err *err)
{
    enum hd_code code = put_plan(plan, out, err);
    if (code == HD_OK)
        code = hd_buf_puts(out, ",\n\"methods\":{", err);
    for (size_t m = 0; code == HD_OK && m < plan->method_count; m++) {
        code = hd_buf_printf(out, err, "%s\"%s\":", m == 0 ? "" : ",", plan->method_names[m]);
        if (code == HD_OK)
            code = hd_json_write(plan->methods[m], HD_JSON_COMPACT, out, err);
    }
    if (code == HD_OK)
        code = hd_buf_puts(out, "},\n\"runs\":[\n", err);
    for (size_t i = 0; code == HD_OK && i < plan->unit_count; i++) {
        code = hd_buf_puts(out, "{", err);
        if (code == HD_OK)
            code = put_run(plan, &plan->units[i], &results[i].trace, out, err);
        if (code == HD_OK)
            code = hd_buf_puts(out, i + 1 < plan->unit_count ? "},\n" : "}\n", err);
    }
    return code == HD_OK ? hd_buf_puts(out, "]}\n", err) : code;
}
