/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: drain, step, commit, speak.
 *
 * A batch is what is gathered between two commits. Its facts and its encoded replies are kept
 * until the store has them; a store without space makes the driver hold the batch, say so and
 * try again, while every lease is extended by the time lost.
 */
#include "announce.h"
#include "batch.h"
#include "cast.h"
#include "desk.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NEWS_QUEUE_MAX 65536
#define ANSWER_WAIT_US 500
#define HOLD_RETRY_MS 500
#define HOLD_SAY_MS 10000
#define STALL_MS 500 /* being deaf for longer is worth a word, and a longer lease */
#define NOTICE_FLUSH_MS 10000
#define LINGER_MS 300         /* after the last run's end: replies reach those who wait */
#define HOME_WAIT_MS 10000    /* ... and the files of the best begin to come, ... */
#define HOME_SILENCE_MS 30000 /* ... which may be packed first */
#define LINGER_KEEP_MS                                                                             \
    1500 /* ... and workers hear which directories no experiment keeps                             \
          */

struct hd_driver {
    struct hd_core *core;
    struct hd_store *store;
    struct hd_update *update;
    struct hd_cast *cast;
    struct hd_desk *desk;
    struct hd_queue *news; /* struct hd_net_news */
    struct hd_net_server *server;
    struct hd_registrar *registrar;
    uint32_t final_runs; /* how many were over when the nameserver was told last */
    uint32_t told_runs;

    struct hd_keyring *keyring;
    struct hd_keyring *own_keyring; /* of a single token that was given; ends with the driver */
    struct hd_log_gate refusals;
    uint64_t home_words;   /* that were heard when the master looked last */
    int64_t home_until_ms; /* a master whose runs are over waits for files */
    char *store_path;
    char host[HD_ADDRESS_MAX];
    char advertise[HD_ADDRESS_MAX];
    char address[HD_ADDRESS_MAX];
    uint16_t port;
    char *nameserver;
    char *master_id;
    struct hd_net_security security;
    struct hd_core_options core_options;

    struct hd_announcer *announcer; /* NULL: nobody is told of anything */
    int64_t notice_flush_ms;

    struct hd_batch batch;
    struct hd_err step_err; /* code HD_OK: none; else the process must exit and restore */

    /* requests made by this process itself carry this address; its answer lands here */
    struct hd_reply own_reply;
};

#define OWN_ADDRESS UINT64_MAX

/* ---- a step ---------------------------------------------------------------------------------- */

static void keep_reply(struct hd_driver *driver, const struct hd_reply *reply)
{
    if (reply->address == OWN_ADDRESS)
        driver->own_reply = *reply;
    else
        hd_batch_keep_reply(&driver->batch, driver->core, reply);
}

static void step(struct hd_driver *driver, struct hd_event *event)
{
    if (driver->step_err.code != HD_OK)
        return;
    event->now_ms = hd_clock_ms();
    event->wall_ms = hd_clock_wall_ms();
    struct hd_err err;
    while (hd_core_reserve(driver->core, event, &err) != HD_OK)
        hd_wait_for_memory();
    hd_core_step(driver->core, event, driver->update);
    hd_cast_begin_step(driver->cast);
    hd_batch_keep(&driver->batch, driver->core, driver->update);
    for (size_t i = 0; i < driver->update->reply_count; i++)
        keep_reply(driver, &driver->update->replies[i]);
    enum hd_code code;
    while ((code = hd_cast_pass(driver->cast, driver->update, &err)) == HD_E_NOMEM)
        hd_wait_for_memory();
    if (code != HD_OK && driver->step_err.code == HD_OK)
        driver->step_err = err;
}

/* ---- commit ------------------------------------------------------------------------------------
 */

/* What may pass: the store kept nothing and takes the same facts again. */
static bool may_pass(enum hd_code code)
{
    return code == HD_E_FULL || code == HD_E_NOMEM || code == HD_E_BUSY;
}

/* HD_OK once the facts are durable. Without space, memory or the write lock it holds, however long
 * it takes. */
static enum hd_code append_facts(struct hd_driver *driver, int stop_fd, struct hd_err *err)
{
    int64_t said_ms = 0;
    enum hd_code code;
    while (may_pass(code = hd_store_append(driver->store, driver->batch.facts,
                                           driver->batch.fact_count, err))) {
        int64_t now_ms = hd_clock_ms();
        if (said_ms == 0 || now_ms - said_ms >= HOLD_SAY_MS) {
            said_ms = now_ms;
            hd_log(HD_LOG_ERROR, "%s: holding %zu facts and all answers until that changes%s",
                   err->text, driver->batch.fact_count,
                   code == HD_E_FULL ? "; free some space on that disk" : "");
        }
        struct pollfd fd = {.fd = stop_fd, .events = POLLIN};
        if (poll(&fd, 1, (int)hd_watchdog_feed(HOLD_RETRY_MS)) > 0 && (fd.revents & POLLIN) != 0)
            return hd_fail(err, HD_E_CANCELLED,
                           "stopped while %s took no facts: the last %zu were not acknowledged to "
                           "anybody",
                           driver->store_path, driver->batch.fact_count);
    }
    if (code == HD_OK && said_ms != 0)
        hd_log(HD_LOG_INFO, "%s takes facts again", driver->store_path);
    return code;
}

static enum hd_code commit(struct hd_driver *driver, int stop_fd, struct hd_err *err)
{
    /* A sampler that could not be told: what is in memory is not to be trusted any more. */
    if (driver->step_err.code != HD_OK) {
        *err = driver->step_err;
        return err->code;
    }
    if (driver->batch.fact_count > 0) {
        enum hd_code code = append_facts(driver, stop_fd, err);
        if (code != HD_OK)
            return code;
    }
    hd_announcer_see(driver->announcer, driver->core, driver->batch.facts,
                     driver->batch.fact_count);
    hd_batch_log(&driver->batch, driver->core);
    for (size_t i = 0; i < driver->batch.reply_count; i++)
        hd_net_reply(driver->server, driver->batch.replies[i].address,
                     driver->batch.replies[i].bytes.data, driver->batch.replies[i].bytes.size);
    hd_batch_clear(&driver->batch);
    return HD_OK;
}

/* ---- what arrives ------------------------------------------------------------------------------
 */

static void refuse(struct hd_driver *driver, const struct hd_net_news *news,
                   const struct hd_request *request, enum hd_code code, const char *text)
{
    struct hd_reply reply;
    memset(&reply, 0, sizeof(reply));
    reply.kind = HD_REPLY_REFUSED;
    reply.address = news->address;
    reply.lane = request->lane;
    reply.sequence = request->sequence;
    reply.code = code;
    (void)hd_copy_text(reply.text, sizeof(reply.text), text);
    reply.view_json = "";
    keep_reply(driver, &reply);
}

static void answer_view(struct hd_driver *driver, const struct hd_net_news *news,
                        const struct hd_request *request)
{
    struct hd_buf json;
    hd_buf_init(&json, HD_VIEW_JSON_MAX);
    struct hd_err err;
    enum hd_code code = hd_desk_answer(driver->desk, request, &json, &err);
    if (code != HD_OK) {
        refuse(driver, news, request, code, err.text);
    } else {
        struct hd_reply reply;
        memset(&reply, 0, sizeof(reply));
        reply.kind = HD_REPLY_VIEW;
        reply.address = news->address;
        reply.lane = request->lane;
        reply.sequence = request->sequence;
        reply.view_json = hd_buf_text(&json);
        keep_reply(driver, &reply);
    }
    hd_buf_release(&json);
}

/* What a token must allow for a request. */
static unsigned role_of(const struct hd_request *request)
{
    switch (request->kind) {
    case HD_REQUEST_HELLO:
    case HD_REQUEST_LEASE:
    case HD_REQUEST_PING:
    case HD_REQUEST_REPORT:
    case HD_REQUEST_BYE:
        return HD_ROLE_WORKER;
    case HD_REQUEST_VIEW:
        return hd_desk_role(request->view);
    case HD_REQUEST_SUBMIT:
    case HD_REQUEST_COMMAND:
    case HD_REQUEST_TEST:
        return HD_ROLE_OPERATOR;
    case HD_REQUEST_KIND_COUNT:
        break;
    }
    return 0;
}

static void refuse_stranger(struct hd_driver *driver, const struct hd_net_news *news,
                            const struct hd_request *request, unsigned roles)
{
    char text[HD_REASON_MAX];
    if (roles == 0)
        (void)hd_copy_text(text, sizeof(text),
                           "wrong token: use the token file of the user who runs the master");
    else
        (void)hd_format(text, sizeof(text), "a token of the role \"%s\" may not %s",
                        hd_role_name(roles), hd_request_kind_name(request->kind));
    hd_log_gated(&driver->refusals, HD_LOG_WARNING, "a request was refused: %s", text);
    refuse(driver, news, request, HD_E_AUTH, text);
}

static void take_request(struct hd_driver *driver, const struct hd_net_news *news,
                         const struct hd_request *request)
{
    unsigned roles = hd_keyring_roles(driver->keyring, request->token);
    if ((roles & role_of(request)) == 0) {
        refuse_stranger(driver, news, request, roles);
        return;
    }
    if (request->kind == HD_REQUEST_VIEW) {
        answer_view(driver, news, request);
        return;
    }
    struct hd_event event = {.kind = HD_EVENT_REQUEST,
                             .address = news->address,
                             .connection = news->connection,
                             .at_home = request->kind == HD_REQUEST_HELLO &&
                                        hd_desk_has_root(driver->desk, request->root),
                             .request = request};
    step(driver, &event);
}

static void take_news(struct hd_driver *driver, const struct hd_net_news *news)
{
    if (news->kind == HD_NET_CLOSED) {
        struct hd_event event = {.kind = HD_EVENT_DISCONNECT, .connection = news->connection};
        step(driver, &event);
        return;
    }
    struct hd_err err;
    struct hd_arena *arena;
    struct hd_request request;
    while (hd_arena_new(4 * HD_MESSAGE_BYTES_MAX, &arena, &err) != HD_OK)
        hd_wait_for_memory();
    enum hd_code code = hd_request_decode(news->bytes, news->size, arena, &request, &err);
    if (code == HD_OK) {
        take_request(driver, news, &request);
    } else {
        hd_log_gated(&driver->refusals, HD_LOG_WARNING, "a message was refused: %s", err.text);
        refuse(driver, news, &(struct hd_request){0}, code, err.text);
    }
    hd_arena_free(arena);
}

static void take_answer(struct hd_driver *driver, const struct hd_suggestion *suggestion)
{
    struct hd_event event = {
        .kind = HD_EVENT_SUGGESTION,
        .run = suggestion->run,
        .config = suggestion->config,
        .cut = suggestion->cut,
        .exhausted = suggestion->exhausted,
        .values = suggestion->values,
        .value_count = suggestion->value_count,
        .info = suggestion->info,
    };
    step(driver, &event);
}

static bool take_one(struct hd_driver *driver)
{
    struct hd_suggestion *suggestion = hd_cast_take(driver->cast);
    if (suggestion != NULL) {
        take_answer(driver, suggestion);
        hd_free(suggestion);
        return true;
    }
    struct hd_net_news *news = hd_queue_pop(driver->news, 0);
    if (news == NULL)
        return false;
    take_news(driver, news);
    hd_net_news_free(news);
    return true;
}

/* Steps what has arrived, as far as one batch goes. A commit costs about a millisecond: a sampler
 * that answers sooner has its configs in the same one. */
static void drain(struct hd_driver *driver)
{
    int64_t until_us = hd_clock_us() + ANSWER_WAIT_US;
    for (int i = 0; i < HD_BATCH_EVENTS_MAX && hd_batch_has_room(&driver->batch);) {
        if (take_one(driver)) {
            i++;
            continue;
        }
        if (!hd_cast_is_asked(driver->cast) || hd_clock_us() >= until_us)
            break;
        struct pollfd fd = {.fd = hd_cast_fd(driver->cast), .events = POLLIN};
        (void)poll(&fd, 1, 1);
    }
    while (hd_batch_has_room(&driver->batch) &&
           hd_core_deadline_ms(driver->core) <= hd_clock_ms()) {
        struct hd_event event = {.kind = HD_EVENT_TIMEOUT};
        step(driver, &event);
    }
}

static uint32_t count_final(const struct hd_driver *driver)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < hd_core_run_count(driver->core); i++)
        count += hd_core_is_over(driver->core, i) ? 1 : 0;
    return count;
}

static size_t open_runs(const struct hd_driver *driver, const char **ret_runs)
{
    size_t count = 0;
    for (uint32_t i = 0; i < hd_core_run_count(driver->core); i++) {
        struct hd_run_view view;
        hd_core_view_run(driver->core, i, &view);
        if (!hd_core_is_over(driver->core, i) && count < HD_NS_RUNS_PER_MASTER_MAX)
            ret_runs[count++] = view.run_id;
    }
    return count;
}

/* Runs come and go: the nameserver hears of it, and a sampler of a run that is over ends. */
static void follow_runs(struct hd_driver *driver)
{
    uint32_t run_count = hd_core_run_count(driver->core);
    uint32_t final_runs = count_final(driver);
    if (run_count == driver->told_runs && final_runs == driver->final_runs)
        return;
    driver->told_runs = run_count;
    driver->final_runs = final_runs;
    hd_cast_dismiss(driver->cast);
    hd_desk_sweep(driver->desk);
    const char *runs[HD_NS_RUNS_PER_MASTER_MAX];
    size_t count = open_runs(driver, runs);
    if (count > 0) /* the last one stays listed, so that workers hear from us that it is over */
        hd_registrar_set_runs(driver->registrar, runs, count);
}

/* Time in which nobody could be heard (a slow or full disk, a frozen process or machine) must not
 * end anybody's lease: the pings may be in the queue. */
static void hold(struct hd_driver *driver, int64_t deaf_ms)
{
    if (deaf_ms < STALL_MS)
        return;
    hd_log(HD_LOG_WARNING, "deaf for %.1f s: every lease is extended by as much",
           (double)deaf_ms / 1000);
    struct hd_event event = {.kind = HD_EVENT_HOLD, .hold_ms = deaf_ms};
    step(driver, &event);
}

static int wait_time_ms(const struct hd_driver *driver, int64_t linger_until_ms)
{
    int64_t deadline_ms = hd_core_deadline_ms(driver->core);
    if (hd_cast_has_ready(driver->cast)) /* no descriptor tells of these */
        return 0;
    if (linger_until_ms < deadline_ms)
        deadline_ms = linger_until_ms;
    int64_t wait_ms = deadline_ms - hd_clock_ms();
    if (wait_ms < 0)
        return 0;
    return wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static int64_t linger_ms_of(const struct hd_driver *driver)
{
    int64_t linger_ms = LINGER_MS;
    for (uint32_t i = 0; i < hd_core_run_count(driver->core); i++) {
        struct hd_run_view view;
        hd_core_view_run(driver->core, i, &view);
        if (view.experiment->keep_work > 0)
            linger_ms = LINGER_KEEP_MS;
    }
    return driver->core_options.shutdown_workers ? driver->core_options.ping_ms + linger_ms
                                                 : linger_ms;
}

/* Workers send the files of the best behind everything else: a master whose runs are over stays
 * for them, as long as it hears of them. */
static int64_t home_until_ms(struct hd_driver *driver)
{
    int64_t now_ms = hd_clock_ms();
    if (!hd_core_awaits_files(driver->core, true))
        return 0;
    if (driver->home_until_ms == 0)
        driver->home_until_ms = now_ms + HOME_WAIT_MS;
    if (hd_desk_words(driver->desk) != driver->home_words)
        driver->home_until_ms = now_ms + HOME_SILENCE_MS;
    driver->home_words = hd_desk_words(driver->desk);
    return driver->home_until_ms;
}

/* When it leaves; HD_NEVER_MS: some run goes on. */
static int64_t leave_ms(struct hd_driver *driver, int64_t linger_until_ms)
{
    if (linger_until_ms == HD_NEVER_MS) {
        driver->home_until_ms = 0;
        return HD_NEVER_MS;
    }
    int64_t until_ms = home_until_ms(driver);
    return until_ms > linger_until_ms ? until_ms : linger_until_ms;
}

enum hd_code hd_driver_serve(struct hd_driver *driver, int stop_fd, struct hd_err *err)
{
    int64_t linger_until_ms = HD_NEVER_MS;
    int64_t woke_ms = hd_clock_ms(), deaf_ms = 0;
    hd_desk_sweep(driver->desk);
    hd_desk_tell_all(driver->desk);
    for (;;) {
        hold(driver, deaf_ms);
        drain(driver);
        enum hd_code code = commit(driver, stop_fd, err);
        if (code != HD_OK)
            return code;
        follow_runs(driver);
        uint32_t run_count = hd_core_run_count(driver->core);
        bool over = run_count > 0 && driver->final_runs == run_count;
        if (!over)
            linger_until_ms = HD_NEVER_MS;
        else if (linger_until_ms == HD_NEVER_MS)
            linger_until_ms = hd_clock_ms() + linger_ms_of(driver);
        int64_t until_ms = leave_ms(driver, linger_until_ms);
        if (hd_clock_ms() >= until_ms)
            return HD_OK;
        struct pollfd fds[3] = {
            {.fd = hd_queue_fd(driver->news), .events = POLLIN},
            {.fd = hd_cast_fd(driver->cast), .events = POLLIN},
            {.fd = stop_fd, .events = POLLIN},
        };
        int wait_ms = (int)hd_watchdog_feed(wait_time_ms(driver, until_ms));
        int64_t before_ms = hd_clock_ms();
        int ready = poll(fds, 3, wait_ms);
        int64_t late_ms = hd_clock_ms() - before_ms - wait_ms;
        deaf_ms = before_ms - woke_ms + (late_ms > 0 ? late_ms : 0);
        woke_ms = hd_clock_ms();
        if (ready < 0 && errno != EINTR)
            return hd_fail(err, HD_E_IO, "poll: %s", strerror(errno));
        if (ready > 0 && (fds[2].revents & POLLIN) != 0)
            return HD_OK;
    }
}

/* ---- opening and closing -----------------------------------------------------------------------
 */

static enum hd_code allocate(struct hd_driver *driver, const struct hd_driver_options *options,
                             struct hd_err *err)
{
    driver->core_options = options->core;
    driver->port = options->port;
    driver->security = options->security;
    driver->keyring = options->keyring;
    driver->notice_flush_ms =
        options->notice_flush_ms > 0 ? options->notice_flush_ms : NOTICE_FLUSH_MS;
    (void)hd_copy_text(driver->host, sizeof(driver->host), options->host);
    (void)hd_copy_text(driver->advertise, sizeof(driver->advertise),
                       options->advertise != NULL ? options->advertise : options->host);
    driver->store_path = hd_strdup(options->store_path);
    driver->nameserver = hd_strdup(options->nameserver);
    driver->master_id = hd_strdup(options->master_id);
    driver->update = hd_malloc(sizeof(*driver->update));
    if (driver->store_path == NULL || driver->nameserver == NULL || driver->master_id == NULL ||
        driver->update == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the master");
    enum hd_code code = hd_batch_init(&driver->batch, err);
    if (code == HD_OK && driver->keyring == NULL) {
        code = hd_keyring_fixed(options->token, &driver->own_keyring, err);
        driver->keyring = driver->own_keyring;
    }
    return code == HD_OK ? hd_queue_new(NEWS_QUEUE_MAX, &driver->news, err) : code;
}

static void step_for_desk(void *context, struct hd_event *event)
{
    step(context, event);
}

static enum hd_code open_desk(struct hd_driver *driver, const struct hd_driver_options *options,
                              struct hd_err *err)
{
    uint64_t home_bytes_max =
        options->home_bytes_max > 0 ? options->home_bytes_max : HD_HOME_BYTES_DEFAULT;
    const struct hd_desk_settings settings = {
        .core = driver->core,
        .store_path = driver->store_path,
        .depot = options->depot,
        .depot_bytes_max = options->depot_bytes_max,
        .home_bytes_max = options->core.no_files ? 0 : home_bytes_max,
        .tell = step_for_desk,
        .context = driver,
    };
    return hd_desk_open(&settings, &driver->desk, err);
}

static enum hd_code restore_fact(void *context, const struct hd_fact *fact, struct hd_err *err)
{
    struct hd_driver *driver = context;
    enum hd_code code = hd_core_apply(driver->core, fact, err);
    if (code != HD_OK)
        return code;
    hd_announcer_see(driver->announcer, driver->core, fact, 1);
    return hd_cast_restore(driver->cast, fact, err);
}

enum hd_code hd_driver_open(const struct hd_driver_options *options, struct hd_driver **ret_driver,
                            struct hd_err *err)
{
    struct hd_driver *driver = hd_calloc(1, sizeof(*driver));
    if (driver == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the master");
    enum hd_code code = allocate(driver, options, err);
    if (code == HD_OK)
        code = hd_core_new(&options->core, &driver->core, err);
    if (code == HD_OK)
        code = hd_store_open_sqlite(options->store_path, &driver->store, err);
    if (code == HD_OK)
        code = hd_cast_new(driver->core, driver->store, &options->core, &driver->cast, err);
    if (code == HD_OK && options->notices_off)
        code = hd_announcer_forget(options->store_path, err);
    if (code == HD_OK && options->notices != NULL && options->notices->channel_count > 0)
        code = hd_announcer_open(options->notices, options->store_path, &driver->announcer, err);
    if (code == HD_OK)
        code = hd_store_load(driver->store, restore_fact, driver, err);
    if (code == HD_OK && driver->announcer != NULL)
        code = hd_announcer_start(driver->announcer, hd_core_last_seq(driver->core), err);
    if (code == HD_OK)
        code = open_desk(driver, options, err);
    if (code == HD_OK)
        code = hd_cast_start(driver->cast, err);
    if (code != HD_OK) {
        hd_driver_close(driver);
        return code;
    }
    *ret_driver = driver;
    return HD_OK;
}

const struct hd_core *hd_driver_core(const struct hd_driver *driver)
{
    return driver->core;
}

const char *hd_driver_address(const struct hd_driver *driver)
{
    return driver->address;
}

enum hd_code hd_driver_request(struct hd_driver *driver, const struct hd_request *request,
                               struct hd_err *err)
{
    struct hd_event event = {.kind = HD_EVENT_REQUEST, .address = OWN_ADDRESS, .request = request};
    step(driver, &event);
    enum hd_code code = commit(driver, -1, err);
    if (code == HD_OK && driver->own_reply.kind == HD_REPLY_REFUSED)
        code = hd_fail(err, driver->own_reply.code, "%s", driver->own_reply.text);
    return code;
}

enum hd_code hd_driver_listen(struct hd_driver *driver, struct hd_err *err)
{
    uint16_t port;
    enum hd_code code =
        hd_net_server_open(driver->host, driver->port, HD_MESSAGE_BYTES_MAX, &driver->security,
                           driver->news, &driver->server, &port, err);
    if (code != HD_OK)
        return code;
    bool v6 = strchr(driver->advertise, ':') != NULL;
    if (!hd_format(driver->address, sizeof(driver->address), "%s://%s%s%s:%u",
                   driver->security.cert_file != NULL ? "tls+tcp" : "tcp", v6 ? "[" : "",
                   driver->advertise, v6 ? "]" : "", port))
        return hd_fail(err, HD_E_LIMIT, "the address %s is too long", driver->advertise);
    return HD_OK;
}

enum hd_code hd_driver_register(struct hd_driver *driver, struct hd_err *err)
{
    if (driver->nameserver[0] == '\0')
        return HD_OK;
    const char *runs[HD_NS_RUNS_PER_MASTER_MAX];
    size_t count = open_runs(driver, runs);
    driver->told_runs = hd_core_run_count(driver->core);
    driver->final_runs = count_final(driver);
    return hd_registrar_start(driver->nameserver, driver->master_id, driver->address,
                              driver->keyring, &driver->security, driver->core_options.ping_ms,
                              runs, count, &driver->registrar, err);
}

static void drop_news(struct hd_driver *driver)
{
    struct hd_net_news *news;
    while (driver->news != NULL && (news = hd_queue_pop(driver->news, 0)) != NULL)
        hd_net_news_free(news);
}

void hd_driver_close(struct hd_driver *driver)
{
    if (driver == NULL)
        return;
    hd_registrar_stop(driver->registrar);
    hd_net_server_close(driver->server);
    hd_desk_close(driver->desk);
    hd_cast_free(driver->cast);
    hd_announcer_close(driver->announcer, driver->notice_flush_ms);
    drop_news(driver);
    hd_queue_free(driver->news);
    hd_store_close(driver->store);
    hd_core_free(driver->core);
    hd_batch_release(&driver->batch);
    hd_keyring_free(driver->own_keyring);
    hd_free(driver->update);
    hd_free(driver->store_path);
    hd_free(driver->nameserver);
    hd_free(driver->master_id);
    hd_free(driver);
}
