/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <hd/registry.h>
#include <stdio.h>
#include <string.h>

#define TTL_MS 1000

static struct hd_err err;
static struct hd_registry *registry;
static struct hd_ns_reply reply;
static char note[HD_REASON_MAX];

static int setup(void **state)
{
    (void)state;
    assert_hd_ok(hd_registry_new(TTL_MS, &registry, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hd_registry_free(registry);
    return 0;
}

static struct hd_ns_request master(const char *id, uint64_t incarnation, const char *run_id)
{
    struct hd_ns_request request = {
        .kind = HD_NS_REGISTER,
        .entry = {.role = HD_NS_MASTER,
                  .id = id,
                  .incarnation = incarnation,
                  .address = "tcp://h:1"},
        .run_id = "",
    };
    if (run_id != NULL)
        request.entry.runs[request.entry.run_count++] = run_id;
    return request;
}

static struct hd_ns_request worker(const char *id, uint64_t incarnation)
{
    return (struct hd_ns_request){
        .kind = HD_NS_REGISTER,
        .entry = {.role = HD_NS_WORKER, .id = id, .incarnation = incarnation, .address = ""},
        .run_id = "",
    };
}

static enum hd_code step(int64_t now_ms, struct hd_ns_request request)
{
    hd_registry_step(registry, now_ms, &request, &reply, note);
    return reply.code;
}

static size_t look_up(int64_t now_ms, const char *run_id)
{
    struct hd_ns_request request = {.kind = HD_NS_LOOKUP, .run_id = run_id};
    assert_int_equal(step(now_ms, request), HD_OK);
    return reply.entry_count;
}

static void a_master_is_found_by_its_runs(void **state)
{
    (void)state;
    struct hd_ns_request two = master("m1", 1, "a");
    two.entry.runs[two.entry.run_count++] = "b";
    assert_int_equal(step(0, two), HD_OK);
    assert_non_null(strstr(note, "master m1 registered at tcp://h:1, run a"));
    assert_int_equal(step(0, master("m2", 1, "c")), HD_OK);
    assert_int_equal(look_up(0, "b"), 1);
    assert_string_equal(reply.entries[0].id, "m1");
    assert_string_equal(reply.entries[0].address, "tcp://h:1");
    assert_int_equal(look_up(0, "c"), 1);
    assert_int_equal(look_up(0, "d"), 0);
    assert_int_equal(look_up(0, ""), 2);
    assert_int_equal(step(0, worker("w", 1)), HD_OK);
    assert_int_equal(look_up(0, ""), 2); /* workers are not looked up */
    struct hd_ns_request list = {.kind = HD_NS_LIST, .role = HD_NS_WORKER, .run_id = ""};
    assert_int_equal(step(0, list), HD_OK);
    assert_int_equal(reply.entry_count, 1);
    assert_int_equal(hd_registry_count(registry, HD_NS_MASTER), 2);
    assert_int_equal(hd_registry_count(registry, HD_NS_WORKER), 1);
}

static void who_does_not_renew_is_forgotten(void **state)
{
    (void)state;
    assert_true(hd_registry_expire(registry, 0) == HD_NEVER_MS);
    assert_int_equal(step(0, master("m", 1, "a")), HD_OK);
    struct hd_ns_request slow = worker("w", 1);
    slow.ttl_ms = 5000;
    assert_int_equal(step(0, slow), HD_OK);
    assert_true(hd_registry_expire(registry, 0) == TTL_MS);
    assert_int_equal(step(600, master("m", 1, "a")), HD_OK);
    assert_string_equal(note, ""); /* a renewal is no news */
    assert_int_equal(look_up(1599, "a"), 1);
    assert_int_equal(look_up(1600, "a"), 0);
    assert_int_equal(hd_registry_count(registry, HD_NS_WORKER), 1);
    assert_true(hd_registry_expire(registry, 5000) == HD_NEVER_MS);
}

static void an_empty_registry_is_refilled_by_renewals(void **state)
{
    (void)state;
    assert_int_equal(step(0, master("m", 1, "a")), HD_OK);
    hd_registry_free(registry);
    assert_hd_ok(hd_registry_new(TTL_MS, &registry, &err));
    assert_int_equal(look_up(1, "a"), 0);
    assert_int_equal(step(2, master("m", 1, "a")), HD_OK);
    assert_int_equal(look_up(2, "a"), 1);
}

static void one_run_has_one_living_master(void **state)
{
    (void)state;
    assert_int_equal(step(0, master("m1", 5, "a")), HD_OK);
    assert_int_equal(step(400, master("m2", 9, "a")), HD_E_EXISTS);
    assert_non_null(strstr(reply.text, "run a is served by another master, at tcp://h:1"));
    assert_non_null(strstr(reply.text, "wait 1 s"));
    assert_int_equal(look_up(400, "a"), 1);
    assert_string_equal(reply.entries[0].id, "m1");
    assert_int_equal(step(1000, master("m2", 9, "a")), HD_OK); /* the first is dead now */
    assert_int_equal(step(1001, master("m1", 5, "a")), HD_E_EXISTS);
    assert_int_equal(step(1001, master("m1", 5, "b")), HD_OK);
    assert_int_equal(step(1002, master("m1", 5, "a")), HD_E_EXISTS); /* nor by adding the run */
    assert_int_equal(look_up(1002, "b"), 1);
}

static void a_later_start_replaces_an_earlier_one_and_never_the_reverse(void **state)
{
    (void)state;
    assert_int_equal(step(0, master("m", 5, "a")), HD_OK);
    assert_int_equal(step(1, master("m", 6, "b")), HD_OK);
    assert_int_equal(look_up(1, "a"), 0);
    assert_int_equal(look_up(1, "b"), 1);
    assert_int_equal(step(2, master("m", 5, "a")), HD_E_CONFLICT);
    assert_int_equal(look_up(2, "a"), 0);
    struct hd_ns_request bye = master("m", 5, NULL);
    bye.kind = HD_NS_UNREGISTER;
    assert_int_equal(step(3, bye), HD_E_CONFLICT);
    assert_int_equal(look_up(3, "b"), 1);
}

static void leaving_is_possible_twice(void **state)
{
    (void)state;
    assert_int_equal(step(0, worker("w1", 1)), HD_OK);
    assert_int_equal(step(0, worker("w2", 1)), HD_OK);
    struct hd_ns_request bye = worker("w1", 1);
    bye.kind = HD_NS_UNREGISTER;
    assert_int_equal(step(1, bye), HD_OK);
    assert_string_equal(note, "worker w1 left");
    assert_int_equal(step(2, bye), HD_OK);
    assert_string_equal(note, "");
    assert_int_equal(hd_registry_count(registry, HD_NS_WORKER), 1);
}

static void incomplete_registrations_are_refused(void **state)
{
    (void)state;
    struct hd_ns_request nowhere = master("m", 1, "a");
    nowhere.entry.address = "";
    assert_int_equal(step(0, nowhere), HD_E_INVALID);
    assert_int_equal(step(0, master("", 1, "a")), HD_E_INVALID);
    assert_int_equal(step(0, master("m", 1, "")), HD_E_INVALID);
    assert_int_equal(hd_registry_count(registry, HD_NS_MASTER), 0);
}

static void the_registry_is_bounded_and_says_more(void **state)
{
    (void)state;
    char id[HD_WORKER_ID_MAX];
    for (int i = 0; i < HD_NS_ENTRIES_MAX; i++) {
        snprintf(id, sizeof(id), "w%d", i);
        assert_int_equal(step(0, worker(id, 1)), HD_OK);
    }
    assert_int_equal(step(1, worker("one more", 1)), HD_E_LIMIT);
    assert_int_equal(step(1, worker("w7", 1)), HD_OK); /* renewals go on */
    struct hd_ns_request list = {.kind = HD_NS_LIST, .role = HD_NS_WORKER, .run_id = ""};
    assert_int_equal(step(1, list), HD_OK);
    assert_int_equal(reply.entry_count, HD_NS_LIST_MAX);
    assert_true(reply.more);
    assert_int_equal(step(TTL_MS, worker("one more", 1)), HD_OK); /* the dead made room */
    assert_int_equal(hd_registry_count(registry, HD_NS_WORKER), 2);
}

static void a_list_always_fits_a_message(void **state)
{
    (void)state;
    char id[HD_WORKER_ID_MAX], names[HD_NS_LIST_MAX][HD_NS_RUNS_PER_MASTER_MAX][HD_ID_MAX + 1];
    char address[HD_ADDRESS_MAX];
    memset(address, 'a', sizeof(address));
    address[sizeof(address) - 1] = '\0';
    for (int i = 0; i < HD_NS_LIST_MAX; i++) {
        snprintf(id, sizeof(id), "%0127d", i);
        struct hd_ns_request request = master(id, 1, NULL);
        request.entry.address = address;
        for (int k = 0; k < HD_NS_RUNS_PER_MASTER_MAX; k++) {
            snprintf(names[i][k], sizeof(names[i][k]), "%032d%032d", i, k);
            request.entry.runs[request.entry.run_count++] = names[i][k];
        }
        assert_int_equal(step(0, request), HD_OK);
    }
    assert_true(look_up(0, "") > 100);
    assert_true(reply.more);
    struct hd_buf out;
    hd_buf_init(&out, 2 * HD_MESSAGE_BYTES_MAX);
    assert_hd_ok(hd_ns_reply_encode(&reply, &out, &err));
    hd_buf_release(&out);
}

static void without_memory_a_registration_fails_and_nothing_is_lost(void **state)
{
    (void)state;
    assert_int_equal(step(0, master("m1", 1, "a")), HD_OK);
    size_t failures = 0;
    for (int64_t countdown = 0;; countdown++) {
        char id[32];
        snprintf(id, sizeof(id), "m%d", 100 + (int)countdown);
        hd_test_fail_alloc_after(countdown);
        enum hd_code code = step(1, master(id, 1, NULL));
        hd_test_fail_alloc_after(-1);
        assert_int_equal(look_up(1, "a"), 1);
        if (code == HD_OK)
            break;
        assert_int_equal(code, HD_E_NOMEM);
        failures++;
    }
    assert_true(failures >= 1);
}

#define registry_test(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        registry_test(a_master_is_found_by_its_runs),
        registry_test(who_does_not_renew_is_forgotten),
        registry_test(an_empty_registry_is_refilled_by_renewals),
        registry_test(one_run_has_one_living_master),
        registry_test(a_later_start_replaces_an_earlier_one_and_never_the_reverse),
        registry_test(leaving_is_possible_twice),
        registry_test(incomplete_registrations_are_refused),
        registry_test(the_registry_is_bounded_and_says_more),
        registry_test(a_list_always_fits_a_message),
        registry_test(without_memory_a_registration_fails_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
