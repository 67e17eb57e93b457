/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One master, two runs of different priority, and a kill in the middle: the urgent one goes first,
 * both complete, and the targets' books agree.
 */
#include "cluster.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOW_CONFIGS 40
#define HIGH_CONFIGS 24
#define WORKERS 2

static struct cluster cluster;

static const char *write_experiment(const char *name, unsigned configs, int priority)
{
    const char *path = cluster_path(&cluster, "%s.yaml", name);
    test_file_write(path, cluster_text(&cluster,
                                       "name: %s\n"
                                       "target:\n"
                                       "  command: ['%s', '%s', '100', '0']\n"
                                       "  retries: {infra: 20, failed: 0}\n"
                                       "objective: loss\n"
                                       "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                                       "stop: {configs: %u}\n"
                                       "lease: 2s\nping: 500ms\npriority: %d\n",
                                       name, cluster_program("HD_TEST_TARGET"), cluster.ledger,
                                       configs, priority));
    return path;
}

static struct child *start_master(const char *experiment)
{
    return cluster_master(&cluster, (const char *const[]){experiment, "--resume", NULL});
}

static void check_run(const char *run_id, unsigned configs, const struct ledger *ledger)
{
    struct results results;
    cluster_results(&cluster, run_id, &results);
    assert_string_equal(results.state, "finished");
    assert_int_equal(results.count, configs);
    for (size_t i = 0; i < results.count; i++)
        assert_string_equal(results.rows[i].outcome, "ok");
    assert_ledger_agrees(&cluster, run_id, &results, ledger);
    results_release(&results);
}

static bool any_lost(const char *run_id)
{
    struct results results;
    cluster_results(&cluster, run_id, &results);
    bool any = false;
    for (size_t i = 0; i < results.count; i++)
        any = any || results.rows[i].attempt > 1;
    results_release(&results);
    return any;
}

static bool is_start(const struct entry *entry, const char *run_id)
{
    return hd_streq(entry->word, "start") && hd_streq(entry->run, run_id);
}

/* From its first job to its last, no worker begins a job of the other run; only what was on its
 * way to a worker when the urgent run came may still begin. */
static void check_priority(const struct ledger *ledger)
{
    size_t first = SIZE_MAX, last = 0;
    unsigned others = 0;
    for (size_t i = 0; i < ledger->count; i++)
        if (is_start(&ledger->entries[i], "high")) {
            first = first == SIZE_MAX ? i : first;
            last = i;
        }
    assert_true(first != SIZE_MAX);
    for (size_t i = first; i < last; i++)
        others += is_start(&ledger->entries[i], "low") ? 1 : 0;
    if (others > WORKERS)
        cluster_fail(&cluster, "%u jobs of the other run began before the urgent one was done",
                     others);
}

static void the_urgent_run_goes_first_and_both_complete_through_a_kill(void **state)
{
    (void)state;
    struct ledger ledger;
    const char *low = write_experiment("low", LOW_CONFIGS, 0);
    const char *high = write_experiment("high", HIGH_CONFIGS, 5);
    struct child *master = start_master(low);
    for (unsigned i = 0; i < WORKERS; i++)
        cluster_worker(&cluster, i, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "low") >= 4);
    assert_outcome(CLUSTER_RUN(&cluster, cluster_program("HD"), "submit", high, "--state-dir",
                               cluster.state_dir),
                   0, NULL);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "high") >= 6);
    size_t low_before = cluster_accepted(&cluster, "low");
    child_kill(&cluster, master, SIGKILL);
    start_master(low);
    CLUSTER_WAIT(&cluster, cluster_accepted(&cluster, "high") >= 12);
    child_kill(&cluster, cluster_child(&cluster, "worker-0"), SIGKILL);
    cluster_worker(&cluster, 0, NULL);
    CLUSTER_WAIT(&cluster, cluster_run_is(&cluster, "high", "finished"));
    size_t low_after = cluster_accepted(&cluster, "low");
    if (child_end(&cluster, master) != 0)
        cluster_fail(&cluster, "the master ended with %d", master->exit);
    cluster_ledger_read(&cluster, &ledger);
    check_run("low", LOW_CONFIGS, &ledger);
    check_run("high", HIGH_CONFIGS, &ledger);
    /* A job that was lost with its worker may wait for a lease, and the workers with it do not. */
    if (!any_lost("high")) {
        assert_true(low_after <= low_before + 2 * WORKERS);
        check_priority(&ledger);
    }
    ledger_release(&ledger);
}

/* A run that is submitted again is not a second one; another one of that name is refused. */
static void a_run_is_submitted_once(void **state)
{
    (void)state;
    const char *low = write_experiment("low", LOW_CONFIGS, 0);
    struct child *master = start_master(low);
    child_wait_text(&cluster, master, "serving at");
    const char *other = write_experiment("high", 2, 0);
    struct outcome refused = CLUSTER_RUN(&cluster, cluster_program("HD"), "submit", other,
                                         "--run-id", "low", "--state-dir", cluster.state_dir);
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "low");
    child_kill(&cluster, master, SIGTERM);
    assert_int_equal(master->exit, 130);
    refused = CLUSTER_RUN(&cluster, cluster_program("HD"), "submit", other, "--state-dir",
                          cluster.state_dir);
    assert_int_not_equal(refused.exit, 0);
    assert_outcome(refused, refused.exit, "no master serves");
}

static int setup(void **state)
{
    (void)state;
    cluster_open(&cluster);
    cluster_ledger_open(&cluster, false);
    cluster_nameserver(&cluster);
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
        WITH_CLUSTER(the_urgent_run_goes_first_and_both_complete_through_a_kill),
        WITH_CLUSTER(a_run_is_submitted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
