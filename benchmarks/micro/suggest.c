/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suggest.c: what one proposal costs, by sampler and number of observations.
 *
 *   meson setup build --buildtype=release && ninja -C build
 *   build/benchmarks/micro/bench_suggest [SAMPLER [MAX_OBSERVATIONS]]
 *
 * Two spaces of 10 dims: ten floats; and a mixed one (3 floats, 3 log floats, 2 ints, 2
 * categoricals). The history holds N results at one budget; then 200 rounds of suggest, add and
 * tell are timed, so that no proposal sees the history of the one before. tell and add are shown
 * together. Times are of the monotonic clock; run it on a quiet machine.
 */
#include <hd/sampler.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 200
#define DIMENSION 10

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
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

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const struct hd_space *space, const char *space_name,
                    uint32_t observations)
{
    static int64_t suggest_ns[ROUNDS], tell_ns[ROUNDS];
    struct hd_err err;
    struct hd_rng rng;
    struct hd_sampler *sampler = NULL;
    double values[DIMENSION];
    hd_rng_seed(&rng, 1);
    must(hd_sampler_new(&(struct hd_sampler_spec){.name = name, .seed = 1}, space, &sampler, &err),
         &err);
    for (uint32_t i = 0; i < observations; i++) {
        hd_space_sample(space, &rng, values);
        must(hd_sampler_add(sampler, i, values, &err), &err);
        must(hd_sampler_tell(sampler, i, 1, loss_of(values), &err), &err);
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int64_t start = now_ns();
        must(hd_sampler_suggest(sampler, observations + i, 1, values, NULL, &err), &err);
        int64_t middle = now_ns();
        must(hd_sampler_add(sampler, observations + i, values, &err), &err);
        must(hd_sampler_tell(sampler, observations + i, 1, loss_of(values), &err), &err);
        suggest_ns[i] = middle - start;
        tell_ns[i] = now_ns() - middle;
    }
    qsort(suggest_ns, ROUNDS, sizeof(int64_t), compare);
    qsort(tell_ns, ROUNDS, sizeof(int64_t), compare);
    printf("%-8s %-7s %8u %12lld %12lld %12lld\n", name, space_name, observations,
           (long long)suggest_ns[ROUNDS / 2], (long long)suggest_ns[ROUNDS * 99 / 100],
           (long long)tell_ns[ROUNDS / 2]);
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
    printf("%-8s %-7s %8s %12s %12s %12s\n", "sampler", "space", "observed", "median ns", "p99 ns",
           "add+tell ns");
    for (int mixed = 0; mixed < 2; mixed++) {
        struct hd_space *space = make_space(mixed == 1);
        for (const char *const *name = hd_sampler_names(); *name != NULL; name++) {
            if (argc > 1 && strcmp(argv[1], *name) != 0)
                continue;
            for (size_t i = 0; i < HD_COUNT(counts) && counts[i] <= most; i++)
                measure(*name, space, mixed ? "mixed" : "floats", counts[i]);
        }
        hd_space_free(space);
    }
    return 0;
}
