/* SPDX-License-Identifier: Apache-2.0 */
/* gpus.c: the GPUs of a machine; see gpus.h. */
#include "gpus.h"

#include <hd/os.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- which there are ------------------------------------------------------------------------ */

static bool is_uuid(const char *text, size_t size)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_.";
    bool named = size > 4 && (strncmp(text, "GPU-", 4) == 0 || strncmp(text, "MIG-", 4) == 0);
    if (!named || size >= HD_GPU_UUID_SIZE)
        return false;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || strchr(allowed, text[i]) == NULL)
            return false;
    return true;
}

static struct hd_gpu *find(struct hd_gpus *gpus, const char *uuid, size_t size)
{
    for (uint32_t i = 0; i < gpus->count; i++)
        if (strlen(gpus->gpus[i].uuid) == size && strncmp(gpus->gpus[i].uuid, uuid, size) == 0)
            return &gpus->gpus[i];
    return NULL;
}

static enum hd_code add(struct hd_gpus *gpus, const char *uuid, size_t size, struct hd_err *err)
{
    if (gpus->count == HD_GPUS_MAX)
        return hd_fail(err, HD_E_LIMIT, "more than %d GPUs", HD_GPUS_MAX);
    struct hd_gpu *gpu = &gpus->gpus[gpus->count++];
    memset(gpu, 0, sizeof(*gpu));
    memcpy(gpu->uuid, uuid, size);
    return HD_OK;
}

/* "GPU 0: NAME (UUID: GPU-...)", "  MIG 1g.5gb  Device  0: (UUID: MIG-...)": the UUID of a line. */
static bool find_uuid(const char *line, size_t size, const char **ret_uuid, size_t *ret_size)
{
    static const char key[] = "(UUID: ";
    const size_t key_size = sizeof(key) - 1;
    for (size_t i = 0; i + key_size < size; i++) {
        if (strncmp(line + i, key, key_size) != 0)
            continue;
        const char *uuid = line + i + key_size;
        const char *end = memchr(uuid, ')', size - i - key_size);
        *ret_uuid = uuid;
        *ret_size = end != NULL ? (size_t)(end - uuid) : 0;
        return end != NULL && is_uuid(uuid, *ret_size);
    }
    return false;
}

enum hd_code hd_gpus_parse_list(const char *text, size_t size, struct hd_gpus *ret_gpus,
                                struct hd_err *err)
{
    static struct hd_gpus const none = {.share = 1};
    struct hd_gpus gpus = none;
    bool whole = false; /* the last one is not yet seen to be cut */
    enum hd_code code = HD_OK;
    for (size_t at = 0; at < size && code == HD_OK;) {
        const char *end = memchr(text + at, '\n', size - at), *uuid;
        size_t line_size = end != NULL ? (size_t)(end - (text + at)) : size - at, uuid_size;
        if (find_uuid(text + at, line_size, &uuid, &uuid_size) &&
            find(&gpus, uuid, uuid_size) == NULL) {
            bool part = uuid[0] == 'M';
            if (part && whole)
                gpus.count--;
            whole = !part;
            code = add(&gpus, uuid, uuid_size, err);
        }
        at += line_size + 1;
    }
    if (code == HD_OK)
        *ret_gpus = gpus;
    return code;
}

enum hd_code hd_gpus_parse_names(const char *names, struct hd_gpus *ret_gpus, struct hd_err *err)
{
    struct hd_gpus gpus = {.share = 1};
    enum hd_code code = HD_OK;
    for (const char *at = names; code == HD_OK; at++) {
        size_t size = strcspn(at, ",");
        if (!is_uuid(at, size))
            return hd_fail(err, HD_E_INVALID,
                           "\"%.*s\" is no UUID of a GPU: nvidia-smi -L shows them, such as "
                           "GPU-8f6c5bd8-2b9e-4b1c-9c7e-1c1f0a1d2e3f",
                           size < HD_GPU_UUID_SIZE ? (int)size : HD_GPU_UUID_SIZE, at);
        if (find(&gpus, at, size) != NULL)
            return hd_fail(err, HD_E_INVALID, "%.*s is named twice", (int)size, at);
        code = add(&gpus, at, size, err);
        at += size;
        if (*at == '\0')
            break;
    }
    if (code == HD_OK)
        *ret_gpus = gpus;
    return code;
}

static enum hd_code read_list(const char *path, int status, struct hd_gpus *ret_gpus,
                              struct hd_err *err)
{
    struct hd_buf text;
    hd_buf_init(&text, HD_GPU_LIST_BYTES_MAX + 1);
    enum hd_code code = hd_file_read(path, HD_GPU_LIST_BYTES_MAX, true, &text, err);
    if (code == HD_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        code = hd_fail(err, HD_E_IO, "nvidia-smi -L failed: %.*s",
                       (int)strcspn(hd_buf_text(&text), "\n"), hd_buf_text(&text));
    if (code == HD_OK)
        code = hd_gpus_parse_list(hd_buf_text(&text), text.size, ret_gpus, err);
    hd_buf_release(&text);
    return code;
}

static bool wait_for(pid_t pid, int *ret_status)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000000L};
    int64_t until_ms = hd_clock_ms() + HD_GPU_ASK_MS_MAX;
    for (;;) {
        pid_t ended = waitpid(pid, ret_status, WNOHANG);
        if (ended == pid)
            return true;
        if ((ended < 0 && errno != EINTR) || hd_clock_ms() >= until_ms)
            break;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(pid, SIGKILL); /* one that hangs in its driver stays, and is nobody's then */
    (void)waitpid(pid, ret_status, WNOHANG);
    return false;
}

enum hd_code hd_gpus_find(const char *scratch_dir, struct hd_gpus *ret_gpus, struct hd_err *err)
{
    static const char *const argv[] = {"nvidia-smi", "-L", NULL};
    char path[4096];
    struct hd_err ignored;
    pid_t pid;
    int status = 0;
    if (!hd_format(path, sizeof(path), "%s/gpus", scratch_dir))
        return hd_fail(err, HD_E_LIMIT, "the path of %s is too long", scratch_dir);
    (void)unlink(path);
    if (hd_spawn(argv, path, false, &pid, &ignored) != HD_OK) {
        *ret_gpus = (struct hd_gpus){.share = 1};
        return HD_OK;
    }
    enum hd_code code = wait_for(pid, &status)
                            ? read_list(path, status, ret_gpus, err)
                            : hd_fail(err, HD_E_TIMEOUT, "nvidia-smi -L does not end");
    (void)unlink(path);
    return code;
}

/* ---- who has which -------------------------------------------------------------------------- */

void hd_gpus_keep_part(struct hd_gpus *gpus, uint32_t part, uint32_t parts)
{
    uint32_t kept = 0;
    for (uint32_t i = part; i < gpus->count && parts > 0; i += parts)
        gpus->gpus[kept++] = gpus->gpus[i];
    gpus->count = kept;
}

uint32_t hd_gpus_total(const struct hd_gpus *gpus)
{
    return gpus->count * gpus->share;
}

static bool has(const struct hd_gpu *gpu, struct hd_attempt_ref job)
{
    for (uint32_t i = 0; i < gpu->job_count; i++)
        if (hd_attempt_ref_equal(gpu->jobs[i], job))
            return true;
    return false;
}

static struct hd_gpu *find_freest(struct hd_gpus *gpus, struct hd_attempt_ref job)
{
    struct hd_gpu *freest = NULL;
    for (uint32_t i = 0; i < gpus->count; i++) {
        struct hd_gpu *gpu = &gpus->gpus[i];
        if (gpu->job_count < gpus->share && !has(gpu, job) &&
            (freest == NULL || gpu->job_count < freest->job_count))
            freest = gpu;
    }
    return freest;
}

static bool append(char *text, const char *uuid)
{
    size_t used = strlen(text);
    return hd_format(text + used, HD_GPU_TEXT_SIZE - used, "%s%s", used > 0 ? "," : "", uuid);
}

enum hd_code hd_gpus_take(struct hd_gpus *gpus, struct hd_attempt_ref job, int64_t count,
                          char *ret_text, struct hd_err *err)
{
    ret_text[0] = '\0';
    if (count > (int64_t)gpus->count)
        return hd_fail(err, HD_E_UNSUPPORTED, "it needs %lld GPUs, this worker has %u",
                       (long long)count, gpus->count);
    for (int64_t i = 0; i < count; i++) {
        struct hd_gpu *gpu = find_freest(gpus, job);
        if (gpu == NULL || !append(ret_text, gpu->uuid)) {
            hd_gpus_release(gpus, job);
            return hd_fail(err, HD_E_BUSY, "it needs %lld GPUs, only %lld of %u are free",
                           (long long)count, (long long)i, gpus->count);
        }
        gpu->jobs[gpu->job_count++] = job;
    }
    return HD_OK;
}

void hd_gpus_retake(struct hd_gpus *gpus, struct hd_attempt_ref job, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        struct hd_gpu *gpu = find(gpus, text, size);
        if (gpu != NULL && gpu->job_count < HD_GPU_SHARE_MAX && !has(gpu, job))
            gpu->jobs[gpu->job_count++] = job;
        text += size + (text[size] == ',' ? 1 : 0);
    }
}

void hd_gpus_release(struct hd_gpus *gpus, struct hd_attempt_ref job)
{
    for (uint32_t i = 0; i < gpus->count; i++) {
        struct hd_gpu *gpu = &gpus->gpus[i];
        for (uint32_t j = 0; j < gpu->job_count; j++)
            if (hd_attempt_ref_equal(gpu->jobs[j], job))
                gpu->jobs[j--] = gpu->jobs[--gpu->job_count];
    }
}
