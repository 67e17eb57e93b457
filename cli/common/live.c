/* SPDX-License-Identifier: Apache-2.0 */
/* live.c: what only a live master knows. */
#include "cli.h"

enum hd_code cli_live_master(const struct cli_common *common, const char *run_id,
                             struct cli_master *ret_master, struct hd_err *err)
{
    bool remote = false;
    enum hd_code code = cli_remote_check(&common->remote, common->state_dir, &remote, err);
    if (code != HD_OK)
        return code;
    return remote ? cli_master_find(&common->remote, run_id, ret_master, err)
                  : cli_master_of_state(cli_state_dir(common->state_dir), ret_master, err);
}

enum hd_code cli_live_view(const struct cli_master *master, const char *run_id, const char *view,
                           const char *arguments, struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_request request = {
        .kind = HD_REQUEST_VIEW, .run_id = run_id, .view = view, .view_json = arguments};
    return cli_master_call(master, &request, ret_answer, err);
}

enum hd_code cli_waits(const struct cli_common *common, const char *run_id,
                       struct hd_value **ret_waits, struct hd_err *err)
{
    struct cli_master master;
    enum hd_code code = cli_live_master(common, run_id, &master, err);
    if (code != HD_OK)
        return code;
    master.timeout_ms = CLI_WAITS_MS;
    return cli_live_view(&master, run_id, "waits", "", ret_waits, err);
}
