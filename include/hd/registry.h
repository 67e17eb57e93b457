/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h: the nameserver's phone book: who is there, by role, id and run. Pure.
 *
 * Entries live until their ttl passes without a renewal; a renewal repeats the registration,
 * so an empty registry refills by itself. An entry of a higher incarnation replaces a lower
 * one; a lower one is refused with HD_E_CONFLICT. Two masters that serve one run id: the second is refused with HD_E_EXISTS while
 * the first is alive. Bounded by HD_NS_ENTRIES_MAX.
 */
#ifndef HD_REGISTRY_H
#define HD_REGISTRY_H

#include <hd/message.h>

struct hd_registry;
HD_NODISCARD enum hd_code hd_registry_new(int64_t ttl_ms_default, struct hd_registry **ret_registry,
                                          struct hd_err *err);
void hd_registry_free(struct hd_registry *registry);
/* Always answers; *ret_reply borrows from the registry until the next call. note (HD_REASON_MAX
 * bytes) gets a line for the log, or "". */
void hd_registry_step(struct hd_registry *registry, int64_t now_ms,
                      const struct hd_ns_request *request, struct hd_ns_reply *ret_reply,
                      char *note);
/* Drops what has expired; returns when to call again (never later than the next expiry). */
int64_t hd_registry_expire(struct hd_registry *registry, int64_t now_ms);
size_t hd_registry_count(const struct hd_registry *registry, enum hd_ns_role role);

#endif
