/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h: the thin shell around the core: reads events, steps, commits, then speaks.
 *
 * One thread owns the core and the store. It drains what has arrived, steps every event, makes
 * one commit, and only then sends replies and passes facts and asks to the sampler threads.
 */
#ifndef HD_DRIVER_H
#define HD_DRIVER_H

#include <hd/core.h>
#include <hd/net.h>
#include <hd/notice.h>
#include <hd/store.h>

struct hd_driver_options {
    struct hd_core_options core;
    const char *store_path;     /* the SQLite file */
    const char *host;           /* where to listen */
    uint16_t port;              /* 0: any */
    const char *advertise;      /* host that workers dial; NULL: host */
    const char *nameserver;     /* "tcp://host:port"; "": tell nobody */
    const char *master_id;      /* stable over restarts of one state directory */
    const char *token;          /* when keyring is NULL: the one that there is */
    struct hd_keyring *keyring; /* tokens with roles; outlives the driver */
    struct hd_net_security security;
    const struct hd_notice_settings
        *notices;            /* who is told what; outlives the driver; NULL: nobody */
    bool notices_off;        /* nobody is to be told of what happens in this life, later either */
    int64_t notice_flush_ms; /* at the end, for notices that are still to go out; 0: 10 s */
    const char *depot;       /* where copies of work directories are kept; NULL: beside the store */
    uint64_t depot_bytes_max; /* of them; 0: the default; core.no_copies: none are taken */
    uint64_t home_bytes_max;  /* of files of attempts; 0: the default; core.no_files: likewise */
};

struct hd_driver;

/* Locks and restores the store. Nothing listens yet. */
HD_NODISCARD enum hd_code hd_driver_open(const struct hd_driver_options *options,
                                         struct hd_driver **ret_driver, struct hd_err *err);
void hd_driver_close(struct hd_driver *driver);

/* Before hd_driver_serve(): the runs of the store, and requests as if they had come by wire
 * (durable on return). HD_E_* of a refusal are returned with its text. */
const struct hd_core *hd_driver_core(const struct hd_driver *driver);
HD_NODISCARD enum hd_code hd_driver_request(struct hd_driver *driver,
                                            const struct hd_request *request, struct hd_err *err);

/* Opens the socket; who calls waits for hd_driver_serve(). HD_E_NET: the address cannot be had. */
HD_NODISCARD enum hd_code hd_driver_listen(struct hd_driver *driver, struct hd_err *err);
/* Then tells the nameserver, when there is one, of the runs that there are (HD_E_EXISTS: another
 * live master serves one of them). */
HD_NODISCARD enum hd_code hd_driver_register(struct hd_driver *driver, struct hd_err *err);
const char *hd_driver_address(const struct hd_driver *driver); /* "tcp://host:port", advertised */

/* Serves until every run is over (and those who wait have been told) or *stop becomes
 * non-zero. stop_fd becomes readable then. HD_E_IO, HD_E_CORRUPT: the process must exit and
 * restore. */
HD_NODISCARD enum hd_code hd_driver_serve(struct hd_driver *driver, int stop_fd,
                                          struct hd_err *err);

/* ---- experiment_file.c ----------------------------------------------------------------------- */

/* Reads and checks an experiment file; what it names is relative to its directory. */
HD_NODISCARD enum hd_code hd_experiment_read(const char *path,
                                             const struct hd_experiment_overrides *overrides,
                                             struct hd_experiment **ret_experiment,
                                             struct hd_err *err);

/* ---- params.c
 * ------------------------------------------------------------------------------------ */

/* Writes what readers of the store see as a config's params into `params`, and points the
 * update's facts there: they live as long as the buffer is not touched. */
HD_NODISCARD enum hd_code hd_update_fill_params(const struct hd_core *core,
                                                struct hd_update *update, struct hd_buf *params,
                                                struct hd_err *err);

#endif
