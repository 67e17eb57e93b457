/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cast.h: the samplers of a master's runs: each an actor (actor.c), told of every fact of its run
 * in order, asked for configs, and gone when its run is over. Answers come from actors' threads or
 * at once; either way they are taken here. Owned by the driver's thread.
 */
#ifndef HD_DISPATCHER_CAST_H
#define HD_DISPATCHER_CAST_H

#include "driver_internal.h"

struct hd_cast;

/* Core and store are borrowed and outlive the cast; `options` are the core's own. */
HD_NODISCARD enum hd_code hd_cast_new(const struct hd_core *core, struct hd_store *store,
                                      const struct hd_core_options *options,
                                      struct hd_cast **ret_cast, struct hd_err *err);
void hd_cast_free(struct hd_cast *cast); /* also of NULL; stops and joins */

/* A fact that the core has applied, before hd_cast_start(). */
HD_NODISCARD enum hd_code hd_cast_restore(struct hd_cast *cast, const struct hd_fact *fact,
                                          struct hd_err *err);
/* The actors of all runs that go on. */
HD_NODISCARD enum hd_code hd_cast_start(struct hd_cast *cast, struct hd_err *err);

/* What a step has made, before its commit: that is not speaking, and answers may join the same
 * batch. After HD_E_NOMEM the same update goes on where it failed; each step begins one. */
void hd_cast_begin_step(struct hd_cast *cast);
HD_NODISCARD enum hd_code hd_cast_pass(struct hd_cast *cast, const struct hd_update *update,
                                       struct hd_err *err);

/* An answer, free it with hd_free(); NULL: none is there now. */
struct hd_suggestion *hd_cast_take(struct hd_cast *cast);
bool hd_cast_has_ready(const struct hd_cast *cast); /* some that no descriptor tells of */
bool hd_cast_is_asked(const struct hd_cast *cast);  /* more will come */
int hd_cast_fd(const struct hd_cast *cast);         /* readable when an actor's thread has one */

/* A run that is over asks for nothing any more: its thread and history go. What it had been asked
 * before is answered first. */
void hd_cast_dismiss(struct hd_cast *cast);

#endif
