/* SPDX-License-Identifier: Apache-2.0 */
#include <hd/driver.h>

enum hd_code hd_update_fill_params(const struct hd_core *core, struct hd_update *update,
                                   struct hd_buf *params, struct hd_err *err)
{
    size_t offsets[HD_STEP_FACTS_MAX];
    for (size_t i = 0; i < update->fact_count; i++) {
        const struct hd_fact *fact = &update->facts[i];
        if (fact->kind != HD_FACT_CONFIG_PROPOSED)
            continue;
        struct hd_run_view run;
        hd_core_view_run(core, fact->run, &run);
        offsets[i] = params->size;
        enum hd_code code =
            hd_config_to_json(run.experiment->space, fact->as.config_proposed.values, params, err);
        if (code == HD_OK)
            code = hd_buf_append(params, "", 1, err);
        if (code != HD_OK)
            return code;
    }
    for (size_t i = 0; i < update->fact_count; i++)
        if (update->facts[i].kind == HD_FACT_CONFIG_PROPOSED)
            update->facts[i].as.config_proposed.params_json = params->data + offsets[i];
    return HD_OK;
}
