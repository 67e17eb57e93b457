/* SPDX-License-Identifier: Apache-2.0 */
#include "shell.h"

#include "common/cli.h"
#include "engine_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 64 /* before the command of the person */
#define LINE_BYTES_MAX (1u << 20)
#define NAME_SIZE 96

/* The exit code of a program as a shell tells it; 127: there is no such program. */
static enum hd_code run(char *const *words, bool quiet, int *ret_exit, struct hd_err *err)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return hd_fail(err, HD_E_IO, "cannot start %s: %s", words[0], strerror(errno));
    if (child == 0) {
        int null = quiet ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
        for (int fd = 0; null >= 0 && fd < 3; fd++)
            (void)dup2(null, fd);
        execvp(words[0], words);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return hd_fail(err, HD_E_IO, "%s: %s", words[0], strerror(errno));
    *ret_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return HD_OK;
}

static bool on_terminal(void)
{
    return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
}

/* ---- where it runs --------------------------------------------------------------------------- */

static const struct hd_value *last_attempt(const struct hd_value *answer)
{
    const struct hd_value *attempts = hd_value_get(answer, "attempts");
    bool any = attempts != NULL && attempts->kind == HD_VALUE_ARRAY && attempts->as.array.count > 0;
    return any ? attempts->as.array.items[attempts->as.array.count - 1] : NULL;
}

enum hd_code shell_in_running(const struct hd_value *answer, const struct shell_wish *wish,
                              const char *engine, int *ret_exit, bool *ret_there,
                              struct hd_err *err)
{
    static char docker[] = "docker", podman[] = "podman", container[] = "container",
                inspect[] = "inspect", exec[] = "exec", both[] = "-it", input[] = "-i";
    const struct hd_value *attempt = last_attempt(answer);
    char name[NAME_SIZE];
    int code_of = 1;
    *ret_there = false;
    if (wish->fresh || attempt == NULL || !hd_streq(cli_text(answer, "job_state"), "running"))
        return HD_OK;
    if (!hd_format(name, sizeof(name), "hyperdock-%s-%lld-%lld", cli_text(answer, "run_uid"),
                   (long long)cli_integer(answer, "job"),
                   (long long)cli_integer(attempt, "attempt")))
        return hd_fail(err, HD_E_INVALID, "the answer names no run");
    char *client = engine != NULL && hd_streq(engine, podman) ? podman : docker;
    char *const look[] = {client, container, inspect, name, NULL};
    enum hd_code code = run(look, true, &code_of, err);
    if (code == HD_OK && code_of != 0)
        fprintf(stderr,
                "hd: the job runs on %s, and %s here has no container %s: a fresh one follows\n",
                cli_text(attempt, "worker"), client, name);
    if (code != HD_OK || code_of != 0)
        return code;
    char *words[WORDS_MAX] = {client, exec, on_terminal() ? both : input, name};
    size_t count = 4;
    for (size_t i = 0; wish->command[i] != NULL; i++) {
        if (count + 1 == WORDS_MAX)
            return hd_fail(err, HD_E_LIMIT, "a command of more than %d words", WORDS_MAX - 5);
        words[count++] = wish->command[i];
    }
    *ret_there = true;
    return run(words, false, ret_exit, err);
}

/* ---- where it would run ---------------------------------------------------------------------- */

/* The client's line begins with its name and "run": what a person's command needs comes next. */
static enum hd_code put_client(const char *line, const char *engine, const struct shell_wish *wish,
                               struct hd_buf *out, struct hd_err *err)
{
    static const char head[] = "docker run ";
    size_t skip = sizeof(head) - 1;
    if (strncmp(line, head, skip) != 0)
        return hd_buf_puts(out, line, err);
    enum hd_code code = hd_buf_printf(out, err, "%s run", engine);
    if (code == HD_OK && wish->command != NULL)
        code = hd_buf_puts(out, on_terminal() ? " -it --entrypoint " : " -i --entrypoint ", err);
    if (code == HD_OK && wish->command != NULL)
        code = hd_engine_quote(wish->command[0], out, err);
    return code == HD_OK ? hd_buf_puts(out, line + skip - 1, err) : code;
}

static enum hd_code make_line(const struct hd_engine *engine, struct hd_engine_job *job,
                              const struct shell_wish *wish, struct hd_buf *out, struct hd_err *err)
{
    struct hd_buf line;
    bool container = job->image != NULL;
    hd_buf_init(&line, LINE_BYTES_MAX);
    if (wish->command != NULL) /* the entry point is the first word */
        job->argv = container ? wish->command + 1 : wish->command;
    enum hd_code code = hd_engine_command_line(engine, job, &line, err);
    if (code == HD_OK)
        code = put_client(hd_buf_text(&line), hd_engine_name(engine), wish, out, err);
    hd_buf_release(&line);
    return code;
}

enum hd_code shell_by_hand(const struct hd_engine *engine, struct hd_engine_job *job,
                           const struct shell_wish *wish, int *ret_exit, struct hd_err *err)
{
    static char shell[] = "/bin/sh", c[] = "-c";
    struct hd_buf line;
    hd_buf_init(&line, LINE_BYTES_MAX);
    enum hd_code code = make_line(engine, job, wish, &line, err);
    if (code == HD_OK && wish->print) {
        printf("%s\n", hd_buf_text(&line));
        fprintf(stderr, "it uses %s, which stays: remove it when it is no longer needed\n",
                job->run_dir);
        *ret_exit = HD_EXIT_OK;
    } else if (code == HD_OK) {
        char *const words[] = {shell, c, line.data, NULL};
        code = run(words, false, ret_exit, err);
    }
    hd_buf_release(&line);
    return code;
}
