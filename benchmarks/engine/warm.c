/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.c: evaluations per second by targets that stay, beside targets that are started for each
 * job:
 *
 *   build/benchmarks/engine/bench_warm process|docker build/tests/lib/engine_target
 *                                      [WORKERS [WARM_COUNT [COLD_COUNT]]]
 *
 * An evaluation is all that a worker does for a job on its own machine: its directories and files,
 * the target, the loss read and judged. What is left out is the network and the journal. Each
 * worker is a thread with an engine of its own and one job at a time; the first job of each, which
 * starts the warm target, is not counted. The directories are below $TMPDIR (/tmp), whose file
 * system counts; the time of a processor is that of this program, without its targets.
 */
#include "contract.h"
#include "real_docker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPOSITORY "hyperdock-bench"
#define WORKERS_MAX 64

struct bench {
    const char *target;
    bool docker;
    char dir[64];
    char image[64];
    uint64_t run_uid;
};

struct worker {
    pthread_t thread;
    const struct bench *bench;
    uint32_t number;
    uint32_t first_job, count;
    pthread_barrier_t *barrier;
    struct hd_experiment *experiment;
    struct hd_root root;
    struct hd_queue *queue;
    struct hd_engine *engine;
    char name[32], state_dir[160];
};

static void must(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return;
    fprintf(stderr, "bench_warm: %s\n", err->text);
    exit(HD_EXIT_FAILED);
}

static struct hd_experiment *experiment_of(const struct bench *bench, bool warm)
{
    char text[1024];
    struct hd_experiment *experiment = NULL;
    struct hd_err err = {0};
    char what[256];
    (void)hd_format(what, sizeof(what), "image: '%s', command: [", bench->image);
    if (!bench->docker)
        (void)hd_format(what, sizeof(what), "command: ['%s', ", bench->target);
    (void)hd_format(text, sizeof(text),
                    "target: {%s%s], warm: %s}\nobjective: loss\n"
                    "space: {do: {type: categorical, choices: [answer, points]}}\n",
                    what, warm ? "warm, stops" : "loss, 0.5", warm ? "{jobs: 1000000}" : "false");
    must(hd_experiment_parse_text(text, strlen(text), "bench", NULL, &experiment, &err), &err);
    return experiment;
}

static void evaluate(struct worker *worker, uint32_t job)
{
    struct hd_err err = {0};
    struct hd_workspace workspace;
    struct hd_plan plan;
    struct hd_loss loss;
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    const struct hd_lease lease = {.attempt = {worker->bench->run_uid, job, 1},
                                   .run_id = worker->name,
                                   .config = job,
                                   .budget = 1,
                                   .root = "",
                                   .directory = "",
                                   .directory_owner = "",
                                   .params_json = "{\"do\": \"answer\"}"};
    must(hd_workspace_make(&worker->root, worker->name, &lease, &workspace, &err), &err);
    const struct hd_plan_input input = {.worker = worker->name,
                                        .lease = &lease,
                                        .experiment = worker->experiment,
                                        .workspace = &workspace,
                                        .container = worker->bench->docker,
                                        .now_wall_ms = hd_clock_wall_ms()};
    must(hd_plan_make(&input, &plan, &err), &err);
    must(hd_engine_start(worker->engine, &plan.job, &err), &err);
    hd_plan_release(&plan);
    struct hd_engine_news *news = hd_queue_pop(worker->queue, -1);
    for (; !news->ended; news = hd_queue_pop(worker->queue, -1))
        hd_free(news);
    hd_loss_read(workspace.run_dir, worker->experiment, &loss);
    hd_classify(&news->end, &loss, worker->experiment, HD_OUTCOME_STOPPED, &result, message,
                sizeof(message));
    if (result.outcome != HD_OUTCOME_OK) {
        fprintf(stderr, "bench_warm: %s\n", message);
        exit(HD_EXIT_FAILED);
    }
    hd_engine_remove(worker->engine, news->attempt);
    hd_free(news);
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    evaluate(worker, worker->first_job);
    (void)pthread_barrier_wait(worker->barrier);
    for (uint32_t i = 1; i <= worker->count; i++)
        evaluate(worker, worker->first_job + i);
    (void)pthread_barrier_wait(worker->barrier);
    return NULL;
}

static void open_worker(struct worker *worker, const struct bench *bench, uint32_t number)
{
    char root[128];
    struct hd_err err = {0};
    worker->bench = bench;
    worker->number = number;
    (void)hd_format(worker->name, sizeof(worker->name), "w-%u", number);
    (void)hd_format(root, sizeof(root), "%s/root", bench->dir);
    (void)hd_format(worker->state_dir, sizeof(worker->state_dir), "%s/state-%u", bench->dir,
                    number);
    must(hd_root_open(root, &worker->root, &err), &err);
    must(hd_mkdirs(worker->state_dir, 0700, &err), &err);
    must(hd_queue_new(256, &worker->queue, &err), &err);
    const struct hd_engine_options options = {
        .worker = worker->name, .state_dir = worker->state_dir, .queue = worker->queue, .slots = 1};
    must(hd_engine_open_warm(&options,
                             bench->docker ? hd_engine_open_docker : hd_engine_open_process,
                             &worker->engine, &err),
         &err);
}

static double processor_ms(void)
{
    struct timespec used;
    hd_assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
}

static void measure(const struct bench *bench, bool warm, uint32_t workers, uint32_t count)
{
    static struct worker all[WORKERS_MAX];
    static uint32_t next_job = 1;
    pthread_barrier_t barrier;
    hd_assert(pthread_barrier_init(&barrier, NULL, workers + 1) == 0);
    memset(all, 0, sizeof(all));
    for (uint32_t i = 0; i < workers; i++) {
        open_worker(&all[i], bench, i);
        all[i].experiment = experiment_of(bench, warm);
        all[i].barrier = &barrier;
        all[i].count = count / workers;
        all[i].first_job = next_job;
        next_job += all[i].count + 1;
        hd_assert(pthread_create(&all[i].thread, NULL, run_worker, &all[i]) == 0);
    }
    (void)pthread_barrier_wait(&barrier);
    int64_t start_us = hd_clock_us();
    double before_ms = processor_ms();
    (void)pthread_barrier_wait(&barrier);
    double seconds = (double)(hd_clock_us() - start_us) / 1e6, done = count / workers * workers;
    printf("%-7s %s, %2u workers: %9.2f evaluations/s, %.3f ms of a processor each\n",
           bench->docker ? "docker" : "process", warm ? "warm" : "cold", workers, done / seconds,
           (processor_ms() - before_ms) / done);
    fflush(stdout);
    for (uint32_t i = 0; i < workers; i++) {
        pthread_join(all[i].thread, NULL);
        hd_engine_close(all[i].engine);
        hd_queue_free(all[i].queue);
        hd_experiment_free(all[i].experiment);
    }
    pthread_barrier_destroy(&barrier);
}

static uint32_t argument(int argc, char **argv, int index, uint32_t otherwise, uint32_t max)
{
    int64_t number;
    if (argc <= index || !hd_parse_i64(argv[index], &number) || number < 1 || number > max)
        return otherwise;
    return (uint32_t)number;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const char *below = getenv("TMPDIR");
    struct hd_err err = {0};
    char tag[32];
    if (argc < 3 || (!hd_streq(argv[1], "docker") && !hd_streq(argv[1], "process"))) {
        fprintf(stderr, "usage: bench_warm process|docker ENGINE_TARGET "
                        "[WORKERS [WARM_COUNT [COLD_COUNT]]]\n");
        return HD_EXIT_USAGE;
    }
    bench.docker = hd_streq(argv[1], "docker");
    char *target = realpath(argv[2], NULL);
    if (target == NULL || (bench.docker && !real_docker_answers())) {
        puts(target == NULL ? "no such target" : "no Docker engine answers: nothing to measure");
        return HD_EXIT_OK;
    }
    bench.target = target;
    uint32_t workers = argument(argc, argv, 3, 2, WORKERS_MAX);
    hd_assert(hd_format(bench.dir, sizeof(bench.dir), "%s/hd-bench-XXXXXX",
                        below != NULL ? below : "/tmp") &&
              mkdtemp(bench.dir) != NULL);
    bench.run_uid = hd_os_random_u64();
    (void)hd_format(tag, sizeof(tag), "%016llx", (unsigned long long)bench.run_uid);
    (void)hd_format(bench.image, sizeof(bench.image), "%s:%s", REPOSITORY, tag);
    if (bench.docker)
        must(real_docker_import(target, REPOSITORY, tag, true, &err), &err);
    measure(&bench, true, workers, argument(argc, argv, 4, 10000, 10000000));
    measure(&bench, false, workers, argument(argc, argv, 5, 20, 1000000));
    if (bench.docker)
        real_docker_remove_image(REPOSITORY, tag);
    free(target);
    must(hd_remove_tree(bench.dir, &err), &err);
    return HD_EXIT_OK;
}
