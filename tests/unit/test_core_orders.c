/* SPDX-License-Identifier: Apache-2.0 */
/* What people order workers to do: durable, heard at once, the same twice as once. */
#include "core_world.h"

static struct worker w;

static int one_worker(void **state)
{
    setup(state);
    w = (struct worker){.id = "w", .root = "", .incarnation = 1};
    hello(&w, NULL, 0);
    return 0;
}

/* A paused worker gets nothing, however often it asks, until it is resumed: then at once. */
static void a_paused_worker_waits(void **state)
{
    (void)state;
    assert_answer(order(HD_COMMAND_PAUSE_WORKER, "w", 0, NULL), HD_REPLY_OK);
    start("\"stop\":{\"jobs\":2}");
    uint64_t parked = poll(&w);
    assert_null(answer_to(parked));
    assert_answer(order(HD_COMMAND_RESUME_WORKER, "w", 0, NULL), HD_REPLY_OK);
    assert_answer(parked, HD_REPLY_LEASE);
}

/* Pausing does not end what runs. */
static void pausing_lets_the_running_job_end(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":2}");
    struct hd_attempt_ref attempt = lease(&w);
    order(HD_COMMAND_PAUSE_WORKER, "w", 0, NULL);
    uint64_t address = ping(&w, &attempt, 1);
    assert_int_equal(answer_to(address)->command_count, 0);
    assert_false(answer_to(address)->drain || answer_to(address)->leave);
    assert_int_equal(answer_to(report(&w, attempt, HD_OUTCOME_OK, 1))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_null(answer_to(poll(&w)));
}

/* A poll that waits is answered at once, with the order; so is every ping. When the worker has left
 * the order is done: the next process of that name works. */
static void a_worker_hears_at_once_that_it_is_to_go(void **state)
{
    (void)state;
    static const struct {
        enum hd_command_op op;
        bool leave;
    } rows[] = {{HD_COMMAND_DRAIN_WORKER, false}, {HD_COMMAND_SHUTDOWN_WORKER, true}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        one_worker(NULL);
        uint64_t parked = poll(&w);
        assert_null(answer_to(parked));
        assert_answer(order(rows[i].op, "w", 0, NULL), HD_REPLY_OK);
        assert_answer(parked, HD_REPLY_NOTHING);
        assert_int_equal(answer_to(parked)->drain, !rows[i].leave);
        assert_int_equal(answer_to(parked)->leave, rows[i].leave);
        uint64_t pinged = ping(&w, NULL, 0);
        assert_int_equal(answer_to(pinged)->drain, !rows[i].leave);
        assert_int_equal(answer_to(pinged)->leave, rows[i].leave);
        struct hd_request bye = from(&w, HD_REQUEST_BYE, HD_LANE_CONTROL, ++w.control);
        post(&bye, 1);
        struct worker next = {.id = "w", .root = "", .incarnation = 2};
        hello(&next, NULL, 0);
        assert_int_equal(worker_view("w").state, HD_WORKER_ACTIVE);
        start("\"stop\":{\"jobs\":2}");
        lease(&next);
    }
}

static struct worker go_and_come_back(struct worker *worker)
{
    assert_answer(order(HD_COMMAND_DRAIN_WORKER, worker->id, 0, NULL), HD_REPLY_OK);
    struct hd_request bye = from(worker, HD_REQUEST_BYE, HD_LANE_CONTROL, ++worker->control);
    post(&bye, worker->incarnation);
    struct worker next = {.id = worker->id, .root = "", .incarnation = worker->incarnation + 1};
    hello(&next, NULL, 0);
    return next;
}

/* Sending a worker away and starting it again is no way out of its quarantine, its pause, or its
 * exclusion from a run: those end by order. */
static void what_was_decided_of_a_worker_outlives_its_leaving(void **state)
{
    (void)state;
    struct worker v = {.id = "v", .root = "", .incarnation = 1};
    hello(&v, NULL, 0);
    start("\"stop\":{\"jobs\":20}");
    for (int i = 0; i < 3; i++)
        report(&w, lease(&w), HD_OUTCOME_INFRA, (double)NAN);
    assert_int_equal(worker_view("w").state, HD_WORKER_QUARANTINED);
    w = go_and_come_back(&w);
    assert_int_equal(worker_view("w").state, HD_WORKER_QUARANTINED);
    assert_non_null(strstr(worker_view("w").reason, "3 different jobs"));
    assert_null(answer_to(poll(&w)));
    order(HD_COMMAND_RESUME_WORKER, "w", 0, NULL);
    order(HD_COMMAND_PAUSE_WORKER, "w", 0, NULL);
    w = go_and_come_back(&w);
    assert_int_equal(worker_view("w").state, HD_WORKER_PAUSED);
    order(HD_COMMAND_RESUME_WORKER, "w", 0, NULL);
    pass(2000); /* the back-off of its jobs */
    hello(&v, NULL, 0);
    report(&w, lease(&w), HD_OUTCOME_CONFIG_ERROR, (double)NAN);
    assert_false(hd_core_may_serve(core, 0, "w"));
    w = go_and_come_back(&w);
    assert_int_equal(worker_view("w").state, HD_WORKER_ACTIVE);
    assert_false(hd_core_may_serve(core, 0, "w"));
    /* A person who takes the order back forgives, as ever. */
    order(HD_COMMAND_DRAIN_WORKER, "w", 0, NULL);
    order(HD_COMMAND_RESUME_WORKER, "w", 0, NULL);
    assert_true(hd_core_may_serve(core, 0, "w"));
}

static void orders_given_twice_are_one_fact(void **state)
{
    (void)state;
    static const enum hd_command_op ops[] = {HD_COMMAND_PAUSE_WORKER, HD_COMMAND_DRAIN_WORKER,
                                             HD_COMMAND_SHUTDOWN_WORKER, HD_COMMAND_RESUME_WORKER};
    for (size_t i = 0; i < HD_COUNT(ops); i++) {
        assert_answer(order(ops[i], "w", 0, NULL), HD_REPLY_OK);
        assert_answer(order(ops[i], "w", 0, NULL), HD_REPLY_OK);
        assert_int_equal(fact_counts[HD_FACT_WORKER_STATE], i + 1);
    }
}

static void unknown_and_absent_workers_are_named(void **state)
{
    (void)state;
    uint64_t address = order(HD_COMMAND_PAUSE_WORKER, "nobody", 0, NULL);
    assert_answer(address, HD_REPLY_REFUSED);
    assert_non_null(strstr(answer_to(address)->text, "knows no worker named nobody"));
    struct hd_request bye = from(&w, HD_REQUEST_BYE, HD_LANE_CONTROL, ++w.control);
    post(&bye, 1);
    assert_answer(order(HD_COMMAND_DRAIN_WORKER, "w", 0, NULL), HD_REPLY_REFUSED);
    assert_answer(order(HD_COMMAND_PAUSE_WORKER, "w", 0, NULL), HD_REPLY_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, one_worker, teardown)
        T(a_paused_worker_waits),
        T(pausing_lets_the_running_job_end),
        T(a_worker_hears_at_once_that_it_is_to_go),
        T(what_was_decided_of_a_worker_outlives_its_leaving),
        T(orders_given_twice_are_one_fact),
        T(unknown_and_absent_workers_are_named),
#undef T
    };
    return cmocka_run_group_tests_name("core_orders", tests, NULL, NULL);
}
