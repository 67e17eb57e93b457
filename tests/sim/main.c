/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd-sim SEED COUNT: runs COUNT clusters from SEED on.
 *
 *   --trace              every message and decision on stdout
 *   --plant NAME         with a planted bug (needs the build with plants)
 *   --disable-checker N  without one checker; may be repeated
 *   --expect CHECKER     succeeds only when this checker fails within the seeds
 *   --coverage           fails when a counter that must be reached is zero
 *   --twice              runs each seed twice and compares the digests
 *   --alone              one worker: the same configs are proposed with kills as without
 *   --list               checkers and their promises
 */
#include "sim.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t current_seed;

/* An assertion of the code under test aborts: say which seed it was. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    char text[64] = "seed ";
    size_t at = 5;
    char digits[24];
    size_t count = 0;
    for (uint64_t rest = current_seed; count == 0 || rest > 0; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (count > 0)
        text[at++] = digits[--count];
    text[at++] = '\n';
    ssize_t written = write(STDERR_FILENO, text, at);
    (void)written;
}

struct arguments {
    uint64_t seed, count;
    struct sim_options options;
    const char *expect;
    bool coverage, twice, alone;
};

static int usage(const char *why)
{
    fprintf(
        stderr,
        "hd-sim: %s\nusage: hd-sim SEED COUNT [--trace] [--plant NAME] "
        "[--disable-checker NAME] [--expect CHECKER] [--coverage] [--twice] [--alone] [--list]\n",
        why);
    return 2;
}

static int list_checkers(void)
{
    for (size_t c = 0; c < sim_checker_count(); c++)
        printf("%-28s %s\n", sim_checker_info(c).name, sim_checker_info(c).promise);
    return 0;
}

/* -1: go on; otherwise the exit code. */
static int parse_option(struct arguments *arguments, int argc, char **argv, int *at)
{
    const char *option = argv[*at];
    const char *value = *at + 1 < argc ? argv[*at + 1] : NULL;
    size_t index;
    if (strcmp(option, "--list") == 0)
        return list_checkers();
    if (strcmp(option, "--trace") == 0) {
        arguments->options.trace = stdout;
    } else if (strcmp(option, "--coverage") == 0) {
        arguments->coverage = true;
    } else if (strcmp(option, "--twice") == 0) {
        arguments->twice = true;
    } else if (strcmp(option, "--alone") == 0) {
        arguments->alone = true;
    } else if (value == NULL) {
        return usage("an option without its value, or unknown");
    } else if (strcmp(option, "--plant") == 0) {
        ++*at;
        if (!sim_plant_parse(value, &arguments->options.plant))
            return usage("no such plant");
    } else if (strcmp(option, "--disable-checker") == 0) {
        ++*at;
        if (!sim_checker_find(value, &index))
            return usage("no such checker: see --list");
        arguments->options.disabled[index] = true;
    } else if (strcmp(option, "--expect") == 0) {
        ++*at;
        if (!sim_checker_find(value, &index))
            return usage("no such checker: see --list");
        arguments->expect = value;
    } else {
        return usage("unknown option");
    }
    return -1;
}

static int parse(struct arguments *arguments, int argc, char **argv)
{
    int positionals = 0;
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-') {
            int code = parse_option(arguments, argc, argv, &at);
            if (code >= 0)
                return code;
            continue;
        }
        uint64_t *number = positionals == 0 ? &arguments->seed : &arguments->count;
        if (positionals++ >= 2 || !hd_parse_u64(argv[at], number))
            return usage("SEED and COUNT are numbers");
    }
    return positionals == 2 ? -1 : usage("SEED and COUNT are needed");
}

static void report(const struct arguments *arguments, uint64_t seed,
                   const struct sim_result *result)
{
    printf("seed %llu: %s at %lld ms: %s\n  again: hd-sim %llu 1 --trace%s%s\n",
           (unsigned long long)seed, result->checker, (long long)result->at_ms, result->text,
           (unsigned long long)seed, arguments->options.plant != SIM_PLANT_NONE ? " --plant " : "",
           arguments->options.plant != SIM_PLANT_NONE ? sim_plant_name(arguments->options.plant)
                                                      : "");
}

int main(int argc, char **argv)
{
    static struct arguments arguments;
    static struct sim_cover cover;
    static struct sim_plan plan;
    int code = parse(&arguments, argc, argv);
    if (code >= 0)
        return code;
    signal(SIGABRT, on_abort);
    /* An agent is large and mostly untouched: fresh pages cost less than clearing. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    struct sim_memory *memory = sim_memory_new();
    uint64_t failures = 0;
    bool found = false;
    clock_t begin = clock();
    for (uint64_t i = 0; i < arguments.count && !found; i++) {
        uint64_t seed = current_seed = arguments.seed + i;
        struct sim_result result, second;
        sim_plan_draw(seed, &plan);
        if (arguments.alone)
            sim_plan_alone(&plan, true);
        sim_run(seed, &plan, &arguments.options, memory, &cover, &result);
        if (arguments.alone) {
            if (arguments.options.trace != NULL)
                printf("---- without kills\n");
            sim_plan_alone(&plan, false);
            sim_run(seed, &plan, &arguments.options, memory, &cover, &second);
            if (second.proposals != result.proposals && !result.failed) {
                printf("seed %llu: kills change what is proposed\n", (unsigned long long)seed);
                failures++;
            }
        }
        if (arguments.twice) {
            sim_run(seed, &plan, &arguments.options, memory, &cover, &second);
            if (second.digest != result.digest) {
                printf("seed %llu: two runs of it differ\n", (unsigned long long)seed);
                failures++;
            }
        }
        if (!result.failed)
            continue;
        failures++;
        found = arguments.expect != NULL && hd_streq(result.checker, arguments.expect);
        if (arguments.expect == NULL ? failures <= 20 : found)
            report(&arguments, seed, &result);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    sim_memory_free(memory);
    printf("%llu seeds in %.1f s, %llu failed\n", (unsigned long long)cover.seeds, seconds,
           (unsigned long long)failures);
    if (arguments.expect != NULL)
        return found ? 0 : 1;
    size_t missing = 0;
    if (arguments.coverage) {
        sim_cover_print(&cover, stdout);
        missing = sim_cover_missing(&cover, stdout);
    }
    return failures > 0 || missing > 0 ? 1 : 0;
}
