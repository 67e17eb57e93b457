/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a record. All are small, written whole, and read within limits. They are not synced:
 * a power cut ends the targets too. */
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPEC_VERSION "hyperdock-shim 5"
#define SPEC_WORDS_MAX 1000000u
#define LINE_MAX_BYTES 4096

bool hd_record_path(const char *record, const char *name, char *ret_path)
{
    return hd_format(ret_path, HD_RECORD_PATH_MAX, "%s/%s", record, name);
}

static enum hd_code path_of(const char *record, const char *name, char *ret_path,
                            struct hd_err *err)
{
    return hd_record_path(record, name, ret_path)
               ? HD_OK
               : hd_fail(err, HD_E_LIMIT, "the path of %s is too long", record);
}

static enum hd_code write_text(const char *record, const char *name, const char *text, size_t size,
                               struct hd_err *err)
{
    char path[HD_RECORD_PATH_MAX];
    enum hd_code code = path_of(record, name, path, err);
    return code == HD_OK ? hd_file_replace(path, text, size, 0600, err) : code;
}

static enum hd_code read_text(const char *record, const char *name, char *ret_text, size_t size,
                              struct hd_err *err)
{
    char path[HD_RECORD_PATH_MAX];
    struct hd_buf buf;
    hd_buf_init(&buf, size);
    enum hd_code code = path_of(record, name, path, err);
    if (code == HD_OK)
        code = hd_file_read(path, size - 1, true, &buf, err);
    if (code == HD_OK)
        (void)hd_copy_text(ret_text, size, hd_buf_text(&buf));
    hd_buf_release(&buf);
    return code;
}

/* ---- spec: texts, each with its NUL --------------------------------------------------------- */

static void put_text(struct hd_buf *out, const char *text, enum hd_code *code, struct hd_err *err)
{
    if (*code == HD_OK)
        *code = hd_buf_append(out, text, strlen(text) + 1, err);
}

static void put_number(struct hd_buf *out, uint64_t number, enum hd_code *code, struct hd_err *err)
{
    char text[32];
    hd_format(text, sizeof(text), "%" PRIu64, number);
    put_text(out, text, code, err);
}

static void put_words(struct hd_buf *out, char *const *words, enum hd_code *code,
                      struct hd_err *err)
{
    size_t count = 0;
    while (words != NULL && words[count] != NULL)
        count++;
    put_number(out, count, code, err);
    for (size_t i = 0; i < count; i++)
        put_text(out, words[i], code, err);
}

enum hd_code hd_record_write_spec(const char *record, const struct hd_record_spec *spec,
                                  struct hd_err *err)
{
    struct hd_buf out;
    enum hd_code code = HD_OK;
    hd_buf_init(&out, HD_RECORD_BYTES_MAX);
    put_text(&out, SPEC_VERSION, &code, err);
    put_text(&out, spec->run_dir, &code, err);
    put_text(&out, spec->log_path, &code, err);
    put_text(&out, spec->cwd, &code, err);
    put_number(&out, (uint64_t)spec->timeout_ms, &code, err);
    put_number(&out, (uint64_t)spec->grace_ms, &code, err);
    put_number(&out, spec->memory_bytes, &code, err);
    put_number(&out, spec->pids, &code, err);
    put_number(&out, spec->cpus, &code, err);
    put_number(&out, spec->turn, &code, err);
    put_text(&out, spec->cgroup, &code, err);
    put_number(&out, spec->cpu_millis, &code, err);
    put_text(&out, spec->user, &code, err);
    put_text(&out, spec->program, &code, err);
    put_words(&out, spec->argv, &code, err);
    put_words(&out, spec->env, &code, err);
    if (code == HD_OK)
        code = write_text(record, "spec", hd_buf_text(&out), out.size, err);
    hd_buf_release(&out);
    return code;
}

struct spec_reader {
    const char *at, *end;
    struct hd_arena *arena;
    bool bad;
};

static const char *take_text(struct spec_reader *reader)
{
    const char *end =
        reader->bad ? NULL : memchr(reader->at, '\0', (size_t)(reader->end - reader->at));
    char *copy = end != NULL ? hd_arena_strdup(reader->arena, reader->at) : NULL;
    if (copy == NULL) {
        reader->bad = true;
        return "";
    }
    reader->at = end + 1;
    return copy;
}

static uint64_t take_number(struct spec_reader *reader)
{
    uint64_t number = 0;
    if (!hd_parse_u64(take_text(reader), &number))
        reader->bad = true;
    return number;
}

static char **take_words(struct spec_reader *reader)
{
    uint64_t count = take_number(reader);
    char **words = !reader->bad && count <= SPEC_WORDS_MAX
                       ? hd_arena_alloc(reader->arena, (count + 1) * sizeof(*words))
                       : NULL;
    if (words == NULL)
        reader->bad = true;
    for (uint64_t i = 0; i < count && !reader->bad; i++)
        words[i] = (char *)(uintptr_t)take_text(reader); /* the arena's own copy */
    return words;
}

enum hd_code hd_record_read_spec(const char *record, struct hd_arena *arena,
                                 struct hd_record_spec *ret_spec, struct hd_err *err)
{
    char path[HD_RECORD_PATH_MAX];
    struct hd_buf buf;
    hd_buf_init(&buf, HD_RECORD_BYTES_MAX + 1);
    enum hd_code code = path_of(record, "spec", path, err);
    if (code == HD_OK)
        code = hd_file_read(path, HD_RECORD_BYTES_MAX, true, &buf, err);
    if (code == HD_OK) {
        struct spec_reader reader = {hd_buf_text(&buf), hd_buf_text(&buf) + buf.size, arena, false};
        bool known = hd_streq(take_text(&reader), SPEC_VERSION);
        struct hd_record_spec spec = {0};
        spec.run_dir = take_text(&reader);
        spec.log_path = take_text(&reader);
        spec.cwd = take_text(&reader);
        spec.timeout_ms = (int64_t)take_number(&reader);
        spec.grace_ms = (int64_t)take_number(&reader);
        spec.memory_bytes = take_number(&reader);
        spec.pids = take_number(&reader);
        spec.cpus = take_number(&reader);
        spec.turn = take_number(&reader);
        spec.cgroup = take_text(&reader);
        spec.cpu_millis = take_number(&reader);
        spec.user = take_text(&reader);
        spec.program = take_text(&reader);
        spec.argv = take_words(&reader);
        spec.env = take_words(&reader);
        if (!known || reader.bad || spec.argv[0] == NULL)
            code = hd_fail(err, HD_E_CORRUPT, "%s is not a record of this version", path);
        else
            *ret_spec = spec;
    }
    hd_buf_release(&buf);
    return code;
}

/* ---- owner ---------------------------------------------------------------------------------- */

static enum hd_code read_owner(const char *record, struct hd_record_owner *ret_owner,
                               struct hd_err *err)
{
    char text[64];
    long pid = 0;
    unsigned long long ticks = 0;
    enum hd_code code = read_text(record, "owner", text, sizeof(text), err);
    if (code != HD_OK)
        return code;
    if (sscanf(text, "%ld %llu", &pid, &ticks) != 2)
        return hd_fail(err, HD_E_CORRUPT, "%s/owner does not name a process", record);
    *ret_owner = (struct hd_record_owner){(pid_t)pid, ticks};
    return HD_OK;
}

enum hd_code hd_record_claim(const char *record, struct hd_record_owner owner,
                             struct hd_record_owner *ret_owner, struct hd_err *err)
{
    char path[HD_RECORD_PATH_MAX], temporary[HD_RECORD_PATH_MAX], name[64], text[64];
    enum hd_code code = read_owner(record, ret_owner, err);
    if (code != HD_E_NOTFOUND)
        return code;
    hd_format(name, sizeof(name), "owner.%ld", (long)getpid());
    hd_format(text, sizeof(text), "%ld %llu\n", (long)owner.pid, (unsigned long long)owner.ticks);
    code = path_of(record, "owner", path, err);
    if (code == HD_OK)
        code = path_of(record, name, temporary, err);
    if (code == HD_OK)
        code = write_text(record, name, text, strlen(text), err);
    if (code != HD_OK)
        return code;
    int failed = link(temporary, path) != 0 && errno != EEXIST ? errno : 0;
    (void)unlink(temporary);
    if (failed != 0)
        return hd_fail(err, HD_E_IO, "cannot create %s: %s", path, strerror(failed));
    return read_owner(record, ret_owner, err);
}

/* ---- end and numbers ------------------------------------------------------------------------ */

enum hd_code hd_record_write_end(const char *record, const struct hd_engine_end *end,
                                 struct hd_err *err)
{
    char text[LINE_MAX_BYTES];
    if (!hd_format(text, sizeof(text), "%d %d %d %d %d %d %lld %lld\n%s", (int)end->kind,
                   end->exit_code, end->oom_killed, end->config_error, end->timed_out, end->stopped,
                   (long long)end->started_wall_ms, (long long)end->finished_wall_ms, end->message))
        return hd_fail(err, HD_E_LIMIT, "an end is too long to be recorded");
    return write_text(record, "end", text, strlen(text), err);
}

enum hd_code hd_record_read_end(const char *record, struct hd_engine_end *ret_end,
                                struct hd_err *err)
{
    char text[LINE_MAX_BYTES];
    int kind, exit_code, flags[4], used = 0;
    long long started, finished;
    enum hd_code code = read_text(record, "end", text, sizeof(text), err);
    if (code != HD_OK)
        return code;
    if (sscanf(text, "%d %d %d %d %d %d %lld %lld%n", &kind, &exit_code, &flags[0], &flags[1],
               &flags[2], &flags[3], &started, &finished, &used) != 8 ||
        kind < HD_END_EXITED || kind > HD_END_ENGINE_LOST || text[used] != '\n')
        return hd_fail(err, HD_E_CORRUPT, "%s/end is not an end", record);
    struct hd_engine_end end = {
        .kind = (enum hd_engine_end_kind)kind,
        .exit_code = exit_code,
        .oom_killed = flags[0] != 0,
        .config_error = flags[1] != 0,
        .timed_out = flags[2] != 0,
        .stopped = flags[3] != 0,
        .started_wall_ms = started,
        .finished_wall_ms = finished,
    };
    (void)hd_copy_text(end.message, sizeof(end.message), text + used + 1);
    *ret_end = end;
    return HD_OK;
}

enum hd_code hd_record_write_number(const char *record, const char *name, int64_t number,
                                    struct hd_err *err)
{
    char text[32];
    hd_format(text, sizeof(text), "%" PRId64, number);
    return write_text(record, name, text, strlen(text), err);
}

enum hd_code hd_record_read_number(const char *record, const char *name, int64_t *ret_number,
                                   struct hd_err *err)
{
    char text[32];
    enum hd_code code = read_text(record, name, text, sizeof(text), err);
    if (code == HD_OK && !hd_parse_i64(text, ret_number))
        code = hd_fail(err, HD_E_CORRUPT, "%s/%s is not a number", record, name);
    return code;
}
