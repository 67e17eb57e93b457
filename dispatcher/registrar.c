/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps this master's entry in the nameserver alive, and refills a restarted nameserver. */
#include "driver_internal.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define CALL_TIMEOUT_MS 3000
#define TTL_PERIODS 3

struct hd_registrar {
    char *nameserver;
    char *master_id;
    char *address;
    struct hd_keyring *keyring;
    struct hd_net_security security;
    int64_t period_ms;
    uint64_t incarnation;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    char runs[HD_NS_RUNS_PER_MASTER_MAX][HD_ID_MAX + 1];
    size_t run_count;
    bool dirty;
    bool stopping;
    bool failing; /* the last call failed: say so once */
    bool running;
    pthread_t thread;
};

static enum hd_code call(struct hd_registrar *registrar, enum hd_ns_kind kind, struct hd_err *err)
{
    char runs[HD_NS_RUNS_PER_MASTER_MAX][HD_ID_MAX + 1], token[HD_OS_TOKEN_SIZE];
    (void)hd_keyring_own(registrar->keyring, token);
    struct hd_ns_request request = {
        .kind = kind,
        .token = token,
        .entry = {.role = HD_NS_MASTER,
                  .id = registrar->master_id,
                  .incarnation = registrar->incarnation,
                  .address = registrar->address},
        .ttl_ms = registrar->period_ms * TTL_PERIODS,
        .run_id = "",
        .role = HD_NS_MASTER,
    };
    pthread_mutex_lock(&registrar->mutex);
    memcpy(runs, registrar->runs, sizeof(runs));
    request.entry.run_count = registrar->run_count;
    registrar->dirty = false;
    pthread_mutex_unlock(&registrar->mutex);
    for (size_t i = 0; i < request.entry.run_count; i++)
        request.entry.runs[i] = runs[i];

    struct hd_arena *arena;
    enum hd_code code = hd_arena_new(HD_MESSAGE_BYTES_MAX, &arena, err);
    if (code != HD_OK)
        return code;
    struct hd_ns_reply *reply = hd_arena_alloc(arena, sizeof(*reply));
    if (reply == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for a nameserver call");
    if (code == HD_OK)
        code = hd_ns_call(registrar->nameserver, &registrar->security, &request, CALL_TIMEOUT_MS,
                          arena, reply, err);
    if (code == HD_OK && reply->code != HD_OK)
        code = hd_fail(err, reply->code, "nameserver %s: %s", registrar->nameserver, reply->text);
    hd_arena_free(arena);
    return code;
}

static void renew(struct hd_registrar *registrar)
{
    struct hd_err err;
    bool failed = call(registrar, HD_NS_REGISTER, &err) != HD_OK;
    if (failed && !registrar->failing)
        hd_log(HD_LOG_WARNING, "%s; trying on", err.text);
    if (!failed && registrar->failing)
        hd_log(HD_LOG_INFO, "nameserver %s answers again", registrar->nameserver);
    registrar->failing = failed;
}

static void wait_period(struct hd_registrar *registrar)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t period_ms = registrar->failing ? 1000 : registrar->period_ms;
    until.tv_sec += period_ms / 1000;
    until.tv_nsec += (period_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&registrar->mutex);
    while (!registrar->stopping && !registrar->dirty &&
           pthread_cond_timedwait(&registrar->changed, &registrar->mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&registrar->mutex);
}

static bool stopping(struct hd_registrar *registrar)
{
    pthread_mutex_lock(&registrar->mutex);
    bool answer = registrar->stopping;
    pthread_mutex_unlock(&registrar->mutex);
    return answer;
}

static void *registrar_main(void *context)
{
    struct hd_registrar *registrar = context;
    for (;;) {
        wait_period(registrar);
        if (stopping(registrar))
            return NULL;
        renew(registrar);
    }
}

static void copy_runs(struct hd_registrar *registrar, const char *const *runs, size_t run_count)
{
    registrar->run_count =
        run_count < HD_NS_RUNS_PER_MASTER_MAX ? run_count : HD_NS_RUNS_PER_MASTER_MAX;
    for (size_t i = 0; i < registrar->run_count; i++)
        (void)hd_copy_text(registrar->runs[i], sizeof(registrar->runs[i]), runs[i]);
}

static void release(struct hd_registrar *registrar)
{
    pthread_cond_destroy(&registrar->changed);
    pthread_mutex_destroy(&registrar->mutex);
    hd_free(registrar->nameserver);
    hd_free(registrar->master_id);
    hd_free(registrar->address);
    hd_free(registrar);
}

enum hd_code hd_registrar_start(const char *nameserver, const char *master_id, const char *address,
                                struct hd_keyring *keyring, const struct hd_net_security *security,
                                int64_t period_ms, const char *const *runs, size_t run_count,
                                struct hd_registrar **ret_registrar, struct hd_err *err)
{
    struct hd_registrar *registrar = hd_calloc(1, sizeof(*registrar));
    if (registrar == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for the nameserver's thread");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&registrar->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&registrar->mutex, NULL);
    registrar->nameserver = hd_strdup(nameserver);
    registrar->master_id = hd_strdup(master_id);
    registrar->address = hd_strdup(address);
    registrar->keyring = keyring;
    registrar->security = *security;
    registrar->period_ms = period_ms;
    registrar->incarnation = (uint64_t)hd_clock_wall_ms();
    copy_runs(registrar, runs, run_count);
    enum hd_code code = HD_OK;
    if (registrar->nameserver == NULL || registrar->master_id == NULL || registrar->address == NULL)
        code = hd_fail(err, HD_E_NOMEM, "no memory for the nameserver's thread");
    if (code == HD_OK)
        code = call(registrar, HD_NS_REGISTER, err);
    if (code == HD_E_NET || code == HD_E_TIMEOUT) { /* it may come later */
        hd_log(HD_LOG_WARNING, "%s; trying on", err->text);
        registrar->failing = true;
        code = HD_OK;
    }
    if (code == HD_OK && pthread_create(&registrar->thread, NULL, registrar_main, registrar) != 0)
        code = hd_fail(err, HD_E_NOMEM, "cannot start the nameserver's thread");
    if (code != HD_OK) {
        release(registrar);
        return code;
    }
    *ret_registrar = registrar;
    return HD_OK;
}

void hd_registrar_set_runs(struct hd_registrar *registrar, const char *const *runs,
                           size_t run_count)
{
    if (registrar == NULL)
        return;
    pthread_mutex_lock(&registrar->mutex);
    copy_runs(registrar, runs, run_count);
    registrar->dirty = true;
    pthread_cond_signal(&registrar->changed);
    pthread_mutex_unlock(&registrar->mutex);
}

void hd_registrar_stop(struct hd_registrar *registrar)
{
    if (registrar == NULL)
        return;
    pthread_mutex_lock(&registrar->mutex);
    registrar->stopping = true;
    pthread_cond_signal(&registrar->changed);
    pthread_mutex_unlock(&registrar->mutex);
    pthread_join(registrar->thread, NULL);
    struct hd_err err;
    if (!registrar->failing && call(registrar, HD_NS_UNREGISTER, &err) != HD_OK)
        hd_log(HD_LOG_DEBUG, "%s", err.text);
    release(registrar);
}
