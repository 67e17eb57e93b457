/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of artifacts: which files, in an experiment; which place; how a store answers. */
#include "testlib.h"

#include <hd/artifacts.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "answer.h"
#include "item.h"
#include "ship_world.h"

static struct hd_err err;

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
    assert_hd_fails(hd_artifact_access_load(NULL, &ship_access, &err), HD_E_NOTFOUND,
                    "set AWS_ACCESS_KEY_ID");
    test_file_write(file, "# mine\nexport AWS_ACCESS_KEY_ID='id'\nAWS_SECRET_ACCESS_KEY=s=1\r\n");
    assert_int_equal(chmod(file, 0644), 0);
    assert_hd_fails(hd_artifact_access_load(file, &ship_access, &err), HD_E_AUTH, "chmod 600");
    assert_int_equal(chmod(file, 0600), 0);
    setenv("AWS_ACCESS_KEY_ID", "other", 1);
    setenv("AWS_REGION", "eu-central-1", 1);
    assert_hd_ok(hd_artifact_access_load(file, &ship_access, &err));
    hd_artifact_access_free(ship_access);
    ship_access = NULL;
    setenv("S3_ENDPOINT_URL", "minio:9000", 1);
    assert_hd_fails(hd_artifact_access_load(file, &ship_access, &err), HD_E_INVALID,
                    "must begin with https:// or http://");
    hd_artifact_access_hide();
    assert_null(getenv("AWS_ACCESS_KEY_ID"));
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
        WITH_WORLD(places_are_read),
        WITH_WORLD(credentials_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
