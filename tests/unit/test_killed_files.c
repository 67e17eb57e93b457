/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that is killed at any moment of what it does to its files: what its next process finds
 * is put right, and nothing stays that nobody will remove. */
#include "testlib.h"

#include "contract.h"

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

static void start_again(struct place *place)
{
    struct hd_seat seat;
    assert_hd_ok(hd_seat_take(&place->root, "w", "w-0", &seat, &err));
    hd_workspace_import_clear(seat.state_dir);
    hd_workspace_recover(place->workspace.work_dir);
    hd_seat_release(&seat);
}

/* All that is in the work root, one path a line. */
static void list(const struct place *place, struct hd_buf *out)
{
    const char *const command[] = {"find", place->root.path, "-mindepth", "1", NULL};
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

/* The state of a config survives the worker's death in the midst of its renewal. */
static void a_renewal_that_is_killed_loses_no_state(void **state)
{
    kill_at_each_call(renew, check_state, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_renewal_that_is_killed_loses_no_state, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
