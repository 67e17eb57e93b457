/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's own services over a recorded engine: up before they are used, down when nothing needs
 * them, found again by who comes after a death, and nothing that the worker's owner forbids. */
#include "testlib.h"

#include "fake_docker.h"
#include "service_sets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN UINT64_C(0xabc)
#define WAIT_MS 60000

static struct hd_err err;
static char *dir;
static struct fake_docker *fake;
static struct hd_queue *news;
static struct hd_service_sets *sets;
static struct {
    enum hd_run_word word; /* guarded by being set while nobody asks, or by the lock of the sets */
} master;

static enum hd_run_word ask(void *context, uint64_t run_uid)
{
    (void)context;
    assert_true(run_uid == RUN);
    return __atomic_load_n(&master.word, __ATOMIC_ACQUIRE);
}

static void master_says(enum hd_run_word word)
{
    __atomic_store_n(&master.word, word, __ATOMIC_RELEASE);
}

static struct hd_service_sets_settings settings_of(int64_t silent_ms)
{
    return (struct hd_service_sets_settings){.state_dir = dir,
                                             .host = "here",
                                             .docker_host = fake_docker_host(fake),
                                             .ask = ask,
                                             .queue = news,
                                             .silent_ms = silent_ms};
}

static void open_sets(void)
{
    const struct hd_service_sets_settings settings = settings_of(0);
    assert_hd_ok(hd_service_sets_open(&settings, &sets, &err));
}

static void close_sets(void)
{
    hd_service_sets_close(sets);
    sets = NULL;
}

static int setup(void **state)
{
    (void)state;
    dir = test_dir_make();
    fake = fake_docker_start(dir);
    fake_docker_add_image(fake, "redis:7", "");
    assert_hd_ok(hd_queue_new(4096, &news, &err));
    master_says(HD_RUN_GOES_ON);
    open_sets();
    return 0;
}

static int teardown(void **state)
{
    void *item;
    (void)state;
    close_sets();
    while ((item = hd_queue_pop(news, 0)) != NULL)
        hd_free(item);
    hd_queue_free(news);
    fake_docker_stop(fake);
    test_dir_remove(dir);
    return 0;
}

static const char two[] = "- {name: cache, image: redis:7, cmd: run, networks: [back]}\n"
                          "- {name: loader, image: redis:7, cmd: run, depends: [cache], networks: "
                          "[back, bridge]}\n";

static struct hd_experiment *experiment_of(const char *services)
{
    char text[4096];
    struct hd_experiment *experiment = NULL;
    const struct hd_experiment_overrides overrides = {.base_dir = dir};
    assert_true(hd_format(text, sizeof(text),
                          "target: {command: [x]}\nspace: {x: {type: bool}}\nservices_per: "
                          "worker\nservices:\n%s",
                          services));
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "e.yaml", &overrides, &experiment, &err));
    assert_true(experiment->services_per_worker);
    return experiment;
}

static void want(const char *services, bool hold)
{
    const struct hd_services_bounds bounds = {.memory_bytes = 1u << 30, .pids = 64, .cpus = 2};
    assert_hd_ok(
        hd_service_sets_want(sets, RUN, "mnist", hold, experiment_of(services), &bounds, &err));
}

/* The word that ends a want. */
static enum hd_code await_end(void)
{
    int64_t until_ms = hd_clock_ms() + WAIT_MS;
    while (hd_clock_ms() < until_ms) {
        struct hd_service_news *one = hd_queue_pop(news, 1000);
        bool ended = one != NULL && one->ended;
        enum hd_code code = one != NULL ? one->code : HD_OK;
        if (ended) {
            assert_true(one->run_uid == RUN);
            err = one->err;
        }
        hd_free(one);
        if (ended)
            return code;
    }
    fail_msg("no end was told");
    return HD_E_TIMEOUT;
}

static const char *named(const char *name, const char *uuid)
{
    static char names[4][HD_SERVICES_NAME_SIZE];
    static size_t next;
    char *text = names[next++ % HD_COUNT(names)];
    assert_true(hd_format(text, HD_SERVICES_NAME_SIZE, "%s-%s", name, uuid));
    return text;
}

static bool is_noted(void)
{
    char path[4096];
    assert_true(hd_format(path, sizeof(path), "%s/services/0000000000000abc", dir));
    return access(path, F_OK) == 0;
}

static void await_gone(const char *uuid)
{
    fake_docker_await_gone(fake, named("cache", uuid));
    fake_docker_await_gone(fake, named("loader", uuid));
    while (is_noted())
        ; /* its file goes right after */
    assert_false(fake_docker_has_network(fake, named("back", uuid)));
}

/* Up in order under names of this set alone; kept while the run goes on, gone when it is over. */
static void a_set_lives_as_long_as_its_run(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "", other[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    assert_false(hd_service_sets_find(sets, RUN, true, uuid));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    assert_int_equal(strlen(uuid), 16);
    assert_true(fake_docker_is_running(fake, named("cache", uuid)));
    assert_true(fake_docker_is_running(fake, named("loader", uuid)));
    assert_true(fake_docker_has_network(fake, named("back", uuid)));
    assert_false(fake_docker_has_network(fake, named("bridge", uuid))); /* the engine's own */
    assert_true(is_noted());
    hd_service_sets_release(sets, RUN);
    assert_true(hd_service_sets_find(sets, RUN, true, other)); /* the next job finds it */
    assert_string_equal(uuid, other);
    master_says(HD_RUN_OVER);
    hd_service_sets_release(sets, RUN);
    await_gone(uuid);
    assert_false(hd_service_sets_find(sets, RUN, true, uuid));
}

/* A service that does not get ready is told by name and reason, and leaves nothing. */
static void what_does_not_get_ready_is_told(void **state)
{
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want("- {name: cache, image: redis:7, cmd: exit 3, ready: {exit: true}, networks: [back]}\n",
         true);
    assert_int_equal(await_end(), HD_E_CONFLICT);
    assert_non_null(strstr(err.text, "services: cache: it ended with exit code 3"));
    want("- {name: cache, image: none, cmd: run}\n", false); /* of one run: as it was */
    assert_int_equal(await_end(), HD_E_CONFLICT);
    hd_service_sets_release(sets, RUN);
    while (is_noted())
        ;
    assert_int_equal(fake_docker_count(fake, FAKE_REMOVE), 2);
}

/* One that ended is seen before the next job, if the last one failed. */
static void a_broken_set_is_made_anew(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "", other[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    hd_service_sets_doubt(sets, RUN);
    assert_false(hd_service_sets_find(sets, RUN, true, other));
    want(two, false);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, other));
    assert_string_equal(uuid, other); /* all is well with it */
    fake_docker_exit(fake, named("cache", uuid), 1, false);
    hd_service_sets_doubt(sets, RUN);
    want(two, false);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, other));
    assert_string_not_equal(uuid, other);
    assert_false(fake_docker_has(fake, named("loader", uuid)));
    assert_true(fake_docker_is_running(fake, named("cache", other)));
    hd_service_sets_release(sets, RUN);
    assert_true(hd_service_sets_leave(sets, WAIT_MS));
    await_gone(other);
}

/* What a process that died has left whole is taken over; its target goes on meanwhile. */
static void what_is_whole_is_taken_over(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "", other[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    int made = fake_docker_count(fake, FAKE_CREATE);
    close_sets(); /* as death does: nothing is taken down */
    assert_true(is_noted());
    open_sets();
    assert_true(hd_service_sets_hold(sets, RUN)); /* a target that was found again */
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, other));
    assert_string_equal(uuid, other);
    assert_int_equal(fake_docker_count(fake, FAKE_CREATE), made);
    hd_service_sets_release(sets, RUN);
    assert_true(hd_service_sets_leave(sets, WAIT_MS)); /* one attempt holds it: it stays */
    assert_true(fake_docker_is_running(fake, named("cache", uuid)));
    close_sets();
    open_sets();
    assert_hd_ok(hd_service_sets_start(sets, &err));
    assert_true(hd_service_sets_leave(sets, WAIT_MS));
    await_gone(uuid);
}

/* Killed in the middle: before the first container, between two, or when all that is left is the
 * note. */
static void what_is_left_in_part_goes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char uuid[HD_SERVICES_UUID_SIZE] = "0123456789abcdef", label[4200];
        struct hd_experiment *experiment = experiment_of(two);
        close_sets();
        open_sets();
        assert_true(hd_format(label, sizeof(label), "%s#mnist.0000000000000abc", dir));
        const struct hd_services_options options = {.docker_host = fake_docker_host(fake),
                                                    .file = label,
                                                    .host = "here",
                                                    .apart = true,
                                                    .uuid = uuid};
        if (i < 2)
            assert_hd_ok(hd_services_up(experiment->services, &options, &err));
        if (i == 1)
            fake_docker_remove(fake, named("loader", uuid));
        hd_experiment_free(experiment);
        char path[4096];
        assert_true(hd_format(path, sizeof(path), "%s/services", dir));
        assert_true(mkdir(path, 0700) == 0 || i > 0);
        assert_true(hd_format(path, sizeof(path), "%s/services/0000000000000abc", dir));
        test_file_write(path, "mnist");
        close_sets();
        open_sets();
        master_says(HD_RUN_OVER);
        assert_hd_ok(hd_service_sets_start(sets, &err));
        await_gone(uuid);
    }
}

/* The last request of a client that was killed is carried out while the rest is taken down. */
static void add_late_one(void *context, const char *name, const char *what)
{
    int *late = context;
    if (hd_streq(what, "removed") && (*late)++ == 0)
        fake_docker_add_twin(fake, named("cache", "0123456789abcdef"), "late");
    (void)name;
}

static void what_appears_late_goes_too(void **state)
{
    (void)state;
    char uuid[HD_SERVICES_UUID_SIZE] = "0123456789abcdef";
    int late = 0;
    size_t count;
    struct hd_experiment *experiment = experiment_of(two);
    struct hd_services_options options = {.docker_host = fake_docker_host(fake),
                                          .file = "late.jsonnet",
                                          .host = "here",
                                          .apart = true,
                                          .uuid = uuid};
    assert_hd_ok(hd_services_up(experiment->services, &options, &err));
    options.say = add_late_one;
    options.context = &late;
    assert_hd_ok(hd_services_down(&options, &count, &err));
    assert_int_equal(count, 4); /* three containers, a network */
    assert_false(fake_docker_has(fake, "late"));
    hd_experiment_free(experiment);
}

/* No master knows the run any more, and nothing uses its services. */
static void the_services_of_a_lost_run_end(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    close_sets();
    const struct hd_service_sets_settings settings = settings_of(1);
    assert_hd_ok(hd_service_sets_open(&settings, &sets, &err));
    master_says(HD_RUN_UNHEARD);
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    hd_service_sets_release(sets, RUN);
    await_gone(uuid);
}

/* A worker that died for good: another one of its machine does it. */
static void another_worker_reaps(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    close_sets();
    const struct hd_service_sets_settings settings = settings_of(0);
    hd_service_sets_reap(&settings);
    await_gone(uuid);
    open_sets();
}

/* What cannot be taken down, since something is in its network, is tried again. */
static void a_network_in_use_is_tried_again(void **state)
{
    char uuid[HD_SERVICES_UUID_SIZE] = "";
    (void)state;
    assert_hd_ok(hd_service_sets_start(sets, &err));
    want(two, true);
    assert_int_equal(await_end(), HD_OK);
    assert_true(hd_service_sets_find(sets, RUN, false, uuid));
    fake_docker_fail(fake, FAKE_REMOVE_NETWORK, 403,
                     "{\"message\":\"network has active endpoints\"}", 2);
    hd_service_sets_release(sets, RUN);
    assert_true(hd_service_sets_leave(sets, WAIT_MS));
    await_gone(uuid);
    assert_int_equal(fake_docker_count(fake, FAKE_REMOVE_NETWORK), 3);
}

/* ---- what a master may not have started ------------------------------------------------------ */

#define ONE(rest) "- {name: cache, image: redis:7, " rest "}\n"

/* Each rule of the worker's policy holds for services too, and is named. */
static void the_policy_is_asked(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *services, *part;
    } rows[] = {
        {"images: [mine/*]", ONE(""),
         "services.cache: refused by the policy of this worker, rule "
         "images: redis:7 matches none"},
        {"engines: [process]", ONE(""), "rule engines: docker"},
        {"networks: [none]", ONE("networks: [back]"), "rule networks: back"},
        {"{}", ONE("networks: [host]"), "rule host_network"},
        {NULL, ONE("networks: [host]"), "rule host_network"},
        {NULL, ONE("ports: [\"6379:6379\"]"), "rule ports: 0.0.0.0:6379:6379/tcp"},
        {NULL, ONE("ports: [6379]"), "rule ports: 0.0.0.0::6379/tcp"},
        {"ports: [\"127.0.0.1:80\"]", ONE("ports: [\"127.0.0.1:81:80\"]"), "rule ports: 127.0.0.1"},
        {"mounts: [/usr]", ONE("volumes: [\"/etc:/e:ro\"]"), "rule mounts: /etc is below none"},
        {NULL, ONE("volumes: [\"/etc:/e\"]"), "rule writable: /etc is below none of its roots"},
        {"writable: [/usr]", ONE("volumes: [\"/etc:/e\"]"), "rule writable: /etc"},
        {NULL, ONE("volumes: [\"/dev/null:/e:ro\"]"), "volumes: /dev/null on this worker is no "},
        {NULL, ONE("volumes: [\"/nowhere:/e:ro\"]"), "services.cache: volumes: /nowhere"},
        {"mounts: [/usr]", ONE("volumes: [\"/usr/../etc:/e:ro\"]"), "rule mounts: /etc"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_policy *policy = NULL;
        struct hd_services_bounds bounds;
        struct hd_experiment *experiment = experiment_of(rows[i].services);
        if (rows[i].policy != NULL)
            assert_hd_ok(
                hd_policy_parse(rows[i].policy, strlen(rows[i].policy), "p", &policy, &err));
        enum hd_code code =
            hd_services_judge(policy, "docker", experiment->services, &bounds, &err);
        if (code == HD_OK || strstr(err.text, rows[i].part) == NULL)
            fail_msg("%zu: %s", i, code == HD_OK ? "allowed" : err.text);
        hd_experiment_free(experiment);
        hd_policy_free(policy);
    }
}

/* What is allowed is so as it was judged, and bounded as a job is. */
static void what_is_allowed_is_bounded(void **state)
{
    (void)state;
    static const char text[] = "{images: ['redis:*'], mounts: [/usr], networks: [back], ports: "
                               "[\"127.0.0.1:*\"], max: {cpus: 2, memory: 1GiB, pids: 64}}";
    struct hd_policy *policy = NULL;
    struct hd_services_bounds bounds;
    struct hd_experiment *experiment = experiment_of(ONE(
        "volumes: [\"/usr/../usr/lib:/e:ro\"], networks: [back], ports: [\"127.0.0.1:81:80\"]"));
    assert_hd_ok(hd_policy_parse(text, strlen(text), "p", &policy, &err));
    assert_hd_ok(hd_services_judge(policy, "docker", experiment->services, &bounds, &err));
    assert_string_equal(experiment->services->items[0].volumes[0].host, "/usr/lib");
    assert_true(bounds.cpus == 2 && bounds.memory_bytes == 1u << 30 && bounds.pids == 64);
    hd_experiment_free(experiment);
    hd_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_set_lives_as_long_as_its_run, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_get_ready_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_set_is_made_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_whole_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_in_part_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_appears_late_goes_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_services_of_a_lost_run_end, setup, teardown),
        cmocka_unit_test_setup_teardown(another_worker_reaps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_network_in_use_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_policy_is_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_allowed_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests_name("service_sets", tests, NULL, NULL);
}
