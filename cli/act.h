/* SPDX-License-Identifier: Apache-2.0 */
/* act.h: what the subcommands that act share. */
#ifndef HD_CLI_ACT_H
#define HD_CLI_ACT_H

#include "common/cli.h"

#include <hd/fact.h>

/* What a person orders; zeros and NULL stand for nothing. */
struct cli_order {
    enum hd_command_op op;
    const char *run_id;
    uint32_t job; /* CANCEL_JOB, REQUEUE_JOB */
    const char *reason;
    enum hd_limit limit;     /* SET_LIMIT */
    const char *limit_value; /* likewise */
    const char *worker;      /* *_WORKER */
    const char *image;       /* SET_IMAGE */
};

/* Tells the live master: the one that was named, or that of the state directory. *ret_told is false
 * when none serves that directory; a master that was named and is not there is an error. */
HD_NODISCARD enum hd_code cli_order_live(const struct cli_common *where,
                                         const struct cli_order *order, bool *ret_told,
                                         struct hd_err *err);
/* When no master runs: the same core makes it durable in the state directory. */
HD_NODISCARD enum hd_code cli_order_offline(const char *state_dir, const struct cli_order *order,
                                            struct hd_err *err);
/* Whichever is there. */
HD_NODISCARD enum hd_code cli_order(const struct cli_common *where, const struct cli_order *order,
                                    struct hd_err *err);

/* Many of them: the master is looked up, or the state directory restored, once. */
struct cli_orders;
HD_NODISCARD enum hd_code cli_orders_open(const struct cli_common *where, const char *run_id,
                                          struct cli_orders **ret_orders, struct hd_err *err);
bool cli_orders_live(const struct cli_orders *orders); /* a master is told */
HD_NODISCARD enum hd_code cli_orders_give(struct cli_orders *orders, const struct cli_order *order,
                                          struct hd_err *err);
void cli_orders_close(struct cli_orders *orders);

/* "7" is a job of `run`, "RUN" a run, "RUN/7" a job of it. ret_run_id: HD_ID_MAX + 1 bytes; `run`
 * may be NULL. */
HD_NODISCARD enum hd_code cli_split_target(const char *target, const char *run, char *ret_run_id,
                                           bool *ret_is_job, uint32_t *ret_job, struct hd_err *err);

/* "jobs=200", "time=2h", "goal=none". */
HD_NODISCARD enum hd_code cli_parse_limit(const char *text, struct cli_order *order,
                                          char ret_value[HD_DOUBLE_TEXT_SIZE], struct hd_err *err);
/* Gives the order for it. */
HD_NODISCARD enum hd_code cli_set_limit(const struct cli_common *where, const char *run_id,
                                        const char *text, struct hd_err *err);

/* ---- warm_start.c ---- */

struct hd_experiment;
/* Results of earlier runs for a new one of this experiment: hd_warm_start(), which also finds runs
 * where `where` points, if there is anything there. What was taken is told on stderr. */
HD_NODISCARD enum hd_code cli_warm_start(const struct cli_common *where,
                                         const struct hd_text_list *sources,
                                         const struct hd_experiment *experiment,
                                         struct hd_buf *known, struct hd_err *err);

#endif
