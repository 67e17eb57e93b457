/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <hd/value.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define ARGUMENTS_MAX 300
#define RECORD_BYTES_MAX (256u * 1024u)
#define RESTARTS_MAX 20          /* of one process ... */
#define RESTARTS_WINDOW_MS 60000 /* ... within this time */
#define RESTART_PAUSE_MS 300
#define START_WAIT_MS 15000
#define POLL_MS 20
#define SWEEP_GRACE_MS 10000
#define SECOND_TERM_MS 300 /* two signals of one kind at once would arrive as one */

enum child_kind { CHILD_NAMESERVER, CHILD_MASTER, CHILD_WORKER };

struct child {
    enum child_kind kind;
    uint32_t number; /* of a worker */
    pid_t pid;       /* 0: not running */
    uint64_t ticks;
    bool ours; /* our own child, or one taken over */
    bool gone; /* ended and not wanted again */
    int64_t restart_at_ms;
    int64_t window_ms; /* when the current restart window began */
    uint32_t restarts;
};

struct cluster {
    struct cluster_options options;
    char *token_path;
    char *record_path;
    struct hd_lock_file *lock;
    char nameserver[256]; /* host:port once known */
    struct child children[CLUSTER_WORKERS_MAX + 2];
    uint32_t child_count;
};

static void pause_ms(int64_t wait_ms)
{
    struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = (wait_ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void child_name(const struct child *child, char *name, size_t name_size)
{
    switch (child->kind) {
    case CHILD_NAMESERVER:
        (void)hd_copy_text(name, name_size, "nameserver");
        break;
    case CHILD_MASTER:
        (void)hd_copy_text(name, name_size, "master");
        break;
    case CHILD_WORKER:
        (void)hd_format(name, name_size, "worker-%u", child->number);
        break;
    }
}

/* ---- the record of who runs
 * -------------------------------------------------------------------------- */

static enum hd_code write_child(const struct child *child, struct hd_value *list)
{
    struct hd_value *entry = hd_value_new_object();
    char name[64];
    child_name(child, name, sizeof(name));
    if (entry == NULL || hd_value_set(entry, "name", hd_value_new_string(name)) != HD_OK ||
        hd_value_set(entry, "pid", hd_value_new_int(child->pid)) != HD_OK ||
        hd_value_set(entry, "start_ticks", hd_value_new_int((int64_t)child->ticks)) != HD_OK) {
        hd_value_free(entry);
        return HD_E_NOMEM;
    }
    return hd_value_append(list, entry);
}

static enum hd_code write_record(const struct cluster *cluster, struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, RECORD_BYTES_MAX);
    struct hd_value *root = hd_value_new_object();
    struct hd_value *list = hd_value_new_array();
    enum hd_code code = HD_OK;
    for (uint32_t i = 0; code == HD_OK && i < cluster->child_count; i++)
        if (cluster->children[i].pid > 0)
            code = write_child(&cluster->children[i], list);
    if (root == NULL || code != HD_OK ||
        hd_value_set(root, "nameserver", hd_value_new_string(cluster->nameserver)) != HD_OK)
        code = HD_E_NOMEM;
    if (code != HD_OK)
        hd_value_free(list);
    else
        code = hd_value_set(root, "processes", list);
    if (code == HD_E_NOMEM)
        (void)hd_fail(err, code, "no memory for the record of processes");
    if (code == HD_OK)
        code = hd_json_write(root, HD_JSON_PRETTY, &text, err);
    if (code == HD_OK)
        code = hd_file_write_atomic(cluster->record_path, hd_buf_text(&text), text.size, 0600, err);
    hd_value_free(root);
    hd_buf_release(&text);
    return code;
}

static bool same_process(pid_t pid, uint64_t ticks)
{
    return pid > 0 && ticks != 0 && hd_process_start_ticks(pid) == ticks;
}

static void take_over(struct cluster *cluster, const struct hd_value *entry)
{
    const struct hd_value *name = hd_value_get(entry, "name");
    const struct hd_value *pid = hd_value_get(entry, "pid");
    const struct hd_value *ticks = hd_value_get(entry, "start_ticks");
    if (name == NULL || name->kind != HD_VALUE_STRING || pid == NULL || pid->kind != HD_VALUE_INT ||
        ticks == NULL || ticks->kind != HD_VALUE_INT ||
        !same_process((pid_t)pid->as.integer, (uint64_t)ticks->as.integer))
        return;
    for (uint32_t i = 0; i < cluster->child_count; i++) {
        struct child *child = &cluster->children[i];
        char own[64];
        child_name(child, own, sizeof(own));
        if (!hd_streq(own, name->as.string))
            continue;
        child->pid = (pid_t)pid->as.integer;
        child->ticks = (uint64_t)ticks->as.integer;
        child->ours = false;
        return;
    }
    /* A worker beyond the number wanted now: it hands back its job and leaves. */
    kill((pid_t)pid->as.integer, SIGTERM);
}

/* Takes over what an earlier `hd run` left alive. */
static enum hd_code read_record(struct cluster *cluster, struct hd_err *err)
{
    if (!hd_path_exists(cluster->record_path))
        return HD_OK;
    struct hd_buf text;
    hd_buf_init(&text, RECORD_BYTES_MAX);
    struct hd_value *root = NULL;
    enum hd_code code = hd_file_read(cluster->record_path, RECORD_BYTES_MAX, true, &text, err);
    if (code == HD_OK)
        code = hd_json_parse(hd_buf_text(&text), text.size, cluster->record_path,
                             &hd_value_limits_file, &root, err);
    hd_buf_release(&text);
    if (code != HD_OK)
        return code;
    const struct hd_value *nameserver = hd_value_get(root, "nameserver");
    const struct hd_value *list = hd_value_get(root, "processes");
    if (nameserver != NULL && nameserver->kind == HD_VALUE_STRING)
        (void)hd_copy_text(cluster->nameserver, sizeof(cluster->nameserver), nameserver->as.string);
    for (size_t i = 0; list != NULL && list->kind == HD_VALUE_ARRAY && i < list->as.array.count;
         i++)
        take_over(cluster, list->as.array.items[i]);
    hd_value_free(root);
    return HD_OK;
}

/* ---- starting
 * ------------------------------------------------------------------------------------------ */

struct command {
    char *words[ARGUMENTS_MAX];
    size_t count;
};

static void add(struct command *command, const char *word)
{
    if (command->count + 1 < ARGUMENTS_MAX) {
        command->words[command->count++] = (char *)(uintptr_t)word;
        command->words[command->count] = NULL;
    }
}

static void add_pair(struct command *command, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        add(command, name);
        add(command, value);
    }
}

static void add_list(struct command *command, const struct hd_text_list *list)
{
    for (size_t i = 0; list != NULL && i < list->count; i++)
        add(command, list->items[i]);
}

static enum hd_code spawn(struct cluster *cluster, struct child *child, const char *program,
                          struct command *arguments, struct hd_err *err)
{
    char *path, name[64], log[PATH_BYTES_MAX];
    child_name(child, name, sizeof(name));
    if (!hd_format(log, sizeof(log), "%s/logs/%s.log", cluster->options.state_dir, name))
        return hd_fail(err, HD_E_LIMIT, "the path of the state directory is too long");
    enum hd_code code = hd_sibling_program(program, &path, err);
    if (code != HD_OK)
        return code;
    struct command command = {.count = 0};
    add(&command, path);
    for (size_t i = 0; i < arguments->count; i++)
        add(&command, arguments->words[i]);
    code = hd_spawn((const char *const *)command.words, log, true, &child->pid, err);
    hd_free(path);
    if (code != HD_OK)
        return code;
    child->ours = true;
    child->ticks = hd_process_start_ticks(child->pid);
    return write_record(cluster, err);
}

/* The nameserver prints `host port` on its first line once it listens. */
static bool read_address(struct cluster *cluster, const char *log, long from)
{
    FILE *file = fopen(log, "re");
    char line[512], host[200];
    unsigned port;
    bool found = false;
    if (file == NULL)
        return false;
    if (fseek(file, from, SEEK_SET) == 0)
        while (!found && fgets(line, sizeof(line), file) != NULL)
            found = strchr(line, '\n') != NULL && sscanf(line, "%199s %u\n", host, &port) == 2 &&
                    hd_streq(host, "127.0.0.1") && port > 0 && port < 65536;
    fclose(file);
    if (found)
        (void)hd_format(cluster->nameserver, sizeof(cluster->nameserver), "%s:%u", host, port);
    return found;
}

static long file_size(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    fclose(file);
    return size < 0 ? 0 : size;
}

static enum hd_code start_nameserver(struct cluster *cluster, struct child *child,
                                     struct hd_err *err)
{
    char log[PATH_BYTES_MAX];
    (void)hd_format(log, sizeof(log), "%s/logs/nameserver.log", cluster->options.state_dir);
    const char *colon = strrchr(cluster->nameserver, ':');
    struct command command = {.count = 0};
    add_pair(&command, "--host", "127.0.0.1");
    add_pair(&command, "--port", colon != NULL ? colon + 1 : "0");
    add_pair(&command, "--token-file", cluster->token_path);
    add_pair(&command, "--log-level", cluster->options.log_level);
    long from = file_size(log);
    enum hd_code code = spawn(cluster, child, "hd-nameserver", &command, err);
    int64_t until_ms = hd_clock_ms() + START_WAIT_MS;
    while (code == HD_OK && !read_address(cluster, log, from)) {
        if (waitpid(child->pid, NULL, WNOHANG) == child->pid || hd_clock_ms() > until_ms) {
            child->pid = 0;
            return hd_fail(err, HD_E_NET, "the nameserver did not start; its log: %s", log);
        }
        pause_ms(POLL_MS);
    }
    return code == HD_OK ? write_record(cluster, err) : code;
}

static enum hd_code start_master(struct cluster *cluster, struct child *child, struct hd_err *err)
{
    struct command command = {.count = 0};
    if (cluster->options.experiment_file != NULL)
        add(&command, cluster->options.experiment_file);
    add_pair(&command, "--run-id", cluster->options.run_id);
    add_pair(&command, "--nameserver", cluster->nameserver);
    add_pair(&command, "--state-dir", cluster->options.state_dir);
    add_pair(&command, "--token-file", cluster->token_path);
    add_pair(&command, "--log-level", cluster->options.log_level);
    add(&command, "--resume");
    add_list(&command, cluster->options.master_arguments);
    return spawn(cluster, child, "hd-master", &command, err);
}

static enum hd_code start_worker(struct cluster *cluster, struct child *child, struct hd_err *err)
{
    char root[PATH_BYTES_MAX], part[32];
    (void)hd_format(part, sizeof(part), "%u/%u", child->number % cluster->options.worker_count,
                    cluster->options.worker_count);
    if (!hd_format(root, sizeof(root), "%s/work/%u", cluster->options.state_dir, child->number))
        return hd_fail(err, HD_E_LIMIT, "the path of the state directory is too long");
    struct command command = {.count = 0};
    add_pair(&command, "--nameserver", cluster->nameserver);
    add_pair(&command, "--work-dir", root);
    add_pair(&command, "--token-file", cluster->token_path);
    add_pair(&command, "--log-level", cluster->options.log_level);
    /* Workers of one machine do not give one GPU to two jobs. */
    if (cluster->options.worker_count > 1)
        add_pair(&command, "--gpus", part);
    add_list(&command, cluster->options.worker_arguments);
    return spawn(cluster, child, "hd-worker", &command, err);
}

static enum hd_code start_child(struct cluster *cluster, struct child *child, struct hd_err *err)
{
    switch (child->kind) {
    case CHILD_NAMESERVER:
        return start_nameserver(cluster, child, err);
    case CHILD_MASTER:
        return start_master(cluster, child, err);
    case CHILD_WORKER:
        return start_worker(cluster, child, err);
    }
    return HD_OK;
}

static enum hd_code make_directories(const struct cluster_options *options, struct hd_err *err)
{
    static const char *const names[] = {"logs", "work"};
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        char *path = hd_path_join(options->state_dir, names[i]);
        if (path == NULL)
            return hd_fail(err, HD_E_NOMEM, "no memory");
        enum hd_code code = hd_mkdirs(path, 0755, err);
        hd_free(path);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

/* One token for this cluster, made on first use. */
static enum hd_code make_token(const struct cluster *cluster, struct hd_err *err)
{
    if (hd_path_exists(cluster->token_path))
        return HD_OK;
    char token[80];
    if (!hd_format(token, sizeof(token),
                   "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "\n", hd_os_random_u64(),
                   hd_os_random_u64(), hd_os_random_u64(), hd_os_random_u64()))
        return hd_fail(err, HD_E_LIMIT, "a token is too long");
    return hd_file_write_atomic(cluster->token_path, token, strlen(token), 0600, err);
}

static void make_children(struct cluster *cluster)
{
    cluster->children[cluster->child_count++].kind = CHILD_NAMESERVER;
    cluster->children[cluster->child_count++].kind = CHILD_MASTER;
    for (uint32_t i = 0; i < cluster->options.worker_count; i++) {
        struct child *child = &cluster->children[cluster->child_count++];
        child->kind = CHILD_WORKER;
        child->number = i;
    }
}

enum hd_code cluster_open(const struct cluster_options *options, struct cluster **ret_cluster,
                          struct hd_err *err)
{
    hd_assert(options->worker_count <= CLUSTER_WORKERS_MAX);
    struct cluster *cluster = hd_calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory");
    cluster->options = *options;
    cluster->token_path = hd_path_join(options->state_dir, "token");
    cluster->record_path = hd_path_join(options->state_dir, "local.json");
    char *lock_path = hd_path_join(options->state_dir, "local.lock");
    enum hd_code code = HD_OK;
    if (cluster->token_path == NULL || cluster->record_path == NULL || lock_path == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory");
    if (code == HD_OK)
        code = make_directories(options, err);
    if (code == HD_OK && (code = hd_lock_file_take(lock_path, &cluster->lock, err)) == HD_E_BUSY)
        (void)hd_fail_in(err,
                         "another hd run tends this state directory (hd attach shows it, hd submit "
                         "adds a run to it, --state-dir names another directory)");
    hd_free(lock_path);
    if (code == HD_OK)
        code = make_token(cluster, err);
    make_children(cluster);
    if (code == HD_OK)
        code = read_record(cluster, err);
    for (uint32_t i = 0; code == HD_OK && i < cluster->child_count; i++)
        if (cluster->children[i].pid == 0)
            code = start_child(cluster, &cluster->children[i], err);
    if (code != HD_OK) {
        if (cluster->lock != NULL)
            cluster_stop(cluster, 0, NULL);
        cluster_close(cluster);
        return code;
    }
    *ret_cluster = cluster;
    return HD_OK;
}

/* ---- tending
 * --------------------------------------------------------------------------------------------- */

/* True when the child has just been found dead. *ret_status: wait status, -1 unknown. */
static bool reap(struct child *child, int *ret_status)
{
    *ret_status = -1;
    if (child->pid == 0)
        return false;
    if (child->ours) {
        if (waitpid(child->pid, ret_status, WNOHANG) != child->pid)
            return false;
    } else if (same_process(child->pid, child->ticks)) {
        return false;
    }
    child->pid = 0;
    return true;
}

static enum hd_code plan_restart(struct cluster *cluster, struct child *child, struct hd_err *err)
{
    int64_t now_ms = hd_clock_ms();
    if (child->restarts == 0 || now_ms - child->window_ms > RESTARTS_WINDOW_MS) {
        child->window_ms = now_ms;
        child->restarts = 0;
    }
    char name[64];
    child_name(child, name, sizeof(name));
    if (++child->restarts > RESTARTS_MAX)
        return hd_fail(err, HD_E_CONFLICT,
                       "%s ended %d times within a minute; its log: %s/logs/%s.log", name,
                       RESTARTS_MAX, cluster->options.state_dir, name);
    child->restart_at_ms = now_ms + RESTART_PAUSE_MS;
    hd_log(HD_LOG_WARNING, "%s ended; starting it again", name);
    return HD_OK;
}

/* An exit that the program itself chose is an answer, a signal is an accident. */
static bool ended_by_itself(int status)
{
    return status != -1 && WIFEXITED(status);
}

enum hd_code cluster_tend(struct cluster *cluster, bool *ret_over, int *ret_exit,
                          struct hd_err *err)
{
    *ret_over = false;
    for (uint32_t i = 0; i < cluster->child_count; i++) {
        struct child *child = &cluster->children[i];
        int status;
        enum hd_code code = HD_OK;
        if (reap(child, &status)) {
            if (child->kind == CHILD_MASTER && ended_by_itself(status)) {
                child->gone = true;
                *ret_over = true;
                *ret_exit = WEXITSTATUS(status);
                return HD_OK;
            }
            code = plan_restart(cluster, child, err);
        }
        if (code == HD_OK && child->pid == 0 && !child->gone &&
            hd_clock_ms() >= child->restart_at_ms)
            code = start_child(cluster, child, err);
        if (code != HD_OK)
            return code;
    }
    return HD_OK;
}

/* ---- stopping
 * -----------------------------------------------------------------------------------------------
 */

static void signal_children(struct cluster *cluster, enum child_kind kind, int number)
{
    for (uint32_t i = 0; i < cluster->child_count; i++) {
        struct child *child = &cluster->children[i];
        if (child->kind == kind && child->pid > 0)
            kill(child->pid, number);
    }
}

static bool any_alive(struct cluster *cluster, enum child_kind kind)
{
    bool alive = false;
    for (uint32_t i = 0; i < cluster->child_count; i++) {
        int status;
        if (cluster->children[i].kind != kind)
            continue;
        (void)reap(&cluster->children[i], &status);
        alive = alive || cluster->children[i].pid > 0;
    }
    return alive;
}

static void stop_kind(struct cluster *cluster, enum child_kind kind, int64_t until_ms,
                      const volatile bool *hurry)
{
    signal_children(cluster, kind, SIGTERM);
    int64_t second_ms = hd_clock_ms() + SECOND_TERM_MS;
    bool killed = false;
    while (any_alive(cluster, kind)) {
        if (hd_clock_ms() >= second_ms) { /* to workers: do not wait for targets, hand them back */
            signal_children(cluster, kind, SIGTERM);
            second_ms = HD_NEVER_MS;
        }
        if (!killed && (hd_clock_ms() > until_ms || (hurry != NULL && *hurry))) {
            signal_children(cluster, kind, SIGKILL);
            killed = true;
        }
        pause_ms(POLL_MS);
    }
}

void cluster_stop(struct cluster *cluster, int64_t grace_ms, const volatile bool *hurry)
{
    int64_t until_ms = hd_clock_ms() + grace_ms;
    stop_kind(cluster, CHILD_WORKER, until_ms, hurry);
    stop_kind(cluster, CHILD_MASTER, until_ms, hurry);
    stop_kind(cluster, CHILD_NAMESERVER, until_ms, hurry);
    (void)unlink(cluster->record_path);
}

static bool is_left_behind(const struct cluster *cluster)
{
    bool any = false;
    for (uint32_t i = 0; i < cluster->child_count; i++) {
        if (cluster->children[i].pid > 0 && cluster->children[i].kind == CHILD_MASTER)
            return false;
        any = any || cluster->children[i].pid > 0;
    }
    return any;
}

void cluster_sweep(const char *state_dir)
{
    struct hd_err ignored; /* nobody asked for it */
    struct cluster *cluster = hd_calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return;
    cluster->options =
        (struct cluster_options){.state_dir = state_dir, .worker_count = CLUSTER_WORKERS_MAX};
    cluster->record_path = hd_path_join(state_dir, "local.json");
    char *lock_path = hd_path_join(state_dir, "local.lock");
    make_children(cluster);
    if (cluster->record_path != NULL && lock_path != NULL && hd_path_exists(cluster->record_path) &&
        hd_lock_file_take(lock_path, &cluster->lock, &ignored) == HD_OK &&
        read_record(cluster, &ignored) == HD_OK && is_left_behind(cluster))
        cluster_stop(cluster, SWEEP_GRACE_MS, NULL);
    hd_free(lock_path);
    cluster_close(cluster);
}

void cluster_close(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    hd_lock_file_release(cluster->lock);
    hd_free(cluster->token_path);
    hd_free(cluster->record_path);
    hd_free(cluster);
}
