/* SPDX-License-Identifier: Apache-2.0 */
/* hd events: facts, one a line, and those to come. */
#include "commands.h"
#include "common/cli.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PAGE 500
#define POLL_MS 500

/* "kind  key=value ...": what is not said by the columns before. */
static void print_event(const struct hd_value *event)
{
    static const char *const said[] = {"seq", "time", "run_id", "kind", "experiment"};
    char cell[CLI_CELL_MAX];
    printf("%6lld  %s  %s  %s", (long long)cli_integer(event, "seq"), cli_time(event, "time", cell),
           cli_text(event, "run_id"), cli_text(event, "kind"));
    for (size_t i = 0; i < event->as.object.count; i++) {
        const char *key = event->as.object.keys[i];
        bool skip = false;
        for (size_t k = 0; k < HD_COUNT(said); k++)
            skip = skip || hd_streq(key, said[k]);
        if (!skip && cli_cell(event, key, cell)[0] != '\0')
            printf("  %s=%s", key, cell);
    }
    printf("\n");
}

static enum hd_code print_page(const struct cli_common *common, const struct hd_value *events,
                               struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < events->as.array.count && code == HD_OK; i++) {
        if (common->json)
            code = cli_print_json(events->as.array.items[i], HD_JSON_COMPACT, err);
        else
            print_event(events->as.array.items[i]);
    }
    fflush(stdout);
    return code;
}

/* Asked when there is nothing new: will the named run never have another fact? */
static enum hd_code run_is_over(struct cli_source *source, bool *ret_over, struct hd_err *err)
{
    struct hd_value *answer = NULL;
    enum hd_code code = cli_read(source, "status", NULL, &answer, err);
    if (code != HD_OK)
        return code;
    const char *state = cli_text(answer, "state");
    *ret_over = hd_streq(state, "finished") || hd_streq(state, "cancelled");
    hd_value_free(answer);
    return HD_OK;
}

static enum hd_code next_page(struct cli_source *source, int64_t *after,
                              struct hd_value **ret_answer, struct hd_err *err)
{
    struct hd_value *arguments = NULL, *answer = NULL;
    enum hd_code code = cli_argument(&arguments, "after", hd_value_new_int(*after), err);
    if (code == HD_OK)
        code = cli_argument(&arguments, "limit", hd_value_new_int(PAGE), err);
    if (code == HD_OK)
        code = cli_read(source, "events", arguments, &answer, err);
    hd_value_free(arguments);
    if (code != HD_OK)
        return code;
    *after = cli_integer(answer, "next");
    *ret_answer = answer;
    return HD_OK;
}

static enum hd_code print_all(const struct cli_common *common, bool follow, int64_t after,
                              struct cli_source *source, struct hd_err *err)
{
    for (bool over = !follow;;) {
        struct hd_value *answer = NULL;
        enum hd_code code = next_page(source, &after, &answer, err);
        if (code != HD_OK)
            return code;
        const struct hd_value *events = hd_value_get(answer, "events");
        size_t count = events->as.array.count;
        code = print_page(common, events, err);
        hd_value_free(answer);
        /* Over, and then nothing: whatever was written before the end has been printed. */
        if (code != HD_OK || ferror(stdout) != 0 || (count == 0 && over))
            return code;
        if (count > 0)
            continue;
        if (common->run != NULL)
            code = run_is_over(source, &over, err);
        if (code != HD_OK)
            return code;
        if (!over)
            (void)poll(NULL, 0, POLL_MS);
    }
}

int cmd_events(int argc, char **argv)
{
    struct cli_common common = {0};
    struct hd_err err;
    struct cli_source *source = NULL;
    bool follow = false;
    int64_t after = 0;
    const struct hd_option options[] = {
        CLI_COMMON_OPTIONS(common),
        {.name = "follow",
         .kind = HD_OPTION_FLAG,
         .value = &follow,
         .help = "go on with those to come; ends with the run when one is named"},
        {.name = "after",
         .kind = HD_OPTION_INT,
         .value = &after,
         .hint = "SEQ",
         .int_min = 0,
         .int_max = INT64_MAX,
         .help = "only those with a higher seq"},
    };
    const struct hd_program program = {
        .name = "hd events",
        .summary = "the facts of a run, one by one",
        .usage = "hd events [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 1,
        .epilogue = "Without RUN: of all runs. With --json: one object a line.",
    };
    enum hd_parse_answer answer = cli_parse(&program, argc, argv, &common, NULL, 0);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    enum hd_code code = cli_open(&common, &source, &err);
    if (code == HD_OK)
        code = print_all(&common, follow, after, source, &err);
    cli_close(source);
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}
