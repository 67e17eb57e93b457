/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h: what every room may use. libc only; no clock, no I/O, no locks.
 *
 * Three channels, never mixed: a bug aborts (hd_assert), the environment returns a code with
 * a text for the person (struct hd_err), an outcome of the domain is a value.
 */
#ifndef HD_BASE_H
#define HD_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HD_NODISCARD __attribute__((warn_unused_result))
#define HD_PRINTF(fmt_index, first_index) __attribute__((format(printf, fmt_index, first_index)))
#define HD_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Assertions state facts about our own code and stay on in release builds. */
#define hd_assert(condition)                                                                       \
    ((condition) ? (void)0 : hd_assert_failed(#condition, __FILE__, __LINE__))
_Noreturn void hd_assert_failed(const char *condition, const char *file, int line);

/* ---- errors of the environment ---------------------------------------------------------- */

enum hd_code {
    HD_OK = 0,
    HD_E_NOMEM,       /* memory could not be had, or a descriptor */
    HD_E_INVALID,     /* the input is wrong; the text says what, where and what would be right */
    HD_E_LIMIT,       /* a named limit would be passed */
    HD_E_NOTFOUND,    /* the thing named does not exist */
    HD_E_EXISTS,      /* it exists and must not */
    HD_E_CONFLICT,    /* the state forbids it */
    HD_E_BUSY,        /* somebody else holds it (a second master on one state directory) */
    HD_E_IO,          /* the disk or a file */
    HD_E_FULL,        /* no space left: hold and retry */
    HD_E_CORRUPT,     /* stored bytes are not what we wrote */
    HD_E_NET,         /* the network or the peer is gone */
    HD_E_TIMEOUT,     /* our own deadline passed */
    HD_E_AUTH,        /* token or certificate refused */
    HD_E_VERSION,     /* a protocol or file version we do not speak */
    HD_E_UNSUPPORTED, /* this build or machine cannot */
    HD_E_CANCELLED,   /* asked to stop */
};

#define HD_ERR_TEXT_MAX 1024

/* Owned by the caller, usually on the stack; the text is always terminated, cut when too long. */
struct hd_err {
    enum hd_code code;
    char text[HD_ERR_TEXT_MAX];
};

/* Short stable name: "invalid", "not found", ... */
const char *hd_code_name(enum hd_code code);
/* Sets *err (which may be NULL) and returns code, so that `return hd_fail(err, ...)` works. */
enum hd_code hd_fail(struct hd_err *err, enum hd_code code, const char *fmt, ...) HD_PRINTF(3, 4);
/* Puts "text: " before what err holds; keeps the code and returns it. err must not be NULL. */
enum hd_code hd_fail_in(struct hd_err *err, const char *fmt, ...) HD_PRINTF(2, 3);

/* ---- growable bytes with a limit -------------------------------------------------------- */

/* Invariant: size < capacity or data == NULL; data[size] == 0 whenever data != NULL. */
struct hd_buf {
    char *data;
    size_t size;
    size_t capacity;
    size_t size_max; /* appending beyond fails with HD_E_LIMIT and changes nothing */
};

void hd_buf_init(struct hd_buf *buf, size_t size_max);
void hd_buf_release(struct hd_buf *buf); /* also of NULL and of a zeroed struct */
void hd_buf_clear(struct hd_buf *buf);   /* keeps the memory */
HD_NODISCARD enum hd_code hd_buf_reserve(struct hd_buf *buf, size_t extra, struct hd_err *err);
HD_NODISCARD enum hd_code hd_buf_append(struct hd_buf *buf, const void *bytes, size_t size,
                                        struct hd_err *err);
HD_NODISCARD enum hd_code hd_buf_puts(struct hd_buf *buf, const char *text, struct hd_err *err);
HD_NODISCARD enum hd_code hd_buf_printf(struct hd_buf *buf, struct hd_err *err, const char *fmt,
                                        ...) HD_PRINTF(3, 4);
/* The text, never NULL ("" when empty). Valid until the next change. */
const char *hd_buf_text(const struct hd_buf *buf);

/* Base64 (RFC 4648), appended. `url`: the alphabet without '/' and '+'; padded either way. Decoding
 * takes both alphabets, with padding or without; HD_E_INVALID for anything else. */
HD_NODISCARD enum hd_code hd_base64_encode(const void *bytes, size_t size, bool url,
                                           struct hd_buf *out, struct hd_err *err);
HD_NODISCARD enum hd_code hd_base64_decode(const char *text, size_t size, struct hd_buf *out,
                                           struct hd_err *err);

/* ---- arena: many small things freed together -------------------------------------------- */

struct hd_arena;
HD_NODISCARD enum hd_code hd_arena_new(size_t size_max, struct hd_arena **ret_arena,
                                       struct hd_err *err);
void hd_arena_free(struct hd_arena *arena);
/* Zeroed, aligned for any object; NULL when size_max or memory is exhausted. size_max counts what
 * was asked for, without padding. */
void *hd_arena_alloc(struct hd_arena *arena, size_t size);
char *hd_arena_strdup(struct hd_arena *arena, const char *text);
/* At most size bytes, ending early at a NUL. */
char *hd_arena_strndup(struct hd_arena *arena, const char *text, size_t size);

/* ---- text ------------------------------------------------------------------------------- */

/* Copies with termination; false when src did not fit (dst then holds the text, cut between two
 * UTF-8 characters). They may overlap. */
bool hd_copy_text(char *dst, size_t dst_size, const char *src);
/* snprintf with the same answer. */
bool hd_format(char *dst, size_t dst_size, const char *fmt, ...) HD_PRINTF(3, 4);
bool hd_streq(const char *a, const char *b);
/* The shortest decimal text that reads back to the same double; "NaN", "Infinity",
 * "-Infinity". Independent of the locale. dst_size >= HD_DOUBLE_TEXT_SIZE. */
#define HD_DOUBLE_TEXT_SIZE 32
void hd_format_double(char *dst, size_t dst_size, double number);
/* The whole text must be a decimal number (also nan, inf, infinity in any case; no white space, no
 * hexadecimal; too large is infinite), shorter than HD_NUMBER_TEXT_MAX; independent of the locale.
 */
#define HD_NUMBER_TEXT_MAX 1024
HD_NODISCARD bool hd_parse_double(const char *text, double *ret_number);
HD_NODISCARD bool hd_parse_i64(const char *text, int64_t *ret_number);
HD_NODISCARD bool hd_parse_u64(const char *text, uint64_t *ret_number);
/* "90", "90s", "1m", "1h30m", "250ms", "2d" to milliseconds; a bare number is seconds. At most
 * HD_DURATION_MS_MAX, so that adding it to a clock cannot overflow. */
#define HD_DURATION_YEARS_MAX 100
#define HD_DURATION_MS_MAX (HD_DURATION_YEARS_MAX * INT64_C(366) * 86400 * 1000)
HD_NODISCARD enum hd_code hd_parse_duration(const char *text, int64_t *ret_ms, struct hd_err *err);
/* "512MiB", "1GB", "64k", "1073741824" to bytes, in any case. k, Ki, KiB (and M, G, T) are powers
 * of 1024, as Docker reads them; kB, MB, GB, TB are powers of 1000. At most HD_SIZE_BYTES_MAX. */
#define HD_SIZE_BYTES_MAX (UINT64_C(1) << 53)
HD_NODISCARD enum hd_code hd_parse_size(const char *text, uint64_t *ret_bytes, struct hd_err *err);
/* Ids that become file names: 1..HD_ID_MAX of [A-Za-z0-9._-], not beginning with '.' or '-'. */
#define HD_ID_MAX 64
HD_NODISCARD enum hd_code hd_check_id(const char *what, const char *id, struct hd_err *err);
/* The candidate nearest to word (Damerau-Levenshtein without regard to case and - against _; at
 * most a third of its length, 1 for words of two letters), or NULL. */
const char *hd_nearest(const char *word, const char *const *candidates, size_t count);

/* ---- hashing and digests (not cryptographic) -------------------------------------------- */

#define HD_HASH_INIT UINT64_C(0xcbf29ce484222325)
uint64_t hd_hash_bytes(uint64_t hash, const void *bytes, size_t size); /* FNV-1a 64 */
uint64_t hd_hash_u64(uint64_t hash, uint64_t number);
uint64_t hd_hash_text(uint64_t hash, const char *text); /* with its terminator */
/* All NaNs hash alike; 0.0 and -0.0 hash alike. */
uint64_t hd_hash_double(uint64_t hash, double number);

/* ---- random streams --------------------------------------------------------------------- */

/*
 * xoshiro256** (Blackman and Vigna 2018) seeded through splitmix64. A value, copied freely.
 * Streams are handed in and forked by label and number, never shared: what one consumer draws
 * does not move another.
 */
struct hd_rng {
    uint64_t state[4];
};
void hd_rng_seed(struct hd_rng *rng, uint64_t seed);
/* A stream that depends on (seed, label, number) only. */
void hd_rng_fork(uint64_t seed, const char *label, uint64_t number, struct hd_rng *ret_rng);
uint64_t hd_rng_u64(struct hd_rng *rng);
double hd_rng_double(struct hd_rng *rng);                  /* [0, 1), 53 bits */
uint64_t hd_rng_below(struct hd_rng *rng, uint64_t bound); /* [0, bound), unbiased; bound > 0 */
double hd_rng_normal(struct hd_rng *rng);                  /* mean 0, deviation 1 */

/* ---- time types -------------------------------------------------------------------------- */

/* Monotonic milliseconds are int64_t named *_ms; wall-clock milliseconds since 1970 are int64_t
 * named *_wall_ms and are for display only. */
#define HD_NEVER_MS INT64_MAX

/* ---- fault points for tests --------------------------------------------------------------- */

/* All allocation of pure rooms goes through these; a test sets a countdown after which they
 * return NULL once (torture: every allocation fails, once each). Not thread-safe with a countdown.
 */
void *hd_malloc(size_t size);
void *hd_calloc(size_t count, size_t size);
void *hd_realloc(void *old, size_t size);
char *hd_strdup(const char *text);
void hd_free(void *memory);
void hd_test_fail_alloc_after(int64_t countdown); /* < 0 switches it off */

#endif
