/* SPDX-License-Identifier: Apache-2.0 */
/* When a worker has to be gone, as people say it. */
#include "testlib.h"
#include "until.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

static struct hd_err err;

static int in_a_far_zone(void **state)
{
    (void)state;
    setenv("TZ", "XYZ-5:30", 1); /* five and a half hours ahead */
    tzset();
    return 0;
}

static void times_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t after_ms;
    } rows[] = {
        {"90m", 90 * MINUTE_MS},
        {"1h30m", 90 * MINUTE_MS},
        {"@1767225601", 1000},
        {"2026-01-01T02:00Z", 2 * HOUR_MS},
        {"2026-01-01 02:00:07Z", 2 * HOUR_MS + 7000},
        {"2026-01-01T06:00", 30 * MINUTE_MS}, /* local time */
        {"06:00", 30 * MINUTE_MS},
        {"5:30", 24 * HOUR_MS}, /* it is that now: tomorrow */
        {"05:29", 24 * HOUR_MS - MINUTE_MS},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        int64_t wall_ms = 0;
        assert_hd_ok(hd_until_parse(rows[i].text, NOW_MS, &wall_ms, &err));
        if (wall_ms - NOW_MS != rows[i].after_ms)
            fail_msg("%s is %lld ms from now, not %lld", rows[i].text,
                     (long long)(wall_ms - NOW_MS), (long long)rows[i].after_ms);
    }
}

static void what_is_no_time_or_has_passed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "is no time"},
        {"soon", "is no time"},
        {"24:00", "is no time"},
        {"08:60", "is no time"},
        {"08:30pm", "is no time"},
        {"2026-02-30T08:00", "is no time"},
        {"2026-01-02T25:00", "is no time"},
        {"2026-01-02", "is no time"},
        {"2026-01-02T08:00+01", "is no time"},
        {"@", "expected seconds since 1970"},
        {"@soon", "expected seconds since 1970"},
        {"@99999999999999", "expected seconds since 1970"},
        {"@1767225600", "has passed"},
        {"2020-01-01T00:00Z", "has passed"},
        {"0s", "has passed"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        int64_t wall_ms = 5;
        assert_hd_fails(hd_until_parse(rows[i].text, NOW_MS, &wall_ms, &err), HD_E_INVALID,
                        rows[i].why);
        assert_int_equal(wall_ms, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_people_write_them),
        cmocka_unit_test(what_is_no_time_or_has_passed_is_refused),
    };
    return cmocka_run_group_tests(tests, in_a_far_zone, NULL);
}
