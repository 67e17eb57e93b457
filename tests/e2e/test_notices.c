/* SPDX-License-Identifier: Apache-2.0 */
/* hd run tells people how it ended, hd notify test reaches them, and no secret is left anywhere. */
#include "testlib.h"

#include <dirent.h>
#include <errno.h>
#include <hd/os.h>
#include <sink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "sesame-7f1c"
#define TOPIC "a-topic-nobody-guesses"

static struct hd_err err;
static char *dir;
static char file[512], state_dir[512], log_path[512];
static struct sink *sink;

static int setup(void **state)
{
    (void)state;
    char text[512];
    dir = test_dir_make();
    assert_true(hd_format(file, sizeof(file), "%s/notify.yaml", dir));
    assert_true(hd_format(state_dir, sizeof(state_dir), "%s/state", dir));
    assert_true(hd_format(log_path, sizeof(log_path), "%s/out", dir));
    sink = sink_open_http();
    assert_true(
        hd_format(text, sizeof(text),
                  "channels:\n"
                  "  hook: {type: webhook, url: \"http://127.0.0.1:%u/hook\", secret: " SECRET
                  ", on: [finished]}\n"
                  "  phone: {type: ntfy, url: \"http://127.0.0.1:%u/" TOPIC "\", token: " SECRET
                  ", on: [finished]}\n",
                  sink_port(sink), sink_port(sink)));
    test_file_write(file, text);
    assert_int_equal(chmod(file, 0600), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sink_close(sink);
    test_dir_remove(dir);
    return 0;
}

static int run_hd(const char *const *arguments)
{
    const char *argv[16] = {getenv("HD")};
    size_t count = 1;
    for (; arguments[count - 1] != NULL; count++) {
        assert_true(count + 1 < HD_COUNT(argv));
        argv[count] = arguments[count - 1];
    }
    argv[count] = NULL;
    pid_t pid;
    int status;
    assert_hd_ok(hd_spawn(argv, log_path, false, &pid, &err));
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_output(const char *part)
{
    char *text = test_file_read(log_path, NULL);
    if (strstr(text, part) == NULL)
        fail_msg("no \"%s\" in\n%s", part, text);
    free(text);
}

/* Every file below, whatever it is. */
static void assert_no_secret(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    if (S_ISREG(st.st_mode)) {
        size_t size;
        char *bytes = test_file_read(path, &size);
        if (memmem(bytes, size, SECRET, strlen(SECRET)) != NULL ||
            memmem(bytes, size, TOPIC, strlen(TOPIC)) != NULL)
            fail_msg("%s holds a secret", path);
        free(bytes);
    }
    DIR *list = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        char *below = hd_path_join(path, entry->d_name);
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            assert_no_secret(below);
        hd_free(below);
    }
    if (list != NULL)
        closedir(list);
}

static void a_run_tells_its_end(void **state)
{
    (void)state;
    const char *const words[] = {
        "run", getenv("HD_BRANIN"), "--state-dir", state_dir, "--workers", "1", "--seed",
        "1",   "--notify",          file,          NULL};
    assert_int_equal(run_hd(words), HD_EXIT_OK);
    assert_int_equal(sink_count(sink), 2);
    for (size_t i = 0; i < 2; i++)
        if (strstr(sink_message(sink, i), "run branin finished") == NULL)
            fail_msg("not the end of the run:\n%s", sink_message(sink, i));
    assert_non_null(strstr(sink_message(sink, 0), "X-Hyperdock-Signature: sha256="));
    assert_non_null(strstr(sink_message(sink, 1), "Authorization: Bearer " SECRET));
    assert_no_secret(state_dir);
    assert_no_secret(log_path);
}

static void a_test_says_what_came_of_it(void **state)
{
    (void)state;
    const char *const words[] = {"notify", "test", "--notify", file, NULL};
    assert_int_equal(run_hd(words), HD_EXIT_OK);
    assert_output("hook (webhook): told\nphone (ntfy): told\n");
    assert_int_equal(sink_count(sink), 2);
    sink_answer(sink, 403, SECRET);
    assert_int_equal(run_hd(words), HD_EXIT_FAILED);
    assert_output("hook (webhook): not told: it answered 403");
    assert_output("1 of 2 channels could not be told");
    const char *const one[] = {"notify", "test", "--notify", file, "--to", "nobody", NULL};
    assert_int_equal(run_hd(one), HD_EXIT_FAILED);
    assert_output("there is no channel \"nobody\"");
    const char *const list[] = {"notify", "list", "--notify", file, NULL};
    assert_int_equal(run_hd(list), HD_EXIT_OK);
    assert_output("phone");
    assert_no_secret(log_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_tells_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_test_says_what_came_of_it, setup, teardown),
    };
    return cmocka_run_group_tests_name("notices", tests, NULL, NULL);
}
