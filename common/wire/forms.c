/* SPDX-License-Identifier: Apache-2.0 */
/* forms.c: the tables of all messages. Keys and enum numbers are the protocol: they may be added
 * to, never reused. docs/protocol.md lists them. */
#include "shape.h"

#include <hd/message.h>

#define ANY UINT64_MAX

#define PLACE(type, member) .name = #member, .offset = offsetof(struct type, member)
#define TEXT(key_, type, member, size_max)                                                         \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_TEXT, .max = (size_max), PLACE(type, member)                 \
    }
#define ID(key_, type, member)                                                                     \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_ID, .max = HD_ID_MAX, PLACE(type, member)                    \
    }
#define CHARS(key_, type, member)                                                                  \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_CHARS, .max = sizeof(((struct type *)0)->member) - 1,        \
        PLACE(type, member)                                                                        \
    }
#define BOOL(key_, type, member)                                                                   \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_BOOL, PLACE(type, member)                                    \
    }
#define U32(key_, type, member)                                                                    \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_U32, .max = UINT32_MAX, PLACE(type, member)                  \
    }
#define U64(key_, type, member)                                                                    \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_U64, PLACE(type, member)                                     \
    }
#define I32(key_, type, member)                                                                    \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_I32, PLACE(type, member)                                     \
    }
#define I64(key_, type, member, max_)                                                              \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_I64, .max = (max_), PLACE(type, member)                      \
    }
#define DOUBLE(key_, type, member)                                                                 \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_DOUBLE, PLACE(type, member)                                  \
    }
#define ENUM(key_, type, member, last)                                                             \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_ENUM, .max = (last), PLACE(type, member)                     \
    }
#define KIND(key_, type, member, last)                                                             \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_ENUM, .required = true, .max = (last), PLACE(type, member)   \
    }
#define STRUCT(key_, type, member, shape_)                                                         \
    {                                                                                              \
        .key = key_, .kind = HD_FIELD_STRUCT, .shape = &(shape_), PLACE(type, member)              \
    }
#define MANY(key_, kind_, type, member, count_member, count_max, shape_)                           \
    {                                                                                              \
        .key = key_, .kind = (kind_), .max = (count_max), .shape = (shape_),                       \
        .count_offset = offsetof(struct type, count_member), PLACE(type, member)                   \
    }
#define SHAPE(name_, type, fields_, positional_)                                                   \
    {                                                                                              \
        .name = name_, .fields = fields_, .field_count = HD_COUNT(fields_),                        \
        .size = sizeof(struct type), .positional = positional_                                     \
    }

/* ---- parts --------------------------------------------------------------------------------- */

static const struct hd_field attempt_fields[] = {
    U64(NULL, hd_attempt_ref, run_uid),
    U32(NULL, hd_attempt_ref, job),
    U32(NULL, hd_attempt_ref, attempt),
    U32(NULL, hd_attempt_ref, stamp),
};
static const struct hd_shape attempt_shape = SHAPE("attempt", hd_attempt_ref, attempt_fields, true);

static const struct hd_field config_id_fields[] = {
    U32(NULL, hd_config_id, iteration),
    U32(NULL, hd_config_id, budget_index),
    U32(NULL, hd_config_id, running_index),
};
static const struct hd_shape config_id_shape =
    SHAPE("config id", hd_config_id, config_id_fields, true);

static const struct hd_field point_fields[] = {
    STRUCT(NULL, hd_point, attempt, attempt_shape),
    DOUBLE(NULL, hd_point, step),
    DOUBLE(NULL, hd_point, loss),
};
static const struct hd_shape point_shape = SHAPE("point", hd_point, point_fields, true);

static const struct hd_field command_fields[] = {
    STRUCT(NULL, hd_attempt_command, attempt, attempt_shape),
    ENUM(NULL, hd_attempt_command, action, HD_ACTION_OFFER),
};
static const struct hd_shape command_shape =
    SHAPE("command", hd_attempt_command, command_fields, true);

static const struct hd_field result_fields[] = {
    STRUCT("a", hd_result, attempt, attempt_shape),
    KIND("o", hd_result, outcome, HD_OUTCOME_COUNT - 1),
    DOUBLE("l", hd_result, loss),
    I64("s", hd_result, started_wall_ms, ANY),
    I64("f", hd_result, finished_wall_ms, ANY),
    I32("x", hd_result, exit_code),
    TEXT("m", hd_result, message, HD_MESSAGE_MAX - 1),
    TEXT("i", hd_result, info_json, HD_INFO_JSON_MAX - 1),
    MANY("n", HD_FIELD_DOUBLES, hd_result, measures, measure_count, HD_RESULT_MEASURES_MAX, NULL),
    ID("d", hd_result, directory),
    U32("ru", hd_result, rule),
    TEXT("im", hd_result, image_id, HD_IMAGE_ID_MAX - 1),
    TEXT("gr", hd_result, graphs_json, HD_RESULT_GRAPHS_MAX - 1),
};
static const struct hd_shape result_shape = SHAPE("result", hd_result, result_fields, false);

static const struct hd_field lease_fields[] = {
    STRUCT("a", hd_lease, attempt, attempt_shape),
    ID("r", hd_lease, run_id),
    STRUCT("ci", hd_lease, config_id, config_id_shape),
    U32("c", hd_lease, config),
    U32("it", hd_lease, iteration),
    U32("ru", hd_lease, rung),
    DOUBLE("b", hd_lease, budget),
    DOUBLE("bp", hd_lease, budget_previous),
    TEXT("ro", hd_lease, root, HD_ROOT_ID_MAX - 1),
    ID("d", hd_lease, directory),
    TEXT("do", hd_lease, directory_owner, HD_WORKER_ID_MAX - 1),
    U32("s", hd_lease, seed),
    U32("re", hd_lease, repeat),
    I64("ms", hd_lease, lease_ms, INT64_MAX),
    TEXT("im", hd_lease, image_id, HD_IMAGE_ID_MAX - 1),
    TEXT("p", hd_lease, params_json, HD_VIEW_JSON_MAX),
    TEXT("t", hd_lease, target_json, HD_VIEW_JSON_MAX),
};
static const struct hd_shape lease_shape = SHAPE("lease", hd_lease, lease_fields, false);

static const struct hd_field entry_fields[] = {
    ENUM("ro", hd_ns_entry, role, HD_NS_WORKER),
    TEXT("id", hd_ns_entry, id, HD_WORKER_ID_MAX - 1),
    U64("in", hd_ns_entry, incarnation),
    TEXT("ad", hd_ns_entry, address, HD_ADDRESS_MAX - 1),
    MANY("r", HD_FIELD_IDS, hd_ns_entry, runs, run_count, HD_NS_RUNS_PER_MASTER_MAX, NULL),
};
static const struct hd_shape entry_shape = SHAPE("entry", hd_ns_entry, entry_fields, false);

/* ---- messages ------------------------------------------------------------------------------ */

static const struct hd_field request_fields[] = {
    KIND("k", hd_request, kind, HD_REQUEST_KIND_COUNT - 1),
    TEXT("t", hd_request, token, HD_TOKEN_MAX),
    TEXT("w", hd_request, worker, HD_WORKER_ID_MAX - 1),
    U64("in", hd_request, incarnation),
    ENUM("ln", hd_request, lane, HD_LANE_COUNT - 1),
    U64("sq", hd_request, sequence),
    ID("r", hd_request, run_id),
    MANY("h", HD_FIELD_LIST, hd_request, held, held_count, HD_HELD_MAX, &attempt_shape),
    U64("ls", hd_request, lease_seen),
    BOOL("dr", hd_request, draining),
    U32("sl", hd_request, slots),
    U32("gp", hd_request, gpus),
    TEXT("ds", hd_request, data, HD_DATA_NAMES_MAX - 1),
    TEXT("ro", hd_request, root, HD_ROOT_ID_MAX - 1),
    TEXT("ho", hd_request, host, HD_ADDRESS_MAX - 1),
    MANY("p", HD_FIELD_LIST, hd_request, points, point_count, HD_PING_POINTS_MAX, &point_shape),
    I64("wt", hd_request, wait_ms, HD_LEASE_WAIT_MS_MAX),
    I64("lf", hd_request, left_ms, INT64_MAX),
    STRUCT("re", hd_request, result, result_shape),
    BOOL("nx", hd_request, lease_next),
    U64("lq", hd_request, lease_sequence),
    TEXT("ex", hd_request, experiment_json, HD_VIEW_JSON_MAX),
    TEXT("kn", hd_request, known_json, HD_VIEW_JSON_MAX),
    U64("sd", hd_request, seed),
    U64("u", hd_request, run_uid),
    ENUM("co", hd_request, command, HD_COMMAND_OP_COUNT - 1),
    U32("j", hd_request, job),
    TEXT("rs", hd_request, reason, HD_REASON_MAX - 1),
    ENUM("li", hd_request, limit, HD_LIMIT_COUNT - 1),
    TEXT("lv", hd_request, limit_value, HD_DOUBLE_TEXT_SIZE - 1),
    TEXT("su", hd_request, subject, HD_WORKER_ID_MAX - 1),
    TEXT("ig", hd_request, image, HD_IMAGE_NAME_MAX - 1),
    U64("ec", hd_request, echo),
    TEXT("ab", hd_request, about, HD_ABOUT_MAX - 1),
    TEXT("dg", hd_request, doing, HD_DOING_MAX - 1),
    BOOL("uf", hd_request, unfit),
    TEXT("vw", hd_request, view, HD_ID_MAX),
    TEXT("vj", hd_request, view_json, HD_VIEW_JSON_MAX),
};
static const struct hd_shape request_shape = SHAPE("request", hd_request, request_fields, false);

static const struct hd_field reply_fields[] = {
    KIND("k", hd_reply, kind, HD_REPLY_KIND_COUNT - 1),
    ENUM("ln", hd_reply, lane, HD_LANE_COUNT - 1),
    U64("sq", hd_reply, sequence),
    ENUM("ve", hd_reply, verdict, HD_VERDICT_REFUSED),
    U32("wa", hd_reply, wanted),
    STRUCT("l", hd_reply, lease, lease_shape),
    MANY("c", HD_FIELD_INLINE, hd_reply, commands, command_count, HD_COMMANDS_MAX, &command_shape),
    BOOL("dr", hd_reply, drain),
    BOOL("lv", hd_reply, leave),
    I64("pi", hd_reply, ping_ms, INT64_MAX),
    U64("ec", hd_reply, echo),
    ENUM("cd", hd_reply, code, HD_E_CANCELLED),
    CHARS("tx", hd_reply, text),
    TEXT("vj", hd_reply, view_json, HD_VIEW_JSON_MAX),
};
static const struct hd_shape reply_shape = SHAPE("reply", hd_reply, reply_fields, false);

static const struct hd_field ns_request_fields[] = {
    KIND("k", hd_ns_request, kind, HD_NS_KIND_COUNT - 1),
    TEXT("t", hd_ns_request, token, HD_TOKEN_MAX),
    STRUCT("e", hd_ns_request, entry, entry_shape),
    I64("tt", hd_ns_request, ttl_ms, HD_NS_TTL_MS_MAX),
    ID("r", hd_ns_request, run_id),
    ENUM("ro", hd_ns_request, role, HD_NS_WORKER),
};
static const struct hd_shape ns_request_shape =
    SHAPE("nameserver request", hd_ns_request, ns_request_fields, false);

static const struct hd_field ns_reply_fields[] = {
    KIND("cd", hd_ns_reply, code, HD_E_CANCELLED),
    CHARS("tx", hd_ns_reply, text),
    MANY("e", HD_FIELD_INLINE, hd_ns_reply, entries, entry_count, HD_NS_LIST_MAX, &entry_shape),
    BOOL("mo", hd_ns_reply, more),
};
static const struct hd_shape ns_reply_shape =
    SHAPE("nameserver reply", hd_ns_reply, ns_reply_fields, false);

const struct hd_message_form hd_form_request = {HD_MESSAGE_REQUEST, &request_shape};
const struct hd_message_form hd_form_reply = {HD_MESSAGE_REPLY, &reply_shape};
const struct hd_message_form hd_form_ns_request = {HD_MESSAGE_NS_REQUEST, &ns_request_shape};
const struct hd_message_form hd_form_ns_reply = {HD_MESSAGE_NS_REPLY, &ns_reply_shape};
