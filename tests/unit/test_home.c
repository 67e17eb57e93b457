/* SPDX-License-Identifier: Apache-2.0 */
/* Files of attempts at the master: what workers may bring, what people are given, and that the core
 * knows of each. Behind it is a real core, and every word is as from a stranger. */
#include "core_world.h"

#include "home.h"

#include <hd/os.h>
#include <hd/pki.h>
#include <hd/value.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define HOME_BYTES 10000u

static char *dir, store_path[512];
static struct hd_home *home;
static struct worker w;
static struct hd_attempt_ref left[8]; /* by job */
static struct hd_buf said;

static bool wants(void *context, struct hd_attempt_ref attempt)
{
    (void)context;
    return hd_core_wants_files(core, attempt);
}

static void take(void *context, struct hd_event *event)
{
    (void)context;
    step(*event);
    settle();
}

static void open_home(void)
{
    const struct hd_home_settings settings = {
        .store_path = store_path, .bytes_max = HOME_BYTES, .keeps = wants, .tell = take};
    hd_home_close(home);
    home = NULL;
    assert_hd_ok(hd_home_open(&settings, &home, &err));
}

static int begin(void **state)
{
    setup(state);
    dir = test_dir_make();
    snprintf(store_path, sizeof(store_path), "%s/state.db", dir);
    hd_buf_init(&said, HD_VIEW_JSON_MAX);
    open_home();
    w = (struct worker){.id = "w", .root = "disk", .incarnation = 1};
    start("\"stop\":{\"configs\":8}");
    hello(&w, NULL, 0);
    return 0;
}

static int end(void **state)
{
    hd_home_close(home);
    home = NULL;
    hd_buf_release(&said);
    test_dir_remove(dir);
    return teardown(state);
}

static void end_next(double loss)
{
    struct hd_attempt_ref attempt = lease(&w);
    left[attempt.job] = attempt;
    report(&w, attempt, HD_OUTCOME_OK, loss);
}

/* ---- questions ------------------------------------------------------------------------------- */

static enum hd_code ask(const char *view, const char *json)
{
    const struct hd_request request = {
        .kind = HD_REQUEST_VIEW, .view = view, .view_json = json, .run_id = ""};
    hd_buf_clear(&said);
    return hd_home_answer(home, core, &request, &said, &err);
}

/* {"op": ..., what it is about, and `more`} */
static enum hd_code ask_of(const char *view, const char *op, uint32_t job, const char *more)
{
    char json[8192];
    assert_true(hd_format(json, sizeof(json),
                          "{\"op\":\"%s\",\"run\":\"%u\",\"job\":%u,\"attempt\":1%s}", op, RUN_UID,
                          job, more));
    return ask(view, json);
}

static void assert_says(const char *part)
{
    if (strstr(hd_buf_text(&said), part) == NULL)
        fail_msg("\"%s\" does not hold \"%s\"", hd_buf_text(&said), part);
}

struct piece {
    size_t size;
    char bytes[1024];
    char hash[HD_SHA256_TEXT_SIZE];
};

static struct piece piece_of(char letter)
{
    struct piece piece = {.size = 900};
    struct hd_sha256 *sha;
    memset(piece.bytes, letter, piece.size);
    assert_hd_ok(hd_sha256_new(&sha, &err));
    hd_sha256_add(sha, piece.bytes, piece.size);
    hd_sha256_end(sha, piece.hash);
    hd_sha256_free(sha);
    return piece;
}

static void offer(uint32_t job, const struct piece *one, const struct piece *other)
{
    char more[512];
    snprintf(more, sizeof(more), ",\"size\":1800,\"budget\":null,\"pieces\":\"%s%s\"", one->hash,
             other->hash);
    assert_hd_ok(ask_of("home", "offer", job, more));
}

static void put(uint32_t job, const struct piece *piece)
{
    struct hd_buf more;
    hd_buf_init(&more, 8192);
    assert_hd_ok(hd_buf_printf(&more, &err, ",\"piece\":\"%s\",\"data\":\"", piece->hash));
    assert_hd_ok(hd_base64_encode(piece->bytes, piece->size, false, &more, &err));
    assert_hd_ok(hd_buf_puts(&more, "\"", &err));
    assert_hd_ok(ask_of("home", "put", job, hd_buf_text(&more)));
    hd_buf_release(&more);
}

static void send_all(uint32_t job, const struct piece *one, const struct piece *other)
{
    offer(job, one, other);
    put(job, one);
    put(job, other);
    offer(job, one, other);
    assert_says("\"missing\":\"\"");
}

static enum hd_files files_of(uint32_t job)
{
    return hd_core_files(core, left[job]);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* What the best job left is taken and given back; what a better one left takes its place, when all
 * of it is there. */
static void the_best_is_kept_until_a_better_one_is_whole(void **state)
{
    (void)state;
    const struct piece a = piece_of('a'), b = piece_of('b'), c = piece_of('c');
    char more[128];
    end_next(5);
    assert_hd_ok(ask_of("home", "begin", 0, ""));
    assert_string_equal(hd_buf_text(&said), "{\"wanted\":true}");
    send_all(0, &a, &b);
    assert_int_equal(files_of(0), HD_FILES_HOME);
    end_next(3);
    offer(1, &a, &c);
    assert_says(c.hash);
    assert_null(strstr(hd_buf_text(&said), a.hash)); /* an attempt of this run has brought it */
    assert_hd_ok(ask_of("fetch", "list", 0, ""));
    assert_says(b.hash);
    put(1, &c);
    offer(1, &a, &c);
    assert_int_equal(files_of(1), HD_FILES_HOME);
    assert_int_equal(files_of(0), HD_FILES_HOME); /* somebody is fetching it */
    pass(61000);
    hello(&w, NULL, 0);
    hd_home_sweep(home);
    assert_int_equal(files_of(0), HD_FILES_AWAY);
    assert_hd_fails(ask_of("fetch", "list", 0, ""), HD_E_NOTFOUND, "does not have");
    snprintf(more, sizeof(more), ",\"piece\":\"%s\"", a.hash);
    assert_hd_ok(ask_of("fetch", "get", 1, more));
    assert_says("{\"data\":\"YWFh");
    assert_hd_ok(ask_of("home", "begin", 0, ""));
    assert_string_equal(hd_buf_text(&said), "{\"wanted\":false}");
    send_all(1, &a, &c); /* twice is once */
}

/* A master that starts again has what it had, and what was interrupted goes on. */
static void a_restart_forgets_nothing(void **state)
{
    (void)state;
    const struct piece a = piece_of('a'), b = piece_of('b');
    end_next(5);
    offer(0, &a, &b);
    put(0, &a);
    open_home();
    hd_home_tell_all(home);
    assert_int_equal(files_of(0), HD_FILES_COMING);
    offer(0, &a, &b);
    assert_null(strstr(hd_buf_text(&said), a.hash));
    put(0, &b);
    offer(0, &a, &b);
    step((struct hd_event){.kind = HD_EVENT_FILES, .attempt = left[0], .files = HD_FILES_AWAY});
    open_home();
    hd_home_tell_all(home);
    assert_int_equal(files_of(0), HD_FILES_HOME);
}

/* What a person asks for comes, with its progress; what does not come, has a reason. */
static void people_are_told_how_it_stands(void **state)
{
    (void)state;
    const struct piece a = piece_of('a'), b = piece_of('b');
    end_next(3);
    end_next(5);
    end_next(7);
    uint64_t words = hd_home_words(home);
    assert_hd_ok(ask_of("home", "begin", 1, ""));
    assert_string_equal(hd_buf_text(&said), "{\"wanted\":false}");
    assert_true(hd_home_words(home) > words);
    assert_hd_ok(ask_of("bring", "ask", 1, ""));
    assert_string_equal(hd_buf_text(&said),
                        "{\"files\":\"coming\",\"bytes\":0,\"size\":0,\"why\":\"\"}");
    offer(1, &a, &b);
    put(1, &a);
    assert_hd_ok(ask_of("bring", "ask", 1, ""));
    assert_says("\"bytes\":900,\"size\":1800");
    put(1, &b);
    offer(1, &a, &b);
    assert_hd_ok(ask_of("bring", "ask", 1, ""));
    assert_says("\"files\":\"home\"");
    assert_hd_ok(ask_of("bring", "ask", 2, ""));
    assert_hd_ok(ask_of("home", "none", 2, ",\"why\":\"it is \\\"gone\\\"\""));
    assert_hd_ok(ask_of("bring", "ask", 2, ""));
    assert_string_equal(
        hd_buf_text(&said),
        "{\"files\":\"never\",\"bytes\":0,\"size\":0,\"why\":\"it is \\\"gone\\\"\"}");
    assert_hd_ok(ask_of("bring", "ask", 7, ""));
    assert_says("\"files\":\"unknown\"");
}

/* Nobody makes a master give up what it wants, or take what it does not, by a word that is not his
 * to say. */
static void each_view_has_its_words(void **state)
{
    (void)state;
    static const struct {
        const char *view, *op;
    } wrong[] = {
        {"home", "list"}, {"home", "get"},  {"home", "ask"},   {"fetch", "offer"},
        {"fetch", "put"}, {"fetch", "ask"}, {"fetch", "none"}, {"fetch", "begin"},
        {"bring", "put"}, {"bring", "get"}, {"bring", "none"},
    };
    const char *more = ",\"size\":1,\"pieces\":\"\",\"piece\":\"\",\"data\":\"\",\"why\":\"\"";
    end_next(3);
    for (size_t i = 0; i < HD_COUNT(wrong); i++)
        assert_hd_fails(ask_of(wrong[i].view, wrong[i].op, 0, more), HD_E_INVALID,
                        "has no such op");
    assert_hd_fails(ask("home", ""), HD_E_INVALID, "");
    assert_hd_fails(ask("home", "{}"), HD_E_INVALID, "op is none");
    assert_hd_fails(ask_of("home", "offer", 0, ",\"size\":1,\"pieces\":\"../../x\""), HD_E_INVALID,
                    "other pieces");
    assert_hd_fails(ask_of("home", "offer", 0, ",\"size\":20000,\"pieces\":\"\""), HD_E_INVALID,
                    "");
    assert_hd_ok(ask_of("home", "offer", 3, ",\"size\":1,\"pieces\":\"../../x\""));
    assert_string_equal(hd_buf_text(&said), "{\"wanted\":false}");
    assert_int_equal(files_of(0), HD_FILES_COMING);
}

/* Work roots below the state's directory are known by their markers, and no others. */
static void roots_of_this_disk_are_known(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof(path), "%s/work/0", dir);
    assert_hd_ok(hd_mkdirs(path, 0700, &err));
    assert_false(hd_home_has_root(home, "0123abcd"));
    snprintf(path, sizeof(path), "%s/work/0/.hyperdock-root", dir);
    test_file_write(path, "0123abcd\n");
    assert_true(hd_home_has_root(home, "0123abcd"));
    assert_false(hd_home_has_root(home, "0123"));
    assert_false(hd_home_has_root(home, "0123abcde"));
    assert_false(hd_home_has_root(home, ""));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(the_best_is_kept_until_a_better_one_is_whole),
        TEST(a_restart_forgets_nothing),
        TEST(people_are_told_how_it_stands),
        TEST(each_view_has_its_words),
        TEST(roots_of_this_disk_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
