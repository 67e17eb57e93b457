/* SPDX-License-Identifier: Apache-2.0 */
/* fake_docker.c: what tests order of the fake engine and see of it. */
#include "fake_docker_internal.h"

#include "testlib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AWAIT_S 30

struct fake_docker *fake_docker_start(const char *directory)
{
    struct fake_docker *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    (void)hd_format(fake->path, sizeof(fake->path), "%s/docker.sock", directory);
    (void)hd_format(fake->host, sizeof(fake->host), "unix://%.240s", fake->path);
    (void)hd_format(fake->newest, sizeof(fake->newest), "1.41");
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    fake_listen_now(fake);
    return fake;
}

void fake_docker_stop(struct fake_docker *fake)
{
    if (fake == NULL)
        return;
    if (!fake->down) {
        fake_stop_listening(fake);
        fake_cut_connections(fake);
    }
    for (size_t i = 0; i < CONTAINERS_MAX; i++)
        hd_value_free(fake->containers[i].body);
    for (size_t i = 0; i < NETWORKS_MAX; i++)
        hd_value_free(fake->networks[i].body);
    pthread_cond_destroy(&fake->changed);
    pthread_mutex_destroy(&fake->lock);
    free(fake->put);
    free(fake->files);
    free(fake);
}

void fake_docker_crash(struct fake_docker *fake)
{
    fake_stop_listening(fake);
    fake_cut_connections(fake);
}

void fake_docker_come_back(struct fake_docker *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->down = false;
    pthread_mutex_unlock(&fake->lock);
    fake_listen_now(fake);
}

const char *fake_docker_host(const struct fake_docker *fake)
{
    return fake->host;
}

#define LOCKED(fake, statement)                                                                    \
    do {                                                                                           \
        pthread_mutex_lock(&(fake)->lock);                                                         \
        statement;                                                                                 \
        pthread_cond_broadcast(&(fake)->changed);                                                  \
        pthread_mutex_unlock(&(fake)->lock);                                                       \
    } while (0)

void fake_docker_set_version(struct fake_docker *fake, const char *newest, int minor_min)
{
    LOCKED(fake, {
        (void)hd_format(fake->newest, sizeof(fake->newest), "%s", newest);
        fake->minor_min = minor_min;
    });
}

void fake_docker_add_image(struct fake_docker *fake, const char *name, const char *user)
{
    LOCKED(fake, {
        hd_assert(fake->image_count < IMAGES_MAX);
        (void)hd_format(fake->images[fake->image_count].name, 128, "%s", name);
        (void)hd_format(fake->images[fake->image_count++].user, 64, "%s", user);
    });
}

void fake_docker_label_images(struct fake_docker *fake, const char *key, const char *value)
{
    pthread_mutex_lock(&fake->lock);
    fake->image_labels[0] = '\0';
    if (value != NULL)
        (void)hd_format(fake->image_labels, sizeof(fake->image_labels), "{\"%s\":\"%s\"}", key,
                        value);
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_allow_pulls(struct fake_docker *fake)
{
    LOCKED(fake, fake->pulls = true);
}

void fake_docker_fail(struct fake_docker *fake, enum fake_route route, int status, const char *body,
                      int count)
{
    pthread_mutex_lock(&fake->lock);
    size_t i = 0;
    while (i < FAULTS_MAX && fake->faults[i].left > 0)
        i++;
    hd_assert(i < FAULTS_MAX);
    fake->faults[i] = (struct fault){.route = route, .status = status, .left = count};
    (void)hd_format(fake->faults[i].body, sizeof(fake->faults[i].body), "%s", body);
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_image_id(const char *name, char *ret_id)
{
    fake_image_id(name, ret_id);
}

void fake_docker_hang_pulls(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_pulls = true);
}

void fake_docker_last_auth(struct fake_docker *fake, char *ret_text, size_t text_size)
{
    struct hd_buf plain;
    struct hd_err err;
    hd_buf_init(&plain, 4096);
    LOCKED(fake,
           assert_int_equal(
               hd_base64_decode(fake->last_auth, strlen(fake->last_auth), &plain, &err), HD_OK));
    (void)hd_format(ret_text, text_size, "%s", hd_buf_text(&plain));
    hd_buf_release(&plain);
}

void fake_docker_hang_waits(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_waits = true);
}

void fake_docker_hang_lists(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_lists = true);
}

void fake_docker_hang_stops(struct fake_docker *fake)
{
    LOCKED(fake, fake->hang_stops = true);
}

void fake_docker_ignore_stops(struct fake_docker *fake)
{
    LOCKED(fake, fake->ignore_stops = true);
}

void fake_docker_forget_oom_flag(struct fake_docker *fake)
{
    LOCKED(fake, fake->forget_oom = true);
}

int fake_docker_count(struct fake_docker *fake, enum fake_route route)
{
    int count = 0;
    LOCKED(fake, count = fake->counts[route]);
    return count;
}

/* With the lock; the promise of a test is an event, the limit only ends a broken one. */
static void await_change(struct fake_docker *fake, const char *what)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += AWAIT_S;
    if (pthread_cond_timedwait(&fake->changed, &fake->lock, &limit) == ETIMEDOUT) {
        pthread_mutex_unlock(&fake->lock);
        fail_msg("the fake engine waited in vain for %s", what);
    }
}

void fake_docker_await(struct fake_docker *fake, enum fake_route route, int count)
{
    pthread_mutex_lock(&fake->lock);
    while (fake->counts[route] < count)
        await_change(fake, "a request");
    pthread_mutex_unlock(&fake->lock);
}

bool fake_docker_find(struct fake_docker *fake, const char *prefix, char *ret_name, size_t size)
{
    pthread_mutex_lock(&fake->lock);
    bool found = false;
    for (size_t i = 0; i < CONTAINERS_MAX && !found; i++)
        if (fake->containers[i].used &&
            strncmp(fake->containers[i].name, prefix, strlen(prefix)) == 0)
            found = hd_copy_text(ret_name, size, fake->containers[i].name);
    pthread_mutex_unlock(&fake->lock);
    return found;
}

bool fake_docker_is_in(struct fake_docker *fake, const char *name, const char *network)
{
    pthread_mutex_lock(&fake->lock);
    const struct container *c = fake_find(fake, name);
    const struct hd_value *mode =
        c != NULL ? hd_value_get(hd_value_get(c->body, "HostConfig"), "NetworkMode") : NULL;
    bool is_in = mode != NULL && hd_streq(mode->as.string, network);
    pthread_mutex_unlock(&fake->lock);
    return is_in;
}

bool fake_docker_has_network(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    bool has = fake_find_network(fake, name) != NULL;
    pthread_mutex_unlock(&fake->lock);
    return has;
}

bool fake_docker_has(struct fake_docker *fake, const char *name)
{
    bool has = false;
    LOCKED(fake, has = fake_find(fake, name) != NULL);
    return has;
}

bool fake_docker_is_running(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    const struct container *c = fake_find(fake, name);
    bool running = c != NULL && c->state == STATE_RUNNING;
    pthread_mutex_unlock(&fake->lock);
    return running;
}

void fake_docker_await_running(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    for (;;) {
        const struct container *c = fake_find(fake, name);
        if (c != NULL && c->state == STATE_RUNNING)
            break;
        await_change(fake, "a running container");
    }
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_await_gone(struct fake_docker *fake, const char *name)
{
    pthread_mutex_lock(&fake->lock);
    while (fake_find(fake, name) != NULL)
        await_change(fake, "a removal");
    pthread_mutex_unlock(&fake->lock);
}

void fake_docker_exit(struct fake_docker *fake, const char *name, int exit_code, bool oom)
{
    LOCKED(fake, {
        struct container *c = fake_find(fake, name);
        hd_assert(c != NULL && c->state == STATE_RUNNING);
        fake_end(fake, c, exit_code, oom);
    });
}

void fake_docker_pause(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, {
        struct container *c = fake_find(fake, name);
        hd_assert(c != NULL && c->state == STATE_RUNNING);
        c->paused = true;
    });
}

void fake_docker_say(struct fake_docker *fake, const char *name, const char *line)
{
    LOCKED(fake, {
        struct container *c = fake_find(fake, name);
        hd_assert(c != NULL);
        fake_say(fake, c, line);
    });
}

void fake_docker_cut_followers(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, {
        struct container *c = fake_find(fake, name);
        hd_assert(c != NULL && c->log_size > 0);
        c->log_followed = c->log_size;
    });
}

void fake_docker_see_nothing(struct fake_docker *fake)
{
    LOCKED(fake, fake->sees_nothing = true);
}

void fake_docker_renew_volumes(struct fake_docker *fake)
{
    LOCKED(fake, fake->volumes_made++);
}

int fake_docker_volumes_removed(struct fake_docker *fake)
{
    return fake_docker_count(fake, FAKE_REMOVE_VOLUME);
}

void fake_docker_set_files(struct fake_docker *fake, const void *archive, size_t size)
{
    LOCKED(fake, {
        free(fake->files);
        fake->files = malloc(size + 1);
        hd_assert(fake->files != NULL);
        memcpy(fake->files, archive, size);
        fake->files_size = size;
    });
}

size_t fake_docker_last_files(struct fake_docker *fake, char *ret_where, size_t where_size,
                              void *ret_archive, size_t size)
{
    size_t all = 0;
    LOCKED(fake, {
        all = fake->put_size;
        (void)hd_format(ret_where, where_size, "%s", fake->put_where);
        if (fake->put != NULL)
            memcpy(ret_archive, fake->put, all < size ? all : size);
    });
    return all;
}

void fake_docker_add_stranger(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, fake_end(fake, fake_add(fake, name, NULL), 0, false));
}

void fake_docker_add_twin(struct fake_docker *fake, const char *name, const char *twin)
{
    LOCKED(fake, {
        struct hd_err err;
        struct hd_value *body;
        const struct container *c = fake_find(fake, name);
        hd_assert(c != NULL);
        hd_assert(hd_value_copy(c->body, &body, &err) == HD_OK);
        (void)fake_add(fake, twin, body);
    });
}

void fake_docker_remove(struct fake_docker *fake, const char *name)
{
    LOCKED(fake, {
        struct container *c = fake_find(fake, name);
        hd_assert(c != NULL);
        fake_drop(fake, c);
    });
}

void fake_docker_last_stop(struct fake_docker *fake, char *ret_text, size_t text_size)
{
    LOCKED(fake, (void)hd_format(ret_text, text_size, "%s", fake->last_stop));
}
