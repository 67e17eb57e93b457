/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: results as tables for people: mean regret with its standard error at each checkpoint,
 * and mean ranks over tasks. */
#include "report.h"

#include <math.h>
#include <stdio.h>

/* The mean over a method's runs on one task; NaN when a run has no value yet. */
static double task_mean(const struct bench_plan *plan, const struct bench_result *results,
                        size_t method, size_t problem, double checkpoint)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < plan->unit_count; i++)
        if (plan->units[i].method_index == method && plan->units[i].problem_index == problem) {
            sum += bench_trace_at(&results[i].trace, checkpoint);
            count++;
        }
    return sum / count;
}

void bench_mean(const struct bench_plan *plan, const struct bench_result *results, size_t method,
                size_t problem, double checkpoint, double *ret_mean, double *ret_error)
{
    double sum = 0, squares = 0, count = 0;
    for (size_t i = 0; i < plan->unit_count; i++) {
        const struct bench_unit *unit = &plan->units[i];
        if (unit->method_index != method || (problem != SIZE_MAX && unit->problem_index != problem))
            continue;
        double mean = task_mean(plan, results, method, unit->problem_index, checkpoint);
        double regret = bench_trace_at(&results[i].trace, checkpoint);
        sum += regret;
        squares += (regret - mean) * (regret - mean); /* within a task: tasks are not drawn */
        count++;
    }
    size_t tasks = problem == SIZE_MAX ? plan->problem_count : 1;
    double free_count = count - (double)tasks;
    *ret_mean = sum / count;
    *ret_error = free_count > 0 ? sqrt(squares / free_count / count) : NAN;
}

/* The mean rank of a method over tasks, ties shared. */
static double mean_rank(const struct bench_plan *plan, const struct bench_result *results,
                        size_t method, double checkpoint)
{
    double sum = 0;
    for (size_t p = 0; p < plan->problem_count; p++) {
        double own = task_mean(plan, results, method, p, checkpoint), rank = 1;
        for (size_t m = 0; m < plan->method_count; m++) {
            double other = task_mean(plan, results, m, p, checkpoint);
            if (m != method)
                rank += other < own || (isnan(own) && !isnan(other))   ? 1
                        : other == own || (isnan(own) && isnan(other)) ? 0.5
                                                                       : 0;
        }
        sum += rank;
    }
    return sum / (double)plan->problem_count;
}

static void print_head(const struct bench_plan *plan, const double *checkpoints, size_t count,
                       const char *first, int width)
{
    (void)plan;
    printf("| %-24s |", first);
    for (size_t c = 0; c < count; c++)
        printf(" %*g |", width, checkpoints[c]);
    printf("\n| --- |");
    for (size_t c = 0; c < count; c++)
        printf(" --: |");
}

static void print_rows(const struct bench_plan *plan, const struct bench_result *results,
                       size_t problem, const double *checkpoints, size_t count)
{
    for (size_t m = 0; m < plan->method_count; m++) {
        printf("| %-24s |", plan->method_names[m]);
        for (size_t c = 0; c < count; c++) {
            double mean, error;
            bench_mean(plan, results, m, problem, checkpoints[c], &mean, &error);
            char text[48];
            if (isnan(mean))
                (void)hd_format(text, sizeof(text), "-");
            else if (isnan(error))
                (void)hd_format(text, sizeof(text), "%.4g", mean);
            else
                (void)hd_format(text, sizeof(text), "%.4g \xc2\xb1 %.2g", mean, error);
            printf(" %16s |", text);
        }
        printf("\n");
    }
}

static void print_ranks(const struct bench_plan *plan, const struct bench_result *results,
                        const double *checkpoints, size_t count)
{
    printf("\nMean rank over %zu tasks:\n\n", plan->problem_count);
    print_head(plan, checkpoints, count, "method", 6);
    printf("\n");
    for (size_t m = 0; m < plan->method_count; m++) {
        printf("| %-24s |", plan->method_names[m]);
        for (size_t c = 0; c < count; c++)
            printf(" %6.2f |", mean_rank(plan, results, m, checkpoints[c]));
        printf("\n");
    }
}

static void print_costs(const struct bench_plan *plan, const struct bench_result *results)
{
    printf("\nA run of each, in the mean:\n\n| %-24s | jobs | configs | stopped | failed | "
           "optimizer, CPU ms "
           "a job |\n"
           "| --- | --: | --: | --: | --: | --: |\n",
           "method");
    for (size_t m = 0; m < plan->method_count; m++) {
        double jobs = 0, configs = 0, stopped = 0, failed = 0, cpu = 0, count = 0;
        for (size_t i = 0; i < plan->unit_count; i++) {
            const struct bench_trace *trace = &results[i].trace;
            if (plan->units[i].method_index != m)
                continue;
            jobs += trace->jobs;
            configs += trace->configs;
            stopped += trace->stopped;
            failed += trace->failed;
            cpu += trace->optimizer_s;
            count++;
        }
        printf("| %-24s | %.0f | %.0f | %.1f | %.1f | %.3f |\n", plan->method_names[m],
               jobs / count, configs / count, stopped / count, failed / count,
               jobs > 0 ? 1e3 * cpu / jobs : 0);
    }
}

void bench_table_print(const struct bench_plan *plan, const struct bench_result *results,
                       const double *checkpoints, size_t count, bool by_task)
{
    printf("Mean regret and its standard error after so many full evaluations; %zu task%s, %u "
           "worker%s, %zu runs of each method:\n\n",
           plan->problem_count, plan->problem_count == 1 ? "" : "s", plan->workers,
           plan->workers == 1 ? "" : "s", plan->unit_count / plan->method_count);
    print_head(plan, checkpoints, count, "method", 15);
    printf("\n");
    print_rows(plan, results, SIZE_MAX, checkpoints, count);
    for (size_t p = 0; by_task && plan->problem_count > 1 && p < plan->problem_count; p++) {
        printf("\nTask %s:\n\n", plan->problems[p]->task);
        print_head(plan, checkpoints, count, "method", 15);
        printf("\n");
        print_rows(plan, results, p, checkpoints, count);
    }
    if (plan->method_count > 1)
        print_ranks(plan, results, checkpoints, count);
    print_costs(plan, results);
}
