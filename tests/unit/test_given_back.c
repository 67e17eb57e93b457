/* SPDX-License-Identifier: Apache-2.0 */
/* What a target gives back, a hostile one too: its loss and its learning curve. */
#include "testlib.h"

#include "contract_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hd_err err;

/* ---- what a target gives back --------------------------------------------------------------- */

static void put_deep(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 100000; i++)
        assert_true(fputc('[', file) != EOF);
    assert_int_equal(fclose(file), 0);
}

static void put_huge(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
}

static void put_link(const char *path)
{
    assert_int_equal(symlink("/etc/passwd", path), 0);
}

static void put_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0700), 0);
}

static void put_nothing(const char *path)
{
    (void)path;
}

static const struct {
    void (*put)(const char *path);
    const char *message;
} hostile[] = {
    {put_nothing, "not there"},       {put_link, "symbolic link"},
    {put_fifo, "not a regular file"}, {put_folder, "not a regular file"},
    {put_huge, "larger than"},        {put_deep, "loss.json"},
};

static void a_hostile_loss_file_is_no_result_with_a_reason(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < HD_COUNT(hostile); i++) {
        char name[32];
        hd_format(name, sizeof(name), "h%zu", i);
        const char *dir = join(place->dir, name);
        assert_hd_ok(hd_mkdirs(dir, 0700, &err));
        hostile[i].put(join(dir, "loss.json"));
        struct hd_loss loss;
        hd_loss_read(dir, place->experiment, &loss);
        assert_false(loss.present);
        if (strstr(loss.message, hostile[i].message) == NULL)
            fail_msg("case %zu: \"%s\"", i, loss.message);
    }
    test_file_write(join(place->dir, "loss.json"), "{\"error\": 0.5}");
    struct hd_loss loss;
    hd_loss_read(place->dir, place->experiment, &loss);
    assert_true(loss.present);
    assert_true(loss.loss == -0.5);
}

/* Whatever a target left under the name of Hyperdock's log is replaced by the log, and nothing is
 * written through a link. */
static void hyperdocks_log_is_left_for_its_contract(void **state)
{
    struct place *place = *state;
    const char *name = join(place->dir, "docker_log.txt"), *other = join(place->dir, "other");
    char text[16] = "";
    struct stat st;
    test_file_write(join(place->dir, "log.txt"), "hello");
    test_file_write(other, "mine");
    assert_int_equal(symlink(other, name), 0);
    hd_contract_finish(place->dir, place->experiment);
    assert_int_equal(lstat(name, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    place->experiment->target.as_hyperdock = true;
    for (int twice = 0; twice < 2; twice++) {
        hd_contract_finish(place->dir, place->experiment);
        assert_int_equal(lstat(name, &st), 0);
        assert_true(S_ISREG(st.st_mode) && st.st_size == 5);
    }
    FILE *file = fopen(other, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof(text), file), 4);
    fclose(file);
    assert_string_equal(text, "mine");
}

static void a_hostile_metrics_file_gives_no_points(void **state)
{
    struct place *place = *state;
    for (size_t i = 0; i < HD_COUNT(hostile); i++) {
        char name[32];
        hd_format(name, sizeof(name), "m%zu", i);
        const char *dir = join(place->dir, name);
        assert_hd_ok(hd_mkdirs(dir, 0700, &err));
        hostile[i].put(join(dir, "metrics.jsonl"));
        struct hd_metrics metrics = {0};
        struct hd_point points[4];
        struct hd_attempt_ref attempt = {1, 2, 3};
        for (int poll = 0; poll < 3; poll++)
            assert_int_equal(hd_metrics_read(&metrics, dir, place->experiment, attempt, points, 4),
                             0);
    }
}

static void add_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void the_curve_is_followed_as_it_grows(void **state)
{
    struct place *place = *state;
    const char *path = join(place->dir, "metrics.jsonl");
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    static const struct {
        const char *added;
        size_t count;
        double step, loss; /* of the last point */
    } rows[] = {
        {"{\"step\": 1, \"error\": 0.5}\n", 1, 1, -0.5},
        {"", 0, 0, 0},
        {"{\"epoch\": 2, \"loss\"", 0, 0, 0}, /* not finished: waits */
        {": 0.25}\n{\"budget\": 2.5, \"value\": 7}\n", 2, 2.5, -7},
        {"nonsense\n[1]\n{\"step\":1}\n\n{\"loss\": NaN}\n", 0, 0, 0},
        {"{\"loss\": 3}\n", 1, 9, -3}, /* no step: the number of the line */
        {"{\"iteration\":1,\"loss\":1}\n{\"iteration\":2,\"loss\":1}\n"
         "{\"iteration\":3,\"loss\":1}\n{\"iteration\":4,\"loss\":1}\n"
         "{\"iteration\":5,\"loss\":2}\n",
         4, 4, -1},     /* as many as asked for */
        {"", 1, 5, -2}, /* then the rest */
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_point points[4];
        if (rows[i].added[0] != '\0')
            add_text(path, rows[i].added);
        size_t count = hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4);
        if (count != rows[i].count)
            fail_msg("row %zu: %zu points", i, count);
        if (count > 0) {
            assert_true(points[count - 1].step == rows[i].step);
            assert_true(points[count - 1].loss == rows[i].loss);
            assert_int_equal(points[count - 1].attempt.job, 2);
        }
    }
}

static void a_curve_that_was_replaced_or_cut_begins_anew(void **state)
{
    struct place *place = *state;
    char path[HD_PATH_MAX], other[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/metrics.jsonl", place->dir));
    assert_true(hd_format(other, sizeof(other), "%s/other", place->dir));
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    struct hd_point points[4];
    add_text(path, "{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":1}\n");
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     2);
    assert_int_equal(truncate(path, 0), 0);
    add_text(path, "{\"step\":3,\"loss\":1}\n");
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     1);
    add_text(other, "{\"step\":4,\"loss\":1}\n{\"step\":5,\"loss\":1}\n{\"step\":6,\"loss\":1}\n");
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     3);
    assert_true(points[0].step == 4);
}

static void a_line_without_end_is_skipped(void **state)
{
    struct place *place = *state;
    char path[HD_PATH_MAX];
    assert_true(hd_format(path, sizeof(path), "%s/metrics.jsonl", place->dir));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("{\"step\":1,\"loss\":1}\n", file) >= 0);
    for (size_t i = 0; i < 3 * HD_METRICS_LINE_MAX + 17; i++)
        assert_true(fputc('x', file) != EOF);
    assert_true(fputs("\n{\"step\":2,\"loss\":1}\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct hd_metrics metrics = {0};
    struct hd_attempt_ref attempt = {1, 2, 3};
    struct hd_point points[4];
    assert_int_equal(hd_metrics_read(&metrics, place->dir, place->experiment, attempt, points, 4),
                     2);
    assert_true(points[1].step == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(a_hostile_loss_file_is_no_result_with_a_reason),
        WITH_PLACE(hyperdocks_log_is_left_for_its_contract),
        WITH_PLACE(a_hostile_metrics_file_gives_no_points),
        WITH_PLACE(the_curve_is_followed_as_it_grows),
        WITH_PLACE(a_curve_that_was_replaced_or_cut_begins_anew),
        WITH_PLACE(a_line_without_end_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
