/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h: what the owner of a machine allows targets on it, whatever a master asks for. Checked
 * on the job as it would go to the engine, after everything has been expanded. docs/security.md is
 * the version for people.
 *
 * A rule that is not given allows everything, but for privileged, host_network and capabilities,
 * which allow nothing, and users, which allows a worker that is not root its own user only; an
 * empty list allows nothing. Without a file (NULL) the same holds.
 */
#ifndef HD_POLICY_H
#define HD_POLICY_H

#include <hd/engine.h>

#define HD_POLICY_BYTES_MAX (64u * 1024u)
#define HD_POLICY_ENTRIES_MAX 256 /* of one list */
#define HD_POLICY_WORD_MAX 4096

struct hd_policy;

/* YAML or JSON. HD_E_INVALID, HD_E_LIMIT: what is wrong, and where. */
HD_NODISCARD enum hd_code hd_policy_parse(const char *text, size_t size, const char *name,
                                          struct hd_policy **ret_policy, struct hd_err *err);
/* Of a file that only its owner, who is we or root, can write. Roots of mounts are resolved now. */
HD_NODISCARD enum hd_code hd_policy_load(const char *path, struct hd_policy **ret_policy,
                                         struct hd_err *err);
void hd_policy_free(struct hd_policy *policy);

/* Data that the experiment names, and not the worker's owner: the path with all links resolved, so
 * that what was checked is what is mounted. HD_E_UNSUPPORTED: refused, with the rule. Free with
 * hd_free. */
HD_NODISCARD enum hd_code hd_policy_data(const struct hd_policy *policy, const char *path,
                                         char **ret_path, struct hd_err *err);
/* A volume of the experiment's own, likewise. One that is written to needs the rule `writable`;
 * without it a worker that is not root allows what its user may write anyway, and root nothing. */
HD_NODISCARD enum hd_code hd_policy_volume(const struct hd_policy *policy, const char *path,
                                           bool writable, char **ret_path, struct hd_err *err);
/* A volume of a service, likewise: its container has the user of its image, which may be root, so
 * one that is written to always needs the rule. */
HD_NODISCARD enum hd_code hd_policy_service_volume(const struct hd_policy *policy, const char *path,
                                                   bool writable, char **ret_path,
                                                   struct hd_err *err);
/* Whether code may come from a master's machine; HD_E_UNSUPPORTED. */
HD_NODISCARD enum hd_code hd_policy_code(const struct hd_policy *policy, struct hd_err *err);
/* HD_E_UNSUPPORTED: refused; the text names the rule. Otherwise limits that the job does not set
 * are set to the policy's, and a command's program is its resolved path, which lives in `arena`. */
HD_NODISCARD enum hd_code hd_policy_apply(const struct hd_policy *policy,
                                          const struct hd_experiment *experiment,
                                          struct hd_arena *arena, struct hd_engine_job *job,
                                          struct hd_err *err);

#endif
