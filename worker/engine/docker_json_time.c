/* SPDX-License-Identifier: Apache-2.0 */
/* docker_json_time.c: times as the engine writes them. Pure; see docker_json.h. */
#include "docker_json.h"

#include <ctype.h>
#include <string.h>

/* Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2) {
        year--;
        month += 12;
    }
    int64_t day_of_year = (153 * (month - 3) + 2) / 5 + day - 1;
    return 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/* Exactly `digits` decimal digits at *text, which moves on. */
static bool take_digits(const char **text, int digits, int64_t *ret_number)
{
    int64_t number = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        number = number * 10 + (**text - '0');
    }
    *ret_number = number;
    return true;
}

static bool take_char(const char **text, const char *any_of)
{
    if (**text == '\0' || strchr(any_of, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

static bool take_zone(const char **text, int64_t *ret_seconds)
{
    int64_t hours, minutes;
    if (take_char(text, "Zz")) {
        *ret_seconds = 0;
        return **text == '\0';
    }
    bool negative = **text == '-';
    if (!take_char(text, "+-") || !take_digits(text, 2, &hours) || !take_char(text, ":") ||
        !take_digits(text, 2, &minutes) || **text != '\0')
        return false;
    *ret_seconds = (negative ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool parse_stamp(const char *text, int64_t *ret_seconds, int64_t *ret_nanoseconds)
{
    int64_t year, month, day, hour, minute, second, zone;
    int64_t nanoseconds = 0;
    bool good =
        take_digits(&text, 4, &year) && take_char(&text, "-") && take_digits(&text, 2, &month) &&
        take_char(&text, "-") && take_digits(&text, 2, &day) && take_char(&text, "Tt ") &&
        take_digits(&text, 2, &hour) && take_char(&text, ":") && take_digits(&text, 2, &minute) &&
        take_char(&text, ":") && take_digits(&text, 2, &second);
    if (!good || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    if (take_char(&text, ".")) {
        int64_t unit = 100000000;
        for (; isdigit((unsigned char)*text); text++, unit /= 10)
            nanoseconds += (*text - '0') * unit;
    }
    if (!take_zone(&text, &zone))
        return false;
    *ret_seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    *ret_nanoseconds = nanoseconds;
    return true;
}

bool hd_docker_parse_time(const char *text, int64_t *ret_wall_ms)
{
    int64_t seconds, nanoseconds;
    if (text == NULL || !parse_stamp(text, &seconds, &nanoseconds))
        return false;
    *ret_wall_ms = seconds < 0 ? 0 : seconds * 1000 + nanoseconds / 1000000;
    return true;
}

bool hd_docker_since_text(const char *stamp, char *ret_text, size_t text_size)
{
    int64_t seconds, nanoseconds;
    return parse_stamp(stamp, &seconds, &nanoseconds) && seconds >= 0 &&
           hd_format(ret_text, text_size, "%lld.%09lld", (long long)seconds,
                     (long long)nanoseconds);
}
