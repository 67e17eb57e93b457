/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h: a master that is found by its address, by a nameserver, or by the record it leaves in
 * its state directory, and one request to it.
 *
 * Programs of another machine are spoken to with the token of this person's file, or of
 * --token-file; TLS with --ca (and --cert, --key when the master checks its clients).
 */
#ifndef HD_CLI_REMOTE_H
#define HD_CLI_REMOTE_H

#include <hd/message.h>
#include <hd/net.h>
#include <hd/os.h>
#include <hd/value.h>

#define CLI_PATH_MAX 4096

struct cli_remote {
    const char *nameserver; /* "HOST[:PORT]" or NULL */
    const char *master;     /* "HOST:PORT" or NULL */
    const char *token_file;
    struct hd_net_security security;
};
/* Rows of an options table. */
#define CLI_REMOTE_OPTIONS(remote)                                                                 \
    {.name = "nameserver",                                                                         \
     .kind = HD_OPTION_TEXT,                                                                       \
     .value = &(remote).nameserver,                                                                \
     .hint = "HOST[:PORT]",                                                                        \
     .help = "ask the live master that this nameserver knows"},                                    \
        {.name = "master",                                                                         \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(remote).master,                                                                \
         .hint = "HOST:PORT",                                                                      \
         .help = "ask this live master"},                                                          \
        {.name = "token-file",                                                                     \
         .kind = HD_OPTION_TEXT,                                                                   \
         .value = &(remote).token_file,                                                            \
         .hint = "FILE",                                                                           \
         .help = "token that it knows"},                                                           \
        HD_NET_SECURITY_OPTIONS((remote).security, "CA that the master must be of (PEM)",          \
                                "speak beyond this machine without TLS")

/* Is a live master asked, and not a state directory? HD_E_INVALID: the options contradict one
 * another, or --state-dir was given too. */
HD_NODISCARD enum hd_code cli_remote_check(const struct cli_remote *remote, const char *state_dir,
                                           bool *ret_remote, struct hd_err *err);

struct cli_master {
    char address[HD_ADDRESS_MAX];
    char token[HD_OS_TOKEN_SIZE];
    struct hd_net_security security; /* of paths below, or borrowed from struct cli_remote */
    char cert[CLI_PATH_MAX], key[CLI_PATH_MAX], ca[CLI_PATH_MAX];
    int64_t timeout_ms; /* of a call; 0: long enough for a busy one */
};
/* By --master, or the master of run_id ("": the only one there is) at the nameserver. Not to be
 * copied. HD_E_NOTFOUND: none serves it; HD_E_CONFLICT: several may be meant. */
HD_NODISCARD enum hd_code cli_master_find(const struct cli_remote *remote, const char *run_id,
                                          struct cli_master *ret_master, struct hd_err *err);
/* The one that serves a state directory of this machine now; otherwise HD_E_NOTFOUND. */
HD_NODISCARD enum hd_code cli_master_of_state(const char *state_dir, struct cli_master *ret_master,
                                              struct hd_err *err);
/* Token and lane are filled in; a refusal is an error. *ret_view (NULL: none is wanted) is the
 * answer of HD_REQUEST_VIEW; the caller frees it. */
HD_NODISCARD enum hd_code cli_master_call(const struct cli_master *master,
                                          struct hd_request *request, struct hd_value **ret_view,
                                          struct hd_err *err);

#endif
