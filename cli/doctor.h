/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.h: what hd doctor found, and how measured values are judged (pure, so that values that a
 * test cannot bring about can be judged too).
 */
#ifndef HD_CLI_DOCTOR_H
#define HD_CLI_DOCTOR_H

#include <hd/base.h>

#define DOCTOR_LINES_MAX 64
#define DOCTOR_TEXT_MAX 512

enum doctor_status { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };
const char *doctor_status_name(enum doctor_status status); /* "ok", "warn", "fail", "skip" */

struct doctor_line {
    enum doctor_status status;
    char check[24];             /* "engine", "disk" ... */
    char text[DOCTOR_TEXT_MAX]; /* what is */
    char todo[DOCTOR_TEXT_MAX]; /* what to do; "" nothing */
};

struct doctor {
    struct doctor_line lines[DOCTOR_LINES_MAX];
    size_t count;
};
/* The line that was added, for its todo. */
struct doctor_line *doctor_add(struct doctor *doctor, const char *check, enum doctor_status status,
                               const char *fmt, ...) HD_PRINTF(4, 5);
void doctor_todo(struct doctor_line *line, const char *fmt, ...) HD_PRINTF(2, 3);
bool doctor_failed(const struct doctor *doctor);

/* ---- judging ----------------------------------------------------------------------------------
 */

/* Free space and free inodes (files_total 0: the file system does not count them). */
void doctor_judge_disk(struct doctor *doctor, const char *what, const char *path,
                       uint64_t free_bytes, uint64_t total_bytes, uint64_t files_free,
                       uint64_t files_total);
/* This clock against another one's; error_ms: half of the time the question took. */
void doctor_judge_skew(struct doctor *doctor, const char *whose, int64_t skew_ms, int64_t error_ms);
void doctor_judge_version(struct doctor *doctor, const char *whose, const char *own,
                          const char *theirs);
void doctor_judge_expiry(struct doctor *doctor, const char *cert, int64_t now_s, int64_t from_s,
                         int64_t until_s);
/* What the kernel could limit for commands: the controllers of its control groups of version 2, as
 * cgroup.controllers lists them; NULL: there are none. */
void doctor_judge_cgroups(struct doctor *doctor, const char *controllers);
/* Files that this process may have open at a time. */
void doctor_judge_files(struct doctor *doctor, uint64_t soft_max, uint64_t hard_max);

#endif
