/* SPDX-License-Identifier: Apache-2.0 */
/* warm_box.c: the files of warm targets; see warm.h. */
#include "warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COPY_BYTES 65536
#define PROC_BYTES 4096
#define FAT_PARTS 10 /* of its limit, of which nine are too many */
#define FAT_PARTS_MAX 9
#define SPARE ".spare"
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- the box -------------------------------------------------------------------------------- */

/* A directory that the target may write to: as root its user is not known, so everybody may; the
 * directories above it are ours alone. */
static int make_open_dir(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) != 0)
        return -1;
    int fd = openat(parent, name, DIR_FLAGS);
    if (fd >= 0 && geteuid() == 0 && fchmod(fd, 0777) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The path of a socket is short, the path of a work directory need not be. */
static enum hd_code listen_in(struct hd_warm_target *target, struct hd_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)hd_format(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" HD_WARM_SOCKET,
                    target->box_fd);
    target->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (target->listen_fd < 0 ||
        bind(target->listen_fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        fchmodat(target->box_fd, HD_WARM_SOCKET, 0777, 0) != 0 || listen(target->listen_fd, 1) != 0)
        return hd_fail(err, HD_E_IO, "cannot make a socket in %s: %s", target->dir,
                       strerror(errno));
    return HD_OK;
}

enum hd_code hd_warm_box_make(struct hd_warm *warm, struct hd_warm_target *target,
                              struct hd_err *err)
{
    struct sockaddr_un address;
    char log[HD_WARM_PATH_MAX];
    if (!hd_format(target->dir, sizeof(target->dir), "%s/%08x", warm->dir, target->ref.job) ||
        !hd_format(log, sizeof(log), "%s/log.txt", target->dir) ||
        (!target->container &&
         strlen(target->dir) + sizeof("/box/" HD_WARM_SOCKET) > sizeof(address.sun_path)))
        return hd_fail(err, HD_E_LIMIT,
                       "%s is too long for the socket of a warm target: give the worker a "
                       "--work-dir with a shorter path",
                       warm->dir);
    enum hd_code code = hd_mkdirs(target->dir, 0700, err);
    int dir = code == HD_OK ? open(target->dir, DIR_FLAGS) : -1;
    if (code == HD_OK && (dir < 0 || (target->box_fd = make_open_dir(dir, "box")) < 0))
        code = hd_fail(err, HD_E_IO, "cannot make %s/box: %s", target->dir, strerror(errno));
    if (code == HD_OK &&
        (target->note_fd = openat(dir, "note", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        code = hd_fail(err, HD_E_IO, "cannot make %s/note: %s", target->dir, strerror(errno));
    if (dir >= 0)
        close(dir);
    return code == HD_OK ? listen_in(target, err) : code;
}

void hd_warm_box_remove(struct hd_warm_target *target)
{
    struct hd_err ignored;
    int *fds[] = {&target->box_fd, &target->listen_fd, &target->fd, &target->log_fd,
                  &target->note_fd};
    for (size_t i = 0; i < HD_COUNT(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    if (target->dir[0] != '\0')
        (void)!hd_remove_tree(target->dir, &ignored);
}

/* ---- a job's directory in the box ------------------------------------------------------------ */

/* A file system looks for a free place past all that was freed in the last seconds: with a
 * directory made and removed for each job, making a file took ten times as long. */

static bool same_directory(const struct stat *a, const struct stat *b)
{
    return S_ISDIR(a->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_empty(int directory)
{
    int fd = openat(directory, ".", DIR_FLAGS);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    bool empty = stream != NULL;
    for (struct dirent *entry; empty && (entry = readdir(stream)) != NULL;)
        empty = hd_streq(entry->d_name, ".") || hd_streq(entry->d_name, "..");
    if (stream != NULL)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
    return empty;
}

/* Only what is empty and still ours is kept; false: it has to be removed. */
static bool keep_spare(struct hd_warm_target *target)
{
    const struct hd_warm_task *task = &target->task;
    struct stat there;
    if (fstat(task->box_fd, &target->spare) != 0 ||
        fstatat(target->box_fd, task->id, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
        !same_directory(&there, &target->spare) || !is_empty(task->box_fd) ||
        renameat(target->box_fd, task->id, target->box_fd, SPARE) != 0)
        return false;
    target->has_spare = true;
    return true;
}

/* -1: there is none, or the target has put something in its place. */
static int take_spare(struct hd_warm_target *target)
{
    struct stat now;
    if (!target->has_spare)
        return -1;
    target->has_spare = false;
    int fd = openat(target->box_fd, SPARE, DIR_FLAGS);
    if (fd >= 0 &&
        (fstat(fd, &now) != 0 || !same_directory(&now, &target->spare) || !is_empty(fd) ||
         (geteuid() == 0 && fchmod(fd, 0777) != 0) ||
         renameat(target->box_fd, SPARE, target->box_fd, target->task.id) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- the directories of a job --------------------------------------------------------------- */

/* Written down first: whoever comes after our death knows whose directory the box holds. */
static enum hd_code put_work(struct hd_warm_target *target, struct hd_err *err)
{
    struct hd_warm_task *task = &target->task;
    char note[HD_WARM_PATH_MAX + HD_WARM_ID_SIZE];
    (void)hd_format(note, sizeof(note), "%s %s\n", task->id, task->work_dir);
    if (target->note_fd < 0 ||
        pwrite(target->note_fd, note, strlen(note), 0) != (ssize_t)strlen(note) ||
        lstat(task->work_dir, &task->work) != 0 ||
        renameat(AT_FDCWD, task->work_dir, task->box_fd, "work") != 0)
        return hd_fail(err, errno == ENOSPC ? HD_E_FULL : HD_E_IO,
                       "cannot hand %s to a warm target: %s", task->work_dir, strerror(errno));
    task->boxed = true;
    return HD_OK;
}

static void close_task_box(struct hd_warm_task *task)
{
    if (task->box_fd >= 0)
        close(task->box_fd);
    task->box_fd = -1;
}

static enum hd_code put_out(struct hd_warm_task *task, struct hd_err *err)
{
    char out[HD_WARM_PATH_MAX];
    if (!hd_format(out, sizeof(out), "%s/out", task->run_dir) ||
        renameat(AT_FDCWD, out, task->box_fd, "out") != 0)
        return hd_fail(err, HD_E_IO, "cannot hand %s/out to a warm target: %s", task->run_dir,
                       strerror(errno));
    return HD_OK;
}

enum hd_code hd_warm_box_put(struct hd_warm_target *target, struct hd_err *err)
{
    struct hd_warm_task *task = &target->task;
    task->box_fd = take_spare(target);
    if (task->box_fd < 0)
        task->box_fd = make_open_dir(target->box_fd, task->id);
    enum hd_code code = task->box_fd >= 0
                            ? HD_OK
                            : hd_fail(err, errno == ENOSPC ? HD_E_FULL : HD_E_IO,
                                      "cannot make the directory of job %u for a warm target: %s",
                                      task->attempt.job, strerror(errno));
    if (code == HD_OK)
        code = put_out(task, err);
    if (code == HD_OK)
        code = put_work(target, err);
    if (code != HD_OK)
        (void)hd_warm_box_take(target);
    return code;
}

/* The target may have put anything in the place of what it was given. */
static bool is_same(const char *path, const struct stat *before)
{
    struct stat now;
    return lstat(path, &now) == 0 && S_ISDIR(now.st_mode) && now.st_dev == before->st_dev &&
           now.st_ino == before->st_ino;
}

/* Moving a directory takes the right to write it, which its user may have taken away. */
static void open_up(int parent, const char *name)
{
    struct stat st;
    int fd = openat(parent, name, DIR_FLAGS);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        (void)!fchmod(fd, (st.st_mode & 07777) | 0700);
    close(fd);
}

static bool take_work(struct hd_warm_task *task)
{
    if (!task->boxed)
        return true;
    task->boxed = false;
    open_up(task->box_fd, "work");
    if (renameat(task->box_fd, "work", AT_FDCWD, task->work_dir) != 0)
        return false;
    if (is_same(task->work_dir, &task->work))
        return true;
    struct hd_err ignored;
    (void)!hd_remove_tree(task->work_dir, &ignored);
    return false;
}

/* What it may have put in its place is no result. */
static void take_out(struct hd_warm_task *task)
{
    char out[HD_WARM_PATH_MAX];
    struct stat st;
    if (!hd_format(out, sizeof(out), "%s/out", task->run_dir))
        return;
    open_up(task->box_fd, "out");
    if (renameat(task->box_fd, "out", AT_FDCWD, out) == 0 && lstat(out, &st) == 0 &&
        !S_ISDIR(st.st_mode) && unlink(out) == 0)
        (void)mkdir(out, 0755);
}

bool hd_warm_box_take(struct hd_warm_target *target)
{
    struct hd_warm_task *task = &target->task;
    char path[HD_WARM_PATH_MAX];
    struct hd_err ignored;
    if (task->box_fd < 0)
        return true;
    bool good = take_work(task);
    take_out(task);
    bool kept = keep_spare(target);
    close_task_box(task);
    if (!kept && unlinkat(target->box_fd, task->id, AT_REMOVEDIR) != 0 &&
        hd_format(path, sizeof(path), "%s/box/%s", target->dir, task->id))
        (void)!hd_remove_tree(path, &ignored);
    return good;
}

void hd_warm_box_ask_stop(struct hd_warm_target *target)
{
    int control = make_open_dir(target->task.box_fd, "control");
    if (control < 0)
        return;
    int fd =
        openat(control, "stop", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd >= 0)
        close(fd);
    close(control);
}

/* ---- what an earlier process left ----------------------------------------------------------- */

/* The note beside the box says which of its directories holds whose. */
static void recover_work(const char *dir)
{
    char path[HD_WARM_PATH_MAX], from[HD_WARM_PATH_MAX];
    struct hd_buf note;
    struct hd_err ignored;
    struct stat st;
    hd_buf_init(&note, 2 * HD_WARM_PATH_MAX);
    char *to =
        hd_format(path, sizeof(path), "%s/note", dir) &&
                hd_file_read(path, 2 * HD_WARM_PATH_MAX - 1, true, &note, &ignored) == HD_OK &&
                note.size > 0
            ? strchr(note.data, ' ')
            : NULL;
    if (to != NULL) {
        *to++ = '\0';
        to[strcspn(to, "\n")] = '\0';
        if (hd_format(from, sizeof(from), "%s/box/%s/work", dir, note.data) &&
            lstat(from, &st) == 0 && S_ISDIR(st.st_mode) && lstat(to, &st) != 0 && errno == ENOENT)
            (void)!rename(from, to);
    }
    hd_buf_release(&note);
}

static void recover_one(const char *dir)
{
    struct hd_err ignored;
    recover_work(dir);
    (void)!hd_remove_tree(dir, &ignored);
}

void hd_warm_box_recover(const char *dir)
{
    char path[HD_WARM_PATH_MAX];
    struct dirent *entry;
    DIR *stream = opendir(dir);
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.' && hd_format(path, sizeof(path), "%s/%s", dir, entry->d_name))
            recover_one(path);
    if (stream != NULL)
        closedir(stream);
}

/* ---- what the attempt's files get ----------------------------------------------------------- */

static bool write_file(const struct hd_warm_task *task, const char *name, int flags,
                       const char *text, size_t size)
{
    char path[HD_WARM_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/%s", task->run_dir, name))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0644);
    bool done = fd >= 0 && write(fd, text, size) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return done;
}

bool hd_warm_write_loss(const struct hd_warm_task *task, const char *text, size_t size)
{
    return write_file(task, "loss.json", O_TRUNC, text, size);
}

bool hd_warm_write_point(const struct hd_warm_task *task, struct hd_buf *text)
{
    struct hd_err ignored;
    return hd_buf_puts(text, "\n", &ignored) == HD_OK &&
           write_file(task, "metrics.jsonl", O_APPEND, text->data, text->size);
}

/* It is cut in its middle when it grows long: then all of it is passed on. */
void hd_warm_pass_log(struct hd_warm_target *target)
{
    char path[HD_WARM_PATH_MAX], chunk[COPY_BYTES];
    struct stat st;
    if (target->log_fd < 0 && hd_format(path, sizeof(path), "%s/log.txt", target->dir))
        target->log_fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (target->log_fd < 0 || fstat(target->log_fd, &st) != 0)
        return;
    if ((uint64_t)st.st_size < target->log_offset)
        target->log_offset = 0;
    while (target->log_offset < (uint64_t)st.st_size) {
        ssize_t got = pread(target->log_fd, chunk, sizeof(chunk), (off_t)target->log_offset);
        if (got <= 0)
            return;
        target->log_offset += (uint64_t)got;
        if (target->has_task)
            (void)write_file(&target->task, "log.txt", O_APPEND, chunk, (size_t)got);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static bool read_small(const char *path, char text[PROC_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, PROC_BYTES - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* -1: not known. */
static int64_t count_oom(const struct hd_warm_target *target)
{
    static const char key[] = "oom_kill ";
    char text[PROC_BYTES];
    int64_t count = -1;
    if (target->oom_path[0] == '\0' || !read_small(target->oom_path, text))
        return -1;
    char *at = strncmp(text, key, sizeof(key) - 1) == 0 ? text : strstr(text, "\noom_kill ");
    if (at == NULL)
        return -1;
    at += strlen(key) + (at[0] == '\n' ? 1 : 0);
    at[strcspn(at, "\n")] = '\0';
    return hd_parse_i64(at, &count) ? count : -1;
}

/* "9:memory:/docker/ID" of the older kind of control groups, "0::/PATH" of the newer one. */
static void find_oom_path(struct hd_warm_target *target)
{
    static const struct {
        const char *key, *root, *file;
    } kinds[] = {{":memory:", "/sys/fs/cgroup/memory", "memory.oom_control"},
                 {"0::", "/sys/fs/cgroup", "memory.events"}};
    char path[64], text[PROC_BYTES];
    (void)hd_format(path, sizeof(path), "/proc/%ld/cgroup", (long)target->pid);
    if (!read_small(path, text))
        return;
    for (size_t i = 0; i < HD_COUNT(kinds) && target->oom_path[0] == '\0'; i++) {
        const char *at = strstr(text, kinds[i].key);
        if (at == NULL)
            continue;
        at += strlen(kinds[i].key);
        if (!hd_format(target->oom_path, sizeof(target->oom_path), "%s%.*s/%s", kinds[i].root,
                       (int)strcspn(at, "\n"), at, kinds[i].file) ||
            !hd_path_exists(target->oom_path))
            target->oom_path[0] = '\0';
    }
}

void hd_warm_look_at_peer(struct hd_warm_target *target)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(target->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        target->pid = peer.pid; /* 0 when it is not among the processes that we can see */
    if (target->memory_bytes == 0 || target->pid <= 0)
        return;
    if (target->container)
        find_oom_path(target);
    target->oom_count = count_oom(target);
}

bool hd_warm_had_oom(struct hd_warm_target *target)
{
    int64_t before = target->oom_count;
    if (target->oom_path[0] == '\0')
        return false;
    target->oom_count = count_oom(target);
    return before >= 0 && target->oom_count > before;
}

bool hd_warm_is_fat(const struct hd_warm_target *target)
{
    char path[64], text[PROC_BYTES];
    unsigned long long pages = 0;
    if (target->memory_bytes == 0 || target->pid <= 0)
        return false;
    (void)hd_format(path, sizeof(path), "/proc/%ld/statm", (long)target->pid);
    if (!read_small(path, text) || sscanf(text, "%*u %llu", &pages) != 1)
        return false;
    uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return used / FAT_PARTS_MAX >= target->memory_bytes / FAT_PARTS;
}
