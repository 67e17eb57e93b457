/* SPDX-License-Identifier: Apache-2.0 */
/* hd fsck and hd backup: is a checkpoint whole, and a copy that is. */
#include "commands.h"
#include "common/cli.h"

#include <hd/fsck.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXIT_DAMAGED 4
#define LINES_MAX 8 /* of one check, for people; --json has them all */

/* ---- what was found ---------------------------------------------------------------------------
 */

static size_t count_of(const struct hd_fsck_report *report, const char *check)
{
    size_t count = 0;
    for (size_t i = 0; i < report->finding_count; i++)
        count += hd_streq(report->findings[i].check, check) ? 1 : 0;
    return count;
}

/* Was it looked at, as far as the file allowed? */
static bool was_done(const struct hd_fsck_report *report, const char *check)
{
    if (report->version == 0)
        return hd_streq(check, "pages");
    return report->compared || !hd_streq(check, "views");
}

static void print_checks(const struct hd_fsck_report *report)
{
    const char *const *checks = hd_fsck_checks();
    for (size_t i = 0; checks[i] != NULL; i++) {
        size_t count = count_of(report, checks[i]);
        if (count > 0)
            printf("%-12s%zu found\n", checks[i], count);
        else
            printf("%-12s%s\n", checks[i], was_done(report, checks[i]) ? "ok" : "not reached");
    }
}

static void print_findings_of(const struct hd_fsck_report *report, const char *check, size_t count)
{
    size_t line = 0;
    printf("\n");
    for (size_t i = 0; i < report->finding_count && line < LINES_MAX; i++)
        if (hd_streq(report->findings[i].check, check)) {
            printf("%s: %s: %s\n", check, report->findings[i].where, report->findings[i].what);
            line++;
        }
    if (count > line)
        printf("%s: and %zu more\n", check, count - line);
    printf("  -> %s\n", hd_fsck_advice(check));
}

static void print_findings(const struct hd_fsck_report *report)
{
    const char *const *checks = hd_fsck_checks();
    for (size_t i = 0; checks[i] != NULL; i++) {
        size_t count = count_of(report, checks[i]);
        if (count > 0)
            print_findings_of(report, checks[i], count);
    }
    if (report->findings_left_out > 0)
        printf("\n%zu findings more were left out\n", report->findings_left_out);
}

static void print_state(const struct hd_fsck_report *report)
{
    char when[HD_TIME_TEXT_SIZE] = "never";
    if (report->good_wall_ms > 0)
        hd_time_format(when, sizeof(when), report->good_wall_ms);
    printf("%-12s%s, format %" PRId64 ", %" PRIu64 " bytes\n", "file", report->path,
           report->version, report->file_bytes);
    printf("%-12s%" PRIu64 "%s, the last at %s\n", "facts", report->facts_good,
           report->replayed ? "" : " good ones from the beginning", when);
    printf("%-12s%" PRIu32 " run%s, %" PRIu32 " config%s, %" PRIu32 " job%s, digest %016" PRIx64
           "\n",
           "restores to", report->runs, cli_plural(report->runs), report->configs,
           cli_plural(report->configs), report->jobs, cli_plural(report->jobs), report->digest);
}

static enum hd_code add(struct hd_value *object, const char *key, struct hd_value *item,
                        struct hd_err *err)
{
    return hd_value_set(object, key, item) == HD_OK ? HD_OK : hd_fail(err, HD_E_NOMEM, "no memory");
}

static enum hd_code findings_value(const struct hd_fsck_report *report, struct hd_value *list,
                                   struct hd_err *err)
{
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < report->finding_count && code == HD_OK; i++) {
        const struct hd_fsck_finding *finding = &report->findings[i];
        struct hd_value *object = hd_value_new_object();
        if (object == NULL || hd_value_append(list, object) != HD_OK)
            return hd_fail(err, HD_E_NOMEM, "no memory");
        code = add(object, "check", hd_value_new_string(finding->check), err);
        if (code == HD_OK)
            code = add(object, "where", hd_value_new_string(finding->where), err);
        if (code == HD_OK)
            code = add(object, "what", hd_value_new_string(finding->what), err);
        if (code == HD_OK)
            code = add(object, "advice", hd_value_new_string(hd_fsck_advice(finding->check)), err);
    }
    return code;
}

static enum hd_code report_value(const struct hd_fsck_report *report, struct hd_value *object,
                                 struct hd_err *err)
{
    char digest[32];
    (void)hd_format(digest, sizeof(digest), "%016" PRIx64, report->digest);
    const struct {
        const char *key;
        struct hd_value *item;
    } members[] = {
        {"path", hd_value_new_string(report->path)},
        {"whole", hd_value_new_bool(report->finding_count == 0)},
        {"version", hd_value_new_int(report->version)},
        {"bytes", hd_value_new_int((int64_t)report->file_bytes)},
        {"facts", hd_value_new_int((int64_t)report->facts_good)},
        {"replayed", hd_value_new_bool(report->replayed)},
        {"compared", hd_value_new_bool(report->compared)},
        {"runs", hd_value_new_int(report->runs)},
        {"configs", hd_value_new_int(report->configs)},
        {"jobs", hd_value_new_int(report->jobs)},
        {"digest", hd_value_new_string(digest)},
        {"findings_left_out", hd_value_new_int((int64_t)report->findings_left_out)},
    };
    enum hd_code code = HD_OK;
    for (size_t i = 0; i < HD_COUNT(members); i++) /* set takes the item, also on failure */
        if (add(object, members[i].key, members[i].item, err) != HD_OK)
            code = HD_E_NOMEM;
    struct hd_value *findings = hd_value_new_array();
    if (code == HD_OK)
        code = add(object, "findings", findings, err);
    else
        hd_value_free(findings);
    return code == HD_OK ? findings_value(report, findings, err) : code;
}

static enum hd_code print_json(const struct hd_fsck_report *report, struct hd_err *err)
{
    struct hd_value *object = hd_value_new_object();
    enum hd_code code =
        object != NULL ? report_value(report, object, err) : hd_fail(err, HD_E_NOMEM, "no memory");
    if (code == HD_OK)
        code = cli_print_json(object, HD_JSON_PRETTY, err);
    hd_value_free(object);
    return code;
}

/* ---- hd fsck ----------------------------------------------------------------------------------
 */

static enum hd_code salvage(const char *path, const char *to, struct hd_err *err)
{
    uint64_t count = 0;
    enum hd_code code = hd_salvage(path, to, &count, err);
    if (code == HD_OK)
        fprintf(stderr,
                "%s: the first %" PRIu64 " facts; use it with --checkpoint %s, or as %s of a state "
                "directory\n",
                to, count, to, HD_STORE_FILE_NAME);
    return code;
}

static int check_state(const char *path, const char *run_id, bool json, const char *salvage_to)
{
    struct hd_err err;
    struct hd_fsck_report *report = hd_calloc(1, sizeof(*report));
    enum hd_code code = report != NULL ? hd_fsck(path, run_id, report, &err)
                                       : hd_fail(&err, HD_E_NOMEM, "no memory");
    if (code == HD_OK && json) {
        code = print_json(report, &err);
    } else if (code == HD_OK) {
        print_state(report);
        print_checks(report);
        print_findings(report);
    }
    bool whole = code == HD_OK && report->finding_count == 0;
    hd_free(report);
    if (code == HD_OK && salvage_to != NULL)
        code = salvage(path, salvage_to, &err);
    if (code == HD_E_CORRUPT) {
        (void)cli_fail(&err);
        return EXIT_DAMAGED;
    }
    if (code != HD_OK)
        return cli_fail(&err);
    return whole ? HD_EXIT_OK : EXIT_DAMAGED;
}

int cmd_fsck(int argc, char **argv)
{
    struct cli_common common = {0};
    const char *salvage_to = NULL, *positionals[2] = {NULL};
    size_t count = 0;
    const struct hd_option options[] = {
        CLI_RUN_OPTION(common),
        CLI_STATE_DIR_OPTION(common),
        CLI_JSON_OPTION(common),
        {.name = "salvage",
         .kind = HD_OPTION_TEXT,
         .value = &salvage_to,
         .hint = "FILE",
         .help = "write what is whole from the beginning into a new file"},
    };
    const struct hd_program program = {
        .name = "hd fsck",
        .summary = "is a checkpoint whole, and does it restore to what it shows",
        .usage = "hd fsck [STATE_DIR|FILE] [RUN] [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_max = 2,
        .epilogue = "Writes nothing into it, and may be used beside a live master.\n"
                    "Exit status: 0 whole, 1 it could not be examined, 2 usage, 4 damaged.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    const char *path = count > 0 ? positionals[0] : cli_state_dir(common.state_dir);
    return check_state(path, count > 1 ? positionals[1] : common.run, common.json, salvage_to);
}

/* ---- hd backup --------------------------------------------------------------------------------
 */

static int backup(const char *path, const char *to, bool replace, bool json)
{
    struct hd_err err;
    struct hd_fsck_report *report = hd_calloc(1, sizeof(*report));
    enum hd_code code = report != NULL ? hd_backup(path, to, replace, report, &err)
                                       : hd_fail(&err, HD_E_NOMEM, "no memory");
    if (code == HD_OK && json)
        code = print_json(report, &err);
    else if (code == HD_OK)
        print_state(report);
    hd_free(report);
    if (code == HD_E_CORRUPT) {
        (void)cli_fail(&err);
        return EXIT_DAMAGED;
    }
    return code == HD_OK ? HD_EXIT_OK : cli_fail(&err);
}

int cmd_backup(int argc, char **argv)
{
    struct cli_common common = {0};
    bool replace = false;
    const char *positionals[2] = {NULL};
    size_t count = 0;
    const struct hd_option options[] = {
        CLI_STATE_DIR_OPTION(common),
        CLI_JSON_OPTION(common),
        {.name = "replace",
         .kind = HD_OPTION_FLAG,
         .value = &replace,
         .help = "an older copy of that name gives way to this one"},
    };
    const struct hd_program program = {
        .name = "hd backup",
        .summary = "a verified copy of a checkpoint, while its master writes",
        .usage = "hd backup [STATE_DIR|FILE] DEST [options]",
        .options = options,
        .option_count = HD_COUNT(options),
        .positional_min = 1,
        .positional_max = 2,
        .epilogue = "DEST is a file, or a directory in which it becomes " HD_STORE_FILE_NAME
                    ". All runs of the\nstate directory are copied: they share one sequence of "
                    "facts. The copy appears under\nits name whole or not at all.\n"
                    "Exit status: 0 copied, 1 not, 2 usage, 4 not, since hd fsck finds damage.",
    };
    enum hd_parse_answer answer = hd_options_parse(&program, argc, argv, positionals, &count);
    if (answer != HD_PARSE_GO)
        return answer == HD_PARSE_EXIT_OK ? HD_EXIT_OK : HD_EXIT_USAGE;
    return backup(count == 2 ? positionals[0] : cli_state_dir(common.state_dir),
                  positionals[count - 1], replace, common.json);
}
