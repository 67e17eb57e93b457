/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artifacts.h: files of attempts, shipped to a directory or an S3-compatible store and fetched from
 * it. Layer 3.
 *
 *   <prefix>/<run id>.<run uid>/<config id>/<job>-<attempt>/<path in the attempt's directory>
 *   <prefix>/<run id>.<run uid>/<config id>/<job>-<attempt>/hyperdock-artifacts.json
 *
 * The last one, the manifest, names every other one with its size and SHA-256. It is written when
 * all of them are there and removed before any of them: an attempt without it is not whole.
 *
 * Everything a target left is untrusted: it is opened component by component without following
 * links, must be a regular file, and is read within the limits below. So is what a store answers.
 */
#ifndef HD_ARTIFACTS_H
#define HD_ARTIFACTS_H

#include <hd/engine.h>
#include <hd/os.h>

#define HD_ARTIFACT_MANIFEST "hyperdock-artifacts.json"
#define HD_ARTIFACT_KEY_MAX 1024       /* bytes of a name in a store, as S3 has it */
#define HD_ARTIFACT_PATH_MAX 512       /* of a path in an attempt's directory */
#define HD_ARTIFACT_FILES_MAX 10000    /* of an attempt */
#define HD_ARTIFACT_ENTRIES_MAX 200000 /* that are looked at for them */
#define HD_ARTIFACT_DEPTH_MAX 32       /* of directories */
#define HD_ARTIFACT_FILE_BYTES_MAX (UINT64_C(1) << 36) /* 64 GiB, holes counted as bytes */
#define HD_ARTIFACT_BYTES_DEFAULT (UINT64_C(16) << 30) /* of an attempt, unless the worker says */
#define HD_ARTIFACT_PART_BYTES (8u * 1024u * 1024u)    /* larger files go in parts */
#define HD_ARTIFACT_PARTS_MAX 10000
#define HD_ARTIFACT_MANIFEST_BYTES_MAX (16u * 1024u * 1024u)
#define HD_ARTIFACT_LEFT_OUT_MAX 100 /* that a manifest names */
#define HD_ARTIFACT_QUEUE_MAX 10000  /* attempts that a worker has to ship or watches over */
#define HD_ARTIFACT_URL_MAX 1024
#define HD_ARTIFACT_TAG_MAX 256 /* bytes of an upload's id, and of a part's tag */

/* ---- where to ------------------------------------------------------------------------------- */

struct hd_artifact_place {
    char url[HD_ARTIFACT_URL_MAX]; /* as given, for people; it holds no secret */
    bool s3;
    char bucket[64];                /* S3 */
    char path[HD_ARTIFACT_URL_MAX]; /* the prefix in the bucket, or the directory; no '/' at its end
                                     */
};
/* "s3://BUCKET/PREFIX", "file:///DIR", "/DIR", "DIR". HD_E_INVALID says what would be right; a URL
 * with a user or a password in it is refused, since URLs are logged. */
HD_NODISCARD enum hd_code
hd_artifact_place_parse(const char *url, struct hd_artifact_place *ret_place, struct hd_err *err);
/* What HYPERDOCK_ARTIFACTS says: a place, or 0, off, no, false for nowhere. */
bool hd_artifacts_are_off(const char *environment);

/* ---- credentials ----------------------------------------------------------------------------- */

/*
 * Of an S3-compatible store, from a file of lines NAME=VALUE (one that others can read is refused)
 * over the environment: S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL; AWS_REGION or
 * AWS_DEFAULT_REGION (us-east-1); AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN;
 * AWS_CA_BUNDLE. Nothing is asked of the store. HD_E_NOTFOUND: there are none.
 */
struct hd_artifact_access;
HD_NODISCARD enum hd_code hd_artifact_access_load(const char *file,
                                                  struct hd_artifact_access **ret_access,
                                                  struct hd_err *err);
/* Reads the file again, if there is one; a failure leaves what was. */
HD_NODISCARD enum hd_code hd_artifact_access_refresh(struct hd_artifact_access *access,
                                                     struct hd_err *err);
void hd_artifact_access_free(struct hd_artifact_access *access); /* also of NULL */
/* Takes the secrets out of this process's environment, so that no target inherits them. Before
 * threads, after the load. */
void hd_artifact_access_hide(void);

/* ---- a store: one thread at a time ----------------------------------------------------------- */

struct hd_artifact_store;
/* The access is copied; NULL will do for a directory. Nothing is asked of the store yet. */
HD_NODISCARD enum hd_code hd_artifact_store_open(const struct hd_artifact_place *place,
                                                 const struct hd_artifact_access *access,
                                                 struct hd_artifact_store **ret_store,
                                                 struct hd_err *err);
void hd_artifact_store_close(struct hd_artifact_store *store); /* also of NULL */
/* Any thread: calls that are under way, and later ones, end with HD_E_CANCELLED. */
void hd_artifact_store_cancel(struct hd_artifact_store *store);

/*
 * Errors of a store: HD_E_NET, HD_E_TIMEOUT, HD_E_FULL, HD_E_IO: try again soon. HD_E_AUTH,
 * HD_E_NOTFOUND (the bucket), HD_E_UNSUPPORTED (the region): somebody has to mend it.
 * HD_E_CONFLICT: the upload in parts is unknown to it, begin anew. HD_E_INVALID, HD_E_LIMIT: not
 * with this object.
 */
HD_NODISCARD enum hd_code hd_artifact_put(struct hd_artifact_store *store, const char *key,
                                          const void *bytes, size_t size, struct hd_err *err);
/* A large object in parts of HD_ARTIFACT_PART_BYTES, the last one smaller; numbers from 1 on. An
 * upload can be gone on with by another process. ret_upload, ret_tag: HD_ARTIFACT_TAG_MAX bytes. */
HD_NODISCARD enum hd_code hd_artifact_begin(struct hd_artifact_store *store, const char *key,
                                            char *ret_upload, struct hd_err *err);
HD_NODISCARD enum hd_code hd_artifact_part(struct hd_artifact_store *store, const char *key,
                                           const char *upload, uint32_t number, const void *bytes,
                                           size_t size, char *ret_tag, struct hd_err *err);
HD_NODISCARD enum hd_code hd_artifact_finish(struct hd_artifact_store *store, const char *key,
                                             const char *upload,
                                             const char (*tags)[HD_ARTIFACT_TAG_MAX],
                                             uint32_t count, struct hd_err *err);
HD_NODISCARD enum hd_code hd_artifact_abandon(struct hd_artifact_store *store, const char *key,
                                              const char *upload, struct hd_err *err);
/* Ends every upload for this very key that was begun and not finished, whoever began it; how many
 * there were. Whatever fails, HD_E_AUTH too, may be only that the store does not tell them. */
HD_NODISCARD enum hd_code hd_artifact_sweep(struct hd_artifact_store *store, const char *key,
                                            uint32_t *ret_count, struct hd_err *err);
/* The bytes go to `sink` as they come, at most size_max; HD_E_NOTFOUND: there is none. A sink that
 * answers false ends it with HD_E_IO. */
typedef bool (*hd_artifact_sink)(void *context, const void *bytes, size_t size);
HD_NODISCARD enum hd_code hd_artifact_get(struct hd_artifact_store *store, const char *key,
                                          uint64_t size_max, hd_artifact_sink sink, void *context,
                                          struct hd_err *err);
/* One that is not there is fine. */
HD_NODISCARD enum hd_code hd_artifact_remove(struct hd_artifact_store *store, const char *key,
                                             struct hd_err *err);

/* ---- shipping -------------------------------------------------------------------------------- */

struct hd_shipper;

struct hd_shipper_settings {
    const char *directory; /* the queue: what is to be shipped, what has been; made when missing */
    const struct hd_artifact_place *place; /* NULL: shipping is off, what waits goes on waiting */
    struct hd_artifact_access *access;     /* borrowed; NULL: a directory needs none */
    uint64_t attempt_bytes_max;            /* 0: HD_ARTIFACT_BYTES_DEFAULT */
    bool manual;                           /* tests: no thread, hd_shipper_look() does it */
};
/* Takes up what an earlier process left. */
HD_NODISCARD enum hd_code hd_shipper_open(const struct hd_shipper_settings *settings,
                                          struct hd_shipper **ret_shipper, struct hd_err *err);
/* Ends a transfer that is under way; it is gone on with by the next process. */
void hd_shipper_close(struct hd_shipper *shipper);

struct hd_shipment {
    struct hd_attempt_ref attempt;
    const char *run_id;
    const char *config_id; /* "0-0-3" */
    const char *run_dir;   /* absolute */
    const struct hd_artifacts_spec *spec;
    double budget;
};
/*
 * None of these waits for a store, and a failure of theirs is a line in the log, never the job's:
 * begin: the attempt starts, or was found again; what its target has closed may be shipped from now
 * on. end: its result, with what it breaks of the constraints,
 * has been accepted; on disk when it returns. forget: its result does not
 * count, and what was shipped of it goes. settle: every attempt that is held has been told; of
 * those that were begun by an earlier process and are held no more nothing stays. NULL is fine.
 */
void hd_shipper_begin(struct hd_shipper *shipper, const struct hd_shipment *shipment);
void hd_shipper_end(struct hd_shipper *shipper, struct hd_attempt_ref attempt,
                    enum hd_outcome outcome, double loss, double violation);
void hd_shipper_forget(struct hd_shipper *shipper, struct hd_attempt_ref attempt);
void hd_shipper_settle(struct hd_shipper *shipper);
/* How many attempts that ended have something left to be shipped or removed. */
size_t hd_shipper_waiting(struct hd_shipper *shipper);
/* Becomes readable whenever hd_shipper_waiting() may have become 0; -1 for NULL. */
int hd_shipper_fd(const struct hd_shipper *shipper);
/* Is anything in this attempt's directory still to be shipped? By its path. */
bool hd_shipper_needs(struct hd_shipper *shipper, const char *run_dir);
/* "artifacts: 12 attempts shipped, 3 wait (s3://..: HTTP 503)"; "" for NULL. */
void hd_shipper_describe(struct hd_shipper *shipper, char *ret_text, size_t size);
/* One step of what the thread does: false when there is nothing to do now. For tests. */
bool hd_shipper_look(struct hd_shipper *shipper);
/* Does not wait for the time of the next try. For tests. */
void hd_shipper_hurry(struct hd_shipper *shipper);

/* What became of an attempt's files, beside its directory: <run_dir>.artifacts, JSON: "state"
 * (waiting, shipped, dropped, failed), "url", "files", "bytes", "left_out", "message". */
#define HD_ARTIFACT_STATUS_SUFFIX ".artifacts"
#define HD_ARTIFACT_STATUS_BYTES_MAX 65536u

/* ---- bringing home --------------------------------------------------------------------------- */

/* "run.00ab../0-0-3/7-1": what comes between the prefix and a path. */
HD_NODISCARD enum hd_code hd_artifact_base(const char *run_id, struct hd_attempt_ref attempt,
                                           const char *config_id, char *ret_base, size_t size,
                                           struct hd_err *err);
/* All files that the manifest names into the directory `to`, which exists and is empty; each is
 * compared with its SHA-256. HD_E_NOTFOUND: the store has no manifest of it. */
HD_NODISCARD enum hd_code hd_artifacts_fetch(struct hd_artifact_store *store, const char *base,
                                             const char *to, size_t *ret_files, uint64_t *ret_bytes,
                                             struct hd_err *err);

#endif
