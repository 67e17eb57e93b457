/* SPDX-License-Identifier: Apache-2.0 */
/* Work directories to a master and from it: what arrives is what was sent, over interruptions, and
 * what the master says or hands over is judged. The master here is its depot, behind the call that
 * would go over the network. */
#include "testlib.h"

#include "courier.h"
#include "depot.h"
#include "pieces.h"
#include "stash.h"

#include <hd/message.h>

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG 1200000u /* bytes: three pieces */
#define WAIT_MS 20000

static struct hd_err err;

/* The master: under a lock, since threads of the courier ask. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hd_depot *depot;
    size_t puts, wholes;
    size_t failures;   /* calls to come that the network loses */
    size_t gets, lost; /* pieces that were given; and asked for in vain when .. */
    size_t gets_max;   /* .. the link is cut after so many */
    const char *twist; /* said instead of each answer to `twisted` */
    enum hd_depot_op twisted;
    bool unwanted;       /* no files are */
    size_t begun, nones; /* words about files */
    char why[256];       /* of the last one that does not come */
} master = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static const struct hd_depot_place place = {.run_uid = 9, .config = 0};
static const struct hd_attempt_ref left = {.run_uid = 9, .job = 1, .attempt = 1};
static const struct hd_attempt_ref leased = {.run_uid = 9, .job = 2, .attempt = 1};

/* What attempts left, for which others have given the depot its place. */
static enum hd_code answer_home(const struct hd_depot_question *question, struct hd_buf *text,
                                struct hd_err *why)
{
    bool whole = false;
    master.begun += question->op == HD_DEPOT_BEGIN ? 1 : 0;
    if (question->op == HD_DEPOT_NONE) {
        (void)hd_copy_text(master.why, sizeof(master.why), question->why);
        master.nones++;
    }
    if (master.unwanted || question->op == HD_DEPOT_BEGIN || question->op == HD_DEPOT_NONE)
        return hd_buf_printf(text, why, "{\"wanted\":%s}", master.unwanted ? "false" : "true");
    enum hd_code code =
        hd_depot_take(master.depot, question, place, question->attempt, text, &whole, why);
    master.puts += question->op == HD_DEPOT_PUT ? 1 : 0;
    master.wholes += whole ? 1 : 0;
    return code;
}

static enum hd_code answer_files(const char *json, struct hd_value **ret_answer, struct hd_err *why)
{
    struct hd_depot_question question;
    struct hd_buf text;
    enum hd_code code = hd_depot_question_parse(json, &question, why);
    if (code != HD_OK)
        return code;
    hd_buf_init(&text, HD_VIEW_JSON_MAX);
    code = answer_home(&question, &text, why);
    if (code == HD_OK)
        code =
            hd_json_parse(text.data, text.size, "answer", &hd_value_limits_target, ret_answer, why);
    hd_buf_release(&text);
    hd_depot_question_release(&question);
    return code;
}

static enum hd_code answer(const char *json, struct hd_value **ret_answer, struct hd_err *why)
{
    struct hd_depot_question question;
    struct hd_buf text;
    bool shelved = false;
    enum hd_code code = hd_depot_question_parse(json, &question, why);
    if (code != HD_OK)
        return code;
    hd_buf_init(&text, HD_VIEW_JSON_MAX);
    bool cut = question.op == HD_DEPOT_GET && master.gets == master.gets_max;
    master.gets += question.op == HD_DEPOT_GET && !cut ? 1 : 0;
    master.lost += cut ? 1 : 0;
    if (cut)
        code = hd_fail(why, HD_E_NET, "the connection ended");
    else if (master.twist != NULL && question.op == master.twisted)
        code = hd_buf_puts(&text, master.twist, why);
    else
        code = hd_depot_take(master.depot, &question, place, left, &text, &shelved, why);
    master.puts += question.op == HD_DEPOT_PUT ? 1 : 0;
    master.wholes += shelved ? 1 : 0;
    if (code == HD_OK)
        code =
            hd_json_parse(text.data, text.size, "answer", &hd_value_limits_target, ret_answer, why);
    hd_buf_release(&text);
    hd_depot_question_release(&question);
    return code;
}

enum hd_code hd_fetch_view(struct hd_fetch *fetch, const char *address, const char *run_id,
                           const char *view, const char *view_json, int64_t timeout_ms,
                           struct hd_value **ret_answer, struct hd_err *why)
{
    (void)fetch;
    (void)timeout_ms;
    (void)run_id;
    assert_string_equal(address, "tcp://master");
    bool files = strcmp(view, "home") == 0;
    assert_true(files || strcmp(view, "checkpoint") == 0);
    pthread_mutex_lock(&master.lock);
    enum hd_code code;
    if (master.failures > 0) {
        master.failures--;
        code = hd_fail(why, HD_E_NET, "the connection ended");
    } else {
        code =
            files ? answer_files(view_json, ret_answer, why) : answer(view_json, ret_answer, why);
    }
    pthread_cond_broadcast(&master.changed);
    pthread_mutex_unlock(&master.lock);
    return code;
}

static bool keeps(void *context, struct hd_attempt_ref attempt)
{
    (void)context;
    (void)attempt;
    return true;
}

static _Atomic uint64_t disk_free;

static uint64_t free_bytes(const char *directory)
{
    assert_non_null(directory);
    return disk_free;
}

/* ---- the world ------------------------------------------------------------------------------- */

struct world {
    char *dir;
    char work[512], came[512], depot_dir[512];
    struct hd_queue *news;
    struct hd_courier *courier;
    struct hd_root root;
};

static void write_big(const char *path, char letter)
{
    char *bytes = malloc(BIG);
    assert_non_null(bytes);
    memset(bytes, letter, BIG);
    assert_hd_ok(hd_file_replace(path, bytes, BIG, 0644, &err));
    free(bytes);
}

static void write_at(const struct world *world, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", world->work, name);
    if (text == NULL)
        write_big(path, 'w');
    else
        test_file_write(path, text);
}

static void open_courier(struct world *world)
{
    const struct hd_courier_settings courier = {.root = &world->root,
                                                .state_dir = world->dir,
                                                .bytes_max = 1u << 25,
                                                .free_bytes = free_bytes,
                                                .news = world->news};
    assert_hd_ok(hd_courier_open(&courier, &world->courier, &err));
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->dir = test_dir_make();
    snprintf(world->work, sizeof(world->work), "%s/work", world->dir);
    snprintf(world->came, sizeof(world->came), "%s/came", world->dir);
    snprintf(world->depot_dir, sizeof(world->depot_dir), "%s/depot", world->dir);
    assert_hd_ok(hd_mkdirs(world->work, 0755, &err));
    assert_hd_ok(hd_mkdirs(world->came, 0755, &err));
    const struct hd_depot_settings settings = {
        .directory = world->depot_dir, .bytes_max = 1u << 26, .keeps = keeps};
    assert_hd_ok(hd_depot_open(&settings, &master.depot, &err));
    master.puts = master.wholes = master.failures = master.begun = master.nones = 0;
    master.gets = master.lost = 0;
    master.gets_max = SIZE_MAX;
    master.twist = NULL;
    master.unwanted = false;
    assert_hd_ok(hd_queue_new(64, &world->news, &err));
    assert_hd_ok(hd_root_open(world->dir, &world->root, &err));
    disk_free = UINT64_MAX;
    open_courier(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    void *news;
    hd_courier_close(world->courier);
    while ((news = hd_queue_pop(world->news, 0)) != NULL)
        hd_free(news);
    hd_queue_free(world->news);
    hd_depot_close(master.depot);
    master.depot = NULL;
    test_dir_remove(world->dir);
    free(world);
    return 0;
}

static void send_it(struct world *world, size_t wholes)
{
    hd_courier_send(world->courier, "tcp://master", left, world->work);
    pthread_mutex_lock(&master.lock);
    while (master.wholes < wholes)
        pthread_cond_wait(&master.changed, &master.lock);
    pthread_mutex_unlock(&master.lock);
    while (!hd_courier_is_idle(world->courier))
        (void)sched_yield();
}

/* NULL: it has come. Otherwise why not; of the news, freed with them. */
static struct hd_courier_news *fetch_it(struct world *world)
{
    assert_hd_ok(hd_courier_fetch(world->courier, "tcp://master", leased, world->came, &err));
    struct hd_courier_news *news = hd_queue_pop(world->news, WAIT_MS);
    assert_non_null(news);
    assert_true(hd_attempt_ref_equal(news->attempt, leased));
    assert_string_equal(news->path, world->came);
    return news;
}

static void assert_came(const struct world *world, const char *name, const char *text)
{
    char path[1024];
    size_t size;
    snprintf(path, sizeof(path), "%s/%s", world->came, name);
    char *found = test_file_read(path, &size);
    if (text != NULL) {
        assert_string_equal(found, text);
    } else {
        assert_int_equal(size, BIG);
        assert_int_equal(strspn(found, "w"), BIG);
    }
    free(found);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* A directory arrives as it was: files, directories, links as links, and its budget. */
static void a_directory_arrives_as_it_was(void **state)
{
    struct world *world = *state;
    char path[1024], to[64] = "";
    snprintf(path, sizeof(path), "%s/deep/er", world->work);
    assert_hd_ok(hd_mkdirs(path, 0755, &err));
    write_at(world, "deep/er/epoch", "7\n");
    write_at(world, "weights", NULL);
    snprintf(path, sizeof(path), "%s/last", world->work);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s.owner", world->work);
    test_file_write(path, "w\nbudget 2.5\n");
    send_it(world, 1);
    struct hd_courier_news *news = fetch_it(world);
    assert_false(news->failed);
    assert_true(news->budget >= 2.5 && news->budget <= 2.5);
    hd_free(news);
    assert_came(world, "deep/er/epoch", "7\n");
    assert_came(world, "weights", NULL);
    snprintf(path, sizeof(path), "%s/last", world->came);
    assert_true(readlink(path, to, sizeof(to) - 1) > 0);
    assert_string_equal(to, "/etc/passwd");
}

/* What the network loses is asked again, and what has not changed is not sent again, though
 * something before it has. */
static void only_what_changed_is_sent_again(void **state)
{
    struct world *world = *state;
    write_at(world, "a-small", "1\n");
    write_at(world, "weights", NULL);
    master.failures = 2;
    send_it(world, 1);
    size_t first = master.puts;
    assert_true(first >= 4); /* three of the file, and what is around it */
    write_at(world, "a-new-one", "2\n");
    send_it(world, 2);
    assert_true(master.puts - first <= 2);
    struct hd_courier_news *news = fetch_it(world);
    assert_false(news->failed);
    hd_free(news);
    assert_came(world, "a-new-one", "2\n");
    assert_came(world, "weights", NULL);
}

/* Whatever a master says, no other bytes than those that the names say are taken for a state. */
static void other_answers_are_refused(void **state)
{
    static const struct {
        enum hd_depot_op op;
        const char *answer, *why;
    } twists[] = {
        {HD_DEPOT_GET, "{\"data\":\"YWJj\"}", "not what its name says"},
        {HD_DEPOT_GET, "{\"data\":\"%\"}", ""},
        {HD_DEPOT_GET, "{}", "sent no piece"},
        {HD_DEPOT_LIST, "{}", "sent no list"},
        {HD_DEPOT_LIST, "{\"pieces\":\"\"}", "list of pieces is none"},
        {HD_DEPOT_LIST, "{\"pieces\":\"abc\"}", "list of pieces is none"},
        {HD_DEPOT_LIST, "{\"pieces\":7}", "sent no list"},
    };
    struct world *world = *state;
    write_at(world, "small", "1\n");
    send_it(world, 1);
    for (size_t i = 0; i < HD_COUNT(twists); i++) {
        pthread_mutex_lock(&master.lock);
        master.twist = twists[i].answer;
        master.twisted = twists[i].op;
        pthread_mutex_unlock(&master.lock);
        struct hd_courier_news *news = fetch_it(world);
        assert_true(news->failed);
        assert_non_null(strstr(news->why, twists[i].why));
        hd_free(news);
    }
}

static void wait_until(const size_t *count, size_t wanted)
{
    pthread_mutex_lock(&master.lock);
    while (*count < wanted)
        pthread_cond_wait(&master.changed, &master.lock);
    pthread_mutex_unlock(&master.lock);
}

/* How many pieces the master had to give for it. */
static size_t fetch_anew(struct world *world)
{
    assert_hd_ok(hd_remove_tree(world->came, &err));
    assert_hd_ok(hd_mkdirs(world->came, 0755, &err));
    pthread_mutex_lock(&master.lock);
    master.gets = 0;
    master.gets_max = SIZE_MAX;
    pthread_mutex_unlock(&master.lock);
    struct hd_courier_news *news = fetch_it(world);
    assert_false(news->failed);
    hd_free(news);
    assert_came(world, "weights", NULL);
    assert_came(world, "small", "1\n");
    return master.gets;
}

/* The link is cut after two pieces, and the worker's process ends before it is back. */
static void fetch_in_part(struct world *world)
{
    assert_hd_ok(hd_remove_tree(world->came, &err));
    assert_hd_ok(hd_mkdirs(world->came, 0755, &err));
    pthread_mutex_lock(&master.lock);
    master.gets = master.lost = 0;
    master.gets_max = 2;
    pthread_mutex_unlock(&master.lock);
    assert_hd_ok(hd_courier_fetch(world->courier, "tcp://master", leased, world->came, &err));
    wait_until(&master.lost, 1);
    hd_courier_close(world->courier);
    world->courier = NULL;
    struct hd_courier_news *news = hd_queue_pop(world->news, WAIT_MS);
    assert_true(news != NULL && news->failed && !news->may_pass); /* called off */
    hd_free(news);
}

static bool is_there(const struct world *world, const char *name)
{
    char path[1024];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", world->dir, name);
    return lstat(path, &st) == 0;
}

static void overwrite(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "?", 1, 10), 1);
    close(fd);
}

enum fate { FATE_NONE, FATE_TORN, FATE_OTHER, FATE_OLD, FATE_BEFORE_ITS_TIME };

/* What a power cut, a long time or a clock that jumps does to all pieces but those that are larger
 * than `size_max`. */
static void befall(const struct world *world, enum fate fate, off_t size_max)
{
    char path[2048];
    struct dirent *entry;
    snprintf(path, sizeof(path), "%s/pieces", world->dir);
    DIR *stream = opendir(path);
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/pieces/%s", world->dir, entry->d_name);
        assert_int_equal(lstat(path, &st), 0);
        if (!S_ISREG(st.st_mode) || st.st_size > size_max)
            continue;
        struct timespec times[2] = {st.st_atim, st.st_mtim};
        if (fate == FATE_TORN)
            assert_int_equal(truncate(path, st.st_size / 2), 0);
        else if (fate == FATE_OTHER)
            overwrite(path);
        else if (fate != FATE_NONE)
            times[1].tv_sec += fate == FATE_OLD ? -7200 : 7200;
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    closedir(stream);
}

/* A fetch that ended in the middle goes on with the pieces that are missing, in the next process
 * too; those that are not what their names say, or too old, come anew; and in the end none stays.
 */
static void a_fetch_goes_on_where_it_ended(void **state)
{
    struct world *world = *state;
    static const struct {
        enum fate fate;
        off_t size_max; /* of the two that came, the second is large */
        size_t kept;
    } rows[] = {
        {FATE_NONE, 0, 2},
        {FATE_TORN, 100000, 1},
        {FATE_TORN, BIG, 0},
        {FATE_OTHER, BIG, 0},
        {FATE_OLD, 100000, 1},
        {FATE_OLD, BIG, 0},
        {FATE_BEFORE_ITS_TIME, BIG, 0},
    };
    write_at(world, "small", "1\n");
    write_at(world, "weights", NULL);
    send_it(world, 1);
    size_t whole = fetch_anew(world);
    assert_true(whole > 2);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        fetch_in_part(world);
        befall(world, rows[i].fate, rows[i].size_max);
        open_courier(world);
        assert_int_equal(fetch_anew(world), whole - rows[i].kept);
        assert_false(is_there(world, "pieces"));
    }
}

/* Where jobs need the disk no piece is kept, and what a process left that nobody comes for goes. */
static void pieces_take_no_room_from_jobs(void **state)
{
    struct world *world = *state;
    write_at(world, "small", "1\n");
    write_at(world, "weights", NULL);
    send_it(world, 1);
    disk_free = 1000;
    size_t all = fetch_anew(world);
    fetch_in_part(world);
    assert_false(is_there(world, "pieces"));
    open_courier(world);
    assert_int_equal(fetch_anew(world), all);
    disk_free = UINT64_MAX;
    fetch_in_part(world);
    assert_true(is_there(world, "pieces"));
    open_courier(world);
    befall(world, FATE_OLD, BIG);
    hd_courier_tidy(world->courier);
    assert_false(is_there(world, "pieces"));
    fetch_in_part(world);
    hd_stash_remove(world->dir);
    assert_false(is_there(world, "pieces"));
}

/* What is being sent is not sent a second time because it was asked for once more. */
static void what_is_under_way_is_not_begun_again(void **state)
{
    struct world *world = *state;
    write_at(world, "small", "1\n");
    pthread_mutex_lock(&master.lock); /* nobody is answered meanwhile */
    for (int i = 0; i < 3; i++)
        hd_courier_send(world->courier, "tcp://master", left, world->work);
    pthread_mutex_unlock(&master.lock);
    while (!hd_courier_is_idle(world->courier))
        (void)sched_yield();
    assert_int_equal(master.wholes, 1);
}

static void send_and_wait(struct world *world)
{
    hd_courier_send(world->courier, "tcp://master", left, world->work);
    while (!hd_courier_is_idle(world->courier))
        (void)sched_yield();
}

/* Copies that wait to be sent never take the disk from jobs: as much as they take stays free. */
static void a_scarce_disk_is_left_to_jobs(void **state)
{
    struct world *world = *state;
    static const uint64_t too_little[] = {0, 1000, 2 * BIG - 1};
    write_at(world, "weights", NULL);
    for (size_t i = 0; i < HD_COUNT(too_little); i++) {
        disk_free = too_little[i];
        send_and_wait(world);
        pthread_mutex_lock(&master.lock);
        assert_int_equal(master.puts, 0);
        pthread_mutex_unlock(&master.lock);
    }
    disk_free = 2 * (BIG + 65536);
    send_and_wait(world);
    assert_int_equal(master.wholes, 1);
}

/* Larger files begin and end pieces; small ones share them; together they are the archive. */
static void an_archive_is_cut_at_its_files(void **state)
{
    struct world *world = *state;
    char path[1024];
    struct hd_pieces pieces;
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%02d", i);
        write_at(world, name, i == 20 ? NULL : "small\n");
    }
    snprintf(path, sizeof(path), "%s/archive", world->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_hd_ok(hd_checkpoint_pack(world->work, 1u << 25, fd, &err));
    assert_hd_ok(hd_pieces_cut(fd, &pieces, &err));
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pieces.bytes, st.st_size);
    assert_int_equal(pieces.count, 5);
    uint64_t at = 0, large = 0;
    for (size_t i = 0; i < pieces.count; i++) {
        assert_true(pieces.items[i].offset == at && pieces.items[i].size > 0);
        at += pieces.items[i].size;
        large += pieces.items[i].size == HD_CHECKPOINT_PIECE_BYTES ? 1 : 0;
    }
    assert_int_equal(large, 2);
    hd_pieces_release(&pieces);
    assert_int_equal(ftruncate(fd, 1000), 0); /* no whole number of blocks: what is left is one */
    assert_hd_ok(hd_pieces_cut(fd, &pieces, &err));
    assert_int_equal(pieces.bytes, 1000);
    hd_pieces_release(&pieces);
    close(fd);
}

/* ---- files of attempts ----------------------------------------------------------------------- */

/* As a worker has it after a job: with what a target may put there to be read by others. */
static void leave_files(struct world *world)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/r/run/1-1/out/deep", world->dir);
    assert_hd_ok(hd_mkdirs(path, 0755, &err));
    snprintf(path, sizeof(path), "%s/r/.hyperdock-run", world->dir);
    test_file_write(path, "0000000000000009\n");
    snprintf(path, sizeof(path), "%s/r/run/1-1/out/deep/model", world->dir);
    test_file_write(path, "m\n");
    snprintf(path, sizeof(path), "%s/r/run/1-1/out/fifo", world->dir);
    assert_int_equal(mkfifo(path, 0644), 0);
    snprintf(path, sizeof(path), "%s/r/run/1-1/loss.json", world->dir);
    test_file_write(path, "0.5\n");
    snprintf(path, sizeof(path), "%s/r/run/1-1/params.json", world->dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/r/run/1-1/log.txt", world->dir);
    assert_int_equal(mkfifo(path, 0644), 0);
    snprintf(path, sizeof(path), "%s/r/run/1-1/secret", world->dir);
    test_file_write(path, "s\n");
}

static void assert_missing(const struct world *world, const char *name)
{
    char path[1024];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", world->came, name);
    assert_true(lstat(path, &st) != 0);
}

/* The files of an attempt are found by its number, and come as they were left; nothing that only
 * has one of their names does, and nothing else. */
static void files_come_as_they_were_left(void **state)
{
    struct world *world = *state;
    leave_files(world);
    master.failures = 1;
    hd_courier_bring(world->courier, "tcp://master", left, "");
    wait_until(&master.wholes, 1);
    struct hd_courier_news *news = fetch_it(world);
    assert_false(news->failed);
    hd_free(news);
    assert_came(world, "out/deep/model", "m\n");
    assert_came(world, "loss.json", "0.5\n");
    const char *not_there[] = {"out/fifo", "params.json", "log.txt", "secret"};
    for (size_t i = 0; i < HD_COUNT(not_there); i++)
        assert_missing(world, not_there[i]);
}

/* Nothing is packed that is not wanted any more; what is not there, or too large, is not waited
 * for: the master hears why. */
static void what_does_not_come_has_a_reason(void **state)
{
    struct world *world = *state;
    const struct hd_attempt_ref other = {.run_uid = 8, .job = 1, .attempt = 1};
    const struct hd_attempt_ref next = {.run_uid = 9, .job = 2, .attempt = 1};
    char path[1024];
    hd_courier_bring(world->courier, "tcp://master", other, "");
    wait_until(&master.nones, 1);
    assert_string_equal(master.why, "its worker has its directory no more");
    leave_files(world);
    snprintf(path, sizeof(path), "%s/r/run/1-1/out/huge", world->dir);
    test_file_write(path, "");
    assert_int_equal(truncate(path, 1 << 26), 0); /* however little of it is on the disk */
    snprintf(path, sizeof(path), "%s/r/run/1-1", world->dir);
    hd_courier_bring(world->courier, "tcp://master", left, path);
    wait_until(&master.nones, 2);
    assert_non_null(strstr(master.why, "holds more than"));
    assert_int_equal(master.puts, 0);
    pthread_mutex_lock(&master.lock);
    master.unwanted = true;
    size_t begun = master.begun;
    pthread_mutex_unlock(&master.lock);
    hd_courier_bring(world->courier, "tcp://master", next, path);
    wait_until(&master.begun, begun + 1);
    assert_int_equal(master.nones, 2);
    assert_false(hd_courier_holds(world->courier, "/elsewhere"));
    assert_false(hd_courier_holds(NULL, path));
}

/* A worker that has no descriptor left now does not tell the master that nothing comes. */
static void want_of_descriptors_is_not_the_end_of_files(void **state)
{
    struct world *world = *state;
    const struct hd_attempt_ref next = {.run_uid = 9, .job = 2, .attempt = 1};
    char path[1024];
    struct rlimit all, none;
    leave_files(world);
    snprintf(path, sizeof(path), "%s/r/run/1-1", world->dir);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    hd_courier_bring(world->courier, "tcp://master", left, path);
    hd_courier_bring(world->courier, "tcp://master", next, "/elsewhere");
    wait_until(&master.begun, 2); /* the first one is done with */
    pthread_mutex_lock(&master.lock);
    size_t nones = master.nones;
    pthread_mutex_unlock(&master.lock);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(nones, 0);
    hd_courier_bring(world->courier, "tcp://master", left, path);
    wait_until(&master.wholes, 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_directory_arrives_as_it_was),
        TEST(only_what_changed_is_sent_again),
        TEST(other_answers_are_refused),
        TEST(a_scarce_disk_is_left_to_jobs),
        TEST(an_archive_is_cut_at_its_files),
        TEST(files_come_as_they_were_left),
        TEST(want_of_descriptors_is_not_the_end_of_files),
        TEST(what_does_not_come_has_a_reason),
        TEST(a_fetch_goes_on_where_it_ended),
        TEST(pieces_take_no_room_from_jobs),
        TEST(what_is_under_way_is_not_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
