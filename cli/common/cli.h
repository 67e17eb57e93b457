/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli.h: what subcommands share: where answers come from (a state directory, or a live master
 * elsewhere), which run is meant, and how answers look.
 *
 * Programs, not libraries: these functions print. A failure becomes one line on stderr and an exit
 * code: 2 when the arguments are at fault, otherwise 1.
 */
#ifndef HD_CLI_COMMON_H
#define HD_CLI_COMMON_H

#include <hd/os.h>
#include <hd/value.h>

#include "remote.h"

#define CLI_STATE_DIR_DEFAULT "hyperdock-state"
#define CLI_CELL_MAX 4096 /* bytes of one cell of a table */
#define CLI_COLUMNS_MAX 20

/* ---- options and state ---------------------------------------------------------------------- */

struct cli_common {
    const char *state_dir; /* NULL: not given */
    const char *run;       /* NULL: the only one */
    bool json;
    struct cli_remote remote;
};
/* Rows of an options table. */
#define CLI_STATE_DIR_OPTION(common)                                                               \
    {                                                                                              \
        .name = "state-dir", .kind = HD_OPTION_TEXT, .value = &(common).state_dir, .hint = "DIR",  \
        .help = "where the state is ($HYPERDOCK_STATE_DIR, ./hyperdock-state)"                     \
    }
#define CLI_RUN_OPTION(common)                                                                     \
    {                                                                                              \
        .name = "run", .aliases = "run-id", .kind = HD_OPTION_TEXT, .value = &(common).run,        \
        .hint = "ID", .help = "which run; may be left out when there is one"                       \
    }
#define CLI_JSON_OPTION(common)                                                                    \
    {                                                                                              \
        .name = "json", .kind = HD_OPTION_FLAG, .value = &(common).json,                           \
        .help = "print JSON for programs"                                                          \
    }
#define CLI_COMMON_OPTIONS(common)                                                                 \
    CLI_RUN_OPTION(common), CLI_STATE_DIR_OPTION(common), CLI_JSON_OPTION(common),                 \
        CLI_REMOTE_OPTIONS((common).remote)

/* --state-dir, or $HYPERDOCK_STATE_DIR, or ./hyperdock-state; borrowed. */
const char *cli_state_dir(const char *given);

/* Parses; the first positional beyond `first` names the run when --run did not. */
enum hd_parse_answer cli_parse(const struct hd_program *program, int argc, char **argv,
                               struct cli_common *common, const char **ret_positionals,
                               size_t run_index);

/* ---- asking --------------------------------------------------------------------------------- */

struct cli_source;
HD_NODISCARD enum hd_code cli_open(const struct cli_common *common, struct cli_source **ret_source,
                                   struct hd_err *err);
void cli_close(struct cli_source *source);
/* One view of hd/view.h. `arguments` may be NULL; the run chosen is added to it. */
HD_NODISCARD enum hd_code cli_read(struct cli_source *source, const char *view,
                                   struct hd_value *arguments, struct hd_value **ret_answer,
                                   struct hd_err *err);
/* Sets a number in an object made on demand; *arguments may be NULL. */
HD_NODISCARD enum hd_code cli_argument(struct hd_value **arguments, const char *key,
                                       struct hd_value *item, struct hd_err *err);
/* "17", or "best": CLI_JOB_BEST, for which cli_read() puts the job that hd best names first into
 * arguments "job". Its answer says which one that is. */
#define CLI_JOB_BEST INT64_C(-1)
HD_NODISCARD enum hd_code cli_parse_job(const char *text, int64_t *ret_job, struct hd_err *err);

/* ---- what only a live master knows ---------------------------------------------------------- */

/* The one that was named, or that serves the state directory. HD_E_NOTFOUND: none does. */
HD_NODISCARD enum hd_code cli_live_master(const struct cli_common *common, const char *run_id,
                                          struct cli_master *ret_master, struct hd_err *err);
/* `arguments` is JSON, "" for none. */
HD_NODISCARD enum hd_code cli_live_view(const struct cli_master *master, const char *run_id,
                                        const char *view, const char *arguments,
                                        struct hd_value **ret_answer, struct hd_err *err);
/* What a run waits for. A master that does not answer soon is an error, HD_E_TIMEOUT or such. */
#define CLI_WAITS_MS 1500
HD_NODISCARD enum hd_code cli_waits(const struct cli_common *common, const char *run_id,
                                    struct hd_value **ret_waits, struct hd_err *err);

/* The common course of a command that reads one view: parse, open, read; then either JSON or
 * `print`. Takes `arguments`. */
typedef void (*cli_print_fn)(const struct hd_value *answer);
int cli_run_view(const struct cli_common *common, const char *view, struct hd_value *arguments,
                 cli_print_fn print);

/* ---- printing ------------------------------------------------------------------------------- */

/* One line on stderr; the exit code. */
int cli_fail(const struct hd_err *err);
/* A word as it can be given to a shell: the text in `quoted`, or itself where that needs none or no
 * file could be called so. */
#define CLI_QUOTED_WORD_MAX 4096
struct cli_quoted {
    char text[4 * CLI_QUOTED_WORD_MAX + 3];
};
const char *cli_quote(const char *word, struct cli_quoted *quoted);
/* " --state-dir DIR", or which live master was asked, for a command to paste; "" when that command
 * would ask the same by itself. */
const char *cli_where(const struct cli_common *common, char text[CLI_CELL_MAX]);
/* One pretty value, or one line. */
HD_NODISCARD enum hd_code cli_print_json(const struct hd_value *value, enum hd_json_style style,
                                         struct hd_err *err);

/* Members for people; "" for null and missing. Texts live in `cell` (CLI_CELL_MAX bytes). */
const char *cli_text(const struct hd_value *object, const char *key);
int64_t cli_integer(const struct hd_value *object, const char *key); /* 0 when there is none */
bool cli_is_true(const struct hd_value *object, const char *key);    /* false likewise */
const char *cli_cell(const struct hd_value *object, const char *key, char *cell);
/* Six significant digits; the objective's own direction. */
const char *cli_number(double number, char *cell);
const char *cli_plural(double count); /* what a noun of so many ends with: "s", or "" of one */
const char *cli_objective(const struct hd_value *head, double loss, char *cell);
const char *cli_objective_name(const struct hd_value *head);
/* " +- 0.01 (3 results)" of a row about a config of a noisy target; "" of any other. */
const char *cli_estimate(const struct hd_value *row, char *cell);
/* With several objectives or constraints, what a job measured: the objectives and then the
 * constraints, by the head of the answer. 0: there is one objective and that is all. */
size_t cli_measure_count(const struct hd_value *head);
size_t cli_objective_count(const struct hd_value *head); /* at least 1 */
const char *cli_measure_name(const struct hd_value *head, size_t index);
/* As people see it; "" where the row has none. */
const char *cli_measure(const struct hd_value *head, const struct hd_value *row, size_t index,
                        char *cell);
/* "yes", "no", or "" where there are no constraints or no result. */
const char *cli_feasible(const struct hd_value *head, const struct hd_value *row);
/* Titles of the further objectives and, with constraints, FEASIBLE; and a row's cells. At most
 * CLI_MEASURE_COLUMNS_MAX; how many. Texts of cells live in `cells`. */
#define CLI_MEASURE_COLUMNS_MAX 8
size_t cli_measure_titles(const struct hd_value *head, const char **ret_titles);
size_t cli_measure_cells(const struct hd_value *head, const struct hd_value *row,
                         char cells[CLI_MEASURE_COLUMNS_MAX][CLI_CELL_MAX], const char **ret_line);
/* "2026-01-31 12:00:00" */
const char *cli_time(const struct hd_value *object, const char *key, char *cell);
/* "12s", "3m05s" between two UTC texts; "" unless both are there. */
const char *cli_duration(const struct hd_value *object, const char *from, const char *to,
                         char *cell);
/* "learning_rate=0.1 units=64": one line. */
const char *cli_params(const struct hd_value *params, char *cell);

/* A table: columns as wide as their widest cell, two blanks between, numbers to the right; on a
 * terminal lines are cut to its width. Cells are copied. Memory that cannot be had ends the
 * program with a message. */
struct cli_table;
struct cli_table *cli_table_new(const char *const *titles, const char *aligned, size_t columns);
void cli_table_row(struct cli_table *table, const char *const *cells);
/* Prints and frees. */
void cli_table_end(struct cli_table *table);

#endif
