/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of work directories at a master: what is there is what was sent, of one version, within
 * its bounds, and found again after a restart. */
#include "testlib.h"

#include "depot.h"

#include <hd/message.h>
#include <hd/os.h>
#include <hd/pki.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BYTES_MAX 10000u

static struct hd_err err;

struct world {
    char *dir;
    char depot_dir[512];
    struct hd_depot *depot;
    uint32_t needed; /* a bit for each job whose directory is */
    size_t told;
    struct hd_attempt_ref last_told;
    bool shares;
    size_t gone; /* whole copies that are none any more */
};

static bool keeps(void *context, struct hd_attempt_ref attempt)
{
    const struct world *world = context;
    return (world->needed >> attempt.job & 1) != 0;
}

static void count_gone(void *context, struct hd_attempt_ref attempt)
{
    struct world *world = context;
    assert_true(attempt.attempt > 0);
    world->gone++;
}

static void open_depot(struct world *world)
{
    const struct hd_depot_settings settings = {.directory = world->depot_dir,
                                               .bytes_max = BYTES_MAX,
                                               .shares = world->shares,
                                               .keeps = keeps,
                                               .gone = count_gone,
                                               .context = world};
    hd_depot_close(world->depot);
    assert_hd_ok(hd_depot_open(&settings, &world->depot, &err));
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->dir = test_dir_make();
    world->needed = UINT32_MAX;
    snprintf(world->depot_dir, sizeof(world->depot_dir), "%s/depot", world->dir);
    open_depot(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    hd_depot_close(world->depot);
    test_dir_remove(world->dir);
    free(world);
    return 0;
}

/* ---- what a worker has ----------------------------------------------------------------------- */

struct piece {
    char bytes[4096];
    size_t size;
    char hash[HD_SHA256_TEXT_SIZE];
};

static struct piece piece_of(char letter, size_t size)
{
    struct piece piece = {.size = size};
    struct hd_sha256 *sha;
    memset(piece.bytes, letter, size);
    assert_hd_ok(hd_sha256_new(&sha, &err));
    hd_sha256_add(sha, piece.bytes, size);
    hd_sha256_end(sha, piece.hash);
    hd_sha256_free(sha);
    return piece;
}

static struct hd_depot_place place_of(uint32_t config)
{
    return (struct hd_depot_place){.run_uid = UINT64_MAX - 1, .config = config};
}

static struct hd_attempt_ref attempt_of(uint32_t job)
{
    return (struct hd_attempt_ref){.run_uid = UINT64_MAX - 1, .job = job, .attempt = 1};
}

/* How many pieces are missing; -1: refused with `err`. */
static int offer(struct world *world, uint32_t config, uint32_t job, const struct piece *pieces,
                 size_t count, bool *ret_whole)
{
    struct hd_buf missing;
    char names[10 * HD_SHA256_TEXT_SIZE] = "";
    struct hd_depot_offer offer = {
        .place = place_of(config), .attempt = attempt_of(job), .budget = 2.5, .pieces = names};
    hd_buf_init(&missing, 1u << 20);
    for (size_t i = 0; i < count; i++) {
        offer.size += pieces[i].size;
        (void)memcpy(names + i * HD_CHECKPOINT_HASH_SIZE, pieces[i].hash, sizeof(pieces[i].hash));
    }
    enum hd_code code = hd_depot_offer(world->depot, &offer, ret_whole, &missing, &err);
    int lacks = (int)(missing.size / HD_CHECKPOINT_HASH_SIZE);
    hd_buf_release(&missing);
    return code == HD_OK ? lacks : -1;
}

static enum hd_code put(struct world *world, uint32_t config, const struct piece *piece)
{
    return hd_depot_put(world->depot, place_of(config), piece->hash, piece->bytes, piece->size,
                        &err);
}

/* All of it, as one that nothing happens to. */
static void send_all(struct world *world, uint32_t config, uint32_t job, const struct piece *pieces,
                     size_t count)
{
    bool whole = false;
    assert_true(offer(world, config, job, pieces, count, &whole) >= 0);
    for (size_t i = 0; i < count; i++)
        assert_hd_ok(put(world, config, &pieces[i]));
    assert_int_equal(offer(world, config, job, pieces, count, &whole), 0);
    assert_true(whole);
}

static enum hd_code list(struct world *world, uint32_t config, uint32_t job, struct hd_buf *json)
{
    hd_buf_init(json, 1u << 20);
    return hd_depot_list(world->depot, place_of(config), attempt_of(job), json, &err);
}

static void assert_has(struct world *world, uint32_t config, uint32_t job, bool has)
{
    struct hd_buf json;
    enum hd_code code = list(world, config, job, &json);
    assert_int_equal(code, has ? HD_OK : HD_E_NOTFOUND);
    hd_buf_release(&json);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* What was sent is given back, with its budget, and only as what that attempt left. */
static void what_was_sent_is_given_back(void **state)
{
    struct world *world = *state;
    const struct piece pieces[] = {piece_of('a', 600), piece_of('b', 30)};
    struct hd_buf json, text;
    send_all(world, 3, 1, pieces, 2);
    assert_hd_ok(list(world, 3, 1, &json));
    hd_buf_init(&text, 4096);
    assert_hd_ok(hd_buf_printf(&text, &err, "{\"size\":630,\"budget\":2.5,\"pieces\":\"%s%s\"}",
                               pieces[0].hash, pieces[1].hash));
    assert_string_equal(hd_buf_text(&json), hd_buf_text(&text));
    hd_buf_clear(&json);
    hd_buf_clear(&text);
    assert_hd_ok(hd_depot_get(world->depot, place_of(3), pieces[1].hash, &json, &err));
    assert_hd_ok(hd_buf_puts(&text, "{\"data\":\"", &err));
    assert_hd_ok(hd_base64_encode(pieces[1].bytes, 30, false, &text, &err));
    assert_hd_ok(hd_buf_puts(&text, "\"}", &err));
    assert_string_equal(hd_buf_text(&json), hd_buf_text(&text));
    hd_buf_release(&json);
    hd_buf_release(&text);
    assert_has(world, 3, 2, false);
    assert_has(world, 4, 1, false);
}

/* An interrupted transfer goes on with what is missing, also after a restart of the master; until
 * all is there, the copy before is the config's. */
static void what_was_interrupted_goes_on(void **state)
{
    struct world *world = *state;
    const struct piece old[] = {piece_of('a', 600), piece_of('b', 600)};
    const struct piece new[] = {piece_of('a', 600), piece_of('c', 600), piece_of('d', 600)};
    bool whole = false;
    send_all(world, 3, 1, old, 2);
    assert_int_equal(offer(world, 3, 2, new, 3, &whole), 2); /* one is the same */
    assert_hd_ok(put(world, 3, &new[2]));
    assert_has(world, 3, 1, true);
    open_depot(world);
    assert_has(world, 3, 1, true);
    assert_int_equal(offer(world, 3, 2, new, 3, &whole), 1);
    assert_false(whole);
    assert_hd_ok(put(world, 3, &new[1]));
    assert_hd_ok(put(world, 3, &new[1])); /* twice is once */
    assert_int_equal(offer(world, 3, 2, new, 3, &whole), 0);
    assert_true(whole);
    assert_has(world, 3, 1, false);
    assert_has(world, 3, 2, true);
    assert_int_equal(hd_depot_bytes(world->depot), 1800); /* what only the old one had is gone */
}

/* A piece is what its name says, and a name is 64 digits: nothing else is taken, or read. */
static void other_pieces_are_refused(void **state)
{
    struct world *world = *state;
    struct piece piece = piece_of('a', 600), other = piece_of('b', 600);
    bool whole;
    struct hd_buf json;
    hd_buf_init(&json, 4096);
    assert_hd_fails(put(world, 3, &piece), HD_E_NOTFOUND, "nothing that it belongs to");
    assert_int_equal(offer(world, 3, 1, &piece, 1, &whole), 1);
    (void)memcpy(other.hash, piece.hash, sizeof(other.hash));
    assert_hd_fails(put(world, 3, &other), HD_E_CORRUPT, "not what its name says");
    assert_hd_fails(hd_depot_put(world->depot, place_of(3), piece.hash, piece.bytes, 0, &err),
                    HD_E_LIMIT, "a piece has 1 to");
    const char *names[] = {
        "", "..", "../../../../../../../../../../../../../../../../../etc/passwd0", "/", "list"};
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        assert_hd_fails(hd_depot_put(world->depot, place_of(3), names[i], piece.bytes, 600, &err),
                        HD_E_INVALID, "digits of its SHA-256");
        assert_hd_fails(hd_depot_get(world->depot, place_of(3), names[i], &json, &err),
                        HD_E_INVALID, "digits of its SHA-256");
    }
    hd_buf_release(&json);
    assert_int_equal(offer(world, 3, 1, &piece, 1, &whole), 1); /* still */
}

/* Sizes and pieces must fit each other, and the bound. */
static void other_offers_are_refused(void **state)
{
    struct world *world = *state;
    struct hd_buf missing;
    bool whole;
    char hash[2 * HD_SHA256_TEXT_SIZE];
    struct piece piece = piece_of('a', 10);
    hd_buf_init(&missing, 4096);
    snprintf(hash, sizeof(hash), "%s%s", piece.hash, piece.hash);
    struct hd_depot_offer offer = {
        .place = place_of(1), .attempt = attempt_of(1), .budget = (double)NAN, .pieces = hash};
    const uint64_t sizes[] = {0, 1, 2 * HD_CHECKPOINT_PIECE_BYTES + 1, UINT64_MAX};
    for (size_t i = 0; i < HD_COUNT(sizes); i++) {
        offer.size = sizes[i];
        assert_hd_fails(hd_depot_offer(world->depot, &offer, &whole, &missing, &err), HD_E_INVALID,
                        "has other pieces");
    }
    offer.size = BYTES_MAX + 1;
    assert_hd_fails(hd_depot_offer(world->depot, &offer, &whole, &missing, &err), HD_E_FULL,
                    "more than the master keeps");
    hash[5] = 'X';
    offer.size = 20;
    assert_hd_fails(hd_depot_offer(world->depot, &offer, &whole, &missing, &err), HD_E_INVALID,
                    "has other pieces");
    hash[HD_CHECKPOINT_HASH_SIZE - 1] = '\0';
    assert_hd_fails(hd_depot_offer(world->depot, &offer, &whole, &missing, &err), HD_E_INVALID,
                    "has other pieces");
    hd_buf_release(&missing);
}

/* What nobody needs makes room, the oldest first, and what somebody needs never does. */
static void what_nobody_needs_makes_room(void **state)
{
    struct world *world = *state;
    const struct piece a[] = {piece_of('a', 4000)}, b[] = {piece_of('b', 4000)},
                       c[] = {piece_of('c', 4000)};
    bool whole;
    world->needed = 0;
    send_all(world, 0, 0, a, 1);
    world->needed = 1;
    send_all(world, 1, 1, b, 1);
    assert_true(hd_depot_bytes(world->depot) == 8000);
    world->needed = 1 << 0 | 1 << 1;
    assert_int_equal(offer(world, 2, 2, c, 1, &whole), -1);
    assert_non_null(strstr(err.text, "no room"));
    assert_hd_fails(put(world, 2, c), HD_E_FULL, "no room");
    assert_has(world, 0, 0, true);
    assert_has(world, 1, 1, true);
    world->needed = 1 << 2;
    assert_int_equal(offer(world, 2, 2, c, 1, &whole), 1);
    assert_hd_ok(put(world, 2, c));
    assert_has(world, 0, 0, false);
    assert_has(world, 1, 1, true); /* one was enough */
    assert_true(hd_depot_bytes(world->depot) == 8000);
    assert_int_equal(offer(world, 2, 2, c, 1, &whole), 0);
    hd_depot_sweep(world->depot);
    assert_has(world, 1, 1, false);
    assert_has(world, 2, 2, true);
    world->needed = 0;
    hd_depot_sweep(world->depot);
    assert_true(hd_depot_bytes(world->depot) == 0);
    assert_true(access(world->depot_dir, F_OK) != 0); /* nothing is left of it */
}

static void hear(void *context, struct hd_attempt_ref attempt)
{
    struct world *world = context;
    world->told++;
    world->last_told = attempt;
}

/* A restart finds whole copies, and what was never whole is no copy. */
static void a_restart_finds_what_is_whole(void **state)
{
    struct world *world = *state;
    const struct piece whole_one[] = {piece_of('a', 10)},
                       half[] = {piece_of('b', 10), piece_of('c', 10)};
    bool whole;
    char path[1024];
    send_all(world, 7, 4, whole_one, 1);
    assert_int_equal(offer(world, 8, 5, half, 2, &whole), 2);
    assert_hd_ok(put(world, 8, &half[0]));
    snprintf(path, sizeof(path), "%s/not a place", world->depot_dir);
    assert_hd_ok(hd_mkdirs(path, 0700, &err));
    open_depot(world);
    hd_depot_each(world->depot, hear, world);
    assert_int_equal(world->told, 1);
    assert_int_equal(world->last_told.job, 4);
    assert_true(world->last_told.run_uid == UINT64_MAX - 1);
    assert_true(hd_depot_bytes(world->depot) == 20);
    hd_depot_sweep(world->depot);
    assert_true(hd_depot_bytes(world->depot) == 10); /* half of one is of no use any more */
    assert_has(world, 7, 4, true);
    snprintf(path, sizeof(path), "%s/%016llx-7/list", world->depot_dir,
             (unsigned long long)(UINT64_MAX - 1));
    test_file_write(path, "garbage");
    open_depot(world);
    hd_depot_each(world->depot, hear, world);
    assert_int_equal(world->told, 1);
}

static void piece_file(const struct world *world, uint32_t config, const struct piece *piece,
                       char *ret_path, size_t size)
{
    struct hd_depot_place place = place_of(config);
    assert_true(hd_format(ret_path, size, "%s/%016llx-%u/%s", world->depot_dir,
                          (unsigned long long)place.run_uid, place.config, piece->hash));
}

/* Nothing is synced: after a power cut files may be there in name only. Such a copy is none, so
 * that jobs wait for the directory's holder, and it may come anew. */
static void what_a_power_cut_tore_is_no_copy(void **state)
{
    struct world *world = *state;
    static const struct {
        long size; /* of the second piece; -1: it is gone */
        bool has;
    } rows[] = {{2000, true}, {1999, false}, {0, false}, {-1, false}};
    struct piece pieces[] = {piece_of('a', 1000), piece_of('b', 2000), piece_of('a', 1000)};
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        char path[1024];
        send_all(world, 1, i + 1, pieces, 3);
        piece_file(world, 1, &pieces[1], path, sizeof(path));
        assert_int_equal(rows[i].size >= 0 ? truncate(path, rows[i].size) : unlink(path), 0);
        open_depot(world);
        assert_has(world, 1, i + 1, rows[i].has);
        world->told = 0;
        hd_depot_each(world->depot, hear, world);
        assert_int_equal(world->told, rows[i].has ? 1 : 0);
        assert_true(hd_depot_bytes(world->depot) == (rows[i].has ? 3000 : 0));
    }
}

/* A piece that has its length and other bytes is seen when it is read: the copy is none then, what
 * is left of it stays, and when it is offered again that piece alone is asked for. */
static void a_damaged_piece_is_asked_for_again(void **state)
{
    struct world *world = *state;
    char path[1024];
    struct hd_buf json;
    bool whole = false;
    const struct piece pieces[] = {piece_of('a', 600), piece_of('b', 600)};
    for (uint32_t i = 0; i < 2; i++) {
        send_all(world, 3, i + 1, pieces, 2);
        world->gone = 0;
        piece_file(world, 3, &pieces[1], path, sizeof(path));
        assert_hd_ok(hd_file_replace(path, pieces[0].bytes, 600, 0600, &err));
        if (i == 0)
            open_depot(world);
        hd_buf_init(&json, 1u << 20);
        assert_hd_fails(hd_depot_get(world->depot, place_of(3), pieces[1].hash, &json, &err),
                        HD_E_CORRUPT, "damaged");
        assert_hd_fails(hd_depot_get(world->depot, place_of(3), pieces[1].hash, &json, &err),
                        HD_E_NOTFOUND, "does not have");
        assert_int_equal(world->gone, 1);
        assert_has(world, 3, i + 1, false);
        hd_depot_sweep(world->depot);
        assert_int_equal(offer(world, 3, i + 1, pieces, 2, &whole), 1);
        assert_hd_ok(put(world, 3, &pieces[1]));
        assert_int_equal(offer(world, 3, i + 1, pieces, 2, &whole), 0);
        assert_hd_ok(hd_depot_get(world->depot, place_of(3), pieces[1].hash, &json, &err));
        hd_buf_release(&json);
    }
    assert_true(hd_depot_bytes(world->depot) == 1200);
}

/* The linker puts __wrap_hd_file_read where the depot calls hd_file_read: a disk that can fail
 * to read the files that have this in their paths. */
static const char *disk_fails;

enum hd_code __real_hd_file_read(const char *path, size_t size_max, bool nofollow,
                                 struct hd_buf *out, struct hd_err *ret_err);
enum hd_code __wrap_hd_file_read(const char *path, size_t size_max, bool nofollow,
                                 struct hd_buf *out, struct hd_err *ret_err);
enum hd_code __wrap_hd_file_read(const char *path, size_t size_max, bool nofollow,
                                 struct hd_buf *out, struct hd_err *ret_err)
{
    return disk_fails != NULL && strstr(path, disk_fails) != NULL
               ? hd_fail(ret_err, HD_E_IO, "cannot read %s: the disk failed", path)
               : __real_hd_file_read(path, size_max, nofollow, out, ret_err);
}

static enum hd_code get(struct world *world, uint32_t config, const struct piece *piece)
{
    struct hd_buf json;
    hd_buf_init(&json, 1u << 20);
    enum hd_code code = hd_depot_get(world->depot, place_of(config), piece->hash, &json, &err);
    hd_buf_release(&json);
    return code;
}

/* What keeps a piece from being read and may pass is told as that, and costs no copy. */
static void what_cannot_be_read_now_stays(void **state)
{
    struct world *world = *state;
    const struct piece piece = piece_of('a', 600);
    struct rlimit all, none;
    send_all(world, 3, 1, &piece, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        enum hd_code code = get(world, 3, &piece);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
        assert_hd_fails(code, HD_E_BUSY, "try again");
    }
    enum hd_code code = HD_E_BUSY;
    for (int64_t countdown = 0; code != HD_OK && countdown < 100; countdown++) {
        hd_test_fail_alloc_after(countdown);
        code = get(world, 3, &piece);
        hd_test_fail_alloc_after(-1);
        if (code != HD_OK && code != HD_E_NOMEM) /* NOMEM: the answer had no room */
            assert_hd_fails(code, HD_E_BUSY, "try again");
    }
    assert_hd_ok(code);
    disk_fails = "";
    code = get(world, 3, &piece);
    disk_fails = NULL;
    assert_hd_fails(code, HD_E_BUSY, "the disk failed");
    assert_int_equal(world->gone, 0);
    assert_has(world, 3, 1, true);
    assert_hd_ok(get(world, 3, &piece));
    assert_true(hd_depot_bytes(world->depot) == 600);
}

/* A job does not wait for ever for a disk that never reads a piece again. */
static void what_the_disk_never_reads_is_lost(void **state)
{
    struct world *world = *state;
    const struct piece piece = piece_of('a', 600);
    enum hd_code code = HD_E_BUSY;
    bool whole = false;
    send_all(world, 3, 1, &piece, 1);
    disk_fails = "";
    for (int i = 0; i < 100 && code == HD_E_BUSY; i++)
        code = get(world, 3, &piece);
    disk_fails = NULL;
    assert_hd_fails(code, HD_E_CORRUPT, "cannot read its copy");
    assert_int_equal(world->gone, 1);
    assert_has(world, 3, 1, false);
    assert_int_equal(offer(world, 3, 1, &piece, 1, &whole), 1);
}

/* Nor for one that is read between others which are read well, and the next failure of what came
 * again is a first one. */
static void other_pieces_do_not_save_it(void **state)
{
    struct world *world = *state;
    const struct piece pieces[] = {piece_of('a', 600), piece_of('b', 600)};
    enum hd_code code = HD_E_BUSY;
    send_all(world, 3, 1, pieces, 2);
    disk_fails = pieces[1].hash;
    for (int i = 0; i < 100 && code == HD_E_BUSY; i++) {
        assert_hd_ok(get(world, 3, &pieces[0]));
        code = get(world, 3, &pieces[1]);
    }
    assert_hd_fails(code, HD_E_CORRUPT, "cannot read its copy");
    disk_fails = NULL;
    send_all(world, 3, 1, pieces, 2);
    disk_fails = pieces[1].hash;
    code = get(world, 3, &pieces[1]);
    disk_fails = NULL;
    assert_hd_fails(code, HD_E_BUSY, "the disk failed");
}

static enum hd_code ask_list(struct world *world)
{
    struct hd_buf json;
    enum hd_code code = list(world, 3, 1, &json);
    hd_buf_release(&json);
    return code;
}

/* A worker that heard there is no copy would begin from the start: the list is not said to be
 * missing when it cannot be read now. */
static void a_list_that_cannot_be_read_now_is_not_missing(void **state)
{
    struct world *world = *state;
    const struct piece piece = piece_of('a', 600);
    struct rlimit all, none;
    send_all(world, 3, 1, &piece, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        enum hd_code code = ask_list(world);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
        assert_hd_fails(code, HD_E_BUSY, "try again");
    }
    disk_fails = "/list";
    enum hd_code code = ask_list(world);
    assert_hd_fails(code, HD_E_BUSY, "the disk failed");
    for (int i = 0; i < 100 && code == HD_E_BUSY; i++)
        code = ask_list(world);
    disk_fails = NULL;
    assert_hd_fails(code, HD_E_CORRUPT, "cannot read its copy"); /* not for ever */
    assert_has(world, 3, 1, true);
}

/* A start that cannot look at a copy does not take it for half of one, which would be removed. */
static void a_start_that_cannot_look_removes_nothing(void **state)
{
    struct world *world = *state;
    const struct piece piece = piece_of('a', 600);
    const struct hd_depot_settings settings = {
        .directory = world->depot_dir, .bytes_max = BYTES_MAX, .keeps = keeps, .context = world};
    send_all(world, 3, 1, &piece, 1);
    hd_depot_close(world->depot);
    world->depot = NULL;
    disk_fails = "/list";
    enum hd_code code = hd_depot_open(&settings, &world->depot, &err);
    disk_fails = NULL;
    assert_hd_fails(code, HD_E_IO, "cannot be looked at");
    open_depot(world);
    hd_depot_sweep(world->depot);
    assert_has(world, 3, 1, true);
    assert_hd_ok(get(world, 3, &piece));
}

/* A piece that copies of a run have in common counts once toward the limit, as the disk holds it,
 * whichever of them goes first, and after a restart. */
static void shared_pieces_count_once(void **state)
{
    struct world *world = *state;
    const struct piece first[] = {piece_of('a', 4000), piece_of('b', 500)},
                       second[] = {piece_of('a', 4000), piece_of('c', 600)},
                       third[] = {piece_of('a', 4000), piece_of('d', 700)};
    bool whole;
    world->shares = true;
    open_depot(world);
    send_all(world, 1, 1, first, 2);
    assert_int_equal(offer(world, 2, 2, second, 2, &whole), 1);
    assert_hd_ok(put(world, 2, &second[1]));
    assert_int_equal(offer(world, 2, 2, second, 2, &whole), 0);
    assert_true(hd_depot_bytes(world->depot) == 5100);
    open_depot(world);
    assert_true(hd_depot_bytes(world->depot) == 5100);
    send_all(world, 3, 3, third, 2); /* there is room for what it adds */
    assert_true(hd_depot_bytes(world->depot) == 5800);
    world->needed = 1 << 2 | 1 << 3;
    hd_depot_sweep(world->depot);
    assert_true(hd_depot_bytes(world->depot) == 5300);
    send_all(world, 2, 2, &second[1], 1); /* it has the common one no more */
    assert_true(hd_depot_bytes(world->depot) == 5300);
    world->needed = 1 << 2;
    hd_depot_sweep(world->depot);
    assert_true(hd_depot_bytes(world->depot) == 600);
}

/* What a master was writing when it died has no name of a piece, and goes with its next start; who
 * only reads, as a person's program beside a master that writes, removes nothing. */
static void half_written_pieces_go_with_the_next_start(void **state)
{
    struct world *world = *state;
    char path[1024], rubbish[1200];
    const struct piece pieces[] = {piece_of('a', 600)};
    send_all(world, 3, 1, pieces, 1);
    piece_file(world, 3, &pieces[0], path, sizeof(path));
    snprintf(rubbish, sizeof(rubbish), "%s.123-0123456789abcdef.tmp", path);
    test_file_write(rubbish, "half");
    const struct hd_depot_settings settings = {
        .directory = world->depot_dir, .reads_only = true, .keeps = keeps, .context = world};
    hd_depot_close(world->depot);
    assert_hd_ok(hd_depot_open(&settings, &world->depot, &err));
    assert_int_equal(access(rubbish, F_OK), 0);
    open_depot(world);
    assert_true(access(rubbish, F_OK) != 0);
    assert_true(hd_depot_bytes(world->depot) == 600);
    assert_has(world, 3, 1, true);
}

/* Questions that are none are told what is wrong with them. */
static void questions_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *json, *why;
    } wrong[] = {
        {"{}", "op is none that a depot knows"},
        {"{\"op\":\"take\",\"run\":\"1\",\"job\":1,\"attempt\":1}", "op is none"},
        {"{\"op\":\"list\",\"run\":1,\"job\":1,\"attempt\":1}", "run, job and attempt"},
        {"{\"op\":\"list\",\"run\":\"1\",\"job\":-1,\"attempt\":1}", "run, job and attempt"},
        {"{\"op\":\"list\",\"run\":\"1\",\"job\":1,\"attempt\":0}", "run, job and attempt"},
        {"{\"op\":\"list\",\"run\":\"1\",\"job\":4294967296,\"attempt\":1}",
         "run, job and attempt"},
        {"{\"op\":\"offer\",\"run\":\"1\",\"job\":1,\"attempt\":1,\"size\":3}", "size and pieces"},
        {"{\"op\":\"offer\",\"run\":\"1\",\"job\":1,\"attempt\":1,\"size\":-3,\"pieces\":\"\"}",
         "size and pieces"},
        {"{\"op\":\"put\",\"run\":\"1\",\"job\":1,\"attempt\":1,\"piece\":\"\"}", "name and data"},
        {"{\"op\":\"get\",\"run\":\"1\",\"job\":1,\"attempt\":1}", "which piece"},
        {"{\"op\":\"none\",\"run\":\"1\",\"job\":1,\"attempt\":1,\"why\":1}", "why does"},
    };
    struct hd_depot_question question;
    for (size_t i = 0; i < HD_COUNT(wrong); i++)
        assert_hd_fails(hd_depot_question_parse(wrong[i].json, &question, &err), HD_E_INVALID,
                        wrong[i].why);
    assert_hd_ok(hd_depot_question_parse(
        "{\"op\":\"offer\",\"run\":\"18446744073709551615\",\"job\":1,\"attempt\":2,\"size\":3,"
        "\"budget\":null,\"pieces\":\"ab\"}",
        &question, &err));
    assert_true(question.attempt.run_uid == UINT64_MAX && isnan(question.budget));
    hd_depot_question_release(&question);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_sent_is_given_back),
        TEST(what_was_interrupted_goes_on),
        TEST(other_pieces_are_refused),
        TEST(other_offers_are_refused),
        TEST(what_nobody_needs_makes_room),
        TEST(a_restart_finds_what_is_whole),
        TEST(what_a_power_cut_tore_is_no_copy),
        TEST(questions_are_judged),
        TEST(a_damaged_piece_is_asked_for_again),
        TEST(half_written_pieces_go_with_the_next_start),
        TEST(shared_pieces_count_once),
        TEST(what_cannot_be_read_now_stays),
        TEST(what_the_disk_never_reads_is_lost),
        TEST(other_pieces_do_not_save_it),
        TEST(a_list_that_cannot_be_read_now_is_not_missing),
        TEST(a_start_that_cannot_look_removes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
