/* SPDX-License-Identifier: Apache-2.0 */
/* warm_run.c: what becomes of a warm target and its job; the thread that serves them; see warm.h.
 */
#include "warm.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
#define READS_MAX 64 /* of one target, before the others get their turn */
#define WAIT_MS_MAX 60000

void hd_warm_wake(struct hd_warm *warm)
{
    (void)eventfd_write(warm->wake_fd, 1);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void remember_ended(struct hd_warm *warm, struct hd_attempt_ref attempt)
{
    if (warm->ended_count == HD_WARM_MAX)
        memmove(warm->ended, warm->ended + 1, --warm->ended_count * sizeof(warm->ended[0]));
    warm->ended[warm->ended_count++] = attempt;
}

/* The directory is back and the files are whole before anybody hears of the end. */
static void end_task(struct hd_warm *warm, struct hd_warm_target *target, struct hd_engine_end *end)
{
    struct hd_warm_task *task = &target->task;
    hd_warm_pass_log(target);
    if (!hd_warm_box_take(target))
        hd_log(HD_LOG_WARNING, "job %u, attempt %u: its warm target did away with %s",
               task->attempt.job, task->attempt.attempt, task->work_dir);
    end->timed_out = task->timed_out;
    end->stopped = task->stopped && !task->timed_out;
    end->finished_wall_ms = hd_clock_wall_ms();
    end->started_wall_ms =
        task->started_wall_ms > 0 ? task->started_wall_ms : end->finished_wall_ms;
    hd_buf_release(&task->line);
    target->has_task = false;
    remember_ended(warm, task->attempt);
    hd_engine_tell(warm->news, task->attempt, end);
}

void hd_warm_free_target(struct hd_warm *warm, struct hd_warm_target *target)
{
    for (size_t i = 0; i < HD_WARM_MAX; i++)
        if (warm->targets[i] == target)
            warm->targets[i] = NULL;
    if (target->has_task) {
        (void)hd_warm_box_take(target);
        hd_buf_release(&target->task.line);
    }
    hd_warm_box_remove(target);
    hd_buf_release(&target->in);
    hd_free(target->key);
    hd_free(target->gpus);
    hd_free(target);
}

static void close_connection(struct hd_warm_target *target)
{
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
}

/* No job comes to it any more; its end is awaited. */
static void begin_ending(struct hd_warm *warm, struct hd_warm_target *target, int64_t grace_ms)
{
    hd_free(target->key);
    target->key = NULL;
    target->state = HD_WARM_ENDING;
    hd_engine_stop(warm->inner, target->ref, grace_ms);
}

/* The end of its connection tells it to end by itself. */
void hd_warm_retire(struct hd_warm *warm, struct hd_warm_target *target)
{
    close_connection(target);
    begin_ending(warm, target, target->grace_ms);
}

/* What it says from now on counts for nothing. */
static void doubt(struct hd_warm *warm, struct hd_warm_target *target, const char *fmt, ...)
    HD_PRINTF(3, 4);
static void doubt(struct hd_warm *warm, struct hd_warm_target *target, const char *fmt, ...)
{
    struct hd_warm_task *task = &target->task;
    char text[HD_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (target->has_task)
        (void)hd_copy_text(task->doubt, sizeof(task->doubt), text);
    else
        hd_log(HD_LOG_INFO, "a warm target without a job is ended: %s", text);
    close_connection(target);
    begin_ending(warm, target, 0);
}

/* How a job ends that got no answer. An end that earlier jobs of the target may have caused is not
 * charged: the next attempt gets a fresh one. */
static void judge_unanswered(const struct hd_warm_target *target, struct hd_engine_end *end)
{
    const struct hd_warm_task *task = &target->task;
    char text[HD_MESSAGE_MAX], how[96] = "it was killed for want of memory";
    bool doubted = task->doubt[0] != '\0';
    bool reused = target->jobs > 0;
    if (task->stopped || task->timed_out || end->kind == HD_END_ENGINE_LOST ||
        (end->kind == HD_END_NOT_STARTED && !doubted))
        return;
    if (!end->oom_killed)
        (void)hd_format(how, sizeof(how), "it ended with exit code %d", end->exit_code);
    if (doubted)
        (void)hd_copy_text(text, sizeof(text), task->doubt);
    else
        (void)hd_format(text, sizeof(text), "%s in the middle of a job", how);
    if (reused) {
        end->uncharged = true;
        (void)hd_format(end->message, sizeof(end->message),
                        "%s; the warm target had done %u jobs before: tried again in a fresh one",
                        text, target->jobs);
    } else if (doubted || end->exit_code == 0) {
        struct hd_buf loss;
        struct hd_err ignored;
        hd_buf_init(&loss, 4 * HD_MESSAGE_MAX);
        if (!doubted)
            (void)hd_copy_text(text, sizeof(text),
                               "it ended without an answer: a warm target answers each job and "
                               "waits for the next one");
        if (hd_buf_puts(&loss, "{\"state\":\"failed\",\"message\":", &ignored) == HD_OK &&
            hd_json_write_string(text, &loss, &ignored) == HD_OK &&
            hd_buf_puts(&loss, "}", &ignored) == HD_OK)
            (void)hd_warm_write_loss(task, hd_buf_text(&loss), loss.size);
        hd_buf_release(&loss);
        *end = (struct hd_engine_end){.kind = HD_END_EXITED, .oom_killed = end->oom_killed};
    }
}

static void take_lines(struct hd_warm *warm, struct hd_warm_target *target);

/* The end of the inner target. It may have answered just before. */
static void take_inner_end(struct hd_warm *warm, struct hd_warm_target *target,
                           struct hd_engine_end *end)
{
    if (target->fd >= 0 && target->state == HD_WARM_BUSY)
        take_lines(warm, target);
    hd_engine_remove(warm->inner, target->ref);
    if (target->has_task && target->state == HD_WARM_STARTING && end->kind == HD_END_EXITED &&
        end->exit_code == 0 && !target->task.stopped) {
        *end = (struct hd_engine_end){.kind = HD_END_NOT_STARTED, .config_error = true};
        (void)hd_copy_text(end->message, sizeof(end->message),
                           "the target ended before it connected to $HYPERDOCK_SOCKET: "
                           "target.warm is for programs that take one job after another");
    } else if (target->has_task) {
        judge_unanswered(target, end);
    }
    if (target->has_task)
        end_task(warm, target, end);
    hd_warm_free_target(warm, target);
}

/* ---- a job's time --------------------------------------------------------------------------- */

static void push_line(struct hd_warm_target *target)
{
    struct hd_warm_task *task = &target->task;
    while (task->line_sent < task->line.size) {
        ssize_t sent = send(target->fd, task->line.data + task->line_sent,
                            task->line.size - task->line_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return; /* full: later; closed: seen when it is read */
        task->line_sent += (size_t)sent;
    }
}

void hd_warm_send(struct hd_warm *warm, struct hd_warm_target *target)
{
    struct hd_warm_task *task = &target->task;
    int64_t now_ms = hd_clock_ms();
    (void)warm;
    target->state = HD_WARM_BUSY;
    target->idle_until_ms = HD_NEVER_MS;
    task->started_wall_ms = hd_clock_wall_ms();
    task->deadline_ms = task->timeout_ms > 0 ? now_ms + task->timeout_ms : HD_NEVER_MS;
    task->beat_by_ms = task->heartbeat_ms > 0 ? now_ms + task->heartbeat_ms : HD_NEVER_MS;
    task->log_at_ms = now_ms + HD_WARM_LOG_EVERY_MS;
    push_line(target);
}

static void tend_task(struct hd_warm *warm, struct hd_warm_target *target, int64_t now_ms)
{
    struct hd_warm_task *task = &target->task;
    if (now_ms >= task->log_at_ms) {
        task->log_at_ms = now_ms + HD_WARM_LOG_EVERY_MS;
        hd_warm_pass_log(target);
    }
    if (now_ms >= task->deadline_ms) {
        task->timed_out = !task->stopped;
        hd_warm_box_ask_stop(target);
        begin_ending(warm, target, task->grace_ms);
    } else if (now_ms >= task->stop_by_ms) {
        begin_ending(warm, target, 0);
    } else if (now_ms >= task->beat_by_ms) {
        doubt(warm, target, "no sign of life for %lld ms (target.warm.heartbeat)",
              (long long)task->heartbeat_ms);
    } else if (target->closed_at_ms != HD_NEVER_MS &&
               now_ms >= target->closed_at_ms + HD_WARM_CLOSED_MS_MAX) {
        doubt(warm, target, "it closed its connection in the middle of a job");
    }
}

static void tend(struct hd_warm *warm, struct hd_warm_target *target, int64_t now_ms)
{
    switch (target->state) {
    case HD_WARM_STARTING:
        if (now_ms >= target->start_by_ms)
            doubt(warm, target, "it did not connect to $HYPERDOCK_SOCKET within %d s",
                  HD_WARM_START_MS_MAX / 1000);
        break;
    case HD_WARM_IDLE:
        if (now_ms >= target->idle_until_ms)
            hd_warm_retire(warm, target);
        break;
    case HD_WARM_BUSY:
        tend_task(warm, target, now_ms);
        break;
    case HD_WARM_ENDING:
        break; /* the inner engine kills it when it must */
    }
}

static int64_t next_wake_ms(const struct hd_warm_target *target)
{
    const struct hd_warm_task *task = &target->task;
    int64_t closed_ms = target->closed_at_ms == HD_NEVER_MS
                            ? HD_NEVER_MS
                            : target->closed_at_ms + HD_WARM_CLOSED_MS_MAX;
    const int64_t busy[] = {task->deadline_ms, task->stop_by_ms, task->beat_by_ms, task->log_at_ms,
                            closed_ms};
    int64_t next_ms = HD_NEVER_MS;
    if (target->state == HD_WARM_STARTING)
        return target->start_by_ms;
    if (target->state == HD_WARM_IDLE)
        return target->idle_until_ms;
    for (size_t i = 0; target->state == HD_WARM_BUSY && i < HD_COUNT(busy); i++)
        if (busy[i] < next_ms)
            next_ms = busy[i];
    return next_ms;
}

/* ---- what targets say ----------------------------------------------------------------------- */

/* It is free for the next job, unless there is a reason to begin with a fresh one. */
static void set_free(struct hd_warm *warm, struct hd_warm_target *target, bool trusted)
{
    target->jobs++;
    if (!trusted || target->jobs >= target->jobs_max || target->idle_ms == 0 ||
        target->log_offset > HD_WARM_LOG_BYTES_MAX || hd_warm_is_fat(target)) {
        hd_warm_retire(warm, target);
        return;
    }
    target->state = HD_WARM_IDLE;
    target->idle_until_ms = hd_clock_ms() + target->idle_ms;
}

static void take_answer(struct hd_warm *warm, struct hd_warm_target *target,
                        const struct hd_warm_line *line)
{
    struct hd_engine_end end = {.kind = HD_END_EXITED};
    if (target->task.line_sent < target->task.line.size) {
        doubt(warm, target, "it answered before it had read its job");
        return;
    }
    if (!hd_warm_write_loss(&target->task, hd_buf_text(&line->text), line->text.size)) {
        end = (struct hd_engine_end){.kind = HD_END_ENGINE_LOST};
        (void)hd_format(end.message, sizeof(end.message),
                        "its answer could not be written to %s: %s", target->task.run_dir,
                        strerror(errno));
    }
    end.oom_killed = hd_warm_had_oom(target);
    bool trusted = !end.oom_killed;
    end_task(warm, target, &end);
    set_free(warm, target, trusted);
}

static void take_garbage(struct hd_warm *warm, struct hd_warm_target *target, const char *why)
{
    if (++target->task.garbage > HD_WARM_GARBAGE_MAX)
        doubt(warm, target, "more than %d lines of it are no answers, the last one %s",
              HD_WARM_GARBAGE_MAX, why);
}

static void take_line(struct hd_warm *warm, struct hd_warm_target *target,
                      struct hd_warm_line *line)
{
    struct hd_warm_task *task = &target->task;
    if (line->kind == HD_WARM_ABOUT) {
        target->stops = line->stops;
        return;
    }
    if (target->state != HD_WARM_BUSY) {
        doubt(warm, target, "it spoke without having a job");
        return;
    }
    if (line->kind == HD_WARM_GARBAGE) {
        take_garbage(warm, target, line->why);
        return;
    }
    if (!hd_streq(line->id, task->id)) {
        doubt(warm, target, "it answered for job %.31s, which is not its job", line->id);
        return;
    }
    if (task->heartbeat_ms > 0)
        task->beat_by_ms = hd_clock_ms() + task->heartbeat_ms;
    if (line->kind == HD_WARM_POINT)
        (void)hd_warm_write_point(task, &line->text);
    else if (line->kind == HD_WARM_ANSWER)
        take_answer(warm, target, line);
}

/* Whole lines of what has come. */
static void split_lines(struct hd_warm *warm, struct hd_warm_target *target)
{
    size_t at = 0;
    const char *end;
    while (target->fd >= 0 && at < target->in.size &&
           (end = memchr(target->in.data + at, '\n', target->in.size - at)) != NULL) {
        struct hd_warm_line line;
        size_t size = (size_t)(end - (target->in.data + at));
        hd_warm_line_read(target->in.data + at, size, &line);
        at += size + 1;
        take_line(warm, target, &line);
        hd_warm_line_release(&line);
    }
    if (at > 0) {
        target->in.size -= at;
        memmove(target->in.data, target->in.data + at, target->in.size);
        target->in.data[target->in.size] = '\0';
    }
}

static void take_closed(struct hd_warm *warm, struct hd_warm_target *target)
{
    close_connection(target);
    target->closed_at_ms = hd_clock_ms();
    /* In a job it is a crash, most likely: its end comes in a moment. */
    if (target->state == HD_WARM_IDLE)
        hd_warm_retire(warm, target);
}

static void take_lines(struct hd_warm *warm, struct hd_warm_target *target)
{
    char chunk[READ_BYTES];
    struct hd_err ignored;
    for (int i = 0; i < READS_MAX && target->fd >= 0; i++) {
        ssize_t got = recv(target->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            take_closed(warm, target);
            return;
        }
        if (target->state == HD_WARM_ENDING)
            continue; /* so that it does not hang in a write */
        if (hd_buf_append(&target->in, chunk, (size_t)got, &ignored) != HD_OK) {
            doubt(warm, target, "a line of it is longer than %u bytes", HD_WARM_LINE_MAX);
            return;
        }
        split_lines(warm, target);
        if ((size_t)got < sizeof(chunk))
            return;
    }
}

static void take_connection(struct hd_warm *warm, struct hd_warm_target *target)
{
    int fd = accept4(target->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    target->fd = fd;
    close(target->listen_fd);
    target->listen_fd = -1;
    (void)unlinkat(target->box_fd, HD_WARM_SOCKET, 0);
    hd_warm_look_at_peer(target);
    if (target->state == HD_WARM_STARTING)
        hd_warm_send(warm, target);
}

/* ---- the thread ----------------------------------------------------------------------------- */

struct polled {
    struct pollfd fds[HD_WARM_MAX + 2]; /* the first two: a wake, the inner engine's news */
    uint32_t refs[HD_WARM_MAX + 2];
    size_t count;
    int64_t wake_ms;
};

static void prepare(const struct hd_warm *warm, struct polled *polled)
{
    polled->fds[0] = (struct pollfd){.fd = warm->wake_fd, .events = POLLIN};
    polled->fds[1] = (struct pollfd){.fd = hd_queue_fd(warm->inner_news), .events = POLLIN};
    polled->count = 2;
    polled->wake_ms = HD_NEVER_MS;
    for (size_t i = 0; i < HD_WARM_MAX; i++) {
        const struct hd_warm_target *target = warm->targets[i];
        if (target == NULL)
            continue;
        bool sends = target->state == HD_WARM_BUSY &&
                     target->task.line_sent < target->task.line.size && target->fd >= 0;
        polled->refs[polled->count] = target->ref.job;
        polled->fds[polled->count++] =
            (struct pollfd){.fd = target->fd >= 0 ? target->fd : target->listen_fd,
                            .events = (short)(POLLIN | (sends ? POLLOUT : 0))};
        int64_t next_ms = next_wake_ms(target);
        if (next_ms < polled->wake_ms)
            polled->wake_ms = next_ms;
    }
}

static struct hd_warm_target *find(struct hd_warm *warm, uint32_t job)
{
    for (size_t i = 0; i < HD_WARM_MAX; i++)
        if (warm->targets[i] != NULL && warm->targets[i]->ref.job == job)
            return warm->targets[i];
    return NULL;
}

/* What is said before an end is read before it: sockets come first. */
static void serve_sockets(struct hd_warm *warm, const struct polled *polled)
{
    for (size_t i = 2; i < polled->count; i++) {
        struct hd_warm_target *target =
            polled->fds[i].revents != 0 ? find(warm, polled->refs[i]) : NULL;
        if (target == NULL)
            continue;
        if (target->fd < 0 && target->listen_fd >= 0)
            take_connection(warm, target);
        else if (target->fd >= 0 && (polled->fds[i].revents & POLLOUT) != 0)
            push_line(target);
        if (target->fd >= 0)
            take_lines(warm, target);
    }
}

/* A stop that came before it was known how to run it holds. */
static void take_cold_end(struct hd_warm *warm, const struct hd_engine_news *news)
{
    warm->cold -= warm->cold > 0 ? 1 : 0;
    if (news->end.says_warm && !news->end.stopped) {
        hd_engine_remove(warm->inner, news->attempt);
        hd_warm_take_label(warm, news->attempt);
        return;
    }
    hd_warm_forget_waiting(warm, news->attempt);
    hd_engine_tell(warm->news, news->attempt, &news->end);
}

static void serve_news(struct hd_warm *warm)
{
    struct hd_engine_news *news;
    while ((news = hd_queue_pop(warm->inner_news, 0)) != NULL) {
        struct hd_warm_target *target =
            hd_engine_is_warm(news->attempt) ? find(warm, news->attempt.job) : NULL;
        if (news->begun) {
            hd_warm_forget_waiting(warm, news->attempt);
            if (!hd_engine_is_warm(news->attempt))
                hd_engine_begin(warm->news, news->attempt, false);
        } else if (!news->ended) {
            hd_engine_say(warm->news, target != NULL ? target->task.attempt : news->attempt,
                          news->doing);
        } else if (target != NULL) {
            take_inner_end(warm, target, &news->end);
        } else if (!hd_engine_is_warm(news->attempt)) {
            take_cold_end(warm, news);
        }
        hd_free(news);
    }
}

static int wait_ms(int64_t wake_ms)
{
    int64_t left_ms = wake_ms == HD_NEVER_MS ? WAIT_MS_MAX : wake_ms - hd_clock_ms();
    return left_ms < 0 ? 0 : left_ms > WAIT_MS_MAX ? WAIT_MS_MAX : (int)left_ms;
}

void *hd_warm_main(void *context)
{
    struct hd_warm *warm = context;
    struct polled polled;
    eventfd_t ignored;
    for (;;) {
        pthread_mutex_lock(&warm->lock);
        bool closing = warm->closing;
        prepare(warm, &polled);
        pthread_mutex_unlock(&warm->lock);
        if (closing)
            return NULL;
        (void)poll(polled.fds, (nfds_t)polled.count, wait_ms(polled.wake_ms));
        if (polled.fds[0].revents != 0)
            (void)eventfd_read(warm->wake_fd, &ignored);
        pthread_mutex_lock(&warm->lock);
        serve_sockets(warm, &polled);
        serve_news(warm);
        int64_t now_ms = hd_clock_ms();
        for (size_t i = 0; i < HD_WARM_MAX; i++)
            if (warm->targets[i] != NULL)
                tend(warm, warm->targets[i], now_ms);
        pthread_mutex_unlock(&warm->lock);
    }
}
