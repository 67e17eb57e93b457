/* SPDX-License-Identifier: Apache-2.0 */
/* Services over a real engine: in layers up, in reverse down, and never anything left. Where no
 * engine answers, every test is skipped by name. Argument: the static target program. */
#include "testlib.h"

#include "real_docker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hd/os.h>
#include <hd/services.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPOSITORY "hyperdock-test"
#define SAID_MAX 8192
#define WAIT_MS 60000

static struct hd_err err;
static char tag[32]; /* in every name: others use this engine too */
static bool answers;
static char *dir;
static char file[512];
static char said[SAID_MAX];

static void say(void *context, const char *name, const char *text)
{
    (void)context;
    size_t used = strlen(said), size = strcspn(text, " ");
    assert_true(hd_format(said + used, sizeof(said) - used, "%s %.*s\n", name + strlen(tag) + 1,
                          (int)size, text));
}

static struct hd_services_options options_of(void)
{
    return (struct hd_services_options){
        .file = file, .uuid = "0123456789abcdef", .parallel = 2, .say = say};
}

static int setup(void **state)
{
    (void)state;
    if (!answers)
        return 0;
    dir = test_dir_make();
    (void)hd_format(file, sizeof(file), "%s/services.yaml", dir);
    said[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!answers)
        return 0;
    struct hd_services_options options = options_of();
    size_t count;
    assert_hd_ok(hd_services_down(&options, &count, &err));
    test_dir_remove(dir);
    return 0;
}

/* "@" is the tag, "%" the image. */
static struct hd_services *plan_of(const char *text)
{
    struct hd_buf full;
    struct hd_value *value = NULL;
    struct hd_services *plan = NULL;
    hd_buf_init(&full, 65536);
    for (; *text != '\0'; text++) {
        if (*text == '@')
            assert_hd_ok(hd_buf_puts(&full, tag, &err));
        else if (*text == '%')
            assert_hd_ok(hd_buf_printf(&full, &err, "\"" REPOSITORY ":%s\"", tag));
        else
            assert_hd_ok(hd_buf_append(&full, text, 1, &err));
    }
    assert_hd_ok(
        hd_yaml_parse(hd_buf_text(&full), full.size, file, &hd_value_limits_file, &value, &err));
    assert_hd_ok(hd_services_parse(value, file, dir, &plan, &err));
    hd_value_free(value);
    hd_buf_release(&full);
    return plan;
}

static size_t count_found(void)
{
    struct hd_services_options options = options_of();
    struct hd_service_found *found = NULL;
    size_t count, own = 0;
    assert_hd_ok(hd_services_list(&options, &found, &count, &err));
    for (size_t i = 0; i < count; i++)
        own += hd_streq(found[i].file, file) ? 1 : 0;
    hd_free(found);
    return own;
}

static const char four[] =
    "- {name: @-z, image: %, cmd: serve 80, depends: [@-load]}\n"
    "- {name: @-load, image: %, cmd: exit 0, depends: [@-b, @-a], ready: {exit: true}}\n"
    "- {name: @-b, image: %, cmd: serve 80, depends: [@-a], networks: [@-n, @-m], ready: {port: "
    "80}}\n"
    "- {name: @-a, image: %, cmd: \"env WORD\", env: {WORD: \"it is up\"}, networks: [@-n], "
    "volumes: [\"./:/data:ro\"], ready: {log: \"^WORD=it is up\"}}\n";

/* Each layer waits for the one before, by log, port and exit; down goes the other way. */
static void layers_go_up_and_down(void **state)
{
    (void)state;
    if (!answers)
        skip();
    struct hd_services_options options = options_of();
    struct hd_services *plan = plan_of(four);
    size_t count;
    assert_hd_ok(hd_services_up(plan, &options, &err));
    assert_string_equal(said, "a ready\nb ready\nload ready\nz started\n");
    assert_int_equal(count_found(), 4);
    /* A second set of the same file is refused, and takes nothing of the first down. */
    options.uuid = "fedcba9876543210";
    assert_hd_fails(hd_services_up(plan, &options, &err), HD_E_EXISTS,
                    "(4, UUID 0123456789abcdef)");
    assert_int_equal(count_found(), 4);
    said[0] = '\0';
    assert_hd_ok(hd_services_down(&options, &count, &err));
    assert_string_equal(said, "z removed\nload removed\nb removed\na removed\n");
    assert_int_equal(count, 6); /* and two networks */
    assert_int_equal(count_found(), 0);
    hd_services_free(plan);
}

/* What fails takes all of it down, and says why in the words of the service or the engine. */
static void a_failure_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hd_code code;
        const char *part;
    } cases[] = {
        {"- {name: @-a, image: %, cmd: serve 80}\n"
         "- {name: @-b, image: %, cmd: exit 3, depends: [@-a], ready: {exit: true}}",
         HD_E_CONFLICT, "-b: it ended with exit code 3 before it was ready; it said: "},
        {"- {name: @-a, image: %, cmd: serve 80, ready: {log: never, timeout: 300ms}}",
         HD_E_TIMEOUT,
         "-a: no line of its output matched ready.log within 0.3 s; it said: serving"},
        {"- {name: @-a, image: %, cmd: serve 80, ready: {port: 81, timeout: 300ms}}", HD_E_TIMEOUT,
         "its port took no connection"},
        {"- {name: @-a, image: %, cmd: serve 80, ready: {healthcheck: true}}", HD_E_CONFLICT,
         "its image has no HEALTHCHECK"},
        {"- {name: @-a, image: %, cmd: serve 80, networks: [@-n], volumes: [\"./none:/x\"]}",
         HD_E_INVALID, "bind source path does not exist"},
        /* Nobody waits for the others of its layer. */
        {"- {name: @-a, image: %, cmd: serve 80, ready: {log: never, timeout: 1h}}\n"
         "- {name: @-b, image: %, cmd: exit 3, ready: {exit: true}}",
         HD_E_CONFLICT, "-b: it ended with exit code 3"},
        {"- {name: @-a, image: \"127.0.0.1:1/none:1\"}", HD_E_INVALID, "cannot pull 127.0.0.1:1"},
    };
    if (!answers)
        skip();
    struct hd_services_options options = options_of();
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        struct hd_services *plan = plan_of(cases[i].text);
        size_t count;
        assert_hd_fails(hd_services_up(plan, &options, &err), cases[i].code, cases[i].part);
        assert_true(err.text[strlen(err.text) - 1] != '|'); /* that stands between lines */
        assert_hd_ok(hd_services_down(&options, &count, &err));
        assert_int_equal(count, 0);
        hd_services_free(plan);
    }
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0 && listen(fd, 1) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* A port that the machine listens on says nothing of a container that has no network. */
static void a_port_is_the_containers_own(void **state)
{
    (void)state;
    if (!answers)
        skip();
    struct hd_services_options options = options_of();
    char text[256];
    uint16_t port;
    int fd = listen_somewhere(&port);
    assert_true(hd_format(text, sizeof(text),
                          "- {name: @-a, image: %%, cmd: serve 80, networks: [none], "
                          "ready: {port: %u, timeout: 300ms}}",
                          port));
    struct hd_services *plan = plan_of(text);
    assert_hd_fails(hd_services_up(plan, &options, &err), HD_E_TIMEOUT,
                    "its port took no connection");
    hd_services_free(plan);
    close(fd);
}

static bool stop_now(void *context)
{
    (void)context;
    return count_found() > 0;
}

/* An interrupt takes down what there is by then. */
static void an_interrupt_leaves_nothing(void **state)
{
    (void)state;
    if (!answers)
        skip();
    struct hd_services_options options = options_of();
    struct hd_services *plan =
        plan_of("- {name: @-a, image: %, cmd: serve 80, ready: {log: never, timeout: 1h}}");
    options.interrupted = stop_now;
    assert_int_equal(hd_services_up(plan, &options, &err), HD_E_CANCELLED);
    assert_int_equal(count_found(), 0);
    hd_services_free(plan);
}

/* Whoever was killed while services rose: down finds what there is. */
static void a_killed_up_is_found(void **state)
{
    (void)state;
    if (!answers)
        skip();
    struct hd_services_options options = options_of();
    struct hd_services *plan = plan_of("- {name: @-a, image: %, cmd: serve 80, networks: [@-n], "
                                       "ready: {log: never, timeout: 1h}}");
    int64_t until_ms = hd_clock_ms() + WAIT_MS;
    size_t count;
    pid_t pid = fork();
    if (pid == 0) {
        enum hd_code code = hd_services_up(plan, &options, &err);
        _exit(code == HD_OK ? 0 : 1);
    }
    while (count_found() == 0)
        assert_true(hd_clock_ms() < until_ms);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (waitpid(pid, NULL, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_hd_ok(hd_services_down(&options, &count, &err));
    assert_int_equal(count, 2);
    assert_int_equal(count_found(), 0);
    hd_services_free(plan);
}

static int run_hd(const char *const *words, const char *log)
{
    pid_t pid;
    int status;
    assert_hd_ok(hd_spawn(words, log, false, &pid, &err));
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* hd run has them ready before the first job, and takes them down after the last. */
static void a_run_has_its_services(void **state)
{
    (void)state;
    if (!answers)
        skip();
    char experiment[512], state_dir[512], log[512], seen[512], text[4096];
    (void)hd_format(experiment, sizeof(experiment), "%s/needy.yaml", dir);
    (void)hd_format(state_dir, sizeof(state_dir), "%s/state", dir);
    (void)hd_format(log, sizeof(log), "%s/log", dir);
    (void)hd_format(seen, sizeof(seen), "%s/seen", dir);
    assert_true(hd_format(text, sizeof(text),
                          "name: needy\n"
                          "target:\n"
                          "  command: [/bin/sh, -c, '%s services list >%s; echo {\"loss\":1} "
                          ">loss.json; cp loss.json "
                          "$HYPERDOCK_DIR/']\n"
                          "objective: loss\n"
                          "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                          "stop: {configs: 1}\n"
                          "services: {%s-a: {image: \"" REPOSITORY
                          ":%s\", cmd: serve 80, ready: {port: 80}}}\n",
                          getenv("HD"), seen, tag, tag));
    test_file_write(experiment, text);
    const char *const run[] = {getenv("HD"), "run",       experiment, "--state-dir",
                               state_dir,    "--workers", "1",        NULL};
    if (run_hd(run, log) != HD_EXIT_OK)
        fail_msg("%s", test_file_read(log, NULL));
    char *listed = test_file_read(seen, NULL);
    if (strstr(listed, tag) == NULL || strstr(listed, "Up ") == NULL ||
        strstr(listed, "state#needy") == NULL)
        fail_msg("not in\n%s", listed);
    free(listed);
    const char *const list[] = {getenv("HD"), "services", "list", NULL};
    assert_int_equal(unlink(log), 0);
    assert_int_equal(run_hd(list, log), HD_EXIT_OK);
    listed = test_file_read(log, NULL);
    assert_null(strstr(listed, tag));
    free(listed);
}

/* Services of this test's workers that run now, and their sets. */
static size_t count_of_workers(size_t *ret_sets)
{
    struct hd_services_options options = options_of();
    struct hd_service_found *found = NULL;
    size_t count, own = 0;
    *ret_sets = 0;
    assert_hd_ok(hd_services_list(&options, &found, &count, &err));
    for (size_t i = 0; i < count; i++) {
        if (strncmp(found[i].file, dir, strlen(dir)) != 0 || !hd_streq(found[i].state, "running"))
            continue;
        own++;
        *ret_sets += i == 0 || !hd_streq(found[i].uuid, found[i - 1].uuid) ? 1 : 0;
    }
    hd_free(found);
    return own;
}

/* Two workers of one engine have a set each, of the same names; each target meets its worker's by
 * their names alone. */
static void workers_have_their_own(void **state)
{
    (void)state;
    if (!answers)
        skip();
    char experiment[512], state_dir[512], log[512], gate[512], open_gate[600], text[4096];
    (void)hd_format(experiment, sizeof(experiment), "%s/own.yaml", dir);
    (void)hd_format(state_dir, sizeof(state_dir), "%s/state", dir);
    (void)hd_format(log, sizeof(log), "%s/log", dir);
    (void)hd_format(gate, sizeof(gate), "%s/gate", dir);
    (void)hd_format(open_gate, sizeof(open_gate), "%s/open", gate);
    assert_int_equal(mkdir(gate, 0755), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_true(hd_format(text, sizeof(text),
                          "name: own\n"
                          "target: {image: \"" REPOSITORY ":%s\", command: [/target, meet, cache], "
                          "networks: [back], volumes: [\"./gate:/gate:ro\"], pull: never}\n"
                          "objective: loss\n"
                          "space: {x: {type: float, low: 0.0, high: 1.0}}\n"
                          "stop: {configs: 2}\n"
                          "services_per: worker\n"
                          "services:\n"
                          "  cache: {image: \"" REPOSITORY
                          ":%s\", cmd: serve 80, networks: [back], ready: {log: serving}}\n"
                          "  late: {image: \"" REPOSITORY
                          ":%s\", cmd: serve 81, depends: [cache], ready: {port: 81}}\n",
                          tag, tag, tag));
    test_file_write(experiment, text);
    const char *const run[] = {getenv("HD"), "run",       experiment, "--state-dir",
                               state_dir,    "--workers", "2",        NULL};
    pid_t pid;
    int status;
    size_t sets;
    assert_hd_ok(hd_spawn(run, log, false, &pid, &err));
    for (int64_t until_ms = hd_clock_ms() + WAIT_MS; count_of_workers(&sets) < 4 || sets != 2;)
        if (hd_clock_ms() > until_ms || waitpid(pid, &status, WNOHANG) == pid)
            fail_msg("%s", test_file_read(log, NULL));
    test_file_write(open_gate, "");
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != HD_EXIT_OK)
        fail_msg("%s", test_file_read(log, NULL));
    assert_int_equal(count_of_workers(&sets), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layers_go_up_and_down, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_port_is_the_containers_own, setup, teardown),
        cmocka_unit_test_setup_teardown(an_interrupt_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_up_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_has_its_services, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_have_their_own, setup, teardown),
    };
    if (argc != 2)
        return 2;
    (void)hd_format(tag, sizeof(tag), "s%016llx", (unsigned long long)hd_os_random_u64());
    answers =
        real_docker_answers() && real_docker_import(argv[1], REPOSITORY, tag, true, &err) == HD_OK;
    int failed = cmocka_run_group_tests_name("services_docker", tests, NULL, NULL);
    if (answers)
        real_docker_remove_image(REPOSITORY, tag);
    return failed;
}
