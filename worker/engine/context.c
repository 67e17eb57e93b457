/* SPDX-License-Identifier: Apache-2.0 */
/* context.c: a directory as a tar archive (POSIX ustar, with pax headers for long names) and as a
 * hash. See context.h. */
#include "context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define PATH_SIZE 4096
#define DEPTH_MAX 64
#define PIECE 65536
#define NAME_ROOM 100
#define NAME_SIZE (PATH_SIZE + 256) /* of a name in an archive */

struct walk {
    const char *root, *dockerfile;
    const struct hd_ignore *ignore;    /* NULL: everything is sent */
    const struct hd_pack_tree *packed; /* NULL: a build, or code */
    struct hd_sha256 *sha;             /* of the archive of code; NULL: it is something else */
    int fd;                            /* -1: only the hash */
    uint64_t hash, bytes;
    uint64_t entries, sent;
    char piece[PIECE];
    struct hd_err *err;
};

struct entry {
    char path[PATH_SIZE]; /* relative */
    char link[PATH_SIZE]; /* of a link */
    struct stat status;
};

/* ---- tar ------------------------------------------------------------------------------------- */

static enum hd_code write_all(struct walk *walk, const void *bytes, size_t size)
{
    const char *at = bytes;
    if (walk->sha != NULL)
        hd_sha256_add(walk->sha, bytes, size);
    while (walk->fd >= 0 && size > 0) {
        ssize_t count = write(walk->fd, at, size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return hd_fail(walk->err, errno == ENOSPC ? HD_E_FULL : HD_E_IO,
                           "writing the archive of %s: %s", walk->root, strerror(errno));
        at += count;
        size -= (size_t)count;
    }
    return HD_OK;
}

static enum hd_code write_padding(struct walk *walk, uint64_t size)
{
    static const char zeros[BLOCK];
    return size % BLOCK == 0 ? HD_OK : write_all(walk, zeros, BLOCK - (size_t)(size % BLOCK));
}

/* Names that are too long stand in the pax header before; here they are cut. */
static enum hd_code write_head(struct walk *walk, const char *name, const char *link, char type,
                               unsigned mode, uint64_t size, int64_t mtime)
{
    char head[BLOCK] = {0};
    unsigned sum = 0;
    (void)hd_copy_text(head, NAME_ROOM + 1, name);
    head[NAME_ROOM] = '\0';
    (void)hd_format(head + 100, 8, "%07o", mode & 07777u);
    (void)hd_format(head + 108, 8, "%07o", walk->packed != NULL ? walk->packed->uid : 0u);
    (void)hd_format(head + 116, 8, "%07o", walk->packed != NULL ? walk->packed->gid : 0u);
    (void)hd_format(head + 124, 12, "%011llo", (unsigned long long)size);
    bool timeless = mtime < 0 || walk->sha != NULL;
    (void)hd_format(head + 136, 12, "%011llo", (unsigned long long)(timeless ? 0 : mtime));
    memset(head + 148, ' ', 8);
    head[156] = type;
    (void)hd_copy_text(head + 157, NAME_ROOM, link);
    memcpy(head + 257, "ustar", 6);
    memcpy(head + 263, "00", 2);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    (void)hd_format(head + 148, 8, "%06o", sum);
    return write_all(walk, head, BLOCK);
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static enum hd_code add_record(struct hd_buf *out, const char *key, const char *value,
                               struct hd_err *err)
{
    size_t rest = strlen(key) + strlen(value) + 3, size = rest + 1;
    for (;;) {
        char digits[24];
        (void)hd_format(digits, sizeof(digits), "%zu", size);
        if (strlen(digits) + rest == size)
            break;
        size = strlen(digits) + rest;
    }
    return hd_buf_printf(out, err, "%zu %s=%s\n", size, key, value);
}

static enum hd_code write_long_names(struct walk *walk, const char *name, const char *link)
{
    struct hd_buf records;
    hd_buf_init(&records, 4 * PATH_SIZE);
    enum hd_code code = HD_OK;
    if (strlen(name) > NAME_ROOM)
        code = add_record(&records, "path", name, walk->err);
    if (code == HD_OK && strlen(link) >= NAME_ROOM)
        code = add_record(&records, "linkpath", link, walk->err);
    if (code == HD_OK && records.size > 0) {
        code = write_head(walk, "PaxHeader", "", 'x', 0644, records.size, 0);
        if (code == HD_OK)
            code = write_all(walk, records.data, records.size);
        if (code == HD_OK)
            code = write_padding(walk, records.size);
    }
    hd_buf_release(&records);
    return code;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* As it is called in the archive. */
static bool name_in(const struct walk *walk, const char *path, const char *tail, char *ret_name)
{
    const char *top = walk->packed != NULL ? walk->packed->name : "";
    return hd_format(ret_name, NAME_SIZE, "%s%s%s%s", top,
                     top[0] != '\0' && path[0] != '\0' ? "/" : "", path, tail);
}

/* A container may run as anybody: what the owner may, everybody may. Of code only whether it can be
 * run is told: the rest is how it was checked out. */
static unsigned mode_of(const struct walk *walk, mode_t mode)
{
    unsigned owner = (unsigned)mode & 0700;
    if (walk->sha != NULL)
        return S_ISDIR(mode) || (mode & 0100) != 0 ? 0755 : 0644;
    if (walk->packed == NULL)
        return (unsigned)mode;
    if (walk->packed->for_owner)
        return ((unsigned)mode & 0777) | 0600 | (S_ISDIR(mode) ? 0100u : 0u);
    return ((unsigned)mode & 0777) | owner | owner >> 3 | owner >> 6 |
           (S_ISDIR(mode) ? 0777u : 0666u);
}

static enum hd_code too_many_bytes(struct walk *walk)
{
    if (walk->packed != NULL)
        return hd_fail(walk->err, HD_E_LIMIT, "%s holds more than %llu bytes", walk->root,
                       (unsigned long long)walk->packed->bytes_max);
    if (walk->sha != NULL)
        return hd_fail(walk->err, HD_E_LIMIT,
                       "%s holds more than %u MiB; name what is not needed in " HD_CODE_IGNORE
                       ", and take data sets for data",
                       walk->root, HD_CODE_BYTES_MAX >> 20);
    return hd_fail(walk->err, HD_E_LIMIT,
                   "%s holds more than %llu bytes; name what is not needed in .dockerignore",
                   walk->root, (unsigned long long)HD_BUILD_BYTES_MAX);
}

static uint64_t bytes_max(const struct walk *walk)
{
    if (walk->sha != NULL)
        return HD_CODE_BYTES_MAX;
    return walk->packed != NULL ? walk->packed->bytes_max : HD_BUILD_BYTES_MAX;
}

static void hash_text(struct walk *walk, const char *text)
{
    walk->hash = hd_hash_text(walk->hash, text);
}

static enum hd_code changed(struct walk *walk, const char *path)
{
    return hd_fail(walk->err, HD_E_CONFLICT, "%s/%s changed while it was read", walk->root, path);
}

/* As many bytes as its size said before: an archive cannot take back a number. */
static enum hd_code add_content(struct walk *walk, const struct entry *entry, int fd)
{
    uint64_t left = (uint64_t)entry->status.st_size;
    enum hd_code code = HD_OK;
    while (left > 0 && code == HD_OK) {
        size_t want = left < sizeof(walk->piece) ? (size_t)left : sizeof(walk->piece);
        ssize_t count = read(fd, walk->piece, want);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return changed(walk, entry->path);
        walk->hash = hd_hash_bytes(walk->hash, walk->piece, (size_t)count);
        code = write_all(walk, walk->piece, (size_t)count);
        left -= (uint64_t)count;
    }
    return code == HD_OK ? write_padding(walk, (uint64_t)entry->status.st_size) : code;
}

static enum hd_code add_file(struct walk *walk, struct entry *entry, int at)
{
    const char *name = strrchr(entry->path, '/');
    int fd = openat(at, name != NULL ? name + 1 : entry->path,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &entry->status) != 0 || !S_ISREG(entry->status.st_mode)) {
        enum hd_code code = hd_fail(walk->err, HD_E_IO, "%s/%s cannot be read: %s", walk->root,
                                    entry->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return code;
    }
    uint64_t size = (uint64_t)entry->status.st_size;
    char name_there[NAME_SIZE];
    walk->bytes += size;
    enum hd_code code = HD_OK;
    if (walk->bytes > bytes_max(walk) || !name_in(walk, entry->path, "", name_there))
        code = too_many_bytes(walk);
    walk->hash = hd_hash_u64(walk->hash, entry->status.st_mode & 07777u);
    walk->hash = hd_hash_u64(walk->hash, size);
    if (code == HD_OK)
        code = write_long_names(walk, name_there, "");
    if (code == HD_OK)
        code = write_head(walk, name_there, "", '0', mode_of(walk, entry->status.st_mode), size,
                          entry->status.st_mtime);
    if (code == HD_OK)
        code = add_content(walk, entry, fd);
    close(fd);
    return code;
}

static enum hd_code add_link(struct walk *walk, struct entry *entry, int at)
{
    const char *name = strrchr(entry->path, '/');
    ssize_t size =
        readlinkat(at, name != NULL ? name + 1 : entry->path, entry->link, sizeof(entry->link) - 1);
    if (size < 0)
        return changed(walk, entry->path);
    entry->link[size] = '\0';
    hash_text(walk, entry->link);
    char name_there[NAME_SIZE];
    if (!name_in(walk, entry->path, "", name_there))
        return too_many_bytes(walk);
    enum hd_code code = write_long_names(walk, name_there, entry->link);
    return code == HD_OK
               ? write_head(walk, name_there, entry->link, '2', 0777, 0, entry->status.st_mtime)
               : code;
}

static enum hd_code add_directory(struct walk *walk, const struct entry *entry)
{
    char name[NAME_SIZE];
    if (!name_in(walk, entry->path, "/", name))
        return too_many_bytes(walk);
    walk->hash = hd_hash_u64(walk->hash, entry->status.st_mode & 07777u);
    enum hd_code code = write_long_names(walk, name, "");
    return code == HD_OK ? write_head(walk, name, "", '5', mode_of(walk, entry->status.st_mode), 0,
                                      entry->status.st_mtime)
                         : code;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static enum hd_code read_directory(struct walk *walk, int fd, const char *path, int depth);

static bool is_sent(const struct walk *walk, const char *path)
{
    if (walk->packed != NULL)
        return walk->packed->leave_out == NULL || !hd_streq(path, walk->packed->leave_out);
    bool always = walk->dockerfile != NULL &&
                  (hd_streq(path, walk->dockerfile) || hd_streq(path, ".dockerignore"));
    return always || !hd_ignore_fits(walk->ignore, path);
}

/* Of what is directly in the directory. */
static bool is_taken(const struct walk *walk, const char *name, mode_t mode)
{
    return walk->packed == NULL || walk->packed->takes == NULL ||
           walk->packed->takes(name, S_ISDIR(mode), S_ISREG(mode));
}

/* A directory that is left out of a build is looked through all the same: an exception may lie in
 * it. */
static enum hd_code enter(struct walk *walk, const struct entry *entry, int at, const char *name,
                          int depth)
{
    if (depth >= DEPTH_MAX)
        return hd_fail(walk->err, HD_E_LIMIT, "%s/%s: more than %d directories deep", walk->root,
                       entry->path, DEPTH_MAX);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return is_sent(walk, entry->path) ? hd_fail(walk->err, HD_E_IO, "%s/%s cannot be read: %s",
                                                    walk->root, entry->path, strerror(errno))
                                          : HD_OK;
    enum hd_code code = read_directory(walk, fd, entry->path, depth + 1);
    close(fd);
    return code;
}

static enum hd_code add_entry(struct walk *walk, int at, const char *parent, const char *name,
                              int depth)
{
    struct entry *entry = hd_malloc(sizeof(*entry));
    if (entry == NULL)
        return hd_fail(walk->err, HD_E_NOMEM, "no memory for reading %s", walk->root);
    enum hd_code code = HD_OK;
    if (!hd_format(entry->path, sizeof(entry->path), "%s%s%s", parent, parent[0] != '\0' ? "/" : "",
                   name))
        code = hd_fail(walk->err, HD_E_LIMIT, "%s: a path is too long", walk->root);
    else if (fstatat(at, name, &entry->status, AT_SYMLINK_NOFOLLOW) != 0)
        code = changed(walk, entry->path);
    else if (++walk->entries > HD_BUILD_ENTRIES_MAX)
        code = hd_fail(walk->err, HD_E_LIMIT, "%s holds more than %d files", walk->root,
                       HD_BUILD_ENTRIES_MAX);
    bool sent = code == HD_OK && is_sent(walk, entry->path);
    if (sent && walk->sha != NULL && ++walk->sent > HD_CODE_ENTRIES_MAX)
        code = hd_fail(walk->err, HD_E_LIMIT,
                       "%s holds more than %d files; name what is not needed in " HD_CODE_IGNORE,
                       walk->root, HD_CODE_ENTRIES_MAX);
    mode_t mode = code == HD_OK ? entry->status.st_mode : 0;
    sent = sent && code == HD_OK && (parent[0] != '\0' || is_taken(walk, name, mode));
    if (sent && (S_ISREG(mode) || S_ISLNK(mode) || S_ISDIR(mode)))
        hash_text(walk, entry->path);
    if (sent && S_ISREG(mode))
        code = add_file(walk, entry, at);
    else if (sent && S_ISLNK(mode))
        code = add_link(walk, entry, at);
    else if (sent && S_ISDIR(mode))
        code = add_directory(walk, entry);
    if (code == HD_OK && S_ISDIR(mode) && (sent || walk->packed == NULL))
        code = enter(walk, entry, at, name, depth);
    hd_free(entry);
    return code;
}

static int not_dots(const struct dirent *entry)
{
    return !hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, "..");
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum hd_code read_directory(struct walk *walk, int fd, const char *path, int depth)
{
    struct dirent **names = NULL;
    int count = scandirat(fd, ".", &names, not_dots, by_bytes);
    enum hd_code code = count < 0 ? hd_fail(walk->err, HD_E_IO, "%s/%s cannot be read: %s",
                                            walk->root, path, strerror(errno))
                                  : HD_OK;
    for (int i = 0; i < count; i++) {
        if (code == HD_OK)
            code = add_entry(walk, fd, path, names[i]->d_name, depth);
        free(names[i]); /* scandir's own */
    }
    free(names);
    return code;
}

/* `first`: rules before those of the file. */
static enum hd_code read_ignore(const char *directory, const char *name, const char *first,
                                struct hd_ignore *ignore, struct hd_err *err)
{
    char path[PATH_SIZE];
    struct hd_buf text, rules;
    if (!hd_format(path, sizeof(path), "%s/%s", directory, name))
        return hd_fail(err, HD_E_LIMIT, "%s: the path is too long", directory);
    hd_buf_init(&text, HD_IGNORE_BYTES_MAX);
    hd_buf_init(&rules, 2 * HD_IGNORE_BYTES_MAX);
    enum hd_code code = hd_buf_puts(&rules, first, err);
    if (code == HD_OK && hd_path_exists(path))
        code = hd_file_read(path, HD_IGNORE_BYTES_MAX, false, &text, err);
    if (code == HD_OK)
        code = hd_buf_append(&rules, hd_buf_text(&text), text.size, err);
    if (code == HD_OK)
        code = hd_ignore_parse(hd_buf_text(&rules), rules.size, ignore, err);
    hd_buf_release(&text);
    hd_buf_release(&rules);
    return code == HD_OK ? code : hd_fail_in(err, "%s", name);
}

static enum hd_code check_dockerfile(const char *directory, const char *dockerfile,
                                     struct hd_err *err)
{
    char path[PATH_SIZE];
    struct stat status;
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode))
        return hd_fail(err, HD_E_NOTFOUND, "%s is not a directory", directory);
    if (!hd_format(path, sizeof(path), "%s/%s", directory, dockerfile) ||
        stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return hd_fail(err, HD_E_NOTFOUND, "%s has no file %s", directory, dockerfile);
    return HD_OK;
}

enum hd_code hd_context_read(const char *directory, const char *dockerfile, int fd,
                             uint64_t *ret_hash, struct hd_err *err)
{
    static const char zeros[2 * BLOCK];
    struct hd_ignore ignore = {0};
    struct walk *walk = hd_calloc(1, sizeof(*walk));
    enum hd_code code = walk != NULL ? check_dockerfile(directory, dockerfile, err)
                                     : hd_fail(err, HD_E_NOMEM, "no memory for a build");
    if (code == HD_OK)
        code = read_ignore(directory, ".dockerignore", "", &ignore, err);
    int root = code == HD_OK ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (code == HD_OK && root < 0)
        code = hd_fail(err, HD_E_IO, "%s cannot be read: %s", directory, strerror(errno));
    if (code == HD_OK) {
        *walk = (struct walk){.root = directory,
                              .dockerfile = dockerfile,
                              .ignore = &ignore,
                              .fd = fd,
                              .hash = hd_hash_text(HD_HASH_INIT, dockerfile),
                              .err = err};
        code = read_directory(walk, root, "", 0);
    }
    if (code == HD_OK)
        code = write_all(walk, zeros, sizeof(zeros));
    if (code == HD_OK)
        *ret_hash = walk->hash;
    if (root >= 0)
        close(root);
    hd_ignore_release(&ignore);
    hd_free(walk);
    return code;
}

void hd_image_built_name(uint64_t hash, char *ret_name)
{
    (void)hd_format(ret_name, HD_IMAGE_NAME_MAX, HD_IMAGE_UNBUILT ":%016llx",
                    (unsigned long long)hash);
}

enum hd_code hd_image_context_name(const char *directory, const char *dockerfile, char *ret_name,
                                   struct hd_err *err)
{
    uint64_t hash = 0;
    enum hd_code code = hd_context_read(directory, dockerfile, -1, &hash, err);
    if (code == HD_OK)
        hd_image_built_name(hash, ret_name);
    return code;
}

/* ---- code ------------------------------------------------------------------------------------ */

/* What is never a part of it, unless the file says so: it changes by itself. */
#define CODE_LEFT_OUT "**/.git\n**/__pycache__\nhyperdock-state\nhyperdock-work\n"

enum hd_code hd_context_pack_code(const char *directory, int fd, struct hd_sha256 *sha,
                                  struct hd_err *err)
{
    static const char zeros[2 * BLOCK];
    struct hd_ignore ignore = {0};
    struct walk *walk = hd_calloc(1, sizeof(*walk));
    enum hd_code code = walk != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for code");
    int root = code == HD_OK ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (code == HD_OK && root < 0)
        code = hd_fail(err, errno == ENOENT || errno == ENOTDIR ? HD_E_NOTFOUND : HD_E_IO,
                       "%s is no directory that can be read: %s", directory, strerror(errno));
    if (code == HD_OK)
        code = read_ignore(directory, HD_CODE_IGNORE, CODE_LEFT_OUT, &ignore, err);
    if (code == HD_OK) {
        *walk =
            (struct walk){.root = directory, .ignore = &ignore, .sha = sha, .fd = fd, .err = err};
        code = read_directory(walk, root, "", 0);
    }
    if (code == HD_OK && walk->sent == 0)
        code = hd_fail(err, HD_E_INVALID, "%s holds no files", directory);
    if (code == HD_OK)
        code = write_all(walk, zeros, sizeof(zeros));
    if (root >= 0)
        close(root);
    hd_ignore_release(&ignore);
    hd_free(walk);
    return code;
}

/* ---- archives for containers ------------------------------------------------------------------
 */

enum hd_code hd_pack_tree(const struct hd_pack_tree *tree, int fd, struct hd_err *err)
{
    struct stat status;
    struct walk *walk = hd_calloc(1, sizeof(*walk));
    struct entry *top = hd_calloc(1, sizeof(*top));
    enum hd_code code =
        walk != NULL && top != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for an archive");
    int root =
        code == HD_OK ? open(tree->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (code == HD_OK && (root < 0 || fstat(root, &status) != 0))
        code = hd_fail(err, HD_E_IO, "%s cannot be read: %s", tree->directory, strerror(errno));
    if (code == HD_OK) {
        *walk = (struct walk){.root = tree->directory, .packed = tree, .fd = fd, .err = err};
        top->status = status;
        code = add_directory(walk, top);
    }
    if (code == HD_OK)
        code = read_directory(walk, root, "", 0);
    if (root >= 0)
        close(root);
    hd_free(top);
    hd_free(walk);
    return code;
}

enum hd_code hd_pack_link(const char *name, const char *to, int fd, struct hd_err *err)
{
    struct walk *walk = hd_calloc(1, sizeof(*walk));
    if (walk == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an archive");
    walk->root = name;
    walk->fd = fd;
    walk->err = err;
    enum hd_code code = write_head(walk, name, to, '2', 0777, 0, 0);
    hd_free(walk);
    return code;
}

enum hd_code hd_pack_end(int fd, struct hd_err *err)
{
    static const char zeros[2 * BLOCK];
    struct walk *walk = hd_calloc(1, sizeof(*walk));
    if (walk == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for an archive");
    walk->root = "";
    walk->fd = fd;
    walk->err = err;
    enum hd_code code = write_all(walk, zeros, sizeof(zeros));
    hd_free(walk);
    return code;
}
