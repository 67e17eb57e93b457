/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that has slept: the clock of leases has counted it, the one of the kernel's waits has
 * not. A time namespace makes the two differ by ten hours. */
#include "testlib.h"

#include "service_sets.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLEPT "boottime 36000 0\n"
#define CANNOT 77
#define HANGS_S 60 /* what waits for what was slept is killed, hours before it would end */

static struct hd_err err;

/* Children are on such a machine from now on. */
static bool sleep_long(void)
{
    int fd =
        unshare(CLONE_NEWTIME) == 0 ? open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC) : -1;
    bool done = fd >= 0 && write(fd, SLEPT, strlen(SLEPT)) == (ssize_t)strlen(SLEPT);
    if (fd >= 0)
        close(fd);
    return done;
}

/* Runs it there, in a process of its own: what it returns is the answer. */
static void on_a_machine_that_slept(bool (*act)(const char *dir))
{
    int status = 0;
    char *dir = test_dir_make();
    pid_t child = fork();
    if (child == 0) {
        pid_t inside = sleep_long() ? fork() : -1;
        if (inside < 0)
            _exit(CANNOT);
        if (inside == 0) {
            (void)alarm(HANGS_S);
            _exit(act(dir) ? 0 : 1);
        }
        if (waitpid(inside, &status, 0) != inside || !WIFEXITED(status))
            _exit(2);
        _exit(WEXITSTATUS(status));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    test_dir_remove(dir);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool wait_a_moment(const char *dir)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    int64_t until_ms = hd_clock_ms() + 20;
    (void)dir;
    hd_cond_init(&never);
    pthread_mutex_lock(&lock);
    while (hd_cond_wait_until(&never, &lock, until_ms))
        continue;
    pthread_mutex_unlock(&lock);
    return hd_clock_ms() >= until_ms;
}

static void a_wait_ends_when_it_should(void **state)
{
    (void)state;
    on_a_machine_that_slept(wait_a_moment);
}

/* ---- services ------------------------------------------------------------------------------- */

static enum hd_run_word nobody_knows(void *context, uint64_t run_uid)
{
    (void)context;
    (void)run_uid;
    return HD_RUN_UNHEARD;
}

/* Those of a run that an earlier process noted, where no engine answers. */
static bool leave_services(const char *dir)
{
    char host[4096], note[4096];
    struct hd_service_sets *sets = NULL;
    struct hd_queue *news = NULL;
    if (!hd_format(host, sizeof(host), "unix://%s/none.sock", dir) ||
        !hd_format(note, sizeof(note), "%s/services", dir) ||
        hd_mkdirs(note, 0700, &err) != HD_OK ||
        !hd_format(note, sizeof(note), "%s/services/0000000000000abc", dir) ||
        hd_file_replace(note, "mnist", 5, 0600, &err) != HD_OK ||
        hd_queue_new(16, &news, &err) != HD_OK)
        return false;
    const struct hd_service_sets_settings settings = {
        .state_dir = dir,
        .host = "here",
        .docker_host = host,
        .ask = nobody_knows,
        .queue = news,
    };
    if (hd_service_sets_open(&settings, &sets, &err) != HD_OK ||
        hd_service_sets_start(sets, &err) != HD_OK)
        return false;
    bool done = hd_service_sets_leave(sets, 200);
    hd_service_sets_close(sets);
    hd_queue_free(news);
    return !done; /* the engine may come back: it goes on trying */
}

static void a_worker_that_leaves_does_not_wait_for_what_was_slept(void **state)
{
    (void)state;
    on_a_machine_that_slept(leave_services);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_when_it_should),
        cmocka_unit_test(a_worker_that_leaves_does_not_wait_for_what_was_slept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
