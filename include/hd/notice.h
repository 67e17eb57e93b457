/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notice.h: telling people what happened, over webhooks, chat, mail and push services.
 *
 * A notice is about a fact that is durable. A notifier owns one thread and a bounded queue; whoever
 * pushes never waits, and nothing that goes wrong here reaches a run. How far each channel has
 * got is kept in a file of its own beside the store, as the sequence number of a fact: a master
 * that starts again pushes what its facts say since then, so a notice is told at least once, and a
 * second time only when the process ended between telling and writing that down (the id is then
 * the same). What a channel refuses for good, or does not take in HD_NOTICE_TRIES_MAX tries, is
 * given up with a line in the log.
 *
 * Secrets (tokens, keys, passwords, addresses of channels) are in the settings alone: never in a
 * notice, an error text or the log. Of an address that cannot be reached, host and port are there.
 */
#ifndef HD_NOTICE_H
#define HD_NOTICE_H

#include <hd/base.h>
#include <hd/experiment.h>
#include <stdatomic.h>

#define HD_NOTICE_CHANNELS_MAX 16
#define HD_NOTICE_QUEUE_MAX                                                                        \
    256                        /* beyond, the oldest are left out, and the next one says how many */
#define HD_NOTICE_TRIES_MAX 10 /* of one notice at one channel */
#define HD_NOTICE_TITLE_MAX 200
#define HD_NOTICE_TEXT_MAX 2048
#define HD_NOTICE_ID_MAX 64
#define HD_NOTICE_DATA_MAX 65536    /* bytes of the JSON of one notice */
#define HD_NOTICE_FILE_MAX 65536    /* bytes of the file of channels */
#define HD_NOTICE_ADDRESS_MAX 1024  /* bytes of a URL, a token, an address */
#define HD_NOTICE_RECIPIENTS_MAX 16 /* of a mail */

enum hd_notice_kind {
    HD_NOTICE_WEBHOOK,
    HD_NOTICE_SLACK,
    HD_NOTICE_PUSHOVER,
    HD_NOTICE_EMAIL,
    HD_NOTICE_NTFY,
    HD_NOTICE_KIND_COUNT
};
const char *hd_notice_kind_name(enum hd_notice_kind kind); /* "webhook", "slack" ... */

/* Where notices go. Texts are "" when not given. */
struct hd_notice_channel {
    char name[HD_ID_MAX + 1];
    enum hd_notice_kind kind;
    unsigned events; /* bits 1 << enum hd_notify_event */
    char *url;       /* of the receiver; email: smtp://HOST[:PORT] or smtps://HOST[:PORT] */
    char *secret;    /* webhook: key of the signature; slack, ntfy, pushover: token; email: password
                      */
    char *user;      /* email: who logs in; pushover: user key; slack: channel or member */
    char *from;      /* email */
    char *to[HD_NOTICE_RECIPIENTS_MAX]; /* email */
    size_t to_count;
    bool plaintext; /* email: no TLS needed; only without a password or on loopback */
};

struct hd_notice_settings {
    struct hd_notice_channel channels[HD_NOTICE_CHANNELS_MAX];
    size_t channel_count;
    int64_t incumbent_every_ms; /* at most one new incumbent of a run in this time */
    char warning[256];          /* what a person should hear of the environment; "" nothing */
};

/* ---- settings.c ------------------------------------------------------------------------------ */

/* Text of a file of channels (YAML or JSON; docs/notifications.md). HD_E_INVALID "file:line: path:
 * what"; no value of a secret is ever part of it. */
HD_NODISCARD enum hd_code hd_notice_parse(const char *text, size_t size, const char *file,
                                          struct hd_notice_settings **ret_settings,
                                          struct hd_err *err);
/* The file (NULL: the user's, hyperdock/notify.yaml beside the token file, when it is there), which
 * others must not be able to read, and the channels of the environment: "slack" from
 * SLACK_API_TOKEN and SLACK_RECIPIENT, "pushover" from PUSHOVER_API_TOKEN and PUSHOVER_USER_KEY,
 * unless the file has channels of these names; one variable without the other is no channel, and a
 * warning in the settings. No channel at all is no error. */
HD_NODISCARD enum hd_code hd_notice_load(const char *path, struct hd_notice_settings **ret_settings,
                                         struct hd_err *err);
void hd_notice_settings_free(struct hd_notice_settings *settings); /* wipes secrets */
/* -1: no such channel. */
int hd_notice_find(const struct hd_notice_settings *settings, const char *name);

/* ---- a notice -------------------------------------------------------------------------------- */

struct hd_notice {
    uint64_t seq; /* every fact up to this one has been looked at */
    enum hd_notify_event event;
    uint64_t run_uid; /* 0: of no run */
    int64_t wall_ms;
    unsigned channels;         /* bits: who is to be told; 0 nobody */
    char id[HD_NOTICE_ID_MAX]; /* the same whenever the same thing is told */
    char title[HD_NOTICE_TITLE_MAX];
    char text[HD_NOTICE_TEXT_MAX];
    char *data; /* JSON object for programs; owned */
};
void hd_notice_free(struct hd_notice *notice);

/* ---- compose.c: what one channel is sent; pure ----------------------------------------------- */

#define HD_NOTICE_HEADERS_MAX 8
struct hd_notice_message {
    char *url;
    char *headers[HD_NOTICE_HEADERS_MAX]; /* "Name: value" */
    size_t header_count;
    char *body;
    size_t body_size;
};
/* left_out: how many notices before this one never went out. */
HD_NODISCARD enum hd_code hd_notice_compose(const struct hd_notice_channel *channel,
                                            const struct hd_notice *notice, uint64_t left_out,
                                            int64_t now_wall_ms, struct hd_notice_message *message,
                                            struct hd_err *err);
void hd_notice_message_release(struct hd_notice_message *message);
/* What an answer means: HD_OK taken; HD_E_INVALID refused for good; HD_E_NET worth another try. */
HD_NODISCARD enum hd_code hd_notice_judge(enum hd_notice_kind kind, int status, const char *body,
                                          struct hd_err *err);

/* ---- send.c ---------------------------------------------------------------------------------- */

/* Sends one message and waits for the answer, at most limit_ms; codes as hd_notice_judge(), and
 * HD_E_CANCELLED when *stop became true. */
HD_NODISCARD enum hd_code hd_notice_send(const struct hd_notice_channel *channel,
                                         const struct hd_notice_message *message, int64_t limit_ms,
                                         const atomic_bool *stop, struct hd_err *err);

/* ---- notifier.c ------------------------------------------------------------------------------ */

struct hd_notifier;
struct hd_notifier_options {
    const struct hd_notice_settings *settings; /* outlives the notifier */
    const char *positions_path;                /* how far each channel has got */
    int64_t retry_ms; /* before the second try; doubles up to 5 min; 0: 1 s */
    int64_t send_ms;  /* for one try; 0: 15 s */
};
HD_NODISCARD enum hd_code hd_notifier_open(const struct hd_notifier_options *options,
                                           struct hd_notifier **ret_notifier, struct hd_err *err);
/* Facts up to this one need not be looked at for any channel: all have been told. A channel that
 * the file does not know begins at last_seq, with what happens from now on; UINT64_MAX: there are
 * no channels. */
uint64_t hd_notifier_told(const struct hd_notifier *notifier);
/* Takes the notice and never waits. From any one thread. */
void hd_notifier_push(struct hd_notifier *notifier, struct hd_notice *notice);
/* After the facts of a restore were pushed; last_seq as above. Without it nothing is sent. */
HD_NODISCARD enum hd_code hd_notifier_start(struct hd_notifier *notifier, uint64_t last_seq,
                                            struct hd_err *err);
/* Sends what is there, for at most flush_ms, and ends the thread; what remains is told by the next
 * life of the master. Takes NULL. */
void hd_notifier_close(struct hd_notifier *notifier, int64_t flush_ms);

#endif
