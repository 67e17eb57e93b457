/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

/* Every code has its own name. */
static void codes_have_distinct_names(void **state)
{
    (void)state;
    for (int a = HD_OK; a <= HD_E_CANCELLED; a++) {
        assert_string_not_equal(hd_code_name((enum hd_code)a), "unknown");
        for (int b = HD_OK; b < a; b++)
            assert_string_not_equal(hd_code_name((enum hd_code)a), hd_code_name((enum hd_code)b));
    }
}

/* hd_fail keeps code and text, may quote the error itself, and accepts no error at all. */
static void fail_sets_code_and_text(void **state)
{
    (void)state;
    struct hd_err err;
    assert_int_equal(hd_fail(NULL, HD_E_IO, "x"), HD_E_IO);
    assert_int_equal(hd_fail(&err, HD_E_IO, "disk %d", 7), HD_E_IO);
    assert_int_equal(hd_fail(&err, HD_E_NET, "again: %s", err.text), HD_E_NET);
    assert_int_equal(err.code, HD_E_NET);
    assert_string_equal(err.text, "again: disk 7");
    assert_int_equal(hd_fail_in(&err, "file %s", "a"), HD_E_NET);
    assert_string_equal(err.text, "file a: again: disk 7");
}

/* A text that is too long is cut, terminated, and never in the middle of a character. */
static void long_error_is_cut_between_characters(void **state)
{
    (void)state;
    struct hd_err err;
    char text[HD_ERR_TEXT_MAX * 2];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof(text) - 2] = '\0';
    (void)hd_fail(&err, HD_E_INVALID, "%s", text);
    assert_int_equal(strlen(err.text), HD_ERR_TEXT_MAX - 2);
    (void)hd_fail_in(&err, "x");
    assert_int_equal(strlen(err.text), HD_ERR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "x: \xc3\xa4", 5);
    char small[8];
    assert_false(hd_copy_text(small, sizeof(small), text));
    assert_int_equal(strlen(small), 6);
    assert_false(hd_copy_text(small, 2, "\xe2\x82\xac"));
    assert_string_equal(small, "");
}

/* ---- buffer ---- */

/* A buffer is always terminated and holds what was appended in order. */
static void buf_appends(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf buf;
    hd_buf_init(&buf, 1 << 20);
    assert_string_equal(hd_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++) {
        assert_hd_ok(hd_buf_printf(&buf, &err, "%d,", i));
        assert_int_equal(buf.data[buf.size], 0);
        assert_true(buf.size < buf.capacity);
    }
    assert_int_equal(buf.size, 10 * 2 + 90 * 3 + 900 * 4);
    assert_memory_equal(buf.data, "0,1,2,", 6);
    hd_buf_clear(&buf);
    assert_string_equal(hd_buf_text(&buf), "");
    assert_hd_ok(hd_buf_append(&buf, "a\0b", 3, &err));
    assert_int_equal(buf.size, 3);
    hd_buf_release(&buf);
    hd_buf_release(&buf);
    hd_buf_release(NULL);
}

/* Appending beyond the limit, or without memory, fails and changes nothing. */
static void buf_keeps_its_limit(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf buf;
    hd_buf_init(&buf, 5);
    assert_hd_ok(hd_buf_puts(&buf, "abc", &err));
    assert_hd_fails(hd_buf_puts(&buf, "def", &err), HD_E_LIMIT, "5 bytes");
    assert_hd_fails(hd_buf_printf(&buf, &err, "%d", 1000), HD_E_LIMIT, "5 bytes");
    assert_hd_fails(hd_buf_reserve(&buf, SIZE_MAX, &err), HD_E_LIMIT, "5 bytes");
    assert_string_equal(hd_buf_text(&buf), "abc");
    assert_hd_ok(hd_buf_puts(&buf, "de", &err));
    assert_string_equal(hd_buf_text(&buf), "abcde");
    assert_true(buf.capacity <= 6);
    hd_buf_release(&buf);
    hd_buf_init(&buf, SIZE_MAX);
    assert_hd_ok(hd_buf_puts(&buf, "x", &err));
    hd_test_fail_alloc_after(0);
    assert_hd_fails(hd_buf_reserve(&buf, 100000, &err), HD_E_NOMEM, "no memory");
    hd_test_fail_alloc_after(-1);
    assert_string_equal(hd_buf_text(&buf), "x");
    assert_hd_fails(hd_buf_reserve(&buf, SIZE_MAX - 1, &err), HD_E_LIMIT, "");
    hd_buf_release(&buf);
}

/* ---- arena ---- */

/* Arena memory is zeroed, aligned, distinct, and bounded by what was asked for. */
static void arena_allocates(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_arena *arena;
    assert_hd_ok(hd_arena_new(100000, &arena, &err));
    unsigned char *before = NULL;
    for (size_t size = 1; size < 200; size++) {
        unsigned char *memory = hd_arena_alloc(arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, size);
        assert_ptr_not_equal(memory, before);
        before = memory;
    }
    assert_string_equal(hd_arena_strdup(arena, "hello"), "hello");
    assert_string_equal(hd_arena_strndup(arena, "hello", 2), "he");
    assert_string_equal(hd_arena_strndup(arena, "hello", 99), "hello");
    assert_non_null(hd_arena_alloc(arena, 70000)); /* larger than a chunk */
    assert_null(hd_arena_alloc(arena, 70000));
    assert_null(hd_arena_alloc(arena, SIZE_MAX));
    hd_test_fail_alloc_after(0);
    assert_null(hd_arena_alloc(arena, 9000));
    hd_test_fail_alloc_after(-1);
    hd_arena_free(arena);
    hd_arena_free(NULL);
    hd_test_fail_alloc_after(0);
    assert_hd_fails(hd_arena_new(1, &arena, &err), HD_E_NOMEM, "arena");
    hd_test_fail_alloc_after(-1);
}

/* ---- text and numbers ---- */

/* Doubles print in their shortest form. */
static void doubles_print_short(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0, "-0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e-5, "1e-05"},
        {27, "27"},
        {1e22, "1e+22"},
        {9007199254740993.0, "9007199254740992"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {NAN, "NaN"},
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char text[HD_DOUBLE_TEXT_SIZE];
        hd_format_double(text, sizeof(text), rows[i].number);
        assert_string_equal(text, rows[i].text);
    }
}

/* Whatever double is printed reads back as the same bits. */
static void doubles_round_trip(void **state)
{
    (void)state;
    struct hd_rng rng;
    hd_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = hd_rng_u64(&rng), back_bits;
        double number, back;
        if (i % 4 == 0)
            bits &= UINT64_C(0x800fffffffffffff); /* subnormals */
        memcpy(&number, &bits, sizeof(number));
        if (isnan(number))
            continue;
        char text[HD_DOUBLE_TEXT_SIZE];
        hd_format_double(text, sizeof(text), number);
        assert_true(hd_parse_double(text, &back));
        memcpy(&back_bits, &back, sizeof(back_bits));
        assert_true(bits == back_bits);
    }
}

/* A number of each of the shapes that people and samplers make. */
static double some_number(struct hd_rng *rng, int shape)
{
    double part = hd_rng_double(rng);
    uint64_t bits = hd_rng_u64(rng);
    switch (shape % 5) {
    case 0:
        return part * pow(10, (double)(bits % 24) - 6);
    case 1: /* few digits */
        return -(double)(bits % 2000001) / pow(10, (double)(bits >> 32 & 7));
    case 2: /* whole */
        return (double)(bits >> (bits & 63));
    case 3: /* beside a power of ten */
        return nextafter(pow(10, (double)(bits % 24) - 6), (bits & 32) != 0 ? 0 : INFINITY);
    default: /* at and beside a power of two */
        part = ldexp(1, (int)(bits % 80) - 20);
        return (bits >> 32 & 1) != 0 ? nextafter(part, 0) : part;
    }
}

/* A number is printed in the fewest of 15 to 17 digits that read back as it, as the C library
 * prints them. */
static void doubles_are_printed_in_the_fewest_digits(void **state)
{
    (void)state;
    struct hd_rng rng;
    hd_rng_seed(&rng, 2);
    for (int i = 0; i < 50000; i++) {
        double number = some_number(&rng, i);
        char text[HD_DOUBLE_TEXT_SIZE], expected[400];
        int digits = 15;
        do {
            (void)snprintf(expected, sizeof(expected), "%.*g", digits++, number);
        } while (strtod(expected, NULL) < number || strtod(expected, NULL) > number);
        hd_format_double(text, sizeof(text), number);
        assert_string_equal(text, expected);
    }
}

/* Only a whole decimal number is a number; a refusal leaves the output alone. */
static void doubles_parse_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        double number;
    } rows[] = {
        {"1", true, 1},
        {"-1.5e3", true, -1500},
        {"+2", true, 2},
        {".5", true, 0.5},
        {"5.", true, 5},
        {"1E-5", true, 1e-5},
        {"inf", true, HUGE_VAL},
        {"-Infinity", true, -HUGE_VAL},
        {"1e999", true, HUGE_VAL},
        {"", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1e", false, 0},
        {".", false, 0},
        {"1,5", false, 0},
        {"--1", false, 0},
        {"1.2.3", false, 0},
        {"infin", false, 0},
        {"nan(1)", false, 0},
        {"+", false, 0},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double number = 42;
        assert_int_equal(hd_parse_double(rows[i].text, &number), rows[i].good);
        double expected = rows[i].good ? rows[i].number : 42;
        assert_false(number < expected || number > expected);
    }
    double number;
    assert_true(hd_parse_double("-NaN", &number));
    assert_true(isnan(number));
    char text[HD_NUMBER_TEXT_MAX + 2];
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_false(hd_parse_double(text, &number));
    text[HD_NUMBER_TEXT_MAX - 1] = '\0';
    assert_true(hd_parse_double(text, &number));
}

static bool use_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "pl_PL.UTF-8"};
    const char *found = NULL;
    for (size_t i = 0; i < HD_COUNT(names) && found == NULL; i++)
        found = setlocale(LC_NUMERIC, names[i]);
    return found != NULL;
}

/* A locale with a decimal comma changes nothing. (Left out where no such locale is installed.) */
static void doubles_ignore_the_locale(void **state)
{
    (void)state;
    assert_true(use_comma_locale());
    char text[HD_DOUBLE_TEXT_SIZE];
    double number = 0;
    hd_format_double(text, sizeof(text), -1234.5);
    bool parsed = hd_parse_double("1.25e1", &number);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "-1234.5");
    assert_true(parsed);
    assert_true(number > 12.4 && number < 12.6);
}

/* Integers parse up to their last value and not one further. */
static void integers_parse_to_their_limits(void **state)
{
    (void)state;
    int64_t i64 = 1;
    uint64_t u64 = 1;
    assert_true(hd_parse_i64("-9223372036854775808", &i64));
    assert_true(i64 == INT64_MIN);
    assert_true(hd_parse_i64("9223372036854775807", &i64));
    assert_true(i64 == INT64_MAX);
    assert_false(hd_parse_i64("9223372036854775808", &i64));
    assert_false(hd_parse_i64("-9223372036854775809", &i64));
    assert_true(i64 == INT64_MAX);
    assert_true(hd_parse_i64("-0", &i64));
    assert_true(i64 == 0);
    assert_true(hd_parse_u64("18446744073709551615", &u64));
    assert_true(u64 == UINT64_MAX);
    static const char *const bad[] = {"",   "-",   "+",   "1.0", " 1",
                                      "1 ", "0x1", "1e3", "-+1", "18446744073709551616"};
    for (size_t i = 0; i < HD_COUNT(bad); i++) {
        assert_false(hd_parse_i64(bad[i], &i64));
        assert_false(hd_parse_u64(bad[i], &u64));
    }
    assert_false(hd_parse_u64("-1", &u64));
}

static void durations_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {
        {"90", 90000},     {"90s", 90000},    {"1m", 60000},   {"1h30m", 5400000}, {"250ms", 250},
        {"2d", 172800000}, {"1.5h", 5400000}, {"0", 0},        {"1min", 60000},    {"0.0004s", 0},
        {"", -1},          {"-1s", -1},       {"1x", -1},      {"s", -1},          {"1h30", -1},
        {"1 h", -1},       {"1..5s", -1},     {"200000d", -1}, {"nan", -1},        {"inf", -1},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        int64_t ms = -1;
        enum hd_code code = hd_parse_duration(rows[i].text, &ms, &err);
        assert_int_equal(code, rows[i].ms < 0 ? HD_E_INVALID : HD_OK);
        assert_true(ms == rows[i].ms);
    }
    struct hd_err err;
    int64_t ms;
    assert_hd_fails(hd_parse_duration("soon", &ms, &err), HD_E_INVALID,
                    "\"soon\" is not a duration");
}

static void sizes_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* UINT64_MAX: refused */
    } rows[] = {
        {"1073741824", UINT64_C(1) << 30},
        {"512MiB", UINT64_C(512) << 20},
        {"1GB", 1000000000},
        {"64k", 65536},
        {"64kB", 64000},
        {"1.5Gi", UINT64_C(1536) << 20},
        {"2t", UINT64_C(2) << 40},
        {"10b", 10},
        {"0", 0},
        {"", UINT64_MAX},
        {"-1", UINT64_MAX},
        {"1 GB", UINT64_MAX},
        {"1GB2", UINT64_MAX},
        {"1XB", UINT64_MAX},
        {"99999999TB", UINT64_MAX},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        uint64_t bytes = UINT64_MAX;
        enum hd_code code = hd_parse_size(rows[i].text, &bytes, &err);
        assert_int_equal(code, rows[i].bytes == UINT64_MAX ? HD_E_INVALID : HD_OK);
        assert_true(bytes == rows[i].bytes);
    }
}

/* Ids are safe as file names. */
static void ids_are_checked(void **state)
{
    (void)state;
    struct hd_err err;
    assert_hd_ok(hd_check_id("run id", "Run-1_a.b", &err));
    assert_hd_fails(hd_check_id("run id", "", &err), HD_E_INVALID, "run id is empty");
    assert_hd_fails(hd_check_id("run id", "..", &err), HD_E_INVALID, "begin with '.'");
    assert_hd_fails(hd_check_id("run id", "-x", &err), HD_E_INVALID, "begin with '-'");
    assert_hd_fails(hd_check_id("run id", "a/b", &err), HD_E_INVALID, "only letters");
    char id[HD_ID_MAX + 2];
    memset(id, 'a', sizeof(id));
    id[HD_ID_MAX + 1] = '\0';
    assert_hd_fails(hd_check_id("run id", id, &err), HD_E_INVALID, "longer than 64");
    id[HD_ID_MAX] = '\0';
    assert_hd_ok(hd_check_id("run id", id, &err));
}

static void nearest_word_is_found(void **state)
{
    (void)state;
    static const char *const words[] = {"image", "command", "low", "learning_rate", "max"};
    static const struct {
        const char *word, *nearest;
    } rows[] = {
        {"imgae", "image"},
        {"comand", "command"},
        {"lo", "low"},
        {"Image", "image"},
        {"learning-rate", "learning_rate"},
        {"learnig_rat", "learning_rate"},
        {"zzzzz", NULL},
        {"", NULL},
        {"q", NULL},
        {"image", "image"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        const char *found = hd_nearest(rows[i].word, words, HD_COUNT(words));
        if (rows[i].nearest == NULL)
            assert_null(found);
        else
            assert_string_equal(found, rows[i].nearest);
    }
    char huge[200];
    memset(huge, 'a', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    assert_null(hd_nearest(huge, words, HD_COUNT(words)));
}

/* Text that does not fit is reported and cut. */
static void text_is_bounded(void **state)
{
    (void)state;
    char text[4];
    assert_true(hd_copy_text(text, sizeof(text), "abc"));
    assert_false(hd_copy_text(text, sizeof(text), "abcd"));
    assert_string_equal(text, "abc");
    assert_true(hd_format(text, sizeof(text), "%d", 123));
    assert_false(hd_format(text, sizeof(text), "%d", 1234));
    assert_string_equal(text, "123");
    assert_true(hd_streq("a", "a"));
    assert_false(hd_streq("a", "b"));
}

/* ---- hashing and random streams ---- */

/* FNV-1a's published values; equal numbers hash alike whatever their bits. */
static void hashes_match_published_values(void **state)
{
    (void)state;
    assert_true(hd_hash_bytes(HD_HASH_INIT, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(hd_hash_bytes(HD_HASH_INIT, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hd_hash_bytes(HD_HASH_INIT, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(hd_hash_text(HD_HASH_INIT, "a") == hd_hash_bytes(HD_HASH_INIT, "a", 2));
    assert_true(hd_hash_u64(HD_HASH_INIT, 0x61) ==
                hd_hash_bytes(HD_HASH_INIT, "a\0\0\0\0\0\0\0", 8));
    assert_true(hd_hash_double(HD_HASH_INIT, 0.0) == hd_hash_double(HD_HASH_INIT, -0.0));
    assert_true(hd_hash_double(HD_HASH_INIT, NAN) == hd_hash_double(HD_HASH_INIT, -NAN));
    assert_true(hd_hash_double(HD_HASH_INIT, 1.0) != hd_hash_double(HD_HASH_INIT, -1.0));
}

/* The generator is xoshiro256** and its seeding splitmix64, bit for bit. */
static void rng_matches_published_values(void **state)
{
    (void)state;
    static const uint64_t expected[] = {11520,
                                        0,
                                        1509978240,
                                        UINT64_C(1215971899390074240),
                                        UINT64_C(1216172134540287360),
                                        UINT64_C(607988272756665600),
                                        UINT64_C(16172922978634559625)};
    struct hd_rng rng = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < HD_COUNT(expected); i++)
        assert_true(hd_rng_u64(&rng) == expected[i]);
    hd_rng_seed(&rng, 1234567);
    assert_true(rng.state[0] == UINT64_C(6457827717110365317));
    assert_true(rng.state[1] == UINT64_C(3203168211198807973));
    assert_true(rng.state[3] == UINT64_C(4593380528125082431));
}

/* A fork depends on seed, label and number, and on nothing else. */
static void rng_forks_are_streams(void **state)
{
    (void)state;
    struct hd_rng a, b;
    hd_rng_fork(1, "config", 7, &a);
    hd_rng_fork(1, "config", 7, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    hd_rng_fork(2, "config", 7, &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
    hd_rng_fork(1, "confih", 7, &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
    hd_rng_fork(1, "config", 8, &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
}

/* Uniform numbers stay in range and have their moments; so have normal ones. */
static void rng_distributions(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    struct hd_rng rng;
    hd_rng_seed(&rng, 3);
    double sum = 0, normal_sum = 0, normal_squares = 0;
    int counts[6] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double u = hd_rng_double(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
        uint64_t below = hd_rng_below(&rng, 6);
        assert_true(below < 6);
        counts[below]++;
        double z = hd_rng_normal(&rng);
        normal_sum += z;
        normal_squares += z * z;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 0.005);
    assert_true(fabs(normal_sum / DRAWS) < 0.02);
    assert_true(fabs(normal_squares / DRAWS - 1) < 0.03);
    for (size_t i = 0; i < HD_COUNT(counts); i++)
        assert_true(abs(counts[i] - DRAWS / 6) < 600); /* five deviations */
    assert_true(hd_rng_below(&rng, 1) == 0);
    assert_true(hd_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

/* ---- memory ---- */

/* With a countdown of n exactly the n+1st allocation fails. */
static void allocation_fails_once(void **state)
{
    (void)state;
    hd_test_fail_alloc_after(2);
    void *a = hd_malloc(0), *b = hd_calloc(0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(hd_realloc(a, 10));
    char *c = hd_strdup("text");
    assert_string_equal(c, "text");
    hd_test_fail_alloc_after(-1);
    hd_free(a);
    hd_free(b);
    hd_free(c);
    hd_free(NULL);
}

/* RFC 4648, section 10, and back; both alphabets are read, with padding or without. */
static void base64(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const wrong[] = {"Z", "Zg*=", "Zm9vY", "Z g="};
    struct hd_buf out;
    struct hd_err err;
    hd_buf_init(&out, 64);
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        hd_buf_clear(&out);
        assert_hd_ok(hd_base64_encode(rows[i][0], strlen(rows[i][0]), false, &out, &err));
        assert_string_equal(hd_buf_text(&out), rows[i][1]);
        for (size_t cut = 0; cut < 2; cut++) {
            hd_buf_clear(&out);
            size_t size = cut == 0 ? strlen(rows[i][1]) : strcspn(rows[i][1], "=");
            assert_hd_ok(hd_base64_decode(rows[i][1], size, &out, &err));
            assert_string_equal(hd_buf_text(&out), rows[i][0]);
        }
    }
    for (size_t i = 0; i < HD_COUNT(wrong); i++)
        assert_hd_fails(hd_base64_decode(wrong[i], strlen(wrong[i]), &out, &err), HD_E_INVALID,
                        "base64");
    hd_buf_clear(&out);
    assert_hd_ok(hd_base64_encode("\xfb\xff", 2, true, &out, &err));
    assert_string_equal(hd_buf_text(&out), "-_8=");
    hd_buf_clear(&out);
    assert_hd_ok(hd_base64_decode("-_8", 3, &out, &err));
    assert_memory_equal(out.data, "\xfb\xff", 2);
    hd_buf_release(&out);
}

/* Every byte at every place of a group comes back, behind what was there; every other character
 * than the digits of the two alphabets is refused, and leaves what was there as it was. */
static void base64_of_every_byte(void **state)
{
    (void)state;
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_";
    unsigned char bytes[1024];
    struct hd_buf text, out;
    struct hd_err err;
    hd_buf_init(&text, 2048);
    hd_buf_init(&out, 2048);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 5 + i / 256);
    for (size_t size = sizeof(bytes) - 3; size <= sizeof(bytes); size++) {
        hd_buf_clear(&text);
        hd_buf_clear(&out);
        assert_hd_ok(hd_buf_puts(&out, "was there", &err));
        assert_hd_ok(hd_base64_encode(bytes, size, size % 2 == 0, &text, &err));
        assert_hd_ok(hd_base64_decode(text.data, text.size, &out, &err));
        assert_int_equal(out.size, 9 + size);
        assert_memory_equal(out.data, "was there", 9);
        assert_memory_equal(out.data + 9, bytes, size);
        assert_int_equal(out.data[out.size], 0);
    }
    for (int c = 0; c < 256; c++) {
        const char four[] = {'Z', 'm', (char)c, 'v'};
        bool is_digit = c != 0 && strchr(digits, c) != NULL;
        hd_buf_clear(&out);
        assert_hd_ok(hd_buf_puts(&out, "was there", &err));
        assert_int_equal(hd_base64_decode(four, sizeof(four), &out, &err),
                         is_digit ? HD_OK : HD_E_INVALID);
        assert_int_equal(out.size, is_digit ? 12 : 9);
        assert_int_equal(strlen(out.data) >= 9 && strncmp(out.data, "was there", 9) == 0, 1);
        assert_true(is_digit || strlen(out.data) == 9);
    }
    hd_buf_release(&text);
    hd_buf_release(&out);
}

int main(void)
{
    bool comma = use_comma_locale();
    setlocale(LC_NUMERIC, "C");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64),
        cmocka_unit_test(base64_of_every_byte),
        cmocka_unit_test(codes_have_distinct_names),
        cmocka_unit_test(fail_sets_code_and_text),
        cmocka_unit_test(long_error_is_cut_between_characters),
        cmocka_unit_test(buf_appends),
        cmocka_unit_test(buf_keeps_its_limit),
        cmocka_unit_test(arena_allocates),
        cmocka_unit_test(doubles_print_short),
        cmocka_unit_test(doubles_round_trip),
        cmocka_unit_test(doubles_are_printed_in_the_fewest_digits),
        cmocka_unit_test(doubles_parse_strictly),
        cmocka_unit_test(integers_parse_to_their_limits),
        cmocka_unit_test(durations_parse),
        cmocka_unit_test(sizes_parse),
        cmocka_unit_test(ids_are_checked),
        cmocka_unit_test(nearest_word_is_found),
        cmocka_unit_test(text_is_bounded),
        cmocka_unit_test(hashes_match_published_values),
        cmocka_unit_test(rng_matches_published_values),
        cmocka_unit_test(rng_forks_are_streams),
        cmocka_unit_test(rng_distributions),
        cmocka_unit_test(allocation_fails_once),
        cmocka_unit_test(doubles_ignore_the_locale),
    };
    /* The last test needs such a locale. */
    size_t count = HD_COUNT(tests) - (comma ? 0 : 1);
    return _cmocka_run_group_tests("base", tests, count, NULL, NULL);
}
