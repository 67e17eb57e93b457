/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are read as an experiment; an accepted one is described, read back, and must then have
 * the same description and no difference. */
#include <hd/experiment.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_back(const struct hd_experiment *experiment)
{
    struct hd_buf text, again, lines;
    struct hd_err err;
    struct hd_experiment *back = NULL;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&again, HD_EXPERIMENT_BYTES_MAX);
    hd_buf_init(&lines, HD_EXPERIMENT_BYTES_MAX);
    hd_assert(hd_experiment_to_json(experiment, &text, &err) == HD_OK);
    hd_assert(hd_experiment_parse_text(hd_buf_text(&text), text.size, "back", NULL, &back, &err) ==
              HD_OK);
    hd_assert(hd_experiment_to_json(back, &again, &err) == HD_OK);
    hd_assert(hd_streq(hd_buf_text(&text), hd_buf_text(&again)));
    hd_assert(hd_experiment_diff(experiment, back, &lines, &err) == HD_OK);
    hd_assert(lines.size == 0);
    hd_assert(hd_experiment_timeout_ms(experiment, experiment->iter_gen.budget_max) >= 0);
    hd_experiment_free(back);
    hd_buf_release(&text);
    hd_buf_release(&again);
    hd_buf_release(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hd_err err;
    struct hd_experiment *experiment = NULL;
    if (hd_experiment_parse_text((const char *)data, size, "fuzz.yaml", NULL, &experiment, &err) ==
        HD_OK)
        check_back(experiment);
    hd_experiment_free(experiment);
    return 0;
}
