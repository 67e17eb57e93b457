/* SPDX-License-Identifier: Apache-2.0 */
/* code.c: see <hd/code.h>. */
#include "context.h"
#include "unpack.h"

#include <hd/os.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define PIECE 65536
#define DEPTH_MAX (HD_TAR_DEPTH_MAX + 1)

static enum hd_code failed(const char *path, struct hd_err *err)
{
    return hd_fail(err, errno == ENOSPC || errno == EDQUOT ? HD_E_FULL : HD_E_IO, "%s: %s", path,
                   strerror(errno));
}

/* ---- packing --------------------------------------------------------------------------------- */

static enum hd_code pack(const char *directory, int fd, char ret_hash[HD_CODE_HASH_SIZE],
                         struct hd_err *err)
{
    struct hd_sha256 *sha = NULL;
    enum hd_code code = hd_sha256_new(&sha, err);
    if (code == HD_OK)
        code = hd_context_pack_code(directory, fd, sha, err);
    if (code == HD_OK)
        hd_sha256_end(sha, ret_hash);
    hd_sha256_free(sha);
    return code;
}

enum hd_code hd_code_hash(const char *directory, char ret_hash[HD_CODE_HASH_SIZE],
                          struct hd_err *err)
{
    return pack(directory, -1, ret_hash, err);
}

static enum hd_code find_directory(const struct hd_target *target, char **ret_directory,
                                   struct hd_err *err)
{
    bool base = target->base_dir != NULL && target->base_dir[0] != '\0';
    if (target->code[0] != '/' && !base)
        return hd_fail(err, HD_E_INVALID, "%.200s: relative, and target.base_dir is not known",
                       target->code);
    return hd_path_absolute(base ? target->base_dir : NULL, target->code, ret_directory, err);
}

enum hd_code hd_code_read(struct hd_target *target, struct hd_err *err)
{
    char hash[HD_CODE_HASH_SIZE], *directory = NULL;
    if (target->code == NULL || target->code_hash != NULL)
        return HD_OK;
    enum hd_code code = find_directory(target, &directory, err);
    if (code == HD_OK)
        code = hd_code_hash(directory, hash, err);
    hd_free(directory);
    if (code != HD_OK)
        return hd_fail_in(err, "target.code");
    target->code_hash = hd_strdup(hash);
    return target->code_hash != NULL ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory for code");
}

enum hd_code hd_code_archive_path(const char *store_path, const char *hash, char *ret_path,
                                  size_t path_size, struct hd_err *err)
{
    return hd_format(ret_path, path_size, "%s.code/%s.tar", store_path, hash)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path %s is too long", store_path);
}

/* Under another name until it is whole and known to be the right one. */
static enum hd_code pack_into(const char *directory, const char *hash, const char *path,
                              struct hd_err *err)
{
    char made[HD_CODE_HASH_SIZE], part[PATH_SIZE];
    if (!hd_format(part, sizeof(part), "%s.%016llx", path, (unsigned long long)hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(part, err);
    enum hd_code code = pack(directory, fd, made, err);
    if (code == HD_OK && !hd_streq(made, hash))
        code = hd_fail(err, HD_E_CONFLICT,
                       "%s holds something else by now than what the run was started with (%.12s, "
                       "and not %.12s)",
                       directory, made, hash);
    if (code == HD_OK && fsync(fd) != 0)
        code = failed(part, err);
    if (close(fd) != 0 && code == HD_OK)
        code = failed(part, err);
    if (code == HD_OK && rename(part, path) != 0)
        code = failed(path, err);
    if (code != HD_OK)
        (void)unlink(part);
    return code;
}

enum hd_code hd_code_keep(const char *store_path, const struct hd_target *target,
                          struct hd_err *err)
{
    char path[PATH_SIZE], folder[PATH_SIZE], *directory = NULL;
    if (target->code == NULL)
        return HD_OK;
    if (target->code_hash == NULL)
        return hd_fail(err, HD_E_INVALID, "target.code: its directory has not been read");
    enum hd_code code =
        hd_code_archive_path(store_path, target->code_hash, path, sizeof(path), err);
    if (code != HD_OK || hd_path_exists(path))
        return code;
    (void)hd_format(folder, sizeof(folder), "%s.code", store_path);
    code = find_directory(target, &directory, err);
    if (code == HD_OK)
        code = hd_mkdirs(folder, 0700, err);
    if (code == HD_OK)
        code = pack_into(directory, target->code_hash, path, err);
    hd_free(directory);
    return code == HD_OK ? HD_OK : hd_fail_in(err, "target.code");
}

/* ---- unpacking ------------------------------------------------------------------------------- */

/* One reading: what is checked and what is unpacked are the same bytes. */
static enum hd_code read_archive(int fd, const char *archive, const char *hash,
                                 struct hd_unpack *unpack, struct hd_err *err)
{
    char piece[PIECE], made[HD_CODE_HASH_SIZE];
    struct hd_sha256 *sha = NULL;
    ssize_t count = 0;
    enum hd_code code = hd_sha256_new(&sha, err);
    while (code == HD_OK && (count = read(fd, piece, sizeof(piece))) != 0) {
        if (count < 0 && errno != EINTR)
            code = failed(archive, err);
        if (count < 0)
            continue;
        hd_sha256_add(sha, piece, (size_t)count);
        code = hd_tar_reader_feed(&unpack->reader, piece, (size_t)count, err);
    }
    if (code == HD_OK)
        code = hd_tar_reader_end(&unpack->reader, err);
    if (code == HD_OK) {
        hd_sha256_end(sha, made);
        if (!hd_streq(made, hash))
            code = hd_fail(err, HD_E_CORRUPT, "%s is another archive than %.12s", archive, hash);
    }
    hd_sha256_free(sha);
    return code;
}

/* Whose everything becomes; as anybody but root it is ours already. */
struct owner {
    bool change;
    uid_t uid;
    gid_t gid;
};

static bool close_entry(int at, const char *name, const struct stat *status,
                        const struct owner *owner)
{
    if (owner->change && fchownat(at, name, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    return !S_ISREG(status->st_mode) || fchmodat(at, name, status->st_mode & 0555, 0) == 0;
}

/* All jobs of a worker see these files: none of them may change what the others see. Takes fd. */
static enum hd_code close_tree(int fd, const char *path, const struct owner *owner, int depth,
                               struct hd_err *err)
{
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        enum hd_code code = failed(path, err);
        close(fd);
        return code;
    }
    enum hd_code code = HD_OK;
    for (const struct dirent *entry; code == HD_OK && (entry = readdir(stream)) != NULL;) {
        struct stat status;
        if (hd_streq(entry->d_name, ".") || hd_streq(entry->d_name, ".."))
            continue;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !close_entry(fd, entry->d_name, &status, owner)) {
            code = failed(path, err);
        } else if (S_ISDIR(status.st_mode)) {
            int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            hd_assert(depth < DEPTH_MAX);
            code = child >= 0 ? close_tree(child, path, owner, depth + 1, err) : failed(path, err);
        }
    }
    if (code == HD_OK && fchmod(fd, 0555) != 0)
        code = failed(path, err);
    closedir(stream);
    return code;
}

/* Whoever finds the directory takes it for whole, also after a power cut. One call for all files of
 * the disk, instead of one for each of some thousands. */
static enum hd_code sync_all(int fd, const char *directory, struct hd_err *err)
{
    return syncfs(fd) == 0 ? HD_OK : failed(directory, err);
}

/* They belong to whoever has the directory that they are in. */
static enum hd_code close_all(const char *directory, struct hd_err *err)
{
    struct stat above;
    enum hd_code code = HD_OK;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed(directory, err);
    if (fstatat(fd, "..", &above, 0) != 0) {
        code = failed(directory, err);
        close(fd);
        return code;
    }
    const struct owner owner = {geteuid() == 0, above.st_uid, above.st_gid};
    if (owner.change && fchown(fd, owner.uid, owner.gid) != 0)
        code = failed(directory, err);
    else
        code = sync_all(fd, directory, err);
    if (code != HD_OK) {
        close(fd);
        return code;
    }
    return close_tree(fd, directory, &owner, 0, err);
}

static enum hd_code unpack_into(const char *archive, const char *hash, const char *directory,
                                struct hd_err *err)
{
    struct hd_unpack unpack;
    int fd = -1;
    enum hd_code code = hd_file_open_regular(archive, &fd, err);
    if (code != HD_OK)
        return code;
    code = hd_unpack_open(&unpack, directory, "", HD_CODE_BYTES_MAX, HD_CODE_ENTRIES_MAX, err);
    if (code == HD_OK)
        code = read_archive(fd, archive, hash, &unpack, err);
    hd_unpack_close(&unpack);
    close(fd);
    return code == HD_OK ? close_all(directory, err) : code;
}

enum hd_code hd_code_unpack(const char *archive, const char *hash, const char *directory,
                            struct hd_err *err)
{
    char part[PATH_SIZE];
    struct hd_err ignored;
    if (hd_path_exists(directory))
        return HD_OK;
    if (!hd_format(part, sizeof(part), "%s.%016llx", directory,
                   (unsigned long long)hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", directory);
    enum hd_code code = hd_mkdirs(part, 0755, err);
    if (code == HD_OK)
        code = unpack_into(archive, hash, part, err);
    /* Another worker on the same disk may have been faster: it unpacked the same. */
    if (code == HD_OK && rename(part, directory) != 0 && !hd_path_exists(directory))
        code = failed(directory, err);
    if (hd_path_exists(part))
        (void)!hd_remove_tree(part, &ignored);
    return code;
}
