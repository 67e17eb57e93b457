/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: waits for what happens, tells the agent, does what it says. */
#include "mounts.h"
#include "shell_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define REPLY_ARENA_MAX (8u * 1024u * 1024u)
#define WAIT_MS_MAX 60000
#define STOP_GRACE_MS 10000 /* what the agent expects of targets; experiments may say more */

/* ---- telling the agent ---------------------------------------------------------------------- */

void shell_add_pending(struct shell *shell, const struct pending *pending)
{
    hd_assert(shell->pending_count < SHELL_PENDING_MAX);
    size_t place = (shell->pending_first + shell->pending_count++) % SHELL_PENDING_MAX;
    shell->pending[place] = *pending;
}

static void add_failure(struct shell *shell, const struct hd_agent_action *action)
{
    const struct pending failed = {.kind = HD_AGENT_EVENT_LANE_FAILED,
                                   .master = action->master,
                                   .lane = action->lane,
                                   .sequence = action->request.sequence};
    shell_add_pending(shell, &failed);
}

static void connect_to(struct shell *shell, const struct hd_agent_action *action)
{
    struct client *client = &shell->clients[action->master];
    struct hd_err err;
    hd_net_client_close(client->net);
    client->net = NULL;
    (void)hd_copy_text(client->address, sizeof(client->address), action->address);
    hd_needed_set_master(shell->needed, action->master, action->address);
    client->tag = (uint64_t)++shell->client_number << 32 | action->master;
    if (hd_net_client_open(action->address, HD_LANE_COUNT, client->tag, shell->settings->security,
                           shell->net_answers, &client->net, &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "cannot dial %s: %s", action->address, err.text);
}

static void send_request(struct shell *shell, struct hd_agent_action *action)
{
    struct hd_net_client *net = shell->clients[action->master].net;
    struct hd_buf buf;
    struct hd_err err;
    int64_t left_ms = action->deadline_ms - hd_clock_ms();
    hd_buf_init(&buf, HD_MESSAGE_BYTES_MAX);
    if (shell->settings->keyring != NULL)
        (void)hd_keyring_own(shell->settings->keyring, shell->token);
    action->request.token = shell->token;
    if (action->request.kind == HD_REQUEST_REPORT) {
        const struct entry *entry = shell_find(shell, action->request.result.attempt);
        action->request.result.graphs_json = entry != NULL ? entry->graphs_json : NULL;
    }
    if (net == NULL || left_ms <= 0) {
        add_failure(shell, action);
    } else if (hd_request_encode(&action->request, &buf, &err) != HD_OK ||
               hd_net_send(net, action->lane, action->request.sequence, hd_buf_text(&buf), buf.size,
                           left_ms, &err) != HD_OK) {
        hd_log(HD_LOG_WARNING, "a request could not be sent: %s", err.text);
        add_failure(shell, action);
    }
    hd_buf_release(&buf);
}

static void perform(struct shell *shell, struct hd_agent_action *action)
{
    switch (action->kind) {
    case HD_AGENT_SEND:
        send_request(shell, action);
        break;
    case HD_AGENT_CONNECT:
        connect_to(shell, action);
        break;
    case HD_AGENT_START:
        shell_start(shell, action->lease, action->master);
        break;
    case HD_AGENT_STOP:
        shell_stop(shell, action->attempt, action->outcome, action->deadline_ms);
        break;
    case HD_AGENT_DROP:
        shell_drop(shell, action->attempt);
        break;
    case HD_AGENT_ACKNOWLEDGED:
        shell_acknowledge(shell, action->attempt, action->verdict, action->wanted);
        break;
    case HD_AGENT_BRING:
        shell_bring(shell, action->attempt, action->master);
        break;
    case HD_AGENT_OFFER:
        shell_offer(shell, action->attempt, action->master);
        break;
    case HD_AGENT_DESCRIBE:
        shell_add_pending(shell, &(struct pending){.kind = HD_AGENT_EVENT_DESCRIBED});
        break;
    case HD_AGENT_LOOKUP:
        hd_lookup_ask(shell->lookup);
        break;
    case HD_AGENT_EXIT:
        shell->leaving = true;
        break;
    }
}

static void step(struct shell *shell, struct hd_agent_event *event)
{
    hd_assert(!shell->stepping); /* an action must not tell: the actions would be overwritten */
    shell->stepping = true;
    event->now_ms = hd_clock_ms();
    hd_agent_step(shell->agent, event, &shell->update);
    if (shell->update.note[0] != '\0')
        hd_log(HD_LOG_INFO, "%s", shell->update.note);
    for (size_t i = 0; i < shell->update.action_count; i++)
        perform(shell, &shell->update.actions[i]);
    shell->stepping = false;
}

static void tell_pending(struct shell *shell)
{
    while (shell->pending_count > 0) {
        struct pending pending = shell->pending[shell->pending_first];
        shell->pending_first = (shell->pending_first + 1) % SHELL_PENDING_MAX;
        shell->pending_count--;
        struct hd_agent_event event = {.kind = pending.kind,
                                       .master = pending.master,
                                       .lane = pending.lane,
                                       .sequence = pending.sequence,
                                       .attempt = pending.attempt};
        if (pending.kind == HD_AGENT_EVENT_ENDED) {
            const struct entry *entry = shell_find(shell, pending.attempt);
            if (entry == NULL)
                continue; /* dropped meanwhile */
            event.result = &entry->result;
            event.master_id = entry->master;
        }
        char about[HD_ABOUT_MAX];
        if (pending.kind == HD_AGENT_EVENT_DESCRIBED) {
            event.unfit = !shell_describe(shell, about);
            event.about = about;
        }
        step(shell, &event);
    }
}

/* What the event's actions cause is told after all of them are done: an action may borrow from
 * the event. */
void shell_tell(struct shell *shell, struct hd_agent_event *event)
{
    step(shell, event);
}

void shell_tell_doing(struct shell *shell, const char *doing)
{
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_DOING, .about = doing};
    step(shell, &event);
}

static void tell_simple(struct shell *shell, enum hd_agent_event_kind kind)
{
    struct hd_agent_event event = {.kind = kind};
    step(shell, &event);
}

/* ---- what happens --------------------------------------------------------------------------- */

static void take_reply(struct shell *shell, uint32_t master, const struct hd_net_answer *answer)
{
    struct hd_arena *arena = NULL;
    struct hd_err err;
    struct hd_reply reply;
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_LANE_FAILED,
                                   .master = master,
                                   .lane = (enum hd_lane)answer->lane,
                                   .sequence = answer->sequence};
    enum hd_code code = hd_arena_new(REPLY_ARENA_MAX, &arena, &err);
    if (code == HD_OK)
        code = hd_reply_decode(answer->bytes, answer->size, arena, &reply, &err);
    if (code == HD_OK) {
        event.kind = HD_AGENT_EVENT_REPLY;
        event.reply = &reply;
    } else {
        hd_log(HD_LOG_WARNING, "a master's reply cannot be read: %s", err.text);
    }
    step(shell, &event);
    hd_arena_free(arena);
}

static void take_answer(struct shell *shell, const struct hd_net_answer *answer)
{
    uint32_t master = (uint32_t)answer->tag;
    hd_assert(master < HD_AGENT_MASTERS_MAX);
    if (shell->clients[master].tag != answer->tag)
        return;
    if (answer->kind == HD_NET_REPLY) {
        take_reply(shell, master, answer);
        return;
    }
    hd_log(HD_LOG_DEBUG, "request %llu on lane %u failed: %s", (unsigned long long)answer->sequence,
           answer->lane, answer->err.text);
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_LANE_FAILED,
                                   .master = master,
                                   .lane = (enum hd_lane)answer->lane,
                                   .sequence = answer->sequence};
    step(shell, &event);
}

static void take_masters(struct shell *shell, const struct hd_lookup_answer *answer)
{
    if (answer->failed && !shell->lookup_failed)
        hd_log(HD_LOG_WARNING, "the nameserver does not help, trying again: %s", answer->err.text);
    else if (!answer->failed && shell->lookup_failed)
        hd_log(HD_LOG_INFO, "the nameserver answers again");
    shell->lookup_failed = answer->failed;
    if (!answer->failed)
        (void)hd_copy_text(shell->token, sizeof(shell->token), answer->token);
    hd_fetch_set_token(shell->fetch, shell->token);
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_MASTERS,
                                   .masters = answer->masters,
                                   .master_count = answer->master_count};
    step(shell, &event);
}

/* The machine goes away: nothing is left to wait for. */
static void take_notice(struct shell *shell)
{
    struct hd_agent_event event = {.kind = HD_AGENT_EVENT_LEAVE,
                                   .leave_by_ms = hd_clock_ms() + shell->settings->grace_ms};
    step(shell, &event);
}

/* Nobody is waited for any more, and one more signal ends the process where it stands: the next
 * one of this work root finds what it left, as after a kill. */
static void leave_at_once(struct shell *shell)
{
    hd_stop_fd_let_go();
    hd_log(HD_LOG_WARNING, "leaving at once: what no master has taken yet stays on disk for the "
                           "next worker here, and so do targets that still run");
    shell->leaving = true;
}

static void take_signals(struct shell *shell)
{
    int *count = &shell->signals;
    struct signalfd_siginfo info;
    while (read(shell->settings->stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        bool notice = shell->settings->term_is_notice && info.ssi_signo == SIGTERM;
        if (notice && *count == 0)
            take_notice(shell);
        else
            tell_simple(shell, *count == 0 ? HD_AGENT_EVENT_DRAIN : HD_AGENT_EVENT_LEAVE);
        tell_pending(shell);
        shell->hurried = shell->hurried || notice;
        if (++*count > SIGNALS_LEAVING)
            leave_at_once(shell);
        else if (*count > 1)
            (void)shell_terminate(shell, true);
        else
            hd_log(HD_LOG_INFO, "once more to stop the targets and leave");
    }
}

static void take_all(struct shell *shell)
{
    void *item;
    while (!shell->leaving && (item = hd_queue_pop(shell->engine_news, 0)) != NULL) {
        shell_take_end(shell, item);
        hd_free(item);
        tell_pending(shell);
    }
    while (!shell->leaving && (item = hd_queue_pop(shell->courier_news, 0)) != NULL) {
        shell_take_fetched(shell, item);
        hd_free(item);
        tell_pending(shell);
    }
    while (!shell->leaving && (item = hd_queue_pop(shell->code_news, 0)) != NULL) {
        shell_take_code(shell, item);
        hd_free(item);
        tell_pending(shell);
    }
    while (!shell->leaving && (item = hd_queue_pop(shell->service_news, 0)) != NULL) {
        shell_take_services(shell, item);
        hd_free(item);
        tell_pending(shell);
    }
    while (!shell->leaving && (item = hd_queue_pop(shell->net_answers, 0)) != NULL) {
        take_answer(shell, item);
        hd_net_answer_free(item);
        tell_pending(shell);
    }
    while (!shell->leaving && (item = hd_queue_pop(shell->lookup_answers, 0)) != NULL) {
        take_masters(shell, item);
        hd_free(item);
        tell_pending(shell);
    }
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int wait_ms(const struct shell *shell)
{
    int64_t now_ms = hd_clock_ms(), at_ms = hd_agent_deadline_ms(shell->agent);
    if (shell_needs_ticks(shell) && shell->tick_at_ms < at_ms)
        at_ms = shell->tick_at_ms;
    if (shell->terminate_at_ms < at_ms)
        at_ms = shell->terminate_at_ms;
    if (shell->care_at_ms < at_ms)
        at_ms = shell->care_at_ms;
    if (at_ms <= now_ms)
        return 0;
    return at_ms - now_ms > WAIT_MS_MAX ? WAIT_MS_MAX : (int)(at_ms - now_ms);
}

static void loop(struct shell *shell)
{
    while (!shell->leaving) {
        struct pollfd fds[] = {
            {.fd = shell->settings->stop_fd, .events = POLLIN},
            {.fd = hd_queue_fd(shell->engine_news), .events = POLLIN},
            {.fd = hd_queue_fd(shell->code_news), .events = POLLIN},
            {.fd = hd_queue_fd(shell->service_news), .events = POLLIN},
            {.fd = hd_queue_fd(shell->net_answers), .events = POLLIN},
            {.fd = hd_queue_fd(shell->lookup_answers), .events = POLLIN},
            {.fd = hd_queue_fd(shell->courier_news), .events = POLLIN},
        };
        (void)poll(fds, HD_COUNT(fds), (int)hd_watchdog_feed(wait_ms(shell)));
        take_signals(shell);
        take_all(shell);
        if (hd_clock_ms() >= shell->tick_at_ms) {
            shell->tick_at_ms = hd_clock_ms() + SHELL_TICK_MS;
            shell_tick(shell);
            tell_pending(shell);
        }
        if (!shell->leaving && hd_clock_ms() >= hd_agent_deadline_ms(shell->agent))
            tell_simple(shell, HD_AGENT_EVENT_TIMEOUT);
        tell_pending(shell);
        shell->terminate_at_ms = shell_terminate(shell, false);
        if (hd_clock_ms() >= shell->care_at_ms) {
            shell->care_at_ms = shell_reap(shell);
            hd_courier_tidy(shell->courier);
        }
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool is_needed(void *context, const char *run_dir)
{
    const struct shell *shell = context;
    return hd_shipper_needs(shell->shipper, run_dir) || hd_courier_holds(shell->courier, run_dir);
}

static enum hd_code open_shipper(struct shell *shell, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    char directory[HD_PATH_MAX];
    const struct hd_shipper_settings shipping = {
        .directory = directory,
        .place = settings->artifacts,
        .access = settings->artifact_access,
        .attempt_bytes_max = settings->artifact_bytes_max,
    };
    if (!hd_format(directory, sizeof(directory), "%s/artifacts", settings->seat->state_dir))
        return hd_fail(err, HD_E_LIMIT, "the work directory's path is too long");
    enum hd_code code = hd_shipper_open(&shipping, &shell->shipper, err);
    if (code == HD_OK)
        hd_collector_limit_runs(shell->collector, settings->run_limit_bytes, is_needed, shell);
    return code;
}

static bool is_hurried(struct shell *shell)
{
    struct signalfd_siginfo info;
    while (read(shell->settings->stop_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        shell->signals++;
    return shell->hurried || shell->signals > SIGNALS_LEAVING;
}

/* A worker that leaves ships what has ended, within its time and until it is asked again. What is
 * left waits on disk for the next one. */
static void ship_rest(struct shell *shell)
{
    const struct hd_shell_settings *settings = shell->settings;
    int64_t until_ms = hd_clock_ms() + settings->artifact_wait_ms;
    if (settings->end_ms != 0 && settings->end_ms < until_ms)
        until_ms = settings->end_ms;
    if (is_hurried(shell) || hd_shipper_waiting(shell->shipper) == 0)
        return;
    hd_log(HD_LOG_INFO,
           "shipping the artifacts of %zu attempts before leaving; a third signal "
           "leaves at once",
           hd_shipper_waiting(shell->shipper));
    while (hd_shipper_waiting(shell->shipper) > 0 && !is_hurried(shell)) {
        int64_t left_ms = until_ms - hd_clock_ms();
        if (left_ms <= 0)
            break;
        struct pollfd fds[] = {
            {.fd = settings->stop_fd, .events = POLLIN},
            {.fd = hd_shipper_fd(shell->shipper), .events = POLLIN},
        };
        uint64_t count;
        (void)poll(fds, HD_COUNT(fds), (int)hd_watchdog_feed(left_ms > 60000 ? 60000 : left_ms));
        (void)!read(fds[1].fd, &count, sizeof(count));
    }
    if (hd_shipper_waiting(shell->shipper) > 0)
        hd_log(HD_LOG_WARNING,
               "left with the artifacts of %zu attempts: they are shipped when a "
               "worker starts in this work directory again",
               hd_shipper_waiting(shell->shipper));
}

static enum hd_code open_queues(struct shell *shell, struct hd_err *err)
{
    enum hd_code code = hd_queue_new(SHELL_QUEUE_MAX, &shell->engine_news, err);
    if (code == HD_OK)
        code = hd_queue_new(SHELL_QUEUE_MAX, &shell->code_news, err);
    if (code == HD_OK)
        code = hd_queue_new(SHELL_QUEUE_MAX, &shell->service_news, err);
    if (code == HD_OK)
        code = hd_queue_new(SHELL_QUEUE_MAX, &shell->net_answers, err);
    if (code == HD_OK)
        code = hd_queue_new(SHELL_QUEUE_MAX, &shell->courier_news, err);
    return code == HD_OK ? hd_queue_new(SHELL_QUEUE_MAX, &shell->lookup_answers, err) : code;
}

static enum hd_code open_courier(struct shell *shell, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_courier_settings courier = {
        .fetch = shell->fetch,
        .root = settings->root,
        .state_dir = settings->seat->state_dir,
        .bytes_max = settings->travel_bytes_max,
        .news = shell->courier_news,
    };
    return hd_courier_open(&courier, &shell->courier, err);
}

static enum hd_code open_agent(struct shell *shell, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    struct hd_agent_options options = {
        .incarnation = settings->seat->incarnation,
        .slots = settings->slots,
        .gpus = hd_gpus_total(settings->gpus),
        .idle_timeout_ms = settings->idle_timeout_ms,
        .stop_grace_ms = STOP_GRACE_MS,
        .end_ms = settings->end_ms,
        .grace_ms = settings->grace_ms,
    };
    enum hd_code code = hd_mounts_names(settings->data, options.data, err);
    if (code != HD_OK)
        return code;
    if (!hd_copy_text(options.worker, sizeof(options.worker), settings->seat->worker) ||
        !hd_copy_text(options.root, sizeof(options.root), settings->root->id) ||
        !hd_copy_text(options.run_id, sizeof(options.run_id), settings->run_id))
        return hd_fail(err, HD_E_LIMIT, "the run id is longer than %d bytes", HD_ID_MAX);
    (void)hd_copy_text(options.host, sizeof(options.host), settings->host);
    return hd_agent_new(&options, &shell->agent, err);
}

static enum hd_code open_lookup(struct shell *shell, struct hd_err *err)
{
    const struct hd_shell_settings *settings = shell->settings;
    const struct hd_lookup_settings lookup = {
        .nameserver = settings->nameserver,
        .credentials_dir = settings->credentials_dir,
        .run_id = settings->run_id,
        .worker = settings->seat->worker,
        .incarnation = settings->seat->incarnation,
        .token = settings->token,
        .keyring = settings->keyring,
        .security = settings->security,
        .queue = shell->lookup_answers,
    };
    return hd_lookup_open(&lookup, &shell->lookup, err);
}

static void drain_queue(struct hd_queue *queue, bool answers)
{
    void *item;
    while (queue != NULL && (item = hd_queue_pop(queue, 0)) != NULL) {
        if (answers)
            hd_net_answer_free(item);
        else
            hd_free(item);
    }
    hd_queue_free(queue);
}

static void close_all(struct shell *shell)
{
    hd_lookup_close(shell->lookup);
    for (size_t i = 0; i < HD_AGENT_MASTERS_MAX; i++)
        hd_net_client_close(shell->clients[i].net);
    hd_engine_close(shell->docker);
    hd_engine_close(shell->process);
    hd_needed_stop(shell->needed);
    hd_collector_close(shell->collector); /* which asks the courier */
    shell->collector = NULL;
    hd_courier_close(shell->courier);
    hd_workspace_import_clear(shell->settings->seat->state_dir);
    hd_courier_clean(shell->settings->seat->state_dir);
    hd_code_cache_close(shell->codes);
    if (shell->leaving)
        shell_end_services(shell, is_hurried); /* no target of ours is in their networks now */
    hd_service_sets_close(shell->services);
    shell->services = NULL; /* what still runs uses them until the next process */
    drain_queue(shell->service_news, false);
    drain_queue(shell->engine_news, false);
    drain_queue(shell->courier_news, false);
    drain_queue(shell->code_news, false);
    drain_queue(shell->net_answers, true);
    drain_queue(shell->lookup_answers, false);
    shell_free_entries(shell);
    hd_experiments_free(shell->experiments);
    hd_needed_free(shell->needed);
    hd_fetch_free(shell->fetch);
    hd_shipper_close(shell->shipper);
    hd_agent_free(shell->agent);
    hd_free(shell);
}

enum hd_code hd_shell_run(const struct hd_shell_settings *settings, struct hd_err *err)
{
    struct shell *shell = hd_calloc(1, sizeof(*shell));
    if (shell == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the worker");
    shell->settings = settings;
    shell->terminate_at_ms = HD_NEVER_MS;
    shell->gpus = *settings->gpus;
    (void)hd_copy_text(shell->token, sizeof(shell->token), settings->token);
    shell->experiments = hd_experiments_new();
    enum hd_code code =
        shell->experiments != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for the worker");
    if (code == HD_OK && !hd_format(shell->journal_dir, sizeof(shell->journal_dir), "%s/attempts",
                                    settings->seat->state_dir))
        code = hd_fail(err, HD_E_LIMIT, "the work directory's path is too long");
    if (code == HD_OK)
        code = open_queues(shell, err);
    if (code == HD_OK)
        code = open_agent(shell, err);
    if (code == HD_OK)
        code = open_lookup(shell, err);
    if (code == HD_OK)
        code = hd_fetch_new(settings->security, &shell->fetch, err);
    hd_workspace_import_clear(settings->seat->state_dir); /* of a process that died */
    if (code == HD_OK)
        code = open_courier(shell, err);
    if (code == HD_OK)
        code = hd_code_cache_open(settings->root, settings->seat->worker, shell->fetch,
                                  shell->code_news, &shell->codes, err);
    if (code == HD_OK)
        code = shell_open_engines(shell, err);
    if (code == HD_OK)
        code = hd_collector_open(settings->root, settings->seat->worker, settings->work_limit_bytes,
                                 &shell->collector, err);
    if (code == HD_OK)
        code = hd_needed_new(shell->fetch, settings->seat->worker, settings->root->id,
                             &shell->needed, err);
    if (code == HD_OK)
        code = shell_open_services(shell, err);
    if (code == HD_OK)
        code = open_shipper(shell, err);
    if (code == HD_OK)
        code = shell_recover(shell, err);
    if (code == HD_OK)
        code = hd_collector_start(shell->collector, hd_needed_ask, shell->needed, err);
    if (code == HD_OK)
        code = hd_service_sets_start(shell->services, err);
    if (code == HD_OK) {
        hd_fetch_set_token(shell->fetch, shell->token);
        hd_shipper_settle(shell->shipper);
        hd_notify_ready("working");
        tell_pending(shell);
        loop(shell);
        if (!is_hurried(shell) && shell->signals < SIGNALS_LEAVING && settings->end_ms == 0)
            (void)hd_collector_look(shell->collector); /* while a master can still say */
        shell_send_rest(shell);
        ship_rest(shell);
    }
    close_all(shell);
    return code;
}
