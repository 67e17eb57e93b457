/* SPDX-License-Identifier: Apache-2.0 */
/* services.h: the parts of services over a Docker engine. Private to this room. */
#ifndef HD_ENGINE_SERVICES_H
#define HD_ENGINE_SERVICES_H

#include "docker_api.h"

#include <hd/services.h>

#define SERVICES_LABEL "hyperdock.services"
#define SERVICES_FILE_LABEL "hyperdock.services.file"
#define SERVICES_HOST_LABEL "hyperdock.services.host"
#define SERVICES_LAYER_LABEL "hyperdock.services.layer"
#define SERVICES_NAME_LABEL "hyperdock.services.name"

/* ---- services_write.c: what the engine is asked for; pure ------------------------------------ */

HD_NODISCARD enum hd_code services_write_container(const struct hd_service *service,
                                                   const struct hd_services_options *options,
                                                   struct hd_buf *out, struct hd_err *err);
HD_NODISCARD enum hd_code services_write_network(const char *name,
                                                 const struct hd_services_options *options,
                                                 struct hd_buf *out, struct hd_err *err);
HD_NODISCARD enum hd_code services_write_connect(const struct hd_service *service, const char *id,
                                                 struct hd_buf *out, struct hd_err *err);
/* What the engine calls them; `name` may be where the text is written. */
const char *services_network_name(const struct hd_services_options *options, const char *network,
                                  char name[HD_SERVICES_NAME_SIZE]);
const char *services_container_name(const struct hd_services_options *options, const char *service,
                                    char name[HD_SERVICES_NAME_SIZE]);
/* The query "filters={...}" for a label and, unless it is NULL, the host, escaped. */
HD_NODISCARD enum hd_code services_write_filter(const char *label, const char *value,
                                                const char *host, char *ret_text, size_t text_size,
                                                struct hd_err *err);
/* GET /containers/json. */
HD_NODISCARD enum hd_code services_parse_list(const char *text, size_t size,
                                              struct hd_service_found **ret_found,
                                              size_t *ret_count, struct hd_err *err);

/* ---- services_ready.c ------------------------------------------------------------------------ */

/* Waits until the service is what its plan calls ready. HD_E_CONFLICT: it ended, or will never be;
 * HD_E_TIMEOUT; the text tells its last words. */
HD_NODISCARD enum hd_code services_await(struct hd_docker_api *api,
                                         const struct hd_service *service, const char *id,
                                         struct hd_err *err);

/* ---- services.c ------------------------------------------------------------------------------ */

/* Waits until all of them, which are there, are ready: whoever made them may have been killed
 * before they were. */
HD_NODISCARD enum hd_code services_await_all(const struct hd_services *plan,
                                             const struct hd_service_found *found, size_t count,
                                             const struct hd_services_options *options,
                                             struct hd_err *err);

#endif
