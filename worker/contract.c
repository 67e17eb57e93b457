/* SPDX-License-Identifier: Apache-2.0 */
/* What a target gives back: loss.json at its end, metrics.jsonl while it runs. */
#include "contract_internal.h"

#include <hd/graphs.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- loss.json ------------------------------------------------------------------------------ */

static bool is_blank(const struct hd_buf *buf)
{
    const char *text = hd_buf_text(buf);
    return buf->size == strspn(text, " \t\r\n");
}

/* It wrote no loss.json, and is not expected to. */
static void read_output(const char *run_dir, const struct hd_experiment *experiment,
                        struct hd_buf *buf, struct hd_loss *ret_loss)
{
    const char *missing;
    hd_buf_clear(buf);
    hd_output_result(run_dir, experiment, buf, &missing);
    hd_loss_parse(hd_buf_text(buf), buf->size, experiment, ret_loss);
    if (missing != NULL)
        (void)hd_format(ret_loss->message, sizeof(ret_loss->message),
                        "loss.json is empty, and no line of the end of its output matches "
                        "target.from_output.%s with a number",
                        missing);
}

void hd_loss_read(const char *run_dir, const struct hd_experiment *experiment,
                  struct hd_loss *ret_loss)
{
    char path[HD_PATH_MAX];
    struct hd_buf buf;
    struct hd_err err;
    hd_buf_init(&buf, HD_LOSS_BYTES_MAX + 1);
    enum hd_code code = HD_E_LIMIT;
    err.text[0] = '\0';
    if (hd_format(path, sizeof(path), "%s/loss.json", run_dir))
        code = hd_file_read(path, HD_LOSS_BYTES_MAX, true, &buf, &err);
    if (code == HD_OK && is_blank(&buf) && experiment != NULL &&
        experiment->target.from_output_count > 0) {
        read_output(run_dir, experiment, &buf, ret_loss);
    } else if (code == HD_OK) {
        hd_loss_parse(hd_buf_text(&buf), buf.size, experiment, ret_loss);
    } else {
        *ret_loss = (struct hd_loss){.loss = NAN};
        const char *name = strstr(err.text, "loss.json");
        (void)hd_copy_text(ret_loss->message, sizeof(ret_loss->message),
                           code == HD_E_NOTFOUND ? "loss.json is not there"
                           : name != NULL        ? name
                                                 : err.text);
    }
    hd_buf_release(&buf);
}

/* As early targets call it, and as it is called. */
char *hd_graphs_gather(const char *run_dir)
{
    static const char *const names[] = {"graphs.json", "graph.json"};
    char *gathered = NULL;
    for (size_t i = 0; i < HD_COUNT(names) && gathered == NULL; i++) {
        char path[HD_PATH_MAX];
        struct hd_buf text, summary;
        struct hd_value *graphs = NULL;
        struct hd_err ignored;
        hd_buf_init(&text, HD_GRAPHS_BYTES_MAX + 1);
        hd_buf_init(&summary, HD_RESULT_GRAPHS_MAX);
        if (hd_format(path, sizeof(path), "%s/%s", run_dir, names[i]) &&
            hd_file_read(path, HD_GRAPHS_BYTES_MAX, true, &text, &ignored) == HD_OK &&
            hd_graphs_parse(hd_buf_text(&text), text.size, &graphs, &ignored) == HD_OK &&
            hd_graphs_summary(graphs, HD_RESULT_GRAPHS_MAX - 1, &summary, &ignored) == HD_OK &&
            summary.size > 0)
            gathered = hd_strdup(hd_buf_text(&summary));
        hd_value_free(graphs);
        hd_buf_release(&text);
        hd_buf_release(&summary);
    }
    return gathered;
}

void hd_contract_finish(const char *run_dir, const struct hd_experiment *experiment)
{
    char log[HD_PATH_MAX], docker_log[HD_PATH_MAX];
    if (!experiment->target.as_hyperdock || !hd_format(log, sizeof(log), "%s/log.txt", run_dir) ||
        !hd_format(docker_log, sizeof(docker_log), "%s/docker_log.txt", run_dir))
        return;
    /* Whatever the target put there, a link as well, is replaced. */
    if ((unlink(docker_log) != 0 && errno != ENOENT) || link(log, docker_log) != 0)
        hd_log(HD_LOG_WARNING, "cannot make %s: %s", docker_log, strerror(errno));
}

/* ---- metrics.jsonl -------------------------------------------------------------------------- */

static bool number_of(const struct hd_value *object, const char *const *keys, size_t count,
                      double *ret_number)
{
    for (size_t i = 0; i < count; i++) {
        const struct hd_value *value = keys[i] != NULL ? hd_value_get(object, keys[i]) : NULL;
        if (hd_value_is_number(value) && isfinite(hd_value_number(value))) {
            *ret_number = hd_value_number(value);
            return true;
        }
    }
    return false;
}

static bool read_point(const char *line, size_t size, uint64_t number,
                       const struct hd_experiment *experiment, struct hd_point *point)
{
    static const char *const step_keys[] = {"step", "epoch", "iteration", "budget"};
    struct hd_value *value = NULL;
    struct hd_err err;
    if (hd_json_parse(line, size, "metrics.jsonl", &hd_value_limits_target, &value, &err) != HD_OK)
        return false;
    const char *const loss_keys[] = {experiment->objective.name, "loss", "value"};
    bool found = value->kind == HD_VALUE_OBJECT &&
                 number_of(value, loss_keys, HD_COUNT(loss_keys), &point->loss);
    if (found && experiment->objective.maximize)
        point->loss = -point->loss;
    if (found && !number_of(value, step_keys, HD_COUNT(step_keys), &point->step))
        point->step = (double)number;
    hd_value_free(value);
    return found;
}

static int open_metrics(struct hd_metrics *metrics, const char *run_dir)
{
    char path[HD_PATH_MAX];
    if (!hd_format(path, sizeof(path), "%s/metrics.jsonl", run_dir))
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        return -1;
    }
    if (fd >= 0 && (metrics->device != st.st_dev || metrics->inode != st.st_ino ||
                    st.st_size < metrics->offset))
        *metrics = (struct hd_metrics){.device = st.st_dev, .inode = st.st_ino};
    return fd;
}

/* Takes the whole lines of a chunk; what is left waits for the next read. Returns bytes taken. */
static size_t take_lines(struct hd_metrics *metrics, const char *chunk, size_t size,
                         const struct hd_experiment *experiment, struct hd_attempt_ref attempt,
                         struct hd_point *points, size_t points_max, size_t *count)
{
    size_t at = 0;
    while (at < size && *count < points_max) {
        const char *end = memchr(chunk + at, '\n', size - at);
        if (end == NULL)
            break;
        size_t line_size = (size_t)(end - (chunk + at));
        metrics->lines++;
        if (!metrics->skipping && line_size < HD_METRICS_LINE_MAX &&
            read_point(chunk + at, line_size, metrics->lines, experiment, &points[*count]))
            points[(*count)++].attempt = attempt;
        metrics->skipping = false;
        at += line_size + 1;
    }
    if (at == 0 && size >= HD_METRICS_LINE_MAX && *count < points_max) {
        metrics->skipping = true;
        return size;
    }
    return at;
}

size_t hd_metrics_read(struct hd_metrics *metrics, const char *run_dir,
                       const struct hd_experiment *experiment, struct hd_attempt_ref attempt,
                       struct hd_point *ret_points, size_t points_max)
{
    int fd = open_metrics(metrics, run_dir);
    if (fd < 0)
        return 0;
    char chunk[HD_METRICS_LINE_MAX];
    size_t count = 0, total = 0;
    while (count < points_max && total < HD_METRICS_POLL_BYTES_MAX) {
        ssize_t got = pread(fd, chunk, sizeof(chunk), metrics->offset);
        if (got <= 0)
            break;
        size_t taken = take_lines(metrics, chunk, (size_t)got, experiment, attempt, ret_points,
                                  points_max, &count);
        if (taken == 0)
            break;
        metrics->offset += (int64_t)taken;
        total += taken;
    }
    close(fd);
    return count;
}
