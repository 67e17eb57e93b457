/* SPDX-License-Identifier: Apache-2.0 */
/* The words of facts and messages, as people and the wire read them. */
#include <hd/message.h>

#include <string.h>

const char *hd_outcome_name(enum hd_outcome outcome)
{
    switch (outcome) {
    case HD_OUTCOME_OK:
        return "ok";
    case HD_OUTCOME_FAILED:
        return "failed";
    case HD_OUTCOME_DIVERGED:
        return "diverged";
    case HD_OUTCOME_NO_RESULT:
        return "no-result";
    case HD_OUTCOME_TIMEOUT:
        return "timeout";
    case HD_OUTCOME_OOM:
        return "oom";
    case HD_OUTCOME_CANCELLED:
        return "cancelled";
    case HD_OUTCOME_STOPPED:
        return "stopped";
    case HD_OUTCOME_PREEMPTED:
        return "preempted";
    case HD_OUTCOME_CONFIG_ERROR:
        return "config-error";
    case HD_OUTCOME_INFRA:
        return "infra";
    case HD_OUTCOME_COUNT:
        break;
    }
    return "unknown";
}

bool hd_outcome_parse(const char *name, enum hd_outcome *ret_outcome)
{
    for (int i = 0; i < HD_OUTCOME_COUNT; i++) {
        if (strcmp(name, hd_outcome_name((enum hd_outcome)i)) == 0) {
            *ret_outcome = (enum hd_outcome)i;
            return true;
        }
    }
    if (strcmp(name, "fail") != 0)
        return false;
    *ret_outcome = HD_OUTCOME_FAILED;
    return true;
}

enum hd_race_end hd_outcome_race_end(enum hd_outcome outcome)
{
    switch (outcome) {
    case HD_OUTCOME_OK:
        return HD_RACE_END_OK;
    case HD_OUTCOME_FAILED:
    case HD_OUTCOME_DIVERGED:
    case HD_OUTCOME_NO_RESULT:
    case HD_OUTCOME_TIMEOUT:
    case HD_OUTCOME_OOM:
        return HD_RACE_END_FAILED;
    case HD_OUTCOME_CANCELLED:
    case HD_OUTCOME_STOPPED:
    case HD_OUTCOME_PREEMPTED:
    case HD_OUTCOME_CONFIG_ERROR:
    case HD_OUTCOME_INFRA:
    case HD_OUTCOME_COUNT:
        break;
    }
    return HD_RACE_END_LOST;
}

const char *hd_run_state_name(enum hd_run_state state)
{
    switch (state) {
    case HD_RUN_ACTIVE:
        return "active";
    case HD_RUN_CLOSING:
        return "closing";
    case HD_RUN_PAUSED:
        return "paused";
    case HD_RUN_FINISHED:
        return "finished";
    case HD_RUN_CANCELLED:
        return "cancelled";
    case HD_RUN_STATE_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_command_op_name(enum hd_command_op op)
{
    switch (op) {
    case HD_COMMAND_PAUSE_RUN:
        return "pause-run";
    case HD_COMMAND_RESUME_RUN:
        return "resume-run";
    case HD_COMMAND_CANCEL_RUN:
        return "cancel-run";
    case HD_COMMAND_CANCEL_JOB:
        return "cancel-job";
    case HD_COMMAND_SET_LIMIT:
        return "set-limit";
    case HD_COMMAND_PAUSE_WORKER:
        return "pause-worker";
    case HD_COMMAND_RESUME_WORKER:
        return "resume-worker";
    case HD_COMMAND_DRAIN_WORKER:
        return "drain-worker";
    case HD_COMMAND_SHUTDOWN_WORKER:
        return "shutdown-worker";
    case HD_COMMAND_REQUEUE_JOB:
        return "requeue-job";
    case HD_COMMAND_SET_IMAGE:
        return "set-image";
    case HD_COMMAND_OP_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_worker_state_name(enum hd_worker_state state)
{
    switch (state) {
    case HD_WORKER_ACTIVE:
        return "active";
    case HD_WORKER_PAUSED:
        return "paused";
    case HD_WORKER_QUARANTINED:
        return "quarantined";
    case HD_WORKER_DRAINING:
        return "draining";
    case HD_WORKER_LEAVING:
        return "leaving";
    case HD_WORKER_STATE_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_limit_name(enum hd_limit limit)
{
    switch (limit) {
    case HD_LIMIT_CONFIGS:
        return "configs";
    case HD_LIMIT_JOBS:
        return "jobs";
    case HD_LIMIT_FULL_EVALUATIONS:
        return "full_evaluations";
    case HD_LIMIT_ITERATIONS:
        return "iterations";
    case HD_LIMIT_TIME:
        return "time";
    case HD_LIMIT_FAILURES:
        return "failures";
    case HD_LIMIT_BUDGET:
        return "budget";
    case HD_LIMIT_NO_IMPROVEMENT:
        return "no_improvement";
    case HD_LIMIT_GOAL:
        return "goal";
    case HD_LIMIT_PARALLEL:
        return "parallel";
    case HD_LIMIT_PRIORITY:
        return "priority";
    case HD_LIMIT_COUNT:
        break;
    }
    return "unknown";
}

bool hd_limit_parse(const char *name, enum hd_limit *ret_limit)
{
    for (int i = 0; i < HD_LIMIT_COUNT; i++) {
        if (strcmp(name, hd_limit_name((enum hd_limit)i)) == 0) {
            *ret_limit = (enum hd_limit)i;
            return true;
        }
    }
    return false;
}

const char *hd_fact_kind_name(enum hd_fact_kind kind)
{
    switch (kind) {
    case HD_FACT_RUN_CREATED:
        return "run-created";
    case HD_FACT_CONFIG_PROPOSED:
        return "config-proposed";
    case HD_FACT_JOB_QUEUED:
        return "job-queued";
    case HD_FACT_ATTEMPT_LEASED:
        return "attempt-leased";
    case HD_FACT_CURVE_POINT:
        return "curve-point";
    case HD_FACT_ATTEMPT_ENDED:
        return "attempt-ended";
    case HD_FACT_REPORT_REFUSED:
        return "report-refused";
    case HD_FACT_COMMAND_GIVEN:
        return "command-given";
    case HD_FACT_RUN_STATE:
        return "run-state";
    case HD_FACT_WORKER_STATE:
        return "worker-state";
    case HD_FACT_KIND_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_request_kind_name(enum hd_request_kind kind)
{
    switch (kind) {
    case HD_REQUEST_HELLO:
        return "hello";
    case HD_REQUEST_LEASE:
        return "lease";
    case HD_REQUEST_PING:
        return "ping";
    case HD_REQUEST_REPORT:
        return "report";
    case HD_REQUEST_BYE:
        return "bye";
    case HD_REQUEST_SUBMIT:
        return "submit";
    case HD_REQUEST_COMMAND:
        return "command";
    case HD_REQUEST_VIEW:
        return "view";
    case HD_REQUEST_TEST:
        return "test";
    case HD_REQUEST_KIND_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_reply_kind_name(enum hd_reply_kind kind)
{
    switch (kind) {
    case HD_REPLY_OK:
        return "ok";
    case HD_REPLY_LEASE:
        return "lease";
    case HD_REPLY_NOTHING:
        return "nothing";
    case HD_REPLY_DONE:
        return "done";
    case HD_REPLY_STALE:
        return "stale";
    case HD_REPLY_HELLO_FIRST:
        return "hello-first";
    case HD_REPLY_REFUSED:
        return "refused";
    case HD_REPLY_VIEW:
        return "view";
    case HD_REPLY_KIND_COUNT:
        break;
    }
    return "unknown";
}

const char *hd_need_name(enum hd_need need)
{
    switch (need) {
    case HD_NEED_UNKNOWN:
        return "unknown";
    case HD_NEED_STATE:
        return "state";
    case HD_NEED_BEST:
        return "best";
    case HD_NEED_ROOM:
        return "room";
    case HD_NEED_NOTHING:
        return "nothing";
    case HD_NEED_COUNT:
        break;
    }
    return "unknown";
}

bool hd_attempt_ref_same(struct hd_attempt_ref a, struct hd_attempt_ref b)
{
    return hd_attempt_ref_equal(a, b) && (a.stamp == b.stamp || a.stamp == 0 || b.stamp == 0);
}

bool hd_attempt_ref_equal(struct hd_attempt_ref a, struct hd_attempt_ref b)
{
    return a.run_uid == b.run_uid && a.job == b.job && a.attempt == b.attempt;
}
