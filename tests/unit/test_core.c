/* SPDX-License-Identifier: Apache-2.0 */
/* The pure core, one promise a test: requests, lost workers, who gets what. */
#include "core_world.h"

/* ---- every request may arrive twice -----------------------------------------------------------
 */

static void a_resent_poll_gets_the_same_attempt(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 5};
    start(HALVING);
    hello(&w, NULL, 0);
    struct hd_attempt_ref first = lease(&w);
    uint64_t again = poll_again(&w, w.lease);
    assert_answer(again, HD_REPLY_LEASE);
    assert_true(hd_attempt_ref_equal(first, answer_to(again)->lease.attempt));
    assert_int_equal(fact_counts[HD_FACT_ATTEMPT_LEASED], 1);
    assert_answer(report(&w, first, HD_OUTCOME_OK, 1), HD_REPLY_OK);
    assert_answer(poll_again(&w, w.lease), HD_REPLY_NOTHING); /* its time is over */
    lease(&w);
    assert_answer(poll_again(&w, w.lease - 1), HD_REPLY_STALE);
    assert_int_equal(fact_counts[HD_FACT_ATTEMPT_LEASED], 2);
}

static void a_poll_that_was_told_nothing_gets_no_job_later(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 5};
    hello(&w, NULL, 0);
    uint64_t address = poll(&w);
    assert_null(answer_to(address));
    pass(10000);
    assert_answer(address, HD_REPLY_NOTHING);
    start(HALVING);
    assert_answer(poll_again(&w, w.lease), HD_REPLY_NOTHING);
    assert_int_equal(fact_counts[HD_FACT_ATTEMPT_LEASED], 0);
}

static void a_result_is_accepted_once(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 5};
    start(HALVING);
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    assert_int_equal(answer_to(report(&w, attempt, HD_OUTCOME_OK, 0.25))->verdict,
                     HD_VERDICT_ACCEPTED);
    /* The same message once more: the same answer, no fact. */
    assert_int_equal(answer_to(report_again(&w, w.report, attempt, HD_OUTCOME_OK, 0.25))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_int_equal(fact_counts[HD_FACT_REPORT_REFUSED], 0);
    /* Said anew with another loss: acknowledged, recorded, without effect. */
    assert_int_equal(answer_to(report(&w, attempt, HD_OUTCOME_OK, 0.125))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_answer(report_again(&w, w.report - 1, attempt, HD_OUTCOME_OK, 0), HD_REPLY_STALE);
    assert_int_equal(fact_counts[HD_FACT_REPORT_REFUSED], 1);
    assert_int_equal(fact_counts[HD_FACT_ATTEMPT_ENDED], 1);
    assert_true(job_view(attempt.job).loss == 0.25);
}

static void zeros_name_nobody(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 5};
    hello(&w, NULL, 0);
    struct worker nobody = {.id = "n", .root = "", .incarnation = 0};
    assert_answer(hello(&nobody, NULL, 0), HD_REPLY_REFUSED);
    assert_answer(poll_again(&w, 0), HD_REPLY_REFUSED);
    struct hd_request request = from(&w, HD_REQUEST_REPORT, HD_LANE_REPORT, 1);
    request.lease_next = true;
    request.lease_sequence = 0;
    assert_answer(post(&request, 1), HD_REPLY_REFUSED);
    struct worker nameless = {.id = "", .root = "", .incarnation = 1};
    assert_answer(hello(&nameless, NULL, 0), HD_REPLY_REFUSED);
    struct worker stranger = {.id = "s", .root = "", .incarnation = 1};
    assert_answer(poll(&stranger), HD_REPLY_HELLO_FIRST);
}

static void a_newer_process_supersedes_an_older_one(void **state)
{
    (void)state;
    struct worker old = {.id = "w", .root = "", .incarnation = 5};
    struct worker young = {.id = "w", .root = "", .incarnation = 6};
    hello(&old, NULL, 0);
    uint64_t parked = poll(&old);
    hello(&young, NULL, 0);
    assert_answer(parked, HD_REPLY_STALE);
    uint64_t address = ping(&old, NULL, 0);
    assert_answer(address, HD_REPLY_REFUSED);
    assert_int_equal(answer_to(address)->code, HD_E_CONFLICT);
    assert_answer(hello(&old, NULL, 0), HD_REPLY_REFUSED);
}

/* ---- lost workers ------------------------------------------------------------------------------
 */

static void a_late_result_is_fenced(void **state)
{
    (void)state;
    struct worker a = {.id = "a", .root = "", .incarnation = 1};
    struct worker b = {.id = "b", .root = "", .incarnation = 1};
    start(HALVING);
    hello(&a, NULL, 0);
    struct hd_attempt_ref first = lease(&a);
    pass(29999);
    assert_true(job_view(first.job).running);
    pass(1 + 1000); /* one lease, and the first back-off */
    assert_true(job_view(first.job).queued);
    hello(&b, NULL, 0);
    struct hd_attempt_ref second = lease(&b);
    assert_int_equal(second.job, first.job);
    assert_int_equal(second.attempt, 2);
    assert_int_equal(answer_to(report(&a, first, HD_OUTCOME_OK, 0.5))->verdict, HD_VERDICT_REFUSED);
    assert_int_equal(answer_to(report(&a, second, HD_OUTCOME_OK, 0.5))->verdict,
                     HD_VERDICT_REFUSED); /* the right attempt in the wrong hands */
    assert_true(job_view(first.job).running);
    assert_int_equal(answer_to(report(&b, second, HD_OUTCOME_OK, 0.75))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_true(job_view(first.job).loss == 0.75);
    assert_int_equal(fact_counts[HD_FACT_REPORT_REFUSED], 2);
}

static void pings_renew_what_is_held(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start(HALVING);
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    for (int i = 0; i < 4; i++) {
        pass(20000);
        ping(&w, &attempt, 1);
    }
    assert_true(job_view(attempt.job).running);
    assert_int_equal(job_view(attempt.job).attempt, 1);
    /* A hold gives everybody the time that the disk took. */
    now_ms += 100000;
    step((struct hd_event){.kind = HD_EVENT_HOLD, .hold_ms = 100000});
    assert_true(job_view(attempt.job).running);
    struct hd_attempt_ref foreign = {RUN_UID + 1, 0, 1};
    const struct hd_reply *reply = answer_to(ping(&w, &foreign, 1));
    assert_int_equal(reply->command_count, 1);
    assert_int_equal(reply->commands[0].action, HD_ACTION_DROP);
}

/* What a master with a copy of this state granted under the same number is other work: its result
 * is refused and written down, its lease is not renewed here, and its points are nobody's. */
static void what_a_copy_of_this_state_granted_is_not_ours(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start(HALVING);
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w), theirs = attempt;
    assert_int_not_equal(attempt.stamp, 0);
    theirs.stamp++;
    const struct hd_reply *reply = answer_to(report(&w, theirs, HD_OUTCOME_OK, 0.5));
    assert_int_equal(reply->verdict, HD_VERDICT_REFUSED);
    assert_int_equal(fact_counts[HD_FACT_REPORT_REFUSED], 1);
    assert_true(job_view(attempt.job).running);
    struct hd_attempt_ref later = {attempt.run_uid, attempt.job, attempt.attempt + 1, 1};
    assert_int_equal(answer_to(report(&w, later, HD_OUTCOME_OK, 0.5))->verdict, HD_VERDICT_REFUSED);
    assert_true(job_view(attempt.job).running);
    assert_int_equal(answer_to(report(&w, attempt, HD_OUTCOME_OK, 0.25))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_true(job_view(attempt.job).closed);
    assert_int_equal(answer_to(report(&w, theirs, HD_OUTCOME_OK, 0.5))->verdict,
                     HD_VERDICT_REFUSED);
    struct hd_attempt_ref next = lease(&w);
    theirs = next;
    theirs.stamp++;
    reply = answer_to(ping(&w, &theirs, 1));
    assert_int_equal(reply->command_count, 2);
    assert_int_equal(reply->commands[0].action, HD_ACTION_DROP);
    assert_int_equal(reply->commands[1].action, HD_ACTION_BRING); /* of what it did report */
    assert_true(job_view(next.job).queued);                       /* nobody holds it */
}

/* Another machine with a copy of the worker's disk may have reported what still runs here: that is
 * ended, not dropped, for a worker that only waits for its acknowledgement says it holds it too. */
static void what_another_process_has_reported_is_ended(void **state)
{
    (void)state;
    struct worker first = {.id = "w", .root = "", .incarnation = 1};
    struct worker twin = {.id = "w", .root = "", .incarnation = 2};
    struct worker again = {.id = "w", .root = "", .incarnation = 3};
    start(HALVING);
    hello(&first, NULL, 0);
    struct hd_attempt_ref attempt = lease(&first);
    hello(&twin, &attempt, 1);
    report(&twin, attempt, HD_OUTCOME_OK, 0.5);
    const struct hd_reply *reply = answer_to(hello(&again, &attempt, 1));
    assert_int_equal(reply->command_count, 1);
    assert_int_equal(reply->commands[0].action, HD_ACTION_CANCEL);
    assert_true(hd_attempt_ref_same(reply->commands[0].attempt, attempt));
    assert_int_equal(answer_to(report(&again, attempt, HD_OUTCOME_CANCELLED, (double)NAN))->verdict,
                     HD_VERDICT_ACCEPTED);
    assert_true(job_view(attempt.job).loss == 0.5);
}

static void a_worker_that_returns_without_its_job_loses_it_at_once(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start(HALVING);
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    w.incarnation = 2;
    w.control = 0;
    assert_answer(hello(&w, &attempt, 1), HD_REPLY_OK); /* with it: nothing is lost */
    assert_true(job_view(attempt.job).running);
    w.incarnation = 3;
    w.control = 0;
    hello(&w, NULL, 0);
    assert_true(job_view(attempt.job).queued);
    assert_int_equal(job_view(attempt.job).retries_used, 1);
    /* It goes before any new config, at once: what one worker proposes survives kills. */
    struct hd_attempt_ref again = lease(&w);
    assert_int_equal(again.job, attempt.job);
    assert_int_equal(again.attempt, 2);
}

static void a_hang_up_answers_every_poll_of_its_connection(void **state)
{
    (void)state;
    enum { COUNT = 300 }; /* more than the replies of one step */
    static char ids[COUNT][16];
    static uint64_t polls[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        hd_format(ids[i], sizeof(ids[i]), "w%zu", i);
        struct worker w = {.id = ids[i], .root = "", .incarnation = 9};
        hello(&w, NULL, 0);
        polls[i] = poll(&w);
    }
    step((struct hd_event){.kind = HD_EVENT_DISCONNECT, .connection = 9});
    settle();
    for (size_t i = 0; i < COUNT; i++)
        assert_non_null(answer_to(polls[i]));
}

/* ---- retries ------------------------------------------------------------------------------------
 */

static void what_ends_costs_a_retry(void **state)
{
    (void)state;
    static const struct {
        enum hd_outcome outcome;
        uint32_t attempts; /* until the job is closed; 0: never by this */
    } rows[] = {{HD_OUTCOME_INFRA, 3},   {HD_OUTCOME_FAILED, 2},    {HD_OUTCOME_DIVERGED, 1},
                {HD_OUTCOME_TIMEOUT, 1}, {HD_OUTCOME_NO_RESULT, 1}, {HD_OUTCOME_OOM, 1},
                {HD_OUTCOME_STOPPED, 1}, {HD_OUTCOME_PREEMPTED, 0}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct worker w = {.id = "w", .root = "", .incarnation = 1};
        open_core((struct hd_core_options){0});
        struct hd_request request = blank();
        request.kind = HD_REQUEST_SUBMIT;
        request.run_id = "r";
        request.run_uid = RUN_UID;
        request.experiment_json =
            "{\"name\":\"r\",\"target\":{\"command\":[\"./t\"],"
            "\"retries\":{\"infra\":2,\"failed\":1}},\"sampler\":{\"name\":\"random\"},"
            "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
            "\"stop\":{\"jobs\":1}}";
        assert_answer(post(&request, 0), HD_REPLY_OK);
        hello(&w, NULL, 0);
        uint32_t attempts = 0;
        while (attempts < 5 && (attempts == 0 || !job_view(0).closed)) {
            pass(30000); /* longer than any back-off */
            struct hd_attempt_ref attempt = lease(&w);
            assert_int_equal(attempt.attempt, ++attempts);
            report(&w, attempt, rows[i].outcome, (double)NAN);
        }
        assert_int_equal(attempts, rows[i].attempts == 0 ? 5 : rows[i].attempts);
        assert_int_equal(job_view(0).closed, rows[i].attempts != 0);
    }
}

static void a_broken_machine_is_given_time(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"stop\":{\"jobs\":1}");
    hello(&w, NULL, 0);
    report(&w, lease(&w), HD_OUTCOME_INFRA, (double)NAN);
    uint64_t address = poll(&w);
    pass(999);
    assert_null(answer_to(address));
    pass(1);
    assert_answer(address, HD_REPLY_LEASE);
    report(&w, answer_to(address)->lease.attempt, HD_OUTCOME_INFRA, (double)NAN);
    address = poll(&w);
    pass(1999);
    assert_null(answer_to(address));
    pass(1);
    assert_answer(address, HD_REPLY_LEASE);
}

static void a_run_pauses_before_it_burns_the_night(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"pause_after_failures\":2,\"stop\":{\"configs\":9}");
    hello(&w, NULL, 0);
    report(&w, lease(&w), HD_OUTCOME_FAILED, (double)NAN);
    report(&w, lease(&w), HD_OUTCOME_FAILED, (double)NAN);
    assert_state(HD_RUN_PAUSED, "2 failures without a success");
    uint64_t address = poll(&w);
    assert_null(answer_to(address));
    command(HD_COMMAND_RESUME_RUN, 0); /* what paused it is forgiven */
    assert_answer(address, HD_REPLY_LEASE);
    report(&w, answer_to(address)->lease.attempt, HD_OUTCOME_OK, 1);
    for (int i = 0; i < 4; i++) /* after a success, failures are part of the search */
        report(&w, lease(&w), HD_OUTCOME_FAILED, (double)NAN);
    assert_state(HD_RUN_ACTIVE, "");
    report(&w, lease(&w), HD_OUTCOME_CONFIG_ERROR, (double)NAN);
    assert_state(HD_RUN_PAUSED, "could not be started");
}

/* ---- stop rules ---------------------------------------------------------------------------------
 */

static void each_stop_rule_ends_the_run(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        uint32_t jobs; /* that end before the run does */
        enum hd_outcome outcome;
        const char *reason;
    } rows[] = {
        {"\"stop\":{\"configs\":3}", 3, HD_OUTCOME_OK, "3 configs done"},
        {"\"stop\":{\"jobs\":2}", 2, HD_OUTCOME_OK, "2 jobs done"},
        {"\"stop\":{\"full_evaluations\":4}", 4, HD_OUTCOME_OK, "4 full evaluations done"},
        {"\"pause_after_failures\":0,\"stop\":{\"failures\":3}", 3, HD_OUTCOME_FAILED,
         "3 jobs failed"},
        {"\"objective\":{\"name\":\"loss\",\"goal\":0.5}", 1, HD_OUTCOME_OK, "goal reached"},
        {"\"objective\":{\"name\":\"acc\",\"direction\":\"maximize\",\"goal\":-0.5}", 1,
         HD_OUTCOME_OK, "goal reached: acc -0.5"},
        {"\"stop\":{\"iterations\":2}", 2, HD_OUTCOME_OK, "all iterations done"},
        {"\"stop\":{\"time\":\"25s\"}", 3, HD_OUTCOME_OK, "time limit reached"},
        {HALVING, 3, HD_OUTCOME_OK, "all iterations done"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct worker w = {.id = "w", .root = "", .incarnation = 1};
        open_core((struct hd_core_options){0});
        start(rows[i].more);
        hello(&w, NULL, 0);
        for (uint32_t done = 0; done < rows[i].jobs; done++) {
            assert_state(HD_RUN_ACTIVE, "");
            struct hd_attempt_ref attempt = lease(&w);
            pass(10000);
            report(&w, attempt, rows[i].outcome,
                   rows[i].outcome == HD_OUTCOME_OK ? 0.5 : (double)NAN);
        }
        assert_state(HD_RUN_FINISHED, rows[i].reason);
        assert_true(hd_core_idle(core));
        struct hd_request request = from(&w, HD_REQUEST_LEASE, HD_LANE_LEASE, ++w.lease);
        request.run_id = "r";
        assert_answer(post(&request, 1), HD_REPLY_DONE);
    }
}

static void report_measures(struct worker *worker, size_t count, const double *measures)
{
    struct hd_attempt_ref attempt = lease(worker);
    struct hd_request request = from(worker, HD_REQUEST_REPORT, HD_LANE_REPORT, ++worker->report);
    request.result.attempt = attempt;
    request.result.outcome = HD_OUTCOME_OK;
    request.result.loss = measures[0];
    request.result.directory = "";
    request.result.measure_count = count;
    memcpy(request.result.measures, measures, count * sizeof(*measures));
    post(&request, worker->incarnation);
}

/* All objectives and constraints are in the fact, with the violation; the incumbent is feasible
 * before it is good; the goals are reached by one feasible result; what does not fit the experiment
 * is no result. (The shadow core sees facts alone and is compared after each step.) */
static void results_carry_every_objective_and_constraint(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"objective\":[{\"name\":\"a\",\"goal\":3},{\"name\":\"b\",\"direction\":\"max\","
          "\"goal\":5},\"c\"],\"constraints\":[{\"name\":\"m\",\"max\":10}],"
          "\"pause_after_failures\":0");
    hello(&w, NULL, 0);
    report_measures(&w, 4, (double[]){1, -6, 0, 20}); /* all goals, but not feasible */
    const struct hd_fact_attempt_ended *ended = &last_facts[HD_FACT_ATTEMPT_ENDED].as.attempt_ended;
    assert_int_equal(ended->outcome, HD_OUTCOME_OK);
    assert_int_equal(ended->measure_count, 4);
    assert_true(ended->violation == 1 && ended->loss == 1);
    assert_false(run_view(0).incumbent_feasible);
    report_measures(&w, 4, (double[]){9, -6, 0, 10});
    assert_true(run_view(0).incumbent_feasible && run_view(0).incumbent_job == 1);
    report_measures(&w, 4, (double[]){4, -9, 0, 0});
    assert_int_equal(run_view(0).incumbent_job, 2);
    report_measures(&w, 4, (double[]){4, -10, 0, 0}); /* the first of equals in the first loss */
    assert_int_equal(run_view(0).incumbent_job, 2);
    report_measures(&w, 3, (double[]){1, -9, 0});
    assert_int_equal(ended->outcome, HD_OUTCOME_NO_RESULT);
    assert_non_null(strstr(ended->message, "older version"));
    report_measures(&w, 4, (double[]){1, -9, INFINITY, 0});
    assert_int_equal(ended->outcome, HD_OUTCOME_DIVERGED);
    assert_int_equal(ended->measure_count, 0);
    assert_state(HD_RUN_ACTIVE, "");
    report_measures(&w, 4, (double[]){3, -5, 9e9, -1});
    assert_state(HD_RUN_FINISHED, "goals of all objectives reached");
}

/* ---- who gets what ------------------------------------------------------------------------------
 */

static void priority_comes_first_and_equals_share(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    submit("low", 1, "\"stop\":{\"configs\":9}");
    submit("a", 2, "\"stop\":{\"configs\":2},\"priority\":1");
    submit("b", 3, "\"stop\":{\"configs\":2},\"priority\":1");
    hello(&w, NULL, 0);
    uint32_t of_uid[4] = {0};
    for (int i = 0; i < 2; i++)
        of_uid[lease(&w).run_uid]++;
    assert_int_equal(of_uid[2], 1);
    assert_int_equal(of_uid[3], 1);
    for (int i = 0; i < 2; i++)
        of_uid[lease(&w).run_uid]++;
    assert_int_equal(of_uid[2] + of_uid[3], 4);
    assert_int_equal(lease(&w).run_uid, 1);
}

static void a_promotion_waits_for_the_holder_of_its_directory(void **state)
{
    (void)state;
    static const struct {
        bool bye;        /* the holder leaves */
        int64_t wait_ms; /* until another worker may start it from the start */
    } rows[] = {{false, 7000}, {true, 0}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct worker a = {.id = "a", .root = "root-a", .incarnation = 1};
        struct worker b = {.id = "b", .root = "root-b", .incarnation = 2};
        open_core((struct hd_core_options){0});
        start("\"holder_wait\":\"7s\"," HALVING);
        hello(&a, NULL, 0);
        hello(&b, NULL, 0);
        report(&a, lease(&a), HD_OUTCOME_OK, 1);
        struct hd_attempt_ref attempt = lease(&a);
        uint64_t address = poll(&b); /* waits for a promotion */
        report(&a, attempt, HD_OUTCOME_OK, 2);
        if (rows[i].bye) {
            struct hd_request bye = from(&a, HD_REQUEST_BYE, HD_LANE_CONTROL, ++a.control);
            post(&bye, 1);
            address = answer_to(address) != NULL ? address : poll(&b);
        }
        if (rows[i].wait_ms > 0) {
            pass(rows[i].wait_ms - 1);
            assert_null(answer_to(address));
            pass(1);
        }
        assert_answer(address, HD_REPLY_LEASE);
        assert_true(isnan(answer_to(address)->lease.budget_previous));
        assert_true(answer_to(address)->lease.budget == 2);
    }
    /* The holder itself goes on from where it was. */
    struct worker a = {.id = "a", .root = "root-a", .incarnation = 1};
    open_core((struct hd_core_options){0});
    start(HALVING);
    hello(&a, NULL, 0);
    report(&a, lease(&a), HD_OUTCOME_OK, 1);
    report(&a, lease(&a), HD_OUTCOME_OK, 2);
    uint64_t address = poll(&a);
    assert_answer(address, HD_REPLY_LEASE);
    assert_true(answer_to(address)->lease.budget_previous == 1);
}

static void nobody_starts_before_the_others_are_there(void **state)
{
    (void)state;
    struct worker a = {.id = "a", .root = "", .incarnation = 1};
    struct worker b = {.id = "b", .root = "", .incarnation = 1};
    open_core((struct hd_core_options){.min_workers = 2});
    start(HALVING);
    hello(&a, NULL, 0);
    uint64_t address = poll(&a);
    assert_null(answer_to(address));
    hello(&b, NULL, 0);
    assert_answer(address, HD_REPLY_LEASE);
}

static void a_queue_is_filled_ahead(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"job_queue_sizes\":[1,3],\"stop\":{\"configs\":20}");
    hello(&w, NULL, 0);
    assert_int_equal(run_view(0).jobs_queued, 0); /* an unopened iteration is not opened early */
    lease(&w);
    assert_int_equal(run_view(0).jobs_running, 1);
    open_core((struct hd_core_options){0});
    start("\"job_queue_sizes\":[1,3],\"iteration_generator\":{\"name\":\"successive_halving\","
          "\"eta\":2},\"budget\":{\"min\":1,\"max\":8},\"stop\":{\"iterations\":1}");
    struct worker v = {.id = "v", .root = "", .incarnation = 1};
    hello(&v, NULL, 0);
    lease(&v); /* opens a bracket of eight */
    assert_int_equal(run_view(0).jobs_queued, 3);
}

static void the_shortest_ping_of_the_open_runs_counts(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    assert_true(answer_to(hello(&w, NULL, 0))->ping_ms == 5000);
    start("\"lease\":\"2s\",\"ping\":\"500ms\"," HALVING);
    assert_true(answer_to(ping(&w, NULL, 0))->ping_ms == 500);
    uint64_t address = poll(&w);
    assert_true(answer_to(address)->ping_ms == 500);
    command(HD_COMMAND_CANCEL_RUN, 0);
    assert_true(answer_to(ping(&w, NULL, 0))->ping_ms == 5000);
}

/* ---- people -------------------------------------------------------------------------------------
 */

static void saying_a_thing_twice_does_it_once(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"stop\":{\"configs\":9}");
    assert_answer(submit("r", RUN_UID, "\"stop\":{\"configs\":9}"), HD_REPLY_OK);
    uint64_t address = submit("r", RUN_UID + 1, "\"stop\":{\"configs\":9}");
    assert_int_equal(answer_to(address)->code, HD_E_EXISTS);
    assert_int_equal(answer_to(submit("bad", 3, "\"stop\":{\"configs\":-1}"))->code, HD_E_INVALID);
    assert_int_equal(hd_core_run_count(core), 1);
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    for (int i = 0; i < 2; i++) {
        assert_answer(command(HD_COMMAND_CANCEL_JOB, attempt.job), HD_REPLY_OK);
        assert_answer(command(HD_COMMAND_PAUSE_RUN, 0), HD_REPLY_OK);
    }
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 2);
    assert_int_equal(job_view(attempt.job).outcome, HD_OUTCOME_CANCELLED);
    const struct hd_reply *told = answer_to(ping(&w, &attempt, 1));
    assert_int_equal(told->command_count, 1);
    for (int i = 0; i < 2; i++)
        assert_answer(command(HD_COMMAND_RESUME_RUN, 0), HD_REPLY_OK);
    for (int i = 0; i < 2; i++)
        assert_answer(command(HD_COMMAND_CANCEL_RUN, 0), HD_REPLY_OK);
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 4);
    assert_state(HD_RUN_CANCELLED, "cancelled");
    assert_int_equal(answer_to(command(HD_COMMAND_PAUSE_RUN, 0))->code, HD_E_CONFLICT);
    assert_int_equal(answer_to(command(HD_COMMAND_CANCEL_JOB, 99))->code, HD_E_NOTFOUND);
}

/* Nobody is told that something was cancelled which had ended before. */
static void what_has_ended_is_not_cancelled(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    start("\"stop\":{\"configs\":1}");
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    report(&w, attempt, HD_OUTCOME_OK, 0.5);
    assert_state(HD_RUN_FINISHED, "");
    assert_int_equal(answer_to(command(HD_COMMAND_CANCEL_JOB, attempt.job))->code, HD_E_CONFLICT);
    assert_int_equal(answer_to(command(HD_COMMAND_CANCEL_RUN, 0))->code, HD_E_CONFLICT);
    assert_int_equal(fact_counts[HD_FACT_COMMAND_GIVEN], 0);
}

/* ---- memory and restore -------------------------------------------------------------------------
 */

#define KNOWN                                                                                      \
    "[{\"params\":{\"x\":0.5},\"results\":[{\"budget\":1,\"losses\":[0.25]},"                      \
    "{\"budget\":0.5,\"losses\":[]}]}]"

/* What is known before a run begins is part of its first fact, so of what is restored (every step
 * compares that), counts as nothing that the run did, and is refused where it does not fit. */
static void known_results_are_kept_with_the_run(void **state)
{
    (void)state;
    struct hd_request request = blank();
    request.kind = HD_REQUEST_SUBMIT;
    request.run_id = "k";
    request.run_uid = 3;
    request.experiment_json = "{\"name\":\"k\",\"target\":{\"command\":[\"./t\"]},"
                              "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                              "\"stop\":{\"configs\":1}}";
    static const char *const wrong[] = {
        "[", "[]", "[{\"params\":{\"x\":2},\"results\":[{\"budget\":1,\"losses\":[0]}]}]",
        "[{\"params\":{\"y\":0},\"results\":[{\"budget\":1,\"losses\":[0]}]}]"};
    for (size_t i = 0; i < HD_COUNT(wrong); i++) {
        request.known_json = wrong[i];
        uint64_t address = post(&request, 0);
        assert_answer(address, HD_REPLY_REFUSED);
        assert_non_null(strstr(answer_to(address)->text, "known results"));
        assert_int_equal(hd_core_run_count(core), 0);
    }
    request.known_json = KNOWN;
    assert_answer(post(&request, 0), HD_REPLY_OK);
    assert_answer(post(&request, 0), HD_REPLY_OK); /* a resend */
    struct hd_run_view view;
    hd_core_view_run(core, 0, &view);
    assert_non_null(view.known);
    assert_int_equal(view.known->config_count, 1);
    assert_int_equal(view.known->result_count, 2);
    assert_true(view.known->values[0] == 0.5 && view.known->results[0].score.losses[0] == 0.25);
    assert_int_equal(view.config_count, 0);
    assert_int_equal(view.job_count, 0);
    assert_false(view.has_incumbent);
}

static void short_memory_changes_nothing(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "root", .incarnation = 1};
    struct hd_request request = from(&w, HD_REQUEST_HELLO, HD_LANE_CONTROL, 1);
    struct hd_request second = blank();
    second.kind = HD_REQUEST_SUBMIT;
    second.run_id = "s";
    second.run_uid = 2;
    second.experiment_json = "{\"name\":\"s\",\"target\":{\"command\":[\"./t\"]},"
                             "\"space\":{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                             "\"stop\":{\"configs\":1}}";
    second.known_json = KNOWN;
    const struct hd_request *requests[] = {&request, &second};
    for (size_t r = 0; r < HD_COUNT(requests); r++) {
        open_core((struct hd_core_options){0});
        start(HALVING);
        uint64_t digest = hd_core_digest(core);
        struct hd_event event = {.kind = HD_EVENT_REQUEST,
                                 .address = ++last_address,
                                 .request = requests[r],
                                 .now_ms = now_ms};
        int64_t failures = 0;
        for (enum hd_code code = HD_E_NOMEM; code != HD_OK; failures++) {
            hd_test_fail_alloc_after(failures);
            code = hd_core_reserve(core, &event, &err);
            hd_test_fail_alloc_after(-1);
            assert_true(code == HD_OK || code == HD_E_NOMEM);
            assert_true(hd_core_digest(core) == digest);
            assert_true(failures < 10000);
        }
        assert_true(failures > 1); /* something was allocated, and failed */
        hd_core_step(core, &event, &update);
        take_update();
        assert_answer(last_address, HD_REPLY_OK);
    }
}

static void facts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    start(HALVING);
    uint64_t digest = hd_core_digest(core);
    struct hd_fact ended = {.kind = HD_FACT_ATTEMPT_ENDED,
                            .as.attempt_ended = {.worker = "w", .root = "", .directory = ""}};
    ended.seq = hd_core_last_seq(core) + 2;
    assert_hd_fails(hd_core_apply(core, &ended, &err), HD_E_CORRUPT, "missing");
    ended.seq--;
    assert_hd_fails(hd_core_apply(core, &ended, &err), HD_E_CORRUPT, "not the job's current one");
    ended.run = 9;
    assert_hd_fails(hd_core_apply(core, &ended, &err), HD_E_CORRUPT, "unknown run");
    assert_true(hd_core_digest(core) == digest);
}

/* A failed attempt has no measures: a damaged row must not make a score of too few. */
static void measures_of_a_failure_are_refused(void **state)
{
    (void)state;
    struct worker w = {.id = "w", .root = "", .incarnation = 1};
    const double measure = 1;
    start("\"objective\":[\"a\",\"b\"]");
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    struct hd_fact ended = {.kind = HD_FACT_ATTEMPT_ENDED,
                            .seq = hd_core_last_seq(core) + 1,
                            .as.attempt_ended = {.job = attempt.job,
                                                 .attempt = attempt.attempt,
                                                 .outcome = HD_OUTCOME_FAILED,
                                                 .measures = &measure,
                                                 .measure_count = 1,
                                                 .worker = "w",
                                                 .label = "",
                                                 .root = "",
                                                 .directory = ""}};
    assert_hd_fails(hd_core_apply(core, &ended, &err), HD_E_CORRUPT, "other objectives");
    ended.as.attempt_ended.measure_count = 0;
    assert_hd_ok(hd_core_apply(core, &ended, &err));
}

/* A table full of workers still takes the facts of those in it, and of nobody else. */
static void a_full_table_of_workers_restores(void **state)
{
    (void)state;
    char name[32];
    start(HALVING);
    struct hd_fact refused = {.kind = HD_FACT_REPORT_REFUSED, .as.report_refused.worker = name};
    for (int i = 0; i < HD_WORKERS_MAX; i++) {
        assert_true(hd_format(name, sizeof(name), "w%d", i));
        refused.seq = hd_core_last_seq(core) + 1;
        assert_hd_ok(hd_core_apply(core, &refused, &err));
    }
    assert_true(hd_format(name, sizeof(name), "w%d", 7));
    refused.seq = hd_core_last_seq(core) + 1;
    assert_hd_ok(hd_core_apply(core, &refused, &err));
    struct hd_fact paused = {.kind = HD_FACT_COMMAND_GIVEN,
                             .seq = refused.seq + 1,
                             .as.command_given = {.op = HD_COMMAND_PAUSE_RUN, .reason = ""}};
    assert_hd_ok(hd_core_apply(core, &paused, &err));
    assert_true(hd_format(name, sizeof(name), "another"));
    refused.seq = hd_core_last_seq(core) + 1;
    assert_hd_fails(hd_core_apply(core, &refused, &err), HD_E_LIMIT, "workers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_resent_poll_gets_the_same_attempt, setup, teardown),
        cmocka_unit_test_setup_teardown(a_poll_that_was_told_nothing_gets_no_job_later, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_result_is_accepted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(zeros_name_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_process_supersedes_an_older_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_result_is_fenced, setup, teardown),
        cmocka_unit_test_setup_teardown(pings_renew_what_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_process_has_reported_is_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_a_copy_of_this_state_granted_is_not_ours, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_returns_without_its_job_loses_it_at_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_hang_up_answers_every_poll_of_its_connection, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_ends_costs_a_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_machine_is_given_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_pauses_before_it_burns_the_night, setup, teardown),
        cmocka_unit_test_setup_teardown(each_stop_rule_ends_the_run, setup, teardown),
        cmocka_unit_test_setup_teardown(results_carry_every_objective_and_constraint, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(priority_comes_first_and_equals_share, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promotion_waits_for_the_holder_of_its_directory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_starts_before_the_others_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_queue_is_filled_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(the_shortest_ping_of_the_open_runs_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(saying_a_thing_twice_does_it_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_ended_is_not_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(known_results_are_kept_with_the_run, setup, teardown),
        cmocka_unit_test_setup_teardown(short_memory_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(facts_that_do_not_fit_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(measures_of_a_failure_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_table_of_workers_restores, setup, teardown),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
