/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_target_warm.h: engine_target as a warm target. Its jobs say in the param `do` what becomes
 * of them:
 *
 *   answer       {"loss": 0.5, "done": N}: N jobs in this process, from 1 on; prints "job ID"
 *   points       two points and a sign of life before
 *   files        loss 1 when work/kept was there already, else 0; makes it and out/result
 *   nan          a loss as printf writes it
 *   env          prints $TEST_WARM and answers
 *   exit N       ends with N in the middle
 *   last         answers, and ends with 0
 *   hang         nothing, for ever
 *   obey         answers once control/stop is there
 *   foreign      answers for another job
 *   twice        answers twice
 *   garbage N    N lines that are no JSON, then the answer
 *   endless      a line without an end
 *   hang-up      closes the connection and stays
 *   traps        puts links to / in the place of out and work, and answers
 *   memory N     keeps N bytes more, and answers
 */
#ifndef HD_ENGINE_TARGET_WARM_H
#define HD_ENGINE_TARGET_WARM_H

/* "stops": says that it obeys control/stop; "deaf": never connects. */
int serve_warm(const char *how);

#endif
