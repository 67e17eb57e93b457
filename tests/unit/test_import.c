/* SPDX-License-Identifier: Apache-2.0 */
/* Files of older systems become experiments that say the same, or an error that says where and why
 * not; what is made is always an experiment that can be read. */
#include "testlib.h"

#include <hd/experiment.h>

#include <math.h>
#include <string.h>

#include "import.h"

static struct hd_err err;

static enum hd_code import_text(const char *text, const struct import_options *options, bool yaml,
                                struct hd_buf *out)
{
    struct hd_value *document = NULL;
    struct import import = {0};
    hd_buf_init(out, 1 << 20);
    enum hd_code code =
        hd_yaml_parse_tagged(text, strlen(text), options->file, &hd_value_limits_file,
                             yaml ? IMPORT_TUPLE : NULL, &document, &err);
    assert_int_equal(code, HD_OK);
    code = yaml ? import_mlframework(document, options, &import, &err)
                : import_hyperdock(document, options, &import, &err);
    hd_value_free(document);
    if (code == HD_OK)
        assert_int_equal(import_write(&import, out, &err), HD_OK);
    import_release(&import);
    return code;
}

static void assert_readable(const struct hd_buf *out)
{
    struct hd_experiment *experiment = NULL;
    if (hd_experiment_parse_text(hd_buf_text(out), out->size, "made.yaml", NULL, &experiment,
                                 &err) != HD_OK)
        fail_msg("%s in\n%s", err.text, hd_buf_text(out));
    hd_experiment_free(experiment);
}

struct row {
    const char *text;
    const char *part; /* of what is made, after the frame; or of the error */
    bool optimize;
    int64_t spec;
};

static void assert_rows(const struct row *rows, size_t count, bool yaml, bool good)
{
    for (size_t i = 0; i < count; i++) {
        struct hd_buf out;
        const struct import_options options = {.file = "dir/old.file",
                                               .image = yaml ? NULL : "demo",
                                               .command = yaml ? "python train.py" : NULL,
                                               .optimize = rows[i].optimize,
                                               .spec = rows[i].spec};
        enum hd_code code = import_text(rows[i].text, &options, yaml, &out);
        if (code != (good ? HD_OK : HD_E_INVALID))
            fail_msg("row %zu: %s", i, code == HD_OK ? hd_buf_text(&out) : err.text);
        const char *got = good ? hd_buf_text(&out) : err.text;
        if (strstr(got, rows[i].part) == NULL)
            fail_msg("row %zu: no \"%s\" in\n%s", i, rows[i].part, got);
        if (good)
            assert_readable(&out);
        hd_buf_release(&out);
    }
}

/* ---- Hyperdock ------------------------------------------------------------------------------ */

static void a_trial_is_taken_whole(void **state)
{
    (void)state;
    static const char trial[] =
        "{\"name\": \"My trial!\", \"docker_image\": \"demo:1\", \"docker_runtime\": \"nvidia\",\n"
        " \"results_path\": \"/r\", \"data_path\": \"/d\", \"retries\": 1000, \"priority\": -3,\n"
        " \"docker_environment\": [\"FUNCTION=a+b\"],\n"
        " \"param_space\": \"{\\\"b\\\": [1, 2], \\\"a\\\": \\\"x\\\"}\"}";
    static const char made[] =
        "# Imported from Hyperdock 0.19.\n"
        "# Every combination once, in Hyperdock's order; `hd import --optimize` lets the optimizer "
        "choose.\n"
        "# results_path: each worker keeps the results below its --work-dir.\n"
        "name: \"My-trial-\"\n"
        "target:\n"
        "  image: \"demo:1\"\n"
        "  env: [\"FUNCTION=a+b\"]\n"
        "  contract: \"hyperdock\"\n"
        "  data: \"/d\"\n"
        "  container: {runtime: \"nvidia\"}\n"
        "  retries: {infra: 100}\n"
        "space:\n"
        "  a: \"x\"\n"
        "  b: {type: \"ordinal\", choices: [1, 2]}\n"
        "sampler:\n"
        "  name: \"grid\"\n"
        "  order: \"file\"\n"
        "iteration_generator: \"full\"\n"
        "objective: \"loss\"\n"
        "priority: -3\n";
    const struct import_options options = {.file = "trial.json"};
    struct hd_buf out;
    assert_int_equal(import_text(trial, &options, false, &out), HD_OK);
    assert_string_equal(hd_buf_text(&out), made);
    assert_readable(&out);
    hd_buf_release(&out);
    /* As the database keeps it. */
    assert_int_equal(
        import_text("{\"name\": \"t\", \"data\": {\"docker\": {\"image\": \"demo:2\", \"runtime\": "
                    "\"\", \"environment\": {\"A\": \"1\"}}, \"volumes\": {\"data\": \"\"}},\n"
                    " \"param_space\": [{\"x\": [true, false]}]}",
                    &options, false, &out),
        HD_OK);
    assert_non_null(strstr(hd_buf_text(&out), "image: \"demo:2\"\n  env: {A: \"1\"}\n"));
    assert_non_null(
        strstr(hd_buf_text(&out), "x: {type: \"categorical\", choices: [true, false]}"));
    assert_readable(&out);
    hd_buf_release(&out);
}

#define DRAWN(name, samples, rest)                                                                 \
    "{\"x\": {\"hdock_distr\": \"" name "\", \"hdock_samples\": " samples rest "}}"

static void hyperdock_spaces(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"x\": [3, 1, 2, 3.0]}", "x: {type: \"categorical\", choices: [3, 1, 2]}"},
        {"{\"x\": [3, 2, 1, 3]}", "x: {type: \"ordinal\", choices: [3, 2, 1]}"},
        {"{\"x\": [5, 5], \"no\": [1.5, 2]}",
         "\"no\": {type: \"ordinal\", choices: [1.5, 2]}\n  x: 5"},
        {"[{\"x\": [1, 2]}, {\"w\": [3, 4]}]", "  w: {type: \"ordinal\", choices: [3, 4]}", false,
         2},
        /* hdock_seed, and 0 without it */
        {DRAWN("expon", "2", ", \"hdock_seed\": 1, \"hdock_distr_kwargs\": {\"scale\": 5}"),
         "choices: [2.698029186295927, 6.370626265066521]"},
        {DRAWN("uniform", "1", ", \"hdock_distr_kwargs\": {\"loc\": 2, \"scale\": 3}"),
         "x: 3.6464405117819743"},
        /* an optimizer has ranges */
        {DRAWN("uniform", "1", ", \"hdock_distr_kwargs\": {\"loc\": 2, \"scale\": 3}"),
         "x: {type: \"float\", low: 2.0, high: 5.0}", true},
        {DRAWN("norm", "9", ""), "x: {type: \"float\", normal: {mean: 0.0, sd: 1.0}}", true},
        {DRAWN("randint", "9", ", \"hdock_distr_kwargs\": {\"low\": 3, \"high\": 20}"),
         "x: {type: \"int\", low: 3, high: 19}", true},
        {DRAWN("loguniform", "9", ", \"hdock_distr_kwargs\": {\"a\": 0.5, \"b\": 8}"),
         "x: {type: \"float\", log: true, low: 0.5, high: 8.0}", true},
        {DRAWN("lognorm", "9", ", \"hdock_distr_kwargs\": {\"s\": 0.5, \"scale\": 2}"),
         "x: {type: \"float\", log: true, normal: {mean: 2.0, sd: 0.5}}", true},
        {DRAWN("expon", "2", ", \"hdock_seed\": 1, \"hdock_distr_kwargs\": {\"scale\": 5}"),
         "choices: [2.698029186295927, 6.370626265066521]", true},
    };
    assert_rows(rows, HD_COUNT(rows), false, true);
}

static void hyperdock_mistakes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{}", "no map of params"},
        {"{\"hyperparameters\": [], \"conditions\": []}", "this is a file of ConfigSpace"},
        {"[]", "an empty list"},
        {"3", "no map of params"},
        {"{\"param_space\": \"{\"}", "param_space:1:"},
        {"{\"docker_image\": \"i\"}", "param_space: it is missing"},
        {"[{\"x\": 1}, {\"x\": 2}, {\"x\": 3}]", "--spec 1 to --spec 3"},
        {"[{\"x\": 1}]", "--spec", false, 2},
        {"{\n\"x\": []}", "dir/old.file:2: x: the list is empty"},
        {"{\"x\": [1, [2]]}", "x: a value of it is a list"},
        {"{\"x\": [NaN]}", "x: a value of it is not finite"},
        {"{\"x\": null}", "x: null"},
        {"{\"x\": {\"a\": 1}}", "x: a map as a constant"},
        {DRAWN("zipf", "2", ""), "x: hdock_distr is none of uniform, norm"},
        {DRAWN("norm", "0", ""), "x: hdock_samples is no number from 1"},
        {DRAWN("norm", "1e9", ""), "x: hdock_samples"},
        {DRAWN("norm", "1", ", \"hdock_seed\": -1"), "x: hdock_seed is no number"},
        {DRAWN("norm", "1", ", \"hdock_distr_kwargs\": [1]"), "x: hdock_distr_kwargs is no map"},
        {DRAWN("norm", "1", ", \"hdock_distr_kwargs\": {\"s\": 1}"), "loc, scale and the shapes"},
        {DRAWN("norm", "1", ", \"hdock_distr_kwargs\": {\"scale\": -1}"), "norm has no values"},
        {DRAWN("randint", "1", ", \"hdock_distr_kwargs\": {\"low\": 1}"), "lacks a shape"},
        {DRAWN("randint", "1", ", \"hdock_distr_kwargs\": {\"low\": 1, \"high\": 1.5}"),
         "randint has no values"},
        {DRAWN("loguniform", "1", ", \"hdock_distr_kwargs\": {\"a\": 0, \"b\": 1}"),
         "loguniform has no values", true},
    };
    assert_rows(rows, HD_COUNT(rows), false, false);
    const struct import_options options = {.file = "space.json"};
    struct hd_buf out;
    assert_int_equal(import_text("{\"x\": [1, 2]}", &options, false, &out), HD_E_INVALID);
    assert_non_null(strstr(err.text, "names no image; add --image"));
}

/* Values computed with numpy 1.26.4 and scipy 1.17.1: DISTR.rvs(size=3, random_state=
 * numpy.random.RandomState(SEED), ...). */
static void draws_are_those_of_numpy(void **state)
{
    (void)state;
    static const struct {
        struct import_distribution of;
        uint32_t seed;
        double values[3], error; /* relative */
    } rows[] = {
        {{"expon", 0, 5, {NAN, NAN}},
         1,
         {2.698029186295927, 6.370626265066521, 0.0005719067932154296},
         0},
        {{"uniform", 2, 3, {NAN, NAN}},
         0,
         {3.6464405117819743, 4.145568099117258, 3.8082901282149315},
         0},
        {{"norm", 1, 2, {NAN, NAN}},
         7,
         {4.381051407600712, 0.06812525891833443, 1.0656403273571688},
         1e-14},
        {{"randint", 0, 1, {3, 20}}, 5, {6, 17, 18}, 0},
        {{"loguniform", 0, 1, {1e-4, 1}},
         3,
         {0.0159658340289403, 0.06801289958688554, 0.00145753487689474},
         1e-14},
        {{"lognorm", 0, 2, {0.5, NAN}},
         9,
         {2.0011088619923685, 1.7304390214412535, 1.1446673022093155},
         1e-14},
        {{"reciprocal", 0, 1, {1, 100}},
         42,
         {5.611516415334503, 79.69454818643926, 29.106359131330677},
         1e-14},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        double values[3];
        assert_int_equal(import_draw(&rows[i].of, rows[i].seed, values, 3, &err), HD_OK);
        for (size_t k = 0; k < 3; k++)
            if (!(fabs(values[k] - rows[i].values[k]) <= rows[i].error * fabs(rows[i].values[k])))
                fail_msg("%s %zu: %.17g, not %.17g", rows[i].of.name, k, values[k],
                         rows[i].values[k]);
    }
}

/* ---- mlframework ---------------------------------------------------------------------------- */

static void a_parameters_file_is_taken_whole(void **state)
{
    (void)state;
    static const char file[] = "epoch: !!python/tuple [10,30,5]\nbatchsize: 100\ngpu: \"-1\"\n"
                               "unit: [1000]\nname: [a, b]\ntfdif: True\nnodif: False\n";
    static const char made[] =
        "# Imported from mlframework.\n"
        "# Every combination once, the first param slowest; what the program "
        "prints is in `hd logs JOB`.\n"
        "name: \"parameters\"\n"
        "target:\n"
        "  command: \"python train.py --tfdif\"\n"
        "  args: \"cli\"\n"
        "space:\n"
        "  epoch: {type: \"int\", low: 10, high: 25, step: 5}\n"
        "  batchsize: 100\n"
        "  gpu: \"-1\"\n"
        "  unit: 1000\n"
        "  name: {type: \"categorical\", choices: [\"a\", \"b\"]}\n"
        "sampler:\n"
        "  name: \"grid\"\n"
        "  order: \"file\"\n"
        "iteration_generator: \"full\"\n";
    const struct import_options options = {.file = "mnist/parameters.yml",
                                           .command = "python train.py"};
    struct hd_buf out;
    assert_int_equal(import_text(file, &options, true, &out), HD_OK);
    assert_string_equal(hd_buf_text(&out), made);
    assert_readable(&out);
    hd_buf_release(&out);
}

static void mlframework_values(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"x: !!python/tuple [0, 0.8, 0.2]",
         "x: {type: \"ordinal\", choices: [0.0, 0.2, 0.4, 0.6]}"},
        {"x: !!python/tuple [1, 4]", "x: {type: \"int\", low: 1, high: 3}\n"},
        {"x: !!python/tuple [4, 0, -2]", "x: {type: \"ordinal\", choices: [4, 2]}"},
        {"x: !!python/tuple [4, 5]", "  x: 4\n"},
        {"x: 0.01\ny: 1", "  x: 0.01\n  \"y\": 1\n"},
        {"x: [1, 2]", "  x: {type: \"ordinal\", choices: [1, 2]}\n", true},
    };
    assert_rows(rows, HD_COUNT(rows), true, true);
}

static void mlframework_mistakes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[]", "no map of params"},
        {"x:", "dir/old.file:1: x: null"},
        {"a: 1\nx: {y: 1}", "dir/old.file:2: x: a map"},
        {"x: []", "the list is empty"},
        {"a b: true", "dir/old.file:1: a b: the name of an option is one word"},
        {"x: [[1]]", "a value of it is a list"},
        {"x: [!!python/tuple [1, 2]]", "a value of it is a list"},
        {"x: {\"tag:yaml.org,2002:python/tuple\": 3}", "dir/old.file:1: x: a map"},
        {"x: {\"tag:yaml.org,2002:python/tuple\": {a: 1, b: 2}}", "dir/old.file:1: x: a map"},
        {"x: !!python/tuple [1]", "a tuple is [start, end]"},
        {"x: !!python/tuple [1, 2, 3, 4]", "a tuple is [start, end]"},
        {"x: !!python/tuple [1, b]", "a tuple holds finite numbers"},
        {"x: !!python/tuple [1, 2, 0]", "the range is empty"},
        {"x: !!python/tuple [2, 1]", "the range is empty"},
        {"x: !!python/tuple [0, 1, 1.0e-9]", "more than 10000 values"},
    };
    assert_rows(rows, HD_COUNT(rows), true, false);
    const struct import_options options = {.file = "p.yml"};
    struct hd_buf out;
    assert_int_equal(import_text("x: 1", &options, true, &out), HD_E_INVALID);
    assert_non_null(strstr(err.text, "does not say what is run; add --command"));
}

/* Other tags, and this one where it is not asked for, are refused. */
static void no_other_tag_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *tag;
    } rows[] = {
        {"x: !!python/tuple [1]", NULL},
        {"x: !!python/object/apply:os.system [ls]", IMPORT_TUPLE},
        {"x: !!python/tuple 3", IMPORT_TUPLE},
        {"x: !!python/tuple {a: 1}", IMPORT_TUPLE},
        {"x: &a !!python/tuple [1]", IMPORT_TUPLE},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_value *value = NULL;
        assert_int_equal(hd_yaml_parse_tagged(rows[i].text, strlen(rows[i].text), "f",
                                              &hd_value_limits_file, rows[i].tag, &value, &err),
                         HD_E_INVALID);
        assert_non_null(strstr(err.text, "anchors and tags are not read here"));
    }
}

/* A key of YAML has a line of at most 1024 characters: what could not be read again is not made. */
static void a_name_that_yaml_cannot_hold_is_told(void **state)
{
    (void)state;
    char text[2048], name[1101];
    struct hd_value *document = NULL;
    struct import import = {0};
    struct hd_buf out;
    const struct import_options options = {.file = "old", .image = "demo"};
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)hd_format(text, sizeof(text), "{\"name\": \"a\", \"%s\": 1}", name);
    assert_hd_ok(hd_yaml_parse(text, strlen(text), "old", &hd_value_limits_file, &document, &err));
    assert_hd_ok(import_hyperdock(document, &options, &import, &err));
    hd_buf_init(&out, 1 << 20);
    assert_hd_fails(import_write(&import, &out, &err), HD_E_LIMIT, "longer than a key of YAML");
    import_release(&import);
    hd_value_free(document);
    hd_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trial_is_taken_whole),
        cmocka_unit_test(hyperdock_spaces),
        cmocka_unit_test(hyperdock_mistakes),
        cmocka_unit_test(draws_are_those_of_numpy),
        cmocka_unit_test(a_parameters_file_is_taken_whole),
        cmocka_unit_test(mlframework_values),
        cmocka_unit_test(mlframework_mistakes),
        cmocka_unit_test(no_other_tag_is_read),
        cmocka_unit_test(a_name_that_yaml_cannot_hold_is_told),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
