/* SPDX-License-Identifier: Apache-2.0 */
/* err.c: codes, error texts and the assertion that stays on. */
#include <hd/base.h>

#include <stdio.h>
#include <stdlib.h>

_Noreturn void hd_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}

const char *hd_code_name(enum hd_code code)
{
    switch (code) {
    case HD_OK:
        return "ok";
    case HD_E_NOMEM:
        return "out of memory";
    case HD_E_INVALID:
        return "invalid";
    case HD_E_LIMIT:
        return "limit passed";
    case HD_E_NOTFOUND:
        return "not found";
    case HD_E_EXISTS:
        return "exists";
    case HD_E_CONFLICT:
        return "conflict";
    case HD_E_BUSY:
        return "busy";
    case HD_E_IO:
        return "input/output";
    case HD_E_FULL:
        return "no space";
    case HD_E_CORRUPT:
        return "corrupt";
    case HD_E_NET:
        return "network";
    case HD_E_TIMEOUT:
        return "timeout";
    case HD_E_AUTH:
        return "not authorized";
    case HD_E_VERSION:
        return "version";
    case HD_E_UNSUPPORTED:
        return "unsupported";
    case HD_E_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

/* Texts are made aside first: the arguments may point into the error itself, and hd_copy_text cuts
 * what is too long between two characters, for which it must see a few bytes more. */
#define ASIDE_SIZE (HD_ERR_TEXT_MAX + 4)

static void format_aside(char *text, const char *fmt, va_list args) HD_PRINTF(2, 0);
static void format_aside(char *text, const char *fmt, va_list args)
{
    if (vsnprintf(text, ASIDE_SIZE, fmt, args) < 0)
        text[0] = '\0';
}

enum hd_code hd_fail(struct hd_err *err, enum hd_code code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    char text[ASIDE_SIZE];
    va_list args;
    va_start(args, fmt);
    format_aside(text, fmt, args);
    va_end(args);
    err->code = code;
    hd_copy_text(err->text, sizeof(err->text), text);
    return code;
}

enum hd_code hd_fail_in(struct hd_err *err, const char *fmt, ...)
{
    hd_assert(err != NULL);
    char prefix[ASIDE_SIZE];
    va_list args;
    va_start(args, fmt);
    format_aside(prefix, fmt, args);
    va_end(args);
    char text[ASIDE_SIZE];
    hd_format(text, sizeof(text), "%s: %s", prefix, err->text);
    hd_copy_text(err->text, sizeof(err->text), text);
    return err->code;
}
