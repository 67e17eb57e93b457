/* SPDX-License-Identifier: Apache-2.0 */
/* Which work directories go, and which stay. */
#include "testlib.h"

#include "collect.h"

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536

static struct hd_err err;
static struct hd_root root;

static const char *path_of(const char *name)
{
    static char paths[4][HD_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, HD_PATH_MAX, "%s/run/cfg/%s", root.path, name));
    return path;
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* A directory of `chunks` times 64 KiB that was used `age` seconds ago. */
static void make(const char *name, const char *owner, int chunks, int age)
{
    char owner_path[HD_PATH_MAX], file[HD_PATH_MAX], line[HD_WORKER_ID_MAX + 1];
    static char bytes[CHUNK];
    memset(bytes, 'x', sizeof(bytes));
    assert_hd_ok(hd_mkdirs(path_of(name), 0755, &err));
    assert_true(hd_format(file, sizeof(file), "%s/state", path_of(name)));
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < chunks; i++)
        assert_int_equal(write(fd, bytes, sizeof(bytes)), CHUNK);
    assert_int_equal(close(fd), 0);
    assert_true(hd_format(owner_path, sizeof(owner_path), "%s.owner", path_of(name)) &&
                hd_format(line, sizeof(line), "%s\n", owner));
    assert_hd_ok(hd_file_replace(owner_path, line, strlen(line), 0644, &err));
    const struct timespec times[2] = {{.tv_sec = hd_clock_wall_ms() / 1000 - age},
                                      {.tv_sec = hd_clock_wall_ms() / 1000 - age}};
    assert_int_equal(utimensat(AT_FDCWD, owner_path, times, 0), 0);
}

static struct hd_collector *collector_of(uint64_t limit_bytes)
{
    struct hd_collector *collector = NULL;
    assert_hd_ok(hd_collector_open(&root, "w-0", limit_bytes, &collector, &err));
    return collector;
}

static struct hd_collector *started(uint64_t limit_bytes, hd_collect_asker asker, void *context)
{
    struct hd_collector *collector = collector_of(limit_bytes);
    assert_hd_ok(hd_collector_start(collector, asker, context, &err));
    return collector;
}

static int set_up(void **state)
{
    (void)state;
    char dir[] = "/tmp/hd-collect-XXXXXX";
    assert_non_null(mkdtemp(dir));
    root = (struct hd_root){0};
    assert_true(hd_copy_text(root.path, sizeof(root.path), dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_hd_ok(hd_remove_tree(root.path, &err));
    return 0;
}

static void what_was_used_longest_ago_goes_first(void **state)
{
    (void)state;
    make("c0-0-1", "w-0", 16, 300);
    make("c1-1-1", "w-0", 16, 200);
    make("c2-2-1", "w-0", 16, 100);
    make("c3-3-1", "w-1", 16, 900); /* somebody else's */
    struct hd_collector *collector = collector_of(40 * CHUNK);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_false(is_there("c0-0-1"));
    assert_false(is_there("c0-0-1.owner"));
    assert_false(is_there(".gone-c0-0-1"));
    assert_true(is_there("c1-1-1") && is_there("c2-2-1") && is_there("c3-3-1"));
}

static void what_is_in_use_stays_however_old(void **state)
{
    (void)state;
    struct hd_collector *collector = collector_of(40 * CHUNK);
    hd_collector_hold(collector);
    hd_collector_pin(collector, "c0-0-1");
    make("c0-0-1", "w-0", 16, 300);
    make("c1-1-1", "w-0", 16, 200);
    make("c2-2-1", "w-0", 16, 100);
    hd_collector_release(collector);
    (void)hd_collector_look(collector);
    assert_true(is_there("c0-0-1"));
    assert_false(is_there("c1-1-1"));
    assert_true(is_there("c2-2-1"));
    hd_collector_unpin(collector, "c0-0-1");
    make("c4-4-1", "w-0", 16, 0);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_false(is_there("c0-0-1"));
}

/* A worker that begins does not know yet what an earlier one left running, nor a master that could
 * say what is needed: whatever the limit, nothing goes until something has ended. */
static void who_begins_removes_nothing_until_something_ends(void **state)
{
    (void)state;
    make("c0-0-1", "w-0", 16, 300);
    make("c1-1-1", "w-0", 16, 200);
    make("c2-2-1", "w-0", 16, 100);
    struct hd_collector *collector = collector_of(40 * CHUNK);
    hd_collector_hold(collector);
    hd_collector_pin(collector, "c0-0-1");
    hd_collector_pin(collector, "c2-2-1");
    hd_collector_release(collector);
    assert_hd_ok(hd_collector_start(collector, NULL, NULL, &err));
    assert_true(is_there("c0-0-1") && is_there("c1-1-1") && is_there("c2-2-1"));
    hd_collector_unpin(collector, "c2-2-1");
    while (is_there("c1-1-1"))
        (void)sched_yield();
    hd_collector_close(collector);
    assert_true(is_there("c0-0-1") && is_there("c2-2-1"));
}

static void without_a_limit_only_the_superseded_goes(void **state)
{
    (void)state;
    make("c0-0-1", "w-1", 16, 300);
    make("c0-2-1", "w-0", 16, 100);
    struct hd_collector *collector = collector_of(0);
    hd_collector_hold(collector);
    hd_collector_pin(collector, "c0-2-1");
    hd_collector_release(collector);
    hd_collector_supersede(collector, path_of("c0-0-1"));
    hd_collector_supersede(collector, path_of("c0-2-1")); /* in use: no */
    assert_false(is_there("c0-0-1"));                     /* at once, whatever it holds */
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_false(is_there(".gone-c0-0-1"));
    assert_true(is_there("c0-2-1"));
}

static void links_lead_nowhere(void **state)
{
    (void)state;
    char link[HD_PATH_MAX], outside[HD_PATH_MAX];
    make("c0-0-1", "w-0", 32, 300);
    assert_true(hd_format(outside, sizeof(outside), "%s/outside", root.path) &&
                hd_format(link, sizeof(link), "%s/out", path_of("c0-0-1")));
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(symlink(outside, path_of("c9-9-9")), 0);
    struct hd_collector *collector = collector_of(CHUNK);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_false(is_there("c0-0-1"));
    assert_true(is_there("c9-9-9"));
    assert_int_equal(access(outside, F_OK), 0);
}

/* A config that was evaluated at its highest budget will not be gone on with. */
static void what_is_finished_goes_before_what_is_old(void **state)
{
    (void)state;
    make("c0-0-1", "w-0", 16, 300);
    make("c1-1-1", "w-0", 16, 200);
    make("c2-2-1", "w-0", 16, 100);
    hd_workspace_finish(path_of("c2-2-1"), "w-0");
    assert_true(hd_workspace_is_finished(path_of("c2-2-1")));
    assert_false(hd_workspace_is_finished(path_of("c1-1-1")));
    assert_true(hd_workspace_is_owner(path_of("c2-2-1"), "w-0"));
    struct hd_collector *collector = collector_of(40 * CHUNK);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_true(is_there("c0-0-1") && is_there("c1-1-1"));
    assert_false(is_there("c2-2-1"));
}

/* ---- what masters say ----------------------------------------------------------------------- */

/* c<job>-...: what is said of its directory; the last grant of each is attempt 1 of that job. */
static const enum hd_need said[] = {HD_NEED_STATE, HD_NEED_NOTHING, HD_NEED_BEST,
                                    HD_NEED_ROOM,  HD_NEED_UNKNOWN, HD_NEED_NOTHING};
static atomic_size_t asked, wrong; /* the collector's thread asks too */

static void answer(void *context, const struct hd_collect_question *questions, size_t count,
                   enum hd_need *ret_needs)
{
    struct hd_collector **begins_anew = context;
    for (size_t i = 0; i < count; i++) {
        const struct hd_attempt_ref *attempt = &questions[i].attempt;
        bool good = attempt->run_uid == UINT64_C(0xfedcba9876543210) &&
                    attempt->stamp == 4000000000u && attempt->job < HD_COUNT(said) &&
                    questions[i].directory[1] - '0' == (int)attempt->job;
        wrong += good ? 0 : 1;
        if (good && attempt->attempt == 1)
            ret_needs[i] = said[attempt->job];
        asked++;
    }
    if (begins_anew == NULL)
        return;
    /* Meanwhile another job has ended in the last one. */
    const struct hd_left_by later = {{UINT64_C(0xfedcba9876543210), 5, 2, 4000000000u}, 1};
    hd_workspace_leave(&root, "w-0", path_of("c5-5-1"), &later);
}

static void make_left(const char *name, int chunks, int age, uint32_t kept)
{
    make(name, "w-0", chunks, age);
    const struct hd_left_by left = {
        {UINT64_C(0xfedcba9876543210), (uint32_t)(name[1] - '0'), 1, 4000000000u}, kept};
    struct hd_left_by read;
    hd_workspace_leave(&root, "w-0", path_of(name), &left);
    assert_true(hd_workspace_left_by(path_of(name), &read));
    assert_int_equal(read.kept, kept);
    assert_true(hd_attempt_ref_same(read.attempt, left.attempt));
}

/* Only what its master says is needed for nothing, and only if nothing has happened there since. */
static void what_no_experiment_keeps_goes_at_once(void **state)
{
    (void)state;
    struct hd_collector *collector = NULL;
    for (int i = 0; i < 6; i++) {
        char name[8];
        assert_true(hd_format(name, sizeof(name), "c%d-%d-1", i, i));
        make_left(name, 1, 100, 1);
    }
    make("c6-6-1", "w-0", 1, 100); /* nobody has answered for a job in it */
    asked = 0;
    collector = started(0, answer, &collector);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_true(asked >= 6);
    assert_int_equal(wrong, 0);
    assert_false(is_there("c1-1-1") || is_there("c1-1-1.left") || is_there("c1-1-1.owner"));
    assert_true(is_there("c0-0-1") && is_there("c2-2-1") && is_there("c3-3-1") &&
                is_there("c4-4-1") && is_there("c5-5-1") && is_there("c6-6-1"));
}

/* First what no job goes on from, then the best of that; what is needed goes last. */
static void the_needed_go_last_when_room_is_needed(void **state)
{
    (void)state;
    make_left("c0-0-1", 16, 900, 0);
    make_left("c2-2-1", 16, 800, 0);
    make_left("c3-3-1", 16, 100, 0);
    asked = 0;
    struct hd_collector *collector = started(100 * CHUNK, answer, NULL);
    (void)hd_collector_look(collector);
    assert_int_equal(asked, 0); /* there is room */
    hd_collector_close(collector);
    collector = started(40 * CHUNK, answer, NULL);
    (void)hd_collector_look(collector);
    assert_true(is_there("c0-0-1") && is_there("c2-2-1"));
    assert_false(is_there("c3-3-1"));
    hd_collector_close(collector);
    collector = started(20 * CHUNK, answer, NULL);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_true(is_there("c0-0-1"));
    assert_false(is_there("c2-2-1"));
}

/* A damaged note is none. */
static void a_note_that_is_none_is_not_believed(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "77 1 1\n", "0000000000000077 1 1 5 0",
                                        "0000000000000077 1 1 5 0 more\n", "xyz 1 1 5 0\n"};
    char path[HD_PATH_MAX];
    struct hd_left_by left;
    make("c0-0-1", "w-0", 1, 0);
    assert_false(hd_workspace_left_by(path_of("c0-0-1"), &left));
    assert_true(hd_format(path, sizeof(path), "%s.left", path_of("c0-0-1")));
    for (size_t i = 0; i < HD_COUNT(texts); i++) {
        assert_hd_ok(hd_file_replace(path, texts[i], strlen(texts[i]), 0644, &err));
        assert_false(hd_workspace_left_by(path_of("c0-0-1"), &left));
    }
}

/* ---- directories of attempts ---------------------------------------------------------------- */

static const char *run_path(const char *name)
{
    static char paths[4][HD_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, HD_PATH_MAX, "%s/demo/run/%s", root.path, name));
    return path;
}

static bool run_is_there(const char *name)
{
    return access(run_path(name), F_OK) == 0;
}

/* An attempt's directory of 1 MiB whose result was acknowledged `age` seconds ago. */
static void make_run_breaking(const char *name, const char *worker, int age, double budget,
                              double loss, double violation)
{
    char path[HD_PATH_MAX], log[HD_PATH_MAX];
    static char bytes[16 * CHUNK];
    memset(bytes, 'x', sizeof(bytes));
    (void)hd_copy_text(path, sizeof(path), run_path(name));
    assert_hd_ok(hd_mkdirs(path, 0755, &err));
    assert_true(hd_format(log, sizeof(log), "%s/log.txt", path));
    assert_hd_ok(hd_file_replace(log, bytes, sizeof(bytes), 0644, &err));
    if (age < 0)
        return; /* nobody has answered for it */
    hd_run_dir_done(&root, path, worker, budget, loss, violation);
    assert_true(hd_format(log, sizeof(log), "%s.done", path));
    const struct timespec times[2] = {{.tv_sec = hd_clock_wall_ms() / 1000 - age},
                                      {.tv_sec = hd_clock_wall_ms() / 1000 - age}};
    assert_int_equal(utimensat(AT_FDCWD, log, times, 0), 0);
}

static void make_run(const char *name, const char *worker, int age, double budget, double loss)
{
    make_run_breaking(name, worker, age, budget, loss, 0);
}

static bool is_needed(void *needed, const char *run_dir)
{
    return hd_streq(strrchr(run_dir, '/') + 1, needed);
}

/* The oldest go; not what is unanswered, unshipped, somebody else's, or the best. */
static void the_oldest_attempts_go_and_the_best_stays(void **state)
{
    (void)state;
    char needed[] = "4-1", link_path[HD_PATH_MAX];
    make_run("0-1", "w-0", 900, 1, 0.5);
    make_run("1-1", "w-0", 800, 3, 0.9); /* the best: the highest budget */
    make_run("2-1", "w-0", -1, 3, 0.1);
    make_run("3-1", "w-1", 700, 9, 0.1);
    make_run("4-1", "w-0", 600, 1, 0.4);
    make_run("5-1", "w-0", 500, 9, (double)NAN); /* failed */
    make_run("6-1", "w-0", 100, 1, 0.6);
    assert_true(hd_format(link_path, sizeof(link_path), "%s", run_path("7-1")));
    assert_int_equal(symlink("6-1", link_path), 0);
    assert_false(hd_run_dirs_make_room(&root, "w-0", 64 * CHUNK * 16, is_needed, needed));
    assert_true(run_is_there("0-1"));
    /* Of five MiB three and a half may stay. */
    assert_true(hd_run_dirs_make_room(&root, "w-0", 56 * CHUNK, is_needed, needed));
    assert_false(run_is_there("0-1") || run_is_there("0-1.done") || run_is_there("5-1"));
    assert_true(run_is_there("1-1") && run_is_there("2-1") && run_is_there("3-1") &&
                run_is_there("4-1") && run_is_there("6-1"));
    needed[0] = 'x';
    struct hd_collector *collector = collector_of(0);
    hd_collector_limit_runs(collector, 1, is_needed, needed);
    (void)hd_collector_look(collector);
    hd_collector_close(collector);
    assert_true(run_is_there("1-1") && run_is_there("2-1") && run_is_there("3-1"));
    assert_false(run_is_there("4-1") || run_is_there("6-1"));
}

/* What breaks a constraint is behind what does not, and of equals the first is the best. */
static void the_best_attempt_is_the_incumbents(void **state)
{
    (void)state;
    char nothing[] = "";
    make_run_breaking("0-1", "w-0", 100, 3, 0.1, 2);
    make_run("1-1", "w-0", 200, 3, 0.5);
    make_run("2-1", "w-0", 300, 3, 0.5);
    make_run("3-1", "w-0", 250, 3, 0.5);
    assert_true(hd_run_dirs_make_room(&root, "w-0", 1, is_needed, nothing));
    assert_true(run_is_there("2-1"));
    assert_false(run_is_there("0-1") || run_is_there("1-1") || run_is_there("3-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_used_longest_ago_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_use_stays_however_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_begins_removes_nothing_until_something_ends, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_limit_only_the_superseded_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(links_lead_nowhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_finished_goes_before_what_is_old, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_no_experiment_keeps_goes_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_needed_go_last_when_room_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_note_that_is_none_is_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_attempts_go_and_the_best_stays, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_best_attempt_is_the_incumbents, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
