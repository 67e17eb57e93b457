/* SPDX-License-Identifier: Apache-2.0 */
/* store.h: the two kinds of stores behind hd/artifacts.h. Private to this room. */
#ifndef HD_ARTIFACTS_STORE_H
#define HD_ARTIFACTS_STORE_H

#include <hd/artifacts.h>

#include <stdatomic.h>

/* A kind of store; the arguments are those of the functions without `ops`. */
struct hd_artifact_ops {
    void (*close)(struct hd_artifact_store *store);
    enum hd_code (*put)(struct hd_artifact_store *store, const char *key, const void *bytes,
                        size_t size, struct hd_err *err);
    enum hd_code (*begin)(struct hd_artifact_store *store, const char *key, char *ret_upload,
                          struct hd_err *err);
    enum hd_code (*part)(struct hd_artifact_store *store, const char *key, const char *upload,
                         uint32_t number, const void *bytes, size_t size, char *ret_tag,
                         struct hd_err *err);
    enum hd_code (*finish)(struct hd_artifact_store *store, const char *key, const char *upload,
                           const char (*tags)[HD_ARTIFACT_TAG_MAX], uint32_t count,
                           struct hd_err *err);
    enum hd_code (*abandon)(struct hd_artifact_store *store, const char *key, const char *upload,
                            struct hd_err *err);
    enum hd_code (*sweep)(struct hd_artifact_store *store, const char *key, uint32_t *ret_count,
                          struct hd_err *err);
    enum hd_code (*get)(struct hd_artifact_store *store, const char *key, uint64_t size_max,
                        hd_artifact_sink sink, void *context, struct hd_err *err);
    enum hd_code (*remove)(struct hd_artifact_store *store, const char *key, struct hd_err *err);
};

/* Stands first in the struct of each kind. */
struct hd_artifact_store {
    const struct hd_artifact_ops *ops;
    struct hd_artifact_place place;
    atomic_bool cancelled;
};

HD_NODISCARD enum hd_code hd_directory_store_open(const struct hd_artifact_place *place,
                                                  struct hd_artifact_store **ret_store,
                                                  struct hd_err *err);

struct hd_artifact_access {
    char file[4096];    /* "" none */
    char endpoint[512]; /* without '/' at its end; "" Amazon's, by region */
    char region[64];
    char key_id[256], secret[256];
    char session[4096]; /* "" none */
    char ca_file[1024]; /* "" the system's */
};
HD_NODISCARD enum hd_code hd_s3_store_open(const struct hd_artifact_place *place,
                                           const struct hd_artifact_access *access,
                                           struct hd_artifact_store **ret_store,
                                           struct hd_err *err);

#endif
