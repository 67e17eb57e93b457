/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.h: the files between a worker and its targets; docs/target-contract.md is the version
 * for people. Layer 3: files only, no engine, no network.
 *
 *   <root>/.hyperdock-root          random id: two workers that see one marker share the disk
 *   <root>/.hyperdock-workers/<id>/ the worker's own state, locked while it runs
 *   <root>/<run id>/.hyperdock-run  which run this is: a run id may be used again by another store
 *   <root>/<run id>/cfg/<dir>/      -> /hyperdock/work, one a config, kept across budgets, retries
 *   <root>/<run id>/cfg/<dir>.owner the worker that may go on in it
 *   <root>/<run id>/cfg/<dir>.left  the last grant in it whose result a master has accepted
 *   <root>/<run id>/run/<job>-<attempt>/  -> /hyperdock, fresh for each attempt
 *
 * Everything a target can write is untrusted: it is opened without following links, must be a
 * regular file, and is read within limits.
 */
#ifndef HD_CONTRACT_H
#define HD_CONTRACT_H

#include <hd/engine.h>

#define HD_PATH_MAX 4096
#define HD_LOSS_BYTES_MAX (1024u * 1024u)
#define HD_METRICS_LINE_MAX 65536u                /* a longer line is skipped */
#define HD_METRICS_POLL_BYTES_MAX (1024u * 1024u) /* read in one poll */
#define HD_WORK_BYTES_MAX (UINT64_C(1) << 40)     /* of data in a work directory that is copied */
#define HD_WORKER_SLOTS_MAX 1024                  /* workers of one host on one root */
#define HD_OWN_ENTRIES_MAX 1000000u
#define HD_OWN_DEPTH_MAX 64
#define HD_UUID_TEXT_SIZE 17

/* ---- the work root -------------------------------------------------------------------------- */

struct hd_root {
    char path[HD_PATH_MAX];  /* absolute, links resolved */
    char id[HD_ROOT_ID_MAX]; /* from the marker */
    bool is_root;            /* we are root: what targets leave is given to the owner of `path` */
    uid_t uid;
    gid_t gid;
};
/* Makes the directory (0700) and its marker when they are missing. */
HD_NODISCARD enum hd_code hd_root_open(const char *path, struct hd_root *ret_root,
                                       struct hd_err *err);

/* A worker's name, held for as long as it runs. */
struct hd_seat {
    char worker[HD_WORKER_ID_MAX];
    char state_dir[HD_PATH_MAX];
    uint64_t incarnation; /* higher than that of any earlier process with this name */
    struct hd_lock_file *lock;
};
/* id NULL: "<host>-<part of the root's id>-<lowest free number>". HD_E_BUSY when the id given is in
 * use. */
HD_NODISCARD enum hd_code hd_seat_take(const struct hd_root *root, const char *host, const char *id,
                                       struct hd_seat *ret_seat, struct hd_err *err);
void hd_seat_release(struct hd_seat *seat);
/* A small file anywhere in the root: whole or as before for every process. What a kill leaves of it
 * lies in the worker's own directory, where its next process removes it. */
HD_NODISCARD enum hd_code hd_seat_write(const struct hd_root *root, const char *worker,
                                        const char *path, const char *text, struct hd_err *err);

/* ---- the directories of an attempt ---------------------------------------------------------- */

#define HD_GONE_PREFIX ".gone-" /* a directory that was renamed, to be removed */
/* The name that a directory gets for that, or for another reason. False: it is too long. */
HD_NODISCARD bool hd_prefixed_path(const char *directory, const char *prefix,
                                   char ret_path[HD_PATH_MAX]);

enum hd_start { HD_START_FRESH, HD_START_IN_PLACE, HD_START_COPY };

struct hd_workspace {
    char run_dir[HD_PATH_MAX];
    char work_dir[HD_PATH_MAX];
    char directory[HD_DIR_NAME_MAX]; /* name of work_dir, for the result */
    enum hd_start start;
    char copied_from[HD_PATH_MAX]; /* COPY: superseded once the result is accepted */
    double budget_previous;        /* NaN when it starts fresh, whatever the lease says */
};
/*
 * Makes both directories. The lease's directory goes on in place when this worker wrote it last
 * (the caller has made sure that no older attempt runs in it), as a copy when another worker did,
 * and when it is not on this root or not there any more the target starts from the start.
 */
HD_NODISCARD enum hd_code hd_workspace_make(const struct hd_root *root, const char *worker,
                                            const struct hd_lease *lease,
                                            struct hd_workspace *ret_workspace, struct hd_err *err);
/* Where the lease's directory is on this root, whether it is there or not. */
HD_NODISCARD enum hd_code hd_workspace_path(const struct hd_root *root,
                                            const struct hd_lease *lease,
                                            char ret_path[HD_PATH_MAX], struct hd_err *err);
/*
 * A state of another root that comes by the way of the master: *_begin makes an empty directory for
 * it in the worker's own one, on the same disk, and tells its path; *_end puts it in its place, as
 * a directory that this worker wrote last and that has been trained to `budget` (NaN: to none), and
 * tells its name. With that, this root and this worker in the lease, hd_workspace_make() goes on in
 * it.
 */
HD_NODISCARD enum hd_code hd_workspace_import_begin(const char *state_dir,
                                                    const struct hd_lease *lease,
                                                    char ret_path[HD_PATH_MAX], struct hd_err *err);
HD_NODISCARD enum hd_code hd_workspace_import_end(const struct hd_root *root, const char *worker,
                                                  const char *path, double budget,
                                                  const struct hd_lease *lease,
                                                  char ret_directory[HD_DIR_NAME_MAX],
                                                  struct hd_err *err);
/* What came or was copied only in part goes, as of a process that died. */
void hd_workspace_import_clear(const char *state_dir);
/* Who wrote it last, and whether that is this worker. */
bool hd_workspace_is_owner(const char *work_dir, const char *worker);
/* Its state has been trained to this budget: said before the result is told. */
void hd_workspace_reach(const char *work_dir, const char *worker, double budget);
/* NaN: none. */
double hd_workspace_reached(const char *work_dir);
/* Its config has been evaluated at its highest budget: it goes before others when room is
 * needed. */
void hd_workspace_finish(const char *work_dir, const char *worker);
bool hd_workspace_is_finished(const char *work_dir);
/* The last grant in it that was acknowledged, by which its master knows it; `kept` is the
 * experiment's keep_work. */
struct hd_left_by {
    struct hd_attempt_ref attempt;
    uint32_t kept;
};
/* A failure leaves the directory for a person, or a limit, to remove. */
void hd_workspace_leave(const struct hd_root *root, const char *worker, const char *work_dir,
                        const struct hd_left_by *left);
bool hd_workspace_left_by(const char *work_dir, struct hd_left_by *ret_left);
/* Where what `attempt` left is, when that is this worker's and no other grant was acknowledged in
 * it since; false: nowhere. */
bool hd_workspace_find(const struct hd_root *root, const char *worker,
                       struct hd_attempt_ref attempt, char ret_path[HD_PATH_MAX]);
/* The files beside it go. */
void hd_workspace_forget(const char *work_dir);
/* It has just been used. */
void hd_workspace_touch(const char *work_dir);
/* The work directory of an attempt that is fenced or was refused: removed when the attempt made it,
 * left when it is the config's. Failure leaves rubbish, no harm. */
void hd_workspace_discard(const struct hd_workspace *workspace);
/* The work directory becomes another one with the same content and the same name: whoever may
 * still write into the old one writes into the void. HD_E_NOTFOUND: there is none. A kill in it
 * leaves what hd_workspace_recover() puts right. */
HD_NODISCARD enum hd_code hd_workspace_renew(const struct hd_root *root, const char *worker,
                                             const struct hd_workspace *workspace,
                                             struct hd_err *err);
/* After the death of a process that may have been renewing it: it is there under its name. */
void hd_workspace_recover(const char *work_dir);
/* Where an attempt's directory is, whichever run it was of. HD_E_NOTFOUND: it is not there. */
HD_NODISCARD enum hd_code hd_run_dir_find(const struct hd_root *root, struct hd_attempt_ref attempt,
                                          char ret_path[HD_PATH_MAX], struct hd_err *err);
/* Asks a target to stop cleanly: run_dir/control/stop. */
void hd_workspace_ask_stop(const char *run_dir);
bool hd_workspace_asked_stop(const char *run_dir);
/* As root: what the target left is made the owner's, and what the owner may, the image's user may
 * too (it has to go on with it at the next budget). Otherwise nothing. Follows no links. */
void hd_workspace_own(const struct hd_root *root, const char *directory);

/* ---- what a target is given ----------------------------------------------------------------- */

struct hd_mounts; /* mounts.h */

struct hd_plan_input {
    const char *worker;
    const struct hd_lease *lease;
    const struct hd_experiment *experiment;
    const struct hd_workspace *workspace;
    const struct hd_mounts *mounts; /* NULL none */
    const char *code_dir;           /* where the experiment's code is unpacked; NULL none */
    const char *const *extra_env;   /* --env, "K=V" */
    size_t extra_env_count;
    const char *gpus; /* UUIDs it may use, with commas; "" none of those that there are; NULL: the
                         worker knows of none */
    bool container;   /* the target sees /hyperdock instead of host paths */
    int64_t now_wall_ms;
    int64_t stop_wall_ms; /* when the worker has to leave; 0: not known */
};
/* A job for an engine; every text lives in the arena. */
struct hd_plan {
    struct hd_engine_job job;
    struct hd_arena *arena;
};
/* Writes params.json, job.json, an empty loss.json, out/ and control/ into run_dir, expands the
 * command and the environment. HD_E_INVALID: params and space do not fit. */
HD_NODISCARD enum hd_code hd_plan_make(const struct hd_plan_input *input, struct hd_plan *ret_plan,
                                       struct hd_err *err);
void hd_plan_release(struct hd_plan *plan);

/* ---- what a target gives back --------------------------------------------------------------- */

/* run_dir/graphs.json, or graph.json, thinned to HD_RESULT_GRAPHS_MAX; NULL: there are no charts,
 * or none that can be read. hd_free() it. */
char *hd_graphs_gather(const char *run_dir);
/* run_dir/loss.json through hd_loss_parse(). Never fails: see hd_loss. */
void hd_loss_read(const char *run_dir, const struct hd_experiment *experiment,
                  struct hd_loss *ret_loss);

#define HD_OUTPUT_TAIL_BYTES (1u << 20) /* of a target's log that its result is looked for in */
#define HD_OUTPUT_POLL_BYTES_MAX                                                                   \
    (1u << 18) /* read in one poll, and for a twentieth of a second                                \
                */
/* What the target has printed, by target.from_output, as the text of a loss.json: the last number
 * of each name within the log's end. "" and the name of the first measure that is missing when one
 * is; "" without a name when nothing is asked for. */
void hd_output_result(const char *run_dir, const struct hd_experiment *experiment,
                      struct hd_buf *out, const char **ret_missing);

/* The learning curve in a log as it grows. After a cut, which a sink makes in a very long log, it
 * goes on at the new end. */
struct hd_output {
    uint64_t device, inode;
    int64_t offset;
    uint64_t points; /* the step where none is printed */
    double step;     /* the last one printed */
    bool has_step;
};
/* As hd_metrics_read(): a line with the loss is a point, at the step of that line or the last one
 * before it. Nothing without target.from_output. */
size_t hd_output_read(struct hd_output *output, const char *run_dir,
                      const struct hd_experiment *experiment, struct hd_attempt_ref attempt,
                      struct hd_point *ret_points, size_t points_max);

/* After the end: what Hyperdock's targets expect to be left in run_dir, docker_log.txt beside
 * log.txt. Nothing for other contracts. A failure is logged: the result does not depend on it. */
void hd_contract_finish(const char *run_dir, const struct hd_experiment *experiment);

#define HD_LOG_TAIL_BYTES 65536 /* of a target's log that log rules see */
#define HD_LOG_LINE_MAX 4096    /* bytes of a line; the rest of it is not looked at */
/* The first of the experiment's log rules that a line at the end of run_dir/log.txt matches, from 1
 * on; 0: none, or there is no such file. Never fails. */
uint32_t hd_log_match(const char *run_dir, const struct hd_experiment *experiment);

/* Reads metrics.jsonl as it grows. Remembers the offset; begins anew when the file was replaced or
 * cut. An unfinished last line waits. */
struct hd_metrics {
    uint64_t device, inode;
    int64_t offset;
    uint64_t lines;
    bool skipping; /* inside a line that is too long */
};
/* New points, at most points_max. Lines without a finite loss are passed over: key loss, value or
 * the objective's name; step is step, epoch, iteration, budget or the line's number. The loss is
 * in minimized form. */
size_t hd_metrics_read(struct hd_metrics *metrics, const char *run_dir,
                       const struct hd_experiment *experiment, struct hd_attempt_ref attempt,
                       struct hd_point *ret_points, size_t points_max);

#endif
