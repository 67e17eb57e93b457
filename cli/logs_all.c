/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs_all.c: the logs of all attempts of a run, each line with whose it is.
 *
 * Which attempts there are is what the facts say, so none is missed, however short it was. Of those
 * that run at the same time whole lines are mixed, never parts of them.
 */
#include "logs.h"

#include "common/safe_text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE 500
#define POLL_MS 300
#define STREAMS_MAX 256 /* attempts that run at the same time */
#define LINE_BYTES_MAX 16384

struct stream {
    bool used;
    int64_t job, attempt;
    FILE *file; /* NULL: not there yet, or elsewhere */
    char line[LINE_BYTES_MAX];
    size_t size;
};

struct all {
    struct cli_source *source;
    const char *state_dir;
    char run_id[HD_ID_MAX + 1];
    int64_t after;
    struct stream *streams; /* STREAMS_MAX */
    uint64_t elsewhere;     /* logs that are not on this machine */
};

/* ---- one log --------------------------------------------------------------------------------- */

/* On a terminal no line reaches beyond itself. */
static void print_line(const struct stream *stream)
{
    char shown[LINE_BYTES_MAX + CLI_SAFE_HELD_MAX];
    struct cli_safe_text safe = {.lines = true};
    bool terminal = isatty(STDOUT_FILENO) == 1;
    size_t size = terminal ? cli_safe_text(&safe, stream->line, stream->size, shown) : stream->size;
    printf("%lld-%lld| %.*s%s\n", (long long)stream->job, (long long)stream->attempt, (int)size,
           terminal ? shown : stream->line, safe.coloured ? "\033[0m" : "");
}

static void take_bytes(struct stream *stream, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n' || stream->size == sizeof(stream->line)) {
            print_line(stream);
            stream->size = 0;
        }
        if (bytes[i] != '\n')
            stream->line[stream->size++] = bytes[i];
    }
}

static void open_log(const struct all *all, struct stream *stream)
{
    char path[LOGS_PATH_MAX];
    int fd;
    struct hd_err ignored;
    if (logs_find(all->state_dir, all->run_id, stream->job, stream->attempt, path) &&
        hd_file_open_regular(path, &fd, &ignored) == HD_OK &&
        (stream->file = fdopen(fd, "rb")) == NULL)
        close(fd);
}

/* What has been written since the last call. */
static void read_on(const struct all *all, struct stream *stream)
{
    char bytes[16384];
    size_t size;
    if (stream->file == NULL)
        open_log(all, stream);
    if (stream->file == NULL)
        return;
    clearerr(stream->file); /* at the end of a file that grows */
    while ((size = fread(bytes, 1, sizeof(bytes), stream->file)) > 0)
        take_bytes(stream, bytes, size);
}

static void close_stream(struct all *all, struct stream *stream)
{
    read_on(all, stream);
    if (stream->size > 0)
        print_line(stream);
    if (stream->file == NULL)
        all->elsewhere++;
    else
        fclose(stream->file);
    stream->used = false;
}

/* ---- which logs ------------------------------------------------------------------------------ */

static struct stream *find(struct all *all, int64_t job, int64_t attempt)
{
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (all->streams[i].used && all->streams[i].job == job &&
            all->streams[i].attempt == attempt)
            return &all->streams[i];
    return NULL;
}

static enum hd_code add(struct all *all, const struct hd_value *event, struct hd_err *err)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        struct stream *stream = &all->streams[i];
        if (stream->used)
            continue;
        stream->used = true;
        stream->file = NULL;
        stream->size = 0;
        stream->job = cli_integer(event, "job");
        stream->attempt = cli_integer(event, "attempt");
        return HD_OK;
    }
    return hd_fail(err, HD_E_LIMIT,
                   "more than %d attempts run at the same time: hd logs JOB shows one",
                   STREAMS_MAX);
}

static enum hd_code take_event(struct all *all, const struct hd_value *event, struct hd_err *err)
{
    const char *kind = cli_text(event, "kind");
    if (hd_streq(kind, "attempt-leased"))
        return add(all, event, err);
    struct stream *stream = hd_streq(kind, "attempt-ended") ? find(all, cli_integer(event, "job"),
                                                                   cli_integer(event, "attempt"))
                                                            : NULL;
    if (stream != NULL)
        close_stream(all, stream);
    return HD_OK;
}

/* The facts since the last call, at most a page. */
static enum hd_code take_events(struct all *all, size_t *ret_count, struct hd_err *err)
{
    struct hd_value *arguments = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&arguments, "after", hd_value_new_int(all->after), err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "limit", hd_value_new_int(PAGE), err);
    if (code == HD_OK)
        code = cli_read(all->source, "events", arguments, &answer, err);
    hd_value_free(arguments);
    if (code != HD_OK)
        return code;
    const struct hd_value *events = hd_value_get(answer, "events");
    *ret_count = events->as.array.count;
    all->after = cli_integer(answer, "next");
    for (size_t i = 0; code == HD_OK && i < events->as.array.count; i++)
        code = take_event(all, events->as.array.items[i], err);
    hd_value_free(answer);
    return code;
}

static enum hd_code read_status(struct all *all, bool *ret_over, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    enum hd_code code = cli_read(all->source, "status", NULL, &answer, err);
    if (code != HD_OK)
        return code;
    const char *state = cli_text(answer, "state");
    *ret_over = hd_streq(state, "finished") || hd_streq(state, "cancelled");
    (void)hd_copy_text(all->run_id, sizeof(all->run_id), cli_text(answer, "run_id"));
    hd_value_free(answer);
    return HD_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum hd_code print_all(struct all *all, bool follow, struct hd_err *err)
{
    bool over = false;
    for (;;) {
        size_t count = 0;
        enum hd_code code = take_events(all, &count, err);
        for (size_t i = 0; i < STREAMS_MAX; i++)
            if (all->streams[i].used)
                read_on(all, &all->streams[i]);
        fflush(stdout);
        if (code != HD_OK || ferror(stdout) != 0 || (count == 0 && (over || !follow)))
            return code;
        if (count > 0)
            continue;
        code = read_status(all, &over, err);
        if (code != HD_OK)
            return code;
        if (!over)
            (void)poll(NULL, 0, POLL_MS);
    }
}

enum hd_code logs_print_all(struct cli_source *source, const char *state_dir, bool follow,
                            struct hd_err *err)
{
    struct all all = {.source = source, .state_dir = state_dir};
    bool over;
    all.streams = hd_calloc(STREAMS_MAX, sizeof(*all.streams));
    if (all.streams == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for logs");
    enum hd_code code = read_status(&all, &over, err);
    if (code == HD_OK)
        code = print_all(&all, follow, err);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        if (all.streams[i].used)
            close_stream(&all, &all.streams[i]);
    hd_free(all.streams);
    if (code == HD_OK && all.elsewhere > 0)
        fprintf(stderr, "hd logs: %llu logs are not on this machine\n",
                (unsigned long long)all.elsewhere);
    return code;
}
