/* SPDX-License-Identifier: Apache-2.0 */
/* Work directories of which the master has a copy, and those that nobody needs any more. */
#include "core_world.h"

static struct worker a = {.id = "a", .root = "disk-a", .incarnation = 1};
static struct worker b = {.id = "b", .root = "disk-b", .incarnation = 2};
static struct worker c = {.id = "c", .root = "disk-c", .incarnation = 3};

#define THREE_THEN_ONE                                                                             \
    "\"iteration_generator\":{\"name\":\"successive_halving\",\"brackets\":[[[3,1],[1,2]]]},"      \
    "\"budget\":{\"min\":1,\"max\":2},\"holder_wait\":\"20s\",\"stop\":{\"iterations\":1}"

static void fresh_workers(void)
{
    a = (struct worker){.id = "a", .root = "disk-a", .incarnation = 1};
    b = (struct worker){.id = "b", .root = "disk-b", .incarnation = 2};
    c = (struct worker){.id = "c", .root = "disk-c", .incarnation = 3};
}

static int fresh_world(void **state)
{
    fresh_workers();
    return setup(state);
}

static void shelve(struct hd_attempt_ref attempt)
{
    step((struct hd_event){.kind = HD_EVENT_SHELVED, .attempt = attempt});
    settle();
}

/* Each worker has evaluated one config at the lowest budget; a's is the best, and c's result comes
 * last, when `then` has happened. */
static struct hd_attempt_ref evaluate(const char *more, void (*then)(struct hd_attempt_ref of_a))
{
    start(more);
    struct worker *all[] = {&a, &b, &c};
    struct hd_attempt_ref attempts[3];
    for (size_t i = 0; i < HD_COUNT(all); i++)
        hello(all[i], NULL, 0);
    for (size_t i = 0; i < HD_COUNT(all); i++)
        attempts[i] = lease(all[i]);
    report(&a, attempts[0], HD_OUTCOME_OK, 0.1);
    report(&b, attempts[1], HD_OUTCOME_OK, 0.5);
    if (then != NULL)
        then(attempts[0]);
    report(&c, attempts[2], HD_OUTCOME_OK, 0.9);
    return attempts[0];
}

/* Without a copy a promoted config waits for the worker that has its directory; with one it goes to
 * whoever is free, with what the directory holds. */
static void a_copy_goes_to_whoever_is_free(void **state)
{
    (void)state;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    uint64_t address = poll(&b);
    assert_null(answer_to(address));
    shelve(first);
    assert_answer(address, HD_REPLY_LEASE);
    const struct hd_lease *given = &answer_to(address)->lease;
    assert_string_equal(given->root, "disk-a");
    assert_true(given->budget_previous >= 1 && given->budget_previous <= 1);
    assert_true(noted("its directory travels there"));
    assert_true(last_facts[HD_FACT_ATTEMPT_LEASED].as.attempt_leased.budget_previous >= 1);
}

static void both_wait(struct hd_attempt_ref of_a)
{
    shelve(of_a);
    poll(&b);
    poll(&a);
}

/* Nothing travels when the holder waits too, even when another has waited for longer. */
static void a_holder_that_waits_comes_first(void **state)
{
    (void)state;
    evaluate(THREE_THEN_ONE, both_wait);
    assert_string_equal(job_view(3).worker, "a");
}

/* Whoever runs the attempt that goes on from a directory is given that one, and nobody else is. */
static void a_copy_is_lent_to_its_attempt(void **state)
{
    (void)state;
    uint32_t config;
    struct hd_attempt_ref left;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    assert_false(hd_core_lends_checkpoint(core, first, &config, &left)); /* it is over */
    shelve(first);
    struct hd_attempt_ref leased = lease(&b);
    assert_int_equal(leased.job, 3);
    assert_true(hd_core_lends_checkpoint(core, leased, &config, &left));
    assert_int_equal(config, 0);
    assert_int_equal(left.job, first.job);
    assert_int_equal(left.attempt, first.attempt);
    leased.attempt++;
    assert_false(hd_core_lends_checkpoint(core, leased, &config, &left));
    leased.job = 9;
    assert_false(hd_core_lends_checkpoint(core, leased, &config, &left));
}

/* The answer to a report asks for the directory when somebody else might have to go on with it, and
 * the same report again is answered the same; an answer that waits for a job says so as well. */
static void a_report_is_answered_with_what_is_wanted(void **state)
{
    (void)state;
    evaluate(THREE_THEN_ONE, NULL);
    assert_int_equal(inbox[inbox_count - 1].kind, HD_REPLY_OK);
    assert_int_equal(inbox[inbox_count - 1].wanted, HD_WANTED_STATE);
    report(&a, lease(&a), HD_OUTCOME_OK, 0.1);
    assert_int_equal(inbox[inbox_count - 1].wanted, HD_WANTED_FILES); /* at its highest budget */
    open_core((struct hd_core_options){.no_copies = true});
    fresh_workers();
    evaluate(THREE_THEN_ONE, NULL);
    assert_int_equal(inbox[inbox_count - 1].wanted, 0);
}

/* A job whose worker lost it goes to another one, and begins with the copy instead of from the
 * start. */
static void a_lost_job_goes_on_from_the_copy(void **state)
{
    (void)state;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    shelve(first);
    assert_int_equal(lease(&a).job, 3);
    uint64_t address = poll(&b);
    assert_null(answer_to(address));
    a.incarnation = 9;
    a.control = a.lease = a.report = 0;
    hello(&a, NULL, 0); /* started again, without the attempt */
    assert_answer(address, HD_REPLY_LEASE);
    const struct hd_lease *given = &answer_to(address)->lease;
    assert_int_equal(given->attempt.attempt, 2);
    assert_string_equal(given->root, "disk-a");
    assert_true(given->budget_previous >= 1);
}

/* A copy of a state that has been gone on from since is none, and nobody asks for one. */
static void an_old_copy_is_none(void **state)
{
    (void)state;
    uint32_t config;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    assert_true(hd_core_wants_checkpoint(core, first, &config));
    assert_int_equal(config, 0);
    assert_true(hd_core_keeps_checkpoint(core, first));
    struct hd_attempt_ref promoted = lease(&a);
    report(&a, promoted, HD_OUTCOME_PREEMPTED, (double)NAN);
    assert_false(hd_core_wants_checkpoint(core, first, &config));
    assert_false(hd_core_keeps_checkpoint(core, first));
    assert_true(hd_core_wants_checkpoint(core, promoted, &config));
    shelve(first);
    uint64_t address = poll(&b);
    assert_null(answer_to(address));
    shelve(promoted);
    /* It was preempted: a may have more, and has 20 seconds to come back for it. */
    assert_null(answer_to(address));
    pass(19000);
    address = poll(&b);
    pass(2000);
    assert_answer(address, HD_REPLY_LEASE);
}

/* Nothing is copied that nobody could want: all on one disk, a file that says stay, a config at its
 * highest budget, a run that is over or unknown. */
static void only_what_may_be_wanted_is_copied(void **state)
{
    (void)state;
    uint32_t config;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE ",\"checkpoints\":\"stay\"", NULL);
    assert_false(hd_core_wants_checkpoint(core, first, &config));
    teardown(state);
    fresh_world(state);
    b.root = c.root = a.root;
    first = evaluate(THREE_THEN_ONE, NULL);
    assert_false(hd_core_wants_checkpoint(core, first, &config));
    teardown(state);
    fresh_world(state);
    first = evaluate(THREE_THEN_ONE, NULL);
    struct hd_attempt_ref last = lease(&a), strange = first;
    strange.run_uid++;
    assert_false(hd_core_wants_checkpoint(core, strange, &config));
    report(&a, last, HD_OUTCOME_OK, 0.1);
    assert_false(hd_core_wants_checkpoint(core, last, &config));
    assert_false(hd_core_keeps_checkpoint(core, last));
}

/* The jobs whose directories a ping asks for, in their order: "", "3", "0 3". */
static void assert_offers(struct worker *worker, const char *jobs)
{
    char text[256] = "";
    const struct hd_reply *reply = answer_to(ping(worker, NULL, 0));
    for (size_t i = 0; i < reply->command_count; i++) {
        char name[16];
        if (reply->commands[i].action != HD_ACTION_OFFER)
            continue;
        assert_true(reply->commands[i].attempt.attempt == 1);
        assert_true(hd_format(name, sizeof(name), "%s%u", text[0] != '\0' ? " " : "",
                              reply->commands[i].attempt.job));
        strncat(text, name, sizeof(text) - strlen(text) - 1);
    }
    assert_string_equal(text, jobs);
}

static void start_again(struct worker *worker)
{
    worker->incarnation += 10;
    worker->control = worker->lease = worker->report = 0;
    hello(worker, NULL, 0);
}

/* A state that nobody else could need when it was reported is asked for when a worker of another
 * disk has come, once, and then it goes there as if it had been sent at once. */
static void who_joins_later_gets_earlier_states(void **state)
{
    (void)state;
    struct worker late = {.id = "late", .root = "disk-late", .incarnation = 4};
    b.root = c.root = a.root;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    assert_offers(&a, "");
    hello(&late, NULL, 0);
    assert_offers(&a, "0");
    assert_offers(&a, "");
    assert_offers(&b, "1");
    assert_offers(&late, "");
    uint64_t address = poll(&late);
    assert_null(answer_to(address));
    shelve(first);
    assert_answer(address, HD_REPLY_LEASE);
    assert_string_equal(answer_to(address)->lease.root, "disk-a");
}

/* What did not come is asked for again by and by, and at once of a worker that was started again:
 * it has forgotten what it was sending. */
static void what_did_not_come_is_asked_for_again(void **state)
{
    (void)state;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    assert_offers(&a, ""); /* the answer to its report has asked */
    pass(599000);
    hello(&a, NULL, 0);
    assert_offers(&a, "");
    pass(2000);
    assert_offers(&a, "0");
    assert_offers(&a, "");
    start_again(&a);
    pass(61000);
    assert_offers(&a, "0");
    shelve(first);
    start_again(&a);
    pass(61000);
    assert_offers(&a, "");
}

/* A copy that turns out to be damaged is none: the config waits for its holder, who is asked for
 * another one at once. */
static void a_damaged_copy_is_asked_for_again(void **state)
{
    (void)state;
    struct hd_attempt_ref first = evaluate(THREE_THEN_ONE, NULL);
    shelve(first);
    step((struct hd_event){.kind = HD_EVENT_UNSHELVED, .attempt = {RUN_UID, 1, 1, 0}});
    assert_offers(&a, "");
    step((struct hd_event){.kind = HD_EVENT_UNSHELVED, .attempt = first});
    uint64_t address = poll(&b);
    assert_null(answer_to(address));
    assert_offers(&a, "0");
    shelve(first);
    assert_answer(address, HD_REPLY_LEASE);
}

/* A directory that an attempt goes on in is not what was left, nor is one of a run that takes no
 * copies. */
static void what_is_gone_on_with_is_not_asked_for(void **state)
{
    (void)state;
    evaluate(THREE_THEN_ONE, NULL);
    assert_int_equal(lease(&a).job, 3);
    start_again(&a); /* without the attempt: its job is queued again, and its directory was used */
    assert_offers(&a, "");
    start_again(&b);
    assert_offers(&b, "1");
    teardown(state);
    fresh_world(state);
    evaluate(THREE_THEN_ONE ",\"checkpoints\":\"stay\"", NULL);
    start_again(&a);
    assert_offers(&a, "");
    open_core((struct hd_core_options){.no_copies = true});
    fresh_workers();
    evaluate(THREE_THEN_ONE, NULL);
    start_again(&a);
    assert_offers(&a, "");
}

#define TEN_THEN_ONE                                                                               \
    "\"iteration_generator\":{\"name\":\"successive_halving\",\"brackets\":[[[10,1],[1,2]]]},"     \
    "\"budget\":{\"min\":1,\"max\":2},\"holder_wait\":\"20s\",\"stop\":{\"iterations\":1}"

/* A worker has a few to send at a time, first those that somebody waits for. */
static void a_few_are_asked_for_at_a_time(void **state)
{
    (void)state;
    struct hd_attempt_ref attempts[10];
    start(TEN_THEN_ONE);
    hello(&a, NULL, 0);
    for (size_t i = 0; i < HD_COUNT(attempts); i++) {
        attempts[i] = lease(&a);
        report(&a, attempts[i], HD_OUTCOME_OK, i == 7 ? 0.1 : 0.5);
    }
    hello(&b, NULL, 0);
    uint64_t address = poll(&b); /* there is a job, for which it waits */
    assert_null(answer_to(address));
    assert_offers(&a, "7 0 1 2");
    assert_offers(&a, "");
    shelve(attempts[0]);
    shelve(attempts[2]);
    assert_offers(&a, "3 4");
    pass(61000);
    hello(&a, NULL, 0);
    assert_offers(&a, "5 6 8 9");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fresh_world, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_copy_goes_to_whoever_is_free),       TEST(a_holder_that_waits_comes_first),
        TEST(a_copy_is_lent_to_its_attempt),        TEST(a_report_is_answered_with_what_is_wanted),
        TEST(a_lost_job_goes_on_from_the_copy),     TEST(an_old_copy_is_none),
        TEST(only_what_may_be_wanted_is_copied),    TEST(who_joins_later_gets_earlier_states),
        TEST(what_did_not_come_is_asked_for_again), TEST(what_is_gone_on_with_is_not_asked_for),
        TEST(a_few_are_asked_for_at_a_time),        TEST(a_damaged_copy_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
