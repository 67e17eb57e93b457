/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <hd/message.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 400

static struct hd_arena *arena;
static struct hd_buf out, again;
static struct hd_err err;

static int setup(void **state)
{
    (void)state;
    hd_buf_init(&out, 2 * HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&again, 2 * HD_MESSAGE_BYTES_MAX);
    return hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, &err) == HD_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    hd_buf_release(&out);
    hd_buf_release(&again);
    hd_arena_free(arena);
    return 0;
}

static void fresh(void)
{
    hd_buf_clear(&out);
    hd_buf_clear(&again);
    hd_arena_free(arena);
    assert_hd_ok(hd_arena_new(HD_WIRE_ARENA_BYTES_MAX, &arena, &err));
}

/* ---- random structs ------------------------------------------------------------------------- */

static struct hd_rng rng;

static const char *any_text(size_t size_max)
{
    static const char *const parts[] = {"a", "Z9", "ä", "€", "𝄞", " ", "\n", "\"", "{}", "-"};
    char *text = hd_arena_alloc(arena, size_max + 1);
    size_t size = 0, wanted = (size_t)hd_rng_below(&rng, size_max + 1);
    for (;;) {
        const char *part = parts[hd_rng_below(&rng, HD_COUNT(parts))];
        if (size + strlen(part) > wanted)
            return text;
        memcpy(text + size, part, strlen(part));
        size += strlen(part);
    }
}

static const char *any_id(void)
{
    static const char letters[] = "abcXYZ019._-";
    char *text = hd_arena_alloc(arena, HD_ID_MAX + 1);
    size_t size = (size_t)hd_rng_below(&rng, HD_ID_MAX + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = letters[hd_rng_below(&rng, i == 0 ? 9 : sizeof(letters) - 1)];
    return text;
}

static uint64_t any_u64(void)
{
    return hd_rng_u64(&rng) >> hd_rng_below(&rng, 64);
}
static uint32_t any_u32(void)
{
    return (uint32_t)any_u64();
}
static int64_t any_i64(void)
{
    return (int64_t)(any_u64() ^ (0 - (uint64_t)hd_rng_below(&rng, 2)));
}
static bool any_bool(void)
{
    return hd_rng_below(&rng, 2) == 1;
}
static size_t any_count(size_t max)
{
    return (size_t)(hd_rng_below(&rng, 4) == 0 ? hd_rng_below(&rng, max + 1)
                                               : hd_rng_below(&rng, max < 3 ? max + 1 : 4));
}
static double any_double(void)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e-310, 3.5};
    size_t at = (size_t)hd_rng_below(&rng, 2 * HD_COUNT(special));
    return at < HD_COUNT(special) ? special[at] : hd_rng_normal(&rng) * 1e10;
}
static struct hd_attempt_ref any_attempt(void)
{
    return (struct hd_attempt_ref){any_u64(), any_u32(), any_u32(), any_u32()};
}

static struct hd_result any_result(void)
{
    struct hd_result result = {
        .attempt = {any_u64(), any_u32(), any_u32() | 1, any_u32()},
        .outcome = (enum hd_outcome)hd_rng_below(&rng, HD_OUTCOME_COUNT),
        .loss = any_double(),
        .started_wall_ms = any_i64(),
        .finished_wall_ms = any_i64(),
        .exit_code = (int32_t)any_i64(),
        .message = any_text(HD_MESSAGE_MAX - 1),
        .info_json = any_text(HD_INFO_JSON_MAX - 1),
        .image_id = any_text(HD_IMAGE_ID_MAX - 1),
        .graphs_json = any_text(HD_RESULT_GRAPHS_MAX - 1),
        .directory = any_id(),
    };
    result.measure_count = (size_t)hd_rng_below(&rng, HD_RESULT_MEASURES_MAX + 1);
    for (size_t i = 0; i < result.measure_count; i++)
        result.measures[i] = any_double();
    return result;
}

static struct hd_request any_request(void)
{
    struct hd_attempt_ref *held = hd_arena_alloc(arena, HD_HELD_MAX * sizeof(*held));
    struct hd_point *points = hd_arena_alloc(arena, HD_PING_POINTS_MAX * sizeof(*points));
    struct hd_request request = {
        .kind = (enum hd_request_kind)hd_rng_below(&rng, HD_REQUEST_KIND_COUNT),
        .token = any_text(HD_TOKEN_MAX),
        .worker = any_text(HD_WORKER_ID_MAX - 1),
        .incarnation = any_u64(),
        .lane = (enum hd_lane)hd_rng_below(&rng, HD_LANE_COUNT),
        .sequence = any_u64(),
        .run_id = any_id(),
        .held = held,
        .held_count = any_count(HD_HELD_MAX),
        .lease_seen = any_u64(),
        .draining = any_bool(),
        .slots = any_u32(),
        .gpus = any_u32(),
        .data = any_text(HD_DATA_NAMES_MAX - 1),
        .root = any_text(HD_ROOT_ID_MAX - 1),
        .host = any_text(HD_ADDRESS_MAX - 1),
        .points = points,
        .point_count = any_count(HD_PING_POINTS_MAX),
        .wait_ms = (int64_t)hd_rng_below(&rng, HD_LEASE_WAIT_MS_MAX + 1),
        .left_ms = (int64_t)hd_rng_below(&rng, UINT32_MAX),
        .result = any_result(),
        .lease_next = any_bool(),
        .lease_sequence = any_u64(),
        .experiment_json = any_text(5000),
        .known_json = any_text(5000),
        .seed = any_u64(),
        .run_uid = any_u64(),
        .command = (enum hd_command_op)hd_rng_below(&rng, HD_COMMAND_OP_COUNT),
        .job = any_u32(),
        .reason = any_text(HD_REASON_MAX - 1),
        .subject = any_text(HD_WORKER_ID_MAX - 1),
        .image = any_text(HD_IMAGE_NAME_MAX - 1),
        .echo = any_u64(),
        .about = any_text(HD_ABOUT_MAX - 1),
        .doing = any_text(HD_DOING_MAX - 1),
        .unfit = any_bool(),
        .view = any_text(HD_ID_MAX),
        .view_json = any_text(3000),
    };
    for (size_t i = 0; i < request.held_count; i++)
        held[i] = any_attempt();
    for (size_t i = 0; i < request.point_count; i++)
        points[i] = (struct hd_point){any_attempt(), any_double(), any_double()};
    return request;
}

static struct hd_lease any_lease(void)
{
    const char *run_id = any_id();
    return (struct hd_lease){
        .attempt = {any_u64(), any_u32(), any_u32() | 1, any_u32()},
        .run_id = run_id[0] != '\0' ? run_id : "run",
        .config_id = {any_u32(), any_u32(), any_u32()},
        .config = any_u32(),
        .iteration = any_u32(),
        .rung = any_u32(),
        .budget = hd_rng_normal(&rng),
        .budget_previous = any_double(),
        .root = any_text(HD_ROOT_ID_MAX - 1),
        .directory = any_id(),
        .directory_owner = any_text(HD_WORKER_ID_MAX - 1),
        .seed = any_u32(),
        .lease_ms = (int64_t)(any_u64() >> 1),
        .params_json = any_text(2000),
        .target_json = any_text(2000),
        .image_id = any_text(HD_IMAGE_ID_MAX - 1),
    };
}

static struct hd_reply any_reply(void)
{
    struct hd_reply reply = {
        .kind = (enum hd_reply_kind)hd_rng_below(&rng, HD_REPLY_KIND_COUNT),
        .lane = (enum hd_lane)hd_rng_below(&rng, HD_LANE_COUNT),
        .sequence = any_u64(),
        .verdict = (enum hd_verdict)hd_rng_below(&rng, HD_VERDICT_REFUSED + 1),
        .wanted = any_u32(),
        .lease = any_lease(),
        .command_count = any_count(HD_COMMANDS_MAX),
        .drain = any_bool(),
        .ping_ms = (int64_t)(any_u64() >> 1),
        .echo = any_u64(),
        .code = (enum hd_code)hd_rng_below(&rng, HD_E_CANCELLED + 1),
        .view_json = any_text(4000),
    };
    for (size_t i = 0; i < reply.command_count; i++)
        reply.commands[i] = (struct hd_attempt_command){
            any_attempt(), (enum hd_attempt_action)hd_rng_below(&rng, HD_ACTION_OFFER + 1)};
    hd_copy_text(reply.text, sizeof(reply.text), any_text(HD_REASON_MAX - 1));
    return reply;
}

static struct hd_ns_entry any_entry(void)
{
    struct hd_ns_entry entry = {
        .role = any_bool() ? HD_NS_WORKER : HD_NS_MASTER,
        .id = any_text(HD_WORKER_ID_MAX - 1),
        .incarnation = any_u64(),
        .address = any_text(HD_ADDRESS_MAX - 1),
        .run_count = any_count(HD_NS_RUNS_PER_MASTER_MAX),
    };
    for (size_t i = 0; i < entry.run_count; i++)
        entry.runs[i] = any_id();
    return entry;
}

/* ---- comparison, member by member ------------------------------------------------------------ */

static void same_double(double a, double b)
{
    assert_true(isnan(a) ? isnan(b) : memcmp(&a, &b, sizeof(a)) == 0);
}
static void same_attempt(struct hd_attempt_ref a, struct hd_attempt_ref b)
{
    assert_true(a.run_uid == b.run_uid && a.job == b.job && a.attempt == b.attempt &&
                a.stamp == b.stamp);
}

static void same_result(const struct hd_result *a, const struct hd_result *b)
{
    same_attempt(a->attempt, b->attempt);
    assert_int_equal(a->outcome, b->outcome);
    same_double(a->loss, b->loss);
    assert_int_equal(a->measure_count, b->measure_count);
    for (size_t i = 0; i < a->measure_count; i++)
        same_double(a->measures[i], b->measures[i]);
    assert_true(a->started_wall_ms == b->started_wall_ms);
    assert_true(a->finished_wall_ms == b->finished_wall_ms);
    assert_int_equal(a->exit_code, b->exit_code);
    assert_string_equal(a->message, b->message);
    assert_string_equal(a->info_json, b->info_json);
    assert_string_equal(a->image_id, b->image_id);
    assert_string_equal(a->graphs_json, b->graphs_json);
    assert_string_equal(a->directory, b->directory);
}

static void same_request(const struct hd_request *a, const struct hd_request *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->token, b->token);
    assert_string_equal(a->worker, b->worker);
    assert_true(a->incarnation == b->incarnation);
    assert_int_equal(a->lane, b->lane);
    assert_true(a->sequence == b->sequence);
    assert_string_equal(a->run_id, b->run_id);
    assert_int_equal(a->held_count, b->held_count);
    for (size_t i = 0; i < a->held_count; i++)
        same_attempt(a->held[i], b->held[i]);
    assert_true(a->lease_seen == b->lease_seen);
    assert_int_equal(a->draining, b->draining);
    assert_int_equal(a->slots, b->slots);
    assert_int_equal(a->gpus, b->gpus);
    assert_string_equal(a->root, b->root);
    assert_string_equal(a->host, b->host);
    assert_int_equal(a->point_count, b->point_count);
    for (size_t i = 0; i < a->point_count; i++) {
        same_attempt(a->points[i].attempt, b->points[i].attempt);
        same_double(a->points[i].step, b->points[i].step);
        same_double(a->points[i].loss, b->points[i].loss);
    }
    assert_string_equal(a->data, b->data);
    assert_true(a->wait_ms == b->wait_ms);
    assert_true(a->left_ms == b->left_ms);
    same_result(&a->result, &b->result);
    assert_int_equal(a->lease_next, b->lease_next);
    assert_true(a->lease_sequence == b->lease_sequence);
    assert_string_equal(a->experiment_json, b->experiment_json);
    assert_string_equal(a->known_json, b->known_json);
    assert_true(a->seed == b->seed && a->run_uid == b->run_uid);
    assert_int_equal(a->command, b->command);
    assert_int_equal(a->job, b->job);
    assert_string_equal(a->reason, b->reason);
    assert_string_equal(a->subject, b->subject);
    assert_true(a->echo == b->echo && a->unfit == b->unfit);
    assert_string_equal(a->about, b->about);
    assert_string_equal(a->doing, b->doing);
    assert_string_equal(a->view, b->view);
    assert_string_equal(a->view_json, b->view_json);
}

static void same_lease(const struct hd_lease *a, const struct hd_lease *b)
{
    same_attempt(a->attempt, b->attempt);
    assert_string_equal(a->run_id, b->run_id);
    assert_memory_equal(&a->config_id, &b->config_id, sizeof(a->config_id));
    assert_int_equal(a->config, b->config);
    assert_int_equal(a->iteration, b->iteration);
    assert_int_equal(a->rung, b->rung);
    same_double(a->budget, b->budget);
    same_double(a->budget_previous, b->budget_previous);
    assert_string_equal(a->root, b->root);
    assert_string_equal(a->directory, b->directory);
    assert_string_equal(a->directory_owner, b->directory_owner);
    assert_int_equal(a->seed, b->seed);
    assert_true(a->lease_ms == b->lease_ms);
    assert_string_equal(a->params_json, b->params_json);
    assert_string_equal(a->target_json, b->target_json);
    assert_string_equal(a->image_id, b->image_id);
}

static void same_reply(const struct hd_reply *a, const struct hd_reply *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->lane, b->lane);
    assert_true(a->sequence == b->sequence);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->wanted, b->wanted);
    same_lease(&a->lease, &b->lease);
    assert_int_equal(a->command_count, b->command_count);
    for (size_t i = 0; i < a->command_count; i++) {
        same_attempt(a->commands[i].attempt, b->commands[i].attempt);
        assert_int_equal(a->commands[i].action, b->commands[i].action);
    }
    assert_int_equal(a->drain, b->drain);
    assert_true(a->ping_ms == b->ping_ms);
    assert_true(a->echo == b->echo);
    assert_int_equal(a->code, b->code);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->view_json, b->view_json);
}

static void same_entry(const struct hd_ns_entry *a, const struct hd_ns_entry *b)
{
    assert_int_equal(a->role, b->role);
    assert_string_equal(a->id, b->id);
    assert_true(a->incarnation == b->incarnation);
    assert_string_equal(a->address, b->address);
    assert_int_equal(a->run_count, b->run_count);
    for (size_t i = 0; i < a->run_count; i++)
        assert_string_equal(a->runs[i], b->runs[i]);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void any_request_comes_back_the_same(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        fresh();
        hd_rng_fork(1, "request", round, &rng);
        struct hd_request request = any_request(), back;
        assert_hd_ok(hd_request_encode(&request, &out, &err));
        assert_hd_ok(hd_request_decode(out.data, out.size, arena, &back, &err));
        same_request(&request, &back);
        assert_hd_ok(hd_request_encode(&back, &again, &err));
        assert_int_equal(out.size, again.size);
        assert_memory_equal(out.data, again.data, out.size);
    }
}

static void any_reply_comes_back_the_same(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        fresh();
        hd_rng_fork(1, "reply", round, &rng);
        struct hd_reply reply = any_reply(), back;
        assert_hd_ok(hd_reply_encode(&reply, &out, &err));
        assert_hd_ok(hd_reply_decode(out.data, out.size, arena, &back, &err));
        same_reply(&reply, &back);
    }
}

static void any_nameserver_message_comes_back_the_same(void **state)
{
    (void)state;
    struct hd_ns_reply *reply = calloc(1, sizeof(*reply)), *back = calloc(1, sizeof(*back));
    for (uint64_t round = 0; round < ROUNDS / 4; round++) {
        fresh();
        hd_rng_fork(1, "nameserver", round, &rng);
        struct hd_ns_request request = {
            .kind = (enum hd_ns_kind)hd_rng_below(&rng, HD_NS_KIND_COUNT),
            .token = any_text(HD_TOKEN_MAX),
            .entry = any_entry(),
            .ttl_ms = (int64_t)hd_rng_below(&rng, HD_NS_TTL_MS_MAX + 1),
            .run_id = any_id(),
            .role = any_bool() ? HD_NS_WORKER : HD_NS_MASTER,
        };
        struct hd_ns_request request_back;
        assert_hd_ok(hd_ns_request_encode(&request, &out, &err));
        assert_hd_ok(hd_ns_request_decode(out.data, out.size, arena, &request_back, &err));
        assert_int_equal(request.kind, request_back.kind);
        assert_string_equal(request.token, request_back.token);
        same_entry(&request.entry, &request_back.entry);
        assert_true(request.ttl_ms == request_back.ttl_ms);
        assert_string_equal(request.run_id, request_back.run_id);
        assert_int_equal(request.role, request_back.role);

        hd_buf_clear(&out);
        reply->code = (enum hd_code)hd_rng_below(&rng, HD_E_CANCELLED + 1);
        hd_copy_text(reply->text, sizeof(reply->text), any_text(HD_REASON_MAX - 1));
        reply->more = any_bool();
        reply->entry_count = any_count(HD_NS_LIST_MAX);
        for (size_t i = 0; i < reply->entry_count; i++)
            reply->entries[i] = any_entry();
        enum hd_code code = hd_ns_reply_encode(reply, &out, &err);
        if (code == HD_E_LIMIT) /* many long entries: the registry sends fewer */
            continue;
        assert_hd_ok(code);
        assert_hd_ok(hd_ns_reply_decode(out.data, out.size, arena, back, &err));
        assert_int_equal(reply->code, back->code);
        assert_string_equal(reply->text, back->text);
        assert_int_equal(reply->more, back->more);
        assert_int_equal(reply->entry_count, back->entry_count);
        for (size_t i = 0; i < reply->entry_count; i++)
            same_entry(&reply->entries[i], &back->entries[i]);
    }
    free(reply);
    free(back);
}

static void an_empty_poll_is_small_and_decodes_to_defaults(void **state)
{
    (void)state;
    struct hd_request request = {.kind = HD_REQUEST_LEASE}, back;
    assert_hd_ok(hd_request_encode(&request, &out, &err));
    assert_true(out.size <= 12);
    assert_hd_ok(hd_request_decode(out.data, out.size, arena, &back, &err));
    assert_string_equal(back.token, "");
    assert_string_equal(back.result.message, "");
    assert_true(isnan(back.result.loss));
    assert_int_equal(back.held_count, 0);
    struct hd_reply reply = {.kind = HD_REPLY_NOTHING}, reply_back;
    hd_buf_clear(&out);
    assert_hd_ok(hd_reply_encode(&reply, &out, &err));
    assert_true(out.size <= 12);
    assert_hd_ok(hd_reply_decode(out.data, out.size, arena, &reply_back, &err));
    assert_true(isnan(reply_back.lease.budget_previous));
    assert_string_equal(reply_back.lease.params_json, "");
}

/* ---- the scan -------------------------------------------------------------------------------- */

static void the_scan_refuses_what_is_no_message(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum hd_code code;
        const char *part;
    } cases[] = {
        {"", 0, HD_E_INVALID, "empty"},
        {"\xc1", 1, HD_E_INVALID, "byte 0"},
        {"\x91", 1, HD_E_INVALID, "more than there is"},
        {"\xdd\xff\xff\xff\xff", 5, HD_E_INVALID, "more than there is"},
        {"\xdf\xff\xff\xff\xff", 5, HD_E_INVALID, "more than there is"},
        {"\xdb\xff\xff\xff\xff", 5, HD_E_INVALID, "incomplete"},
        {"\xc6\xff\xff\xff\xff", 5, HD_E_INVALID, "incomplete"},
        {"\xc9\xff\xff\xff\xff\x01", 6, HD_E_INVALID, "incomplete"},
        {"\xcb\x00", 2, HD_E_INVALID, "incomplete"},
        {"\xa3zz", 3, HD_E_INVALID, "incomplete"},
        {"\x81\xa1"
         "a",
         3, HD_E_INVALID, "incomplete"},
        {"\x01\x01", 2, HD_E_INVALID, "something follows"},
        {"\x82\xa1"
         "a\x01\xa1"
         "b",
         6, HD_E_INVALID, "incomplete"},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        assert_hd_fails(hd_wire_scan(cases[i].bytes, cases[i].size, &err), cases[i].code,
                        cases[i].part);
}

static void the_scan_accepts_every_kind_of_value(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x7f", 1},
        {"\xe0", 1},
        {"\x80", 1},
        {"\x90", 1},
        {"\xa0", 1},
        {"\xc0", 1},
        {"\xc2", 1},
        {"\xc4\x01z", 3},
        {"\xc7\x01\x05z", 4},
        {"\xd4\x05z", 3},
        {"\xca\0\0\0\0", 5},
        {"\xd0\x80", 2},
        {"\xd9\x01z", 3},
        {"\xda\x00\x01z", 4},
        {"\xdc\x00\x01\xc0", 4},
        {"\xde\x00\x01\x01\x02", 5},
        {"\xd8\x05"
         "0123456789abcdef",
         18},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        assert_hd_ok(hd_wire_scan(cases[i].bytes, cases[i].size, &err));
}

static void the_scan_has_limits(void **state)
{
    (void)state;
    char deep[HD_WIRE_DEPTH_MAX + 2];
    memset(deep, '\x91', sizeof(deep));
    deep[HD_WIRE_DEPTH_MAX] = '\x01';
    assert_hd_ok(hd_wire_scan(deep, HD_WIRE_DEPTH_MAX + 1, &err));
    deep[HD_WIRE_DEPTH_MAX] = '\x91';
    deep[HD_WIRE_DEPTH_MAX + 1] = '\x01';
    assert_hd_fails(hd_wire_scan(deep, HD_WIRE_DEPTH_MAX + 2, &err), HD_E_LIMIT, "deeper");

    size_t size = HD_MESSAGE_BYTES_MAX + 1;
    char *large = calloc(1, size);
    memcpy(large, "\xdd\x00\x01\x00\x00", 5); /* 65536 items and the list itself */
    assert_hd_fails(hd_wire_scan(large, 5 + 65536, &err), HD_E_LIMIT, "parts");
    memcpy(large, "\xdd\x00\x00\xff\xff", 5);
    assert_hd_ok(hd_wire_scan(large, 5 + 65535, &err));
    assert_hd_fails(hd_wire_scan(large, size, &err), HD_E_LIMIT, "bytes");
    free(large);
}

/* ---- decoding what others wrote ---------------------------------------------------------------
 */

/* Bytes from a string literal. */
#define BYTES(text) (text), sizeof(text) - 1

static void another_version_is_refused_with_both_named(void **state)
{
    (void)state;
    struct hd_request request;
    assert_hd_fails(hd_request_decode(BYTES("\x81\xa1v\x02"), arena, &request, &err), HD_E_VERSION,
                    "version 2, this program speaks 1");
    assert_hd_fails(hd_request_decode(BYTES("\x81\xa1k\x00"), arena, &request, &err), HD_E_INVALID,
                    "no protocol version");
    assert_hd_fails(hd_request_decode(BYTES("\x01"), arena, &request, &err), HD_E_INVALID,
                    "no map");
}

static void a_message_of_another_kind_is_named(void **state)
{
    (void)state;
    struct hd_ns_request ns = {.kind = HD_NS_LIST};
    assert_hd_ok(hd_ns_request_encode(&ns, &out, &err));
    struct hd_request request;
    assert_hd_fails(hd_request_decode(out.data, out.size, arena, &request, &err), HD_E_INVALID,
                    "a request to a nameserver came where a request to a master");
}

static void wrong_fields_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum hd_code code;
        const char *part;
    } cases[] = {
        {BYTES("\x82\xa1v\x01\xa1m\x00"), HD_E_INVALID, "request.kind: missing"},
        {BYTES("\x83\xa1v\x01\xa1m\x00\xa1k\x63"), HD_E_LIMIT, "request.kind: 99 is more than"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa1t\x05"), HD_E_INVALID, "request.token: a text"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa1h\x05"), HD_E_INVALID, "request.held: a list"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa1h\x91\x92\x01\x02"), HD_E_INVALID,
         "attempt: 2 items, 4 expected"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa2sq\xff"), HD_E_INVALID,
         "request.sequence: a whole number from 0 on"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa2wt\xcd\xff\xff"), HD_E_LIMIT, "wait_ms"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa2wt\xff"), HD_E_LIMIT, "wait_ms"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa2"
               "dr\x01"),
         HD_E_INVALID, "true or false"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa1r\xa4../x"), HD_E_INVALID, "run_id"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x03\xa1k\x03"), HD_E_INVALID, "given twice"},
        {BYTES("\x83\xa1v\x01\xa1m\x00\xa1k\x03"), HD_E_INVALID, "without an attempt"},
        {BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x03\xa2re\x90"), HD_E_INVALID, "a map expected"},
    };
    struct hd_request request = {.kind = HD_REQUEST_BYE};
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        assert_hd_fails(hd_request_decode(cases[i].bytes, cases[i].size, arena, &request, &err),
                        cases[i].code, cases[i].part);
    assert_int_equal(request.kind, HD_REQUEST_BYE);
    struct hd_reply reply;
    assert_hd_fails(hd_reply_decode(BYTES("\x83\xa1v\x01\xa1m\x01\xa1k\x01"), arena, &reply, &err),
                    HD_E_INVALID, "lease without");
}

static void unknown_keys_and_longer_lists_are_stepped_over(void **state)
{
    (void)state;
    struct hd_request request;
    assert_hd_ok(hd_request_decode(
        BYTES("\x86" /* six pairs, the header not first */
              "\xa6"
              "future\x82\x01\x92\x02\x03\xa1x\xc0" /* an unknown key with a deep value */
              "\xa1k\x02"
              "\x91\x05\x07"                      /* a key that is no text */
              "\xa1h\x91\x95\x09\x08\x07\x06\x63" /* an attempt with a fifth member */
              "\xa1m\x00\xa1v\x01"),
        arena, &request, &err));
    assert_int_equal(request.kind, HD_REQUEST_PING);
    assert_int_equal(request.held_count, 1);
    same_attempt(request.held[0], (struct hd_attempt_ref){9, 8, 7, 6});
}

static void broken_text_becomes_readable_text(void **state)
{
    (void)state;
    struct hd_request request;
    assert_hd_ok(hd_request_decode(BYTES("\x84\xa1v\x01\xa1m\x00\xa1k\x00\xa2ho\xae"
                                         "a\xff"
                                         "b\0\xed\xa0\x80\xc3\xa4\xe2\x82\xac\xf0\x9f"),
                                   arena, &request, &err));
    assert_string_equal(request.host, "a?b????\xc3\xa4\xe2\x82\xac??");
}

/* ---- encoding within limits --------------------------------------------------------------------
 */

static void too_much_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    char long_text[HD_MESSAGE_MAX + 1];
    memset(long_text, 'x', sizeof(long_text));
    long_text[HD_MESSAGE_MAX] = '\0';
    struct hd_request request = {
        .kind = HD_REQUEST_REPORT,
        .result = {.attempt = {1, 2, 3}, .message = long_text},
    };
    assert_hd_ok(hd_buf_puts(&out, "kept", &err));
    assert_hd_fails(hd_request_encode(&request, &out, &err), HD_E_LIMIT,
                    "result.message: longer than 511 bytes");
    assert_string_equal(hd_buf_text(&out), "kept");
    struct hd_request crowded = {.kind = HD_REQUEST_HELLO, .held_count = HD_HELD_MAX + 1};
    assert_hd_fails(hd_request_encode(&crowded, &out, &err), HD_E_LIMIT, "request.held: count 257");
    struct hd_request odd = {.kind = HD_REQUEST_LEASE, .wait_ms = -1};
    assert_hd_fails(hd_request_encode(&odd, &out, &err), HD_E_LIMIT, "request.wait_ms: -1");
    struct hd_request path = {.kind = HD_REQUEST_LEASE, .run_id = "../x"};
    assert_hd_fails(hd_request_encode(&path, &out, &err), HD_E_INVALID, "run_id");
    char *huge = malloc(HD_VIEW_JSON_MAX + 1);
    memset(huge, 'x', HD_VIEW_JSON_MAX);
    huge[HD_VIEW_JSON_MAX] = '\0';
    struct hd_request both = {
        .kind = HD_REQUEST_SUBMIT, .experiment_json = huge, .view_json = huge};
    assert_hd_fails(hd_request_encode(&both, &out, &err), HD_E_LIMIT, "bytes");
    free(huge);
    assert_string_equal(hd_buf_text(&out), "kept");
    struct hd_buf small;
    hd_buf_init(&small, 4);
    assert_hd_fails(hd_request_encode(&odd, &small, &err), HD_E_LIMIT, "");
    assert_int_equal(small.size, 0);
    hd_buf_release(&small);
}

static void a_cut_message_is_an_error_wherever_it_is_cut(void **state)
{
    (void)state;
    hd_rng_seed(&rng, 7);
    struct hd_request request = any_request(), back;
    assert_hd_ok(hd_request_encode(&request, &out, &err));
    for (size_t size = 0; size < out.size; size++) {
        char *cut = malloc(size + 1); /* exactly its size: a sanitizer sees a byte too many */
        memcpy(cut, out.data, size);
        assert_int_not_equal(hd_request_decode(cut, size, arena, &back, &err), HD_OK);
        free(cut);
    }
}

#define wire_test(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        wire_test(any_request_comes_back_the_same),
        wire_test(any_reply_comes_back_the_same),
        wire_test(any_nameserver_message_comes_back_the_same),
        wire_test(an_empty_poll_is_small_and_decodes_to_defaults),
        wire_test(the_scan_refuses_what_is_no_message),
        wire_test(the_scan_accepts_every_kind_of_value),
        wire_test(the_scan_has_limits),
        wire_test(another_version_is_refused_with_both_named),
        wire_test(a_message_of_another_kind_is_named),
        wire_test(wrong_fields_are_refused_by_name),
        wire_test(unknown_keys_and_longer_lists_are_stepped_over),
        wire_test(broken_text_becomes_readable_text),
        wire_test(too_much_is_refused_before_it_is_sent),
        wire_test(a_cut_message_is_an_error_wherever_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
