/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short simulated stories, each compared with a stored trace that tells reasons. A story is a plan
 * written by hand: exact times, one fault or two. UPDATE_GOLDEN=1 writes the traces anew; read the
 * difference before you commit it.
 */
#include "testlib.h"

#include <math.h>
#include <sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "{\"x\":{\"type\":\"float\",\"low\":0,\"high\":1}}"

/* ---- plans ------------------------------------------------------------------------------------
 */

static const double losses[] = {0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875, 0.3125};

/* One run, successive halving 1..2 with eta 2 (two configs, then the better one), no weather. */
static void begin(struct sim_plan *plan, uint32_t worker_count)
{
    memset(plan, 0, sizeof(*plan));
    plan->story = true;
    plan->climate.delay_min_ms = plan->climate.delay_max_ms = 5;
    plan->climate.storm_ms = 3600000;
    plan->master_count = 1;
    plan->worker_count = worker_count;
    for (uint32_t w = 0; w < worker_count; w++)
        plan->workers[w] = (struct sim_worker_plan){.slots = 1, .root = w};
    plan->run_count = 1;
    plan->runs[0] = (struct sim_run_plan){
        .run_id = "digits",
        .run_uid = 7,
        .seed = 1,
        .eta = 2,
        .budget_min = 1,
        .budget_max = 2,
        .iterations = 1,
        .retries_infra = 2,
        .pause_after = 5,
        .base_ms = 1000,
        .per_budget_ms = 4000,
        .losses = losses,
        .loss_count = HD_COUNT(losses),
    };
}

static void finish(struct sim_plan *plan)
{
    for (uint32_t r = 0; r < plan->run_count; r++)
        sim_run_plan_write(&plan->runs[r], "random", SPACE);
}

static void script(struct sim_plan *plan, int64_t at_ms, enum sim_fault fault, uint32_t who,
                   int64_t for_ms)
{
    assert_true(plan->script_count < SIM_SCRIPT_MAX);
    plan->script[plan->script_count++] =
        (struct sim_script_line){.at_ms = at_ms, .fault = fault, .who = who, .for_ms = for_ms};
}

static void ends(struct sim_run_plan *run, uint32_t job, uint32_t attempt, enum hd_outcome outcome)
{
    assert_true(run->end_count < SIM_ENDS_MAX);
    run->ends[run->end_count].job = job;
    run->ends[run->end_count].attempt = attempt;
    run->ends[run->end_count++].outcome = outcome;
}

/* As `full`: configs at one budget, one after another. */
static void full(struct sim_run_plan *run, uint32_t configs)
{
    run->full = true;
    run->iterations = configs;
    run->budget_max = run->budget_min;
}

/* ---- stories ------------------------------------------------------------------------------------
 */

static void halving(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].budget_max = 4;
}

static void worker_dies(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].base_ms = 20000;
    script(plan, 8000, SIM_FAULT_WORKER_REBOOT, 0, 120000);
}

static void freeze_and_return(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].base_ms = 20000;
    script(plan, 8000, SIM_FAULT_WORKER_STALL, 0, 70000);
}

static void slept_through(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].base_ms = 20000;
    script(plan, 26, SIM_FAULT_WORKER_STALL, 0, 70000); /* the answer to its poll is on the way */
}

static void killed_worker_adopts(struct sim_plan *plan)
{
    begin(plan, 1);
    plan->runs[0].base_ms = 20000;
    script(plan, 8000, SIM_FAULT_WORKER_CRASH, 0, 3000);
    script(plan, 30000, SIM_FAULT_WORKER_CRASH, 0, 24000);
}

static void master_dies_after_commit(struct sim_plan *plan)
{
    begin(plan, 1);
    script(plan, 3000, SIM_FAULT_CRASH_AFTER_COMMIT, 0, -1);
    plan->climate.down_max_ms = 100; /* the shortest */
}

static void master_dies_after_lease(struct sim_plan *plan)
{
    begin(plan, 1);
    script(plan, 5070, SIM_FAULT_CRASH_AFTER_COMMIT, 0, -1);
    plan->climate.down_max_ms = 100;
}

static void lost_lease_reply(struct sim_plan *plan)
{
    begin(plan, 1);
    script(plan, 0, SIM_FAULT_MESSAGE_DROP, 0, 0);
}

static void repeated_poll(struct sim_plan *plan)
{
    begin(plan, 1);
    full(&plan->runs[0], 2);
    plan->runs[0].submit_ms = 25000; /* the first poll ends without a job, and comes again */
    script(plan, 0, SIM_FAULT_MESSAGE_DUPLICATE, 0, 26000);
    script(plan, 20010, SIM_FAULT_WORKER_STALL, 0, 10000);
}

static void preempted(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].base_ms = 20000;
    script(plan, 8000, SIM_FAULT_WORKER_LEAVE, 0, -1);
}

/* The target keeps its state: another worker on the same disk goes on with it. */
static void preempted_goes_on(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 1);
    plan->workers[1].root = 0;
    plan->workers[1].start_ms = 9000;
    plan->runs[0].base_ms = 1000;
    plan->runs[0].per_budget_ms = 20000;
    plan->runs[0].checkpoint = true;
    script(plan, 8000, SIM_FAULT_WORKER_NOTICE, 0, 6000);
}

/* Its three seconds would end in the middle of a job that takes five. */
static void knows_its_end(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 3);
    plan->workers[1].start_ms = 6000;
    plan->workers[1].life_mean_ms = 8000;
    plan->workers[1].knows_end = true;
    plan->workers[1].grace_ms = 1000;
}

static void failures_pause(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 20);
    plan->runs[0].failing_permille = 1000;
}

static void goal_reached(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 20);
    plan->runs[0].has_goal = true;
    plan->runs[0].goal = 0.2;
    plan->workers[0].start_ms = 2000;
}

static void holder_returns(struct sim_plan *plan)
{
    begin(plan, 2);
    /* w1 has the better config; it sleeps when the promotion is decided, and wakes in time */
    plan->runs[0].per_budget_ms = 0;
    plan->runs[0].retries_failed = 1;
    ends(&plan->runs[0], 0, 1, HD_OUTCOME_FAILED);
    script(plan, 1500, SIM_FAULT_WORKER_STALL, 1, 9000);
}

static void holder_stays_away(struct sim_plan *plan)
{
    holder_returns(plan);
    plan->script[0].for_ms = 60000;
}

static void honest_after_failure(struct sim_plan *plan)
{
    holder_stays_away(plan);
    plan->runs[0].retries_failed = 1;
    ends(&plan->runs[0], 2, 2, HD_OUTCOME_FAILED);
}

static void retries_exhausted(struct sim_plan *plan)
{
    begin(plan, 1);
    full(&plan->runs[0], 1);
    plan->runs[0].retries_failed = 2;
    plan->runs[0].failing_permille = 1000;
}

static void noisy(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 12);
    plan->runs[0].repeats = 3;
    plan->runs[0].share = 0.4;
    script(plan, 22000, SIM_FAULT_WORKER_REBOOT, 0, 40000);
}

static void two_priorities(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->run_count = 2;
    plan->runs[1] = plan->runs[0];
    (void)hd_copy_text(plan->runs[1].run_id, sizeof(plan->runs[1].run_id), "urgent");
    plan->runs[1].run_uid = 8;
    plan->runs[1].priority = 1;
    plan->runs[1].submit_ms = 2000;
    plan->runs[0].submit_ms = 0;
}

static void disk_full(struct sim_plan *plan)
{
    begin(plan, 1);
    script(plan, 3000, SIM_FAULT_DISK_FULL, 0, 40000);
}

static void time_limit_over_restart(struct sim_plan *plan)
{
    begin(plan, 1);
    plan->runs[0].time_max_ms = 60000;
    script(plan, 3000, SIM_FAULT_MASTER_CRASH, 0, 100000);
}

static void person_pauses(struct sim_plan *plan)
{
    begin(plan, 1);
    script(plan, 3000, SIM_FAULT_PERSON_PAUSE, 0, 0);
    script(plan, 20000, SIM_FAULT_PERSON_RESUME, 0, 0);
    script(plan, 22000, SIM_FAULT_PERSON_CANCEL_RUN, 0, 0);
}

static void stopped_early(struct sim_plan *plan)
{
    begin(plan, 2);
    plan->runs[0].asha = SIM_ASHA_STOPPING;
    plan->runs[0].budget_max = 4;
    plan->runs[0].per_budget_ms = 10000;
    plan->runs[0].curves = true;
}

static void stopped_and_lost(struct sim_plan *plan)
{
    stopped_early(plan);
    script(plan, 55100, SIM_FAULT_WORKER_REBOOT, 0, 120000);
    script(plan, 55100, SIM_FAULT_WORKER_REBOOT, 1, 120000);
}

/* Both wait when the back-off is over; the one that failed it asked first. */
static void leaver_failed_it(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 1);
    plan->runs[0].no_holder_wait = true;
    plan->workers[0].life_mean_ms = 3600000;
    plan->workers[0].knows_end = true;
    plan->workers[0].grace_ms = 1000;
    plan->workers[1].start_ms = 5500;
    ends(&plan->runs[0], 0, 1, HD_OUTCOME_INFRA);
}

/* Its process is killed while the target runs on; a clone of the machine reports for it. */
static void clone_reports(struct sim_plan *plan)
{
    begin(plan, 2);
    full(&plan->runs[0], 2);
    plan->runs[0].base_ms = 60000;
    plan->runs[0].retries_infra = 0;
    plan->workers[1].twin = SIM_TWIN_COPY;
    plan->workers[1].twin_of = 0;
    plan->workers[1].root = SIM_WORKERS_MAX;
    plan->workers[1].start_ms = 6000;
    script(plan, 5000, SIM_FAULT_WORKER_CRASH, 0, 10000);
}

static const struct story {
    const char *name;
    const char *promise;
    void (*plan)(struct sim_plan *plan);
} stories[] = {
    {"halving", "four configs, two, one: the better ones go on in their directories", halving},
    {"worker-dies", "a dead worker costs one lease, then its job runs elsewhere", worker_dies},
    {"freeze-and-return", "a worker that returns late is heard, and changes nothing",
     freeze_and_return},
    {"slept-through", "a lease that was slept through is not begun", slept_through},
    {"killed-worker-adopts", "a worker that was killed adopts its container, then harvests one",
     killed_worker_adopts},
    {"master-dies-after-commit", "what was committed and not spoken is spoken after the restart",
     master_dies_after_commit},
    {"master-dies-after-lease", "a lease that was committed and not spoken goes to who asked again",
     master_dies_after_lease},
    {"lost-lease-reply", "a lease request that is sent again gets the same job", lost_lease_reply},
    {"repeated-poll", "a poll that was answered and arrives again gets no job: nobody would run it",
     repeated_poll},
    {"preempted", "a worker that is told to leave gives its job back, uncharged", preempted},
    {"preempted-goes-on",
     "a target that was asked to stop in time is gone on with by the next worker",
     preempted_goes_on},
    {"knows-its-end", "a worker that leaves soon takes no job that it cannot finish",
     knows_its_end},
    {"failures-pause", "five failures without a success pause the run", failures_pause},
    {"goal-reached", "a reached goal ends the run and what still runs", goal_reached},
    {"holder-returns", "a promotion waits for the worker that has the directory", holder_returns},
    {"holder-stays-away", "but not for ever: then it starts elsewhere, and says so",
     holder_stays_away},
    {"honest-after-failure",
     "what began from the start and failed is not called a continuation when it is tried again",
     honest_after_failure},
    {"retries-exhausted", "a job that fails is tried as often as the experiment says, then closed",
     retries_exhausted},
    {"two-priorities", "the more important run is served first", two_priorities},
    {"disk-full", "a commit that finds no space is held, nothing is said, no lease is lost",
     disk_full},
    {"time-limit-over-restart",
     "a time limit that passed while the master was down hands out "
     "nothing more",
     time_limit_over_restart},
    {"person-pauses", "pause lets the running job end, resume goes on, cancel ends all",
     person_pauses},
    {"stopped-early",
     "a job whose curve is not among the better ones is stopped, and its last loss kept",
     stopped_early},
    {"noisy",
     "a noisy target's best configs are evaluated again, with other seeds and from the start, and "
     "what is lost is tried again",
     noisy},
    {"leaver-failed-it",
     "what the infrastructure of one that leaves soon failed goes to the other one that waits",
     leaver_failed_it},
    {"clone-reports", "what a clone of the machine has reported is ended where it still runs",
     clone_reports},
    {"stopped-and-lost", "a job that was to be stopped is not tried again when its worker dies",
     stopped_and_lost},
};

/* ---- comparing
 * -------------------------------------------------------------------------------------- */

static char *tell(const struct story *story)
{
    static struct sim_plan plan;
    static struct sim_cover cover;
    char *text = NULL;
    size_t size = 0;
    struct sim_options options = {.trace = open_memstream(&text, &size), .trace_story = true};
    assert_non_null(options.trace);
    story->plan(&plan);
    finish(&plan);
    struct sim_memory *memory = sim_memory_new();
    struct sim_result result;
    sim_run(1, &plan, &options, memory, &cover, &result);
    sim_memory_free(memory);
    assert_int_equal(fclose(options.trace), 0);
    if (result.failed)
        fail_msg("%s\n%s: %s", text, result.checker, result.text);
    return text;
}

/* The first line that differs, both ways. */
static void show_difference(const char *expected, const char *got)
{
    size_t line = 1, begin = 0, at = 0;
    while (expected[at] == got[at] && expected[at] != '\0') {
        if (expected[at] == '\n') {
            line++;
            begin = at + 1;
        }
        at++;
    }
    fail_msg("line %zu\n  expected: %.*s\n  got:      %.*s", line,
             (int)strcspn(expected + begin, "\n"), expected + begin,
             (int)strcspn(got + begin, "\n"), got + begin);
}

static void a_story_is_told_as_stored(void **state)
{
    const struct story *story = *state;
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s.trace", getenv("GOLDEN_DIR"), story->name);
    char *got = tell(story);
    if (getenv("UPDATE_GOLDEN") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "# %s\n%s", story->promise, got);
        assert_int_equal(fclose(file), 0);
    }
    char *stored = test_file_read(path, NULL);
    const char *expected = strchr(stored, '\n'); /* after the promise */
    assert_non_null(expected);
    if (strcmp(expected + 1, got) != 0)
        show_difference(expected + 1, got);
    free(stored);
    free(got);
}

int main(void)
{
    struct CMUnitTest tests[HD_COUNT(stories)];
    if (getenv("GOLDEN_DIR") == NULL) {
        fprintf(stderr, "GOLDEN_DIR must name the directory of the traces\n");
        return 2;
    }
    for (size_t s = 0; s < HD_COUNT(stories); s++)
        tests[s] = (struct CMUnitTest){.name = stories[s].name,
                                       .test_func = a_story_is_told_as_stored,
                                       .initial_state = (void *)(uintptr_t)&stories[s]};
    return cmocka_run_group_tests_name("stories", tests, NULL, NULL);
}
