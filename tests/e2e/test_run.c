/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `hd run` on the process engine: from the file to the best config, through everything that
 * stops it. HD_BRANIN is the example's experiment.
 */
#include "cluster.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIGS 24
#define HD cluster_program("HD")

static struct cluster cluster;

/* An experiment whose jobs take about `job_ms`, and whose targets keep books. */
static const char *write_experiment(const char *name, unsigned configs, unsigned job_ms,
                                    const char *high)
{
    const char *path = cluster_path(&cluster, "%s.yaml", name);
    test_file_write(path, cluster_text(&cluster,
                                       "name: %s\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '%u', '0', same]\n"
                                       "  retries: {infra: 20, failed: 0}\n"
                                       "objective: loss\n"
                                       "space:\n"
                                       "  x: {type: float, low: 0.0, high: %s}\n"
                                       "  y: {type: categorical, choices: [a, b, c]}\n"
                                       "sampler: {name: tpe}\n"
                                       "stop: {configs: %u}\n"
                                       "lease: 2s\nping: 500ms\n",
                                       name, cluster_program("HD_TEST_TARGET"), cluster.ledger,
                                       job_ms, high, configs));
    return path;
}

static struct child *start_run(const char *experiment, const char *workers, const char *extra)
{
    struct child *run = cluster_child(&cluster, "run");
    cluster_start(&cluster, run,
                  (const char *const[]){HD, "run", experiment, "--state-dir", cluster.state_dir,
                                        "--workers", workers, extra, NULL});
    return run;
}

static struct outcome run_to_end(const char *experiment, const char *extra)
{
    return CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", cluster.state_dir,
                       "--workers", "2", extra);
}

static void wait_accepted(const char *run_id, size_t count)
{
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, run_id) >= count);
}

/* The pid of a process of the state directory, from the record of `hd run`. */
static pid_t pid_of(const char *name)
{
    struct hd_value *record = cluster_json(
        test_file_read(cluster_text(&cluster, "%s/local.json", cluster.state_dir), NULL));
    const struct hd_value *list = hd_value_get(record, "processes");
    pid_t pid = 0;
    for (size_t i = 0; i < list->as.array.count; i++)
        if (hd_streq(hd_value_get(list->as.array.items[i], "name")->as.string, name))
            pid = (pid_t)hd_value_get(list->as.array.items[i], "pid")->as.integer;
    hd_value_free(record);
    if (pid <= 1)
        cluster_fail(&cluster, "no %s in the record", name);
    return pid;
}

static void check_whole_run(const char *run_id, unsigned configs)
{
    struct results results;
    struct ledger ledger;
    cluster_results(&cluster, run_id, &results);
    cluster_ledger_read(&cluster, &ledger);
    assert_string_equal(results.state, "finished");
    assert_int_equal(results.count, configs);
    assert_ledger_agrees(&cluster, run_id, &results, &ledger);
    results_release(&results);
    ledger_release(&ledger);
}

static void nothing_runs_any_more(void)
{
    CLUSTER_WAIT(&cluster, !cluster_has_processes(&cluster));
}

/* ---- the example ---------------------------------------------------------------------------- */

static void check_result(const char *text)
{
    struct hd_value *result = cluster_json(text);
    const struct hd_value *incumbent = hd_value_get(result, "incumbent");
    assert_string_equal(hd_value_get(result, "state")->as.string, "finished");
    assert_true(hd_value_number(hd_value_get(hd_value_get(result, "outcomes"), "ok")) == 50);
    assert_non_null(incumbent);
    double loss = hd_value_number(hd_value_get(incumbent, "loss"));
    double x1 = hd_value_number(hd_value_get(hd_value_get(incumbent, "params"), "x1"));
    assert_true(loss >= 0.397887 && loss < 5);
    assert_true(x1 >= -5 && x1 <= 10);
    hd_value_free(result);
}

static unsigned lines_of(const char *text)
{
    unsigned count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n' ? 1 : 0;
    return count;
}

static void from_the_file_to_the_best_config(void **state)
{
    (void)state;
    const char *dir = cluster.state_dir;
    const char *experiment = cluster_program("HD_BRANIN");
    struct outcome ended = run_to_end(experiment, "--json");
    assert_outcome(ended, 0, NULL);
    check_result(ended.out);
    nothing_runs_any_more();
    ended = CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", dir, "--resume", "--json");
    assert_outcome(ended, 0, NULL);
    check_result(ended.out);
    nothing_runs_any_more();
    ended = CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", dir, "--resume");
    assert_outcome(ended, 0, NULL);
    assert_non_null(strstr(ended.out, "best loss"));
    /* A person's questions, answered by the state directory alone. */
    ended = CLUSTER_RUN(&cluster, HD, "status", "--state-dir", dir);
    assert_outcome(ended, 0, NULL);
    assert_non_null(strstr(ended.out, "finished"));
    ended = CLUSTER_RUN(&cluster, HD, "best", "--state-dir", dir);
    assert_outcome(ended, 0, NULL);
    assert_non_null(strstr(ended.out, "x1"));
    ended = CLUSTER_RUN(&cluster, HD, "jobs", "--state-dir", dir);
    assert_outcome(ended, 0, NULL);
    assert_int_equal(lines_of(ended.out), 51);
    ended = CLUSTER_RUN(&cluster, HD, "export", "--state-dir", dir, "--format", "csv");
    assert_outcome(ended, 0, NULL);
    assert_int_equal(lines_of(ended.out), 51);
    static const char header[] =
        "job,config_id,budget,loss,outcome,attempt,worker,submitted,started,finished,"
        "params.x1,params.x2\r\n";
    assert_int_equal(strncmp(ended.out, header, strlen(header)), 0);
    assert_non_null(strstr(ended.out, "\n49,\"[49,0,0]\",1,"));
}

/* ---- stopping and going on ------------------------------------------------------------------ */

static void control_c_stops_gracefully_and_says_how_to_go_on(void **state)
{
    (void)state;
    const char *experiment = write_experiment("stopped", CONFIGS, 100, "1.0");
    struct child *run = start_run(experiment, "2", NULL);
    wait_accepted("stopped", 4);
    child_signal(run, SIGINT);
    assert_int_equal(child_end(&cluster, run), 130);
    const char *said = child_said(&cluster, run);
    if (strstr(said, "hd run") == NULL || strstr(said, "--run-id stopped") == NULL ||
        strstr(said, "--resume") == NULL)
        cluster_fail(&cluster, "does not say how to resume: %s", said);
    nothing_runs_any_more();
    assert_true(cluster_run_is(&cluster, "stopped", "active"));
    /* Both ways are offered, and nothing starts. */
    struct outcome refused = run_to_end(experiment, NULL);
    assert_outcome(refused, 1, "--run-id stopped");
    assert_outcome(refused, 1, "--resume");
    assert_outcome(refused, 1, "--run-id OTHER");
    nothing_runs_any_more();
    assert_outcome(run_to_end(experiment, "--resume"), 0, NULL);
    check_whole_run("stopped", CONFIGS);
    nothing_runs_any_more();
}

static void killing_hd_run_leaves_the_master_alive_and_resume_attaches(void **state)
{
    (void)state;
    const char *experiment = write_experiment("left", 2 * CONFIGS, 100, "1.0");
    struct child *run = start_run(experiment, "2", NULL);
    wait_accepted("left", 3);
    pid_t master = pid_of("master");
    uint64_t born = hd_process_start_ticks(master);
    assert_true(born != 0);
    struct outcome again = run_to_end(experiment, NULL);
    assert_outcome(again, 1, "\n  hd attach left --state-dir ");
    /* One at a time. */
    struct outcome refused = run_to_end(experiment, "--resume");
    assert_outcome(refused, 1, "another hd run tends this state directory");
    child_kill(&cluster, run, SIGKILL);
    wait_accepted("left", cluster_accepted(&cluster, "left") + 1);
    refused = CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment, "--state-dir",
                          cluster.state_dir, "--resume");
    assert_outcome(refused, 1, cluster_text(&cluster, "%ld", (long)master));
    run = start_run(experiment, "2", "--resume");
    wait_accepted("left", cluster_accepted(&cluster, "left") + 2);
    if (hd_process_start_ticks(master) != born)
        cluster_fail(&cluster, "the master did not go on");
    /* Paused by a person while nobody watches: --resume goes on with it. */
    child_kill(&cluster, run, SIGKILL);
    assert_outcome(CLUSTER_RUN(&cluster, HD, "pause", "left", "--state-dir", cluster.state_dir), 0,
                   NULL);
    assert_true(cluster_run_is(&cluster, "left", "paused"));
    run = start_run(experiment, "2", "--resume");
    CLUSTER_WAIT(&cluster, !cluster_run_is(&cluster, "left", "paused"));
    assert_true(hd_process_start_ticks(master) == born);
    if (child_end(&cluster, run) != 0)
        cluster_fail(&cluster, "hd run ended with %d", run->exit);
    check_whole_run("left", 2 * CONFIGS);
    nothing_runs_any_more();
}

static void what_a_killed_hd_run_left_ends_when_somebody_looks(void **state)
{
    (void)state;
    const char *experiment = write_experiment("alone", CONFIGS, 20, "1.0");
    struct child *run = start_run(experiment, "2", NULL);
    wait_accepted("alone", 2);
    pid_t master = pid_of("master");
    child_kill(&cluster, run, SIGKILL);
    CLUSTER_WAIT(&cluster, hd_process_start_ticks(master) == 0);
    struct outcome seen = run_to_end(experiment, "--resume");
    assert_outcome(seen, 0, NULL);
    assert_non_null(strstr(seen.out, "run alone: finished"));
    nothing_runs_any_more();
}

/* ... unless another run of the directory is to go on: what it has stays. */
static void what_another_run_needs_is_left_alone(void **state)
{
    (void)state;
    const char *over = write_experiment("over", 2, 20, "0.1");
    assert_outcome(run_to_end(over, NULL), 0, NULL);
    const char *experiment = write_experiment("left", CONFIGS, 20, "1.0");
    struct child *run = start_run(experiment, "1", NULL);
    wait_accepted("left", 2);
    pid_t master = pid_of("master"), worker = pid_of("worker-0");
    child_kill(&cluster, run, SIGKILL);
    kill(master, SIGKILL);
    CLUSTER_WAIT(&cluster, hd_process_start_ticks(master) == 0);
    struct outcome seen = run_to_end(over, "--resume");
    assert_outcome(seen, 0, NULL);
    assert_non_null(strstr(seen.out, "run over: finished"));
    assert_true(hd_process_start_ticks(worker) != 0);
    run = start_run(experiment, "1", "--resume");
    if (child_end(&cluster, run) != 0)
        cluster_fail(&cluster, "hd run ended with %d", run->exit);
    nothing_runs_any_more();
}

static void another_space_is_refused_with_the_difference(void **state)
{
    (void)state;
    const char *experiment = write_experiment("spaces", CONFIGS, 20, "1.0");
    struct child *run = start_run(experiment, "1", NULL);
    wait_accepted("spaces", 2);
    child_signal(run, SIGINT);
    assert_int_equal(child_end(&cluster, run), 130);
    (void)write_experiment("spaces", CONFIGS, 20, "2.0");
    struct outcome refused =
        CLUSTER_RUN(&cluster, cluster_program("HD_MASTER"), experiment, "--run-id", "spaces",
                    "--state-dir", cluster.state_dir, "--resume");
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "\"high\":2.0");
    size_t accepted = cluster_accepted(&cluster, "spaces");
    refused = run_to_end(experiment, "--resume");
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "\"high\":2.0");
    assert_int_equal(cluster_accepted(&cluster, "spaces"), accepted);
    nothing_runs_any_more();
    /* Joining a live master reads the file too. */
    run = start_run(write_experiment("spaces", CONFIGS, 20, "1.0"), "1", "--resume");
    wait_accepted("spaces", accepted + 1);
    child_kill(&cluster, run, SIGKILL);
    (void)write_experiment("spaces", CONFIGS, 20, "2.0");
    refused = run_to_end(experiment, "--resume");
    assert_outcome(refused, refused.exit, "\"high\":2.0");
    assert_int_not_equal(refused.exit, 0);
    (void)write_experiment("spaces", CONFIGS, 20, "1.0");
    assert_outcome(run_to_end(experiment, "--resume"), 0, NULL);
    check_whole_run("spaces", CONFIGS);
}

static const char *write_failing(const char *high)
{
    const char *path = cluster_path(&cluster, "failing.yaml");
    test_file_write(path, cluster_text(&cluster,
                                       "name: failing\n"
                                       "target: {command: [sh, -c, 'echo no solver; exit 7']}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0, high: %s}}\n"
                                       "stop: {configs: 50}\n",
                                       high));
    return path;
}

static void five_failures_pause_the_run(void **state)
{
    (void)state;
    const char *experiment = write_failing("1");
    struct outcome paused = CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir",
                                        cluster.state_dir, "--workers", "1");
    assert_outcome(paused, 3, NULL);
    assert_non_null(strstr(paused.out, "paused"));
    assert_non_null(strstr(paused.out, "5 "));
    nothing_runs_any_more();
    struct results results;
    cluster_results(&cluster, "failing", &results);
    assert_string_equal(results.state, "paused");
    assert_int_equal(results.count, 5);
    for (size_t i = 0; i < results.count; i++)
        assert_string_equal(results.rows[i].outcome, "failed");
    results_release(&results);
    (void)write_failing("2");
    paused = run_to_end(experiment, "--resume");
    assert_int_not_equal(paused.exit, 0);
    assert_outcome(paused, paused.exit, "\"high\":2.0");
    (void)write_failing("1");
    /* Going on is the person's decision; it pauses again after five more. */
    paused = CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", cluster.state_dir,
                         "--workers", "1", "--resume");
    assert_outcome(paused, 3, NULL);
    assert_int_equal(cluster_accepted(&cluster, "failing"), 10);
}

/* ---- the same seed -------------------------------------------------------------------------- */

/* config_id, budget and params of each job, as exported. */
static char *proposals(const char *state_dir)
{
    struct outcome ended =
        CLUSTER_RUN(&cluster, HD, "export", "--state-dir", state_dir, "--format", "json");
    assert_outcome(ended, 0, NULL);
    struct hd_value *jobs = cluster_json(ended.out);
    struct hd_buf text;
    struct hd_err err;
    hd_buf_init(&text, 1u << 20);
    for (size_t i = 0; i < jobs->as.array.count; i++) {
        const struct hd_value *job = jobs->as.array.items[i];
        static const char *const keys[] = {"job", "config_id", "budget", "params", "loss"};
        for (size_t k = 0; k < HD_COUNT(keys); k++)
            assert_hd_ok(hd_json_write(hd_value_get(job, keys[k]), HD_JSON_COMPACT, &text, &err));
        assert_hd_ok(hd_buf_puts(&text, "\n", &err));
    }
    char *copy = cluster_text(&cluster, "%s", hd_buf_text(&text));
    hd_buf_release(&text);
    hd_value_free(jobs);
    return copy;
}

static void one_worker_and_one_seed_propose_the_same_through_kills(void **state)
{
    (void)state;
    const char *experiment = write_experiment("seeded", 30, 60, "1.0");
    const char *calm_dir = cluster_path(&cluster, "calm");
    assert_outcome(CLUSTER_RUN(&cluster, HD, "run", experiment, "--state-dir", calm_dir,
                               "--workers", "1", "--seed", "77"),
                   0, NULL);
    struct child *run = cluster_child(&cluster, "run");
    const char *const argv[] = {HD,          "run", experiment, "--state-dir", cluster.state_dir,
                                "--workers", "1",   "--seed",   "77",          "--resume",
                                NULL};
    cluster_start(&cluster, run, argv);
    wait_accepted("seeded", 5);
    kill(pid_of("master"), SIGKILL);
    wait_accepted("seeded", 10);
    kill(pid_of("worker-0"), SIGKILL);
    wait_accepted("seeded", 15);
    child_kill(&cluster, run, SIGKILL);
    kill(pid_of("master"), SIGKILL);
    cluster_start(&cluster, run, argv);
    wait_accepted("seeded", 20);
    child_signal(run, SIGINT);
    assert_int_equal(child_end(&cluster, run), 130);
    cluster_start(&cluster, run, argv);
    wait_accepted("seeded", 25);
    kill(pid_of("nameserver"), SIGKILL);
    assert_int_equal(child_end(&cluster, run), 0);
    check_whole_run("seeded", 30);
    assert_string_equal(proposals(calm_dir), proposals(cluster.state_dir));
    nothing_runs_any_more();
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    cluster_ledger_open(&cluster, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_close(&cluster);
    return 0;
}

#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(from_the_file_to_the_best_config),
        WITH_CLUSTER(control_c_stops_gracefully_and_says_how_to_go_on),
        WITH_CLUSTER(killing_hd_run_leaves_the_master_alive_and_resume_attaches),
        WITH_CLUSTER(what_a_killed_hd_run_left_ends_when_somebody_looks),
        WITH_CLUSTER(what_another_run_needs_is_left_alone),
        WITH_CLUSTER(another_space_is_refused_with_the_difference),
        WITH_CLUSTER(five_failures_pause_the_run),
        WITH_CLUSTER(one_worker_and_one_seed_propose_the_same_through_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
