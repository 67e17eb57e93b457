/* SPDX-License-Identifier: Apache-2.0 */
/* driver_internal.h: what serves the driver beside its loop: views, files for workers, and the
 * threads of samplers and of the registrar at the nameserver. */
#ifndef HD_DRIVER_INTERNAL_H
#define HD_DRIVER_INTERNAL_H

#include <hd/driver.h>

/* ---- answer.c: views of a live master's store ------------------------------------------------ */

HD_NODISCARD enum hd_code hd_read_view(const char *store_path, const struct hd_request *request,
                                       struct hd_buf *json, struct hd_err *err);

/* ---- live.c: views of what the master knows and the store does not: why a run waits ("waits"),
 * which workers answered a test ("test") ---------------------------------------------------- */

bool hd_is_live_view(const char *view);
HD_NODISCARD enum hd_code hd_read_live_view(const struct hd_core *core,
                                            const struct hd_request *request, int64_t now_ms,
                                            int64_t wall_ms, struct hd_buf *json,
                                            struct hd_err *err);

/* ---- needs.c: what work directories are needed for ("needs") ----------------------------------
 */

/* {"need": [...]}, in the order of the question. HD_E_INVALID, HD_E_LIMIT: it is none. */
HD_NODISCARD enum hd_code hd_read_needs(const struct hd_core *core, const char *question,
                                        struct hd_buf *json, struct hd_err *err);

#define HD_RUNS_ASKED_MAX 64
/* {"over": [true, false, null]}: whether the runs are over, or paused; null: not known here. */
HD_NODISCARD enum hd_code hd_read_over(const struct hd_core *core, const char *question,
                                       struct hd_buf *json, struct hd_err *err);

/* ---- shelf.c: images for workers ------------------------------------------------------------- */

struct hd_shelf;
/* The directory is made when it is needed and removed at the end. */
HD_NODISCARD enum hd_code hd_shelf_new(const char *directory, struct hd_shelf **ret_shelf,
                                       struct hd_err *err);
void hd_shelf_free(struct hd_shelf *shelf);
/* {"wait":true}, or {"id", "size", "offset", "data"}: a piece in base64. Does not block for longer
 * than reading a piece takes. HD_E_NOTFOUND: this machine's engine does not have it. */
HD_NODISCARD enum hd_code hd_shelf_read(struct hd_shelf *shelf, const char *name, uint64_t offset,
                                        struct hd_buf *json, struct hd_err *err);

/* ---- piece.c: files for workers, piece by piece ---------------------------------------------- */

/* {"id", "size", "offset", "data"}: what is there from `offset` on, in base64. */
HD_NODISCARD enum hd_code hd_piece_read(int fd, uint64_t size, const char *id, uint64_t offset,
                                        struct hd_buf *json, struct hd_err *err);
/* Of the archive that hd_code_keep() has kept. HD_E_NOTFOUND: nobody has. */
HD_NODISCARD enum hd_code hd_code_piece_read(const char *store_path, const char *hash,
                                             uint64_t offset, struct hd_buf *json,
                                             struct hd_err *err);

/* ---- actor.c: one sampler a run, in a thread of its own where it takes time -------------------
 */

struct hd_actor;
struct hd_suggestion {          /* what an actor pushes on the driver's queue; free with hd_free */
    struct hd_suggestion *next; /* for whoever holds it */
    uint32_t run;
    uint32_t config;
    uint64_t cut;
    bool exhausted;
    struct hd_proposal_info info;
    size_t value_count;
    double values[];
};
/* space, name and settings are borrowed and outlive the actor. */
HD_NODISCARD enum hd_code hd_actor_new(uint32_t run, const struct hd_run_view *view,
                                       struct hd_queue *answers, struct hd_actor **ret_actor,
                                       struct hd_err *err);
/* History: before start directly into the sampler, afterwards through its mailbox, in order. */
HD_NODISCARD enum hd_code hd_actor_add(struct hd_actor *actor, uint32_t config,
                                       const double *values, const char *proposed_by,
                                       struct hd_err *err);
HD_NODISCARD enum hd_code hd_actor_tell(struct hd_actor *actor, uint32_t config, double budget,
                                        const struct hd_score *score, struct hd_err *err);
HD_NODISCARD enum hd_code hd_actor_start(struct hd_actor *actor, struct hd_err *err);
/* *ret_suggestion: the answer of a sampler that needs no thread; NULL: it comes on the queue. */
HD_NODISCARD enum hd_code hd_actor_ask(struct hd_actor *actor, const struct hd_ask *ask,
                                       struct hd_suggestion **ret_suggestion, struct hd_err *err);
void hd_actor_free(struct hd_actor *actor); /* stops and joins */

/* ---- registrar.c: keeps the nameserver informed
 * -------------------------------------------------- */

struct hd_registrar;
/* Registers once before it returns: HD_E_EXISTS and HD_E_AUTH are final, an absent nameserver
 * is not (the thread goes on trying). */
HD_NODISCARD enum hd_code hd_registrar_start(const char *nameserver, const char *master_id,
                                             const char *address, struct hd_keyring *keyring,
                                             const struct hd_net_security *security,
                                             int64_t period_ms, const char *const *runs,
                                             size_t run_count, struct hd_registrar **ret_registrar,
                                             struct hd_err *err);
void hd_registrar_set_runs(struct hd_registrar *registrar, const char *const *runs,
                           size_t run_count);
void hd_registrar_stop(struct hd_registrar *registrar); /* unregisters */

#endif
