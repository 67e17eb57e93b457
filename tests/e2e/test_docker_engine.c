/* SPDX-License-Identifier: Apache-2.0 */
/* What only a real Docker engine can show, beside the contract suite: limits on children, refusals
 * in its own words, whose files are whose. Where none answers, every test is skipped by name. The
 * image is imported, no registry is needed. Argument: the static target program. */
#include "testlib.h"

#include "docker.h"
#include "real_docker.h"

#include <hd/os.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPOSITORY "hyperdock-test"
#define NEWS_WAIT_MS 120000
#define MEBIBYTE (1024u * 1024u)
#define OTHER_USER 12345

static char dir_env[] = "HYPERDOCK_DIR=/hyperdock";
static char *target_env[] = {dir_env, NULL};

struct room {
    const struct asked *asked;
    char *dir;
    struct hd_queue *queue;
    struct hd_engine *engine;
    struct hd_docker_tuning tuning;
    char worker[64];
    char run_dir[600], work_dir[600], data_dir[600], log_path[600];
    struct hd_attempt_ref attempt;
    char name[HD_ENGINE_NAME_MAX];
    char words[3][64];
    char *argv[4];
};

static char tag[32];
static char image_name[64];
static const char *program;

static void open_engine(struct room *room)
{
    struct hd_err err = {0};
    const struct hd_engine_options options = {.worker = room->worker, .queue = room->queue};
    assert_hd_ok(hd_docker_open(&options, &room->tuning, &room->engine, &err));
}

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    struct hd_err err = {0};
    assert_non_null(room);
    room->asked = *state;
    room->dir = test_dir_make();
    room->tuning = hd_docker_tuning_default;
    room->tuning.hold_ms = 500;
    assert_hd_ok(hd_queue_new(64, &room->queue, &err));
    snprintf(room->run_dir, sizeof(room->run_dir), "%s/run", room->dir);
    snprintf(room->work_dir, sizeof(room->work_dir), "%s/work", room->dir);
    snprintf(room->data_dir, sizeof(room->data_dir), "%s/data", room->dir);
    snprintf(room->log_path, sizeof(room->log_path), "%s/log.txt", room->dir);
    assert_hd_ok(hd_mkdirs(room->run_dir, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->work_dir, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->data_dir, 0755, &err));
    room->attempt = (struct hd_attempt_ref){hd_os_random_u64(), 1, 1};
    snprintf(room->worker, sizeof(room->worker), "test-%016llx",
             (unsigned long long)room->attempt.run_uid);
    hd_docker_container_name(room->attempt, room->name, sizeof(room->name));
    open_engine(room);
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    hd_engine_drop(room->engine, room->attempt);
    hd_engine_close(room->engine);
    for (void *news; (news = hd_queue_pop(room->queue, 0)) != NULL;)
        hd_free(news);
    hd_queue_free(room->queue);
    test_dir_remove(room->dir);
    free(room);
    return 0;
}

static struct hd_engine_job job_of(struct room *room, const char *what, const char *detail)
{
    (void)hd_copy_text(room->words[0], sizeof(room->words[0]), "/target");
    (void)hd_copy_text(room->words[1], sizeof(room->words[1]), what);
    (void)hd_copy_text(room->words[2], sizeof(room->words[2]), detail);
    for (size_t i = 0; i < 3; i++)
        room->argv[i] = room->words[i];
    return (struct hd_engine_job){
        .attempt = room->attempt,
        .worker = room->worker,
        .run_id = "test",
        .config_id = "[0,0,0]",
        .run_dir = room->run_dir,
        .work_dir = room->work_dir,
        .log_path = room->log_path,
        .image = image_name,
        .argv = room->argv,
        .env = target_env,
        .stop_grace_ms = 1000,
    };
}

static void start(struct room *room, const struct hd_engine_job *job)
{
    struct hd_err err = {0};
    assert_hd_ok(hd_engine_start(room->engine, job, &err));
}

static struct hd_engine_end expect_end(struct room *room, enum hd_engine_end_kind kind,
                                       int exit_code, const char *message)
{
    struct hd_engine_news *news = hd_queue_pop(room->queue, NEWS_WAIT_MS);
    for (; news != NULL && !news->ended; news = hd_queue_pop(room->queue, NEWS_WAIT_MS))
        hd_free(news);
    if (news == NULL)
        fail_msg("no news came");
    struct hd_engine_end end = news->end;
    hd_free(news);
    if (end.kind != kind || (kind == HD_END_EXITED && end.exit_code != exit_code) ||
        strstr(end.message, message) == NULL)
        fail_msg("kind %d exit %d oom %d: %s", end.kind, end.exit_code, end.oom_killed,
                 end.message);
    return end;
}

/* The file comes with a rename, so it is whole when it is there. */
static void await_ready(struct room *room)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/ready", room->run_dir);
    for (int64_t until_ms = hd_clock_ms() + NEWS_WAIT_MS; !hd_path_exists(path);) {
        assert_true(hd_clock_ms() < until_ms);
        struct hd_engine_news *news = hd_queue_pop(room->queue, 10);
        if (news != NULL && news->ended)
            fail_msg("it ended before its time: kind %d exit %d: %s", news->end.kind,
                     news->end.exit_code, news->end.message);
        hd_free(news); /* what the engine does meanwhile */
    }
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* A child that is killed for memory is told of, whatever the parent says. */
static void test_memory_limit_in_child(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "child-memory", "268435456");
    job.memory_bytes = 24 * MEBIBYTE;
    start(room, &job);
    assert_true(expect_end(room, HD_END_EXITED, 7, "").oom_killed);
}

static void test_fork_limit(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "forks", "20");
    job.pids = 10;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 1, "");
}

/* What target.container and the other resources ask for holds inside. */
static void test_container_options(void **state)
{
    struct room *room = *state;
    static char user[] = "12345", network[] = "none", tmpfs[] = "/scratch:size=1m,mode=1777";
    static char nofile[] = "nofile=64:128", all[] = "ALL", chown_only[] = "CHOWN";
    static char *tmpfs_list[] = {tmpfs, NULL}, *ulimits[] = {nofile, NULL};
    static char *drop[] = {all, NULL}, *add[] = {chown_only, NULL};
    const struct hd_container container = {.shm_bytes = MEBIBYTE,
                                           .ulimits = ulimits,
                                           .user = user,
                                           .network = network,
                                           .read_only = true,
                                           .tmpfs = tmpfs_list,
                                           .cap_add = add,
                                           .cap_drop = drop};
    struct hd_engine_job job = job_of(room, "confined", "");
    job.container = &container;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
}

/* A kill by somebody else is reported as it is, after the engine has stayed. */
static void test_foreign_kill(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "wait", "");
    struct hd_err err = {0};
    start(room, &job);
    await_ready(room);
    assert_hd_ok(real_docker_kill(room->name, &err));
    assert_false(expect_end(room, HD_END_EXITED, 137, "").oom_killed);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void test_no_such_image(void **state)
{
    struct room *room = *state;
    static char absent[] = "127.0.0.1:1/hyperdock-test-absent:1";
    struct hd_engine_job job = job_of(room, "exit", "0");
    job.image = absent;
    job.pull = HD_PULL_NEVER;
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "does not exist here").config_error);
}

/* Its directories, as an engine with a directory of its own has them. */
static struct hd_engine_job job_ahead(struct room *room, uint32_t number, const char *what,
                                      const char *detail)
{
    struct hd_engine_job job = job_of(room, what, detail);
    struct hd_err err = {0};
    snprintf(room->run_dir, sizeof(room->run_dir), "%s/run-%u", room->dir, number);
    snprintf(room->work_dir, sizeof(room->work_dir), "%s/work-%u", room->dir, number);
    snprintf(room->log_path, sizeof(room->log_path), "%s/log-%u.txt", room->dir, number);
    assert_hd_ok(hd_mkdirs(room->run_dir, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->work_dir, 0755, &err));
    room->attempt.job = number;
    job.attempt = room->attempt;
    job.ahead = true;
    return job;
}

static void open_with_state(struct room *room)
{
    struct hd_err err = {0};
    char state_dir[700];
    hd_engine_close(room->engine);
    snprintf(state_dir, sizeof(state_dir), "%s/state", room->dir);
    assert_hd_ok(hd_mkdirs(state_dir, 0700, &err));
    const struct hd_engine_options options = {.worker = room->worker,
                                              .state_dir = state_dir,
                                              .queue = room->queue,
                                              .files = HD_FILES_BIND,
                                              .slots = 1};
    assert_hd_ok(hd_docker_open(&options, &room->tuning, &room->engine, &err));
}

/* Until the container of the next job waits: it has been told apart from no other by its time. */
static bool await_ahead(struct room *room)
{
    struct hd_docker *docker = (struct hd_docker *)room->engine;
    bool ready = false, gone = false;
    for (int64_t until_ms = hd_clock_ms() + NEWS_WAIT_MS;
         !ready && !gone && hd_clock_ms() < until_ms;) {
        struct hd_engine_news *news = hd_queue_pop(room->queue, 10);
        assert_true(news == NULL || !news->ended || news->end.kind == HD_END_EXITED ||
                    news->end.config_error);
        hd_free(news);
        pthread_mutex_lock(&docker->lock);
        for (const struct hd_docker_watch *watch = docker->watches; watch != NULL;
             watch = watch->next) {
            ready = ready || watch->ahead.state == HD_DOCKER_AHEAD_READY;
            gone = gone || watch->ahead.state == HD_DOCKER_AHEAD_GONE;
        }
        pthread_mutex_unlock(&docker->lock);
    }
    return ready;
}

/* The job that gets a container which runs already finds its own files in it, and what it writes is
 * in its own directories. */
static void test_ahead(void **state)
{
    struct room *room = *state;
    char path[700];
    size_t size;
    open_with_state(room);
    struct hd_engine_job job = job_ahead(room, 1, "loss", "0.5");
    start(room, &job);
    assert_true(await_ahead(room));
    hd_engine_remove(room->engine, job.attempt);
    job = job_ahead(room, 2, "loss", "0.5");
    int64_t before_ms = hd_clock_wall_ms();
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_EXITED, 0, "");
    assert_true(end.started_wall_ms + 1 >= before_ms);
    assert_true(end.finished_wall_ms >= end.started_wall_ms);
    snprintf(path, sizeof(path), "%s/loss.json", room->run_dir);
    char *loss = test_file_read(path, &size);
    assert_non_null(strstr(loss, "0.5"));
    free(loss);
    hd_engine_remove(room->engine, job.attempt);
}

/* What cannot be executed is said to be the experiment's fault there too. */
static void test_ahead_no_such_command(void **state)
{
    struct room *room = *state;
    static char nope[] = "/nope";
    char *argv[] = {nope, NULL};
    open_with_state(room);
    struct hd_engine_job job = job_ahead(room, 1, "run", "");
    job.argv = argv;
    start(room, &job);
    assert_true(await_ahead(room));
    hd_engine_remove(room->engine, job.attempt);
    job = job_ahead(room, 2, "run", "");
    job.argv = argv;
    start(room, &job);
    struct hd_engine_end end =
        expect_end(room, HD_END_NOT_STARTED, 0, "exec /nope failed: No such file or directory");
    assert_true(end.config_error);
    hd_engine_remove(room->engine, job.attempt);
}

static void test_no_such_command(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    (void)hd_copy_text(room->words[0], sizeof(room->words[0]), "/nope");
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_NOT_STARTED, 0, "/nope");
    assert_true(end.config_error);
}

static void test_data_absent(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    job.data_dir = "/nonexistent/hyperdock";
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "does not exist").config_error);
    assert_false(hd_path_exists(job.data_dir));
}

static void test_tiny_memory(void **state)
{
    struct room *room = *state;
    struct hd_engine_job job = job_of(room, "exit", "0");
    job.memory_bytes = 1000;
    start(room, &job);
    assert_true(expect_end(room, HD_END_NOT_STARTED, 0, "memory").config_error);
}

/* ---- files and output ----------------------------------------------------------------------- */

/* Data is there in both places, and cannot be written. */
static void test_data(void **state)
{
    struct room *room = *state;
    char path[700];
    snprintf(path, sizeof(path), "%s/x", room->data_dir);
    test_file_write(path, "x");
    struct hd_engine_job job = job_of(room, "data", "");
    job.data_dir = room->data_dir;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
}

static uid_t wrong_owner;

static int check_owner(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)path;
    (void)type;
    (void)walk;
    if (status->st_uid != geteuid())
        wrong_owner = status->st_uid + 1;
    return 0;
}

static void check_results(struct room *room)
{
    struct hd_engine_job job = job_of(room, "results", "");
    job.data_dir = room->data_dir;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
    wrong_owner = 0;
    assert_int_equal(nftw(room->dir, check_owner, 16, FTW_PHYS), 0);
    assert_int_equal(wrong_owner, 0);
    char path[700];
    snprintf(path, sizeof(path), "%s/weights", room->work_dir);
    char *text = test_file_read(path, NULL);
    assert_string_equal(text, "1 2 3\n");
    free(text);
}

/* Everything that a target leaves belongs to whoever runs the worker. */
static void test_owner_of_results(void **state)
{
    check_results(*state);
}

static int give_away(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return lchown(path, OTHER_USER, getegid());
}

/* The same for a worker that is not root: nothing in the tree is root's. */
static void test_owner_of_results_not_root(void **state)
{
    struct room *room = *state;
    if (geteuid() != 0)
        return; /* test_owner_of_results has shown it */
    hd_engine_close(room->engine);
    assert_int_equal(nftw(room->dir, give_away, 16, FTW_PHYS), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        /* The group stays, since the engine's socket is the group's. A failed assertion ends the
         * process with a signal, which the parent sees. */
        if (setresuid(OTHER_USER, OTHER_USER, OTHER_USER) != 0)
            _exit(1);
        open_engine(room);
        check_results(room);
        hd_engine_remove(room->engine, room->attempt);
        hd_engine_close(room->engine);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    open_engine(room);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- what a person asked for and cannot have ------------------------------------------------ */

struct asked {
    const char *name;
    const char *words[2]; /* of the command; NULL: none */
    struct hd_container container;
    const char *gpus;
    bool data_is_file;
    bool machine; /* another worker may do it */
    const char *refusal, *advice;
};

static char nobody[] = "nobody-here", nvidia[] = "nvidia", no_network[] = "hyperdock-none";

#define NO_PROGRAM "; the image holds no such program: check target.command"

static const struct asked asked[] = {
    {.name = "command_absent",
     .words = {"/nope"},
     .refusal = "its command could not be executed: exec /nope failed: No such file or directory",
     .advice = NO_PROGRAM},
    {.name = "image_without_a_shell",
     .words = {"sh", "-c"},
     .refusal = "exec sh failed: No such file or directory",
     .advice = "note that not every image has a shell"},
    {.name = "command_not_executable",
     .words = {"/etc/hosts"},
     .refusal = "exec /etc/hosts failed: Permission denied",
     .advice = "; it is no program that may be executed"},
    {.name = "image_without_an_entry_point",
     .refusal = "the container cannot be created: No command specified",
     .advice = "; the image has no entry point: give target.command"},
    {.name = "user_absent",
     .words = {"/target"},
     .container = {.user = nobody},
     .refusal = "the container cannot be started: unable to find user nobody-here",
     .advice = "; target.container.user names nobody of the image's /etc/passwd"},
    {.name = "runtime_absent",
     .words = {"/target"},
     .container = {.runtime = nvidia},
     .machine = true,
     .refusal = "the container cannot be created: Unknown runtime specified nvidia",
     .advice = "; install that runtime for this engine"},
    {.name = "network_absent",
     .words = {"/target"},
     .container = {.network = no_network},
     .refusal = "the container cannot be started: network hyperdock-none not found",
     .advice = "; target.networks or target.container.network names a network"},
    {.name = "no_gpu_here",
     .words = {"/target"},
     .gpus = "GPU-1",
     .machine = true,
     .refusal = "the container cannot be started: could not select device driver",
     .advice = "; this engine cannot hand out GPUs"},
    {.name = "data_is_a_file",
     .words = {"/target"},
     .data_is_file = true,
     .refusal = "the container cannot be created: target.data: ",
     .advice = " is not a directory; name the one that it is in"},
};

/* In the words of a real engine, and with what to do. */
static void a_refusal(void **state)
{
    struct room *room = *state;
    const struct asked *row = room->asked;
    char path[700];
    struct hd_engine_job job = job_of(room, "exit", "0");
    for (size_t i = 0; i < HD_COUNT(row->words); i++)
        if (row->words[i] != NULL)
            (void)hd_copy_text(room->words[i], sizeof(room->words[i]), row->words[i]);
    if (row->words[0] == NULL)
        room->argv[0] = NULL;
    job.container = &row->container;
    job.gpus = row->gpus;
    snprintf(path, sizeof(path), "%s/file", room->dir);
    test_file_write(path, "x");
    if (row->data_is_file)
        job.data_dir = path;
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_NOT_STARTED, 0, row->refusal);
    assert_int_equal(end.config_error, !row->machine);
    if (strstr(end.message, row->advice) == NULL)
        fail_msg("%s", end.message);
}

/* Links in the path of the data are followed before the container is made. */
static void data_by_a_link(void **state)
{
    struct room *room = *state;
    char path[700];
    snprintf(path, sizeof(path), "%s/x", room->data_dir);
    test_file_write(path, "x");
    snprintf(path, sizeof(path), "%s/link", room->dir);
    assert_int_equal(symlink(room->data_dir, path), 0);
    struct hd_engine_job job = job_of(room, "data", "");
    job.data_dir = path;
    start(room, &job);
    expect_end(room, HD_END_EXITED, 0, "");
}

/* What the image says of GPUs is not asked; its user can write into what is open to targets. */
static void image_with_a_user_and_all_gpus(void **state)
{
    struct room *room = *state;
    struct hd_err err = {0};
    char other[64], name[128];
    snprintf(other, sizeof(other), "%s-user", tag);
    snprintf(name, sizeof(name), "%s:%s", REPOSITORY, other);
    assert_hd_ok(real_docker_import_with(
        program, REPOSITORY, other,
        "&changes=USER%2012345&changes=ENV%20NVIDIA_VISIBLE_DEVICES%3Dall", &err));
    static char none[] = "NVIDIA_VISIBLE_DEVICES=void", *env[] = {dir_env, none, NULL};
    struct hd_engine_job job = job_of(room, "env", "NVIDIA_VISIBLE_DEVICES");
    job.image = name;
    job.env = env;
    assert_int_equal(chmod(room->run_dir, 0777) + chmod(room->work_dir, 0777), 0);
    start(room, &job);
    struct hd_engine_end end = expect_end(room, HD_END_EXITED, 0, "");
    char *said = test_file_read(room->log_path, NULL);
    hd_engine_drop(room->engine, room->attempt);
    room->attempt.job++;
    job = job_of(room, "results", "");
    job.image = name;
    start(room, &job);
    end = expect_end(room, HD_END_EXITED, 0, "");
    hd_engine_drop(room->engine, room->attempt);
    real_docker_remove_image(REPOSITORY, other);
    assert_non_null(strstr(said, "NVIDIA_VISIBLE_DEVICES=void"));
    assert_int_equal(end.exit_code, 0);
    free(said);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* By name, as TAP wants it; cmocka's own skip prints "not ok". */
static int skip_all(const struct CMUnitTest *tests, size_t count)
{
    printf("1..%zu\n", count);
    for (size_t i = 0; i < count; i++)
        printf("ok %zu %s # SKIP no Docker engine answers\n", i + 1, tests[i].name);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest others[] = {
        TEST(test_memory_limit_in_child),
        TEST(test_fork_limit),
        TEST(test_foreign_kill),
        TEST(test_no_such_image),
        TEST(test_no_such_command),
        TEST(test_ahead),
        TEST(test_ahead_no_such_command),
        TEST(test_data_absent),
        TEST(test_tiny_memory),
        TEST(test_data),
        TEST(test_owner_of_results),
        TEST(test_owner_of_results_not_root),
        TEST(test_container_options),
        TEST(data_by_a_link),
        TEST(image_with_a_user_and_all_gpus),
    };
    struct CMUnitTest tests[HD_COUNT(others) + HD_COUNT(asked)];
    memcpy(tests, others, sizeof(others));
    for (size_t i = 0; i < HD_COUNT(asked); i++)
        tests[HD_COUNT(others) + i] = (struct CMUnitTest){
            .name = asked[i].name,
            .test_func = a_refusal,
            .setup_func = setup,
            .teardown_func = teardown,
            .initial_state = (void *)(uintptr_t)&asked[i],
        };
    struct hd_err err = {0};
    if (argc != 2)
        return HD_EXIT_USAGE;
    program = argv[1];
    if (!real_docker_answers())
        return skip_all(tests, HD_COUNT(tests));
    snprintf(tag, sizeof(tag), "%016llx", (unsigned long long)hd_os_random_u64());
    snprintf(image_name, sizeof(image_name), "%s:%s", REPOSITORY, tag);
    if (real_docker_import(argv[1], REPOSITORY, tag, false, &err) != HD_OK) {
        fprintf(stderr, "the image could not be made: %s\n", err.text);
        return HD_EXIT_FAILED;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    real_docker_remove_image(REPOSITORY, tag);
    return failed;
}
