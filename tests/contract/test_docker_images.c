/* SPDX-License-Identifier: Apache-2.0 */
/* What a Docker engine refuses, against a recorded one: images that have to come first, and
 * containers that it does not make or start. */
#include "docker_room.h"
#include "testlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- refusals ------------------------------------------------------------------------------- */

static void expect_pulls(struct docker_room *room, int pulls)
{
    assert_int_equal(fake_docker_count(room->fake, FAKE_PULL), pulls);
}

/* An image that is absent is pulled once, by its tag, and with what the engine says it is. */
static void test_image_pulled(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    job.image = "some/thing";
    room_start(room, &job);
    struct hd_engine_end end = room_expect(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 1);
    assert_int_equal(strncmp(end.image_id, "sha256:", 7), 0);
    assert_true(room->half_pulled);
    assert_string_equal(room->doing, "");
}

struct pull_row {
    const char *answer;
    bool config_error;
    int pulls; /* of pull_tries 3 */
    const char *message;
};

/* What a registry says decides: a name or login that is wrong is told at once, to the experiment;
 * one that does not answer is asked again with back-off, and then the job may go elsewhere. */
static void test_pull_refusals(void **state)
{
    struct docker_room *room = *state;
    static const struct pull_row rows[] = {
        {"manifest unknown", true, 1, "check its name"},
        {"pull access denied for x, repository does not exist", true, 1, "check its name"},
        {"no basic auth credentials", true, 1, "docker login"},
        {"unauthorized: incorrect username or password", true, 1, "docker login"},
        {"invalid reference format", true, 1, "check its name"},
        {"toomanyrequests: slow down", false, 3, "does not answer now): toomanyrequests"},
        {"received unexpected HTTP status: 503 Service Unavailable", false, 3, "503"},
        {"Get https://r/v2/: dial tcp: lookup r: no such host", true, 1, "knows its registry"},
        {"lookup r on 127.0.0.53:53: server misbehaving", true, 1, "load it into the engine"},
        {"dial tcp 127.0.0.1:5: connect: connection refused", false, 3, "connection refused"},
        {"write /layer.tar: no space left on device", false, 1, "make room"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char body[300];
        int before = fake_docker_count(room->fake, FAKE_PULL);
        struct hd_engine_job job = room_job(room, "exit", "0");
        job.image = "some/thing";
        snprintf(body, sizeof(body), "{\"message\":\"%s\"}", rows[i].answer);
        fake_docker_fail(room->fake, FAKE_PULL, 500, body, rows[i].pulls);
        room_start(room, &job);
        struct hd_engine_end end = room_expect(room, HD_END_NOT_STARTED, 0, rows[i].message);
        assert_int_equal(end.config_error, rows[i].config_error);
        expect_pulls(room, before + rows[i].pulls);
        room_forget(room);
    }
}

/* The same, when the refusal comes in the stream of an answer that began well. */
static void test_pull_refused_in_stream(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    fake_docker_fail(room->fake, FAKE_PULL, 200,
                     "{\"status\":\"Pulling\"}\n{\"errorDetail\":{\"message\":\"unauthorized\"},"
                     "\"error\":\"unauthorized\"}\n",
                     1);
    job.image = "some/thing";
    room_start(room, &job);
    assert_true(room_expect(room, HD_END_NOT_STARTED, 0, "unauthorized").config_error);
    expect_pulls(room, 1);
}

/* A registry that comes back in time costs no attempt. */
static void test_pull_succeeds_later(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    fake_docker_fail(room->fake, FAKE_PULL, 500, "{\"message\":\"i/o timeout\"}", 2);
    job.image = "some/thing";
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 3);
}

/* A pull that brings nothing any more is given up, and asked for again. */
static void test_pull_stands_still(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    room->tuning.pull_tries = 1;
    room_restart(room);
    fake_docker_hang_pulls(room->fake);
    job.image = "some/thing";
    room_start(room, &job);
    assert_false(room_expect(room, HD_END_NOT_STARTED, 0, "nothing came for").config_error);
}

/* Never: nobody is asked. Always: the registry is asked once for a run, also when the image is
 * here. */
static void test_pull_policy(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    job.image = "some/thing";
    job.pull = HD_PULL_NEVER;
    room_start(room, &job);
    assert_true(room_expect(room, HD_END_NOT_STARTED, 0, "target.pull is never").config_error);
    expect_pulls(room, 0);
    room_forget(room);
    fake_docker_allow_pulls(room->fake);
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        job = room_job(room, "exit", "0");
        job.attempt.attempt = attempt;
        job.pull = HD_PULL_ALWAYS;
        room_start(room, &job);
        room_expect(room, HD_END_EXITED, 0, "");
        expect_pulls(room, 1);
    }
    job.attempt.run_uid++;
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    expect_pulls(room, 2);
}

/* Jobs of one image that start together pull it once. */
static void test_one_pull_an_image(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    fake_docker_allow_pulls(room->fake);
    job.image = "some/thing";
    for (uint32_t i = 0; i < 5; i++) {
        job.attempt.job = 100 + i;
        room_start(room, &job);
    }
    for (int ended = 0; ended < 5;) {
        struct hd_engine_news *news = hd_queue_pop(room->queue, DOCKER_ROOM_WAIT_MS);
        assert_non_null(news);
        if (news->ended)
            assert_int_equal(news->end.kind, HD_END_EXITED);
        ended += news->ended;
        hd_free(news);
    }
    expect_pulls(room, 1);
}

/* With the login of the client's file; one that cannot be had is named when the pull is refused. */
static void test_pull_with_login(void **state)
{
    struct docker_room *room = *state;
    char config[DOCKER_ROOM_PATH + 64], path[700], auth[1024];
    struct hd_engine_job job = room_job(room, "exit", "0");
    snprintf(config, sizeof(config), "%s/config.json", room->dir);
    assert_int_equal(setenv("DOCKER_CONFIG", room->dir, 1), 0);
    test_file_write(config, "{\"auths\":{\"r.test:5000\":{\"auth\":\"Ym9iOnNlY3JldA==\"}}}");
    fake_docker_allow_pulls(room->fake);
    job.image = "r.test:5000/x:1";
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "{\"username\":\"bob\",\"password\":\"secret\","
                              "\"serveraddress\":\"r.test:5000\"}");
    room_forget(room);
    /* A helper, which is found on PATH and run without a shell. */
    snprintf(path, sizeof(path), "%s/docker-credential-mine", room->dir);
    test_file_write(path, "#!/bin/sh\nread server\ntest \"$1 $server\" = 'get h.test' || exit 1\n"
                          "echo '{\"Username\":\"<token>\",\"Secret\":\"tok\"}'\n");
    assert_int_equal(chmod(path, 0700), 0);
    char *before = strdup(getenv("PATH"));
    snprintf(path, sizeof(path), "%s:%s", room->dir, before);
    assert_int_equal(setenv("PATH", path, 1), 0);
    test_file_write(config, "{\"credHelpers\":{\"h.test\":\"mine\"},\"credsStore\":\"nosuch\"}");
    job = room_job(room, "exit", "0");
    job.image = "h.test/x:1";
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "{\"identitytoken\":\"tok\",\"serveraddress\":\"h.test\"}");
    room_forget(room);
    fake_docker_fail(room->fake, FAKE_PULL, 500, "{\"message\":\"unauthorized\"}", 1);
    job.image = "other.test/x:1";
    room_start(room, &job);
    room_expect(room, HD_END_NOT_STARTED, 0, "unauthorized; asked without a login, since ");
    fake_docker_last_auth(room->fake, auth, sizeof(auth));
    assert_string_equal(auth, "");
    assert_int_equal(setenv("PATH", before, 1), 0);
    free(before);
    assert_int_equal(unsetenv("DOCKER_CONFIG"), 0);
}

/* target.strict: another image than the run began with is refused before it runs. */
static void test_strict_image(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "exit", "0");
    room_start(room, &job);
    struct hd_engine_end first = room_expect(room, HD_END_EXITED, 0, "");
    room_forget(room);
    job.strict = true;
    job.image_id = first.image_id;
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    room_forget(room);
    job.image_id = "sha256:beef";
    room_start(room, &job);
    assert_true(room_expect(room, HD_END_NOT_STARTED, 0, "was sha256:beef").config_error);
    room_forget(room);
    job.strict = false;
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
}

/* A master that hands over what it is asked for, and says this of it. */
struct master {
    char id[80];
    int asked;
    enum hd_code code;
};

static enum hd_code hand_over(void *context, const char *address, const char *run_id,
                              const char *image, const char *path, char *ret_id,
                              bool (*interrupted)(void *watch),
                              void (*tell)(void *watch, int percent), void *watch,
                              struct hd_err *err)
{
    struct master *master = context;
    master->asked++;
    if (master->code != HD_OK)
        return hd_fail(err, master->code, "the master says no");
    assert_string_equal(address, "tcp://master:1");
    assert_string_equal(run_id, "r");
    assert_false(interrupted(watch));
    test_file_write(path, image);
    tell(watch, 50);
    (void)hd_copy_text(ret_id, HD_IMAGE_ID_MAX, master->id);
    return HD_OK;
}

/* An image that was built comes from the master, once, and is what the master says it is; no
 * registry is asked. */
static void test_image_handed_over(void **state)
{
    struct docker_room *room = *state;
    struct master master = {.code = HD_OK};
    const struct hd_image_source source = {.fetch = hand_over, .context = &master};
    struct hd_engine_job job = room_job(room, "exit", "0");
    room->images = &source;
    room_restart(room);
    job.image = "hyperdock-build:abc";
    job.handed_by = "tcp://master:1";
    job.pull = HD_PULL_ALWAYS; /* is of registries */
    fake_docker_image_id(job.image, master.id);
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    room_forget(room);
    room_start(room, &job);
    room_expect(room, HD_END_EXITED, 0, "");
    room_forget(room);
    assert_int_equal(master.asked, 1);
    assert_int_equal(fake_docker_count(room->fake, FAKE_LOAD), 1);
    job.image = "hyperdock-build:other";
    room_start(room, &job);
    assert_false(room_expect(room, HD_END_NOT_STARTED, 0, "on the master's machine").config_error);
    room_forget(room);
    master.code = HD_E_NOTFOUND;
    job.image = "hyperdock-build:third";
    room_start(room, &job);
    assert_true(room_expect(room, HD_END_NOT_STARTED, 0, "the master says no").config_error);
    expect_pulls(room, 0);
}

static void keep_line(void *context, const char *line)
{
    (void)hd_copy_text(context, 160, line);
}

/* Built once, of what the directory holds; a build that fails says what it said last. And saved as
 * it is, for those who ask. */
static void test_image_built(void **state)
{
    struct docker_room *room = *state;
    struct hd_err err = {0};
    char path[DOCKER_ROOM_PATH + 64], line[160] = "", name[HD_IMAGE_NAME_MAX], id[80], said[80];
    assert_int_equal(setenv("DOCKER_HOST", fake_docker_host(room->fake), 1), 0);
    snprintf(path, sizeof(path), "%s/Dockerfile", room->work_dir);
    test_file_write(path, "FROM scratch\n");
    assert_hd_ok(hd_image_context_name(room->work_dir, "Dockerfile", name, &err));
    static char dockerfile[] = "Dockerfile", base[] = "";
    const struct hd_target target = {
        .image = name, .build = room->work_dir, .dockerfile = dockerfile, .base_dir = base};
    fake_docker_fail(room->fake, FAKE_BUILD, 200,
                     "{\"stream\":\"Step 1/2 : RUN false\\n\"}\n{\"errorDetail\":{\"message\":"
                     "\"it returned 1\"},\"error\":\"x\"}\n",
                     1);
    assert_hd_fails(hd_image_ensure(&target, NULL, NULL, &err), HD_E_INVALID,
                    "it returned 1; after: Step 1/2 : RUN false");
    for (int i = 0; i < 2; i++)
        assert_hd_ok(hd_image_ensure(&target, keep_line, line, &err));
    assert_string_equal(line, "Successfully built");
    assert_int_equal(fake_docker_count(room->fake, FAKE_BUILD), 2);
    snprintf(path, sizeof(path), "%s/image.tar", room->dir);
    assert_hd_ok(hd_image_save(name, path, said, NULL, NULL, &err));
    fake_docker_image_id(name, id);
    assert_string_equal(said, id);
    char *saved = test_file_read(path, NULL);
    assert_string_equal(saved, name);
    free(saved);
    assert_hd_fails(hd_image_save("absent:1", path, said, NULL, NULL, &err), HD_E_NOTFOUND,
                    "absent");
    assert_int_equal(unsetenv("DOCKER_HOST"), 0);
}

struct refusal_row {
    enum fake_route route;
    int status;
    const char *body;
    bool config_error;
    const char *message;
};

/* Each refusal becomes one clear message, blamed on the experiment or on the machine. */
static void test_refusals(void **state)
{
    struct docker_room *room = *state;
    static const struct refusal_row rows[] = {
        {FAKE_CREATE, 400, "{\"message\":\"Minimum memory limit allowed is 6MB\"}", true,
         "cannot be created: Minimum memory"},
        {FAKE_CREATE, 500, "{\"message\":\"no space left on device\"}", false, "no space left"},
        {FAKE_START, 400, "{\"message\":\"exec: \\\"/nope\\\": no such file\"}", true,
         "cannot be started: exec"},
        {FAKE_START, 500, "{\"message\":\"unable to find user bob\"}", true, "find user bob"},
        {FAKE_START, 404, "{\"message\":\"network nonet not found\"}", true, "network nonet"},
        {FAKE_START, 500, "{\"message\":\"could not select device driver\"}", false, "driver"},
        {FAKE_START, 500, "plain text", false, "plain text"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        fake_docker_fail(room->fake, rows[i].route, rows[i].status, rows[i].body, 1);
        room_start_program(room, "exit", "0");
        struct hd_engine_end end = room_expect(room, HD_END_NOT_STARTED, 0, rows[i].message);
        assert_int_equal(end.config_error, rows[i].config_error);
        hd_engine_remove(room->engine, docker_room_attempt);
        room_restart(room);
        fake_docker_await_gone(room->fake, room->name);
    }
}

/* It is in all its networks before it starts: the first by how it is made, the others by a call
 * each, which may be repeated. One that is not there is the experiment's fault. */
static void test_networks(void **state)
{
    struct docker_room *room = *state;
    static char back[] = "back", front[] = "front", third[] = "third";
    static char *networks[] = {back, front, third, NULL};
    static const struct hd_container container = {.networks = networks};
    struct hd_engine_job job = room_job(room, "exit", "0");
    struct hd_err err;
    job.container = &container;
    fake_docker_fail(room->fake, FAKE_CONNECT, 403,
                     "{\"message\":\"endpoint with name x already exists in network front\"}", 1);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    room_expect(room, HD_END_EXITED, 0, "");
    assert_int_equal(fake_docker_count(room->fake, FAKE_CONNECT), 2);
    hd_engine_remove(room->engine, job.attempt);
    fake_docker_await_gone(room->fake, room->name);
    room_restart(room);
    fake_docker_fail(room->fake, FAKE_CONNECT, 404, "{\"message\":\"network front not found\"}", 1);
    assert_hd_ok(hd_engine_start(room->engine, &job, &err));
    struct hd_engine_end end =
        room_expect(room, HD_END_NOT_STARTED, 0, "network front not found; target.networks or");
    assert_true(end.config_error);
    assert_int_equal(fake_docker_count(room->fake, FAKE_START), 1);
}

static void test_no_image_named(void **state)
{
    struct docker_room *room = *state;
    struct hd_engine_job job = room_job(room, "run", NULL);
    struct hd_err err = {0};
    job.image = NULL;
    assert_hd_fails(hd_engine_start(room->engine, &job, &err), HD_E_INVALID, "target.image");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_setup, room_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_image_pulled),
        TEST(test_pull_refusals),
        TEST(test_pull_refused_in_stream),
        TEST(test_pull_succeeds_later),
        TEST(test_pull_stands_still),
        TEST(test_pull_policy),
        TEST(test_one_pull_an_image),
        TEST(test_pull_with_login),
        TEST(test_strict_image),
        TEST(test_image_handed_over),
        TEST(test_image_built),
        TEST(test_refusals),
        TEST(test_no_image_named),
        TEST(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
