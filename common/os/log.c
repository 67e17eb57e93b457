/* SPDX-License-Identifier: Apache-2.0 */
/* log.c: one line each on stderr. A line is written by one call, so that lines of several
 * programs on one terminal do not mix. */
#include "os_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static char program_name[64] = "hyperdock";
static atomic_int level_max = HD_LOG_INFO;

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

void hd_log(enum hd_log_level level, const char *fmt, ...)
{
    if (!hd_log_shows(level))
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (wanted < 0)
        return;
    make_one_line(text);
    char when[HD_TIME_TEXT_SIZE];
    hd_time_format(when, sizeof(when), hd_clock_wall_ms());
    char line[LINE_MAX_BYTES + 128];
    int size = snprintf(line, sizeof(line), "%s %s %s: %s\n", when, level_names[level],
                        program_name, text);
    if (size > 0)
        (void)hd_write_all(STDERR_FILENO, line, (size_t)size);
}
