/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's recorded answers become values, and what we ask for says exactly what is meant. */
#include "testlib.h"

#include "docker_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "ef60441a281ddce178002e01685ca0fa65586f1f70999b8cca56c2a172bd7c7d"
#define LABELS                                                                                     \
    "{\"hyperdock.run_uid\":\"abc123\",\"hyperdock.job\":\"7\",\"hyperdock.attempt\":\"2\","       \
    "\"hyperdock.worker\":\"host-0\",\"hyperdock.run_dir\":\"/root/run/7-2\"}"

/* ---- containers ----------------------------------------------------------------------------- */

/* An exited container gives its code, memory flag, times and our labels. */
static const struct hd_docker_place somebody = {.user = "1000:1000"}, anybody = {.user = ""};

static void test_inspect_exited(void **state)
{
    (void)state;
    static const char text[] =
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"exited\",\"Running\":false,"
        "\"OOMKilled\":true,\"ExitCode\":137,\"Error\":\"\","
        "\"StartedAt\":\"2026-11-21T02:07:06.822182543Z\","
        "\"FinishedAt\":\"2026-11-21T02:07:06.821052195Z\"},"
        "\"Config\":{\"Labels\":" LABELS "}}";
    struct hd_docker_container container;
    struct hd_err err;
    assert_hd_ok(hd_docker_parse_inspect(text, strlen(text), &container, &err));
    assert_string_equal(container.id, ID);
    assert_int_equal(container.status, HD_DOCKER_EXITED);
    assert_int_equal(container.exit_code, 137);
    assert_true(container.oom_killed);
    assert_true(container.labelled);
    assert_true(container.attempt.run_uid == 0xabc123);
    assert_int_equal(container.attempt.job, 7);
    assert_int_equal(container.attempt.attempt, 2);
    assert_string_equal(container.worker, "host-0");
    assert_string_equal(container.run_dir, "/root/run/7-2");
    /* The recorded end is a millisecond before the start. */
    assert_int_equal(container.started_wall_ms, container.finished_wall_ms);
}

/* A refused start is a created container with an error and the zero date. */
static void test_inspect_refused_start(void **state)
{
    (void)state;
    static const char text[] =
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"created\",\"ExitCode\":128,"
        "\"Error\":\"unable to find user bob\",\"StartedAt\":\"0001-01-01T00:00:00Z\","
        "\"FinishedAt\":\"0001-01-01T00:00:00Z\"},\"Config\":{\"Labels\":null}}";
    struct hd_docker_container container;
    struct hd_err err;
    assert_hd_ok(hd_docker_parse_inspect(text, strlen(text), &container, &err));
    assert_int_equal(container.status, HD_DOCKER_CREATED);
    assert_string_equal(container.error, "unable to find user bob");
    assert_int_equal(container.started_wall_ms, 0);
    assert_false(container.labelled);
}

/* Answers that lack what is needed, or are no answers at all, are refused and change nothing. */
static void test_bad_answers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"Id\":\"../x\",\"State\":{\"Status\":\"exited\",\"ExitCode\":0}}",
        "{\"Id\":\"" ID "\"}",
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"exited\"}}",
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":3,\"ExitCode\":0}}",
        "{\"Id\":\"" ID "\",\"State\":{\"Status\":\"exited\",\"ExitCode\":99999999999}}",
    };
    for (size_t i = 0; i < HD_COUNT(bad); i++) {
        struct hd_docker_container container = {.exit_code = 77};
        struct hd_err err;
        assert_int_not_equal(hd_docker_parse_inspect(bad[i], strlen(bad[i]), &container, &err),
                             HD_OK);
        assert_int_equal(container.exit_code, 77);
        int exit_code = 5;
        assert_int_not_equal(hd_docker_parse_wait(bad[i], strlen(bad[i]), &exit_code, &err), HD_OK);
        assert_int_equal(exit_code, 5);
    }
}

/* The list holds our containers alone, with what is running told from what has ended. */
static void test_list(void **state)
{
    (void)state;
    static const char text[] =
        "[{\"Id\":\"" ID "\",\"State\":\"exited\",\"Labels\":" LABELS "},"
        "{\"Id\":\"" ID "\",\"State\":\"paused\",\"Labels\":" LABELS "},"
        "{\"Id\":\"" ID "\",\"State\":\"running\",\"Labels\":{}},"
        "{\"Id\":\"" ID "\",\"State\":\"running\",\"Labels\":{\"hyperdock.job\":\"x\"}}]";
    static struct hd_engine_found found[2];
    size_t count = 0;
    struct hd_err err;
    assert_hd_ok(hd_docker_parse_list(text, strlen(text), found, 2, &count, &err));
    assert_int_equal(count, 2);
    assert_false(found[0].running);
    assert_true(found[1].running);
    assert_int_equal(found[0].attempt.job, 7);
    assert_string_equal(found[1].run_dir, "/root/run/7-2");
    assert_hd_fails(hd_docker_parse_list(text, strlen(text), found, 1, &count, &err), HD_E_LIMIT,
                    "more than 1");
}

/* wait gives the exit code, or what kept the engine from waiting. */
static void test_wait(void **state)
{
    (void)state;
    int exit_code = -1;
    struct hd_err err;
    static const char good[] = "{\"Error\":null,\"StatusCode\":143}\n";
    assert_hd_ok(hd_docker_parse_wait(good, strlen(good), &exit_code, &err));
    assert_int_equal(exit_code, 143);
    static const char bad[] = "{\"Error\":{\"Message\":\"lost it\"},\"StatusCode\":0}";
    assert_hd_fails(hd_docker_parse_wait(bad, strlen(bad), &exit_code, &err), HD_E_IO, "lost it");
    assert_int_equal(exit_code, 143);
}

static void test_info(void **state)
{
    (void)state;
    struct hd_docker_info info = {.no_memory = true};
    struct hd_err err;
    static const char text[] = "{\"SecurityOptions\":[\"name=seccomp,profile=default\","
                               "\"name=rootless\"],\"MemoryLimit\":false}";
    static const char ordinary[] = "{\"MemoryLimit\":true}";
    assert_hd_ok(hd_docker_parse_info(text, strlen(text), &info, &err));
    assert_true(info.rootless && info.no_memory);
    assert_hd_ok(hd_docker_parse_info(ordinary, strlen(ordinary), &info, &err));
    assert_false(info.rootless || info.no_memory);
    assert_hd_ok(hd_docker_parse_info("{}", 2, &info, &err));
    assert_false(info.rootless || info.no_memory);
}

/* Only a label that says so does; many images have none at all. */
static void test_image_warm(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool warm;
    } rows[] = {{"{\"Config\":{\"Labels\":{\"hyperdock.warm\":\"1\"}}}", true},
                {"{\"Config\":{\"Labels\":{\"a\":\"b\",\"hyperdock.warm\":\"true\"}}}", true},
                {"{\"Config\":{\"Labels\":{\"hyperdock.warm\":\"0\"}}}", false},
                {"{\"Config\":{\"Labels\":{\"hyperdock.warm\":1}}}", false},
                {"{\"Config\":{\"Labels\":{}}}", false},
                {"{\"Config\":{\"Labels\":null}}", false},
                {"{\"Config\":null}", false},
                {"{}", false}};
    struct hd_err err;
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        bool warm = !rows[i].warm;
        assert_hd_ok(hd_docker_parse_image_warm(rows[i].text, strlen(rows[i].text), &warm, &err));
        assert_int_equal(warm, rows[i].warm);
    }
    bool warm = true;
    assert_hd_fails(hd_docker_parse_image_warm("[]", 2, &warm, &err), HD_E_INVALID, "an image");
    assert_true(warm);
}

/* The labels of a container that was made ahead name no job; its name does, once it has one. */
static void test_ahead(void **state)
{
    (void)state;
    static const struct {
        const char *name, *number;
        bool labelled, has_job;
    } rows[] = {
        {"/hyperdock-0000000000000abc-7-1", "0f", true, true},
        {"/hyperdock-ahead-000000000000000f", "0f", false, false},
        {"/hyperdock-0000000000000abc-7", "0f", false, false},
        {"/hyperdock-0000000000000abc-7-1x", "0f", false, false},
        {"/hyperdock-0000000000000abc-99999999999-1", "0f", false, false},
        {"/hyperdock-0000000000000abcd-7-1", "0f", false, false},
        {"hyperdock-abc-7-1", "0f", false, false},
        {"/hyperdock-abc-7-1", "../..", true, false}, /* no number, so not made ahead */
    };
    static const char labels[] =
        "{\"hyperdock.worker\":\"w\",\"hyperdock.run_dir\":\"/r\",\"hyperdock.run_uid\":\"1\","
        "\"hyperdock.job\":\"0\",\"hyperdock.attempt\":\"0\",\"hyperdock.ahead\":\"%s\"}";
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[1024], its_labels[512];
        struct hd_docker_container container;
        struct hd_engine_found found[2];
        struct hd_docker_found_ahead aheads[2];
        size_t count = 9, expected = hd_streq(rows[i].number, "0f") ? 1 : 0;
        struct hd_err err;
        snprintf(its_labels, sizeof(its_labels), labels, rows[i].number);
        snprintf(text, sizeof(text),
                 "{\"Id\":\"ab\",\"Name\":\"%s\",\"State\":{\"Status\":\"running\",\"ExitCode\":0},"
                 "\"Config\":{\"Labels\":%s}}",
                 rows[i].name, its_labels);
        assert_hd_ok(hd_docker_parse_inspect(text, strlen(text), &container, &err));
        assert_int_equal(container.labelled, rows[i].labelled);
        if (rows[i].has_job)
            assert_true(container.attempt.run_uid == 0xabc && container.attempt.job == 7 &&
                        container.attempt.attempt == 1);
        assert_string_equal(container.ahead, expected == 1 ? "0f" : "");
        snprintf(text, sizeof(text),
                 "[{\"Id\":\"ab\",\"Names\":[\"%s\"],\"State\":\"running\",\"Labels\":%s}]",
                 rows[i].name, its_labels);
        assert_hd_ok(hd_docker_parse_list(text, strlen(text), found, 2, &count, &err));
        assert_int_equal(count, rows[i].labelled ? 1 : 0);
        assert_hd_ok(hd_docker_parse_aheads(text, strlen(text), aheads, 2, &count, &err));
        assert_int_equal(count, expected);
        if (expected == 1)
            assert_int_equal(aheads[0].has_job, rows[i].has_job);
    }
}

/* As an engine puts them together: the job's words take the place of the image's command, never of
 * its entry point. */
static void test_image_words(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        bool with_words;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"{\"Entrypoint\":[\"/e\",\"x\"],\"Cmd\":[\"c\"]}", false, "/e x c "},
        {"{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]}", true, "/e one two "},
        {"{\"Entrypoint\":null,\"Cmd\":[\"c\"]}", false, "c "},
        {"{\"Cmd\":[\"c\"]}", true, "one two "},
        {"{\"Entrypoint\":null,\"Cmd\":null}", false, NULL},
        {"{\"Entrypoint\":\"/e\"}", true, NULL},
        {"{\"Cmd\":[3]}", false, NULL},
        {"{}", false, NULL},
    };
    static char one[] = "one", two[] = "two";
    char *argv[] = {one, two, NULL};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[256], all[64] = "";
        struct hd_arena *arena = NULL;
        char *const *words = NULL;
        struct hd_err err;
        assert_hd_ok(hd_arena_new(4096, &arena, &err));
        snprintf(text, sizeof(text), "{\"Config\":%s}", rows[i].config);
        enum hd_code code = hd_docker_parse_image_words(
            text, strlen(text), rows[i].with_words ? argv : NULL, arena, &words, &err);
        assert_int_equal(code, rows[i].expected != NULL ? HD_OK : HD_E_INVALID);
        for (size_t k = 0; code == HD_OK && words[k] != NULL; k++)
            (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", words[k]);
        assert_string_equal(all, rows[i].expected != NULL ? rows[i].expected : "");
        hd_arena_free(arena);
    }
}

/* The event stream is read line by line; a broken line hides nothing after it. */
static void test_events(void **state)
{
    (void)state;
    static const char oom[] = "{\"Action\":\"die\"}\n{broken\n{\"Type\":\"container\","
                              "\"Action\":\"oom\"}\n";
    static const char none[] = "{\"Action\":\"die\",\"Actor\":{\"Attributes\":{\"oom\":\"1\"}}}";
    assert_true(hd_docker_events_have_oom(oom, strlen(oom)));
    assert_false(hd_docker_events_have_oom(none, strlen(none)));
    assert_false(hd_docker_events_have_oom("", 0));
}

/* ---- versions, times, names ----------------------------------------------------------------- */

static void test_versions(void **state)
{
    (void)state;
    int minor = 0;
    assert_true(hd_docker_parse_version("1.41", &minor));
    assert_int_equal(minor, 41);
    assert_false(hd_docker_parse_version("2.0", &minor));
    assert_false(hd_docker_parse_version("1.", &minor));
    assert_false(hd_docker_parse_version("", &minor));
    assert_true(hd_docker_parse_version_floor(
        "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade",
        &minor));
    assert_int_equal(minor, 44);
    assert_true(hd_docker_parse_version_floor(
        "client version 1.2 is too old. Minimum supported API version is 1.12.", &minor));
    assert_int_equal(minor, 12);
    assert_false(hd_docker_parse_version_floor(
        "client version 1.44 is too new. Maximum supported API version is 1.41", &minor));
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t wall_ms; /* -1: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T02:07:31.150370958Z", INT64_C(1795226851150)},
        {"2000-02-29T12:00:00.5+02:00", INT64_C(951818400500)},
        {"0001-01-01T00:00:00Z", 0},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-11-21", -1},
        {"2026-11-21T02:07:31.15", -1},
        {"", -1},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        int64_t wall_ms = -1;
        bool good = hd_docker_parse_time(rows[i].text, &wall_ms);
        assert_int_equal(good, rows[i].wall_ms >= 0);
        if (good && wall_ms != rows[i].wall_ms)
            fail_msg("%s gives %lld", rows[i].text, (long long)wall_ms);
    }
    char since[64];
    assert_true(hd_docker_since_text("2026-11-21T02:07:31.000370958Z", since, sizeof(since)));
    assert_string_equal(since, "1795226851.000370958");
}

/* A pull never asks for an empty tag. */
static void test_split_image(void **state)
{
    (void)state;
    static const struct {
        const char *image, *repository, *tag;
    } rows[] = {
        {"digits", "digits", "latest"},
        {"hyperdock/digits:1", "hyperdock/digits", "1"},
        {"localhost:5000/digits", "localhost:5000/digits", "latest"},
        {"localhost:5000/digits:v2", "localhost:5000/digits", "v2"},
        {"a/b@sha256:0123", "a/b", "sha256:0123"},
        {"a/b:3@sha256:0123", "a/b", "sha256:0123"},
        {"a/b:", "a/b", "latest"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char repository[256], tag[128];
        assert_true(
            hd_docker_split_image(rows[i].image, repository, sizeof(repository), tag, sizeof(tag)));
        assert_string_equal(repository, rows[i].repository);
        assert_string_equal(tag, rows[i].tag);
    }
    char small[4], tag[128];
    assert_false(hd_docker_split_image("abcdef:1", small, sizeof(small), tag, sizeof(tag)));
    assert_false(hd_docker_split_image(":1", small, sizeof(small), tag, sizeof(tag)));
}

/* ---- requests ------------------------------------------------------------------------------- */

static char word_train[] = "train";
static char word_quoted[] = "it's \"5\"";
static char *sample_argv[] = {word_train, word_quoted, NULL};
static char env_threads[] = "OMP_NUM_THREADS=1";
static char *sample_env[] = {env_threads, NULL};

static const struct hd_mount sample_mounts[] = {{"/sets/m", "/data/m", true},
                                                {"/var/cache/x", "/cache", false}};

static struct hd_engine_job sample_job(void)
{
    return (struct hd_engine_job){
        .attempt = {0xabc123, 7, 2},
        .worker = "host-0",
        .run_id = "digits",
        .config_id = "[0,0,3]",
        .run_dir = "/r/7-2",
        .work_dir = "/r/w,1",
        .data_dir = "/data dir",
        .mounts = sample_mounts,
        .mount_count = HD_COUNT(sample_mounts),
        .image = "hyperdock/digits:1",
        .argv = sample_argv,
        .env = sample_env,
        .cpus = 1.5,
        .memory_bytes = 536870912,
        .pids = 100,
    };
}

/* The body of create: limits, mounts and safety settings are all there, and it is JSON. */
static void test_create_body(void **state)
{
    (void)state;
    struct hd_engine_job job = sample_job();
    struct hd_buf out;
    struct hd_err err;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_docker_write_create(&job, &somebody, &out, &err));
    struct hd_value *value = NULL;
    assert_hd_ok(hd_json_parse(out.data, out.size, "body", &hd_value_limits_file, &value, &err));
    const struct hd_value *host = hd_value_get(value, "HostConfig");
    assert_true(hd_value_get(host, "Init")->as.boolean);
    assert_false(hd_value_get(host, "AutoRemove")->as.boolean);
    assert_false(hd_value_get(host, "Privileged")->as.boolean);
    assert_null(hd_value_get(host, "Binds"));
    assert_true(hd_value_get(host, "Memory")->as.integer == 536870912);
    assert_true(hd_value_get(host, "MemorySwap")->as.integer == 536870912);
    assert_true(hd_value_get(host, "NanoCpus")->as.integer == 1500000000);
    assert_int_equal(hd_value_get(host, "PidsLimit")->as.integer, 100);
    const struct hd_value *mounts = hd_value_get(host, "Mounts");
    assert_int_equal(mounts->as.array.count, 6);
    assert_string_equal(hd_value_get(mounts->as.array.items[4], "Source")->as.string, "/sets/m");
    assert_true(hd_value_get(mounts->as.array.items[4], "ReadOnly")->as.boolean);
    assert_string_equal(hd_value_get(mounts->as.array.items[5], "Target")->as.string, "/cache");
    assert_null(hd_value_get(mounts->as.array.items[5], "ReadOnly"));
    assert_string_equal(hd_value_get(host, "SecurityOpt")->as.array.items[0]->as.string,
                        "no-new-privileges");
    assert_string_equal(hd_value_get(value, "User")->as.string, "1000:1000");
    assert_string_equal(hd_value_get(value, "Cmd")->as.array.items[1]->as.string, "it's \"5\"");
    const struct hd_value *labels = hd_value_get(value, "Labels");
    assert_string_equal(hd_value_get(labels, "hyperdock.run_uid")->as.string, "abc123");
    assert_string_equal(hd_value_get(labels, "hyperdock.config")->as.string, "[0,0,3]");
    hd_value_free(value);

    /* Without limits and command nothing is said of them, so the image's and engine's own hold. */
    job.argv = NULL;
    job.cpus = 0.0;
    job.memory_bytes = 0;
    job.pids = 0;
    job.data_dir = NULL;
    job.mount_count = 0;
    assert_null(strstr(hd_buf_text(&out), "WorkingDir"));
    hd_buf_clear(&out);
    assert_hd_ok(hd_docker_write_create(&job, &anybody, &out, &err));
    static const char *const absent[] = {"\"Cmd\"",   "NanoCpus", "Memory",
                                         "PidsLimit", "\"User\"", "/data"};
    for (size_t i = 0; i < HD_COUNT(absent); i++)
        assert_null(strstr(hd_buf_text(&out), absent[i]));
    hd_buf_release(&out);
}

/* It is made in the first network; a port that is published twice is one of the container's. */
static void test_networks_and_ports(void **state)
{
    (void)state;
    static char back[] = "back", front[] = "front", a[] = "127.0.0.1::80/tcp",
                b[] = "[::1]:8080:80/tcp", c[] = "0.0.0.0:53:53/udp";
    static char *networks[] = {back, front, NULL}, *ports[] = {a, b, c, NULL};
    const struct hd_container container = {.networks = networks, .ports = ports};
    struct hd_engine_job job = sample_job();
    struct hd_value *value = NULL;
    struct hd_buf out;
    struct hd_err err;
    job.container = &container;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_docker_write_create(&job, &somebody, &out, &err));
    assert_hd_ok(hd_json_parse(out.data, out.size, "body", &hd_value_limits_file, &value, &err));
    hd_value_free(value);
    const char *const parts[] = {
        "\"NetworkMode\":\"back\"", "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}}",
        "\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"},"
        "{\"HostIp\":\"::1\",\"HostPort\":\"8080\"}],"
        "\"53/udp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"53\"}]}"};
    for (size_t i = 0; i < HD_COUNT(parts); i++)
        if (strstr(hd_buf_text(&out), parts[i]) == NULL)
            fail_msg("%s is not in %s", parts[i], hd_buf_text(&out));
    hd_buf_clear(&out);
    assert_hd_ok(hd_docker_write_command_line(&job, "", &out, &err));
    assert_non_null(strstr(hd_buf_text(&out), " --network back --network front --publish "
                                              "127.0.0.1::80/tcp --publish "));
    hd_buf_release(&out);
}

/* Code is there for reading only, and the container starts in it. */
static void test_code(void **state)
{
    (void)state;
    struct hd_engine_job job = sample_job();
    struct hd_buf out;
    struct hd_err err;
    job.code_dir = "/root/code";
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_docker_write_create(&job, &somebody, &out, &err));
    assert_non_null(strstr(hd_buf_text(&out), "\"WorkingDir\":\"/hyperdock/code\""));
    assert_non_null(strstr(hd_buf_text(&out), "{\"Type\":\"bind\",\"Source\":\"/root/code\","
                                              "\"Target\":\"/hyperdock/code\","
                                              "\"ReadOnly\":true}"));
    hd_buf_clear(&out);
    assert_hd_ok(hd_docker_write_command_line(&job, "", &out, &err));
    assert_non_null(strstr(hd_buf_text(&out),
                           " --mount type=bind,source=/root/code,target=/hyperdock/code,readonly"
                           " --workdir /hyperdock/code "));
    hd_buf_release(&out);
}

/* GPUs are named and never counted; the runtime named nvidia takes them from the environment. */
static void test_gpus(void **state)
{
    (void)state;
    static char nvidia[] = "nvidia";
    struct hd_container container = {.runtime = nvidia};
    struct hd_engine_job job = sample_job();
    struct hd_buf out;
    struct hd_err err;
    static const struct {
        const char *gpus;
        bool legacy;
        const char *body, *line; /* NULL: nothing of it */
    } rows[] = {
        {"GPU-a,MIG-b", false,
         "\"DeviceRequests\":[{\"Driver\":\"\",\"DeviceIDs\":[\"GPU-a\",\"MIG-b\"],"
         "\"Capabilities\":[[\"gpu\"]]}]",
         "--gpus '\"device=GPU-a,MIG-b\"'"},
        {"", false, NULL, NULL},
        {NULL, false, NULL, NULL},
        {"GPU-a", true, NULL, NULL},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        job.gpus = rows[i].gpus;
        job.container = rows[i].legacy ? &container : NULL;
        hd_buf_init(&out, 65536);
        assert_hd_ok(hd_docker_write_create(&job, &anybody, &out, &err));
        assert_non_null(
            strstr(hd_buf_text(&out), rows[i].body != NULL ? rows[i].body : "\"HostConfig\""));
        assert_int_equal(strstr(hd_buf_text(&out), "DeviceRequests") != NULL, rows[i].body != NULL);
        assert_null(strstr(hd_buf_text(&out), "\"Count\""));
        hd_buf_clear(&out);
        assert_hd_ok(hd_docker_write_command_line(&job, "", &out, &err));
        assert_int_equal(strstr(hd_buf_text(&out), "--gpus") != NULL, rows[i].line != NULL);
        if (rows[i].line != NULL)
            assert_non_null(strstr(hd_buf_text(&out), rows[i].line));
        hd_buf_release(&out);
    }
}

/* The line for a shell survives blanks, quotes and commas. */
static void test_command_line(void **state)
{
    (void)state;
    struct hd_engine_job job = sample_job();
    struct hd_buf out;
    struct hd_err err;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_docker_write_command_line(&job, "1000:1000", &out, &err));
    assert_string_equal(hd_buf_text(&out),
                        "docker run --rm --init --user 1000:1000 --security-opt no-new-privileges "
                        "--memory 536870912 --memory-swap 536870912 --cpus 1.5 --pids-limit 100 "
                        "--mount type=bind,source=/r/7-2,target=/hyperdock "
                        "--mount 'type=bind,\"source=/r/w,1\",target=/hyperdock/work' "
                        "--mount 'type=bind,source=/data dir,target=/data,readonly' "
                        "--mount 'type=bind,source=/data dir,target=/hyperdock/data,readonly' "
                        "--mount type=bind,source=/sets/m,target=/data/m,readonly "
                        "--mount type=bind,source=/var/cache/x,target=/cache "
                        "--env OMP_NUM_THREADS=1 hyperdock/digits:1 train 'it'\\''s \"5\"'");
    hd_buf_release(&out);
}

/* What target.container and the other resources ask for reaches the engine, and the line for a
 * shell says the same. */
static void test_container_options(void **state)
{
    (void)state;
    static char nofile[] = "nofile=1024:4096", core[] = "core=0:-1", tmp[] = "/tmp:size=64m";
    static char run[] = "/run", nice[] = "SYS_NICE", all[] = "ALL";
    static char *ulimits[] = {nofile, core, NULL}, *tmpfs[] = {tmp, run, NULL};
    static char *add[] = {nice, NULL}, *drop[] = {all, NULL};
    static char cpuset[] = "0-3", user[] = "7:8", network[] = "none", runtime[] = "runsc";
    const struct hd_container container = {.shm_bytes = 1048576,
                                           .cpuset = cpuset,
                                           .ulimits = ulimits,
                                           .user = user,
                                           .network = network,
                                           .runtime = runtime,
                                           .read_only = true,
                                           .tmpfs = tmpfs,
                                           .cap_add = add,
                                           .cap_drop = drop,
                                           .privileged = true};
    struct hd_engine_job job = sample_job();
    struct hd_buf out;
    struct hd_err err;
    struct hd_value *value = NULL, *expected = NULL;
    static const char text[] =
        "{\"ShmSize\":1048576,\"CpusetCpus\":\"0-3\",\"NetworkMode\":\"none\","
        "\"Runtime\":\"runsc\",\"ReadonlyRootfs\":true,\"Privileged\":true,"
        "\"Tmpfs\":{\"/tmp\":\"size=64m\",\"/run\":\"\"},"
        "\"CapAdd\":[\"SYS_NICE\"],\"CapDrop\":[\"ALL\"],"
        "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":1024,\"Hard\":4096},"
        "{\"Name\":\"core\",\"Soft\":0,\"Hard\":-1}]}";
    job.container = &container;
    hd_buf_init(&out, 65536);
    assert_hd_ok(hd_docker_write_create(&job, &somebody, &out, &err));
    assert_hd_ok(hd_json_parse(out.data, out.size, "body", &hd_value_limits_file, &value, &err));
    assert_hd_ok(
        hd_json_parse(text, sizeof(text) - 1, "text", &hd_value_limits_file, &expected, &err));
    const struct hd_value *host = hd_value_get(value, "HostConfig");
    for (size_t i = 0; i < expected->as.object.count; i++)
        if (!hd_value_equal(hd_value_get(host, expected->as.object.keys[i]),
                            expected->as.object.items[i]))
            fail_msg("%s is not as asked: %s", expected->as.object.keys[i], hd_buf_text(&out));
    assert_string_equal(hd_value_get(value, "User")->as.string, "7:8");
    hd_value_free(value);
    hd_value_free(expected);
    hd_buf_clear(&out);
    assert_hd_ok(hd_docker_write_command_line(&job, "1000:1000", &out, &err));
    assert_non_null(
        strstr(hd_buf_text(&out),
               " --privileged --read-only --shm-size 1048576 --cpuset-cpus 0-3 --network none "
               "--runtime runsc --cap-add SYS_NICE --cap-drop ALL --ulimit nofile=1024:4096 "
               "--ulimit core=0:-1 --tmpfs /tmp:size=64m --tmpfs /run "));
    assert_non_null(strstr(hd_buf_text(&out), "--user 7:8 "));
    hd_buf_release(&out);
}

static void test_names(void **state)
{
    (void)state;
    char name[HD_ENGINE_NAME_MAX];
    hd_docker_container_name((struct hd_attempt_ref){0xabc123, 7, 2}, name, sizeof(name));
    assert_string_equal(name, "hyperdock-0000000000abc123-7-2");
}

/* ---- errors --------------------------------------------------------------------------------- */

static void test_error_text(void **state)
{
    (void)state;
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"{\"message\":\"No such image: x:1\"}\n", "No such image: x:1"},
        {"client version 1.24 is too old.\n", "client version 1.24 is too old."},
        {"{\"message\":\"two\\nlines\"}", "two lines"},
        {"{\"msg\":1}", "{\"msg\":1}"},
        {"", ""},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[64];
        hd_docker_error_text(rows[i].body, strlen(rows[i].body), text, sizeof(text));
        assert_string_equal(text, rows[i].text);
    }
}

/* Each recorded refusal is the experiment's fault or the machine's, and not the other. */
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        enum hd_docker_stage stage;
        int status;
        const char *text;
        bool config_error;
    } rows[] = {
        {HD_DOCKER_PULL, 500, "Get \"https://r/v2/\": dial tcp: lookup r: no such host", true},
        {HD_DOCKER_PULL, 500, "dial tcp 127.0.0.1:5999: connect: connection refused", false},
        {HD_DOCKER_PULL, 500, "manifest unknown", true},
        {HD_DOCKER_PULL, 404, "pull access denied for x, repository does not exist", true},
        {HD_DOCKER_PULL, 500, "no basic auth credentials", true},
        {HD_DOCKER_PULL, 400, "invalid reference format", true},
        {HD_DOCKER_PULL, 500, "toomanyrequests: You have reached your pull rate limit", false},
        {HD_DOCKER_PULL, 500, "received unexpected HTTP status: 503 Service Unavailable", false},
        {HD_DOCKER_PULL, 500, "net/http: TLS handshake timeout", false},
        {HD_DOCKER_PULL, 0, "write /layer.tar: no space left on device", false},
        {HD_DOCKER_CREATE, 400, "Minimum memory limit allowed is 6MB", true},
        {HD_DOCKER_CREATE, 400,
         "invalid mount config for type \"bind\": bind source path does not "
         "exist: /nonexist",
         true},
        {HD_DOCKER_CREATE, 400,
         "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs "
         "available",
         false},
        {HD_DOCKER_CREATE, 400, "Unknown runtime specified nvidia", false},
        {HD_DOCKER_CREATE, 500, "no space left on device", false},
        {HD_DOCKER_CREATE, 500, "something else", false},
        {HD_DOCKER_START, 400,
         "OCI runtime create failed: exec: \"/nope\": stat /nope: no such "
         "file or directory: unknown",
         true},
        {HD_DOCKER_START, 400, "exec: \"/etc\": permission denied: unknown", true},
        {HD_DOCKER_START, 500, "unable to find user bob: no matching entries in passwd file", true},
        {HD_DOCKER_START, 500, "sethostname: invalid argument", true},
        {HD_DOCKER_START, 404, "network nonet not found", true},
        {HD_DOCKER_START, 500,
         "could not select device driver \"nvidia\" with capabilities: "
         "[[gpu]]",
         false},
        {HD_DOCKER_START, 500,
         "driver failed: Bind for 0.0.0.0:80 failed: port is already "
         "allocated",
         false},
        {HD_DOCKER_START, 500, "mkdir /var/lib/docker/x: no space left on device", false},
        {HD_DOCKER_START, 400, "exec: \"docker-init\": executable file not found in $PATH", false},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++)
        if (hd_docker_is_config_error(rows[i].stage, rows[i].status, rows[i].text) !=
            rows[i].config_error)
            fail_msg("%d %s", rows[i].status, rows[i].text);
}

/* ---- streams -------------------------------------------------------------------------------- */

struct collected {
    char bytes[4096];
    size_t size;
};

static void collect(void *context, const char *bytes, size_t size)
{
    struct collected *collected = context;
    assert_true(collected->size + size < sizeof(collected->bytes));
    memcpy(collected->bytes + collected->size, bytes, size);
    collected->size += size;
    collected->bytes[collected->size] = '\0';
}

static size_t put_frame(char *to, int stream, const char *payload)
{
    size_t size = strlen(payload);
    memcpy(to, (char[8]){(char)stream, 0, 0, 0, 0, 0, (char)(size >> 8), (char)size}, 8);
    memcpy(to + 8, payload, size);
    return size + 8;
}

/* However the frames are split, the same text comes out, without stamps. */
static void test_frames_split_anywhere(void **state)
{
    (void)state;
    char stream[512];
    size_t size = put_frame(stream, 1, "2026-11-21T02:07:05.000000001Z hello world\n");
    size += put_frame(stream + size, 2, "2026-11-21T02:07:05.000000002Z \n");
    size += put_frame(stream + size, 1, "");
    size += put_frame(stream + size, 1, "no stamp here\n");
    size += put_frame(stream + size, 1, "0123456789012345678901234567890123456789012345 long\n");
    size += put_frame(stream + size, 2, "short");
    for (size_t piece = 1; piece <= size; piece++) {
        struct collected out = {0};
        struct hd_docker_frames frames = {.write = collect, .context = &out};
        hd_docker_frames_begin(&frames);
        for (size_t at = 0; at < size; at += piece)
            assert_true(
                hd_docker_frames_feed(&frames, stream + at, size - at < piece ? size - at : piece));
        assert_string_equal(out.bytes,
                            "hello world\n\nno stamp here\n"
                            "0123456789012345678901234567890123456789012345 long\nshort");
        assert_string_equal(frames.last, "2026-11-21T02:07:05.000000002Z");
    }
}

/* After a break the stream is asked again from the last stamp on, which repeats that line: it is
 * written once. */
static void test_frames_resume(void **state)
{
    (void)state;
    char stream[256];
    struct collected out = {0};
    struct hd_docker_frames frames = {.write = collect, .context = &out};
    hd_docker_frames_begin(&frames);
    size_t size = put_frame(stream, 1, "2026-11-21T02:07:05.000000001Z one\n");
    size += put_frame(stream + size, 1, "2026-11-21T02:07:05.000000002Z two\n");
    assert_true(hd_docker_frames_feed(&frames, stream, size));
    hd_docker_frames_begin(&frames);
    size = put_frame(stream, 1, "2026-11-21T02:07:05.000000002Z two\n");
    size += put_frame(stream + size, 1, "2026-11-21T02:07:05.000000003Z three\n");
    assert_true(hd_docker_frames_feed(&frames, stream, size));
    assert_string_equal(out.bytes, "one\ntwo\nthree\n");
}

/* Bytes that are not frames are noticed at once and never written. */
static void test_frames_broken(void **state)
{
    (void)state;
    struct collected out = {0};
    struct hd_docker_frames frames = {.write = collect, .context = &out};
    hd_docker_frames_begin(&frames);
    assert_false(hd_docker_frames_feed(&frames, "plain text of a terminal", 24));
    assert_false(hd_docker_frames_feed(&frames, "\1\0\0\0\0\0\0\1x", 9));
    assert_int_equal(out.size, 0);
}

/* How far a pull is: the mean of its layers, which never go back. */
static void test_pull_percent(void **state)
{
    (void)state;
    static struct hd_docker_pull_stream pull;
    static const struct {
        const char *line;
        int percent;
    } rows[] = {
        {"{\"status\":\"Pulling from x\",\"id\":\"latest\"}\n", -1},
        {"{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"a\"}\n", 0},
        {"{\"status\":\"Already exists\",\"progressDetail\":{},\"id\":\"b\"}\n", 50},
        {"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":10},\"id\":\"a\"}"
         "\n",
         67},
        {"{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1,\"total\":10},\"id\":\"a\"}"
         "\n",
         67},
        {"{\"status\":\"Extracting\",\"progressDetail\":{\"current\":9,\"total\":3},\"id\":\"a\"}"
         "\n",
         100},
        {"{\"status\":\"Pull complete\",\"progressDetail\":{\"current\":-1},\"id\":\"a\"}\n", 100},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        hd_docker_pull_feed(&pull, rows[i].line, strlen(rows[i].line));
        if (hd_docker_pull_percent(&pull) != rows[i].percent)
            fail_msg("%s: %d", rows[i].line, hd_docker_pull_percent(&pull));
    }
    for (int i = 0; i < 2 * HD_DOCKER_LAYERS_MAX; i++) { /* more layers than there can be */
        char line[100];
        snprintf(line, sizeof(line), "{\"status\":\"Waiting\",\"id\":\"layer%d\"}\n", i);
        hd_docker_pull_feed(&pull, line, strlen(line));
    }
    assert_true(hd_docker_pull_percent(&pull) >= 0 && hd_docker_pull_percent(&pull) <= 100);
}

static void keep_text(void *context, const char *bytes, size_t size)
{
    size_t used = strlen(context);
    (void)hd_format((char *)context + used, 64 - used, "%.*s", (int)size, bytes);
}

/* Stamps of whole seconds cannot tell lines apart: a stream that begins anew goes on after as many
 * bytes as came before, wherever it broke. */
static void test_frames_by_count(void **state)
{
    (void)state;
    static const char stream[] = "\1\0\0\0\0\0\0\31"
                                 "2026-11-21T15:36:12Z one\n"
                                 "\1\0\0\0\0\0\0\31"
                                 "2026-11-21T15:36:12Z two\n";
    for (size_t cut = 0; cut < sizeof(stream); cut++) {
        char text[64] = "";
        struct hd_docker_frames frames = {.write = keep_text, .context = text, .by_count = true};
        hd_docker_frames_begin(&frames);
        assert_true(hd_docker_frames_feed(&frames, stream, cut));
        hd_docker_frames_begin(&frames);
        assert_true(hd_docker_frames_feed(&frames, stream, sizeof(stream) - 1));
        assert_string_equal(text, "one\ntwo\n");
    }
}

/* All pieces of a long line have the stamp of its first: who has some of them counts. */
static void test_frames_counted_after_stamps(void **state)
{
    (void)state;
    static const char stream[] = "\1\0\0\0\0\0\0\43"
                                 "2026-11-21T15:36:12.123456789Z one "
                                 "\1\0\0\0\0\0\0\44"
                                 "2026-11-21T15:36:12.123456789Z line\n";
    for (size_t cut = 0; cut < sizeof(stream); cut++) {
        char text[64] = "";
        struct hd_docker_frames frames = {.write = keep_text, .context = text};
        hd_docker_frames_begin(&frames);
        assert_true(hd_docker_frames_feed(&frames, stream, cut));
        frames.by_count = true;
        hd_docker_frames_begin(&frames);
        assert_true(hd_docker_frames_feed(&frames, stream, sizeof(stream) - 1));
        assert_string_equal(text, "one line\n");
    }
}

/* An engine that has dropped the beginning of a log by now is seen by the first stamp: what it
 * still has is told from what came before by stamps. */
static void test_frames_of_a_log_that_lost_its_beginning(void **state)
{
    (void)state;
    static const char one[] = "\1\0\0\0\0\0\0\43"
                              "2026-11-21T15:36:12.100000000Z one\n",
                      two[] = "\1\0\0\0\0\0\0\43"
                              "2026-11-21T15:36:12.200000000Z two\n",
                      three[] = "\1\0\0\0\0\0\0\45"
                                "2026-11-21T15:36:12.300000000Z three\n";
    char text[64] = "";
    struct hd_docker_frames frames = {.write = keep_text, .context = text};
    hd_docker_frames_begin(&frames);
    assert_true(hd_docker_frames_feed(&frames, one, sizeof(one) - 1));
    assert_true(hd_docker_frames_feed(&frames, two, sizeof(two) - 1));
    frames.by_count = true;
    hd_docker_frames_begin(&frames);
    assert_true(hd_docker_frames_feed(&frames, two, sizeof(two) - 1));
    assert_true(hd_docker_frames_feed(&frames, three, sizeof(three) - 1));
    assert_string_equal(text, "one\ntwo\nthree\n");
}

/* A pull's error comes in the middle of a stream that began with 200. */
static void test_pull_stream(void **state)
{
    (void)state;
    static const char text[] =
        "{\"status\":\"Pulling\",\"progressDetail\":{}}\r\n"
        "{\"errorDetail\":{\"message\":\"unauthorized\"},\"error\":\"old\"}\r\n{\"status\":\"x\"}";
    static struct hd_docker_pull_stream pull;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        pull = (struct hd_docker_pull_stream){0};
        for (size_t at = 0; at < strlen(text); at += piece) {
            size_t left = strlen(text) - at;
            hd_docker_pull_feed(&pull, text + at, left < piece ? left : piece);
        }
        hd_docker_pull_end(&pull);
        assert_string_equal(pull.error, "unauthorized");
    }
    pull = (struct hd_docker_pull_stream){0};
    for (size_t i = 0; i < HD_DOCKER_PULL_LINE_MAX + 10; i++)
        hd_docker_pull_feed(&pull, " ", 1);
    hd_docker_pull_feed(&pull, "\n{\"error\":\"later\"}", 18);
    hd_docker_pull_end(&pull);
    assert_string_equal(pull.error, "later");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inspect_exited),
        cmocka_unit_test(test_inspect_refused_start),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_image_warm),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_image_words),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_split_image),
        cmocka_unit_test(test_create_body),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_networks_and_ports),
        cmocka_unit_test(test_gpus),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_container_options),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_error_text),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_frames_split_anywhere),
        cmocka_unit_test(test_frames_resume),
        cmocka_unit_test(test_frames_broken),
        cmocka_unit_test(test_pull_percent),
        cmocka_unit_test(test_frames_by_count),
        cmocka_unit_test(test_frames_of_a_log_that_lost_its_beginning),
        cmocka_unit_test(test_frames_counted_after_stamps),
        cmocka_unit_test(test_pull_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
