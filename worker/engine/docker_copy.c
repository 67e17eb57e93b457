/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_copy.c: targets of an engine that does not see our directories: its machine is another
 * one, or we run in a container ourselves. /hyperdock is a volume of the container then. What the
 * attempt's directories hold is put there before the start; the curve is fetched while the target
 * runs, and everything after its end, before the end is told.
 *
 * What comes is unpacked beside the attempt's files and put in their place when it is whole, so a
 * transfer that breaks changes nothing: the container is still there, and it is fetched again.
 */
#include "context.h"
#include "docker.h"
#include "unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOP "hyperdock"
#define STAGING ".fetched"
#define METRICS "metrics.jsonl"
#define LIVE_STALL_MS 10000
#define PIECE 65536

static const char *const ours[] = {"params.json", "job.json", "log.txt", "control",
                                   "data",        "code",     STAGING};

/* ---- asking -------------------------------------------------------------------------------- */

/* The engine judges mounts before it looks for the image, and has none of this name. */
static bool sees(struct hd_docker *docker, const char *directory)
{
    struct hd_docker_refusal refusal = {0};
    char name[64], id[HD_DOCKER_ID_SIZE];
    struct hd_buf body;
    struct hd_err err;
    hd_buf_init(&body, 8 * HD_DOCKER_PATH_SIZE);
    (void)hd_format(name, sizeof(name), "hyperdock-probe-%016llx",
                    (unsigned long long)hd_os_random_u64());
    enum hd_code code = hd_docker_write_probe(directory, &body, &err);
    if (code == HD_OK)
        code = hd_docker_create(&docker->api, name, hd_buf_text(&body), id, &refusal, &err);
    if (code == HD_OK)
        (void)!hd_docker_remove(&docker->api, id, &err);
    hd_buf_release(&body);
    return code != HD_E_INVALID || strstr(refusal.text, "does not exist") == NULL;
}

/* Podman judges mounts when it starts a container: it is believed to be here when its socket is. */
bool hd_docker_sees(struct hd_docker *docker, const char *state_dir)
{
    char directory[HD_DOCKER_PATH_SIZE];
    bool here = docker->endpoint.socket_path[0] != '\0';
    if (atomic_load(&docker->endpoint.podman) || state_dir == NULL ||
        !hd_format(directory, sizeof(directory), "%s/probe-%016llx", state_dir,
                   (unsigned long long)hd_os_random_u64()) ||
        mkdir(directory, 0700) != 0)
        return here;
    here = sees(docker, directory);
    (void)rmdir(directory);
    return here;
}

/* ---- sending ------------------------------------------------------------------------------- */

/* A file without a name beside what is packed. */
enum hd_code hd_docker_open_archive(const char *directory, int *ret_fd, struct hd_err *err)
{
    char path[HD_DOCKER_PATH_SIZE];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && hd_format(path, sizeof(path), "%s/.archive-XXXXXX", directory)) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            (void)unlink(path);
    }
    if (fd < 0)
        return hd_fail(err, HD_E_IO, "%s: %s", directory, strerror(errno));
    *ret_fd = fd;
    return HD_OK;
}

/* Whose files are there: what the container runs as, when that is a number. */
static void set_owner(const struct hd_docker_watch *watch, struct hd_pack_tree *tree)
{
    const char *user = watch->job.container != NULL && watch->job.container->user != NULL
                           ? watch->job.container->user
                           : watch->engine->user;
    unsigned uid = 0, gid = 0;
    if (sscanf(user, "%7u:%7u", &uid, &gid) == 2 && uid <= 07777777 && gid <= 07777777) {
        tree->uid = uid;
        tree->gid = gid;
    }
}

static enum hd_code pack(const struct hd_docker_watch *watch, int fd, struct hd_err *err)
{
    const struct hd_engine_job *job = &watch->job;
    struct hd_pack_tree tree = {.directory = job->run_dir,
                                .name = TOP,
                                .leave_out = "log.txt",
                                .bytes_max = HD_DOCKER_COPY_BYTES_MAX};
    set_owner(watch, &tree);
    enum hd_code code = hd_pack_tree(&tree, fd, err);
    tree.directory = job->work_dir;
    tree.name = TOP "/work";
    tree.leave_out = NULL;
    if (code == HD_OK && job->work_dir != NULL)
        code = hd_pack_tree(&tree, fd, err);
    tree.directory = job->code_dir;
    tree.name = TOP "/code";
    if (code == HD_OK && job->code_dir != NULL)
        code = hd_pack_tree(&tree, fd, err);
    bool linked = job->data_dir != NULL;
    for (size_t i = 0; i < job->mount_count; i++)
        linked = linked || hd_docker_is_linked_data(&job->mounts[i]);
    if (code == HD_OK && linked)
        code = hd_pack_link(TOP "/data", "/data", fd, err);
    return code == HD_OK ? hd_pack_end(fd, err) : code;
}

/* Nothing can be put below a root that may only be read, volumes or not: another container, which
 * is never started, lends a hand. */
static enum hd_code send_through_helper(struct hd_docker_watch *watch, int fd,
                                        struct hd_docker_refusal *refusal, struct hd_err *err)
{
    char name[HD_ENGINE_NAME_MAX], id[HD_DOCKER_ID_SIZE];
    struct hd_buf body;
    struct hd_err ignored;
    hd_buf_init(&body, 4 * HD_DOCKER_PATH_SIZE);
    (void)hd_format(name, sizeof(name), "%.*s-files", (int)(sizeof(name) - 8), watch->name);
    enum hd_code code = hd_docker_remove(&watch->api, name, err);
    if (code == HD_OK)
        code = hd_docker_write_helper(&watch->job, watch->id, &body, err);
    if (code == HD_OK)
        code = hd_docker_create(&watch->api, name, hd_buf_text(&body), id, refusal, err);
    if (code == HD_OK) {
        code =
            hd_docker_put_archive(&watch->api, id, "/", fd, HD_DOCKER_COPY_STALL_MS, refusal, err);
        (void)!hd_docker_remove(&watch->api, id, &ignored);
    }
    hd_buf_release(&body);
    return code;
}

static enum hd_docker_phase after_failure(struct hd_docker_watch *watch, enum hd_code code,
                                          const struct hd_docker_refusal *refusal, const char *text)
{
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_NET || code == HD_E_TIMEOUT || code == HD_E_BUSY || code == HD_E_EXISTS)
        return hd_docker_go_away(watch, text);
    if (code == HD_E_NOTFOUND && strstr(refusal->text, "No such container") != NULL)
        return HD_DOCKER_LOOK;
    hd_docker_not_started(watch, false, "its files cannot be sent to the engine", text);
    return HD_DOCKER_ENDED;
}

enum hd_docker_phase hd_docker_send_files(struct hd_docker_watch *watch)
{
    struct hd_docker_refusal refusal = {0};
    struct hd_err err;
    int fd = -1;
    bool read_only = watch->job.container != NULL && watch->job.container->read_only;
    enum hd_code code = hd_docker_send_data(watch, &err);
    if (code == HD_OK)
        code = hd_docker_open_archive(watch->job.run_dir, &fd, &err);
    if (code == HD_OK)
        code = pack(watch, fd, &err);
    if (code == HD_OK)
        code = read_only ? send_through_helper(watch, fd, &refusal, &err)
                         : hd_docker_put_archive(&watch->api, watch->id, "/", fd,
                                                 HD_DOCKER_COPY_STALL_MS, &refusal, &err);
    if (fd >= 0)
        close(fd);
    return code == HD_OK ? HD_DOCKER_START_IT : after_failure(watch, code, &refusal, err.text);
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* The file as far as it is known here goes on where it is: whoever reads it has read so far. One
 * that became shorter begins anew. */
struct curve {
    const char *run_dir;
    int fd; /* -1: nothing is written */
    uint64_t skip;
};

static int open_curve(const char *run_dir, uint64_t size, uint64_t *ret_have)
{
    char path[HD_DOCKER_PATH_SIZE];
    struct stat status;
    if (!hd_format(path, sizeof(path), "%s/" METRICS, run_dir))
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool good = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    *ret_have = good ? (uint64_t)status.st_size : 0;
    if (good && size < *ret_have) {
        good = ftruncate(fd, 0) == 0;
        *ret_have = 0;
    }
    if (!good && fd >= 0)
        close(fd);
    return good ? fd : -1;
}

static enum hd_code take_curve(void *context, const struct hd_tar_entry *entry, struct hd_err *err)
{
    struct curve *curve = context;
    if (curve->fd < 0 && entry->kind == HD_TAR_FILE)
        curve->fd = open_curve(curve->run_dir, entry->size, &curve->skip);
    return curve->fd >= 0 ? HD_OK : hd_fail(err, HD_E_IO, METRICS " is no file");
}

static enum hd_code take_points(void *context, const char *bytes, size_t size, bool last,
                                struct hd_err *err)
{
    struct curve *curve = context;
    size_t pass = curve->skip < size ? (size_t)curve->skip : size;
    (void)last;
    curve->skip -= pass;
    for (bytes += pass, size -= pass; size > 0;) {
        ssize_t count = write(curve->fd, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return hd_fail(err, HD_E_IO, METRICS ": %s", strerror(errno));
        bytes += count;
        size -= (size_t)count;
    }
    return HD_OK;
}

/* Failure is none: the next time brings it, or the end. */
static void fetch_curve(struct hd_docker_watch *watch)
{
    struct curve curve = {.run_dir = watch->job.run_dir, .fd = -1};
    const struct hd_tar_handler handler = {take_curve, take_points, &curve};
    struct hd_tar_reader reader;
    struct hd_err err;
    hd_tar_reader_init(&reader, &handler, HD_DOCKER_CURVE_BYTES_MAX, 1);
    (void)!hd_docker_get_archive(&watch->api, watch->id, "/" TOP "/" METRICS, LIVE_STALL_MS,
                                 &reader, &err);
    hd_tar_reader_release(&reader);
    if (curve.fd >= 0)
        close(curve.fd);
}

void hd_docker_pass_stop(struct hd_docker_watch *watch)
{
    char control[HD_DOCKER_PATH_SIZE], stop[HD_DOCKER_PATH_SIZE];
    struct hd_docker_refusal refusal;
    struct hd_err err;
    int fd = -1;
    if (!watch->copied || watch->stop_passed || watch->job.run_dir == NULL ||
        !hd_format(control, sizeof(control), "%s/control", watch->job.run_dir) ||
        !hd_format(stop, sizeof(stop), "%s/stop", control) || !hd_path_exists(stop))
        return;
    struct hd_pack_tree tree = {
        .directory = control, .name = "control", .bytes_max = HD_DOCKER_CURVE_BYTES_MAX};
    set_owner(watch, &tree);
    enum hd_code code = hd_docker_open_archive(watch->job.run_dir, &fd, &err);
    if (code == HD_OK)
        code = hd_pack_tree(&tree, fd, &err);
    if (code == HD_OK)
        code = hd_pack_end(fd, &err);
    if (code == HD_OK)
        code = hd_docker_put_archive(&watch->api, watch->id, "/" TOP, fd, LIVE_STALL_MS, &refusal,
                                     &err);
    watch->stop_passed = code == HD_OK;
    if (fd >= 0)
        close(fd);
}

void hd_docker_tend_files(struct hd_docker_watch *watch, int64_t now_ms)
{
    if (!watch->copied || watch->job.run_dir == NULL || now_ms < watch->files_at_ms)
        return;
    hd_docker_pass_stop(watch);
    fetch_curve(watch);
    watch->files_at_ms = hd_clock_ms() + watch->engine->tuning.files_ms;
}

/* ---- after the end --------------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static enum hd_code cannot_place(const char *path, struct hd_err *err)
{
    return hd_fail(err, HD_E_IO, "cannot put %s in place: %s", path, strerror(errno));
}

/* The old one goes with what else is left of the staging directory. */
static enum hd_code place_work(const char *from, const char *work_dir, struct hd_err *err)
{
    char old[HD_DOCKER_PATH_SIZE];
    if (!is_directory(from))
        return HD_OK; /* it made something else of it: the state before stays */
    if (renameat2(AT_FDCWD, from, AT_FDCWD, work_dir, RENAME_EXCHANGE) == 0)
        return HD_OK;
    if (!hd_format(old, sizeof(old), "%s.old", from))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", from);
    if (rename(work_dir, old) != 0 || rename(from, work_dir) != 0)
        return cannot_place(work_dir, err);
    return HD_OK;
}

static enum hd_code place_curve(const char *from, const char *run_dir, struct hd_err *err)
{
    char bytes[PIECE];
    struct stat status;
    uint64_t have = 0;
    int in = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0 || fstat(in, &status) != 0 || !S_ISREG(status.st_mode)) {
        if (in >= 0)
            close(in);
        return HD_OK;
    }
    struct curve curve = {.fd = open_curve(run_dir, (uint64_t)status.st_size, &have)};
    enum hd_code code =
        curve.fd >= 0 && lseek(in, (off_t)have, SEEK_SET) >= 0 ? HD_OK : cannot_place(METRICS, err);
    for (ssize_t count; code == HD_OK && (count = read(in, bytes, sizeof(bytes))) > 0;)
        code = take_points(&curve, bytes, (size_t)count, false, err);
    if (curve.fd >= 0)
        close(curve.fd);
    close(in);
    return code;
}

static enum hd_code place(const struct hd_docker_watch *watch, const char *staging,
                          const char *name, struct hd_err *err)
{
    char from[HD_DOCKER_PATH_SIZE], to[HD_DOCKER_PATH_SIZE];
    for (size_t i = 0; i < HD_COUNT(ours); i++)
        if (hd_streq(name, ours[i]))
            return HD_OK;
    if (!hd_format(from, sizeof(from), "%s/%s", staging, name) ||
        !hd_format(to, sizeof(to), "%s/%s", watch->job.run_dir, name))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", staging);
    if (hd_streq(name, "work"))
        return watch->job.work_dir != NULL ? place_work(from, watch->job.work_dir, err) : HD_OK;
    if (hd_streq(name, METRICS))
        return place_curve(from, watch->job.run_dir, err);
    enum hd_code code = hd_remove_tree(to, err);
    if (code == HD_OK && rename(from, to) != 0)
        code = cannot_place(to, err);
    return code;
}

static enum hd_code place_all(const struct hd_docker_watch *watch, const char *staging,
                              struct hd_err *err)
{
    enum hd_code code = HD_OK;
    struct dirent *entry;
    DIR *stream = opendir(staging);
    if (stream == NULL)
        return hd_fail(err, HD_E_IO, "%s: %s", staging, strerror(errno));
    while (code == HD_OK && (entry = readdir(stream)) != NULL)
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            code = place(watch, staging, entry->d_name, err);
    closedir(stream);
    return code;
}

static enum hd_code fetch(struct hd_docker_watch *watch, const char *staging, struct hd_err *err)
{
    struct hd_unpack unpack;
    enum hd_code code = hd_remove_tree(staging, err);
    if (code == HD_OK)
        code = hd_mkdirs(staging, 0700, err);
    if (code != HD_OK)
        return code;
    code = hd_unpack_open(&unpack, staging, TOP, HD_DOCKER_COPY_BYTES_MAX,
                          HD_DOCKER_COPY_ENTRIES_MAX, err);
    if (code == HD_OK)
        code = hd_docker_get_archive(&watch->api, watch->id, "/" TOP, HD_DOCKER_COPY_STALL_MS,
                                     &unpack.reader, err);
    hd_unpack_close(&unpack);
    return code == HD_OK ? place_all(watch, staging, err) : code;
}

enum hd_docker_phase hd_docker_fetch_files(struct hd_docker_watch *watch)
{
    char staging[HD_DOCKER_PATH_SIZE], text[HD_MESSAGE_MAX];
    struct hd_err err, ignored;
    if (watch->job.run_dir == NULL ||
        !hd_format(staging, sizeof(staging), "%s/" STAGING, watch->job.run_dir))
        return HD_DOCKER_ENDED;
    enum hd_code code = fetch(watch, staging, &err);
    (void)!hd_remove_tree(staging, &ignored);
    if (code == HD_OK)
        return HD_DOCKER_FOLLOW;
    if (code == HD_E_CANCELLED)
        return HD_DOCKER_LEAVE;
    if (code == HD_E_NET || code == HD_E_TIMEOUT)
        return hd_docker_go_away(watch, err.text);
    (void)hd_format(text, sizeof(text), "its files could not be fetched from the engine: %s",
                    err.text);
    hd_docker_lost(watch, text);
    return HD_DOCKER_ENDED;
}
