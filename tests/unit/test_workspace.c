/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of a worker: roots and seats, and where configs and attempts have their files. */
#include "testlib.h"

#include "contract_place.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hd_err err;

/* ---- roots and seats ------------------------------------------------------------------------ */

static void a_root_is_recognised_by_its_marker_under_any_name(void **state)
{
    struct place *place = *state;
    struct hd_root again, other;
    const char *alias = join(place->dir, "alias");
    assert_int_equal(symlink(place->root.path, alias), 0);
    assert_hd_ok(hd_root_open(alias, &again, &err));
    assert_string_equal(again.id, place->root.id);
    assert_string_equal(again.path, place->root.path);
    assert_hd_ok(hd_root_open(join(place->dir, "other"), &other, &err));
    assert_string_not_equal(other.id, place->root.id);
    test_file_write(join(other.path, ".hyperdock-root"), "");
    assert_hd_fails(hd_root_open(other.path, &again, &err), HD_E_CORRUPT, "remove it");
}

static void workers_of_one_host_get_the_lowest_free_names(void **state)
{
    struct place *place = *state;
    struct hd_seat first, second, third;
    assert_hd_ok(hd_seat_take(&place->root, "box", NULL, &first, &err));
    char seat_0[128], seat_1[128], cleaned[128];
    snprintf(seat_0, sizeof(seat_0), "box-%.6s-0", place->root.id);
    snprintf(seat_1, sizeof(seat_1), "box-%.6s-1", place->root.id);
    snprintf(cleaned, sizeof(cleaned), "a-b---%.6s-0", place->root.id);
    assert_string_equal(first.worker, seat_0);
    assert_hd_ok(hd_seat_take(&place->root, "box", NULL, &second, &err));
    assert_string_equal(second.worker, seat_1);
    assert_hd_fails(hd_seat_take(&place->root, "box", seat_1, &third, &err), HD_E_BUSY,
                    "-1 is running already");
    hd_seat_release(&first);
    assert_hd_ok(hd_seat_take(&place->root, "box", NULL, &third, &err));
    assert_string_equal(third.worker, seat_0);
    assert_true(third.incarnation > first.incarnation);
    assert_true(third.incarnation < INT64_MAX);
    hd_seat_release(&second);
    hd_seat_release(&third);
    assert_hd_ok(hd_seat_take(&place->root, "../a b\xc3\xa9", NULL, &first, &err));
    assert_string_equal(first.worker, cleaned);
    hd_seat_release(&first);
    assert_hd_fails(hd_seat_take(&place->root, "h", "../x", &first, &err), HD_E_INVALID,
                    "worker id");
}

/* Two processes that begin from copies of one directory at one time are two incarnations, each
 * newer than what was copied, wherever the clock stands. */
static void a_copied_seat_is_another_incarnation(void **state)
{
    struct place *place = *state;
    struct hd_seat seat;
    uint64_t seen[8] = {0};
    static const char *const lasts[] = {"1795275518836149970", "1795275518836"};
    for (size_t i = 0; i < HD_COUNT(seen); i++) {
        const char *last = lasts[i % HD_COUNT(lasts)];
        uint64_t before;
        assert_hd_ok(hd_seat_take(&place->root, "box", NULL, &seat, &err));
        hd_seat_release(&seat);
        test_file_write(join(seat.state_dir, "incarnation"), last);
        assert_hd_ok(hd_seat_take(&place->root, "box", NULL, &seat, &err));
        hd_seat_release(&seat);
        assert_true(hd_parse_u64(last, &before));
        seen[i] = seat.incarnation;
        assert_true(seen[i] > before);
        for (size_t k = 0; k < i; k++)
            assert_true(seen[i] != seen[k]);
    }
}

/* ---- directories ---------------------------------------------------------------------------- */

static void the_work_directory_goes_on_in_place_for_its_owner(void **state)
{
    struct place *place = *state;
    struct hd_workspace first, next;
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
    assert_int_equal(first.start, HD_START_FRESH);
    assert_string_equal(first.directory, "c5-7-1");
    assert_true(isnan(first.budget_previous));
    test_file_write(join(first.work_dir, "weights"), "w1");
    test_file_write(join(first.run_dir, "rubbish"), "x");
    hd_workspace_reach(first.work_dir, "w-0", 1);

    lease = lease_of(place, 9, 1);
    lease.root = place->root.id;
    lease.directory = first.directory;
    lease.directory_owner = "w-0";
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &next, &err));
    assert_int_equal(next.start, HD_START_IN_PLACE);
    assert_string_equal(next.work_dir, first.work_dir);
    assert_true(next.budget_previous == 1);
    assert_string_not_equal(next.run_dir, first.run_dir);
    /* fenced: the directory is the config's and stays */
    hd_workspace_discard(&next);
    assert_true(hd_path_exists(join(first.work_dir, "weights")));
    /* the same attempt made again begins with an empty run directory */
    lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &next, &err));
    assert_false(hd_path_exists(join(next.run_dir, "rubbish")));
    assert_false(hd_path_exists(join(next.work_dir, "weights")));
}

/* On a disk that was copied or restored the state may be older than the master believes: the
 * target begins from the start, and is told so. What has gone further is good enough. */
static void a_state_older_than_the_lease_says_is_not_gone_on_from(void **state)
{
    struct place *place = *state;
    static const struct {
        double reached; /* NaN: the attempt never ended well */
        enum hd_start start;
    } rows[] = {{(double)NAN, HD_START_FRESH},
                {0.5, HD_START_FRESH},
                {1, HD_START_IN_PLACE},
                {1.0 / 3 + 1, HD_START_IN_PLACE}};
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace first, next;
        struct hd_lease lease = lease_of(place, 20 + 2 * i, 1);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
        if (!isnan(rows[i].reached))
            hd_workspace_reach(first.work_dir, "w-0", rows[i].reached);
        hd_workspace_finish(first.work_dir, "w-0"); /* forgets nothing */
        lease = lease_of(place, 21 + 2 * i, 1);
        lease.root = place->root.id;
        lease.directory = first.directory;
        lease.directory_owner = "w-0";
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &next, &err));
        assert_int_equal(next.start, rows[i].start);
        assert_int_equal(isnan(next.budget_previous), rows[i].start == HD_START_FRESH);
        assert_int_equal(hd_streq(next.work_dir, first.work_dir),
                         rows[i].start == HD_START_IN_PLACE);
    }
}

static void another_worker_on_a_shared_root_works_on_a_copy(void **state)
{
    struct place *place = *state;
    struct hd_workspace first, copy;
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
    test_file_write(join(first.work_dir, "weights"), "w1");
    hd_workspace_reach(first.work_dir, "w-0", 1);
    lease = lease_of(place, 7, 2);
    lease.root = place->root.id;
    lease.directory = first.directory;
    lease.directory_owner = "w-0";
    assert_hd_ok(hd_workspace_make(&place->root, "w-1", &lease, &copy, &err));
    assert_int_equal(copy.start, HD_START_COPY);
    assert_string_equal(copy.directory, "c5-7-2");
    assert_true(copy.budget_previous == 1);
    size_t size;
    char *text = test_file_read(join(copy.work_dir, "weights"), &size);
    assert_string_equal(text, "w1");
    free(text);
    test_file_write(join(copy.work_dir, "weights"), "w2");
    text = test_file_read(join(first.work_dir, "weights"), &size);
    assert_string_equal(text, "w1");
    free(text);
    hd_workspace_discard(&copy);
    assert_false(hd_path_exists(copy.work_dir));
    assert_true(hd_path_exists(first.work_dir));
    /* the marker, not the lease, says who may go on in place */
    lease.directory_owner = "w-1";
    assert_hd_ok(hd_workspace_make(&place->root, "w-1", &lease, &copy, &err));
    assert_int_equal(copy.start, HD_START_COPY);
}

/* A worker finds what an attempt left by the note of its last grant, while that is its own and no
 * other grant was acknowledged there since. */
static void what_an_attempt_left_is_found_by_its_grant(void **state)
{
    struct place *place = *state;
    struct hd_workspace first;
    char path[HD_PATH_MAX];
    struct hd_lease lease = lease_of(place, 7, 1);
    lease.attempt.stamp = 5;
    struct hd_attempt_ref other = lease.attempt;
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
    assert_false(hd_workspace_find(&place->root, "w-0", lease.attempt, path));
    hd_workspace_leave(&place->root, "w-0", first.work_dir,
                       &(struct hd_left_by){.attempt = lease.attempt});
    assert_true(hd_workspace_find(&place->root, "w-0", lease.attempt, path));
    assert_string_equal(path, first.work_dir);
    assert_false(hd_workspace_find(&place->root, "w-1", lease.attempt, path));
    other.stamp++;
    assert_false(hd_workspace_find(&place->root, "w-0", other, path));
    other = lease.attempt;
    other.run_uid++;
    assert_false(hd_workspace_find(&place->root, "w-0", other, path));
    other = lease.attempt;
    other.job++;
    hd_workspace_leave(&place->root, "w-0", first.work_dir, &(struct hd_left_by){.attempt = other});
    assert_false(hd_workspace_find(&place->root, "w-0", lease.attempt, path));
    assert_true(hd_workspace_find(&place->root, "w-0", other, path));
}

/* A state that comes from another machine is in its place whole, with the budget that it has been
 * trained to; of one that came in part nothing is left, whoever died meanwhile. */
static void a_state_that_comes_is_in_its_place_whole_or_not_at_all(void **state)
{
    struct place *place = *state;
    struct hd_seat seat;
    struct hd_workspace workspace;
    char path[HD_PATH_MAX], part[HD_PATH_MAX], directory[HD_DIR_NAME_MAX];
    struct hd_lease lease = lease_of(place, 7, 2), other = lease_of(place, 8, 1);
    assert_hd_ok(hd_seat_take(&place->root, "w", "w-0", &seat, &err));
    assert_hd_ok(hd_workspace_import_begin(seat.state_dir, &lease, path, &err));
    assert_hd_ok(hd_workspace_import_begin(seat.state_dir, &other, part, &err));
    other.attempt.run_uid++;
    char foreign[HD_PATH_MAX];
    assert_hd_ok(hd_workspace_import_begin(seat.state_dir, &other, foreign, &err));
    assert_string_not_equal(part, foreign);
    test_file_write(join(path, "weights"), "w1");
    test_file_write(join(part, "weights"), "half");
    assert_hd_ok(hd_workspace_import_end(&place->root, "w-0", path, 1, &lease, directory, &err));
    hd_workspace_import_clear(seat.state_dir);
    assert_false(hd_path_exists(path) || hd_path_exists(part) || hd_path_exists(foreign));
    lease.root = place->root.id;
    lease.directory = directory;
    lease.directory_owner = "w-0";
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
    assert_string_equal(workspace.directory, directory);
    assert_true(workspace.budget_previous == 1 && hd_workspace_reached(workspace.work_dir) == 1);
    size_t size;
    char *text = test_file_read(join(workspace.work_dir, "weights"), &size);
    assert_string_equal(text, "w1");
    free(text);
    /* The attempt made it: when it is refused, it goes. */
    hd_workspace_discard(&workspace);
    assert_false(hd_path_exists(workspace.work_dir));
    hd_seat_release(&seat);
}

#define COPIED_FILES 1000

/* Where a worker has what it copies for attempt 2 of job 7 until all of it is there. */
static void begun_path(const struct place *place, const char *worker, char ret_path[HD_PATH_MAX])
{
    assert_true(hd_format(ret_path, HD_PATH_MAX, "%s/.hyperdock-workers/%s/incoming/copy-c5-7-2",
                          place->root.path, worker));
}

struct removal {
    const char *begun, *from; /* when the first is there, the second goes */
    atomic_bool over;
};

static void *remove_when_begun(void *argument)
{
    struct removal *removal = argument;
    char gone[HD_PATH_MAX];
    struct hd_err ignored;
    if (!hd_format(gone, sizeof(gone), "%s.gone", removal->from))
        return NULL;
    while (!hd_path_exists(removal->begun) && !atomic_load(&removal->over))
        continue;
    if (rename(removal->from, gone) == 0)
        (void)!hd_remove_tree(gone, &ignored);
    return NULL;
}

/* Its owner may remove a directory while another worker copies it: a copy is whole, or there is
 * none and the config begins afresh. */
static void what_vanishes_while_it_is_copied_is_not_copied_in_part(void **state)
{
    struct place *place = *state;
    struct hd_workspace first, copy;
    char name[32], begun[HD_PATH_MAX], from[HD_PATH_MAX];
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
    for (int i = 0; i < COPIED_FILES; i++) {
        assert_true(hd_format(name, sizeof(name), "part-%d", i));
        test_file_write(join(first.work_dir, name), "w");
    }
    hd_workspace_reach(first.work_dir, "w-0", 1);
    lease = lease_of(place, 7, 2);
    lease.root = place->root.id;
    lease.directory = first.directory;
    lease.directory_owner = "w-0";
    assert_true(hd_copy_text(from, sizeof(from), first.work_dir));
    begun_path(place, "w-1", begun);
    struct removal removal = {.begun = begun, .from = from};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, remove_when_begun, &removal), 0);
    enum hd_code code = hd_workspace_make(&place->root, "w-1", &lease, &copy, &err);
    atomic_store(&removal.over, true);
    pthread_join(thread, NULL);
    assert_hd_ok(code);
    int parts = 0;
    for (int i = 0; i < COPIED_FILES; i++)
        if (hd_format(name, sizeof(name), "part-%d", i) &&
            hd_path_exists(join(copy.work_dir, name)))
            parts++;
    assert_int_equal(parts, copy.start == HD_START_COPY ? COPIED_FILES : 0);
    assert_int_equal(copy.start == HD_START_COPY, copy.copied_from[0] != '\0');
    assert_false(hd_path_exists(begun));
}

/* How many entries of a work directory's parent are no directories of configs. */
static int count_rubbish(const char *work_dir)
{
    char cfg[HD_PATH_MAX];
    int count = 0;
    struct dirent *entry;
    assert_true(
        hd_format(cfg, sizeof(cfg), "%.*s", (int)(strrchr(work_dir, '/') - work_dir), work_dir));
    DIR *stream = opendir(cfg);
    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        count += entry->d_name[0] == '.' && strlen(entry->d_name) > 2 ? 1 : 0;
    closedir(stream);
    return count;
}

/* A worker that is killed while it copies a state leaves half of a copy in its own directory: its
 * next process removes that, and a neighbour's start leaves what another is copying alone. */
static void half_a_copy_goes_with_the_next_process(void **state)
{
    struct place *place = *state;
    struct hd_workspace first, copy;
    char name[32], begun[HD_PATH_MAX], other[HD_PATH_MAX];
    struct hd_seat seat, neighbour;
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &first, &err));
    for (int i = 0; i < COPIED_FILES; i++) {
        assert_true(hd_format(name, sizeof(name), "part-%d", i));
        test_file_write(join(first.work_dir, name), "w");
    }
    hd_workspace_reach(first.work_dir, "w-0", 1);
    lease = lease_of(place, 7, 2);
    lease.root = place->root.id;
    lease.directory = first.directory;
    lease.directory_owner = "w-0";
    begun_path(place, "w-1", begun);
    begun_path(place, "w-2", other);
    assert_hd_ok(hd_mkdirs(other, 0700, &err)); /* that of another worker, which lives */
    pid_t child = fork();
    if (child == 0)
        for (;;) /* until it is killed in the middle of one */
            (void)!hd_workspace_make(&place->root, "w-1", &lease, &copy, &err);
    assert_true(child > 0);
    while (!hd_path_exists(begun))
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_hd_ok(hd_seat_take(&place->root, "w", "w-0", &neighbour, &err));
    hd_workspace_import_clear(neighbour.state_dir);
    assert_hd_ok(hd_seat_take(&place->root, "w", "w-1", &seat, &err));
    hd_workspace_import_clear(seat.state_dir);
    assert_false(hd_path_exists(begun));
    assert_true(hd_path_exists(other));
    assert_int_equal(count_rubbish(first.work_dir), 0);
    hd_seat_release(&seat);
    hd_seat_release(&neighbour);
}

static void a_directory_that_is_not_here_means_from_the_start(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *root, *directory;
    } rows[] = {
        {"elsewhere", "c5-1-1"}, {NULL, "c5-1-1"}, {NULL, "../../etc"}, {NULL, ".."}, {NULL, ""},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace workspace;
        struct hd_lease lease = lease_of(place, 20 + (uint32_t)i, 1);
        lease.root = rows[i].root != NULL ? rows[i].root : place->root.id;
        lease.directory = rows[i].directory;
        lease.directory_owner = "w-0";
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        assert_int_equal(workspace.start, HD_START_FRESH);
        assert_true(isnan(workspace.budget_previous));
    }
}

static void two_runs_of_one_name_do_not_meet(void **state)
{
    struct place *place = *state;
    struct hd_workspace a, b, again;
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &a, &err));
    test_file_write(join(a.work_dir, "weights"), "of the first");
    lease.attempt.run_uid = 0x1234;
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &b, &err));
    assert_string_not_equal(a.work_dir, b.work_dir);
    assert_true(hd_path_exists(join(a.work_dir, "weights")));
    lease.attempt.job = 8;
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &again, &err));
    assert_non_null(strstr(again.work_dir, "t.0000000000001234"));
    lease.run_id = "../x";
    assert_hd_fails(hd_workspace_make(&place->root, "w-0", &lease, &again, &err), HD_E_INVALID,
                    "run id");
}

static void what_a_target_left_becomes_the_owners_without_following_links(void **state)
{
    struct place *place = *state;
    if (geteuid() != 0)
        skip();
    struct hd_workspace workspace;
    struct hd_lease lease = lease_of(place, 7, 1);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
    const char *outside = join(place->dir, "outside");
    test_file_write(outside, "x");
    assert_int_equal(chmod(outside, 0600), 0);
    char deep[HD_PATH_MAX], link[HD_PATH_MAX];
    assert_true(hd_format(deep, sizeof(deep), "%s/a/b", workspace.work_dir));
    assert_hd_ok(hd_mkdirs(deep, 0700, &err));
    assert_true(hd_format(deep, sizeof(deep), "%s/a/b/f", workspace.work_dir));
    test_file_write(deep, "x");
    assert_int_equal(chmod(deep, 04400), 0);
    assert_true(hd_format(link, sizeof(link), "%s/link", workspace.work_dir));
    assert_int_equal(symlink(outside, link), 0);
    struct hd_root root = place->root;
    root.uid = 4242;
    root.gid = 4343;
    hd_workspace_own(&root, workspace.work_dir);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_uid, 4242);
    assert_int_equal(st.st_gid, 4343);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(stat(workspace.work_dir, &st), 0);
    assert_int_equal(st.st_uid, 4242);
    assert_int_equal(st.st_mode & 0777, 0777);
    assert_int_equal(lstat(link, &st), 0);
    assert_int_equal(st.st_uid, 4242);
    assert_int_equal(stat(outside, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* The linker puts __wrap_hd_remove_tree where a worker calls hd_remove_tree: a directory in which
 * something is mounted. */
static const char *stuck;

enum hd_code __real_hd_remove_tree(const char *path, struct hd_err *ret_err);
enum hd_code __wrap_hd_remove_tree(const char *path, struct hd_err *ret_err);
enum hd_code __wrap_hd_remove_tree(const char *path, struct hd_err *ret_err)
{
    return stuck != NULL && hd_streq(path, stuck)
               ? hd_fail(ret_err, HD_E_CONFLICT, "cannot remove %s: it is busy", path)
               : __real_hd_remove_tree(path, ret_err);
}

/* What an earlier renewal left for ever keeps no later one from its place. */
static void renewals_go_on_beside_what_cannot_be_removed(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_lease lease = lease_of(place, 7, 1);
    char gone[HD_PATH_MAX], aside[HD_PATH_MAX];
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
    test_file_write(join(workspace.work_dir, "weights"), "w1");
    assert_true(hd_prefixed_path(workspace.work_dir, HD_GONE_PREFIX, gone));
    assert_true(hd_prefixed_path(workspace.work_dir, ".aside-", aside));
    assert_hd_ok(hd_mkdirs(gone, 0755, &err));
    stuck = gone;
    for (int i = 0; i < 2; i++) {
        enum hd_code code = hd_workspace_renew(&place->root, "w-0", &workspace, &err);
        if (code != HD_OK)
            stuck = NULL;
        assert_hd_ok(code);
        assert_false(hd_path_exists(aside));
    }
    stuck = NULL;
    assert_true(hd_path_exists(join(workspace.work_dir, "weights")));
}

/* A directory that is gone is that, and no failure of the disk. */
static void a_line_that_has_no_directory_is_told_as_that(void **state)
{
    struct place *place = *state;
    char path[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/none/line", place->root.path));
    assert_hd_fails(hd_seat_write(&place->root, "w-0", path, "text\n", &err), HD_E_NOTFOUND,
                    "cannot put");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(a_root_is_recognised_by_its_marker_under_any_name),
        WITH_PLACE(workers_of_one_host_get_the_lowest_free_names),
        WITH_PLACE(a_copied_seat_is_another_incarnation),
        WITH_PLACE(the_work_directory_goes_on_in_place_for_its_owner),
        WITH_PLACE(a_state_older_than_the_lease_says_is_not_gone_on_from),
        WITH_PLACE(another_worker_on_a_shared_root_works_on_a_copy),
        WITH_PLACE(a_state_that_comes_is_in_its_place_whole_or_not_at_all),
        WITH_PLACE(what_vanishes_while_it_is_copied_is_not_copied_in_part),
        WITH_PLACE(renewals_go_on_beside_what_cannot_be_removed),
        WITH_PLACE(a_line_that_has_no_directory_is_told_as_that),
        WITH_PLACE(half_a_copy_goes_with_the_next_process),
        WITH_PLACE(what_an_attempt_left_is_found_by_its_grant),
        WITH_PLACE(a_directory_that_is_not_here_means_from_the_start),
        WITH_PLACE(two_runs_of_one_name_do_not_meet),
        WITH_PLACE(what_a_target_left_becomes_the_owners_without_following_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
