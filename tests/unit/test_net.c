/* SPDX-License-Identifier: Apache-2.0 */
/* Everything here is on loopback with ports the system chooses. Waits are for events, with
 * WAIT_MS only as the point at which a test gives up. */
#include "testlib.h"

#include "../../common/os/net_internal.h"

#include <arpa/inet.h>
#include <hd/message.h>
#include <hd/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 20000
#define BYTES_MAX 4096

static struct hd_err err;
static struct hd_queue *news_queue, *answer_queue;
static struct hd_net_server *server;
static uint16_t port;
static char address[64];

static void open_server(uint16_t wanted)
{
    assert_hd_ok(
        hd_net_server_open("127.0.0.1", wanted, BYTES_MAX, NULL, news_queue, &server, &port, &err));
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
}

static int setup(void **state)
{
    (void)state;
    assert_hd_ok(hd_queue_new(64, &news_queue, &err));
    assert_hd_ok(hd_queue_new(64, &answer_queue, &err));
    open_server(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hd_net_server_close(server);
    server = NULL;
    void *item;
    while ((item = hd_queue_pop(news_queue, 0)) != NULL)
        hd_net_news_free(item);
    while ((item = hd_queue_pop(answer_queue, 0)) != NULL)
        hd_net_answer_free(item);
    hd_queue_free(news_queue);
    hd_queue_free(answer_queue);
    return 0;
}

static struct hd_net_client *dial(uint64_t tag)
{
    struct hd_net_client *client = NULL;
    assert_hd_ok(hd_net_client_open(address, 3, tag, NULL, answer_queue, &client, &err));
    return client;
}

static void ask(struct hd_net_client *client, uint32_t lane, uint64_t sequence, const char *text)
{
    assert_hd_ok(hd_net_send(client, lane, sequence, text, strlen(text), WAIT_MS, &err));
}

/* The next request; notices of ended connections are skipped. */
static struct hd_net_news *next_message(const char *expected)
{
    for (;;) {
        struct hd_net_news *news = hd_queue_pop(news_queue, WAIT_MS);
        assert_non_null(news);
        if (news->kind == HD_NET_MESSAGE) {
            assert_int_equal(news->size, strlen(expected));
            assert_memory_equal(news->bytes, expected, news->size);
            return news;
        }
        hd_net_news_free(news);
    }
}

static void answer(struct hd_net_news *news, const char *text)
{
    hd_net_reply(server, news->address, text, strlen(text));
    hd_net_news_free(news);
}

static void expect_reply(uint64_t tag, uint32_t lane, uint64_t sequence, const char *text)
{
    struct hd_net_answer *got = hd_queue_pop(answer_queue, WAIT_MS);
    assert_non_null(got);
    if (got->kind != HD_NET_REPLY)
        fail_msg("no reply: %s", got->err.text);
    assert_true(got->tag == tag && got->lane == lane && got->sequence == sequence);
    assert_int_equal(got->size, strlen(text));
    assert_memory_equal(got->bytes, text, got->size);
    hd_net_answer_free(got);
}

static void expect_failure(uint64_t sequence, enum hd_code code, const char *part)
{
    struct hd_net_answer *got = hd_queue_pop(answer_queue, WAIT_MS);
    assert_non_null(got);
    assert_int_equal(got->kind, HD_NET_FAILED);
    assert_true(got->sequence == sequence);
    err = got->err;
    hd_net_answer_free(got);
    assert_hd_fails(err.code, code, part);
}

/* ---- conversations --------------------------------------------------------------------------- */

static void a_request_is_answered(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(7);
    for (uint64_t sequence = 1; sequence <= 50; sequence++) {
        ask(client, 0, sequence, "question");
        answer(next_message("question"), "answer");
        expect_reply(7, 0, sequence, "answer");
    }
    hd_net_client_close(client);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(7);
    ask(client, 0, 1, "");
    answer(next_message(""), "");
    expect_reply(7, 0, 1, "");
    hd_net_client_close(client);
}

static void a_parked_request_does_not_hold_up_another_lane(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    ask(client, 1, 10, "lease");
    struct hd_net_news *parked = next_message("lease");
    ask(client, 0, 20, "ping");
    struct hd_net_news *ping = next_message("ping");
    assert_true(ping->connection == parked->connection);
    assert_true(ping->address != parked->address);
    answer(ping, "pong");
    expect_reply(1, 0, 20, "pong");
    answer(parked, "job");
    expect_reply(1, 1, 10, "job");
    hd_net_client_close(client);
}

static void many_clients_park_and_each_gets_its_own_answer(void **state)
{
    (void)state;
    struct hd_net_client *clients[12];
    struct hd_net_news *parked[HD_COUNT(clients)];
    char text[32];
    for (size_t i = 0; i < HD_COUNT(clients); i++) {
        clients[i] = dial(i);
        snprintf(text, sizeof(text), "client %zu", i);
        ask(clients[i], 1, 100 + i, text);
        parked[i] = next_message(text);
    }
    for (size_t i = 0; i < HD_COUNT(clients); i++) {
        snprintf(text, sizeof(text), "for %zu", i);
        answer(parked[i], text);
        expect_reply(i, 1, 100 + i, text);
    }
    for (size_t i = 0; i < HD_COUNT(clients); i++)
        hd_net_client_close(clients[i]);
}

static void a_second_request_on_a_lane_abandons_the_first(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    ask(client, 1, 1, "first");
    struct hd_net_news *first = next_message("first");
    ask(client, 1, 2, "second");
    struct hd_net_news *second = next_message("second");
    answer(first, "late");
    answer(second, "answer");
    expect_reply(1, 1, 2, "answer");
    assert_null(hd_queue_pop(answer_queue, 0));
    hd_net_client_close(client);
}

static void an_ended_connection_is_noticed(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    ask(client, 0, 1, "hello");
    struct hd_net_news *hello = next_message("hello");
    uint64_t connection = hello->connection, parked = hello->address;
    hd_net_news_free(hello);
    hd_net_client_close(client);
    struct hd_net_news *news = hd_queue_pop(news_queue, WAIT_MS);
    assert_non_null(news);
    assert_int_equal(news->kind, HD_NET_CLOSED);
    assert_true(news->connection == connection);
    hd_net_news_free(news);
    hd_net_reply(server, parked, "to nobody", 9); /* forgotten in silence */
}

static void a_deadline_ends_a_request(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    ask(client, 0, 4, "connected?");
    answer(next_message("connected?"), "yes");
    expect_reply(1, 0, 4, "yes");
    assert_hd_ok(hd_net_send(client, 0, 5, "x", 1, 50, &err));
    expect_failure(5, HD_E_TIMEOUT, "within 50 ms");
    hd_net_news_free(next_message("x"));
    ask(client, 0, 6, "again"); /* the lane works on */
    answer(next_message("again"), "answer");
    expect_reply(1, 0, 6, "answer");
    hd_net_client_close(client);
}

static void the_last_reply_leaves_before_the_server_closes(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    for (uint64_t lane = 0; lane < 3; lane++)
        ask(client, (uint32_t)lane, lane, "poll");
    for (uint64_t lane = 0; lane < 3; lane++)
        answer(next_message("poll"), "done");
    hd_net_server_close(server);
    server = NULL;
    for (uint64_t lane = 0; lane < 3; lane++) {
        struct hd_net_answer *got = hd_queue_pop(answer_queue, WAIT_MS);
        assert_non_null(got);
        assert_int_equal(got->kind, HD_NET_REPLY);
        hd_net_answer_free(got);
    }
    hd_net_client_close(client);
}

static void a_restarted_server_is_found_again(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    ask(client, 1, 1, "parked");
    hd_net_news_free(next_message("parked"));
    hd_net_server_close(server);
    server = NULL;
    expect_failure(1, HD_E_NET, "ended"); /* at once, not at the deadline */
    ask(client, 1, 2, "while away");
    open_server(port);
    answer(next_message("while away"), "back");
    expect_reply(1, 1, 2, "back");
    hd_net_client_close(client);
}

static void nobody_there_is_a_timeout_for_a_lane_and_an_error_at_once_for_a_call(void **state)
{
    (void)state;
    hd_net_server_close(server);
    server = NULL;
    struct hd_net_client *client = dial(1);
    assert_hd_ok(hd_net_send(client, 0, 1, "x", 1, 50, &err));
    expect_failure(1, HD_E_TIMEOUT, "no answer");
    hd_net_client_close(client);
    struct hd_buf out;
    hd_buf_init(&out, 100);
    assert_hd_fails(hd_net_call(address, NULL, "x", 1, WAIT_MS, &out, &err), HD_E_NET, "refused");
    hd_buf_release(&out);
}

static void an_oversize_message_ends_its_connection(void **state)
{
    (void)state;
    struct hd_net_client *client = dial(1);
    char large[2 * BYTES_MAX];
    memset(large, 'x', sizeof(large));
    assert_hd_ok(hd_net_send(client, 0, 1, large, sizeof(large), WAIT_MS, &err));
    expect_failure(1, HD_E_NET, "ended");
    struct hd_net_news *news = hd_queue_pop(news_queue, WAIT_MS);
    assert_non_null(news);
    assert_int_equal(news->kind, HD_NET_CLOSED);
    hd_net_news_free(news);
    hd_net_client_close(client);
}

static void a_full_queue_holds_requests_back_and_loses_none(void **state)
{
    (void)state;
    struct hd_queue *small;
    struct hd_net_server *narrow;
    assert_hd_ok(hd_queue_new(1, &small, &err));
    assert_hd_ok(hd_net_server_open("127.0.0.1", 0, BYTES_MAX, NULL, small, &narrow, &port, &err));
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    struct hd_net_client *clients[8];
    for (size_t i = 0; i < HD_COUNT(clients); i++) {
        clients[i] = dial(i);
        ask(clients[i], 0, 1, "a");
        ask(clients[i], 1, 2, "b");
    }
    for (size_t i = 0; i < 2 * HD_COUNT(clients); i++) {
        struct hd_net_news *news = hd_queue_pop(small, WAIT_MS);
        assert_non_null(news);
        assert_int_equal(news->kind, HD_NET_MESSAGE);
        hd_net_reply(narrow, news->address, news->bytes, news->size);
        hd_net_news_free(news);
    }
    for (size_t i = 0; i < 2 * HD_COUNT(clients); i++) {
        struct hd_net_answer *got = hd_queue_pop(answer_queue, WAIT_MS);
        assert_non_null(got);
        assert_int_equal(got->kind, HD_NET_REPLY);
        hd_net_answer_free(got);
    }
    for (size_t i = 0; i < HD_COUNT(clients); i++)
        hd_net_client_close(clients[i]);
    hd_net_server_close(narrow);
    void *item;
    while ((item = hd_queue_pop(small, 0)) != NULL)
        hd_net_news_free(item);
    hd_queue_free(small);
}

static void garbage_on_the_port_harms_nobody(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    char byte[64];
    while (read(fd, byte, sizeof(byte)) > 0) /* the server hangs up */
        continue;
    close(fd);
    struct hd_net_client *client = dial(1);
    ask(client, 0, 1, "still there?");
    answer(next_message("still there?"), "yes");
    expect_reply(1, 0, 1, "yes");
    hd_net_client_close(client);
}

static void a_taken_port_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct hd_net_server *second = NULL;
    char url[64];
    snprintf(url, sizeof(url), "127.0.0.1:%u", port);
    assert_hd_fails(
        hd_net_server_open("127.0.0.1", port, BYTES_MAX, NULL, news_queue, &second, NULL, &err),
        HD_E_BUSY, url);
    assert_null(second);
}

/* ---- addresses and the loopback rule ----------------------------------------------------------
 */

static void beyond_loopback_needs_tls_or_a_word(void **state)
{
    (void)state;
    struct hd_net_server *open = NULL;
    struct hd_net_client *client = NULL;
    assert_hd_fails(
        hd_net_server_open("0.0.0.0", 0, BYTES_MAX, NULL, news_queue, &open, NULL, &err), HD_E_AUTH,
        "--plaintext");
    assert_hd_fails(hd_net_client_open("192.0.2.1:7411", 1, 0, NULL, answer_queue, &client, &err),
                    HD_E_AUTH, "--plaintext");
    struct hd_net_security plain = {.plaintext = true};
    assert_hd_ok(
        hd_net_server_open("0.0.0.0", 0, BYTES_MAX, &plain, news_queue, &open, &port, &err));
    assert_true(port != 0);
    hd_net_server_close(open);
}

static void loopback_is_told_from_the_rest(void **state)
{
    (void)state;
    static const char *const near[] = {"127.0.0.1", "127.1.2.3", "::1", "localhost",
                                       "::ffff:127.0.0.1"};
    static const char *const far[] = {"0.0.0.0",
                                      "::",
                                      "10.0.0.1",
                                      "128.0.0.1",
                                      "example.org",
                                      "localhost.example.org",
                                      "127.0.0.1.example.org",
                                      ""};
    for (size_t i = 0; i < HD_COUNT(near); i++)
        assert_true(hd_net_is_loopback(near[i]));
    for (size_t i = 0; i < HD_COUNT(far); i++)
        assert_false(hd_net_is_loopback(far[i]));
}

/* Whoever listens on 127.0.0.1 is found by the name, also where that is ::1 first. */
static void localhost_is_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *address, *url;
    } rows[] = {{"localhost:7000", "tcp://127.0.0.1:7000"},
                {"tcp://localhost:7000", "tcp://127.0.0.1:7000"},
                {"127.0.0.1:7000", "tcp://127.0.0.1:7000"},
                {"[::1]:7000", "tcp://[::1]:7000"},
                {"localhost.example.org:7000", "tcp://localhost.example.org:7000"}};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_net_security plaintext = {.plaintext = true};
        struct hd_net_target target;
        assert_hd_ok(hd_net_target_parse(rows[i].address, &plaintext, &target, &err));
        assert_string_equal(target.url, rows[i].url);
    }
}

static void addresses_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port_default, port;
        enum hd_code code;
    } cases[] = {
        {"host:80", "host", 7411, 80, HD_OK},     {"host", "host", 7411, 7411, HD_OK},
        {"[::1]:80", "::1", 7411, 80, HD_OK},     {"[::1]", "::1", 7411, 7411, HD_OK},
        {"::1", "::1", 7411, 7411, HD_OK},        {"host", NULL, 0, 0, HD_E_INVALID},
        {"host:", NULL, 1, 0, HD_E_INVALID},      {"host:0", NULL, 1, 0, HD_E_INVALID},
        {"host:65536", NULL, 1, 0, HD_E_INVALID}, {":80", NULL, 1, 0, HD_E_INVALID},
        {"", NULL, 1, 0, HD_E_INVALID},           {"[::1", NULL, 1, 0, HD_E_INVALID},
        {"[::1]x", NULL, 1, 0, HD_E_INVALID},     {"tcp://h:1", NULL, 1, 0, HD_E_INVALID},
        {"a b:1", NULL, 1, 0, HD_E_INVALID},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        char host[64];
        uint16_t got = 0;
        enum hd_code code =
            hd_net_split(cases[i].text, cases[i].port_default, host, sizeof(host), &got, &err);
        if (code != cases[i].code)
            fail_msg("\"%s\": %s", cases[i].text, hd_code_name(code));
        if (code == HD_OK) {
            assert_string_equal(host, cases[i].host);
            assert_int_equal(got, cases[i].port);
        }
    }
}

static void hosts_and_interfaces_resolve(void **state)
{
    (void)state;
    char host[64];
    assert_hd_ok(hd_net_resolve(NULL, NULL, host, sizeof(host), &err));
    assert_string_equal(host, "127.0.0.1");
    assert_hd_ok(hd_net_resolve(NULL, "lo", host, sizeof(host), &err));
    assert_string_equal(host, "127.0.0.1");
    assert_hd_ok(hd_net_resolve("::1", "lo", host, sizeof(host), &err));
    assert_string_equal(host, "::1");
    assert_hd_ok(hd_net_resolve("*", NULL, host, sizeof(host), &err));
    assert_string_equal(host, "0.0.0.0");
    assert_hd_fails(hd_net_resolve(NULL, "no-such-nic", host, sizeof(host), &err), HD_E_NOTFOUND,
                    "no network interface no-such-nic");
}

/* ---- TLS ----------------------------------------------------------------------------------------
 */

static char *dir;

static void run(const char *const argv[])
{
    char *log = hd_path_join(dir, "log");
    pid_t pid;
    int status = -1;
    assert_hd_ok(hd_spawn(argv, log, false, &pid, &err));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s %s failed, see %s", argv[0], argv[1], log);
    hd_free(log);
}

/* A self-signed certificate for localhost: its own CA. */
static void make_certificate(const char *name, char **ret_cert, char **ret_key)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.cert", name);
    *ret_cert = hd_path_join(dir, file);
    snprintf(file, sizeof(file), "%s.key", name);
    *ret_key = hd_path_join(dir, file);
    const char *argv[] = {
        "openssl", "req",    "-x509", "-newkey",       "rsa:2048", "-nodes",
        "-days",   "2",      "-subj", "/CN=localhost", "-addext",  "subjectAltName=DNS:localhost",
        "-keyout", *ret_key, "-out",  *ret_cert,       NULL};
    run(argv);
}

static void tls_checks_both_ends(void **state)
{
    (void)state;
    char *openssl = NULL;
    if (hd_sibling_program("openssl", &openssl, &err) != HD_OK) {
        print_message("no openssl program: TLS not tested\n");
        skip();
    }
    hd_free(openssl);
    dir = test_dir_make();
    char *cert, *key, *other_cert, *other_key;
    make_certificate("own", &cert, &key);
    make_certificate("other", &other_cert, &other_key);
    struct hd_net_security own = {.cert_file = cert, .key_file = key, .ca_file = cert};
    struct hd_net_security anonymous = {.ca_file = cert};
    struct hd_net_security stranger = {
        .cert_file = other_cert, .key_file = other_key, .ca_file = cert};
    struct hd_net_security deceived = {.cert_file = cert, .key_file = key, .ca_file = other_cert};
    struct hd_net_security half = {.cert_file = cert};

    struct hd_net_server *secure = NULL;
    assert_hd_fails(
        hd_net_server_open("127.0.0.1", 0, BYTES_MAX, &half, news_queue, &secure, NULL, &err),
        HD_E_INVALID, "--cert and --key");
    assert_hd_fails(
        hd_net_server_open("127.0.0.1", 0, BYTES_MAX, &anonymous, news_queue, &secure, NULL, &err),
        HD_E_INVALID, "needs its own certificate");
    assert_hd_ok(
        hd_net_server_open("127.0.0.1", 0, BYTES_MAX, &own, news_queue, &secure, &port, &err));
    snprintf(address, sizeof(address), "tls+tcp://localhost:%u", port);

    struct hd_net_client *client = NULL;
    assert_hd_ok(hd_net_client_open(address, 1, 1, &own, answer_queue, &client, &err));
    ask(client, 0, 1, "secret");
    struct hd_net_news *news = next_message("secret");
    hd_net_reply(secure, news->address, "yes", 3);
    hd_net_news_free(news);
    expect_reply(1, 0, 1, "yes");
    hd_net_client_close(client);

    assert_hd_fails(hd_net_client_open(address, 1, 1, NULL, answer_queue, &client, &err),
                    HD_E_INVALID, "--ca");
    struct hd_buf out;
    hd_buf_init(&out, 100);
    assert_hd_fails(hd_net_call(address, &deceived, "x", 1, WAIT_MS, &out, &err), HD_E_AUTH,
                    "cannot reach");
    /* A client the server does not know, and one without TLS, get no answer and are not heard. */
    const struct hd_net_security *const refused[] = {&stranger, &anonymous};
    for (size_t i = 0; i < HD_COUNT(refused); i++)
        assert_int_not_equal(hd_net_call(address, refused[i], "x", 1, 1000, &out, &err), HD_OK);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    assert_int_not_equal(hd_net_call(address, NULL, "x", 1, 1000, &out, &err), HD_OK);
    while ((news = hd_queue_pop(news_queue, 0)) != NULL) {
        assert_int_equal(news->kind, HD_NET_CLOSED);
        hd_net_news_free(news);
    }
    hd_buf_release(&out);
    hd_net_server_close(secure);
    hd_free(cert);
    hd_free(key);
    hd_free(other_cert);
    hd_free(other_key);
    test_dir_remove(dir);
}

/* ---- credentials
 * --------------------------------------------------------------------------------- */

static void credentials_are_written_read_and_removed(void **state)
{
    (void)state;
    dir = test_dir_make();
    char nameserver[64] = "unchanged", token[HD_OS_TOKEN_SIZE];
    assert_hd_fails(
        hd_credentials_read(dir, "run", 1, 0, nameserver, sizeof(nameserver), token, &err),
        HD_E_NOTFOUND, "hyperdock-run.json");
    assert_hd_fails(
        hd_credentials_read(dir, "run", 3, 1, nameserver, sizeof(nameserver), token, &err),
        HD_E_NOTFOUND, "did not appear within 3 tries");
    assert_string_equal(nameserver, "unchanged");
    assert_hd_ok(hd_credentials_write(dir, "run", "h:1", "0123456789abcdef", &err));
    assert_hd_ok(
        hd_credentials_read(dir, "run", 1, 0, nameserver, sizeof(nameserver), token, &err));
    assert_string_equal(nameserver, "h:1");
    assert_string_equal(token, "0123456789abcdef");
    char *path = hd_path_join(dir, "hyperdock-run.json");
    char *text = test_file_read(path, NULL);
    assert_non_null(strstr(text, "\"run_id\": \"run\""));
    free(text);
    test_file_write(path, "{\"version\": 2}");
    assert_hd_fails(
        hd_credentials_read(dir, "run", 9, WAIT_MS, nameserver, sizeof(nameserver), token, &err),
        HD_E_VERSION, "version 1"); /* only a missing file is waited for */
    assert_hd_ok(hd_credentials_remove(dir, "run", &err));
    assert_hd_ok(hd_credentials_remove(dir, "run", &err));
    assert_false(hd_path_exists(path));
    assert_hd_fails(hd_credentials_write(dir, "../run", "h:1", "t", &err), HD_E_INVALID, "run id");
    hd_free(path);
    test_dir_remove(dir);
}

#define net_test(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        net_test(a_request_is_answered),
        net_test(an_empty_message_is_a_message),
        net_test(a_parked_request_does_not_hold_up_another_lane),
        net_test(many_clients_park_and_each_gets_its_own_answer),
        net_test(a_second_request_on_a_lane_abandons_the_first),
        net_test(an_ended_connection_is_noticed),
        net_test(a_deadline_ends_a_request),
        net_test(the_last_reply_leaves_before_the_server_closes),
        net_test(a_restarted_server_is_found_again),
        net_test(nobody_there_is_a_timeout_for_a_lane_and_an_error_at_once_for_a_call),
        net_test(an_oversize_message_ends_its_connection),
        net_test(a_full_queue_holds_requests_back_and_loses_none),
        net_test(garbage_on_the_port_harms_nobody),
        net_test(a_taken_port_is_an_error_that_names_it),
        net_test(beyond_loopback_needs_tls_or_a_word),
        cmocka_unit_test(loopback_is_told_from_the_rest),
        cmocka_unit_test(localhost_is_an_address),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(hosts_and_interfaces_resolve),
        net_test(tls_checks_both_ends),
        cmocka_unit_test(credentials_are_written_read_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
