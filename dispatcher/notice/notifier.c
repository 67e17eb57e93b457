/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notifier.c: a thread, a bounded queue, and how far each channel has got.
 *
 * The queue is a window over all notices ever pushed, numbered from 0; a channel is a number in it.
 * Channels are served in turn, one message at a time: one that hangs delays the others by the time
 * limit of a try at most, and its back-off keeps it away for longer and longer.
 */
#include <hd/notice.h>
#include <hd/os.h>
#include <hd/value.h>

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define RETRY_MS_DEFAULT 1000
#define RETRY_MS_MAX 300000
#define SEND_MS_DEFAULT 15000
#define POSITIONS_BYTES_MAX 16384
#define BESTS_MAX                                                                                  \
    64 /* runs whose last best config is remembered; of one more, it may come sooner */

struct lane {
    uint64_t next;     /* number of the notice to tell next */
    uint64_t told_seq; /* of the last one that is behind it */
    bool known;        /* the file of positions had it */
    uint64_t left_out; /* dropped since the last one that went out */
    int tries;         /* of the notice in hand */
    int64_t not_before_ms;
};

struct best {
    uint64_t run_uid;
    int64_t ms; /* when a best config of this run was told last; 0 never */
};

struct hd_notifier {
    const struct hd_notice_settings *settings;
    char *positions_path;
    int64_t retry_ms, send_ms;
    pthread_mutex_t mutex; /* guards what follows, to the blank line */
    pthread_cond_t changed;
    struct hd_notice *queue[HD_NOTICE_QUEUE_MAX];
    uint64_t first, end; /* numbers: [first, end) are in the queue */
    struct lane lanes[HD_NOTICE_CHANNELS_MAX];
    struct best bests[HD_NOTICE_CHANNELS_MAX][BESTS_MAX];
    bool stopping;
    int64_t flush_until_ms;

    atomic_bool hurry; /* the time to flush is over: a try under way is given up */
    bool started;
    pthread_t thread;
};

/* ---- the file of positions ------------------------------------------------------------------- */

static enum hd_code read_positions(struct hd_notifier *notifier, struct hd_err *err)
{
    struct hd_buf text;
    struct hd_value *root = NULL;
    if (!hd_path_exists(notifier->positions_path))
        return HD_OK;
    hd_buf_init(&text, POSITIONS_BYTES_MAX);
    enum hd_code code =
        hd_file_read(notifier->positions_path, POSITIONS_BYTES_MAX, true, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, notifier->positions_path,
                             &hd_value_limits_target, &root, err);
    hd_buf_release(&text);
    if (code != HD_OK) /* a person may delete it: what is told twice then is no harm */
        return hd_fail_in(err, "how far notices were told (delete the file to begin anew)");
    for (size_t i = 0; i < notifier->settings->channel_count; i++) {
        const struct hd_value *seq = hd_value_get(root, notifier->settings->channels[i].name);
        if (seq == NULL || seq->kind != HD_VALUE_INT || seq->as.integer < 0)
            continue;
        notifier->lanes[i].known = true;
        notifier->lanes[i].told_seq = (uint64_t)seq->as.integer;
    }
    hd_value_free(root);
    return HD_OK;
}

static enum hd_code write_positions(const struct hd_notifier *notifier, const uint64_t *told,
                                    struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, POSITIONS_BYTES_MAX);
    enum hd_code code = hd_buf_puts(&text, "{", err);
    for (size_t i = 0; code == HD_OK && i < notifier->settings->channel_count; i++)
        code = hd_buf_printf(&text, err, "%s\"%s\":%" PRIu64, i > 0 ? "," : "",
                             notifier->settings->channels[i].name, told[i]);
    if (code == HD_OK)
        code = hd_buf_puts(&text, "}\n", err);
    if (code == HD_OK)
        code = hd_file_write_atomic(notifier->positions_path, text.data, text.size, 0600, err);
    hd_buf_release(&text);
    return code;
}

/* Without the mutex: it waits for the disk. One thread calls it. */
static void keep_positions(struct hd_notifier *notifier)
{
    uint64_t told[HD_NOTICE_CHANNELS_MAX];
    struct hd_err err;
    pthread_mutex_lock(&notifier->mutex);
    for (size_t i = 0; i < notifier->settings->channel_count; i++)
        told[i] = notifier->lanes[i].told_seq;
    pthread_mutex_unlock(&notifier->mutex);
    if (write_positions(notifier, told, &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "%s: after a restart some notices may be told again", err.text);
}

/* ---- the queue, with the mutex held ---------------------------------------------------------- */

static struct hd_notice *at(const struct hd_notifier *notifier, uint64_t number)
{
    return notifier->queue[number % HD_NOTICE_QUEUE_MAX];
}

/* Something later says more: a newer best config of the run, or how it ended. */
static bool is_superseded(const struct hd_notifier *notifier, uint64_t number, unsigned bit)
{
    const struct hd_notice *notice = at(notifier, number);
    if (notice->event != HD_NOTIFY_INCUMBENT)
        return false;
    for (uint64_t later = number + 1; later < notifier->end; later++) {
        const struct hd_notice *other = at(notifier, later);
        if ((other->channels & bit) != 0 && other->run_uid == notice->run_uid &&
            (other->event == HD_NOTIFY_INCUMBENT || other->event == HD_NOTIFY_FINISHED))
            return true;
    }
    return false;
}

static void pass(struct hd_notifier *notifier, struct lane *lane)
{
    lane->told_seq = at(notifier, lane->next)->seq > lane->told_seq ? at(notifier, lane->next)->seq
                                                                    : lane->told_seq;
    lane->next++;
    lane->tries = 0;
    lane->not_before_ms = 0;
}

/* Skips what this channel is not told. NULL: nothing is left for it. */
static const struct hd_notice *wanted(struct hd_notifier *notifier, size_t channel)
{
    struct lane *lane = &notifier->lanes[channel];
    unsigned bit = 1u << channel;
    for (; lane->next < notifier->end; pass(notifier, lane)) {
        const struct hd_notice *notice = at(notifier, lane->next);
        if ((notice->channels & bit) != 0 && notice->seq > lane->told_seq &&
            !is_superseded(notifier, lane->next, bit))
            return notice;
    }
    return NULL;
}

static void drop_told(struct hd_notifier *notifier)
{
    uint64_t slowest = notifier->end;
    for (size_t i = 0; i < notifier->settings->channel_count; i++)
        slowest = notifier->lanes[i].next < slowest ? notifier->lanes[i].next : slowest;
    for (; notifier->first < slowest; notifier->first++) {
        hd_notice_free(at(notifier, notifier->first));
        notifier->queue[notifier->first % HD_NOTICE_QUEUE_MAX] = NULL;
    }
}

/* The oldest notice goes, told or not. */
static void drop_oldest(struct hd_notifier *notifier)
{
    uint64_t number = notifier->first;
    for (size_t i = 0; i < notifier->settings->channel_count; i++) {
        struct lane *lane = &notifier->lanes[i];
        if (lane->next != number)
            continue;
        if (wanted(notifier, i) != NULL && lane->next == number) {
            lane->left_out++;
            pass(notifier, lane);
        }
    }
    drop_told(notifier);
}

void hd_notifier_push(struct hd_notifier *notifier, struct hd_notice *notice)
{
    pthread_mutex_lock(&notifier->mutex);
    if (notifier->end - notifier->first == HD_NOTICE_QUEUE_MAX)
        drop_oldest(notifier);
    hd_assert(notifier->end - notifier->first < HD_NOTICE_QUEUE_MAX);
    notifier->queue[notifier->end++ % HD_NOTICE_QUEUE_MAX] = notice;
    pthread_cond_signal(&notifier->changed);
    pthread_mutex_unlock(&notifier->mutex);
}

static void note_best(struct best *bests, uint64_t run_uid, int64_t now_ms)
{
    struct best *place = &bests[0];
    for (size_t i = 0; i < BESTS_MAX; i++) {
        if (bests[i].run_uid == run_uid) {
            place = &bests[i];
            break;
        }
        if (bests[i].ms < place->ms)
            place = &bests[i];
    }
    *place = (struct best){run_uid, now_ms};
}

static int64_t last_best_ms(const struct best *bests, uint64_t run_uid)
{
    for (size_t i = 0; i < BESTS_MAX; i++)
        if (bests[i].run_uid == run_uid)
            return bests[i].ms;
    return 0;
}

/* Something that is no best config waits for the one that is next. */
static bool holds_up(const struct hd_notifier *notifier, size_t channel)
{
    for (uint64_t number = notifier->lanes[channel].next + 1; number < notifier->end; number++)
        if ((at(notifier, number)->channels & (1u << channel)) != 0 &&
            at(notifier, number)->event != HD_NOTIFY_INCUMBENT)
            return true;
    return false;
}

/* When this channel's next notice may go out. A new best config waits until the last one of its
 * run is old enough; best configs of other runs wait with it, anything else does not. */
static int64_t due_ms(const struct hd_notifier *notifier, size_t channel,
                      const struct hd_notice *notice)
{
    int64_t due = notifier->lanes[channel].not_before_ms;
    if (notice->event != HD_NOTIFY_INCUMBENT || notifier->stopping || holds_up(notifier, channel))
        return due;
    int64_t last_ms = last_best_ms(notifier->bests[channel], notice->run_uid);
    if (last_ms != 0 && due < last_ms + notifier->settings->incumbent_every_ms)
        due = last_ms + notifier->settings->incumbent_every_ms;
    return due;
}

/* The channel whose notice is due first; *ret_due_ms HD_NEVER_MS: none. */
static size_t choose(struct hd_notifier *notifier, int64_t *ret_due_ms)
{
    size_t best = 0;
    *ret_due_ms = HD_NEVER_MS;
    for (size_t i = 0; i < notifier->settings->channel_count; i++) {
        const struct hd_notice *notice = wanted(notifier, i);
        if (notice == NULL)
            continue;
        int64_t due = due_ms(notifier, i, notice);
        if (due < *ret_due_ms) {
            *ret_due_ms = due;
            best = i;
        }
    }
    drop_told(notifier);
    return best;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool copy_notice(const struct hd_notice *notice, struct hd_notice *copy)
{
    *copy = *notice;
    copy->data = hd_strdup(notice->data);
    return copy->data != NULL;
}

static enum hd_code tell(struct hd_notifier *notifier, size_t channel_index,
                         const struct hd_notice *notice, uint64_t left_out, struct hd_err *err)
{
    const struct hd_notice_channel *channel = &notifier->settings->channels[channel_index];
    struct hd_notice_message message = {.url = NULL};
    enum hd_code code =
        hd_notice_compose(channel, notice, left_out, hd_clock_wall_ms(), &message, err);
    if (code == HD_OK)
        code = hd_notice_send(channel, &message, notifier->send_ms, &notifier->hurry, err);
    hd_notice_message_release(&message);
    return code;
}

/* With the mutex held; true when the channel is past this notice. */
static bool note_try(struct hd_notifier *notifier, size_t channel, const struct hd_notice *told,
                     enum hd_code code, const struct hd_err *err)
{
    struct lane *lane = &notifier->lanes[channel];
    const char *name = notifier->settings->channels[channel].name;
    if (code == HD_E_CANCELLED)
        return false;
    lane->tries++;
    bool final = code == HD_E_INVALID || lane->tries >= HD_NOTICE_TRIES_MAX;
    if (code == HD_OK) {
        hd_log(HD_LOG_DEBUG, "channel %s was told: %s", name, told->title);
        lane->left_out = 0;
        if (told->event == HD_NOTIFY_INCUMBENT)
            note_best(notifier->bests[channel], told->run_uid, hd_clock_ms());
    } else if (final) {
        hd_log(HD_LOG_ERROR, "channel %s was not told \"%s\": %s; given up after %d %s", name,
               told->title, err->text, lane->tries, lane->tries == 1 ? "try" : "tries");
        lane->left_out++;
    } else {
        int64_t wait_ms = notifier->retry_ms;
        for (int i = 1; i < lane->tries && wait_ms < RETRY_MS_MAX; i++)
            wait_ms *= 2;
        wait_ms = wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX;
        lane->not_before_ms = hd_clock_ms() + wait_ms;
        hd_log(HD_LOG_WARNING, "channel %s: %s; trying again in %.1f s", name, err->text,
               (double)wait_ms / 1000);
        return false;
    }
    /* The queue may have dropped it meanwhile. */
    if (lane->next < notifier->end && lane->next >= notifier->first &&
        at(notifier, lane->next)->seq == told->seq &&
        hd_streq(at(notifier, lane->next)->id, told->id))
        pass(notifier, lane);
    else if (lane->told_seq < told->seq)
        lane->told_seq = told->seq;
    return true;
}

static void wait_until(struct hd_notifier *notifier, int64_t due)
{
    if (due == HD_NEVER_MS) {
        pthread_cond_wait(&notifier->changed, &notifier->mutex);
        return;
    }
    struct timespec until;
    int64_t left_ms = due - hd_clock_ms();
    if (left_ms <= 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left_ms / 1000;
    until.tv_nsec += (left_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&notifier->changed, &notifier->mutex, &until);
}

/* One try, without the mutex while it waits for the other side. */
static void serve(struct hd_notifier *notifier, size_t channel)
{
    struct hd_notice copy;
    struct hd_err err;
    uint64_t left_out = notifier->lanes[channel].left_out;
    if (!copy_notice(at(notifier, notifier->lanes[channel].next), &copy)) {
        notifier->lanes[channel].not_before_ms = hd_clock_ms() + notifier->retry_ms;
        return;
    }
    pthread_mutex_unlock(&notifier->mutex);
    enum hd_code code = tell(notifier, channel, &copy, left_out, &err);
    pthread_mutex_lock(&notifier->mutex);
    bool passed = note_try(notifier, channel, &copy, code, &err);
    hd_free(copy.data);
    if (!passed)
        return;
    pthread_mutex_unlock(&notifier->mutex);
    keep_positions(notifier);
    pthread_mutex_lock(&notifier->mutex);
}

static void *notifier_main(void *context)
{
    struct hd_notifier *notifier = context;
    pthread_mutex_lock(&notifier->mutex);
    for (;;) {
        int64_t due, now_ms = hd_clock_ms();
        size_t channel = choose(notifier, &due);
        if (notifier->stopping &&
            (due == HD_NEVER_MS || due > notifier->flush_until_ms ||
             now_ms > notifier->flush_until_ms || atomic_load(&notifier->hurry)))
            break;
        if (due <= now_ms)
            serve(notifier, channel);
        else
            wait_until(notifier, due);
    }
    pthread_mutex_unlock(&notifier->mutex);
    return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void release(struct hd_notifier *notifier)
{
    for (uint64_t i = notifier->first; i < notifier->end; i++)
        hd_notice_free(at(notifier, i));
    pthread_cond_destroy(&notifier->changed);
    pthread_mutex_destroy(&notifier->mutex);
    hd_free(notifier->positions_path);
    hd_free(notifier);
}

enum hd_code hd_notifier_open(const struct hd_notifier_options *options,
                              struct hd_notifier **ret_notifier, struct hd_err *err)
{
    struct hd_notifier *notifier = hd_calloc(1, sizeof(*notifier));
    if (notifier == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for notices");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&notifier->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&notifier->mutex, NULL);
    atomic_init(&notifier->hurry, false);
    notifier->settings = options->settings;
    notifier->retry_ms = options->retry_ms > 0 ? options->retry_ms : RETRY_MS_DEFAULT;
    notifier->send_ms = options->send_ms > 0 ? options->send_ms : SEND_MS_DEFAULT;
    for (size_t i = 0; i < HD_NOTICE_CHANNELS_MAX; i++)
        notifier->lanes[i].told_seq = UINT64_MAX; /* one that is not known hears no history */
    notifier->positions_path = hd_strdup(options->positions_path);
    enum hd_code code = notifier->positions_path != NULL
                            ? read_positions(notifier, err)
                            : hd_fail(err, HD_E_NOMEM, "no memory for notices");
    if (code != HD_OK) {
        release(notifier);
        return code;
    }
    *ret_notifier = notifier;
    return HD_OK;
}

uint64_t hd_notifier_told(const struct hd_notifier *notifier)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < notifier->settings->channel_count; i++)
        if (notifier->lanes[i].known && notifier->lanes[i].told_seq < least)
            least = notifier->lanes[i].told_seq;
    return least;
}

enum hd_code hd_notifier_start(struct hd_notifier *notifier, uint64_t last_seq, struct hd_err *err)
{
    pthread_mutex_lock(&notifier->mutex);
    for (size_t i = 0; i < notifier->settings->channel_count; i++) {
        struct lane *lane = &notifier->lanes[i];
        /* Another store, or one from a backup: its facts are not those that were told. */
        if (!lane->known || lane->told_seq > last_seq)
            lane->told_seq = last_seq;
    }
    pthread_mutex_unlock(&notifier->mutex);
    keep_positions(notifier); /* what happens from now on is told, whenever the process ends */
    if (pthread_create(&notifier->thread, NULL, notifier_main, notifier) != 0)
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread of notices");
    notifier->started = true;
    return HD_OK;
}

static void join(struct hd_notifier *notifier, int64_t flush_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += flush_ms / 1000 + 1;
    if (pthread_timedjoin_np(notifier->thread, NULL, &until) == 0)
        return;
    atomic_store(&notifier->hurry, true);
    pthread_join(notifier->thread, NULL);
}

/* Lanes that are not through: somebody will hear of it later, or by the log now. */
static void say_what_remains(struct hd_notifier *notifier)
{
    for (size_t i = 0; i < notifier->settings->channel_count; i++)
        if (wanted(notifier, i) != NULL)
            hd_log(HD_LOG_WARNING,
                   "channel %s has not been told all; the next start of this master tells it: %s",
                   notifier->settings->channels[i].name,
                   at(notifier, notifier->lanes[i].next)->title);
}

void hd_notifier_close(struct hd_notifier *notifier, int64_t flush_ms)
{
    if (notifier == NULL)
        return;
    pthread_mutex_lock(&notifier->mutex);
    notifier->stopping = true;
    notifier->flush_until_ms = hd_clock_ms() + flush_ms;
    if (flush_ms == 0)
        atomic_store(&notifier->hurry, true);
    pthread_cond_signal(&notifier->changed);
    pthread_mutex_unlock(&notifier->mutex);
    if (notifier->started) {
        join(notifier, flush_ms);
        say_what_remains(notifier);
    }
    release(notifier);
}
