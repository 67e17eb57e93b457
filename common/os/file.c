/* SPDX-License-Identifier: Apache-2.0 */
/* file.c: single files, paths and the lock file. */
#include "os_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_CHUNK 65536

enum hd_code hd_fail_errno(struct hd_err *err, int number, const char *fmt, ...)
{
    enum hd_code code = HD_E_IO;
    if (number == ENOENT || number == ENOTDIR)
        code = HD_E_NOTFOUND;
    else if (number == EEXIST)
        code = HD_E_EXISTS;
    else if (number == ENOSPC || number == EDQUOT)
        code = HD_E_FULL;
    else if (number == ENOMEM || number == EMFILE || number == ENFILE)
        code = HD_E_NOMEM;
    char text[HD_ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    char reason[128];
    return hd_fail(err, code, "%s: %s", text, strerror_r(number, reason, sizeof(reason)));
}

bool hd_write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

/* ---- paths -------------------------------------------------------------------------------- */

char *hd_path_join(const char *directory, const char *name)
{
    size_t a = strlen(directory), b = strlen(name);
    bool slash = a > 0 && directory[a - 1] != '/';
    char *path = hd_malloc(a + b + 2);
    if (path == NULL)
        return NULL;
    memcpy(path, directory, a);
    if (slash)
        path[a++] = '/';
    memcpy(path + a, name, b + 1);
    return path;
}

char *hd_path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return hd_strdup(".");
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    char *directory = hd_malloc(size + 1);
    if (directory != NULL) {
        memcpy(directory, path, size);
        directory[size] = '\0';
    }
    return directory;
}

bool hd_path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Drops empty and "." parts in place. ".." stays: behind a symlink it is not what it looks. */
static void tidy_absolute(char *path)
{
    char *out = path;
    const char *in = path;
    while (*in != '\0') {
        while (*in == '/')
            in++;
        size_t size = strcspn(in, "/");
        if (size > 0 && !(size == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, size);
            out += size;
        }
        in += size;
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
}

enum hd_code hd_path_absolute(const char *directory, const char *path, char **ret_path,
                              struct hd_err *err)
{
    char here[4096];
    if (getcwd(here, sizeof(here)) == NULL)
        return hd_fail_errno(err, errno, "cannot tell the current directory");
    char *base = path[0] == '/'        ? hd_strdup("/")
                 : directory == NULL   ? hd_strdup(here)
                 : directory[0] == '/' ? hd_strdup(directory)
                                       : hd_path_join(here, directory);
    char *whole = base != NULL ? hd_path_join(base, path) : NULL;
    hd_free(base);
    if (whole == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the path of %s", path);
    tidy_absolute(whole);
    *ret_path = whole;
    return HD_OK;
}

enum hd_code hd_mkdirs(const char *path, mode_t mode, struct hd_err *err)
{
    struct stat made;
    /* Mostly its parent is there: then it is one call. */
    if (mkdir(path, mode) == 0 ||
        (errno == EEXIST && stat(path, &made) == 0 && S_ISDIR(made.st_mode)))
        return HD_OK;
    char *copy = hd_strdup(path);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to make the directory %s", path);
    enum hd_code code = HD_OK;
    for (char *at = copy; code == HD_OK && *at != '\0';) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = '\0';
        struct stat st;
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            code = hd_fail_errno(err, errno, "cannot make the directory %s", copy);
        else if (stat(copy, &st) != 0 || !S_ISDIR(st.st_mode))
            code = hd_fail(err, HD_E_EXISTS, "%s exists and is no directory", copy);
        *at = kept;
    }
    hd_free(copy);
    return code;
}

/* ---- whole files -------------------------------------------------------------------------- */

static enum hd_code read_open_file(int fd, const char *path, size_t size_max, struct hd_buf *out,
                                   struct hd_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hd_fail_errno(err, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return hd_fail(err, HD_E_INVALID, "%s is not a regular file", path);
    char chunk[READ_CHUNK];
    size_t total = 0;
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hd_fail_errno(err, errno, "cannot read %s", path);
        if (got == 0)
            return HD_OK;
        total += (size_t)got;
        if (total > size_max)
            return hd_fail(err, HD_E_LIMIT, "%s is larger than %zu bytes", path, size_max);
        enum hd_code code = hd_buf_append(out, chunk, (size_t)got, err);
        if (code != HD_OK)
            return code;
    }
}

enum hd_code hd_file_open_regular(const char *path, int *ret_fd, struct hd_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0 && errno == ELOOP)
        return hd_fail(err, HD_E_INVALID, "%s is a symbolic link, not a regular file", path);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open %s", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return hd_fail(err, HD_E_INVALID, "%s is not a regular file", path);
    }
    *ret_fd = fd;
    return HD_OK;
}

enum hd_code hd_file_read(const char *path, size_t size_max, bool nofollow, struct hd_buf *out,
                          struct hd_err *err)
{
    /* O_NONBLOCK: a FIFO in the place of a file must not hold us. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (nofollow ? O_NOFOLLOW : 0);
    int fd = open(path, flags);
    if (fd < 0 && errno == ELOOP && nofollow)
        return hd_fail(err, HD_E_INVALID, "%s is a symbolic link, not a regular file", path);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open %s", path);
    struct hd_buf whole;
    hd_buf_init(&whole, size_max < SIZE_MAX ? size_max + 1 : size_max);
    enum hd_code code = read_open_file(fd, path, size_max, &whole, err);
    close(fd);
    if (code == HD_OK)
        code = hd_buf_append(out, hd_buf_text(&whole), whole.size, err);
    hd_buf_release(&whole);
    return code;
}

static enum hd_code sync_directory(const char *directory, struct hd_err *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot open the directory %s", directory);
    /* Some file systems cannot sync a directory and say EINVAL; there is nothing to add then. */
    int failed = fsync(fd) != 0 && errno != EINVAL ? errno : 0;
    close(fd);
    return failed != 0 ? hd_fail_errno(err, failed, "cannot sync the directory %s", directory)
                       : HD_OK;
}

/* owner: NULL, or of whom the file shall be; its group matters to nobody when the user is ours. */
static bool give_to(int fd, const struct stat *owner)
{
    return owner == NULL || owner->st_uid == geteuid() ||
           fchown(fd, owner->st_uid, owner->st_gid) == 0;
}

static enum hd_code write_new_file(const char *path, const void *bytes, size_t size, mode_t mode,
                                   const struct stat *owner, bool sync, struct hd_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return hd_fail_errno(err, errno, "cannot create %s", path);
    bool done = hd_write_all(fd, bytes, size) && give_to(fd, owner) && fchmod(fd, mode) == 0 &&
                (!sync || fsync(fd) == 0);
    int failed = errno;
    if (close(fd) != 0 && done) {
        done = false;
        failed = errno;
    }
    if (done)
        return HD_OK;
    unlink(path);
    return hd_fail_errno(err, failed, "cannot write %s", path);
}

static enum hd_code replace_file(const char *path, const void *bytes, size_t size, mode_t mode,
                                 const struct stat *owner, bool sync, struct hd_err *err)
{
    char suffix[64];
    hd_format(suffix, sizeof(suffix), ".%d-%016llx" HD_TEMPORARY_SUFFIX, (int)getpid(),
              (unsigned long long)hd_os_random_u64());
    size_t path_size = strlen(path), suffix_size = strlen(suffix);
    char *temporary = hd_malloc(path_size + suffix_size + 1);
    char *directory = hd_path_directory(path);
    enum hd_code code = HD_OK;
    if (temporary == NULL || directory == NULL) {
        code = hd_fail(err, HD_E_NOMEM, "no memory to write %s", path);
    } else {
        memcpy(temporary, path, path_size);
        memcpy(temporary + path_size, suffix, suffix_size + 1);
        code = write_new_file(temporary, bytes, size, mode, owner, sync, err);
    }
    if (code == HD_OK && rename(temporary, path) != 0) {
        code = hd_fail_errno(err, errno, "cannot put %s in place", path);
        unlink(temporary);
    }
    if (code == HD_OK && sync)
        code = sync_directory(directory, err);
    hd_free(temporary);
    hd_free(directory);
    return code;
}

enum hd_code hd_file_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode,
                                  struct hd_err *err)
{
    return replace_file(path, bytes, size, mode, NULL, true, err);
}

enum hd_code hd_file_write_as_before(const char *path, const void *bytes, size_t size, mode_t mode,
                                     struct hd_err *err)
{
    struct stat before;
    bool is_there = stat(path, &before) == 0;
    if (!is_there && errno != ENOENT)
        return hd_fail_errno(err, errno, "cannot look at %s", path);
    return replace_file(path, bytes, size, mode, is_there ? &before : NULL, true, err);
}

enum hd_code hd_file_replace(const char *path, const void *bytes, size_t size, mode_t mode,
                             struct hd_err *err)
{
    return replace_file(path, bytes, size, mode, NULL, false, err);
}

uint64_t hd_disk_free(const char *directory)
{
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0)
        return UINT64_MAX;
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

/* ---- lock file ---------------------------------------------------------------------------- */

struct hd_lock_file {
    int fd;
};

static long read_holder(int fd)
{
    char text[32];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int64_t pid;
    return hd_parse_i64(text, &pid) ? (long)pid : 0;
}

enum hd_code hd_lock_file_take(const char *path, struct hd_lock_file **ret_lock, struct hd_err *err)
{
    struct hd_lock_file *lock = hd_malloc(sizeof(*lock));
    if (lock == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory to lock %s", path);
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd < 0) {
        hd_free(lock);
        return hd_fail_errno(err, errno, "cannot open the lock file %s", path);
    }
    enum hd_code code = HD_OK;
    if (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        long holder = read_holder(lock->fd);
        if (errno != EWOULDBLOCK)
            code = hd_fail_errno(err, errno, "cannot lock %s", path);
        else if (holder > 0)
            code = hd_fail(err, HD_E_BUSY, "%s is held by process %ld", path, holder);
        else
            code = hd_fail(err, HD_E_BUSY, "%s is held by another process", path);
    }
    char text[32];
    hd_format(text, sizeof(text), "%ld\n", (long)getpid());
    if (code == HD_OK &&
        (ftruncate(lock->fd, 0) != 0 || !hd_write_all(lock->fd, text, strlen(text))))
        code = hd_fail_errno(err, errno, "cannot write the lock file %s", path);
    if (code != HD_OK) {
        hd_lock_file_release(lock);
        return code;
    }
    *ret_lock = lock;
    return HD_OK;
}

void hd_lock_file_release(struct hd_lock_file *lock)
{
    if (lock == NULL)
        return;
    /* The file stays: removing it would let two processes lock two files of one name. */
    close(lock->fd);
    hd_free(lock);
}
