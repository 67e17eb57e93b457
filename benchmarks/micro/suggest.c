/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suggest.c: what one proposal costs, by sampler and number of observations.
 *
 *   meson setup build --buildtype=release && ninja -C build
 *   build/benchmarks/micro/bench_suggest [SAMPLER [MAX_OBSERVATIONS]]
 *
 * Two spaces of 10 dims: ten floats; and a mixed one (3 floats, 3 log floats, 2 ints, 2
 * categoricals); the floats once more with two objectives. The history holds N results at one
 * budget; then up to 200 rounds of suggest, add and tell are timed (a fifth of N when that is less,
 * so that N is still what was asked for), so that no proposal sees the history of the one before.
 * tell and add are shown together. Times are of the processor, which other programs disturb less
 * than the clock; p10 is the truest on a machine that is busy. The median of a sampler that now and
 * then does more (hyperparameters, generations) is that of its plain proposals; p99 shows the
 * others.
 */
#include <hd/sampler.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MIN 20u
#define ROUNDS_MAX 200u
#define DIMENSION 10

/* Both clocks, in nanoseconds. */
struct moment {
    int64_t cpu, wall;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct moment now(void)
{
    return (struct moment){clock_ns(CLOCK_THREAD_CPUTIME_ID), clock_ns(CLOCK_MONOTONIC)};
}

static void must(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return;
    fprintf(stderr, "bench_suggest: %s\n", err->text);
    exit(1);
}

static struct hd_space *make_space(bool mixed)
{
    static const char *const bodies[] = {
        "{\"type\":\"float\",\"low\":-5,\"high\":5}",
        "{\"type\":\"float\",\"low\":1e-5,\"high\":1,\"log\":true}",
        "{\"type\":\"int\",\"low\":1,\"high\":40}",
        "{\"type\":\"categorical\",\"choices\":[\"a\",\"b\",\"c\",\"d\"]}",
    };
    static const int kinds[DIMENSION] = {0, 0, 0, 1, 1, 1, 2, 2, 3, 3};
    struct hd_err err;
    struct hd_buf text;
    struct hd_value *value = NULL;
    struct hd_space *space = NULL;
    hd_buf_init(&text, 1 << 16);
    for (int i = 0; i < DIMENSION; i++)
        must(hd_buf_printf(&text, &err, "%s\"p%d\":%s", i == 0 ? "{" : ",", i,
                           bodies[mixed ? kinds[i] : 0]),
             &err);
    must(hd_buf_puts(&text, "}", &err), &err);
    must(hd_json_parse(hd_buf_text(&text), text.size, "space", &hd_value_limits_file, &value, &err),
         &err);
    must(hd_space_parse(value, "space", "space", &space, &err), &err);
    hd_value_free(value);
    hd_buf_release(&text);
    return space;
}

static double loss_of(const double *values)
{
    double sum = 0;
    for (int i = 0; i < DIMENSION; i++)
        sum += (values[i] - 0.3) * (values[i] - 0.3);
    return sum;
}

/* One loss, or two that want different things. */
static void tell(struct hd_sampler *sampler, uint32_t config, const double *values,
                 uint32_t objectives)
{
    struct hd_err err;
    struct hd_score score = {.losses = {loss_of(values), 0}};
    for (int i = 0; i < DIMENSION; i++)
        score.losses[1] += (values[i] + 1 - 0.3 * i) * (values[i] + 1 - 0.3 * i);
    must(objectives == 1 ? hd_sampler_tell(sampler, config, 1, score.losses[0], &err)
                         : hd_sampler_tell_score(sampler, config, 1, &score, &err),
         &err);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static long long quantile(int64_t *times, uint32_t count, uint32_t percent)
{
    qsort(times, count, sizeof(*times), compare);
    return (long long)times[(uint64_t)count * percent / 100];
}

static void measure(const char *name, const struct hd_space *space, const char *space_name,
                    uint32_t objectives, uint32_t observations)
{
    static int64_t cpu_ns[ROUNDS_MAX], wall_ns[ROUNDS_MAX], tell_ns[ROUNDS_MAX];
    uint32_t rounds = observations / 5 < ROUNDS_MIN ? ROUNDS_MIN : observations / 5;
    rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    struct hd_err err;
    struct hd_rng rng;
    struct hd_sampler *sampler = NULL;
    double values[DIMENSION];
    hd_rng_seed(&rng, 1);
    struct hd_sampler_spec spec = {.name = name, .seed = 1, .objective_count = objectives};
    must(hd_sampler_new(&spec, space, &sampler, &err), &err);
    for (uint32_t i = 0; i < observations; i++) {
        hd_space_sample(space, &rng, values);
        must(hd_sampler_add(sampler, i, values, &err), &err);
        tell(sampler, i, values, objectives);
    }
    for (uint32_t i = 0; i < rounds; i++) {
        struct moment start = now();
        must(hd_sampler_suggest(sampler, observations + i, 1, values, NULL, &err), &err);
        struct moment middle = now();
        must(hd_sampler_add(sampler, observations + i, values, &err), &err);
        tell(sampler, observations + i, values, objectives);
        cpu_ns[i] = middle.cpu - start.cpu;
        wall_ns[i] = middle.wall - start.wall;
        tell_ns[i] = now().cpu - middle.cpu;
    }
    printf("%-8s %-7s %8u %12lld %12lld %12lld %12lld %12lld\n", name, space_name, observations,
           quantile(cpu_ns, rounds, 10), quantile(cpu_ns, rounds, 50), quantile(cpu_ns, rounds, 99),
           quantile(wall_ns, rounds, 50), quantile(tell_ns, rounds, 50));
    hd_sampler_free(sampler);
}

int main(int argc, char **argv)
{
    static const uint32_t counts[] = {100, 500, 1000, 10000, 100000};
    uint64_t most = 100000;
    if (argc > 2 && !hd_parse_u64(argv[2], &most)) {
        fprintf(stderr, "usage: bench_suggest [SAMPLER [MAX_OBSERVATIONS]]\n");
        return 2;
    }
    printf("%-8s %-7s %8s %12s %12s %12s %12s %12s\n", "sampler", "space", "observed", "cpu p10 ns",
           "cpu p50", "cpu p99", "wall p50", "add+tell cpu");
    static const struct {
        const char *name;
        bool mixed;
        uint32_t objectives;
    } cases[] = {{"floats", false, 1}, {"mixed", true, 1}, {"two", false, 2}};
    for (size_t c = 0; c < HD_COUNT(cases); c++) {
        struct hd_space *space = make_space(cases[c].mixed);
        for (const char *const *name = hd_sampler_names(); *name != NULL; name++) {
            if (argc > 1 && strcmp(argv[1], *name) != 0)
                continue;
            for (size_t i = 0; i < HD_COUNT(counts) && counts[i] <= most; i++)
                measure(*name, space, cases[c].name, cases[c].objectives, counts[i]);
        }
        hd_space_free(space);
    }
    return 0;
}
