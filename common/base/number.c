/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c: numbers from and to text, whatever the locale says.
 *
 * The C library rounds correctly but writes and expects the decimal point of the locale. That
 * point is found by printing one half; texts are translated on the way in and out.
 */
#include <hd/base.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define POINT_SIZE 16

static void locale_point(char point[POINT_SIZE])
{
    char half[POINT_SIZE + 2];
    int size = snprintf(half, sizeof(half), "%.1f", 0.5);
    hd_assert(size >= 3 && (size_t)size < sizeof(half));
    memcpy(point, half + 1, (size_t)size - 2);
    point[size - 2] = '\0';
}

/* Translates a text of the C library in place: the locale's point becomes '.'. */
static void use_dot(char *text)
{
    char point[POINT_SIZE];
    locale_point(point);
    char *found = strstr(text, point);
    if (found == NULL || hd_streq(point, "."))
        return;
    size_t size = strlen(point);
    *found = '.';
    memmove(found + 1, found + size, strlen(found + size) + 1);
}

/* text has the checked form of a decimal number. */
static double read_decimal(const char *text, size_t size)
{
    char point[POINT_SIZE];
    locale_point(point);
    const char *dot = strchr(text, '.');
    if (dot == NULL || hd_streq(point, "."))
        return strtod(text, NULL);
    char translated[HD_NUMBER_TEXT_MAX + POINT_SIZE];
    size_t head = (size_t)(dot - text), point_size = strlen(point);
    memcpy(translated, text, head);
    memcpy(translated + head, point, point_size);
    memcpy(translated + head + point_size, dot + 1, size - head); /* with the terminator */
    return strtod(translated, NULL);
}

static bool print_exactly(char *dst, size_t dst_size, double number, int digits)
{
    int size = snprintf(dst, dst_size, "%.*g", digits, number);
    hd_assert(size > 0 && (size_t)size < dst_size);
    double back = strtod(dst, NULL);
    return !(back < number || back > number);
}

/* ---- the common numbers, fast -----------------------------------------------------------------
 *
 * A double is m * 2^-shift with m below 2^53. For 10^-4 <= number < 10^15 its 17 digits are
 * m * 10^scale / 2^shift with a scale of at most 20, so that the product fits 128 bits and the
 * division is a shift: digits, rounding and what reads back are exact, in a tenth of the time that
 * snprintf and strtod take.
 */

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 wide;

#define PLAIN_LOW 1e-4 /* below it, and from 10^15 on, "%.15g" writes an exponent */
#define PLAIN_HIGH 1e15

/* product / 2^shift (from 1 on), rounded to nearest, ties to even, as printf does. */
static uint64_t shift_rounded(wide product, int shift)
{
    wide quotient = product >> shift, rest = product - (quotient << shift);
    wide half = (wide)1 << (shift - 1);
    if (rest > half || (rest == half && (quotient & 1) != 0))
        quotient++;
    return (uint64_t)quotient;
}

/* The digits as "%g" writes them: scale of them behind the point, no zeros at the end. */
static void write_digits(char *dst, bool negative, uint64_t digits, int scale)
{
    char text[32];
    int count = 0;
    for (; scale > 0 && digits % 10 == 0; scale--)
        digits /= 10;
    for (; digits > 0 || count <= scale; digits /= 10) {
        if (count == scale && scale > 0) {
            text[count++] = '.';
            scale = 0;
        }
        text[count++] = (char)('0' + digits % 10);
    }
    if (negative)
        *dst++ = '-';
    while (count > 0)
        *dst++ = text[--count];
    *dst = '\0';
}

/* False: another way must be taken. dst_size is HD_DOUBLE_TEXT_SIZE at least. */
static bool print_plain(char *dst, double number)
{
    double size = fabs(number);
    if (!(size >= PLAIN_LOW && size < PLAIN_HIGH))
        return false;
    int exponent;
    uint64_t mantissa = (uint64_t)ldexp(frexp(size, &exponent), 53);
    int shift = 53 - exponent; /* 3 to 66 */
    if (mantissa == UINT64_C(1) << 52)
        return false; /* its neighbours are not equally far */
    /* 15 digits: 10^14 <= size * 10^scale < 10^15 before rounding. */
    int scale = 0;
    wide power = 1;
    while ((wide)mantissa * power >> shift < UINT64_C(100000000000000)) {
        power *= 10;
        scale++;
    }
    for (int digit_count = 15; digit_count <= 17; digit_count++, scale++, power *= 10) {
        wide product = (wide)mantissa * power;
        uint64_t digits = shift_rounded(product, shift);
        wide printed = (wide)digits << shift;
        wide off = 2 * (printed > product ? printed - product : product - printed);
        bool exact = off < power || (off == power && (mantissa & 1) == 0);
        if (!exact)
            continue;
        write_digits(dst, number < 0, digits, scale);
        return digits < UINT64_C(1000000000000000) || digit_count > 15;
    }
    return false;
}
#else
static bool print_plain(char *dst, double number)
{
    (void)dst;
    (void)number;
    return false;
}
#endif

void hd_format_double(char *dst, size_t dst_size, double number)
{
    hd_assert(dst_size >= HD_DOUBLE_TEXT_SIZE);
    if (isnan(number)) {
        hd_copy_text(dst, dst_size, "NaN");
        return;
    }
    if (isinf(number)) {
        hd_copy_text(dst, dst_size, number > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (print_plain(dst, number))
        return;
    /* A normal double is exact in 15 digits (printed without trailing zeros) or in no fewer;
     * only subnormals can be named by fewer digits than %.15g prints. */
    int digits = isnormal(number) || !(number < 0 || number > 0) ? 15 : 1;
    while (!print_exactly(dst, dst_size, number, digits))
        digits++;
    use_dot(dst);
}

static size_t skip_digits(const char *text, size_t at)
{
    while (text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the point. */
static bool is_decimal(const char *text)
{
    size_t start = text[0] == '+' || text[0] == '-' ? 1 : 0;
    size_t at = skip_digits(text, start);
    size_t digits = at - start;
    if (text[at] == '.') {
        size_t end = skip_digits(text, at + 1);
        digits += end - at - 1;
        at = end;
    }
    if (digits == 0)
        return false;
    if (text[at] == 'e' || text[at] == 'E') {
        at++;
        if (text[at] == '+' || text[at] == '-')
            at++;
        size_t end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return text[at] == '\0';
}

bool hd_parse_double(const char *text, double *ret_number)
{
    const char *bare = text[0] == '+' || text[0] == '-' ? text + 1 : text;
    double sign = text[0] == '-' ? -1 : 1;
    if (strcasecmp(bare, "nan") == 0) {
        *ret_number = NAN;
        return true;
    }
    if (strcasecmp(bare, "inf") == 0 || strcasecmp(bare, "infinity") == 0) {
        *ret_number = sign * INFINITY;
        return true;
    }
    size_t size = strnlen(text, HD_NUMBER_TEXT_MAX);
    if (size == HD_NUMBER_TEXT_MAX || !is_decimal(text))
        return false;
    *ret_number = read_decimal(text, size);
    return true;
}

/* Digits only, at most `limit`. */
static bool read_digits(const char *text, uint64_t limit, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text[0] == '\0')
        return false;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (number > (limit - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

bool hd_parse_i64(const char *text, int64_t *ret_number)
{
    bool negative = text[0] == '-';
    const char *digits = negative || text[0] == '+' ? text + 1 : text;
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), number;
    if (!read_digits(digits, limit, &number))
        return false;
    if (!negative)
        *ret_number = (int64_t)number;
    else
        *ret_number = number == 0 ? 0 : -(int64_t)(number - 1) - 1;
    return true;
}

bool hd_parse_u64(const char *text, uint64_t *ret_number)
{
    return read_digits(text[0] == '+' ? text + 1 : text, UINT64_MAX, ret_number);
}
