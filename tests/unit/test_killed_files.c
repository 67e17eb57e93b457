/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that is killed at any moment of what it does to its files: what its next process finds
 * is put right, and nothing stays that nobody will remove. */
#include "testlib.h"

#include "collect_runs.h"
#include "contract.h"
#include "journal.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 5000
#define UNTRACED 77

static struct hd_err err;

struct place {
    char *dir;
    struct hd_root root;
    struct hd_workspace workspace;
};

static const char *join(const char *directory, const char *name)
{
    static char paths[4][HD_PATH_MAX];
    static size_t next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, HD_PATH_MAX, "%s/%s", directory, name));
    return path;
}

static void assert_file_text(const char *path, const char *expected)
{
    char *text = test_file_read(path, NULL);
    assert_string_equal(text, expected);
    free(text);
}

static struct hd_lease lease_of(void)
{
    return (struct hd_lease){
        .attempt = {0xabcdef, 7, 1},
        .run_id = "t",
        .config = 5,
        .budget = 3,
        .budget_previous = (double)NAN,
        .root = "",
        .directory = "",
        .directory_owner = "",
        .params_json = "{}",
    };
}

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    const struct hd_lease lease = lease_of();
    place->dir = test_dir_make();
    assert_hd_ok(hd_root_open(join(place->dir, "root"), &place->root, &err));
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &place->workspace, &err));
    assert_hd_ok(hd_mkdirs(join(place->workspace.work_dir, "model"), 0755, &err));
    test_file_write(join(place->workspace.work_dir, "model/weights"), "w");
    test_file_write(join(place->workspace.work_dir, "step"), "3");
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    test_dir_remove(place->dir);
    free(place);
    return 0;
}

/* ---- killing -------------------------------------------------------------------------------- */

enum fate { FATE_KILLED, FATE_DONE, FATE_UNTRACED };

/* Until the call's other side: each call stops it twice. */
static bool goes_on(pid_t child, int *ret_status)
{
    return ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0 &&
           waitpid(child, ret_status, 0) == child && WIFSTOPPED(*ret_status);
}

/* Another process does it, and is killed before its system call of this number. */
static enum fate kill_at_call(unsigned number, bool (*act)(struct place *), struct place *place)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(UNTRACED);
        (void)raise(SIGSTOP);
        _exit(act(place) ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == UNTRACED)
        return FATE_UNTRACED;
    bool alive = WIFSTOPPED(status) &&
                 ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(intptr_t)PTRACE_O_EXITKILL) == 0;
    for (unsigned call = 0; alive && call < number; call++)
        alive = goes_on(child, &status) && (call + 1 == number || goes_on(child, &status));
    if (!alive) {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        return FATE_DONE;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return FATE_KILLED;
}

static void kill_at_each_call(bool (*act)(struct place *), void (*check)(struct place *),
                              struct place *place)
{
    enum fate fate = FATE_KILLED;
    for (unsigned number = 1; fate == FATE_KILLED && number < CALLS_MAX; number++) {
        fate = kill_at_call(number, act, place);
        if (fate == FATE_UNTRACED)
            skip();
        check(place);
    }
    assert_int_equal(fate, FATE_DONE);
}

/* ---- what is done --------------------------------------------------------------------------- */

static bool renew(struct place *place)
{
    return hd_workspace_renew(&place->root, "w-0", &place->workspace, &err) == HD_OK;
}

/* What is written of an attempt from its lease to its acknowledgement. */
static bool go_through(struct place *place)
{
    const struct hd_lease lease = lease_of();
    struct hd_workspace workspace;
    char journal[HD_PATH_MAX];
    const struct hd_result result = {.attempt = lease.attempt,
                                     .loss = 1,
                                     .message = "",
                                     .info_json = "{}",
                                     .directory = "d",
                                     .image_id = ""};
    if (!hd_format(journal, sizeof(journal), "%s/.hyperdock-workers/w-0/attempts",
                   place->root.path) ||
        hd_mkdirs(journal, 0700, &err) != HD_OK ||
        hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err) != HD_OK ||
        hd_journal_keep_result(journal, &result, true, &err) != HD_OK)
        return false;
    hd_workspace_leave(&place->root, "w-0", workspace.work_dir,
                       &(struct hd_left_by){.attempt = lease.attempt});
    hd_run_dir_done(&place->root, workspace.run_dir, "w-0", 3, 1, 0);
    return true;
}

static void start_again(struct place *place)
{
    struct hd_seat seat;
    assert_hd_ok(hd_seat_take(&place->root, "w", "w-0", &seat, &err));
    hd_workspace_import_clear(seat.state_dir);
    hd_workspace_recover(place->workspace.work_dir);
    hd_seat_release(&seat);
}

/* All that is in the work root, one path a line, as from there. */
static void list(const struct place *place, struct hd_buf *out)
{
    const char *const command[] = {"find",    place->root.path, "-mindepth", "1",
                                   "-printf", "%P\n",           NULL};
    int status = 0;
    assert_hd_ok(hd_capture(command, "", 60000, out, &status, &err));
    assert_int_equal(status, 0);
}

static void check_state(struct place *place)
{
    struct hd_buf left;
    start_again(place);
    assert_file_text(join(place->workspace.work_dir, "model/weights"), "w");
    assert_file_text(join(place->workspace.work_dir, "step"), "3");
    hd_buf_init(&left, 1u << 20);
    list(place, &left);
    assert_null(strstr(hd_buf_text(&left), ".aside-"));
    assert_null(strstr(hd_buf_text(&left), "copy-"));
    hd_buf_release(&left);
}

/* A neighbour writes at this moment. */
static const char *neighbours_file(const struct place *place)
{
    const char *dir = join(place->root.path, ".hyperdock-workers/w-1/attempts");
    assert_hd_ok(hd_mkdirs(dir, 0700, &err));
    return join(dir, "x" HD_TEMPORARY_SUFFIX);
}

static void check_rubbish(struct place *place)
{
    struct hd_buf left;
    const char *neighbours = neighbours_file(place);
    test_file_write(neighbours, "x");
    start_again(place);
    assert_true(hd_path_exists(neighbours));
    assert_int_equal(remove(neighbours), 0);
    hd_buf_init(&left, 1u << 20);
    list(place, &left);
    const char *found = strstr(hd_buf_text(&left), HD_TEMPORARY_SUFFIX);
    if (found != NULL || strstr(hd_buf_text(&left), "/line-") != NULL)
        fail_msg("it stays: %s", hd_buf_text(&left));
    hd_buf_release(&left);
}

/* Small files are written beside and renamed: what a kill leaves of that goes with the next process
 * of the same worker, and nothing of a neighbour that lives. */
static void what_was_half_written_goes_with_the_next_process(void **state)
{
    kill_at_each_call(go_through, check_rubbish, *state);
}

/* The state of a config survives the worker's death in the midst of its renewal. */
static void a_renewal_that_is_killed_loses_no_state(void **state)
{
    kill_at_each_call(renew, check_state, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_renewal_that_is_killed_loses_no_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_half_written_goes_with_the_next_process, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
