/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h: the directory through which the process engine and its shims speak. It outlives both:
 * a worker that starts again finds there what ran, and how it ended.
 *
 *   spec    what to run, written by the engine before the shim starts
 *   owner   "pid start-ticks" of the shim, or "0 0" by an engine that took the shim for dead:
 *           whoever comes first, so a shim that is late starts nothing
 *   begun   written by the shim before it starts the target: without it and without a shim that
 *           lives, the target was never started
 *   grace   milliseconds between TERM and KILL, written before the shim is asked to stop
 *   room    some bytes that are given back when the end is written: the disk may be full by then
 *   end     how it ended, written by the shim when nothing of the target is left
 */
#ifndef HD_ENGINE_RECORD_H
#define HD_ENGINE_RECORD_H

#include <hd/engine.h>

#define HD_RECORD_PATH_MAX 4096
#define HD_RECORD_BYTES_MAX (16u * 1024u * 1024u)
#define HD_SHIM_NAME "hd-shim"

struct hd_record_spec {
    const char *run_dir;
    const char *log_path;
    const char *cwd;
    int64_t timeout_ms; /* 0 none */
    int64_t grace_ms;
    uint64_t memory_bytes; /* 0 none */
    uint64_t pids;         /* 0 none */
    uint64_t cpus;         /* whole ones, 0 any */
    uint64_t turn;         /* of the targets that run, none has the same: other CPUs */
    const char *cgroup;    /* to be made for it; "" none */
    uint64_t cpu_millis;   /* for that: thousandths of a CPU, 0 any */
    const char *user;      /* that it runs as; "" the worker's */
    const char *program;   /* the file that is run; "": argv[0], looked for */
    char **argv;           /* NULL-terminated, at least one */
    char **env;
};

struct hd_record_owner {
    pid_t pid;
    uint64_t ticks;
};

/* One file name inside the record. false: too long. */
bool hd_record_path(const char *record, const char *name, char *ret_path);
HD_NODISCARD enum hd_code
hd_record_write_spec(const char *record, const struct hd_record_spec *spec, struct hd_err *err);
/* Everything in it lives in the arena. */
HD_NODISCARD enum hd_code hd_record_read_spec(const char *record, struct hd_arena *arena,
                                              struct hd_record_spec *ret_spec, struct hd_err *err);
/* Gives the owner there is now: this one when it came first. */
HD_NODISCARD enum hd_code hd_record_claim(const char *record, struct hd_record_owner owner,
                                          struct hd_record_owner *ret_owner, struct hd_err *err);
HD_NODISCARD enum hd_code hd_record_write_end(const char *record, const struct hd_engine_end *end,
                                              struct hd_err *err);
/* HD_E_NOTFOUND while it has not ended. */
HD_NODISCARD enum hd_code hd_record_read_end(const char *record, struct hd_engine_end *ret_end,
                                             struct hd_err *err);
HD_NODISCARD enum hd_code hd_record_write_number(const char *record, const char *name,
                                                 int64_t number, struct hd_err *err);
HD_NODISCARD enum hd_code hd_record_read_number(const char *record, const char *name,
                                                int64_t *ret_number, struct hd_err *err);

#endif
