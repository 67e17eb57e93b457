/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h: what a person sees while a run goes on. */
#ifndef HD_CLI_PROGRESS_H
#define HD_CLI_PROGRESS_H

#include <hd/experiment.h>
#include <hd/view.h>

/* One line on a terminal, rewritten; plain lines, when something is new, elsewhere. */
struct progress {
    bool terminal;
    bool quiet;          /* --json: nothing until the end */
    bool line_open;      /* a rewritten line stands on the terminal */
    double budget_total; /* planned; NaN when the run has no planned end */
    int64_t started_ms, said_ms;
    double budget_at_start;
    int64_t incumbent_job;
    int64_t closed;    /* jobs that had ended when the line was made last */
    int64_t closed_ms; /* since when it has been so */
    char waits[256];   /* what the run waits for, when nothing has ended for long; "" */
    char last[512];
};

void progress_init(struct progress *progress, bool quiet);
/* `status` is the answer of the "status" view. */
void progress_show(struct progress *progress, const struct hd_value *status);
/* Nothing has ended for so long that a person wonders why: progress_set_waits() may tell. */
bool progress_stands(const struct progress *progress);
/* "" when nothing is known. Kept until a job ends. */
void progress_set_waits(struct progress *progress, const char *text);
/* The line for a terminal of so many columns, shorter than it: words go before numbers do. */
void progress_line(struct progress *progress, const struct hd_value *status, size_t columns,
                   char *text, size_t text_size);
/* A sentence between the lines, on standard error. */
void progress_note(struct progress *progress, const char *text);
/* Leaves the cursor on a fresh line. */
void progress_end(struct progress *progress);
/* Sum of the budgets of all planned jobs, NaN when the stop rules make it unknown. */
double progress_planned_budget(const struct hd_experiment *experiment);

/* The last words: state, best config, where things are. json: one object on standard output. */
void progress_print_end(const struct hd_value *status, const char *state_dir, bool json);

#endif
