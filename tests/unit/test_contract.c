/* SPDX-License-Identifier: Apache-2.0 */
/* The files between a worker and its targets: roots and seats, directories, what a target is
 * given, and what a hostile one gives back. */
#include "testlib.h"

#include "contract.h"
#include "mounts.h"

#include <dirent.h>
#include <fcntl.h>
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

struct place {
    char *dir;
    struct hd_root root;
    struct hd_experiment *experiment;
};

static const char experiment_text[] =
    "name: t\n"
    "target:\n"
    "  command: [run, \"--lr=${params.lr}\", \"${budget}\", \"${work_dir}\", \"$$x\"]\n"
    "  env: {MODE: \"b${budget}\", HYPERDOCK_SEED: \"mine\"}\n"
    "  timeout: {base: 10s, per_budget: 1s}\n"
    "objective: {name: error, direction: maximize}\n"
    "space:\n"
    "  lr: {type: float, low: 0.0, high: 1.0}\n"
    "  act: {type: categorical, choices: [relu, tanh]}\n"
    "  weird-name: {type: int, low: 1, high: 9}\n"
    "budget: {min: 1, max: 9, unit: epochs}\n";

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    char path[HD_PATH_MAX];
    place->dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/root", place->dir));
    assert_hd_ok(hd_root_open(path, &place->root, &err));
    assert_hd_ok(hd_experiment_parse_text(experiment_text, strlen(experiment_text), "t.yaml", NULL,
                                          &place->experiment, &err));
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    hd_experiment_free(place->experiment);
    test_dir_remove(place->dir);
    free(place);
    return 0;
}

static struct hd_lease lease_of(const struct place *place, uint32_t job, uint32_t attempt)
{
    (void)place;
    return (struct hd_lease){
        .attempt = {0xabcdef, job, attempt},
        .run_id = "t",
        .config_id = {0, 1, 2},
        .config = 5,
        .rung = 1,
        .budget = 3,
        .budget_previous = 1,
        .root = "",
        .directory = "",
        .directory_owner = "",
        .seed = 99,
        .params_json = "{\"lr\": 0.25, \"act\": \"tanh\", \"weird-name\": 3}",
    };
}

static const char *join(const char *directory, const char *name)
{
    static char paths[4][HD_PATH_MAX];
    static size_t next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, HD_PATH_MAX, "%s/%s", directory, name));
    return path;
}

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

/* ---- what a target is given ----------------------------------------------------------------- */

static const char *env_of(const struct hd_plan *plan, const char *name)
{
    const char *found = NULL;
    for (char *const *item = plan->job.env; *item != NULL; item++)
        if (strncmp(*item, name, strlen(name)) == 0 && (*item)[strlen(name)] == '=') {
            assert_null(found);
            found = *item + strlen(name) + 1;
        }
    return found;
}

static void make_plan(struct place *place, bool container, struct hd_workspace *workspace,
                      struct hd_plan *plan)
{
    static const char *const extra[] = {"OMP_NUM_THREADS=2", "MODE=mine"};
    struct hd_lease lease = lease_of(place, 7, 2);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, workspace, &err));
    static char tmp[] = "/tmp";
    const struct hd_mounts mounts = {.data_dir = tmp};
    struct hd_plan_input input = {
        .worker = "w-0",
        .lease = &lease,
        .experiment = place->experiment,
        .workspace = workspace,
        .mounts = &mounts,
        .extra_env = extra,
        .extra_env_count = HD_COUNT(extra),
        .container = container,
        .now_wall_ms = 1000500,
    };
    assert_hd_ok(hd_plan_make(&input, plan, &err));
}

/* A data set is below /data, or beside the job's files of a command, and its variable says where;
 * a volume is where the experiment wants it. */
static void data_sets_reach_the_target(void **state)
{
    struct place *place = *state;
    static char tmp[] = "/tmp", usr[] = "/usr";
    const struct hd_mounts mounts = {
        .items = {{.source = tmp, .data = "my-set", .read_only = true},
                  {.source = usr, .data = "b", .at = "/sets/b", .read_only = true},
                  {.source = tmp, .at = "/scratch"}},
        .count = 3,
    };
    for (int container = 0; container < 2; container++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 7, 3 + (uint32_t)container);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        const struct hd_plan_input input = {.worker = "w-0",
                                            .lease = &lease,
                                            .experiment = place->experiment,
                                            .workspace = &workspace,
                                            .mounts = &mounts,
                                            .container = container == 1};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_MY_SET"),
                            container ? "/data/my-set" : "/tmp");
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_B"), container ? "/sets/b" : "/usr");
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_DIR"),
                            container ? "/data" : join(workspace.run_dir, "data"));
        static const struct hd_mount expected[] = {{"/tmp", "/data/my-set", true},
                                                   {"/tmp", "/hyperdock/data/my-set", true},
                                                   {"/usr", "/sets/b", true},
                                                   {"/tmp", "/scratch", false}};
        assert_int_equal(plan.job.mount_count, container ? HD_COUNT(expected) : 0);
        for (size_t i = 0; i < plan.job.mount_count; i++) {
            assert_string_equal(plan.job.mounts[i].source, expected[i].source);
            assert_string_equal(plan.job.mounts[i].target, expected[i].target);
            assert_int_equal(plan.job.mounts[i].read_only, expected[i].read_only);
        }
        char *to = container ? NULL : realpath(join(workspace.run_dir, "data/my-set"), NULL);
        assert_true(container || (to != NULL && strcmp(to, "/tmp") == 0));
        free(to);
        hd_plan_release(&plan);
    }
}

/* A command starts in its code, has it beside its files too, and is told where it is. */
static void code_reaches_the_target(void **state)
{
    struct place *place = *state;
    for (int container = 0; container < 2; container++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 8, 1 + (uint32_t)container);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        const struct hd_plan_input input = {.worker = "w-0",
                                            .lease = &lease,
                                            .experiment = place->experiment,
                                            .workspace = &workspace,
                                            .code_dir = "/usr",
                                            .container = container == 1};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        assert_string_equal(plan.job.code_dir, "/usr");
        assert_string_equal(plan.job.cwd, "/usr");
        assert_string_equal(env_of(&plan, "HYPERDOCK_CODE_DIR"),
                            container ? "/hyperdock/code" : "/usr");
        char *to = realpath(join(workspace.run_dir, "code"), NULL);
        assert_non_null(to);
        if (container)
            assert_string_equal(to, join(workspace.run_dir, "code")); /* a place to mount it */
        else
            assert_string_equal(to, "/usr");
        free(to);
        hd_plan_release(&plan);
    }
}

static void a_target_is_given_its_files(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, true, &workspace, &plan);
    size_t size;
    char *text = test_file_read(join(workspace.run_dir, "params.json"), &size);
    assert_string_equal(text, "{\n  \"lr\": 0.25,\n  \"act\": \"tanh\",\n  \"weird-name\": 3\n}\n");
    free(text);
    text = test_file_read(join(workspace.run_dir, "job.json"), &size);
    struct hd_value *job = NULL;
    assert_hd_ok(hd_json_parse(text, size, "job.json", &hd_value_limits_file, &job, &err));
    static const char expected[] =
        "{\"attempt\":2,\"budget\":3.0,\"budget_previous\":null,\"budget_unit\":\"epochs\","
        "\"config_id\":[0,1,2],\"config_info\":{\"config\":5,\"rung\":1},\"cpus\":null,"
        "\"deadline\":1013,\"gpus\":[],\"job\":7,\"max_budget\":9.0,\"memory\":null,"
        "\"min_budget\":1.0,\"objective\":{\"direction\":\"maximize\",\"name\":\"error\"},"
        "\"resume\":false,\"run_id\":\"t\",\"seed\":99,\"version\":1,"
        "\"work_dir\":\"/hyperdock/work\"}";
    struct hd_buf buf;
    hd_buf_init(&buf, 65536);
    assert_hd_ok(hd_json_write(job, HD_JSON_CANONICAL, &buf, &err));
    assert_string_equal(hd_buf_text(&buf), expected);
    hd_buf_release(&buf);
    hd_value_free(job);
    free(text);
    text = test_file_read(join(workspace.run_dir, "loss.json"), &size);
    assert_int_equal(size, 0);
    free(text);
    static const char *const folders[] = {"out", "control", "work", "data"};
    for (size_t i = 0; i < HD_COUNT(folders); i++) {
        struct stat st;
        assert_int_equal(lstat(join(workspace.run_dir, folders[i]), &st), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    hd_workspace_ask_stop(workspace.run_dir);
    assert_true(hd_path_exists(join(workspace.run_dir, "control/stop")));
    hd_plan_release(&plan);
}

static void command_and_environment_are_filled_in(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, true, &workspace, &plan);
    static const char *const argv[] = {"run", "--lr=0.25", "3", "/hyperdock/work", "$x"};
    for (size_t i = 0; i < HD_COUNT(argv); i++)
        assert_string_equal(plan.job.argv[i], argv[i]);
    assert_null(plan.job.argv[HD_COUNT(argv)]);
    static const struct {
        const char *name, *value;
    } env[] = {
        {"HYPERDOCK_DIR", "/hyperdock"},
        {"HYPERDOCK_WORK_DIR", "/hyperdock/work"},
        {"HYPERDOCK_PARAMS_FILE", "/hyperdock/params.json"},
        {"HYPERDOCK_DATA_DIR", "/data"},
        {"HYPERDOCK_RUN_ID", "t"},
        {"HYPERDOCK_CONFIG_ID", "[0,1,2]"},
        {"HYPERDOCK_JOB", "7"},
        {"HYPERDOCK_ATTEMPT", "2"},
        {"HYPERDOCK_BUDGET", "3"},
        {"HYPERDOCK_BUDGET_PREVIOUS", NULL},
        {"HYPERDOCK_SEED", "mine"}, /* the experiment may say otherwise */
        {"MODE", "mine"},           /* and the worker has the last word */
        {"OMP_NUM_THREADS", "2"},
        {"HP_LR", "0.25"},
        {"HP_ACT", "tanh"},
        {"HP_WEIRD_NAME", "3"},
    };
    for (size_t i = 0; i < HD_COUNT(env); i++) {
        const char *value = env_of(&plan, env[i].name);
        if (env[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value != NULL ? value : env[i].name, env[i].value);
    }
    assert_int_equal(plan.job.timeout_ms, 13000);
    hd_plan_release(&plan);
}

static void outside_a_container_paths_are_the_hosts(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, false, &workspace, &plan);
    assert_string_equal(plan.job.argv[3], workspace.work_dir);
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), workspace.run_dir);
    assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_DIR"), "/tmp");
    /* the paths of a container work below HYPERDOCK_DIR too */
    test_file_write(join(workspace.run_dir, "work/w"), "x");
    assert_true(hd_path_exists(join(workspace.work_dir, "w")));
    hd_plan_release(&plan);
}

/* What it was not given it does not see, whatever the experiment says; the worker's owner may. */
static void gpus_are_those_of_the_lease(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *gpus;
        bool container;
        const char *nvidia, *cuda, *listed;
    } rows[] = {
        {NULL, false, NULL, NULL, "\"gpus\": []"},
        {NULL, true, "void", NULL, "\"gpus\": []"},
        {"", false, "void", "void", "\"gpus\": []"},
        {"", true, "void", "void", "\"gpus\": []"},
        {"GPU-a,GPU-b", false, "GPU-a,GPU-b", "GPU-a,GPU-b", "\"GPU-b\""},
        {"GPU-a,GPU-b", true, "GPU-a,GPU-b", NULL, "\"GPU-a\""},
    };
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        size_t size;
        struct hd_lease lease = lease_of(place, 20 + i, 1);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        struct hd_plan_input input = {.worker = "w-0",
                                      .lease = &lease,
                                      .experiment = place->experiment,
                                      .workspace = &workspace,
                                      .gpus = rows[i].gpus,
                                      .container = rows[i].container};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        const char *nvidia = env_of(&plan, "NVIDIA_VISIBLE_DEVICES");
        const char *cuda = env_of(&plan, "CUDA_VISIBLE_DEVICES");
        assert_string_equal(nvidia != NULL ? nvidia : "",
                            rows[i].nvidia != NULL ? rows[i].nvidia : "");
        assert_string_equal(cuda != NULL ? cuda : "", rows[i].cuda != NULL ? rows[i].cuda : "");
        char *job = test_file_read(join(workspace.run_dir, "job.json"), &size);
        assert_non_null(strstr(job, rows[i].listed));
        free(job);
        hd_plan_release(&plan);
    }
}

/* Whatever differs from job to job is in its line, and nothing of it in what the target is started
 * with. */
static void a_warm_target_reads_its_jobs_from_lines(void **state)
{
    struct place *place = *state;
    static const char text[] = "target: {image: a, command: [serve, '${run_id}'], env: {A: b}, "
                               "warm: {jobs: 9, idle: 5s, heartbeat: 2s}}\n"
                               "objective: loss\n"
                               "space:\n"
                               "  lr: {type: float, low: 0, high: 1}\n"
                               "  act: {type: categorical, choices: [relu, tanh]}\n"
                               "  weird-name: {type: int, low: 1, high: 9}\n";
    struct hd_workspace workspace;
    struct hd_plan plan;
    struct hd_value *line = NULL;
    hd_experiment_free(place->experiment);
    place->experiment = NULL;
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "w.yaml", NULL, &place->experiment, &err));
    make_plan(place, true, &workspace, &plan);
    const struct hd_warm_job *warm = plan.job.warm;
    assert_non_null(warm);
    assert_true(warm->jobs == 9 && warm->idle_ms == 5000 && warm->heartbeat_ms == 2000);
    assert_null(strchr(warm->line, '\n'));
    assert_hd_ok(hd_json_parse(warm->line, strlen(warm->line), "line", &hd_value_limits_target,
                               &line, &err));
    assert_true(hd_value_number(hd_value_get(hd_value_get(line, "params"), "lr")) == 0.25);
    assert_true(hd_value_number(hd_value_get(line, "budget")) == 3);
    assert_true(hd_value_number(hd_value_get(line, "job")) == 7);
    assert_null(hd_value_get(line, "work_dir"));
    hd_value_free(line);
    assert_string_equal(plan.job.argv[1], "t");
    assert_string_equal(env_of(&plan, "HYPERDOCK_RUN_ID"), "t");
    assert_string_equal(env_of(&plan, "A"), "b");
    assert_string_equal(env_of(&plan, "MODE"), "mine");
    static const char *const absent[] = {"HYPERDOCK_JOB", "HYPERDOCK_BUDGET", "HYPERDOCK_DIR",
                                         "HYPERDOCK_SEED", "HP_LR"};
    for (size_t i = 0; i < HD_COUNT(absent); i++)
        assert_null(env_of(&plan, absent[i]));
    assert_null(plan.job.cwd);
    size_t size;
    char *job = test_file_read(join(workspace.run_dir, "job.json"), &size);
    assert_non_null(strstr(job, "\"/hyperdock/7-2/work\""));
    free(job);
    hd_plan_release(&plan);
}

static void read_experiment(struct place *place, const char *text)
{
    hd_experiment_free(place->experiment);
    place->experiment = NULL;
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "w.yaml", NULL, &place->experiment, &err));
}

#define PARAMS_OF_PLACE                                                                            \
    "objective: loss\nspace:\n  lr: {type: float, low: 0, high: 1}\n"                              \
    "  act: {type: categorical, choices: [relu, tanh]}\n  weird-name: {type: int, low: 1, high: "  \
    "9}\n"

static bool list_has(char *const *list, const char *start)
{
    for (size_t i = 0; list[i] != NULL; i++)
        if (strncmp(list[i], start, strlen(start)) == 0)
            return true;
    return false;
}

/* All files are there as for one that runs alone, and the line and the environment as for one that
 * stays. */
static void a_job_whose_image_decides_is_prepared_for_either_way(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    read_experiment(place, "target: {image: a, env: {A: b}}\n" PARAMS_OF_PLACE);
    make_plan(place, true, &workspace, &plan);
    const struct hd_warm_job *warm = plan.job.warm;
    assert_non_null(warm);
    assert_true(warm->by_label && warm->jobs == HD_WARM_JOBS_DEFAULT);
    assert_non_null(strstr(warm->line, "\"params\":{"));
    assert_string_equal(env_of(&plan, "HP_LR"), "0.25");
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), "/hyperdock");
    assert_true(list_has(warm->env, "A=b") && list_has(warm->env, "HYPERDOCK_RUN_ID=t"));
    assert_false(list_has(warm->env, "HP_LR=") || list_has(warm->env, "HYPERDOCK_DIR=") ||
                 list_has(warm->env, "HYPERDOCK_JOB="));
    static const char *const files[] = {"params.json", "job.json", "loss.json",
                                        "out",         "control",  "work"};
    for (size_t i = 0; i < HD_COUNT(files); i++)
        assert_true(hd_path_exists(join(workspace.run_dir, files[i])));
    hd_plan_release(&plan);
}

/* It is made before its job is known, so all it can be told of it is in files. */
static void a_container_that_is_made_ahead_knows_of_no_job(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    static const char *const absent[] = {"HYPERDOCK_JOB",       "HYPERDOCK_BUDGET",
                                         "HYPERDOCK_SEED",      "HYPERDOCK_ATTEMPT",
                                         "HYPERDOCK_CONFIG_ID", "HP_LR"};
    read_experiment(place,
                    "target: {image: a, warm: false, ahead: true, env: {A: b}}\n" PARAMS_OF_PLACE);
    make_plan(place, true, &workspace, &plan);
    assert_true(plan.job.ahead);
    assert_null(plan.job.warm);
    assert_string_equal(env_of(&plan, "A"), "b");
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), "/hyperdock");
    assert_string_equal(env_of(&plan, "HYPERDOCK_WORK_DIR"), "/hyperdock/work");
    assert_string_equal(env_of(&plan, "HYPERDOCK_PARAMS_FILE"), "/hyperdock/params.json");
    for (size_t i = 0; i < HD_COUNT(absent); i++)
        assert_null(env_of(&plan, absent[i]));
    assert_true(hd_path_exists(join(workspace.run_dir, "params.json")));
    hd_plan_release(&plan);
}

static void params_that_do_not_fit_the_space_are_refused(void **state)
{
    struct place *place = *state;
    static const char *const rows[] = {"[]", "{",
                                       "{\"lr\": 5, \"act\": \"tanh\", \"weird-name\": 3}"};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 7, 2);
        lease.params_json = rows[i];
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        struct hd_plan_input input = {.worker = "w-0",
                                      .lease = &lease,
                                      .experiment = place->experiment,
                                      .workspace = &workspace};
        assert_hd_fails(hd_plan_make(&input, &plan, &err), HD_E_INVALID, "");
    }
}

/* ---- what a target gives back --------------------------------------------------------------- */

static void put_deep(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 100000; i++)
        assert_true(fputc('[', file) != EOF);
    assert_int_equal(fclose(file), 0);
}

static void put_huge(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
}

static void put_link(const char *path)
{
    assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void put_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0700), 0);
}

static void put_nothing(const char *path)
{
    (void)path;
}

static const struct {
    void (*put)(const char *path);
    const char *message;
} hostile[] = {
    {put_nothing, "not there"},       {put_link, "symbolic link"},
    {put_fifo, "not a regular file"}, {put_folder, "not a regular file"},
    {put_huge, "larger than"},        {put_deep, "loss.json"},
};

static void a_hostile_loss_file_is_no_result_with_a_reason(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < HD_COUNT(hostile); i++) {
        char name[32];
        hd_format(name, sizeof(name), "h%zu", i);
        const char *dir = join(place->dir, name);
        assert_hd_ok(hd_mkdirs(dir, 0700, &err));
        hostile[i].put(join(dir, "loss.json"));
        struct hd_loss loss;
        hd_loss_read(dir, place->experiment, &loss);
        assert_false(loss.present);
        if (strstr(loss.message, hostile[i].message) == NULL)
            fail_msg("case %zu: \"%s\"", i, loss.message);
    }
    test_file_write(join(place->dir, "loss.json"), "{\"error\": 0.5}");
    struct hd_loss loss;
    hd_loss_read(place->dir, place->experiment, &loss);
    assert_true(loss.present);
    assert_true(loss.loss == -0.5);
}

/* Whatever a target left under the name of Hyperdock's log is replaced by the log, and nothing is
 * written through a link. */
static void hyperdocks_log_is_left_for_its_contract(void **state)
{
    struct place *place = *state;
    const char *name = join(place->dir, "docker_log.txt"), *other = join(place->dir, "other");
    char text[16] = "";
    struct stat st;
    test_file_write(join(place->dir, "log.txt"), "hello");
    test_file_write(other, "mine");
    assert_int_equal(symlink(other, name), 0);
    hd_contract_finish(place->dir, place->experiment);
    assert_int_equal(lstat(name, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    place->experiment->target.as_hyperdock = true;
    for (int twice = 0; twice < 2; twice++) {
        hd_contract_finish(place->dir, place->experiment);
        assert_int_equal(lstat(name, &st), 0);
        assert_true(S_ISREG(st.st_mode) && st.st_size == 5);
    }
    FILE *file = fopen(other, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof(text), file), 4);
    fclose(file);
    assert_string_equal(text, "mine");
}

static void a_hostile_metrics_file_gives_no_points(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < HD_COUNT(hostile); i++) {
        char name[32];
        hd_format(name, sizeof(name), "m%zu", i);
        const char *dir = join(place->dir, name);
        assert_hd_ok(hd_mkdirs(dir, 0700, &err));
        hostile[i].put(join(dir, "metrics.jsonl"));
        struct hd_metrics metrics = {0};
        struct hd_point points[4];
        struct hd_attempt_ref attempt = {1, 2, 3};
        for (int poll = 0; poll < 3; poll++)
            assert_int_equal(hd_metrics_read(&metrics, dir, place->experiment, attempt, points, 4),
                             0);
    }
}

static void add_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void the_curve_is_followed_as_it_grows(void **state)
{
    struct place *place = *state;
    const char *path = join(place->dir, "metrics.jsonl");
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    static const struct {
        const char *added;
        size_t count;
        double step, loss; /* of the last point */
    } rows[] = {
        {"{\"step\": 1, \"error\": 0.5}\n", 1, 1, -0.5},
        {"", 0, 0, 0},
        {"{\"epoch\": 2, \"loss\"", 0, 0, 0}, /* not finished: waits */
        {": 0.25}\n{\"budget\": 2.5, \"value\": 7}\n", 2, 2.5, -7},
        {"nonsense\n[1]\n{\"step\":1}\n\n{\"loss\": NaN}\n", 0, 0, 0},
        {"{\"loss\": 3}\n", 1, 9, -3}, /* no step: the number of the line */
        {"{\"iteration\":1,\"loss\":1}\n{\"iteration\":2,\"loss\":1}\n"
         "{\"iteration\":3,\"loss\":1}\n{\"iteration\":4,\"loss\":1}\n"
         "{\"iteration\":5,\"loss\":2}\n",
         4, 4, -1},     /* as many as asked for */
        {"", 1, 5, -2}, /* then the rest */
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_point points[4];
        if (rows[i].added[0] != '\0')
            add_text(path, rows[i].added);
        size_t count = hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4);
        if (count != rows[i].count)
            fail_msg("row %zu: %zu points", i, count);
        if (count > 0) {
            assert_true(points[count - 1].step == rows[i].step);
            assert_true(points[count - 1].loss == rows[i].loss);
            assert_int_equal(points[count - 1].attempt.job, 2);
        }
    }
}

static void a_curve_that_was_replaced_or_cut_begins_anew(void **state)
{
    struct place *place = *state;
    char path[HD_PATH_MAX], other[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/metrics.jsonl", place->dir));
    assert_true(hd_format(other, sizeof(other), "%s/other", place->dir));
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    struct hd_point points[4];
    add_text(path, "{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":1}\n");
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     2);
    assert_int_equal(truncate(path, 0), 0);
    add_text(path, "{\"step\":3,\"loss\":1}\n");
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     1);
    add_text(other, "{\"step\":4,\"loss\":1}\n{\"step\":5,\"loss\":1}\n{\"step\":6,\"loss\":1}\n");
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     3);
    assert_true(points[0].step == 4);
}

static void a_line_without_end_is_skipped(void **state)
{
    struct place *place = *state;
    char path[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/metrics.jsonl", place->dir));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("{\"step\":1,\"loss\":1}\n", file) >= 0);
    for (size_t i = 0; i < 3 * HD_METRICS_LINE_MAX + 17; i++)
        assert_true(fputc('x', file) != EOF);
    assert_true(fputs("\n{\"step\":2,\"loss\":1}\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    struct hd_point points[4];
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     2);
    assert_true(points[1].step == 2);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

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
        WITH_PLACE(half_a_copy_goes_with_the_next_process),
        WITH_PLACE(what_an_attempt_left_is_found_by_its_grant),
        WITH_PLACE(a_directory_that_is_not_here_means_from_the_start),
        WITH_PLACE(two_runs_of_one_name_do_not_meet),
        WITH_PLACE(what_a_target_left_becomes_the_owners_without_following_links),
        WITH_PLACE(data_sets_reach_the_target),
        WITH_PLACE(code_reaches_the_target),
        WITH_PLACE(a_target_is_given_its_files),
        WITH_PLACE(command_and_environment_are_filled_in),
        WITH_PLACE(outside_a_container_paths_are_the_hosts),
        WITH_PLACE(gpus_are_those_of_the_lease),
        WITH_PLACE(a_warm_target_reads_its_jobs_from_lines),
        WITH_PLACE(a_job_whose_image_decides_is_prepared_for_either_way),
        WITH_PLACE(a_container_that_is_made_ahead_knows_of_no_job),
        WITH_PLACE(params_that_do_not_fit_the_space_are_refused),
        WITH_PLACE(a_hostile_loss_file_is_no_result_with_a_reason),
        WITH_PLACE(hyperdocks_log_is_left_for_its_contract),
        WITH_PLACE(a_hostile_metrics_file_gives_no_points),
        WITH_PLACE(the_curve_is_followed_as_it_grows),
        WITH_PLACE(a_curve_that_was_replaced_or_cut_begins_anew),
        WITH_PLACE(a_line_without_end_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
