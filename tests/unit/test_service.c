/* SPDX-License-Identifier: Apache-2.0 */
/* What a service tells its manager and its log, and the tokens it knows. */
#include "testlib.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hd/os.h>
#include <hd/value.h>

#define WAIT_MS 30000

static struct hd_err err;
static char *dir;
static char path[512];

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/it", dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

/* ---- log ---------------------------------------------------------------------------------------
 */

struct line {
    const char *run, *text;       /* what is logged */
    const char *run_key, *worker; /* what stands in the object; NULL: no such key */
    int64_t job, attempt;         /* -1: no such key */
};

static const struct line lines[] = {
    {NULL, "serving", NULL, NULL, -1, -1},
    {"digits", "job 7: attempt 2 at budget 3 -> box-1", "digits", NULL, 7, 2},
    {NULL, "job 7, attempt 2: dropped", NULL, NULL, 7, 2},
    {"digits", "job 7: lease expired (attempt 2, 1 of 2 retries used)", "digits", NULL, 7, 2},
    {NULL, "worker box-34514b-0: hello (4 slots)", NULL, "box-34514b-0", -1, -1},
    {NULL, "run digits: paused: five failures", "digits", NULL, -1, -1},
    {NULL, "overrun 5, jobs 7, attempted 3", NULL, NULL, -1, -1},
    {NULL, "said \"no\\yes\" and \x01\x7f\n\xff\xc3\xa9", NULL, NULL, -1, -1},
    {NULL, "job 99999999999999: rubbish of a stranger", NULL, NULL, -1, -1},
};

/* What one call wrote to stderr. */
static char *logged(const struct line *line)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    if (line->run != NULL)
        hd_log_run(HD_LOG_WARNING, line->run, "%s", line->text);
    else
        hd_log(HD_LOG_WARNING, "%s", line->text);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    return test_file_read(path, NULL);
}

static void assert_text(const struct hd_value *object, const char *key, const char *wanted)
{
    const struct hd_value *value = hd_value_get(object, key);
    if (wanted == NULL)
        assert_null(value);
    else
        assert_string_equal(value->as.string, wanted);
}

static void assert_number(const struct hd_value *object, const char *key, int64_t wanted)
{
    const struct hd_value *value = hd_value_get(object, key);
    if (wanted < 0)
        assert_null(value);
    else
        assert_int_equal(value->as.integer, wanted);
}

/* As JSON every line is one object whatever its text holds, with the keys of what it is about. */
static void a_json_line_is_an_object(void **state)
{
    (void)state;
    hd_log_open("hd-test", HD_LOG_INFO);
    hd_log_set_format(HD_LOG_JSON);
    for (size_t i = 0; i < HD_COUNT(lines); i++) {
        char *text = logged(&lines[i]);
        struct hd_value *object = NULL;
        assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
        assert_hd_ok(
            hd_json_parse(text, strlen(text), "line", &hd_value_limits_file, &object, &err));
        assert_text(object, "level", "warning");
        assert_text(object, "program", "hd-test");
        assert_text(object, "run", lines[i].run_key);
        assert_text(object, "worker", lines[i].worker);
        assert_number(object, "job", lines[i].job);
        assert_number(object, "attempt", lines[i].attempt);
        assert_non_null(hd_value_get(object, "time"));
        if (strpbrk(lines[i].text, "\x01\n") == NULL)
            assert_text(object, "text", lines[i].text);
        else
            assert_text(object, "text", "said \"no\\yes\" and    ?\xc3\xa9");
        hd_value_free(object);
        free(text);
    }
    hd_log_set_format(HD_LOG_TEXT);
    enum hd_log_format format;
    assert_hd_ok(hd_log_format_parse("json", &format, &err));
    assert_int_equal(format, HD_LOG_JSON);
    assert_hd_fails(hd_log_format_parse("xml", &format, &err), HD_E_INVALID, "text or json");
    const struct hd_log_words loud = {.level = "loud"}, xml = {.level = "error", .format = "xml"};
    assert_hd_fails(hd_log_start("t", &loud, &err), HD_E_INVALID, "--log-level: \"loud\"");
    assert_hd_fails(hd_log_start("t", &xml, &err), HD_E_INVALID, "--log-format: \"xml\"");
}

/* What a strict reader of UTF-8 refuses is replaced; what it takes stays. */
static void json_lines_are_strict_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"\xe0\x9f\xbf", "???"},      {"\xe0\xa0\x80", "\xe0\xa0\x80"},
        {"\xed\xa0\x80", "???"},      {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xf0\x8f\xbf\xbf", "????"}, {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
        {"\xf4\x90\x80\x80", "????"}, {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    };
    hd_log_open("hd-test", HD_LOG_INFO);
    hd_log_set_format(HD_LOG_JSON);
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        struct line line = {.text = cases[i].text};
        char *text = logged(&line);
        struct hd_value *object = NULL;
        assert_hd_ok(
            hd_json_parse(text, strlen(text), "line", &hd_value_limits_file, &object, &err));
        assert_text(object, "text", cases[i].wanted);
        hd_value_free(object);
        free(text);
    }
    hd_log_set_format(HD_LOG_TEXT);
}

/* Lines that a stranger can cause are one a second; what was left out is counted. */
static void a_gate_lets_one_line_through(void **state)
{
    (void)state;
    struct hd_log_gate gate = {0};
    fflush(stderr);
    int kept = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    for (int i = 0; i < 1000; i++)
        hd_log_gated(&gate, HD_LOG_WARNING, "again");
    gate.next_ms = 0; /* a second has passed */
    hd_log_gated(&gate, HD_LOG_WARNING, "later");
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    char *text = test_file_read(path, NULL);
    size_t count = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    assert_true(count <= 6); /* a slow machine may see a second or two go by */
    assert_non_null(strstr(text, "lines like the next one were left out"));
    assert_non_null(strstr(text, "later"));
    free(text);
}

/* ---- the service manager -----------------------------------------------------------------------
 */

static int listen_here(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && hd_copy_text(address.sun_path, sizeof(address.sun_path), where));
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The next datagram; "" when none comes in time. */
static void hear(int fd, char *text, size_t size)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    ssize_t got = poll(&poller, 1, WAIT_MS) == 1 ? recv(fd, text, size - 1, 0) : 0;
    text[got > 0 ? got : 0] = '\0';
}

/* hd-nameserver under a manager: says when it serves, feeds the watchdog while it has nothing else
 * to do, and says when it ends; its children do not speak in its name. */
static void a_service_tells_its_manager(void **state)
{
    (void)state;
    char token[512], text[1024];
    int fd = listen_here(path);
    assert_true(hd_format(token, sizeof(token), "%s/token", dir));
    test_file_write(token, "0123456789abcdef0123456789abcdef\n");
    assert_int_equal(chmod(token, 0600), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char watchdog_pid[32];
        (void)hd_format(watchdog_pid, sizeof(watchdog_pid), "%ld", (long)getpid());
        setenv("NOTIFY_SOCKET", path, 1);
        setenv("WATCHDOG_USEC", "300000", 1);
        setenv("WATCHDOG_PID", watchdog_pid, 1);
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execl(getenv("HD_NAMESERVER"), "hd-nameserver", "--port", "0", "--token-file", token,
              (char *)NULL);
        _exit(127);
    }
    hear(fd, text, sizeof(text));
    assert_string_equal(text, "READY=1\nSTATUS=listening");
    for (int i = 0; i < 3; i++) {
        hear(fd, text, sizeof(text));
        assert_string_equal(text, "WATCHDOG=1");
    }
    assert_int_equal(kill(pid, SIGTERM), 0);
    do
        hear(fd, text, sizeof(text));
    while (hd_streq(text, "WATCHDOG=1"));
    assert_string_equal(text, "STOPPING=1");
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}

/* Without a manager, or with a watchdog meant for another process, waiting stays as it was. */
static void without_a_manager_nothing_changes(void **state)
{
    (void)state;
    hd_notify_open();
    assert_int_equal(hd_watchdog_feed(-1), -1);
    assert_int_equal(hd_watchdog_feed(60000), 60000);
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    hd_notify_open();
    assert_int_equal(hd_watchdog_feed(60000), 60000);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "300000", 1);
    hd_notify_open();
    assert_in_range(hd_watchdog_feed(-1), 1, 100);
    assert_in_range(hd_watchdog_feed(60000), 1, 100);
    assert_int_equal(hd_watchdog_feed(0), 0);
    hd_notify_open();
}

/* ---- tokens ------------------------------------------------------------------------------------
 */

#define TOKEN_A "0123456789abcdef0123456789abcdef"
#define TOKEN_B "fedcba9876543210fedcba9876543210"

static void write_private(const char *text)
{
    test_file_write(path, text);
    assert_int_equal(chmod(path, 0600), 0);
}

static const struct {
    const char *text;
    const char *error; /* NULL: it is read */
    unsigned a, b;     /* what the tokens may */
} files[] = {
    {TOKEN_A "\n", NULL, HD_ROLE_ALL, 0},
    {"  " TOKEN_A "  ", NULL, HD_ROLE_ALL, 0},
    {"# ours\n\nall " TOKEN_A "\nworker " TOKEN_B "\n", NULL, HD_ROLE_ALL, HD_ROLE_WORKER},
    {"reader " TOKEN_A "\noperator " TOKEN_B "\r\n", NULL, HD_ROLE_READER,
     HD_ROLE_OPERATOR | HD_ROLE_READER},
    {"worker " TOKEN_A "\nreader " TOKEN_A "\n", NULL, HD_ROLE_WORKER | HD_ROLE_READER, 0},
    {"all " TOKEN_A "\nall " TOKEN_B " until=1\n", NULL, HD_ROLE_ALL, 0},
    {"all " TOKEN_A "\nworker " TOKEN_B " until=99999999999\n", NULL, HD_ROLE_ALL, HD_ROLE_WORKER},
    {"", "holds no token", 0, 0},
    {"# nothing\n", "holds no token", 0, 0},
    {"short\n", "line 1", 0, 0},
    {TOKEN_A "\nking " TOKEN_B "\n", "line 2", 0, 0},
    {"worker " TOKEN_A " until=soon\n", "line 1", 0, 0},
    {"worker " TOKEN_A " until=5 and more\n", "line 1", 0, 0},
    {"worker " TOKEN_A " until=-5\n", "line 1", 0, 0},
};

/* Token files are read as they say, or refused with the line. */
static void token_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < HD_COUNT(files); i++) {
        struct hd_keyring *ring = NULL;
        write_private(files[i].text);
        if (files[i].error != NULL) {
            assert_hd_fails(hd_keyring_open(path, &ring, &err), HD_E_INVALID, files[i].error);
            assert_null(strstr(err.text, TOKEN_A)); /* errors do not tell tokens */
            continue;
        }
        assert_hd_ok(hd_keyring_open(path, &ring, &err));
        assert_int_equal(hd_keyring_roles(ring, TOKEN_A), files[i].a);
        assert_int_equal(hd_keyring_roles(ring, TOKEN_B), files[i].b);
        assert_int_equal(hd_keyring_roles(ring, ""), 0);
        assert_int_equal(hd_keyring_roles(ring, "0123456789abcdef0123456789abcde"), 0);
        char own[HD_OS_TOKEN_SIZE];
        (void)hd_keyring_own(ring, own);
        assert_string_equal(own, TOKEN_A);
        hd_keyring_free(ring);
    }
    struct hd_keyring *ring = NULL;
    write_private(TOKEN_A "\n");
    assert_int_equal(chmod(path, 0640), 0);
    assert_hd_fails(hd_keyring_open(path, &ring, &err), HD_E_AUTH, "chmod 600");
}

/* Keys that are written are read back, mode 0600. */
static void keys_come_back(void **state)
{
    (void)state;
    struct hd_key keys[3] = {{.roles = HD_ROLE_ALL},
                             {.roles = HD_ROLE_WORKER, .until_wall_s = 99999999999},
                             {.roles = HD_ROLE_ALL, .until_wall_s = 5}};
    struct hd_key back[HD_KEYS_MAX];
    size_t count = 0;
    struct stat st;
    for (size_t i = 0; i < 3; i++)
        hd_token_make(keys[i].token);
    assert_string_not_equal(keys[0].token, keys[1].token);
    assert_int_equal(strlen(keys[0].token), 64);
    assert_hd_ok(hd_keys_write(path, keys, 3, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_hd_ok(hd_keys_read(path, back, &count, &err));
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(back[i].roles, keys[i].roles);
        assert_int_equal(back[i].until_wall_s, keys[i].until_wall_s);
        assert_string_equal(back[i].token, keys[i].token);
    }
}

/* Root may rotate the tokens of a service: the file stays the service's. */
static void a_written_file_keeps_its_owner(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can make a file of somebody else */
    struct hd_key key = {.roles = HD_ROLE_ALL};
    struct stat st;
    hd_token_make(key.token);
    assert_hd_ok(hd_keys_write(path, &key, 1, &err));
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_hd_ok(hd_keys_write(path, &key, 1, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(st.st_gid, 65534);
    assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_json_line_is_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(json_lines_are_strict_utf8, setup, teardown),
        cmocka_unit_test_setup_teardown(a_written_file_keeps_its_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gate_lets_one_line_through, setup, teardown),
        cmocka_unit_test_setup_teardown(a_service_tells_its_manager, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_manager_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(token_files, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_come_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
