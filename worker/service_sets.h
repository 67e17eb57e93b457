/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_sets.h: the services of the runs that this worker serves, one set a run
 * (services_per: worker), and a thread that starts them, asks whether their run goes on, and takes
 * them down.
 *
 *   <state dir>/services/<run uid>  the run's id: written before anything of its set is made, and
 *                                   removed after all of it is gone
 *
 * What is in the engine is known by labels, as that of any set: its file is "<state dir>#<run id>".
 * So a process that was killed, whenever that was, leaves nothing that the next one does not find:
 * it takes the set over when a job wants it and all of it runs, and takes it down otherwise.
 *
 * A set is held by the attempts that use it, and is taken down only when none does: once a master
 * says that its run is over or paused, once no master has known of it for a while, or when the
 * worker leaves.
 */
#ifndef HD_SERVICE_SETS_H
#define HD_SERVICE_SETS_H

#include "policy.h"

#include <hd/os.h>
#include <hd/services.h>

#define HD_SERVICE_SETS_MAX 64 /* at the same time */

/* What masters say of a run. */
enum hd_run_word {
    HD_RUN_UNHEARD, /* none that answers knows it */
    HD_RUN_GOES_ON,
    HD_RUN_OVER, /* or paused */
};

/* All borrowed for as long as the sets live. */
struct hd_service_sets_settings {
    const char *state_dir, *host;
    const char *docker_host; /* NULL: as Docker's own client finds it */
    bool podman;             /* with NULL: where Podman's service listens instead */
    enum hd_run_word (*ask)(void *context, uint64_t run_uid); /* by the thread; may take seconds */
    void *context;
    struct hd_queue *queue; /* for news */
    int64_t silent_ms;      /* after which a run that nobody knows has ended; 0: ten minutes */
};

/* What the thread pushes on the queue; hd_free() it. */
struct hd_service_news {
    uint64_t run_uid;
    bool ended; /* what was wanted is up, or has failed; otherwise what it does now */
    char doing[HD_DOING_MAX];
    enum hd_code code;
    struct hd_err err;
};

struct hd_service_sets;
/* Takes up what earlier processes of this worker noted; nothing is done before start. */
HD_NODISCARD enum hd_code hd_service_sets_open(const struct hd_service_sets_settings *settings,
                                               struct hd_service_sets **ret_sets,
                                               struct hd_err *err);
HD_NODISCARD enum hd_code hd_service_sets_start(struct hd_service_sets *sets, struct hd_err *err);
/* Interrupts what is under way; sets stay as they are, for the next process. Also of NULL. */
void hd_service_sets_close(struct hd_service_sets *sets);

/* An attempt uses the set of this run from now on (false: there is none), or no more. */
bool hd_service_sets_hold(struct hd_service_sets *sets, uint64_t run_uid);
void hd_service_sets_release(struct hd_service_sets *sets, uint64_t run_uid);
/* A master has learnt something of this run: it may be over, and its master may go soon. */
void hd_service_sets_look(struct hd_service_sets *sets, uint64_t run_uid);
/* Something failed that may have been its services' fault: they are looked at before the next
 * attempt. */
void hd_service_sets_doubt(struct hd_service_sets *sets, uint64_t run_uid);
/* Whether it is up; it then counts as held by one more, if `hold`. */
bool hd_service_sets_find(struct hd_service_sets *sets, uint64_t run_uid, bool hold,
                          char ret_uuid[HD_SERVICES_UUID_SIZE]);
/* Has it started for who holds it, or holds it by this, if `hold`; news follow, one of them ended.
 * The experiment, whose services were judged, is the sets' from now on, also on failure.
 * HD_E_LIMIT: too many. On failure nothing is held. */
HD_NODISCARD enum hd_code hd_service_sets_want(struct hd_service_sets *sets, uint64_t run_uid,
                                               const char *run_id, bool hold,
                                               struct hd_experiment *experiment,
                                               const struct hd_services_bounds *bounds,
                                               struct hd_err *err);

/* The worker leaves: sets that nobody holds go. True when all are gone or cannot be taken down now;
 * false after wait_ms. */
bool hd_service_sets_leave(struct hd_service_sets *sets, int64_t wait_ms);
void hd_service_sets_hurry(
    struct hd_service_sets *sets); /* they get no time to end by themselves */

/* What a worker that died for good has left: its seat is held by the caller. */
void hd_service_sets_reap(const struct hd_service_sets_settings *settings);

/* ---- service_judge.c ------------------------------------------------------------------------- */

/* Whether the worker's policy allows them, each as a job of its image would be judged; host paths
 * become what was judged. What they may have at most is told too. HD_E_UNSUPPORTED: refused, with
 * the rule. */
HD_NODISCARD enum hd_code hd_services_judge(const struct hd_policy *policy, const char *engine,
                                            struct hd_services *plan,
                                            struct hd_services_bounds *ret_bounds,
                                            struct hd_err *err);

#endif
