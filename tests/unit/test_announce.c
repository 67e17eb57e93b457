/* SPDX-License-Identifier: Apache-2.0 */
/* Which facts people are told of, in a live master and after a restart. */
#include "testlib.h"

#include <hd/driver.h>
#include <math.h>
#include <sink.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN "0123456789abcdef0123456789abcdef"

static struct hd_err err;
static char *dir;
static char path[512], positions[544];
static struct sink *sink;
static struct hd_notice_settings *settings;
static struct hd_driver *driver;
static int64_t flush_ms;

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/state.db", dir));
    assert_true(hd_format(positions, sizeof(positions), "%s.notices.json", path));
    flush_ms = 0;
    sink = sink_open_http();
    char text[256];
    (void)hd_format(text, sizeof(text),
                    "channels: {c: {type: webhook, url: \"http://127.0.0.1:%u/\"}}\n"
                    "incumbent_every: 0\n",
                    sink_port(sink));
    assert_hd_ok(hd_notice_parse(text, strlen(text), "notify.yaml", &settings, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hd_driver_close(driver);
    driver = NULL;
    hd_notice_settings_free(settings);
    settings = NULL;
    sink_close(sink);
    test_dir_remove(dir);
    return 0;
}

static bool off; /* --notify none */

static void open_driver(void)
{
    struct hd_driver_options options = {.core = {.ping_ms = 5000},
                                        .store_path = path,
                                        .host = "127.0.0.1",
                                        .nameserver = "",
                                        .master_id = "m",
                                        .token = TOKEN,
                                        .notices = off ? NULL : settings,
                                        .notices_off = off,
                                        .notice_flush_ms = flush_ms};
    assert_hd_ok(hd_driver_open(&options, &driver, &err));
}

/* Everything that waits has been told when this returns. */
static void close_driver(void)
{
    hd_driver_close(driver);
    driver = NULL;
}

static void assert_message(size_t index, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(sink_message(sink, index), parts[i]) == NULL)
            fail_msg("message %zu: no %s in\n%s", index, parts[i], sink_message(sink, index));
}

#define ASSERT_MESSAGE(index, ...)                                                                 \
    do {                                                                                           \
        static const char *const parts_[] = {__VA_ARGS__};                                         \
        assert_message(index, parts_, HD_COUNT(parts_));                                           \
    } while (0)

/* ---- a store made by hand
 * ------------------------------------------------------------------------ */

struct pen {
    struct hd_store *store;
    int64_t wall_ms;
};

static void put(struct pen *pen, struct hd_fact fact)
{
    fact.seq = hd_store_last_seq(pen->store) + 1;
    fact.wall_ms = pen->wall_ms += 1000;
    assert_hd_ok(hd_store_append(pen->store, &fact, 1, &err));
}

static void put_lease(struct pen *pen, uint32_t config, uint32_t attempt, const char *worker)
{
    put(pen, (struct hd_fact){.kind = HD_FACT_ATTEMPT_LEASED,
                              .as.attempt_leased = {.job = config,
                                                    .attempt = attempt,
                                                    .worker = worker,
                                                    .incarnation = 1,
                                                    .sequence = 10 * config + attempt,
                                                    .root = "",
                                                    .directory = "",
                                                    .budget_previous = NAN}});
}

static void put_end(struct pen *pen, uint32_t config, uint32_t attempt, const char *worker,
                    double loss)
{
    bool lost = !isfinite(loss);
    put(pen,
        (struct hd_fact){.kind = HD_FACT_ATTEMPT_ENDED,
                         .as.attempt_ended = {.job = config,
                                              .attempt = attempt,
                                              .outcome = lost ? HD_OUTCOME_INFRA : HD_OUTCOME_OK,
                                              .requeued = lost,
                                              .charged = lost,
                                              .loss = loss,
                                              .by_report = !lost,
                                              .worker = worker,
                                              .incarnation = 1,
                                              .sequence = 10 * config + attempt,
                                              .exit_code = lost ? -1 : 0,
                                              .message = lost ? "the lease expired" : "",
                                              .info_json = "",
                                              .root = "",
                                              .directory = "",
                                              .label = ""}});
}

static void put_config(struct pen *pen, uint32_t config, double value)
{
    const double values[] = {value};
    put(pen, (struct hd_fact){.kind = HD_FACT_CONFIG_PROPOSED,
                              .as.config_proposed = {.config = config,
                                                     .id = {config, 0, 0},
                                                     .values = values,
                                                     .value_count = 1,
                                                     .params_json = "{}",
                                                     .info = {.sampler = "random"}}});
    put(pen, (struct hd_fact){.kind = HD_FACT_JOB_QUEUED,
                              .as.job_queued = {.job = config,
                                                .config = config,
                                                .iteration = config,
                                                .budget = 1,
                                                .budget_previous = NAN}});
}

/* Three configs, each better than the one before; the worker "attic" is lost with the second, gets
 * it again, and is lost with it again. */
static void write_story(void)
{
    struct pen pen = {.wall_ms = INT64_C(1767225600000)};
    assert_hd_ok(hd_store_open_sqlite(path, &pen.store, &err));
    put(&pen,
        (struct hd_fact){.kind = HD_FACT_RUN_CREATED,
                         .as.run_created = {.run_id = "r",
                                            .run_uid = 7,
                                            .seed = 1,
                                            .experiment_json =
                                                "{\"name\":\"r\",\"target\":{\"command\":["
                                                "\"./t\"]},\"objective\":{\"name\":\"score\","
                                                "\"direction\":\"maximize\"},\"space\":{\"x\":{"
                                                "\"type\":\"float\",\"low\":0,\"high\":1}},"
                                                "\"sampler\":{\"name\":\"random\"},"
                                                "\"iteration_generator\":{\"name\":\"full\"},"
                                                "\"stop\":{\"configs\":3}}"}});
    put_config(&pen, 0, 0.5);
    put_lease(&pen, 0, 1, "box");
    put_end(&pen, 0, 1, "box", -0.5);
    put_config(&pen, 1, 0.25);
    put_lease(&pen, 1, 1, "attic");
    put_end(&pen, 1, 1, "attic", NAN);
    put_lease(&pen, 1, 2, "attic");
    put_end(&pen, 1, 2, "attic", NAN);
    put_lease(&pen, 1, 3, "box");
    put_end(&pen, 1, 3, "box", -0.75);
    put(&pen, (struct hd_fact){.kind = HD_FACT_WORKER_STATE,
                               .run = HD_RUN_NONE,
                               .as.worker_state = {"cellar", HD_WORKER_QUARANTINED, "it fails"}});
    put_config(&pen, 2, 0.125);
    put_lease(&pen, 2, 1, "box");
    put_end(&pen, 2, 1, "box", -0.875);
    put(&pen, (struct hd_fact){.kind = HD_FACT_RUN_STATE,
                               .as.run_state = {HD_RUN_FINISHED, "3 configs done"}});
    hd_store_close(pen.store);
}

/* What its facts say and nobody was told, the next life of a master tells, once. */
static void a_restart_tells_what_was_not_told(void **state)
{
    (void)state;
    write_story();
    test_file_write(positions, "{\"c\":0}");
    open_driver();
    close_driver();
    assert_int_equal(sink_count(sink), 4);
    for (size_t i = 0; i < 2; i++)
        ASSERT_MESSAGE(i, "X-Hyperdock-Event: worker-lost", "\"title\":\"worker attic lost\"",
                       "job 1 (attempt ", ": the lease expired; it is queued again",
                       "\"worker\":\"attic\"", "\"run\":\"r\"");
    ASSERT_MESSAGE(2, "X-Hyperdock-Event: worker-lost", "\"title\":\"worker cellar quarantined\"",
                   "it fails\\nhd workers resume cellar lets it work again");
    ASSERT_MESSAGE(
        3, "X-Hyperdock-Event: finished", "\"title\":\"run r finished\"",
        "3 configs done\\n3 jobs, 3 ok, 0 failed\\nbest: score 0.875 at budget 1 (job 2): ",
        "\"jobs\":{\"total\":3,\"ok\":3,\"failed\":0}",
        "\"best\":{\"job\":2,\"config\":2,\"budget\":1,\"loss\":-0.875,\"objective\":"
        "\"score\",\"value\":0.875,\"params\":{\"x\":0.125}}");
    open_driver();
    close_driver();
    assert_int_equal(sink_count(sink), 4);
}

/* From a position in the middle: the second best config, which the third one follows with the end.
 */
static void a_position_is_a_fact(void **state)
{
    (void)state;
    write_story();
    test_file_write(positions, "{\"c\":15}");
    open_driver();
    close_driver();
    assert_int_equal(sink_count(sink), 1);
    ASSERT_MESSAGE(0, "\"title\":\"run r finished\"",
                   "X-Hyperdock-Id: 0000000000000007-19-finished");
}

/* A state directory that is served with channels for the first time tells no old stories. */
static void history_is_not_news(void **state)
{
    (void)state;
    write_story();
    open_driver();
    close_driver();
    assert_int_equal(sink_count(sink), 0);
}

static void submit(const char *run_id, uint64_t uid, const char *notify)
{
    char json[512];
    assert_true(hd_format(json, sizeof(json),
                          "{\"name\":\"r\",\"target\":{\"command\":[\"./t\"]},%s"
                          "\"space\":{\"rate\":{\"type\":\"float\",\"low\":0,\"high\":1}},"
                          "\"sampler\":{\"name\":\"random\"},\"stop\":{\"configs\":3}}",
                          notify));
    struct hd_request request = {.kind = HD_REQUEST_SUBMIT,
                                 .token = TOKEN,
                                 .worker = "",
                                 .run_id = run_id,
                                 .run_uid = uid,
                                 .seed = 1,
                                 .experiment_json = json};
    assert_hd_ok(hd_driver_request(driver, &request, &err));
}

static void command(const char *run_id, enum hd_command_op op)
{
    struct hd_request request = {.kind = HD_REQUEST_COMMAND,
                                 .token = TOKEN,
                                 .worker = "",
                                 .run_id = run_id,
                                 .command = op,
                                 .reason = "a\x1b[2Jb"};
    assert_hd_ok(hd_driver_request(driver, &request, &err));
}

/* A person who pauses a run need not be told; a run that is over is told, its reason made safe. */
static void what_a_person_does_is_no_failure(void **state)
{
    (void)state;
    open_driver();
    submit("one", 1, "");
    command("one", HD_COMMAND_PAUSE_RUN);
    command("one", HD_COMMAND_RESUME_RUN);
    command("one", HD_COMMAND_CANCEL_RUN);
    close_driver();
    assert_int_equal(sink_count(sink), 1);
    ASSERT_MESSAGE(0, "X-Hyperdock-Event: finished", "\"title\":\"run one cancelled\"",
                   "\"state\":\"cancelled\"", "0 jobs, 0 ok, 0 failed");
    assert_null(strchr(strstr(sink_message(sink, 0), "\"text\""), '\x1b'));
}

/* The experiment chooses among the channels, and its events go before theirs. */
static void the_experiment_chooses(void **state)
{
    (void)state;
    static const char *const quiet[] = {"\"notify\":{\"to\":[]},", "\"notify\":{\"to\":[\"x\"]},",
                                        "\"notify\":{\"on\":[\"failed\"]},"};
    open_driver();
    for (size_t i = 0; i < HD_COUNT(quiet); i++) {
        char run_id[8];
        (void)hd_format(run_id, sizeof(run_id), "q%zu", i);
        submit(run_id, i + 1, quiet[i]);
        command(run_id, HD_COMMAND_CANCEL_RUN);
    }
    submit("loud", 9, "\"notify\":{\"to\":[\"c\"],\"on\":[\"finished\"]},");
    command("loud", HD_COMMAND_CANCEL_RUN);
    close_driver();
    assert_int_equal(sink_count(sink), 1);
    ASSERT_MESSAGE(0, "\"title\":\"run loud cancelled\"");
}

/* A service that is gone or hangs delays nobody: the run is created and cancelled beside it. */
static void a_service_that_hangs_holds_nobody(void **state)
{
    (void)state;
    flush_ms = 1;
    sink_answer(sink, -1, "");
    open_driver();
    submit("one", 1, "");
    command("one", HD_COMMAND_CANCEL_RUN);
    sink_wait(sink, 1); /* it is being told, and hangs */
    submit("two", 2, "");
    command("two", HD_COMMAND_CANCEL_RUN);
    struct hd_run_view run;
    hd_core_view_run(hd_driver_core(driver), 1, &run);
    assert_int_equal(run.state, HD_RUN_CANCELLED);
    sink_close(sink); /* which ends the connection; the rest cannot be told */
    sink = NULL;
    char *kept = test_file_read(positions, NULL);
    assert_non_null(strstr(kept, "{\"c\":0}"));
    free(kept);
}

/* Whoever switches notices off for a while does not hear of it afterwards. */
static void what_happened_in_silence_is_not_told(void **state)
{
    (void)state;
    open_driver();
    close_driver();
    off = true;
    open_driver();
    submit("quiet", 1, "");
    command("quiet", HD_COMMAND_CANCEL_RUN);
    close_driver();
    off = false;
    open_driver();
    submit("loud", 2, "");
    command("loud", HD_COMMAND_CANCEL_RUN);
    close_driver();
    assert_true(sink_count(sink) > 0);
    for (size_t i = 0; i < sink_count(sink); i++)
        assert_null(strstr(sink_message(sink, i), "quiet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_restart_tells_what_was_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_position_is_a_fact, setup, teardown),
        cmocka_unit_test_setup_teardown(history_is_not_news, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_person_does_is_no_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(what_happened_in_silence_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_experiment_chooses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_service_that_hangs_holds_nobody, setup, teardown),
    };
    return cmocka_run_group_tests_name("announce", tests, NULL, NULL);
}
