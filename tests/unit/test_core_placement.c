/* SPDX-License-Identifier: Apache-2.0 */
/* What placement costs, counted in looks at jobs, workers and generators, not in time. */
#include "core_world.h"

#include <stdlib.h>

#define WORKERS 1000
#define INBOX_KEPT 600

static struct worker *workers;
static char (*names)[16];

static void many_workers(void)
{
    workers = calloc(WORKERS, sizeof(*workers));
    names = calloc(WORKERS, sizeof(*names));
    assert_non_null(workers);
    assert_non_null(names);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_true(hd_format(names[i], sizeof(names[i]), "w%zu", i));
        workers[i] = (struct worker){.id = names[i], .root = names[i], .incarnation = i + 1};
        inbox_count = 0;
        hello(&workers[i], NULL, 0);
    }
}

static int clean(void **state)
{
    free(workers);
    free(names);
    return teardown(state);
}

/* A thousand workers wait and one works: each of its reports looks at a few things, not at every
 * waiting worker again. */
static void waiting_workers_cost_nothing(void **state)
{
    (void)state;
    many_workers();
    start("\"parallel\":1,\"stop\":{\"jobs\":200}");
    for (size_t i = 1; i < WORKERS; i++) {
        inbox_count = 0;
        poll(&workers[i]);
    }
    /* One of the waiting ones has the only job there may be; take its place. */
    struct hd_job_view view = job_view(0);
    size_t holder = (size_t)strtol(view.worker + 1, NULL, 10);
    struct hd_attempt_ref attempt = {RUN_UID, 0, 1};
    uint64_t before = hd_core_placement_looks(core);
    uint32_t jobs = 20;
    for (uint32_t i = 0; i < jobs; i++) {
        inbox_count = 0;
        report(&workers[holder], attempt, HD_OUTCOME_OK, 1);
        view = job_view(i + 1);
        assert_true(view.running);
        holder = (size_t)strtol(view.worker + 1, NULL, 10);
        attempt = (struct hd_attempt_ref){RUN_UID, i + 1, 1};
    }
    uint64_t looks = (hd_core_placement_looks(core) - before) / jobs;
    assert_in_range(looks, 1, 5000); /* a few passes over the workers; not workers times workers */
}

/* Promotions wait for the holders of their directories, a thousand workers for jobs: a pass costs
 * workers plus queue, not workers times queue times workers. */
static void held_jobs_are_looked_at_once_a_pass(void **state)
{
    (void)state;
    many_workers();
    start("\"holder_wait\":\"1h\",\"iteration_generator\":{\"name\":\"successive_halving\","
          "\"brackets\":[[[64,1],[32,2]]]},\"stop\":{\"iterations\":1}");
    struct hd_attempt_ref attempts[64];
    for (size_t i = 0; i < 64; i++) {
        inbox_count = 0;
        attempts[i] = lease(&workers[i]);
    }
    for (size_t i = 64; i < WORKERS; i++) {
        inbox_count = 0;
        poll(&workers[i]);
    }
    for (size_t i = 0; i < 64; i++) {
        inbox_count = 0;
        report(&workers[i], attempts[i], HD_OUTCOME_OK, (double)i);
    }
    assert_int_equal(run_view(0).jobs_queued, 32); /* their holders have not asked yet */
    uint64_t before = hd_core_placement_looks(core);
    inbox_count = 0;
    uint64_t address = poll(&workers[5]);
    assert_answer(address, HD_REPLY_LEASE);
    uint64_t looks = hd_core_placement_looks(core) - before;
    assert_in_range(looks, 1, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(waiting_workers_cost_nothing, setup, clean),
        cmocka_unit_test_setup_teardown(held_jobs_are_looked_at_once_a_pass, setup, clean),
    };
    return cmocka_run_group_tests_name("core_placement", tests, NULL, NULL);
}
