/* SPDX-License-Identifier: Apache-2.0 */
/* log.c: one line each on stderr. A line is written by one call, so that lines of several
 * programs on one terminal do not mix. */
#include "os_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define GATE_MS 1000

static char program_name[64] = "hyperdock";
static atomic_int level_max = HD_LOG_INFO;
static atomic_int format_now = HD_LOG_TEXT;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void hd_log_open(const char *program, enum hd_log_level level)
{
    hd_copy_text(program_name, sizeof(program_name), program);
    atomic_store(&level_max, (int)level);
}

enum hd_code hd_log_level_parse(const char *name, enum hd_log_level *ret_level, struct hd_err *err)
{
    for (size_t i = 0; i < HD_COUNT(level_names); i++)
        if (hd_streq(name, level_names[i])) {
            *ret_level = (enum hd_log_level)i;
            return HD_OK;
        }
    if (hd_streq(name, "warn")) {
        *ret_level = HD_LOG_WARNING;
        return HD_OK;
    }
    return hd_fail(err, HD_E_INVALID, "\"%s\" is no log level: say error, warning, info or debug",
                   name);
}

void hd_log_set_format(enum hd_log_format format)
{
    atomic_store(&format_now, (int)format);
}

enum hd_code hd_log_format_parse(const char *name, enum hd_log_format *ret_format,
                                 struct hd_err *err)
{
    if (!hd_streq(name, "text") && !hd_streq(name, "json"))
        return hd_fail(err, HD_E_INVALID, "\"%s\" is no log format: say text or json", name);
    *ret_format = hd_streq(name, "json") ? HD_LOG_JSON : HD_LOG_TEXT;
    return HD_OK;
}

enum hd_code hd_log_start(const char *program, const struct hd_log_words *words, struct hd_err *err)
{
    enum hd_log_level level = HD_LOG_INFO;
    enum hd_log_format format = HD_LOG_TEXT;
    if (words->level != NULL && hd_log_level_parse(words->level, &level, err) != HD_OK)
        return hd_fail_in(err, "--log-level");
    if (words->format != NULL && hd_log_format_parse(words->format, &format, err) != HD_OK)
        return hd_fail_in(err, "--log-format");
    hd_log_open(program, level);
    hd_log_set_format(format);
    return HD_OK;
}

bool hd_log_shows(enum hd_log_level level)
{
    return (int)level <= atomic_load(&level_max);
}

/* What others sent us may hold line ends and escapes; a log line has none. */
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = ' ';
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* How many bytes of a UTF-8 character begin here; 0: none does. */
static size_t character_size(const unsigned char *at)
{
    size_t size = at[0] < 0x80                    ? 1
                  : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                  : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates and what lies beyond U+10FFFF are no characters. */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
        return 0;
    return size;
}

/* The text has no control characters any more. What does not fit is left out. */
static void put_string(struct hd_buf *out, const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    (void)!hd_buf_puts(out, "\"", NULL);
    while (at < end) {
        size_t step = character_size(at);
        if (step == 0 || step > (size_t)(end - at))
            (void)!hd_buf_puts(out, "?", NULL);
        else if (*at == '"' || *at == '\\')
            (void)!hd_buf_printf(out, NULL, "\\%c", *at);
        else
            (void)!hd_buf_append(out, at, step, NULL);
        at += step == 0 || step > (size_t)(end - at) ? 1 : step;
    }
    (void)!hd_buf_puts(out, "\"", NULL);
}

/* What follows "word " at the beginning of a word of the text; NULL when there is none. */
static const char *after_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += size)
        if ((at == text || at[-1] == ' ' || at[-1] == '(') && at[size] == ' ')
            return at + size + 1;
    return NULL;
}

static void put_number_after(struct hd_buf *out, const char *text, const char *word)
{
    const char *at = after_word(text, word);
    size_t size = at != NULL ? strspn(at, "0123456789") : 0;
    if (size > 0 && size < 12)
        (void)!hd_buf_printf(out, NULL, ",\"%s\":%.*s", word, (int)size, at);
}

/* An id: what may stand in one, up to the first other character. */
static void put_id_after(struct hd_buf *out, const char *text, const char *word)
{
    const char *at = after_word(text, word);
    size_t size = at != NULL ? strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789._-")
                             : 0;
    if (size == 0)
        return;
    (void)!hd_buf_printf(out, NULL, ",\"%s\":", word);
    put_string(out, at, size);
}

static void write_json(enum hd_log_level level, const char *when, const char *run_id,
                       const char *text)
{
    struct hd_buf line;
    hd_buf_init(&line, 4 * LINE_MAX_BYTES);
    (void)!hd_buf_printf(&line, NULL, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", when,
                         level_names[level]);
    put_string(&line, program_name, strlen(program_name));
    if (run_id != NULL && run_id[0] != '\0') {
        (void)!hd_buf_puts(&line, ",\"run\":", NULL);
        put_string(&line, run_id, strlen(run_id));
    } else {
        put_id_after(&line, text, "run");
    }
    put_number_after(&line, text, "job");
    put_number_after(&line, text, "attempt");
    put_id_after(&line, text, "worker");
    (void)!hd_buf_puts(&line, ",\"text\":", NULL);
    put_string(&line, text, strlen(text));
    if (hd_buf_puts(&line, "}\n", NULL) == HD_OK)
        (void)hd_write_all(STDERR_FILENO, line.data, line.size);
    hd_buf_release(&line);
}

/* ---- a line --------------------------------------------------------------------------------- */

static void write_text(enum hd_log_level level, const char *when, const char *text)
{
    char line[LINE_MAX_BYTES + 128];
    int size = snprintf(line, sizeof(line), "%s %s %s: %s\n", when, level_names[level],
                        program_name, text);
    if (size > 0)
        (void)hd_write_all(STDERR_FILENO, line, (size_t)size);
}

static void HD_PRINTF(3, 0)
    write_line(enum hd_log_level level, const char *run_id, const char *fmt, va_list args)
{
    char text[LINE_MAX_BYTES], when[HD_TIME_TEXT_SIZE];
    if (!hd_log_shows(level) || vsnprintf(text, sizeof(text), fmt, args) < 0)
        return;
    make_one_line(text);
    hd_time_format(when, sizeof(when), hd_clock_wall_ms());
    if (atomic_load(&format_now) == HD_LOG_JSON)
        write_json(level, when, run_id, text);
    else
        write_text(level, when, text);
}

void hd_log(enum hd_log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(level, NULL, fmt, args);
    va_end(args);
}

void hd_log_run(enum hd_log_level level, const char *run_id, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(level, run_id, fmt, args);
    va_end(args);
}

void hd_log_gated(struct hd_log_gate *gate, enum hd_log_level level, const char *fmt, ...)
{
    int64_t now_ms = hd_clock_ms();
    if (now_ms < gate->next_ms) {
        gate->left_out++;
        return;
    }
    if (gate->left_out > 0)
        hd_log(level, "%llu lines like the next one were left out",
               (unsigned long long)gate->left_out);
    gate->left_out = 0;
    gate->next_ms = now_ms + GATE_MS;
    va_list args;
    va_start(args, fmt);
    write_line(level, NULL, fmt, args);
    va_end(args);
}
