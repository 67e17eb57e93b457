/* SPDX-License-Identifier: Apache-2.0 */
#include "courier_internal.h"

#include "pieces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICE 10
#define TRIES_MAX 8  /* of one call that sends, in a row */
#define RETRY_MS 250 /* doubled with each failure in a row */
#define JSON_BYTES_MAX HD_VIEW_JSON_MAX

/* ---- calls ----------------------------------------------------------------------------------- */

static bool is_off(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool off = courier->closing;
    pthread_mutex_unlock(&courier->lock);
    return off;
}

static void count_answer(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    courier->answers++;
    pthread_mutex_unlock(&courier->lock);
}

bool courier_may_pass(enum hd_code code)
{
    return code == HD_E_NET || code == HD_E_TIMEOUT || code == HD_E_NOMEM || code == HD_E_BUSY;
}

/* False: called off. */
static bool pause_for(struct hd_courier *courier, int64_t ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&courier->lock);
    int waited = 0;
    while (!courier->closing && waited == 0)
        waited = pthread_cond_timedwait(&courier->changed, &courier->lock, &until);
    bool off = courier->closing;
    pthread_mutex_unlock(&courier->lock);
    return !off;
}

/* Jobs wait for states, nobody for files. */
static void let_states_pass(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    while (!courier->closing &&
           courier->packing.count + courier->sending.count + courier->fetching.count > 0)
        pthread_cond_wait(&courier->changed, &courier->lock);
    pthread_mutex_unlock(&courier->lock);
}

/* A network that is gone for a while costs patience, not the transfer. */
enum hd_code courier_ask(struct hd_courier *courier, const struct task *task,
                         const struct hd_buf *question, int tries_max, struct hd_value **ret_answer,
                         struct hd_err *err)
{
    const char *view = task->files ? "home" : "checkpoint";
    for (int tries = 1;; tries++) {
        if (task->files)
            let_states_pass(courier);
        if (is_off(courier))
            return hd_fail(err, HD_E_CANCELLED, "called off");
        enum hd_code code = hd_fetch_view(courier->fetch, task->address, "", view,
                                          hd_buf_text(question), HD_FETCH_CALL_MS, ret_answer, err);
        if (code == HD_OK)
            count_answer(courier);
        if (code == HD_OK || !courier_may_pass(code) || tries == tries_max)
            return code;
        if (!pause_for(courier, (int64_t)RETRY_MS << tries))
            return hd_fail(err, HD_E_CANCELLED, "called off");
    }
}

static enum hd_code ask(struct hd_courier *courier, const struct task *task,
                        const struct hd_buf *question, struct hd_value **ret_answer,
                        struct hd_err *err)
{
    return courier_ask(courier, task, question, TRIES_MAX, ret_answer, err);
}

const char *courier_text_at(const struct hd_value *answer, const char *key)
{
    const struct hd_value *value = hd_value_get(answer, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

static bool is_wanted(const struct hd_value *answer)
{
    const struct hd_value *value = hd_value_get(answer, "wanted");
    return value != NULL && value->kind == HD_VALUE_BOOL && value->as.boolean;
}

/* ---- sending --------------------------------------------------------------------------------- */

enum hd_code courier_begin(const struct task *task, const char *op, struct hd_buf *question,
                           struct hd_err *err)
{
    hd_buf_clear(question);
    return hd_buf_printf(question, err,
                         "{\"op\":\"%s\",\"run\":\"%" PRIu64 "\",\"job\":%u,\"attempt\":%u", op,
                         task->attempt.run_uid, task->attempt.job, task->attempt.attempt);
}

/* The names of all pieces one after another. */
static enum hd_code write_names(const struct hd_pieces *pieces, struct hd_buf *out,
                                struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < pieces->count; i++)
        code = hd_buf_puts(out, pieces->items[i].hash, err);
    return code;
}

/* What is on its way, with room for one piece of it. */
struct parcel {
    int fd;
    double budget;
    struct hd_pieces pieces;
    char *bytes;
    struct hd_buf question;
};

static enum hd_code send_piece(struct hd_courier *courier, const struct task *task,
                               struct parcel *parcel, const struct hd_piece *piece,
                               bool *ret_wanted, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    struct hd_buf *question = &parcel->question;
    enum hd_code code = hd_piece_read(parcel->fd, piece, parcel->bytes, err);
    if (code == HD_OK)
        code = courier_begin(task, "put", question, err);
    if (code == HD_OK)
        code = hd_buf_printf(question, err, ",\"piece\":\"%s\",\"data\":\"", piece->hash);
    if (code == HD_OK)
        code = hd_base64_encode(parcel->bytes, piece->size, false, question, err);
    if (code == HD_OK)
        code = hd_buf_puts(question, "\"}", err);
    if (code == HD_OK)
        code = ask(courier, task, question, &answer, err);
    *ret_wanted = code == HD_OK && is_wanted(answer);
    hd_value_free(answer);
    return code;
}

/* The master names the first ones that it lacks, in our order. */
static bool is_next(const char **missing, const char *hash)
{
    bool next = strncmp(*missing, hash, HD_CHECKPOINT_HASH_SIZE) == 0;
    *missing += next ? HD_CHECKPOINT_HASH_SIZE : 0;
    return next;
}

static enum hd_code write_offer(const struct task *task, struct parcel *parcel, struct hd_err *err)
{
    char budget[HD_DOUBLE_TEXT_SIZE] = "null";
    struct hd_buf *question = &parcel->question;
    if (!isnan(parcel->budget))
        hd_format_double(budget, sizeof(budget), parcel->budget);
    enum hd_code code = courier_begin(task, "offer", question, err);
    if (code == HD_OK)
        code = hd_buf_printf(question, err, ",\"size\":%" PRIu64 ",\"budget\":%s,\"pieces\":\"",
                             parcel->pieces.bytes, budget);
    if (code == HD_OK)
        code = write_names(&parcel->pieces, question, err);
    return code == HD_OK ? hd_buf_puts(question, "\"}", err) : code;
}

/* One round: what the master says is missing is sent. *ret_more: there may be more of that. */
static enum hd_code send_round(struct hd_courier *courier, const struct task *task,
                               struct parcel *parcel, bool *ret_more, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    enum hd_code code = write_offer(task, parcel, err);
    if (code == HD_OK)
        code = ask(courier, task, &parcel->question, &answer, err);
    const char *missing = code == HD_OK ? courier_text_at(answer, "missing") : NULL;
    bool wanted = code == HD_OK && is_wanted(answer) && missing != NULL && missing[0] != '\0';
    *ret_more = wanted;
    for (size_t i = 0; code == HD_OK && wanted && i < parcel->pieces.count; i++)
        if (is_next(&missing, parcel->pieces.items[i].hash))
            code = send_piece(courier, task, parcel, &parcel->pieces.items[i], &wanted, err);
    *ret_more = *ret_more && wanted;
    hd_value_free(answer);
    return code;
}

/* Each round brings something that was missing, so a bounded number of them does. */
static enum hd_code send_archive(struct hd_courier *courier, const struct task *task,
                                 struct hd_err *err)
{
    struct parcel parcel = {.fd = task->fd, .budget = task->budget};
    bool more = true;
    hd_buf_init(&parcel.question, JSON_BYTES_MAX);
    parcel.bytes = hd_malloc(HD_CHECKPOINT_PIECE_BYTES);
    enum hd_code code = parcel.bytes != NULL ? hd_pieces_cut(task->fd, &parcel.pieces, err)
                                             : hd_fail(err, HD_E_NOMEM, "no memory for an archive");
    for (size_t round = 0; code == HD_OK && more && round <= parcel.pieces.count; round++)
        code = send_round(courier, task, &parcel, &more, err);
    if (code == HD_OK && more)
        code = hd_fail(err, HD_E_INVALID, "the master asks for the same pieces again and again");
    hd_pieces_release(&parcel.pieces);
    hd_buf_release(&parcel.question);
    hd_free(parcel.bytes);
    return code;
}

static void say_stays(const struct task *task, const struct hd_err *err)
{
    hd_log(HD_LOG_INFO, "job %u, attempt %u: its work directory stays here: %s", task->attempt.job,
           task->attempt.attempt, err->text);
}

static void send_task(struct hd_courier *courier, struct task *task)
{
    struct hd_err err = {0};
    enum hd_code code = send_archive(courier, task, &err);
    if (code != HD_OK && code != HD_E_CANCELLED)
        say_stays(task, &err);
    close(task->fd);
}

static enum hd_code add(struct hd_courier *courier, struct lane *lane, size_t count_max,
                        const struct task *task, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    pthread_mutex_lock(&courier->lock);
    if (lane->count < count_max)
        lane->tasks[lane->count++] = *task;
    else
        code = hd_fail(err, HD_E_LIMIT, "too many directories travel at once");
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
    return code;
}

static uint64_t bytes_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t free_on_disk(const char *directory)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0)
        return UINT64_MAX; /* the write says what is wrong */
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* Jobs need the disk too: what lies there to be sent leaves as much free as it takes. */
static uint64_t room_for_copy(struct hd_courier *courier)
{
    uint64_t left = courier->free_bytes(courier->state_dir), waiting = 0;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < courier->sending.count; i++)
        waiting += courier->sending.tasks[i].bytes;
    pthread_mutex_unlock(&courier->lock);
    return left > waiting ? (left - waiting) / 2 : 0;
}

typedef enum hd_code (*packer)(const char *directory, uint64_t bytes_max, int fd,
                               struct hd_err *err);

static enum hd_code pack(struct hd_courier *courier, packer pack_it, const char *path, int fd,
                         struct hd_err *err)
{
    uint64_t room = room_for_copy(courier);
    bool scarce = room < courier->bytes_max;
    enum hd_code code = pack_it(path, scarce ? room : courier->bytes_max, fd, err);
    return code == HD_E_LIMIT && scarce
               ? hd_fail(err, HD_E_FULL, "its worker's disk has too little room for a copy")
               : code;
}

/* Into a file without a name: it goes when we go. */
static void pack_task(struct hd_courier *courier, struct task *task)
{
    struct hd_err err = {0};
    pthread_mutex_lock(&courier->lock);
    struct task packed = *task;
    pthread_mutex_unlock(&courier->lock);
    packed.waited_for = false;
    packed.budget = hd_workspace_reached(task->path);
    packed.fd = open(courier->spool, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum hd_code code = packed.fd >= 0
                            ? pack(courier, hd_checkpoint_pack, task->path, packed.fd, &err)
                            : hd_fail(&err, HD_E_IO, "%s: %s", courier->spool, strerror(errno));
    (void)unlink(courier->spool);
    packed.bytes = code == HD_OK ? bytes_of(packed.fd) : 0;
    if (code == HD_OK)
        code = add(courier, &courier->sending, HD_COURIER_PACKED_MAX, &packed, &err);
    if (code == HD_OK)
        return;
    say_stays(task, &err);
    if (packed.fd >= 0)
        close(packed.fd);
}

/* ---- files of attempts ----------------------------------------------------------------------- */

static void set_packing(struct hd_courier *courier, bool packs)
{
    pthread_mutex_lock(&courier->lock);
    courier->packs_files = packs;
    pthread_mutex_unlock(&courier->lock);
}

/* The collector asks for the path. */
static enum hd_code find_files(struct hd_courier *courier, struct task *task, struct hd_err *err)
{
    char path[HD_PATH_MAX];
    if (courier->bytes_max == 0)
        return hd_fail(err, HD_E_UNSUPPORTED, "its worker sends nothing (--travel-limit 0)");
    if (task->path[0] != '\0')
        return HD_OK;
    enum hd_code code = hd_run_dir_find(courier->root, task->attempt, path, err);
    pthread_mutex_lock(&courier->lock);
    if (code == HD_OK)
        (void)hd_copy_text(task->path, sizeof(task->path), path);
    pthread_mutex_unlock(&courier->lock);
    return code;
}

static enum hd_code pack_files(struct hd_courier *courier, struct task *task, struct hd_err *err)
{
    let_states_pass(courier);
    task->fd = open(courier->files_spool, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (task->fd < 0)
        return hd_fail(err, HD_E_IO, "%s: %s", courier->files_spool, strerror(errno));
    set_packing(courier, true);
    enum hd_code code = pack(courier, hd_files_pack, task->path, task->fd, err);
    set_packing(courier, false);
    (void)unlink(courier->files_spool);
    return code;
}

/* So that nobody waits for them. */
static void tell_none(struct hd_courier *courier, const struct task *task, const char *why)
{
    struct hd_buf question;
    struct hd_value *answer = NULL;
    struct hd_err err;
    hd_buf_init(&question, 4096);
    enum hd_code code = courier_begin(task, "none", &question, &err);
    if (code == HD_OK)
        code = hd_buf_puts(&question, ",\"why\":", &err);
    if (code == HD_OK)
        code = hd_json_write_string(why, &question, &err);
    if (code == HD_OK)
        code = hd_buf_puts(&question, "}", &err);
    if (code == HD_OK)
        (void)!ask(courier, task, &question, &answer, &err);
    hd_value_free(answer);
    hd_buf_release(&question);
}

/* Better ones may have come since, and a master that is about to leave waits for those that were
 * begun. */
static enum hd_code ask_first(struct hd_courier *courier, const struct task *task, bool *ret_wanted,
                              struct hd_err *err)
{
    struct hd_buf question;
    struct hd_value *answer = NULL;
    hd_buf_init(&question, 4096);
    enum hd_code code = courier_begin(task, "begin", &question, err);
    if (code == HD_OK)
        code = hd_buf_puts(&question, "}", err);
    if (code == HD_OK)
        code = ask(courier, task, &question, &answer, err);
    *ret_wanted = code == HD_OK && is_wanted(answer);
    hd_value_free(answer);
    hd_buf_release(&question);
    return code;
}

/* What the network lost is asked for again by the master. */
static void bring_task(struct hd_courier *courier, struct task *task)
{
    struct hd_err err = {0};
    bool wanted = false;
    enum hd_code code = ask_first(courier, task, &wanted, &err);
    if (code == HD_OK && !wanted)
        return;
    if (code == HD_OK)
        code = find_files(courier, task, &err);
    if (code == HD_OK)
        code = pack_files(courier, task, &err);
    if (code == HD_OK)
        code = send_archive(courier, task, &err);
    if (task->fd >= 0)
        close(task->fd);
    task->fd = -1;
    if (code == HD_OK || code == HD_E_CANCELLED || courier_may_pass(code))
        return;
    hd_log(HD_LOG_INFO, "job %u, attempt %u: what it left stays here: %s", task->attempt.job,
           task->attempt.attempt, err.text);
    tell_none(courier, task, err.text);
}

/* ---- news ------------------------------------------------------------------------------------ */

struct hd_courier_news *courier_news(struct hd_attempt_ref attempt)
{
    struct hd_courier_news *news = hd_calloc(1, sizeof(*news));
    if (news == NULL)
        return NULL;
    news->attempt = attempt;
    news->budget = NAN;
    return news;
}

/* Without memory nothing is said: the lease ends, and nothing has been done. */
void courier_tell(struct hd_courier *courier, struct hd_courier_news *news)
{
    if (news != NULL && hd_queue_push(courier->news, news) != HD_OK)
        hd_free(news);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *work(void *argument)
{
    struct lane *lane = argument;
    struct hd_courier *courier = lane->courier;
    if (lane == &courier->sending || lane == &courier->bringing) /* of this thread alone */
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&courier->lock);
    while (!courier->closing) {
        if (lane->count == 0) {
            pthread_cond_wait(&courier->changed, &courier->lock);
            continue;
        }
        pthread_mutex_unlock(&courier->lock);
        lane->work(courier, &lane->tasks[0]); /* the first stays where it is */
        pthread_mutex_lock(&courier->lock);
        bool waited_for = lane->tasks[0].waited_for;
        struct hd_attempt_ref waiter = lane->tasks[0].waiter;
        memmove(lane->tasks, lane->tasks + 1, --lane->count * sizeof(lane->tasks[0]));
        pthread_cond_broadcast(&courier->changed); /* to whoever lets others pass */
        if (waited_for)
            courier_tell(courier, courier_news(waiter));
    }
    pthread_mutex_unlock(&courier->lock);
    return NULL;
}

static bool fill(struct task *task, const char *address, const char *path)
{
    task->fd = -1;
    return hd_copy_text(task->address, sizeof(task->address), address) &&
           hd_copy_text(task->path, sizeof(task->path), path);
}

static bool has_task(struct hd_courier *courier, const struct lane *lane,
                     struct hd_attempt_ref attempt)
{
    bool found = false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < lane->count; i++)
        found = found || hd_attempt_ref_equal(lane->tasks[i].attempt, attempt);
    pthread_mutex_unlock(&courier->lock);
    return found;
}

void hd_courier_send(struct hd_courier *courier, const char *address, struct hd_attempt_ref attempt,
                     const char *work_dir)
{
    struct hd_err ignored;
    struct task task = {.attempt = attempt};
    if (!has_task(courier, &courier->packing, attempt) &&
        !has_task(courier, &courier->sending, attempt) && fill(&task, address, work_dir))
        (void)!add(courier, &courier->packing, HD_COURIER_QUEUE_MAX, &task, &ignored);
}

void hd_courier_bring(struct hd_courier *courier, const char *address,
                      struct hd_attempt_ref attempt, const char *run_dir)
{
    struct hd_err ignored;
    struct task task = {.files = true, .attempt = attempt, .budget = NAN};
    if (!has_task(courier, &courier->bringing, attempt) && fill(&task, address, run_dir))
        (void)!add(courier, &courier->bringing, HD_COURIER_QUEUE_MAX, &task, &ignored);
}

bool hd_courier_holds(struct hd_courier *courier, const char *run_dir)
{
    bool found = false;
    if (courier == NULL)
        return false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < courier->bringing.count; i++)
        found = found || hd_streq(courier->bringing.tasks[i].path, run_dir);
    pthread_mutex_unlock(&courier->lock);
    return found;
}

enum hd_code hd_courier_fetch(struct hd_courier *courier, const char *address,
                              struct hd_attempt_ref attempt, const char *path, struct hd_err *err)
{
    struct task task = {.attempt = attempt};
    return fill(&task, address, path)
               ? add(courier, &courier->fetching, HD_COURIER_QUEUE_MAX, &task, err)
               : hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
}

bool hd_courier_must_wait(struct hd_courier *courier, const char *work_dir,
                          struct hd_attempt_ref attempt)
{
    bool found = false;
    pthread_mutex_lock(&courier->lock);
    for (size_t i = 0; i < courier->packing.count; i++) {
        struct task *task = &courier->packing.tasks[i];
        if (found || !hd_streq(task->path, work_dir))
            continue;
        task->waited_for = found = true;
        task->waiter = attempt;
    }
    pthread_mutex_unlock(&courier->lock);
    return found;
}

bool hd_courier_is_idle(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool idle = courier->packing.count + courier->sending.count + courier->bringing.count == 0;
    pthread_mutex_unlock(&courier->lock);
    return idle;
}

bool hd_courier_is_packing(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    bool packing = courier->packing.count > 0 || courier->packs_files;
    pthread_mutex_unlock(&courier->lock);
    return packing;
}

/* A fetch that is under way needs them, and looks by itself before it begins. */
void hd_courier_tidy(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    if (courier->fetching.count == 0)
        hd_stash_tidy(&courier->stash);
    pthread_mutex_unlock(&courier->lock);
}

uint64_t hd_courier_answers(struct hd_courier *courier)
{
    pthread_mutex_lock(&courier->lock);
    uint64_t answers = courier->answers;
    pthread_mutex_unlock(&courier->lock);
    return answers;
}

static bool start(struct hd_courier *courier, struct lane *lane,
                  void (*task)(struct hd_courier *courier, struct task *task))
{
    lane->courier = courier;
    lane->work = task;
    lane->started = pthread_create(&lane->thread, NULL, work, lane) == 0;
    return lane->started;
}

static bool set_spools(const char *state_dir, char ret_spool[HD_PATH_MAX],
                       char ret_files_spool[HD_PATH_MAX])
{
    return hd_format(ret_spool, HD_PATH_MAX, "%s/travelling.tar", state_dir) &&
           hd_format(ret_files_spool, HD_PATH_MAX, "%s/home.tar", state_dir);
}

/* They have names only while they are packed. */
static void unlink_spools(const char *state_dir)
{
    char spool[HD_PATH_MAX], files_spool[HD_PATH_MAX];
    if (!set_spools(state_dir, spool, files_spool))
        return;
    (void)unlink(spool);
    (void)unlink(files_spool);
}

void hd_courier_clean(const char *state_dir)
{
    unlink_spools(state_dir);
    hd_stash_remove(state_dir);
}

enum hd_code hd_courier_open(const struct hd_courier_settings *settings,
                             struct hd_courier **ret_courier, struct hd_err *err)
{
    pthread_condattr_t monotonic;
    struct hd_courier *courier = hd_calloc(1, sizeof(*courier));
    if (courier == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for directories that travel");
    courier->fetch = settings->fetch;
    courier->root = settings->root;
    courier->bytes_max = settings->bytes_max;
    courier->free_bytes = settings->free_bytes != NULL ? settings->free_bytes : free_on_disk;
    courier->news = settings->news;
    hd_assert(pthread_mutex_init(&courier->lock, NULL) == 0);
    hd_assert(pthread_condattr_init(&monotonic) == 0);
    hd_assert(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    hd_assert(pthread_cond_init(&courier->changed, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    unlink_spools(settings->state_dir); /* of a process that died */
    hd_stash_open(&courier->stash, settings->state_dir, courier->free_bytes);
    if (!hd_copy_text(courier->state_dir, sizeof(courier->state_dir), settings->state_dir) ||
        !set_spools(settings->state_dir, courier->spool, courier->files_spool) ||
        !start(courier, &courier->bringing, bring_task) ||
        !start(courier, &courier->packing, pack_task) ||
        !start(courier, &courier->sending, send_task) ||
        !start(courier, &courier->fetching, courier_fetch_task)) {
        hd_courier_close(courier);
        return hd_fail(err, HD_E_NOMEM, "no threads for directories that travel");
    }
    *ret_courier = courier;
    return HD_OK;
}

void hd_courier_close(struct hd_courier *courier)
{
    if (courier == NULL)
        return;
    pthread_mutex_lock(&courier->lock);
    courier->closing = true;
    pthread_cond_broadcast(&courier->changed);
    pthread_mutex_unlock(&courier->lock);
    struct lane *lanes[] = {&courier->packing, &courier->sending, &courier->fetching,
                            &courier->bringing};
    for (size_t i = 0; i < HD_COUNT(lanes); i++)
        if (lanes[i]->started)
            pthread_join(lanes[i]->thread, NULL);
    for (size_t i = 0; i < courier->sending.count; i++)
        close(courier->sending.tasks[i].fd);
    pthread_cond_destroy(&courier->changed);
    pthread_mutex_destroy(&courier->lock);
    hd_free(courier);
}
