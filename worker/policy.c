/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <errno.h>
#include <hd/value.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_SHOWN 200

struct list {
    bool given;
    char **items;
    size_t count;
};

struct hd_policy {
    struct list images, commands, mounts, writable, engines, runtimes, networks, capabilities,
        users, ports;
    bool privileged, host_network, builds, code;
    double cpus; /* these: 0 no limit */
    uint64_t memory_bytes, shm_bytes;
    int64_t pids, time_ms;
};

void hd_policy_free(struct hd_policy *policy)
{
    if (policy == NULL)
        return;
    struct list *lists[] = {&policy->images,   &policy->commands,     &policy->mounts,
                            &policy->writable, &policy->engines,      &policy->runtimes,
                            &policy->networks, &policy->capabilities, &policy->users,
                            &policy->ports};
    for (size_t i = 0; i < HD_COUNT(lists); i++) {
        for (size_t k = 0; k < lists[i]->count; k++)
            hd_free(lists[i]->items[k]);
        hd_free(lists[i]->items);
    }
    hd_free(policy);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct reader {
    const char *file;
    struct hd_err *err;
};

static enum hd_code wrong(const struct reader *reader, const struct hd_value *at, const char *key,
                          const char *what)
{
    return hd_fail(reader->err, HD_E_INVALID, "%s:%d: %s: %s", reader->file,
                   at != NULL ? (int)at->line : 1, key, what);
}

static enum hd_code nomem(const struct reader *reader)
{
    return hd_fail(reader->err, HD_E_NOMEM, "%s: no memory", reader->file);
}

static enum hd_code check_keys(const struct reader *reader, const struct hd_value *object,
                               const char *path, const char *const *names, size_t count)
{
    for (size_t i = 0; i < object->as.object.count; i++) {
        const char *key = object->as.object.keys[i];
        size_t n = 0;
        while (n < count && !hd_streq(key, names[n]))
            n++;
        if (n < count)
            continue;
        const char *nearest = hd_nearest(key, names, count);
        return hd_fail(reader->err, HD_E_INVALID, "%s:%d: %s%.60s: unknown key%s%s%s", reader->file,
                       (int)object->as.object.items[i]->line, path, key,
                       nearest != NULL ? ", did you mean \"" : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "\"?" : "");
    }
    return HD_OK;
}

static const struct hd_value *member(const struct hd_value *object, const char *key)
{
    const struct hd_value *value = hd_value_get(object, key);
    return value != NULL && value->kind != HD_VALUE_NULL ? value : NULL;
}

static enum hd_code read_list(const struct reader *reader, const struct hd_value *object,
                              const char *key, struct list *list)
{
    const struct hd_value *value = member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_ARRAY)
        return wrong(reader, value, key, "expected a list");
    if (value->as.array.count > HD_POLICY_ENTRIES_MAX)
        return hd_fail(reader->err, HD_E_LIMIT, "%s:%d: %s: more than %d entries", reader->file,
                       (int)value->line, key, HD_POLICY_ENTRIES_MAX);
    list->given = true;
    list->items = hd_calloc(value->as.array.count + 1, sizeof(*list->items));
    if (list->items == NULL)
        return nomem(reader);
    for (size_t i = 0; i < value->as.array.count; i++) {
        const struct hd_value *item = value->as.array.items[i];
        if (item->kind != HD_VALUE_STRING || item->as.string[0] == '\0' ||
            strlen(item->as.string) > HD_POLICY_WORD_MAX)
            return wrong(reader, item, key, "expected texts that are not empty");
        list->items[i] = hd_strdup(item->as.string);
        if (list->items[i] == NULL)
            return nomem(reader);
        list->count++;
    }
    return HD_OK;
}

static enum hd_code read_flag(const struct reader *reader, const struct hd_value *object,
                              const char *key, bool *flag)
{
    const struct hd_value *value = member(object, key);
    if (value == NULL)
        return HD_OK;
    if (value->kind != HD_VALUE_BOOL)
        return wrong(reader, value, key, "expected true or false");
    *flag = value->as.boolean;
    return HD_OK;
}

/* A number above 0; with a parser, a text in its units too. */
static enum hd_code read_number(const struct reader *reader, const struct hd_value *object,
                                const char *key, double *ret_number)
{
    const struct hd_value *value = member(object, key);
    if (value == NULL)
        return HD_OK;
    double number = hd_value_number(value);
    if (!hd_value_is_number(value) || !(number > 0) || number > 1e15)
        return wrong(reader, value, key, "expected a number above 0");
    *ret_number = number;
    return HD_OK;
}

static enum hd_code read_size(const struct reader *reader, const struct hd_value *object,
                              const char *key, uint64_t *ret_bytes)
{
    const struct hd_value *value = member(object, key);
    double number = 0;
    struct hd_err ignored;
    if (value != NULL && value->kind == HD_VALUE_STRING)
        return hd_parse_size(value->as.string, ret_bytes, &ignored) == HD_OK && *ret_bytes > 0
                   ? HD_OK
                   : wrong(reader, value, key, "expected a size, such as 8GiB");
    enum hd_code code = read_number(reader, object, key, &number);
    if (code == HD_OK && number > 0)
        *ret_bytes = (uint64_t)number;
    return code;
}

static enum hd_code read_time(const struct reader *reader, const struct hd_value *object,
                              const char *key, int64_t *ret_ms)
{
    const struct hd_value *value = member(object, key);
    double seconds = 0;
    struct hd_err ignored;
    if (value != NULL && value->kind == HD_VALUE_STRING)
        return hd_parse_duration(value->as.string, ret_ms, &ignored) == HD_OK && *ret_ms > 0
                   ? HD_OK
                   : wrong(reader, value, key, "expected a duration, such as 2h");
    enum hd_code code = read_number(reader, object, key, &seconds);
    if (code == HD_OK && seconds > 1e10)
        return wrong(reader, value, key, "expected a duration, such as 2h");
    if (code == HD_OK && seconds > 0)
        *ret_ms = (int64_t)(seconds * 1000) > 0 ? (int64_t)(seconds * 1000) : 1;
    return code;
}

static enum hd_code read_max(const struct reader *reader, const struct hd_value *root,
                             struct hd_policy *policy)
{
    static const char *const names[] = {"cpus", "memory", "shm", "pids", "time"};
    const struct hd_value *object = member(root, "max");
    double pids = 0;
    if (object == NULL)
        return HD_OK;
    if (object->kind != HD_VALUE_OBJECT)
        return wrong(reader, object, "max", "expected a map");
    enum hd_code code = check_keys(reader, object, "max.", names, HD_COUNT(names));
    if (code == HD_OK)
        code = read_number(reader, object, "cpus", &policy->cpus);
    if (code == HD_OK)
        code = read_size(reader, object, "memory", &policy->memory_bytes);
    if (code == HD_OK)
        code = read_size(reader, object, "shm", &policy->shm_bytes);
    if (code == HD_OK)
        code = read_number(reader, object, "pids", &pids);
    policy->pids = pids > 0 && pids < 1 ? 1 : (int64_t)pids;
    return code == HD_OK ? read_time(reader, object, "time", &policy->time_ms) : code;
}

static enum hd_code check_words(const struct reader *reader, const struct hd_policy *policy)
{
    for (size_t i = 0; i < policy->mounts.count; i++)
        if (policy->mounts.items[i][0] != '/')
            return wrong(reader, NULL, "mounts", "expected absolute paths");
    for (size_t i = 0; i < policy->writable.count; i++)
        if (policy->writable.items[i][0] != '/')
            return wrong(reader, NULL, "writable", "expected absolute paths");
    for (size_t i = 0; i < policy->engines.count; i++)
        if (!hd_streq(policy->engines.items[i], "docker") &&
            !hd_streq(policy->engines.items[i], "podman") &&
            !hd_streq(policy->engines.items[i], "process"))
            return wrong(reader, NULL, "engines", "expected docker, podman or process");
    return HD_OK;
}

static enum hd_code read_policy(const struct reader *reader, const struct hd_value *root,
                                struct hd_policy *policy)
{
    static const char *const names[] = {"images",  "commands", "mounts",     "writable",
                                        "engines", "runtimes", "networks",   "capabilities",
                                        "users",   "ports",    "privileged", "host_network",
                                        "max",     "builds",   "code"};
    if (root->kind == HD_VALUE_NULL)
        return HD_OK; /* an empty file has no rules of its own */
    if (root->kind != HD_VALUE_OBJECT)
        return wrong(reader, root, "policy", "expected a map of rules");
    enum hd_code code = check_keys(reader, root, "", names, HD_COUNT(names));
    struct list *lists[] = {&policy->images,   &policy->commands,     &policy->mounts,
                            &policy->writable, &policy->engines,      &policy->runtimes,
                            &policy->networks, &policy->capabilities, &policy->users,
                            &policy->ports};
    for (size_t i = 0; i < HD_COUNT(lists) && code == HD_OK; i++)
        code = read_list(reader, root, names[i], lists[i]);
    if (code == HD_OK)
        code = read_flag(reader, root, "privileged", &policy->privileged);
    if (code == HD_OK)
        code = read_flag(reader, root, "host_network", &policy->host_network);
    if (code == HD_OK)
        code = read_flag(reader, root, "builds", &policy->builds);
    if (code == HD_OK)
        code = read_flag(reader, root, "code", &policy->code);
    if (code == HD_OK)
        code = read_max(reader, root, policy);
    return code == HD_OK ? check_words(reader, policy) : code;
}

enum hd_code hd_policy_parse(const char *text, size_t size, const char *name,
                             struct hd_policy **ret_policy, struct hd_err *err)
{
    const struct hd_value_limits limits = {HD_POLICY_BYTES_MAX, 4 * HD_POLICY_ENTRIES_MAX, 8};
    const struct reader reader = {name, err};
    struct hd_value *root = NULL;
    enum hd_code code = hd_yaml_parse(text, size, name, &limits, &root, err);
    if (code != HD_OK)
        return code;
    struct hd_policy *policy = hd_calloc(1, sizeof(*policy));
    if (policy != NULL)
        policy->builds = policy->code = true;
    code = policy != NULL ? read_policy(&reader, root, policy) : nomem(&reader);
    hd_value_free(root);
    if (code != HD_OK) {
        hd_policy_free(policy);
        return code;
    }
    *ret_policy = policy;
    return HD_OK;
}

/* A rule that others can rewrite is none. */
static enum hd_code check_owner(const char *path, struct hd_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return hd_fail(err, HD_E_NOTFOUND, "%s: %s", path, strerror(errno));
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022) != 0)
        return hd_fail(err, HD_E_INVALID,
                       "%s can be written by others: chmod go-w, and let it belong to this user or "
                       "to root",
                       path);
    return HD_OK;
}

static enum hd_code resolve_roots(struct list *roots, const char *rule, const char *path,
                                  struct hd_err *err)
{
    for (size_t i = 0; i < roots->count; i++) {
        char *real = realpath(roots->items[i], NULL);
        if (real == NULL)
            return hd_fail(err, HD_E_INVALID, "%s: %s: %s: %s", path, rule, roots->items[i],
                           strerror(errno));
        char *copy = hd_strdup(real);
        free(real);
        if (copy == NULL)
            return hd_fail(err, HD_E_NOMEM, "%s: no memory", path);
        hd_free(roots->items[i]);
        roots->items[i] = copy;
    }
    return HD_OK;
}

enum hd_code hd_policy_load(const char *path, struct hd_policy **ret_policy, struct hd_err *err)
{
    struct hd_buf buf;
    struct hd_policy *policy = NULL;
    hd_buf_init(&buf, HD_POLICY_BYTES_MAX + 1);
    enum hd_code code = check_owner(path, err);
    if (code == HD_OK)
        code = hd_file_read(path, HD_POLICY_BYTES_MAX, false, &buf, err);
    if (code == HD_OK)
        code = hd_policy_parse(hd_buf_text(&buf), buf.size, path, &policy, err);
    hd_buf_release(&buf);
    if (code == HD_OK)
        code = resolve_roots(&policy->mounts, "mounts", path, err);
    if (code == HD_OK)
        code = resolve_roots(&policy->writable, "writable", path, err);
    if (code != HD_OK) {
        hd_policy_free(policy);
        return code;
    }
    *ret_policy = policy;
    return HD_OK;
}

/* ---- judging -------------------------------------------------------------------------------- */

/* '*' is any text, '?' one byte, everything else itself. Linear in the product of the lengths. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *retry = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            retry = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool allows(const struct list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (matches(list->items[i], text))
            return true;
    return !list->given;
}

static enum hd_code refuse(struct hd_err *err, const char *rule, const char *fmt, ...)
    HD_PRINTF(3, 4);
static enum hd_code refuse(struct hd_err *err, const char *rule, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return hd_fail(err, HD_E_UNSUPPORTED, "refused by the policy of this worker, rule %s: %s", rule,
                   what);
}

static bool is_below(const char *path, const char *root)
{
    size_t size = strlen(root);
    while (size > 1 && root[size - 1] == '/')
        size--;
    return size == 1 || (strncmp(path, root, size) == 0 && strchr("/", path[size]) != NULL);
}

static bool below_any(const struct list *roots, const char *path)
{
    for (size_t i = 0; i < roots->count; i++)
        if (is_below(path, roots->items[i]))
            return true;
    return false;
}

/* `as_root`: what writes there has more rights than this worker need have. */
static enum hd_code judge_volume(const struct hd_policy *policy, const char *path, bool writable,
                                 bool as_root, char **ret_path, struct hd_err *err)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return hd_fail(err, HD_E_NOTFOUND, "%s: %s", path, strerror(errno));
    bool writing_ruled = policy != NULL && policy->writable.given;
    bool below_writable = writing_ruled && below_any(&policy->writable, real);
    bool seen = policy == NULL || !policy->mounts.given || below_writable ||
                below_any(&policy->mounts, real);
    bool written = !writable || (writing_ruled ? below_writable : !as_root);
    enum hd_code code = HD_OK;
    if (!seen)
        code = refuse(err, "mounts", "%.*s is below none of its roots", NAME_MAX_SHOWN, real);
    else if (!written)
        code = refuse(err, "writable", "%.*s is below none of %s: mount it read-only (:ro)",
                      NAME_MAX_SHOWN, real,
                      writing_ruled ? "its roots"
                                    : "its roots, and what writes as root needs such a rule");
    char *copy = code == HD_OK ? hd_strdup(real) : NULL;
    free(real);
    if (code == HD_OK && copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a path");
    if (code == HD_OK)
        *ret_path = copy;
    return code;
}

enum hd_code hd_policy_volume(const struct hd_policy *policy, const char *path, bool writable,
                              char **ret_path, struct hd_err *err)
{
    return judge_volume(policy, path, writable, geteuid() == 0, ret_path, err);
}

enum hd_code hd_policy_service_volume(const struct hd_policy *policy, const char *path,
                                      bool writable, char **ret_path, struct hd_err *err)
{
    return judge_volume(policy, path, writable, true, ret_path, err);
}

enum hd_code hd_policy_data(const struct hd_policy *policy, const char *path, char **ret_path,
                            struct hd_err *err)
{
    return hd_policy_volume(policy, path, false, ret_path, err);
}

/* ---- commands ------------------------------------------------------------------------------- */

/* Where the worker itself would find the program; the target's PATH has no say. */
static char *find_program(const char *name, const char *cwd)
{
    char path[2 * HD_POLICY_WORD_MAX];
    const char *search = getenv("PATH");
    if (strchr(name, '/') != NULL) {
        bool absolute = name[0] == '/';
        return hd_format(path, sizeof(path), "%s%s%s", absolute ? "" : cwd, absolute ? "" : "/",
                         name)
                   ? realpath(path, NULL)
                   : NULL;
    }
    while (search != NULL && *search != '\0') {
        size_t size = strcspn(search, ":");
        if (size > 0 && hd_format(path, sizeof(path), "%.*s/%s", (int)size, search, name) &&
            access(path, X_OK) == 0)
            return realpath(path, NULL);
        search += size + (search[size] == ':' ? 1 : 0);
    }
    return NULL;
}

/* Variables by which a permitted program becomes another one. */
static const char *find_loader_variable(const struct hd_target *target)
{
    static const char *const names[] = {"PATH", "BASH_ENV", "ENV", "IFS"};
    for (size_t i = 0; i < target->env_count; i++) {
        const char *key = target->env[i].key;
        for (size_t n = 0; n < HD_COUNT(names); n++)
            if (hd_streq(key, names[n]))
                return key;
        if (strncmp(key, "LD_", 3) == 0)
            return key;
    }
    return NULL;
}

/* What was judged is what runs; the name it was called by stays, for programs that go by it. */
static enum hd_code use_program(struct hd_engine_job *job, const char *real, struct hd_arena *arena,
                                struct hd_err *err)
{
    const char *program = hd_arena_strdup(arena, real);
    if (program == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a command");
    job->program = program;
    return HD_OK;
}

static enum hd_code judge_command(const struct hd_policy *policy, const struct hd_target *target,
                                  struct hd_arena *arena, struct hd_engine_job *job,
                                  struct hd_err *err)
{
    if (!policy->commands.given || job->argv == NULL || job->argv[0] == NULL)
        return HD_OK;
    const char *variable = find_loader_variable(target);
    if (variable != NULL)
        return refuse(err, "commands", "the experiment may not set %.60s here", variable);
    const char *name = job->argv[0];
    char *real = find_program(name, job->cwd != NULL ? job->cwd : "/");
    if (real == NULL)
        return hd_fail(err, HD_E_UNSUPPORTED, "there is no program %.*s on this worker",
                       NAME_MAX_SHOWN, name);
    bool allowed = allows(&policy->commands, real) ||
                   (strchr(name, '/') == NULL && allows(&policy->commands, name));
    enum hd_code code =
        allowed ? use_program(job, real, arena, err)
                : refuse(err, "commands", "%.*s is not among them", NAME_MAX_SHOWN, real);
    free(real);
    return code;
}

/* ---- containers ----------------------------------------------------------------------------- */

/* The container engine is close to root: a worker that is not root itself hands on no other user
 * than its own, unless a rule says so. */
static bool allows_user(const struct hd_policy *policy, const char *user)
{
    char own[32], own_group[64];
    if (policy != NULL && policy->users.given)
        return allows(&policy->users, user);
    hd_format(own, sizeof(own), "%u", (unsigned)geteuid());
    hd_format(own_group, sizeof(own_group), "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
    return geteuid() == 0 || hd_streq(user, own_group) || hd_streq(user, own);
}

/* Without a rule what a target listens on stays on this machine. The rule sees ADDRESS:PORT, of the
 * machine. */
static bool allows_port(const struct hd_policy *policy, const char *word)
{
    char host[128];
    (void)hd_format(host, sizeof(host), "%.*s", (int)(strrchr(word, ':') - word), word);
    if (policy != NULL && policy->ports.given)
        return allows(&policy->ports, host);
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]:", 6) == 0;
}

static enum hd_code judge_container(const struct hd_policy *policy,
                                    const struct hd_container *container, struct hd_err *err)
{
    static const struct list none = {.given = true};
    const struct list *capabilities =
        policy != NULL && policy->capabilities.given ? &policy->capabilities : &none;
    if (container == NULL)
        return HD_OK;
    if (container->privileged && (policy == NULL || !policy->privileged))
        return refuse(err, "privileged", "no target runs privileged here");
    bool host = container->network != NULL && hd_streq(container->network, "host");
    if (host && (policy == NULL || !policy->host_network))
        return refuse(err, "host_network", "no target shares the network of this machine");
    for (size_t i = 0; container->cap_add != NULL && container->cap_add[i] != NULL; i++)
        if (!allows(capabilities, container->cap_add[i]))
            return refuse(err, "capabilities", "%s is not among them", container->cap_add[i]);
    if (container->user != NULL && !allows_user(policy, container->user))
        return refuse(err, "users", "container.user: %.60s is not among them", container->user);
    for (size_t i = 0; container->ports != NULL && container->ports[i] != NULL; i++)
        if (!allows_port(policy, container->ports[i]))
            return refuse(err, "ports", "%s is not among them", container->ports[i]);
    if (policy == NULL)
        return HD_OK;
    for (size_t i = 0; container->networks != NULL && container->networks[i] != NULL; i++)
        if (!allows(&policy->networks, container->networks[i]))
            return refuse(err, "networks", "%s is not among them", container->networks[i]);
    if (container->network != NULL && !host && !allows(&policy->networks, container->network))
        return refuse(err, "networks", "%s is not among them", container->network);
    if (container->runtime != NULL && !allows(&policy->runtimes, container->runtime))
        return refuse(err, "runtimes", "%s is not among them", container->runtime);
    if (policy->shm_bytes > 0 && container->shm_bytes > policy->shm_bytes)
        return refuse(err, "max.shm", "%llu bytes are more than %llu",
                      (unsigned long long)container->shm_bytes,
                      (unsigned long long)policy->shm_bytes);
    return HD_OK;
}

static enum hd_code limit(const struct hd_policy *policy, struct hd_engine_job *job,
                          struct hd_err *err)
{
    if (policy->cpus > 0 && job->cpus > policy->cpus)
        return refuse(err, "max.cpus", "%g is more than %g", job->cpus, policy->cpus);
    if (policy->memory_bytes > 0 && job->memory_bytes > policy->memory_bytes)
        return refuse(err, "max.memory", "%llu bytes are more than %llu",
                      (unsigned long long)job->memory_bytes,
                      (unsigned long long)policy->memory_bytes);
    if (policy->pids > 0 && job->pids > policy->pids)
        return refuse(err, "max.pids", "%lld is more than %lld", (long long)job->pids,
                      (long long)policy->pids);
    if (policy->time_ms > 0 && job->timeout_ms > policy->time_ms)
        return refuse(err, "max.time", "%lld s are more than %lld s",
                      (long long)(job->timeout_ms / 1000), (long long)(policy->time_ms / 1000));
    job->cpus = job->cpus > 0 ? job->cpus : policy->cpus;
    job->memory_bytes = job->memory_bytes > 0 ? job->memory_bytes : policy->memory_bytes;
    job->pids = job->pids > 0 ? job->pids : policy->pids;
    job->timeout_ms = job->timeout_ms > 0 ? job->timeout_ms : policy->time_ms;
    return HD_OK;
}

enum hd_code hd_policy_code(const struct hd_policy *policy, struct hd_err *err)
{
    if (policy == NULL || policy->code)
        return HD_OK;
    return refuse(err, "code", "no code comes from a master's machine");
}

enum hd_code hd_policy_apply(const struct hd_policy *policy, const struct hd_experiment *experiment,
                             struct hd_arena *arena, struct hd_engine_job *job, struct hd_err *err)
{
    const char *engine = job->engine != NULL  ? job->engine
                         : job->image != NULL ? "docker"
                                              : "process";
    enum hd_code code = judge_container(policy, job->container, err);
    if (code != HD_OK || policy == NULL)
        return code;
    if (!allows(&policy->engines, engine))
        return refuse(err, "engines", "%s is not among them", engine);
    if (job->image != NULL && !allows(&policy->images, job->image))
        return refuse(err, "images", "%.*s matches none of them", NAME_MAX_SHOWN, job->image);
    if (job->image != NULL && experiment->target.build != NULL && !policy->builds)
        return refuse(err, "builds", "no image comes from a master's machine");
    if (experiment->target.code != NULL && (code = hd_policy_code(policy, err)) != HD_OK)
        return code;
    if (job->image == NULL)
        code = judge_command(policy, &experiment->target, arena, job, err);
    return code == HD_OK ? limit(policy, job, err) : code;
}
