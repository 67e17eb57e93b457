/* SPDX-License-Identifier: Apache-2.0 */
/* The code of a target: what it is known by, what goes into it, and that nothing else than what was
 * packed is ever unpacked. */
#include "testlib.h"

#include <hd/code.h>
#include <hd/os.h>

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
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    assert_true(hd_format(path, sizeof(paths[0]), "%s/%s", dir, name));
    return path;
}

static void put(const char *name, const char *text)
{
    char *parent = strdup(path_of(name));
    *strrchr(parent, '/') = '\0';
    assert_hd_ok(hd_mkdirs(parent, 0755, &err));
    free(parent);
    test_file_write(path_of(name), text);
}

static const char *hash_of(const char *name)
{
    static char hashes[4][HD_CODE_HASH_SIZE];
    static unsigned next;
    char *hash = hashes[next++ % 4];
    assert_hd_ok(hd_code_hash(path_of(name), hash, &err));
    return hash;
}

/* Two people with the same files mean the same code; what differs in content, name or whether it
 * can be run, is other code. */
static void the_same_files_are_the_same_code(void **state)
{
    (void)state;
    struct utimbuf old = {.actime = 1, .modtime = 1};
    put("a/x/main.py", "print(1)\n");
    put("b/x/main.py", "print(1)\n");
    assert_int_equal(utime(path_of("b/x/main.py"), &old), 0);
    assert_int_equal(chmod(path_of("b/x/main.py"), 0600), 0);
    assert_int_equal(chmod(path_of("b/x"), 0700), 0);
    char first[HD_CODE_HASH_SIZE];
    (void)hd_copy_text(first, sizeof(first), hash_of("a"));
    assert_int_equal(strlen(first), HD_CODE_HASH_SIZE - 1);
    assert_string_equal(hash_of("b"), first);
    assert_int_equal(chmod(path_of("b/x/main.py"), 0700), 0);
    assert_string_not_equal(hash_of("b"), first);
    put("a/x/main.py", "print(2)\n");
    assert_string_not_equal(hash_of("a"), first);
    put("a/x/main.py", "print(1)\n");
    assert_string_equal(hash_of("a"), first);
    assert_int_equal(symlink("main.py", path_of("a/x/link")), 0);
    assert_string_not_equal(hash_of("a"), first);
}

/* .hdignore leaves out, and what changes by itself is left out unless it is named. */
static void what_is_left_out_does_not_count(void **state)
{
    (void)state;
    put("a/main.py", "1");
    put("a/.hdignore", "*.log\n!x/__pycache__\n");
    char first[HD_CODE_HASH_SIZE];
    (void)hd_copy_text(first, sizeof(first), hash_of("a"));
    put("a/t.log", "1");
    put("a/.git/HEAD", "ref");
    put("a/__pycache__/m.pyc", "1");
    put("a/hyperdock-state/state.db", "1");
    assert_string_equal(hash_of("a"), first);
    put("a/x/__pycache__/m.pyc", "1");
    assert_string_not_equal(hash_of("a"), first);
}

static char *copy_of(const char *text)
{
    char *copy = hd_strdup(text);
    assert_non_null(copy);
    return copy;
}

static void keep(struct hd_target *target, const char *store)
{
    *target = (struct hd_target){.base_dir = copy_of(dir), .code = copy_of("a")};
    assert_hd_ok(hd_code_read(target, &err));
    assert_hd_ok(hd_code_keep(path_of(store), target, &err));
}

static void release(struct hd_target *target)
{
    hd_free(target->base_dir);
    hd_free(target->code);
    hd_free(target->code_hash);
}

/* What is unpacked is what was packed, for reading only, and there once. */
static void it_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct hd_target target;
    struct stat status;
    char archive[4096], link[64] = "";
    char deep[300];
    (void)hd_format(deep, sizeof(deep), "a/%0150d/%0100d", 1,
                    2); /* beyond what a plain head holds */
    put("a/bin/run", "#!/bin/sh\n");
    put("a/empty", "");
    put(deep, "deep");
    assert_int_equal(chmod(path_of("a/bin/run"), 0755), 0);
    assert_int_equal(symlink("../bin/run", path_of("a/bin/again")), 0);
    keep(&target, "store");
    assert_hd_ok(
        hd_code_archive_path(path_of("store"), target.code_hash, archive, sizeof(archive), &err));
    assert_hd_ok(hd_code_unpack(archive, target.code_hash, path_of("out"), &err));
    assert_string_equal(hash_of("out"), target.code_hash);
    assert_int_equal(stat(path_of("out/bin/run"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0555);
    assert_int_equal(stat(path_of("out/empty"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0444);
    assert_int_equal(stat(path_of("out"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0555);
    assert_int_equal(readlink(path_of("out/bin/again"), link, sizeof(link) - 1), 10);
    assert_string_equal(link, "../bin/run");
    /* Once more is nothing, whatever the archive says by now. */
    test_file_write(archive, "x");
    assert_hd_ok(hd_code_unpack(archive, target.code_hash, path_of("out"), &err));
    release(&target);
}

/* An archive that was cut or changed on its way leaves nothing. */
static void another_archive_is_not_unpacked(void **state)
{
    (void)state;
    struct hd_target target;
    char archive[4096];
    size_t size;
    put("a/main.py", "print(1)\n");
    keep(&target, "store");
    assert_hd_ok(
        hd_code_archive_path(path_of("store"), target.code_hash, archive, sizeof(archive), &err));
    char *bytes = test_file_read(archive, &size);
    for (size_t at = 0; at < 2; at++) {
        bytes[512 + at] ^= 1; /* content: only the hash tells */
        FILE *file = fopen(archive, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
        assert_hd_fails(hd_code_unpack(archive, target.code_hash, path_of("out"), &err),
                        HD_E_CORRUPT, "is another archive than");
        assert_false(hd_path_exists(path_of("out")));
    }
    assert_int_equal(truncate(archive, (off_t)size - 1024), 0);
    assert_hd_fails(hd_code_unpack(archive, target.code_hash, path_of("out"), &err), HD_E_CORRUPT,
                    "");
    assert_false(hd_path_exists(path_of("out")));
    free(bytes);
    release(&target);
}

/* Between the reading and the keeping somebody wrote into the directory: the run would not have
 * what its experiment says. Once it is kept, the directory is not looked at any more. */
static void code_that_changed_is_not_kept(void **state)
{
    (void)state;
    struct hd_target target = {.base_dir = copy_of(dir), .code = copy_of("a")};
    put("a/main.py", "print(1)\n");
    assert_hd_ok(hd_code_read(&target, &err));
    put("a/main.py", "print(2)\n");
    assert_hd_fails(hd_code_keep(path_of("store"), &target, &err), HD_E_CONFLICT,
                    "holds something else by now");
    put("a/main.py", "print(1)\n");
    assert_hd_ok(hd_code_keep(path_of("store"), &target, &err));
    put("a/main.py", "print(2)\n");
    assert_hd_ok(hd_code_keep(path_of("store"), &target, &err));
    release(&target);
}

static void what_cannot_be_code_is_told(void **state)
{
    (void)state;
    char hash[HD_CODE_HASH_SIZE];
    put("file", "1");
    assert_hd_fails(hd_code_hash(path_of("none"), hash, &err), HD_E_NOTFOUND, "no directory");
    assert_hd_fails(hd_code_hash(path_of("file"), hash, &err), HD_E_NOTFOUND, "no directory");
    assert_hd_ok(hd_mkdirs(path_of("bare"), 0755, &err));
    assert_hd_fails(hd_code_hash(path_of("bare"), hash, &err), HD_E_INVALID, "holds no files");
    put("large/weights", "");
    assert_int_equal(truncate(path_of("large/weights"), (off_t)HD_CODE_BYTES_MAX + 1), 0);
    assert_hd_fails(hd_code_hash(path_of("large"), hash, &err), HD_E_LIMIT, ".hdignore");
    struct hd_target target = {.code = copy_of("a")};
    assert_hd_fails(hd_code_read(&target, &err), HD_E_INVALID, "target.base_dir is not known");
    release(&target);
}

#define ON_DIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DIR(the_same_files_are_the_same_code), ON_DIR(what_is_left_out_does_not_count),
        ON_DIR(it_comes_out_as_it_went_in),       ON_DIR(another_archive_is_not_unpacked),
        ON_DIR(code_that_changed_is_not_kept),    ON_DIR(what_cannot_be_code_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
