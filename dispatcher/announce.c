/* SPDX-License-Identifier: Apache-2.0 */
#include "announce.h"

#include <hd/os.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOST_MAX 64 /* workers that are known to be lost; beyond, one may be told of twice */
#define PATH_MAX_BYTES 4096

struct run_watch {
    bool known;
    enum hd_run_state state;
    bool ordered; /* a person gave the command that leads to the next state */
    bool has_best;
    uint32_t best_job;
    double best_budget, best_loss;
    uint64_t last_end_seq; /* of the batch in hand: where its best config is told */
};

struct hd_announcer {
    const struct hd_notice_settings *settings;
    struct hd_notifier *notifier;
    uint64_t told_seq;      /* up to here nobody needs to be told */
    struct run_watch *runs; /* HD_RUNS_MAX */
    char lost[LOST_MAX][HD_WORKER_ID_MAX];
    size_t lost_count;
};

/* ---- who is told ----------------------------------------------------------------------------- */

static bool names(const struct hd_notify *notify, const char *channel)
{
    for (size_t i = 0; i < notify->to_count; i++)
        if (hd_streq(notify->to[i], channel))
            return true;
    return !notify->to_given;
}

/* notify NULL: what belongs to no run. */
static unsigned channels_for(const struct hd_notice_settings *settings,
                             const struct hd_notify *notify, enum hd_notify_event event)
{
    unsigned mask = 0;
    for (size_t i = 0; i < settings->channel_count; i++) {
        const struct hd_notice_channel *channel = &settings->channels[i];
        unsigned events = notify != NULL && notify->events != 0 ? notify->events : channel->events;
        if ((events & (1u << event)) != 0 && (notify == NULL || names(notify, channel->name)))
            mask |= 1u << i;
    }
    return mask;
}

static void warn_of_unknown(const struct hd_announcer *announcer, const struct hd_run_view *run)
{
    const struct hd_notify *notify = &run->experiment->notify;
    for (size_t i = 0; i < notify->to_count; i++)
        if (hd_notice_find(announcer->settings, notify->to[i]) < 0)
            hd_log_run(HD_LOG_WARNING, run->run_id,
                       "notify.to names the channel \"%s\", which this master does not have: see "
                       "--notify",
                       notify->to[i]);
}

struct telling {
    enum hd_notify_event event;
    const char *worker; /* NULL: none */
    char title[HD_NOTICE_TITLE_MAX];
    char text[HD_NOTICE_TEXT_MAX];
};

/* Adds to the text; what is too long is cut. */
static void say(struct telling *telling, const char *fmt, ...) HD_PRINTF(2, 3);
static void say(struct telling *telling, const char *fmt, ...)
{
    size_t used = strlen(telling->text);
    va_list arguments;
    va_start(arguments, fmt);
    (void)vsnprintf(telling->text + used, sizeof(telling->text) - used, fmt, arguments);
    va_end(arguments);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Names and reasons come from elsewhere: nothing in them moves a cursor or ends a line. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < ' ' && *text != '\n') || *text == 0x7f)
            *text = ' ';
}

static void say_best(const struct hd_core *core, uint32_t run_number, const struct hd_run_view *run,
                     struct telling *telling)
{
    struct hd_err err;
    double sign = run->experiment->objective.maximize ? -1.0 : 1.0;
    struct hd_buf params;
    hd_buf_init(&params, HD_NOTICE_TEXT_MAX / 2);
    bool short_enough =
        hd_config_to_json(run->experiment->space,
                          hd_core_config_values(core, run_number, run->incumbent_config), &params,
                          &err) == HD_OK;
    say(telling, "best: %s %g at budget %g (job %u)%s%s\n", run->experiment->objective.name,
        sign * run->incumbent_loss, run->incumbent_budget, run->incumbent_job,
        short_enough ? ": " : "", short_enough ? hd_buf_text(&params) : "");
    hd_buf_release(&params);
}

static enum hd_code put_number(struct hd_buf *out, const char *key, double number,
                               struct hd_err *err)
{
    char text[HD_DOUBLE_TEXT_SIZE];
    if (!isfinite(number))
        return hd_buf_printf(out, err, ",\"%s\":null", key);
    hd_format_double(text, sizeof(text), number);
    return hd_buf_printf(out, err, ",\"%s\":%s", key, text);
}

static enum hd_code put_string(struct hd_buf *out, const char *key, const char *value,
                               struct hd_err *err)
{
    enum hd_code code = hd_buf_printf(out, err, ",\"%s\":", key);
    return code == HD_OK ? hd_json_write_string(value, out, err) : code;
}

static enum hd_code put_best(const struct hd_core *core, uint32_t run_number,
                             const struct hd_run_view *run, bool with_params, struct hd_buf *out,
                             struct hd_err *err)
{
    double sign = run->experiment->objective.maximize ? -1.0 : 1.0;
    enum hd_code code = hd_buf_printf(out, err, ",\"best\":{\"job\":%u,\"config\":%u",
                                      run->incumbent_job, run->incumbent_config);
    if (code == HD_OK)
        code = put_number(out, "budget", run->incumbent_budget, err);
    if (code == HD_OK)
        code = put_number(out, "loss", run->incumbent_loss, err);
    if (code == HD_OK)
        code = put_string(out, "objective", run->experiment->objective.name, err);
    if (code == HD_OK)
        code = put_number(out, "value", sign * run->incumbent_loss, err);
    if (code == HD_OK && with_params) {
        code = hd_buf_puts(out, ",\"params\":", err);
        if (code == HD_OK)
            code = hd_config_to_json(run->experiment->space,
                                     hd_core_config_values(core, run_number, run->incumbent_config),
                                     out, err);
    }
    return code == HD_OK ? hd_buf_puts(out, "}", err) : code;
}

static enum hd_code put_run(const struct hd_core *core, uint32_t run_number, bool with_params,
                            struct hd_buf *out, struct hd_err *err)
{
    struct hd_run_view run;
    hd_core_view_run(core, run_number, &run);
    enum hd_code code = put_string(out, "run", run.run_id, err);
    if (code == HD_OK)
        code = put_string(out, "state", hd_run_state_name(run.state), err);
    if (code == HD_OK)
        code = put_string(out, "reason", run.reason, err);
    if (code == HD_OK)
        code = hd_buf_printf(out, err, ",\"jobs\":{\"total\":%u,\"ok\":%u,\"failed\":%u}",
                             run.job_count, run.jobs_ok, run.jobs_failed);
    return code == HD_OK && run.has_incumbent && !run.experiment->objective.exit_code_only
               ? put_best(core, run_number, &run, with_params, out, err)
               : code;
}

static enum hd_code put_data(const struct hd_core *core, const struct hd_notice *notice,
                             uint32_t run_number, const char *worker, bool with_params,
                             struct hd_buf *out, struct hd_err *err)
{
    char time[HD_TIME_TEXT_SIZE];
    hd_time_format(time, sizeof(time), notice->wall_ms);
    hd_buf_clear(out);
    enum hd_code code = hd_buf_printf(out, err, "{\"id\":\"%s\",\"event\":\"%s\",\"time\":\"%s\"",
                                      notice->id, hd_notify_event_name(notice->event), time);
    if (code == HD_OK)
        code = put_string(out, "title", notice->title, err);
    if (code == HD_OK)
        code = put_string(out, "text", notice->text, err);
    if (code == HD_OK && worker != NULL)
        code = put_string(out, "worker", worker, err);
    if (code == HD_OK && run_number != HD_RUN_NONE)
        code = put_run(core, run_number, with_params, out, err);
    return code == HD_OK ? hd_buf_puts(out, "}", err) : code;
}

/* ---- one notice ------------------------------------------------------------------------------ */

static enum hd_code make(const struct hd_core *core, const struct hd_fact *fact,
                         const struct telling *telling, unsigned channels,
                         struct hd_notice **ret_notice, struct hd_err *err)
{
    struct hd_run_view run = {.run_uid = 0};
    if (fact->run != HD_RUN_NONE)
        hd_core_view_run(core, fact->run, &run);
    struct hd_notice *notice = hd_calloc(1, sizeof(*notice));
    if (notice == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a notice");
    notice->seq = fact->seq;
    notice->event = telling->event;
    notice->run_uid = run.run_uid;
    notice->wall_ms = fact->wall_ms;
    notice->channels = channels;
    (void)hd_format(notice->id, sizeof(notice->id), "%016" PRIx64 "-%" PRIu64 "-%s",
                    run.run_uid != 0 ? run.run_uid : (uint64_t)fact->wall_ms, fact->seq,
                    hd_notify_event_name(telling->event));
    (void)hd_copy_text(notice->title, sizeof(notice->title), telling->title);
    (void)hd_copy_text(notice->text, sizeof(notice->text), telling->text);
    clean(notice->title);
    clean(notice->text);
    size_t size = strlen(notice->text);
    if (size > 0 && notice->text[size - 1] == '\n')
        notice->text[size - 1] = '\0';
    struct hd_buf data;
    hd_buf_init(&data, HD_NOTICE_DATA_MAX);
    enum hd_code code = put_data(core, notice, fact->run, telling->worker, true, &data, err);
    if (code == HD_E_LIMIT) /* very many params */
        code = put_data(core, notice, fact->run, telling->worker, false, &data, err);
    if (code != HD_OK) {
        hd_buf_release(&data);
        hd_free(notice);
        return code;
    }
    notice->data = data.data; /* the buffer's memory goes along */
    *ret_notice = notice;
    return HD_OK;
}

static void announce(struct hd_announcer *announcer, const struct hd_core *core,
                     const struct hd_fact *fact, const struct telling *telling)
{
    struct hd_run_view run = {.experiment = NULL};
    struct hd_notice *notice = NULL;
    struct hd_err err;
    if (fact->seq <= announcer->told_seq)
        return;
    if (fact->run != HD_RUN_NONE)
        hd_core_view_run(core, fact->run, &run);
    unsigned channels =
        channels_for(announcer->settings, run.experiment != NULL ? &run.experiment->notify : NULL,
                     telling->event);
    if (channels == 0)
        return;
    if (make(core, fact, telling, channels, &notice, &err) == HD_OK)
        hd_notifier_push(announcer->notifier, notice);
    else /* a run is not held up for a notice */
        hd_log(HD_LOG_ERROR, "\"%s\" is not told to anybody: %s", telling->title, err.text);
}

/* ---- what the facts say ---------------------------------------------------------------------- */

static void say_run(const struct hd_core *core, uint32_t run_number, const char *verb,
                    struct telling *telling)
{
    struct hd_run_view run;
    hd_core_view_run(core, run_number, &run);
    (void)hd_format(telling->title, sizeof(telling->title), "run %s %s", run.run_id, verb);
    say(telling, "%s\n%u jobs, %u ok, %u failed\n", run.reason, run.job_count, run.jobs_ok,
        run.jobs_failed);
    if (run.has_incumbent && !run.experiment->objective.exit_code_only)
        say_best(core, run_number, &run, telling);
}

/* A run that ended because too much failed, or without one result. */
static bool has_failed(const struct hd_run_view *run)
{
    uint32_t limit = run->experiment->stop.failures;
    return (limit > 0 && run->jobs_failed >= limit) || (run->job_count > 0 && !run->has_incumbent);
}

static void see_state(struct hd_announcer *announcer, const struct hd_core *core,
                      const struct hd_fact *fact, struct telling *telling)
{
    struct run_watch *watch = &announcer->runs[fact->run];
    enum hd_run_state state = fact->as.run_state.state;
    bool ordered = watch->ordered, changed = !watch->known || watch->state != state;
    struct hd_run_view run;
    hd_core_view_run(core, fact->run, &run);
    watch->known = true;
    watch->state = state;
    watch->ordered = false;
    if (!changed)
        return;
    switch (state) {
    case HD_RUN_FINISHED:
        telling->event = has_failed(&run) ? HD_NOTIFY_FAILED : HD_NOTIFY_FINISHED;
        say_run(core, fact->run, telling->event == HD_NOTIFY_FAILED ? "failed" : "finished",
                telling);
        break;
    case HD_RUN_CANCELLED:
        telling->event = HD_NOTIFY_FINISHED;
        say_run(core, fact->run, "cancelled", telling);
        break;
    case HD_RUN_PAUSED:
        if (ordered)
            return;
        telling->event = HD_NOTIFY_FAILED;
        say_run(core, fact->run, "paused by itself", telling);
        break;
    case HD_RUN_ACTIVE:
    case HD_RUN_CLOSING:
    case HD_RUN_STATE_COUNT:
        return;
    }
    announce(announcer, core, fact, telling);
}

static bool is_lost(const struct hd_announcer *announcer, const char *worker, size_t *ret_index)
{
    for (size_t i = 0; i < announcer->lost_count; i++) {
        if (!hd_streq(announcer->lost[i], worker))
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

static void find_again(struct hd_announcer *announcer, const char *worker)
{
    size_t index;
    if (is_lost(announcer, worker, &index))
        memmove(announcer->lost[index], announcer->lost[--announcer->lost_count], HD_WORKER_ID_MAX);
}

/* A lease that expired, or a worker that came back without its job: the master said so itself. */
static void see_lost(struct hd_announcer *announcer, const struct hd_core *core,
                     const struct hd_fact *fact, struct telling *telling)
{
    const struct hd_fact_attempt_ended *ended = &fact->as.attempt_ended;
    size_t index;
    if (ended->outcome != HD_OUTCOME_INFRA || ended->by_report || ended->worker[0] == '\0' ||
        is_lost(announcer, ended->worker, &index))
        return;
    if (announcer->lost_count == LOST_MAX)
        memmove(announcer->lost[0], announcer->lost[--announcer->lost_count], HD_WORKER_ID_MAX);
    (void)hd_copy_text(announcer->lost[announcer->lost_count++], HD_WORKER_ID_MAX, ended->worker);
    telling->event = HD_NOTIFY_WORKER_LOST;
    telling->worker = ended->worker;
    (void)hd_format(telling->title, sizeof(telling->title), "worker %s lost", ended->worker);
    say(telling, "job %u (attempt %u): %s; %s\n", ended->job, ended->attempt, ended->message,
        ended->requeued ? "it is queued again" : "it is not tried again");
    announce(announcer, core, fact, telling);
}

static void see_quarantine(struct hd_announcer *announcer, const struct hd_core *core,
                           const struct hd_fact *fact, struct telling *telling)
{
    const struct hd_fact_worker_state *state = &fact->as.worker_state;
    if (state->state != HD_WORKER_QUARANTINED)
        return;
    telling->event = HD_NOTIFY_WORKER_LOST;
    telling->worker = state->worker;
    (void)hd_format(telling->title, sizeof(telling->title), "worker %s quarantined", state->worker);
    say(telling, "%s\nhd workers resume %s lets it work again\n", state->reason, state->worker);
    announce(announcer, core, fact, telling);
}

/* Where a batch has several ends of a run, the last of them tells its best config. */
static bool may_change_best(const struct hd_fact *fact)
{
    return (fact->kind == HD_FACT_ATTEMPT_ENDED && fact->as.attempt_ended.by_report) ||
           fact->kind == HD_FACT_CURVE_POINT;
}

static void see_best(struct hd_announcer *announcer, const struct hd_core *core,
                     const struct hd_fact *fact, struct telling *telling)
{
    struct run_watch *watch = &announcer->runs[fact->run];
    struct hd_run_view run;
    if (fact->seq != watch->last_end_seq)
        return;
    hd_core_view_run(core, fact->run, &run);
    if (!run.has_incumbent || run.experiment->objective.exit_code_only ||
        (watch->has_best && watch->best_job == run.incumbent_job &&
         !(watch->best_budget < run.incumbent_budget) && !(run.incumbent_loss < watch->best_loss)))
        return;
    watch->has_best = true;
    watch->best_job = run.incumbent_job;
    watch->best_budget = run.incumbent_budget;
    watch->best_loss = run.incumbent_loss;
    double sign = run.experiment->objective.maximize ? -1.0 : 1.0;
    telling->event = HD_NOTIFY_INCUMBENT;
    (void)hd_format(telling->title, sizeof(telling->title), "run %s: %s %g", run.run_id,
                    run.experiment->objective.name, sign * run.incumbent_loss);
    say_best(core, fact->run, &run, telling);
    announce(announcer, core, fact, telling);
}

static void see_fact(struct hd_announcer *announcer, const struct hd_core *core,
                     const struct hd_fact *fact, struct telling *telling)
{
    struct hd_run_view run;
    switch (fact->kind) {
    case HD_FACT_RUN_CREATED:
        hd_core_view_run(core, fact->run, &run);
        warn_of_unknown(announcer, &run);
        break;
    case HD_FACT_COMMAND_GIVEN:
        if (fact->as.command_given.op == HD_COMMAND_PAUSE_RUN)
            announcer->runs[fact->run].ordered = true;
        break;
    case HD_FACT_RUN_STATE:
        see_state(announcer, core, fact, telling);
        break;
    case HD_FACT_ATTEMPT_LEASED:
        find_again(announcer, fact->as.attempt_leased.worker);
        break;
    case HD_FACT_ATTEMPT_ENDED:
    case HD_FACT_CURVE_POINT:
        if (may_change_best(fact))
            see_best(announcer, core, fact, telling);
        else
            see_lost(announcer, core, fact, telling);
        break;
    case HD_FACT_WORKER_STATE:
        see_quarantine(announcer, core, fact, telling);
        break;
    case HD_FACT_CONFIG_PROPOSED:
    case HD_FACT_JOB_QUEUED:
    case HD_FACT_REPORT_REFUSED:
    case HD_FACT_KIND_COUNT:
        break;
    }
}

void hd_announcer_see(struct hd_announcer *announcer, const struct hd_core *core,
                      const struct hd_fact *facts, size_t count)
{
    if (announcer == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        if (may_change_best(&facts[i]))
            announcer->runs[facts[i].run].last_end_seq = facts[i].seq;
    struct telling telling;
    for (size_t i = 0; i < count; i++) {
        telling.text[0] = '\0';
        telling.worker = NULL;
        see_fact(announcer, core, &facts[i], &telling);
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static enum hd_code positions_path(const char *store_path, char path[PATH_MAX_BYTES],
                                   struct hd_err *err)
{
    return hd_format(path, PATH_MAX_BYTES, "%s.notices.json", store_path)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path %s is too long", store_path);
}

enum hd_code hd_announcer_forget(const char *store_path, struct hd_err *err)
{
    char path[PATH_MAX_BYTES];
    enum hd_code code = positions_path(store_path, path, err);
    if (code == HD_OK && unlink(path) != 0 && errno != ENOENT)
        code = hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    return code;
}

enum hd_code hd_announcer_open(const struct hd_notice_settings *settings, const char *store_path,
                               struct hd_announcer **ret_announcer, struct hd_err *err)
{
    char path[PATH_MAX_BYTES];
    if (positions_path(store_path, path, err) != HD_OK)
        return err->code;
    struct hd_announcer *announcer = hd_calloc(1, sizeof(*announcer));
    if (announcer != NULL)
        announcer->runs = hd_calloc(HD_RUNS_MAX, sizeof(*announcer->runs));
    if (announcer == NULL || announcer->runs == NULL) {
        hd_free(announcer);
        return hd_fail(err, HD_E_NOMEM, "no memory for notices");
    }
    announcer->settings = settings;
    const struct hd_notifier_options options = {.settings = settings, .positions_path = path};
    enum hd_code code = hd_notifier_open(&options, &announcer->notifier, err);
    if (code != HD_OK) {
        hd_announcer_close(announcer, 0);
        return code;
    }
    announcer->told_seq = hd_notifier_told(announcer->notifier);
    *ret_announcer = announcer;
    return HD_OK;
}

enum hd_code hd_announcer_start(struct hd_announcer *announcer, uint64_t last_seq,
                                struct hd_err *err)
{
    if (announcer->told_seq > last_seq)
        announcer->told_seq = last_seq;
    return hd_notifier_start(announcer->notifier, last_seq, err);
}

void hd_announcer_close(struct hd_announcer *announcer, int64_t flush_ms)
{
    if (announcer == NULL)
        return;
    hd_notifier_close(announcer->notifier, flush_ms);
    hd_free(announcer->runs);
    hd_free(announcer);
}
