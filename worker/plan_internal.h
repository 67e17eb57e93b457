/* SPDX-License-Identifier: Apache-2.0 */
/* plan_internal.h: what a target is given is made in two files: its files, its words. */
#ifndef HD_PLAN_INTERNAL_H
#define HD_PLAN_INTERNAL_H

#include "contract_internal.h"
#include "mounts.h"

#define PLAN_WORD_MAX (256u * 1024u) /* bytes of one word of a command or of a variable */

/* What all steps of one plan need. */
struct making {
    const struct hd_plan_input *input;
    struct hd_arena *arena;
    struct hd_value *params;
    double *values;
    char config_id[48];
    char uuid[HD_UUID_TEXT_SIZE];
    const char *run_dir_seen; /* as the target sees them */
    const char *work_dir_seen;
    char warm_work_dir[HD_PATH_MAX];
    char *warm_line; /* NULL: the target runs for this job alone */
    struct hd_warm_job *warm;
    struct hd_err *err;
};

const char *plan_data_dir(const struct making *making); /* NULL: there is none */
enum hd_code plan_nomem(struct making *making);

/* plan_words.c: job->argv; job->env, and that of a target which is started before its job is known.
 */
HD_NODISCARD enum hd_code plan_make_argv(struct making *making, struct hd_engine_job *job);
HD_NODISCARD enum hd_code plan_make_envs(struct making *making, struct hd_engine_job *job);

#endif
