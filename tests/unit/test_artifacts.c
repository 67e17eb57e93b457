/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts: what is shipped of what a target left, where it ends up, and what happens when the
 * store fails. The store is tests/lib/fake_s3.py, which checks every signature by itself. */
#include "testlib.h"

#include <hd/artifacts.h>

#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answer.h"
#include "item.h"

#define BIG_SIZE (2u * HD_ARTIFACT_PART_BYTES + 12345u)

static struct hd_err err;
static char *dir;
static pid_t store_pid;
static int store_stdin = -1;
static struct hd_artifact_place place;
static struct hd_artifact_access *store_access;

/* ---- the world ------------------------------------------------------------------------------ */

static const char *in_dir(const char *name)
{
    static char paths[8][4096];
    static unsigned next;
    char *path = paths[next++ % 8];
    assert_true(hd_format(path, 4096, "%s/%s", dir, name));
    return path;
}

static void make_dir(const char *name)
{
    assert_hd_ok(hd_mkdirs(in_dir(name), 0755, &err));
}

/* Written long enough ago to be left in peace. */
static void write_old(const char *name, const void *bytes, size_t size)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
    time_t then = (time_t)(hd_clock_wall_ms() / 1000) - 60;
    const struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};
    assert_int_equal(utimensat(AT_FDCWD, in_dir(name), times, 0), 0);
}

static void write_text(const char *name, const char *text)
{
    write_old(name, text, strlen(text));
}

static char *make_big(void)
{
    char *bytes = malloc(BIG_SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < BIG_SIZE; i++)
        bytes[i] = (char)(i * 31 + i / 65537);
    return bytes;
}

/* A line may come in pieces, and whoever closes the pipe between them ends the writer. */
static void read_line(int fd, char *ret_line, size_t size)
{
    size_t length = 0;
    char byte;
    while (read(fd, &byte, 1) == 1 && byte != '\n') {
        assert_true(length + 1 < size);
        ret_line[length++] = byte;
    }
    assert_true(length > 0);
    ret_line[length] = '\0';
}

static void start_store(const char *session)
{
    int to[2], from[2];
    char port[16] = "", script[4096], endpoint[64];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    assert_true(
        hd_format(script, sizeof(script), "%s/tests/lib/fake_s3.py", getenv("HD_SOURCE_ROOT")));
    store_pid = fork();
    assert_true(store_pid >= 0);
    if (store_pid == 0) {
        setenv("FAKE_S3_SESSION", session, 1);
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execlp("python3", "python3", script, dir, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    store_stdin = to[1];
    read_line(from[0], port, sizeof(port));
    close(from[0]);
    assert_true(hd_format(endpoint, sizeof(endpoint), "http://127.0.0.1:%s", port));
    setenv("S3_ENDPOINT_URL", endpoint, 1);
    setenv("AWS_ACCESS_KEY_ID", "AKIATEST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "a/secret+of=tests", 1);
    setenv("AWS_SESSION_TOKEN", session, 1);
    assert_hd_ok(hd_artifact_place_parse("s3://bucket/some prefix", &place, &err));
    assert_hd_ok(hd_artifact_access_load(NULL, &store_access, &err));
}

static int set_up(void **state)
{
    (void)state;
    static const char *const names[] = {
        "S3_ENDPOINT_URL",       "AWS_ACCESS_KEY_ID",   "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",   "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",      "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"};
    for (size_t i = 0; i < HD_COUNT(names); i++)
        unsetenv(names[i]);
    dir = test_dir_make();
    make_dir("root/demo/run/7-1/out/deep");
    make_dir("store");
    store_pid = 0;
    store_access = NULL;
    assert_hd_ok(hd_artifact_place_parse(in_dir("store"), &place, &err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (store_pid > 0) {
        close(store_stdin);
        (void)kill(store_pid, SIGKILL);
        (void)waitpid(store_pid, NULL, 0);
    }
    hd_artifact_access_free(store_access);
    test_dir_remove(dir);
    return 0;
}

static void set_faults(const char *lines)
{
    test_file_write(in_dir("faults"), lines);
}

static struct hd_shipper *open_shipper(bool on, uint64_t bytes_max)
{
    struct hd_shipper *shipper = NULL;
    char queue[4096];
    (void)hd_copy_text(queue, sizeof(queue), in_dir("queue"));
    const struct hd_shipper_settings settings = {.directory = queue,
                                                 .place = on ? &place : NULL,
                                                 .access = store_access,
                                                 .attempt_bytes_max = bytes_max,
                                                 .manual = true};
    assert_hd_ok(hd_shipper_open(&settings, &shipper, &err));
    return shipper;
}

static const struct hd_attempt_ref first = {.run_uid = 0xab, .job = 7, .attempt = 1};

static void begin(struct hd_shipper *shipper, struct hd_attempt_ref attempt, const char *run_dir,
                  uint32_t keep, double budget)
{
    const struct hd_artifacts_spec spec = {.keep = keep};
    const struct hd_shipment shipment = {.attempt = attempt,
                                         .run_id = "demo",
                                         .config_id = "0-0-3",
                                         .run_dir = run_dir,
                                         .spec = &spec,
                                         .budget = budget};
    hd_shipper_begin(shipper, &shipment);
}

/* Until nothing waits; a store that fails for good would make it endless. */
static void ship_out(struct hd_shipper *shipper)
{
    for (int i = 0; i < 50 && hd_shipper_waiting(shipper) > 0; i++) {
        (void)hd_shipper_look(shipper);
        hd_shipper_hurry(shipper);
    }
    assert_int_equal(hd_shipper_waiting(shipper), 0);
}

static void ship_first(struct hd_shipper *shipper)
{
    begin(shipper, first, in_dir("root/demo/run/7-1"), 0, 9);
    hd_shipper_end(shipper, first, HD_OUTCOME_OK, 0.5, 0);
    ship_out(shipper);
}

#define BASE "demo.00000000000000ab/0-0-3/7-1/"
#define S3_OBJECTS "objects/bucket/some prefix/" BASE

static bool is_there(const char *name)
{
    return access(in_dir(name), F_OK) == 0;
}

static void assert_holds(const char *name, const void *bytes, size_t size)
{
    size_t have;
    char *text = test_file_read(in_dir(name), &have);
    assert_int_equal(have, size);
    assert_memory_equal(text, bytes, size);
    free(text);
}

static void assert_text_in(const char *name, const char *part)
{
    char *text = test_file_read(in_dir(name), NULL);
    if (strstr(text, part) == NULL)
        fail_msg("%s does not hold \"%s\":\n%s", name, part, text);
    free(text);
}

static size_t count_in(const char *name, const char *part)
{
    size_t count = 0;
    char *text = test_file_read(in_dir(name), NULL);
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        count++;
    free(text);
    return count;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* "**" is any number of components, "*" and "?" are within one. */
static void patterns_choose_files(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool match;
    } rows[] = {
        {"out/**", "out/a", true},
        {"out/**", "out/a/b/c", true},
        {"out/**", "out", false},
        {"out/**", "other/out/a", false},
        {"out/*.pt", "out/best.pt", true},
        {"out/*.pt", "out/x/best.pt", false},
        {"out/**/*.pt", "out/a.pt", true},
        {"out/**/*.pt", "out/x/y/a.pt", true},
        {"**/a", "a", true},
        {"**/a", "x/y/a", true},
        {"**/a/**/b", "a/b", true},
        {"**/a/**/b", "x/a/c/a/d/b", true},
        {"**/a/**/b", "x/a/c/b/d", false},
        {"log.txt", "log.txt", true},
        {"log.txt", "log.txt2", false},
        {"?.txt", "a.txt", true},
        {"?.txt", "ab.txt", false},
        {"a*b*c", "aXbXbc", true},
        {"a*b*c", "aXbXb", false},
        {"**", "x/y", true},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        char pattern[64], *files[] = {pattern};
        (void)hd_copy_text(pattern, sizeof(pattern), rows[i].pattern);
        const struct hd_artifacts_spec spec = {.files = files, .file_count = 1};
        if (hd_artifacts_match(&spec, rows[i].path) != rows[i].match)
            fail_msg("%s, %s", rows[i].pattern, rows[i].path);
    }
    const struct hd_artifacts_spec defaults = {0}, off = {.off = true};
    assert_true(hd_artifacts_match(&defaults, "out/a/b") &&
                hd_artifacts_match(&defaults, "log.txt"));
    assert_false(hd_artifacts_match(&defaults, "metrics.jsonl"));
    assert_false(hd_artifacts_match(&off, "out/a"));
}

static enum hd_code parse(const char *lines, struct hd_experiment **ret_experiment)
{
    char text[4096];
    assert_true(hd_format(
        text, sizeof(text),
        "target: {command: [./t]}\nspace: {x: {type: float, low: 0, high: 1}}\n%s", lines));
    return hd_experiment_parse_text(text, strlen(text), "exp.yaml", NULL, ret_experiment, &err);
}

/* Each mistake in the experiment is told with its place and what would be right. */
static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *error;
    } rows[] = {
        {"artifacts: 3", "artifacts: expected false, or a map"},
        {"artifacts: {file: [a]}", "artifacts.file: unknown key, did you mean \"files\"?"},
        {"artifacts: {files: []}", "artifacts.files: expected a list of patterns"},
        {"artifacts: {files: [1]}", "artifacts.files[0]: expected a pattern"},
        {"artifacts: {files: [/etc/passwd]}", "a path inside the attempt's directory"},
        {"artifacts: {files: [out/../../x]}", "a path inside the attempt's directory"},
        {"artifacts: {keep: some}", "artifacts.keep: unknown \"some\"; known are: all, incumbent"},
        {"artifacts: {keep: 0}", "artifacts.keep"},
        {"keep_work: some", "keep_work: unknown \"some\"; known are: all, incumbent"},
        {"keep_work: 1001", "keep_work"},
        {"keep_work: incumbent\nobjective: [{name: a}, {name: b}]", "no single result is the best"},
        {"artifacts: {keep: 5}\nobjective: [{name: a}, {name: b}]", "no single result is the best"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *experiment = NULL;
        assert_int_not_equal(parse(rows[i].lines, &experiment), HD_OK);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("%s: \"%s\" does not hold \"%s\"", rows[i].lines, err.text, rows[i].error);
    }
}

/* What is written out reads back; the default is not written out. */
static void the_section_is_described(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *json;
    } rows[] = {
        {"artifacts: false", "\"artifacts\":false"},
        {"keep_work: incumbent", "\"keep_work\":1"},
        {"keep_work: 12", "\"keep_work\":12"},
        {"artifacts: {files: [out/**], keep: incumbent}",
         "\"artifacts\":{\"files\":[\"out/**\"],\"keep\":1}"},
        {"artifacts: {keep: 3}", "\"artifacts\":{\"files\":null,\"keep\":3}"},
        {"artifacts: true", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *experiment = NULL, *again = NULL;
        struct hd_buf json, twice;
        hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
        hd_buf_init(&twice, HD_EXPERIMENT_BYTES_MAX);
        assert_hd_ok(parse(rows[i].lines, &experiment));
        assert_hd_ok(hd_experiment_to_json(experiment, &json, &err));
        if (rows[i].json != NULL)
            assert_non_null(strstr(hd_buf_text(&json), rows[i].json));
        else
            assert_null(strstr(hd_buf_text(&json), "artifacts"));
        assert_hd_ok(
            hd_experiment_parse_text(hd_buf_text(&json), json.size, "j", NULL, &again, &err));
        assert_hd_ok(hd_experiment_to_json(again, &twice, &err));
        assert_string_equal(hd_buf_text(&json), hd_buf_text(&twice));
        hd_buf_release(&json);
        hd_buf_release(&twice);
        hd_experiment_free(experiment);
        hd_experiment_free(again);
    }
}

static void places_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *url, *bucket, *path, *error;
    } rows[] = {
        {"s3://my-bucket/a/b/", "my-bucket", "a/b", NULL},
        {"s3://my-bucket", "my-bucket", "", NULL},
        {"file:///srv/x", "", "/srv/x", NULL},
        {"/srv/x/", "", "/srv/x", NULL},
        {"x", "", "x", NULL},
        {"", NULL, NULL, "give s3://BUCKET/PREFIX or a directory"},
        {"s3:///x", NULL, NULL, "no bucket in it"},
        {"s3://b/x", NULL, NULL, "no bucket in it"},
        {"s3://my-bucket/a//b", NULL, NULL, "an empty component"},
        {"s3://my-bucket/../b", NULL, NULL, "one that is . or .."},
        {"s3://key:secret@my-bucket/x", NULL, NULL, "no user or password belongs"},
        {"https://minio:9000/b", NULL, NULL, "its address in S3_ENDPOINT_URL"},
        {"s3://my-bucket/a\nb", NULL, NULL, "give s3://"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_artifact_place read;
        enum hd_code code = hd_artifact_place_parse(rows[i].url, &read, &err);
        if (rows[i].error != NULL) {
            assert_int_not_equal(code, HD_OK);
            if (strstr(err.text, rows[i].error) == NULL)
                fail_msg("%s: %s", rows[i].url, err.text);
            continue;
        }
        assert_int_equal(code, HD_OK);
        assert_string_equal(read.bucket, rows[i].bucket);
        assert_string_equal(read.path, rows[i].path);
    }
    static const char *const off[] = {"0", "-1", "off", "No", "FALSE"};
    for (size_t i = 0; i < HD_COUNT(off); i++)
        assert_true(hd_artifacts_are_off(off[i]));
    assert_false(hd_artifacts_are_off(NULL) || hd_artifacts_are_off("") ||
                 hd_artifacts_are_off("1") || hd_artifacts_are_off("s3://bucket/0"));
}

/* The class of an error decides whether it is tried again, mended by a person, or given up. */
static void answers_are_judged(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *xml;
        enum hd_code code;
        const char *part;
    } rows[] = {
        {200, "", HD_OK, ""},
        {204, "", HD_OK, ""},
        {200, "<R><UploadId>x</UploadId></R>", HD_OK, ""},
        {200, "<Error><Code>InternalError</Code><Message>m</Message></Error>", HD_E_NET,
         "InternalError: m"},
        {200, "<Error>", HD_E_NET, "HTTP 200"},
        {500, "", HD_E_NET, "HTTP 500"},
        {503, "<Error><Code>SlowDown</Code></Error>", HD_E_NET, "SlowDown"},
        {429, "", HD_E_NET, "429"},
        {400, "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", HD_E_NET, "Mismatch"},
        {403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", HD_E_AUTH,
         "AWS_SECRET_ACCESS_KEY is not"},
        {403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", HD_E_AUTH, "clock"},
        {403, "<Error><Code>Access&lt;\nDenied</Code></Error>", HD_E_AUTH,
         "Access< Denied; the credentials"},
        {404, "<Error><Code>NoSuchBucket</Code></Error>", HD_E_NOTFOUND, "NoSuchBucket"},
        {404, "<Error><Code>NoSuchUpload</Code></Error>", HD_E_CONFLICT, "NoSuchUpload"},
        {301, "<Error><Code>PermanentRedirect</Code></Error>", HD_E_UNSUPPORTED, "AWS_REGION"},
        {400, "<Error><Code>EntityTooLarge</Code></Error>", HD_E_INVALID, "EntityTooLarge"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        err.text[0] = '\0';
        enum hd_code code =
            hd_s3_judge(rows[i].status, rows[i].xml, strlen(rows[i].xml), "PUT", &err);
        if (code != rows[i].code || strstr(err.text, rows[i].part) == NULL)
            fail_msg("row %zu: %s: %s", i, hd_code_name(code), err.text);
    }
    char text[8];
    static const char xml[] = "<a><b>1&amp;&lt;&quot;</b><c>too long for it</c><d>";
    assert_true(hd_s3_element(xml, strlen(xml), "b", text, sizeof(text)));
    assert_string_equal(text, "1&<\"");
    assert_false(hd_s3_element(xml, strlen(xml), "c", text, sizeof(text)));
    assert_false(hd_s3_element(xml, strlen(xml), "d", text, sizeof(text)));
}

/* The file comes before the environment, and one that others can read is refused. */
static void credentials_are_found(void **state)
{
    (void)state;
    const char *file = in_dir("credentials");
    assert_hd_fails(hd_artifact_access_load(NULL, &store_access, &err), HD_E_NOTFOUND,
                    "set AWS_ACCESS_KEY_ID");
    test_file_write(file, "# mine\nexport AWS_ACCESS_KEY_ID='id'\nAWS_SECRET_ACCESS_KEY=s=1\r\n");
    assert_int_equal(chmod(file, 0644), 0);
    assert_hd_fails(hd_artifact_access_load(file, &store_access, &err), HD_E_AUTH, "chmod 600");
    assert_int_equal(chmod(file, 0600), 0);
    setenv("AWS_ACCESS_KEY_ID", "other", 1);
    setenv("AWS_REGION", "eu-central-1", 1);
    assert_hd_ok(hd_artifact_access_load(file, &store_access, &err));
    hd_artifact_access_free(store_access);
    store_access = NULL;
    setenv("S3_ENDPOINT_URL", "minio:9000", 1);
    assert_hd_fails(hd_artifact_access_load(file, &store_access, &err), HD_E_INVALID,
                    "must begin with https:// or http://");
    hd_artifact_access_hide();
    assert_null(getenv("AWS_ACCESS_KEY_ID"));
}

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
    assert_hd_ok(hd_artifact_store_open(&place, store_access, &store, &err));
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
    assert_hd_ok(hd_artifact_store_open(&place, store_access, &store, &err));
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
    struct hd_shipper *shipper = leave_uploads(place.url);
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
    hd_artifact_access_free(store_access);
    assert_hd_ok(hd_artifact_access_load(NULL, &store_access, &err));
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
    hd_artifact_access_free(store_access);
    assert_hd_ok(hd_artifact_access_load(NULL, &store_access, &err));
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
    assert_hd_ok(hd_artifact_store_open(&place, store_access, &store, &err));
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

/* The examples of FIPS 180-4, in pieces of every size. */
static void sha256_matches_published_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
         "lmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        for (size_t piece = 1; piece <= 120; piece++) {
            struct hd_sha256 *sha;
            char text[HD_SHA256_TEXT_SIZE];
            size_t size = strlen(cases[i].text);
            assert_hd_ok(hd_sha256_new(&sha, &err));
            hd_sha256_add(sha, "rubbish", piece % 7);
            hd_sha256_restart(sha);
            for (size_t at = 0; at < size; at += piece)
                hd_sha256_add(sha, cases[i].text + at, size - at < piece ? size - at : piece);
            hd_sha256_end(sha, text);
            hd_sha256_free(sha);
            assert_string_equal(text, cases[i].digest);
        }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_published_values),
        cmocka_unit_test(patterns_choose_files),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(the_section_is_described),
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test_setup_teardown(places_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(credentials_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_open_file_is_not_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_files_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_directory_gives_back_what_it_got, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bucket_gives_back_what_it_got, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_fails_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_upload_goes_on_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_upload_that_nobody_noted_is_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_kill_left_begun_is_ended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_tells_nothing_holds_nothing_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_directory_is_swept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_credentials_wait_for_a_person, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_best_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closed_files_go_before_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_count_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(switched_off_nothing_moves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_is_not_believed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
