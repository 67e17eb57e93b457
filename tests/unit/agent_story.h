/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_story.h: stories of the agent. Each row is an event and the actions it must cause, both in
 * words:
 *
 *   @MS                     the clock (a TIMEOUT event when nothing follows)
 *   masters A=addr B=addr   the answer of a look-up
 *   M LANE#SEQ ANSWER       a reply of master number M: ok, nothing, done, stale, hello-first,
 *                           refused CODE, lease JOB.ATTEMPT; then any of accepted, rejected,
 *                           drain, echo=N, term=MS (of the lease), stop=J.A, cancel=J.A, drop=J.A
 *   M LANE#SEQ failed       no reply
 *   adopted ID J.A, ended J.A OUTCOME [from ID], points J.A COUNT, drain, leave [by=MS]
 */
#ifndef HD_AGENT_STORY_H
#define HD_AGENT_STORY_H

#include "testlib.h"

#include <hd/agent.h>

struct story_row {
    const char *event;
    const char *actions;
};

struct hd_agent *agent_of(struct hd_agent_options options); /* named, with a root and a host */
struct hd_agent *agent_with(uint32_t slots, const char *run_id, int64_t idle_timeout_ms);
struct hd_attempt_ref story_ref(const char *text); /* "JOB.ATTEMPT" */
/* One event; its actions are not looked at. */
void story_step(struct hd_agent *agent, const char *text, int64_t *now_ms);
void story_tell(struct hd_agent *agent, const struct story_row *rows, size_t count);

#define STORY(agent, ...)                                                                          \
    do {                                                                                           \
        static const struct story_row rows_[] = {__VA_ARGS__};                                     \
        story_tell(agent, rows_, HD_COUNT(rows_));                                                 \
    } while (0)

#endif
