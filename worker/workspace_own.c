/* SPDX-License-Identifier: Apache-2.0 */
/* What a target left becomes the owner's, whoever the image's user is. */
#include "contract_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct owning {
    uid_t uid;
    gid_t gid;
    unsigned entries;
};

/* The owner's rights for everybody; the descriptor is O_PATH, so no link is followed. */
static void open_up(int fd, const struct stat *st)
{
    char proc[64];
    mode_t owner = st->st_mode & 0700;
    mode_t mode = (st->st_mode & 01777) | owner | owner >> 3 | owner >> 6;
    mode |= S_ISDIR(st->st_mode) ? 0777 : 0666;
    if ((S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && mode != (st->st_mode & 07777) &&
        hd_format(proc, sizeof(proc), "/proc/self/fd/%d", fd))
        (void)chmod(proc, mode);
}

static void own_inside(struct owning *owning, int directory, int depth);

static void own_entry(struct owning *owning, int directory, const char *name, int depth)
{
    int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    struct stat st;
    if (fstat(fd, &st) == 0) {
        (void)!fchownat(fd, "", owning->uid, owning->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
        if (fstat(fd, &st) == 0)
            open_up(fd, &st);
        int inside = S_ISDIR(st.st_mode) && depth < HD_OWN_DEPTH_MAX
                         ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                         : -1;
        if (inside >= 0)
            own_inside(owning, inside, depth + 1);
    }
    close(fd);
}

/* Takes the descriptor. */
static void own_inside(struct owning *owning, int directory, int depth)
{
    DIR *stream = fdopendir(directory);
    if (stream == NULL) {
        close(directory);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL && owning->entries++ < HD_OWN_ENTRIES_MAX)
        if (!hd_streq(entry->d_name, ".") && !hd_streq(entry->d_name, ".."))
            own_entry(owning, directory, entry->d_name, depth);
    closedir(stream);
}

void hd_workspace_own(const struct hd_root *root, const char *directory)
{
    if (!root->is_root)
        return;
    struct owning owning = {.uid = root->uid, .gid = root->gid};
    own_entry(&owning, AT_FDCWD, directory, 0);
}
