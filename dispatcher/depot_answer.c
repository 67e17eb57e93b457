/* SPDX-License-Identifier: Apache-2.0 */
/* depot_answer.c: what workers ask of the depot. Every word of it comes from a worker. */
#include "depot.h"

#include <hd/os.h>
#include <hd/value.h>
#include <math.h>
#include <string.h>

static const struct hd_value_limits limits = {
    .bytes_max = HD_VIEW_JSON_MAX, .nodes_max = 64, .depth_max = 4};

static const char *text_at(const struct hd_value *arguments, const char *key)
{
    const struct hd_value *value = hd_value_get(arguments, key);
    return value != NULL && value->kind == HD_VALUE_STRING ? value->as.string : NULL;
}

static bool number_at(const struct hd_value *arguments, const char *key, uint64_t max,
                      uint64_t *ret_number)
{
    const struct hd_value *value = hd_value_get(arguments, key);
    if (value == NULL || value->kind != HD_VALUE_INT || value->as.integer < 0 ||
        (uint64_t)value->as.integer > max)
        return false;
    *ret_number = (uint64_t)value->as.integer;
    return true;
}

static double budget_at(const struct hd_value *arguments)
{
    const struct hd_value *value = hd_value_get(arguments, "budget");
    return value != NULL ? hd_value_number(value) : (double)NAN;
}

static enum hd_code offer(struct hd_depot *depot, const struct hd_core *core,
                          struct hd_attempt_ref attempt, const struct hd_value *arguments,
                          struct hd_buf *json, bool *ret_shelved, struct hd_err *err)
{
    struct hd_depot_offer offered = {.place.run_uid = attempt.run_uid,
                                     .attempt = attempt,
                                     .budget = budget_at(arguments),
                                     .pieces = text_at(arguments, "pieces")};
    if (offered.pieces == NULL || !number_at(arguments, "size", INT64_MAX, &offered.size))
        return hd_fail(err, HD_E_INVALID, "an offer has a size and pieces");
    if (!hd_core_wants_checkpoint(core, attempt, &offered.place.config))
        return hd_buf_puts(json, "{\"wanted\":false}", err);
    enum hd_code code = hd_buf_puts(json, "{\"wanted\":true,\"missing\":\"", err);
    if (code == HD_OK)
        code = hd_depot_offer(depot, &offered, ret_shelved, json, err);
    return code == HD_OK ? hd_buf_puts(json, "\"}", err) : code;
}

static enum hd_code put(struct hd_depot *depot, const struct hd_core *core,
                        struct hd_attempt_ref attempt, const struct hd_value *arguments,
                        struct hd_buf *json, struct hd_err *err)
{
    struct hd_depot_place place = {.run_uid = attempt.run_uid};
    const char *piece = text_at(arguments, "piece"), *data = text_at(arguments, "data");
    struct hd_buf bytes;
    if (piece == NULL || data == NULL)
        return hd_fail(err, HD_E_INVALID, "a piece has a name and data");
    if (!hd_core_wants_checkpoint(core, attempt, &place.config))
        return hd_buf_puts(json, "{\"wanted\":false}", err);
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    enum hd_code code = hd_base64_decode(data, strlen(data), &bytes, err);
    if (code == HD_OK)
        code = hd_depot_put(depot, place, piece, bytes.data, bytes.size, err);
    hd_buf_release(&bytes);
    return code == HD_OK ? hd_buf_puts(json, "{\"wanted\":true}", err) : code;
}

/* To whoever runs the attempt that is to go on from it, and of no other version. */
static enum hd_code give(struct hd_depot *depot, const struct hd_core *core,
                         struct hd_attempt_ref leased, const struct hd_value *arguments,
                         struct hd_buf *json, struct hd_err *err)
{
    struct hd_depot_place place = {.run_uid = leased.run_uid};
    struct hd_attempt_ref state;
    const char *piece = text_at(arguments, "piece");
    if (!hd_core_lends_checkpoint(core, leased, &place.config, &state))
        return hd_fail(err, HD_E_NOTFOUND, "no such attempt goes on from a directory");
    return piece != NULL ? hd_depot_get(depot, place, piece, json, err)
                         : hd_depot_list(depot, place, state, json, err);
}

static enum hd_code answer(struct hd_depot *depot, const struct hd_core *core,
                           struct hd_attempt_ref *attempt, const struct hd_value *arguments,
                           struct hd_buf *json, bool *ret_shelved, struct hd_err *err)
{
    uint64_t job = 0, number = 0;
    const char *op = text_at(arguments, "op"), *run = text_at(arguments, "run");
    if (op == NULL || run == NULL || !hd_parse_u64(run, &attempt->run_uid))
        return hd_fail(err, HD_E_INVALID, "a checkpoint is asked for with op and run");
    if (!number_at(arguments, "job", UINT32_MAX, &job) ||
        !number_at(arguments, "attempt", UINT32_MAX, &number))
        return hd_fail(err, HD_E_INVALID, "a checkpoint is asked for with job and attempt");
    attempt->job = (uint32_t)job;
    attempt->attempt = (uint32_t)number;
    if (hd_streq(op, "offer"))
        return offer(depot, core, *attempt, arguments, json, ret_shelved, err);
    if (hd_streq(op, "put"))
        return put(depot, core, *attempt, arguments, json, err);
    if (hd_streq(op, "list") || hd_streq(op, "get"))
        return give(depot, core, *attempt, arguments, json, err);
    return hd_fail(err, HD_E_INVALID, "op %.20s: offer, put, list or get", op);
}

enum hd_code hd_depot_answer(struct hd_depot *depot, const struct hd_core *core,
                             const struct hd_request *request, struct hd_buf *json,
                             bool *ret_shelved, struct hd_attempt_ref *ret_attempt,
                             struct hd_err *err)
{
    struct hd_value *arguments = NULL;
    struct hd_attempt_ref attempt = {0};
    bool shelved = false;
    enum hd_code code = hd_json_parse(request->view_json, strlen(request->view_json), "arguments",
                                      &limits, &arguments, err);
    if (code == HD_OK)
        code = answer(depot, core, &attempt, arguments, json, &shelved, err);
    hd_value_free(arguments);
    *ret_shelved = code == HD_OK && shelved;
    *ret_attempt = attempt;
    return code;
}
