/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h: asks the nameserver which masters there are, on a thread of its own since the answer
 * may be slow, and registers the worker while it is at it. With a credentials directory the
 * address and the token are read anew each time: they may have moved.
 */
#ifndef HD_LOOKUP_H
#define HD_LOOKUP_H

#include <hd/agent.h>
#include <hd/net.h>
#include <hd/os.h>

struct hd_lookup_settings {
    const char *nameserver;      /* "HOST[:PORT]"; unused with credentials_dir */
    const char *credentials_dir; /* NULL none */
    const char *run_id;          /* "" any */
    const char *worker;
    uint64_t incarnation;
    const char *token;          /* unused with credentials_dir */
    struct hd_keyring *keyring; /* NULL: token */
    const struct hd_net_security *security;
    struct hd_queue *queue; /* answers: struct hd_lookup_answer *, to be freed with hd_free */
};

struct hd_lookup_answer {
    bool failed; /* err says why; there are no masters then */
    struct hd_err err;
    char token[HD_OS_TOKEN_SIZE]; /* for the masters too */
    struct hd_agent_master masters[HD_AGENT_MASTERS_MAX];
    size_t master_count;
};

struct hd_lookup;
HD_NODISCARD enum hd_code hd_lookup_open(const struct hd_lookup_settings *settings,
                                         struct hd_lookup **ret_lookup, struct hd_err *err);
/* Questions that come before the first is taken up are one. */
void hd_lookup_ask(struct hd_lookup *lookup);
/* Waits for a question under way (seconds at most), and tells the nameserver that we left. */
void hd_lookup_close(struct hd_lookup *lookup);

#endif
