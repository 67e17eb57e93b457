/* SPDX-License-Identifier: Apache-2.0 */
/* jsonnet.c: the evaluator in a child process; the only file that knows libjsonnet. */
#include <hd/jsonnet.h>
#include <hd/os.h>

#include <errno.h>
#include <fcntl.h>
#include <libjsonnet.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE_MAX 3
#define SEARCH_BYTES_MAX (256u << 20) /* of the source, for the lines of all texts together */
#define STATUS_GOOD 'j'
#define STATUS_BAD 'e'

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED 1 /* a sanitizer's shadow takes any amount of address space */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SHADOWED 1
#endif
#endif

bool hd_jsonnet_is_named(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL && hd_streq(dot, ".jsonnet");
}

/* ---- the child ------------------------------------------------------------------------------- */

struct importer {
    struct JsonnetVm *vm;
    char root[PATH_MAX]; /* real path of the directory, without a slash at the end unless it is "/";
                          * "" none
                          */
};

static char *answer(struct importer *importer, const char *text, size_t size)
{
    char *copy = jsonnet_realloc(importer->vm, NULL, size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

/* The real path, links followed, when it lies below the root. */
static bool find_import(const struct importer *importer, const char *base, const char *name,
                        char real[PATH_MAX])
{
    char joined[PATH_MAX];
    size_t size = strlen(importer->root);
    /* The file itself may be named relative to anywhere; what it imports is known by its real path.
     */
    bool fits = name[0] == '/'   ? hd_copy_text(joined, sizeof(joined), name)
                : base[0] == '/' ? hd_format(joined, sizeof(joined), "%s%s", base, name)
                                 : hd_format(joined, sizeof(joined), "%s/%s", importer->root, name);
    if (size == 1) /* "/" itself, the only one that ends with a slash */
        size = 0;
    return fits && importer->root[0] != '\0' && realpath(joined, real) != NULL &&
           strncmp(real, importer->root, size) == 0 && real[size] == '/';
}

static char *import(struct importer *importer, const char *base, const char *name,
                    char **found_here, int *failed)
{
    char real[PATH_MAX], message[PATH_MAX + 128];
    struct hd_buf text;
    struct hd_err err;
    *failed = 1;
    if (!find_import(importer, base, name, real)) {
        (void)hd_format(message, sizeof(message),
                        "\"%.200s\" is not in the directory of the file, or below it", name);
        return answer(importer, message, strlen(message));
    }
    hd_buf_init(&text, HD_JSONNET_SOURCE_MAX);
    if (hd_file_read(real, HD_JSONNET_SOURCE_MAX, false, &text, &err) != HD_OK)
        return answer(importer, err.text, strlen(err.text));
    *failed = 0;
    *found_here = answer(importer, real, strlen(real));
    char *copy = answer(importer, hd_buf_text(&text), text.size);
    hd_buf_release(&text);
    return copy;
}

#ifdef HD_JSONNET_SIZED_IMPORTS /* libjsonnet 0.19 and up */
static int on_import(void *context, const char *base, const char *name, char **found_here,
                     char **ret_text, size_t *ret_size)
{
    int failed;
    *ret_text = import(context, base, name, found_here, &failed);
    *ret_size = strlen(*ret_text);
    return failed;
}
#else
static char *on_import(void *context, const char *base, const char *name, char **found_here,
                       int *success)
{
    int failed;
    char *text = import(context, base, name, found_here, &failed);
    *success = !failed;
    return text;
}
#endif

static void set_limit(int resource, rlim_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    (void)setrlimit((__rlimit_resource_t)resource, &limit);
}

static void bound_self(void)
{
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_CPU, HD_JSONNET_CPU_S_MAX);
    set_limit(RLIMIT_FSIZE, 0);
#ifndef SHADOWED
    set_limit(RLIMIT_AS, HD_JSONNET_MEMORY_MAX);
#endif
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, bytes, size);
        if (count <= 0)
            return;
        bytes += count;
        size -= (size_t)count;
    }
}

static _Noreturn void evaluate_and_exit(int fd, const char *source, const char *name,
                                        const char *directory)
{
    static struct importer importer;
    int failed = 0;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXCPU, SIG_DFL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC); /* it says there what killed it */
    if (null >= 0)
        (void)dup2(null, STDERR_FILENO);
    bound_self();
    importer.vm = jsonnet_make();
    if (directory != NULL && realpath(directory, importer.root) == NULL)
        importer.root[0] = '\0';
    jsonnet_max_stack(importer.vm, HD_JSONNET_STACK_MAX);
    jsonnet_max_trace(importer.vm, TRACE_MAX);
    jsonnet_import_callback(importer.vm, on_import, &importer);
    char *out = jsonnet_evaluate_snippet(importer.vm, name, source, &failed);
    const char status = failed ? STATUS_BAD : STATUS_GOOD;
    write_all(fd, &status, 1);
    write_all(fd, out, strlen(out));
    _exit(0);
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Reads to the end of the child's answer; HD_E_TIMEOUT, HD_E_LIMIT. */
static enum hd_code read_answer(int fd, struct hd_buf *out, struct hd_err *err)
{
    int64_t until_ms = hd_clock_ms() + HD_JSONNET_TIME_MS_MAX;
    for (;;) {
        char bytes[16384];
        int64_t left_ms = until_ms - hd_clock_ms();
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0)
            return hd_fail(err, HD_E_TIMEOUT, "no answer");
        if (poll(&poller, 1, (int)left_ms) <= 0)
            continue;
        ssize_t count = read(fd, bytes, sizeof(bytes));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return HD_OK;
        enum hd_code code = hd_buf_append(out, bytes, (size_t)count, err);
        if (code != HD_OK)
            return code;
    }
}

static enum hd_code run_child(const char *source, const char *name, const char *directory,
                              struct hd_buf *out, struct hd_err *err)
{
    int fds[2], status = 0;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return hd_fail(err, HD_E_IO, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        evaluate_and_exit(fds[1], source, name, directory);
    close(fds[1]);
    enum hd_code code = pid < 0 ? hd_fail(err, HD_E_IO, "cannot fork: %s", strerror(errno))
                                : read_answer(fds[0], out, err);
    close(fds[0]);
    if (pid < 0)
        return code;
    if (code != HD_OK)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (code == HD_E_LIMIT)
        return hd_fail(err, HD_E_LIMIT, "%s: it evaluates to more than %u bytes of JSON", name,
                       HD_JSONNET_OUTPUT_MAX);
    if (code != HD_OK || !WIFEXITED(status) || out->size == 0)
        return hd_fail(err, HD_E_LIMIT,
                       "%s: evaluating it takes more than %d s of processor time, or more than "
                       "%u MiB of memory",
                       name, HD_JSONNET_CPU_S_MAX, HD_JSONNET_MEMORY_MAX >> 20);
    return HD_OK;
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct search {
    const char *source;
    size_t left; /* bytes that may still be looked at */
    int line;    /* of the text before */
};

/* The line of the first literal that is this text; 0: none, or a text that is spelled otherwise. */
static int line_of(struct search *search, const char *text)
{
    size_t size = strlen(text);
    int line = 1;
    for (const char *at = search->source; size > 0 && *at != '\0' && search->left > 0; at++) {
        size_t same = 0;
        line += *at == '\n' ? 1 : 0;
        if (*at == '"' || *at == '\'')
            while (same < size && at[1 + same] == text[same])
                same++;
        if (same == size && at[1 + size] == *at)
            return line;
        search->left -= same < search->left ? same + 1 : search->left;
    }
    return 0;
}

static void place(struct hd_value *value, struct search *search)
{
    if (value->kind == HD_VALUE_STRING) {
        int found = line_of(search, value->as.string);
        search->line = found > 0 ? found : search->line;
    }
    value->line = search->line;
    value->column = 0;
    if (value->kind == HD_VALUE_ARRAY)
        for (size_t i = 0; i < value->as.array.count; i++)
            place(value->as.array.items[i], search);
    if (value->kind != HD_VALUE_OBJECT)
        return;
    /* A map stands where its name does. */
    struct hd_value *name = hd_value_get(value, "name");
    if (name != NULL)
        place(name, search);
    value->line = search->line;
    for (size_t i = 0; i < value->as.object.count; i++)
        place(value->as.object.items[i], search);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum hd_code put_source(const char *text, size_t size, const char *uuid,
                               struct hd_buf *source, struct hd_err *err)
{
    static const char word[] = "UUID";
    enum hd_code code = HD_OK;
    for (size_t i = 0; code == HD_OK && i < size;) {
        bool quote = text[i] == '"' || text[i] == '\'';
        bool meant = uuid != NULL && quote && size - i >= sizeof(word) + 1 &&
                     memcmp(text + i + 1, word, sizeof(word) - 1) == 0 &&
                     text[i + sizeof(word)] == text[i];
        if (meant)
            code = hd_buf_printf(source, err, "\"%s\"", uuid);
        else
            code = hd_buf_append(source, text + i, 1, err);
        i += meant ? sizeof(word) + 1 : 1;
    }
    return code;
}

static enum hd_code take_answer(const struct hd_buf *out, const char *source, const char *name,
                                struct hd_value **ret_value, struct hd_err *err)
{
    const char *text = hd_buf_text(out) + 1;
    if (text[-1] != STATUS_GOOD) {
        static const char *const said[] = {"STATIC ERROR: ", "RUNTIME ERROR: "};
        for (size_t i = 0; i < HD_COUNT(said); i++)
            if (strncmp(text, said[i], strlen(said[i])) == 0)
                text += strlen(said[i]);
        size_t size = strlen(text);
        while (size > 0 && text[size - 1] == '\n')
            size--;
        return strncmp(text, name, strlen(name)) == 0
                   ? hd_fail(err, HD_E_INVALID, "%.*s", (int)size, text)
                   : hd_fail(err, HD_E_INVALID, "%s: %.*s", name, (int)size, text);
    }
    struct hd_value_limits limits = hd_value_limits_file;
    limits.bytes_max = HD_JSONNET_OUTPUT_MAX;
    struct hd_value *value;
    enum hd_code code = hd_json_parse(text, out->size - 1, name, &limits, &value, err);
    if (code != HD_OK)
        return code;
    struct search search = {.source = source, .left = SEARCH_BYTES_MAX};
    place(value, &search);
    *ret_value = value;
    return HD_OK;
}

enum hd_code hd_jsonnet_evaluate(const char *text, size_t size, const char *name,
                                 const char *directory, const char *uuid,
                                 struct hd_value **ret_value, struct hd_err *err)
{
    struct hd_buf source, out;
    if (memchr(text, '\0', size) != NULL)
        return hd_fail(err, HD_E_INVALID, "%s: there is a NUL in it", name);
    hd_buf_init(&source, 8 * (size_t)HD_JSONNET_SOURCE_MAX);
    hd_buf_init(&out, HD_JSONNET_OUTPUT_MAX);
    enum hd_code code = put_source(text, size, uuid, &source, err);
    if (code == HD_OK)
        code = run_child(hd_buf_text(&source), name, directory, &out, err);
    if (code == HD_OK)
        code = take_answer(&out, hd_buf_text(&source), name, ret_value, err);
    hd_buf_release(&source);
    hd_buf_release(&out);
    return code;
}

enum hd_code hd_jsonnet_read(const char *path, const char *uuid, struct hd_value **ret_value,
                             struct hd_err *err)
{
    struct hd_buf text;
    char directory[PATH_MAX];
    hd_buf_init(&text, HD_JSONNET_SOURCE_MAX);
    enum hd_code code = hd_file_read(path, HD_JSONNET_SOURCE_MAX, false, &text, err);
    if (code == HD_OK && !hd_copy_text(directory, sizeof(directory), path))
        code = hd_fail(err, HD_E_LIMIT, "the path %s is too long", path);
    if (code == HD_OK) {
        char *slash = strrchr(directory, '/');
        if (slash == NULL)
            (void)hd_copy_text(directory, sizeof(directory), ".");
        else
            slash[slash == directory ? 1 : 0] = '\0';
        code = hd_jsonnet_evaluate(hd_buf_text(&text), text.size, path, directory, uuid, ret_value,
                                   err);
    }
    hd_buf_release(&text);
    return code;
}
