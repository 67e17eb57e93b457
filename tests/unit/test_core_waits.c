/* SPDX-License-Identifier: Apache-2.0 */
/* What a live master can say and no fact holds: why a run waits, and who answers a test. */
#include "core_world.h"

static struct worker w, v;

static int two_workers(void **state)
{
    setup(state);
    w = (struct worker){.id = "w", .root = "", .incarnation = 1};
    v = (struct worker){.id = "v", .root = "", .incarnation = 1};
    return 0;
}

static void assert_waits(const char *text)
{
    struct hd_waits waits;
    hd_core_waits(core, 0, now_ms, now_ms, &waits);
    if (strstr(waits.text, text) == NULL)
        fail_msg("waits for \"%s\", expected \"%s\"", waits.text, text);
}

/* ---- why a run waits ------------------------------------------------------------------------- */

/* It says on which job and which worker, since when, and what is left of the lease. */
static void a_run_names_the_job_and_the_worker_it_waits_for(void **state)
{
    (void)state;
    struct hd_waits waits;
    start("\"lease\":\"30s\",\"stop\":{\"jobs\":2}");
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    for (int i = 0; i < 12 * 6; i++) { /* for twelve minutes */
        pass(10000);
        ping(&w, &attempt, 1);
    }
    pass(22000);
    assert_waits("job 0 on worker w, since 12 min, lease 8 s left");
    hd_core_waits(core, 0, now_ms, now_ms, &waits);
    assert_true(waits.running && waits.job == 0 && waits.lease_left_ms == 8000);
    assert_string_equal(waits.worker, "w");
    assert_int_equal(waits.since_ms, 742000);
    step((struct hd_event){.kind = HD_EVENT_DISCONNECT, .connection = w.incarnation});
    assert_waits("lease 8 s left (it cannot be reached)");
    /* The older one, and how many others there are. */
    v.incarnation = 2;
    hello(&v, NULL, 0);
    lease(&v);
    assert_waits("job 0 on worker w");
    assert_waits("; 1 more run");
}

/* Nothing runs: the reason is what a person would look for. */
static void a_run_says_why_nothing_of_it_runs(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":3}");
    assert_waits("a worker: none is here");
    hello(&w, NULL, 0);
    assert_waits("one of 1 workers, which are busy or have not asked yet");
    order(HD_COMMAND_PAUSE_WORKER, "w", 0, NULL);
    assert_waits("of 1 here none may take its jobs (1 paused)");
    order(HD_COMMAND_RESUME_WORKER, "w", 0, NULL);
    pass(60000);
    assert_waits("of 1 here none may take its jobs (1 not to be reached)");
    command(HD_COMMAND_PAUSE_RUN, 0);
    assert_waits("hd resume r: it is paused");
    command(HD_COMMAND_CANCEL_RUN, 0);
    assert_waits("");
}

/* A failure is waited out: the person sees how long. */
static void a_back_off_is_told_with_its_end(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":1}");
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    report(&w, attempt, HD_OUTCOME_INFRA, (double)NAN);
    assert_waits("job 0, which a worker failed and which may go again in 1 s");
}

/* --min-workers holds everything back until so many are there. */
static void too_few_workers_are_counted(void **state)
{
    (void)state;
    open_core((struct hd_core_options){.min_workers = 2});
    start("\"stop\":{\"jobs\":1}");
    hello(&w, NULL, 0);
    assert_null(answer_to(poll(&w)));
    assert_waits("more workers: 1 of 2 are here (--min-workers)");
}

static void a_quarantine_is_told_with_its_reason(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":9}");
    hello(&w, NULL, 0);
    v.incarnation = 2; /* another one is here, or the run would pause */
    hello(&v, NULL, 0);
    for (int i = 0; i < 3; i++)
        report(&w, lease(&w), HD_OUTCOME_INFRA, (double)NAN);
    assert_int_equal(worker_view("w").state, HD_WORKER_QUARANTINED);
    pass(60000);
    assert_waits("of 2 here none may take its jobs (1 quarantined, 1 not to be reached); w: 3 ");
    assert_waits("(hd workers resume)");
}

/* ---- GPUs ------------------------------------------------------------------------------------ */

/* A run says what it needs and what there is; the worker that has enough gets its jobs. */
static void jobs_go_where_their_gpus_are(void **state)
{
    (void)state;
    gpus_of_jobs = 2;
    start("\"stop\":{\"jobs\":9}");
    gpus_of_jobs = 0;
    w.gpus = 1;
    hello(&w, NULL, 0);
    assert_null(answer_to(poll(&w)));
    assert_waits("of 1 here none may take its jobs (1 with too few GPUs: its jobs need 2, the most "
                 "here is 1)");
    v.incarnation = 2;
    v.gpus = 2;
    hello(&v, NULL, 0);
    lease(&v);
    assert_int_equal(worker_view("v").gpus_used, 2);
    v.gpus = w.gpus = 0;
}

/* A job that needs data sets goes to a worker that has them all, and the run says which one is
 * missing; a name that only begins alike is another one. */
static void jobs_go_where_their_data_is(void **state)
{
    (void)state;
    data_of_jobs = "[\"mnist\",\"cifar\"]";
    start("\"stop\":{\"jobs\":9}");
    data_of_jobs = "null";
    w.data = "mnist,cifar2,xcifar";
    hello(&w, NULL, 0);
    assert_null(answer_to(poll(&w)));
    assert_waits("of 1 here none may take its jobs (1 without the data set cifar: give it --data "
                 "cifar=PATH)");
    v.incarnation = 2;
    v.data = "cifar,mnist";
    hello(&v, NULL, 0);
    lease(&v);
    v.data = w.data = NULL;
}

/* More slots than GPUs: the other slots are for others, until a job gives its GPUs back. */
static void no_gpu_is_given_twice(void **state)
{
    (void)state;
    gpus_of_jobs = 2;
    start("\"stop\":{\"jobs\":9}");
    gpus_of_jobs = 0;
    w.gpus = 3;
    hello(&w, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    uint64_t address = poll(&w);
    assert_null(answer_to(address));
    assert_answer(submit("cpu", RUN_UID + 1, "\"stop\":{\"jobs\":1}"), HD_REPLY_OK);
    assert_answer(address, HD_REPLY_LEASE);
    assert_true(answer_to(address)->lease.attempt.run_uid == RUN_UID + 1);
    address = poll(&w);
    assert_null(answer_to(address));
    report(&w, attempt, HD_OUTCOME_OK, 1);
    assert_int_equal(worker_view("w").gpus_used, 2); /* by the next one */
    assert_answer(address, HD_REPLY_LEASE);
    w.gpus = 0;
}

/* ---- tests of workers ------------------------------------------------------------------------ */

static uint64_t test(const char *subject, uint64_t echo)
{
    struct hd_request request = blank();
    request.kind = HD_REQUEST_TEST;
    request.subject = subject;
    request.echo = echo;
    return post(&request, 0);
}

static uint64_t echo(struct worker *worker, uint64_t number, bool unfit, const char *about)
{
    struct hd_request request = from(worker, HD_REQUEST_PING, HD_LANE_CONTROL, ++worker->control);
    request.echo = number;
    request.unfit = unfit;
    request.about = about;
    return post(&request, worker->incarnation);
}

static struct hd_test_view tested(const char *id, uint64_t number)
{
    struct hd_test_view view = {.answered = false};
    for (uint32_t i = 0; i < hd_core_worker_count(core); i++) {
        struct hd_worker_view worker;
        if (hd_core_view_worker(core, i, &worker) && hd_streq(worker.id, id))
            assert_true(hd_core_view_test(core, i, number, &view));
    }
    return view;
}

/* A worker that waits hears at once, a busy one at its next ping; what it says is seen with its
 * time; and nothing of it is a fact. */
static void a_test_reaches_every_worker_and_is_no_fact(void **state)
{
    (void)state;
    start("\"stop\":{\"jobs\":1}");
    hello(&w, NULL, 0);
    hello(&v, NULL, 0);
    struct hd_attempt_ref attempt = lease(&w);
    uint64_t parked = poll(&v);
    assert_null(answer_to(parked));
    uint64_t seq = hd_core_last_seq(core);
    assert_answer(test("", 7), HD_REPLY_OK);
    assert_answer(parked, HD_REPLY_NOTHING);
    assert_true(answer_to(parked)->echo == 7);
    assert_true(answer_to(ping(&w, &attempt, 1))->echo == 7);
    assert_false(tested("v", 7).answered);
    now_ms += 30;
    uint64_t answered = echo(&v, 7, true, "no engine");
    assert_true(answer_to(answered)->echo == 0);
    assert_true(tested("v", 7).answered && tested("v", 7).unfit);
    assert_int_equal(tested("v", 7).took_ms, 30);
    assert_string_equal(tested("v", 7).about, "no engine");
    assert_false(tested("w", 7).answered);
    assert_true(hd_core_last_seq(core) == seq);
}

/* Several people test at a time: each of them is answered, the first one first, by what was said to
 * them and once. */
static void every_test_is_answered_once(void **state)
{
    (void)state;
    hello(&w, NULL, 0);
    assert_answer(test("w", 7), HD_REPLY_OK);
    assert_answer(test("w", 8), HD_REPLY_OK);
    uint64_t answered = echo(&w, 7, false, "first");
    assert_true(answer_to(answered)->echo == 8);
    assert_true(tested("w", 7).answered && !tested("w", 8).answered);
    assert_string_equal(tested("w", 8).about, "");
    now_ms += 50;
    echo(&w, 8, false, "second");
    assert_true(tested("w", 7).answered && tested("w", 8).answered);
    now_ms += 50;
    echo(&w, 8, true, "again");
    assert_string_equal(tested("w", 8).about, "second");
    assert_int_equal(tested("w", 7).took_ms, 0);
    assert_int_equal(tested("w", 8).took_ms, 50);
    assert_answer(test("nobody", 9), HD_REPLY_REFUSED);
    assert_answer(test("w", 0), HD_REPLY_REFUSED);
}

/* A request that arrives twice, or names a worker twice, asks once: the worker has answered. */
static void a_test_that_comes_twice_stays_answered(void **state)
{
    (void)state;
    hello(&w, NULL, 0);
    assert_answer(test("w", 7), HD_REPLY_OK);
    echo(&w, 7, false, "well");
    assert_answer(test("w", 7), HD_REPLY_OK);
    assert_true(tested("w", 7).answered);
}

/* The oldest of too many tests is forgotten, and the worker goes on with the next. */
static void old_tests_make_room(void **state)
{
    (void)state;
    struct hd_test_view view;
    hello(&w, NULL, 0);
    for (uint64_t number = 1; number <= HD_TESTS_MAX + 1; number++)
        assert_answer(test("w", number), HD_REPLY_OK);
    for (uint32_t i = 0; i < hd_core_worker_count(core); i++)
        assert_false(hd_core_view_test(core, i, 1, &view));
    assert_true(answer_to(echo(&w, 1, false, "late"))->echo == 2);
    assert_true(answer_to(echo(&w, 2, false, "well"))->echo == 3);
    assert_true(tested("w", 2).answered && !tested("w", HD_TESTS_MAX + 1).answered);
}

/* What is read in parts is read whole: a worker keeps its place when others leave. */
static void a_worker_keeps_its_place(void **state)
{
    (void)state;
    struct hd_worker_view before, after;
    struct hd_test_view view;
    hello(&w, NULL, 0);
    hello(&v, NULL, 0);
    assert_answer(test("", 7), HD_REPLY_OK);
    uint32_t count = hd_core_worker_count(core), last = count - 1;
    assert_true(hd_core_view_worker(core, 0, &before) && hd_core_view_test(core, 0, 7, &view));
    assert_true(hd_core_view_worker(core, last, &before));
    struct worker *leaver = hd_streq(before.id, w.id) ? &v : &w;
    struct hd_request bye = from(leaver, HD_REQUEST_BYE, HD_LANE_CONTROL, ++leaver->control);
    assert_answer(post(&bye, leaver->incarnation), HD_REPLY_OK);
    assert_int_equal(hd_core_worker_count(core), count);
    assert_true(hd_core_view_worker(core, last, &after) && hd_streq(after.id, before.id));
    assert_false(hd_core_view_worker(core, 0, &after) || hd_core_view_test(core, 0, 7, &view));
}

#define WITH_CORE(test) cmocka_unit_test_setup_teardown(test, two_workers, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CORE(a_run_names_the_job_and_the_worker_it_waits_for),
        WITH_CORE(a_run_says_why_nothing_of_it_runs),
        WITH_CORE(a_back_off_is_told_with_its_end),
        WITH_CORE(too_few_workers_are_counted),
        WITH_CORE(a_quarantine_is_told_with_its_reason),
        WITH_CORE(jobs_go_where_their_data_is),
        WITH_CORE(jobs_go_where_their_gpus_are),
        WITH_CORE(no_gpu_is_given_twice),
        WITH_CORE(a_test_reaches_every_worker_and_is_no_fact),
        WITH_CORE(every_test_is_answered_once),
        WITH_CORE(a_test_that_comes_twice_stays_answered),
        WITH_CORE(old_tests_make_room),
        WITH_CORE(a_worker_keeps_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
