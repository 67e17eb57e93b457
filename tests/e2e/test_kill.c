/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three terminals, and kill -9 of master, nameserver or a worker at random moments: the run
 * completes, no accepted result is lost, no job has two, and the targets' own books agree.
 *
 * With HD_TEST_IMAGE the targets are containers, otherwise processes of HD_TEST_TARGET. With
 * HD_TEST_ENGINE_PID, a file, the engine whose pid stands there is one of the victims; whoever made
 * it starts it again. The moments come from a seed that is printed; HD_KILL_SEED repeats them, and
 * HD_KILLS asks for another number.
 */
#include "cluster.h"

#include <hd/iter_gen.h>

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN "t"
#define KILLS_MIN 6 /* a fast machine ends the run before all of them */
#define WORKERS 2
#define MOMENT_MS_MAX 400
#define DOWN_MS_MAX 500
#define LONG_DOWN_MS 3000 /* longer than the lease */

enum victim {
    VICTIM_MASTER,
    VICTIM_NAMESERVER,
    VICTIM_WORKER_0,
    VICTIM_WORKER_1,
    VICTIM_ENGINE,
    VICTIM_COUNT
};

static const char *const victim_names[] = {"master", "nameserver", "worker-0", "worker-1",
                                           "engine"};

/* Each kill costs far more time where targets are containers, and more still where their engine has
 * to come back. */
struct measure {
    unsigned kills;
    uint32_t iterations;
};
static const struct measure of_processes = {22, 27}, of_containers = {14, 9}, of_engine = {8, 6};

struct story {
    struct cluster cluster;
    struct hd_rng rng;
    struct results known; /* all accepted results seen so far */
    const char *image;
    char *experiment;
    const char *engine_pid; /* a file; NULL: the engine is not ours */
    uint32_t iterations;
    unsigned kills_max;
    enum victim down; /* killed, and not started again yet */
    unsigned kills[VICTIM_COUNT];
};

static struct story story;

static const struct hd_iter_gen_spec *generator(void)
{
    static struct hd_iter_gen_spec spec = {
        .name = "hyperband", .eta = 3, .budget_min = 1, .budget_max = 9};
    spec.iterations_max = story.iterations;
    return &spec;
}

static void planned(uint32_t *ret_jobs, uint32_t *ret_configs)
{
    *ret_jobs = *ret_configs = 0;
    for (uint32_t i = 0; i < story.iterations; i++) {
        struct hd_bracket_plan plan;
        hd_iter_gen_plan(generator(), i, &plan);
        *ret_configs += plan.counts[0];
        for (uint32_t k = 0; k < plan.rung_count; k++)
            *ret_jobs += plan.counts[k];
    }
}

static int64_t below(int64_t limit)
{
    return (int64_t)hd_rng_below(&story.rng, (uint64_t)limit);
}

/* ---- the programs --------------------------------------------------------------------------- */

static void write_experiment(void)
{
    struct cluster *cluster = &story.cluster;
    const char *target =
        story.image != NULL
            ? cluster_text(cluster,
                           "  image: %s\n  command: [/data/ledger, '20', '10']\n  data: ./books\n",
                           story.image)
            : cluster_text(cluster, "  command: ['%s', '%s', '60', '15']\n",
                           cluster_program("HD_TEST_TARGET"), cluster->ledger);
    story.experiment = cluster_path(cluster, "experiment.yaml");
    test_file_write(story.experiment,
                    cluster_text(cluster,
                                 "name: kills\n"
                                 "target:\n%s"
                                 "  retries: {infra: 50, failed: 0}\n"
                                 "objective: loss\n"
                                 "space:\n"
                                 "  x: {type: float, low: 0.0, high: 1.0}\n"
                                 "  units: {type: int, low: 8, high: 256, log: true}\n"
                                 "iteration_generator: {name: hyperband, eta: 3}\n"
                                 "budget: {min: 1, max: 9}\n"
                                 "stop: {iterations: %u}\n"
                                 "seed: 7\nlease: 2s\nping: 500ms\nholder_wait: 1s\n",
                                 target, story.iterations));
}

static void start_victim(enum victim victim)
{
    struct cluster *cluster = &story.cluster;
    const char *engine = story.image != NULL ? "docker" : "process";
    switch (victim) {
    case VICTIM_MASTER:
        cluster_master(cluster,
                       (const char *const[]){story.experiment, "--run-id", RUN, "--resume", NULL});
        break;
    case VICTIM_NAMESERVER:
        cluster_nameserver(cluster);
        break;
    case VICTIM_WORKER_0:
        cluster_worker(cluster, 0, (const char *const[]){"--engine", engine, NULL});
        break;
    case VICTIM_WORKER_1:
        cluster_worker(cluster, 1, (const char *const[]){"--engine", engine, NULL});
        break;
    case VICTIM_ENGINE: /* comes back by itself */
    case VICTIM_COUNT:
        break;
    }
}

/* Without a chance to end well, or with: then it ends its containers before itself. */
static void kill_engine(void)
{
    int number = below(2) == 0 ? SIGTERM : SIGKILL;
    if (access(story.engine_pid, F_OK) != 0)
        return; /* it is down already */
    char *text = test_file_read(story.engine_pid, NULL);
    long pid = strtol(text, NULL, 10);
    if (pid > 1)
        (void)kill((pid_t)pid, number);
    hd_free(text);
}

/* ---- watching ------------------------------------------------------------------------------- */

/* No engine answered when it started, or that engine went in the midst of its first questions. */
static bool lacked_engine(const struct child *worker)
{
    return child_has_said(&story.cluster, worker, "no Docker engine");
}

/* A worker that is started while no engine answers says so and leaves; whoever serves machines
 * starts it again. */
static void serve_workers(void)
{
    for (enum victim victim = VICTIM_WORKER_0; victim <= VICTIM_WORKER_1; victim++) {
        struct child *worker = cluster_child(&story.cluster, victim_names[victim]);
        if (victim != story.down && worker->log != NULL && !child_runs(&story.cluster, worker) &&
            lacked_engine(worker))
            start_victim(victim);
    }
}

/* Remembers what is accepted now; what was accepted before must still be. */
static void look(void)
{
    struct results now;
    if (story.engine_pid != NULL)
        serve_workers();
    cluster_results(&story.cluster, RUN, &now);
    if (now.state[0] == '\0') { /* the file cannot be read at this moment */
        results_release(&now);
        return;
    }
    assert_results_kept(&story.cluster, &story.known, &now);
    results_release(&story.known);
    story.known = now;
}

static void look_for(int64_t wait_ms)
{
    int64_t until_ms = hd_clock_ms() + wait_ms;
    while (hd_clock_ms() < until_ms) {
        cluster_tick(&story.cluster);
        look();
    }
}

/* A master that has ended well has finished the run. */
static bool run_is_over(void)
{
    const struct child *master = cluster_child(&story.cluster, "master");
    if (child_runs(&story.cluster, master))
        return false;
    if (master->exit != 0)
        cluster_fail(&story.cluster, "the master ended by itself with %d", master->exit);
    return true;
}

static void wait_for_results(size_t count)
{
    /* An engine that was killed often needs a minute and more to tidy up before it answers. */
    int64_t patience = story.engine_pid != NULL ? 4 : 1;
    int64_t until_ms = hd_clock_ms() + patience * CLUSTER_DEADLINE_MS;
    while (story.known.count < count && !run_is_over()) {
        if (hd_clock_ms() > until_ms)
            cluster_fail(&story.cluster, "no more than %zu results, of %zu", story.known.count,
                         count);
        cluster_tick(&story.cluster);
        look();
    }
}

/* Returns false, with nobody killed, when the run is over. */
static bool kill_one(unsigned number, size_t window)
{
    static enum victim last = VICTIM_COUNT;
    size_t not_before = number * window + (size_t)below((int64_t)window);
    wait_for_results(not_before);
    look_for(below(MOMENT_MS_MAX));
    if (run_is_over())
        return false;
    int64_t choices = story.engine_pid != NULL ? VICTIM_COUNT : VICTIM_ENGINE;
    enum victim victim = (enum victim)below(choices);
    while (victim == last)
        victim = (enum victim)below(choices);
    last = victim;
    bool worker = victim == VICTIM_WORKER_0 || victim == VICTIM_WORKER_1;
    int64_t down_ms = worker && below(6) == 0 ? LONG_DOWN_MS : below(DOWN_MS_MAX);
    printf("# kill %u: %s after %zu results, down for %" PRId64 " ms\n", number,
           victim_names[victim], story.known.count, down_ms);
    story.kills[victim]++;
    if (victim == VICTIM_ENGINE) {
        kill_engine();
        return true;
    }
    struct child *child = cluster_child(&story.cluster, victim_names[victim]);
    bool waits = worker && lacked_engine(child);
    if (victim != VICTIM_MASTER && !waits && !child_runs(&story.cluster, child))
        cluster_fail(&story.cluster, "%s ended by itself with %d after %zu results", child->name,
                     child->exit, story.known.count);
    child_kill(&story.cluster, child, SIGKILL);
    story.down = victim;
    look_for(down_ms);
    story.down = VICTIM_COUNT;
    start_victim(victim);
    return true;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void compare_with_export(const struct results *results)
{
    struct outcome outcome = CLUSTER_RUN(&story.cluster, cluster_program("HD"), "export", RUN,
                                         "--state-dir", story.cluster.state_dir, "--json");
    assert_outcome(outcome, 0, NULL);
    struct hd_value *jobs = cluster_json(outcome.out);
    assert_int_equal(jobs->kind, HD_VALUE_ARRAY);
    assert_int_equal(jobs->as.array.count, results->count);
    for (size_t i = 0; i < results->count; i++) {
        const struct hd_value *job = jobs->as.array.items[i];
        assert_int_equal(hd_value_get(job, "job")->as.integer, results->rows[i].job);
        assert_int_equal(hd_value_get(job, "attempt")->as.integer, results->rows[i].attempt);
        assert_string_equal(hd_value_get(job, "outcome")->as.string, results->rows[i].outcome);
        double loss = hd_value_number(hd_value_get(job, "loss"));
        if (!(loss == results->rows[i].loss))
            fail_msg("job %u: exported %.17g, stored %.17g", results->rows[i].job, loss,
                     results->rows[i].loss);
    }
    hd_value_free(jobs);
}

static void check_end(void)
{
    struct cluster *cluster = &story.cluster;
    struct results results;
    struct ledger ledger;
    uint32_t jobs, configs;
    look();
    planned(&jobs, &configs);
    cluster_results(cluster, RUN, &results);
    cluster_ledger_read(cluster, &ledger);
    assert_string_equal(results.state, "finished");
    assert_results_kept(cluster, &story.known, &results);
    assert_int_equal(results.jobs, jobs);
    assert_int_equal(results.configs, configs);
    assert_int_equal(results.count, jobs);
    for (size_t i = 0; i < results.count; i++)
        if (!hd_streq(results.rows[i].outcome, "ok"))
            cluster_fail(cluster, "job %u ended as %s: %s", results.rows[i].job,
                         results.rows[i].outcome, results.rows[i].message);
    assert_ledger_agrees(cluster, RUN, &results, &ledger);
    compare_with_export(&results);
    printf("# %u jobs, %zu lines in the ledger, kills: master %u, nameserver %u, workers %u, "
           "engine %u\n",
           jobs, ledger.count, story.kills[VICTIM_MASTER], story.kills[VICTIM_NAMESERVER],
           story.kills[VICTIM_WORKER_0] + story.kills[VICTIM_WORKER_1], story.kills[VICTIM_ENGINE]);
    results_release(&results);
    ledger_release(&ledger);
}

static void kill_anything_at_any_time(void **state)
{
    (void)state;
    struct cluster *cluster = &story.cluster;
    uint32_t jobs, configs;
    planned(&jobs, &configs);
    for (int victim = VICTIM_COUNT - 1; victim >= 0; victim--)
        if (victim != VICTIM_NAMESERVER)
            start_victim((enum victim)victim);
    unsigned kills = 0;
    while (kills < story.kills_max && kill_one(kills, jobs / (story.kills_max + 3)))
        kills++;
    if (kills < KILLS_MIN)
        cluster_fail(cluster, "the run was over after %u kills", kills);
    int64_t until_ms = hd_clock_ms() + 4 * CLUSTER_DEADLINE_MS;
    while (!run_is_over()) {
        if (hd_clock_ms() > until_ms)
            cluster_fail(cluster, "the run does not end; %zu of %u results", story.known.count,
                         jobs);
        cluster_tick(cluster);
        look();
    }
    for (enum victim victim = VICTIM_WORKER_0; victim <= VICTIM_WORKER_1; victim++) {
        struct child *worker = cluster_child(cluster, victim_names[victim]);
        CLUSTER_WAIT(cluster, (look(), child_runs(cluster, worker) || story.engine_pid == NULL));
        /* It may have been started this moment, and not watch for signals yet. */
        child_wait_text(cluster, worker, "at a time, in");
        child_kill(cluster, worker, SIGTERM);
        if (worker->exit != 0)
            cluster_fail(cluster, "%s left with %d", worker->name, worker->exit);
    }
    child_kill(cluster, cluster_child(cluster, "nameserver"), SIGTERM);
    check_end();
}

static int setup(void **state)
{
    (void)state;
    const char *given = getenv("HD_KILL_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : hd_os_random_u64() >> 40;
    printf("# HD_KILL_SEED=%" PRIu64 "\n", seed);
    hd_rng_seed(&story.rng, seed);
    story.image = getenv("HD_TEST_IMAGE");
    story.down = VICTIM_COUNT;
    story.engine_pid = getenv("HD_TEST_ENGINE_PID");
    const char *kills = getenv("HD_KILLS");
    struct measure measure = story.engine_pid != NULL ? of_engine
                             : story.image != NULL    ? of_containers
                                                      : of_processes;
    story.kills_max = kills != NULL ? (unsigned)strtoul(kills, NULL, 10) : measure.kills;
    story.iterations = measure.iterations * (1 + story.kills_max / (measure.kills + 1));
    cluster_open(&story.cluster);
    cluster_ledger_open(&story.cluster, story.image != NULL);
    write_experiment();
    start_victim(VICTIM_NAMESERVER);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    results_release(&story.known);
    cluster_close(&story.cluster);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kill_anything_at_any_time, setup, teardown),
    };
    return cmocka_run_group_tests_name(getenv("HD_TEST_IMAGE") != NULL ? "kill on docker"
                                                                       : "kill on processes",
                                       tests, NULL, NULL);
}
