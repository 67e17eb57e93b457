/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a target prints: no crash, finite points, a result that is JSON or nothing, and a log
 * rule that there is. */
#include "contract.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "target: {command: [./t], from_output: {loss: 'loss[=:] *([^ ]+)', "
                           "step: '^epoch ([0-9]+)', 'a b': '((x|y)+)z*'}}\n"
                           "objective: loss\nspace: {x: {type: float, low: 0, high: 1}}\n"
                           "log_rules: [{match: '^out of (memory|room)$', action: no_retry}, "
                           "{match: '((x|y)+)z*', action: exclude_worker, label: xyz}]\n";

static char directory[] = "/tmp/hd-fuzz-output-XXXXXX", path[64];
static struct hd_experiment *experiment;

static void clean_up(void)
{
    (void)unlink(path);
    (void)rmdir(directory);
    hd_experiment_free(experiment);
}

static void set_up(void)
{
    struct hd_err err;
    hd_assert(mkdtemp(directory) != NULL);
    hd_assert(hd_format(path, sizeof(path), "%s/log.txt", directory));
    hd_assert(hd_experiment_parse_text(text, strlen(text), "exp.yaml", NULL, &experiment, &err) ==
              HD_OK);
    (void)atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_output output = {0};
    struct hd_point points[4];
    struct hd_buf out;
    const char *missing;
    size_t count;
    if (experiment == NULL)
        set_up();
    FILE *file = fopen(path, "w");
    hd_assert(file != NULL);
    hd_assert(fwrite(data, 1, size, file) == size);
    hd_assert(fclose(file) == 0);
    while ((count = hd_output_read(&output, directory, experiment, (struct hd_attempt_ref){0},
                                   points, HD_COUNT(points))) > 0)
        for (size_t i = 0; i < count; i++)
            hd_assert(isfinite(points[i].loss) && isfinite(points[i].step));
    hd_assert(hd_log_match(directory, experiment) <= experiment->log_rule_count);
    hd_buf_init(&out, HD_LOSS_BYTES_MAX);
    hd_output_result(directory, experiment, &out, &missing);
    if (out.size > 0) {
        struct hd_value *value = NULL;
        struct hd_err err;
        hd_assert(hd_json_parse(hd_buf_text(&out), out.size, "result", &hd_value_limits_target,
                                &value, &err) == HD_OK);
        hd_value_free(value);
    }
    hd_buf_release(&out);
    return 0;
}
