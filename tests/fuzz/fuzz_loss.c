/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a target writes into loss.json: no crash, bounded texts, and kept info is valid JSON. */
#include <hd/engine.h>

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_info(const struct hd_loss *loss)
{
    struct hd_value *value = NULL;
    struct hd_err err;
    size_t length = strnlen(loss->info_json, sizeof(loss->info_json));
    hd_assert(length < sizeof(loss->info_json));
    if (length == 0)
        return;
    hd_assert(hd_json_parse(loss->info_json, length, "info", &hd_value_limits_target, &value,
                            &err) == HD_OK);
    hd_value_free(value);
}

/* Two objectives and a constraint: all of them or none, and ok only when they are finite. */
static void try_many(const uint8_t *data, size_t size)
{
    static char error[] = "error", speed[] = "speed", memory[] = "memory";
    struct hd_experiment experiment = {.objective = {.name = error}, .objective_count = 2};
    experiment.further[0] = (struct hd_objective){.name = speed, .maximize = true};
    experiment.constraint_count = 1;
    experiment.constraints[0] = (struct hd_constraint){.name = memory, .min = -INFINITY, .max = 1};
    struct hd_loss loss;
    hd_loss_parse((const char *)data, size, &experiment, &loss);
    check_info(&loss);
    hd_assert(loss.measure_count == 0 || loss.measure_count == 3);
    hd_assert(loss.measure_count == 3 || !loss.present || loss.failed);
    struct hd_engine_end end = {.kind = HD_END_EXITED};
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_classify(&end, &loss, &experiment, HD_OUTCOME_STOPPED, &result, message, sizeof(message));
    hd_assert((result.outcome == HD_OUTCOME_OK) == (result.measure_count == 3));
    for (size_t i = 0; i < result.measure_count; i++)
        hd_assert(isfinite(result.measures[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_many(data, size);
    static char name[] = "accuracy";
    struct hd_experiment experiment = {.objective = {.name = name, .maximize = true}};
    struct hd_loss loss;
    hd_loss_parse((const char *)data, size, &experiment, &loss);
    check_info(&loss);
    hd_assert(loss.present || !loss.failed);
    hd_assert(loss.present || loss.message[0] != '\0');
    hd_assert(loss.present || isnan(loss.loss));

    struct hd_engine_end end = {.kind = HD_END_EXITED};
    struct hd_result result;
    char message[HD_MESSAGE_MAX];
    hd_classify(&end, &loss, &experiment, HD_OUTCOME_STOPPED, &result, message, sizeof(message));
    hd_assert((result.outcome == HD_OUTCOME_OK) == isfinite(result.loss));
    return 0;
}
