/* SPDX-License-Identifier: Apache-2.0 */
/* testlib.h: what every cmocka test includes, in the order cmocka wants. */
#ifndef HD_TESTLIB_H
#define HD_TESTLIB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hd/base.h>

/* The call must succeed; shows the error's text when it does not. */
#define assert_hd_ok(call)                                                                         \
    do {                                                                                           \
        enum hd_code hd_code_ = (call);                                                            \
        if (hd_code_ != HD_OK)                                                                     \
            fail_msg("%s: %s: %s", #call, hd_code_name(hd_code_), err.text);                       \
    } while (0)
/* The call must fail with this code and its text must hold this part. */
#define assert_hd_fails(call, expected, part)                                                      \
    do {                                                                                           \
        enum hd_code hd_code_ = (call);                                                            \
        assert_string_equal(hd_code_name(hd_code_), hd_code_name(expected));                       \
        if (strstr(err.text, (part)) == NULL)                                                      \
            fail_msg("%s: text \"%s\" does not hold \"%s\"", #call, err.text, (part));             \
    } while (0)

/* A fresh directory under TMPDIR; freed with test_dir_remove(), which removes it whole. */
char *test_dir_make(void);
void test_dir_remove(char *path);
/* The whole file, terminated; aborts the test when it cannot be read. Free with free(). */
char *test_file_read(const char *path, size_t *ret_size);
void test_file_write(const char *path, const char *text);

#endif
