/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.h: containers that belong together: a database, a cache, a loader.
 *
 * A plan is read from a file and checked as a whole. A set is what `up` makes of it: its containers
 * and networks carry labels with the set's UUID and the file's path, and nothing else is kept
 * anywhere, so `down` finds a set after any crash, also when its file has changed or is gone.
 */
#ifndef HD_SERVICES_H
#define HD_SERVICES_H

#include <hd/base.h>
#include <hd/value.h>

#define HD_SERVICES_MAX 64
#define HD_SERVICE_LIST_MAX 64      /* ports, volumes, networks, depends, env of one service */
#define HD_SERVICES_PARALLEL_MAX 16 /* of one layer at the same time */
#define HD_SERVICES_PARALLEL_DEFAULT 4
#define HD_SERVICE_READY_MS_DEFAULT 60000
#define HD_SERVICES_UUID_SIZE 17 /* 16 of [A-Za-z0-9], as combu made them */
#define HD_SERVICES_PATH_MAX 4096
#define HD_SERVICES_HOST_MAX 256  /* terminator included */
#define HD_SERVICES_STOP_S 10     /* what a service gets to end by itself */
#define HD_SERVICES_NAME_SIZE 128 /* a name of the plan, '-' and a UUID */

struct hd_service_port {
    char address[64]; /* "" all */
    char host[8];     /* "" any free one */
    uint16_t container;
    char protocol[5]; /* "tcp", "udp", "sctp" */
};
struct hd_service_volume {
    char *host; /* absolute */
    char *container;
    bool read_only;
};
/* What must be seen before those that depend on it start. */
enum hd_service_ready {
    HD_SERVICE_READY_STARTED, /* that it was started */
    HD_SERVICE_READY_LOG,     /* a line of its output */
    HD_SERVICE_READY_PORT,    /* that the port takes connections */
    HD_SERVICE_READY_HEALTH,  /* that the engine's check calls it healthy */
    HD_SERVICE_READY_EXIT,    /* that it ended with exit code 0: something that loads */
};
struct hd_service {
    char *name;
    char *image;
    char **command; /* NULL: the image's */
    char **env;     /* "K=V"; NULL-terminated; NULL none */
    struct hd_service_port ports[HD_SERVICE_LIST_MAX];
    size_t port_count;
    struct hd_service_volume volumes[HD_SERVICE_LIST_MAX];
    size_t volume_count;
    char *networks[HD_SERVICE_LIST_MAX];
    size_t network_count;
    uint32_t depends[HD_SERVICES_MAX]; /* indices */
    size_t depend_count;
    enum hd_service_ready ready;
    char *ready_text; /* log: the expression; health: a command, NULL the image's own check */
    uint16_t ready_port;
    int64_t ready_ms;
    uint32_t layer; /* 0: depends on nothing; otherwise one more than what it depends on */
};
struct hd_services {
    struct hd_service items[HD_SERVICES_MAX];
    size_t count;
    uint32_t layer_count;
};

/* ---- experiment/services.c: the plan; pure --------------------------------------------------- */

/* A list of maps that have a name, or a map of them by name. Relative host paths begin at base_dir.
 * Errors "file:line: path: what": unknown keys and names, duplicates, cycles. */
HD_NODISCARD enum hd_code hd_services_parse(const struct hd_value *value, const char *file,
                                            const char *base_dir, struct hd_services **ret_plan,
                                            struct hd_err *err);
void hd_services_free(struct hd_services *plan);

/* ---- worker/engine/services.c: over a Docker engine ------------------------------------------ */

/* What no container of a set may have more of; 0, NULL: the engine's own. */
struct hd_services_bounds {
    double cpus;
    uint64_t memory_bytes;
    int64_t pids;
    const char *runtime;
};
struct hd_services_options {
    const char *docker_host; /* NULL: as Docker's own client finds it */
    bool podman;             /* with NULL: where Podman's service listens instead */
    const char *file;        /* absolute: what the set is called by */
    const char *host;        /* whose path that is: engines are shared; NULL: anybody's */
    const char *uuid;        /* of a new set */
    bool apart; /* names of containers and networks end with the UUID, so that many sets of one plan
                   fit on one engine; within the set services are found by their own names */
    const struct hd_services_bounds *bounds; /* with no new privileges; NULL: none */
    uint32_t parallel;                       /* 0: the default */
    bool (*interrupted)(void *context); /* looked at often, from several threads; may be NULL */
    /* Down: nobody is given time to end by himself any more; several threads; may be NULL. */
    bool (*hurried)(void *context);
    void (*say)(void *context, const char *name, const char *text); /* one thread at a time */
    void *context;
};
/* Starts all, layer after layer. On any failure what was made is taken down again, and the error is
 * that of the service that failed first. HD_E_EXISTS: a set of this file is there. */
HD_NODISCARD enum hd_code hd_services_up(const struct hd_services *plan,
                                         const struct hd_services_options *options,
                                         struct hd_err *err);
/* Takes down every set of options->file (NULL: of the UUID), in reverse order; goes on after a
 * failure and tells the first. *ret_count: containers and networks that were removed. */
HD_NODISCARD enum hd_code hd_services_down(const struct hd_services_options *options,
                                           size_t *ret_count, struct hd_err *err);

/* A set of options->file that is there whole, all of it running but for what was to end, is taken
 * over; otherwise what there is of it goes down and a new one, of options->uuid, up. ret_uuid is
 * that of the set. */
HD_NODISCARD enum hd_code hd_services_ensure(const struct hd_services *plan,
                                             const struct hd_services_options *options,
                                             char ret_uuid[HD_SERVICES_UUID_SIZE], bool *ret_made,
                                             struct hd_err *err);
void hd_services_make_uuid(char ret_uuid[HD_SERVICES_UUID_SIZE]);
/* What a network or a container of this name is called on the engine in a set that stands apart;
 * false: it is one of the engine's own networks, which nobody makes. */
bool hd_services_apart_name(const char *name, const char *uuid,
                            char ret_name[HD_SERVICES_NAME_SIZE]);

struct hd_service_found {
    char id[72];
    char uuid[HD_SERVICES_UUID_SIZE];
    char file[HD_SERVICES_PATH_MAX];
    char host[HD_SERVICES_HOST_MAX];       /* "" not said */
    char name[128], image[256], state[32]; /* "running", "exited" ... */
    char status[128];                      /* "Up 2 hours" */
    uint32_t layer;
};
/* All services of this engine that carry our labels, by set and layer; hd_free() them. */
HD_NODISCARD enum hd_code hd_services_list(const struct hd_services_options *options,
                                           struct hd_service_found **ret_found, size_t *ret_count,
                                           struct hd_err *err);

#endif
