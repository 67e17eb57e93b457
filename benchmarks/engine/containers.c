/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers.c: containers per second through the engine, each started for its job and started
 * ahead of it, beside the bare sequence of requests (create, wait, start, inspect, remove), on the
 * same machine in the same run.
 *
 *   build/benchmarks/engine/bench_containers build/tests/lib/engine_target [COUNT [PARALLEL]]
 *
 * All run the same static program, one at a time and PARALLEL at once, in turns of a few containers
 * each, so that a machine that slows down slows all. The engine's side includes what the bare one
 * lacks: logs, limits looked after, labels, mounts. The ratios are the result; the absolute numbers
 * are the daemon's. Jobs that do nothing leave no time for the next container: jobs of half a
 * second show what starting ahead is for, by what one takes beyond that.
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
    char run_dir[128], work_dir[128], log_path[128]; /* of the last job */
    char image[64];
    struct hd_queue *queue;
    uint64_t run_uid;
    uint32_t next_job;
};

#define LONG_JOB_MS 500

static char word_pause[] = "pause";
static char word_zero[] = "0", word_long[] = "500"; /* LONG_JOB_MS */
static char *target_argv[] = {word_pause, word_zero, NULL};

static void must(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return;
    fprintf(stderr, "bench_containers: %s\n", err->text);
    exit(HD_EXIT_FAILED);
}

static struct hd_engine_job job_of(struct bench *bench, bool ahead)
{
    struct hd_err err;
    uint32_t number = bench->next_job++;
    (void)hd_format(bench->run_dir, sizeof(bench->run_dir), "%s/run-%u", bench->dir, number);
    (void)hd_format(bench->work_dir, sizeof(bench->work_dir), "%s/work-%u", bench->dir, number);
    (void)hd_format(bench->log_path, sizeof(bench->log_path), "%s/log-%u", bench->dir, number);
    must(hd_mkdirs(bench->run_dir, 0755, &err), &err);
    must(hd_mkdirs(bench->work_dir, 0755, &err), &err);
    return (struct hd_engine_job){
        .attempt = {bench->run_uid, number, 1},
        .worker = "bench",
        .run_id = "bench",
        .config_id = "[0,0,0]",
        .run_dir = bench->run_dir,
        .work_dir = bench->work_dir,
        .log_path = bench->log_path,
        .image = bench->image,
        .argv = target_argv,
        .ahead = ahead,
    };
}

/* ---- through the engine --------------------------------------------------------------------- */

static struct hd_engine *open_engine(struct bench *bench, const char *worker, uint32_t slots)
{
    char state_dir[160];
    struct hd_engine *engine = NULL;
    struct hd_err err;
    (void)hd_format(state_dir, sizeof(state_dir), "%s/%s", bench->dir, worker);
    must(hd_mkdirs(state_dir, 0700, &err), &err);
    const struct hd_engine_options options = {.worker = worker,
                                              .state_dir = state_dir,
                                              .queue = bench->queue,
                                              .slots = slots,
                                              .files = HD_FILES_BIND};
    must(hd_engine_open_docker(&options, &engine, &err), &err);
    return engine;
}

static void run_engine(struct bench *bench, struct hd_engine *engine, bool ahead, uint32_t count,
                       uint32_t parallel)
{
    struct hd_err err;
    for (uint32_t started = 0, ended = 0; ended < count;) {
        while (started < count && started - ended < parallel) {
            const struct hd_engine_job job = job_of(bench, ahead);
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
                    "{\"Image\":\"%s\",\"Cmd\":[\"%s\",\"%s\"],\"HostConfig\":{\"Init\":true}}",
                    lane->bench->image, target_argv[0], target_argv[1]);
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

/* ---- all ------------------------------------------------------------------------------------ */

enum way { WAY_BARE, WAY_COLD, WAY_AHEAD, WAY_COUNT };

static void print(const int64_t us[WAY_COUNT], double total, uint32_t parallel, uint32_t job_ms)
{
    static const char *const names[] = {"bare requests", "cold", "started ahead"};
    for (size_t way = 0; way < WAY_COUNT; way++) {
        double each_ms = (double)us[way] / 1e3 / total * parallel;
        printf("%2u at once, jobs of %3u ms, %-13s: %6.2f a second, %6.1f ms each beyond the job, "
               "%.2f of the bare rate\n",
               parallel, job_ms, names[way], total * 1e6 / (double)us[way], each_ms - job_ms,
               (double)us[WAY_BARE] / (double)us[way]);
    }
    fflush(stdout);
}

static void compare(struct bench *bench, uint32_t count, uint32_t parallel, uint32_t job_ms)
{
    int64_t us[WAY_COUNT] = {0};
    uint32_t turn = count / ROUNDS / parallel * parallel;
    target_argv[1] = job_ms > 0 ? word_long : word_zero;
    if (turn == 0)
        turn = parallel;
    struct hd_engine *cold = open_engine(bench, "cold", parallel);
    struct hd_engine *ahead = open_engine(bench, "ahead", parallel);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t way = 0; way < WAY_COUNT; way++) {
            int64_t start_us = hd_clock_us();
            if (way == WAY_BARE)
                run_bare(bench, turn, parallel);
            else
                run_engine(bench, way == WAY_AHEAD ? ahead : cold, way == WAY_AHEAD, turn,
                           parallel);
            us[way] += hd_clock_us() - start_us;
        }
    }
    hd_engine_close(cold); /* waits for the removals */
    hd_engine_close(ahead);
    print(us, (double)turn * ROUNDS, parallel, job_ms);
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
    must(hd_queue_new(256, &bench.queue, &err), &err);
    bench.run_uid = hd_os_random_u64();
    (void)hd_format(tag, sizeof(tag), "%016llx", (unsigned long long)bench.run_uid);
    (void)hd_format(bench.image, sizeof(bench.image), "%s:%s", REPOSITORY, tag);
    must(real_docker_import(argv[1], REPOSITORY, tag, true, &err), &err);
    for (uint32_t job_ms = 0; job_ms <= LONG_JOB_MS; job_ms += LONG_JOB_MS) {
        compare(&bench, count, 1, job_ms);
        if (parallel > 1)
            compare(&bench, count, (uint32_t)(parallel < PARALLEL_MAX ? parallel : PARALLEL_MAX),
                    job_ms);
    }
    real_docker_remove_image(REPOSITORY, tag);
    hd_queue_free(bench.queue);
    must(hd_remove_tree(bench.dir, &err), &err);
    return HD_EXIT_OK;
}
