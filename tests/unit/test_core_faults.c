/* SPDX-License-Identifier: Apache-2.0 */
/* The pure core when things fail: who tries again, who is not trusted any more, what is said. */
#include "core_world.h"

#define JOBS(count) "\"pause_after_failures\":0,\"stop\":{\"jobs\":" count "}"

static struct worker a, b, c;

static int two_workers(void **state)
{
    setup(state);
    a = (struct worker){.id = "a", .root = "", .incarnation = 1};
    b = (struct worker){.id = "b", .root = "", .incarnation = 2};
    c = (struct worker){.id = "c", .root = "", .incarnation = 3};
    hello(&a, NULL, 0);
    hello(&b, NULL, 0);
    return 0;
}

/* What a worker's infrastructure failed is tried by another one while another is there. */
static void infra_is_tried_elsewhere(void **state)
{
    (void)state;
    start(JOBS("2"));
    struct hd_attempt_ref first = lease(&a), other = lease(&b);
    report(&a, first, HD_OUTCOME_INFRA, (double)NAN);
    uint64_t again = poll(&a);
    pass(5000); /* past the back-off; b works and a would be free */
    assert_null(answer_to(again));
    report(&b, other, HD_OUTCOME_OK, 1);
    struct hd_attempt_ref second = lease(&b);
    assert_int_equal(second.job, first.job);
    assert_null(answer_to(again));
    /* It failed there too: now it is b that must not have it. */
    report(&b, second, HD_OUTCOME_INFRA, (double)NAN);
    uint64_t polled = poll(&b);
    pass(3000);
    assert_answer(again, HD_REPLY_LEASE);
    assert_null(answer_to(polled));
}

/* One that is busy for long does not keep it from a worker that is free. */
static void it_does_not_wait_for_a_straggler(void **state)
{
    (void)state;
    start("\"lease\":\"10m\",\"holder_wait\":\"7s\"," JOBS("2"));
    struct hd_attempt_ref first = lease(&a);
    lease(&b);
    report(&a, first, HD_OUTCOME_INFRA, (double)NAN);
    uint64_t again = poll(&a);
    pass(1000 + 6999);
    assert_null(answer_to(again));
    pass(1001); /* it is looked at again once a second */
    assert_answer(again, HD_REPLY_LEASE);
}

/* Nor does the one that failed it go first because it leaves soon, when another waits with it. */
static void one_that_leaves_soon_does_not_try_again_first(void **state)
{
    (void)state;
    start("\"holder_wait\":\"0s\"," JOBS("1"));
    report(&a, lease(&a), HD_OUTCOME_INFRA, (double)NAN);
    struct hd_request leaving = from(&a, HD_REQUEST_LEASE, HD_LANE_LEASE, ++a.lease);
    leaving.left_ms = (int64_t)3600 * 1000;
    uint64_t again = post(&leaving, a.incarnation);
    uint64_t other = poll(&b);
    pass(5000);
    assert_answer(other, HD_REPLY_LEASE);
    assert_null(answer_to(again));
}

/* With nobody else there it is tried on the same worker, after the back-off. */
static void a_lone_worker_tries_again(void **state)
{
    (void)state;
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    post(&bye, 2);
    start(JOBS("1"));
    report(&a, lease(&a), HD_OUTCOME_INFRA, (double)NAN);
    uint64_t again = poll(&a);
    pass(1000);
    assert_answer(again, HD_REPLY_LEASE);
}

/* ... and when the other one goes away while the job waits for it. */
static void it_does_not_wait_for_who_has_gone(void **state)
{
    (void)state;
    start(JOBS("1"));
    struct hd_attempt_ref first = lease(&a);
    uint64_t parked = poll(&b);
    assert_null(answer_to(parked));
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    post(&bye, 2);
    report(&a, first, HD_OUTCOME_INFRA, (double)NAN);
    uint64_t again = poll(&a);
    pass(1000);
    assert_answer(again, HD_REPLY_LEASE);
}

/* A lost lease counts likewise: the worker that lost it is not given it back at once. */
static void a_lost_job_goes_elsewhere(void **state)
{
    (void)state;
    start("\"lease\":\"10s\"," JOBS("2"));
    struct hd_attempt_ref first = lease(&a), other = lease(&b);
    for (int i = 0; i < 3; i++) {
        pass(4000);
        ping(&b, &other, 1);
    }
    assert_true(job_view(first.job).queued);
    hello(&a, NULL, 0); /* it is back, and idle */
    uint64_t again = poll(&a);
    assert_null(answer_to(again));
    report(&b, other, HD_OUTCOME_OK, 1);
    assert_int_equal(lease(&b).job, first.job);
    assert_null(answer_to(again));
}

/* The same memory limit would end the job alike: it is closed, and the reason is given. */
static void out_of_memory_is_not_tried_again(void **state)
{
    (void)state;
    start(JOBS("1"));
    struct hd_attempt_ref attempt = lease(&a);
    report(&a, attempt, HD_OUTCOME_OOM, (double)NAN);
    assert_true(job_view(attempt.job).closed);
    assert_true(noted("with the same target.resources.memory it would end alike"));
}

/* A target that cannot start on one machine is tried on the others; when none can, the run stops
 * and says why, and no job is burnt on the way. */
static void what_no_machine_can_start_stops_the_run(void **state)
{
    (void)state;
    start(JOBS("5"));
    struct hd_attempt_ref attempt = lease(&a);
    report_rule(&a, attempt, HD_OUTCOME_CONFIG_ERROR, 0);
    assert_state(HD_RUN_ACTIVE, "");
    uint64_t again = poll(&a); /* it gets no job of this run any more */
    struct hd_attempt_ref second = lease(&b);
    assert_int_equal(second.job, attempt.job);
    assert_int_equal(job_view(0).retries_used, 0);
    assert_null(answer_to(again));
    report_rule(&b, second, HD_OUTCOME_CONFIG_ERROR, 0);
    assert_state(HD_RUN_PAUSED, "by none of 2 workers: as planned");
    assert_int_equal(run_view(0).jobs_failed, 1);
    /* A person mended it. */
    assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_OK);
    assert_answer(again, HD_REPLY_LEASE);
}

/* A worker of another run, of which no more is known than its hello, is nobody who could try. */
static void a_worker_of_another_run_does_not_count(void **state)
{
    (void)state;
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    post(&bye, b.incarnation);
    start(JOBS("5"));
    struct hd_attempt_ref attempt = lease(&a);
    struct hd_request other = from(&c, HD_REQUEST_HELLO, HD_LANE_CONTROL, ++c.control);
    other.run_id = "other";
    assert_answer(post(&other, c.incarnation), HD_REPLY_OK);
    report_rule(&a, attempt, HD_OUTCOME_CONFIG_ERROR, 0);
    assert_state(HD_RUN_PAUSED, "could not be started: as planned");
}

/* A reason that is too long shows that it goes on. */
static void a_long_reason_is_cut_in_sight(void **state)
{
    (void)state;
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    char message[HD_MESSAGE_MAX];
    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    post(&bye, b.incarnation);
    start(JOBS("5"));
    report_saying(&a, lease(&a), HD_OUTCOME_CONFIG_ERROR, 0, message);
    assert_state(HD_RUN_PAUSED, "xxx...");
}

/* What it asked for before it was told to drain is answered, and no job goes there any more. */
static void whoever_begins_to_drain_gets_nothing(void **state)
{
    (void)state;
    static const enum hd_request_kind says[] = {HD_REQUEST_PING, HD_REQUEST_HELLO};
    struct worker *const workers[] = {&a, &b};
    for (size_t i = 0; i < HD_COUNT(says); i++) {
        struct worker *worker = workers[i];
        uint64_t polled = poll(worker);
        struct hd_request drains = from(worker, says[i], HD_LANE_CONTROL, ++worker->control);
        drains.draining = true;
        assert_answer(post(&drains, worker->incarnation), HD_REPLY_OK);
        assert_answer(polled, HD_REPLY_NOTHING);
    }
    hello(&c, NULL, 0);
    start(JOBS("1"));
    assert_answer(poll(&a), HD_REPLY_NOTHING);
    assert_answer(poll(&c), HD_REPLY_LEASE);
}

/* The last worker of many runs at once: each of them pauses, also those for which the step that
 * saw it had no room. */
static void the_last_worker_leaves_no_run_waiting(void **state)
{
    (void)state;
    enum { RUNS = 520 };
    char run_id[16];
    struct worker only = {.id = "only", .root = "", .incarnation = 9};
    open_core((struct hd_core_options){0});
    hello(&only, NULL, 0);
    for (uint32_t i = 0; i < RUNS; i++) {
        hd_format(run_id, sizeof(run_id), "run%u", i);
        assert_answer(submit(run_id, 1000 + i, JOBS("1")), HD_REPLY_OK);
    }
    for (int i = 0; i < 3; i++)
        report(&only, lease(&only), HD_OUTCOME_INFRA, (double)NAN);
    assert_int_equal(worker_view("only").state, HD_WORKER_QUARANTINED);
    for (uint32_t i = 0; i < RUNS; i++)
        assert_int_equal(run_view(i).state, HD_RUN_PAUSED);
}

/* ---- log rules ---------------------------------------------------------------------------------
 */

#define RULES                                                                                      \
    "\"log_rules\":[{\"match\":\"assert\",\"action\":\"no_retry\",\"label\":\"bug\"},"             \
    "{\"match\":\"ECC\",\"action\":\"exclude_worker\",\"label\":\"bad gpu\"},"                     \
    "{\"match\":\"slow\",\"label\":\"slow disk\"}],"

static void submit_with_rules(void);

/* A job that is not tried again is no reason to stop while others are able. */
static void one_machine_that_cannot_start_stops_nothing(void **state)
{
    (void)state;
    submit_with_rules();
    struct hd_attempt_ref attempt = lease(&a);
    report_rule(&a, attempt, HD_OUTCOME_CONFIG_ERROR, 1);
    assert_true(job_view(attempt.job).closed);
    assert_state(HD_RUN_ACTIVE, "");
    attempt = lease(&b);
    report_rule(&b, attempt, HD_OUTCOME_CONFIG_ERROR, 1);
    assert_state(HD_RUN_PAUSED, "by none of 2 workers");
}

static void submit_with_rules(void)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_SUBMIT;
    request.run_id = "r";
    request.run_uid = RUN_UID;
    request.experiment_json =
        "{\"name\":\"r\",\"target\":{\"command\":[\"./t\"],"
        "\"retries\":{\"infra\":2,\"failed\":3}}," RULES "\"sampler\":{\"name\":\"random\"},"
        "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
        "\"pause_after_failures\":0,\"stop\":{\"jobs\":3}}";
    assert_answer(post(&request, 0), HD_REPLY_OK);
}

/* A rule decides over the retries; its number is in the fact, so that a restart decides alike. */
static void rules_decide_over_retries(void **state)
{
    (void)state;
    static const struct {
        uint32_t rule;
        bool closed;
    } rows[] = {{0, false}, {1, true}, {3, false}, {99, false}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        two_workers(NULL);
        submit_with_rules();
        struct hd_attempt_ref attempt = lease(&a);
        report_rule(&a, attempt, HD_OUTCOME_FAILED, rows[i].rule);
        assert_int_equal(job_view(attempt.job).closed, rows[i].closed);
        assert_int_equal(last_facts[HD_FACT_ATTEMPT_ENDED].as.attempt_ended.rule,
                         rows[i].rule == 99 ? 0 : rows[i].rule);
    }
    assert_true(noted("failed on attempt 1"));
}

/* The worker's fault costs the job an infrastructure retry and the worker this run. */
static void a_rule_excludes_a_worker(void **state)
{
    (void)state;
    submit_with_rules();
    struct hd_attempt_ref attempt = lease(&a);
    report_rule(&a, attempt, HD_OUTCOME_FAILED, 2);
    assert_true(job_view(attempt.job).queued);
    assert_true(noted("worker a gets no more jobs of run r: bad gpu"));
    uint64_t parked = poll(&a);
    pass(2000);
    assert_null(answer_to(parked));
    struct hd_attempt_ref second = lease(&b);
    assert_int_equal(second.job, attempt.job);
    /* The last one too: the run says that nobody is left. */
    report_rule(&b, second, HD_OUTCOME_FAILED, 2);
    assert_state(HD_RUN_PAUSED, "no worker is left");
    assert_answer(order(HD_COMMAND_RESUME_WORKER, "a", 0, NULL), HD_REPLY_OK);
    assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_OK);
    pass(8000);
    assert_answer(parked, HD_REPLY_LEASE);
}

/* A success is a success, whatever the target wrote. */
static void rules_are_for_failures(void **state)
{
    (void)state;
    submit_with_rules();
    struct hd_attempt_ref attempt = lease(&a);
    struct hd_request request = from(&a, HD_REQUEST_REPORT, HD_LANE_REPORT, ++a.report);
    request.result.attempt = attempt;
    request.result.loss = 0.5;
    request.result.rule = 2;
    post(&request, 1);
    assert_true(job_view(attempt.job).closed);
    assert_int_equal(last_facts[HD_FACT_ATTEMPT_ENDED].as.attempt_ended.rule, 0);
    assert_answer(poll(&a), HD_REPLY_LEASE);
}

/* ---- quarantine --------------------------------------------------------------------------------
 */

static void fail_jobs(struct worker *worker, uint32_t count, enum hd_outcome outcome)
{
    for (uint32_t i = 0; i < count; i++)
        report_rule(worker, lease(worker), outcome, 0);
}

/* Three different jobs in a row that its engine cannot run: no more for this worker, durably, with
 * the reason; the others go on. */
static void a_worker_on_which_everything_breaks_is_quarantined(void **state)
{
    (void)state;
    start(JOBS("20"));
    uint64_t before = fact_counts[HD_FACT_WORKER_STATE];
    fail_jobs(&a, 2, HD_OUTCOME_INFRA);
    assert_int_equal(worker_view("a").state, HD_WORKER_ACTIVE);
    fail_jobs(&a, 1, HD_OUTCOME_INFRA);
    assert_int_equal(worker_view("a").state, HD_WORKER_QUARANTINED);
    assert_non_null(strstr(worker_view("a").reason, "3 different jobs in a row failed on it"));
    assert_non_null(strstr(worker_view("a").reason, "as planned"));
    assert_int_equal(fact_counts[HD_FACT_WORKER_STATE], before + 1);
    uint64_t parked = poll(&a);
    assert_null(answer_to(parked));
    assert_answer(poll(&b), HD_REPLY_LEASE);
    assert_state(HD_RUN_ACTIVE, "");
    assert_answer(order(HD_COMMAND_RESUME_WORKER, "a", 0, NULL), HD_REPLY_OK);
    assert_answer(parked, HD_REPLY_LEASE);
}

/* One job that breaks everywhere is the job's fault, and a success in between clears the count. */
static void the_same_job_again_is_no_evidence(void **state)
{
    (void)state;
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    post(&bye, 2);
    start(JOBS("20"));
    for (int i = 0; i < 3; i++) { /* the first job, three times */
        pass(30000);
        ping(&a, NULL, 0);
        struct hd_attempt_ref attempt = lease(&a);
        assert_int_equal(attempt.job, 0);
        report_rule(&a, attempt, HD_OUTCOME_INFRA, 0);
    }
    fail_jobs(&a, 1, HD_OUTCOME_INFRA);
    assert_int_equal(worker_view("a").state, HD_WORKER_ACTIVE);
    report(&a, lease(&a), HD_OUTCOME_OK, 1);
    fail_jobs(&a, 2, HD_OUTCOME_INFRA);
    assert_int_equal(worker_view("a").state, HD_WORKER_ACTIVE);
}

/* Targets that fail are the worker's fault only when the same target works elsewhere. */
static void failing_targets_need_others_that_succeed(void **state)
{
    (void)state;
    for (int succeeds = 0; succeeds < 2; succeeds++) {
        two_workers(NULL);
        start(JOBS("50"));
        struct hd_attempt_ref first = lease(&a);
        report(&a, first, HD_OUTCOME_FAILED, (double)NAN);
        for (int i = 0; i < 5; i++)
            report(&b, lease(&b), succeeds ? HD_OUTCOME_OK : HD_OUTCOME_FAILED, 1);
        fail_jobs(&a, 4, HD_OUTCOME_FAILED);
        assert_int_equal(worker_view("a").state,
                         succeeds ? HD_WORKER_QUARANTINED : HD_WORKER_ACTIVE);
        assert_int_equal(worker_view("b").state, HD_WORKER_ACTIVE);
    }
}

/* A reason that does not fit says so, and is cut between two characters. */
static void a_long_reason_is_cut_with_dots(void **state)
{
    (void)state;
    for (size_t before = 200; before < 204; before++) {
        char message[512] = "";
        memset(message, 'x', before);
        for (size_t at = before; at < 400; at += 4)
            memcpy(message + at, "\xf0\x9f\x98\x80", 4);
        two_workers(NULL);
        start(JOBS("20"));
        for (int i = 0; i < 3; i++)
            report_saying(&a, lease(&a), HD_OUTCOME_INFRA, 0, message);
        const char *reason = worker_view("a").reason;
        size_t size = strlen(reason);
        assert_true(size > 240 && size < HD_REASON_MAX);
        assert_string_equal(reason + size - 3, "...");
        assert_true(reason[size - 4] == 'x' || (unsigned char)reason[size - 4] == 0x80);
        assert_true((unsigned char)reason[size - 5] == 0x98 || reason[size - 5] == 'x');
    }
}

/* What an earlier run spoiled gets another chance when a person begins one that nobody else could
 * work for, and only then. */
static void a_new_run_releases_its_only_workers(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        open_core((struct hd_core_options){0});
        hello(&a, NULL, 0);
        if (other == 1)
            hello(&b, NULL, 0);
        assert_answer(submit("r", RUN_UID, JOBS("20")), HD_REPLY_OK);
        fail_jobs(&a, 3, HD_OUTCOME_INFRA);
        assert_int_equal(worker_view("a").state, HD_WORKER_QUARANTINED);
        assert_answer(submit("next", RUN_UID + 1, JOBS("20")), HD_REPLY_OK);
        assert_int_equal(worker_view("a").state,
                         other == 1 ? HD_WORKER_QUARANTINED : HD_WORKER_ACTIVE);
    }
}

/* Failures far apart are no pattern. */
static void failures_far_apart_are_forgotten(void **state)
{
    (void)state;
    start(JOBS("20"));
    for (int i = 0; i < 6; i++) {
        pass(400000);
        ping(&a, NULL, 0);
        ping(&b, NULL, 0);
        uint64_t next = poll(&b);
        (void)next;
        report_rule(&a, lease(&a), HD_OUTCOME_INFRA, 0);
        hello(&b, NULL, 0); /* loses what it had been given */
    }
    assert_int_equal(worker_view("a").state, HD_WORKER_ACTIVE);
}

/* With its last worker in quarantine a run pauses with the reason instead of burning its jobs, and
 * resuming it gives the worker another chance. */
static void the_last_worker_in_quarantine_pauses_the_run(void **state)
{
    (void)state;
    struct hd_request bye = from(&b, HD_REQUEST_BYE, HD_LANE_CONTROL, ++b.control);
    post(&bye, 2);
    start(JOBS("20"));
    fail_jobs(&a, 3, HD_OUTCOME_INFRA);
    assert_state(HD_RUN_PAUSED, "a is quarantined: 3 different jobs");
    assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_OK);
    assert_int_equal(worker_view("a").state, HD_WORKER_ACTIVE);
    pass(5000);
    assert_answer(poll(&a), HD_REPLY_LEASE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, two_workers, teardown)
        T(infra_is_tried_elsewhere),
        T(it_does_not_wait_for_a_straggler),
        T(one_that_leaves_soon_does_not_try_again_first),
        T(a_lone_worker_tries_again),
        T(it_does_not_wait_for_who_has_gone),
        T(a_lost_job_goes_elsewhere),
        T(out_of_memory_is_not_tried_again),
        T(the_last_worker_leaves_no_run_waiting),
        T(one_machine_that_cannot_start_stops_nothing),
        T(what_no_machine_can_start_stops_the_run),
        T(a_worker_of_another_run_does_not_count),
        T(a_long_reason_is_cut_in_sight),
        T(whoever_begins_to_drain_gets_nothing),
        T(rules_decide_over_retries),
        T(a_rule_excludes_a_worker),
        T(rules_are_for_failures),
        T(a_worker_on_which_everything_breaks_is_quarantined),
        T(the_same_job_again_is_no_evidence),
        T(failing_targets_need_others_that_succeed),
        T(a_long_reason_is_cut_with_dots),
        T(a_new_run_releases_its_only_workers),
        T(failures_far_apart_are_forgotten),
        T(the_last_worker_in_quarantine_pauses_the_run),
#undef T
    };
    return cmocka_run_group_tests_name("core_faults", tests, NULL, NULL);
}
