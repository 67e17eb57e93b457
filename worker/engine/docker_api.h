/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_api.h: the requests that are made of a Docker engine, each as one call that returns.
 *
 * Codes: HD_OK; HD_E_NOTFOUND, HD_E_EXISTS as the engine says; HD_E_INVALID: refused, with the
 * engine's own words in the refusal; HD_E_NET: the engine is away or troubled, ask again later;
 * HD_E_CANCELLED: interrupted() became true.
 */
#ifndef HD_ENGINE_DOCKER_API_H
#define HD_ENGINE_DOCKER_API_H

#include "docker_http.h"
#include "docker_json.h"
#include "tar.h"

struct hd_docker_api {
    struct hd_docker_endpoint *endpoint;
    struct hd_docker_http *http;
    bool (*interrupted)(void *context); /* looked at whenever something happens or a wake comes */
    void *context;
};

struct hd_docker_refusal {
    int status; /* HTTP; 0: the error came inside a stream */
    char text[HD_MESSAGE_MAX];
};

/* Of a question that is asked first: HD_E_NET says what to do about an engine that is not there.
 * Other codes pass. */
enum hd_code hd_docker_absent(const struct hd_docker_api *api, enum hd_code code,
                              struct hd_err *err);
/* Agrees on a version. As hd_docker_absent() when nothing answers. */
HD_NODISCARD enum hd_code hd_docker_negotiate(struct hd_docker_api *api, struct hd_err *err);
/* Likewise. */
HD_NODISCARD enum hd_code hd_docker_describe(struct hd_docker_api *api,
                                             struct hd_docker_info *ret_info, struct hd_err *err);
/* limit_ms 0: as long as any short call may take. */
HD_NODISCARD enum hd_code hd_docker_list(struct hd_docker_api *api, const char *worker,
                                         int64_t limit_ms, struct hd_engine_found *found,
                                         size_t found_max, size_t *ret_count, struct hd_err *err);
/* Those of this worker that were made before their job was known. */
HD_NODISCARD enum hd_code hd_docker_list_aheads(struct hd_docker_api *api, const char *worker,
                                                struct hd_docker_found_ahead *found,
                                                size_t found_max, size_t *ret_count,
                                                struct hd_err *err);
/* HD_E_EXISTS: the name is taken. */
HD_NODISCARD enum hd_code hd_docker_rename(struct hd_docker_api *api, const char *id,
                                           const char *name, struct hd_err *err);
/* HD_OK with its id, or HD_E_NOTFOUND; HD_E_NET also when the engine is troubled. ret_id:
 * HD_IMAGE_ID_MAX bytes. */
HD_NODISCARD enum hd_code hd_docker_image_id(struct hd_docker_api *api, const char *image,
                                             char *ret_id, struct hd_err *err);
/* Whether it says by its label that its targets stay; codes as above. */
HD_NODISCARD enum hd_code hd_docker_image_warm(struct hd_docker_api *api, const char *image,
                                               bool *ret_warm, struct hd_err *err);
/* What a container of it runs: see hd_docker_parse_image_words(). */
HD_NODISCARD enum hd_code hd_docker_image_words(struct hd_docker_api *api, const char *image,
                                                char *const *argv, struct hd_arena *arena,
                                                char *const **ret_words, struct hd_err *err);
/* registry_auth: NULL none. The stream, which the caller zeroes, shows how far it is while the call
 * lasts. HD_E_TIMEOUT: nothing came for stall_ms. */
HD_NODISCARD enum hd_code hd_docker_pull(struct hd_docker_api *api, const char *image,
                                         const char *registry_auth, int64_t stall_ms,
                                         struct hd_docker_pull_stream *stream,
                                         struct hd_docker_refusal *refusal, struct hd_err *err);
/* Likewise with the login that this user has, and without a word until it is here; a login that
 * cannot be had is none. */
HD_NODISCARD enum hd_code hd_docker_pull_once(struct hd_docker_api *api, const char *image,
                                              struct hd_docker_refusal *refusal,
                                              struct hd_err *err);
/* The tar archive in `fd`, from its beginning, as an image's directory. The stream, which the
 * caller zeroes, hears what the build says. HD_E_INVALID: it failed, with what it said last. */
HD_NODISCARD enum hd_code hd_docker_build(struct hd_docker_api *api, const char *image,
                                          const char *dockerfile, int fd,
                                          struct hd_docker_pull_stream *stream, struct hd_err *err);
/* Another name for an image that is there. */
HD_NODISCARD enum hd_code hd_docker_tag(struct hd_docker_api *api, const char *id,
                                        const char *repository, const char *tag,
                                        struct hd_err *err);
/* An image as a tar archive into `fd`; HD_E_LIMIT beyond HD_IMAGE_BYTES_MAX. */
HD_NODISCARD enum hd_code hd_docker_save(struct hd_docker_api *api, const char *image, int fd,
                                         int64_t stall_ms, struct hd_err *err);
/* The archive in `fd`, from its beginning, into the engine. */
HD_NODISCARD enum hd_code hd_docker_load(struct hd_docker_api *api, int fd, int64_t stall_ms,
                                         struct hd_docker_pull_stream *stream, struct hd_err *err);
/* The archive in `fd`, from its beginning, below a directory of a container, whether it runs or
 * not. HD_E_NOTFOUND: no such container or directory. */
HD_NODISCARD enum hd_code hd_docker_put_archive(struct hd_docker_api *api, const char *id,
                                                const char *path, int fd, int64_t stall_ms,
                                                struct hd_docker_refusal *refusal,
                                                struct hd_err *err);
/* A file or directory of a container, whether it runs or not, as an archive whose first name is
 * the last one of the path. HD_E_NOTFOUND: it is not there; the reader's own codes when it does not
 * like what comes. */
HD_NODISCARD enum hd_code hd_docker_get_archive(struct hd_docker_api *api, const char *id,
                                                const char *path, int64_t stall_ms,
                                                struct hd_tar_reader *reader, struct hd_err *err);
/* HD_E_EXISTS: the name is taken; HD_E_NOTFOUND: no such image. */
HD_NODISCARD enum hd_code hd_docker_create(struct hd_docker_api *api, const char *name,
                                           const char *body, char *ret_id,
                                           struct hd_docker_refusal *refusal, struct hd_err *err);
/* Also HD_OK when it runs already. */
HD_NODISCARD enum hd_code hd_docker_start(struct hd_docker_api *api, const char *id,
                                          struct hd_docker_refusal *refusal, struct hd_err *err);
/* To a network beside the one that it was made in; HD_OK also when it is in it already. */
HD_NODISCARD enum hd_code hd_docker_connect(struct hd_docker_api *api, const char *id,
                                            const char *network, struct hd_docker_refusal *refusal,
                                            struct hd_err *err);
HD_NODISCARD enum hd_code hd_docker_inspect(struct hd_docker_api *api, const char *id,
                                            struct hd_docker_container *ret_container,
                                            struct hd_err *err);
/* Kills it when it runs. HD_OK also when it is not there; HD_E_BUSY while it is being removed. */
HD_NODISCARD enum hd_code hd_docker_remove(struct hd_docker_api *api, const char *id,
                                           struct hd_err *err);
/* Any other request; JSON or NULL goes along. The caller releases *ret_body on HD_OK, whatever the
 * status. */
HD_NODISCARD enum hd_code hd_docker_ask(struct hd_docker_api *api, const char *method,
                                        const char *path, const char *body, int *ret_status,
                                        struct hd_buf *ret_body, struct hd_err *err);
/* A status that was not hoped for, in the engine's words. */
enum hd_code hd_docker_refused(int status, const struct hd_buf *body, const char *what,
                               struct hd_err *err);
/* What the container's init said when it could not execute the command; false when it could. */
bool hd_docker_init_failure(struct hd_docker_api *api, const char *id, char *ret_text,
                            size_t text_size);

#endif
