/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that talks to the nameserver. */
#include "lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALL_MS 4000
#define LEAVE_MS 1000
#define TTL_MS 30000
#define ARENA_BYTES_MAX (4u * 1024u * 1024u)

struct hd_lookup {
    struct hd_lookup_settings settings;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, closing; /* guarded by lock */
    /* The thread's own: where the last call went. */
    char address[HD_ADDRESS_MAX];
    char token[HD_OS_TOKEN_SIZE];
};

static enum hd_code find_nameserver(struct hd_lookup *lookup, struct hd_err *err)
{
    const struct hd_lookup_settings *settings = &lookup->settings;
    char text[HD_ADDRESS_MAX], host[HD_ADDRESS_MAX];
    uint16_t port;
    enum hd_code code = HD_OK;
    if (settings->credentials_dir != NULL)
        code = hd_credentials_read(settings->credentials_dir, settings->run_id, 1, 0, text,
                                   sizeof(text), lookup->token, err);
    else if (!hd_copy_text(text, sizeof(text), settings->nameserver) ||
             !hd_copy_text(lookup->token, sizeof(lookup->token), settings->token))
        code = hd_fail(err, HD_E_LIMIT, "the nameserver's address or the token is too long");
    if (settings->keyring != NULL)
        (void)hd_keyring_own(settings->keyring, lookup->token);
    if (code == HD_OK)
        code = hd_net_split(text, HD_NET_NAMESERVER_PORT, host, sizeof(host), &port, err);
    if (code == HD_OK && !hd_format(lookup->address, sizeof(lookup->address),
                                    strchr(host, ':') != NULL ? "tcp://[%s]:%u" : "tcp://%s:%u",
                                    host, (unsigned)port))
        code = hd_fail(err, HD_E_LIMIT, "the nameserver's address is too long");
    return code;
}

static enum hd_code call(struct hd_lookup *lookup, enum hd_ns_kind kind, int64_t timeout_ms,
                         struct hd_arena *arena, struct hd_ns_reply *reply, struct hd_err *err)
{
    const struct hd_lookup_settings *settings = &lookup->settings;
    struct hd_ns_request request = {
        .kind = kind,
        .token = lookup->token,
        .entry = {.role = HD_NS_WORKER,
                  .id = settings->worker,
                  .incarnation = settings->incarnation,
                  .address = ""},
        .ttl_ms = TTL_MS,
        .run_id = settings->run_id,
    };
    if (settings->run_id[0] != '\0' && kind == HD_NS_REGISTER) {
        request.entry.runs[0] = settings->run_id;
        request.entry.run_count = 1;
    }
    return hd_ns_call(lookup->address, settings->security, &request, timeout_ms, arena, reply, err);
}

static void keep_masters(const struct hd_ns_reply *reply, struct hd_lookup_answer *answer)
{
    for (size_t i = 0; i < reply->entry_count && answer->master_count < HD_AGENT_MASTERS_MAX; i++) {
        struct hd_agent_master *master = &answer->masters[answer->master_count];
        if (reply->entries[i].role == HD_NS_MASTER &&
            hd_copy_text(master->id, sizeof(master->id), reply->entries[i].id) &&
            hd_copy_text(master->address, sizeof(master->address), reply->entries[i].address))
            answer->master_count++;
    }
}

static void answer_one(struct hd_lookup *lookup)
{
    struct hd_arena *arena = NULL;
    struct hd_lookup_answer *answer = hd_calloc(1, sizeof(*answer));
    struct hd_ns_reply *reply = hd_calloc(1, sizeof(*reply));
    struct hd_err ignored;
    if (answer != NULL && reply != NULL) {
        enum hd_code code = hd_arena_new(ARENA_BYTES_MAX, &arena, &answer->err);
        if (code == HD_OK)
            code = find_nameserver(lookup, &answer->err);
        if (code == HD_OK)
            code = call(lookup, HD_NS_LOOKUP, CALL_MS, arena, reply, &answer->err);
        if (code == HD_OK) {
            keep_masters(reply, answer);
            /* For people who list workers; nothing depends on it. */
            (void)!call(lookup, HD_NS_REGISTER, CALL_MS, arena, reply, &ignored);
        }
        (void)hd_copy_text(answer->token, sizeof(answer->token), lookup->token);
        answer->failed = code != HD_OK;
    }
    /* No memory or no room: the agent asks again when no answer came. */
    if (answer != NULL && (reply == NULL || hd_queue_push(lookup->settings.queue, answer) != HD_OK))
        hd_free(answer);
    hd_free(reply);
    hd_arena_free(arena);
}

static void say_leaving(struct hd_lookup *lookup)
{
    struct hd_arena *arena = NULL;
    struct hd_err ignored;
    struct hd_ns_reply *reply = hd_calloc(1, sizeof(*reply));
    if (reply != NULL && lookup->address[0] != '\0' &&
        hd_arena_new(ARENA_BYTES_MAX, &arena, &ignored) == HD_OK)
        (void)!call(lookup, HD_NS_UNREGISTER, LEAVE_MS, arena, reply, &ignored);
    hd_arena_free(arena);
    hd_free(reply);
}

static void *answer_all(void *argument)
{
    struct hd_lookup *lookup = argument;
    for (;;) {
        pthread_mutex_lock(&lookup->lock);
        while (!lookup->asked && !lookup->closing)
            pthread_cond_wait(&lookup->changed, &lookup->lock);
        bool closing = lookup->closing;
        lookup->asked = false;
        pthread_mutex_unlock(&lookup->lock);
        if (closing)
            break;
        answer_one(lookup);
    }
    say_leaving(lookup);
    return NULL;
}

enum hd_code hd_lookup_open(const struct hd_lookup_settings *settings,
                            struct hd_lookup **ret_lookup, struct hd_err *err)
{
    struct hd_lookup *lookup = hd_calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for look-ups");
    lookup->settings = *settings;
    hd_assert(pthread_mutex_init(&lookup->lock, NULL) == 0);
    hd_assert(pthread_cond_init(&lookup->changed, NULL) == 0);
    if (pthread_create(&lookup->thread, NULL, answer_all, lookup) != 0) {
        pthread_cond_destroy(&lookup->changed);
        pthread_mutex_destroy(&lookup->lock);
        hd_free(lookup);
        return hd_fail(err, HD_E_NOMEM, "cannot start the thread for look-ups");
    }
    *ret_lookup = lookup;
    return HD_OK;
}

void hd_lookup_ask(struct hd_lookup *lookup)
{
    pthread_mutex_lock(&lookup->lock);
    lookup->asked = true;
    pthread_cond_signal(&lookup->changed);
    pthread_mutex_unlock(&lookup->lock);
}

void hd_lookup_close(struct hd_lookup *lookup)
{
    if (lookup == NULL)
        return;
    pthread_mutex_lock(&lookup->lock);
    lookup->closing = true;
    pthread_cond_signal(&lookup->changed);
    pthread_mutex_unlock(&lookup->lock);
    pthread_join(lookup->thread, NULL);
    pthread_cond_destroy(&lookup->changed);
    pthread_mutex_destroy(&lookup->lock);
    hd_free(lookup);
}
