/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing that a target leaves can hurt: each kind of file that it can put anywhere, against each
 * place in which we read, write, copy or delete. What lies outside stays as it was, nothing waits,
 * and nothing grows.
 */
#include "testlib.h"

#include "contract.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE_OF_A_HOLE ((off_t)1 << 40)

static struct hd_err err;
static char top[64], run_dir[128], outside[128], elsewhere[128];
static struct hd_experiment experiment;
static char objective[] = "loss";

/* ---- what it may leave ---------------------------------------------------------------------- */

static void put_text(const char *path, const char *text)
{
    assert_hd_ok(hd_file_write_atomic(path, text, strlen(text), 0600, &err));
}

static void put_link(const char *path)
{
    assert_int_equal(symlink(outside, path), 0);
}

static void put_link_to_folder(const char *path)
{
    assert_int_equal(symlink(elsewhere, path), 0);
}

static void put_loop(const char *path)
{
    assert_int_equal(symlink(path, path), 0);
}

static void put_device_link(const char *path)
{
    assert_int_equal(symlink("/dev/zero", path), 0);
}

static void put_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(hd_copy_text(address.sun_path, sizeof(address.sun_path), path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static void put_sparse(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, SIZE_OF_A_HOLE), 0);
    close(fd);
}

static void put_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0700), 0);
}

static void put_deep(const char *path)
{
    static char text[60001];
    memset(text, '[', sizeof(text) - 1);
    put_text(path, text);
}

static void put_wide(const char *path)
{
    struct hd_buf buf;
    hd_buf_init(&buf, 1u << 20);
    assert_hd_ok(hd_buf_puts(&buf, "[", &err));
    while (buf.size < 900000)
        assert_hd_ok(hd_buf_puts(&buf, "1,2,3,4,5,6,7,8,", &err));
    assert_hd_ok(hd_buf_puts(&buf, "9]", &err));
    put_text(path, hd_buf_text(&buf));
    hd_buf_release(&buf);
}

static void put_bytes(const char *path)
{
    put_text(path, "{\"loss\": \"\\ud800\xff\xfe\", \"../../x\": 1, \"loss\": 2}");
}

static void put_nothing(const char *path)
{
    (void)path;
}

static const struct kind {
    const char *name;
    void (*put)(const char *path);
} kinds[] = {
    {"a link", put_link},
    {"a link to a folder", put_link_to_folder},
    {"a link to itself", put_loop},
    {"a link to a device", put_device_link},
    {"a FIFO", put_fifo},
    {"a socket", put_socket},
    {"a sparse file of a terabyte", put_sparse},
    {"a folder", put_folder},
    {"60,000 brackets", put_deep},
    {"a list of half a million", put_wide},
    {"bytes that are no text", put_bytes},
    {"nothing", put_nothing},
};

/* ---- where we look -------------------------------------------------------------------------- */

static void read_loss(void)
{
    struct hd_loss loss;
    hd_loss_read(run_dir, &experiment, &loss);
    assert_false(loss.present);
    assert_true(isnan(loss.loss) && loss.message[0] != '\0');
}

static void read_metrics(void)
{
    struct hd_metrics metrics = {0};
    struct hd_point points[16];
    assert_int_equal(hd_metrics_read(&metrics, run_dir, &experiment,
                                     (struct hd_attempt_ref){1, 2, 3}, points, HD_COUNT(points)),
                     0);
}

/* The wish to stop is written into a folder of its own or not at all. */
static void ask_stop(void)
{
    hd_workspace_ask_stop(run_dir);
    (void)hd_workspace_asked_stop(run_dir);
}

static void read_log(void)
{
    char path[256];
    int fd = -1;
    assert_true(hd_format(path, sizeof(path), "%s/log.txt", run_dir));
    if (hd_file_open_regular(path, &fd, &err) == HD_OK)
        close(fd);
}

/* As another worker on a shared root does, to go on with it. */
static void copy_and_remove(void)
{
    char copy[160];
    assert_true(hd_format(copy, sizeof(copy), "%s/copy", top));
    assert_hd_ok(hd_copy_tree(run_dir, copy, 1u << 20, &err));
    assert_hd_ok(hd_remove_tree(copy, &err));
}

/* As root: given to the owner, and not what it leads to. */
static void own(void)
{
    struct stat st;
    struct hd_root root = {.is_root = true, .uid = 12345, .gid = 12345};
    if (geteuid() != 0)
        return;
    hd_workspace_own(&root, run_dir);
    assert_true(stat(elsewhere, &st) == 0 && st.st_uid == 0);
    assert_int_equal(chown(run_dir, 0, 0), 0);
}

static const struct place {
    const char *name; /* below the run directory */
    void (*look)(void);
} places[] = {
    {"loss.json", read_loss},
    {"metrics.jsonl", read_metrics},
    {"control", ask_stop},
    {"control/stop", ask_stop},
    {"log.txt", read_log},
    {"out", copy_and_remove},
    {"work", own},
};

/* ---- all against all ------------------------------------------------------------------------ */

static void set_up_run(void)
{
    assert_hd_ok(hd_remove_tree(run_dir, &err));
    assert_int_equal(mkdir(run_dir, 0700), 0);
}

static void try_one(const struct place *place, const struct kind *kind)
{
    char path[256];
    struct stat before, after;
    set_up_run();
    assert_true(hd_format(path, sizeof(path), "%s/%s", run_dir, place->name));
    if (strcmp(place->name, "control/stop") == 0) {
        char control[200];
        assert_true(hd_format(control, sizeof(control), "%s/control", run_dir));
        assert_int_equal(mkdir(control, 0700), 0);
    }
    kind->put(path);
    assert_int_equal(stat(outside, &before), 0);
    place->look();
    assert_int_equal(stat(outside, &after), 0);
    if (before.st_size != after.st_size || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec ||
        before.st_uid != after.st_uid || before.st_mode != after.st_mode)
        fail_msg("%s as %s changed what lies outside", kind->name, place->name);
    if (rmdir(elsewhere) != 0 || mkdir(elsewhere, 0700) != 0)
        fail_msg("%s as %s let a file appear elsewhere", kind->name, place->name);
    assert_hd_ok(hd_remove_tree(run_dir, &err));
    assert_int_equal(access(outside, F_OK), 0);
}

static void each_file_against_each_place(void **state)
{
    (void)state;
    for (size_t p = 0; p < HD_COUNT(places); p++)
        for (size_t k = 0; k < HD_COUNT(kinds); k++)
            try_one(&places[p], &kinds[k]);
}

/* A copy takes what there was when it began, and no more than it may. */
static void a_copy_is_bounded(void **state)
{
    (void)state;
    char path[256], copy[160];
    struct stat st;
    set_up_run();
    assert_true(hd_format(path, sizeof(path), "%s/sparse", run_dir) &&
                hd_format(copy, sizeof(copy), "%s/copy", top));
    put_sparse(path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "end", 3, SIZE_OF_A_HOLE - 3), 3);
    close(fd);
    assert_hd_ok(hd_copy_tree(run_dir, copy, 1u << 20, &err));
    assert_true(hd_format(path, sizeof(path), "%s/sparse", copy));
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size == SIZE_OF_A_HOLE && st.st_blocks < 100);
    char end[4] = "";
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, end, 3, SIZE_OF_A_HOLE - 3), 3);
    close(fd);
    assert_string_equal(end, "end");
    assert_hd_ok(hd_remove_tree(copy, &err));
    assert_hd_fails(hd_copy_tree(run_dir, copy, 2, &err), HD_E_LIMIT, "more than may be copied");
    assert_int_equal(access(copy, F_OK), -1);
}

static int set_up(void **state)
{
    (void)state;
    assert_true(hd_copy_text(top, sizeof(top), "/tmp/hd-hostile-XXXXXX"));
    assert_non_null(mkdtemp(top));
    assert_true(hd_format(run_dir, sizeof(run_dir), "%s/run", top) &&
                hd_format(outside, sizeof(outside), "%s/outside", top) &&
                hd_format(elsewhere, sizeof(elsewhere), "%s/elsewhere", top) &&
                mkdir(elsewhere, 0700) == 0);
    put_text(outside, "{\"loss\": 1, \"step\": 1}\n");
    experiment.objective.name = objective;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_hd_ok(hd_remove_tree(top, &err));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_file_against_each_place),
        cmocka_unit_test(a_copy_is_bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
