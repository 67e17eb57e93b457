/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <hd/os.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    bool resume;
    const char *host;
    int64_t port;
    double eta;
    int64_t timeout_ms;
    struct hd_text_list env;
    bool port_given;
} values;

static const struct hd_option options[] = {
    {.name = "resume", .kind = HD_OPTION_FLAG, .value = &values.resume, .help = "resume or start"},
    {.name = "host",
     .kind = HD_OPTION_TEXT,
     .value = &values.host,
     .hint = "HOST",
     .help = "address to bind"},
    {.name = "port",
     .kind = HD_OPTION_INT,
     .value = &values.port,
     .hint = "N",
     .int_min = 0,
     .int_max = 65535,
     .given = &values.port_given,
     .help = "port to bind"},
    {.name = "eta", .kind = HD_OPTION_DOUBLE, .value = &values.eta, .help = "factor"},
    {.name = "time-limit",
     .aliases = "max-time,time",
     .kind = HD_OPTION_DURATION,
     .value = &values.timeout_ms,
     .hint = "DURATION",
     .help = "how long"},
    {.name = "env",
     .kind = HD_OPTION_LIST,
     .value = &values.env,
     .hint = "K=V",
     .help = "for targets"},
};
static const struct hd_program program = {
    .name = "hd-test",
    .summary = "a program of tests",
    .usage = "hd-test FILE [OTHER] [options]",
    .epilogue = "Exit codes: 0.",
    .options = options,
    .option_count = HD_COUNT(options),
    .positional_min = 1,
    .positional_max = 2,
};

#define ARGS_MAX 12
struct outcome {
    enum hd_parse_answer answer;
    const char *positionals[2];
    size_t positional_count;
    char out[4096], err[4096];
};

static void redirect(int fd, FILE *file, int *ret_kept)
{
    fflush(NULL);
    *ret_kept = dup(fd);
    assert_true(dup2(fileno(file), fd) >= 0);
}

static void restore(int fd, int kept, FILE *file, char *text, size_t size)
{
    fflush(NULL);
    assert_true(dup2(kept, fd) >= 0);
    close(kept);
    rewind(file);
    size_t got = fread(text, 1, size - 1, file);
    text[got] = '\0';
    fclose(file);
}

static struct outcome parse(const char *const *arguments)
{
    memset(&values, 0, sizeof(values));
    values.port = 7411;
    values.eta = NAN;
    struct outcome outcome = {0};
    char *argv[ARGS_MAX] = {(char *)"hd-test"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    FILE *out = tmpfile(), *err = tmpfile();
    int kept_out, kept_err;
    redirect(STDOUT_FILENO, out, &kept_out);
    redirect(STDERR_FILENO, err, &kept_err);
    outcome.answer =
        hd_options_parse(&program, argc, argv, outcome.positionals, &outcome.positional_count);
    restore(STDERR_FILENO, kept_err, err, outcome.err, sizeof(outcome.err));
    restore(STDOUT_FILENO, kept_out, out, outcome.out, sizeof(outcome.out));
    return outcome;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void every_kind_is_read_in_both_forms(void **state)
{
    (void)state;
    struct outcome got = PARSE("file", "--resume", "--host", "h", "--port=0", "--eta", "2.5",
                               "--time-limit=1m", "--env", "A=1", "--env=B=-2");
    assert_int_equal(got.answer, HD_PARSE_GO);
    assert_true(values.resume);
    assert_string_equal(values.host, "h");
    assert_int_equal(values.port, 0);
    assert_true(values.port_given);
    assert_true(values.eta == 2.5);
    assert_int_equal(values.timeout_ms, 60000);
    assert_int_equal(values.env.count, 2);
    assert_string_equal(values.env.items[1], "B=-2");
    assert_int_equal(got.positional_count, 1);
    assert_string_equal(got.positionals[0], "file");
}

static void defaults_stay_and_old_spellings_work(void **state)
{
    (void)state;
    struct outcome got = PARSE("--max_time", "5", "file");
    assert_int_equal(got.answer, HD_PARSE_GO);
    assert_int_equal(values.timeout_ms, 5000);
    assert_int_equal(values.port, 7411);
    assert_false(values.port_given);
    got = PARSE("--time_limit", "6", "file");
    assert_int_equal(got.answer, HD_PARSE_GO);
    assert_int_equal(values.timeout_ms, 6000);
}

static void after_two_dashes_all_is_positional(void **state)
{
    (void)state;
    struct outcome got = PARSE("-", "--", "--resume");
    assert_int_equal(got.answer, HD_PARSE_GO);
    assert_false(values.resume);
    assert_int_equal(got.positional_count, 2);
    assert_string_equal(got.positionals[0], "-");
    assert_string_equal(got.positionals[1], "--resume");
}

static void bad_command_lines_get_one_clear_line(void **state)
{
    (void)state;
    static const struct {
        const char *arguments[5];
        const char *part;
    } cases[] = {
        {{"file", "--prot", "1"}, "did you mean --port?"},
        {{"file", "--zzzzzzzz"}, "unknown option --zzzzzzzz; see --help"},
        {{"file", "--port", "x"}, "--port: \"x\" is not a whole number"},
        {{"file", "--port", "65536"}, "--port: 65536 is not within 0..65535"},
        {{"file", "--port"}, "--port needs a value: --port=N"},
        {{"file", "--host", "--resume"}, "--host needs a value"},
        {{"file", "--resume=yes"}, "--resume takes no value"},
        {{"file", "--eta", "two"}, "--eta: \"two\" is not a number"},
        {{"file", "--eta", "nan"}, "--eta: \"nan\" is not a number"},
        {{"file", "--time-limit", "1 parsec"}, "--time-limit: "},
        {{"file", "-x"}, "unknown option -x"},
        {{"--resume"}, "an argument is missing; usage: hd-test FILE"},
        {{"a", "b", "c"}, "unexpected argument \"c\""},
    };
    for (size_t i = 0; i < HD_COUNT(cases); i++) {
        struct outcome got = parse(cases[i].arguments);
        assert_int_equal(got.answer, HD_PARSE_EXIT_USAGE);
        assert_string_equal(got.out, "");
        assert_int_equal(strncmp(got.err, "hd-test: ", 9), 0);
        if (strstr(got.err, cases[i].part) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", got.err, cases[i].part);
        assert_ptr_equal(strchr(got.err, '\n'), got.err + strlen(got.err) - 1);
    }
}

static void help_names_every_option_with_its_default(void **state)
{
    (void)state;
    struct outcome got = PARSE("--help");
    assert_int_equal(got.answer, HD_PARSE_EXIT_OK);
    static const char *const parts[] = {
        "hd-test: a program of tests\n",
        "usage: hd-test FILE",
        "--port N",
        "[7411]",
        "--time-limit DURATION",
        "--env K=V",
        "  --help",
        "  --version",
        "\nExit codes: 0.\n",
        "--eta VALUE",
        "  --resume   ",
    };
    for (size_t i = 0; i < HD_COUNT(parts); i++)
        if (strstr(got.out, parts[i]) == NULL)
            fail_msg("help lacks \"%s\":\n%s", parts[i], got.out);
    assert_null(strstr(got.out, "NaN"));
    got = PARSE("--version");
    assert_int_equal(got.answer, HD_PARSE_EXIT_OK);
    assert_int_equal(strncmp(got.out, "hd-test 0.", 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_read_in_both_forms),
        cmocka_unit_test(defaults_stay_and_old_spellings_work),
        cmocka_unit_test(after_two_dashes_all_is_positional),
        cmocka_unit_test(bad_command_lines_get_one_clear_line),
        cmocka_unit_test(help_names_every_option_with_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
