/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_docker.h: a Docker engine on a unix socket that runs nothing: it answers as a real one was
 * recorded to answer, with its traps, and misbehaves when a test asks for it.
 *
 * A container's program is the first word of its command: "exit" N ends at once, "run" runs until
 * a test or a signal ends it, "deaf" ignores SIGTERM, "say" TEXT writes a line and ends. Time does
 * not pass in it: what a real engine does after a grace happens at once.
 */
#ifndef HD_FAKE_DOCKER_H
#define HD_FAKE_DOCKER_H

#include <hd/base.h>

enum fake_route {
    FAKE_PING,
    FAKE_VERSION,
    FAKE_INFO,
    FAKE_IMAGE,
    FAKE_PULL,
    FAKE_CREATE,
    FAKE_WAIT,
    FAKE_START,
    FAKE_LOGS,
    FAKE_STOP,
    FAKE_KILL,
    FAKE_INSPECT,
    FAKE_REMOVE,
    FAKE_LIST,
    FAKE_EVENTS,
    FAKE_BUILD,
    FAKE_LOAD,
    FAKE_SAVE,
    FAKE_TAG,
    FAKE_RENAME,
    FAKE_VOLUME,
    FAKE_REMOVE_VOLUME,
    FAKE_PUT_FILES,
    FAKE_GET_FILES,
    FAKE_CONNECT, /* to a network */
    FAKE_MAKE_NETWORK,
    FAKE_LIST_NETWORKS,
    FAKE_NETWORK,
    FAKE_REMOVE_NETWORK,
    FAKE_UNKNOWN,
    FAKE_ROUTE_COUNT
};

struct fake_docker;

/* Serves DIRECTORY/docker.sock; API maximum "1.41". Aborts the test on failure. */
struct fake_docker *fake_docker_start(const char *directory);
void fake_docker_stop(struct fake_docker *fake);
const char *fake_docker_host(const struct fake_docker *fake); /* "unix://..." */

void fake_docker_set_version(struct fake_docker *fake, const char *newest, int minor_min);
void fake_docker_add_image(struct fake_docker *fake, const char *name, const char *user);
/* All images have this label from now on; value NULL: none. */
void fake_docker_label_images(struct fake_docker *fake, const char *key, const char *value);
/* A pull of any image then succeeds and adds it. */
void fake_docker_allow_pulls(struct fake_docker *fake);

/* What the engine calls an image of this name; ret_id: 80 bytes. An archive that is saved or loaded
 * is the name of its image. */
void fake_docker_image_id(const char *name, char *ret_id);
/* Pulls begin and bring nothing. */
void fake_docker_hang_pulls(struct fake_docker *fake);
/* The login that came with the last pull, decoded; "" none. */
void fake_docker_last_auth(struct fake_docker *fake, char *ret_text, size_t text_size);

/* The next `count` requests of the route get this answer instead; status 0: the connection is cut
 * before anything is done; status -1: the request is carried out and its reply is lost. */
void fake_docker_fail(struct fake_docker *fake, enum fake_route route, int status, const char *body,
                      int count);
/* The body of wait never comes, whatever happens. */
void fake_docker_hang_waits(struct fake_docker *fake);
/* Lists are asked for and never come. */
void fake_docker_hang_lists(struct fake_docker *fake);
/* stop is taken, answers nothing for as long as the engine is there, and nothing stops. */
void fake_docker_hang_stops(struct fake_docker *fake);
/* stop answers, and nothing stops. */
void fake_docker_ignore_stops(struct fake_docker *fake);
/* Who follows its log gets no line that is said from now on, but the log's end; who asks again does.
 */
void fake_docker_cut_followers(struct fake_docker *fake, const char *name);
/* Containers report no memory flag; the event tells. */
void fake_docker_forget_oom_flag(struct fake_docker *fake);

/* All connections are cut and no new ones are taken, until it is brought back. What runs goes on.
 */
void fake_docker_crash(struct fake_docker *fake);
void fake_docker_come_back(struct fake_docker *fake);

/* How many requests of the route have been taken. */
int fake_docker_count(struct fake_docker *fake, enum fake_route route);
/* Waits until at least `count` have been; the test fails after half a minute. */
void fake_docker_await(struct fake_docker *fake, enum fake_route route, int count);

/* Containers by the name that was asked for. */
/* The first whose name begins so. */
bool fake_docker_find(struct fake_docker *fake, const char *prefix, char *ret_name, size_t size);
/* Whether this is its first network. */
bool fake_docker_is_in(struct fake_docker *fake, const char *name, const char *network);
bool fake_docker_has_network(struct fake_docker *fake, const char *name);
bool fake_docker_has(struct fake_docker *fake, const char *name);
bool fake_docker_is_running(struct fake_docker *fake, const char *name);
void fake_docker_await_running(struct fake_docker *fake, const char *name);
void fake_docker_await_gone(struct fake_docker *fake, const char *name);
void fake_docker_exit(struct fake_docker *fake, const char *name, int exit_code, bool oom);
void fake_docker_say(struct fake_docker *fake, const char *name, const char *line);
/* Somebody pauses it: it runs, and its state has another name. */
void fake_docker_pause(struct fake_docker *fake, const char *name);
/* The engine finds no directory of ours: it refuses to mount any. */
void fake_docker_see_nothing(struct fake_docker *fake);
/* Somebody removed all volumes; they are made anew when they are asked for. */
void fake_docker_renew_volumes(struct fake_docker *fake);
int fake_docker_volumes_removed(struct fake_docker *fake);
/* What it hands out as the files of any container, from now on. */
void fake_docker_set_files(struct fake_docker *fake, const void *archive, size_t size);
/* What was put into containers last, and where: at most size bytes; how many there were. */
size_t fake_docker_last_files(struct fake_docker *fake, char *ret_where, size_t where_size,
                              void *ret_archive, size_t size);
/* Somebody else's container, without labels, stopped. */
void fake_docker_add_stranger(struct fake_docker *fake, const char *name);
/* A container as `name` is, not started: what a client that has died had asked for. */
void fake_docker_add_twin(struct fake_docker *fake, const char *name, const char *twin);
void fake_docker_remove(struct fake_docker *fake, const char *name);
/* The query of the last stop or kill, "" none. */
void fake_docker_last_stop(struct fake_docker *fake, char *ret_text, size_t text_size);

#endif
