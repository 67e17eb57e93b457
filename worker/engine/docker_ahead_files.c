/* SPDX-License-Identifier: Apache-2.0 */
/* docker_ahead_files.c: the directories of containers that are started ahead; see docker_ahead.h.
 */
#include "docker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "hd-launch"
#define PROGRAM_BYTES_MAX (32u * 1024u * 1024u)
#define BEGUN "begun"

static enum hd_code cannot(const char *what, const char *path, struct hd_err *err)
{
    return hd_fail(err, errno == ENOSPC ? HD_E_FULL : HD_E_IO, "cannot %s %s: %s", what, path,
                   strerror(errno));
}

/* Where the engine finds it, whatever of this machine it sees besides the work directory. */
static enum hd_code copy_program(const char *ahead_dir, const char *path, struct hd_err *err)
{
    char *program = NULL;
    struct hd_buf bytes;
    hd_buf_init(&bytes, PROGRAM_BYTES_MAX + 1);
    enum hd_code code = hd_sibling_program(PROGRAM, &program, err);
    if (code == HD_OK)
        code = hd_file_read(program, PROGRAM_BYTES_MAX, false, &bytes, err);
    if (code == HD_OK)
        code = hd_mkdirs(ahead_dir, 0700, err);
    if (code == HD_OK)
        code = hd_file_replace(path, bytes.data, bytes.size, 0755, err);
    hd_buf_release(&bytes);
    hd_free(program);
    return code;
}

static enum hd_code link_program(const char *ahead_dir, const char *to, struct hd_err *err)
{
    char path[HD_DOCKER_PATH_SIZE];
    if (!hd_format(path, sizeof(path), "%s/" HD_DOCKER_LAUNCH, ahead_dir))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", ahead_dir);
    enum hd_code code = hd_path_exists(path) ? HD_OK : copy_program(ahead_dir, path, err);
    if (code == HD_OK && link(path, to) != 0)
        code = cannot("link", to, err);
    return code;
}

/* Anybody in the container may read, and nobody write. Open here for writing, so that a byte waits
 * for its reader, and for reading, so that it is seen whether it still does. */
static enum hd_code make_go(struct hd_docker_ahead *ahead, const char *path, struct hd_err *err)
{
    if (mkfifo(path, 0644) != 0 || chmod(path, 0644) != 0)
        return cannot("make", path, err);
    ahead->go_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return ahead->go_fd >= 0 ? HD_OK : cannot("open", path, err);
}

static enum hd_code make_dir(const char *path, struct hd_err *err)
{
    return mkdir(path, 0755) == 0 && chmod(path, 0755) == 0 ? HD_OK : cannot("make", path, err);
}

enum hd_code hd_docker_ahead_make_files(struct hd_docker_ahead *ahead, const char *ahead_dir,
                                        const struct hd_engine_job *job, struct hd_err *err)
{
    char box[HD_DOCKER_PATH_SIZE], launch[HD_DOCKER_PATH_SIZE], go[HD_DOCKER_PATH_SIZE];
    if (!hd_format(box, sizeof(box), "%s/box", ahead->dir) ||
        !hd_format(launch, sizeof(launch), "%s/box/" HD_DOCKER_LAUNCH, ahead->dir) ||
        !hd_format(go, sizeof(go), "%s/box/" HD_DOCKER_GO, ahead->dir))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", ahead->dir);
    enum hd_code code = hd_mkdirs(ahead->dir, 0700, err);
    if (code == HD_OK)
        code = make_dir(box, err);
    if (code == HD_OK)
        code = link_program(ahead_dir, launch, err);
    if (code == HD_OK)
        code = make_go(ahead, go, err);
    if (code == HD_OK)
        code = make_dir(job->run_dir, err);
    if (code == HD_OK)
        code = make_dir(job->work_dir, err);
    return code == HD_OK ? hd_docker_make_mount_points(job, err) : code;
}

/* ---- they become a job's -----------------------------------------------------------------------
 */

static enum hd_code take_mode(const char *from, const char *to, struct hd_err *err)
{
    struct stat status;
    return stat(from, &status) == 0 && chmod(to, status.st_mode & 07777) == 0
               ? HD_OK
               : cannot("open up", to, err);
}

static enum hd_code place_work(const char *ours, const char *work_dir, struct hd_err *err)
{
    enum hd_code code = take_mode(work_dir, ours, err);
    if (code == HD_OK && rename(ours, work_dir) != 0)
        code = errno == ENOTEMPTY || errno == EEXIST
                   ? hd_fail(err, HD_E_EXISTS, "%s holds something already", work_dir)
                   : cannot("rename to", work_dir, err);
    return code;
}

/* A directory that something is mounted on in the container stays the one it is; the job's is
 * empty. */
static enum hd_code move_entry(const char *from_dir, const char *to_dir, const char *name,
                               struct hd_err *err)
{
    char from[HD_DOCKER_PATH_SIZE], to[HD_DOCKER_PATH_SIZE];
    if (!hd_format(from, sizeof(from), "%s/%s", from_dir, name) ||
        !hd_format(to, sizeof(to), "%s/%s", to_dir, name))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", from_dir);
    int done = hd_path_exists(to) ? rmdir(from) : rename(from, to);
    return done == 0 ? HD_OK : cannot("move", from, err);
}

static enum hd_code place_run(const char *ours, const char *run_dir, struct hd_err *err)
{
    enum hd_code code = take_mode(run_dir, ours, err);
    DIR *stream = code == HD_OK ? opendir(run_dir) : NULL;
    if (code == HD_OK && stream == NULL)
        code = cannot("read", run_dir, err);
    for (struct dirent *entry; code == HD_OK && (entry = readdir(stream)) != NULL;)
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            code = move_entry(run_dir, ours, entry->d_name, err);
    if (stream != NULL)
        closedir(stream);
    if (code == HD_OK && rename(ours, run_dir) != 0)
        code = cannot("rename to", run_dir, err);
    return code;
}

/* The config's first: nothing has changed when it cannot be. */
enum hd_code hd_docker_ahead_place(const struct hd_docker_ahead *ahead,
                                   const struct hd_engine_job *job, struct hd_err *err)
{
    char run[HD_DOCKER_PATH_SIZE], work[HD_DOCKER_PATH_SIZE];
    if (!hd_format(run, sizeof(run), "%s/run", ahead->dir) ||
        !hd_format(work, sizeof(work), "%s/work", ahead->dir))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", ahead->dir);
    enum hd_code code = place_work(work, job->work_dir, err);
    return code == HD_OK ? place_run(run, job->run_dir, err) : code;
}

/* The byte goes first: one that was told and not noted down is taken for one that never began, and
 * ended; never the other way round. */
enum hd_code hd_docker_ahead_tell(const struct hd_docker_ahead *ahead, struct hd_err *err)
{
    char path[HD_DOCKER_PATH_SIZE];
    if (!hd_format(path, sizeof(path), "%s/" BEGUN, ahead->dir))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", ahead->dir);
    if (write(ahead->go_fd, "g", 1) != 1)
        return cannot("tell", ahead->dir, err);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return cannot("make", path, err);
    close(fd);
    return HD_OK;
}

bool hd_docker_ahead_was_deaf(const struct hd_docker_ahead *ahead)
{
    char byte;
    return ahead->go_fd >= 0 && read(ahead->go_fd, &byte, 1) == 1;
}

int64_t hd_docker_ahead_begun_ms(const char *ahead_dir, const char *number)
{
    char path[HD_DOCKER_PATH_SIZE];
    struct stat status;
    if (!hd_format(path, sizeof(path), "%s/%s/" BEGUN, ahead_dir, number) ||
        lstat(path, &status) != 0)
        return 0;
    return (int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
}

void hd_docker_ahead_remove_files(const char *ahead_dir, const char *number)
{
    char path[HD_DOCKER_PATH_SIZE];
    struct hd_err ignored;
    if (number[0] != '\0' && hd_format(path, sizeof(path), "%s/%s", ahead_dir, number))
        (void)!hd_remove_tree(path, &ignored);
}

bool hd_docker_is_empty(const char *directory)
{
    DIR *stream = opendir(directory);
    bool empty = stream != NULL;
    for (struct dirent *entry; empty && (entry = readdir(stream)) != NULL;)
        empty = hd_streq(entry->d_name, ".") || hd_streq(entry->d_name, "..");
    if (stream != NULL)
        closedir(stream);
    return empty;
}

/* ---- what an earlier process left ---------------------------------------------------------------
 */

static bool has_container(const struct hd_docker_found_ahead *found, size_t count,
                          const char *number)
{
    bool has = false;
    for (size_t i = 0; i < count && !has; i++)
        has = found[i].has_job && hd_streq(found[i].ahead, number);
    return has;
}

void hd_docker_clean_aheads(struct hd_docker *docker)
{
    static const size_t max = HD_DOCKER_AHEADS_MAX + HD_HELD_MAX;
    struct hd_docker_found_ahead *found;
    size_t count = 0;
    struct hd_err ignored;
    DIR *stream = docker->ahead_dir[0] != '\0' ? opendir(docker->ahead_dir) : NULL;
    if (stream == NULL)
        return; /* none was ever made */
    found = hd_calloc(max, sizeof(*found));
    bool known = found != NULL && hd_docker_list_aheads(&docker->api, docker->worker, found, max,
                                                        &count, &ignored) == HD_OK;
    for (size_t i = 0; known && i < count; i++)
        if (!found[i].has_job)
            (void)!hd_docker_remove(&docker->api, found[i].id, &ignored);
    for (struct dirent *entry; known && (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.' && !has_container(found, count, entry->d_name) &&
            !hd_streq(entry->d_name, HD_DOCKER_LAUNCH))
            hd_docker_ahead_remove_files(docker->ahead_dir, entry->d_name);
    /* Of another version, perhaps: it is copied again when it is wanted. */
    char launch[HD_DOCKER_PATH_SIZE];
    if (hd_format(launch, sizeof(launch), "%s/" HD_DOCKER_LAUNCH, docker->ahead_dir))
        (void)unlink(launch);
    closedir(stream);
    hd_free(found);
}
