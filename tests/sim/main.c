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
 *   --soak               on all processors, with progress; a failing seed is shrunk
 *   --jobs N             processes of a soak
 *   --shrink             what a failing seed does not need is taken away
 *   --without FAULT, --runs N, --workers N, --storm MS
 *                        takes it away from the plan: how shrinking says what is left
 *   --list               checkers and their promises
 */
#include "soak.h"

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
    struct sim_ease ease;
    const char *expect;
    uint64_t jobs;
    bool coverage, twice, alone, soak, shrink, list;
};

static int usage(const char *why)
{
    fprintf(stderr,
            "hd-sim: %s\nusage: hd-sim SEED COUNT [--trace] [--plant NAME] "
            "[--disable-checker NAME] [--expect CHECKER] [--coverage] [--twice] [--alone]\n"
            "       [--soak [--jobs N]] [--shrink] [--without FAULT] [--runs N] [--workers N] "
            "[--storm MS] [--list]\n",
            why);
    return 2;
}

static int list_checkers(void)
{
    for (size_t c = 0; c < sim_checker_count(); c++)
        printf("%-28s %s\n", sim_checker_info(c).name, sim_checker_info(c).promise);
    return 0;
}

static bool set_flag(struct arguments *arguments, const char *option)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--coverage", &arguments->coverage}, {"--twice", &arguments->twice},
                 {"--alone", &arguments->alone},       {"--soak", &arguments->soak},
                 {"--shrink", &arguments->shrink},     {"--list", &arguments->list}};
    for (size_t f = 0; f < HD_COUNT(flags); f++)
        if (strcmp(option, flags[f].name) == 0)
            return *flags[f].flag = true;
    if (strcmp(option, "--trace") != 0)
        return false;
    arguments->options.trace = stdout;
    return true;
}

static bool find_fault(const char *name, int *ret_fault)
{
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++)
        if (strcmp(sim_fault_name((enum sim_fault)fault), name) == 0) {
            *ret_fault = fault;
            return true;
        }
    return false;
}

/* NULL: done; otherwise why not. */
static const char *set_value(struct arguments *arguments, const char *option, const char *value)
{
    size_t checker;
    uint64_t number;
    int fault;
    if (strcmp(option, "--plant") == 0)
        return sim_plant_parse(value, &arguments->options.plant) ? NULL : "no such plant";
    if (strcmp(option, "--without") == 0) {
        if (!find_fault(value, &fault))
            return "no such fault: --coverage names them";
        arguments->ease.without[fault] = true;
        return NULL;
    }
    if (strcmp(option, "--disable-checker") == 0 || strcmp(option, "--expect") == 0) {
        if (!sim_checker_find(value, &checker))
            return "no such checker: see --list";
        if (strcmp(option, "--expect") == 0)
            arguments->expect = value;
        else
            arguments->options.disabled[checker] = true;
        return NULL;
    }
    if (!hd_parse_u64(value, &number) || number < 1 || number > UINT32_MAX)
        return "an option that does not exist, or not a number from 1";
    if (strcmp(option, "--jobs") == 0)
        arguments->jobs = number;
    else if (strcmp(option, "--runs") == 0)
        arguments->ease.runs_max = (uint32_t)number;
    else if (strcmp(option, "--workers") == 0)
        arguments->ease.workers_max = (uint32_t)number;
    else if (strcmp(option, "--storm") == 0)
        arguments->ease.storm_max_ms = (int64_t)number;
    else
        return "unknown option";
    return NULL;
}

/* -1: go on; otherwise the exit code. */
static int parse(struct arguments *arguments, int argc, char **argv)
{
    int positionals = 0;
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-') {
            if (set_flag(arguments, argv[at]))
                continue;
            if (at + 1 >= argc)
                return usage("an option without its value, or unknown");
            const char *why = set_value(arguments, argv[at], argv[at + 1]);
            if (why != NULL)
                return usage(why);
            at++;
            continue;
        }
        uint64_t *number = positionals == 0 ? &arguments->seed : &arguments->count;
        if (positionals++ >= 2 || !hd_parse_u64(argv[at], number))
            return usage("SEED and COUNT are numbers");
    }
    if (arguments->list)
        return list_checkers();
    return positionals == 2 ? -1 : usage("SEED and COUNT are needed");
}

static void report(const struct arguments *arguments, uint64_t seed,
                   const struct sim_result *result)
{
    struct sim_ease ease = arguments->ease;
    struct sim_result shrunk = *result;
    if (arguments->shrink) {
        (void)sim_shrink(seed, &arguments->options, result->checker, &ease);
        shrunk = sim_try(seed, &ease, &arguments->options);
    }
    sim_failure_print(seed, &shrunk, &ease, &arguments->options);
}

/* Runs one seed, and once more where two runs are compared. Returns how many comparisons failed. */
static uint64_t run_seed(const struct arguments *arguments, uint64_t seed,
                         struct sim_memory *memory, struct sim_cover *cover,
                         struct sim_result *ret_result)
{
    static struct sim_plan plan;
    struct sim_result second;
    uint64_t failures = 0;
    sim_plan_draw(seed, &plan);
    sim_plan_ease(&plan, &arguments->ease);
    if (arguments->alone)
        sim_plan_alone(&plan, true);
    sim_run(seed, &plan, &arguments->options, memory, cover, ret_result);
    if (arguments->alone) {
        if (arguments->options.trace != NULL)
            printf("---- without kills\n");
        sim_plan_alone(&plan, false);
        sim_run(seed, &plan, &arguments->options, memory, cover, &second);
        if (second.proposals != ret_result->proposals && !ret_result->failed) {
            printf("seed %llu: kills change what is proposed\n", (unsigned long long)seed);
            failures++;
        }
    }
    if (arguments->twice) {
        sim_run(seed, &plan, &arguments->options, memory, cover, &second);
        if (second.digest != ret_result->digest) {
            printf("seed %llu: two runs of it differ\n", (unsigned long long)seed);
            failures++;
        }
    }
    return failures;
}

/* Returns how many failed; *ret_found: the expected checker was among them, and ended the search.
 */
static uint64_t run_seeds(const struct arguments *arguments, struct sim_cover *cover,
                          bool *ret_found)
{
    /* An agent is large and mostly untouched: fresh pages cost less than clearing. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    struct sim_memory *memory = sim_memory_new();
    uint64_t failures = 0;
    clock_t begin = clock();
    for (uint64_t i = 0; i < arguments->count && !*ret_found; i++) {
        uint64_t seed = current_seed = arguments->seed + i;
        struct sim_result result;
        failures += run_seed(arguments, seed, memory, cover, &result);
        if (!result.failed)
            continue;
        failures++;
        *ret_found = arguments->expect != NULL && hd_streq(result.checker, arguments->expect);
        if (arguments->expect == NULL ? failures <= 20 : *ret_found)
            report(arguments, seed, &result);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    sim_memory_free(memory);
    printf("%llu seeds in %.1f s, %llu failed\n", (unsigned long long)cover->seeds, seconds,
           (unsigned long long)failures);
    return failures;
}

int main(int argc, char **argv)
{
    static struct arguments arguments;
    static struct sim_cover cover;
    int code = parse(&arguments, argc, argv);
    if (code >= 0)
        return code;
    uint64_t failures;
    bool found = false;
    if (arguments.soak) {
        const struct sim_soak soak = {.seed = arguments.seed,
                                      .count = arguments.count,
                                      .jobs = (uint32_t)arguments.jobs,
                                      .options = &arguments.options};
        failures = sim_soak(&soak, &cover);
    } else {
        signal(SIGABRT, on_abort);
        failures = run_seeds(&arguments, &cover, &found);
    }
    if (arguments.expect != NULL)
        return found ? 0 : 1;
    size_t missing = 0;
    if (arguments.coverage) {
        sim_cover_print(&cover, stdout);
        missing = sim_cover_missing(&cover, stdout);
    }
    return failures > 0 || missing > 0 ? 1 : 0;
}
