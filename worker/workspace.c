/* SPDX-License-Identifier: Apache-2.0 */
/* The two directories of an attempt: where they are, who goes on in them, whose they become. */
#include "contract_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- paths ---------------------------------------------------------------------------------- */

static enum hd_code too_long(const char *path, struct hd_err *err)
{
    return hd_fail(err, HD_E_LIMIT, "a path below %s is too long", path);
}

mode_t hd_open_file_mode(void)
{
    return geteuid() == 0 ? 0666 : 0644;
}

enum hd_code hd_make_open_dir(const char *path, struct hd_err *err)
{
    enum hd_code code = hd_mkdirs(path, 0755, err);
    if (code == HD_OK && geteuid() == 0 && chmod(path, 0777) != 0)
        return hd_fail(err, HD_E_IO, "cannot open %s to the target: %s", path, strerror(errno));
    return code;
}

bool hd_prefixed_path(const char *directory, const char *prefix, char ret_path[HD_PATH_MAX])
{
    const char *slash = strrchr(directory, '/');
    return slash != NULL && hd_format(ret_path, HD_PATH_MAX, "%.*s/%s%s", (int)(slash - directory),
                                      directory, prefix, slash + 1);
}

/* <root>/<run id>, or with the run's number behind it when another run had the name first. */
static enum hd_code find_run_home(const struct hd_root *root, const struct hd_lease *lease,
                                  char *ret_home, struct hd_err *err)
{
    char home[HD_PATH_MAX], marker[HD_PATH_MAX], uid[HD_UUID_TEXT_SIZE], found[64];
    hd_format(uid, sizeof(uid), "%016llx", (unsigned long long)lease->attempt.run_uid);
    for (int second = 0; second < 2; second++) {
        if (!hd_format(home, sizeof(home), second ? "%s/%s.%s" : "%s/%s", root->path, lease->run_id,
                       uid) ||
            !hd_format(marker, sizeof(marker), "%s/.hyperdock-run", home))
            return too_long(root->path, err);
        enum hd_code code = hd_mkdirs(home, 0755, err);
        if (code == HD_OK)
            code = hd_claim_line(marker, uid, found, sizeof(found), err);
        if (code != HD_OK)
            return code;
        if (hd_streq(found, uid)) {
            (void)hd_copy_text(ret_home, HD_PATH_MAX, home);
            return HD_OK;
        }
    }
    return hd_fail(err, HD_E_CONFLICT, "%s belongs to another run", home);
}

static bool is_home_of(const char *home, uint64_t run_uid)
{
    char marker[HD_PATH_MAX], uid[HD_UUID_TEXT_SIZE];
    struct hd_buf line;
    struct hd_err ignored;
    hd_buf_init(&line, 64);
    hd_format(uid, sizeof(uid), "%016llx", (unsigned long long)run_uid);
    bool same = hd_format(marker, sizeof(marker), "%s/.hyperdock-run", home) &&
                hd_file_read(marker, 63, true, &line, &ignored) == HD_OK &&
                strncmp(hd_buf_text(&line), uid, strlen(uid)) == 0;
    hd_buf_release(&line);
    return same;
}

/* The next of the directories that belong to the run of this number. */
static bool next_home(DIR *stream, const struct hd_root *root, uint64_t run_uid,
                      char ret_home[HD_PATH_MAX])
{
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.' &&
            hd_format(ret_home, HD_PATH_MAX, "%s/%s", root->path, entry->d_name) &&
            is_home_of(ret_home, run_uid))
            return true;
    return false;
}

enum hd_code hd_run_dir_find(const struct hd_root *root, struct hd_attempt_ref attempt,
                             char ret_path[HD_PATH_MAX], struct hd_err *err)
{
    char home[HD_PATH_MAX], path[HD_PATH_MAX];
    struct stat st;
    bool found = false;
    DIR *stream = opendir(root->path);
    while (!found && next_home(stream, root, attempt.run_uid, home))
        found = hd_format(path, sizeof(path), "%s/run/%u-%u", home, attempt.job, attempt.attempt) &&
                lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (stream != NULL)
        closedir(stream);
    if (!found)
        return hd_fail(err, HD_E_NOTFOUND, "its worker has its directory no more");
    (void)hd_copy_text(ret_path, HD_PATH_MAX, path);
    return HD_OK;
}

/* ---- the work directory --------------------------------------------------------------------- */

#define FINISHED_LINE "finished\n"
#define BUDGET_WORD "budget "
#define OWNER_BYTES_MAX 2048 /* a line for each budget that it has reached, at most */

/* Whose it is, and the budget that its state has reached, NaN none. */
static enum hd_code write_owner(const struct hd_root *root, const char *work_dir,
                                const char *worker, double budget, struct hd_err *err)
{
    char path[HD_PATH_MAX], number[HD_DOUBLE_TEXT_SIZE] = "";
    char lines[HD_WORKER_ID_MAX + sizeof(BUDGET_WORD) + HD_DOUBLE_TEXT_SIZE + 2];
    bool known = !isnan(budget);
    if (known)
        hd_format_double(number, sizeof(number), budget);
    if (!hd_format(path, sizeof(path), "%s.owner", work_dir) ||
        !hd_format(lines, sizeof(lines), "%s\n%s%s%s", worker, known ? BUDGET_WORD : "", number,
                   known ? "\n" : ""))
        return too_long(work_dir, err);
    return hd_seat_write(root, worker, path, lines, err);
}

/* Nothing of the lines before is at risk, and no file takes the place of another one. */
static void add_line(const char *work_dir, const char *worker, const char *line)
{
    char path[HD_PATH_MAX];
    if (!hd_workspace_is_owner(work_dir, worker) ||
        !hd_format(path, sizeof(path), "%s.owner", work_dir))
        return;
    int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, line, strlen(line));
    close(fd);
}

/* Without it the directory only goes later than it might. */
void hd_workspace_finish(const char *work_dir, const char *worker)
{
    if (!hd_workspace_is_finished(work_dir))
        add_line(work_dir, worker, FINISHED_LINE);
}

void hd_workspace_touch(const char *work_dir)
{
    char path[HD_PATH_MAX];
    if (hd_format(path, sizeof(path), "%s.owner", work_dir))
        (void)!utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

static bool read_owner(const char *work_dir, struct hd_buf *buf)
{
    char path[HD_PATH_MAX];
    struct hd_err err;
    hd_buf_init(buf, OWNER_BYTES_MAX + 1);
    return hd_format(path, sizeof(path), "%s.owner", work_dir) &&
           hd_file_read(path, OWNER_BYTES_MAX, true, buf, &err) == HD_OK && buf->size > 0;
}

bool hd_workspace_is_owner(const char *work_dir, const char *worker)
{
    struct hd_buf buf;
    bool same = read_owner(work_dir, &buf);
    if (same) {
        buf.data[strcspn(buf.data, "\n")] = '\0';
        same = hd_streq(buf.data, worker);
    }
    hd_buf_release(&buf);
    return same;
}

bool hd_workspace_is_finished(const char *work_dir)
{
    struct hd_buf buf;
    bool finished = read_owner(work_dir, &buf) && strstr(buf.data, "\n" FINISHED_LINE) != NULL;
    hd_buf_release(&buf);
    return finished;
}

/* Of the last line that says one; NaN: none. */
double hd_workspace_reached(const char *work_dir)
{
    struct hd_buf buf;
    double budget = NAN;
    char *line = read_owner(work_dir, &buf) ? strstr(buf.data, "\n" BUDGET_WORD) : NULL;
    while (line != NULL) {
        line += strlen("\n" BUDGET_WORD);
        size_t size = strcspn(line, "\n");
        bool whole = line[size] == '\n';
        line[size] = '\0';
        if (!whole || !hd_parse_double(line, &budget))
            budget = NAN;
        line[size] = whole ? '\n' : '\0';
        line = strstr(line + size, "\n" BUDGET_WORD);
    }
    hd_buf_release(&buf);
    return budget;
}

/* Without it the next budget begins from the start, and says so. */
void hd_workspace_reach(const char *work_dir, const char *worker, double budget)
{
    char number[HD_DOUBLE_TEXT_SIZE], line[sizeof(BUDGET_WORD) + HD_DOUBLE_TEXT_SIZE + 1];
    hd_format_double(number, sizeof(number), budget);
    if (hd_workspace_reached(work_dir) != budget &&
        hd_format(line, sizeof(line), BUDGET_WORD "%s\n", number))
        add_line(work_dir, worker, line);
}

/* ---- the last grant in it -------------------------------------------------------------------- */

#define LEFT_BYTES_MAX 128

void hd_workspace_leave(const struct hd_root *root, const char *worker, const char *work_dir,
                        const struct hd_left_by *left)
{
    char path[HD_PATH_MAX], line[LEFT_BYTES_MAX];
    struct hd_err err;
    if (!hd_format(path, sizeof(path), "%s.left", work_dir) ||
        !hd_format(line, sizeof(line),
                   "%016" PRIx64 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
                   left->attempt.run_uid, left->attempt.job, left->attempt.attempt,
                   left->attempt.stamp, left->kept) ||
        hd_seat_write(root, worker, path, line, &err) != HD_OK)
        hd_log(HD_LOG_DEBUG, "%s: what left it is not noted, it stays", work_dir);
}

bool hd_workspace_left_by(const char *work_dir, struct hd_left_by *ret_left)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    struct hd_err err;
    struct hd_left_by left = {0};
    char end = '\0';
    hd_buf_init(&buf, LEFT_BYTES_MAX + 1);
    bool good =
        hd_format(path, sizeof(path), "%s.left", work_dir) &&
        hd_file_read(path, LEFT_BYTES_MAX, true, &buf, &err) == HD_OK && buf.size > 0 &&
        sscanf(buf.data, "%16" SCNx64 " %10" SCNu32 " %10" SCNu32 " %10" SCNu32 " %10" SCNu32 "%c",
               &left.attempt.run_uid, &left.attempt.job, &left.attempt.attempt, &left.attempt.stamp,
               &left.kept, &end) == 6 &&
        end == '\n';
    hd_buf_release(&buf);
    if (good)
        *ret_left = left;
    return good;
}

bool hd_is_directory(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool find_left(const char *home, const char *worker, struct hd_attempt_ref attempt,
                      char ret_path[HD_PATH_MAX])
{
    char cfg[HD_PATH_MAX];
    struct hd_left_by left;
    struct dirent *entry;
    bool found = false;
    DIR *stream = hd_format(cfg, sizeof(cfg), "%s/cfg", home) ? opendir(cfg) : NULL;
    while (stream != NULL && !found && (entry = readdir(stream)) != NULL)
        found = entry->d_name[0] != '.' &&
                hd_format(ret_path, HD_PATH_MAX, "%s/%s", cfg, entry->d_name) &&
                hd_is_directory(ret_path) && hd_workspace_left_by(ret_path, &left) &&
                hd_attempt_ref_same(left.attempt, attempt) &&
                hd_workspace_is_owner(ret_path, worker);
    if (stream != NULL)
        closedir(stream);
    return found;
}

bool hd_workspace_find(const struct hd_root *root, const char *worker,
                       struct hd_attempt_ref attempt, char ret_path[HD_PATH_MAX])
{
    char home[HD_PATH_MAX], path[HD_PATH_MAX];
    bool found = false;
    DIR *stream = opendir(root->path);
    while (!found && next_home(stream, root, attempt.run_uid, home))
        found = find_left(home, worker, attempt, path);
    if (stream != NULL)
        closedir(stream);
    if (found)
        (void)hd_copy_text(ret_path, HD_PATH_MAX, path);
    return found;
}

void hd_workspace_forget(const char *work_dir)
{
    static const char *const beside[] = {".owner", ".left"};
    char path[HD_PATH_MAX];
    for (size_t i = 0; i < HD_COUNT(beside); i++)
        if (hd_format(path, sizeof(path), "%s%s", work_dir, beside[i]))
            (void)unlink(path);
}

/* Still the directory that it was: one that is removed loses its name first. */
static bool is_same(const char *path, const struct stat *before)
{
    struct stat st;
    return lstat(path, &st) == 0 && st.st_dev == before->st_dev && st.st_ino == before->st_ino;
}

enum hd_code hd_workspace_make_temporary(const struct hd_root *root, const char *worker,
                                         const struct hd_workspace *workspace,
                                         char ret_path[HD_PATH_MAX], struct hd_err *err)
{
    char state_dir[HD_PATH_MAX], incoming[HD_PATH_MAX];
    if (!hd_seat_path(root, worker, state_dir) ||
        !hd_format(incoming, sizeof(incoming), "%s/" HD_INCOMING, state_dir) ||
        !hd_format(ret_path, HD_PATH_MAX, "%s/copy-%s", incoming, workspace->directory))
        return too_long(root->path, err);
    enum hd_code code = hd_mkdirs(incoming, 0700, err);
    return code == HD_OK ? hd_remove_tree(ret_path, err) : code;
}

/* A copy appears under its name only when it is whole. HD_E_NOTFOUND: its owner removed what was
 * copied meanwhile, and nothing is left of the copy. */
static enum hd_code copy_work(const struct hd_root *root, const char *worker, const char *from,
                              struct hd_workspace *workspace, struct hd_err *err)
{
    char temporary[HD_PATH_MAX];
    struct stat before;
    enum hd_code code = hd_workspace_make_temporary(root, worker, workspace, temporary, err);
    if (code != HD_OK)
        return code;
    bool found = lstat(from, &before) == 0;
    if (code == HD_OK && found)
        code = hd_copy_tree(from, temporary, HD_WORK_BYTES_MAX, err);
    if (!found || !is_same(from, &before))
        code = hd_fail(err, HD_E_NOTFOUND, "%s was removed", from);
    if (code == HD_OK && rename(temporary, workspace->work_dir) != 0)
        code = hd_fail(err, HD_E_IO, "cannot put %s in place: %s", workspace->work_dir,
                       strerror(errno));
    if (code != HD_OK) {
        struct hd_err ignored;
        (void)!hd_remove_tree(temporary, &ignored);
        return hd_fail_in(err, "copy of the config's state");
    }
    return HD_OK;
}

static bool set_work_dir(const char *cfg, const char *name, struct hd_workspace *workspace)
{
    return hd_copy_text(workspace->directory, sizeof(workspace->directory), name) &&
           hd_format(workspace->work_dir, sizeof(workspace->work_dir), "%s/%s", cfg, name);
}

/* Of a directory that this attempt makes: no other attempt has it. */
static enum hd_code own_name(const struct hd_lease *lease, char ret_name[HD_DIR_NAME_MAX],
                             struct hd_err *err)
{
    return hd_format(ret_name, HD_DIR_NAME_MAX, "c%u-%u-%u", lease->config, lease->attempt.job,
                     lease->attempt.attempt)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "a directory's name is too long");
}

static enum hd_code make_work_dir(const struct hd_root *root, const char *worker, const char *cfg,
                                  const struct hd_lease *lease, struct hd_workspace *workspace,
                                  struct hd_err *err)
{
    char from[HD_PATH_MAX] = "", name[HD_DIR_NAME_MAX];
    struct hd_err ignored;
    enum hd_code code = own_name(lease, name, err);
    if (code != HD_OK)
        return code;
    bool here = lease->directory[0] != '\0' && hd_streq(lease->root, root->id) &&
                hd_check_id("directory", lease->directory, &ignored) == HD_OK &&
                hd_format(from, sizeof(from), "%s/%s", cfg, lease->directory) &&
                hd_is_directory(from);
    double reached = here ? hd_workspace_reached(from) : NAN;
    if (here && !isnan(lease->budget_previous) && !(reached >= lease->budget_previous)) {
        hd_log(HD_LOG_WARNING,
               "%s: an older state than the master knows, as of a copied disk: beginning afresh",
               from);
        here = false;
    }
    workspace->budget_previous = here ? lease->budget_previous : NAN;
    if (here && hd_streq(lease->directory_owner, worker) && hd_workspace_is_owner(from, worker)) {
        workspace->start =
            hd_streq(lease->directory, name) ? HD_START_COPY : HD_START_IN_PLACE; /* it came here */
        return set_work_dir(cfg, lease->directory, workspace) ? HD_OK : too_long(cfg, err);
    }
    if (!set_work_dir(cfg, name, workspace))
        return too_long(cfg, err);
    workspace->start = here ? HD_START_COPY : HD_START_FRESH;
    if (here)
        (void)hd_copy_text(workspace->copied_from, sizeof(workspace->copied_from), from);
    /* A process that died between this and the start may have left one, or another history. */
    code = hd_remove_tree(workspace->work_dir, err);
    hd_workspace_forget(workspace->work_dir);
    if (code == HD_OK && here)
        code = copy_work(root, worker, from, workspace, err);
    if (here && code == HD_E_NOTFOUND) {
        hd_log(HD_LOG_INFO, "%s: removed while it was copied, beginning afresh", from);
        workspace->start = HD_START_FRESH;
        workspace->budget_previous = NAN;
        workspace->copied_from[0] = '\0';
        here = false;
        code = HD_OK;
    }
    if (code == HD_OK && !here)
        code = hd_make_open_dir(workspace->work_dir, err);
    return code == HD_OK ? write_owner(root, workspace->work_dir, worker, here ? reached : NAN, err)
                         : code;
}

enum hd_code hd_workspace_make(const struct hd_root *root, const char *worker,
                               const struct hd_lease *lease, struct hd_workspace *ret_workspace,
                               struct hd_err *err)
{
    char home[HD_PATH_MAX], cfg[HD_PATH_MAX];
    struct hd_workspace workspace = {.budget_previous = NAN};
    enum hd_code code = hd_check_id("run id", lease->run_id, err);
    if (code == HD_OK)
        code = find_run_home(root, lease, home, err);
    if (code != HD_OK)
        return code;
    if (!hd_format(cfg, sizeof(cfg), "%s/cfg", home) ||
        !hd_format(workspace.run_dir, sizeof(workspace.run_dir), "%s/run/%u-%u", home,
                   lease->attempt.job, lease->attempt.attempt))
        return too_long(home, err);
    code = hd_mkdirs(cfg, 0755, err);
    if (code == HD_OK)
        code = make_work_dir(root, worker, cfg, lease, &workspace, err);
    if (code == HD_OK)
        code = hd_remove_tree(workspace.run_dir, err);
    if (code == HD_OK)
        code = hd_make_open_dir(workspace.run_dir, err);
    if (code == HD_OK)
        *ret_workspace = workspace;
    return code;
}

static enum hd_code config_path(const struct hd_root *root, const struct hd_lease *lease,
                                const char *name, char ret_path[HD_PATH_MAX], struct hd_err *err)
{
    char home[HD_PATH_MAX];
    enum hd_code code = hd_check_id("run id", lease->run_id, err);
    if (code == HD_OK)
        code = hd_check_id("directory", name, err);
    if (code == HD_OK)
        code = find_run_home(root, lease, home, err);
    if (code == HD_OK && !hd_format(ret_path, HD_PATH_MAX, "%s/cfg/%s", home, name))
        code = too_long(home, err);
    return code;
}

enum hd_code hd_workspace_path(const struct hd_root *root, const struct hd_lease *lease,
                               char ret_path[HD_PATH_MAX], struct hd_err *err)
{
    return config_path(root, lease, lease->directory, ret_path, err);
}

enum hd_code hd_workspace_import_begin(const char *state_dir, const struct hd_lease *lease,
                                       char ret_path[HD_PATH_MAX], struct hd_err *err)
{
    if (!hd_format(ret_path, HD_PATH_MAX, "%s/" HD_INCOMING "/%016" PRIx64 "-%u-%u", state_dir,
                   lease->attempt.run_uid, lease->attempt.job, lease->attempt.attempt))
        return too_long(state_dir, err);
    enum hd_code code = hd_remove_tree(ret_path, err);
    return code == HD_OK ? hd_make_open_dir(ret_path, err) : code;
}

void hd_workspace_import_clear(const char *state_dir)
{
    char path[HD_PATH_MAX];
    struct hd_err err;
    if (hd_format(path, sizeof(path), "%s/" HD_INCOMING, state_dir) &&
        hd_remove_tree(path, &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "what came only in part is not removed: %s", err.text);
}

enum hd_code hd_workspace_import_end(const struct hd_root *root, const char *worker,
                                     const char *path, double budget, const struct hd_lease *lease,
                                     char ret_directory[HD_DIR_NAME_MAX], struct hd_err *err)
{
    char work_dir[HD_PATH_MAX], cfg[HD_PATH_MAX], name[HD_DIR_NAME_MAX];
    enum hd_code code = own_name(lease, name, err);
    if (code == HD_OK)
        code = config_path(root, lease, name, work_dir, err);
    if (code == HD_OK &&
        !hd_format(cfg, sizeof(cfg), "%.*s", (int)(strlen(work_dir) - strlen(name)), work_dir))
        code = too_long(work_dir, err);
    if (code == HD_OK)
        code = hd_mkdirs(cfg, 0755, err);
    if (code == HD_OK) /* of a process that died in this */
        code = hd_remove_tree(work_dir, err);
    if (code == HD_OK)
        hd_workspace_forget(work_dir);
    if (code == HD_OK && rename(path, work_dir) != 0)
        code = hd_fail(err, HD_E_IO, "cannot put %s in place: %s", work_dir, strerror(errno));
    if (code == HD_OK)
        code = write_owner(root, work_dir, worker, budget, err);
    if (code == HD_OK)
        (void)hd_copy_text(ret_directory, HD_DIR_NAME_MAX, name);
    return code;
}

void hd_workspace_discard(const struct hd_workspace *workspace)
{
    struct hd_err ignored;
    if (workspace->start == HD_START_IN_PLACE)
        return;
    (void)!hd_remove_tree(workspace->work_dir, &ignored);
    hd_workspace_forget(workspace->work_dir);
}

/* The target may have put anything in its place: a link would lead us elsewhere. */
static int open_control(const char *run_dir)
{
    int directory = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    int control = openat(directory, "control", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(directory);
    return control;
}

void hd_workspace_ask_stop(const char *run_dir)
{
    int control = open_control(run_dir);
    if (control < 0)
        return;
    int fd =
        openat(control, "stop", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd >= 0)
        close(fd);
    close(control);
}

bool hd_workspace_asked_stop(const char *run_dir)
{
    struct stat st;
    int control = open_control(run_dir);
    if (control < 0)
        return false;
    bool asked = fstatat(control, "stop", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    close(control);
    return asked;
}
