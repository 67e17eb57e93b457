/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_files.c: whose the files are that go in and out of a container.
 *
 * Called only while no process of the container lives, so nobody swaps a directory for a link
 * below the walk; links themselves are never followed.
 */
#include "docker.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_FDS 16

static enum hd_code make_directory(const char *parent, const char *name, struct hd_err *err)
{
    char path[HD_DOCKER_PATH_SIZE];
    struct stat status;
    if (!hd_format(path, sizeof(path), "%s/%s", parent, name))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", parent);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return hd_fail(err, HD_E_IO, "%s: %s", path, strerror(errno));
    if (lstat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return hd_fail(err, HD_E_IO, "%s: not a directory", path);
    return HD_OK;
}

enum hd_code hd_docker_make_mount_points(const struct hd_engine_job *job, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (job->work_dir != NULL)
        code = make_directory(job->run_dir, "work", err);
    if (code == HD_OK && job->data_dir != NULL)
        code = make_directory(job->run_dir, "data", err);
    return code;
}

static int open_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)walk;
    mode_t mode = status->st_mode & 07777;
    if (type == FTW_D || type == FTW_DNR || type == FTW_DP)
        (void)!chmod(path, mode | 0777);
    else if (type == FTW_F && S_ISREG(status->st_mode))
        (void)!chmod(path, mode | 0666 | ((mode & 0100) != 0 ? 0111 : 0));
    return 0;
}

static int own_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    if (status->st_uid != geteuid() || status->st_gid != getegid())
        (void)!lchown(path, geteuid(), getegid());
    return 0;
}

/* A file that cannot be changed is left as it is: the target will say so, or rm will. */
static void walk_both(const struct hd_engine_job *job,
                      int (*entry)(const char *, const struct stat *, int, struct FTW *))
{
    if (job->run_dir != NULL)
        (void)nftw(job->run_dir, entry, WALK_FDS, FTW_PHYS | FTW_MOUNT);
    if (job->work_dir != NULL)
        (void)nftw(job->work_dir, entry, WALK_FDS, FTW_PHYS | FTW_MOUNT);
}

static bool is_root_user(const char *user)
{
    size_t length = strcspn(user, ":");
    return length == 0 || (length == 1 && user[0] == '0') ||
           (length == 4 && strncmp(user, "root", 4) == 0);
}

void hd_docker_open_trees(const struct hd_engine_job *job, const char *image_user)
{
    if (geteuid() == 0 && !is_root_user(image_user))
        walk_both(job, open_entry);
}

void hd_docker_own_trees(const struct hd_engine_job *job)
{
    if (geteuid() == 0)
        walk_both(job, own_entry);
}
