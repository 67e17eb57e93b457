/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sampler thread a run: it consumes history and asks in the order in which the driver
 * posts them, so an ask sees exactly the results up to its cut however busy the thread is.
 *
 * A sampler whose proposal is little more than a draw has no thread: two changes of threads a job
 * would cost many times what they carry. It is told and asked where the driver stands.
 */
#include "driver_internal.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define MAILBOX_MAX 65536
#define MAILBOX_WAIT_MS 10

enum mail_kind { MAIL_ADD, MAIL_TELL, MAIL_ASK, MAIL_STOP };

struct mail {
    enum mail_kind kind;
    uint32_t config;
    double budget;
    struct hd_score score;
    uint64_t cut;
    char proposed_by[HD_SAMPLER_NAME_MAX];
    double values[];
};

struct hd_actor {
    uint32_t run;
    const struct hd_space *space;
    uint64_t seed;
    struct hd_sampler *sampler;
    struct hd_queue *mailbox;
    struct hd_queue *answers;
    uint32_t config_count; /* configs the sampler knows; the thread's own once started */
    bool started;
    pthread_t thread;
};

enum hd_code hd_actor_new(uint32_t run, const struct hd_run_view *view, struct hd_queue *answers,
                          struct hd_actor **ret_actor, struct hd_err *err)
{
    struct hd_actor *actor = hd_calloc(1, sizeof(*actor));
    if (actor == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a sampler");
    const struct hd_experiment *experiment = view->experiment;
    actor->run = run;
    actor->space = experiment->space;
    actor->seed = view->seed;
    actor->answers = answers;
    struct hd_sampler_spec spec = {.name = experiment->sampler_name,
                                   .settings = experiment->sampler_settings,
                                   .seed = view->seed,
                                   .initial = experiment->initial,
                                   .initial_count = experiment->initial_count,
                                   .objective_count = experiment->objective_count,
                                   .constrained = experiment->constraint_count > 0,
                                   .known = view->known};
    enum hd_code code = hd_sampler_new(&spec, experiment->space, &actor->sampler, err);
    if (code == HD_OK)
        code = hd_queue_new(MAILBOX_MAX, &actor->mailbox, err);
    if (code != HD_OK) {
        hd_actor_free(actor);
        return code;
    }
    *ret_actor = actor;
    return HD_OK;
}

/* ---- the thread's side ----------------------------------------------------------------------- */

static enum hd_code add(struct hd_actor *actor, uint32_t config, const double *values,
                        const char *proposed_by, struct hd_err *err)
{
    if (config < actor->config_count)
        return HD_OK; /* its own suggestion, coming back as a fact */
    enum hd_code code = hd_sampler_credit(actor->sampler, config, proposed_by, err);
    if (code == HD_OK)
        code = hd_sampler_add(actor->sampler, config, values, err);
    if (code == HD_OK)
        actor->config_count = config + 1;
    return code;
}

/* A sampler that cannot answer must not stop the run: a random config is always possible. */
static void suggest_anyway(struct hd_actor *actor, struct hd_suggestion *suggestion,
                           const struct hd_err *err)
{
    hd_log(HD_LOG_WARNING, "sampler: %s; config %u is random instead", err->text,
           suggestion->config);
    struct hd_rng rng;
    hd_rng_fork(actor->seed, "fallback", suggestion->config, &rng);
    hd_space_sample(actor->space, &rng, suggestion->values);
    suggestion->info = (struct hd_proposal_info){.sampler = "random", .model_budget = NAN};
}

static struct hd_suggestion *suggest(struct hd_actor *actor, uint32_t config, double budget,
                                     uint64_t cut)
{
    size_t count = actor->space->param_count;
    struct hd_suggestion *suggestion;
    while ((suggestion = hd_calloc(1, sizeof(*suggestion) + count * sizeof(double))) == NULL)
        hd_log(HD_LOG_ERROR, "sampler: out of memory, trying again");
    suggestion->run = actor->run;
    suggestion->config = config;
    suggestion->cut = cut;
    suggestion->value_count = count;
    struct hd_err err;
    enum hd_code code = hd_sampler_suggest(actor->sampler, config, budget, suggestion->values,
                                           &suggestion->info, &err);
    if (code == HD_E_LIMIT)
        suggestion->exhausted = true;
    else if (code != HD_OK)
        suggest_anyway(actor, suggestion, &err);
    if (!suggestion->exhausted &&
        add(actor, config, suggestion->values, suggestion->info.sampler, &err) != HD_OK)
        hd_log(HD_LOG_WARNING, "sampler: %s", err.text);
    return suggestion;
}

static void answer(struct hd_actor *actor, const struct mail *mail)
{
    struct hd_suggestion *suggestion = suggest(actor, mail->config, mail->budget, mail->cut);
    while (hd_queue_push(actor->answers, suggestion) != HD_OK) {
        /* Bounded by the asks outstanding; full only when the driver is far behind. */
        struct timespec pause = {.tv_nsec = MAILBOX_WAIT_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static void *actor_main(void *context)
{
    struct hd_actor *actor = context;
    for (;;) {
        struct mail *mail = hd_queue_pop(actor->mailbox, -1);
        if (mail == NULL)
            continue;
        struct hd_err err;
        enum hd_code code = HD_OK;
        enum mail_kind kind = mail->kind;
        switch (kind) {
        case MAIL_ADD:
            code = add(actor, mail->config, mail->values, mail->proposed_by, &err);
            break;
        case MAIL_TELL:
            code = hd_sampler_tell_score(actor->sampler, mail->config, mail->budget, &mail->score,
                                         &err);
            break;
        case MAIL_ASK:
            answer(actor, mail);
            break;
        case MAIL_STOP:
            break;
        }
        if (code != HD_OK)
            hd_log(HD_LOG_WARNING, "sampler: %s", err.text);
        hd_free(mail);
        if (kind == MAIL_STOP)
            return NULL;
    }
}

/* ---- the driver's side ----------------------------------------------------------------------- */

static enum hd_code post(struct hd_actor *actor, const struct mail *mail, const double *values,
                         struct hd_err *err)
{
    size_t values_size = values == NULL ? 0 : actor->space->param_count * sizeof(double);
    struct mail *copy = hd_malloc(sizeof(*copy) + values_size);
    if (copy == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for a sampler's mail");
    *copy = *mail;
    if (values_size > 0)
        memcpy(copy->values, values, values_size);
    while (hd_queue_push(actor->mailbox, copy) != HD_OK) {
        struct timespec pause = {.tv_nsec = MAILBOX_WAIT_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    return HD_OK;
}

enum hd_code hd_actor_add(struct hd_actor *actor, uint32_t config, const double *values,
                          const char *proposed_by, struct hd_err *err)
{
    if (!actor->started)
        return add(actor, config, values, proposed_by, err);
    struct mail mail = {.kind = MAIL_ADD, .config = config};
    (void)hd_copy_text(mail.proposed_by, sizeof(mail.proposed_by), proposed_by);
    return post(actor, &mail, values, err);
}

enum hd_code hd_actor_tell(struct hd_actor *actor, uint32_t config, double budget,
                           const struct hd_score *score, struct hd_err *err)
{
    if (!actor->started)
        return hd_sampler_tell_score(actor->sampler, config, budget, score, err);
    struct mail mail = {.kind = MAIL_TELL, .config = config, .budget = budget, .score = *score};
    return post(actor, &mail, NULL, err);
}

enum hd_code hd_actor_ask(struct hd_actor *actor, const struct hd_ask *ask,
                          struct hd_suggestion **ret_suggestion, struct hd_err *err)
{
    if (!actor->started) {
        *ret_suggestion = suggest(actor, ask->config, ask->budget, ask->cut);
        return HD_OK;
    }
    struct mail mail = {
        .kind = MAIL_ASK, .config = ask->config, .budget = ask->budget, .cut = ask->cut};
    enum hd_code code = post(actor, &mail, NULL, err);
    if (code == HD_OK)
        *ret_suggestion = NULL;
    return code;
}

enum hd_code hd_actor_start(struct hd_actor *actor, struct hd_err *err)
{
    if (hd_sampler_is_light(actor->sampler))
        return HD_OK;
    if (pthread_create(&actor->thread, NULL, actor_main, actor) != 0)
        return hd_fail(err, HD_E_NOMEM, "cannot start a sampler thread");
    actor->started = true;
    return HD_OK;
}

void hd_actor_free(struct hd_actor *actor)
{
    if (actor == NULL)
        return;
    if (actor->started) {
        struct hd_err err;
        while (post(actor, &(struct mail){.kind = MAIL_STOP}, NULL, &err) != HD_OK)
            hd_log(HD_LOG_ERROR, "%s", err.text);
        pthread_join(actor->thread, NULL);
    }
    hd_queue_free(actor->mailbox);
    hd_sampler_free(actor->sampler);
    hd_free(actor);
}
