/* SPDX-License-Identifier: Apache-2.0 */
#include "until.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static enum hd_code in_future(const char *text, int64_t wall_ms, int64_t now_wall_ms,
                              int64_t *ret_wall_ms, struct hd_err *err)
{
    if (wall_ms <= now_wall_ms)
        return hd_fail(err, HD_E_INVALID, "%.64s has passed already", text);
    *ret_wall_ms = wall_ms;
    return HD_OK;
}

enum hd_code hd_until_parse_epoch(const char *text, int64_t now_wall_ms, int64_t *ret_wall_ms,
                                  struct hd_err *err)
{
    int64_t seconds;
    if (!hd_parse_i64(text, &seconds) || seconds < 0 || seconds > HD_UNTIL_SECONDS_MAX)
        return hd_fail(err, HD_E_INVALID, "%.64s: expected seconds since 1970", text);
    return in_future(text, seconds * 1000, now_wall_ms, ret_wall_ms, err);
}

/* mktime() mends 31 February: what it changed was no date. */
static bool is_real(const struct tm *asked, const struct tm *mended)
{
    return asked->tm_mday == mended->tm_mday && asked->tm_mon == mended->tm_mon &&
           asked->tm_hour < 24 && asked->tm_min < 60 && asked->tm_sec < 60;
}

static bool parse_date(const char *text, int64_t *ret_wall_ms)
{
    struct tm asked = {.tm_isdst = -1};
    char between = '\0';
    int used = 0, second = 0, seconds_used = 0;
    if (sscanf(text, "%4d-%2d-%2d%c%2d:%2d%n", &asked.tm_year, &asked.tm_mon, &asked.tm_mday,
               &between, &asked.tm_hour, &asked.tm_min, &used) != 6 ||
        (between != 'T' && between != ' '))
        return false;
    const char *rest = text + used;
    if (sscanf(rest, ":%2d%n", &second, &seconds_used) == 1)
        rest += seconds_used;
    bool universal = hd_streq(rest, "Z");
    if ((!universal && rest[0] != '\0') || second < 0 || asked.tm_hour < 0 || asked.tm_min < 0)
        return false;
    asked.tm_year -= 1900;
    asked.tm_mon -= 1;
    asked.tm_sec = second;
    struct tm mended = asked;
    time_t seconds = universal ? timegm(&mended) : mktime(&mended);
    if (seconds < 0 || seconds > HD_UNTIL_SECONDS_MAX || !is_real(&asked, &mended))
        return false;
    *ret_wall_ms = (int64_t)seconds * 1000;
    return true;
}

static bool parse_clock(const char *text, int64_t now_wall_ms, int64_t *ret_wall_ms)
{
    int hour = -1, minute = -1, used = 0;
    time_t now = (time_t)(now_wall_ms / 1000);
    struct tm day;
    if (sscanf(text, "%2d:%2d%n", &hour, &minute, &used) != 2 || text[used] != '\0' || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || localtime_r(&now, &day) == NULL)
        return false;
    day.tm_hour = hour;
    day.tm_min = minute;
    day.tm_sec = 0;
    day.tm_isdst = -1;
    struct tm today = day;
    int64_t wall_ms = (int64_t)mktime(&today) * 1000;
    if (wall_ms <= now_wall_ms) {
        day.tm_mday++;
        wall_ms = (int64_t)mktime(&day) * 1000;
    }
    *ret_wall_ms = wall_ms;
    return true;
}

enum hd_code hd_until_parse(const char *text, int64_t now_wall_ms, int64_t *ret_wall_ms,
                            struct hd_err *err)
{
    int64_t ms;
    struct hd_err ignored;
    if (text[0] == '@')
        return hd_until_parse_epoch(text + 1, now_wall_ms, ret_wall_ms, err);
    if (parse_clock(text, now_wall_ms, &ms) || parse_date(text, &ms))
        return in_future(text, ms, now_wall_ms, ret_wall_ms, err);
    if (hd_parse_duration(text, &ms, &ignored) == HD_OK)
        return in_future(text, now_wall_ms + ms, now_wall_ms, ret_wall_ms, err);
    return hd_fail(err, HD_E_INVALID,
                   "%.64s is no time: give a duration (90m), a time of day (08:30), a date "
                   "(2026-01-01T08:30) or @ and seconds since 1970",
                   text);
}
