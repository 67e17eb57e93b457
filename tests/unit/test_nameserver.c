/* SPDX-License-Identifier: Apache-2.0 */
/* The real hd-nameserver as a child, on a port the system chooses. HD_NAMESERVER is its path. */
#include "testlib.h"

#include <hd/message.h>
#include <hd/net.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL_MS 20000
#define TOKEN "0123456789abcdef0123456789abcdef"

static struct hd_err err;
static char *dir, *token_file, *credentials_dir;
static struct hd_arena *arena;
static struct hd_ns_reply reply;
static pid_t child;
static char address[HD_ADDRESS_MAX];

/* Its only line on stdout comes through a pipe, so that the test waits for the event. */
static void start(const char *port)
{
    const char *program = getenv("HD_NAMESERVER");
    assert_non_null(program);
    int out[2];
    assert_int_equal(pipe(out), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execl(program, program, "--port", port, "--token-file", token_file, "--credentials-dir",
              credentials_dir, "--ttl", "1h", "--log-level", "error", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    char line[128];
    size_t size = 0;
    while (size < sizeof(line) - 1 && read(out[0], line + size, 1) == 1 && line[size] != '\n')
        size++;
    close(out[0]);
    line[size] = '\0';
    char *space = strchr(line, ' ');
    assert_non_null(space);
    *space = ':';
    assert_int_equal(strncmp(line, "127.0.0.1:", 10), 0);
    snprintf(address, sizeof(address), "%s", line);
}

static int stop(int signal_number)
{
    int status = 0;
    assert_int_equal(kill(child, signal_number), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    child = 0;
    return status;
}

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    token_file = hd_path_join(dir, "token");
    credentials_dir = hd_path_join(dir, "credentials");
    assert_hd_ok(hd_file_write_atomic(token_file, TOKEN "\n", strlen(TOKEN) + 1, 0600, &err));
    assert_hd_ok(hd_arena_new(4 * HD_WIRE_ARENA_BYTES_MAX, &arena, &err));
    start("0");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (child > 0)
        (void)stop(SIGKILL);
    hd_arena_free(arena);
    hd_free(token_file);
    hd_free(credentials_dir);
    test_dir_remove(dir);
    return 0;
}

static struct hd_ns_request master(const char *id, const char *run_id)
{
    struct hd_ns_request request = {
        .kind = HD_NS_REGISTER,
        .token = TOKEN,
        .entry = {.id = id, .incarnation = 1, .address = "tcp://h:1", .runs = {run_id}},
    };
    request.entry.run_count = 1;
    return request;
}

static enum hd_code call(struct hd_ns_request request)
{
    return hd_ns_call(address, NULL, &request, CALL_MS, arena, &reply, &err);
}

static void a_master_registers_and_is_looked_up(void **state)
{
    (void)state;
    assert_hd_ok(call(master("m", "run")));
    assert_hd_ok(
        call((struct hd_ns_request){.kind = HD_NS_LOOKUP, .token = TOKEN, .run_id = "run"}));
    assert_int_equal(reply.entry_count, 1);
    assert_string_equal(reply.entries[0].address, "tcp://h:1");
    assert_hd_fails(call(master("other", "run")), HD_E_EXISTS, "run run is served by another");
}

static void a_wrong_token_is_refused_on_every_call(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "wrong", TOKEN "0"};
    for (size_t i = 0; i < HD_COUNT(tokens); i++)
        for (int kind = 0; kind < HD_NS_KIND_COUNT; kind++) {
            struct hd_ns_request request = master("m", "run");
            request.kind = (enum hd_ns_kind)kind;
            request.token = tokens[i];
            assert_hd_fails(call(request), HD_E_AUTH, "wrong token");
        }
    assert_hd_ok(call((struct hd_ns_request){.kind = HD_NS_LOOKUP, .token = TOKEN}));
    assert_int_equal(reply.entry_count, 0);
}

static void a_foreign_message_is_answered_with_the_reason(void **state)
{
    (void)state;
    struct hd_buf out;
    hd_buf_init(&out, HD_MESSAGE_BYTES_MAX);
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {
        {"\xc1", 1, "not a message"},
        {"\x81\xa1v\x09", 4, "version 9"},
        {"\xdd\xff\xff\xff\xff", 5, "not a message"},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        hd_buf_clear(&out);
        assert_hd_ok(
            hd_net_call(address, NULL, cases[i].bytes, cases[i].size, CALL_MS, &out, &err));
        assert_hd_ok(hd_ns_reply_decode(out.data, out.size, arena, &reply, &err));
        assert_int_not_equal(reply.code, HD_OK);
        assert_non_null(strstr(reply.text, cases[i].part));
    }
    hd_buf_release(&out);
}

static void credentials_live_as_long_as_the_nameserver(void **state)
{
    (void)state;
    char nameserver[HD_ADDRESS_MAX], token[HD_OS_TOKEN_SIZE];
    assert_hd_ok(call(master("m", "run")));
    assert_hd_ok(hd_credentials_read(credentials_dir, "run", 1, 0, nameserver, sizeof(nameserver),
                                     token, &err));
    assert_string_equal(nameserver, address);
    assert_string_equal(token, TOKEN);
    assert_int_equal(stop(SIGTERM), 0);
    assert_hd_fails(hd_credentials_read(credentials_dir, "run", 1, 0, nameserver,
                                        sizeof(nameserver), token, &err),
                    HD_E_NOTFOUND, "cannot open");
}

static void an_interrupt_ends_it_cleanly_and_it_comes_back_on_its_port(void **state)
{
    (void)state;
    char before[HD_ADDRESS_MAX];
    snprintf(before, sizeof(before), "%s", address);
    assert_int_equal(stop(SIGINT), 0);
    start(strrchr(before, ':') + 1);
    assert_string_equal(address, before);
    assert_hd_ok(call(master("m", "run")));
}

#define nameserver_test(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        nameserver_test(a_master_registers_and_is_looked_up),
        nameserver_test(a_wrong_token_is_refused_on_every_call),
        nameserver_test(a_foreign_message_is_answered_with_the_reason),
        nameserver_test(credentials_live_as_long_as_the_nameserver),
        nameserver_test(an_interrupt_ends_it_cleanly_and_it_comes_back_on_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
