/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people ask a live master and no fact says: why a run waits, and which workers answer when
 * they are tested. Nothing of it lasts.
 */
#include "core_internal.h"

#include <string.h>

/* ---- tests of workers ------------------------------------------------------------------------ */

/* Its place; HD_TESTS_MAX: there is none. */
static size_t find_test(const struct worker *worker, uint64_t number)
{
    size_t place = 0;
    while (place < HD_TESTS_MAX && (number == 0 || worker->tests[place].number != number))
        place++;
    return place;
}

/* A request that comes twice asks once. The oldest test makes room: nobody waits for it any more,
 * or too many people test at a time. */
static void ask_worker(struct hd_core *core, struct worker *worker, uint64_t number)
{
    if (find_test(worker, number) < HD_TESTS_MAX)
        return;
    memmove(&worker->tests[0], &worker->tests[1], sizeof(worker->tests) - sizeof(worker->tests[0]));
    worker->tests[HD_TESTS_MAX - 1] = (struct test){.number = number, .asked_ms = core->now_ms};
    /* A poll that waits is answered with it; who is busy hears of it at its next ping. */
    if (worker->parked.active)
        worker->parked.deadline_ms = core->parked_expiry_ms = core->now_ms;
}

void core_handle_test(struct hd_core *core, const struct hd_event *event)
{
    const struct hd_request *request = event->request;
    const char *subject = request->subject != NULL ? request->subject : "";
    struct worker *only = subject[0] != '\0' ? core_find_worker(core, subject) : NULL;
    if (request->echo == 0) {
        core_refuse(core, event, HD_E_INVALID, "a test needs a number that is not 0");
        return;
    }
    if (subject[0] != '\0' && (only == NULL || !only->known)) {
        core_refuse(core, event, HD_E_NOTFOUND, "no worker named %s is here", subject);
        return;
    }
    for (uint32_t i = 0; i < core->worker_count; i++) {
        struct worker *worker = &core->workers[i];
        if (worker->known && (only == NULL || only == worker))
            ask_worker(core, worker, request->echo);
    }
    (void)core_reply(core, event->address, HD_REPLY_OK, request->lane, request->sequence);
}

uint64_t core_open_test(const struct worker *worker)
{
    for (size_t i = 0; i < HD_TESTS_MAX; i++)
        if (worker->tests[i].number != 0 && !worker->tests[i].answered)
            return worker->tests[i].number;
    return 0;
}

void core_take_doing(struct worker *worker, const struct hd_request *request)
{
    (void)hd_copy_text(worker->doing, sizeof(worker->doing),
                       request->doing != NULL ? request->doing : "");
}

void core_take_echo(struct hd_core *core, struct worker *worker, const struct hd_request *request)
{
    size_t place = find_test(worker, request->echo);
    if (place == HD_TESTS_MAX || worker->tests[place].answered)
        return;
    struct test *test = &worker->tests[place];
    test->answered = true;
    test->took_ms = core->now_ms - test->asked_ms;
    worker->unfit = request->unfit;
    (void)hd_copy_text(worker->about, sizeof(worker->about),
                       request->about != NULL ? request->about : "");
}

bool hd_core_view_test(const struct hd_core *core, uint32_t index, uint64_t number,
                       struct hd_test_view *ret_view)
{
    hd_assert(index < core->worker_count);
    const struct worker *worker = &core->workers[index];
    size_t place = find_test(worker, number);
    if (!worker->known || place == HD_TESTS_MAX)
        return false;
    const struct test *test = &worker->tests[place];
    *ret_view = (struct hd_test_view){
        .answered = test->answered,
        .unfit = test->answered && worker->unfit,
        .took_ms = test->took_ms,
        .about = test->answered ? worker->about : "",
    };
    return true;
}

/* ---- why a run waits ------------------------------------------------------------------------- */

struct moment {
    int64_t now_ms, wall_ms;
};

/* "8 s", "12 min", "3.5 h" */
static const char *span(int64_t ms, char text[32])
{
    int64_t seconds = ms > 0 ? ms / 1000 : 0;
    if (seconds < 120)
        (void)hd_format(text, 32, "%lld s", (long long)seconds);
    else if (seconds < 7200)
        (void)hd_format(text, 32, "%lld min", (long long)(seconds / 60));
    else
        (void)hd_format(text, 32, "%.1f h", (double)seconds / 3600);
    return text;
}

static void say_running(const struct hd_core *core, const struct run *run, struct moment moment,
                        struct hd_waits *waits)
{
    const struct live *oldest = &run->live[0];
    for (uint32_t i = 1; i < run->live_count; i++)
        if (run->live[i].leased_wall_ms < oldest->leased_wall_ms)
            oldest = &run->live[i];
    const struct worker *worker = &core->workers[oldest->worker];
    char since[32], left[32], others[48] = "";
    waits->running = true;
    waits->job = oldest->job;
    waits->worker = worker->id;
    waits->since_ms = moment.wall_ms - oldest->leased_wall_ms;
    waits->lease_left_ms = oldest->until_ms == HD_NEVER_MS ? 0 : oldest->until_ms - moment.now_ms;
    if (run->live_count > 1)
        (void)hd_format(others, sizeof(others), "; %u more run", run->live_count - 1);
    (void)hd_format(waits->text, sizeof(waits->text),
                    "job %u on worker %s%s%.120s, since %s, lease %s left%s%s", waits->job,
                    worker->id, worker->doing[0] != '\0' ? ", which is " : "", worker->doing,
                    span(waits->since_ms, since), span(waits->lease_left_ms, left),
                    worker->known && worker->reachable ? "" : " (it cannot be reached)", others);
}

/* What keeps the workers that are here from jobs of one run. */
struct crowd {
    uint32_t known, able, free;
    uint32_t quarantined, paused, leaving, excluded, silent, others, fewer_gpus, most_gpus;
    uint32_t no_data;
    const char *missing_data; /* the first data set that one of those does not have */
    uint32_t no_gpus;         /* of those that are free: their GPUs are taken */
    const struct worker *quarantined_one;
};

static void count_worker(const struct hd_core *core, const struct run *run, uint32_t index,
                         int64_t now_ms, struct crowd *crowd)
{
    const struct worker *worker = &core->workers[index];
    crowd->known++;
    if (worker->state == HD_WORKER_QUARANTINED) {
        crowd->quarantined++;
        crowd->quarantined_one = worker;
    } else if (worker->state == HD_WORKER_PAUSED) {
        crowd->paused++;
    } else if (worker->draining || worker->state != HD_WORKER_ACTIVE) {
        crowd->leaving++;
    } else if (core_is_excluded(run, index)) {
        crowd->excluded++;
    } else if (!worker->reachable || now_ms - worker->last_seen_ms >= run->experiment->lease_ms) {
        crowd->silent++;
    } else if (!core_serves(worker, run)) {
        crowd->others++;
    } else if (worker->gpus < core_gpus_needed(run)) {
        crowd->fewer_gpus++;
        crowd->most_gpus = worker->gpus > crowd->most_gpus ? worker->gpus : crowd->most_gpus;
    } else if (core_missing_data(run, worker) != NULL) {
        crowd->no_data++;
        if (crowd->missing_data == NULL)
            crowd->missing_data = core_missing_data(run, worker);
    } else {
        crowd->able++;
        crowd->free += worker->parked.active;
        crowd->no_gpus +=
            worker->parked.active && worker->gpus_used + core_gpus_needed(run) > worker->gpus;
    }
}

static void add_part(char *text, size_t size, uint32_t count, const char *what)
{
    size_t used = strlen(text);
    if (count > 0)
        (void)hd_format(text + used, size - used, "%s%u %s", used > 0 ? ", " : "", count, what);
}

static void say_nobody(const struct run *run, const struct crowd *crowd, struct hd_waits *waits)
{
    char parts[HD_REASON_MAX / 2] = "", gpus[96], data[128];
    add_part(parts, sizeof(parts), crowd->quarantined, "quarantined");
    add_part(parts, sizeof(parts), crowd->paused, "paused");
    add_part(parts, sizeof(parts), crowd->leaving, "leaving");
    add_part(parts, sizeof(parts), crowd->excluded, "not able to run its target");
    add_part(parts, sizeof(parts), crowd->silent, "not to be reached");
    add_part(parts, sizeof(parts), crowd->others, "for other runs only");
    (void)hd_format(gpus, sizeof(gpus), "with too few GPUs: its jobs need %u, the most here is %u",
                    core_gpus_needed(run), crowd->most_gpus);
    add_part(parts, sizeof(parts), crowd->fewer_gpus, gpus);
    const char *missing = crowd->missing_data != NULL ? crowd->missing_data : "";
    (void)hd_format(data, sizeof(data), "without the data set %.40s: give it --data %.40s=PATH",
                    missing, missing);
    add_part(parts, sizeof(parts), crowd->no_data, data);
    const struct worker *worker = crowd->quarantined_one;
    char why[HD_REASON_MAX / 2] = "";
    if (worker != NULL)
        (void)hd_format(why, sizeof(why), "; %.32s: %.60s (hd workers resume)", worker->id,
                        worker->reason);
    (void)hd_format(waits->text, sizeof(waits->text),
                    "a worker: of %u here none may take its jobs (%s)%s", crowd->known, parts, why);
}

/* Every queued job waits out a failure: until the first of them may go. */
static bool all_back_off(const struct run *run, int64_t now_ms, const struct queued **ret_first)
{
    const struct queued *first = NULL;
    for (uint32_t i = 0; i < run->queue_count; i++) {
        const struct queued *queued = &run->queue[i];
        if (queued->not_before_ms <= now_ms)
            return false;
        if (first == NULL || queued->not_before_ms < first->not_before_ms)
            first = queued;
    }
    *ret_first = first;
    return first != NULL;
}

static void say_idle(const struct hd_core *core, const struct run *run, const struct crowd *crowd,
                     int64_t now_ms, struct hd_waits *waits)
{
    const struct queued *first = NULL;
    char left[32];
    if (crowd->free > 0 && crowd->no_gpus == crowd->free)
        (void)hd_format(waits->text, sizeof(waits->text),
                        "%u free GPUs on one worker: jobs of other runs have them",
                        core_gpus_needed(run));
    else if (all_back_off(run, now_ms, &first))
        (void)hd_format(waits->text, sizeof(waits->text),
                        "job %u, which a worker failed and which may go again in %s", first->job,
                        span(first->not_before_ms - now_ms + 999, left));
    else if (crowd->free == 0)
        (void)hd_format(waits->text, sizeof(waits->text),
                        "one of %u workers, which are busy or have not asked yet", crowd->able);
    else if (run->unfit_since_ms != HD_NEVER_MS && run->queue_count > 0)
        (void)hd_format(waits->text, sizeof(waits->text),
                        "a worker that stays long enough for job %u: those here leave before",
                        run->queue[0].job);
    else if (run->asks_outstanding > 0)
        (void)hd_copy_text(waits->text, sizeof(waits->text),
                           "its sampler, which computes the next config");
    else if (run->queue_count > 0)
        (void)hd_format(waits->text, sizeof(waits->text),
                        "a better place for job %u: its directory's machine, or another worker "
                        "than the one that failed it",
                        run->queue[0].job);
    else if (core_limit_reached(run))
        (void)hd_copy_text(waits->text, sizeof(waits->text), "nothing: its limits are reached");
    else
        (void)hd_copy_text(waits->text, sizeof(waits->text), "the next request of a worker");
    (void)core;
}

void hd_core_waits(const struct hd_core *core, uint32_t run_number, int64_t now_ms, int64_t wall_ms,
                   struct hd_waits *ret_waits)
{
    hd_assert(run_number < core->run_count);
    const struct run *run = core->runs[run_number];
    struct crowd crowd = {0};
    *ret_waits = (struct hd_waits){.worker = ""};
    if (core_run_final(run))
        return;
    if (run->live_count > 0) {
        say_running(core, run, (struct moment){now_ms, wall_ms}, ret_waits);
        return;
    }
    if (run->state == HD_RUN_PAUSED) {
        (void)hd_format(ret_waits->text, sizeof(ret_waits->text), "hd resume %s: it is paused",
                        run->run_id);
        return;
    }
    for (uint32_t i = 0; i < core->worker_count; i++)
        if (core->workers[i].known)
            count_worker(core, run, i, now_ms, &crowd);
    if (crowd.known == 0)
        (void)hd_copy_text(ret_waits->text, sizeof(ret_waits->text),
                           "a worker: none is here, start hd-worker");
    else if (!core->enough_workers && crowd.known < core->options.min_workers)
        (void)hd_format(ret_waits->text, sizeof(ret_waits->text),
                        "more workers: %u of %u are here (--min-workers)", crowd.known,
                        core->options.min_workers);
    else if (crowd.able == 0)
        say_nobody(run, &crowd, ret_waits);
    else
        say_idle(core, run, &crowd, now_ms, ret_waits);
}
