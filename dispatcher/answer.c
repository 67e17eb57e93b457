/* SPDX-License-Identifier: Apache-2.0 */
/* What people read of a live master: views of its store over a connection of their own. */
#include "driver_internal.h"

#include <string.h>
#include <unistd.h>

#include <hd/os.h>
#include <hd/view.h>

/* The view's arguments, with the request's run put in. */
static enum hd_code view_arguments(const struct hd_request *request, struct hd_value **ret_value,
                                   struct hd_err *err)
{
    struct hd_value *arguments = NULL;
    enum hd_code code = HD_OK;
    if (request->view_json[0] != '\0')
        code = hd_json_parse(request->view_json, strlen(request->view_json), "arguments",
                             &hd_value_limits_target, &arguments, err);
    else if ((arguments = hd_value_new_object()) == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a view");
    if (code == HD_OK && arguments->kind != HD_VALUE_OBJECT)
        code = hd_fail(err, HD_E_INVALID, "a view's arguments are a JSON object");
    if (code == HD_OK && request->run_id[0] != '\0' &&
        hd_value_set(arguments, "run", hd_value_new_string(request->run_id)) != HD_OK)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a view");
    if (code != HD_OK) {
        hd_value_free(arguments);
        return code;
    }
    *ret_value = arguments;
    return HD_OK;
}

/* Not of the store: what this process is, for whoever wonders whether two machines agree. */
static enum hd_code read_about(struct hd_buf *json, struct hd_err *err)
{
    return hd_buf_printf(json, err,
                         "{\"program\":\"hd-master\",\"version\":\"%s\",\"protocol\":%d,"
                         "\"pid\":%ld,\"wall_ms\":%lld}",
                         HD_VERSION, HD_PROTOCOL_VERSION, (long)getpid(),
                         (long long)hd_clock_wall_ms());
}

enum hd_code hd_read_view(const char *store_path, const struct hd_request *request,
                          struct hd_buf *json, struct hd_err *err)
{
    struct hd_value *arguments = NULL;
    struct hd_value *answer = NULL;
    struct hd_view *view = NULL;
    if (hd_streq(request->view, "about"))
        return read_about(json, err);
    enum hd_code code = view_arguments(request, &arguments, err);
    if (code == HD_OK)
        code = hd_view_open(store_path, &view, err);
    if (code == HD_OK)
        code = hd_view_read(view, request->view, arguments, &answer, err);
    if (code == HD_OK)
        code = hd_json_write(answer, HD_JSON_COMPACT, json, err);
    hd_value_free(answer);
    hd_view_close(view);
    hd_value_free(arguments);
    return code;
}
