/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_match.c: which of the experiment's log rules the end of a target's log matches.
 *
 * The target may have written anything there: no links are followed, only so many bytes and lines
 * of so much length are looked at, and the patterns have been bounded when the experiment was read.
 */
#include "contract_internal.h"

#include <fcntl.h>
#include <regex.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

size_t hd_log_tail(const char *path, char *bytes, size_t size_max)
{
    struct stat st;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        off_t from = st.st_size > (off_t)size_max ? st.st_size - (off_t)size_max : 0;
        got = pread(fd, bytes, size_max, from);
    }
    close(fd);
    size_t size = got > 0 ? (size_t)got : 0;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] == '\0')
            bytes[i] = '?';
    return size;
}

static bool matches_line(const regex_t *regex, const char *line, size_t size)
{
    char text[HD_LOG_LINE_MAX + 1];
    size = size < HD_LOG_LINE_MAX ? size : HD_LOG_LINE_MAX;
    memcpy(text, line, size);
    text[size] = '\0';
    return regexec(regex, text, 0, NULL, 0) == 0;
}

static bool matches(const struct hd_log_rule *rule, const char *bytes, size_t size)
{
    regex_t regex;
    bool found = false;
    if (regcomp(&regex, rule->match, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    for (size_t at = 0; at < size && !found;) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (bytes + at)) : size - at;
        found = matches_line(&regex, bytes + at, length);
        at += length + 1;
    }
    regfree(&regex);
    return found;
}

uint32_t hd_log_match(const char *run_dir, const struct hd_experiment *experiment)
{
    char path[HD_PATH_MAX];
    if (experiment->log_rule_count == 0 || !hd_format(path, sizeof(path), "%s/log.txt", run_dir))
        return 0;
    char *bytes = hd_malloc(HD_LOG_TAIL_BYTES);
    if (bytes == NULL)
        return 0;
    size_t size = hd_log_tail(path, bytes, HD_LOG_TAIL_BYTES);
    uint32_t rule = 0;
    for (size_t i = 0; i < experiment->log_rule_count && rule == 0; i++)
        if (matches(&experiment->log_rules[i], bytes, size))
            rule = (uint32_t)i + 1;
    hd_free(bytes);
    return rule;
}
