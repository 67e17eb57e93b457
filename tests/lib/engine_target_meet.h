/* SPDX-License-Identifier: Apache-2.0 */
/* engine_target_meet.h: "meet NAME": connects to port 80 of the container of that name, and waits
 * until the file `gate` is there. */
#ifndef HD_ENGINE_TARGET_MEET_H
#define HD_ENGINE_TARGET_MEET_H

/* 0, or the exit code. */
int meet_service(const char *name, const char *gate);

#endif
