/* SPDX-License-Identifier: Apache-2.0 */
/* The work root: its marker, and the seats of the workers on it. */
#include "contract.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract_internal.h"

#define MARKER_NAME ".hyperdock-root"
#define WORKERS_NAME ".hyperdock-workers"
#define MARKER_BYTES_MAX 64

/* ---- a small file that whoever comes first writes ------------------------------------------- */

static enum hd_code read_line(const char *path, char *ret_line, size_t size, struct hd_err *err)
{
    struct hd_buf buf;
    hd_buf_init(&buf, MARKER_BYTES_MAX + 1);
    enum hd_code code = hd_file_read(path, MARKER_BYTES_MAX, true, &buf, err);
    if (code == HD_OK) {
        char *text = buf.size > 0 ? buf.data : NULL;
        if (text != NULL)
            text[strcspn(text, "\n")] = '\0';
        if (text == NULL || text[0] == '\0' || !hd_copy_text(ret_line, size, text))
            code = hd_fail(err, HD_E_CORRUPT, "%s holds no id: remove it to have a new one", path);
    }
    hd_buf_release(&buf);
    return code;
}

enum hd_code hd_claim_line(const char *path, const char *line, char *ret_line, size_t size,
                           struct hd_err *err)
{
    enum hd_code code = read_line(path, ret_line, size, err);
    if (code != HD_E_NOTFOUND)
        return code;
    char whole[MARKER_BYTES_MAX + 1];
    char temporary[HD_PATH_MAX];
    if (!hd_format(whole, sizeof(whole), "%s\n", line) ||
        !hd_format(temporary, sizeof(temporary), "%s.%016llx", path,
                   (unsigned long long)hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
    code = hd_file_write_atomic(temporary, whole, strlen(whole), 0644, err);
    if (code != HD_OK)
        return code;
    /* link() fails when the name exists: unlike rename, the first one wins, on NFS too. */
    int failed = link(temporary, path) != 0 && errno != EEXIST ? errno : 0;
    (void)unlink(temporary);
    if (failed != 0)
        return hd_fail(err, HD_E_IO, "cannot create %s: %s", path, strerror(failed));
    return read_line(path, ret_line, size, err);
}

/* ---- the root ------------------------------------------------------------------------------- */

/* `sudo hd-worker` works for the person behind it. */
static void give_to_sudo_user(const char *path)
{
    const char *uid_text = getenv("SUDO_UID"), *gid_text = getenv("SUDO_GID");
    uint64_t uid, gid;
    if (uid_text != NULL && gid_text != NULL && hd_parse_u64(uid_text, &uid) &&
        hd_parse_u64(gid_text, &gid) && uid < UINT32_MAX && gid < UINT32_MAX)
        (void)!chown(path, (uid_t)uid, (gid_t)gid);
}

static enum hd_code mark(struct hd_root *root, struct hd_err *err)
{
    char marker[HD_PATH_MAX], id[33];
    if (!hd_format(marker, sizeof(marker), "%s/" MARKER_NAME, root->path))
        return hd_fail(err, HD_E_LIMIT, "the work directory %s has too long a path", root->path);
    hd_format(id, sizeof(id), "%016llx%016llx", (unsigned long long)hd_os_random_u64(),
              (unsigned long long)hd_os_random_u64());
    enum hd_code code = hd_claim_line(marker, id, root->id, sizeof(root->id), err);
    return code == HD_OK ? hd_check_id("id of the work directory", root->id, err) : code;
}

enum hd_code hd_root_open(const char *path, struct hd_root *ret_root, struct hd_err *err)
{
    struct hd_root root = {.is_root = geteuid() == 0};
    bool existed = hd_path_exists(path);
    enum hd_code code = hd_mkdirs(path, 0700, err);
    if (code != HD_OK)
        return hd_fail_in(err, "work directory");
    if (!existed && root.is_root)
        give_to_sudo_user(path);
    char *real = realpath(path, NULL);
    struct stat st;
    if (real == NULL || stat(real, &st) != 0)
        code = hd_fail(err, HD_E_IO, "work directory %s: %s", path, strerror(errno));
    else if (!hd_copy_text(root.path, sizeof(root.path), real))
        code = hd_fail(err, HD_E_LIMIT, "the work directory %s has too long a path", path);
    free(real);
    if (code != HD_OK)
        return code;
    root.uid = st.st_uid;
    root.gid = st.st_gid;
    code = mark(&root, err);
    if (code == HD_OK)
        *ret_root = root;
    return code;
}

#define CHANCE_BITS 20 /* with 43 for milliseconds, until the year 2248 */

/* ---- seats ---------------------------------------------------------------------------------- */

static enum hd_code next_incarnation(const char *state_dir, uint64_t *ret_incarnation,
                                     struct hd_err *err)
{
    char path[HD_PATH_MAX], text[32];
    if (!hd_format(path, sizeof(path), "%s/incarnation", state_dir))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", state_dir);
    uint64_t last = 0;
    enum hd_code code = read_line(path, text, sizeof(text), err);
    if (code == HD_OK && !hd_parse_u64(text, &last))
        code = HD_E_CORRUPT; /* the clock below is newer all the same */
    if (code != HD_OK && code != HD_E_NOTFOUND && code != HD_E_CORRUPT)
        return code;
    /* The clock too, in case the directory was removed: a master remembers. And chance, in case it
     * was copied: two processes of one incarnation would share their sequences, and the one would
     * get the answers to the other. */
    uint64_t clock = (uint64_t)hd_clock_wall_ms(), next = (last >> CHANCE_BITS) + 1;
    uint64_t chance = hd_os_random_u64() & ((UINT64_C(1) << CHANCE_BITS) - 1);
    uint64_t incarnation = (next > clock ? next : clock) << CHANCE_BITS | chance;
    hd_format(text, sizeof(text), "%llu\n", (unsigned long long)incarnation);
    code = hd_file_write_atomic(path, text, strlen(text), 0600, err);
    if (code == HD_OK)
        *ret_incarnation = incarnation;
    return code;
}

bool hd_seat_path(const struct hd_root *root, const char *worker, char ret_path[HD_PATH_MAX])
{
    return hd_format(ret_path, HD_PATH_MAX, "%s/" WORKERS_NAME "/%s", root->path, worker);
}

enum hd_code hd_seat_write(const struct hd_root *root, const char *worker, const char *path,
                           const char *text, struct hd_err *err)
{
    char incoming[HD_PATH_MAX], temporary[HD_PATH_MAX];
    if (!hd_seat_path(root, worker, temporary) ||
        !hd_format(incoming, sizeof(incoming), "%s/" HD_INCOMING, temporary) ||
        !hd_format(temporary, sizeof(temporary), "%s/line-%016llx", incoming,
                   (unsigned long long)hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "the path of worker %s is too long", worker);
    enum hd_code code = hd_mkdirs(incoming, 0700, err);
    if (code == HD_OK)
        code = hd_file_replace(temporary, text, strlen(text), 0644, err);
    if (code != HD_OK || rename(temporary, path) == 0)
        return code;
    int failed = errno;
    (void)unlink(temporary);
    if (failed == EXDEV) /* somebody has put the run's directory on another disk */
        return hd_file_replace(path, text, strlen(text), 0644, err);
    return hd_fail_errno(err, failed, "cannot put %s in place", path);
}

/* Of small files in the worker's own directory, whose process died before they were in place. */
static void remove_temporaries(const char *directory, bool inside)
{
    char path[HD_PATH_MAX];
    struct stat st;
    struct dirent *entry;
    DIR *stream = opendir(directory);
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        size_t size = strlen(entry->d_name), end = strlen(HD_TEMPORARY_SUFFIX);
        if (!hd_format(path, sizeof(path), "%s/%s", directory, entry->d_name) ||
            lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode) && inside && entry->d_name[0] != '.')
            remove_temporaries(path, false);
        else if (S_ISREG(st.st_mode) && size > end &&
                 hd_streq(entry->d_name + size - end, HD_TEMPORARY_SUFFIX))
            (void)unlink(path);
    }
    if (stream != NULL)
        closedir(stream);
}

static enum hd_code try_seat(const struct hd_root *root, const char *id, struct hd_seat *seat,
                             struct hd_err *err)
{
    char lock_path[HD_PATH_MAX];
    if (!hd_seat_path(root, id, seat->state_dir) ||
        !hd_format(lock_path, sizeof(lock_path), "%s.lock", seat->state_dir))
        return hd_fail(err, HD_E_LIMIT, "the path of worker %s is too long", id);
    enum hd_code code = hd_mkdirs(seat->state_dir, 0700, err);
    if (code == HD_OK)
        code = hd_lock_file_take(lock_path, &seat->lock, err);
    if (code == HD_E_BUSY)
        return hd_fail(err, HD_E_BUSY, "worker %s is running already: %s is locked", id, lock_path);
    if (code != HD_OK)
        return code;
    (void)hd_copy_text(seat->worker, sizeof(seat->worker), id);
    remove_temporaries(seat->state_dir, true);
    code = next_incarnation(seat->state_dir, &seat->incarnation, err);
    if (code != HD_OK)
        hd_seat_release(seat);
    return code;
}

/* A host name as part of an id. */
static void clean_host(const char *host, char *ret_text, size_t size)
{
    size_t used = 0;
    for (const char *c = host; *c != '\0' && used + 1 < size; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-';
        if (used > 0 || (plain && *c != '.' && *c != '-'))
            ret_text[used++] = plain ? *c : '-';
    }
    ret_text[used] = '\0';
    if (used == 0)
        (void)hd_copy_text(ret_text, size, "worker");
}

enum hd_code hd_seat_take(const struct hd_root *root, const char *host, const char *id,
                          struct hd_seat *ret_seat, struct hd_err *err)
{
    struct hd_seat seat = {0};
    enum hd_code code;
    if (id != NULL) {
        code = hd_check_id("worker id", id, err);
        if (code == HD_OK)
            code = try_seat(root, id, &seat, err);
    } else {
        char name[HD_ID_MAX - 16], numbered[HD_ID_MAX + 1];
        clean_host(host, name, sizeof(name));
        code = HD_E_BUSY;
        for (unsigned slot = 0; code == HD_E_BUSY && slot < HD_WORKER_SLOTS_MAX; slot++) {
            /* Two roots of one host have their own seats: the root tells their workers apart. */
            hd_format(numbered, sizeof(numbered), "%s-%.6s-%u", name, root->id, slot);
            code = try_seat(root, numbered, &seat, err);
        }
    }
    if (code == HD_OK)
        *ret_seat = seat;
    return code;
}

void hd_seat_release(struct hd_seat *seat)
{
    if (seat == NULL)
        return;
    hd_lock_file_release(seat->lock);
    seat->lock = NULL;
}
