/* SPDX-License-Identifier: Apache-2.0 */
/* docker_write.c: what is asked of the engine, as JSON and as a line for a shell. Pure; see
 * docker_json.h. */
#include "docker_json.h"

#include <math.h>
#include <string.h>

bool hd_docker_split_image(const char *image, char *ret_repository, size_t repository_size,
                           char *ret_tag, size_t tag_size)
{
    const char *digest = strchr(image, '@');
    const char *slash = strrchr(image, '/');
    const char *colon = strchr(slash != NULL ? slash : image, ':');
    const char *cut = digest != NULL ? digest : colon;
    size_t length = cut != NULL ? (size_t)(cut - image) : strlen(image);
    /* A tag beside a digest says nothing more. */
    if (digest != NULL && colon != NULL && colon < digest)
        length = (size_t)(colon - image);
    return length > 0 && length < repository_size &&
           hd_format(ret_repository, repository_size, "%.*s", (int)length, image) &&
           hd_copy_text(ret_tag, tag_size, cut != NULL && cut[1] != '\0' ? cut + 1 : "latest");
}

void hd_docker_container_name(struct hd_attempt_ref attempt, char *ret_name, size_t name_size)
{
    hd_assert(name_size >= HD_ENGINE_NAME_MAX);
    (void)hd_format(ret_name, name_size, "hyperdock-%016llx-%u-%u",
                    (unsigned long long)attempt.run_uid, attempt.job, attempt.attempt);
}

void hd_docker_ahead_name(const char *ahead, char *ret_name, size_t name_size)
{
    (void)hd_format(ret_name, name_size, "hyperdock-ahead-%s", ahead);
}

/* ---- the body of create --------------------------------------------------------------------- */

/* Writes on until the first failure and remembers it. */
struct writer {
    struct hd_buf *out;
    struct hd_err *err;
    enum hd_code code;
};

static void put(struct writer *w, const char *text)
{
    if (w->code == HD_OK)
        w->code = hd_buf_puts(w->out, text, w->err);
}

static void put_string(struct writer *w, const char *text)
{
    if (w->code == HD_OK)
        w->code = hd_json_write_string(text, w->out, w->err);
}

static void put_u64(struct writer *w, uint64_t number)
{
    if (w->code == HD_OK)
        w->code = hd_buf_printf(w->out, w->err, "%llu", (unsigned long long)number);
}

static void put_strings(struct writer *w, char *const *strings)
{
    put(w, "[");
    for (size_t i = 0; strings[i] != NULL; i++) {
        put(w, i > 0 ? "," : "");
        put_string(w, strings[i]);
    }
    put(w, "]");
}

static void put_label(struct writer *w, const char *key, const char *value)
{
    put(w, ",");
    put_string(w, key);
    put(w, ":");
    put_string(w, value);
}

static void put_labels(struct writer *w, const struct hd_engine_job *job,
                       const struct hd_docker_place *place)
{
    char uid[32], number[32], attempt[32];
    (void)hd_format(uid, sizeof(uid), "%llx", (unsigned long long)job->attempt.run_uid);
    (void)hd_format(number, sizeof(number), "%u", job->attempt.job);
    (void)hd_format(attempt, sizeof(attempt), "%u", job->attempt.attempt);
    put(w, "\"Labels\":{\"hyperdock.version\":\"1\"");
    put_label(w, "hyperdock.worker", job->worker);
    put_label(w, "hyperdock.run", job->run_id);
    put_label(w, "hyperdock.run_uid", uid);
    put_label(w, "hyperdock.job", number);
    put_label(w, "hyperdock.attempt", attempt);
    put_label(w, "hyperdock.config", job->config_id);
    put_label(w, "hyperdock.run_dir", job->run_dir);
    if (place->copied)
        put_label(w, "hyperdock.files", "copy");
    if (place->ahead != NULL)
        put_label(w, "hyperdock.ahead", place->ahead);
    put(w, "}");
}

static void put_mount(struct writer *w, const char *source, const char *target, bool read_only)
{
    put(w, "{\"Type\":\"bind\",\"Source\":");
    put_string(w, source);
    put(w, ",\"Target\":");
    put_string(w, target);
    put(w, read_only ? ",\"ReadOnly\":true}" : "}");
}

static void put_volume(struct writer *w, const char *volume, const char *target)
{
    put(w, ",{\"Type\":\"volume\",\"Source\":");
    put_string(w, volume);
    put(w, ",\"Target\":");
    put_string(w, target);
    put(w, ",\"ReadOnly\":true,\"VolumeOptions\":{\"NoCopy\":true,"
           "\"Labels\":{\"hyperdock.data\":\"1\"}}}");
}

/* A volume without a name goes with its container. What the image has there is hidden, as a mounted
 * directory would hide it. */
static void put_volumes(struct writer *w, const struct hd_engine_job *job,
                        const struct hd_docker_place *place)
{
    put(w, "\"Mounts\":[{\"Type\":\"volume\",\"Target\":\"/hyperdock\",\"VolumeOptions\":"
           "{\"NoCopy\":true}}");
    if (place->data_volume != NULL)
        put_volume(w, place->data_volume, "/data");
    for (size_t i = 0; place->mount_volumes != NULL && i < job->mount_count; i++)
        if (place->mount_volumes[i] != NULL)
            put_volume(w, place->mount_volumes[i], job->mounts[i].target);
    put(w, "]");
}

/* Mounts, not Binds: a missing source is refused instead of being made as an empty directory. */
static void put_mounts(struct writer *w, const struct hd_engine_job *job,
                       const struct hd_docker_place *place)
{
    put(w, "\"Mounts\":[");
    put_mount(w, job->run_dir, "/hyperdock", false);
    if (job->work_dir != NULL) {
        put(w, ",");
        put_mount(w, job->work_dir, "/hyperdock/work", false);
    }
    if (job->data_dir != NULL) {
        put(w, ",");
        put_mount(w, job->data_dir, "/data", true);
        put(w, ",");
        put_mount(w, job->data_dir, "/hyperdock/data", true);
    }
    if (job->code_dir != NULL) {
        put(w, ",");
        put_mount(w, job->code_dir, HD_CODE_DIR_INSIDE, true);
    }
    for (size_t i = 0; i < job->mount_count; i++) {
        put(w, ",");
        put_mount(w, job->mounts[i].source, job->mounts[i].target, job->mounts[i].read_only);
    }
    if (place->ahead != NULL) {
        put(w, ",");
        put_mount(w, place->launch_dir, HD_DOCKER_LAUNCH_INSIDE, true);
    }
    put(w, "]");
}

static void put_limits(struct writer *w, const struct hd_engine_job *job)
{
    if (job->memory_bytes > 0) {
        /* The same bound for memory and swap together forbids swapping. */
        put(w, ",\"Memory\":");
        put_u64(w, job->memory_bytes);
        put(w, ",\"MemorySwap\":");
        put_u64(w, job->memory_bytes);
    }
    if (job->cpus > 0.0) {
        put(w, ",\"NanoCpus\":");
        put_u64(w, (uint64_t)llround(job->cpus * 1e9));
    }
    if (job->pids > 0) {
        put(w, ",\"PidsLimit\":");
        put_u64(w, (uint64_t)job->pids);
    }
}

/* "key:value", or the key with an empty value. */
static void put_pair(struct writer *w, const char *word)
{
    size_t size = strcspn(word, ":");
    char key[HD_DOCKER_PATH_SIZE];
    (void)hd_format(key, sizeof(key), "%.*s", (int)size, word);
    put_string(w, key);
    put(w, ":");
    put_string(w, word[size] == ':' ? word + size + 1 : "");
}

static void put_tmpfs(struct writer *w, char *const *tmpfs)
{
    put(w, ",\"Tmpfs\":{");
    for (size_t i = 0; tmpfs[i] != NULL; i++) {
        put(w, i > 0 ? "," : "");
        put_pair(w, tmpfs[i]);
    }
    put(w, "}");
}

/* "name=soft:hard" */
static void put_ulimits(struct writer *w, char *const *ulimits)
{
    put(w, ",\"Ulimits\":[");
    for (size_t i = 0; ulimits[i] != NULL; i++) {
        char name[64], numbers[64];
        size_t size = strcspn(ulimits[i], "="), soft_size = strcspn(ulimits[i], ":");
        (void)hd_format(name, sizeof(name), "%.*s", (int)size, ulimits[i]);
        (void)hd_format(numbers, sizeof(numbers), "%.*s", (int)(soft_size - size - 1),
                        ulimits[i] + size + 1);
        put(w, i > 0 ? ",{\"Name\":" : "{\"Name\":");
        put_string(w, name);
        put(w, ",\"Soft\":");
        put(w, numbers);
        put(w, ",\"Hard\":");
        put(w, ulimits[i] + soft_size + 1);
        put(w, "}");
    }
    put(w, "]");
}

static void put_text_field(struct writer *w, const char *field, const char *text)
{
    if (text == NULL)
        return;
    put(w, field);
    put_string(w, text);
}

static void put_words_field(struct writer *w, const char *field, char *const *words)
{
    if (words == NULL)
        return;
    put(w, field);
    put_strings(w, words);
}

/* "127.0.0.1:8080:80/tcp", "[::1]::80/udp": what is after the last colon is the container's. */
static void put_binding(struct writer *w, const char *word, size_t host_size)
{
    char address[80], port[16];
    bool v6 = word[0] == '[';
    size_t address_size = host_size;
    while (address_size > 0 && word[address_size - 1] != ':')
        address_size--;
    (void)hd_format(port, sizeof(port), "%.*s", (int)(host_size - address_size),
                    word + address_size);
    (void)hd_format(address, sizeof(address), "%.*s", (int)(address_size - 1 - (v6 ? 2 : 0)),
                    word + (v6 ? 1 : 0));
    put(w, "{\"HostIp\":");
    put_string(w, address);
    put(w, ",\"HostPort\":");
    put_string(w, port);
    put(w, "}");
}

static size_t host_size_of(const char *word)
{
    return (size_t)(strrchr(word, ':') - word);
}

/* A port of the container once, with all that it is published at; `bound`: these too. */
static void put_ports(struct writer *w, char *const *ports, bool bound)
{
    if (ports == NULL)
        return;
    put(w, bound ? ",\"PortBindings\":{" : ",\"ExposedPorts\":{");
    for (size_t i = 0; ports[i] != NULL; i++) {
        const char *inside = ports[i] + host_size_of(ports[i]) + 1;
        bool seen = false;
        for (size_t k = 0; k < i; k++)
            seen = seen || hd_streq(ports[k] + host_size_of(ports[k]) + 1, inside);
        if (seen)
            continue;
        put(w, i > 0 ? "," : "");
        put_string(w, inside);
        put(w, bound ? ":[" : ":{}");
        for (size_t k = i; bound && ports[k] != NULL; k++) {
            size_t size = host_size_of(ports[k]);
            if (!hd_streq(ports[k] + size + 1, inside))
                continue;
            put(w, k > i ? "," : "");
            put_binding(w, ports[k], size);
        }
        put(w, bound ? "]" : "");
    }
    put(w, "}");
}

static void put_container(struct writer *w, const struct hd_container *container)
{
    if (container == NULL) {
        put(w, ",\"Privileged\":false");
        return;
    }
    put(w, container->privileged ? ",\"Privileged\":true" : ",\"Privileged\":false");
    put(w, container->read_only ? ",\"ReadonlyRootfs\":true" : "");
    if (container->shm_bytes > 0) {
        put(w, ",\"ShmSize\":");
        put_u64(w, container->shm_bytes);
    }
    put_text_field(w, ",\"CpusetCpus\":", container->cpuset);
    put_text_field(w, ",\"NetworkMode\":",
                   container->networks != NULL ? container->networks[0] : container->network);
    put_ports(w, container->ports, true);
    put_text_field(w, ",\"Runtime\":", container->runtime);
    put_words_field(w, ",\"CapAdd\":", container->cap_add);
    put_words_field(w, ",\"CapDrop\":", container->cap_drop);
    if (container->ulimits != NULL)
        put_ulimits(w, container->ulimits);
    if (container->tmpfs != NULL)
        put_tmpfs(w, container->tmpfs);
}

/* The runtime named nvidia takes them from the environment, and refuses to be told twice. Never a
 * count with them: the engine would choose others. */
static bool has_device_requests(const struct hd_engine_job *job)
{
    bool legacy = job->container != NULL && job->container->runtime != NULL &&
                  hd_streq(job->container->runtime, "nvidia");
    return job->gpus != NULL && job->gpus[0] != '\0' && !legacy;
}

static void put_gpus(struct writer *w, const struct hd_engine_job *job)
{
    char uuid[HD_DOCKER_GPU_SIZE];
    if (!has_device_requests(job))
        return;
    put(w, ",\"DeviceRequests\":[{\"Driver\":\"\",\"DeviceIDs\":[");
    for (const char *at = job->gpus; *at != '\0';) {
        size_t size = strcspn(at, ",");
        (void)hd_format(uuid, sizeof(uuid), "%.*s", (int)size, at);
        put(w, at == job->gpus ? "" : ",");
        put_string(w, uuid);
        at += size + (at[size] == ',' ? 1 : 0);
    }
    put(w, "],\"Capabilities\":[[\"gpu\"]]}]");
}

static const char *user_of(const struct hd_engine_job *job, const char *user)
{
    return job->container != NULL && job->container->user != NULL ? job->container->user : user;
}

/* Init: as process 1 a target would ignore the signals it has no handler for. AutoRemove: the exit
 * code, the memory flag and the log are read after the end. */
static void put_host(struct writer *w, const struct hd_engine_job *job,
                     const struct hd_docker_place *place)
{
    put(w, "\"HostConfig\":{");
    if (place->copied)
        put_volumes(w, job, place);
    else
        put_mounts(w, job, place);
    put_limits(w, job);
    put_container(w, job->container);
    put_gpus(w, job);
    put(w, ",\"Init\":true,\"AutoRemove\":false,"
           "\"RestartPolicy\":{\"Name\":\"no\"},\"SecurityOpt\":[\"no-new-privileges\"],"
           "\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":"
           "\"" HD_DOCKER_LOG_FILE_BYTES_MAX "\",\"max-file\":\"2\"}}}");
}

enum hd_code hd_docker_write_create(const struct hd_engine_job *job,
                                    const struct hd_docker_place *place, struct hd_buf *out,
                                    struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{\"Image\":");
    put_string(&w, job->image);
    if (place->ahead != NULL)
        put(&w, ",\"Entrypoint\":[\"" HD_DOCKER_LAUNCH_INSIDE "/" HD_DOCKER_LAUNCH "\"]");
    char *const *words = place->ahead != NULL ? place->words : job->argv;
    if (words != NULL && words[0] != NULL) {
        put(&w, ",\"Cmd\":");
        put_strings(&w, words);
    }
    if (job->env != NULL) {
        put(&w, ",\"Env\":");
        put_strings(&w, job->env);
    }
    const char *user = user_of(job, place->user);
    if (user[0] != '\0') {
        put(&w, ",\"User\":");
        put_string(&w, user);
    }
    put_ports(&w, job->container != NULL ? job->container->ports : NULL, false);
    if (job->code_dir != NULL)
        put(&w, ",\"WorkingDir\":\"" HD_CODE_DIR_INSIDE "\"");
    put(&w, ",\"Tty\":false,");
    put_labels(&w, job, place);
    put(&w, ",");
    put_host(&w, job, place);
    put(&w, "}");
    return w.code;
}

enum hd_code hd_docker_write_probe(const char *directory, struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{\"Image\":\"hyperdock-probe:none\",\"HostConfig\":{\"Mounts\":[");
    put_mount(&w, directory, "/probe", true);
    put(&w, "]}}");
    return w.code;
}

enum hd_code hd_docker_write_filler(const struct hd_engine_job *job, const char *volume,
                                    struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{\"Image\":");
    put_string(&w, job->image);
    put(&w, ",\"Cmd\":[\"true\"],\"HostConfig\":{\"Mounts\":[{\"Type\":\"volume\",\"Source\":");
    put_string(&w, volume);
    put(&w, ",\"Target\":\"/data\",\"VolumeOptions\":{\"NoCopy\":true}}]}}");
    return w.code;
}

enum hd_code hd_docker_write_helper(const struct hd_engine_job *job, const char *id,
                                    struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "{\"Image\":");
    put_string(&w, job->image);
    put(&w, ",\"Cmd\":[\"true\"],\"HostConfig\":{\"VolumesFrom\":[");
    put_string(&w, id);
    put(&w, "]}}");
    return w.code;
}

/* ---- the line for a shell ------------------------------------------------------------------- */

static bool is_plain_word(const char *word)
{
    if (word[0] == '\0')
        return false;
    return strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "@%+=:,./_-") == strlen(word);
}

/* A blank, and the word in single quotes where a shell would read it otherwise. */
static void put_word(struct writer *w, const char *word)
{
    put(w, " ");
    if (is_plain_word(word)) {
        put(w, word);
        return;
    }
    put(w, "'");
    for (const char *c = word; *c != '\0' && w->code == HD_OK; c++) {
        if (*c == '\'')
            put(w, "'\\''");
        else
            w->code = hd_buf_append(w->out, c, 1, w->err);
    }
    put(w, "'");
}

static void put_option(struct writer *w, const char *option, const char *value)
{
    put_word(w, option);
    put_word(w, value);
}

/* Fields of --mount are comma-separated values, so a path with a comma or a quote is quoted. */
static void put_mount_option(struct writer *w, const char *source, const char *target,
                             const char *tail)
{
    struct hd_buf field;
    hd_buf_init(&field, 4 * HD_DOCKER_PATH_SIZE);
    struct writer f = {&field, w->err, w->code};
    bool quote = strpbrk(source, ",\"\n") != NULL;
    put(&f, quote ? "type=bind,\"source=" : "type=bind,source=");
    for (const char *c = source; *c != '\0' && f.code == HD_OK; c++) {
        put(&f, *c == '"' ? "\"" : "");
        if (f.code == HD_OK)
            f.code = hd_buf_append(f.out, c, 1, f.err);
    }
    put(&f, quote ? "\",target=" : ",target=");
    put(&f, target);
    put(&f, tail);
    w->code = f.code;
    if (w->code == HD_OK)
        put_option(w, "--mount", hd_buf_text(&field));
    hd_buf_release(&field);
}

static void put_limit_options(struct writer *w, const struct hd_engine_job *job)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    if (job->memory_bytes > 0) {
        (void)hd_format(number, sizeof(number), "%llu", (unsigned long long)job->memory_bytes);
        put_option(w, "--memory", number);
        put_option(w, "--memory-swap", number);
    }
    if (job->cpus > 0.0) {
        hd_format_double(number, sizeof(number), job->cpus);
        put_option(w, "--cpus", number);
    }
    if (job->pids > 0) {
        (void)hd_format(number, sizeof(number), "%lld", (long long)job->pids);
        put_option(w, "--pids-limit", number);
    }
}

static void put_text_option(struct writer *w, const char *option, const char *text)
{
    if (text != NULL)
        put_option(w, option, text);
}

static void put_list_option(struct writer *w, const char *option, char *const *words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        put_option(w, option, words[i]);
}

static void put_container_options(struct writer *w, const struct hd_container *container)
{
    char number[HD_DOUBLE_TEXT_SIZE];
    if (container == NULL)
        return;
    put(w, container->privileged ? " --privileged" : "");
    put(w, container->read_only ? " --read-only" : "");
    if (container->shm_bytes > 0) {
        (void)hd_format(number, sizeof(number), "%llu", (unsigned long long)container->shm_bytes);
        put_option(w, "--shm-size", number);
    }
    put_text_option(w, "--cpuset-cpus", container->cpuset);
    put_text_option(w, "--network", container->network);
    put_list_option(w, "--network", container->networks);
    put_list_option(w, "--publish", container->ports);
    put_text_option(w, "--runtime", container->runtime);
    put_list_option(w, "--cap-add", container->cap_add);
    put_list_option(w, "--cap-drop", container->cap_drop);
    put_list_option(w, "--ulimit", container->ulimits);
    put_list_option(w, "--tmpfs", container->tmpfs);
}

/* The client reads the value as a line of a table of commas: quotes keep it one field. */
static void put_gpu_option(struct writer *w, const struct hd_engine_job *job)
{
    struct hd_buf value;
    if (!has_device_requests(job))
        return;
    hd_buf_init(&value, HD_DOCKER_PATH_SIZE + 32);
    if (w->code == HD_OK)
        w->code = hd_buf_printf(&value, w->err, "\"device=%s\"", job->gpus);
    if (w->code == HD_OK)
        put_option(w, "--gpus", hd_buf_text(&value));
    hd_buf_release(&value);
}

enum hd_code hd_docker_write_command_line(const struct hd_engine_job *job, const char *user,
                                          struct hd_buf *out, struct hd_err *err)
{
    struct writer w = {out, err, HD_OK};
    put(&w, "docker run --rm --init");
    user = user_of(job, user);
    if (user[0] != '\0')
        put_option(&w, "--user", user);
    put_option(&w, "--security-opt", "no-new-privileges");
    put_limit_options(&w, job);
    put_container_options(&w, job->container);
    put_gpu_option(&w, job);
    put_mount_option(&w, job->run_dir, "/hyperdock", "");
    if (job->work_dir != NULL)
        put_mount_option(&w, job->work_dir, "/hyperdock/work", "");
    if (job->data_dir != NULL) {
        put_mount_option(&w, job->data_dir, "/data", ",readonly");
        put_mount_option(&w, job->data_dir, "/hyperdock/data", ",readonly");
    }
    if (job->code_dir != NULL) {
        put_mount_option(&w, job->code_dir, HD_CODE_DIR_INSIDE, ",readonly");
        put_option(&w, "--workdir", HD_CODE_DIR_INSIDE);
    }
    for (size_t i = 0; i < job->mount_count; i++)
        put_mount_option(&w, job->mounts[i].source, job->mounts[i].target,
                         job->mounts[i].read_only ? ",readonly" : "");
    for (size_t i = 0; job->env != NULL && job->env[i] != NULL; i++)
        put_option(&w, "--env", job->env[i]);
    put_word(&w, job->image);
    for (size_t i = 0; job->argv != NULL && job->argv[i] != NULL; i++)
        put_word(&w, job->argv[i]);
    return w.code;
}
