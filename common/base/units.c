/* SPDX-License-Identifier: Apache-2.0 */
/* units.c: durations and sizes as people write them. */
#include <hd/base.h>

#include <math.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1e3}, {"sec", 1e3}, {"m", 60e3}, {"min", 60e3}, {"h", 3600e3}, {"d", 86400e3},
};

#define KIB 1024.0
static const struct unit size_units[] = {
    {"b", 1},
    {"k", KIB},
    {"ki", KIB},
    {"kib", KIB},
    {"kb", 1e3},
    {"m", KIB *KIB},
    {"mi", KIB *KIB},
    {"mib", KIB *KIB},
    {"mb", 1e6},
    {"g", KIB *KIB *KIB},
    {"gi", KIB *KIB *KIB},
    {"gib", KIB *KIB *KIB},
    {"gb", 1e9},
    {"t", KIB *KIB *KIB *KIB},
    {"ti", KIB *KIB *KIB *KIB},
    {"tib", KIB *KIB *KIB *KIB},
    {"tb", 1e12},
};

#define PART_SIZE 40

/* Reads "12.5min" from *text on: the number, and the unit ("" when none). Moves *text. */
static bool read_part(const char **text, double *ret_number, char unit[PART_SIZE])
{
    char number[PART_SIZE];
    size_t number_size = strspn(*text, "0123456789.");
    size_t unit_size =
        strspn(*text + number_size, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (number_size == 0 || number_size >= PART_SIZE || unit_size >= PART_SIZE)
        return false;
    memcpy(number, *text, number_size);
    number[number_size] = '\0';
    memcpy(unit, *text + number_size, unit_size);
    unit[unit_size] = '\0';
    *text += number_size + unit_size;
    return hd_parse_double(number, ret_number);
}

static bool find_unit(const struct unit *units, size_t count, const char *name, double *ret_factor)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(units[i].name, name) == 0) {
            *ret_factor = units[i].factor;
            return true;
        }
    return false;
}

enum hd_code hd_parse_duration(const char *text, int64_t *ret_ms, struct hd_err *err)
{
    const char *at = text;
    double total_ms = 0;
    do {
        double number, factor = 1e3;
        char unit[PART_SIZE];
        bool whole = at == text;
        if (!read_part(&at, &number, unit) || (unit[0] == '\0' && !(whole && *at == '\0')) ||
            (unit[0] != '\0' &&
             !find_unit(duration_units, HD_COUNT(duration_units), unit, &factor)))
            return hd_fail(err, HD_E_INVALID,
                           "\"%.60s\" is not a duration; write 90, 90s, 1m, 1h30m, 250ms or 2d",
                           text);
        total_ms += number * factor;
    } while (*at != '\0');
    if (total_ms > (double)HD_DURATION_MS_MAX)
        return hd_fail(err, HD_E_INVALID, "\"%.60s\" is longer than %d years", text,
                       HD_DURATION_YEARS_MAX);
    *ret_ms = (int64_t)llround(total_ms);
    return HD_OK;
}

enum hd_code hd_parse_size(const char *text, uint64_t *ret_bytes, struct hd_err *err)
{
    const char *at = text;
    double number, factor = 1;
    char unit[PART_SIZE];
    if (!read_part(&at, &number, unit) || *at != '\0' ||
        (unit[0] != '\0' && !find_unit(size_units, HD_COUNT(size_units), unit, &factor)))
        return hd_fail(err, HD_E_INVALID,
                       "\"%.60s\" is not a size; write 1073741824, 64k, 512MiB or 1GB", text);
    double bytes = number * factor;
    if (bytes > (double)HD_SIZE_BYTES_MAX)
        return hd_fail(err, HD_E_INVALID, "\"%.60s\" is more than 8192 TiB", text);
    *ret_bytes = (uint64_t)llround(bytes);
    return HD_OK;
}
