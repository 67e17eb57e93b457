/* SPDX-License-Identifier: Apache-2.0 */
/* However much a target writes, its log stays below the limit and keeps its beginning and end. */
#include "testlib.h"

#include "log_sink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 8192

static char *log_path(const char *dir)
{
    static char path[600];
    snprintf(path, sizeof(path), "%s/log.txt", dir);
    return path;
}

/* Writes numbered lines in pieces of `piece` bytes; returns how many bytes there were. */
static size_t write_lines(struct hd_log_sink *sink, int count, size_t piece)
{
    char *all = malloc((size_t)count * 16 + 1);
    size_t size = 0;
    assert_non_null(all);
    for (int i = 0; i < count; i++)
        size += (size_t)snprintf(all + size, 16, "line %d\n", i);
    for (size_t at = 0; at < size; at += piece)
        hd_log_sink_write(sink, all + at, size - at < piece ? size - at : piece);
    free(all);
    return size;
}

/* What fits is kept as it is. */
static void test_short(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    struct hd_log_sink sink;
    struct hd_err err = {0};
    assert_hd_ok(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err));
    write_lines(&sink, 3, 1);
    hd_log_sink_close(&sink);
    char *text = test_file_read(log_path(dir), NULL);
    assert_string_equal(text, "line 0\nline 1\nline 2\n");
    free(text);
    test_dir_remove(dir);
}

/* The notice's count and what is kept add up to what was written, whatever the pieces. */
static void check_long(int count, size_t piece)
{
    char *dir = test_dir_make();
    struct hd_log_sink sink;
    struct hd_err err = {0};
    assert_hd_ok(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err));
    size_t written = write_lines(&sink, count, piece);
    hd_log_sink_close(&sink);
    size_t size;
    char last[32];
    unsigned long long cut;
    char *text = test_file_read(log_path(dir), &size);
    assert_true(size <= LIMIT && size > LIMIT / 2);
    assert_int_equal(strncmp(text, "line 0\nline 1\n", 14), 0);
    snprintf(last, sizeof(last), "line %d\n", count - 1);
    assert_string_equal(text + size - strlen(last), last);
    const char *notice = strstr(text, "\n[... ");
    assert_non_null(notice);
    assert_int_equal(sscanf(notice, "\n[... %llu bytes", &cut), 1);
    const char *after = strchr(notice + 1, '\n') + 1;
    assert_int_equal((size_t)(notice - text) + cut + strlen(after), written);
    assert_int_equal(strncmp(after, "line ", 5), 0); /* the end begins with a whole line */
    assert_null(strstr(after, "[... "));             /* one notice, however often it was cut */
    free(text);
    test_dir_remove(dir);
}

static void test_long(void **state)
{
    (void)state;
    check_long(1000, 1);
    check_long(1000, 100);
    check_long(5000, 777);
    check_long(50000, 100000);
}

/* One line without an end is cut as well. */
static void test_no_lines(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    struct hd_log_sink sink;
    struct hd_err err = {0};
    static char block[100000];
    memset(block, 'x', sizeof(block));
    assert_hd_ok(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err));
    hd_log_sink_write(&sink, block, sizeof(block));
    hd_log_sink_close(&sink);
    struct stat status;
    assert_int_equal(stat(log_path(dir), &status), 0);
    assert_true(status.st_size > LIMIT / 2 && status.st_size <= LIMIT);
    test_dir_remove(dir);
}

/* A target cannot point the log elsewhere: links, hard links, pipes and directories are refused,
 * and what they lead to is left alone. */
static void test_refuses_what_is_no_file_of_its_own(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    char victim[600];
    struct hd_log_sink sink;
    struct hd_err err = {0};
    snprintf(victim, sizeof(victim), "%s/victim", dir);
    test_file_write(victim, "precious");
    assert_int_equal(symlink(victim, log_path(dir)), 0);
    assert_hd_fails(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err), HD_E_IO, "log.txt");
    assert_int_equal(unlink(log_path(dir)), 0);
    assert_int_equal(link(victim, log_path(dir)), 0);
    assert_hd_fails(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err), HD_E_IO, "of its own");
    assert_int_equal(unlink(log_path(dir)), 0);
    assert_int_equal(mkfifo(log_path(dir), 0600), 0);
    assert_hd_fails(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err), HD_E_IO, "of its own");
    assert_int_equal(unlink(log_path(dir)), 0);
    assert_int_equal(mkdir(log_path(dir), 0700), 0);
    assert_hd_fails(hd_log_sink_open(&sink, log_path(dir), LIMIT, &err), HD_E_IO, "log.txt");
    char *text = test_file_read(victim, NULL);
    assert_string_equal(text, "precious");
    free(text);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_no_lines),
        cmocka_unit_test(test_refuses_what_is_no_file_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
