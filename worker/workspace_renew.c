/* SPDX-License-Identifier: Apache-2.0 */
/* A work directory becomes a copy of itself, whenever the worker may die. */
#include "contract_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The whole state, between the two renames that put its copy in its place. Nobody else touches
 * what has this name. */
#define ASIDE_PREFIX ".aside-"

/* From under its name first: what has that is whole. An earlier one that cannot be removed, as when
 * something is mounted in it, keeps its own name: this one gets another, and the collector removes
 * what has such a name. */
static void remove_aside(const char *work_dir, const char *aside, char gone[HD_PATH_MAX])
{
    char fresh[sizeof(HD_GONE_PREFIX) + 17];
    struct hd_err ignored;
    hd_format(fresh, sizeof(fresh), HD_GONE_PREFIX "%016llx-",
              (unsigned long long)hd_os_random_u64());
    if (hd_remove_tree(gone, &ignored) != HD_OK && !hd_prefixed_path(work_dir, fresh, gone))
        return;
    if (rename(aside, gone) == 0)
        (void)!hd_remove_tree(gone, &ignored);
}

void hd_workspace_recover(const char *work_dir)
{
    char aside[HD_PATH_MAX], gone[HD_PATH_MAX];
    if (!hd_prefixed_path(work_dir, ASIDE_PREFIX, aside) ||
        !hd_prefixed_path(work_dir, HD_GONE_PREFIX, gone) || !hd_is_directory(aside))
        return;
    if (hd_is_directory(work_dir)) /* the copy */
        remove_aside(work_dir, aside, gone);
    else if (rename(aside, work_dir) != 0)
        hd_log(HD_LOG_WARNING, "the state in %s cannot be put back as %s: %s", aside, work_dir,
               strerror(errno));
}

enum hd_code hd_workspace_renew(const struct hd_root *root, const char *worker,
                                const struct hd_workspace *workspace, struct hd_err *err)
{
    char temporary[HD_PATH_MAX], aside[HD_PATH_MAX];
    const char *work_dir = workspace->work_dir;
    struct hd_err ignored;
    if (!hd_prefixed_path(work_dir, ASIDE_PREFIX, aside))
        return hd_fail(err, HD_E_LIMIT, "the path of %s is too long", work_dir);
    if (!hd_is_directory(work_dir))
        return hd_fail(err, HD_E_NOTFOUND, "%s is not there", work_dir);
    enum hd_code code = hd_workspace_make_temporary(root, worker, workspace, temporary, err);
    if (code != HD_OK)
        return code;
    code = hd_copy_tree(work_dir, temporary, HD_WORK_BYTES_MAX, err);
    if (code == HD_OK && (rename(work_dir, aside) != 0 || rename(temporary, work_dir) != 0))
        code = hd_fail(err, HD_E_IO, "cannot put a copy of %s in place: %s", work_dir,
                       strerror(errno));
    if (code != HD_OK)
        (void)!hd_remove_tree(temporary, &ignored);
    hd_workspace_recover(work_dir);
    return code;
}
