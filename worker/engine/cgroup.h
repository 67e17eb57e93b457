/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h: a control group of version 2 for each target of the process engine. The kernel then
 * keeps the limits of all its processes together and exactly, and ends them all at once; without
 * one the shim looks at them now and then. See cgroups(7).
 *
 * A limit for which there is no controller below the directory is left to the shim.
 */
#ifndef HD_ENGINE_CGROUP_H
#define HD_ENGINE_CGROUP_H

#include <hd/base.h>

#define HD_CGROUP_PATH_MAX 4096
#define HD_CGROUP_EMPTY_MS_MAX 10000 /* for killed processes to be gone */

/* What the kernel limits there. */
struct hd_cgroup_kinds {
    bool memory, pids, cpus;
};

/* What these controllers limit, as cgroup.controllers lists them; NULL: nothing. */
struct hd_cgroup_kinds hd_cgroup_kinds_of(const char *controllers);

/* Makes the directory when its parent lets us, and hands its controllers on to the groups below
 * it. HD_E_UNSUPPORTED: it is no control group of version 2; HD_E_IO: this user may make no groups
 * there. */
HD_NODISCARD enum hd_code hd_cgroup_prepare(const char *directory,
                                            struct hd_cgroup_kinds *ret_kinds, struct hd_err *err);

struct hd_cgroup_limits {
    uint64_t memory_bytes; /* 0 none, as below */
    uint64_t pids;
    uint64_t cpu_millis; /* thousandths of a CPU */
};
/* A group below a prepared directory, with these limits as far as they can be kept there. On
 * failure there is none. */
HD_NODISCARD enum hd_code hd_cgroup_make(const char *path, const struct hd_cgroup_limits *limits,
                                         struct hd_cgroup_kinds *ret_kept, struct hd_err *err);
/* The calling process, and whatever it starts from now on. May be called after fork(). */
bool hd_cgroup_enter(const char *path);
/* How often the kernel killed a process for its memory, and refused one for their number. */
void hd_cgroup_count(const char *path, uint64_t *ret_oom_kills, uint64_t *ret_pids_refused);
/* All its processes, now and soon. */
void hd_cgroup_kill(const char *path);
/* Kills, waits until they are gone, and removes it. Not there: nothing. */
void hd_cgroup_end(const char *path);

#endif
