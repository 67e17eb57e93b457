/* SPDX-License-Identifier: Apache-2.0 */
/* A store, whichever kind it is. */
#include "store.h"

enum hd_code hd_artifact_store_open(const struct hd_artifact_place *place,
                                    const struct hd_artifact_access *access,
                                    struct hd_artifact_store **ret_store, struct hd_err *err)
{
    return place->s3 ? hd_s3_store_open(place, access, ret_store, err)
                     : hd_directory_store_open(place, ret_store, err);
}

void hd_artifact_store_close(struct hd_artifact_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

void hd_artifact_store_cancel(struct hd_artifact_store *store)
{
    if (store != NULL)
        atomic_store(&store->cancelled, true);
}

static enum hd_code check(const struct hd_artifact_store *store, struct hd_err *err)
{
    return atomic_load(&store->cancelled) ? hd_fail(err, HD_E_CANCELLED, "the transfer was ended")
                                          : HD_OK;
}

enum hd_code hd_artifact_put(struct hd_artifact_store *store, const char *key, const void *bytes,
                             size_t size, struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->put(store, key, bytes, size, err) : code;
}

enum hd_code hd_artifact_begin(struct hd_artifact_store *store, const char *key, char *ret_upload,
                               struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->begin(store, key, ret_upload, err) : code;
}

enum hd_code hd_artifact_part(struct hd_artifact_store *store, const char *key, const char *upload,
                              uint32_t number, const void *bytes, size_t size, char *ret_tag,
                              struct hd_err *err)
{
    hd_assert(number >= 1 && number <= HD_ARTIFACT_PARTS_MAX && size <= HD_ARTIFACT_PART_BYTES);
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->part(store, key, upload, number, bytes, size, ret_tag, err)
                         : code;
}

enum hd_code hd_artifact_finish(struct hd_artifact_store *store, const char *key,
                                const char *upload, const char (*tags)[HD_ARTIFACT_TAG_MAX],
                                uint32_t count, struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->finish(store, key, upload, tags, count, err) : code;
}

enum hd_code hd_artifact_abandon(struct hd_artifact_store *store, const char *key,
                                 const char *upload, struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->abandon(store, key, upload, err) : code;
}

enum hd_code hd_artifact_sweep(struct hd_artifact_store *store, const char *key,
                               uint32_t *ret_count, struct hd_err *err)
{
    enum hd_code code = check(store, err);
    *ret_count = 0;
    return code == HD_OK ? store->ops->sweep(store, key, ret_count, err) : code;
}

enum hd_code hd_artifact_get(struct hd_artifact_store *store, const char *key, uint64_t size_max,
                             hd_artifact_sink sink, void *context, struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->get(store, key, size_max, sink, context, err) : code;
}

enum hd_code hd_artifact_remove(struct hd_artifact_store *store, const char *key,
                                struct hd_err *err)
{
    enum hd_code code = check(store, err);
    return code == HD_OK ? store->ops->remove(store, key, err) : code;
}
