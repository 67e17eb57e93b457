/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of targets: what is written where, in a tree that only looks like one; and the
 * kernel's own, where there is one that we may write to. */
#include "testlib.h"

#include "cgroup.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hd_err err;
static char *dir;
static char text[512];

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static const char *in(const char *name)
{
    static char path[600];
    assert_true(hd_format(path, sizeof(path), "%s/%s", dir, name));
    return path;
}

static const char *said(const char *name)
{
    char *all = test_file_read(in(name), NULL);
    assert_true(hd_copy_text(text, sizeof(text), all));
    free(all);
    return text;
}

/* What the kernel makes in a group with these controllers. */
static void make_files(const char *group, const char *const *names)
{
    char path[128];
    for (; *names != NULL; names++) {
        assert_true(hd_format(path, sizeof(path), "%s/%s", group, *names));
        test_file_write(in(path), "");
    }
}

/* Only controllers that are there are asked for, one a time; other directories are refused. */
static void a_directory_is_prepared(void **state)
{
    (void)state;
    struct hd_cgroup_kinds kinds;
    assert_hd_fails(hd_cgroup_prepare(dir, &kinds, &err), HD_E_UNSUPPORTED,
                    "no control group of version 2");
    assert_hd_fails(hd_cgroup_prepare("/nowhere/at/all", &kinds, &err), HD_E_IO,
                    "No such file or directory");
    assert_hd_fails(hd_cgroup_prepare("here", &kinds, &err), HD_E_INVALID, "absolute");
    test_file_write(in("cgroup.controllers"), "cpuset io memory\n");
    test_file_write(in("cgroup.subtree_control"), "");
    assert_hd_ok(hd_cgroup_prepare(dir, &kinds, &err));
    assert_string_equal(said("cgroup.subtree_control"), "+memory");
    test_file_write(in("cgroup.subtree_control"), "memory pids cpu");
    assert_hd_ok(hd_cgroup_prepare(dir, &kinds, &err));
    /* The tree keeps what was written last, a kernel all of it. */
    test_file_write(in("cgroup.controllers"), "hugetlb\n");
    test_file_write(in("cgroup.subtree_control"), "memory pids cpu\n");
    assert_hd_ok(hd_cgroup_prepare(dir, &kinds, &err));
    assert_true(kinds.memory && kinds.pids && kinds.cpus);
    test_file_write(in("cgroup.subtree_control"), "hugetlb cpuset pids.of.another\n");
    assert_hd_ok(hd_cgroup_prepare(dir, &kinds, &err));
    assert_false(kinds.memory || kinds.pids || kinds.cpus);
}

/* A group above that is ours too hands its controllers down first. */
static void controllers_come_from_above(void **state)
{
    (void)state;
    struct hd_cgroup_kinds kinds;
    test_file_write(in("cgroup.controllers"), "pids\n");
    test_file_write(in("cgroup.subtree_control"), "");
    assert_int_equal(mkdir(in("targets"), 0755), 0);
    test_file_write(in("targets/cgroup.controllers"), "pids\n");
    test_file_write(in("targets/cgroup.subtree_control"), "");
    assert_hd_ok(hd_cgroup_prepare(in("targets"), &kinds, &err));
    assert_string_equal(said("cgroup.subtree_control"), "+pids");
    assert_string_equal(said("targets/cgroup.subtree_control"), "+pids");
}

/* Each limit goes where the kernel reads it; a group without the controller leaves it to others. */
static void limits_are_written_where_they_can_be_kept(void **state)
{
    (void)state;
    static const char *const all[] = {"memory.max", "memory.swap.max", "memory.oom.group",
                                      "pids.max",   "cpu.max",         NULL};
    static const char *const few[] = {"pids.max", NULL};
    const struct hd_cgroup_limits limits = {.memory_bytes = 1 << 20, .pids = 7, .cpu_millis = 1500};
    struct hd_cgroup_kinds kept;
    assert_int_equal(mkdir(in("a"), 0755), 0);
    make_files("a", all);
    assert_hd_ok(hd_cgroup_make(in("a"), &limits, &kept, &err));
    assert_true(kept.memory && kept.pids && kept.cpus);
    assert_string_equal(said("a/memory.max"), "1048576");
    assert_string_equal(said("a/memory.swap.max"), "0");
    assert_string_equal(said("a/memory.oom.group"), "1");
    assert_string_equal(said("a/pids.max"), "7");
    assert_string_equal(said("a/cpu.max"), "150000 100000");
    assert_int_equal(mkdir(in("b"), 0755), 0);
    make_files("b", few);
    assert_hd_ok(hd_cgroup_make(in("b"), &limits, &kept, &err));
    assert_true(kept.pids && !kept.memory && !kept.cpus);
    const struct hd_cgroup_limits none = {0};
    assert_hd_ok(hd_cgroup_make(in("a"), &none, &kept, &err));
    assert_false(kept.memory || kept.pids || kept.cpus);
    assert_string_equal(said("a/memory.max"), "1048576");
    assert_hd_fails(hd_cgroup_make(in("no/way"), &limits, &kept, &err), HD_E_IO, "no/way");
}

/* What the kernel counted is found among its other counters. */
static void events_are_counted(void **state)
{
    (void)state;
    uint64_t kills = 9, refused = 9;
    hd_cgroup_count(in("nothing"), &kills, &refused);
    assert_true(kills == 0 && refused == 0);
    test_file_write(in("memory.events"),
                    "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n");
    test_file_write(in("pids.events"), "max 5\n");
    hd_cgroup_count(dir, &kills, &refused);
    assert_true(kills == 2 && refused == 5);
    test_file_write(in("memory.events"), "oom_kill");
    test_file_write(in("pids.events"), "max many\n");
    hd_cgroup_count(dir, &kills, &refused);
    assert_true(kills == 0 && refused == 0);
}

/* Where this kernel's groups are of version 2 and ours to make; NULL: nowhere. */
static const char *real_directory(struct hd_cgroup_kinds *ret_kinds)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    static char path[128];
    for (size_t i = 0; i < HD_COUNT(mounts); i++) {
        assert_true(
            hd_format(path, sizeof(path), "%s/hyperdock-test-%ld", mounts[i], (long)getpid()));
        if (hd_cgroup_prepare(path, ret_kinds, &err) == HD_OK)
            return path;
        (void)rmdir(path);
    }
    return NULL;
}

/* A process that left its parent, its group and its session ends with the control group. */
static void nothing_gets_out_of_a_group(void **state)
{
    (void)state;
    struct hd_cgroup_kinds kinds, kept;
    const struct hd_cgroup_limits limits = {.memory_bytes = 64u << 20};
    const char *root = real_directory(&kinds);
    int alive[2], status;
    char group[160], byte;
    if (root == NULL)
        skip();
    assert_true(hd_format(group, sizeof(group), "%s/target", root));
    assert_hd_ok(hd_cgroup_make(group, &limits, &kept, &err));
    assert_true(kept.memory == kinds.memory);
    assert_int_equal(pipe(alive), 0);
    pid_t child = fork();
    if (child == 0) {
        bool inside = hd_cgroup_enter(group);
        if (inside && fork() == 0) {
            (void)setsid();
            (void)!write(alive[1], "x", 1);
            for (;;)
                (void)pause();
        }
        _exit(inside ? 0 : 1);
    }
    close(alive[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(alive[0], &byte, 1), 1);
    assert_true(rmdir(group) != 0);
    hd_cgroup_end(group);
    assert_int_equal(read(alive[0], &byte, 1), 0); /* nobody holds it any more */
    assert_true(access(group, F_OK) != 0);
    assert_int_equal(rmdir(root), 0);
    hd_cgroup_end(group);
    close(alive[0]);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(a_directory_is_prepared),
        WITH_TREE(controllers_come_from_above),
        WITH_TREE(limits_are_written_where_they_can_be_kept),
        WITH_TREE(events_are_counted),
        cmocka_unit_test(nothing_gets_out_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
