/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers.c: containers per second through the engine, beside the bare sequence of requests
 * (create, wait, start, inspect, remove), on the same machine in the same run.
 *
 *   build/benchmarks/engine/bench_containers build/tests/lib/engine_target [COUNT [PARALLEL]]
 *
 * Both sides run the same static program, one at a time and PARALLEL at once, in turns of a few
 * containers each, so that a machine that slows down slows both. The engine's side includes what
 * the bare one lacks: logs, limits looked after, labels, mounts. The ratio is the result; the
 * absolute numbers are the daemon's.
 */
#include "docker.h"
#include "real_docker.h"

#include <hd/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPOSITORY "hyperdock-bench"
#define ROUNDS 4
#define PARALLEL_MAX 64

struct bench {
    char dir[64];
    char run_dir[128], work_dir[128], log_path[128];
    char image[64];
    struct hd_queue *queue;
    uint64_t run_uid;
    uint32_t next_job;
};

static char word_exit[] = "exit";
static char word_zero[] = "0";
static char *target_argv[] = {word_exit, word_zero, NULL};

static void must(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return;
    fprintf(stderr, "bench_containers: %s\n", err->text);
    exit(HD_EXIT_FAILED);
}

static struct hd_engine_job job_of(struct bench *bench)
{
    return (struct hd_engine_job){
        .attempt = {bench->run_uid, bench->next_job++, 1},
        .worker = "bench",
        .run_id = "bench",
        .config_id = "[0,0,0]",
        .run_dir = bench->run_dir,
        .work_dir = bench->work_dir,
        .image = bench->image,
        .argv = target_argv,
    };
}

/* ---- through the engine --------------------------------------------------------------------- */

static void run_engine(struct bench *bench, uint32_t count, uint32_t parallel)
{
    struct hd_err err;
    struct hd_engine *engine = NULL;
    const struct hd_engine_options options = {.worker = "bench", .queue = bench->queue};
    must(hd_engine_open_docker(&options, &engine, &err), &err);
    for (uint32_t started = 0, ended = 0; ended < count;) {
        char log_path[192];
        while (started < count && started - ended < parallel) {
            struct hd_engine_job job = job_of(bench);
            (void)hd_format(log_path, sizeof(log_path), "%s.%u", bench->log_path,
                            job.attempt.job % parallel);
            job.log_path = log_path;
            must(hd_engine_start(engine, &job, &err), &err);
            started++;
        }
        struct hd_engine_news *news = hd_queue_pop(bench->queue, -1);
        if (!news->ended) {
            hd_free(news);
            continue;
        }
        if (news->end.kind != HD_END_EXITED || news->end.exit_code != 0) {
            fprintf(stderr, "bench_containers: %s\n", news->end.message);
            exit(HD_EXIT_FAILED);
        }
        hd_engine_remove(engine, news->attempt);
        hd_free(news);
        ended++;
    }
    hd_engine_close(engine); /* waits for the removals */
}

/* ---- bare ----------------------------------------------------------------------------------- */

struct lane {
    pthread_t thread;
    struct bench *bench;
    struct hd_docker_endpoint endpoint;
    struct hd_docker_api api;
    uint32_t count;
    uint32_t first;
};

static bool never(void *context)
{
    (void)context;
    return false;
}

static void run_bare_once(struct lane *lane, const char *name)
{
    char body[512], path[256], id[HD_DOCKER_ID_SIZE];
    struct hd_docker_call *wait = NULL;
    struct hd_docker_container container;
    struct hd_docker_refusal refusal;
    struct hd_err err;
    (void)hd_format(body, sizeof(body),
                    "{\"Image\":\"%s\",\"Cmd\":[\"exit\",\"0\"],\"HostConfig\":{\"Init\":true}}",
                    lane->bench->image);
    must(hd_docker_create(&lane->api, name, body, id, &refusal, &err), &err);
    (void)hd_format(path, sizeof(path), "/containers/%s/wait?condition=next-exit", id);
    const struct hd_docker_request request = {.method = "POST", .path = path, .stream = true};
    must(hd_docker_call_begin(lane->api.http, &request, &wait, &err), &err);
    while (!wait->headers_seen && !wait->done)
        hd_docker_http_pump(lane->api.http, 1000);
    must(hd_docker_start(&lane->api, id, &refusal, &err), &err);
    while (!wait->done)
        hd_docker_http_pump(lane->api.http, 1000);
    hd_docker_call_end(lane->api.http, wait);
    must(hd_docker_inspect(&lane->api, id, &container, &err), &err);
    must(hd_docker_remove(&lane->api, id, &err), &err);
}

static void *run_lane(void *context)
{
    struct lane *lane = context;
    for (uint32_t i = 0; i < lane->count; i++) {
        char name[HD_ENGINE_NAME_MAX];
        (void)hd_format(name, sizeof(name), "hyperdock-bare-%016llx-%u",
                        (unsigned long long)lane->bench->run_uid, lane->first + i);
        run_bare_once(lane, name);
    }
    return NULL;
}

static void run_bare(struct bench *bench, uint32_t count, uint32_t parallel)
{
    static struct lane lanes[PARALLEL_MAX];
    struct hd_err err;
    for (uint32_t i = 0; i < parallel; i++) {
        struct lane *lane = &lanes[i];
        *lane = (struct lane){.bench = bench, .count = count / parallel, .first = bench->next_job};
        bench->next_job += lane->count;
        lane->api = (struct hd_docker_api){.endpoint = &lane->endpoint, .interrupted = never};
        must(hd_docker_endpoint_init(&lane->endpoint, NULL, &err), &err);
        must(hd_docker_http_new(&lane->endpoint, &lane->api.http, &err), &err);
        must(hd_docker_negotiate(&lane->api, &err), &err);
        hd_assert(pthread_create(&lane->thread, NULL, run_lane, lane) == 0);
    }
    for (uint32_t i = 0; i < parallel; i++) {
        pthread_join(lanes[i].thread, NULL);
        hd_docker_http_free(lanes[i].api.http);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

static void compare(struct bench *bench, uint32_t count, uint32_t parallel)
{
    int64_t engine_us = 0, bare_us = 0;
    uint32_t turn = count / ROUNDS / parallel * parallel;
    if (turn == 0)
        turn = parallel;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t start_us = hd_clock_us();
        run_bare(bench, turn, parallel);
        int64_t middle_us = hd_clock_us();
        run_engine(bench, turn, parallel);
        bare_us += middle_us - start_us;
        engine_us += hd_clock_us() - middle_us;
    }
    double total = (double)turn * ROUNDS;
    printf("%2u at once: engine %6.2f containers/s, bare %6.2f containers/s, ratio %.2f\n",
           parallel, total * 1e6 / (double)engine_us, total * 1e6 / (double)bare_us,
           (double)bare_us / (double)engine_us);
    fflush(stdout);
}

static int64_t argument(int argc, char **argv, int index, int64_t otherwise)
{
    int64_t number = otherwise;
    if (argc > index && (!hd_parse_i64(argv[index], &number) || number < 1 || number > 100000))
        number = otherwise;
    return number;
}

int main(int argc, char **argv)
{
    static struct bench bench = {.dir = "/tmp/hd-bench-XXXXXX"};
    struct hd_err err = {0};
    char tag[32];
    if (argc < 2) {
        fprintf(stderr, "usage: bench_containers ENGINE_TARGET [COUNT [PARALLEL]]\n");
        return HD_EXIT_USAGE;
    }
    if (!real_docker_answers()) {
        puts("no Docker engine answers: nothing to measure");
        return HD_EXIT_OK;
    }
    uint32_t count = (uint32_t)argument(argc, argv, 2, 40);
    int64_t parallel = argument(argc, argv, 3, 4);
    hd_assert(mkdtemp(bench.dir) != NULL);
    (void)hd_format(bench.run_dir, sizeof(bench.run_dir), "%s/run", bench.dir);
    (void)hd_format(bench.work_dir, sizeof(bench.work_dir), "%s/work", bench.dir);
    (void)hd_format(bench.log_path, sizeof(bench.log_path), "%s/log", bench.dir);
    must(hd_mkdirs(bench.run_dir, 0755, &err), &err);
    must(hd_mkdirs(bench.work_dir, 0755, &err), &err);
    must(hd_queue_new(256, &bench.queue, &err), &err);
    bench.run_uid = hd_os_random_u64();
    (void)hd_format(tag, sizeof(tag), "%016llx", (unsigned long long)bench.run_uid);
    (void)hd_format(bench.image, sizeof(bench.image), "%s:%s", REPOSITORY, tag);
    must(real_docker_import(argv[1], REPOSITORY, tag, true, &err), &err);
    compare(&bench, count, 1);
    if (parallel > 1)
        compare(&bench, count, (uint32_t)(parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX));
    real_docker_remove_image(REPOSITORY, tag);
    hd_queue_free(bench.queue);
    must(hd_remove_tree(bench.dir, &err), &err);
    return HD_EXIT_OK;
}
