/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_match_values.c: numbers that a target only prints.
 *
 * As in log_match.c nothing in the log is trusted: so many bytes, lines of so much length. A line
 * is taken when it has ended; the last one of a target that is over may lack its end.
 */
#include "contract_internal.h"

#include <hd/os.h>

#include <fcntl.h>
#include <math.h>
#include <regex.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESULT_MS_MAX 5000 /* looking for the result */
#define POLL_MS_MAX 50     /* following the curve; the rest in the next poll */

struct matcher {
    regex_t regexes[HD_OUTPUT_VALUES_MAX];
    size_t count;
};

static bool open_matcher(const struct hd_target *target, struct matcher *matcher)
{
    matcher->count = 0;
    for (size_t i = 0; i < target->from_output_count; i++) {
        if (regcomp(&matcher->regexes[i], target->from_output[i].match, REG_EXTENDED) != 0)
            return false;
        matcher->count++;
    }
    return true;
}

static void close_matcher(struct matcher *matcher)
{
    for (size_t i = 0; i < matcher->count; i++)
        regfree(&matcher->regexes[i]);
}

/* `line` ends with a NUL. */
static bool number_in(const regex_t *regex, const char *line, double *ret_number)
{
    char word[64];
    regmatch_t groups[2];
    if (regexec(regex, line, HD_COUNT(groups), groups, 0) != 0 || groups[1].rm_so < 0)
        return false;
    size_t size = (size_t)(groups[1].rm_eo - groups[1].rm_so);
    if (size == 0 || size >= sizeof(word))
        return false;
    memcpy(word, line + groups[1].rm_so, size);
    word[size] = '\0';
    return hd_parse_double(word, ret_number);
}

/* A carriage return ends a line as well: what draws a bar of progress writes over the line before.
 */
static bool ends_line(char byte)
{
    return byte == '\n' || byte == '\r';
}

/* What is too long is cut; NULs become '?'. */
static void copy_line(const char *bytes, size_t length, char *line)
{
    size_t kept = length < HD_LOG_LINE_MAX ? length : HD_LOG_LINE_MAX;
    memcpy(line, bytes, kept);
    for (size_t i = 0; i < kept; i++)
        if (line[i] == '\0')
            line[i] = '?';
    line[kept] = '\0';
}

/* Copies the next line. The bytes taken, its end included; 0: none is whole. */
static size_t next_line(const char *bytes, size_t size, char *line)
{
    size_t length = 0;
    while (length < size && !ends_line(bytes[length]))
        length++;
    if (length == size)
        return 0;
    copy_line(bytes, length, line);
    return length + 1;
}

/* ---- the result ----------------------------------------------------------------------------- */

/* From the end on, until all are found. A line costs the square of its length with some patterns,
 * and this is the thread that keeps the leases: there is an end to the time as well. */
static void find_last(const struct matcher *matcher, const char *bytes, size_t size,
                      double *numbers, bool *found)
{
    char line[HD_LOG_LINE_MAX + 1];
    int64_t until_ms = hd_clock_ms() + RESULT_MS_MAX;
    size_t left = matcher->count;
    while (size > 0 && left > 0 && hd_clock_ms() < until_ms) {
        size_t end = ends_line(bytes[size - 1]) ? size - 1 : size, begin = end;
        while (begin > 0 && !ends_line(bytes[begin - 1]))
            begin--;
        copy_line(bytes + begin, end - begin, line);
        for (size_t i = 0; i < matcher->count; i++) {
            if (found[i] || !number_in(&matcher->regexes[i], line, &numbers[i]))
                continue;
            found[i] = true;
            left--;
        }
        size = begin;
    }
}

/* Every objective and constraint must have been printed, where the experiment asks for it. */
static const char *missing_one(const struct hd_experiment *experiment, const bool *found)
{
    const struct hd_target *target = &experiment->target;
    for (size_t i = 0; i < target->from_output_count; i++) {
        bool measure = hd_streq(target->from_output[i].name, experiment->objective.name);
        for (size_t m = 0; m < hd_experiment_measure_count(experiment); m++)
            measure = measure || hd_streq(target->from_output[i].name,
                                          hd_experiment_measure_name(experiment, m));
        if (measure && !found[i])
            return target->from_output[i].name;
    }
    return NULL;
}

static enum hd_code write_object(const struct hd_target *target, const double *numbers,
                                 const bool *found, struct hd_buf *out)
{
    struct hd_value *object = hd_value_new_object();
    enum hd_code code = object != NULL ? HD_OK : HD_E_NOMEM;
    bool any = false;
    for (size_t i = 0; i < target->from_output_count && code == HD_OK; i++) {
        if (!found[i])
            continue;
        code = hd_value_set(object, target->from_output[i].name, hd_value_new_double(numbers[i]));
        any = true;
    }
    if (code == HD_OK && any)
        code = hd_json_write(object, HD_JSON_COMPACT, out, NULL);
    hd_value_free(object);
    return code;
}

void hd_output_result(const char *run_dir, const struct hd_experiment *experiment,
                      struct hd_buf *out, const char **ret_missing)
{
    const struct hd_target *target = &experiment->target;
    char path[HD_PATH_MAX], *bytes = NULL;
    struct matcher matcher;
    double numbers[HD_OUTPUT_VALUES_MAX];
    bool found[HD_OUTPUT_VALUES_MAX] = {false};
    *ret_missing = NULL;
    if (target->from_output_count == 0 || !hd_format(path, sizeof(path), "%s/log.txt", run_dir) ||
        (bytes = hd_malloc(HD_OUTPUT_TAIL_BYTES)) == NULL)
        return;
    if (open_matcher(target, &matcher))
        find_last(&matcher, bytes, hd_log_tail(path, bytes, HD_OUTPUT_TAIL_BYTES), numbers, found);
    close_matcher(&matcher);
    *ret_missing = missing_one(experiment, found);
    if (*ret_missing == NULL && write_object(target, numbers, found, out) != HD_OK)
        hd_buf_clear(out);
    hd_free(bytes);
}

/* ---- the curve ------------------------------------------------------------------------------ */

/* The file at its place; where it was cut or replaced, at its end or its beginning. */
static int open_log(struct hd_output *output, const char *run_dir)
{
    char path[HD_PATH_MAX];
    struct stat st;
    if (!hd_format(path, sizeof(path), "%s/log.txt", run_dir))
        return -1;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return -1;
    }
    if (fd >= 0 && (output->device != st.st_dev || output->inode != st.st_ino))
        *output = (struct hd_output){.device = st.st_dev, .inode = st.st_ino};
    else if (fd >= 0 && st.st_size < output->offset)
        output->offset = st.st_size;
    return fd;
}

static bool point_in(struct hd_output *output, const struct matcher *matcher,
                     const struct hd_experiment *experiment, const char *line,
                     struct hd_point *point)
{
    const struct hd_target *target = &experiment->target;
    bool found = false;
    for (size_t i = 0; i < matcher->count; i++) {
        const char *name = target->from_output[i].name;
        double number;
        if (!number_in(&matcher->regexes[i], line, &number) || !isfinite(number))
            continue;
        if (hd_streq(name, "step")) {
            output->step = number;
            output->has_step = true;
        } else if (hd_streq(name, experiment->objective.name) || hd_streq(name, "loss")) {
            point->loss = experiment->objective.maximize ? -number : number;
            found = true;
        }
    }
    if (found)
        point->step = output->has_step ? output->step : (double)++output->points;
    return found;
}

size_t hd_output_read(struct hd_output *output, const char *run_dir,
                      const struct hd_experiment *experiment, struct hd_attempt_ref attempt,
                      struct hd_point *ret_points, size_t points_max)
{
    struct matcher matcher;
    char line[HD_LOG_LINE_MAX + 1], *chunk = NULL;
    size_t count = 0, at = 0, taken = 0;
    int fd = experiment->target.from_output_count > 0 ? open_log(output, run_dir) : -1;
    if (fd < 0)
        return 0;
    chunk = hd_malloc(HD_OUTPUT_POLL_BYTES_MAX);
    ssize_t got = chunk != NULL ? pread(fd, chunk, HD_OUTPUT_POLL_BYTES_MAX, output->offset) : 0;
    size_t size = got > 0 ? (size_t)got : 0;
    int64_t until_ms = hd_clock_ms() + POLL_MS_MAX;
    if (open_matcher(&experiment->target, &matcher))
        while (count < points_max && (at == 0 || hd_clock_ms() < until_ms) &&
               (taken = next_line(chunk + at, size - at, line)) > 0) {
            at += taken;
            if (point_in(output, &matcher, experiment, line, &ret_points[count]))
                ret_points[count++].attempt = attempt;
        }
    close_matcher(&matcher);
    /* A line that fills all that is read will never be whole. */
    output->offset += at > 0 ? (int64_t)at : size == HD_OUTPUT_POLL_BYTES_MAX ? (int64_t)size : 0;
    hd_free(chunk);
    close(fd);
    return count;
}
