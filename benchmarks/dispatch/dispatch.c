/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_dispatch: no-op jobs a second through the real core, store and wire, beside two bare
 * limits in the same process: an echo over the same sockets with messages of the same sizes,
 * and that echo plus one group commit of the same facts with no core between.
 *
 *   build/benchmarks/dispatch/bench_dispatch [--seconds S] [--rounds N] [--workers 1,8,64]
 *       [--directory DIR]
 *   build/benchmarks/dispatch/bench_dispatch --jobs 1000000 --workers 64
 *   build/benchmarks/dispatch/bench_dispatch --restore DIRECTORY/state.db
 *   build/benchmarks/dispatch/bench_dispatch --rate 500 --workers 1000 --seconds 20
 *
 * One round trip is one job: a report that asks for the next lease. Every job is durable
 * before it is answered (SQLite, WAL, synchronous=FULL, on DIR's disk). The last three columns are
 * microseconds of processor time of each, both sides of the wire together: other work on the
 * machine changes them less than the speeds.
 */
#include "load.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define QUEUE_ITEMS 65536
#define PING_MS 5000
#define SECONDS_MAX 1e6
#define TIMES_MAX 1e8 /* one double each */
#define ROUNDS_MAX 99

static const char experiment_text[] = "name: bench\n"
                                      "target: {command: [\"true\"]}\n"
                                      "space:\n"
                                      "  a: {type: float, low: 0, high: 1}\n"
                                      "  b: {type: float, low: 0, high: 1}\n"
                                      "  c: {type: int, low: 1, high: 100}\n"
                                      "sampler: {name: random}\n"
                                      "iteration_generator: {name: full}\n"
                                      "seed: 1\n";

/* ---- the bare limits ----------------------------------------------------------------------------
 */

struct echo {
    struct hd_net_server *server;
    struct hd_queue *news;
    struct hd_store *store; /* NULL: no commit */
    void *reply;
    size_t reply_size;
    uint64_t seq;
    uint32_t job;
    volatile bool stop;
};

static void add_facts(struct echo *echo, struct hd_fact *facts)
{
    static const double values[3] = {0.5, 0.5, 50};
    uint32_t job = echo->job++;
    facts[0] = (struct hd_fact){
        .kind = HD_FACT_CONFIG_PROPOSED,
        .as.config_proposed = {.config = job,
                               .id = {job, 0, 0},
                               .values = values,
                               .value_count = 3,
                               .params_json = "{\"a\":0.12345678901,\"b\":0.12345678901,\"c\":50}",
                               .info = {.sampler = "random", .model_budget = NAN}}};
    facts[1] = (struct hd_fact){
        .kind = HD_FACT_JOB_QUEUED,
        .as.job_queued = {
            .job = job, .config = job, .iteration = job, .budget = 1, .budget_previous = NAN}};
    facts[2] = (struct hd_fact){.kind = HD_FACT_ATTEMPT_LEASED,
                                .as.attempt_leased = {.job = job,
                                                      .attempt = 1,
                                                      .worker = "bench-1",
                                                      .incarnation = 1,
                                                      .sequence = job + 1,
                                                      .root = "",
                                                      .directory = "",
                                                      .budget_previous = NAN}};
    facts[3] = (struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                                .as.attempt_ended = {.job = job,
                                                     .attempt = 1,
                                                     .outcome = HD_OUTCOME_OK,
                                                     .loss = 0.5,
                                                     .by_report = true,
                                                     .worker = "bench-1",
                                                     .incarnation = 1,
                                                     .sequence = job + 1,
                                                     .message = "",
                                                     .info_json = "",
                                                     .root = "bench-1",
                                                     .directory = "c0"}};
    for (int i = 0; i < 4; i++)
        facts[i].seq = ++echo->seq;
}

static void *echo_main(void *context)
{
    enum { BATCH = 512 };
    static struct hd_fact facts[BATCH * 4];
    struct echo *echo = context;
    uint64_t addresses[BATCH];
    struct hd_err err;
    while (!echo->stop) {
        size_t count = 0;
        struct hd_net_news *news;
        while (count < BATCH && (news = hd_queue_pop(echo->news, count == 0 ? 100 : 0)) != NULL) {
            if (news->kind == HD_NET_MESSAGE) {
                if (echo->store != NULL)
                    add_facts(echo, facts + count * 4);
                addresses[count++] = news->address;
            }
            hd_net_news_free(news);
        }
        if (count > 0 && echo->store != NULL)
            check(hd_store_append(echo->store, facts, count * 4, &err), &err);
        for (size_t i = 0; i < count; i++)
            hd_net_reply(echo->server, addresses[i], echo->reply, echo->reply_size);
    }
    return NULL;
}

static struct load_speed bench_echo(unsigned workers, size_t request_size, size_t reply_size,
                                    const char *store_path, double seconds)
{
    static struct load load;
    struct hd_err err;
    struct hd_net_security security = {.cert_file = NULL};
    struct echo echo = {.reply_size = reply_size, .reply = calloc(1, reply_size)};
    uint16_t port;
    check(hd_queue_new(QUEUE_ITEMS, &echo.news, &err), &err);
    if (store_path != NULL) {
        struct hd_fact created = {
            .seq = 1,
            .kind = HD_FACT_RUN_CREATED,
            .as.run_created = {.run_id = "bench", .run_uid = 1, .experiment_json = "{}"}};
        check(hd_store_open_sqlite(store_path, &echo.store, &err), &err);
        check(hd_store_append(echo.store, &created, 1, &err), &err);
        echo.seq = 1;
    }
    check(hd_net_server_open("127.0.0.1", 0, HD_MESSAGE_BYTES_MAX, &security, echo.news,
                             &echo.server, &port, &err),
          &err);
    pthread_t thread;
    pthread_create(&thread, NULL, echo_main, &echo);
    char address[64];
    void *bytes = calloc(1, request_size);
    (void)hd_format(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    struct load_speed speed = load_run(&load, address, workers, bytes, request_size, seconds);
    echo.stop = true;
    pthread_join(thread, NULL);
    hd_net_server_close(echo.server);
    struct hd_net_news *news;
    while ((news = hd_queue_pop(echo.news, 0)) != NULL)
        hd_net_news_free(news);
    hd_queue_free(echo.news);
    hd_store_close(echo.store);
    free(bytes);
    free(echo.reply);
    return speed;
}

/* ---- the real thing
 * --------------------------------------------------------------------------------- */

struct service {
    struct hd_driver *driver;
    pthread_t thread;
    int stop_fd;
};

static void *service_main(void *context)
{
    struct service *service = context;
    struct hd_err err;
    check(hd_driver_serve(service->driver, service->stop_fd, &err), &err);
    return NULL;
}

static void start_service(struct service *service, const char *store_path)
{
    struct hd_err err;
    struct hd_driver_options options = {.core = {.ping_ms = PING_MS},
                                        .store_path = store_path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "bench",
                                        .token = TOKEN};
    struct hd_request submit = {.kind = HD_REQUEST_SUBMIT,
                                .token = "",
                                .worker = "",
                                .run_id = "bench",
                                .experiment_json = experiment_text,
                                .seed = 1,
                                .run_uid = 1};
    service->stop_fd = eventfd(0, EFD_CLOEXEC);
    check(hd_driver_open(&options, &service->driver, &err), &err);
    if (hd_core_run_count(hd_driver_core(service->driver)) == 0)
        check(hd_driver_request(service->driver, &submit, &err), &err);
    check(hd_driver_listen(service->driver, &err), &err);
    pthread_create(&service->thread, NULL, service_main, service);
}

static void stop_service(struct service *service)
{
    eventfd_write(service->stop_fd, 1);
    pthread_join(service->thread, NULL);
    hd_driver_close(service->driver);
    close(service->stop_fd);
}

static struct load_speed bench_dispatch(unsigned workers, const char *store_path, double seconds,
                                        size_t *ret_request_size, size_t *ret_reply_size)
{
    static struct load load;
    struct service service;
    start_service(&service, store_path);
    struct load_speed speed =
        load_run(&load, hd_driver_address(service.driver), workers, NULL, 0, seconds);
    *ret_request_size = load.request_size;
    *ret_reply_size = load.reply_size;
    stop_service(&service);
    return speed;
}

/* ---- one long run --------------------------------------------------------------------------- */

static double file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

/* Of this process: the master and the load. */
static double resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* In use, of the main thread's heap. */
static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* What a master does with its store before it listens: facts to core and sampler. */
static void bench_restore(const char *path)
{
    struct hd_err err;
    struct hd_driver *driver;
    struct hd_driver_options options = {.core = {.ping_ms = PING_MS},
                                        .store_path = path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "bench",
                                        .token = TOKEN};
    size_t before = heap_bytes();
    int64_t begin_us = hd_clock_us();
    double cpu = load_cpu_seconds();
    check(hd_driver_open(&options, &driver, &err), &err);
    int64_t wall_us = hd_clock_us() - begin_us;
    cpu = load_cpu_seconds() - cpu;
    double bytes = (double)(heap_bytes() - before), jobs = 0;
    for (uint32_t run = 0; run < hd_core_run_count(hd_driver_core(driver)); run++) {
        struct hd_run_view view;
        hd_core_view_run(hd_driver_core(driver), run, &view);
        jobs += view.job_count;
    }
    printf("\n%.0f jobs restored in %.2f s (%.2f s of CPU), %.0f bytes of memory a job\n", jobs,
           (double)wall_us / 1e6, cpu, bytes / jobs);
    hd_driver_close(driver);
}

/* Does a tenth of the jobs at a time, so that a slow-down shows; then stops and restores. */
static void bench_long(unsigned workers, const char *directory, uint64_t jobs)
{
    static struct load load;
    struct service service;
    char path[4096], wal[4200];
    (void)hd_format(path, sizeof(path), "%s/long.db", directory);
    (void)hd_format(wal, sizeof(wal), "%s-wal", path);
    start_service(&service, path);
    load_begin(&load, hd_driver_address(service.driver), workers, NULL, 0);
    printf("|     jobs | jobs/s   | CPU us/job | resident MB | file bytes/job |\n"
           "|---------:|---------:|-----------:|------------:|---------------:|\n");
    for (uint64_t tenth = 1; tenth <= 10; tenth++) {
        uint64_t until = jobs * tenth / 10, before = load.done;
        int64_t begin_us = hd_clock_us();
        double cpu = load_cpu_seconds();
        while (load.done < until)
            (void)load_go_on(&load, 1000);
        double done = (double)(load.done - before);
        printf("| %8llu | %8.0f | %10.1f | %11.1f | %14.0f |\n", (unsigned long long)load.done,
               done * 1e6 / (double)(hd_clock_us() - begin_us),
               (load_cpu_seconds() - cpu) * 1e6 / done, resident_bytes() / 1e6,
               (file_bytes(path) + file_bytes(wal)) / (double)load.done);
        fflush(stdout);
    }
    load_end(&load);
    stop_service(&service);
    bench_restore(path);
}

/* ---- how long a worker waits for its next job ------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* The next one in turn that has a job and nothing outstanding. */
static struct client *next_holder(struct load *load, unsigned *at)
{
    for (unsigned i = 0; i < load->worker_count; i++) {
        struct client *client = &load->clients[(*at)++ % load->worker_count];
        if (client->holds && client->sent_us == 0)
            return client;
    }
    return NULL;
}

static bool everybody_holds(const struct load *load)
{
    for (unsigned i = 0; i < load->worker_count; i++)
        if (!load->clients[i].holds)
            return false;
    return true;
}

/* Sends what is due, and takes the answers until `count` leases were waited for. */
static void pace(struct load *load, double rate, size_t count)
{
    double ping_rate = load->worker_count * 1000.0 / PING_MS;
    int64_t begin_us = hd_clock_us();
    size_t reports = 0, pings = 0;
    unsigned reporter = 0, pinger = 0;
    while (load->time_count < count) {
        double now = (double)(hd_clock_us() - begin_us) * 1e-6;
        struct client *client = NULL;
        if (reports < count && now >= (double)reports / rate &&
            (client = next_holder(load, &reporter)) != NULL) {
            reports++;
            client->sent_us = hd_clock_us();
            load_ask(load, client);
        }
        if (now >= (double)pings / ping_rate) {
            pings++;
            load_ping(load, &load->clients[pinger++ % load->worker_count]);
        }
        while (load_go_on(load, client != NULL ? 0 : 1))
            client = load->clients; /* one wait a turn */
    }
}

/* Everybody is connected and has a job; so many a second end, and the time from the report to the
 * lease of the next job is measured. Everybody pings as real workers do. */
static void bench_latency(unsigned workers, const char *directory, double rate, double seconds)
{
    static struct load load;
    struct service service;
    char path[4096];
    size_t count = (size_t)(rate * seconds) + 1;
    double *times = calloc(count, sizeof(*times));
    if (times == NULL) {
        fprintf(stderr, "bench_dispatch: no memory for %zu times\n", count);
        exit(1);
    }
    (void)hd_format(path, sizeof(path), "%s/latency-%u.db", directory, workers);
    start_service(&service, path);
    load_begin(&load, hd_driver_address(service.driver), workers, NULL, 0);
    load.paced = true;
    load.times_ms = times;
    while (!everybody_holds(&load))
        (void)load_go_on(&load, 1000);
    int64_t begin_us = hd_clock_us();
    pace(&load, rate, count);
    double took = (double)(hd_clock_us() - begin_us) * 1e-6;
    qsort(times, count, sizeof(*times), compare_doubles);
    printf("| %7u | %6.0f | %6.2f | %6.2f | %6.2f | %6.2f |\n", workers, (double)count / took,
           times[count / 2], times[count * 9 / 10], times[count * 99 / 100], times[count - 1]);
    fflush(stdout);
    load_end(&load);
    stop_service(&service);
    free(times);
}

/* One measurement each, one after the other. */
struct round {
    struct load_speed jobs, echoes, commits;
};

static struct round measure(unsigned workers, const char *directory, int number, double seconds,
                            size_t *ret_request_size, size_t *ret_reply_size)
{
    char real[4096], bare[4096];
    (void)hd_format(real, sizeof(real), "%s/real-%u-%d.db", directory, workers, number);
    (void)hd_format(bare, sizeof(bare), "%s/bare-%u-%d.db", directory, workers, number);
    struct round round;
    round.jobs = bench_dispatch(workers, real, seconds, ret_request_size, ret_reply_size);
    round.echoes = bench_echo(workers, *ret_request_size, *ret_reply_size, NULL, seconds);
    round.commits = bench_echo(workers, *ret_request_size, *ret_reply_size, bare, seconds);
    return round;
}

static double median(double *numbers, size_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare_doubles);
    return numbers[count / 2];
}

/* The ratios are those of each round, since the machine may change from one to the next. */
static void bench(unsigned workers, const char *directory, double seconds, int rounds)
{
    enum { RATES = 3, RATIOS = 2, CPUS = 3, NUMBERS = RATES + RATIOS + CPUS };
    double numbers[NUMBERS][ROUNDS_MAX], medians[NUMBERS];
    size_t request_size = 0, reply_size = 0;
    for (int i = 0; i < rounds; i++) {
        struct round round = measure(workers, directory, i, seconds, &request_size, &reply_size);
        const double row[NUMBERS] = {round.echoes.rate,
                                     round.commits.rate,
                                     round.jobs.rate,
                                     round.jobs.rate / round.echoes.rate,
                                     round.jobs.rate / round.commits.rate,
                                     round.echoes.cpu_us,
                                     round.commits.cpu_us,
                                     round.jobs.cpu_us};
        for (size_t k = 0; k < NUMBERS; k++)
            numbers[k][i] = row[k];
    }
    for (size_t k = 0; k < NUMBERS; k++)
        medians[k] = median(numbers[k], (size_t)rounds);
    printf("| %7u | %7zu | %5zu | %8.0f | %13.0f | %8.0f | %9.2f | %16.2f | %4.0f | %11.0f | %3.0f "
           "|\n",
           workers, request_size, reply_size, medians[0], medians[1], medians[2], medians[3],
           medians[4], medians[5], medians[6], medians[7]);
    fflush(stdout);
}

/* What is wrong with the options; NULL: nothing. */
static const char *objection(const char *workers, int64_t rounds, int64_t jobs, double rate,
                             double seconds)
{
    for (const char *at = workers; *at != '\0'; at += strspn(at, ",")) {
        char *end;
        unsigned long number = strtoul(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0') || number == 0 || number > WORKERS_MAX)
            return "--workers: numbers from 1 to 1024 with commas between them are expected";
        at = end;
    }
    if (rounds < 1 || rounds > ROUNDS_MAX)
        return "--rounds: 1 to 99 are expected";
    if (jobs < 0)
        return "--jobs: a number of at least 0 is expected";
    if (!(rate >= 0) || !(seconds > 0) || !(seconds <= SECONDS_MAX) ||
        !(rate * seconds <= TIMES_MAX))
        return "--rate, --seconds: at most 1e6 seconds and 1e8 jobs are measured";
    return NULL;
}

int main(int argc, char **argv)
{
    double seconds = 3;
    const char *workers = "1,8,64", *given = NULL, *restored = NULL;
    int64_t jobs = 0, rounds = 1;
    double rate = 0;
    const struct hd_option options[] = {
        {.name = "seconds",
         .kind = HD_OPTION_DOUBLE,
         .value = &seconds,
         .help = "of each measurement"},
        {.name = "rounds",
         .kind = HD_OPTION_INT,
         .value = &rounds,
         .hint = "N",
         .help = "so often, and the medians are told"},
        {.name = "workers",
         .kind = HD_OPTION_TEXT,
         .value = &workers,
         .help = "numbers of workers"},
        {.name = "jobs",
         .kind = HD_OPTION_INT,
         .value = &jobs,
         .hint = "N",
         .help = "one run of so many jobs instead: speed, memory, file, restart"},
        {.name = "rate",
         .kind = HD_OPTION_DOUBLE,
         .value = &rate,
         .hint = "N",
         .help = "so many jobs a second instead: how long a worker waits for the next"},
        {.name = "restore",
         .kind = HD_OPTION_TEXT,
         .value = &restored,
         .hint = "FILE",
         .help = "only what a restart with this state.db takes; nobody may have it open"},
        {.name = "directory",
         .kind = HD_OPTION_TEXT,
         .value = &given,
         .help = "on the disk to measure"},
    };
    const struct hd_program program = {.name = "bench_dispatch",
                                       .summary = "no-op jobs a second beside the bare limits",
                                       .usage = "bench_dispatch [options]",
                                       .options = options,
                                       .option_count = HD_COUNT(options)};
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, NULL, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? 0 : 2;
    hd_log_open("bench", HD_LOG_ERROR);
    if (restored != NULL) {
        bench_restore(restored);
        return 0;
    }
    char directory[] = "/tmp/hd-bench-XXXXXX";
    struct hd_err err;
    const char *wrong = objection(workers, rounds, jobs, rate, seconds);
    if (wrong != NULL) {
        fprintf(stderr, "bench_dispatch: %s\n", wrong);
        return 2;
    }
    if (given == NULL && mkdtemp(directory) == NULL)
        return 1;
    if (given == NULL)
        given = directory;
    if (rate > 0)
        printf("| workers | jobs/s | p50 ms | p90 ms | p99 ms | max ms |\n"
               "|--------:|-------:|-------:|-------:|-------:|-------:|\n");
    else if (jobs == 0)
        printf("| workers | request | reply | echo/s   | echo+commit/s | jobs/s   | jobs/echo | "
               "jobs/echo+commit | echo | echo+commit | job |\n"
               "|--------:|--------:|------:|---------:|--------------:|---------:|----------:|"
               "-----------------:|-----:|------------:|----:|\n");
    for (const char *at = workers; *at != '\0'; at += strspn(at, ",")) {
        unsigned number = (unsigned)strtoul(at, NULL, 10);
        if (rate > 0)
            bench_latency(number, given, rate, seconds);
        else if (jobs == 0)
            bench(number, given, seconds, (int)rounds);
        else
            bench_long(number, given, (uint64_t)jobs);
        at += strcspn(at, ",");
    }
    if (given == directory)
        check(hd_remove_tree(directory, &err), &err);
    return 0;
}
