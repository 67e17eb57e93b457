/* SPDX-License-Identifier: Apache-2.0 */
/* real_docker.h: whether a Docker engine answers here, and a small image on it, without registry.
 */
#ifndef HD_REAL_DOCKER_H
#define HD_REAL_DOCKER_H

#include <hd/base.h>

/* An engine at $DOCKER_HOST or the default socket. */
bool real_docker_answers(void);
/* An image that holds nothing but `program` as /target, which is its entry point too when wanted;
 * HD_E_NET when no engine answers. */
HD_NODISCARD enum hd_code real_docker_import(const char *program, const char *repository,
                                             const char *tag, bool entry_point, struct hd_err *err);
/* The same with other settings: "&changes=" and a line of a Dockerfile, escaped for an address,
 * any number of times. */
HD_NODISCARD enum hd_code real_docker_import_with(const char *program, const char *repository,
                                                  const char *tag, const char *changes,
                                                  struct hd_err *err);
void real_docker_remove_image(const char *repository, const char *tag);
/* Sends SIGKILL to a container past the engine under test. */
HD_NODISCARD enum hd_code real_docker_kill(const char *name, struct hd_err *err);

#endif
