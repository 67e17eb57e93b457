/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c: see unpack.h. */
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum hd_code failed(const char *path, struct hd_err *err)
{
    return hd_fail(err, errno == ENOSPC || errno == EDQUOT ? HD_E_FULL : HD_E_IO, "%s: %s", path,
                   strerror(errno));
}

/* What stands behind the prefix; NULL: it is no such name. */
static const char *without_prefix(const struct hd_unpack *unpack, const char *path)
{
    size_t size = strlen(unpack->prefix);
    if (size == 0)
        return path;
    if (strncmp(path, unpack->prefix, size) != 0 || (path[size] != '/' && path[size] != '\0'))
        return NULL;
    return path[size] == '/' ? path + size + 1 : path + size;
}

/* One directory down; it is made when it is missing. Takes `parent`. */
static int enter(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && mkdirat(parent, name, 0755) == 0)
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int why = errno;
    close(parent);
    errno = why;
    return fd;
}

/* The directory that holds the last name of the path, and that name; -1 with errno. */
static int open_parent(const struct hd_unpack *unpack, const char *path, const char **ret_name)
{
    char name[HD_TAR_PATH_MAX];
    int fd = fcntl(unpack->root_fd, F_DUPFD_CLOEXEC, 0);
    for (const char *slash; fd >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        (void)hd_format(name, sizeof(name), "%.*s", (int)(slash - path), path);
        fd = enter(fd, name);
    }
    *ret_name = path;
    return fd;
}

static bool make_directory(int parent, const char *name, unsigned mode)
{
    if (mkdirat(parent, name, 0700) != 0 && errno != EEXIST)
        return false;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool good = fd >= 0 && fchmod(fd, (mode & 0777) | 0700) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static bool make_file(struct hd_unpack *unpack, int parent, const struct hd_tar_entry *entry,
                      const char *name)
{
    (void)unlinkat(parent, name, 0);
    unpack->fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    unpack->mtime = entry->mtime;
    return unpack->fd >= 0 && fchmod(unpack->fd, (entry->mode & 0777) | 0600) == 0;
}

/* Of a regular file that the archive brought before. */
static bool make_link(const struct hd_unpack *unpack, int parent, const char *to, const char *name)
{
    struct stat status;
    const char *old_name;
    int old = open_parent(unpack, to, &old_name);
    if (old < 0)
        return false;
    (void)unlinkat(parent, name, 0);
    bool good = fstatat(old, old_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (good && !S_ISREG(status.st_mode)) {
        errno = EPERM;
        good = false;
    }
    good = good && linkat(old, old_name, parent, name, 0) == 0;
    int why = errno;
    close(old);
    errno = why;
    return good;
}

static bool make_entry(struct hd_unpack *unpack, int parent, const struct hd_tar_entry *entry,
                       const char *name)
{
    const char *to = without_prefix(unpack, entry->link);
    switch (entry->kind) {
    case HD_TAR_FILE:
        return make_file(unpack, parent, entry, name);
    case HD_TAR_DIRECTORY:
        return make_directory(parent, name, entry->mode);
    case HD_TAR_SYMLINK:
        (void)unlinkat(parent, name, 0);
        return symlinkat(entry->link, parent, name) == 0;
    case HD_TAR_HARDLINK:
        errno = EINVAL;
        return to != NULL && to[0] != '\0' && make_link(unpack, parent, to, name);
    case HD_TAR_OTHER:
        break;
    }
    return true;
}

static enum hd_code take_entry(void *context, const struct hd_tar_entry *entry, struct hd_err *err)
{
    struct hd_unpack *unpack = context;
    const char *path = without_prefix(unpack, entry->path), *name;
    hd_assert(unpack->fd < 0);
    if (path == NULL)
        return hd_fail(err, HD_E_CORRUPT, "an archive of %s holds %.200s", unpack->prefix,
                       entry->path);
    if (path[0] == '\0')
        return entry->kind == HD_TAR_DIRECTORY
                   ? HD_OK
                   : hd_fail(err, HD_E_CORRUPT, "%s is not a directory", unpack->prefix);
    int parent = open_parent(unpack, path, &name);
    if (parent < 0)
        return failed(path, err);
    enum hd_code code = make_entry(unpack, parent, entry, name) ? HD_OK : failed(path, err);
    close(parent);
    return code;
}

static enum hd_code take_content(void *context, const char *bytes, size_t size, bool last,
                                 struct hd_err *err)
{
    struct hd_unpack *unpack = context;
    enum hd_code code = HD_OK;
    while (size > 0 && code == HD_OK) {
        ssize_t count = write(unpack->fd, bytes, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            code = failed("a file of a target", err);
            break;
        }
        bytes += count;
        size -= (size_t)count;
    }
    if (last || code != HD_OK) {
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = unpack->mtime}};
        (void)futimens(unpack->fd, times);
        close(unpack->fd);
        unpack->fd = -1;
    }
    return code;
}

enum hd_code hd_unpack_open(struct hd_unpack *unpack, const char *directory, const char *prefix,
                            uint64_t bytes_max, uint64_t entries_max, struct hd_err *err)
{
    const struct hd_tar_handler handler = {
        .entry = take_entry, .content = take_content, .context = unpack};
    unpack->prefix = prefix;
    unpack->fd = -1;
    hd_tar_reader_init(&unpack->reader, &handler, bytes_max, entries_max);
    unpack->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return unpack->root_fd >= 0 ? HD_OK : failed(directory, err);
}

void hd_unpack_close(struct hd_unpack *unpack)
{
    if (unpack->fd >= 0)
        close(unpack->fd);
    if (unpack->root_fd >= 0)
        close(unpack->root_fd);
    unpack->fd = unpack->root_fd = -1;
    hd_tar_reader_release(&unpack->reader);
}
