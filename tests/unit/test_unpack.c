/* SPDX-License-Identifier: Apache-2.0 */
/* Archives that come from an engine: what is in order arrives as it was, in pieces of any size;
 * whatever a target may have done to one is refused with a reason, and nothing is written outside
 * of the directory that it goes to. */
#include "testlib.h"

#include "context.h"
#include "unpack.h"

#include <hd/os.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARCHIVE_MAX (1u << 20)
#define BYTES_MAX 10000u
#define ENTRIES_MAX 20u

static struct hd_err err;

struct room {
    char *dir;
    char root[512], outside[512];
    char archive[ARCHIVE_MAX];
    size_t size;
};

static int setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    assert_non_null(room);
    room->dir = test_dir_make();
    snprintf(room->root, sizeof(room->root), "%s/root", room->dir);
    snprintf(room->outside, sizeof(room->outside), "%s/outside", room->dir);
    assert_hd_ok(hd_mkdirs(room->root, 0755, &err));
    assert_hd_ok(hd_mkdirs(room->outside, 0755, &err));
    *state = room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    test_dir_remove(room->dir);
    free(room);
    return 0;
}

/* ---- archives, by hand ---------------------------------------------------------------------- */

static void set_sum(char *head)
{
    unsigned sum = 0;
    memset(head + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
}

static char *add_head(struct room *room, char type, const char *name, const char *link, size_t size)
{
    char *head = room->archive + room->size;
    assert_true(room->size + 512 <= ARCHIVE_MAX);
    memset(head, 0, 512);
    memcpy(head, name, strnlen(name, 100));
    snprintf(head + 100, 8, "%07o", 0644u);
    snprintf(head + 124, 12, "%011o", (unsigned)size);
    snprintf(head + 136, 12, "%011o", 1000000000u);
    head[156] = type;
    memcpy(head + 157, link, strnlen(link, 100));
    memcpy(head + 257,
           "ustar\0"
           "00",
           8);
    set_sum(head);
    room->size += 512;
    return head;
}

static void add_bytes(struct room *room, const char *bytes, size_t size)
{
    size_t whole = (size + 511) / 512 * 512;
    assert_true(room->size + whole <= ARCHIVE_MAX);
    memset(room->archive + room->size, 0, whole);
    memcpy(room->archive + room->size, bytes, size);
    room->size += whole;
}

static void add_file(struct room *room, const char *name, const char *text)
{
    add_head(room, '0', name, "", strlen(text));
    add_bytes(room, text, strlen(text));
}

static void add_extra(struct room *room, const char *records)
{
    add_head(room, 'x', "PaxHeader", "", strlen(records));
    add_bytes(room, records, strlen(records));
}

static void add_end(struct room *room)
{
    add_bytes(room, (const char[1024]){0}, 1024);
}

static enum hd_code unpack(struct room *room, const char *prefix, size_t piece)
{
    struct hd_unpack unpack;
    enum hd_code code = hd_unpack_open(&unpack, room->root, prefix, BYTES_MAX, ENTRIES_MAX, &err);
    for (size_t at = 0; at < room->size && code == HD_OK; at += piece)
        code = hd_tar_reader_feed(&unpack.reader, room->archive + at,
                                  room->size - at < piece ? room->size - at : piece, &err);
    if (code == HD_OK)
        code = hd_tar_reader_end(&unpack.reader, &err);
    hd_unpack_close(&unpack);
    return code;
}

static char *text_of(struct room *room, const char *name)
{
    char path[1024];
    size_t size;
    snprintf(path, sizeof(path), "%s/%s", room->root, name);
    return test_file_read(path, &size);
}

static void assert_text(struct room *room, const char *name, const char *wanted)
{
    char *text = text_of(room, name);
    assert_string_equal(text, wanted);
    free(text);
}

static mode_t kind_of(struct room *room, const char *name)
{
    char path[1024];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", room->root, name);
    return lstat(path, &st) == 0 ? st.st_mode : 0;
}

/* ---- what is in order ----------------------------------------------------------------------- */

/* As the engine writes them: a first name for all, long names in extra headers. */
static void files_arrive_in_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 7, 511, 512, 513, ARCHIVE_MAX};
    struct room *room = *state;
    char name[160] = "top/", records[256];
    memset(name + 4, 'n', 130);
    (void)hd_format(records, sizeof(records), "144 path=%s\n", name);
    add_head(room, '5', "top/", "", 0);
    add_head(room, '5', "top/a/", "", 0);
    add_file(room, "top/a/file", "text");
    add_file(room, "top/empty", "");
    add_head(room, '2', "top/link", "/etc/passwd", 0);
    add_head(room, '1', "top/same", "top/a/file", 0);
    add_head(room, '6', "top/pipe", "", 0);
    add_extra(room, records);
    add_file(room, "top/cut", "long");
    add_file(room, "./top//b/./made", "on the way");
    add_end(room);
    for (size_t i = 0; i < HD_COUNT(pieces); i++) {
        assert_hd_ok(unpack(room, "top", pieces[i]));
        assert_text(room, "a/file", "text");
        assert_text(room, "empty", "");
        assert_text(room, "same", "text");
        assert_text(room, name + 4, "long");
        assert_text(room, "b/made", "on the way");
        assert_true(S_ISLNK(kind_of(room, "link")));
        assert_int_equal(kind_of(room, "pipe"), 0);
        assert_int_equal(kind_of(room, "cut"), 0);
    }
}

/* Our own writer's archives are read by our own reader, links and all. */
static void what_is_packed_is_unpacked_as_it_was(void **state)
{
    struct room *room = *state;
    char path[1024];
    snprintf(path, sizeof(path), "%s/tool", room->outside);
    test_file_write(path, "run");
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/log.txt", room->outside);
    test_file_write(path, "not this");
    snprintf(path, sizeof(path), "%s/to", room->outside);
    assert_int_equal(symlink("tool", path), 0);
    snprintf(path, sizeof(path), "%s/archive", room->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    const struct hd_pack_tree tree = {.directory = room->outside,
                                      .name = "top/work",
                                      .leave_out = "log.txt",
                                      .uid = 7,
                                      .gid = 8,
                                      .bytes_max = BYTES_MAX};
    assert_hd_ok(hd_pack_tree(&tree, fd, &err));
    assert_hd_ok(hd_pack_link("top/data", "/data", fd, &err));
    assert_hd_ok(hd_pack_end(fd, &err));
    ssize_t size = pread(fd, room->archive, ARCHIVE_MAX, 0);
    assert_true(size > 0 && size % 512 == 0);
    room->size = (size_t)size;
    close(fd);
    assert_hd_ok(unpack(room, "top", 100));
    assert_text(room, "work/tool", "run");
    assert_int_equal(kind_of(room, "work/tool") & 0777, 0777);
    assert_int_equal(kind_of(room, "work") & 0777, 0777);
    assert_true(S_ISLNK(kind_of(room, "work/to")));
    assert_true(S_ISLNK(kind_of(room, "data")));
    assert_int_equal(kind_of(room, "work/log.txt"), 0);
    const struct hd_pack_tree small = {.directory = room->outside, .name = "top", .bytes_max = 3};
    assert_hd_fails(hd_pack_tree(&small, -1, &err), HD_E_LIMIT, "holds more than 3 bytes");
}

/* ---- traps ---------------------------------------------------------------------------------- */

static void set_size(struct room *room, const char *digits)
{
    char *head = add_head(room, '0', "top/x", "", 0);
    memset(head + 124, 0, 12);
    memcpy(head + 124, digits, strlen(digits));
    set_sum(head);
}

static void build_trap(struct room *room, const char *trap)
{
    char deep[800] = "top", records[900];
    room->size = 0;
    if (strcmp(trap, "absolute") == 0)
        add_file(room, "/top/x", "x");
    else if (strcmp(trap, "above") == 0)
        add_file(room, "top/../../outside/x", "x");
    else if (strcmp(trap, "elsewhere") == 0)
        add_file(room, "other/x", "x");
    else if (strcmp(trap, "no directory") == 0)
        add_file(room, "top", "x");
    else if (strcmp(trap, "nameless") == 0)
        add_file(room, "./", "x");
    else if (strcmp(trap, "hard link out") == 0)
        add_head(room, '1', "top/x", "top/../../outside/x", 0);
    else if (strcmp(trap, "hard link nowhere") == 0)
        add_head(room, '1', "top/x", "top/none", 0);
    else if (strcmp(trap, "hard link through a link") == 0) {
        add_head(room, '2', "top/way", "../outside", 0);
        add_head(room, '1', "top/x", "top/way/secret", 0);
    } else if (strcmp(trap, "hard link of a link") == 0) {
        add_head(room, '2', "top/way", "../outside/secret", 0);
        add_head(room, '1', "top/x", "top/way", 0);
    } else if (strcmp(trap, "through a link") == 0) {
        add_head(room, '2', "top/way", "../outside", 0);
        add_file(room, "top/way/x", "x");
    } else if (strcmp(trap, "directory through a link") == 0) {
        add_head(room, '2', "top/way", "../outside", 0);
        add_head(room, '5', "top/way", "", 0);
    } else if (strcmp(trap, "through a file") == 0) {
        add_file(room, "top/way", "x");
        add_file(room, "top/way/x", "x");
    } else if (strcmp(trap, "unknown kind") == 0)
        add_head(room, 'S', "top/x", "", 0);
    else if (strcmp(trap, "wrong sum") == 0)
        add_head(room, '0', "top/x", "", 0)[0] = 'T';
    else if (strcmp(trap, "base 256") == 0)
        set_size(room, "\200\377\377\377\377");
    else if (strcmp(trap, "not a number") == 0)
        set_size(room, "12x4");
    else if (strcmp(trap, "giant") == 0)
        set_size(room, "77777777777");
    else if (strcmp(trap, "holes") == 0)
        add_extra(room, "22 GNU.sparse.major=1\n");
    else if (strcmp(trap, "bad record") == 0)
        add_extra(room, "99 path=x\n");
    else if (strcmp(trap, "giant by record") == 0) {
        add_extra(room, "29 size=18446744073709551615\n");
        add_file(room, "top/x", "x");
    } else if (strcmp(trap, "above by record") == 0) {
        add_extra(room, "28 path=top/../../outside/x\n");
        add_file(room, "top/x", "x");
    } else if (strcmp(trap, "large header") == 0)
        add_head(room, 'x', "PaxHeader", "", HD_TAR_EXTRA_MAX + 1);
    else if (strcmp(trap, "many") == 0)
        for (unsigned i = 0; i <= ENTRIES_MAX; i++)
            add_file(room, "top/x", "");
    else if (strcmp(trap, "deep") == 0) {
        for (int i = 0; i < HD_TAR_DEPTH_MAX; i++)
            strncat(deep, "/d", sizeof(deep) - strlen(deep) - 1);
        (void)hd_format(records, sizeof(records), "%zu path=%s\n", strlen(deep) + 10, deep);
        add_extra(room, records);
        add_file(room, "top/x", "");
    }
    add_end(room);
}

static void what_leads_out_or_is_too_much_is_refused(void **state)
{
    struct room *room = *state;
    char secret[600];
    static const struct {
        const char *trap;
        enum hd_code code;
        const char *words;
    } rows[] = {
        {"absolute", HD_E_CORRUPT, "a name leads out of it"},
        {"above", HD_E_CORRUPT, "a name leads out of it"},
        {"elsewhere", HD_E_CORRUPT, "an archive of top holds other/x"},
        {"no directory", HD_E_CORRUPT, "top is not a directory"},
        {"nameless", HD_E_CORRUPT, "without a name"},
        {"hard link out", HD_E_CORRUPT, "a link leads out of it"},
        {"hard link nowhere", HD_E_IO, "No such file"},
        {"hard link through a link", HD_E_IO, "x: "},
        {"hard link of a link", HD_E_IO, "not permitted"},
        {"through a link", HD_E_IO, "way/x: "},
        {"directory through a link", HD_E_IO, "way: "},
        {"through a file", HD_E_IO, "way/x: Not a directory"},
        {"unknown kind", HD_E_CORRUPT, "unknown kind"},
        {"wrong sum", HD_E_CORRUPT, "wrong check sum"},
        {"base 256", HD_E_CORRUPT, "a number is none"},
        {"not a number", HD_E_CORRUPT, "a number is none"},
        {"giant", HD_E_LIMIT, "more than 10000 bytes"},
        {"holes", HD_E_CORRUPT, "with holes"},
        {"bad record", HD_E_CORRUPT, "not in order"},
        {"giant by record", HD_E_LIMIT, "more than 10000 bytes"},
        {"above by record", HD_E_CORRUPT, "a name leads out of it"},
        {"large header", HD_E_LIMIT, "header of more than"},
        {"many", HD_E_LIMIT, "more than 20 files"},
        {"deep", HD_E_CORRUPT, "leads out of it"},
    };
    snprintf(secret, sizeof(secret), "%s/secret", room->outside);
    test_file_write(secret, "kept");
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err ignored;
        build_trap(room, rows[i].trap);
        assert_hd_fails(unpack(room, "top", 999), rows[i].code, rows[i].words);
        char path[600];
        snprintf(path, sizeof(path), "%s/x", room->outside);
        assert_false(hd_path_exists(path));
        struct stat st;
        assert_int_equal(stat(secret, &st), 0);
        assert_int_equal(st.st_nlink, 1);
        assert_hd_ok(hd_remove_tree(room->root, &ignored));
        assert_hd_ok(hd_mkdirs(room->root, 0755, &ignored));
    }
}

/* Wherever it is cut, it is not taken for a whole one. */
static void a_cut_archive_is_refused(void **state)
{
    struct room *room = *state;
    add_file(room, "top/x", "text");
    add_file(room, "top/y", "text");
    size_t whole = room->size;
    add_end(room);
    assert_hd_ok(unpack(room, "top", 512));
    for (size_t size = 0; size <= whole; size += 128) {
        room->size = size;
        assert_hd_fails(unpack(room, "top", 512), HD_E_CORRUPT, "ends in the middle");
    }
}

/* Rights beyond those of a file, and a name that is taken by a link of before. */
static void nothing_of_before_is_followed_and_no_rights_are_lent(void **state)
{
    struct room *room = *state;
    char path[600], secret[600];
    snprintf(secret, sizeof(secret), "%s/secret", room->outside);
    snprintf(path, sizeof(path), "%s/x", room->root);
    test_file_write(secret, "kept");
    assert_int_equal(symlink(secret, path), 0);
    char *head = add_head(room, '0', "x", "", 4);
    memcpy(head + 100, "0006755", 7);
    set_sum(head);
    add_bytes(room, "text", 4);
    add_end(room);
    assert_hd_ok(unpack(room, "", 512));
    assert_int_equal(kind_of(room, "x") & 07777, 0755);
    assert_text(room, "x", "text");
    size_t size;
    char *kept = test_file_read(secret, &size);
    assert_string_equal(kept, "kept");
    free(kept);
}

#define IN_ROOM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ROOM(files_arrive_in_pieces_of_any_size),
        IN_ROOM(what_is_packed_is_unpacked_as_it_was),
        IN_ROOM(what_leads_out_or_is_too_much_is_refused),
        IN_ROOM(a_cut_archive_is_refused),
        IN_ROOM(nothing_of_before_is_followed_and_no_rights_are_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
