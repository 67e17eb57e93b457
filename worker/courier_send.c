/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to a master: packed into a file without a name, sent in the pieces that it lacks. */
#include "courier_internal.h"

#include "pieces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 8 /* of one call, in a row */
#define JSON_BYTES_MAX HD_VIEW_JSON_MAX

static enum hd_code ask(struct hd_courier *courier, const struct task *task,
                        const struct hd_buf *question, struct hd_value **ret_answer,
                        struct hd_err *err)
{
    return courier_ask(courier, task, question, TRIES_MAX, ret_answer, err);
}

static bool is_wanted(const struct hd_value *answer)
{
    const struct hd_value *value = hd_value_get(answer, "wanted");
    return value != NULL && value->kind == HD_VALUE_BOOL && value->as.boolean;
}

/* ---- archives -------------------------------------------------------------------------------- */

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

/* ---- work directories ------------------------------------------------------------------------ */

static void say_stays(const struct task *task, const struct hd_err *err)
{
    hd_log(HD_LOG_INFO, "job %u, attempt %u: its work directory stays here: %s", task->attempt.job,
           task->attempt.attempt, err->text);
}

void courier_send_task(struct hd_courier *courier, struct task *task)
{
    struct hd_err err = {0};
    enum hd_code code = send_archive(courier, task, &err);
    if (code != HD_OK && code != HD_E_CANCELLED)
        say_stays(task, &err);
    close(task->fd);
}

static uint64_t bytes_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
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
void courier_pack_task(struct hd_courier *courier, struct task *task)
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
                            : hd_fail_errno(&err, errno, "cannot open %s", courier->spool);
    (void)unlink(courier->spool);
    packed.bytes = code == HD_OK ? bytes_of(packed.fd) : 0;
    if (code == HD_OK)
        code = courier_add(courier, &courier->sending, HD_COURIER_PACKED_MAX, &packed, &err);
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
    courier_let_states_pass(courier);
    task->fd = open(courier->files_spool, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (task->fd < 0)
        return hd_fail_errno(err, errno, "cannot open %s", courier->files_spool);
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
void courier_bring_task(struct hd_courier *courier, struct task *task)
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
