/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hd says, word for word, over the store of tests/lib/story.h. Each case is a file in
 * tests/golden/hd; HD_GOLDEN_UPDATE=1 writes them anew: read the difference before you commit it.
 */
#include "testlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "story.h"

#define ARGUMENTS_MAX 12
#define PATH_SIZE_MAX 1024

struct golden_case {
    const char *name;
    const char *arguments[ARGUMENTS_MAX]; /* DIR stands for the state directory */
};

static const struct golden_case cases[] = {
    {"help", {"--help"}},
    {"no-arguments", {NULL}},
    {"unknown", {"statsu"}},
    {"option-first", {"--json", "status"}},
    {"help-status", {"help", "status"}},
    {"help-init", {"init", "--help"}},
    {"help-import", {"import", "--help"}},
    {"import-nowhere", {"import", "DIR/old.json"}},
    {"import-system", {"import", "--from", "celery", "DIR/old.json"}},
    {"help-check", {"check", "--help"}},
    {"help-best", {"best", "--help"}},
    {"help-jobs", {"jobs", "--help"}},
    {"help-show", {"show", "--help"}},
    {"help-explain", {"explain", "--help"}},
    {"help-logs", {"logs", "--help"}},
    {"help-fetch", {"fetch", "--help"}},
    {"fetch-nothing", {"fetch", "3", "DIR/home", "digits"}},
    {"help-events", {"events", "--help"}},
    {"help-workers", {"workers", "--help"}},
    {"help-export", {"export", "--help"}},
    {"help-doctor", {"doctor", "--help"}},
    {"help-fsck", {"fsck", "--help"}},
    {"help-token", {"token", "--help"}},
    {"help-tls", {"tls", "--help"}},
    {"token-word", {"token", "forget", "DIR/token"}},
    {"tls-no-host", {"tls", "init", "DIR/tls"}},
    {"tls-bad-host", {"tls", "init", "DIR/tls-bad", "--host", "../up"}},
    {"help-backup", {"backup", "--help"}},
    {"fsck-nowhere", {"fsck", "DIR/elsewhere"}},
    {"backup-nowhere", {"backup", "DIR/elsewhere", "DIR/copy.db"}},
    {"help-runs", {"runs", "--help"}},
    {"help-run", {"run", "--help"}},
    {"help-attach", {"attach", "--help"}},
    {"help-resume", {"resume", "--help"}},
    {"help-pause", {"pause", "--help"}},
    {"help-set", {"set", "--help"}},
    {"help-cancel", {"cancel", "--help"}},
    {"help-submit", {"submit", "--help"}},
    {"help-try", {"try", "--help"}},
    {"help-ask-tell", {"ask-tell", "--help"}},
    {"run-nothing", {"run"}},
    {"run-none", {"run", "DIR/none.yaml"}},
    {"run-bad", {"run", "DIR/bad.yaml"}},
    {"run-workers", {"run", "DIR/good.yaml", "--workers", "0"}},
    {"run-budget", {"run", "DIR/good.yaml", "--min-budget", "few"}},
    {"run-id", {"run", "DIR/good.yaml", "--run-id", "../up"}},
    {"run-nowhere",
     {"run", "DIR/good.yaml", "--engine", "process", "--state-dir", "DIR/good.yaml/state"}},
    {"run-exists", {"run", "DIR/good.yaml", "--run-id", "digits", "--state-dir", "DIR"}},
    {"run-over", {"run", "DIR/scores.yaml", "--state-dir", "DIR", "--resume"}},
    {"run-other", {"run", "DIR/good.yaml", "--run-id", "scores", "--state-dir", "DIR", "--resume"}},
    {"attach-nobody", {"attach", "nobody"}},
    {"set-word", {"set", "scores", "more", "--state-dir", "DIR"}},
    {"set-unknown", {"set", "scores", "job=4", "--state-dir", "DIR"}},
    {"set-value", {"set", "scores", "jobs=4", "time=soon", "--state-dir", "DIR"}},
    {"set-no-number", {"resume", "scores", "--set", "jobs=nan", "--state-dir", "DIR"}},
    {"workers-order-nobody", {"workers", "pause", "--state-dir", "DIR"}},
    {"workers-two-runs", {"workers", "list", "digits", "scores", "--state-dir", "DIR"}},
    {"cancel-word", {"cancel", "digits/best"}},
    {"cancel-negative", {"cancel", "--run", "digits", "--", "-1"}},
    {"cancel-nowhere", {"cancel", "digits", "--state-dir", "DIR/elsewhere"}},
    {"submit-nobody", {"submit", "DIR/endless.yaml"}},
    {"try-set", {"try", "DIR/endless.yaml", "--set", "x"}},
    {"try-unknown", {"try", "DIR/endless.yaml", "--set", "y=1"}},
    {"try-range", {"try", "DIR/endless.yaml", "--set", "x=11"}},
    {"ask-tell-none", {"ask-tell", "DIR/none.yaml"}},
    {"runs", {"runs"}},
    {"runs-json", {"runs", "--json"}},
    {"no-state", {"runs", "--state-dir", "DIR/elsewhere"}},
    {"status-which", {"status"}},
    {"status-digits", {"status", "digits"}},
    {"status-digits-json", {"status", "digits", "--json"}},
    {"status-scores", {"status", "--run", "scores"}},
    {"status-fresh", {"status", "fresh"}},
    {"status-nobody", {"status", "nobody"}},
    {"best-digits", {"best", "digits"}},
    {"best-digits-json", {"best", "digits", "--json"}},
    {"best-digits-budget", {"best", "digits", "--budget", "1"}},
    {"best-scores", {"best", "scores", "--count", "2"}},
    {"best-fresh", {"best", "fresh"}},
    {"jobs-digits", {"jobs", "digits"}},
    {"jobs-digits-json", {"jobs", "digits", "--json", "--limit", "2", "--after", "3"}},
    {"jobs-digits-page", {"jobs", "digits", "--limit", "2"}},
    {"jobs-digits-failed", {"jobs", "digits", "--outcome", "failed"}},
    {"jobs-unknown-outcome", {"jobs", "digits", "--outcome", "faild"}},
    {"jobs-unknown-state", {"jobs", "digits", "--state", "done"}},
    {"jobs-digits-running", {"jobs", "digits", "--state", "running"}},
    {"jobs-scores", {"jobs", "scores"}},
    {"show-1", {"show", "1", "digits"}},
    {"show-1-json", {"show", "1", "digits", "--json"}},
    {"show-3", {"show", "3", "--run", "digits"}},
    {"show-4", {"show", "4", "digits"}},
    {"show-elsewhere", {"show", "4", "digits", "--state-dir", "DIR/else where"}},
    {"show-5", {"show", "5", "digits"}},
    {"show-6", {"show", "6", "digits"}},
    {"show-99", {"show", "99", "digits"}},
    {"show-word", {"show", "seventeen", "digits"}},
    {"show-best", {"show", "best", "digits"}},
    {"explain-best", {"explain", "best", "digits"}},
    {"logs-best", {"logs", "best", "digits", "--path"}},
    {"explain-0", {"explain", "0", "digits"}},
    {"explain-1", {"explain", "1", "digits"}},
    {"explain-2", {"explain", "2", "digits"}},
    {"explain-3", {"explain", "3", "digits"}},
    {"explain-4", {"explain", "4", "digits"}},
    {"explain-5", {"explain", "5", "digits"}},
    {"explain-6", {"explain", "6", "digits"}},
    {"explain-1-json", {"explain", "1", "digits", "--json"}},
    {"explain-scores", {"explain", "2", "scores"}},
    {"logs-master", {"logs", "0", "digits"}},
    {"logs-worker", {"logs", "3", "digits", "--attempt", "1"}},
    {"logs-follow", {"logs", "0", "digits", "--follow"}},
    {"logs-path", {"logs", "0", "digits", "--path"}},
    {"logs-elsewhere", {"logs", "3", "digits"}},
    {"logs-no-attempt", {"logs", "3", "digits", "--attempt", "9"}},
    {"logs-not-started", {"logs", "6", "digits"}},
    {"events-scores", {"events", "scores"}},
    {"events-scores-json", {"events", "scores", "--json", "--after", "40"}},
    {"events-scores-follow", {"events", "scores", "--follow", "--json", "--after", "50"}},
    {"events-digits", {"events", "digits"}},
    {"workers", {"workers"}},
    {"workers-digits", {"workers", "digits"}},
    {"workers-fresh-json", {"workers", "fresh", "--json"}},
    {"export-csv", {"export", "digits"}},
    {"export-json", {"export", "digits", "--format", "json"}},
    {"export-scores", {"export", "scores"}},
    {"export-fresh-json", {"export", "fresh", "--json"}},
    {"export-word", {"export", "digits", "--format", "xml"}},
    {"check", {"check", "DIR/good.yaml"}},
    {"check-json", {"check", "DIR/good.yaml", "--json"}},
    {"check-endless", {"check", "DIR/endless.yaml"}},
    {"check-opening", {"check", "DIR/opening.yaml"}},
    {"check-budget", {"check", "DIR/budget.yaml"}},
    {"check-bad", {"check", "DIR/bad.yaml"}},
    {"check-none", {"check", "DIR/none.yaml"}},
    {"check-one", {"check", "DIR/one.yaml"}},
    {"check-variable", {"check", "DIR/variable.yaml"}},
    {"check-tab", {"check", "DIR/tab.yaml"}},
    {"check-setting", {"check", "DIR/setting.yaml"}},
    {"token-frob", {"token", "frob"}},
    {"tls-frob", {"tls", "frob", "DIR/tls"}},
    {"notify-frob", {"notify", "frob"}},
    {"services-frob", {"services", "frob"}},
};

static char *state_dir;

static void make_file(const char *directory, const char *name, const char *text)
{
    char path[PATH_SIZE_MAX];
    char command_free[PATH_SIZE_MAX];
    assert_true(hd_format(command_free, sizeof(command_free), "%s/%s", state_dir, directory));
    for (char *at = command_free + strlen(state_dir) + 1; at != NULL; at = strchr(at + 1, '/')) {
        *at = *at == '/' ? '\0' : *at;
        (void)mkdir(command_free, 0700);
        if (*at == '\0')
            *at = '/';
    }
    (void)mkdir(command_free, 0700);
    assert_true(hd_format(path, sizeof(path), "%s/%s", command_free, name));
    test_file_write(path, text);
}

static int setup(void **state)
{
    (void)state;
    char path[PATH_SIZE_MAX];
    state_dir = test_dir_make();
    assert_true(hd_format(path, sizeof(path), "%s/state.db", state_dir));
    test_story_write(path);
    make_file("runs/digits/logs", "0-1.log", "epoch 1 loss 0.25\n");
    make_file("work/box-1/digits/run/3-1", "log.txt", "loading\nterminated\n");
    /* The same by a name that a shell takes apart. */
    assert_true(hd_format(path, sizeof(path), "%s/else where", state_dir));
    assert_int_equal(symlink(".", path), 0);
    make_file(".", "good.yaml",
              "name: good\n"
              "target: {image: 'me/it:1', command: [train, '--lr=${params.lr}']}\n"
              "objective: {name: accuracy, direction: maximize, goal: 0.99}\n"
              "space:\n"
              "  lr: {type: float, low: 1.0e-5, high: 1.0, log: true}\n"
              "  units: {type: int, low: 8, high: 256, log: true}\n"
              "  width: {type: int, low: 0, high: 100, step: 25}\n"
              "  act: {type: categorical, choices: [relu, tanh]}\n"
              "  depth: {type: ordinal, choices: [1, 2, 4]}\n"
              "  bias: {type: bool}\n"
              "  version: {type: constant, value: 3}\n"
              "iteration_generator: {name: hyperband, eta: 3}\n"
              "budget: {min: 1, max: 27, unit: epochs}\n"
              "stop: {iterations: 6, time: 1h, jobs: 500}\n");
    make_file(".", "scores.yaml", test_story_scores);
    make_file(".", "endless.yaml",
              "target: {command: [./train]}\n"
              "space: {x: {type: int, low: 1, high: 10}}\n");
    make_file(".", "budget.yaml",
              "name: budget\ntarget: {command: [./train]}\n"
              "space: {x: {type: float, low: 0, high: 1}}\n"
              "budget: {min: 1, max: 9, unit: epochs}\nstop: {budget: 90}\n");
    make_file(".", "opening.yaml",
              "target: {command: [./train]}\n"
              "space: {x: {type: float, low: 1, high: 10}}\n"
              "budget: {min: 1, max: 4}\n"
              "stop: {jobs: 20}\n");
    make_file(".", "variable.yaml",
              "target: {command: [./train]}\n"
              "space: {a-b: {type: bool}, a: {type: bool}, a_: {type: bool}, A_b: {type: bool}}\n"
              "iteration_generator: {name: full}\n"
              "stop: {configs: 3}\n");
    make_file(".", "one.yaml",
              "target: {command: [./train]}\n"
              "space: {x: {type: bool}}\n"
              "iteration_generator: {name: full}\n"
              "stop: {configs: 1, jobs: 1, iterations: 1, no_improvement: 1}\n");
    make_file(".", "tab.yaml", "target:\n  command: [./train]\nspace:\n\tx: {type: bool}\n");
    make_file(".", "setting.yaml",
              "target: {command: [./train]}\n"
              "space: {x: {type: bool}}\n"
              "sampler:\n"
              "  name: tpe\n"
              "  startup: 3\n"
              "  gamma: 7\n");
    make_file(".", "bad.yaml",
              "target: {image: 'me/it:1'}\n"
              "space:\n"
              "  lr: {type: float, low: 1.0e-5, hihg: 1.0}\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_dir_remove(state_dir);
    return 0;
}

/* DIR -> the state directory, into memory of the caller. */
static char *expand(const char *argument)
{
    char text[PATH_SIZE_MAX];
    if (strncmp(argument, "DIR", 3) == 0)
        assert_true(hd_format(text, sizeof(text), "%s%s", state_dir, argument + 3));
    else
        assert_true(hd_copy_text(text, sizeof(text), argument));
    return strdup(text);
}

static void child(const struct golden_case *golden, int out)
{
    char *argv[ARGUMENTS_MAX + 2] = {strdup("hd")};
    for (size_t i = 0; i < ARGUMENTS_MAX && golden->arguments[i] != NULL; i++)
        argv[i + 1] = expand(golden->arguments[i]);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    setenv("HYPERDOCK_STATE_DIR", state_dir, 1);
    setenv("TZ", "Asia/Tokyo", 1); /* times are UTC wherever one is */
    execv(getenv("HD_PROGRAM"), argv);
    _exit(127);
}

/* Everything it printed, then its exit code; the state directory is DIR again. */
static void run(const struct golden_case *golden, struct hd_buf *out)
{
    struct hd_err err;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(golden, pipe_fds[1]);
    close(pipe_fds[1]);
    struct hd_buf raw;
    hd_buf_init(&raw, 1 << 20);
    char bytes[4096];
    ssize_t size;
    while ((size = read(pipe_fds[0], bytes, sizeof(bytes))) > 0)
        assert_hd_ok(hd_buf_append(&raw, bytes, (size_t)size, &err));
    close(pipe_fds[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    const char *text = hd_buf_text(&raw);
    for (const char *found; (found = strstr(text, state_dir)) != NULL;) {
        assert_hd_ok(hd_buf_append(out, text, (size_t)(found - text), &err));
        assert_hd_ok(hd_buf_puts(out, "DIR", &err));
        text = found + strlen(state_dir);
    }
    assert_hd_ok(hd_buf_printf(out, &err, "%s(exit %d)\n", text, WEXITSTATUS(status)));
    hd_buf_release(&raw);
}

/* hd answers as its golden file says: what people and scripts read does not change by accident. */
static void answers_as_written(void **state)
{
    const struct golden_case *golden = *state;
    char path[PATH_SIZE_MAX];
    struct hd_buf out;
    hd_buf_init(&out, 1 << 20);
    assert_true(hd_format(path, sizeof(path), "%s/%s.txt", getenv("HD_GOLDEN_DIR"), golden->name));
    run(golden, &out);
    if (getenv("HD_GOLDEN_UPDATE") != NULL)
        test_file_write(path, hd_buf_text(&out));
    char *expected = test_file_read(path, NULL);
    if (!hd_streq(expected, hd_buf_text(&out)))
        fail_msg("%s\n--- expected\n%s--- got\n%s", golden->name, expected, hd_buf_text(&out));
    free(expected);
    hd_buf_release(&out);
}

int main(void)
{
    struct CMUnitTest tests[HD_COUNT(cases)];
    for (size_t i = 0; i < HD_COUNT(cases); i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = answers_as_written,
                                       .initial_state = (void *)(uintptr_t)&cases[i]};
    return cmocka_run_group_tests(tests, setup, teardown);
}
