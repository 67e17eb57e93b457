/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that an image is built from: what of it is sent, and what names the image. */
#include "testlib.h"

#include "context.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

static struct hd_err err;
static char *dir;

static int set_up(void **state)
{
    (void)state;
    dir = test_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[4096];
    assert_true(hd_format(path, sizeof(path), "%s/%s", dir, name));
    return path;
}

/* Directories on the way are made. */
static void put(const char *name, const char *text)
{
    char *parent = strdup(path_of(name));
    *strrchr(parent, '/') = '\0';
    assert_hd_ok(hd_mkdirs(parent, 0755, &err));
    free(parent);
    test_file_write(path_of(name), text);
}

static uint64_t hash_of(void)
{
    uint64_t hash = 0;
    assert_hd_ok(hd_context_read(dir, "Dockerfile", -1, &hash, &err));
    return hash;
}

/* The same content has the same name, wherever and whenever; every change gives another one. */
static void the_name_is_the_content(void **state)
{
    (void)state;
    struct utimbuf old = {.actime = 1, .modtime = 1};
    char name[HD_IMAGE_NAME_MAX];
    put("Dockerfile", "FROM scratch\n");
    put("src/a.py", "print(1)\n");
    uint64_t first = hash_of();
    assert_hd_ok(hd_image_context_name(dir, "Dockerfile", name, &err));
    assert_int_equal(strncmp(name, HD_IMAGE_UNBUILT ":", sizeof(HD_IMAGE_UNBUILT)), 0);
    assert_int_equal(strlen(name), sizeof(HD_IMAGE_UNBUILT) + 16);
    assert_int_equal(utime(path_of("src/a.py"), &old), 0);
    assert_true(hash_of() == first);
    put("src/a.py", "print(2)\n");
    assert_true(hash_of() != first);
    put("src/a.py", "print(1)\n");
    assert_true(hash_of() == first);
    assert_int_equal(chmod(path_of("src/a.py"), 0755), 0);
    assert_true(hash_of() != first);
    assert_int_equal(chmod(path_of("src/a.py"), 0644), 0);
    put("src/b.py", "print(1)\n");
    assert_true(hash_of() != first);
    assert_int_equal(unlink(path_of("src/b.py")), 0);
    assert_int_equal(symlink("a.py", path_of("src/b.py")), 0);
    uint64_t linked = hash_of();
    assert_true(linked != first);
    assert_int_equal(unlink(path_of("src/b.py")), 0);
    assert_int_equal(symlink("/etc/passwd", path_of("src/b.py")), 0);
    assert_true(hash_of() != linked);
}

/* What .dockerignore leaves out does not change the name. */
static void what_is_ignored_does_not_count(void **state)
{
    (void)state;
    put("Dockerfile", "FROM scratch\n");
    put(".dockerignore", "# data\n*.log\ndata\n!data/keep\nDockerfile\n");
    put("data/keep", "1");
    uint64_t first = hash_of();
    put("x.log", "1");
    put("data/big", "2");
    assert_true(hash_of() == first);
    put("data/keep", "2");
    assert_true(hash_of() != first);
    put("data/keep", "1");
    put("Dockerfile", "FROM other\n"); /* is always sent */
    assert_true(hash_of() != first);
}

struct rule_row {
    const char *rules, *path;
    bool out;
};

static void rules_fit_as_those_of_the_engine_do(void **state)
{
    (void)state;
    static const struct rule_row rows[] = {
        {"", "a", false},           {"a", "a", true},         {"/a", "a", true},
        {"./a/", "a", true},        {"a", "a/b/c", true},     {"a", "b/a", false},
        {"*", "a/b", true},         {"*.o", "a.o", true},     {"*.o", "d/a.o", false},
        {"*/*.o", "d/a.o", true},   {"**/*.o", "a.o", true},  {"**/*.o", "d/e/a.o", true},
        {"d/**", "d/e/f", true},    {"d/**/f", "d/f", true},  {"d/**/f", "d/x/y/f", true},
        {"d/**/f", "d/x/g", false}, {"a?", "ab", true},       {"a?", "a/b", false},
        {"[ab]x", "bx", true},      {"*\n!a", "a", false},    {"*\n!a", "b", true},
        {"!a\n*", "a", true},       {"  a  \r\n", "a", true}, {"#a", "#a", false},
        {"*\n! a/b", "a/b", false}, {".", "a", false},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_ignore ignore = {0};
        assert_hd_ok(hd_ignore_parse(rows[i].rules, strlen(rows[i].rules), &ignore, &err));
        if (hd_ignore_fits(&ignore, rows[i].path) != rows[i].out)
            fail_msg("\"%s\" and %s", rows[i].rules, rows[i].path);
        hd_ignore_release(&ignore);
    }
    struct hd_buf many;
    hd_buf_init(&many, HD_IGNORE_BYTES_MAX);
    for (int i = 0; i <= HD_IGNORE_RULES_MAX; i++)
        assert_hd_ok(hd_buf_puts(&many, "a\n", &err));
    struct hd_ignore ignore;
    assert_hd_fails(hd_ignore_parse(hd_buf_text(&many), many.size, &ignore, &err), HD_E_LIMIT,
                    "more than");
    hd_buf_release(&many);
}

/* A tar program reads what was written, long names and links included. */
static void the_archive_is_one(void **state)
{
    (void)state;
    char long_name[300], archive[4096], listing_name[400];
    const char *argv[] = {"tar", "--list", "--verbose", "--file", archive, NULL};
    struct hd_buf listing;
    uint64_t hash = 0;
    int status = -1;
    memset(long_name, 'n', sizeof(long_name));
    memcpy(long_name, "deep/", 5);
    long_name[180] = '\0';
    put("Dockerfile", "FROM scratch\n");
    put("deep/script", "#!/bin/sh\n");
    assert_int_equal(chmod(path_of("deep/script"), 0750), 0);
    put(long_name, "long");
    assert_int_equal(symlink("deep/script", path_of("link")), 0);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    assert_true(hd_format(archive, sizeof(archive), "%s.tar", dir));
    int fd = open(archive, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_hd_ok(hd_context_read(dir, "Dockerfile", fd, &hash, &err));
    assert_int_equal(close(fd), 0);
    assert_true(hash == hash_of());
    hd_buf_init(&listing, 65536);
    assert_hd_ok(hd_capture(argv, "", 60000, &listing, &status, &err));
    assert_int_equal(status, 0);
    assert_non_null(strstr(hd_buf_text(&listing), " Dockerfile\n"));
    assert_non_null(strstr(hd_buf_text(&listing), "-rwxr-x--- 0/0"));
    assert_non_null(strstr(hd_buf_text(&listing), " link -> deep/script\n"));
    assert_true(hd_format(listing_name, sizeof(listing_name), " %s\n", long_name));
    assert_non_null(strstr(hd_buf_text(&listing), listing_name));
    assert_null(strstr(hd_buf_text(&listing), "fifo"));
    hd_buf_release(&listing);
    assert_int_equal(unlink(archive), 0);
}

static void what_cannot_be_built_is_told(void **state)
{
    (void)state;
    char name[HD_IMAGE_NAME_MAX];
    assert_hd_fails(hd_image_context_name(dir, "Dockerfile", name, &err), HD_E_NOTFOUND,
                    "has no file Dockerfile");
    assert_hd_fails(hd_image_context_name(path_of("none"), "Dockerfile", name, &err), HD_E_NOTFOUND,
                    "is not a directory");
}

#define ON_DIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DIR(the_name_is_the_content),
        ON_DIR(what_is_ignored_does_not_count),
        cmocka_unit_test(rules_fit_as_those_of_the_engine_do),
        ON_DIR(the_archive_is_one),
        ON_DIR(what_cannot_be_built_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
