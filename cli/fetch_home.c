/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an attempt left, from the master: its depot of files beside the store, when that is on this
 * machine, or a live master, which asks the worker for what it does not have.
 */
#include "fetch.h"

#include <hd/checkpoint.h>
#include <hd/pki.h>
#include <hd/store.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "depot.h"
#include "home.h"

#define PATH_SIZE_MAX 4096
#define ASK_EVERY_MS 300

/* One of the two. */
struct source {
    const struct fetch_home *home;
    struct hd_depot *depot;
    const struct cli_master *master;
};

/* ---- questions ------------------------------------------------------------------------------- */

static enum hd_code write_question(const struct fetch_home *home, const char *op, const char *piece,
                                   struct hd_buf *json, struct hd_err *err)
{
    enum hd_code code =
        hd_buf_printf(json, err, "{\"op\":\"%s\",\"run\":\"%" PRIu64 "\",\"job\":%u,\"attempt\":%u",
                      op, home->attempt.run_uid, home->attempt.job, home->attempt.attempt);
    if (code == HD_OK && piece != NULL)
        code = hd_buf_printf(json, err, ",\"piece\":\"%.*s\"", HD_CHECKPOINT_HASH_SIZE, piece);
    return code == HD_OK ? hd_buf_puts(json, "}", err) : code;
}

static enum hd_code ask_depot(const struct source *source, const char *json,
                              struct hd_value **ret_answer, struct hd_err *err)
{
    const struct hd_value_limits limits = {
        .bytes_max = HD_VIEW_JSON_MAX, .nodes_max = 64, .depth_max = 4};
    const struct hd_attempt_ref attempt = source->home->attempt;
    const struct hd_depot_place place = {.run_uid = attempt.run_uid, .config = attempt.job};
    struct hd_depot_question question;
    struct hd_buf text;
    bool ignored;
    hd_buf_init(&text, HD_VIEW_JSON_MAX);
    enum hd_code code = hd_depot_question_parse(json, &question, err);
    if (code == HD_OK) {
        code = hd_depot_take(source->depot, &question, place, attempt, &text, &ignored, err);
        hd_depot_question_release(&question);
    }
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, "answer", &limits, ret_answer, err);
    hd_buf_release(&text);
    return code;
}

static enum hd_code ask(const struct source *source, const char *op, const char *piece,
                        struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_buf json;
    hd_buf_init(&json, 4096);
    enum hd_code code = write_question(source->home, op, piece, &json, err);
    if (code == HD_OK && source->depot != NULL)
        code = ask_depot(source, hd_buf_text(&json), ret_answer, err);
    else if (code == HD_OK)
        code = cli_live_view(source->master, source->home->run_id,
                             hd_streq(op, "ask") ? "bring" : "fetch", hd_buf_text(&json),
                             ret_answer, err);
    hd_buf_release(&json);
    return code;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static bool is_piece(const void *bytes, size_t size, const char *hash)
{
    char text[HD_SHA256_TEXT_SIZE];
    struct hd_sha256 *sha;
    struct hd_err ignored;
    if (hd_sha256_new(&sha, &ignored) != HD_OK)
        return false;
    hd_sha256_add(sha, bytes, size);
    hd_sha256_end(sha, text);
    hd_sha256_free(sha);
    return strncmp(text, hash, HD_CHECKPOINT_HASH_SIZE) == 0;
}

/* Compared with its name, whoever gave it, and then judged as an archive of elsewhere is. */
static enum hd_code take_piece(const struct source *source, const char *hash,
                               struct hd_unpacking *unpacking, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    struct hd_buf bytes;
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    enum hd_code code = ask(source, "get", hash, &answer, err);
    const char *data = code == HD_OK ? cli_text(answer, "data") : "";
    if (code == HD_OK)
        code = hd_base64_decode(data, strlen(data), &bytes, err);
    if (code == HD_OK && !is_piece(bytes.data, bytes.size, hash))
        code = hd_fail(err, HD_E_CORRUPT, "the master's copy of it is damaged");
    if (code == HD_OK)
        code = hd_unpacking_feed(unpacking, bytes.data, bytes.size, err);
    hd_value_free(answer);
    hd_buf_release(&bytes);
    return code;
}

static enum hd_code unpack(const struct source *source, const char *pieces, struct hd_err *err)
{
    struct hd_unpacking *unpacking = NULL;
    size_t length = strlen(pieces);
    if (length == 0 || length % HD_CHECKPOINT_HASH_SIZE != 0 ||
        length > (size_t)HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_HASH_SIZE)
        return hd_fail(err, HD_E_INVALID, "the master's list of pieces is none");
    enum hd_code code = hd_unpacking_open(
        source->home->to, (uint64_t)HD_CHECKPOINT_PIECES_MAX * HD_CHECKPOINT_PIECE_BYTES,
        &unpacking, err);
    for (const char *at = pieces; code == HD_OK && *at != '\0'; at += HD_CHECKPOINT_HASH_SIZE)
        code = take_piece(source, at, unpacking, err);
    if (code == HD_OK)
        code = hd_unpacking_end(unpacking, err);
    hd_unpacking_close(unpacking);
    return code;
}

/* Nothing of what was interrupted stays: the directory is as empty as it was. */
static void clear(const char *to)
{
    struct hd_err ignored;
    if (hd_remove_tree(to, &ignored) == HD_OK)
        (void)!hd_mkdirs(to, 0777, &ignored);
}

/* HD_E_NOTFOUND: this source does not have it. */
static enum hd_code take_all(const struct source *source, const char *from, struct hd_err *err)
{
    struct hd_value *list = NULL;
    enum hd_code code = ask(source, "list", NULL, &list, err);
    if (code == HD_OK) {
        code = unpack(source, cli_text(list, "pieces"), err);
        if (code != HD_OK)
            clear(source->home->to);
        if (code == HD_E_NOTFOUND) /* superseded in between */
            code = HD_E_CONFLICT;
    }
    if (code == HD_OK)
        printf("job %u, attempt %u: from %s to %s\n", source->home->attempt.job,
               source->home->attempt.attempt, from, source->home->to);
    hd_value_free(list);
    return code;
}

/* ---- the depot on this machine --------------------------------------------------------------- */

static bool never(void *context, struct hd_attempt_ref attempt)
{
    (void)context;
    (void)attempt;
    return false;
}

static bool find_depot(const struct cli_common *common, char *path)
{
    const char *state = cli_state_dir(common->state_dir);
    struct stat st;
    bool remote = true;
    struct hd_err ignored;
    if (cli_remote_check(&common->remote, common->state_dir, &remote, &ignored) != HD_OK ||
        remote || stat(state, &st) != 0)
        return false;
    return hd_format(path, PATH_SIZE_MAX,
                     S_ISDIR(st.st_mode) ? "%s/" HD_STORE_FILE_NAME HD_HOME_SUFFIX
                                         : "%s" HD_HOME_SUFFIX,
                     state) &&
           hd_path_exists(path);
}

static enum hd_code take_from_depot(const struct fetch_home *home, struct hd_err *err)
{
    char path[PATH_SIZE_MAX];
    const struct hd_depot_settings settings = {
        .directory = path, .reads_only = true, .keeps = never};
    struct source source = {.home = home};
    if (!find_depot(home->common, path))
        return hd_fail(err, HD_E_NOTFOUND, "there is no depot here");
    enum hd_code code = hd_depot_open(&settings, &source.depot, err);
    if (code == HD_OK)
        code = take_all(&source, path, err);
    hd_depot_close(source.depot);
    return code;
}

/* ---- a live master --------------------------------------------------------------------------- */

enum hd_code fetch_home_take(const struct fetch_home *home, struct hd_err *err)
{
    struct cli_master master;
    const struct source source = {.home = home, .master = &master};
    enum hd_code code = take_from_depot(home, err);
    if (code == HD_OK || code == HD_E_CONFLICT)
        return code;
    code = cli_live_master(home->common, home->run_id, &master, err);
    if (code == HD_OK)
        code = take_all(&source, "the master", err);
    return code == HD_OK || code == HD_E_CONFLICT
               ? code
               : hd_fail(err, HD_E_NOTFOUND, "the master does not have it");
}

static void show_progress(const struct fetch_home *home, const struct hd_value *answer)
{
    int64_t size = cli_integer(answer, "size");
    if (isatty(STDERR_FILENO) == 1)
        fprintf(stderr, "\rjob %u: waits for worker %s: %" PRId64 " of %" PRId64 " KiB ",
                home->attempt.job, home->worker, cli_integer(answer, "bytes") / 1024, size / 1024);
}

/* What the master says of it now: HD_E_BUSY: it is on its way. */
static enum hd_code judge(const struct fetch_home *home, const struct hd_value *answer,
                          struct hd_err *err)
{
    const char *files = cli_text(answer, "files");
    if (hd_streq(files, "home"))
        return HD_OK;
    if (hd_streq(files, "coming"))
        return hd_fail(err, HD_E_BUSY, "it is on its way");
    if (hd_streq(files, "away"))
        return hd_fail(err, HD_E_NOTFOUND, "worker %s is not here to send it", home->worker);
    if (hd_streq(files, "never"))
        return hd_fail(err, HD_E_NOTFOUND, "worker %s says: %s", home->worker,
                       cli_text(answer, "why"));
    return hd_fail(err, HD_E_NOTFOUND, "only a job's last attempt can be asked for");
}

/* Until it is there, as long as something of it comes. */
static enum hd_code wait_for(const struct source *source, struct hd_err *err)
{
    int64_t bytes = -1, moved_ms = hd_clock_ms();
    bool shown = false;
    enum hd_code code = HD_E_BUSY;
    while (code == HD_E_BUSY) {
        struct hd_value *answer = NULL;
        code = ask(source, "ask", NULL, &answer, err);
        if (code == HD_OK)
            code = judge(source->home, answer, err);
        if (code == HD_E_BUSY) {
            show_progress(source->home, answer);
            shown = isatty(STDERR_FILENO) == 1;
            if (cli_integer(answer, "bytes") != bytes)
                moved_ms = hd_clock_ms();
            bytes = cli_integer(answer, "bytes");
            if (hd_clock_ms() - moved_ms >= source->home->wait_ms)
                code = hd_fail(err, HD_E_TIMEOUT, "worker %s has sent nothing for %" PRId64 " s",
                               source->home->worker, source->home->wait_ms / 1000);
            else
                (void)usleep(ASK_EVERY_MS * 1000);
        }
        hd_value_free(answer);
    }
    if (shown)
        fputc('\n', stderr);
    return code;
}

enum hd_code fetch_home_ask(const struct fetch_home *home, struct hd_err *err)
{
    struct cli_master master;
    const struct source source = {.home = home, .master = &master};
    enum hd_code code = cli_live_master(home->common, home->run_id, &master, err);
    if (code == HD_E_NOTFOUND)
        return hd_fail(err, code, "no master is there to ask");
    if (code == HD_OK)
        code = wait_for(&source, err);
    return code == HD_OK ? take_all(&source, "its worker", err) : code;
}
