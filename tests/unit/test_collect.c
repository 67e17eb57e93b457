/* SPDX-License-Identifier: Apache-2.0 */
/* Which work directories go, and which stay. */
#include "testlib.h"

#include "collect.h"

#include <fcntl.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_used_longest_ago_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_use_stays_however_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_limit_only_the_superseded_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(links_lead_nowhere, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
