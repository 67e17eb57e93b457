/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_judge.c: what is well, what is worth a word, what will not work. */
#include "doctor.h"

#include "cgroup.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define DISK_FAIL_BYTES (64 * MIB)
#define DISK_WARN_BYTES (1024 * MIB)
#define SKEW_WARN_MS 2000
#define SKEW_FAIL_MS 300000 /* certificates of one side may not be valid on the other */
#define EXPIRY_WARN_S (INT64_C(30) * 86400)
#define FILES_WARN 4096 /* a server holds 8192 connections */

const char *doctor_status_name(enum doctor_status status)
{
    static const char *const names[] = {"ok", "warn", "fail", "skip"};
    return names[status];
}

struct doctor_line *doctor_add(struct doctor *doctor, const char *check, enum doctor_status status,
                               const char *fmt, ...)
{
    hd_assert(doctor->count < DOCTOR_LINES_MAX);
    struct doctor_line *line = &doctor->lines[doctor->count++];
    *line = (struct doctor_line){.status = status};
    (void)hd_copy_text(line->check, sizeof(line->check), check);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line->text, sizeof(line->text), fmt, args);
    va_end(args);
    return line;
}

void doctor_todo(struct doctor_line *line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line->todo, sizeof(line->todo), fmt, args);
    va_end(args);
}

bool doctor_failed(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->count; i++)
        if (doctor->lines[i].status == DOCTOR_FAIL)
            return true;
    return false;
}

void doctor_judge_disk(struct doctor *doctor, const char *what, const char *path,
                       uint64_t free_bytes, uint64_t total_bytes, uint64_t files_free,
                       uint64_t files_total)
{
    enum doctor_status status = free_bytes < DISK_FAIL_BYTES   ? DOCTOR_FAIL
                                : free_bytes < DISK_WARN_BYTES ? DOCTOR_WARN
                                                               : DOCTOR_OK;
    struct doctor_line *line =
        doctor_add(doctor, "disk", status, "%s %s: %" PRIu64 " MiB of %" PRIu64 " MiB free", what,
                   path, free_bytes / MIB, total_bytes / MIB);
    if (status != DOCTOR_OK)
        doctor_todo(line, "free some space: a master waits when its disk is full, and a worker's "
                          "jobs end as infra");
    if (files_total == 0 || files_free > files_total / 100)
        return;
    line = doctor_add(doctor, "disk", files_free < 1000 ? DOCTOR_FAIL : DOCTOR_WARN,
                      "%s %s: %" PRIu64 " of %" PRIu64 " inodes free", what, path, files_free,
                      files_total);
    doctor_todo(line, "remove files: each attempt has a directory of some files");
}

void doctor_judge_skew(struct doctor *doctor, const char *whose, int64_t skew_ms, int64_t error_ms)
{
    int64_t size_ms = skew_ms < 0 ? -skew_ms : skew_ms;
    int64_t sure_ms = size_ms > error_ms ? size_ms - error_ms : 0;
    enum doctor_status status = sure_ms >= SKEW_FAIL_MS   ? DOCTOR_FAIL
                                : sure_ms >= SKEW_WARN_MS ? DOCTOR_WARN
                                                          : DOCTOR_OK;
    struct doctor_line *line =
        doctor_add(doctor, "clock", status, "this clock is %.3f s %s that of %s (within %.3f s)",
                   (double)size_ms / 1000, skew_ms < 0 ? "behind" : "ahead of", whose,
                   (double)error_ms / 1000);
    if (status != DOCTOR_OK)
        doctor_todo(line,
                    "set it by NTP (chrony, systemd-timesyncd): times in tables disagree, and "
                    "certificates and tokens end too early or too late; leases do not depend "
                    "on it");
}

void doctor_judge_version(struct doctor *doctor, const char *whose, const char *own,
                          const char *theirs)
{
    bool same = hd_streq(own, theirs);
    struct doctor_line *line =
        doctor_add(doctor, "version", same ? DOCTOR_OK : DOCTOR_WARN, "%s is version %s%s%s", whose,
                   theirs, same ? "" : ", this is ", same ? "" : own);
    if (!same)
        doctor_todo(line,
                    "install one version everywhere: a newer master's store cannot be read by "
                    "older programs");
}

void doctor_judge_expiry(struct doctor *doctor, const char *cert, int64_t now_s, int64_t from_s,
                         int64_t until_s)
{
    int64_t left_s = until_s - now_s;
    if (now_s < from_s) {
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "%s is not valid yet", cert),
                    "look at this machine's clock, or make the certificate anew");
        return;
    }
    if (left_s <= 0) {
        doctor_todo(doctor_add(doctor, "tls", DOCTOR_FAIL, "%s expired %" PRId64 " days ago", cert,
                               -left_s / 86400),
                    "remove it and its key, make new ones (hd tls init), restart the program");
        return;
    }
    struct doctor_line *line =
        doctor_add(doctor, "tls", left_s < EXPIRY_WARN_S ? DOCTOR_WARN : DOCTOR_OK,
                   "%s is valid for %" PRId64 " more days", cert, left_s / 86400);
    if (left_s < EXPIRY_WARN_S)
        doctor_todo(line, "make a new one in time (hd tls init) and restart the program");
}

void doctor_judge_files(struct doctor *doctor, uint64_t soft_max, uint64_t hard_max)
{
    /* Servers raise the soft limit to the hard one by themselves. */
    bool enough = hard_max >= FILES_WARN;
    struct doctor_line *line = doctor_add(
        doctor, "limits", enough ? DOCTOR_OK : DOCTOR_WARN,
        "%" PRIu64 " open files at a time, at most %" PRIu64 " for a server", soft_max, hard_max);
    if (!enough)
        doctor_todo(line,
                    "raise the hard limit to %d for a master or nameserver of many workers "
                    "(LimitNOFILE= of a unit, limits.conf)",
                    FILES_WARN);
}

void doctor_judge_cgroups(struct doctor *doctor, const char *controllers)
{
    const struct hd_cgroup_kinds kinds = hd_cgroup_kinds_of(controllers);
    if (kinds.memory || kinds.pids || kinds.cpus)
        (void)doctor_add(doctor, "cgroup", DOCTOR_OK,
                         "the kernel can limit%s%s%s of commands (hd-worker --cgroup)",
                         kinds.memory ? " memory" : "", kinds.pids ? " processes" : "",
                         kinds.cpus ? " CPUs" : "");
    else
        (void)doctor_add(doctor, "cgroup", DOCTOR_SKIP,
                         "no control groups of version 2 with limits here: memory and processes of "
                         "commands are watched instead");
}
