/* SPDX-License-Identifier: Apache-2.0 */
/* docker_api_internal.h: a request and its answer, for those who speak to the engine. */
#ifndef HD_DOCKER_API_INTERNAL_H
#define HD_DOCKER_API_INTERNAL_H

#include "docker_api.h"

struct docker_reply {
    int status;
    struct hd_buf body;
    char api_version[16];
    bool libpod;
};

/* One request to its end, with a version that the engine speaks now. An archive is not sent twice.
 * The caller releases ret_reply->body on HD_OK only. */
HD_NODISCARD enum hd_code docker_perform(struct hd_docker_api *api,
                                         const struct hd_docker_request *request,
                                         struct docker_reply *ret_reply, struct hd_err *err);
/* An answer that is not the hoped-for one: fills refusal and says which kind it is. */
enum hd_code docker_refuse(struct docker_reply *reply, const char *what,
                           struct hd_docker_refusal *refusal, struct hd_err *err);

#endif
