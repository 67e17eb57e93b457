/* SPDX-License-Identifier: Apache-2.0 */
/* test_experiment.c: what is read from an experiment file, and what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment_texts.h"

/* Every key of a complete file arrives in the struct. */
static void complete_file(void **state)
{
    (void)state;
    struct hd_experiment *e = parse_good(issue_text);
    assert_string_equal(e->name, "digits");
    assert_string_equal(e->target.image, "hyperdock/digits:1");
    assert_int_equal(e->target.command_count, 6);
    assert_string_equal(e->target.command[2], "${params.learning_rate}");
    assert_string_equal(e->target.command[5], "3");
    assert_null(e->target.command[6]);
    assert_int_equal(e->target.env_count, 3);
    assert_string_equal(e->target.env[0].key, "OMP_NUM_THREADS");
    assert_string_equal(e->target.env[0].value, "1");
    assert_string_equal(e->target.env[1].value, "true");
    assert_string_equal(e->target.data, "./some/data/");
    assert_string_equal(e->target.data_name, "data");
    assert_string_equal(e->target.base_dir, "");
    assert_true(e->target.cpus > 1.4 && e->target.cpus < 1.6);
    assert_true(e->target.memory_bytes == UINT64_C(512) << 20);
    assert_int_equal(e->target.pids, 100);
    const struct hd_container *container = &e->target.container;
    assert_true(container->shm_bytes == 1073741824 && container->read_only &&
                container->privileged && e->target.args_cli && e->target.checkpoint);
    assert_true(e->target.as_hyperdock);
    assert_string_equal(container->cpuset, "0-3,8");
    assert_string_equal(container->ulimits[0], "nofile=1024:1024");
    assert_string_equal(container->ulimits[1], "core=0:-1");
    assert_string_equal(container->tmpfs[0], "/tmp:size=1m");
    assert_string_equal(container->cap_drop[0], "ALL");
    assert_string_equal(container->user, "1:2");
    assert_int_equal(e->target.gpus, 2);
    assert_false(e->target.warm.on);
    assert_true(e->target.pull == HD_PULL_ALWAYS && e->target.strict);
    assert_int_equal(e->target.stop_grace_ms, 250);
    assert_int_equal(e->target.retries_infra, 4);
    assert_int_equal(e->target.retries_failed, 1);
    assert_int_equal(hd_experiment_timeout_ms(e, 9), 60000 + 9 * 20000);
    assert_string_equal(e->objective.name, "accuracy");
    assert_true(e->objective.maximize && e->objective.has_goal && !e->objective.exit_code_only);
    assert_true(e->objective.goal > 0.98 && e->objective.goal < 1);
    assert_int_equal(e->space->param_count, 3);
    assert_string_equal(e->sampler_name, "random");
    assert_string_equal(e->iter_gen.name, "hyperband");
    assert_int_equal(e->iter_gen.rule, HD_BRACKET_RULE_PAPER);
    assert_int_equal(e->iter_gen.iterations_max, 4);
    assert_true(e->budget_given);
    assert_string_equal(e->budget_unit, "epochs");
    assert_int_equal(e->stop.configs, 300);
    assert_int_equal(e->stop.jobs, 500);
    assert_int_equal(e->stop.full_evaluations, 40);
    assert_int_equal(e->stop.time_ms, 3600000);
    assert_int_equal(e->stop.failures, 9);
    assert_int_equal(e->pause_after_failures, 0);
    assert_int_equal(e->priority, -3);
    assert_true(e->has_seed && e->seed == UINT64_MAX);
    assert_int_equal(e->queue_min, -2);
    assert_int_equal(e->queue_max, 1);
    assert_int_equal(e->lease_ms, 60000);
    assert_int_equal(e->ping_ms, 10000);
    assert_int_equal(e->holder_wait_ms, 1000);
    hd_experiment_free(e);
    hd_experiment_free(NULL);
}

/* A built image is described with the name that its content gave it, and read back with it. */
static void built_image(void **state)
{
    (void)state;
    struct hd_buf json;
    struct hd_err err;
    struct hd_experiment *again = NULL;
    struct hd_experiment *e = parse_good("target: {image: {build: ./d}}\n" SPACE);
    assert_string_equal(e->target.image, HD_IMAGE_UNBUILT);
    assert_string_equal(e->target.build, "./d");
    assert_string_equal(e->target.dockerfile, "Dockerfile");
    hd_experiment_free(e);
    e = parse_good(
        "target: {image: {build: d, dockerfile: x/D, name: 'hyperdock-build:12'}}\n" SPACE);
    hd_buf_init(&json, HD_EXPERIMENT_BYTES_MAX);
    assert_hd_ok(hd_experiment_to_json(e, &json, &err));
    assert_hd_ok(parse(hd_buf_text(&json), NULL, &again, &err));
    assert_string_equal(again->target.image, "hyperdock-build:12");
    assert_string_equal(again->target.build, "d");
    assert_string_equal(again->target.dockerfile, "x/D");
    hd_buf_release(&json);
    hd_experiment_free(again);
    hd_experiment_free(e);
}

/* Every form that engines take. */
static void names_of_images(void **state)
{
    static const char *const names[] = {
        "a",
        "bb:1",
        "me/train:V1.2-rc_3",
        "localhost/a__b",
        "localhost:5000/a.b/c-d:latest",
        "Registry.example:443/x/y",
        "10.0.0.1:5000/x",
        "a@sha256:0123456789abcdef",
        "a:1@sha256:0123456789abcdef",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789ab",
        "hyperdock-build:00ff",
    };
    (void)state;
    for (size_t i = 0; i < HD_COUNT(names); i++) {
        char text[256];
        assert_true(hd_format(text, sizeof(text), "target: {image: \"%s\"}\n" SPACE, names[i]));
        struct hd_experiment *e = parse_good(text);
        assert_string_equal(e->target.image, names[i]);
        hd_experiment_free(e);
    }
}

/* The smallest file gets every default that the reference promises. */
static void defaults(void **state)
{
    (void)state;
    struct hd_experiment *e = parse_good(LEAST);
    assert_string_equal(e->name, "e"); /* of e.yaml */
    assert_null(e->target.command);
    assert_true(e->target.pull == HD_PULL_MISSING && !e->target.strict);
    assert_int_equal(e->target.env_count, 0);
    assert_null(e->target.data);
    assert_int_equal(hd_experiment_timeout_ms(e, 1), 0);
    assert_int_equal(e->target.stop_grace_ms, 10000);
    assert_int_equal(e->target.retries_infra, 2);
    assert_int_equal(e->target.retries_failed, 0);
    assert_true(e->objective.exit_code_only && !e->objective.maximize && !e->objective.has_goal);
    assert_string_equal(e->objective.name, "loss");
    assert_string_equal(e->sampler_name, "auto");
    assert_int_equal(e->sampler_settings->as.object.count, 0);
    assert_string_equal(e->iter_gen.name, "full");
    assert_true(e->iter_gen.eta > 2.9 && e->iter_gen.eta < 3.1);
    assert_true(e->iter_gen.budget_min > 0.9 && e->iter_gen.budget_max < 1.1);
    assert_int_equal(e->iter_gen.rule, HD_BRACKET_RULE_HPBANDSTER);
    assert_int_equal(e->iter_gen.iterations_max, 0);
    assert_false(e->budget_given);
    assert_string_equal(e->budget_unit, "");
    assert_int_equal(e->pause_after_failures, 5);
    assert_int_equal(e->priority, 0);
    assert_false(e->has_seed);
    assert_int_equal(e->queue_min, -1);
    assert_int_equal(e->queue_max, 0);
    assert_true(e->queue_dynamic);
    assert_int_equal(e->lease_ms, 30000);
    assert_int_equal(e->ping_ms, 5000);
    assert_int_equal(e->holder_wait_ms, 20000);
    hd_experiment_free(e);
    e = parse_good(LEAST "budget: {min: 1, max: 9}\n");
    assert_string_equal(e->iter_gen.name, "asha"); /* where there are budgets to choose from */
    hd_experiment_free(e);
}

/* Several budgets and no generator, or `auto`: what stands for it is written out, and whole budgets
 * stay whole unless the file says otherwise. */
static void automatic_generator(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        bool integer;
        uint32_t rungs; /* 0: those of the ladder */
    } rows[] = {
        {LEAST "budget: {min: 1, max: 27}\n", "asha", true, 5},
        {LEAST "budget: {min: 1, max: 27}\niteration_generator: auto\n", "asha", true, 5},
        {LEAST "budget: {min: 1, max: 27, integer: false}\n", "asha", false, 5},
        {LEAST "budget: {min: 0.5, max: 27}\n", "asha", false, 0},
        {LEAST "budget: {min: 1, max: 32}\n", "asha", true, 0},
        {LEAST "budget: {min: 1, max: 52}\n", "asha", true, 0},
        {LEAST "budget: {min: 3, max: 5}\n", "asha", true, 0},
        {LEAST "budget: {min: 1, max: 27}\niteration_generator: {name: auto, eta: 3}\n", "asha",
         true, 0},
        {LEAST "iteration_generator: auto\n", "full", false, 0},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *e = parse_good(rows[i].text);
        bool several = hd_streq(rows[i].name, "asha");
        assert_string_equal(e->iter_gen.name, rows[i].name);
        assert_int_equal(e->iter_gen.budget_integer, rows[i].integer);
        assert_int_equal(e->iter_gen.delayed, several);
        assert_int_equal(e->iter_gen.delay_results, several ? 20 : 0);
        assert_int_equal(e->iter_gen.opening, several ? 20 : 0);
        assert_int_equal(e->iter_gen.rung_count, rows[i].rungs);
        if (rows[i].rungs > 0) {
            assert_true(e->iter_gen.rungs[0] == e->iter_gen.budget_min);
            assert_true(e->iter_gen.rungs[rows[i].rungs - 1] == e->iter_gen.budget_max);
        }
        hd_experiment_free(e);
    }
}

static void assert_described(const struct hd_experiment *experiment, const char *part)
{
    struct hd_err err;
    struct hd_buf text;
    hd_buf_init(&text, HD_EXPERIMENT_BYTES_MAX);
    assert_hd_ok(hd_experiment_to_json(experiment, &text, &err));
    if (strstr(hd_buf_text(&text), part) == NULL)
        fail_msg("\"%s\" does not hold \"%s\"", hd_buf_text(&text), part);
    hd_buf_release(&text);
}

/* Old spellings and shorthands mean the same as the sections. */
static void aliases(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {LEAST "optimizer: random\n", "\"sampler\":{\"name\":\"random\"}"},
        {LEAST "optimizer: {name: Random}\n", "\"sampler\":{\"name\":\"random\"}"},
        {LEAST "sampler: ETPE\n", "\"sampler\":{\"name\":\"tpe\"}"},
        {LEAST "min_budget: 1\nmax_budget: 9\nbudget: {unit: s}\n",
         "\"budget\":{\"min\":1.0,\"max\":9.0,\"unit\":\"s\",\"integer\":true}"},
        {LEAST "iter_generator: {name: HyperBand, min_budget: 1, max_budget: 9, eta: 2}\n",
         "\"iteration_generator\":{\"name\":\"hyperband\",\"eta\":2.0,\"rule\":\"hpbandster\","},
        {LEAST
         "multi_fidelity_iter_generator: SuccessiveHalving\nbudget: {min: 1, max: 9}\neta: 4\n",
         "\"iteration_generator\":{\"name\":\"successive_halving\",\"eta\":4.0"},
        {LEAST "iteration_generator: {name: hyperband_async}\nbudget: {min: 1, max: 9}\n",
         "\"iteration_generator\":{\"name\":\"async_hyperband\""},
        {LEAST "iteration_generator: {name: ASHA, rungs: [1, 3, 10.5]}\n",
         "\"budget\":{\"min\":1.0,\"max\":10.5,"},
        {LEAST "iteration_generator: {name: asha, rungs: [2, 8], type: stopping, delayed: true}\n",
         "\"rungs\":[2.0,8.0],\"brackets\":null,\"early_stopping\":{\"rule\":\"none\","
         "\"grace\":null,\"curves_min\":null,\"optimism\":null},\"type\":\"stopping\","
         "\"delayed\":true,"},
        {LEAST "iteration_generator: {type: stopping}\nbudget: {min: 1, max: 9}\n",
         "\"type\":\"stopping\",\"delayed\":true,\"delay_results\":20,\"opening\":0,"},
        {LEAST "iteration_generator: {name: hyperband, opening: 0}\nbudget: {min: 1, max: 9}\n",
         "\"opening\":0,"},
        {LEAST "iteration_generator: {name: asha, opening: 6}\nbudget: {min: 1, max: 9}\n",
         "\"opening\":6,"},
        {LEAST "iteration_generator: {name: hyperband, brackets: [[[9, 1], [3, 3]], [[2, 9]]]}\n",
         "\"brackets\":[[[9,1.0],[3,3.0]],[[2,9.0]]]"},
        {LEAST "iteration_generator: {early_stopping: {rule: median, grace: 0.5}}\n",
         "\"early_stopping\":{\"rule\":\"median\",\"grace\":0.5,"},
        {LEAST "min_budget:\noptimizer: ~\neta: null\n", "\"budget\":null"},
        {LEAST "n_iterations: 7\n", "\"stop\":{\"iterations\":7,"},
        {LEAST "budget: 27\n", "\"budget\":{\"min\":27.0,\"max\":27.0,\"unit\":null,"},
        {LEAST "objective: error\n",
         "\"objective\":{\"name\":\"error\",\"direction\":\"minimize\",\"goal\":null}"},
        {LEAST "objective: {direction: max}\n", "\"name\":\"loss\",\"direction\":\"maximize\""},
        {LEAST "objectives: [error, {name: speed, direction: max, goal: 3, reference: 0}]\n",
         "\"objective\":[{\"name\":\"error\",\"direction\":\"minimize\",\"goal\":null},"
         "{\"name\":\"speed\",\"direction\":\"maximize\",\"goal\":3.0,\"reference\":0.0}]"},
        {LEAST "objective: error\nconstraints: [fair, {name: memory, min: 1, max: 512}]\n",
         "\"constraints\":[{\"name\":\"fair\",\"min\":null,\"max\":0.0},"
         "{\"name\":\"memory\",\"min\":1.0,\"max\":512.0}]"},
        {LEAST "objective: error\nnoise: {repeats: 5}\n",
         "\"goal\":null},\"noise\":{\"repeats\":5,\"share\":0.25},\"space\""},
        {LEAST "objective: error\nnoise: {repeats: 1, share: 0.5}\n", "\"goal\":null},\"space\""},
        {"target: {image: a, warm: true}\n" SPACE,
         "\"warm\":{\"jobs\":1000,\"idle\":\"1m\",\"heartbeat\":\"0s\"}"},
        {"target: {image: a, warm: {jobs: 3, idle: 0, heartbeat: 9}}\n" SPACE,
         "\"warm\":{\"jobs\":3,\"idle\":\"0s\",\"heartbeat\":\"9s\"}"},
        {"target: {image: a, warm: false, args: cli}\n" SPACE, "\"warm\":false"},
        /* Without a word the image's label decides, unless it could not work. */
        {"target: {image: a}\n" SPACE, "\"warm\":\"auto\""},
        {"target: {image: a, warm: auto, command: [run, '${run_id}']}\n" SPACE,
         "\"warm\":\"auto\""},
        {"target: {image: a, command: [run, '${seed}']}\n" SPACE, "\"warm\":false"},
        {"target: {image: a, env: {A: '${budget}'}}\n" SPACE, "\"warm\":false"},
        {"target: {image: a, args: cli}\n" SPACE, "\"warm\":false"},
        {"target: {image: a, from_output: {loss: 'loss=(.*)'}}\n" SPACE, "\"warm\":false"},
        {"target: {command: [a]}\n" SPACE, "\"warm\":false"},
        {"target: {image: a, ahead: true, env: {A: '${uuid}'}}\n" SPACE, "\"ahead\":true"},
        {"target: {image: a, retries: 3}\n" SPACE, "\"retries\":{\"infra\":3,\"failed\":3}"},
        {"target: {image: a, timeout: 90}\n" SPACE,
         "\"timeout\":{\"base\":\"90s\",\"per_budget\":\"0s\"}"},
        {"target: {image: a, env: [A=1, \"B=x=${job}\"]}\n" SPACE,
         "\"env\":{\"A\":\"1\",\"B\":\"x=${job}\"}"},
        {"target: {command: \"a 'b c' \\\"d ${params.x}\\\"\"}\n" SPACE,
         "\"command\":[\"a\",\"b c\",\"d ${params.x}\"]"},
        {"target: {image: a, command: []}\n" SPACE, "\"command\":null"},
        {"target: {image: a, data: ../..}\n" SPACE, "\"data\":\"../..\""},
        {"target: {image: a}\ncheckpoints: stay\n" SPACE, "\"checkpoints\":\"stay\""},
        {"target: {image: a}\nbring_home: none\n" SPACE, "\"bring_home\":\"none\""},
        {"target: {command: a, data: [mnist, b.2]}\n" SPACE, "\"data\":[\"mnist\",\"b.2\"]"},
        {"target: {image: a, volumes: ['./a b:/x', '/y:/z/:ro', 'data:m:/m', "
         "{host: 'c:d', container: /e, read_only: true}]}\n" SPACE,
         "\"volumes\":[{\"host\":\"./a b\",\"container\":\"/x\",\"read_only\":false},"
         "{\"host\":\"/y\",\"container\":\"/z/\",\"read_only\":true},"
         "{\"data\":\"m\",\"container\":\"/m\",\"read_only\":true},"
         "{\"host\":\"c:d\",\"container\":\"/e\",\"read_only\":true}]"},
        {"target: {image: a, networks: [back, front]}\n" SPACE,
         "\"networks\":[\"back\",\"front\"]"},
        {"target: {image: a, ports: [80, '8080:80/udp', '0.0.0.0:1:2', '[::1]:3:4', "
         "{container: 5}]}\n" SPACE,
         "\"ports\":[\"127.0.0.1::80/tcp\",\"127.0.0.1:8080:80/udp\",\"0.0.0.0:1:2/tcp\","
         "\"[::1]:3:4/tcp\",\"127.0.0.1::5/tcp\"]"},
        {"target: {command: a, code: ./src}\n" SPACE, "\"code\":{\"path\":\"./src\"}"},
        {"target: {image: a, code: {path: /s, hash: "
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}}\n" SPACE,
         "\"code\":{\"path\":\"/s\",\"hash\":\"0123456789abcdef0123456789abcdef"
         "0123456789abcdef0123456789abcdef\"}"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_experiment *experiment = parse_good(rows[i].text);
        assert_described(experiment, rows[i].part);
        hd_experiment_free(experiment);
    }
}

/* Clauses and first configs at the top of a file are those of its space, and stay in its
 * description. */
static void clauses_and_first_configs(void **state)
{
    (void)state;
    struct hd_experiment *experiment =
        parse_good(LEAST "forbidden: [{x: {gt: 0.5}}]\ninitial: [{x: 0.25}, {x: 0.5}]\n");
    assert_int_equal(experiment->space->forbidden_count, 1);
    assert_int_equal(experiment->initial_count, 2);
    assert_true(experiment->initial[0] == 0.25 && experiment->initial[1] == 0.5);
    assert_described(experiment, "\"initial\":[{\"x\":0.25},{\"x\":0.5}]");
    assert_described(experiment, "\"forbidden\":[{\"x\":{\"gt\":0.5}}]");
    hd_experiment_free(experiment);
}

/* Each mistake has one error, which says where it is and what would be right. */
static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "e.yaml: the file is empty"},
        {LEAST "forbidden: {x: 1}\n", "e.yaml:3: space.forbidden: must be a list of maps"},
        {LEAST "forbidden: [{y: 1}]\n", "forbidden[0]: the space has no param \"y\""},
        {LEAST "forbidden: [{x: {lt: 2}}]\n", "clause 1 of the list rules out every one"},
        {LEAST "initial: {x: 0.5}\n", "e.yaml:3: initial: expected"},
        {LEAST "initial: [0.5]\n", "e.yaml:3: initial[0]: "},
        {LEAST "initial: [{x: 0.5}, {x: 2}]\n", "initial[1]: "},
        {LEAST "initial: [{x: 0.5}, {x: 0.5}]\n", "initial[1]: is the same as initial[0]"},
        {LEAST "forbidden: [{x: 0.5}]\ninitial: [{x: 0.5}]\n", "initial[0]: "},
        {"- 1\n", "e.yaml:1: expected a map of sections (target, space, ...), got a list"},
        {"a: [1\n", "e.yaml:2:1: while parsing a flow sequence"},
        {SPACE, "e.yaml: target: missing; give target: {image: ...}"},
        {"target: {image: a}\n", "e.yaml: space: missing; give at least one param"},
        {"\ntrget: {}\n" SPACE, "e.yaml:2: trget: unknown key, did you mean \"target\"?"},
        {LEAST "zzzzzzz: 1\n", "e.yaml:3: zzzzzzz: unknown key; known are: name, target,"},
        {"target:\n  imgae: a\n" SPACE,
         "e.yaml:2: target.imgae: unknown key, did you mean \"image\"?"},
        {"target: a\n" SPACE, "e.yaml:1: target: expected a map, got the text \"a\""},
        {"target: {}\n" SPACE, "e.yaml:1: target: needs an image (for docker) or a command"},
        {"target: {image: 3}\n" SPACE,
         "e.yaml:1: target.image: expected a text (put it in quotes), got 3"},
        {"target: {image: \"\"}\n" SPACE, "target.image: must not be empty"},
        {"target: {image: a b}\n" SPACE, "target.image: \"a b\" is not the name of an image"},
        {"target: {image: -rm}\n" SPACE, "target.image: \"-rm\" is not the name of an image"},
        {"target: {image: Digits}\n" SPACE,
         "e.yaml:1: target.image: \"Digits\" is not the name of an image, such as "
         "registry/name:tag: capital letters are for its tag only"},
        {"target: {image: \"a:1:2\"}\n" SPACE, "a tag stands once, at the end"},
        {"target: {image: \"a:\"}\n" SPACE, "a tag stands behind the ':'"},
        {"target: {image: \":a\"}\n" SPACE, "a name stands before the tag"},
        {"target: {image: \"host:5000/\"}\n" SPACE, "a name stands before the tag"},
        {"target: {image: \"a/b:x/c\"}\n" SPACE, "a tag stands once, at the end"},
        {"target: {image: \"a:b!\"}\n" SPACE, "'_' and '-' make a tag"},
        {"target: {image: \"./a\"}\n" SPACE, "each part of its path begins and ends with"},
        {"target: {image: \"a//b\"}\n" SPACE, "each part of its path begins and ends with"},
        {"target: {image: \"a@sha256\"}\n" SPACE, "a digest is written @sha256:..."},
        {"target: {image: \"a:${seed}\"}\n" SPACE,
         "target.image: templates are filled in in command"},
        {"target: {command: {}}\n" SPACE,
         "target.command: expected a list of words or a text, got a map"},
        {"target: {command: [a, [b]]}\n" SPACE,
         "target.command[1]: expected a text or a number, got a list"},
        {"target: {command: \"a > b\"}\n" SPACE,
         "target.command: there is no shell that would understand '>'"},
        {"target: {command: \"a 'b\"}\n" SPACE, "target.command: a quote ' is not closed"},
        {"target: {command: \"a ${params.y}\"}\n" SPACE,
         "e.yaml:1: target.command: unknown ${params.y}; known are ${params.NAME}"},
        {"target: {command: \"${buget}\"}\n" SPACE, "unknown ${buget}, did you mean ${budget}?"},
        {"target: {command: \"${lr}\"}\nspace: {lr: {type: float, low: 0, high: 1}}\n",
         "unknown ${lr}, did you mean ${params.lr}?"},
        {"target: {command: \"${params.rate}\"}\nspace: {rat: {type: float, low: 0, high: 1}}\n",
         "unknown ${params.rate}, did you mean ${params.rat}?"},
        {"target: {command: [\"${budget\"]}\n" SPACE, "\"${budget\": \"${\" without \"}\""},
        {"target: {image: a, env: 3}\n" SPACE, "target.env: expected a map of variables, got 3"},
        {"target: {image: a, env: {A: [1]}}\n" SPACE,
         "target.env.A: expected a text or a number, got a list"},
        {"target: {image: a, env: {A: }}\n" SPACE,
         "target.env.A: expected a text or a number, got nothing"},
        {"target: {image: a, env: {A=B: 1}}\n" SPACE,
         "target.env: \"A=B\" is not the name of a variable"},
        {"target: {image: a, env: [A]}\n" SPACE,
         "target.env: expected NAME=VALUE, got the text \"A\""},
        {"target: {image: a, env: [A=1, A=2]}\n" SPACE, "target.env: A is given twice"},
        {"target: {image: a, env: {A: \"${x}\"}}\n" SPACE,
         "target.env.A: unknown ${x}, did you mean ${params.x}?"},
        {"target: {image: a, data: [m, m]}\n" SPACE, "target.data: m is given twice"},
        {"target: {image: a, data: [../x]}\n" SPACE, "target.data: "},
        {"target: {image: a, data: [3]}\n" SPACE, "target.data: expected the name of a data set"},
        {"target: {command: a, volumes: [/a:/b]}\n" SPACE, "target.volumes: needs an image"},
        {"target: {image: a, volumes: /a:/b}\n" SPACE, "target.volumes: expected a list"},
        {"target: {image: a, volumes: [/a]}\n" SPACE, "target.volumes[0]: needs an absolute path"},
        {"target: {image: a, volumes: [/a:b]}\n" SPACE, "needs an absolute path in the container"},
        {"target: {image: a, volumes: ['/a:/b/../c']}\n" SPACE, "needs an absolute path"},
        {"target: {image: a, volumes: ['/a://']}\n" SPACE, "needs an absolute path"},
        {"target: {image: a, volumes: [/a:/hyperdock/work]}\n" SPACE, "/hyperdock is where"},
        {"target: {image: a, data: d, volumes: [/a:/data/x]}\n" SPACE, "/data is where"},
        {"target: {image: a, volumes: [/a:/b, /c:/b]}\n" SPACE,
         "target.volumes[1]: two volumes are at /b"},
        {"target: {image: a, volumes: ['/a:/b:rx']}\n" SPACE, "ro or rw, not \"rx\""},
        {"target: {image: a, volumes: ['data:m:/b:rw']}\n" SPACE, "a data set is read-only"},
        {"target: {image: a, volumes: ['data:../m:/b']}\n" SPACE, "target.volumes[0]"},
        {"target: {image: a, volumes: [':/b']}\n" SPACE, "needs a path of the worker's machine"},
        {"target: {image: a, volumes: [{host: /a, data: b, container: /b}]}\n" SPACE,
         "needs a path of the worker's machine, or a data set"},
        {"target: {image: a, volumes: [{hots: /a, container: /b}]}\n" SPACE,
         "target.volumes[0].hots: unknown key"},
        {"target: {command: a, networks: [b]}\n" SPACE, "target.networks: needs an image"},
        {"target: {image: a, networks: b}\n" SPACE, "target.networks: expected a list"},
        {"target: {image: a, networks: [b, b]}\n" SPACE, "target.networks: b is given twice"},
        {"target: {image: a, networks: ['container:x']}\n" SPACE, "the name of a network"},
        {"target: {image: a, networks: [../x]}\n" SPACE, "the name of a network"},
        {"target: {image: a, networks: [host]}\n" SPACE, "host goes with no other network"},
        {"target: {image: a, networks: [b], container: {network: c}}\n" SPACE,
         "container.network is given too"},
        {"target: {image: a, ports: [0]}\n" SPACE, "target.ports[0]: expected a port"},
        {"target: {image: a, ports: ['80:x']}\n" SPACE, "target.ports[0]: expected a port"},
        {"target: {image: a, ports: [80, '127.0.0.1::80']}\n" SPACE, "is given twice"},
        {"target: {image: a, ports: ['80:80', '80:81']}\n" SPACE,
         "target.ports[1]: 127.0.0.1:80:81/tcp cannot have the host port of 127.0.0.1:80:80/tcp"},
        {"target: {image: a, ports: [80], container: {network: none}}\n" SPACE,
         "has no ports to publish"},
        {"target: {command: a, ports: [80]}\n" SPACE, "target.ports: needs an image"},
        {"target: {image: a, command: [x], ahead: true, ports: [80]}\n" SPACE,
         "goes with one network and no ports"},
        {"target: {image: a, code: 3}\n" SPACE, "target.code: expected"},
        {"target: {image: a, code: ''}\n" SPACE, "target.code"},
        {"target: {image: a, code: {hash: x}}\n" SPACE, "target.code.path: missing"},
        {"target: {image: a, code: {path: x, hash: ../../x}}\n" SPACE,
         "target.code.hash: is made from the content"},
        {"target: {image: a, code: {path: x, hsah: 1}}\n" SPACE, "target.code.hsah: unknown key"},
        {"target: {image: a, volumes: [3]}\n" SPACE, "target.volumes[0]: expected HOST:CONTAINER"},
        {"target: {image: a}\ncheckpoints: travels\n" SPACE, "checkpoints"},
        {"target: {image: a}\nbring_home: all\n" SPACE, "bring_home: unknown \"all\""},
        {"target: {image: a}\ncheckpoints: 3\n" SPACE, "checkpoints: expected travel, stay"},
        {"target: {image: a, base_dir: b}\n" SPACE, "target.base_dir: must be an absolute path"},
        {"target: {image: a, resources: {cpu: 1}}\n" SPACE,
         "target.resources.cpu: unknown key, did you mean \"cpus\"?"},
        {"target: {image: a, resources: {cpus: -1}}\n" SPACE,
         "target.resources.cpus: must be above 0"},
        {"target: {image: a, resources: {cpus: .nan}}\n" SPACE,
         "target.resources.cpus: expected a finite number, got NaN"},
        {"target: {image: a, resources: {memory: 1XB}}\n" SPACE,
         "target.resources.memory: \"1XB\" is not a size; write"},
        {"target: {image: a, resources: {memory: -5}}\n" SPACE,
         "target.resources.memory: expected a size (512MiB, 1GB), got -5"},
        {"target: {image: a, resources: {cpuset: x}}\n" SPACE,
         "target.resources.cpuset: \"x\" is no list of CPUs"},
        {"target: {image: a, resources: {ulimits: {nofiles: 1}}}\n" SPACE,
         "target.resources.ulimits.nofiles: unknown limit, did you mean \"nofile\"?"},
        {"target: {image: a, resources: {ulimits: {nofile: 9:8}}}\n" SPACE,
         "target.resources.ulimits.nofile: \"9:8\": expected a number"},
        {"target: {image: a, resources: {ulimits: {nofile: -2}}}\n" SPACE, "expected a number"},
        {"target: {image: a, container: {networks: host}}\n" SPACE,
         "target.container.networks: unknown key, did you mean \"network\"?"},
        {"target: {image: a, container: {network: 'container:x'}}\n" SPACE,
         "target.container.network: \"container:x\" is no network"},
        {"target: {image: a, container: {user: -1}}\n" SPACE, "target.container.user"},
        {"target: {image: a, container: {cap_add: [CAP_NET_ADMIN]}}\n" SPACE,
         "target.container.cap_add: \"CAP_NET_ADMIN\" is no capability"},
        {"target: {image: a, container: {tmpfs: [tmp]}}\n" SPACE,
         "target.container.tmpfs: \"tmp\" must be an absolute path"},
        {"target: {image: a, container: {tmpfs: [/hyperdock/work]}}\n" SPACE,
         "/hyperdock is where the target's files are"},
        {"target: {command: a, container: {user: me}}\n" SPACE, "needs an image"},
        {"target: {image: {}}\n" SPACE, "target.image.build: missing; give the directory"},
        {"target: {image: {build: ., file: x}}\n" SPACE, "target.image.file: unknown key"},
        {"target: {image: {build: ., dockerfile: ../x}}\n" SPACE,
         "target.image.dockerfile: must be a path inside"},
        {"target: {image: {build: ., name: mine}}\n" SPACE, "target.image.name: is made from"},
        {"target: {command: a, pull: never}\n" SPACE, "target.pull: needs an image"},
        {"target: {command: a, strict: true}\n" SPACE, "target.strict: needs an image"},
        {"target: {image: a, pull: sometimes}\n" SPACE,
         "target.pull: unknown \"sometimes\"; known are: missing, always, never"},
        {"target: {image: a, args: flags}\n" SPACE, "target.args"},
        {"target: {image: a, warm: often}\n" SPACE,
         "target.warm: expected true, false, auto or a map"},
        {"target: {image: a, ahead: soon}\n" SPACE, "target.ahead: "},
        {"target: {command: [a], ahead: true}\n" SPACE, "target.ahead: needs an image"},
        {"target: {image: a, ahead: true, warm: true}\n" SPACE,
         "target.ahead: a warm target is there already"},
        {"target: {image: a, ahead: true, args: cli}\n" SPACE,
         "target.args: cli gives params on the command line, and a container that is made ahead"},
        {"target: {image: a, ahead: true, command: [run, '${budget}']}\n" SPACE,
         "target.command: ${budget} differs from job to job, and a container that is made ahead"},
        {"target: {image: a, warm: {job: 3}}\n" SPACE,
         "target.warm.job: unknown key, did you mean \"jobs\"?"},
        {"target: {image: a, warm: {jobs: 0}}\n" SPACE, "target.warm.jobs: must be at least 1"},
        {"target: {image: a, warm: {idle: -1}}\n" SPACE, "target.warm.idle"},
        {"target: {image: a, warm: {heartbeat: soon}}\n" SPACE,
         "target.warm.heartbeat: \"soon\" is not a duration"},
        {"target: {image: a, warm: true, args: cli}\n" SPACE,
         "target.args: cli gives params on the command line, and a warm target is started once"},
        {"target: {image: a, warm: true, command: [run, '${run_id}', 'x${budget}']}\n" SPACE,
         "target.command: ${budget} differs from job to job, and a warm target is started once"},
        {"target: {image: a, warm: true, env: {A: '$$${seed}'}}\n" SPACE,
         "target.env: ${seed} differs from job to job"},
        {"target: {image: a, contract: v2}\n" SPACE, "target.contract"},
        {"target: {image: a, resources: {pids: 1.5}}\n" SPACE,
         "target.resources.pids: expected an integer, got 1.5"},
        {"target: {image: a, timeout: soon}\n" SPACE,
         "target.timeout: \"soon\" is not a duration; write 90"},
        {"target: {image: a, timeout: {per_epoch: 1}}\n" SPACE,
         "target.timeout.per_epoch: unknown key"},
        {"target: {image: a, retries: -1}\n" SPACE, "target.retries: must be at least 0, got -1"},
        {"target: {image: a, retries: {failed: 1000}}\n" SPACE,
         "target.retries.failed: must be at most 100, got 1000"},
        {LEAST "name: a b\n", "e.yaml:3: name: the name \"a b\" may hold only letters"},
        {LEAST "objective: []\n", "objective: the list is empty"},
        {LEAST "objective: [a, 3]\n", "objective[1]: expected a name, or a map"},
        {LEAST "objective: [a, {direction: max}]\n", "objective[1].name: missing"},
        {LEAST "objective: [a, b, a]\n", "objective[2]: \"a\" is an objective already"},
        {LEAST "objective: [a, {nmae: b}]\n",
         "objective[1].nmae: unknown key, did you mean \"name\"?"},
        {LEAST "objective: [a, b, c, d, e, f, g, h, i]\n",
         "objective: 9 objectives; at most 8 are allowed"},
        {LEAST "objective: a\nobjectives: [a, b]\n", "objectives: is also given as objective"},
        {LEAST "objective: a\nconstraints: {b: 1}\n", "constraints: expected a list"},
        {LEAST "constraints: [b]\n", "constraints: there is no objective"},
        {LEAST "objective: a\nnoise: 5\n", "noise: expected a map"},
        {LEAST "objective: a\nnoise: {repeats: 0}\n", "noise.repeats: "},
        {LEAST "objective: a\nnoise: {repeats: 1001}\n", "noise.repeats: "},
        {LEAST "objective: a\nnoise: {repeat: 3}\n",
         "noise.repeat: unknown key, did you mean \"repeats\"?"},
        {LEAST "objective: a\nnoise: {repeats: 3, share: 1}\n",
         "noise.share: must be above 0 and below 1"},
        {LEAST "noise: {repeats: 3}\n", "noise.repeats: there is no objective"},
        {LEAST "objective: [a, b]\nnoise: {repeats: 3}\n",
         "noise.repeats: above 1 it needs one objective and no constraints"},
        {LEAST "objective: a\nconstraints: [b]\nnoise: {repeats: 3}\n",
         "noise.repeats: above 1 it needs one objective and no constraints"},
        {LEAST "objective: a\nconstraints: [a]\n", "constraints[0]: \"a\" is an objective already"},
        {LEAST "objective: a\nconstraints: [b, {name: b, min: 1}]\n",
         "constraints[1]: \"b\" is a constraint already"},
        {LEAST "objective: a\nconstraints: [{name: b, min: 2, max: 1}]\n",
         "constraints[0].min: is above max"},
        {LEAST "objective: a\nconstraints: [{max: 1}]\n", "constraints[0].name: missing"},
        {LEAST "objective: [a, b]\niteration_generator: {early_stopping: {rule: median}}\n",
         "early stopping judges one loss"},
        {LEAST "objective: {direction: minimise}\n",
         "objective.direction: unknown \"minimise\", did you mean \"minimize\"?"},
        {LEAST "objective: {goal: low}\n",
         "objective.goal: expected a finite number, got the text \"low\""},
        {"target: {image: a}\nspace:\n  lr: {type: float, low: 2, high: 1}\n",
         "e.yaml:3: space.lr"},
        {"target: {image: a}\nspace:\n  lr: {type: float, low: 0, high: 1, log: true}\n",
         "e.yaml:3: space.lr"},
        {"target: {image: a}\nspace:\n  lr: {type: flaot, low: 0, high: 1}\n", "float"},
        {LEAST "sampler: {name: tpee}\n",
         "e.yaml:3: sampler.name: unknown \"tpee\", did you mean \"tpe\"?"},
        {LEAST "sampler: {nme: tpe}\n",
         "e.yaml:3: sampler.nme: unknown key, did you mean \"name\"?"},
        {LEAST "optimizer: tpe\nsampler: tpe\n",
         "e.yaml:3: optimizer: is also given as sampler; keep one"},
        {LEAST "iteration_generator: {name: hyperbnd}\nbudget: 1\n",
         "iteration_generator.name: unknown \"hyperbnd\", did you mean \"hyperband\"?"},
        {LEAST "iteration_generator: {name: weather}\n",
         "unknown \"weather\"; known are: auto, full, successive_halving"},
        {LEAST "iteration_generator: {name: {a: 1}}\n", "iteration_generator.name: expected auto"},
        {LEAST "iteration_generator: {name: [asha]}\nbudget: {min: 1, max: 9}\n",
         "iteration_generator.name: expected auto, full, successive_halving, hyperband, asha"},
        {LEAST "iteration_generator: true\n", "iteration_generator.name: expected auto"},
        {LEAST "iteration_generator: 3\n", "iteration_generator.name: expected auto"},
        {LEAST "iteration_generator: hyperband\n",
         "iteration_generator.name: hyperband needs budget: {min"},
        {LEAST "iteration_generator: {eta: 1.5}\n",
         "e.yaml:3: iteration_generator.eta: must be at least 2"},
        {LEAST "iteration_generator: {name: asha, rungs: [3, 1]}\n",
         "e.yaml:3: iteration_generator: rungs: finite numbers above 0 that rise"},
        {LEAST "iteration_generator: {name: asha, rungs: [1, 3]}\nbudget: {min: 1, max: 9}\n",
         "the first is the minimum budget, the last the maximum budget"},
        {LEAST "iteration_generator: {name: asha, rungs: [1, a]}\n",
         "iteration_generator.rungs: entry 2 is not a number above 0"},
        {LEAST "iteration_generator: {name: asha, brackets: [[[9, 1]]]}\n",
         "asha takes a number of brackets"},
        {LEAST "iteration_generator: {name: hyperband, brackets: [[[1, 1], [9, 3]]]}\n",
         "bracket 0: counts from 1 to"},
        {LEAST "iteration_generator: {name: hyperband, brackets: [[9, 1]]}\n",
         "iteration_generator.brackets: a list of brackets [[configs, budget], ...]"},
        {LEAST "iteration_generator: {name: asha, promote_fraction: 2}\nbudget: {min: 1, max: 9}\n",
         "promote_fraction is 2: a share"},
        {LEAST "iteration_generator: {name: hyperband, opening: 20}\nbudget: {min: 1, max: 9}\n",
         "e.yaml:3: iteration_generator.opening: holds back promotions without barriers, and "
         "hyperband has none: leave it out"},
        {LEAST "iteration_generator: {name: successive_halving, opening: 1}\nbudget: {min: 1, max: "
               "9}\n",
         "and successive_halving has none"},
        {LEAST "iteration_generator: {name: full, opening: 20}\n", "and full has none"},
        {LEAST "iteration_generator: {opening: 20}\n", "and full has none"},
        {LEAST "iteration_generator: {type: stopping, opening: 20}\nbudget: {min: 1, max: 9}\n",
         "and type stopping has none"},
        {LEAST "iteration_generator: {early_stopping: {rule: mean}}\n",
         "iteration_generator.early_stopping.rule: unknown \"mean\""},
        {LEAST "budget: {min: 1, max: 9.5, integer: true}\n", "min and max must be whole"},
        {LEAST "iteration_generator: {rule: pape}\n",
         "iteration_generator.rule: unknown \"pape\", did you mean \"paper\"?"},
        {LEAST "budget: {min: 1.0e-300, max: 1.0e+300}\n",
         "e.yaml: iteration_generator: more than 64 rungs"},
        {LEAST "budget: {min: 27, max: 1}\n",
         "e.yaml:3: budget.min: 27 is above budget.max, which is 1"},
        {LEAST "budget: {min: 0, max: 1}\n", "e.yaml:3: budget.min: must be above 0"},
        {LEAST "budget: {max: 1}\n", "e.yaml:3: budget.min: missing; give budget: {min"},
        {LEAST "budget: {min: 1, max: .inf}\n",
         "budget.max: expected a finite number, got Infinity"},
        {LEAST "budget: some\n", "budget: expected a map, got the text \"some\""},
        {LEAST "budget: {min: 1, max: 3}\nmin_budget: 1\n",
         "e.yaml:4: min_budget: is also given as budget.min; keep"},
        {LEAST "stop: {iterations: 0}\n", "stop.iterations: must be at least 1, got 0"},
        {LEAST "stop: {jobs: 5000000000}\n", "stop.jobs: must be at most 4294967294"},
        {LEAST "stop: {time: 0s}\n", "stop.time: must be at least 1ms, got 0s"},
        {LEAST "stop: {epochs: 1}\n", "stop.epochs: unknown key; known are: iterations, configs,"},
        {LEAST "pause_after_failures: many\n",
         "pause_after_failures: expected an integer, got the text"},
        {LEAST "priority: 3000000000\n", "priority: must be at most 2147483647"},
        {LEAST "seed: -1\n", "seed: must be at least 0, got -1"},
        {LEAST "seed: x\n", "seed: expected an integer, got the text \"x\""},
        {LEAST "job_queue_sizes: 3\n",
         "job_queue_sizes: expected two integers, such as [-1, 0], got 3"},
        {LEAST "job_queue_sizes: [0, 0]\n", "the first size must be below the second, got [0, 0]"},
        {LEAST "job_queue_sizes: [0, x]\n", "job_queue_sizes: expected two integers from"},
        {LEAST "dynamic_queue_size: false\n", "the second must be at least 1, got 0"},
        {LEAST "dynamic_queue_size: 1\n", "dynamic_queue_size: expected true or false, got 1"},
        {LEAST "lease: 5s\n", "e.yaml:3: lease: must last at least two pings"},
        {LEAST "ping: 1m\n", "e.yaml:3: lease: must last at least two pings"},
        {LEAST "lease: 2d\n", "lease: must be at most 1d, got 2d"},
        {LEAST "holder_wait: [1]\n",
         "holder_wait: expected a duration (90s, 1m, 1h30m), got a list"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        struct hd_experiment *experiment = NULL;
        enum hd_code code = parse(rows[i].text, NULL, &experiment, &err);
        if (code == HD_OK)
            fail_msg("\"%s\" was accepted", rows[i].text);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("\"%s\" does not hold \"%s\"", err.text, rows[i].error);
        assert_null(experiment);
    }
}

/* A file within the limit whose description is not is refused, as its store would be. */
static void size_is_bounded(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_buf text;
    struct hd_experiment *experiment = NULL;
    hd_buf_init(&text, 1 << 20);
    assert_hd_ok(hd_buf_puts(&text, "target: {image: a, command: [", &err));
    for (int i = 0; i < 900; i++)
        assert_hd_ok(hd_buf_printf(&text, &err, "\"\\t\\t%0200d\\t\",", i));
    assert_hd_ok(hd_buf_puts(&text, "z]}\n" SPACE, &err));
    assert_hd_ok(parse(hd_buf_text(&text), NULL, &experiment, &err));
    hd_experiment_free(experiment);
    experiment = NULL;
    hd_buf_clear(&text);
    assert_hd_ok(hd_buf_puts(&text, "target: {image: a, command: [\"x", &err));
    for (int i = 0; i < 140000; i++)
        assert_hd_ok(hd_buf_puts(&text, "\t", &err)); /* two bytes in JSON */
    assert_hd_ok(hd_buf_puts(&text, "x\"]}\n" SPACE, &err));
    assert_true(text.size < HD_EXPERIMENT_BYTES_MAX);
    assert_hd_fails(parse(hd_buf_text(&text), NULL, &experiment, &err), HD_E_LIMIT,
                    "larger than 262144 bytes");
    hd_buf_release(&text);
}

/* The command line wins over the file, and its mistakes are told as its own. */
static void overrides_win(void **state)
{
    (void)state;
    struct hd_err err;
    struct hd_experiment *e = NULL;
    struct hd_experiment_overrides all = {.name = "other",
                                          .image = "b:2",
                                          .base_dir = "/exp",
                                          .budget_min = 3,
                                          .budget_max = 9,
                                          .eta = 4,
                                          .iterations = 11,
                                          .has_seed = true,
                                          .seed = UINT64_MAX,
                                          .time_ms = 90500,
                                          .has_queue = true,
                                          .queue_min = 1,
                                          .queue_max = 4,
                                          .queue_dynamic = false};
    assert_hd_ok(parse(issue_text, &all, &e, &err));
    assert_string_equal(e->name, "other");
    assert_string_equal(e->target.image, "b:2");
    assert_string_equal(e->target.base_dir, "/exp");
    assert_true(e->iter_gen.budget_min > 2.9 && e->iter_gen.budget_min < 3.1);
    assert_true(e->iter_gen.budget_max > 8.9 && e->iter_gen.budget_max < 9.1);
    assert_true(e->iter_gen.eta > 3.9);
    assert_int_equal(e->iter_gen.iterations_max, 11);
    assert_true(e->seed == UINT64_MAX);
    assert_int_equal(e->stop.time_ms, 90500);
    assert_int_equal(e->queue_min, 1);
    assert_int_equal(e->queue_max, 4);
    assert_false(e->queue_dynamic);
    hd_experiment_free(e);
    struct hd_experiment_overrides none = {.budget_min = NAN, .budget_max = NAN, .eta = NAN};
    assert_hd_ok(parse(LEAST, &none, &e, &err));
    assert_false(e->budget_given);
    hd_experiment_free(e);
    struct hd_experiment_overrides image = {.image = "c"};
    assert_hd_ok(parse(SPACE, &image, &e, &err)); /* the file may lack what the command line has */
    assert_string_equal(e->target.image, "c");
    hd_experiment_free(e);
    /* Where the file lies is what counts only when it does not say itself where paths begin. */
    struct hd_experiment_overrides beside = {.base_dir = "/exp"};
    assert_hd_ok(parse("target: {image: a, base_dir: /own}\n" SPACE, &beside, &e, &err));
    assert_string_equal(e->target.base_dir, "/own");
    hd_experiment_free(e);
    assert_hd_ok(parse("target: {image: a, base_dir: null}\n" SPACE, &beside, &e, &err));
    assert_string_equal(e->target.base_dir, "/exp");
    hd_experiment_free(e);
    e = NULL;
    assert_hd_fails(parse("target: {image: a, base_dir: 3}\n" SPACE, &beside, &e, &err),
                    HD_E_INVALID, "target.base_dir: expected a text");
    e = NULL;
    struct hd_experiment_overrides bad = {.budget_min = 5, .budget_max = 1};
    assert_hd_fails(parse(LEAST, &bad, &e, &err), HD_E_INVALID,
                    "command line: budget.min: 5 is above budget.max, which is 1");
    bad = (struct hd_experiment_overrides){.eta = 1};
    assert_hd_fails(parse(LEAST, &bad, &e, &err), HD_E_INVALID,
                    "command line: iteration_generator.eta: must be at least 2");
    assert_null(e);
}

/* Relative paths begin at the directory of an absolute file name. */
static void base_dir_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *file, *base_dir, *name;
    } rows[] = {
        {"/a/b/c.yaml", "/a/b", "c"},   {"/c.d.yaml", "/", "c.d"},
        {"a/c.yaml", "", "c"},          {"c", "", "c"},
        {"x y.yaml", "", "experiment"}, {".yaml", "", "experiment"},
    };
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_err err;
        struct hd_experiment *e = NULL;
        assert_hd_ok(hd_experiment_parse_text(LEAST, strlen(LEAST), rows[i].file, NULL, &e, &err));
        assert_string_equal(e->target.base_dir, rows[i].base_dir);
        assert_string_equal(e->name, rows[i].name);
        hd_experiment_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_image),
        cmocka_unit_test(names_of_images),
        cmocka_unit_test(complete_file),
        cmocka_unit_test(defaults),
        cmocka_unit_test(automatic_generator),
        cmocka_unit_test(aliases),
        cmocka_unit_test(clauses_and_first_configs),
        cmocka_unit_test(errors),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(overrides_win),
        cmocka_unit_test(base_dir_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
