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

/* ---- questions ------------------------------------------------------------------------------- */

static bool find_op(const char *name, enum hd_depot_op *ret_op)
{
    static const char *const names[] = {
        [HD_DEPOT_OFFER] = "offer", [HD_DEPOT_PUT] = "put",     [HD_DEPOT_LIST] = "list",
        [HD_DEPOT_GET] = "get",     [HD_DEPOT_BEGIN] = "begin", [HD_DEPOT_NONE] = "none",
        [HD_DEPOT_ASK] = "ask",
    };
    for (size_t i = 0; name != NULL && i < HD_COUNT(names); i++)
        if (hd_streq(name, names[i])) {
            *ret_op = (enum hd_depot_op)i;
            return true;
        }
    return false;
}

static enum hd_code read_attempt(const struct hd_value *arguments,
                                 struct hd_attempt_ref *ret_attempt, struct hd_err *err)
{
    uint64_t job, number;
    const char *run = text_at(arguments, "run");
    if (run == NULL || !hd_parse_u64(run, &ret_attempt->run_uid) ||
        !number_at(arguments, "job", UINT32_MAX, &job) ||
        !number_at(arguments, "attempt", UINT32_MAX, &number) || number == 0)
        return hd_fail(err, HD_E_INVALID, "a checkpoint is asked for with run, job and attempt");
    ret_attempt->job = (uint32_t)job;
    ret_attempt->attempt = (uint32_t)number;
    return HD_OK;
}

static enum hd_code read_question(const struct hd_value *arguments,
                                  struct hd_depot_question *question, struct hd_err *err)
{
    if (!find_op(text_at(arguments, "op"), &question->op))
        return hd_fail(err, HD_E_INVALID, "op is none that a depot knows");
    enum hd_code code = read_attempt(arguments, &question->attempt, err);
    if (code != HD_OK)
        return code;
    question->budget = budget_at(arguments);
    question->pieces = text_at(arguments, "pieces");
    question->piece = text_at(arguments, "piece");
    question->data = text_at(arguments, "data");
    question->why = text_at(arguments, "why");
    bool sized = number_at(arguments, "size", INT64_MAX, &question->size);
    switch (question->op) {
    case HD_DEPOT_OFFER:
        if (question->pieces == NULL || !sized)
            return hd_fail(err, HD_E_INVALID, "an offer has a size and pieces");
        break;
    case HD_DEPOT_PUT:
        if (question->piece == NULL || question->data == NULL)
            return hd_fail(err, HD_E_INVALID, "a piece has a name and data");
        break;
    case HD_DEPOT_GET:
        if (question->piece == NULL)
            return hd_fail(err, HD_E_INVALID, "which piece?");
        break;
    case HD_DEPOT_NONE:
        if (question->why == NULL)
            return hd_fail(err, HD_E_INVALID, "why does it not come?");
        break;
    case HD_DEPOT_LIST:
    case HD_DEPOT_BEGIN:
    case HD_DEPOT_ASK:
        break;
    }
    return HD_OK;
}

enum hd_code hd_depot_question_parse(const char *json, struct hd_depot_question *ret_question,
                                     struct hd_err *err)
{
    struct hd_depot_question question = {.op = HD_DEPOT_OFFER};
    enum hd_code code =
        hd_json_parse(json, strlen(json), "arguments", &limits, &question.held, err);
    if (code == HD_OK)
        code = read_question(question.held, &question, err);
    if (code != HD_OK) {
        hd_value_free(question.held);
        return code;
    }
    *ret_question = question;
    return HD_OK;
}

void hd_depot_question_release(struct hd_depot_question *question)
{
    hd_value_free(question->held);
    *question = (struct hd_depot_question){.op = HD_DEPOT_OFFER};
}

/* ---- answers --------------------------------------------------------------------------------- */

static enum hd_code answer_offer(struct hd_depot *depot, const struct hd_depot_question *question,
                                 struct hd_depot_place place, struct hd_buf *json,
                                 bool *ret_shelved, struct hd_err *err)
{
    const struct hd_depot_offer offer = {.place = place,
                                         .attempt = question->attempt,
                                         .size = question->size,
                                         .budget = question->budget,
                                         .pieces = question->pieces};
    enum hd_code code = hd_buf_puts(json, "{\"wanted\":true,\"missing\":\"", err);
    if (code == HD_OK)
        code = hd_depot_offer(depot, &offer, ret_shelved, json, err);
    return code == HD_OK ? hd_buf_puts(json, "\"}", err) : code;
}

static enum hd_code answer_put(struct hd_depot *depot, const struct hd_depot_question *question,
                               struct hd_depot_place place, struct hd_buf *json, struct hd_err *err)
{
    struct hd_buf bytes;
    hd_buf_init(&bytes, HD_VIEW_JSON_MAX);
    enum hd_code code = hd_base64_decode(question->data, strlen(question->data), &bytes, err);
    if (code == HD_OK)
        code = hd_depot_put(depot, place, question->piece, bytes.data, bytes.size, err);
    hd_buf_release(&bytes);
    return code == HD_OK ? hd_buf_puts(json, "{\"wanted\":true}", err) : code;
}

enum hd_code hd_depot_take(struct hd_depot *depot, const struct hd_depot_question *question,
                           struct hd_depot_place place, struct hd_attempt_ref state,
                           struct hd_buf *json, bool *ret_shelved, struct hd_err *err)
{
    bool shelved = false;
    enum hd_code code = HD_OK;
    switch (question->op) {
    case HD_DEPOT_OFFER:
        code = answer_offer(depot, question, place, json, &shelved, err);
        break;
    case HD_DEPOT_PUT:
        code = answer_put(depot, question, place, json, err);
        break;
    case HD_DEPOT_LIST:
        code = hd_depot_list(depot, place, state, json, err);
        break;
    case HD_DEPOT_GET:
        code = hd_depot_get(depot, place, question->piece, json, err);
        break;
    case HD_DEPOT_BEGIN:
    case HD_DEPOT_NONE:
    case HD_DEPOT_ASK:
        code = hd_fail(err, HD_E_INVALID, "op is one of offer, put, list and get");
        break;
    }
    *ret_shelved = code == HD_OK && shelved;
    return code;
}

/* A directory is taken from whoever left the state that the config has, and given, in that version,
 * to whoever runs the attempt that is to go on from it. */
enum hd_code hd_depot_answer(struct hd_depot *depot, const struct hd_core *core,
                             const struct hd_request *request, struct hd_buf *json,
                             bool *ret_shelved, struct hd_attempt_ref *ret_attempt,
                             struct hd_err *err)
{
    struct hd_depot_question question;
    struct hd_attempt_ref state = {0};
    bool shelved = false;
    enum hd_code code = hd_depot_question_parse(request->view_json, &question, err);
    if (code != HD_OK)
        return code;
    struct hd_depot_place place = {.run_uid = question.attempt.run_uid};
    if (question.op == HD_DEPOT_OFFER || question.op == HD_DEPOT_PUT) {
        code = hd_core_wants_checkpoint(core, question.attempt, &place.config)
                   ? hd_depot_take(depot, &question, place, state, json, &shelved, err)
                   : hd_buf_puts(json, "{\"wanted\":false}", err);
    } else if (hd_core_lends_checkpoint(core, question.attempt, &place.config, &state)) {
        code = hd_depot_take(depot, &question, place, state, json, &shelved, err);
    } else {
        code = hd_fail(err, HD_E_NOTFOUND, "no such attempt goes on from a directory");
    }
    if (code == HD_OK) {
        *ret_shelved = shelved;
        *ret_attempt = question.attempt;
    }
    hd_depot_question_release(&question);
    return code;
}
