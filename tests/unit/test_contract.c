/* SPDX-License-Identifier: Apache-2.0 */
/* What a target is given: its files, its command, its environment. */
#include "testlib.h"

#include "contract_place.h"
#include "mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct hd_err err;

/* ---- what a target is given ----------------------------------------------------------------- */

static const char *env_of(const struct hd_plan *plan, const char *name)
{
    const char *found = NULL;
    for (char *const *item = plan->job.env; *item != NULL; item++)
        if (strncmp(*item, name, strlen(name)) == 0 && (*item)[strlen(name)] == '=') {
            assert_null(found);
            found = *item + strlen(name) + 1;
        }
    return found;
}

static void make_plan(struct place *place, bool container, struct hd_workspace *workspace,
                      struct hd_plan *plan)
{
    static const char *const extra[] = {"OMP_NUM_THREADS=2", "MODE=mine"};
    struct hd_lease lease = lease_of(place, 7, 2);
    assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, workspace, &err));
    static char tmp[] = "/tmp";
    const struct hd_mounts mounts = {.data_dir = tmp};
    struct hd_plan_input input = {
        .worker = "w-0",
        .lease = &lease,
        .experiment = place->experiment,
        .workspace = workspace,
        .mounts = &mounts,
        .extra_env = extra,
        .extra_env_count = HD_COUNT(extra),
        .container = container,
        .now_wall_ms = 1000500,
    };
    assert_hd_ok(hd_plan_make(&input, plan, &err));
}

/* A data set is below /data, or beside the job's files of a command, and its variable says where;
 * a volume is where the experiment wants it. */
static void data_sets_reach_the_target(void **state)
{
    struct place *place = *state;
    static char tmp[] = "/tmp", usr[] = "/usr";
    const struct hd_mounts mounts = {
        .items = {{.source = tmp, .data = "my-set", .read_only = true},
                  {.source = usr, .data = "b", .at = "/sets/b", .read_only = true},
                  {.source = tmp, .at = "/scratch"}},
        .count = 3,
    };
    for (int container = 0; container < 2; container++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 7, 3 + (uint32_t)container);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        const struct hd_plan_input input = {.worker = "w-0",
                                            .lease = &lease,
                                            .experiment = place->experiment,
                                            .workspace = &workspace,
                                            .mounts = &mounts,
                                            .container = container == 1};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_MY_SET"),
                            container ? "/data/my-set" : "/tmp");
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_B"), container ? "/sets/b" : "/usr");
        assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_DIR"),
                            container ? "/data" : join(workspace.run_dir, "data"));
        static const struct hd_mount expected[] = {{"/tmp", "/data/my-set", true},
                                                   {"/tmp", "/hyperdock/data/my-set", true},
                                                   {"/usr", "/sets/b", true},
                                                   {"/tmp", "/scratch", false}};
        assert_int_equal(plan.job.mount_count, container ? HD_COUNT(expected) : 0);
        for (size_t i = 0; i < plan.job.mount_count; i++) {
            assert_string_equal(plan.job.mounts[i].source, expected[i].source);
            assert_string_equal(plan.job.mounts[i].target, expected[i].target);
            assert_int_equal(plan.job.mounts[i].read_only, expected[i].read_only);
        }
        char *to = container ? NULL : realpath(join(workspace.run_dir, "data/my-set"), NULL);
        assert_true(container || (to != NULL && strcmp(to, "/tmp") == 0));
        free(to);
        hd_plan_release(&plan);
    }
}

/* A command starts in its code, has it beside its files too, and is told where it is. */
static void code_reaches_the_target(void **state)
{
    struct place *place = *state;
    for (int container = 0; container < 2; container++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 8, 1 + (uint32_t)container);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        const struct hd_plan_input input = {.worker = "w-0",
                                            .lease = &lease,
                                            .experiment = place->experiment,
                                            .workspace = &workspace,
                                            .code_dir = "/usr",
                                            .container = container == 1};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        assert_string_equal(plan.job.code_dir, "/usr");
        assert_string_equal(plan.job.cwd, "/usr");
        assert_string_equal(env_of(&plan, "HYPERDOCK_CODE_DIR"),
                            container ? "/hyperdock/code" : "/usr");
        char *to = realpath(join(workspace.run_dir, "code"), NULL);
        assert_non_null(to);
        if (container)
            assert_string_equal(to, join(workspace.run_dir, "code")); /* a place to mount it */
        else
            assert_string_equal(to, "/usr");
        free(to);
        hd_plan_release(&plan);
    }
}

static void a_target_is_given_its_files(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, true, &workspace, &plan);
    size_t size;
    char *text = test_file_read(join(workspace.run_dir, "params.json"), &size);
    assert_string_equal(text, "{\n  \"lr\": 0.25,\n  \"act\": \"tanh\",\n  \"weird-name\": 3\n}\n");
    free(text);
    text = test_file_read(join(workspace.run_dir, "job.json"), &size);
    struct hd_value *job = NULL;
    assert_hd_ok(hd_json_parse(text, size, "job.json", &hd_value_limits_file, &job, &err));
    static const char expected[] =
        "{\"attempt\":2,\"budget\":3.0,\"budget_previous\":null,\"budget_unit\":\"epochs\","
        "\"config_id\":[0,1,2],\"config_info\":{\"config\":5,\"rung\":1},\"cpus\":null,"
        "\"deadline\":1013,\"gpus\":[],\"job\":7,\"max_budget\":9.0,\"memory\":null,"
        "\"min_budget\":1.0,\"objective\":{\"direction\":\"maximize\",\"name\":\"error\"},"
        "\"resume\":false,\"run_id\":\"t\",\"seed\":99,\"version\":1,"
        "\"work_dir\":\"/hyperdock/work\"}";
    struct hd_buf buf;
    hd_buf_init(&buf, 65536);
    assert_hd_ok(hd_json_write(job, HD_JSON_CANONICAL, &buf, &err));
    assert_string_equal(hd_buf_text(&buf), expected);
    hd_buf_release(&buf);
    hd_value_free(job);
    free(text);
    text = test_file_read(join(workspace.run_dir, "loss.json"), &size);
    assert_int_equal(size, 0);
    free(text);
    static const char *const folders[] = {"out", "control", "work", "data"};
    for (size_t i = 0; i < HD_COUNT(folders); i++) {
        struct stat st;
        assert_int_equal(lstat(join(workspace.run_dir, folders[i]), &st), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    hd_workspace_ask_stop(workspace.run_dir);
    assert_true(hd_path_exists(join(workspace.run_dir, "control/stop")));
    hd_plan_release(&plan);
}

static void command_and_environment_are_filled_in(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, true, &workspace, &plan);
    static const char *const argv[] = {"run", "--lr=0.25", "3", "/hyperdock/work", "$x"};
    for (size_t i = 0; i < HD_COUNT(argv); i++)
        assert_string_equal(plan.job.argv[i], argv[i]);
    assert_null(plan.job.argv[HD_COUNT(argv)]);
    static const struct {
        const char *name, *value;
    } env[] = {
        {"HYPERDOCK_DIR", "/hyperdock"},
        {"HYPERDOCK_WORK_DIR", "/hyperdock/work"},
        {"HYPERDOCK_PARAMS_FILE", "/hyperdock/params.json"},
        {"HYPERDOCK_DATA_DIR", "/data"},
        {"HYPERDOCK_RUN_ID", "t"},
        {"HYPERDOCK_CONFIG_ID", "[0,1,2]"},
        {"HYPERDOCK_JOB", "7"},
        {"HYPERDOCK_ATTEMPT", "2"},
        {"HYPERDOCK_BUDGET", "3"},
        {"HYPERDOCK_BUDGET_PREVIOUS", NULL},
        {"HYPERDOCK_SEED", "mine"}, /* the experiment may say otherwise */
        {"MODE", "mine"},           /* and the worker has the last word */
        {"OMP_NUM_THREADS", "2"},
        {"HP_LR", "0.25"},
        {"HP_ACT", "tanh"},
        {"HP_WEIRD_NAME", "3"},
    };
    for (size_t i = 0; i < HD_COUNT(env); i++) {
        const char *value = env_of(&plan, env[i].name);
        if (env[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value != NULL ? value : env[i].name, env[i].value);
    }
    assert_int_equal(plan.job.timeout_ms, 13000);
    hd_plan_release(&plan);
}

static void outside_a_container_paths_are_the_hosts(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    make_plan(place, false, &workspace, &plan);
    assert_string_equal(plan.job.argv[3], workspace.work_dir);
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), workspace.run_dir);
    assert_string_equal(env_of(&plan, "HYPERDOCK_DATA_DIR"), "/tmp");
    /* the paths of a container work below HYPERDOCK_DIR too */
    test_file_write(join(workspace.run_dir, "work/w"), "x");
    assert_true(hd_path_exists(join(workspace.work_dir, "w")));
    hd_plan_release(&plan);
}

/* What it was not given it does not see, whatever the experiment says; the worker's owner may. */
static void gpus_are_those_of_the_lease(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *gpus;
        bool container;
        const char *nvidia, *cuda, *listed;
    } rows[] = {
        {NULL, false, NULL, NULL, "\"gpus\": []"},
        {NULL, true, "void", NULL, "\"gpus\": []"},
        {"", false, "void", "void", "\"gpus\": []"},
        {"", true, "void", "void", "\"gpus\": []"},
        {"GPU-a,GPU-b", false, "GPU-a,GPU-b", "GPU-a,GPU-b", "\"GPU-b\""},
        {"GPU-a,GPU-b", true, "GPU-a,GPU-b", NULL, "\"GPU-a\""},
    };
    for (uint32_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        size_t size;
        struct hd_lease lease = lease_of(place, 20 + i, 1);
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        struct hd_plan_input input = {.worker = "w-0",
                                      .lease = &lease,
                                      .experiment = place->experiment,
                                      .workspace = &workspace,
                                      .gpus = rows[i].gpus,
                                      .container = rows[i].container};
        assert_hd_ok(hd_plan_make(&input, &plan, &err));
        const char *nvidia = env_of(&plan, "NVIDIA_VISIBLE_DEVICES");
        const char *cuda = env_of(&plan, "CUDA_VISIBLE_DEVICES");
        assert_string_equal(nvidia != NULL ? nvidia : "",
                            rows[i].nvidia != NULL ? rows[i].nvidia : "");
        assert_string_equal(cuda != NULL ? cuda : "", rows[i].cuda != NULL ? rows[i].cuda : "");
        char *job = test_file_read(join(workspace.run_dir, "job.json"), &size);
        assert_non_null(strstr(job, rows[i].listed));
        free(job);
        hd_plan_release(&plan);
    }
}

/* Whatever differs from job to job is in its line, and nothing of it in what the target is started
 * with. */
static void a_warm_target_reads_its_jobs_from_lines(void **state)
{
    struct place *place = *state;
    static const char text[] = "target: {image: a, command: [serve, '${run_id}'], env: {A: b}, "
                               "warm: {jobs: 9, idle: 5s, heartbeat: 2s}}\n"
                               "objective: loss\n"
                               "space:\n"
                               "  lr: {type: float, low: 0, high: 1}\n"
                               "  act: {type: categorical, choices: [relu, tanh]}\n"
                               "  weird-name: {type: int, low: 1, high: 9}\n";
    struct hd_workspace workspace;
    struct hd_plan plan;
    struct hd_value *line = NULL;
    hd_experiment_free(place->experiment);
    place->experiment = NULL;
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "w.yaml", NULL, &place->experiment, &err));
    make_plan(place, true, &workspace, &plan);
    const struct hd_warm_job *warm = plan.job.warm;
    assert_non_null(warm);
    assert_true(warm->jobs == 9 && warm->idle_ms == 5000 && warm->heartbeat_ms == 2000);
    assert_null(strchr(warm->line, '\n'));
    assert_hd_ok(hd_json_parse(warm->line, strlen(warm->line), "line", &hd_value_limits_target,
                               &line, &err));
    assert_true(hd_value_number(hd_value_get(hd_value_get(line, "params"), "lr")) == 0.25);
    assert_true(hd_value_number(hd_value_get(line, "budget")) == 3);
    assert_true(hd_value_number(hd_value_get(line, "job")) == 7);
    assert_null(hd_value_get(line, "work_dir"));
    hd_value_free(line);
    assert_string_equal(plan.job.argv[1], "t");
    assert_string_equal(env_of(&plan, "HYPERDOCK_RUN_ID"), "t");
    assert_string_equal(env_of(&plan, "A"), "b");
    assert_string_equal(env_of(&plan, "MODE"), "mine");
    static const char *const absent[] = {"HYPERDOCK_JOB", "HYPERDOCK_BUDGET", "HYPERDOCK_DIR",
                                         "HYPERDOCK_SEED", "HP_LR"};
    for (size_t i = 0; i < HD_COUNT(absent); i++)
        assert_null(env_of(&plan, absent[i]));
    assert_null(plan.job.cwd);
    size_t size;
    char *job = test_file_read(join(workspace.run_dir, "job.json"), &size);
    assert_non_null(strstr(job, "\"/hyperdock/7-2/work\""));
    free(job);
    hd_plan_release(&plan);
}

static void read_experiment(struct place *place, const char *text)
{
    hd_experiment_free(place->experiment);
    place->experiment = NULL;
    assert_hd_ok(
        hd_experiment_parse_text(text, strlen(text), "w.yaml", NULL, &place->experiment, &err));
}

#define PARAMS_OF_PLACE                                                                            \
    "objective: loss\nspace:\n  lr: {type: float, low: 0, high: 1}\n"                              \
    "  act: {type: categorical, choices: [relu, tanh]}\n  weird-name: {type: int, low: 1, high: "  \
    "9}\n"

static bool list_has(char *const *list, const char *start)
{
    for (size_t i = 0; list[i] != NULL; i++)
        if (strncmp(list[i], start, strlen(start)) == 0)
            return true;
    return false;
}

/* All files are there as for one that runs alone, and the line and the environment as for one that
 * stays. */
static void a_job_whose_image_decides_is_prepared_for_either_way(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    read_experiment(place, "target: {image: a, env: {A: b}}\n" PARAMS_OF_PLACE);
    make_plan(place, true, &workspace, &plan);
    const struct hd_warm_job *warm = plan.job.warm;
    assert_non_null(warm);
    assert_true(warm->by_label && warm->jobs == HD_WARM_JOBS_DEFAULT);
    assert_non_null(strstr(warm->line, "\"params\":{"));
    assert_string_equal(env_of(&plan, "HP_LR"), "0.25");
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), "/hyperdock");
    assert_true(list_has(warm->env, "A=b") && list_has(warm->env, "HYPERDOCK_RUN_ID=t"));
    assert_false(list_has(warm->env, "HP_LR=") || list_has(warm->env, "HYPERDOCK_DIR=") ||
                 list_has(warm->env, "HYPERDOCK_JOB="));
    static const char *const files[] = {"params.json", "job.json", "loss.json",
                                        "out",         "control",  "work"};
    for (size_t i = 0; i < HD_COUNT(files); i++)
        assert_true(hd_path_exists(join(workspace.run_dir, files[i])));
    hd_plan_release(&plan);
}

/* It is made before its job is known, so all it can be told of it is in files. */
static void a_container_that_is_made_ahead_knows_of_no_job(void **state)
{
    struct place *place = *state;
    struct hd_workspace workspace;
    struct hd_plan plan;
    static const char *const absent[] = {"HYPERDOCK_JOB",       "HYPERDOCK_BUDGET",
                                         "HYPERDOCK_SEED",      "HYPERDOCK_ATTEMPT",
                                         "HYPERDOCK_CONFIG_ID", "HP_LR"};
    read_experiment(place,
                    "target: {image: a, warm: false, ahead: true, env: {A: b}}\n" PARAMS_OF_PLACE);
    make_plan(place, true, &workspace, &plan);
    assert_true(plan.job.ahead);
    assert_null(plan.job.warm);
    assert_string_equal(env_of(&plan, "A"), "b");
    assert_string_equal(env_of(&plan, "HYPERDOCK_DIR"), "/hyperdock");
    assert_string_equal(env_of(&plan, "HYPERDOCK_WORK_DIR"), "/hyperdock/work");
    assert_string_equal(env_of(&plan, "HYPERDOCK_PARAMS_FILE"), "/hyperdock/params.json");
    for (size_t i = 0; i < HD_COUNT(absent); i++)
        assert_null(env_of(&plan, absent[i]));
    assert_true(hd_path_exists(join(workspace.run_dir, "params.json")));
    hd_plan_release(&plan);
}

static void params_that_do_not_fit_the_space_are_refused(void **state)
{
    struct place *place = *state;
    static const char *const rows[] = {"[]", "{",
                                       "{\"lr\": 5, \"act\": \"tanh\", \"weird-name\": 3}"};
    for (size_t i = 0; i < HD_COUNT(rows); i++) {
        struct hd_workspace workspace;
        struct hd_plan plan;
        struct hd_lease lease = lease_of(place, 7, 2);
        lease.params_json = rows[i];
        assert_hd_ok(hd_workspace_make(&place->root, "w-0", &lease, &workspace, &err));
        struct hd_plan_input input = {.worker = "w-0",
                                      .lease = &lease,
                                      .experiment = place->experiment,
                                      .workspace = &workspace};
        assert_hd_fails(hd_plan_make(&input, &plan, &err), HD_E_INVALID, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(data_sets_reach_the_target),
        WITH_PLACE(code_reaches_the_target),
        WITH_PLACE(a_target_is_given_its_files),
        WITH_PLACE(command_and_environment_are_filled_in),
        WITH_PLACE(outside_a_container_paths_are_the_hosts),
        WITH_PLACE(gpus_are_those_of_the_lease),
        WITH_PLACE(a_warm_target_reads_its_jobs_from_lines),
        WITH_PLACE(a_job_whose_image_decides_is_prepared_for_either_way),
        WITH_PLACE(a_container_that_is_made_ahead_knows_of_no_job),
        WITH_PLACE(params_that_do_not_fit_the_space_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
