/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c: two methods, run by run: the same task and the same seed make a pair. */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The 97.5 % quantile of Student's t (Cornish-Fisher expansion; good to 1 % from 3 degrees on). */
static double t_quantile(double degrees)
{
    const double z = 1.959963984540054, z2 = z * z, v = degrees;
    return z + z * (z2 + 1) / (4 * v) + z * (5 * z2 * z2 + 16 * z2 + 3) / (96 * v * v) +
           z * (3 * z2 * z2 * z2 + 19 * z2 * z2 + 17 * z2 - 15) / (384 * v * v * v);
}

static int compare_sizes(const void *a, const void *b)
{
    double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

double bench_wilcoxon(double *differences, size_t count)
{
    size_t used = 0, total = 0, positive = 0;
    for (size_t i = 0; i < count; i++)
        if (differences[i] != 0)
            differences[used++] = differences[i];
    if (used == 0)
        return 1;
    if (used > BENCH_PAIRS_MAX)
        return NAN;
    qsort(differences, used, sizeof(*differences), compare_sizes);
    size_t *ranks = calloc(used, sizeof(*ranks)); /* doubled, so that shared ranks are whole */
    double *chances = calloc(used * (used + 1) + 1, sizeof(*chances));
    if (ranks == NULL || chances == NULL) {
        free(ranks);
        free(chances);
        return NAN;
    }
    for (size_t i = 0; i < used;) {
        size_t end = i;
        while (end < used && fabs(differences[end]) == fabs(differences[i]))
            end++;
        for (size_t k = i; k < end; k++) {
            ranks[k] = i + 1 + end;
            total += ranks[k];
            positive += differences[k] > 0 ? ranks[k] : 0;
        }
        i = end;
    }
    /* Every sign is as likely as the other: the distribution of the sum of positive ranks. */
    chances[0] = 1;
    for (size_t i = 0, reach = 0; i < used; i++) {
        reach += ranks[i];
        for (size_t sum = reach + 1; sum-- > 0;)
            chances[sum] =
                0.5 * chances[sum] + (sum >= ranks[i] ? 0.5 * chances[sum - ranks[i]] : 0);
    }
    size_t low = positive < total - positive ? positive : total - positive;
    double tail = 0;
    for (size_t sum = 0; sum <= low; sum++)
        tail += chances[sum];
    free(ranks);
    free(chances);
    return tail * 2 < 1 ? tail * 2 : 1;
}

static size_t find_pair(const struct bench_plan *plan, const struct bench_unit *unit, size_t method)
{
    for (size_t i = 0; i < plan->unit_count; i++) {
        const struct bench_unit *other = &plan->units[i];
        if (other->method_index == method && other->problem_index == unit->problem_index &&
            other->seed == unit->seed)
            return i;
    }
    return SIZE_MAX;
}

/* The mean of a task's differences, for the spread within tasks. */
static double spread(const double *differences, const size_t *problems, size_t count, size_t tasks)
{
    double squares = 0;
    for (size_t p = 0; p < tasks; p++) {
        double sum = 0, own = 0;
        for (size_t i = 0; i < count; i++)
            if (problems[i] == p) {
                sum += differences[i];
                own++;
            }
        for (size_t i = 0; i < count; i++)
            if (problems[i] == p)
                squares += (differences[i] - sum / own) * (differences[i] - sum / own);
    }
    return squares;
}

enum hd_code bench_compare(const struct bench_plan *plan, const struct bench_result *results,
                           size_t method, size_t against, double checkpoint,
                           struct bench_comparison *ret_comparison, struct hd_err *err)
{
    double *differences = calloc(plan->unit_count, sizeof(*differences));
    size_t *problems = calloc(plan->unit_count, sizeof(*problems));
    size_t count = 0;
    double sum = 0;
    if (differences == NULL || problems == NULL) {
        free(differences);
        free(problems);
        return hd_fail(err, HD_E_NOMEM, "no memory for a comparison");
    }
    for (size_t i = 0; i < plan->unit_count; i++) {
        if (plan->units[i].method_index != method)
            continue;
        size_t pair = find_pair(plan, &plan->units[i], against);
        double difference = bench_trace_at(&results[i].trace, checkpoint) -
                            bench_trace_at(&results[pair].trace, checkpoint);
        if (isnan(difference))
            continue;
        problems[count] = plan->units[i].problem_index;
        differences[count++] = difference;
        sum += difference;
    }
    double degrees = (double)count - (double)plan->problem_count;
    *ret_comparison = (struct bench_comparison){
        .pairs = count, .mean = sum / (double)count, .half_width = NAN, .p = NAN};
    if (degrees > 0)
        ret_comparison->half_width =
            t_quantile(degrees) * sqrt(spread(differences, problems, count, plan->problem_count) /
                                       degrees / (double)count);
    if (count > 0)
        ret_comparison->p = bench_wilcoxon(differences, count);
    free(differences);
    free(problems);
    return HD_OK;
}

enum hd_code bench_compare_print(const struct bench_plan *plan, const struct bench_result *results,
                                 size_t against, const double *checkpoints, size_t count,
                                 struct hd_err *err)
{
    printf(
        "\nRegret less that of %s on the same task with the same seed: mean, 95 %% interval, p of "
        "Wilcoxon's signed-rank test (not corrected for several comparisons):\n\n"
        "| %-24s |",
        plan->method_names[against], "method");
    for (size_t c = 0; c < count; c++)
        printf(" %g |", checkpoints[c]);
    printf("\n| --- |");
    for (size_t c = 0; c < count; c++)
        printf(" --: |");
    printf("\n");
    for (size_t m = 0; m < plan->method_count; m++) {
        if (m == against)
            continue;
        printf("| %-24s |", plan->method_names[m]);
        for (size_t c = 0; c < count; c++) {
            struct bench_comparison found;
            enum hd_code code =
                bench_compare(plan, results, m, against, checkpoints[c], &found, err);
            if (code != HD_OK)
                return code;
            if (found.pairs == 0)
                printf(" - |");
            else
                printf(" %+.3g [%+.3g, %+.3g] p=%.2g |", found.mean, found.mean - found.half_width,
                       found.mean + found.half_width, found.p);
        }
        printf("\n");
    }
    return HD_OK;
}
