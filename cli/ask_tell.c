/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hd ask-tell: the library on standard input and output, one JSON object a line. --state is a
 * session's file, which is an ordinary state file.
 */
#include "ask_tell.h"
#include "commands.h"

#include <hd/os.h>

#include <stdio.h>

static int fail(enum hyperdock_code code, const char *text)
{
    fprintf(stderr, "hd: %s\n", text);
    bool theirs = code == HYPERDOCK_E_INVALID || code == HYPERDOCK_E_CONFLICT ||
                  code == HYPERDOCK_E_LIMIT; /* too much in a file is a wrong file too */
    return theirs ? HD_EXIT_USAGE : HD_EXIT_FAILED;
}

/* Reads one line; one that is longer than the limit is swallowed and answered as an error. */
static bool read_line(struct hd_buf *line, bool *ret_too_long)
{
    hd_buf_clear(line);
    *ret_too_long = false;
    int byte;
    struct hd_err err;
    while ((byte = getc(stdin)) != EOF && byte != '\n') {
        char one = (char)byte;
        if (!*ret_too_long && hd_buf_append(line, &one, 1, &err) != HD_OK)
            *ret_too_long = true;
    }
    return byte != EOF || line->size > 0;
}

static int converse(struct hyperdock_session *session)
{
    struct hd_buf line, out;
    struct hd_err err = {0};
    hd_buf_init(&line, ASK_TELL_LINE_BYTES_MAX);
    hd_buf_init(&out, ASK_TELL_ANSWER_BYTES_MAX);
    enum hyperdock_code code = HYPERDOCK_OK;
    bool too_long;
    while (code == HYPERDOCK_OK && read_line(&line, &too_long)) {
        if (too_long) {
            puts("{\"error\":\"the line is longer than 1 MiB\"}");
        } else if (line.size > 0) {
            code = ask_tell_line(session, line.data, line.size, &out, &err);
            if (code == HYPERDOCK_OK)
                puts(hd_buf_text(&out));
        }
        if (code == HYPERDOCK_OK && fflush(stdout) != 0)
            break; /* nobody listens any more */
    }
    hd_buf_release(&line);
    hd_buf_release(&out);
    return code == HYPERDOCK_OK ? HD_EXIT_OK : fail(code, err.text);
}

static int run(const char *file, const char *state_path, const int64_t *seed)
{
    struct hyperdock_experiment *experiment = NULL;
    struct hyperdock_session *session = NULL;
    enum hyperdock_code code = hyperdock_experiment_new(&experiment);
    if (code != HYPERDOCK_OK)
        return fail(code, "no memory");
    code = hyperdock_experiment_read(experiment, file);
    if (code == HYPERDOCK_OK && seed != NULL)
        code = hyperdock_experiment_set_seed(experiment, (uint64_t)*seed);
    if (code == HYPERDOCK_OK)
        code = hyperdock_open(experiment, state_path, &session);
    int status = code == HYPERDOCK_OK ? converse(session)
                                      : fail(code, hyperdock_experiment_error(experiment));
    hyperdock_close(session);
    hyperdock_experiment_free(experiment);
    return status;
}

int cmd_ask_tell(int argc, char **argv)
{
    const char *state_path = NULL;
    int64_t seed = 0;
    bool seed_given = false;
    const struct hd_option options[] = {
        {.name = "seed",
         .kind = HD_OPTION_INT,
         .value = &seed,
         .hint = "S",
         .help = "seed of a new session",
         .int_min = 0,
         .int_max = INT64_MAX,
         .given = &seed_given},
        {.name = "state",
         .kind = HD_OPTION_TEXT,
         .value = &state_path,
         .hint = "FILE",
         .help = "keep the session in this file and resume it"},
    };
    const struct hd_program program = {
        .name = "hd ask-tell",
        .summary = "the optimizer on standard input and output, one JSON object a line",
        .usage = "hd ask-tell EXPERIMENT [--seed S] [--state FILE]",
        .epilogue =
            "  {\"op\":\"ask\"}                        a job, {\"wait\":true} or {\"done\":true}\n"
            "  {\"op\":\"tell\",\"job\":3,\"loss\":0.5}    its result\n"
            "  {\"op\":\"tell\",\"job\":3,\"state\":\"failed\"}\n"
            "  {\"op\":\"report\",\"job\":3,\"budget\":2,\"loss\":0.7}\n"
            "                                      {\"decision\":\"continue\"} or \"stop\"\n"
            "  {\"op\":\"best\"}                       the incumbent\n"
            "  {\"op\":\"pending\"}                    jobs asked for and not yet told\n",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 1,
    };
    const char *file;
    size_t count;
    enum hd_parse_answer parsed = hd_options_parse(&program, argc, argv, &file, &count);
    if (parsed != HD_PARSE_GO)
        return parsed == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return run(file, state_path, seed_given ? &seed : NULL);
}
