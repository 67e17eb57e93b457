/* SPDX-License-Identifier: Apache-2.0 */
/* The driver on loopback with its real store: what a caller hears, and when. */
#include "testlib.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hd/driver.h>
#include <hd/store.h>
#include <desk.h>
#include <sqlite_faults.h>

#define CALL_MS 30000
#define TOKEN "0123456789abcdef0123456789abcdef"

struct master {
    char *dir;
    char path[512];
    struct hd_driver *driver;
    int stop[2];
    pthread_t thread;
    bool serving;
    struct hd_err err;
};

static struct master master;
static struct hd_arena *arena;
static struct hd_reply reply;
static struct hd_err err;

static void open_driver(void)
{
    struct hd_driver_options options = {.core = {.ping_ms = 5000, .no_files = true},
                                        .store_path = master.path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "m",
                                        .token = TOKEN};
    assert_hd_ok(hd_driver_open(&options, &master.driver, &err));
}

static void *serve(void *context)
{
    (void)context;
    static enum hd_code code;
    code = hd_driver_serve(master.driver, master.stop[0], &master.err);
    return &code;
}

static void start(void)
{
    open_driver();
    assert_hd_ok(hd_driver_listen(master.driver, &err));
    assert_int_equal(pipe(master.stop), 0);
    assert_int_equal(pthread_create(&master.thread, NULL, serve, NULL), 0);
    master.serving = true;
}

static enum hd_code stop(void)
{
    void *code = NULL;
    assert_int_equal(write(master.stop[1], "x", 1), 1);
    assert_int_equal(pthread_join(master.thread, &code), 0);
    master.serving = false;
    close(master.stop[0]);
    close(master.stop[1]);
    hd_driver_close(master.driver);
    master.driver = NULL;
    return *(enum hd_code *)code;
}

static int setup(void **state)
{
    (void)state;
    memset(&master, 0, sizeof(master));
    master.dir = test_dir_make();
    assert_true(hd_format(master.path, sizeof(master.path), "%s/state.db", master.dir));
    assert_hd_ok(hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sqlite_faults_after(-1, SQLITE_FAULT_IO);
    if (master.serving)
        (void)stop();
    hd_driver_close(master.driver);
    test_dir_remove(master.dir);
    hd_arena_free(arena);
    return 0;
}

static struct hd_request blank(enum hd_request_kind kind)
{
    struct hd_request request = {.kind = kind, .token = TOKEN, .worker = "", .run_id = "r"};
    return request;
}

static struct hd_request submission(void)
{
    struct hd_request request = blank(HD_REQUEST_SUBMIT);
    request.run_uid = 7;
    request.seed = 1;
    request.experiment_json = "{\"name\":\"r\",\"target\":{\"command\":[\"./t\"]},"
                              "\"space\":{\"rate\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                              "\"sampler\":{\"name\":\"random\"},\"stop\":{\"configs\":3}}";
    return request;
}

static enum hd_code send_bytes(const void *bytes, size_t size, int64_t timeout_ms)
{
    struct hd_buf in;
    hd_buf_init(&in, HD_MESSAGE_BYTES_MAX);
    enum hd_code code =
        hd_net_call(hd_driver_address(master.driver), NULL, bytes, size, timeout_ms, &in, &err);
    if (code == HD_OK)
        assert_hd_ok(hd_reply_decode(in.data, in.size, arena, &reply, &err));
    hd_buf_release(&in);
    return code;
}

static enum hd_code call(const struct hd_request *request, int64_t timeout_ms)
{
    struct hd_buf out;
    hd_buf_init(&out, HD_MESSAGE_BYTES_MAX);
    assert_hd_ok(hd_request_encode(request, &out, &err));
    enum hd_code code = send_bytes(out.data, out.size, timeout_ms);
    hd_buf_release(&out);
    return code;
}

static void assert_reply(const struct hd_request *request, enum hd_reply_kind kind)
{
    assert_hd_ok(call(request, CALL_MS));
    if (reply.kind != kind)
        fail_msg("%s instead of %s: %s", hd_reply_kind_name(reply.kind), hd_reply_kind_name(kind),
                 reply.text);
}

static void assert_refused(const struct hd_request *request, enum hd_code code, const char *part)
{
    assert_reply(request, HD_REPLY_REFUSED);
    assert_string_equal(hd_code_name(reply.code), hd_code_name(code));
    if (strstr(reply.text, part) == NULL)
        fail_msg("\"%s\" does not hold \"%s\"", reply.text, part);
}

static void only_who_knows_the_token_is_heard(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "wrong", TOKEN "0", "0123456789abcdef"};
    start();
    for (size_t i = 0; i < HD_COUNT(tokens); i++) {
        struct hd_request request = submission();
        request.token = tokens[i];
        assert_refused(&request, HD_E_AUTH, "wrong token");
        request = blank(HD_REQUEST_VIEW);
        request.view = "runs";
        request.token = tokens[i];
        assert_refused(&request, HD_E_AUTH, "wrong token");
    }
    assert_int_equal(stop(), HD_OK);
    open_driver();
    assert_int_equal(hd_core_run_count(hd_driver_core(master.driver)), 0);
}

static void nonsense_is_answered_and_forgotten(void **state)
{
    (void)state;
    static const char *const messages[] = {"x", "\x80", "\xdf\xff\xff\xff\xff", "hello"};
    start();
    for (size_t i = 0; i < HD_COUNT(messages); i++) {
        assert_hd_ok(send_bytes(messages[i], strlen(messages[i]), CALL_MS));
        assert_int_equal(reply.kind, HD_REPLY_REFUSED);
    }
    struct hd_request request = submission();
    assert_reply(&request, HD_REPLY_OK);
}

/* A worker gets a sampled config, and what it reports survives the master. */
static void a_job_goes_out_and_its_result_stays(void **state)
{
    (void)state;
    start();
    struct hd_request request = submission();
    assert_reply(&request, HD_REPLY_OK);
    request = blank(HD_REQUEST_HELLO);
    request.worker = "w";
    request.incarnation = request.sequence = 1;
    request.slots = 1;
    assert_reply(&request, HD_REPLY_OK);
    assert_true(reply.ping_ms == 5000);
    request.kind = HD_REQUEST_LEASE;
    request.lane = HD_LANE_LEASE;
    request.wait_ms = 20000;
    assert_reply(&request, HD_REPLY_LEASE);
    assert_non_null(strstr(reply.lease.params_json, "\"rate\""));
    assert_non_null(strstr(reply.lease.target_json, "./t"));
    struct hd_attempt_ref attempt = reply.lease.attempt;
    request.kind = HD_REQUEST_REPORT;
    request.lane = HD_LANE_REPORT;
    request.result = (struct hd_result){.attempt = attempt, .outcome = HD_OUTCOME_OK, .loss = 0.5};
    assert_reply(&request, HD_REPLY_OK);
    assert_int_equal(reply.verdict, HD_VERDICT_ACCEPTED);
    assert_int_equal(stop(), HD_OK);
    start();
    struct hd_job_view job;
    hd_core_view_job(hd_driver_core(master.driver), 0, attempt.job, &job);
    assert_true(job.closed && job.loss == 0.5);
}

static void people_read_a_live_master(void **state)
{
    (void)state;
    start();
    struct hd_request request = submission();
    assert_reply(&request, HD_REPLY_OK);
    request = blank(HD_REQUEST_VIEW);
    request.view = "status";
    assert_reply(&request, HD_REPLY_VIEW);
    assert_non_null(strstr(reply.view_json, "\"active\""));
    request.view = "nonsense";
    assert_refused(&request, HD_E_INVALID, "nonsense");
    request.view = "status";
    request.view_json = "[1";
    assert_refused(&request, HD_E_INVALID, "");
    request.view_json = "";
    request.run_id = "other";
    assert_refused(&request, HD_E_NOTFOUND, "other");
}

/* While somebody else writes to the file nobody is answered; afterwards everybody is. */
static void nothing_is_said_before_it_is_kept(void **state)
{
    (void)state;
    start();
    sqlite3 *other = NULL;
    assert_int_equal(sqlite3_open(master.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct hd_request request = submission();
    assert_int_equal(call(&request, 1500), HD_E_TIMEOUT);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_reply(&request, HD_REPLY_OK); /* the resend: done by now, and done once */
    assert_int_equal(stop(), HD_OK);
    open_driver();
    assert_int_equal(hd_core_run_count(hd_driver_core(master.driver)), 1);
}

/* A disk that fails ends the process; what it then finds is what was acknowledged, or more. */
static void a_failed_disk_is_never_an_acknowledgement(void **state)
{
    (void)state;
    struct hd_request request = submission();
    enum hd_code code = HD_E_IO;
    for (int64_t operation = 0; code != HD_OK; operation++) {
        assert_true(operation < 1000);
        open_driver();
        bool kept = hd_core_run_count(hd_driver_core(master.driver)) > 0;
        sqlite_faults_after(operation, SQLITE_FAULT_IO);
        code = hd_driver_request(master.driver, &request, &err);
        sqlite_faults_after(-1, SQLITE_FAULT_IO);
        assert_true(code == HD_OK || code == HD_E_IO);
        hd_driver_close(master.driver);
        master.driver = NULL;
        if (kept)
            break;
    }
    open_driver();
    assert_int_equal(hd_core_run_count(hd_driver_core(master.driver)), 1);
}

/* Files are for workers; a reader sees what there is; to have something sent takes an operator. */
static void a_view_is_for_its_role(void **state)
{
    (void)state;
    const char *workers[] = {"image", "code", "checkpoint", "needs", "over", "home"};
    for (size_t i = 0; i < HD_COUNT(workers); i++)
        assert_int_equal(hd_desk_role(workers[i]), HD_ROLE_WORKER);
    assert_int_equal(hd_desk_role("fetch"), HD_ROLE_READER);
    assert_int_equal(hd_desk_role("bring"), HD_ROLE_OPERATOR);
    assert_int_equal(hd_desk_role("best"), HD_ROLE_READER);
    assert_int_equal(hd_desk_role(""), HD_ROLE_READER);
}

static int install(void **state)
{
    (void)state;
    sqlite_faults_install();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_who_knows_the_token_is_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_is_answered_and_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_goes_out_and_its_result_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(people_read_a_live_master, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_said_before_it_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_disk_is_never_an_acknowledgement, setup, teardown),
        cmocka_unit_test(a_view_is_for_its_role),
    };
    return cmocka_run_group_tests_name("driver", tests, install, NULL);
}
