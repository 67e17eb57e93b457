/* SPDX-License-Identifier: Apache-2.0 */
/* needed.c: see needed.h. */
#include "needed.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#define CALL_MS 4000
#define QUESTION_BYTES_MAX (128u * 1024u)

struct hd_needed {
    struct hd_fetch *fetch;
    const char *worker, *root_id;
    pthread_mutex_t lock;
    /* Guarded by lock. */
    char addresses[HD_AGENT_MASTERS_MAX][HD_ADDRESS_MAX];
    bool stopped;
};

enum hd_code hd_needed_new(struct hd_fetch *fetch, const char *worker, const char *root_id,
                           struct hd_needed **ret_needed, struct hd_err *err)
{
    struct hd_needed *needed = hd_calloc(1, sizeof(*needed));
    if (needed == NULL)
        return hd_fail(err, HD_E_NOMEM, "no memory for asking masters");
    needed->fetch = fetch;
    needed->worker = worker;
    needed->root_id = root_id;
    hd_assert(pthread_mutex_init(&needed->lock, NULL) == 0);
    *ret_needed = needed;
    return HD_OK;
}

void hd_needed_free(struct hd_needed *needed)
{
    if (needed == NULL)
        return;
    pthread_mutex_destroy(&needed->lock);
    hd_free(needed);
}

void hd_needed_set_master(struct hd_needed *needed, uint32_t index, const char *address)
{
    hd_assert(index < HD_AGENT_MASTERS_MAX);
    pthread_mutex_lock(&needed->lock);
    if (!hd_copy_text(needed->addresses[index], HD_ADDRESS_MAX, address))
        needed->addresses[index][0] = '\0';
    pthread_mutex_unlock(&needed->lock);
}

void hd_needed_stop(struct hd_needed *needed)
{
    if (needed == NULL)
        return;
    pthread_mutex_lock(&needed->lock);
    needed->stopped = true;
    pthread_mutex_unlock(&needed->lock);
}

/* False: there is none, or nothing more is asked. */
static bool find_address(struct hd_needed *needed, uint32_t index, char *ret_address)
{
    pthread_mutex_lock(&needed->lock);
    memcpy(ret_address, needed->addresses[index], HD_ADDRESS_MAX);
    bool stopped = needed->stopped;
    pthread_mutex_unlock(&needed->lock);
    return !stopped && ret_address[0] != '\0';
}

/* ---- answers -------------------------------------------------------------------------------- */

enum hd_need hd_needed_more(enum hd_need one, enum hd_need other)
{
    if (one == HD_NEED_UNKNOWN || other == HD_NEED_UNKNOWN)
        return one == HD_NEED_UNKNOWN ? other : one;
    return one < other ? one : other;
}

static bool read_need(const struct hd_value *value, enum hd_need *ret_need)
{
    if (value->kind != HD_VALUE_STRING)
        return false;
    for (int need = 0; need < HD_NEED_COUNT; need++) {
        if (!hd_streq(value->as.string, hd_need_name((enum hd_need)need)))
            continue;
        *ret_need = (enum hd_need)need;
        return true;
    }
    return false;
}

enum hd_code hd_needed_take(const struct hd_value *answer, size_t count, enum hd_need *needs,
                            struct hd_err *err)
{
    enum hd_need heard[HD_NEEDS_MAX];
    const struct hd_value *list = hd_value_get(answer, "need");
    bool good = count <= HD_NEEDS_MAX && list != NULL && list->kind == HD_VALUE_ARRAY &&
                list->as.array.count == count;
    for (size_t i = 0; good && i < count; i++)
        good = read_need(list->as.array.items[i], &heard[i]);
    if (!good)
        return hd_fail(err, HD_E_INVALID, "a master's answer does not say what %zu are needed for",
                       count);
    for (size_t i = 0; i < count; i++)
        needs[i] = hd_needed_more(needs[i], heard[i]);
    return HD_OK;
}

/* ---- asking --------------------------------------------------------------------------------- */

static enum hd_code write_question(const struct hd_needed *needed,
                                   const struct hd_collect_question *questions, size_t count,
                                   struct hd_buf *json, struct hd_err *err)
{
    enum hd_code code = hd_buf_puts(json, "{\"worker\":", err);
    if (code == HD_OK)
        code = hd_json_write_string(needed->worker, json, err);
    if (code == HD_OK)
        code = hd_buf_puts(json, ",\"root\":", err);
    if (code == HD_OK)
        code = hd_json_write_string(needed->root_id, json, err);
    if (code == HD_OK)
        code = hd_buf_puts(json, ",\"left\":[", err);
    for (size_t i = 0; i < count && code == HD_OK; i++) {
        const struct hd_attempt_ref *attempt = &questions[i].attempt;
        code = hd_buf_printf(
            json, err, "%s[\"%016" PRIx64 "\",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",",
            i > 0 ? "," : "", attempt->run_uid, attempt->job, attempt->attempt, attempt->stamp);
        if (code == HD_OK)
            code = hd_json_write_string(questions[i].directory, json, err);
        if (code == HD_OK)
            code = hd_buf_puts(json, "]", err);
    }
    return code == HD_OK ? hd_buf_puts(json, "]}", err) : code;
}

/* False: this master has nothing to say, and would not have more if it were asked again. */
static bool ask_one(const struct hd_needed *needed, const char *address,
                    const struct hd_collect_question *questions, size_t count, enum hd_need *needs)
{
    struct hd_buf json;
    struct hd_value *answer = NULL;
    struct hd_err err;
    hd_buf_init(&json, QUESTION_BYTES_MAX);
    enum hd_code code = write_question(needed, questions, count, &json, &err);
    if (code == HD_OK)
        code = hd_fetch_view(needed->fetch, address, "", "needs", hd_buf_text(&json), CALL_MS,
                             &answer, &err);
    if (code == HD_OK)
        code = hd_needed_take(answer, count, needs, &err);
    if (code != HD_OK) /* it is asked again */
        hd_log(HD_LOG_DEBUG, "%s does not say which directories are needed: %s", address, err.text);
    hd_value_free(answer);
    hd_buf_release(&json);
    return code == HD_OK;
}

void hd_needed_ask(void *context, const struct hd_collect_question *questions, size_t count,
                   enum hd_need *ret_needs)
{
    struct hd_needed *needed = context;
    char address[HD_ADDRESS_MAX];
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX; m++) {
        bool answers = true;
        for (size_t first = 0; answers && first < count && find_address(needed, m, address);
             first += HD_NEEDS_MAX)
            answers = ask_one(needed, address, questions + first,
                              count - first < HD_NEEDS_MAX ? count - first : HD_NEEDS_MAX,
                              ret_needs + first);
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

enum hd_code hd_needed_take_over(const struct hd_value *answer, enum hd_run_word *ret_word,
                                 struct hd_err *err)
{
    const struct hd_value *list = hd_value_get(answer, "over");
    const struct hd_value *word =
        list != NULL && list->kind == HD_VALUE_ARRAY && list->as.array.count == 1
            ? list->as.array.items[0]
            : NULL;
    if (word == NULL || (word->kind != HD_VALUE_BOOL && word->kind != HD_VALUE_NULL))
        return hd_fail(err, HD_E_INVALID, "a master's answer does not say whether a run is over");
    if (word->kind == HD_VALUE_NULL)
        *ret_word = HD_RUN_UNHEARD;
    else
        *ret_word = word->as.boolean ? HD_RUN_OVER : HD_RUN_GOES_ON;
    return HD_OK;
}

enum hd_run_word hd_needed_ask_run(void *context, uint64_t run_uid)
{
    struct hd_needed *needed = context;
    enum hd_run_word heard = HD_RUN_UNHEARD;
    char address[HD_ADDRESS_MAX], question[64];
    (void)hd_format(question, sizeof(question), "{\"runs\":[\"%016" PRIx64 "\"]}", run_uid);
    for (uint32_t m = 0; m < HD_AGENT_MASTERS_MAX && heard != HD_RUN_GOES_ON; m++) {
        struct hd_value *answer = NULL;
        struct hd_err err;
        enum hd_run_word word = HD_RUN_UNHEARD;
        if (!find_address(needed, m, address))
            continue;
        enum hd_code code =
            hd_fetch_view(needed->fetch, address, "", "over", question, CALL_MS, &answer, &err);
        if (code == HD_OK)
            code = hd_needed_take_over(answer, &word, &err);
        if (code != HD_OK)
            hd_log(HD_LOG_DEBUG, "%s does not say whether a run is over: %s", address, err.text);
        else if (word != HD_RUN_UNHEARD)
            heard = word;
        hd_value_free(answer);
    }
    return heard;
}
