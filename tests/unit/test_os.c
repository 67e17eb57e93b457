/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <errno.h>
#include <fcntl.h>
#include <hd/os.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

static int make_dir(void **state)
{
    (void)state;
    dir = test_dir_make();
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    test_dir_remove(dir);
    dir = NULL;
    return 0;
}

/* A path inside the test's directory; the caller frees it. */
static char *in_dir(const char *name)
{
    char *path = hd_path_join(dir, name);
    assert_non_null(path);
    return path;
}

static void write_in_dir(const char *name, const char *text, mode_t mode)
{
    char *path = in_dir(name);
    test_file_write(path, text);
    assert_int_equal(chmod(path, mode), 0);
    hd_free(path);
}

/* ---- clock -------------------------------------------------------------------------------- */

static void times_print_as_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1769860800123, "2026-01-31T12:00:00.123Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        char text[HD_TIME_TEXT_SIZE];
        hd_time_format(text, sizeof(text), cases[i].wall_ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t before = hd_clock_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = hd_clock_us();
        assert_true(now >= before);
        before = now;
    }
}

static void random_numbers_differ(void **state)
{
    (void)state;
    assert_true(hd_os_random_u64() != hd_os_random_u64());
}

/* ---- log ---------------------------------------------------------------------------------- */

static void a_log_line_stays_one_line(void **state)
{
    (void)state;
    char *path = in_dir("log");
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    hd_log_open("hd-test", HD_LOG_INFO);
    hd_log(HD_LOG_INFO, "from a peer: %s", "a\nb\033[2J");
    hd_log(HD_LOG_DEBUG, "not shown");
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    close(fd);
    char *text = test_file_read(path, NULL);
    assert_non_null(strstr(text, "Z info hd-test: from a peer: a b [2J\n"));
    assert_null(strstr(text, "not shown"));
    free(text);
    hd_free(path);
}

static void log_levels_have_names(void **state)
{
    (void)state;
    struct hd_err err;
    enum hd_log_level level = HD_LOG_ERROR;
    assert_hd_ok(hd_log_level_parse("debug", &level, &err));
    assert_int_equal(level, HD_LOG_DEBUG);
    assert_hd_ok(hd_log_level_parse("warn", &level, &err));
    assert_int_equal(level, HD_LOG_WARNING);
    assert_hd_fails(hd_log_level_parse("loud", &level, &err), HD_E_INVALID, "error, warning");
}

/* ---- files -------------------------------------------------------------------------------- */

static void files_are_written_whole_and_read_back(void **state)
{
    (void)state;
    struct hd_err err;
    char *path = in_dir("file");
    assert_hd_ok(hd_file_write_atomic(path, "one", 3, 0600, &err));
    assert_hd_ok(hd_file_write_atomic(path, "second", 6, 0640, &err));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    struct hd_buf text;
    hd_buf_init(&text, 100);
    assert_hd_ok(hd_file_read(path, 6, true, &text, &err));
    assert_string_equal(hd_buf_text(&text), "second");
    hd_buf_clear(&text);
    assert_hd_fails(hd_file_read(path, 5, true, &text, &err), HD_E_LIMIT, "larger than 5 bytes");
    assert_string_equal(hd_buf_text(&text), "");
    hd_buf_release(&text);
    hd_free(path);
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf text;
    hd_buf_init(&text, 100);
    char *fifo = in_dir("fifo"), *link = in_dir("link"), *missing = in_dir("missing");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    write_in_dir("real", "text", 0600);
    assert_int_equal(symlink("real", link), 0);
    assert_hd_fails(hd_file_read(fifo, 10, false, &text, &err), HD_E_INVALID, "regular");
    assert_hd_fails(hd_file_read(dir, 10, false, &text, &err), HD_E_INVALID, "regular");
    assert_hd_fails(hd_file_read(link, 10, true, &text, &err), HD_E_INVALID, "symbolic link");
    assert_hd_fails(hd_file_read(missing, 10, true, &text, &err), HD_E_NOTFOUND, missing);
    assert_hd_ok(hd_file_read(link, 10, false, &text, &err));
    assert_string_equal(hd_buf_text(&text), "text");
    hd_buf_release(&text);
    hd_free(fifo);
    hd_free(link);
    hd_free(missing);
}

/* A disk tells what is left of it; what is not there is told by whoever writes to it. */
static void a_disk_tells_what_is_free(void **state)
{
    (void)state;
    char *missing = in_dir("nowhere");
    assert_true(hd_disk_free("/") < UINT64_MAX);
    assert_true(hd_disk_free(missing) == UINT64_MAX);
    hd_free(missing);
}

static void directories_are_made_with_their_parents(void **state)
{
    (void)state;
    struct hd_err err;
    char *path = in_dir("a/b//c/");
    assert_hd_ok(hd_mkdirs(path, 0700, &err));
    assert_hd_ok(hd_mkdirs(path, 0700, &err));
    assert_true(hd_path_exists(path));
    write_in_dir("file", "", 0600);
    char *through = in_dir("file/x");
    assert_hd_fails(hd_mkdirs(through, 0700, &err), HD_E_EXISTS, "no directory");
    hd_free(through);
    hd_free(path);
}

static void paths_become_absolute(void **state)
{
    (void)state;
    static const struct {
        const char *directory, *path, *expected;
    } cases[] = {
        {"/exp", "data", "/exp/data"}, {"/exp/", "./data//x/.", "/exp/data/x"},
        {"/exp", "/data", "/data"},    {"/exp", "../data", "/exp/../data"},
        {"/exp", ".", "/exp"},         {NULL, "/", "/"},
    };
    struct hd_err err;
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        char *path = NULL;
        assert_hd_ok(hd_path_absolute(cases[i].directory, cases[i].path, &path, &err));
        assert_string_equal(path, cases[i].expected);
        hd_free(path);
    }
    char here[4096], expected[4096 + 32];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(expected, sizeof(expected), "%s/sub/x", here);
    char *path = NULL;
    assert_hd_ok(hd_path_absolute("sub", "x", &path, &err));
    assert_string_equal(path, expected);
    hd_free(path);
}

/* ---- trees -------------------------------------------------------------------------------- */

static void removing_a_tree_follows_no_link(void **state)
{
    (void)state;
    struct hd_err err;
    char *outside = in_dir("outside"), *tree = in_dir("tree"), *link = in_dir("tree/link");
    assert_hd_ok(hd_mkdirs(outside, 0700, &err));
    assert_hd_ok(hd_mkdirs(tree, 0700, &err));
    write_in_dir("outside/precious", "x", 0600);
    assert_int_equal(symlink(outside, link), 0);
    assert_hd_ok(hd_remove_tree(tree, &err));
    assert_false(hd_path_exists(tree));
    char *precious = in_dir("outside/precious");
    assert_true(hd_path_exists(precious));
    assert_hd_ok(hd_remove_tree(tree, &err)); /* missing is fine */
    assert_int_equal(symlink(outside, tree), 0);
    assert_hd_ok(hd_remove_tree(tree, &err)); /* a link itself goes, not what it points to */
    assert_true(hd_path_exists(precious));
    hd_free(precious);
    hd_free(outside);
    hd_free(tree);
    hd_free(link);
}

static void deep_and_closed_trees_are_removed(void **state)
{
    (void)state;
    struct hd_err err;
    char *tree = in_dir("tree");
    assert_int_equal(mkdir(tree, 0700), 0);
    int fd = open(tree, O_RDONLY | O_DIRECTORY);
    for (int depth = 0; depth < 300; depth++) {
        assert_int_equal(mkdirat(fd, "a-directory-with-a-long-name", 0700), 0);
        int next = openat(fd, "a-directory-with-a-long-name", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    assert_int_equal(mkdirat(fd, "closed", 0000), 0);
    close(fd);
    assert_hd_ok(hd_remove_tree(tree, &err));
    assert_false(hd_path_exists(tree));
    hd_free(tree);
}

static void a_copied_tree_keeps_content_modes_times_and_links(void **state)
{
    (void)state;
    struct hd_err err;
    char *from = in_dir("from"), *sub = in_dir("from/sub"), *to = in_dir("to");
    assert_hd_ok(hd_mkdirs(sub, 0750, &err));
    write_in_dir("from/sub/weights", "abc", 0640);
    char *link = in_dir("from/latest"), *fifo = in_dir("from/fifo");
    assert_int_equal(symlink("sub/weights", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    char *weights = in_dir("from/sub/weights"), *copy = in_dir("to/sub/weights");
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    assert_int_equal(utimensat(AT_FDCWD, weights, times, 0), 0);
    assert_hd_ok(hd_copy_tree(from, to, UINT64_MAX, &err));
    struct stat st;
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(st.st_mtime, 2000);
    char *text = test_file_read(copy, NULL);
    assert_string_equal(text, "abc");
    free(text);
    char *copied_link = in_dir("to/latest"), *copied_fifo = in_dir("to/fifo");
    assert_int_equal(lstat(copied_link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_false(hd_path_exists(copied_fifo));
    assert_hd_fails(hd_copy_tree(from, to, UINT64_MAX, &err), HD_E_EXISTS, "cannot create");
    assert_true(hd_path_exists(copy));
    char *paths[] = {from, sub, to, link, fifo, weights, copy, copied_link, copied_fifo};
    for (size_t i = 0; i < HD_COUNT(paths); i++)
        hd_free(paths[i]);
}

/* ---- lock --------------------------------------------------------------------------------- */

static void a_lock_has_one_holder_and_names_it(void **state)
{
    (void)state;
    struct hd_err err;
    char *path = in_dir("lock");
    struct hd_lock_file *lock = NULL, *second = NULL;
    assert_hd_ok(hd_lock_file_take(path, &lock, &err));
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_hd_fails(hd_lock_file_take(path, &second, &err), HD_E_BUSY, pid);
    assert_null(second);
    hd_lock_file_release(lock);
    assert_hd_ok(hd_lock_file_take(path, &second, &err));
    hd_lock_file_release(second);
    hd_lock_file_release(NULL);
    hd_free(path);
}

/* ---- processes ---------------------------------------------------------------------------- */

static void a_spawned_program_writes_to_its_log(void **state)
{
    (void)state;
    struct hd_err err;
    char *log = in_dir("log");
    for (int round = 0; round < 2; round++) {
        const char *argv[] = {"sh", "-c", "echo out; echo err >&2; exit 7", NULL};
        pid_t pid = 0;
        assert_hd_ok(hd_spawn(argv, log, true, &pid, &err));
        assert_true(hd_process_start_ticks(getpid()) > 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 7);
        assert_true(hd_process_start_ticks(pid) == 0);
    }
    char *text = test_file_read(log, NULL);
    assert_string_equal(text, "out\nerr\nout\nerr\n");
    free(text);
    hd_free(log);
}

static void a_program_that_cannot_start_is_an_error_at_once(void **state)
{
    (void)state;
    struct hd_err err;
    pid_t pid = 42;
    const char *missing[] = {"hd-no-such-program", NULL};
    assert_hd_fails(hd_spawn(missing, NULL, false, &pid, &err), HD_E_NOTFOUND, "on PATH");
    write_in_dir("not-a-program", "text", 0700);
    char *path = in_dir("not-a-program");
    const char *bad[] = {path, NULL};
    assert_hd_fails(hd_spawn(bad, NULL, false, &pid, &err), HD_E_IO, "cannot start");
    assert_int_equal(pid, 42);
    hd_free(path);
}

static void descriptors_are_not_inherited(void **state)
{
    (void)state;
    struct hd_err err;
    char *log = in_dir("log");
    int leaky = open("/dev/null", O_RDONLY);
    assert_true(leaky >= 0);
    char script[128];
    snprintf(script, sizeof(script), "test -e /proc/self/fd/%d && echo open || echo closed", leaky);
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    pid_t pid = 0;
    assert_hd_ok(hd_spawn(argv, log, false, &pid, &err));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(leaky);
    char *text = test_file_read(log, NULL);
    assert_string_equal(text, "closed\n");
    free(text);
    hd_free(log);
}

static void a_sibling_is_found_on_path_or_named_missing(void **state)
{
    (void)state;
    struct hd_err err;
    char *path = NULL;
    assert_hd_ok(hd_sibling_program("sh", &path, &err));
    assert_int_equal(path[0], '/');
    hd_free(path);
    assert_hd_fails(hd_sibling_program("hd-no-such", &path, &err), HD_E_NOTFOUND, "hd-no-such");
}

/* ---- token -------------------------------------------------------------------------------- */

static void the_users_token_is_made_once(void **state)
{
    (void)state;
    struct hd_err err;
    assert_int_equal(setenv("XDG_CONFIG_HOME", dir, 1), 0);
    assert_int_equal(unsetenv("HYPERDOCK_TOKEN_FILE"), 0);
    char first[HD_OS_TOKEN_SIZE], second[HD_OS_TOKEN_SIZE];
    char *path = NULL;
    assert_hd_ok(hd_token_find(NULL, &path, &err)); /* which makes nothing */
    assert_false(hd_path_exists(path));
    hd_free(path);
    assert_hd_ok(hd_token_load(NULL, first, &path, &err));
    assert_hd_ok(hd_token_load(NULL, second, NULL, &err));
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), 64);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    hd_free(path);
}

static void token_files_are_private_and_sane(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        enum hd_code code;
        const char *part;
    } cases[] = {
        {"0123456789abcdef\n", 0600, HD_OK, ""},
        {"0123456789abcdef\r\n", 0400, HD_OK, ""},
        {"0123456789abcdef\n", 0640, HD_E_AUTH, "chmod 600"},
        {"short\n", 0600, HD_E_INVALID, "16 to 128"},
        {"0123456789 abcdef\n", 0600, HD_E_INVALID, "without spaces"},
        {"", 0600, HD_E_INVALID, "holds no token"},
    };
    struct hd_err err;
    char *path = in_dir("token");
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        write_in_dir("token", cases[i].text, cases[i].mode);
        char token[HD_OS_TOKEN_SIZE] = "unchanged";
        if (cases[i].code == HD_OK) {
            assert_hd_ok(hd_token_load(path, token, NULL, &err));
            assert_string_equal(token, "0123456789abcdef");
        } else {
            assert_hd_fails(hd_token_load(path, token, NULL, &err), cases[i].code, cases[i].part);
            assert_string_equal(token, "unchanged");
        }
        assert_int_equal(unlink(path), 0);
    }
    char token[HD_OS_TOKEN_SIZE];
    assert_hd_fails(hd_token_load(path, token, NULL, &err), HD_E_NOTFOUND, "cannot open");
    assert_false(hd_path_exists(path)); /* only the user's own file is made */
    hd_free(path);
}

static void tokens_compare_whole(void **state)
{
    (void)state;
    char longest[HD_OS_TOKEN_SIZE], too_long[HD_OS_TOKEN_SIZE + 1];
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    memset(too_long, 'a', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    assert_true(hd_token_equal("secret", "secret"));
    assert_true(hd_token_equal(longest, longest));
    assert_false(hd_token_equal("secret", "secres"));
    assert_false(hd_token_equal("secret", "secre"));
    assert_false(hd_token_equal("", ""));
    assert_false(hd_token_equal(NULL, "secret"));
    assert_false(hd_token_equal(too_long, too_long));
}

/* ---- queue -------------------------------------------------------------------------------- */

static bool readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void a_queue_is_bounded_ordered_and_pollable(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_queue *queue = NULL;
    int items[3];
    assert_hd_ok(hd_queue_new(2, &queue, &err));
    assert_null(hd_queue_pop(queue, 0));
    assert_false(readable(hd_queue_fd(queue)));
    assert_int_equal(hd_queue_push(queue, &items[0]), HD_OK);
    assert_int_equal(hd_queue_push(queue, &items[1]), HD_OK);
    assert_int_equal(hd_queue_push(queue, &items[2]), HD_E_LIMIT);
    assert_true(readable(hd_queue_fd(queue)));
    assert_ptr_equal(hd_queue_pop(queue, -1), &items[0]);
    assert_true(readable(hd_queue_fd(queue)));
    assert_int_equal(hd_queue_push(queue, &items[2]), HD_OK);
    assert_ptr_equal(hd_queue_pop(queue, 1000), &items[1]);
    assert_ptr_equal(hd_queue_pop(queue, 0), &items[2]);
    assert_false(readable(hd_queue_fd(queue)));
    assert_null(hd_queue_pop(queue, 1));
    hd_queue_free(queue);
    hd_queue_free(NULL);
}

#define PRODUCED 2000
static struct hd_queue *shared_queue;

static void *produce(void *argument)
{
    (void)argument;
    for (int i = 0; i < PRODUCED; i++) {
        int *item = malloc(sizeof(*item));
        *item = i;
        while (hd_queue_push(shared_queue, item) != HD_OK)
            sched_yield();
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct hd_err err;
    assert_hd_ok(hd_queue_new(7, &shared_queue, &err));
    pthread_t threads[3];
    for (size_t i = 0; i < HD_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, NULL), 0);
    int64_t sum = 0;
    for (size_t i = 0; i < HD_COUNT(threads) * PRODUCED; i++) {
        int *item = hd_queue_pop(shared_queue, -1);
        sum += *item;
        free(item);
    }
    for (size_t i = 0; i < HD_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(sum, (int64_t)HD_COUNT(threads) * PRODUCED * (PRODUCED - 1) / 2);
    hd_queue_free(shared_queue);
}

#define in_a_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

/* What a program writes comes back, however it treats its input; one that does not end or writes
 * too much is ended, with what it started. */
static void capture(void **state)
{
    (void)state;
    const char *cat[] = {"cat", NULL}, *status[] = {"sh", "-c", "echo x; exit 3", NULL},
               *deaf[] = {"sh", "-c", "exec <&-; echo y", NULL},
               *endless[] = {"sh", "-c", "yes & wait", NULL},
               *stuck[] = {"sh", "-c", "sleep 600 & echo $!; wait", NULL},
               *missing[] = {"hd-no-such-program", NULL};
    struct hd_buf out;
    struct hd_err err;
    int how = -1;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_capture(cat, "in and out\n", 60000, &out, &how, &err));
    assert_string_equal(hd_buf_text(&out), "in and out\n");
    assert_int_equal(how, 0);
    assert_hd_ok(hd_capture(status, "", 60000, &out, &how, &err));
    assert_int_equal(WEXITSTATUS(how), 3);
    hd_buf_clear(&out);
    assert_hd_ok(hd_capture(deaf, "nobody reads this", 60000, &out, &how, &err));
    assert_string_equal(hd_buf_text(&out), "y\n");
    hd_buf_clear(&out);
    assert_hd_fails(hd_capture(endless, "", 60000, &out, &how, &err), HD_E_LIMIT, "65536 bytes");
    hd_buf_clear(&out);
    /* As long as it takes a busy machine to start a shell. */
    for (int64_t wait_ms = 100; out.size == 0 && wait_ms < 60000; wait_ms *= 2)
        assert_hd_fails(hd_capture(stuck, "", wait_ms, &out, &how, &err), HD_E_TIMEOUT, "in time");
    int64_t pid = 0;
    out.data[strcspn(out.data, "\n")] = '\0';
    assert_true(hd_parse_i64(out.data, &pid));
    /* Killed with its parent; whoever inherits it may take a moment to collect it. */
    for (int64_t until_ms = hd_clock_ms() + 30000; hd_process_start_ticks((pid_t)pid) != 0;) {
        assert_true(hd_clock_ms() < until_ms);
        (void)poll(NULL, 0, 1);
    }
    assert_hd_fails(hd_capture(missing, "", 1000, &out, &how, &err), HD_E_NOTFOUND, "on PATH");
    hd_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capture),
        cmocka_unit_test(times_print_as_utc_with_milliseconds),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(random_numbers_differ),
        in_a_dir(a_log_line_stays_one_line),
        cmocka_unit_test(log_levels_have_names),
        in_a_dir(files_are_written_whole_and_read_back),
        in_a_dir(only_regular_files_are_read),
        in_a_dir(a_disk_tells_what_is_free),
        in_a_dir(directories_are_made_with_their_parents),
        cmocka_unit_test(paths_become_absolute),
        in_a_dir(removing_a_tree_follows_no_link),
        in_a_dir(deep_and_closed_trees_are_removed),
        in_a_dir(a_copied_tree_keeps_content_modes_times_and_links),
        in_a_dir(a_lock_has_one_holder_and_names_it),
        in_a_dir(a_spawned_program_writes_to_its_log),
        in_a_dir(a_program_that_cannot_start_is_an_error_at_once),
        in_a_dir(descriptors_are_not_inherited),
        cmocka_unit_test(a_sibling_is_found_on_path_or_named_missing),
        in_a_dir(the_users_token_is_made_once),
        in_a_dir(token_files_are_private_and_sane),
        cmocka_unit_test(tokens_compare_whole),
        cmocka_unit_test(a_queue_is_bounded_ordered_and_pollable),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
