/* SPDX-License-Identifier: Apache-2.0 */
/* fake_docker_internal.h: the parts of the fake engine. Its lock is held wherever a request is
 * answered. */
#ifndef HD_FAKE_DOCKER_INTERNAL_H
#define HD_FAKE_DOCKER_INTERNAL_H

#include "fake_docker.h"

#include <pthread.h>

#include <hd/value.h>

#define CONTAINERS_MAX 64
#define IMAGES_MAX 8
#define NETWORKS_MAX 16
#define FAULTS_MAX 16
#define CONNECTIONS_MAX 512
#define LOG_MAX 65536

enum container_state { STATE_CREATED, STATE_RUNNING, STATE_EXITED };

struct container {
    bool used;
    char id[65];
    char name[128];
    enum container_state state;
    bool paused;
    int exit_code;
    bool oom;
    char error[256];
    char started[64], finished[64];
    struct hd_value *body; /* of create; NULL: a stranger */
    char log[LOG_MAX];     /* whole frames */
    size_t log_size;
    size_t log_followed; /* followers get no more; 0: all of it */
};

struct network {
    bool used;
    char id[65];
    char name[128];
    struct hd_value *body; /* of create */
};

struct fault {
    enum fake_route route;
    int status;
    char body[1024];
    int left;
};

struct connection {
    struct fake_docker *fake;
    pthread_t thread;
    int fd; /* -1: over */
    bool used;
};

struct fake_docker {
    char host[256];
    char path[256];
    int listener;
    int wake[2];
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool down;
    unsigned generation; /* rises with each crash: streams of before end */
    char newest[16];
    int minor_min;
    char *put, *files; /* archives */
    size_t put_size, files_size;
    char put_where[256];
    bool sees_nothing;
    unsigned volumes_made; /* the time when they were */
    char volume[256];
    bool pulls, hang_pulls, hang_waits, hang_lists, hang_stops, ignore_stops, forget_oom;
    struct {
        char name[128], user[64];
    } images[IMAGES_MAX];
    size_t image_count;
    char image_labels[256]; /* a JSON object, or "null" as engines say for none */
    struct container containers[CONTAINERS_MAX];
    struct network networks[NETWORKS_MAX];
    unsigned made;
    struct fault faults[FAULTS_MAX];
    struct connection connections[CONNECTIONS_MAX];
    int counts[FAKE_ROUTE_COUNT];
    char last_stop[256];
    char last_auth[2048];
};

struct request {
    char method[8];
    char path[1024]; /* without version and query */
    char query[1024];
    char *body;
    size_t body_size;
    char auth[2048]; /* X-Registry-Auth */
    int minor;       /* -1: unversioned */
};

/* ---- fake_docker_wire.c: its socket */

bool fake_send_answer(int fd, const char *version, int status, const char *type, const char *body,
                      size_t size);
bool fake_send_json(int fd, const struct fake_docker *fake, int status, const char *body);
bool fake_send_stream_head(int fd);
bool fake_send_chunk(int fd, const char *bytes, size_t size);
bool fake_send_message(int fd, const struct fake_docker *fake, int status, const char *text);
void fake_query_text(const struct request *request, const char *key, char *text, size_t size);
void fake_listen_now(struct fake_docker *fake);
void fake_stop_listening(struct fake_docker *fake);
void fake_cut_connections(struct fake_docker *fake);

/* ---- fake_docker_containers.c: containers and what is asked of them */

struct container *fake_find(struct fake_docker *fake, const char *id_or_name);
struct container *fake_add(struct fake_docker *fake, const char *name, struct hd_value *body);
void fake_drop(struct fake_docker *fake, struct container *c);
void fake_end(struct fake_docker *fake, struct container *c, int exit_code, bool oom);
void fake_say(struct fake_docker *fake, struct container *c, const char *line);
bool fake_wait_change(struct fake_docker *fake, unsigned generation);
bool fake_answer_create(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_wait(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id);
bool fake_answer_logs(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id);
bool fake_answer_events(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_rename(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id);
bool fake_answer_start(struct fake_docker *fake, int fd, const char *id);
bool fake_answer_stop(struct fake_docker *fake, int fd, const struct request *request,
                      const char *id, bool kill);
bool fake_answer_inspect(struct fake_docker *fake, int fd, const char *id);
bool fake_passes(const struct request *request, const struct hd_value *body);
bool fake_answer_list(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_remove(struct fake_docker *fake, int fd, const struct request *request,
                        const char *id);

/* ---- fake_docker_things.c: images, networks and archives of files */

const char *fake_image_user(const struct fake_docker *fake, const char *name);
void fake_image_id(const char *name, char ret_id[80]);
bool fake_answer_image(struct fake_docker *fake, int fd, const char *name);
bool fake_answer_pull(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_build(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_load(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_save(struct fake_docker *fake, int fd, const char *name);
struct network *fake_find_network(struct fake_docker *fake, const char *id_or_name);
bool fake_has_network(struct fake_docker *fake, const char *name);
bool fake_answer_make_network(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_list_networks(struct fake_docker *fake, int fd, const struct request *request);
bool fake_answer_remove_network(struct fake_docker *fake, int fd, const char *id);
bool fake_answer_put_files(struct fake_docker *fake, int fd, const struct request *request,
                           const char *id);
bool fake_answer_get_files(struct fake_docker *fake, int fd, const struct request *request,
                           const char *id);

/* ---- fake_docker_routes.c: which call a request is, and the faults that a test has ordered for it
 */

bool fake_answer(struct fake_docker *fake, int fd, const struct request *request);

#endif
