/* SPDX-License-Identifier: Apache-2.0 */
/* docker_files.c: directories that must be there, and ours, before the engine mounts into them. */
#include "docker.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

/* A file cannot be mounted where a directory is. What is not there at all, the engine says: it may
 * be on another machine. */
static enum hd_code check_data(const char *path, struct hd_err *err)
{
    struct stat status;
    if (stat(path, &status) != 0 || S_ISDIR(status.st_mode))
        return HD_OK;
    return hd_fail(err, HD_E_INVALID,
                   "target.data: %s is not a directory; name the one that it is in", path);
}

/* "/hyperdock/data/NAME": each directory on the way, below run_dir. */
static enum hd_code make_point(const char *run_dir, const char *target, struct hd_err *err)
{
    static const char inside[] = "/hyperdock/";
    if (strncmp(target, inside, sizeof(inside) - 1) != 0)
        return HD_OK; /* in the image's own file system */
    char name[HD_DOCKER_PATH_SIZE];
    const char *at = target + sizeof(inside) - 1;
    enum hd_code code = HD_OK;
    for (size_t size = 0; code == HD_OK && at[size] != '\0';) {
        size += at[size] == '/' ? 1 : 0;
        size += strcspn(at + size, "/");
        if (!hd_format(name, sizeof(name), "%.*s", (int)size, at))
            return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", run_dir);
        code = make_directory(run_dir, name, err);
    }
    return code;
}

enum hd_code hd_docker_make_mount_points(const struct hd_engine_job *job, struct hd_err *err)
{
    enum hd_code code = HD_OK;
    if (job->work_dir != NULL)
        code = make_directory(job->run_dir, "work", err);
    if (code == HD_OK && job->data_dir != NULL)
        code = check_data(job->data_dir, err);
    if (code == HD_OK && job->data_dir != NULL)
        code = make_directory(job->run_dir, "data", err);
    if (code == HD_OK && job->code_dir != NULL)
        code = make_directory(job->run_dir, "code", err);
    for (size_t i = 0; code == HD_OK && i < job->mount_count; i++)
        code = make_point(job->run_dir, job->mounts[i].target, err);
    return code;
}
