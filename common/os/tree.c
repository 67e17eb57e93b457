/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c: removing and copying directory trees that a target may have filled with anything.
 * All steps are relative to open directories and follow no symbolic link, so that nothing
 * outside the tree is touched even while somebody changes it.
 */
#include "os_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_DEPTH_MAX 64       /* open directories at a time */
#define TREE_LIFTS_MAX 1000000u /* deep directories brought up in one removal */
#define COPY_CHUNK 65536

static bool is_dots(const char *name)
{
    return hd_streq(name, ".") || hd_streq(name, "..");
}

/* ---- remove -------------------------------------------------------------------------------- */

struct removal {
    int top_fd;
    dev_t device;
    const char *path; /* for messages */
    unsigned lifts;
    struct hd_err *err;
};

static enum hd_code remove_inside(struct removal *removal, int fd, int depth);

/* A directory too deep for the recursion is moved to the top, where a later round finds it. */
static enum hd_code lift(struct removal *removal, int fd, const char *name)
{
    if (removal->lifts >= TREE_LIFTS_MAX)
        return hd_fail(removal->err, HD_E_LIMIT, "%s is nested too deeply to remove",
                       removal->path);
    char lifted[64];
    hd_format(lifted, sizeof(lifted), ".deep-%016llx-%u", (unsigned long long)hd_os_random_u64(),
              removal->lifts++);
    if (renameat(fd, name, removal->top_fd, lifted) != 0 &&
        (errno != EACCES || fchmod(fd, 0700) != 0 ||
         renameat(fd, name, removal->top_fd, lifted) != 0))
        return hd_fail_errno(removal->err, errno, "cannot remove %s/.../%s", removal->path, name);
    return HD_OK;
}

/* A target may leave directories that even their owner cannot read. The way over an O_PATH
 * descriptor changes the mode of this very directory and never of what a link points to. */
static bool make_accessible(int fd, const char *name)
{
    int path_fd = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (path_fd < 0)
        return false;
    char proc[64];
    hd_format(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
    bool done = chmod(proc, 0700) == 0;
    close(path_fd);
    return done;
}

static int open_directory_at(int fd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int child = openat(fd, name, flags);
    if (child < 0 && errno == EACCES && make_accessible(fd, name))
        child = openat(fd, name, flags);
    return child;
}

/* unlinkat that makes a read-only directory writable first; what is gone already is fine. */
static bool unlink_entry(int fd, const char *name, int flags)
{
    if (unlinkat(fd, name, flags) == 0 || errno == ENOENT)
        return true;
    return errno == EACCES && fchmod(fd, 0700) == 0 && unlinkat(fd, name, flags) == 0;
}

static enum hd_code remove_directory(struct removal *removal, int fd, const char *name, int depth)
{
    if (depth >= TREE_DEPTH_MAX)
        return lift(removal, fd, name);
    int child = open_directory_at(fd, name);
    if (child < 0)
        return hd_fail_errno(removal->err, errno, "cannot open %s/.../%s", removal->path, name);
    enum hd_code code = remove_inside(removal, child, depth + 1);
    close(child);
    if (code == HD_OK && !unlink_entry(fd, name, AT_REMOVEDIR))
        return hd_fail_errno(removal->err, errno, "cannot remove %s/.../%s", removal->path, name);
    return code;
}

static enum hd_code remove_entry(struct removal *removal, int fd, const char *name, int depth)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? HD_OK
                               : hd_fail_errno(removal->err, errno, "cannot look at %s/.../%s",
                                               removal->path, name);
    if (S_ISDIR(st.st_mode) && st.st_dev != removal->device)
        return hd_fail(removal->err, HD_E_CONFLICT,
                       "%s/.../%s is a mount point: unmount it first, nothing in it was removed",
                       removal->path, name);
    if (S_ISDIR(st.st_mode))
        return remove_directory(removal, fd, name, depth);
    if (unlink_entry(fd, name, 0))
        return HD_OK;
    return hd_fail_errno(removal->err, errno, "cannot remove %s/.../%s", removal->path, name);
}

static enum hd_code remove_inside(struct removal *removal, int fd, int depth)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL) {
        int failed = errno;
        if (copy >= 0)
            close(copy);
        return hd_fail_errno(removal->err, failed, "cannot list %s", removal->path);
    }
    enum hd_code code = HD_OK;
    const struct dirent *entry;
    while (code == HD_OK && (entry = readdir(stream)) != NULL)
        if (!is_dots(entry->d_name))
            code = remove_entry(removal, fd, entry->d_name, depth);
    closedir(stream);
    return code;
}

static enum hd_code remove_open_tree(const char *path, int fd, dev_t device, struct hd_err *err)
{
    struct removal removal = {.top_fd = fd, .device = device, .path = path, .err = err};
    /* Each round removes at least TREE_DEPTH_MAX levels; lifted directories need another one. */
    for (;;) {
        unsigned before = removal.lifts;
        enum hd_code code = remove_inside(&removal, fd, 0);
        if (code != HD_OK)
            return code;
        if (removal.lifts == before && rmdir(path) == 0)
            return HD_OK;
        if (removal.lifts == before)
            return hd_fail_errno(err, errno, "cannot remove %s", path);
    }
}

enum hd_code hd_remove_tree(const char *path, struct hd_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? HD_OK : hd_fail_errno(err, errno, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode)) {
        if (unlink(path) == 0 || errno == ENOENT)
            return HD_OK;
        return hd_fail_errno(err, errno, "cannot remove %s", path);
    }
    int fd = open_directory_at(AT_FDCWD, path);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open %s", path);
    enum hd_code code = remove_open_tree(path, fd, st.st_dev, err);
    close(fd);
    return code;
}

/* ---- copy ---------------------------------------------------------------------------------- */

/* What one copy may still take. */
struct allowance {
    uint64_t bytes;
    unsigned entries;
};

static enum hd_code copy_inside(int from, int to, const char *path, int depth,
                                struct allowance *left, struct hd_err *err);

static enum hd_code copy_range(int in, int out, off_t at, off_t end, const char *name,
                               struct allowance *left, struct hd_err *err)
{
    char chunk[COPY_CHUNK];
    if (lseek(out, at, SEEK_SET) < 0)
        return hd_fail_errno(err, errno, "cannot write the copy of %s", name);
    while (at < end) {
        size_t wanted = end - at < (off_t)sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk);
        ssize_t got = pread(in, chunk, wanted, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hd_fail_errno(err, errno, "cannot read %s", name);
        if (got == 0)
            return HD_OK; /* it was cut meanwhile */
        if ((uint64_t)got > left->bytes)
            return hd_fail(err, HD_E_LIMIT, "%s: there is more than may be copied", name);
        left->bytes -= (uint64_t)got;
        if (!hd_write_all(out, chunk, (size_t)got))
            return hd_fail_errno(err, errno, "cannot write the copy of %s", name);
        at += got;
    }
    return HD_OK;
}

/* As long as it was at the beginning, however much somebody adds meanwhile; holes stay holes. */
static enum hd_code copy_bytes(int in, int out, off_t size, const char *name,
                               struct allowance *left, struct hd_err *err)
{
    off_t at = 0;
    enum hd_code code = HD_OK;
    while (at < size && code == HD_OK) {
        off_t data = lseek(in, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* nothing but a hole */
        if (data < 0)
            data = at; /* a file system that does not know holes */
        off_t hole = lseek(in, data, SEEK_HOLE);
        if (hole < 0 || hole > size)
            hole = size;
        if (data < hole)
            code = copy_range(in, out, data, hole, name, left, err);
        at = hole > data ? hole : size;
    }
    if (code == HD_OK && ftruncate(out, size) != 0)
        return hd_fail_errno(err, errno, "cannot write the copy of %s", name);
    return code;
}

/* Mode and times are kept: programs pick their newest state by its time. */
static enum hd_code keep_looks(int fd, const struct stat *st, const char *name, struct hd_err *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (fchmod(fd, st->st_mode & 0777) != 0 || futimens(fd, times) != 0)
        return hd_fail_errno(err, errno, "cannot set mode and time of the copy of %s", name);
    return HD_OK;
}

static enum hd_code copy_file(int from, int to, const char *name, struct allowance *left,
                              struct hd_err *err)
{
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return hd_fail_errno(err, errno, "cannot open %s to copy it", name);
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum hd_code code = HD_OK;
    struct stat st;
    if (out < 0)
        code = hd_fail_errno(err, errno, "cannot create the copy of %s", name);
    else if (fstat(in, &st) != 0 || !S_ISREG(st.st_mode))
        code = hd_fail(err, HD_E_CONFLICT, "%s changed while it was copied", name);
    if (code == HD_OK)
        code = copy_bytes(in, out, st.st_size, name, left, err);
    if (code == HD_OK)
        code = keep_looks(out, &st, name, err);
    if (out >= 0 && close(out) != 0 && code == HD_OK)
        code = hd_fail_errno(err, errno, "cannot write the copy of %s", name);
    close(in);
    return code;
}

static enum hd_code copy_symlink(int from, int to, const char *name, struct hd_err *err)
{
    char target[4096];
    ssize_t size = readlinkat(from, name, target, sizeof(target) - 1);
    if (size < 0)
        return hd_fail_errno(err, errno, "cannot read the link %s", name);
    target[size] = '\0';
    if (symlinkat(target, to, name) != 0)
        return hd_fail_errno(err, errno, "cannot create the link %s", name);
    return HD_OK;
}

static enum hd_code copy_directory(int from, int to, const char *name, int depth,
                                   struct allowance *left, struct hd_err *err)
{
    if (depth >= TREE_DEPTH_MAX)
        return hd_fail(err, HD_E_LIMIT, "%s lies more than %d directories deep: cannot copy it",
                       name, TREE_DEPTH_MAX);
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return hd_fail_errno(err, errno, "cannot open %s to copy it", name);
    struct stat st;
    int out = -1;
    enum hd_code code = HD_OK;
    if (fstat(in, &st) != 0 || mkdirat(to, name, 0700) != 0)
        code = hd_fail_errno(err, errno, "cannot create the copy of %s", name);
    else if ((out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        code = hd_fail_errno(err, errno, "cannot open the copy of %s", name);
    if (code == HD_OK)
        code = copy_inside(in, out, name, depth + 1, left, err);
    if (code == HD_OK)
        code = keep_looks(out, &st, name, err);
    if (out >= 0)
        close(out);
    close(in);
    return code;
}

static enum hd_code copy_entry(int from, int to, const char *name, int depth,
                               struct allowance *left, struct hd_err *err)
{
    struct stat st;
    if (left->entries == 0)
        return hd_fail(err, HD_E_LIMIT, "more than %u files: cannot copy them",
                       HD_COPY_ENTRIES_MAX);
    left->entries--;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return hd_fail_errno(err, errno, "cannot look at %s to copy it", name);
    if (S_ISDIR(st.st_mode))
        return copy_directory(from, to, name, depth, left, err);
    if (S_ISLNK(st.st_mode))
        return copy_symlink(from, to, name, err);
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, left, err);
    return HD_OK; /* sockets, FIFOs and devices are no state: left out */
}

static enum hd_code copy_inside(int from, int to, const char *path, int depth,
                                struct allowance *left, struct hd_err *err)
{
    int copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (stream == NULL) {
        int failed = errno;
        if (copy >= 0)
            close(copy);
        return hd_fail_errno(err, failed, "cannot list %s", path);
    }
    enum hd_code code = HD_OK;
    const struct dirent *entry;
    while (code == HD_OK && (entry = readdir(stream)) != NULL)
        if (!is_dots(entry->d_name))
            code = copy_entry(from, to, entry->d_name, depth, left, err);
    closedir(stream);
    return code;
}

static enum hd_code copy_top(int in, const char *from, const char *to, uint64_t bytes_max,
                             struct hd_err *err)
{
    struct allowance left = {bytes_max, HD_COPY_ENTRIES_MAX};
    struct stat st;
    if (fstat(in, &st) != 0)
        return hd_fail_errno(err, errno, "cannot look at %s", from);
    int out = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0)
        return hd_fail_errno(err, errno, "cannot open %s", to);
    enum hd_code code = copy_inside(in, out, from, 1, &left, err);
    if (code == HD_OK)
        code = keep_looks(out, &st, to, err);
    close(out);
    return code;
}

enum hd_code hd_copy_tree(const char *from, const char *to, uint64_t bytes_max, struct hd_err *err)
{
    int in = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return hd_fail_errno(err, errno, "cannot open %s to copy it", from);
    enum hd_code code = HD_OK;
    if (mkdir(to, 0700) != 0) {
        code = hd_fail_errno(err, errno, "cannot create %s", to);
    } else {
        code = copy_top(in, from, to, bytes_max, err);
        if (code != HD_OK)
            (void)!hd_remove_tree(to, NULL); /* half a copy is worse than none */
    }
    close(in);
    return code;
}
