/* SPDX-License-Identifier: Apache-2.0 */
/* backup.c: a copy of a store that is known to be whole before it has its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hd/fsck.h>
#include <hd/os.h>

#define PATH_SIZE_MAX 4096

struct places {
    char target[PATH_SIZE_MAX];
    char temporary[PATH_SIZE_MAX];
    char directory[PATH_SIZE_MAX];
};

static enum hd_code find_places(const char *to, bool replace, struct places *places,
                                struct hd_err *err)
{
    struct stat st;
    bool fits = hd_copy_text(places->target, sizeof(places->target), to);
    if (stat(to, &st) == 0 && S_ISDIR(st.st_mode))
        fits = hd_format(places->target, sizeof(places->target), "%s/%s", to, HD_STORE_FILE_NAME);
    fits = fits && hd_format(places->temporary, sizeof(places->temporary), "%s.%016llx.tmp",
                             places->target, (unsigned long long)hd_os_random_u64());
    fits = fits && hd_copy_text(places->directory, sizeof(places->directory), places->target);
    if (!fits)
        return hd_fail(err, HD_E_LIMIT, "the path %s is too long", to);
    char *slash = strrchr(places->directory, '/');
    if (slash == NULL)
        (void)hd_copy_text(places->directory, sizeof(places->directory), ".");
    else
        slash[slash == places->directory ? 1 : 0] = '\0';
    if (!replace && lstat(places->target, &st) == 0)
        return hd_fail(err, HD_E_EXISTS, "%s exists: name another file, or give --replace",
                       places->target);
    return HD_OK;
}

/* A file that a master has open must not be exchanged under it. */
static enum hd_code check_unused(const struct places *places, struct hd_err *err)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    char path[PATH_SIZE_MAX + 16];
    struct stat st;
    for (size_t i = 0; i < HD_COUNT(suffixes); i++) {
        (void)hd_format(path, sizeof(path), "%s%s", places->target, suffixes[i]);
        if (lstat(path, &st) == 0)
            return hd_fail(err, HD_E_CONFLICT,
                           "%s is in use or was not closed (%s is there): copy to another place",
                           places->target, path);
    }
    return HD_OK;
}

static enum hd_code put_in_place(const struct places *places, bool replace, struct hd_err *err)
{
    /* link() refuses what has come there meanwhile; rename() would replace it. */
    int failed = replace ? rename(places->temporary, places->target)
                         : link(places->temporary, places->target);
    if (failed != 0)
        return hd_fail(err, errno == EEXIST ? HD_E_EXISTS : HD_E_IO, "cannot make %s: %s",
                       places->target, strerror(errno));
    int fd = open(places->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
        enum hd_code code =
            hd_fail(err, HD_E_IO, "cannot sync %s: %s", places->directory, strerror(errno));
        if (fd >= 0)
            close(fd);
        return code;
    }
    close(fd);
    return HD_OK;
}

static enum hd_code copy(const char *path, const struct places *places, struct hd_err *err)
{
    struct hd_reader *reader = NULL;
    enum hd_code code = hd_reader_open(path, &reader, err);
    if (code == HD_OK)
        code = hd_reader_copy(reader, places->temporary, err);
    hd_reader_close(reader);
    return code;
}

/* What SQLite may have put beside the copy. */
static void remove_temporary(const struct places *places)
{
    char path[PATH_SIZE_MAX + 16];
    (void)unlink(places->temporary);
    (void)hd_format(path, sizeof(path), "%s-journal", places->temporary);
    (void)unlink(path);
}

enum hd_code hd_backup(const char *path, const char *to, bool replace,
                       struct hd_fsck_report *ret_report, struct hd_err *err)
{
    struct hd_err spare;
    err = err != NULL ? err : &spare;
    struct places places;
    *ret_report = (struct hd_fsck_report){.path = ""};
    enum hd_code code = find_places(to, replace, &places, err);
    if (code == HD_OK)
        code = check_unused(&places, err);
    if (code != HD_OK)
        return code;
    code = copy(path, &places, err);
    if (code == HD_OK)
        code = hd_fsck(places.temporary, NULL, ret_report, err);
    if (code == HD_OK && ret_report->finding_count > 0)
        code =
            hd_fail(err, HD_E_CORRUPT, "%s is damaged, so no copy was kept: %s: %s; see hd fsck %s",
                    path, ret_report->findings[0].where, ret_report->findings[0].what, path);
    if (code == HD_OK)
        code = put_in_place(&places, replace, err);
    remove_temporary(&places);
    if (code == HD_OK)
        (void)hd_copy_text(ret_report->path, sizeof(ret_report->path), places.target);
    return code;
}
