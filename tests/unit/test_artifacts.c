/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts: what is shipped of what a target left, where it ends up, and what happens when the
 * store fails. The store is tests/lib/fake_s3.py, which checks every signature by itself. */
#include "testlib.h"

#include <hd/artifacts.h>

#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "item.h"
#include "ship_world.h"

static struct hd_err err;

/* ---- what is shipped ------------------------------------------------------------------------ */

/* Whoever has it open for writing is found out, whatever process that is. */
static void an_open_file_is_not_closed(void **state)
{
    (void)state;
    write_text("root/demo/run/7-1/out/a", "text");
    int writer = open(in_dir("root/demo/run/7-1/out/a"), O_WRONLY | O_APPEND | O_CLOEXEC);
    struct hd_stamp stamp;
    int fd;
    assert_hd_ok(hd_walk_open(in_dir("root/demo/run/7-1"), "out/a", &fd, &stamp, &err));
    assert_false(hd_walk_is_closed(fd));
    close(writer);
    assert_true(hd_walk_is_closed(fd));
    close(fd);
}

/* Links, FIFOs, giants, odd names: none is read, each is named, and the rest is shipped. */
static void hostile_files_are_left_out(void **state)
{
    (void)state;
    write_text("secret", "the worker's");
    write_text("root/demo/run/7-1/out/good", "good");
    make_dir("outside");
    write_text("outside/x", "outside");
    assert_int_equal(symlink(in_dir("secret"), in_dir("root/demo/run/7-1/out/link")), 0);
    assert_int_equal(symlink(in_dir("outside"), in_dir("root/demo/run/7-1/out/dir")), 0);
    assert_int_equal(mkfifo(in_dir("root/demo/run/7-1/out/fifo"), 0600), 0);
    write_text("root/demo/run/7-1/out/bad\x01name", "x");
    write_text("root/demo/run/7-1/out/\xff", "x");
    write_text("root/demo/run/7-1/out/giant", "x");
    write_text("root/demo/run/7-1/out/medium", "x");
    assert_int_equal(truncate(in_dir("root/demo/run/7-1/out/giant"), (off_t)1 << 40), 0);
    assert_int_equal(truncate(in_dir("root/demo/run/7-1/out/medium"), (off_t)1 << 30), 0);
    struct hd_shipper *shipper = open_shipper(true, 1000000);
    ship_first(shipper);
    hd_shipper_close(shipper);
    assert_holds("store/" BASE "out/good", "good", 4);
    static const char *const gone[] = {"out/link", "out/dir", "out/fifo", "out/giant",
                                       "out/medium"};
    for (size_t i = 0; i < HD_COUNT(gone); i++) {
        char name[128], quoted[64];
        assert_true(hd_format(name, sizeof(name), "store/" BASE "%s", gone[i]) &&
                    hd_format(quoted, sizeof(quoted), "\"path\":\"%s\",\"why\":", gone[i]));
        assert_false(is_there(name));
        assert_text_in("store/" BASE HD_ARTIFACT_MANIFEST, quoted);
    }
    assert_text_in("store/" BASE HD_ARTIFACT_MANIFEST, "\"left_out_count\":7");
    assert_text_in("root/demo/run/7-1.artifacts", "\"state\":\"shipped\"");
}

/* Home again, the same bytes; into a directory and through a bucket, small files and large ones. */
static void check_there_and_back(void)
{
    char *big = make_big();
    struct hd_artifact_store *store = NULL;
    size_t files;
    uint64_t bytes;
    write_text("root/demo/run/7-1/out/deep/a b+c&d=e~\xc3\xa4", "odd name");
    write_text("root/demo/run/7-1/out/empty", "");
    write_text("root/demo/run/7-1/params.json", "{}");
    write_text("root/demo/run/7-1/metrics.jsonl", "{}");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    struct hd_shipper *shipper = open_shipper(true, 0);
    ship_first(shipper);
    hd_shipper_close(shipper);
    make_dir("home");
    assert_hd_ok(hd_artifact_store_open(&ship_place, ship_access, &store, &err));
    assert_hd_ok(hd_artifacts_fetch(store, "demo.00000000000000ab/0-0-3/7-1", in_dir("home"),
                                    &files, &bytes, &err));
    assert_int_equal(files, 4);
    assert_int_equal(bytes, BIG_SIZE + strlen("odd name") + 2);
    assert_holds("home/out/big", big, BIG_SIZE);
    assert_holds("home/out/deep/a b+c&d=e~\xc3\xa4", "odd name", 8);
    assert_holds("home/out/empty", "", 0);
    assert_false(is_there("home/metrics.jsonl"));
    assert_hd_fails(hd_artifacts_fetch(store, "demo.00000000000000ab/0-0-3/8-1", in_dir("home"),
                                       &files, &bytes, &err),
                    HD_E_NOTFOUND, "");
    hd_artifact_store_close(store);
    free(big);
}

static void a_directory_gives_back_what_it_got(void **state)
{
    (void)state;
    check_there_and_back();
    assert_false(is_there("queue/00000000000000ab-7-1.item"));
}

static void a_bucket_gives_back_what_it_got(void **state)
{
    (void)state;
    start_store("a+session/token==");
    check_there_and_back();
    assert_int_equal(count_in("requests", "\n"), count_in("requests", "signed\n"));
}

/* Whatever the store does once, everything is there in the end. */
static void a_store_that_fails_is_tried_again(void **state)
{
    (void)state;
    /* In the order of requests: a small file, the upload and its parts, its end, the manifest. */
    static const char *const faults[] = {
        "500\n503\n403\nok\ndrop\nok\nok\n500\n",
        "cut\nok\ncut\nok\ncut\n",
        "ok\nok\nok\nok\nok\nlate\n503\n",
        "ok\nok\nok\nok\nok\ncut\n",
    };
    char *big = make_big();
    start_store("");
    write_text("root/demo/run/7-1/out/a", "small");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    for (size_t i = 0; i < HD_COUNT(faults); i++) {
        assert_hd_ok(hd_remove_tree(in_dir("objects"), &err));
        set_faults(faults[i]);
        struct hd_shipper *shipper = open_shipper(true, 0);
        ship_first(shipper);
        hd_shipper_close(shipper);
        assert_holds(S3_OBJECTS "out/a", "small", 5);
        assert_holds(S3_OBJECTS "out/big", big, BIG_SIZE);
        assert_true(is_there(S3_OBJECTS HD_ARTIFACT_MANIFEST));
    }
    free(big);
}

/* A worker that dies in the middle of a large file goes on behind the last part that arrived. */
static void an_upload_goes_on_after_a_restart(void **state)
{
    (void)state;
    char *big = make_big();
    start_store("");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    set_faults("ok\nok\n500\n");
    struct hd_shipper *shipper = open_shipper(true, 0);
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    assert_true(hd_shipper_look(shipper));
    assert_int_equal(hd_shipper_waiting(shipper), 1);
    assert_text_in("root/demo/run/7-1.artifacts", "HTTP 500");
    hd_shipper_close(shipper);
    shipper = open_shipper(true, 0);
    hd_shipper_settle(shipper);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_holds(S3_OBJECTS "out/big", big, BIG_SIZE);
    assert_int_equal(count_in("requests", "partNumber=1&"), 1);
    assert_int_equal(count_in("requests", "partNumber=2&"), 2);
    assert_int_equal(count_in("requests", "uploads="), 1);
    free(big);
}

/* The answer to the beginning of an upload is lost, or its reader is: the upload is found by its
 * name, ended, and begun anew. */
static void an_upload_that_nobody_noted_is_ended(void **state)
{
    (void)state;
    char *big = make_big();
    start_store("");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    for (int restart = 0; restart < 2; restart++) {
        set_faults("cut\n");
        struct hd_shipper *shipper = open_shipper(true, 0);
        begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
        hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
        assert_true(hd_shipper_look(shipper));
        assert_int_equal(hd_shipper_waiting(shipper), 1);
        assert_in_range(count_in("uploads", "out/big\n"), 1, 2);
        if (restart == 1) {
            hd_shipper_close(shipper);
            shipper = open_shipper(true, 0);
            hd_shipper_settle(shipper);
        }
        ship_out(shipper);
        hd_shipper_close(shipper);
        assert_holds(S3_OBJECTS "out/big", big, BIG_SIZE);
        assert_int_equal(count_in("uploads", "\n"), 0);
    }
    assert_int_equal(count_in("requests", "\n"), count_in("requests", "signed\n"));
    free(big);
}

/* As a kill leaves it: uploads are begun, and of them the intent alone is on disk. */
static struct hd_shipper *leave_uploads(const char *url)
{
    struct hd_artifact_store *store = NULL;
    char upload[HD_ARTIFACT_TAG_MAX], lines[4096];
    struct hd_shipper *shipper = open_shipper(true, 0);
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    assert_hd_ok(hd_artifact_store_open(&ship_place, ship_access, &store, &err));
    for (int i = 0; i < 25; i++) /* more than one answer lists */
        assert_hd_ok(hd_artifact_begin(store, BASE "out/big", upload, &err));
    assert_hd_ok(hd_artifact_begin(store, BASE "out/big & more", upload, &err));
    hd_artifact_store_close(store);
    hd_shipper_close(shipper);
    assert_true(
        hd_format(lines, sizeof(lines), "{\"place\":\"%s\"}\n{\"intent\":\"out/big\"}\n", url));
    test_file_write(in_dir("queue/00000000000000ab-7-1.shipped"), lines);
    return open_shipper(true, 0);
}

/* All of its own, none of another name that begins alike; also when the attempt does not count. */
static void what_a_kill_left_begun_is_ended(void **state)
{
    (void)state;
    char *big = make_big();
    start_store("");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    for (int counts = 0; counts < 2; counts++) {
        struct hd_shipper *shipper = leave_uploads("s3://bucket/some prefix");
        if (counts == 1)
            hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
        hd_shipper_settle(shipper);
        ship_out(shipper);
        hd_shipper_close(shipper);
        assert_int_equal(count_in("uploads", "out/big\n"), 0);
        assert_int_equal(count_in("uploads", "out/big & more\n"), (size_t)counts + 1);
        assert_true(is_there(S3_OBJECTS "out/big") == (counts == 1));
    }
    free(big);
}

/* A store that does not tell its uploads gets the files all the same. */
static void a_store_that_tells_nothing_holds_nothing_up(void **state)
{
    (void)state;
    char *big = make_big();
    start_store("");
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    struct hd_shipper *shipper = leave_uploads("s3://bucket/some prefix");
    set_faults("403\n");
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_holds(S3_OBJECTS "out/big", big, BIG_SIZE);
    assert_int_equal(count_in("uploads", "out/big\n"), 25);
    free(big);
}

/* In a directory they are hidden files of the attempt. */
static void a_directory_is_swept(void **state)
{
    (void)state;
    char *big = make_big();
    glob_t found;
    write_old("root/demo/run/7-1/out/big", big, BIG_SIZE);
    struct hd_shipper *shipper = leave_uploads(ship_place.url);
    assert_int_equal(glob(in_dir("store/" BASE "out/.*.parts"), 0, NULL, &found), 0);
    globfree(&found);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_holds("store/" BASE "out/big", big, BIG_SIZE);
    assert_int_equal(glob(in_dir("store/" BASE "out/.*.parts"), 0, NULL, &found), GLOB_NOMATCH);
    free(big);
}

/* Credentials that are refused are a person's to mend: nothing is lost meanwhile, and it is said.
 */
static void refused_credentials_wait_for_a_person(void **state)
{
    (void)state;
    char about[256];
    start_store("");
    write_text("root/demo/run/7-1/out/a", "small");
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    hd_artifact_access_free(ship_access);
    assert_hd_ok(hd_artifact_access_load(NULL, &ship_access, &err));
    struct hd_shipper *shipper = open_shipper(true, 0);
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    assert_true(hd_shipper_look(shipper));
    assert_false(hd_shipper_look(shipper)); /* not at once */
    hd_shipper_describe(shipper, about, sizeof(about));
    assert_non_null(
        strstr(about, "1 wait (s3://bucket/some prefix: PUT: HTTP 403 SignatureDoesNotMatch"));
    assert_null(strstr(about, "wrong"));
    assert_true(hd_shipper_needs(shipper, in_dir("root/demo/run/7-1")));
    hd_shipper_close(shipper);
    setenv("AWS_SECRET_ACCESS_KEY", "a/secret+of=tests", 1);
    hd_artifact_access_free(ship_access);
    assert_hd_ok(hd_artifact_access_load(NULL, &ship_access, &err));
    shipper = open_shipper(true, 0);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_true(is_there(S3_OBJECTS "out/a"));
}

/* ---- what is kept --------------------------------------------------------------------------- */

static void end_job(struct hd_shipper *shipper, uint32_t job, double budget, double loss,
                    enum hd_outcome outcome, double violation)
{
    char run_dir[64], out[64], file[80];
    const struct hd_attempt_ref attempt = {.run_uid = 0xab, .job = job, .attempt = 1};
    assert_true(hd_format(run_dir, sizeof(run_dir), "root/demo/run/%u-1", job) &&
                hd_format(out, sizeof(out), "%s/out", run_dir) &&
                hd_format(file, sizeof(file), "%s/model", out));
    make_dir(out);
    write_text(file, "weights");
    begin(shipper, attempt, in_dir(run_dir), 2, budget);
    hd_shipper_end(shipper, attempt, outcome, loss, violation);
    ship_out(shipper);
}

/* The best two, by budget, constraints and loss, also over a restart; a failed one is never among
 * them. */
static void the_best_are_kept(void **state)
{
    (void)state;
    static const struct {
        double budget, loss;
        enum hd_outcome outcome;
        const char *kept; /* after this job */
        double violation;
    } jobs[] = {
        {1, 0.5, HD_OUTCOME_OK, "0", 0},          {1, 0.7, HD_OUTCOME_OK, "01", 0},
        {1, 0.6, HD_OUTCOME_OK, "02", 0},         {1, 0.1, HD_OUTCOME_FAILED, "02", 0},
        {1, 0.2, HD_OUTCOME_OK, "02", 3},         {3, 0.9, HD_OUTCOME_OK, "05", 2},
        {3, 0.9, HD_OUTCOME_OK, "56", 1},         {1, 0.01, HD_OUTCOME_OK, "56", 0},
        {3, (double)NAN, HD_OUTCOME_OK, "56", 0}, {9, 5, HD_OUTCOME_OK, "69", 0},
    };
    struct hd_shipper *shipper = open_shipper(true, 0);
    for (uint32_t i = 0; i < HD_COUNT(jobs); i++) {
        end_job(shipper, i, jobs[i].budget, jobs[i].loss, jobs[i].outcome, jobs[i].violation);
        for (uint32_t j = 0; j <= i; j++) {
            char name[128];
            assert_true(hd_format(name, sizeof(name),
                                  "store/demo.00000000000000ab/0-0-3/%u-1/out/model", j));
            if (is_there(name) != (strchr(jobs[i].kept, (char)('0' + j)) != NULL))
                fail_msg("after job %u: job %u", i, j);
        }
        hd_shipper_close(shipper);
        shipper = open_shipper(true, 0);
    }
    hd_shipper_close(shipper);
    assert_text_in("root/demo/run/0-1.artifacts", "\"state\":\"dropped\"");
}

/* While the target works: what it has closed goes, what is open waits, what changes goes again, and
 * what it removed is gone in the end. */
static void closed_files_go_before_the_end(void **state)
{
    (void)state;
    struct hd_shipper *shipper = open_shipper(true, 0);
    write_text("root/demo/run/7-1/out/closed", "one");
    write_text("root/demo/run/7-1/out/open", "half");
    write_text("root/demo/run/7-1/out/passing", "gone soon");
    int writer = open(in_dir("root/demo/run/7-1/out/open"), O_WRONLY | O_CLOEXEC);
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_hurry(shipper);
    assert_true(hd_shipper_look(shipper));
    assert_holds("store/" BASE "out/closed", "one", 3);
    assert_true(is_there("store/" BASE "out/passing"));
    assert_false(is_there("store/" BASE "out/open"));
    assert_false(is_there("store/" BASE HD_ARTIFACT_MANIFEST));
    write_text("root/demo/run/7-1/out/closed", "and two");
    assert_int_equal(unlink(in_dir("root/demo/run/7-1/out/passing")), 0);
    close(writer);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_holds("store/" BASE "out/closed", "and two", 7);
    assert_holds("store/" BASE "out/open", "half", 4);
    assert_false(is_there("store/" BASE "out/passing"));
}

/* An attempt whose result does not count leaves nothing behind, also when its worker died. */
static void what_does_not_count_goes(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct hd_shipper *shipper = open_shipper(true, 0);
        write_text("root/demo/run/7-1/out/a", "text");
        begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
        hd_shipper_hurry(shipper);
        assert_true(hd_shipper_look(shipper));
        assert_true(is_there("store/" BASE "out/a"));
        if (restart == 1) {
            hd_shipper_close(shipper);
            shipper = open_shipper(true, 0);
            hd_shipper_settle(shipper);
        } else {
            hd_shipper_forget(shipper, first);
        }
        ship_out(shipper);
        hd_shipper_close(shipper);
        assert_false(is_there("store/demo.00000000000000ab"));
        assert_true(is_there("store"));
        assert_false(is_there("queue/00000000000000ab-7-1.item"));
    }
}

/* Switched off, nothing new is begun, and what an earlier worker left waits on its disk. */
static void switched_off_nothing_moves(void **state)
{
    (void)state;
    write_text("root/demo/run/7-1/out/a", "text");
    struct hd_shipper *shipper = open_shipper(true, 0);
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    hd_shipper_close(shipper);
    shipper = open_shipper(false, 0);
    const struct hd_attempt_ref second = {.run_uid = 0xab, .job = 8, .attempt = 1};
    begin(shipper, second, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, second, HD_OUTCOME_OK, 0.5, 0);
    assert_false(hd_shipper_look(shipper));
    assert_int_equal(hd_shipper_waiting(shipper), 0); /* a worker that leaves need not wait */
    assert_true(hd_shipper_needs(shipper, in_dir("root/demo/run/7-1")));
    hd_shipper_close(shipper);
    assert_false(is_there("store/" BASE "out/a"));
    shipper = open_shipper(true, 0);
    ship_out(shipper);
    hd_shipper_close(shipper);
    assert_true(is_there("store/" BASE "out/a"));
    assert_false(is_there("store/demo.00000000000000ab/0-0-3/8-1"));
}

/* A file that came changed is not left behind as if it were whole, and no manifest leads out. */
static void a_store_is_not_believed(void **state)
{
    (void)state;
    struct hd_artifact_store *store = NULL;
    size_t files;
    uint64_t bytes;
    const char *base = "demo.00000000000000ab/0-0-3/7-1";
    start_store("");
    write_text("root/demo/run/7-1/out/a", "text");
    struct hd_shipper *shipper = open_shipper(true, 0);
    ship_first(shipper);
    hd_shipper_close(shipper);
    make_dir("home");
    assert_hd_ok(hd_artifact_store_open(&ship_place, ship_access, &store, &err));
    set_faults("ok\ncorrupt\n");
    assert_hd_fails(hd_artifacts_fetch(store, base, in_dir("home"), &files, &bytes, &err),
                    HD_E_CORRUPT, "out/a: what the store gave is not what was shipped");
    assert_false(is_there("home/out/a"));
    set_faults("ok\ncut\n");
    assert_hd_fails(hd_artifacts_fetch(store, base, in_dir("home"), &files, &bytes, &err), HD_E_NET,
                    "");
    assert_false(is_there("home/out/a"));
    static const char *const manifests[] = {
        "{\"version\":1,\"files\":[{\"path\":\"../x\",\"size\":4,\"sha256\":\"\"}]}",
        "{\"version\":1,\"files\":[{\"path\":\"/x\",\"size\":4,\"sha256\":\"\"}]}",
        "{\"version\":1,\"files\":[{\"path\":\"a/./x\",\"size\":4,\"sha256\":\"\"}]}",
        "{\"version\":1,\"files\":[{\"path\":\"x\",\"size\":-4,\"sha256\":\"\"}]}",
        "{\"version\":1,\"files\":7}",
    };
    for (size_t i = 0; i < HD_COUNT(manifests); i++) {
        test_file_write(in_dir(S3_OBJECTS HD_ARTIFACT_MANIFEST), manifests[i]);
        assert_hd_fails(hd_artifacts_fetch(store, base, in_dir("home"), &files, &bytes, &err),
                        HD_E_CORRUPT, HD_ARTIFACT_MANIFEST);
    }
    hd_artifact_store_close(store);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_open_file_is_not_closed),
        WITH_WORLD(hostile_files_are_left_out),
        WITH_WORLD(a_directory_gives_back_what_it_got),
        WITH_WORLD(a_bucket_gives_back_what_it_got),
        WITH_WORLD(a_store_that_fails_is_tried_again),
        WITH_WORLD(an_upload_goes_on_after_a_restart),
        WITH_WORLD(an_upload_that_nobody_noted_is_ended),
        WITH_WORLD(what_a_kill_left_begun_is_ended),
        WITH_WORLD(a_store_that_tells_nothing_holds_nothing_up),
        WITH_WORLD(a_directory_is_swept),
        WITH_WORLD(refused_credentials_wait_for_a_person),
        WITH_WORLD(the_best_are_kept),
        WITH_WORLD(closed_files_go_before_the_end),
        WITH_WORLD(what_does_not_count_goes),
        WITH_WORLD(switched_off_nothing_moves),
        WITH_WORLD(a_store_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
